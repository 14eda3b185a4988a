"""The lines of the benchmark, by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numba

from agents.benchmark import (
    environment,
    exchange,
    memory,
    memory_share,
    policy_step,
    startup,
    training,
    training_dqn,
    whole_commands,
)
from agents.benchmark.effort import Effort
from agents.benchmark.line import FRAMES, MIB, MS, SECONDS, STEPS, Line
from agents.benchmark.live import decisions, flood, noticing, starting
from agents.benchmark.measure import Reach, Result, interleave
from agents.benchmark.peers import lines as peers
from agents.benchmark.peers.venvs import AbsentPeerError
from rl_trader.errors import ConfigError

ENVIRONMENT = (
    Line(
        name="vector_env/1_thread/1024",
        about="vector environment beside Gymnasium's NumPy cart-pole",
        unit=STEPS,
        prepare=partial(environment.against_cart_pole, num_envs=1_024),
        reach=Reach("median", 8e6),
    ),
    Line(
        name="vector_env/1_thread/1024/copy",
        about="vector environment beside copying its observations",
        unit=STEPS,
        prepare=partial(environment.against_copy, num_envs=1_024, window=1),
    ),
    Line(
        name="vector_env/2_threads/4096",
        about="vector environment on two threads beside one",
        unit=STEPS,
        prepare=partial(environment.two_threads, num_envs=4_096),
        reach=Reach("ratio", 1.6),
        num_threads=2,
    ),
    Line(
        name="single_env",
        about="one account through gymnasium.make beside cart-pole",
        unit=STEPS,
        prepare=environment.single_env,
    ),
    *(
        Line(
            name=f"vector_env/window_32/{num_envs}",
            about="windows of 32 bars beside copying them",
            unit=STEPS,
            prepare=partial(environment.against_copy, num_envs=num_envs, window=32),
            reach=Reach("ratio", 0.5),
        )
        for num_envs in (256, 1_024)
    ),
    Line(
        name="vector_env/window_32/1024/copied",
        about="the same with observations of its own in every step",
        unit=STEPS,
        prepare=partial(environment.against_copy, num_envs=1_024, window=32, copy=True),
    ),
)

PPO_SIZES: Final = {
    "64x64/1024": training.ppo_config(num_envs=1_024, n_steps=16, batch_size=8_192, n_epochs=4, hidden=64),
    "64x64/256": training.ppo_config(num_envs=256, n_steps=64, batch_size=2_048, n_epochs=10, hidden=64),
    "64x64/64": training.ppo_config(num_envs=64, n_steps=256, batch_size=256, n_epochs=10, hidden=64),
    "256x256/1024": training.ppo_config(num_envs=1_024, n_steps=16, batch_size=8_192, n_epochs=4, hidden=256),
}
DQN_SIZES: Final = {
    "1": training_dqn.dqn_config(num_envs=1, train_freq=4, gradient_steps=1, batch_size=32),
    "16": training_dqn.dqn_config(num_envs=16, train_freq=4, gradient_steps=4, batch_size=256),
    "64": training_dqn.dqn_config(num_envs=64, train_freq=4, gradient_steps=16, batch_size=256),
}
_ALL_THREE = {"sb3": 1.0, "sb3_1_thread": 1.0, "sbx": 1.0, "lean_jax": 1.0}
_FIRST_TWO = {"sb3": 1.0, "sb3_1_thread": 1.0, "sbx": 1.0}

TRAINING = (
    Line(
        name="ppo/64x64/1024",
        about="PPO, batch 8,192, 4 epochs, beside PPO on an environment that does nothing",
        unit=FRAMES,
        prepare=partial(training.against_nothing, config=PPO_SIZES["64x64/1024"]),
        reach=Reach("ratio", 0.9),
    ),
    *(
        line
        for name, config in PPO_SIZES.items()
        for line in peers.ppo_lines(name, config, _FIRST_TWO if name == "64x64/64" else _ALL_THREE)
    ),
    *peers.USERS,
    *(
        Line(
            name=f"dqn/{name}/stock_{threads}",
            about=f"DQN, batch {config.batch_size}, {config.gradient_steps} updates every {config.train_freq} bars of"
            f" {name} accounts, beside stock Stable-Baselines3 on {threads} threads",
            unit="updates/s",
            prepare=partial(training_dqn.against_stock, config=config, num_threads=threads),
            reach=Reach("ratio", 1.5),
        )
        for name, config in DQN_SIZES.items()
        for threads in (1, 2)
    ),
    *(
        Line(
            name=f"policy/{way}",
            about=f"from an observation to a target, 64x64, beside {about}",
            unit=MS,
            prepare=partial(policy_step.against, way=way),
            reach=Reach("median", 0.05, is_least=False),
        )
        for way, about in (("predict", "model.predict"), ("torch", "bare torch"), ("numpy", "bare NumPy"))
    ),
    Line(
        name="memory/1m/5_years",
        about="training on 5 years of 1-minute bars, over the bare imports",
        unit=MIB,
        prepare=memory.training,
        reach=Reach("median", 600.0, is_least=False),
    ),
    Line(
        name="memory/8_processes",
        about="a mapped market in eight processes that play it, beside one copy of its arrays",
        unit=MIB,
        prepare=memory_share.workers,
        reach=Reach("ratio", 1.5, is_least=False),
    ),
)

EXCHANGE = tuple(
    Line(
        name=f"exchange/{name}",
        about=about,
        unit=unit,
        prepare=prepare,
        reach=Reach("median", least),
    )
    for name, unit, prepare, least, about in (
        (
            "lock_step",
            "bars/s",
            exchange.lock_step,
            360.0,  # a month of minutes in two minutes
            "bars of the local exchange with an order in each, without a socket, beside bars without a client",
        ),
        ("orders", "orders/s", exchange.orders, 1_000.0, "orders over HTTP beside pings"),
        (
            "streams",
            "messages/s",
            exchange.streams,
            20_000.0,
            "messages to 50 subscribers in all beside those of a bare server",
        ),
    )
)

_ORDER = "from a closed candle on a socket to an order's bytes on another, through policy, gate and journal"
_STAGES = {
    "read": "of that, from the frame until the bar is journalled",
    "decide": "of that, observation, policy, risk gate and the order's intent on the disk",
    "journal": "of that, until it is journalled that the order is being sent",
    "send": "of that, until its bytes have come to the other end",
}

LIVE = (
    Line(
        name="live/decision/p50",
        about=f"{_ORDER}: the median",
        unit=MS,
        prepare=partial(decisions.line, stage=decisions.WHOLE, share=50.0),
        reach=Reach("median", 25.0, is_least=False),
    ),
    Line(
        name="live/decision/p99",
        about=f"{_ORDER}: the slowest of a hundred",
        unit=MS,
        prepare=partial(decisions.line, stage=decisions.WHOLE, share=99.0),
        reach=Reach("median", 100.0, is_least=False),
    ),
    *(
        Line(
            name=f"live/decision/{stage}/p{share:.0f}",
            about=about,
            unit=MS,
            prepare=partial(decisions.line, stage=stage, share=share),
        )
        for stage, about in _STAGES.items()
        for share in (50.0, 99.0)
    ),
    Line(
        name="live/stall",
        about="silence of the market until it counts as stale, on a clock of its own",
        unit=SECONDS,
        prepare=noticing.stall,
        reach=Reach("median", 5.0, is_least=False),
    ),
    *(
        Line(
            name=f"live/lost_stream/{name}",
            about=f"{since} until another is made, on a clock of its own",
            unit=SECONDS,
            prepare=partial(noticing.lost_stream, answers_pings=answers_pings),
            reach=Reach("median", 30.0, is_least=False),
        )
        for name, since, answers_pings in (
            ("dead", "silence of a dead connection of the account", False),
            ("untold", "from a trade that a living connection has not told", True),
        )
    ),
    Line(
        name="live/restart",
        about="start of the process until it could decide: checkpoint, account, bars, and a journal of ten days",
        unit=SECONDS,
        prepare=starting.restart,
        reach=Reach("median", 10.0, is_least=False),
    ),
    Line(
        name="live/backfill/1500",
        about="1,500 bars over REST and streams beside the bare answers",
        unit=SECONDS,
        prepare=starting.backfill,
        reach=Reach("median", 3.0, is_least=False),
    ),
    Line(
        name="live/messages",
        about="a burst of 100,000 messages, one in a hundred of the account, of which none may be lost",
        unit="messages/s",
        prepare=flood.line,
        reach=Reach("median", 20_000.0),
    ),
)


def all_lines(scripts: Path) -> tuple[Line, ...]:
    """Return every line.

    Args:
        scripts: Folder of the scripts whose ``--help`` is timed.
    """
    helps = tuple(
        Line(
            name=f"help/{name}",
            about=f"scripts.{name} --help beside starting Python",
            unit=SECONDS,
            prepare=partial(startup.help_of, script=scripts / f"{name}.py"),
            reach=Reach("median", 0.5, is_least=False),
        )
        for name in startup.script_names(scripts)
    )
    commands = tuple(
        Line(
            name=name,
            about=about,
            unit=SECONDS,
            prepare=partial(contest, scripts=scripts),
            reach=Reach("median", seconds, is_least=False),
        )
        for name, contest, seconds, about in (
            (
                "evaluation",
                whole_commands.evaluation,
                10.0,
                "scripts.evaluate over 44,000 bars, with all baselines and 200 random agents",
            ),
            ("demo", whole_commands.demo, 90.0, "`make train`, start to report"),
        )
    )
    of_peers = peers.VECTOR + peers.SINGLE + peers.BACK_TEST
    return ENVIRONMENT + of_peers + TRAINING + commands + EXCHANGE + LIVE + helps


def choose(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """Return the lines of some names, or of names that begin so up to a slash; all if none is given.

    Raises:
        ConfigError: If a name is unknown or a line needs more threads than there are.
    """
    for name in names:
        if not any(_is_named(line, name) for line in lines):
            raise ConfigError(f"unknown line {name!r}; choose from {', '.join(line.name for line in lines)}")
    chosen = [line for line in lines if not names or any(_is_named(line, name) for name in names)]
    for line in chosen:
        if line.num_threads > numba.config.NUMBA_NUM_THREADS:
            raise ConfigError(
                f"{line.name} needs {line.num_threads} threads, found {numba.config.NUMBA_NUM_THREADS}; name the other"
                " lines"
            )
    return chosen


def _is_named(line: Line, name: str) -> bool:
    return f"{line.name}/".startswith(f"{name.rstrip('/')}/")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line whose peer is not at hand."""

    line: str
    reason: str


def measure_lines(lines: Sequence[Line], effort: Effort) -> Iterator[Result | Skipped]:
    """Measure one line after another."""
    for line in lines:
        try:
            yield _measured(line, effort)
        except AbsentPeerError as absent:
            yield Skipped(line.name, str(absent))


def _measured(line: Line, effort: Effort) -> Result:
    with line.prepare(effort) as contest:
        figure, reference = interleave(contest, effort.repeats)
    return Result(
        line=line.name,
        unit=line.unit,
        figure=figure,
        reference_name=contest.reference_name,
        reference=reference,
        ratio=figure.median / reference.median,
        reach=line.reach,
        config=contest.config,
    )
