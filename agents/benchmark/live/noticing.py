"""How soon the live trader notices that the market, or the stream of the account, tells nothing any more.

What notices takes its clock as a parameter; what is measured is a duration on that clock, so that nothing has to be
waited for. The worst of many moments counts at which the silence may begin between two looks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

from agents.benchmark.effort import Effort
from agents.benchmark.live.decisions import live_hash
from agents.benchmark.market import SYMBOL
from agents.benchmark.measure import Contest
from rl_trader.bars import MS_PER_HOUR
from rl_trader.contract import load_terms
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import Decided
from rl_trader.live.core.state import Conduct
from rl_trader.live.streams.bar_series import BarSeries, SeriesNeeds
from rl_trader.live.streams.market_feed import FeedLimits, MarketFeed
from rl_trader.live.streams.market_news import MarkNews, Stale
from rl_trader.live.streams.market_stream import TICK_MS
from rl_trader.live.streams.user_stream import LIMITS
from rl_trader.local_exchange.faults.faults import Faults
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.rehearsal.minutes import ACCOUNT, BAR_MS, START_MS, minute_exchange
from rl_trader.rehearsal.network import Network
from rl_trader.rehearsal.stage import Stage
from rl_trader.rehearsal.virtual_clock import VirtualClock
from rl_trader.rehearsal.virtual_loop import run_virtually

SECOND_MS: Final = 1_000
LONGEST_MS: Final = 120_000  # that something may take to be noticed
LOOK_MS: Final = 50
NUM_BARS: Final = 10
BEGIN_MS: Final = START_MS + BAR_MS  # of the first silence

_CONNECTING: Final = "before connecting"  # a point that the trader passes
_ZERO: Final = Decimal(0)


@contextmanager
def stall(_effort: Effort) -> Iterator[Contest]:
    """Seconds from the last price of the market until the trader knows that none comes."""
    yield Contest(
        subject=lambda: max(_stall_ms(phase) for phase in range(0, TICK_MS, 7)) / SECOND_MS,
        reference=lambda: FeedLimits().stale_ms / SECOND_MS,
        reference_name="the silence that is allowed",
        config=live_hash(),
    )


def _stall_ms(phase_ms: int) -> int:
    """Return how long it takes where the looks begin a while after the last price."""
    needs = SeriesNeeds(terms=load_terms(SYMBOL, None), interval="1m", num_bars=2, mark_intervals=())
    feed = MarketFeed(BarSeries(needs))
    feed.connect(0)
    last_ms = 60 * SECOND_MS
    for now_ms in range(0, last_ms + 1, SECOND_MS):
        feed.receive(MarkNews(SYMBOL, START_MS + now_ms, "50000", "0.0001", START_MS + 8 * MS_PER_HOUR), now_ms)
    if not feed.is_alive:
        raise RuntimeError("the market must be alive before it falls silent, and is not")
    for now_ms in range(last_ms + phase_ms, last_ms + LONGEST_MS, TICK_MS):
        if any(isinstance(event, Stale) for event in feed.tick(now_ms)):
            return now_ms - last_ms
    raise RuntimeError(f"the market's silence was not noticed within {LONGEST_MS} ms")


@contextmanager
def lost_stream(effort: Effort, *, answers_pings: bool) -> Iterator[Contest]:
    """Seconds until the account's stream is made anew, of a connection that is dead or that tells nothing.

    Of one that answers pings and tells nothing the time counts from a trade that it should have told.
    """
    moments = range(BEGIN_MS, BEGIN_MS + BAR_MS, BAR_MS // effort.num_moments)
    yield Contest(
        subject=lambda: max(run_virtually(_lost_ms(moment, answers_pings)) for moment in moments) / SECOND_MS,
        reference=lambda: LIMITS.stall_ms / SECOND_MS,
        reference_name="the silence that a connection is allowed",
        config=live_hash(),
    )


async def _lost_ms(moment_ms: int, answers_pings: bool) -> int:
    order = {"action": "other_hand", "change": "order", "account": ACCOUNT, "symbol": SYMBOL}
    order |= {"side": "BUY", "quantity": "0.020", "type": "MARKET"}
    mute = {"action": "mute", "for_ms": LONGEST_MS}
    silence: dict[str, Any] = {"on": {"time": moment_ms}, "do": mute | {"stream": f"user:{ACCOUNT}"}}
    if not answers_pings:
        silence = {"on": {"event": "ORDER_TRADE_UPDATE"}, "do": mute | {"whole_connection": True}}
    stage = _stage([silence, {"on": {"time": moment_ms}, "do": order}])
    await stage.start()
    try:
        await stage.run_until(moment_ms)
        before = stage.hazards.passed[_CONNECTING]
        for now_ms in range(moment_ms, moment_ms + LONGEST_MS, LOOK_MS):
            await stage.run_until(now_ms)
            if stage.hazards.passed[_CONNECTING] > before:
                return now_ms - moment_ms
    finally:
        await stage.kill()
    raise RuntimeError(f"the lost stream was not noticed within {LONGEST_MS} ms")


def _stage(faults: list[dict[str, Any]]) -> Stage:
    assembly = minute_exchange(0, NUM_BARS)
    venue = assembly.venue
    clock = VirtualClock(venue.market_ms())
    plan = FaultPlan.of({"seed": 0, "faults": [{**each, "name": f"{n}"} for n, each in enumerate(faults)]})
    contract = venue.exchange.quotes[SYMBOL].contract
    conduct = Conduct(
        symbol=SYMBOL,
        bar_ms=BAR_MS,
        tick_size=contract.tick_size,
        step_size=contract.step_size,
        stop_loss=Decimal("0.5"),
        take_profit=None,
    )
    network = Network(assembly, clock, Faults(plan, venue, clock.sleep))
    return Stage(assembly, conduct, decide=_hold, gate=lambda _state, _intent: None, network=network)


def _hold(command: Decide, now_ms: int) -> Decided:
    return Decided(
        t_ms=now_ms,
        open_ms=command.open_ms,
        observation_sha="",
        action="hold",
        target=_ZERO,
        reduce_amount=_ZERO,
        open_amount=_ZERO,
        fault="",
    )
