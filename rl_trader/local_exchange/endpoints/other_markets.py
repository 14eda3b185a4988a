"""What clients ask of the exchange's other markets before they trade: which coins and symbols there are.

Sources: the API documentation of Binance's wallet, "All Coins' Information" and "System Status", of margin trading,
"Get All Cross Margin Pairs" and "Get All Isolated Margin Symbol", and of spot and coin-margined futures, "Test
Connectivity", "Check Server Time" and "Exchange Information" (read in autumn 2026). Nothing can be deposited or
withdrawn here, so that no coin has a network, and nothing but USD-M futures is traded, so that the other markets have
no symbol.
"""

from typing import Final

from rl_trader.local_exchange.endpoints.account import USDT
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Security

_NOTHING: Final = "0"


def _coins(call: Call) -> object:
    """Answer with the margin asset and the base assets of all symbols."""
    bases = (symbol.removesuffix(USDT) for symbol in call.venue.exchange.quotes)
    return [_coin(coin) for coin in dict.fromkeys((USDT, *bases))]


def _coin(coin: str) -> dict[str, object]:
    return {
        "coin": coin,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "name": coin,
        "free": _NOTHING,
        "locked": _NOTHING,
        "freeze": _NOTHING,
        "withdrawing": _NOTHING,
        "ipoing": _NOTHING,
        "ipoable": _NOTHING,
        "storage": _NOTHING,
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


def _nothing(_call: Call) -> object:
    return []


def _ping(_call: Call) -> object:
    return {}


def _status(_call: Call) -> object:
    return {"status": 0, "msg": "normal"}


def _time(call: Call) -> object:
    return {"serverTime": call.venue.tell_time()}


def _empty_market(call: Call) -> object:
    """Answer with the information of a market that trades nothing."""
    return {
        "timezone": "UTC",
        "serverTime": call.venue.market_ms(),
        "rateLimits": call.venue.limits.terms.rows(),
        "exchangeFilters": [],
        "symbols": [],
    }


OTHER_MARKET_ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/sapi/v1/capital/config/getall", answer=_coins, security=Security.USER_DATA, weight=10
    ),
    Endpoint(method="GET", path="/sapi/v1/system/status", answer=_status),
    *(
        Endpoint(method="GET", path=f"/sapi/v1/margin/{pairs}", answer=_nothing, security=Security.MARKET_DATA)
        for pairs in ("allPairs", "isolated/allPairs")
    ),
    *(
        Endpoint(method="GET", path=f"/{market}/{name}", answer=answer)
        for market in ("api/v3", "dapi/v1")
        for name, answer in (("ping", _ping), ("time", _time), ("exchangeInfo", _empty_market))
    ),
)
