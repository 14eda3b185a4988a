"""REST of the live trader: every call reaches the local exchange once, and what comes back is what came."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.exchange import endpoints
from rl_trader.live.exchange.endpoints import ENDPOINTS, Access, Endpoint, Use
from rl_trader.live.exchange.outcome import Kind
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.secrets import Credentials, Secret
from rl_trader.live.exchange.venue import DEMO, Gate, Venue
from rl_trader.live.exchange.wire import AiohttpTransport, Patience, WireAnswer, WireRequest
from rl_trader.live.redaction import Redactor
from rl_trader.local_exchange.assembly import ENDPOINTS as SERVED
from rl_trader.local_exchange.protocol import endpoint as served
from rl_trader.local_exchange.protocol.signature import signature_of
from rl_trader.local_exchange.streams.routes import parse_route
from tests.fault_stage import FaultStage
from tests.live_rest_stage import (
    NOWHERE,
    MemoryWire,
    loopback,
    make_rest,
    order,
    outcome_of,
    rest_in_memory,
)

STOP: dict[str, Any] = {
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "triggerPrice": Decimal(45_000),
    "closePosition": True,
}
POST = "POST /fapi/v1/order"


def on(action: str, call: str = POST, **fields: Any) -> dict[str, Any]:
    """Return a fault that happens to the first such call."""
    return {"on": {"endpoint": call, "nth": 1}, "do": {"action": action, **fields}}


class Wire:
    """A transport that keeps what it is given and answers always the same."""

    def __init__(self, answer: WireAnswer) -> None:
        self.answer = answer
        self.requests: list[WireRequest] = []

    async def send(self, request: WireRequest) -> WireAnswer:
        """Keep a request."""
        self.requests.append(request)
        return self.answer

    async def close(self) -> None:
        """Do nothing."""


# ---- The table

SERVED_AT = {(each.method, each.path): each for each in SERVED}
SECURITY = {
    Access.PUBLIC: {served.Security.NONE},
    Access.KEY: {served.Security.USER_STREAM},
    Access.SIGNED: {served.Security.TRADE, served.Security.USER_DATA},
}
ASKED: list[dict[str, str]] = [
    {},
    {"symbol": "BTCUSDT"},
    *({"symbol": "BTCUSDT", "limit": str(limit)} for limit in (1, 99, 100, 499, 500, 1_000, 1_001, 1_500)),
]


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=list(ENDPOINTS))
def test_a_call_weighs_and_needs_what_the_local_exchange_asks_of_it(endpoint: Endpoint) -> None:
    there = SERVED_AT[endpoint.method, endpoint.url_path]
    assert there.security in SECURITY[endpoint.access]
    assert there.order_count == (int(endpoint.counts_as_order),) * 2
    assert endpoint.may_change == (endpoint.method != "GET" and endpoint.path != "listenKey")
    defaults = {parameter.name: parameter.default for parameter in there.parameters}
    for texts in ASKED:
        limit = {"limit": int(texts["limit"])} if "limit" in texts else {}
        arguments = defaults | texts | limit
        weight = there.weight if isinstance(there.weight, int) else there.weight(arguments)
        assert endpoint.weight_of(texts) == weight, texts


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=list(ENDPOINTS))
def test_a_call_goes_where_the_table_says_signed_as_it_says(endpoint: Endpoint) -> None:
    async def call() -> None:
        wire = Wire(WireAnswer(status=200, body=b'{"serverTime": 1700000000000}'))
        stage = FaultStage()
        key = stage.keys["main"]
        rest = make_rest(wire, key, lambda: 1_700_000_000_000)
        assert await rest.synchronise()
        del wire.requests[:]
        client_id = {endpoint.client_id: "a-1"} if endpoint.client_id else {}
        answer = await rest.call(
            endpoint.name, symbol="BTCUSDT", amount=Decimal("1E-7"), flag=True, none=None, **client_id
        )
        (request,) = wire.requests
        split = urlsplit(request.url)
        assert (request.method, split.path) == (endpoint.method, endpoint.url_path)
        assert request.url.startswith(NOWHERE.rest)
        text = split.query or request.body.decode()
        sent = {name: values[0] for name, values in parse_qs(text).items()}
        wanted = {"symbol": "BTCUSDT", "amount": "0.0000001", "flag": "true", **client_id}
        assert sent.items() >= wanted.items()
        assert ("X-MBX-APIKEY" in request.headers) == (endpoint.access is not Access.PUBLIC)
        if endpoint.access is Access.SIGNED:
            signed, _, signature = text.rpartition("&signature=")
            assert signature == signature_of(key.secret, signed.encode())
            assert (sent["timestamp"], sent["recvWindow"]) == ("1700000000000", "3000")
            assert set(sent) == {*wanted, "timestamp", "recvWindow", "signature"}
            assert (answer.sent_ms, answer.recv_window_ms) == (1_700_000_000_000, 3_000)
        else:
            assert sent == wanted
            assert answer.recv_window_ms == 0

    asyncio.run(call())


def test_streams_are_where_the_local_exchange_has_them() -> None:
    path = endpoints.market_path(endpoints.kline_stream("BTCUSDT", "30m"), endpoints.mark_price_stream("BTCUSDT"))
    split = urlsplit(path)
    route = parse_route(split.path, split.query)
    assert route is not None
    assert (route.is_combined, route.names) == (True, ("btcusdt@kline_30m", "btcusdt@markPrice@1s"))
    user = parse_route(endpoints.user_path("key"), "")
    assert user is not None
    assert (user.is_combined, user.names) == (False, ("key",))


def test_an_order_that_can_only_reduce_is_an_exit() -> None:
    place, stop = ENDPOINTS["order.place"], ENDPOINTS["algo.place"]
    assert place.use_of({"symbol": "BTCUSDT"}) is Use.ENTRY
    assert place.use_of({"reduceOnly": "false"}) is Use.ENTRY
    assert place.use_of({"reduceOnly": "true"}) is Use.EXIT
    assert stop.use_of({"closePosition": "true"}) is Use.EXIT
    assert ENDPOINTS["order.cancel"].use_of({}) is Use.EXIT
    assert ENDPOINTS["leverage.set"].use_of({"reduceOnly": "true"}) is Use.ENTRY


# ---- Every call on the local exchange


async def use_everything(rest: Rest, stage: FaultStage) -> None:
    """Call everything once, in an order in which each is accepted."""
    since = stage.venue.market_ms()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("time", {}),
        ("exchange_info", {}),
        ("klines", {"symbol": "BTCUSDT", "interval": "30m", "limit": 2}),
        ("mark_klines", {"symbol": "BTCUSDT", "interval": "30m", "limit": 2}),
        ("funding_rates", {"symbol": "BTCUSDT"}),
        ("funding_info", {}),
        ("premium_index", {"symbol": "BTCUSDT"}),
        ("position_mode.set", {"dualSidePosition": True}),
        ("position_mode", {}),
        ("position_mode.set", {"dualSidePosition": False}),
        ("margin_mode.set", {"symbol": "BTCUSDT", "marginType": "ISOLATED"}),
        ("leverage.set", {"symbol": "BTCUSDT", "leverage": 5}),
        ("order.place", order("a-1")),
        ("order.query", {"symbol": "BTCUSDT", "origClientOrderId": "a-1"}),
        ("algo.place", {**STOP, "clientAlgoId": "s-1"}),
        ("algo.query", {"clientAlgoId": "s-1"}),
        ("algo.open", {"symbol": "BTCUSDT"}),
        ("algo.all", {"symbol": "BTCUSDT"}),
        ("algo.cancel", {"clientAlgoId": "s-1"}),
        ("order.place", order("l-1", type="LIMIT", price=Decimal("49000.0"), timeInForce="GTC")),
        ("order.open", {"symbol": "BTCUSDT"}),
        ("order.countdown", {"symbol": "BTCUSDT", "countdownTime": 120_000}),
        ("order.cancel", {"symbol": "BTCUSDT", "origClientOrderId": "l-1"}),
        ("order.cancel_all", {"symbol": "BTCUSDT"}),
        ("order.all", {"symbol": "BTCUSDT", "startTime": since}),
        ("positions", {"symbol": "BTCUSDT"}),
        ("account", {}),
        ("balances", {}),
        ("account_config", {}),
        ("symbol_config", {"symbol": "BTCUSDT"}),
        ("trades", {"symbol": "BTCUSDT"}),
        ("income", {}),
        ("brackets", {"symbol": "BTCUSDT"}),
        ("commission", {"symbol": "BTCUSDT"}),
        ("fee_burn", {}),
        ("multi_assets", {}),
        ("listen_key.start", {}),
        ("listen_key.extend", {}),
        ("key.restrictions", {}),
    ]
    assert {name for name, _ in calls} == set(ENDPOINTS)
    for name, arguments in calls:
        answer, outcome = await outcome_of(rest, name, **arguments)
        assert outcome.kind is Kind.ACKED, (name, outcome)
        assert outcome.data == answer.data() != {}, name


def test_every_call_of_the_table_is_carried_out_in_memory() -> None:
    async def run() -> None:
        stage = FaultStage()
        await use_everything(await rest_in_memory(stage), stage)
        assert stage.held() == Decimal("0.1")

    asyncio.run(run())


def test_every_call_of_the_table_is_carried_out_over_sockets() -> None:
    async def run() -> None:
        stage = FaultStage()
        with loopback(stage) as rest:
            assert await rest.synchronise()
            await use_everything(rest, stage)
            await rest.close()
        assert stage.held() == Decimal("0.1")

    asyncio.run(run())


def test_a_refusal_comes_back_with_the_exchanges_code() -> None:
    async def run() -> None:
        rest = await rest_in_memory(FaultStage())
        for arguments, code in (
            (order(quantity="9999"), -4005),
            (order(quantity="100"), -2019),
            (order(quantity="0.0001"), -1111),
            (order(reduceOnly=True), -2022),
            (order(type="STOP_MARKET", stopPrice="1"), -4120),
        ):
            _, outcome = await outcome_of(rest, "order.place", **arguments)
            assert (outcome.kind, outcome.code, outcome.status) == (Kind.REJECTED, code, 400)
        _, missing = await outcome_of(rest, "order.query", symbol="BTCUSDT", origClientOrderId="never")
        assert (missing.kind, missing.code) == (Kind.REJECTED, -2013)

    asyncio.run(run())


def test_a_twin_of_a_resting_order_says_nothing() -> None:
    async def run() -> None:
        rest = await rest_in_memory(FaultStage())
        resting = order("l-1", type="LIMIT", price="49000.0", timeInForce="GTC")
        assert (await outcome_of(rest, "order.place", **resting))[1].kind is Kind.ACKED
        _, twin = await outcome_of(rest, "order.place", **resting)
        assert (twin.kind, twin.code) == (Kind.UNKNOWN, -4116)

    asyncio.run(run())


# ---- Faults

# Each fault of an order, what it must be taken for, and whether the exchange has carried it out.
FAULTS = [
    (on("drop_request"), Kind.UNKNOWN, None, False),
    (on("drop_answer"), Kind.UNKNOWN, None, True),
    (on("cut", at_byte=0), Kind.UNKNOWN, None, True),
    (on("cut", at_byte=40), Kind.UNKNOWN, None, True),
    *(
        (on("unavailable", which="unknown", carried_out=done, code=code), Kind.UNKNOWN, code, done)
        for done in (True, False)
        for code in (-1000, -1003, None)
    ),
    (on("unavailable", which="service"), Kind.REJECTED, -1000, False),
    (on("unavailable", which="service", code=None), Kind.REJECTED, None, False),
    (on("unavailable", which="internal"), Kind.UNKNOWN, -1001, False),
    (on("unavailable", which="throttled"), Kind.REJECTED, -1008, False),
    *((on("status", status=status, carried_out=True), Kind.UNKNOWN, None, True) for status in (500, 502, 504)),
    *((on("status", status=status, carried_out=False), Kind.UNKNOWN, None, False) for status in (500, 502, 504)),
    (on("status", status=408, carried_out=True), Kind.UNKNOWN, -1007, True),
    (on("status", status=403, carried_out=False), Kind.REJECTED, None, False),
    (on("rate_limit", retry_after_s=5), Kind.REJECTED, -1003, False),
    (on("rate_limit", of="orders"), Kind.REJECTED, -1015, False),
    (on("ban", for_ms=120_000), Kind.REJECTED, -1003, False),
    (on("timestamp"), Kind.REJECTED, -1021, False),
    (on("timestamp", code=-5028), Kind.REJECTED, -5028, False),
    (on("partial_fill", fraction=0.5), Kind.ACKED, None, True),
    (on("forget_order", for_ms=60_000), Kind.ACKED, None, True),
]
CASE = ("fault", "kind", "code", "is_done")


def case_name(value: object) -> str | None:
    """Return how a fault is called."""
    return " ".join(str(part) for part in value["do"].values()) if isinstance(value, dict) else None


async def one_order(rest: Rest, stage: FaultStage, kind: Kind, code: int | None, is_done: bool) -> None:
    _, outcome = await outcome_of(rest, "order.place", **order())
    assert (outcome.kind, outcome.code) == (kind, code), outcome
    assert bool(stage.held()) == is_done
    assert stage.faults.unfired() == []
    assert len(stage.faults.log.entries) == 1  # it came once


@pytest.mark.parametrize(CASE, FAULTS, ids=case_name)
def test_a_fault_of_an_order_in_memory_is_taken_for_what_it_is(
    fault: dict[str, Any], kind: Kind, code: int | None, is_done: bool
) -> None:
    async def run() -> None:
        stage = FaultStage(fault)
        await one_order(await rest_in_memory(stage), stage, kind, code, is_done)

    asyncio.run(run())


@pytest.mark.parametrize(CASE, FAULTS, ids=case_name)
def test_a_fault_of_an_order_over_sockets_is_taken_for_what_it_is(
    fault: dict[str, Any], kind: Kind, code: int | None, is_done: bool
) -> None:
    async def run() -> None:
        stage = FaultStage(fault)
        with loopback(stage) as rest:
            assert await rest.synchronise()
            await one_order(rest, stage, kind, code, is_done)
            await rest.close()

    asyncio.run(run())


def test_an_answer_that_does_not_come_in_time_says_nothing() -> None:
    async def run() -> None:
        stage = FaultStage(on("delay", of="answer", ms=1), pause=lambda _: never.wait())
        never = asyncio.Event()
        with loopback(stage, Patience(answer_s=0.3)) as rest:
            assert await rest.synchronise()
            answer, outcome = await outcome_of(rest, "order.place", **order())
            assert (outcome.kind, outcome.status, answer.is_written) == (Kind.UNKNOWN, None, True)
            assert "Timeout" in answer.failure
            await rest.close()
        assert stage.held() == Decimal("0.1")

    asyncio.run(run())


def test_where_nobody_listens_nothing_was_sent() -> None:
    async def run() -> None:
        with socket.socket() as taken:  # bound, and listening to nobody
            taken.bind(("127.0.0.1", 0))
            venue = Venue.paper(f"http://127.0.0.1:{taken.getsockname()[1]}", "ws://127.0.0.1:1")
            rest = make_rest(AiohttpTransport(Gate(venue)), None, lambda: 0, venue)
            answer, outcome = await outcome_of(rest, "time")
            assert not answer.is_written
            assert (outcome.kind, outcome.is_transient) == (Kind.REJECTED, True)
            assert not await rest.synchronise()
            await rest.close()

    asyncio.run(run())


# ---- Once and never again


@asynccontextmanager
async def server(answer: Callable[[int], bytes | None]) -> AsyncIterator[tuple[Venue, list[str]]]:
    """Serve what a function of the number of the request returns; None ends the connection without a word."""
    heard: list[str] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                heard.append(head.split(b"?")[0].decode())
                if (reply := answer(len(heard))) is None:
                    break
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    listening = await asyncio.start_server(begin, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield Venue.paper(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"), heard
    finally:
        listening.close()
        await asyncio.gather(*serving)


def whole(data: object, status: str = "200 OK", more: str = "") -> bytes:
    body = json.dumps(data).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def socket_rest(venue: Venue) -> Rest:
    credentials = Credentials(Secret("k" * 64), Secret("s" * 64))
    return make_rest(AiohttpTransport(Gate(venue)), None, lambda: 0, venue, credentials=credentials)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("order.cancel", {"symbol": "BTCUSDT", "origClientOrderId": "a"}),
        ("order.place", order()),
        ("listen_key.extend", {}),
        ("account", {}),
    ],
)
def test_a_call_is_not_sent_again_when_a_kept_connection_ends(name: str, arguments: dict[str, Any]) -> None:
    async def run() -> None:
        async with server(lambda number: whole({"serverTime": 0}) if number <= 5 else None) as (venue, heard):
            rest = socket_rest(venue)
            assert await rest.synchronise()
            _, outcome = await outcome_of(rest, name, **arguments)
            assert (outcome.kind, outcome.status) == (Kind.UNKNOWN, None)
            await rest.close()
        assert len(heard) == 6

    asyncio.run(run())


def test_no_call_follows_an_answer_to_another_address() -> None:
    async def run() -> None:
        moved = whole({"orderId": 8}, "307 Temporary Redirect", "Location: http://127.0.0.1:1/elsewhere\r\n")
        async with server(lambda number: whole({"serverTime": 0}) if number <= 5 else moved) as (venue, heard):
            rest = socket_rest(venue)
            assert await rest.synchronise()
            _, outcome = await outcome_of(rest, "order.cancel", symbol="BTCUSDT", origClientOrderId="a")
            assert (outcome.kind, outcome.status) == (Kind.UNKNOWN, 307)
            await rest.close()
        assert len(heard) == 6

    asyncio.run(run())


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\r\n",
        b"HTTP/1.1",
        b"HTTP/9 abc\r\n\r\n",
        b"\x00\xff" * 50,
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
    ],
    ids=lambda reply: repr(reply[:10]),
)
def test_what_is_no_answer_at_all_says_nothing(reply: bytes) -> None:
    async def run() -> None:
        replies = iter([*(whole({"serverTime": 0}) for _ in range(5)), reply])
        async with server(lambda _: next(replies, None)) as (venue, _):
            rest = make_rest(
                AiohttpTransport(Gate(venue), Patience(answer_s=0.3)),
                None,
                lambda: 0,
                venue,
                credentials=Credentials(Secret("k" * 64), Secret("s" * 64)),
            )
            assert await rest.synchronise()
            answer, outcome = await outcome_of(rest, "order.place", **order())
            assert outcome.kind is Kind.UNKNOWN
            assert answer.failure
            await rest.close()

    asyncio.run(run())


# ---- What is refused before anything is sent


def test_a_call_that_cannot_be_sent_is_refused_with_what_to_do() -> None:
    async def run() -> None:
        stage = FaultStage()
        rest = make_rest(MemoryWire(stage.transport), stage.keys["main"], stage.venue.session_ms)
        with pytest.raises(ConfigError, match="synchronise first"):
            await rest.call("account")
        assert await rest.synchronise()
        with pytest.raises(ConfigError, match="newClientOrderId"):
            await rest.call("order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
        with pytest.raises(ConfigError, match="clientAlgoId"):
            await rest.call("algo.place", **STOP)
        with pytest.raises(TypeError, match="float"):
            await rest.call("order.place", **order(quantity=0.1))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="finite"):
            await rest.call("order.place", **order(quantity=Decimal("NaN")))  # type: ignore[arg-type]
        stranger = make_rest(MemoryWire(stage.transport), None, stage.venue.session_ms)
        assert await stranger.synchronise()
        with pytest.raises(ConfigError, match="load the keys"):
            await stranger.call("account")
        demo = make_rest(MemoryWire(stage.transport), stage.keys["main"], stage.venue.session_ms, DEMO)
        assert await demo.synchronise()
        with pytest.raises(ConfigError, match="does not have"):
            await demo.call("key.restrictions")
        for window_ms in (0, 60_001):
            with pytest.raises(ConfigError, match="60000"):
                make_rest(MemoryWire(stage.transport), None, lambda: 0, recv_window_ms=window_ms)
        assert stage.held() == 0

    asyncio.run(run())


# ---- Clock and limits at work


def test_a_clock_that_is_far_off_is_set_by_the_exchange_and_by_no_single_wrong_answer() -> None:
    async def run() -> None:
        wrong = {"on": {"endpoint": "GET /fapi/v1/time", "nth": 2}, "do": {"action": "clock_skew", "ms": 3_600_000}}
        stage = FaultStage(wrong)
        rest = make_rest(
            MemoryWire(stage.transport), stage.keys["main"], lambda: stage.venue.session_ms() - 987_654_321
        )
        assert await rest.synchronise()
        assert rest.clock.now_ms() == stage.venue.session_ms()
        assert (await outcome_of(rest, "order.place", **order()))[1].kind is Kind.ACKED

    asyncio.run(run())


def test_a_clock_that_jumps_is_told_apart_and_set_again() -> None:
    async def run() -> None:
        stage = FaultStage()
        shift_ms = 0
        rest = make_rest(MemoryWire(stage.transport), stage.keys["main"], lambda: stage.venue.session_ms() + shift_ms)
        assert await rest.synchronise()
        for shift_ms in (-30_000, 30_000):
            _, outcome = await outcome_of(rest, "order.place", **order(f"a{shift_ms}"))
            assert (outcome.kind, outcome.code, outcome.is_clock_wrong) == (Kind.REJECTED, -1021, True)
            assert await rest.synchronise()
            assert (await outcome_of(rest, "order.place", **order(f"b{shift_ms}")))[1].kind is Kind.ACKED

    asyncio.run(run())


def test_the_window_in_which_a_request_may_arrive_is_sent() -> None:
    async def run() -> None:
        stage = FaultStage({**on("delay", of="request", ms=500)})  # half a second of the market, in memory
        late = await rest_in_memory(stage, recv_window_ms=400)
        assert (await outcome_of(late, "order.place", **order()))[1].code == -1021
        stage = FaultStage({**on("delay", of="request", ms=500)})
        rest = await rest_in_memory(stage)
        assert (await outcome_of(rest, "order.place", **order()))[1].kind is Kind.ACKED

    asyncio.run(run())


def test_nothing_is_sent_during_a_ban_nor_after_a_restart_within_it() -> None:
    async def run() -> None:
        stage = FaultStage(on("ban", for_ms=120_000))
        rest = await rest_in_memory(stage)
        _, banned = await outcome_of(rest, "order.place", **order())
        assert banned.ban_until_ms == rest.budget.banned_until_ms == stage.venue.session_ms() + 120_000
        used = stage.venue.limits.used_weight("127.0.0.1", stage.venue.session_ms())
        again = make_rest(MemoryWire(stage.transport), stage.keys["main"], stage.venue.session_ms, budget=rest.budget)
        assert not await again.synchronise()
        for each, name, arguments in (
            (rest, "time", {}),
            (rest, "positions", {}),
            (rest, "order.place", order(reduceOnly=True)),
            (again, "time", {}),
        ):
            answer, outcome = await outcome_of(each, name, **arguments)
            assert (outcome.kind, outcome.status, answer.is_written) == (Kind.REJECTED, None, False)
            assert outcome.retry_after_ms == 120_000
        assert stage.venue.limits.used_weight("127.0.0.1", stage.venue.session_ms()) == used
        stage.wait(120_000)
        assert (await outcome_of(rest, "time"))[1].kind is Kind.ACKED

    asyncio.run(run())


def test_limits_and_counts_are_learned_from_answers() -> None:
    async def run() -> None:
        stage = FaultStage()
        rest = await rest_in_memory(stage)
        for number in range(3):
            await rest.call("order.place", **order(f"a-{number}"))
        await rest.call("account")
        now_ms = stage.venue.session_ms()
        assert rest.budget.weight.at(now_ms) == stage.venue.limits.used_weight("127.0.0.1", now_ms) == 10
        assert rest.budget.orders_10_s.at(now_ms) == rest.budget.orders_minute.at(now_ms) == 3
        stage.ask("GET", "/fapi/v1/income")  # another program at the same address: 30
        await rest.call("time")
        assert rest.budget.weight.at(now_ms) == 41

    asyncio.run(run())


def test_entries_end_at_half_of_the_limit_where_the_exchange_would_still_take_them() -> None:
    async def run() -> None:
        stage = FaultStage()
        rest = await rest_in_memory(stage)
        kinds = [
            (await outcome_of(rest, "order.place", **order(f"a-{number}", "0.001")))[1].status for number in range(152)
        ]
        assert kinds == [200] * 150 + [None] * 2  # half of 300 in ten seconds
        assert (await outcome_of(rest, "order.place", **order("x", "0.001", side="SELL", reduceOnly=True)))[
            1
        ].status == 200
        assert (await outcome_of(rest, "order.query", symbol="BTCUSDT", origClientOrderId="a-0"))[1].status == 200
        stage.wait(10_000)
        assert (await outcome_of(rest, "order.place", **order("y", "0.001")))[1].status == 200

    asyncio.run(run())


def test_a_listen_key_is_hidden_as_soon_as_it_is_known() -> None:
    async def run() -> str:
        redactor = Redactor()
        rest = await rest_in_memory(FaultStage(), redactor=redactor)
        data = (await rest.call("listen_key.start")).data()
        assert isinstance(data, dict)
        return redactor.text(f"subscribed to [{data['listenKey']}]")

    assert asyncio.run(run()) == "subscribed to [<hidden>]"


def test_why_there_is_no_answer_is_told_without_the_signature() -> None:
    async def run() -> str:
        wire = Wire(WireAnswer(failure="InvalidURL: http://127.0.0.1/fapi/v1/order?signature=0f0f&timestamp=1"))
        rest = make_rest(wire, None, lambda: 0)
        return (await rest.call("time")).failure

    assert asyncio.run(run()) == "InvalidURL: http://127.0.0.1/fapi/v1/order?signature=<hidden>&timestamp=1"


def test_credentials_are_not_kept_where_the_client_shows_them() -> None:
    async def run() -> None:
        stage = FaultStage()
        rest = await rest_in_memory(stage)
        await rest.call("account")
        key = stage.keys["main"]
        shown = f"{rest!r} {rest._ccxt!r} {rest._ccxt.last_request_url} {rest._ccxt.last_request_headers}"
        assert key.key not in shown
        assert "signature" not in shown

    asyncio.run(run())


def test_calls_side_by_side_get_each_its_own_answer() -> None:
    async def run() -> None:
        with loopback(FaultStage()) as rest:
            assert await rest.synchronise()
            names = ["time", "account", "positions", "exchange_info", "account_config"] * 4
            answers = await asyncio.gather(*(rest.call(name) for name in names))
            assert [answer.endpoint for answer in answers] == names
            for answer in answers:
                assert ENDPOINTS[answer.endpoint].is_acknowledged_by(answer.data()), answer
            await rest.close()

    asyncio.run(run())
