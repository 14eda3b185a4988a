"""Policies, rules and random agents over a whole period, in the same kernel as training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bookings import sum_of_bookings
from rl_trader.config import TradingConfig
from rl_trader.income import INCOME_TYPES, REALIZED_PNL
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.policy import AnyPolicy
from rl_trader.remembering import Remembering
from rl_trader.simulator import FROM_FIRST_BAR, Simulator
from rl_trader.state import OUTCOME_DTYPE

TALLIED_BARS: Final = 512  # whose outcomes are held at a time

Decide = Callable[[int, NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """One account on one symbol over a period.

    An account that was wholly liquidated, or ruined, does not trade again: its balance stays what was left.
    """

    name: str
    symbol: str
    interval_ms: int
    initial_balance: float  # USDT
    close_time: NDArray[np.int64]  # (num_bars,) ms UTC
    outcomes: NDArray[np.void]  # (num_bars,) of OUTCOME_DTYPE, a bar each
    targets: NDArray[np.float64]  # (num_bars,) target position decided before the bar

    @property
    def margin_balance(self) -> NDArray[np.float64]:
        """Return the margin balance at every bar's close, (num_bars,) USDT."""
        return self.outcomes["margin_balance"]

    @property
    def has_ended(self) -> NDArray[np.bool_]:
        """Return for every bar whether the account was liquidated or ruined before it, (num_bars,)."""
        ended = np.logical_or.accumulate(self.outcomes["terminated"])
        return np.concatenate([[False], ended[:-1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What is kept of many accounts on one symbol: no series, so that hundreds of them need no memory."""

    margin_balance: NDArray[np.float64]  # (num_accounts,) USDT, at the end
    turnover: NDArray[np.float64]  # (num_accounts,) traded notional over margin balance, mean of a bar
    wanted_turnover: NDArray[np.float64]  # (num_accounts,) what the changes of the targets alone would have traded


class CostFactors(NamedTuple):
    """What an account pays, in multiples of what it does, and when its decisions reach the market."""

    fee: float = 1.0
    slippage: float = 1.0
    is_late: bool = False  # whether an order fills one bar later


def backtest_policy(
    name: str, policy: AnyPolicy, observed: ObservedMarket, trading: TradingConfig, period: Period
) -> list[BacktestResult]:
    """Return the result of a policy on every symbol; its observations are those of training.

    What it remembers of an account begins anew with every stretch without a hole, as the position does.
    """
    account = Remembering(policy, 1)

    def decide(_row: int, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        return account.targets(observations)

    return [
        _play([name], decide, observed, trading, period, symbol, account.forget)[0]
        for symbol in range(len(observed.market.symbols))
    ]


def backtest_targets(
    targets: Mapping[str, NDArray[np.float64]], observed: ObservedMarket, trading: TradingConfig, period: Period
) -> dict[str, list[BacktestResult]]:
    """Return the results of several series of targets, each with one result a symbol.

    Args:
        targets: By name, (num_bars,) target positions decided at the close of every bar of ``observed.market.bars``.
        observed: Market and features.
        trading: How the accounts trade.
        period: The bars that are played.
    """
    names = list(targets)
    played = observed.episodes(period)
    begin, end = int(played["first_start"].min()), int(played["last_bar"].max())
    # Only of the played bars: the series may be made one after the other, and a recording may be long.
    table = np.stack([targets[name][begin:end].copy() for name in names], axis=1)
    factors = dict.fromkeys(names, CostFactors())
    by_symbol = [
        _play_table(factors, table, begin, observed, trading, period, symbol)
        for symbol in range(len(observed.market.symbols))
    ]
    return {name: [results[i] for results in by_symbol] for i, name in enumerate(names)}


def backtest_costs(
    agent: Sequence[BacktestResult],
    factors: Mapping[str, CostFactors],
    observed: ObservedMarket,
    trading: TradingConfig,
    period: Period,
) -> dict[str, list[BacktestResult]]:
    """Return what an agent's decisions would have earned at other costs, by name, one result a symbol.

    Args:
        agent: Its results, one a symbol; the decisions are kept.
        factors: The other costs, by name.
        observed: Market and features of the results.
        trading: Of the results.
        period: Of the results.
    """
    by_symbol = []
    for symbol, result in enumerate(agent):
        begin = int(result.outcomes["bar"][0]) - 1
        own = np.zeros(int(result.outcomes["bar"][-1]) - begin)
        own[result.outcomes["bar"] - 1 - begin] = result.targets
        late = np.concatenate([[0.0], own[:-1]])
        table = np.stack([late if costs.is_late else own for costs in factors.values()], axis=1)
        by_symbol.append(_play_table(factors, table, begin, observed, trading, period, symbol))
    return {name: [results[i] for results in by_symbol] for i, name in enumerate(factors)}


def income_statement(
    result: BacktestResult, observed: ObservedMarket, trading: TradingConfig, period: Period
) -> pd.DataFrame:
    """Return every booking of a result in the order of booking, as the exchange's income history lists them.

    Args:
        result: Whose targets are played again.
        observed: Market and features of the result.
        trading: Of the result.
        period: Of the result.

    Returns:
        One row a booking: ``time`` (ms UTC, open of the bar it happened in), ``symbol``, ``income_type`` (the
        exchange's word), ``income`` and ``wallet_balance`` after it (USDT). A position that ends at a hole of the
        recording is a row of realized PnL.
    """
    simulator = Simulator(observed, trading, FROM_FIRST_BAR, period, 1)
    simulator.keep_income()
    targets = iter(result.targets)
    rows: list[tuple[int, str, float, float]] = []
    wallet_balance = float(simulator.settings["initial_balance"][0])

    def decide(row: int, _observations: NDArray[np.float32]) -> NDArray[np.float64]:
        nonlocal wallet_balance
        held = float(simulator.states["wallet_balance"][0])
        if held != wallet_balance:  # a new segment begins with the balance of the old one
            time = int(observed.market.bars["open_time"][row])
            realized = sum_of_bookings(held, -wallet_balance)
            rows.append((time, INCOME_TYPES[REALIZED_PNL], realized, held))
            wallet_balance = held
        return np.array([next(targets)])

    for _ in _played_bars(simulator, decide, observed.market.symbols.index(result.symbol)):
        assert simulator.income is not None
        time = int(observed.market.bars["open_time"][simulator.outcomes["bar"][0]])
        for line in simulator.income[0]:
            if line["kind"] == 0:
                break
            rows.append((time, INCOME_TYPES[int(line["kind"])], float(line["income"]), float(line["wallet_balance"])))
        wallet_balance = float(simulator.states["wallet_balance"][0])
    table = pd.DataFrame(rows, columns=["time", "income_type", "income", "wallet_balance"])
    table.insert(1, "symbol", result.symbol)
    return table


def tally_targets(
    targets: Iterator[NDArray[np.float64]],
    num_accounts: int,
    observed: ObservedMarket,
    trading: TradingConfig,
    period: Period,
    symbol: int,
) -> Tally:
    """Return the final balances of many accounts on one symbol, and the turnover until each was liquidated or ruined.

    Args:
        targets: Yields the target positions (num_accounts,) of one bar after another.
        num_accounts: Number of accounts.
        observed: Market and features.
        trading: How the accounts trade.
        period: The bars that are played.
        symbol: Index of the symbol.
    """
    simulator = Simulator(observed, trading, FROM_FIRST_BAR, period, num_accounts)
    balances = np.full(num_accounts, trading.initial_balance)
    has_ended = np.zeros(num_accounts, np.bool_)
    traded, changed, num_alive, last = np.zeros((4, num_accounts))
    for stretch in simulator.episodes[simulator.episodes["symbol"] == symbol]:
        simulator.begin(stretch, balances, simulator.new_observations())
        for begin in range(stretch["first_start"], stretch["last_bar"], TALLIED_BARS):
            decided = np.stack(list(islice(targets, min(TALLIED_BARS, stretch["last_bar"] - begin))))
            played, is_alive = _play_rows(simulator, decided, has_ended)
            # A liquidated account may have had no balance before; it is no longer alive then.
            before = np.maximum(played["margin_balance_before"], np.spacing(1))
            traded += (is_alive * played["traded_notional"] / before).sum(axis=0)
            kept = np.concatenate([last[None], is_alive * decided])
            changed += (is_alive * np.abs(np.diff(kept, axis=0))).sum(axis=0)
            num_alive += is_alive.sum(axis=0)
            last, balances = kept[-1], played["margin_balance"][-1].copy()
    return Tally(
        margin_balance=balances,
        turnover=traded / num_alive,
        wanted_turnover=changed / num_alive * trading.max_exposure,
    )


def _play_rows(
    simulator: Simulator, decided: NDArray[np.float64], has_ended: NDArray[np.bool_]
) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Play known decisions and return the outcomes, and which accounts had not ended before every bar.

    Args:
        simulator: Whose accounts have begun.
        decided: (num_bars, num_accounts) target positions.
        has_ended: (num_accounts,), read and written.
    """
    is_alive = np.tile(~has_ended, (len(decided), 1))
    played = simulator.play(decided, has_ended)
    is_alive[1:] &= ~np.logical_or.accumulate(played["terminated"], axis=0)[:-1]
    return played, is_alive


def _played_bars(
    simulator: Simulator, decide: Decide, symbol: int, begin: Callable[[], object] = lambda: None
) -> Iterator[NDArray[np.float64]]:
    """Play all segments of a symbol and yield each bar's targets, while ``simulator.outcomes`` are the bar's.

    Balances are carried across holes, positions are not; ``begin`` is called before each segment.
    """
    stretches = simulator.episodes[simulator.episodes["symbol"] == symbol]
    balances = np.full(simulator.num_accounts, simulator.trading.initial_balance)
    has_ended = np.zeros(simulator.num_accounts, np.bool_)
    observations = simulator.new_observations()
    for stretch in stretches:
        simulator.begin(stretch, balances, observations)
        begin()
        for row in range(stretch["first_start"], stretch["last_bar"]):
            targets = np.where(has_ended, 0.0, decide(row, observations.array))
            simulator.step(targets, observations)
            yield targets
            has_ended |= simulator.outcomes["terminated"]
        balances = simulator.outcomes["margin_balance"].copy()


def _play(
    names: list[str],
    decide: Decide,
    observed: ObservedMarket,
    trading: TradingConfig,
    period: Period,
    symbol: int,
    begin: Callable[[], object],
) -> list[BacktestResult]:
    """Play one account a name through all segments of a symbol and keep every bar's outcome."""
    simulator = Simulator(observed, trading, FROM_FIRST_BAR, period, len(names))
    stretches = simulator.episodes[simulator.episodes["symbol"] == symbol]
    num_bars = int((stretches["last_bar"] - stretches["first_start"]).sum())
    outcomes = np.zeros((len(names), num_bars), OUTCOME_DTYPE)
    targets = np.zeros((len(names), num_bars))
    for n, decided in enumerate(_played_bars(simulator, decide, symbol, begin)):
        outcomes[:, n] = simulator.outcomes
        targets[:, n] = decided
    return _results(names, outcomes, targets, observed, trading, symbol)


def _play_table(
    factors: Mapping[str, CostFactors],
    table: NDArray[np.float64],
    begin: int,
    observed: ObservedMarket,
    trading: TradingConfig,
    period: Period,
    symbol: int,
) -> list[BacktestResult]:
    """Play one account a name, whose decisions are known beforehand, through all segments of a symbol.

    Args:
        factors: Costs of every account, by name.
        table: (num_rows, num_accounts) target positions.
        begin: Row of the market's bars after whose close the table's first row was decided.
        observed: Market and features.
        trading: How the accounts trade.
        period: The bars that are played.
        symbol: Index of the symbol.
    """
    simulator = Simulator(observed, trading, FROM_FIRST_BAR, period, len(factors))
    balances = np.full(len(factors), trading.initial_balance)
    has_ended = np.zeros(len(factors), np.bool_)
    observations = simulator.new_observations()
    outcomes, targets = [], []
    for stretch in simulator.episodes[simulator.episodes["symbol"] == symbol]:
        simulator.begin(stretch, balances, observations)
        for name, factor in (("taker_fee", "fee"), ("maker_fee", "fee"), ("slippage_scale", "slippage")):
            simulator.states[name] *= [getattr(costs, factor) for costs in factors.values()]
        decided = table[stretch["first_start"] - begin : stretch["last_bar"] - begin]
        played, is_alive = _play_rows(simulator, decided, has_ended)
        outcomes.append(played)
        targets.append(np.where(is_alive, decided, 0.0))
        balances = played["margin_balance"][-1].copy()
    whole, decisions = (np.ascontiguousarray(np.concatenate(parts).T) for parts in (outcomes, targets))
    return _results(list(factors), whole, decisions, observed, trading, symbol)


def _results(
    names: Sequence[str],
    outcomes: NDArray[np.void],
    targets: NDArray[np.float64],
    observed: ObservedMarket,
    trading: TradingConfig,
    symbol: int,
) -> list[BacktestResult]:
    market = observed.market
    close_time = market.bars["open_time"][outcomes["bar"][0]] + market.interval_ms
    return [
        BacktestResult(
            name=name,
            symbol=market.symbols[symbol],
            interval_ms=market.interval_ms,
            initial_balance=trading.initial_balance,
            close_time=close_time,
            outcomes=outcomes[i],
            targets=targets[i],
        )
        for i, name in enumerate(names)
    ]
