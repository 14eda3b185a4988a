"""What a deployed checkpoint sees is what it saw in training, to the byte; it decides what the replay decides."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.run_folder import RunFolder
from rl_trader.bars import MS_PER_HOUR
from rl_trader.checkpoint import save_checkpoint
from rl_trader.config import Assumptions, EnvConfig, TradingConfig
from rl_trader.contract import load_terms
from rl_trader.decision import order_of
from rl_trader.errors import CheckpointError, ConfigError, ContractError, DataError
from rl_trader.feature_kernels import Bars
from rl_trader.features import Feature
from rl_trader.kernels import records
from rl_trader.klines import interval_ms, parse_date, resample
from rl_trader.ledger import Account
from rl_trader.live.core.holding import bars_held_after
from rl_trader.live.policy.decider import Decider, Decision, Leg
from rl_trader.live.policy.deployment import Deployment, Series, load_deployment
from rl_trader.live.policy.observer import AccountAtClose, Observation, Observer
from rl_trader.market import Period, SymbolTables, build_market
from rl_trader.observation import ACCOUNT_FEATURES
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.remembering import decide_in_turn
from rl_trader.simulator import FROM_FIRST_BAR, Simulator
from rl_trader.state import Order
from rl_trader.trading import kernel_settings, kernel_terms
from tests.random_runs import random_checkpoint, random_run
from tests.small_runs import small_config

D = Decimal
START = parse_date("2024-01-01")
NUM_BARS = 400  # of one hour
CHANGED = 144  # hour from which on funding is settled at another interval
TERMS = load_terms("BTCUSDT")  # funding every 8 hours


def _marks_held(bars: Bars, t: int, window: int) -> float:
    total = 0.0
    for i in range(t - window + 1, t + 1):
        total += bars[i].mark_close / bars[i].close - 1.0 + bars[i].hours_to_funding
    return total


MARKS_HELD = Feature("tests.test_live_decision:MARKS_HELD", 7, _marks_held)
ENV = EnvConfig(
    features=(
        "log_return_3",
        "trend_strength_48",
        "relative_strength_14",
        "taker_imbalance_5",
        "volume_ratio_20",
        "mark_premium",
        "last_funding_rate",
        "hour_sin",
        MARKS_HELD.name,
    ),
    account_features=tuple(ACCOUNT_FEATURES),
    window=3,
    trading=TradingConfig(leverage=10, max_exposure=6.0, stop_loss=0.05, levels=()),
)


class Recorded(NamedTuple):
    """Tables as they are recorded, the market that training makes of them, and what is deployed."""

    tables: SymbolTables
    observed: ObservedMarket
    deployment: Deployment


def quarter_hours(seed: int) -> pd.DataFrame:
    """Return last prices of 15 minutes on ticks of 0.1 around 50,000."""
    rng = np.random.default_rng(seed)
    num_rows = 4 * NUM_BARS
    closes = 500_000 + np.cumsum(rng.integers(-1_500, 1_501, num_rows))
    opens = np.concatenate([[500_000], closes[:-1]])
    high = np.maximum(opens, closes) + rng.integers(0, 500, num_rows)
    low = np.minimum(opens, closes) - rng.integers(0, 500, num_rows)
    prices = {"open": opens, "high": high, "low": low, "close": closes}
    volume = rng.integers(1, 10**6, num_rows)
    return pd.DataFrame(
        {"open_time": START + 15 * 60_000 * np.arange(num_rows, dtype=np.int64)}
        | {name: column / 10.0 for name, column in prices.items()}
        | {"volume": volume / 1_000.0, "taker_buy_volume": rng.integers(0, volume) / 1_000.0}
    )


def mark_candles(seed: int, interval: str) -> pd.DataFrame:
    last = quarter_hours(seed)
    premium = np.random.default_rng(seed + 1).normal(0.0, 2e-4, len(last))
    marks = last[["open_time"]].copy()
    for name in ("open", "close"):
        marks[name] = np.rint(last[name] * (1.0 + premium) * 1e8) / 1e8
    marks["high"], marks["low"] = marks[["open", "close"]].max(axis=1), marks[["open", "close"]].min(axis=1)
    return resample(marks[["open_time", "open", "high", "low", "close"]], "15m", interval)


def settlements(before: int = 8, after: int = 4) -> pd.DataFrame:
    """Return funding at an interval and, from the seventh day on, at another one, with the exchange's late stamps."""
    hours = np.concatenate([np.arange(0, CHANGED, before), np.arange(CHANGED, NUM_BARS, after)])
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "funding_time": START + hours * MS_PER_HOUR + rng.integers(0, 20, len(hours)),
            "funding_rate": rng.integers(-30_000, 30_000, len(hours)) / 1e8,
        }
    )


def recorded(
    series: Series, env: EnvConfig = ENV, *, skipped: tuple[int, ...] = (), hours: tuple[int, int] = (8, 4)
) -> Recorded:
    """Return a recording of one-hour bars.

    Args:
        series: What is recorded of it.
        env: Of the run.
        skipped: Numbers of the bars that are not recorded.
        hours: Between settlements, at first and later.
    """
    klines = resample(quarter_hours(1), "15m", "1h")
    if not series.has_taker_buys:
        klines = klines.drop(columns="taker_buy_volume")
    klines = klines.drop(index=list(skipped)).reset_index(drop=True)
    marks = {name: mark_candles(1, name) for name in series.mark_intervals}
    tables = SymbolTables(terms=TERMS, klines=klines, mark_prices=marks, funding=settlements(*hours))
    market = build_market([tables], "1h", Assumptions(missing_mark="last", holes="split"))
    observed = observe_market(market, env.schema)
    deployment = Deployment(
        name="run",
        checkpoint_sha256="0" * 64,
        checkpoint=random_checkpoint(env, observed, {}),
        terms=TERMS,
        series=series,
    )
    return Recorded(tables, observed, deployment)


def cut(found: Recorded, observer: Observer, open_ms: int) -> SymbolTables:
    """Return what the exchange has told when a bar has closed, no more of it than is needed."""
    needed, end_ms = observer.needed(open_ms), open_ms + MS_PER_HOUR
    tables = found.tables

    def between(table: pd.DataFrame, time: str, since_ms: int) -> pd.DataFrame:
        return table[(table[time] >= since_ms) & (table[time] < end_ms)].reset_index(drop=True)

    assert tables.funding is not None
    marks = {name: between(table, "open_time", needed.marks_ms) for name, table in tables.mark_prices.items()}
    for name, table in marks.items():  # a candle that is forming is not what it will be
        is_forming = table["open_time"] + interval_ms(name) > end_ms
        table.loc[is_forming, "close"] = table.loc[is_forming, "open"]
        table.loc[is_forming, "high"] = 2.0 * table.loc[is_forming, "open"]
    klines = between(tables.klines, "open_time", needed.klines_ms)
    if "taker_buy_volume" not in klines:
        klines["taker_buy_volume"] = 0.9 * klines["volume"]  # the exchange always tells it
    return SymbolTables(
        terms=TERMS,
        klines=klines,
        mark_prices=marks,
        funding=between(tables.funding, "funding_time", needed.funding_ms),
    )


def announced(found: Recorded, end_ms: int) -> int | None:
    """Return the next settlement, the bar's close included, as the exchange announces it before the close."""
    assert found.tables.funding is not None
    hours = found.tables.funding["funding_time"].to_numpy() // MS_PER_HOUR * MS_PER_HOUR
    later = hours[hours >= end_ms]
    return int(later[0]) if len(later) else None


def at_close(account: Account) -> AccountAtClose:
    """Return an account as the exchange's texts say it."""
    wallet_balance, amount, entry_price, isolated_wallet = (D(repr(float(value))) for value in account)
    return AccountAtClose(
        wallet_balance=wallet_balance, amount=amount, entry_price=entry_price, isolated_wallet=isolated_wallet
    )


# ---- Observing


def played(
    found: Recorded, seed: int = 0, num_bars: int = NUM_BARS
) -> list[tuple[int, Account, int, NDArray[np.float32]]]:
    """Return row, account, bars held and observation at every close of an episode with random targets."""
    rng = np.random.default_rng(seed)
    simulator = Simulator(found.observed, found.deployment.trading, FROM_FIRST_BAR, Period(), 1)
    observations = simulator.new_observations()
    simulator.reset(observations)
    closes = []
    target = np.zeros(1)
    for _ in range(num_bars):
        state = simulator.states[0]
        closes.append((int(state["bar"]), simulator.account(0), int(state["bars_held"]), observations.array[0].copy()))
        if rng.random() < 0.2:
            target = rng.uniform(-1.0, 1.0, 1)
        if simulator.step(target, observations):
            break
    return closes


VARIANTS = {
    "coarse marks": Series(mark_intervals=("4h", "8h"), has_taker_buys=False),
    "marks of the bars": Series(mark_intervals=("1h",), has_taker_buys=True),
    "finer marks": Series(mark_intervals=("15m",), has_taker_buys=True),
    "no marks": Series(mark_intervals=(), has_taker_buys=False),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
def test_the_window_shows_the_bytes_that_the_replay_shows(
    variant: str, margin_mode: Literal["isolated", "cross"]
) -> None:
    env = replace(ENV, trading=replace(ENV.trading, margin_mode=margin_mode))
    found = recorded(VARIANTS[variant], env)
    observer = Observer(found.deployment)
    bars = found.observed.market.bars
    num_held, held, amount = 0, 0, D(0)
    for row, account, bars_held, expected in played(found):
        open_ms, closed = int(bars["open_time"][row]), at_close(account)
        held, amount = bars_held_after(held, amount, closed.amount), closed.amount
        assert held == bars_held
        seen = observer.observe(
            open_ms,
            cut(found, observer, open_ms),
            closed,
            bars_held=held,
            taker_fee=TERMS.taker_fee,
            next_funding_ms=announced(found, open_ms + MS_PER_HOUR),
        )
        assert seen.values.tobytes() == expected.tobytes(), row
        assert (seen.close, seen.mark_close) == (bars["close"][row], bars["mark_close"][row])
        num_held += account.position_amount != 0.0
    assert num_held > 200


@pytest.mark.parametrize("hours", [(8, 4), (4, 8), (8, 1), (1, 8)])
def test_the_bytes_are_training_s_while_the_interval_of_funding_changes(hours: tuple[int, int]) -> None:
    found = recorded(VARIANTS["marks of the bars"], hours=hours)
    observer, num_seen = Observer(found.deployment), 0
    for row, account, bars_held, expected in played(found, num_bars=CHANGED + 60):
        end = row + 1
        if not end >= CHANGED - 20:
            continue
        open_ms = START + row * MS_PER_HOUR
        told = replace(TERMS, funding_interval_hours=hours[end > CHANGED])
        seen = observer.observe(
            open_ms,
            replace(cut(found, observer, open_ms), terms=told),
            at_close(account),
            bars_held=bars_held,
            taker_fee=TERMS.taker_fee,
            next_funding_ms=announced(found, open_ms + MS_PER_HOUR),
        )
        assert seen.values.tobytes() == expected.tobytes(), row
        num_seen += 1
    assert num_seen > 70


def test_what_comes_later_is_not_seen() -> None:
    found = recorded(VARIANTS["coarse marks"])
    observer = Observer(found.deployment)
    flat = at_close(Account(10_000.0, 0.0, 0.0, 0.0))
    for row in (100, 200, 203, 303):
        open_ms = int(found.observed.market.bars["open_time"][row])
        announced_ms = announced(found, open_ms + MS_PER_HOUR)
        told = {"bars_held": 0, "taker_fee": 5e-4, "next_funding_ms": announced_ms}
        alone = observer.observe(open_ms, cut(found, observer, open_ms), flat, **told)  # type: ignore[arg-type]
        whole = observer.observe(open_ms, found.tables, flat, **told)  # type: ignore[arg-type]
        assert alone.sha256 == whole.sha256


def test_without_an_announcement_funding_is_due_by_the_interval_of_the_terms() -> None:
    found = recorded(VARIANTS["marks of the bars"])
    observer, flat = Observer(found.deployment), at_close(Account(10_000.0, 0.0, 0.0, 0.0))
    column = found.deployment.schema.names().index("hours_to_funding")
    open_ms = START + 168 * MS_PER_HOUR  # the day of the settlement at 168 h; the next ones are at 172 and 176 h
    tables = cut(found, observer, open_ms)

    def hours(next_funding_ms: int | None) -> float:
        seen = observer.observe(open_ms, tables, flat, bars_held=0, taker_fee=5e-4, next_funding_ms=next_funding_ms)
        return 8.0 * float(seen.values[column])

    assert hours(None) == pytest.approx(7.0)
    assert hours(START + 172 * MS_PER_HOUR) == pytest.approx(3.0)
    with pytest.raises(DataError, match="must not lie before the bar's close"):
        hours(START + 168 * MS_PER_HOUR)


def test_a_settlement_at_the_close_is_due_even_if_a_later_one_is_announced_already() -> None:
    found = recorded(VARIANTS["marks of the bars"])
    observer, flat = Observer(found.deployment), at_close(Account(10_000.0, 0.0, 0.0, 0.0))
    open_ms = START + 171 * MS_PER_HOUR
    seen = observer.observe(
        open_ms, found.tables, flat, bars_held=0, taker_fee=5e-4, next_funding_ms=START + 176 * MS_PER_HOUR
    )
    assert seen.values[found.deployment.schema.names().index("hours_to_funding")] == 0.0


def test_after_a_hole_the_window_must_be_full_again() -> None:
    found = recorded(VARIANTS["coarse marks"], skipped=(209, 210))
    deployment = found.deployment
    observer, flat = Observer(deployment), at_close(Account(10_000.0, 0.0, 0.0, 0.0))
    bars = found.observed.market.bars
    last_missing = START + 210 * MS_PER_HOUR
    first_full = last_missing + deployment.num_bars * MS_PER_HOUR
    for hour in (211, 240, 210 + deployment.num_bars - 1):
        with pytest.raises(DataError, match=r"without a hole and lacks [12], the last of 2024-01-09T18:00Z"):
            observer.observe(START + hour * MS_PER_HOUR, found.tables, flat, bars_held=0, taker_fee=5e-4)
    row = int(np.searchsorted(bars["open_time"], first_full))
    announced_ms = announced(found, first_full + MS_PER_HOUR)
    seen = observer.observe(first_full, found.tables, flat, bars_held=0, taker_fee=5e-4, next_funding_ms=announced_ms)
    num_values = 3 * len(deployment.schema.features)
    assert seen.values[:num_values].tobytes() == found.observed.rows[row - 2 : row + 1].tobytes()


def spoilt(tables: SymbolTables, what: str, open_ms: int) -> SymbolTables:
    klines, funding = tables.klines, tables.funding
    assert funding is not None
    changed: dict[str, Callable[[], dict[str, Any]]] = {
        "no bar": lambda: {"klines": klines[klines["open_time"] < open_ms]},
        "no bars": lambda: {"klines": klines[:0]},
        "no mark": lambda: {"mark_prices": {"1h": tables.mark_prices["1h"][:-1]}},
        "no marks": lambda: {"mark_prices": {}},
        "no settlement": lambda: {"funding": funding[funding["funding_time"] < open_ms - 8 * MS_PER_HOUR]},
        "no funding": lambda: {"funding": None},
        "nan": lambda: {
            "klines": klines.assign(close=np.where(klines["open_time"] == open_ms, np.nan, klines["close"]))
        },
        "negative": lambda: {
            "klines": klines.assign(low=np.where(klines["open_time"] == open_ms, -1.0, klines["low"]))
        },
    }
    return replace(tables, **changed[what]())


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no bar", "must have the bar of"),
        ("no bars", "must have the bar of"),
        ("no mark", "mark price is not recorded in 1 of"),
        ("no marks", "candles of 1h are needed, found none"),
        ("no settlement", "funding is not recorded at"),
        ("no funding", "funding is not recorded at"),
        ("nan", "not finite"),
        ("negative", "not positive"),
    ],
)
def test_nothing_is_observed_where_something_is_missing_or_damaged(what: str, message: str) -> None:
    found = recorded(VARIANTS["marks of the bars"])
    observer, flat = Observer(found.deployment), at_close(Account(10_000.0, 0.0, 0.0, 0.0))
    open_ms = START + 300 * MS_PER_HOUR
    tables = cut(found, observer, open_ms)
    observer.observe(open_ms, tables, flat, bars_held=0, taker_fee=5e-4)
    with pytest.raises(DataError, match=message):
        observer.observe(open_ms, spoilt(tables, what, open_ms), flat, bars_held=0, taker_fee=5e-4)


def _logarithm_of_rise(bars: Bars, t: int, window: int) -> float:
    return float(np.log(bars[t].close - bars[t - 1].close))  # NaN where it falls


LOGARITHM = Feature("tests.test_live_decision:LOGARITHM", 2, _logarithm_of_rise)


def test_a_feature_that_is_not_finite_is_no_observation() -> None:
    found = recorded(VARIANTS["marks of the bars"])
    env = replace(ENV, features=(LOGARITHM.name,), window=1)
    scaling = replace(found.observed.scaling, mean=np.zeros(1, np.float32), scale=np.ones(1, np.float32))
    checkpoint = replace(found.deployment.checkpoint, env=env, scaling=scaling)
    observer = Observer(replace(found.deployment, checkpoint=checkpoint))
    flat = at_close(Account(10_000.0, 0.0, 0.0, 0.0))
    closes = found.observed.market.bars["close"]
    falls = int(np.flatnonzero(np.diff(closes) < 0.0)[9]) + 1
    with pytest.raises(DataError, match=f"feature '{LOGARITHM.name}' must be finite"):
        observer.observe(START + falls * MS_PER_HOUR, found.tables, flat, bars_held=0, taker_fee=5e-4)


def test_the_isolated_wallet_is_that_of_the_exchange_in_isolated_margin_alone() -> None:
    found = recorded(VARIANTS["marks of the bars"])
    open_ms = START + 300 * MS_PER_HOUR
    held = at_close(Account(10_000.0, 0.5, 50_000.0, 2_500.0))
    for margin_mode, wanted in (("isolated", 2_500.0), ("cross", 0.0)):
        trading = replace(ENV.trading, margin_mode=margin_mode)  # type: ignore[arg-type]
        checkpoint = replace(found.deployment.checkpoint, env=replace(ENV, trading=trading))
        observer = Observer(replace(found.deployment, checkpoint=checkpoint))
        seen = observer.observe(open_ms, found.tables, held, bars_held=0, taker_fee=5e-4)
        assert seen.account == Account(10_000.0, 0.5, 50_000.0, wanted)


@pytest.mark.parametrize(
    ("before", "now", "expected"), [("0", "1", 0), ("1", "1", 6), ("1", "2", 6), ("1", "-1", 0), ("-1", "0", 0)]
)
def test_bars_are_held_from_the_close_after_the_opening_on(before: str, now: str, expected: int) -> None:
    assert bars_held_after(5, D(before), D(now)) == expected


# ---- Deciding


class Fixed:
    """A policy that always answers the same."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Answer."""
        if isinstance(self.answer, Exception):
            raise self.answer
        observations[:] = np.nan  # what a policy does with them is its own affair
        return self.answer  # type: ignore[return-value]


@pytest.fixture(scope="module")
def found() -> Recorded:
    return recorded(VARIANTS["marks of the bars"])


def observation(found: Recorded, account: Account | None = None, **changes: Any) -> Observation:
    open_ms = START + 300 * MS_PER_HOUR
    closed = at_close(account or Account(10_000.0, 0.0, 0.0, 0.0))
    seen = Observer(found.deployment).observe(open_ms, found.tables, closed, bars_held=0, taker_fee=5e-4)
    return replace(seen, **changes)


def with_levels(found: Recorded, *levels: float) -> Deployment:
    trading = replace(ENV.trading, levels=levels)
    return replace(found.deployment, checkpoint=replace(found.deployment.checkpoint, env=replace(ENV, trading=trading)))


def test_a_decision_is_the_policys_and_is_sized_as_in_the_replay(found: Recorded) -> None:
    decider = Decider(found.deployment)
    table, _ = kernel_terms([TERMS], ENV.trading)
    settings = records(kernel_settings(ENV.trading))[0]
    num_orders = 0
    for row, account, _held, values in played(found):
        bar = found.observed.market.bars[row]
        close, mark = float(bar["close"]), float(bar["mark_close"])
        seen = Observation(
            open_ms=int(bar["open_time"]), values=values, account=account, close=close, mark_close=mark, taker_fee=5e-4
        )
        decision = decider.decide(seen)
        assert decision.fault == ""
        assert decision.memory == b""
        assert decision.target is not None
        assert decision.target == decide_in_turn(found.deployment.checkpoint.policy, values[np.newaxis])[0]
        order = order_of(decision.target, account, close, mark, 5e-4, settings, records(table)[0])
        assert float(decision.reduce_amount) == order.reduce_amount
        assert float(decision.open_amount) == order.open_amount
        assert all(leg.amount % TERMS.step_size == 0 for leg in decision.legs)
        assert decision.observation_sha == seen.sha256
        num_orders += len(decision.legs)
    assert num_orders > 100


def test_a_flip_is_a_reducing_leg_and_then_an_opening_one(found: Recorded) -> None:
    decider = Decider(found.deployment, policy=Fixed(np.array([-0.5])))
    decision = decider.decide(observation(found, Account(10_000.0, 0.25, 50_000.0, 1_250.0)))
    reducing, opening = decision.legs
    assert reducing == Leg(D("-0.25"), is_reducing=True, limit_price=None)
    assert not opening.is_reducing
    assert opening.amount < 0
    assert (decision.reduce_amount, decision.open_amount) == (reducing.amount, opening.amount)
    assert decision.action == "-0.5"


def test_a_target_that_is_held_sends_nothing(found: Recorded) -> None:
    decision = Decider(found.deployment, policy=Fixed(np.array([0.0]))).decide(observation(found))
    assert decision.legs == ()
    assert (decision.target, decision.fault, decision.reduce_amount) == (0.0, "", D(0))


def test_limit_orders_have_their_price_on_the_tick(found: Recorded) -> None:
    trading = replace(ENV.trading, limit_distance=0.001)
    checkpoint = replace(found.deployment.checkpoint, env=replace(ENV, trading=trading))
    deployment = replace(found.deployment, checkpoint=checkpoint)
    (leg,) = Decider(deployment, policy=Fixed(np.array([1.0]))).decide(observation(found)).legs
    assert leg.limit_price is not None
    assert leg.limit_price % TERMS.tick_size == 0
    close = float(found.tables.klines["close"].iloc[300])
    assert 0.999 * close - 0.1 < float(leg.limit_price) <= 0.999 * close


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (np.array([np.nan]), "must lie in [-1, 1], found nan"),
        (np.array([1.5]), "must lie in [-1, 1], found 1.5"),
        (np.array([-np.inf]), "must lie in [-1, 1], found -inf"),
        (np.zeros(2), "must answer with one target, found (2,)"),
        (np.zeros(0), "must answer with one target, found (0,)"),
        (ZeroDivisionError("of the policy"), "ZeroDivisionError: of the policy"),
        ("flat", "ValueError: could not convert"),
        (None, "must answer with one target"),
    ],
)
def test_a_policy_that_fails_holds_the_position(found: Recorded, answer: object, fault: str) -> None:
    decision = Decider(found.deployment, policy=Fixed(answer)).decide(observation(found))
    assert (decision.target, decision.legs, decision.action) == (None, (), "hold")
    assert fault in decision.fault


def test_a_target_between_the_levels_holds_the_position(found: Recorded) -> None:
    seen = observation(found)
    decider = Decider(with_levels(found, -1.0, 0.0, 1.0), policy=Fixed(np.array([0.5])))
    assert "must be one of (-1.0, 0.0, 1.0), found 0.5" in decider.decide(seen).fault
    assert Decider(with_levels(found, -1.0, 0.5), policy=Fixed(np.array([0.5]))).decide(seen).target == 0.5


def with_value(values: NDArray[np.float32], entry: int, value: float) -> NDArray[np.float32]:
    changed = values.copy()
    changed[entry] = value
    return changed


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda v: {"values": with_value(v, 0, np.nan)}, "log_return_3[-2] of an observation must lie within 10"),
        (lambda v: {"values": with_value(v, 4, np.inf)}, "must lie within 10, found inf"),
        (lambda v: {"values": with_value(v, 5, 10.01)}, "mark_premium[-2] of an observation must lie within 10"),
        (lambda v: {"values": with_value(v, -1, -11.0)}, "fee_level of an observation must lie within 10"),
        (lambda v: {"values": v[:-1]}, "must be 35 numbers of float32"),
        (lambda v: {"values": v.astype(np.float64)}, "of float64"),
        (lambda _v: {"account": Account(float("nan"), 0.0, 0.0, 0.0)}, "must be finite"),
        (lambda _v: {"close": float("nan")}, "must be finite"),
        (lambda _v: {"taker_fee": float("inf")}, "must be finite"),
    ],
)
def test_an_observation_that_training_cannot_have_made_holds_the_position(
    found: Recorded, change: Callable[[NDArray[np.float32]], dict[str, Any]], fault: str
) -> None:
    seen = observation(found)
    decision = Decider(found.deployment).decide(replace(seen, **change(seen.values)))
    assert decision.target is None
    assert fault in decision.fault


def test_an_amount_off_the_grid_holds_the_position(found: Recorded) -> None:
    class Careless(Decider):
        """Sizes as it likes."""

        def order(self, observation: Observation, target: float) -> Order:
            """Return what no exchange takes."""
            return Order(0.0, 0.12345, 0.0)

    decision = Careless(found.deployment).decide(observation(found))
    assert decision.legs == ()
    assert "must be whole steps of 0.001, found 0.12345" in decision.fault


def test_the_terms_of_today_size_the_orders(found: Recorded) -> None:
    today = replace(TERMS, step_size=D("0.05"), min_quantity=D("0.05"))
    policy = Fixed(np.array([0.77]))
    (coarse,) = Decider(found.deployment, today, policy).decide(observation(found)).legs
    (fine,) = Decider(found.deployment, policy=policy).decide(observation(found)).legs
    assert coarse.amount % D("0.05") == 0
    assert 0 < fine.amount - coarse.amount < D("0.05")


# ---- What is deployed


def demo_config(runs: Path, name: str = "demo") -> TrainConfig:
    return small_config(runs, name)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return random_run(demo_config(tmp_path_factory.mktemp("runs")))


def copied(demo: RunFolder, folder: Path) -> RunFolder:
    shutil.copytree(demo.path, folder / "copy")
    return RunFolder(folder / "copy")


def test_a_run_and_its_checkpoint_are_deployed_alike(demo: RunFolder) -> None:
    deployment = load_deployment(demo.path)
    assert deployment.name == "demo"
    assert (deployment.symbol, deployment.interval, deployment.interval_ms) == ("EMBEDDED", "30m", 1_800_000)
    assert deployment.num_bars == 1
    assert deployment.series == Series(mark_intervals=("30m",), has_taker_buys=deployment.series.has_taker_buys)
    assert deployment.assumptions.missing_mark == "refuse"
    alone = load_deployment(demo.path / "checkpoints" / demo.index()["best"])
    assert (alone.series, alone.terms, alone.trading) == (deployment.series, deployment.terms, deployment.trading)
    observations = np.array([[0.3, -0.5]], np.float32)
    decided = decide_in_turn(deployment.checkpoint.policy, observations)
    assert decide_in_turn(alone.checkpoint.policy, observations) == decided


def test_a_checkpoint_whose_policy_decides_otherwise_than_it_did_is_refused(demo: RunFolder, tmp_path: Path) -> None:
    checkpoint = demo.checkpoint()
    targets = checkpoint.golden_targets.copy()
    targets[0] = -targets[0] if targets[0] else 1.0
    save_checkpoint(tmp_path / "other", replace(checkpoint, golden_targets=targets))
    with pytest.raises(CheckpointError, match="does not decide as it did when it was saved"):
        load_deployment(tmp_path / "other")


def test_one_of_several_symbols_has_to_be_named(demo: RunFolder, tmp_path: Path) -> None:
    checkpoint = demo.checkpoint()
    trading = replace(checkpoint.env.trading, symbol_leverage=("EMBEDDED=4", "BTCUSDT=20"))
    several = replace(
        checkpoint,
        terms=(*checkpoint.terms, TERMS),
        env=replace(checkpoint.env, trading=trading),
        facts={
            "series": {
                "EMBEDDED": {"mark_price": ["30m"], "taker_buy_volume": True},
                "BTCUSDT": {"mark_price": ["8h", "1m", "1h"], "taker_buy_volume": False},
            }
        },
    )
    save_checkpoint(tmp_path / "several", several)
    with pytest.raises(ConfigError, match=r"several symbols \(EMBEDDED, BTCUSDT\); choose one by --symbol"):
        load_deployment(tmp_path / "several")
    with pytest.raises(ConfigError, match="no symbol 'XRPUSDT'"):
        load_deployment(tmp_path / "several", "XRPUSDT")
    deployment = load_deployment(tmp_path / "several", "BTCUSDT")
    assert deployment.trading.symbol_leverage == ("BTCUSDT=20",)
    # Candles of a minute make those of the bars, which the exchange tells as they are.
    assert deployment.series == Series(mark_intervals=("30m",), has_taker_buys=False)
    kernel_terms([deployment.terms], deployment.trading)


def test_coarser_mark_prices_are_taken_from_the_finest_on(demo: RunFolder, tmp_path: Path) -> None:
    facts = {"series": {"EMBEDDED": {"mark_price": ["8h", "1h"], "taker_buy_volume": False}}}
    save_checkpoint(tmp_path / "coarse", replace(demo.checkpoint(), facts=facts))
    assert load_deployment(tmp_path / "coarse").series.mark_intervals == ("1h", "8h")
    facts = {"series": {"EMBEDDED": {"mark_price": [], "taker_buy_volume": False}}}
    save_checkpoint(tmp_path / "none", replace(demo.checkpoint(), facts=facts))
    assert load_deployment(tmp_path / "none").assumptions.missing_mark == "last"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "made by an older version"),
        ({"series": {}}, "made by an older version"),
        ({"series": None}, "made by an older version"),
        ({"series": {"EMBEDDED": {"mark_price": ["30m"]}}}, "made by an older version"),
        ({"series": {"EMBEDDED": {"mark_price": "30m", "taker_buy_volume": True}}}, "it is damaged"),
        ({"series": {"EMBEDDED": {"mark_price": ["30m"], "taker_buy_volume": 1}}}, "it is damaged"),
    ],
)
def test_a_checkpoint_that_does_not_say_what_it_saw_is_refused(
    demo: RunFolder, tmp_path: Path, facts: dict[str, Any], message: str
) -> None:
    save_checkpoint(tmp_path / "other", replace(demo.checkpoint(), facts=facts))
    with pytest.raises(CheckpointError, match=message):
        load_deployment(tmp_path / "other")


def test_a_signal_column_cannot_be_deployed(demo: RunFolder, tmp_path: Path) -> None:
    checkpoint = demo.checkpoint()
    env = replace(checkpoint.env, features=("signal:alpha",))
    save_checkpoint(tmp_path / "signal", replace(checkpoint, env=env))
    with pytest.raises(ConfigError, match=r"'signal:alpha' of .* live trading does not have"):
        load_deployment(tmp_path / "signal")


def test_a_leverage_that_the_symbol_does_not_allow_is_refused(demo: RunFolder, tmp_path: Path) -> None:
    checkpoint = demo.checkpoint()
    env = replace(checkpoint.env, trading=replace(checkpoint.env.trading, leverage=99))
    save_checkpoint(tmp_path / "high", replace(checkpoint, env=env))
    with pytest.raises(ContractError, match="leverage of EMBEDDED"):
        load_deployment(tmp_path / "high")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "neither a run's folder nor a checkpoint"),
        ("{", "cannot be read"),
        ("[]", "no best checkpoint"),
        ('{"last": "step_0000000000"}', "no best checkpoint"),
        ('{"best": "../../other"}', "must name a folder beside it"),
        ('{"best": 3}', "must name a folder beside it"),
        ('{"best": "step_0000000099"}', "is no checkpoint"),
    ],
)
def test_a_damaged_run_folder_is_refused(demo: RunFolder, tmp_path: Path, index: str | None, message: str) -> None:
    run = copied(demo, tmp_path)
    path = run.path / "checkpoints" / "index.json"
    path.unlink() if index is None else path.write_text(index)
    with pytest.raises(CheckpointError, match=message):
        load_deployment(run.path)


def test_nothing_but_the_manifest_decides_what_is_deployed(demo: RunFolder, tmp_path: Path) -> None:
    run = copied(demo, tmp_path)
    (run.path / "config.json").write_text(json.dumps({"env": "other"}))
    (run.path / "about.json").unlink()
    assert load_deployment(run.path).checkpoint.env == load_deployment(demo.path).checkpoint.env


def test_a_decision_has_both_legs_in_numbers() -> None:
    decision = Decision(open_ms=1, observation_sha="", target=None, legs=(), fault="x")
    assert (decision.reduce_amount, decision.open_amount, decision.action) == (D(0), D(0), "hold")
