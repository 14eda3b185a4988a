"""A local exchange behind a port of loopback, for tests and scripts: ``with LocalExchange(setup) as exchange: ...``."""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self, TypeVar

from aiohttp import web

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.assembly import (
    Assembly,
    Setup,
    assemble_lock_step,
    assemble_paced,
    machine_ms,
)
from rl_trader.local_exchange.faults.faults import Faults
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.shells.feed import Followed, begin_following
from rl_trader.local_exchange.shells.http import HttpServer
from rl_trader.local_exchange.shells.pacing import Pace
from rl_trader.local_exchange.shells.server_thread import ServerThread
from rl_trader.local_exchange.shells.websocket import StreamRoutes

T = TypeVar("T")
AddRoutes = Callable[[web.Application], None]


class Mover(Protocol):
    """Moves the market: a pace, or a feed."""

    async def run(self) -> None:
        """Move it until there is nothing more to be moved."""


def make_server(
    assembly: Assembly,
    *,
    port: int = 0,
    pace: Mover | None = None,
    plan: FaultPlan | None = None,
    add_routes: Iterable[AddRoutes] = (),
) -> HttpServer:
    """Return the server of an assembled exchange, not started yet.

    Args:
        assembly: Lock-step, paced, or following.
        port: 0 takes a free one.
        pace: Moves the market while the server runs; none in lock-step.
        plan: Of faults.
        add_routes: Add routes of their own.

    Raises:
        ConfigError: If the plan names an account or a symbol that there is not.
    """
    added = list(add_routes)
    if pace is not None:
        added.append(_paced_by(pace))
    if plan is not None:
        return _faulty_server(assembly, plan, port, added)
    routes = StreamRoutes(assembly.venue.hub, assembly.venue.session_ms, unsplit=assembly.unsplit)
    added.append(routes.add_routes)
    return HttpServer(assembly.dispatcher, ws_api=assembly.ws_api, add_routes=added, port=port)


def _faulty_server(assembly: Assembly, plan: FaultPlan, port: int, add_routes: list[AddRoutes]) -> HttpServer:
    """Return the server of an exchange on which a plan of faults is carried out."""
    venue = assembly.venue
    faults = Faults(plan, venue)
    routes = StreamRoutes(
        venue.hub, venue.session_ms, unsplit=assembly.unsplit, interceptor=faults.pass_frame, handshakes=faults
    )
    faults.attach(routes)
    venue.on_tick.append(lambda: faults.on_time(venue.market_ms()))
    return HttpServer(
        assembly.dispatcher,
        ws_api=assembly.ws_api,
        add_routes=[*add_routes, routes.add_routes],
        interceptor=faults,
        frame_interceptor=faults,
        port=port,
    )


def _paced_by(pace: Mover) -> Callable[[web.Application], None]:
    """Return what lets an application's life be the time in which the market is moved."""

    async def run(app: web.Application) -> None:
        app[_PACING] = asyncio.create_task(pace.run())

    async def stop(app: web.Application) -> None:
        app[_PACING].cancel()

    def add(app: web.Application) -> None:
        app.on_startup.append(run)
        app.on_cleanup.append(stop)

    return add


_PACING: web.AppKey[asyncio.Task[None]] = web.AppKey("pacing", asyncio.Task)


class LocalExchange:
    """A server in a thread of its own; a context manager.

    In lock-step the market moves when it is told to by :meth:`to_next_open` and :meth:`advance`; with a speed it moves
    by itself, and so it does where another exchange is followed.

    Args:
        setup: What is replayed, and who trades.
        speed: Milliseconds of the market in one of the machine; None is lock-step.
        followed: The exchange that is followed, in the place of a replay.
        port: 0 takes a free one.
        plan: Of faults.

    Raises:
        ConfigError: If there is a speed for an exchange that is followed.
        DownloadError: If the exchange that is followed does not answer.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        speed: float | None = None,
        followed: Followed | None = None,
        port: int = 0,
        plan: FaultPlan | None = None,
    ) -> None:
        pace: Mover | None = None
        if followed is not None:
            if speed is not None:
                raise ConfigError(f"an exchange that is followed has its own speed, not {speed}; leave one of them out")
            self.assembly, pace = asyncio.run(begin_following(setup, followed))
        elif speed is not None:
            self.assembly = assemble_paced(setup)
            pace = Pace(self.assembly.venue, speed, machine_ms)
        else:
            self.assembly = assemble_lock_step(setup, machine_ms)
        self._is_paced = pace is not None
        self._thread = ServerThread(make_server(self.assembly, port=port, pace=pace, plan=plan))

    def __enter__(self) -> Self:
        """Start, and wait until the server listens."""
        self._thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and wait until every connection is closed."""
        self._thread.__exit__(kind, error, traceback)

    @property
    def url(self) -> str:
        """The address of REST, without a slash at its end."""
        return self._thread.url

    @property
    def ws_url(self) -> str:
        """The address of WebSockets, without a slash at its end."""
        return self._thread.ws_url

    @property
    def key(self) -> ApiKey:
        """The first account's."""
        return self.assembly.keys[0]

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the server's thread, between two requests, and return what it returns."""
        return self._thread.call(function)

    def to_next_open(self) -> bool:
        """Let the market go on until the next bar opens; False at the end of what is replayed.

        Raises:
            ConfigError: If it moves by itself.
        """
        self._check_lock_step()
        return self.call(self.assembly.venue.to_next_open)

    def advance(self, to_ms: int) -> None:
        """Let the market go on to a moment.

        Raises:
            ConfigError: If it moves by itself.
        """
        self._check_lock_step()
        self.call(lambda: self.assembly.venue.advance(to_ms))

    def _check_lock_step(self) -> None:
        if self._is_paced:
            raise ConfigError(
                "the market of an exchange that has a speed or follows moves by itself; leave that out to move it"
            )
