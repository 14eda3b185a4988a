"""Run folders with a random network instead of a trained one.

It moves every few bars, which few bars of training do not teach.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.markets import load_market, parse_period, recorded_series
from agents.run_folder import RunFolder
from rl_trader.checkpoint import Checkpoint
from rl_trader.config import EnvConfig
from rl_trader.decision import ActionMap
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.policies import DeployablePolicy
from rl_trader.recurrent import LstmLayer, RecurrentNetworkPolicy
from rl_trader.remembering import decide_in_turn

Make = Callable[[int, ActionMap, int], DeployablePolicy]
NUM_HIDDEN = 16
NUM_GOLDEN = 4


def random_policy(size: int, action_map: ActionMap, seed: int = 0) -> NetworkPolicy:
    """Return a network of an observation's size that decides on almost every entry of it."""
    rng = np.random.default_rng(seed)
    num_outputs = len(action_map.levels) or 1
    shapes = ((NUM_HIDDEN, size), (num_outputs, NUM_HIDDEN))
    layers = tuple(
        Layer(rng.normal(0.0, 1.0, shape).astype(np.float32), rng.normal(0.0, 0.3, shape[0]).astype(np.float32))
        for shape in shapes
    )
    return NetworkPolicy(layers, "tanh", "argmax" if action_map.is_discrete else "mean", action_map)


def random_recurrent(size: int, action_map: ActionMap, seed: int = 0) -> RecurrentNetworkPolicy:
    """Return two recurrent layers below a random network, whose decisions hang on what was observed before."""
    rng = np.random.default_rng(seed)
    layers = []
    for num_inputs, num_units in ((size, 6), (6, 5)):
        shapes = ((4 * num_units, num_inputs), (4 * num_units, num_units), (4 * num_units,))
        layers.append(LstmLayer(*(rng.normal(0.0, 1.0, shape).astype(np.float32) for shape in shapes)))
    return RecurrentNetworkPolicy(tuple(layers), random_policy(5, action_map, seed))


def random_checkpoint(
    env: EnvConfig, observed: ObservedMarket, series: Mapping[str, object], seed: int = 0, make: Make = random_policy
) -> Checkpoint:
    """Return a checkpoint of a random policy for a market.

    Args:
        env: Of the run.
        observed: Market of its training.
        series: Of the manifest, by symbol.
        seed: Of the policy.
        make: Which kind of policy.
    """
    policy = make(env.schema.size, ActionMap(levels=env.trading.levels), seed)
    shape = (NUM_GOLDEN, env.schema.size)
    golden: NDArray[np.float32] = np.random.default_rng(seed + 1).normal(0.0, 1.0, shape).astype(np.float32)
    return Checkpoint(
        policy=policy,
        env=env,
        scaling=observed.scaling,
        interval=observed.market.interval,
        terms=observed.market.terms,
        golden_observations=golden,
        golden_targets=decide_in_turn(policy, golden),
        facts={"timesteps": 0, "series": dict(series)},
    )


def random_run(config: TrainConfig, seed: int = 0, make: Make = random_policy) -> RunFolder:
    """Write the folder of a run that was never trained."""
    assert config.name is not None
    market = load_market(config.market, config.env.schema, config.data)
    observed = observe_market(market, config.env.schema, fit_on=parse_period(config.market.train))
    run = RunFolder.create(Path(config.runs) / config.name, config, {})
    series = recorded_series(config.market, market, config.data)
    run.save(random_checkpoint(config.env, observed, series, seed, make), 0, is_best=True)
    return run
