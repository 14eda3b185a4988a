"""What a training writes for TensorBoard: how the accounts fare while it explores, and every evaluation.

Tags: ``rollout/``, ``train/`` and ``time/`` are Stable-Baselines3's own; ``account/`` are means over the training
accounts; ``eval/`` is the policy on the validation period. The baselines are sub-runs ``baseline_<name>`` with the same
``eval/`` tags at the first and the last step, so that they are drawn as horizontal lines; ``baseline_random`` comes at
the end, since it trades as much as the last policy. A figure that is not defined, such as the Sharpe ratio of a flat
account, is not drawn.
"""

import logging
import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.logger import HParam, Logger, TensorBoardOutputFormat
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch import nn
from torch.utils.tensorboard import FileWriter, SummaryWriter

from agents.config import TrainConfig
from agents.run_folder import RunFolder
from agents.training.account_means import BIN_WIDTH, FIRST_EDGE, NUM_BINS, AccountMeans
from agents.training.alarms import Alarm, loss_alarm, policy_alarms, weight_alarm
from agents.training.figures import Curve, curve, evaluation_figure, picture
from agents.training.log_contents import (
    HPARAM_METRICS,
    LAYOUT,
    assumptions_text,
    configuration_text,
    eval_scalars,
    hyperparameters,
)
from rl_trader.backtest import BacktestResult
from rl_trader.errors import ConfigError
from rl_trader.evaluation import play_baselines, play_random_agents
from rl_trader.market import Period
from rl_trader.metrics import Metrics, measure, portfolio
from rl_trader.observed_market import ObservedMarket
from rl_trader.optimum import Score

NUM_SCALARS: Final = 250  # points of an account/ curve, at most
NUM_HISTOGRAMS: Final = 50
NUM_RANDOM_AGENTS: Final = 64
RGBA: Final = 4  # TensorBoard's number for a picture in three colours and opacity
EDGES: Final = FIRST_EDGE + BIN_WIDTH * np.arange(NUM_BINS + 1)

_LOG: Final = logging.getLogger(__name__)


class DivergedError(ConfigError):
    """A training whose numbers are no longer finite: its configuration cannot be trained."""


class TrainingLog:
    """The TensorBoard events of a run."""

    def __init__(
        self, folder: RunFolder, config: TrainConfig, observed: ObservedMarket, validation: Period, *, first_step: int
    ) -> None:
        """Begin or continue the events of a run, and play the baselines.

        Args:
            folder: Where the events are written.
            config: Of the run, resolved.
            observed: Market and features.
            validation: Period of the evaluations.
            first_step: Bars played so far; events of a lost training beyond them are discarded.
        """
        self._folder = folder
        self._config = config
        self._observed = observed
        self._validation = validation
        self._total = config.learner.total_timesteps
        self._first_step = self._step = first_step
        self._baseline_scalars: dict[str, dict[str, float]] = {}
        self._baseline_curves: dict[str, Curve] = {}
        for name, results in play_baselines(observed, config.env.trading, validation).items():
            self._baseline_scalars[name] = eval_scalars(measure(results))
            self._baseline_curves[name] = curve(portfolio(results))
        self._means = AccountMeans(observed.market.interval_ms, config.env.trading.max_exposure)
        _wait_for_a_later_name(folder.path)
        output = TensorBoardOutputFormat(str(folder.path))
        self.logger = Logger(str(folder.path), [output])
        self._writer: SummaryWriter = output.writer
        if self._baseline_folder("flat").exists():
            self._discard_after(first_step)
        else:
            self._write_head()
            self._write_baselines(0)

    def note_step(self, outcomes: NDArray[np.void]) -> None:
        """Note what a step did in every account, (num_envs,) of ``OUTCOME_DTYPE``."""
        self._means.add(outcomes)

    def write_rollout(self, step: int) -> None:
        """Write the means of the steps since they were last written, if enough bars were played since."""
        if self._is_due(step, NUM_SCALARS):
            self._write_scalars({f"account/{name}": value for name, value in self._means.take_scalars().items()}, step)
        if self._is_due(step, NUM_HISTOGRAMS):
            self._write_exposures(step)
        self._step = step

    def write_evaluation(self, step: int, results: list[BacktestResult], metrics: Metrics) -> None:
        """Write an evaluation on the validation period, and the alarms that it raises.

        Args:
            step: Bars played so far.
            results: Of the policy, one a symbol.
            metrics: Of these results.
        """
        self._write_scalars(eval_scalars(metrics), step)
        targets = np.concatenate([result.targets for result in results])
        self._writer.add_histogram("eval/target_position", targets, step, bins=EDGES)
        title = f"{self._folder.name} after {step:,} bars, validation period"
        figure = evaluation_figure(title, results, self._observed.market, self._baseline_curves)
        image = Summary.Image(encoded_image_string=picture(figure), colorspace=RGBA)
        summary = Summary(value=[Summary.Value(tag="eval/equity", image=image)])
        self._file.add_event(Event(summary=summary), step)
        if step >= self._total and step > self._first_step:
            self._write_baselines(step)
            self._write_random_agents(step, metrics)
        self._write_alarms(policy_alarms(results, self._config.env.trading.rebalance_band), step)

    def check_finite(self, policy: nn.Module, step: int) -> None:
        """End the training if a loss or a weight is not finite, before a policy is saved that cannot be used.

        Raises:
            DivergedError: If training has diverged.
        """
        alarm = loss_alarm(self.logger.name_to_value, step) or weight_alarm(policy, step)
        if alarm is None:
            return
        self._write_alarms([alarm], step)
        self.close()
        algo = self._config.algo
        raise DivergedError(
            f"training has diverged: {alarm.sentence}; lower {algo}.learning_rate, {algo}.max_grad_norm or the range of"
            f" your own features and reward (the checkpoints saved before stay in {self._folder.path})"
        )

    def close(self) -> None:
        """Write what is pending."""
        self._write_scalars(
            {f"account/{name}": value for name, value in self._means.take_scalars().items()}, self._step
        )
        self.logger.close()

    def _is_due(self, step: int, num_parts: int) -> bool:
        """Return whether the bars since the last rollout reach into another part of the training."""
        return step * num_parts // self._total > self._step * num_parts // self._total

    def _write_scalars(self, scalars: dict[str, float], step: int) -> None:
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step)

    def _write_exposures(self, step: int) -> None:
        counts = self._means.take_exposures()
        if not counts.any():
            return
        centres = 0.5 * (EDGES[:-1] + EDGES[1:])
        held = centres[counts > 0]
        self._writer.add_histogram_raw(
            "account/exposure_over_max_exposure",
            min=float(held[0]),
            max=float(held[-1]),
            num=int(counts.sum()),
            sum=float(counts @ centres),
            sum_squares=float(counts @ centres**2),
            bucket_limits=EDGES[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=step,
        )

    def _write_alarms(self, alarms: list[Alarm], step: int) -> None:
        self._writer.add_text(
            "run/alarms", "\n".join(f"- **{alarm.name}**: {alarm.sentence}" for alarm in alarms) or "none", step
        )
        self._writer.flush()
        for alarm in alarms:
            _LOG.warning("alarm after %s bars: %s", f"{step:,}", alarm)

    def _write_head(self) -> None:
        self._writer.add_text("run/configuration", configuration_text(self._config), 0)
        self._writer.add_text("run/assumptions", assumptions_text(self._observed.market.assumptions), 0)
        self._writer.add_custom_scalars(LAYOUT)
        metrics = dict.fromkeys(HPARAM_METRICS, 0.0)  # only the tags are read
        self.logger.record("hparams", HParam(hyperparameters(self._config), metrics))
        self.logger.dump(0)

    def _baseline_folder(self, name: str) -> Path:
        return self._folder.path / f"baseline_{name}"

    def _write_baselines(self, step: int) -> None:
        for name, scalars in self._baseline_scalars.items():
            self._write_baseline(name, scalars, (step,))

    def _write_baseline(self, name: str, scalars: dict[str, float], steps: tuple[int, ...]) -> None:
        with SummaryWriter(str(self._baseline_folder(name))) as writer:
            for tag, value in scalars.items():
                for step in steps:
                    writer.add_scalar(tag, value, step)

    def _write_random_agents(self, step: int, metrics: Metrics) -> None:
        """Write how random agents fare that trade as much as the last policy, and how many of them it beats."""
        trading = self._config.env.trading
        agents = play_random_agents(
            metrics, self._observed, trading, self._validation, NUM_RANDOM_AGENTS, self._config.seed
        )
        self._write_scalars({"eval/share_of_random_agents_beaten": agents.share_below}, step)
        total_return = float(agents.total_returns.mean())
        scalars = {
            "eval/total_return": total_return,
            "eval/margin_balance": metrics.initial_balance * (1.0 + total_return),
            "eval/turnover": agents.turnover,
        }
        self._write_baseline("random", scalars, (0, step))

    def _discard_after(self, step: int) -> None:
        """Hide the events of a training that was lost after its state was saved at a step."""
        restart = Event(session_log=SessionLog(status=SessionLog.START))
        self._file.add_event(restart, step + 1)

    @property
    def _file(self) -> FileWriter:
        assert self._writer.file_writer is not None
        return self._writer.file_writer


def write_known_answer(folder: Path, market: str, percent: float | None, score: Score, step: int) -> None:
    """Write what a policy reaches in a market of known optimum: percent of it, turnover and mean exposure.

    Args:
        folder: Of the run's events.
        market: Name of the market.
        percent: Of the optimum; None, which is not drawn, where that is 0.
        score: Of the policy.
        step: Bars played so far.
    """
    _wait_for_a_later_name(folder)
    with SummaryWriter(str(folder)) as writer:
        if percent is not None:
            writer.add_scalar(f"known_answer/{market}", percent, step)
        writer.add_scalar(f"known_answer/{market}_turnover", score.turnover_per_bar, step)
        writer.add_scalar(f"known_answer/{market}_exposure", score.mean_exposure, step)


def _wait_for_a_later_name(folder: Path) -> None:
    """Wait until a new event file's name sorts behind those that are there, as TensorBoard reads them by name.

    A name begins with the second in which the file was made; of one second, the order of the rest is arbitrary.
    """
    seconds = (int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.*"))
    newest = max(seconds, default=0)
    while int(time.time()) <= newest:
        time.sleep(0.05)
