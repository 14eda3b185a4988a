"""Seconds of whole commands as a user types them, from the start of the process to its end."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import agents.training.run
from agents.benchmark.effort import Effort
from agents.benchmark.environment import INTERVAL, account_config, account_hash, config_hash
from agents.benchmark.market import SINCE, SYMBOL, synthetic_tables
from agents.benchmark.measure import Contest, Run
from agents.config import MarketConfig, PPOConfig, TrainConfig
from agents.presets import PRESETS
from rl_trader.bars import MS_PER_DAY
from rl_trader.klines import interval_ms, parse_date, utc
from rl_trader.store import DataStore

WARMUP_DAYS: Final = 40
SHORT_DAYS: Final = 30  # of the training and of the validation that an evaluation wants to have had
IMPORTS: Final = "import agents.training.run, agents.evaluate, rl_trader.report"
ABOUT_IMPORTS: Final = "importing what it needs"


@contextmanager
def evaluation(effort: Effort, scripts: Path) -> Iterator[Contest]:
    """Seconds of evaluating a checkpoint with baselines, random agents, stress and report."""
    with tempfile.TemporaryDirectory(prefix="rl_trader_bench_") as name:
        run = _trained_run(Path(name), effort.num_evaluated)
        yield Contest(
            subject=_seconds([[*_script(scripts, "evaluate"), str(run)]], scripts),
            reference=_seconds([[sys.executable, "-c", IMPORTS]], scripts),
            reference_name=ABOUT_IMPORTS,
            config=account_hash(),
        )


@contextmanager
def demo(_effort: Effort, scripts: Path) -> Iterator[Contest]:
    """Seconds of ``make train`` once the environment is installed: training the demo and evaluating it."""
    with tempfile.TemporaryDirectory(prefix="rl_trader_bench_") as name:
        run = Path(name) / "demo"
        train = [*_script(scripts, "train"), "demo", "--runs", name, "--name", run.name]
        yield Contest(
            subject=_seconds([["rm", "-rf", str(run)], train, [*_script(scripts, "evaluate"), str(run)]], scripts),
            reference=_seconds([[sys.executable, "-c", IMPORTS]], scripts),
            reference_name=ABOUT_IMPORTS,
            config=config_hash(PRESETS["demo"][1].env, []),
        )


def _script(scripts: Path, name: str) -> list[str]:
    return [sys.executable, "-m", f"{scripts.name}.{name}"]


def _seconds(commands: list[list[str]], scripts: Path) -> Run:
    def run() -> float:
        begin = time.perf_counter()
        for command in commands:
            subprocess.run(command, cwd=scripts.parent, capture_output=True, check=True)
        return time.perf_counter() - begin

    return run


def _trained_run(folder: Path, num_bars: int) -> Path:
    """Train shortly on a synthetic market that goes on for ``num_bars`` after it, and return the run's folder."""
    per_day = MS_PER_DAY // interval_ms(INTERVAL)
    days = WARMUP_DAYS + 2 * SHORT_DAYS + -(-num_bars // per_day)
    tables = synthetic_tables(days * per_day, INTERVAL, INTERVAL)
    store = DataStore(folder / "data")
    store.write(f"klines_{INTERVAL}", SYMBOL, tables.klines)
    store.write(f"mark_price_{INTERVAL}", SYMBOL, tables.mark_prices[INTERVAL])
    assert tables.funding is not None
    store.write("funding_rate", SYMBOL, tables.funding)
    first = parse_date(SINCE)
    borders = [WARMUP_DAYS, WARMUP_DAYS + SHORT_DAYS, WARMUP_DAYS + 2 * SHORT_DAYS, days]
    dates = [utc(first + day * MS_PER_DAY) for day in borders]
    ppo = PPOConfig(num_envs=64)
    config = TrainConfig(
        data=folder / "data",
        runs=folder / "runs",
        name="run",
        device="cpu",
        evaluations=1,
        market=MarketConfig(
            symbols=(SYMBOL,),
            interval=INTERVAL,
            train=(dates[0], dates[1]),
            validation=(dates[1], dates[2]),
            test=(dates[2], dates[3]),
        ),
        env=account_config(),
        ppo=PPOConfig(num_envs=ppo.num_envs, total_timesteps=ppo.num_envs * ppo.n_steps),
    )
    agents.training.run.new_run(config, "bench").learn(lambda _done, _total: None)
    return folder / "runs" / "run"
