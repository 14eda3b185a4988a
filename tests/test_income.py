"""The lines of an account's bookings: what they say in worked cases, and that they sum to the wallet exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_trader import flows, replay
from rl_trader.backtest import backtest_targets, income_statement
from rl_trader.bars import MS_PER_HOUR, OHLC
from rl_trader.config import Assumptions, Slippage, TradingConfig
from rl_trader.contract import load_terms
from rl_trader.income import (
    COMMISSION,
    FUNDING_FEE,
    INCOME_DTYPE,
    INCOME_TYPES,
    INSURANCE,
    LIQUIDATION_FEE,
    MOST_LINES,
    REALIZED_PNL,
)
from rl_trader.kernels import records
from rl_trader.klines import parse_date
from rl_trader.ledger import Account
from rl_trader.market import Period, SymbolTables, build_market
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.store import DataStore
from tests.kernel_tables import Candle, Due, bars_of, fundings_of, settings_table, states_of, step_all, terms_table
from tests.test_replay import Market
from tests.test_simulator import TRADING, observed_market

STILL = (1_000.0, 1_000.0, 1_000.0, 1_000.0)
LONG_10 = Account(10_000.0, 10.0, 1_000.0, 2_000.0)
UNITS = 1e8  # of a booking in one USDT


def income_of(
    bar: Candle, target: float, account: Account, due: Sequence[Due] = (), **settings: Any
) -> list[tuple[int, float, float]]:
    """Return the lines of one bar after a close of 1 000."""
    bars = bars_of([STILL, bar])
    income = np.zeros((1, MOST_LINES), INCOME_DTYPE)
    states = states_of([account], bars)
    step_all(
        replay.step_accounts,
        [target],
        states,
        bars,
        fundings_of(bars, due),
        settings_table(**settings),
        terms_table(),
        income=records(income),
    )
    return [line.item() for line in income[0] if line["kind"] != 0]


def test_a_flip_at_funding_books_funding_then_the_close_then_the_opening() -> None:
    # Funding 10 * 1 003 * 0.0001 = 1.003. Sold at 999: closing realizes -10, fee 4.995; opening 20 (decided at the
    # close), fee 9.99.
    assert income_of(STILL, -1.0, LONG_10, [(1.0, 0.0001, 1_003.0)]) == [
        (FUNDING_FEE, -1.003, 9_998.997),
        (REALIZED_PNL, -10.0, 9_988.997),
        (COMMISSION, -4.995, 9_984.002),
        (COMMISSION, -9.99, 9_974.012),
    ]


def test_a_liquidation_books_every_part() -> None:
    # test_ledger's 30 long, reduced to 10.94 at 914 and closed at 904.539 (test_replay): the isolated wallet is gone.
    lines = income_of((914.0, 930.0, 904.0, 920.0), 1.0, Account(10_000.0, 30.0, 1_000.0, 3_000.0), rebalance_band=9.0)
    assert [kind for kind, _, _ in lines] == [REALIZED_PNL, LIQUIDATION_FEE] * 2
    assert lines[0] == (REALIZED_PNL, -1_639.16, 8_360.84)
    assert lines[1] == (LIQUIDATION_FEE, -217.7605, 8_143.0795)
    assert lines[3][2] == pytest.approx(7_000.0, abs=1e-7)


def test_what_the_insurance_fund_bears_is_a_line_of_its_own() -> None:
    # Opened at 700, bankrupt at 800: loss 3 000, isolated wallet 2 000.
    assert income_of((700.0, 700.0, 700.0, 700.0), 0.5, LONG_10) == [
        (REALIZED_PNL, -3_000.0, 7_000.0),
        (LIQUIDATION_FEE, 0.0, 7_000.0),
        (INSURANCE, 1_000.0, 8_000.0),
    ]


def test_an_order_beyond_the_wallet_is_borne_by_the_insurance_fund() -> None:
    # Isolated 10 long from 1 000 with 2 000, and nothing else in the wallet. The mark opens at 801, a unit over the
    # bankruptcy price of 800, the last price at 790: sold at 789.21 -> 789.2: loss 2 108, fee 3.946.
    bar = (790.0, 790.0, 790.0, 790.0, 801.0, 801.0, 801.0, 801.0)
    assert income_of(bar, 0.0, Account(2_000.0, 10.0, 1_000.0, 2_000.0)) == [
        (REALIZED_PNL, -2_108.0, -108.0),
        (COMMISSION, -3.946, -111.946),
        (INSURANCE, 111.946, 0.0),
    ]


def test_what_the_fund_bears_adds_to_what_a_liquidation_of_the_same_bar_booked() -> None:
    booked = flows.Flows(-7.0, -1.0, -2.0, 0.5, -30.0, 4.0, 900.0, 3, 0, None)
    progress = flows.with_deficit_borne(flows.Progress(Account(-12.5, 0.0, 0.0, 0.0), booked))
    assert progress.account == (0.0, 0.0, 0.0, 0.0)
    assert progress.flows == (-7.0, -1.0, -2.0, 0.5, -17.5, 16.5, 900.0, 3, 0, None)


@pytest.mark.parametrize("amount", [2.0, -2.0])
def test_the_fund_bears_nothing_while_there_is_a_position(amount: float) -> None:
    progress = flows.begin(Account(-12.5, amount, 1_000.0, 0.0), None)
    assert flows.with_deficit_borne(progress) == progress


def test_a_bar_without_a_booking_writes_no_line() -> None:
    assert income_of((1_000.0, 1_020.0, 990.0, 1_010.0), 0.5, LONG_10) == []


def test_every_kind_has_the_exchanges_word() -> None:
    assert set(INCOME_TYPES) == {REALIZED_PNL, COMMISSION, FUNDING_FEE, LIQUIDATION_FEE, INSURANCE}


def units(money: NDArray[np.float64]) -> list[int]:
    """Return amounts in whole units of 1e-8 USDT."""
    return [round(float(amount) * UNITS) for amount in money]


def written_bars(
    market: Market, states: NDArray[np.void]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.void], NDArray[np.void]]]:
    """Play a market to its end; yield the wallets before every bar, its outcomes, and the lines of every account."""
    for targets in market.targets:
        before = states["wallet_balance"].copy()
        income = np.zeros((len(states), MOST_LINES), INCOME_DTYPE)
        outcomes, _, _ = step_all(
            replay.step_accounts,
            targets,
            states,
            market.bars,
            market.fundings,
            market.settings,
            market.terms,
            income=records(income),
        )
        yield before, outcomes, income


@given(st.integers(0, 2**32), st.booleans())
def test_the_lines_of_a_bar_sum_to_the_change_of_the_wallet_and_to_the_flows(seed: int, is_isolated: bool) -> None:
    market = Market(seed, num_accounts=2, is_isolated=is_isolated, num_bars=60)
    states = states_of(market.accounts, market.bars)
    for before, outcomes, income in written_bars(market, states):
        for i, outcome in enumerate(outcomes):
            lines = income[i][income[i]["kind"] != 0]
            wallet = round(float(before[i]) * UNITS)
            for line in lines:
                wallet += round(float(line["income"]) * UNITS)
                assert wallet == round(float(line["wallet_balance"]) * UNITS)
            assert wallet == round(float(states["wallet_balance"][i]) * UNITS)
            for name, kinds in (
                ("realized_pnl", [REALIZED_PNL]),
                ("fees", [COMMISSION]),
                ("funding", [FUNDING_FEE]),
                ("liquidation", [LIQUIDATION_FEE, INSURANCE]),
                ("insurance", [INSURANCE]),
            ):
                total = sum(units(lines["income"][np.isin(lines["kind"], kinds)]))
                assert total == round(float(outcome[name]) * UNITS)


def test_writing_lines_changes_no_bit_of_the_account() -> None:
    market = Market(5, num_accounts=9, is_isolated=True)
    plain = market.play(replay.step_accounts)[1]
    states = states_of(market.accounts, market.bars)
    assert sum(int((income["kind"] != 0).sum()) for _, _, income in written_bars(market, states)) > 100
    assert states.tobytes() == plain.tobytes()


# Statements


def observed_of(data: Path) -> tuple[ObservedMarket, Period]:
    """Return a year of 15-minute bars of BTCUSDT with hourly mark prices and real funding."""
    store = DataStore.open(data)
    first, last = parse_date("2024-01-01"), parse_date("2025-01-01")
    klines = store.klines("BTCUSDT", "15m")
    tables = SymbolTables(
        terms=load_terms("BTCUSDT", store),
        klines=klines[(klines["open_time"] >= first) & (klines["open_time"] < last)].reset_index(drop=True),
        mark_prices={"1h": store.mark_price("BTCUSDT", "1h")},
        funding=store.funding("BTCUSDT"),
    )
    schema = ObservationSchema(features=("log_return_1",))
    return observe_market(build_market([tables], "15m"), schema), Period(first, last)


@pytest.mark.parametrize(
    "trading",
    [
        TradingConfig(leverage=20, max_exposure=10.0, stop_loss=0.02),
        TradingConfig(margin_mode="cross", leverage=3, max_exposure=2.0, stop_loss=None, limit_distance=0.0005),
    ],
    ids=["isolated, market orders", "cross, limit orders"],
)
def test_a_real_years_lines_sum_to_the_change_of_the_wallet_exactly(
    trading: TradingConfig, recorded_data: Path
) -> None:
    observed, period = observed_of(recorded_data)
    num_bars = len(observed.market.bars)
    assert num_bars == 366 * 96
    rng = np.random.default_rng(2024)
    # A new target at every 12th bar on average.
    targets = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], num_bars)[np.cumsum(rng.random(num_bars) < 1 / 12)]
    (result,) = backtest_targets({"random": targets}, observed, trading, period)["random"]
    table = income_statement(result, observed, trading, period)
    assert len(table) > 1_000
    wallet = round(trading.initial_balance * UNITS)
    for income, balance in zip(
        units(table["income"].to_numpy()), units(table["wallet_balance"].to_numpy()), strict=True
    ):
        wallet += income
        assert wallet == balance
    # The statement plays what the result played: to the bit, and by kind.
    last = result.outcomes[-1]
    if last["exposure"] == 0.0:
        assert float(table["wallet_balance"].iloc[-1]) == last["margin_balance"]
    by_type = {kind: sum(units(rows.to_numpy())) for kind, rows in table.groupby("income_type")["income"]}
    for kind, name in (("REALIZED_PNL", "realized_pnl"), ("COMMISSION", "fees"), ("FUNDING_FEE", "funding")):
        assert by_type[kind] == sum(units(result.outcomes[name]))
    # An exact balance of the year: start, price moves, costs and funding give the end.
    parts = ("price_pnl", "fees", "slippage", "funding", "liquidation")
    total = sum(float(result.outcomes[name].sum()) for name in parts)
    assert float(last["margin_balance"]) == pytest.approx(trading.initial_balance + total, abs=1e-6)


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        (
            1.0,
            [  # 10 bought at 1 001; the mark closes 11.5 above; then 10 109.995 / 900 = 11.233 bought at 900.9
                ("COMMISSION", -5.005, 9_994.995),
                ("REALIZED_PNL", 115.0, 10_109.995),
                ("COMMISSION", -5.05990485, 10_104.93509515),
            ],
        ),
        (
            -1.0,
            [  # 10 sold at 999; the mark closes 13.5 above; then 9 860.005 / 900 = 10.955 sold at 899.1
                ("COMMISSION", -4.995, 9_995.005),
                ("REALIZED_PNL", -135.0, 9_860.005),
                ("COMMISSION", -4.92482025, 9_855.08017975),
            ],
        ),
    ],
)
def test_a_position_ends_at_the_mark_close_before_a_hole_without_a_fee(
    target: float, lines: list[tuple[str, float, float]]
) -> None:
    # Hours 9 and 10 are observed, an order fills in 11, its bar closes at 1 010 and the mark at 1 012.5; hour 12 is
    # missing. After the hole, at 900, hours 13 and 14 are observed and 15 is played, flat at first.
    still, low = (1_000.0,) * 8, (900.0,) * 8
    entry = (1_000.0, 1_015.0, 995.0, 1_010.0, 1_000.0, 1_015.0, 995.0, 1_012.5)
    table = np.array([still, still, entry, low, low, low])
    last, mark = (pd.DataFrame(part, columns=list(OHLC)) for part in (table[:, :4], table[:, 4:]))
    times = np.array([9, 10, 11, 13, 14, 15]) * MS_PER_HOUR
    tables = SymbolTables(
        terms=replace(load_terms("BTCUSDT"), symbol="AUSDT"),
        klines=last.assign(open_time=times, volume=500.0),
        mark_prices={"1h": mark.assign(open_time=times)},
    )
    market = build_market([tables], "1h", Assumptions(holes="split"))
    observed = observe_market(market, ObservationSchema(features=("log_return_1",)))
    trading = TradingConfig(stop_loss=None, slippage=Slippage(half_spread=0.001))
    (result,) = backtest_targets({"held": np.full(6, target)}, observed, trading, Period())["held"]
    statement = income_statement(result, observed, trading, Period())
    found = [(kind, income, wallet) for _, _, kind, income, wallet in statement.itertuples(index=False)]
    assert found == lines
    # The balance of the old segment is that of the new one, and no fee is missing in between.
    assert result.outcomes["margin_balance"][0] == result.outcomes["margin_balance_before"][1] == lines[1][2]
    assert result.outcomes["fees"].tolist() == [lines[0][1], lines[2][1]]


def test_a_position_that_ends_at_a_hole_is_a_line_of_the_statement() -> None:
    observed = observed_market(130, holes=(60, 100))
    targets = np.full(len(observed.market.bars), 1.0)
    (result,) = backtest_targets({"long": targets}, observed, TRADING, Period())["long"]
    table = income_statement(result, observed, TRADING, Period())
    wallet = round(TRADING.initial_balance * UNITS)
    for income, balance in zip(
        units(table["income"].to_numpy()), units(table["wallet_balance"].to_numpy()), strict=True
    ):
        wallet += income
        assert wallet == balance
    realized = table[table["income_type"] == "REALIZED_PNL"]
    opened = table[table["income_type"] == "COMMISSION"]
    assert len(realized) >= 2
    assert len(opened) >= 3  # one opening in every segment
