"""A market and its mirror image, in which what rose falls by as much: twice the bars, and no side that pays in sum.

An exposure's return over a bar of the image is that of the opposite exposure in the market: every price moves by the
negative of its relative change since the bar's open. Funding rates and signals change their sign, so a signal must
mean for falling prices what its negative means for rising ones. Volumes keep their value in USDT.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MARK_OHLC, OHLC
from rl_trader.contract import ContractTerms
from rl_trader.errors import DataError
from rl_trader.market import MarketData, Segment

SWAPPED = {"high": "low", "low": "high", "mark_high": "mark_low", "mark_low": "mark_high"}


def with_mirror_image(market: MarketData) -> MarketData:
    """Return a market followed by its mirror image: every segment a second time, at the same times.

    Raises:
        DataError: If a price doubles within a bar, which has no mirror image.
    """
    image = market.bars.copy()
    fundings = market.fundings.copy()
    paid = np.concatenate([[0], market.bars["num_settled"]])
    for segment in market.segments:
        rows = slice(segment.start, segment.stop)
        image[rows] = _mirrored(market.bars[rows], market.terms[segment.symbol])
        due = slice(int(paid[segment.start]), int(paid[segment.stop]))
        at = np.searchsorted(image["open_time"][rows], fundings["funding_time"][due], side="right") - 1
        of_bar = np.maximum(at, 0) + segment.start
        fundings["mark_price"][due] *= image["mark_open"][of_bar] / market.bars["mark_open"][of_bar]
    fundings["funding_rate"] *= -1.0
    image["last_funding_rate"] *= -1.0
    image["num_settled"] += len(fundings)
    parts, segments = _ordered(market)
    bars = _joined(market.bars, image, parts)
    for number, segment in enumerate(segments):
        bars["segment"][segment.start : segment.stop] = number
    return replace(
        market,
        bars=bars,
        fundings=np.concatenate([market.fundings, fundings]),
        segments=segments,
        signals={name: _joined(values, -values, parts) for name, values in market.signals.items()},
    )


def _ordered(market: MarketData) -> tuple[list[tuple[bool, slice]], tuple[Segment, ...]]:
    """Return parts, of the image or not, in the order in which each symbol's are together, and their segments."""
    parts: list[tuple[bool, slice]] = []
    segments: list[Segment] = []
    begin = 0
    for symbol in range(len(market.symbols)):
        for is_image in (False, True):
            for segment in market.segments:
                if segment.symbol == symbol:
                    parts.append((is_image, slice(segment.start, segment.stop)))
                    end = begin + segment.stop - segment.start
                    segments.append(Segment(symbol, begin, end))
                    begin = end
    return parts, tuple(segments)


def _joined(values: NDArray[Any], image: NDArray[Any], parts: list[tuple[bool, slice]]) -> NDArray[Any]:
    """Return parts of a market's rows and of its image's, one after the other."""
    return np.concatenate([(image if is_image else values)[rows] for is_image, rows in parts])


def _mirrored(bars: NDArray[np.void], terms: ContractTerms) -> NDArray[np.void]:
    """Return the mirror image of a segment, from the same first price on; last prices lie on ticks."""
    image: NDArray[np.void] = bars.copy()
    before = np.concatenate([bars["open"][:1], bars["close"][:-1]])
    steps = 2.0 - np.stack([bars["open"] / before, bars["close"] / bars["open"]], axis=1).reshape(-1)
    highest = np.maximum(bars["high"], bars["mark_high"])
    if not (steps > 0.0).all() or not (2.0 * bars["open"] > highest).all():
        raise DataError(
            f"a mirror image needs prices that less than double within a bar, found {terms.symbol} with one that does;"
            " set market.mirror to false"
        )
    path = bars["open"][0] * np.exp(np.cumsum(np.log(steps))).reshape(-1, 2)
    opens = path[:, 0]
    for columns in (OHLC, MARK_OHLC):
        for column in columns:
            image[column] = opens * (2.0 - bars[SWAPPED.get(column, column)] / bars["open"])
    tick = float(terms.tick_size)
    for column in OHLC:
        image[column] = np.maximum(np.rint(image[column] / tick), 1.0) / float(1 / terms.tick_size)
    image["volume"] = bars["volume"] * (bars["open"] / opens)
    image["taker_buy_volume"] = (bars["volume"] - bars["taker_buy_volume"]) * (bars["open"] / opens)
    return image
