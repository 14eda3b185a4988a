"""The operator's caps that an account trains under: what they drop, and that the live risk gate means the same."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader import decision, ledger
from rl_trader.config import CAPS, TradingConfig
from rl_trader.contract import load_terms
from rl_trader.errors import ConfigError
from rl_trader.kernels import records
from rl_trader.ledger import Account
from rl_trader.live.core.caps import Caps
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.words import Purpose
from rl_trader.live.preflight.caps import compare_caps
from rl_trader.serialise import from_json, to_json
from rl_trader.state import FILLED, Order
from rl_trader.trading import kernel_settings, kernel_terms
from tests.caps_tables import WIDE
from tests.kernel_tables import FLAT, one_terms, play, settings_table
from tests.test_decision import LONG_10, legs

D = Decimal
TERMS = load_terms("BTCUSDT")


# By hand: 10 000 USDT, target 1 is twice that: 20 at 1 000


def test_an_opening_order_above_the_cap_on_orders_is_not_sent() -> None:
    assert legs(1.0, max_order_notional=20_000.0) == (0.0, 20.0)
    assert legs(1.0, max_order_notional=19_999.0) == (0.0, 0.0)
    assert legs(-1.0, max_order_notional=19_999.0) == (0.0, 0.0)
    assert legs(0.5, max_order_notional=19_999.0) == (0.0, 10.0)
    # Valued at the mark price: 20 * 1 010 and 20 * 990.
    assert legs(1.0, mark_price=1_010.0, max_order_notional=20_199.0) == (0.0, 0.0)
    assert legs(1.0, mark_price=1_010.0, max_order_notional=20_200.0) == (0.0, 20.0)
    assert legs(1.0, mark_price=990.0, max_order_notional=19_800.0) == (0.0, 20.0)


def test_the_cap_on_positions_counts_what_is_held() -> None:
    # Long 10, and 10 more.
    assert legs(1.0, LONG_10, max_position_notional=20_000.0) == (0.0, 10.0)
    assert legs(1.0, LONG_10, max_position_notional=19_999.0) == (0.0, 0.0)
    assert legs(1.0, LONG_10, max_order_notional=10_000.0, max_position_notional=20_000.0) == (0.0, 10.0)
    short = Account(10_000.0, -10.0, 1_000.0, 2_000.0)
    assert legs(-1.0, short, max_position_notional=20_000.0) == (0.0, -10.0)
    assert legs(-1.0, short, max_position_notional=19_999.0) == (0.0, 0.0)


def test_the_cap_on_leverage_is_the_position_over_the_margin_balance() -> None:
    assert legs(1.0, LONG_10, max_leverage=2.0) == (0.0, 10.0)
    assert legs(1.0, LONG_10, max_leverage=1.99) == (0.0, 0.0)
    # Long 10 from 900 at 1 000: a balance of 11 000; 22 are wanted, of which 12 more: 22 000 / 11 000.
    assert legs(1.0, Account(10_000.0, 10.0, 900.0, 1_800.0), max_leverage=2.0) == (0.0, 12.0)
    assert legs(1.0, Account(10_000.0, 10.0, 900.0, 1_800.0), max_leverage=1.9) == (0.0, 0.0)


def test_what_reduces_always_goes_and_a_flip_loses_its_opening_leg_alone() -> None:
    every: dict[str, Any] = {"max_order_notional": 1.0, "max_position_notional": 1.0, "max_leverage": 0.001}
    assert legs(0.0, LONG_10, **every) == (-10.0, 0.0)
    assert legs(0.2, LONG_10, **every) == (-6.0, 0.0)
    reduced, opened = legs(-1.0, LONG_10)
    assert (reduced, opened < 0.0) == (-10.0, True)
    assert legs(-1.0, LONG_10, **every) == (-10.0, 0.0)
    # What is held is closed before: of a flip the opening leg alone is the position.
    assert legs(-1.0, LONG_10, max_position_notional=-opened * 1_000.0) == (reduced, opened)
    assert legs(-1.0, LONG_10, max_position_notional=-opened * 1_000.0 - 1.0) == (-10.0, 0.0)


def test_a_sale_at_a_limit_price_is_valued_at_it() -> None:
    def sale(cap: float) -> Order:
        settings = settings_table(limit_distance=0.01, max_order_notional=cap)[0]
        return decision.order_of(-1.0, FLAT, 1_000.0, 1_000.0, 0.0005, settings, one_terms())

    assert sale(20_200.0) == (0.0, -20.0, 1_010.0)  # 20 * 1 010
    assert sale(20_199.0) == (0.0, 0.0, 0.0)


def test_the_replay_trades_nothing_that_a_cap_forbids() -> None:
    bars = [(1_000.0, 1_000.0, 1_000.0, 1_000.0), (1_000.0, 1_010.0, 990.0, 1_005.0)]
    (free,) = play(bars, [1.0], FLAT, max_order_notional=20_000.0)
    (capped,) = play(bars, [1.0], FLAT, max_order_notional=19_000.0)
    assert free.outcome["events"] == FILLED
    assert (capped.account, capped.outcome["events"]) == (FLAT, 0)


# Configuration


@pytest.mark.parametrize("name", CAPS)
def test_a_cap_must_be_a_positive_number(name: str) -> None:
    assert getattr(TradingConfig(), name) is None
    for wrong in (0.0, -1.0, float("inf"), "1"):
        with pytest.raises(ConfigError, match=f"{name} must be a positive number, or none for no cap"):
            TradingConfig(**{name: wrong})  # type: ignore[arg-type]


def test_a_configuration_from_before_there_were_caps_has_none() -> None:
    trading = TradingConfig(max_leverage=2.0)
    assert from_json(TradingConfig, to_json(trading), "trading") == trading
    older = {name: value for name, value in to_json(TradingConfig()).items() if name not in CAPS}
    assert from_json(TradingConfig, older, "trading") == TradingConfig()
    del older["leverage"]
    with pytest.raises(ConfigError, match="needs the fields"):
        from_json(TradingConfig, older, "trading")


def test_caps_that_differ_from_those_of_the_training_are_noted_before_the_first_order() -> None:
    trading = TradingConfig(max_order_notional=20_000.0, max_leverage=2.5)
    caps = replace(WIDE, max_order_notional=D(20_000), max_position_notional=D(30_000), max_leverage=D("1.5"))
    findings = compare_caps(caps, trading)
    assert [finding.level for finding in findings] == ["ok", "note", "note"]
    assert [finding.text for finding in findings] == [
        "cap max_order_notional is 20000, as in training",
        "cap max_position_notional is 30000, and the run was trained without it",
        "cap max_leverage is 1.5, tighter than the 2.5 that the run was trained under",
    ]
    looser = compare_caps(replace(caps, max_leverage=D(3)), trading)[2]
    assert looser.text == "cap max_leverage is 3, looser than the 2.5 that the run was trained under"


# Held against the live gate


def order(trading: TradingConfig, target: float, account: Account, price: float, mark_price: float) -> Order:
    table, _ = kernel_terms([TERMS], trading)
    settings = records(kernel_settings(trading))[0]
    return Order(*decision.order_of(target, account, price, mark_price, TERMS.taker_fee, settings, records(table)[0]))


def refusal(caps: Caps, account: Account, opened: Order, mark_price: float) -> str | None:
    """Return what the live gate says to an opening leg."""
    now_ms = 1_700_000_000_000
    conduct = Conduct(
        symbol="BTCUSDT",
        bar_ms=60_000,
        tick_size=TERMS.tick_size,
        step_size=TERMS.step_size,
        stop_loss=None,
        take_profit=None,
    )
    state = State(conduct, now_ms=now_ms, is_reconciled=True, mark_price=D(repr(mark_price)), mark_ms=now_ms)
    state.last_price = state.mark_price
    state.books.wallet_balance = D(repr(account.wallet_balance))
    state.books.amount, state.books.entry_price = D(repr(account.position_amount)), D(repr(account.entry_price))
    state.books.opening_balance, state.books.filled = state.books.wallet_balance, state.books.amount
    state.note_equity()
    intent = Intent(
        client_id="rlt1-a-1",
        decision="0",
        leg="ENTRY",
        attempt=1,
        purpose=Purpose.ENTRY,
        amount=D(repr(opened.open_amount)),
        price=D(repr(opened.limit_price)) if opened.limit_price else None,
    )
    state.caps = caps
    return gate_of(TERMS)(state, intent)


cents = st.integers(1_000, 5_000_000).map(lambda number: number / 100.0)
prices = st.integers(100_000, 1_000_000).map(lambda number: number / 10.0)


@given(
    wallet=cents,
    held=st.integers(-200, 200).map(lambda number: number / 1_000.0),
    target=st.floats(-1.0, 1.0).map(lambda number: round(number, 3)),
    price=prices,
    basis=st.integers(-30, 30),
    distance=st.sampled_from([None, 0.001, 0.01]),
    name=st.sampled_from(CAPS),
    share=st.integers(50, 150).map(lambda number: number / 100.0),
)
def test_the_kernel_drops_what_the_live_gate_refuses_and_nothing_else(
    wallet: float,
    held: float,
    target: float,
    price: float,
    basis: int,
    distance: float | None,
    name: str,
    share: float,
) -> None:
    mark_price = round(price * (1.0 + basis / 10_000.0), 2)
    trading = TradingConfig(
        initial_balance=wallet, leverage=20, max_exposure=5.0, rebalance_band=0.0, margin_mode="cross",
        limit_distance=distance,
    )  # fmt: skip
    account = Account(wallet, held, price if held else 0.0, 0.0)
    wanted = order(trading, target, account, price, mark_price)
    if not wanted.open_amount:
        return
    after = account
    if wanted.reduce_amount:  # a flip: the gate is asked about the opening leg when the other one has filled
        after = Account(wallet - abs(held) * price * TERMS.taker_fee, 0.0, 0.0, 0.0)
    notional = abs(wanted.open_amount) * max(mark_price, wanted.limit_price)
    position = notional + abs(after.position_amount) * max(mark_price, wanted.limit_price)
    reached: dict[str, Any] = {
        "max_order_notional": notional,
        "max_position_notional": position,
        "max_leverage": position / ledger.margin_balance(after, mark_price),
    }
    cap = round(reached[name] * share, 2)
    if cap <= 0.0 or (name == "max_leverage" and cap == reached[name]):
        return
    capped = order(replace(trading, **{name: cap}), target, account, price, mark_price)
    caps = replace(WIDE, **{name: D(repr(cap))})  # type: ignore[arg-type]
    says = refusal(caps, after, wanted, mark_price)
    assert (capped.open_amount == 0.0) == (says is not None), says
    assert capped.reduce_amount == wanted.reduce_amount
