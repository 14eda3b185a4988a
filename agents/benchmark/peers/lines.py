"""The lines beside other people's packages, and beside prototypes and lean loops where they are at hand."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from agents.benchmark import back_test, environment, training
from agents.benchmark.effort import Effort
from agents.benchmark.line import BARS, FRAMES, STEPS, Line
from agents.benchmark.measure import Contest, Reach, Run
from agents.benchmark.peers.contests import Peer, beside, peer
from agents.benchmark.peers.process import HERE
from agents.config import PPOConfig

Subject = Callable[[Effort], Run]
Prepare = Callable[[Effort], AbstractContextManager[Contest]]

THREADS: Final = 2


def _vector_line(
    name: str,
    about: str,
    rival: Peer,
    num_envs: int,
    *,
    num_threads: int = 1,
    window: int = 1,
    least: float | None = None,
) -> Line:
    return Line(
        name=f"vector_env/{name}",
        about=f"vector environment beside {about}",
        unit=STEPS,
        prepare=partial(
            beside,
            subject=partial(environment.steps, num_envs=num_envs, num_threads=num_threads, window=window),
            peer=rival,
            config=partial(environment.account_hash, window),
        ),
        reach=None if least is None else Reach("ratio", least),
        num_threads=num_threads,
    )


def _torchtrade(num_envs: int) -> Peer:
    about = f"torchtrade's batched futures environment, {num_envs:,} accounts"
    return peer("torchtrade", "torchtrade_batch", "vector_env", about, num_envs=num_envs)


def _prototype(num_envs: int, num_threads: int, window: int) -> Peer:
    return peer(
        HERE,
        "prototype",
        "vector_env",
        "bare prototype with fewer rules",
        library_threads=num_threads,
        num_envs=num_envs,
        num_threads=num_threads,
        window=window,
    )


VECTOR: Final = (
    *(
        _vector_line(f"1_thread/1024/torchtrade_{n}", f"torchtrade's, {n:,} accounts", _torchtrade(n), 1_024, least=8.0)
        for n in (1_024, 4_096)
    ),
    _vector_line("1_thread/1024/prototype", "a bare prototype", _prototype(1_024, 1, 1), 1_024),
    Line(
        name="vector_env/2_threads/4096/cart_pole",
        about="vector environment on two threads beside Gymnasium's NumPy cart-pole",
        unit=STEPS,
        prepare=partial(environment.against_cart_pole, num_envs=4_096, num_threads=THREADS),
        reach=Reach("ratio", 1.0),
        num_threads=THREADS,
    ),
    _vector_line(
        "2_threads/4096/gymnax",
        "gymnax' jitted cart-pole",
        peer("gymnax", "gymnax_pole", "vector_env", "gymnax' cart-pole", library_threads=THREADS, num_envs=4_096),
        4_096,
        num_threads=THREADS,
        least=1.0,
    ),
    _vector_line(
        "2_threads/4096/envpool",
        "envpool's cart-pole",
        peer("envpool", "envpool_pole", "vector_env", "envpool's cart-pole", num_envs=4_096, num_threads=THREADS),
        4_096,
        num_threads=THREADS,
        least=1.0,
    ),
    _vector_line("2_threads/4096/prototype", "a bare prototype", _prototype(4_096, 2, 1), 4_096, num_threads=THREADS),
    *(
        _vector_line(f"window_32/{n}/prototype", "a bare prototype", _prototype(n, 1, 32), n, window=32)
        for n in (256, 1_024)
    ),
)


def _single_line(name: str, script: str, about: str, least: float) -> Line:
    return Line(
        name=f"single_env/{name}",
        about=f"one account through gymnasium.make beside {about}",
        unit=STEPS,
        prepare=partial(
            beside,
            subject=environment.single_steps,
            peer=peer(name, script, "single_env", about),
            config=environment.account_hash,
        ),
        reach=Reach("ratio", least),
    )


SINGLE: Final = (
    _single_line("gym-anytrading", "anytrading", "gym-anytrading's stocks-v0, without an account", 1.0),
    _single_line("gym-trading-env", "trading_env", "Gym-Trading-Env, a spot account", 6.0),
    _single_line("torchtrade", "torchtrade_batch", "torchtrade's single futures environment", 45.0),
)


def _back_test_line(name: str, about: str, subject: Subject, rival: Peer, least: float | None) -> Line:
    return Line(
        name=f"back_test/{name}",
        about=f"back-test of a rule over 1 million bars beside {about}",
        unit=BARS,
        prepare=partial(beside, subject=subject, peer=rival, config=back_test.rule_hash),
        reach=None if least is None else Reach("ratio", least),
    )


def _vectorbt(job: str, about: str) -> Peer:
    fast, slow = back_test.FAST_BARS, back_test.SLOW_BARS
    return peer("vectorbt", "vectorbt_portfolio", job, about, num_bars=1_000_000, fast=fast, slow=slow)


BACK_TEST: Final = (
    _back_test_line(
        "vectorbt_signals",
        "vectorbt's from signals",
        back_test.decided,
        _vectorbt("signals", "vectorbt from signals"),
        4.0,
    ),
    _back_test_line(
        "vectorbt_indicators",
        "vectorbt's with indicators",
        back_test.rule,
        _vectorbt("indicators", "vectorbt with averages and figures"),
        4.0,
    ),
    _back_test_line(
        "prototype",
        "a bare prototype",
        back_test.rule,
        peer(HERE, "prototype", "back_test", "bare prototype with fewer rules", num_bars=1_000_000),
        None,
    ),
)


def ppo_lines(name: str, config: PPOConfig, least: dict[str, float]) -> tuple[Line, ...]:
    """Return the lines of PPO with one configuration beside everybody's.

    Args:
        name: Of the configuration.
        config: Sizes of rollout, update and networks.
        least: Ratio that is to be reached, by the last part of a line's name.
    """
    hidden, frames = config.net_arch[0], config.num_envs * config.n_steps
    sizes = {"num_envs": config.num_envs, "batch_size": config.batch_size, "n_epochs": config.n_epochs}
    sbx = peer(
        "sbx",
        "sbx_ppo",
        "ppo",
        "sbx' PPO on an environment that does nothing",
        is_timed=False,
        library_threads=THREADS,
        n_steps=config.n_steps,
        hidden=hidden,
        observation_size=31,
        num_rollouts=2,
        **sizes,
    )
    lean = peer(
        "sbx",
        "lean_jax",
        "ppo",
        "a lean PPO in JAX on a bare prototype, its whole update jitted",
        is_timed=False,
        library_threads=THREADS,
        hidden=hidden,
        frames=frames,
        **sizes,
    )
    contests: dict[str, tuple[str, Prepare]] = {
        "sb3": ("stock Stable-Baselines3, as it comes", partial(training.against_stock, config=config)),
        "sb3_1_thread": (
            "stock Stable-Baselines3 on one thread",
            partial(training.against_stock, config=config, num_threads=1),
        ),
        "sbx": ("sbx", _beside_ppo(config, sbx)),
        "lean_jax": ("a lean loop in JAX", _beside_ppo(config, lean)),
        "limit": ("its products of matrices alone", partial(training.against_products, config=config)),
    }
    return tuple(
        Line(
            name=f"ppo/{name}/{part}",
            about=f"PPO, batch {config.batch_size:,}, {config.n_epochs} epochs, beside {about}",
            unit=FRAMES,
            prepare=prepare,
            reach=Reach("ratio", least[part]) if part in least else None,
        )
        for part, (about, prepare) in contests.items()
    )


def _beside_ppo(config: PPOConfig, rival: Peer) -> Prepare:
    return partial(beside, subject=partial(training.ppo, config=config), peer=rival, config=environment.account_hash)


def _users_line(name: str, about: str, num_envs: int, in_processes: bool) -> Line:
    rival = peer(
        "gym-trading-env",
        "trading_env",
        "ppo",
        f"stable_baselines3.PPO with its defaults (10 epochs, batch 64) on Gym-Trading-Env {about}",
        is_timed=False,
        num_envs=num_envs,
        in_processes=in_processes,
    )
    return Line(
        name=f"ppo/users/{name}",
        about=f"PPO with this project's defaults beside Stable-Baselines3's on Gym-Trading-Env {about}",
        unit=FRAMES,
        prepare=_beside_ppo(PPOConfig(), rival),
        reach=Reach("ratio", 40.0),
    )


USERS: Final = (
    _users_line("8_processes", "in 8 processes", 8, in_processes=True),
    _users_line("1_process", "in one process", 8, in_processes=False),
)
