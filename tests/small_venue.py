"""A venue with clocks, keys and limits but no market, and endpoints that say what reached them."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter, Security
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.limits import FUNDING_BUDGET, Limits, LimitTerms
from rl_trader.local_exchange.protocol.ws_api import WsApi
from rl_trader.local_exchange.refusal_texts import refused

if TYPE_CHECKING:
    from rl_trader.local_exchange.venue import Venue

KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
# The documentation's example, with which binance-facts recomputed the vectors.
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
NOW_MS = 1_591_702_613_943  # the timestamp in the documentation's example


@dataclass
class SmallVenue:
    """What the protocol asks of a venue."""

    now_ms: int = NOW_MS  # of the market
    session_now_ms: int = NOW_MS
    limits: Limits = field(default_factory=Limits)
    keys: dict[str, ApiKey] = field(default_factory=lambda: {KEY: ApiKey(KEY, SECRET, "main")})
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "币安人生USDT")

    @property
    def exchange(self) -> SimpleNamespace:
        """Something with symbols."""
        return SimpleNamespace(quotes=dict.fromkeys(self.symbols))

    def market_ms(self) -> int:
        """Return the time of the market."""
        return self.now_ms

    def session_ms(self) -> int:
        """Return the time of the session."""
        return self.session_now_ms

    def clocks_ms(self, now_ms: int) -> tuple[int, int]:
        """Return both times."""
        return now_ms, self.now_ms

    def deliver(self) -> None:
        """Do nothing: nobody listens."""

    def trader(self, account: str) -> SimpleNamespace:
        """Return something with a name."""
        return SimpleNamespace(name=account)

    def as_venue(self) -> "Venue":
        """Return it as what the protocol wants to be given."""
        return cast("Venue", self)

    def dispatcher(self) -> Dispatcher:
        """Return the dispatcher of the endpoints below."""
        return Dispatcher(ENDPOINTS, self.as_venue())

    def ws_api(self) -> WsApi:
        """Return the WebSocket API of the methods below."""
        return WsApi(METHODS, self.as_venue())


def strict_venue(**limits: int) -> SmallVenue:
    """Return a venue with tighter limits than the exchange's."""
    return SmallVenue(limits=Limits(replace(LimitTerms(), **limits)))  # type: ignore[arg-type]


def sign(text: str) -> str:
    """Return the signature of a text, computed without the package."""
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def echo(call: Call) -> object:
    """Return what reached the endpoint."""
    return {
        "account": None if call.account is None else cast("SimpleNamespace", call.account).name,
        "arguments": {name: _plain(value) for name, value in call.arguments.items()},
        "sent": sorted(call.sent),
    }


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | list | dict | str | None) else f"Decimal {value}"


def tell_time(call: Call) -> object:
    """Return the market's time."""
    return {"serverTime": call.venue.market_ms()}


def refuse(call: Call) -> object:
    """Refuse as an engine does."""
    raise refused(-2019)


def fail(call: Call) -> object:
    """Fail as only a bug can."""
    return 1 // 0


def kline_weight(arguments: Mapping[str, object]) -> int:
    """Return the weight of so many klines."""
    limit = arguments["limit"]
    assert isinstance(limit, int)
    return 2 if limit < 500 else 10


SYMBOL = Parameter("symbol", Kind.SYMBOL, is_required=True)
ORDER = (
    SYMBOL,
    Parameter("side", choices=("BUY", "SELL"), choice_code=-1117, is_required=True),
    Parameter("type", choices=("LIMIT", "MARKET"), choice_code=-1116, is_required=True),
    Parameter("timeInForce", choices=("GTC", "IOC"), choice_code=-1115),
    Parameter("quantity", Kind.DECIMAL),
    Parameter("price", Kind.DECIMAL),
    Parameter("reduceOnly", Kind.TRUTH, default=False),
    Parameter("newClientOrderId"),
)
KLINES = (
    SYMBOL,
    Parameter("interval", Kind.INTERVAL, is_required=True),
    Parameter("startTime", Kind.WHOLE),
    Parameter("limit", Kind.WHOLE, default=500, least=1, most=1500),
)
DEPTH = (
    SYMBOL,
    Parameter("limit", Kind.WHOLE, default=500, most=1000, choices=("5", "10", "500", "1000"), choice_code=-4021),
)
BATCH = (SYMBOL, Parameter("orderIdList", Kind.JSON), Parameter("batchOrders", Kind.JSON))


def endpoint(method: str, path: str, *parameters: Parameter, **more: object) -> Endpoint:
    """Return an endpoint that says what reached it, unless it is told otherwise."""
    return Endpoint(method=method, path=path, parameters=parameters, **({"answer": echo} | more))  # type: ignore[arg-type]


TRADE = Security.TRADE
ENDPOINTS = (
    endpoint("GET", "/fapi/v1/ping"),
    endpoint("GET", "/fapi/v1/time", answer=tell_time),
    endpoint("GET", "/fapi/v1/klines", *KLINES, weight=kline_weight),
    endpoint("GET", "/fapi/v1/depth", *DEPTH),
    endpoint("GET", "/fapi/v1/fundingRate", budget=FUNDING_BUDGET),
    endpoint("GET", "/fapi/v1/fundingInfo", budget=FUNDING_BUDGET, weight=0),
    endpoint("GET", "/fapi/v1/historicalTrades", SYMBOL, security=Security.MARKET_DATA, weight=20),
    endpoint("POST", "/fapi/v1/listenKey", security=Security.USER_STREAM),
    endpoint("GET", "/fapi/v1/order", SYMBOL, security=Security.USER_DATA),
    endpoint("POST", "/fapi/v1/order", *ORDER, security=TRADE, weight=0, order_count=(1, 1)),
    endpoint("PUT", "/fapi/v1/order", *ORDER, security=TRADE, weight=0, order_count=(1, 1)),
    endpoint("DELETE", "/fapi/v1/order", SYMBOL, security=TRADE),
    endpoint("POST", "/fapi/v1/batchOrders", *BATCH, security=TRADE, weight=5, order_count=(5, 1)),
    endpoint("DELETE", "/fapi/v1/batchOrders", *BATCH, security=TRADE),
    endpoint("POST", "/fapi/v1/refused", security=TRADE, answer=refuse, order_count=(1, 1)),
    endpoint("GET", "/fapi/v1/broken", answer=fail),
)
METHODS = (
    endpoint("", "ticker.price", replace(SYMBOL, is_required=False)),
    endpoint("", "order.place", *ORDER, security=TRADE, weight=0, order_count=(1, 1)),
    endpoint("", "account.status", security=Security.USER_DATA, weight=5),
    endpoint("", "v2/account.status", security=Security.USER_DATA, weight=5),
    endpoint("", "userDataStream.start", security=Security.USER_STREAM),
    endpoint("", "broken", answer=fail),
)
