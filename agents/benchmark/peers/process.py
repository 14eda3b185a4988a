"""A peer at work in a process of its own, run by run, so that it takes turns with this project."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from agents.benchmark.measure import Run
from agents.benchmark.peers.venvs import AbsentPeerError, python_of

WORKERS: Final = Path(__file__).parent / "workers"
PROTOTYPES: Final = "RL_TRADER_PROTOTYPES"
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
PATIENCE: Final = 300.0  # seconds for a preparation, or for a run
HERE: Final = ""  # this project's own interpreter


class PeerProcess:
    """A worker's script in an interpreter.

    Args:
        python: The interpreter.
        script: Name of a file of ``workers``, without its ending.
        arguments: Of the script.
        request: The job's name and arguments, as the script wants them.
        num_threads: That numerical libraries may use.
    """

    def __init__(
        self, python: Path, script: str, arguments: list[str], request: dict[str, Any], num_threads: int
    ) -> None:
        self._script = script
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        threads = dict.fromkeys(THREAD_VARIABLES, str(num_threads))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [str(python), str(WORKERS / f"{script}.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            env=environment | threads | _jax_settings(num_threads),
        )
        self.versions: str = self._ask(json.dumps(request))

    def run(self) -> float:
        """Return the figure of one run."""
        return float(self._ask("run"))

    def close(self) -> None:
        """End the process, if it has not ended."""
        if self._words.closed:
            return
        with suppress(BrokenPipeError):
            self._process.communicate()
        self._words.close()

    def _ask(self, line: str) -> Any:  # noqa: ANN401 - whatever it answers
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        is_silent = not select.select([self._process.stdout], [], [], PATIENCE)[0]
        answer = "" if is_silent else self._process.stdout.readline()
        if not answer:
            self._process.kill()
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._words.seek(0)
            last = (self._words.read().strip().splitlines() or ["no word"])[-1]
            self._words.close()
            word = f"is silent for {PATIENCE:.0f} s" if is_silent else "has ended"
            raise AbsentPeerError(f"the peer's script {self._script} {word}: {last}")
        return json.loads(answer)


def _jax_settings(num_threads: int) -> dict[str, str]:
    settings = {"JAX_PLATFORMS": "cpu"}
    if num_threads == 1:
        settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return settings


@contextmanager
def peer_run(
    peer: str, script: str, job: str, *, library_threads: int = 1, **arguments: object
) -> Iterator[tuple[Run, str]]:
    """Yield a peer's run and the versions of its packages.

    Args:
        peer: Whose environment; ``HERE`` is this project's own.
        script: Name of a file of ``workers``, without its ending.
        job: Of the script.
        library_threads: That numerical libraries may use.
        arguments: Of the job.

    Raises:
        AbsentPeerError: If the peer is not installed, or cannot do it.
    """
    python = Path(sys.executable) if peer == HERE else python_of(peer)
    needs_prototypes = script in ("prototype", "lean_jax")
    folder = [str(prototypes_folder())] if needs_prototypes else []
    process = PeerProcess(python, script, folder, {"job": job, **arguments}, library_threads)
    try:
        yield process.run, process.versions
    finally:
        process.close()


def prototypes_folder() -> Path:
    """Return the folder of prototypes and lean loops.

    Raises:
        AbsentPeerError: If none is named, or it is not there.
    """
    named = os.environ.get(PROTOTYPES)
    if not named:
        raise AbsentPeerError(f"no prototypes are at hand; name their folder by --prototypes or ${PROTOTYPES}")
    folder = Path(named)
    if not folder.is_dir():
        raise AbsentPeerError(f"${PROTOTYPES} names {folder}, which is no folder; name another one")
    return folder
