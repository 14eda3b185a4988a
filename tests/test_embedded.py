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
    arithmetic_problem,
    embedded_market,
    embedded_problem,
    embedded_terms,
    evaluate_policy,
    optimal_target,
    solve_embedded,
)
from rl_trader.errors import ConfigError
from rl_trader.funding import check_funding
from rl_trader.klines import check_klines, interval_ms
from rl_trader.optimum import DecisionProblem, autoregressive_chain, evaluate, solve

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


def test_the_arithmetic_optimum_is_the_published_one() -> None:
    # The study of known-answer markets prints for phi 0.95, sigma 0.01, fee 2e-3: 1.0877e-3 per bar, turnover 0.064,
    # trade beyond 0.4 standard deviations; the policy that is blind to the fee earns 80.4 % of it.
    problem = arithmetic_problem()
    optimum = solve(problem)
    assert optimum.growth_per_bar == pytest.approx(1.0877e-3, abs=5e-8)
    assert optimum.turnover_per_bar == pytest.approx(0.064, abs=5e-4)
    assert optimum.target([-0.45 * STATIONARY_SD, -0.35 * STATIONARY_SD, 0.45 * STATIONARY_SD], 0).tolist() == [
        1.0,
        0.0,
        -1.0,
    ]
    sign = np.where(problem.grid < 0, 2, 0)[:, None].repeat(3, axis=1)
    assert evaluate(problem, sign).growth_per_bar / optimum.growth_per_bar == pytest.approx(0.804, abs=1e-3)


def test_without_a_fee_the_optimum_is_the_closed_form() -> None:
    # (1 - phi) * E|x| = (1 - phi) * sd * sqrt(2 / pi) = 1.278e-3; the grid of 1/30 sd adds a few parts in 10,000.
    closed_form = (1 - PHI) * STATIONARY_SD * math.sqrt(2 / math.pi)
    assert solve(arithmetic_problem(0.0)).growth_per_bar == pytest.approx(closed_form, rel=1e-3)


def test_a_fee_above_all_profit_keeps_the_optimum_flat() -> None:
    optimum = solve_embedded(0.4)
    assert optimum.growth_per_bar == pytest.approx(0.0, abs=1e-12)
    assert optimum.turnover_per_bar == pytest.approx(0.0, abs=1e-12)


def test_the_telegraph_market_has_its_closed_form() -> None:
    # Drift of sign s and size mu, flipping with probability q: following s earns mu - 2 * c * q a bar.
    mu, q, c = 5e-4, 0.05, 4e-3
    grid, positions = np.array([-1.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    transition = np.array([[1 - q, q], [q, 1 - q]])
    cost = c * np.abs(positions[None, :] - positions[:, None])
    optimum = solve(DecisionProblem(grid, transition, positions, mu * grid[:, None] * positions, cost))
    assert optimum.growth_per_bar == pytest.approx(1e-4, abs=1e-10)
    assert optimum.turnover_per_bar == pytest.approx(2 * q, abs=1e-10)


def test_a_short_that_is_kept_at_exposure_one_grows_less_than_the_price_falls() -> None:
    # At x = 0 the log return is N(0, SIGMA**2): E log(2 - exp(r)) = -E(r**2) - E(r**4) * 7 / 12 + ... by Taylor
    # (log(2 - e^r) = -r - r^2 - r^3 - 13 r^4 / 12 - ...), so -SIGMA**2 - 13 / 12 * 3 * SIGMA**4.
    problem = embedded_problem()
    assert problem.reward[150, 0] == pytest.approx(-(SIGMA**2) - 3.25 * SIGMA**4, rel=1e-6)
    assert problem.reward[150].tolist()[1:] == pytest.approx([0.0, 0.0], abs=1e-15)
    assert problem.cost[0, 2] == pytest.approx(-math.log(1 - 2 * TAKER_FEE))


def test_the_optimum_is_what_its_policy_earns_in_a_simulated_market() -> None:
    optimum = solve_embedded()
    close = embedded_market(300_000, seed=1).klines["close"].to_numpy()
    targets = np.stack([optimal_target(close, position) for position in (-1.0, 0.0, 1.0)], axis=1).astype(int)
    simple_returns = close[1:] / close[:-1] - 1
    position, growth = 0, np.empty(simple_returns.size)
    for t, simple_return in enumerate(simple_returns):
        target = targets[t, position + 1]
        growth[t] = math.log1p(target * simple_return) + math.log1p(-TAKER_FEE * abs(target - position))
        position = target
    # Growth of neighbouring bars is nearly uncorrelated; four standard errors of the mean are 7e-5.
    standard_error = growth.std() / math.sqrt(growth.size)
    assert standard_error < 2e-5
    assert growth.mean() == pytest.approx(optimum.growth_per_bar, abs=4 * standard_error)


def test_no_policy_of_a_sample_beats_the_optimum_and_being_flat_earns_nothing() -> None:
    optimum = solve_embedded()
    assert evaluate_policy(optimum.policy).growth_per_bar == pytest.approx(optimum.growth_per_bar, abs=1e-11)
    assert evaluate_policy(np.ones((301, 3), np.int64)).growth_per_bar == 0.0
    rng = np.random.default_rng(4)
    for _ in range(5):
        policy = optimum.policy.copy()
        policy[rng.integers(100, 200, 10), rng.integers(0, 3, 10)] = rng.integers(0, 3, 10)
        assert evaluate_policy(policy).growth_per_bar <= optimum.growth_per_bar + 1e-12


def test_the_baseline_buys_below_the_anchor_and_holds_through_its_band() -> None:
    assert optimal_target([900.0, 1000.0, 1100.0], [0.0, 0.0, 0.0]).tolist() == [1.0, 0.0, -1.0]
    # Just above the anchor a short entered higher is not yet worth closing, and a long is closed.
    near = ANCHOR * math.exp(0.42 * STATIONARY_SD)
    assert optimal_target(near, [-1.0, -0.93, 0.0, 1.0]).tolist() == [-1.0, -1.0, 0.0, 0.0]


def test_the_chain_of_an_autoregression_has_its_moments() -> None:
    grid, transition = autoregressive_chain(0.9, 0.02, num_states=201)
    np.testing.assert_allclose(transition.sum(axis=1), 1.0, rtol=1e-12)
    middle = slice(50, 151)  # away from the outermost cells, which gather the tails
    np.testing.assert_allclose((transition @ grid)[middle], 0.9 * grid[middle], atol=1e-6)
    variance = transition @ grid**2 - (transition @ grid) ** 2
    step = grid[1] - grid[0]
    np.testing.assert_allclose(variance[middle], 0.02**2 + step**2 / 12, rtol=1e-3)  # Sheppard's correction
