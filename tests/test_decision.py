"""From account to observation and from target to orders: values by hand, and what must always hold.

The contract is that of ``kernel_tables``: tick 0.1, step 0.001, leverage 5, brackets of 1, 2 and 5 %. Target 1 is twice
the margin balance, the band is an exposure of 0.2, the reserve 2 %.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_trader import decision, ledger, replay
from rl_trader.decision import ActionMap, MarketState
from rl_trader.errors import ConfigError
from rl_trader.ledger import Account
from rl_trader.observation import ACCOUNT_FEATURES, ObservationSchema
from rl_trader.state import FILLED, REFUSED_BRACKET, REFUSED_MARGIN, REFUSED_NOTIONAL
from tests.kernel_tables import (
    BRACKETS,
    FLAT,
    account_of,
    bars_of,
    fundings_of,
    one_terms,
    play,
    settings_table,
    states_of,
    step_all,
    terms_table,
)

FEE = 0.0005
LONG_10 = Account(10_000.0, 10.0, 1_000.0, 2_000.0)
QUIET = MarketState(1_000.0, 3.0, 0.0002)


def sizing(**changes: float) -> Any:
    """Return the record of the settings."""
    return settings_table(**changes)[0]


def legs(
    target: float,
    account: Account = FLAT,
    price: float = 1_000.0,
    mark_price: float | None = None,
    *,
    terms: dict[str, Any] | None = None,
    **changes: float,
) -> tuple[float, float]:
    """Return the reduce-only and the opening leg of a market order."""
    order = decision.order_of(
        target, account, price, mark_price or price, FEE, sizing(**changes), one_terms(**(terms or {}))
    )
    assert order.limit_price == 0.0
    return order.reduce_amount, order.open_amount


# Orders


def test_a_target_is_a_fraction_of_max_exposure_of_the_margin_balance_at_the_last_price() -> None:
    assert legs(1.0) == (0.0, 20.0)  # 2 * 10 000 / 1 000
    assert legs(-1.0) == (0.0, -20.0)
    assert legs(0.5, price=1_003.0) == (0.0, 9.970)  # 10 000 / 1 003 = 9.97009
    assert legs(-0.5, price=1_003.0) == (0.0, -9.970)
    # Unrealized profit counts: long 10 from 990, mark 1 010: balance 10 200; 2 * 10 200 / 1 000 = 20.4, so 10.4 more.
    assert legs(1.0, Account(10_000.0, 10.0, 990.0, 1_980.0), mark_price=1_010.0) == (0.0, 10.4)


def test_a_target_within_the_band_of_the_exposure_sends_no_order() -> None:
    # Long 10 at 1 000 is an exposure of 1. Targets 0.4 to 0.6 are 0.8 to 1.2.
    for target in (0.4, 0.5, 0.6):
        assert legs(target, LONG_10, rebalance_band=0.2000001) == (0.0, 0.0)
    assert legs(0.625, LONG_10, rebalance_band=0.25) == (0.0, 0.0)  # 1.25, on the band
    assert legs(0.61, LONG_10) == (0.0, 2.2)  # 1.22: 12.2
    assert legs(0.39, LONG_10) == (-2.2, 0.0)  # 0.78: 7.8
    # The exposure is that at the mark price: long 20 at 1 000 is 2, at a mark of 900 it is 18 000 / 8 000 = 2.25.
    long_20 = Account(10_000.0, 20.0, 1_000.0, 4_000.0)
    assert legs(1.0, long_20) == (0.0, 0.0)
    assert legs(1.0, long_20, mark_price=900.0) == (-4.0, 0.0)  # wanted 2 * 8 000 / 1 000 = 16


def test_flat_is_reached_exactly_whatever_the_band_and_the_minimum_notional() -> None:
    assert legs(0.0, LONG_10, rebalance_band=5.0) == (-10.0, 0.0)
    assert legs(0.0, Account(100.0, -0.001, 1_000.0, 0.2)) == (0.001, 0.0)
    assert legs(0.0) == (0.0, 0.0)


def test_an_opening_order_under_the_minimum_notional_is_not_sent() -> None:
    # Minimum 50: with 25 and twice that at 1 000 it is 0.05, with 24.9 it is 0.0498 -> 0.049.
    assert legs(1.0, Account(25.0, 0.0, 0.0, 0.0)) == (0.0, 0.05)
    assert legs(1.0, Account(24.9, 0.0, 0.0, 0.0)) == (0.0, 0.0)
    # A reduction of any size is: long 0.14 with 100 is an exposure of 1.4, target 0.55 wants 0.11.
    held = Account(100.0, 0.14, 1_000.0, 28.0)
    assert legs(0.55, held) == (-0.03, 0.0)
    # A flip closes even if its opening leg is too small: target -0.2 wants -0.04.
    assert legs(-0.2, held) == (-0.14, 0.0)


def test_a_position_with_less_than_nothing_left_is_closed_whatever_the_target() -> None:
    # 10 against a loss of 100.
    for amount in (1.0, -1.0):
        for target in (1.0, -1.0):
            assert legs(target, Account(10.0, amount, 1_000.0, 200.0), mark_price=1_000.0 - 100.0 * amount) == (
                -amount,
                0.0,
            )


def test_an_opening_leg_above_one_of_the_caps_is_not_sent() -> None:
    # Target 1 is 20 at 1 000: an order of 20 000, an exposure of 2.
    assert legs(1.0, max_order_notional=20_000.0) == (0.0, 20.0)
    assert legs(1.0, max_order_notional=19_999.0) == (0.0, 0.0)
    assert legs(1.0, max_position_notional=20_000.0) == (0.0, 20.0)
    assert legs(1.0, max_position_notional=19_999.0) == (0.0, 0.0)
    assert legs(1.0, max_leverage=2.0) == (0.0, 20.0)
    assert legs(1.0, max_leverage=1.99) == (0.0, 0.0)
    # What is held counts for the position and not for the order: 10 more on 10.
    assert legs(1.0, LONG_10, max_order_notional=10_000.0) == (0.0, 10.0)
    assert legs(1.0, LONG_10, max_position_notional=10_000.0) == (0.0, 0.0)
    # They are worth what the mark price says: 20 at 1 010.
    assert legs(1.0, mark_price=1_010.0, max_position_notional=20_200.0) == (0.0, 20.0)
    assert legs(1.0, mark_price=1_010.0, max_position_notional=20_199.0) == (0.0, 0.0)
    # So is a limit order, or at its own price where that is higher: 20 are sold at 1 010.
    for cap, amount in ((20_200.0, -20.0), (20_199.0, 0.0)):
        sizes = sizing(max_position_notional=cap, limit_distance=0.01)
        assert decision.order_of(-1.0, FLAT, 1_000.0, 1_000.0, FEE, sizes, one_terms()).open_amount == amount
    # Nothing stands against a reduction.
    assert legs(0.25, LONG_10, max_order_notional=1.0, max_position_notional=1.0, max_leverage=0.1) == (-5.0, 0.0)


@pytest.mark.parametrize("amount", [0.001, -0.001])
@pytest.mark.parametrize("price", [80_000.0, 40_000.0])
def test_a_target_too_small_for_one_step_closes_the_position(amount: float, price: float) -> None:
    # 0.001 of bitcoin at 80 000 with a balance of 100 is an exposure of 0.8; target 0.2 wants 0.4 * 100 / 80 000 =
    # 0.0005, nothing. That only reduces, so neither balance, bracket nor minimum notional stand against it.
    held = Account(price / 800.0, amount, price, price / 5_000.0)
    for target in (0.2, -0.2):
        assert legs(target, held, price) == (-amount, 0.0)
        assert legs(target, held, price, terms={"max_notional": 1.0}) == (-amount, 0.0)


def test_the_reserve_keeps_a_part_of_the_available_balance_free() -> None:
    # Target 1 is 5 times: 50. A coin costs 1 000 * (1 / 5 + 0.0005) = 200.5: 10 000 * 0.98 / 200.5 = 48.8778.
    assert legs(1.0, max_exposure=5.0) == (0.0, 48.877)
    assert legs(1.0, max_exposure=4.8879) == (0.0, 48.877)  # 48.879 cost 9 800.24, a quarter of a dollar too much
    assert legs(-1.0, max_exposure=5.0, reserve=0.5) == (0.0, -24.937)  # 5 000 / 200.5 = 24.9377
    assert legs(1.0, max_exposure=5.0, terms={"is_isolated": False}) == (0.0, 48.877)
    # Long 10 has 2 000 of the balance: 8 000 * 0.98 / 200.5 = 39.1022 more, not 40.
    assert legs(1.0, LONG_10, max_exposure=5.0) == (0.0, 39.102)
    # In cross margin an unrealized profit of 10 * 20 = 200 at the price counts, and the initial margin is that at the
    # price: 10 200 - 10 * 1 020 / 5 = 8 160; 8 160 * 0.98 / (1 020 * 0.2005) = 39.1022.
    cross = Account(10_000.0, 10.0, 1_000.0, 0.0)
    assert legs(1.0, cross, 1_020.0, max_exposure=5.0, terms={"is_isolated": False}) == (0.0, 39.102)


def test_a_position_stays_within_the_brackets_limit_less_the_reserve() -> None:
    limit = {"max_notional": 15_000.0}  # 14 700 of it
    assert legs(1.0, terms=limit) == (0.0, 14.7)
    assert legs(-1.0, terms=limit) == (0.0, -14.7)
    assert legs(1.0, LONG_10, terms=limit) == (0.0, 4.7)
    assert legs(-1.0, LONG_10, terms=limit) == (-10.0, -14.7)
    # Beyond the limit nothing opens: 16 at 1 000, target 1 wants 20.
    assert legs(1.0, Account(10_000.0, 16.0, 1_000.0, 3_200.0), terms=limit) == (0.0, 0.0)


def test_no_leg_is_larger_than_one_market_order() -> None:
    most = {"max_quantity": 6.0}
    assert legs(1.0, terms=most) == (0.0, 6.0)
    assert legs(0.0, LONG_10, terms=most) == (-6.0, 0.0)
    assert legs(0.1, LONG_10, terms=most) == (-6.0, 0.0)  # wanted 2, so -8
    # A flip of more than one order waits with its opening until the position is closed.
    assert legs(-1.0, LONG_10, terms=most) == (-6.0, 0.0)
    assert legs(-1.0, Account(10_000.0, 4.0, 1_000.0, 800.0), terms=most) == (-4.0, -6.0)


def test_a_flip_closes_and_opens_within_what_the_close_leaves() -> None:
    assert legs(-1.0, LONG_10) == (-10.0, -20.0)
    assert legs(1.0, Account(10_000.0, -10.0, 1_000.0, 2_000.0)) == (10.0, 20.0)
    # 5 times: the fee of the close is gone, (10 000 - 5) * 0.98 / 200.5 = 48.8534.
    assert legs(-1.0, LONG_10, max_exposure=5.0) == (-10.0, -48.853)
    # A loss too: long from 1 100 at 1 000, wallet 10 000: balance 9 000, wanted -45;
    # (10 000 - 1 000 - 5) * 0.98 / 200.5 = 43.966.
    assert legs(-1.0, Account(10_000.0, 10.0, 1_100.0, 2_200.0), max_exposure=5.0) == (-10.0, -43.965)


def test_the_fee_counts_where_the_initial_margin_alone_would_fit() -> None:
    # 4.895 times: 48.95 need 9 790 of initial margin, of 98 % of 10 000, and a fee of 24.475 that is not there.
    assert legs(1.0, max_exposure=4.895) == (0.0, 48.877)


def test_nothing_is_opened_where_less_than_nothing_is_available() -> None:
    least: dict[str, Any] = {"min_notional": 0.1}
    # More set aside than there is: 10 000 less 10 500.
    assert legs(1.0, Account(10_000.0, 10.0, 1_000.0, 10_500.0), terms=least) == (0.0, 0.0)
    # 16 at 1 000 under a limit of 15 000.
    assert legs(1.0, Account(10_000.0, 16.0, 1_000.0, 3_200.0), terms={**least, "max_notional": 15_000.0}) == (0.0, 0.0)
    # Half a dollar of debt buys nothing and sells nothing; half a dollar of balance buys 0.001.
    assert legs(1.0, Account(-0.5, 0.0, 0.0, 0.0), terms=least) == (0.0, 0.0)
    assert legs(1.0, Account(0.5, 0.0, 0.0, 0.0), terms=least) == (0.0, 0.001)


def test_an_account_with_nothing_left_opens_nothing() -> None:
    assert legs(1.0, Account(0.0, 0.0, 0.0, 0.0)) == (0.0, 0.0)
    assert legs(-1.0, Account(-5.0, 0.0, 0.0, 0.0)) == (0.0, 0.0)


amounts = st.integers(-60_000, 60_000).map(lambda steps: steps / 1000)
prices = st.integers(100, 200_000).map(lambda ticks: ticks / 10)
targets = st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-1.0, 1.0))


@given(
    targets,
    amounts,
    prices,
    st.floats(0.8, 1.25),
    st.floats(1.0, 1e6),
    st.sampled_from([0.5, 3.0, 5.0]),
    st.booleans(),
    st.sampled_from([20_000.0, 200_000.0]),
)
def test_what_is_sized_at_the_close_is_not_refused_at_an_open_without_a_gap(
    target: float,
    amount: float,
    price: float,
    entry_factor: float,
    wallet: float,
    max_exposure: float,
    is_isolated: bool,
    max_notional: float,
) -> None:
    entry = round(price * entry_factor, 1) if amount else 0.0
    backing = round(abs(amount) * entry / 5.0, 8) if is_isolated else 0.0
    account = Account(round(wallet, 8) + backing, amount, entry, backing)
    changes: dict[str, Any] = {"is_isolated": is_isolated, "max_notional": max_notional}
    reduce_amount, open_amount = sized = legs(
        target, account, price, max_exposure=max_exposure, rebalance_band=0.1, terms=changes
    )
    terms = one_terms(**changes)
    assert reduce_amount * amount <= 0.0
    assert abs(reduce_amount) <= abs(amount)
    assert open_amount * target >= 0.0
    if open_amount != 0.0:
        assert amount * target >= 0.0 or reduce_amount == -amount
        position = ledger.sum_of_amounts(amount, reduce_amount, terms) + open_amount
        assert abs(position) * price <= max_notional * 0.98 + 0.001 * price * 1e-6
    for leg in sized:
        assert leg == ledger.round_amount(leg, terms)
    candle = (price, price, price, price)
    (step,) = play(
        [candle, candle],
        [target],
        account,
        terms=terms_table(**changes),
        max_exposure=max_exposure,
        rebalance_band=0.1,
        half_spread=0.0,
        volume=1e6,
    )
    if not step.outcome["events"] & ~(FILLED | REFUSED_BRACKET | REFUSED_MARGIN | REFUSED_NOTIONAL):
        assert not step.outcome["events"] & (REFUSED_BRACKET | REFUSED_MARGIN | REFUSED_NOTIONAL)
        moved = ledger.sum_of_amounts(reduce_amount, open_amount, terms)
        assert step.account.position_amount == ledger.sum_of_amounts(amount, moved, terms)


# The account part


def part(account: Account, market: MarketState = QUIET, bars_held: int = 16, **changes: Any) -> tuple[float, ...]:
    return decision.account_part(account, market, bars_held, FEE, 2.0, one_terms(**changes), BRACKETS)


def test_the_account_part_of_a_long_is_what_a_trader_reads_off_the_account() -> None:
    assert part(Account(10_000.0, 10.0, 990.0, 1_980.0)) == (
        0.495050,  # 10 * 1 000 / 10 100 over max_exposure 2 = 0.4950495
        0.009901,  # 100 / 10 100
        0.048077,  # maintenance 10 000 * 0.01 over margin 1 980 + 100
        0.2,  # liquidation at (1 980 - 9 900) / -9.9 = 800
        0.2,  # 16 / (16 + 64)
        0.375,  # 3 of 8 hours
        0.2,  # 0.0002 over 0.001
        0.5,  # 0.0005 over 0.001
    )


def test_the_account_part_of_a_short_is_what_a_trader_reads_off_the_account() -> None:
    assert part(Account(10_000.0, -10.0, 990.0, 1_980.0), MarketState(1_000.0, 8.0, -0.0003), 64)[:7] == (
        -0.505051,  # -10 000 / 9 900 / 2
        -0.010101,  # -100 / 9 900
        0.053191,  # 100 / 1 880
        0.174510,  # (1 980 + 100 + 9 900) / 10.2 = 1 174.5098
        0.5,
        1.0,
        -0.3,
    )


def test_the_account_part_of_a_small_balance_and_of_a_cheap_coin() -> None:
    # A balance of 2.5 - 0.01 * 200 = 0.5: exposure 8 / 0.5 over 2, PnL -2 / 0.5.
    assert part(Account(2.5, 0.01, 1_000.0, 2.0), MarketState(800.0, 3.0, 0.0))[:2] == (8.0, -4.0)
    # 100 from 0.8 with 16: liquidated at (16 - 80) / -99 = 0.646465, away by (0.8 - 0.646465) / 0.8.
    assert part(Account(1_000.0, 100.0, 0.8, 16.0), MarketState(0.8, 3.0, 0.0))[3] == 0.191919
    # One coin is a position as any other: 1 000 / 10 000 / 2, margin 10 / 200, liquidated at 800 / 0.99 = 808.0808; a
    # short at 1 200 / 1.01 = 1 188.1188.
    assert part(Account(10_000.0, 1.0, 1_000.0, 200.0))[:4] == (0.05, 0.0, 0.05, 0.191919)
    assert part(Account(10_000.0, -1.0, 1_000.0, 200.0))[:4] == (-0.05, 0.0, 0.05, 0.188119)


def test_a_liquidation_price_farther_than_the_price_itself_is_as_far_as_any() -> None:
    # One coin short with 1 500 is liquidated at 2 500 / 1.01 = 2 475.2, half again as far as the price is from 0.
    assert part(Account(10_000.0, -1.0, 1_000.0, 1_500.0))[3] == 1.0


def test_the_account_part_in_cross_margin_is_backed_by_the_wallet() -> None:
    # Margin 10 100: 100 / 10 100; a long that 10 000 back has (10 000 - 9 900) > 0: no liquidation price.
    assert part(Account(10_000.0, 10.0, 990.0, 0.0), is_isolated=False)[2:4] == (0.009901, 1.0)


def test_a_flat_account_has_no_margin_ratio_and_the_farthest_liquidation() -> None:
    assert part(FLAT, bars_held=0) == (0.0, 0.0, 0.0, 1.0, 0.0, 0.375, 0.2, 0.5)


def test_account_features_are_cut_at_ten_and_the_margin_ratio_at_one() -> None:
    # Long 10 at 1 000, mark 900.5, wallet 1 001: balance 6, exposure 9 005 / 6 / 2 = 750, PnL -995 / 6 = -166;
    # margin 1 001 - 995 = 6 under 90. 200 of 8 hours are 25, a rate of 2 % is 20 units.
    market = MarketState(900.5, 200.0, 0.02)
    assert part(Account(1_001.0, 10.0, 1_000.0, 1_001.0), market)[:3] == (10.0, -10.0, 1.0)
    assert part(Account(1_001.0, -10.0, 801.0, 1_001.0), market)[0] == -10.0
    assert part(FLAT, market)[5:7] == (10.0, 10.0)
    # Nothing left, or less: still finite.
    assert part(Account(900.0, 10.0, 1_000.0, 900.0), market)[:3] == (10.0, -10.0, 1.0)


def test_account_features_are_rounded_so_that_a_unit_in_the_wallet_does_not_move_them() -> None:
    one = part(Account(10_000.0, 10.0, 990.0, 1_980.0))
    for unit in (1e-8, -1e-8):
        assert part(Account(10_000.0 + unit, 10.0, 990.0, 1_980.0 + unit)) == one
    for value in one:
        assert value == round(value, 6)


def test_the_exposure_is_signed_and_zero_when_nothing_is_held_or_left() -> None:
    assert decision.exposure(LONG_10, 1_010.0) == pytest.approx(10_100.0 / 10_100.0)
    assert decision.exposure(Account(10_000.0, -10.0, 1_000.0, 2_000.0), 1_010.0) == pytest.approx(-10_100.0 / 9_900.0)
    assert decision.exposure(FLAT, 1_010.0) == 0.0
    assert decision.exposure(Account(1_000.0, 10.0, 1_000.0, 1_000.0), 900.0) == 0.0


def test_every_account_feature_has_a_name_in_its_place() -> None:
    assert list(ACCOUNT_FEATURES) == [
        "exposure",
        "unrealized_pnl",
        "margin_ratio",
        "liquidation_distance",
        "bars_held",
        "hours_to_funding",
        "last_funding_rate",
        "fee_level",
    ]
    assert len(part(FLAT)) == len(ACCOUNT_FEATURES)


# The observation


def test_observe_returns_the_bits_that_the_replay_writes() -> None:
    rng = np.random.default_rng(5)
    closes = np.round(1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 40))), 1)
    bars = bars_of([(c, c + 3.0, c - 3.0, c, c + 0.7, c + 3.7, c - 2.3, c + 0.7) for c in closes])
    bars["hours_to_funding"] = rng.uniform(0.0, 8.0, 40)
    bars["last_funding_rate"] = rng.normal(0.0, 1e-4, 40)
    fundings = fundings_of(bars, [(8.0, 0.0001, 1_000.0), (16.0, -0.0002, 1_000.0)])
    features = rng.normal(size=(40, 2)).astype(np.float32)
    schema = ObservationSchema(
        features=("a", "b"), account_features=("fee_level", "exposure", "bars_held", "liquidation_distance"), window=3
    )
    states = states_of([FLAT, LONG_10], bars, bar=5, last_bar=39)
    terms, settings = terms_table(), settings_table(window=3)
    for targets_now in rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (30, 2)):
        _, observations, _ = step_all(
            replay.step_accounts,
            targets_now,
            states,
            bars,
            fundings,
            settings,
            terms,
            features=features,
            columns=schema.account_columns,
        )
        for state, written in zip(states, observations, strict=True):
            t = int(state["bar"])
            bar = bars[t]
            market = MarketState(
                float(bar["mark_close"]), float(bar["hours_to_funding"]), float(bar["last_funding_rate"])
            )
            own = decision.observe(
                features[t - 2 : t + 1],
                account_of(state),
                market,
                int(state["bars_held"]),
                float(state["taker_fee"]),
                2.0,
                schema,
                terms,
                BRACKETS,
            )
            assert own.dtype == np.float32
            assert own.tobytes() == written.tobytes()
    assert set(states["position_amount"]) != {0.0}


def test_an_observation_is_the_window_oldest_first_and_then_the_account_part() -> None:
    schema = ObservationSchema(features=("a", "b"), account_features=("bars_held", "exposure"), window=3)
    assert schema.names() == ["a[-2]", "b[-2]", "a[-1]", "b[-1]", "a", "b", "bars_held", "exposure"]
    assert schema.size == 8
    assert schema.account_columns == (4, 0)
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    seen = decision.observe(rows, LONG_10, QUIET, 64, FEE, 2.0, schema, terms_table(), BRACKETS)
    assert seen.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.5, 0.5]


def test_a_schema_refuses_unknown_account_features_and_an_empty_window() -> None:
    with pytest.raises(ConfigError, match="unknown account feature 'wealth'; choose from exposure, unrealized_pnl"):
        ObservationSchema(features=("a",), account_features=("exposure", "wealth"))
    with pytest.raises(ConfigError, match="window must be at least 1 bar, was 0"):
        ObservationSchema(features=("a",), window=0)


# Actions


def test_a_discrete_action_is_an_index_into_the_levels() -> None:
    actions = ActionMap(levels=(-1.0, 0.0, 0.25, 1.0))
    assert actions.is_discrete
    assert actions.targets(np.array([3, 0, 2, 1])).tolist() == [1.0, -1.0, 0.25, 0.0]
    assert ActionMap().levels == (-1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("actions", "found"),
    [
        (np.array([0, 2, -1]), "found -1 for account 2"),
        (np.array([3, 0, 1]), "found 3 for account 0"),
        (np.array([1, 255], np.uint8), "found 255 for account 1"),
        (np.array([0.0, 1.0]), r"found float64 of the shape \(2,\)"),
        (np.array([[0], [1]]), r"found int64 of the shape \(2, 1\)"),
        (np.array([]), r"found float64 of the shape \(0,\)"),
    ],
    ids=str,
)
def test_a_discrete_action_that_is_no_index_is_refused(actions: NDArray[Any], found: str) -> None:
    with pytest.raises(ConfigError, match=f"whole numbers from 0 to 2, one an account, {found}; check the policy"):
        ActionMap().targets(actions)


def test_a_continuous_action_is_the_target_itself_cut_to_the_box() -> None:
    actions = ActionMap(levels=())
    assert not actions.is_discrete
    drawn: NDArray[np.float32] = np.array([[0.25], [-1.5], [3.0]], np.float32)
    targets_drawn = actions.targets(drawn)
    assert targets_drawn.tolist() == [0.25, -1.0, 1.0]
    assert targets_drawn.dtype == np.float64


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((-1.0, 0.0, 2.0), r"action levels must lie in \[-1, 1\], were \(-1.0, 0.0, 2.0\)"),
        ((-1.0, float("nan")), r"must lie in \[-1, 1\]"),
        ((0.0, 0.0, 1.0), "two or more different numbers"),
        ((1.0,), "two or more different numbers"),
    ],
)
def test_levels_that_are_no_choice_of_targets_are_refused(levels: tuple[float, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ActionMap(levels=levels)


def test_an_action_map_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ActionMap().levels = (0.0, 1.0)  # type: ignore[misc]


# Compiled and plain


@given(targets, amounts, prices, st.floats(0.7, 1.4), st.floats(0.98, 1.02), st.floats(1.0, 1e6), st.booleans())
def test_compiled_and_plain_python_agree_to_the_bit(
    target: float, amount: float, price: float, entry_factor: float, basis: float, wallet: float, is_isolated: bool
) -> None:
    account = Account(wallet, amount, price * entry_factor if amount else 0.0, wallet / 2 if is_isolated else 0.0)
    terms = one_terms(is_isolated=is_isolated)
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (decision.order_of, (target, account, price, price * basis, FEE, sizing(), terms)),
        (decision.order_of, (target, account, price, price * basis, FEE, sizing(limit_distance=0.01), terms)),
        (decision.limit_price, (amount, price, 0.0123, terms)),
        (decision.account_part, (account, MarketState(price, 2.5, 1e-4), 7, FEE, 2.0, terms, BRACKETS)),
    ]
    for kernel, arguments in calls:
        plain = getattr(kernel, "py_func", kernel)
        assert [float(x).hex() for x in np.atleast_1d(kernel(*arguments))] == [
            float(x).hex() for x in np.atleast_1d(plain(*arguments))
        ]
