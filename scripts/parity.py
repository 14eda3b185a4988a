"""Compare the replay with the local exchange, bar by bar: ``python -m scripts.parity [RUN]``.

With a run, its checkpoint is deployed on the exchange beside its back-test: it reads closed bars and the account over
REST, observes, decides, and sends orders. Observations must be equal in every byte, and so must actions, bookings and
equity. With --chain it trades as in paper trading: on a second local exchange, which follows the public market data of
the one that replays. Without a run, random decisions are played as orders over the API, in isolated and cross margin,
with stops and without, which is where liquidations are.

The first difference ends it with exit code 1. Where an account ends, a new one goes on.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts._cli import Parser, default_data_dir, run

if TYPE_CHECKING:
    from argparse import Namespace

    from rl_trader.config import TradingConfig
    from rl_trader.parity.bars import Report
    from rl_trader.parity.comparison import Decisions

LEVERAGE: Final = 20
HOLDING_BARS: Final = 12
LONG_HOLDING_BARS: Final = 200  # long enough to be liquidated
SYMBOL: Final = "BTCUSDT"
SINCE: Final = "2023-12-03"


def _parser() -> Parser:
    parser = Parser(prog="scripts.parity", description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="folder of a run (default: random decisions)")
    parser.add_argument("--bars", type=int, default=10_000, help="of the run, or of each mode (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="folder of market data (default: the run's, or the usual one)")
    parser.add_argument("--symbol", help=f"of the run, or of the data folder (default: the run's one, or {SYMBOL})")
    parser.add_argument("--since", help=f"first day or time, UTC (default: the run's validation period, or {SINCE})")
    parser.add_argument("--json", action="store_true", help="print what was equal as JSON")
    run_only = parser.add_argument_group("of a run")
    run_only.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which one (default: best)")
    run_only.add_argument(
        "--chain", action="store_true", help="trade on a second exchange, which follows the one that replays"
    )
    random_only = parser.add_argument_group("of random decisions")
    random_only.add_argument("--interval", default="15m", help="of the klines (default: %(default)s)")
    random_only.add_argument("--exposure", type=float, default=15.0, help="at targets 1 and -1 (default: %(default)g)")
    random_only.add_argument("--seed", type=int, default=0, help="of the decisions (default: %(default)s)")
    return parser


def main() -> int:
    """Compare, and print what was equal."""
    arguments = _parser().parse_args()

    from rl_trader.errors import ConfigError
    from rl_trader.parity.bars import ParityError

    if arguments.bars < 1:
        raise ConfigError(f"the number of bars must be positive, was {arguments.bars}; give 1 or more")
    reports: dict[str, Report] = {}
    try:
        if arguments.run is None and arguments.chain:
            raise ConfigError("--chain compares a run, and none is named; name the folder of one")
        if arguments.run is None:
            _compare_random(arguments, reports)
        else:
            _compare_run(arguments, reports)
    except ParityError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({name: report.to_json() for name, report in reports.items()}, indent=1))
    return 0


def _compare_run(arguments: "Namespace", reports: dict[str, "Report"]) -> None:
    from agents.parity import run_parity

    parity = run_parity(
        arguments.run,
        since=arguments.since,
        data=arguments.data,
        symbol=arguments.symbol,
        which=arguments.checkpoint,
    )
    name = parity.deployment.name
    reports[name] = parity.check_chain(arguments.bars) if arguments.chain else parity.check(arguments.bars)
    if not arguments.json:
        _print(name, reports[name])


def _compare_random(arguments: "Namespace", reports: dict[str, "Report"]) -> None:
    from rl_trader.config import Slippage, TradingConfig
    from rl_trader.parity.bars import ParityError

    trading = TradingConfig(
        initial_balance=100_000.0,
        leverage=LEVERAGE,
        max_exposure=arguments.exposure,
        stop_loss=0.03,
        take_profit=0.05,
        slippage=Slippage(half_spread=0.0001, sqrt_impact=0.001),
    )
    bare = replace(trading, stop_loss=None, take_profit=None)
    for name, chosen, holding_bars in (
        ("isolated with stops", trading, HOLDING_BARS),
        ("isolated without stops", bare, LONG_HOLDING_BARS),
        ("cross with stops", replace(trading, margin_mode="cross"), HOLDING_BARS),
        ("cross without stops", replace(bare, margin_mode="cross"), LONG_HOLDING_BARS),
    ):
        try:
            reports[name] = _random_episodes(arguments, chosen, holding_bars)
        except ParityError as error:
            raise ParityError(f"{name}: {error}") from error
        if not arguments.json:
            _print(name, reports[name])


def _random_episodes(arguments: "Namespace", trading: "TradingConfig", holding_bars: int) -> "Report":
    """Return what was equal in as many episodes as it takes."""
    from rl_trader.klines import parse_date
    from rl_trader.parity.bars import Report
    from rl_trader.parity.comparison import Decisions

    total = Report(next_ms=parse_date(arguments.since or SINCE))
    while total.bars < arguments.bars:
        decisions = Decisions(arguments.seed + total.bars, holding_bars)
        total.add(_random_episode(arguments, trading, total, decisions))
    return total


def _random_episode(
    arguments: "Namespace", trading: "TradingConfig", total: "Report", decisions: "Decisions"
) -> "Report":
    from rl_trader.local_exchange.assembly import Setup, assemble_lock_step
    from rl_trader.local_exchange.market.recording import decimal
    from rl_trader.local_exchange.protocol.limits import UNLIMITED
    from rl_trader.parity.comparison import check_parity

    symbol = arguments.symbol or SYMBOL
    setup = Setup(
        data=arguments.data or default_data_dir(),
        symbols=(symbol,),
        interval=arguments.interval,
        since_ms=total.next_ms,
        slippage=trading.slippage,
        balance=decimal(trading.initial_balance),
        limits=UNLIMITED,
    )
    assembly = assemble_lock_step(setup)
    recording = assembly.venue.market.recordings[symbol]
    return check_parity(assembly, recording, trading, arguments.bars - total.bars, decisions)


def _print(name: str, report: "Report") -> None:
    print(f"{name}: {report.bars:,} bars and {report.orders:,} orders equal to the unit of 1e-8 USDT")
    if report.observations:
        print(f"  {report.observations:>7,} observations equal in every byte")
    for target, count in sorted(report.targets.items()):
        print(f"  {count:>7,} decisions: {target}")
    for kind, count in sorted(report.bookings.items()):
        print(f"  {count:>7,} {kind}")
    for event, count in sorted(report.events.items()):
        print(f"  {count:>7,} bars: {event}")
    if report.near_halves:
        print(f"  {report.near_halves:>7,} amounts off by one unit, within binary error of half a unit")
    if report.raced:
        print(f"  {report.raced:>7,} bars: a resting order filled and a stop was met, so that they are not compared")
    if report.stops_at_once:
        print(f"  {report.stops_at_once:>7,} bars: a stop was met before it could be placed")


if __name__ == "__main__":
    run(main)
