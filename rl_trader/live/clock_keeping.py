"""Sets the exchange's clock again: from time to time, and soon after the exchange has refused a call by its time."""

from typing import Final

from rl_trader.live.exchange.rest import Rest
from rl_trader.live.streams.sockets import Clock

LOOK_MS: Final = 1_000  # between two looks whether it should be set again
AGAIN_MS: Final = 10_000  # between two times that it is set


async def keep_clock(rest: Rest, clock: Clock) -> None:
    """Keep the clock of calls set, until it is cancelled.

    Args:
        rest: Whose clock.
        clock: Waits.
    """
    while True:
        await clock.sleep(LOOK_MS)
        if rest.clock.is_stale:
            await rest.synchronise()
            await clock.sleep(AGAIN_MS)
