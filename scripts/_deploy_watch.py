"""How a trader that is started is watched and ended: options of the command line, and the display."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from rl_trader.errors import ConfigError, RlTraderError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from rl_trader.live.monitor.monitor import Display, WatchOptions
    from rl_trader.live.session import SessionSetup
    from rl_trader.live.trader import Watcher

EXIT_CUT_SHORT: Final = 130  # as of Ctrl-C
MOST_PORT: Final = 65_535


def add_watch_arguments(parser: "ArgumentParser") -> None:
    """Add the options."""
    group = parser.add_argument_group("watching and ending it")
    group.add_argument(
        "--on-exit",
        default="hold",
        choices=("hold", "flatten"),
        help="what becomes of the position at Ctrl-C: it stays with its stop, or is closed (default: %(default)s)",
    )
    group.add_argument("--port", type=int, default=0, help="of the page on 127.0.0.1 (default: a free one)")
    group.add_argument(
        "--webhook",
        metavar="URL",
        help="where alerts are posted; better by RL_TRADER_WEBHOOK, since others can read a command line",
    )
    group.add_argument("--lines", action="store_true", help="write lines instead of a table, also to a terminal")


def trade(setup: "SessionSetup", arguments: "Namespace", watchers: "Sequence[Watcher]" = ()) -> int:
    """Trade until somebody ends it, and return the exit code.

    Args:
        setup: What is deployed.
        arguments: Of :func:`add_watch_arguments`.
        watchers: Further ones.
    """
    options, display = _options(arguments), _display(use_lines=arguments.lines)
    try:
        _run(setup, options, display, watchers)
    except asyncio.CancelledError:
        print("ended at once; what was on its way is found by the next start", file=sys.stderr)
        return EXIT_CUT_SHORT
    return 0


def _run(setup: "SessionSetup", options: "WatchOptions", display: "Display", watchers: "Sequence[Watcher]") -> None:
    from rl_trader.live.monitor.monitor import Monitor

    async def work() -> None:
        await Monitor(setup, options, display, watchers).run()

    try:
        asyncio.run(work())
    except* RlTraderError as errors:
        raise RlTraderError("; ".join(_sentences(errors))) from None


def _sentences(errors: BaseExceptionGroup[RlTraderError]) -> "Iterator[str]":
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _sentences(error)
        else:
            yield str(error)


def _options(arguments: "Namespace") -> "WatchOptions":
    from rl_trader.live.monitor.leaving import OnExit
    from rl_trader.live.monitor.monitor import WatchOptions
    from rl_trader.live.monitor.webhook import VARIABLE, webhook_address

    address = arguments.webhook or os.environ.get(VARIABLE)
    if not 0 <= arguments.port <= MOST_PORT:
        raise ConfigError(f"a port must be from 1 to {MOST_PORT}, or 0 for a free one, was {arguments.port}; change it")
    return WatchOptions(
        on_exit=OnExit(arguments.on_exit),
        webhook=webhook_address(address) if address else None,
        port=arguments.port,
    )


def _display(*, use_lines: bool) -> "Display":
    from rl_trader.live.monitor.lines import Lines
    from rl_trader.live.monitor.table import LiveTable

    if use_lines or not sys.stdout.isatty():
        return Lines(sys.stdout)
    from rich.console import Console

    return LiveTable(Console())
