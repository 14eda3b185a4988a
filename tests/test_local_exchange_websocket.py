"""Connections of streams: addresses, frames and limits without a socket, then the same over sockets."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rl_trader.local_exchange.shells.websocket import MOST_WAITING, SocketOutlet, StreamRoutes
from rl_trader.local_exchange.streams.connection import (
    GOING_AWAY,
    POLICY_VIOLATION,
    UNSUPPORTED,
    Connection,
    ConnectionRules,
    Interceptor,
    as_it_is,
)
from rl_trader.local_exchange.streams.message import Message, Subscriber, account_message, market_message
from rl_trader.local_exchange.streams.names import Category
from rl_trader.local_exchange.streams.routes import UNSPLIT_BEFORE, UNSPLIT_TODAY, Route, parse_route

MINUTE = 60_000
KEY = "k" * 64
TRADE, BOOK = "btcusdt@aggTrade", "btcusdt@bookTicker"


class Board:
    """Where connections subscribe: it says only what a test lets it say."""

    def __init__(self) -> None:
        self.subscribers: dict[str, list[Subscriber]] = {}

    def add(self, name: str, subscriber: Subscriber) -> None:
        """Let somebody be told."""
        self.subscribers.setdefault(name, []).append(subscriber)

    def remove(self, name: str, subscriber: Subscriber) -> None:
        """Let somebody no longer be told."""
        self.subscribers[name].remove(subscriber)
        if not self.subscribers[name]:
            del self.subscribers[name]

    def say(self, name: str, number: int = 0, *, is_superseded: bool = False) -> None:
        """Send an event of market data with a number."""
        self.tell(market_message(name, {"e": "said", "n": number}, is_superseded=is_superseded))

    def say_to_account(self, event: str, number: int = 0) -> None:
        """Send an event of the account with a number."""
        self.tell(account_message(KEY, {"e": event, "n": number}))

    def tell(self, message: Message) -> None:
        """Send a message to whoever has subscribed."""
        for subscriber in tuple(self.subscribers.get(message.stream, ())):
            subscriber.receive(message)


class Outbox:
    """Keeps what a connection sends."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.superseded: list[str | None] = []
        self.pings: list[bytes] = []
        self.closed: tuple[int, str] | None = None

    def send(self, text: str, superseded_by: str | None) -> None:
        """Keep a text."""
        assert self.closed is None
        self.texts.append(text)
        self.superseded.append(superseded_by)

    def ping(self, payload: bytes) -> None:
        """Keep a ping."""
        self.pings.append(payload)

    def close(self, code: int, reason: str) -> None:
        """Keep the end, after which nothing may come."""
        assert self.closed is None
        self.closed = code, reason

    @property
    def frames(self) -> list[Any]:
        """The texts, read as JSON."""
        return [json.loads(text) for text in self.texts]


class Client:
    """A connection at an address, its outbox and the board that it subscribes to."""

    def __init__(
        self,
        path: str,
        query: str = "",
        unsplit: frozenset[Category] = UNSPLIT_TODAY,
        interceptor: Interceptor = as_it_is,
        rules: ConnectionRules | None = None,
    ) -> None:
        route = parse_route(path, query, unsplit)
        assert route is not None
        self.board, self.outbox = Board(), Outbox()
        self.connection = Connection(
            self.board, route, self.outbox, 0, interceptor=interceptor, rules=rules or ConnectionRules()
        )

    def ask(self, method: str, params: list[Any] | None = None, frame_id: object = 1, now_ms: int = 0) -> Any:
        """Send a frame and return what comes back, or None."""
        frame = {"method": method, "id": frame_id} | ({} if params is None else {"params": params})
        return self.send(json.dumps(frame), now_ms)

    def send(self, text: str, now_ms: int = 0) -> Any:
        """Send a text and return what comes back, or None."""
        num_texts = len(self.outbox.texts)
        self.connection.receive_text(text, now_ms)
        return self.outbox.frames[-1] if len(self.outbox.texts) > num_texts else None


# ---- Addresses


@pytest.mark.parametrize(
    ("path", "query", "categories", "is_combined", "names"),
    [
        ("/market/ws/a@x", "", {"market"}, False, ["a@x"]),
        ("/market/ws/a@x/b@y", "", {"market"}, False, ["a@x", "b@y"]),
        ("/public/ws", "", {"public"}, False, []),
        ("/public/ws/", "", {"public"}, False, []),
        ("/public/stream", "streams=a@x/b@y", {"public"}, True, ["a@x", "b@y"]),
        ("/public/stream", "streams=a@x&streams=a@x", {"public"}, True, ["a@x"]),
        ("/private/ws/key", "", {"private"}, False, ["key"]),
        ("/private/ws", "listenKey=key", {"private"}, False, ["key"]),
        ("/private/stream", "listenKey=key", {"private"}, True, ["key"]),
        ("/market/ws/17", "", {"market"}, False, ["17"]),
        ("/ws/a@x", "", {"public"}, False, ["a@x"]),
        ("/ws", "", {"public"}, False, []),
        ("/stream", "streams=a@x", {"public"}, True, ["a@x"]),
    ],
)
def test_an_address_says_category_form_and_streams(
    path: str, query: str, categories: set[str], is_combined: bool, names: list[str]
) -> None:
    assert parse_route(path, query) == Route(
        categories=frozenset(Category(name) for name in categories), is_combined=is_combined, names=tuple(names)
    )


@pytest.mark.parametrize("path", ["/", "/public", "/public/other", "/wss", "/other/ws", "/public/public/ws"])
def test_no_stream_lives_at_other_addresses(path: str) -> None:
    assert parse_route(path, "streams=a@x") is None


def test_the_address_of_an_account_may_choose_its_events() -> None:
    route = parse_route("/private/ws", f"listenKey={KEY}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE")
    assert route is not None
    assert route.names == (KEY,)
    assert route.events == {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"}


def test_before_the_split_one_address_carried_everything() -> None:
    for unsplit, told in ((UNSPLIT_BEFORE, [TRADE, BOOK, KEY]), (UNSPLIT_TODAY, [BOOK])):
        client = Client(f"/ws/{TRADE}/{BOOK}/{KEY}", unsplit=unsplit)
        assert list(client.board.subscribers) == told


# ---- What goes out


def test_a_single_stream_sends_payloads_and_a_combined_one_wraps_them() -> None:
    single, combined = Client(f"/market/ws/{TRADE}"), Client("/market/stream", f"streams={TRADE}")
    for client in (single, combined):
        client.board.say(TRADE, 5)
    assert single.outbox.frames == [{"e": "said", "n": 5}]
    assert combined.outbox.frames == [{"stream": TRADE, "data": {"e": "said", "n": 5}}]


@pytest.mark.parametrize(
    ("path", "told"), [("/public/ws", [BOOK]), ("/market/ws", [TRADE]), ("/private/ws", [KEY]), ("/ws", [BOOK])]
)
def test_a_subscription_on_the_wrong_address_is_accepted_and_stays_silent(path: str, told: list[str]) -> None:
    client = Client(path)
    assert client.ask("SUBSCRIBE", [TRADE, BOOK, KEY]) == {"result": None, "id": 1}
    assert list(client.board.subscribers) == told
    assert client.ask("LIST_SUBSCRIPTIONS")["result"] == [TRADE, BOOK, KEY]


def test_an_account_hears_the_events_that_its_address_chose_and_the_end_of_its_key() -> None:
    client = Client("/private/ws", f"listenKey={KEY}&events=TRADE_LITE")
    for event in ("TRADE_LITE", "ACCOUNT_UPDATE", "listenKeyExpired"):
        client.board.say_to_account(event)
    assert [frame["e"] for frame in client.outbox.frames] == ["TRADE_LITE", "listenKeyExpired"]


def test_a_listen_key_is_a_stream_of_its_own_name_on_a_combined_connection() -> None:
    client = Client("/private/stream")
    assert client.ask("SUBSCRIBE", [KEY], "5b0b5c1e-6f5c") == {"result": None, "id": "5b0b5c1e-6f5c"}
    client.board.say_to_account("ACCOUNT_UPDATE")
    assert client.outbox.frames[-1] == {"stream": KEY, "data": {"e": "ACCOUNT_UPDATE", "n": 0}}


def test_only_market_data_that_later_data_replaces_may_be_left_out() -> None:
    client = Client(f"/market/ws/{TRADE}")
    client.board.say(TRADE, is_superseded=True)
    client.board.say(TRADE)
    client.ask("LIST_SUBSCRIPTIONS")
    account = Client(f"/private/ws/{KEY}")
    account.board.say_to_account("TRADE_LITE")
    assert (client.outbox.superseded, account.outbox.superseded) == ([TRADE, None, None], [None])


def test_an_interceptor_stands_before_everything_that_is_sent() -> None:
    held: list[str] = []

    def hold_and_double(connection: Connection, stream: str, text: str) -> Iterable[str]:
        if stream == TRADE:
            held.append(text)
            return ()
        return (text, text)

    client = Client(f"/market/ws/{TRADE}", interceptor=hold_and_double)
    client.board.say(TRADE)
    assert client.outbox.texts == []
    client.ask("LIST_SUBSCRIPTIONS")
    assert client.outbox.frames == [{"result": [TRADE], "id": 1}] * 2
    client.connection.deliver(held[0])
    assert client.outbox.frames[-1] == {"e": "said", "n": 0}


# ---- Frames


def test_streams_are_subscribed_listed_and_unsubscribed() -> None:
    client = Client("/market/ws/0")
    other = "btcusdt@kline_1m"
    assert client.ask("SUBSCRIBE", [TRADE, other, TRADE], 3) == {"result": None, "id": 3}
    assert client.ask("LIST_SUBSCRIPTIONS", frame_id="x") == {"result": ["0", TRADE, other], "id": "x"}
    client.board.say(TRADE)
    assert client.outbox.frames[-1]["e"] == "said"
    assert client.ask("UNSUBSCRIBE", [TRADE, "btcusdt@never"]) == {"result": None, "id": 1}
    assert list(client.board.subscribers) == [other]
    assert client.ask("LIST_SUBSCRIPTIONS", [])["result"] == ["0", other]


def test_wrapping_is_a_property_of_the_connection() -> None:
    client = Client(f"/market/ws/{TRADE}")
    assert client.ask("GET_PROPERTY", ["combined"]) == {"result": False, "id": 1}
    assert client.ask("SET_PROPERTY", ["combined", True]) == {"result": None, "id": 1}
    assert client.ask("GET_PROPERTY", ["combined"]) == {"result": True, "id": 1}
    client.board.say(TRADE)
    assert client.outbox.frames[-1]["stream"] == TRADE


@pytest.mark.parametrize(
    ("text", "code", "words", "frame_id"),
    [
        ("{", 3, "Invalid JSON", None),
        ("[]", 2, "Invalid request: expected an object", None),
        ('{"id":4}', 2, "Invalid request: missing field `method`", 4),
        ('{"method":"SUB","id":4}', 2, "Invalid request: unknown variant `SUB`, expected one of `SUBSCRIBE`", 4),
        ('{"method":["x"],"id":4}', 2, "Invalid request: unknown variant", 4),
        ('{"method":"SUBSCRIBE","params":["a@x"],"id":true}', 2, "Invalid request: request ID", None),
        ('{"method":"SUBSCRIBE","params":["a@x"],"id":[1]}', 2, "Invalid request: request ID", None),
        ('{"method":"SUBSCRIBE","params":"a@x","id":4}', 2, "Invalid request: params", 4),
        ('{"method":"SUBSCRIBE","params":[1],"id":4}', 2, "Invalid request: params", 4),
        ('{"method":"SUBSCRIBE","id":4}', 2, "Invalid request: params", 4),
        ('{"method":"GET_PROPERTY","params":["speed"],"id":4}', 0, "Unknown property", 4),
        ('{"method":"GET_PROPERTY","params":[1],"id":4}', 2, "Invalid request: property name must be a string", 4),
        ('{"method":"GET_PROPERTY","params":["combined",1],"id":4}', 2, "Invalid request: too many parameters", 4),
        ('{"method":"SET_PROPERTY","params":["speed",true],"id":4}', 0, "Unknown property", 4),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":4}', 1, "Invalid value type: expected Boolean", 4),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":4}', 1, "Invalid value type: expected Boolean", 4),
    ],
)
def test_a_frame_that_is_wrong_is_told_so_and_the_connection_goes_on(
    text: str, code: int, words: str, frame_id: object
) -> None:
    client = Client("/public/ws")
    answer = client.send(text)
    assert answer.keys() == {"code", "msg", "id"}
    assert (answer["code"], answer["id"]) == (code, frame_id)
    assert answer["msg"].startswith(words)
    assert client.connection.is_open


# ---- Limits


def test_the_eleventh_frame_of_a_second_ends_the_connection() -> None:
    client = Client(f"/market/ws/{TRADE}")
    for number in range(8):
        client.ask("LIST_SUBSCRIPTIONS", now_ms=number * 100)
    client.connection.receive_ping(800)
    client.connection.receive_pong(b"unasked", 900)
    client.ask("LIST_SUBSCRIPTIONS", now_ms=1000)  # the first one is a second old
    assert client.connection.is_open
    client.ask("LIST_SUBSCRIPTIONS", now_ms=1050)
    assert client.outbox.closed == (POLICY_VIOLATION, "Too many requests")
    assert client.board.subscribers == {}
    assert client.ask("LIST_SUBSCRIPTIONS", now_ms=9000) is None


def test_more_than_1024_streams_end_the_connection() -> None:
    client = Client("/market/ws")
    names = [f"s{number}@aggTrade" for number in range(1024)]
    assert client.ask("SUBSCRIBE", names) == {"result": None, "id": 1}
    assert client.ask("SUBSCRIBE", names[:1]) == {"result": None, "id": 1}
    client.ask("SUBSCRIBE", ["one@aggTrade"])
    assert client.outbox.closed == (POLICY_VIOLATION, "Too many streams")
    assert Client("/market/stream", "streams=" + "/".join([*names, "one@aggTrade"])).outbox.closed is not None


def test_a_ping_comes_every_three_minutes_and_ten_without_its_pong_end_the_connection() -> None:
    client = Client("/public/ws")
    for minute in range(1, 13):
        client.connection.tick(minute * MINUTE)
        assert len(client.outbox.pings) == minute // 3
    client.connection.receive_pong(b"", 12 * MINUTE)  # has not the payload of a ping
    client.connection.tick(13 * MINUTE - 1)
    assert client.connection.is_open
    client.connection.tick(13 * MINUTE)  # ten minutes after the first ping
    assert client.outbox.closed == (POLICY_VIOLATION, "Pong timeout")


def test_a_pong_keeps_the_connection_until_its_24_hours_are_over() -> None:
    client = Client("/public/ws")
    for minute in range(1, 24 * 60):
        client.connection.tick(minute * MINUTE)
        if minute % 3 == 0:
            client.connection.receive_pong(client.outbox.pings[-1], minute * MINUTE)
    assert client.connection.is_open
    client.connection.tick(24 * 60 * MINUTE)
    assert client.outbox.closed is not None
    assert client.outbox.closed[0] == GOING_AWAY


def test_a_clock_that_jumps_leaves_time_to_answer() -> None:
    client = Client("/public/ws")
    for jump in (1, 2, 3, 4):
        client.connection.tick(jump * 60 * MINUTE)
        assert client.connection.is_open
    client.connection.tick(5 * 60 * MINUTE)  # the fourth jump since the first ping, each of which counts three minutes
    assert not client.connection.is_open


def test_binary_frames_end_the_connection() -> None:
    client = Client("/public/ws")
    client.connection.receive_binary()
    assert client.outbox.closed is not None
    assert client.outbox.closed[0] == UNSUPPORTED


def test_rules_can_be_others() -> None:
    client = Client("/public/ws", rules=ConnectionRules(messages_per_second=1, lifetime_ms=10))
    client.connection.tick(9)
    assert client.connection.is_open
    client.connection.tick(10)
    assert not client.connection.is_open


# ---- Sockets

Use = Callable[[aiohttp.ClientSession, str], Awaitable[Any]]


class Serving:
    """A server of a board's streams; its clock stands still until a test moves it."""

    def __init__(self, **options: Any) -> None:
        self.board = Board()
        self.now_ms = 0
        self.routes = StreamRoutes(self.board, lambda: self.now_ms, **options)

    def run(self, use: Use) -> Any:
        """Return what a function of a client session and the server's address returns."""
        return asyncio.run(asyncio.wait_for(self._run(use), 30))

    async def _run(self, use: Use) -> Any:
        app = web.Application()
        self.routes.add_routes(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession() as session:
                return await use(session, f"ws://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()


async def answered(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Wait until the server has read everything that was sent."""
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 0})
    while "result" not in await socket.receive_json():
        pass


def test_events_arrive_over_a_socket_in_their_order() -> None:
    serving = Serving()

    async def use(session: aiohttp.ClientSession, url: str) -> list[Any]:
        async with session.ws_connect(f"{url}/market/stream?streams={TRADE}") as socket:
            await answered(socket)
            for number in range(500):
                serving.board.say(TRADE, number)
            return [await socket.receive_json() for _ in range(500)]

    frames = serving.run(use)
    assert [frame["data"]["n"] for frame in frames] == list(range(500))
    assert serving.board.subscribers == {}


@pytest.mark.parametrize("path", ["/public/other", "/private", "/publicws"])
def test_an_address_without_streams_is_404(path: str) -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await session.ws_connect(url + path)
        return error.value.status

    assert Serving().run(use) == 404


def test_a_request_that_is_no_websocket_is_refused() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> int:
        async with session.get(url.replace("ws:", "http:") + "/public/ws") as response:
            return response.status

    assert Serving().run(use) == 400


def test_percent_encoded_names_are_understood() -> None:
    serving = Serving()

    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(f"{url}/market/ws/{TRADE.replace('@', '%40')}") as socket:
            await answered(socket)
            assert list(serving.board.subscribers) == [TRADE]

    serving.run(use)


def test_pings_and_pongs_go_both_ways_with_their_payload() -> None:
    serving = Serving()

    async def use(session: aiohttp.ClientSession, url: str) -> list[tuple[aiohttp.WSMsgType, bytes]]:
        async with session.ws_connect(f"{url}/public/ws", autoping=False) as socket:
            await socket.ping(b"mine")
            received = [await socket.receive()]
            serving.now_ms = 3 * MINUTE
            serving.routes.tick()
            received.append(await socket.receive())
            return [(message.type, bytes(message.data)) for message in received]

    pong, ping = serving.run(use)
    assert pong == (aiohttp.WSMsgType.PONG, b"mine")
    assert ping == (aiohttp.WSMsgType.PING, b"180000")


def test_an_ordinary_client_answers_pings_by_itself() -> None:
    serving = Serving()

    async def use(session: aiohttp.ClientSession, url: str) -> int:
        async with session.ws_connect(f"{url}/public/ws") as socket:
            for _ in range(30):
                serving.now_ms += 3 * MINUTE
                serving.routes.tick()
                await answered(socket)
            return len(await asyncio.wait_for(alive(socket), 5))

    async def alive(socket: aiohttp.ClientWebSocketResponse) -> Any:
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 9})
        return await socket.receive_json()

    assert serving.run(use) == 2


def test_who_breaks_a_rule_is_closed_with_code_and_reason() -> None:
    serving = Serving()

    async def use(session: aiohttp.ClientSession, url: str) -> list[Any]:
        async with session.ws_connect(f"{url}/market/ws/{TRADE}") as socket:
            for number in range(11):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            answers = [await socket.receive() for _ in range(11)]
            return [message.data for message in answers]

    *answers, code = serving.run(use)
    assert [json.loads(text)["id"] for text in answers] == list(range(10))
    assert code == POLICY_VIOLATION
    assert serving.board.subscribers == {}


def test_when_the_server_stops_what_waits_is_sent_and_every_connection_is_closed() -> None:
    serving = Serving()
    received: list[Any] = []

    async def use(session: aiohttp.ClientSession, url: str) -> asyncio.Task[None]:
        socket = await session.ws_connect(f"{url}/private/ws/{KEY}")
        await answered(socket)
        for number in range(100):
            serving.board.say_to_account("TRADE_LITE", number)

        async def read() -> None:
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                received.append(message.json()["n"])
            received.append(message.data)

        reading = asyncio.create_task(read())
        await serving.routes.stop()
        await reading
        return reading

    serving.run(use)
    assert received == [*range(100), GOING_AWAY]


def test_a_client_that_goes_without_a_word_is_forgotten() -> None:
    serving = Serving()

    async def use(session: aiohttp.ClientSession, url: str) -> None:
        socket = await session.ws_connect(f"{url}/market/ws/{TRADE}")
        await answered(socket)
        assert socket._response.connection is not None
        assert socket._response.connection.transport is not None
        socket._response.connection.transport.abort()
        while serving.board.subscribers:
            await asyncio.sleep(0.01)

    serving.run(use)
    assert serving.board.subscribers == {}


def test_a_shell_can_cut_a_connection_without_a_word() -> None:
    serving = Serving()

    async def use(session: aiohttp.ClientSession, url: str) -> aiohttp.WSMessage:
        async with session.ws_connect(f"{url}/market/ws/{TRADE}/0") as socket:
            await answered(socket)
            [connection] = serving.routes.connections
            assert connection.names == (TRADE, "0")
            serving.routes.cut(connection)
            assert not serving.board.subscribers
            message = await socket.receive()
            assert not list(serving.routes.connections)
            return message

    message = serving.run(use)
    assert (message.type, message.data) in [
        (aiohttp.WSMsgType.CLOSED, None),
        (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.ABNORMAL_CLOSURE),
        (aiohttp.WSMsgType.ERROR, message.data),
    ]


def test_a_client_that_takes_nothing_is_cut_and_the_others_lose_nothing() -> None:
    serving = Serving()
    padding = "x" * 2000  # so that the sockets' own buffers are soon full

    async def use(session: aiohttp.ClientSession, url: str) -> list[int]:
        slow = await session.ws_connect(f"{url}/market/ws/{TRADE}", max_msg_size=0)
        quick = await session.ws_connect(f"{url}/private/ws/{KEY}")
        await answered(slow)
        await answered(quick)
        assert slow._response.connection is not None
        assert slow._response.connection.transport is not None
        slow._response.connection.transport.pause_reading()
        numbers: list[int] = []
        for number in range(MOST_WAITING + 5_000):
            serving.board.tell(market_message(TRADE, {"e": padding, "n": number}, is_superseded=False))
            if number % 100 == 0:
                serving.board.say_to_account("TRADE_LITE", number)
                numbers.append((await quick.receive_json())["n"])
        assert list(serving.board.subscribers) == [KEY]
        return numbers

    assert serving.run(use) == list(range(0, MOST_WAITING + 5_000, 100))


# ---- Queues


class StandingSocket:
    """A socket that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.gate = asyncio.Event()

    async def send_str(self, text: str) -> None:
        """Take a text once the gate is open."""
        await self.gate.wait()
        self.taken.append(text)

    async def close(self, *, code: int, message: bytes) -> None:
        """Take the end."""
        self.taken.append(f"{code} {message.decode()}")


def written(fill: Callable[[SocketOutlet], None]) -> tuple[list[str], int]:
    """Return what a socket takes that stood while an outlet was filled, and how often the outlet was cut."""

    async def run() -> tuple[list[str], int]:
        socket, cuts = StandingSocket(), list[int]()
        outlet = SocketOutlet(socket, lambda: cuts.append(1))  # type: ignore[arg-type]
        writing = asyncio.create_task(outlet.write())
        await asyncio.sleep(0)
        fill(outlet)
        socket.gate.set()
        await asyncio.wait_for(writing, 5)
        return socket.taken, len(cuts)

    return asyncio.run(run())


def test_where_few_frames_wait_nothing_is_left_out() -> None:
    def fill(outlet: SocketOutlet) -> None:
        for number in range(500):
            outlet.send(f"book {number}", BOOK)
        outlet.close(1000, "end")

    taken, _ = written(fill)
    assert taken == [*(f"book {number}" for number in range(500)), "1000 end"]


def test_where_many_frames_wait_the_latest_of_a_stream_is_kept_and_every_event_of_an_account() -> None:
    def fill(outlet: SocketOutlet) -> None:
        for number in range(5_000):
            outlet.send(f"book {number}", BOOK)
            outlet.send(f"mark {number}", TRADE)
            if number % 2:
                outlet.send(f"order {number}", None)
        outlet.close(1000, "end")

    taken, num_cuts = written(fill)
    orders = [text for text in taken if text.startswith("order")]
    assert orders == [f"order {number}" for number in range(1, 5_000, 2)]
    assert taken[-4:] == ["book 4999", "mark 4999", "order 4999", "1000 end"]
    assert len(taken) < 4_000
    assert num_cuts == 0
    books = [int(text.split()[1]) for text in taken if text.startswith("book")]
    assert books == sorted(books)


def test_a_queue_that_grows_beyond_its_bound_cuts_the_connection() -> None:
    def fill(outlet: SocketOutlet) -> None:
        for number in range(MOST_WAITING + 10):
            outlet.send(f"order {number}", None)

    taken, num_cuts = written(fill)
    assert num_cuts == 1
    assert len(taken) <= 1
