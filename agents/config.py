"""What is trained, on what, and with which numbers; plain dataclasses without a heavy import.

Hyperparameters carry Stable-Baselines3's own names.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rl_trader.config import Assumptions, EnvConfig
from rl_trader.errors import ConfigError
from rl_trader.numeric import is_number
from rl_trader.serialise import SILENT, YOUNGER

EMBEDDED = "EMBEDDED"
DISCRETE = ("dqn", "qrdqn")  # algorithms that choose between levels
ALGORITHMS = ("ppo", "recurrent", *DISCRETE)
UNUSED = {
    "ppo": ("lstm_hidden_size", "n_lstm_layers"),
    "recurrent": ("hold_probability",),
    "qrdqn": ("cut_returns",),
}  # fields of its section, by algorithm
SECTIONS = ("ppo", "dqn")  # of a configuration, with the numbers of the algorithms
KNOWN_ANSWER = re.compile(r"K[0-7]-[1-9]")  # symbols of rl_trader.known_answers.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketConfig:
    """Which bars the agent trains on, is validated on and is tested on."""

    symbols: tuple[str, ...] = ("BTCUSDT",)
    """Binance USD-M symbols; or EMBEDDED, or a known-answer market as K1-2, which need no data."""
    interval: str = "30m"
    """Length of a bar."""
    train: tuple[str, str] = ("2023-01-01", "2024-07-01")
    """First day of training and the day after the last, UTC."""
    validation: tuple[str, str] = ("2024-07-01", "2025-01-01")
    """Period on which the best checkpoint is chosen, UTC."""
    test: tuple[str, str] = ("2025-01-01", "2025-07-01")
    """Period that training never sees, UTC."""
    mirror: bool = False
    """Train on the mirror image of the bars too, in which what rose falls, funding and signals with it."""
    scale_features: bool = field(default=True, metadata=SILENT)
    """Show an agent every feature less its mean over its deviation in training, not as it is."""
    feature_noise: float = field(default=0.0, metadata=YOUNGER)
    """Deviation of the noise that training adds to what it is shown of the market, 1 being a scaled feature's own."""
    denoise_rewards: bool = field(default=False, metadata=YOUNGER)
    """Take off training's rewards what a linear forecast from the features did not foresee of a bar's return."""
    assumptions: Assumptions = field(default_factory=Assumptions)
    """What to do where a series is not recorded."""

    def __post_init__(self) -> None:
        if not self.symbols:
            raise ConfigError("a market needs at least one symbol; name one in market.symbols")
        if len(set(self.symbols)) != len(self.symbols):
            raise ConfigError(f"market.symbols must differ, were {', '.join(self.symbols)}; name each once")
        if not (is_number(self.feature_noise) and self.feature_noise >= 0.0):
            raise ConfigError(f"market.feature_noise must be a number from 0, was {self.feature_noise}; change it")

    @property
    def is_generated(self) -> bool:
        """Return whether the bars are generated."""
        symbol = self.symbols[0]
        return len(self.symbols) == 1 and (symbol == EMBEDDED or KNOWN_ANSWER.fullmatch(symbol) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """Proximal policy optimisation, of a network or of a recurrent one."""

    total_timesteps: int = 4_000_000
    """Bars played in training, over all accounts."""
    num_envs: int = 512
    """Accounts that are played side by side."""
    n_steps: int = 64
    """Bars of every account between two updates."""
    batch_size: int = 4_096
    """Samples of a gradient step."""
    n_epochs: int = 2
    """Passes over the samples of an update."""
    learning_rate: float = 1e-3
    """Step size of Adam at the start; it falls linearly to a tenth of it."""
    gamma: float | None = 0.995
    """Discount of a bar; none where horizon_bars is given."""
    horizon_bars: float | None = None
    """Bars that the agent looks ahead, in the place of gamma, which is 1 - 1 / horizon_bars then."""
    gae_lambda: float = 0.8
    """Weight of longer advantage estimates."""
    clip_range: float = 0.2
    """How far an update may move the probability of an action, as a ratio."""
    ent_coef: float = 0.01
    """Weight of the entropy bonus at the start; it falls to 0 over four fifths of the bars; constant in recurrent."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Limit of the gradient's norm."""
    log_std_init: float = -1.0
    """Logarithm of the spread of continuous actions at the start; the box is 2 wide."""
    net_arch: tuple[int, ...] = (64, 64)
    """Hidden layers of the policy and of the value network."""
    activation: Literal["tanh", "relu"] = "relu"
    """Between the layers. A network of tanh begins as an odd function, to which doing nothing when flat comes late."""
    hold_probability: float = field(default=0.96, metadata=YOUNGER)
    """With which the untrained policy keeps its position, 0 leaving it as it is drawn; of ppo alone."""
    lstm_hidden_size: int = field(default=64, metadata=YOUNGER)
    """Units of a recurrent layer; of recurrent alone."""
    n_lstm_layers: int = field(default=1, metadata=YOUNGER)
    """Recurrent layers below the hidden ones; of recurrent alone."""

    def __post_init__(self) -> None:
        _check_positive(self, "ppo", ("total_timesteps", "num_envs", "n_steps", "n_epochs", "learning_rate"))
        _check_positive(self, "ppo", ("lstm_hidden_size", "n_lstm_layers"))
        _check_discount(self.gamma, self.horizon_bars, "ppo")
        _check_fraction(self, "ppo", ("gae_lambda", "hold_probability"))
        _check_layers(self.net_arch, "ppo")
        if self.activation not in ("tanh", "relu"):
            raise ConfigError(f"unknown ppo.activation {self.activation!r}; choose tanh or relu")
        rollout = self.num_envs * self.n_steps
        if not 1 < self.batch_size <= rollout or rollout % self.batch_size:
            raise ConfigError(
                f"ppo.batch_size must divide num_envs * n_steps = {rollout} into equal batches, was {self.batch_size};"
                " change one of the three"
            )

    @property
    def discount(self) -> float:
        """Return the discount of a bar, however it is given."""
        return _discount(self.gamma, self.horizon_bars)


@dataclass(frozen=True, slots=True, kw_only=True)
class DQNConfig:
    """Deep Q-learning."""

    total_timesteps: int = 1_000_000
    """Bars played in training, over all accounts."""
    num_envs: int = 16
    """Accounts that are played side by side."""
    learning_rate: float = 3e-4
    """Step size of Adam at the start; it falls linearly to a tenth of it."""
    buffer_size: int = 200_000
    """Transitions that are kept."""
    learning_starts: int = 10_000
    """Bars played before the first update."""
    batch_size: int = 512
    """Transitions of a gradient step."""
    gamma: float | None = 0.99
    """Discount of a bar; none where horizon_bars is given."""
    horizon_bars: float | None = None
    """Bars that the agent looks ahead, in the place of gamma, which is 1 - 1 / horizon_bars then."""
    n_steps: int = 5
    """Bars of the return before the bootstrap."""
    cut_returns: bool = field(default=False, metadata=SILENT)
    """Let such a return end before a random action; of dqn alone."""
    train_freq: int = 4
    """Bars of every account between two updates."""
    gradient_steps: int = 4
    """Gradient steps of an update."""
    target_update_interval: int = 2_000
    """Bars of every account between two copies to the target network."""
    exploration_fraction: float = 0.3
    """Part of training over which random actions become rare."""
    exploration_final_eps: float = 0.02
    """Share of random actions at the end of it."""
    max_grad_norm: float = 10.0
    """Limit of the gradient's norm."""
    n_quantiles: int = 25
    """Quantiles of the return; of qrdqn alone."""
    net_arch: tuple[int, ...] = (64, 64)
    """Hidden layers of the network."""

    def __post_init__(self) -> None:
        _check_positive(self, "dqn", ("total_timesteps", "num_envs", "learning_rate", "buffer_size", "batch_size"))
        _check_positive(
            self, "dqn", ("n_steps", "train_freq", "gradient_steps", "target_update_interval", "n_quantiles")
        )
        _check_discount(self.gamma, self.horizon_bars, "dqn")
        _check_fraction(self, "dqn", ("exploration_fraction", "exploration_final_eps"))
        _check_layers(self.net_arch, "dqn")

    @property
    def discount(self) -> float:
        """Return the discount of a bar, however it is given."""
        return _discount(self.gamma, self.horizon_bars)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A training run."""

    algo: Literal["ppo", "dqn", "qrdqn", "recurrent"] = "ppo"
    """Learning algorithm; qrdqn and recurrent (PPO with an LSTM) need the extra `contrib`."""
    seed: int = 0
    """Of everything that is random."""
    device: str = "auto"
    """cpu, cuda, or auto for cuda where it answers."""
    data: Path | None = None
    """Folder of market data; none is $RL_TRADER_DATA, or ./data."""
    runs: Path = Path("runs")
    """Folder that the run's folder is made in."""
    name: str | None = None
    """Of the run's folder; none is made of preset, algorithm, seed and time."""
    evaluations: int = 10
    """Evaluations on the validation period; the best checkpoint is chosen by them."""
    callbacks: tuple[str, ...] = ()
    """Callback classes of Stable-Baselines3, by import path `package.module:class`; their state is not resumed."""
    market: MarketConfig = field(default_factory=MarketConfig)
    """Bars and periods."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Observation, reward and account."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Used with --algo ppo and --algo recurrent."""
    dqn: DQNConfig = field(default_factory=DQNConfig)
    """Used with --algo dqn and --algo qrdqn."""

    def __post_init__(self) -> None:
        if self.algo not in ALGORITHMS:
            raise ConfigError(f"unknown algorithm {self.algo!r}; choose from {', '.join(ALGORITHMS)}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, was {self.seed}; give 0 or more")
        if self.evaluations < 1:
            raise ConfigError(f"evaluations must be at least 1, was {self.evaluations}; give a whole number from 1")
        if self.algo in DISCRETE and not self.env.trading.levels:
            raise ConfigError(f"{self.algo} needs discrete actions; give env.trading.levels, or choose ppo")

    @property
    def section(self) -> str:
        """Return the name of the section with the numbers of the chosen algorithm."""
        return "dqn" if self.algo in DISCRETE else "ppo"

    @property
    def learner(self) -> PPOConfig | DQNConfig:
        """Return the configuration of the chosen algorithm."""
        return self.dqn if self.algo in DISCRETE else self.ppo


def without_other_learners(config: TrainConfig, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a configuration without what the chosen algorithm does not use."""
    kept = {name: value for name, value in data.items() if name not in SECTIONS or name == config.section}
    if config.algo in UNUSED:
        unused = UNUSED[config.algo]
        own = kept[config.section]
        kept[config.section] = {name: value for name, value in own.items() if name not in unused}
    return kept


def without_other_discount(config: TrainConfig, given: Collection[str]) -> TrainConfig:
    """Return a preset without its discount where a command line gives one, which may be of the other form.

    Args:
        config: The preset.
        given: Fields that the command line names, as ``ppo.horizon_bars``.

    Raises:
        ConfigError: If it names both forms.
    """
    for section in SECTIONS:
        gamma, horizon = f"{section}.gamma" in given, f"{section}.horizon_bars" in given
        if gamma and horizon:
            raise ConfigError(f"{section}.gamma and {section}.horizon_bars say the same in two ways; give one of them")
        if horizon:
            learner = replace(getattr(config, section), gamma=None, horizon_bars=1.0)
            config = replace(config, **{section: learner})
    return config


def _discount(gamma: float | None, horizon_bars: float | None) -> float:
    if horizon_bars is not None:
        return 1.0 - 1.0 / horizon_bars
    assert gamma is not None  # as was checked
    return gamma


def _check_discount(gamma: float | None, horizon_bars: float | None, section: str) -> None:
    if (gamma is None) == (horizon_bars is None):
        raise ConfigError(
            f"{section} needs one of gamma and horizon_bars, found {gamma} and {horizon_bars}; set the other to none"
        )
    if gamma is not None and not 0.0 <= gamma <= 1.0:
        raise ConfigError(f"{section}.gamma must be a fraction from 0 to 1, was {gamma}")
    if horizon_bars is not None and not horizon_bars >= 1.0:
        raise ConfigError(f"{section}.horizon_bars must be at least 1, was {horizon_bars}; change it")


def _check_positive(config: object, section: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{section}.{name} must be positive, was {getattr(config, name)}; change it")


def _check_layers(net_arch: tuple[int, ...], section: str) -> None:
    if any(units < 1 for units in net_arch):
        raise ConfigError(f"{section}.net_arch must be numbers of units from 1 on, was {net_arch}; change or drop one")


def _check_fraction(config: object, section: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise ConfigError(f"{section}.{name} must be a fraction from 0 to 1, was {getattr(config, name)}")
