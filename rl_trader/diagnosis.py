"""What is installed, what the machine has, what the data folder holds, whether the exchange answers.

Only the standard library is imported at the top, so that the diagnosis runs where a package is missing.
Times in milliseconds unless a name says otherwise.
"""

import importlib
import json
import platform
import re
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from rl_trader.processors import processors

DISTRIBUTION: Final = "rl-trader"
PING_TIMEOUT_S: Final = 3.0

_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*])?\s*(?:>=\s*(?P<minimum>[\d.]+))?")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that is required."""

    name: str
    minimum: str | None
    """The oldest version that will do; None if any does."""
    installed: str | None
    """The version there is; None if there is none."""

    @property
    def fault(self) -> str | None:
        """Return a sentence about what is wrong with it, or None."""
        if self.installed is None:
            return f"package {self.name} is missing; run `pip install -e . -c constraints.txt`"
        if self.minimum is not None and _numbers(self.installed) < _numbers(self.minimum):
            return (
                f"package {self.name} must be at least {self.minimum} and is {self.installed}; "
                "run `pip install -e . -c constraints.txt`"
            )
        return None


def required_packages(requirements: list[str] | None = None) -> list[Package]:
    """Return the packages of the project's requirements (or of the given ones), without those of extras."""
    packages = []
    for requirement in requirements if requirements is not None else _requirements():
        specifier, _, marker = requirement.partition(";")
        match = _REQUIREMENT.match(specifier.strip())
        if "extra" in marker or match is None:
            continue
        packages.append(Package(match["name"], match["minimum"], _version(match["name"])))
    return packages


def _requirements() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
        return list(project["project"]["dependencies"])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    release = re.match(r"[\d.]*", version)
    return [int(number) for number in (release.group() if release else "").split(".") if number]


@dataclass(frozen=True, slots=True)
class Machine:
    """What computes."""

    python: str
    system: str
    num_cpus: int
    """Processors that this process may use."""
    numba_threads: int | None
    """None where numba cannot be imported."""
    numba_layer: str | None
    """Threading layer of the parallel kernels."""
    kernel_cache: str | None
    """Folder of the compiled kernels."""


def machine() -> Machine:
    """Return what computes; imports numba if it is there."""
    threads, layer, cache = _numba()
    return Machine(platform.python_version(), platform.platform(), processors(), threads, layer, cache)


def _numba() -> tuple[int | None, str | None, str | None]:
    try:
        numba = importlib.import_module("numba")
        kernels = importlib.import_module("rl_trader.kernels")
    except ImportError:
        return None, None, None

    def fill(values: list[float]) -> None:
        for i in numba.prange(len(values)):
            values[i] = i

    # The layer is chosen when the first parallel loop starts.
    numpy = importlib.import_module("numpy")
    numba.njit(parallel=True)(fill)(numpy.zeros(2))
    return numba.get_num_threads(), numba.threading_layer(), str(kernels.cache_dir())


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder of market data."""

    path: str
    is_there: bool
    tables: dict[str, list[str]]
    """Folder name, e.g. klines_30m -> symbols."""
    num_bytes: int

    def describe(self) -> str:
        """Return a sentence about it."""
        if not self.is_there:
            return (
                f"data folder {self.path} is not there; fill it with scripts.download or set RL_TRADER_DATA "
                "(training on the embedded market needs none)"
            )
        if not self.tables:
            return f"data folder {self.path} holds no tables; fill it with scripts.download"
        num_tables = sum(map(len, self.tables.values()))
        return f"data folder {self.path} holds {num_tables} tables, {self.num_bytes / 2**20:.1f} MiB"


def data_folder(root: Path) -> DataFolder:
    """Return what a data folder holds, by file names only."""
    tables: dict[str, list[str]] = {}
    num_bytes = 0
    for path in sorted(root.glob("*/*.parquet")):
        tables.setdefault(path.parent.name, []).append(path.stem)
        num_bytes += path.stat().st_size
    return DataFolder(str(root), root.is_dir(), tables, num_bytes)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Whether the exchange answers."""

    url: str
    answers: bool
    round_trip_ms: float | None
    clock_offset_ms: int | None
    """Exchange's clock minus this machine's, if it told its time; some seconds make signed requests fail."""
    reason: str | None
    """Why there was no answer."""

    def describe(self) -> str:
        """Return a sentence about it."""
        if not self.answers:
            return (
                f"the exchange at {self.url} does not answer ({self.reason}); training and evaluation need no "
                "network, scripts.download and live trading do"
            )
        offset = "" if self.clock_offset_ms is None else f", its clock is {self.clock_offset_ms:+d} ms from this one"
        return f"the exchange at {self.url} answers in {self.round_trip_ms:.0f} ms{offset}"


def exchange(url: str) -> Exchange:
    """Return whether the exchange at a REST address answers a ping."""
    url = url.rstrip("/")
    try:
        started = time.monotonic()
        _get(f"{url}/fapi/v1/ping")
        round_trip_ms = (time.monotonic() - started) * 1e3
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Exchange(url, False, None, None, str(reason))
    try:
        server_time = int(json.loads(_get(f"{url}/fapi/v1/time"))["serverTime"])
        offset = round(server_time + round_trip_ms / 2 - time.time() * 1e3)
    except (OSError, ValueError, KeyError, TypeError):
        offset = None
    return Exchange(url, True, round_trip_ms, offset, None)


def _get(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no http address")
    with urllib.request.urlopen(url, timeout=PING_TIMEOUT_S) as answer:
        content: bytes = answer.read()
    return content
