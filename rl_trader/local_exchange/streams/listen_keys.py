"""Listen keys: the names under which accounts are told of what happens to them.

Source: the API documentation of USD-M futures, "User Data Streams" (read in autumn 2026): an account has one key; to
ask for one again extends it, each time to 60 minutes from then.

Times in milliseconds of the session's clock.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Final

from rl_trader.local_exchange.refusal_texts import refused

VALID_MS: Final = 60 * 60_000

_ALPHABET: Final = ascii_letters + digits
_LENGTH: Final = 64  # characters, as the exchange's keys have


@dataclass(slots=True)
class _Lease:
    key: str
    ends_ms: int


class ListenKeys:
    """The keys of all accounts.

    Keys follow from the seed, the account's name and how many it has had, so that a run can be repeated.

    Args:
        seed: Makes the keys of two exchanges differ.
    """

    def __init__(self, seed: str) -> None:
        self._secret = seed.encode()
        self._leases: dict[str, _Lease] = {}  # by account
        self._num_given: dict[str, int] = {}  # by account
        self._expired: list[str] = []  # that nobody has taken away

    def start(self, account: str, now_ms: int) -> str:
        """Return the account's key, a new one if it has none that is valid, and let it be valid for an hour."""
        lease = self._valid(account, now_ms)
        if lease is None:
            lease = self._leases[account] = _Lease(self._next_key(account), 0)
        lease.ends_ms = now_ms + VALID_MS
        return lease.key

    def extend(self, account: str, now_ms: int) -> str:
        """Return the account's key and let it be valid for an hour from now.

        Raises:
            RefusedError: -1125 if the account has none, or it has expired.
        """
        lease = self._valid(account, now_ms)
        if lease is None:
            raise refused(-1125)
        lease.ends_ms = now_ms + VALID_MS
        return lease.key

    def stop(self, account: str) -> None:
        """Let the account have no key."""
        self._leases.pop(account, None)

    def key_of(self, account: str) -> str | None:
        """Return the account's key, or None; whether it has expired shows when it is next asked for or taken away."""
        lease = self._leases.get(account)
        return lease.key if lease else None

    def take_expired(self, now_ms: int) -> Iterator[str]:
        """Take away the keys whose time is over, and yield them."""
        for account in list(self._leases):
            self._valid(account, now_ms)
        while self._expired:
            yield self._expired.pop(0)

    def _valid(self, account: str, now_ms: int) -> _Lease | None:
        lease = self._leases.get(account)
        if lease is None or now_ms < lease.ends_ms:
            return lease
        del self._leases[account]
        self._expired.append(lease.key)
        return None

    def _next_key(self, account: str) -> str:
        number = self._num_given[account] = self._num_given.get(account, 0) + 1
        digest = hmac.digest(self._secret, f"{number} {account}".encode(), "sha512")
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:_LENGTH])
