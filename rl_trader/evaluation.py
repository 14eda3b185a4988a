"""An agent beside the baselines and random agents, over one period and in one kernel."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.backtest import BacktestResult, Tally, backtest_policy, backtest_targets, tally_targets
from rl_trader.bars import MS_PER_DAY
from rl_trader.baselines import BASELINES, random_targets
from rl_trader.config import TradingConfig
from rl_trader.klines import utc
from rl_trader.market import MarketData, Period
from rl_trader.metrics import Metrics, measure
from rl_trader.observed_market import ObservedMarket
from rl_trader.policy import AnyPolicy, Rule
from rl_trader.trading import charged_fees

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
MAX_PLAYS: Final = 3  # of the random agents, until they trade as much as the agent
TURNOVER_TOLERANCE: Final = 0.02  # fraction of the agent's turnover


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomAgents:
    """How agents fared that moved at random as often as the agent."""

    seed: int
    turnover: float  # traded notional over margin balance, a day, mean of the agents
    wanted_turnover: float  # the agent's
    total_returns: NDArray[np.float64]  # (num_agents,) fractions
    share_below: float  # fraction of them that earned less than the agent; equal ones count half

    def to_json(self) -> dict[str, object]:
        """Return the summary, without the single returns."""
        quantiles = np.quantile(self.total_returns, QUANTILES)
        return {
            "num_agents": len(self.total_returns),
            "seed": self.seed,
            "turnover": self.turnover,
            "wanted_turnover": self.wanted_turnover,
            "mean_total_return": float(self.total_returns.mean()),
            "total_return_quantiles": dict(zip(map(str, QUANTILES), map(float, quantiles), strict=True)),
            "share_below": self.share_below,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that a report says about an agent in a period."""

    name: str
    market: MarketData
    trading: TradingConfig
    period: Period  # as asked for
    agent: list[BacktestResult]  # one a symbol
    baselines: dict[str, list[BacktestResult]]
    metrics: Metrics
    baseline_metrics: dict[str, Metrics]
    random: RandomAgents | None  # None where none were asked for
    facts: Mapping[str, str] = field(default_factory=dict)  # what else the report states, such as seeds and trials

    @property
    def played(self) -> Period:
        """Return from the first played bar's open to the last one's close, over all symbols."""
        first = min(int(result.close_time[0]) for result in self.agent) - self.market.interval_ms
        return Period(first, max(int(result.close_time[-1]) for result in self.agent))

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Return in sentences what was assumed and not recorded."""
        return assumptions_of(self.market, self.trading)

    def to_json(self) -> dict[str, object]:
        """Return the figures, the costs and the assumptions."""
        played = self.played
        assert played.since is not None
        assert played.until is not None
        return {
            "name": self.name,
            "symbols": list(self.market.symbols),
            "interval": self.market.interval,
            "since": utc(played.since),
            "until": utc(played.until),
            "taker_fee": {terms.symbol: charged_fees(terms, self.trading).taker for terms in self.market.terms},
            "trading": asdict(self.trading),
            "facts": dict(self.facts),
            "assumptions": list(self.assumptions),
            "agent": self.metrics.to_json(),
            "baselines": {name: metrics.to_json() for name, metrics in self.baseline_metrics.items()},
            "random": self.random.to_json() if self.random is not None else None,
        }


_MARKET_ORDERS: Final = (
    "Orders fill at the open of the next bar plus slippage, whatever their size relative to the book."
)
_LIMIT_ORDERS: Final = (
    "Post-only limit orders rest for one bar and fill whole where the last price trades through theirs, whatever queues"
    " before them."
)
_FEES_IN_BNB: Final = "Fees are paid in BNB, with its discount, and booked in USDT at the same value."
_REPLAY_ASSUMPTIONS: Final = (
    "Inside a bar the price goes open, low, high, close when the bar rises, and open, high, low, close when it falls.",
    "The exchange publishes no exact liquidation algorithm: a position is reduced bracket by bracket, then closed.",
    "Positions are not carried across holes of the recording; they end at the mark price, without a fee.",
)


def assumptions_of(market: MarketData, trading: TradingConfig) -> tuple[str, ...]:
    """Return in sentences what a replay of a market assumes."""
    return (*market.assumptions, *_terms_assumptions(market), *_replay_assumptions(trading))


def _replay_assumptions(trading: TradingConfig) -> list[str]:
    orders = _MARKET_ORDERS if trading.limit_distance is None else _LIMIT_ORDERS
    fees = [_FEES_IN_BNB] if trading.fees_in_bnb else []
    return [orders, *_REPLAY_ASSUMPTIONS, *fees]


def _terms_assumptions(market: MarketData) -> list[str]:
    read = {date for terms in market.terms for date in (terms.read_on, terms.brackets_read_on) if date is not None}
    dates = ", ".join(sorted(read))
    sentences = [
        f"Fees, leverage brackets and order filters are the terms of {dates}, used on data of the past: what the"
        " exchange asked at the time may have been different."
    ]
    undated = [terms.symbol for terms in market.terms if terms.brackets_read_on is None]
    if undated:
        sentences.append(f"The leverage brackets of {', '.join(undated)} are those of a file without a date.")
    sentences += [
        f"{terms.symbol}: not answered by the exchange for this symbol and account but inferred, or the fees of a"
        f" regular user: {', '.join(terms.inferred)}."
        for terms in market.terms
        if terms.inferred
    ]
    return sentences


def evaluate(
    name: str,
    policy: AnyPolicy,
    observed: ObservedMarket,
    trading: TradingConfig,
    period: Period,
    *,
    num_random: int = 200,
    seed: int = 0,
    facts: Mapping[str, str] | None = None,
    rules: Mapping[str, Rule] | None = None,
    policies: Mapping[str, AnyPolicy] | None = None,
) -> Evaluation:
    """Play an agent, every baseline and random agents over a period.

    Args:
        name: What the report calls the agent.
        policy: The agent.
        observed: Market and features.
        trading: How all accounts trade.
        period: What is played.
        num_random: Random agents; 0 for none.
        seed: Theirs.
        facts: What else the report shall state, by name.
        rules: Further baselines that decide from bars, by name.
        policies: Further baselines that decide from the agent's observations, by name.
    """
    agent = backtest_policy(name, policy, observed, trading, period)
    metrics = measure(agent)
    baselines = play_baselines(observed, trading, period, rules)
    for other, decides in (policies or {}).items():
        baselines[other] = backtest_policy(other, decides, observed, trading, period)
    return Evaluation(
        name=name,
        market=observed.market,
        trading=trading,
        period=period,
        agent=agent,
        baselines=baselines,
        metrics=metrics,
        baseline_metrics={baseline: measure(results) for baseline, results in baselines.items()},
        random=play_random_agents(metrics, observed, trading, period, num_random, seed) if num_random else None,
        facts=facts or {},
    )


def play_baselines(
    observed: ObservedMarket, trading: TradingConfig, period: Period, rules: Mapping[str, Rule] | None = None
) -> dict[str, list[BacktestResult]]:
    """Return the results of every baseline and of further rules, each with one a symbol."""
    return backtest_targets(_Decisions({**BASELINES, **(rules or {})}, observed.market), observed, trading, period)


class _Decisions(Mapping[str, NDArray[np.float64]]):
    """The targets of rules, made when they are asked for: all of them at once would fill the memory."""

    def __init__(self, rules: Mapping[str, Rule], market: MarketData) -> None:
        self._rules = rules
        self._market = market

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._rules[name].targets(self._market)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)


def play_random_agents(
    agent: Metrics, observed: ObservedMarket, trading: TradingConfig, period: Period, num_agents: int, seed: int
) -> RandomAgents:
    """Return how random agents fare that trade as much as an agent did.

    Not only changes of targets trade but rebalancing and stops too: where a play traded more than the agent, the next
    one changes targets as much less often.
    """
    bars_per_day = MS_PER_DAY / observed.market.interval_ms
    wanted = agent.turnover / bars_per_day
    returns, turnover = np.zeros((2, num_agents))
    symbols = range(len(observed.market.symbols))
    for symbol in symbols:
        of_targets = wanted
        for _ in range(MAX_PLAYS):
            tally = _tally_random(of_targets, num_agents, observed, trading, period, symbol, seed)
            traded = float(tally.turnover.mean())
            if traded == 0.0 or abs(traded - wanted) <= TURNOVER_TOLERANCE * wanted:
                break
            of_targets = wanted * float(tally.wanted_turnover.mean()) / traded
        returns += (tally.margin_balance / trading.initial_balance - 1.0) / len(symbols)
        turnover += tally.turnover / len(symbols)
    below = (returns < agent.total_return) + 0.5 * (returns == agent.total_return)
    return RandomAgents(
        seed=seed,
        turnover=float(turnover.mean()) * bars_per_day,
        wanted_turnover=agent.turnover,
        total_returns=returns,
        share_below=float(below.mean()),
    )


def _tally_random(
    turnover: float,
    num_agents: int,
    observed: ObservedMarket,
    trading: TradingConfig,
    period: Period,
    symbol: int,
    seed: int,
) -> Tally:
    stream = np.random.SeedSequence(seed, spawn_key=(symbol,))
    num_bars = len(observed.market.bars)  # more than are played
    targets = random_targets(num_bars, turnover / trading.max_exposure, stream, num_agents, trading.levels)
    return tally_targets(targets, num_agents, observed, trading, period, symbol)
