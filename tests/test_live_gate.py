"""The operator's caps through the core: what the gate looks at is what the events have told."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from rl_trader.contract import load_terms
from rl_trader.live.core.codec import decode_event, encode
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import (
    AccountSeen,
    ArmedUntil,
    Banned,
    BarClosed,
    Event,
    IncomeSeen,
    MarketSeen,
    Resumed,
    Snapshot,
    Started,
    StopAsked,
    SymbolSeen,
)
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import DAY_MS, Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import Purpose, StopKind
from rl_trader.live.monitor.viewing import performance_at
from rl_trader.live.reading import snapshot
from tests.caps_tables import WIDE
from tests.test_live_core import BAR_MS, CONDUCT, Desk, alerts, places

D = Decimal
TERMS = load_terms("BTCUSDT")


class CappedDesk(Desk):
    """A core behind the gate of real terms, under caps that let all through but for those that are given."""

    def __init__(self, conduct: Conduct = CONDUCT, **caps: Any) -> None:
        super().__init__(conduct)
        self.core = Core(State(conduct), gate_of(TERMS))
        self._caps = replace(WIDE, **caps)

    def begin(self, amount: str = "0", wallet: str = "1000", **more: Any) -> list[Any]:
        """Start, read the account, and have the stop that it needs taken."""
        self.do(Started(t_ms=self.now, epoch=1, caps=self._caps))
        self.mark("50000")
        commands = self.read(amount, wallet, **more)
        for guard in places(commands):
            self.send(guard)
            self.answer(guard, status="NEW")
        return commands

    def mark(self, price: str) -> list[Any]:
        """Let a mark price be told."""
        return self.do(MarketSeen(t_ms=self.now, is_alive=True, mark_price=D(price)))

    def bar(self, close: str = "50000", mark: str = "50000", late_ms: int = 0, mark_ms: int | None = None) -> list[Any]:
        """Let a bar close, and be told some time later."""
        self.now += BAR_MS
        opened = self.now - BAR_MS
        told = self.now + late_ms
        event = BarClosed(t_ms=told, open_ms=opened, close=D(close), mark_close=D(mark), mark_ms=mark_ms)
        return self.do(decode_event("BarClosed", encode(event)))

    def want(self, reduce: str = "0", open_: str = "0", **bar: Any) -> list[Intent] | str:
        """Let a bar close and the policy want something; return the orders that go, or why none does."""
        commands = self.bar(**bar)
        if not any(isinstance(command, Decide) for command in commands):
            return alerts(commands)
        commands = self.decide(reduce, open_)
        return places(commands) or alerts(commands)

    def trade(self, reduce: str = "0", open_: str = "0", holds: str = "0") -> None:
        """Let an order be wanted, sent and filled, and the position be told."""
        orders = self.want(reduce, open_)
        assert not isinstance(orders, str), orders
        self.send(orders[0])
        self.answer(orders[0])
        self.fill(orders[0])
        self.hold(holds)
        for guard in [i for i in self.state.intents.values() if i.purpose is Purpose.STOP and not i.sent_ms]:
            self.send(guard)
            self.answer(guard, status="NEW")


def goes(answer: list[Intent] | str) -> bool:
    """Return whether orders went."""
    return not isinstance(answer, str)


# The distance to the liquidation


@pytest.mark.parametrize(("cap", "is_let"), [("0.05", False), ("0.04", True)])
def test_a_position_that_is_near_its_liquidation_is_not_added_to(cap: str, is_let: bool) -> None:
    # 0.1 from 50 000 with 260 in a cross wallet: liquidated at (5 000 - 260) / (0.1 * 0.996) = 47 590, 4.8 % away.
    desk = CappedDesk(min_liquidation_distance=D(cap))
    desk.begin("0.1", "260")
    assert goes(desk.want(open_="0.01")) == is_let
    assert goes(desk.want(reduce="-0.1")) or is_let  # what reduces goes in any case


def test_the_liquidation_follows_the_events_and_the_isolated_wallet() -> None:
    desk = CappedDesk(min_liquidation_distance=D("0.05"))
    desk.begin("0.1", "100000")
    position = {"amount": D("0.1"), "entry_price": D(50_000)}
    desk.do(AccountSeen(t_ms=desk.now, wallet_balance=D(100_000), isolated_wallet=D(260), reason="ORDER", **position))
    refused = desk.want(open_="0.01")
    assert isinstance(refused, str)
    assert "is liquidated at 47590" in refused
    desk.do(AccountSeen(t_ms=desk.now, wallet_balance=D(100_000), isolated_wallet=D(2600), reason="ORDER", **position))
    assert goes(desk.want(open_="0.01"))


def test_the_exchanges_word_counts_where_its_liquidation_is_nearer() -> None:
    desk = CappedDesk(min_liquidation_distance=D("0.05"))
    desk.begin("0.1", "100000", liquidation_price=D(49_000))
    refused = desk.want(open_="0.01")
    assert isinstance(refused, str)
    assert "is liquidated at 49000" in refused
    desk.read("0.1", "100000")
    assert goes(desk.want(open_="0.01"))


def test_a_reading_tells_where_the_position_is_liquidated() -> None:
    position = {"symbol": "BTCUSDT", "positionAmt": "0.1", "entryPrice": "50000", "isolatedWallet": "0"}
    facts: dict[str, Any] = {"balances": [{"asset": "USDT", "balance": "1"}], "is_user_stream_healthy": True}
    facts |= {name: () for name in ("trades", "income", "open_orders", "open_stops")}
    told = snapshot(1, "BTCUSDT", positions=[{**position, "liquidationPrice": "47590.3"}], **facts)
    assert told.liquidation_price == D("47590.3")
    assert decode_event("Snapshot", encode(told)) == told
    assert snapshot(1, "BTCUSDT", positions=[position], **facts).liquidation_price == 0
    older = encode(told)
    del older["liquidation_price"]  # a journal from before
    seen = decode_event("Snapshot", older)
    assert isinstance(seen, Snapshot)
    assert seen.liquidation_price == 0


# Prices


def test_a_market_order_is_refused_where_the_last_price_is_far_from_the_mark_price() -> None:
    desk = CappedDesk(price_band=D("0.01"))
    desk.begin()
    assert goes(desk.want(open_="0.01", close="50500"))
    desk = CappedDesk(price_band=D("0.01"))
    desk.begin()
    refused = desk.want(open_="0.01", close="50501")
    assert isinstance(refused, str)
    assert "price 50501 is more than 0.01 away" in refused


def test_an_order_is_valued_at_the_mark_price_as_in_training() -> None:
    desk = CappedDesk(max_order_notional=D(500))
    desk.begin()
    assert goes(desk.want(open_="0.01", close="50100"))
    desk = CappedDesk(max_order_notional=D(500))
    desk.begin()
    assert not goes(desk.want(open_="0.01", mark="50100"))


@pytest.mark.parametrize(
    ("late_ms", "mark_age_ms", "is_let"),
    [(10_000, None, True), (10_001, None, False), (0, 10_000, True), (0, 10_001, False)],
)
def test_a_mark_price_is_as_old_as_it_is_whenever_the_bar_is_told(
    late_ms: int, mark_age_ms: int | None, is_let: bool
) -> None:
    desk = CappedDesk()
    desk.begin()
    end = desk.now + BAR_MS
    mark_ms = None if mark_age_ms is None else end - mark_age_ms
    commands = desk.bar(late_ms=late_ms, mark_ms=mark_ms)
    assert any(isinstance(command, Decide) for command in commands)
    assert bool(places(desk.decide(open_="0.01"))) == is_let


def test_where_no_mark_price_was_ever_told_nothing_is_entered() -> None:
    desk = CappedDesk()
    desk.begin()
    assert not goes(desk.want(open_="0.01", mark_ms=0))


# The other caps: each is asked about what has really happened


def test_a_limit_is_asked_for_about_what_rests_and_what_is_held() -> None:
    desk = CappedDesk(max_position_notional=D(1_000))
    desk.begin("0.015", "1000")
    assert goes(desk.want(open_="0.005"))
    desk = CappedDesk(max_position_notional=D(1_000))
    desk.begin("0.015", "1000")
    assert not goes(desk.want(open_="0.006"))


def test_what_may_still_come_of_an_entry_counts_as_if_it_were_held() -> None:
    desk = CappedDesk(max_position_notional=D(1_000))
    desk.begin()
    orders = desk.want(open_="0.015")
    assert isinstance(orders, list)
    desk.send(orders[0])
    desk.answer(orders[0], status="NEW")
    second = replace(orders[0], client_id="rlt1-another-1", amount=D("0.006"))
    assert "may become 1050" in (gate_of(TERMS)(desk.state, second) or "")
    assert gate_of(TERMS)(desk.state, replace(second, amount=D("0.005"))) is None


def test_the_turnover_of_the_day_counts_what_was_traded() -> None:
    desk = CappedDesk(turnover_per_day=D(1_400))
    desk.begin()
    desk.trade(open_="0.01", holds="0.01")
    desk.trade(reduce="-0.01")
    refused = desk.want(open_="0.01")
    assert isinstance(refused, str)
    assert "1500.000 USDT would be traded today" in refused
    assert goes(desk.want(open_="0.008"))


def test_the_turnover_of_yesterday_is_forgotten_also_without_a_trade_today() -> None:
    desk = CappedDesk(turnover_per_day=D(1_000))
    desk.begin()
    desk.trade(open_="0.01", holds="0.01")
    desk.trade(reduce="-0.01")
    assert not goes(desk.want(open_="0.01"))
    desk.now += DAY_MS - desk.now % DAY_MS
    assert goes(desk.want(open_="0.01"))


def test_orders_are_counted_by_minute_and_day() -> None:
    desk = CappedDesk(orders_per_day=2)
    desk.begin()
    desk.trade(open_="0.01", holds="0.01")
    desk.trade(reduce="-0.01")
    refused = desk.want(open_="0.01")
    assert isinstance(refused, str)
    assert "2 orders went in the last day" in refused


def test_an_entry_behind_an_exit_is_refused_while_an_order_is_unknown() -> None:
    desk = CappedDesk(replace(CONDUCT, take_profit=D("0.1")))
    desk.begin("0.02")
    orders = desk.want(reduce="-0.02", open_="-0.01")
    assert isinstance(orders, list)
    desk.send(orders[0])
    take_profit = next(i for i in desk.state.intents.values() if i.purpose is Purpose.TAKE_PROFIT)
    desk.answer(take_profit, "UNKNOWN")
    assert desk.state.unknown()
    commands = desk.answer(orders[0])
    assert places(commands) == []
    assert "nobody knows whether the exchange has an earlier order" in alerts(commands)


@pytest.mark.parametrize("name", ["stop", "arming", "ban"])
def test_an_entry_behind_an_exit_is_refused_after_a_stop_the_armings_end_or_in_a_ban(name: str) -> None:
    desk = CappedDesk()
    desk.begin("0.02")
    orders = desk.want(reduce="-0.02", open_="-0.01")
    assert isinstance(orders, list)
    desk.send(orders[0])
    later = desk.now + 60_000
    events: dict[str, Event] = {
        "stop": StopAsked(t_ms=desk.now, kind="HALT", reason="enough", by="a test"),
        "arming": ArmedUntil(t_ms=desk.now, until_ms=desk.now - 1, how="typed"),
        "ban": Banned(t_ms=desk.now, until_ms=later, machine_until_ms=later),
    }
    desk.do(events[name])
    assert places(desk.answer(orders[0])) == []


@pytest.mark.parametrize(("wallet", "is_let"), [("500", True), ("499", False)])
def test_the_leverage_is_of_the_accounts_equity(wallet: str, is_let: bool) -> None:
    desk = CappedDesk(max_leverage=D(1))
    desk.begin(wallet=wallet)
    assert goes(desk.want(open_="0.01")) == is_let


@pytest.mark.parametrize(("mark", "is_let"), [("40001", True), ("40000", False)])
def test_the_drawdown_is_of_the_accounts_equity(mark: str, is_let: bool) -> None:
    desk = CappedDesk(max_drawdown=D("0.1"))
    desk.begin("0.01", "1000")  # 100 USDT are lost at 40 000
    assert goes(desk.want(open_="0.002", mark=mark, close=mark)) == is_let


# The day's loss, and money that is moved


def lossy_desk() -> CappedDesk:
    """Return a desk of which 6 % were lost in one bar, where 5 % are allowed, and that is back where it was."""
    desk = CappedDesk(max_daily_loss=D("0.05"))
    desk.begin("0.01", "1000")
    assert "60.00 USDT are lost today" in alerts(desk.bar(close="44000", mark="44000"))
    assert desk.state.stop_kind is StopKind.HALT
    desk.bar()
    assert desk.state.performance.day_pnl == 0
    return desk


def resume(desk: Desk) -> None:
    """Let a person resume."""
    desk.do(Resumed(t_ms=desk.now, reason="looked at it", by="a test"))


def test_a_days_loss_ends_the_entries_and_no_recovery_begins_them_again() -> None:
    desk = lossy_desk()
    answer = desk.want(open_="0.001")
    assert not goes(answer)
    assert desk.state.stop_kind is StopKind.HALT


def test_a_days_loss_ends_the_entries_of_the_day_even_if_a_person_resumes() -> None:
    desk = lossy_desk()
    resume(desk)
    refused = desk.want(open_="0.001")
    assert isinstance(refused, str)
    assert "nothing is entered until the next day" in refused
    assert goes(desk.want(reduce="-0.01"))


def test_the_next_day_alone_begins_no_entries_and_with_a_person_it_does() -> None:
    desk = lossy_desk()
    desk.now += DAY_MS - desk.now % DAY_MS
    assert not goes(desk.want(open_="0.001"))
    resume(desk)
    assert goes(desk.want(open_="0.001"))


def test_who_has_resumed_on_the_day_need_not_on_the_next() -> None:
    desk = lossy_desk()
    resume(desk)
    desk.bar(close="44000", mark="44000")  # as much is lost once more, and latches nothing once more
    assert not desk.state.is_stopped
    desk.now += DAY_MS - desk.now % DAY_MS
    assert goes(desk.want(open_="0.001"))


def test_a_restart_forgets_no_lost_day() -> None:
    desk = lossy_desk()
    resume(desk)
    desk.begin("0.01", "1000")
    assert not goes(desk.want(open_="0.001"))


@pytest.mark.parametrize("kind", ["TRANSFER", "INTERNAL_TRANSFER"])
@pytest.mark.parametrize("moved", ["500", "-500"])
def test_money_that_is_moved_is_neither_profit_nor_loss_though_the_wallet_tells_it_first(moved: str, kind: str) -> None:
    desk = CappedDesk(max_daily_loss=D("0.05"), max_drawdown=D("0.1"))
    desk.begin()
    wallet = str(1000 + D(moved))
    desk.now += 15_000
    desk.read("0", wallet)
    desk.now += 2_000
    income = IncomeSeen(t_ms=desk.now - 3_000, kind=kind, tran_id=1, amount=D(moved))
    desk.read("0", wallet, income=(income,))
    done = desk.state.performance
    assert (done.equity, done.peak_equity, done.day_pnl) == (D(wallet), D(wallet), D(0))
    assert goes(desk.want(open_="0.001"))
    assert not desk.state.is_stopped


def test_what_a_person_sees_of_the_day_is_what_the_gate_counts() -> None:
    desk = CappedDesk()
    desk.begin("0.01", "1000")
    desk.read("0.01", "1500")  # 500 were moved in, and no booking has told so yet
    assert desk.state.books.equity(D(51_000)) == D(1_510)
    shown = performance_at(desk.state, D(51_000), desk.now)
    assert (shown.day_pnl, shown.equity, shown.drawdown) == (D(10), D(1_010), D(0))
    assert performance_at(desk.state, D(51_000), desk.now + DAY_MS).day_pnl == D(10)
    desk.mark("51000")
    assert shown == desk.state.performance
    desk.hold("0.02")  # whose trade is not told yet
    assert performance_at(desk.state, D(60_000), desk.now) == shown


def test_a_limit_order_is_held_against_the_mark_price_by_its_own_price() -> None:
    for price, is_let in (("49500", True), ("49499.9", False)):
        desk = CappedDesk(price_band=D("0.01"))
        desk.begin()
        desk.bar()
        assert bool(places(desk.decide(open_="0.01", price=price))) == is_let


# Today's filters


def told(desk: CappedDesk, **filters: Any) -> list[Any]:
    """Let the exchange tell the symbol's filters: those of training, but for what is given."""
    usual = {
        "tick_size": TERMS.tick_size,
        "step_size": TERMS.step_size,
        "min_notional": D(repr(TERMS.min_notional)),
        "min_quantity": TERMS.min_quantity,
        "max_quantity": TERMS.max_quantity,
    }
    event = SymbolSeen(t_ms=desk.now, status="TRADING", **(usual | filters))
    return desk.do(decode_event("SymbolSeen", encode(event)))


def test_an_exit_in_the_steps_of_today_goes_where_those_of_training_were_coarser() -> None:
    desk = CappedDesk()
    desk.begin("0.0125")
    told(desk, step_size=D("0.0001"), min_quantity=D("0.0001"))
    orders = desk.want(reduce="-0.0125")
    assert not isinstance(orders, str), orders
    assert [order.amount for order in orders] == [D("-0.0125")]


def test_an_order_of_more_than_the_exchange_takes_today_does_not_go() -> None:
    desk = CappedDesk()
    desk.begin()
    told(desk, max_quantity=D("0.01"))
    assert "from 0.001 to 0.01, was 0.02" in str(desk.want(open_="0.02"))
    assert goes(desk.want(open_="0.01"))


def test_an_entry_below_the_smallest_notional_of_today_does_not_go_and_an_exit_does() -> None:
    desk = CappedDesk()
    desk.begin("0.02")
    told(desk, min_notional=D("1500.1"))
    assert "is 1500.000 USDT, and the exchange takes none below 1500.1" in str(desk.want(open_="0.03"))
    assert goes(desk.want(reduce="-0.01"))


def test_limit_orders_are_asked_by_the_lots_of_limit_orders_of_today() -> None:
    desk = CappedDesk()
    desk.begin()
    told(desk, step_size=D("0.01"), limit_step_size=D("0.0001"), limit_max_quantity=D("0.02"))
    desk.bar()
    assert [order.amount for order in places(desk.decide(open_="0.01234", price="49900"))] == [D("0.0123")]
    desk = CappedDesk()
    desk.begin()
    told(desk, limit_max_quantity=D("0.02"))
    desk.bar()
    assert "from 0.001 to 0.02, was 0.021" in alerts(desk.decide(open_="0.021", price="49900"))


def test_what_cannot_be_closed_in_the_steps_of_today_is_told_once() -> None:
    desk = CappedDesk()
    desk.begin("0.015")
    assert "0.005 of BTCUSDT are no whole step of 0.01" in alerts(told(desk, step_size=D("0.01")))
    assert "no whole step" not in alerts(told(desk, step_size=D("0.01")))
