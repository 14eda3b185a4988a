"""The table of known-answer scores: cells by market and algorithm, as JSON and as a page's table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from agents.known.cells import CellScore
from rl_trader.errors import ConfigError


class Marks(NamedTuple):
    """Lines of a page between which a table is written."""

    begin: str
    end: str


END_OF_SCORES: Final = "<!-- end of scores -->"


def score_marks(algo: str) -> Marks:
    """Return the marks of an algorithm's table: they have the command, without an algorithm for PPO."""
    asked = "" if algo == "ppo" else f" --algo {algo}"
    return Marks(f"<!-- scores of `python -m scripts.known_answers{asked}` -->", END_OF_SCORES)


def summaries(scores: Iterable[CellScore]) -> list[dict[str, Any]]:
    """Return one object for every market, row and algorithm, over its seeds.

    ``mean`` and ``worst`` are percent of the optimum, None where that is 0; ``turnover`` is the mean of the seeds,
    ``worst_turnover`` and ``worst_exposure`` the largest of them (change of exposure by orders of a bar, absolute
    exposure).
    """
    groups: dict[tuple[str, str], list[CellScore]] = {}
    for score in scores:
        groups.setdefault((score.row, score.algo), []).append(score)
    return [_summary(row, algo, group) for (row, algo), group in groups.items()]


def _summary(row: str, algo: str, group: Sequence[CellScore]) -> dict[str, Any]:
    market, _, number = row.partition("-")
    percents = [score.percent for score in group if score.percent is not None]
    turnovers = [score.behaviour.turnover_per_bar for score in group]
    best = group[0].optimum
    return {
        "market": market,
        "row": int(number),
        "algo": algo,
        "optimum": best.growth_per_bar,
        "mean": float(np.mean(percents)) if percents else None,
        "worst": min(percents) if percents else None,
        "turnover": float(np.mean(turnovers)),
        "optimal_turnover": best.turnover_per_bar,
        "worst_turnover": max(turnovers),
        "worst_exposure": max(score.behaviour.mean_exposure for score in group),
        "seeds": len(group),
        "steps": group[0].steps,
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of ``summaries`` as a page shows it."""
    lines = [
        "| market | row | algorithm | optimum a bar | mean | worst seed | turnover | of the optimum | seeds | bars |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        mean, worst = (("-" if row[name] is None else f"{row[name]:.1f} %") for name in ("mean", "worst"))
        lines.append(
            f"| {row['market']} | {row['row']} | {row['algo']} | {row['optimum']:.3e} | {mean} | {worst} |"
            f" {row['turnover']:.4f} | {row['optimal_turnover']:.4f} | {row['seeds']} | {row['steps']:,} |"
        )
    return "\n".join(lines)


def write_into_page(page: Path, table: str, marks: Marks) -> None:
    """Put a table between the two marks of a page.

    Raises:
        ConfigError: If the page cannot be read or written, or has no such marks.
    """
    try:
        text = page.read_text()
        begin, end = marks
        if text.count(begin) != 1 or end not in text.partition(begin)[2]:
            raise ConfigError(f"{page} must have the lines {begin!r} and {end!r} once, in this order; add them")
        before, _, rest = text.partition(begin)
        page.write_text(f"{before}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}")
    except OSError as error:
        raise ConfigError(f"{page} cannot be read and written: {error}; name another page") from error
