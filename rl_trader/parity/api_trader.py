"""A client that knows nothing but the API, and keeps the stops beside its position as deployment has to."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple, cast

from rl_trader.config import TradingConfig
from rl_trader.differential.witnesses import decimal, units
from rl_trader.errors import ConfigError
from rl_trader.klines import utc
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.books.positions import FLAT, Position
from rl_trader.local_exchange.books.prices import stop_level, take_profit_level
from rl_trader.local_exchange.books.terms import SymbolTerms
from rl_trader.local_exchange.engine.trader import TRANSFER
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.shells.signed_client import AnsweredError, SignedClient
from rl_trader.state import Order

MOST_ROWS: Final = 1000  # of an answer
POST_ONLY: Final = "GTX"  # the exchange's word
IMMEDIATELY: Final = -2021  # a stop that is met before it can be placed


class Leg(NamedTuple):
    """One order of a decision; the reducing leg goes first."""

    amount: Decimal  # signed
    is_reducing: bool
    limit_price: Decimal | None = None  # post-only until the bar's end; None is a market order


class Booking(NamedTuple):
    """One line of income."""

    kind: str
    units: int  # of 1e-8 USDT


class ApiTrader:
    """Trades one symbol over the API.

    Args:
        assembly: In lock-step.
        symbol: Which.
        trading: How the account trades.
    """

    def __init__(self, assembly: Assembly, symbol: str, trading: TradingConfig) -> None:
        venue = assembly.venue
        self._client = SignedClient(MemoryTransport(assembly.dispatcher), assembly.keys[0], venue.market_ms)
        self._symbol = symbol
        self._trading = trading
        self._terms = SymbolTerms.of(venue.exchange.quotes[symbol].contract)
        self._guarded = FLAT  # what the stops are of
        self.refusals: list[int] = []
        self._client.call("POST", "/fapi/v1/leverage", symbol=symbol, leverage=trading.leverage_of(symbol))
        if trading.margin_mode == "isolated":
            self._client.call("POST", "/fapi/v1/marginType", symbol=symbol, marginType="ISOLATED")
        if trading.fees_in_bnb:
            self._client.call("POST", "/fapi/v1/feeBurn", feeBurn="true")

    def position(self) -> Position:
        """Return the position, as the exchange answers."""
        rows = cast("list[dict[str, str]]", self._client.call("GET", "/fapi/v3/positionRisk", symbol=self._symbol))
        for row in rows:
            if Decimal(row["positionAmt"]):
                return Position(Decimal(row["positionAmt"]), Decimal(row["entryPrice"]), Decimal(row["isolatedWallet"]))
        return FLAT

    def wallet_balance(self) -> Decimal:
        """Return the wallet, as the exchange answers."""
        (row,) = cast("list[dict[str, str]]", self._client.call("GET", "/fapi/v3/balance"))
        return Decimal(row["balance"])

    def margin_balance(self) -> Decimal:
        """Return the wallet with the unrealised profit, as the exchange answers."""
        answer = cast("dict[str, str]", self._client.call("GET", "/fapi/v3/account"))
        return Decimal(answer["totalMarginBalance"])

    def taker_fee(self) -> Decimal:
        """Return the account's fee, before a discount for BNB, as the exchange answers."""
        answer = self._client.call("GET", "/fapi/v1/commissionRate", symbol=self._symbol)
        return Decimal(cast("dict[str, str]", answer)["takerCommissionRate"])

    def income(self, since_ms: int, until_ms: int) -> list[Booking]:
        """Return everything that was booked in ``[since_ms, until_ms)``, the oldest first, without transfers.

        Raises:
            ConfigError: If it is more than one answer holds.
        """
        rows = cast(
            "list[dict[str, str]]",
            self._client.call("GET", "/fapi/v1/income", startTime=since_ms, endTime=until_ms - 1, limit=MOST_ROWS),
        )
        if len(rows) == MOST_ROWS:
            raise ConfigError(f"after {utc(since_ms)} more was booked than one answer holds; ask for less")
        kept = (row for row in rows if row["incomeType"] != TRANSFER)
        return [Booking(row["incomeType"], units(float(row["income"]))) for row in kept]

    def trade(self, order: Order) -> int:
        """Send an order's legs and let the stops follow; return how many orders were sent."""
        amounts = ((order.reduce_amount, True), (order.open_amount, False))
        price = decimal(order.limit_price) if order.limit_price else None
        return self.carry_out([Leg(decimal(amount), is_reducing, price) for amount, is_reducing in amounts if amount])

    def carry_out(self, legs: Sequence[Leg]) -> int:
        """Send legs, and let the stops follow.

        Returns:
            How many orders were sent: a leg that is refused is the last.
        """
        self.refusals = []
        sent = 0
        for leg in legs:
            if not sent and not self.position().amount:
                self._guarded = FLAT  # a stop, or a liquidation, has closed it since
            sent += 1
            if not self._send(leg):
                break
        if sent:
            self.guard()
        return sent

    def take_back(self) -> None:
        """Cancel the orders that rest."""
        self._client.call("DELETE", "/fapi/v1/allOpenOrders", symbol=self._symbol)

    def _send(self, leg: Leg) -> bool:
        is_limit = leg.limit_price is not None
        try:
            self._client.call(
                "POST",
                "/fapi/v1/order",
                symbol=self._symbol,
                side="BUY" if leg.amount > 0 else "SELL",
                type="LIMIT" if is_limit else "MARKET",
                price=f"{leg.limit_price:f}" if is_limit else None,
                timeInForce=POST_ONLY if is_limit else None,
                quantity=f"{abs(leg.amount):f}",
                reduceOnly="true" if leg.is_reducing else None,
            )
        except AnsweredError as error:
            self.refusals.append(error.code)
            return False
        return True

    def guard(self) -> None:
        """Let the stops be those of the position that is held."""
        position, trading = self.position(), self._trading
        was, self._guarded = self._guarded, position
        if position.amount * was.amount > 0 and position.entry_price == was.entry_price:
            return
        if not position.amount and not was.amount:
            return
        self._client.call("DELETE", "/fapi/v1/algoOpenOrders", symbol=self._symbol)
        if not position.amount:
            return
        if trading.stop_loss is not None:
            level = stop_level(self._terms, position, decimal(trading.stop_loss))
            if not self._place_stop("STOP_MARKET", level, position):
                return
        if trading.take_profit is not None:
            level = take_profit_level(self._terms, position, decimal(trading.take_profit))
            self._place_stop("TAKE_PROFIT_MARKET", level, position)

    def _place_stop(self, kind: str, level: Decimal, position: Position) -> bool:
        try:
            self._client.call(
                "POST",
                "/fapi/v1/algoOrder",
                algoType="CONDITIONAL",
                symbol=self._symbol,
                side="SELL" if position.amount > 0 else "BUY",
                type=kind,
                triggerPrice=f"{level:f}",
                workingType="MARK_PRICE" if self._trading.stop_trigger == "mark" else "CONTRACT_PRICE",
                closePosition="true",
            )
        except AnsweredError as error:
            self.refusals.append(error.code)
            if error.code == IMMEDIATELY:
                self._send(Leg(-position.amount, is_reducing=True))
            return False
        return True
