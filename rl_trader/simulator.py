"""Many accounts on recorded bars: the arrays behind the environments, the back-test and the evaluation.

Holds no formula: every number comes from the kernels of ``replay``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader import replay
from rl_trader.bookings import in_whole_units
from rl_trader.config import EpisodeConfig, TradingConfig
from rl_trader.errors import ConfigError
from rl_trader.income import INCOME_DTYPE, MOST_LINES, Lines
from rl_trader.kernels import records, without_lookup
from rl_trader.ledger import Account
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.replay_reset import reset_accounts
from rl_trader.replay_rule import play_rule
from rl_trader.replay_targets import play_targets
from rl_trader.state import EPISODE_DTYPE, OUTCOME_DTYPE, STATE_DTYPE
from rl_trader.threads import Counters, Crew
from rl_trader.trading import kernel_settings, kernel_terms, smallest_order
from rl_trader.windows import Observations

MANY_BARS: Final = 10_000
FROM_FIRST_BAR: Final = EpisodeConfig(episode_bars=0, random_start=False, random_position=False)


def _typical_price(observed: ObservedMarket, symbol: int) -> float:
    """Return the median of the closes, of some of them where there are many."""
    closes = observed.market.bars["close"][observed.market.rows(symbol)]
    return float(np.median(closes[:: max(len(closes) // MANY_BARS, 1)]))


def _check_bracket(observed: ObservedMarket, trading: TradingConfig) -> None:
    wanted = trading.initial_balance * trading.max_exposure
    for terms in observed.market.terms:
        leverage = trading.leverage_of(terms.symbol)
        allowed = terms.max_notional(leverage)
        if wanted > allowed:
            raise ConfigError(
                f"max_exposure {trading.max_exposure} of {trading.initial_balance:,.0f} USDT is a notional of"
                f" {wanted:,.0f} USDT, and {terms.symbol} allows {allowed:,.0f} USDT at leverage {leverage};"
                " lower one of the three"
            )


def replay_settings(observed: ObservedMarket, trading: TradingConfig, episode: EpisodeConfig) -> NDArray[np.void]:
    """Return the settings of a replay as the kernels read them, (1,) of ``SETTINGS_DTYPE``."""
    settings = kernel_settings(trading)
    row = settings[0]
    smallest = max(
        smallest_order(terms, trading, _typical_price(observed, symbol))
        for symbol, terms in enumerate(observed.market.terms)
    )
    leverage = min(trading.leverage_of(symbol) for symbol in observed.market.symbols)
    row["ruin_balance"] = smallest / min(trading.max_exposure, leverage * (1.0 - trading.reserve))
    row["random_start"] = episode.random_start
    row["random_position"] = episode.random_position
    row["fee_scale_low"], row["fee_scale_high"] = episode.fee_scale
    row["slippage_scale_low"], row["slippage_scale_high"] = episode.slippage_scale
    row["episode_bars"] = episode.episode_bars
    row["window"] = observed.schema.window
    _check_bracket(observed, trading)
    if trading.initial_balance < row["ruin_balance"]:
        raise ConfigError(
            f"initial_balance {trading.initial_balance} USDT cannot carry the smallest order of {smallest:.2f} USDT at"
            f" max_exposure {trading.max_exposure}; give more than {float(row['ruin_balance']):.2f} USDT"
        )
    return settings


def columns_of(outcomes: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    """Return views of the fields of records, by name."""
    return {name: outcomes[name] for name in outcomes.dtype.names or ()}


class Simulator:
    """Replays recorded bars for ``num_accounts`` accounts.

    ``states`` (of ``STATE_DTYPE``) is overwritten by every step. ``outcomes`` (of ``OUTCOME_DTYPE``) is what the newest
    step did; it alternates between two arrays, so that the step before can still be read.
    """

    def __init__(
        self,
        observed: ObservedMarket,
        trading: TradingConfig,
        episode: EpisodeConfig,
        period: Period,
        num_accounts: int,
        *,
        num_threads: int = 1,
    ) -> None:
        """Prepare the arrays; ``reset`` comes before the first step.

        Args:
            observed: Market and features.
            trading: How the accounts trade.
            episode: How episodes begin and end.
            period: The bars that are played.
            num_accounts: Number of accounts.
            num_threads: Threads that share the accounts; the results are the same bits.

        Raises:
            ConfigError: If the period has no bar to play or the balance cannot carry an order.
            ContractError: If a symbol does not allow the leverage.
        """
        self.observed = observed
        self.trading = trading
        self.num_accounts = num_accounts
        self.states = np.zeros(num_accounts, STATE_DTYPE)
        self._outcomes = tuple(np.zeros(num_accounts, OUTCOME_DTYPE) for _ in range(2))
        self._columns = tuple(columns_of(outcomes) for outcomes in self._outcomes)
        self._turn = 0
        self.outcomes = self._outcomes[self._turn]
        self.settings = replay_settings(observed, trading, episode)
        self.terms, self.brackets = kernel_terms(observed.market.terms, trading)
        self.episodes = observed.episodes(period, episode.episode_bars)
        self._crew = Crew(num_accounts, num_threads)
        self._account_columns = np.array(observed.schema.account_columns, np.int64)
        self._bars = records(observed.market.bars)
        self._kernel_arrays = tuple(records(array) for array in (self.settings, self.terms))
        self._states = records(self.states)
        self._fundings = records(observed.market.fundings)
        self._episodes = records(self.episodes)
        self.income: Lines = None
        self._num_threads = num_threads
        self._outcome_records = tuple(records(array) for array in self._outcomes)
        self._step_accounts: Callable[..., bool] | None = None
        self._stepped_on = (
            self._bars,
            observed.rows,
            self._account_columns,
            self._fundings,
            *self._kernel_arrays,
            self.brackets,
            None,
        )

    def new_observations(self, every: int | None = None) -> Observations:
        """Return what ``step`` and ``reset`` can write into, each time or every so many bars."""
        return Observations(self.num_accounts, self.observed.schema, every=every)

    @property
    def outcome_columns(self) -> Mapping[str, NDArray[Any]]:
        """The fields of ``outcomes``, views (num_accounts,) by name."""
        return self._columns[self._turn]

    def seed(self, keys: NDArray[np.int64], which: NDArray[np.bool_] | None = None) -> None:
        """Give accounts the keys of their random generators and begin counting their episodes at 0."""
        chosen = slice(None) if which is None else which
        self.states["key"][chosen] = keys[chosen]
        self.states["episode"][chosen] = 0

    def reset(self, observations: Observations, which: NDArray[np.bool_] | None = None) -> None:
        """Begin an episode in the accounts of ``which`` (num_accounts,), all by default."""
        chosen = np.ones(self.num_accounts, np.bool_) if which is None else which
        settings, terms = self._kernel_arrays
        reset_accounts(
            chosen,
            self._states,
            *observations.written,
            self._bars,
            self.observed.rows,
            self._account_columns,
            self._episodes,
            settings,
            terms,
            self.brackets,
        )

    def begin(self, stretch: np.void, balances: NDArray[np.float64], observations: Observations) -> None:
        """Begin one episode from the first bar of a row of ``episodes`` in every account, flat, with given balances.

        Args:
            stretch: Record of ``EPISODE_DTYPE``.
            balances: (num_accounts,) USDT; rounded to the unit of a booking.
            observations: Written.
        """
        whole = self._episodes
        self._episodes = records(np.array([stretch], EPISODE_DTYPE))
        self.reset(observations)
        self._episodes = whole
        booked = [in_whole_units(balance) for balance in balances.tolist()]
        self.states["wallet_balance"] = booked
        self.states["margin_balance"] = booked

    def keep_income(self) -> None:
        """Let every step write its bookings into ``income`` (num_accounts, MOST_LINES) of ``INCOME_DTYPE``."""
        self.income = np.zeros((self.num_accounts, MOST_LINES), INCOME_DTYPE)

    def step(self, targets: NDArray[np.float64], observations: Observations) -> bool:
        """Play one bar in every account and return whether an episode ended; nothing is reset.

        Args:
            targets: (num_accounts,) target positions, fractions of ``max_exposure`` in [-1, 1].
            observations: Advanced and written.
        """
        observations.advance()
        self._turn ^= 1
        self.outcomes = self._outcomes[self._turn]
        if self._num_threads == 1 and self.income is None:
            return self._step_alone(np.ascontiguousarray(targets, np.float64), observations)
        outcomes = self._outcome_records[self._turn]
        settings, terms = self._kernel_arrays
        endings: list[bool] = []
        income = self.income
        if income is not None:
            income["kind"] = 0
            income = records(income)

        def play(share: slice, counters: Counters, number: int) -> None:
            has_ended = replay.step_share(
                counters,
                number,
                targets[share],
                self._states[share],
                outcomes[share],
                *observations.written_of(share),
                self._bars,
                self.observed.rows,
                self._account_columns,
                self._fundings,
                settings,
                terms,
                self.brackets,
                None if income is None else income[share],
            )
            endings.append(has_ended)

        self._crew.run(play)
        return any(endings)

    def _step_alone(self, targets: NDArray[np.float64], observations: Observations) -> bool:
        """Do as ``step`` does, in this thread and without income; the arrays' types are looked up once."""
        outcomes = self._outcome_records[self._turn]
        arguments: tuple[Any, ...] = (targets, self._states, outcomes, *observations.written, *self._stepped_on)
        if self._step_accounts is None:
            self._step_accounts = without_lookup(replay.step_accounts, *arguments)
        return self._step_accounts(*arguments)

    def play(self, targets: NDArray[np.float64], has_ended: NDArray[np.bool_]) -> NDArray[np.void]:
        """Play bars in a row, whatever happens in them, and return (num_bars, num_accounts) of ``OUTCOME_DTYPE``.

        Args:
            targets: (num_bars, num_accounts) target positions, fractions of ``max_exposure`` in [-1, 1].
            has_ended: (num_accounts,) which accounts stay out of the market; those that end are added.
        """
        outcomes = np.zeros(targets.shape, OUTCOME_DTYPE)
        settings, terms = self._kernel_arrays
        play_targets(
            targets,
            has_ended,
            self._states,
            records(outcomes),
            *self.new_observations().written,
            self._bars,
            self.observed.rows,
            self._account_columns,
            self._fundings,
            settings,
            terms,
            self.brackets,
        )
        return outcomes

    def play_rule(
        self, targets: NDArray[np.float64], balances: NDArray[np.float64], sums: NDArray[np.float64], has_ended: bool
    ) -> bool:
        """Play bars in a row for the only account, from where it has begun, and return whether it has ended.

        Args:
            targets: (num_bars,) target positions.
            balances: (num_bars,) margin balances, written.
            sums: (NUM_SUMS,) of ``replay_rule``, added to.
            has_ended: Whether it stays out of the market from the first bar on.
        """
        settings, terms = self._kernel_arrays
        return play_rule(
            targets, balances, sums, has_ended, self._states, self._bars, self._fundings, settings, terms, self.brackets
        )

    def account(self, i: int) -> Account:
        """Return the account with index ``i``."""
        state = self.states[i]
        return Account(
            float(state["wallet_balance"]),
            float(state["position_amount"]),
            float(state["entry_price"]),
            float(state["isolated_wallet"]),
        )
