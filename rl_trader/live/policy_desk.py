"""Asks the policy: observation, decision, and the core's event of it; nothing of it can fail the trader.

What the question is made of is taken together in the thread of the core; answering it changes nothing but the policy,
and may be done in another thread.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from rl_trader.errors import RlTraderError
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import Decided
from rl_trader.live.policy.decider import NOTHING, Decider
from rl_trader.live.policy.observer import AccountAtClose, Observation, Observer
from rl_trader.live.streams.bar_series import BarSeries
from rl_trader.market import SymbolTables

_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the policy is asked."""

    command: Decide
    tables: SymbolTables | None  # of the window; None where it cannot be asked
    next_funding_ms: int | None
    fault: str = ""  # why it cannot be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it has answered."""

    decided: Decided
    observation: Observation | None = None  # None where it was not asked
    memory: bytes = NOTHING  # that it was given


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

    def question(self, command: Decide) -> Question:
        """Return what the policy is to be asked, as things stand."""
        try:
            tables = self._series.tables(command.open_ms + self._series.needs.bar_ms)
        except RlTraderError as error:
            return Question(command=command, tables=None, next_funding_ms=None, fault=str(error))
        return Question(command=command, tables=tables, next_funding_ms=self.next_funding_ms)

    def answer(self, question: Question) -> Answer:
        """Return what the policy wants; where it cannot be asked, why. May be called in another thread."""
        command = question.command
        if question.tables is None:
            return Answer(decided=_fault(command, question.fault))
        account = AccountAtClose(
            wallet_balance=command.wallet_balance,
            amount=command.amount,
            entry_price=command.entry_price,
            isolated_wallet=command.isolated_wallet,
        )
        try:
            observation = self._observer.observe(
                command.open_ms,
                question.tables,
                account,
                bars_held=command.bars_held,
                taker_fee=self._taker_fee,
                next_funding_ms=question.next_funding_ms,
            )
        except RlTraderError as error:
            return Answer(decided=_fault(command, str(error)))
        memory = bytes.fromhex(command.memory)
        return Answer(decided=self._decided(command, observation, memory), observation=observation, memory=memory)

    def _decided(self, command: Decide, observation: Observation, memory: bytes) -> Decided:
        decision = self._decider.decide(observation, memory)
        if decision.fault:
            return _fault(command, decision.fault)
        return Decided(
            t_ms=0,
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

    def take(self, answer: Answer) -> Decided:
        """Note what was observed, and return the core's event of an answer, as of now."""
        if answer.observation is not None:
            self.observation, self.memory = answer.observation, answer.memory
        return replace(answer.decided, t_ms=self._now_ms())

    def decide(self, command: Decide) -> Decided:
        """Return what the policy wants; where it cannot be asked, why."""
        return self.take(self.answer(self.question(command)))


def no_answer(command: Decide, why: str) -> Answer:
    """Return the answer of a policy that has given none."""
    return Answer(decided=_fault(command, why))


def _fault(command: Decide, fault: str) -> Decided:
    return Decided(
        t_ms=0,
        open_ms=command.open_ms,
        observation_sha="",
        action="hold",
        target=_ZERO,
        reduce_amount=_ZERO,
        open_amount=_ZERO,
        fault=fault,
    )
