"""Start a local exchange: the USD-M futures API of Binance on loopback, REST and WebSocket, on recorded or live data.

It replays klines at a multiple of real time, or with --lock-step only when it is told to (POST /local/v1/advance). With
--follow it trades on paper: prices are those of Binance, or of another address, and no order leaves this machine.
Clients of the real exchange trade on it once they are given its address; the lines for ccxt and python-binance are
printed. Keys are its own: they protect nothing and are worth nothing.
"""

import asyncio
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rl_trader.errors import ConfigError
from scripts._cli import Parser, run

if TYPE_CHECKING:
    from argparse import Namespace

    from rl_trader.local_exchange.assembly import Assembly, Setup
    from rl_trader.local_exchange.engine.trader import Bnb
    from rl_trader.local_exchange.shells.feed import Followed
    from rl_trader.local_exchange.shells.http import HttpServer

DEFAULT_PORT: Final = 8550
DEFAULT_SYMBOL: Final = "BTCUSDT"
LINES: Final = """
# ccxt
import re, ccxt.pro
exchange = ccxt.pro.binanceusdm({{"apiKey": "{key}", "secret": "{secret}"}})
api = exchange.urls["api"]
for name in [name for name, url in api.items() if type(url) is str]:
    api[name] = re.sub("https://[a-z]+.binance.com", "{url}", api[name])
api["ws"]["linear"], api["ws"]["ws-api"]["linear"] = "{ws_url}/ws", "{ws_url}/ws-fapi/v1"

# python-binance
from binance import BinanceSocketManager, Client
from binance.base_client import BaseClient
BaseClient.API_URL, BaseClient.FUTURES_URL = "{url}/api", "{url}/fapi"
BaseClient.FUTURES_DATA_URL, BaseClient.WS_FUTURES_URL = "{url}/futures/data", "{ws_url}/ws-fapi/v1"
BinanceSocketManager.FSTREAM_URL = "{ws_url}/"
client = Client("{key}", "{secret}")
"""


def _parser() -> Parser:
    parser = Parser(prog="scripts.local_exchange", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of the store (default: the embedded market); brackets are read from it to follow",
    )
    parser.add_argument("--symbols", help=f"of the folder, or followed; with commas (default: {DEFAULT_SYMBOL})")
    parser.add_argument(
        "--interval", help="of the klines (default: the finest that is recorded; 1m of what is followed)"
    )
    parser.add_argument("--from", dest="since", help="first day or time that is played, UTC (default: all)")
    parser.add_argument("--to", dest="until", help="end, exclusive, UTC (default: all)")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=float, default=1.0, help="multiple of real time (default: %(default)g)")
    pace.add_argument("--lock-step", action="store_true", help="let the market move only when it is told to")
    pace.add_argument(
        "--follow",
        nargs="*",
        metavar="URL",
        help="trade on paper at the prices of a REST and a WebSocket address (default: Binance's public data)",
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of loopback; 0 is any (default: %(default)s)")
    parser.add_argument("--accounts", default="main", help="names, with commas; each has a key (default: %(default)s)")
    parser.add_argument("--balance", default="10000", help="USDT of every account (default: %(default)s)")
    parser.add_argument("--bnb", help="BNB of every account, for fees once it burns them (default: none)")
    parser.add_argument("--bnb-price", help="USDT that a BNB is worth all the time; goes with --bnb")
    parser.add_argument(
        "--half-spread", type=float, default=0.0001, help="of the price, on each side (default: %(default)g)"
    )
    parser.add_argument(
        "--missing-mark", default="refuse", choices=("refuse", "last"), help="mark prices that are not recorded"
    )
    parser.add_argument(
        "--missing-funding", default="refuse", choices=("refuse", "zero", "base"), help="rates that are not recorded"
    )
    parser.add_argument("--holes", default="refuse", choices=("refuse", "split"), help="bars that are not recorded")
    parser.add_argument(
        "--old-paths", action="store_true", help="let stream addresses without a category carry all, as before 2026"
    )
    parser.add_argument(
        "--leave-out-filter", action="append", default=[], metavar="TYPE", help="of exchangeInfo; may be repeated"
    )
    parser.add_argument("--faults", type=Path, metavar="FILE", help="plan of what goes wrong, see docs/faults.md")
    parser.add_argument("--seed", type=int, default=0, help="of keys and of the embedded market (default: %(default)s)")
    return parser


def main() -> None:
    """Serve until Ctrl-C."""
    arguments = _parser().parse_args()
    asyncio.run(_serve(arguments))


async def _serve(arguments: "Namespace") -> None:
    from rl_trader.local_exchange.assembly import assemble_lock_step, assemble_paced, machine_ms
    from rl_trader.local_exchange.faults.plan import FaultPlan
    from rl_trader.local_exchange.shells.feed import begin_following
    from rl_trader.local_exchange.shells.local import Mover, make_server
    from rl_trader.local_exchange.shells.pacing import Pace

    setup = _setup(arguments)
    plan = FaultPlan.load(arguments.faults) if arguments.faults else None
    pace: Mover | None = None
    if arguments.follow is not None:
        assembly, pace = await begin_following(setup, _followed(arguments))
        _print_terms(assembly)
    elif arguments.lock_step:
        assembly = assemble_lock_step(setup, machine_ms)
    else:
        assembly = assemble_paced(setup)
        pace = Pace(assembly.venue, arguments.speed, machine_ms)
    try:
        async with make_server(assembly, port=arguments.port, pace=pace, plan=plan) as server:
            _print_addresses(assembly, server)
            await asyncio.Event().wait()
    except OverflowError:
        raise ConfigError(f"--port must be from 0 to 65535 and is {arguments.port}; choose another") from None
    except OSError as error:
        raise ConfigError(f"port {arguments.port} cannot be used ({error.strerror}); choose another") from None


def _setup(arguments: "Namespace") -> "Setup":
    from rl_trader.config import Assumptions, Slippage
    from rl_trader.klines import parse_date
    from rl_trader.local_exchange.assembly import Setup
    from rl_trader.local_exchange.streams.routes import UNSPLIT_BEFORE, UNSPLIT_TODAY

    try:
        balance = Decimal(arguments.balance)
    except InvalidOperation:
        raise ConfigError(f"--balance must be a number of USDT and is {arguments.balance!r}; correct it") from None
    bnb = _bnb(arguments)
    has_market = arguments.data is not None or arguments.follow is not None
    if not has_market and (arguments.symbols or arguments.interval):
        raise ConfigError(
            "--symbols and --interval choose from a data folder, or what is followed, and there is neither; add --data"
        )
    symbols = tuple(_names((arguments.symbols or DEFAULT_SYMBOL).upper()))
    if not symbols:
        raise ConfigError(f"--symbols must name a symbol and is {arguments.symbols!r}; name one")
    return Setup(
        data=arguments.data,
        symbols=symbols,
        interval=arguments.interval,
        since_ms=parse_date(arguments.since) if arguments.since else None,
        until_ms=parse_date(arguments.until) if arguments.until else None,
        assumptions=Assumptions(
            missing_mark=arguments.missing_mark, missing_funding=arguments.missing_funding, holes=arguments.holes
        ),
        slippage=Slippage(half_spread=arguments.half_spread),
        accounts=tuple(_names(arguments.accounts)),
        balance=balance,
        bnb=bnb,
        unsplit=UNSPLIT_BEFORE if arguments.old_paths else UNSPLIT_TODAY,
        unlisted_filters=tuple(arguments.leave_out_filter),
        seed=arguments.seed,
    )


def _bnb(arguments: "Namespace") -> "Bnb | None":
    from rl_trader.local_exchange.engine.trader import Bnb

    texts = (arguments.bnb, arguments.bnb_price)
    if texts == (None, None):
        return None
    try:
        balance, price = (Decimal(text or "") for text in texts)
    except InvalidOperation:
        balance, price = Decimal(0), Decimal(0)
    if not (balance.is_finite() and price.is_finite() and balance > 0 and price > 0):
        raise ConfigError(f"--bnb and --bnb-price must both be positive numbers and are {texts}; give both or neither")
    return Bnb(balance, price)


def _followed(arguments: "Namespace") -> "Followed":
    from rl_trader.local_exchange.shells.feed import Followed

    for name, value in (("--from", arguments.since), ("--to", arguments.until)):
        if value is not None:
            raise ConfigError(
                f"--follow has no end and begins now, so that {name} means nothing; leave one of them out"
            )
    match arguments.follow:
        case []:
            return Followed()
        case [rest_url, ws_url]:
            return Followed(rest_url=rest_url, ws_url=ws_url)
    raise ConfigError(
        f"--follow must have two addresses, of REST and of WebSockets, or none, and has {len(arguments.follow)}; "
        "give both"
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print_terms(assembly: "Assembly") -> None:
    from rl_trader.local_exchange.market.live_terms import describe_terms

    for recording in assembly.venue.market.recordings.values():
        print(f"terms:     {describe_terms(recording.contract)}")


def _print_addresses(assembly: "Assembly", server: "HttpServer") -> None:
    from rl_trader.klines import utc

    venue = assembly.venue
    print(f"REST:      {server.url}")
    print(f"WebSocket: {server.ws_url}")
    print(f"market:    {', '.join(venue.exchange.quotes)} at {utc(venue.market_ms())}")
    for key in assembly.keys:
        print(f"account {key.account}: key {key.key} secret {key.secret}")
    first = assembly.keys[0]
    print(LINES.format(url=server.url, ws_url=server.ws_url, key=first.key, secret=first.secret), flush=True)


if __name__ == "__main__":
    run(main)
