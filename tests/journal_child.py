"""Processes that journal, "send" and die, started by a small fork server; and the events that the tests journal.

The server imports everything once and forks a child for each job, so that many can be killed in a second. A child
"sends" an order by writing its client order id to a pipe, after the append has returned; what is in the pipe when it is
dead was sent. Run as a program it is the server: ``python -m tests.journal_child PIPE`` reads jobs from its standard
input, one JSON object a line, and answers each with the child's number, and with its status when it has ended.
"""

import hashlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

from rl_trader.errors import RlTraderError
from rl_trader.live.journal.chain import JournalError, Json
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.rows import (
    AccountRow,
    ClearedStopRow,
    DecisionRow,
    FillRow,
    IncomeRow,
    IntentRow,
    IntentStateRow,
    MarketRow,
    NewEvent,
    OutcomeRow,
    PostingRow,
    RiskStopRow,
    Row,
)
from rl_trader.live.journal.schema import JournalIdentity

REPO: Final = Path(__file__).parents[1]
IDENTITY: Final = JournalIdentity(mode="paper", account="7d1f", checkpoint="c0ffee")
RESERVE: Final = 65_536  # bytes; more would only make the tests slow
NOBODY: Final = 65_534

_LIVE: Final = str(REPO / "rl_trader" / "live")
_INPUT_AND_OUTPUT: Final = frozenset(
    {"execute", "executemany", "connect", "close", "fsync", "open", "pwrite", "replace", "rename", "unlink", "flock"}
)


# ---- What is journalled


def open_journal(path: Path, identity: JournalIdentity = IDENTITY) -> Journal:
    return Journal.open(path, identity, reserve_bytes=RESERVE)


def market_event(number: int) -> NewEvent:
    body: dict[str, Json] = {"open_ms": number * 60_000, "close": f"{67_000 + number}.10", "is_alive": True}
    return NewEvent(source="market", kind="BarClosed", session_ms=number, exchange_ms=number, body=body)


def order_event(client_order_id: str, *rows: Row) -> NewEvent:
    body = {"client_id": client_order_id}
    return NewEvent(source="core", kind="Place", session_ms=3, body=body, rows=(intent(client_order_id), *rows))


def intent(client_order_id: str, **changes: Any) -> IntentRow:
    fields: dict[str, Any] = {
        "client_order_id": client_order_id,
        "symbol": "BTCUSDT",
        "decision": client_order_id,
        "leg": "OPEN",
        "attempt": 1,
        "purpose": "ENTRY",
        "side": "BUY",
        "order_type": "MARKET",
        "quantity": Decimal("0.010"),
        "reduce_only": False,
        "algo": False,
        "state": "PLANNED",
    }
    return IntentRow(**(fields | changes))


def fill(trade_id: int, **changes: Any) -> FillRow:
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "trade_id": trade_id,
        "order_id": 8,
        "client_order_id": "q-1",
        "side": "BUY",
        "quantity": Decimal("0.010"),
        "price": Decimal("67000.10"),
        "commission": Decimal("0.26800040"),
        "commission_asset": "USDT",
        "realized_pnl": Decimal("0"),
        "time_ms": 5,
        "source": "user stream",
    }
    return FillRow(**(fields | changes))


def income(tran_id: int, income_type: str = "FUNDING_FEE") -> IncomeRow:
    return IncomeRow(income_type=income_type, tran_id=tran_id, asset="USDT", amount=Decimal("-0.125"), time_ms=6)


def postings(key: str, *amounts: str) -> tuple[PostingRow, ...]:
    return tuple(
        PostingRow(key=key, leg=leg, account=f"account {leg}", asset="USDT", amount=Decimal(amount), time_ms=6)
        for leg, amount in enumerate(amounts)
    )


def decision(bar_open_ms: int, observation: bytes = b"\x00\x01\xfe\xff") -> DecisionRow:
    return DecisionRow(
        symbol="BTCUSDT",
        bar_open_ms=bar_open_ms,
        model_sha256="c0ffee",
        observation=observation,
        observation_sha256=hashlib.sha256(observation).hexdigest(),
        action="0.5",
        target=Decimal("0.5"),
    )


def seen(bar_open_ms: int) -> tuple[Row, ...]:
    """Return the account at the close of a bar, and the bar."""
    account = AccountRow(
        symbol="BTCUSDT",
        bar_open_ms=bar_open_ms,
        wallet_balance=Decimal(10_000),
        amount=Decimal("-0.010"),
        entry_price=Decimal("67000.10"),
        isolated_wallet=Decimal(70),
        bars_held=3,
        mark_close=Decimal("67001.20"),
    )
    bar = '["67000.10", "67010.00", "66990.00", "67001.10", "12.345"]'
    return account, MarketRow(symbol="BTCUSDT", series="klines_1m", time_ms=bar_open_ms, body=bar)


def halt(reason: str = "the disk is full") -> NewEvent:
    stop = RiskStopRow(kind="HALT", reason=reason, by="journal")
    return NewEvent(source="core", kind="StopAsked", session_ms=9, body={}, rows=(stop,))


def a_day(journal: Journal) -> None:
    """Journal something of every kind; equal each time, and in several transactions."""
    journal.append([market_event(1), market_event(2)])
    outcome = OutcomeRow(symbol="BTCUSDT", bar_open_ms=60_000, outcome="SENT")
    decided = NewEvent(
        source="policy", kind="Decided", session_ms=2, exchange_ms=2, cause_seq=2, body={"é": ["\ud800", None, -1]},
        rows=(*seen(60_000), decision(60_000), outcome, intent("q-1", decision="60000")),
    )  # fmt: skip
    journal.append([decided])
    sent = IntentStateRow(client_order_id="q-1", state="SENT", sent_ms=3, fence_ms=18_000)
    done = IntentStateRow(client_order_id="q-1", state="FILLED", order_id=8, executed=Decimal("0.010"))
    journal.append([NewEvent(source="rest", kind="Sending", session_ms=3, body={}, rows=(sent,))])
    booked = postings("trade:BTCUSDT:1", "-0.26800040", "0.2680004")
    journal.append([NewEvent(source="user", kind="FillSeen", session_ms=4, body={}, rows=(fill(1), done, *booked))])
    journal.save_snapshot(4, '{"amount": "0.010"}')
    journal.append([NewEvent(source="rest", kind="IncomeSeen", session_ms=6, body={}, rows=(income(77),))])
    journal.append([halt("a person wants lunch")])
    cleared = ClearedStopRow(stop_seq=journal.last_seq, by="ann", reason="lunch is over")
    journal.append([NewEvent(source="person", kind="Resumed", session_ms=8, body={}, rows=(cleared,))])
    journal.append([market_event(number) for number in range(3, 30)])
    journal.flush()


# ---- Jobs of a child


class Points:
    """Counts where the journal meets the disk: before and after each such call, by name.

    Args:
        reached: Called with the name of each point when it is reached for the first time.
    """

    def __init__(self, reached: Callable[[str], None]) -> None:
        self._reached = reached
        self._counts: dict[str, int] = {}

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        """Take what :func:`sys.setprofile` tells."""
        if not event.startswith("c_") or not frame.f_code.co_filename.startswith(_LIVE):
            return
        if function.__name__ in _INPUT_AND_OUTPUT:
            when = "before" if event == "c_call" else "after"
            place = f"{when} {function.__name__} in {frame.f_code.co_qualname}"
            self._counts[place] = self._counts.get(place, 0) + 1
            self._reached(f"{place} #{self._counts[place]}")


def trade(path: Path, send: Callable[[str], None]) -> None:
    """Journal and send without end."""
    journal, number = open_journal(path), 0
    while True:
        number += 1
        journal.append([market_event(number)])
        journal.append([market_event(number), order_event(f"q{journal.epoch}-{number}")])
        send(f"q{journal.epoch}-{number}")
        if number % 7 == 0:
            journal.save_snapshot(journal.last_seq, json.dumps({"number": number}))


def one_round(path: Path, send: Callable[[str], None], reached: Callable[[str], None]) -> None:
    """Open, journal and send two orders, save a snapshot and close, noting every point on the way."""
    sys.setprofile(Points(reached))
    try:
        with open_journal(path) as journal:
            for number in (1, 2):
                journal.append([market_event(number)])
                journal.append([order_event(f"q{journal.epoch}-{number}")])
                send(f"q{journal.epoch}-{number}")
            journal.append([market_event(3)])
            journal.flush()
            journal.save_snapshot(journal.last_seq, "{}")
    finally:
        sys.setprofile(None)


def round_to(path: Path, send: Callable[[str], None], point: str) -> None:
    """Die at a point of a round."""

    def reached(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    one_round(path, send, reached)


def points_of_round(path: Path, send: Callable[[str], None]) -> None:
    """Tell the names of all points of a round."""
    names: list[str] = []
    one_round(path, lambda client_order_id: None, names.append)
    for name in names:
        send(name)


def write_until(path: Path, send: Callable[[str], None], room: int, dies: bool) -> None:
    """Journal and send until the log has grown by so many bytes that no more can be written; then halt, or die."""
    journal, number = open_journal(path), 0
    log = path.with_name(f"{path.name}-wal")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + room, hard))
    try:
        while True:
            number += 1
            journal.append([market_event(number), order_event(f"q{journal.epoch}-{number}")])
            send(f"q{journal.epoch}-{number}")
    except JournalError as error:
        send(f"failed q{journal.epoch}-{number}")
        send(f"because {error}")
    if dies:
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    journal.use_reserve()
    journal.append([halt(f"epoch {journal.epoch}")])
    journal.close()


def only_open(path: Path, send: Callable[[str], None], is_nobody: bool) -> None:
    """Open the journal, perhaps as a user who may not write it, and tell what comes of it."""
    if is_nobody and os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        with open_journal(path) as journal:
            send(f"opened {journal.epoch}")
    except RlTraderError as error:
        send(f"{type(error).__name__}: {error}")


def fill_disk(path: Path, send: Callable[[str], None]) -> None:
    """Fill the disk, halt and exit with the reserve, and tell what the journal says when a person has made room."""
    room = path.with_name("what a person can remove")
    room.write_bytes(bytes(8 * RESERVE))
    journal, number = open_journal(path), 0
    try:
        while True:
            number += 1
            journal.append([order_event(f"q-{number}", decision(number, os.urandom(2_000)))])
    except JournalError as error:
        send(str(error))
    try:
        journal.append([halt()])
    except JournalError as error:
        send(str(error))
    journal.use_reserve()
    journal.append([halt()])
    journal.append([order_event("exit")])
    journal.close()
    room.unlink()
    with open_journal(path) as again:
        states = [again.intent_state(name) for name in (f"q-{number - 1}", f"q-{number}", "exit")]
        send(json.dumps({"states": states, "stops": len(again.latched_stops()), "epoch": again.epoch}))


JOBS: Final[Mapping[str, Callable[..., None]]] = {
    job.__name__: job for job in (trade, round_to, points_of_round, write_until, only_open, fill_disk)
}


# ---- The server


class ForkServer:
    """Starts children and hears what they send; for the tests' side."""

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.journal_child", str(writing)],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        os.set_blocking(self._reading, False)

    def start(self, job: str, path: Path, **arguments: object) -> int:
        """Start a job and return the number of its process."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"job": job, "path": str(path), **arguments}) + "\n")
        self._server.stdin.flush()
        return int(self._answer())

    def wait(self) -> int:
        """Return the status of the job when it has ended: 0, or the negative number of the signal."""
        return os.waitstatus_to_exitcode(int(self._answer()))

    def run(self, job: str, path: Path, **arguments: object) -> list[str]:
        """Return what a job sends that ends by itself."""
        self.start(job, path, **arguments)
        assert self.wait() == 0
        return self.sent()

    def is_sending(self, timeout_s: float) -> bool:
        """Wait until something was sent, and return whether anything was."""
        return bool(select.select([self._reading], [], [], timeout_s)[0])

    def sent(self) -> list[str]:
        """Return what was sent since the last time; of a child that is dead this is all."""
        content = b""
        while True:
            try:
                content += os.read(self._reading, 1 << 16)
            except BlockingIOError:
                return content.decode().splitlines()

    def close(self) -> None:
        """End it."""
        self._server.communicate()
        os.close(self._reading)

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()


def serve(pipe: int) -> None:
    """Fork a child for each job, one after the other."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _work(json.loads(line), pipe)
        _answer(child)
        _answer(os.waitpid(child, 0)[1])


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _work(job: dict[str, Any], pipe: int) -> None:
    status = 1
    try:
        JOBS[job.pop("job")](Path(job.pop("path")), lambda text: os.write(pipe, f"{text}\n".encode()), **job)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[1] in JOBS:
        JOBS[sys.argv[1]](Path(sys.argv[2]), lambda text: sys.stdout.write(f"{text}\n"))
    else:
        serve(int(sys.argv[1]))
