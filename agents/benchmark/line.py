"""What a line of the benchmark is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from agents.benchmark.effort import Effort
from agents.benchmark.measure import Contest, Reach

STEPS: Final = "steps/s"
FRAMES: Final = "frames/s"
BARS: Final = "bars/s"
MIB: Final = "MiB"
SECONDS: Final = "s"
MS: Final = "ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that is measured beside its reference."""

    name: str
    about: str
    unit: str
    prepare: Callable[[Effort], AbstractContextManager[Contest]]
    """Raises ``AbsentPeerError`` where what it is measured beside is not at hand."""
    reach: Reach | None = None
    num_threads: int = 1
    """Threads without which the line says nothing."""
