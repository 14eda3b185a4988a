"""The list of symbols and limits: ``exchangeInfo``.

A symbol whose own entry was read from the exchange has that entry, apart from filters that the venue leaves out. The
entry of any other is the one of BTCUSDT (an answer of September 2026), with what its contract terms say.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.market.listing import shipped_listing
from rl_trader.local_exchange.market.recording import Recording, decimal
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint
from rl_trader.local_exchange.wire import fixed, places

_QUOTE: Final = "USDT"
_ASSETS: Final = ({"asset": _QUOTE, "marginAvailable": True, "autoAssetExchange": "0"},)
_MULTIPLIER_PLACES: Final = 4


def exchange_info(call: Call) -> dict[str, object]:
    """Answer ``GET /fapi/v1/exchangeInfo``; it always lists all symbols."""
    market = call.venue.market
    return {
        "timezone": "UTC",
        "serverTime": call.venue.market_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": call.venue.limits.terms.rows(),
        "exchangeFilters": [],
        "assets": [dict(asset) for asset in _ASSETS],
        "symbols": [_without(entry_of(each), market.unlisted_filters) for each in market.recordings.values()],
    }


def entry_of(recording: Recording) -> dict[str, object]:
    """Return a symbol's entry: its own, or one that is made of its contract terms."""
    if recording.listing.info is not None:
        return dict(recording.listing.info)
    model = shipped_listing().info
    assert model is not None
    contract = recording.contract
    return dict(model) | {
        "symbol": contract.symbol,
        "pair": contract.symbol,
        "onboardDate": int(recording.open_time[0]),
        "baseAsset": contract.symbol.removesuffix(_QUOTE),
        "pricePrecision": places(contract.tick_size),
        "quantityPrecision": places(contract.limit_step_size),
        "underlyingSubType": [],
        "triggerProtect": _at_least(decimal(contract.trigger_protect), 4),
        "liquidationFee": _at_least(decimal(contract.liquidation_fee), 6),
        "marketTakeBound": _at_least(decimal(contract.market_take_bound), 2),
        "filters": [{**entry, **_filter_terms(str(entry["filterType"]), contract)} for entry in _filters(model)],
    }


def _filter_terms(filter_type: str, contract: ContractTerms) -> dict[str, str]:
    """Return what the contract's terms say of a filter."""
    match filter_type:
        case "PRICE_FILTER":
            return _texts(minPrice=contract.min_price, maxPrice=contract.max_price, tickSize=contract.tick_size)
        case "LOT_SIZE":
            return _texts(
                minQty=contract.limit_min_quantity,
                maxQty=contract.limit_max_quantity,
                stepSize=contract.limit_step_size,
            )
        case "MARKET_LOT_SIZE":
            return _texts(minQty=contract.min_quantity, maxQty=contract.max_quantity, stepSize=contract.step_size)
        case "MIN_NOTIONAL":
            return {"notional": _at_least(decimal(contract.min_notional), 0)}
        case "PERCENT_PRICE":
            return {
                "multiplierUp": _at_least(decimal(contract.multiplier_up), _MULTIPLIER_PLACES),
                "multiplierDown": _at_least(decimal(contract.multiplier_down), _MULTIPLIER_PLACES),
                "multiplierDecimal": str(_MULTIPLIER_PLACES),
            }
    return {}


def _without(entry: Mapping[str, object], unlisted: frozenset[str]) -> dict[str, object]:
    return {**entry, "filters": [each for each in _filters(entry) if each["filterType"] not in unlisted]}


def _filters(entry: Mapping[str, object]) -> list[dict[str, object]]:
    filters = entry["filters"]
    assert isinstance(filters, list)
    return filters


def _texts(**values: Decimal) -> dict[str, str]:
    return {name: f"{value:f}" for name, value in values.items()}


def _at_least(value: Decimal, least: int) -> str:
    """Return a number with this many digits after the point, more where it has more."""
    return fixed(value, max(least, places(value.normalize())))


EXCHANGE_INFO_ENDPOINTS: Final = (Endpoint(method="GET", path="/fapi/v1/exchangeInfo", answer=exchange_info),)
