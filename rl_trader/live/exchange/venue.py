"""Where the trader trades, and which addresses it can reach at all.

A venue is its addresses: the trader does the same on each. Those of the real exchange cannot be reached without an
:class:`Armed` token, which the transport asks for, and not whoever calls it. Who is about to arm the trader may
:class:`Look` before: at what is asked by ``GET``, which changes nothing.

Sources: the API documentation of USD-M futures, "General Info", and the change log of 2026-03-06 (read in autumn 2026).
"""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlsplit

from rl_trader.errors import ConfigError

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PLAIN_SCHEMES: Final = frozenset({"http", "ws"})
_QUESTION: Final = "GET"


class VenueName(StrEnum):
    """Which kind of venue; keys of one are never used at another."""

    PAPER = "paper"  # a local exchange
    DEMO = "demo"  # the exchange's own, with money that is none
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Armed:
    """Leave to reach the real exchange; who makes one has checked everything that must be checked before.

    Raises:
        ConfigError: If it does not say how it came about.
    """

    how: str

    def __post_init__(self) -> None:
        if not self.how.strip():
            raise ConfigError("leave to trade for real must say how it was given and says nothing; arm the trader")


@dataclass(frozen=True, slots=True)
class Look:
    """Leave to ask and to change nothing, at any venue; for what must be known before the trader is armed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """A venue's addresses, each without a slash at its end.

    Raises:
        ConfigError: If an address is none that a venue of this name may have.
    """

    name: VenueName
    rest: str
    streams: str  # of WebSockets
    wallet: str | None  # of the calls about the key itself; None where there are none

    def __post_init__(self) -> None:
        found = (self.rest, self.streams, self.wallet)
        if self.name is not VenueName.PAPER:
            if found != _FIXED[self.name]:
                raise ConfigError(f"venue {self.name} must have the addresses {_FIXED[self.name]} and has {found}")
            return
        for address in found:
            if address is not None and not _is_loopback(address):
                raise ConfigError(
                    f"a local exchange must be at an address of this machine, as http://127.0.0.1:8080, and is said "
                    f"to be at {address}; give the address that it printed"
                )

    @classmethod
    def paper(cls, rest: str, streams: str) -> Self:
        """Return a local exchange.

        Raises:
            ConfigError: If it is not on this machine.
        """
        rest, streams = rest.rstrip("/"), streams.rstrip("/")
        return cls(name=VenueName.PAPER, rest=rest, streams=streams, wallet=rest)

    @property
    def origins(self) -> frozenset[str]:
        """All that there is to be reached."""
        return frozenset(_origin(address) for address in (self.rest, self.streams, self.wallet) if address)


_FIXED: Final = {
    VenueName.DEMO: ("https://demo-fapi.binance.com", "wss://demo-fstream.binance.com", None),
    VenueName.LIVE: ("https://fapi.binance.com", "wss://fstream.binance.com", "https://api.binance.com"),
}


def _fixed(name: VenueName) -> Venue:
    rest, streams, wallet = _FIXED[name]
    return Venue(name=name, rest=rest, streams=streams, wallet=wallet)


DEMO: Final = _fixed(VenueName.DEMO)
LIVE: Final = _fixed(VenueName.LIVE)


class Gate:
    """Lets requests and connections through to one venue and to nowhere else.

    Args:
        venue: Where to.
        leave: Needed for the real exchange; with one to look alone, nothing but questions pass.

    Raises:
        ConfigError: If the venue is the real exchange and nobody has armed the trader.
    """

    def __init__(self, venue: Venue, leave: Armed | Look | None = None) -> None:
        if venue.name is VenueName.LIVE and not isinstance(leave, Armed | Look):
            raise ConfigError("the real exchange can be reached by an armed trader only, and this one is not; arm it")
        self._venue = venue
        self._origins = venue.origins
        self._bases = tuple(f"{address}/" for address in (venue.rest, venue.streams, venue.wallet) if address)
        self._only_looks = isinstance(leave, Look)

    def check(self, url: str, method: str = _QUESTION) -> None:
        """Let a request or a connection pass, or not.

        Raises:
            ConfigError: If its address is none of the venue's, or it may change something and there is leave to look.
        """
        if self._only_looks and method != _QUESTION:
            raise ConfigError(f"a {method} may change something and there is leave to look alone; arm the trader")
        if url.startswith(self._bases):  # what stands before the path is the venue's, to the letter
            return
        origin = _origin(url)
        if origin not in self._origins:
            raise ConfigError(f"venue {self._venue.name} is at {sorted(self._origins)} and {origin} is not among them")


def _origin(url: str) -> str:
    """Return scheme, host and port; of what is no address, nothing that any venue has."""
    try:
        split = urlsplit(url)
        port = split.port or _PORTS.get(split.scheme)
    except ValueError:
        return "no address"
    if "@" in split.netloc:
        return "an address with a user's name"
    return f"{split.scheme}://{split.hostname}:{port}"


def _is_loopback(address: str) -> bool:
    split = urlsplit(address)
    try:
        is_here = ipaddress.ip_address(split.hostname or "").is_loopback
    except ValueError:  # a name may lead anywhere
        return False
    return is_here and split.scheme in _PLAIN_SCHEMES and "@" not in split.netloc and not split.path and not split.query
