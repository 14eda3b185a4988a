"""The embedded market and its optimum."""

import math

import numpy as np
import pytest

from rl_trader.embedded import (
    ANCHOR,
    FUNDING_RATE_SD,
    INTERVAL,
    INTERVAL_MS,
    PHI,
    SIGMA,
    TAKER_FEE,
    embedded_market,
    embedded_problem,
    embedded_terms,
    optimal_target,
    solve_embedded,
)
from rl_trader.errors import ConfigError
from rl_trader.funding import check_funding
from rl_trader.klines import check_klines, interval_ms
from rl_trader.optimum import evaluate

STATIONARY_SD = SIGMA / math.sqrt(1 - PHI**2)


def test_the_market_is_a_sound_recording_on_whole_ticks() -> None:
    market = embedded_market(5_000, seed=7)
    check_klines(market.klines, name="embedded", interval=INTERVAL)
    check_funding(market.funding, name="embedded")
    assert interval_ms(INTERVAL) == INTERVAL_MS
    klines = market.klines
    assert (klines["open"].to_numpy()[1:] == klines["close"].to_numpy()[:-1]).all()
    for name in ("open", "high", "low", "close"):
        ticks = klines[name].to_numpy() * 100
        np.testing.assert_allclose(ticks, np.rint(ticks), rtol=0, atol=1e-6)
        assert (market.mark_price[name] == klines[name]).all()
    assert (klines["volume"] > 0).all()
    # 5,000 half hours hold 312.5 intervals of 8 hours, so 313 settlements from the first opening on.
    assert len(market.funding) == 313
    np.testing.assert_array_equal(market.funding["mark_price"], klines["open"].to_numpy()[::16])


def test_the_log_price_is_the_autoregression_it_says() -> None:
    x = np.log(embedded_market(200_000, seed=3).klines["close"].to_numpy() / ANCHOR)
    shocks = x[1:] - PHI * x[:-1]
    # Standard errors with 200,000 bars: sd of the shocks SIGMA / sqrt(2n) = 1.6e-5, autocorrelation 1 / sqrt(n)
    # = 2.2e-3, persistence sqrt((1 - PHI**2) / n) = 7e-4; the limits are four of them.
    assert shocks.std() == pytest.approx(SIGMA, abs=6.4e-5)
    assert np.corrcoef(shocks[1:], shocks[:-1])[0, 1] == pytest.approx(0.0, abs=9e-3)
    assert (x[1:] @ x[:-1]) / (x[:-1] @ x[:-1]) == pytest.approx(PHI, abs=2.8e-3)
    # Started from the stationary distribution: over 400 seeds, sd / sqrt(800) is 0.035 of it.
    starts = [np.log(embedded_market(1, seed).klines["open"].iloc[0] / ANCHOR) for seed in range(400)]
    assert np.std(starts) == pytest.approx(STATIONARY_SD, rel=0.14)


def test_funding_is_noise_of_mean_zero() -> None:
    rates = embedded_market(160_000, seed=5).funding["funding_rate"].to_numpy()
    assert rates.mean() == pytest.approx(0.0, abs=4 * FUNDING_RATE_SD / math.sqrt(rates.size))
    assert rates.std() == pytest.approx(FUNDING_RATE_SD, rel=4 / math.sqrt(2 * rates.size))
    assert np.corrcoef(rates[1:], rates[:-1])[0, 1] == pytest.approx(0.0, abs=4 / math.sqrt(rates.size))


def test_a_seed_gives_one_market_and_a_longer_one_begins_with_it() -> None:
    short, long = embedded_market(100, seed=11), embedded_market(1_000, seed=11)
    assert short.klines.equals(long.klines.iloc[:100])
    assert short.funding.equals(long.funding.iloc[: len(short.funding)])
    assert not short.klines["close"].equals(embedded_market(100, seed=12).klines["close"])
    with pytest.raises(ConfigError, match="at least 1 bar"):
        embedded_market(0, seed=1)
    with pytest.raises(ConfigError, match="seed from 0 on, found 5 and -1"):
        embedded_market(5, seed=-1)


def test_the_terms_charge_the_fee_that_the_optimum_is_solved_for() -> None:
    terms = embedded_terms()
    assert terms.taker_fee == TAKER_FEE == 2e-3
    assert str(terms.tick_size) == "0.01"
    # 1 % of 100,000 = 1,000 on both sides of the first border: 0.02 * 100,000 - 1,000.
    assert terms.brackets[1].maint_amount == 1_000.0
    assert terms.max_notional(5) == 1e12


def test_a_fee_above_all_profit_keeps_the_optimum_flat() -> None:
    optimum = solve_embedded(0.4)
    assert optimum.score.growth_per_bar == pytest.approx(0.0, abs=1e-12)
    assert optimum.score.turnover_per_bar == pytest.approx(0.0, abs=1e-12)


def test_a_short_that_is_held_from_exposure_one_grows_less_than_the_price_falls() -> None:
    # At x = 0 the log return is N(0, SIGMA**2): E log(2 - exp(r)) = -E(r**2) - E(r**4) * 13 / 12 - ... by Taylor
    # (log(2 - e^r) = -r - r^2 - r^3 - 13 r^4 / 12 - ...), so -SIGMA**2 - 13 / 12 * 3 * SIGMA**4.
    problem = embedded_problem()
    exposures = problem.rules.exposures
    short, flat, long = (int(np.argmin(np.abs(exposures - level))) for level in (-1.0, 0.0, 1.0))
    reward = problem.move().reward[problem.chain.grid.size // 2]
    # The sum over the shocks ends at 4.5 standard deviations, beyond which lie 1.4e-4 of the variance.
    assert reward[short] == pytest.approx(-(SIGMA**2) - 3.25 * SIGMA**4, rel=1.5e-4)
    assert reward[[flat, long]].tolist() == pytest.approx([0.0, 0.0], abs=1e-15)


def test_the_optimum_is_what_its_policy_earns_in_a_simulated_market() -> None:
    optimum = solve_embedded()
    close = embedded_market(300_000, seed=1).klines["close"].to_numpy()
    simple_returns = close[1:] / close[:-1] - 1
    # 300 accounts side by side, each with 1,000 bars of its own; an account as the fills leave it, and nothing else.
    returns = simple_returns[:299_700].reshape(300, -1)
    closes = close[:299_700].reshape(300, -1)
    exposure = np.zeros(300)
    growth = np.zeros(returns.shape)
    for t in range(returns.shape[1]):
        target = optimal_target(closes[:, t], exposure)
        held = np.where((target != 0) & (np.abs(target - exposure) <= 0.1), exposure, target)
        kept = 1 - TAKER_FEE * np.abs(held - exposure)
        after = kept + held * returns[:, t]
        growth[:, t] = np.log(after)
        exposure = held * (1 + returns[:, t]) / after
    # Growth of neighbouring bars is nearly uncorrelated; the first 50 bars of an account begin flat.
    counted = growth[:, 50:]
    standard_error = counted.std() / math.sqrt(counted.size)
    assert standard_error < 2e-5
    assert counted.mean() == pytest.approx(optimum.score.growth_per_bar, abs=4 * standard_error)


def test_no_policy_of_a_sample_beats_the_optimum_and_being_flat_earns_nothing() -> None:
    optimum = solve_embedded()
    best = evaluate(optimum.problem, optimum.targets).growth_per_bar
    assert best == optimum.score.growth_per_bar
    assert evaluate(optimum.problem, np.zeros(optimum.targets.shape)).growth_per_bar == 0.0
    rng = np.random.default_rng(4)
    for _ in range(5):
        targets = optimum.targets.copy()
        targets[rng.integers(50, 150, 10)] = rng.integers(-1, 2, (10, 1))
        assert evaluate(optimum.problem, targets).growth_per_bar <= best + 1e-9


def test_the_baseline_buys_below_the_anchor_and_holds_through_its_band() -> None:
    assert optimal_target([900.0, 1000.0, 1100.0], [0.0, 0.0, 0.0]).tolist() == [1.0, 0.0, -1.0]
    # Just above the anchor a short entered higher is not yet worth closing, and a long is closed.
    near = ANCHOR * math.exp(0.42 * STATIONARY_SD)
    assert optimal_target(near, [-1.0, -0.93, 0.0, 1.0]).tolist() == [-1.0, -1.0, 0.0, 0.0]
