"""The curves as one picture."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.benchmark.growth.curves import Point
from agents.benchmark.growth.markets import ORIGINAL_BARS
from agents.training.figures import AGENT, BASELINES, DOTS_PER_INCH, GRID, INK

SIZE: Final = (12.0, 7.5)  # inches
PANELS: Final = ("accounts", "bars", "features", "window", "symbols")
TWO_THREADS: Final = "accounts, 2 threads"
SECOND: Final = BASELINES[1]
COPY: Final = BASELINES[0]
NUM_FEATURES: Final = 24  # of the measured account


def growth_figure(points: Mapping[str, Sequence[Point]]) -> Figure:
    """Return a panel for every size that grows, and one of the memory.

    Args:
        points: By the curve's name.
    """
    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    axes: Any = figure.subplots(2, 3)
    panels = list(axes.flat)
    for panel, name in zip(panels, PANELS, strict=False):
        _draw(panel, name, points)
    _draw_memory(panels[-1], points)
    return figure


def _draw(panel: Axes, name: str, points: Mapping[str, Sequence[Point]]) -> None:
    own = points.get(name)
    if not own:
        panel.set_visible(False)
        return
    sizes = [point.size for point in own]
    panel.plot(sizes, [point.copy.median for point in own], color=COPY, lw=1, ls="--", label="copying observations")
    _draw_steps(panel, own, AGENT, "one thread")
    if name == "accounts":
        _draw_steps(panel, points.get(TWO_THREADS, ()), SECOND, "two threads")
        panel.legend(frameon=False, fontsize=9)
    _style(panel, name, "steps/s")


def _draw_steps(panel: Axes, points: Sequence[Point], colour: str, label: str) -> None:
    sizes = [point.size for point in points]
    panel.plot(sizes, [point.steps.median for point in points], color=colour, marker="o", ms=4, lw=1.5, label=label)
    lowest, highest = [point.steps.minimum for point in points], [point.steps.maximum for point in points]
    panel.fill_between(sizes, lowest, highest, color=colour, alpha=0.15, lw=0)


def _draw_memory(panel: Axes, points: Mapping[str, Sequence[Point]]) -> None:
    if not points.get("bars") or not points.get("features"):
        panel.set_visible(False)
        return
    for name, colour, others in (("bars", AGENT, NUM_FEATURES), ("features", SECOND, ORIGINAL_BARS)):
        own = points[name]
        cells = [point.size * others for point in own]
        panel.plot(cells, [point.mib for point in own], color=colour, marker="o", ms=4, lw=1.5, label=f"{name} grow")
    panel.legend(frameon=False, fontsize=9)
    _style(panel, "bars x features", "MiB of bars and features")


def _style(panel: Axes, name: str, label: str) -> None:
    panel.set_xscale("log", base=10 if name in ("bars", "symbols", "bars x features") else 2)
    panel.set_yscale("log")
    panel.set_title(name, loc="left", color=INK, fontsize=11)
    panel.set_ylabel(label, color=INK, fontsize=9)
    panel.grid(color=GRID, lw=0.8)
    panel.tick_params(labelsize=8)
