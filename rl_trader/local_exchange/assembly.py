"""A local exchange put together: market, engine, streams and endpoints, without a socket."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rl_trader.config import Assumptions, Slippage
from rl_trader.errors import ConfigError, DataError
from rl_trader.klines import interval_ms
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.endpoints.control import CONTROL_ENDPOINTS
from rl_trader.local_exchange.endpoints.listen_key import LISTEN_KEY_ENDPOINTS, LISTEN_KEY_METHODS
from rl_trader.local_exchange.endpoints.other_markets import OTHER_MARKET_ENDPOINTS
from rl_trader.local_exchange.endpoints.own_keys import OWN_KEYS_ENDPOINTS
from rl_trader.local_exchange.endpoints.private import PRIVATE_ENDPOINTS, PRIVATE_METHODS
from rl_trader.local_exchange.endpoints.public import PUBLIC_ENDPOINTS, PUBLIC_METHODS
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.trader import Bnb
from rl_trader.local_exchange.market.live import STALE_AFTER_MS, LiveMarket
from rl_trader.local_exchange.market.live_terms import Beginning
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import Recording, decimal, record_embedded, record_folder
from rl_trader.local_exchange.market.replay import Replay, SmoothReplay
from rl_trader.local_exchange.market.source import Source
from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.endpoint import Endpoint
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.limits import Limits, LimitTerms
from rl_trader.local_exchange.protocol.ws_api import WsApi
from rl_trader.local_exchange.streams.hub import Hub
from rl_trader.local_exchange.streams.names import Category
from rl_trader.local_exchange.streams.routes import UNSPLIT_TODAY
from rl_trader.local_exchange.venue import Venue
from rl_trader.market import Period
from rl_trader.store import DataStore

if TYPE_CHECKING:
    import pandas as pd

EMBEDDED_BARS: Final = 96_384  # five and a half years of half hours

ENDPOINTS: Final = (
    *PUBLIC_ENDPOINTS,
    *PRIVATE_ENDPOINTS,
    *LISTEN_KEY_ENDPOINTS,
    *OTHER_MARKET_ENDPOINTS,
    *OWN_KEYS_ENDPOINTS,
)
METHODS: Final = (*PUBLIC_METHODS, *PRIVATE_METHODS, *LISTEN_KEY_METHODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a local exchange replays or follows, and who trades on it."""

    data: Path | None = None  # data folder; None is the embedded market, and of one that follows the shipped brackets
    symbols: tuple[str, ...] = ("BTCUSDT",)  # of the data folder, or followed
    interval: str | None = None  # of bars; None is the finest that is recorded, 1m where one follows
    since_ms: int | None = None  # first bar that is played; None is the first recorded
    until_ms: int | None = None  # the bars before it are played; None is all
    assumptions: Assumptions = field(default_factory=Assumptions)
    slippage: Slippage = field(default_factory=lambda: Slippage(half_spread=0.0001))
    accounts: tuple[str, ...] = ("main",)
    balance: Decimal = Decimal(10_000)  # USDT of every account
    bnb: Bnb | None = None  # of every account, which pays fees by it; None charges its value in USDT
    insurance_fund: Decimal | None = None  # USDT; None never ends
    limits: LimitTerms = field(default_factory=LimitTerms)
    unsplit: frozenset[Category] = UNSPLIT_TODAY  # what stream addresses without a category carry
    unlisted_filters: tuple[str, ...] = ()  # types that exchangeInfo leaves out, for clients that do not know them
    seed: int = 0  # of the embedded market, and of keys


@dataclass(frozen=True, slots=True)
class Assembly:
    """A local exchange without a socket."""

    venue: Venue
    dispatcher: Dispatcher
    ws_api: WsApi
    keys: tuple[ApiKey, ...]  # of the accounts, in their order
    unsplit: frozenset[Category] = UNSPLIT_TODAY  # what stream addresses without a category carry


class Following(NamedTuple):
    """A local exchange that follows another one."""

    assembly: Assembly
    market: LiveMarket  # is to be told what happens there


def machine_ms() -> int:
    """Return the machine's time."""
    return time.time_ns() // 1_000_000


def assemble_lock_step(setup: Setup, session_clock: Callable[[], int] | None = None) -> Assembly:
    """Return a local exchange whose market moves only when it is told to.

    Args:
        setup: What is replayed, and who trades.
        session_clock: By which clients sign, connections last and limits count; None is the market's time.
    """
    return _assemble_replay(setup, Replay, session_clock, (*ENDPOINTS, *CONTROL_ENDPOINTS))


def assemble_paced(setup: Setup, session_clock: Callable[[], int] = machine_ms) -> Assembly:
    """Return a local exchange whose market is to be moved as the machine's time goes on."""
    return _assemble_replay(setup, SmoothReplay, session_clock, ENDPOINTS)


def assemble_following(
    setup: Setup,
    beginnings: Sequence[Beginning],
    *,
    stale_after_ms: int = STALE_AFTER_MS,
    session_clock: Callable[[], int] = machine_ms,
) -> Following:
    """Return a local exchange whose market follows another exchange, which somebody has to listen to.

    Args:
        setup: Who trades, and how orders fill; what is followed is that of the beginnings.
        beginnings: From where on the symbols are followed.
        stale_after_ms: Age of prices at which nothing is traded any more.
        session_clock: By which clients sign, connections last, limits count and prices age.
    """
    recordings = [beginning.recording for beginning in beginnings]
    exchange = _exchange(setup, recordings)
    market = LiveMarket(exchange, beginnings, stale_after_ms)
    return Following(_assemble(setup, exchange, recordings, market, session_clock, ENDPOINTS), market)


def _assemble_replay(
    setup: Setup,
    replay_type: type[Replay],
    session_clock: Callable[[], int] | None,
    endpoints: Iterable[Endpoint],
) -> Assembly:
    recordings = recordings_of(setup)
    exchange = _exchange(setup, recordings)
    replay = replay_type(exchange, recordings, start_ms=setup.since_ms, end_ms=setup.until_ms)
    return _assemble(setup, exchange, recordings, replay, session_clock, endpoints)


def _exchange(setup: Setup, recordings: Sequence[Recording]) -> Exchange:
    slippage = setup.slippage
    conduct = Conduct(
        half_spread=decimal(slippage.half_spread),
        sqrt_impact=decimal(slippage.sqrt_impact),
        linear_impact=decimal(slippage.linear_impact),
        slippage_scale=Decimal(1),
    )
    return Exchange([recording.contract for recording in recordings], conduct, setup.insurance_fund)


def _assemble(
    setup: Setup,
    exchange: Exchange,
    recordings: Sequence[Recording],
    source: Source,
    session_clock: Callable[[], int] | None,
    endpoints: Iterable[Endpoint],
) -> Assembly:
    market = Market(exchange, recordings, source, unlisted_filters=setup.unlisted_filters)
    hub = Hub(exchange, market, str(setup.seed))
    venue = Venue(
        exchange, market, hub, limits=Limits(setup.limits), session_clock=session_clock, seed=f"local {setup.seed}"
    )
    if not setup.accounts:
        raise ConfigError("the exchange must have an account and none is named; name one")
    venue.to_next_open()
    keys = tuple(venue.open_account(name, setup.balance) for name in setup.accounts)
    for name in setup.accounts:
        venue.trader(name).bnb = setup.bnb
    return Assembly(venue, Dispatcher(endpoints, venue), WsApi(METHODS, venue), keys, setup.unsplit)


def recordings_of(setup: Setup) -> tuple[Recording, ...]:
    """Return what is replayed.

    Raises:
        DataError: If it is not recorded.
    """
    if setup.data is None:
        return (record_embedded(EMBEDDED_BARS, setup.seed),)
    store, period = DataStore.open(setup.data), Period(setup.since_ms, setup.until_ms)
    interval = setup.interval or finest_interval(store, setup.symbols, period)
    return record_folder(store, setup.symbols, interval, period, setup.assumptions)


def finest_interval(store: DataStore, symbols: Sequence[str], period: Period) -> str:
    """Return the finest interval in which klines of every symbol are recorded when the period begins.

    Raises:
        DataError: If there is none.
    """
    recorded = [set(store.intervals(symbol)) for symbol in symbols]
    for interval in sorted(set.intersection(*recorded) if recorded else set(), key=interval_ms):
        if all(_begins_in(store.klines(symbol, interval)["open_time"], period) for symbol in symbols):
            return interval
    raise DataError(
        f"klines of {', '.join(symbols)} must be recorded in one interval where the period {period} begins, and are "
        "not; choose another period or download them"
    )


def _begins_in(open_time: "pd.Series[int]", period: Period) -> bool:
    return period.since is None or int(open_time.iloc[0]) <= period.since <= int(open_time.iloc[-1])
