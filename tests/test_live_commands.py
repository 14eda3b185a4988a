"""Asking, killing and resuming a trader by command, by file and by signal; what is latched outlasts every restart."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.events import Started, StopAsked
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.live.entries import entry
from rl_trader.live.exchange.secrets import Secret
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.monitor.clearing import clear_stops, latched_stops
from rl_trader.live.monitor.client import Client, NoTraderError, journal_of
from rl_trader.live.monitor.contact import Contact, contact_path, read_contact, write_contact
from rl_trader.live.monitor.kill_file import NAME, find_kill, leave_kill
from rl_trader.live.monitor.lines import Lines
from rl_trader.live.policy.deployment import Deployment
from rl_trader.local_exchange.shells.local import LocalExchange
from scripts import _deploy_kill, _deploy_resume, _deploy_status
from tests.live_session_stage import CAPS, random_deployment, recorded_exchange, trader_of, until
from tests.monitor_stage import watched
from tests.test_commands import REPO, typed

CONDUCT = Conduct(
    symbol="BTCUSDT",
    bar_ms=60_000,
    tick_size=Decimal("0.1"),
    step_size=Decimal("0.001"),
    stop_loss=Decimal("0.02"),
    take_profit=None,
)
NOW = 1_738_540_800_000


@pytest.fixture
def exchange(recorded_data: Path) -> Iterator[LocalExchange]:
    with recorded_exchange(recorded_data) as exchange:
        yield exchange


@pytest.fixture
def deployment(recorded_data: Path, tmp_path: Path) -> Deployment:
    return random_deployment(recorded_data, tmp_path)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Return the journal of a trader that was killed and ended."""
    journal = tmp_path / "paper-main.journal"
    core = new_core()
    with Journal.open(journal, JournalIdentity(mode="paper", account="main", checkpoint="0"), reserve_bytes=0) as file:
        for event in (Started(t_ms=NOW, epoch=1), StopAsked(t_ms=NOW + 7, kind="KILL", reason="enough", by="me")):
            core.step(event)
            file.append([entry(event, core.state, 0, [])])
    return journal


def new_core() -> Core:
    return Core(State(CONDUCT), lambda _state, _intent: None)


def replayed(journal: Path) -> State:
    """Return the state that a start would find."""
    core = new_core()
    with open_read_only(journal) as reader:
        for event in reader.events():
            core.step(decode_event(event.kind, event.body))
    return core.state


def test_a_kill_by_command_outlasts_a_restart_until_a_command_resumes(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path)

    async def kill() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(io.StringIO())) as work:
            await work.play_until_held()
            assert await asyncio.to_thread(_deploy_status.main, [folder]) == 0
            assert "BTCUSDT 30m" in capsys.readouterr().out
            assert await asyncio.to_thread(_deploy_kill.main, [folder, "--reason", "seen enough"]) == 0
            assert not trader_of(exchange).position("BTCUSDT").amount
            assert await asyncio.to_thread(_deploy_status.main, [folder, "--json"]) == 1
            told = json.loads(capsys.readouterr().out.partition("resume`\n")[2])
            assert told["stop"]["reason"].startswith("seen enough (by ")
            assert await asyncio.to_thread(_deploy_status.main, [folder, "--page"]) == 0
            assert capsys.readouterr().out.strip() == Client(tmp_path / "paper.journal").contact.page

    async def resume() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(io.StringIO())) as work:
            await until(lambda: work.monitor.view().health.is_reconciled, work.task)
            assert work.monitor.view().phase == "KILLED"
            num_orders = len(trader_of(exchange).orders)
            exchange.to_next_open()
            await asyncio.sleep(0.3)
            assert len(trader_of(exchange).orders) == num_orders
            assert await asyncio.to_thread(_deploy_resume.main, [folder, "--reason", "understood"]) == 0
            await work.play_until_held()
            (tmp_path / NAME).touch()
            await work.until_flat()
            stop = work.monitor.view().stop
            assert stop is not None
            assert stop.reason == "there is such a file (by the file KILL)"

    asyncio.run(kill())
    asyncio.run(resume())
    with pytest.raises(NoTraderError, match=r"none does; .*KILL is latched: there is such a file"):
        _deploy_status.main([folder])
    assert _deploy_resume.main([folder, "--reason", "removed"]) == 0
    assert not (tmp_path / NAME).exists()
    assert latched_stops(tmp_path / "paper.journal") == []


def test_a_signal_and_a_file_at_the_start_kill(exchange: LocalExchange, deployment: Deployment, tmp_path: Path) -> None:
    async def by_signal() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(io.StringIO())) as work:
            await work.play_until_held()
            os.kill(os.getpid(), signal.SIGUSR1)
            await work.until_flat()
            stop = work.monitor.view().stop
            assert stop is not None
            assert stop.reason == "SIGUSR1 (by a signal)"

    async def by_file() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(io.StringIO())) as work:
            await until(lambda: work.monitor.view().phase == "KILLED", work.task)
            stop = work.monitor.view().stop
            assert stop is not None
            assert stop.reason == "on holiday (by the file KILL)"

    asyncio.run(by_signal())
    clear_stops(tmp_path / "paper.journal", "again", "a test")
    assert _deploy_kill.main([str(tmp_path), "--reason", "on holiday"]) == 0  # no trader runs
    (tmp_path / NAME).write_text("on holiday\n")
    asyncio.run(by_file())


def test_the_commands_as_a_user_types_them(recorded_data: Path, exchange: LocalExchange, tmp_path: Path) -> None:
    random_deployment(recorded_data, tmp_path)
    run, caps = tmp_path / "runs" / "random", tmp_path / "caps.json"
    caps.write_text(json.dumps({name: str(v) if isinstance(v, Decimal) else v for name, v in asdict(CAPS).items()}))
    key = exchange.key
    environment = {"RL_TRADER_PAPER_API_KEY": key.key, "RL_TRADER_PAPER_API_SECRET": key.secret}
    words = (run, "--caps", caps, "--rest", exchange.url, "--streams", exchange.ws_url)
    with started("scripts.deploy", *words, **environment) as trader:
        wait_until(lambda: any(run.glob("*.control")) or trader.poll() is not None)
        journal = journal_of(run, None)
        wait_until(lambda: Client(journal).view().phase != "WAITING" or trader.poll() is not None)
        shown = typed("scripts.deploy", "status", run, "--json")
        assert (shown.code, json.loads(shown.out)["phase"]) == (0, "TRADING")
        page = typed("scripts.deploy", "status", run, "--page")
        assert page.out.startswith("http://127.0.0.1:")
        killed = typed("scripts.deploy", "kill", run, "--reason", "seen enough")
        assert (killed.code, killed.err) == (0, ""), killed
        trader.send_signal(signal.SIGTERM)
        out, err = trader.communicate(timeout=60)
        assert trader.returncode == 0, err
    assert "killed: seen enough (by " in out
    assert "ended; no position is held" in out
    token = page.out.strip().partition("#")[2]
    assert len(token) > 40
    assert all(secret not in out + err for secret in (token, key.key, key.secret))
    gone = typed("scripts.deploy", "status", run)
    assert gone.code == 2
    assert len(gone.err.splitlines()) == 1
    assert "KILL is latched: seen enough (by " in gone.err


def test_status_and_kill_start_without_the_libraries_of_training(tmp_path: Path) -> None:
    code = (
        "import sys; from scripts import _deploy_status, _deploy_kill, _deploy_resume\n"
        "from rl_trader.live.monitor import client, table\n"
        "print([name for name in ('torch', 'gymnasium', 'numba', 'tensorboard', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@contextmanager
def started(*arguments: object, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """Start a command in a process of its own, and end it with the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=REPO,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(is_so: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < 120
        time.sleep(0.1)


# ---- While no trader runs


def test_a_stop_is_cleared_in_the_journal_and_stays_cleared(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed(killed).is_stopped
    assert [stop.kind for stop in latched_stops(killed)] == ["KILL"]
    assert _deploy_resume.main([str(killed.parent), "--reason", "understood"]) == 0
    assert capsys.readouterr().out == "KILL is cleared: enough (by me); no trader runs\n"
    state = replayed(killed)
    assert not state.is_stopped
    assert state.now_ms == NOW + 7  # nobody has asked the exchange for its time
    assert latched_stops(killed) == []
    with open_read_only(killed) as reader:
        reader.verify()
    with pytest.raises(ConfigError, match="must have a stop to resume from and has none"):
        _deploy_resume.main([str(killed.parent), "--reason", "again"])


def test_without_a_trader_status_says_so_with_what_is_latched(killed: Path) -> None:
    with pytest.raises(
        NoTraderError, match=r"a trader must run on .* none does; .*\(KILL is latched: enough \(by me\)\)"
    ):
        _deploy_status.main([str(killed.parent)])


def test_without_a_trader_a_kill_leaves_its_file(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _deploy_kill.main([str(killed.parent), "--reason", "later"]) == 0
    assert "no trader answers" in capsys.readouterr().out
    assert str(find_kill(killed)).startswith("later (by ")


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_resumption_needs_a_reason(killed: Path, reason: str) -> None:
    with pytest.raises(ConfigError, match="must have a reason"):
        _deploy_resume.main([str(killed.parent), "--reason", reason])
    assert latched_stops(killed)


def test_a_stop_is_not_cleared_behind_a_trader_that_runs(killed: Path) -> None:
    identity = JournalIdentity(mode="paper", account="main", checkpoint="0")
    with Journal.open(killed, identity, reserve_bytes=0), pytest.raises(ConfigError, match="stop that one"):
        clear_stops(killed, "why", "me")


# ---- Files


def test_the_kill_file_is_there_whatever_it_is(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    path = tmp_path / NAME
    assert find_kill(journal) is None
    leave_kill(journal, "why\x07 not")
    assert find_kill(journal) == "why not"
    path.write_bytes(b"\xff\xfe\n")
    assert find_kill(journal) == "\ufffd\ufffd"
    path.unlink()
    path.mkdir()
    assert find_kill(journal) == "there is such a file"
    path.rmdir()
    path.symlink_to("/nowhere")
    assert find_kill(journal) == "there is such a file"
    path.unlink()
    os.mkfifo(path)
    assert find_kill(journal) == "there is such a file"


def test_the_contact_file_is_closed_to_others_and_refused_if_it_is_not(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    assert read_contact(journal) is None
    write_contact(journal, Contact(1234, Secret("token")))
    path = contact_path(journal)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_contact(journal) == Contact(1234, Secret("token"))
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="mode 600"):
        read_contact(journal)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"port": 1}', '{"port": "1", "token": "a"}', '{"port": 70000, "token": "a"}']
)
def test_a_damaged_contact_file_is_refused(tmp_path: Path, text: str) -> None:
    journal = tmp_path / "a.journal"
    contact_path(journal).touch(mode=0o600)
    contact_path(journal).write_text(text)
    with pytest.raises(ConfigError, match="must have a port and a token"):
        read_contact(journal)


def test_a_contact_file_that_a_crash_has_left_leads_to_no_trader(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    write_contact(journal, Contact(9, Secret("token")))
    with pytest.raises(NoTraderError, match="none does"):
        Client(journal).status()


def test_a_folder_with_several_journals_needs_a_choice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was ever deployed"):
        journal_of(tmp_path, None)
    (tmp_path / "a.journal").touch()
    assert journal_of(tmp_path, None) == tmp_path / "a.journal"
    (tmp_path / "b.journal").touch()
    with pytest.raises(ConfigError, match=r"a\.journal, b\.journal; say which"):
        journal_of(tmp_path, None)
    with pytest.raises(RlTraderError, match="must be the folder of a run"):
        journal_of(tmp_path / "none", None)
