"""Live trading beside the simulation: a calm session has no drift at all, a worse market ends the entries."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.config import Slippage
from rl_trader.errors import ConfigError
from rl_trader.live.core.caps import Caps
from rl_trader.live.drift.band import Band, load_band
from rl_trader.live.drift.comparison import BarDrift
from rl_trader.live.drift.report import read_drift
from rl_trader.live.drift.totals import totals_of
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.rows import AccountRow, DecisionRow, MarketRow
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.policy.deployment import Deployment, load_deployment
from rl_trader.live.session import Session
from rl_trader.local_exchange.shells.local import LocalExchange
from scripts import deploy
from tests.called_scripts import Answer, script_caller
from tests.deploy_stage import OWN_CAPS, TRADING, embedded_exchange, embedded_run
from tests.live_session_stage import play, setup_on, until

CALM = Band(max_slippage=1e-9, trades=1, max_disagreement=1e-9, decisions=1, max_equity_gap=1e-10)
UNREALIZED = Decimal("1E-5")  # USDT: a position's profit by an average entry price of 8 decimals
Call = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return embedded_run(tmp_path)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    return script_caller(monkeypatch, capsys, tmp_path)


async def trade(
    exchange: LocalExchange,
    deployment: Deployment,
    folder: Path,
    num_bars: int,
    *,
    band: Band | None,
    caps: Caps = OWN_CAPS,
) -> list[BarDrift]:
    """Trade bars, and return what the watch has compared, which has compared them all."""
    setup = replace(setup_on(exchange, deployment, folder), band=band, caps=caps)
    async with Session(setup, lambda _text: None) as session:
        task = asyncio.create_task(session.run())
        await play(exchange, session, task, num_bars)
        drift = session.drift
        if drift is not None:
            await until(lambda: not drift.num_waiting, task)
        task.cancel()
        await asyncio.wait([task])
        assert session.trader is not None
        state = session.trader.core.state
        if band is CALM:
            assert not state.is_stopped, state.stop_reason
        return [] if drift is None else list(drift.bars)


# ---- Before anything is traded


def test_the_watch_compiles_what_it_needs_before_the_session_works(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)

    async def live(exchange: LocalExchange) -> tuple[list[str], list[str]]:
        setup = replace(setup_on(exchange, deployment, tmp_path), band=CALM, caps=OWN_CAPS)
        async with Session(setup, lambda _text: None) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 1)  # whose decision compiles what decisions need
            before = compiled()
            await play(exchange, session, task, 2)
            drift = session.drift
            assert drift is not None
            await until(lambda: not drift.num_waiting, task)
            task.cancel()
            await asyncio.wait([task])
            assert len(drift.bars) == 2
            return before, compiled()

    with embedded_exchange() as (exchange, _):
        before, after = asyncio.run(live(exchange))
    assert before == after
    assert before


def compiled() -> list[str]:
    """Return the program's compiled functions, each with the number of kinds of arguments it is compiled for."""
    modules = [module for name, module in sys.modules.items() if name.startswith("rl_trader.")]
    functions = {id(each): each for module in modules for each in vars(module).values() if hasattr(each, "signatures")}
    return sorted(f"{each.__name__} {len(each.signatures)}" for each in functions.values())


# ---- None


def test_a_calm_session_is_the_simulation_to_the_unit_also_across_a_restart(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    with embedded_exchange() as (exchange, _):
        first = asyncio.run(trade(exchange, deployment, tmp_path, 9, band=CALM))
        second = asyncio.run(trade(exchange, deployment, tmp_path, 5, band=CALM))
    assert [len(first), len(second)] == [8, 4]
    bars = read_drift(tmp_path / "paper.journal", deployment)
    assert bars[:8] == first  # the report compares as the watch does
    total = totals_of(bars)
    assert total.bars == total.compared == 13
    assert total.rebuilt == total.repeated == total.same_observations == total.same_actions == 13
    assert total.priced == total.trades >= 8
    assert total.slippage == total.wallet_gap == 0
    assert total.largest_equity_gap <= UNREALIZED
    assert total.fees == total.simulated_fees < 0
    assert all(bar.wallet == bar.simulated_wallet for bar in bars)


def test_observations_and_bars_are_journalled_once_each(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    with embedded_exchange() as (exchange, _):
        for _ in range(2):
            asyncio.run(trade(exchange, deployment, tmp_path, 3, band=None))
    with open_read_only(tmp_path / "paper.journal") as journal:
        journal.verify()
        market = [row for _, row in journal.rows(MarketRow)]
        decisions = [row for _, row in journal.rows(DecisionRow)]
        accounts = [row for _, row in journal.rows(AccountRow)]
    assert len(decisions) == len(accounts) == 6
    assert {len(row.observation) for row in decisions} == {4 * deployment.schema.size}
    klines = [row.time_ms for row in market if row.series == "klines_30m"]
    assert sorted(klines) == klines
    assert len(set(klines)) == len(klines) == deployment.num_bars + 5


# ---- Some


def test_a_worse_book_ends_the_entries(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    band = Band(max_slippage=0.0005, trades=3)
    with embedded_exchange(slippage=Slippage(half_spread=0.001)) as (exchange, _):
        asyncio.run(trade(exchange, deployment, tmp_path, 8, band=band))
    with open_read_only(tmp_path / "paper.journal") as journal:
        (stop,) = journal.latched_stops()
    assert stop.kind == "HALT"
    assert "live trading has left the simulation: the last 3 trades have cost 0.080" in stop.reason
    assert stop.reason.endswith("more than in the simulation (by the watch over the drift)")
    total = totals_of(read_drift(tmp_path / "paper.journal", deployment))
    assert total.compared < 8  # nothing is decided upon the others
    assert total.slippage > 0
    assert float(total.slippage_fraction) == pytest.approx(0.0008, abs=1e-5)
    assert total.equity_gap < 0


def test_costs_that_add_up_are_an_equity_gap(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    band = Band(max_equity_gap=0.001)
    with embedded_exchange(slippage=Slippage(half_spread=0.001)) as (exchange, _):
        asyncio.run(trade(exchange, deployment, tmp_path, 6, band=band))
    with open_read_only(tmp_path / "paper.journal") as journal:
        (stop,) = journal.latched_stops()
    assert "live trading has left the simulation: the equity is" in stop.reason


def test_decisions_that_disagree_end_the_entries(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    with embedded_exchange() as (exchange, _):
        asyncio.run(trade(exchange, deployment, tmp_path, 6, band=None))
    bars = read_drift(tmp_path / "paper.journal", deployment)
    made = [bar.decisions for bar in bars if bar.decisions is not None]
    turned = [
        replace(bar, decisions=replace(each, simulated=-each.target)) for bar, each in zip(bars, made, strict=True)
    ]
    band = Band(max_disagreement=0.5, decisions=4)
    assert band.why_outside(bars, TRADING.rebalance_band) is None
    assert band.why_outside(turned[:3], TRADING.rebalance_band) is None
    why = band.why_outside([*bars[:2], *turned], TRADING.rebalance_band)
    assert why == "4 of the last 4 decisions are not the simulation's"


def test_orders_that_the_caps_refuse_are_drift(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    caps = replace(OWN_CAPS, max_order_notional=Decimal(1))
    with embedded_exchange() as (exchange, _):
        asyncio.run(trade(exchange, deployment, tmp_path, 4, band=None, caps=caps))
    total = totals_of(read_drift(tmp_path / "paper.journal", deployment))
    assert (total.compared, total.trades, total.fees) == (3, 0, Decimal(0))
    assert total.rebuilt == total.repeated == 3
    assert total.same_observations < 3
    assert total.simulated_fees < 0


# ---- The command


def test_report_shows_the_drift_as_text_json_and_page(call: Call, run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    with embedded_exchange() as (exchange, _):
        asyncio.run(trade(exchange, deployment, tmp_path, 5, band=None))
    page = tmp_path / "page.html"
    answer = call(deploy, "report", run, "--journal", tmp_path / "paper.journal", "--html", page)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("embedded on EMBEDDED 30m: 4 bars from 2020-02-03T00:30Z to 2020-02-03T02:00Z, 4 of")
    assert "4 of 4  want what the simulation wants" in answer.out
    assert answer.out.count("difference +0.00000000") >= 2  # of fees and funding
    assert page.read_text().count("<polyline") == 3
    answer = call(deploy, "report", run, "--journal", tmp_path / "paper.journal", "--json")
    found = json.loads(answer.out)
    assert found["total"]["compared"] == len(found["bars"]) == 4
    assert all(bar["decisions"]["is_same_action"] for bar in found["bars"])
    assert all(abs(Decimal(bar["equity_gap"])) <= UNREALIZED for bar in found["bars"])
    assert all(Decimal(trade["slippage"]) == 0 for bar in found["bars"] for trade in bar["trades"])


def test_a_journal_in_which_nothing_was_closed_gives_a_flat_report(call: Call, run: Path, tmp_path: Path) -> None:
    identity = JournalIdentity(mode="paper", account="main", checkpoint=load_deployment(run).checkpoint_sha256)
    Journal.open(tmp_path / "flat.journal", identity, reserve_bytes=4096).close()
    answer = call(deploy, "report", run, "--journal", tmp_path / "flat.journal")
    assert answer.code == 0
    assert "0 bars, none of which the simulation can play beside it" in answer.out
    answer = call(deploy, "report", run, "--journal", tmp_path / "flat.journal", "--json")
    assert json.loads(answer.out)["bars"] == []


def test_a_journal_of_another_run_none_and_one_in_use_are_refused(call: Call, run: Path, tmp_path: Path) -> None:
    other = JournalIdentity(mode="paper", account="main", checkpoint="f" * 64)
    path = tmp_path / "other.journal"
    journal = Journal.open(path, other, reserve_bytes=4096)
    answer = call(deploy, "report", run, "--journal", path)
    assert answer.code == 2
    journal.close()
    answer = call(deploy, "report", run, "--journal", path)
    assert answer.code == 2
    assert "must be of the checkpoint" in answer.err
    assert "name the run that was deployed" in answer.err
    answer = call(deploy, "report", run, "--journal", tmp_path / "nowhere.journal")
    assert answer.code == 2
    assert "is not there" in answer.err


def test_a_journal_of_the_first_version_is_read_and_brought_to_this_one(tmp_path: Path) -> None:
    identity = JournalIdentity(mode="paper", account="main", checkpoint="f" * 64)
    path = tmp_path / "old.journal"
    Journal.open(path, identity, reserve_bytes=4096).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in ("account_at_close", "market"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE decision DROP COLUMN memory")
        connection.execute("PRAGMA user_version = 1")
    with open_read_only(path) as journal:
        assert not list(journal.rows(MarketRow))
        journal.verify()
    Journal.open(path, identity, reserve_bytes=4096).close()
    with open_read_only(path) as journal:
        assert journal.newest_bar(AccountRow, "EMBEDDED") == 0


# ---- The band's file


def test_a_band_is_read_and_what_is_wrong_with_it_said(tmp_path: Path) -> None:
    path = tmp_path / "band.json"
    path.write_text('{"max_slippage": 0.002, "trades": 5}')
    assert load_band(path) == Band(max_slippage=0.002, trades=5)
    for text, sentence in (
        ('{"max_slippage": 2}', "max_slippage of the band must be a fraction between 0 and 1, was 2"),
        ('{"trades": 0}', "trades of the band must be a whole number from 1, was 0"),
        ('{"slippage": 0.1}', "may have decisions, max_disagreement"),
        ("[]", "may have decisions, max_disagreement"),
        ("{", "cannot be read"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=sentence):
            load_band(path)
