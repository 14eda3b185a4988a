"""A run's policy, deployed on the local exchange, beside its back-test: bar by bar the same bytes, orders and money.

The client knows what a deployment knows: the checkpoint, and what the exchange answers over REST. At a bar's close it
reads the closed bars and the account, observes and decides; at the next open it sends its orders. The back-test is the
simulator that ``rl_trader.backtest`` plays, on the market that evaluation plays.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader import ledger
from rl_trader.decision import MarketState, observe
from rl_trader.differential.witnesses import KINDS, UNCOMPARED, KernelBar, units
from rl_trader.errors import ConfigError
from rl_trader.klines import utc
from rl_trader.ledger import Account
from rl_trader.live.core.holding import bars_held_after
from rl_trader.live.policy.decider import Decider, Decision
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy.observer import AccountAtClose, Observation, Observer
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.parity.api_market import ApiMarket
from rl_trader.parity.api_trader import ApiTrader
from rl_trader.parity.bars import BarComparison, ParityError, Report, require_equal
from rl_trader.parity.comparison import require_market_orders
from rl_trader.policy import Policy
from rl_trader.simulator import FROM_FIRST_BAR, Simulator
from rl_trader.trading import charged_fees

EQUITY_ERROR: Final = Decimal("2E-8")  # USDT: of the two roundings to what is answered; and of the entry price


def first_open_ms(observed: ObservedMarket, since_ms: int) -> int:
    """Return the open time of the bar at whose close a back-test from a time on decides first.

    Raises:
        ConfigError: If no bar can be played from then on.
    """
    episode = observed.episodes(Period(since_ms))[0]
    return int(observed.market.bars["open_time"][episode["first_start"]])


def check_run(assembly: Assembly, deployment: Deployment, observed: ObservedMarket, num_bars: int) -> Report:
    """Play bars in a run's back-test, and with the run deployed on an exchange.

    Args:
        assembly: In lock-step, at the open of a bar (:func:`first_open_ms`), with the balance and slippage of the run.
        deployment: The run's.
        observed: Market of the back-test, of the deployment's symbol alone.
        num_bars: How many, at most; fewer where the recording has a hole or ends, or the account does.

    Raises:
        ParityError: At the first difference.
        ConfigError: If the run has limit orders, or the exchange other terms than the run.
    """
    require_market_orders(deployment.trading)
    recording = assembly.venue.market.recordings[deployment.symbol]
    if recording.contract != deployment.terms:
        raise ConfigError(
            f"the exchange must have the terms of {deployment.symbol} that the run was trained with, and has others;"
            " name the data folder of the run, or train again"
        )
    return _RunComparison(assembly, deployment, observed, recording).play(num_bars)


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
        return observation, self._decider.decide(observation)


class _Backtest:
    """One account of the simulator, from the first bar of an episode on."""

    def __init__(self, observed: ObservedMarket, deployment: Deployment, since_ms: int) -> None:
        self._observed = observed
        self._trading = deployment.trading
        self._policy: Policy = deployment.checkpoint.policy
        self.simulator = Simulator(observed, self._trading, FROM_FIRST_BAR, Period(since_ms), 1)
        self.simulator.keep_income()
        self.observations = self.simulator.new_observations()
        balances = np.array([self._trading.initial_balance])
        self.simulator.begin(self.simulator.episodes[0], balances, self.observations)

    @property
    def open_ms(self) -> int:
        """Open time of the newest closed bar."""
        return int(self._observed.market.bars["open_time"][self.simulator.states["bar"][0]])

    @property
    def margin_balance(self) -> float:
        """At the close of the newest bar."""
        return float(self.simulator.states["margin_balance"][0])

    @property
    def has_ended(self) -> bool:
        """Whether the account, or the stretch without a hole, has ended."""
        outcome = self.simulator.outcomes[0]
        return bool(outcome["terminated"] or outcome["truncated"])

    def targets(self) -> NDArray[np.float64]:
        """Return what the policy wants."""
        return self._policy.targets(self.observations)

    def play(self, targets: NDArray[np.float64]) -> KernelBar:
        """Play the next bar."""
        self.simulator.step(targets, self.observations)
        assert self.simulator.income is not None
        written = self.simulator.income[0]
        lines = tuple((KINDS[int(line["kind"])], units(line["income"])) for line in written if line["kind"])
        events = int(self.simulator.outcomes["events"][0]) & ~UNCOMPARED
        return KernelBar(self.simulator.account(0), events, lines)

    def go_on_from(self, account: Account) -> None:
        """Go on from another account, as if it had been this one's at the close."""
        state, simulator = self.simulator.states[0], self.simulator
        bar = self._observed.market.bars[state["bar"]]
        for name, value in account._asdict().items():
            state[name] = value
        state["margin_balance"] = ledger.margin_balance(account, float(bar["mark_close"]))
        window = self._observed.schema.window
        market = MarketState(float(bar["mark_close"]), float(bar["hours_to_funding"]), float(bar["last_funding_rate"]))
        self.observations[0] = observe(
            self._observed.rows[state["bar"] - window + 1 : state["bar"] + 1],
            account,
            market,
            int(state["bars_held"]),
            float(state["taker_fee"]),
            self._trading.max_exposure,
            self._observed.schema,
            simulator.terms,
            simulator.brackets,
        )


class _RunComparison:
    def __init__(
        self, assembly: Assembly, deployment: Deployment, observed: ObservedMarket, recording: Recording
    ) -> None:
        self._venue = assembly.venue
        self._recording = recording
        self._names = deployment.schema.names()
        self._trader = ApiTrader(assembly, deployment.symbol, deployment.trading)
        self._client = _Client(assembly, deployment, self._trader)
        opened_ms = self._venue.market_ms()
        self._backtest = _Backtest(observed, deployment, opened_ms + recording.interval_ms)
        self._bars = BarComparison(assembly, recording, self._trader)
        require_equal("first bar", utc(self._backtest.open_ms), utc(opened_ms))

    def play(self, num_bars: int) -> Report:
        report = self._bars.report
        first = int(np.searchsorted(self._recording.open_time, self._venue.market_ms()))
        self._advance_to_close(first)
        for t in range(first + 1, first + 1 + num_bars):
            decision = self._decide(t - 1)
            if not self._venue.to_next_open():
                break
            self._play_bar(t, decision)
            if self._backtest.has_ended:
                break
        self._bars.ask_for_income()
        report.next_ms = self._venue.market_ms() + 1
        return report

    def _advance_to_close(self, t: int) -> None:
        self._venue.advance(int(self._recording.open_time[t]) + self._recording.interval_ms - 1)

    def _decide(self, t: int) -> Decision:
        """Let both sides observe and decide at the close of a bar."""
        open_ms = int(self._recording.open_time[t])
        where = f"at the close of the bar of {utc(open_ms)}"
        require_equal(f"time {where}", self._backtest.open_ms, open_ms)
        observation, decision = self._client.close_bar(open_ms)
        expected = self._backtest.observations[0]
        if expected.tobytes() != observation.values.tobytes():
            raise ParityError(_first_difference(where, self._names, expected, observation.values))
        target = float(self._backtest.targets()[0])
        require_equal(f"action {where}", target, decision.target if not decision.fault else decision.fault)
        self._bars.report.observations += 1
        self._bars.report.targets["flat" if not target else "long" if target > 0 else "short"] += 1
        return decision

    def _play_bar(self, t: int, decision: Decision) -> None:
        report, backtest = self._bars.report, self._backtest
        before = backtest.simulator.account(0)
        assert decision.target is not None
        played = backtest.play(np.array([decision.target]))
        report.orders += self._trader.carry_out((leg.amount, leg.is_reducing) for leg in decision.legs)
        self._advance_to_close(t)
        corrected = self._bars.compare(t, before, played)
        if corrected is not None:
            backtest.go_on_from(corrected)
        self._compare_equity(t)

    def _compare_equity(self, t: int) -> None:
        account = self._backtest.simulator.account(0)
        error = EQUITY_ERROR * (1 + Decimal(abs(account.position_amount)))
        replayed, traded = self._backtest.margin_balance, self._trader.margin_balance()
        if abs(Decimal(replayed) - traded) > error:
            where = f"bar {t} of {utc(int(self._recording.open_time[t]))}"
            require_equal(f"equity in {where}", replayed, traded)


def _first_difference(where: str, names: list[str], replayed: NDArray[np.float32], traded: NDArray[np.float32]) -> str:
    entry = int(np.flatnonzero(replayed.view(np.int32) != traded.view(np.int32))[0])
    return (
        f"observation {where} must be equal, the replay has {names[entry]} {replayed[entry]!s} and the exchange"
        f" {traded[entry]!s}"
    )
