"""Steps per second of the environments, and the account that every line is measured with.

The account is the default configuration: 24 market features and the account part, isolated margin, brackets, filters,
fees, slippage, funding, and the protective stop on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import gymnasium
import numpy as np

from agents.benchmark.effort import Effort
from agents.benchmark.market import SYMBOL, synthetic_tables
from agents.benchmark.measure import Contest, Run, rate
from envs import ENV_ID
from envs.vector_env import TradingVectorEnv
from rl_trader.config import EnvConfig
from rl_trader.contract import ContractTerms, load_terms
from rl_trader.market import build_market
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.serialise import to_json

INTERVAL: Final = "30m"
CART_POLE: Final = "CartPole-v1"
NUM_DRAWS: Final = 64  # vectors of actions that are drawn beforehand and used in turn
NUM_SINGLE_DRAWS: Final = 4_096


def account_config(window: int = 1) -> EnvConfig:
    """Return the configuration that is measured: the default, which a run on real data has, too."""
    return replace(EnvConfig(), window=window)


@lru_cache(maxsize=2)
def bench_market(num_bars: int, window: int = 1) -> ObservedMarket:
    """Return the synthetic market with the features of ``account_config``."""
    market = build_market([synthetic_tables(num_bars, INTERVAL, INTERVAL)], INTERVAL)
    return observe_market(market, account_config(window).schema)


def config_hash(config: EnvConfig, terms: Sequence[ContractTerms]) -> str:
    """Return the SHA-256 of an environment's configuration and of the contract terms it trades under."""
    data = {"env": to_json(config), "terms": [symbol.to_json() for symbol in terms]}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def vector_env(
    effort: Effort, num_envs: int, *, window: int = 1, num_threads: int = 1, copy: bool = False
) -> TradingVectorEnv:
    """Return a vector environment on the synthetic market, reset."""
    market = bench_market(effort.num_bars, window)
    env = TradingVectorEnv(num_envs, market, account_config(window), num_threads=num_threads, copy=copy)
    env.reset(seed=0)
    return env


def account_hash(window: int = 1) -> str:
    """Return the hash of the configuration that ``vector_env`` has."""
    return config_hash(account_config(window), [load_terms(SYMBOL, None)])


def steps(effort: Effort, num_envs: int, *, window: int = 1, num_threads: int = 1) -> Run:
    """Return steps of a vector environment with random actions."""
    env = vector_env(effort, num_envs, window=window, num_threads=num_threads)
    return rate(stepper(env), num_envs, effort.seconds)


def single_steps(effort: Effort) -> Run:
    """Return steps of one account through ``gymnasium.make`` with random actions."""
    env = gymnasium.make(ENV_ID, market=bench_market(effort.num_bars), config=account_config())
    return rate(_single_stepper(env), NUM_SINGLE_DRAWS, effort.seconds)


@contextmanager
def against_cart_pole(effort: Effort, num_envs: int, num_threads: int = 1) -> Iterator[Contest]:
    """Vector environment beside Gymnasium's cart-pole, a vector environment in NumPy."""
    peer = gymnasium.make_vec(CART_POLE, num_envs=num_envs, vectorization_mode="vector_entry_point")
    peer.reset(seed=0)
    yield Contest(
        subject=steps(effort, num_envs, num_threads=num_threads),
        reference=rate(stepper(peer), num_envs, effort.seconds),
        reference_name="gymnasium's NumPy CartPole-v1, as many accounts",
        config=account_hash(),
    )
    peer.close()


@contextmanager
def against_copy(effort: Effort, num_envs: int, window: int, copy: bool = False) -> Iterator[Contest]:
    """Vector environment on one thread, with ``copy`` or without, beside copying its observations and nothing else."""
    env = vector_env(effort, num_envs, window=window, copy=copy)
    source, target = (env.core.simulator.new_observations().array for _ in range(2))
    yield Contest(
        subject=rate(stepper(env), num_envs, effort.seconds),
        reference=rate(lambda: np.copyto(target, source), num_envs, effort.seconds),
        reference_name="copying the observations alone",
        config=account_hash(window),
    )


@contextmanager
def two_threads(effort: Effort, num_envs: int) -> Iterator[Contest]:
    """Vector environment on two threads beside itself on one."""
    yield Contest(
        subject=steps(effort, num_envs, num_threads=2),
        reference=steps(effort, num_envs),
        reference_name="the same on one thread",
        config=account_hash(),
    )


@contextmanager
def single_env(effort: Effort) -> Iterator[Contest]:
    """One account through ``gymnasium.make`` beside Gymnasium's cart-pole."""
    peer = gymnasium.make(CART_POLE)
    yield Contest(
        subject=single_steps(effort),
        reference=rate(_single_stepper(peer), NUM_SINGLE_DRAWS, effort.seconds),
        reference_name="gymnasium's CartPole-v1",
        config=account_hash(),
    )
    peer.close()


def stepper(env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> Callable[[], None]:
    """Return a step with actions that were drawn beforehand."""
    space = env.single_action_space
    assert isinstance(space, gymnasium.spaces.Discrete)
    draws = np.random.default_rng(0).integers(0, space.n, (NUM_DRAWS, env.num_envs))
    turn = 0

    def step() -> None:
        nonlocal turn
        turn = (turn + 1) % NUM_DRAWS
        env.step(draws[turn])

    return step


def _single_stepper(env: gymnasium.Env[Any, Any]) -> Callable[[], None]:
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    draws = np.random.default_rng(0).integers(0, env.action_space.n, NUM_SINGLE_DRAWS).tolist()
    env.reset(seed=0)

    def play() -> None:
        for action in draws:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return play
