"""A process that tests mutants in its own copy of the sources: heavy packages stay loaded, each mutant gets a fork.

``pool`` starts this file as a script in the copy and talks to it in lines of JSON: a request on standard input, one
answer a request on standard output. When standard input ends, the process ends.

Byte code of the copy is checked by the hash of its source and never by its time, so that no mutant is hidden by byte
code of the text before it. Time limits count the processor's seconds of one test: a busy machine kills no mutant.
"""

import compileall
import importlib
import json
import math
import os
import py_compile
import resource
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

GRACE: Final = 2.0  # s of processor time beyond what a test may take, and for the collection of all tests ten times it
SLOWER: Final = 5.0  # how many times its clean duration a test may take
WALL_GRACE: Final = 60.0  # s, for what waits and uses no processor time
MEMORY: Final = 4 << 30  # bytes of data
FAILED_CODES: Final = (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)


class Recorder:
    """A pytest plugin: chooses and orders the tests, limits each one's time, and tells the parent what happens."""

    def __init__(self, channel: int, settings: dict[str, Any], clean: dict[str, float]) -> None:
        self.channel = channel
        self.settings = settings
        self.clean = clean  # seconds of each test without a mutant; empty on the clean run itself
        self.seconds: dict[str, float] = {}
        self.deselected: set[str] = set()
        self.failed = ""

    def tell(self, **message: object) -> None:
        """Send one line to the parent."""
        os.write(self.channel, (json.dumps(message) + "\n").encode())

    def pytest_configure(self) -> None:
        """Let hypothesis draw fewer examples, and stop at the first that fails."""
        if "hypothesis" not in sys.modules:
            return
        from hypothesis import HealthCheck, Phase, settings

        settings.register_profile(
            "mutation",
            settings.default,
            max_examples=self.settings["examples"],
            phases=(Phase.explicit, Phase.generate),
            database=None,
            suppress_health_check=[HealthCheck.too_slow],  # else a busy machine would kill mutants
        )
        settings.load_profile("mutation")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what is deselected and put the quick tests first."""
        found = {item.nodeid: {name for name in self.settings["deselected"] if name in item.nodeid} for item in items}
        self.deselected = set().union(*found.values())
        kept = [item for item in items if not found[item.nodeid]]
        items[:] = sorted(kept, key=lambda item: self.clean.get(item.nodeid, 0.0))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Name the test that begins and limit its time."""
        self.tell(begun=nodeid)
        if self.clean:
            limit_processor_time(GRACE + SLOWER * self.clean.get(nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up a test's seconds and note a failure."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a test file that cannot be imported."""
        if report.failed:
            self.failed = self.failed or report.nodeid


def limit_processor_time(seconds: float) -> None:
    """End this process with SIGXCPU when it has used so many more seconds (whole seconds, rounded up)."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), resource.RLIM_INFINITY))


def loaded_files() -> list[str]:
    """Return the files of all loaded modules."""
    files = {getattr(module, "__file__", None) for module in [*sys.modules.values()]}
    return sorted(file for file in files if file)


def run_tests(tests: list[str], settings: dict[str, Any], clean: dict[str, float], channel: int, log: int) -> None:
    """Run the tests in a forked process and send what came out of them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    if clean:
        limit_processor_time(10 * GRACE)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for output in (1, 2):
        os.dup2(log, output)
    sys.dont_write_bytecode = bool(clean)  # the clean run leaves the byte code of the test files
    recorder = Recorder(channel, settings, clean)
    started = time.perf_counter()
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no" if clean else "--tb=short"]
    code = pytest.main([*options, *tests], plugins=[recorder])
    sys.stdout.flush()
    recorder.tell(
        code=int(code),
        failed=recorder.failed,
        seconds=recorder.seconds,
        total=time.perf_counter() - started,
        deselected=sorted(recorder.deselected),
        files=[] if clean else loaded_files(),
    )


class Worker:
    """What the process knows between two requests."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.clean: dict[str, float] = {}
        self.wall_limit = math.inf

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Test one mutant, or without one the clean sources."""
        if request.get("path") is None:
            return self.tested_clean(request["tests"])
        source = Path(request["path"])
        text = source.read_text(encoding="utf-8")
        source.write_text(request["code"], encoding="utf-8")
        try:
            started = time.perf_counter()
            result = self.forked(request["tests"], os.open(os.devnull, os.O_WRONLY))
            return {**verdict(result), "seconds": time.perf_counter() - started}
        finally:
            source.write_text(text, encoding="utf-8")

    def tested_clean(self, tests: list[str]) -> dict[str, Any]:
        """Run all tests on the clean sources and remember how long each one takes."""
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(".", quiet=1, invalidation_mode=mode)
        self.clean, self.wall_limit = {}, math.inf
        log = Path("clean.log")
        result = self.forked(tests, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        self.clean = result.get("seconds", {})
        self.wall_limit = WALL_GRACE + 2 * SLOWER * result.get("total", 0.0)
        return {"output": log.read_text(encoding="utf-8", errors="replace"), **result}

    def forked(self, tests: list[str], log: int) -> dict[str, Any]:
        """Run the tests in a fork; return its last words, or the test in which it died."""
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            try:
                run_tests(tests, self.settings, self.clean, write_end, log)
            except BaseException:  # whatever it is, the fork must not come back into the parent's code
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(write_end)
        os.close(log)
        with suppress(OSError):  # the child may have been quicker
            os.setpgid(pid, pid)
        try:
            return self.heard(read_end)
        finally:
            os.close(read_end)
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def heard(self, channel: int) -> dict[str, Any]:
        """Listen to the fork until it has said all, dies, or takes too long; stop if the parent has gone."""
        deadline = time.monotonic() + self.wall_limit
        words, begun = b"", ""
        while (left := deadline - time.monotonic()) > 0.0:
            ready, _, _ = select.select([channel, 0], [], [], min(left, WALL_GRACE))
            if 0 in ready:
                raise EOFError("the parent has gone")
            if channel not in ready:
                continue
            if not (chunk := os.read(channel, 1 << 16)):
                break
            *lines, words = (words + chunk).split(b"\n")
            for message in map(json.loads, lines):
                begun = message.get("begun", begun)
                if "code" in message:
                    return {**message, "begun": begun}
        return {"begun": begun}


def verdict(result: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome and the test that brought it about.

    Raises:
        RuntimeError: If pytest itself refused its arguments.
    """
    code = result.get("code")
    if code is None:
        return {"outcome": "stopped", "by": result["begun"]}
    if code == pytest.ExitCode.OK:
        return {"outcome": "survived", "by": ""}
    if code in FAILED_CODES:
        return {"outcome": "killed", "by": result["failed"] or result["begun"]}
    raise RuntimeError(f"pytest ended with exit code {code}")


def main() -> NoReturn:
    """Answer requests until there are no more."""
    settings = json.loads(sys.argv[1])
    sys.path[0] = str(Path.cwd())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in settings["preloaded"]:
        importlib.import_module(name)
    worker = Worker(settings)
    with suppress(EOFError):
        for line in iter(sys.stdin.readline, ""):
            answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
            answers.flush()
    sys.exit(0)


if __name__ == "__main__":
    main()
