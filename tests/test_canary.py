"""A whole session on paper in a process of its own, with failures, whose key and secret are seen nowhere afterwards."""

import asyncio
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rl_trader.live.redaction import HIDDEN, Redactor, redacting
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.shells.local import LocalExchange
from scripts import deploy
from tests.called_scripts import script_caller
from tests.canary import KEY, MARK, SECRET, files_that_show_it
from tests.deploy_stage import SYMBOL, VARIABLES, embedded_exchange, embedded_run, words_for, write_caps
from tests.live_session_stage import BAR_MS

DEADLINE_S = 120.0
FAILURES = {
    "faults": [
        {"on": {"endpoint": "POST /fapi/v1/order", "nth": 2}, "do": {"action": "drop_answer"}},
        {"on": {"endpoint": "POST /fapi/v1/order", "nth": 3}, "do": {"action": "cut", "at_byte": 20}},
        {
            "on": {"endpoint": "GET /fapi/v3/balance", "nth": 4},
            "do": {"action": "status", "status": 502, "carried_out": False},
        },
        {"on": {"endpoint": "GET /fapi/v1/income", "nth": 2}, "do": {"action": "timestamp", "code": -1021}},
        {"on": {"endpoint": "POST /fapi/v1/listenKey", "nth": 1}, "do": {"action": "drop_answer"}},
    ]
}


def with_canaries(exchange: LocalExchange) -> None:
    """Let the account have the canaries for its key and secret."""
    keys = exchange.assembly.venue.keys
    keys.clear()
    keys[KEY] = ApiKey(KEY, SECRET, "main")


@contextmanager
def trading(words: list[object], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the script as a user does, and end it; what it says is in ``said`` of the folder."""
    environment = {**os.environ, **dict(zip(VARIABLES, (KEY, SECRET), strict=True))}
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.deploy", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a condition while a process is at work."""
    end = time.monotonic() + DEADLINE_S
    while not is_so():
        assert process.poll() is None, (folder / "said").read_text()
        assert time.monotonic() < end, (folder / "said").read_text()
        time.sleep(0.05)


def has_traded(exchange: LocalExchange) -> bool:
    """Let a bar pass, and return whether three orders have come by now."""
    exchange.advance(exchange.call(exchange.assembly.venue.market_ms) // BAR_MS * BAR_MS + BAR_MS - 1)
    exchange.to_next_open()
    time.sleep(0.5)  # in which the trader decides; if it does not, it does on one of the next bars
    return len(exchange.assembly.venue.trader("main").orders) >= 3


def test_a_session_with_failures_shows_its_key_and_secret_nowhere(tmp_path: Path) -> None:
    run = embedded_run(tmp_path / "runs")
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    with embedded_exchange(FAILURES) as (exchange, asked):
        with_canaries(exchange)
        words = words_for(exchange, run, write_caps(tmp_path / "caps.json"))
        with trading(words, tmp_path) as process:
            wait_until(
                lambda: "/fapi/v1/income" in dict.fromkeys(path for _, path in asked.requests), process, tmp_path
            )
            wait_until(lambda: has_traded(exchange), process, tmp_path)
            cores = Path(f"/proc/{process.pid}/limits")
            has_no_core = not cores.exists() or "Max core file size        0                    0 " in cores.read_text()
            listen_key = exchange.call(lambda: exchange.assembly.venue.hub.listen_keys.key_of("main"))
        assert process.returncode in (0, 130), (tmp_path / "said").read_text()
    assert has_no_core
    assert resource.getrlimit(resource.RLIMIT_CORE) == limits
    said = (tmp_path / "said").read_text()
    assert f"leverage of {SYMBOL} is set to 10" in said
    assert "Traceback" not in said
    assert list(run.glob("*.journal"))
    assert files_that_show_it([tmp_path], str(listen_key).encode()) == []


def test_an_error_that_nobody_has_thought_of_shows_neither(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The keyring fails, and its words hold what it was to give."""

    class Ring:
        @staticmethod
        def get_password(_service: str, name: str) -> str | None:
            if name == "api_key":
                return KEY
            raise RuntimeError(f"cannot unlock api_secret={SECRET}, signature={KEY}")

    monkeypatch.setitem(sys.modules, "keyring", Ring)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    call = script_caller(monkeypatch, capsys, tmp_path)
    answer = call(deploy, embedded_run(tmp_path / "runs"), "--caps", write_caps(tmp_path / "caps.json"))
    assert answer.code == 1
    assert "RuntimeError: cannot unlock api_secret=<hidden>, signature=<hidden>" in answer.err
    assert MARK.decode() not in answer.err + answer.out


def test_what_asyncio_and_the_collector_say_shows_neither(capsys: pytest.CaptureFixture[str]) -> None:
    class Loud:
        def __del__(self) -> None:
            raise RuntimeError(f"gone with {SECRET}")

    async def fail() -> None:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": f"failed with {KEY}", "exception": RuntimeError(SECRET)})
        logging.getLogger("asyncio").warning("slow: %s", {"key": KEY})

    with redacting(Redactor([KEY, SECRET])):
        loud = Loud()
        del loud
        asyncio.run(fail())
    said = capsys.readouterr().err
    assert MARK.decode() not in said
    assert f"gone with {HIDDEN}" in said


def test_a_canary_that_is_left_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_text(json.dumps({"key": KEY}))
    assert files_that_show_it([tmp_path]) == [tmp_path / "deep" / "log"]
    (tmp_path / "deep" / "log").unlink()
