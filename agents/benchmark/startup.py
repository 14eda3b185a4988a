"""How long a script takes to answer ``--help``."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_hash
from agents.benchmark.measure import Contest, Run


def script_names(folder: Path) -> list[str]:
    """Return the names of the scripts in a folder."""
    return sorted(path.stem for path in folder.glob("[!_]*.py"))


@contextmanager
def help_of(_effort: Effort, script: Path) -> Iterator[Contest]:
    """Time to answer ``--help`` in a fresh process, in seconds."""
    yield Contest(
        subject=_seconds(["-m", f"{script.parent.name}.{script.stem}", "--help"], script.parent.parent),
        reference=_seconds(["-c", "pass"], script.parent.parent),
        reference_name="starting Python",
        config=account_hash(),
    )


def _seconds(arguments: list[str], folder: Path) -> Run:
    def run() -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=True)
        return time.perf_counter() - begin

    return run
