"""Fixtures that several test files share, the hypothesis profile, and a search for secrets after the last test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.canary import MARK, files_that_show_it

# A shell's background job ignores it, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The first call of a kernel compiles it, which takes longer than hypothesis' deadline.
settings.register_profile("rl_trader", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("rl_trader")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Let nothing that a test has said show a canary, unless it failed and says why."""
    assert report.failed or not any(MARK.decode() in text for _, text in report.sections), report.nodeid


@pytest.fixture(scope="session", autouse=True)
def no_canary_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search all that the tests have left behind for the canaries' secrets, after the last one."""
    yield
    assert files_that_show_it([tmp_path_factory.getbasetemp()]) == []


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """Return the folder of recorded Binance data, or skip where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RL_TRADER_DATA", default))
    if not (folder / "klines_30m" / "BTCUSDT.parquet").exists():
        # The recordings are not distributed: users do not have them, and the embedded market is tested without.
        pytest.skip(f"no recorded market data in {folder}; set RL_TRADER_DATA to run this test")
    return folder
