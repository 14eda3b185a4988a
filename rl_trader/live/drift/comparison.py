"""Live trading beside the simulation, from close to close.

The simulation is the environment's account with the run's policy: it observes, decides and trades by itself, from an
account that it is given once. It is given the live one at the beginning, and anew wherever the two have not played the
same: after bars without a decision, after a transfer, after the simulated account has ended. Beside that, each
observation that the policy was shown is made again from the recorded bars and the account, by the code of training.
"""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader.ledger import Account
from rl_trader.live.core.bookkeeping import TRANSFERS
from rl_trader.live.core.events import USDT
from rl_trader.live.drift.archive import open_times
from rl_trader.live.drift.pricing import Priced, Pricer
from rl_trader.live.drift.steps import Step, Trade
from rl_trader.live.journal.rows import AccountRow, DecisionRow
from rl_trader.live.policy.decider import NOTHING, memory_of
from rl_trader.live.policy.deployment import Deployment
from rl_trader.observed_market import ObservedMarket
from rl_trader.one_account import OneAccount
from rl_trader.remembering import advance, memory_size

FUNDING = "FUNDING_FEE"
UNITS = Decimal(10) ** 8  # in a USDT


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What was decided upon a bar, live and in the simulation."""

    is_rebuilt: bool  # whether the observation made again has the bytes of the one that the policy was shown
    is_repeated: bool  # whether the policy, shown that one, wants the same again
    is_same_observation: bool  # whether the simulation's has these bytes, too
    target: float  # fraction of the largest exposure
    simulated: float

    @property
    def is_same_action(self) -> bool:
        """Whether both want the same."""
        return self.target == self.simulated


@dataclass(frozen=True, slots=True, kw_only=True)
class BarDrift:
    """One bar, live and in the simulation; money in USDT with the sign of the wallet's change."""

    open_ms: int
    decisions: Decisions | None  # upon the bar before; None where nothing was decided, or nothing can be compared
    wallet: Decimal  # at the bar's close, less what fees in BNB were worth, which the simulation pays in USDT
    equity: Decimal  # likewise
    fees: Decimal
    funding: Decimal
    simulated_wallet: Decimal | None  # None where the simulation has not played the bar
    simulated_equity: Decimal | None
    simulated_fees: Decimal
    simulated_funding: Decimal
    trades: tuple[Priced, ...]

    @property
    def is_compared(self) -> bool:
        """Whether both have played the bar."""
        return self.simulated_equity is not None

    @property
    def equity_gap(self) -> Decimal:
        """Live equity less that of the simulation, USDT."""
        return Decimal(0) if self.simulated_equity is None else self.equity - self.simulated_equity


class _Reached(NamedTuple):
    """Where an account stands at a bar's close."""

    open_ms: int
    account: Account
    bars_held: int
    memory: NDArray[np.float32]  # (1, memory size), of the policy before it decides


class Comparison:
    """Plays the simulation beside live trading.

    Args:
        deployment: What is deployed.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._pricer = Pricer(deployment)
        self._observed: ObservedMarket | None = None
        self._simulated: OneAccount | None = None
        self._reached: _Reached | None = None  # where it stands
        self._in_bnb = Decimal(0)  # USDT: value of the fees that the live account has paid in BNB since both were equal

    def take(self, step: Step, observed: ObservedMarket | None) -> BarDrift:
        """Compare one step.

        Args:
            step: Which.
            observed: Market with its bars, and the warm-up of the observation before them; None where bars are missing
                between its two, so that nothing can be compared.
        """
        reached, self._reached = self._reached, None
        if observed is None or step.after.bar_open_ms != step.before.bar_open_ms + self._deployment.interval_ms:
            return self._drift(step, None, None)
        simulated = self._on(observed)
        row = int(np.searchsorted(open_times(observed), step.before.bar_open_ms))
        if reached is None or reached.open_ms != step.before.bar_open_ms:
            reached, self._in_bnb = self._live(step), Decimal(0)
        simulated.go_on_from(reached.account, row, reached.bars_held)
        simulated.memory = reached.memory
        decisions = self._decisions(simulated, step, row)
        if decisions is None or any(step.income_of(kind) for kind in TRANSFERS):
            return self._drift(step, None, None)
        simulated.play(simulated.targets())
        if not simulated.outcome["terminated"]:
            held = int(simulated.simulator.states["bars_held"][0])
            self._reached = _Reached(step.after.bar_open_ms, simulated.account, held, simulated.memory)
        return self._drift(step, decisions, simulated)

    def _live(self, step: Step) -> "_Reached":
        """Return where live trading stands at the begin of a step."""
        before = step.before
        return _Reached(before.bar_open_ms, _account(before), before.bars_held, self._memory(step.decision))

    def _memory(self, made: DecisionRow | None) -> NDArray[np.float32]:
        """Return what the policy remembered when it decided, (1, memory size)."""
        kept = None if made is None else made.memory
        return memory_of(kept or NOTHING, memory_size(self._deployment.checkpoint.policy))

    def _on(self, observed: ObservedMarket) -> OneAccount:
        """Return the simulated account on a market, which may be longer than the last one."""
        if self._simulated is None or self._observed is not observed:
            deployment = self._deployment
            self._observed = observed
            self._simulated = OneAccount(observed, deployment.trading, deployment.checkpoint.policy)
        return self._simulated

    def _decisions(self, simulated: OneAccount, step: Step, row: int) -> Decisions | None:
        made = step.decision
        if made is None or not made.observation:
            return None
        rebuilt = simulated.observe(_account(step.before), row, step.before.bars_held)
        policy = self._deployment.checkpoint.policy
        return Decisions(
            is_rebuilt=sha256(rebuilt.tobytes()).hexdigest() == made.observation_sha256,
            is_repeated=float(advance(policy, rebuilt[np.newaxis], self._memory(made))[0][0]) == float(made.target),
            is_same_observation=sha256(simulated.observations[0].tobytes()).hexdigest() == made.observation_sha256,
            target=float(made.target),
            simulated=float(simulated.targets()[0]),
        )

    def _drift(self, step: Step, decisions: Decisions | None, simulated: OneAccount | None) -> BarDrift:
        after = step.after
        self._in_bnb += sum(
            (self._pricer.fee(trade) for trade in step.trades if trade.fill.commission_asset != USDT), Decimal(0)
        )
        wallet = after.wallet_balance - self._in_bnb
        return BarDrift(
            open_ms=after.bar_open_ms,
            decisions=decisions,
            wallet=wallet,
            equity=wallet + after.amount * (after.mark_close - after.entry_price),
            fees=-sum((self._pricer.fee(trade) for trade in step.trades), Decimal(0)),
            funding=step.income_of(FUNDING),
            simulated_wallet=None if simulated is None else _in_units(simulated.account.wallet_balance),
            simulated_equity=None if simulated is None else _in_units(simulated.margin_balance),
            simulated_fees=Decimal(0) if simulated is None else _in_units(simulated.outcome["fees"]),
            simulated_funding=Decimal(0) if simulated is None else _in_units(simulated.outcome["funding"]),
            trades=tuple(self._pricer.price(trade, self._bar_of(trade)) for trade in step.trades),
        )

    def _bar_of(self, trade: Trade) -> np.void | None:
        """Return the bar in which something was traded, if it is there."""
        if self._observed is None:
            return None
        bars, times = self._observed.market.bars, open_times(self._observed)
        row = int(np.searchsorted(times, trade.fill.time_ms, side="right")) - 1
        if row < 0 or trade.fill.time_ms >= times[row] + self._deployment.interval_ms:
            return None
        bar: np.void = bars[row]
        return bar


def _account(row: AccountRow) -> Account:
    if not row.amount:
        return Account(float(row.wallet_balance), 0.0, 0.0, 0.0)
    return Account(float(row.wallet_balance), float(row.amount), float(row.entry_price), float(row.isolated_wallet))


def _in_units(money: float) -> Decimal:
    """Return money to the unit of 1e-8 USDT."""
    return round(Decimal(float(money)), 8)
