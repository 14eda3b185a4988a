"""What may still be asked, what the exchange's time is, and which addresses can be reached."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.errors import ConfigError
from rl_trader.live.exchange.budget import MINUTE_MS, TEN_SECONDS_MS, Budget, Cost, Limits
from rl_trader.live.exchange.endpoints import ENDPOINTS, Use
from rl_trader.live.exchange.outcome import RawAnswer
from rl_trader.live.exchange.server_clock import RESYNC_MS, Estimate, Sample, ServerClock, estimate
from rl_trader.live.exchange.venue import DEMO, LIVE, Armed, Gate, Venue, VenueName
from rl_trader.live.exchange.wire import AiohttpTransport, WireRequest
from rl_trader.serialise import from_json, to_json
from tests.fault_stage import FaultStage

NOW = 1_800_000_000_000  # the begin of a minute
ENTRY, QUERY, EXIT = Cost(0, 1, Use.ENTRY), Cost(5, 0, Use.QUERY), Cost(1, 0, Use.EXIT)
CLOSE = Cost(0, 1, Use.EXIT)


def answer(status: int = 200, body: bytes = b"[]", at_ms: int = NOW, **headers: str) -> RawAnswer:
    """Return an answer to ``positions``; names of headers with _ for -."""
    heads = {name.replace("_", "-"): value for name, value in headers.items()}
    return RawAnswer(endpoint="positions", sent_ms=at_ms, received_ms=at_ms, status=status, body=body, headers=heads)


def used(weight: int, at_ms: int = NOW) -> Budget:
    return Budget().learned(answer(at_ms=at_ms, x_mbx_used_weight_1m=str(weight)))


# ---- Limits


@pytest.mark.parametrize(
    ("weight", "waits"),  # of an entry that weighs 1, a question that weighs 5 and an exit that weighs 1
    [
        (0, (0, 0, 0)),
        (1_199, (0, 0, 0)),
        (1_200, (MINUTE_MS, 0, 0)),  # half of 2400
        (1_675, (MINUTE_MS, 0, 0)),
        (1_676, (MINUTE_MS, MINUTE_MS, 0)),  # 1676 + 5 is above 70 % of 2400
        (2_399, (MINUTE_MS, MINUTE_MS, 0)),
        (2_400, (MINUTE_MS, MINUTE_MS, MINUTE_MS)),
    ],
)
def test_entries_end_at_half_questions_at_seven_tenths_and_exits_at_the_limit(
    weight: int, waits: tuple[int, int, int]
) -> None:
    budget = used(weight)
    costs = (Cost(1, 0, Use.ENTRY), QUERY, EXIT)
    assert tuple(budget.wait_ms(cost, NOW) for cost in costs) == waits
    assert all(budget.wait_ms(cost, NOW + MINUTE_MS) == 0 for cost in costs)


def test_what_weighs_nothing_does_not_wait_for_weight() -> None:
    assert used(2_400).wait_ms(ENTRY, NOW) == used(9_999).wait_ms(CLOSE, NOW) == 0


def test_orders_are_counted_in_ten_seconds_and_in_a_minute() -> None:
    budget = Budget()
    for _ in range(150):
        assert budget.wait_ms(ENTRY, NOW + 3_000) == 0
        budget = budget.charged(ENTRY, NOW + 3_000)
    assert budget.wait_ms(ENTRY, NOW + 3_000) == 7_000
    assert budget.wait_ms(CLOSE, NOW + 3_000) == 0
    told = budget.learned(answer(x_mbx_order_count_10s="300", x_mbx_order_count_1m="600"))
    assert told.wait_ms(CLOSE, NOW + 3_000) == 7_000
    assert told.wait_ms(ENTRY, NOW + 3_000) == MINUTE_MS - 3_000  # half of 1200 in the minute
    assert told.wait_ms(CLOSE, NOW + TEN_SECONDS_MS) == 0


def test_what_is_on_its_way_counts_though_the_exchange_has_not_counted_it() -> None:
    budget = used(1_000).charged(Cost(300, 0, Use.QUERY), NOW)
    assert budget.learned(answer(x_mbx_used_weight_1m="1005")).weight.at(NOW) == 1_300
    assert budget.learned(answer(x_mbx_used_weight_1m="1500")).weight.at(NOW) == 1_500
    assert budget.learned(answer(at_ms=NOW + MINUTE_MS, x_mbx_used_weight_1m="7")).weight.at(NOW + MINUTE_MS) == 7


def test_a_clock_that_is_set_back_over_a_minutes_begin_forgets_nothing_and_one_set_far_back_everything() -> None:
    assert used(2_000).weight.at(NOW - 100) == 2_000
    assert used(2_000).weight.at(NOW - 2 * MINUTE_MS) == 0


@pytest.mark.parametrize("odd", ["", "-5", "1e3", "many", "٣"])
def test_a_header_that_is_no_number_tells_nothing(odd: str) -> None:
    assert used(1_000).learned(answer(x_mbx_used_weight_1m=odd)).weight.at(NOW) == 1_000


def test_after_too_many_requests_nothing_is_sent_until_the_exchange_says() -> None:
    too_many = b'{"code":-1003,"msg":"Too many requests"}'
    told = Budget().learned(answer(429, too_many, at_ms=NOW + 1_000, retry_after="5"))
    silent = Budget().learned(answer(429, too_many, at_ms=NOW + 1_000))
    for cost in (ENTRY, QUERY, EXIT, CLOSE):
        assert (told.wait_ms(cost, NOW + 1_000), told.wait_ms(cost, NOW + 6_000)) == (5_000, 0)
        assert (silent.wait_ms(cost, NOW + 1_000), silent.wait_ms(cost, NOW + MINUTE_MS)) == (59_000, 0)


@pytest.mark.parametrize(("words", "wait_ms"), [("300 orders per TEN_SECONDS.", 9_000), ("1200 per MINUTE.", 59_000)])
def test_after_too_many_orders_no_order_is_sent_and_questions_are(words: str, wait_ms: int) -> None:
    body = f'{{"code":-1015,"msg":"Too many new orders; current limit is {words}"}}'.encode()
    budget = Budget().learned(answer(429, body, at_ms=NOW + 1_000))
    assert budget.wait_ms(ENTRY, NOW + 1_000) == budget.wait_ms(CLOSE, NOW + 1_000) == wait_ms
    assert budget.wait_ms(QUERY, NOW + 1_000) == 0


def test_a_ban_holds_everything_back_and_can_be_written_down() -> None:
    body = f'{{"code":-1003,"msg":"IP(1.1.1.1) banned until {NOW + 3 * MINUTE_MS}."}}'.encode()
    budget = Budget().learned(answer(418, body))
    again = from_json(Budget, to_json(budget), "budget")
    assert again == budget
    for cost in (ENTRY, QUERY, EXIT, CLOSE):
        assert again.wait_ms(cost, NOW + 1) == 3 * MINUTE_MS - 1
        assert again.wait_ms(cost, NOW + 3 * MINUTE_MS) == 0
    shorter = budget.learned(answer(418, b"{}", retry_after="1"))
    assert shorter.banned_until_ms == budget.banned_until_ms


def test_limits_are_those_that_the_exchange_lists() -> None:
    stage = FaultStage()
    listed = stage.respond("GET", "/fapi/v1/exchangeInfo")
    info = replace(answer(body=listed.body), endpoint="exchange_info")
    assert Budget().learned(info).limits == Limits()  # September 2026's
    rows = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 20},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 1},
        {"rateLimitType": [], "interval": {}, "limit": 5},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": "0"},
        7,
    ]
    assert Limits().told_by({"rateLimits": rows}) == Limits(weight_per_minute=6_000, orders_per_10_s=20)
    odds: list[object] = [None, [], {}, {"rateLimits": None}]
    for odd in odds:
        assert Limits().told_by(odd) == Limits()


@given(
    st.lists(st.tuples(st.sampled_from([ENTRY, QUERY, EXIT, CLOSE]), st.integers(0, 4_000)), min_size=1, max_size=300)
)
def test_no_sequence_of_calls_that_are_let_go_uses_more_than_its_share(calls: list[tuple[Cost, int]]) -> None:
    limits = Limits(weight_per_minute=60, orders_per_10_s=8, orders_per_minute=20)
    budget, now_ms = Budget(limits=limits), NOW
    spent: dict[tuple[str, int], int] = {}
    for cost, pause_ms in calls:
        now_ms += pause_ms
        if budget.wait_ms(cost, now_ms):
            continue
        budget = budget.charged(cost, now_ms)
        share = {Use.ENTRY: 0.5, Use.QUERY: 0.7, Use.EXIT: 1.0}[cost.use]
        for kind, amount, length, limit in (
            ("weight", cost.weight, MINUTE_MS, 60),
            ("ten", cost.orders, TEN_SECONDS_MS, 8),
            ("minute", cost.orders, MINUTE_MS, 20),
        ):
            window = (kind, now_ms // length)
            spent[window] = spent.get(window, 0) + amount
            assert not amount or spent[window] <= limit * share


def test_the_trader_at_rest_uses_a_twentieth_of_the_weight() -> None:
    # Every 15 s position, orders and conditional orders of a symbol, each minute the account's settings.
    asked = ["positions", "order.open", "algo.open"] * 4 + ["account_config", "symbol_config", "time"]
    weight = sum(ENDPOINTS[name].weight_of({"symbol": "BTCUSDT"}) for name in asked)
    assert weight <= 2_400 * 0.05


# ---- The clock


def test_the_quickest_answer_tells_the_time() -> None:
    slow, quick = Sample(1_000, 1_400, 51_300), Sample(2_000, 2_010, 52_005)
    assert estimate([slow, quick, slow]) == Estimate(50_000, 6)


def test_a_sample_with_which_most_others_disagree_is_not_trusted() -> None:
    good = [Sample(1_000 * k, 1_000 * k + 20, 1_000 * k + 10 + 500) for k in range(3)]
    lying = Sample(9_000, 9_001, 9_000 + 3_600_000)  # quicker than all others
    assert estimate([lying, *good]) == Estimate(500, 11)
    assert estimate([lying, good[0]]) is None
    assert estimate([]) is None
    assert estimate([Sample(10, 0, 5)]) is None  # the local clock went back


@given(st.integers(-(10**12), 10**12), st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 2_000)), min_size=1))
def test_the_clock_is_never_wrong_by_more_than_it_says(offset_ms: int, ways: list[tuple[int, int]]) -> None:
    samples = [
        Sample(10_000 * k, 10_000 * k + there + back, 10_000 * k + there + offset_ms)
        for k, (there, back) in enumerate(ways)
    ]
    found = estimate(samples)
    assert found is not None
    assert abs(found.offset_ms - offset_ms) <= found.error_ms
    assert found.error_ms <= min(there + back for there, back in ways) // 2 + 1


def test_a_clock_goes_on_by_itself_until_it_is_set_again() -> None:
    local_ms = 0
    clock = ServerClock(lambda: local_ms)
    assert (clock.is_set, clock.is_stale, clock.error_ms, clock.now_ms()) == (False, True, None, 0)
    assert clock.set_by([Sample(0, 10, 105)])
    assert (clock.is_set, clock.is_stale, clock.error_ms, clock.now_ms()) == (True, False, 6, 100)
    local_ms = RESYNC_MS
    assert (clock.is_stale, clock.now_ms()) == (True, RESYNC_MS + 100)
    assert not clock.set_by([])
    assert clock.now_ms() == RESYNC_MS + 100


# ---- Addresses

PAPER = Venue.paper("http://127.0.0.1:8080/", "ws://127.0.0.1:8080")


@pytest.mark.parametrize(
    "address",
    [
        "https://fapi.binance.com",
        "http://fapi.binance.com",
        "https://demo-fapi.binance.com",
        "http://localhost:8080",  # a name may lead anywhere
        "http://127.0.0.1.evil.example:80",
        "http://127.0.0.1@fapi.binance.com",
        "http://fapi.binance.com@127.0.0.1",
        "http://192.168.1.7:8080",
        "http://0.0.0.0:8080",
        "https://127.0.0.1",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "http://127.0.0.1/x",
        "",
    ],
)
def test_a_local_exchange_is_on_this_machine_or_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="of this machine"):
        Venue.paper(address, "ws://127.0.0.1:1")
    with pytest.raises(ConfigError, match="of this machine"):
        Venue.paper("http://127.0.0.1:1", address)


def test_a_local_exchange_may_have_any_address_of_loopback() -> None:
    assert Venue.paper("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/").rest == "http://127.0.0.1:8080"
    assert Venue.paper("http://[::1]:8080", "ws://127.1.2.3:1").origins == {"http://::1:8080", "ws://127.1.2.3:1"}


@pytest.mark.parametrize("name", [VenueName.DEMO, VenueName.LIVE])
def test_the_exchanges_own_venues_have_the_addresses_that_they_have(name: VenueName) -> None:
    for rest in ("https://fapi.binance.com.evil.example", "http://127.0.0.1:1", "https://dapi.binance.com"):
        with pytest.raises(ConfigError, match="must have the addresses"):
            Venue(name=name, rest=rest, streams=DEMO.streams, wallet=None)


@pytest.mark.parametrize("armed", [None, True, "armed", object()])
def test_the_real_exchange_is_out_of_reach_unless_somebody_has_armed_the_trader(armed: object) -> None:
    with pytest.raises(ConfigError, match="arm it"):
        Gate(LIVE, armed)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="arm the trader"):
        Armed(" ")
    gate = Gate(LIVE, Armed("in a test, of which nothing is sent"))
    for address in (
        "https://fapi.binance.com/fapi/v1/time",
        "https://fapi.binance.com:443/fapi/v1/time?x=1",
        "wss://fstream.binance.com/market/stream?streams=a",
        "https://api.binance.com/sapi/v1/account/apiRestrictions",
    ):
        gate.check(address)


ELSEWHERE = [
    "https://fapi.binance.com/fapi/v1/order",
    "https://demo-fapi.binance.com/fapi/v1/order",
    "http://127.0.0.1:8081/fapi/v1/order",
    "https://127.0.0.1:8080/fapi/v1/order",
    "http://user@127.0.0.1:8080/fapi/v1/order",
    "http://127.0.0.1:8080@fapi.binance.com/",
    "http://fapi.binance.com#@127.0.0.1:8080/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:8080.evil.example/",
    "//127.0.0.1:8080/",
    "",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nothing_but_the_venue_is_reached_whether_the_trader_is_armed_or_not(url: str) -> None:
    for gate in (Gate(PAPER), Gate(PAPER, Armed("in a test"))):
        gate.check("http://127.0.0.1:8080/fapi/v1/order")
        with pytest.raises(ConfigError, match="not among them"):
            gate.check(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_it_is_the_transport_that_sends_nothing_elsewhere(url: str) -> None:
    async def send() -> None:
        transport = AiohttpTransport(Gate(PAPER))
        with pytest.raises(ConfigError, match="not among them"):
            await transport.send(WireRequest("GET", url, {}))
        await transport.close()

    asyncio.run(send())


def test_the_demo_has_no_calls_about_keys_and_cannot_reach_the_real_exchange() -> None:
    assert DEMO.wallet is None
    gate = Gate(DEMO)
    gate.check("https://demo-fapi.binance.com/fapi/v1/time")
    for origin in LIVE.origins:
        with pytest.raises(ConfigError, match="not among them"):
            gate.check(f"{origin}/")
