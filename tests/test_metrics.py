"""The figures of an account, worked by hand on bars of 12 hours that begin at a UTC midnight."""

import json
import math

import numpy as np
import pytest

from rl_trader.bars import MS_PER_DAY
from rl_trader.metrics import FLOWS, measure, portfolio
from rl_trader.state import FILLED, LIQUIDATED, REFUSED_MARGIN, REFUSED_NOTIONAL, STOPPED
from tests.hand_made_results import BAR_MS, hand_made_result


def test_growth_is_from_the_initial_to_the_last_balance() -> None:
    # 4 bars of 12 hours are 2 days: ln(1.21) in 2 days is ln(1.21) * 182.5 a year.
    metrics = measure([hand_made_result([1_050.0, 1_100.0, 1_000.0, 1_210.0])])
    assert (metrics.num_bars, metrics.num_days) == (4, 2.0)
    assert metrics.total_return == pytest.approx(0.21)
    assert metrics.log_growth == pytest.approx(math.log(1.21) * 182.5)
    assert metrics.annual_return == pytest.approx(1.21**182.5 - 1.0)


def test_the_sharpe_ratio_is_that_of_the_returns_between_midnights() -> None:
    # Midnights see 1 000, 1 100, 990: returns 0.1 and -0.1 of mean 0; then 1 188: 0.2. Mean 0.2/3, sample variance
    # ((1/30)^2 + (5/30)^2 + (4/30)^2) / 2 = (1 + 25 + 16) / 1 800 = 7/300. What happens at noon is not seen.
    metrics = measure([hand_made_result([1_500.0, 1_100.0, 500.0, 990.0, 980.0, 1_188.0])])
    daily = (0.2 / 3.0) / math.sqrt(7.0 / 300.0)
    assert metrics.sharpe == pytest.approx(daily * math.sqrt(365.0))
    assert metrics.volatility == pytest.approx(math.sqrt(7.0 / 300.0 * 365.0))
    assert metrics.sharpe_error == pytest.approx(math.sqrt((1.0 + daily**2 / 2.0) / 3.0 * 365.0))


def test_days_that_are_not_whole_count_for_no_daily_return() -> None:
    # The first bar opens at noon: the first midnight sees 1 100, the next 1 210, the last bar ends at noon.
    result = hand_made_result([1_100.0, 1_000.0, 1_210.0, 5.0], first_open=10 * MS_PER_DAY + BAR_MS)
    assert portfolio([result]).daily_returns() == pytest.approx([0.1])


def test_drawdown_is_the_fall_from_the_highest_balance_and_the_initial_balance_is_a_peak() -> None:
    # 1 000 -> 900 is 10 %, 1 200 -> 900 is 25 %.
    metrics = measure([hand_made_result([900.0, 1_200.0, 1_080.0, 900.0])])
    assert metrics.max_drawdown == pytest.approx(0.25)
    assert metrics.min_balance == 900.0
    assert metrics.annual_return is not None
    assert metrics.calmar == pytest.approx(metrics.annual_return / 0.25)


def test_turnover_is_traded_notional_over_the_balance_before_a_day_until_the_account_ended() -> None:
    # 500/1 000 and 250/500 and 0/800 in three bars of half a day: 1/3 a bar, 2/3 a day. The last bar is after the end.
    result = hand_made_result([500.0, 800.0, 1.0, 1.0])
    result.outcomes["traded_notional"] = [500.0, 250.0, 0.0, 0.0]
    result.outcomes["terminated"] = [False, False, True, True]
    metrics = measure([result])
    assert metrics.turnover == pytest.approx(2.0 / 3.0)
    assert metrics.num_orders == 2
    assert metrics.is_ruined


def test_a_flip_ends_a_trade_and_begins_one_and_a_bar_counts_for_the_trade_begun_last() -> None:
    # long, long, short, flat, (in and out within one bar), short: +10 -4 = +6, then -3 -1 = -4, then +2, then 0.
    exposures = [1.0, 0.9, -1.0, 0.0, 0.0, -0.5]
    result = hand_made_result([1_010.0, 1_006.0, 1_003.0, 1_002.0, 1_004.0, 1_004.0], exposures)
    result.outcomes["traded_notional"] = [1_000.0, 0.0, 2_000.0, 1_000.0, 3_000.0, 500.0]
    metrics = measure([result])
    assert metrics.num_trades == 4
    assert metrics.hit_rate == pytest.approx(0.5)
    assert metrics.mean_holding_bars == pytest.approx(4.0 / 4.0)
    assert (metrics.time_long, metrics.time_short, metrics.time_flat) == pytest.approx((2 / 6, 2 / 6, 2 / 6))
    assert metrics.exposure == pytest.approx((1.0 + 0.9 + 1.0 + 0.5) / 6.0)


def test_a_position_on_both_sides_of_a_hole_is_two_trades() -> None:
    result = hand_made_result([1_001.0, 1_002.0], [1.0, 1.0])
    assert measure([result]).num_trades == 1
    result.close_time[1] += BAR_MS
    assert measure([result]).num_trades == 2


def test_events_are_counted_by_bar() -> None:
    result = hand_made_result([1_000.0] * 4)
    result.outcomes["events"] = [FILLED | STOPPED, REFUSED_MARGIN, FILLED | REFUSED_NOTIONAL, LIQUIDATED]
    metrics = measure([result])
    assert (metrics.stops, metrics.refused, metrics.liquidations, metrics.take_profits) == (1, 2, 1, 0)


def test_flows_sum_to_the_change_of_the_balance_and_shares_are_of_their_absolute_sum() -> None:
    # 120 - 10 - 5 + 15 - 100 = 20; absolute sum 250.
    result = hand_made_result([1_000.0, 1_020.0])
    for name, value in zip(FLOWS, (120.0, -10.0, -5.0, 15.0, -100.0), strict=True):
        result.outcomes[name] = [0.0, value]
    result.outcomes["traded_notional"] = [0.0, 20_000.0]
    metrics = measure([result])
    assert sum(getattr(metrics, name) for name in FLOWS) == pytest.approx(metrics.final_balance - 1_000.0)
    assert (metrics.fees_share, metrics.slippage_share, metrics.funding_share) == pytest.approx((0.04, 0.02, 0.06))
    # Without the fee of 10 it earned 30 on 20 000 traded: at a fee of 0.0015 nothing would be left.
    assert metrics.break_even_fee == pytest.approx(0.0015)


def test_several_accounts_are_measured_as_the_sum_of_their_balances() -> None:
    # The second account starts a day later: until then it stands at its initial balance.
    first = hand_made_result([1_100.0, 1_200.0, 1_300.0, 1_400.0])
    second = hand_made_result([900.0, 800.0], first_open=11 * MS_PER_DAY, symbol="ETHUSDT")
    total = portfolio([first, second])
    assert total.margin_balance.tolist() == [2_100.0, 2_200.0, 2_200.0, 2_200.0]
    assert total.flows["price_pnl"].tolist() == [100.0, 100.0, 0.0, 0.0]
    metrics = measure([first, second])
    assert metrics.total_return == pytest.approx(0.1)
    assert metrics.max_drawdown == 0.0


def test_a_flat_account_has_no_sharpe_ratio_and_shares_of_zero() -> None:
    metrics = measure([hand_made_result([1_000.0] * 6)])
    assert (metrics.sharpe, metrics.sharpe_error, metrics.calmar, metrics.hit_rate) == (None, None, None, None)
    assert (metrics.total_return, metrics.volatility, metrics.fees_share, metrics.turnover) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("balances", [[1_000.0], [0.0], [500.0, 0.0, 0.0, 0.0, 0.0], [1_000.0, 1e9]])
def test_every_figure_is_finite_or_none_for_short_and_ruined_accounts(balances: list[float]) -> None:
    figures = measure([hand_made_result(balances)]).to_json()
    json.dumps(figures, allow_nan=False)
    assert all(value is None or np.isfinite(value) for value in figures.values())


def test_an_account_that_lost_all_has_no_log_growth_and_an_annual_return_of_minus_one() -> None:
    metrics = measure([hand_made_result([500.0, 0.0])])
    assert (metrics.log_growth, metrics.annual_return, metrics.total_return) == (None, -1.0, -1.0)
    assert metrics.max_drawdown == 1.0
