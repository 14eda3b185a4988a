"""What a key may do: it must be able to trade futures and nothing that loses more than a position can.

Judged from the answer to ``GET /sapi/v1/account/apiRestrictions`` alone, and against the key wherever that is silent or
new.
Source: the API documentation of the wallet, "Get API Key Permission" (read in autumn 2026).
"""

from collections.abc import Collection
from typing import Final

from rl_trader.errors import ConfigError

REQUIRED: Final = ("enableReading", "enableFutures", "ipRestrict")
FORBIDDEN: Final = (
    "enableWithdrawals",
    "enableInternalTransfer",
    "permitsUniversalTransfer",
    "enableMargin",
    "enableSpotAndMarginTrading",
    "enableVanillaOptions",
)
"""Refused unless waived by name; a missing one too. So is any other leave that the exchange comes to know."""

_LEAVES: Final = ("enable", "permits")


def faults_of(restrictions: object, waived: Collection[str] = ()) -> tuple[str, ...]:
    """Return what speaks against a key, one sentence each; empty of a key that may be used.

    Args:
        restrictions: The answer's data.
        waived: Names of permissions that the key may have all the same.

    Raises:
        ConfigError: If something is waived that cannot be.
    """
    check_waived(waived)
    if not isinstance(restrictions, dict):
        return ("the exchange must say what the key may do and did not; ask again",)
    faults = [
        f"the key must have {name} and has not; turn it on in the key's settings"
        for name in REQUIRED
        if restrictions.get(name) is not True
    ]
    names = [*FORBIDDEN, *(name for name in restrictions if _is_further_leave(name))]
    return (
        *faults,
        *(
            f"the key must not have {name}; turn it off in the key's settings, or waive it by name"
            for name in names
            if restrictions.get(name) is not False and name not in waived
        ),
    )


def _is_further_leave(name: object) -> bool:
    return isinstance(name, str) and name.startswith(_LEAVES) and name not in (*REQUIRED, *FORBIDDEN)


def check_waived(waived: Collection[str]) -> None:
    """Refuse what cannot be waived.

    Raises:
        ConfigError: If it is needed, or no permission.
    """
    for name in waived:
        if name in REQUIRED or not name.startswith(_LEAVES):
            raise ConfigError(
                f"only what a key must not have can be waived, and {name!r} is not among it; leave it out"
            )
