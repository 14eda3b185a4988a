"""Random decisions in the replay and on the exchange, side by side, bar by bar."""

from typing import Final, NamedTuple

import numpy as np

from rl_trader.config import TradingConfig
from rl_trader.decision import order_of
from rl_trader.differential.cases import Case
from rl_trader.differential.witnesses import Kernel, KernelBar
from rl_trader.kernels import records
from rl_trader.ledger import Account
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.parity.api_trader import ApiTrader
from rl_trader.parity.bars import BarComparison
from rl_trader.parity.bars import ParityError as ParityError
from rl_trader.parity.bars import Report as Report
from rl_trader.parity.resting import RestingBar
from rl_trader.state import Order
from rl_trader.trading import kernel_settings, kernel_terms

LEVELS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of the target positions that are drawn


class Decisions(NamedTuple):
    """Random targets."""

    seed: int
    holding_bars: float  # how long one is held, in the mean


def case_of(recording: Recording, trading: TradingConfig) -> Case:
    """Return a recording as the witnesses of the replay play it."""
    table, brackets = kernel_terms([recording.contract], trading)
    return Case(
        terms=recording.contract,
        trading=trading,
        slippage_scale=1.0,
        settings=kernel_settings(trading),
        kernel_terms=table,
        brackets=brackets,
        bars=recording.bars,
        fundings=recording.fundings,
    )


def check_parity(
    assembly: Assembly, recording: Recording, trading: TradingConfig, num_bars: int, decisions: Decisions
) -> Report:
    """Play bars in the replay and on the exchange, with the same random targets.

    Args:
        assembly: In lock-step, at the open of the first bar, with the balance and slippage of the trading.
        recording: What it plays.
        trading: How the account trades.
        num_bars: How many, at most; fewer where the recording or the account ends.
        decisions: What is decided.

    Raises:
        ParityError: At the first difference.
    """
    return _Comparison(assembly, recording, trading, decisions).play(num_bars)


class _Comparison:
    def __init__(self, assembly: Assembly, recording: Recording, trading: TradingConfig, decisions: Decisions) -> None:
        self._venue = assembly.venue
        self._recording = recording
        self._case = case_of(recording, trading)
        self._kernel = Kernel(self._case)
        self._trader = ApiTrader(assembly, recording.symbol, trading)
        self._bars = BarComparison(assembly, recording, self._trader)
        self._rests = trading.limit_distance is not None
        account = assembly.venue.trader(assembly.keys[0].account)
        self._resting = RestingBar(assembly.venue.advance, self._trader, account, recording.interval_ms)
        self._rng = np.random.default_rng(decisions.seed)
        self._holding_bars = decisions.holding_bars
        self._target = 0.0

    def play(self, num_bars: int) -> Report:
        first = int(np.searchsorted(self._recording.open_time, self._venue.market_ms()))
        if first == 0:  # nothing closed that could be decided upon
            self._venue.to_next_open()
            first = 1
        for t in range(first, min(first + num_bars, len(self._recording.bars))):
            self._play_bar(t)
            if not self._venue.to_next_open() or self._is_ruined():
                break
        self._bars.ask_for_income()
        self._bars.report.next_ms = self._venue.market_ms()
        return self._bars.report

    def _play_bar(self, t: int) -> None:
        order = self._decide(t - 1)
        before = self._kernel.account
        played = self._kernel.play(order, t)
        self._bars.report.orders += self._trader.trade(order)
        corrected = self._compare_rested(t, before, played) if self._rests else self._compare(t, before, played)
        if corrected is not None:
            self._kernel.account = corrected

    def _compare(self, t: int, before: Account, played: KernelBar) -> Account | None:
        self._venue.advance(int(self._recording.open_time[t]) + self._recording.interval_ms - 1)
        return self._bars.compare(t, before, played)

    def _compare_rested(self, t: int, before: Account, played: KernelBar) -> Account | None:
        self._resting.live_through(int(self._recording.open_time[t]))
        if self._resting.has_raced(played):
            return self._bars.take_over()
        return self._bars.compare(t, before, played)

    def _decide(self, t: int) -> Order:
        if self._rng.random() * self._holding_bars < 1.0:
            self._target = float(self._rng.choice(LEVELS))
        bar = self._recording.bars[t]
        return order_of(
            self._target,
            self._kernel.account,
            float(bar["close"]),
            float(bar["mark_close"]),
            self._case.terms.taker_fee,
            records(self._case.settings)[0],
            records(self._case.kernel_terms)[0],
        )

    def _is_ruined(self) -> bool:
        """Return whether the account cannot carry the smallest order any more."""
        account, terms = self._kernel.account, self._case.terms
        return account.position_amount == 0.0 and account.wallet_balance < terms.min_notional
