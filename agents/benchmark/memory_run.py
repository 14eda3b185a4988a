"""A training in a process of its own that reports how much memory it took: ``python -m agents.benchmark.memory_run``.

Reads a request as JSON from standard input and writes the answer, in bytes, to standard output.
"""

import contextlib
import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any, Final

import agents.training.run
from agents.config import TrainConfig
from rl_trader.serialise import from_json

STATUS: Final = Path("/proc/self/status")
BYTES_PER_KIB: Final = 1024


def resident(field: str) -> int:
    """Return the bytes of this process in memory: now (``VmRSS``) or at most so far (``VmHWM``).

    Not ``ru_maxrss`` where there is another way: Linux hands the parent's down to the child.
    """
    if not STATUS.exists():
        unit = 1 if sys.platform == "darwin" else BYTES_PER_KIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * BYTES_PER_KIB


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Train and return what it took.

    Args:
        request: ``config`` of the training, and ``modules`` to import before, by name.

    Returns:
        ``imported``, ``peak`` and ``arrays``: the bytes after the imports, at the peak, and of bars and features
        alone; ``modules``: the names of all that were imported in the end, for the next request.
    """
    for name in request["modules"]:
        with contextlib.suppress(Exception):  # some names are aliases, or cannot be imported by themselves
            importlib.import_module(name)
    imported = resident("VmRSS")
    run = agents.training.run.new_run(from_json(TrainConfig, request["config"], "config"), "bench")
    run.learn(lambda _done, _total: None)
    arrays = run.observed.rows.nbytes + run.observed.market.bars.nbytes
    return {"imported": imported, "peak": resident("VmHWM"), "arrays": arrays, "modules": sorted(sys.modules)}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
