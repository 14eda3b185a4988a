"""Post-only limit orders of a decision, as candle tables with the account that must come out.

As in ``test_replay``: slippage 0.1 %, taker fee 0.05 %, maker fee 0.02 %, tick 0.1, isolated margin, leverage 5, target
1 is twice the margin balance, 10 000 USDT at the start. Orders rest 1 % from the close: at a close of 1 000 a buy at
990 and a sell at 1 010.
"""

from typing import Any

import pytest

from rl_trader import decision, fills, flows
from rl_trader.ledger import Account
from rl_trader.state import (
    FILLED,
    LIQUIDATED,
    NOT_REACHED,
    REDUCED_BY_LIQUIDATION,
    REFUSED_BRACKET,
    REFUSED_MARGIN,
    REFUSED_NO_TRADES,
    REFUSED_NOTIONAL,
    REFUSED_POST_ONLY,
    REFUSED_PRICE,
    STOPPED,
    TOOK_PROFIT,
    Bar,
    Costs,
    Order,
)
from tests.kernel_tables import FLAT, Candle, Step, one_terms, play, settings_table, terms_table

STILL = (1_000.0, 1_000.0, 1_000.0, 1_000.0)
LONG_10 = Account(10_000.0, 10.0, 1_000.0, 2_000.0)
LONG_30 = Account(10_000.0, 30.0, 1_000.0, 3_000.0)


def rest(bar: Candle, target: float, account: Account = FLAT, **changes: Any) -> Step:
    """Play one bar after a close of 1 000."""
    (step,) = play([STILL, bar], [target], account, limit_distance=0.01, **changes)
    return step


def order(target: float, account: Account = FLAT, price: float = 1_000.0, **terms: Any) -> Order:
    settings = settings_table(limit_distance=0.01)[0]
    return decision.order_of(target, account, price, price, 0.0005, settings, one_terms(**terms))


# The decision


def test_a_limit_order_rests_at_its_distance_from_the_close_on_the_tick_away_from_it() -> None:
    assert order(1.0) == (0.0, 20.0, 990.0)
    assert order(-1.0) == (0.0, -20.0, 1_010.0)
    # 1 003.7 * 0.99 = 993.663 -> 993.6; 1 003.7 * 1.01 = 1 013.737 -> 1 013.8; 2 * 10 000 / 1 003.7 = 19.9262
    assert order(1.0, price=1_003.7) == (0.0, 19.926, 993.6)
    assert order(-1.0, price=1_003.7) == (0.0, -19.926, 1_013.8)
    # One coin rests as any other amount.
    assert order(1.0, Account(500.0, 0.0, 0.0, 0.0)) == (0.0, 1.0, 990.0)
    # Nothing is bought for nothing: 0.1 * 0.99 would round to 0.
    assert decision.limit_price(1.0, 0.1, 0.01, one_terms()) == 0.1


def test_both_legs_of_a_flip_rest_at_the_same_price() -> None:
    assert order(-1.0, LONG_10) == (-10.0, -20.0, 1_010.0)
    assert order(0.0, LONG_10) == (-10.0, 0.0, 1_010.0)


def test_no_order_has_no_price() -> None:
    assert order(0.0) == (0.0, 0.0, 0.0)
    assert order(0.5, LONG_10) == (0.0, 0.0, 0.0)


def test_the_minimum_notional_counts_at_the_limit_price() -> None:
    # Twice 25 at 1 000 is 0.05, at 990 only 49.5; twice 25.5 is 0.051: 50.49.
    assert order(1.0, Account(25.0, 0.0, 0.0, 0.0)) == (0.0, 0.0, 0.0)
    assert order(1.0, Account(25.5, 0.0, 0.0, 0.0)) == (0.0, 0.051, 990.0)


def test_sizes_carry_the_cost_at_the_limit_price() -> None:
    # A bracket's limit of 15 000, of which 14 700 are used: 14 700 / 1 010 = 14.554.
    assert order(-1.0, max_notional=15_000.0) == (0.0, -14.554, 1_010.0)


def test_an_order_under_the_smallest_quantity_is_sent_only_to_close() -> None:
    # Long 10, target 0.39 wants 7.8: 2.2 to sell.
    assert order(0.39, LONG_10, min_quantity=2.2) == (-2.2, 0.0, 1_010.0)
    assert order(0.39, LONG_10, min_quantity=2.3) == (0.0, 0.0, 0.0)
    assert order(0.0, LONG_10, min_quantity=11.0) == (-10.0, 0.0, 1_010.0)
    # A target under one step closes too: 0.001 of bitcoin at 80 000 with 100, target 0.2 wants 0.0005.
    held = Account(100.0, 0.001, 80_000.0, 16.0)
    assert order(0.2, held, 80_000.0, min_quantity=0.01) == (-0.001, 0.0, 80_800.0)
    assert order(1.0, min_quantity=20.1) == (0.0, 0.0, 0.0)
    assert order(1.0, min_quantity=20.0) == (0.0, 20.0, 990.0)


# The fill


def test_a_limit_order_fills_at_its_price_as_a_maker_where_the_bar_trades_through_it() -> None:
    # 20 at 990: fee 20 * 990 * 0.0002 = 3.96, margin 3 960; marked at 1 002: 9 996.04 + 240.
    step = rest((1_000.0, 1_005.0, 985.0, 1_002.0), 1.0)
    assert step.account == (9_996.04, 20.0, 990.0, 3_960.0)
    outcome = step.outcome
    assert outcome["events"] == FILLED
    assert (outcome["fees"], outcome["slippage"], outcome["realized_pnl"]) == (-3.96, 0.0, 0.0)
    assert outcome["traded_notional"] == 19_800.0
    assert outcome["price_pnl"] == pytest.approx(240.0)
    # One coin of a balance of 500: fee 0.198, margin 198.
    step = rest((1_000.0, 1_005.0, 985.0, 1_002.0), 1.0, Account(500.0, 0.0, 0.0, 0.0))
    assert step.account == (499.802, 1.0, 990.0, 198.0)
    # Sold at 1 010: fee 4.04, margin 4 040.
    step = rest((1_000.0, 1_015.0, 995.0, 1_002.0), -1.0)
    assert step.account == (9_995.96, -20.0, 1_010.0, 4_040.0)


def test_a_bar_that_only_touches_the_price_does_not_fill() -> None:
    for low, events in ((990.0, NOT_REACHED), (989.9, FILLED)):
        assert rest((1_000.0, 1_000.0, low, 1_000.0), 1.0).outcome["events"] == events
    for high, events in ((1_010.0, NOT_REACHED), (1_010.1, FILLED)):
        assert rest((1_000.0, high, 1_000.0, 1_000.0), -1.0).outcome["events"] == events


def test_an_order_that_was_not_reached_is_gone_at_the_bars_end() -> None:
    # The second bar's own decision at a close of 1 004 is flat; its low of 980 would have filled the first order.
    first, second = play(
        [STILL, (1_000.0, 1_006.0, 995.0, 1_004.0), (1_004.0, 1_004.0, 980.0, 990.0)], [1.0, 0.0], limit_distance=0.01
    )
    assert (first.account, first.outcome["events"]) == (FLAT, NOT_REACHED)
    assert (second.account, second.outcome["events"]) == (FLAT, 0)


def test_the_close_of_a_position_is_a_maker_too() -> None:
    # Sold 10 at 1 010: +100, fee 2.02.
    step = rest((1_000.0, 1_012.0, 1_000.0, 1_001.0), 0.0, LONG_10)
    assert step.account == pytest.approx((10_097.98, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["realized_pnl"] == 100.0


def test_a_flip_fills_both_legs_at_the_price() -> None:
    # 10 sold at 1 010: +100, fee 2.02; 20 more: fee 4.04, margin 4 040.
    step = rest((1_000.0, 1_012.0, 995.0, 1_001.0), -1.0, LONG_10)
    assert step.account == pytest.approx((10_093.94, -20.0, 1_010.0, 4_040.0), abs=1e-11)
    assert step.outcome["events"] == FILLED


def test_an_account_pays_its_own_maker_fee() -> None:
    assert rest((1_000.0, 1_005.0, 985.0, 1_002.0), 1.0, state={"maker_fee": -0.0}).outcome["fees"] == 0.0
    # 20 * 990 * 0.0003
    assert rest((1_000.0, 1_005.0, 985.0, 1_002.0), 1.0, state={"maker_fee": 0.0003}).outcome["fees"] == -5.94


# What the exchange refuses


def test_an_order_that_would_fill_at_once_is_refused() -> None:
    # A market buy at an open of 989.0 fills at 989.989 -> 990.0, which a buy at 990 would take.
    step = rest((989.0, 1_000.0, 980.0, 990.0), 1.0)
    assert (step.account, step.outcome["events"]) == (FLAT, REFUSED_POST_ONLY)
    # At 989.1 it is 990.0891 -> 990.1: the order rests between bid and ask, and the last price below it fills it.
    step = rest((989.1, 1_000.0, 980.0, 990.0), 1.0)
    assert (step.account.entry_price, step.outcome["events"]) == (990.0, FILLED)
    # A market sell at 1 011.1 fills at 1 010.0889 -> 1 010.0; at 1 011.0 at 1 009.989 -> 1 009.9.
    assert rest((1_011.1, 1_020.0, 1_000.0, 1_010.0), -1.0).outcome["events"] == REFUSED_POST_ONLY
    step = rest((1_011.0, 1_020.0, 1_000.0, 1_010.0), -1.0)
    assert (step.account.entry_price, step.outcome["events"]) == (1_010.0, FILLED)


def test_an_order_that_would_fill_at_once_is_refused_however_large_its_own_impact() -> None:
    # At an open of 960 the best offer is 960.96 -> 961.0, under the limit of 990, whatever 20 of it would cost.
    step = rest((960.0, 1_000.0, 950.0, 990.0), 1.0, linear_impact=1.0)
    assert (step.account, step.outcome["events"]) == (FLAT, REFUSED_POST_ONLY)


def test_a_limit_price_too_far_from_the_mark_price_is_refused() -> None:
    # PERCENT_PRICE 0.95: a sell at 1 010 may not lie under 0.95 of the mark: 1 063.1 * 0.95 = 1 009.945 is under it,
    # 1 063.2 * 0.95 = 1 010.04 is not.
    for mark, events in ((1_063.1, NOT_REACHED), (1_063.2, REFUSED_PRICE)):
        bar = (1_000.0, 1_000.0, 1_000.0, 1_000.0, mark, mark, mark, mark)
        assert rest(bar, -1.0).outcome["events"] == events
    # 1.05: a buy at 990 over a mark of 942.8 * 1.05 = 989.94, at 942.9 * 1.05 = 990.045 it is not.
    for mark, events in ((942.9, NOT_REACHED), (942.8, REFUSED_PRICE)):
        bar = (1_000.0, 1_000.0, 1_000.0, 1_000.0, mark, mark, mark, mark)
        assert rest(bar, 1.0).outcome["events"] == events


def bitcoin_limit(amount: float, price: float, last: float) -> tuple[int, Order]:
    """Rest a limit order at a mark price of 60 000 and another last price; return the events and what rests."""
    bar = Bar(last, last, last, last, 60_000.0, 60_000.0, 60_000.0, 60_000.0, 500.0)
    progress, resting = fills.limit_order(
        flows.begin(Account(1e6, 0.0, 0.0, 0.0), None),
        Order(0.0, amount, price),
        bar,
        Costs(0.0005, 0.0002, 1.0),
        settings_table()[0],
        one_terms(min_price=556.8, max_price=4_529_764.0),
    )
    return progress.flows.events, resting


def test_limit_prices_at_5_percent_of_a_mark_price_of_60_000_are_taken_and_a_tick_beyond_refused() -> None:
    # PERCENT_PRICE of 1.05 and 0.95: 63 000.0 buys, 63 000.1 is -4016; 57 000.0 sells, 56 999.9 is -4024. The last
    # price lies beyond them, so that no order fills at once.
    for amount, price, last, events in (
        (1.0, 63_000.0, 64_000.0, 0),
        (1.0, 63_000.1, 64_000.0, REFUSED_PRICE),
        (-1.0, 57_000.0, 56_000.0, 0),
        (-1.0, 56_999.9, 56_000.0, REFUSED_PRICE),
    ):
        resting = Order(0.0, amount, price) if events == 0 else Order(0.0, 0.0, 0.0)
        assert bitcoin_limit(amount, price, last) == (events, resting)


def test_a_limit_price_beyond_the_price_filter_is_refused() -> None:
    # PRICE_FILTER of BTCUSDT: from 556.8 (-4013) to 4 529 764 (-4002), whatever side and mark price.
    for amount, price, last, events in (
        (1.0, 556.8, 60_000.0, 0),
        (1.0, 556.7, 60_000.0, REFUSED_PRICE),
        (-1.0, 4_529_764.0, 60_000.0, 0),
        (-1.0, 4_529_764.1, 60_000.0, REFUSED_PRICE),
    ):
        assert bitcoin_limit(amount, price, last)[0] == events
    # A decision's own order is held to it too: its buy rests at 990, its sell at 1 010.
    still = (1_000.0, 1_000.0, 1_000.0, 1_000.0)
    for target, terms, events in (
        (1.0, {"min_price": 990.0}, NOT_REACHED),
        (1.0, {"min_price": 990.1}, REFUSED_PRICE),
        (-1.0, {"max_price": 1_010.0}, NOT_REACHED),
        (-1.0, {"max_price": 1_009.9}, REFUSED_PRICE),
    ):
        step = rest(still, target, terms=terms_table(**terms))
        assert (step.account, step.outcome["events"]) == (FLAT, events)


def test_a_gap_beyond_the_brackets_limit_refuses_a_resting_order() -> None:
    # 14.554 sold (see above); at a mark of 1 030 they are 14 990.62, at 1 031 15 005.17.
    terms = terms_table(max_notional=15_000.0)
    for mark, events in ((1_030.0, NOT_REACHED), (1_031.0, REFUSED_BRACKET)):
        bar = (1_000.0, 1_000.0, 1_000.0, 1_000.0, mark, mark, mark, mark)
        assert rest(bar, -1.0, terms=terms).outcome["events"] == events


def test_an_order_that_the_balance_does_not_carry_is_refused_when_it_is_placed() -> None:
    # Target 1 is 5 times: 10 000 * 0.98 / (1 010 * 0.2005) = 48.394. Sold at 1 010 it needs 48.394 * 1 010 * 0.2002
    # = 9 785.37, and an open loss of 48.394 * (mark - 1 010): at 1 014.4 212.93 (9 998.3), at 1 014.5 217.77.
    for mark, events in ((1_014.4, NOT_REACHED), (1_014.5, REFUSED_MARGIN)):
        bar = (1_000.0, 1_000.0, 1_000.0, 1_000.0, mark, mark, mark, mark)
        assert rest(bar, -1.0, max_exposure=5.0).outcome["events"] == events


def test_an_order_whose_opening_leg_is_refused_still_closes() -> None:
    # Long 10, a limit of 20 400: 19 992 / 1 010 = 19.794 to open; at a mark of 1 031 that is 20 407.6.
    bar = (1_000.0, 1_012.0, 1_000.0, 1_000.0, 1_031.0, 1_031.0, 1_031.0, 1_031.0)
    step = rest(bar, -1.0, LONG_10, terms=terms_table(max_notional=20_400.0))
    assert step.account == pytest.approx((10_097.98, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == FILLED | REFUSED_BRACKET
    # Alone, the refused opening leaves nothing in the book.
    step = rest(bar, -1.0, terms=terms_table(max_notional=20_400.0))
    assert (step.account, step.outcome["events"]) == (FLAT, REFUSED_BRACKET)


def test_a_bar_without_volume_takes_no_limit_order() -> None:
    down = (1_000.0, 1_000.0, 950.0, 960.0)
    step = rest(down, 1.0, volume=[500.0, 0.0])
    assert (step.account, step.outcome["events"]) == (FLAT, REFUSED_NO_TRADES)
    assert rest(down, 0.5, LONG_10, volume=[500.0, 0.0]).outcome["events"] == 0


def test_the_exchange_checks_the_minimum_notional_at_the_limit_price() -> None:
    # 0.051 at 980.4 are 50.0004, at 980.3 49.9953, whatever the market price.
    bar = Bar(1_000.0, 1_000.0, 1_000.0, 1_000.0, 1_000.0, 1_000.0, 1_000.0, 1_000.0, 500.0)
    settings, terms = settings_table()[0], one_terms()
    for price, events, resting in ((980.4, 0, (0.0, 0.051, 980.4)), (980.3, REFUSED_NOTIONAL, (0.0, 0.0, 0.0))):
        placed = fills.limit_order(
            flows.begin(FLAT, None), Order(0.0, 0.051, price), bar, Costs(0.0005, 0.0002, 1.0), settings, terms
        )
        assert (placed[0].flows.events, placed[1]) == (events, resting)


# Limit orders and what else happens in the bar


def test_a_new_position_may_be_stopped_on_the_way_on() -> None:
    # Bought 20 at 990 on the way down; stop at 891 on last: 890.109 -> 890.1: loss 1 998, fees 3.96 and 8.901.
    step = rest((1_000.0, 1_000.0, 885.0, 1_000.0), 1.0, stop_loss=0.1, stop_on_mark=False)
    assert step.account == pytest.approx((10_000.0 - 1_998.0 - 12.861, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == FILLED | STOPPED


def test_a_new_position_may_take_its_profit_after_the_turn() -> None:
    # A rising bar: bought at 990 on the way to 985, sold on the way up at 990 * 1.02 = 1 009.8: 1 008.7902 -> 1 008.7:
    # +374, fees 3.96 and 20 * 1 008.7 * 0.0005 = 10.087.
    step = rest((1_000.0, 1_015.0, 985.0, 1_012.0), 1.0, take_profit=0.02, stop_on_mark=False)
    assert step.account == pytest.approx((10_000.0 + 374.0 - 14.047, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == FILLED | TOOK_PROFIT
    # In a falling bar the high comes first, before the position is there.
    step = rest((1_000.0, 1_015.0, 985.0, 988.0), 1.0, take_profit=0.02, stop_on_mark=False)
    assert step.outcome["events"] == FILLED


def test_whichever_of_stop_and_limit_order_comes_first_on_the_path_closes_the_position() -> None:
    # Falling: 1 012 before 890, so the close at 1 010 fills. Rising: the stop at 900 -> 899.1; loss 1 009, fee 4.4955.
    wide: dict[str, Any] = {"stop_loss": 0.1, "stop_on_mark": False}
    step = rest((1_000.0, 1_012.0, 890.0, 999.0), 0.0, LONG_10, **wide)
    assert step.account.wallet_balance == pytest.approx(10_097.98)
    assert step.outcome["events"] == FILLED
    step = rest((1_000.0, 1_012.0, 890.0, 1_001.0), 0.0, LONG_10, **wide)
    assert step.account.wallet_balance == pytest.approx(8_986.5045)
    assert step.outcome["events"] == STOPPED


def test_the_opening_leg_of_a_flip_fills_after_the_stop_has_closed_the_position() -> None:
    # Stopped at 899.1 (8 986.5045 left), then 20 sold at 1 010: fee 4.04, margin 4 040.
    step = rest((1_000.0, 1_012.0, 890.0, 1_001.0), -1.0, LONG_10, stop_loss=0.1, stop_on_mark=False)
    assert step.account == pytest.approx((8_982.4645, -20.0, 1_010.0, 4_040.0), abs=1e-11)
    assert step.outcome["events"] == STOPPED | FILLED


def test_an_opening_leg_that_the_stopped_account_no_longer_carries_is_refused() -> None:
    # 4.8 times: 48 sold at 1 010 need 48 * 1 010 * 0.2002 = 9 705.7, and 8 986.5 are left.
    step = rest((1_000.0, 1_012.0, 890.0, 1_001.0), -1.0, LONG_10, stop_loss=0.1, stop_on_mark=False, max_exposure=4.8)
    assert step.account == pytest.approx((8_986.5045, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == STOPPED | REFUSED_MARGIN


def test_a_liquidation_cancels_the_resting_order() -> None:
    # Opened at 914 and reduced to 10.94 (test_replay); the close at 1 010 is gone when the bar reaches 1 020.
    step = rest((914.0, 1_020.0, 905.0, 1_015.0), 0.0, LONG_30)
    assert step.account == pytest.approx((8_143.0795, 10.94, 1_000.0, 1_143.0795), abs=1e-11)
    assert step.outcome["events"] == REDUCED_BY_LIQUIDATION | NOT_REACHED


def test_an_event_that_happens_twice_in_a_bar_has_happened() -> None:
    begun = flows.begin(FLAT, None)
    assert flows.with_event(flows.with_event(begun, STOPPED), STOPPED).flows.events == STOPPED
    assert flows.with_event(flows.with_event(begun, STOPPED), FILLED).flows.events == STOPPED | FILLED


def test_a_sell_is_passed_where_it_rests_on_however_long_a_way_up() -> None:
    # A rising bar falls to 400 and passes 1 010 on its way up. What is short from there takes its profit at 959.5 or
    # below, where the price does not come again; its stop of 1 060.5 lies above the high.
    bar = (1_000.0, 1_050.0, 400.0, 1_040.0)
    step = rest(bar, -1.0, take_profit=0.05, stop_loss=0.05, stop_on_mark=False)
    assert step.account.position_amount == -20.0
    assert step.account.entry_price == 1_010.0
    assert step.outcome["events"] == FILLED


def test_ties_on_the_path_go_to_liquidation_then_stop_then_the_limit_order() -> None:
    # Long 10 adds 10 at a limit of 900, where its stop is too: stopped at 899.1 (8 986.5045 left), then bought at 900:
    # fee 1.8, margin 1 800, stop 810.
    tied: dict[str, Any] = {"stop_on_mark": False, "limit_distance": 0.1}
    (step,) = play([STILL, (1_000.0, 1_000.0, 890.0, 1_000.0)], [1.0], LONG_10, stop_loss=0.1, **tied)
    assert step.account == pytest.approx((8_984.7045, 10.0, 900.0, 1_800.0), abs=1e-11)
    assert step.outcome["events"] == STOPPED | FILLED
    # The close at a limit of 1 050 meets the take-profit of 1 050, which sells at 1 048.9 as a taker.
    tied = {"stop_on_mark": False, "limit_distance": 0.05}
    (step,) = play([STILL, (1_000.0, 1_060.0, 1_000.0, 1_000.0)], [0.0], LONG_10, take_profit=0.05, **tied)
    assert step.account.wallet_balance == pytest.approx(10_483.7555)
    assert step.outcome["events"] == TOOK_PROFIT
    # With 1 090 of margin the liquidation price is 900, as the stop; and the added order rests there too.
    held = Account(10_000.0, 10.0, 1_000.0, 1_090.0)
    (step,) = play([STILL, (1_000.0, 1_000.0, 890.0, 1_000.0)], [1.0], held, stop_loss=0.1, limit_distance=0.1)
    assert step.outcome["events"] == LIQUIDATED | NOT_REACHED


def test_an_order_filled_on_the_way_may_save_a_position_from_liquidation() -> None:
    # Short 10 from 1 000 with 1 090: liquidated at (1 090 + 10 000) / 10.1 = 1 098.02. Bought back at 990 on the way
    # down of a rising bar: +100, fee 1.98; the high of 1 150 finds nothing.
    held = Account(10_000.0, -10.0, 1_000.0, 1_090.0)
    step = rest((1_000.0, 1_150.0, 985.0, 1_140.0), 0.0, held)
    assert step.account == pytest.approx((10_098.02, 0.0, 0.0, 0.0), abs=1e-11)
    assert step.outcome["events"] == FILLED


def test_funding_inside_the_bar_is_settled_on_what_the_limit_order_opened() -> None:
    # Filled inside the day; at 32:00 20 * 1 010 * 0.0001 = 2.02 are due, at the open (24:00) nothing is.
    due = [(24.0, 0.001, 1_000.0), (32.0, 0.0001, 1_010.0)]
    step = rest((1_000.0, 1_005.0, 985.0, 1_002.0), 1.0, due=due, hours=24)
    assert step.outcome["funding"] == -2.02
    assert step.account == pytest.approx((9_994.02, 20.0, 990.0, 3_957.98), abs=1e-11)


def test_funding_at_the_open_is_settled_before_the_limit_order_closes() -> None:
    step = rest((1_000.0, 1_012.0, 1_000.0, 1_001.0), 0.0, LONG_10, due=[(1.0, 0.0001, 1_003.0)])
    assert step.outcome["funding"] == -1.003
    assert step.account == pytest.approx((10_096.977, 0.0, 0.0, 0.0), abs=1e-11)


def test_in_cross_margin_the_wallet_carries_the_resting_order() -> None:
    step = rest((1_000.0, 1_005.0, 985.0, 1_002.0), 1.0, terms=terms_table(is_isolated=False))
    assert step.account == (9_996.04, 20.0, 990.0, 0.0)
