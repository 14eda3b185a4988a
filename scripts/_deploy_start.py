"""Trade a run's checkpoint: ``python -m scripts.deploy RUN [--mode paper|demo|live] [--caps FILE]``.

On paper, which is the default, the venue is a local exchange that is running already (``python -m
scripts.local_exchange``), where no money is at stake: it tells the keys of its account, and caps are made out of the
run, unless others are given. Demo is the exchange's own, with money that is none. Live is for real money: --hours says
for how long, and what is found is shown before a person types the leave. The account's keys come from the environment
(RL_TRADER_DEMO_API_KEY and RL_TRADER_DEMO_API_SECRET, or with LIVE or PAPER in the place of DEMO), a keyring, or a file
that only you can read, never from the command line. Ctrl-C ends it as --on-exit says, a second Ctrl-C at once.

While it trades, and after: `python -m scripts.deploy status RUN`, `kill RUN`, `resume RUN --reason TEXT`.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rl_trader.errors import RlTraderError
from scripts._cli import Parser
from scripts._deploy_watch import add_watch_arguments, trade

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from rl_trader.live.launch import Order
    from rl_trader.live.redaction import Redactor

MODES: Final = ("paper", "demo", "live")


def _parser() -> Parser:
    parser = Parser(prog="scripts.deploy", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run, or of one of its checkpoints")
    parser.add_argument("--mode", choices=MODES, default="paper", help="where it trades (default: %(default)s)")
    parser.add_argument("--rest", help="on paper: address of REST (default: http://127.0.0.1:8550)")
    parser.add_argument("--streams", help="on paper: address of WebSockets (default: ws://127.0.0.1:8550)")
    parser.add_argument("--symbol", help="of a run that has several")
    parser.add_argument("--checkpoint", default="best", choices=("best", "last"), help="which (default: %(default)s)")
    parser.add_argument(
        "--caps", type=Path, help="JSON file of what no order may exceed (default on paper: made out of the run)"
    )
    parser.add_argument("--band", type=Path, help="JSON file of how far trading may be from the simulation")
    parser.add_argument("--keys", type=Path, help="file of keys, readable by you alone")
    parser.add_argument("--journal", type=Path, help="file of the journal (default: in the run's folder)")
    parser.add_argument("--account", default="main", help="what the journal calls the account (default: %(default)s)")
    parser.add_argument("--hours", type=float, help="live: after which nothing is entered any more")
    parser.add_argument("--paper-hours", type=float, help="live: that it must have traded on paper (default: 24)")
    parser.add_argument(
        "--waive", action="append", default=[], metavar="NAME", help="a permission of the key, or no-stop; repeatable"
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="of your own features, to be imported"
    )
    add_watch_arguments(parser)
    return parser


def main(words: "Sequence[str]") -> int:
    """Trade until Ctrl-C.

    Args:
        words: Of the command line.
    """
    from rl_trader.live.redaction import Redactor, redacting

    arguments = _parser().parse_args(words)
    redactor = Redactor()
    with redacting(redactor):
        try:
            return _start(arguments, redactor)
        except RlTraderError as error:
            raise RlTraderError(redactor.text(str(error))) from None
        except Exception as error:  # a bug, whose traceback may hold what must not be seen
            sys.stderr.write(redactor.traceback(error))
            return 1


def _start(arguments: "Namespace", redactor: "Redactor") -> int:
    from rl_trader.live.arming.terminal import ask_person, check_terminal
    from rl_trader.live.exchange.secrets import system_keyring
    from rl_trader.live.launch import prepare, setup_of, watchers_of

    order = _order(arguments)
    if arguments.mode == "live":
        check_terminal()
    launch = prepare(order, os.environ, system_keyring(), redactor)
    setup = asyncio.run(setup_of(launch, ask_person, _tell))
    return trade(setup, arguments, watchers_of(launch))


def _order(arguments: "Namespace") -> "Order":
    from rl_trader.live.exchange.venue import VenueName
    from rl_trader.live.launch import Order

    return Order(
        run=arguments.run,
        caps=arguments.caps,
        mode=VenueName(arguments.mode),
        rest=arguments.rest,
        streams=arguments.streams,
        symbol=arguments.symbol,
        checkpoint=arguments.checkpoint,
        keys=arguments.keys,
        journal=arguments.journal,
        account=arguments.account,
        hours=arguments.hours,
        paper_hours=arguments.paper_hours,
        waived=tuple(arguments.waive),
        band=arguments.band,
        allowed=tuple(arguments.allow),
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
