"""How long a policy takes from one observation to its target, as the live trader asks it, beside other ways to ask."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_hash, vector_env
from agents.benchmark.measure import Contest, Run
from agents.benchmark.measure import rate as calls_per_second
from agents.config import PPOConfig, TrainConfig
from agents.training.export import export_policy
from agents.training.learners import make_model
from agents.training.sb3_env import TradingVecEnv
from rl_trader.decision import ActionMap
from rl_trader.network import NetworkPolicy

HIDDEN: Final = (64, 64)
MS_PER_SECOND: Final = 1_000.0

Ask = Callable[[], object]


@contextmanager
def against(effort: Effort, way: str) -> Iterator[Contest]:
    """Time of a decision in ms, beside another way to ask the same network.

    Args:
        effort: Length of a run.
        way: ``predict``, ``torch`` or ``numpy``.
    """
    accounts = vector_env(effort, 2)
    config = TrainConfig(ppo=PPOConfig(num_envs=2, n_steps=8, batch_size=16, net_arch=HIDDEN), device="cpu")
    model = make_model(config, TradingVecEnv(accounts))
    assert isinstance(model, PPO)
    policy = export_policy(model, ActionMap(levels=accounts.config.trading.levels))
    assert isinstance(policy, NetworkPolicy)
    observation = np.random.default_rng(0).standard_normal(policy.observation_size, np.float32)
    names = {
        "predict": "model.predict of stable-baselines3",
        "torch": "the network in torch, without gradients",
        "numpy": "the network's three products in NumPy, and nothing else",
    }
    others = {
        "predict": lambda: model.predict(observation, deterministic=True),
        "torch": _torch_ask(model, observation),
        "numpy": _numpy_ask(model, observation),
    }
    yield Contest(
        subject=_milliseconds(lambda: policy.target(observation), effort.seconds),
        reference=_milliseconds(others[way], effort.seconds),
        reference_name=names[way],
        config=account_hash(),
    )


def _torch_ask(model: PPO, observation: NDArray[np.float32]) -> Ask:
    def ask() -> int:
        with torch.inference_mode():
            latent = model.policy.mlp_extractor.forward_actor(torch.from_numpy(observation))
            return int(model.policy.action_net(latent).argmax())

    return ask


def _numpy_ask(model: PPO, observation: NDArray[np.float32]) -> Ask:
    nets = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
    weights = [net.weight.detach().numpy() for net in nets if isinstance(net, torch.nn.Linear)]

    def ask() -> NDArray[np.float32]:
        values: NDArray[np.float32] = observation
        for weight in weights:
            values = weight @ values
        return values

    return ask


def _milliseconds(ask: Ask, seconds: float) -> Run:
    run = calls_per_second(ask, 1, seconds)
    return lambda: MS_PER_SECOND / run()
