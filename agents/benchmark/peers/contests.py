"""A subject of this project beside a peer that runs in a process of its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from agents.benchmark.effort import Effort
from agents.benchmark.measure import Contest, Run
from agents.benchmark.peers.process import peer_run

Peer = Callable[[Effort], AbstractContextManager[tuple[Run, str]]]


@contextmanager
def beside(
    effort: Effort, subject: Callable[[Effort], Run], peer: Peer, config: Callable[[], str]
) -> Iterator[Contest]:
    """Yield a contest.

    Args:
        effort: Of both.
        subject: Makes this project's run.
        peer: Makes the peer's.
        config: Makes the hash of the measured account.
    """
    with peer(effort) as (reference, name):  # first, since a subject for an absent peer need not be made
        yield Contest(subject=subject(effort), reference=reference, reference_name=name, config=config())


@contextmanager
def _named(
    effort: Effort, about: str, start: Callable[..., AbstractContextManager[tuple[Run, str]]], is_timed: bool
) -> Iterator[tuple[Run, str]]:
    with start(seconds=effort.seconds) if is_timed else start() as (run, versions):
        where = "" if effort.device == "cpu" else ", on the CPU"
        yield run, f"{about} ({versions}{where})"


def peer(
    name: str,
    script: str,
    job: str,
    about: str,
    *,
    is_timed: bool = True,
    library_threads: int = 1,
    **arguments: object,
) -> Peer:
    """Return a peer.

    Args:
        name: Whose environment.
        script: Of ``workers``.
        job: Of the script.
        about: What the table says of it.
        is_timed: Whether the job takes the seconds of a run.
        library_threads: That numerical libraries may use.
        arguments: Of the job.
    """
    start = partial(peer_run, name, script, job, library_threads=library_threads, **arguments)
    return partial(_named, about=about, start=start, is_timed=is_timed)
