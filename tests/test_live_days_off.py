"""A trader that begins again after days: what the exchange says holds, and the ledger has everything since.

In the days between the stop may be met, funding is settled, and a person may trade by hand.
"""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.live.core.state import State
from rl_trader.local_exchange.engine.orders import OrderRequest
from rl_trader.local_exchange.engine.placing import place
from rl_trader.local_exchange.engine.words import OrderType, Side
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.live_session_stage import (
    play,
    random_deployment,
    recorded_exchange,
    session_on,
    trader_of,
    until,
)

DAY_MS = 86_400_000
UNIT = Decimal("1E-8")  # USDT


def trade_by_hand(exchange: LocalExchange, side: Side, amount: str) -> None:
    """Let a person trade on the account."""

    def trade() -> None:
        venue = exchange.assembly.venue
        request = OrderRequest(symbol="BTCUSDT", side=side, type=OrderType.MARKET, quantity=Decimal(amount))
        place(venue.exchange.state, trader_of(exchange), request)
        venue.deliver()

    exchange.call(trade)


def is_ledger_of(exchange: LocalExchange, state: State) -> bool:
    """Return whether the trader's account and ledger are the exchange's, to the last booking."""
    account, books = trader_of(exchange), state.books
    return (
        books.filled == books.amount == account.position("BTCUSDT").amount
        and books.wallet_balance == account.books.wallet_balance
        and abs(books.ledger_balance - account.books.wallet_balance) < UNIT
    )


@pytest.mark.parametrize("days", [4, 8])
def test_after_days_off_the_trader_knows_what_has_happened_and_trades_on(
    recorded_data: Path, tmp_path: Path, days: int
) -> None:
    told: list[str] = []
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)

    async def live(num_bars: int) -> None:
        async with session_on(exchange, deployment, tmp_path, told.append) as session:
            task = asyncio.create_task(session.run())
            assert session.trader is not None
            state = session.trader.core.state
            await play(exchange, session, task, 0)
            while num_bars > 0 or not trader_of(exchange).position("BTCUSDT").amount:
                assert not state.is_stopped, state.stop_reason
                await play(exchange, session, task, 1)
                num_bars -= 1
            session.trader.fire("poll", state.now_ms)  # funding is told by readings alone
            await until(lambda: is_ledger_of(exchange, state), task)
            assert not state.is_stopped, state.stop_reason
            assert not state.unknown()
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(live(2))
        num_bookings = len(trader_of(exchange).income)
        exchange.advance(exchange.call(exchange.assembly.venue.market_ms) + days * DAY_MS)
        assert len(trader_of(exchange).income) > num_bookings
        num_fills = len(trader_of(exchange).fills)
        asyncio.run(live(3))
        assert len(trader_of(exchange).fills) > num_fills, told[-20:]


def test_after_months_in_which_a_person_has_traded_the_trader_books_it_and_enters_nothing(
    recorded_data: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)

    async def live(*, is_first: bool) -> None:
        async with session_on(exchange, deployment, tmp_path, told.append) as session:
            task = asyncio.create_task(session.run())
            assert session.trader is not None
            state = session.trader.core.state
            await play(exchange, session, task, 1)
            session.trader.fire("poll", state.now_ms)
            await until(lambda: is_ledger_of(exchange, state), task)
            if is_first:
                assert not state.is_stopped, state.stop_reason
            else:
                await until(lambda: state.is_stopped, task)
                assert "is not this program's" in state.stop_reason
                assert len(trader_of(exchange).fills) == num_fills
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(live(is_first=True))
        for number in range(12):
            exchange.advance(exchange.call(exchange.assembly.venue.market_ms) + 7 * DAY_MS)
            exchange.to_next_open()
            trade_by_hand(exchange, Side.BUY if number % 2 else Side.SELL, f"0.0{number + 10}")
        exchange.to_next_open()
        num_fills = len(trader_of(exchange).fills)
        asyncio.run(live(is_first=False))


def test_after_so_long_that_the_exchange_has_forgotten_trades_its_word_is_taken_and_a_person_has_to_look(
    recorded_data: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)

    async def live(*, is_first: bool) -> None:
        async with session_on(exchange, deployment, tmp_path, told.append) as session:
            task = asyncio.create_task(session.run())
            assert session.trader is not None
            state = session.trader.core.state
            await play(exchange, session, task, 0)
            while is_first and not trader_of(exchange).position("BTCUSDT").amount:
                await play(exchange, session, task, 1)
            if not is_first:
                await until(lambda: state.is_stopped, task)
                assert "and its trades sum to" in state.stop_reason
                await until(lambda: is_ledger_of(exchange, state), task)
                session.resume("looked at it", "a test")
                await play(exchange, session, task, 2)
                assert not state.is_stopped, state.stop_reason
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(live(is_first=True))
        exchange.advance(exchange.call(exchange.assembly.venue.market_ms) + 91 * DAY_MS)
        assert not trader_of(exchange).position("BTCUSDT").amount  # its stop was met in the first hours
        asyncio.run(live(is_first=False))
