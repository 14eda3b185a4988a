"""The folder of a training run: all that evaluation, comparison, deployment and resumption need.

``config.json`` (resolved configuration), ``about.json`` (versions, data files with hashes, assumptions),
``checkpoints/step_<n>/`` (deployable policies), ``checkpoints/index.json`` (which of them is the last and the best),
``resume/`` (the training's exact state), ``evaluation/<period>/`` and the TensorBoard events.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.config import TrainConfig
from rl_trader.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rl_trader.errors import CheckpointError, ConfigError, RlTraderError
from rl_trader.serialise import from_json, to_json

CONFIG_FILE: Final = "config.json"
ABOUT_FILE: Final = "about.json"
INDEX_FILE: Final = "index.json"


def check_folder_name(name: str) -> None:
    """Refuse a name that would lie elsewhere than in the folder of runs.

    Raises:
        ConfigError: If it is not the name of one folder.
    """
    if Path(name).name != name or name in (".", ".."):
        raise ConfigError(f"name must be a plain folder name, was {name!r}; change it")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: TrainConfig, about: dict[str, Any]) -> "RunFolder":
        """Make the folder of a new run.

        Raises:
            ConfigError: If it exists or cannot be made.
        """
        if path.exists():
            raise ConfigError(f"run folder {path} exists; give another --name, or go on with it by --resume {path}")
        try:
            (path / "checkpoints").mkdir(parents=True)
            write_json(path / ABOUT_FILE, about)
            write_json(path / CONFIG_FILE, to_json(config))
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise ConfigError(f"run folder {path} cannot be made: {error}; choose another with --runs") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of a run.

        Raises:
            CheckpointError: If there is none, or it is damaged.
        """
        if not path.is_dir():
            raise CheckpointError(f"there is no run folder {path}; name one that scripts.train made")
        if not (path / CONFIG_FILE).is_file():
            raise CheckpointError(f"{path} is no run folder: it has no {CONFIG_FILE}; name one that scripts.train made")
        return cls(path)

    @property
    def name(self) -> str:
        """Return the run's name."""
        return self.path.name

    @property
    def resume_folder(self) -> Path:
        """Return where the training's exact state is kept."""
        return self.path / "resume"

    def config(self) -> TrainConfig:
        """Return the run's configuration.

        Raises:
            CheckpointError: If it cannot be read or was made by another version.
        """
        try:
            return from_json(TrainConfig, read_json(self.path / CONFIG_FILE), "config")
        except (RlTraderError, TypeError, ValueError) as error:  # the latter two: a value of another type
            raise CheckpointError(f"{self.path / CONFIG_FILE} cannot be used: {error}") from error

    def about(self) -> dict[str, Any]:
        """Return versions, data files and assumptions of the run."""
        return read_json(self.path / ABOUT_FILE)

    def save(self, checkpoint: Checkpoint, step: int, *, is_best: bool) -> None:
        """Write a checkpoint, then point to it as the last, and as the best if it is; others are removed.

        A checkpoint that is pointed to is never touched: whatever fails, the one before survives.

        Raises:
            CheckpointError: If it cannot be written.
        """
        name = f"step_{step:010d}"
        folder = self.path / "checkpoints" / name
        index = self.index()
        if name not in index.values():
            shutil.rmtree(folder, ignore_errors=True)
            save_checkpoint(folder, checkpoint)
        index["last"] = name
        if is_best or "best" not in index:
            index["best"] = name
        try:
            write_json(self.path / "checkpoints" / INDEX_FILE, index)
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written: {error}; free space and resume") from error
        for other in (self.path / "checkpoints").iterdir():
            if other.is_dir() and other.name not in index.values():
                shutil.rmtree(other, ignore_errors=True)

    def index(self) -> dict[str, str]:
        """Return the names of the last and the best checkpoint, empty before the first."""
        path = self.path / "checkpoints" / INDEX_FILE
        return {str(key): str(value) for key, value in read_json(path).items()} if path.exists() else {}

    def checkpoint(self, which: str = "best") -> Checkpoint:
        """Return the ``best`` or the ``last`` checkpoint.

        Raises:
            CheckpointError: If there is none, or it is damaged.
        """
        index = self.index()
        if which not in index:
            raise CheckpointError(f"run {self.path} has no {which} checkpoint yet; train it longer")
        return load_checkpoint(self.path / "checkpoints" / index[which])


def newest_run(runs: Path) -> Path:
    """Return the folder of the run that was begun last.

    Raises:
        CheckpointError: If there is none.
    """
    folders = [path.parent for path in runs.glob(f"*/{CONFIG_FILE}")]
    if not folders:
        raise CheckpointError(f"there is no run in {runs}; make one by `python -m scripts.train`")
    return max(folders, key=lambda folder: (folder / CONFIG_FILE).stat().st_mtime)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; the run folder is damaged") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} must hold a JSON object; the run folder is damaged")
    return data


def write_json(path: Path, data: object) -> None:
    """Write a JSON file beside and rename it, so that it is whole at any moment."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(data, indent=1) + "\n")
    os.replace(beside, path)
