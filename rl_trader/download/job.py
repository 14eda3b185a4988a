"""A download from its request to its summary."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from rl_trader.download.archive import ARCHIVE_URL, Kind, Series
from rl_trader.download.client import ArchiveClient, all_of
from rl_trader.download.progress import Progress, Report
from rl_trader.download.recent import REST_URL, RestClient, now_ms
from rl_trader.download.series import Outcome, SeriesDownload
from rl_trader.download.terms import download_terms
from rl_trader.errors import ConfigError, DownloadError
from rl_trader.klines import interval_ms, utc
from rl_trader.store import DataStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to download, and from where.

    Raises:
        ConfigError: If an interval, the period or a symbol cannot be used.
    """

    symbols: tuple[str, ...]
    interval: str
    """Of klines and premium index."""
    mark_interval: str
    """Of mark-price klines."""
    since: int
    """ms UTC, of the first bar's open."""
    until: int
    """ms UTC, exclusive."""
    root: Path
    """Folder of the store; made if it is not there."""
    archive_url: str = ARCHIVE_URL
    rest_url: str = REST_URL

    def __post_init__(self) -> None:
        interval_ms(self.interval)
        interval_ms(self.mark_interval)
        if self.since >= self.until:
            raise ConfigError(
                f"the period must begin before it ends and goes from {utc(self.since)} to {utc(self.until)}; "
                "choose --since before --until"
            )
        if self.since >= now_ms():
            raise ConfigError(
                f"the period must begin in the past and begins {utc(self.since)}; choose an earlier --since"
            )
        for symbol in self.symbols:
            if not symbol or not symbol.replace("_", "").isalnum():
                raise ConfigError(f"a symbol has letters and digits, as BTCUSDT has, and {symbol!r} has not")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a download did."""

    outcomes: list[Outcome]
    notes: list[str]
    """Sentences about what was not to be had."""


def download(request: Request, report: Report | None = None) -> Summary:
    """Fetch what the store lacks of the request.

    Args:
        request: What to fetch.
        report: Called after each file or request with pieces done, pieces known so far and the series' name.

    Raises:
        DownloadError: If a source does not answer, gives what cannot be used, or knows no such symbol. What
        was
            fetched is kept, and the same request goes on from there.
    """
    try:
        return asyncio.run(_download(request, Progress(report)))
    except OSError as error:
        raise DownloadError(
            f"cannot write to {request.root} ({error.strerror or error}); free space or choose another --data"
        ) from error


async def _download(request: Request, progress: Progress) -> Summary:
    store = DataStore(request.root)
    async with ArchiveClient(request.archive_url) as archive, RestClient(request.rest_url) as rest:

        async def fetch(series: Series) -> Outcome:
            until = _end_of_finished(request, series)
            return await SeriesDownload(series, request.since, until, store, archive, rest, progress).run()

        async def fetch_symbol(symbol: str) -> list[Outcome]:
            # The klines go first: with a name that nobody knows, nothing else needs to be asked.
            klines = await fetch(Series(Kind.KLINES, symbol, request.interval))
            if klines.num_rows == 0:
                raise _no_klines(request, klines)
            others = [
                Series(Kind.MARK_PRICE, symbol, request.mark_interval),
                Series(Kind.PREMIUM_INDEX, symbol, request.interval),
                Series(Kind.FUNDING_RATE, symbol),
            ]
            return [klines, *await all_of(fetch(series) for series in others)]

        symbols = list(dict.fromkeys(request.symbols))
        outcomes = [outcome for part in await all_of(map(fetch_symbol, symbols)) for outcome in part]
        notes = await download_terms(store, rest, symbols)
    shutil.rmtree(request.root / ".download", ignore_errors=True)
    notes += [_describe_missing(outcome) for outcome in outcomes if outcome.missing]
    return Summary(outcomes, notes)


def _end_of_finished(request: Request, series: Series) -> int:
    """Return the end of the range in which every bar that opens has closed by now."""
    length = 0 if series.interval is None else interval_ms(series.interval)
    return max(request.since, min(request.until, now_ms() - length + 1))


def _no_klines(request: Request, klines: Outcome) -> DownloadError:
    symbol = klines.series.symbol
    if klines.is_known:
        return DownloadError(
            f"{symbol} has no {request.interval} bar between {utc(request.since)} and {utc(request.until)}; "
            "choose a period in which it was traded"
        )
    return DownloadError(
        f"symbol {symbol} is not known: {request.archive_url} has no file of it and {request.rest_url} "
        "does not list it; write it as the exchange does, for example BTCUSDT"
    )


def _describe_missing(outcome: Outcome) -> str:
    start, stop = outcome.missing[0]
    more = f" and {len(outcome.missing) - 1} more spans" if len(outcome.missing) > 1 else ""
    when = f"{utc(start)} to {utc(stop)}{more}"
    return f"{outcome.series} has no row from {when}: neither the archive nor the exchange has one"
