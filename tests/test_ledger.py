"""The arithmetic of an account: Binance's published numbers, cases by hand, and what must always hold.

Sources of the numbers: FAQ-LP "How to Calculate Liquidation Price", FAQ-COST "How to Calculate Cost Required to Open a
Position", FAQ-FEE "Futures Fee Structure", FAQ-LEV "Leverage and Margin" (Binance); FT: freqtrade 2026.9's tests; SDK
and UDS: sample answers in Binance's documentation; LIVE: answers of fapi.binance.com of 2026-09-15.
"""

import json
import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_trader import bookings, flows, ledger, path
from rl_trader.config import TradingConfig
from rl_trader.contract import load_terms
from rl_trader.ledger import Account
from rl_trader.trading import kernel_terms
from tests.kernel_tables import BRACKETS, one_bracket, one_terms

UNIT = 1e-8  # USDT, of a booking
SINGLE = {"first_bracket": 0, "last_bracket": 0}


def isolated(wallet: float, amount: float, entry: float, backing: float) -> Account:
    return Account(wallet, amount, entry, backing)


def bitcoin(leverage: int) -> tuple[Any, NDArray[np.float64]]:
    """Return the shipped terms of BTCUSDT, whose brackets are those of September 2026."""
    terms, brackets = kernel_terms([load_terms("BTCUSDT")], TradingConfig(leverage=leverage))
    return terms.view(np.recarray)[0], brackets


# Liquidation price


@pytest.mark.parametrize(
    ("amount", "entry", "wallet", "rate", "cum", "expected"),
    [
        # FT test_liquidation_price_binance, from FAQ-LP: 1114.78.
        # (1 535 443.01 + 135 365 - 3 683.979 * 1 456.84) / (3 683.979 * 0.1 - 3 683.979)
        # = -3 696 159.956 / -3 315.5811 = 1 114.7850
        (3_683.979, 1_456.84, 1_535_443.01, 0.10, 135_365.0, 1_114.7850),
        # The same source: 18 778.73.
        # (1 535 443.01 + 16 300 - 109.488 * 32 481.98) / (109.488 * 0.025 - 109.488)
        # = -2 004 644.016 / -106.7508 = 18 778.7259
        (109.488, 32_481.980, 1_535_443.01, 0.025, 16_300.0, 18_778.7259),
        # The same source: 26 316.89. Other positions' maintenance margin 356 512.508 and unrealized PnL
        # -448 192.89 leave 1 535 443.01 - 356 512.508 - 448 192.89 = 730 737.612 of the wallet for this one.
        (109.488, 32_481.980, 730_737.612, 0.025, 16_300.0, 26_316.8933),
    ],
)
def test_the_liquidation_price_is_that_of_binance_and_freqtrade(
    amount: float, entry: float, wallet: float, rate: float, cum: float, expected: float
) -> None:
    brackets = one_bracket(rate, cum)
    for is_isolated in (True, False):
        terms = one_terms(is_isolated=is_isolated, **SINGLE)
        account = Account(wallet, amount, entry, wallet if is_isolated else 0.0)
        assert ledger.liquidation_price(account, terms, brackets) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("amount", "leverage", "margin", "expected", "bankruptcy"),
    [
        # Computed from FAQ-LP's formula and the shipped brackets, entry 60 000:
        # 5: (3 000 + 0 - 60 000) / (0.004 - 1) = 57 000 / 0.996
        (1.0, 20, 3_000.0, 57_228.9157, 57_000.0),
        # 6: (3 000 + 0 + 60 000) / (0.004 + 1) = 63 000 / 1.004
        (-1.0, 20, 3_000.0, 62_749.0040, 63_000.0),
        # 7: the notional at the liquidation price is 572 563, in bracket 2:
        # (30 000 + 300 - 600 000) / (10 * 0.005 - 10) = 569 700 / 9.95
        (10.0, 20, 30_000.0, 57_256.2814, 57_000.0),
        # 9: (60 - 6 000) / (0.1 * 0.004 - 0.1) = 5 940 / 0.0996
        (0.1, 100, 60.0, 59_638.5542, 59_400.0),
    ],
)
def test_an_isolated_bitcoin_position_is_liquidated_where_the_formula_says(
    amount: float, leverage: int, margin: float, expected: float, bankruptcy: float
) -> None:
    terms, brackets = bitcoin(leverage)
    fill = ledger.apply_fill(Account(1e6, 0.0, 0.0, 0.0), amount, 60_000.0, 0.0, terms)
    assert fill.account.isolated_wallet == margin
    assert ledger.liquidation_price(fill.account, terms, brackets) == pytest.approx(expected, abs=1e-4)
    assert ledger.position_margin(fill.account, bankruptcy, terms) == pytest.approx(0.0, abs=1e-6)


def test_the_bracket_at_the_liquidation_price_counts_and_not_the_one_at_the_entry() -> None:
    # 11 long at 1 000 is bracket 2 (11 000); with 2 000 of margin
    # bracket 2: (2 000 + 100 - 11 000) / (0.22 - 11) = 8 900 / 10.78 = 825.6029, notional 9 081.6: bracket 1;
    # bracket 1: (2 000 - 11 000) / (0.11 - 11) = 9 000 / 10.89 = 826.4463.
    long = isolated(9_000.0, 11.0, 1_000.0, 2_000.0)
    assert ledger.liquidation_price(long, one_terms(), BRACKETS) == pytest.approx(9_000 / 10.89)
    # 9 short at 1 000 is bracket 1 (9 000); with 2 000 of margin
    # bracket 1: 11 000 / 9.09 = 1 210.1210, notional 10 891.1: bracket 2;
    # bracket 2: (2 000 + 100 + 9 000) / (0.18 + 9) = 11 100 / 9.18 = 1 209.1503.
    short = isolated(9_000.0, -9.0, 1_000.0, 2_000.0)
    assert ledger.liquidation_price(short, one_terms(), BRACKETS) == pytest.approx(11_100 / 9.18)


def test_where_rounded_amounts_leave_no_solution_the_search_ends_in_the_bracket_that_it_comes_to() -> None:
    # An amount of 100.01 for 100 makes a step at the cap. 11 long at 1 000 with 1 099.99505: bracket 2 has its solution
    # at a notional of (9 900.00495 - 100.01) / 0.98 = 9 999.99485, under its floor, bracket 1 at 9 900.00495 / 0.99 =
    # 10 000.005, over its cap.
    brackets = np.array([(10_000.0, 0.01, 0.0, 0.0), (50_000.0, 0.02, 100.01, 10_000.0)])
    terms = one_terms(last_bracket=1)
    price = ledger.liquidation_price(isolated(9e3, 11.0, 1_000.0, 1_099.99505), terms, brackets)
    assert price * 11.0 == pytest.approx(10_000.005, abs=1e-6)
    # Upward, with an amount of 99.99: 9 short at 1 000 with 1 100.00505: bracket 1 has its solution at 10 100.00505
    # / 1.01 = 10 000.005, over its cap, bracket 2 at (10 100.00505 + 99.99) / 1.02 = 9 999.99515, under its floor.
    brackets[1, ledger.AMOUNT] = 99.99
    price = ledger.liquidation_price(isolated(9e3, -9.0, 1_000.0, 1_100.00505), terms, brackets)
    assert price * 9.0 == pytest.approx(9_999.99515, abs=1e-5)


def test_a_long_whose_margin_covers_its_notional_and_a_flat_account_have_no_liquidation_price() -> None:
    assert ledger.liquidation_price(isolated(9e3, 3.0, 1_000.0, 3_000.0), one_terms(), BRACKETS) == 0.0
    assert ledger.liquidation_price(isolated(9e3, 3.0, 1_000.0, 3_500.0), one_terms(), BRACKETS) == 0.0
    assert ledger.liquidation_price(isolated(9e3, 0.0, 0.0, 0.0), one_terms(), BRACKETS) == 0.0


@st.composite
def bracket_tables(draw: st.DrawFn) -> NDArray[np.float64]:
    """Draw brackets whose maintenance margin has no step: amount_n = amount_(n-1) + floor * (rate_n - rate_(n-1))."""
    num_rows = draw(st.integers(1, 6))
    floor, rate, amount = 0.0, 0.0, 0.0
    rows = []
    for _ in range(num_rows):
        cap = floor + draw(st.floats(1e3, 1e6))
        higher = rate + draw(st.floats(0.001, 0.15))
        amount += floor * (higher - rate)
        rows.append((cap, higher, amount, floor))
        floor, rate = cap, higher
    return np.array(rows)


amounts = st.integers(1, 200_000).flatmap(lambda steps: st.sampled_from((steps / 1000, -steps / 1000)))
prices = st.integers(1, 200_000).map(lambda ticks: ticks / 10)
positive = st.floats(1.0, 1e6)


@given(bracket_tables(), amounts, prices, positive, st.booleans())
def test_the_liquidation_price_is_where_margin_equals_maintenance_margin(
    brackets: NDArray[np.float64], amount: float, entry: float, backing: float, is_isolated: bool
) -> None:
    terms = one_terms(is_isolated=is_isolated, last_bracket=len(brackets) - 1)
    account = Account(backing + 77.0 if is_isolated else backing, amount, entry, backing if is_isolated else 0.0)
    price = ledger.liquidation_price(account, terms, brackets)
    if price == 0.0:  # only a long that could fall to nothing
        assert backing >= amount * entry > 0.0
        return
    margin = ledger.position_margin(account, price, terms)
    maintenance = ledger.maintenance_margin(account, price, terms, brackets)
    # Both are differences of numbers of this size, each with a relative error of about 1e-16.
    scale = backing + abs(amount) * (price + entry)
    assert margin == pytest.approx(maintenance, abs=1e-13 * scale)
    beyond = price * (1.0 - 1e-6 * np.sign(amount))
    assert (
        ledger.position_margin(account, beyond, terms)
        < ledger.maintenance_margin(account, beyond, terms, brackets) + 1e-13 * scale
    )


def test_the_liquidation_price_holds_in_the_brackets_of_every_symbol(recorded_data: Path) -> None:
    table = json.loads((recorded_data / "reference" / "leverage_brackets.json").read_text())
    assert len(table) == 858
    rng = np.random.default_rng(858)
    for symbol, answers in table.items():
        fields = ("notionalCap", "maintMarginRatio", "cum", "notionalFloor")
        brackets = np.array([[float(row[field]) for field in fields] for row in answers])
        terms = one_terms(first_bracket=0, last_bracket=len(brackets) - 1)
        for row in brackets:
            entry = 10.0 ** rng.uniform(-3.0, 5.0)
            amount = float(rng.choice([-1.0, 1.0]) * rng.uniform(row[3], row[0]) / entry)
            backing = abs(amount) * entry * rng.uniform(row[1], 0.9)
            account = Account(backing, amount, entry, backing)
            price = ledger.liquidation_price(account, terms, brackets)
            margin = ledger.position_margin(account, price, terms)
            maintenance = ledger.maintenance_margin(account, price, terms, brackets)
            # Amounts are rounded to the cent, so that the maintenance margin may have a step of that size at a cap.
            assert margin == pytest.approx(maintenance, abs=0.011 + 1e-13 * abs(amount) * entry), symbol


# Margin, PnL and maintenance margin


def test_the_initial_margin_and_the_open_loss_are_those_of_the_exchange() -> None:
    terms = one_terms(leverage=20.0)
    # FAQ-COST (older form): 9 253.30 / 20 = 462.665; bought below the mark of 9 259.84 there is no open
    # loss, sold below it 6.54, together 469.205.
    assert ledger.opening_cost(1.0, 9_253.30, 9_259.84, 0.0, terms) == pytest.approx(462.665)
    assert ledger.opening_cost(-1.0, 9_253.30, 9_259.84, 0.0, terms) == pytest.approx(469.205)
    # FAQ-COST (newer form): assumed price 9 258.99 * 1.0015 = 9 272.878485, over 20; above the mark a
    # short has no open loss.
    assert ledger.opening_cost(-1.0, 9_272.878485, 9_259.84, 0.0, terms) == pytest.approx(463.64392425)
    # The fee is part of what an order needs: 2 * 1 000 * (0.05 + 0.0005) and an open loss of 2 * 3.
    assert ledger.opening_cost(2.0, 1_000.0, 997.0, 0.0005, terms) == pytest.approx(107.0)


def test_unrealized_pnl_and_maintenance_margin_are_those_of_the_documented_answers() -> None:
    # positionRisk sample: 0.010 * (9 973.50770517 - 9 975.12) = -0.0161229483
    account = isolated(100.0, 0.010, 9_975.12, 5.0)
    assert ledger.unrealized_pnl(account, 9_973.50770517) == pytest.approx(-0.0161229483, abs=1e-9)
    # SDK positionRisk v3: ADAUSDT 30 long, entry 0.385, mark 0.4104759, leverage 20, rate 0.65 %:
    # unRealizedProfit 0.764277, notional 12.314277, initialMargin 0.61571385, maintMargin 0.0800428
    ada, rate = isolated(100.0, 30.0, 0.385, 1.0), one_bracket(0.0065, 0.0)
    terms = one_terms(leverage=20.0, **SINGLE)
    assert ledger.unrealized_pnl(ada, 0.4104759) == pytest.approx(0.764277, abs=1e-9)
    assert ledger.maintenance_margin(ada, 0.4104759, terms, rate) == pytest.approx(0.0800428, abs=1e-9)
    assert ledger.opening_cost(30.0, 0.4104759, 0.4104759, 0.0, terms) == pytest.approx(0.61571385)
    # UDS MARGIN_CALL: ETHUSDT 1.327 long, mark 187.17127: mm 1.614445, up -1.166074, so entry 188.05
    eth = isolated(100.0, 1.327, 188.05, 1.0)
    assert ledger.maintenance_margin(eth, 187.17127, terms, rate) == pytest.approx(1.614445, abs=1e-6)
    assert ledger.unrealized_pnl(eth, 187.17127) == pytest.approx(-1.166074, abs=1e-6)


@pytest.mark.parametrize(
    ("notional", "rate", "amount", "expected"),
    [  # FT test_get_maintenance_ratio_and_amt_binance, older brackets: notional * rate - amount
        (999_999.9, 0.1, 27_500.0, 72_499.99),  # XRP
        (5_000_000.0, 0.15, 233_035.0, 516_965.0),  # BNB
        (600_000_000.0, 0.5, 1.997038e8, 100_296_200.0),  # BTC
    ],
)
def test_the_maintenance_margin_is_notional_times_rate_less_amount(
    notional: float, rate: float, amount: float, expected: float
) -> None:
    account = isolated(1e9, notional, 1.0, 1e9)
    margin = ledger.maintenance_margin(account, 1.0, one_terms(**SINGLE), one_bracket(rate, amount))
    assert margin == pytest.approx(expected)


def test_the_maintenance_margin_of_bitcoin_follows_its_brackets() -> None:
    # 60 000 * 0.004 = 240; 600 000 * 0.005 - 300 = 2 700; 3 000 000 * 0.0065 - 1 500 = 18 000
    terms, brackets = bitcoin(20)
    for amount, expected in ((1.0, 240.0), (-10.0, 2_700.0), (50.0, 18_000.0)):
        account = isolated(1e6, amount, 60_000.0, 1e5)
        assert ledger.maintenance_margin(account, 60_000.0, terms, brackets) == pytest.approx(expected)


def test_the_maintenance_margin_has_no_step_between_brackets() -> None:
    # FAQ-LEV: an amount of 50 grows by 250 000 * (1 % - 0.5 %) to 1 300, so at 250 000 both brackets ask
    # 250 000 * 0.005 - 50 = 1 200 = 250 000 * 0.01 - 1 300.
    brackets = np.array([(250_000.0, 0.005, 50.0, 50_000.0), (1e6, 0.01, 1_300.0, 250_000.0)])
    terms = one_terms(first_bracket=0, last_bracket=1)
    at_cap = ledger.maintenance_margin(isolated(1e6, 250.0, 1e3, 1e5), 1_000.0, terms, brackets)
    above = ledger.maintenance_margin(isolated(1e6, 250.001, 1e3, 1e5), 1_000.0, terms, brackets)
    assert at_cap == pytest.approx(1_200.0)
    assert above == pytest.approx(1_200.01)


def test_a_notional_on_a_cap_belongs_to_the_lower_bracket_and_one_beyond_all_caps_to_the_last() -> None:
    terms = one_terms()
    notionals = (0.0, 9_999.0, 10_000.0, 10_000.01, 50_000.0, 50_000.01, 200_000.0, 1e9)
    assert [ledger.bracket_of(n, terms, BRACKETS) for n in notionals] == [0, 0, 0, 1, 1, 2, 2, 2]


def test_a_symbol_reads_only_its_own_brackets() -> None:
    table = np.concatenate([one_bracket(0.9, 0.0), BRACKETS, one_bracket(0.8, 0.0)])
    terms = one_terms(first_bracket=1, last_bracket=3)
    own = one_terms()
    for amount in (3.0, -30.0, 150.0):
        account = isolated(1e5, amount, 1_000.0, 20_000.0)
        assert ledger.maintenance_margin(account, 1e3, terms, table) == ledger.maintenance_margin(
            account, 1e3, own, BRACKETS
        )
        assert ledger.liquidation_price(account, terms, table) == ledger.liquidation_price(account, own, BRACKETS)
    assert ledger.bracket_of(1e9, terms, table) == 3


def test_unrealized_profit_is_available_in_cross_margin_and_not_in_isolated() -> None:
    # 20 long at 1 000, leverage 5, mark 1 030. Isolated: 9 000 - 4 000 = 5 000. Cross: wallet 9 000 + profit 600, less
    # the initial margin at the mark, 20 * 1 030 / 5 = 4 120: 5 480. At a mark of 900: 9 000 - 2 000 - 3 600 = 3 400.
    assert ledger.available_balance(isolated(9e3, 20.0, 1e3, 4e3), 1_030.0, one_terms()) == 5_000.0
    cross = one_terms(is_isolated=False)
    assert ledger.available_balance(Account(9e3, 20.0, 1e3, 0.0), 1_030.0, cross) == pytest.approx(5_480.0)
    assert ledger.available_balance(Account(9e3, 20.0, 1e3, 0.0), 900.0, cross) == pytest.approx(3_400.0)
    assert ledger.available_balance(Account(9e3, 0.0, 0.0, 0.0), 900.0, cross) == 9_000.0


def test_the_isolated_wallet_backs_an_isolated_position_and_the_whole_wallet_a_cross_one() -> None:
    # 20 long at 1 000, mark 990: 4 000 - 200 and 9 000 - 200; the margin balance is 8 800 in both.
    for account, is_isolated, expected in (
        (isolated(9e3, 20.0, 1e3, 4e3), True, 3_800.0),
        (Account(9e3, 20.0, 1e3, 0.0), False, 8_800.0),
    ):
        assert ledger.position_margin(account, 990.0, one_terms(is_isolated=is_isolated)) == expected
        assert ledger.margin_balance(account, 990.0) == 8_800.0


@pytest.mark.parametrize(
    ("account", "is_isolated", "expected"),
    [
        (isolated(9e3, 20.0, 1e3, 4e3), True, 800.0),  # 1 000 - 4 000 / 20
        (isolated(9e3, -20.0, 1e3, 4e3), True, 1_200.0),
        (isolated(9e3, 32.0, 1e3, 4e3), True, 875.0),  # 1 000 - 125
        (isolated(9e3, 64.0, 1e3, 4e3), True, 937.5),  # 1 000 - 62.5
        (Account(9e3, 20.0, 1e3, 0.0), False, 550.0),  # the whole wallet: 1 000 - 9 000 / 20
        (Account(25e3, 20.0, 1e3, 0.0), False, 0.0),  # it carries a price of nothing
        (Account(9e3, 0.0, 0.0, 0.0), False, 0.0),
    ],
)
def test_a_position_is_bankrupt_where_nothing_is_left_of_what_backs_it(
    account: Account, is_isolated: bool, expected: float
) -> None:
    assert ledger.bankruptcy_price(account, one_terms(is_isolated=is_isolated)) == expected


def test_the_margin_ratio_is_maintenance_over_margin_and_1_where_it_is_liquidated() -> None:
    # 20 long at 1 000 with 4 000, mark 990: maintenance 19 800 * 0.02 - 100 = 296 over 3 800.
    terms = one_terms()
    assert ledger.margin_ratio(isolated(9e3, 20.0, 1e3, 4e3), 990.0, terms, BRACKETS) == pytest.approx(296 / 3_800)
    assert ledger.margin_ratio(isolated(9e3, 20.0, 1e3, 4e3), 799.0, terms, BRACKETS) == 1.0
    assert ledger.margin_ratio(isolated(9e3, 0.0, 0.0, 0.0), 990.0, terms, BRACKETS) == 0.0


def test_the_initial_margin_is_that_at_the_mark_price() -> None:
    # 60 000 / 20 = 3 000. ADAUSDT of the documented answer: 12.314277 / 20 = 0.61571385.
    terms = one_terms(leverage=20.0)
    assert ledger.initial_margin(isolated(1e4, -1.0, 5e4, 0.0), 60_000.0, terms) == 3_000.0
    assert ledger.initial_margin(isolated(1e2, 30.0, 0.385, 0.0), 0.4104759, terms) == pytest.approx(0.61571385)


def test_margin_is_added_from_what_is_available_and_removed_down_to_the_initial_margin() -> None:
    # 20 long at 1 000 with 5 000 of 9 000, leverage 5. At a mark of 1 000 4 000 must stay: 1 000 can be removed;
    # at 990 the loss of 200 counts and 3 960 must stay: 840; at 1 010 the profit does not and 4 040 must: 960.
    held, terms = isolated(9e3, 20.0, 1e3, 5e3), one_terms()
    for mark, removable in ((1_000.0, 1_000.0), (990.0, 840.0), (1_010.0, 960.0), (500.0, 0.0)):
        assert ledger.removable_margin(held, mark, terms) == pytest.approx(removable)
    assert ledger.move_margin(held, 4_000.0, 1_000.0, terms) == isolated(9e3, 20.0, 1e3, 9e3)
    assert ledger.move_margin(held, 4_000.00000001, 1_000.0, terms) == held
    assert ledger.move_margin(held, -1_000.0, 1_000.0, terms) == isolated(9e3, 20.0, 1e3, 4e3)
    assert ledger.move_margin(held, -1_000.00000001, 1_000.0, terms) == held
    # 12.345678912 is booked in units: 12.34567891.
    assert ledger.move_margin(held, 12.345678912, 1_000.0, terms).isolated_wallet == 5_012.34567891
    # More margin moves the liquidation price away: (9 000 + 100 - 20 000) / -19.6 in bracket 2.
    more = ledger.move_margin(held, 4_000.0, 1_000.0, terms)
    assert ledger.liquidation_price(more, terms, BRACKETS) == pytest.approx(10_900 / 19.6)
    # Nothing moves without a position, or in cross margin.
    flat = Account(9e3, 0.0, 0.0, 0.0)
    assert ledger.move_margin(flat, 10.0, 1_000.0, terms) == flat
    cross = Account(9e3, 20.0, 1e3, 0.0)
    assert ledger.move_margin(cross, 10.0, 1_000.0, one_terms(is_isolated=False)) == cross


def test_a_value_exceeds_a_bound_only_by_more_than_binary_fractions_miss() -> None:
    # 1 000.2 * 1.05 is 1 050.21 in decimals and a little more or less in binary fractions.
    assert not ledger.exceeds(1_050.21, 1_000.2 * 1.05)
    assert not ledger.exceeds(1_000.2 * 1.05, 1_050.21)
    assert not ledger.exceeds(0.1 + 0.2, 0.3)  # 0.30000000000000004
    assert ledger.exceeds(1_050.210001, 1_000.2 * 1.05)
    assert not ledger.exceeds(0.0, 0.0)
    assert ledger.exceeds(1e-9, 0.0)


# Fills


def test_a_fee_is_the_notional_times_the_rate() -> None:
    # FAQ-FEE: on 1 000 USDT taker 0.05 % is 0.5, maker 0.02 % 0.2, with 10 % off 0.45 and 0.18.
    account = Account(5_000.0, 0.0, 0.0, 0.0)
    for rate, expected in ((0.0005, -0.5), (0.0002, -0.2), (0.00045, -0.45), (0.00018, -0.18)):
        for amount in (4.0, -4.0):
            fill = ledger.apply_fill(account, amount, 250.0, rate, one_terms())
            assert fill.fee == expected
            assert fill.account.wallet_balance == 5_000.0 + expected


def test_a_round_trip_pays_both_fees_and_the_price_move() -> None:
    # FAQ: 1 BTC long from 5 000 to 5 500 realizes 500. Fees 5 000 * 0.0005 = 2.5 and 2.75; leverage 5.
    opened = ledger.apply_fill(Account(3_000.0, 0.0, 0.0, 0.0), 1.0, 5_000.0, 0.0005, one_terms())
    assert opened == (Account(2_997.5, 1.0, 5_000.0, 1_000.0), 0.0, -2.5)
    closed = ledger.apply_fill(opened.account, -1.0, 5_500.0, 0.0005, one_terms())
    assert closed == (Account(3_494.75, 0.0, 0.0, 0.0), 500.0, -2.75)


@given(amounts, prices)
def test_a_new_position_has_its_fill_price_as_entry_price_to_the_bit(amount: float, price: float) -> None:
    fill = ledger.apply_fill(Account(1e6, 0.0, 0.0, 0.0), amount, price, 0.0005, one_terms())
    assert fill.account.entry_price == price
    assert fill.account.position_amount == amount


def test_adding_averages_the_entry_price_and_assigns_more_margin() -> None:
    # 3 at 1 000 and 1 at 1 100: entry 4 100 / 4 = 1 025, margin 600 + 220 = 820, fee 1 100 * 0.0005 = 0.55.
    held = isolated(10_000.0, 3.0, 1_000.0, 600.0)
    fill = ledger.apply_fill(held, 1.0, 1_100.0, 0.0005, one_terms())
    assert fill == (Account(9_999.45, 4.0, 1_025.0, 820.0), 0.0, -0.55)
    # Short 3 at 1 000 and 2 at 900: entry 4 800 / 5 = 960; in cross margin nothing is assigned.
    short = ledger.apply_fill(Account(10_000.0, -3.0, 1_000.0, 0.0), -2.0, 900.0, 0.0005, one_terms(is_isolated=False))
    assert short == (Account(9_999.1, -5.0, 960.0, 0.0), 0.0, -0.9)


def test_reducing_keeps_the_entry_price_and_releases_margin_in_proportion() -> None:
    # 1 of 4 sold at 1 065: realized 40, fee 0.5325, and a quarter of 820 released.
    held = isolated(10_000.0, 4.0, 1_025.0, 820.0)
    fill = ledger.apply_fill(held, -1.0, 1_065.0, 0.0005, one_terms())
    assert fill == (Account(10_039.4675, 3.0, 1_025.0, 615.0), 40.0, -0.5325)
    # A third of 100 is not a whole number of 1e-8: 66.66666667 stay.
    third = ledger.apply_fill(isolated(500.0, -0.003, 1_000.0, 100.0), 0.001, 1_000.0, 0.0, one_terms())
    assert third.account.isolated_wallet == 66.66666667


def test_a_flip_is_two_fills_and_its_entry_price_is_the_second_one() -> None:
    # Long 2 at 1 000 with 400 of margin; sell 2 at 980: -40, fee 0.98; sell 3 at 980: fee 1.47, margin 588.
    held = isolated(1_000.0, 2.0, 1_000.0, 400.0)
    closed = ledger.apply_fill(held, -2.0, 980.0, 0.0005, one_terms())
    assert closed == (Account(959.02, 0.0, 0.0, 0.0), -40.0, -0.98)
    opened = ledger.apply_fill(closed.account, -3.0, 980.0, 0.0005, one_terms())
    assert opened == (Account(957.55, -3.0, 980.0, 588.0), 0.0, -1.47)


def test_every_booking_is_rounded_to_the_exchange_unit() -> None:
    # 0.001 at 33.3 with 0.0005: fee 0.00001665; at 0.00033 it is 0.000010989 -> 0.00001099.
    fill = ledger.apply_fill(Account(1.0, 0.0, 0.0, 0.0), 0.001, 33.3, 0.00033, one_terms(leverage=7.0))
    assert fill.fee == -0.00001099
    assert fill.account.wallet_balance == 0.99998901
    # Margin 0.0333 / 7 = 0.004757142857 -> 0.00475714
    assert fill.account.isolated_wallet == 0.00475714
    # Entry (0.001 * 33.3 + 0.002 * 33.4) / 0.003 = 33.3666...; 0.003 sold at 33.4 realize 0.0001 exactly.
    added = ledger.apply_fill(fill.account, 0.002, 33.4, 0.0, one_terms(leverage=7.0))
    closed = ledger.apply_fill(added.account, -0.003, 33.4, 0.0, one_terms(leverage=7.0))
    assert closed.realized_pnl == 0.0001
    assert closed.account.wallet_balance == 1.00008901
    assert bookings.booked(-1.234567886) == -1.23456789
    assert bookings.booked(2.5e-8) == 2e-8  # halves to even


WHOLE_UNITS = 2**26 * 10**8  # beyond 67 million USDT binary fractions lie farther apart than 1e-8


@given(st.integers(-WHOLE_UNITS, WHOLE_UNITS), st.integers(-WHOLE_UNITS, WHOLE_UNITS))
def test_bookings_sum_to_the_unit_up_to_67_million(first: int, second: int) -> None:
    assert bookings.units_of(first / 1e8) == first
    assert bookings.in_whole_units(first / 1e8) == first / 1e8
    assume(abs(first + second) < WHOLE_UNITS)
    assert bookings.sum_of_bookings(first / 1e8, second / 1e8) == (first + second) / 1e8


def test_a_large_wallet_misses_no_unit() -> None:
    # 33.6 million and two units pay a fee of 0.001 * 33.3 * 0.00033 = 0.000010989 -> 0.00001099.
    held = Account(33_600_000.00000002, 0.0, 0.0, 0.0)
    opened = ledger.apply_fill(held, 0.001, 33.3, 0.00033, one_terms()).account
    assert opened.wallet_balance == 33_599_999.99998903
    # 0.001 * 33.4 * 0.0001 = 0.00000334 of funding; liquidated at 30: 0.0033 lost, fee 0.03 * 0.0125 = 0.000375.
    paid, _ = ledger.settle_funding(opened, 33.4, 0.0001, one_terms())
    assert paid.wallet_balance == 33_599_999.99998569
    left = ledger.liquidate(paid, 30.0, one_terms(), BRACKETS).account
    assert left.wallet_balance == 33_599_999.99631069


@pytest.mark.parametrize("is_isolated", [True, False])
@given(st.lists(st.tuples(amounts, prices), min_size=1, max_size=25), st.floats(0.0, 0.002))
def test_money_is_conserved_over_any_fills(
    is_isolated: bool, orders: list[tuple[float, float]], fee_rate: float
) -> None:
    terms = one_terms(is_isolated=is_isolated)
    account = Account(1e6, 0.0, 0.0, 0.0)
    # The other ledger knows no entry price and no realized profit: fractions of cash and of coins.
    cash, coins = Fraction(1_000_000), Fraction(0)
    num_fills, turnover = 0, 0.0
    for amount, price in orders:
        held = account.position_amount
        legs = [amount] if held * amount >= 0.0 or abs(amount) <= abs(held) else [-held, amount + held]
        for leg in legs:
            leg = ledger.sum_of_amounts(leg, 0.0, terms)
            account = ledger.apply_fill(account, leg, price, fee_rate, terms).account
            size, value = Fraction(round(leg * 1000), 1000), Fraction(round(price * 10), 10)
            cash -= size * value + abs(size) * value * Fraction(fee_rate)
            coins += size
            num_fills += 1
            turnover += abs(leg) * price
    assert account.position_amount == float(coins)
    last = Fraction(round(orders[-1][1] * 10), 10)
    # Fee, profit and wallet are each off by up to half a unit a fill; floats have a relative error of 1e-16.
    scale = 1e6 + turnover + abs(account.position_amount) * float(last)
    assert ledger.margin_balance(account, float(last)) == pytest.approx(
        float(cash + coins * last), rel=0.0, abs=num_fills * (1.5 * UNIT + 1e-15 * scale)
    )
    assert account.isolated_wallet >= 0.0
    if account.position_amount == 0.0:
        assert (account.entry_price, account.isolated_wallet) == (0.0, 0.0)


moves = st.one_of(
    st.tuples(st.just("fill"), amounts, prices),
    st.tuples(st.just("funding"), st.floats(-0.01, 0.01), prices),
    st.tuples(st.just("liquidation"), st.just(0.0), prices),
    st.tuples(st.just("margin"), st.floats(-1e5, 1e5), prices),
)


@pytest.mark.parametrize("is_isolated", [True, False])
@given(bracket_tables(), st.lists(moves, min_size=1, max_size=25), st.floats(0.0, 0.002))
def test_money_is_conserved_over_fills_fundings_liquidations_and_margin_moves(
    is_isolated: bool,
    brackets: NDArray[np.float64],
    sequence: list[tuple[str, float, float]],
    fee_rate: float,
) -> None:
    terms = one_terms(is_isolated=is_isolated, last_bracket=len(brackets) - 1)
    account = Account(1e6, 0.0, 0.0, 0.0)
    cash, coins = Fraction(1_000_000), Fraction(0)  # the other ledger: no entry price, no margin
    turnover, num_bookings = 1e6, 1
    for kind, number, price in sequence:
        before = account
        paid = 0.0
        if kind == "fill":
            held = account.position_amount
            amount = -held if held * number < 0.0 and abs(number) > abs(held) else number
            fill = ledger.apply_fill(account, amount, price, fee_rate, terms)
            account, paid = fill.account, fill.fee
        elif kind == "funding":
            account, paid = ledger.settle_funding(account, price, number, terms)
        elif kind == "margin":
            account = ledger.move_margin(account, number, price, terms)
            assert account.wallet_balance == before.wallet_balance
        elif account.position_amount != 0.0:
            part = ledger.liquidate(account, price, terms, brackets)
            account, paid = part.account, part.fee + part.insurance
        traded = Fraction(round((account.position_amount - before.position_amount) * 1000), 1000)
        coins += traded
        cash += Fraction(paid) - traded * Fraction(round(price * 10), 10)
        turnover += abs(float(traded)) * price + abs(account.position_amount) * price
        num_bookings += 3
    last = sequence[-1][2]
    # A booking is off by up to half a unit, a float by 1e-16 of what it adds up.
    assert ledger.margin_balance(account, last) == pytest.approx(
        float(cash + coins * Fraction(round(last * 10), 10)), rel=0.0, abs=num_bookings * (UNIT + 1e-15 * turnover)
    )


@given(amounts, prices, amounts, prices, positive)
def test_a_short_is_a_long_with_the_profits_sign_turned(
    held: float, entry: float, amount: float, price: float, wallet: float
) -> None:
    assume(held * amount > 0.0 or abs(amount) <= abs(held))
    terms = one_terms()
    one = ledger.apply_fill(isolated(wallet, held, entry, wallet / 3), amount, price, 0.0005, terms)
    other = ledger.apply_fill(isolated(wallet, -held, entry, wallet / 3), -amount, price, 0.0005, terms)
    assert other.realized_pnl == -one.realized_pnl
    assert (other.fee, other.account.isolated_wallet) == (one.fee, one.account.isolated_wallet)
    assert (other.account.position_amount, other.account.entry_price) == (
        -one.account.position_amount,
        one.account.entry_price,
    )
    gained, lost = (fill.account.wallet_balance - wallet - fill.fee for fill in (one, other))
    assert gained == pytest.approx(-lost, abs=2 * UNIT + 1e-15 * (wallet + abs(gained)) * 4)


# Rounding


def test_fills_are_rounded_to_the_tick_against_the_trader() -> None:
    terms = one_terms()
    # 1 003.4 * 1.001 = 1 004.4034 -> 1 004.5 to buy; 1 003.4 * 0.999 = 1 002.3966 -> 1 002.3 to sell.
    assert ledger.fill_price(1_003.4, 2.0, 0.001, terms) == 1_004.5
    assert ledger.fill_price(1_003.4, -2.0, 0.001, terms) == 1_002.3
    # Without slippage a price on the grid stays: 1 003.4 is 10 033.999999999998 ticks of the float 0.1.
    assert ledger.fill_price(1_003.4, 2.0, 0.0, terms) == 1_003.4
    assert ledger.fill_price(1_003.4, -2.0, 0.0, terms) == 1_003.4
    # Nothing is sold for nothing: 0.12 * 0.5 = 0.06 would round to 0.
    assert ledger.fill_price(0.12, -2.0, 0.5, terms) == 0.1


def test_amounts_are_rounded_toward_zero_to_the_step() -> None:
    terms = one_terms()
    for amount, expected in ((1.2349, 1.234), (-1.2349, -1.234), (0.0009, 0.0), (-0.0009, 0.0), (0.3, 0.3)):
        assert ledger.round_amount(amount, terms) == expected
    coarse = one_terms(step_size=5.0, amount_scale=1.0)
    assert ledger.round_amount(-19.0, coarse) == -15.0
    # 0.1 + 0.2 is 0.30000000000000004 as floats and 0.3 on the grid.
    assert ledger.sum_of_amounts(0.1, 0.2, terms) == 0.3


@given(
    st.decimals(Decimal("0.0001"), Decimal(200_000), places=6),
    st.sampled_from(["0.1", "0.01", "0.0001", "0.5", "10"]),
)
def test_rounding_to_the_tick_agrees_with_decimal_arithmetic(price: Decimal, tick: str) -> None:
    size = Decimal(tick)
    decimals = max(-int(size.normalize().as_tuple().exponent), 0)
    terms = one_terms(tick_size=float(size), price_scale=10.0**decimals)
    up = (price / size).to_integral_value(ROUND_CEILING) * size
    down = (price / size).to_integral_value(ROUND_FLOOR) * size
    assert ledger.round_price_up(float(price), terms) == float(up)
    assert ledger.round_price_down(float(price), terms) == float(down)
    steps = one_terms(step_size=float(size), amount_scale=10.0**decimals)
    assert ledger.round_amount(-float(price), steps) == -float(down)


def test_numbers_on_the_grid_stay_on_it_however_many_steps_they_have() -> None:
    # As floats these are a little under or over a whole number of thousandths, by more than a billionth of one.
    terms = one_terms(tick_size=0.001, price_scale=1000.0)
    for amount in (749522587.953, 853256536.527):
        assert ledger.round_amount(amount, terms) == amount
        assert ledger.round_price_down(amount, terms) == amount
    for price in (272835584.086, 539432195.256):
        assert ledger.round_price_up(price, terms) == price


def test_bookings_are_those_of_decimal_arithmetic_where_they_meet_halves() -> None:
    # Prices of 5 decimals and amounts of 4: profits are whole tenths of a unit of 1e-8, one in ten of them a half.
    rng = np.random.default_rng(8)
    terms = one_terms(tick_size=1e-5, price_scale=1e5, step_size=1e-4, amount_scale=1e4, is_isolated=False)
    num_halves = 0
    for _ in range(3_000):
        size = Decimal(int(rng.integers(1, 10**7))).scaleb(-4)
        entry, price = (Decimal(int(rng.integers(10**4, 10**7))).scaleb(-5) for _ in range(2))
        held = Account(1e6, -float(size), float(entry), 0.0)
        fill = ledger.apply_fill(held, float(size), float(price), 0.0, terms)
        exact = size * (entry - price)
        num_halves += abs(exact % Decimal("1E-8")) == Decimal("5E-9")
        assert fill.realized_pnl == float(exact.quantize(Decimal("1E-8"), ROUND_HALF_EVEN))
    assert num_halves > 100


# Funding


@pytest.mark.parametrize(
    ("amount", "settlements", "expected"),
    [
        (10.0, [(2.0, 0.0001)], -0.002),  # FT test_exchange: 10 * 2.0 * 0.0001
        (10.0, [(2.5, 0.0002)], -0.005),  # the same: 10 * 2.5 * 0.0002
        # The same: 30 * 2.77 * 8e-6 = 0.0006648 and 30 * 2.77 * 3e-6 = 0.0002493; rates below 0: shorts pay longs.
        (-30.0, [(2.77, -0.000008), (2.77, -0.000003)], -0.0009141),
        (30.0, [(2.77, -0.000008), (2.77, -0.000003)], 0.0009141),
        # LIVE: 78 178.30 * 0.00003563 = 2.785492829 -> 2.78549283
        (1.0, [(78_178.30, 0.00003563)], -2.78549283),
        # 76 907.97183333 * 0.00006188 = 4.759065297 -> 4.75906530
        (1.0, [(76_907.97183333, 0.00006188)], -4.7590653),
    ],
)
def test_longs_pay_positive_funding_and_shorts_receive_it(
    amount: float, settlements: list[tuple[float, float]], expected: float
) -> None:
    for is_isolated in (True, False):
        terms = one_terms(is_isolated=is_isolated)
        account = Account(100.0, amount, 2.0, 20.0 if is_isolated else 0.0)
        total = 0.0
        for mark_price, rate in settlements:
            account, cash = ledger.settle_funding(account, mark_price, rate, terms)
            total += cash
        assert total == pytest.approx(expected, abs=1e-12)
        assert account.wallet_balance == pytest.approx(100.0 + expected, abs=1e-12)
        # Isolated, funding moves the liquidation price: it is the position's own wallet that pays.
        assert account.isolated_wallet == pytest.approx(20.0 + expected if is_isolated else 0.0, abs=1e-12)


@given(amounts, prices, st.floats(-0.03, 0.03), st.booleans())
def test_what_a_long_pays_of_funding_a_short_receives(amount: float, mark: float, rate: float, isolated: bool) -> None:
    terms = one_terms(is_isolated=isolated)
    backing = 1e5 if isolated else 0.0
    _, paid = ledger.settle_funding(Account(1e6, amount, 1_000.0, backing), mark, rate, terms)
    _, received = ledger.settle_funding(Account(1e6, -amount, 1_000.0, backing), mark, rate, terms)
    _, turned = ledger.settle_funding(Account(1e6, amount, 1_000.0, backing), mark, -rate, terms)
    assert paid == -received == -turned


@pytest.mark.parametrize("amount", [1.0, -1.0])
def test_one_coin_pays_funding_out_of_its_isolated_wallet(amount: float) -> None:
    account, cash = ledger.settle_funding(isolated(500.0, amount, 1_000.0, 200.0), 1_000.0, 0.003, one_terms())
    assert cash == -3.0 * amount
    assert account == (500.0 + cash, amount, 1_000.0, 200.0 + cash)


def test_a_flat_account_settles_no_funding() -> None:
    flat = Account(100.0, 0.0, 0.0, 0.0)
    account, cash = ledger.settle_funding(flat, 1_000.0, 0.003, one_terms())
    assert (account, cash) == (flat, 0.0)


# Liquidation


class Taken(NamedTuple):
    """An account after all parts of a liquidation, and what they booked together."""

    account: Account
    notional: float
    fee: float
    insurance: float


def liquidated(account: Account, price: float, terms: Any, brackets: NDArray[np.float64]) -> Taken:
    after = path.liquidated(flows.begin(account, None), price, terms, brackets)
    booked = after.flows
    return Taken(after.account, booked.traded_notional, booked.liquidation - booked.insurance, booked.insurance)


LONG_30 = isolated(10_000.0, 30.0, 1_000.0, 3_000.0)
LONG_100 = isolated(10_000.0, 100.0, 1_000.0, 5_000.0)


def test_a_liquidation_reduces_the_position_to_the_cap_of_the_lower_bracket() -> None:
    # 30 long at 1 000 with 3 000; at 914 margin 3 000 - 30 * 86 = 420 is under 27 420 * 0.02 - 100 = 448.4.
    # Kept 10 000 / 914 = 10.9409 -> 10.940; sold 19.06: notional 17 420.84, fee 1.25 % = 217.7605, loss
    # 19.06 * 86 = 1 639.16. Left 3 000 - 1 639.16 - 217.7605 = 1 143.0795, margin 1 143.0795 - 10.94 * 86 = 202.2395
    # over 9 999.16 * 0.01 = 99.99: enough.
    result = liquidated(LONG_30, 914.0, one_terms(), BRACKETS)
    assert result.account == pytest.approx((8_143.0795, 10.94, 1_000.0, 1_143.0795), abs=1e-12)
    assert (result.notional, result.fee) == pytest.approx((17_420.84, -217.7605))
    assert result.insurance == 0.0


def test_a_liquidation_goes_down_bracket_by_bracket_until_the_margin_is_enough() -> None:
    # 100 long at 1 000 with 5 000; at 963 margin 1 300 is under 96 300 * 0.05 - 1 600 = 3 215.
    # 1. Kept 50 000 / 963 = 51.92108 -> 51.921; sold 48.079 = 46 300.077; fee 578.7509625; loss 1 778.923;
    #    left 2 642.3260375; margin 2 642.3260375 - 51.921 * 37 = 721.2490375 under 49 999.923 * 0.02 - 100 = 899.99846.
    # 2. Kept 10 000 / 963 = 10.38421 -> 10.384; sold 41.537 = 40 000.131; fee 500.0016375; loss 1 536.869;
    #    left 605.4554; margin 605.4554 - 10.384 * 37 = 221.2474 over 99.99792.
    result = liquidated(LONG_100, 963.0, one_terms(), BRACKETS)
    assert result.account == pytest.approx((5_605.4554, 10.384, 1_000.0, 605.4554), abs=1e-11)
    assert result.notional == pytest.approx(46_300.077 + 40_000.131)
    assert result.fee == pytest.approx(-1_078.7526)
    assert result.insurance == 0.0


def test_the_liquidation_fee_is_paid_out_of_what_is_left_and_no_more() -> None:
    # At 960: margin 1 000.
    # 1. Kept 52.083 (50 000 / 960 = 52.08333); sold 47.917 = 46 000.32; fee 575.004; loss 1 916.68; left 2 508.316;
    #    margin 2 508.316 - 52.083 * 40 = 424.996 under 899.99.
    # 2. Kept 10.416 (10.41667); sold 41.667 = 40 000.32; its fee of 500.004 finds 424.996; left 416.64; margin 0.
    # 3. The rest of 10.416 = 9 999.36 is closed without a fee at its bankruptcy price: left 416.64 - 416.64 = 0.
    result = liquidated(LONG_100, 960.0, one_terms(), BRACKETS)
    assert result.account == (5_000.0, 0.0, 0.0, 0.0)
    assert result.fee == pytest.approx(-1_000.0)
    assert result.notional == pytest.approx(96_000.0)
    assert result.insurance == 0.0


def test_a_liquidation_fee_takes_no_more_than_the_wallet_though_a_profit_is_open() -> None:
    # Cross, 20 long at 1 000 with a wallet of 10; at 1 010 margin 210 is under 20 200 * 0.02 - 100 = 304.
    # 1. Kept 9.900 (10 000 / 1 010 = 9.90099); 10.1 sold realize 101; the fee of 10 201 * 0.0125 = 127.5125 finds a
    #    wallet of 111. Margin 99 is under 9 999 * 0.01 = 99.99.
    # 2. 9.9 sold realize 99, which the fee of 124.9875 takes.
    terms = one_terms(is_isolated=False)
    result = liquidated(Account(10.0, 20.0, 1_000.0, 0.0), 1_010.0, terms, BRACKETS)
    assert result.account == (0.0, 0.0, 0.0, 0.0)
    assert result.fee == pytest.approx(-210.0)
    assert result.insurance == 0.0
    first = ledger.liquidate(Account(10.0, 20.0, 1_000.0, 0.0), 1_010.0, terms, BRACKETS)
    assert first.account == (0.0, 9.9, 1_000.0, 0.0)
    assert (first.realized_pnl, first.fee) == (101.0, -111.0)


def test_a_liquidation_in_the_lowest_bracket_closes_the_position() -> None:
    # 9 short at 1 000 with 500; at 1 050 margin 50 is under 94.5. Fee 9 450 * 0.0125 = 118.125 finds 50.
    result = liquidated(isolated(2_000.0, -9.0, 1_000.0, 500.0), 1_050.0, one_terms(), BRACKETS)
    assert result == (Account(1_500.0, 0.0, 0.0, 0.0), 9_450.0, -50.0, 0.0)
    # With a fee of 0.1 % 9.45 are paid and 40.55 are left.
    result = liquidated(isolated(2_000.0, -9.0, 1_000.0, 500.0), 1_050.0, one_terms(liquidation_fee=0.001), BRACKETS)
    assert result.account == pytest.approx((1_540.55, 0.0, 0.0, 0.0))
    assert (result.fee, result.insurance) == (-9.45, 0.0)


def test_a_position_with_hardly_a_margin_left_is_reduced_all_the_same() -> None:
    # 12 long at 1 000 with 0.5: 2 are sold down to the cap of 10 000, whose fee of 0.1 %, 2.0, finds half a dollar.
    part = ledger.liquidate(isolated(500.0, 12.0, 1_000.0, 0.5), 1_000.0, one_terms(liquidation_fee=0.001), BRACKETS)
    assert part.account == (499.5, 10.0, 1_000.0, 0.0)
    assert (part.fee, part.insurance) == (-0.5, 0.0)


@pytest.mark.parametrize("step_size", [0.5, 0.2])
def test_a_position_hardly_above_a_cap_is_reduced_by_one_step(step_size: float) -> None:
    # With steps of half a coin 10 at 1 000.00000001 are over 10 000 by a hundredth of a billionth: less than what
    # binary fractions may miss a step by. Margin 99.9999999 is under 100; half a coin sold pays a fee of 0.1 %, 0.5:
    # 99.4999999 is over 9.5 * 10 = 95. With fifths 99.7999999 is over 98.
    terms = one_terms(liquidation_fee=0.001, step_size=step_size, amount_scale=10.0)
    result = liquidated(isolated(500.0, 10.0, 1_000.0, 99.9999999), 1_000.00000001, terms, BRACKETS)
    left = (500.0 - step_size, 10.0 - step_size, 1_000.0, 99.9999999 - step_size)
    assert result.account == pytest.approx(left, abs=1e-7)


def test_a_position_on_a_cap_but_for_binary_fractions_is_in_the_lower_bracket() -> None:
    # 30 at 333.3333333333333 is 10 000 but for the last digit, which is over it: the lowest bracket closes whole.
    terms = one_terms(liquidation_fee=0.001)
    for price in (10_000.0 / 30.0, float(np.nextafter(10_000.0 / 30.0, 1e9))):
        result = liquidated(isolated(500.0, 30.0, price, 99.0), price, terms, BRACKETS)
        assert result.account.position_amount == 0.0
        assert result.notional == pytest.approx(10_000.0)


def test_a_liquidation_keeps_whole_steps_however_many_they_are() -> None:
    # 300 million steps of 0.001 at 0.1 are 30 000: kept are exactly 100 000 coins, 10 000 USDT.
    result = ledger.liquidate(isolated(1e3, 300_000.0, 0.1, 499.0), 0.1, one_terms(), BRACKETS)
    assert result.account.position_amount == 100_000.0


def test_a_loss_beyond_the_isolated_wallet_is_borne_by_the_insurance_fund() -> None:
    # A gap to 940: loss 6 000, isolated wallet 5 000. No margin is left to reduce with: closed whole, no fee.
    result = liquidated(LONG_100, 940.0, one_terms(), BRACKETS)
    assert result == (Account(5_000.0, 0.0, 0.0, 0.0), 94_000.0, 0.0, 1_000.0)


def test_an_isolated_liquidation_leaves_no_wallet_below_zero() -> None:
    # Half of 10 long from 1 000 at 10 times was sold at a last price of 880, far under the mark of 905: 1 000 - 600
    # leave a wallet of 400 beside an isolated wallet of 500. At 905 the other half loses 475, and the fund bears 75.
    terms = one_terms(leverage=10.0)
    held = ledger.apply_fill(Account(1_000.0, 10.0, 1_000.0, 1_000.0), -5.0, 880.0, 0.0, terms).account
    assert held == (400.0, 5.0, 1_000.0, 500.0)
    result = liquidated(held, 905.0, terms, BRACKETS)
    assert result.account == (0.0, 0.0, 0.0, 0.0)
    assert (result.fee, result.insurance) == (0.0, 75.0)


def test_a_loss_beyond_the_wallet_leaves_a_cross_account_with_nothing() -> None:
    # Short 40 at 1 000 with a wallet of 7 000; at 1 200 the loss is 8 000.
    terms = one_terms(is_isolated=False)
    result = liquidated(Account(7_000.0, -40.0, 1_000.0, 0.0), 1_200.0, terms, BRACKETS)
    assert result == (Account(0.0, 0.0, 0.0, 0.0), 48_000.0, 0.0, 1_000.0)


@given(bracket_tables(), amounts, prices, positive, st.booleans(), st.floats(0.0, 0.3), st.floats(0.0, 0.05))
def test_a_liquidation_never_takes_more_than_backs_the_position(
    brackets: NDArray[np.float64],
    amount: float,
    entry: float,
    backing: float,
    is_isolated: bool,
    gap: float,
    fee: float,
) -> None:
    terms = one_terms(is_isolated=is_isolated, last_bracket=len(brackets) - 1, liquidation_fee=fee)
    spare = 1_234.5 if is_isolated else 0.0
    backing = bookings.booked(backing)
    account = Account(bookings.booked(backing + spare), amount, entry, backing if is_isolated else 0.0)
    reached = ledger.liquidation_price(account, terms, brackets)
    assume(reached > 0.0)
    price = reached * (1.0 - np.sign(amount) * gap)
    result = liquidated(account, price, terms, brackets)
    after = result.account
    scale = 1e-15 * (backing + abs(amount) * (entry + price)) + 20 * UNIT
    assert after.wallet_balance >= spare - scale
    assert after.position_amount * amount >= 0.0
    assert abs(after.position_amount) < abs(amount)
    assert result.fee <= 0.0 <= result.insurance
    assert -result.fee <= fee * result.notional + scale
    # The margin balance changes by fee and insurance alone: the position was marked at this price before and after.
    change = ledger.margin_balance(after, price) - ledger.margin_balance(account, price)
    assert change == pytest.approx(result.fee + result.insurance, abs=scale)
    if after.position_amount == 0.0:
        assert (after.entry_price, after.isolated_wallet) == (0.0, 0.0)
    else:
        assert after.entry_price == entry
        assert result.insurance == 0.0
        margin = ledger.position_margin(after, price, terms)
        assert margin > ledger.maintenance_margin(after, price, terms, brackets)
        assert ledger.bracket_of(abs(after.position_amount) * price, terms, brackets) < ledger.bracket_of(
            abs(amount) * price, terms, brackets
        )


# Compiled and plain


def plain(kernel: Any) -> Any:
    return getattr(kernel, "py_func", kernel)


def bits(value: Any) -> Any:
    """Return a result with its floats as hexadecimal numbers, which tell -0.0 from 0.0."""
    if isinstance(value, tuple):
        return tuple(bits(part) for part in value)
    return float(value).hex()


@given(bracket_tables(), amounts, prices, amounts, prices, positive, st.booleans())
def test_compiled_and_plain_python_agree_to_the_bit(
    brackets: NDArray[np.float64],
    held: float,
    entry: float,
    amount: float,
    price: float,
    wallet: float,
    is_isolated: bool,
) -> None:
    terms = one_terms(is_isolated=is_isolated, last_bracket=len(brackets) - 1)
    account = Account(wallet, held, entry, wallet / 3 if is_isolated else 0.0)
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (bookings.booked, (wallet / 7,)),
        (bookings.units_of, (wallet / 7,)),
        (bookings.sum_of_bookings, (wallet / 7, -entry)),
        (ledger.round_price_down, (price / 7, terms)),
        (ledger.round_price_up, (price / 7, terms)),
        (ledger.round_amount, (amount / 7, terms)),
        (ledger.sum_of_amounts, (held, amount, terms)),
        (ledger.fill_price, (price, amount, 0.00037, terms)),
        (ledger.unrealized_pnl, (account, price)),
        (ledger.margin_balance, (account, price)),
        (ledger.position_margin, (account, price, terms)),
        (ledger.maintenance_margin, (account, price, terms, brackets)),
        (ledger.available_balance, (account, price, terms)),
        (ledger.liquidation_price, (account, terms, brackets)),
        (ledger.apply_fill, (account, math.copysign(amount, held), price, 0.00047, terms)),
        (ledger.apply_fill, (account, -held, price, 0.00047, terms)),
        (ledger.opening_cost, (amount, price, entry, 0.00047, terms)),
        (ledger.settle_funding, (account, price, -0.000123, terms)),
        (ledger.initial_margin, (account, price, terms)),
        (ledger.margin_ratio, (account, price, terms, brackets)),
        (ledger.bankruptcy_price, (account, terms)),
        (ledger.removable_margin, (account, price, terms)),
        (ledger.move_margin, (account, wallet / 7, price, terms)),
        (ledger.move_margin, (account, -wallet / 7, price, terms)),
        (ledger.exceeds, (price, entry)),
        (ledger.is_to_be_liquidated, (account, price, terms, brackets)),
        (ledger.liquidate, (account, price, terms, brackets)),
    ]
    for kernel, arguments in calls:
        assert bits(kernel(*arguments)) == bits(plain(kernel)(*arguments))
