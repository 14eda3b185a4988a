"""Klines, mark prices, funding and signals in one array: what stands in each bar, and what is refused.

Bars are of one hour from 2024-01-01T00:00Z on, named by their hour, unless said otherwise.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from rl_trader.bars import MS_PER_HOUR
from rl_trader.config import Assumptions
from rl_trader.contract import load_terms
from rl_trader.errors import ConfigError, DataError
from rl_trader.klines import interval_ms, parse_date
from rl_trader.market import MarketData, Period, Segment, SymbolTables, build_market, episode_table

START = parse_date("2024-01-01")
TERMS = replace(load_terms("BTCUSDT"), symbol="AAAUSDT")  # funding every 8 hours
LAST_AND_ZERO = Assumptions(missing_mark="last", missing_funding="zero")


def klines(opens: ArrayLike, interval: str = "1h", hours: Sequence[float] | None = None) -> pd.DataFrame:
    """Return candles with high = open + 2, low = open - 3, close = open + 1 and a volume of 10, 11, 12, ..."""
    prices = np.asarray(opens, np.float64)
    step = interval_ms(interval)
    offsets = np.arange(len(prices)) * step if hours is None else np.asarray(hours) * MS_PER_HOUR
    return pd.DataFrame(
        {
            "open_time": START + offsets.astype(np.int64),
            "open": prices,
            "high": prices + 2.0,
            "low": prices - 3.0,
            "close": prices + 1.0,
            "volume": 10.0 + np.arange(len(prices)),
        }
    )


def marks(opens: ArrayLike, interval: str = "1h", hours: Sequence[float] | None = None) -> pd.DataFrame:
    return klines(opens, interval, hours).drop(columns="volume")


def funding(*settlements: tuple[float, float]) -> pd.DataFrame:
    """Return a funding table of (hour, rate)."""
    times = np.array([START + round(hour * MS_PER_HOUR) for hour, _ in settlements], np.int64)
    return pd.DataFrame({"funding_time": times, "funding_rate": [rate for _, rate in settlements]})


def market(
    table: pd.DataFrame,
    mark_prices: dict[str, pd.DataFrame] | None = None,
    rates: pd.DataFrame | None = None,
    assumptions: Assumptions = LAST_AND_ZERO,
    hours: int = 8,
    interval: str = "1h",
) -> MarketData:
    terms = replace(TERMS, funding_interval_hours=hours)
    tables = SymbolTables(terms=terms, klines=table, mark_prices=mark_prices or {}, funding=rates)
    return build_market([tables], interval, assumptions)


# Bars


def test_a_bar_holds_its_candle() -> None:
    data = market(klines([100.0, 110.0]).assign(taker_buy_volume=[4.0, 5.0]))
    bar = data.bars[1]
    assert bar["open_time"] == START + MS_PER_HOUR
    assert [bar[name] for name in ("open", "high", "low", "close")] == [110.0, 112.0, 107.0, 111.0]
    assert (bar["volume"], bar["taker_buy_volume"]) == (11.0, 5.0)
    assert np.isnan(market(klines([100.0])).bars["taker_buy_volume"]).all()
    assert (data.interval, data.interval_ms, data.bars_per_year) == ("1h", MS_PER_HOUR, 8_760.0)
    assert (data.symbols, data.segments) == (("AAAUSDT",), (Segment(0, 0, 2),))


def test_a_damaged_table_is_refused_by_its_name_and_row() -> None:
    table = klines([100.0, 110.0, 120.0])
    table.loc[1, "high"] = 90.0
    with pytest.raises(DataError, match=r"AAAUSDT 1h row 1 at 2024-01-01T01:00Z has a high below the low"):
        market(table)
    good = klines([100.0, 110.0, 120.0])
    with pytest.raises(DataError, match=r"AAAUSDT 1h mark price 1h row 1 at 2024-01-01T01:00Z"):
        market(good, {"1h": table.drop(columns="volume")})


def test_a_hole_is_refused_by_its_time_or_splits_the_recording() -> None:
    table = klines([100.0, 101.0, 102.0, 103.0, 104.0], hours=[0, 1, 4, 5, 6])
    refusing = replace(LAST_AND_ZERO, holes="refuse")
    with pytest.raises(DataError, match=r"1h has a hole: 2 bars missing after 2024-01-01T01:00Z.*holes to split"):
        market(table, assumptions=refusing)
    data = market(table, assumptions=replace(LAST_AND_ZERO, holes="split"))
    assert data.segments == (Segment(0, 0, 2), Segment(0, 2, 5))
    assert data.bars["segment"].tolist() == [0, 0, 1, 1, 1]


# Mark price


def columns(data: MarketData, row: int) -> list[float]:
    return [float(data.bars[row][name]) for name in ("mark_open", "mark_high", "mark_low", "mark_close")]


def test_mark_candles_of_the_same_interval_are_the_bars_mark_prices() -> None:
    data = market(klines([100.0, 110.0]), {"1h": marks([100.5, 110.5, 120.5])})
    assert columns(data, 1) == [110.5, 112.5, 107.5, 111.5]
    assert not [note for note in data.assumptions if "mark" in note]


def test_finer_mark_candles_are_put_together() -> None:
    # Hour 1 has half hours that open at 111 and 109: open 111, high 113, low 106, close 110.
    data = market(klines([100.0, 110.0]), {"30m": marks([100.0, 101.0, 111.0, 109.0], "30m")})
    assert columns(data, 1) == [111.0, 113.0, 106.0, 110.0]


def test_coarser_mark_candles_give_the_ratio_of_mark_to_last_at_their_open() -> None:
    # Marks of 4 hours open at 101 and 208 where last opens at 100 and 200: ratios 1.01 and 1.04.
    opens = [100.0, 110.0, 120.0, 130.0, 200.0, 210.0]
    data = market(klines(opens), {"4h": marks([101.0, 208.0], "4h")})
    assert columns(data, 0) == pytest.approx([101.0, 103.02, 97.97, 102.01], abs=1e-12)
    assert columns(data, 3) == pytest.approx([131.3, 133.32, 128.27, 132.31], abs=1e-12)
    assert columns(data, 5) == pytest.approx([218.4, 220.48, 215.28, 219.44], abs=1e-12)
    # Mark prices have 8 decimals: 110 * (100.1 / 300) = 36.7033333...
    third = market(klines([300.0, 110.0]), {"4h": marks([100.1], "4h")})
    assert columns(third, 1)[0] == 36.70333333


def test_high_low_and_close_of_a_coarser_mark_candle_are_never_used() -> None:
    table = klines(100.0 + np.arange(12))
    coarse = marks([101.0, 105.0, 108.0], "4h")
    other = coarse.assign(high=coarse["high"] + 50.0, low=coarse["low"] - 50.0, close=coarse["close"] + 33.0)
    assert market(table, {"4h": coarse}).bars.tobytes() == market(table, {"4h": other}).bars.tobytes()


def test_a_bar_takes_the_best_mark_price_that_is_recorded() -> None:
    # Hour 0 has all three, hour 1 the finer and the coarser, hour 2 only the coarser: 120 * 1.5.
    tables = {
        "4h": marks([150.0], "4h"),
        "30m": marks([100.3, 100.4, 110.3, 110.4], "30m"),
        "1h": marks([100.5]),
    }
    data = market(klines([100.0, 110.0, 120.0]), tables)
    assert data.bars["mark_open"].tolist() == [100.5, 110.3, 180.0]


def test_of_two_finer_or_two_coarser_intervals_the_nearer_is_taken() -> None:
    finer = {"15m": marks([1.0 + 100.0] * 4, "15m"), "30m": marks([100.2] * 2, "30m")}
    assert market(klines([100.0]), finer).bars["mark_open"].tolist() == [100.2]
    coarser = {"8h": marks([101.0], "8h"), "4h": marks([102.0], "4h")}
    assert market(klines([100.0]), coarser).bars["mark_open"].tolist() == [102.0]


def test_a_bar_without_a_mark_price_is_refused_or_takes_the_last_price() -> None:
    table = klines([100.0, 110.0, 120.0])
    refusing = replace(LAST_AND_ZERO, missing_mark="refuse")
    recorded = {"1h": marks([100.5, 120.5], hours=[0, 2])}
    message = r"AAAUSDT 1h mark price is not recorded in 1 of 3 bars, the first 2024-01-01T01:00Z; download it"
    with pytest.raises(DataError, match=message):
        market(table, recorded, assumptions=refusing)
    data = market(table, recorded)
    assert columns(data, 1) == [110.0, 112.0, 107.0, 111.0]
    assert data.bars["mark_open"].tolist() == [100.5, 110.0, 120.5]
    assert "AAAUSDT 1h mark price is not recorded in 1 of 3 bars: the last price is assumed there" in data.assumptions


@pytest.mark.parametrize(
    "mark_prices",
    [
        {"30m": marks([100.0, 100.0, 110.0], "30m")},  # hour 1 has one half hour only
        {"4h": marks([100.0], "4h", hours=[4])},  # begins after the bars
        {"4h": marks([100.0], "4h", hours=[-4])},  # its open is not a bar's, and it ends at hour 0
        {},
    ],
)
def test_a_mark_price_that_does_not_cover_a_bar_is_not_invented(mark_prices: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(DataError, match="mark price is not recorded in"):
        market(klines([100.0, 110.0]), mark_prices, assumptions=replace(LAST_AND_ZERO, missing_mark="refuse"))


def test_a_missing_coarse_mark_candle_leaves_its_own_bars_without_a_mark_price() -> None:
    table = klines(100.0 + np.arange(12))
    message = r"not recorded in 4 of 12 bars, the first 2024-01-01T04:00Z"
    with pytest.raises(DataError, match=message):
        market(
            table,
            {"4h": marks([101.0, 109.0], "4h", hours=[0, 8])},
            assumptions=replace(LAST_AND_ZERO, missing_mark="refuse"),
        )


# Funding


def test_a_settlement_at_a_bars_open_is_that_bars_and_one_at_its_close_the_next_ones() -> None:
    # Stamped some milliseconds late, as the exchange does.
    rates = funding((0.0, 0.0001), (8.0, 0.0002), (16.0, -0.0003))
    rates["funding_time"] += [5, 17, 0]
    data = market(klines([100.0] * 18), rates=rates)
    assert data.fundings["funding_time"].tolist() == [START + hour * MS_PER_HOUR for hour in (0, 8, 16)]
    assert data.fundings["funding_rate"].tolist() == [0.0001, 0.0002, -0.0003]
    # Settled before the close of hours 0 to 7: one; of hour 8 on: two; of hour 16 on: three.
    assert data.bars["num_settled"].tolist() == [1] * 8 + [2] * 8 + [3] * 2
    np.testing.assert_array_equal(
        data.bars["last_funding_rate"], np.array([0.0001] * 8 + [0.0002] * 8 + [-0.0003] * 2, np.float32)
    )
    # From the close of hour 0 to 08:00 it is 7 hours, from that of hour 7 none; after the last, the grid of 8 hours.
    assert data.bars["hours_to_funding"].tolist() == [7, 6, 5, 4, 3, 2, 1, 0] * 2 + [7, 6]


def test_settlements_are_made_at_the_mark_price_of_their_instant() -> None:
    rates = funding((0.0, 0.0001), (8.0, 0.0002), (16.0, 0.0003))
    at_opens = market(klines(100.0 + np.arange(24)), {"1h": marks(100.5 + np.arange(24))}, rates)
    assert at_opens.fundings["mark_price"].tolist() == [100.5, 108.5, 116.5]
    assert not at_opens.assumptions
    # Inside bars of a day: a mark candle that opens at that instant, ...
    day = klines([100.0], "1d")
    finer = market(day, {"8h": marks([101.0, 103.0, 106.0], "8h")}, rates, interval="1d")
    assert finer.fundings["mark_price"].tolist() == [101.0, 103.0, 106.0]
    assert not finer.assumptions
    # ... else the mark price of the bar's open, and the market says so.
    coarse = market(day, {"1d": marks([101.0], "1d")}, rates, interval="1d")
    assert coarse.fundings["mark_price"].tolist() == [101.0] * 3
    assert coarse.assumptions == ("AAAUSDT: 2 settlements inside a bar use the mark price of the bar's open",)


@pytest.mark.parametrize(
    ("assumption", "rate", "hours", "times"),
    [  # 0.01 % per 8 hours is 0.005 % per 4 hours
        ("zero", 0.0, 8, [0, 8, 16]),
        ("base", 0.0001, 8, [0, 8, 16]),
        ("base", 0.00005, 4, [0, 4, 8, 12, 16]),
    ],
)
def test_settlements_that_are_not_recorded_follow_the_assumption(
    assumption: str, rate: float, hours: int, times: list[int]
) -> None:
    assumed = replace(LAST_AND_ZERO, missing_funding=assumption)  # type: ignore[arg-type]
    data = market(klines([100.0] * 18), assumptions=assumed, hours=hours)
    assert ((data.fundings["funding_time"] - START) // MS_PER_HOUR).tolist() == times
    assert data.fundings["funding_rate"].tolist() == [rate] * len(times)
    count = len(times)
    note = f"AAAUSDT funding is not recorded at {count} of {count} settlements: rate {rate:g} is assumed there"
    assert note in data.assumptions


def test_settlements_that_are_not_recorded_are_refused_by_default() -> None:
    assumed = Assumptions(missing_mark="last")
    # 3 settlements at 0, 8 and 16; recorded are none, all but the first, all but the last, all but the middle one.
    for rates, missing, first in (
        (None, 3, "00:00"),
        (funding((8.0, 0.0001), (16.0, 0.0002)), 1, "00:00"),
        (funding((0.0, 0.0001), (8.0, 0.0002)), 1, "16:00"),
    ):
        message = f"AAAUSDT funding is not recorded at {missing} of 3 settlements, the first 2024-01-01T{first}Z"
        with pytest.raises(DataError, match=message):
            market(klines([100.0] * 18), rates=rates, assumptions=assumed)
    hole = funding(*((8.0 * i, 0.0001) for i in range(9) if i != 4))
    with pytest.raises(DataError, match="not recorded at 1 of 9 settlements, the first 2024-01-02T08:00Z; download it"):
        market(klines([100.0] * 70), rates=hole, assumptions=assumed)
    filled = market(klines([100.0] * 70), rates=hole)
    assert filled.fundings["funding_rate"].tolist() == [0.0001] * 4 + [0.0] + [0.0001] * 4
    complete = funding((0.0, 0.0001), (8.0, 0.0002), (16.0, 0.0002))
    assert not [note for note in market(klines([100.0] * 18), rates=complete).assumptions if "funding" in note]


def test_a_change_of_the_funding_interval_is_no_hole() -> None:
    hours = [0, 8, 16, 24, 32, 40, 44, 48, 52, 56, 60, 64, 68]
    rates = funding(*((float(hour), 0.0001 * i) for i, hour in enumerate(hours)))
    for today in (8, 4):  # whatever the terms of today say
        data = market(klines([100.0] * 72), rates=rates, assumptions=Assumptions(missing_mark="last"), hours=today)
        assert ((data.fundings["funding_time"] - START) // MS_PER_HOUR).tolist() == hours
        # From the close of hour 38 to 40:00 it is 1 hour, from that of hour 40 to 44:00 it is 3.
        assert data.bars["hours_to_funding"][[38, 39, 40, 43, 44]].tolist() == [1, 0, 3, 0, 3]


def test_a_missing_settlement_off_todays_grid_is_found() -> None:
    # Every 4 hours, 20:00 is missing; the terms of today say 8 hours, on whose grid 20:00 is not.
    hours = [4.0 * i for i in range(18) if i != 5]
    rates = funding(*((hour, 0.0001) for hour in hours))
    with pytest.raises(DataError, match="not recorded at 1 of 18 settlements, the first 2024-01-01T20:00Z"):
        market(klines([100.0] * 72), rates=rates, assumptions=Assumptions(missing_mark="last"))
    filled = market(klines([100.0] * 72), rates=rates)
    assert filled.fundings["funding_rate"].tolist() == [0.0001] * 5 + [0.0] + [0.0001] * 12


def test_the_newest_settled_rate_is_known_from_the_first_bar_on() -> None:
    # The recording of prices begins at hour 0, that of funding 8 hours before: no settlement is due before 08:00.
    rates = funding((-7.0, 0.0007), (1.0, 0.0001), (9.0, 0.0002))
    data = market(klines([100.0] * 10), rates=rates, hours=8)
    assert data.bars["last_funding_rate"][0] == np.float32(0.0007)
    assert data.bars["num_settled"].tolist() == [0] + [1] * 8 + [2]


SPLIT = Assumptions(missing_mark="last", holes="split")


@pytest.mark.parametrize(
    ("since", "until", "num_inside"),
    [(6, 10, 1), (8, 9, 1), (8, 12, 1), (6, 17, 2)],  # missing bars
)
def test_a_settlement_recorded_in_a_hole_of_the_bars_is_refused_by_its_stamp(
    since: int, until: int, num_inside: int
) -> None:
    hours = [*range(since), *range(until, 20)]
    table = klines([100.0] * len(hours), hours=hours)
    rates = funding((0.0, 0.0001), (8.0, 0.0002), (16.0, 0.0003))
    rates["funding_time"] += 7  # as the exchange stamps them
    message = (
        r"AAAUSDT funding must be settled in recorded bars and that of 2024-01-01T08:00Z lies in the hole between the"
        rf" bars of 2024-01-01T{since - 1:02}:00Z and 2024-01-01T{until:02}:00Z \({num_inside} settlements in all lie"
        r" in holes\); download these bars, choose a period on one side of the hole, or remove such settlements"
    )
    for assumed in (SPLIT, replace(LAST_AND_ZERO, holes="split")):
        with pytest.raises(DataError, match=message):
            market(table, rates=rates, assumptions=assumed)


def test_a_settlement_in_a_hole_that_is_not_recorded_either_is_not_asked_for() -> None:
    # Bars 6 to 9 are missing and with them the settlement of 08:00; nothing else is assumed.
    table = klines([100.0] * 70, hours=[*range(6), *range(10, 74)])
    rates = funding((0.0, 0.0004), *((8.0 * i, 0.0001 * i) for i in range(2, 10)))
    data = market(table, rates=rates, assumptions=SPLIT)
    assert data.fundings["funding_rate"].tolist() == [0.0004, *(0.0001 * i for i in range(2, 10))]
    assert data.bars["num_settled"][:17].tolist() == [1] * 12 + [2] * 5
    # The newest rate that is known after the hole is the one before it.
    np.testing.assert_array_equal(
        data.bars["last_funding_rate"][:14], np.array([0.0004] * 12 + [0.0002] * 2, np.float32)
    )
    # Before the hole the next settlement is the one in it: 08:00 is 2 hours after the close of hour 5.
    assert data.bars["hours_to_funding"][[5, 6]].tolist() == [2, 5]
    assert data.assumptions == (
        "AAAUSDT 1h mark price is not recorded in 70 of 70 bars: the last price is assumed there",
    )


# Several symbols, signals


def test_symbols_stand_one_below_the_other_and_each_counts_its_own_settlements() -> None:
    one = SymbolTables(terms=TERMS, klines=klines([100.0] * 10), funding=funding((0.0, 0.0001), (8.0, 0.0002)))
    other = SymbolTables(
        terms=replace(TERMS, symbol="BBBUSDT"),
        klines=klines([7.0] * 5, hours=[0, 1, 2, 8, 9]),
        funding=funding((0.0, 0.0005), (8.0, 0.0006)),
    )
    data = build_market([one, other], "1h", Assumptions(missing_mark="last", holes="split"))
    assert data.symbols == ("AAAUSDT", "BBBUSDT")
    assert data.segments == (Segment(0, 0, 10), Segment(1, 10, 13), Segment(1, 13, 15))
    assert data.bars["segment"].tolist() == [0] * 10 + [1] * 3 + [2] * 2
    assert (data.rows(0), data.rows(1)) == (slice(0, 10), slice(10, 15))
    assert data.fundings["funding_rate"].tolist() == [0.0001, 0.0002, 0.0005, 0.0006]
    assert data.bars["num_settled"].tolist() == [1] * 8 + [2] * 2 + [3] * 3 + [4] * 2
    np.testing.assert_array_equal(
        data.bars["last_funding_rate"][10:], np.array([0.0005] * 3 + [0.0006] * 2, np.float32)
    )
    assert len(data.assumptions) == 2  # the mark prices of both


def test_signal_columns_become_named_signals_and_must_be_in_every_symbol() -> None:
    with_signal = klines([100.0, 101.0]).assign(signal_alpha=[0.5, -0.5])
    data = market(with_signal)
    assert list(data.signals) == ["alpha"]
    assert data.signals["alpha"].tolist() == [0.5, -0.5]
    one = SymbolTables(terms=TERMS, klines=with_signal)
    other = SymbolTables(terms=TERMS, klines=klines([7.0]).assign(signal_alpha=[0.25]))
    assert build_market([one, other], "1h", LAST_AND_ZERO).signals["alpha"].tolist() == [0.5, -0.5, 0.25]
    without = SymbolTables(terms=TERMS, klines=klines([7.0]))
    for tables in ([one, without], [without, one]):
        with pytest.raises(DataError, match="signal column 'signal_alpha' is not in the klines of every symbol"):
            build_market(tables, "1h", LAST_AND_ZERO)


# Nothing later than a bar's close


def known_at(data: pd.DataFrame, close: int, length: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the candles that have opened before a time; what of an unclosed one is not its open, is made up."""
    rows = data[data["open_time"] < close].copy()
    is_open = rows["open_time"] + length > close
    reach = rng.uniform(0.0, 20.0, 2)
    rows.loc[is_open, "high"] = rows["open"] + reach[0]
    rows.loc[is_open, "low"] = rows["open"] - reach[1]
    rows.loc[is_open, "close"] = rows["open"]
    return rows


@given(st.integers(0, 2**32), st.integers(9, 70), st.sampled_from(["30m", "1h", "4h", "8h"]), st.booleans())
def test_a_bars_record_is_complete_at_its_close(seed: int, num_known: int, mark_interval: str, is_split: bool) -> None:
    rng = np.random.default_rng(seed)
    hours = np.delete(np.arange(72.0), [25, 26]) if is_split else np.arange(72.0)
    table = klines(np.round(rng.uniform(90.0, 110.0, len(hours)), 2), hours=hours.tolist())
    length = interval_ms(mark_interval)
    mark_table = marks(np.round(rng.uniform(90.0, 110.0, 72 * MS_PER_HOUR // length), 2), mark_interval)
    rates = funding(*((8.0 * i, float(rng.normal(0.0, 1e-4))) for i in range(9)))
    assumed = Assumptions(holes="split" if is_split else "refuse")
    whole = market(table, {mark_interval: mark_table}, rates, assumed)

    close = int(table["open_time"].iloc[num_known - 1]) + MS_PER_HOUR
    seen_marks = known_at(mark_table, close, length, rng)
    if length < MS_PER_HOUR:
        seen_marks = mark_table[mark_table["open_time"] + length <= close]
    seen = market(table.iloc[:num_known], {mark_interval: seen_marks}, rates[rates["funding_time"] < close], assumed)
    assert seen.bars.tobytes() == whole.bars[:num_known].tobytes()


# Episodes


def rows_of(table: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return (symbol, first_start, num_starts, last_bar) of every row."""
    return [tuple(int(value) for value in row) for row in table]  # type: ignore[misc]


def hour(number: int) -> int:
    return START + number * MS_PER_HOUR


def test_an_episode_may_begin_after_every_bar_with_its_warm_up_behind_it_and_a_bar_to_play() -> None:
    data = market(klines([100.0] * 20))
    # After bar 0 bar 1 is the first to be played; 19 is the last, so 18 is the last start.
    assert rows_of(episode_table(data, Period(), 0)) == [(0, 0, 19, 19)]
    assert rows_of(episode_table(data, Period(), 6)) == [(0, 6, 13, 19)]


def test_the_played_bars_lie_in_the_period_and_its_warm_up_before() -> None:
    data = market(klines([100.0] * 20))
    # Hours 10 to 14 are played: the decision for hour 10 is made after bar 9, which needs 6 bars before it.
    assert rows_of(episode_table(data, Period(hour(10), hour(15)), 6)) == [(0, 9, 5, 14)]
    # A warm-up of 12 begins later: after bar 12, hours 13 and 14.
    assert rows_of(episode_table(data, Period(hour(10), hour(15)), 12)) == [(0, 12, 2, 14)]
    assert rows_of(episode_table(data, Period(hour(15), None), 0)) == [(0, 14, 5, 19)]
    assert rows_of(episode_table(data, Period(None, hour(5)), 0)) == [(0, 0, 4, 4)]
    # A period that begins between two opens begins at the later one, and an end there includes the bar before.
    inside = Period(hour(10) - 1, hour(14) + 1)
    assert rows_of(episode_table(data, inside, 0)) == [(0, 9, 5, 14)]


def test_an_episode_of_given_length_ends_within_the_period_where_it_can() -> None:
    data = market(klines([100.0] * 20))
    # Starts after bars 0 to 14 play 5 bars up to 19.
    assert rows_of(episode_table(data, Period(), 0, 5)) == [(0, 0, 15, 19)]
    assert rows_of(episode_table(data, Period(), 0, 19)) == [(0, 0, 1, 19)]
    # Longer than the period: one start, and a shorter episode.
    assert rows_of(episode_table(data, Period(), 0, 50)) == [(0, 0, 1, 19)]


def test_every_segment_has_its_own_warm_up_and_too_short_ones_have_no_episode() -> None:
    hours_recorded = [*range(10), *range(12, 15), *range(20, 30)]
    one = SymbolTables(terms=TERMS, klines=klines([100.0] * 23, hours=hours_recorded))
    other = SymbolTables(terms=replace(TERMS, symbol="BBBUSDT"), klines=klines([100.0] * 8))
    data = build_market([one, other], "1h", replace(LAST_AND_ZERO, holes="split"))
    # Rows 0-9, 10-12 (3 bars, 3 of warm-up: none to play), 13-22 and, of the other symbol, 23-30.
    assert rows_of(episode_table(data, Period(), 3)) == [(0, 3, 6, 9), (0, 16, 6, 22), (1, 26, 4, 30)]
    # From hour 5 to 25: rows 5-9, then 13-17 after 3 of warm-up, then 28-30.
    assert rows_of(episode_table(data, Period(hour(5), hour(25)), 3)) == [(0, 4, 5, 9), (0, 16, 1, 17), (1, 27, 3, 30)]


def test_a_period_without_a_bar_to_play_is_refused_with_what_there_is() -> None:
    data = market(klines([100.0] * 20))
    message = (
        r"no bar of the period 2024-02-01T00:00Z to end can be played: the recording of AAAUSDT goes from"
        r" 2024-01-01T00:00Z to 2024-01-01T19:00Z and 5 bars are warm-up .*choose a longer or another period"
    )
    with pytest.raises(ConfigError, match=message):
        episode_table(data, Period(parse_date("2024-02-01")), 5)
    for period, warmup in ((Period(), 19), (Period(hour(5), hour(5)), 0), (Period(None, hour(1)), 0)):
        with pytest.raises(ConfigError, match="can be played"):
            episode_table(data, period, warmup)


def test_a_period_is_written_as_a_trader_reads_it() -> None:
    assert str(Period(hour(0), hour(24))) == "2024-01-01T00:00Z to 2024-01-02T00:00Z"
    assert str(Period()) == "begin to end"
