"""The script that serves a local exchange: what it prints works, Ctrl-C ends it, and it says what is wrong."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import requests

from rl_trader.klines import parse_date
from rl_trader.local_exchange.assembly import Setup, assemble_lock_step
from rl_trader.local_exchange.protocol.keys import ApiKey
from scripts import local_exchange
from tests.called_scripts import Answer, script_caller

REPO: Final = Path(__file__).parents[1]
LAST_LINE: Final = "client = Client("
PATIENCE_S: Final = 120  # on a machine with much else to do

TRADES: Final = """
import asyncio
async def trade():
    order = await exchange.create_order("EMBEDDED/USDT:USDT", "market", "buy", 0.1)
    balance = await exchange.fetch_balance()
    await exchange.close()
    return order["status"], balance["info"]["totalWalletBalance"]
print(*asyncio.run(trade()))
order = client.futures_create_order(symbol="EMBEDDED", side="SELL", type="MARKET", quantity=0.1)
print(client.futures_get_order(symbol="EMBEDDED", orderId=order["orderId"])["status"])
print(client.futures_position_information())
print(client.futures_account()["totalWalletBalance"])
"""

Call = Callable[..., Answer]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Return a function of words that runs the script in this process."""
    caller = script_caller(monkeypatch, capsys, tmp_path)

    def run(*words: object) -> Answer:
        return caller(local_exchange, *words)

    return run


@dataclass
class Served:
    """A script that serves, and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str]

    def printed(self, label: str) -> str:
        """Return what stands behind a label."""
        (found,) = [line.removeprefix(label).strip() for line in self.lines if line.startswith(label)]
        return found

    @property
    def code(self) -> str:
        """The lines for clients."""
        return "".join(self.lines[self.lines.index("# ccxt\n") :])

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code and what was said then."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said


@contextmanager
def serving(*words: object) -> Iterator[Served]:
    """Run the script in a process of its own, on a free port, until its last line is printed."""
    command = [sys.executable, "-m", "scripts.local_exchange", "--port", "0", *map(str, words)]
    environment = {name: value for name, value in os.environ.items() if name != "RL_TRADER_DATA"}
    with subprocess.Popen(
        command, cwd=REPO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        try:
            while not lines or not lines[-1].startswith(LAST_LINE):
                lines.append(process.stdout.readline())
                assert lines[-1], process.communicate(timeout=PATIENCE_S)
            yield Served(process, lines)
        finally:
            process.kill()


def test_the_printed_lines_trade_when_they_are_executed_and_ctrl_c_ends_the_script(tmp_path: Path) -> None:
    with serving("--lock-step", "--balance", "2500") as served:
        assert served.printed("market:") == "EMBEDDED at 2020-01-01T00:00Z"
        program = tmp_path / "trades.py"
        program.write_text(served.code + TRADES)
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", program], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert ran.returncode == 0, ran.stderr
        bought, sold, positions, wallet = ran.stdout.splitlines()
        # The first price is 1047.32 and the half spread a ten-thousandth of it: bought at 1047.43, sold at 1047.21. The
        # taker fee is 0.2 %: 104.743 * 0.002 = 0.209486 and 104.721 * 0.002 = 0.209442; the trade loses 0.022.
        assert bought == "closed 2499.79051400"
        assert (sold, positions) == ("FILLED", "[]")
        assert wallet == "2499.55907200"
        assert served.interrupt() == (130, "interrupted\n")


LISTENER: Final = """
import asyncio, sys, aiohttp
async def listen():
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(sys.argv[1] + "/market/ws/embedded@markPrice@1s") as socket:
            async for message in socket:
                print(message.json()["e"], flush=True)
asyncio.run(listen())
"""


def test_with_a_speed_the_market_moves_by_itself_until_ctrl_c_ends_it_for_its_listeners_too() -> None:
    with serving("--speed", "100") as served:
        command = [sys.executable, "-c", LISTENER, served.printed("WebSocket:")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "markPriceUpdate\n"
            moved = requests.post(f"{served.printed('REST:')}/local/v1/advance?bars=3", timeout=PATIENCE_S)
            assert moved.status_code == 404
            assert served.interrupt() == (130, "interrupted\n")
            listener.communicate(timeout=PATIENCE_S)
            assert listener.returncode == 0


def test_in_lock_step_the_market_moves_when_it_is_told_to() -> None:
    with serving("--lock-step", "--from", "2020-01-02") as served:
        url = served.printed("REST:")
        moved = requests.post(f"{url}/local/v1/advance?bars=3", timeout=PATIENCE_S).json()
        assert moved == {"serverTime": parse_date("2020-01-02T01:30Z"), "isOver": False}
        klines = requests.get(f"{url}/fapi/v1/klines?symbol=EMBEDDED&interval=30m", timeout=PATIENCE_S).json()
        assert len(klines) == 48 + 4  # the day before is history


def test_every_account_has_a_key_that_its_name_and_the_seed_decide() -> None:
    with serving("--lock-step", "--accounts", "first, second", "--seed", "7") as served:
        found = [re.fullmatch(r"account (\w+): key (\w{64}) secret (\w{64})\n", line) for line in served.lines]
    keys = [ApiKey(match[2], match[3], match[1]) for match in found if match is not None]
    assert [key.account for key in keys] == ["first", "second"]
    assert len({word for key in keys for word in (key.key, key.secret)}) == 4
    assert assemble_lock_step(Setup(accounts=("second",), seed=7)).keys == (keys[1],)
    assert assemble_lock_step(Setup(accounts=("second",), seed=8)).keys != (keys[1],)


def test_recorded_data_is_served_from_a_data_folder(recorded_data: Path) -> None:
    words = ("--data", recorded_data, "--symbols", "btcusdt,ethusdt", "--interval", "1m", "--from", "2025-06-01")
    with serving("--lock-step", *words) as served:
        assert served.printed("market:") == "BTCUSDT, ETHUSDT at 2025-06-01T00:00Z"
        info = requests.get(f"{served.printed('REST:')}/fapi/v1/exchangeInfo", timeout=PATIENCE_S).json()
        assert [symbol["symbol"] for symbol in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]


def test_old_addresses_and_filters_are_a_matter_of_options() -> None:
    with serving("--lock-step", "--old-paths", "--leave-out-filter", "POSITION_RISK_CONTROL") as served:
        info = requests.get(f"{served.printed('REST:')}/fapi/v1/exchangeInfo", timeout=PATIENCE_S).json()
        assert "POSITION_RISK_CONTROL" not in {each["filterType"] for each in info["symbols"][0]["filters"]}
        assert asyncio.run(first_event_of_mark(served, "/ws/embedded@markPrice")) == "markPriceUpdate"
    with serving("--lock-step") as served:
        with pytest.raises(TimeoutError):  # as today: accepted, and silent
            asyncio.run(first_event_of_mark(served, "/ws/embedded@markPrice"))
        assert asyncio.run(first_event_of_mark(served, "/market/ws/embedded@markPrice")) == "markPriceUpdate"


async def first_event_of_mark(served: Served, path: str) -> str:
    """Return what a stream tells first once the market has moved."""
    async with aiohttp.ClientSession() as session, session.ws_connect(served.printed("WebSocket:") + path) as line:
        async with session.post(f"{served.printed('REST:')}/local/v1/advance", params={"bars": "1"}) as answer:
            assert answer.status == 200
        frame = await line.receive_json(timeout=2.0)
        return str(frame["e"])


def test_a_port_that_is_taken_is_named_in_one_sentence(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = call("--lock-step", "--port", port)
    assert_one_sentence(answer, f"port {port} cannot be used")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--speed", "0"), "speed must be above 0"),
        (("--speed", "fast"), "invalid float value"),
        (("--speed", "2", "--lock-step"), "not allowed with"),
        (("--balance", "much"), "--balance must be a number of USDT"),
        (("--balance", "-5"), "must be a number from 0"),
        (("--accounts", ","), "must have an account"),
        (("--accounts", "a,a"), "must have different names"),
        (("--port", "70000"), "--port must be from 0 to 65535"),
        (("--from", "2020-13-01"), "is not a date"),
        (("--from", "2030-01-01"), "no bar opens in the period"),
        (("--half-spread", "2"), "half_spread must be a fraction"),
        (("--data", "nowhere"), "does not exist"),
        (("--frm", "2020-01-01"), "unrecognized arguments"),
        (("--missing-mark", "guess"), "invalid choice"),
        (("--seed", "-1"), "a seed from 0 on"),
        (("--symbols", "ETHUSDT"), "choose from a data folder"),
        (("--interval", "5m"), "choose from a data folder"),
    ],
)
def test_a_wrong_option_ends_the_script_with_one_sentence(call: Call, words: tuple[str, ...], named: str) -> None:
    assert_one_sentence(call(*words), named)


def assert_one_sentence(answer: Answer, named: str) -> None:
    """Check that the user is told what is wrong, and nothing else."""
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("error: ")
    assert named in line
