"""What is traded within a bar, as far as a recording tells.

The volume is spread evenly over the bar's time, whole units at a time: of ``volume`` units, ``ceil(volume * elapsed /
interval)`` are traded after an elapsed time. So every part of a bar has whole units, and the parts of a bar add up to
it exactly. What klines do not record is derived:

- a unit is traded at the price of the path at its moment, and that is its quote volume; where the bar's is recorded,
  its parts are scaled to add up to it;
- there is one trade a second, but none without a unit of volume;
- what is traded while the price rises is bought by takers, the rest is sold by them. Where the takers' volume is
  recorded, every part of the bar has its share of it.

Volumes are whole units of ``10 ** -amount_places``, quote volumes of ``10 ** -quote_places``.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader.local_exchange.market.path import NUM_CORNERS, corner_offsets, last_corners, leg_bounds
from rl_trader.local_exchange.market.recording import Recording

_MS_PER_SECOND: Final = 1000
_LEAST: Final = 1e-300  # instead of a quote volume of nothing, which nothing is a share of


class Amounts(NamedTuple):
    """Sums over parts of bars, each (num_parts,) of whole numbers."""

    volume: NDArray[np.int64]
    quote_volume: NDArray[np.int64]
    trades: NDArray[np.int64]
    taker_buy_volume: NDArray[np.int64]
    taker_buy_quote: NDArray[np.int64]


def volume_units(recording: Recording, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the volumes (num_rows,) of bars in whole units."""
    return np.rint(recording.volume[rows] * 10.0**recording.amount_places).astype(np.int64)


def traded_units(volume: int, elapsed_ms: int, interval_ms: int) -> int:
    """Return how many units of a bar's volume are traded after an elapsed time of it."""
    return math.ceil(volume * (elapsed_ms / interval_ms))


class BarAmounts:
    """Bars of a recording, of which parts are asked for.

    Args:
        recording: Of the bars.
        rows: Of them (num_bars,); a bar may come several times.
    """

    def __init__(self, recording: Recording, rows: NDArray[np.intp]) -> None:
        self._interval_ms = recording.interval_ms
        self._bounds = np.array(leg_bounds(self._interval_ms))
        self._corners_ms = np.array(corner_offsets(self._interval_ms))
        self._legs_ms = np.diff(self._corners_ms)
        self._corners = last_corners(recording.bars[rows])
        self._rises = np.diff(self._corners, axis=1)
        self._volume = volume_units(recording, rows)
        self._unit_ms = self._interval_ms / np.maximum(self._volume, 1)[:, None]
        self._counts = np.array((self._volume, self._num_trades(recording, rows)))[:, None]  # (2, 1, num_bars)
        self._bought = self._bought_shares(recording, rows)
        self._quote_scale = self._units_of_quote(recording, rows)[:, None]

    def between(self, since: NDArray[np.int64], until: NDArray[np.int64]) -> Amounts:
        """Return what is traded in a part of each bar.

        Args:
            since: Milliseconds (num_bars,) of each bar that have passed when its part begins.
            until: When it ends.
        """
        elapsed = np.array((since, until))
        counts = self._spread(self._counts, elapsed)
        volume, trades = counts[:, 1] - counts[:, 0]
        units, quote = self._legs(elapsed)
        quote = quote * self._quote_scale
        sums = np.array((quote, self._bought * units, self._bought * quote)).sum(axis=-1)
        whole = np.rint(sums).astype(np.int64)
        quote_volume, taker_buy_volume, taker_buy_quote = whole[:, 1] - whole[:, 0]
        return Amounts(volume, quote_volume, trades, taker_buy_volume, taker_buy_quote)

    def _legs(self, elapsed: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return units of volume on each leg (num_times, num_bars, 3), and the sum of the prices they are traded at.

        The price is a straight line on a leg, so that the sum is the units times the price at their middle.
        """
        traded = self._spread(self._volume[:, None], np.minimum(elapsed[..., None], self._bounds))
        before = traded[..., :-1]
        units = (traded[..., 1:] - before).astype(np.float64)
        middle_ms = (before + (units - 1.0) / 2.0) * self._unit_ms
        share = np.minimum(np.maximum((middle_ms - self._corners_ms[:-1]) / self._legs_ms, 0.0), 1.0)
        return units, units * (self._corners[:, :-1] + self._rises * share)

    def _spread(self, total: NDArray[np.int64], elapsed: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.ceil(total * (elapsed / self._interval_ms)).astype(np.int64)

    def _units_of_quote(self, recording: Recording, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return how many units of quote volume a unit of volume at a price of 1 is."""
        derived = 10.0 ** (recording.quote_places - recording.amount_places)
        recorded = _extra(recording, "quote_volume", rows) * 10.0**recording.quote_places
        _, quote = self._legs(np.full((1, len(rows)), self._interval_ms))
        return np.where(np.isnan(recorded), derived, recorded / np.maximum(quote[0].sum(axis=1), _LEAST))

    def _num_trades(self, recording: Recording, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        derived = np.minimum(self._volume, self._interval_ms // _MS_PER_SECOND)
        recorded = _extra(recording, "trades", rows)
        return np.where(np.isnan(recorded), derived, recorded).astype(np.int64)

    def _bought_shares(self, recording: Recording, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return which share of each leg's volume takers bought (num_bars, 3)."""
        recorded = _extra(recording, "taker_buy_volume", rows) * 10.0**recording.amount_places
        share = np.minimum(recorded / np.maximum(self._volume, 1), 1.0)
        repeated = np.repeat(share[:, None], NUM_CORNERS - 1, axis=1)
        return np.where(np.isnan(share)[:, None], self._rises > 0.0, repeated)


def _extra(recording: Recording, name: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return what is recorded beside the bars, NaN where it is not."""
    if name in recording.extras:
        return recording.extras[name][rows]
    return np.full(len(rows), np.nan)
