"""Fill the store of market data from Binance's public archive and REST interface.

Fetches klines, mark-price klines, premium-index klines, funding rates and contract terms of USD-M perpetual
futures. What the store has is not fetched again, so an interrupted download goes on with the same command.
"""

import sys
from pathlib import Path

from scripts._cli import Parser, default_data_dir, run


def _parser() -> Parser:
    parser = Parser(prog="scripts.download", description=__doc__)
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="as the exchange writes it, e.g. BTCUSDT")
    parser.add_argument("--interval", required=True, help="of the klines: 1m, 5m, 15m, 30m, 1h, 4h, 8h, 1d, ...")
    parser.add_argument("--mark-interval", help="of the mark-price klines (default: as --interval)")
    parser.add_argument("--since", required=True, help="first day or time, UTC, e.g. 2023-01-01")
    parser.add_argument("--until", help="end, exclusive, UTC, e.g. 2024-01-01 (default: now)")
    parser.add_argument(
        "--data", type=Path, default=default_data_dir(), help="folder of the store (default: %(default)s)"
    )
    parser.add_argument("--archive-url", help="another address of the archive (default: data.binance.vision)")
    parser.add_argument("--rest-url", help="another address of the REST interface (default: fapi.binance.com)")
    return parser


def main() -> None:
    """Download, with a progress bar on stderr, and print a line about each series."""
    arguments = _parser().parse_args()

    from tqdm import tqdm

    from rl_trader.download import Request, download
    from rl_trader.download.archive import ARCHIVE_URL
    from rl_trader.download.recent import REST_URL, now_ms
    from rl_trader.klines import parse_date

    request = Request(
        symbols=tuple(symbol.upper() for symbol in arguments.symbols),
        interval=arguments.interval,
        mark_interval=arguments.mark_interval or arguments.interval,
        since=parse_date(arguments.since),
        until=parse_date(arguments.until) if arguments.until else now_ms(),
        root=arguments.data,
        archive_url=arguments.archive_url or ARCHIVE_URL,
        rest_url=arguments.rest_url or REST_URL,
    )
    with tqdm(unit="file", file=sys.stderr, disable=None, leave=False) as bar:

        def report(num_done: int, num_planned: int, name: str) -> None:
            bar.total = num_planned
            bar.set_description(name, refresh=False)
            bar.update(num_done - bar.n)

        summary = download(request, report)
    for outcome in summary.outcomes:
        print(f"{outcome.series}: {outcome.num_rows} rows in the period, {outcome.num_new} of them new")
    for note in summary.notes:
        print(f"note: {note}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
