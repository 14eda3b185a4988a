"""A watched session on a local exchange that replays recorded bars."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from rl_trader.live.monitor.lines import Lines
from rl_trader.live.monitor.monitor import Monitor, WatchOptions
from rl_trader.live.policy.deployment import Deployment
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.live_session_stage import play, setup_on, trader_of, until


class Watched:
    """A monitor at work.

    Args:
        monitor: Which.
        exchange: Where it trades.
        task: Its work.
    """

    def __init__(self, monitor: Monitor, exchange: LocalExchange, task: "asyncio.Task[None]") -> None:
        self.monitor = monitor
        self.exchange = exchange
        self.task = task

    async def play(self, num_bars: int) -> None:
        """Let bars close, each decided upon."""
        await play(self.exchange, self.monitor.session, self.task, num_bars)

    async def play_until_held(self) -> None:
        """Let bars close until there is a position with its stop."""
        while not trader_of(self.exchange).position("BTCUSDT").amount:
            await self.play(1)
        await until(lambda: bool(trader_of(self.exchange).open_algo_orders), self.task)

    async def until_flat(self) -> None:
        """Wait until nothing is held, and the trader knows."""
        await until(lambda: not trader_of(self.exchange).position("BTCUSDT").amount, self.task)
        await until(lambda: self.account_amount == "0", self.task)

    @property
    def account_amount(self) -> str:
        """The position, as it is shown."""
        account = self.monitor.view().account
        return "unknown" if account is None else format(account.amount.normalize(), "f")


@asynccontextmanager
async def watched(
    exchange: LocalExchange, deployment: Deployment, folder: Path, lines: Lines, options: WatchOptions | None = None
) -> AsyncIterator[Watched]:
    """Let a monitor work as long as the context lasts; its journal lies in a folder."""
    monitor = Monitor(setup_on(exchange, deployment, folder), options or WatchOptions(), lines)
    task = asyncio.create_task(monitor.run())
    try:
        await until(lambda: monitor.contact is not None, task)
        yield Watched(monitor, exchange, task)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
