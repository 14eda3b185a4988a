"""A trader that wants what a test says, on an exchange in virtual time that fails as a test says."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import Decided
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.state import Conduct, State
from rl_trader.local_exchange.engine.trader import Trader as AccountOfExchange
from rl_trader.local_exchange.faults.faults import Faults
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.rehearsal.hazards import ClockStep, Hazards, Kill
from rl_trader.rehearsal.market_line import MarketLine
from rl_trader.rehearsal.minutes import (
    ACCOUNT,
    BAR_MS,
    LEVERAGE,
    MARGIN_TYPE,
    START_MS,
    SYMBOL,
    minute_exchange,
)
from rl_trader.rehearsal.network import Network
from rl_trader.rehearsal.policies import STOP_LOSS, legs
from rl_trader.rehearsal.stage import Stage
from rl_trader.rehearsal.virtual_clock import VirtualClock
from rl_trader.rehearsal.virtual_loop import run_virtually

BARS = 60
HAND = {"action": "other_hand", "account": ACCOUNT, "symbol": SYMBOL}
OF_ACCOUNT = {"action": "other_hand", "account": ACCOUNT}
ORDER = "POST /fapi/v1/order"
Json = dict[str, Any]


def at(minutes: float, action: Json) -> Json:
    """Return a fault that comes so many minutes after the beginning."""
    return {"on": {"time": START_MS + round(minutes * BAR_MS)}, "do": action}


def on(endpoint: str, action: Json, **trigger: object) -> Json:
    """Return a fault of calls."""
    return {"on": {"endpoint": endpoint, **trigger}, "do": action}


def wants(targets: Mapping[int, str]) -> Callable[[Decide, int], Decided]:
    """Return a policy that wants an amount from a bar on.

    Args:
        targets: By the bar's number.
    """

    def decide(command: Decide, now_ms: int) -> Decided:
        bar = (command.open_ms - START_MS) // BAR_MS
        target = Decimal(targets[max(number for number in targets if number <= bar)])
        reduce_amount, open_amount = legs(command.amount, target)
        return Decided(
            t_ms=now_ms,
            open_ms=command.open_ms,
            observation_sha="",
            action=str(target),
            target=target,
            reduce_amount=reduce_amount,
            open_amount=open_amount,
            fault="",
        )

    return decide


class Play:
    """A stage with a policy and a plan.

    Args:
        targets: What is wanted, by the bar from which on it is.
        faults: Of the exchange.
        kills: Of the process.
        clock_steps: Of its machine.
        revised: Open times of bars that are told with other numbers later.
        stop_loss: Of the entry price.
        num_bars: That the exchange has.
    """

    def __init__(
        self,
        targets: Mapping[int, str],
        faults: Sequence[Json] = (),
        *,
        kills: Sequence[Kill] = (),
        clock_steps: Sequence[ClockStep] = (),
        revised: Sequence[int] = (),
        stop_loss: Decimal = STOP_LOSS,
        num_bars: int = BARS,
    ) -> None:
        assembly = minute_exchange(5, num_bars)
        venue = assembly.venue
        contract = venue.exchange.quotes[SYMBOL].contract
        clock = VirtualClock(venue.market_ms())
        plan = [{"name": f"fault {number}", **fault} for number, fault in enumerate(faults)]
        self.faults = Faults(FaultPlan.of({"seed": 1, "faults": plan}), venue, clock.sleep)
        conduct = Conduct(
            symbol=SYMBOL,
            bar_ms=BAR_MS,
            tick_size=contract.tick_size,
            step_size=contract.step_size,
            stop_loss=stop_loss,
            take_profit=None,
            leverage=LEVERAGE,
            margin_type=MARGIN_TYPE,
        )
        self.stage = Stage(
            assembly,
            conduct,
            decide=wants(targets),
            gate=gate_of(contract),
            hazards=Hazards(venue.market_ms, kills, 0, clock_steps),
            network=Network(assembly, clock, self.faults),
            line=MarketLine(venue, SYMBOL, revised=revised),
        )

    def until(self, *looks: tuple[float, Callable[["Play"], object]]) -> "Play":
        """Play, look at it at every moment that is given in minutes, and end; every fault must have happened."""

        async def run() -> None:
            await self.stage.start()
            for minutes, look in looks:
                await self.stage.run_until(START_MS + round(minutes * BAR_MS))
                look(self)
            await self.stage.kill()

        run_virtually(run())
        assert self.faults.unfired() == []
        return self

    @property
    def state(self) -> State:
        """The trader's."""
        return self.stage.trader.core.state

    @property
    def account(self) -> AccountOfExchange:
        """The exchange's."""
        return self.stage.venue.trader(ACCOUNT)

    @property
    def held(self) -> Decimal:
        """The position at the exchange."""
        return self.account.position(SYMBOL).amount

    @property
    def num_stops(self) -> int:
        """Protective orders that rest at the exchange."""
        return len(self.account.open_algo_orders)

    def sent_orders(self) -> int:
        """Return how many ordinary orders have left so far."""
        return sum(asked.name == ORDER for asked in self.stage.network.asked)

    def is_in_order(self) -> None:
        """See that the trader knows what the exchange knows, and that a position has its stop."""
        books = self.state.books
        assert (books.amount, books.filled) == (self.held, self.held)
        assert books.wallet_balance == books.ledger_balance == self.account.books.wallet_balance
        assert self.num_stops == (1 if self.held else 0)
        assert self.state.unknown() == []
