"""The download against a server on loopback: sources, resume, errors."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rl_trader.download import Request, download
from rl_trader.download.archive import Kind, Series
from rl_trader.download.client import all_of
from rl_trader.download.job import Summary
from rl_trader.download.recent import RestClient
from rl_trader.errors import ConfigError, DownloadError
from rl_trader.klines import parse_date
from tests.loopback_binance import (
    DAY,
    FEB,
    HEADER,
    JAN,
    KINDS,
    MAR,
    STEP,
    LoopbackBinance,
    add_month,
    checksum_line,
    csv,
    kline,
    klines,
    ready_server,
)

FIRST_KLINES = "/data/futures/um/monthly/klines/BTCUSDT/8h/BTCUSDT-8h-2024-01.zip"


@pytest.fixture
def binance(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBinance]:
    """Return a server that knows BTCUSDT, whose archive is empty and whose REST has no rows."""
    with ready_server(monkeypatch) as server:
        yield server


def fetch(
    server: LoopbackBinance, root: Path, since: int, until: int, symbols: tuple[str, ...] = ("BTCUSDT",)
) -> Summary:
    return download(
        Request(
            symbols=symbols,
            interval="8h",
            mark_interval="8h",
            since=since,
            until=until,
            root=root,
            archive_url=server.url,
            rest_url=server.url,
        )
    )


def stored(root: Path, folder: str = "klines_8h", symbol: str = "BTCUSDT") -> pd.DataFrame:
    return pd.read_parquet(root / folder / f"{symbol}.parquet")


def times(root: Path, folder: str = "klines_8h") -> list[int]:
    return stored(root, folder).iloc[:, 0].tolist()


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def asked(server: LoopbackBinance, word: str) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in server.requests if word in path)


def test_all_kinds_of_a_month_arrive_in_the_store(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    summary = fetch(binance, tmp_path, JAN, FEB)
    # 31 days of 3 bars.
    assert [(outcome.num_rows, outcome.num_new) for outcome in summary.outcomes] == [(93, 93)] * 4
    expected = list(range(JAN, FEB, STEP))
    for folder in ("klines_8h", "mark_price_8h", "premium_index_8h", "funding_rate"):
        assert times(tmp_path, folder) == expected
    last = kline(FEB - STEP, STEP)
    table = stored(tmp_path)
    assert table["close"].iloc[-1] == float(last[4])
    assert table["quote_volume"].iloc[-1] == float(last[7])
    assert table["trades"].iloc[-1] == last[8]
    assert table["taker_buy_volume"].iloc[-1] == 6.789
    assert stored(tmp_path, "funding_rate")["funding_interval_hours"].tolist() == [8.0] * 93
    # Nothing was missing, so neither days nor klines over REST were asked for.
    assert asked(binance, "/daily/") == []
    assert asked(binance, "/fapi/") == ["exchangeInfo", "fundingInfo"]


def test_days_that_the_month_lacks_come_from_daily_files(binance: LoopbackBinance, tmp_path: Path) -> None:
    # The month's file lacks the 30th; the day's file has it, without a header row and in microseconds.
    add_month(binance, JAN, FEB)
    lost = parse_date("2024-01-30")
    rest_of_month = [row for row in klines(JAN, FEB, STEP) if not lost <= row[0] < lost + DAY]
    binance.add_file("monthly/klines/BTCUSDT/8h", "BTCUSDT-8h-2024-01.zip", csv(rest_of_month, HEADER))
    rows = [[row[0] * 1000, *row[1:]] for row in klines(lost, lost + DAY, STEP)]
    binance.add_file("daily/klines/BTCUSDT/8h", "BTCUSDT-8h-2024-01-30.zip", csv(rows))
    fetch(binance, tmp_path, JAN, FEB)
    assert times(tmp_path) == list(range(JAN, FEB, STEP))
    assert asked(binance, "/daily/") == ["BTCUSDT-8h-2024-01-30.zip", "BTCUSDT-8h-2024-01-30.zip.CHECKSUM"]


def test_what_the_archive_lacks_comes_over_rest(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    until = FEB + 2 * DAY
    for kind in KINDS:
        binance.rest[kind]["BTCUSDT"] = klines(JAN, until, STEP)
    settlements: list[Any] = [
        {
            "symbol": "BTCUSDT",
            "fundingTime": t + 3,
            "fundingRate": "0.00007",
            "markPrice": "123.5" if t else "",
            "rateType": "Regular",
        }
        for t in range(FEB, until, STEP)
    ]
    settlements[0]["markPrice"] = ""  # as the exchange answers for old settlements
    binance.rest["fundingRate"]["BTCUSDT"] = settlements
    fetch(binance, tmp_path, JAN, until)
    for folder in ("klines_8h", "mark_price_8h", "premium_index_8h", "funding_rate"):
        assert times(tmp_path, folder) == list(range(JAN, until, STEP))
    # The same bar has the same bits from either source.
    table = stored(tmp_path)
    for row in (0, len(table) - 1):
        source = kline(int(table["open_time"].iloc[row]), STEP)
        kept = [source[i] for i in (0, 1, 2, 3, 4, 5, 7, 8, 9)]
        assert table.iloc[row].tolist() == [float(word) for word in kept]
    funding = stored(tmp_path, "funding_rate")
    assert funding["funding_rate"].tolist() == [0.0001] * 93 + [0.00007] * 6
    assert funding["mark_price"].isna().tolist() == [True] * 94 + [False] * 5


def test_a_bar_that_is_still_open_is_left_out(binance: LoopbackBinance, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    since = now // DAY * DAY - 3 * DAY
    rows = klines(since, now + STEP, STEP)  # the last one has not even begun
    for kind in KINDS:
        binance.rest[kind]["BTCUSDT"] = rows
    fetch(binance, tmp_path, since, now + DAY)
    newest = times(tmp_path)[-1]
    assert newest + STEP <= time.time_ns() // 1_000_000
    assert newest >= now - 2 * STEP


def test_rest_answers_of_many_pages_are_joined(binance: LoopbackBinance, tmp_path: Path) -> None:
    # 1,000 rows a page; 2,501 rows are 3 pages.
    rows = klines(JAN, JAN + 2_501 * 60_000, 60_000)
    binance.rest["klines"]["BTCUSDT"] = rows

    async def ask() -> pd.DataFrame:
        async with RestClient(binance.url) as rest:
            return await rest.rows(Series(Kind.KLINES, "BTCUSDT", "1m"), JAN, FEB)

    table = asyncio.run(ask())
    assert table["open_time"].tolist() == [row[0] for row in rows]
    assert binance.requests["/fapi/v1/klines"] == 3


def test_a_second_run_asks_nothing_and_changes_no_byte(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    fetch(binance, tmp_path, JAN, FEB)
    before = contents(tmp_path)
    binance.requests.clear()
    summary = fetch(binance, tmp_path, JAN, FEB)
    assert sum(binance.requests.values()) == 0
    assert contents(tmp_path) == before
    assert [(outcome.num_rows, outcome.num_new) for outcome in summary.outcomes] == [(93, 0)] * 4


def test_a_longer_period_fetches_only_what_is_new(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    add_month(binance, FEB, MAR)
    fetch(binance, tmp_path, JAN, FEB)
    binance.requests.clear()
    fetch(binance, tmp_path, JAN, MAR)
    assert times(tmp_path) == list(range(JAN, MAR, STEP))
    assert all("2024-02" in path for path in binance.requests)


def test_a_wrong_checksum_is_fetched_once_more(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    (whole,) = binance.answers[FIRST_KLINES]
    binance.answers[FIRST_KLINES] = [(200, whole[1][:-9] + b"torn file"), whole]
    fetch(binance, tmp_path, JAN, FEB)
    assert binance.requests[FIRST_KLINES] == 2
    assert len(times(tmp_path)) == 93


def test_a_checksum_that_stays_wrong_stops_the_download(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    binance.answers[f"{FIRST_KLINES}.CHECKSUM"] = [(200, checksum_line(b"another", "x.zip"))]
    with pytest.raises(DownloadError, match=r"expected sha256 \w{64} of .*, found \w{64} twice; run the same"):
        fetch(binance, tmp_path, JAN, FEB)
    assert binance.requests[FIRST_KLINES] == 2
    assert not (tmp_path / "klines_8h").exists()


def test_a_file_that_is_no_kline_file_is_fetched_anew_next_time(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    good = dict(binance.answers)
    binance.add_file("monthly/klines/BTCUSDT/8h", "BTCUSDT-8h-2024-01.zip", "1,2,3\n")
    with pytest.raises(DownloadError, match="expected 12 columns"):
        fetch(binance, tmp_path, JAN, FEB)
    binance.answers = good
    fetch(binance, tmp_path, JAN, FEB)
    assert len(times(tmp_path)) == 93


def test_a_server_error_is_tried_again(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    binance.answers[FIRST_KLINES].insert(0, (503, b"busy"))
    fetch(binance, tmp_path, JAN, FEB)
    assert binance.requests[FIRST_KLINES] == 2
    assert len(times(tmp_path)) == 93


def test_a_refusal_is_not_tried_again(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    binance.answers[f"{FIRST_KLINES}.CHECKSUM"] = [(451, b"not here")]
    with pytest.raises(DownloadError, match=r"it answered 451 .*check the network or pass --archive-url"):
        fetch(binance, tmp_path, JAN, FEB)
    assert binance.requests[f"{FIRST_KLINES}.CHECKSUM"] == 1


def test_a_hole_that_no_source_fills_is_told_and_not_asked_for_again(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    lost = parse_date("2024-01-30")
    rows = [row for row in klines(JAN, FEB, STEP) if row[0] != lost]
    binance.add_file("monthly/markPriceKlines/BTCUSDT/8h", "BTCUSDT-8h-2024-01.zip", csv(rows))
    summary = fetch(binance, tmp_path, JAN, FEB)
    told = [note for note in summary.notes if "has no row" in note]
    assert told == [
        "BTCUSDT mark_price_8h has no row from 2024-01-30T00:00Z to 2024-01-30T08:00Z: "
        "neither the archive nor the exchange has one"
    ]
    assert binance.requests["/fapi/v1/markPriceKlines"] == 1
    binance.requests.clear()
    assert [note for note in fetch(binance, tmp_path, JAN, FEB).notes if "has no row" in note] == told
    assert sum(binance.requests.values()) == 0


def test_a_delisted_symbol_keeps_what_the_archive_has(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB, symbol="OLDUSDT")
    summary = fetch(binance, tmp_path, JAN, FEB + DAY, symbols=("OLDUSDT",))
    assert len(stored(tmp_path, symbol="OLDUSDT")) == 93
    assert any("OLDUSDT klines_8h has no row from 2024-02-01T00:00Z" in note for note in summary.notes)


def test_days_long_before_the_first_month_of_a_symbol_are_not_asked_for(
    binance: LoopbackBinance, tmp_path: Path
) -> None:
    add_month(binance, FEB, MAR)
    fetch(binance, tmp_path, parse_date("2023-06-01"), MAR)
    assert len(times(tmp_path)) == 29 * 3
    days = asked(binance, "/daily/klines/")
    # One month before the first file: its 31 days, with a request for the checksum each.
    assert len(days) == 31
    assert days[0] == "BTCUSDT-8h-2024-01-01.zip.CHECKSUM"


def test_several_symbols_share_a_bounded_number_of_connections(binance: LoopbackBinance, tmp_path: Path) -> None:
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    binance.delay_s = 0.02
    for symbol in symbols:
        add_month(binance, JAN, FEB, symbol=symbol)
        add_month(binance, FEB, MAR, symbol=symbol)
    fetch(binance, tmp_path, JAN, MAR, symbols=symbols)
    assert [len(stored(tmp_path, symbol=symbol)) for symbol in symbols] == [60 * 3] * 3
    assert 2 < binance.most_busy <= 8


def test_a_rest_address_that_is_down_is_no_error_if_the_archive_has_all(
    binance: LoopbackBinance, tmp_path: Path
) -> None:
    add_month(binance, JAN, FEB)
    request = Request(
        symbols=("BTCUSDT",),
        interval="8h",
        mark_interval="8h",
        since=JAN,
        until=FEB,
        root=tmp_path,
        archive_url=binance.url,
        rest_url="http://127.0.0.1:9",
    )
    summary = download(request)
    assert len(times(tmp_path)) == 93
    (note,) = summary.notes
    assert note.startswith("contract terms of BTCUSDT were not fetched: http://127.0.0.1:9 does not answer")


def test_what_was_fetched_is_kept_if_rest_is_down(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    request = Request(
        symbols=("BTCUSDT",),
        interval="8h",
        mark_interval="8h",
        since=JAN,
        until=FEB + DAY,
        root=tmp_path,
        archive_url=binance.url,
        rest_url="http://127.0.0.1:9",
    )
    with pytest.raises(DownloadError, match="BTCUSDT klines_8h lacks 2024-02-01T00:00Z to 2024-02-02T00:00Z"):
        download(request)
    assert len(times(tmp_path)) == 93


def test_contract_terms_are_the_answers_of_the_exchange(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    summary = fetch(binance, tmp_path, JAN, FEB)
    terms = json.loads((tmp_path / "contracts" / "BTCUSDT.json").read_text())
    assert terms["exchangeInfo"] == binance.entries["BTCUSDT"]
    assert terms["fundingInfo"]["fundingIntervalHours"] == 8
    assert "leverageBracket" not in terms
    assert any("brackets and commission rates were not fetched" in note for note in summary.notes)
    assert binance.signed == []


def test_a_key_adds_brackets_and_fees_and_losing_it_keeps_them(
    binance: LoopbackBinance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_month(binance, JAN, FEB)
    binance.brackets = {"symbol": "BTCUSDT", "brackets": [{"bracket": 1, "initialLeverage": 125}]}
    path = tmp_path / "contracts" / "BTCUSDT.json"
    fetch(binance, tmp_path, JAN, FEB)
    monkeypatch.setenv("BINANCE_API_KEY", "a key")
    monkeypatch.setenv("BINANCE_API_SECRET", "a secret")
    summary = fetch(binance, tmp_path, JAN, FEB)
    terms = json.loads(path.read_text())
    assert sorted(binance.signed) == ["commissionRate", "leverageBracket"]
    assert summary.notes == []
    assert terms["leverageBracket"] == binance.brackets
    assert terms["commissionRate"]["takerCommissionRate"] == "0.00043"
    assert "a key" not in path.read_text()

    path.write_text(json.dumps(terms | {"read_on": "2024-01-01"}))
    monkeypatch.delenv("BINANCE_API_KEY")
    fetch(binance, tmp_path, JAN, FEB)
    later = json.loads(path.read_text())
    assert later["read_on"] > "2024-01-01"
    assert later["leverageBracket"] == binance.brackets
    assert later["carried_over"] == {"leverageBracket": "2024-01-01", "commissionRate": "2024-01-01"}


def test_a_key_that_is_refused_is_a_note_without_the_signature(
    binance: LoopbackBinance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_month(binance, JAN, FEB)
    monkeypatch.setenv("BINANCE_API_KEY", "a key")
    monkeypatch.setenv("BINANCE_API_SECRET", "a secret")
    (note,) = fetch(binance, tmp_path, JAN, FEB).notes
    assert note == (
        f"leverage brackets or commission rates of BTCUSDT were not fetched: {binance.url} refused: "
        "-2015 Invalid API-key, IP, or permissions for action."
    )


def test_an_address_that_is_no_exchange_is_a_sentence(binance: LoopbackBinance, tmp_path: Path) -> None:
    binance.rest["klines"]["BTCUSDT"] = [[JAN, "too", "short"]]
    with pytest.raises(DownloadError, match=r"gave no answer about BTCUSDT klines_8h in the exchange's form"):
        fetch(binance, tmp_path, JAN, FEB)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"since": FEB, "until": FEB}, "the period must begin before it ends"),
        ({"until": JAN - 1}, "the period must begin before it ends"),
        ({"since": 4 * 10**12, "until": 5 * 10**12}, "the period must begin in the past"),
        ({"interval": "7m"}, "interval '7m' is not known"),
        ({"mark_interval": "x"}, "interval 'x' is not known"),
        ({"symbols": ("../BTC",)}, "a symbol has letters and digits"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(changes: dict[str, Any], sentence: str) -> None:
    request: dict[str, Any] = {
        "symbols": ("BTCUSDT",),
        "interval": "8h",
        "mark_interval": "8h",
        "since": JAN,
        "until": FEB,
        "root": Path("nowhere"),
    }
    with pytest.raises(ConfigError, match=sentence):
        Request(**(request | changes))


# ---- Work side by side


async def _fail() -> None:
    raise DownloadError("no")


def test_the_first_error_of_work_side_by_side_ends_the_rest_and_is_raised() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def run() -> None:
        with pytest.raises(DownloadError, match="no"):
            await all_of([wait(), _fail()])

    asyncio.run(run())
    assert ended == [True]


def test_who_is_cancelled_while_others_end_after_an_error_is_not_told_the_error_but_ends() -> None:
    ending = asyncio.Event()

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.01)

    async def run() -> None:
        task = asyncio.create_task(all_of([end_slowly(), _fail()]))
        await ending.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
