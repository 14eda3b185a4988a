"""The interactive figures of an evaluation's report, as Plotly figures.

Money is in USDT, times are UTC. Lines are drawn through at most ``MAX_POINTS`` points: the lowest and the highest of
every stretch, so that no spike is lost.
"""

from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from rl_trader.backtest import BacktestResult
from rl_trader.evaluation import Evaluation, RandomAgents
from rl_trader.metrics import FLOWS, Portfolio, portfolio

MAX_POINTS: Final = 5_000
MAX_TARGET_LEVELS: Final = 11  # more different targets are shown in bins

MINUS: Final = "\u2212"
INK: Final = "#1f2933"
GRID: Final = "#e6eaf0"
AGENT: Final = "#0b5fff"
LONG: Final = "#1a9e6b"
SHORT: Final = "#d1495b"
NEUTRAL: Final = "#9aa5b4"
BASELINE_COLOURS: Final = ("#9aa5b4", "#e08a00", "#b8527f", "#2a9d8f", "#7f9c3a", "#7d5fb2", "#6b4f3a", "#4a90a4")
FLOW_COLOURS: Final = dict(zip(FLOWS, ("#2a9d8f", "#d1495b", "#e08a00", "#7d5fb2", "#5c2a2a"), strict=True))
FLOW_LABELS: Final = dict(zip(FLOWS, ("Price", "Fees", "Slippage", "Funding", "Liquidation"), strict=True))

_LABELS: Final = {
    "flat": "Flat",
    "buy_and_hold": "Buy and hold",
    "short_and_hold": "Short and hold",
    "crossover_20_50": "Averages 20/50",
    "crossover_50_200": "Averages 50/200",
    "momentum_48": "Momentum 48 bars",
}


def label(name: str) -> str:
    """Return what the report calls a baseline."""
    return _LABELS.get(name, name.replace("_", " "))


def thinned_rows(values: NDArray[np.float64], max_points: int = MAX_POINTS) -> NDArray[np.intp]:
    """Return the rows, ascending, through which a line is drawn: first, last, and every stretch's lowest and highest.

    Args:
        values: (num_rows,).
        max_points: At most so many rows, and two more.
    """
    if len(values) <= max_points:
        return np.arange(len(values))
    size = -(-len(values) // (max_points // 2))
    starts = np.arange(0, len(values), size)
    stretches = np.pad(values, (0, len(starts) * size - len(values)), mode="edge").reshape(-1, size)
    chosen = np.concatenate([starts + stretches.argmin(axis=1), starts + stretches.argmax(axis=1)])
    return np.unique(np.concatenate([[0, len(values) - 1], chosen[chosen < len(values)]]))


def equity_figure(evaluation: Evaluation) -> go.Figure:
    """Return the margin balance of the agent and the baselines, above their drawdowns."""
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.05)
    for (name, results), colour in zip(evaluation.baselines.items(), _baseline_colours(evaluation), strict=True):
        _add_equity(figure, portfolio(results), label(name), {"color": colour, "width": 1.2})
    _add_equity(figure, portfolio(evaluation.agent), evaluation.name, {"color": AGENT, "width": 2.8}, "tozeroy")
    figure.update_yaxes(title_text="Margin balance, USDT", tickformat=",", row=1)
    figure.update_yaxes(title_text="Drawdown", tickformat=".0%", row=2)
    return _styled(figure, 620)


def _baseline_colours(evaluation: Evaluation) -> list[str]:
    return [BASELINE_COLOURS[i % len(BASELINE_COLOURS)] for i in range(len(evaluation.baselines))]


def _add_equity(figure: go.Figure, total: Portfolio, name: str, line: dict[str, Any], fill: str = "none") -> None:
    begin = total.close_time[0] - total.interval_ms
    times = np.concatenate([[begin], total.close_time])
    balance = np.concatenate([[total.initial_balance], total.margin_balance])
    group = {"name": _plain(name), "line": line, "legendgroup": name}
    figure.add_trace(_line(times, balance, "%{y:,.0f} USDT", **group), row=1, col=1)
    drawdown = -np.concatenate([[0.0], total.drawdown])
    thin = {**group, "line": {**line, "width": min(line["width"], 1.6)}, "showlegend": False}
    figure.add_trace(
        _line(times, drawdown, "%{y:.1%}", **thin, fill=fill, fillcolor="rgba(11, 95, 255, 0.10)"), row=2, col=1
    )


def position_figure(evaluation: Evaluation, result: BacktestResult) -> go.Figure:
    """Return the price of one symbol, coloured by the agent's position, above the exposure."""
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.65, 0.35], vertical_spacing=0.06)
    price = evaluation.market.bars["close"][result.outcomes["bar"]]
    exposure = result.outcomes["exposure"]
    rows = thinned_rows(price)
    position = np.sign(exposure[rows])
    for sign, name, colour in ((0.0, "flat", NEUTRAL), (1.0, "long", LONG), (-1.0, "short", SHORT)):
        chosen = _runs(position == sign)
        values = np.where(chosen >= 0, price[rows][chosen], np.nan)
        line = {"color": colour, "width": 1.6}
        trace = _scatter(result.close_time[rows][chosen], values, "%{y:,.8~g}", name=name, line=line)
        figure.add_trace(trace, row=1, col=1)
    rows = thinned_rows(exposure)
    for part, colour in ((np.maximum(exposure, 0.0), LONG), (np.minimum(exposure, 0.0), SHORT)):
        line = {"color": colour, "width": 1, "shape": "hv"}
        trace = _scatter(result.close_time[rows], part[rows], "%{y:.2f}", line=line, fill="tozeroy", showlegend=False)
        figure.add_trace(trace.update(name="exposure"), row=2, col=1)
    figure.add_hline(y=0.0, line={"color": NEUTRAL, "width": 1}, layer="above", row=2, col=1)
    figure.update_yaxes(title_text="Price, USDT", tickformat=",.6~g", row=1)
    figure.update_yaxes(title_text="Exposure", row=2)
    return _styled(figure, 520)


def _runs(is_chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the rows of the points that end a chosen segment or begin one; -1 lifts the pen between runs."""
    begins = np.flatnonzero(is_chosen & ~np.concatenate([[False], is_chosen[:-1]]))
    ends = np.flatnonzero(is_chosen & ~np.concatenate([is_chosen[1:], [False]]))
    pieces = [np.append(np.arange(max(int(a) - 1, 0), int(b) + 1), -1) for a, b in zip(begins, ends, strict=True)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.intp)


def attribution_figure(evaluation: Evaluation) -> go.Figure:
    """Return the cumulated flows of the agent: price, fees, slippage, funding and liquidation, and their sum."""
    total = portfolio(evaluation.agent)
    figure = go.Figure()
    for name in FLOWS:
        if np.any(total.flows[name] != 0.0) or name != "liquidation":
            line = {"color": FLOW_COLOURS[name], "width": 1.6}
            trace = _line(total.close_time, np.cumsum(total.flows[name]), "%{y:,.0f} USDT", line=line)
            figure.add_trace(trace.update(name=FLOW_LABELS[name]))
    change = total.margin_balance - total.initial_balance
    line = {"color": AGENT, "width": 2.8}
    figure.add_trace(_line(total.close_time, change, "%{y:,.0f} USDT", name="All together", line=line))
    figure.update_yaxes(title_text="USDT since the start", tickformat=",")
    return _styled(figure, 400)


def flow_bars_figure(evaluation: Evaluation) -> go.Figure:
    """Return the agent's flows over the whole period, adding up to the change of its balance."""
    flows = [float(getattr(evaluation.metrics, name)) for name in FLOWS]
    change = evaluation.metrics.final_balance - evaluation.metrics.initial_balance
    bars = go.Waterfall(
        x=[*FLOW_LABELS.values(), "Change"],
        y=[*flows, change],
        measure=["relative"] * len(flows) + ["total"],
        text=[f"{flow:+,.0f}".replace("-", MINUS) if abs(flow) >= 1.0 else "0" for flow in (*flows, change)],
        textposition="outside",
        cliponaxis=False,
        increasing={"marker": {"color": LONG}},
        decreasing={"marker": {"color": SHORT}},
        totals={"marker": {"color": AGENT}},
        connector={"line": {"color": NEUTRAL, "width": 1}},
        hovertemplate="%{x}: %{text} USDT<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_yaxes(title_text="USDT", tickformat=",")
    return _styled(figure, 400)


def random_figure(evaluation: Evaluation, random: RandomAgents) -> go.Figure:
    """Return the histogram of the random agents' returns with the agent's and buy and hold's."""
    figure = go.Figure(
        go.Histogram(
            x=random.total_returns,
            nbinsx=40,
            marker={"color": "#c9d3e0", "line": {"color": "white", "width": 1}},
            hovertemplate="%{x}: %{y} agents<extra></extra>",
        )
    )
    lines = [(evaluation.metrics.total_return, "agent", AGENT, 1.0)]
    if "buy_and_hold" in evaluation.baseline_metrics:
        held = evaluation.baseline_metrics["buy_and_hold"].total_return
        lines.append((held, "buy and hold", BASELINE_COLOURS[1], 0.88))
    for value, name, colour, height in lines:
        figure.add_vline(x=value, line={"color": colour, "width": 2.5})
        text = f"{name} {value:+.1%}"
        style = {"showarrow": False, "font": {"color": colour}, "bgcolor": "rgba(255, 255, 255, 0.9)"}
        figure.add_annotation(x=value, y=height, yref="paper", text=text, **style)
    figure.update_xaxes(title_text="Total return", tickformat=".0%")
    figure.update_yaxes(title_text="Random agents")
    return _styled(figure, 360)


def target_figure(evaluation: Evaluation) -> go.Figure:
    """Return how often the agent decided for each target position."""
    targets = np.concatenate([result.targets for result in evaluation.agent])
    levels, counts = np.unique(targets, return_counts=True)
    if len(levels) > MAX_TARGET_LEVELS:
        counts, edges = np.histogram(targets, 21, (-1.0, 1.0))
        levels = (edges[:-1] + edges[1:]) / 2.0
    names = [f"{level:+.2g}".replace("-", MINUS) if level else "0" for level in levels]
    colours = [LONG if level > 0.0 else SHORT if level < 0.0 else NEUTRAL for level in levels]
    share = counts / len(targets)
    figure = go.Figure(
        go.Bar(x=names, y=share, marker={"color": colours}, hovertemplate="target %{x}: %{y:.1%}<extra></extra>")
    )
    figure.update_xaxes(title_text="Target position, fraction of the largest exposure", type="category")
    figure.update_yaxes(title_text="Share of decisions", tickformat=".0%")
    return _styled(figure, 360)


def exposure_figure(evaluation: Evaluation) -> go.Figure:
    """Return how often the agent held which exposure."""
    exposure = np.concatenate([result.outcomes["exposure"] for result in evaluation.agent])
    widest = max(float(np.abs(exposure).max()), evaluation.trading.max_exposure)
    counts, edges = np.histogram(exposure, 41, (-widest * 1.025, widest * 1.025))
    middle = (edges[:-1] + edges[1:]) / 2.0
    colours = np.where(np.abs(middle) < np.diff(edges) / 2.0, NEUTRAL, np.where(middle > 0.0, LONG, SHORT))
    share = counts / len(exposure)
    bars = go.Bar(x=middle, y=share, marker={"color": colours}, hovertemplate="%{x:.2f}: %{y:.1%}<extra></extra>")
    figure = go.Figure(bars)
    figure.update_xaxes(title_text="Exposure: signed notional over margin balance")
    figure.update_yaxes(title_text="Share of closes", tickformat=".0%")
    return _styled(figure, 360).update_layout(bargap=0.05)


def _line(times: NDArray[np.int64], values: NDArray[np.float64], hover: str, **style: Any) -> go.Scatter:  # noqa: ANN401
    rows = thinned_rows(values)
    return _scatter(times[rows], values[rows], hover, **style)


def _scatter(times: NDArray[np.int64], values: NDArray[np.float64], hover: str, **style: Any) -> go.Scatter:  # noqa: ANN401
    # Plotly stores float arrays as compact base64 and lists of integers as text; a date axis reads ms as well.
    return go.Scatter(
        x=times.astype(np.float64), y=values.astype(np.float32), mode="lines", hovertemplate=hover, **style
    )


def _plain(text: str) -> str:
    """Return a text that Plotly does not read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _styled(figure: go.Figure, height: int) -> go.Figure:
    is_time_axis = any(isinstance(trace, go.Scatter) for trace in figure.data)
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 70, "r": 16, "t": 36, "b": 50},
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="x unified" if is_time_axis else "closest",
        showlegend=is_time_axis,
        legend={"orientation": "h", "y": -0.08, "yanchor": "top", "x": 0},
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=NEUTRAL, ticks="outside", tickcolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=NEUTRAL, automargin=True)
    if is_time_axis:
        figure.update_xaxes(type="date", hoverformat="%Y-%m-%d %H:%M")
    return figure
