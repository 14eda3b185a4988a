"""One bar on the local exchange's books, worked by hand, and what holds for any bars.

The symbol X has ticks of 0.1, steps of 0.001, fees of 0.0005 (taker) and 0.0002 (maker), a liquidation fee of 0.01, a
minimum notional of 50 and the brackets SMALL. Unless said otherwise mark and last price are one, orders do not slip,
and an isolated account of 10 000 trades at 10 times.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.errors import ConfigError, DataError
from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.bar import NO_ORDER, BarResult, BookBar, Conduct, Event, Order, Settlement, play_bar
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.play import Play
from rl_trader.local_exchange.books.positions import FLAT, Position
from rl_trader.local_exchange.books.refusals import OrderError
from rl_trader.local_exchange.books.walk import walk_path
from tests.book_tables import BTC, FREE, SMALL, D, account, terms, told

X = terms("X", SMALL)
HOUR = 3_600_000
SMOOTH = Conduct(half_spread=D(0), sqrt_impact=D(0), linear_impact=D(0), slippage_scale=D(1))
ON_LAST = replace(SMOOTH, stop_on_mark=False)


def bar(prices: str, marks: str | None = None, volume: str = "1000", open_time: int = HOUR) -> BookBar:
    """Return a bar of "open low high close" of the last price and of the mark price."""
    last = [D(price) for price in prices.split()]
    mark = [D(price) for price in (marks or prices).split()]
    names = ("open", "low", "high", "close")
    values = dict(zip(names, last, strict=True)) | {f"mark_{k}": v for k, v in zip(names, mark, strict=True)}
    return BookBar(open_time=open_time, volume=D(volume), **values)


def books(amount: str = "0", entry: str = "1000", mode: str = "isolated", wallet: str = "10000") -> Account:
    """Return an account that opened a position at 10 times without a fee."""
    result = account(wallet, X, mode, 10)
    if D(amount):
        result.fill("X", D(amount), D(entry), FREE)
    return result


def play(
    held: Account,
    played: BookBar,
    order: Order = NO_ORDER,
    conduct: Conduct = SMOOTH,
    settlements: Sequence[Settlement] = (),
) -> BarResult:
    return play_bar(held, "X", played, order, settlements, conduct)


def amounts_of(result: BarResult) -> list[Decimal]:
    return [line.amount for line in result.lines]


# The order at the open


def test_a_market_order_fills_at_the_open_with_half_the_spread_and_its_share_of_the_volume() -> None:
    # 10 of 1 000 are a hundredth, its root a tenth: 2 * (0.0003 + 0.001 * 0.1 + 0.02 * 0.01) = 0.0012. Bought at
    # 1 000.3 * 1.0012 = 1 001.50036, so 1 001.6; sold at 1 000.3 * 0.9988 = 999.09964, so 999.0.
    conduct = Conduct(
        half_spread=D("0.0003"), sqrt_impact=D("0.001"), linear_impact=D("0.02"), slippage_scale=D(2), stop_on_mark=True
    )
    for amount, price in [("10", "1001.6"), ("-10", "999.0")]:
        held = books()
        result = play(held, bar("1000.3 990 1010 1000.3"), Order(open_amount=D(amount)), conduct)
        assert held.positions["X"] == Position(D(amount), D(price), D(price))  # a tenth of 10 times the price
        assert amounts_of(result) == [-10 * D(price) * D("0.0005")]
        assert result.events == {Event.OPENED}


def test_slippage_may_have_one_kind_of_impact_alone() -> None:
    # 10 of 1 000: 0.001 * 0.1 of the price, and 0.02 * 0.01 of it.
    for impact, price in [({"sqrt_impact": D("0.001")}, "1000.1"), ({"linear_impact": D("0.02")}, "1000.2")]:
        held = books()
        play(held, bar("1000 990 1010 1000"), Order(open_amount=D(10)), replace(SMOOTH, **impact))  # type: ignore[arg-type]
        assert held.positions["X"].entry_price == D(price)


def test_a_price_that_is_on_the_tick_stays_there_and_a_sale_brings_at_least_a_tick() -> None:
    wide = replace(X, multiplier_down=D("0.0001"), market_take_bound=D("0.9999"), min_notional=D("0.01"))
    for spread, price in [("0", "0.5"), ("0.3", "0.3"), ("0.99", "0.1")]:  # 0.35 is 0.3; 0.005 is not even a tick
        held = account("1000", wide, "cross", 10)
        play(held, bar("0.5 0.5 0.5 0.5"), Order(open_amount=D(-1)), replace(SMOOTH, half_spread=D(spread)))
        assert held.positions["X"].entry_price == D(price)


def test_a_flip_closes_first_and_then_opens_with_a_fee_on_each_leg() -> None:
    # Close 2 at 990: -20 and 1 980 * 0.0005 = 0.99; open -3: 2 970 * 0.0005 = 1.485.
    held = books("2")
    order = Order(reduce_amount=D(-2), open_amount=D(-3))
    result = play(held, bar("990 985 995 992"), order)
    assert told(result.lines) == [
        (IncomeKind.REALIZED_PNL, "X", D(-20), D(9980)),
        (IncomeKind.COMMISSION, "X", D("-0.99"), D("9979.01")),
        (IncomeKind.COMMISSION, "X", D("-1.485"), D("9977.525")),
    ]
    assert held.positions["X"] == Position(D(-3), D(990), D(297))
    assert result.events == {Event.REDUCED, Event.OPENED}


def test_without_trades_every_order_is_refused() -> None:
    for order in (Order(reduce_amount=D(-1)), Order(open_amount=D(1)), Order(open_amount=D(1), limit_price=D(900))):
        held = books("2")
        result = play(held, bar("1000 1000 1000 1000", volume="0"), order)
        assert result.events == {Event.NO_TRADES}
        assert result.lines == ()
    assert play(books("2"), bar("1000 1000 1000 1000", volume="0")).events == set()


@pytest.mark.parametrize(
    ("amount", "prices", "marks", "event"),
    [
        ("0.049", "1000 1000 1000 1000", None, Event.BELOW_MIN_NOTIONAL),  # 49
        ("0.05", "1000 1000 1000 1000", None, Event.OPENED),  # 50
        ("0.05", "1000 1000 1000 1000", "999 999 999 999", Event.BELOW_MIN_NOTIONAL),  # 49.95 at the mark price
        ("1", "1030 1030 1030 1030", "1000 1000 1000 1000", Event.OPENED),  # 3 % above
        ("1", "1030.1 1030.1 1030.1 1030.1", "1000 1000 1000 1000", Event.MARKET_PRICE_BAND),
        ("-1", "970 970 970 970", "1000 1000 1000 1000", Event.OPENED),
        ("-1", "969.9 969.9 969.9 969.9", "1000 1000 1000 1000", Event.MARKET_PRICE_BAND),
        ("50", "1000 1000 1000 1000", None, Event.OPENED),  # 50 000 is the limit at 10 times
        ("50.001", "1000 1000 1000 1000", None, Event.ABOVE_MAX_NOTIONAL),
    ],
)
def test_an_opening_is_refused_for_its_price_or_its_size(
    amount: str, prices: str, marks: str | None, event: Event
) -> None:
    held = books()
    result = play(held, bar(prices, marks), Order(open_amount=D(amount)))
    assert result.events == {event}
    assert (event is Event.OPENED) == bool(held.positions["X"].amount)


def test_an_opening_is_refused_that_costs_more_than_is_available() -> None:
    # 8 bought at 1 010 with the mark price at 1 000: margin 808, loss 80, fee 4.04.
    for wallet, event in [("892.04", Event.OPENED), ("892.03999999", Event.MARGIN_INSUFFICIENT)]:
        result = play(books(wallet=wallet), bar("1010 1010 1010 1010", "1000 1000 1000 1000"), Order(open_amount=D(8)))
        assert result.events == {event}


def test_the_size_of_an_order_at_binance_is_its_notional_at_the_mark_price_and_reducing_is_exempt() -> None:
    # MIN_NOTIONAL 50 of BTCUSDT: 0.001 at 60 000 are 60, at 49 999.9 not quite 50; the same reduces all the same.
    for price, event in [("60000", Event.OPENED), ("49999.9", Event.BELOW_MIN_NOTIONAL)]:
        held = account("10000", BTC, "isolated", 10)
        flat_bar = bar(" ".join([price] * 4))
        assert play_bar(held, "BTCUSDT", flat_bar, Order(open_amount=D("0.001")), (), SMOOTH).events == {event}
        held.restore("BTCUSDT", Position(D("0.002"), D(price), D(10)))
        reduced = play_bar(held, "BTCUSDT", flat_bar, Order(reduce_amount=D("-0.001")), (), SMOOTH)
        assert reduced.events == {Event.REDUCED}


def test_when_the_reducing_leg_lies_outside_the_price_band_the_whole_order_is_over() -> None:
    held = books("2")
    order = Order(reduce_amount=D(-2), open_amount=D(-3))
    result = play(held, bar("969.9 969.9 969.9 969.9", "1000 1000 1000 1000"), order)
    assert result.events == {Event.MARKET_PRICE_BAND}
    assert result.lines == ()


def test_when_the_opening_leg_is_refused_the_reducing_leg_stands() -> None:
    # Sold 2 at 1 000 and wants -51: 51 000 are above the limit of 50 000.
    held = books("2")
    result = play(held, bar("1000 1000 1000 1000"), Order(reduce_amount=D(-2), open_amount=D(-51)))
    assert result.events == {Event.REDUCED, Event.ABOVE_MAX_NOTIONAL}
    assert held.positions["X"] == FLAT


def test_a_wallet_that_a_close_takes_below_zero_is_raised_to_zero_by_the_insurance_fund() -> None:
    # 2 from 1 000 with a wallet of 200 in cross. The mark price of 905 leaves 10 of margin; the last price of 890
    # takes 220 and 1 780 * 0.0005 = 0.89: 20.89 below zero.
    held = books("2", mode="cross", wallet="200")
    result = play(held, bar("890 890 890 890", "905 905 905 905"), Order(reduce_amount=D(-2)))
    assert amounts_of(result) == [D(-220), D("-0.89"), D("20.89")]
    assert result.lines[-1].kind is IncomeKind.INSURANCE
    assert held.wallet_balance == 0


def test_an_order_at_an_open_beyond_the_bankruptcy_price_saves_nothing() -> None:
    # 2 from 1 000 with 200 behind them are bankrupt below 900. At 899.9 the margin is -0.2: all 200 are lost, and the
    # insurance fund bears 0.2. At 900 the order is carried out: -200, and 1 800 * 0.0005 = 0.9 of fee.
    for price, events, amounts in [
        ("899.9", {Event.LIQUIDATED, Event.ORDER_VOID}, ["-200.2", "0", "0.2"]),
        ("900", {Event.REDUCED}, ["-200", "-0.9"]),
    ]:
        result = play(books("2"), bar(" ".join([price] * 4)), Order(reduce_amount=D(-2)))
        assert result.events == events
        assert amounts_of(result) == [D(amount) for amount in amounts]


# Funding


def test_funding_at_the_open_is_on_the_position_before_the_order_and_later_funding_on_what_is_held_then() -> None:
    # Long 2, then short 3. At the open 2 * 1 001 * 0.0001 = 0.2002 are paid; later 3 * 998 * 0.0002 = 0.5988 and
    # 3 * 997 * -0.0001 = -0.2991 are received.
    settlements = [
        Settlement(time_ms=HOUR, rate=D("0.0001"), mark_price=D(1001)),
        Settlement(time_ms=2 * HOUR, rate=D("0.0002"), mark_price=D(998)),
        Settlement(time_ms=3 * HOUR, rate=D("-0.0001"), mark_price=D(997)),
    ]
    order = Order(reduce_amount=D(-2), open_amount=D(-3))
    held = books("2")
    result = play(held, bar("1000 990 1010 1000"), order, settlements=settlements)
    assert [line.kind.value for line in result.lines] == [
        "FUNDING_FEE",
        "REALIZED_PNL",
        "COMMISSION",
        "COMMISSION",
        "FUNDING_FEE",
        "FUNDING_FEE",
    ]
    assert amounts_of(result) == [D("-0.2002"), D(0), D(-1), D("-1.5"), D("0.5988"), D("-0.2991")]
    assert held.positions["X"].isolated_wallet == D("300.2997")


def test_funding_at_the_open_comes_before_the_look_at_the_bankruptcy() -> None:
    # 2 from 1 000 with 200 behind them have 0.2 left at 900.1; funding of 2 * 900.1 * 0.001 = 1.8002 takes more.
    settlement = Settlement(time_ms=HOUR, rate=D("0.001"), mark_price=D("900.1"))
    result = play(books("2"), bar("900.1 900.1 1000 1000"), settlements=[settlement])
    assert result.events == {Event.LIQUIDATED}
    # -199.8 of the 198.1998 left: the insurance fund pays 1.6002.
    assert amounts_of(result) == [D("-1.8002"), D("-199.8"), D(0), D("1.6002")]


# The path

STOPS = replace(ON_LAST, stop_loss=D("0.05"), take_profit=D("0.05"))
STOPS_ON_MARK = replace(STOPS, stop_on_mark=True)
FAR_STOP = replace(ON_LAST, stop_loss=D("0.1"))
STOPPED, TOOK_PROFIT, LIQUIDATED = {Event.STOP_LOSS}, {Event.TAKE_PROFIT}, {Event.LIQUIDATED}


@pytest.mark.parametrize(
    ("amount", "conduct", "prices", "marks", "events", "wallet"),
    [
        # A long of 2 from 1 000 stops at 950 and takes profit at 1 050.
        ("2", STOPS, "1000 950.1 1049.9 1010", None, set(), "10000"),
        # -100 and 1 900 * 0.0005 = 0.95.
        ("2", STOPS, "1000 950 1040 1010", None, STOPPED, "9899.05"),
        ("2", STOPS, "1000 940 1040 1010", None, STOPPED, "9899.05"),
        # A gap over the stop sells at the open: -110 and 0.945.
        ("2", STOPS, "945 944 1040 1010", None, STOPPED, "9889.055"),
        # 100 and 2 100 * 0.0005 = 1.05.
        ("2", STOPS, "1000 960 1060 1010", None, TOOK_PROFIT, "10098.95"),
        # A gap over the take-profit: 140 and 1.07.
        ("2", STOPS, "1070 1060 1080 1070", None, TOOK_PROFIT, "10138.93"),
        # Both lie in the bar: a bar that does not fall goes to its low first, a falling one to its high.
        ("2", STOPS, "1000 940 1060 1000", None, STOPPED, "9899.05"),
        ("2", STOPS, "1000 940 1060 999.9", None, TOOK_PROFIT, "10098.95"),
        # A short of 2: mirrored. 100 lost and 2 100 * 0.0005; 100 won and 0.95.
        ("-2", STOPS, "1000 960 1060 1010", None, STOPPED, "9898.95"),
        ("-2", STOPS, "1000 940 1040 1010", None, TOOK_PROFIT, "10099.05"),
        ("-2", STOPS, "1055 1000 1060 1010", None, STOPPED, "9888.945"),  # -110 and 1.055
        # On the mark price: it falls by 60 to 940 while the last price falls by 30, so that at 950 that is at 975.
        ("2", STOPS_ON_MARK, "1000 970 1040 1010", "1000 940 1040 1010", STOPPED, "9949.025"),
        ("2", STOPS_ON_MARK, "1000 900 1100 1010", "1000 951 1049 1010", set(), "10000"),
        # Liquidated at (200 - 2 000) / (0.02 - 2) = 909.0909...: all of the 200 are loss and fee.
        ("2", SMOOTH, "1000 909.1 1000 1000", None, set(), "10000"),
        ("2", SMOOTH, "1000 909 1000 1000", None, LIQUIDATED, "9800"),
        ("2", SMOOTH, "1000 800 1000 1000", "1000 910 1000 1000", set(), "10000"),
        # At an open of 905 at once: -190, and all of the 10 left, as 1 810 * 0.01 is more.
        ("2", SMOOTH, "905 905 1000 1000", None, LIQUIDATED, "9800"),
        # The stop at 900 is further away; one at 950 is nearer.
        ("2", FAR_STOP, "1000 890 1000 1000", None, LIQUIDATED, "9800"),
        ("2", STOPS, "1000 890 1000 1000", None, STOPPED, "9899.05"),
        # At an open beyond both the liquidation comes first.
        ("2", STOPS, "905 905 1000 1000", None, LIQUIDATED, "9800"),
        # Bought back at (200 + 2 000) / (0.02 + 2) = 1 089.1089...
        ("-2", SMOOTH, "1000 1000 1089.1 1000", None, set(), "10000"),
        ("-2", SMOOTH, "1000 1000 1089.2 1000", None, LIQUIDATED, "9800"),
    ],
)
def test_what_a_position_meets_on_its_way(
    amount: str, conduct: Conduct, prices: str, marks: str | None, events: set[Event], wallet: str
) -> None:
    held = books(amount)
    result = play(held, bar(prices, marks), conduct=conduct)
    assert result.events == events
    assert held.wallet_balance == D(wallet)
    assert held.positions["X"] == (FLAT if events else books(amount).positions["X"])


def test_without_trades_no_stop_triggers_and_a_liquidation_does() -> None:
    assert play(books("2"), bar("940 940 940 940", volume="0"), conduct=STOPS).events == set()
    assert play(books("2"), bar("905 905 905 905", volume="0"), conduct=STOPS).events == {Event.LIQUIDATED}


def test_a_position_beyond_its_liquidation_price_is_liquidated_at_the_mark_price_of_the_moment() -> None:
    # At an open of 905: 2 * 95 = 190 of the 200, and the 10 left. On the way: 2 * (1 000 - 909.0909...).
    assert amounts_of(play(books("2"), bar("905 900 1000 1000"))) == [D(-190), D(-10)]
    assert amounts_of(play(books("2"), bar("1000 900 1000 1000"))) == [D("-181.81818182"), D("-18.18181818")]


def test_stop_levels_are_ticks_above_for_a_long_and_below_for_a_short() -> None:
    # 1 000.3 * 0.98 = 980.294: 980.3. 1 000.3 * 1.02 = 1 020.306: 1 020.4 for a long's profit, 1 020.3 for a short's
    # stop; a short's profit at 980.2.
    conduct = replace(ON_LAST, stop_loss=D("0.02"), take_profit=D("0.02"))
    for amount, prices, events, price in [
        ("1", "1000.3 980.4 1020.3 1000.3", set(), None),
        ("1", "1000.3 980.3 1020.3 1000.3", {Event.STOP_LOSS}, "980.3"),
        ("1", "1000.3 980.4 1020.4 1000.3", {Event.TAKE_PROFIT}, "1020.4"),
        ("-1", "1000.3 980.3 1020.2 1000.3", set(), None),
        ("-1", "1000.3 980.3 1020.3 1000.3", {Event.STOP_LOSS}, "1020.3"),
        ("-1", "1000.3 980.2 1020.2 1000.3", {Event.TAKE_PROFIT}, "980.2"),
    ]:
        result = play(books(amount, "1000.3"), bar(prices), conduct=conduct)
        assert result.events == events
        if price:
            assert result.lines[0].amount == D(amount) * (D(price) - D("1000.3"))


def test_a_stop_slips_as_any_market_order_and_has_no_price_band() -> None:
    # 950 * (1 - 0.05) = 902.5, 5 % below a mark price of 950, where an order would be refused.
    result = play(books("2"), bar("1000 940 1000 1000"), conduct=replace(STOPS, half_spread=D("0.05")))
    assert result.lines[0].amount == 2 * (D("902.5") - 1000)


def test_a_level_that_thirds_make_is_on_its_tick() -> None:
    # Stop at (1 * 1 000 + 2 * 1 001) / 3 * 0.9 = 900.6; a short's profit at (1 * 1 001 + 2 * 1 000) / 3 * 0.9 = 900.3.
    # A tick nearer the price meets nothing.
    for amount, first, second, conduct, level, event in [
        ("1", "1000", "1001", replace(ON_LAST, stop_loss=D("0.1")), "900.6", Event.STOP_LOSS),
        ("-1", "1001", "1000", replace(ON_LAST, take_profit=D("0.1")), "900.3", Event.TAKE_PROFIT),
    ]:
        held = books(amount, first)
        held.fill("X", 2 * D(amount), D(second), FREE)
        held.move_margin("X", D(1000), {"X": D(1000)})
        assert play(held.copy(), bar(f"1000 {D(level) + D('0.1')} 1000 1000"), conduct=conduct).events == set()
        assert play(held, bar(f"1000 {level} 1000 1000"), conduct=conduct).events == {event}


def test_a_position_liquidated_in_part_walks_on_with_its_new_liquidation_price() -> None:
    # 40 from 1 000 at 20 times, margin 2 000: liquidated at (2 000 + 100 - 40 000) / (40 * 0.02 - 40), about 966.83673.
    # Kept: 10 000 / 966.83673 = 10.343 with about 730 behind them, enough down to 938.8, but not to 900.
    for low, event in [("940", Event.REDUCED_BY_LIQUIDATION), ("900", Event.LIQUIDATED)]:
        held = account("5000", X, "isolated", 20)
        held.fill("X", D(40), D(1000), FREE)
        result = play(held, bar(f"1000 {low} 1000 1000"))
        assert event in result.events
        assert held.positions["X"].amount == (D("10.343") if low == "940" else 0)
        kinds = [line.kind for line in result.lines]
        assert kinds == [IncomeKind.REALIZED_PNL, IncomeKind.LIQUIDATION_FEE] * (1 if low == "940" else 2)


# Resting orders


def limit(price: str, *, reduce: str = "0", opening: str = "0") -> Order:
    return Order(reduce_amount=D(reduce), open_amount=D(opening), limit_price=D(price))


@pytest.mark.parametrize(
    ("amount", "price", "prices", "is_filled"),
    [
        ("2", "990", "1000 990 1010 1000", False),  # touched
        ("2", "990", "1000 989.9 1010 1000", True),  # traded through
        ("-2", "1010", "1000 990 1010 1000", False),
        ("-2", "1010", "1000 990 1010.1 1000", True),
        ("2", "995", "1000 990 1010 990", True),  # on the way to the close
    ],
)
def test_a_resting_order_fills_at_its_price_when_trades_go_through_it(
    amount: str, price: str, prices: str, is_filled: bool
) -> None:
    held = books()
    result = play(held, bar(prices), limit(price, opening=amount))
    fee = abs(D(amount)) * D(price) * D("0.0002")
    assert result.events == ({Event.RESTED, Event.OPENED} if is_filled else {Event.RESTED})
    assert amounts_of(result) == ([-fee] if is_filled else [])
    assert held.positions["X"].entry_price == (D(price) if is_filled else 0)


@pytest.mark.parametrize(
    ("order", "prices", "events"),
    [
        (limit("1050.1", opening="1"), "1000 990 1010 1000", {Event.LIMIT_TOO_HIGH}),
        (limit("949.9", opening="-1"), "1000 990 1010 1000", {Event.LIMIT_TOO_LOW}),
        (limit("949.9", opening="1"), "1000 960 1010 1000", {Event.RESTED}),
        (limit("1050", opening="1"), "1000 990 1010 1000", {Event.WOULD_CROSS}),
        (limit("1000", opening="1"), "1000 990 1010 1000", {Event.WOULD_CROSS}),
        (limit("999.9", opening="1"), "1000 999.9 1010 1000", {Event.RESTED}),
        (limit("1000", opening="-1"), "1000 990 1010 1000", {Event.WOULD_CROSS}),
        (limit("1000.1", opening="-1"), "1000 990 1000 1000", {Event.RESTED}),
        (limit("999.9", opening="0.05"), "1000 990 1010 1000", {Event.BELOW_MIN_NOTIONAL}),  # 49.995 at its own price
        (limit("1000.1", opening="-0.05"), "1000 1000 1000 1000", {Event.RESTED}),
        (limit("990", opening="50.001"), "1000 995 1010 1000", {Event.ABOVE_MAX_NOTIONAL}),  # 50 001 at the mark price
        (limit("990", opening="50"), "1000 995 1010 1000", {Event.RESTED}),
    ],
)
def test_a_limit_order_is_refused_at_the_open_or_rests(order: Order, prices: str, events: set[Event]) -> None:
    held = books()
    result = play(held, bar(prices), order)
    assert result.events == events
    assert result.lines == ()


def test_a_limit_order_crosses_where_a_market_order_of_its_whole_amount_would_fill() -> None:
    # 1 % of spread: a market order buys at 1 010, so that 1 009.9 still rests.
    conduct = replace(SMOOTH, half_spread=D("0.01"))
    for price, event in [("1009.9", Event.RESTED), ("1010", Event.WOULD_CROSS)]:
        result = play(books(), bar("1000 1000 1000 1000"), limit(price, opening="1"), conduct)
        assert event in result.events


def test_a_limit_order_needs_the_money_at_the_open_and_again_when_it_fills() -> None:
    # 9 at 990: margin 891 and fee 8 910 * 0.0002 = 1.782; with the mark price at 990 or above there is no loss.
    quiet, falling = "1000 989 1010 1000", "1000 980 1010 1000"
    for wallet, marks, events in [
        ("892.782", quiet, {Event.RESTED, Event.OPENED}),
        ("892.78199999", quiet, {Event.MARGIN_INSUFFICIENT}),
        # The mark price falls by 80 while the last falls by 20: at 990 it is at 960, a loss of 9 * 30 = 270 beside.
        ("1162.78199999", "1000 920 1010 1000", {Event.RESTED, Event.MARGIN_INSUFFICIENT}),
        ("1162.782", "1000 920 1010 1000", {Event.RESTED, Event.OPENED}),
    ]:
        prices = quiet if marks == quiet else falling
        result = play(books(wallet=wallet), bar(prices, marks), limit("990", opening="9"))
        assert result.events == events, wallet


def test_a_resting_flip_is_measured_on_what_its_reducing_leg_leaves() -> None:
    # Short 5 from 1 000 with 500 set aside of 600. Bought back at 990: +50, fee 0.99, so 649.01 are free. 6 cost 594
    # and 1.188; 6.6 would cost 653.4: then only the reducing leg rests.
    for opening, events in [
        ("6", {Event.RESTED, Event.REDUCED, Event.OPENED}),
        ("6.6", {Event.MARGIN_INSUFFICIENT, Event.RESTED, Event.REDUCED}),
    ]:
        held = books("-5", wallet="600")
        result = play(held, bar("1000 989 1000 1000"), limit("990", reduce="5", opening=opening))
        assert result.events == events
        assert held.wallet_balance == D("649.01") - (D("1.188") if opening == "6" else 0)


def test_a_resting_order_reduces_only_what_is_still_held_and_opens_all_the_same() -> None:
    # The stop at 950 sells the 2 on the way down; on the way up to 1 045 nothing is left to reduce, and 1 is sold.
    held = books("2")
    result = play(held, bar("1000 949 1045 1000"), limit("1040", reduce="-2", opening="-1"), STOPS)
    assert result.events == {Event.RESTED, Event.STOP_LOSS, Event.OPENED}
    assert held.positions["X"] == Position(D(-1), D(1040), D(104))
    # A reducing order alone is gone with its position.
    result = play(books("2"), bar("1000 949 1045 1000"), limit("1040", reduce="-2"), STOPS)
    assert result.events == {Event.RESTED, Event.STOP_LOSS}


def test_the_reducing_leg_of_a_resting_order_is_cut_to_the_position() -> None:
    # 5 rest against 2, as when something else has reduced the position since.
    held = books("2")
    walked = Play(held, "X", bar("1000 990 1045 1000"), SMOOTH, {})
    walked.resting = limit("1040", reduce="-5")
    walk_path(walked)
    assert held.positions["X"] == FLAT
    assert [line.amount for line in walked.lines] == [D(80), D("-0.416")]


def test_what_a_resting_order_opened_can_be_stopped_in_the_same_bar() -> None:
    # Bought 1 at 990, stop at 990 * 0.95 = 940.5: sold there, -49.5.
    result = play(books(), bar("1000 930 1010 1000"), limit("990", opening="1"), STOPS)
    assert result.events == {Event.RESTED, Event.OPENED, Event.STOP_LOSS}
    assert amounts_of(result) == [D("-0.198"), D("-49.5"), D("-0.47025")]


def test_a_protective_order_follows_the_entry_price_that_an_addition_moved() -> None:
    # Long 1 from 1 000, one more at 980: entry 990, stop at 940.5 instead of 950.
    order = limit("980", opening="1")
    assert play(books("1"), bar("1000 945 1010 1000"), order, STOPS).events == {Event.RESTED, Event.OPENED}
    assert play(books("1"), bar("1000 940 1010 1000"), order, STOPS).events >= {Event.STOP_LOSS}


def test_a_liquidation_cancels_the_resting_order() -> None:
    # Long 40 at 20 times is liquidated in part at about 966.8, before the purchase at 960.
    held = account("50000", X, "isolated", 20)
    held.fill("X", D(40), D(1000), FREE)
    result = play(held, bar("1000 950 1000 1000"), limit("960", opening="1"))
    assert result.events == {Event.RESTED, Event.REDUCED_BY_LIQUIDATION}


def test_at_the_same_point_a_stop_comes_before_a_resting_order_and_a_liquidation_before_both() -> None:
    # The purchase at 950 and the stop at 950: the 2 are sold, then 1 is bought.
    held = books("2")
    result = play(held, bar("1000 949 1000 990"), limit("950", opening="1"), STOPS)
    assert result.lines[0].kind is IncomeKind.REALIZED_PNL
    assert held.positions["X"] == Position(D(1), D(950), D(95))
    # 10 from 1 000 with 199 behind them are liquidated at (199 - 10 000) / (0.1 - 10) = 990, where a stop of 1 % and
    # the purchase lie too.
    held = account("1000", X, "isolated", 20)
    held.restore("X", Position(D(10), D(1000), D(199)))
    result = play(held, bar("1000 989 1010 1000"), limit("990", opening="1"), replace(ON_LAST, stop_loss=D("0.01")))
    assert result.events == {Event.RESTED, Event.LIQUIDATED}


# Several symbols


def test_other_cross_positions_lend_to_a_bar_and_take_from_it() -> None:
    # 10 from 1 000 over 1 000 of wallet are liquidated at 9 000 / 9.9 = 909.09. A profit of 500 in Y, less 15 of
    # maintenance margin, moves that to 8 515 / 9.9 = 860.1.
    for mark, low, events in [("1500", "860.2", set()), ("1500", "860.1", LIQUIDATED), ("1000", "909", LIQUIDATED)]:
        held = books("10", mode="cross", wallet="1000")
        held.set_symbol(terms("Y", SMALL), "cross", 10)
        held.fill("Y", D(1), D(1000), FREE)
        marks = {"Y": D(mark)}
        assert play_bar(held, "X", bar(f"1000 {low} 1000 1000"), NO_ORDER, (), SMOOTH, marks).events == events
        with pytest.raises(DataError, match="mark price of Y is needed"):
            play_bar(held, "X", bar("1000 990 1000 1000"), NO_ORDER, (), SMOOTH)


# Laws

ticks = st.integers(8_000, 12_000)
steps = st.integers(-12_000, 12_000).map(lambda number: D(number) / 1000)


@st.composite
def bars(draw: st.DrawFn) -> BookBar:
    """Draw a bar between 800 and 1 200 with mark prices up to 2 % off."""
    last = sorted(draw(st.lists(ticks, min_size=4, max_size=4)))
    premium = D(draw(st.integers(980, 1020))) / 1000
    inner = draw(st.permutations(last[1:3]))
    prices = [D(tick) / 10 for tick in (inner[0], last[0], last[3], inner[1])]
    marks = [price * premium for price in prices]
    text, mark_text = (" ".join(map(str, four)) for four in (prices, marks))
    return bar(text, mark_text, volume=str(draw(st.sampled_from([0, 500, 500, 500]))))


@st.composite
def wishes(draw: st.DrawFn) -> tuple[Decimal, Decimal | None, Decimal]:
    """Draw a target position, a limit price's distance from the open, and a funding rate."""
    offset = draw(st.none() | st.integers(-60, 60).map(lambda tenths: D(tenths) / 1000))
    return draw(steps), offset, D(draw(st.integers(-300, 300))) / 100_000


conducts = st.builds(
    Conduct,
    half_spread=st.sampled_from([D(0), D("0.0003")]),
    sqrt_impact=st.sampled_from([D(0), D("0.001")]),
    linear_impact=st.sampled_from([D(0), D("0.02")]),
    slippage_scale=st.sampled_from([D(0), D("1.5")]),
    stop_loss=st.sampled_from([None, D("0.03"), D("0.2")]),
    take_profit=st.sampled_from([None, D("0.04")]),
    stop_on_mark=st.booleans(),
)


def order_to(target: Decimal, held: Decimal, limit_price: Decimal | None) -> Order:
    """Return the order that brings a position to a target."""
    if held * target < 0:
        return Order(reduce_amount=-held, open_amount=target, limit_price=limit_price)
    if abs(target) < abs(held):
        return Order(reduce_amount=target - held, limit_price=limit_price)
    return Order(open_amount=target - held, limit_price=limit_price)


@given(st.lists(st.tuples(bars(), wishes()), min_size=1, max_size=6), conducts, st.sampled_from(["isolated", "cross"]))
def test_the_books_stay_sound_over_any_bars(
    sequence: list[tuple[BookBar, tuple[Decimal, Decimal | None, Decimal]]], conduct: Conduct, mode: str
) -> None:
    held = books(mode=mode, wallet="1500")
    for played, (target, offset, rate) in sequence:
        before = held.copy()
        limit_price = None if offset is None else (played.open * (1 + offset)).quantize(D("0.1"))
        order = order_to(target, held.positions["X"].amount, limit_price)
        settlements = [
            Settlement(time_ms=time_ms, rate=rate, mark_price=played.mark_open) for time_ms in (HOUR, 2 * HOUR)
        ]
        result = play(held, played, order, conduct, settlements)
        wallet = before.wallet_balance
        for line in result.lines:
            wallet += line.amount
            assert line.wallet_balance == wallet
            assert line.kind is not IncomeKind.INSURANCE or line.amount > 0
            assert line.kind is not IncomeKind.LIQUIDATION_FEE or line.amount <= 0
        assert held.wallet_balance == wallet
        position = held.positions["X"]
        assert position.is_sound
        assert position.isolated_wallet == 0 or mode == "isolated"
        if result.lines == ():
            assert position == before.positions["X"]


@given(bars(), steps.filter(bool), conducts, st.sampled_from(["isolated", "cross"]))
def test_a_look_at_the_extremes_of_a_bar_misses_nothing_on_its_path(
    played: BookBar, amount: Decimal, conduct: Conduct, mode: str
) -> None:
    # An order far away has the path walked in full and never fills.
    quick = books(str(amount), mode=mode, wallet="3000")
    thorough = quick.copy()
    far_away = limit("5000", opening="-0.1") if amount < 0 else limit("200", opening="0.3")
    result = play(quick, played, conduct=conduct)
    walked = play(thorough, played, far_away if played.volume else NO_ORDER, conduct)
    assert walked.lines == result.lines
    assert thorough.positions == quick.positions


def mirrored(played: BookBar, about: Decimal) -> BookBar:
    """Return the bar that goes up by what this one goes down from a price."""
    return BookBar(
        open_time=played.open_time,
        volume=played.volume,
        open=2 * about - played.open,
        low=2 * about - played.high,
        high=2 * about - played.low,
        close=2 * about - played.close,
        mark_open=2 * about - played.mark_open,
        mark_low=2 * about - played.mark_high,
        mark_high=2 * about - played.mark_low,
        mark_close=2 * about - played.mark_close,
    )


@given(bars().filter(lambda played: played.open != played.close), steps.filter(bool), st.booleans(), st.booleans())
def test_a_short_in_a_mirrored_bar_is_a_long(played: BookBar, amount: Decimal, stop_on_mark: bool, rests: bool) -> None:
    # What grows with the price is left out: fees, bands, the nearness of liquidation, and stops of another entry price.
    free = replace(X, taker_fee=D(0), maker_fee=D(0), min_notional=D("0.001"), multiplier_up=D(9))
    free = replace(free, multiplier_down=D("0.001"))
    stop = None if rests else D("0.05")
    conduct = replace(SMOOTH, stop_loss=stop, take_profit=stop, stop_on_mark=stop_on_mark)
    results = []
    for side, its_bar in [(1, played), (-1, mirrored(played, D(1000)))]:
        held = account("1000000", free, "cross", 1)
        held.restore("X", Position(side * amount, D(1000), D(0)))
        price = D(1000 + side * (9 if amount < 0 else -9))
        order = Order(open_amount=side * amount, limit_price=price) if rests else NO_ORDER
        result = play(held, its_bar, order, conduct)
        position = held.positions["X"]
        distance = side * (position.entry_price - 1000) if position.amount else D(0)
        results.append((amounts_of(result), result.events, side * position.amount, distance))
    assert results[0] == results[1]


# At the door


def test_a_bar_with_impossible_prices_is_refused() -> None:
    for prices in (
        "1000 1001 1010 1005",
        "1000 990 999 995",
        "1000 0 1010 1005",
        "1000 990 Infinity 1005",
        "NaN 1 2 1",
    ):
        with pytest.raises(DataError, match="must have last prices above 0"):
            bar(prices)
        with pytest.raises(DataError, match="must have mark prices above 0"):
            bar("1000 990 1010 1005", prices)
    for volume in ("-1", "NaN"):
        with pytest.raises(DataError, match="must have a volume from 0"):
            bar("1000 990 1010 1005", volume=volume)


def test_an_order_that_cannot_be_meant_is_refused_and_changes_nothing() -> None:
    for legs in ({"open_amount": D("NaN")}, {"reduce_amount": D(1), "open_amount": D(-1)}, {"limit_price": D(0)}):
        with pytest.raises(OrderError, match="an order's"):
            Order(**legs)
    held = books("2")
    for order in (
        Order(reduce_amount=D("-2.001")),
        Order(reduce_amount=D(1)),
        Order(open_amount=D(-1)),
        Order(reduce_amount=D(-1), open_amount=D(-1)),
    ):
        with pytest.raises(OrderError, match="of X must"):
            play(held, bar("1000 990 1010 1005"), order)
    assert held.positions == books("2").positions
    with pytest.raises(OrderError, match="must be against the position of 0"):
        play(books(), bar("1000 990 1010 1005"), Order(reduce_amount=D(1)))


def test_settlements_out_of_order_or_before_the_bar_are_refused() -> None:
    def settlement(time_ms: int) -> Settlement:
        return Settlement(time_ms=time_ms, rate=D("0.0001"), mark_price=D(1000))

    for times in ([HOUR - 1], [3 * HOUR, 2 * HOUR]):
        with pytest.raises(DataError, match="must be in order and not before it"):
            play(books("2"), bar("1000 990 1010 1005"), settlements=[settlement(time_ms) for time_ms in times])
    for rate, mark_price in [("NaN", "1"), ("0.1", "0")]:
        with pytest.raises(DataError, match="must have a rate and a positive mark price"):
            Settlement(time_ms=HOUR, rate=D(rate), mark_price=D(mark_price))


def test_a_conduct_with_an_impossible_number_is_refused() -> None:
    for change in ({"half_spread": D(-1)}, {"slippage_scale": D("NaN")}, {"stop_loss": D(0)}, {"take_profit": D(-1)}):
        with pytest.raises(ConfigError, match="must be a"):
            replace(SMOOTH, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="call set_symbol"):
        play_bar(Account(D(1)), "X", bar("1000 990 1010 1005"), NO_ORDER, (), SMOOTH)
