"""Do the verdicts find skill in agents that were trained where there is none to be had?

The market is K0, a driftless price, on which no policy earns anything and every trade costs. Each agent is trained with
a seed of its own and judged on bars of its own. That it earns more than a baseline whose expectation is not below 0,
that its Sharpe ratio is above luck, or that its decisions at no cost earn or lose, is a false positive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from agents.known.cells import Cell, play_cells
from agents.run_folder import RunFolder
from rl_trader.backtest import CostFactors, backtest_costs
from rl_trader.checkpoint import Checkpoint
from rl_trader.errors import ConfigError
from rl_trader.evaluation import evaluate
from rl_trader.honesty import BUY_AND_HOLD, FLAT, Trials, judge
from rl_trader.known_answers.rows import ROWS
from rl_trader.market import Period
from rl_trader.metrics import portfolio
from rl_trader.observed_market import observe_market
from rl_trader.statistics.bootstrap import LEVEL, mean_interval
from rl_trader.statistics.calibration import Rate, counted_rate
from rl_trader.statistics.sharpe import CONFIDENCE

ROW: Final = "K0-1"
FIRST_SEED: Final = 30_000  # of the bars that agents are judged on
FREE: Final = "free"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verdict says of an agent, 1 where it says so and 0 where not; all of it is wrong on K0."""

    better_than_flat: float
    better_than_hold: float
    above_luck: float
    told_from_nothing: float  # at no cost, in either direction
    turnover: float  # a day, which says whether there was anything to be judged


def trained_rates(num_agents: int, steps: int, runs: Path, report: Report, workers: int = 1) -> list[Rate]:
    """Train agents on K0 and return how often their verdicts are wrong.

    Args:
        num_agents: Number of agents, each with a seed of its own.
        steps: Bars of a training.
        runs: Folder of their runs; what is trained there is not trained again.
        report: Called with a line about every agent.
        workers: Trainings at the same time.

    Raises:
        RlTraderError: If a folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the same call goes on.
    """
    if num_agents < 1 or steps < 1:
        raise ConfigError(
            f"the trained agents and their steps must be at least 1, were {num_agents} and {steps}; give whole numbers"
        )
    cells = [Cell(row=ROW, algo="ppo", seed=seed, steps=steps) for seed in range(num_agents)]
    claims = []
    for score in play_cells(cells, runs, workers):
        cell = cells[score.seed]
        claims.append(claims_of(RunFolder.open(runs / cell.name).checkpoint("last"), FIRST_SEED + cell.seed))
        report(f"{cell.name}: turnover {claims[-1].turnover:.2f} a day ({len(claims)} of {num_agents})")
    num_trading = sum(one.turnover > 0.0 for one in claims)

    def rate(name: str, nominal: float, values: list[float]) -> Rate:
        return counted_rate(f"an agent trained on K0 {name}", nominal, np.array(values))

    miss = 1.0 - LEVEL
    return [
        rate("is told to be better than staying flat", miss / 2.0, [one.better_than_flat for one in claims]),
        rate("is told to be better than buy and hold", miss / 2.0, [one.better_than_hold for one in claims]),
        rate("has a Sharpe ratio above luck", 1.0 - CONFIDENCE, [one.above_luck for one in claims]),
        rate("is told from being flat at no cost", miss, [one.told_from_nothing for one in claims]),
        rate("trades at all", 1.0, [float(n < num_trading) for n in range(num_agents)]),
    ]


def claims_of(checkpoint: Checkpoint, seed: int) -> Claims:
    """Return what the verdict says of an agent on one stretch of K0.

    Args:
        checkpoint: The agent.
        seed: Of the bars.
    """
    row, trading, period = ROWS[ROW], checkpoint.env.trading, Period()
    market = row.series(row.stretch_bars, seed, ROW).market
    observed = observe_market(market, checkpoint.schema, scaling=checkpoint.scaling)
    found = evaluate("agent", checkpoint.policy, observed, trading, period, num_random=0)
    honesty = judge(found, Trials(), {})
    free = backtest_costs(found.agent, {FREE: CostFactors(fee=0.0, slippage=0.0)}, observed, trading, period)
    return Claims(
        better_than_flat=float(FLAT in honesty.better_than),
        better_than_hold=float(BUY_AND_HOLD in honesty.better_than),
        above_luck=float((honesty.deflated or 0.0) > CONFIDENCE),
        told_from_nothing=float(mean_interval(portfolio(free[FREE]).daily_returns()).excludes_zero),
        turnover=found.metrics.turnover,
    )
