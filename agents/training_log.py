"""What a training writes for TensorBoard: how the accounts fare while it explores, and every evaluation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger, configure

from agents.config import TrainConfig
from agents.run_folder import RunFolder
from rl_trader.backtest import BacktestResult
from rl_trader.market import Period
from rl_trader.metrics import Metrics
from rl_trader.observed_market import ObservedMarket


class TrainingLog:
    """The TensorBoard events of a run."""

    def __init__(self, folder: RunFolder, config: TrainConfig, observed: ObservedMarket, validation: Period) -> None:
        self.logger: Logger = configure(str(folder.path), ["tensorboard"])

    def note_step(self, outcomes: NDArray[np.void]) -> None:
        """Note what a step did in every account (num_envs,) of ``OUTCOME_DTYPE``."""

    def write_rollout(self, step: int) -> None:
        """Write the means of the steps noted since the last call."""

    def write_evaluation(self, step: int, results: list[BacktestResult], metrics: Metrics) -> None:
        """Write an evaluation on the validation period."""

    def close(self) -> None:
        """Write what is pending."""
        self.logger.close()
