"""What is done to the exchange and to the account in a rehearsal, drawn by chance, and what sets it right in the end.

Each is a fault of a plan of the local exchange (docs/faults.md). Times in milliseconds since 1970 UTC.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final

from rl_trader.rehearsal.minutes import ACCOUNT, LEVERAGE, SYMBOL

Json = dict[str, Any]
BACK_MS: Final = 480_000  # until a person takes back what was changed
COARSE_TICK: Final = Decimal("0.5")  # USDT, that prices may have to lie on for a while

_SELF: Final = {"account": ACCOUNT, "symbol": SYMBOL}
_HAND: Final = {"action": "other_hand", **_SELF}
_OF_ACCOUNT: Final = {"action": "other_hand", "account": ACCOUNT}
_BACK: Final[Mapping[str, Json]] = {  # by what was changed
    "order": {**_HAND, "change": "cancel", "orders": "ordinary"},
    "leverage": {**_HAND, "change": "leverage", "leverage": LEVERAGE},
    "margin_mode": {**_HAND, "change": "margin_mode", "margin_mode": "cross"},
    "position_mode": {**_OF_ACCOUNT, "change": "position_mode", "hedged": False},
    "multi_assets": {**_OF_ACCOUNT, "change": "multi_assets", "multi_assets": False},
    "filters": {
        "action": "other_hand",
        "change": "filters",
        "symbol": SYMBOL,
        "tick_size": "0.10",
        "step_size": "0.001",
        "min_quantity": "0.001",
        "min_notional": "50",
    },
}
_UNHEARD_MS: Final = 60_000  # around a deed that no event tells of


def draw_deeds(chance: Random, span: tuple[int, int]) -> list[Json]:
    """Return one thing that is done, or what belongs together, within a time."""
    return chance.choice(_DEEDS)(chance, span)


def calm_deeds(end_ms: int, deeds: Sequence[Json]) -> list[Json]:
    """Return what takes back what a person has changed: some minutes after each change, and everything in the end."""
    every = [_at(end_ms, action) for action in _BACK.values()]
    changes = [(deed["on"]["time"], deed["do"].get("change")) for deed in deeds]
    back = [_at(time_ms + BACK_MS, _BACK[name]) for time_ms, name in changes if name in _BACK]
    return [*(deed for deed in back if deed["on"]["time"] < end_ms), *every]


def lasts_ms(action: Json) -> int:
    """Return for how long an action goes on."""
    return max(int(action.get(name) or 0) for name in ("for_ms", "ms"))


Deeds = Callable[[Random, tuple[int, int]], list[Json]]


def _at(time_ms: int, action: Json) -> Json:
    return {"on": {"time": time_ms}, "do": action}


def _one(make: Callable[[Random], Json]) -> Deeds:
    """Return what draws one thing at one time."""

    def draw(chance: Random, span: tuple[int, int]) -> list[Json]:
        action = make(chance)
        return [_at(chance.randrange(span[0], span[1] - lasts_ms(action)), action)]

    return draw


def _mute(chance: Random) -> Json:
    return {"action": "mute", "stream": f"user:{ACCOUNT}", "for_ms": chance.choice((10_000, 60_000, 300_000))}


def _mute_all(chance: Random) -> Json:
    return {"action": "mute", "for_ms": chance.choice((10_000, 60_000, 300_000))}


def _expire(chance: Random) -> Json:
    return {"action": "expire_listen_key", "account": ACCOUNT, "tell": chance.random() < 0.5}  # noqa: PLR2004


def _thin(chance: Random) -> Json:
    return {"action": "thin_book", "symbol": SYMBOL, "amount": "0.030", "for_ms": chance.choice((9_000, 90_000))}


def _halt(chance: Random) -> Json:
    lasts = chance.choice((5_000, 70_000, 150_000))
    return {"action": "halt", "symbol": SYMBOL, "for_ms": lasts, "status": chance.choice(("PRE_SETTLE", "SETTLING"))}


def _filters(chance: Random) -> Json:
    changed = chance.choice(
        (
            {"tick_size": str(COARSE_TICK)},
            {"step_size": "0.010", "min_quantity": "0.010"},
            {"min_notional": "4000"},
        )
    )
    return {"action": "other_hand", "change": "filters", "symbol": SYMBOL, **changed}


def _order(chance: Random) -> Json:
    side = chance.choice(("BUY", "SELL"))
    order: Json = {**_HAND, "change": "order", "side": side, "quantity": "0.020"}
    if chance.random() < 0.5:  # noqa: PLR2004
        return order | {"type": "MARKET"}
    return order | {"type": "LIMIT", "price": "49000.0" if side == "BUY" else "51000.0"}


def _unheard(chance: Random, span: tuple[int, int]) -> list[Json]:
    """Return a liquidation, or a trade of a person's, that no event tells of."""
    time_ms = chance.randrange(span[0], span[1] - _UNHEARD_MS)
    action = chance.choice(({"action": "liquidate", **_SELF}, {**_HAND, "change": "close"}, _order(chance)))
    mute = {"action": "mute", "stream": f"user:{ACCOUNT}", "for_ms": _UNHEARD_MS}
    return [_at(time_ms, mute), _at(time_ms + 1, action)]


_DEEDS: Final[tuple[Deeds, ...]] = (
    _one(_mute),
    _one(_mute_all),
    _one(lambda _: {"action": "disconnect"}),
    _one(_expire),
    _one(_expire),
    _one(lambda chance: {"action": "forget_orders", "account": ACCOUNT, "for_ms": chance.choice((5_000, 60_000))}),
    _one(_thin),
    _one(_halt),
    _one(lambda _: {"action": "liquidate", **_SELF}),
    _unheard,
    _one(_order),
    _one(lambda _: {**_HAND, "change": "close"}),
    _one(lambda _: {**_HAND, "change": "cancel"}),
    _one(lambda chance: {**_OF_ACCOUNT, "change": "transfer", "amount": chance.choice(("150", "-90"))}),
    _one(_filters),
    _one(lambda chance: {**_HAND, "change": "leverage", "leverage": chance.choice((2, 5, 50))}),
    _one(lambda _: {**_HAND, "change": "margin_mode", "margin_mode": "isolated"}),
    _one(lambda _: {**_OF_ACCOUNT, "change": "position_mode", "hedged": True}),
    _one(lambda _: {**_OF_ACCOUNT, "change": "multi_assets", "multi_assets": True}),
)
