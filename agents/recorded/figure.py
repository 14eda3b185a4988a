"""The picture of a market's walk-forwards: every seed a thin line, their interquartile mean a thick one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from agents.recorded.groups import Group
from agents.training.figures import AGENT, BASELINES, DOTS_PER_INCH, INK, LEGEND, style_axes
from rl_trader.bars import MS_PER_DAY
from rl_trader.klines import parse_date
from rl_trader.statistics.seeds import paths_interval

WIDTH, HEIGHT = 10.0, 3.4  # inches of a panel
LEAST_RATIO: Final = 1e-9  # of a day's balance to the day before, where nothing is left
MANY_DECADES: Final = 4.0  # highest over lowest growth from which on an axis is marked by decades


def growth_figure(groups: Sequence[Group]) -> Figure:
    """Return the growth of 1 for every algorithm of one market, one panel below the other.

    Args:
        groups: Of one market.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT * len(groups)), dpi=DOTS_PER_INCH, layout="constrained")
    panels: Any = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    for panel, group in zip(panels, groups, strict=True):
        _draw(panel, group)
        style_axes(panel)
    return figure


def _draw(panel: Axes, group: Group) -> None:
    times = np.concatenate([_days(fold) for fold in group.baselines])
    for i, (name, daily) in enumerate(group.baseline_returns().items()):
        path = np.exp(np.cumsum(_logs(daily)))
        colour = BASELINES[i % len(BASELINES)]
        panel.plot(times, path, color=colour, linewidth=1.0, linestyle=":", label=name.replace("_", " "))
    logs = [_logs(np.array([one["daily_returns"] for one in seeds], np.float64)) for seeds in group.folds]
    for number, path in enumerate(np.exp(np.cumsum(np.concatenate(logs, axis=1), axis=1))):
        panel.plot(times, path, color=AGENT, linewidth=0.7, alpha=0.6, label="a seed" if number == 0 else None)
    middle, low, high = (np.exp(path) for path in paths_interval(logs))
    panel.plot(times, middle, color=AGENT, linewidth=2.4, label="interquartile mean", zorder=5)
    panel.fill_between(times, low, high, color=AGENT, alpha=0.12, linewidth=0.0, label="its 95% interval")
    for fold in group.baselines[1:]:
        panel.axvline(_utc(parse_date(fold["test"][0])), color=INK, linewidth=0.6, alpha=0.5)
    panel.set_yscale("log")
    low_end, high_end = panel.get_ylim()
    is_narrow = high_end < MANY_DECADES * low_end
    panel.yaxis.set_major_locator(MaxNLocator(6) if is_narrow else LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_ylabel("growth of 1")
    panel.set_title(f"{group.market}, {group.algo.upper()}", loc="left", color=INK, fontsize=11)
    panel.legend(**LEGEND)


def _logs(daily: NDArray[np.float64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(1.0 + daily, LEAST_RATIO))
    return logs


def _days(fold: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an array of times
    """Return the ends of the days of a fold's test; a first day that is not whole has no return."""
    until = parse_date(fold["test"][1])
    num = len(fold["daily_returns"]["flat"])
    return _utc(until - MS_PER_DAY * np.arange(num - 1, -1, -1))


def _utc(times_ms: Any) -> Any:  # noqa: ANN401 - a number or an array
    return np.asarray(times_ms, np.int64).astype("datetime64[ms]")
