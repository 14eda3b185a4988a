"""Small tables for the kernels, written so that a trader can read them.

Prices lie around 1000 USDT with a tick of 0.1 and a step of 0.001. The three brackets are

    cap 10 000, maintenance 1 %, amount 0; cap 50 000, 2 %, 10 000 * 0.01 = 100;
    cap 200 000, 5 %, 100 + 50 000 * 0.03 = 1 600.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader import replay
from rl_trader.bars import BAR_DTYPE, FUNDING_DTYPE, MARK_OHLC, MS_PER_HOUR, OHLC
from rl_trader.kernels import records
from rl_trader.ledger import TERMS_DTYPE, Account
from rl_trader.state import OUTCOME_DTYPE, SETTINGS_DTYPE, STATE_DTYPE
from rl_trader.windows import NOWHERE

BRACKETS: Final = np.array(
    [  # cap, rate, amount, floor
        (10_000.0, 0.01, 0.0, 0.0),
        (50_000.0, 0.02, 100.0, 10_000.0),
        (200_000.0, 0.05, 1_600.0, 50_000.0),
    ]
)
TERMS: Final = {
    "tick_size": 0.1,
    "price_scale": 10.0,
    "step_size": 0.001,
    "amount_scale": 1000.0,
    "min_quantity": 0.001,
    "max_quantity": 120.0,
    "min_notional": 50.0,
    "taker_fee": 0.0005,
    "maker_fee": 0.0002,
    "liquidation_fee": 0.0125,
    "leverage": 5.0,
    "max_notional": 200_000.0,
    "highest_buy": 1.05,
    "lowest_sell": 0.95,
    "min_price": 0.1,
    "max_price": 1e9,
    "highest_limit": 1.05,
    "lowest_limit": 0.95,
    "is_isolated": True,
    "first_bracket": 0,
    "last_bracket": 2,
}
SETTINGS: Final = {
    "max_exposure": 2.0,
    "rebalance_band": 0.2,
    "reserve": 0.02,
    "initial_balance": 10_000.0,
    "ruin_balance": 30.0,
    "half_spread": 0.001,
    "stop_on_mark": True,
    "fee_scale_low": 1.0,
    "fee_scale_high": 1.0,
    "slippage_scale_low": 1.0,
    "slippage_scale_high": 1.0,
    "window": 1,
}
FLAT: Final = Account(10_000.0, 0.0, 0.0, 0.0)

Candle = Sequence[float]  # open, high, low, close of the last price, and of the mark price where it differs
Due = tuple[float, float, float]  # hour, rate and mark price of a funding settlement


def terms_table(**changes: Any) -> NDArray[np.void]:
    """Return (1,) of ``TERMS_DTYPE``; its record has attributes in compiled code and in plain Python."""
    table = np.zeros(1, TERMS_DTYPE)
    for name, value in {**TERMS, **changes}.items():
        table[name] = value
    return table.view(np.recarray)


def one_terms(**changes: Any) -> Any:
    """Return the record of ``terms_table``."""
    return terms_table(**changes)[0]


def one_bracket(rate: float, amount: float) -> NDArray[np.float64]:
    """Return a single bracket without an end, where an example gives only the one that applies."""
    return np.array([(1e12, rate, amount, 0.0)])


def settings_table(**changes: Any) -> NDArray[np.void]:
    """Return (1,) of ``SETTINGS_DTYPE``; stops, impact and everything random are off unless changed."""
    table = np.zeros(1, SETTINGS_DTYPE)
    for name, value in {**SETTINGS, **changes}.items():
        table[name] = value
    return table.view(np.recarray)


def bars_of(candles: Sequence[Candle], *, hours: int = 1, volume: float | Sequence[float] = 500.0) -> NDArray[np.void]:
    """Return bars of one segment from 1970-01-01 on, ``hours`` long; eight prices a candle, or four for both."""
    bars = np.zeros(len(candles), BAR_DTYPE)
    bars["open_time"] = np.arange(len(candles)) * hours * MS_PER_HOUR
    for bar, candle in zip(bars, candles, strict=True):
        assert len(candle) in (4, 8)
        for name, last, mark in zip(range(4), candle[:4], candle[-4:], strict=True):
            bar[OHLC[name]] = last
            bar[MARK_OHLC[name]] = mark
    bars["volume"] = volume
    bars["taker_buy_volume"] = np.nan
    bars["hours_to_funding"] = 3.0
    bars["last_funding_rate"] = 0.0002
    return bars


def fundings_of(bars: NDArray[np.void], due: Sequence[Due], *, hours: int = 1) -> NDArray[np.void]:
    """Return the settlements and count them into the bars."""
    fundings = np.zeros(len(due), FUNDING_DTYPE)
    for row, (hour, rate, mark) in zip(fundings, due, strict=True):
        row["funding_time"], row["funding_rate"], row["mark_price"] = round(hour * MS_PER_HOUR), rate, mark
    for bar in bars:
        bar["num_settled"] = sum(hour * MS_PER_HOUR < bar["open_time"] + hours * MS_PER_HOUR for hour, _, _ in due)
    return fundings


class Step(NamedTuple):
    """One account after one bar."""

    account: Account
    outcome: Any  # record of OUTCOME_DTYPE


def states_of(accounts: Sequence[Account], bars: NDArray[np.void], **changes: Any) -> NDArray[np.void]:
    """Return (num_accounts,) of ``STATE_DTYPE`` at the close of bar 0."""
    states = np.zeros(len(accounts), STATE_DTYPE)
    for state, account in zip(states, accounts, strict=True):
        for name, value in account._asdict().items():
            state[name] = value
        profit = account.position_amount * (bars[0]["mark_close"] - account.entry_price)
        state["margin_balance"] = account.wallet_balance + profit
    states["taker_fee"] = TERMS["taker_fee"]
    states["maker_fee"] = TERMS["maker_fee"]
    states["slippage_scale"] = 1.0
    states["last_bar"] = len(bars) - 1
    for name, value in changes.items():
        states[name] = value
    return states


def account_of(state: Any) -> Account:
    """Return the account in a record of ``STATE_DTYPE``."""
    return Account(*(float(state[name]) for name in Account._fields))


def step_all(
    kernel: Any,
    targets: Sequence[float] | NDArray[np.float64],
    states: NDArray[np.void],
    bars: NDArray[np.void],
    fundings: NDArray[np.void],
    settings: NDArray[np.void],
    terms: NDArray[np.void],
    brackets: NDArray[np.float64] = BRACKETS,
    *,
    features: NDArray[np.float32] | None = None,
    columns: Sequence[int] = range(8),
    income: NDArray[np.void] | None = None,
) -> tuple[NDArray[np.void], NDArray[np.float32], bool]:
    """Play one bar; return the outcomes, the observations (the account part if no features are given), and the end."""
    rows = np.zeros((len(bars), 0), np.float32) if features is None else features
    outcomes = np.zeros(len(states), OUTCOME_DTYPE)
    window = int(settings["window"][0])
    observations = np.zeros((len(states), window * rows.shape[1] + len(columns)), np.float32)
    ended = kernel(
        np.asarray(targets, np.float64),
        records(states),
        records(outcomes),
        observations,
        0,
        window,
        np.full(len(states), NOWHERE, np.int64),
        records(bars),
        rows,
        np.array(columns, np.int64),
        records(fundings),
        settings,
        terms,
        brackets,
        income,
    )
    return outcomes, observations, bool(ended)


def play(
    candles: Sequence[Candle],
    targets: Sequence[float],
    account: Account = FLAT,
    *,
    due: Sequence[Due] = (),
    hours: int = 1,
    volume: float | Sequence[float] = 500.0,
    terms: NDArray[np.void] | None = None,
    brackets: NDArray[np.float64] = BRACKETS,
    state: dict[str, Any] | None = None,
    **settings: Any,
) -> list[Step]:
    """Play one account from the close of the first candle on, one target a candle after it."""
    assert len(targets) == len(candles) - 1
    bars = bars_of(candles, hours=hours, volume=volume)
    fundings = fundings_of(bars, due, hours=hours)
    table = terms_table() if terms is None else terms
    states = states_of([account], bars, **(state or {}))
    steps = []
    for target in targets:
        outcomes, _, _ = step_all(
            replay.step_accounts, [target], states, bars, fundings, settings_table(**settings), table, brackets
        )
        steps.append(Step(account_of(states[0]), outcomes[0]))
    return steps
