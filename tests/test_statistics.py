"""The statistics against published examples, against closed forms, and against counting on series of known truth."""

import json
import math

import numpy as np
import pytest

from rl_trader.statistics.bootstrap import (
    Interval,
    autocovariances,
    block_length,
    mean_interval,
    ratio_interval,
    resampled_rows,
)
from rl_trader.statistics.calibration import autocorrelated_returns, calibrate
from rl_trader.statistics.overfitting import backtest_overfitting
from rl_trader.statistics.seeds import interquartile_mean, seeds_interval, student_quantile
from rl_trader.statistics.sharpe import SharpeRatio, expected_best, sharpe_ratio
from scripts import calibration
from tests.called_scripts import script_caller

# ---- Sharpe ratio


@pytest.mark.parametrize(
    ("ratio", "num", "error"), [(0.5, 12, 0.306), (0.5, 60, 0.137), (1.5, 24, 0.298), (3.0, 125, 0.210)]
)
def test_the_error_for_normal_returns_is_that_of_lo_2002_table_1(ratio: float, num: int, error: float) -> None:
    assert SharpeRatio(ratio, num).normal_standard_error == pytest.approx(error, abs=5e-4)


def test_the_probabilistic_ratio_is_that_of_bailey_and_lopez_de_prado_2012() -> None:
    # Their hedge fund: 24 months, a monthly ratio of 0.458, skew -2.448, kurtosis 10.164; 0.982 if it were normal.
    assert SharpeRatio(0.458, 24).probability_above(0.0) == pytest.approx(0.982, abs=5e-4)
    skewed = SharpeRatio(0.458, 24, -2.448, 10.164)
    assert skewed.probability_above(0.0) == pytest.approx(0.913, abs=5e-4)
    # After three such years it would be 0.953, above 95 %: the least length lies between.
    assert SharpeRatio(0.458, 36, -2.448, 10.164).probability_above(0.0) == pytest.approx(0.953, abs=1e-3)
    shortest = skewed.min_length()
    assert shortest is not None
    assert 24 < shortest < 36
    assert SharpeRatio(0.458, math.ceil(shortest), -2.448, 10.164).probability_above(0.0) >= 0.95
    assert SharpeRatio(0.458, math.floor(shortest), -2.448, 10.164).probability_above(0.0) < 0.95


def test_an_annual_ratio_of_two_needs_2_73_years_to_be_told_from_one() -> None:
    # Bailey and Lopez de Prado 2012: daily, normal, 95 %.
    days = SharpeRatio(2.0 / math.sqrt(252.0), 1_000).min_length(1.0 / math.sqrt(252.0))
    assert days is not None
    assert days / 252.0 == pytest.approx(2.73, abs=5e-3)
    assert SharpeRatio(0.1, 100).min_length(0.1) is None


def test_the_deflated_ratio_is_that_of_bailey_and_lopez_de_prado_2014() -> None:
    # Their example: 2.5 a year over 5 years of 250 days, skew -3, kurtosis 10, variance 1/2 a year among the trials.
    deviation = math.sqrt(0.5 / 250.0)
    best = SharpeRatio(2.5 / math.sqrt(250.0), 1_250, -3.0, 10.0)
    assert expected_best(100, deviation) == pytest.approx(0.1132, abs=5e-5)
    assert best.deflated(100, deviation) == pytest.approx(0.9004, abs=5e-5)
    assert best.deflated(46, deviation) == pytest.approx(0.9505, abs=5e-5)
    assert SharpeRatio(2.5 / math.sqrt(250.0), 1_250).deflated(88, deviation) == pytest.approx(0.9505, abs=5e-5)


def test_one_trial_is_no_deflation() -> None:
    ratio = SharpeRatio(0.1, 200, -0.5, 5.0)
    assert ratio.deflated(1, 0.3) == ratio.probability_above(0.0)
    assert ratio.deflated(2, 0.05) < ratio.probability_above(0.0)


def test_moments_are_those_of_the_returns_and_a_constant_has_no_ratio() -> None:
    ratio = sharpe_ratio(np.array([0.02, -0.01, 0.02, -0.01, 0.02, -0.04]))
    assert ratio is not None
    # Mean 0, and thirds of 0.02^3 and -0.01^3 and -0.04^3 by hand over the population's deviation.
    assert ratio.ratio == pytest.approx(0.0, abs=1e-12)
    assert ratio.num == 6
    variance = (3 * 4e-4 + 2 * 1e-4 + 16e-4) / 6
    assert ratio.skew == pytest.approx((3 * 8e-6 - 2 * 1e-6 - 64e-6) / 6 / variance**1.5)
    assert ratio.kurtosis == pytest.approx((3 * 16e-8 + 2 * 1e-8 + 256e-8) / 6 / variance**2)
    for nothing in (np.full(9, 0.001), np.zeros(9), np.zeros(1), np.zeros(0)):
        assert sharpe_ratio(nothing) is None


# ---- Stationary bootstrap


def test_autocovariances_are_the_sums_of_products() -> None:
    values = np.random.default_rng(0).normal(size=50)
    centred = values - values.mean()
    by_hand = [float(centred[k:] @ centred[: 50 - k]) / 50 for k in range(50)]
    assert autocovariances(values) == pytest.approx(by_hand)


@pytest.mark.parametrize(("coefficient", "length"), [(0.7, 11.47), (0.1, 2.01), (-0.4, 5.66)])
def test_block_lengths_are_near_the_optimal_ones_of_an_autoregression(coefficient: float, length: float) -> None:
    # Patton, Politis and White 2009: (2 a / (1 - a^2))^(2/3) n^(1/3), here of n = 200 values as in their table.
    assert (2 * abs(coefficient) / (1 - coefficient**2)) ** (2 / 3) * 200 ** (1 / 3) == pytest.approx(length, abs=5e-3)
    rng = np.random.default_rng(1)
    chosen = []
    for _ in range(40):
        values = rng.normal(size=2_100)
        for i in range(1, len(values)):
            values[i] += coefficient * values[i - 1]
        chosen.append(block_length(values[100:]))
    # Of 2 000 values it is 10^(1/3) times as long; one choice is rough, the median of 40 is not off by half.
    assert 0.6 < float(np.median(chosen)) / (length * 10 ** (1 / 3)) < 1.5
    assert block_length(np.zeros(100)) == 1.0
    assert block_length(np.arange(5.0)) == 1.0


def test_resamples_are_blocks_of_a_geometric_length_from_a_ring() -> None:
    rows = resampled_rows(50, 5.0, 4_000, np.random.default_rng(2))
    goes_on = (rows[:, 1:] - rows[:, :-1]) % 50 == 1
    # A block goes on with 4/5, and a new one continues the old by chance with 1/50.
    assert goes_on.mean() == pytest.approx(0.8 + 0.2 / 50, abs=5e-3)
    counts = np.bincount(rows.ravel(), minlength=50) / rows.size
    assert counts == pytest.approx(np.full(50, 1 / 50), rel=0.1)  # no value near the ends is drawn less often


def test_the_interval_is_students_for_independent_normal_values() -> None:
    values = np.random.default_rng(5).normal(0.3, 1.0, 400)
    interval = mean_interval(values, num_resamples=4_000)
    reach = student_quantile(0.975, 399) * float(values.std(ddof=1)) / 20.0
    assert interval.estimate == values.mean()
    assert interval.low == pytest.approx(values.mean() - reach, abs=0.25 * reach)
    assert interval.high == pytest.approx(values.mean() + reach, abs=0.25 * reach)
    assert interval.excludes_zero
    assert mean_interval(values, num_resamples=4_000) == interval  # the same seed, the same interval


def test_dependence_widens_the_interval() -> None:
    values = np.cumsum(np.random.default_rng(3).normal(size=330))[30:]
    shuffled = np.random.default_rng(4).permutation(values)
    tied, loose = mean_interval(values), mean_interval(shuffled)
    assert tied.high - tied.low > 3.0 * (loose.high - loose.low)


def test_a_constant_difference_is_known_exactly() -> None:
    assert mean_interval(np.full(30, 0.25)) == Interval(0.25, 0.25, 0.25)
    assert Interval(1.0, -1.0, 3.0).scaled(2.0) == Interval(2.0, -2.0, 6.0)


def test_the_ratio_of_sums_has_an_interval_of_its_own() -> None:
    rng = np.random.default_rng(6)
    traded = rng.uniform(50.0, 150.0, 500)
    interval = ratio_interval(0.002 * traded + rng.normal(0.0, 0.05, 500), traded)
    assert interval.low < 0.002 < interval.high
    # The error of the mean numerator, over the mean denominator: 0.05 / sqrt(500) / 100.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.05 / math.sqrt(500) / 100, rel=0.15)


# ---- Seeds


def test_the_interquartile_mean_leaves_a_quarter_out_on_either_side() -> None:
    # As scipy.stats.trim_mean(values, 0.25), which the paper uses: 8 values lose two a side, 5 values one.
    assert interquartile_mean(np.array([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -100.0])) == 3.5
    assert interquartile_mean(np.array([100.0, 1.0, 3.0, 2.0, -50.0])) == 2.0
    assert interquartile_mean(np.array([7.0])) == 7.0


def test_quantiles_of_students_distribution_are_those_of_the_tables() -> None:
    table = {1: 12.706, 2: 4.303, 4: 2.776, 5: 2.571, 12: 2.179, 30: 2.042}
    for freedom, value in table.items():
        assert student_quantile(0.975, freedom) == pytest.approx(value, abs=5e-4)


def test_seeds_are_resampled_within_their_fold() -> None:
    # Two folds far apart, seeds close together: the interval knows the folds and is narrow.
    folds = [np.array([10.0, 10.1, 9.9]), np.array([-10.0, -10.1, -9.9])]
    interval = seeds_interval(folds)
    assert interval is not None
    assert -0.3 < interval.low < 0.0 < interval.high < 0.3
    assert seeds_interval([np.array([1.0]), np.array([2.0])]) is None


# ---- Overfitting


def test_skill_is_no_overfitting_and_choosing_what_cannot_last_is() -> None:
    rng = np.random.default_rng(8)
    skilled = rng.normal(size=(480, 10)) + np.linspace(0.0, 1.0, 10)
    found = backtest_overfitting(skilled)
    assert found is not None
    assert found.num_halvings == 12_870  # 16 over 8
    assert found.probability < 0.01
    # Every configuration earns nothing in all: what is best in one half is worst in the other.
    means = rng.normal(size=(16, 1, 10))
    means -= means.mean(axis=0)
    noise = rng.normal(size=(16, 30, 10))
    noise -= noise.mean(axis=1, keepdims=True)
    doomed = backtest_overfitting((means + 0.1 * noise).reshape(480, 10))
    assert doomed is not None
    assert doomed.probability > 0.99
    assert doomed.to_json()["probability"] == doomed.probability


def test_too_few_configurations_or_days_have_no_probability_of_overfitting() -> None:
    assert backtest_overfitting(np.zeros((480, 7))) is None
    assert backtest_overfitting(np.zeros((31, 8))) is None
    equal = backtest_overfitting(np.zeros((480, 8)))
    assert equal is not None
    assert equal.probability == 0.5


# ---- Calibration


def test_every_claim_keeps_its_rate_over_a_few_hundred_draws() -> None:
    rates = list(calibrate(200, seed=1))
    assert [rate.name for rate in rates if not rate.is_kept] == []
    by_name = {rate.name: rate.rate for rate in rates}
    # The counting can tell: without deflation the best of 50 without skill nearly always looks skilled.
    assert by_name["the same without deflation, best of 50"] > 0.8
    assert by_name["the best of equals is below the median outside (PBO)"] == pytest.approx(0.5, abs=0.1)


def test_intervals_that_ignore_dependence_would_be_found_out() -> None:
    rng = np.random.default_rng(9)
    misses = 0
    for _ in range(300):
        values = autocorrelated_returns(180, rng) + 0.0
        reach = 1.96 * float(values.std()) / math.sqrt(180)
        misses += abs(float(values.mean())) > reach
    assert misses / 300 > 0.08  # nominal is 0.05: sqrt(1.5) times too narrow


def test_the_command_prints_the_rates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)  # type: ignore[arg-type]
    answer = call(calibration, "--draws", 5, "--json")
    assert answer.code in (0, 1)
    rates = json.loads(answer.out)
    assert {rate["num_draws"] for rate in rates} == {5}
    assert call(calibration, "--draws", 0).code == 2
