"""Combinatorial purged cross-validation of an agent: one training for every combination of groups.

Each combination is a run like any other. It trains on all groups that it is not tested on, but for the end of the last
of them, on which its checkpoint is chosen; the episodes stay inside the stretches that are left. What is done is kept
in the run's folder, and what was interrupted goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.markets import Recording, load_recording
from agents.pool import run_tasks
from agents.run_folder import read_json, write_json
from agents.searching.searches import alone_in, keep_plan
from agents.trials import Scope, Trial, configuration_hash, register
from agents.walking.cells import finished_run
from agents.walking.combinatorial import Combinatorial, before_test, chained, only_in, plan_combinations, whole_days
from rl_trader.backtest import backtest_policy
from rl_trader.bars import MS_PER_DAY
from rl_trader.checkpoint import Checkpoint
from rl_trader.errors import ConfigError
from rl_trader.folds import CombinatorialFold
from rl_trader.klines import interval_ms, utc
from rl_trader.market import Period
from rl_trader.metrics import portfolio
from rl_trader.observed_market import observe_market, schema_warmup
from rl_trader.statistics.sharpe import sharpe_ratio

TESTED_FILE: Final = "tested.json"
RESULT_FILE: Final = "result.json"
VALIDATION_SHARE: Final = 0.5  # of a group

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What is trained, and the groups that it is tested on."""

    config: TrainConfig  # with the run's name; its periods are those of the combination, its test that of the preset
    fold: CombinatorialFold  # the last stretch of its training is that on which the checkpoint is chosen

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        assert self.config.name is not None
        return self.config.runs / self.config.name


def cross_validate_agent(
    config: TrainConfig,
    name: str,
    num_groups: int,
    num_tested: int,
    holding_bars: int,
    report: Report,
    workers: int = 1,
) -> Combinatorial:
    """Train an agent for every combination of groups and chain its tests into paths.

    Args:
        config: What is trained; the groups lie before its test period.
        name: Of the folder in ``config.runs``; where it exists it must have the same plan.
        num_groups: Into which the time is cut.
        num_tested: Of each combination.
        holding_bars: Added to the longest feature window: the purge.
        report: Called with a line about every training.
        workers: Trainings at the same time; 1 trains in this process.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the same call goes on.
    """
    folder = config.runs / name
    combinations = combinations_of(replace(config, runs=folder), num_groups, num_tested, holding_bars)
    with alone_in(folder):
        plan = {"configuration": configuration_hash(config), "combinations": [asdict(one.fold) for one in combinations]}
        keep_plan(folder, plan, "cross-validation")
        missing = [one for one in combinations if not (one.folder / TESTED_FILE).is_file()]
        for number, (one, kept) in enumerate(run_tasks(play_combination, missing, workers), 1):
            growths = ", ".join(f"{float(np.prod(1.0 + np.array(daily))) - 1.0:+.1%}" for daily in kept)
            report(f"{one.config.name}: {growths} ({len(combinations) - len(missing) + number} of {len(combinations)})")
        tests = [_arrays(play_combination(one)) for one in combinations]
        found = chained([one.fold for one in combinations], tests, num_groups)
        _register(config, name, found)
        write_json(folder / RESULT_FILE, found.to_json())
        return found


def combinations_of(config: TrainConfig, num_groups: int, num_tested: int, holding_bars: int) -> list[Combination]:
    """Return what is trained; the arguments are those of ``cross_validate_agent``, the runs lie in ``config.runs``.

    Raises:
        ConfigError: If the groups do not fit into the time.
    """
    purge_bars = schema_warmup(config.env.schema) + holding_bars
    purge_ms = whole_days(purge_bars * interval_ms(config.market.interval))
    folds = plan_combinations(config, num_groups, num_tested, purge_bars)
    return [_combination(config, fold, purge_ms) for fold in folds]


def _arrays(tests: list[list[float]]) -> list[NDArray[np.float64]]:
    return [np.array(daily, np.float64) for daily in tests]


def _combination(config: TrainConfig, fold: CombinatorialFold, purge_ms: int) -> Combination:
    """Return a combination whose last stretch of training is cut into training, purge and validation.

    Raises:
        ConfigError: If that stretch is too short.
    """
    last, group = fold.train[-1], fold.test[0]
    assert last.since is not None
    assert last.until is not None
    assert group.since is not None
    assert group.until is not None
    length = int((group.until - group.since) * VALIDATION_SHARE) // MS_PER_DAY * MS_PER_DAY
    begin = last.until - length
    end = begin - purge_ms
    if length <= 0 or end <= last.since:
        raise ConfigError(
            f"groups of {(group.until - group.since) / MS_PER_DAY:.0f} days leave nothing to train on beside the purge"
            " and the choice of the checkpoint; choose fewer --groups or a longer time"
        )
    train = (*fold.train[:-1], Period(last.since, end))
    cut = replace(fold, train=(*train, Period(begin, last.until)))
    assert train[0].since is not None
    market = replace(config.market, train=(utc(train[0].since), utc(end)), validation=(utc(begin), utc(last.until)))
    name = "groups_" + "_".join(map(str, fold.groups))
    return Combination(config=replace(config, market=market, name=name), fold=cut)


def play_combination(one: Combination) -> list[list[float]]:
    """Return the daily returns of every tested group: those that were kept, or after training.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the next call goes on from there.
    """
    path = one.folder / TESTED_FILE
    if not path.is_file():
        recording = _whole(one)
        run = finished_run(one.config, one.folder, trained_part(recording, one))
        write_json(path, {"daily_returns": _test(run.checkpoint("best"), recording, one)})
    daily: list[list[float]] = read_json(path)["daily_returns"]
    return daily


def trained_part(recording: Recording, one: Combination) -> Recording:
    """Return the bars of all groups without those that a combination is tested on, their purge and their embargo."""
    return replace(recording, market=only_in(recording.market, one.fold.train))


def _whole(one: Combination) -> Recording:
    """Return the bars of all groups."""
    since, until = _span((*one.fold.train, *one.fold.test))
    dates = (utc(since), utc(until))
    market = replace(one.config.market, train=dates, validation=dates, test=dates)
    return load_recording(before_test(market), one.config.env.schema, one.config.data)


def _span(periods: Sequence[Period]) -> tuple[int, int]:
    return min(period.since or 0 for period in periods), max(period.until or 0 for period in periods)


def _test(checkpoint: Checkpoint, recording: Recording, one: Combination) -> list[list[float]]:
    observed = observe_market(recording.market, checkpoint.schema, scaling=checkpoint.scaling)
    return [
        portfolio(backtest_policy("agent", checkpoint.policy, observed, checkpoint.env.trading, period))
        .daily_returns()
        .tolist()
        for period in one.fold.test
    ]


def _register(config: TrainConfig, name: str, found: Combinatorial) -> None:
    """Count the configuration as tried on the whole time, with the mean of the paths."""
    since, until = _span([period for fold in found.folds for period in fold.test])
    ratio = sharpe_ratio(found.daily.mean(axis=0))
    register(
        config.runs,
        Trial(
            scope=Scope(config.market.symbols, config.market.interval, utc(since), utc(until)),
            configuration=configuration_hash(config, learner="agent", combinations=str(len(found.folds))),
            evaluation=name,
            seed=config.seed,
            sharpe=None if ratio is None else ratio.ratio,
        ),
    )
