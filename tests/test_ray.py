"""A sweep on a Ray cluster of two nodes, one of which is killed in the middle; skipped where ray is not installed."""

import csv
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.searching.sweep import SweepConfig, cells_of
from agents.walking.cells import play_cell
from tests.small_searches import TINY, tiny_config

REPO = Path(__file__).parents[1]
WORDS = (*TINY, "--name", "swept")
SETTINGS = ("--set", "ppo.gamma=0.98,0.99", "--seeds", "2")
CELLS = {f"gamma={gamma}-seed_{seed}" for gamma in ("0.98", "0.99") for seed in (0, 1)}
PATIENCE = 300  # seconds; a bound, not a wait

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="ray is not installed: pip install -c constraints.txt -e '.[scale]'",
)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPO), "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def wait_for(found: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something is there, while a process is at work."""
    end = time.monotonic() + PATIENCE
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@needs_ray
def test_a_node_that_is_killed_in_the_middle_loses_no_cell_and_doubles_none(tmp_path: Path) -> None:
    env, scratch = environment(), tmp_path / "second"
    scratch.mkdir()
    short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    stage = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_stage", short, str(scratch)],
        cwd=REPO, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert stage.stdin is not None
        assert stage.stdout is not None
        address = stage.stdout.readline().strip()
        assert address.startswith("127.0.0.1:")
        sweep = subprocess.Popen(
            [sys.executable, "-m", "scripts.sweep", "demo", *WORDS, *SETTINGS, "--ray", address, "--json"],
            cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        # The second node is at work on a cell: its run folder is begun.
        wait_for(lambda: list(scratch.glob("*/*/config.json")), sweep)
        print("kill", file=stage.stdin, flush=True)
        assert stage.stdout.readline() == "killed\n"
        (lost,) = {path.parent.name for path in scratch.glob("*/*/config.json")}
        out, err = sweep.communicate(timeout=PATIENCE)
        assert sweep.returncode == 0, err
    finally:
        stage.communicate()
        shutil.rmtree(short, ignore_errors=True)
    folder = tmp_path / "runs" / "swept"
    assert lost in CELLS
    assert sorted(line.partition(":")[0] for line in err.splitlines() if " a year" in line) == sorted(CELLS)
    assert {path.parent.name for path in folder.glob("*/score.json")} == CELLS
    assert {path.name for path in folder.iterdir() if path.is_dir()} == CELLS
    with (folder / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(Path(row["run"]).name for row in rows) == sorted(CELLS)
    assert len(json.loads(out)["configurations"]) == 2
    # The cell that ran twice is what it would have been alone.
    sweep_config = SweepConfig(grid={"ppo.gamma": (0.98, 0.99)}, seeds=2)
    (cell,) = (
        cell
        for _, own in cells_of(tiny_config(tmp_path / "alone"), sweep_config, "swept")
        for cell in own
        if cell.config.name == lost
    )
    assert play_cell(cell) == json.loads((folder / lost / "score.json").read_text())
    kept = json.loads((folder / lost / "config.json").read_text())
    assert kept["runs"] == "runs/swept"
