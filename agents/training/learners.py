"""Stable-Baselines3 models from a run's configuration."""

import importlib
from collections.abc import Callable
from typing import Any, Final

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from agents.config import DQNConfig, PPOConfig, TrainConfig
from agents.fast_dqn.dqn import FastDQN
from agents.fast_ppo.loss import WORTH_A_SHARE
from agents.fast_ppo.ppo import FastPPO
from agents.training.holding import teach_holding
from agents.training.sb3_env import TradingVecEnv
from rl_trader.errors import ConfigError
from rl_trader.processors import own_processors, processors

ALGORITHMS: Final[dict[str, type[BaseAlgorithm]]] = {"ppo": FastPPO, "dqn": FastDQN}
ACTIVATIONS: Final[dict[str, type[nn.Module]]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
CONTRIBUTED: Final = {"qrdqn": "QRDQN", "recurrent": "RecurrentPPO"}  # classes of sb3-contrib, which is an extra
FINAL_LEARNING_RATE: Final = 0.1  # of the first
LAST_PART: Final = 0.2  # of a training, in which nothing is explored for its own sake
SMALL_LAYER: Final = 128  # units
ACCOUNTS_PER_THREAD: Final = 1_024  # fewer are not worth waking a thread
SMALL_BATCH: Final = 4_096  # samples


def falling(first: float) -> Callable[[float], float]:
    """Return a schedule that falls linearly from ``first`` to a tenth of it as the progress left goes from 1 to 0."""

    def at(progress_remaining: float) -> float:
        return first * (FINAL_LEARNING_RATE + (1.0 - FINAL_LEARNING_RATE) * progress_remaining)

    return at


def fading(first: float) -> Callable[[float], float]:
    """Return a schedule that falls linearly from ``first`` to 0, where it is for the last fifth."""

    def at(progress_remaining: float) -> float:
        return first * max(progress_remaining - LAST_PART, 0.0) / (1.0 - LAST_PART)

    return at


def find_device(name: str) -> str:
    """Return the torch device of a name.

    Raises:
        ConfigError: If it does not answer.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} does not answer: {reason}; choose cpu or auto") from error
    return name


def find_algorithm(name: str) -> type[BaseAlgorithm]:
    """Return the class of an algorithm.

    Raises:
        ConfigError: If it is one of sb3-contrib, and that is not installed.
    """
    if name not in CONTRIBUTED:
        return ALGORITHMS[name]
    try:
        contributed = importlib.import_module("sb3_contrib")
    except ImportError as error:
        raise ConfigError(
            f"{name} needs the package sb3-contrib, which is not installed; type"
            " `pip install -c constraints.txt -e '.[contrib]'`"
        ) from error
    found: type[BaseAlgorithm] = getattr(contributed, CONTRIBUTED[name])
    return found


def step_threads(num_envs: int) -> int:
    """Return how many threads step the accounts fastest: one for few accounts, else one a processor."""
    return min(own_processors(), num_envs // ACCOUNTS_PER_THREAD) or 1


def choose_threads(config: TrainConfig) -> int:
    """Return how many threads of torch train fastest: one for small networks and batches, else all.

    Below these sizes, handing work to a second thread costs more than it saves (measured on two cores). PPO has threads
    of its own.
    """
    learner = config.learner
    is_small = max(learner.net_arch, default=0) <= SMALL_LAYER and learner.batch_size <= SMALL_BATCH
    return 1 if is_small or config.algo == "ppo" else min(torch.get_num_threads(), own_processors())


def update_shares(batch_size: int, device: str) -> int:
    """Return into how many shares a minibatch of PPO is split: one for a small one, else one a processor."""
    return 1 if device != "cpu" else min(processors(), batch_size // WORTH_A_SHARE) or 1


def make_model(config: TrainConfig, env: TradingVecEnv) -> BaseAlgorithm:
    """Return the untrained model of a run."""
    device = find_device(config.device)
    if config.algo == "ppo":
        return _make_ppo(config.ppo, env, config.seed, device)
    if config.algo == "recurrent":
        return _make_recurrent(config.ppo, env, config.seed, device)
    return _make_dqn(config.algo, config.dqn, env, config.seed, device)


def _make_ppo(config: PPOConfig, env: TradingVecEnv, seed: int, device: str) -> FastPPO:
    model = FastPPO(
        "MlpPolicy",
        env,
        **_ppo_numbers(config),
        ent_coef=fading(config.ent_coef),
        policy_kwargs=_policy_kwargs(config.net_arch, ACTIVATIONS[config.activation])
        | {"log_std_init": config.log_std_init},
        num_shares=update_shares(config.batch_size, device),
        seed=seed,
        device=device,
    )
    if config.hold_probability:
        teach_holding(model.policy, env, config.hold_probability, seed)
    return model


def _make_recurrent(config: PPOConfig, env: TradingVecEnv, seed: int, device: str) -> BaseAlgorithm:
    algorithm: Any = find_algorithm("recurrent")
    kwargs = _policy_kwargs(config.net_arch, ACTIVATIONS[config.activation])
    for name in ("log_std_init", "lstm_hidden_size", "n_lstm_layers"):
        kwargs[name] = getattr(config, name)
    model: BaseAlgorithm = algorithm(
        "MlpLstmPolicy",
        env,
        **_ppo_numbers(config),
        ent_coef=config.ent_coef,  # a number: it knows no schedule of it
        policy_kwargs=kwargs,
        seed=seed,
        device=device,
    )
    return model


def _ppo_numbers(config: PPOConfig) -> dict[str, Any]:
    return {
        "learning_rate": falling(config.learning_rate),
        "n_steps": config.n_steps,
        "batch_size": config.batch_size,
        "n_epochs": config.n_epochs,
        "gamma": config.discount,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip_range,
        "vf_coef": config.vf_coef,
        "max_grad_norm": config.max_grad_norm,
    }


def _make_dqn(algo: str, config: DQNConfig, env: TradingVecEnv, seed: int, device: str) -> BaseAlgorithm:
    kwargs = _policy_kwargs(config.net_arch, nn.ReLU)
    own: dict[str, Any] = {"cut_returns": config.cut_returns}
    if algo == "qrdqn":
        own = {}
        kwargs["n_quantiles"] = config.n_quantiles
    algorithm: Any = find_algorithm(algo)
    model: BaseAlgorithm = algorithm(
        "MlpPolicy",
        env,
        learning_rate=falling(config.learning_rate),
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        gamma=config.discount,
        n_steps=config.n_steps,
        train_freq=config.train_freq,
        gradient_steps=config.gradient_steps,
        target_update_interval=config.target_update_interval * config.num_envs,
        exploration_fraction=config.exploration_fraction,
        exploration_final_eps=config.exploration_final_eps,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs=kwargs,
        seed=seed,
        device=device,
        **own,
    )
    return model


def _policy_kwargs(net_arch: tuple[int, ...], activation: type[nn.Module]) -> dict[str, Any]:
    return {"net_arch": list(net_arch), "activation_fn": activation}
