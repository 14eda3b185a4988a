"""The core's commands as calls to the exchange, and what comes back as the core's events."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol, cast

from rl_trader.live.core.commands import Sought
from rl_trader.live.core.events import (
    AllCancelled,
    Answered,
    Event,
    OrderSeen,
    Queried,
    Sending,
    Snapshot,
    SnapshotFailed,
)
from rl_trader.live.core.fencing import fence_ms
from rl_trader.live.core.intents import ZERO, Intent
from rl_trader.live.entries import ORDER_TYPES
from rl_trader.live.exchange.outcome import Kind, Outcome, RawAnswer, classify
from rl_trader.live.reading import (
    Row,
    UnreadableError,
    number,
    order_seen,
    settings_seen,
    snapshot,
    stop_seen,
    symbol_seen,
    whole,
)

POST_ONLY: Final = "GTX"  # the exchange's word
MOST_READINGS: Final = 5  # until two in a row agree
MOST_ROWS: Final = 1_000  # of an answer
WEEK_MS: Final = 604_800_000  # the longest time of which trades are listed at once
OVERLAP_MS: Final = 60_000  # by which income is asked for again: its order within a moment is not promised

_NO_SUCH_ORDER: Final = -2013


class Rest(Protocol):
    """Sends a call once, and says what came back."""

    async def call(self, name: str, /, **arguments: str | int | bool | Decimal | None) -> RawAnswer:
        """Send one call."""
        ...


class Calls:
    """Calls about one symbol of one account.

    Args:
        rest: Sends them.
        symbol: Which.
        now_ms: The exchange's time.
        recv_window_ms: How long after it was signed the exchange accepts an order.
        stop_on_mark: Whether protective orders wait for the mark price, else for the last.
        is_user_stream_healthy: Whether it has been since a time.
    """

    def __init__(
        self,
        rest: Rest,
        symbol: str,
        *,
        now_ms: Callable[[], int],
        recv_window_ms: int,
        stop_on_mark: bool,
        is_user_stream_healthy: Callable[[], bool],
    ) -> None:
        self._rest = rest
        self._symbol = symbol
        self._now_ms = now_ms
        self._recv_window_ms = recv_window_ms
        self._working_type = "MARK_PRICE" if stop_on_mark else "CONTRACT_PRICE"
        self._is_user_stream_healthy = is_user_stream_healthy

    # Orders

    def sending(self, intent: Intent) -> Sending:
        """Return the event that an order is about to be written to a socket."""
        now = self._now_ms()
        return Sending(t_ms=now, client_id=intent.client_id, fence_ms=fence_ms(now, self._recv_window_ms))

    async def place(self, intent: Intent) -> Answered:
        """Send an order, once."""
        if intent.purpose.is_conditional:
            raw = await self._rest.call(
                "algo.place",
                algoType="CONDITIONAL",
                symbol=self._symbol,
                side=intent.side,
                type=ORDER_TYPES[intent.purpose],
                triggerPrice=intent.trigger_price,
                workingType=self._working_type,
                closePosition="true",
                clientAlgoId=intent.client_id,
            )
        else:
            raw = await self._rest.call(
                "order.place",
                symbol=self._symbol,
                side=intent.side,
                type="MARKET" if intent.price is None else "LIMIT",
                price=intent.price,
                timeInForce=None if intent.price is None else POST_ONLY,
                quantity=abs(intent.amount),
                reduceOnly=None if intent.purpose.adds_exposure else "true",
                newClientOrderId=intent.client_id,
                newOrderRespType="RESULT",
            )
        return self._answered(intent, classify(raw))

    def withheld(self, intent: Intent, why: str) -> Answered:
        """Return the event that an order was not written to a socket after all."""
        return self._answered(intent, Outcome(kind=Kind.REJECTED, status=None, reason=f"not sent: {why}"))

    def _answered(self, intent: Intent, outcome: Outcome) -> Answered:
        data = outcome.data if isinstance(outcome.data, dict) else {}
        is_conditional = intent.purpose.is_conditional
        order_id: int | None = None
        executed = ZERO
        if outcome.kind is Kind.ACKED:
            try:
                order_id = whole(data, "algoId" if is_conditional else "orderId")
                executed = ZERO if is_conditional else number(data, "executedQty")
            except UnreadableError:
                executed = ZERO
        return Answered(
            t_ms=self._now_ms(),
            client_id=intent.client_id,
            outcome=outcome.kind.value,
            code=outcome.code,
            reason=outcome.reason,
            order_id=order_id,
            status=str(data.get("algoStatus" if is_conditional else "status", "")),
            executed=executed,
        )

    async def cancel(self, client_id: str, *, is_conditional: bool) -> list[Event]:
        """Take an order back; what is not known of it is asked for."""
        if is_conditional:
            outcome = classify(await self._rest.call("algo.cancel", clientAlgoId=client_id))
        else:
            raw = await self._rest.call("order.cancel", symbol=self._symbol, origClientOrderId=client_id)
            outcome = classify(raw)
        if outcome.kind is Kind.ACKED and not is_conditional:
            return self._seen(lambda: order_seen(cast("Row", outcome.data), self._now_ms()))
        if outcome.kind is Kind.ACKED:
            cancelled = OrderSeen(
                t_ms=self._now_ms(), client_id=client_id, order_id=None, status="CANCELED", executed=ZERO
            )
            return [cancelled]
        return await self.query(client_id, is_conditional=is_conditional)

    async def cancel_all(self) -> list[Event]:
        """Take back every ordinary order of the symbol; nothing is told where that is not certain."""
        outcome = classify(await self._rest.call("order.cancel_all", symbol=self._symbol))
        return [AllCancelled(t_ms=self._now_ms())] if outcome.kind is Kind.ACKED else []

    async def countdown(self, after_ms: int) -> Outcome:
        """Have open orders cancelled after a time, unless this is called again; 0 calls it off."""
        return classify(await self._rest.call("order.countdown", symbol=self._symbol, countdownTime=after_ms))

    async def query(self, client_id: str, *, is_conditional: bool) -> list[Event]:
        """Ask where an order is."""
        if is_conditional:
            outcome = classify(await self._rest.call("algo.query", clientAlgoId=client_id))
        else:
            raw = await self._rest.call("order.query", symbol=self._symbol, origClientOrderId=client_id)
            outcome = classify(raw)
        if outcome.kind is Kind.ACKED:
            read = stop_seen if is_conditional else order_seen
            return self._seen(lambda: read(cast("Row", outcome.data), self._now_ms()))
        is_absent = outcome.kind is Kind.REJECTED and outcome.code == _NO_SUCH_ORDER
        return [Queried(t_ms=self._now_ms(), client_id=client_id, is_absent=is_absent)]

    async def query_number(self, order_id: int) -> list[Event]:
        """Ask whose an order is."""
        outcome = classify(await self._rest.call("order.query", symbol=self._symbol, orderId=order_id))
        if outcome.kind is not Kind.ACKED:
            return []
        return self._seen(lambda: order_seen(cast("Row", outcome.data), self._now_ms()))

    def _seen(self, read: Callable[[], Event]) -> list[Event]:
        try:
            return [read()]
        except UnreadableError:
            return []

    # The account

    async def read_account(
        self, last_trade_id: int, since_ms: int, sought: Sequence[Sought] = ()
    ) -> Snapshot | SnapshotFailed:
        """Read everything, until the position is the same before and after.

        Args:
            last_trade_id: The newest trade that is known; 0 if none is.
            since_ms: From when on income is asked for, and from a little before; trades too, if none is known.
            sought: Orders that are looked for among all orders of their time.
        """
        was_healthy = self._is_user_stream_healthy()
        try:
            before = await self._list("positions", symbol=self._symbol)
            for _ in range(MOST_READINGS):
                answers = await self._read_rest(last_trade_id, since_ms)
                answers |= await self._search(sought)
                read_ms = self._now_ms()  # what has happened by then is in the last answer
                after = await self._list("positions", symbol=self._symbol)
                if _positions(before) == _positions(after):
                    return snapshot(
                        read_ms,
                        self._symbol,
                        positions=after,
                        is_user_stream_healthy=was_healthy and self._is_user_stream_healthy(),
                        **answers,
                    )
                before = after
        except UnreadableError as error:
            return SnapshotFailed(t_ms=self._now_ms(), reason=str(error))
        return SnapshotFailed(t_ms=self._now_ms(), reason="the position did not stand still while it was read")

    async def read_settings(self) -> list[Event]:
        """Return how account and symbol are set up; nothing where it cannot be read."""
        account = classify(await self._rest.call("account_config"))
        of_symbol = classify(await self._rest.call("symbol_config", symbol=self._symbol))
        if account.kind is not Kind.ACKED or of_symbol.kind is not Kind.ACKED:
            return []
        rows = [row for row in cast("list[Row]", of_symbol.data) if row.get("symbol") == self._symbol]
        return self._seen(lambda: settings_seen(self._now_ms(), cast("Row", account.data), rows[0] if rows else {}))

    async def read_symbol(self) -> list[Event]:
        """Return the symbol's status and filters; nothing where they cannot be read."""
        outcome = classify(await self._rest.call("exchange_info"))
        if outcome.kind is not Kind.ACKED:
            return []
        rows = cast("Mapping[str, list[Row]]", outcome.data)["symbols"]
        return self._seen(lambda: symbol_seen(self._now_ms(), self._symbol, rows))

    async def _read_rest(self, last_trade_id: int, since_ms: int) -> dict[str, Any]:
        return {
            "balances": await self._list("balances"),
            "trades": await self._trades(last_trade_id, since_ms),
            "income": await self._income(since_ms),
            "open_orders": await self._list("order.open", symbol=self._symbol),
            "open_stops": await self._list("algo.open", symbol=self._symbol),
        }

    async def _search(self, sought: Sequence[Sought]) -> dict[str, Any]:
        """Return the orders that were found, and which were looked for among all of their time."""
        found: list[Row] = []
        searched: list[str] = []
        for client_id, since_ms, until_ms in sought:
            time = {"startTime": since_ms, "endTime": until_ms}
            try:
                page = await self._list("order.all", symbol=self._symbol, limit=MOST_ROWS, **time)
            except UnreadableError:  # the account is known without it
                continue
            found += [row for row in page if row.get("clientOrderId") == client_id]
            searched += [client_id] if len(page) < MOST_ROWS else []  # else there may be more of them
        return {"listed": found, "searched": searched}

    async def _trades(self, last_trade_id: int, since_ms: int) -> list[Row]:
        """Return the trades after one, or since a time: by weeks then, until one is found that others can follow."""
        if last_trade_id:
            return await self._trades_from(last_trade_id + 1)
        begin = since_ms - OVERLAP_MS
        while begin <= self._now_ms():
            week = {"startTime": begin, "endTime": begin + WEEK_MS - 1}
            if page := await self._list("trades", symbol=self._symbol, limit=MOST_ROWS, **week):
                return page + await self._trades_from(max(whole(row, "id") for row in page) + 1)
            begin += WEEK_MS
        return []

    async def _trades_from(self, trade_id: int) -> list[Row]:
        trades: list[Row] = []
        while True:
            page = await self._list("trades", symbol=self._symbol, limit=MOST_ROWS, fromId=trade_id)
            trades += page
            if len(page) < MOST_ROWS:
                return trades
            trade_id = max(whole(row, "id") for row in page) + 1

    async def _income(self, since_ms: int) -> list[Row]:
        income: list[Row] = []
        begin = since_ms - OVERLAP_MS
        while True:
            page = await self._list("income", startTime=begin, limit=MOST_ROWS)
            income += page
            if len(page) < MOST_ROWS:
                return income
            newest = max(whole(row, "time") for row in page)
            begin = newest if newest > begin else newest + 1

    async def _list(self, name: str, **arguments: str | int) -> list[Row]:
        outcome = classify(await self._rest.call(name, **arguments))
        if outcome.kind is not Kind.ACKED or not isinstance(outcome.data, list):
            raise UnreadableError(f"{name} could not be read: {outcome.reason or 'its answer is no list'}")
        return cast("list[Row]", outcome.data)


def _positions(rows: Sequence[Mapping[str, Any]]) -> list[tuple[object, object]]:
    return [(row.get("positionAmt"), row.get("entryPrice")) for row in rows]
