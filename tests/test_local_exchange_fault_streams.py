"""Faults of streams, and faults over real sockets of loopback."""

import asyncio
import socket
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import requests

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.shells import http
from rl_trader.local_exchange.streams.connection import PING
from tests.fault_stage import BAR, START, FaultStage, events, names, order

ORDER = "POST /fapi/v1/order"
FILL = ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"]  # of a market order
KLINE = "btcusdt@kline_30m"


def frames(action: str, on: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"on": on, "do": {"action": action, **fields}}


TRADES = {"event": "ORDER_TRADE_UPDATE", "execution": "TRADE"}


# ---- Events of accounts


def test_events_come_once_and_in_their_order_without_faults() -> None:
    stage = FaultStage()
    client = stage.listen()
    stage.order()
    assert names(client) == FILL


def test_an_event_comes_twice() -> None:
    stage = FaultStage(frames("duplicate", TRADES))
    client = stage.listen()
    stage.order()
    assert names(client) == [*FILL, "ORDER_TRADE_UPDATE"]
    assert client.inbox.texts[-1] == client.inbox.texts[-2]


def test_an_event_never_comes_and_the_account_has_changed() -> None:
    stage = FaultStage(frames("drop", {**TRADES, "nth": 1}))
    client = stage.listen()
    stage.order()
    assert names(client) == FILL[:-1]
    stage.order()
    assert names(client) == FILL[:-1] + FILL
    assert stage.held() == Decimal("0.2")


def test_an_event_is_overtaken_by_the_next_one() -> None:
    stage = FaultStage(frames("reorder", {"event": "*", "account": "main"}))
    client = stage.listen()
    stage.order()
    assert names(client) == ["ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "TRADE_LITE"]
    assert [event["o"]["x"] for event in events(client) if "o" in event] == ["NEW", "TRADE"]


def test_an_event_waits_for_the_next_one_however_late_that_is() -> None:
    stage = FaultStage(frames("reorder", {**TRADES, "nth": 1}))
    client = stage.listen()
    stage.order()
    stage.wait(60_000)
    assert names(client) == FILL[:-1]
    stage.order(price="49000")
    assert [event["o"]["x"] for event in events(client) if "o" in event] == ["NEW", "NEW", "TRADE"]


def test_an_event_comes_late_and_others_overtake_it() -> None:
    stage = FaultStage(frames("delay", {**TRADES, "nth": 1}, ms=5_000), frames("duplicate", {**TRADES, "nth": 2}))
    client = stage.listen()
    stage.order()
    stage.order(price="49000")
    stage.wait(4_999)
    assert names(client) == [*FILL[:-1], "ORDER_TRADE_UPDATE"]
    stage.wait(1)
    assert [event["o"]["x"] for event in events(client) if "o" in event] == ["NEW", "NEW", "TRADE"]


def test_events_of_another_account_or_side_are_not_met() -> None:
    stage = FaultStage(
        frames("drop", {"event": "*", "account": "other"}),
        frames("drop", {"event": "*", "side": "SELL"}),
        frames("drop", {"event": "*", "symbol": "BTCUSDT", "type": "LIMIT"}),
    )
    client = stage.listen()
    stage.order()
    assert names(client) == FILL
    stage.order("SELL")
    assert names(client) == [*FILL, "ACCOUNT_UPDATE"]
    assert stage.faults.unfired() == ["1 drop", "3 drop"]


def test_frames_that_are_wrapped_or_lists_are_met_too() -> None:
    stage = FaultStage(frames("duplicate", TRADES), frames("drop", {"event": "markPriceUpdate", "symbol": "BTCUSDT"}))
    key = stage.venue.hub.listen_keys.start("main", stage.venue.session_ms())
    wrapped = stage.streams.connect(f"ws://x/private/stream?streams={key}")
    prices = stage.streams.connect("ws://x/market/ws/!markPrice@arr@1s/btcusdt@kline_30m")
    stage.order()
    assert [event["data"]["e"] for event in events(wrapped)] == [*FILL, "ORDER_TRADE_UPDATE"]
    stage.next_open()
    assert set(names(prices)) == {"kline"}


# ---- Silence and ends


def test_one_stream_is_silent_for_a_while_and_the_others_of_its_connection_are_not() -> None:
    mute = frames("mute", {"stream": KLINE, "nth": 2}, for_ms=BAR)
    stage = FaultStage(mute)
    client = stage.watch(KLINE, "btcusdt@markPrice")
    stage.next_open()
    candles = [event for event in events(client) if event["e"] == "kline"]
    assert len(candles) == 1
    marks = len(events(client)) - 1
    assert marks > 1
    assert client.connection.is_open
    stage.next_open()
    stage.next_open()
    assert len([event for event in events(client) if event["e"] == "kline"]) > 1


def test_a_whole_connection_is_silent_also_its_answers_and_pings() -> None:
    stage = FaultStage(frames("mute", {"stream": "btcusdt@markPrice", "nth": 1}, for_ms=BAR, whole_connection=True))
    client, other = stage.watch("btcusdt@markPrice"), stage.watch("btcusdt@markPrice")
    stage.wait(BAR // 3)
    client.connection.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":1}', stage.venue.session_ms())
    assert (client.inbox.texts, client.inbox.pings) == ([], [])
    assert not client.connection.receive_ping(stage.venue.session_ms())
    assert client.connection.is_open
    assert other.inbox.texts
    assert other.inbox.pings
    stage.wait(BAR)
    client.connection.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":2}', stage.venue.session_ms())
    assert events(client)[-1] == {"result": ["btcusdt@markPrice"], "id": 2}
    assert client.inbox.pings


def test_the_stream_of_an_account_is_silent_at_a_moment() -> None:
    silent = {"on": {"time": START + 60_000}, "do": {"action": "mute", "stream": "user:main", "for_ms": 60_000}}
    stage = FaultStage(silent)
    client, other = stage.listen(), stage.listen("other")
    stage.wait(60_000)
    stage.order()
    stage.ask("POST", "/fapi/v1/order", "other", **order())
    assert (names(client), names(other)) == ([], FILL)
    stage.wait(60_000)
    stage.order("SELL")
    assert names(client) == FILL


@pytest.mark.parametrize("close_code", [None, 1012])
def test_a_connection_ends_before_a_frame(close_code: int | None) -> None:
    closed = {"stream": "btcusdt@kline_*", "bar_closed": True, "nth": 1}
    stage = FaultStage(frames("disconnect", closed, close_code=close_code))
    client, other = stage.watch(KLINE), stage.watch("btcusdt@markPrice")
    stage.next_open()
    assert not any(event["k"]["x"] for event in events(client))
    assert (client.connection.is_open, client.inbox.close_code) == (False, close_code)
    assert other.connection.is_open
    again = stage.watch(KLINE)
    stage.next_open()
    assert [event["k"]["t"] for event in events(again) if event["k"]["x"]] == [START + BAR]


@pytest.mark.parametrize(
    ("stream", "ended"), [("*", [True, True]), ("user:*", [False, True]), ("user:other", [False, False])]
)
def test_connections_that_carry_a_stream_end_at_a_moment(stream: str, ended: list[bool]) -> None:
    stage = FaultStage({"on": {"time": START + 1}, "do": {"action": "disconnect", "stream": stream}})
    clients = [stage.watch(KLINE), stage.listen()]
    stage.wait(1)
    assert [not client.connection.is_open for client in clients] == ended


def test_a_candle_comes_late() -> None:
    stage = FaultStage(frames("delay", {"stream": KLINE, "bar_closed": True}, ms=20_000))
    client = stage.watch(KLINE)
    stage.next_open()
    stage.wait(19_998)  # the candle ended one millisecond before the next one opened
    assert not any(event["k"]["x"] for event in events(client))
    stage.wait(1)
    assert events(client)[-1]["k"]["t"] == START
    assert events(client)[-1]["k"]["x"]


def test_a_name_that_means_nothing_passes() -> None:
    stage = FaultStage(frames("drop", {"stream": "nothing"}))
    client = stage.streams.connect("ws://x/ws/anything")
    client.connection.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":1}', stage.venue.session_ms())
    assert events(client) == [{"result": ["anything"], "id": 1}]
    assert list(stage.faults.pass_frame(client.connection, PING, "7")) == ["7"]
    with pytest.raises(ConfigError, match="must be one of streams and is 'ws://x/fapi'"):
        stage.streams.connect("ws://x/fapi")


# ---- Over sockets


def post(stage: FaultStage, url: str) -> requests.Response:
    query, headers = stage.signed(**order())
    return requests.post(f"{url}/fapi/v1/order?{query}", headers=headers, timeout=10)


@pytest.mark.parametrize(("action", "held"), [("drop_request", Decimal(0)), ("drop_answer", Decimal("0.1"))])
def test_a_connection_is_closed_without_an_answer_over_a_socket(action: str, held: Decimal) -> None:
    stage = FaultStage(frames(action, {"endpoint": ORDER, "nth": 1}))
    with stage.serving() as server:
        with pytest.raises(requests.ConnectionError, match="Connection aborted"):
            post(stage, server.url)
        assert server.call(stage.held) == held
        assert post(stage, server.url).json()["status"] == "FILLED"


def test_an_answer_is_cut_over_a_socket() -> None:
    stage = FaultStage(frames("cut", {"endpoint": ORDER}, at_byte=10))
    with stage.serving() as server, pytest.raises(requests.exceptions.ChunkedEncodingError, match="10 bytes read"):
        post(stage, server.url)
    assert stage.held() == Decimal("0.1")


def test_a_status_and_a_page_come_over_a_socket() -> None:
    stage = FaultStage(frames("status", {"endpoint": ORDER}, status=502, carried_out=True))
    with stage.serving() as server:
        response = post(stage, server.url)
    assert (response.status_code, response.headers["Content-Type"]) == (502, "text/html")
    assert "<h1>502 Bad Gateway</h1>" in response.text
    assert stage.held() == Decimal("0.1")


def test_a_request_waits_for_its_delay_over_a_socket() -> None:
    waited: list[int] = []

    async def pause(pause_ms: int) -> None:
        waited.append(pause_ms)

    stage = FaultStage(
        frames("delay", {"endpoint": ORDER}, ms=1_234),
        frames("delay", {"endpoint": ORDER}, ms=77, of="answer"),
        pause=pause,
    )
    with stage.serving() as server:
        assert post(stage, server.url).json()["status"] == "FILLED"
    assert waited == [1_234, 77]


def test_the_machine_waits_where_nothing_else_is_said() -> None:
    stage = FaultStage(frames("delay", {"endpoint": ORDER}, ms=1))
    with stage.serving() as server:
        assert post(stage, server.url).json()["status"] == "FILLED"


def with_socket(stage: FaultStage, path: str, use: Any) -> Any:
    """Use a connection to a path of the exchange's server."""

    async def run(url: str) -> Any:
        async with aiohttp.ClientSession() as session, session.ws_connect(url + path) as connection:
            return await use(connection)

    with stage.serving() as server:
        return asyncio.run(run(server.ws_url))


def test_frames_of_the_websocket_api_meet_the_same_faults() -> None:
    stage = FaultStage(
        frames("unavailable", {"endpoint": "order.place", "nth": 1}, which="unknown", carried_out=True),
        frames("status", {"endpoint": "order.place", "nth": 2}, status=502, carried_out=False),
        frames("ban", {"endpoint": "order.place", "nth": 3}, for_ms=60_000),
    )
    frame = stage.frame("order.place", **order())

    async def use(connection: aiohttp.ClientWebSocketResponse) -> list[Any]:
        for _ in range(4):
            await connection.send_str(frame)
        await connection.send_str("nonsense")
        return [await connection.receive_json() for _ in range(5)]

    unknown, gateway, banned, still_banned, nonsense = with_socket(stage, "/ws-fapi/v1", use)
    text = "Unknown error, please check your request or try again later."
    assert unknown == {"id": "7", "status": 503, "error": {"code": -1000, "msg": text}}
    assert (gateway["id"], gateway["status"], gateway["error"]["code"]) == ("7", 502, -1000)
    assert (banned["id"], banned["status"], banned["error"]["code"]) == ("7", 418, -1003)
    assert banned["error"]["data"] == {"retryAfter": START + 60_000}
    assert still_banned == banned
    assert (nonsense["id"], nonsense["status"]) == (None, 418)
    assert stage.held() == Decimal("0.1")


def test_a_delayed_frame_keeps_its_place_and_a_skewed_one_its_id() -> None:
    waited: list[int] = []

    async def pause(pause_ms: int) -> None:
        waited.append(pause_ms)

    stage = FaultStage(
        frames("delay", {"endpoint": "order.place"}, ms=50),
        frames("clock_skew", {"endpoint": "session.status"}, ms=7),
        frames("forget_order", {"endpoint": "order.place"}, for_ms=60_000),
        pause=pause,
    )
    sent = [
        stage.frame("order.place", **order("BUY", "0.1", "49000")),
        stage.frame("order.status", symbol="BTCUSDT", orderId="8000000001"),
        '{"id":"s","method":"session.status"}',
    ]

    async def use(connection: aiohttp.ClientWebSocketResponse) -> list[Any]:
        for text in sent:
            await connection.send_str(text)
        return [await connection.receive_json() for _ in sent]

    placed, asked, status = with_socket(stage, "/ws-fapi/v1", use)
    assert placed["result"]["orderId"] == 8_000_000_001
    assert (asked["status"], asked["error"]["code"]) == (400, -2013)
    assert (status["id"], status["result"]["serverTime"]) == ("s", START + 7)
    assert waited == [50]


@pytest.mark.parametrize(("action", "held"), [("drop_request", Decimal(0)), ("drop_answer", Decimal("0.1"))])
def test_a_connection_of_the_websocket_api_ends_without_an_answer(action: str, held: Decimal) -> None:
    stage = FaultStage(frames(action, {"endpoint": "order.place"}))
    frame = stage.frame("order.place", **order())

    async def use(connection: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMsgType:
        await connection.send_str(frame)
        return (await connection.receive()).type

    assert with_socket(stage, "/ws-fapi/v1", use) in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert stage.held() == held


@pytest.mark.parametrize(("length", "head"), [(125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_the_head_of_a_frame_says_how_long_it_is(length: int, head: int) -> None:
    # RFC 6455, section 5.2: 7 bits, or 16 bits after 126, or 64 bits after 127.
    data = http._frame_head(length)
    assert (len(data), data[0]) == (head, 0x81)
    assert int.from_bytes(data[1:] if head == 2 else data[2:], "big") == length


def test_a_frame_of_the_websocket_api_is_cut_within() -> None:
    stage = FaultStage(frames("cut", {"endpoint": "order.place"}, at_byte=9))
    frame = stage.frame("order.place", **order()).encode()
    head = (
        b"GET /ws-fapi/v1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    mask = bytes(4)  # leaves what it masks as it is
    with (
        stage.serving() as server,
        socket.create_connection(("127.0.0.1", server.server.port), timeout=10) as client,
        client.makefile("rb") as reader,
    ):
        client.sendall(head)
        while reader.readline().strip():
            pass
        client.sendall(bytes([0x81, 0x80 + 126]) + len(frame).to_bytes(2, "big") + mask + frame)
        answer = reader.read()
    assert answer[:2] == bytes([0x81, 126])
    assert int.from_bytes(answer[2:4], "big") > 9
    assert answer[4:] == b'{"id":"7"'
    assert stage.held() == Decimal("0.1")


@pytest.mark.parametrize("path", ["/ws-fapi/v1", "/market/ws/btcusdt@kline_1m"])
def test_a_connection_is_refused_while_everything_is_down(path: str) -> None:
    down = {"on": {"endpoint": "GET /*ws*", "last": 1}, "do": {"action": "unavailable", "which": "service"}}
    stage = FaultStage(down)

    async def run(url: str) -> Any:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await session.ws_connect(url)
            async with session.ws_connect(url) as connection:
                return connection.closed

    with stage.serving() as server:
        assert asyncio.run(run(server.ws_url + path)) is False


@pytest.mark.parametrize(("code", "wanted"), [(1012, aiohttp.WSMsgType.CLOSE), (None, aiohttp.WSMsgType.CLOSED)])
def test_a_streams_socket_ends(code: int | None, wanted: aiohttp.WSMsgType) -> None:
    end = frames("disconnect", {"event": "ORDER_TRADE_UPDATE"}, close_code=code)
    stage = FaultStage(end, frames("drop", {"event": "never"}))
    key = stage.venue.hub.listen_keys.start("main", stage.venue.session_ms())
    query, headers = stage.signed(**order())

    async def run(url: str, ws_url: str) -> Any:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{ws_url}/private/ws/{key}") as connection:
            await session.post(f"{url}/fapi/v1/order?{query}", headers=headers)
            return await connection.receive()

    with stage.serving() as server:
        message = asyncio.run(run(server.url, server.ws_url))
    # A reset is reported as an error or as a close without a code, whichever the machine notices first.
    assert message.type is wanted or (code is None and message.type is aiohttp.WSMsgType.ERROR)
    assert code is None or message.data == 1012
    assert stage.held() == Decimal("0.1")


def test_events_over_a_socket_are_doubled_and_sent_late() -> None:
    stage = FaultStage(frames("duplicate", {**TRADES}), frames("delay", {"event": "TRADE_LITE"}, ms=1_000))
    key = stage.venue.hub.listen_keys.start("main", stage.venue.session_ms())
    query, headers = stage.signed(**order())

    async def run(server: Any) -> list[str]:
        loop = asyncio.get_running_loop()
        address = f"{server.ws_url}/private/ws/{key}"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as connection:
            await session.post(f"{server.url}/fapi/v1/order?{query}", headers=headers)
            first = [(await connection.receive_json())["e"] for _ in range(4)]
            await loop.run_in_executor(None, lambda: server.call(lambda: stage.wait(1_000)))
            return [*first, (await connection.receive_json())["e"]]

    with stage.serving() as server:
        told = asyncio.run(run(server))
    assert told == ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "TRADE_LITE"]
