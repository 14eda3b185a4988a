"""One account of the simulator with its policy, which can go on from what another account has come to.

It is the account of training and back-test, bar by bar: what is compared with an account at an exchange.
"""

import numpy as np
from numpy.typing import NDArray

from rl_trader import ledger
from rl_trader.config import TradingConfig
from rl_trader.decision import MarketState, observe
from rl_trader.ledger import Account
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.policy import AnyPolicy
from rl_trader.remembering import advance, memory_size
from rl_trader.simulator import FROM_FIRST_BAR, Simulator


class OneAccount:
    """An account at the close of a bar.

    Args:
        observed: Market of one symbol.
        trading: How the account trades; it begins with the balance of this.
        policy: Decides.
        since_ms: Open time of the first bar that is played, ms UTC; None is the first that can be.

    Raises:
        ConfigError: If no bar can be played.
    """

    def __init__(
        self, observed: ObservedMarket, trading: TradingConfig, policy: AnyPolicy, since_ms: int | None = None
    ) -> None:
        self._observed = observed
        self._trading = trading
        self._policy = policy
        self.simulator = Simulator(observed, trading, FROM_FIRST_BAR, Period(since_ms), 1)
        self._observations = self.simulator.new_observations()
        self.memory = np.zeros((1, memory_size(policy)), np.float32)
        """What the policy remembers of the bars before the newest."""
        balances = np.array([trading.initial_balance])
        self.simulator.begin(self.simulator.episodes[0], balances, self._observations)

    @property
    def observations(self) -> NDArray[np.float32]:
        """What the policy is shown at the close of the newest bar, (1, observation size)."""
        return self._observations.array

    @property
    def row(self) -> int:
        """Row of the newest closed bar."""
        return int(self.simulator.states["bar"][0])

    @property
    def open_ms(self) -> int:
        """Open time of the newest closed bar."""
        return int(self._observed.market.bars["open_time"][self.row])

    @property
    def account(self) -> Account:
        """At the close of the newest bar."""
        return self.simulator.account(0)

    @property
    def margin_balance(self) -> float:
        """At the close of the newest bar, USDT."""
        return float(self.simulator.states["margin_balance"][0])

    @property
    def outcome(self) -> np.void:
        """What the newest bar did, of ``OUTCOME_DTYPE``."""
        outcome: np.void = self.simulator.outcomes[0]
        return outcome

    @property
    def has_ended(self) -> bool:
        """Whether the account, or the stretch without a hole, has ended."""
        return bool(self.outcome["terminated"] or self.outcome["truncated"])

    def targets(self) -> NDArray[np.float64]:
        """Return what the policy wants, (1,)."""
        return advance(self._policy, self.observations, self.memory)[0]

    def play(self, targets: NDArray[np.float64]) -> None:
        """Play the next bar; the policy remembers the newest one then."""
        if self.memory.size:
            self.memory = advance(self._policy, self.observations, self.memory)[1]
        self.simulator.step(targets, self._observations)

    def go_on_from(self, account: Account, row: int, bars_held: int) -> None:
        """Go on from another account, as if it had been this one's; what the policy remembers stays.

        Args:
            account: At the close of a bar.
            row: Of the bar.
            bars_held: Bars since the position was opened.
        """
        state = self.simulator.states[0]
        for name, value in account._asdict().items():
            state[name] = value
        state["bar"], state["bars_held"] = row, bars_held
        state["margin_balance"] = ledger.margin_balance(account, float(self._observed.market.bars[row]["mark_close"]))
        self.observations[0] = self.observe(account, row, bars_held)

    def observe(self, account: Account, row: int, bars_held: int) -> NDArray[np.float32]:
        """Return what the policy is shown of an account at the close of a bar, (observation size,)."""
        observed, simulator = self._observed, self.simulator
        bar = observed.market.bars[row]
        window = observed.schema.window
        market = MarketState(float(bar["mark_close"]), float(bar["hours_to_funding"]), float(bar["last_funding_rate"]))
        return observe(
            observed.rows[row - window + 1 : row + 1],
            account,
            market,
            bars_held,
            float(simulator.states[0]["taker_fee"]),
            self._trading.max_exposure,
            observed.schema,
            simulator.terms,
            simulator.brackets,
        )
