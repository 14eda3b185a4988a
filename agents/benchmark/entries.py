"""Where the time of a training goes: the entries of its profile, functions by the time spent in themselves."""

import cProfile
import pstats
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_BUILT_IN: Final = re.compile(r"<built-in method (?P<name>[^>]+)>")
_METHOD: Final = re.compile(r"<method '(?P<name>[^']+)' of '(?P<kind>[^']+)' objects>")


@dataclass(frozen=True, slots=True)
class Entry:
    """A function of a profile."""

    name: str
    share: float  # of the time of all
    seconds: float  # in itself, without what it calls
    calls: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def profile(work: Callable[[], object], num_entries: int) -> list[Entry]:
    """Return the entries in which a piece of work spends most time, the largest first.

    Compiled functions are entries of their own where Python calls them; what other threads do is not seen, but the
    waiting for it is.
    """
    profiler = cProfile.Profile()
    profiler.runcall(work)
    table: Any = pstats.Stats(profiler)
    total = sum(row[2] for row in table.stats.values())
    rows = sorted(table.stats.items(), key=lambda item: -item[1][2])[:num_entries]
    return [Entry(_name(*key), row[2] / total, row[2], row[1]) for key, row in rows]


def _name(path: str, _line: int, function: str) -> str:
    built_in, method = _BUILT_IN.fullmatch(function), _METHOD.fullmatch(function)
    if built_in is not None:
        return built_in["name"].replace("torch._C._nn.", "torch.")
    if method is not None:
        return f"{method['kind'].rpartition('.')[2].replace('TensorBase', 'Tensor')}.{method['name']}"
    return f"{Path(path).parent.name}/{Path(path).name}:{function}"
