"""Cells on a Ray cluster: one task each, the market once in the object store, the runs in this machine's folder.

A task trains in a temporary folder of its node and sends the run back, so that nodes need the package and nothing else:
no data, and no common disk. A task whose worker or node is lost runs again from its begin. No usage is reported.
"""

import importlib
import io
import logging
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from agents.markets import Recording
from agents.run_folder import read_json
from agents.training.interruption import TrainingInterruptedError
from agents.walking.cells import SCORE_FILE, Cell, cell_recording, play_cell
from rl_trader.errors import CheckpointError, ConfigError, RlTraderError
from rl_trader.processors import processors, share_processors

LOCAL: Final = "local"
LOOPBACK: Final = "127.0.0.1"  # first part of an address
MAX_RETRIES: Final = 10  # of a task whose worker or node was lost


def play_on_ray(cells: Sequence[Cell], address: str) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yield cells with their scores as they are done; those that are done already come first.

    Args:
        cells: What is trained.
        address: Of a cluster, ``auto`` for the one of this machine, or ``local`` to start one on loopback.

    Raises:
        ConfigError: If Ray is not installed, does not answer, or loses a task again and again.
        RlTraderError: What a task raises.
        TrainingInterruptedError: If Ctrl-C was pressed; what is not done is lost.
    """
    ray = find_ray(address)
    waiting = [cell for cell in cells if not (cell.folder / SCORE_FILE).is_file()]
    yield from ((cell, play_cell(cell)) for cell in cells if cell not in waiting)
    if not waiting:
        return
    _connect(ray, address)
    try:
        yield from _played(ray, waiting)
    except KeyboardInterrupt:
        raise TrainingInterruptedError from None
    finally:
        ray.shutdown()


def find_ray(address: str) -> Any:  # noqa: ANN401 - a module
    """Return the module ``ray``, told not to report its usage, and to keep to loopback where the cluster does.

    Args:
        address: Of the cluster, as ``play_on_ray`` takes it.

    Raises:
        ConfigError: If it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL or address.startswith(LOOPBACK):
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else Ray listens on every interface; read at import
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError(
            "--ray needs the package ray, which is not installed; type `pip install -c constraints.txt -e '.[scale]'`"
        ) from error


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401 - a module
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"include_dashboard": False, "_node_ip_address": LOOPBACK}
    try:
        ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"no Ray cluster answers at {address!r}: {reason}; start one by `ray start --head`, or give --ray local"
        ) from error


def _played(ray: Any, cells: Sequence[Cell]) -> Iterator[tuple[Cell, dict[str, Any]]]:  # noqa: ANN401 - a module
    markets: dict[Any, Any] = {}
    tasks: dict[Any, Cell] = {}
    for cell in cells:
        key = (cell.recorded, cell.config.env.schema, cell.config.data)
        if key not in markets:
            markets[key] = ray.put(cell_recording(cell))
        gpus = 1 if cell.config.device.startswith("cuda") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=MAX_RETRIES)(train_remotely)
        tasks[task.remote(cell, markets[key])] = cell
    while tasks:
        (done,), _ = ray.wait(list(tasks), num_returns=1)
        cell = tasks.pop(done)
        yield cell, _received(cell, _result(ray, done, cell))


def _result(ray: Any, done: Any, cell: Cell) -> bytes:  # noqa: ANN401 - of a module
    try:
        result: bytes = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RlTraderError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"{cell.config.name} was lost with its worker {MAX_RETRIES + 1} times: {reason}; look at the cluster, and"
            " the same command goes on"
        ) from error
    return result


def train_remotely(cell: Cell, recording: Recording) -> bytes:
    """Return the folder of a trained and scored run as a tar file; the run by a worker of the cluster."""
    share_processors(processors())  # a task has one of the node's
    with tempfile.TemporaryDirectory() as root:
        here = replace(cell, place=Path(root))
        play_cell(here, recording)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(here.folder, arcname=".")
        return packed.getvalue()


def _received(cell: Cell, packed: bytes) -> dict[str, Any]:
    """Put a run into its folder, whole or not at all, and return its score."""
    beside = cell.folder.with_name(cell.folder.name + ".part")
    try:
        for path in (beside, cell.folder):
            shutil.rmtree(path, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(beside, filter="data")
        os.replace(beside, cell.folder)
    except OSError as error:
        raise CheckpointError(f"{cell.folder} cannot be written: {error}; free space and go on") from error
    return read_json(cell.folder / SCORE_FILE)
