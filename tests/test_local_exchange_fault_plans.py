"""Plans of faults: what is refused, when triggers fire, and what the log says."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.faults.call_actions import CALL_ACTIONS
from rl_trader.local_exchange.faults.deeds import DEEDS
from rl_trader.local_exchange.faults.frame_actions import FRAME_ACTIONS
from rl_trader.local_exchange.faults.other_hand import CHANGES
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.local_exchange.faults.triggers import Trigger, Watch
from tests.fault_stage import BAR, START, FaultStage, order

REPO = Path(__file__).parents[1]
ORDER = "POST /fapi/v1/order"
DROP = {"action": "drop_request"}
NOTHING: dict[str, frozenset[str]] = {}


def one(on: object, do: object = DROP, **more: object) -> dict[str, object]:
    return {"faults": [{"on": on, "do": do, **more}]}


# ---- What is refused


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "a plan of faults must be an object and is []; write one"),
        ({}, "a plan of faults must have faults and has nothing; add it"),
        ({"faults": {}}, "faults of a plan must be a list and are {}; write one"),
        ({"faults": [], "seeds": 1}, "a plan of faults must have fields of faults, seed and has 'seeds'; leave it out"),
        ({"faults": [], "seed": "x"}, "seed of a plan must be a whole number and is 'x'; choose one"),
        ({"faults": [7]}, "fault 1 must be an object and is 7; write one"),
        ({"faults": [{"on": {}}]}, "fault 1 must have do and has on; add it"),
        (
            one({}),
            "the trigger of fault 1 must have one of endpoint, stream, event, time and has none; keep one",
        ),
        (
            one({"endpoint": ORDER, "time": 1}),
            "the trigger of fault 1 must have one of endpoint, stream, event, time and has endpoint and time; keep one",
        ),
        (
            one({"time": 1, "nth": 2, "account": "main"}, {"action": "mute", "for_ms": 1}),
            "the trigger of fault 1 must have time alone and has account and nth with it; leave the rest out",
        ),
        (one({"endpoint": ""}), "endpoint of the trigger of fault 1 must be text and is ''; write some"),
        (
            one({"endpoint": ORDER, "nth": 0}),
            "nth of the trigger of fault 1 must be a whole number from 1 to 9007199254740992 and is 0; choose one",
        ),
        (
            one({"endpoint": ORDER, "nth": True}),
            "nth of the trigger of fault 1 must be a whole number from 1 to 9007199254740992 and is True; choose one",
        ),
        (
            one({"endpoint": ORDER, "nth": 1, "every": 2}),
            "the trigger of fault 1 must have nth or every and has both; leave one out",
        ),
        (
            one({"endpoint": ORDER, "probability": "1.5"}),
            "probability of the trigger of fault 1 must be a number above 0 and at most 1 and is '1.5'; choose one",
        ),
        (
            one({"time": "yesterday"}),
            "time of the trigger of fault 1 must be a time and 'yesterday' is not a date; write it as 2023-01-01 or"
            " 2023-01-01T08:30Z, in UTC",
        ),
        (
            one({"event": "x", "moment": "after"}, {"action": "drop"}),
            "the trigger of fault 1 must have an endpoint to act after its call and has none; leave moment out",
        ),
        (
            one({"endpoint": ORDER, "moment": "after"}),
            "the trigger of fault 1 must have no moment for the action drop_request and has; leave it out",
        ),
        (one(7), "the trigger of fault 1 must be an object and is 7; write one"),
        (one({"endpoint": ORDER}, {}), "the action of fault 1 must have action and has nothing; add it"),
        (
            one({"stream": "*"}, {"action": "ban"}),
            "action of fault 1 must, by its trigger, be one of duplicate, drop, reorder, delay, mute, disconnect and is"
            " 'ban'; choose one",
        ),
        (
            one({"stream": "*"}, {"action": "other_hand", "change": "close"}),
            "action of fault 1 must, by its trigger, be one of duplicate, drop, reorder, delay, mute, disconnect and is"
            " 'other_hand'; choose one",
        ),
        (
            one({"time": 1}, {"action": "other_hand", "change": "steal"}),
            "change of fault 1 must, by its trigger, be one of leverage, margin_mode, position_mode, multi_assets,"
            " filters, order, close, cancel, transfer and is 'steal'; choose one",
        ),
        (
            one({"endpoint": ORDER}, {"action": "delay", "ms": 1, "off": "answer"}),
            "the action of fault 1 must have fields of ms, of and has 'off'; leave it out",
        ),
        (
            one({"endpoint": ORDER}, {"action": "cut"}),
            "the action of fault 1 must have at_byte and has nothing; add it",
        ),
        (
            one({"endpoint": ORDER}, {"action": "delay", "ms": 1, "of": "both"}),
            "of of the action of fault 1 must be one of request, answer and is 'both'; choose one",
        ),
        (
            one({"endpoint": ORDER}, {"action": "unavailable", "which": "unknown"}),
            "the action of fault 1 must have carried_out where which is unknown, and only there, and has None where it"
            " is unknown; correct it",
        ),
        (
            one({"endpoint": ORDER}, {"action": "unavailable", "which": "service", "carried_out": False}),
            "the action of fault 1 must have carried_out where which is unknown, and only there, and has False where it"
            " is service; correct it",
        ),
        (
            one({"endpoint": ORDER}, {"action": "status", "status": 403, "carried_out": True}),
            "the action of fault 1 must have carried_out false with status 403 and has true; correct it",
        ),
        (
            one({"endpoint": ORDER}, {"action": "status", "status": 500}),
            "the action of fault 1 must have carried_out and has status; add it",
        ),
        (
            one({"endpoint": ORDER}, {"action": "status", "status": 500, "carried_out": "yes"}),
            "carried_out of the action of fault 1 must be true or false and is 'yes'; choose one",
        ),
        (
            one({"endpoint": ORDER}, {"action": "partial_fill"}),
            "the action of fault 1 must have amount or fraction and has both or none; keep one",
        ),
        (
            one({"time": 1}, {"action": "revise_bar", "symbol": "BTCUSDT", "interval": "2m", "factor": 2}),
            "interval of the action of fault 1 must be one of 12h, 15m, 1M, 1d, 1h, 1m, 1w, 2h, 30m, 3d, 3m, 4h, 5m,"
            " 6h, 8h and is '2m'; choose one",
        ),
        (
            one({"time": 1}, {"action": "other_hand", "change": "filters", "symbol": "BTCUSDT"}),
            "the action of fault 1 must have tick_size, step_size, min_quantity or min_notional and has none; add one",
        ),
        (
            one({"time": 1}, {"action": "other_hand", "change": "transfer", "account": "main", "amount": "0"}),
            "amount of the action of fault 1 must be a number other than 0 and is '0'; choose one",
        ),
        (
            one({"endpoint": ORDER}, {"action": "partial_fill", "amount": "much"}),
            "amount of the action of fault 1 must be a number from 0 and is 'much'; choose one",
        ),
        (one({"endpoint": ORDER}, name=""), "name of fault 1 must be text and is ''; write some"),
        (
            {"faults": [{"on": {"endpoint": ORDER}, "do": DROP, "name": "x"}] * 2},
            "faults must have different names and 'x' is there twice; change one",
        ),
    ],
)
def test_what_is_no_plan_is_refused_in_one_sentence(data: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}$"):
        FaultPlan.of(data)


def test_a_plan_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(one({"time": "2024-01-01"}, {"action": "mute", "for_ms": 1}, name="quiet")))
    (fault,) = FaultPlan.load(path).faults
    assert (fault.name, fault.trigger.time) == ("quiet", START)
    path.write_text("{")
    with pytest.raises(ConfigError, match=f"a plan of faults must be a JSON file and {re.escape(str(path))} is not"):
        FaultPlan.load(path)
    with pytest.raises(ConfigError, match="No such file"):
        FaultPlan.load(tmp_path / "none.json")


def test_a_plan_for_another_venue_is_refused() -> None:
    close = {"action": "other_hand", "change": "close", "account": "main", "symbol": "BTCUSDT"}
    with pytest.raises(ConfigError, match="symbol of fault '1 close' must be one of BTCUSDT and is XRPUSDT"):
        FaultStage({"on": {"time": 1}, "do": {**close, "symbol": "XRPUSDT"}})
    with pytest.raises(ConfigError, match="an account must be one of main, other and is nobody"):
        FaultStage({"on": {"time": 1}, "do": {**close, "account": "nobody"}})
    with pytest.raises(ConfigError, match="symbol of fault"):
        FaultStage({"on": {"endpoint": ORDER, "symbol": "btcusdt"}, "do": DROP})


# ---- When triggers fire


def fired(number: int, **trigger: Any) -> list[int]:
    """Return which of so many calls are met, counted from 1."""
    watch = Watch(Trigger(endpoint=ORDER, **trigger), "seed")
    return [n for n in range(1, number + 1) if watch.is_met_by_call(ORDER, lambda: NOTHING, 0)]


@pytest.mark.parametrize(
    ("trigger", "calls"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7]),
        ({"nth": 3}, [3]),
        ({"every": 3}, [3, 6]),
        ({"first": 3}, [3, 4, 5, 6, 7]),
        ({"last": 2}, [1, 2]),
        ({"first": 3, "last": 4}, [3, 4]),
        ({"first": 2, "every": 2}, [3, 5, 7]),
        ({"most": 2}, [1, 2]),
        ({"every": 2, "most": 2}, [2, 4]),
    ],
)
def test_a_trigger_counts(trigger: dict[str, Any], calls: list[int]) -> None:
    assert fired(7, **trigger) == calls


@given(st.text(max_size=8), st.integers(1, 99), st.integers(1, 60))
def test_a_seed_gives_the_same_choice_at_the_same_count(seed: str, percent: int, number: int) -> None:
    trigger = FaultPlan.of(one({"endpoint": "*", "probability": percent / 100})).faults[0].trigger
    first, again = (
        [w.is_met_by_call("x", lambda: NOTHING, 0) for _ in range(number)] for w in watches(trigger, seed, seed)
    )
    assert first == again


def watches(trigger: Trigger, *seeds: str) -> list[Watch]:
    return [Watch(trigger, seed) for seed in seeds]


def test_a_probability_is_met_as_often_as_it_says_and_seeds_differ() -> None:
    trigger = FaultPlan.of(one({"endpoint": "*", "probability": 0.3})).faults[0].trigger
    draws = [
        [watch.is_met_by_call("x", lambda: NOTHING, 0) for _ in range(2_000)] for watch in watches(trigger, "a", "b")
    ]
    # 600 of 2000 are expected, with a standard deviation of (2000 * 0.3 * 0.7) ** 0.5 = 20.5.
    assert all(abs(sum(drawn) - 600) < 4 * 20.5 for drawn in draws)
    assert draws[0] != draws[1]
    always = FaultPlan.of(one({"endpoint": "*", "probability": 1})).faults[0].trigger
    assert all(Watch(always, "a").is_met_by_call("x", lambda: NOTHING, 0) for _ in range(100))


def test_the_same_plan_and_calls_give_the_same_faults() -> None:
    half = {"endpoint": ORDER, "probability": 0.5}

    def run(seed: int) -> list[int]:
        stage = FaultStage(
            {
                "on": half,
                "do": {"action": "status", "status": 500, "carried_out": True},
            },
            {"on": half, "do": {"action": "timestamp"}},
            seed=seed,
        )
        return [stage.respond("POST", "/fapi/v1/order", **order(quantity="0.001")).status for _ in range(40)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert {200, 400, 500} == set(run(1))


def test_calls_are_counted_within_a_time_and_those_that_the_conditions_allow() -> None:
    on = {"endpoint": ORDER, "side": "SELL", "type": "LIMIT", "symbol": "BTCUSDT", "account": "main", "nth": 2}
    stage = FaultStage({"on": {**on, "since": START + BAR, "until": START + 2 * BAR}, "do": {"action": "timestamp"}})

    def sell(account: str = "main", price: str | None = "51000", side: str = "SELL") -> int:
        wanted = order(side, "0.01", price)
        return int(json.loads(stage.respond("POST", "/fapi/v1/order", account, **wanted).body).get("code", 0))

    assert [sell(), sell(), sell()] == [0, 0, 0]
    stage.next_open()
    assert [sell(), sell("other"), sell(price=None), sell(side="BUY", price="49000"), sell(), sell()] == [
        0,
        0,
        0,
        0,
        -1021,
        0,
    ]
    stage.next_open()
    assert [sell(), sell(), sell()] == [0, 0, 0]
    (entry,) = stage.faults.log.entries
    assert (entry.fault, entry.market_ms) == ("1 timestamp", START + BAR)
    assert entry.met == "POST /fapi/v1/order symbol=BTCUSDT side=SELL type=LIMIT quantity=0.01 of main"


def test_an_order_of_a_batch_is_met_by_its_own_conditions() -> None:
    on = {"endpoint": "POST /fapi/v1/batchOrders", "side": "SELL"}
    stage = FaultStage({"on": on, "do": {"action": "timestamp"}})
    buy, sell = order("BUY", "0.01", "49000"), order("SELL", "0.01", "51000")
    assert len(stage.ask("POST", "/fapi/v1/batchOrders", batchOrders=[buy, buy])) == 2
    assert stage.refusal("POST", "/fapi/v1/batchOrders", batchOrders=[buy, sell]) == (400, -1021)


def test_endpoints_are_met_by_pattern_and_only_by_their_own() -> None:
    stage = FaultStage(
        {"on": {"endpoint": "GET *"}, "do": {"action": "timestamp"}, "name": "reading"},
        {"on": {"endpoint": "order.*"}, "do": {"action": "timestamp"}, "name": "frames"},
    )
    assert stage.refusal("GET", "/fapi/v1/openOrders") == (400, -1021)
    assert stage.order()["status"] == "FILLED"
    assert stage.faults.unfired() == ["frames"]
    assert [entry.fault for entry in stage.faults.log.of("reading")] == ["reading"]
    assert stage.faults.log.of("frames") == []


def test_a_moment_comes_once() -> None:
    stage = FaultStage({"on": {"time": 0}, "do": {"action": "forget_orders", "account": "main", "for_ms": 1}})
    for _ in range(3):
        stage.next_open()
    assert len(stage.faults.log.entries) == 1


def test_what_cannot_be_read_meets_no_condition_and_is_refused_as_ever() -> None:
    stage = FaultStage({"on": {"endpoint": ORDER, "symbol": "BTCUSDT"}, "do": {"action": "drop_request"}})
    assert stage.transport.request("POST", "/fapi/v1/order", body=b"\xff").status == 400
    assert stage.transport.request("POST", "/fapi/v1/order?batchOrders=nonsense").status == 401
    assert stage.faults.unfired() == ["1 drop_request"]


# ---- The documentation


def test_the_documentation_names_every_action_and_every_field_of_a_trigger() -> None:
    text = (REPO / "docs" / "faults.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE)
    assert {*CALL_ACTIONS, *FRAME_ACTIONS, *DEEDS, *CHANGES, *Trigger.__slots__} <= set(rows)
    described = {name: row for name, row in re.findall(r"^\| `([a-z_]+)` \|(.*)$", text, re.MULTILINE)}
    for table in (CALL_ACTIONS, FRAME_ACTIONS, DEEDS, CHANGES):
        for name, kind in table.items():
            for field in fields(cast("Any", kind)):
                assert f"`{field.name}`" in described[name] or field.name in ("account", "symbol"), (name, field.name)


def test_the_documentations_plan_is_one() -> None:
    text = (REPO / "docs" / "faults.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    stage = FaultStage(*json.loads(example)["faults"])
    assert len(stage.faults.unfired()) == len(FaultPlan.of(json.loads(example)).faults) > 5
