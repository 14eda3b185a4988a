"""Trade a run's checkpoint on paper: ``python -m scripts.deploy RUN --caps FILE``.

The venue is an address: a local exchange that is running already (``python -m scripts.local_exchange``), where no money
is at stake. The trader knows it as it would know any venue, by REST and streams. The account's keys come from the
environment (RL_TRADER_PAPER_API_KEY and RL_TRADER_PAPER_API_SECRET), a keyring, or a file that only you can read, never
from the command line. Ctrl-C ends it; a position stays, with the stop that rests at the exchange.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rl_trader.errors import ConfigError
from scripts._cli import Parser

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from rl_trader.live.session import SessionSetup

DEFAULT_REST: Final = "http://127.0.0.1:8550"
DEFAULT_STREAMS: Final = "ws://127.0.0.1:8550"


def _parser() -> Parser:
    parser = Parser(prog="scripts.deploy", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run, or of one of its checkpoints")
    parser.add_argument("--rest", default=DEFAULT_REST, help="address of REST (default: %(default)s)")
    parser.add_argument("--streams", default=DEFAULT_STREAMS, help="address of WebSockets (default: %(default)s)")
    parser.add_argument("--symbol", help="of a run that has several")
    parser.add_argument("--checkpoint", default="best", choices=("best", "last"), help="which (default: %(default)s)")
    parser.add_argument("--caps", type=Path, required=True, help="JSON file of what no order may exceed")
    parser.add_argument("--keys", type=Path, help="file of keys, readable by you alone")
    parser.add_argument("--journal", type=Path, help="file of the journal (default: in the run's folder)")
    parser.add_argument("--account", default="main", help="what the journal calls the account (default: %(default)s)")
    return parser


def main(words: "Sequence[str]") -> int:
    """Trade until Ctrl-C.

    Args:
        words: Of the command line.
    """
    arguments = _parser().parse_args(words)
    setup = _setup(arguments)
    try:
        asyncio.run(_trade(setup))
    except* asyncio.CancelledError:
        _tell("ended; the position stays, with the stop that rests at the exchange")
    except* ConfigError as errors:
        raise ConfigError("; ".join(str(error) for error in errors.exceptions)) from None
    return 0


def _setup(arguments: "Namespace") -> "SessionSetup":
    from rl_trader.live.core.caps import load_caps
    from rl_trader.live.exchange.secrets import load_credentials, system_keyring
    from rl_trader.live.exchange.venue import Gate, Venue
    from rl_trader.live.policy.deployment import load_deployment
    from rl_trader.live.session import SessionSetup

    deployment = load_deployment(arguments.run, arguments.symbol, arguments.checkpoint)
    venue = Venue.paper(arguments.rest, arguments.streams)
    return SessionSetup(
        deployment=deployment,
        venue=venue,
        gate=Gate(venue),
        credentials=load_credentials(venue.name, os.environ, arguments.keys, system_keyring()),
        account=arguments.account,
        caps=load_caps(arguments.caps).caps,
        journal=arguments.journal or arguments.run / f"paper-{arguments.account}.journal",
    )


async def _trade(setup: "SessionSetup") -> None:
    from rl_trader.live.session import Session

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with Session(setup, _tell) as session:
        for finding in session.findings:
            _tell(f"{finding.level}: {finding.text}")
        deployed = setup.deployment
        _tell(f"{deployed.name} trades {deployed.symbol} {deployed.interval} on {setup.venue.name}")
        await session.run()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
