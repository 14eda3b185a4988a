"""Mutation testing itself: what its report counts, how a reason finds its mutant, and a small module mutated for real.

The module is ``FARE``. By hand, its mutants are: 5 other comparisons for ``<``, 6 other arithmetic operators for ``+``,
and one more and one less for each of its three numbers, 17 in all. The tests know fare(2) and fare(3), so that only
``!=`` for ``<`` survives: nothing beyond 3 is looked at.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.pool import Worker
from tests.mutation.report import Count, Key, Mutant, Report, counts, key_of, read_reasons

REPO = Path(__file__).parents[1]
FARE = '''
def fare(distance: int | None) -> int:
    """Return 2 for the first two kilometres, more beyond."""
    if distance < 3:
        return 2
    return 2 + distance
'''
TESTS = """
from fare import fare


def test_fare():
    assert fare(2) == 2
    assert fare(3) == 5
"""
CONFIG = """
session = ".mutation"
survivors = "survivors.toml"
seed = 3
least_rate = 0.9
examples = 1
environment = {}
compilers = []
copied = ["fare.py", "pyproject.toml"]
preloaded = []
tests = { "fare.py" = ["test_fare.py"] }
deselected = {}
lines = {}
"""
PYPROJECT = '[tool.pytest.ini_options]\npythonpath = ["."]\n'
REASON = """
[[survivor]]
file = "fare.py"
function = "fare"
line = "if distance < 3:"
mutants = ["if distance != 3:"]
reason = "distances end at 3"
"""
TWICE = """class Sum:
    def of(self, a: int, b: int) -> int:
        a = a + b
        b = 7
        a  =  a + b
        return a


a = a + b
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        suffix = {"config": ".toml", "survivors": ".toml", "pyproject": ".toml"}.get(name, ".py")
        (folder / (name + suffix)).write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the small module, its test and the configuration."""
    write(tmp_path, fare=FARE, test_fare=TESTS, config=CONFIG, pyproject=PYPROJECT, survivors="")
    return tmp_path


def command_line(project: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tests.mutation", "--root", str(project), "--config", "config.toml", *options]


def run(project: Path, *options: str) -> tuple[int, str]:
    result = subprocess.run(command_line(project, *options), cwd=REPO, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


# The report


def sum_mutant(row: int, outcome: str = "survived", after: str = "-") -> Mutant:
    line = TWICE.splitlines()[row - 1]
    return Mutant("sum.py", row, "Op", f"-{line}\n+{line.replace('+', after)}", outcome)


def report(*tested: Mutant, reasons: dict[Key, str], num_wanted: int | None = None) -> Report:
    return Report(
        tested=tested,
        num_wanted=len(tested) if num_wanted is None else num_wanted,
        sources={"sum.py": TWICE},
        reasons=reasons,
        least_rate=0.5,
        left_out={"annotations": 4},
    )


def test_what_ran_out_of_time_counts_as_killed() -> None:
    tested = [
        sum_mutant(3, "killed"),
        sum_mutant(3, "stopped", "*"),
        sum_mutant(5, "survived"),
        sum_mutant(9, "killed"),
    ]
    assert counts(tested)["all"] == Count(mutants=4, killed=3)
    assert counts(tested)["all"].survived == 1
    assert counts(tested)["all"].rate == 0.75
    assert counts([])["all"].rate == 1.0


def test_a_key_names_function_and_text_and_tells_equal_lines_apart() -> None:
    first, second = (key_of(sum_mutant(row), TWICE) for row in (3, 5))
    assert first == Key("sum.py", "Sum.of", "a = a + b", "a = a - b", 1)
    assert second == first._replace(nth=2)
    assert key_of(sum_mutant(9), TWICE) == first._replace(function="")
    moved = "\n\n# More lines above change no key.\n" + TWICE
    lower = Mutant("sum.py", 8, "Op", sum_mutant(5).difference, "survived")
    assert key_of(lower, moved) == second


def test_a_report_fails_by_its_rate_by_a_missing_reason_and_by_missing_results() -> None:
    alive, dead = sum_mutant(3), sum_mutant(5, "killed")
    key = key_of(alive, TWICE)
    assert report(alive, dead, reasons={key: "why"}).faults == []
    assert report(alive, dead, reasons={}).faults == ["survivors without a reason: 1"]
    assert report(alive, dead, reasons={key: "why"}, num_wanted=3).faults == ["only 2 of 3 mutants are tested"]
    assert report(alive, reasons={key: "why"}).faults == ["0.0% are killed, at least 50% are wanted"]


def test_a_reason_is_stale_when_its_mutant_is_dead_or_its_line_gone_but_not_while_it_waits_or_was_not_drawn() -> None:
    alive, dead = sum_mutant(3), sum_mutant(5, "killed")
    lives, died = (key_of(mutant, TWICE) for mutant in (alive, dead))
    gone, not_drawn = lives._replace(line="a = a - b"), lives._replace(mutant="a = a / b")
    reasons = {lives: "why", died: "why", gone: "why", not_drawn: "why"}
    assert report(alive, dead, reasons=reasons).stale == [died, gone]
    assert report(alive, dead, reasons=reasons, num_wanted=3).stale == [died, gone]
    assert "stale reason: sum.py Sum.of" in report(alive, dead, reasons=reasons).text()


def test_what_the_report_offers_as_an_entry_is_read_back_as_its_key(tmp_path: Path) -> None:
    quoted = Mutant("sum.py", 5, "Op", '-        a  =  a + b\n+        a = a + "\\b"', "survived")
    path = tmp_path / "survivors.toml"
    path.write_text(report(quoted, reasons={}).stubs().replace('reason = ""', 'reason = "why"'))
    assert read_reasons(path) == {key_of(quoted, TWICE): "why"}
    path.write_text(report(quoted, reasons={}).stubs())
    with pytest.raises(SystemExit, match="an empty one"):
        read_reasons(path)


# A worker


@pytest.fixture
def worker(project: Path) -> Iterator[Worker]:
    """Return a worker that has run the clean test."""
    started = Worker(project, {"examples": 1, "preloaded": [], "deselected": []}, {})
    try:
        started.ask(tests=["test_fare.py"])
        assert started.answer()["code"] == 0
        yield started
    finally:
        started.stop()


def test_a_worker_tells_survivors_from_killed_and_from_those_that_never_end(worker: Worker) -> None:
    endless = FARE.replace("    if", "    while True:\n        pass\n    if")
    # All but the last are of one length and written within a second: by its time and size a file looks unchanged.
    mutants = {
        FARE.replace("<", ">"): ("killed", "test_fare.py::test_fare"),
        FARE.replace("2 +", "3 +"): ("killed", "test_fare.py::test_fare"),
        FARE.replace("first two", "first 2.5"): ("survived", ""),
        FARE.replace("2 +", "2 -"): ("killed", "test_fare.py::test_fare"),
        FARE.replace("2 +", "2 )"): ("killed", "test_fare.py"),
        endless: ("stopped", "test_fare.py::test_fare"),
    }
    for code, expected in mutants.items():
        worker.ask(path="fare.py", code=code, tests=["test_fare.py"])
        answer = worker.answer()
        assert (answer["outcome"], answer["by"]) == expected
        assert (worker.folder / "fare.py").read_text() == FARE


# The whole


def test_a_small_module_has_the_mutants_and_the_survivor_that_it_has_by_hand(project: Path) -> None:
    code, said = run(project, "run", "--workers", "1", "--mutants", "5")
    assert run(project, "report") == (code, said[said.index("left out: ") :])
    assert "a new session" in said
    assert "5 mutants, seed 3" in said
    code, said = run(project, "run", "--workers", "2")
    assert "continues the session" in said
    assert "12 of 12: " in said  # 17 less the 5 that are done
    assert ["fare.py", "17", "16", "1", "94.1%"] in [line.split() for line in said.splitlines()]
    assert "-    if distance < 3:\n+    if distance !=3:\nno reason given" in said.replace("!= 3", "!=3")
    assert code == 1
    assert (project / "fare.py").read_text() == FARE

    write(project, survivors=REASON)
    code, said = run(project, "report")
    assert "distances end at 3" in said
    assert code == 0

    write(project, test_fare=TESTS + "    assert fare(4) == 6\n")
    assert "since then changed: test_fare.py" in run(project, "report")[1]
    code, said = run(project, "run", "--workers", "1", "--mutants", "1")
    assert "a new session, since this has changed: test_fare.py" in said
    assert ["all", "1", "1", "0", "100.0%"] in [line.split() for line in said.splitlines()]
    assert code == 0


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(project: Path) -> None:
    with subprocess.Popen(command_line(project, "run"), cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "17 mutants, seed 3; Ctrl-C stops, the same command goes on\n"))
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted; the same command goes on\n"
    assert "a new session" in said
    assert process.returncode == 130
    assert (project / "fare.py").read_text() == FARE
    code, said = run(project, "report")
    assert "of 17 mutants are tested" in said
    assert code == 1
    assert "continues the session" in run(project, "run", "--mutants", "2")[1]


def test_tests_that_fail_without_a_mutant_stop_the_run(project: Path) -> None:
    write(project, test_fare=TESTS.replace("== 5", "== 6"))
    code, said = run(project, "run", "--workers", "1")
    assert "without a mutant the tests must pass" in said
    assert code == 1
