"""The command `python -m scripts.download` against a server on loopback."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.loopback_binance import FEB, JAN, MAR, STEP, LoopbackBinance, add_month, ready_server

REPO = Path(__file__).parents[1]


@pytest.fixture
def binance(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBinance]:
    """Return a server that knows BTCUSDT, whose archive is empty and whose REST has no rows."""
    with ready_server(monkeypatch) as server:
        yield server


def times(root: Path, folder: str = "klines_8h") -> list[int]:
    table = pd.read_parquet(root / folder / "BTCUSDT.parquet")
    return [int(time) for time in table.iloc[:, 0]]


def command(server_url: str, root: Path, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "scripts.download", *arguments, "--data", str(root)),
        *("--archive-url", server_url, "--rest-url", server_url),
    ]


def run(server_url: str, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(server_url, root, *arguments), cwd=REPO, capture_output=True, text=True, check=False)


PERIOD = ("--interval", "8h", "--since", "2024-01-01", "--until", "2024-03-01")


@pytest.mark.parametrize(("how", "exit_code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_the_command_goes_on_where_it_was_stopped(
    how: signal.Signals, exit_code: int, binance: LoopbackBinance, tmp_path: Path
) -> None:
    add_month(binance, JAN, FEB)
    add_month(binance, FEB, MAR)
    binance.stall_after = 5
    with subprocess.Popen(
        command(binance.url, tmp_path, "BTCUSDT", *PERIOD), cwd=REPO, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while binance.num_zips <= 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(how)
        assert process.wait(timeout=60) == exit_code
    # The klines are written, and of the others one at most; of the rest some files wait, whole.
    assert len(times(tmp_path)) == 60 * 3
    waiting = {path.name for path in (tmp_path / ".download").rglob("*.zip")}
    written = {path.parent.name for path in tmp_path.rglob("*.parquet")}
    assert "klines_8h" in written
    assert len(written) <= 2

    binance.stall_after = None
    binance.released.set()
    fetched = {path for path in binance.requests if path.endswith(".zip")}
    binance.requests.clear()
    result = run(binance.url, tmp_path, "BTCUSDT", *PERIOD)
    assert result.returncode == 0, result.stderr
    assert times(tmp_path, "mark_price_8h") == list(range(JAN, MAR, STEP))
    assert times(tmp_path, "funding_rate") == list(range(JAN, MAR, STEP))
    again = {path for path in binance.requests if path.endswith(".zip")}
    assert not any("/klines/" in path for path in again)
    assert len(fetched | again) == 8
    assert len(again) <= 8 - 2 * len(written) - len(waiting)
    assert not (tmp_path / ".download").exists()
    assert result.stdout.splitlines()[0] == "BTCUSDT klines_8h: 180 rows in the period, 0 of them new"


def test_without_network_the_command_says_so_in_one_sentence(tmp_path: Path) -> None:
    result = run("http://127.0.0.1:9", tmp_path / "data", "BTCUSDT", *PERIOD)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: cannot fetch http://127.0.0.1:9/data/futures/um/")
    assert "check the network" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_symbol_that_nobody_knows_is_an_error(binance: LoopbackBinance, tmp_path: Path) -> None:
    result = run(binance.url, tmp_path / "data", "BITCOIN", *PERIOD)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: symbol BITCOIN is not known: {binance.url} has no file of it and {binance.url} does not list it; "
        "write it as the exchange does, for example BTCUSDT\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("BTCUSDT", "--interval", "8h", "--since", "yesterday"), "'yesterday' is not a date"),
        (("BTCUSDT", "--since", "2024-01-01"), "the following arguments are required: --interval"),
        (("BTCUSDT", "--intervall", "8h", "--since", "2024-01-01"), "are required: --interval"),
    ],
)
def test_a_command_that_makes_no_sense_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    result = run("http://127.0.0.1:9", tmp_path, *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr


def test_a_data_folder_that_is_a_file_is_one_sentence(binance: LoopbackBinance, tmp_path: Path) -> None:
    add_month(binance, JAN, FEB)
    add_month(binance, FEB, MAR)
    (tmp_path / "data").write_text("a file")
    result = run(binance.url, tmp_path / "data", "BTCUSDT", *PERIOD)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "cannot write to" in result.stderr
