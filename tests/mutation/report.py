"""The outcome of a session: how many mutants the tests have killed, and why the others may live.

A reason belongs to a mutant by what can be read in the source: the file, the function, the line before and after the
change. Line numbers play no part. ``nth`` tells equal lines of one function apart.
"""

import ast
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Mutant:
    """A mutant and what became of it."""

    path: str
    row: int
    """Line of the change, from 1."""
    operator: str
    difference: str
    """The changed lines, before with a minus and after with a plus."""
    outcome: str
    """``killed``, ``stopped`` (ran out of time or died; killed too) or ``survived``."""

    @property
    def survived(self) -> bool:
        """Return whether no test has noticed it."""
        return self.outcome == "survived"


class Key(NamedTuple):
    """By what a reason finds its mutant."""

    file: str
    function: str  # with its classes; empty outside of any
    line: str
    mutant: str
    nth: int  # from 1, among the function's lines with this text


class Count(NamedTuple):
    """A line of the table."""

    mutants: int
    killed: int

    @property
    def survived(self) -> int:
        """Return how many are alive."""
        return self.mutants - self.killed

    @property
    def rate(self) -> float:
        """Return the share of the killed, 1 where nothing was tested."""
        return self.killed / self.mutants if self.mutants else 1.0


def plain(text: str) -> str:
    """Return a text with single blanks."""
    return " ".join(text.split())


def changed_line(difference: str, sign: str) -> str:
    """Return the lines with a sign as one line of text."""
    return plain(" ".join(line[1:] for line in difference.splitlines() if line.startswith(sign)))


@cache
def parsed(text: str) -> ast.Module:
    """Return the syntax tree of a source text."""
    return ast.parse(text)


def scope_at(text: str, row: int) -> str:
    """Return the name of the innermost function or class around a line, empty outside of any."""
    names = []
    nodes: Sequence[ast.AST] = parsed(text).body
    while scope := next((n for n in nodes if isinstance(n, SCOPES) and n.lineno <= row <= (n.end_lineno or 0)), None):
        names.append(scope.name)
        nodes = scope.body
    return ".".join(names)


def key_of(mutant: Mutant, text: str) -> Key:
    """Return the key of a mutant of a source text."""
    function = scope_at(text, mutant.row)
    rows = [plain(row) for row in text.splitlines()[: mutant.row]]
    equal = [row for row, line in enumerate(rows, 1) if line == rows[-1] and scope_at(text, row) == function]
    before, after = (changed_line(mutant.difference, sign) for sign in "-+")
    return Key(mutant.path, function, before, after, nth=len(equal))


def read_reasons(path: Path) -> dict[Key, str]:
    """Return the reasons of a file of ``[[survivor]]`` tables; one table may have several mutants of a line."""
    reasons: dict[Key, str] = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", []):
        for mutant in entry["mutants"]:
            key = Key(entry["file"], entry["function"], plain(entry["line"]), plain(mutant), entry.get("nth", 1))
            if key in reasons or not entry["reason"].strip():
                raise SystemExit(f"{path}: two reasons, or an empty one, for {mutant!r} in {key.function}")
            reasons[key] = entry["reason"]
    return reasons


def counts(tested: Sequence[Mutant]) -> dict[str, Count]:
    """Return a count for each file, and one for all."""
    by_file: dict[str, list[Mutant]] = {}
    for mutant in tested:
        by_file.setdefault(mutant.path, []).append(mutant)
    rows = {**by_file, "all": list(tested)}
    return {name: Count(len(row), sum(not mutant.survived for mutant in row)) for name, row in rows.items()}


def table(rows: Mapping[str, Count]) -> str:
    """Return the table as text."""
    width = max(len(name) for name in rows)
    lines = [f"{'file':<{width}}  mutants  killed  survived    rate"]
    for name, row in rows.items():
        lines.append(f"{name:<{width}}  {row.mutants:7d}  {row.killed:6d}  {row.survived:8d}  {row.rate:6.1%}")
    return "\n".join(lines)


def stub(key: Key) -> str:
    """Return an entry for the file of reasons whose reason is still to be written."""
    fields: dict[str, Any] = {"file": key.file, "function": key.function, "line": key.line, "mutants": [key.mutant]}
    if key.nth > 1:
        fields["nth"] = key.nth
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["[[survivor]]", *lines, 'reason = ""'])


@dataclass(frozen=True)
class Report:
    """What `make mutation` prints at its end."""

    tested: Sequence[Mutant]
    num_wanted: int
    """Mutants that were to be tested."""
    sources: Mapping[str, str]
    """Text of each mutated file."""
    reasons: Mapping[Key, str]
    least_rate: float
    left_out: Mapping[str, int]

    @property
    def survivors(self) -> list[tuple[Mutant, Key, str | None]]:
        """Return the survivors in the order of the sources, with their keys and reasons."""
        alive = sorted((m for m in self.tested if m.survived), key=lambda m: (m.path, m.row, m.operator))
        keys = [key_of(mutant, self.sources[mutant.path]) for mutant in alive]
        return [(mutant, key, self.reasons.get(key)) for mutant, key in zip(alive, keys, strict=True)]

    @property
    def stale(self) -> list[Key]:
        """Return the reasons whose mutant is dead, or whose line is gone; what has not been tested may still live."""
        keys = {key_of(mutant, self.sources[mutant.path]): mutant.survived for mutant in self.tested}
        texts = {path: plain(text) for path, text in self.sources.items()}
        return [key for key in self.reasons if not keys.get(key, key.line in texts.get(key.file, ""))]

    @property
    def faults(self) -> list[str]:
        """Return in sentences why the check has failed."""
        rate = counts(self.tested)["all"].rate
        nameless = sum(reason is None for _, _, reason in self.survivors)
        faults = {
            f"only {len(self.tested)} of {self.num_wanted} mutants are tested": len(self.tested) < self.num_wanted,
            f"{rate:.1%} are killed, at least {self.least_rate:.0%} are wanted": rate < self.least_rate,
            f"survivors without a reason: {nameless}": nameless > 0,
        }
        return [sentence for sentence, is_so in faults.items() if is_so]

    def stubs(self) -> str:
        """Return entries for the file of reasons, one for each survivor that has none."""
        return "\n\n".join(stub(key) for _, key, reason in self.survivors if reason is None)

    def text(self) -> str:
        """Return the whole report."""
        parts = [f"left out: {number:5d}  {rule}" for rule, number in self.left_out.items()]
        parts += ["", table(counts(self.tested))]
        if stopped := sum(mutant.outcome == "stopped" for mutant in self.tested):
            parts.append(f"{stopped} of the killed ran out of time or ended their process")
        for mutant, key, reason in self.survivors:
            place = f"{mutant.path}:{mutant.row} {key.function}  {mutant.operator}"
            parts += ["", place, mutant.difference, reason or "no reason given"]
        for key in self.stale:
            parts += ["", f"stale reason: {key.file} {key.function}", f"-{key.line}", f"+{key.mutant}"]
        return "\n".join([*parts, "", *(self.faults or ["The tests notice what they have to."])])
