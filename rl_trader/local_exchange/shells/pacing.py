"""A replay at a multiple of real time."""

import asyncio
from collections.abc import Callable
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.venue import Venue

TICK_S: Final = 0.05  # between two looks at the clock

_FASTEST: Final = 1e6


class Pace:
    """Lets a venue's market go on as the machine's time does.

    Args:
        venue: Not in lock-step.
        speed: Milliseconds of the market in one of the machine.
        clock_ms: The machine's time.

    Raises:
        ConfigError: If the speed is not positive, or beyond a million.
    """

    def __init__(self, venue: Venue, speed: float, clock_ms: Callable[[], int]) -> None:
        if not 0 < speed <= _FASTEST:
            raise ConfigError(f"speed must be above 0 and at most {_FASTEST:,.0f} and is {speed}; choose another")
        self._venue = venue
        self._speed = speed
        self._clock_ms = clock_ms
        self._begun_ms = clock_ms()
        self._market_begun_ms = venue.market_ms()

    @property
    def due_ms(self) -> int:
        """Where the market should be now."""
        return self._market_begun_ms + int((self._clock_ms() - self._begun_ms) * self._speed)

    async def run(self) -> None:
        """Let the market go on until it is over; other tasks have their turns in between."""
        while not self._venue.market.source.is_over:
            self._venue.advance(self.due_ms)
            await asyncio.sleep(TICK_S)
