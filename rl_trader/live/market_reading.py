"""What the feed of the market tells, as the core's events."""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from rl_trader.live.core.events import BarClosed, BarRevised, BarSkipped, Event, MarketSeen
from rl_trader.live.streams import market_news
from rl_trader.live.streams.market_news import Alive, BarLate, BarReady, FeedEvent, Stale


class MarkAt(NamedTuple):
    """A mark price, and of when it is."""

    price: str
    time_ms: int


def market_event(news: FeedEvent, now_ms: int, mark_at: Callable[[int], MarkAt | None]) -> Event | None:
    """Return the core's event of what a feed tells; None if it is none.

    Args:
        news: What is told.
        now_ms: The exchange's time.
        mark_at: Returns the mark price at the end of a bar, by its open time, or the newest; None where there is none.
    """
    match news:
        case BarReady():
            close = news.bar["close"]
            mark = mark_at(news.open_time) or MarkAt(close, 0)
            return BarClosed(
                t_ms=now_ms,
                open_ms=news.open_time,
                close=Decimal(close),
                mark_close=Decimal(mark.price),
                mark_ms=mark.time_ms,
            )
        case BarLate():
            return BarSkipped(t_ms=now_ms, open_ms=news.open_time, reason=news.reason)
        case market_news.BarRevised():
            return BarRevised(t_ms=now_ms, open_ms=news.time_ms, reason=f"{news.series}: {news.reason}")
        case Alive():
            return MarketSeen(t_ms=now_ms, is_alive=True, mark_price=Decimal(news.mark))
        case Stale():
            return MarketSeen(t_ms=now_ms, is_alive=False, mark_price=Decimal(0))
        case _:
            return None
