"""What a known-answer training is like with one setting changed, as an ablation takes them away one at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from agents.config import PPOConfig, TrainConfig
from rl_trader.errors import ConfigError

Variant = Callable[[TrainConfig], TrainConfig]

CHOSEN: Final = "chosen"
"""The settings as they are."""


def _with_ppo(**changes: Any) -> Variant:  # noqa: ANN401 - values of fields of PPOConfig
    def vary(config: TrainConfig) -> TrainConfig:
        return replace(config, ppo=replace(config.ppo, **changes))

    return vary


def _raw_reward(config: TrainConfig) -> TrainConfig:
    return replace(config, env=replace(config.env, reward_scale=1.0))


def _flat_start(config: TrainConfig) -> TrainConfig:
    episode = replace(config.env.episode, random_position=False)
    return replace(config, env=replace(config.env, episode=episode))


def _long_episodes(config: TrainConfig) -> TrainConfig:
    return replace(config, env=replace(config.env, episode=replace(config.env.episode, episode_bars=512)))


def _no_mirror(config: TrainConfig) -> TrainConfig:
    return replace(config, market=replace(config.market, mirror=False))


def _noisy(config: TrainConfig) -> TrainConfig:
    return replace(config, market=replace(config.market, denoise_rewards=False))


def _unscaled(config: TrainConfig) -> TrainConfig:
    return replace(config, market=replace(config.market, scale_features=False))


def _few_accounts(config: TrainConfig) -> TrainConfig:
    return replace(config, ppo=replace(config.ppo, num_envs=config.ppo.num_envs // 8))


def _preset(config: TrainConfig) -> TrainConfig:
    ppo = replace(PPOConfig(), total_timesteps=config.ppo.total_timesteps, net_arch=config.ppo.net_arch)
    return _no_mirror(_noisy(_long_episodes(replace(config, ppo=ppo))))


VARIANTS: Final[dict[str, Variant]] = {
    CHOSEN: lambda config: config,
    "untaught": _with_ppo(hold_probability=0.0),
    "flat-start": _flat_start,
    "long-episodes": _long_episodes,
    "noisy": _noisy,
    "lambda-0.5": _with_ppo(gae_lambda=0.5),
    "gamma-0.9": _with_ppo(gamma=0.9),
    "gamma-0.98": _with_ppo(gamma=0.98),
    "no-entropy": _with_ppo(ent_coef=0.0),
    "tanh": _with_ppo(activation="tanh"),
    "few-accounts": _few_accounts,
    "unscaled": _unscaled,
    "raw-reward": _raw_reward,
    "no-mirror": _no_mirror,
    "preset": _preset,
}
"""By name, of PPO with discrete actions."""

SAYS: Final[dict[str, str]] = {
    CHOSEN: "as chosen",
    "untaught": "the untrained policy is not taught to hold",
    "flat-start": "episodes begin flat, not with a random position",
    "long-episodes": "episodes of 512 bars, not 32",
    "noisy": "rewards with the market's noise",
    "lambda-0.5": "gae_lambda 0.5, not 0.95",
    "gamma-0.9": "gamma 0.9, not 0.995",
    "gamma-0.98": "gamma 0.98",
    "no-entropy": "no entropy bonus",
    "tanh": "networks of tanh, not ReLU",
    "few-accounts": "64 accounts, not 512: eight times as many rollouts, each of one batch",
    "unscaled": "signals as they are, not in units of their deviation",
    "raw-reward": "rewards as they are, not in units of a bar's volatility",
    "no-mirror": "without the mirror image of the bars",
    "preset": "all as in the presets of recorded markets: noise, no mirror image, 512 bars an episode, PPO's defaults",
}
"""What changes, in words."""


def find_variant(name: str) -> Variant:
    """Return what changes a configuration.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in VARIANTS:
        raise ConfigError(f"unknown variant {name!r}; choose from {', '.join(VARIANTS)}")
    return VARIANTS[name]
