"""A market on mapped files: the same bits, small to hand over, and shared between processes."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.benchmark import memory_share
from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_config, bench_market
from envs.vector_env import TradingVectorEnv
from rl_trader.errors import DataError
from rl_trader.mapped_market import map_market
from rl_trader.observed_market import ObservedMarket

NUM_BARS = 2_000


def _with_signal() -> ObservedMarket:
    observed = bench_market(NUM_BARS)
    signals = {"signal_x": np.arange(float(NUM_BARS))}
    return replace(observed, market=replace(observed.market, signals=signals))


def test_a_mapped_market_holds_and_plays_the_same_bits(tmp_path: Path) -> None:
    observed = _with_signal()
    mapped = map_market(observed, tmp_path / "market")
    np.testing.assert_array_equal(mapped.rows, observed.rows)
    np.testing.assert_array_equal(mapped.market.bars, observed.market.bars)
    np.testing.assert_array_equal(mapped.market.fundings, observed.market.fundings)
    np.testing.assert_array_equal(mapped.market.signals["signal_x"], observed.market.signals["signal_x"])
    envs = [TradingVectorEnv(8, market, account_config()) for market in (observed, mapped)]
    first, other = (env.reset(seed=1)[0] for env in envs)
    np.testing.assert_array_equal(first, other)
    for action in np.random.default_rng(0).integers(0, 3, (50, 8)):
        played = [env.step(action) for env in envs]
        np.testing.assert_array_equal(played[0][0], played[1][0])
        np.testing.assert_array_equal(played[0][1], played[1][1])


def test_what_is_handed_to_another_process_is_small_and_maps_the_same_files(tmp_path: Path) -> None:
    mapped = map_market(_with_signal(), tmp_path)
    handed = pickle.dumps(mapped)
    assert mapped.rows.nbytes > 150_000
    assert len(handed) < 30_000
    again = pickle.loads(handed)
    np.testing.assert_array_equal(again.rows, mapped.rows)
    np.testing.assert_array_equal(again.market.signals["signal_x"], mapped.market.signals["signal_x"])
    assert again.market.terms == mapped.market.terms


def test_what_a_process_writes_into_a_mapped_market_stays_its_own(tmp_path: Path) -> None:
    mapped = map_market(bench_market(NUM_BARS), tmp_path)
    before = float(mapped.rows[-1, 0])
    mapped.rows[-1, 0] = before + 1.0
    assert pickle.loads(pickle.dumps(mapped)).rows[-1, 0] == before


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    mapped = map_market(bench_market(NUM_BARS), tmp_path / "market")
    handed = pickle.dumps(mapped)
    (tmp_path / "market" / "rows.npy").unlink()
    with pytest.raises(DataError, match=r"rows.npy cannot be mapped .*write the market again"):
        pickle.loads(handed)


# The shares are read from /proc, which other systems do not have; that the market maps is tested everywhere.
@pytest.mark.skipif(not memory_share.SHARES.exists(), reason="only Linux tells how pages are shared")
def test_processes_that_play_a_mapped_market_take_one_copy_of_it_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_share, "NUM_WORKERS", 2)
    with memory_share.workers(Effort(num_shared=300_000)) as contest:
        # Two copies would be twice the arrays, of 55 MiB; what else two workers take is under a quarter of one.
        assert 0.9 < contest.subject() / contest.reference() < 1.5
