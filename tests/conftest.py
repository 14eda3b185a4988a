"""Fixtures that several test files share, and the hypothesis profile."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first call of a kernel compiles it, which takes longer than hypothesis' deadline.
settings.register_profile("rl_trader", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("rl_trader")


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """Return the folder of recorded Binance data, or skip where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RL_TRADER_DATA", default))
    if not (folder / "klines_30m" / "BTCUSDT.parquet").exists():
        pytest.skip(f"no recorded market data in {folder}; set RL_TRADER_DATA to run this test")
    return folder
