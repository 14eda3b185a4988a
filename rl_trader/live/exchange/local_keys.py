"""The keys of a local exchange's account, asked of itself where nobody has given any: they are worth nothing."""

import json
from typing import Any

from rl_trader.errors import ConfigError
from rl_trader.live.exchange.endpoints import LOCAL_KEYS_PATH
from rl_trader.live.exchange.secrets import Credentials, Secret, variables_of
from rl_trader.live.exchange.venue import Gate, Look, Venue, VenueName
from rl_trader.live.exchange.wire import AiohttpTransport, WireAnswer, WireRequest

_OK = 200


async def ask_local_keys(venue: Venue, account: str) -> Credentials:
    """Return the keys of an account of a local exchange.

    Args:
        venue: A local exchange.
        account: Its name there.

    Raises:
        ConfigError: If the venue is none, does not answer or has no such account.
    """
    if venue.name is not VenueName.PAPER:
        raise ConfigError(f"keys for venue {venue.name} must be given, since it tells them to nobody; give them")
    transport = AiohttpTransport(Gate(venue, Look()))
    try:
        answer = await transport.send(WireRequest("GET", f"{venue.rest}{LOCAL_KEYS_PATH}", {}))
    finally:
        await transport.close()
    keys = _keys_in(answer, venue)
    if account not in keys:
        raise ConfigError(
            f"the local exchange at {venue.rest} has no account {account!r}; name one of it by --account: "
            f"{', '.join(keys) or 'it has none'}"
        )
    return keys[account]


def _keys_in(answer: WireAnswer, venue: Venue) -> dict[str, Credentials]:
    if answer.status is None:
        raise ConfigError(
            f"no local exchange answers at {venue.rest}; start one by `python -m scripts.local_exchange`, or say where"
            " one is by --rest and --streams"
        )
    try:
        entries: Any = json.loads(answer.body) if answer.status == _OK else None
        return {
            str(entry["account"]): Credentials(Secret(entry["apiKey"]), Secret(entry["secret"])) for entry in entries
        }
    except (ValueError, TypeError, KeyError, AttributeError, ConfigError):
        raise ConfigError(
            f"what answers at {venue.rest} does not tell the keys of a local exchange; see what it is, or give keys by "
            f"{' and '.join(variables_of(venue.name))}"
        ) from None
