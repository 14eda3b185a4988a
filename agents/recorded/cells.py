"""Walk-forwards of the presets on recorded markets, one small result file for each training.

A cell is one seed of one fold. Its file is written when it is done, and what has a file is not played again; a training
without one goes on in its run folder. The files of a fold's baselines and of a market's trials lie beside them.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.config import MarketConfig, TrainConfig
from agents.markets import load_market, under_other_funding
from agents.pool import run_tasks
from agents.presets import BTCUSDT_30M, MAJORS_4H
from agents.run_folder import RunFolder, read_json
from agents.searching.searches import alone_in
from agents.trials import Scope, Trial, configuration_hash, count_trials, mean_sharpes, register
from agents.walking.fold_tests import FoldTest, Tested, baseline_returns, play_fold_test, tested_alone
from agents.walking.walk_forward import Report, WalkForwardConfig, fold_market, make_plan
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.evaluation import assumptions_of
from rl_trader.statistics.sharpe import sharpe_ratio
from rl_trader.stress import stressed_returns
from rl_trader.trading import charged_fees

MARKETS: Final[Mapping[str, TrainConfig]] = {
    "btcusdt-30m": BTCUSDT_30M,
    "ethusdt-30m": replace(BTCUSDT_30M, market=replace(BTCUSDT_30M.market, symbols=("ETHUSDT",))),
    "majors-4h": MAJORS_4H,
}
SEEDS: Final[Mapping[str, int]] = {"ppo": 5, "dqn": 3}
WALK: Final = WalkForwardConfig(folds=3)
RUNS_FOLDER: Final = "real-results"  # below the folder of runs
FIGURES: Final = (
    "total_return", "log_growth", "sharpe", "max_drawdown", "turnover", "num_trades", "exposure", "time_long",
    "time_short", "liquidations", "stops", "fees", "funding",
)  # fmt: skip
RETURN_DIGITS: Final = 6  # of a daily return, behind the point
MONEY_DIGITS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RealResults:
    """What is trained, and where it lies."""

    configs: Mapping[str, TrainConfig]  # by market, as the presets have them
    seeds: Mapping[str, int]  # by algorithm
    steps: Mapping[str, int | None]  # bars of a training by algorithm; None is the preset's own
    results: Path  # folder of the result files
    runs: Path  # folder of runs
    walk: WalkForwardConfig = WALK

    def __post_init__(self) -> None:
        for algo, steps in self.steps.items():
            if steps is not None and steps < 1:
                raise ConfigError(f"--{algo}-steps must be at least 1, was {steps}; give a whole number from 1")

    def config(self, market: str, algo: str) -> TrainConfig:
        """Return what is trained on a market."""
        config = replace(self.configs[market], algo=algo, runs=self.runs / RUNS_FOLDER)  # type: ignore[arg-type]
        steps = self.steps.get(algo)
        if steps is None:
            return config
        learner = replace(config.learner, total_timesteps=steps)
        return replace(config, **{config.section: learner})  # type: ignore[arg-type]  # of its kind


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCell:
    """One seed of one fold."""

    market: str
    fold: int
    test: FoldTest
    facts: Mapping[str, Any]  # what its file says of how it was made; a file that says otherwise is not of this cell
    path: Path  # of its result file


def cells_of(real: RealResults) -> list[RealCell]:
    """Return all cells, by market, algorithm, fold and seed.

    Raises:
        ConfigError: If the folds do not fit into the time.
    """
    return [
        cell
        for market in real.configs
        for algo in real.seeds
        for cell in _cells(real, market, real.config(market, algo))
    ]


def _cells(real: RealResults, market: str, config: TrainConfig) -> list[RealCell]:
    plan = make_plan(config, real.walk)

    def cell(fold: int, seed: int) -> RealCell:
        one = replace(config, seed=seed, market=fold_market(config, plan, fold))
        name = f"{market}-{config.algo}-fold{fold}-seed{seed}"
        test = one.market.test
        # A run of other settings has another folder.
        digest = configuration_hash(one, test=" to ".join(test))[:8]
        facts = {
            "market": market,
            "algo": config.algo,
            "fold": fold,
            "seed": seed,
            "folds": real.walk.folds,
            "seeds": real.seeds[config.algo],
            "configuration": configuration_hash(config, learner="agent"),
            "steps": config.learner.total_timesteps,
            "train": list(one.market.train),
            "validation": list(one.market.validation),
            "test": list(test),
        }
        run = replace(one, name=f"{name}-{digest}")
        return RealCell(
            market=market, fold=fold, test=FoldTest(config=run), facts=facts, path=real.results / f"{name}.json"
        )

    seeds = [config.seed + seed for seed in range(real.seeds[config.algo])]
    return [cell(fold, seed) for fold in range(real.walk.folds) for seed in seeds]


def run_real_results(real: RealResults, report: Report, workers: int = 1) -> None:
    """Train and test whatever has no result file yet, and write the files.

    Args:
        real: What is trained.
        report: Called with a line about every cell that was trained.
        workers: Trainings at the same time; 1 trains in this process.

    Raises:
        RlTraderError: If configuration, data or a folder cannot be used, or a file is of another configuration.
        TrainingInterruptedError: If Ctrl-C was pressed; the same call goes on.
    """
    cells = cells_of(real)
    try:
        real.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{real.results} cannot be made: {error}; choose another folder of --results") from error
    with alone_in(real.runs / RUNS_FOLDER):
        missing = [cell for cell in cells if not _is_written(cell.path, cell.facts)]
        for cell in cells:
            _write_baselines(cell, real.results)
        num_done = len(cells) - len(missing)
        for cell, result in run_tasks(play_real_cell, missing, workers):
            num_done += 1
            report(f"{cell.path.stem}: {result['figures']['total_return']:+.1%} ({num_done} of {len(cells)})")
        for market in real.configs:
            _count_trials(real, market, [cell for cell in cells if cell.market == market])


def _is_written(path: Path, facts: Mapping[str, Any]) -> bool:
    """Return whether a result file is there.

    Raises:
        ConfigError: If it was made in another way.
    """
    if not path.is_file():
        return False
    found = read_json(path)
    different = [name for name, fact in facts.items() if found.get(name) != fact]
    if different:
        raise ConfigError(
            f"{path} was made in another way: its {' and '.join(different)} differ; remove it and its like to train"
            " them anew, give the same options, or --page-only to write the page of what is there"
        )
    return True


def play_real_cell(cell: RealCell) -> dict[str, Any]:
    """Train and test a cell, write its file and return what it holds.

    Raises:
        RlTraderError: If configuration, data or a folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the next call goes on from there.
    """
    tested = play_fold_test(cell.test)
    run = RunFolder.open(cell.test.folder)
    other = tested["other_funding"]
    result = {
        **cell.facts,
        "symbols": list(cell.test.config.market.symbols),
        "interval": cell.test.config.market.interval,
        "chosen_at": run.checkpoint("best").facts["timesteps"],
        "versions": run.about()["versions"],
        "figures": {name: tested[name] for name in FIGURES},
        "random": tested["random"],
        "stresses": {name: stressed_returns(np.array(daily)).to_json() for name, daily in tested["stresses"].items()},
        "daily_returns": _rounded(tested["daily_returns"], RETURN_DIGITS),
        "earned": _rounded(tested["earned"], MONEY_DIGITS),
        "traded": _rounded(tested["traded"], MONEY_DIGITS),
        "other_funding": None if other is None else _rounded(other["daily_returns"], RETURN_DIGITS),
    }
    write_result(cell.path, result)
    return result


def _rounded(values: Sequence[float], digits: int) -> list[float]:
    return [round(value, digits) for value in values]


def write_result(path: Path, data: Mapping[str, Any]) -> None:
    """Write a result file, one line for every name, beside and rename it, so that it is whole at any moment.

    Raises:
        CheckpointError: If it cannot be written.
    """
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in data.items())
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(f"{{\n{lines}\n}}\n")
        os.replace(beside, path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error}; free space and go on") from error


def baselines_path(results: Path, market: str, fold: int) -> Path:
    """Return the file of a fold's baselines."""
    return results / f"{market}-fold{fold}-baselines.json"


def trials_path(results: Path, market: str) -> Path:
    """Return the file that says how many configurations were tried on a market's tests."""
    return results / f"{market}-trials.json"


def _write_baselines(cell: RealCell, results: Path) -> None:
    path = baselines_path(results, cell.market, cell.fold)
    config = cell.test.config
    facts = {name: cell.facts[name] for name in ("market", "fold", "folds", "train", "validation", "test")}
    if _is_written(path, facts):
        return
    recorded = load_market(tested_alone(config.market), config.env.schema, config.data)
    trading = config.env.trading
    other = under_other_funding(config.market, recorded)
    write_result(
        path,
        {
            **facts,
            "symbols": list(config.market.symbols),
            "interval": config.market.interval,
            "taker_fee": {terms.symbol: charged_fees(terms, trading).taker for terms in recorded.terms},
            "assumptions": list(assumptions_of(recorded, trading)),
            "account": {
                "margin_mode": trading.margin_mode,
                "leverage": trading.leverage,
                "max_exposure": trading.max_exposure,
                "stop_loss": trading.stop_loss,
                "half_spread": trading.slippage.half_spread,
            },
            "missing_funding": config.market.assumptions.missing_funding,
            "daily_returns": _plain(config, config.market),
            "other_funding": None if other is None else _plain(config, other),
        },
    )


def _plain(config: TrainConfig, market: MarketConfig) -> dict[str, list[float]]:
    return {name: _rounded(daily, RETURN_DIGITS) for name, daily in baseline_returns(config, market).items()}


def _count_trials(real: RealResults, market: str, cells: Sequence[RealCell]) -> None:
    """Count what was tested on a market, and write count and Sharpe ratios beside the results.

    What is written there already stays counted: a registry may be another one than that of before.
    """
    scope = Scope(
        real.configs[market].market.symbols,
        real.configs[market].market.interval,
        cells[0].facts["test"][0],
        cells[-1].facts["test"][1],
    )
    trials: list[Trial] = []
    for algo in real.seeds:
        own = [read_json(cell.path) for cell in cells if cell.facts["algo"] == algo]
        sharpe = sharpe_ratio(mean_of_seeds(by_fold(own)))
        trial = Trial(
            scope=scope,
            configuration=own[0]["configuration"],
            evaluation=f"{RUNS_FOLDER}/{market}-{algo}",
            seed=own[0]["seed"],
            sharpe=None if sharpe is None else sharpe.ratio,
        )
        trials = register(real.runs, trial)
    path = trials_path(real.results, market)
    tried = read_json(path).get("tried", {}) if path.is_file() else {}
    known = {trial.configuration for trial in trials}
    trials += [Trial(scope, name, "", 0, sharpe) for name, sharpe in tried.items() if name not in known]
    write_result(path, {"market": market, **asdict(count_trials(trials)), "tried": mean_sharpes(trials)})


def by_fold(results: Sequence[Tested]) -> list[list[Tested]]:
    """Return results by fold and seed."""
    folds = sorted({result["fold"] for result in results})
    return [
        sorted((result for result in results if result["fold"] == fold), key=lambda result: int(result["seed"]))
        for fold in folds
    ]


def mean_of_seeds(folds: Sequence[Sequence[Tested]], name: str = "daily_returns") -> NDArray[np.float64]:
    """Return the daily returns (num_days,) of all folds, the seeds averaged."""
    return np.concatenate([np.mean([result[name] for result in seeds], axis=0) for seeds in folds])
