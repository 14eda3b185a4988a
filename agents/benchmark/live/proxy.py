"""What passes between a trader and an exchange, and when: a proxy of TCP that looks at it.

It stands outside of the trader, so that a time is that of bytes on a socket and not of what the trader thinks of them.
"""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Final, Self

CLOSED: Final = re.compile(rb'"k":{"t":([0-9]+)[^}]*"x":true')  # a candle that is over, with its open time
ORDER: Final = re.compile(rb"(POST /fapi/v1/order)")

_AT_ONCE: Final = 2**18  # bytes


class Proxy:
    """Passes on what comes, in a thread of its own; a context manager.

    Args:
        port: Of the exchange.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.closes: dict[int, int] = {}  # by open time, when a candle's end was passed on, ns of ``monotonic_ns``
        self.orders: list[int] = []  # when an order had come from it
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._stop = asyncio.Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Listen no more, and end what is open."""
        self._ready.result().call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set_result(asyncio.get_running_loop())
        await self._stop.wait()
        server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(
                self._pass(reader, far_writer, ORDER, lambda _text: self.orders.append(time.monotonic_ns())),
                self._pass(
                    far_reader, writer, CLOSED, lambda text: self.closes.setdefault(int(text), time.monotonic_ns())
                ),
            )
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            far_writer.close()

    @staticmethod
    async def _pass(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wanted: re.Pattern[bytes],
        note: Callable[[bytes], object],
    ) -> None:
        while data := await reader.read(_AT_ONCE):
            for found in wanted.findall(data):
                note(found)
            writer.write(data)
        writer.close()
