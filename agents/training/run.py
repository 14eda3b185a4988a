"""A training run from its configuration to its folder."""

import importlib.metadata
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from agents.config import TrainConfig
from agents.markets import Recording, data_files, load_recording, parse_period
from agents.run_folder import RunFolder, check_folder_name
from agents.training.denoising import RewardDenoiser, check_denoisable
from agents.training.export import export_policy
from agents.training.interruption import TrainingInterruptedError, interruptible
from agents.training.learners import choose_threads, find_algorithm, find_device, make_model, step_threads
from agents.training.noisy_env import NoisyVecEnv
from agents.training.resume import load_state, save_state
from agents.training.sb3_env import Correct, TradingVecEnv, as_they_are
from agents.training.training_log import TrainingLog
from envs.rewards import bar_volatility
from envs.vector_env import TradingVectorEnv
from rl_trader.backtest import backtest_policy
from rl_trader.checkpoint import Checkpoint
from rl_trader.decision import ActionMap
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.extensions import import_object
from rl_trader.features import resolve_features
from rl_trader.lookahead import check_causal
from rl_trader.market import Period, episode_table
from rl_trader.metrics import Metrics, measure
from rl_trader.mirror_image import with_mirror_image
from rl_trader.observed_market import ObservedMarket, observe_market, schema_warmup
from rl_trader.remembering import decide_in_turn
from rl_trader.scaling import no_scaling

NUM_GOLDEN: Final = 16
PACKAGES: Final = ("gymnasium", "numba", "numpy", "rl-trader", "stable-baselines3", "torch")

Report = Callable[[int, int], None]


@dataclass(slots=True)
class Progress:
    """How far a training is; part of its saved state."""

    num_evaluations: int = 0
    best_score: float = -math.inf


class TrainingRun:
    """One training: its market, environment, model and folder."""

    def __init__(self, config: TrainConfig, folder: Path, *, is_new: bool, recording: Recording | None = None) -> None:
        """Load the market and make the model of a new run, or put back the state of one that was interrupted.

        Args:
            config: Of the run.
            folder: Of the run; made, or opened.
            is_new: Whether it is made.
            recording: Bars that hold training and validation period; None loads those of the configuration.

        Raises:
            RlTraderError: If configuration, data or folder cannot be used.
        """
        find_device(config.device)
        schema = config.env.schema
        self.train_period = parse_period(config.market.train)
        self.validation_period = parse_period(config.market.validation)
        _check_order(config)
        recording = recording or load_recording(config.market, schema, config.data)
        market = recording.market
        features = resolve_features(schema.features)
        check_causal([feature for feature in features if feature.kernel is not None], market.bars)
        for period in (self.train_period, self.validation_period):
            episode_table(market, period, schema_warmup(schema))
        if config.env.reward_scale is None:
            scale = bar_volatility(market, self.train_period)
            config = replace(config, env=replace(config.env, reward_scale=scale))
        self.config = config
        played = with_mirror_image(market) if config.market.mirror else market
        scaling = None if config.market.scale_features else no_scaling(len(features))
        trained = observe_market(played, schema, fit_on=self.train_period, scaling=scaling)
        self.observed: ObservedMarket = trained
        if played is not market:
            self.observed = observe_market(market, schema, scaling=trained.scaling)
        self._series = recording.series
        num_envs = config.learner.num_envs
        env = TradingVectorEnv(
            num_envs,
            trained,
            config.env,
            self.train_period,
            num_threads=step_threads(num_envs),
            copy=False,
        )
        self.env = _sb3_env(config, env, trained, self.train_period)
        torch.set_num_threads(choose_threads(config))  # now: numba sets it anew when its own threads begin
        self.progress = Progress()
        self._callbacks = [_make_callback(path) for path in config.callbacks]
        if is_new:
            self.model = make_model(config, self.env)
            self.folder = RunFolder.create(folder, config, _about(recording))
        else:
            self.folder = RunFolder.open(folder)
            algorithm, device = find_algorithm(config.algo), find_device(config.device)
            self.model, progress = load_state(self.folder.resume_folder, algorithm, self.env, device)
            self.progress = Progress(**progress)
        self.log = TrainingLog(
            self.folder, config, self.observed, self.validation_period, first_step=self.model.num_timesteps
        )
        self.model.set_logger(self.log.logger)

    @property
    def total_timesteps(self) -> int:
        """Return the bars to be played, over all accounts."""
        return self.config.learner.total_timesteps

    def learn(self, report: Report) -> Metrics:
        """Train to the end and return the last policy's metrics on the validation period.

        Args:
            report: Called with the bars played and their total.

        Raises:
            TrainingInterruptedError: If Ctrl-C was pressed; ``resume`` goes on from there.
            ConfigError: If training diverged.
            CheckpointError: If the folder cannot be written; what was saved before survives.
        """
        try:
            with interruptible() as is_interrupted:
                callback = CallbackList([_Supervisor(self, report, is_interrupted), *self._callbacks])
                remaining = self.total_timesteps - self.model.num_timesteps
                if remaining > 0:
                    self._learn_on(remaining, callback)
            metrics = self.evaluate()
            self.save_state()
            self.log.close()
        except OSError as error:  # of TensorBoard's writer
            path = self.folder.path
            raise CheckpointError(f"{path} cannot be written: {error}; free space and go on by --resume") from error
        return metrics

    def _learn_on(self, num_timesteps: int, callback: BaseCallback) -> None:
        try:
            self.model.learn(
                num_timesteps, callback=callback, log_interval=self._log_interval(), reset_num_timesteps=False
            )
        except ValueError:  # torch's distributions refuse what a diverged network puts out
            self.log.check_finite(self.model.policy, self.model.num_timesteps)
            raise

    def _log_interval(self) -> int:
        """Return after how many updates (PPO) or episodes (DQN) SB3 writes its scalars."""
        return 1 if self.config.section == "ppo" else max(self.config.dqn.num_envs, 4)

    def evaluate(self) -> Metrics:
        """Score the policy on the validation period, log it and save it as a checkpoint.

        Raises:
            ConfigError: If the policy is not finite: training has diverged.
        """
        self.log.check_finite(self.model.policy, self.model.num_timesteps)
        checkpoint = self._checkpoint()
        results = backtest_policy(
            self.folder.name, checkpoint.policy, self.observed, self.config.env.trading, self.validation_period
        )
        metrics = measure(results)
        score = -math.inf if metrics.log_growth is None else metrics.log_growth
        is_best = score > self.progress.best_score
        self.progress.best_score = max(score, self.progress.best_score)
        self.progress.num_evaluations += 1
        self.log.write_evaluation(self.model.num_timesteps, results, metrics)
        facts = {**checkpoint.facts, "validation": metrics.to_json()}
        self.folder.save(replace(checkpoint, facts=facts), self.model.num_timesteps, is_best=is_best)
        return metrics

    def save_state(self) -> None:
        """Write all that is needed to go on bit for bit."""
        progress = {"num_evaluations": self.progress.num_evaluations, "best_score": self.progress.best_score}
        save_state(self.folder.resume_folder, self.model, self.env, progress)

    def _checkpoint(self) -> Checkpoint:
        policy = export_policy(self.model, ActionMap(levels=self.config.env.trading.levels))
        golden = self._golden_observations()
        market = self.observed.market
        return Checkpoint(
            policy=policy,
            env=self.config.env,
            scaling=self.observed.scaling,
            interval=market.interval,
            terms=market.terms,
            golden_observations=golden,
            golden_targets=decide_in_turn(policy, golden),
            facts={
                "algorithm": self.config.algo,
                "seed": self.config.seed,
                "timesteps": self.model.num_timesteps,
                "train": list(self.config.market.train),
                "validation_period": list(self.config.market.validation),
                "assumptions": list(market.assumptions),
                "series": self._series,
            },
        )

    def _golden_observations(self) -> NDArray[np.float32]:
        """Return a few observations of the training period, the same for every checkpoint of a run."""
        env = TradingVectorEnv(NUM_GOLDEN, self.observed, self.config.env, self.train_period)
        observations, _ = env.reset(seed=self.config.seed)
        return np.asarray(observations, np.float32)


class _Supervisor(BaseCallback):
    """Between two updates: evaluates, saves, logs what the accounts did, reports progress, and stops when asked."""

    def __init__(self, run: TrainingRun, report: Report, is_interrupted: Callable[[], bool]) -> None:
        super().__init__()
        self._run = run
        self._report = report
        self._is_interrupted = is_interrupted

    def _on_rollout_start(self) -> None:
        run = self._run
        run.log.check_finite(self.model.policy, self.num_timesteps)
        self._report(self.num_timesteps, run.total_timesteps)
        if self._is_interrupted():
            run.save_state()
            run.log.close()
            raise TrainingInterruptedError
        due = run.total_timesteps * (run.progress.num_evaluations + 1) // run.config.evaluations
        if self.num_timesteps >= due and self.num_timesteps > 0:
            run.evaluate()
            run.save_state()

    def _on_step(self) -> bool:
        self._run.log.note_step(self._run.env.env.core.simulator.outcomes)
        return True

    def _on_rollout_end(self) -> None:
        self._run.log.write_rollout(self.num_timesteps)


def _sb3_env(config: TrainConfig, env: TradingVectorEnv, trained: ObservedMarket, period: Period) -> TradingVecEnv:
    """Return the environment as the learner sees it: through noise, with corrected rewards, or as it is."""
    correct: Correct = as_they_are
    if config.market.denoise_rewards:
        check_denoisable(config.env)
        correct = RewardDenoiser(trained, period, config.env.reward_scale or 1.0)
    noise = config.market.feature_noise
    return NoisyVecEnv(env, noise, config.seed, correct) if noise else TradingVecEnv(env, correct)


def _make_callback(path: str) -> BaseCallback:
    made = import_object(path, "callback")
    callback = made() if callable(made) else made
    if not isinstance(callback, BaseCallback):
        raise ConfigError(f"callback {path!r} must make a BaseCallback of Stable-Baselines3, made {callback!r}")
    return callback


def new_run(config: TrainConfig, preset: str) -> TrainingRun:
    """Return a new run; its folder is made.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = config.name or f"{preset}-{config.algo}-{config.seed}-{stamp}"
    check_folder_name(name)
    return TrainingRun(replace(config, name=name), config.runs / name, is_new=True)


def resumed_run(folder: Path, recording: Recording | None = None) -> TrainingRun:
    """Return a run that goes on bit for bit from its saved state.

    Args:
        folder: Of the run.
        recording: The bars that it began with; None loads those of its configuration.

    Raises:
        RlTraderError: If the folder is missing or damaged, or the data have changed.
    """
    run = RunFolder.open(folder)
    config = run.config()
    files = data_files(config.market, config.data) if recording is None else recording.files
    if files != run.about().get("data"):
        raise ConfigError(f"the data files of {folder} have changed since it began; put them back, or train anew")
    return TrainingRun(config, folder, is_new=False, recording=recording)


def _check_order(config: TrainConfig) -> None:
    periods = [parse_period(dates) for dates in (config.market.train, config.market.validation, config.market.test)]
    for earlier, later in pairwise(periods):
        if (earlier.until or 0) > (later.since or 0):
            raise ConfigError(f"train, validation and test must follow each other, found {earlier} before {later}")


def _about(recording: Recording) -> dict[str, Any]:
    return {
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "data": recording.files,
        "assumptions": list(recording.market.assumptions),
    }
