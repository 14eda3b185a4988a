"""The machine's clock beside the exchange's: orders are signed with the latter, but a clock that is wrong is a sign."""

import time
from typing import Final

from rl_trader.live.exchange.venue import VenueName
from rl_trader.live.preflight.finding import Finding

MOST_QUIET_MS: Final = 1_000  # off by more, and a person should know
MOST_OFF_MS: Final = 60_000  # off by more, and nothing is traded
PLAYED_MS: Final = 86_400_000  # off by more, a local exchange plays what was recorded


def compare_clocks(machine_ms: int, exchange_ms: int, venue: VenueName) -> Finding:
    """Return what the machine's wall clock is worth.

    Args:
        machine_ms: Its time.
        exchange_ms: The exchange's at the same moment.
        venue: Where; a local exchange may play the past.
    """
    off_ms = machine_ms - exchange_ms
    if venue is VenueName.PAPER and abs(off_ms) > PLAYED_MS:
        return Finding("note", f"the local exchange plays what was recorded {off_ms / PLAYED_MS:.0f} days ago")
    text = f"the machine's clock is off by {off_ms / 1_000:+.1f} s"
    if abs(off_ms) > MOST_OFF_MS:
        most = MOST_OFF_MS // 1_000
        return Finding(
            "refuse", f"{text} and must be within {most} s of the exchange's; set it, best by a time service"
        )
    if abs(off_ms) > MOST_QUIET_MS:
        return Finding("note", f"{text}; orders are signed with the exchange's time")
    return Finding("ok", text)


def wall_ms() -> int:
    """Return the machine's time."""
    return time.time_ns() // 1_000_000
