"""A run's policy, deployed on the local exchange, beside its back-test: bar by bar the same bytes, orders and money.

The client knows what a deployment knows: the checkpoint, and what the exchange answers over REST. At a bar's close it
reads the closed bars and the account, observes and decides; at the next open it sends its orders. The back-test is the
simulator that ``rl_trader.backtest`` plays, on the market that evaluation plays.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from rl_trader.differential.witnesses import KINDS, UNCOMPARED, KernelBar, units
from rl_trader.errors import ConfigError
from rl_trader.klines import utc
from rl_trader.ledger import Account
from rl_trader.live.core.holding import bars_held_after
from rl_trader.live.policy.decider import NOTHING, Decider, Decision
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy.observer import AccountAtClose, Observation, Observer
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.one_account import OneAccount
from rl_trader.parity.api_market import ApiMarket
from rl_trader.parity.api_trader import ApiTrader, Leg
from rl_trader.parity.bars import BarComparison, ParityError, Report, require_equal
from rl_trader.parity.chain import Chain
from rl_trader.parity.resting import RestingBar
from rl_trader.trading import charged_fees

EQUITY_ERROR: Final = Decimal("2E-8")  # USDT: of the two roundings to what is answered; and of the entry price


def first_open_ms(observed: ObservedMarket, since_ms: int) -> int:
    """Return the open time of the bar at whose close a back-test from a time on decides first.

    Raises:
        ConfigError: If no bar can be played from then on.
    """
    episode = observed.episodes(Period(since_ms))[0]
    return int(observed.market.bars["open_time"][episode["first_start"]])


class Clockwork(Protocol):
    """What moves the market of an exchange."""

    def market_ms(self) -> int:
        """Return the market's time."""
        ...

    def advance(self, to_ms: int) -> None:
        """Let the market go on to a moment."""
        ...

    def to_next_open(self) -> bool:
        """Let the market go on until the next bar opens; False at its end."""
        ...


def check_run(assembly: Assembly, deployment: Deployment, observed: ObservedMarket, num_bars: int) -> Report:
    """Play bars in a run's back-test, and with the run deployed on an exchange.

    Args:
        assembly: In lock-step, at the open of a bar (:func:`first_open_ms`), with the balance and slippage of the run.
        deployment: The run's.
        observed: Market of the back-test, of the deployment's symbol alone.
        num_bars: How many, at most; fewer where the recording has a hole or ends, or the account does.

    Raises:
        ParityError: At the first difference.
        ConfigError: If the exchange has other terms than the run.
    """
    recording = assembly.venue.market.recordings[deployment.symbol]
    _require_comparable(deployment, recording)
    return _RunComparison(assembly, deployment, observed, recording, assembly.venue).play(num_bars)


def check_chain(chain: Chain, deployment: Deployment, observed: ObservedMarket, num_bars: int) -> Report:
    """Play bars in a run's back-test, and with the run deployed on an exchange that follows another one.

    Args:
        chain: At the open of a bar (:func:`first_open_ms`), with the balance and slippage of the run.
        deployment: The run's.
        observed: Market of the back-test, of the deployment's symbol alone.
        num_bars: How many, at most; fewer where the recording has a hole or ends, or the account does.

    Raises:
        ParityError: At the first difference.
        ConfigError: If the replay has other terms than the run.
    """
    _require_comparable(deployment, chain.recording)
    return _RunComparison(chain.assembly, deployment, observed, chain.recording, chain).play(num_bars)


def _require_comparable(deployment: Deployment, recording: Recording) -> None:
    if recording.contract != deployment.terms:
        raise ConfigError(
            f"the exchange must have the terms of {deployment.symbol} that the run was trained with, and has others;"
            " name the data folder of the run, or train again"
        )


class _Client:
    """The deployed run: it knows the checkpoint and the API."""

    def __init__(self, assembly: Assembly, deployment: Deployment, trader: ApiTrader) -> None:
        self._deployment = deployment
        self._trader = trader
        self._market = ApiMarket(MemoryTransport(assembly.dispatcher), deployment)
        self._observer = Observer(deployment)
        self._decider = Decider(deployment)
        taker_fee = float(trader.taker_fee())
        self._taker_fee = charged_fees(replace(deployment.terms, taker_fee=taker_fee), deployment.trading).taker
        self._bars_held = 0
        self._amount = Decimal(0)
        self._memory = NOTHING

    def close_bar(self, open_ms: int) -> tuple[Observation, Decision]:
        """Observe and decide at the close of a bar."""
        position = self._trader.position()
        account = AccountAtClose(
            wallet_balance=self._trader.wallet_balance(),
            amount=position.amount,
            entry_price=position.entry_price,
            isolated_wallet=position.isolated_wallet,
        )
        self._bars_held = bars_held_after(self._bars_held, self._amount, position.amount)
        self._amount = position.amount
        now_ms = open_ms + self._deployment.interval_ms - 1
        observation = self._observer.observe(
            open_ms,
            self._market.tables(self._observer.needed(open_ms), now_ms),
            account,
            bars_held=self._bars_held,
            taker_fee=self._taker_fee,
            next_funding_ms=self._market.next_funding_ms(),
        )
        decision = self._decider.decide(observation, self._memory)
        self._memory = decision.memory
        return observation, decision


class _Backtest:
    """One account of the simulator, from the first bar of an episode on."""

    def __init__(self, observed: ObservedMarket, deployment: Deployment, since_ms: int) -> None:
        self.account = OneAccount(observed, deployment.trading, deployment.checkpoint.policy, since_ms)
        self.account.simulator.keep_income()

    def play(self, targets: NDArray[np.float64]) -> KernelBar:
        """Play the next bar."""
        simulator = self.account.simulator
        self.account.play(targets)
        assert simulator.income is not None
        written = simulator.income[0]
        lines = tuple((KINDS[int(line["kind"])], units(line["income"])) for line in written if line["kind"])
        events = int(simulator.outcomes["events"][0]) & ~UNCOMPARED
        return KernelBar(self.account.account, events, lines)

    def go_on_from(self, account: Account) -> None:
        """Go on from another account, as if it had been this one's at the close."""
        bars_held = int(self.account.simulator.states["bars_held"][0])
        self.account.go_on_from(account, self.account.row, bars_held)


class _RunComparison:
    def __init__(
        self,
        assembly: Assembly,
        deployment: Deployment,
        observed: ObservedMarket,
        recording: Recording,
        clockwork: Clockwork,
    ) -> None:
        self._clockwork = clockwork
        self._recording = recording
        self._names = deployment.schema.names()
        self._trader = ApiTrader(assembly, deployment.symbol, deployment.trading)
        self._client = _Client(assembly, deployment, self._trader)
        opened_ms = self._clockwork.market_ms()
        self._backtest = _Backtest(observed, deployment, opened_ms + recording.interval_ms)
        self._bars = BarComparison(assembly, recording, self._trader)
        self._rests = deployment.trading.limit_distance is not None
        account = assembly.venue.trader(assembly.keys[0].account)
        self._resting = RestingBar(clockwork.advance, self._trader, account, recording.interval_ms)
        require_equal("first bar", utc(self._backtest.account.open_ms), utc(opened_ms))

    def play(self, num_bars: int) -> Report:
        report = self._bars.report
        first = int(np.searchsorted(self._recording.open_time, self._clockwork.market_ms()))
        self._advance_to_close(first)
        for t in range(first + 1, first + 1 + num_bars):
            decision = self._decide(t - 1)
            if not self._clockwork.to_next_open():
                break
            self._play_bar(t, decision)
            if self._backtest.account.has_ended:
                break
        self._bars.ask_for_income()
        report.next_ms = self._clockwork.market_ms() + 1
        return report

    def _advance_to_close(self, t: int) -> None:
        self._clockwork.advance(int(self._recording.open_time[t]) + self._recording.interval_ms - 1)

    def _decide(self, t: int) -> Decision:
        """Let both sides observe and decide at the close of a bar."""
        open_ms = int(self._recording.open_time[t])
        where = f"at the close of the bar of {utc(open_ms)}"
        require_equal(f"time {where}", self._backtest.account.open_ms, open_ms)
        observation, decision = self._client.close_bar(open_ms)
        expected = self._backtest.account.observations[0]
        if expected.tobytes() != observation.values.tobytes():
            raise ParityError(_first_difference(where, self._names, expected, observation.values))
        target = float(self._backtest.account.targets()[0])
        require_equal(f"action {where}", target, decision.target if not decision.fault else decision.fault)
        self._bars.report.observations += 1
        self._bars.report.targets["flat" if not target else "long" if target > 0 else "short"] += 1
        return decision

    def _play_bar(self, t: int, decision: Decision) -> None:
        report, backtest = self._bars.report, self._backtest
        before = backtest.account.account
        assert decision.target is not None
        played = backtest.play(np.array([decision.target]))
        where = f"after bar {t - 1} of {utc(int(self._recording.open_time[t - 1]))}"
        require_equal(f"memory {where}", backtest.account.memory.tobytes().hex(), decision.memory.hex())
        report.orders += self._trader.carry_out([Leg(*leg) for leg in decision.legs])
        corrected = self._compare_rested(t, before, played) if self._rests else self._compare(t, before, played)
        if corrected is not None:
            backtest.go_on_from(corrected)
        self._compare_equity(t)

    def _compare(self, t: int, before: Account, played: KernelBar) -> Account | None:
        self._advance_to_close(t)
        return self._bars.compare(t, before, played)

    def _compare_rested(self, t: int, before: Account, played: KernelBar) -> Account | None:
        self._resting.live_through(int(self._recording.open_time[t]))
        if self._resting.has_raced(played):
            return self._bars.take_over()
        return self._bars.compare(t, before, played)

    def _compare_equity(self, t: int) -> None:
        account = self._backtest.account.account
        error = EQUITY_ERROR * (1 + Decimal(abs(account.position_amount)))
        replayed, traded = self._backtest.account.margin_balance, self._trader.margin_balance()
        if abs(Decimal(replayed) - traded) > error:
            where = f"bar {t} of {utc(int(self._recording.open_time[t]))}"
            require_equal(f"equity in {where}", replayed, traded)


def _first_difference(where: str, names: list[str], replayed: NDArray[np.float32], traded: NDArray[np.float32]) -> str:
    entry = int(np.flatnonzero(replayed.view(np.int32) != traded.view(np.int32))[0])
    return (
        f"observation {where} must be equal, the replay has {names[entry]} {replayed[entry]!s} and the exchange"
        f" {traded[entry]!s}"
    )
