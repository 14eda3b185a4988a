"""Every call and every stream of the exchange that the trader uses: when the exchange moves one, this file changes.

Sources: the API documentation of USD-M futures and of the wallet, and the change log (read in autumn 2026). Weights are
those of the address's budget of a minute; placing an order weighs nothing and counts as one order instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

Texts = Mapping[str, str]
"""Parameters as they are sent."""


class Use(Enum):
    """What a call is for, which decides how much of the budgets it may use up."""

    ENTRY = "entry"  # opens, adds, or prepares to
    QUERY = "query"  # asks, or keeps a stream alive
    EXIT = "exit"  # reduces, or takes an order back


class Access(Enum):
    """What the caller shows."""

    PUBLIC = "public"
    KEY = "key"
    SIGNED = "signed"  # the key, the time and a signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call."""

    name: str  # the trader's
    method: str
    area: str  # first part of the path: fapi, or sapi for the wallet
    version: int
    path: str  # behind the version
    ccxt: str  # the name of ccxt's implicit method
    access: Access
    weight: int | Callable[[Texts], int]
    is_acknowledged_by: Callable[[object], bool]  # whether the data of an answer say that the call was carried out
    use: Use = Use.QUERY
    may_change: bool = False  # whether repeating it may change something
    client_id: str = ""  # parameter with the caller's own number of the order, which must be sent
    counts_as_order: bool = False

    @property
    def url_path(self) -> str:
        """The whole path."""
        return f"/{self.area}/v{self.version}/{self.path}"

    def weight_of(self, texts: Texts) -> int:
        """Return what a call weighs."""
        return self.weight if isinstance(self.weight, int) else self.weight(texts)

    def use_of(self, texts: Texts) -> Use:
        """Return what a call is for: an order that can only reduce is an exit."""
        reduces = "true" in (texts.get("reduceOnly"), texts.get("closePosition"))
        return Use.EXIT if self.counts_as_order and reduces else self.use


# What an answer must have


def _with(field: str) -> Callable[[object], bool]:
    """Return whether data have a field and no error."""
    return lambda data: isinstance(data, dict) and field in data and not _is_error(data)


def _is_list(data: object) -> bool:
    return isinstance(data, list)


def _is_done(data: object) -> bool:
    """Return whether data say 200, which some endpoints write as a number and some as text."""
    return isinstance(data, dict) and str(data.get("code")) == "200"


def _is_list_or_entry(data: object) -> bool:
    return _is_list(data) or _with("symbol")(data)


def _is_error(data: Mapping[object, object]) -> bool:
    return str(data.get("code", "")).startswith("-")


# Weights

_LEAST_KLINES: Final = ((100, 1), (500, 2), (1_001, 5))  # below so many rows, the weight
_MOST_KLINES: Final = 10
_DEFAULT_KLINES: Final = 500


def _weight_of_klines(texts: Texts) -> int:
    limit = int(texts.get("limit", _DEFAULT_KLINES))
    return next((weight for below, weight in _LEAST_KLINES if limit < below), _MOST_KLINES)


def _weight_by_symbol(one: int, every: int) -> Callable[[Texts], int]:
    return lambda texts: one if "symbol" in texts else every


def _public(
    name: str, path: str, ccxt: str, weight: int | Callable[[Texts], int], answer: Callable[[object], bool]
) -> Endpoint:
    return Endpoint(
        name=name,
        method="GET",
        area="fapi",
        version=1,
        path=path,
        ccxt=ccxt,
        access=Access.PUBLIC,
        weight=weight,
        is_acknowledged_by=answer,
    )


def _asks(
    name: str,
    path: str,
    ccxt: str,
    weight: int | Callable[[Texts], int],
    answer: Callable[[object], bool],
    *,
    version: int = 1,
    area: str = "fapi",
) -> Endpoint:
    return Endpoint(
        name=name,
        method="GET",
        area=area,
        version=version,
        path=path,
        ccxt=ccxt,
        access=Access.SIGNED,
        weight=weight,
        is_acknowledged_by=answer,
    )


def _changes(
    name: str,
    method: str,
    path: str,
    ccxt: str,
    answer: Callable[[object], bool],
    *,
    use: Use,
    weight: int = 1,
    client_id: str = "",
    counts_as_order: bool = False,
) -> Endpoint:
    return Endpoint(
        name=name,
        method=method,
        area="fapi",
        version=1,
        path=path,
        ccxt=ccxt,
        access=Access.SIGNED,
        weight=weight,
        is_acknowledged_by=answer,
        use=use,
        may_change=True,
        client_id=client_id,
        counts_as_order=counts_as_order,
    )


def _listen_key(name: str, method: str, ccxt: str) -> Endpoint:
    return Endpoint(
        name=name,
        method=method,
        area="fapi",
        version=1,
        path="listenKey",
        ccxt=ccxt,
        access=Access.KEY,
        weight=1,
        is_acknowledged_by=_with("listenKey"),
    )


_ALL: Final = (
    # The market
    _public("time", "time", "fapiPublicGetTime", 1, _with("serverTime")),
    _public("exchange_info", "exchangeInfo", "fapiPublicGetExchangeInfo", 1, _with("symbols")),
    _public("klines", "klines", "fapiPublicGetKlines", _weight_of_klines, _is_list),
    _public("mark_klines", "markPriceKlines", "fapiPublicGetMarkPriceKlines", _weight_of_klines, _is_list),
    _public("funding_rates", "fundingRate", "fapiPublicGetFundingRate", 0, _is_list),  # 500 in 5 minutes instead
    _public("funding_info", "fundingInfo", "fapiPublicGetFundingInfo", 0, _is_list),  # of the same 500
    _public(
        "premium_index",
        "premiumIndex",
        "fapiPublicGetPremiumIndex",
        _weight_by_symbol(1, 10),
        _is_list_or_entry,
    ),
    # Orders
    _changes(
        "order.place",
        "POST",
        "order",
        "fapiPrivatePostOrder",
        _with("orderId"),
        use=Use.ENTRY,
        weight=0,
        client_id="newClientOrderId",
        counts_as_order=True,
    ),
    _changes("order.cancel", "DELETE", "order", "fapiPrivateDeleteOrder", _with("orderId"), use=Use.EXIT),
    _changes("order.cancel_all", "DELETE", "allOpenOrders", "fapiPrivateDeleteAllOpenOrders", _is_done, use=Use.EXIT),
    _changes(
        "order.countdown",
        "POST",
        "countdownCancelAll",
        "fapiPrivatePostCountdownCancelAll",
        _with("countdownTime"),
        use=Use.QUERY,
        weight=10,
    ),
    _asks("order.query", "order", "fapiPrivateGetOrder", 1, _with("orderId")),
    _asks("order.open", "openOrders", "fapiPrivateGetOpenOrders", _weight_by_symbol(1, 40), _is_list),
    _asks("order.all", "allOrders", "fapiPrivateGetAllOrders", 5, _is_list),
    # Conditional orders, which live in a service of their own
    _changes(
        "algo.place",
        "POST",
        "algoOrder",
        "fapiPrivatePostAlgoOrder",
        _with("algoId"),
        use=Use.ENTRY,
        weight=0,
        client_id="clientAlgoId",
        counts_as_order=True,
    ),
    _changes("algo.cancel", "DELETE", "algoOrder", "fapiPrivateDeleteAlgoOrder", _with("algoId"), use=Use.EXIT),
    _asks("algo.query", "algoOrder", "fapiPrivateGetAlgoOrder", 1, _with("algoId")),
    _asks("algo.open", "openAlgoOrders", "fapiPrivateGetOpenAlgoOrders", _weight_by_symbol(1, 40), _is_list),
    _asks("algo.all", "allAlgoOrders", "fapiPrivateGetAllAlgoOrders", 5, _is_list),
    # The account
    _asks("positions", "positionRisk", "fapiPrivateV3GetPositionRisk", 5, _is_list, version=3),
    _asks("account", "account", "fapiPrivateV3GetAccount", 5, _with("totalWalletBalance"), version=3),
    _asks("balances", "balance", "fapiPrivateV3GetBalance", 5, _is_list, version=3),
    _asks("account_config", "accountConfig", "fapiPrivateGetAccountConfig", 5, _with("dualSidePosition")),
    _asks("symbol_config", "symbolConfig", "fapiPrivateGetSymbolConfig", 5, _is_list),
    _asks("trades", "userTrades", "fapiPrivateGetUserTrades", 5, _is_list),
    _asks("income", "income", "fapiPrivateGetIncome", 30, _is_list),
    _asks("brackets", "leverageBracket", "fapiPrivateGetLeverageBracket", 1, _is_list_or_entry),
    _asks("commission", "commissionRate", "fapiPrivateGetCommissionRate", 20, _with("takerCommissionRate")),
    _asks("fee_burn", "feeBurn", "fapiPrivateGetFeeBurn", 30, _with("feeBurn")),
    _asks("multi_assets", "multiAssetsMargin", "fapiPrivateGetMultiAssetsMargin", 30, _with("multiAssetsMargin")),
    _asks("position_mode", "positionSide/dual", "fapiPrivateGetPositionSideDual", 30, _with("dualSidePosition")),
    _changes(
        "position_mode.set",
        "POST",
        "positionSide/dual",
        "fapiPrivatePostPositionSideDual",
        _is_done,
        use=Use.ENTRY,
    ),
    _changes("leverage.set", "POST", "leverage", "fapiPrivatePostLeverage", _with("leverage"), use=Use.ENTRY),
    _changes("margin_mode.set", "POST", "marginType", "fapiPrivatePostMarginType", _is_done, use=Use.ENTRY),
    # Its stream and its key. To start a stream twice gives the same listen key.
    _listen_key("listen_key.start", "POST", "fapiPrivatePostListenKey"),
    _listen_key("listen_key.extend", "PUT", "fapiPrivatePutListenKey"),
    _asks(
        "key.restrictions",
        "account/apiRestrictions",
        "sapiGetAccountApiRestrictions",
        1,
        _with("enableReading"),
        area="sapi",
    ),
)

ENDPOINTS: Final[Mapping[str, Endpoint]] = {endpoint.name: endpoint for endpoint in _ALL}
"""Every call by its name."""


LOCAL_KEYS_PATH: Final = "/local/v1/keys"
"""Where a local exchange tells the keys of its accounts; no other venue has it."""


# Streams: behind the address of a venue's streams


def kline_stream(symbol: str, interval: str) -> str:
    """Return the name of the stream of a symbol's candles."""
    return f"{symbol.lower()}@kline_{interval}"


def mark_price_stream(symbol: str) -> str:
    """Return the name of the stream of a symbol's mark price, once a second."""
    return f"{symbol.lower()}@markPrice@1s"


def market_path(*names: str) -> str:
    """Return the path of a connection with streams of the market, each event wrapped with its stream's name."""
    return f"/market/stream?streams={'/'.join(names)}"


def user_path(listen_key: str) -> str:
    """Return the path of a connection with the events of an account. It holds the listen key: never log it."""
    return f"/private/ws/{listen_key}"
