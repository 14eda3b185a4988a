"""How late the event loop is: what has waited for its turn in vain."""

import asyncio
from collections import deque
from time import monotonic
from typing import Final

EVERY_S: Final = 0.25
NUM_KEPT: Final = 120  # half a minute

_MS_PER_S: Final = 1_000


class LoopLag:
    """Measures by how much a short sleep is too long."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque([0.0], maxlen=NUM_KEPT)

    @property
    def longest_ms(self) -> float:
        """The longest of the last half minute."""
        return round(max(self._lags), 1)

    async def run(self) -> None:
        """Measure until it is cancelled."""
        while True:
            begun = monotonic()
            await asyncio.sleep(EVERY_S)
            self._lags.append((monotonic() - begun - EVERY_S) * _MS_PER_S)
