"""Walk-forward: the same configuration, trained anew on every fold with several seeds, tested on what it never saw.

The folder of a walk-forward holds ``plan.json``, a run folder for every fold and seed with its ``tested.json``, the
baselines of every fold, ``result.json``, and ``holdout.json`` once the holdout was opened. What is there is not done
again: the same command goes on where it was stopped.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from agents.config import MarketConfig, TrainConfig
from agents.markets import OTHER_FUNDING, load_market, parse_period
from agents.pool import run_tasks
from agents.run_folder import RunFolder, read_json, write_json
from agents.searching.searches import alone_in, keep_plan
from agents.trials import (
    WALK_FORWARD_FILE,
    Scope,
    Trial,
    configuration_hash,
    count_trials,
    overfitting_of,
    register,
)
from agents.walking.cells import score_checkpoint
from agents.walking.fold_tests import (
    AGENT,
    FoldTest,
    Tested,
    baseline_returns,
    break_even_fee_of,
    daily_returns,
    play_fold_test,
    stresses_of,
    tested_alone,
)
from rl_trader.bars import MS_PER_DAY
from rl_trader.checkpoint import Checkpoint
from rl_trader.errors import ConfigError
from rl_trader.folds import walk_forward_folds
from rl_trader.honesty import Honesty, judge_returns
from rl_trader.klines import interval_ms, utc
from rl_trader.market import Period
from rl_trader.observed_market import schema_warmup
from rl_trader.serialise import to_json
from rl_trader.statistics.bootstrap import Interval
from rl_trader.statistics.seeds import seeds_interval
from rl_trader.statistics.sharpe import sharpe_ratio

RESULT_FILE: Final = WALK_FORWARD_FILE
HOLDOUT_FILE: Final = "holdout.json"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardConfig:
    """How the time is cut, and what is trained on the pieces."""

    folds: int = 3
    seeds: int = 5
    scheme: Literal["anchored", "rolling"] = "anchored"
    learner: str = AGENT  # or a baseline of agents.supervised
    holding_bars: int = 48  # added to the longest feature window, the purge between two periods
    holdout: float = 0.1  # last part of the time, in no fold

    def __post_init__(self) -> None:
        if self.folds < 1 or self.seeds < 1 or self.holding_bars < 0 or not 0.0 <= self.holdout < 1.0:
            raise ConfigError(
                "a walk-forward needs at least one fold and one seed, bars from 0 and a holdout from 0 to below 1,"
                f" found {self.folds}, {self.seeds}, {self.holding_bars} and {self.holdout}; change them"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """The dates of a walk-forward: from the begin of the training to the end of the test of its configuration."""

    folds: tuple[dict[str, tuple[str, str]], ...]  # train, validation and test of each
    holdout: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class WalkForward:
    """A finished walk-forward."""

    folder: Path
    plan: Plan
    scores: list[list[float]]  # log growth a year, by fold and seed
    daily: list[NDArray[np.float64]]  # one a fold, (num_seeds, num_days) daily returns
    baselines: dict[str, list[NDArray[np.float64]]]  # daily returns of each fold
    interval: Interval | None  # of the interquartile mean of the scores
    honesty: Honesty  # of the mean of the seeds
    other_funding: tuple[str, Honesty] | None  # under the other assumption on it, by name; None where all is recorded

    def to_json(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "folds": list(self.plan.folds),
            "scores": self.scores,
            "interquartile_mean": None if self.interval is None else self.interval.to_json(),
            "baselines": {
                name: [float(np.log1p(np.maximum(fold, -1.0 + 1e-9)).sum()) for fold in folds]
                for name, folds in self.baselines.items()
            },
            "honesty": self.honesty.to_json(),
            "other_funding": None
            if self.other_funding is None
            else {"assumed": self.other_funding[0], **self.other_funding[1].to_json()},
        }


def make_plan(config: TrainConfig, walk: WalkForwardConfig) -> Plan:
    """Return the dates of a walk-forward.

    Raises:
        ConfigError: If the folds do not fit into the time.
    """
    since, until = parse_period(config.market.train).since, parse_period(config.market.test).until
    assert since is not None
    assert until is not None
    held = int((until - since) * walk.holdout) // MS_PER_DAY * MS_PER_DAY
    purge_ms = (schema_warmup(config.env.schema) + walk.holding_bars) * interval_ms(config.market.interval)
    purge_days = -(-purge_ms // MS_PER_DAY) * MS_PER_DAY
    end = until - held - (purge_days if held else 0)
    folds = walk_forward_folds(
        Period(since, end), walk.folds, scheme=walk.scheme, purge_ms=purge_ms, unit_ms=MS_PER_DAY
    )
    named = tuple(
        {"train": _dates(fold.train), "validation": _dates(fold.validation), "test": _dates(fold.test)}
        for fold in folds
    )
    return Plan(named, _dates(Period(until - held, until)) if held else None)


def _dates(period: Period) -> tuple[str, str]:
    assert period.since is not None
    assert period.until is not None
    return utc(period.since).removesuffix("T00:00Z"), utc(period.until).removesuffix("T00:00Z")


def run_walk_forward(
    config: TrainConfig, walk: WalkForwardConfig, name: str, report: Report, workers: int = 1
) -> WalkForward:
    """Train and test whatever of a walk-forward is not done yet, and judge it.

    Args:
        config: What is trained; its periods say from when to when.
        walk: How the time is cut.
        name: Of the folder in ``config.runs``; where it exists it must have the same plan.
        report: Called with a line about every seed that was trained.
        workers: Trainings at the same time, each in a process of its own; 1 trains in this one.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the same call goes on.
    """
    folder = config.runs / name
    plan = make_plan(config, walk)
    with alone_in(folder):
        _keep_plan(folder, config, walk, plan)
        tested = _played(_tests(folder, config, walk, plan), workers, report)
        result = _judge(folder, config, walk, plan, tested)
        write_json(folder / RESULT_FILE, result.to_json())
        return result


def _keep_plan(folder: Path, config: TrainConfig, walk: WalkForwardConfig, plan: Plan) -> None:
    wanted = {"walk": asdict(walk), "configuration": configuration_hash(config), "plan": asdict(plan)}
    keep_plan(folder, wanted, "walk-forward", further={"config": to_json(config)})


def _tests(folder: Path, config: TrainConfig, walk: WalkForwardConfig, plan: Plan) -> list[list[FoldTest]]:
    """Return the seeds of every fold."""

    def test(fold: int, seed: int) -> FoldTest:
        name = f"fold_{fold}-seed_{seed}"
        market = fold_market(config, plan, fold)
        return FoldTest(config=replace(config, market=market, seed=seed, runs=folder, name=name), learner=walk.learner)

    seeds = [config.seed + seed for seed in range(walk.seeds)]
    return [[test(fold, seed) for seed in seeds] for fold in range(len(plan.folds))]


def fold_market(config: TrainConfig, plan: Plan, fold: int) -> MarketConfig:
    """Return the market of a configuration with the periods of a fold."""
    dates = plan.folds[fold]
    return replace(config.market, train=dates["train"], validation=dates["validation"], test=dates["test"])


def _played(tests: list[list[FoldTest]], workers: int, report: Report) -> list[list[Tested]]:
    """Return what every seed did; train what is not trained."""
    missing = [test for seeds in tests for test in seeds if not test.is_done]
    num_done = sum(map(len, tests)) - len(missing)
    for test, tested in run_tasks(play_fold_test, missing, workers):
        num_done += 1
        dates = " to ".join(test.config.market.test)
        report(f"{test.name}: {tested['total_return']:+.1%} on {dates} ({num_done} of {sum(map(len, tests))})")
    return [[play_fold_test(test) for test in seeds] for seeds in tests]


def _baselines(folder: Path, config: TrainConfig, plan: Plan, suffix: str = "") -> dict[str, list[NDArray[np.float64]]]:
    """Return the daily returns (num_days,) of every baseline, one array a fold, kept in files with a suffix."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for fold in range(len(plan.folds)):
        path = folder / f"fold_{fold}-baselines{suffix}.json"
        if not path.is_file():
            write_json(path, baseline_returns(config, fold_market(config, plan, fold)))
        for name, returns in read_json(path).items():
            found.setdefault(name, []).append(np.array(returns, np.float64))
    return found


def _judge(
    folder: Path, config: TrainConfig, walk: WalkForwardConfig, plan: Plan, tested: list[list[Tested]]
) -> WalkForward:
    daily, baselines = daily_returns(tested), _baselines(folder, config, plan)
    own = np.concatenate([fold.mean(axis=0) for fold in daily])
    span = plan.folds[0]["test"][0], plan.folds[-1]["test"][1]
    trials = register(config.runs, _trial(config, walk, span, folder, own))
    honesty = judge_returns(
        own,
        _whole(baselines),
        count_trials(trials),
        stresses=stresses_of(tested),
        break_even_fee=break_even_fee_of(tested),
        overfitting=overfitting_of(config.runs, trials, {folder.name: own}),
    )
    scores = [[float(test["log_growth"]) for test in seeds] for seeds in tested]
    interval = seeds_interval([np.array(of_fold) for of_fold in scores])
    other = _under_other_funding(folder, config, plan, tested, honesty)
    return WalkForward(folder, plan, scores, daily, baselines, interval, honesty, other)


def _whole(baselines: dict[str, list[NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate(folds) for name, folds in baselines.items()}


def _under_other_funding(
    folder: Path, config: TrainConfig, plan: Plan, tested: list[list[Tested]], honesty: Honesty
) -> tuple[str, Honesty] | None:
    """Return what the other assumption on funding allows to conclude, and its name; None where all is recorded."""
    if not any(test["other_funding"] for seeds in tested for test in seeds):
        return None
    assumed = OTHER_FUNDING[config.market.assumptions.missing_funding]
    assumptions = replace(config.market.assumptions, missing_funding=assumed)
    under = replace(config, market=replace(config.market, assumptions=assumptions))
    daily = daily_returns([[test["other_funding"] or test for test in seeds] for seeds in tested])
    own = np.concatenate([fold.mean(axis=0) for fold in daily])
    baselines = _baselines(folder, under, plan, f"-funding-{assumed}")
    return assumed, judge_returns(own, _whole(baselines), honesty.trials)


def _trial(
    config: TrainConfig, walk: WalkForwardConfig, span: tuple[str, str], folder: Path, own: NDArray[np.float64]
) -> Trial:
    sharpe = sharpe_ratio(own)
    return Trial(
        scope=Scope(config.market.symbols, config.market.interval, *span),
        configuration=configuration_hash(config, learner=walk.learner),
        evaluation=folder.name,
        seed=config.seed,
        sharpe=None if sharpe is None else sharpe.ratio,
    )


def open_holdout(config: TrainConfig, walk: WalkForwardConfig, name: str) -> dict[str, Any]:
    """Test the last fold's seeds on the holdout, once; the second time the first answer is returned.

    Returns:
        ``total_returns`` of the seeds, ``daily_returns`` of their mean, ``dates``, and ``times_opened``: by how many
        configurations this market and period were opened, this one among them.

    Raises:
        ConfigError: If there is no holdout, or the walk-forward is not finished.
    """
    folder = config.runs / name
    plan = make_plan(config, walk)
    if plan.holdout is None:
        raise ConfigError("the walk-forward has no holdout; give a --holdout above 0 when it is planned")
    if not (folder / RESULT_FILE).is_file():
        raise ConfigError(f"{folder} is not finished; run the same command without --open-holdout first")
    _keep_plan(folder, config, walk, plan)
    path = folder / HOLDOUT_FILE
    if path.is_file():
        return read_json(path)
    market = replace(config.market, test=plan.holdout)
    last = _tests(folder, config, walk, plan)[-1]
    tests = [_on_holdout(RunFolder.open(test.folder).checkpoint("best"), market, config.data) for test in last]
    own = np.mean([test["daily_returns"] for test in tests], axis=0)
    trials = register(config.runs, _trial(config, walk, plan.holdout, folder, own))
    opened = {
        "dates": list(plan.holdout),
        "total_returns": [test["total_return"] for test in tests],
        "daily_returns": own.tolist(),
        "times_opened": count_trials(trials).num,
    }
    write_json(path, opened)
    return opened


def _on_holdout(checkpoint: Checkpoint, market: MarketConfig, data: Path | None) -> dict[str, Any]:
    return score_checkpoint(checkpoint, load_market(tested_alone(market), checkpoint.schema, data), market.test)
