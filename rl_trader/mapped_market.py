"""A market whose arrays lie in files that every process maps into its memory: many workers, one copy.

Handed to another process, such a market is the name of its folder and a few small parts; there the same files are
mapped, and the machine keeps their pages once. A process that writes into an array gets pages of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.errors import DataError
from rl_trader.observed_market import ObservedMarket

ROWS: Final = "rows"
BARS: Final = "bars"
FUNDINGS: Final = "fundings"
SIGNAL: Final = "signal-"


@dataclass(frozen=True, slots=True)
class MappedMarket(ObservedMarket):
    """An observed market on the files of a folder."""

    folder: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes it, without the arrays."""
        bare = replace(self.market, bars=self.market.bars[:0], fundings=self.market.fundings[:0], signals={})
        small = ObservedMarket(bare, self.schema, self.scaling, self.rows[:0])
        return _mapped, (small, self.folder, tuple(self.market.signals))


def map_market(observed: ObservedMarket, folder: Path) -> MappedMarket:
    """Write a market's arrays into a folder and return the market that reads them from there.

    Args:
        observed: The market; what it holds in memory is freed once nobody else keeps it.
        folder: Made where it is missing; must outlive the market.

    Raises:
        DataError: If the folder cannot be written.
    """
    market = observed.market
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in _arrays(observed).items():
            np.save(_path(folder, name), np.ascontiguousarray(array))
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); free space there or name another folder") from error
    return _mapped(observed, folder, tuple(market.signals))


def _arrays(observed: ObservedMarket) -> Mapping[str, NDArray[Any]]:
    market = observed.market
    signals = {f"{SIGNAL}{i}": signal for i, signal in enumerate(market.signals.values())}
    return {ROWS: observed.rows, BARS: market.bars, FUNDINGS: market.fundings, **signals}


def _mapped(small: ObservedMarket, folder: Path, signals: tuple[str, ...]) -> MappedMarket:
    market = replace(
        small.market,
        bars=_open(folder, BARS),
        fundings=_open(folder, FUNDINGS),
        signals={name: _open(folder, f"{SIGNAL}{i}") for i, name in enumerate(signals)},
    )
    return MappedMarket(market, small.schema, small.scaling, _open(folder, ROWS), folder)


def _open(folder: Path, name: str) -> NDArray[Any]:
    path = _path(folder, name)
    try:
        # Copy on write: to compiled code a plain array that could be written, as all others are.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be mapped ({error}); write the market again with map_market") from error
    return np.asarray(array).view(np.ndarray)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"
