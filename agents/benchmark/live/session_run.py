"""A live session in a process of its own: ``python -m agents.benchmark.live.session_run``.

Reads one request as JSON from standard input, then a line a command: a number of bars that are to be decided upon, or
an empty one to end. It answers a line of JSON each: the first when it could decide, the others when the bars are done,
with the times at which the core's events were journalled.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp

from agents.benchmark.live.stage import BAR_MS, Place, session_setup
from rl_trader.live.core.events import BarClosed, Event
from rl_trader.live.core.state import State
from rl_trader.live.core.words import IntentState
from rl_trader.live.session import Session

PAUSE_S: Final = 0.002  # between two looks whether a bar is done
PATIENCE_S: Final = 60.0
OPEN: Final = "open_ms"
STAGES: Final = ("BarClosed", "Decided", "Sending")  # events whose journalling is a stage


class Stamps:
    """When events were journalled, in ns of ``monotonic_ns``, with the open time of each bar."""

    def __init__(self) -> None:
        self.times: list[dict[str, int]] = []  # a bar each

    def watch(self, event: Event, _state: State) -> None:
        """Note an event that is a stage; the first of its kind in a bar."""
        kind = type(event).__name__
        if isinstance(event, BarClosed):
            self.times.append({OPEN: event.open_ms})
        if kind in STAGES and self.times and all(name in self.times[-1] for name in STAGES[: STAGES.index(kind)]):
            self.times[-1].setdefault(kind, time.monotonic_ns())  # what is sent before the decision is not its order


class Driver:
    """Lets bars close, each when the one before is done with."""

    def __init__(self, session: Session, task: "asyncio.Task[None]", url: str) -> None:
        assert session.trader is not None
        self._state = session.trader.core.state
        self._session, self._task, self._url = session, task, url

    async def until_ready(self) -> None:
        """Wait until the next bar could be decided upon."""
        state, session, series = self._state, self._session, self._session.series
        async with aiohttp.ClientSession() as client, client.get(f"{self._url}/local/v1/clock") as answer:
            now_ms = int((await answer.json())["serverTime"])
        await self._until(
            lambda: (
                session.is_user_stream_up
                and state.is_reconciled
                and state.is_market_alive
                and series.is_ready(now_ms // BAR_MS * BAR_MS)
            )
        )

    async def play(self, num_bars: int) -> None:
        """Let bars close."""
        async with aiohttp.ClientSession() as client:
            for _ in range(num_bars):
                before = self._state.decided_ms
                async with client.post(f"{self._url}/local/v1/advance", params={"bars": 1}) as answer:
                    opened = int((await answer.json())["serverTime"]) // BAR_MS * BAR_MS - BAR_MS
                await self._until(lambda opened=opened: self._state.decided_ms >= opened > 0)  # type: ignore[misc]
                if self._state.decided_ms <= before or self._state.is_stopped:
                    why = self._state.stop_reason or "the recording is over"
                    raise RuntimeError(f"the trader must decide bar after bar, and does not: {why}")
                await self._until(self._is_done)

    def _is_done(self) -> bool:
        state = self._state
        on_their_way = (IntentState.PLANNED, IntentState.SENT)
        is_sent = not any(intent.state in on_their_way for intent in state.intents.values())
        is_decided = state.deciding_ms is None
        return (
            is_decided
            and is_sent
            and not state.working()
            and not state.waiting
            and state.books.filled == state.books.amount
        )

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(PAUSE_S)


async def main() -> None:
    """Serve until an empty line comes."""
    request: dict[str, Any] = json.loads(sys.stdin.readline())
    place = Place(*request["place"])
    stamps = Stamps()
    setup = session_setup(Path(request["folder"]), place, Path(request["journal"]), request["port"])
    async with Session(setup, lambda _text: None, (stamps.watch,)) as session:
        task = asyncio.create_task(session.run())
        driver = Driver(session, task, f"http://127.0.0.1:{place.port}")
        await driver.until_ready()
        _answer(list(sys.modules))
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            stamps.times.clear()
            await driver.play(int(line))
            _answer(stamps.times)
        task.cancel()
        await asyncio.wait([task])


def _answer(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
