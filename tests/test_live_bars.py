"""The series of closed bars: what gets in, what does not, what is missing, and that it is the market of training."""

import json
import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.bars import BAR_DTYPE, MS_PER_HOUR
from rl_trader.contract import load_terms
from rl_trader.download.archive import KLINE_COLUMNS, Kind, Series, tidy
from rl_trader.errors import ConfigError, DataError
from rl_trader.klines import interval_ms, utc
from rl_trader.live.streams.bar_series import FUNDING_BEFORE_MS, BarSeries, Outcome, SeriesNeeds
from rl_trader.live.streams.market_rows import read_candle
from rl_trader.market import SymbolTables, build_market

START = 1_704_067_200_000  # 2024-01-01T00:00Z, when funding is settled
BAR = 1_800_000
TERMS = load_terms("BTCUSDT")
MARK = Series(Kind.MARK_PRICE, "BTCUSDT", "30m")
HOURLY = Series(Kind.MARK_PRICE, "BTCUSDT", "1h")


def needs(num_bars: int = 3, marks: tuple[str, ...] = ("30m",), interval: str = "30m") -> SeriesNeeds:
    return SeriesNeeds(terms=TERMS, interval=interval, num_bars=num_bars, mark_intervals=marks)


def row(number: int, /, close: Any = "50010.5", length: Any = BAR, **changes: Any) -> list[Any]:
    """Return the kline of a number from START on, as REST has it."""
    opened = START + number * length
    fields = dict.fromkeys(KLINE_COLUMNS, "0") | {
        "open_time": opened,
        "open": "50000.10",
        "high": "50100.00",
        "low": "49900.0",
        "close": close,
        "volume": f"{100 + number}.125",
        "close_time": opened + length - 1,
        "quote_volume": "5000000.25",
        "trades": 1234,
        "taker_buy_volume": "60.001",
        "taker_buy_quote_volume": "3000000.5",
    }
    return list((fields | changes).values())


def settlement(hours: int, rate: str = "0.00010000", **changes: Any) -> dict[str, Any]:
    """Return what REST tells of funding, so many hours from START."""
    fields = {"symbol": "BTCUSDT", "fundingTime": START + hours * MS_PER_HOUR + 5, "fundingRate": rate}
    return fields | {"markPrice": "50005.12345678"} | changes


def filled(number: int, wanted: SeriesNeeds | None = None) -> BarSeries:
    """Return a series with the bars up to one, and funding every eight hours from well before START."""
    series = BarSeries(wanted or needs())
    for i in range(-20, number + 1):
        series.add_bar(row(i))
        for mark in series.marks:
            length = interval_ms(str(mark.interval))
            if (START + i * BAR) % length == 0:
                series.add_mark(mark, row(i * BAR // length, length=length))
    for hours in range(-240, (number + 1) // 2 + 1, 8):
        series.add_settlement(settlement(hours))
    series.note_funding_told(START - 240 * MS_PER_HOUR)
    return series


def end(number: int) -> int:
    return START + (number + 1) * BAR


# ---- What gets in


def test_a_bar_is_kept_in_the_exchanges_own_texts() -> None:
    series = BarSeries(needs())
    assert series.add_bar(row(0)).outcome is Outcome.ADDED
    assert series.bar(START) == {
        "open_time": str(START),
        "open": "50000.10",
        "high": "50100.00",
        "low": "49900.0",
        "close": "50010.5",
        "volume": "100.125",
        "quote_volume": "5000000.25",
        "trades": "1234",
        "taker_buy_volume": "60.001",
    }
    assert series.bar(START + BAR) is None


def test_the_same_bar_again_comes_to_nothing_however_its_numbers_are_written() -> None:
    series = BarSeries(needs())
    series.add_bar(row(0))
    assert series.add_bar(row(0)).outcome is Outcome.KNOWN
    assert series.add_bar(row(0, close="50010.50")).outcome is Outcome.KNOWN


def test_a_bar_that_comes_with_other_numbers_is_reported_and_the_first_ones_stay() -> None:
    series = BarSeries(needs())
    series.add_bar(row(0))
    verdict = series.add_bar(row(0, close="50010.6"))
    assert (verdict.outcome, verdict.time_ms) == (Outcome.REVISED, START)
    assert "50010.6" in verdict.reason
    kept = series.bar(START)
    assert kept is not None
    assert kept["close"] == "50010.5"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"close": "nan"}, "plain number as its close"),
        ({"close": "inf"}, "plain number as its close"),
        ({"close": "-50000"}, "plain number as its close"),
        ({"close": "5e4"}, "plain number as its close"),
        ({"close": "50_000"}, "plain number as its close"),  # Python's float() reads these four
        ({"close": " 50000"}, "plain number as its close"),
        ({"close": "\u0665\u0660\u0660\u0660\u0660"}, "plain number as its close"),
        ({"close": ""}, "plain number as its close"),
        ({"close": None}, "plain number as its close"),
        ({"close": True}, "plain number as its close"),
        ({"close": 50000.5}, "plain number as its close"),  # a float is no text of the exchange
        ({"close": Decimal("5E+4")}, "plain number as its close"),
        ({"low": "0"}, "positive prices between its low and its high"),
        ({"low": "50005"}, "positive prices between its low and its high"),
        ({"high": "50005"}, "positive prices between its low and its high"),
        ({"volume": "-1"}, "plain number as its volume"),
        ({"taker_buy_volume": "1e400"}, "plain number as its taker_buy_volume"),
        ({"trades": -1}, "plain number as its trades"),
        ({"open_time": START + 1}, "must open on its grid"),
        ({"open_time": START + BAR}, "must open on its grid"),
        ({"open_time": str(START)}, "times in ms since 1970"),
        ({"open_time": -BAR}, "times in ms since 1970"),
        ({"close_time": START + BAR}, "must open on its grid"),
        ({"close_time": True}, "times in ms since 1970"),
    ],
)
def test_a_bar_with_a_field_that_cannot_be_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    series = BarSeries(needs())
    verdict = series.add_bar(row(0, **changes))
    assert verdict.outcome is Outcome.REFUSED
    assert words in verdict.reason
    assert series.bar(START) is None


def test_a_number_that_is_not_written_as_text_is_taken_exactly() -> None:
    series = BarSeries(needs())
    series.add_bar(row(0, close=Decimal("50010.50"), volume=7))
    kept = series.bar(START)
    assert kept is not None
    assert (kept["close"], kept["volume"]) == ("50010.50", "7")


def test_a_row_of_another_form_is_refused() -> None:
    series = BarSeries(needs())
    for wrong in (row(0)[:11], [], "123456789012"):
        assert series.add_bar(wrong).outcome is Outcome.REFUSED


GOOD = row(0)
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(),
    st.text(max_size=8),
    st.sampled_from(["NaN", "-1", "1e9", "0x10", "1_0", "inf", "\uff11\uff12", "1.2.3", "1,5", "9" * 30]),
    st.lists(st.integers(), max_size=2),
)


@given(st.integers(0, len(GOOD) - 1), JUNK)
def test_no_single_corrupt_field_gets_in_but_one_that_is_a_possible_number(column: int, value: Any) -> None:
    series = BarSeries(needs())
    corrupt = [*GOOD[:column], value, *GOOD[column + 1 :]]
    verdict = series.add_bar(corrupt)
    bar = series.bar(START)
    if verdict.outcome is Outcome.REFUSED:
        assert bar is None
        assert verdict.reason
        return
    # Whatever is taken is what a market can have: finite, ordered, not negative.
    assert bar is not None
    numbers = {name: float(text) for name, text in bar.items()}
    assert 0 < numbers["low"] <= min(numbers["open"], numbers["close"])
    assert max(numbers["open"], numbers["close"]) <= numbers["high"] < 1e20
    assert all(0 <= numbers[name] < 1e20 for name in ("volume", "quote_volume", "trades", "taker_buy_volume"))
    assert KLINE_COLUMNS[column] not in ("open_time", "close_time") or value == GOOD[column]


@given(st.permutations([(i, copy) for i in range(6) for copy in range(2)]))
def test_any_order_and_repetition_of_rows_gives_the_same_series(order: list[tuple[int, int]]) -> None:
    wanted, shuffled = filled(5), BarSeries(needs())
    for i, _ in order:
        shuffled.add_bar(row(i))
        shuffled.add_mark(MARK, row(i))
        shuffled.add_settlement(settlement(-8 * i))
    for i in range(-3, 0):
        shuffled.add_bar(row(i))
        shuffled.add_mark(MARK, row(i))
    for hours in range(-240, 8, 8):
        shuffled.add_settlement(settlement(hours))
    shuffled.note_funding_told(START - 240 * MS_PER_HOUR)
    first, second = wanted.tables(end(5)), shuffled.tables(end(5))
    pd.testing.assert_frame_equal(first.klines, second.klines, check_exact=True)
    pd.testing.assert_frame_equal(first.mark_prices["30m"], second.mark_prices["30m"], check_exact=True)
    assert first.funding is not None
    assert second.funding is not None
    pd.testing.assert_frame_equal(first.funding, second.funding, check_exact=True)


@given(st.permutations(range(0, 2_000, 40)))
def test_what_is_kept_depends_on_the_newest_bar_and_not_on_the_order(order: list[int]) -> None:
    series = BarSeries(needs(num_bars=1))
    for i in order:
        series.add_bar(row(i))
    # Kept are a day, and twice the window of a bar and a day: 1 + 2 * (1 / 48 + 1) days are 146 bars.
    kept = [i for i in range(0, 2_000, 40) if series.bar(START + i * BAR) is not None]
    assert kept == [i for i in range(0, 2_000, 40) if i > 1_960 - 146]


def test_a_bar_from_before_what_is_kept_is_left_out() -> None:
    series = BarSeries(needs(num_bars=1))
    series.add_bar(row(200))
    assert series.add_bar(row(0)).outcome is Outcome.OLD


# ---- Funding


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbol": "ETHUSDT"}, "must be an entry of fundingRate"),
        ({"fundingTime": START + 61_000}, "within a minute of a full hour"),
        ({"fundingTime": None}, "times in ms since 1970"),
        ({"fundingRate": "1.5"}, "rate below 1"),
        ({"fundingRate": "nan"}, "plain number as its rate"),
        ({"fundingRate": "--1"}, "plain number as its rate"),
        ({"markPrice": "0"}, "positive mark price"),
        ({"markPrice": "1e5"}, "plain number as its mark price"),
    ],
)
def test_a_settlement_that_cannot_be_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    series = BarSeries(needs())
    verdict = series.add_settlement(settlement(0, **changes))
    assert verdict.outcome is Outcome.REFUSED
    assert words in verdict.reason
    assert not series.has_settlement(START)


def test_a_settlement_counts_for_its_hour_and_may_be_negative_and_have_no_mark_price() -> None:
    series = BarSeries(needs())
    assert series.add_settlement(settlement(0, rate="-0.00012345", markPrice="")).outcome is Outcome.ADDED
    assert series.add_settlement(settlement(0, rate="-0.000123450", markPrice="")).outcome is Outcome.KNOWN
    assert series.add_settlement(settlement(0, rate="0.00012345", markPrice="")).outcome is Outcome.REVISED
    assert series.has_settlement(START)
    assert series.add_settlement("nothing").outcome is Outcome.REFUSED


# ---- What is missing


def test_a_whole_window_is_ready() -> None:
    series = filled(5)
    assert series.missing(end(5)) == ()
    assert series.is_ready(end(5) + BAR - 1)  # the bar after it is not over yet


def test_a_bar_that_has_not_come_is_missing_and_so_is_its_mark_price() -> None:
    series = filled(5)
    assert [str(hole) for hole in series.missing(end(6))] == [
        f"klines_30m from {utc(end(5))} until {utc(end(6))}",
        f"mark_price_30m from {utc(end(5))} until {utc(end(6))}",
    ]
    series.add_bar(row(6))
    assert not series.is_ready(end(6))
    series.add_mark(MARK, row(6))
    assert series.is_ready(end(6))


def test_a_hole_makes_the_series_not_ready_until_the_window_has_passed_it() -> None:
    series = BarSeries(needs(num_bars=2, marks=()))
    for hours in range(-240, 8, 8):
        series.add_settlement(settlement(hours))
    series.note_funding_told(START - 240 * MS_PER_HOUR)
    for i in (0, 1, 3, 4):
        series.add_bar(row(i))
    assert [series.is_ready(end(i)) for i in range(5)] == [False, True, False, False, True]
    assert [(hole.since_ms, hole.until_ms) for hole in series.missing(end(3))] == [(end(1), end(2))]


def test_funding_is_missing_until_the_exchange_has_told_all_of_it() -> None:
    series = BarSeries(needs(num_bars=2, marks=()))
    for i in range(4):
        series.add_bar(row(i))
    since = START + 2 * BAR - FUNDING_BEFORE_MS
    assert [(hole.series, hole.since_ms) for hole in series.missing(end(3))] == [(series.funding, since)]
    series.note_funding_told(since)
    assert series.is_ready(end(3))  # nothing was due in these two bars


def test_a_settlement_that_is_due_within_the_window_is_missing() -> None:
    series = filled(17)  # ends at 09:00; 08:00 is known
    assert series.is_ready(end(17))
    late = BarSeries(needs())
    for i in range(12, 18):
        late.add_bar(row(i))
        late.add_mark(MARK, row(i))
    for hours in range(-240, 8, 8):
        late.add_settlement(settlement(hours))
    late.note_funding_told(START - 240 * MS_PER_HOUR)
    assert late.is_ready(end(15))  # ends at 08:00 exactly: what is settled then belongs to the next bar
    eight = START + 8 * MS_PER_HOUR
    assert [(hole.since_ms, hole.until_ms) for hole in late.missing(end(16))] == [(eight, eight + MS_PER_HOUR)]
    late.add_settlement(settlement(8))
    assert late.is_ready(end(16))


def test_a_settlement_between_two_that_are_known_is_missing() -> None:
    series = filled(20)
    gap = BarSeries(needs(num_bars=20))
    for i in range(-30, 21):
        gap.add_bar(row(i))
        gap.add_mark(MARK, row(i))
    for hours in (*range(-240, 0, 8), 8):
        gap.add_settlement(settlement(hours))
    gap.note_funding_told(START - 240 * MS_PER_HOUR)
    assert series.is_ready(end(20))
    assert [hole.since_ms for hole in gap.missing(end(18))] == [START]


def test_other_terms_ask_for_other_settlements() -> None:
    series = filled(10)
    assert series.is_ready(end(10))
    series.change_terms(replace(TERMS, funding_interval_hours=4))
    # 05:30 is reached, and 04:00 was not settled.
    assert [hole.since_ms for hole in series.missing(end(10))] == [START + 4 * MS_PER_HOUR]


def test_tables_of_a_window_with_a_hole_are_refused() -> None:
    series = filled(5)
    with pytest.raises(DataError, match=r"must be whole and lacks klines_30m from .* \(2 holes in all\)"):
        series.tables(end(6))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_bars": 0}, "at least 1 bar"),
        ({"interval": "3d"}, "of a day at most"),
        ({"interval": "2h", "mark_intervals": ("3d",)}, "of a day at most"),
        ({"interval": "12h", "mark_intervals": ("8h",)}, "does not go with bars of 12h"),
        ({"interval": "7m"}, "is not known"),
    ],
)
def test_needs_that_cannot_be_met_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(needs(), **changes)


# ---- The same market as training


def recorded(series: Series, rows: list[list[Any]]) -> pd.DataFrame:
    """Return rows as the downloader keeps them."""
    return tidy(pd.DataFrame(rows, columns=list(KLINE_COLUMNS), dtype=object), series, "rows")


def walk(num_bars: int, seed: int) -> list[list[Any]]:
    """Return klines whose prices go anywhere, with as many digits as the exchange writes."""
    rng = random.Random(seed)
    rows, price = [], 50_000.0
    for i in range(num_bars):
        opened, price = price, price * (1 + rng.gauss(0, 0.003))
        low, high = min(opened, price) * (1 - rng.random() / 500), max(opened, price) * (1 + rng.random() / 500)
        texts = {name: f"{value:.8f}" for name, value in (("open", opened), ("high", high), ("low", low))}
        amounts = {"volume": f"{rng.random() * 1000:.3f}", "taker_buy_volume": f"{rng.random() * 10:.3f}"}
        price = float(f"{price:.8f}")
        rows.append(row(i, close=f"{price:.8f}", **(texts | amounts)))
    return rows


def assert_same_bars(found: np.ndarray, wanted: np.ndarray) -> None:
    """Compare to the bit what observations are made of; the other two fields count rows of the whole table."""
    for name in set(BAR_DTYPE.names or ()) - {"num_settled", "segment"}:
        assert found[name].tobytes() == wanted[name].tobytes(), name


@pytest.mark.parametrize("mark_interval", ["30m", "15m", "1h", "8h"])
def test_a_window_has_the_bits_of_the_whole_recording(mark_interval: str) -> None:
    num_bars, window = 400, 60
    rows, length = walk(num_bars, seed=3), interval_ms(mark_interval)
    candles = walk(num_bars * BAR // length, seed=4)
    for i, candle in enumerate(candles):
        candle[0], candle[6] = START + i * length, START + (i + 1) * length - 1
    fundings = [settlement(hours, rate=f"{(hours % 7 - 3) * 0.00001234:.8f}") for hours in range(0, num_bars // 2, 8)]
    mark = Series(Kind.MARK_PRICE, "BTCUSDT", mark_interval)
    funding = pd.DataFrame(
        {
            "funding_time": [each["fundingTime"] for each in fundings],
            "funding_rate": [float(each["fundingRate"]) for each in fundings],
            "mark_price": [float(each["markPrice"]) for each in fundings],
        }
    )
    klines = recorded(Series(Kind.KLINES, "BTCUSDT", "30m"), rows)
    tables = SymbolTables(
        terms=TERMS, klines=klines, mark_prices={mark_interval: recorded(mark, candles)}, funding=funding
    )
    whole = build_market([tables], "30m")

    series = BarSeries(needs(num_bars=window, marks=(mark_interval,)))
    for given_row in rows:
        series.add_bar(given_row)
    for candle in candles:
        series.add_mark(mark, candle)
    for each in fundings:
        series.add_settlement(each)
    series.note_funding_told(START - 30 * 24 * MS_PER_HOUR)
    for last in (350, 371, 399):
        live = build_market([series.tables(end(last))], "30m")
        assert_same_bars(live.bars[-window:], whole.bars[last + 1 - window : last + 1])


def test_of_a_mark_price_in_longer_bars_the_open_is_known_before_their_end() -> None:
    series = filled(4, needs(num_bars=2, marks=("1h",)))
    assert series.marks == (HOURLY,)
    forming = row(2, length=2 * BAR, close="50099.9")  # opened with bar 4, which is over; itself it is not
    assert series.add_mark(HOURLY, forming).outcome is Outcome.KNOWN
    assert series.is_ready(end(4))
    table = series.tables(end(4)).mark_prices["1h"]
    # Bars 3 and 4: the first of them lies in the hour of bar 2, so that the window begins there.
    assert table["open_time"].tolist() == [START + 2 * BAR, START + 4 * BAR]
    assert (table["open"] == 50000.1).all()
    assert series.tables(end(4)).klines["open_time"].tolist() == [START + i * BAR for i in (2, 3, 4)]


def test_the_mark_price_at_a_bars_end_is_that_of_its_finest_candles() -> None:
    series = BarSeries(needs(marks=("30m", "15m", "1h")))
    (half, quarter, hour) = series.marks
    series.add_mark(half, row(2, close="50001"))
    series.add_mark(hour, row(1, length=2 * BAR, close="50002"))
    assert series.mark_close(START + 2 * BAR) is None
    series.add_mark(quarter, row(4, length=BAR // 2, close="50003"))
    assert series.mark_close(START + 2 * BAR) is None  # it ends with the second one of the two
    series.add_mark(quarter, row(5, length=BAR // 2, close="50004"))
    assert series.mark_close(START + 2 * BAR) == "50004"
    assert filled(4, needs(marks=("1h",))).mark_close(START + 4 * BAR) is None  # of these the open alone is known


@given(st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=8))
def test_a_text_becomes_the_float_that_the_downloader_makes_of_it(value: Any) -> None:
    text = f"{value + 1:.8f}"
    kline = row(0, open=text, high=text, low=text, close=text)
    series = Series(Kind.KLINES, "BTCUSDT", "30m")
    live = BarSeries(needs(num_bars=1, marks=()))
    live.add_bar(kline)
    live.note_funding_told(START - FUNDING_BEFORE_MS)
    live.add_settlement(settlement(0))
    answer = json.loads(json.dumps([kline]))
    found = live.tables(end(0)).klines["close"].to_numpy()
    assert found.tobytes() == recorded(series, answer)["close"].to_numpy().tobytes()
    assert float(read_candle(kline, series)[4] or 0) == found[0]
