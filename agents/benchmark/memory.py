"""Memory of a training on a long recording, beside the arrays that it cannot do without.

The recording lies in a data folder and is read as ``scripts.train`` reads it. Every run is a process of its own that
first imports all that a training imports; the run before told what that is.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_config, account_hash
from agents.benchmark.market import SINCE, SYMBOL, synthetic_tables
from agents.benchmark.measure import Contest
from agents.config import MarketConfig, PPOConfig, TrainConfig
from rl_trader.bars import MS_PER_DAY
from rl_trader.klines import interval_ms, parse_date, utc
from rl_trader.serialise import to_json
from rl_trader.store import DataStore

INTERVAL: Final = "1m"
MARK_INTERVAL: Final = "8h"
NUM_ENVS: Final = 64
NUM_UPDATES: Final = 3
BYTES_PER_MIB: Final = 2**20
CHILD: Final = "agents.benchmark.memory_run"


@contextmanager
def training(effort: Effort) -> Iterator[Contest]:
    """Memory of training over the bare imports, in MiB."""
    with tempfile.TemporaryDirectory(prefix="rl_trader_bench_") as name:
        folder = Path(name)
        write_store(folder / "data", effort.num_minutes)
        answers: list[dict[str, Any]] = []

        def over_imports() -> float:
            config = train_config(folder, effort.num_minutes, f"run-{len(answers)}")
            answers.append(train_apart(config, answers[-1]["modules"] if answers else []))
            return float(answers[-1]["peak"] - answers[-1]["imported"]) / BYTES_PER_MIB

        yield Contest(
            subject=over_imports,
            reference=lambda: answers[-1]["arrays"] / BYTES_PER_MIB,
            reference_name="the arrays of bars and features alone",
            config=account_hash(),
        )


def write_store(folder: Path, num_minutes: int) -> None:
    """Write klines of one minute, mark prices and funding of 8 hours."""
    tables = synthetic_tables(num_minutes, INTERVAL, MARK_INTERVAL)
    store = DataStore(folder)
    store.write(f"klines_{INTERVAL}", SYMBOL, tables.klines)
    store.write(f"mark_price_{MARK_INTERVAL}", SYMBOL, tables.mark_prices[MARK_INTERVAL])
    assert tables.funding is not None
    store.write("funding_rate", SYMBOL, tables.funding)


def train_config(folder: Path, num_minutes: int, name: str) -> TrainConfig:
    """Return a short training that reads the whole store: the last two days to validate and test, the rest to train."""
    until = parse_date(SINCE) + num_minutes * interval_ms(INTERVAL)
    dates = [utc(until - days * MS_PER_DAY) for days in (2, 1, 0)]
    ppo = PPOConfig(num_envs=NUM_ENVS)
    frames = ppo.num_envs * ppo.n_steps * NUM_UPDATES
    return TrainConfig(
        data=folder / "data",
        runs=folder / "runs",
        name=name,
        device="cpu",
        evaluations=1,
        market=MarketConfig(
            symbols=(SYMBOL,),
            interval=INTERVAL,
            train=(SINCE, dates[0]),
            validation=(dates[0], dates[1]),
            test=(dates[1], dates[2]),
        ),
        env=account_config(),
        ppo=PPOConfig(num_envs=NUM_ENVS, total_timesteps=frames),
    )


def train_apart(config: TrainConfig, modules: Sequence[str]) -> dict[str, Any]:
    """Train in a fresh process, after importing some modules, and return what ``memory_run.answer`` says."""
    request = json.dumps({"config": to_json(config), "modules": list(modules)})
    done = subprocess.run([sys.executable, "-m", CHILD], input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the training of the memory line failed: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
