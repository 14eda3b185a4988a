"""What an evaluation allows to conclude: differences, trials, stresses, the mirror, the verdict."""

import json
import math
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.presets import DEMO
from agents.trials import (
    TRIALS_FILE,
    Scope,
    Trial,
    configuration_hash,
    count_trials,
    overfitting_of,
    register,
    trials_of,
)
from envs.embedded import embedded_market_data
from rl_trader.config import Slippage, TradingConfig
from rl_trader.embedded import STATE_FEATURE
from rl_trader.errors import CheckpointError
from rl_trader.evaluation import Evaluation, evaluate
from rl_trader.honesty import Honesty, Trials, judge, verdict
from rl_trader.market import Period
from rl_trader.mirror import mirrored_market
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.statistics.bootstrap import Interval
from rl_trader.statistics.sharpe import SharpeRatio
from rl_trader.stress import MIRRORED, Stressed, stress

SCHEMA = ObservationSchema(features=(STATE_FEATURE,), account_features=("exposure",))
TRADING = TradingConfig(leverage=2, stop_loss=None, slippage=Slippage(half_spread=0.0003))


class AgainstThePrice:
    """Short above the anchor, long below it, flat near it."""

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the target positions."""
        state = observations[:, 0].astype(np.float64)
        return np.where(np.abs(state) < 0.5, 0.0, -np.sign(state))


class Long:
    """Always long."""

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the target positions."""
        return np.ones(len(observations))


@pytest.fixture(scope="module")
def observed() -> ObservedMarket:
    return observe_market(embedded_market_data(4_000, 5), SCHEMA)


@pytest.fixture(scope="module")
def evaluation(observed: ObservedMarket) -> Evaluation:
    return evaluate("agent", AgainstThePrice(), observed, TRADING, Period(), num_random=0)


@pytest.fixture(scope="module")
def stresses(observed: ObservedMarket, evaluation: Evaluation) -> dict[str, Stressed]:
    return stress(AgainstThePrice(), evaluation.agent, observed, TRADING, Period())


# ---- Stresses


def test_the_same_costs_give_the_same_figures(evaluation: Evaluation, stresses: dict[str, Stressed]) -> None:
    own = evaluation.metrics
    for name in ("fee x 1", "funding x 1"):
        assert stresses[name] == Stressed(own.total_return, own.sharpe, own.max_drawdown)


def test_other_costs_are_those_of_an_evaluation_with_other_terms(
    observed: ObservedMarket, evaluation: Evaluation, stresses: dict[str, Stressed]
) -> None:
    # Other terms change the size of orders by the fee that is kept free alone: decisions and figures agree.
    (terms,) = observed.market.terms
    for name, factor in (("fee x 0", 0.0), ("fee x 2", 2.0), ("fee x 3", 3.0)):
        fees = replace(terms, taker_fee=terms.taker_fee * factor, maker_fee=terms.maker_fee * factor)
        other = replace(observed, market=replace(observed.market, terms=(fees,)))
        again = evaluate("agent", AgainstThePrice(), other, TRADING, Period(), num_random=0)
        assert again.agent[0].targets.tolist() == evaluation.agent[0].targets.tolist()
        assert stresses[name].total_return == pytest.approx(again.metrics.total_return, rel=1e-6)
    slippery = replace(TRADING, slippage=Slippage(half_spread=0.0006))
    again = evaluate("agent", AgainstThePrice(), observed, slippery, Period(), num_random=0)
    assert stresses["slippage x 2"].total_return == pytest.approx(again.metrics.total_return, rel=1e-6)


def test_a_late_order_fills_a_bar_later(evaluation: Evaluation, observed: ObservedMarket) -> None:
    class Late:
        """Decides what the agent decided a bar before."""

        def __init__(self) -> None:
            self._decided = iter([0.0, *evaluation.agent[0].targets.tolist()])

        def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
            """Return the target positions."""
            return np.array([next(self._decided)])

    again = evaluate("late", Late(), observed, TRADING, Period(), num_random=0)
    found = stress(AgainstThePrice(), evaluation.agent, observed, TRADING, Period())["one bar late"]
    assert found.total_return == again.metrics.total_return
    assert found.total_return < evaluation.metrics.total_return


def test_an_agent_that_reads_prices_earns_as_much_in_the_mirror_and_one_that_is_long_does_not(
    observed: ObservedMarket, evaluation: Evaluation, stresses: dict[str, Stressed]
) -> None:
    # The embedded market's state is the log of the price over 1 000, near which it begins: mirrored, it changes sign.
    growth = math.log1p(evaluation.metrics.total_return)
    assert growth > 2.0
    assert math.log1p(stresses[MIRRORED].total_return) == pytest.approx(growth, rel=0.1)
    held = evaluate("long", Long(), observed, TRADING, Period(), num_random=0)
    mirrored = stress(Long(), held.agent, observed, TRADING, Period())[MIRRORED].total_return
    assert np.sign(mirrored) == -np.sign(held.metrics.total_return)


def test_the_mirror_of_the_mirror_is_the_market(observed: ObservedMarket) -> None:
    market = observed.market
    mirrored = mirrored_market(market)
    assert (mirrored.bars["high"] >= mirrored.bars["low"]).all()
    assert (mirrored.bars["mark_high"] >= mirrored.bars["mark_close"]).all()
    returns, opposite = (np.diff(np.log(table.bars["close"])) for table in (market, mirrored))
    assert opposite == pytest.approx(-returns)
    back = mirrored_market(mirrored)
    for name in ("open", "high", "low", "close", "mark_high", "volume", "last_funding_rate"):
        assert back.bars[name] == pytest.approx(market.bars[name], rel=1e-5)
    for name in ("funding_rate", "mark_price"):
        assert back.fundings[name] == pytest.approx(market.fundings[name])


# ---- Judgement


def test_an_edge_is_found_and_holding_is_told_from_it(evaluation: Evaluation, stresses: dict[str, Stressed]) -> None:
    honesty = judge(evaluation, Trials(), stresses)
    assert honesty.num_days == 82  # 4 000 bars are 83 days and a third; the first bar is only observed
    assert "flat" in honesty.better_than
    assert honesty.worse_than == []
    assert honesty.sharpe is not None
    assert evaluation.metrics.sharpe is not None
    assert honesty.sharpe.ratio * math.sqrt(365) == pytest.approx(evaluation.metrics.sharpe)
    assert honesty.probability == honesty.deflated  # one trial is no deflation
    fee = honesty.break_even_fee
    assert fee is not None
    assert fee.estimate == pytest.approx(evaluation.metrics.break_even_fee)
    assert fee.low < fee.estimate < fee.high
    json.dumps(honesty.to_json(), allow_nan=False)


def test_what_does_as_a_baseline_does_is_told_so(observed: ObservedMarket) -> None:
    held = evaluate("long", Long(), observed, TRADING, Period(), num_random=0)
    honesty = judge(held, Trials(), {})
    assert honesty.differences["buy_and_hold"] == Interval(0.0, 0.0, 0.0)
    assert verdict(honesty).startswith("It did exactly as buy and hold did.")


def test_a_short_record_says_nothing(observed: ObservedMarket) -> None:
    until = int(observed.market.bars["open_time"][200])
    short = evaluate("agent", AgainstThePrice(), observed, TRADING, Period(None, until), num_random=0)
    assert verdict(judge(short, Trials(), {})).startswith("Nothing can be said: 3 whole days are too few")


def judged(difference: Interval, sharpe: SharpeRatio | None, trials: Trials) -> Honesty:
    return Honesty(
        daily_returns=np.zeros(181),
        differences={"flat": Interval(0.2, -0.5, 0.9), "buy_and_hold": difference},
        sharpe=sharpe,
        trials=trials,
        break_even_fee=None,
        stresses={},
    )


def test_the_verdict_is_said_in_words() -> None:
    weak, strong = SharpeRatio(0.05, 181), SharpeRatio(0.4, 181)
    words = verdict(judged(Interval(0.1, -0.4, 0.6), weak, Trials()))
    assert words == (
        "Indistinguishable from buy and hold at this length (+10% a year, between \u221240% and +60%)."
        " What it earned cannot be told from nothing."
        " Its Sharpe ratio may be luck where one configuration was tried (confidence 75% that it is not)."
        " Such a ratio needs 1,085 days to be told from 0; these are 181."
    )
    better = verdict(judged(Interval(0.5, 0.1, 0.9), strong, Trials(3, 0.02)))
    assert better.startswith("It did better than buy and hold by more than chance (+50% a year")
    assert "above what luck shows where 3 configurations were tried" in better
    worse = verdict(judged(Interval(-0.5, -0.9, -0.1), SharpeRatio(-0.1, 181), Trials()))
    assert worse.startswith("It did worse than buy and hold by more than chance")
    assert worse.endswith("What it earned cannot be told from nothing. Its Sharpe ratio is not positive.")
    assert verdict(judged(Interval(0.1, -0.4, 0.6), None, Trials())).endswith("Its balance did not move.")


# ---- Trials

SCOPE = Scope(("BTCUSDT",), "30m", "2025-01-01", "2025-07-01")


def trial(configuration: str, seed: int = 0, sharpe: float | None = 0.1, scope: Scope = SCOPE) -> Trial:
    return Trial(scope, configuration, f"{configuration}-{seed}/evaluation/test", seed, sharpe)


def test_seeds_are_no_trials_and_neither_is_looking_again(tmp_path: Path) -> None:
    assert trials_of(tmp_path) == []
    for made in (trial("a", 0, 0.2), trial("a", 1, 0.4), trial("a", 0, 0.2), trial("b", 0, 0.1), trial("c", 0, None)):
        register(tmp_path, made)
    elsewhere = register(tmp_path, trial("a", 0, 0.2, replace(SCOPE, until="2025-08-01")))
    assert len(elsewhere) == 1
    assert len((tmp_path / TRIALS_FILE).read_text().splitlines()) == 5
    counted = count_trials(register(tmp_path, trial("b", 0, 0.1)))
    assert counted.num == 3
    assert counted.deviation == pytest.approx(float(np.std([0.3, 0.1, 0.0], ddof=1)))


def test_the_configuration_is_all_that_was_chosen_and_no_seed_or_folder() -> None:
    own = configuration_hash(DEMO, checkpoint="best")
    assert configuration_hash(replace(DEMO, seed=7, name="x", runs=Path("y")), checkpoint="best") == own
    assert configuration_hash(replace(DEMO, dqn=replace(DEMO.dqn, gamma=0.5)), checkpoint="best") == own
    assert configuration_hash(replace(DEMO, ppo=replace(DEMO.ppo, gamma=0.5)), checkpoint="best") != own
    assert configuration_hash(DEMO, checkpoint="last") != own


def _register_many(runs: Path, first: int) -> None:
    for number in range(first, first + 25):
        register(runs, trial(str(number)))


def test_processes_that_register_at_once_lose_none(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_register_many, args=(tmp_path, 25 * i)) for i in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(int(found.configuration) for found in trials_of(tmp_path)) == list(range(50))


def test_a_torn_last_line_is_cut_off_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    register(tmp_path, trial("a"))
    path = tmp_path / TRIALS_FILE
    path.write_text(path.read_text() + '{"scope"')
    register(tmp_path, trial("b"))
    assert [found.configuration for found in trials_of(tmp_path)] == ["a", "b"]
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(CheckpointError, match=r"line 1 of .*trials.jsonl is no trial"):
        trials_of(tmp_path)


def test_enough_configurations_have_a_probability_of_overfitting(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    trials = [trial(str(i)) for i in range(8)]
    returns = rng.normal(size=(320, 8)) + np.linspace(0.0, 2.0, 8)
    for made, column in zip(trials[:-1], returns.T, strict=False):
        folder = tmp_path / made.evaluation
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"honesty": {"daily_returns": column.tolist()}}))
    found = overfitting_of(tmp_path, trials, {trials[-1].evaluation: returns[:, -1]})
    assert found is not None
    assert (found.num_configurations, found.probability) == (8, 0.0)
    assert overfitting_of(tmp_path, trials, {}) is None  # the eighth has no returns
    assert overfitting_of(tmp_path, trials[:7], {}) is None
