"""The ablation table: what known-answer trainings score with one setting changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from agents.known.cells import Cell, CellScore, cell_config
from agents.known.scores import Marks
from agents.known.variants import SAYS, VARIANTS, find_variant
from rl_trader.errors import ConfigError
from rl_trader.known_answers.rows import find_rows

ASKED: Final = ("K0-1", "K1-2", "K2-1", "K3-4")
"""Nothing to be had; a fee of most of the gain; credit over 8 bars; a band that one-step greed does not find."""
ABLATION: Final = Marks("<!-- ablation of `python -m scripts.ablation` -->", "<!-- end of ablation -->")


def ablation_cells(variants: Sequence[str], rows: Sequence[str], num_seeds: int, steps: int | None) -> list[Cell]:
    """Return the trainings of an ablation, variant by variant; all variants and the rows of ``ASKED`` if none is named.

    Raises:
        ConfigError: If a variant or row is unknown, or has no levels to choose from.
    """
    if num_seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, was {num_seeds}; give a whole number from 1")
    for name in variants:
        find_variant(name)
    cells = [
        Cell(row=row, algo="ppo", seed=seed, steps=steps, variant=variant)
        for variant in (variants or VARIANTS)
        for row in find_rows(list(rows or ASKED))
        for seed in range(num_seeds)
    ]
    for cell in cells:
        cell_config(cell, Path())
    return cells


def ablation_table(cells: Sequence[Cell], scores: Sequence[CellScore]) -> str:
    """Return the table in Markdown: a line for every variant, a column for every row.

    An entry is mean and worst seed in percent of the optimum; where that is to stay flat, the largest mean exposure.
    """
    rows = list(dict.fromkeys(cell.row for cell in cells))
    groups: dict[tuple[str, str], list[CellScore]] = {}
    for cell, score in zip(cells, scores, strict=True):
        groups.setdefault((cell.variant, cell.row), []).append(score)
    lines = [f"| changed | {' | '.join(rows)} |", f"|---|{'--:|' * len(rows)}"]
    for variant in dict.fromkeys(cell.variant for cell in cells):
        entries = [_entry(groups[variant, row]) for row in rows]
        lines.append(f"| {SAYS[variant]} | {' | '.join(entries)} |")
    return "\n".join(lines)


def _entry(scores: Sequence[CellScore]) -> str:
    percents = [score.percent for score in scores if score.percent is not None]
    if not percents:
        return f"exposure {max(score.behaviour.mean_exposure for score in scores):.3f}"
    return f"{np.mean(percents):.1f} / {min(percents):.1f} %"
