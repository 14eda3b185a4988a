"""The worker processes, and the loop that gives each of them one mutant after the other."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

WORKER: Final = Path(__file__).with_name("worker.py")
PATIENCE: Final = 10.0  # s, until a worker that was told to stop is stopped


class Worker:
    """A worker process and its copy of the sources."""

    def __init__(self, folder: Path, options: dict[str, Any], environment: dict[str, str]) -> None:
        self.folder = folder
        quiet = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(options)],
            cwd=folder,
            env={**os.environ, **quiet, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent alone
        )

    def ask(self, **request: object) -> None:
        """Send a request."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to the last request."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker in {self.folder} has ended; its last words are above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """End the process; whatever it is doing is given up."""
        with self.process:  # closes the pipes at its end
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()


def work(workers: Sequence[Worker], requests: Iterator[Any], ask: Callable[[Worker, Any], None]) -> Iterator[Any]:
    """Yield (request, answer) as answers come in, while requests are left."""
    with selectors.DefaultSelector() as selector:
        busy: dict[Worker, Any] = {}

        def give(worker: Worker) -> None:
            request = next(requests, None)
            if request is not None:
                ask(worker, request)
                busy[worker] = request

        for worker in workers:
            assert worker.process.stdout is not None
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            give(worker)
        while busy:
            for ready, _ in selector.select():
                worker = ready.data
                answer = worker.answer()
                yield busy.pop(worker), answer
                give(worker)
