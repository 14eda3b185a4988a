"""Pictures of an evaluation for TensorBoard, drawn without pyplot and its global state."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from rl_trader.backtest import BacktestResult
from rl_trader.market import MarketData
from rl_trader.metrics import Portfolio, portfolio

SIZE: Final = (10.0, 8.0)  # inches
DOTS_PER_INCH: Final = 100
MAX_POINTS: Final = 2_000  # of a line, about two a pixel
MAX_STRETCHES: Final = 1_000  # of the position, about one a pixel
INK: Final = "#1f2933"
GRID: Final = "#e6eaf0"
AGENT: Final = "#0b5fff"
BASELINES: Final = ("#9aa5b4", "#e08a00", "#b8527f", "#2a9d8f", "#7f9c3a", "#7d5fb2", "#6b4f3a")

LONG: Final = "#8fd3b6"
SHORT: Final = "#ee9aa6"
POSITIONS: Final = LinearSegmentedColormap.from_list("positions", [SHORT, "white", LONG])
LEGEND: Final[dict[str, Any]] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": 9}


@dataclass(frozen=True, slots=True)
class Curve:
    """A balance at a few of its closes, as a line is drawn."""

    times: NDArray[np.datetime64]  # (num_points,) UTC
    margin_balance: NDArray[np.float64]  # (num_points,) USDT


def curve(total: Portfolio) -> Curve:
    """Return the balance from the begin of the period on, at evenly spaced closes."""
    rows = _thinned(len(total.close_time))
    times = np.concatenate([[total.close_time[0] - total.interval_ms], total.close_time[rows]])
    return Curve(_utc(times), np.concatenate([[total.initial_balance], total.margin_balance[rows]]))


def evaluation_figure(
    title: str, results: Sequence[BacktestResult], market: MarketData, baselines: Mapping[str, Curve]
) -> Figure:
    """Return the balance beside the baselines', the drawdown, and the position over the price.

    Args:
        title: Of the figure.
        results: One a symbol.
        market: Where the bars are.
        baselines: By name.
    """
    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    axes: Any = figure.subplots(3, 1, sharex=True, height_ratios=(5, 2, 4))
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12)
    total = portfolio(results)
    _draw_balances(axes[0], total, baselines)
    _draw_drawdown(axes[1], total)
    if len(results) == 1:
        _draw_price(axes[2], results[0], market)
    else:
        _draw_exposures(axes[2], results)
    for panel in axes:
        style_axes(panel)
    return figure


def picture(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    file = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(file)
    return file.getvalue()


def _draw_balances(panel: Axes, total: Portfolio, baselines: Mapping[str, Curve]) -> None:
    agent = curve(total)
    panel.plot(agent.times, agent.margin_balance, color=AGENT, linewidth=2.2, label="agent", zorder=5)
    for i, (name, line) in enumerate(baselines.items()):
        colour = BASELINES[i % len(BASELINES)]
        panel.plot(line.times, line.margin_balance, color=colour, linewidth=1.0, label=name.replace("_", " "))
    panel.set_ylabel("margin balance, USDT")
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panel.legend(**LEGEND)


def _draw_drawdown(panel: Axes, total: Portfolio) -> None:
    rows = _thinned(len(total.close_time))
    panel.fill_between(_utc(total.close_time[rows]), -total.drawdown[rows], 0.0, color=AGENT, alpha=0.3, linewidth=0.0)
    panel.set_ylabel("drawdown")
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _draw_price(panel: Axes, result: BacktestResult, market: MarketData) -> None:
    """Draw the price over the position that was held."""
    edges, bands = sampled_exposures([result])
    panel.pcolormesh(
        _utc(edges),
        [0.0, 1.0],
        bands,
        cmap=POSITIONS,
        norm=_colour_range(bands),
        transform=panel.get_xaxis_transform(),  # in axes' heights: from the bottom to the top
    )
    price = market.bars["close"][result.outcomes["bar"]]
    rows = _thinned(len(price))
    panel.plot(_utc(result.close_time[rows]), price[rows], color=INK, linewidth=0.9)
    panel.set_ylim(*_limits(price))
    panel.set_ylabel(f"{result.symbol}, USDT")
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}" if price.min() >= 100.0 else "{x:g}"))  # noqa: PLR2004
    _list_shares(panel, [result])


def _draw_exposures(panel: Axes, results: Sequence[BacktestResult]) -> None:
    """Draw the position in every symbol as a band, the first on top."""
    edges, bands = sampled_exposures(results)
    heights = np.arange(len(results), -1, -1)
    panel.pcolormesh(_utc(edges), heights, bands, cmap=POSITIONS, norm=_colour_range(bands))
    panel.set_yticks(heights[:-1] - 0.5, [result.symbol for result in results])
    _list_shares(panel, results)


def _colour_range(bands: NDArray[np.float64]) -> Normalize:
    limit = max(float(np.abs(bands).max()), np.spacing(1.0))
    return Normalize(-limit, limit)


def _list_shares(panel: Axes, results: Sequence[BacktestResult]) -> None:
    exposure = np.concatenate([result.outcomes["exposure"] for result in results])
    shares = ((LONG, "long", exposure > 0.0), (SHORT, "short", exposure < 0.0), ("white", "flat", exposure == 0.0))
    patches = [
        Patch(facecolor=colour, edgecolor=GRID, label=f"{name} {is_held.mean():.0%}")
        for colour, name, is_held in shares
    ]
    panel.legend(handles=patches, **LEGEND)


def sampled_exposures(results: Sequence[BacktestResult]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return equal stretches of time and every account's exposure at the last close in each; 0 where there is none.

    Args:
        results: One a symbol.

    Returns:
        Edges (num_stretches + 1,) in ms UTC, and exposures (num_symbols, num_stretches).
    """
    interval = results[0].interval_ms
    first = min(int(result.close_time[0]) for result in results) - interval
    last = max(int(result.close_time[-1]) for result in results)
    edges = np.linspace(first, last, 1 + min(MAX_STRETCHES, (last - first) // interval)).astype(np.int64)
    bands = np.zeros((len(results), len(edges) - 1))
    for band, result in zip(bands, results, strict=True):
        row = np.searchsorted(result.close_time, edges[1:], side="right") - 1
        is_played = (row >= 0) & (result.close_time[row] > edges[:-1])
        band[is_played] = result.outcomes["exposure"][row[is_played]]
    return edges, bands


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def style_axes(panel: Axes) -> None:
    """Give a panel over time the look of all."""
    locator = AutoDateLocator(maxticks=9)  # type: ignore[no-untyped-call]
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    panel.grid(color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=INK, labelsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.01)


def _thinned(num_rows: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, num_rows - 1, min(num_rows, MAX_POINTS)).astype(np.intp))


def _utc(times_ms: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return times_ms.astype("datetime64[ms]")
