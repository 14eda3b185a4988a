"""The part of the report that tells skill from luck: a figure of differences, two tables and their words."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

import plotly.graph_objects as go

from rl_trader.honesty import Honesty
from rl_trader.metrics import DAYS_PER_YEAR
from rl_trader.report.figures import GRID, INK, NEUTRAL, SHORT, label
from rl_trader.report.page import ABSENT, shown
from rl_trader.statistics.bootstrap import LEVEL, Interval

_BETTER: Final = "#1a9e6b"
_ROW_HEIGHT: Final = 34  # pixels of a baseline


def differences_words() -> str:
    """Return what the figure of differences shows."""
    return (
        "<p>What the agent earned a year more than each baseline: the mean difference of their daily returns, with the"
        f" range that holds the true one in {LEVEL:.0%} of such records (stationary block bootstrap). Where the range"
        " crosses 0, this record cannot tell the two apart.</p>"
    )


def difference_figure(honesty: Honesty) -> go.Figure:
    """Return the difference to every baseline with its interval, the first on top."""
    figure = go.Figure()
    names = [label(name) for name in honesty.differences]
    for name, difference in zip(names, honesty.differences.values(), strict=True):
        colour = _colour(difference)
        figure.add_trace(
            go.Scatter(
                x=[difference.estimate],
                y=[name],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [difference.high - difference.estimate],
                    "arrayminus": [difference.estimate - difference.low],
                    "color": colour,
                    "thickness": 2.5,
                    "width": 6,
                },
                mode="markers",
                marker={"color": colour, "size": 10},
                hovertemplate=f"{difference.estimate:+.1%}, {difference.low:+.1%} to {difference.high:+.1%}"
                "<extra></extra>",
                showlegend=False,
            )
        )
    figure.add_vline(x=0.0, line={"color": INK, "width": 1})
    figure.update_xaxes(title_text="Agent less baseline, a year", tickformat="+.0%", gridcolor=GRID, zeroline=False)
    figure.update_yaxes(autorange="reversed", automargin=True, gridcolor=GRID)
    return figure.update_layout(
        template="none",
        height=110 + _ROW_HEIGHT * len(names),
        margin={"l": 70, "r": 16, "t": 16, "b": 50},
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "color": INK},
        hovermode="closest",
    )


def _colour(difference: Interval) -> str:
    if not difference.excludes_zero:
        return NEUTRAL
    return _BETTER if difference.low > 0.0 else SHORT


def honesty_lines(honesty: Honesty) -> list[tuple[str, str]]:
    """Return the figures of the Sharpe ratio, of the trials and of the fee, each with its name."""
    to_year = math.sqrt(DAYS_PER_YEAR)
    sharpe, fee, overfitting = honesty.sharpe, honesty.break_even_fee, honesty.overfitting
    ratio, error = (None, None) if sharpe is None else (sharpe.ratio * to_year, sharpe.standard_error * to_year)
    return [
        ("Sharpe ratio, daily returns, annualised", shown(ratio, "{:.2f}")),
        ("Standard error, with skew and kurtosis", shown(error, "{:.2f}")),
        ("Probability that the true one is above 0", shown(honesty.probability, "{:.0%}")),
        ("Configurations tried here, seeds not counted", str(honesty.trials.num)),
        ("The same after so many trials (deflated)", shown(honesty.deflated, "{:.0%}")),
        ("Days in the record", f"{honesty.num_days:,}"),
        ("Days such a ratio needs", shown(honesty.needed_days, "{:,.0f}")),
        ("Fee at which it earns 0", ABSENT if fee is None else shown(fee.estimate, "{:+.3%}")),
        (f"That fee in {LEVEL:.0%} of such records", ABSENT if fee is None else _range(fee)),
        ("Probability of overfitting (PBO)", ABSENT if overfitting is None else f"{overfitting.probability:.0%}"),
    ]


def sharpe_table(honesty: Honesty) -> str:
    """Return them as a table."""
    return _table(("Sharpe ratio, trials and fee", ""), honesty_lines(honesty))


def _range(fee: Interval) -> str:
    return " to ".join(shown(value, "{:+.3%}") for value in (fee.low, fee.high))


def stress_table(honesty: Honesty) -> str:
    """Return what the agent would have made of other costs."""
    rows = [
        (
            name.replace(" x ", " \u00d7 "),
            shown(stressed.total_return, "{:+.1%}"),
            shown(stressed.sharpe, "{:.2f}"),
            shown(stressed.max_drawdown, "{:.1%}"),
        )
        for name, stressed in honesty.stresses.items()
    ]
    return _table(("The same decisions at other costs", "Return", "Sharpe", "Drawdown"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    heading = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="scroll"><table class="plain"><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table></div>'
    )
