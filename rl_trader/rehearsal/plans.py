"""Plans of a rehearsal, drawn from a seed: which faults, kills, silences and wishes of the operator, and when they end.

Everything that goes wrong ends some time before the end, so that what must be right again can be asked for. A plan's
faults are those of a plan file of the local exchange (docs/faults.md). Times in milliseconds since 1970 UTC.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final

from rl_trader.rehearsal.deeds import Json, calm_deeds, draw_deeds, lasts_ms
from rl_trader.rehearsal.hazards import ANY_MOMENT, ClockStep, Kill
from rl_trader.rehearsal.market_line import Silence
from rl_trader.rehearsal.minutes import BAR_MS, START_MS
from rl_trader.rehearsal.network import Conditions
from rl_trader.rehearsal.operator import Wish
from rl_trader.rehearsal.policies import CAPS

QUIET_BARS: Final = 14  # at the end, without faults
RESTS_EVERY: Final = 5  # seeds, of which in one the policy wants limit orders
LOSES_EVERY: Final = 10  # seeds, of which in one little may be lost in a day
LITTLE_LOSS: Final = Decimal("0.004")  # of the equity
CALM: Final = "calm"  # begins the names of what ends the faults
POLLS_MS: Final = (15_000, 30_000, 30_000, 30_000)

_MINUTE: Final = 60_000
_ORDER: Final = "POST /fapi/v1/order"
_ALGO: Final = "POST /fapi/v1/algoOrder"
_PLACING: Final = (_ORDER, _ORDER, _ALGO, "POST *rder*")
_ASKING: Final = ("GET *", "GET /fapi/v1/order", "GET /fapi/v1/userTrades", "GET /fapi/v3/positionRisk", "* *")
_CANCELLING: Final = ("DELETE /fapi/v1/algoOrder", "DELETE *")
_ANY_CALL: Final = (*_PLACING, *_PLACING, *_ASKING, *_CANCELLING, "*listenKey")
_EVENTS: Final = ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE")
_CHANCES: Final = (0.03, 0.1, 0.3, 0.7)
_AMNESIA: Final = 0.25  # of all plans
_DOWN_MS: Final = (0, 0, 1_000, 5_000, 20_000, 70_000, 240_000)

EVENT_POINTS: Final = (
    "Started",
    "Snapshot",
    "SnapshotFailed",
    "Sending",
    "Answered",
    "Queried",
    "BarClosed",
    "Decided",
    "FillSeen",
    "OrderSeen",
    "AccountSeen",
    "TimerFired",
    "MarketSeen",
    "StopAsked",
    "Resumed",
)
CALL_POINTS: Final = (
    "POST v1/order",
    "POST v1/algoOrder",
    "DELETE v1/algoOrder",
    "GET v1/order",
    "GET v1/algoOrder",
    "GET v3/positionRisk",
    "GET v3/balance",
    "GET v1/userTrades",
    "GET v1/income",
    "GET v1/openOrders",
    "GET v1/openAlgoOrders",
    "POST v1/listenKey",
)
POINTS: Final = (
    *(f"{side} the journal has {kind}" for kind in EVENT_POINTS for side in ("before", "after")),
    *(f"{what} {call}" for call in CALL_POINTS for what in ("before sending", "before reading the answer to")),
    "before taking FillSeen",
    "before taking OrderSeen",
    "before taking AccountSeen",
    "before taking BarClosed",
    "before the policy is asked",
    "before the policy's answer is taken",
    "before a timer fires",
    "before connecting",
)
ORDER_POINTS: Final = tuple(p for p in POINTS if "rder" in p or "Sending" in p or "Answered" in p or "Decided" in p)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes wrong in one run."""

    seed: int
    num_bars: int
    faults_end_ms: int
    faults: tuple[Json, ...]
    calm: tuple[Json, ...]  # takes back in the end what was changed by hand
    kills: tuple[Kill, ...]
    clock_steps: tuple[ClockStep, ...]
    silences: tuple[Silence, ...]
    late: Mapping[int, int]  # by a bar's open time: how long after its close it is told
    revised: frozenset[int]  # open times of bars that are told with other numbers later
    wishes: tuple[Wish, ...]
    resume_after_ms: int | None
    poll_ms: int
    has_take_profit: bool
    conditions: Conditions
    rests_orders: bool = False  # whether the policy wants limit orders
    max_daily_loss: Decimal = CAPS.max_daily_loss  # of the day's opening equity

    @property
    def end_ms(self) -> int:
        """The last moment."""
        return START_MS + self.num_bars * BAR_MS - BAR_MS // 4

    def named_faults(self) -> list[Json]:
        """Return the faults and what ends them, each with a name."""
        named = ((f"fault {number}", fault) for number, fault in enumerate(self.faults))
        calm = ((f"{CALM} {number}", fault) for number, fault in enumerate(self.calm))
        return [{**fault, "name": name} for name, fault in (*named, *calm)]


def draw_plan(seed: int, num_bars: int) -> Plan:
    """Return the plan of a seed."""
    chance = Random(seed)
    end = START_MS + (num_bars - QUIET_BARS) * BAR_MS
    span = (START_MS + BAR_MS, end)
    hours = max(num_bars // 60, 1)
    calls = [_call_fault(chance, end) for _ in range(chance.randint(0, 4))]
    calls += _amnesia(chance, end) if chance.random() < _AMNESIA else []
    frames = [_frame_fault(chance, end) for _ in range(chance.choice((0, 0, 1, 2)))]
    deeds = [each for _ in range(hours * chance.choice((0, 0, 1, 2, 3))) for each in draw_deeds(chance, span)]
    return Plan(
        seed=seed,
        num_bars=num_bars,
        faults_end_ms=end,
        faults=(*calls, *frames, *deeds),
        calm=tuple(calm_deeds(end, deeds)),
        kills=tuple(_kill(chance, span) for _ in range(hours * chance.choice((0, 1, 2, 4)))),
        silences=tuple(_silence(chance, span) for _ in range(hours * chance.choice((0, 0, 1, 2)))),
        clock_steps=tuple(_clock_step(chance, span) for _ in range(hours * chance.choice((0, 0, 0, 1)))),
        late=_late(chance, num_bars),
        revised=frozenset(START_MS + chance.randrange(num_bars - QUIET_BARS) * BAR_MS for _ in range(_few(chance))),
        wishes=(*(_wish(chance, span) for _ in range(hours * chance.choice((0, 0, 1, 2)))), *_calm(chance, end)),
        resume_after_ms=chance.choice(
            (_MINUTE, 3 * _MINUTE, 3 * _MINUTE, 3 * _MINUTE, None if hours == 1 else _MINUTE)
        ),
        poll_ms=chance.choice(POLLS_MS),
        has_take_profit=chance.random() < 0.3,  # noqa: PLR2004
        conditions=Conditions(
            latency_ms=chance.choice((0, 0, 0, 40, 400)),
            lag_ms=chance.choice((0, 0, 0, 300, 4_000)),
            lag_until_ms=end,
            seed=seed,
        ),
        rests_orders=seed % RESTS_EVERY == RESTS_EVERY - 1,
        max_daily_loss=LITTLE_LOSS if seed % LOSES_EVERY == LOSES_EVERY - 3 else CAPS.max_daily_loss,
    )


# Calls


def _call_fault(chance: Random, end_ms: int) -> Json:
    make, endpoints = chance.choice(_CALL_FAULTS)
    action = make(chance)
    until = end_ms - lasts_ms(action)
    trigger: Json = {"endpoint": chance.choice(endpoints), "until": until, "probability": chance.choice(_CHANCES)}
    if action["action"] in ("ban", "rate_limit"):
        trigger |= {"most": chance.randint(1, 3)}
    elif chance.random() < 0.5:  # noqa: PLR2004
        trigger |= {"most": chance.randint(1, 12)}
    return {"on": trigger, "do": action}


def _amnesia(chance: Random, end_ms: int) -> list[Json]:
    """Return that answers of orders are lost, nobody finds the orders, and their events come late: all at once."""
    lasts = chance.choice((3_000, 20_000, 45_000))
    until = end_ms - 2 * lasts
    order: Json = {"endpoint": _ORDER, "until": until}
    late: Json = {"until": until, "probability": 0.8}
    return [
        {"on": {**order, "probability": 0.4, "most": 6}, "do": {"action": "drop_answer"}},
        {"on": {**order, "probability": 0.8}, "do": {"action": "forget_order", "for_ms": 2 * lasts}},
        *({"on": {**late, "event": event}, "do": {"action": "delay", "ms": lasts}} for event in _EVENTS[:2]),
    ]


def _unknown(chance: Random) -> Json:
    done = chance.random() < 0.5  # noqa: PLR2004
    return {"action": "unavailable", "which": "unknown", "carried_out": done, "code": chance.choice((-1000, None))}


def _unavailable(chance: Random) -> Json:
    return {"action": "unavailable", "which": chance.choice(("service", "internal", "throttled"))}


def _status(chance: Random) -> Json:
    status = chance.choice((408, 408, 500, 502, 504, 403))
    return {"action": "status", "status": status, "carried_out": status != 403 and chance.random() < 0.5}  # noqa: PLR2004


def _delay(chance: Random) -> Json:
    return {
        "action": "delay",
        "ms": chance.choice((50, 700, 2_500, 4_000, 14_000)),
        "of": chance.choice(("request", "answer")),
    }


def _rate_limit(chance: Random) -> Json:
    action: Json = {"action": "rate_limit", "of": chance.choice(("weight", "orders"))}
    return action | ({"retry_after_s": chance.randint(1, 40)} if chance.random() < 0.5 else {})  # noqa: PLR2004


_CALL_FAULTS: Final[tuple[tuple[Callable[[Random], Json], tuple[str, ...]], ...]] = (
    (lambda _: {"action": "drop_request"}, _ANY_CALL),
    (lambda _: {"action": "drop_answer"}, _ANY_CALL),
    (lambda _: {"action": "drop_answer"}, _PLACING),
    (lambda chance: {"action": "cut", "at_byte": chance.choice((0, 1, 30, 120))}, _ANY_CALL),
    (_delay, _ANY_CALL),
    (_unknown, _ANY_CALL),
    (_unknown, _PLACING),
    (_unavailable, _ANY_CALL),
    (_status, _ANY_CALL),
    (_rate_limit, _ANY_CALL),
    (lambda chance: {"action": "ban", "for_ms": chance.choice((5_000, 60_000, 130_000))}, _ANY_CALL),
    (lambda chance: {"action": "timestamp", "code": chance.choice((-1021, -5028))}, _ANY_CALL),
    (lambda chance: {"action": "clock_skew", "ms": chance.choice((-8_000, 1_500, 5_000))}, ("GET /fapi/v1/time",)),
    (lambda chance: {"action": "partial_fill", "fraction": chance.choice(("0.2", "0.5"))}, (_ORDER,)),
    (lambda chance: {"action": "forget_order", "for_ms": chance.choice((2_000, 20_000, 90_000))}, (_ORDER, _ALGO)),
)


# Frames


def _frame_fault(chance: Random, end_ms: int) -> Json:
    actions: tuple[Json, ...] = (
        {"action": "drop"},
        {"action": "duplicate"},
        {"action": "reorder"},
        {"action": "delay", "ms": chance.choice((800, 6_000, 40_000))},
        {"action": "mute", "for_ms": chance.choice((4_000, 30_000, 200_000))},
        {"action": "disconnect", **chance.choice(({}, {"close_code": 1001}))},
    )
    action = chance.choice(actions)
    trigger: Json = {
        "event": chance.choice(_EVENTS),
        "until": end_ms - lasts_ms(action),
        "probability": chance.choice(_CHANCES),
        "most": chance.randint(1, 20),
    }
    return {"on": trigger, "do": action}


# The trader's process, its market and its operator


def _kill(chance: Random, span: tuple[int, int]) -> Kill:
    points = chance.choice((POINTS, ORDER_POINTS, (ANY_MOMENT,)))
    since, down = chance.randrange(*span), chance.choice(_DOWN_MS)
    until = span[1] - down
    return Kill(point=chance.choice(points), since_ms=min(since, until - 1), until_ms=until, down_ms=down)


def _silence(chance: Random, span: tuple[int, int]) -> Silence:
    since = chance.randrange(*span)
    return Silence(since, min(since + chance.choice((3_000, 9_000, 80_000)), span[1]))


def _clock_step(chance: Random, span: tuple[int, int]) -> ClockStep:
    return ClockStep(chance.randrange(*span), chance.choice((-20_000, -4_000, 2_500, 6_000)))


def _few(chance: Random) -> int:
    return chance.choice((0, 0, 0, 0, 0, 1, 2))


def _late(chance: Random, num_bars: int) -> dict[int, int]:
    is_late = chance.random() < 0.4  # noqa: PLR2004
    bars = [chance.randrange(max(num_bars - QUIET_BARS, 1)) for _ in range(num_bars // 10)] if is_late else []
    return {START_MS + bar * BAR_MS: chance.choice((400, 5_000, 30_000)) for bar in bars}


def _wish(chance: Random, span: tuple[int, int]) -> Wish:
    return Wish(time_ms=chance.randrange(*span), kind=chance.choice(("HALT", "KILL")))


def _calm(chance: Random, end_ms: int) -> tuple[Wish, ...]:
    """Return that the operator resumes once the faults are over, in most runs."""
    return (Wish(time_ms=end_ms + _MINUTE, kind="RESUME"),) if chance.random() < 0.8 else ()  # noqa: PLR2004
