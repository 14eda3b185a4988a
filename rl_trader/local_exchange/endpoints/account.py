"""The account: balances, margins and how it is set up.

Sources: the API documentation of USD-M futures, "Account Information" v2 and v3, "Futures Account Balance", "Futures
Account Configuration", and of the wallet, "Get API Key Permission" (read in autumn 2026). The account has one asset,
USDT. What may be withdrawn is the available balance without unrealised profit (an assumption). Clients of 2019 ask
``/fapi/v1/account``, ``balance`` and ``positionRisk``, which the exchange has taken away: they get the answers of
version 2.

Money in USDT.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.endpoints.each_symbol import weight_of_each
from rl_trader.local_exchange.endpoints.order_answers import Answer
from rl_trader.local_exchange.endpoints.order_parameters import ANY_SYMBOL
from rl_trader.local_exchange.endpoints.positions import (
    PositionRow,
    account_position,
    account_position_v2,
    adl_quantiles,
    is_in_use,
    position_risk,
    position_risk_v2,
    rows_of,
)
from rl_trader.local_exchange.engine.placing import made_up_id
from rl_trader.local_exchange.engine.trader import BNB, Trader
from rl_trader.local_exchange.engine.views import available_balance
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Parameter, Security, Weight
from rl_trader.local_exchange.wire import money_text

USDT: Final = "USDT"
NO_GROUP: Final = -1  # the account is in no group of those who do not trade with each other

_ALIAS_LENGTH: Final = 14


class Sums(NamedTuple):
    """The account's money at one moment."""

    wallet: Decimal
    cross_wallet: Decimal
    unrealized: Decimal
    cross_unrealized: Decimal
    position_margin: Decimal
    order_margin: Decimal
    maintenance: Decimal
    available: Decimal
    withdrawable: Decimal
    updated_ms: int

    @property
    def margin_balance(self) -> Decimal:
        """The wallet with the unrealised profit."""
        return self.wallet + self.unrealized

    @property
    def initial_margin(self) -> Decimal:
        """Of positions and open orders."""
        return self.position_margin + self.order_margin


@exact
def sums_of(call: Call, rows: Iterable[PositionRow]) -> Sums:
    """Return the account's money, given all its positions."""
    rows, trader = list(rows), call.trader
    cross_unrealized = sum((row.unrealized for row in rows if not row.is_isolated), ZERO)
    available = max(available_balance(call.venue.exchange.state, trader), ZERO)
    return Sums(
        wallet=trader.books.wallet_balance,
        cross_wallet=trader.cross_wallet,
        unrealized=sum((row.unrealized for row in rows), ZERO),
        cross_unrealized=cross_unrealized,
        position_margin=sum((row.position_margin for row in rows), ZERO),
        order_margin=sum((row.order_margin for row in rows), ZERO),
        maintenance=sum((row.maintenance for row in rows), ZERO),
        available=available,
        withdrawable=max(available - max(cross_unrealized, ZERO), ZERO),
        updated_ms=trader.income[-1].time_ms if trader.income else 0,
    )


@exact
def account(call: Call) -> Answer:
    """Answer ``GET /fapi/v3/account``: positions of the symbols with a position or an open order."""
    rows = list(rows_of(call))
    sums = sums_of(call, rows)
    used = [row for row in rows if is_in_use(call.trader, row.symbol)]
    return _totals(sums) | {"assets": _assets(call.trader, sums), "positions": [account_position(row) for row in used]}


@exact
def account_v2(call: Call) -> Answer:
    """Answer ``GET /fapi/v2/account``, the older one of v1, and ``account.status``: positions of all symbols."""
    rows = list(rows_of(call))
    sums = sums_of(call, rows)
    return {
        **_permissions(call.trader),
        "feeBurn": call.trader.burns_bnb,
        **_totals(sums),
        "assets": [asset | {"marginAvailable": True} for asset in _assets(call.trader, sums)],
        "positions": [account_position_v2(row) for row in rows],
    }


@exact
def account_status(call: Call) -> Answer:
    """Answer ``v2/account.status``: as ``GET /fapi/v3/account``, and whether the asset serves as margin."""
    assets = _assets(call.trader, sums_of(call, rows_of(call)))
    return account(call) | {"assets": [asset | {"marginAvailable": True} for asset in assets]}


@exact
def balance(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v3/balance``, the older ones of v2 and v1, and ``account.balance``."""
    sums = sums_of(call, rows_of(call))
    usdt = {
        "accountAlias": made_up_id(call.trader.name, 0)[:_ALIAS_LENGTH],
        "asset": USDT,
        "balance": money_text(sums.wallet),
        "crossWalletBalance": money_text(sums.cross_wallet),
        "crossUnPnl": money_text(sums.cross_unrealized),
        "availableBalance": money_text(sums.available),
        "maxWithdrawAmount": money_text(sums.withdrawable),
        "marginAvailable": True,
        "updateTime": sums.updated_ms,
    }
    bnb = call.trader.bnb
    return [usdt] if bnb is None else [usdt, usdt | _all_free(bnb.balance)]


def _all_free(balance: Decimal) -> Answer:
    """Return what is told of BNB, which is no margin in the single-asset mode and pays fees alone."""
    names = ("balance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount")
    return {"asset": BNB, **dict.fromkeys(names, money_text(balance)), "crossUnPnl": money_text(ZERO)}


def account_config(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/accountConfig``."""
    return {**_permissions(call.trader), "dualSidePosition": call.trader.is_hedged}


def api_restrictions(call: Call) -> Answer:
    """Answer ``GET /sapi/v1/account/apiRestrictions``: the key may read and trade futures, from this machine alone."""
    opened_ms = call.trader.income[0].time_ms if call.trader.income else 0
    return {
        "ipRestrict": True,
        "createTime": opened_ms,
        "enableReading": True,
        "enableFutures": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableSpotAndMarginTrading": False,
        "enableVanillaOptions": False,
        "permitsUniversalTransfer": False,
        "enablePortfolioMarginTrading": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        **call.venue.permissions,
    }


def trading_status(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/apiTradingStatus``: no account here breaks the quantitative rules, none being enforced."""
    return {"indicators": {}, "updateTime": call.venue.market_ms()}


def order_limits(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/rateLimit/order``: the shorter time first."""
    rows = [row for row in call.venue.limits.terms.rows() if row["rateLimitType"] == "ORDERS"]
    return sorted(rows, key=lambda row: row["interval"] != "SECOND")


def _permissions(trader: Trader) -> Answer:
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": trader.is_multi_assets,
        "tradeGroupId": NO_GROUP,
    }


def _totals(sums: Sums) -> Answer:
    return {
        "totalInitialMargin": money_text(sums.initial_margin),
        "totalMaintMargin": money_text(sums.maintenance),
        "totalWalletBalance": money_text(sums.wallet),
        "totalUnrealizedProfit": money_text(sums.unrealized),
        "totalMarginBalance": money_text(sums.margin_balance),
        "totalPositionInitialMargin": money_text(sums.position_margin),
        "totalOpenOrderInitialMargin": money_text(sums.order_margin),
        "totalCrossWalletBalance": money_text(sums.cross_wallet),
        "totalCrossUnPnl": money_text(sums.cross_unrealized),
        "availableBalance": money_text(sums.available),
        "maxWithdrawAmount": money_text(sums.withdrawable),
    }


def _assets(trader: Trader, sums: Sums) -> list[Answer]:
    """Return what the account has: USDT, and BNB that pay fees where it has such, which nothing is held with."""
    usdt = _asset(sums)
    if trader.bnb is None:
        return [usdt]
    balance = money_text(trader.bnb.balance)
    names = ("walletBalance", "marginBalance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount")
    bnb = dict.fromkeys(usdt, money_text(ZERO)) | dict.fromkeys(names, balance)
    return [usdt, bnb | {"asset": BNB, "updateTime": sums.updated_ms}]


def _asset(sums: Sums) -> Answer:
    return {
        "asset": USDT,
        "walletBalance": money_text(sums.wallet),
        "unrealizedProfit": money_text(sums.unrealized),
        "marginBalance": money_text(sums.margin_balance),
        "maintMargin": money_text(sums.maintenance),
        "initialMargin": money_text(sums.initial_margin),
        "positionInitialMargin": money_text(sums.position_margin),
        "openOrderInitialMargin": money_text(sums.order_margin),
        "crossWalletBalance": money_text(sums.cross_wallet),
        "crossUnPnl": money_text(sums.cross_unrealized),
        "availableBalance": money_text(sums.available),
        "maxWithdrawAmount": money_text(sums.withdrawable),
        "updateTime": sums.updated_ms,
    }


def _endpoint(path: str, answer: Callable[[Call], object], weight: Weight, *parameters: Parameter) -> Endpoint:
    return Endpoint(
        method="GET" if path.startswith("/") else "",
        path=path,
        answer=answer,
        security=Security.USER_DATA,
        weight=weight,
        parameters=parameters,
    )


BALANCE_ENDPOINTS: Final = (
    _endpoint("/fapi/v3/account", account, 5),
    _endpoint("/fapi/v2/account", account_v2, 5),
    _endpoint("/fapi/v1/account", account_v2, 5),
    _endpoint("/fapi/v3/balance", balance, 5),
    _endpoint("/fapi/v2/balance", balance, 5),
    _endpoint("/fapi/v1/balance", balance, 5),
    _endpoint("/fapi/v3/positionRisk", position_risk, 5, ANY_SYMBOL),
    _endpoint("/fapi/v2/positionRisk", position_risk_v2, 5, ANY_SYMBOL),
    _endpoint("/fapi/v1/positionRisk", position_risk_v2, 5, ANY_SYMBOL),
    _endpoint("/fapi/v1/adlQuantile", adl_quantiles, 5, ANY_SYMBOL),
    _endpoint("/fapi/v1/accountConfig", account_config, 5),
    _endpoint("/fapi/v1/rateLimit/order", order_limits, 1),
    _endpoint("/fapi/v1/apiTradingStatus", trading_status, weight_of_each(1, 10), ANY_SYMBOL),
    _endpoint("/sapi/v1/account/apiRestrictions", api_restrictions, 1),
)
BALANCE_METHODS: Final = (  # of the WebSocket API
    _endpoint("account.status", account_v2, 5),
    _endpoint("v2/account.status", account_status, 5),
    _endpoint("account.balance", balance, 5),
    _endpoint("v2/account.balance", balance, 5),
    _endpoint("account.position", position_risk_v2, 5, ANY_SYMBOL),
    _endpoint("v2/account.position", position_risk, 5, ANY_SYMBOL),
)
