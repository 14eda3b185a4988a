"""Arming: what is asked before real money is traded, on a local exchange that stands where the real one would."""

import asyncio
import os
import pty
import select
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.arming.arming import Wish
from rl_trader.live.arming.paper_time import PaperKeeper, PaperTime, build_sha256
from rl_trader.live.conducting import conduct_of
from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.events import ArmedUntil, MarketSeen
from rl_trader.live.core.state import State
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.server_clock import ServerClock
from rl_trader.live.exchange.venue import LIVE, Armed, Gate, Look, Venue
from rl_trader.live.exchange.wire import AiohttpTransport, WireRequest
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.launch import Launch, Order, prepare, setup_of
from rl_trader.live.redaction import Redactor
from rl_trader.live.session import Session
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.deploy_stage import (
    OWN_CAPS,
    SYMBOL,
    TRADING,
    embedded_exchange,
    embedded_run,
    keys_of,
    write_caps,
)
from tests.live_session_stage import BAR_MS, play, trader_of

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded_run(tmp_path_factory.mktemp("run"))


def launch_on(
    exchange: LocalExchange,
    run: Path,
    folder: Path,
    *,
    hours: float = 1.0,
    hours_on_paper: float = 30.0,
    **wish: object,
) -> Launch:
    """Return what is prepared for a local exchange, with a wish to be armed as for the real one."""
    order = Order(
        run=run,
        caps=write_caps(folder / "caps.json"),
        rest=exchange.url,
        streams=exchange.ws_url,
        journal=folder / "journal",
    )
    launch = prepare(order, keys_of(exchange), None, Redactor())
    paper = PaperTime(folder, launch.deployment.checkpoint_sha256, build_sha256())
    paper.add(round(hours_on_paper * HOUR_MS))
    wanted = Wish(deployment=launch.deployment, hours=hours, **wish)  # type: ignore[arg-type]
    return replace(launch, wish=wanted, paper=paper)


class Person:
    """Somebody at the terminal, who reads what is to be typed and types it, or something else."""

    def __init__(self, instead: str | None = None) -> None:
        self.instead = instead
        self.asked: list[str] = []
        self.told: list[str] = []

    def ask(self, prompt: str) -> str:
        """Answer a question."""
        self.asked.append(prompt)
        wanted = prompt.partition("type: ")[2].removesuffix("\n> ")
        return f"{wanted if self.instead is None else self.instead}\n"

    def arm(self, launch: Launch) -> object:
        """Arm, and return what comes of it."""
        return asyncio.run(setup_of(launch, self.ask, self.told.append))


# ---- A person says yes


def test_what_is_armed_trades_until_the_end_of_the_arming_and_enters_nothing_afterwards(
    run: Path, tmp_path: Path
) -> None:
    person, alerts = Person(), list[str]()
    with embedded_exchange() as (exchange, asked):
        launch = launch_on(exchange, run, tmp_path, hours=2.2)
        begin_ms = exchange.call(exchange.assembly.venue.market_ms)

        async def live() -> None:
            setup = await setup_of(launch, person.ask, person.told.append)
            assert asked.changes == []  # until here nothing but questions has reached the exchange
            assert setup.arming is not None
            assert abs(setup.arming.until_ms - begin_ms - 2.2 * HOUR_MS) < 60_000
            async with Session(setup, alerts.append) as session:
                task = asyncio.create_task(session.run())
                await play(exchange, session, task, 9)
                task.cancel()
                await asyncio.wait([task])

        asyncio.run(live())
        placed = [order.time_ms - begin_ms for order in trader_of(exchange).orders.values() if not order.reduce_only]
    assert placed
    assert max(placed) <= 2.2 * HOUR_MS + BAR_MS  # the market leaps from bar to bar, and the trader's clock does not
    assert [text for text in alerts if "is refused: NOT_ARMED" in text or "the trader was armed until" in text]
    assert person.asked[0].startswith("Real money is traded until 2020-02-03")
    assert f"type: trade embedded on {SYMBOL} with 10000.00 USDT\n> " in person.asked[0]
    with open_read_only(tmp_path / "journal") as reader:
        events = [decode_event(stored.kind, stored.body) for stored in reader.events()]
    (armed,) = [event for event in events if isinstance(event, ArmedUntil)]
    assert armed.how == f"trade embedded on {SYMBOL} with 10000.00 USDT, for 2.2 hours"


def test_everything_that_is_looked_at_is_shown_before_a_person_is_asked(run: Path, tmp_path: Path) -> None:
    person = Person()
    with embedded_exchange() as (exchange, _):
        person.arm(launch_on(exchange, run, tmp_path))
    shown = "\n".join(person.told)
    for what in (
        "ok: every position has a stop at 0.02 of its entry price",
        "ok: the policy has traded on paper with this program for 30.0 hours",
        "ok: the key may read and trade futures, from given addresses, and nothing else",
        f"ok: tick size of {SYMBOL} is",
        "ok: one-way mode, single-asset mode",
        "ok: the wallet has 10000.00000000 USDT",
        "ok: leverage 10 may carry up to",
        f"ok: brackets of {SYMBOL} are those of training",
        f"note: leverage of {SYMBOL} is 20 and is going to be set to 10",
        "ok: the taker fee is",
    ):
        assert what in shown


# ---- Something stands against it


@pytest.mark.parametrize("typed", ["", "yes", "y", "trade", f"trade embedded on {SYMBOL} with 10000 USDT"])
def test_whatever_else_is_typed_changes_nothing(run: Path, tmp_path: Path, typed: str) -> None:
    with embedded_exchange() as (exchange, asked):
        with pytest.raises(ConfigError, match="must be typed and was not; nothing was changed"):
            Person(typed).arm(launch_on(exchange, run, tmp_path))
        assert asked.changes == []


def test_a_run_without_a_stop_is_waived_by_name_or_refused(tmp_path: Path) -> None:
    run = embedded_run(tmp_path / "runs", replace(TRADING, stop_loss=None))
    with embedded_exchange() as (exchange, asked):
        with pytest.raises(ConfigError, match=r"must have been trained with a stop, .* deploy it by --waive no-stop"):
            Person().arm(launch_on(exchange, run, tmp_path))
        assert asked.requests == []
        person = Person()
        setup = person.arm(launch_on(exchange, run, tmp_path, waived=("no-stop",)))
    assert "note: the run was trained without a stop and positions have none: waived" in person.told
    assert ", waived no-stop, for 1 hours" in setup.arming.token.how  # type: ignore[attr-defined]


def test_time_on_paper_is_asked_for_and_less_of_it_has_to_be_said(run: Path, tmp_path: Path) -> None:
    with embedded_exchange() as (exchange, asked):
        with pytest.raises(
            ConfigError, match=r"must have traded on paper with this program for 24 hours and has for 3\.5"
        ):
            Person().arm(launch_on(exchange, run, tmp_path, hours_on_paper=3.5))
        assert asked.requests == []
        person = Person()
        person.arm(launch_on(exchange, run, tmp_path, hours_on_paper=0.0, paper_hours=2.0))
    assert "note: the policy has traded on paper with this program for 3.5 hours" in person.told
    assert "with 10000.00 USDT after 3.5 hours on paper\n> " in person.asked[0]


@pytest.mark.parametrize("hours", [0.0, -1.0, 169.0, float("nan"), float("inf")])
def test_the_arming_has_an_end(run: Path, tmp_path: Path, hours: float) -> None:
    with embedded_exchange() as (exchange, _), pytest.raises(ConfigError, match="168 at most"):
        launch_on(exchange, run, tmp_path, hours=hours)


def test_a_key_that_may_withdraw_is_refused_before_anybody_is_asked(run: Path, tmp_path: Path) -> None:
    person = Person()
    with embedded_exchange() as (exchange, asked):
        exchange.assembly.venue.permissions["enableWithdrawals"] = True
        launch = launch_on(exchange, run, tmp_path)
        with pytest.raises(ConfigError, match="must not have enableWithdrawals"):
            person.arm(launch)
        assert asked.changes == []
        person.arm(replace(launch, waived=("enableWithdrawals",)))
    assert len(person.asked) == 1
    assert "note: the key may have enableWithdrawals: waived" in person.told


def test_filters_fees_and_brackets_that_have_changed_are_noted(run: Path, tmp_path: Path) -> None:
    person = Person()
    filters = {"action": "other_hand", "change": "filters", "symbol": SYMBOL, "tick_size": "0.05"}
    plan = {"faults": [{"on": {"endpoint": "GET /fapi/v1/time", "nth": 1}, "do": filters}]}
    with embedded_exchange(plan) as (exchange, _):
        launch = launch_on(exchange, run, tmp_path)
        terms = launch.deployment.terms
        lowest = replace(terms.brackets[0], initial_leverage=terms.brackets[0].initial_leverage + 1)
        others = replace(terms, taker_fee=0.001, brackets=(lowest, *terms.brackets[1:]), brackets_read_on="2026-09-15")
        person.arm(replace(launch, deployment=replace(launch.deployment, terms=others)))
    shown = "\n".join(person.told)
    assert f"note: tick size of {SYMBOL} is 0.05, and 0.01 in training" in shown
    assert "note: the taker fee is 0.002, and 0.001 in training" in shown
    assert f"note: brackets of {SYMBOL} are others than in training, read on 2026-09-15" in shown


# ---- The gate


def test_leave_to_look_lets_questions_through_and_nothing_else() -> None:
    with embedded_exchange() as (exchange, asked):
        venue = Venue.paper(exchange.url, exchange.ws_url)

        async def send() -> None:
            transport = AiohttpTransport(Gate(venue, Look()))
            rest = Rest(venue, transport, ServerClock(lambda: 0), redactor=Redactor())
            assert await rest.synchronise()
            for method in ("POST", "PUT", "DELETE", "get", ""):
                with pytest.raises(ConfigError, match="there is leave to look alone; arm the trader"):
                    await transport.send(WireRequest(method, f"{exchange.url}/fapi/v1/order", {}))
            await rest.close()

        asyncio.run(send())
        assert {method for method, _ in asked.requests} == {"GET"}


def test_the_real_exchange_can_be_looked_at_and_not_traded_on_before_the_arming() -> None:
    gate = Gate(LIVE, Look())
    gate.check("https://fapi.binance.com/fapi/v1/time")
    with pytest.raises(ConfigError, match="leave to look alone"):
        gate.check("https://fapi.binance.com/fapi/v1/order", "POST")
    Gate(LIVE, Armed("in a test, of which nothing is sent")).check("https://fapi.binance.com/fapi/v1/order", "POST")


# ---- Time on paper


def at_work(launch: Launch) -> State:
    state = State(conduct_of(launch.deployment))
    state.is_reconciled = state.is_market_alive = True
    return state


def test_the_time_on_paper_counts_while_the_session_is_at_work(run: Path, tmp_path: Path) -> None:
    with embedded_exchange() as (exchange, _):
        launch = launch_on(exchange, run, tmp_path, hours_on_paper=0.0)
    now_ms = 0
    keeper = PaperKeeper(launch.paper, lambda: now_ms)
    state = at_work(launch)
    seen = MarketSeen(t_ms=1, is_alive=True, mark_price=Decimal(1))
    for _ in range(121):
        keeper(seen, state)
        now_ms += 30_000
    assert launch.paper.hours == pytest.approx(1.0)
    now_ms += 10 * HOUR_MS  # the machine slept
    keeper(seen, state)
    assert launch.paper.hours == pytest.approx(1.0 + 1 / 60, abs=0.01)
    state.is_market_alive = False
    keeper(seen, state)
    now_ms += HOUR_MS
    keeper(seen, state)
    assert launch.paper.hours < 1.1


def test_the_time_on_paper_is_of_one_policy_and_one_program(tmp_path: Path) -> None:
    one, other = "a" * 64, "b" * 64
    PaperTime(tmp_path, one, one).add(HOUR_MS)
    PaperTime(tmp_path, one, one).add(HOUR_MS)
    assert PaperTime(tmp_path, one, one).hours == 2.0
    assert PaperTime(tmp_path, one, other).hours == PaperTime(tmp_path, other, one).hours == 0.0
    assert len(build_sha256()) == 64


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', '{"%s %s": -1}' % ("a" * 64, "b" * 64), "{}\n{}"])  # noqa: UP031
def test_a_record_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "paper-time.json").write_text(text)
    with pytest.raises(ConfigError, match=r"paper-time.json .*remove it"):
        PaperTime(tmp_path, "a" * 64, "b" * 64)


# ---- At the terminal

CALLS = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        print("network:", event, file=sys.stderr)

sys.addaudithook(watch)
import runpy
runpy.run_module("scripts.deploy", run_name="__main__", alter_sys=True)
"""
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("RL_TRADER_")},
    "RL_TRADER_LIVE_API_KEY": "k" * 64,
    "RL_TRADER_LIVE_API_SECRET": "s" * 64,
}


def deploy_live(run: Path, folder: Path, *words: str) -> list[str]:
    caps = write_caps(folder / "caps.json", OWN_CAPS)
    return [sys.executable, "-c", CALLS, str(run), "--caps", str(caps), "--mode", "live", *words]


def test_without_a_terminal_nobody_arms_and_no_address_is_asked_for(run: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        deploy_live(run, tmp_path, "--hours", "1"),
        input="trade embedded on EMBEDDED with 10000.00 USDT\n",
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == (
        "error: to trade for real a person must type at a terminal, and standard input is none; "
        "start it in a terminal\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "mode live is armed for some hours, and how many was not said; give --hours"),
        (("--hours", "1"), "must have traded on paper with this program for 24 hours and has for 0.0"),
    ],
)
def test_at_a_terminal_what_is_missing_is_said_before_any_address_is_asked_for(
    run: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    code, said = at_terminal(deploy_live(run, tmp_path, *words))
    assert code == 2
    assert sentence in said
    assert "network:" not in said


def test_what_is_typed_at_a_terminal_is_read(tmp_path: Path) -> None:
    code = "from rl_trader.live.arming.terminal import ask_person\nprint(ask_person('? ').strip() == 'a word')"
    assert at_terminal([sys.executable, "-c", code], b"a word\n")[1].endswith("True\n")


def at_terminal(command: list[str], typed: bytes = b"") -> tuple[int, str]:
    """Run a command at a terminal of its own, and return its exit code and what it has said."""
    ours, its = pty.openpty()
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=ENVIRONMENT, close_fds=True)
    os.close(its)
    os.write(ours, typed)
    said = b""
    while select.select([ours], [], [], 120)[0]:
        try:
            said += os.read(ours, 65_536)
        except OSError:  # nobody has it open any more
            break
    os.close(ours)
    return process.wait(), said.decode().replace("\r\n", "\n")
