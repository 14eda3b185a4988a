"""Asks the policy: observation, decision, and the core's event of it; nothing of it can fail the trader."""

from collections.abc import Callable
from decimal import Decimal

from rl_trader.errors import RlTraderError
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import Decided
from rl_trader.live.policy.decider import NOTHING, Decider
from rl_trader.live.policy.observer import AccountAtClose, Observation, Observer
from rl_trader.live.streams.bar_series import BarSeries


class PolicyDesk:
    """The policy of one deployment on the bars of one feed.

    Args:
        series: The closed bars.
        observer: Makes observations.
        decider: Decides on them.
        taker_fee: Of the account, a fraction of the notional.
        now_ms: The exchange's time.
    """

    def __init__(
        self,
        series: BarSeries,
        observer: Observer,
        decider: Decider,
        *,
        taker_fee: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._series = series
        self._observer = observer
        self._decider = decider
        self._taker_fee = taker_fee
        self._now_ms = now_ms
        self.next_funding_ms: int | None = None  # as announced before the newest bar's end
        self.observation: Observation | None = None  # the newest
        self.memory = NOTHING  # that the policy was given with it

    def decide(self, command: Decide) -> Decided:
        """Return what the policy wants; where it cannot be asked, why."""
        account = AccountAtClose(
            wallet_balance=command.wallet_balance,
            amount=command.amount,
            entry_price=command.entry_price,
            isolated_wallet=command.isolated_wallet,
        )
        try:
            observation = self._observer.observe(
                command.open_ms,
                self._series.tables(command.open_ms + self._series.needs.bar_ms),
                account,
                bars_held=command.bars_held,
                taker_fee=self._taker_fee,
                next_funding_ms=self.next_funding_ms,
            )
        except RlTraderError as error:
            return self._fault(command.open_ms, str(error))
        self.observation, self.memory = observation, bytes.fromhex(command.memory)
        decision = self._decider.decide(observation, self.memory)
        if decision.fault:
            return self._fault(command.open_ms, decision.fault)
        return Decided(
            t_ms=self._now_ms(),
            open_ms=command.open_ms,
            observation_sha=decision.observation_sha,
            action=decision.action,
            target=Decimal(repr(decision.target)),
            reduce_amount=decision.reduce_amount,
            open_amount=decision.open_amount,
            limit_price=decision.limit_price,
            fault="",
            memory=decision.memory.hex(),
        )

    def _fault(self, open_ms: int, fault: str) -> Decided:
        return Decided(
            t_ms=self._now_ms(),
            open_ms=open_ms,
            observation_sha="",
            action="hold",
            target=Decimal(0),
            reduce_amount=Decimal(0),
            open_amount=Decimal(0),
            fault=fault,
        )
