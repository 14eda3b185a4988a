"""One training and its score: the piece that walk-forwards, sweeps and studies are made of.

A cell is a run like any other (``agents.training.run``). Its score is what its best checkpoint earns on one period,
and lies as ``score.json`` in the run's folder once the cell is done; until then the training goes on where it was last
saved.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from agents.config import MarketConfig, TrainConfig
from agents.markets import Recording, load_recording, parse_period
from agents.pool import interrupt_if_asked
from agents.run_folder import RunFolder, read_json, write_json
from agents.training.resume import find_state
from agents.training.run import TrainingRun, resumed_run
from rl_trader.backtest import BacktestResult, backtest_policy
from rl_trader.checkpoint import Checkpoint
from rl_trader.errors import CheckpointError
from rl_trader.market import MarketData
from rl_trader.metrics import measure, portfolio
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import observe_market

SCORE_FILE: Final = "score.json"
RUINED: Final = -20.0  # log growth a year that stands for an account of which nothing is left

Watch = Callable[[TrainingRun], None]


class StoppedError(Exception):
    """Whoever watches a training wants no more of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A configuration, and what it is scored on."""

    config: TrainConfig  # with a name
    scored: tuple[str, str]  # first day and the day after the last, UTC
    recorded: MarketConfig  # whose bars hold training, validation and scored period
    place: Path | None = None  # where the run's folder is made; None for the configuration's own

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        assert self.config.name is not None
        return (self.place or self.config.runs) / self.config.name


def unwatched(_run: TrainingRun) -> None:
    """Let a training go on."""


def play_cell(cell: Cell, recording: Recording | None = None, watch: Watch = unwatched) -> dict[str, Any]:
    """Return the score of a cell: the one that was kept, or after training it.

    Args:
        cell: What is trained.
        recording: Its bars; None loads them.
        watch: Called between two updates of the training and after its end; may raise a ``StoppedError`` before it.

    Returns:
        The metrics by name, ``log_growth`` a year even of a ruined account, and ``daily_returns``.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the next call goes on from there.
        StoppedError: If ``watch`` said so.
    """
    path = cell.folder / SCORE_FILE
    if not path.is_file():
        recording = recording or cell_recording(cell)
        run = finished_run(cell.config, cell.folder, recording, watch)
        score = score_checkpoint(run.checkpoint("best"), recording.market, cell.scored)
        try:
            write_json(path, score)
            shutil.rmtree(run.resume_folder, ignore_errors=True)  # a replay buffer is large
        except OSError as error:
            raise CheckpointError(f"{cell.folder} cannot be written: {error}; free space and go on") from error
    return read_json(path)


def cell_recording(cell: Cell) -> Recording:
    """Return a cell's bars; those of the cells of one search are loaded once a process."""
    return _recording(cell.recorded, cell.config.env.schema, cell.config.data)


@lru_cache(maxsize=1)
def _recording(market: MarketConfig, schema: ObservationSchema, data: Path | None) -> Recording:
    return load_recording(market, schema, data)


def finished_run(config: TrainConfig, folder: Path, recording: Recording, watch: Watch = unwatched) -> RunFolder:
    """Return a run, trained to its end: what is there goes on, else it begins.

    Args:
        config: What is trained.
        folder: Of the run.
        recording: Its bars.
        watch: As of ``play_cell``.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed.
        StoppedError: If ``watch`` said so.
    """
    is_new = not _is_saved(folder)
    if is_new:
        shutil.rmtree(folder, ignore_errors=True)  # stopped before anything was saved
    run = TrainingRun(config, folder, is_new=True, recording=recording) if is_new else resumed_run(folder, recording)

    def between_updates(_done: int, _total: int) -> None:
        interrupt_if_asked()
        watch(run)

    try:
        run.learn(between_updates)
    except StoppedError:
        run.log.close()
        raise
    watch(run)
    return run.folder


def _is_saved(folder: Path) -> bool:
    try:
        find_state(RunFolder(folder).resume_folder)
    except CheckpointError:
        return False
    return True


def score_checkpoint(checkpoint: Checkpoint, market: MarketData, scored: tuple[str, str]) -> dict[str, Any]:
    """Return the figures of a checkpoint on a period of a market, as ``play_cell`` does."""
    observed = observe_market(market, checkpoint.schema, scaling=checkpoint.scaling)
    return score_results(
        backtest_policy("agent", checkpoint.policy, observed, checkpoint.env.trading, parse_period(scored))
    )


def score_results(results: Sequence[BacktestResult]) -> dict[str, Any]:
    """Return the figures of results, one a symbol, as ``play_cell`` does."""
    metrics = measure(results).to_json()
    growth = metrics["log_growth"]
    daily = portfolio(results).daily_returns()
    return {**metrics, "log_growth": RUINED if growth is None else growth, "daily_returns": daily.tolist()}


def covering(market: MarketConfig, scored: tuple[str, str]) -> MarketConfig:
    """Return a market whose bars end with the period that is scored: nothing later is loaded."""
    return replace(market, test=scored)
