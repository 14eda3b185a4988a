"""The drift as a page that needs nothing but itself: the equity of both, and the difference."""

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.klines import utc
from rl_trader.live.drift.comparison import BarDrift
from rl_trader.live.drift.report import as_text

WIDTH: Final = 960
HEIGHT: Final = 240
MOST_POINTS: Final = 2_000  # of a line, about two a pixel
LIVE: Final = "#0b5fff"
SIMULATED: Final = "#e08a00"

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: {width}px; color: #1f2933; }}
svg {{ width: 100%; height: auto; background: #fff; border: 1px solid #e6eaf0; }}
pre {{ overflow-x: auto; }} .live {{ color: {live}; }} .simulated {{ color: {simulated}; }}
</style></head><body>
<h1>{name}</h1>
<pre>{text}</pre>
{pictures}
</body></html>
"""
_PICTURE: Final = """<h2>{title}</h2>
<p>{legend} From {low:,.2f} to {high:,.2f} USDT, {begin} to {end}.</p>
<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{lines}</svg>"""
_LINE: Final = '<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>'
_LEGEND: Final = '<b class="live">Live</b> and <b class="simulated">simulation</b>.'

Line = tuple[str, NDArray[np.float64]]


def as_html(bars: Sequence[BarDrift], name: str) -> str:
    """Return the page of a drift."""
    compared = [bar for bar in bars if bar.simulated_equity is not None]
    pictures = ""
    if compared:
        live = np.array([float(bar.equity) for bar in compared])
        simulated = np.array([float(bar.simulated_equity or 0) for bar in compared])
        pictures = _picture("Equity", _LEGEND, compared, [(SIMULATED, simulated), (LIVE, live)])
        pictures += _picture("Live less simulation", "", compared, [(LIVE, live - simulated)])
    return _PAGE.format(
        name=escape(name),
        text=escape(as_text(list(bars), name)),
        pictures=pictures,
        width=WIDTH,
        live=LIVE,
        simulated=SIMULATED,
    )


def _picture(title: str, legend: str, bars: Sequence[BarDrift], lines: Sequence[Line]) -> str:
    values = np.concatenate([line for _, line in lines])
    low, high = float(values.min()), float(values.max())
    drawn = "".join(_LINE.format(colour=colour, points=_points(line, low, high)) for colour, line in lines)
    return _PICTURE.format(
        title=title,
        legend=legend,
        low=low,
        high=high,
        begin=utc(bars[0].open_ms),
        end=utc(bars[-1].open_ms),
        width=WIDTH,
        height=HEIGHT,
        lines=drawn,
    )


def _points(line: NDArray[np.float64], low: float, high: float) -> str:
    rows = np.unique(np.linspace(0, len(line) - 1, min(len(line), MOST_POINTS)).astype(int))
    x = rows * (WIDTH / max(len(line) - 1, 1))
    y = HEIGHT - (line[rows] - low) * (HEIGHT / (high - low or 1.0))
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
