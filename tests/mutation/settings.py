"""What ``config.toml`` says: which sources are mutated, which tests look for the mutants, and what is left out."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The configuration; paths are relative to the root of the tree."""

    session: str
    """Folder of the session: the sources as they were, the workers' copies, and the results."""
    survivors: str
    """File with the reasons why mutants may survive."""
    seed: int
    """Of the order in which mutants are tested."""
    least_rate: float
    """Share of the mutants that must be killed."""
    examples: int
    """Hypothesis' examples a test."""
    preloaded: list[str]
    """Packages that a worker imports once."""
    copied: list[str]
    """Files and folders that the tests need besides themselves."""
    environment: dict[str, str]
    """Variables that the tests run with."""
    compilers: list[str]
    """Decorators that only compile."""
    tests: dict[str, list[str]]
    """The test files of each mutated source file."""
    deselected: dict[str, str]
    """Tests that are not run, by a part of their name, and why."""
    lines: dict[str, str]
    """Patterns of source lines that are not mutated, and why."""

    @property
    def all_tests(self) -> list[str]:
        """Return every test file once."""
        return [*dict.fromkeys(name for names in self.tests.values() for name in names)]


def load(path: Path) -> Settings:
    """Return the settings of a file."""
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    wanted = {field.name for field in fields(Settings)}
    if table.keys() != wanted:
        raise SystemExit(f"{path}: wanted exactly the keys {sorted(wanted)}, found {sorted(table)}")
    return Settings(**table)
