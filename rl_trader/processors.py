"""How many processors there are, and how many of them are this process's where several like it work side by side."""

import os

_num_sharing: list[int] = [1]  # processes, this one among them


def processors() -> int:
    """Return how many processors this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def share_processors(num_processes: int) -> None:
    """Leave the processors to so many processes like this one, to each its part."""
    _num_sharing[:] = [num_processes]


def own_processors() -> int:
    """Return how many threads of this process may work at a time: its part of the processors, at least one."""
    return max(processors() // _num_sharing[0], 1)
