"""What a fault can do to the venue; each class is an action of the plan, its fields are those of the action."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from rl_trader.klines import utc
from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.endpoints.klines import kline_rows
from rl_trader.local_exchange.engine.forced import liquidate_position, shown_liquidation_price
from rl_trader.local_exchange.engine.trader import slot_name
from rl_trader.local_exchange.engine.views import position_sides
from rl_trader.local_exchange.faults.actions import Deed
from rl_trader.local_exchange.faults.effects import Forgotten, HaltedSymbol, RevisedBar, ThinBook, revised_row
from rl_trader.local_exchange.faults.reading import Amount, CloseCode, Count, Interval, Moment, Positive
from rl_trader.local_exchange.faults.stage import Stage
from rl_trader.local_exchange.faults.wires import USER, Mute
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.history import Window
from rl_trader.local_exchange.market.intervals import opening_times
from rl_trader.local_exchange.streams.market_messages import kline_fields, kline_message
from rl_trader.local_exchange.streams.message import account_message, market_message
from rl_trader.local_exchange.streams.user_messages import listen_key_expired

_UNKNOWN_IDS: Final = (-1, -1)  # of a candle's trades, which are no longer remembered


@dataclass(frozen=True, kw_only=True)
class Liquidate(Deed):
    """A position is liquidated at its liquidation price, wherever the mark price is."""

    account: str
    symbol: str

    def act(self, stage: Stage) -> str:
        """Liquidate both positions of hedge mode, or the one."""
        state, trader = stage.venue.exchange.state, stage.venue.trader(self.account)
        quotes = state.quotes[self.symbol]
        before, done = Point(quotes.last, quotes.mark), []
        for side in position_sides(trader) if self.symbol in trader.books.positions else ():
            held = trader.position(slot_name(self.symbol, side)).amount
            level = shown_liquidation_price(state, trader, self.symbol, side)
            if held and level:
                state.set_prices(self.symbol, Point(before.last, level))
                liquidate_position(state, trader, self.symbol, side, level)
                state.set_prices(self.symbol, before)
                done.append(f"{held} {self.symbol} at {level:f}")
        return f"liquidated {' and '.join(done)}" if done else "no position that can be liquidated"


@dataclass(frozen=True, kw_only=True)
class Halt(Deed):
    """A symbol stops trading for a while."""

    symbol: str
    for_ms: Count  # of the market
    status: Literal["PENDING_TRADING", "PRE_DELIVERING", "DELIVERING", "PRE_SETTLE", "SETTLING", "CLOSE"] = "SETTLING"

    def act(self, stage: Stage) -> str:
        """Stop it."""
        until_ms = stage.venue.market_ms() + self.for_ms
        stage.effects.append(HaltedSymbol(stage.venue.market, self.symbol, self.status, until_ms))
        return f"{self.symbol} is {self.status} until {utc(until_ms)}"


@dataclass(frozen=True, kw_only=True)
class MakeThin(Deed):
    """Only an amount of a symbol can be traded for a while."""

    symbol: str
    amount: Amount  # base asset, in all
    for_ms: Count  # of the market

    def act(self, stage: Stage) -> str:
        """Make the book thin."""
        until_ms = stage.venue.market_ms() + self.for_ms
        stage.effects.append(ThinBook(stage.venue.market, self.symbol, self.amount, until_ms))
        return f"{self.amount} {self.symbol} to trade until {utc(until_ms)}"


@dataclass(frozen=True, kw_only=True)
class ForgetOrders(Deed):
    """Queries find none of an account's orders for a while."""

    account: str
    for_ms: Count  # of the session

    def act(self, stage: Stage) -> str:
        """Forget them."""
        stage.effects.append(Forgotten(self.account, None, stage.venue.session_ms() + self.for_ms))
        return f"every order of {self.account}"


@dataclass(frozen=True, kw_only=True)
class ExpireListenKey(Deed):
    """An account's listen key is no longer valid."""

    account: str
    tell: bool = True  # by the event that says so

    def act(self, stage: Stage) -> str:
        """Let it expire."""
        venue, wires = stage.venue, stage.wires
        key = venue.hub.listen_keys.key_of(self.account)
        if key is None:
            return f"{self.account} has no listen key"
        listening = [each for each in wires.carrying(USER + self.account) if key in each.names]
        venue.hub.listen_keys.stop(self.account)
        for connection in listening if self.tell else ():
            connection.receive(account_message(key, listen_key_expired(key, venue.session_ms())))
        return f"listen key of {self.account}, with {len(listening)} connections"


@dataclass(frozen=True, kw_only=True)
class ReviseBar(Deed):
    """A candle that is over has another close from now on, and its stream has it once more."""

    symbol: str
    interval: Interval
    factor: Positive  # of the close
    open_time: Moment | None = None  # None is the last candle that is over

    def act(self, stage: Stage) -> str:
        """Revise it."""
        market, interval = stage.venue.market, self.interval
        open_time = self._last_open(stage) if self.open_time is None else self.open_time
        candles = market.klines(self.symbol, Series.LAST, interval, Window(1, since_ms=open_time))
        rows = kline_rows(market.recordings[self.symbol], Series.LAST, interval, candles)
        if not rows or rows[0][0] != open_time:
            return f"no candle of {self.symbol} {interval} at {utc(open_time)}"
        stage.effects.append(RevisedBar(self.symbol, interval, open_time, self.factor))
        name = f"{self.symbol.lower()}@kline_{interval}"
        fields = kline_fields(revised_row(rows[0], self.factor), interval, _UNKNOWN_IDS, is_closed=True)
        message = market_message(name, kline_message(fields, self.symbol, market.now_ms), is_superseded=False)
        for connection in [each for each in stage.wires.carrying(name) if name in each.names]:
            connection.receive(message)
        return f"candle of {self.symbol} {interval} at {utc(open_time)}"

    def _last_open(self, stage: Stage) -> int:
        played = stage.venue.market.source.played_ms(self.symbol)
        forming = opening_times(self.interval, np.array([played + 1]))
        return int(opening_times(self.interval, forming - 1)[0])


@dataclass(frozen=True, kw_only=True)
class MuteStreams(Deed):
    """Streams are silent for a while on every connection; the connections stay open."""

    for_ms: Count  # of the session
    stream: str = "*"  # the default is everything, also answers and pings

    def act(self, stage: Stage) -> str:
        """Mute them."""
        stage.wires.mutes.append(Mute(until_ms=stage.venue.session_ms() + self.for_ms, pattern=self.stream))
        return f"muted {self.stream}"


@dataclass(frozen=True, kw_only=True)
class DisconnectStreams(Deed):
    """Connections that carry a stream end."""

    stream: str = "*"  # the default is every connection
    close_code: CloseCode | None = None  # None cuts them without a word

    def act(self, stage: Stage) -> str:
        """End them."""
        ended = list(stage.wires.carrying(self.stream))
        for connection in ended:
            stage.wires.end(connection, self.close_code)
        return f"ended {len(ended)} connections"


DEEDS: Final[dict[str, type[Deed]]] = {
    "liquidate": Liquidate,
    "halt": Halt,
    "thin_book": MakeThin,
    "forget_orders": ForgetOrders,
    "expire_listen_key": ExpireListenKey,
    "revise_bar": ReviseBar,
    "mute": MuteStreams,
    "disconnect": DisconnectStreams,
}
