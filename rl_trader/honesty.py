"""What an evaluation's length allows to conclude: differences with intervals, Sharpe ratio with error, one verdict.

Returns are those of whole UTC days. A mean daily difference times 365 is called a difference a year.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY
from rl_trader.evaluation import Evaluation
from rl_trader.metrics import DAYS_PER_YEAR, Portfolio, portfolio
from rl_trader.statistics.bootstrap import MIN_DAYS, Interval, mean_interval, ratio_interval
from rl_trader.statistics.overfitting import Overfitting
from rl_trader.statistics.sharpe import CONFIDENCE, SharpeRatio, sharpe_ratio
from rl_trader.stress import Stressed, stressed_json

FLAT: Final = "flat"
BUY_AND_HOLD: Final = "buy_and_hold"


@dataclass(frozen=True, slots=True)
class Trials:
    """How many configurations were tried on the same market and period, seeds not counted."""

    num: int = 1
    deviation: float = 0.0  # standard deviation of their daily Sharpe ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class Honesty:
    """The figures that tell skill from luck."""

    daily_returns: NDArray[np.float64]  # (num_days,) the agent's, of whole UTC days
    differences: dict[str, Interval]  # agent less baseline a year, by baseline
    sharpe: SharpeRatio | None  # per day; None where the balance did not move
    trials: Trials
    break_even_fee: Interval | None  # fraction of the notional; None where nothing was traded
    stresses: Mapping[str, Stressed]
    overfitting: Overfitting | None = None  # of the configurations tried; None where they are too few

    @property
    def num_days(self) -> int:
        """Return the number of whole UTC days."""
        return len(self.daily_returns)

    @property
    def probability(self) -> float | None:
        """Return the probabilistic Sharpe ratio: how sure the true ratio is above 0."""
        return None if self.sharpe is None else self.sharpe.probability_above(0.0)

    @property
    def deflated(self) -> float | None:
        """Return how sure the true ratio is above what the best of the trials would show without skill."""
        return None if self.sharpe is None else self.sharpe.deflated(self.trials.num, self.trials.deviation)

    @property
    def needed_days(self) -> float | None:
        """Return how many days such a Sharpe ratio needs to be told from 0; None where it is not positive."""
        return None if self.sharpe is None else self.sharpe.min_length()

    @property
    def better_than(self) -> list[str]:
        """Return the baselines that it earned more than by more than chance."""
        return [name for name, difference in self.differences.items() if difference.low > 0.0]

    @property
    def worse_than(self) -> list[str]:
        """Return the baselines that earned more than it by more than chance."""
        return [name for name, difference in self.differences.items() if difference.high < 0.0]

    def to_json(self) -> dict[str, Any]:
        """Return the figures; Sharpe ratios are annualised, the verdict is in words."""
        return {
            "num_days": self.num_days,
            "verdict": verdict(self),
            "differences": {name: difference.to_json() for name, difference in self.differences.items()},
            "better_than": self.better_than,
            "worse_than": self.worse_than,
            "sharpe": _sharpe_json(self.sharpe),
            "probabilistic_sharpe": self.probability,
            "deflated_sharpe": self.deflated,
            "num_trials": self.trials.num,
            "needed_days": self.needed_days,
            "break_even_fee": None if self.break_even_fee is None else self.break_even_fee.to_json(),
            "stresses": stressed_json(self.stresses),
            "overfitting": None if self.overfitting is None else self.overfitting.to_json(),
            "daily_returns": self.daily_returns.tolist(),
        }


def _sharpe_json(sharpe: SharpeRatio | None) -> dict[str, float] | None:
    if sharpe is None:
        return None
    to_year = math.sqrt(DAYS_PER_YEAR)
    return {
        "ratio": sharpe.ratio * to_year,
        "standard_error": sharpe.standard_error * to_year,
        "skew": sharpe.skew,
        "kurtosis": sharpe.kurtosis,
    }


def judge(
    evaluation: Evaluation, trials: Trials, stresses: Mapping[str, Stressed], overfitting: Overfitting | None = None
) -> Honesty:
    """Return what an evaluation's length allows to conclude.

    Args:
        evaluation: Agent and baselines.
        trials: Configurations that were tried on the same market and period, this one among them.
        stresses: The agent under other costs.
        overfitting: Of these configurations.
    """
    total = portfolio(evaluation.agent)
    others = {name: portfolio(results).daily_returns() for name, results in evaluation.baselines.items()}
    return judge_returns(
        total.daily_returns(),
        others,
        trials,
        stresses=stresses,
        break_even_fee=break_even_fee(*daily_trade(total)),
        overfitting=overfitting,
    )


def judge_returns(
    own: NDArray[np.float64],
    others: Mapping[str, NDArray[np.float64]],
    trials: Trials,
    *,
    stresses: Mapping[str, Stressed] | None = None,
    break_even_fee: Interval | None = None,
    overfitting: Overfitting | None = None,
) -> Honesty:
    """Return what daily returns allow to conclude.

    Args:
        own: (num_days,) of the agent.
        others: Of the baselines on the same days, by name.
        trials: Configurations that were tried on the same market and period, this one among them.
        stresses: The agent under other costs.
        break_even_fee: Fraction of the notional.
        overfitting: Of the configurations that were tried.
    """
    is_enough = len(own) >= MIN_DAYS
    differences = {
        name: mean_interval(own - other).scaled(DAYS_PER_YEAR) for name, other in others.items() if is_enough
    }
    return Honesty(
        daily_returns=own,
        differences=differences,
        sharpe=sharpe_ratio(own) if is_enough else None,
        trials=trials,
        break_even_fee=break_even_fee,
        stresses=stresses or {},
        overfitting=overfitting,
    )


def daily_trade(total: Portfolio) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what every UTC day earned before fees and what it traded, each (num_days,) USDT, parts of days too."""
    day = (total.close_time - 1) // MS_PER_DAY
    days = (day - day[0]).astype(np.int64)
    without_fees = np.sum([flow for name, flow in total.flows.items() if name != "fees"], axis=0)
    earned = np.bincount(days, without_fees).astype(np.float64)
    return earned, np.bincount(days, total.traded_notional).astype(np.float64)


def break_even_fee(earned: NDArray[np.float64], traded: NDArray[np.float64]) -> Interval | None:
    """Return the fee at which trades would have earned 0, a fraction of the notional; None where too little is known.

    Args:
        earned: (num_days,) before fees.
        traded: (num_days,) notional.
    """
    if len(traded) < MIN_DAYS or not traded.any():
        return None
    return ratio_interval(earned, traded)


# ---- In words


def spoken(name: str) -> str:
    """Return what a sentence calls a baseline."""
    return {FLAT: "staying flat"}.get(name, name.replace("_", " "))


FUNDING_WORDS: Final = {"base": "0.01% per 8 hours", "zero": "no funding"}  # by assumption


def verdict_elsewhere(assumed: str, honesty: Honesty) -> str:
    """Return the verdict under the other assumption on funding, and which that is."""
    return f"With {FUNDING_WORDS[assumed]} where funding is not recorded: {verdict(honesty)}"


def verdict(honesty: Honesty) -> str:
    """Return in plain sentences what can be said of the agent at this length."""
    if not honesty.differences:
        return f"Nothing can be said: {honesty.num_days} whole days are too few, at least {MIN_DAYS} are needed."
    first = BUY_AND_HOLD if BUY_AND_HOLD in honesty.differences else next(iter(honesty.differences))
    sentences = [_against(honesty, first)]
    if first != FLAT and FLAT in honesty.differences:
        sentences.append(_against_flat(honesty.differences[FLAT]))
    if honesty.sharpe is None:
        return f"{sentences[0]} Its balance did not move."
    return " ".join([*sentences, *_on_sharpe_ratio(honesty)])


def _against(honesty: Honesty, name: str) -> str:
    difference = honesty.differences[name]
    figures = f"({_percent(difference.estimate)} a year, between {_percent(difference.low)} and"
    figures += f" {_percent(difference.high)})"
    if difference.low == difference.high == 0.0:
        return f"It did exactly as {spoken(name)} did."
    if not difference.excludes_zero:
        return f"Indistinguishable from {spoken(name)} at this length {figures}."
    than = "better" if difference.low > 0.0 else "worse"
    return f"It did {than} than {spoken(name)} by more than chance {figures}."


def _against_flat(difference: Interval) -> str:
    if not difference.excludes_zero:
        return "What it earned cannot be told from nothing."
    return f"It {'earned' if difference.low > 0.0 else 'lost'} money by more than chance."


def _on_sharpe_ratio(honesty: Honesty) -> list[str]:
    deflated, needed, num = honesty.deflated, honesty.needed_days, honesty.trials.num
    if deflated is None or needed is None:
        return ["Its Sharpe ratio is not positive."]
    tried = "one configuration was tried" if num == 1 else f"{num} configurations were tried"
    if deflated > CONFIDENCE:
        luck = f"Its Sharpe ratio is above what luck shows where {tried} (confidence {deflated:.0%})."
    else:
        luck = f"Its Sharpe ratio may be luck where {tried} (confidence {deflated:.0%} that it is not)."
    return [luck, f"Such a ratio needs {needed:,.0f} days to be told from 0; these are {honesty.num_days:,}."]


def _percent(fraction: float) -> str:
    return f"{fraction:+.0%}".replace("-", "\u2212")
