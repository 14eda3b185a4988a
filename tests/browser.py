"""A real Chromium without a window, driven over its DevTools protocol."""

import asyncio
import base64
import itertools
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync --disable-quic"
    " --disable-component-update --disable-dev-shm-usage --remote-debugging-port=0 --remote-allow-origins=*"
)
DEADLINE_S = 60.0


def chromium() -> str:
    """Return the browser; a test skips where there is none, but not in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        assert "RL_TRADER_CI" not in os.environ, "CI must install Chromium"
        # A user need not have a browser; `.ci/run` installs one and sets RL_TRADER_CI, where its absence fails above.
        pytest.skip("no Chromium in the path; install it to see the page shown")
    return found


class Browser:
    """One tab of a browser; an async context manager.

    Args:
        folder: For its profile.
    """

    def __init__(self, folder: Path) -> None:
        self._profile = folder / "profile"
        self._numbers = itertools.count(1)
        self.messages: list[str] = []  # of the console, and errors of the page

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            chromium(),
            *OPTIONS.split(),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            f"--user-data-dir={self._profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._session = aiohttp.ClientSession()
        port = await self._port()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
        self._socket = await self._session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0)
        for domain in ("Page", "Runtime", "Log"):
            await self._call(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()

    async def _port(self) -> int:
        told = self._profile / "DevToolsActivePort"
        async with asyncio.timeout(DEADLINE_S):
            while not told.exists() or not told.read_text().strip():
                await asyncio.sleep(0.05)
        return int(told.read_text().split()[0])

    async def _call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(DEADLINE_S):
            while True:
                told = await self._socket.receive_json()
                if told.get("id") == number:
                    assert "error" not in told, told
                    result: dict[str, Any] = told["result"]
                    return result
                self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        params = told.get("params", {})
        if told.get("method") == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif told.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.messages.append(details.get("exception", {}).get("description", details["text"]))

    async def size(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """Give the tab a size in pixels."""
        await self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self._call("Emulation.setScrollbarsHidden", hidden=True)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        await self._call("Emulation.setEmulatedMedia", features=scheme)

    async def go(self, url: str) -> None:
        """Open an address."""
        await self._call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression, awaited."""
        result = await self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(DEADLINE_S):
            while not await self.evaluate(f"!!({script})"):
                await asyncio.sleep(0.05)

    async def text(self, selector: str) -> str:
        """Return what an element shows."""
        return str(await self.evaluate(f"document.querySelector({selector!r}).innerText"))

    async def picture(self, path: Path) -> None:
        """Save what the whole page looks like, as PNG."""
        taken = await self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))
