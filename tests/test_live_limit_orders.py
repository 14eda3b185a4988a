"""Limit orders of the live trader: they rest for a bar, and are taken back before the next decision."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from rl_trader.live.core.commands import Cancel, CancelAll, Command, Countdown, Decide, SetTimer
from rl_trader.live.core.events import (
    AllCancelled,
    BarSkipped,
    Decided,
    OrderSeen,
    Queried,
    Started,
    StopAsked,
    TimerFired,
)
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import Conduct
from rl_trader.live.core.words import IntentState, Purpose
from rl_trader.live.reading import UnreadableError, symbol_seen
from rl_trader.local_exchange.engine.words import OrderType, TimeInForce
from rl_trader.rehearsal.invariants import check
from rl_trader.rehearsal.minutes import BAR_MS, START_MS, SYMBOL, minute_exchange
from rl_trader.rehearsal.plans import draw_plan
from rl_trader.rehearsal.run import BARS, Rehearsal
from rl_trader.rehearsal.stage import Stage
from rl_trader.rehearsal.tally import Tally
from rl_trader.rehearsal.virtual_loop import run_virtually
from tests.test_live_core import CONDUCT, Desk, alerts, places

D = Decimal
WOULD_TAKE = -5022
NUM_SEEDS = 10


def rest(desk: Desk, reduce: str = "0", open_: str = "0", price: str = "49900") -> list[Command]:
    """Let a bar close and the policy want limit orders."""
    assert any(isinstance(command, Decide) for command in desk.close_bar())
    return desk.decide(reduce, open_, price=price)


def seen(desk: Desk, intent: Intent, status: str, executed: str = "0") -> list[Command]:
    told = OrderSeen(t_ms=desk.now, client_id=intent.client_id, order_id=7, status=status, executed=D(executed))
    return desk.do(told)


def resting_entry(desk: Desk) -> Intent:
    """Return an entry that rests."""
    (entry,) = places(rest(desk, open_="0.01"))
    desk.send(entry)
    desk.answer(entry, status="NEW")
    assert desk.state.intents[entry.client_id].state is IntentState.OPEN
    return entry


def cancels(commands: list[Command]) -> list[str]:
    return [command.client_id for command in commands if isinstance(command, Cancel)]


def countdowns(commands: list[Command]) -> list[int]:
    return [command.after_ms for command in commands if isinstance(command, Countdown)]


def asks_policy(commands: list[Command]) -> bool:
    return any(isinstance(command, Decide) for command in commands)


# The core


def test_a_limit_order_has_its_price_on_the_tick_away_from_the_market_and_is_counted_down() -> None:
    desk = Desk()
    desk.begin()
    commands = rest(desk, open_="0.01", price="49900.07")
    (entry,) = places(commands)
    assert (entry.purpose, entry.price) == (Purpose.ENTRY, D("49900.0"))
    assert countdowns(commands) == [120_000]
    # Its bar ends a minute after the decided one has; two seconds later it is looked at.
    assert [c for c in commands if isinstance(c, SetTimer)] == [
        SetTimer("countdown", 30_000),
        SetTimer("resting", 62_000),
    ]
    short = Desk()
    short.begin()
    (sale,) = places(rest(short, open_="-0.01", price="50100.03"))
    assert sale.price == D("50100.1")


def test_what_rests_is_taken_back_at_the_bars_end_and_only_then_the_policy_is_asked() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    commands = desk.close_bar()
    assert cancels(commands) == [entry.client_id]
    assert not asks_policy(commands)
    commands = seen(desk, entry, "CANCELED")
    assert asks_policy(commands)
    assert countdowns(commands) == [0]


def test_an_unknown_limit_order_is_over_only_after_all_that_rests_was_cancelled() -> None:
    # The exchange did not find it for longer than it was looked for; it rested, was filled beside the next entry, and
    # the position exceeded the caps.
    desk = Desk()
    desk.begin()
    (entry,) = places(rest(desk, open_="0.01"))
    desk.send(entry)
    desk.answer(entry, "UNKNOWN")
    for _ in range(3):
        desk.do(Queried(t_ms=desk.now, client_id=entry.client_id, is_absent=True))
    query = f"query {entry.client_id}"
    assert CancelAll() not in desk.do(TimerFired(t_ms=desk.now, name=query))  # it may still be accepted
    desk.now += 31_000
    assert CancelAll() in desk.do(TimerFired(t_ms=desk.now, name=query))
    desk.read()
    assert desk.state.intents[entry.client_id].state is IntentState.UNKNOWN
    desk.do(AllCancelled(t_ms=desk.now + 50))
    desk.read()  # which has begun before
    assert desk.state.intents[entry.client_id].state is IntentState.UNKNOWN
    desk.now += 100
    assert CancelAll() not in desk.do(TimerFired(t_ms=desk.now, name=query))
    desk.read(searched=(entry.client_id,))
    assert desk.state.intents[entry.client_id].state is IntentState.ENDED


def test_an_order_that_rests_although_it_is_over_is_taken_back() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    seen(desk, entry, "CANCELED")
    listed = OrderSeen(t_ms=desk.now, client_id=entry.client_id, order_id=7, status="NEW", executed=D(0))
    foreign = OrderSeen(t_ms=desk.now, client_id="web_1", order_id=8, status="NEW", executed=D(0))
    assert cancels(desk.read(open_orders=(listed, foreign))) == [entry.client_id]


def test_a_fill_while_the_order_is_taken_back_counts_in_the_decision() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    desk.close_bar()
    # The answer to the cancel is that there were trades; the decision waits until they are told.
    assert not asks_policy(seen(desk, entry, "CANCELED", executed="0.004"))
    desk.fill(entry, "0.004")
    assert desk.state.deciding_ms is None
    (asked,) = (c for c in desk.hold("0.004", "49900") if isinstance(c, Decide))
    assert asked.amount == D("0.004")


def test_an_order_that_fills_wholly_before_it_is_taken_back_is_decided_upon_as_filled() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    desk.close_bar()
    desk.fill(entry, "0.01")
    (asked,) = (c for c in desk.hold("0.01", "49900") if isinstance(c, Decide))
    assert asked.amount == D("0.01")
    assert desk.state.intents[entry.client_id].state is IntentState.FILLED


def test_a_bar_whose_orders_are_not_over_in_time_is_not_decided_upon() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    desk.close_bar()
    desk.now += 2_000
    assert cancels(desk.do(TimerFired(t_ms=desk.now, name="resting"))) == [entry.client_id]
    desk.now += 19_000
    commands = desk.do(TimerFired(t_ms=desk.now, name="resting"))
    assert "is still working" in alerts(commands)
    assert not asks_policy(seen(desk, entry, "CANCELED"))


def test_without_a_decision_or_any_word_of_the_market_it_is_taken_back_all_the_same() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    begun = desk.now
    assert cancels(desk.do(BarSkipped(t_ms=begun + BAR_MS, open_ms=begun, reason="late"))) == [entry.client_id]
    silent = Desk()
    silent.begin()
    entry = resting_entry(silent)
    assert cancels(silent.do(TimerFired(t_ms=silent.now + BAR_MS - 1, name="resting"))) == []
    assert cancels(silent.do(TimerFired(t_ms=silent.now + BAR_MS, name="resting"))) == [entry.client_id]


def test_a_refused_post_only_order_is_no_refusal_that_ends_entries() -> None:
    desk = Desk()
    desk.begin()
    for _ in range(5):
        (entry,) = places(rest(desk, open_="0.01"))
        desk.send(entry)
        commands = desk.answer(entry, "REJECTED", code=WOULD_TAKE)
        assert countdowns(commands) == [0]
    assert not desk.state.is_stopped


def test_both_legs_of_a_flip_rest_side_by_side_and_the_entry_stays_behind_a_leg_that_does_not() -> None:
    desk = Desk()
    desk.begin("0.02")
    exit_, entry = places(rest(desk, "-0.02", "-0.01", "50100"))
    assert (exit_.purpose, entry.purpose) == (Purpose.EXIT, Purpose.ENTRY)
    assert exit_.price == entry.price == D(50_100)
    desk.send(exit_)
    desk.answer(exit_, "REJECTED", code=WOULD_TAKE)
    desk.send(entry)
    assert desk.state.intents[entry.client_id].state is IntentState.REJECTED
    assert "the leg before it does not rest" in desk.state.intents[entry.client_id].reason


def test_an_exit_of_more_than_a_limit_order_may_hold_rests_in_slices_by_the_lots_of_limit_orders() -> None:
    market = replace(CONDUCT, step_size=D("0.01"), max_quantity=D("0.01"))
    desk = Desk(replace(market, limit_step_size=D("0.001"), limit_max_quantity=D("0.02")))
    desk.begin("0.05")
    legs = places(rest(desk, reduce="-0.05", open_="-0.0137", price="50100"))
    assert [(leg.purpose, leg.amount) for leg in legs] == [
        *[(Purpose.EXIT, D(amount)) for amount in ("-0.02", "-0.02", "-0.01")],
        (Purpose.ENTRY, D("-0.013")),
    ]
    assert len({leg.client_id for leg in legs}) == 4
    for leg in legs:
        desk.send(leg)
        desk.answer(leg, status="NEW")
    desk.now += BAR_MS
    assert cancels(desk.do(TimerFired(t_ms=desk.now, name="resting"))) == [leg.client_id for leg in legs]


def test_the_lots_of_limit_orders_are_those_of_today() -> None:
    lots = {
        "MARKET_LOT_SIZE": {"stepSize": "0.01", "minQty": "0.01", "maxQty": "0.01"},
        "LOT_SIZE": {"stepSize": "0.002", "minQty": "0.002", "maxQty": "0.03"},
        "PRICE_FILTER": {"tickSize": "0.10"},
        "MIN_NOTIONAL": {"notional": "50"},
    }
    row = {"symbol": "BTCUSDT", "status": "TRADING", "filters": [{"filterType": k} | v for k, v in lots.items()]}
    desk = Desk(replace(CONDUCT, limit_step_size=D("0.001"), limit_max_quantity=D("0.02")))
    desk.begin("0.05")
    told = symbol_seen(desk.now, "BTCUSDT", [row])
    today = (told.limit_step_size, told.limit_min_quantity, told.limit_max_quantity)
    assert today == (D("0.002"), D("0.002"), D("0.03"))
    desk.do(told)
    legs = places(rest(desk, reduce="-0.05", price="50100"))
    assert [leg.amount for leg in legs] == [D("-0.030"), D("-0.020")]
    row["filters"] = [each for each in row["filters"] if each["filterType"] != "LOT_SIZE"]  # type: ignore[index]
    with pytest.raises(UnreadableError):
        symbol_seen(desk.now, "BTCUSDT", [row])


def test_a_reducing_leg_that_ends_early_takes_the_entry_back() -> None:
    desk = Desk()
    desk.begin("0.02")
    legs = places(rest(desk, "-0.02", "-0.01", "50100"))
    for leg in legs:
        desk.send(leg)
        desk.answer(leg, status="NEW")
    assert cancels(seen(desk, legs[0], "CANCELED")) == [legs[1].client_id]


def test_a_halt_takes_back_what_rests_and_a_kill_closes_beside_it() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    halted = desk.do(StopAsked(t_ms=desk.now, kind="HALT", reason="enough", by="a test"))
    assert cancels(halted) == [entry.client_id]
    held = Desk()
    held.begin("0.02")
    (exit_,) = places(rest(held, "-0.02", price="50100"))
    held.send(exit_)
    held.answer(exit_, status="NEW")
    killed = held.do(StopAsked(t_ms=held.now, kind="KILL", reason="out", by="a test"))
    assert exit_.client_id in cancels(killed)
    assert [order.purpose for order in places(killed)] == [Purpose.FLATTEN]


def test_a_restart_takes_back_what_rested() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    assert cancels(desk.do(Started(t_ms=desk.now, epoch=2))) == [entry.client_id]


def test_the_countdown_is_told_again_while_something_rests() -> None:
    desk = Desk()
    desk.begin()
    entry = resting_entry(desk)
    assert countdowns(desk.do(TimerFired(t_ms=desk.now, name="countdown"))) == [120_000]
    assert countdowns(seen(desk, entry, "EXPIRED")) == [0]
    assert desk.do(TimerFired(t_ms=desk.now, name="countdown")) == []


# On the exchange


Wish = Callable[[int, Decimal], tuple[str, str, Decimal] | None]
"""Of a bar's number and its close: what is reduced, what is opened, and at which price."""


def stage_of(wish: Wish, seed: int = 1) -> Stage:
    assembly = minute_exchange(seed, 20)
    contract = assembly.venue.exchange.quotes[SYMBOL].contract
    conduct = Conduct(
        symbol=SYMBOL,
        bar_ms=BAR_MS,
        tick_size=contract.tick_size,
        step_size=contract.step_size,
        stop_loss=D("0.05"),
        take_profit=None,
    )

    def decide(command: Decide, now_ms: int) -> Decided:
        quotes = assembly.venue.exchange.quotes[SYMBOL]
        wanted = wish((command.open_ms - START_MS) // BAR_MS, quotes.last)
        reduce, open_, price = wanted or ("0", "0", None)
        return Decided(
            t_ms=now_ms,
            open_ms=command.open_ms,
            observation_sha="",
            action="",
            target=D(0),
            reduce_amount=D(reduce),
            open_amount=D(open_),
            fault="",
            limit_price=price,
        )

    return Stage(assembly, conduct, decide=decide, gate=gate_of(contract))


def play(stage: Stage, num_bars: int) -> None:
    async def run() -> None:
        await stage.start()
        await stage.run_until(START_MS + num_bars * BAR_MS - 1_000)
        await stage.kill()

    run_virtually(run())


def test_an_order_rests_as_post_only_until_the_bars_end_and_another_takes_its_place() -> None:
    stage = stage_of(lambda _bar, last: ("0", "0.01", last - 5_000))
    play(stage, 6)
    orders = list(stage.venue.trader("main").orders.values())
    assert len(orders) == 5
    assert {(order.type, order.time_in_force) for order in orders} == {(OrderType.LIMIT, TimeInForce.GTX)}
    assert [order.status.value for order in orders] == ["CANCELED"] * 4 + ["NEW"]
    for before, after in pairwise(orders):
        assert before.update_ms <= after.time_ms
    asked = [asked.name for asked in stage.network.asked]
    assert asked.count("POST /fapi/v1/countdownCancelAll") >= 5


def test_a_position_that_a_resting_order_opens_has_its_stop() -> None:
    stage = stage_of(lambda bar, last: ("0", "0.01", last - 1) if bar == 0 else None)
    play(stage, 4)
    trader = stage.venue.trader("main")
    (fill,) = trader.fills
    assert fill.is_maker
    assert trader.position(SYMBOL).amount == D("0.01")
    (stop,) = trader.open_algo_orders.values()
    assert stop.time_ms - fill.time_ms < BAR_MS


def test_a_post_only_order_that_would_take_trades_nothing_and_the_next_bar_is_decided_upon() -> None:
    stage = stage_of(lambda bar, last: ("0", "0.01", last + 500 if bar == 0 else last - 5_000))
    play(stage, 3)
    assert any("is refused" in text for text in stage.alerts)
    assert len(stage.venue.trader("main").orders) == 1  # of the second bar
    assert not stage.trader.core.state.is_stopped


def test_the_exchange_cancels_what_rests_where_the_trader_is_gone() -> None:
    stage = stage_of(lambda bar, last: ("0", "0.01", last - 5_000) if bar == 0 else None)

    async def run() -> None:
        await stage.start()
        await stage.run_until(START_MS + BAR_MS + 5_000)
        await stage.kill()
        trader = stage.venue.trader("main")
        assert len(trader.open_orders) == 1
        await stage.run_until(START_MS + BAR_MS + 100_000)
        assert len(trader.open_orders) == 1
        await stage.run_until(START_MS + BAR_MS + 160_000)
        assert not trader.open_orders

    run_virtually(run())


# Rehearsed


@pytest.mark.parametrize("seed", range(NUM_SEEDS))
def test_no_invariant_breaks_where_orders_rest(seed: int) -> None:
    plan = replace(draw_plan(seed, BARS), rests_orders=True)
    record = Rehearsal(plan).play()
    assert check(record, Tally()) == []
    assert any(order.type is OrderType.LIMIT for order in record.orders)
