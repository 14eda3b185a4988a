"""Mutation testing: ``python -m tests.mutation run`` goes on where it was stopped; ``report`` prints what there is.

Exit code 0 if enough mutants are killed and every survivor has its reason, 1 if not or if it cannot run, 130 if it was
interrupted.
"""

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from cosmic_ray.work_item import WorkItem

from tests.mutation import mutants
from tests.mutation.pool import WORKER, Worker, work
from tests.mutation.report import Report, read_reasons
from tests.mutation.session import Session, copy_sources
from tests.mutation.settings import load

EXIT_FAULTS: Final = 1
EXIT_INTERRUPTED: Final = 130
SAID_EVERY: Final = 25  # results


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parsing = argparse.ArgumentParser(prog="tests.mutation", description=__doc__)
    parsing.add_argument("command", choices=("run", "report"))
    parsing.add_argument("--root", type=Path, default=Path.cwd(), help="of the tree (default: %(default)s)")
    parsing.add_argument("--config", type=Path, default=Path("tests/mutation/config.toml"), help="below the root")
    parsing.add_argument("--workers", type=int, default=2, help="processes of a run (default: %(default)s)")
    parsing.add_argument("--mutants", type=int, help="size of a random sample to be run (default: all)")
    return parsing


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a session's folder for this process alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another process works in {folder}; wait for it or stop it") from None
        yield


@contextmanager
def started(session: Session, number: int) -> Iterator[list[Worker]]:
    """Start workers, each with its own copy of the sources, and stop them at the end."""
    settings = session.settings
    options = {
        "examples": settings.examples,
        "preloaded": settings.preloaded,
        "deselected": [*settings.deselected],
    }
    workers: list[Worker] = []
    try:
        for i in range(number):
            folder = session.folder / f"worker-{i}"
            copy_sources([path.name for path in session.sources.iterdir()], session.sources, folder)
            workers.append(Worker(folder, options, settings.environment))
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def tested_clean(session: Session, workers: Sequence[Worker]) -> list[str]:
    """Run the tests on the clean sources in every worker; return which of its sources they have loaded."""
    loaded: set[str] = set()
    for worker in workers:
        worker.ask(tests=session.settings.all_tests)
    for worker in workers:
        answer = worker.answer()
        if answer.get("code") != 0:
            raise SystemExit(f"{answer['output']}\nwithout a mutant the tests must pass; the last: {answer['begun']}")
        if unknown := session.settings.deselected.keys() - set(answer["deselected"]):
            raise SystemExit(f"no test has the name of those deselected: {sorted(unknown)}")
        own = {file for file in map(Path, answer["files"]) if file.is_relative_to(session.root)} - {WORKER}
        inside = {file for file in own if file.is_relative_to(worker.folder)}
        if strangers := sorted(str(file) for file in own - inside if not file.is_relative_to(sys.prefix)):
            raise SystemExit(f"the tests import from outside of their copy; add to `copied`: {strangers}")
        loaded |= {str(file.relative_to(worker.folder)) for file in inside}
        say(f"{worker.folder.name}: without a mutant the tests take {answer['total']:.1f} s")
    return sorted(loaded)


def test_mutants(session: Session, workers: Sequence[Worker]) -> None:
    """Test the chosen mutants that have no result yet, and keep each result as it comes."""
    texts = {path: (session.sources / path).read_text(encoding="utf-8") for path in session.settings.tests}
    waiting = session.waiting()

    def requests() -> Iterator[tuple[WorkItem, str, str]]:
        for item in waiting:
            path = str(item.mutations[0].module_path)
            yield item, path, mutants.mutated(texts[path], item.mutations[0])

    def ask(worker: Worker, request: tuple[WorkItem, str, str]) -> None:
        _, path, code = request
        worker.ask(path=path, code=code, tests=session.settings.tests[path])

    begun, survived = time.monotonic(), 0
    for number, ((item, path, code), answer) in enumerate(work(workers, requests(), ask), 1):
        session.record(item, answer, mutants.difference(texts[path], code))
        survived += answer["outcome"] == "survived"
        if number % SAID_EVERY == 0 or number == len(waiting):
            pace = (time.monotonic() - begun) / number
            left = (len(waiting) - number) * pace / 60
            say(f"{number} of {len(waiting)}: {survived} survived, {pace:.2f} s each, {left:.0f} min left")


def run(session: Session, num_workers: int, size: int | None) -> None:
    """Test what is not yet tested."""
    with locked(session.folder):
        say(session.prepare())
        with started(session, num_workers) as workers:
            session.begin(tested_clean(session, workers))
            session.choose(size)
            say(f"{len(session.sample)} mutants, seed {session.settings.seed}; Ctrl-C stops, the same command goes on")
            test_mutants(session, workers)


def print_report(session: Session) -> int:
    """Print what the session has found and return the exit code."""
    changed = session.changed()
    if changed is None:
        raise SystemExit(f"no session in {session.folder}; `make mutation` begins one")
    if changed:
        say(f"the session is of an earlier tree; since then changed: {', '.join(changed)}")
    report = Report(
        tested=session.tested(),
        num_wanted=len(session.sample),
        sources={path: (session.sources / path).read_text(encoding="utf-8") for path in session.settings.tests},
        reasons=read_reasons(session.root / session.settings.survivors),
        least_rate=session.settings.least_rate,
        left_out=session.left_out,
    )
    say(report.text())
    if stubs := report.stubs():
        path = session.folder / "without-reason.toml"
        path.write_text(stubs + "\n", encoding="utf-8")
        say(f"{path} has their entries, to be moved to {session.settings.survivors} with a reason each")
    return EXIT_FAULTS if report.faults else 0


def main() -> NoReturn:
    """Run the command."""
    arguments = parser().parse_args()
    root = arguments.root.resolve()
    session = Session(root, arguments.config, load(root / arguments.config))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.command == "run":
            run(session, arguments.workers, arguments.mutants)
        sys.exit(print_report(session))
    except KeyboardInterrupt:
        say("interrupted; the same command goes on")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
