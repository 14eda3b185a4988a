"""The journal under SIGKILL, full disks and refused writes, in processes that really die."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rl_trader.live.journal.rows import IntentRow
from tests.journal_child import NOBODY, REPO, ForkServer, halt, open_journal, order_event

KILLS = 80  # at random moments
MOST_DELAY_S = 0.02  # between the first order that is sent and the kill: several appends


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer() as started:
        yield started


def journalled(path: Path) -> list[str]:
    """Return the client order ids of a journal, after a walk through all of it."""
    with open_journal(path) as journal:  # walks from end to end, and refuses what does not reach its tip
        journal.verify()
        return [row.client_order_id for _, row in journal.rows(IntentRow)]


# ---- Kills


def test_whenever_the_trader_is_killed_every_order_that_was_sent_is_in_the_journal(
    server: ForkServer, tmp_path: Path
) -> None:
    path, sent = tmp_path / "journal", set[str]()
    moments = random.Random(20)
    for life in range(1, KILLS + 1):
        child = server.start("trade", path)
        assert server.is_sending(timeout_s=60)
        time.sleep(moments.uniform(0, MOST_DELAY_S))
        os.kill(child, signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL
        sent.update(server.sent())
        ids = journalled(path)
        assert len(ids) == len(set(ids))
        assert sent <= set(ids)
        assert len(ids) - len(sent) <= life  # at most one a life was journalled and not yet sent
    assert len(sent) > KILLS


def test_a_kill_at_any_point_where_the_journal_meets_the_disk_loses_no_order_that_was_sent(
    server: ForkServer, tmp_path: Path
) -> None:
    path, sent = tmp_path / "journal", set[str]()
    open_journal(path).close()
    points = server.run("points_of_round", path)
    assert len(points) == len(set(points)) >= 60
    for point in points:
        server.start("round_to", path, point=point)
        assert server.wait() == -signal.SIGKILL, point
        sent.update(server.sent())
        ids = journalled(path)
        assert sent <= set(ids), point
        assert len(ids) == len(set(ids)), point
    assert len(sent) > 60


def test_a_journal_whose_making_is_killed_is_there_whole_or_not_at_all(server: ForkServer, tmp_path: Path) -> None:
    points = [point for point in server.run("points_of_round", tmp_path / "trial") if " in create" in point]
    assert len(points) >= 10
    for number, point in enumerate(points):
        path = tmp_path / f"journal-{number}"
        server.start("round_to", path, point=point)
        assert server.wait() == -signal.SIGKILL, point
        with open_journal(path) as journal:  # makes it anew where it is not there
            assert journal.epoch == 1, point
            assert journal.append([order_event("q-1")]) == 1


# ---- Writes that fail


@pytest.mark.parametrize("dies", [False, True])
def test_wherever_a_write_fails_nothing_is_half_written(server: ForkServer, tmp_path: Path, dies: bool) -> None:
    # The log's header has 32 bytes and a frame 24 + 4096: the limits lie within headers, frames and between them.
    path, sent, failed = tmp_path / "journal", set[str](), set[str]()
    open_journal(path).close()
    rooms = [*range(0, 60, 13), *range(100, 70_000, 1_717)]
    for room in rooms:
        told = server.run("write_until", path, room=room, dies=dies)
        assert told[-1].startswith("because the journal"), told
        assert "cannot be written (disk I/O error, SQLITE_IOERR_WRITE)" in told[-1]
        sent.update(told[:-2])
        failed.add(told[-2].removeprefix("failed "))
        ids = journalled(path)
        assert sent <= set(ids)
        assert not failed & set(ids)
    assert len(failed) == len(rooms)
    assert len(sent) > len(rooms)
    with open_journal(path) as journal:
        assert len(journal.latched_stops()) == (0 if dies else len(rooms))


def alone(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with mounts of its own."""
    try:
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", command], cwd=REPO, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        return subprocess.CompletedProcess([], 127, "", str(error))


def test_on_a_full_disk_the_reserve_lets_the_trader_exit_and_halt(tmp_path: Path) -> None:
    # A disk of 3 MiB, mounted where only this process sees it.
    job = f"{sys.executable} -m tests.journal_child fill_disk {tmp_path}/journal"
    command = f"mount -t tmpfs -o size=3m none {tmp_path} && {job}"
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode:
        # A kernel without user namespaces cannot mount it; tests/test_live_full_disk.py needs no mount.
        pytest.skip("this machine lets no user mount a small disk (unshare -rm mount -t tmpfs)")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    full, again, told = done.stdout.splitlines()
    assert "cannot be written (database or disk is full, SQLITE_FULL); see to its disk" in full
    assert again.startswith("nothing is journalled since a failure: the journal")
    assert json.loads(told) == {"states": ["PLANNED", None, "PLANNED"], "stops": 1, "epoch": 2}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Yield a folder that another user can reach."""
    with tempfile.TemporaryDirectory(prefix="journal-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)


@pytest.mark.parametrize(
    ("mode_of_folder", "mode_of_file", "sentence"),
    [
        (0o755, 0o444, "must be read and written by this user and may not be"),
        (0o755, 0o000, "must be read and written by this user and may not be"),
        (0o555, 0o644, "cannot be opened (attempt to write a readonly database, SQLITE_READONLY_DIRECTORY)"),
    ],
)
def test_a_journal_that_may_not_be_written_is_refused_and_left_as_it_is(
    server: ForkServer, open_folder: Path, mode_of_folder: int, mode_of_file: int, sentence: str
) -> None:
    path = open_folder / "journal"
    with open_journal(path) as journal:
        journal.append([order_event("q-1"), halt()])
        said = journal.dump()
    for part in (open_folder, *open_folder.iterdir()):
        if os.geteuid() == 0:
            os.chown(part, NOBODY, NOBODY)
    content = path.read_bytes()
    path.chmod(mode_of_file)
    open_folder.chmod(mode_of_folder)
    (told,) = server.run("only_open", path, is_nobody=True)
    assert told.startswith("JournalError: the journal")
    assert sentence in told
    open_folder.chmod(0o755)
    path.chmod(0o644)
    assert path.read_bytes() == content
    with open_journal(path) as journal:
        assert journal.dump().splitlines()[1:] == said.splitlines()[1:]
        assert journal.epoch == 2


# ---- Two traders


def test_a_second_trader_on_a_journal_is_refused_in_one_sentence(server: ForkServer, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path) as journal:
        (told,) = server.run("only_open", path, is_nobody=False)
        assert told.startswith(f"ConfigError: the journal {path} must have one trader and process {os.getpid()} holds")
        assert journal.append([order_event("q-1")]) == 1
    assert server.run("only_open", path, is_nobody=False) == ["opened 2"]


def test_sqlite_refuses_the_second_trader_where_the_lock_file_was_removed(server: ForkServer, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path) as journal:
        journal.append([order_event("q-1")])
        (tmp_path / "journal.lock").unlink()
        (told,) = server.run("only_open", path, is_nobody=False)
        assert told.startswith(f"ConfigError: the journal {path} is open in another process; stop that one")
        journal.append([order_event("q-2")])


def test_the_lock_of_a_killed_trader_locks_nobody_out(server: ForkServer, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    child = server.start("trade", path)
    assert server.is_sending(timeout_s=60)
    os.kill(child, signal.SIGKILL)
    server.wait()
    server.sent()
    assert (tmp_path / "journal.lock").read_text() == f"{child}\n"
    assert server.run("only_open", path, is_nobody=False) == ["opened 2"]
