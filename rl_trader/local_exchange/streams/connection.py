"""One WebSocket connection, without its socket: what it has subscribed to, and when it is over.

Source: the API documentation of USD-M futures, "Websocket Market Streams" and "Connect" (read in autumn 2026): a ping
every three minutes, a pong with its payload within ten, 24 hours in all, ten messages a second (pings and pongs
count), 1024 streams.

A clock that follows a replay jumps. No client can answer in a time that was not there, so that a jump counts as one
interval of pings at most where an answer is waited for.

Times in milliseconds of the session's clock.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from rl_trader.local_exchange.streams.frames import (
    Frame,
    FrameError,
    Method,
    check_property,
    parse_frame,
    property_value,
    result,
    stream_names,
)
from rl_trader.local_exchange.streams.message import Message, Subscriber
from rl_trader.local_exchange.streams.names import Category, parse_stream
from rl_trader.local_exchange.streams.routes import Route
from rl_trader.local_exchange.streams.user_messages import LISTEN_KEY_EXPIRED

GOING_AWAY: Final = 1001  # codes of WebSocket's RFC 6455
UNSUPPORTED: Final = 1003
POLICY_VIOLATION: Final = 1008
PING: Final = "ping"  # what an interceptor is told instead of a stream

_SECOND: Final = 1000
_MINUTE: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRules:
    """How long a connection lasts and how much it may ask; the exchange's rules unless said otherwise."""

    ping_every_ms: int = 3 * _MINUTE
    pong_within_ms: int = 10 * _MINUTE
    lifetime_ms: int = 24 * 60 * _MINUTE
    messages_per_second: int = 10  # that come in
    max_streams: int = 1024


EXCHANGE_RULES: Final = ConnectionRules()


class Outlet(Protocol):
    """Where a connection's frames go."""

    def send(self, text: str, superseded_by: str | None) -> None:
        """Send a text after all that were sent before it.

        Args:
            text: A frame.
            superseded_by: Name under which a text that still waits may be left out for a later one; None keeps it.
        """
        ...

    def ping(self, payload: bytes) -> None:
        """Send a ping."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End the connection, after all that was sent before."""
        ...


class Streams(Protocol):
    """Where a connection subscribes."""

    def add(self, name: str, subscriber: Subscriber) -> None:
        """Let somebody be told of a stream, or of the account with a listen key."""
        ...

    def remove(self, name: str, subscriber: Subscriber) -> None:
        """Let somebody no longer be told."""
        ...


Interceptor = Callable[["Connection", str, str], Iterable[str]]
"""Called with a connection, the name of a stream and a text, gives what is sent in its place.

The name is that of the stream or the listen key, empty of an answer, and ``PING`` of a ping, whose text is its payload:
a ping is sent unless nothing is given.
"""


def as_it_is(connection: "Connection", stream: str, text: str) -> Iterable[str]:
    """Return a text unchanged: the interceptor that does nothing."""
    return (text,)


class Connection:
    """A connection, from its opening on.

    Args:
        streams: Tell it what it has subscribed to.
        route: What its address asks for.
        outlet: Takes what it sends.
        now_ms: Time of opening.
        rules: How long it lasts.
        interceptor: Stands between it and the outlet.
    """

    def __init__(
        self,
        streams: Streams,
        route: Route,
        outlet: Outlet,
        now_ms: int,
        *,
        rules: ConnectionRules = EXCHANGE_RULES,
        interceptor: Interceptor = as_it_is,
    ) -> None:
        self._streams, self._route, self._outlet = streams, route, outlet
        self._rules, self._interceptor = rules, interceptor
        self._opened_ms = self._ticked_ms = self._pinged_ms = now_ms
        self._unanswered: set[bytes] = set()  # pings
        self._waited_ms = 0  # for the answer to them
        self._arrivals: deque[int] = deque()  # of the last second
        self._is_combined = route.is_combined
        self._names: dict[str, bool] = {}  # what it has subscribed to -> whether it is told
        self.is_open = True
        self._answers: dict[Method, Callable[[Frame], object]] = {
            Method.SUBSCRIBE: self._subscribe,
            Method.UNSUBSCRIBE: self._unsubscribe,
            Method.LIST_SUBSCRIPTIONS: lambda frame: list(self._names),
            Method.SET_PROPERTY: self._set_property,
            Method.GET_PROPERTY: self._get_property,
        }
        self._add(route.names)

    @property
    def names(self) -> tuple[str, ...]:
        """What it has subscribed to: streams and listen keys, also those that stay silent."""
        return tuple(self._names)

    # What comes in

    def receive_text(self, text: str, now_ms: int) -> None:
        """Answer a text frame."""
        if not self._admit(now_ms):
            return
        try:
            frame = parse_frame(text)
            answer = result(frame, self._answers[frame.method](frame))
        except FrameError as error:
            answer = error.answer()
        if self.is_open:
            self._pass_on("", answer, None)

    def receive_ping(self, now_ms: int) -> bool:
        """Count a ping, and return whether the socket is to answer it."""
        return self._admit(now_ms) and any(True for _ in self._interceptor(self, PING, ""))

    def receive_pong(self, payload: bytes, now_ms: int) -> None:
        """Take a pong; one that answers no ping is allowed and proves nothing."""
        if self._admit(now_ms) and payload in self._unanswered:
            self._unanswered.clear()
            self._waited_ms = 0

    def receive_binary(self) -> None:
        """End the connection: the exchange reads texts only."""
        self.close(UNSUPPORTED, "Binary frames are not supported")

    def tick(self, now_ms: int) -> None:
        """Let time pass: ping, and end what lasts too long or does not answer."""
        if not self.is_open:
            return
        if self._unanswered:
            self._waited_ms += min(now_ms - self._ticked_ms, self._rules.ping_every_ms)
        self._ticked_ms = now_ms
        if now_ms - self._opened_ms >= self._rules.lifetime_ms:
            self.close(GOING_AWAY, "The connection has lasted 24 hours")
        elif self._waited_ms >= self._rules.pong_within_ms:
            self.close(POLICY_VIOLATION, "Pong timeout")
        elif now_ms - self._pinged_ms >= self._rules.ping_every_ms:
            self._pinged_ms = now_ms
            for payload in self._interceptor(self, PING, str(now_ms)):
                self._unanswered.add(payload.encode())
                self._outlet.ping(payload.encode())

    # What goes out

    def receive(self, message: Message) -> None:
        """Send an event that it has subscribed to."""
        events = self._route.events
        is_wanted = not events or message.event in events or message.event == LISTEN_KEY_EXPIRED
        if is_wanted or not message.is_of_account:
            text = message.combined if self._is_combined else message.text
            self._pass_on(message.stream, text, message.stream if message.is_superseded else None)

    def deliver(self, text: str) -> None:
        """Send a text that an interceptor had held back."""
        if self.is_open:
            self._outlet.send(text, None)

    def close(self, code: int, reason: str) -> None:
        """End the connection."""
        if self.is_open:
            self.leave()
            self._outlet.close(code, reason)

    def leave(self) -> None:
        """Be told nothing more: the socket is gone."""
        self.is_open = False
        for name, is_told in self._names.items():
            if is_told:
                self._streams.remove(name, self)
        self._names.clear()

    def _pass_on(self, stream: str, text: str, superseded_by: str | None) -> None:
        for passed in self._interceptor(self, stream, text):
            self._outlet.send(passed, superseded_by)

    # Requests

    def _admit(self, now_ms: int) -> bool:
        """Count what comes in; end the connection where it is too much."""
        arrivals = self._arrivals
        while arrivals and arrivals[0] <= now_ms - _SECOND:
            arrivals.popleft()
        arrivals.append(now_ms)
        if len(arrivals) > self._rules.messages_per_second:
            self.close(POLICY_VIOLATION, "Too many requests")
        return self.is_open

    def _subscribe(self, frame: Frame) -> None:
        self._add(stream_names(frame))

    def _unsubscribe(self, frame: Frame) -> None:
        for name in stream_names(frame):
            if self._names.pop(name, False):
                self._streams.remove(name, self)

    def _set_property(self, frame: Frame) -> None:
        self._is_combined = property_value(frame)

    def _get_property(self, frame: Frame) -> bool:
        check_property(frame)
        return self._is_combined

    def _add(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._names:
                continue
            is_told = self._names[name] = self._is_carried(name)
            if is_told:
                self._streams.add(name, self)
        if len(self._names) > self._rules.max_streams:
            self.close(POLICY_VIOLATION, "Too many streams")

    def _is_carried(self, name: str) -> bool:
        """Return whether events of a name come on this connection; a name of no stream may be a listen key."""
        stream = parse_stream(name)
        category = stream.kind.category if stream else Category.PRIVATE
        return category in self._route.categories
