"""The HTTP server in a thread of its own, for callers that are not asynchronous."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

from rl_trader.local_exchange.shells.http import HttpServer

T = TypeVar("T")


class ServerThread:
    """A server that answers while the calling thread does something else; a context manager.

    Everything that the server's endpoints use belongs to the server's thread within it: other threads reach it with
    :meth:`call`.

    Args:
        server: Not started yet.
    """

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stop = asyncio.Event()
        self._thread = Thread(target=self._run, name="local-exchange", daemon=True)

    def __enter__(self) -> Self:
        """Start, and wait until the server listens."""
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and wait until every connection is closed and the port is free."""
        self._started.result().call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """The address of REST, without a slash at its end."""
        return self.server.url

    @property
    def ws_url(self) -> str:
        """The address of WebSockets, without a slash at its end."""
        return self.server.ws_url

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the server's thread, between two requests, and return what it returns."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._started.result()).result()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            await self.server.__aenter__()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        try:
            await self._stop.wait()
        finally:
            await self.server.__aexit__(None, None, None)
