"""The page of a walk-forward: every seed as a thin line, the interquartile mean with its interval, the baselines."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from rl_trader.bars import MS_PER_DAY
from rl_trader.errors import CheckpointError
from rl_trader.honesty import Honesty, verdict, verdict_elsewhere
from rl_trader.klines import parse_date
from rl_trader.report.figures import AGENT, BASELINE_COLOURS, GRID, INK, NEUTRAL, label
from rl_trader.report.judgement import difference_figure, differences_words, sharpe_table, stress_table
from rl_trader.report.style import STYLE
from rl_trader.report.writing import figure_html
from rl_trader.statistics.seeds import paths_interval

REPORT_FILE: Final = "report.html"
LEAST_RATIO: Final = 1e-9  # of a day's balance to the day before, where nothing is left
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$name</title><style>$style</style><script>$plotly</script></head>
<body><header><h1>$name</h1><p class="headline">$headline</p></header><main>
<p class="luck"><strong>$verdict</strong> This is a replay of the past, and no promise of profit.$elsewhere</p>
<section><h2>Every seed, on days that its training never saw</h2>
<p>Thin lines are seeds; the thick one is their interquartile mean with its 95% interval (seeds resampled within their
fold). Every fold is trained anew; lines are chained from test to test.</p>$growth</section>
<section><h2>Mean of the seeds against the baselines</h2>$words$differences$table</section>
$stresses</main></body></html>
"""
_STRESSES: Final = """<section><h2>At other costs</h2>
<p>Mean of the seeds over all folds, from daily returns. Other fees, slippage, funding and a delay are asked of the
decisions that were made; in the mirror the agents decide anew.</p>"""


def write_walk_forward(
    folder: Path,
    name: str,
    daily: Sequence[NDArray[np.float64]],
    baselines: Mapping[str, Sequence[NDArray[np.float64]]],
    tests: Sequence[Sequence[str]],
    honesty: Honesty,
    other_funding: tuple[str, Honesty] | None = None,
) -> Path:
    """Write the page of a walk-forward and return its path.

    Args:
        folder: Of the walk-forward.
        name: Of the walk-forward.
        daily: One array (num_seeds, num_days) of daily returns a fold.
        baselines: Daily returns (num_days,) of every fold, by name.
        tests: First day and the day after the last of every fold's test.
        honesty: Of the mean of the seeds.
        other_funding: The same under the other assumption on funding, by its name; None where all is recorded.

    Raises:
        CheckpointError: If it cannot be written.
    """
    page = Template(_PAGE).substitute(
        name=escape(name),
        style=STYLE,
        plotly=get_plotlyjs(),
        headline=escape(f"{len(tests)} folds, {len(daily[0])} seeds, tested from {tests[0][0]} to {tests[-1][1]}"),
        verdict=escape(verdict(honesty)),
        elsewhere="" if other_funding is None else f"<br>{escape(verdict_elsewhere(*other_funding))}",
        growth=figure_html("growth", growth_figure(daily, baselines, tests)),
        words=differences_words(),
        differences=figure_html("differences", difference_figure(honesty)) if honesty.differences else "",
        table=sharpe_table(honesty),
        stresses=_STRESSES + stress_table(honesty) + "</section>" if honesty.stresses else "",
    )
    path = folder / REPORT_FILE
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"the report {path} cannot be written: {error}; free space") from error
    return path


def growth_figure(
    daily: Sequence[NDArray[np.float64]],
    baselines: Mapping[str, Sequence[NDArray[np.float64]]],
    tests: Sequence[Sequence[str]],
) -> go.Figure:
    """Return the growth of every seed, of their interquartile mean and of the baselines, on a logarithmic axis."""
    times = np.concatenate(
        [
            parse_date(dates[0]) + MS_PER_DAY * np.arange(1, fold.shape[1] + 1)
            for fold, dates in zip(daily, tests, strict=True)
        ]
    ).astype(np.float64)
    logs = [_log_returns(fold) for fold in daily]
    middle, low, high = (np.exp(path) for path in paths_interval(logs))
    figure = go.Figure()
    for i, (name, folds) in enumerate(baselines.items()):
        growth = np.exp(np.cumsum(_log_returns(np.concatenate(list(folds)))))
        colour = BASELINE_COLOURS[i % len(BASELINE_COLOURS)]
        figure.add_trace(_line(times, growth, label(name), {"color": colour, "width": 1, "dash": "dot"}))
    for seed, path in enumerate(np.exp(np.cumsum(np.concatenate(logs, axis=1), axis=1))):
        line = {"color": AGENT, "width": 0.8}
        figure.add_trace(_line(times, path, f"seed {seed}", line).update(opacity=0.45, showlegend=False))
    edge = {"color": AGENT, "width": 0}
    figure.add_trace(_line(times, high, "high", edge).update(showlegend=False, hoverinfo="skip"))
    band = {"showlegend": False, "hoverinfo": "skip", "fill": "tonexty", "fillcolor": "rgba(11, 95, 255, 0.12)"}
    figure.add_trace(_line(times, low, "low", edge).update(**band))
    figure.add_trace(_line(times, middle, "Interquartile mean", {"color": AGENT, "width": 3}))
    figure.update_xaxes(type="date", gridcolor=GRID, linecolor=NEUTRAL)
    figure.update_yaxes(title_text="Growth of 1", type="log", gridcolor=GRID)
    return figure.update_layout(
        template="none",
        height=520,
        margin={"l": 70, "r": 16, "t": 16, "b": 50},
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "color": INK},
        legend={"orientation": "h", "y": -0.1, "yanchor": "top", "x": 0},
    )


def _log_returns(daily: NDArray[np.float64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(1.0 + daily, LEAST_RATIO))
    return logs


def _line(times: NDArray[np.float64], growth: NDArray[np.float64], name: str, line: dict[str, Any]) -> go.Scatter:
    return go.Scatter(x=times, y=growth.astype(np.float32), mode="lines", name=name, line=line)
