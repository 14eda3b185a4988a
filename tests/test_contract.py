"""Tests of the contract terms: reading, inferring and refusing them."""

import json
import math
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.brackets import check_brackets
from rl_trader.contract import (
    Bracket,
    ContractTerms,
    answers_from_ccxt,
    bnb_discount,
    load_terms,
    terms_from_binance,
    terms_from_ccxt,
)
from rl_trader.contract_terms import DECIMAL_FIELDS
from rl_trader.errors import ContractError, DataError
from rl_trader.store import DataStore

SHIPPED = Path(__file__).parents[1] / "rl_trader" / "contracts" / "BTCUSDT.json"
HOUR = 3_600_000
# maint_amount of the second: 0 + 5 000 * (0.025 - 0.01) = 75; of the third: 75 + 20 000 * (0.05 - 0.025) = 575.
ANSWERED_BRACKETS = [
    {"initialLeverage": 50, "notionalCap": 5_000, "notionalFloor": 0, "maintMarginRatio": 0.01, "cum": 0.0},
    {"initialLeverage": 20, "notionalCap": 20_000, "notionalFloor": 5_000, "maintMarginRatio": 0.025, "cum": 75.0},
    {"initialLeverage": 7, "notionalCap": 90_000, "notionalFloor": 20_000, "maintMarginRatio": 0.05, "cum": 575.0},
]


def shipped_answers() -> dict[str, object]:
    answers = json.loads(SHIPPED.read_text())
    assert isinstance(answers, dict)
    return answers


def with_brackets(number: int, **changes: Any) -> ContractTerms:
    """Return BTCUSDT's terms with fields of bracket `number` (from 1) changed."""
    terms = load_terms("BTCUSDT")
    brackets = list(terms.brackets)
    brackets[number - 1] = replace(brackets[number - 1], **changes)
    return replace(terms, brackets=tuple(brackets))


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    """Return a folder with klines of ADAUSDT, prices to four decimals and volumes in tens, and its brackets."""
    store = DataStore(tmp_path)
    opens = np.array([0.35, 0.3502, 0.3511])
    table = pd.DataFrame(
        {
            "open_time": np.arange(3, dtype=np.int64) * 4 * HOUR,
            "open": opens,
            "high": opens + 0.001,
            "low": opens - 0.0001,
            "close": opens,
            "volume": [120.0, 2_350.0, 90.0],
        }
    )
    store.write("klines_4h", "ADAUSDT", table)
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "leverage_brackets.json").write_text(json.dumps({"ADAUSDT": ANSWERED_BRACKETS}))
    return store


def test_the_shipped_terms_are_the_exchanges_answers_of_their_day() -> None:
    terms = load_terms("BTCUSDT")
    assert (terms.tick_size, terms.step_size) == (Decimal("0.1"), Decimal("0.001"))
    assert (terms.min_price, terms.max_price) == (Decimal("556.8"), Decimal(4_529_764))
    assert (terms.min_quantity, terms.max_quantity) == (Decimal("0.001"), Decimal(120))  # the market lot
    assert (terms.limit_step_size, terms.limit_min_quantity) == (Decimal("0.001"), Decimal("0.001"))
    assert terms.limit_max_quantity == Decimal(1000)
    assert (terms.min_notional, terms.taker_fee, terms.maker_fee) == (50.0, 0.0005, 0.0002)
    assert (terms.liquidation_fee, terms.trigger_protect, terms.market_take_bound) == (0.0125, 0.05, 0.05)
    assert (terms.funding_interval_hours, terms.funding_cap, terms.funding_floor) == (8, 0.003, -0.003)
    assert (terms.multiplier_up, terms.multiplier_down) == (1.05, 0.95)
    assert (terms.read_on, terms.brackets_read_on) == ("2026-09-15", "2026-09-15")
    assert terms.inferred == ("taker_fee", "maker_fee")  # the schedule's, not an account's own
    assert len(terms.brackets) == 12
    assert terms.brackets[1] == Bracket(
        notional_floor=300_000.0,
        notional_cap=800_000.0,
        maint_margin_rate=0.005,
        maint_amount=300.0,
        initial_leverage=100,
    )


def test_the_shipped_answers_are_the_recorded_ones(recorded_data: Path) -> None:
    reference = recorded_data / "reference"
    live = json.loads((reference / "live_rest_responses_2026-09-15.json").read_text())
    answers = shipped_answers()
    assert answers["exchangeInfo"] in live["GET /fapi/v1/exchangeInfo"]["symbols"]
    funding = next(answer for name, answer in live.items() if name.startswith("GET /fapi/v1/fundingInfo"))
    assert answers["fundingInfo"] in funding
    brackets = json.loads((reference / "leverage_brackets.json").read_text())["BTCUSDT"]
    assert answers["leverageBracket"] == {"symbol": "BTCUSDT", "brackets": brackets}


def test_the_position_limit_is_the_cap_of_the_last_bracket_that_bears_the_leverage() -> None:
    terms = load_terms("BTCUSDT")
    assert terms.max_leverage == 150
    # Bracket 1 bears 150, bracket 2 bears 100, bracket 6 bears 20, bracket 12 bears 1.
    limits = {150: 300_000.0, 101: 300_000.0, 100: 800_000.0, 21: 70_000_000.0, 20: 100_000_000.0, 1: 1_800_000_000.0}
    assert {leverage: terms.max_notional(leverage) for leverage in limits} == limits


@pytest.mark.parametrize("leverage", [0, 151, 2.5, -1, math.nan, math.inf, 10**400, None, "20", True])
def test_a_leverage_beyond_the_brackets_or_not_whole_is_refused(leverage: Any) -> None:
    for check in (load_terms("BTCUSDT").check_leverage, load_terms("BTCUSDT").max_notional):
        with pytest.raises(ContractError) as refused:
            check(leverage)
        wanted = "leverage of BTCUSDT must be a whole number from 1 to 150"
        assert str(refused.value) == f"{wanted} and is {leverage!r}; choose one in that range"


NO_NUMBERS = (math.nan, math.inf, -math.inf, None, "0.5", True, 10**400)


@pytest.mark.parametrize("name", DECIMAL_FIELDS)
@pytest.mark.parametrize(
    "value", [*(Decimal(text) for text in ("NaN", "sNaN", "Infinity", "-Infinity", "0", "-0.1")), *NO_NUMBERS, 0.1]
)
def test_a_price_or_quantity_that_is_no_positive_decimal_is_refused(name: str, value: Any) -> None:
    assert_refused(name, value, "a positive decimal number")


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0.0, -1.0])
@pytest.mark.parametrize(
    "name", ["min_notional", "multiplier_up", "multiplier_down", "trigger_protect", "market_take_bound"]
)
def test_a_limit_that_is_not_positive_is_refused(name: str, value: Any) -> None:
    assert_refused(name, value, "positive")


@pytest.mark.parametrize("value", [*NO_NUMBERS, -0.0001, 1.0])
@pytest.mark.parametrize("name", ["taker_fee", "maker_fee", "bnb_discount", "liquidation_fee", "funding_cap"])
def test_a_fee_or_a_cap_that_is_no_fraction_is_refused(name: str, value: Any) -> None:
    assert_refused(name, value, "a fraction from 0 to below 1")


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0.01, -1.0])
def test_a_funding_floor_above_zero_or_below_minus_one_is_refused(value: Any) -> None:
    assert_refused("funding_floor", value, "a fraction from above -1 to 0")


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -8, 7.5, 25, 10**30])
def test_a_funding_interval_that_is_no_whole_number_of_hours_of_a_day_is_refused(value: Any) -> None:
    assert_refused("funding_interval_hours", value, "a whole number from 1 to 24")


@pytest.mark.parametrize("text", ["1e30", "1E+400", "1e999999999"])
def test_an_answered_funding_interval_beyond_all_days_is_refused_at_once(text: str) -> None:
    funding = {"symbol": "BTCUSDT", "adjustedFundingRateCap": "0.003", "adjustedFundingRateFloor": "-0.003"}
    with pytest.raises(ContractError, match=r"BTCUSDT.* must be a whole number.* and is .*; read the terms again"):
        terms_from_binance(shipped_answers() | {"fundingInfo": funding | {"fundingIntervalHours": text}})


@pytest.mark.parametrize(("name", "values"), [("multiplier_up", (0.5, 1.0)), ("multiplier_down", (1.0, 1.05))])
def test_a_price_filter_that_refuses_every_order_is_refused(name: str, values: tuple[float, ...]) -> None:
    side = "above" if name == "multiplier_up" else "below"
    for value in values:
        assert_refused(name, value, f"{side} 1, where the exchange takes orders,")


@pytest.mark.parametrize("value", ["", "yesterday", "2026-02-30", "20260915", "2026-09-15T00:00", None, 20260915])
def test_terms_without_a_date_are_refused(value: Any) -> None:
    assert_refused("read_on", value, "a date as 2026-09-15")
    if value is not None:
        assert_refused("brackets_read_on", value, "a date as 2026-09-15, or none")


@pytest.mark.parametrize("value", ["", "  ", None, 7])
def test_terms_of_no_symbol_are_refused(value: Any) -> None:
    with pytest.raises(ContractError) as refused:
        changed("symbol", value)
    assert str(refused.value) == (
        f"contract terms must be those of a symbol and are those of {value!r}; read the terms again with"
        " scripts.download"
    )


def assert_refused(name: str, value: object, wanted: str) -> None:
    """Assert that BTCUSDT's terms with a field changed are refused in one sentence."""
    with pytest.raises(ContractError) as refused:
        changed(name, value)
    found = value if isinstance(value, Decimal) else repr(value)
    sentence = f"BTCUSDT {name} must be {wanted} and is {found}; read the terms again with scripts.download"
    assert str(refused.value) == sentence


def changed(name: str, value: Any) -> ContractTerms:
    changes: dict[str, Any] = {name: value}
    return replace(load_terms("BTCUSDT"), **changes)


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        ("min_quantity", Decimal("120.001"), "max_quantity, which is 120,"),
        ("limit_min_quantity", Decimal("1000.001"), "limit_max_quantity, which is 1000,"),
        ("min_price", Decimal("4529764.1"), "max_price, which is 4529764,"),
    ],
)
def test_a_smallest_value_above_the_largest_is_refused(name: str, value: Decimal, most: str) -> None:
    assert_refused(name, value, f"at most {most}")


def test_no_term_has_a_default_since_a_forgotten_cost_would_pass_for_none() -> None:
    for kind in (ContractTerms, Bracket):
        for field in fields(kind):
            assert (field.default, field.default_factory) == (MISSING, MISSING), field.name


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda: with_brackets(1, notional_floor=10.0), "bracket 1 must have notional_floor and maint_amount 0"),
        (lambda: with_brackets(2, notional_floor=300_001.0), "bracket 2 must begin at 300000, where the last one"),
        (lambda: with_brackets(2, notional_floor=299_999.0), "bracket 2 must begin at 300000, where the last one"),
        (lambda: with_brackets(2, notional_floor=math.nan), "bracket 2 must have a finite notional_cap above"),
        (lambda: with_brackets(1, notional_floor=-1.0), "bracket 1 must have notional_floor and maint_amount 0"),
        (lambda: with_brackets(2, notional_cap=200_000.0), "bracket 2 must have a finite notional_cap above"),
        (lambda: with_brackets(2, notional_cap=math.nan), "bracket 2 must have a finite notional_cap above"),
        (lambda: with_brackets(2, notional_cap=900_000.0), "bracket 3 must begin at 900000, where the last one"),
        (lambda: with_brackets(12, notional_cap=math.inf), "bracket 12 must have a finite notional_cap above"),
        (lambda: with_brackets(3, maint_margin_rate=math.nan), "bracket 3 must have a maint_margin_rate between"),
        (lambda: with_brackets(1, maint_margin_rate=0.0), "bracket 1 must have a maint_margin_rate between"),
        (lambda: with_brackets(1, maint_margin_rate=-0.1), "bracket 1 must have a maint_margin_rate between"),
        (lambda: with_brackets(12, maint_margin_rate=1.0), "bracket 12 must have a maint_margin_rate between"),
        (lambda: with_brackets(3, maint_margin_rate=0.004), "bracket 3 must have a maint_margin_rate above 0.005"),
        (lambda: with_brackets(3, maint_margin_rate=0.005), "bracket 3 must have a maint_margin_rate above 0.005"),
        (lambda: with_brackets(3, initial_leverage=100), "bracket 3 must have a leverage below 100 and has 100"),
        (lambda: with_brackets(12, initial_leverage=0), "bracket 12 must have an initial_leverage of at least 1"),
        (lambda: with_brackets(12, initial_leverage=-1), "bracket 12 must have an initial_leverage of at least 1"),
        (lambda: with_brackets(2, initial_leverage=99.5), r"an initial_leverage of .* a whole number, and has 99\.5"),
        (lambda: with_brackets(2, initial_leverage=math.nan), "an initial_leverage of .* a whole number, and has nan"),
        (lambda: with_brackets(1, initial_leverage=math.inf), "an initial_leverage of .* a whole number, and has inf"),
        (lambda: with_brackets(3, initial_leverage=101), "bracket 3 must have a leverage below 100 and has 101"),
        # 300 + 800 000 * (0.0065 - 0.005) = 1 500.
        (lambda: with_brackets(3, maint_amount=1_501.0), r"bracket 3 must have the maint_amount 1500\.00 that"),
        (lambda: with_brackets(3, maint_amount=math.nan), r"bracket 3 must have the maint_amount 1500\.00 that"),
        (lambda: with_brackets(3, maint_amount=-1_500.0), r"bracket 3 must have the maint_amount 1500\.00 that"),
        (lambda: with_brackets(1, maint_amount=math.inf), "bracket 1 must have notional_floor and maint_amount 0"),
        (lambda: with_brackets(1, maint_amount=None), "bracket 1 must have a number as maint_amount and has None"),
        (lambda: with_brackets(4, notional_cap="9"), "bracket 4 must have a number as notional_cap and has '9'"),
        (lambda: with_brackets(2, initial_leverage=True), "bracket 2 must have a number as initial_leverage and has"),
        (lambda: replace(load_terms("BTCUSDT"), brackets=()), "BTCUSDT must have a leverage bracket and has none"),
        (
            lambda: replace(load_terms("BTCUSDT"), brackets=load_terms("BTCUSDT").brackets[::-1]),
            "bracket 1 must have notional_floor and maint_amount 0",
        ),
    ],
)
def test_brackets_that_contradict_each_other_are_refused(change: Callable[[], ContractTerms], fault: str) -> None:
    with pytest.raises(ContractError, match=fault + ".*; read the terms again with scripts.download"):
        change()


decimals = st.decimals(Decimal("1e-8"), Decimal(10**6), places=8)
fractions = st.floats(0.0, 0.999)


@given(st.lists(decimals, min_size=9, max_size=9), st.lists(fractions, min_size=6, max_size=6), st.integers(1, 8))
def test_terms_survive_json(sizes: list[Decimal], rates: list[float], hours: int) -> None:
    low, high = sorted(sizes[:2])
    limit_low, limit_high = sorted(sizes[2:4])
    min_price, max_price = sorted(sizes[4:6])
    terms = replace(
        load_terms("BTCUSDT"),
        tick_size=sizes[6],
        min_price=min_price,
        max_price=max_price,
        step_size=sizes[7],
        min_quantity=low,
        max_quantity=high,
        limit_step_size=sizes[8],
        limit_min_quantity=limit_low,
        limit_max_quantity=limit_high,
        bnb_discount=rates[5],
        taker_fee=rates[0],
        maker_fee=rates[1],
        liquidation_fee=rates[2],
        funding_cap=rates[3],
        funding_floor=-rates[4],
        funding_interval_hours=hours,
        inferred=("tick_size", "step_size"),
    )
    assert ContractTerms.from_json(json.loads(json.dumps(terms.to_json()))) == terms


def test_stored_terms_with_a_missing_unknown_or_unreadable_field_are_refused() -> None:
    data = load_terms("BTCUSDT").to_json()
    with pytest.raises(ContractError, match=r"missing or unknown field \(rebate\)"):
        ContractTerms.from_json(data | {"rebate": 1})
    with pytest.raises(ContractError, match=r"missing or unknown field \(tick_size\)"):
        ContractTerms.from_json({name: value for name, value in data.items() if name != "tick_size"})
    with pytest.raises(ContractError, match="tick_size in terms of BTCUSDT must be a number and is 'small'"):
        ContractTerms.from_json(data | {"tick_size": "small"})
    with pytest.raises(ContractError, match="funding_interval_hours in terms of BTCUSDT must be a whole number"):
        ContractTerms.from_json(data | {"funding_interval_hours": 7.5})
    with pytest.raises(ContractError, match="brackets in terms of BTCUSDT must be a list"):
        ContractTerms.from_json(data | {"brackets": 12})


def test_an_answer_without_a_needed_part_is_refused_by_name() -> None:
    answers = shipped_answers()
    with pytest.raises(ContractError, match="terms of BTCUSDT must have commissionRate and have symbol, read_on"):
        terms_from_binance({name: answer for name, answer in answers.items() if name != "commissionRate"})
    info = answers["exchangeInfo"]
    assert isinstance(info, dict)
    few = [part for part in info["filters"] if part["filterType"] != "MARKET_LOT_SIZE"]
    with pytest.raises(ContractError, match="exchangeInfo in terms of BTCUSDT must have a filter MARKET_LOT_SIZE"):
        terms_from_binance(answers | {"exchangeInfo": info | {"filters": few}})
    for name in ("exchangeInfo", "leverageBracket", "commissionRate"):
        with pytest.raises(ContractError, match=f"{name} in terms of BTCUSDT must be an object and is None"):
            terms_from_binance(answers | {name: None})


@pytest.mark.parametrize("name", ["PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE"])
@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "0", "-1", "much", None, [1]])
def test_a_filter_with_a_number_that_is_none_is_refused_in_one_sentence(name: str, value: object) -> None:
    answers = shipped_answers()
    info: Any = answers["exchangeInfo"]
    for part in info["filters"]:
        if part["filterType"] == name:
            part |= {key: value for key in part if key not in ("filterType", "multiplierDecimal")}
    with pytest.raises(ContractError, match=r"BTCUSDT.* must be .* and is .*; read the terms again with scripts\.down"):
        terms_from_binance(answers)


@pytest.mark.parametrize("name", ["makerCommissionRate", "takerCommissionRate"])
@pytest.mark.parametrize("value", ["NaN", "inf", "-0.0002", "1", "", None])
def test_a_fee_that_was_answered_and_is_no_fraction_is_refused(name: str, value: object) -> None:
    fees: Any = shipped_answers()["commissionRate"]
    with pytest.raises(ContractError, match=r"BTCUSDT.* must be a.* and is .*; read the terms again"):
        terms_from_binance(shipped_answers() | {"commissionRate": fees | {name: value}})
    del fees[name]
    with pytest.raises(ContractError, match=f"commissionRate in terms of BTCUSDT must have {name} and have symbol"):
        terms_from_binance(shipped_answers() | {"commissionRate": fees})


def test_funding_limits_that_the_exchange_does_not_list_are_assumed_and_named() -> None:
    terms = terms_from_binance(shipped_answers() | {"fundingInfo": None})
    assert (terms.funding_interval_hours, terms.funding_cap, terms.funding_floor) == (8, 0.02, -0.02)
    assert terms.inferred == ("funding_interval_hours", "funding_cap", "funding_floor")


def test_the_discount_for_fees_in_bnb_is_dated_data_and_the_same_for_every_symbol(store: DataStore) -> None:
    data = json.loads((SHIPPED.parent / "bnb_discount.json").read_text())
    assert (data["bnb_discount"], data["read_on"]) == ("0.10", "2026-10")
    assert "Futures Fee Structure" in data["source"]
    # 0.05 % and 0.02 % of 1 000 USDT are 0.5 and 0.2; with 10 % off 0.45 and 0.18 (FAQ "Futures Fee Structure").
    terms = load_terms("BTCUSDT")
    kept = 1.0 - terms.bnb_discount
    assert (1_000 * terms.taker_fee * kept, 1_000 * terms.maker_fee * kept) == pytest.approx((0.45, 0.18))
    assert load_terms("ADAUSDT", store).bnb_discount == terms.bnb_discount == bnb_discount()


def ccxt_terms(answers: dict[str, Any]) -> ContractTerms:
    """Return the terms out of what ccxt's own decoder and parsers make of the symbol's answers."""
    exchange = ccxt.binanceusdm()
    decoded = exchange.on_json_response(json.dumps(answers))
    market = exchange.parse_market(decoded["exchangeInfo"])
    tiers = exchange.parse_market_leverage_tiers(decoded["leverageBracket"], market)
    fee = exchange.parse_trading_fee(decoded["commissionRate"], market)
    funding = exchange.parse_funding_rate(decoded["fundingInfo"], market)
    asked: dict[str, Any] = {"market": market, "tiers": tiers, "fee": fee, "read_on": answers["read_on"]}
    assert terms_from_binance(answers_from_ccxt(**asked, funding=funding)) == terms_from_ccxt(**asked, funding=funding)
    unlisted = terms_from_ccxt(**asked)
    assert unlisted.inferred == ("funding_interval_hours", "funding_cap", "funding_floor")
    return terms_from_ccxt(**asked, funding=funding)


def test_terms_out_of_ccxts_own_parsers_are_those_of_the_answers() -> None:
    assert ccxt_terms(shipped_answers()) == replace(load_terms("BTCUSDT"), inferred=())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"market": {}}, "market in what ccxt made of the terms must have id and have nothing"),
        ({"market": None}, "market in what ccxt made of the terms must be an object and is None"),
        ({"market": {"id": "BTCUSDT"}}, "market in what ccxt made of the terms must have info and have id"),
        ({"tiers": None}, "tiers in what ccxt made of the terms must be a list and is None"),
        ({"tiers": 3}, "tiers in what ccxt made of the terms must be a list and is 3"),
        ({"tiers": [{}]}, "tiers in what ccxt made of the terms must have info and have nothing"),
        ({"tiers": ["x"]}, "tiers in what ccxt made of the terms must be an object and is 'x'"),
        ({"tiers": []}, "BTCUSDT must have a leverage bracket and has none"),
        ({"fee": {}}, "fee in what ccxt made of the terms must have info and have nothing"),
        ({"fee": {"info": None}}, "info in fee in what ccxt made of the terms must be an object and is None"),
        ({"funding": {}}, "funding in what ccxt made of the terms must have info and have nothing"),
        ({"read_on": "today"}, "BTCUSDT read_on must be a date as 2026-09-15 and is 'today'"),
    ],
)
def test_what_ccxt_made_of_no_terms_is_refused(change: dict[str, Any], fault: str) -> None:
    answers: Any = shipped_answers()
    asked: dict[str, Any] = {
        "market": {"id": "BTCUSDT", "info": answers["exchangeInfo"]},
        "tiers": [{"info": bracket} for bracket in answers["leverageBracket"]["brackets"]],
        "fee": {"info": answers["commissionRate"]},
        "read_on": "2026-09-15",
    }
    assert terms_from_ccxt(**asked).symbol == "BTCUSDT"
    with pytest.raises(ContractError, match=f"{fault}; read the terms again with scripts.download"):
        terms_from_ccxt(**asked | change)


def live_answers(recorded_data: Path, funding_of: str = "BTCUSDT") -> dict[str, Any]:
    """Return BTCUSDT's terms as the endpoints answered, the documented fees, and a symbol's funding limits."""
    reference = recorded_data / "reference"
    live = json.loads((reference / "live_rest_responses_2026-09-15.json").read_text())
    fundings = next(answer for name, answer in live.items() if name.startswith("GET /fapi/v1/fundingInfo"))
    documented = json.loads((reference / "documented_samples.json").read_text())["rest"]
    brackets = json.loads((reference / "leverage_brackets.json").read_text())["BTCUSDT"]
    return {
        "symbol": "BTCUSDT",
        "read_on": "2026-09-15",
        "exchangeInfo": live["GET /fapi/v1/exchangeInfo"],
        "leverageBracket": [{"symbol": "BTCUSDT", "notionalCoef": 1.5, "brackets": brackets}],
        "commissionRate": documented["GET /fapi/v1/commissionRate"],
        "fundingInfo": next(funding for funding in fundings if funding["symbol"] == funding_of),
    }


def test_the_exchanges_answers_are_read_as_they_are_and_as_ccxt_gives_them(recorded_data: Path) -> None:
    # The fees are those of the documentation's sample: 0.02 % and 0.04 %.
    expected = replace(load_terms("BTCUSDT"), taker_fee=0.0004, inferred=())
    answers = live_answers(recorded_data)
    assert terms_from_binance(answers) == expected
    own = answers | {
        "exchangeInfo": answers["exchangeInfo"]["symbols"][0],
        "leverageBracket": answers["leverageBracket"][0],
    }
    assert terms_from_binance(own) == expected
    assert ccxt_terms(own) == expected
    assert terms_from_binance(json.loads(json.dumps(own), parse_int=str, parse_float=str)) == expected
    # LPTUSDT settles every 4 hours and has the limits of most symbols.
    other = ccxt_terms(own | {"fundingInfo": live_answers(recorded_data, "LPTUSDT")["fundingInfo"]})
    assert (other.funding_interval_hours, other.funding_cap, other.funding_floor) == (4, 0.02, -0.02)


def test_a_symbol_is_found_in_the_lists_of_all_symbols_and_refused_where_it_is_not(recorded_data: Path) -> None:
    answers = live_answers(recorded_data)
    limits = live_answers(recorded_data, "LPTUSDT")["fundingInfo"]
    listed = terms_from_binance(answers | {"fundingInfo": [limits, answers["fundingInfo"]]})
    assert (listed.funding_interval_hours, listed.inferred) == (8, ())
    unlisted = terms_from_binance(answers | {"fundingInfo": [limits]})
    assert unlisted.inferred == ("funding_interval_hours", "funding_cap", "funding_floor")
    for name, other in (("exchangeInfo", "leverageBracket"), ("leverageBracket", "exchangeInfo")):
        asked = answers | {"symbol": "NOPEUSDT", other: shipped_answers()[other]}
        with pytest.raises(ContractError, match=f"{name} must list NOPEUSDT and does not; read the terms again"):
            terms_from_binance(asked)


def test_the_documentations_sample_without_its_filters_types_is_refused(recorded_data: Path) -> None:
    # Its one filter has the fields of all, and its brackets are an empty list.
    documented = json.loads((recorded_data / "reference" / "documented_samples.json").read_text())["rest"]
    info, brackets = documented["GET /fapi/v1/exchangeInfo"], documented["GET /fapi/v1/leverageBracket"]
    answers = live_answers(recorded_data)
    with pytest.raises(ContractError, match="must have a filter LOT_SIZE and has PRICE_FILTER"):
        terms_from_binance(answers | {"symbol": "BLZUSDT", "exchangeInfo": info})
    own = answers["exchangeInfo"]["symbols"][0]
    with pytest.raises(ContractError, match="ETHUSDT must have a leverage bracket and has none"):
        terms_from_binance(answers | {"symbol": "ETHUSDT", "exchangeInfo": own, "leverageBracket": brackets})


def test_the_folders_own_answers_come_before_the_shipped_ones(store: DataStore) -> None:
    path = store.contract_terms_path("BTCUSDT")
    path.parent.mkdir()
    fees = {"makerCommissionRate": "0.0001", "takerCommissionRate": "0.0003"}
    path.write_text(json.dumps(shipped_answers() | {"commissionRate": fees, "read_on": "2026-10-01"}))
    terms = load_terms("BTCUSDT", store)
    assert (terms.maker_fee, terms.taker_fee, terms.read_on) == (0.0001, 0.0003, "2026-10-01")
    assert (terms.brackets_read_on, terms.inferred) == ("2026-10-01", ())
    # Brackets that were not to be had on that day are those of an earlier one.
    older = {"carried_over": {"leverageBracket": "2026-09-20"}, "read_on": "2026-10-01"}
    path.write_text(json.dumps(shipped_answers() | older))
    terms = load_terms("BTCUSDT", store)
    assert (terms.read_on, terms.brackets_read_on) == ("2026-10-01", "2026-09-20")


def test_answers_without_an_account_are_completed_from_the_reference_and_the_shipped_fees(store: DataStore) -> None:
    path = store.contract_terms_path("ADAUSDT")
    path.parent.mkdir()
    public = {name: shipped_answers()[name] for name in ("read_on", "exchangeInfo", "fundingInfo")}
    path.write_text(json.dumps(public | {"symbol": "ADAUSDT"}))
    terms = load_terms("ADAUSDT", store)
    assert (terms.maker_fee, terms.taker_fee, terms.inferred) == (0.0002, 0.0005, ("taker_fee", "maker_fee"))
    assert terms.brackets_read_on is None  # the reference has no date
    assert [bracket.maint_amount for bracket in terms.brackets] == [0.0, 75.0, 575.0]


def test_a_contract_file_of_another_symbol_or_that_is_no_json_is_refused(store: DataStore) -> None:
    path = store.contract_terms_path("ADAUSDT")
    path.parent.mkdir()
    path.write_text(SHIPPED.read_text())
    with pytest.raises(ContractError, match="must hold the terms of ADAUSDT, not of BTCUSDT"):
        load_terms("ADAUSDT", store)
    path.write_text("{half")
    with pytest.raises(ContractError, match=r"ADAUSDT\.json is not readable as JSON"):
        load_terms("ADAUSDT", store)
    path.write_text("[]")
    with pytest.raises(ContractError, match=r"ADAUSDT\.json must hold a JSON object"):
        load_terms("ADAUSDT", store)


def test_terms_that_were_never_read_are_inferred_from_the_data_and_named(store: DataStore) -> None:
    terms = load_terms("ADAUSDT", store)
    assert (terms.tick_size, terms.step_size) == (Decimal("0.0001"), Decimal(1))
    # The last bracket ends at 90 000 USDT; at the lowest price 0.3499 these are 257 216 coins: below 10^6.
    assert (terms.min_quantity, terms.max_quantity) == (Decimal(1), Decimal(10**6))
    # Limit orders as market orders; the highest price is 0.3521, a thousand times it 352.1: below 10^3.
    assert (terms.limit_min_quantity, terms.limit_max_quantity) == (Decimal(1), Decimal(10**6))
    assert (terms.limit_step_size, terms.min_price, terms.max_price) == (Decimal(1), Decimal("0.0001"), Decimal(1000))
    assert (terms.min_notional, terms.liquidation_fee) == (5.0, 0.0125)
    assert (terms.maker_fee, terms.taker_fee) == (0.0002, 0.0005)
    assert set(terms.inferred) == {
        *("tick_size", "min_price", "max_price", "min_notional", "liquidation_fee"),
        *("step_size", "min_quantity", "max_quantity"),
        *("limit_step_size", "limit_min_quantity", "limit_max_quantity"),
        *("multiplier_up", "multiplier_down", "trigger_protect", "market_take_bound"),
        *("funding_interval_hours", "funding_cap", "funding_floor"),
        *("taker_fee", "maker_fee"),
    }
    assert (terms.read_on, terms.brackets_read_on) == ("2026-09-15", None)


def test_what_cannot_be_inferred_is_refused(store: DataStore) -> None:
    with pytest.raises(ContractError, match=r"terms of ADAUSDT are not shipped, only those of BTCUSDT, and no data"):
        load_terms("ADAUSDT")
    with pytest.raises(DataError, match=r"ADAUSD has no klines in .*\(ADAUSDT\)"):
        load_terms("ADAUSD", store)
    (store.root / "reference" / "leverage_brackets.json").unlink()
    with pytest.raises(
        ContractError, match=r"leverage brackets of ADAUSDT are needed and .* run scripts.download ADAUSDT"
    ):
        load_terms("ADAUSDT", store)


def test_the_brackets_of_every_symbol_of_the_exchange_load(recorded_data: Path) -> None:
    table = json.loads((recorded_data / "reference" / "leverage_brackets.json").read_text())
    answers = shipped_answers()
    loaded = {
        symbol: terms_from_binance(answers | {"symbol": symbol, "leverageBracket": {"brackets": brackets}})
        for symbol, brackets in table.items()
    }
    assert len(loaded) == 858
    for symbol, terms in loaded.items():
        check_brackets(symbol, terms.brackets)
        assert terms.max_notional(1) == table[symbol][-1]["notionalCap"]
        assert terms.max_leverage == table[symbol][0]["initialLeverage"]


def test_every_recorded_symbol_gets_terms_whose_tick_and_step_divide_its_data(recorded_data: Path) -> None:
    store = DataStore.open(recorded_data)
    inferred = [symbol for symbol in store.symbols("4h") if symbol != "BTCUSDT"]  # whose terms are shipped
    for symbol in inferred:
        terms = load_terms(symbol, store)
        table = store.klines(symbol, store.intervals(symbol)[-1])
        for values, step in ((table["close"], terms.tick_size), (table["volume"], terms.step_size)):
            units = values.to_numpy() / float(step)
            np.testing.assert_allclose(units, np.rint(units), rtol=1e-11, atol=1e-6)
        assert {"tick_size", "step_size"} <= set(terms.inferred)
    assert len(inferred) > 10


@pytest.mark.parametrize("name", DECIMAL_FIELDS)
@pytest.mark.parametrize("text", ["1E-9", "0.123456789", "1E400", "1E-400"])
def test_a_decimal_that_no_exchange_writes_is_refused(name: str, text: str) -> None:
    changes: dict[str, Any] = {name: Decimal(text)}
    with pytest.raises(ContractError, match=f"BTCUSDT {name} must be below 1E\\+18 with at most 8 decimals"):
        replace(load_terms("BTCUSDT"), **changes)
