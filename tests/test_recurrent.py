"""Recurrent policies: torch and NumPy decide alike, memory begins where episodes do, and nothing damaged is loaded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from agents.config import TrainConfig
from agents.known.cells import Cell, cell_config
from agents.known.rollouts import best_decisions, policy_decisions, roll_out
from agents.markets import known_market
from agents.training.export import export_policy
from agents.training.learners import make_model
from agents.training.run import new_run
from agents.training.sb3_env import TradingVecEnv
from envs.embedded import embedded_market_data
from envs.vector_env import TradingVectorEnv
from rl_trader.backtest import backtest_policy
from rl_trader.checkpoint import _sha256, load_checkpoint, save_checkpoint
from rl_trader.config import EMBEDDED_ENV, Assumptions, EnvConfig
from rl_trader.decision import ActionMap
from rl_trader.embedded import embedded_terms
from rl_trader.errors import CheckpointError
from rl_trader.known_answers.markets import HiddenTelegraph
from rl_trader.market import MarketData, Period, SymbolTables, build_market
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.observed_market import observe_market
from rl_trader.policies import policy_arrays
from rl_trader.recurrent import LstmLayer, RecurrentNetworkPolicy
from rl_trader.remembering import Remembering, decide_in_turn
from tests.checkpoint_edits import edit_sealed
from tests.random_runs import random_checkpoint, random_recurrent
from tests.small_runs import small_config

ENV = replace(EMBEDDED_ENV, features=("log_return_1", "hour_sin"), account_features=("exposure",), window=2)
CONTINUOUS = replace(ENV, trading=replace(ENV.trading, levels=()))
ACTIONS = ActionMap(levels=ENV.trading.levels)


def market() -> MarketData:
    return embedded_market_data(600, 3)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the folder of a checkpoint."""
    checkpoint = random_checkpoint(ENV, observe_market(market(), ENV.schema), {}, make=random_recurrent)
    save_checkpoint(tmp_path / "saved", checkpoint)
    return tmp_path / "saved"


# ---- The network


@pytest.mark.parametrize("env", [ENV, CONTINUOUS], ids=["discrete", "continuous"])
def test_numpy_decides_and_remembers_as_torch_does(env: EnvConfig, tmp_path: Path) -> None:
    config: TrainConfig = small_config(tmp_path, "x", "recurrent")
    config = replace(config, env=env, ppo=replace(config.ppo, n_lstm_layers=2, lstm_hidden_size=7))
    vec_env = TradingVecEnv(TradingVectorEnv(4, market(), env, copy=False))
    model: Any = make_model(config, vec_env)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    action_map = ActionMap(levels=env.trading.levels)
    accounts = Remembering(export_policy(model, action_map), 8)
    rng = np.random.default_rng(8)
    state, seen = None, []
    for _ in range(200):
        observations = rng.normal(0.0, 2.0, (8, env.schema.size)).astype(np.float32)
        begins = rng.random(8) < 0.05
        actions, state = model.predict(observations, state=state, episode_start=begins, deterministic=True)
        accounts.forget(begins)
        found, wanted = accounts.targets(observations), action_map.targets(actions)
        np.testing.assert_allclose(found, wanted, rtol=0.0, atol=1e-5)
        hidden = np.concatenate([np.concatenate([h, c], axis=1) for h, c in zip(*state, strict=True)], axis=1)
        np.testing.assert_allclose(accounts.memories, hidden, rtol=0.0, atol=1e-5)
        seen += found.tolist()
    assert len(set(seen)) > 1


def test_a_unit_worked_by_hand() -> None:
    # Gates of one unit: input 0, forget 0, so that half is kept and half let in; candidate x; output open.
    layer = LstmLayer(
        np.array([[0], [0], [1], [0]], np.float32),
        np.zeros((4, 1), np.float32),
        np.array([0, 0, 0, 40], np.float32),
    )
    network = NetworkPolicy(
        (Layer(np.ones((1, 1), np.float32), np.zeros(1, np.float32)),), "tanh", "mean", ActionMap(levels=())
    )
    account = Remembering(RecurrentNetworkPolicy((layer,), network), 1)
    first = 0.5 * np.tanh(1.0)
    second = 0.5 * first + 0.5 * np.tanh(-2.0)
    assert account.targets(np.array([[1.0]], np.float32))[0] == pytest.approx(np.tanh(first), rel=1e-6)
    assert account.targets(np.array([[-2.0]], np.float32))[0] == pytest.approx(np.tanh(second), rel=1e-6)
    account.forget()
    assert account.targets(np.array([[1.0]], np.float32))[0] == pytest.approx(np.tanh(first), rel=1e-6)


def test_an_account_has_the_same_bits_beside_others_as_alone() -> None:
    policy = random_recurrent(3, ActionMap(levels=()))
    observations = np.random.default_rng(2).normal(size=(40, 9, 3)).astype(np.float32)
    together = Remembering(policy, 9)
    targets = np.array([together.targets(row) for row in observations])
    for i in range(9):
        assert decide_in_turn(policy, observations[:, i]).tobytes() == targets[:, i].tobytes()
    assert len(np.unique(targets)) > 100


# ---- Where memory begins


class Counting:
    """Is long on every third bar that it has seen."""

    memory_size = 1

    def advance(
        self, observations: NDArray[np.float32], memories: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Count on."""
        counted = memories + 1
        return (counted[:, 0] % 3 == 0).astype(np.float64), counted


def test_a_back_test_remembers_to_the_next_hole_and_not_to_the_next_symbol() -> None:
    bars = market().bars
    names = ("open_time", "open", "high", "low", "close", "volume")
    klines = pd.DataFrame({name: bars[name] for name in names})
    klines = klines.astype({"volume": np.float64}).drop(index=[200]).reset_index(drop=True)
    terms = embedded_terms()
    tables = [
        SymbolTables(terms=replace(terms, symbol=symbol), klines=klines, mark_prices={}, funding=None)
        for symbol in (terms.symbol, "OTHER")
    ]
    whole = build_market(tables, "30m", Assumptions(missing_funding="zero", missing_mark="last", holes="split"))
    observed = observe_market(whole, ENV.schema)
    for result in backtest_policy("counting", Counting(), observed, ENV.trading, Period()):
        begins = [0, *(np.flatnonzero(np.diff(result.close_time) != result.interval_ms) + 1).tolist()]
        assert len(begins) == 2
        stretches = np.split(result.targets, begins[1:])
        for targets in stretches:
            assert targets.tolist() == [float(n % 3 == 0) for n in range(1, len(targets) + 1)]


# ---- What is not a good checkpoint


def test_what_is_saved_is_loaded(saved: Path) -> None:
    loaded = load_checkpoint(saved).policy
    wanted = random_recurrent(ENV.schema.size, ACTIONS)
    assert isinstance(loaded, RecurrentNetworkPolicy)
    assert loaded.memory_size == 22
    for name, array in policy_arrays(wanted).items():
        assert policy_arrays(loaded)[name].tobytes() == array.tobytes()


Arrays = dict[str, NDArray[Any]]


def put(name: str, value: NDArray[Any]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: value})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda arrays: arrays.pop("lstm_0.hidden_weight"), "lstm_0 needs float32 weights"),
        (lambda arrays: arrays.pop("lstm_1.bias"), "layers must fit together, found 6 units before 5 inputs"),
        (put("lstm_0.bias", np.zeros(23, np.float32)), "lstm_0 needs float32 weights"),
        (put("lstm_0.bias", np.zeros(24)), "lstm_0 needs float32 weights"),
        (put("lstm_0.input_weight", np.zeros((24, 2), np.float32)), "takes 2 numbers and its manifest describes 5"),
        (put("lstm_1.input_weight", np.zeros((20, 5), np.float32)), "layers must fit together"),
        (put("lstm_1.bias", np.full(20, np.nan, np.float32)), "weights must be finite"),
        (put("lstm_1.bias", np.zeros(20, np.float32)), "does not decide as it did"),
        (put("lstm_7.bias", np.zeros(20, np.float32)), "has no lstm_7.bias"),
    ],
)
def test_damaged_arrays_are_refused(change: Callable[[Arrays], object], sentence: str, saved: Path) -> None:
    path = saved / "policy.safetensors"
    arrays: Arrays = dict(load_file(path))
    change(arrays)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    edit(saved, sha256=_sha256(path))
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"kind": "network"}, "has no lstm_0.bias"),
        ({"kind": "transformer"}, "must be one of network, forest, recurrent, ensemble, found 'transformer'"),
        ({"window": 3}, "has no window"),
    ],
)
def test_damaged_words_are_refused(words: dict[str, object], sentence: str, saved: Path) -> None:
    edit(saved, **words)
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(saved)


def edit(folder: Path, **words: object) -> None:
    """Change what the manifest says of the policy."""
    edit_sealed(folder, lambda manifest: manifest["policy"].update(words))


# ---- What a memory is for


class LastReturn(HiddenTelegraph):
    """K6, of which a policy is shown the return of the newest bar and nothing before."""

    features: ClassVar[tuple[str, ...]] = ("log_return_1",)


def test_a_memory_finds_the_sign_that_the_last_return_does_not_show(tmp_path: Path) -> None:
    cell = Cell(row="K6-2", algo="recurrent", seed=0, steps=100_000)
    market = LastReturn(mu=2e-3, flip=0.02, taker_fee=5e-4)
    run = new_run(replace(cell_config(cell, tmp_path), env=market.env_config()), cell.row)
    run.learn(lambda _done, _total: None)
    checkpoint = run.folder.checkpoint("last")
    series = known_market(cell.row, 8 * market.stretch_bars, 9)
    best = market.solve()
    own, other = (
        roll_out(decide, market, series, checkpoint.scaling, num_bars=40_000, seed=9)
        for decide in (policy_decisions(checkpoint.policy), best_decisions(best, series, 1.0))
    )
    shortfall, error = own.less(other)
    # PPO without a memory reaches about 80 % of the optimum here.
    assert shortfall + 3.0 * error > -0.1 * best.score.growth_per_bar
    assert error < 0.02 * best.score.growth_per_bar
