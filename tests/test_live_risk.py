"""The risk gate refuses what an operator's caps, a stop or a doubt forbid, and never what only reduces."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.config import TradingConfig
from rl_trader.contract import load_terms
from rl_trader.errors import ConfigError
from rl_trader.live.core.caps import Caps, load_caps
from rl_trader.live.core.risk import Performance, Refusal, RiskGate, RiskOrder, RiskView, Rule, worst_notional
from rl_trader.live.core.words import StopKind

D = Decimal
NOW = 1_767_225_600_000 + 3_600_000  # 2026-01-01T01:00Z
DAY = 86_400_000
TERMS = load_terms("BTCUSDT")  # ticks of 0.10 above 556.80; market orders of 0.001 to 120, limit orders to 1000
CAPS = Caps(
    symbols=("BTCUSDT", "ETHUSDT"),
    max_order_notional=D(20_000),
    max_position_notional=D(30_000),
    max_leverage=D(3),
    price_band=D("0.01"),
    orders_per_minute=5,
    orders_per_day=50,
    turnover_per_day=D(100_000),
    max_daily_loss=D("0.05"),
    max_drawdown=D("0.2"),
    max_mark_age_ms=5_000,
    min_liquidation_distance=D("0.03"),
)
STEADY = Performance().noted(NOW - 3_600_000, D(10_000), D(0)).noted(NOW, D(10_000), D(0))
VIEW = RiskView(
    now_ms=NOW,
    terms=TERMS,
    stop=None,
    armed_until_ms=NOW + 1,
    banned_until_ms=0,
    mark_price=D(50_000),
    mark_ms=NOW - 1_000,
    last_price=D(50_000),
    amount=D(0),
    entries=(),
    has_unknown_order=False,
    order_times=(),
    traded_today=D(0),
    performance=STEADY,
    liquidation_price=D(0),
)
BUY = RiskOrder(symbol="BTCUSDT", amount=D("0.1"), is_reduce_only=False)  # 5,000 USDT
GATE = RiskGate(CAPS)

Case = tuple[dict[str, Any], dict[str, Any]]


def lost(day_pnl: str = "0", peak: str = "10000", equity: str = "10000") -> Performance:
    return replace(STEADY, day_pnl=D(day_pnl), peak_equity=D(peak), equity=D(equity))


# By rule: what of view and order breaks it, and what is just within it; all else is as in VIEW and BUY.
EDGES: dict[Rule, tuple[list[Case], list[Case]]] = {
    Rule.BANNED: ([({"banned_until_ms": NOW + 1}, {})], [({"banned_until_ms": NOW}, {})]),
    Rule.NOT_QUANTISED: (
        [
            ({}, {"amount": D("0.1005")}),
            ({}, {"amount": D("0")}),
            ({}, {"amount": D("NaN")}),
            ({}, {"amount": D("-Infinity")}),
            ({}, {"amount": TERMS.max_quantity + TERMS.step_size}),
            ({}, {"price": D("50000.05")}),
            ({}, {"price": D("NaN")}),
            ({}, {"price": D("556.7")}),
            ({}, {"price": TERMS.max_price + 1}),
        ],
        [({}, {"amount": D("0.001")}), ({}, {"price": D("50000.1")}), ({}, {"amount": D("-0.1"), "price": D("49999")})],
    ),
    Rule.STOPPED: ([({"stop": StopKind.HALT}, {}), ({"stop": StopKind.KILL}, {})], []),
    Rule.NOT_ARMED: (
        [({"armed_until_ms": NOW - 1}, {})],
        [({"armed_until_ms": NOW}, {}), ({"armed_until_ms": None}, {})],
    ),
    Rule.NOT_ALLOWED: (
        [({}, {"symbol": "XRPUSDT"}), ({}, {"symbol": "ETHUSDT"})],  # the view is of BTCUSDT
        [({"terms": replace(TERMS, symbol="ETHUSDT")}, {"symbol": "ETHUSDT"})],
    ),
    Rule.NOT_A_NUMBER: (
        [
            ({"amount": D("NaN")}, {}),
            ({"entries": (D(1), D("Infinity"))}, {}),
            ({"traded_today": D("NaN")}, {}),
            ({"liquidation_price": D("NaN")}, {}),
            ({"performance": replace(STEADY, equity=D("NaN"))}, {}),
            ({"performance": replace(STEADY, day_opening_equity=D("NaN"))}, {}),
            ({"performance": replace(STEADY, day_pnl=D("NaN"))}, {}),
            ({"performance": replace(STEADY, peak_equity=D("NaN"))}, {}),
        ],
        [],
    ),
    Rule.STALE: (
        [
            ({"mark_ms": NOW - 5_001}, {}),
            ({"mark_ms": NOW + 5_001}, {}),
            ({"mark_price": D(0)}, {}),
            ({"mark_price": D("NaN")}, {}),
            ({"last_price": D("-1")}, {}),
        ],
        [({"mark_ms": NOW - 5_000}, {}), ({"mark_ms": NOW + 5_000}, {})],
    ),
    Rule.UNKNOWN_ORDER: ([({"has_unknown_order": True}, {})], []),
    Rule.PRICE_BAND: (
        [
            ({"last_price": D("50500.1")}, {}),
            ({"last_price": D("49499.9")}, {}),
            ({}, {"price": D("50500.1")}),
            ({"last_price": D("40000")}, {"price": D("49499.9")}),
        ],
        [({"last_price": D("50500")}, {}), ({"last_price": D("40000")}, {"price": D("49500")})],
    ),
    Rule.MIN_NOTIONAL: (  # 50 USDT, as the exchange counts it: a market order at the mark price
        [
            ({"mark_price": D(49_999)}, {"amount": D("0.001")}),
            ({"last_price": D(50_100), "mark_price": D(49_999)}, {"amount": D("-0.001")}),
            ({}, {"amount": D("0.001"), "price": D("49999.9")}),
            ({"terms": replace(TERMS, min_notional=5_000.1)}, {}),
        ],
        [
            ({}, {"amount": D("0.001")}),
            ({"last_price": D(49_900)}, {"amount": D("0.001")}),
            ({"mark_price": D(49_999)}, {"amount": D("-0.001"), "price": D(50_000)}),
            ({"terms": replace(TERMS, min_notional=5_000.0)}, {}),
        ],
    ),
    Rule.ORDER_NOTIONAL: (
        [({}, {"amount": D("0.401")}), ({"mark_price": D("50200")}, {"amount": D("0.4")})],  # 0.4 * 50200 = 20080
        [({}, {"amount": D("0.4")}), ({}, {"amount": D("-0.4")})],
    ),
    Rule.POSITION_NOTIONAL: (
        [
            ({"amount": D("0.501")}, {}),
            ({"amount": D("0.2"), "entries": (D("0.2"), D("0.101"))}, {}),
            ({"amount": D("-0.501")}, {"amount": D("-0.1")}),
            ({"amount": D("0.5")}, {"price": D("50000.1")}),
        ],
        [
            ({"amount": D("0.5")}, {}),
            ({"amount": D("-0.6")}, {}),  # of the other side
            ({"amount": D("0.2"), "entries": (D("0.3"), D("-0.7"))}, {}),
        ],
    ),
    Rule.LEVERAGE: (
        [
            ({"performance": lost(equity="8999.9", peak="9000"), "amount": D("0.44")}, {}),  # 27,000 of 26,999.7
            ({"performance": lost(equity="-1", peak="10")}, {}),
        ],
        [({"performance": lost(equity="9000", peak="9000"), "amount": D("0.44")}, {})],
    ),
    Rule.ORDERS_PER_MINUTE: (
        [({"order_times": (NOW - 59_999,) * 5}, {})],
        [({"order_times": (NOW - 60_000, *(NOW - 59_999,) * 4)}, {})],
    ),
    Rule.ORDERS_PER_DAY: (
        [({"order_times": (NOW - DAY + 1,) * 50}, {})],
        [({"order_times": (NOW - DAY, *(NOW - DAY + 1,) * 49)}, {})],
    ),
    Rule.TURNOVER: (
        [
            ({"traded_today": D("95000.1")}, {}),
            ({"traded_today": D(85_000), "entries": (D("-0.201"),)}, {}),  # 10,050 are on their way
        ],
        [({"traded_today": D(95_000)}, {}), ({"traded_today": D(85_000), "entries": (D("-0.2"),)}, {})],
    ),
    Rule.DAILY_LOSS: (
        [({"performance": lost(day_pnl="-500")}, {}), ({"performance": Performance(equity=D(9_000))}, {})],
        [({"performance": lost(day_pnl="-499.99")}, {})],
    ),
    Rule.DRAWDOWN: (
        [({"performance": lost(peak="12500")}, {}), ({"performance": lost(peak="0")}, {})],
        [({"performance": lost(peak="12499")}, {})],
    ),
    Rule.LIQUIDATION_DISTANCE: (
        [
            ({"amount": D("0.1"), "liquidation_price": D("48500.1")}, {}),
            ({"amount": D("-0.1"), "liquidation_price": D("51499.9")}, {"amount": D("-0.1")}),
        ],
        [
            ({"amount": D("0.1"), "liquidation_price": D("48500")}, {}),
            ({"amount": D("0.1"), "liquidation_price": D(0)}, {}),
            ({"amount": D(0), "liquidation_price": D("49999")}, {}),
        ],
    ),
}
BREACHES = [(rule, *case) for rule, (breaches, _) in EDGES.items() for case in breaches]
ALLOWED = [(rule, *case) for rule, (_, allowed) in EDGES.items() for case in allowed]


def refusal(view: dict[str, Any], order: dict[str, Any]) -> Refusal | None:
    return GATE.refusal(replace(BUY, **order), replace(VIEW, **view))


def test_an_ordinary_order_goes() -> None:
    assert GATE.refusal(BUY, VIEW) is None


@pytest.mark.parametrize(("rule", "view", "order"), BREACHES)
def test_an_entry_beyond_an_edge_is_refused_by_its_rule(
    rule: Rule, view: dict[str, Any], order: dict[str, Any]
) -> None:
    found = refusal(view, order)
    assert found is not None
    assert found.rule is rule
    assert str(found) == found.reason
    assert len(found.reason) > 20


@pytest.mark.parametrize(("rule", "view", "order"), ALLOWED)
def test_an_entry_on_an_edge_goes(rule: Rule, view: dict[str, Any], order: dict[str, Any]) -> None:
    assert refusal(view, order) is None, rule


def test_every_rule_has_edges() -> None:
    assert set(EDGES) == set(Rule)


@pytest.mark.parametrize(("rule", "view", "order"), BREACHES)
def test_a_reduce_only_order_goes_but_in_a_ban_or_off_the_grid(
    rule: Rule, view: dict[str, Any], order: dict[str, Any]
) -> None:
    found = refusal(view, {**order, "is_reduce_only": True})
    if rule in (Rule.BANNED, Rule.NOT_QUANTISED):
        assert found is not None
        assert found.rule is rule
    else:
        assert found is None


def test_limit_orders_may_be_larger_than_market_orders_where_the_exchange_takes_them() -> None:
    large = TERMS.max_quantity + TERMS.step_size
    assert large <= TERMS.limit_max_quantity
    found = refusal({}, {"amount": large, "price": D(50_000)})
    assert found is not None
    assert found.rule is Rule.ORDER_NOTIONAL


def test_the_worst_case_counts_what_is_on_its_way_on_the_orders_side_and_no_more() -> None:
    view = replace(VIEW, amount=D("0.3"), entries=(D("0.05"), D("-0.2")))
    assert worst_notional(BUY, view) == D("0.45") * 50_000
    assert worst_notional(replace(BUY, amount=D("-0.1")), view) == D("0.3") * 50_000
    assert worst_notional(replace(BUY, price=D(50_100)), view) == D("0.45") * 50_100


# What was earned


def test_profit_of_the_day_begins_anew_at_midnight_utc() -> None:
    midnight = NOW - NOW % DAY + DAY
    done = Performance().noted(NOW, D(1_000), D(0)).noted(midnight - 1, D(900), D(0))
    assert (done.day_pnl, done.day_opening_equity) == (D(-100), D(1_000))
    done = done.noted(midnight, D(880), D(0))
    assert (done.day_pnl, done.day_opening_equity) == (D(-20), D(900))
    assert done.peak_equity == D(1_000)
    assert done.drawdown == D("0.12")


def test_a_clock_that_goes_back_over_midnight_begins_no_day() -> None:
    midnight = NOW - NOW % DAY + DAY
    done = Performance().noted(midnight, D(1_000), D(0)).noted(midnight - 1, D(900), D(0))
    assert done.day_pnl == D(-100)


def test_transfers_are_neither_profit_nor_loss() -> None:
    done = Performance().noted(NOW, D(1_000), D(0)).noted(NOW, D(600), D(-500))
    assert done.day_pnl == D(100)
    assert done.peak_equity == D(600)
    done = done.noted(NOW, D(1_500), D(500))
    assert done.day_pnl == D(0)
    assert done.peak_equity == D(1_600)
    done = done.noted(NOW + DAY, D(2_490), D(1_500))
    assert (done.day_opening_equity, done.day_pnl) == (D(2_500), D(-10))


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * DAY), st.integers(-500, 500), st.integers(-300, 300)), min_size=1, max_size=30
    )
)
def test_the_profit_of_all_days_is_what_the_equity_gained_beside_transfers(looks: list[tuple[int, int, int]]) -> None:
    now, equity, moved = NOW, D(10_000), D(0)
    done = Performance().noted(now, equity, moved)
    closed = D(0)
    for later, gained, transfer in looks:
        now, equity, moved = now + later, equity + gained + transfer, moved + transfer
        before, done = done, done.noted(now, equity, moved)
        if done.day != before.day:
            closed += before.day_pnl
        assert done.drawdown >= 0
    assert closed + done.day_pnl == equity - 10_000 - moved


# Sequences


def orders() -> st.SearchStrategy[RiskOrder]:
    amounts = st.integers(-600, 600).map(lambda steps: D(steps) / 1_000)
    return st.builds(RiskOrder, symbol=st.just("BTCUSDT"), amount=amounts, is_reduce_only=st.booleans())


class Account:
    """An account whose orders fill, rest or are lost from sight, one after the other."""

    def __init__(self, price: Decimal) -> None:
        self.view = replace(VIEW, mark_price=price, last_price=price)

    def send(self, order: RiskOrder, fate: str) -> Refusal | None:
        """Let an order through the gate, and let it have its fate."""
        refused = GATE.refusal(order, self.view)
        view = self.view
        if refused is not None:
            return refused
        view = replace(view, order_times=(*view.order_times, view.now_ms))
        if order.is_reduce_only:
            side = 1 if view.amount > 0 else -1
            reduced = min(abs(order.amount), abs(view.amount)) if order.amount * view.amount < 0 else D(0)
            view = replace(view, amount=view.amount - side * reduced)
        elif fate == "fills":
            traded = view.traded_today + abs(order.amount) * view.mark_price
            view = replace(view, amount=view.amount + order.amount, traded_today=traded)
        else:
            view = replace(view, entries=(*view.entries, order.amount), has_unknown_order=fate == "unknown")
        self.view = view
        return None

    def go_on(self, ms: int) -> None:
        """Let time pass."""
        now = self.view.now_ms + ms
        self.view = replace(self.view, now_ms=now, mark_ms=now, armed_until_ms=None)

    @property
    def worst_notional(self) -> Decimal:
        """The largest notional that anything that may still fill can make of the position."""
        view = self.view
        bought = sum((a for a in view.entries if a > 0), D(0))
        sold = -sum((a for a in view.entries if a < 0), D(0))
        return max(abs(view.amount), view.amount + bought, bought, sold - view.amount, sold) * view.mark_price


STEPS = st.tuples(orders(), st.sampled_from(["fills", "rests", "unknown"]), st.integers(1, 40_000))


@given(st.lists(STEPS, max_size=60), st.integers(1_000, 90_000).map(D))
def test_no_sequence_of_orders_exceeds_a_cap(steps: list[tuple[RiskOrder, str, int]], price: Decimal) -> None:
    account = Account(price)
    for order, fate, ms in steps:
        view = account.view
        if account.send(order, fate) is None and not order.is_reduce_only:
            assert abs(order.amount) * price <= CAPS.max_order_notional
            assert sum(view.now_ms - time < 60_000 for time in view.order_times) < CAPS.orders_per_minute
            assert not view.has_unknown_order
        assert account.worst_notional <= min(CAPS.max_position_notional, CAPS.max_leverage * STEADY.equity)
        assert account.view.traded_today <= CAPS.turnover_per_day
        account.go_on(ms)


@given(
    st.lists(STEPS, max_size=20),
    st.sampled_from(list(StopKind)),
    st.lists(STEPS, min_size=1, max_size=40),
)
def test_after_a_stop_no_order_makes_the_exposure_larger(
    before: list[tuple[RiskOrder, str, int]], stop: StopKind, after: list[tuple[RiskOrder, str, int]]
) -> None:
    account = Account(D(50_000))
    for order, fate, ms in before:
        account.send(order, fate)
        account.go_on(ms)
    account.view = replace(account.view, stop=stop, has_unknown_order=False)
    for order, fate, ms in after:
        held = account.view
        refused = account.send(order, fate)
        assert order.is_reduce_only or refused is not None
        assert abs(account.view.amount) <= abs(held.amount)
        assert account.view.entries == held.entries
        account.go_on(ms)


@given(orders(), st.sampled_from(BREACHES))
def test_a_reduce_only_order_on_the_grid_is_never_caught(order: RiskOrder, breach: tuple[Rule, Any, Any]) -> None:
    rule, view, _ = breach
    exit_order = replace(order, is_reduce_only=True, amount=order.amount or D("0.001"))
    if rule is not Rule.BANNED:
        assert GATE.refusal(exit_order, replace(VIEW, **view)) is None


# The caps file


def written(folder: Path, **changes: Any) -> Path:
    values = {field.name: getattr(CAPS, field.name) for field in fields(Caps)}
    data = {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()} | changes
    path = folder / "caps.json"
    path.write_text(json.dumps({name: value for name, value in data.items() if value is not None}))
    return path


def test_caps_come_out_of_their_file_as_they_are_written(tmp_path: Path) -> None:
    caps, digest, _ = load_caps(written(tmp_path))
    assert caps == CAPS
    assert load_caps(written(tmp_path)).sha256 == digest
    other = load_caps(written(tmp_path, max_leverage="3.5"))
    assert other.caps.max_leverage == D("3.5")
    assert other.sha256 != digest
    assert load_caps(written(tmp_path, max_leverage=3)).caps == CAPS
    assert load_caps(written(tmp_path, price_band=0.01)).caps == CAPS  # read as it is written, not as a float


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("symbols", []),
        ("symbols", "BTCUSDT"),
        ("symbols", [1]),
        ("symbols", ["BTC/USDT"]),
        ("max_order_notional", 0),
        ("max_position_notional", "-1"),
        ("max_leverage", "NaN"),
        ("max_leverage", "three"),
        ("turnover_per_day", "Infinity"),
        ("price_band", "1"),
        ("max_daily_loss", "0"),
        ("max_drawdown", [0.2]),
        ("min_liquidation_distance", True),
        ("orders_per_minute", 0),
        ("orders_per_day", 2.5),
        ("max_mark_age_ms", True),
    ],
)
def test_a_cap_that_is_none_is_refused(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"cap {name} must be"):
        load_caps(written(tmp_path, **{name: value}))


@pytest.mark.parametrize("name", [field.name for field in fields(Caps)])
def test_no_cap_has_a_default(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"must have .* and has"):
        load_caps(written(tmp_path, **{name: None}))


@pytest.mark.parametrize(
    "spoil",
    [lambda p: p.write_text("{"), lambda p: p.write_text("[]"), lambda p: p.unlink(), lambda p: p.write_bytes(b"\xff")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = written(tmp_path)
    spoil(path)
    with pytest.raises(ConfigError, match="caps file"):
        load_caps(path)


def test_an_unknown_cap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must have"):
        load_caps(written(tmp_path, max_leverag="3"))


def test_a_run_cannot_raise_the_caps() -> None:
    CAPS.check_run("BTCUSDT", TradingConfig(max_exposure=3.0))
    with pytest.raises(ConfigError, match=r"up to 3\.1 times"):
        CAPS.check_run("BTCUSDT", TradingConfig(max_exposure=3.1))
    with pytest.raises(ConfigError, match="the run trades XRPUSDT"):
        CAPS.check_run("XRPUSDT", TradingConfig())
