"""What is done to accounts without their asking: liquidation, the insurance fund, deleveraging, margin calls, funding.

There are no fees for trades here unless a test says so; the liquidation fee is 1 %. Brackets are those of
:mod:`tests.engine_tables`: up to 10 000 USDT 1 % of maintenance margin, up to 50 000 2 % less 100.
"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.books.positions import Position
from rl_trader.local_exchange.books.terms import Bracket, SymbolTerms
from rl_trader.local_exchange.engine.events import AccountUpdate, MarginCall, WalletState
from rl_trader.local_exchange.engine.forced import (
    SafeRange,
    ranked_winners,
    safe_range,
    shown_liquidation_price,
    solve_safe_range,
)
from rl_trader.local_exchange.engine.placing import check_client_id
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    ExpiryReason,
    OrderType,
    PositionSide,
    Side,
    Status,
    UpdateReason,
)
from tests.engine_tables import A, B, D, Floor, booked_of, contract, fills, told

BOTH, LONG, SHORT = PositionSide
IS_LONG, IS_SHORT = {"position_side": LONG}, {"position_side": SHORT}
TERMS = SymbolTerms.of(contract())


def free_floor(**more: object) -> Floor:
    return Floor(**{"taker_fee": 0.0, "maker_fee": 0.0, **more})  # type: ignore[arg-type]


def wealth(floor: Floor) -> Decimal:
    """Return all money of the accounts and the fund, less what the positions that are held were bought for."""
    fund = floor.state.insurance_fund
    assert fund is not None
    traders = floor.exchange.traders.values()
    return fund + sum(
        trader.books.wallet_balance - sum(p.amount * p.entry_price for p in trader.books.positions.values())
        for trader in traders
    )


# ---- Where a position is liquidated


def test_an_isolated_long_position_is_liquidated_at_the_price_of_the_formula() -> None:
    # (50 - 10 * 100) / (10 * 0.01 - 10) = 950 / 9.9 = 95.959595...
    floor = free_floor()
    trader = floor.account(is_isolated=True)
    floor.buy(trader, "10")
    assert round(shown_liquidation_price(floor.state, trader, A, BOTH), 8) == D("95.95959596")
    floor.move("95.96")
    assert trader.position(A).amount == 10
    floor.move("95.95")
    assert trader.position(A).amount == 0
    assert round(trader.fills[-1].price, 8) == D("95.95959596")


def test_a_short_position_is_liquidated_above() -> None:
    # (50 + 1000) / (10 * 0.01 + 10) = 1050 / 10.1 = 103.960396...
    floor = free_floor()
    trader = floor.account("50")
    floor.sell(trader, "10")
    assert round(shown_liquidation_price(floor.state, trader, A, BOTH), 8) == D("103.96039604")
    floor.move("103.9")
    assert trader.position(A).amount == -10
    floor.move("104")
    assert (trader.position(A).amount, trader.fills[-1].side) == (D(0), Side.BUY)


def test_the_other_cross_positions_move_the_liquidation_price() -> None:
    # B at 99 has lost 10 and needs 9.9: (80 - 9.9 - 10 - 1000) / (0.1 - 10) = 939.9 / 9.9 = 94.939393...
    floor = free_floor(symbols=(A, B))
    trader = floor.account("100")
    floor.buy(trader, "10")
    floor.buy(trader, "10", symbol=B)
    trader.books.wallet_balance -= 20
    floor.move("99", symbol=B)
    assert round(shown_liquidation_price(floor.state, trader, A, BOTH), 8) == D("94.93939394")


def test_a_position_that_no_price_liquidates_shows_zero() -> None:
    floor = free_floor()
    trader = floor.account("10000")
    assert shown_liquidation_price(floor.state, trader, A, BOTH) == 0
    floor.buy(trader, "10")
    assert shown_liquidation_price(floor.state, trader, A, BOTH) == 0


def test_only_the_mark_price_liquidates() -> None:
    floor = free_floor()
    trader = floor.account(is_isolated=True)
    floor.buy(trader, "10")
    floor.move("90", mark="96")
    assert trader.position(A).amount == 10
    floor.move("100", mark="95")
    assert trader.position(A).amount == 0


def test_without_trades_in_the_bar_positions_are_liquidated_all_the_same() -> None:
    floor = free_floor()
    trader = floor.account(is_isolated=True)
    floor.buy(trader, "10")
    floor.open_bar("100", volume="0")
    floor.move("95")
    assert trader.position(A).amount == 0


# ---- What a liquidation does


def test_a_liquidation_takes_the_maintenance_margin_that_is_left_as_its_fee() -> None:
    # At 950 / 9.9 there are 50 - 40.4040... = 9.59595959... left, which is 1 % of the notional, and goes for the fee.
    floor = free_floor(fund="100")
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    floor.move("95")
    assert booked_of(trader, "REALIZED_PNL") == [D("-40.40404040")]
    assert booked_of(trader, "INSURANCE_CLEAR") == [D("-9.59595960")]
    assert trader.books.wallet_balance == 950
    assert floor.state.insurance_fund == D("109.59595960")


def test_a_liquidation_is_told_as_an_order_of_its_own() -> None:
    floor = free_floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    told(trader)
    floor.move("95")
    update = trader.outbox[-1]
    assert isinstance(update, AccountUpdate)
    assert (update.reason, update.wallet) == (UpdateReason.INSURANCE_CLEAR, (D(950), D(950), D("-9.59595960")))
    assert told(trader) == ["NEW NEW", "account ORDER", "CALCULATED FILLED 10", "account INSURANCE_CLEAR"]
    order = list(trader.orders.values())[-1]
    assert order.client_order_id.startswith("autoclose-")
    assert (order.side, order.type, order.quantity, order.reduce_only) == (Side.SELL, OrderType.LIMIT, D(10), True)
    assert (order.average_price, trader.fills[-1].commission) == (order.price, D(0))


def test_everybody_sees_a_liquidation_and_its_trade() -> None:
    floor = free_floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    floor.move("95")
    (seen,) = floor.exchange.force_orders
    trade = floor.exchange.quotes[A].tape[-1]
    assert (seen.side, seen.status, seen.executed) == (Side.SELL, Status.FILLED, D(10))
    assert (trade.trade_id, trade.price, trade.is_buyer_maker) == (trader.fills[-1].trade_id, seen.price, True)


def test_in_isolated_margin_only_the_symbol_s_orders_are_cancelled_before() -> None:
    floor = free_floor(symbols=(A, B))
    trader = floor.account(is_isolated=True)
    floor.buy(trader, "10")
    own, other = floor.buy(trader, "1", "90"), floor.buy(trader, "1", "90", symbol=B)
    told(trader)
    floor.move("95")
    assert (own.status, own.expiry_reason) == (Status.EXPIRED, ExpiryReason.LIQUIDATION)
    assert other.status is Status.NEW
    assert told(trader)[:2] == ["EXPIRED EXPIRED 0", "NEW NEW"]


def test_in_cross_margin_every_order_is_cancelled_before() -> None:
    floor = free_floor(symbols=(A, B))
    trader = floor.account("60")
    floor.buy(trader, "10")
    own, other = floor.buy(trader, "1", "90"), floor.buy(trader, "1", "90", symbol=B)
    waiting = floor.wait(trader, OrderType.STOP_MARKET, Side.BUY, "1", "110")
    floor.move("94")
    assert (own.status, other.status, waiting.status) == (Status.EXPIRED, Status.EXPIRED, AlgoStatus.NEW)


def test_an_order_of_the_account_does_not_fill_at_the_price_that_liquidates_it() -> None:
    # The liquidation at 95.9595... comes before the purchase at 95.9.
    floor = free_floor()
    trader = floor.account(is_isolated=True)
    floor.buy(trader, "10")
    floor.buy(trader, "1", "95.9")
    floor.move("95")
    assert [entry[0] for entry in fills(trader)] == ["BUY", "SELL"]


def test_a_large_position_is_reduced_to_the_bracket_below() -> None:
    # 120 long with 600: 600 - 120 * (100 - p) = 2.4 p - 100 at p = 11 300 / 117.6 = 96.0884354. There
    # 10 000 / (96.0884354 * 0.01) = 10 407.08 steps may stay: 15.93 go, for a fee of 15.93 * 0.960884 = 15.3069.
    # What is left has 130.6122 - 15.3069 of margin and needs 1 % of 104.07 * 96.0884354 = 99.9992.
    floor = free_floor()
    trader = floor.account(is_isolated=True)
    floor.buy(trader, "120")
    assert round(shown_liquidation_price(floor.state, trader, A, BOTH), 7) == D("96.0884354")
    floor.move("96")
    assert (trader.position(A).amount, fills(trader)[-1][1]) == (D("104.07"), "15.93")
    assert round(booked_of(trader, "INSURANCE_CLEAR")[0], 4) == D("-15.3069")
    assert round(trader.position(A).isolated_wallet, 4) == D("522.3819")  # 600 - 15.93 * 3.9115646 - 15.3069


def test_a_bar_that_opens_where_a_position_is_bankrupt_liquidates_it_there() -> None:
    # 10 * 6 = 60 of loss with 50 behind it: the fund pays 10.
    floor = free_floor(fund="100")
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    floor.open_bar("94")
    assert (trader.position(A).amount, trader.fills[-1].price) == (D(0), D(94))
    assert booked_of(trader, "INSURANCE_CLEAR") == [D(0), D(10)]
    assert (trader.books.wallet_balance, floor.state.insurance_fund) == (D(950), D(90))


def test_a_bar_that_opens_where_the_margin_is_too_small_liquidates_when_the_prices_go_on() -> None:
    # At 95.5 there are 5 left, and 9.55 are needed.
    floor = free_floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    floor.open_bar("95.5")
    assert trader.position(A).amount == 10
    floor.move("97")
    assert (trader.position(A).amount, trader.fills[-1].price) == (D(0), D("95.5"))


def test_what_a_settlement_leaves_too_little_margin_is_liquidated_at_its_mark_price() -> None:
    # At 96 there are 10 and 9.6 are needed; funding of 0.1 % takes 0.96.
    floor = free_floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    floor.move("98")
    floor.exchange.settle_funding(A, rate=D(0), mark=D(96), time_ms=floor.now)
    floor.exchange.enforce_margin(A, mark=D(96), now_ms=floor.now)
    assert trader.position(A).amount == 10
    floor.exchange.settle_funding(A, rate=D("0.001"), mark=D(96), time_ms=floor.now)
    floor.exchange.enforce_margin(A, mark=D(96), now_ms=floor.now)
    assert (trader.position(A).amount, trader.fills[-1].price) == (D(0), D(96))
    assert (floor.exchange.quotes[A].mark, floor.state.marks[A]) == (D(98), D(98))


def test_a_loss_beyond_the_wallet_in_an_ordinary_trade_is_the_funds_too() -> None:
    # 10 long with 50; last price 94 while the mark price is 97: sold for a loss of 60.
    floor = free_floor(fund="100")
    trader = floor.account("50")
    floor.buy(trader, "10")
    floor.open_bar("94.1", "97")
    floor.sell(trader, "10", reduce_only=True)
    assert (trader.books.wallet_balance, floor.state.insurance_fund) == (D(0), D(91))


# ---- Deleveraging


def crowd(floor: Floor) -> tuple[Trader, Trader, Trader]:
    """Return an account of 10 long that a fall to 93 makes bankrupt by 20, and two of 6 and 8 short."""
    loser = floor.account("1000", "loser", is_isolated=True)
    modest, rich = floor.account("1000", "modest"), floor.account("10000", "rich")
    floor.buy(loser, "10")
    floor.sell(modest, "6")
    floor.sell(rich, "8")
    for trader in (loser, modest, rich):
        trader.outbox.clear()
    return loser, modest, rich


def test_where_the_fund_is_used_up_winners_close_at_the_bankruptcy_price() -> None:
    # The loser's bankruptcy price is 100 - 50 / 10 = 95. The modest account has the higher profit over margin times
    # leverage and is closed wholly, the rich one by the other 4: 10 in all pay 2 each, which is what the fund paid.
    floor = free_floor(fund="3")
    loser, modest, rich = crowd(floor)
    spared = floor.account("1000000", "spared")
    floor.sell(spared, "1")
    before = wealth(floor)
    floor.open_bar("93")
    assert (loser.books.wallet_balance, loser.position(A).amount) == (D(950), D(0))
    assert (modest.position(A).amount, rich.position(A).amount) == (D(0), D(-4))
    assert (fills(modest)[-1], fills(rich)[-1]) == (("BUY", "6", "95"), ("BUY", "4", "95"))
    assert (modest.books.wallet_balance, rich.books.wallet_balance) == (D(1030), D(10020))
    assert (len(spared.orders), spared.position(A).amount) == (1, D(-1))
    assert floor.state.insurance_fund == 3
    assert wealth(floor) == before


def test_nobody_is_deleveraged_for_a_loss_of_his_own() -> None:
    # In hedge mode the account that loses its long position is short as well.
    floor = free_floor(fund="3")
    loser = floor.account("1000", "loser", is_isolated=True, is_hedged=True)
    floor.buy(loser, "10", **IS_LONG)
    floor.sell(loser, "4", **IS_SHORT)
    other = floor.account("1000", "other")
    floor.sell(other, "10")
    floor.open_bar("93")
    assert (loser.position(f"{A}:SHORT").amount, other.position(A).amount) == (D(-4), D(0))


def test_a_deleveraging_is_told_as_an_order_of_its_own_and_costs_no_fee() -> None:
    floor = Floor(fund="3")
    _, modest, _ = crowd(floor)
    floor.open_bar("93")
    order = list(modest.orders.values())[-1]
    assert order.client_order_id == f"adl_autoclose_{floor.state.now_ms}{order.order_id % 1_000_000:06d}"
    assert (modest.fills[-1].commission, modest.fills[-1].is_maker, order.close_position) == (D(0), False, False)
    assert [trade.is_buyer_maker for trade in floor.exchange.quotes[A].tape][-3:] == [True, False, False]
    assert told(modest) == ["NEW NEW", "account ORDER", "CALCULATED FILLED 6"]
    assert [seen.side for seen in floor.exchange.force_orders] == [Side.SELL]


def test_ids_of_forced_orders_are_of_the_form_that_ids_must_have() -> None:
    floor = Floor(fund="3")
    loser, modest, _ = crowd(floor)
    floor.open_bar("93")
    ids = [list(trader.orders.values())[-1].client_order_id for trader in (loser, modest)]
    assert [client_id.rstrip("0123456789") for client_id in ids] == ["autoclose-", "adl_autoclose_"]
    for client_id in ids:
        check_client_id(client_id)


def test_a_fund_that_can_pay_deleverages_nobody() -> None:
    floor = free_floor(fund="20")
    _, modest, rich = crowd(floor)
    floor.open_bar("93")
    assert (modest.position(A).amount, rich.position(A).amount) == (D(-6), D(-8))
    assert floor.state.insurance_fund == 0


def test_a_fund_that_never_ends_deleverages_nobody() -> None:
    floor = free_floor()
    _, modest, rich = crowd(floor)
    floor.open_bar("93")
    assert (modest.position(A).amount, rich.position(A).amount) == (D(-6), D(-8))


def test_what_nobody_can_be_deleveraged_for_the_fund_owes() -> None:
    floor = free_floor(fund="3")
    loser = floor.account("1000", "loser", is_isolated=True)
    floor.buy(loser, "10")
    floor.open_bar("93")
    assert (loser.books.wallet_balance, floor.state.insurance_fund) == (D(950), D(-17))


def test_orders_that_only_reduce_expire_where_deleveraging_leaves_nothing_to_reduce() -> None:
    floor = free_floor(fund="3")
    _, modest, rich = crowd(floor)
    order, other = floor.buy(modest, "6", "92", reduce_only=True), floor.buy(rich, "8", "92", reduce_only=True)
    floor.open_bar("93")
    assert (order.status, other.status) == (Status.EXPIRED, Status.NEW)


def test_a_closing_order_of_hedge_mode_does_not_open_what_deleveraging_has_closed() -> None:
    floor = free_floor(fund="3")
    loser = floor.account("1000", "loser", is_isolated=True)
    winner = floor.account("1000", "winner", is_hedged=True)
    floor.buy(loser, "10")
    floor.sell(winner, "12", **IS_SHORT)
    order = floor.buy(winner, "12", "92", **IS_SHORT)
    floor.open_bar("93")
    assert winner.position(f"{A}:SHORT").amount == -2
    floor.move("91")
    assert (winner.position(f"{A}:SHORT").amount, order.executed) == (D(0), D(2))


def test_winners_are_ranked_by_profit_over_margin_times_leverage() -> None:
    # At 90: "high" has 10 of profit on 60 of margin with 90 of notional: 10 / 60 * 1.5 = 0.25; "low" has
    # 10 / 1010 * 0.0891; "sour" loses 0.5 a unit, which is divided by its leverage; and who is long is no winner.
    floor = free_floor()
    low, high, sour, long = (floor.account(w, n) for w, n in (("1000", "a"), ("50", "b"), ("90", "c"), ("100", "d")))
    floor.sell(low, "1")
    floor.sell(high, "1")
    floor.buy(long, "1")
    floor.move("89.5")
    floor.sell(sour, "1")
    floor.move("90")
    assert ranked_winners(floor.state, A, is_long=False) == [(high, BOTH), (low, BOTH), (sour, BOTH)]
    assert ranked_winners(floor.state, A, is_long=True) == [(long, BOTH)]


def test_profit_counts_by_leverage_among_winners_and_loss_by_its_share_of_the_notional() -> None:
    # At 90: 10 / 170 * 90 / 170 = 0.031 is less than 5 / 100 * 90 / 100 = 0.045, and 5 / 90 is lost before 10 / 90.
    floor = free_floor()
    placed = {}
    for name, wallet, price in (("a", "160", "100"), ("b", "95", "95"), ("c", "1010", "80"), ("d", "55", "85")):
        placed[name] = floor.account(wallet, name)
        floor.open_bar(price)
        floor.sell(placed[name], "1")
    floor.open_bar("90")
    ranked = [trader.name for trader, _ in ranked_winners(floor.state, A, is_long=False)]
    assert ranked == ["b", "a", "d", "c"]


# ---- Hedge mode


def hedged(floor: Floor, wallet: str, long: tuple[str, str], short: tuple[str, str], **more: bool) -> Trader:
    """Return an account in hedge mode that bought and sold amounts at prices; back at 100."""
    trader = floor.account(wallet, is_hedged=True, **more)  # type: ignore[arg-type]
    floor.open_bar(long[1])
    floor.buy(trader, long[0], **IS_LONG)
    floor.open_bar(short[1])
    floor.sell(trader, short[0], **IS_SHORT)
    floor.open_bar("100")
    trader.outbox.clear()
    return trader


def test_both_sides_of_a_cross_position_share_one_liquidation_price() -> None:
    # 200 and positions of 30 at 100 and of 10 at 98:
    # (200 - 3000 + 980) / (0.3 + 0.1 - 30 + 10) = 1820 / 19.6 = 92.857142...
    floor = free_floor(liquidation_fee=0.005)
    trader = hedged(floor, "1200", ("30", "100"), ("10", "98"))
    trader.books.wallet_balance -= 1000
    for side in (LONG, SHORT):
        assert round(shown_liquidation_price(floor.state, trader, A, side), 8) == D("92.85714286")
    floor.move("92.9")
    assert len(trader.held_slots()) == 2
    floor.move("92.8")
    assert trader.held_slots() == [f"{A}:SHORT"]


def test_of_two_positions_the_one_that_has_lost_more_there_goes_first() -> None:
    # Now the short one has lost more (20 against a profit of 20), but at the price of the liquidation,
    # (60 - 1980 + 480) / (0.2 + 0.05 - 15) = 97.627..., the long one has lost 27.5 and the short one 8.1.
    floor = free_floor(liquidation_fee=0.005)
    trader = hedged(floor, "1060", ("20", "99"), ("5", "96"))
    trader.books.wallet_balance -= 1000
    assert round(shown_liquidation_price(floor.state, trader, A, LONG), 3) == D("97.627")
    floor.move("97.6")
    assert trader.held_slots() == [f"{A}:SHORT"]


def test_equal_positions_are_liquidated_where_their_maintenance_margin_has_grown_too_large() -> None:
    # (30 - 1000 + 990) / (0.1 + 0.1) = 20 / 0.2 = 100 would be at once; with 31 it is 105.
    floor = free_floor(liquidation_fee=0.005)
    trader = hedged(floor, "131", ("10", "100"), ("10", "99"))
    trader.books.wallet_balance -= 100
    assert safe_range(floor.state, trader, A, LONG) == SafeRange(-D("Infinity"), D(105))
    assert shown_liquidation_price(floor.state, trader, A, LONG) == 105
    floor.move("104.9")
    assert len(trader.held_slots()) == 2
    floor.move("105")
    assert len(trader.held_slots()) == 1


def test_two_positions_may_be_liquidated_below_and_above() -> None:
    # 102 long and 97 short at 100 with 300. Below: 300 + 5 * (p - 100) = 1.99 p at p = 200 / 3.01. Above, where both
    # are in the third bracket: 300 + 5 * (p - 100) = 199 p * 0.05 - 3 200 at p = 3 000 / 4.95.
    floor = free_floor()
    trader = hedged(floor, "2300", ("102", "100"), ("97", "100"))
    trader.books.wallet_balance -= 2000
    assert round(shown_liquidation_price(floor.state, trader, A, LONG), 6) == D("66.445183")
    assert round(shown_liquidation_price(floor.state, trader, A, SHORT), 6) == D("606.060606")


def test_isolated_positions_of_hedge_mode_are_liquidated_each_by_itself() -> None:
    floor = free_floor()
    trader = hedged(floor, "1000", ("10", "100"), ("10", "100"), is_isolated=True)
    assert round(shown_liquidation_price(floor.state, trader, A, LONG), 8) == D("95.95959596")
    assert round(shown_liquidation_price(floor.state, trader, A, SHORT), 8) == D("103.96039604")
    floor.move("95")
    assert trader.held_slots() == [f"{A}:SHORT"]
    assert trader.position(f"{A}:SHORT").isolated_wallet == 50
    assert trader.books.wallet_balance == 950


@exact
def excess(positions: tuple[Position, ...], collateral: Decimal, price: Decimal) -> Decimal:
    """Return margin less maintenance margin, written anew."""
    total = collateral
    for position in positions:
        notional = abs(position.amount) * price
        bracket = next((b for b in TERMS.brackets if notional <= b.cap), TERMS.brackets[-1])
        total += position.amount * (price - position.entry_price) - notional * bracket.rate + bracket.amount
    return total


amounts = st.integers(1, 400).map(lambda n: D(n) / 2)
prices = st.integers(50, 200).map(D)
collaterals = st.integers(-200, 3000).map(D)


@given(amounts, prices, amounts, prices, collaterals)
def test_inside_the_safe_range_there_is_enough_margin_and_outside_there_is_not(
    long: Decimal, bought: Decimal, short: Decimal, sold: Decimal, collateral: Decimal
) -> None:
    positions = (Position(long, bought, D(0)), Position(-short, sold, D(0)))
    found = solve_safe_range(positions, collateral, TERMS.brackets)
    for step in range(1, 600):
        price = D(step) / 2
        is_safe = found is not None and found.low < price < found.high
        assert (excess(positions, collateral, price) > D("1E-40")) is is_safe or (
            abs(excess(positions, collateral, price)) < D("1E-40")
        ), (price, found)


@given(amounts, prices, amounts, prices, collaterals)
def test_the_ends_of_the_safe_range_are_the_liquidation_prices_of_the_formula(
    long: Decimal, bought: Decimal, short: Decimal, sold: Decimal, collateral: Decimal
) -> None:
    positions = (Position(long, bought, D(0)), Position(-short, sold, D(0)))
    found = solve_safe_range(positions, collateral, TERMS.brackets)
    for price in found or ():
        if price.is_finite() and price > 0:
            of_long, of_short = (TERMS.bracket(abs(p.amount) * price) for p in positions)
            assert abs(price - published_price(positions, collateral, of_long, of_short)) < D("1E-20")


@exact
def published_price(
    positions: tuple[Position, Position], collateral: Decimal, of_long: Bracket, of_short: Bracket
) -> Decimal:
    """Return the FAQ's liquidation price of both positions of hedge mode, in the brackets of that price."""
    long, short = positions[0].amount, -positions[1].amount
    paid = collateral + of_long.amount + of_short.amount
    paid += -long * positions[0].entry_price + short * positions[1].entry_price
    return paid / (long * of_long.rate + short * of_short.rate - long + short)


def test_a_step_that_a_rounded_maintenance_amount_makes_hides_no_liquidation_price() -> None:
    # 100 short reach 10 000 USDT at a price of 100. There the second bracket's amount is a cent lower than it should
    # be, so that the maintenance margin goes up by a cent: with half a cent above it before, the edge is the price.
    first, second = (
        Bracket(floor=D(0), cap=D(10_000), rate=D("0.01"), amount=D(0), initial_leverage=50),
        Bracket(floor=D(10_000), cap=D(50_000), rate=D("0.02"), amount=D("99.99"), initial_leverage=20),
    )
    position = Position(D(-100), D(99), D(0))  # at 100 it has lost 100 and needs 100
    found = solve_safe_range((position,), D("200.005"), (first, second))
    assert found == SafeRange(-D("Infinity"), D(100))


# ---- Margin calls


def test_a_margin_call_comes_once_until_things_are_better() -> None:
    # 10 long with 50: at 96.3 13 are left and 9.63 needed, at 96.2 12 and 9.62, which is more than 80 %.
    floor = free_floor()
    trader = floor.account("50")
    floor.buy(trader, "10")
    trader.outbox.clear()
    seen = []
    for price in ("96.3", "96.2", "96.1", "97", "96.2"):
        floor.move(price)
        seen.append(told(trader))
    assert seen == [[], ["MarginCall"], [], [], ["MarginCall"]]


def test_a_margin_call_has_the_positions_that_it_is_about() -> None:
    floor = free_floor(symbols=(A, B))
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    floor.buy(trader, "10", symbol=B)
    floor.move("96.2")
    call = trader.outbox[-1]
    assert isinstance(call, MarginCall)
    assert (call.cross_wallet, call.time_ms) == (D(900), floor.now)
    (position,) = call.positions
    assert (position.symbol, position.unrealized_pnl, position.maintenance_margin) == (A, D(-38), D("9.62"))
    assert (position.isolated_wallet, position.mark_price) == (D(50), D("96.2"))


# ---- Funding


def test_longs_pay_positive_funding_and_shorts_receive_it() -> None:
    # 10 * 99.5 * 0.0001 = 0.0995; the settlement has a mark price of its own.
    floor = free_floor()
    long, short, flat = (floor.account(name=name) for name in ("long", "short", "flat"))
    floor.buy(long, "10")
    floor.sell(short, "10")
    floor.exchange.settle_funding(A, rate=D("0.0001"), mark=D("99.5"), time_ms=floor.now)
    assert booked_of(long, "FUNDING_FEE") == [D("-0.0995")]
    assert booked_of(short, "FUNDING_FEE") == [D("0.0995")]
    assert (booked_of(flat, "FUNDING_FEE"), told(flat)) == ([], [])
    floor.exchange.settle_funding(A, rate=D("-0.0002"), mark=D("99.5"), time_ms=floor.now)
    assert booked_of(long, "FUNDING_FEE") == [D("-0.0995"), D("0.199")]


def test_funding_of_a_cross_position_is_told_with_the_wallet_alone() -> None:
    floor = free_floor()
    trader = floor.account("1000")
    floor.buy(trader, "10")
    told(trader)
    floor.exchange.settle_funding(A, rate=D("0.0001"), mark=D(100), time_ms=floor.now + 5)
    (update,) = trader.outbox
    wallet = WalletState(D("999.9"), D("999.9"), D("-0.1"))
    assert update == AccountUpdate(floor.now + 5, UpdateReason.FUNDING_FEE, wallet, (), A)


def test_funding_of_an_isolated_position_comes_from_its_own_wallet_and_says_so() -> None:
    floor = free_floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    told(trader)
    floor.exchange.settle_funding(A, rate=D("0.0001"), mark=D(100), time_ms=floor.now)
    assert (trader.position(A).isolated_wallet, trader.cross_wallet) == (D("49.9"), D(950))
    (update,) = trader.outbox
    assert isinstance(update, AccountUpdate)
    assert (update.wallet, update.symbol) == ((D("999.9"), D(950), D("-0.1")), A)
    assert [(p.symbol, p.isolated_wallet) for p in update.positions] == [(A, D("49.9"))]


def test_both_positions_of_hedge_mode_settle() -> None:
    floor = free_floor()
    trader = hedged(floor, "1000", ("30", "100"), ("10", "100"))
    floor.exchange.settle_funding(A, rate=D("0.0001"), mark=D(100), time_ms=floor.now)
    assert booked_of(trader, "FUNDING_FEE") == [D("-0.3"), D("0.1")]
    assert told(trader) == ["account FUNDING_FEE", "account FUNDING_FEE"]


def test_time_does_not_go_back() -> None:
    floor = free_floor()
    with pytest.raises(Exception, match="time must not go back"):
        floor.exchange.settle_funding(A, rate=D(0), mark=D(100), time_ms=floor.now - 1)
