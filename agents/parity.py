"""A run's checkpoint, deployed on the local exchange, beside its back-test: on the market that evaluation plays."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agents.config import EMBEDDED, MarketConfig
from agents.markets import data_folder, load_market
from agents.run_folder import RunFolder
from rl_trader.errors import ConfigError
from rl_trader.klines import parse_date, utc
from rl_trader.live.policy.deployment import Deployment, load_deployment
from rl_trader.local_exchange.assembly import Setup, assemble_lock_step
from rl_trader.local_exchange.market.recording import decimal
from rl_trader.local_exchange.protocol.limits import UNLIMITED
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.parity.bars import Report
from rl_trader.parity.chain import Chain
from rl_trader.parity.run import check_chain, check_run, first_open_ms
from rl_trader.store import DataStore


@dataclass(frozen=True, slots=True)
class RunParity:
    """What is compared: a deployment, and the market of its back-test."""

    deployment: Deployment
    observed: ObservedMarket
    market: MarketConfig
    data: Path | None  # folder; None is the embedded market
    since_ms: int  # open time of the first bar that is played, at the earliest

    def check(self, num_bars: int) -> Report:
        """Compare bar by bar; where an account ends, a new one goes on.

        Args:
            num_bars: How many; fewer where the run's test period ends.

        Raises:
            ParityError: At the first difference.
            RlTraderError: If the run cannot be compared.
        """
        return self._check(
            lambda setup, most: check_run(assemble_lock_step(setup), self.deployment, self.observed, most), num_bars
        )

    def check_chain(self, num_bars: int) -> Report:
        """Compare as :meth:`check` does, trading on an exchange that follows the one that replays.

        Raises:
            ParityError: At the first difference.
            RlTraderError: If the run cannot be compared.
        """
        return self._check(
            lambda setup, most: check_chain(Chain(setup, self.deployment), self.deployment, self.observed, most),
            num_bars,
        )

    def _check(self, compare: Callable[[Setup, int], Report], num_bars: int) -> Report:
        total = Report(next_ms=self.since_ms)
        last_ms = int(self.observed.market.bars["open_time"][-1])
        while total.bars < num_bars and total.next_ms <= last_ms:
            total.add(compare(self.setup(total.next_ms), num_bars - total.bars))
        return total

    def setup(self, since_ms: int) -> Setup:
        """Return the exchange that replays from a time on."""
        trading = self.deployment.trading
        return Setup(
            data=self.data,
            symbols=(self.deployment.symbol,),
            interval=self.deployment.interval,
            since_ms=first_open_ms(self.observed, since_ms),
            assumptions=self.market.assumptions,
            slippage=trading.slippage,
            balance=decimal(trading.initial_balance),
            limits=UNLIMITED,
        )


def run_parity(
    path: Path,
    *,
    since: str | None = None,
    data: Path | None = None,
    symbol: str | None = None,
    which: str = "best",
) -> RunParity:
    """Return what is compared of a run.

    Args:
        path: The run's folder.
        since: First day or time that is played, UTC; None is the begin of the validation period.
        data: Folder of market data; None is the run's.
        symbol: One of the run's; may be left out where it has one.
        which: The ``best`` or the ``last`` checkpoint.

    Raises:
        RlTraderError: If run, checkpoint, data or period cannot be used.
    """
    config = RunFolder.open(path).config()
    deployment = load_deployment(path, symbol, which)
    begin = since or config.market.validation[0]
    played = (begin, config.market.test[1])
    market = replace(config.market, train=played, validation=played, test=played)
    if market.is_generated and market.symbols != (EMBEDDED,):
        raise ConfigError(
            f"the local exchange must trade a recorded market or {EMBEDDED}, and the run's is {market.symbols[0]};"
            " name a run of another preset"
        )
    folder = None if market.is_generated else data_folder(data or config.data)
    if folder is not None:
        market = replace(market, symbols=(deployment.symbol,))
    whole = load_market(market, deployment.schema, folder)
    if folder is not None:
        _check_marks(deployment, DataStore.open(folder), int(whole.bars["open_time"][0]))
    observed = observe_market(whole, deployment.schema, scaling=deployment.checkpoint.scaling)
    return RunParity(deployment, observed, market, folder, parse_date(begin))


def _check_marks(deployment: Deployment, store: DataStore, first_ms: int) -> None:
    """Refuse a time in which candles are not recorded that the exchange would have to make up.

    It would make them of another mark price, and training saw that one.
    """
    for interval in deployment.series.mark_intervals:
        begin_ms = int(store.mark_price(deployment.symbol, interval)["open_time"].iloc[0])
        if begin_ms > first_ms:
            raise ConfigError(
                f"mark-price candles of {interval} must be recorded from {utc(first_ms)} on, where the warm-up begins,"
                f" and are from {utc(begin_ms)} on; name a later day by --since"
            )
