"""A run that is deployed on the local exchange observes, decides and earns what its back-test does, bar by bar."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from agents.config import MarketConfig, TrainConfig
from agents.parity import run_parity
from agents.presets import BTCUSDT_30M
from agents.run_folder import RunFolder
from rl_trader.backtest import backtest_policy
from rl_trader.config import EMBEDDED_ENV, EnvConfig, Slippage, TradingConfig
from rl_trader.errors import ConfigError
from rl_trader.klines import parse_date
from rl_trader.local_exchange.assembly import Assembly, Setup, assemble_lock_step
from rl_trader.local_exchange.protocol.limits import UNLIMITED
from rl_trader.market import Period
from rl_trader.observation import ACCOUNT_FEATURES
from rl_trader.observed_market import ObservedMarket
from rl_trader.parity.bars import ParityError
from rl_trader.parity.run import check_run, first_open_ms
from rl_trader.remembering import decide_in_turn
from scripts import parity
from tests.called_scripts import Answer, script_caller
from tests.random_runs import random_run
from tests.small_runs import MARKET, small_config, train

Call = Callable[..., Answer]
TRADING = TradingConfig(
    leverage=10,
    max_exposure=8.0,
    stop_loss=0.02,
    take_profit=0.03,
    slippage=Slippage(half_spread=0.0002, sqrt_impact=0.001),
    levels=(),
    rebalance_band=0.05,
)
ENV = EnvConfig(
    features=("log_return_1", "log_return_12", "taker_imbalance_5", "mark_premium", "last_funding_rate", "hour_sin"),
    account_features=tuple(ACCOUNT_FEATURES),
    window=2,
    trading=TRADING,
)
RECORDED: MarketConfig = replace(
    BTCUSDT_30M.market,
    train=("2024-12-20", "2025-01-20"),
    validation=("2025-01-20", "2025-02-01"),
    test=("2025-02-01", "2025-03-01"),
)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    return script_caller(monkeypatch, capsys, tmp_path)


def embedded_config(runs: Path, env: EnvConfig = ENV) -> TrainConfig:
    return replace(small_config(runs, "embedded"), market=MARKET, env=env)


def with_other_series(run: RunFolder) -> Path:
    """Let a run say that it has seen what takers bought, which is not recorded."""
    checkpoint = run.checkpoint()
    (series,) = checkpoint.facts["series"].values()
    series["taker_buy_volume"] = True
    other = replace(checkpoint, facts={"timesteps": 1, "series": {checkpoint.symbols[0]: series}})
    run.save(other, 1, is_best=True)
    return run.path


def exchange_of(observed: ObservedMarket, since: str, trading: TradingConfig = TRADING, **changes: object) -> Assembly:
    """Return an exchange that plays the embedded market."""
    setup = Setup(
        symbols=("EMBEDDED",),
        since_ms=first_open_ms(observed, parse_date(since)),
        slippage=trading.slippage,
        balance=Decimal(10_000),
        limits=UNLIMITED,
    )
    return assemble_lock_step(replace(setup, **changes))  # type: ignore[arg-type]


# ---- Equal


def test_a_trained_run_is_deployed_as_it_was_evaluated(call: Call, tmp_path: Path) -> None:
    run = train(small_config(tmp_path, "trained"))
    answer = call(parity, run.path, "--bars", 150)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("trained: 150 bars and ")
    assert "    150 observations equal in every byte\n" in answer.out
    answer = call(parity, run.path, "--bars", 100, "--checkpoint", "last", "--json")
    found = json.loads(answer.out)["trained"]
    assert (found["bars"], found["observations"]) == (100, 100)
    assert sum(found["targets"].values()) == 100
    assert found["bookings"]["COMMISSION"] >= 1


@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
def test_stops_and_rebalancing_do_what_they_do_in_the_back_test(margin_mode: str, tmp_path: Path) -> None:
    trading = replace(TRADING, margin_mode=margin_mode, fees_in_bnb=margin_mode == "cross")  # type: ignore[arg-type]
    run = random_run(embedded_config(tmp_path, replace(ENV, trading=trading)))
    report = run_parity(run.path).check(350)
    assert report.bars == report.observations == 350
    assert report.orders > 200
    assert set(report.targets) == {"long", "short"}
    assert report.bookings["FUNDING_FEE"] > 5
    assert report.events["stop-loss triggered"] + report.events["take-profit triggered"] > 5


def test_where_an_account_ends_a_new_one_goes_on(tmp_path: Path) -> None:
    bare = replace(TRADING, stop_loss=None, take_profit=None, initial_balance=5_000.0)
    trading = replace(bare, leverage=20, max_exposure=19.0, reserve=0.0)
    run = random_run(embedded_config(tmp_path, replace(ENV, trading=trading)))
    report = run_parity(run.path).check(200)
    assert report.bars == 200
    assert report.events["position liquidated"] > 0


def test_recorded_bars_are_observed_alike(recorded_data: Path, tmp_path: Path) -> None:
    levels = replace(BTCUSDT_30M.env.trading, levels=(-1.0, 0.0, 1.0))
    env = replace(BTCUSDT_30M.env, trading=levels)
    config = replace(BTCUSDT_30M, market=RECORDED, env=env, data=recorded_data, runs=tmp_path, name="recorded")
    run = random_run(config)
    assert run.checkpoint().facts["series"] == {"BTCUSDT": {"mark_price": ["1h", "8h"], "taker_buy_volume": False}}
    report = run_parity(run.path, since="2025-01-28T03:00Z").check(300)
    assert report.bars == 300
    assert report.bookings["FUNDING_FEE"] > 2
    assert report.orders > 30


def test_a_run_with_limit_orders_rests_them_as_its_back_test_does(recorded_data: Path, tmp_path: Path) -> None:
    trading = replace(TRADING, limit_distance=0.001, stop_loss=0.1, take_profit=None)
    features = tuple(name for name in ENV.features if "taker" not in name)
    env = replace(ENV, trading=trading, features=features)
    config = replace(BTCUSDT_30M, market=RECORDED, env=env, data=recorded_data, runs=tmp_path, name="resting")
    report = run_parity(random_run(config).path, since="2025-01-28T03:00Z").check(300)
    assert report.bars == report.observations == 300
    assert report.orders > 200
    assert report.events["filled"] > 50
    assert report.orders - report.bookings["COMMISSION"] > 20  # were not reached
    assert report.raced == 0


def test_the_exchange_is_left_with_the_equity_of_the_back_test_itself(tmp_path: Path) -> None:
    run = random_run(embedded_config(tmp_path))
    compared = run_parity(run.path, since="2020-02-02")
    deployment, observed = compared.deployment, compared.observed
    assembly = exchange_of(observed, "2020-02-02")
    report = check_run(assembly, deployment, observed, 120)
    assert report.near_halves == 0
    period = Period(parse_date("2020-02-02"), parse_date("2020-02-02") + 120 * deployment.interval_ms)
    (result,) = backtest_policy("run", deployment.checkpoint.policy, observed, deployment.trading, period)
    trader = assembly.venue.trader("main")
    quotes = assembly.venue.exchange.quotes["EMBEDDED"]
    position = trader.position("EMBEDDED")
    equity = trader.books.wallet_balance + position.unrealized_pnl(quotes.mark)
    assert float(equity) == pytest.approx(float(result.margin_balance[-1]), abs=1e-7)
    assert report.orders > 60
    kinds = np.where(result.targets > 0.0, "long", np.where(result.targets < 0.0, "short", "flat"))
    assert dict(report.targets) == {str(name): int((kinds == name).sum()) for name in np.unique(kinds)}


def test_the_comparison_ends_with_the_runs_test_period(tmp_path: Path, recorded_data: Path) -> None:
    market = replace(RECORDED, test=("2025-02-01", "2025-02-02"))
    config = replace(BTCUSDT_30M, market=market, data=recorded_data, runs=tmp_path, name="short")
    report = run_parity(random_run(config).path, since="2025-02-01T12:00Z").check(1_000)
    assert report.bars == 24


# ---- Different


def test_what_the_run_was_not_shown_is_a_difference_and_exit_code_1(call: Call, tmp_path: Path) -> None:
    path = with_other_series(random_run(embedded_config(tmp_path)))
    answer = call(parity, path, "--bars", 5)
    assert answer.code == 1
    assert answer.out == ""
    (sentence,) = answer.err.splitlines()
    assert sentence.startswith("observation at the close of the bar of 2020-01-31T23:30Z must be equal, the replay has")
    assert "taker_imbalance_5[-1] 0.0 and the exchange" in sentence


def test_another_spread_is_a_difference_of_the_first_fill(tmp_path: Path) -> None:
    compared = run_parity(random_run(embedded_config(tmp_path)).path)
    assembly = exchange_of(compared.observed, "2020-02-01", slippage=Slippage(half_spread=0.001))
    with pytest.raises(ParityError, match=r"COMMISSION in bar .* must be equal, the replay has .* and the exchange"):
        check_run(assembly, compared.deployment, compared.observed, 50)


def test_another_policy_is_a_difference_of_the_actions(tmp_path: Path) -> None:
    config = embedded_config(tmp_path)
    compared = run_parity(random_run(config).path)
    other = random_run(replace(config, name="other"), seed=7).checkpoint().policy

    class Turning:
        """Decides as the run does, and in the client's place as another."""

        def __init__(self) -> None:
            self.num_calls = 0

        def targets(self, observations: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> object:
            """Decide."""
            self.num_calls += 1
            chosen = other if self.num_calls % 2 else compared.deployment.checkpoint.policy
            return decide_in_turn(chosen, observations)

    checkpoint = replace(compared.deployment.checkpoint, policy=Turning())  # type: ignore[arg-type]
    deployment = replace(compared.deployment, checkpoint=checkpoint)
    with pytest.raises(ParityError, match="action at the close of the bar of 2020-01-31T23:30Z must be equal"):
        check_run(exchange_of(compared.observed, "2020-02-01"), deployment, compared.observed, 50)


# ---- Refused


def test_runs_that_cannot_be_compared_are_refused_with_a_sentence(call: Call, tmp_path: Path) -> None:
    compared = run_parity(random_run(embedded_config(tmp_path)).path)
    terms = replace(compared.deployment.terms, taker_fee=0.001)
    with pytest.raises(ConfigError, match="must have the terms of EMBEDDED that the run was trained with"):
        check_run(
            exchange_of(compared.observed, "2020-02-01"),
            replace(compared.deployment, terms=terms),
            compared.observed,
            5,
        )
    assert call(parity, tmp_path / "nowhere").code == 2
    assert call(parity, "--bars", 0).code == 2


def test_a_time_without_the_runs_mark_price_is_refused(recorded_data: Path, tmp_path: Path) -> None:
    market = replace(
        RECORDED,
        train=("2023-10-01", "2023-11-01"),
        validation=("2023-11-01", "2023-11-10"),
        test=("2023-11-10", "2024-03-01"),
    )
    config = replace(BTCUSDT_30M, market=market, env=EMBEDDED_ENV, data=recorded_data, runs=tmp_path, name="early")
    run = random_run(config)
    with pytest.raises(ConfigError, match=r"candles of 1h must be recorded from .* name a later day by --since"):
        run_parity(run.path)
    assert run_parity(run.path, since="2024-02-01").check(10).bars == 10
