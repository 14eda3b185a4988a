"""Known-answer markets: their optimum, their bars, and how policies are scored on them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from agents.known import cells
from agents.known.cells import Cell, cell_config, play_cell, score_checkpoint
from agents.known.optimum import optimum_share
from agents.known.rollouts import best_decisions, policy_decisions, roll_out
from agents.known.scores import markdown, score_marks, summaries, write_into_page
from agents.run_folder import RunFolder
from agents.training.run import new_run
from envs import ENV_ID
from rl_trader.chains import autoregressive_chain, belief_chain, funding_chain, log_price_return, telegraph_chain
from rl_trader.checkpoint import Checkpoint
from rl_trader.decision import ActionMap
from rl_trader.errors import ConfigError
from rl_trader.known_answers.markets import (
    FundingTelegraph,
    HiddenTelegraph,
    KellyCoin,
    KnownMarket,
    LinearImpact,
    MeanReversion,
    QuadraticRisk,
    Telegraph,
)
from rl_trader.known_answers.rows import ROWS, find_rows
from rl_trader.known_answers.series import BAR_MS, SIGNAL, known_terms
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.optimum import evaluate
from rl_trader.remembering import decide_in_turn
from rl_trader.scaling import Scaling
from scripts import known_answers
from tests.called_scripts import Answer, script_caller

SMALL = 1e-3  # returns and costs this much smaller leave the textbook's reward: no drift, no cost of the cost
ONE_OF_EACH = ("K0-1", "K1-2", "K2-1", "K3-2", "K3-4", "K4-1", "K4-2", "K5-1", "K6-2", "K7-2")


# ---- Solutions


@pytest.mark.parametrize(
    ("market", "growth", "precision"),
    [
        # The drift less two fees at every flip: 5e-4 - 2 * 0.05 * fee; flat is 0.
        (Telegraph(mu=5e-4 * SMALL, sigma=0.005 * SMALL, taker_fee=5e-4 * SMALL), 4.5e-4, 1e-3),
        (Telegraph(mu=5e-4 * SMALL, sigma=0.005 * SMALL, taker_fee=4e-3 * SMALL), 1.0e-4, 1e-3),
        (Telegraph(mu=5e-4 * SMALL, sigma=0.005 * SMALL, taker_fee=6e-3 * SMALL), 0.0, 1e-3),
        # Of a settlement the rate, less two fees at every flip; an eighth of it a bar.
        (FundingTelegraph(rate=1e-6, flip=0.1, sigma=5e-6, taker_fee=5e-7), 1.125e-4, 1e-3),
        (FundingTelegraph(rate=1e-7, flip=0.05, sigma=5e-6, taker_fee=5e-7), 6.25e-6, 1e-3),
        (FundingTelegraph(rate=1e-7, flip=0.2, sigma=5e-6, taker_fee=5e-7), 0.0, 1e-3),
        # Dynamic programs on grids of their own.
        (MeanReversion(phi=0.99, sigma=0.003 * SMALL, taker_fee=5e-4 * SMALL), 1.5620e-4, 5e-3),
        (MeanReversion(phi=0.99, sigma=0.003 * SMALL, taker_fee=2e-3 * SMALL), 1.3568e-4, 5e-3),
        (MeanReversion(phi=0.95, sigma=0.01 * SMALL, taker_fee=2e-3 * SMALL), 1.0877e-3, 1e-3),
        (MeanReversion(phi=0.95, sigma=0.01 * SMALL, taker_fee=5e-4 * SMALL), 1.2084e-3, 1e-3),
        # Bayes filter and a dynamic program on the belief.
        (HiddenTelegraph(mu=1e-6, flip=0.01, sigma=4e-6, taker_fee=5e-7), 6.305e-4, 2e-3),
        (HiddenTelegraph(mu=2e-6, flip=0.02, sigma=4e-6, taker_fee=5e-7), 1.4588e-3, 2e-3),
    ],
)
def test_in_the_limit_of_small_returns_the_optimum_is_the_textbooks(
    market: KnownMarket, growth: float, precision: float
) -> None:
    assert market.solve().score.growth_per_bar / SMALL == pytest.approx(growth, rel=precision, abs=1e-9)


def test_the_account_that_is_kept_earns_less_than_the_textbooks_where_a_short_drifts() -> None:
    # A short that is not rebalanced shrinks while it gains, and a fee makes the position larger than the balance.
    kept = ROWS["K1-1"].solve().score.growth_per_bar
    assert 0.99 * 4.5e-4 < kept < 0.999 * 4.5e-4
    assert ROWS["K1-2"].solve().score.growth_per_bar == pytest.approx(1e-4, rel=0.02)


def test_with_log_returns_a_small_funding_rate_does_not_pay_for_the_variance() -> None:
    # Eight bars of half the variance, 8 * 0.005**2 / 2 = 1e-4, are the rate of 1e-4 that they are held for.
    assert ROWS["K2-2"].solve().score.growth_per_bar == pytest.approx(6.04e-6, rel=0.01)
    assert replace(ROWS["K2-2"], reward="log_return").solve().score == (0.0, 0.0, 0.0)
    # A rate ten times as large pays (1e-3 - 2 * 5e-4 * 0.1) / 8 - 1.25e-5 a bar.
    assert replace(ROWS["K2-1"], reward="log_return").solve().score.growth_per_bar == pytest.approx(1e-4, rel=0.01)


@pytest.mark.parametrize(("up", "size", "leverage"), [(0.55, 0.02, 5.0), (0.52, 0.01, 4.0)])
def test_the_kelly_coins_optimum_is_its_closed_form(up: float, size: float, leverage: float) -> None:
    optimum = KellyCoin(up=up, size=size).solve()
    growth = up * np.log1p(leverage * size) + (1 - up) * np.log1p(-leverage * size)
    assert optimum.score.growth_per_bar == pytest.approx(growth, rel=1e-9)
    assert optimum.score.mean_exposure == pytest.approx(leverage)
    # Twice the best leverage is already a loss: -1.38e-4 of the first.
    if up == 0.55:
        table = np.full(optimum.targets.shape, 10.0)
        assert evaluate(optimum.problem, table).growth_per_bar == pytest.approx(-1.38e-4, rel=5e-3)


@pytest.mark.parametrize(("cost", "growth"), [(0.25, 2.4588), (1.0, 2.1002), (2.0, 1.7798), (0.0, 2.6316)])
def test_the_no_trade_band_earns_what_the_quadratic_reward_says(cost: float, growth: float) -> None:
    scale = 1e-3
    market = QuadraticRisk(taker_fee=cost * scale**2, scale=scale)
    assert market.solve().score.growth_per_bar / market.unit == pytest.approx(growth, rel=5e-3)


@pytest.mark.parametrize(("phi", "kappa", "aversion", "growth"), [(0.9, 5.0, 1.0, 1.8928), (0.95, 10.0, 0.5, 7.1225)])
def test_linear_impact_approaches_the_closed_form_from_above_since_a_flip_is_two_orders(
    phi: float, kappa: float, aversion: float, growth: float
) -> None:
    a = (-aversion + np.sqrt(aversion**2 + 4 * kappa * aversion)) / 2
    d = aversion + kappa + a
    b = kappa / (d - kappa * phi)
    closed_form = 0.5 / (1 - phi**2) * (1 + b * phi) ** 2 / d
    assert closed_form == pytest.approx(growth, abs=1e-4)
    market = LinearImpact(phi=phi, kappa=kappa, risk_aversion=aversion, scale=1e-3, max_exposure=16.0)
    assert closed_form < market.solve().score.growth_per_bar / market.unit < 1.03 * closed_form
    # Where the impact is nothing there is nothing to save by two orders.
    free = LinearImpact(kappa=1e-9, scale=1e-3)
    assert free.solve().score.growth_per_bar / free.unit == pytest.approx(2.6316, rel=5e-3)


def test_no_policy_of_a_sample_beats_the_optimum() -> None:
    rng = np.random.default_rng(3)
    for row in ("K1-2", "K2-1", "K7-2"):
        optimum = ROWS[row].solve()
        for _ in range(3):
            targets = optimum.targets.copy()
            changed = rng.random(targets.shape) < 0.2
            targets[changed] = rng.choice(optimum.problem.rules.choices, int(changed.sum()))
            assert evaluate(optimum.problem, targets).growth_per_bar < optimum.score.growth_per_bar


@pytest.mark.parametrize(
    "chain",
    [
        telegraph_chain(5e-4, 0.05, 0.005),
        funding_chain(1e-3, 0.1, 0.005, 8),
        autoregressive_chain(0.9, 0.02, log_price_return),
        belief_chain(1e-3, 0.01, 4e-3),
    ],
)
def test_a_chain_has_probabilities_and_the_mean_that_its_returns_have(chain: Any) -> None:
    np.testing.assert_allclose(chain.probability.sum(axis=1), 1.0, rtol=1e-12)
    assert (chain.probability >= 0.0).all()
    assert chain.stationary.sum() == pytest.approx(1.0)
    # Where it is in the long run it returns nothing: all these markets are symmetric.
    assert chain.stationary @ chain.mean_return == pytest.approx(0.0, abs=2.5e-4)


def test_an_autoregressive_chain_has_the_moments_of_its_process() -> None:
    chain = autoregressive_chain(0.9, 0.02, log_price_return)
    following = chain.grid[chain.next_low] + chain.next_share * (chain.grid[1] - chain.grid[0])
    middle = slice(chain.grid.size // 4, 3 * chain.grid.size // 4)
    mean = (chain.probability * following).sum(axis=1)
    np.testing.assert_allclose(mean[middle], 0.9 * chain.grid[middle], atol=1e-9)
    assert chain.stationary @ chain.grid**2 == pytest.approx(0.02**2 / (1 - 0.9**2), rel=2e-3)


# ---- Bars


def test_a_market_is_drawn_by_its_seed_and_a_longer_one_begins_with_it() -> None:
    market = ROWS["K2-1"]
    short, long = market.series(8_192, 5), market.series(8_193, 5)
    assert len(short.market.bars) == 8_192
    assert len(long.market.bars) == 16_384
    assert long.market.bars["close"][:8_192].tolist() == short.market.bars["close"].tolist()
    assert market.series(1, 6).market.bars["close"].tolist() != short.market.bars["close"].tolist()
    with pytest.raises(ConfigError, match="at least 1 bar and a seed from 0 on, found 0 and 1"):
        market.series(0, 1)


def test_the_signal_is_the_sign_of_the_settlement_to_come() -> None:
    series = ROWS["K2-1"].series(8_192, 2)
    bars, fundings = series.market.bars, series.market.fundings
    signal = series.market.signals[SIGNAL]
    close_time = bars["open_time"] + BAR_MS
    coming = np.searchsorted(fundings["funding_time"], close_time)  # one that is due at the close is still to come
    known = coming < len(fundings)
    np.testing.assert_array_equal(signal[known], np.sign(fundings["funding_rate"][coming[known]]))
    assert np.abs(fundings["funding_rate"]).tolist() == [1e-3] * len(fundings)
    flips = np.mean(np.diff(np.sign(fundings["funding_rate"])) != 0)
    assert flips == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / len(fundings)))


@pytest.mark.parametrize("row", ["K1-1", "K3-2", "K6-1", "K7-1", "K5-1"])
def test_what_a_bar_returns_beyond_its_expectation_is_a_surprise(row: str) -> None:
    market = ROWS[row]
    series = market.series(8 * market.stretch_bars, 3)
    before, after = series.state[:-1], series.surprise[1:]
    inside = np.diff(series.market.bars["segment"]) == 0
    error = after[inside].std() / np.sqrt(inside.sum())
    assert after[inside].mean() == pytest.approx(0.0, abs=4 * error)
    if before[inside].std() > 0.0:
        assert np.corrcoef(before[inside], after[inside])[0, 1] == pytest.approx(0.0, abs=4 / np.sqrt(inside.sum()))


def test_the_registered_environment_shows_the_signal_and_the_exposure() -> None:
    market = ROWS["K1-1"]
    series = market.series(512, 1)
    env: Any = gymnasium.make(ENV_ID, market=series.market, config=market.env_config())
    observation, _ = env.reset(seed=1)
    assert observation.shape == (2,)
    for _ in range(20):
        observation, _, _, _, info = env.step(2)
        scaling = env.unwrapped.core.observed.scaling
        sign = series.market.signals[SIGNAL][info["bar"]]
        assert observation[0] == pytest.approx((sign - scaling.mean[0]) / scaling.scale[0], rel=1e-6)
        assert observation[1] == pytest.approx(info["exposure"], abs=1e-6)


# ---- Scores


@pytest.mark.parametrize("row", ONE_OF_EACH)
def test_the_best_policy_earns_in_the_environment_what_the_solver_says(row: str) -> None:
    market = ROWS[row]
    best = market.solve()
    series = market.series(16 * 8_192, 7, row)
    decide = best_decisions(best, series, market.trading.max_exposure)
    played = roll_out(decide, market, series, None, num_bars=100_000, seed=1)
    # The grid of the solver is good to half a percent.
    assert played.error <= 0.08 * best.score.growth_per_bar
    limit = 4 * played.error + 0.005 * best.score.growth_per_bar
    assert played.score.growth_per_bar == pytest.approx(best.score.growth_per_bar, abs=limit)
    assert played.score.turnover_per_bar == pytest.approx(best.score.turnover_per_bar, rel=0.06, abs=1e-12)
    assert played.score.mean_exposure == pytest.approx(best.score.mean_exposure, rel=0.03, abs=1e-12)


def follower() -> NetworkPolicy:
    """Return a network that goes long where the signal is positive and short where it is not."""
    layer = Layer(np.array([[-1, 0], [0, 0], [1, 0]], np.float32), np.zeros(3, np.float32))
    return NetworkPolicy((layer,), "tanh", "argmax", ActionMap())


def checkpoint_of(row: str, policy: NetworkPolicy) -> Checkpoint:
    market = ROWS[row]
    golden = np.zeros((1, 2), np.float32)
    return Checkpoint(
        policy=policy,
        env=market.env_config(),
        scaling=Scaling(np.zeros(1, np.float32), np.ones(1, np.float32), 10.0),
        interval="1h",
        terms=(known_terms(row, market.taker_fee),),
        golden_observations=golden,
        golden_targets=policy.targets(golden),
        facts={"timesteps": 0},
    )


def test_a_checkpoint_is_scored_alike_on_the_grid_and_in_the_environment() -> None:
    # To follow the sign where it does not pay loses 5e-4 - 2 * 6e-3 * 0.05 = -1e-4, but for the account's own terms.
    score = score_checkpoint(Cell(row="K1-3", algo="ppo", seed=0), checkpoint_of("K1-3", follower()))
    assert score.exact is not None
    assert score.exact.growth_per_bar == pytest.approx(-1e-4, rel=0.03)
    assert score.rollout.growth_per_bar == pytest.approx(score.exact.growth_per_bar, abs=4 * score.rollout_error)
    assert score.rollout_error < 2e-5
    assert score.percent is None
    assert score.shortfall == pytest.approx(score.exact.growth_per_bar, abs=4 * score.shortfall_error)
    assert score.exact.turnover_per_bar == pytest.approx(0.1, rel=0.01)


def test_a_policy_and_the_best_one_are_compared_on_the_same_bars() -> None:
    market = ROWS["K1-1"]
    series = market.series(8 * 8_192, 11)
    scaling = Scaling(np.zeros(1, np.float32), np.ones(1, np.float32), 10.0)
    best = best_decisions(market.solve(), series, 1.0)
    plays = [
        roll_out(d, market, series, scaling, num_bars=20_000, seed=4) for d in (best, policy_decisions(follower()))
    ]
    # In this row the follower is the best policy: not only their means but all their bars are the same.
    assert plays[1].less(plays[0]) == (0.0, 0.0)
    assert plays[0].score == plays[1].score


def test_no_share_is_claimed_for_another_account_than_the_markets() -> None:
    known = checkpoint_of("K1-1", follower())
    share = optimum_share(known)
    assert share is not None
    assert share.percent == pytest.approx(100.0, abs=0.1)
    wider = replace(known.env, trading=replace(known.env.trading, rebalance_band=0.2))
    assert optimum_share(replace(known, env=wider)) is None
    assert optimum_share(replace(known, env=replace(known.env, reward="log_return"))) is None
    assert optimum_share(replace(known, terms=(known_terms("K6-1", 5e-4),))) is None


# ---- Trainings


@pytest.mark.parametrize("row", ["K0-1", "K1-1", "K3-2"])
def test_ppo_learns_what_is_known(row: str, tmp_path: Path) -> None:
    score = play_cell(Cell(row=row, algo="ppo", seed=0, steps=2_000_000), tmp_path)
    assert score.exact is not None
    if row == "K0-1":
        # A random agent's turnover is 8 / 9 a bar; nothing is earned where nothing is to be had.
        assert score.exact.turnover_per_bar < 0.01 * 8 / 9
        assert score.exact.mean_exposure < 0.02
        assert score.exact.growth_per_bar <= 0.0
    else:
        assert score.percent is not None
        assert score.percent > 95.0
        expected = 100 * (1 + score.shortfall / score.optimum.growth_per_bar)
        assert expected == pytest.approx(
            score.percent, abs=400 * score.shortfall_error / score.optimum.growth_per_bar + 1
        )
    assert (tmp_path / f"{row}-ppo-0" / "policy_map.png").read_bytes()[:4] == b"\x89PNG"


def test_a_quantile_network_is_deployed_as_the_means_of_its_quantiles(tmp_path: Path) -> None:
    cell = Cell(row="K1-1", algo="qrdqn", seed=0, steps=12_000)
    run = new_run(cell_config(cell, tmp_path), cell.row)
    run.learn(lambda _done, _total: None)
    observations = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    chosen, _ = run.model.predict(observations, deterministic=True)
    targets = decide_in_turn(run.folder.checkpoint("last").policy, observations)
    np.testing.assert_array_equal(targets, np.array([-1.0, 0.0, 1.0])[chosen])
    assert len(set(targets)) > 1


# ---- The command


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    """Return a function that runs the command with its words."""
    call = script_caller(monkeypatch, capsys, tmp_path)

    def run(*words: object) -> Answer:
        return call(known_answers, *words)

    return run


def test_the_command_scores_a_row_writes_its_table_and_does_nothing_twice(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    begin, end = score_marks("ppo")
    other = "\n".join([score_marks("dqn").begin, "theirs", score_marks("dqn").end])
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n{other}\n")
    words = ("--markets", "K1-1", "--seeds", 1, "--steps", 5_000, "--json", "--page", page)
    answer = command(*words)
    assert answer.code == 0, answer.err
    (row,) = json.loads(answer.out)
    assert {"market": "K1", "row": 1, "algo": "ppo", "seeds": 1}.items() <= row.items()
    assert row["optimum"] == ROWS["K1-1"].solve().score.growth_per_bar
    assert row["mean"] == row["worst"] <= 100.0
    assert page.read_text().startswith(f"before\n{begin}\n\n| market | row |")
    assert page.read_text().endswith(f"{end}\nafter\n{other}\n")
    assert "old" not in page.read_text()

    folder = tmp_path / "runs" / "known_answers" / "K1-1-ppo-0"
    events = EventAccumulator(str(folder))
    events.Reload()
    (drawn,) = events.Scalars("known_answer/K1-1")
    assert drawn.value == pytest.approx(row["mean"], rel=1e-6)

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert json.loads(command(*words).out) == [row]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    # Another number of bars is another run, which is not mixed up with this one.
    refused = command("--markets", "K1-1", "--seeds", 1, "--steps", 6_000)
    assert refused.code == 2
    assert "was made with other settings; remove it" in refused.err


def test_a_cell_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(row="K1-1", algo="ppo", seed=3, steps=70_000)
    run = new_run(cell_config(cell, tmp_path), cell.row)
    run.model.learn(32_768)
    run.save_state()
    run.log.close()
    monkeypatch.setattr(cells, "DQN", replace(cells.DQN, gamma=0.5))  # which PPO is not trained with
    score = play_cell(cell, tmp_path)
    assert score.steps >= 70_000
    assert RunFolder.open(tmp_path / cell.name).checkpoint("last").facts["timesteps"] == score.steps


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--markets", "K9"), "unknown market 'K9'; choose from K0, K1, K2, K3, K4, K5, K6, K7, or name a row as K1-2"),
        (("--markets", "K4", "--algo", "dqn"), "dqn needs discrete actions, and K4-1 has none"),
        (("--seeds", "0"), "--seeds must be at least 1, was 0"),
        (("--steps", "-4"), "--steps must be at least 1, was -4"),
        (("--markets", "K1-1", "--workers", "0"), "--workers must be at least 1, was 0"),
        (("--algo", "sac"), "invalid choice: 'sac'"),
    ],
)
def test_the_command_says_what_it_cannot_do(
    command: Callable[..., Answer], words: tuple[str, ...], sentence: str
) -> None:
    answer = command(*words)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_rows_are_named_by_market_or_one_by_one() -> None:
    assert find_rows(["K1-2", "K0"]) == ["K0-1", "K1-2"]
    assert find_rows([]) == list(ROWS)
    assert [row for row in ROWS if not ROWS[row].trading.levels] == ["K4-1", "K4-2", "K7-1", "K7-2", "K7-3"]


def test_a_page_without_its_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = score_marks("ppo")
    page.write_text(f"{marks.end}\n{marks.begin}\n")
    with pytest.raises(ConfigError, match="in this order; add them"):
        write_into_page(page, "table", marks)
    with pytest.raises(ConfigError, match="cannot be read and written"):
        write_into_page(tmp_path / "none.md", "table", marks)


def test_a_table_shows_the_mean_and_the_worst_seed() -> None:
    base = score_checkpoint(Cell(row="K1-1", algo="ppo", seed=0), checkpoint_of("K1-1", follower()))
    half = replace(base, exact=base.optimum._replace(growth_per_bar=0.5 * base.optimum.growth_per_bar), seed=1)
    (row,) = summaries([base, half])
    assert row["worst"] == pytest.approx(50.0)
    assert row["mean"] == pytest.approx(75.0, abs=0.1)
    assert "| K1 | 1 | ppo | 4.479e-04 | 75.0 % | 50.0 % |" in markdown([row])
    flat = score_checkpoint(Cell(row="K1-3", algo="ppo", seed=0), checkpoint_of("K1-3", follower()))
    (row,) = summaries([flat])
    assert (row["mean"], row["worst"], row["optimum"]) == (None, None, 0.0)
    assert "| K1 | 3 | ppo | 0.000e+00 | - | - |" in markdown([row])
