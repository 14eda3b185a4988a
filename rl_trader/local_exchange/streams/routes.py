"""Addresses of connections: what they carry, and what they subscribe to at once.

Source: the API documentation of USD-M futures, "Websocket Market Streams" and "Connect", and the change log of
2026-03-06 (read in autumn 2026). ``/<category>/ws`` sends single events, ``/<category>/stream`` wraps each with the
name of its stream. Anything may follow ``/ws/``: a name that means nothing is a subscription that stays silent.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from rl_trader.local_exchange.streams.names import Category

UNSPLIT_TODAY: Final = frozenset({Category.PUBLIC})  # since 2026-04-23
UNSPLIT_BEFORE: Final = frozenset(Category)

_SINGLE, _COMBINED = "ws", "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What an address asks for."""

    categories: frozenset[Category]  # that the connection carries; what else it subscribes to stays silent
    is_combined: bool
    names: tuple[str, ...] = ()  # subscribed to at once
    events: frozenset[str] = frozenset()  # of accounts, by their names; empty is every one


def parse_route(path: str, query: str, unsplit: frozenset[Category] = UNSPLIT_TODAY) -> Route | None:
    """Return what an address asks for, or None if no stream lives there.

    Args:
        path: Decoded, for example ``/market/ws/btcusdt@kline_1m``.
        query: Without the question mark.
        unsplit: What connections without a category carry.
    """
    first, *rest = path.removeprefix("/").split("/")
    categories = unsplit
    if first in tuple(Category):
        categories = frozenset({Category(first)})
        first, *rest = rest or [""]
    if first not in (_SINGLE, _COMBINED):
        return None
    asked = parse_qs(query, errors="replace")
    names = [*rest, *(name for field in ("streams", "listenKey") for name in _listed(asked, field))]
    return Route(
        categories=categories,
        is_combined=first == _COMBINED,
        names=tuple(dict.fromkeys(name for name in names if name)),
        events=frozenset(_listed(asked, "events")),
    )


def _listed(asked: dict[str, list[str]], field: str) -> list[str]:
    return [name for value in asked.get(field, []) for name in value.split("/")]
