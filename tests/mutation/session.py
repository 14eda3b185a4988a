"""What is kept between two runs: the sources as they were, Cosmic Ray's file of mutants and results, and hashes.

A session goes on as long as everything that decides about its results is as it was; else a new one begins. The sources
are read once, when the session begins: what is edited while it runs changes nothing in it.
"""

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

from tests.mutation import mutants
from tests.mutation.report import Mutant
from tests.mutation.settings import Settings

NAMED: Final = 4  # changed files that are named
TOOLS: Final = ("mutants.py", "worker.py", "settings.py")


def digest(path: Path) -> str:
    """Return the hash of a file's content, or an empty text if there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def copy_sources(names: Iterable[str], root: Path, target: Path) -> None:
    """Copy files and folders into a fresh folder."""
    shutil.rmtree(target, ignore_errors=True)
    for name in names:
        if not (root / name).exists():
            raise SystemExit(f"{root / name} does not exist, but the configuration names it")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(root / name, target / name)


class Session:
    """The folder of a session."""

    def __init__(self, root: Path, config: Path, settings: Settings) -> None:
        self.root = root
        self.config = config
        self.settings = settings
        self.folder = root / settings.session
        self.sources = self.folder / "sources"
        self.manifest = self.folder / "manifest.json"
        self.database = self.folder / "session.sqlite"

    def changed(self) -> list[str] | None:
        """Return which files have changed since the session began; None if there is no session."""
        if not self.manifest.exists() or not self.database.exists():
            return None
        hashes = self._manifest()["files"]
        return [name for name, value in hashes.items() if digest(self._place(name)) != value]

    def _place(self, name: str) -> Path:
        return Path(__file__).parent / name if name in TOOLS else self.root / name

    def _manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(self.manifest.read_text(encoding="utf-8"))
        return manifest

    def _keep(self, manifest: Mapping[str, Any]) -> None:
        written = self.manifest.with_suffix(".new")
        written.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        written.replace(self.manifest)

    def prepare(self) -> str:
        """Take the sources if a new session has to begin; return what is going to be done."""
        changed = self.changed()
        if changed == []:
            return "continues the session"
        self.manifest.unlink(missing_ok=True)
        copy_sources([*self.settings.copied, *self.settings.all_tests], self.root, self.sources)
        if changed is None:
            return "a new session"
        named = ", ".join(changed[:NAMED]) + (f" and {len(changed) - NAMED} more" if len(changed) > NAMED else "")
        return f"a new session, since this has changed: {named}"

    def begin(self, loaded: Iterable[str]) -> None:
        """Find the mutants of a new session; ``loaded`` are the files that its tests have imported."""
        if self.manifest.exists():
            return
        survivors = [job for job, result in self._results().items() if not result.is_killed]
        items: list[WorkItem] = []
        left_out: Counter[str] = Counter()
        for path in self.settings.tests:
            text = (self.sources / path).read_text(encoding="utf-8")
            found, less = mutants.find(path, text, self.settings.compilers, self.settings.lines)
            items += found
            left_out += less
        self._close()
        self.database.unlink(missing_ok=True)
        self._db.add_work_items(items)
        others = [path for path in self.sources.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
        names = {*loaded, *self.settings.tests, *(str(path.relative_to(self.sources)) for path in others)}
        content = {
            "files": {name: digest(self.sources / name) for name in sorted(names)}
            | {str(self.config): digest(self.root / self.config)}
            | {name: digest(self._place(name)) for name in TOOLS},
            "size": None,
            "left_out": dict(left_out),
            "survivors": survivors,
        }
        self._keep(content)

    @cached_property
    def _db(self) -> Any:
        return WorkDB(self.database, WorkDB.Mode.create)

    def _close(self) -> None:
        self._db.close()
        del self._db

    def _results(self) -> dict[str, WorkResult]:
        return dict(self._db.results)

    def choose(self, size: int | None) -> None:
        """Set how many mutants are to be tested, the first in the seed's order; None is all."""
        self._keep(self._manifest() | {"size": size})

    @property
    def sample(self) -> list[WorkItem]:
        """Return the chosen mutants."""
        items = sorted(self._db.work_items, key=lambda item: str(item.job_id))
        random.Random(self.settings.seed).shuffle(items)
        return items[: self._manifest()["size"]]

    def waiting(self) -> list[WorkItem]:
        """Return the mutants without a result, those first that survived in the session before."""
        results, survivors = self._results(), set(self._manifest()["survivors"])
        return sorted(
            (item for item in self.sample if item.job_id not in results), key=lambda i: i.job_id not in survivors
        )

    def record(self, item: WorkItem, answer: Mapping[str, Any], difference: str) -> None:
        """Keep one result."""
        survived = answer["outcome"] == "survived"
        result = WorkResult(
            worker_outcome=WorkerOutcome.NORMAL,
            output=f"{answer['outcome']} {answer['by']}".strip(),
            test_outcome=TestOutcome.SURVIVED if survived else TestOutcome.KILLED,
            diff=difference,
        )
        self._db.set_result(item.job_id, result)

    def tested(self) -> list[Mutant]:
        """Return what became of the chosen mutants, as far as they are tested."""
        results = self._results()
        return [
            Mutant(
                path=str(item.mutations[0].module_path),
                row=item.mutations[0].start_pos[0],
                operator=item.mutations[0].operator_name.removeprefix("core/"),
                difference=results[item.job_id].diff or "",
                outcome=(results[item.job_id].output or "").partition(" ")[0],
            )
            for item in self.sample
            if item.job_id in results
        ]

    @property
    def left_out(self) -> dict[str, int]:
        """Return how many mutants each rule has left out."""
        rules: dict[str, int] = self._manifest()["left_out"]
        return rules
