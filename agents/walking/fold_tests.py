"""One seed of one fold: trained, its checkpoint chosen on the validation period, and tested on what follows.

What it did is kept as ``tested.json`` in the run's folder: its figures and daily returns, those under every stress and
under the other assumption on funding, what every day earned before fees and traded, and how random agents fared.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.config import MarketConfig, TrainConfig
from agents.markets import load_market, parse_period, under_other_funding
from agents.run_folder import RunFolder, read_json, write_json
from agents.supervised import fit_baseline
from agents.walking.cells import Cell, play_cell, score_checkpoint, score_results
from rl_trader.backtest import backtest_policy
from rl_trader.checkpoint import Checkpoint
from rl_trader.errors import CheckpointError
from rl_trader.evaluation import play_baselines, play_random_agents
from rl_trader.honesty import break_even_fee, daily_trade
from rl_trader.metrics import measure, portfolio
from rl_trader.observed_market import observe_market
from rl_trader.statistics.bootstrap import Interval
from rl_trader.stress import Stressed, stressed_results, stressed_returns

AGENT: Final = "agent"  # a learner; the others are those of agents.supervised
TESTED_FILE: Final = "tested.json"
NUM_RANDOM: Final = 200  # random agents beside it

Tested = Mapping[str, Any]  # what the file holds


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTest:
    """What is trained, and on what it is tested: the test period of its market."""

    config: TrainConfig  # with the run's name
    learner: str = AGENT

    @property
    def name(self) -> str:
        """Return the run's name."""
        assert self.config.name is not None
        return self.config.name

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        return self.config.runs / self.name

    @property
    def is_done(self) -> bool:
        """Return whether nothing is left to be done."""
        return (self.folder / TESTED_FILE).is_file()


def play_fold_test(test: FoldTest) -> Tested:
    """Return what a seed did in its fold: what was kept, or after training and testing it.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the next call goes on from there.
    """
    path = test.folder / TESTED_FILE
    if not path.is_file():
        found = examine(_trained(test), test.config.market, test.config.data)
        try:
            write_json(path, found)
        except OSError as error:
            raise CheckpointError(f"{test.folder} cannot be written: {error}; free space and go on") from error
    return read_json(path)


def _trained(test: FoldTest) -> Checkpoint:
    if test.learner != AGENT:
        shutil.rmtree(test.folder, ignore_errors=True)
        return fit_baseline(test.learner, test.config, test.name).checkpoint("best")
    play_cell(Cell(config=test.config, scored=test.config.market.test, recorded=test.config.market))
    return RunFolder.open(test.folder).checkpoint("best")


def tested_alone(market: MarketConfig) -> MarketConfig:
    """Return a market of its test period alone, with the warm-up before it."""
    return replace(market, train=market.test, validation=market.test)


def examine(checkpoint: Checkpoint, market: MarketConfig, data: Path | None) -> dict[str, Any]:
    """Return what a checkpoint does in the test period of a market.

    Args:
        checkpoint: The agent.
        market: Whose test period is played.
        data: Folder of market data.

    Raises:
        RlTraderError: If the data cannot be used.
    """
    alone = tested_alone(market)
    recorded = load_market(alone, checkpoint.schema, data)
    observed = observe_market(recorded, checkpoint.schema, scaling=checkpoint.scaling)
    trading, period = checkpoint.env.trading, parse_period(market.test)
    results = backtest_policy(AGENT, checkpoint.policy, observed, trading, period)
    earned, traded = daily_trade(portfolio(results))
    stresses = stressed_results(checkpoint.policy, results, observed, trading, period)
    random = play_random_agents(measure(results), observed, trading, period, NUM_RANDOM, seed=0)
    other = under_other_funding(alone, recorded)
    return {
        **score_results(results),
        "earned": earned.tolist(),
        "traded": traded.tolist(),
        "stresses": {name: portfolio(stressed).daily_returns().tolist() for name, stressed in stresses.items()},
        "random": random.to_json(),
        "assumptions": list(recorded.assumptions),
        "other_funding": None
        if other is None
        else score_checkpoint(checkpoint, load_market(other, checkpoint.schema, data), market.test),
    }


def baseline_returns(config: TrainConfig, market: MarketConfig) -> dict[str, list[float]]:
    """Return the daily returns of every baseline in the test period of a market, by name.

    Raises:
        RlTraderError: If the data cannot be used.
    """
    schema = config.env.schema
    observed = observe_market(load_market(tested_alone(market), schema, config.data), schema)
    played = play_baselines(observed, config.env.trading, parse_period(market.test))
    return {name: portfolio(results).daily_returns().tolist() for name, results in played.items()}


# ---- Seeds and folds together


def daily_returns(folds: Sequence[Sequence[Tested]]) -> list[NDArray[np.float64]]:
    """Return for every fold the daily returns (num_seeds, num_days) of its seeds."""
    return [np.array([tested["daily_returns"] for tested in seeds], np.float64) for seeds in folds]


def stresses_of(folds: Sequence[Sequence[Tested]]) -> dict[str, Stressed]:
    """Return what the mean of the seeds, from fold to fold, would have made of every stress that all were put to."""
    tests = [tested for seeds in folds for tested in seeds]
    names = [name for name in tests[0]["stresses"] if all(name in tested["stresses"] for tested in tests)]
    return {
        name: stressed_returns(
            np.concatenate([np.mean([tested["stresses"][name] for tested in seeds], axis=0) for seeds in folds])
        )
        for name in names
    }


def break_even_fee_of(folds: Sequence[Sequence[Tested]]) -> Interval | None:
    """Return the fee at which the trades of all seeds together would have earned 0."""
    earned, traded = (
        np.concatenate([np.sum([tested[name] for tested in seeds], axis=0) for seeds in folds])
        for name in ("earned", "traded")
    )
    return break_even_fee(earned, traded)
