"""The live trader rehearsed on an exchange that fails: no invariant breaks, and each one breaks where it should."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.core.events import Resumed, StopAsked
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.state import Conduct
from rl_trader.live.core.words import IntentState
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.rehearsal.hazards import Hazards, Kill
from rl_trader.rehearsal.invariants import CHECKERS, check
from rl_trader.rehearsal.many import SAME_JOURNAL, Total, is_twice, rehearse_many
from rl_trader.rehearsal.minutes import BAR_MS, START_MS, SYMBOL, minute_exchange
from rl_trader.rehearsal.network import Asked
from rl_trader.rehearsal.plans import POINTS, draw_plan
from rl_trader.rehearsal.planted import BUGS, catch, planted
from rl_trader.rehearsal.policies import STOP_LOSS, decide, legs
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.run import BARS, Rehearsal, Result, rehearse
from rl_trader.rehearsal.stage import Stage
from rl_trader.rehearsal.tally import Tally
from rl_trader.rehearsal.virtual_loop import run_virtually

REPO = Path(__file__).parents[1]
D = Decimal
RECORD_SEED = 5  # from which on a record is searched
NUM_SEEDS, AT_ONCE = 50, 10
RARE = (
    "I5 only out after a stop",
    "I5 the day's loss",
    "I5 a lost day",
    "I11 silent while banned",
)  # asked, but not in any ten seeds
# Seeds in which the bug shows; of a changed plan others are searched with `python -m scripts.faults --self-test`.
BUG_SEEDS = {
    "an order is asked for once and sent again": 2,
    "an order counts as absent at the first answer": 2,
    "a stale stream of the account is kept": 6,
    "the day's loss is forgotten at a restart": 15,
}


# Nothing breaks


@pytest.mark.parametrize("first", range(0, NUM_SEEDS, AT_ONCE))
def test_no_invariant_breaks_in_random_rehearsals_and_each_was_asked(first: int) -> None:
    total = rehearse_many(range(first, first + AT_ONCE))
    assert total.broken == {}
    assert total.seeds == AT_ONCE
    assert set(CHECKERS) <= set(total.looked)
    assert min(times for name, times in total.looked.items() if name not in RARE) > 0
    assert total.looked[SAME_JOURNAL] == sum(map(is_twice, range(first, first + AT_ONCE)))
    played = total.played
    assert played["trades"] > 10 * AT_ONCE
    assert played["starts"] > AT_ONCE
    assert played["unknown"] > 0
    assert len(total.fired) > 15  # kinds of faults
    assert len(total.killed) > 3  # points


def test_plans_follow_from_their_seeds_and_end_before_the_end() -> None:
    assert draw_plan(3, BARS) == draw_plan(3, BARS)
    assert draw_plan(3, BARS) != draw_plan(4, BARS)
    drawn: set[str] = set()
    for seed in range(300):
        plan = draw_plan(seed, BARS)
        FaultPlan.of({"seed": seed, "faults": plan.named_faults()})  # every one is a plan of the exchange
        for fault in plan.faults:
            lasts = fault["do"].get("for_ms", 0)
            assert (fault["on"].get("until") or fault["on"]["time"]) + lasts <= plan.faults_end_ms
            drawn.add(fault["do"]["action"])
        assert all(kill.since_ms < kill.until_ms <= plan.faults_end_ms < plan.end_ms for kill in plan.kills)
    call_actions = {"delay", "drop_request", "drop_answer", "cut", "unavailable", "status", "rate_limit", "ban"}
    assert call_actions | {"timestamp", "partial_fill", "forget_order"} < drawn
    assert {"drop", "duplicate", "reorder", "mute", "disconnect", "expire_listen_key", "liquidate", "halt"} < drawn


def test_the_same_plan_is_played_by_the_script() -> None:
    command = [sys.executable, "-m", "scripts.faults", "--seeds", "1", "--first", "1", "--workers", "2", "--json"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seeds"] == 1
    assert told["broken"] == {}
    assert told["played"] == dict(rehearse(1).played)


@pytest.mark.parametrize(("seeds", "bars", "workers"), [(0, BARS, 1), (1, BARS - 1, 1), (1, BARS, 0)])
def test_a_rehearsal_of_nothing_is_refused(seeds: int, bars: int, workers: int) -> None:
    with pytest.raises(ConfigError, match="must be"):
        rehearse_many(range(seeds), bars, workers)


def test_two_journals_of_one_seed_that_differ_are_told() -> None:
    total, none = Total(), Counter[str]()
    result = Result(seed=0, breaches=[], looked=none, fired=none, killed=none, played=none, journal_sha="one")
    total.add(result)
    total.add(replace(result, journal_sha="another"))
    assert total.broken == {0: [f"{SAME_JOURNAL}: two runs of the seed have written different journals"]}


# 205: an entry left before anybody had told that a person had traded, and counted as a turn. 234: the process was away
# for minutes after the last fault, and its position had no stop. 399: a limit order that the exchange did not find for
# longer than it was looked for was filled beside the next entry.
@pytest.mark.parametrize("seed", [205, 234, 399])
def test_what_rehearsals_have_found_is_found_no_more(seed: int) -> None:
    assert rehearse(seed).breaches == []


# What must break does


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str) -> None:
    first = BUG_SEEDS.get(name, 0)
    caught = catch(name, range(first, first + 8))  # a change of the trader may move it to a later seed
    assert caught.invariant in caught.wanted, caught


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_leaves_nothing_behind(name: str) -> None:
    bug = BUGS[name]
    places = [(target, attribute) for target, attribute, _ in bug.changes()]
    before = [getattr(*place) for place in places]
    with planted(bug):
        assert [getattr(*place) for place in places] != before
    assert [getattr(*place) for place in places] == before


@pytest.fixture(scope="module")
def record() -> Record:
    """Return what is left of a rehearsal that ends with a position."""
    for seed in range(RECORD_SEED, RECORD_SEED + 20):
        found = Rehearsal(draw_plan(seed, BARS)).play()
        tally = Tally()
        is_sound = check(found, tally) == []
        if is_sound and found.amount and not found.stops and tally.looked["I5 the day's loss"]:
            return found
    raise AssertionError("no rehearsal ends with a position, without a stop, and knows how the day began")


def broken(record: Record, **changes: Any) -> set[str]:
    """Return the invariants that a changed record breaks."""
    return {breach.invariant for breach in check(replace(record, **changes), Tally())}


def entry(record: Record) -> Asked:
    """Return an entry that the exchange has taken."""
    return next(asked for asked in record.sent_orders if asked.adds_exposure and asked.status == 200)


def damaged(record: Record, name: str) -> dict[str, Any]:
    """Return a change of the record that breaks an invariant."""
    asked, state = entry(record), record.state
    order = next(order for order in record.orders if order.client_order_id == asked.client_id)
    before = asked.num_journalled - 1
    other = next(client_id for client_id in record.states if client_id != asked.client_id)
    lines = list(record.lines)
    decided = next(number for number, line in enumerate(lines) if json.loads(line)["kind"] == "Decided")
    changes: dict[str, dict[str, Any]] = {
        "I1 one order a leg": {"orders": [*record.orders, order]},
        "I2 journalled first": {"asked": [*record.asked, replace(asked, is_journalled=False)]},
        "I3 frozen while unknown": {"states": {**record.states, other: [(1, "PLANNED"), (before, "UNKNOWN")]}},
        "I4 within the caps": {"cap": D(1)},
        "I4 within the caps at worst": {"max_leverage": D("0.001")},
        "I5 only out after a stop": {"stops": [(before, "KILL")]},
        "I5 the day's loss": {"state": with_other_day(state)},
        "I5 a lost day": {"max_daily_loss": D(-1)},
        "I6 no turn in one order": {"fills": [record.fills[0]._replace(amount=D(9)), *record.fills[1:]]},
        "I7 nowhere else": {"asked": [replace(asked, origin="https://fapi.binance.com")]},
        "I8 decided once": {"lines": [*lines[: decided + 1], *lines[decided:]]},
        "I9 client ids": {"asked": [*record.asked, asked]},
        "I10 natural keys": {"keys": {("fill", SYMBOL, 1): 2}},
        "I11 silent while banned": {"asked": [banned(asked), replace(asked, sent_ms=asked.sent_ms + 10_000)]},
        "I11 never hot": {"asked": [*record.asked, *[asked] * 30]},
        "I12 no secret told": {"alerts": [f"it was signed with {record.secrets[1]}"]},
        "I13 transitions": {"states": {**record.states, other: [(1, "PLANNED"), (2, "SENT"), (3, "ABSENT")]}},
        "C1 same account": {"amount": record.amount + 1},
        "C2 same money": {"wallet_balance": record.wallet_balance + D("1E-7")},
        "C3 nothing unexplained": {"alerts": ["halted: the position is 1 and its trades sum to 0"]},
        "C4 guarded": {"open_algo_ids": frozenset[int]()},
        "C4 never bare": {"algo_orders": ()},
        "C5 nothing open-ended": {"state": with_intent_sent(state)},
        "C6 replayed": {"digests": {**record.digests, next(iter(record.digests)): "another"}},
        "C7 observed": {"lines": [*lines[:decided], lines[decided].replace('"fault": ""', '"fault": "none"')]},
        "C8 whole series": {"lines": [line for number, line in enumerate(lines) if number != third_bar(lines)]},
        "C9 recovered": {"faulty_ms": (), "asked": [*record.asked, *[at_the_start(record, asked)] * 50]},
        "C11 hears": {"listens": False},
        "L1 lives on": {"failure": "an error"},
        "L2 decides again": {"lines": lines[:decided]},
    }
    return changes[name]


def third_bar(lines: list[str]) -> int:
    """Return which line has the third bar's close."""
    return [number for number, line in enumerate(lines) if json.loads(line)["kind"] == "BarClosed"][2]


def at_the_start(record: Record, asked: Asked) -> Asked:
    """Return a request as if it had been sent when the trader began."""
    return replace(asked, sent_ms=record.events[0].t_ms)


def banned(asked: Asked) -> Asked:
    """Return a request whose answer tells of a ban of a minute, and is read."""
    end = asked.sent_ms + 60_000
    return replace(asked, status=418, told_ms=asked.sent_ms, banned_until_ms=end, is_untold=False)


def with_other_day(state: Any) -> Any:
    """Return a state whose day began with another equity."""
    done = state.performance
    return replace(state, performance=replace(done, day_opening_equity=done.day_opening_equity + 1))


def with_intent_sent(state: Any) -> Any:
    """Return a state with an order that is on its way."""
    client_id, intent = next(iter(state.intents.items()))
    return replace(state, intents={**state.intents, client_id: replace(intent, state=IntentState.SENT)})


@pytest.mark.parametrize("name", CHECKERS)
def test_every_invariant_breaks_where_it_should(record: Record, name: str) -> None:
    assert name in broken(record, **damaged(record, name))


# The stage


def calm_stage(kills: tuple[Kill, ...] = ()) -> Stage:
    """Return a stage without faults, but for kills."""
    assembly = minute_exchange(5, BARS)
    venue = assembly.venue
    contract = venue.exchange.quotes[SYMBOL].contract
    conduct = Conduct(
        symbol=SYMBOL,
        bar_ms=BAR_MS,
        tick_size=contract.tick_size,
        step_size=contract.step_size,
        stop_loss=STOP_LOSS,
        take_profit=None,
    )
    gate = gate_of(contract)
    return Stage(assembly, conduct, decide=partial(decide, 5), gate=gate, hazards=Hazards(venue.market_ms, kills))


def play(stage: Stage, until_bar: int, then: Callable[[Stage], object] = lambda _stage: None) -> None:
    """Play some bars, do something, and end."""

    async def run() -> None:
        await stage.start()
        await stage.run_until(START_MS + until_bar * BAR_MS)
        then(stage)
        await stage.kill()

    run_virtually(run())


def test_a_calm_market_loses_nothing() -> None:
    stage = calm_stage()
    play(stage, 40)
    trader = stage.venue.trader("main")
    books = stage.trader.core.state.books
    assert len(trader.fills) > 10
    assert books.ledger_balance == books.wallet_balance == trader.books.wallet_balance
    assert stage.hazards.killed == []


@pytest.mark.parametrize("point", POINTS)
def test_the_process_may_end_at_any_point_and_goes_on(point: str) -> None:
    kill = Kill(point=point, since_ms=START_MS, until_ms=START_MS + 4 * BAR_MS, down_ms=2_000)
    stage = calm_stage((kill,))
    play(stage, 6)
    trader, books = stage.venue.trader("main"), stage.trader.core.state.books
    assert stage.epoch == 1 + len(stage.hazards.killed)
    assert books.ledger_balance == trader.books.wallet_balance
    assert books.amount == trader.position(SYMBOL).amount
    assert not stage.trader.core.state.is_stopped


def test_one_resumption_clears_every_stop_of_the_journal() -> None:
    stage = calm_stage()

    def stop_twice_and_resume(stage: Stage) -> None:
        for kind in ("HALT", "KILL", "KILL"):
            now = stage.venue.market_ms()
            stage.trader.happen(StopAsked(t_ms=now, kind=kind, reason="enough", by="a test"))
        assert len(stage.journal.latched) == 2  # the second kill changes nothing
        stage.trader.happen(Resumed(t_ms=stage.venue.market_ms(), reason="looked at it", by="a test"))

    play(stage, 3, stop_twice_and_resume)
    assert stage.journal.latched == []


def test_the_policy_of_rehearsals_turns_in_two_legs() -> None:
    assert legs(D("0.2"), D("-0.1")) == (D("-0.2"), D("-0.1"))
    assert legs(D("0.2"), D("0.1")) == (D("-0.1"), D(0))
    assert legs(D("-0.1"), D("-0.2")) == (D(0), D("-0.1"))
