"""The diagnosis: packages, machine, data folder, exchange."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rl_trader import diagnosis
from tests.loopback_binance import LoopbackBinance

REPO = Path(__file__).parents[1]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def binance(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBinance]:
    """Return a server on loopback that answers a ping."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with LoopbackBinance() as server:
        yield server


def run(*arguments: str, cwd: Path = REPO, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.doctor", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_doctor_reports_packages_threads_data_and_exchange(binance: LoopbackBinance, tmp_path: Path) -> None:
    (tmp_path / "klines_4h").mkdir()
    (tmp_path / "klines_4h" / "BTCUSDT.parquet").write_bytes(b"x" * 77)
    result = run("--rest-url", binance.url, "--data", str(tmp_path), "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["faults"] == []
    assert {"torch", "numba", "ccxt"} <= set(report["packages"])
    assert "pytest" not in report["packages"]  # of the extra `dev`
    assert report["machine"]["num_cpus"] == len(os.sched_getaffinity(0))
    assert report["machine"]["numba_threads"] >= 1
    assert report["machine"]["numba_layer"] in ("tbb", "omp", "workqueue")
    assert "/kernels/" in report["machine"]["kernel_cache"]
    assert report["torch"]["devices"][0] == "cpu"
    assert report["data"]["tables"] == {"klines_4h": ["BTCUSDT"]}
    assert report["data"]["num_bytes"] == 77
    assert report["exchange"]["answers"] is True
    assert abs(report["exchange"]["clock_offset_ms"]) < 60_000


def test_without_network_the_doctor_is_content(tmp_path: Path) -> None:
    result = run("--rest-url", NOBODY, "--data", str(tmp_path / "none"))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert any(line.startswith(f"the exchange at {NOBODY} does not answer (") for line in lines)
    assert any(line.startswith(f"data folder {tmp_path / 'none'} is not there; fill it") for line in lines)


def test_a_missing_package_is_named_and_the_exit_code_is_1(tmp_path: Path) -> None:
    # A distribution rl-trader of this folder hides the installed one and asks for a package that nobody has.
    information = tmp_path / "rl_trader-9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: rl-trader\nVersion: 9\nRequires-Dist: no-such-package-anywhere>=1\n"
    )
    result = run("--rest-url", NOBODY, cwd=tmp_path, path=f"{tmp_path}{os.pathsep}{REPO}")
    assert result.returncode == 1, result.stderr
    assert result.stdout.splitlines()[-1].startswith("package no-such-package-anywhere is missing; run ")


def test_packages_are_judged_by_their_oldest_version_that_will_do() -> None:
    requirements = ["numpy>=1.10", "pandas[x] >= 999", "pytest", 'ruff>=9999; extra == "dev"']
    packages = diagnosis.required_packages(requirements)
    assert [package.name for package in packages] == ["numpy", "pandas", "pytest"]
    faults = [package.fault for package in packages]
    assert faults[0] is None
    assert faults[1] is not None
    assert faults[1].startswith("package pandas must be at least 999 and is ")
    assert faults[2] is None


def test_versions_are_compared_as_numbers_and_not_as_text() -> None:
    # As text "2.10" comes before "2.9", and "+cpu" is no part of the release.
    assert diagnosis.Package("a", minimum="2.9", installed="2.10").fault is None
    assert diagnosis.Package("a", minimum="2.13", installed="2.13.0+cpu").fault is None
    assert diagnosis.Package("a", minimum="2.10", installed="2.9").fault is not None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [(False, "is not there; fill it with scripts.download"), (True, "holds no tables; fill it with")],
)
def test_a_data_folder_without_data_says_what_to_do(make: bool, sentence: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    if make:
        root.mkdir()
    assert sentence in diagnosis.data_folder(root).describe()


def test_an_address_that_is_none_is_a_reason_and_no_error() -> None:
    answer = diagnosis.exchange("ftp:/x")
    assert not answer.answers
    assert answer.reason == "'ftp:/x/fapi/v1/ping' is no http address"


@pytest.mark.parametrize("name", ["doctor", "download"])
def test_help_imports_nothing_heavy(name: str) -> None:
    # What makes --help slow is imports; the names are those of the packages that take longest.
    code = (
        f"import sys\nsys.argv = ['x', '--help']\nfrom scripts import {name}\n"
        f"try:\n    {name}.main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print([m for m in ('numpy', 'pandas', 'numba', 'torch', 'ccxt', 'aiohttp') if m in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
