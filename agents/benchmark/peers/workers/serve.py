"""What every worker shares: it runs in a peer's interpreter and knows nothing but the standard library.

Reads one request as JSON from standard input, ``{"job": NAME, ...}``, whose other entries are the job's arguments, and
answers with the versions of what is measured. From then on every further line asks for one run, and is answered by its
figure. Whatever the peer prints goes to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Run = Callable[[], float]


def rate(work: Callable[[], object], units: int, seconds: float) -> Run:
    """Return a run that repeats ``work``, ``units`` units each, once and then until ``seconds`` are over; units/s."""

    def run() -> float:
        calls = 0
        elapsed = 0.0
        begin = time.perf_counter()
        while not calls or elapsed < seconds:
            work()
            calls += 1
            elapsed = time.perf_counter() - begin
        return calls * units / elapsed

    return run


def serve(jobs: dict[str, Callable[..., Run]], *packages: str) -> None:
    """Answer until nothing more is asked.

    Args:
        jobs: By name; each returns a run from the request's arguments.
        packages: Distributions whose versions are told.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    request = json.loads(sys.stdin.readline())
    run = jobs[request.pop("job")](**request)
    answer(", ".join(f"{package} {version(package)}" for package in packages))
    for _ in sys.stdin:
        answer(run())
