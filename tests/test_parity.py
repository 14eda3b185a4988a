"""What an account does in the replay it does as orders over the exchange's API, to the unit of 1e-8 USDT."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.config import Slippage, TradingConfig
from rl_trader.klines import parse_date
from rl_trader.local_exchange.assembly import Assembly, Setup, assemble_lock_step
from rl_trader.local_exchange.protocol.limits import UNLIMITED
from rl_trader.parity.comparison import Decisions, ParityError, Report, check_parity

TRADING = TradingConfig(
    initial_balance=5_000.0,
    leverage=10,
    max_exposure=6.0,
    stop_loss=0.03,
    take_profit=0.05,
    slippage=Slippage(half_spread=0.0001, sqrt_impact=0.001),
)
BARE = replace(TRADING, stop_loss=None, take_profit=None, leverage=20, max_exposure=18.0, rebalance_band=0.95)
LIQUIDATED = "position liquidated"


def assembled(trading: TradingConfig, **setup: object) -> Assembly:
    whole = Setup(slippage=trading.slippage, balance=Decimal(5_000), limits=UNLIMITED)
    return assemble_lock_step(replace(whole, **setup))  # type: ignore[arg-type]


def report_of(trading: TradingConfig, num_bars: int, decisions: Decisions, **setup: object) -> Report:
    assembly = assembled(trading, **setup)
    (recording,) = assembly.venue.market.recordings.values()
    return check_parity(assembly, recording, trading, num_bars, decisions)


@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
def test_orders_with_stops_do_over_the_api_what_they_do_in_the_replay(margin_mode: str) -> None:
    trading = replace(TRADING, margin_mode=margin_mode)  # type: ignore[arg-type]
    report = report_of(trading, 400, Decisions(1, 12.0))
    assert report.bars > 100
    assert report.orders > 30
    assert report.bookings["FUNDING_FEE"] > 5
    assert report.events["stop-loss triggered"] + report.events["take-profit triggered"] > 3


@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
def test_liquidations_do_over_the_api_what_they_do_in_the_replay(margin_mode: str) -> None:
    trading = replace(BARE, margin_mode=margin_mode)  # type: ignore[arg-type]
    report = report_of(trading, 400, Decisions(3, 60.0))
    assert report.events[LIQUIDATED] > 0
    assert report.bookings["INSURANCE_CLEAR"] > 0


@pytest.mark.parametrize(("margin_mode", "trading"), [("isolated", TRADING), ("cross", BARE)])
def test_recorded_bars_are_played_alike(margin_mode: str, trading: TradingConfig, recorded_data: Path) -> None:
    report = report_of(
        replace(trading, margin_mode=margin_mode),  # type: ignore[arg-type]
        500,
        Decisions(3, 12.0),
        data=recorded_data,
        interval="15m",
        since_ms=parse_date("2024-03-01"),
    )
    assert report.bars == 500
    assert report.bookings["FUNDING_FEE"] > 5


def test_a_difference_ends_the_comparison_with_a_sentence() -> None:
    # The exchange is given a spread that the replay does not know of.
    assembly = assembled(replace(TRADING, slippage=Slippage(half_spread=0.001)))
    (recording,) = assembly.venue.market.recordings.values()
    with pytest.raises(ParityError, match=r"COMMISSION in bar .* must be equal, the replay has .* and the exchange"):
        check_parity(assembly, recording, TRADING, 400, Decisions(1, 12.0))


@pytest.mark.parametrize(("distance", "stop_loss"), [(0.001, 0.1), (0.004, None)])
def test_limit_orders_do_over_the_api_what_they_do_in_the_replay(distance: float, stop_loss: float | None) -> None:
    trading = replace(TRADING, limit_distance=distance, stop_loss=stop_loss, take_profit=None)
    report = report_of(trading, 150, Decisions(1, 3.0))
    assert report.bars == 150
    assert report.events["filled"] > 10
    assert report.orders - report.bookings["COMMISSION"] > 10  # were not reached
    assert report.raced == 0


def test_a_bar_in_which_a_resting_order_fills_and_a_stop_is_met_is_counted_and_not_compared() -> None:
    trading = replace(TRADING, limit_distance=0.001, stop_loss=0.004)
    report = report_of(trading, 150, Decisions(1, 3.0))
    assert report.bars == 150
    assert report.raced > 0
    assert report.events["filled"] > 10
