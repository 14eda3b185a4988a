"""What cannot be deployed is refused in one sentence, with exit code 2, before anything is changed at the exchange."""

import json
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rl_trader.live.core.caps import Caps
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.policy.deployment import load_deployment
from rl_trader.local_exchange.shells.local import LocalExchange
from scripts import deploy
from tests.called_scripts import Answer, script_caller
from tests.checkpoint_edits import edit_sealed
from tests.deploy_stage import (
    OWN_CAPS,
    TRADING,
    VARIABLES,
    Asked,
    embedded_exchange,
    embedded_run,
    keys_of,
    words_for,
    write_caps,
)
from tests.fault_stage import FaultStage

Call = Callable[..., Answer]
LONGEST_S = 60


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, of which nobody knows that it was started."""
    return shutil.copytree(original, tmp_path / "run")


def end(_number: int, _frame: object) -> None:
    raise TimeoutError("it was not refused")


class Typed:
    """The script, as a user types it, and what it must say.

    Args:
        call: Calls scripts.
        monkeypatch: Sets keys.
        folder: Where files may be written.
    """

    def __init__(self, call: Call, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._call, self._monkeypatch = call, monkeypatch
        self.caps = write_caps(folder / "caps.json")
        self.keys(dict.fromkeys(VARIABLES, ""))

    def keys(self, variables: dict[str, str]) -> None:
        """Set the keys."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def sentence(self, *words: object) -> str:
        """Return the one sentence with which the script refuses."""
        before = signal.signal(signal.SIGALRM, end)
        signal.alarm(LONGEST_S)  # what is not refused would trade until somebody ends it
        try:
            answer = self._call(deploy, *words)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        assert answer.code == 2, answer
        error = answer.err.splitlines()[-1]
        assert [line for line in answer.err.splitlines() if line.startswith("error: ")] == [error]
        assert "Traceback" not in answer.err
        return error

    def refused(self, exchange: LocalExchange, asked: Asked, run: Path, *more: object) -> str:
        """Return the sentence about a run on an exchange, of which nothing was changed."""
        said = self.sentence(*words_for(exchange, run, self.caps, *more))
        assert asked.changes == []
        return said


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Typed:
    folder = tmp_path / "typed"
    folder.mkdir()
    return Typed(script_caller(monkeypatch, capsys, folder), monkeypatch, folder)


# ---- Keys


def test_missing_keys(typed: Typed, run: Path) -> None:
    with embedded_exchange() as (exchange, asked):
        assert "RL_TRADER_PAPER_API_KEY" in typed.refused(exchange, asked, run, "--keys", typed.caps.with_name("none"))
        typed.keys({VARIABLES[0]: exchange.key.key})
        assert "hold only one of them" in typed.refused(exchange, asked, run)
        assert asked.requests == []


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_wrong_keys(typed: Typed, run: Path, wrong: str) -> None:
    with embedded_exchange() as (exchange, asked):
        keys = keys_of(exchange)
        typed.keys(keys | {VARIABLES[wrong == "secret"]: "w" * 64})
        said = typed.refused(exchange, asked, run)
    assert "refuses it" in said
    assert "see that key and secret belong together" in said
    assert "w" * 64 not in said


@pytest.mark.parametrize("permission", ["enableWithdrawals", "permitsUniversalTransfer", "enableSomethingNew"])
def test_a_key_that_may_do_too_much(typed: Typed, run: Path, permission: str) -> None:
    with embedded_exchange() as (exchange, asked):
        exchange.assembly.venue.permissions[permission] = True
        typed.keys(keys_of(exchange))
        assert f"must not have {permission}; turn it off" in typed.refused(exchange, asked, run)


def test_a_key_that_may_be_used_from_anywhere_is_not_waived(typed: Typed, run: Path) -> None:
    with embedded_exchange() as (exchange, asked):
        exchange.assembly.venue.permissions["ipRestrict"] = False
        typed.keys(keys_of(exchange))
        assert "must have ipRestrict" in typed.refused(exchange, asked, run)
        assert "'ipRestrict' is not among it" in typed.refused(exchange, asked, run, "--waive", "ipRestrict")


# ---- The checkpoint


def test_a_checkpoint_of_another_market(typed: Typed, run: Path) -> None:
    stage = FaultStage()
    key = stage.keys["main"]
    typed.keys(dict(zip(VARIABLES, (key.key, key.secret), strict=True)))
    with stage.serving() as server:
        said = typed.sentence(run, "--caps", typed.caps, "--rest", server.url, "--streams", server.ws_url)
    assert "EMBEDDED must be traded at the exchange and is not; choose another run" in said
    assert not stage.venue.trader("main").orders


@pytest.mark.parametrize(
    ("part", "name", "value", "sentence"),
    [
        ("observation", "sha256", "0" * 64, "features of another definition; train again"),
        ("env", "features", ["log_return_1"], "features of another definition; train again"),
        ("env", "features", ["log_return_1", "hour_sinus"], "unknown feature"),
        ("policy", "sha256", "0" * 64, "does not have the hash of its manifest"),
    ],
)
def test_a_checkpoint_of_another_schema(
    typed: Typed, run: Path, part: str, name: str, value: object, sentence: str
) -> None:
    edit_manifest(run, lambda manifest: manifest[part].update({name: value}))
    with embedded_exchange() as (exchange, asked):
        typed.keys(keys_of(exchange))
        assert sentence in typed.refused(exchange, asked, run)
        assert asked.requests == []


def edit_manifest(run: Path, change: Callable[[Any], object]) -> None:
    """Change the manifest of a run's best checkpoint, and its hash with it."""
    edit_sealed(run / "checkpoints" / json.loads((run / "checkpoints" / "index.json").read_text())["best"], change)


# ---- The exchange


@pytest.mark.parametrize("off_s", [-120, 120])
def test_a_clock_that_is_off_by_a_minute(typed: Typed, run: Path, off_s: int) -> None:
    begin_ms = 1_580_688_000_000  # 2020-02-03
    ahead_ms = time.time_ns() // 1_000_000 - begin_ms - off_s * 1_000
    with embedded_exchange(skewed_by(ahead_ms)) as (exchange, asked):
        typed.keys(keys_of(exchange))
        said = typed.refused(exchange, asked, run)
    assert "must be within 60 s of the exchange's; set it" in said
    assert f"off by {'+' if off_s > 0 else '-'}1" in said


def skewed_by(ahead_ms: int) -> dict[str, Any]:
    return {
        "faults": [
            {"on": {"endpoint": "GET /fapi/v1/time", "every": 1}, "do": {"action": "clock_skew", "ms": ahead_ms}}
        ],
    }


def test_a_symbol_that_does_not_trade(typed: Typed, run: Path) -> None:
    halt = {"action": "halt", "symbol": "EMBEDDED", "for_ms": 86_400_000, "status": "SETTLING"}
    plan = {"faults": [{"on": {"endpoint": "GET /fapi/v1/time", "nth": 1}, "do": halt}]}
    with embedded_exchange(plan) as (exchange, asked):
        typed.keys(keys_of(exchange))
        assert "EMBEDDED must be trading and is SETTLING; wait until it is" in typed.refused(exchange, asked, run)


def test_a_balance_below_the_smallest_order(typed: Typed, run: Path) -> None:
    with embedded_exchange(balance=Decimal("0.5")) as (exchange, asked):
        typed.keys(keys_of(exchange))
        said = typed.refused(exchange, asked, run)
    assert "the wallet must carry the smallest order" in said
    assert "has 0.50000000; transfer more" in said


def test_a_leverage_that_the_brackets_do_not_allow_for_so_large_a_position(typed: Typed, run: Path) -> None:
    write_caps(typed.caps, replace(OWN_CAPS, max_position_notional=Decimal(10**12)))
    with embedded_exchange(balance=Decimal(10**10)) as (exchange, asked):
        typed.keys(keys_of(exchange))
        said = typed.refused(exchange, asked, run)
    assert "at leverage 10 the exchange allows" in said
    assert "lower the cap max_position_notional" in said


def test_a_leverage_that_the_exchange_does_not_set(typed: Typed, run: Path) -> None:
    refuse = {"action": "rate_limit", "of": "orders"}
    plan = {"faults": [{"on": {"endpoint": "POST /fapi/v1/leverage", "every": 1}, "do": refuse}]}
    with embedded_exchange(plan) as (exchange, asked):
        typed.keys(keys_of(exchange))
        said = typed.sentence(*words_for(exchange, run, typed.caps, "--journal", typed.caps.with_name("journal")))
        assert "leverage of EMBEDDED could not be set to 10" in said
        assert {path for _, path in asked.changes} <= {"/fapi/v1/marginType", "/fapi/v1/leverage"}
        assert not exchange.assembly.venue.trader("main").orders


def test_no_network(typed: Typed, run: Path) -> None:
    with embedded_exchange() as (exchange, _):
        typed.keys(keys_of(exchange))
        words = words_for(exchange, run, typed.caps)
    assert "must tell its time and does not; see whether it can be reached" in typed.sentence(*words)


# ---- The journal


def identity_of(run: Path, account: str) -> JournalIdentity:
    return JournalIdentity(mode="paper", account=account, checkpoint=load_deployment(run).checkpoint_sha256)


def test_another_instance_is_running(typed: Typed, run: Path) -> None:
    journal = run / "paper-main.journal"
    with embedded_exchange() as (exchange, asked):
        typed.keys(keys_of(exchange))
        with Journal.open(journal, identity_of(run, "main"), reserve_bytes=4_096):
            assert "must have one trader and process" in typed.refused(exchange, asked, run)


def test_a_journal_of_another_account(typed: Typed, run: Path) -> None:
    """The name is the same, and the exchange tells the accounts apart."""
    with embedded_exchange(accounts=("main", "other")) as (exchange, asked):
        Journal.open(run / "paper-main.journal", identity_of(run, "main ofAnother"), reserve_bytes=4_096).close()
        typed.keys(keys_of(exchange))
        said = typed.refused(exchange, asked, run)
    assert "must be of" in said
    assert "main ofAnother" in said
    assert "give another path" in said


def test_a_journal_of_a_newer_version(typed: Typed, run: Path) -> None:
    journal = run / "paper-main.journal"
    Journal.open(journal, identity_of(run, "main"), reserve_bytes=4_096).close()
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with embedded_exchange() as (exchange, asked):
        typed.keys(keys_of(exchange))
        said = typed.refused(exchange, asked, run)
    assert "has version 99" in said
    assert "use the program that wrote it, or a newer one" in said


# ---- What is typed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mode", "demo", "--rest", "http://127.0.0.1:1"], "mode demo has addresses of its own"),
        (["--mode", "demo", "--streams", "ws://127.0.0.1:1"], "mode demo has addresses of its own"),
        (["--rest", "https://fapi.binance.com"], "must be at an address of this machine"),
        (["--streams", "wss://fstream.binance.com"], "must be at an address of this machine"),
        (["--mode", "real"], "invalid choice: 'real'"),
        (["--mode", "demo"], "set RL_TRADER_DEMO_API_KEY and RL_TRADER_DEMO_API_SECRET"),
        (["--mode", "demo", "--hours", "1"], "mode demo is not armed"),
        (["--yes"], "unrecognized arguments: --yes"),
        (["--hours", "1"], "mode paper is not armed"),
        (["--paper-hours", "0"], "mode paper is not armed"),
        (["--waive", "no-stop"], "mode paper is not armed"),
        (["--waive", "enableFutures"], "'enableFutures' is not among it"),
        (["--symbol", "BTCUSDT"], "the run has no symbol 'BTCUSDT'"),
    ],
)
def test_words_that_contradict(typed: Typed, run: Path, words: list[str], sentence: str) -> None:
    typed.keys(dict.fromkeys(VARIABLES, "k" * 64))
    assert sentence in typed.sentence(run, "--caps", typed.caps, *words)


@pytest.mark.parametrize(
    ("caps", "sentence"),
    [
        (replace(OWN_CAPS, symbols=("BTCUSDT",)), "the caps allow BTCUSDT, and the run trades EMBEDDED"),
        (replace(OWN_CAPS, max_leverage=Decimal(2)), "and the caps allow 2 times"),
    ],
)
def test_a_run_that_the_caps_would_refuse_at_its_first_order(
    typed: Typed, run: Path, caps: Caps, sentence: str
) -> None:
    write_caps(typed.caps, caps)
    assert TRADING.max_exposure == 5
    with embedded_exchange() as (exchange, asked):
        typed.keys(keys_of(exchange))
        assert sentence in typed.refused(exchange, asked, run)
        assert asked.requests == []
