"""What orders trade with: the book's level, each other, and not themselves; what a trade books and tells.

The spread is 1 % to each side of 100 where orders are to meet inside it: bid 99, ask 101. Numbers are those of
:mod:`tests.engine_tables`.
"""

from decimal import Decimal, localcontext

import pytest

from rl_trader.local_exchange.engine.changing import cancel
from rl_trader.local_exchange.engine.events import AccountUpdate, OrderUpdate
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.views import position_state
from rl_trader.local_exchange.engine.words import (
    Execution,
    ExpiryReason,
    OrderType,
    PositionSide,
    Prevention,
    Side,
    Status,
    TimeInForce,
    UpdateReason,
)
from tests.engine_tables import A, B, D, Floor, fills, last_fill, snapshot, told

IOC = {"time_in_force": TimeInForce.IOC}
LONG, SHORT = {"position_side": PositionSide.LONG}, {"position_side": PositionSide.SHORT}


def spread_floor() -> Floor:
    return Floor(half_spread="0.01")


def break_even(floor: Floor, trader: Trader) -> Decimal:
    return position_state(floor.state, trader, A, PositionSide.BOTH).break_even_price


# ---- The level


def test_the_level_gives_no_more_than_is_available() -> None:
    floor = Floor()
    trader = floor.account()
    floor.exchange.quotes[A].available = D(3)
    order = floor.buy(trader, "5")
    assert (order.status, order.executed, order.expiry_reason) == (
        Status.EXPIRED,
        D(3),
        ExpiryReason.NOT_FILLED_WHOLLY,
    )
    assert (int(order.expiry_reason), floor.exchange.quotes[A].available) == (9, D(0))
    assert told(trader) == ["NEW NEW", "account ORDER", "TRADE PARTIALLY_FILLED 3", "EXPIRED EXPIRED 3"]


def test_what_of_a_limit_order_is_not_available_rests() -> None:
    floor = Floor()
    trader = floor.account()
    floor.exchange.quotes[A].available = D(3)
    order = floor.buy(trader, "5", "100")
    assert (order.status, order.remaining) == (Status.PARTIALLY_FILLED, D(2))
    floor.exchange.quotes[A].available = D("1.5")
    floor.move("99.9")
    assert (order.status, order.remaining) == (Status.PARTIALLY_FILLED, D("0.5"))
    floor.exchange.quotes[A].available = None
    floor.move("99.8")
    assert (order.status, fills(trader)) == (
        Status.FILLED,
        [("BUY", "3", "100"), ("BUY", "1.5", "100"), ("BUY", "0.5", "100")],
    )


def test_with_nothing_available_nothing_that_rests_fills() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "5", "98")
    floor.exchange.quotes[A].available = D(0)
    floor.move("97")
    assert order.status is Status.NEW


def test_of_resting_orders_the_better_price_has_first_what_is_available() -> None:
    # Both are beyond the open of the next bar; the better one came later.
    floor = Floor()
    trader = floor.account()
    worse, better = floor.buy(trader, "2", "98"), floor.buy(trader, "2", "99")
    floor.open_bar("97")
    floor.exchange.quotes[A].available = D(3)
    floor.move("97")
    assert (better.executed, worse.executed) == (D(2), D(1))


def test_a_price_that_falls_meets_purchases_from_the_highest_down() -> None:
    floor = Floor()
    trader = floor.account()
    for price in ("97", "99", "98"):
        floor.buy(trader, "1", price)
    floor.move("96")
    assert [fill.price for fill in trader.fills] == [99, 98, 97]


def test_a_resting_order_fills_at_its_own_price_where_the_bar_opens_beyond_it() -> None:
    floor = Floor()
    trader = floor.account()
    floor.sell(trader, "1", "102")
    floor.open_bar("104")
    assert fills(trader) == []
    floor.move("104")
    assert fills(trader) == [("SELL", "1", "102")]


# ---- Between accounts


def test_orders_of_two_accounts_trade_inside_the_spread_at_the_resting_price() -> None:
    # 2 * 100.4 * 0.0002 = 0.04016 for the maker and 0.1004 for the taker
    floor = spread_floor()
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    floor.sell(maker, "2", "100.4")
    floor.buy(taker, "2", "100.8")
    assert (fills(maker), fills(taker)) == ([("SELL", "2", "100.4")], [("BUY", "2", "100.4")])
    assert (last_fill(maker).is_maker, last_fill(taker).is_maker) == (True, False)
    assert (last_fill(maker).commission, last_fill(taker).commission) == (D("0.04016"), D("0.1004"))


def test_both_sides_of_a_trade_share_its_number_and_it_is_on_the_tape_once() -> None:
    floor = spread_floor()
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    floor.buy(maker, "2", "99.6")
    floor.sell(taker, "2", "99.6")
    (trade,) = floor.exchange.quotes[A].tape
    assert last_fill(maker).trade_id == last_fill(taker).trade_id == trade.trade_id == 1
    assert (trade.price, trade.amount, trade.is_buyer_maker, trade.time_ms) == (D("99.6"), D(2), True, floor.now)
    floor.buy(taker, "1")
    assert floor.exchange.quotes[A].tape[-1].is_buyer_maker is False
    assert last_fill(taker).trade_id == 2


def test_the_better_price_trades_first_and_of_two_the_older_order() -> None:
    floor = spread_floor()
    late, early, dear, taker = (floor.account(name=name) for name in ("late", "early", "dear", "taker"))
    floor.sell(dear, "1", "100.6")
    floor.sell(early, "1", "100.4")
    floor.sell(late, "1", "100.4")
    floor.buy(taker, "1.5")
    assert (fills(early), fills(late), fills(dear)) == ([("SELL", "1", "100.4")], [("SELL", "0.5", "100.4")], [])
    floor.buy(taker, "2")
    assert [entry[1:] for entry in fills(taker)] == [
        ("1", "100.4"),
        ("0.5", "100.4"),
        ("0.5", "100.4"),
        ("1", "100.6"),
        ("0.5", "101"),
    ]


def test_orders_outside_the_spread_wait_behind_the_level() -> None:
    floor = spread_floor()
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    order = floor.sell(maker, "1", "101")
    floor.buy(taker, "1", "101")
    assert (order.status, fills(taker)) == (Status.NEW, [("BUY", "1", "101")])
    assert taker.fills[0].is_maker is False


def test_a_limit_order_takes_only_what_its_price_reaches() -> None:
    floor = spread_floor()
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    floor.sell(maker, "1", "100.4")
    floor.sell(maker, "1", "100.6")
    order = floor.buy(taker, "3", "100.5")
    assert (fills(taker), order.status, order.remaining) == ([("BUY", "1", "100.4")], Status.PARTIALLY_FILLED, D(2))
    assert floor.exchange.resting_levels(A) == ([(D("100.5"), D(2))], [(D("100.6"), D(1))])


def test_an_order_that_came_and_rests_is_met_by_the_next() -> None:
    floor = spread_floor()
    first, second = floor.account(name="first"), floor.account(name="second")
    floor.buy(first, "3", "100.5")
    floor.sell(second, "1")
    assert (fills(first), last_fill(first).is_maker) == ([("BUY", "1", "100.5")], True)


def test_a_reducing_order_offers_no_more_than_its_position() -> None:
    floor = spread_floor()
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    floor.buy(maker, "1")
    order = floor.sell(maker, "3", "100.5", reduce_only=True)
    floor.buy(taker, "2")
    assert (fills(taker), order.status) == ([("BUY", "1", "100.5"), ("BUY", "1", "101")], Status.EXPIRED)
    assert maker.position(A).amount == 0


def test_a_resting_order_that_its_account_cannot_pay_any_more_gives_way() -> None:
    # 10 at 99.5 need 10 * 99.5 * 0.0502 = 49.949. 11 of B, bought at 101, cost 0.5555, lose 5.7 each and bind
    # 11 * 95.3 / 20 = 52.415: of 118 are left 118 - 0.5555 - 62.7 - 52.415 = 2.3295.
    floor = Floor(half_spread="0.01", symbols=(A, B))
    maker, taker = floor.account("118", name="maker"), floor.account(name="taker")
    order = floor.buy(maker, "10", "99.5")
    floor.buy(maker, "11", symbol=B)
    floor.move("95.3", symbol=B)
    floor.sell(taker, "10")
    assert (order.status, order.expiry_reason) == (Status.EXPIRED, ExpiryReason.NOT_FILLED_WHOLLY)
    assert (fills(taker), maker.position(A).amount) == ([("SELL", "10", "99")], D(0))


def test_each_symbol_has_a_book_of_its_own() -> None:
    floor = Floor(half_spread="0.01", symbols=(A, B))
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    order = floor.sell(maker, "1", "100.4")
    floor.buy(taker, "1", symbol=B)
    assert (order.status, fills(taker)) == (Status.NEW, [("BUY", "1", "101")])


# ---- Self-trade prevention


@pytest.mark.parametrize(
    ("prevention", "maker", "taker"),
    [
        (Prevention.EXPIRE_MAKER, Status.EXPIRED_IN_MATCH, Status.FILLED),
        (Prevention.EXPIRE_TAKER, Status.NEW, Status.EXPIRED_IN_MATCH),
        (Prevention.EXPIRE_BOTH, Status.EXPIRED_IN_MATCH, Status.EXPIRED_IN_MATCH),
    ],
)
def test_an_account_does_not_trade_with_itself(prevention: Prevention, maker: Status, taker: Status) -> None:
    floor = spread_floor()
    trader = floor.account()
    resting = floor.sell(trader, "2", "100.4", prevention=Prevention.EXPIRE_TAKER)
    incoming = floor.buy(trader, "2", prevention=prevention)
    assert (resting.status, incoming.status) == (maker, taker)
    assert fills(trader) == ([("BUY", "2", "101")] if taker is Status.FILLED else [])
    for order in (resting, incoming):
        is_expired = order.status is Status.EXPIRED_IN_MATCH
        assert order.expiry_reason is (ExpiryReason.SELF_TRADE if is_expired else ExpiryReason.NONE)
    assert int(ExpiryReason.SELF_TRADE) == 1


def test_the_maker_is_the_one_that_expires_unless_it_is_said_otherwise() -> None:
    floor = spread_floor()
    trader = floor.account()
    resting = floor.sell(trader, "2", "100.4")
    incoming = floor.buy(trader, "2", "100.4")
    assert (resting.status, incoming.status) == (Status.EXPIRED_IN_MATCH, Status.NEW)


def test_what_was_traded_with_others_before_stays_traded() -> None:
    floor = spread_floor()
    trader, other = floor.account(), floor.account(name="other")
    floor.sell(other, "1", "100.2")
    floor.sell(trader, "1", "100.4")
    told(trader)
    order = floor.buy(trader, "3", prevention=Prevention.EXPIRE_TAKER)
    assert (order.status, order.executed) == (Status.EXPIRED_IN_MATCH, D(1))
    assert told(trader) == ["NEW NEW", "account ORDER", "TRADE PARTIALLY_FILLED 1", "EXPIRED EXPIRED_IN_MATCH 1"]


def test_without_prevention_an_account_trades_with_itself() -> None:
    floor = spread_floor()
    trader = floor.account()
    floor.sell(trader, "2", "100.4")
    floor.buy(trader, "2", prevention=Prevention.NONE)
    assert [(fill.side, fill.is_maker) for fill in trader.fills] == [(Side.BUY, False), (Side.SELL, True)]
    assert trader.position(A).amount == 0
    assert trader.fills[0].trade_id == trader.fills[1].trade_id


# ---- What a trade books


def test_profit_is_realised_against_the_average_entry_price() -> None:
    # 1 at 100 and 3 at 104: entry 103. 2 sold at 106: 6 of profit; fees 0.05, 0.156, 0.106.
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "1")
    floor.open_bar("104")
    floor.buy(trader, "3")
    floor.open_bar("106")
    floor.sell(trader, "2")
    assert (trader.position(A).amount, trader.position(A).entry_price) == (D(2), D(103))
    assert (last_fill(trader).realized, last_fill(trader).commission) == (D(6), D("0.106"))
    assert trader.books.wallet_balance == D(10000) + 6 - D("0.312")
    assert trader.realized[A] == 6


def test_income_lines_carry_the_trade_that_they_belong_to() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "1")
    floor.sell(trader, "1")
    assert [(line.type, line.trade_id, line.tran_id) for line in trader.income] == [
        ("TRANSFER", None, 1),
        ("COMMISSION", 1, 2),
        ("REALIZED_PNL", 2, 3),
        ("COMMISSION", 2, 4),
    ]


def test_fees_in_bnb_are_charged_with_the_discount() -> None:
    # 1 * 100 * 0.0005 * 0.9 = 0.045
    floor = Floor()
    trader = floor.account()
    trader.burns_bnb = True
    floor.buy(trader, "1")
    assert last_fill(trader).commission == D("0.045")


def test_a_purchase_breaks_even_above_its_price_by_the_fee() -> None:
    # Taker fee 0.04 %: 100 * 1.0004 (binance-facts, section 3.3).
    floor = Floor(taker_fee=0.0004)
    trader = floor.account()
    floor.buy(trader, "3")
    assert break_even(floor, trader) == D("100.04")


def test_a_sale_breaks_even_below_its_price_by_the_fee() -> None:
    floor = Floor(taker_fee=0.0004)
    trader = floor.account()
    floor.sell(trader, "3")
    assert break_even(floor, trader) == D("99.96")


def test_what_adds_averages_the_break_even_price() -> None:
    # 1 at 100 and 1 at 104 with 0.04 + 0.0416 of fee: (204 + 0.0816) / 2
    floor = Floor(taker_fee=0.0004)
    trader = floor.account()
    floor.buy(trader, "1")
    floor.open_bar("104")
    floor.buy(trader, "1")
    assert break_even(floor, trader) == D("102.0408")


def test_what_is_realised_moves_the_break_even_price_of_the_rest() -> None:
    # 2 cost 200.08; 1 sold for 104 less 0.0416: the other must bring 200.08 - 103.9584.
    floor = Floor(taker_fee=0.0004)
    trader = floor.account()
    floor.buy(trader, "2")
    floor.open_bar("104")
    floor.sell(trader, "1")
    assert break_even(floor, trader) == D("96.1216")


def test_a_flip_begins_a_break_even_price_of_its_own() -> None:
    floor = Floor(taker_fee=0.0004)
    trader = floor.account()
    floor.buy(trader, "2")
    floor.open_bar("104")
    floor.sell(trader, "5")  # 3 short at 104, less 0.04 %
    assert break_even(floor, trader) == D("103.9584")
    floor.buy(trader, "3")
    assert (break_even(floor, trader), trader.costs) == (D(0), {})


# ---- What is told


def test_a_market_order_is_told_when_it_is_taken_and_when_it_is_filled() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "2")
    new, account, trade = trader.outbox
    assert isinstance(new, OrderUpdate)
    assert (new.execution, new.order.status, new.fill, new.time_ms) == (
        Execution.NEW,
        Status.NEW,
        None,
        floor.now,
    )
    assert isinstance(account, AccountUpdate)
    assert isinstance(trade, OrderUpdate)
    assert (trade.execution, trade.order.status, trade.fill) == (Execution.TRADE, Status.FILLED, trader.fills[0])


def test_an_account_update_has_the_wallet_and_the_position_after_the_trade() -> None:
    # 2 at 100: fee 0.1, margin 10; mark 101 makes 2 of profit and 101 * 2 * 0.01 = 2.02 of maintenance margin.
    floor = Floor()
    floor.open_bar("100", "101")
    trader = floor.account(is_isolated=True)
    floor.buy(trader, "2")
    (update,) = (event for event in trader.outbox if isinstance(event, AccountUpdate))
    assert (update.reason, update.symbol, update.time_ms) == (UpdateReason.ORDER, None, floor.now)
    assert update.wallet == (D("9999.9"), D("9989.9"), D(0))
    (position,) = update.positions
    assert (position.symbol, position.side, position.amount, position.entry_price) == (
        A,
        PositionSide.BOTH,
        D(2),
        D(100),
    )
    assert (position.unrealized_pnl, position.maintenance_margin, position.mark_price) == (D(2), D("2.02"), D(101))
    assert (position.is_isolated, position.isolated_wallet, position.break_even_price) == (True, D(10), D("100.05"))


def test_an_account_update_after_a_close_has_a_flat_position_and_what_was_realised_so_far() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "2")
    floor.open_bar("103")
    floor.sell(trader, "2")
    update = [event for event in trader.outbox if isinstance(event, AccountUpdate)][-1]
    (position,) = update.positions
    assert (position.amount, position.entry_price, position.break_even_price) == (D(0), D(0), D(0))
    assert (position.accumulated_realized, position.maintenance_margin) == (D(6), D(0))


def test_in_hedge_mode_an_update_has_the_position_that_was_traded() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "2", **LONG)
    floor.sell(trader, "1", **SHORT)
    updates = [event for event in trader.outbox if isinstance(event, AccountUpdate)]
    assert [[(p.side, p.amount) for p in update.positions] for update in updates] == [
        [(PositionSide.LONG, D(2))],
        [(PositionSide.SHORT, D(-1))],
    ]


def test_the_resting_side_of_a_trade_is_told_as_the_taker_is() -> None:
    floor = spread_floor()
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    floor.sell(maker, "2", "100.4")
    floor.buy(taker, "2")
    assert told(maker) == ["NEW NEW", "account ORDER", "TRADE FILLED 2"]
    assert told(taker) == ["NEW NEW", "account ORDER", "TRADE FILLED 2"]


def test_what_was_told_stays_as_it_was() -> None:
    floor = Floor()
    trader = floor.account()
    floor.exchange.quotes[A].available = D(1)
    floor.buy(trader, "3", "100")
    before = snapshot(list(trader.outbox))
    floor.exchange.quotes[A].available = None
    floor.move("99")
    floor.sell(trader, "3")
    assert snapshot(list(trader.outbox)[:3]) == before


def test_the_book_has_a_new_number_whenever_something_in_it_changes() -> None:
    floor = spread_floor()
    trader, other = floor.account(), floor.account(name="other")
    quotes = floor.exchange.quotes[A]
    seen = [quotes.update_id]

    def has_changed() -> bool:
        seen.append(quotes.update_id)
        return seen[-1] > seen[-2]

    order = floor.sell(trader, "2", "100.4")
    assert has_changed()
    floor.buy(other, "1")
    assert has_changed()
    cancel(floor.state, trader, order)
    assert has_changed()
    floor.buy(trader, "1", "99.5")
    floor.sell(trader, "1", "99.5", prevention=Prevention.EXPIRE_BOTH)
    assert has_changed()
    floor.move("100.1")
    assert has_changed()


# ---- The same calls, the same answers


def play(floor: Floor) -> object:
    one, two = floor.account(name="one"), floor.account(name="two", is_isolated=True)
    floor.sell(one, "2", "100.4")
    floor.buy(two, "3")
    floor.wait(two, OrderType.STOP_MARKET, Side.SELL, "1", "99")
    floor.move("98", "103")
    floor.exchange.settle_funding(A, rate=D("0.0001"), mark=D(103), time_ms=floor.now)
    floor.buy(one, "9", "97", **IOC)
    floor.move("97")
    return snapshot(floor.state)


def test_the_same_calls_give_the_same_numbers_ids_and_events() -> None:
    assert play(spread_floor()) == play(spread_floor())


def test_the_decimal_context_of_the_caller_does_not_matter() -> None:
    expected = play(spread_floor())
    with localcontext(prec=5):
        assert play(spread_floor()) == expected


def test_of_orders_at_one_price_that_the_market_passes_the_older_one_fills_first() -> None:
    floor = Floor(half_spread="0.01")
    late, early = floor.account(name="late"), floor.account(name="early")  # accounts are met in this order
    floor.buy(early, "1", "99.5")
    floor.buy(late, "1", "99.5")
    floor.exchange.quotes[A].available = D(1)
    floor.move("99")
    assert (fills(late), fills(early)) == ([], [("BUY", "1", "99.5")])
