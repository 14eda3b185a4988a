"""vectorbt's back-test of a crossing of two moving averages: a spot portfolio, without margin and funding."""

import pandas as pd
import vectorbt
from serve import Run, rate, serve
from walk import random_walk


def signals(num_bars: int, fast: int, slow: int, seconds: float) -> Run:
    """Return bars of the portfolio, with the signals given."""
    close, entries, exits = _signals(_closes(num_bars), fast, slow)
    return rate(lambda: _portfolio(close, entries, exits), num_bars, seconds)


def indicators(num_bars: int, fast: int, slow: int, seconds: float) -> Run:
    """Return bars of averages, crossings, portfolio, return and number of trades."""
    closes = _closes(num_bars)

    def play() -> None:
        portfolio = _portfolio(*_signals(closes, fast, slow))
        portfolio.total_return()
        portfolio.trades.count()

    return rate(play, num_bars, seconds)


def _closes(num_bars: int) -> pd.Series:
    closes = random_walk(num_bars, 0.0008)["close"]
    return pd.Series(closes, index=pd.date_range("2020-01-01", periods=num_bars, freq="min"))


def _signals(close: pd.Series, fast: int, slow: int) -> tuple[pd.Series, pd.Series, pd.Series]:
    quick, sluggish = vectorbt.MA.run(close, fast), vectorbt.MA.run(close, slow)
    return close, quick.ma_crossed_above(sluggish), quick.ma_crossed_below(sluggish)


def _portfolio(close: pd.Series, entries: pd.Series, exits: pd.Series) -> "vectorbt.Portfolio":
    return vectorbt.Portfolio.from_signals(
        close, entries, short_entries=exits, fees=1e-5, freq="1min", init_cash=10_000.0
    )


serve({"signals": signals, "indicators": indicators}, "vectorbt", "numba")
