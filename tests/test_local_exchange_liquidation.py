"""Where the local exchange liquidates a position, and what that costs, against the exchange's documents and by hand.

"Binance" numbers come from its FAQ, "freqtrade" ones from the tests of freqtrade 2026.9, which took them from there.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.liquidation import (
    bankruptcy_price,
    liquidate,
    liquidation_price,
    margin_ratio,
    solve_liquidation_price,
)
from rl_trader.local_exchange.books.money import booked
from rl_trader.local_exchange.books.positions import FLAT, Position
from rl_trader.local_exchange.books.terms import Bracket
from tests.book_tables import BTC, FREE, OLD_BTC, OLD_ETH, SMALL, D, account, brackets, holding, near, terms

# Liquidation price


def test_the_liquidation_price_is_that_of_binance() -> None:
    # freqtrade test_binance.py, from the FAQ: maintenance rate 0.1, amount 135 365; then 0.025 and 16 300.
    eth = holding(terms("ETHUSDT", OLD_ETH), "3683.979", "1456.84", "1535443.01")
    assert near(liquidation_price(eth, "ETHUSDT", {}), "1114.7850")
    btc = holding(terms("BTCUSDT", OLD_BTC), "109.488", "32481.980", "1535443.01")
    assert near(liquidation_price(btc, "BTCUSDT", {}), "18778.7259")


def test_in_cross_the_liquidation_price_counts_the_other_positions() -> None:
    # The same two positions over one wallet: at 1 335.18 ETH has -448 192.89 of profit and 356 512.508 of maintenance
    # margin, at 31 967.27 BTC has -56 354.57 and 71 200.81144 (freqtrade test_binance.py, from the FAQ).
    books = holding(terms("BTCUSDT", OLD_BTC), "109.488", "32481.980", "1535443.01", "cross")
    books.set_symbol(terms("ETHUSDT", OLD_ETH), "cross", 5)
    books.restore("ETHUSDT", Position(D("3683.979"), D("1456.84"), D(0)))
    marks = {"ETHUSDT": D("1335.18"), "BTCUSDT": D("31967.27")}
    assert near(books.unrealized_pnl("ETHUSDT", marks["ETHUSDT"]), "-448192.89", "0.01")
    assert near(books.maintenance_margin("ETHUSDT", marks["ETHUSDT"]), "356512.508", "0.001")
    assert near(liquidation_price(books, "BTCUSDT", marks), "26316.8933")
    assert near(liquidation_price(books, "ETHUSDT", marks), "1153.26", "0.01")


@pytest.mark.parametrize(
    ("amount", "leverage", "margin", "liquidated_at", "bankrupt_at"),
    [
        ("1", 20, "3000", "57228.9157", "57000"),  # (3 000 - 60 000) / (0.004 - 1)
        ("-1", 20, "3000", "62749.0040", "63000"),  # (3 000 + 60 000) / (0.004 + 1)
        ("10", 20, "30000", "57256.2814", "57000"),  # bracket 2: (30 000 + 300 - 600 000) / (10 * (0.005 - 1))
        ("0.1", 100, "60", "59638.5542", "59400"),
    ],
)
def test_liquidation_and_bankruptcy_price_of_isolated_bitcoin_from_60000(
    amount: str, leverage: int, margin: str, liquidated_at: str, bankrupt_at: str
) -> None:
    books = account("100000", BTC, "isolated", leverage)
    books.fill("BTCUSDT", D(amount), D(60000), FREE)
    assert books.positions["BTCUSDT"].isolated_wallet == D(margin)
    price = liquidation_price(books, "BTCUSDT", {})
    assert near(price, liquidated_at)
    assert bankruptcy_price(books, "BTCUSDT") == D(bankrupt_at)
    assert near(margin_ratio(books, "BTCUSDT", {"BTCUSDT": price}), "1", "1E-40")
    assert margin_ratio(books, "BTCUSDT", {"BTCUSDT": D(bankrupt_at)}) == D("Infinity")


def test_without_a_position_or_with_enough_behind_a_long_there_is_no_liquidation_price() -> None:
    books = account("2000", BTC, "cross")
    assert liquidation_price(books, "BTCUSDT", {}) == 0
    assert bankruptcy_price(books, "BTCUSDT") == 0
    assert margin_ratio(books, "BTCUSDT", {"BTCUSDT": D(1000)}) == 0
    books.fill("BTCUSDT", D(1), D(1000), FREE)
    assert liquidation_price(books, "BTCUSDT", {}) == 0


@pytest.mark.parametrize(
    ("amount", "at_edge", "margin_at_zero", "price"),
    [
        # Two coins at 5 000: the maintenance margin falls by 0.01 above that, to 499.99. With 499.995 of margin there a
        # long has enough above the edge and not at it; a short of 10 499.995 - n has not enough where that is 0.05 n.
        (2, "500.01", "-9500.005", "5000"),
        (-2, "500.01", "10499.995", "4999.9976"),
        # It rises by 0.01, to 500.01. With 500.005 of margin there a long of n - 9 499.995 has not enough where that
        # is 0.1 n - 499.99; a short has enough at the edge and not above it.
        (2, "499.99", "-9499.995", "5000.0028"),
        (-2, "499.99", "10500.005", "5000"),
    ],
)
def test_at_a_step_between_brackets_the_first_price_that_is_not_enough_liquidates(
    amount: int, at_edge: str, margin_at_zero: str, price: str
) -> None:
    # The same with a bracket below, which takes 1 000 * 0.04 = 40 off every maintenance margin above it.
    for below in ([], [("1000", "0.01", 50)]):
        *rest, lower, upper = brackets([*below, ("10000", "0.05", 20), ("50000", "0.1", 10)])
        stepped = (*rest, lower, replace(upper, amount=D(at_edge) + lower.amount))
        # From 1: what stands behind it, so that its margin is the amount above plus or minus the notional.
        collateral = D(margin_at_zero) - lower.amount + amount
        found = solve_liquidation_price(Position(D(amount), D(1), collateral), collateral, stepped)
        assert near(found, price)


def test_a_liquidation_price_can_lie_beyond_every_bracket() -> None:
    # 300 from 1 000 are 300 000, beyond 200 000: (5 000 + 1 600 - 300 000) / (300 * (0.05 - 1)) and
    # (30 000 + 1 600 + 300 000) / (300 * 1.05).
    for amount, wallet, price in [("300", "5000", "1029.4737"), ("-300", "30000", "1052.6984")]:
        books = holding(terms("X", SMALL), amount, "1000", wallet)
        assert near(liquidation_price(books, "X", {}), price)


def test_the_liquidation_price_is_where_margin_meets_maintenance_margin_for_every_symbol(recorded_data: Path) -> None:
    table = json.loads((recorded_data / "reference" / "leverage_brackets.json").read_text(), parse_float=D)
    names = {"floor": "notionalFloor", "cap": "notionalCap", "rate": "maintMarginRatio", "amount": "cum"}
    checked = 0
    for symbol, rows in table.items():
        ladder = tuple(
            Bracket(initial_leverage=row["initialLeverage"], **{ours: D(row[name]) for ours, name in names.items()})
            for row in rows
        )
        traded = replace(BTC, symbol=symbol, brackets=ladder)
        for bracket in ladder:
            for side in (1, -1):
                # Half a bracket's notional at an entry of 7.3, with the initial margin of its leverage behind it.
                notional = (bracket.floor + bracket.cap) / 2
                books = account("1E+11", traded, "isolated", bracket.initial_leverage)
                books.fill(symbol, side * booked(notional / D("7.3")), D("7.3"), FREE)
                price = liquidation_price(books, symbol, {})
                if price:
                    excess = books.position_margin(symbol, {symbol: price}) - books.maintenance_margin(symbol, price)
                    assert abs(excess) < D("1E-30"), (symbol, bracket, side)
                    checked += 1
                else:
                    # Only a long that is wholly paid for has no liquidation price.
                    assert (side, bracket.initial_leverage) == (1, 1), (symbol, bracket)
    assert checked > len(table)


# Liquidation


def test_a_liquidation_goes_down_to_the_floor_of_the_bracket_and_stops_when_the_margin_is_enough() -> None:
    # 40 from 1 000 at 20 times: margin 2 000. At 966.8: margin 2 000 - 40 * 33.2 = 672, maintenance margin
    # 38 672 * 0.02 - 100 = 673.44. Kept: 10 000 / 966.8 = 10.343 (9 999.6124). The other 29.657 lose 984.6124 and pay
    # 28 672.3876 * 0.01 = 286.723876. Margin then 728.663724 - 343.3876 = 385.276124 over 99.996124.
    books = account("5000", terms("X", SMALL))
    books.fill("X", D(40), D(1000), FREE)
    lines = liquidate(books, "X", D("966.8"), {})
    assert [(line.kind, line.amount) for line in lines] == [
        (IncomeKind.REALIZED_PNL, D("-984.6124")),
        (IncomeKind.LIQUIDATION_FEE, D("-286.723876")),
    ]
    assert books.positions["X"] == Position(D("10.343"), D(1000), D("728.663724"))
    assert books.wallet_balance == D("3728.663724")


def test_a_liquidation_goes_on_through_the_brackets_until_nothing_is_left() -> None:
    # -100 from 1 000 at 5 times: margin 20 000; at 1 190 it is 1 000.
    # 1. kept 50 000 / 1 190 = 42.016; 57.984 lose 11 016.96 and pay 690.0096; margin 309.9904 under 899.9808.
    # 2. kept 10 000 / 1 190 = 8.403; 33.613 lose 6 386.47 and would pay 399.9947, but only 309.9904 are left.
    # 3. no margin is left: 8.403 lose 1 596.57, which is all that is set aside.
    books = account("50000", terms("X", SMALL), "isolated", 5)
    books.fill("X", D(-100), D(1000), FREE)
    lines = liquidate(books, "X", D(1190), {})
    assert [line.amount for line in lines] == [
        D("-11016.96"),
        D("-690.0096"),
        D("-6386.47"),
        D("-309.9904"),
        D("-1596.57"),
        D(0),
    ]
    assert (books.positions["X"], books.wallet_balance) == (FLAT, D(30000))


@pytest.mark.parametrize(
    ("mark_price", "amounts"),
    [
        ("955", ["-225", "-25"]),  # margin 25 is less than the fee of 4 775 * 0.01 = 47.75
        ("940", ["-300", "0", "50"]),  # 250 - 300 = -50: the insurance fund pays
    ],
)
def test_an_isolated_liquidation_costs_its_margin_and_no_more(mark_price: str, amounts: list[str]) -> None:
    # 5 from 1 000 at 20 times: margin 250.
    books = account("1000", terms("X", SMALL))
    books.fill("X", D(5), D(1000), FREE)
    lines = liquidate(books, "X", D(mark_price), {})
    assert [line.amount for line in lines] == [D(amount) for amount in amounts]
    assert (books.positions["X"], books.wallet_balance) == (FLAT, D(750))


def test_what_the_liquidation_fee_leaves_of_the_margin_stays_in_the_wallet() -> None:
    # 5 from 1 000 with 250 behind them, at 970: 250 - 150 = 100 of margin, 4 850 * 0.01 = 48.5 of fee.
    books = account("1000", terms("X", SMALL))
    books.fill("X", D(5), D(1000), FREE)
    liquidate(books, "X", D(970), {})
    assert books.wallet_balance == D("801.5")


def test_a_cross_liquidation_leaves_what_is_set_aside_for_isolated_positions() -> None:
    # Of 1 000, 4 * 1 000 / 10 = 400 are set aside for Y. X loses 10 * 80 = 800 of the other 600.
    books = account("1000", terms("X", SMALL), "cross")
    books.set_symbol(terms("Y", SMALL), "isolated", 10)
    books.fill("Y", D(4), D(1000), FREE)
    books.fill("X", D(10), D(1000), FREE)
    lines = liquidate(books, "X", D(920), {"Y": D(1000)})
    assert [line.amount for line in lines] == [D(-800), D(0), D(200)]
    assert books.wallet_balance == books.positions["Y"].isolated_wallet == 400


def test_a_part_that_leaves_just_the_maintenance_margin_is_not_enough() -> None:
    # As above with 1 714.72 behind the 40: after the first part 99.996124 are left, which is the maintenance margin of
    # 10.343 at 966.8. They go as well, 343.3876 of loss and 99.996124 of fee.
    books = account("5000", terms("X", SMALL))
    books.restore("X", Position(D(40), D(1000), D("1714.72")))
    lines = liquidate(books, "X", D("966.8"), {})
    assert [line.amount for line in lines[2:]] == [D("-343.3876"), D("-99.996124")]
    assert (books.positions["X"], books.wallet_balance) == (FLAT, D("3285.28"))


def test_without_any_margin_left_everything_goes_at_once() -> None:
    # 40 from 1 000 with 2 000 behind them have nothing left at 950.
    books = account("5000", terms("X", SMALL))
    books.fill("X", D(40), D(1000), FREE)
    assert [line.amount for line in liquidate(books, "X", D(950), {})] == [D(-2000), D(0)]


def test_a_notional_on_a_cap_belongs_to_the_bracket_below_it() -> None:
    # 50 at 1 000 are just the cap of the second bracket, whose floor keeps 10; 2 500 - 400 of fee are enough for those.
    books = account("5000", terms("X", SMALL))
    books.fill("X", D(50), D(1000), FREE)
    liquidate(books, "X", D(1000), {})
    assert books.positions["X"] == Position(D(10), D(1000), D(2100))
    # 3 coins with a margin of 100 at 10 000 / 3 each, which no decimal is: the lowest bracket, so nothing is kept.
    books = holding(terms("X", SMALL), "3", "4000", "2100")
    liquidate(books, "X", liquidation_price(books, "X", {}), {})
    assert (books.positions["X"], books.wallet_balance) == (FLAT, D(0))


def test_an_isolated_liquidation_leaves_no_wallet_below_zero() -> None:
    # 10 from 1 000 at 10 times; half sold at 880: 1 000 - 600 = 400 in the wallet, 500 set aside. At 905 the rest loses
    # 475: the fund bears 75.
    books = account("1000", BTC)
    books.set_symbol(BTC, "isolated", 10)
    books.fill("BTCUSDT", D(10), D(1000), FREE)
    books.fill("BTCUSDT", D(-5), D(880), FREE)
    assert (books.wallet_balance, books.positions["BTCUSDT"].isolated_wallet) == (D(400), D(500))
    liquidate(books, "BTCUSDT", D(905), {})
    assert (books.wallet_balance, books.positions["BTCUSDT"]) == (D(0), FLAT)
