"""The result files of real markets, read back: an algorithm on a market, its folds and seeds, and what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.markets import OTHER_FUNDING
from agents.recorded.cells import baselines_path, by_fold, trials_path
from agents.run_folder import read_json
from agents.walking.fold_tests import Tested, break_even_fee_of
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.honesty import Honesty, Trials, judge_returns
from rl_trader.statistics.bootstrap import Interval
from rl_trader.statistics.seeds import seeds_interval


@dataclass(frozen=True, slots=True)
class Group:
    """An algorithm on a market: all seeds of all folds."""

    market: str
    algo: str
    folds: list[list[Tested]]  # by fold and seed
    baselines: Sequence[Mapping[str, Any]]  # the files of the folds
    trials: Trials

    @property
    def num_seeds(self) -> int:
        """Return the number of seeds of every fold."""
        return len(self.folds[0])

    @property
    def steps(self) -> int:
        """Return the bars played in a training."""
        return int(self.folds[0][0]["steps"])

    @property
    def other_funding(self) -> str | None:
        """Return which assumption on funding the folds were tested under too; None where all funding is recorded."""
        if not any(fold["other_funding"] for fold in self.baselines):
            return None
        return OTHER_FUNDING[str(self.baselines[0]["missing_funding"])]

    def interval(self) -> Interval | None:
        """Return the interquartile mean of the log growth a year of all trainings, and its interval."""
        return seeds_interval([np.array([one["figures"]["log_growth"] for one in seeds]) for seeds in self.folds])

    def seed_returns(self, seed: int, series: str = "daily_returns") -> NDArray[np.float64]:
        """Return the daily returns (num_days,) of one seed from fold to fold."""
        return np.concatenate([_returns(seeds[seed], series) for seeds in self.folds])

    def baseline_returns(self, series: str = "daily_returns") -> dict[str, NDArray[np.float64]]:
        """Return the daily returns (num_days,) of every baseline from fold to fold, by name."""
        names = list(self.baselines[0]["daily_returns"])
        return {
            name: np.concatenate([np.array(_returns(fold, series)[name], np.float64) for fold in self.baselines])
            for name in names
        }

    def judged(self, series: str = "daily_returns") -> Honesty:
        """Return what the mean of the seeds allows to conclude.

        Args:
            series: ``daily_returns``, or ``other_funding`` for those under the other assumption.
        """
        own = np.mean([self.seed_returns(seed, series) for seed in range(self.num_seeds)], axis=0)
        fee = break_even_fee_of(self.folds) if series == "daily_returns" else None
        return judge_returns(own, self.baseline_returns(series), self.trials, break_even_fee=fee)

    def random_return(self, seed: int) -> float:
        """Return what the mean of the random agents made that trade as much as a seed does, from fold to fold."""
        means = [1.0 + seeds[seed]["random"]["mean_total_return"] for seeds in self.folds]
        return float(np.prod(means)) - 1.0

    def share_below(self, seed: int) -> float:
        """Return the fraction of these random agents that earned less than the seed, mean of the folds."""
        return float(np.mean([seeds[seed]["random"]["share_below"] for seeds in self.folds]))

    def stressed(self) -> dict[str, float]:
        """Return under every stress the mean of the seeds' total returns from fold to fold."""
        names = [n for n in self.folds[0][0]["stresses"] if all(n in one["stresses"] for one in self._all())]
        return {
            name: float(
                np.mean(
                    [
                        np.prod([1.0 + seeds[seed]["stresses"][name]["total_return"] for seeds in self.folds]) - 1.0
                        for seed in range(self.num_seeds)
                    ]
                )
            )
            for name in names
        }

    def _all(self) -> list[Tested]:
        return [one for seeds in self.folds for one in seeds]


def _returns(found: Mapping[str, Any], series: str) -> Any:  # noqa: ANN401 - a list, or lists by name
    """Return a series of a file; a fold whose funding is all recorded has one alone."""
    return found[series] or found["daily_returns"]


def read_groups(results: Path) -> tuple[list[Group], dict[str, str]]:
    """Return the complete groups of a folder of result files, and how much there is of the others, by name.

    Raises:
        CheckpointError: If a file is damaged, or one of a complete group is missing.
        ConfigError: If files of one group were made in different ways.
    """
    cells: dict[tuple[str, str], list[Tested]] = {}
    for path in sorted(results.glob("*.json")):
        found = read_json(path)
        if "algo" in found:
            cells.setdefault((found["market"], found["algo"]), []).append(found)
    groups, incomplete = [], {}
    for (market, algo), own in cells.items():
        _check_alike(own, f"{market} {algo}")
        wanted = own[0]["folds"] * own[0]["seeds"]
        if len(own) < wanted or not trials_path(results, market).is_file():  # trials are counted last
            incomplete[f"{market} {algo}"] = f"{len(own)} of {wanted}"
            continue
        baselines = [read_json(baselines_path(results, market, fold)) for fold in range(own[0]["folds"])]
        groups.append(Group(market, algo, by_fold(own), baselines, _trials(results, market)))
    groups.sort(key=lambda group: (group.market, -len(group.folds[0]), group.algo))
    return groups, incomplete


def _check_alike(own: Sequence[Tested], name: str) -> None:
    for fact in ("configuration", "folds", "seeds", "steps"):
        if len({str(one[fact]) for one in own}) > 1:
            raise ConfigError(
                f"the result files of {name} differ in {fact}: they were not made by one command; remove those that"
                " are out of date and train them anew"
            )


def _trials(results: Path, market: str) -> Trials:
    found = read_json(trials_path(results, market))
    try:
        return Trials(int(found["num"]), float(found["deviation"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{trials_path(results, market)} is damaged: {error}; repeat the command") from error
