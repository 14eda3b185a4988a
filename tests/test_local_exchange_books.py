"""The local exchange's account against the exchange's documents, by hand and by the laws that money obeys.

"Binance" numbers come from its FAQ and API documentation or from answers of its servers, "freqtrade" ones from the
tests of freqtrade 2026.9, which took them from there.
"""

from dataclasses import replace
from decimal import ROUND_UP, Decimal, getcontext, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.errors import ConfigError, ContractError, DataError, RlTraderError
from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.checks import (
    Event,
    limit_band_refusal,
    market_band_refusal,
    opening_cost,
    size_refusal,
)
from rl_trader.local_exchange.books.income import IncomeKind, IncomeLine
from rl_trader.local_exchange.books.liquidation import liquidate, liquidation_price
from rl_trader.local_exchange.books.money import UNIT, booked, exact
from rl_trader.local_exchange.books.positions import FLAT, MarginMode, Position
from rl_trader.local_exchange.books.refusals import OrderError, RefusedError
from tests.book_tables import (
    BTC,
    FREE,
    OLD_BNB,
    OLD_BTC,
    OLD_XRP,
    SMALL,
    D,
    account,
    brackets,
    holding,
    near,
    terms,
    told,
)

# Bookings


def test_bookings_are_multiples_of_a_hundred_millionth_with_halves_to_even() -> None:
    assert booked(D("1.000000005")) == D("1.00000000")
    assert booked(D("1.000000015")) == D("1.00000002")
    assert booked(D("-1.000000025")) == D("-1.00000002")
    assert str(booked(D("-0.000000001"))) == "0E-8"


def test_a_half_is_seen_as_one_through_the_noise_of_a_third() -> None:
    # Three thirds of 0.000000015 are a half above 0.00000001, whatever the sixtieth digit says.
    @exact
    def three_thirds() -> Decimal:
        return D("0.000000025") / 3 * 3

    assert booked(three_thirds()) == D("0.00000002")


def test_the_books_compute_alike_in_any_context_of_the_caller_and_leave_it_alone() -> None:
    def trade() -> tuple[Decimal, Decimal, Decimal]:
        books = account("1234.5678", BTC)
        books.fill("BTCUSDT", D("0.123"), D("60000.1"), BTC.taker_fee)
        books.fill("BTCUSDT", D("0.077"), D("61234.5"), BTC.taker_fee)
        return books.wallet_balance, books.positions["BTCUSDT"].entry_price, liquidation_price(books, "BTCUSDT", {})

    usual = trade()
    with localcontext() as context:
        context.prec, context.rounding = 5, ROUND_UP
        assert trade() == usual
        assert getcontext().prec == 5


# Fills


def test_a_fee_is_the_notional_times_the_rate() -> None:
    # Binance "Futures Fee Structure": 1 000 USDT at 0.05 % and 0.02 %, and 10 % less of both when paid in BNB.
    for rate, fee in [("0.0005", "0.5"), ("0.0002", "0.2"), ("0.00045", "0.45"), ("0.00018", "0.18")]:
        books = account("1000", BTC)
        (line,) = books.fill("BTCUSDT", D("0.02"), D(50000), D(rate))
        assert told([line]) == [(IncomeKind.COMMISSION, "BTCUSDT", -D(fee), 1000 - D(fee))]


def test_closing_realises_the_price_move_before_its_fee() -> None:
    # Binance FAQ: 1 BTC from 5 000 to 5 500 realises 500. Fees 5 000 * 0.0005 = 2.5 and 5 500 * 0.0005 = 2.75.
    books = account("10000", BTC)
    books.fill("BTCUSDT", D(1), D(5000), BTC.taker_fee)
    lines = books.fill("BTCUSDT", D(-1), D(5500), BTC.taker_fee)
    assert told(lines) == [
        (IncomeKind.REALIZED_PNL, "BTCUSDT", D(500), D("10497.5")),
        (IncomeKind.COMMISSION, "BTCUSDT", D("-2.75"), D("10494.75")),
    ]
    assert books.positions["BTCUSDT"] == FLAT


def test_adding_averages_the_entry_price_exactly_and_sets_margin_aside() -> None:
    # (1 * 100 + 2 * 101) / 3 = 100.666...; margin 100 / 20 + 202 / 20 = 15.1. At 102 all three make 306 - 302 = 4.
    books = account("1000", BTC)
    books.fill("BTCUSDT", D(1), D(100), FREE)
    books.fill("BTCUSDT", D(2), D(101), FREE)
    position = books.positions["BTCUSDT"]
    assert near(position.entry_price * 3, "302", "1E-25")
    assert position.isolated_wallet == D("15.1")
    assert books.fill("BTCUSDT", D(-3), D(102), FREE)[0].amount == 4


def test_reducing_keeps_the_entry_price_and_releases_margin_in_proportion() -> None:
    # Margin 3 * 1 000 / 20 = 150; two thirds are left: 100. Realised 1 * (1 010 - 1 000) = 10.
    books = account("1000", BTC)
    books.fill("BTCUSDT", D(3), D(1000), FREE)
    books.fill("BTCUSDT", D(-1), D(1010), FREE)
    assert books.positions["BTCUSDT"] == Position(D(2), D(1000), D(100))
    assert books.wallet_balance == 1010


def test_a_trade_through_zero_is_two_trades() -> None:
    # Close 2 at 990: -20, fee 1 980 * 0.0005 = 0.99; sell 3 more: fee 2 970 * 0.0005 = 1.485, margin 148.5.
    books = account("1000", BTC)
    books.fill("BTCUSDT", D(2), D(1000), FREE)
    lines = books.fill("BTCUSDT", D(-5), D(990), D("0.0005"))
    assert [line.amount for line in lines] == [D(-20), D("-0.99"), D("-1.485")]
    assert books.positions["BTCUSDT"] == Position(D(-3), D(990), D("148.5"))


def test_no_margin_is_set_aside_in_cross() -> None:
    books = account("1000", BTC, "cross")
    books.fill("BTCUSDT", D(1), D(1000), FREE)
    books.fill("BTCUSDT", D("-0.5"), D(1000), FREE)
    assert books.positions["BTCUSDT"].isolated_wallet == 0


def test_a_wallet_below_zero_is_raised_to_zero_by_the_insurance_fund() -> None:
    # 10 - 30 = -20.
    books = account("10", BTC, "cross")
    books.fill("BTCUSDT", D(1), D(1000), FREE)
    books.fill("BTCUSDT", D(-1), D(970), FREE)
    assert told(books.cover_shortfall("BTCUSDT")) == [(IncomeKind.INSURANCE, "BTCUSDT", D(20), D(0))]
    assert books.cover_shortfall("BTCUSDT") == ()


# Funding


@pytest.mark.parametrize(
    ("amount", "mark_price", "rate", "cash"),
    [
        ("10", "2.0", "0.0001", "-0.002"),  # freqtrade test_exchange.py
        ("10", "2.5", "0.0002", "-0.005"),
        ("-30", "2.77", "-0.000008", "-0.0006648"),  # -30 * 2.77 * -8e-6: a short pays a negative rate
        ("-30", "2.77", "-0.000003", "-0.0002493"),
        ("30", "2.77", "-0.000003", "0.0002493"),
        ("1", "78178.30", "0.00003563", "-2.78549283"),  # Binance's fundingRate of 2026-09-15; ...2829 rounded
        ("1", "76907.97183333", "0.00006188", "-4.75906530"),
    ],
)
def test_funding_is_amount_times_mark_price_times_rate_and_longs_pay_when_it_is_positive(
    amount: str, mark_price: str, rate: str, cash: str
) -> None:
    books = account("10000", BTC)
    books.fill("BTCUSDT", D(amount), D(mark_price), FREE)
    set_aside = books.positions["BTCUSDT"].isolated_wallet
    (line,) = books.settle_funding("BTCUSDT", D(rate), D(mark_price))
    assert told([line]) == [(IncomeKind.FUNDING_FEE, "BTCUSDT", D(cash), 10000 + D(cash))]
    assert books.positions["BTCUSDT"].isolated_wallet == set_aside + D(cash)


def test_funding_without_a_position_is_nothing() -> None:
    assert account("10000", BTC).settle_funding("BTCUSDT", D("0.0001"), D(60000)) == ()


# Margins


def test_unrealized_profit_notional_and_margins_are_those_of_binances_samples() -> None:
    # positionRisk of the API documentation: 0.010 * (9 973.50770517 - 9 975.12) = -0.01612295.
    books = holding(BTC, "0.010", "9975.12", "100")
    assert booked(books.unrealized_pnl("BTCUSDT", D("9973.50770517"))) == D("-0.01612295")
    # positionRisk v3 of the API documentation: 30 ADA from 0.385 at 20 times, maintenance rate 0.65 %.
    ada = terms("ADAUSDT", [("10000", "0.0065", 75)])
    books = account("100", ada)
    books.fill("ADAUSDT", D(30), D("0.385"), FREE)
    mark_price = D("0.41047590")
    assert books.unrealized_pnl("ADAUSDT", mark_price) == D("0.764277")
    assert booked(books.initial_margin("ADAUSDT", mark_price)) == D("0.61571385")
    assert booked(books.maintenance_margin("ADAUSDT", mark_price)) == D("0.08004280")
    # MARGIN_CALL of the API documentation: 1.327 ETH, mark price 187.17127, profit -1.166074, so bought at 188.05.
    eth = holding(terms("ETHUSDT", [("10000", "0.0065", 75)]), "1.327", "188.05", "3.16812045", "cross")
    assert near(eth.unrealized_pnl("ETHUSDT", D("187.17127")), "-1.166074", "0.000001")
    assert near(eth.maintenance_margin("ETHUSDT", D("187.17127")), "1.614445", "0.000001")


@pytest.mark.parametrize(
    ("amount", "margin"),
    [
        ("1", "240"),  # 60 000 * 0.004
        ("10", "2700"),  # 600 000 * 0.005 - 300
        ("50", "18000"),  # 3 000 000 * 0.0065 - 1 500: a cap belongs to its own bracket
    ],
)
def test_the_maintenance_margin_of_bitcoin_follows_its_brackets(amount: str, margin: str) -> None:
    assert holding(BTC, amount, "50000", "1000000").maintenance_margin("BTCUSDT", D(60000)) == D(margin)


@pytest.mark.parametrize(
    ("rows", "notional", "rate", "amount"),
    [
        (OLD_XRP, "999999.9", "0.1", "27500"),
        (OLD_BNB, "5000000", "0.15", "233035"),
        (OLD_BTC, "600000000", "0.5", "199703800"),
        (OLD_BTC, "170.30", "0.004", "0"),
    ],
)
def test_the_maintenance_margin_in_older_brackets_is_freqtrades(
    rows: list[tuple[str, str, int]], notional: str, rate: str, amount: str
) -> None:
    # test_get_maintenance_ratio_and_amt_binance counts a cap for the next bracket, where the margin is the same.
    assert terms("X", rows).maintenance_margin(D(notional)) == D(notional) * D(rate) - D(amount)


def test_beyond_every_cap_the_last_bracket_holds() -> None:
    assert terms("X", SMALL).maintenance_margin(D(300_000)) == 300_000 * D("0.05") - 1600


def test_maintenance_amounts_that_do_not_follow_from_the_rates_are_refused() -> None:
    # Binance "Leverage and Margin", older table: 250 000 * (1 % - 0.5 %) + 50 = 1 300.
    third = brackets(OLD_BTC)[2]
    assert third.amount == 1300
    for amount, is_sound in [("1300.01", True), ("1300.02", False), ("1299.99", True), ("1299.98", False)]:
        changed = (*brackets(OLD_BTC)[:2], replace(third, amount=D(amount)))
        if is_sound:
            replace(BTC, brackets=changed)
        else:
            with pytest.raises(ContractError, match="bracket 3 must have"):
                replace(BTC, brackets=changed)


def test_opening_costs_initial_margin_the_loss_against_the_mark_price_and_the_fee() -> None:
    # Binance "How to Calculate Cost Required to Open a Position", older form: 9 253.30 / 20 = 462.665; selling 6.54
    # below the mark price of 9 259.84 loses that at once: 469.205.
    price, mark_price = D("9253.30"), D("9259.84")
    assert opening_cost(D(1), price, mark_price, 20, FREE) == D("462.665")
    assert opening_cost(D(-1), price, mark_price, 20, FREE) == D("469.205")
    # Newer form: a sale counts at max(9 258.99 * 1.0015, 9 259.84, 9 253.30) = 9 272.878485, a twentieth of it.
    assert near(opening_cost(D(-1), D("9272.878485"), mark_price, 20, FREE), "463.6439")
    # 9 253.30 * 0.0005 = 4.62665.
    assert opening_cost(D(1), price, mark_price, 20, D("0.0005")) == D("467.29165")


def test_unrealized_profit_is_available_in_cross_margin_and_not_in_isolated() -> None:
    # Isolated: 1 000 - 2 * 1 000 / 20 = 900 at any price. Cross: 1 000 + 2 * 50 - 2 * 1 050 / 20 = 995.
    for mode, available in [("isolated", 900), ("cross", 995)]:
        books = account("1000", BTC, mode)
        books.fill("BTCUSDT", D(2), D(1000), FREE)
        assert books.available_balance({"BTCUSDT": D(1050)}) == available
        assert books.margin_balance({"BTCUSDT": D(1050)}) == 1100


def test_margin_moves_within_what_is_available_and_what_is_not_needed() -> None:
    # 2 * 1 000 / 20 = 100 are set aside of 1 000. At 990: loss 20, initial margin 2 * 990 / 20 = 99.
    books = account("1000", BTC)
    books.fill("BTCUSDT", D(2), D(1000), FREE)
    marks = {"BTCUSDT": D(990)}
    with pytest.raises(RefusedError, match=r"at most 900\.00000000 USDT and is 900\.00000001") as refused:
        books.move_margin("BTCUSDT", D("900.00000001"), marks)
    assert refused.value.code == -4050
    books.move_margin("BTCUSDT", D(900), marks)
    assert books.positions["BTCUSDT"].isolated_wallet == 1000
    # 1 000 - 20 - 99 = 881 may go.
    with pytest.raises(RefusedError, match=r"at most 881\.00000000 USDT and is 881\.00000001") as refused:
        books.move_margin("BTCUSDT", D("-881.00000001"), marks)
    assert refused.value.code == -4051
    books.move_margin("BTCUSDT", D(-881), marks)
    assert books.positions["BTCUSDT"].isolated_wallet == 119
    # With a profit of 20 at 1 010 nothing of it counts: 119 - 101 = 18.
    books.move_margin("BTCUSDT", D(-18), {"BTCUSDT": D(1010)})
    assert books.wallet_balance == 1000
    assert books.positions["BTCUSDT"].isolated_wallet == 101


def test_margin_moved_is_rounded_as_every_booking() -> None:
    books = account("1000", BTC)
    books.fill("BTCUSDT", D(2), D(1000), FREE)
    books.move_margin("BTCUSDT", D("1.000000015"), {"BTCUSDT": D(1000)})
    assert books.positions["BTCUSDT"].isolated_wallet == D("101.00000002")


def test_margin_moves_only_for_an_isolated_position() -> None:
    for mode, code in [("isolated", -4054), ("cross", -4049)]:
        with pytest.raises(RefusedError) as refused:
            account("1000", BTC, mode).move_margin("BTCUSDT", D(1), {"BTCUSDT": D(1000)})
        assert refused.value.code == code


def test_a_position_keeps_its_margin_mode_and_an_isolated_one_its_leverage_or_more() -> None:
    books = account("1000", BTC)
    books.fill("BTCUSDT", D(1), D(1000), FREE)
    for mode, leverage, code in [("cross", 20, -4048), ("isolated", 19, -4161)]:
        with pytest.raises(RefusedError) as refused:
            books.set_symbol(BTC, mode, leverage)
        assert refused.value.code == code
    books.set_symbol(BTC, "isolated", 20)
    books.set_symbol(BTC, "isolated", 50)
    assert books.positions["BTCUSDT"].isolated_wallet == 50  # as it was: 1 000 / 20
    books.fill("BTCUSDT", D(-1), D(1000), FREE)
    books.set_symbol(BTC, "cross", 2)
    assert books.setting("BTCUSDT").margin_mode is MarginMode.CROSS


# Several symbols in one wallet


def test_cross_positions_share_a_wallet_and_isolated_ones_do_not_lend_to_it() -> None:
    # X cross: 3 from 1 000; Y cross: -2 from 500; Z isolated: 1 from 2 000 at 10 times, 200 set aside. At 990, 520 and
    # 1 900: profits -30, -40, -100; maintenance margins 2 970 * 0.01 = 29.7 and 1 040 * 0.01 = 10.4.
    books = account("1000", terms("X", SMALL), "cross", 10)
    books.set_symbol(terms("Y", SMALL), "cross", 4)
    books.set_symbol(terms("Z", SMALL), "isolated", 10)
    books.fill("X", D(3), D(1000), FREE)
    books.fill("Y", D(-2), D(500), FREE)
    books.fill("Z", D(1), D(2000), FREE)
    marks = {"X": D(990), "Y": D(520), "Z": D(1900)}
    assert books.position_margin("X", marks) == D("719.6")  # 1 000 - 200 - 40 - 10.4 - 30
    assert books.position_margin("Y", marks) == D("700.3")  # 1 000 - 200 - 30 - 29.7 - 40
    assert books.position_margin("Z", marks) == 100  # 200 - 100
    assert books.margin_balance(marks) == 830
    # 1 000 - 200 - 30 - 297 - 40 - 260 = 173.
    assert books.available_balance(marks) == 173


# Filters


def test_a_limit_price_lies_within_the_multipliers_of_the_mark_price() -> None:
    # PERCENT_PRICE 1.05 and 0.95 of 60 000.
    for amount, price, refusal in [
        (1, "63000.0", None),
        (1, "63000.1", Event.LIMIT_TOO_HIGH),
        (-1, "57000.0", None),
        (-1, "56999.9", Event.LIMIT_TOO_LOW),
    ]:
        assert limit_band_refusal(BTC, D(amount), D(price), D(60000)) is refusal
    bounded = replace(BTC, min_price=D("59000.0"), max_price=D("61000.0"))
    for price, refusal in (
        ("58999.9", Event.BELOW_MIN_PRICE),
        ("59000.0", None),
        ("61000.0", None),
        ("61000.1", Event.ABOVE_MAX_PRICE),
    ):
        for amount in (1, -1):
            assert limit_band_refusal(bounded, D(amount), D(price), D(60000)) is refusal
    assert (Event.BELOW_MIN_PRICE.code, Event.ABOVE_MAX_PRICE.code) == (-4013, -4002)
    assert (Event.LIMIT_TOO_HIGH.code, Event.LIMIT_TOO_LOW.code, Event.NO_TRADES.code) == (-4016, -4024, None)


def test_a_market_order_fills_within_the_stricter_of_multiplier_and_take_bound() -> None:
    # 3 % is stricter than 5 %: 1 030 and 970; with a take bound of 10 % it is 1 050 and 950.
    narrow = terms("X", SMALL)
    wide = replace(narrow, market_take_bound=D("0.1"))
    for traded, highest, lowest in [(narrow, "1030", "970"), (wide, "1050", "950")]:
        assert market_band_refusal(traded, D(1), D(highest), D(1000)) is None
        assert market_band_refusal(traded, D(1), D(highest) + D("0.1"), D(1000)) is Event.MARKET_PRICE_BAND
        assert market_band_refusal(traded, D(-1), D(lowest), D(1000)) is None
        assert market_band_refusal(traded, D(-1), D(lowest) - D("0.1"), D(1000)) is Event.MARKET_PRICE_BAND


def test_an_order_under_the_minimum_notional_is_refused() -> None:
    # MIN_NOTIONAL 50: 0.001 at 60 000 are 60, at 49 999.9 not quite 50.
    books = account("1000", BTC)
    for price, refusal in [("60000", None), ("50000", None), ("49999.9", Event.BELOW_MIN_NOTIONAL)]:
        found = size_refusal(books, "BTCUSDT", D("0.001"), notional_price=D(price), mark_price=D(price))
        assert found is refusal


def test_a_position_is_limited_by_the_last_bracket_that_allows_its_leverage() -> None:
    # At 20 times up to 50 000, at 21 only 10 000.
    for leverage, most in [(20, 50_000), (21, 10_000), (5, 200_000)]:
        assert terms("X", SMALL).max_notional(leverage) == most
        books = account("1000", terms("X", SMALL), "isolated", leverage)
        prices = {"notional_price": D(1000), "mark_price": D(1000)}
        for side in (1, -1):
            books.restore("X", Position(side * D(3), D(1000), D(600)))
            rest = side * D(most - 3000) / 1000
            assert size_refusal(books, "X", rest, **prices) is None
            assert size_refusal(books, "X", rest + side * D("0.001"), **prices) is Event.ABOVE_MAX_NOTIONAL


# Laws

amounts = st.integers(-4000, 4000).filter(bool).map(lambda steps: D(steps) / 1000)
prices = st.integers(2_000, 20_000).map(lambda ticks: D(ticks) / 10)
rates = st.integers(-300, 300).map(lambda points: D(points) / 100_000)
symbols = st.sampled_from(["X", "Y"])
actions = st.one_of(
    st.tuples(st.just("fill"), symbols, amounts, prices),
    st.tuples(st.just("fund"), symbols, rates, prices),
    st.tuples(st.just("liquidate"), symbols, st.just(D(0)), prices),
)


@given(st.lists(actions, min_size=1, max_size=15), st.sampled_from(["isolated", "cross"]), prices, prices)
def test_money_is_conserved_over_any_sequence_of_fills_funding_and_liquidations(
    sequence: list[tuple[str, str, Decimal, Decimal]], mode: str, mark_x: Decimal, mark_y: Decimal
) -> None:
    books = account("1000000", terms("X", SMALL), mode, 7)
    books.set_symbol(terms("Y", OLD_XRP), "cross", 5)
    fee_rate = D("0.00071234")
    marks = {"X": mark_x, "Y": mark_y}
    # A second ledger without entry prices: coins, what they cost, and what was paid or received beside.
    coins, cash = {"X": D(0), "Y": D(0)}, D(1_000_000)
    lines: list[IncomeLine] = []
    for action, symbol, number, price in sequence:
        held = books.positions[symbol].amount
        if action == "fill":
            lines += books.fill(symbol, number, price, fee_rate)
            cash -= number * price + abs(number) * price * fee_rate
        elif action == "fund":
            lines += books.settle_funding(symbol, number, price)
            cash -= held * price * number
        else:
            news = liquidate(books, symbol, price, marks)
            lines += news
            cash += (held - books.positions[symbol].amount) * price
            besides = (IncomeKind.LIQUIDATION_FEE, IncomeKind.INSURANCE)
            cash += sum(line.amount for line in news if line.kind in besides)
        coins[symbol] += books.positions[symbol].amount - held
    value = cash + coins["X"] * mark_x + coins["Y"] * mark_y
    assert abs(books.margin_balance(marks) - value) <= (len(lines) + 1) * UNIT
    # The wallet is the sum of its lines, each of them a booking, as is what is set aside.
    assert books.wallet_balance == 1_000_000 + sum(line.amount for line in lines)
    bookings = [*(line.amount for line in lines), *(p.isolated_wallet for p in books.positions.values())]
    assert all(amount == booked(amount) for amount in bookings)


@given(st.lists(st.tuples(amounts, prices, rates), min_size=1, max_size=10), st.sampled_from(["isolated", "cross"]))
def test_a_short_gains_what_a_long_loses_and_pays_the_same_fees(
    trades: list[tuple[Decimal, Decimal, Decimal]], mode: str
) -> None:
    long, short = (account("1000000", terms("X", SMALL), mode) for _ in range(2))
    for amount, price, rate in trades:
        for mine, yours in zip(
            long.fill("X", amount, price, D("0.0007")) + long.settle_funding("X", rate, price),
            short.fill("X", -amount, price, D("0.0007")) + short.settle_funding("X", rate, price),
            strict=True,
        ):
            is_fee = mine.kind is IncomeKind.COMMISSION
            assert (mine.kind, mine.amount) == (yours.kind, yours.amount if is_fee else -yours.amount)
        assert long.positions["X"].amount == -short.positions["X"].amount
        assert long.positions["X"].entry_price == short.positions["X"].entry_price


# At the door


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1E+14", "-1"])
def test_a_wallet_that_is_no_amount_of_money_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="wallet_balance must be"):
        Account(D(text))


def test_an_unknown_mode_leverage_or_symbol_is_refused() -> None:
    books = Account(D(1000))
    with pytest.raises(ConfigError, match="margin_mode must be isolated or cross and is crossed"):
        books.set_symbol(BTC, "crossed", 5)
    for leverage in (0, 151, 2.5):
        with pytest.raises(ContractError, match="must be a whole number from 1 to 150"):
            books.set_symbol(BTC, "cross", leverage)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="call set_symbol"):
        books.fill("BTCUSDT", D(1), D(1000), FREE)


@pytest.mark.parametrize(
    ("amount", "price", "rate"),
    [
        ("0", "1", "0"),
        ("NaN", "1", "0"),
        ("-1E+14", "1", "0"),
        ("1", "0", "0"),
        ("1", "-5", "0"),
        ("1", "1E+14", "0"),
        ("1", "Infinity", "0"),
        ("1", "1", "NaN"),
        ("1", "1", "1"),
        ("1", "1", "-1"),
    ],
)
def test_a_fill_that_is_no_trade_is_refused_and_books_nothing(amount: str, price: str, rate: str) -> None:
    books = account("1000", BTC)
    with pytest.raises(OrderError, match="a fill of BTCUSDT must have"):
        books.fill("BTCUSDT", D(amount), D(price), D(rate))
    assert (books.wallet_balance, books.positions["BTCUSDT"]) == (D(1000), FLAT)


def test_questions_and_settlements_without_a_usable_mark_price_are_refused() -> None:
    books = account("1000", BTC, "cross")
    books.fill("BTCUSDT", D(1), D(1000), FREE)
    for marks in ({}, {"BTCUSDT": D("NaN")}, {"BTCUSDT": D(0)}):
        with pytest.raises(DataError, match="mark price of BTCUSDT is needed"):
            books.available_balance(marks)
    with pytest.raises(DataError, match="mark price of BTCUSDT is needed"):
        books.settle_funding("BTCUSDT", D("0.0001"), D(-1))
    with pytest.raises(DataError, match="funding rate of BTCUSDT must be a number"):
        books.settle_funding("BTCUSDT", D("NaN"), D(1000))


@pytest.mark.parametrize(
    "position",
    [
        Position(D(1), D(0), D(0)),
        Position(D("NaN"), D(1), D(0)),
        Position(D(0), D(1), D(0)),
        Position(D(1), D(1000), D(5)),  # set aside in cross margin
    ],
)
def test_a_position_that_cannot_be_is_not_restored(position: Position) -> None:
    with pytest.raises(OrderError, match="or be all zero"):
        account("1000", BTC, "cross").restore("BTCUSDT", position)


@pytest.mark.parametrize(
    "change",
    [{"tick_size": D(0)}, {"taker_fee": D(1)}, {"maker_fee": D("NaN")}, {"multiplier_up": D("Infinity")}],
)
def test_terms_with_an_impossible_number_are_refused(change: dict[str, Decimal]) -> None:
    with pytest.raises(ContractError, match=r"BTCUSDT \w+ must be"):
        replace(BTC, **change)  # type: ignore[arg-type]


def test_brackets_that_do_not_follow_each_other_are_refused() -> None:
    first, second, third = brackets(SMALL)
    for ladder, fault in [
        ((), "has none"),
        ((second,), "bracket 1 must have floor and amount 0"),
        ((replace(first, amount=D(1)),), "bracket 1 must have floor and amount 0 and has 0 and 1"),
        ((first, third), "bracket 2 must begin where the last one ends"),
        ((first, replace(second, rate=D("0.005"), amount=D(0))), "bracket 2 must have a rate above"),
        ((first, replace(second, rate=first.rate, amount=D(0))), "bracket 2 must have a rate above"),
        ((first, replace(second, initial_leverage=50)), "bracket 2 must have a leverage below"),
        ((first, replace(second, amount=D("NaN"))), "bracket 2 must have an amount that is not negative"),
        ((first, replace(second, cap=second.floor)), "bracket 2 must have a finite cap above its floor 10000"),
        ((replace(first, cap=D("NaN")),), "bracket 1 must have a finite cap"),
        ((replace(first, rate=D(1)),), "bracket 1 must have a rate between"),
        ((replace(first, rate=D(0)),), "bracket 1 must have a rate between"),
        ((replace(first, initial_leverage=0),), "bracket 1 must have an initial_leverage"),
    ]:
        with pytest.raises(ContractError, match=fault):
            replace(BTC, brackets=ladder)


def test_margin_moved_must_be_an_amount() -> None:
    for amount in ("0", "NaN", "0.000000001"):
        with pytest.raises(OrderError, match="margin moved"):
            account("1000", BTC).move_margin("BTCUSDT", D(amount), {})


def test_every_refusal_can_be_caught_as_one_of_the_projects_errors() -> None:
    assert issubclass(OrderError, RlTraderError)
    assert issubclass(RefusedError, RlTraderError)
