"""Bans of the address by the exchange: journalled, so that a process that begins anew asks nothing before their end.

To ask all the same would make a ban longer. Times in milliseconds since 1970 UTC.
"""

from pathlib import Path

from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.klines import utc
from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.events import Banned
from rl_trader.live.journal.reader import open_read_only


def banned(until_ms: int, now_ms: int, machine_ms: int) -> Banned:
    """Return the event of a ban.

    Args:
        until_ms: When it ends, on the exchange's clock.
        now_ms: The exchange's time.
        machine_ms: The machine's.
    """
    return Banned(t_ms=now_ms, until_ms=until_ms, machine_until_ms=machine_ms + until_ms - now_ms)


def require_no_ban(journal: Path, machine_ms: int) -> None:
    """See that no ban of the journal is in force.

    Raises:
        ConfigError: If one is.
    """
    ban = _newest(journal) if journal.exists() else None
    if ban is not None and machine_ms < ban.machine_until_ms:
        raise ConfigError(
            f"the exchange must answer this address and has banned it until {utc(ban.machine_until_ms)}; start again "
            "after that, since asking before makes the ban longer"
        )


def _newest(journal: Path) -> Banned | None:
    """Return the newest ban; None where the journal cannot be read, which is for its opening to say."""
    try:
        with open_read_only(journal) as reader:
            stored = reader.newest(Banned.__name__)
            event = None if stored is None else decode_event(stored.kind, stored.body)
    except RlTraderError:
        return None
    return event if isinstance(event, Banned) else None
