"""The process's way to the exchange: requests and streams, as messages."""

import asyncio
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from rl_trader.live.exchange.wire import WireAnswer, WireRequest
from rl_trader.live.streams.sockets import Dialer, Line, Patience
from rl_trader.rehearsal.crashes.channel import Channel, Message
from rl_trader.rehearsal.crashes.points import HALFWAY, Points

_PLACED_BY: Final = {"POST v1/order": "newClientOrderId", "POST v1/algoOrder": "clientAlgoId"}
_CANCELLED_BY: Final = {"DELETE v1/order": "origClientOrderId", "DELETE v1/algoOrder": "clientAlgoId"}


class ChannelWire:
    """Carries requests to the other end.

    Args:
        channel: To the exchange.
        points: Of this process.
        purpose_of: Says what an order is for, by its client id.
        last_seq: Returns the number of the journal's newest entry.
    """

    def __init__(
        self, channel: Channel, points: Points, purpose_of: Callable[[str], str], last_seq: Callable[[], int]
    ) -> None:
        self._channel, self._points = channel, points
        self._purpose_of, self._last_seq = purpose_of, last_seq
        self._numbers = count(1)
        self._awaited: dict[int, asyncio.Future[Message]] = {}

    async def send(self, request: WireRequest) -> WireAnswer:
        """Send a request once, and wait for its answer."""
        split = urlsplit(request.url)
        name = self._name(request, split.path, split.query)
        self._points.at(f"before sending {name}")
        number = next(self._numbers)
        message: Message = {
            "is": "ask",
            "number": number,
            "method": request.method,
            "path": split.path,
            "query": split.query,
            "body": request.body.decode(),
            "headers": {key.lower(): value for key, value in request.headers.items()},
            "seq": self._last_seq(),
        }
        if self._points.point == f"{HALFWAY}{name}":
            self._channel.send_half(message)
            os.kill(os.getpid(), signal.SIGKILL)
        awaited = self._awaited[number] = asyncio.get_running_loop().create_future()
        self._channel.send(message)
        self._points.at(f"after sending {name}")
        answer = await awaited
        self._points.at(f"before reading the answer to {name}")
        return WireAnswer(status=answer["status"], headers=answer["headers"], body=answer["body"].encode())

    def _name(self, request: WireRequest, path: str, query: str) -> str:
        """Return an order's purpose, or what is asked."""
        name = f"{request.method} {path.removeprefix('/fapi/')}"
        sent = dict(parse_qsl(query) + parse_qsl(request.body.decode()))
        if (key := _PLACED_BY.get(name)) is not None:
            return self._purpose_of(sent[key])
        if (key := _CANCELLED_BY.get(name)) is not None:
            return f"the cancellation of {self._purpose_of(sent[key])}"
        return name

    def take(self, answer: Message) -> None:
        """Take an answer that has come."""
        self._awaited.pop(answer["number"]).set_result(answer)

    async def close(self) -> None:
        """Do nothing: the channel is closed by who has made it."""


class _Frame(NamedTuple):
    """What a socket receives, as aiohttp has it."""

    type: aiohttp.WSMsgType
    data: str | bytes


class ChannelSocket:
    """A connection of streams, with those of aiohttp's methods that a line uses.

    Args:
        number: Its own.
        channel: To the exchange.
    """

    def __init__(self, number: int, channel: Channel) -> None:
        self._number, self._channel = number, channel
        self._frames: asyncio.Queue[_Frame] = asyncio.Queue()

    def take(self, message: Message) -> None:
        """Take what has come."""
        kind = {"text": aiohttp.WSMsgType.TEXT, "ping": aiohttp.WSMsgType.PING, "pong": aiohttp.WSMsgType.PONG}
        data = message["data"]
        frame_type = kind.get(message["type"], aiohttp.WSMsgType.CLOSED)
        self._frames.put_nowait(_Frame(frame_type, data if frame_type is aiohttp.WSMsgType.TEXT else data.encode()))

    async def receive(self) -> _Frame:
        """Return the next frame once there is one."""
        return await self._frames.get()

    async def pong(self, payload: bytes) -> None:
        """Answer a ping."""
        self._say("pong", payload)

    async def ping(self, payload: bytes) -> None:
        """Send a ping, whose pong comes behind what has come by then."""
        self._say("ping", payload)

    async def close(self) -> None:
        """End the connection."""
        self._say("leave", b"")

    def _say(self, kind: str, payload: bytes) -> None:
        self._channel.send({"is": kind, "number": self._number, "data": payload.decode()})


class ChannelDialer:
    """Opens connections of streams.

    Args:
        channel: To the exchange.
        points: Of this process.
    """

    def __init__(self, channel: Channel, points: Points) -> None:
        self.patience = Patience()
        self._channel, self._points = channel, points
        self._numbers = count(1)
        self._sockets: dict[int, ChannelSocket] = {}

    async def open(self, path: str) -> Line:
        """Return a line to a path."""
        self._points.at("before connecting")
        number = next(self._numbers)
        self._channel.send({"is": "connect", "number": number, "data": path})
        socket = self._sockets[number] = ChannelSocket(number, self._channel)
        return Line(number, cast("aiohttp.ClientWebSocketResponse", socket))

    def take(self, message: Message) -> None:
        """Take what has come on a connection."""
        self._sockets[message["number"]].take(message)

    def as_dialer(self) -> Dialer:
        """Return it for who opens lines."""
        return cast("Dialer", self)
