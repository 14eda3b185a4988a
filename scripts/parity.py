"""Compare the replay with the local exchange: the same random decisions in the replay, and as orders over the API.

Every booking, the wallet, the position and every refusal is compared at every bar's close; the first difference ends it
with exit code 1. Isolated and cross margin are played, each with stops and without, which is where liquidations are.
Where an account ends, a new one goes on.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts._cli import Parser, default_data_dir, run

if TYPE_CHECKING:
    from argparse import Namespace

    from rl_trader.config import TradingConfig
    from rl_trader.parity.comparison import Decisions, Report

LEVERAGE: Final = 20
HOLDING_BARS: Final = 12
LONG_HOLDING_BARS: Final = 200  # long enough to be liquidated


def _parser() -> Parser:
    parser = Parser(prog="scripts.parity", description=__doc__)
    parser.add_argument("--bars", type=int, default=10_000, help="of each margin mode (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="folder (default: %(default)s)")
    parser.add_argument("--symbol", default="BTCUSDT", help="of the data folder (default: %(default)s)")
    parser.add_argument("--interval", default="15m", help="of the klines (default: %(default)s)")
    parser.add_argument("--since", default="2023-12-03", help="first day or time, UTC (default: %(default)s)")
    parser.add_argument("--exposure", type=float, default=15.0, help="at targets 1 and -1 (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=0, help="of the decisions (default: %(default)s)")
    return parser


def main() -> int:
    """Compare, and print what was equal."""
    arguments = _parser().parse_args()

    from rl_trader.config import Slippage, TradingConfig
    from rl_trader.parity.comparison import ParityError

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
            report = _compare(arguments, chosen, holding_bars)
        except ParityError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        _print(name, report)
    return 0


def _compare(arguments: "Namespace", trading: "TradingConfig", holding_bars: int) -> "Report":
    """Return what was equal in as many episodes as it takes."""
    from rl_trader.klines import parse_date
    from rl_trader.parity.comparison import Decisions, Report

    total = Report(next_ms=parse_date(arguments.since))
    while total.bars < arguments.bars:
        decisions = Decisions(arguments.seed + total.bars, holding_bars)
        total.add(_episode(arguments, trading, total, decisions))
    return total


def _episode(arguments: "Namespace", trading: "TradingConfig", total: "Report", decisions: "Decisions") -> "Report":
    from rl_trader.local_exchange.assembly import Setup, assemble_lock_step
    from rl_trader.local_exchange.market.recording import decimal
    from rl_trader.local_exchange.protocol.limits import UNLIMITED
    from rl_trader.parity.comparison import check_parity

    setup = Setup(
        data=arguments.data,
        symbols=(arguments.symbol,),
        interval=arguments.interval,
        since_ms=total.next_ms,
        slippage=trading.slippage,
        balance=decimal(trading.initial_balance),
        limits=UNLIMITED,
    )
    assembly = assemble_lock_step(setup)
    recording = assembly.venue.market.recordings[arguments.symbol]
    return check_parity(assembly, recording, trading, arguments.bars - total.bars, decisions)


def _print(name: str, report: "Report") -> None:
    print(f"{name}: {report.bars:,} bars and {report.orders:,} orders equal to the unit of 1e-8 USDT")
    for kind, count in sorted(report.bookings.items()):
        print(f"  {count:>7,} {kind}")
    for event, count in sorted(report.events.items()):
        print(f"  {count:>7,} bars: {event}")
    if report.near_halves:
        print(f"  {report.near_halves:>7,} amounts off by one unit, within binary error of half a unit")
    if report.stops_at_once:
        print(f"  {report.stops_at_once:>7,} bars: a stop was met before it could be placed")


if __name__ == "__main__":
    run(main)
