"""A training in a process of its own that reports how much memory it took: ``python -m agents.benchmark.memory_run``.

Reads a request as JSON from standard input and writes the answer, in bytes, to standard output.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any, Final

import agents.train
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


def answer(request: dict[str, Any]) -> dict[str, int]:
    """Train as the request says and return the bytes before it, at its peak, and of the bars and features alone."""
    imported = resident("VmRSS")
    run = agents.train.new_run(from_json(TrainConfig, request, "request"), "bench")
    run.learn(lambda _done, _total: None)
    arrays = run.observed.rows.nbytes + run.observed.market.bars.nbytes
    return {"imported": imported, "peak": resident("VmHWM"), "arrays": arrays}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
