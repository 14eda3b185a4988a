"""The order of events within a bar, as candle tables with the account that must come out.

A candle is (open, high, low, close) of the last price, followed by the same of the mark price where it differs. The
first candle is the one that is observed; the orders fill in the second. Unless said otherwise: slippage 0.1 %, taker
fee 0.05 %, tick 0.1, isolated margin, leverage 5, target 1 is twice the margin balance, 10 000 USDT at the start.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_trader import path, replay
from rl_trader.ledger import Account
from rl_trader.state import (
    FILLED,
    LIQUIDATED,
    REDUCED_BY_LIQUIDATION,
    REFUSED_BRACKET,
    REFUSED_MARGIN,
    REFUSED_NO_TRADES,
    REFUSED_NOTIONAL,
    REFUSED_PRICE,
    RUINED,
    STOPPED,
    TOOK_PROFIT,
    Bar,
)
from tests.kernel_tables import (
    BRACKETS,
    FLAT,
    Candle,
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

STILL = (1_000.0, 1_000.0, 1_000.0, 1_000.0)
LONG_10 = Account(10_000.0, 10.0, 1_000.0, 2_000.0)
SHORT_10 = Account(10_000.0, -10.0, 1_000.0, 2_000.0)
LONG_30 = Account(10_000.0, 30.0, 1_000.0, 3_000.0)
HOLD: dict[str, Any] = {"rebalance_band": 9.0}  # no target differs by that much: the position stays


# 2. The order


def test_an_order_fills_at_the_open_plus_slippage_on_the_tick_against_the_trader() -> None:
    # Target 1 at the close of 1 000: 2 * 10 000 / 1 000 = 20. The bar opens at 1 003.4:
    # 1 003.4 * 1.001 = 1 004.4034 -> 1 004.5. Fee 20 * 1 004.5 * 0.0005 = 10.045, slippage 20 * 1.1 = 22,
    # margin 20 * 1 004.5 / 5 = 4 018. Marked at 1 010: 9 989.955 + 20 * 5.5 = 10 099.955.
    (step,) = play([STILL, (1_003.4, 1_015.0, 1_001.0, 1_008.0, 1_003.0, 1_014.0, 1_002.0, 1_010.0)], [1.0])
    assert step.account == (9_989.955, 20.0, 1_004.5, 4_018.0)
    outcome = step.outcome
    assert outcome["events"] == FILLED
    assert outcome["fees"] == -10.045
    assert outcome["slippage"] == pytest.approx(-22.0)
    assert outcome["traded_notional"] == 20_090.0
    assert outcome["margin_balance_before"] == 10_000.0
    assert outcome["margin_balance"] == pytest.approx(10_099.955)
    # 20 from the open of 1 003.4 to the mark close of 1 010.
    assert outcome["price_pnl"] == pytest.approx(132.0)
    assert outcome["exposure"] == pytest.approx(20.0 * 1_010.0 / 10_099.955)
    assert not outcome["terminated"]


def test_a_short_sells_at_the_open_less_slippage_on_the_tick_against_the_trader() -> None:
    # 1 003.4 * 0.999 = 1 002.3966 -> 1 002.3; fee 10.023; marked at 1 010: 9 989.977 - 20 * 7.7 = 9 835.977.
    (step,) = play([STILL, (1_003.4, 1_015.0, 1_001.0, 1_008.0, 1_003.0, 1_014.0, 1_002.0, 1_010.0)], [-1.0])
    assert step.account == (9_989.977, -20.0, 1_002.3, 4_009.2)
    assert step.outcome["slippage"] == pytest.approx(-22.0)
    assert step.outcome["margin_balance"] == pytest.approx(9_835.977)


def test_impact_makes_an_order_pay_more_the_larger_its_share_of_the_volume() -> None:
    # 20 of a volume of 500 is a share of 0.04: 0.001 + 0.01 * sqrt(0.04) + 0.05 * 0.04 = 0.005 -> 1 005.
    (step,) = play([STILL, STILL], [1.0], sqrt_impact=0.01, linear_impact=0.05)
    assert step.account.entry_price == 1_005.0
    # An account whose slippage is scaled by 1.4: 0.007.
    (step,) = play([STILL, STILL], [1.0], sqrt_impact=0.01, linear_impact=0.05, state={"slippage_scale": 1.4})
    assert step.account.entry_price == 1_007.0


def test_closing_pays_the_accounts_own_slippage_too() -> None:
    # Scaled by 2 it is 0.002: sold at 998, loss 20, fee 4.99.
    (step,) = play([STILL, STILL], [0.0], LONG_10, state={"slippage_scale": 2.0})
    assert step.account == (9_975.01, 0.0, 0.0, 0.0)
    assert step.outcome["slippage"] == pytest.approx(-20.0)


def test_an_account_pays_its_own_taker_fee() -> None:
    # 20 * 1 001 * 0.0007 = 14.014
    (step,) = play([STILL, STILL], [1.0], state={"taker_fee": 0.0007})
    assert step.outcome["fees"] == -14.014


def test_a_flip_closes_first_and_then_opens_what_the_close_decided() -> None:
    # Long 10 at 1 000, target -1 at the close of 1 000: after the close with its fee of 5 there are 10 000, wanted
    # -20. The bar opens at 980 and sells at 979.02 -> 979.0: closing realizes -210, fee 4.895; opening 20 costs a fee
    # of 9.79 and assigns 20 * 979 / 5 = 3 916. Wallet 10 000 - 210 - 14.685 = 9 775.315.
    bar = (980.0, 985.0, 975.0, 982.0)
    (step,) = play([STILL, bar], [-1.0], LONG_10)
    assert step.account == pytest.approx((9_775.315, -20.0, 979.0, 3_916.0), abs=1e-12)
    assert step.outcome["events"] == FILLED
    assert step.outcome["traded_notional"] == pytest.approx(30 * 979.0)
    assert step.outcome["fees"] == pytest.approx(-14.685)


def test_a_smaller_target_reduces_and_a_larger_one_adds() -> None:
    # Long 20 at 1 000 is exposure 2. Target 0.5 wants 10: sells 10 at 999, loss 10, fee 4.995, half the margin stays.
    held = Account(10_000.0, 20.0, 1_000.0, 4_000.0)
    (step,) = play([STILL, STILL], [0.5], held)
    assert step.account == (9_985.005, 10.0, 1_000.0, 2_000.0)
    # Long 10, target 1 wants 20: buys 10 at 1 001, entry 1 000.5, margin 2 000 + 2 002, fee 5.005.
    (step,) = play([STILL, STILL], [1.0], LONG_10)
    assert step.account == (9_994.995, 20.0, 1_000.5, 4_002.0)


def test_a_target_within_the_band_sends_no_order_and_flat_is_always_reached() -> None:
    # Long 10 is exposure 1. Target 0.58 is 1.16, within the band of 0.2.
    (step,) = play([STILL, STILL], [0.58], LONG_10)
    assert (step.account, step.outcome["events"]) == (LONG_10, 0)
    # Long 0.5 is exposure 0.05, nearer to flat than the band, and yet is closed: at 999, loss 0.5, fee 0.24975.
    (step,) = play([STILL, STILL], [0.0], Account(10_000.0, 0.5, 1_000.0, 100.0))
    assert step.account == (9_999.25025, 0.0, 0.0, 0.0)


def test_the_amount_is_that_of_the_close_whatever_the_bar_opens_at() -> None:
    for price in (700.0, 1_000.0, 1_100.0):
        (step,) = play([STILL, (price, price, price, price)], [1.0])
        assert step.account.position_amount == 20.0


# What the exchange refuses at the open


def test_a_gap_that_the_balance_does_not_carry_refuses_the_order() -> None:
    # Target 1 is 5 times the balance: (10 000 * 0.98) / (1 000 * 0.2005) = 48.877 fit at the close. At an open of
    # 1 030 they cost 48.877 * 1 031.1 * 0.2005 = 10 104.6 and an open loss of 48.877 * 1.1 = 53.8: too much.
    # At 1 005 they cost 48.877 * 1 006.1 * 0.2005 + 53.8 = 9 913.4: it fills.
    up = (1_030.0, 1_030.0, 1_030.0, 1_030.0)
    (step,) = play([STILL, up], [1.0], max_exposure=5.0)
    assert (step.account, step.outcome["events"]) == (FLAT, REFUSED_MARGIN)
    less = (1_005.0, 1_005.0, 1_005.0, 1_005.0)
    (step,) = play([STILL, less], [1.0], max_exposure=5.0)
    assert (step.account.position_amount, step.outcome["events"]) == (48.877, FILLED)


def test_a_small_balance_carries_as_much_as_it_is_and_no_more() -> None:
    # (0.6 * 0.98) / (1 000 * 0.2005) = 0.00293 -> 0.002 fit at the close. At 1 700 they cost 0.002 * 1 701.7 * 0.2005 =
    # 0.682 and an open loss of 0.003, at 1 400 they cost 0.562 and 0.003.
    terms, poor = terms_table(min_notional=0.0), Account(0.6, 0.0, 0.0, 0.0)
    for price, events in ((1_700.0, REFUSED_MARGIN), (1_400.0, FILLED)):
        (step,) = play([STILL, (price, price, price, price)], [1.0], poor, terms=terms, max_exposure=5.0)
        assert step.outcome["events"] & (FILLED | REFUSED_MARGIN) == events


def test_the_open_loss_against_the_mark_price_counts_as_cost() -> None:
    # As above at 1 005, where 86.6 are to spare: a mark of 1 003 adds 48.877 * 2 = 97.8 of open loss.
    apart = (1_005.0, 1_005.0, 1_005.0, 1_005.0, 1_003.0, 1_005.0, 1_003.0, 1_003.0)
    (step,) = play([STILL, apart], [1.0], max_exposure=5.0)
    assert step.outcome["events"] == REFUSED_MARGIN


def test_a_gap_beyond_the_brackets_limit_refuses_the_order() -> None:
    # A limit of 15 000, of which 14 700 are used: 14.7. At a mark of 1 020 that is 14 994, at 1 021 it is 15 008.7.
    terms = terms_table(max_notional=15_000.0)
    for price, events in ((1_020.0, FILLED), (1_021.0, REFUSED_BRACKET)):
        (step,) = play([STILL, (price, price, price, price)], [1.0], terms=terms)
        assert step.outcome["events"] == events
        assert step.account.position_amount == (14.7 if events == FILLED else 0.0)


def test_an_order_on_the_limit_or_of_the_minimum_notional_is_accepted() -> None:
    # 15 at 1 000 are 15 000; 0.05 are 50.
    (step,) = play([STILL, STILL], [1.0], terms=terms_table(max_notional=15_000.0), reserve=0.0)
    assert (step.account.position_amount, step.outcome["events"]) == (15.0, FILLED)
    (step,) = play([STILL, STILL], [1.0], Account(25.0, 0.0, 0.0, 0.0))
    assert (step.account.position_amount, step.outcome["events"]) == (0.05, FILLED)


def test_the_limit_holds_for_the_whole_position() -> None:
    # Long 10, limit 15 000: 4.7 may be added at the close; at a mark of 1 021 all 14.7 are too many.
    terms = terms_table(max_notional=15_000.0)
    (step,) = play([STILL, (1_021.0, 1_021.0, 1_021.0, 1_021.0)], [1.0], LONG_10, terms=terms)
    assert (step.account, step.outcome["events"]) == (LONG_10, REFUSED_BRACKET)


def test_an_order_under_the_minimum_notional_is_refused_unless_it_only_reduces() -> None:
    # A minimum of 50: 0.001 at 60 000 is 60, at a mark of 49 999.9 it is 49.9999.
    close = (60_000.0, 60_000.0, 60_000.0, 60_000.0)
    low = (49_999.9, 49_999.9, 49_999.9, 49_999.9)
    flat = Account(50.0, 0.0, 0.0, 0.0)  # twice 50 at 60 000 is 0.00166 -> 0.001
    (step,) = play([close, close], [1.0], flat)
    assert (step.account.position_amount, step.outcome["events"]) == (0.001, FILLED)
    (step,) = play([close, low], [1.0], flat)
    assert (step.account, step.outcome["events"]) == (flat, REFUSED_NOTIONAL)
    held = Account(50.0, 0.001, 60_000.0, 12.0)
    (step,) = play([close, low], [0.0], held)
    assert (step.account.position_amount, step.outcome["events"] & FILLED) == (0.0, FILLED)


def test_a_market_order_that_would_fill_too_far_from_the_mark_price_is_refused() -> None:
    # The band is 5 % of a mark of 1 000. 1 048.9 * 1.001 = 1 049.9489 -> 1 050.0 buys, 1 049.0 -> 1 050.1 does not;
    # 951.0 * 0.999 = 950.049 -> 950.0 sells, 950.9 -> 949.9 does not.
    for target, price, events in (
        (1.0, 1_048.9, FILLED),
        (1.0, 1_049.0, REFUSED_PRICE),
        (-1.0, 951.0, FILLED),
        (-1.0, 950.9, REFUSED_PRICE),
    ):
        (step,) = play([STILL, (price, price, price, price, *STILL)], [target], state={"last_bar": 99})
        assert step.outcome["events"] == events
        assert not step.outcome["terminated"]


def test_a_close_too_far_from_the_mark_price_is_refused_with_what_would_follow_it() -> None:
    apart = (940.0, 940.0, 940.0, 940.0, *STILL)
    for target in (0.0, -1.0):
        (step,) = play([STILL, apart], [target], LONG_10)
        assert (step.account, step.outcome["events"]) == (LONG_10, REFUSED_PRICE)


def test_a_flip_may_close_and_be_refused_its_opening_by_its_larger_impact() -> None:
    # Linear impact 0.5 at a volume of 500: closing 10 is a share of 0.02, 1.1 % -> 989.0; opening 20, 2.1 % -> 979.0.
    # The mark of 1 035 allows 983.25 and above.
    bar = (1_000.0, 1_000.0, 1_000.0, 1_000.0, 1_035.0, 1_035.0, 1_035.0, 1_035.0)
    (step,) = play([STILL, bar], [-1.0], LONG_10, linear_impact=0.5)
    assert step.outcome["events"] == FILLED | REFUSED_PRICE
    # Closing realizes -110 and costs 10 * 989 * 0.0005 = 4.945.
    assert step.account == pytest.approx((9_885.055, 0.0, 0.0, 0.0), abs=1e-11)


def test_a_flip_whose_opening_is_refused_ends_flat_and_says_both() -> None:
    # Long 10, target -1 wants -20 after the close. The bracket allows 20 400 * 0.98 = 19 992 at the close, so 19.992;
    # at a mark of 1 030 that is 20 591.8: refused. Closing sells at 1 028.97 -> 1 028.9: +289, fee 5.1445.
    bar = (1_030.0, 1_030.0, 1_030.0, 1_030.0)
    (step,) = play([STILL, bar], [-1.0], LONG_10, terms=terms_table(max_notional=20_400.0))
    assert step.account == pytest.approx((10_283.8555, 0.0, 0.0, 0.0), abs=1e-12)
    assert step.outcome["events"] == FILLED | REFUSED_BRACKET


def test_a_bar_without_volume_fills_nothing() -> None:
    (step,) = play([STILL, STILL], [1.0], volume=[500.0, 0.0])
    assert (step.account, step.outcome["events"]) == (FLAT, REFUSED_NO_TRADES)
    (step,) = play([STILL, STILL], [0.0], LONG_10, volume=[500.0, 0.0])
    assert (step.account, step.outcome["events"]) == (LONG_10, REFUSED_NO_TRADES)
    # Nothing was ordered, so nothing is refused.
    (step,) = play([STILL, STILL], [0.5], LONG_10, volume=[500.0, 0.0])
    assert (step.account, step.outcome["events"]) == (LONG_10, 0)


def test_in_a_bar_without_volume_stops_rest_but_the_mark_price_liquidates_and_funding_is_due() -> None:
    # Long 10 at 1 000 with 2 000: liquidation at 8 000 / 9.9 = 808.08. Down to 850 the stop at 900 does not fill.
    down = (1_000.0, 1_000.0, 850.0, 860.0)
    (step,) = play([STILL, down], [0.0], LONG_10, volume=[500.0, 0.0], stop_loss=0.1, due=[(1.0, 0.0001, 1_000.0)])
    assert step.account == (9_999.0, 10.0, 1_000.0, 1_999.0)
    assert step.outcome["events"] == REFUSED_NO_TRADES
    up = (1_000.0, 1_100.0, 1_000.0, 1_090.0)
    (step,) = play([STILL, up], [0.5], LONG_10, volume=[500.0, 0.0], take_profit=0.05)
    assert (step.account, step.outcome["events"]) == (LONG_10, 0)
    further = (1_000.0, 1_000.0, 800.0, 860.0)
    (step,) = play([STILL, further], [0.5], LONG_10, volume=[500.0, 0.0], stop_loss=0.1)
    assert (step.account.position_amount, step.outcome["events"]) == (0.0, LIQUIDATED)


# 1. and 5. Funding


@pytest.mark.parametrize(
    ("account", "rate", "cash"),
    [  # 10 * 1 003 * 0.0001 = 1.003; longs pay shorts when the rate is positive
        (LONG_10, 0.0001, -1.003),
        (SHORT_10, 0.0001, 1.003),
        (LONG_10, -0.0001, 1.003),
        (SHORT_10, -0.0001, -1.003),
        (FLAT, 0.0001, 0.0),
    ],
)
def test_funding_at_the_open_is_settled_on_the_position_before_the_order(
    account: Account, rate: float, cash: float
) -> None:
    # Closing, flipping, opening and holding: the payment is that of the position held before.
    for target in (0.0, -1.0, 1.0, 0.5):
        (step,) = play([STILL, STILL], [target], account, due=[(1.0, rate, 1_003.0)])
        assert step.outcome["funding"] == cash


def test_funding_that_a_close_still_pays_comes_off_the_balance() -> None:
    # 10 000 - 1.003, sold at 999: -10 and a fee of 4.995.
    (step,) = play([STILL, STILL], [0.0], LONG_10, due=[(1.0, 0.0001, 1_003.0)])
    assert step.account == pytest.approx((9_984.002, 0.0, 0.0, 0.0), abs=1e-12)


def test_funding_at_the_close_belongs_to_the_next_bar() -> None:
    # Due at hour 2, the close of bar 1 and the open of bar 2.
    first, second = play([STILL] * 3, [0.5, 0.5], LONG_10, due=[(2.0, 0.0001, 1_000.0)])
    assert (first.outcome["funding"], second.outcome["funding"]) == (0.0, -1.0)


def test_funding_inside_a_bar_is_settled_on_the_position_after_the_order() -> None:
    # A day's bar from hour 24 on: 24:00 finds nothing, 32:00 and 40:00 find long 20: 20 * 1 010 * 0.0001 = 2.02 and
    # 20 * 990 * -0.0002 = -3.96, received. 48:00 belongs to the next bar.
    due = [(24.0, 0.001, 1_000.0), (32.0, 0.0001, 1_010.0), (40.0, -0.0002, 990.0), (48.0, 0.001, 1_000.0)]
    (step,) = play([STILL, STILL], [1.0], due=due, hours=24)
    assert step.outcome["funding"] == pytest.approx(-2.02 + 3.96)
    assert step.account.isolated_wallet == pytest.approx(4_004.0 + 1.94)
    # Held before and after: the settlement at the open is paid too.
    (step,) = play([STILL, STILL], [0.5], LONG_10, due=due, hours=24)
    assert step.outcome["funding"] == pytest.approx(-10.0 - 1.01 + 1.98)


def test_a_position_that_was_stopped_pays_no_funding_inside_the_bar() -> None:
    down = (1_000.0, 1_000.0, 880.0, 890.0)
    (step,) = play([STILL, down], [0.5], LONG_10, due=[(32.0, 0.0001, 1_000.0)], hours=24, stop_loss=0.1)
    assert (step.outcome["events"], step.outcome["funding"]) == (STOPPED, 0.0)


def test_funding_at_the_open_may_cost_the_margin_that_liquidation_needs() -> None:
    # Long 10 with 2 000: liquidated at 808.08. After paying 10 * 1 000 * 0.01 = 100 it is (1 900 - 10 000) / -9.9
    # = 818.18, which a low of 812 reaches.
    low = (1_000.0, 1_000.0, 812.0, 990.0)
    (step,) = play([STILL, low], [0.5], LONG_10)
    assert step.outcome["events"] == 0
    (step,) = play([STILL, low], [0.5], LONG_10, due=[(1.0, 0.01, 1_000.0)])
    assert step.outcome["events"] == LIQUIDATED


# 3. Stops


def test_a_stop_on_the_mark_price_sells_at_the_last_price_of_that_moment() -> None:
    # Stop at 900. The bar rises, so it goes to its low first: mark 1 000 -> 880 reaches 900 after 100 / 120 of the
    # way, where last, on its way 1 002 -> 888, is at 1 002 - 114 * 5 / 6 = 907. Sold at 907 * 0.999 = 906.093 -> 906.0:
    # loss 940, fee 4.53, slippage 10.
    bar = (1_002.0, 1_020.0, 888.0, 1_010.0, 1_000.0, 1_019.0, 880.0, 1_009.0)
    (step,) = play([STILL, bar], [0.5], LONG_10, stop_loss=0.1)
    assert step.account == pytest.approx((9_055.47, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == STOPPED
    assert step.outcome["slippage"] == pytest.approx(-10.0)
    assert step.outcome["price_pnl"] == pytest.approx(-930.0)
    assert not step.outcome["terminated"]


def test_a_stop_on_the_last_price_sells_at_its_price() -> None:
    # Last reaches 900: sold at 899.1; loss 1 009, fee 4.4955. The mark stays above.
    bar = (1_002.0, 1_020.0, 888.0, 1_010.0, 1_000.0, 1_019.0, 910.0, 1_009.0)
    (step,) = play([STILL, bar], [0.5], LONG_10, stop_loss=0.1, stop_on_mark=False)
    assert step.account == pytest.approx((8_986.5045, 0.0, 0.0, 0.0), abs=1e-11)
    assert (step.outcome["events"], step.outcome["slippage"]) == (STOPPED, pytest.approx(-9.0))
    # On the mark price the same bar does not trigger.
    (step,) = play([STILL, bar], [0.5], LONG_10, stop_loss=0.1)
    assert (step.account, step.outcome["events"]) == (LONG_10, 0)


def test_a_short_is_stopped_above_its_entry() -> None:
    # Stop at 1 100 on last: bought at 1 101.1, loss 1 011, fee 5.5055.
    bar = (1_000.0, 1_120.0, 990.0, 1_000.0)
    (step,) = play([STILL, bar], [-0.5], SHORT_10, stop_loss=0.1, stop_on_mark=False)
    assert step.account == pytest.approx((8_983.4945, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == STOPPED


def test_a_short_is_stopped_on_the_mark_price_at_the_last_price_of_that_moment() -> None:
    # A falling bar goes to its high first: mark 1 000 -> 1 125 reaches 1 100 after 0.8 of the way, where last, on its
    # way 1 005 -> 1 115, is at 1 093. Bought at 1 094.093 -> 1 094.1: loss 941, fee 5.4705.
    bar = (1_005.0, 1_115.0, 990.0, 1_000.0, 1_000.0, 1_125.0, 985.0, 995.0)
    (step,) = play([STILL, bar], [-0.5], SHORT_10, stop_loss=0.1)
    assert step.account == pytest.approx((9_053.5295, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["slippage"] == pytest.approx(-11.0)


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_a_position_of_a_coin_or_less_is_stopped_as_any_other(size: float) -> None:
    # From 1 000: stop at 900 or 1 100, take-profit at 1 050 or 950.
    for side, bar, events in (
        (1.0, (1_000.0, 1_000.0, 890.0, 1_000.0), STOPPED),
        (-1.0, (1_000.0, 1_110.0, 1_000.0, 1_000.0), STOPPED),
        (1.0, (1_000.0, 1_060.0, 1_000.0, 1_000.0), TOOK_PROFIT),
        (-1.0, (1_000.0, 1_000.0, 940.0, 1_000.0), TOOK_PROFIT),
    ):
        held = Account(10_000.0, side * size, 1_000.0, 200.0 * size)
        (step,) = play([STILL, bar], [1.0], held, stop_loss=0.1, take_profit=0.05, **HOLD)
        assert step.outcome["events"] == events


def test_a_mark_price_that_more_than_halves_is_met_on_its_straight_way() -> None:
    # Mark 1 000 -> 400 meets the stop of 900 after a sixth, where last, on its way 1 020 -> 420, is at 920: sold at
    # 919.08 -> 919.0: loss 810, fee 4.595. A short's: mark 1 000 -> 2 200 meets 1 100 after a twelfth, last 1 020 ->
    # 2 220 is at 1 120: bought at 1 121.12 -> 1 121.2: loss 1 212, fee 5.606.
    bar = (1_020.0, 1_020.0, 420.0, 1_020.0, 1_000.0, 1_000.0, 400.0, 1_000.0)
    (step,) = play([STILL, bar], [0.5], LONG_10, stop_loss=0.1)
    assert step.account == pytest.approx((9_185.405, 0.0, 0.0, 0.0), abs=1e-11)
    bar = (1_020.0, 2_220.0, 1_020.0, 1_019.0, 1_000.0, 2_200.0, 1_000.0, 999.0)
    (step,) = play([STILL, bar], [-0.5], SHORT_10, stop_loss=0.1)
    assert step.account == pytest.approx((8_782.394, 0.0, 0.0, 0.0), abs=1e-11)


def test_a_stop_is_rounded_to_the_tick_toward_the_entry() -> None:
    # Long from 1 001.1 with a stop at 10 %: 900.99 -> 901.0; a low of 901.0 triggers and 901.1 does not.
    held = Account(10_000.0, 10.0, 1_001.1, 2_002.2)
    for low, events in ((901.0, STOPPED), (901.1, 0)):
        (step,) = play([STILL, (1_000.0, 1_000.0, low, 950.0)], [0.5], held, stop_loss=0.1)
        assert step.outcome["events"] == events
    # Short from 1 001.1: 1 101.21 -> 1 101.2.
    held = Account(10_000.0, -10.0, 1_001.1, 2_002.2)
    for high, events in ((1_101.2, STOPPED), (1_101.1, 0)):
        (step,) = play([STILL, (1_000.0, high, 1_000.0, 1_050.0)], [-0.5], held, stop_loss=0.1)
        assert step.outcome["events"] == events


@pytest.mark.parametrize("on_mark", [True, False])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_bar_that_stays_more_than_a_tick_from_every_trigger_is_not_walked(side: float, on_mark: bool) -> None:
    # Long from 1 000: stop 900, take-profit 1 050; short: stop 1 100, take-profit 950. 20 % of the notional back it.
    account = LONG_10 if side > 0.0 else SHORT_10

    def is_quiet(adverse: float, favourable: float, **settings: float) -> bool:
        low, high = sorted((1_000.0 - side * adverse, 1_000.0 + side * favourable))
        prices = (1_000.0, high, low, 1_000.0)
        still = (1_000.0, 1_000.0, 1_000.0, 1_000.0)
        bar = Bar(*(still if on_mark else prices), *(prices if on_mark else still), 500.0)
        table = settings_table(stop_on_mark=on_mark, **settings)[0]
        return path.is_quiet(account, bar, table, one_terms(), BRACKETS)

    both = {"stop_loss": 0.1, "take_profit": 0.05}
    assert is_quiet(99.8, 49.8, **both)
    assert not is_quiet(99.9, 49.8, **both)
    assert not is_quiet(99.8, 49.9, **both)
    assert is_quiet(99.8, 49.9, stop_loss=0.1)
    assert is_quiet(99.9, 49.8, take_profit=0.05)
    assert is_quiet(150.0, 150.0)


def test_a_gap_over_the_stop_sells_at_the_open() -> None:
    # Open at 870: 870 * 0.999 = 869.13 -> 869.1 whatever triggers; loss 1 309, fee 4.3455.
    bar = (870.0, 905.0, 860.0, 902.0)
    for stop_on_mark in (True, False):
        (step,) = play([STILL, bar], [0.5], LONG_10, stop_loss=0.1, stop_on_mark=stop_on_mark)
        assert step.account == pytest.approx((8_686.6545, 0.0, 0.0, 0.0), abs=1e-11)
        assert step.outcome["events"] == STOPPED


@pytest.mark.parametrize("stop_on_mark", [True, False])
def test_an_open_on_the_stop_itself_triggers_it(stop_on_mark: bool) -> None:
    # A long's stop is at 900 and a short's at 1 100; the bar opens there and goes away from it.
    for bar, target, held in (
        ((900.0, 905.0, 900.0, 902.0), 0.5, LONG_10),
        ((1_100.0, 1_100.0, 1_095.0, 1_098.0), -0.5, SHORT_10),
    ):
        (step,) = play([STILL, bar], [target], held, stop_loss=0.1, stop_on_mark=stop_on_mark)
        assert step.outcome["events"] == STOPPED


def test_the_stop_of_a_new_position_counts_from_its_own_entry_and_works_in_its_first_bar() -> None:
    # Bought 20 at 1 001: stop at 900.9 on last: 900.9 * 0.999 = 899.9991 -> 899.9; loss 20 * 101.1 = 2 022, fees 10.01
    # and 8.999.
    bar = (1_000.0, 1_000.0, 895.0, 1_000.0)
    (step,) = play([STILL, bar], [1.0], stop_loss=0.1, stop_on_mark=False)
    assert step.account == pytest.approx((10_000.0 - 2_022.0 - 19.009, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == FILLED | STOPPED


def test_a_rising_bar_reaches_its_low_first_and_a_falling_one_its_high() -> None:
    # Stop at 900, take-profit at 1 050, both inside the bar.
    wide: dict[str, Any] = {"stop_loss": 0.1, "take_profit": 0.05, "stop_on_mark": False}
    rising, falling = (1_000.0, 1_060.0, 890.0, 1_001.0), (1_000.0, 1_060.0, 890.0, 999.0)
    unchanged = (1_000.0, 1_060.0, 890.0, 1_000.0)  # counts as rising
    for bar, events in ((rising, STOPPED), (unchanged, STOPPED), (falling, TOOK_PROFIT)):
        (step,) = play([STILL, bar], [0.5], LONG_10, **wide)
        assert step.outcome["events"] == events
    # A short's stop is at 1 100 and its take-profit at 950.
    rising, falling = (1_000.0, 1_110.0, 940.0, 1_001.0), (1_000.0, 1_110.0, 940.0, 999.0)
    for bar, events in ((rising, TOOK_PROFIT), (falling, STOPPED)):
        (step,) = play([STILL, bar], [-0.5], SHORT_10, **wide)
        assert step.outcome["events"] == events


def test_a_take_profit_sells_at_its_price_or_at_an_open_beyond_it() -> None:
    # Long from 1 000, 5 %: 1 050 * 0.999 = 1 048.95 -> 1 048.9: +489, fee 5.2445.
    (step,) = play([STILL, (1_000.0, 1_055.0, 1_000.0, 1_020.0)], [0.5], LONG_10, take_profit=0.05, stop_on_mark=False)
    assert step.account == pytest.approx((10_483.7555, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == TOOK_PROFIT
    # Opened at 1 060: 1 058.94 -> 1 058.9: +589, fee 5.2945.
    (step,) = play([STILL, (1_060.0, 1_060.0, 1_000.0, 1_020.0)], [0.5], LONG_10, take_profit=0.05)
    assert step.account == pytest.approx((10_583.7055, 0.0, 0.0, 0.0), abs=1e-11)
    # Short from 1 000: 950 * 1.001 = 950.95 -> 951.0: +490, fee 4.755.
    (step,) = play([STILL, (1_000.0, 1_000.0, 945.0, 1_000.0)], [-0.5], SHORT_10, take_profit=0.05, stop_on_mark=False)
    assert step.account == pytest.approx((10_485.245, 0.0, 0.0, 0.0), abs=1e-11)


def test_a_stop_and_a_take_profit_are_reached_on_the_straight_way_however_far_it_goes() -> None:
    # Last 1 000 -> 400 meets the stop of 500 at 500: 499.5, a loss of 5 005 and a fee of 2.4975.
    fallen = (1_000.0, 1_000.0, 400.0, 450.0)
    held = Account(10_000.0, 10.0, 1_000.0, 9_000.0)
    (step,) = play([STILL, fallen], [0.5], held, stop_loss=0.5, stop_on_mark=False, **HOLD)
    assert step.account == pytest.approx((4_992.5025, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == STOPPED


@pytest.mark.parametrize("volume", [0.001, 1.0])
def test_any_trade_takes_a_profit_and_none_takes_none(volume: float) -> None:
    bar = (1_000.0, 1_055.0, 1_000.0, 1_020.0)
    (step,) = play([STILL, bar], [0.5], LONG_10, volume=volume, take_profit=0.05, **HOLD)
    assert step.outcome["events"] == TOOK_PROFIT
    (step,) = play([STILL, bar], [0.5], LONG_10, volume=0.0, take_profit=0.05, **HOLD)
    assert step.account == LONG_10


def test_a_take_profit_is_reached_at_its_price() -> None:
    for high, events in ((1_050.0, TOOK_PROFIT), (1_049.9, 0)):
        (step,) = play([STILL, (1_000.0, high, 1_000.0, 1_000.0)], [0.5], LONG_10, take_profit=0.05)
        assert step.outcome["events"] == events
    for low, events in ((950.0, TOOK_PROFIT), (950.1, 0)):
        (step,) = play([STILL, (1_000.0, 1_000.0, low, 1_000.0)], [-0.5], SHORT_10, take_profit=0.05)
        assert step.outcome["events"] == events


def test_an_order_that_closes_leaves_nothing_for_the_stop() -> None:
    (step,) = play([STILL, (1_000.0, 1_000.0, 500.0, 600.0)], [0.0], LONG_10, stop_loss=0.1)
    assert step.outcome["events"] == FILLED
    assert step.outcome["traded_notional"] == 9_990.0


def test_after_a_stop_the_next_decision_may_open_again() -> None:
    down = (1_000.0, 1_000.0, 890.0, 900.0)
    first, second = play([STILL, down, (900.0, 900.0, 900.0, 900.0)], [0.5, 1.0], LONG_10, stop_loss=0.1)
    assert first.account.position_amount == 0.0
    # Stopped at 900 -> sold at 899.1: 8 986.5045; twice that at 900 is 19.970 (19.97001).
    assert second.account.position_amount == 19.97
    assert second.outcome["events"] == FILLED


# 4. Liquidation


def test_a_position_is_liquidated_where_the_mark_price_reaches_its_liquidation_price() -> None:
    # Long 10 at 1 000 with 1 090: (1 090 - 10 000) / -9.9 = 900. There margin is 90 = 9 000 * 0.01. The fee of
    # 9 000 * 0.0125 = 112.5 finds 90. The last price does not matter.
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    bar = (1_000.0, 1_005.0, 990.0, 1_001.0, 1_000.0, 1_005.0, 880.0, 1_001.0)
    (step,) = play([STILL, bar], [0.5], held, state={"last_bar": 99})
    outcome = step.outcome
    assert step.account == pytest.approx((8_910.0, 0.0, 0.0, 0.0), abs=1e-8)
    assert outcome["events"] == LIQUIDATED
    assert outcome["liquidation"] == pytest.approx(-90.0, abs=1e-8)
    assert outcome["insurance"] == 0.0
    assert outcome["price_pnl"] == pytest.approx(-1_000.0, abs=1e-8)
    assert outcome["traded_notional"] == pytest.approx(9_000.0)
    assert (outcome["fees"], outcome["slippage"]) == (0.0, 0.0)
    assert outcome["terminated"]
    assert not outcome["truncated"]
    # A mark low just above it does nothing.
    (step,) = play([STILL, (*bar[:6], 900.1, 1_001.0)], [0.5], held)
    assert (step.account, step.outcome["events"]) == (held, 0)


def test_a_position_that_only_its_profit_backs_is_liquidated_at_the_price_all_the_same() -> None:
    # Cross, nothing in the wallet: 6.038 from 496.287 have 6.038 * 5.013 = 30.268494 at a mark of 501.3, and need
    # 6.038 * 501.3 * 1 %, which is the same. The fee of 1.25 % finds it.
    held, terms = Account(0.0, 6.038, 496.287, 0.0), terms_table(is_isolated=False)
    for low, events in ((501.3, LIQUIDATED | RUINED), (501.4, 0)):
        bar = (510.0, 511.0, low, 510.5)
        (step,) = play([bar, bar], [1.0], held, terms=terms, rebalance_band=999.0)
        assert step.outcome["events"] == events
    assert step.account == held


def test_a_gap_beyond_the_liquidation_price_liquidates_at_the_open() -> None:
    # Opened at 880: loss 1 200, isolated wallet 1 090: the insurance fund bears 110.
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    bar = (880.0, 1_005.0, 880.0, 1_001.0)
    (step,) = play([STILL, bar], [0.5], held)
    assert step.account == (8_910.0, 0.0, 0.0, 0.0)
    assert (step.outcome["insurance"], step.outcome["liquidation"]) == (110.0, 110.0)
    assert step.outcome["price_pnl"] == pytest.approx(-1_200.0)
    assert step.outcome["events"] == LIQUIDATED


def test_a_short_is_liquidated_above() -> None:
    # Short 5 at 1 000 with 555: (555 + 5 000) / 5.05 = 1 100, margin 55 = 5 500 * 0.01; the fee of 68.75 finds 55.
    held = Account(10_000.0, -5.0, 1_000.0, 555.0)
    (step,) = play([STILL, (1_000.0, 1_120.0, 1_000.0, 1_010.0)], [-0.25], held)
    assert step.account == pytest.approx((9_445.0, 0.0, 0.0, 0.0), abs=1e-8)
    assert step.outcome["events"] == LIQUIDATED
    (step,) = play([STILL, (1_000.0, 1_099.9, 1_000.0, 1_010.0)], [-0.25], held)
    assert (step.account, step.outcome["events"]) == (held, 0)


def test_a_cross_position_is_backed_by_the_whole_wallet_and_ends_at_zero() -> None:
    # Long 20 at 1 000 with a wallet of 4 000, leverage 5: bracket 2 at the entry, (4 000 + 100 - 20 000) / -19.6
    # = 811.2245, notional 16 224.5. A gap to 700: loss 6 000, 2 000 of it the insurance fund's.
    terms = terms_table(is_isolated=False)
    held = Account(4_000.0, 20.0, 1_000.0, 0.0)
    above = (1_000.0, 1_000.0, 811.3, 900.0)
    (step,) = play([STILL, above], [1.0], held, terms=terms, **HOLD)
    assert step.outcome["events"] == 0
    gap = (700.0, 700.0, 700.0, 700.0)
    (step,) = play([STILL, gap], [1.0], held, terms=terms, **HOLD)
    assert step.account == (0.0, 0.0, 0.0, 0.0)
    assert step.outcome["insurance"] == 2_000.0
    assert step.outcome["terminated"]


def test_a_partial_liquidation_leaves_the_rest_of_the_position() -> None:
    # Opened at 914: the ledger's example of 30 long, which keeps 10.94. Its new liquidation price is
    # (1 143.0795 - 10 940) / (-10.94 * 0.99) = 904.539, which a low of 905 does not reach.
    bar = (914.0, 930.0, 905.0, 920.0)
    (step,) = play([STILL, bar], [1.0], LONG_30, **HOLD)
    assert step.account == pytest.approx((8_143.0795, 10.94, 1_000.0, 1_143.0795), abs=1e-11)
    assert step.outcome["events"] == REDUCED_BY_LIQUIDATION
    assert step.outcome["liquidation"] == pytest.approx(-217.7605)
    assert not step.outcome["terminated"]


def test_a_reduced_position_may_be_liquidated_again_in_the_same_bar() -> None:
    # As above with a low of 904: at 904.539 margin is 1 143.0795 - 10.94 * 95.461 = 98.96, which the fee of
    # 10.94 * 904.539 * 0.0125 = 123.7 takes whole. The isolated wallet of 3 000 is lost, no more.
    bar = (914.0, 930.0, 904.0, 920.0)
    (step,) = play([STILL, bar], [1.0], LONG_30, **HOLD)
    assert step.account == pytest.approx((7_000.0, 0.0, 0.0, 0.0), abs=1e-7)
    assert step.outcome["events"] == REDUCED_BY_LIQUIDATION | LIQUIDATED


def test_a_reduced_position_may_be_stopped_in_the_same_bar() -> None:
    # Opened at 914 and reduced to 10.94; the stop at 1 000 * 0.91 = 910 sells them at 909.09 -> 909.0:
    # loss 10.94 * 91 = 995.54, fee 10.94 * 909 * 0.0005 = 4.97223.
    bar = (914.0, 930.0, 905.0, 920.0)
    (step,) = play([STILL, bar], [1.0], LONG_30, stop_loss=0.09, stop_on_mark=False, **HOLD)
    assert step.account == pytest.approx((8_143.0795 - 995.54 - 4.97223, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == REDUCED_BY_LIQUIDATION | STOPPED


def test_after_a_liquidation_on_the_way_both_prices_go_on_from_there() -> None:
    # Long 30 with 3 000: (3 000 + 100 - 30 000) / -29.4 = 914.96598639. The mark goes 1 000 -> 900, last 1 000 -> 880.
    # Reduced there to 10 000 / 914.966 = 10.929: loss 19.071 * 85.03401361 = 1 621.68367347, fee 1.25 % of
    # 17 449.31632653 = 218.11645408. The stop at 910 is 0.9 of the way, where last is at 892: sold at 891.108 -> 891.1,
    # loss 10.929 * 108.9 = 1 190.1681, fee 4.86941595.
    bar = (1_000.0, 1_000.0, 880.0, 1_000.0, 1_000.0, 1_000.0, 900.0, 1_000.0)
    (step,) = play([STILL, bar], [1.0], LONG_30, stop_loss=0.09, **HOLD)
    assert step.account == pytest.approx((6_965.1623565, 0.0, 0.0, 0.0), abs=2e-8)
    assert step.outcome["events"] == REDUCED_BY_LIQUIDATION | STOPPED
    assert step.outcome["slippage"] == pytest.approx(-10.929 * 0.9)


def test_a_stop_nearer_than_the_liquidation_price_comes_first_and_a_farther_one_too_late() -> None:
    # Liquidation at 900 with 1 090 of margin.
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    bar = (1_000.0, 1_000.0, 800.0, 1_000.0)
    for stop_loss, events in ((0.09, STOPPED), (0.11, LIQUIDATED)):
        for stop_on_mark in (True, False):
            (step,) = play([STILL, bar], [0.5], held, stop_loss=stop_loss, stop_on_mark=stop_on_mark)
            assert step.outcome["events"] == events


def test_an_order_at_an_open_beyond_the_bankruptcy_price_saves_nothing() -> None:
    # Long 10 from 1 000 with 2 000 of margin is bankrupt at 800. At an open of 700 the margin is lost, 500 are left,
    # and the insurance fund bears 3 000 - 2 000. Cross, backed by 2 500, nothing is left and it bears 500.
    bar = (700.0, 700.0, 700.0, 700.0)
    (step,) = play([STILL, bar], [0.0], Account(2_500.0, 10.0, 1_000.0, 2_000.0))
    assert step.account == (500.0, 0.0, 0.0, 0.0)
    assert step.outcome["insurance"] == 1_000.0
    assert step.outcome["events"] == LIQUIDATED
    (step,) = play([STILL, bar], [0.0], Account(2_500.0, 10.0, 1_000.0, 0.0), terms=terms_table(is_isolated=False))
    assert step.account == (0.0, 0.0, 0.0, 0.0)
    assert step.outcome["insurance"] == 500.0


def test_at_an_open_beyond_both_liquidation_comes_before_the_stop() -> None:
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    (step,) = play([STILL, (890.0, 1_000.0, 890.0, 1_000.0)], [0.5], held, stop_loss=0.09)
    assert step.outcome["events"] == LIQUIDATED


def test_a_new_position_is_liquidated_in_its_first_bar() -> None:
    # Bought 48.877 at 1 001 with 48.877 * 1 001 / 5 of margin: bracket 2, liquidated at about 817.
    bar = (1_000.0, 1_010.0, 700.0, 1_005.0)
    (step,) = play([STILL, bar], [1.0], max_exposure=5.0)
    assert step.outcome["events"] & FILLED
    assert step.outcome["events"] & LIQUIDATED
    assert step.outcome["terminated"]


# Rules that meet in one bar


def test_funding_at_the_open_is_paid_before_an_open_beyond_the_bankruptcy_price_liquidates() -> None:
    # Long 10 with 2 000 pays 10 * 1 000 * 0.001 = 10; at 700 the other 1 990 are lost, the fund bears 1 010.
    (step,) = play([STILL, (700.0,) * 4], [0.0], LONG_10, due=[(1.0, 0.001, 1_000.0)])
    assert step.account == (8_000.0, 0.0, 0.0, 0.0)
    assert (step.outcome["funding"], step.outcome["insurance"]) == (-10.0, 1_010.0)


def test_funding_may_push_the_margin_below_zero_and_void_the_order() -> None:
    # Long 10 with 2 000 at a mark of 805: 50 of margin are left; 10 * 805 * 0.01 = 80.5 of funding take it to -30.5,
    # so the flip is void. 1 919.5 - 1 950 = -30.5 are the fund's.
    (step,) = play([STILL, (805.0,) * 4], [-1.0], LONG_10, due=[(1.0, 0.01, 805.0)])
    assert step.outcome["events"] == LIQUIDATED
    assert step.account == (8_000.0, 0.0, 0.0, 0.0)
    assert step.outcome["insurance"] == 30.5


def test_funding_inside_the_bar_is_settled_on_what_a_liquidation_left() -> None:
    # Reduced to 10.94 at the open of 914: 10.94 * 1 000 * 0.0001 = 1.094.
    bar = (914.0, 930.0, 905.0, 920.0)
    (step,) = play([STILL, bar], [1.0], LONG_30, due=[(32.0, 0.0001, 1_000.0)], hours=24, **HOLD)
    assert step.outcome["events"] == REDUCED_BY_LIQUIDATION
    assert step.outcome["funding"] == -1.094
    assert step.account == pytest.approx((8_141.9855, 10.94, 1_000.0, 1_141.9855), abs=1e-11)


def test_funding_inside_the_bar_liquidates_at_its_mark_price_what_it_leaves_too_little_margin() -> None:
    # 9 long from 1 000 with 180: a settlement of 9 * 1 000 * 0.01 = 90 leaves 90, the maintenance margin of 9 000
    # * 1 %: liquidated, the fee of 112.5 finds 90. One of 0.99 % leaves 90.9: it goes on.
    held = Account(1_000.0, 9.0, 1_000.0, 180.0)
    (step,) = play([STILL, STILL], [0.5], held, due=[(32.0, 0.01, 1_000.0)], hours=24, **HOLD)
    assert step.account == (820.0, 0.0, 0.0, 0.0)
    assert (step.outcome["events"], step.outcome["liquidation"]) == (LIQUIDATED, -90.0)
    (step,) = play([STILL, STILL], [0.5], held, due=[(32.0, 0.0099, 1_000.0)], hours=24, **HOLD)
    assert step.account == pytest.approx((910.9, 9.0, 1_000.0, 90.9), abs=1e-11)
    # A settlement beyond the wallet: 10 * 1 000 * 0.05 = 500 of 250 leave -250, which the insurance fund bears.
    held = Account(250.0, 10.0, 1_000.0, 250.0)
    (step,) = play([STILL, STILL], [0.5], held, due=[(32.0, 0.05, 1_000.0)], hours=24, rebalance_band=99.0)
    assert step.account == (0.0, 0.0, 0.0, 0.0)
    assert (step.outcome["insurance"], bool(step.outcome["terminated"])) == (250.0, True)


def test_a_liquidated_position_pays_no_funding_inside_the_bar() -> None:
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    bar = (1_000.0, 1_005.0, 880.0, 1_001.0)
    (step,) = play([STILL, bar], [0.5], held, due=[(32.0, 0.0001, 1_000.0)], hours=24)
    assert (step.outcome["events"], step.outcome["funding"]) == (LIQUIDATED, 0.0)


def test_funding_at_the_open_moves_the_isolated_margin_and_not_the_stop() -> None:
    # The stop at 900 is that of the entry price; 10 of funding are gone before it: 9 990 - 1 009 - 4.4955.
    bar = (1_000.0, 1_000.0, 890.0, 1_000.0)
    (step,) = play([STILL, bar], [0.5], LONG_10, due=[(1.0, 0.001, 1_000.0)], stop_loss=0.1, stop_on_mark=False)
    assert step.account == pytest.approx((8_976.5045, 0.0, 0.0, 0.0), abs=1e-11)
    assert (step.outcome["events"], step.outcome["funding"]) == (STOPPED, -10.0)


def test_a_refused_order_leaves_the_old_position_its_stop_and_its_liquidation() -> None:
    # Long 10 wants 14.7 and may not at a mark of 1 021; the low of 890 stops the 10 that it holds.
    terms = terms_table(max_notional=15_000.0)
    bar = (1_021.0, 1_021.0, 890.0, 1_021.0)
    (step,) = play([STILL, bar], [1.0], LONG_10, terms=terms, stop_loss=0.1)
    assert step.outcome["events"] == REFUSED_BRACKET | STOPPED
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    (step,) = play([STILL, bar], [1.0], held, terms=terms)
    assert step.outcome["events"] == REFUSED_BRACKET | LIQUIDATED


def test_a_flip_is_stopped_from_its_new_entry_on_the_other_side() -> None:
    # Long 10 flips to short 20 at 999: its stop is at 1 098.9, bought there at 1 099.9989 -> 1 100.0: loss 20 * 101.
    # Closing costs 10 and 4.995, opening 9.99, the stop 11.
    bar = (1_000.0, 1_100.0, 995.0, 1_000.0)
    (step,) = play([STILL, bar], [-1.0], LONG_10, stop_loss=0.1, stop_on_mark=False)
    assert step.outcome["events"] == FILLED | STOPPED
    assert step.account == pytest.approx((10_000.0 - 10.0 - 4.995 - 9.99 - 2_020.0 - 11.0, 0.0, 0.0, 0.0), abs=1e-11)


def test_a_flip_at_funding_pays_for_the_old_side_and_inside_the_bar_for_the_new_one() -> None:
    # At 24:00 long 10 pays 10 * 1 003 * 0.0001 = 1.003; at 32:00 short 20 receives 20 * 990 * 0.0002 = 3.96.
    due = [(24.0, 0.0001, 1_003.0), (32.0, 0.0002, 990.0)]
    (step,) = play([STILL, STILL], [-1.0], LONG_10, due=due, hours=24)
    assert step.outcome["funding"] == pytest.approx(-1.003 + 3.96)


def test_a_position_reduced_by_the_order_is_liquidated_with_what_it_kept() -> None:
    # Long 20 with 2 200 of margin; half is sold at 999, half the margin stays: (1 100 - 10 000) / -9.9 = 898.99.
    held = Account(10_000.0, 20.0, 1_000.0, 2_200.0)
    for low, events in ((899.0, FILLED), (898.9, FILLED | LIQUIDATED)):
        (step,) = play([STILL, (1_000.0, 1_000.0, low, 1_000.0)], [0.5], held)
        assert step.outcome["events"] == events


def test_a_take_profit_before_the_liquidation_price_saves_the_position() -> None:
    # Falling: first to 1 060 and the take-profit at 1 050. Rising: first to 880, liquidated at 900.
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    for close, events in ((999.0, TOOK_PROFIT), (1_001.0, LIQUIDATED)):
        (step,) = play([STILL, (1_000.0, 1_060.0, 880.0, close)], [0.5], held, take_profit=0.05)
        assert step.outcome["events"] == events


def test_intervals_of_four_and_of_one_hour_are_settled_one_after_the_other() -> None:
    # A day's bar in which the interval changes from 4 hours to 1: 28:00, 32:00, then 33:00 to 36:00, each on long 20.
    due = [(28.0, 0.0001, 1_000.0), (32.0, 0.0001, 1_000.0), *((33.0 + i, 0.00002, 1_000.0) for i in range(4))]
    (step,) = play([STILL, STILL], [1.0], due=due, hours=24)
    assert step.outcome["funding"] == pytest.approx(-2 * 2.0 - 4 * 0.4)


# 6. The end of a bar, and of an episode


def test_a_flat_account_that_cannot_carry_an_order_is_ruined() -> None:
    # Ruin is below 30. Sold 0.1 from 1 000 at 799.2: 50 - 20.08 - 0.03996 = 29.88.
    held = Account(50.0, 0.1, 1_000.0, 20.0)
    bar = (800.0, 800.0, 800.0, 800.0)
    (step,) = play([STILL, bar], [0.0], held, state={"last_bar": 99}, brackets=np.array([(1e9, 1e-6, 0.0, 0.0)] * 3))
    assert step.outcome["events"] & RUINED
    assert step.outcome["terminated"]
    # Flat with just 30 it goes on.
    for wallet, is_ruined in ((30.0, False), (29.99, True)):
        (step,) = play([STILL, bar], [0.0], Account(wallet, 0.0, 0.0, 0.0), state={"last_bar": 99})
        assert bool(step.outcome["events"] & RUINED) == is_ruined
    # Still holding a position, the same balance is not ruined.
    held = Account(49.0, 0.1, 1_000.0, 25.0)
    (step,) = play([STILL, bar], [1.0], held, state={"last_bar": 99}, **HOLD)
    assert step.outcome["margin_balance"] == pytest.approx(29.0)
    assert not step.outcome["terminated"]


def test_an_episode_is_truncated_at_its_last_bar_and_terminated_if_it_ends_there_anyway() -> None:
    first, second = play([STILL] * 3, [0.0, 0.0])
    assert (bool(first.outcome["truncated"]), bool(second.outcome["truncated"])) == (False, True)
    assert not second.outcome["terminated"]
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    (step,) = play([STILL, (880.0, 880.0, 880.0, 880.0)], [0.5], held)
    assert (bool(step.outcome["truncated"]), bool(step.outcome["terminated"])) == (False, True)


def test_an_account_whose_episode_has_ended_stands_still_and_says_so() -> None:
    bars = bars_of([STILL] * 3)
    states = states_of([LONG_10], bars, bar=2, last_bar=2)
    before = states.copy()
    outcomes, _, ended = step_all(
        replay.step_accounts, [-1.0], states, bars, fundings_of(bars, []), settings_table(), terms_table()
    )
    assert ended
    assert outcomes["truncated"].tolist() == [True]
    assert states.tobytes() == before.tobytes()


def test_accounts_after_one_whose_episode_has_ended_go_on() -> None:
    bars = bars_of([STILL] * 4)
    states = states_of([LONG_10, FLAT], bars, bar=2, last_bar=3)
    states["last_bar"][0] = 2
    outcomes, _, ended = step_all(
        replay.step_accounts, [-1.0, 0.5], states, bars, fundings_of(bars, []), settings_table(), terms_table()
    )
    assert ended
    assert states["bar"].tolist() == [2, 3]
    assert outcomes["truncated"].tolist() == [True, True]
    assert states["position_amount"][0] == 10.0
    assert states["position_amount"][1] > 0.0


def test_the_state_counts_bars_and_episodes() -> None:
    bars = bars_of([STILL] * 6)
    states = states_of([FLAT, LONG_10], bars, last_bar=5)
    held = []
    endings = []
    for targets in ([1.0, 0.5], [1.0, 0.5], [1.0, -1.0], [0.0, -1.0], [0.0, -1.0]):
        outcomes, observations, ended = step_all(
            replay.step_accounts, targets, states, bars, fundings_of(bars, []), settings_table(), terms_table()
        )
        held.append(states["bars_held"].tolist())
        endings.append(ended)
        # The observation has n / (n + 64) of the bars held.
        np.testing.assert_allclose(observations[:, 4], states["bars_held"] / (states["bars_held"] + 64.0), atol=1e-6)
    # Bars since the position was opened: a flip or a close begins anew.
    assert held == [[0, 1], [1, 2], [2, 0], [0, 1], [0, 2]]
    assert endings == [False, False, False, False, True]
    assert states["episode"].tolist() == [1, 1]
    assert states["bar"].tolist() == outcomes["bar"].tolist() == [5, 5]


# Many accounts, many bars


class Market:
    """Random bars with jumps, empty bars and funding, and everything that is drawn to play on them."""

    def __init__(self, seed: int, *, num_accounts: int, is_isolated: bool, num_bars: int = 120) -> None:
        """Draw everything from the seed."""
        rng = np.random.default_rng(seed)
        returns = rng.normal(0.0, 0.01, num_bars) + rng.choice([0.0, 0.0, 0.0, 0.08, -0.08], num_bars)
        close = np.round(1_000.0 * np.exp(np.cumsum(returns)), 1)
        start = np.round(np.concatenate([[1_000.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.003, num_bars)), 1)
        high = np.round(np.maximum(start, close) * (1.0 + np.abs(rng.normal(0.0, 0.02, num_bars))), 1)
        low = np.round(np.minimum(start, close) * (1.0 - np.abs(rng.normal(0.0, 0.02, num_bars))), 1)
        basis = 1.0 + rng.normal(0.0, 0.0005, num_bars)
        candles: list[Candle] = np.stack(
            [start, high, low, close, *(np.round(price * basis, 8) for price in (start, high, low, close))], axis=1
        ).tolist()
        volume = rng.lognormal(6.0, 1.0, num_bars) * (rng.random(num_bars) > 0.1)
        self.bars = bars_of(candles, volume=volume.tolist())
        due = [(8.0 * i, rng.normal(0.0, 0.001), start[8 * i]) for i in range(1, num_bars // 8)]
        self.fundings = fundings_of(self.bars, due)
        stop_loss, take_profit = rng.choice([0.0, 0.03, 0.1], 2)
        self.settings = settings_table(
            max_exposure=rng.uniform(0.5, 8.0),
            rebalance_band=rng.uniform(0.0, 0.3),
            sqrt_impact=0.01,
            stop_loss=stop_loss,
            take_profit=take_profit,
            stop_on_mark=rng.random() < 0.5,
        )
        self.terms = terms_table(is_isolated=is_isolated, leverage=8.0)
        self.targets = rng.choice([-1.0, -0.4, 0.0, 0.3, 1.0], (num_bars - 1, num_accounts))
        self.accounts = [
            Account(round(float(balance), 2), 0.0, 0.0, 0.0) for balance in rng.uniform(100.0, 20_000.0, num_accounts)
        ]

    def play(
        self, kernel: Any, which: slice = slice(None)
    ) -> tuple[list[NDArray[np.void]], NDArray[np.void], list[NDArray[np.float32]]]:
        """Play accounts to the end of the bars, those that ended too; return outcomes, states and observations."""
        states = states_of(self.accounts[which], self.bars)
        outcomes, observations = [], []
        for targets in self.targets[:, which]:
            outcome, seen, _ = step_all(kernel, targets, states, self.bars, self.fundings, self.settings, self.terms)
            outcomes.append(outcome)
            observations.append(seen)
        return outcomes, states, observations


@given(st.integers(0, 2**32), st.booleans())
def test_flows_sum_to_the_change_of_the_margin_balance_and_the_books_stay_sound(seed: int, is_isolated: bool) -> None:
    market = Market(seed, num_accounts=2, is_isolated=is_isolated)
    states = states_of(market.accounts, market.bars)
    for targets in market.targets:
        before = [account_of(state) for state in states]
        t = int(states["bar"][0])
        outcomes, _, _ = step_all(
            replay.step_accounts, targets, states, market.bars, market.fundings, market.settings, market.terms
        )
        for i, outcome in enumerate(outcomes):
            after = account_of(states[i])
            check_books(before[i], after, outcome, market.bars[t], market.bars[t + 1], is_isolated)


def check_books(
    before: Account, after: Account, outcome: np.void, last: np.void, bar: np.void, is_isolated: bool
) -> None:
    """Check one account's bar."""
    held = before.position_amount
    balance = before.wallet_balance + held * (last["mark_close"] - before.entry_price)
    scale = 1e-13 * (abs(balance) + outcome["traded_notional"] + abs(held) * bar["mark_close"] + 1e3) + 6e-8
    assert outcome["margin_balance_before"] == pytest.approx(balance, abs=scale)
    parts = sum(float(outcome[name]) for name in ("price_pnl", "fees", "slippage", "funding", "liquidation"))
    assert outcome["margin_balance"] - balance == pytest.approx(parts, abs=scale)
    if not outcome["events"] & (STOPPED | TOOK_PROFIT | REDUCED_BY_LIQUIDATION | LIQUIDATED):
        # What the coins earned: those held before up to the open, those held after it from there to the mark close.
        earned = held * (bar["open"] - last["mark_close"]) + after.position_amount * (bar["mark_close"] - bar["open"])
        assert outcome["price_pnl"] == pytest.approx(earned, abs=scale)
    assert outcome["fees"] <= 0.0
    assert outcome["slippage"] <= 0.0 <= outcome["insurance"]
    assert -outcome["fees"] <= 0.0005 * outcome["traded_notional"] + scale
    assert after.position_amount == np.rint(after.position_amount * 1000) / 1000
    assert after.wallet_balance == np.rint(after.wallet_balance * 1e8) / 1e8
    if after.position_amount == 0.0 or not is_isolated:
        assert after.isolated_wallet == 0.0
    assert (after.entry_price == 0.0) == (after.position_amount == 0.0)
    assert bool(outcome["terminated"]) == bool(outcome["events"] & (LIQUIDATED | RUINED))
    assert not (outcome["terminated"] and outcome["truncated"])
    if bar["volume"] == 0.0:
        assert outcome["fees"] == outcome["slippage"] == 0.0


@pytest.mark.parametrize("is_isolated", [True, False])
def test_many_accounts_at_once_are_each_account_alone(is_isolated: bool) -> None:
    market = Market(7, num_accounts=37, is_isolated=is_isolated)
    outcomes, states, observations = market.play(replay.step_accounts)
    for i in (0, 17, 36):
        alone = market.play(replay.step_accounts, slice(i, i + 1))
        assert alone[1].tobytes() == states[i : i + 1].tobytes()
        assert b"".join(row.tobytes() for row in alone[0]) == b"".join(row[i : i + 1].tobytes() for row in outcomes)
        assert b"".join(row.tobytes() for row in alone[2]) == b"".join(row[i].tobytes() for row in observations)


def digest(seeds: Sequence[int]) -> str:
    """Return a hash of everything that some random markets do to their accounts."""
    sha = hashlib.sha256()
    for seed in seeds:
        market = Market(seed, num_accounts=3, is_isolated=seed % 2 == 0)
        outcomes, states, observations = market.play(replay.step_accounts)
        for array in (*outcomes, states, *observations):
            sha.update(array.tobytes())
    return sha.hexdigest()


def test_the_random_markets_show_every_event() -> None:
    seen = 0
    for seed in range(12):
        outcomes, _, _ = Market(seed, num_accounts=3, is_isolated=seed % 2 == 0).play(replay.step_accounts)
        seen |= int(np.bitwise_or.reduce([outcome["events"] for outcome in outcomes], axis=None))
    wanted = FILLED | REFUSED_MARGIN | REFUSED_NO_TRADES | STOPPED | TOOK_PROFIT | LIQUIDATED | RUINED
    assert seen & wanted == wanted
    assert seen & REDUCED_BY_LIQUIDATION


def test_the_compiled_replay_is_plain_python_to_the_bit() -> None:
    root = Path(__file__).parents[1]
    code = "from tests.test_replay import digest; import sys; sys.stdout.write(digest(range(12)))"
    other = "0" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "1"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "NUMBA_DISABLE_JIT": other},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == digest(range(12))
