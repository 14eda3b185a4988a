"""A run's checkpoint on a period that the run did not train on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents.config import MarketConfig, TrainConfig
from agents.known.optimum import OptimumShare, optimum_share
from agents.markets import load_market, parse_period, under_other_funding
from agents.run_folder import RunFolder
from agents.trials import Scope, Trial, checkpoint_hash, count_trials, overfitting_of, register
from rl_trader.backtest import income_statement
from rl_trader.checkpoint import Checkpoint
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.evaluation import Evaluation, evaluate
from rl_trader.extensions import import_object
from rl_trader.honesty import Honesty, judge
from rl_trader.market import Period
from rl_trader.metrics import portfolio
from rl_trader.observed_market import observe_market
from rl_trader.policy import AnyPolicy, Rule
from rl_trader.report import write_evaluation
from rl_trader.statistics.sharpe import sharpe_ratio
from rl_trader.stress import stress

INCOME_FILE: Final = "income.parquet"
NAMED_PERIODS: Final = ("validation", "test")


@dataclass(frozen=True, slots=True)
class RunEvaluation:
    """An evaluation of a run, what may be concluded from it, and the folder that it was written into."""

    evaluation: Evaluation
    honesty: Honesty
    folder: Path
    income: Path | None  # the file of every booking, where it was asked for
    share: OptimumShare | None  # of the embedded market's optimum


@dataclass(frozen=True, slots=True)
class Others:
    """What a user wants to see beside the agent, by import path."""

    rules: Mapping[str, Rule]
    policies: Mapping[str, AnyPolicy]


def evaluate_run(
    path: Path,
    period: str = "test",
    *,
    data: Path | None = None,
    symbol: str | None = None,
    which: str = "best",
    num_random: int = 200,
    rules: Sequence[str] = (),
    policies: Sequence[str] = (),
    with_income: bool = False,
) -> list[RunEvaluation]:
    """Evaluate a run's checkpoint and write metrics, equity and report into ``evaluation/`` of its folder.

    Where the run assumes funding rates that are not recorded, both assumptions are evaluated: the run's own first.

    Args:
        path: The run's folder.
        period: ``validation``, ``test``, or two dates as ``2025-01-01:2025-04-01``.
        data: Folder of market data; None is the run's.
        symbol: One of the run's symbols; None is all of them.
        which: The ``best`` or the ``last`` checkpoint.
        num_random: Random agents beside it.
        rules: Import paths of further baselines of the form ``policy.Rule``.
        policies: Import paths of further baselines of the form ``policy.Policy`` or ``policy.RecurrentPolicy``.
        with_income: Write every booking of the agent's account into ``income.parquet`` too.

    Raises:
        RlTraderError: If run, checkpoint, data or period cannot be used.
    """
    if num_random < 0:
        raise ConfigError(f"the number of random agents must not be negative, was {num_random}; give 0 for none")
    run = RunFolder.open(path)
    config = run.config()
    checkpoint = run.checkpoint(which)
    market = _evaluated_market(config, period, symbol)
    others = Others(
        {path: import_object(path, "rule") for path in rules},
        {path: import_object(path, "policy") for path in policies},
    )

    def evaluated(market: MarketConfig, name: str) -> RunEvaluation:
        return _evaluate(run, checkpoint, market, name, data or config.data, num_random, others, which, with_income)

    name = _folder_name(period, symbol, which)
    results = [evaluated(market, name)]
    other = under_other_funding(market, results[0].evaluation.market)
    if other is not None:
        results.append(evaluated(other, f"{name}-funding-{other.assumptions.missing_funding}"))
    return results


def _folder_name(period: str, symbol: str | None, which: str) -> str:
    name = period.replace(":", "_to_")
    parts = [name, symbol or "", which if which != "best" else ""]
    return "-".join(part for part in parts if part)


def _evaluated_market(config: TrainConfig, period: str, symbol: str | None) -> MarketConfig:
    """Return the run's market with the evaluated period as its test period."""
    market = config.market
    if symbol is not None:
        if symbol not in market.symbols:
            raise ConfigError(f"the run has no symbol {symbol!r}; choose from {', '.join(market.symbols)}")
        market = replace(market, symbols=(symbol,))
    if period in NAMED_PERIODS:
        return replace(market, test=getattr(market, period))
    dates = period.split(":")
    if len(dates) != 2:  # noqa: PLR2004
        raise ConfigError(
            f"unknown period {period!r}; choose validation or test, or give two dates as 2025-01-01:2025-04-01"
        )
    asked, trained = parse_period((dates[0], dates[1])), parse_period(market.train)
    if _overlap(asked, trained):
        raise ConfigError(f"the run was trained on {trained}, which overlaps {asked}; choose a period outside of it")
    return replace(market, test=(dates[0], dates[1]))


def _overlap(first: Period, second: Period) -> bool:
    assert first.since is not None
    assert first.until is not None
    assert second.since is not None
    assert second.until is not None
    return first.since < second.until and second.since < first.until


def _evaluate(
    run: RunFolder,
    checkpoint: Checkpoint,
    market_config: MarketConfig,
    name: str,
    data: Path | None,
    num_random: int,
    others: Others,
    which: str,
    with_income: bool,
) -> RunEvaluation:
    alone = replace(market_config, train=market_config.test, validation=market_config.test)
    market = load_market(alone, checkpoint.schema, data)
    observed = observe_market(market, checkpoint.schema, scaling=checkpoint.scaling)
    config = run.config()
    facts = {
        "run": run.name,
        "algorithm": str(checkpoint.facts.get("algorithm", config.algo)),
        "seed": str(config.seed),
        "checkpoint": which,
        "bars trained": f"{checkpoint.facts['timesteps']:,}",
        "trained on": " to ".join(config.market.train),
        "checkpoint chosen on": " to ".join(config.market.validation),
    }
    evaluation = evaluate(
        run.name,
        checkpoint.policy,
        observed,
        checkpoint.env.trading,
        parse_period(market_config.test),
        num_random=num_random,
        facts=facts,
        rules=others.rules,
        policies=others.policies,
    )
    folder = run.path / "evaluation" / name
    stresses = stress(checkpoint.policy, evaluation.agent, observed, checkpoint.env.trading, evaluation.period)
    runs, daily_returns = run.path.parent, portfolio(evaluation.agent).daily_returns()
    trial = _trial(run, checkpoint, market_config, daily_returns, folder, which)
    trials = register(runs, trial)
    overfitting = overfitting_of(runs, trials, {trial.evaluation: daily_returns})
    honesty = judge(evaluation, count_trials(trials), stresses, overfitting)
    income = folder / INCOME_FILE if with_income else None
    try:
        write_evaluation(folder, evaluation, honesty)
        if income is not None:
            played = (observed, checkpoint.env.trading, evaluation.period)
            statements = [income_statement(result, *played) for result in evaluation.agent]
            pd.concat(statements).to_parquet(income, index=False)
    except OSError as error:
        raise CheckpointError(f"the evaluation cannot be written into {folder}: {error}; free space") from error
    return RunEvaluation(evaluation, honesty, folder, income, optimum_share(checkpoint))


def _trial(
    run: RunFolder,
    checkpoint: Checkpoint,
    market: MarketConfig,
    daily_returns: NDArray[np.float64],
    folder: Path,
    which: str,
) -> Trial:
    """Return what this look at the period counts as; other assumptions on its funding are the same look."""
    config = run.config()
    sharpe = sharpe_ratio(daily_returns)
    return Trial(
        scope=Scope(market.symbols, market.interval, *market.test),
        configuration=checkpoint_hash(config, which, checkpoint.facts),
        evaluation=str(folder.relative_to(run.path.parent)),
        seed=config.seed,
        sharpe=None if sharpe is None else sharpe.ratio,
    )
