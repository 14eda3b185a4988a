"""Measuring: a subject beside its reference, run by run in turn, so that a busy machine slows both alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Run = Callable[[], float]
"""One run; returns its figure in the line's unit."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What several runs gave."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Return the figure of a few runs."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Reach:
    """What a line is to reach."""

    of: Literal["median", "ratio"]
    """Which of the line's figures is meant."""
    bound: float
    """In the line's unit, or a multiple of the reference."""
    is_least: bool = True
    """Whether the figure must be at least the bound, or at most."""

    def is_met(self, median: float, ratio: float) -> bool:
        """Return whether a line has reached it."""
        figure = median if self.of == "median" else ratio
        return figure >= self.bound if self.is_least else figure <= self.bound

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {"of": self.of, "at_least" if self.is_least else "at_most": self.bound}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A subject and its reference, ready to run."""

    subject: Run
    reference: Run
    """Its peer or its limit, in the same unit."""
    reference_name: str
    config: str
    """Hash of the environment's configuration (``environment.config_hash``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table."""

    line: str
    unit: str
    figure: Figure
    reference_name: str
    reference: Figure
    ratio: float
    """Of the two medians."""
    reach: Reach | None
    config: str

    @property
    def met(self) -> bool | None:
        """Return whether the line reached what it is to reach; None if that is not fixed."""
        return None if self.reach is None else self.reach.is_met(self.figure.median, self.ratio)

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        return {
            "line": self.line,
            "median": self.figure.median,
            "min": self.figure.minimum,
            "max": self.figure.maximum,
            "unit": self.unit,
            "reference": {
                "name": self.reference_name,
                "median": self.reference.median,
                "min": self.reference.minimum,
                "max": self.reference.maximum,
            },
            "ratio": self.ratio,
            "reach": None if self.reach is None else self.reach.to_json(),
            "met": self.met,
            "config": self.config,
        }


def interleave(contest: Contest, repeats: int) -> tuple[Figure, Figure]:
    """Return the figures of subject and reference, run in turn after one run each that is not counted."""
    contest.subject()  # compiles kernels, fills caches
    contest.reference()
    rounds = [(contest.subject(), contest.reference()) for _ in range(repeats)]
    return Figure.of([subject for subject, _ in rounds]), Figure.of([reference for _, reference in rounds])


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
