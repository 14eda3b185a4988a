"""Answers of the local exchange agree with each other, whatever was ordered and whatever the market did.

Two accounts trade two symbols at random for each seed: orders of every kind, changes, cancellations, leverage, isolated
margin, price moves from calm to ruinous, funding. Everything is added up again from the answers alone: the balance from
income, positions from trades, orders from their trades, margins from positions.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from tests.account_stage import SYMBOLS, AccountStage

ACCOUNTS = ("main", "other")
NUM_SEEDS = 3
NUM_STEPS = 120
UNIT = Decimal("1e-8")  # that money is rounded to
TOTALS = {  # of the account: field of its positions
    "totalInitialMargin": "initialMargin",
    "totalMaintMargin": "maintMargin",
    "totalPositionInitialMargin": "positionInitialMargin",
    "totalOpenOrderInitialMargin": "openOrderInitialMargin",
    "totalUnrealizedProfit": "unrealizedProfit",
}

D = Decimal


class Gambler:
    """Does something at random with an account; what is refused is forgotten.

    Args:
        stage: Where.
        seed: Of chance.
        is_hedged: Whether the account has long and short positions.
    """

    def __init__(self, stage: AccountStage, seed: int, *, is_hedged: bool) -> None:
        self._stage, self._rng, self._is_hedged = stage, Random(seed), is_hedged
        self._deeds: dict[str, Callable[[], dict[str, object]]] = {
            "POST order": self._order,
            "PUT order": self._change,
            "DELETE order": self._cancelled,
            "POST algoOrder": self._algo_order,
            "POST leverage": lambda: {"leverage": self._rng.choice((5, 20, 50))},
            "POST positionMargin": lambda: {"amount": "1.5", "type": self._rng.choice((1, 2)), **self._side()},
            "DELETE allOpenOrders": lambda: {},
        }

    def act(self) -> None:
        """Do one thing."""
        (deed,) = self._rng.choices(list(self._deeds), weights=(12, 3, 2, 3, 1, 2, 1))
        method, name = deed.split()
        symbol = self._rng.choice(SYMBOLS)
        self._quotes = self._stage.exchange.quotes[symbol]
        response = self._stage.respond(method, f"/fapi/v1/{name}", symbol=symbol, **self._deeds[deed]())
        assert response.status in (200, 400), response.body

    def move(self) -> None:
        """Let the market do one thing."""
        symbol = self._rng.choice(SYMBOLS)
        last = self._stage.exchange.quotes[symbol].last
        if self._rng.random() < 0.1:
            self._stage.settle(self._rng.choice(("0.0003", "-0.0001")), f"{last}", symbol)
        spread = self._rng.choice((0.002, 0.002, 0.01, 0.08))
        moved = f"{float(last) * self._rng.uniform(1 - spread, 1 + spread):.1f}"
        self._stage.move(moved, f"{float(moved) * self._rng.uniform(0.999, 1.001):.2f}", symbol)

    def _side(self) -> dict[str, object]:
        return {"positionSide": self._rng.choice(("LONG", "SHORT"))} if self._is_hedged else {}

    def _price(self) -> str:
        return f"{float(self._quotes.last) * self._rng.uniform(0.99, 1.01):.1f}"

    def _quantity(self) -> str:
        return f"{self._rng.uniform(60, 15000) / float(self._quotes.last):.3f}"

    def _order(self) -> dict[str, object]:
        order: dict[str, object] = {"side": self._rng.choice(("BUY", "SELL")), "quantity": self._quantity()}
        order |= self._side()
        if self._rng.random() < 0.4:
            return order | {"type": "MARKET"}
        if not self._is_hedged and self._rng.random() < 0.2:
            order["reduceOnly"] = "true"
        time_in_force = self._rng.choice(("GTC", "GTC", "IOC", "GTX"))
        return order | {"type": "LIMIT", "price": self._price(), "timeInForce": time_in_force}

    def _open_order(self) -> dict[str, object]:
        orders = self._stage.trader.open_orders_of(self._quotes.symbol)
        if not orders:
            return {"orderId": 1, "side": "BUY"}
        order = self._rng.choice(orders)
        return {"orderId": order.order_id, "side": order.side.value}

    def _change(self) -> dict[str, object]:
        return self._open_order() | {"price": self._price(), "quantity": self._quantity()}

    def _cancelled(self) -> dict[str, object]:
        return self._open_order()

    def _algo_order(self) -> dict[str, object]:
        kind = self._rng.choice(("STOP_MARKET", "TAKE_PROFIT_MARKET"))
        side = self._rng.choice(("BUY", "SELL"))
        is_above = (kind == "STOP_MARKET") == (side == "BUY")
        trigger = f"{float(self._quotes.last) * (1.004 if is_above else 0.996):.1f}"
        order = {"algoType": "CONDITIONAL", "type": kind, "side": side, "triggerPrice": trigger}
        return {**order, "quantity": self._quantity(), **self._side()}


def every_trade(stage: AccountStage, symbol: str) -> list[Any]:
    """Return all trades, page by page."""
    trades: list[Any] = []
    while more := stage.get("userTrades", symbol=symbol, fromId=trades[-1]["id"] + 1 if trades else 0, limit=17):
        trades += more
    return trades


def every_income(stage: AccountStage) -> list[Any]:
    """Return all income, page by page."""
    pages: list[list[Any]] = []
    while more := stage.get("income", startTime=0, page=len(pages) + 1):
        pages.append(more)
    return [line for page in pages for line in page]


def signed(trade: Any) -> Decimal:
    """Return the amount of a trade, negative of a sale."""
    return D(trade["qty"]) if trade["side"] == "BUY" else -D(trade["qty"])


def total(values: Any) -> Decimal:
    return sum(values, D(0))


def check_money(stage: AccountStage, trades: list[Any]) -> None:
    """Compare the balance with income, and income with trades."""
    income = every_income(stage)
    (balance,) = stage.ask("GET", "/fapi/v3/balance")
    assert D(balance["balance"]) == total(D(line["income"]) for line in income)
    assert income[0]["incomeType"] == "TRANSFER"

    def booked(kind: str) -> dict[tuple[str, str], Decimal]:
        sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for line in income:
            if line["incomeType"] == kind and D(line["income"]):
                sums[line["symbol"], line["tradeId"]] += D(line["income"])
        return sums

    paid: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    realized: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for trade in trades:
        key = trade["symbol"], str(trade["id"])
        if D(trade["commission"]):
            paid[key] -= D(trade["commission"])
        if D(trade["realizedPnl"]):
            realized[key] += D(trade["realizedPnl"])
    assert booked("COMMISSION") == paid
    assert booked("REALIZED_PNL") == realized


def check_orders(stage: AccountStage, symbol: str, trades: list[Any]) -> None:
    """Compare orders with their trades, and the lists of orders with each other."""
    orders = stage.get("allOrders", symbol=symbol, limit=1000)
    by_order: defaultdict[int, list[Any]] = defaultdict(list)
    for trade in trades:
        by_order[trade["orderId"]].append(trade)
    assert set(by_order) <= {order["orderId"] for order in orders}
    for order in orders:
        own = by_order[order["orderId"]]
        assert D(order["executedQty"]) == D(order["cumBase"]) == total(D(trade["qty"]) for trade in own)
        assert D(order["cumQuote"]) == total(D(trade["quoteQty"]) for trade in own)
        assert (order["status"] == "FILLED") == (order["executedQty"] == order["origQty"])
        if own:
            amount = D(order["executedQty"])
            assert abs(D(order["avgPrice"]) * amount - D(order["cumQuote"])) <= UNIT * (1 + amount)
    is_open = [order for order in orders if order["status"] in ("NEW", "PARTIALLY_FILLED")]
    assert [order["orderId"] for order in stage.get("openOrders", symbol=symbol)] == [o["orderId"] for o in is_open]
    for row in stage.ask("GET", "/fapi/v3/positionRisk", symbol=symbol):
        own = [order for order in is_open if order["positionSide"] == row["positionSide"]]
        for side, name in (("BUY", "bidNotional"), ("SELL", "askNotional")):
            rest = ((D(o["origQty"]) - D(o["executedQty"])) * D(o["price"]) for o in own if o["side"] == side)
            assert D(row[name]) == total(rest)


def check_positions(stage: AccountStage, symbol: str, trades: list[Any]) -> None:
    """Compare positions with trades, and what they have earned with the cash that went in and out."""
    rows = stage.ask("GET", "/fapi/v2/positionRisk", symbol=symbol)
    assert {trade["positionSide"] for trade in trades} <= {row["positionSide"] for row in rows}
    for row in rows:
        own = [trade for trade in trades if trade["positionSide"] == row["positionSide"]]
        amount, mark = D(row["positionAmt"]), D(row["markPrice"])
        assert amount == total(signed(trade) for trade in own)
        assert abs(D(row["notional"]) - amount * mark) <= UNIT
        assert abs(D(row["unRealizedProfit"]) - amount * (mark - D(row["entryPrice"]))) <= UNIT * (1 + abs(amount))
        earned = total(D(trade["realizedPnl"]) for trade in own) + D(row["unRealizedProfit"])
        cash = amount * mark - total(signed(trade) * D(trade["price"]) for trade in own)
        written = total(D(trade["qty"]) for trade in own)  # at prices of eight decimals
        assert abs(earned - cash) <= UNIT * (1 + len(own) + written)
        assert (row["entryPrice"] == "0.00") == (amount == 0)


def check_margins(stage: AccountStage) -> None:
    """Compare both versions of the account with each other, with the balance and with the positions."""
    old, new = stage.ask("GET", "/fapi/v2/account"), stage.ask("GET", "/fapi/v3/account")
    (balance,) = stage.ask("GET", "/fapi/v3/balance")
    for name in new:
        if name not in ("assets", "positions"):
            assert old[name] == new[name], name
    positions = old["positions"]
    slack = UNIT * (len(positions) + 1)
    for name, field in TOTALS.items():
        assert abs(D(new[name]) - total(D(row[field]) for row in positions)) <= slack, name
    in_use = [row for row in new["positions"] if row in [{n: each[n] for n in row} for each in positions]]
    assert in_use == new["positions"]
    set_aside = total(D(row["isolatedWallet"]) for row in positions)
    wallet, cross = D(new["totalWalletBalance"]), D(new["totalCrossWalletBalance"])
    assert wallet == cross + set_aside == D(balance["balance"])
    assert D(new["totalMarginBalance"]) == wallet + D(new["totalUnrealizedProfit"])
    shared = [row for row in positions if not row["isolated"]]
    profit = total(D(row["unrealizedProfit"]) for row in shared)
    assert abs(D(new["totalCrossUnPnl"]) - profit) <= slack
    bound = total(D(row["positionInitialMargin"]) for row in shared) + D(new["totalOpenOrderInitialMargin"])
    assert abs(D(new["availableBalance"]) - max(cross + profit - bound, D(0))) <= slack
    assert new["availableBalance"] == balance["availableBalance"] == new["assets"][0]["availableBalance"]
    assert D(0) <= D(new["maxWithdrawAmount"]) <= D(new["availableBalance"])


def check_algo_orders(stage: AccountStage, symbol: str) -> None:
    """Compare conditional orders with the orders that they have become."""
    waiting = []
    for algo in stage.get("allAlgoOrders", symbol=symbol):
        if algo["algoStatus"] == "NEW":
            waiting.append(algo)
        if algo["actualOrderId"]:
            order = stage.get("order", symbol=symbol, orderId=algo["actualOrderId"])
            assert (order["origType"], order["clientOrderId"]) == (algo["orderType"], algo["clientAlgoId"])
            whole = stage.get("algoOrder", algoId=algo["algoId"])
            assert (whole["actualQty"], whole["actualPrice"]) == (order["executedQty"], order["avgPrice"])
    assert stage.get("openAlgoOrders", symbol=symbol) == waiting


def prepared(margin_type: str, *, is_hedged: bool) -> AccountStage:
    """Return a venue whose accounts trade in these modes."""
    stage = AccountStage(wallet="1500", accounts=ACCOUNTS)
    for account in ACCOUNTS:
        stage.use(account)
        if is_hedged:
            stage.post("positionSide/dual", dualSidePosition="true")
        if margin_type == "ISOLATED":
            for symbol in SYMBOLS:
                stage.post("marginType", symbol=symbol, marginType=margin_type)
    return stage


@pytest.mark.parametrize("margin_type", ["CROSSED", "ISOLATED"])
@pytest.mark.parametrize("is_hedged", [False, True])
def test_answers_agree_after_anything(is_hedged: bool, margin_type: str) -> None:
    happened: Counter[str] = Counter()
    for seed in range(NUM_SEEDS):
        stage = prepared(margin_type, is_hedged=is_hedged)
        gamble(stage, Gambler(stage, seed, is_hedged=is_hedged))
        for account in ACCOUNTS:
            stage.use(account)
            happened.update(happenings(stage))
    wanted = {"maker", "taker", "amendments", "liquidations", "triggered", "cancelled", "FUNDING_FEE"}
    wanted |= {"margin moves"} if margin_type == "ISOLATED" else set()
    assert wanted <= set(+happened), happened


def gamble(stage: AccountStage, gambler: Gambler) -> None:
    """Let both accounts trade in turn, and look again and again whether everything agrees."""
    for step in range(NUM_STEPS):
        stage.use(ACCOUNTS[step % len(ACCOUNTS)])
        gambler.act()
        if step % 2:
            gambler.move()
        if step % 10 == 9:
            for account in ACCOUNTS:
                stage.use(account)
                check_everything(stage)


def happenings(stage: AccountStage) -> dict[str, int]:
    """Count what has happened to an account, so that a walk on which nothing happens is noticed."""
    trader = stage.trader
    makers = sum(fill.is_maker for fill in trader.fills)
    return {
        "maker": makers,
        "taker": len(trader.fills) - makers,
        "amendments": len(trader.amendments),
        "margin moves": len(trader.margin_moves),
        "liquidations": len(stage.get("forceOrders")),
        "triggered": sum(order.actual_order_id is not None for order in trader.algo_orders.values()),
        "cancelled": sum(order["status"] == "CANCELED" for order in stage.get("allOrders")),
        "FUNDING_FEE": len(stage.get("income", incomeType="FUNDING_FEE")),
    }


def check_everything(stage: AccountStage) -> None:
    trades = {symbol: every_trade(stage, symbol) for symbol in SYMBOLS}
    check_money(stage, [trade for each in trades.values() for trade in each])
    check_margins(stage)
    for symbol in SYMBOLS:
        check_orders(stage, symbol, trades[symbol])
        check_positions(stage, symbol, trades[symbol])
        check_algo_orders(stage, symbol)
