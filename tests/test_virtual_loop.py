"""The loop of rehearsals: tasks take turns as on asyncio's own, nothing comes from outside, and it is known when."""

import asyncio
from random import Random

import pytest

from rl_trader.rehearsal.virtual_loop import VirtualLoop, run_virtually


def loop() -> VirtualLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


async def bustle(seed: int) -> list[str]:
    """Return in which order things are done by tasks that wait for one another, begin others and are cancelled."""
    chance, done = Random(seed), list[str]()
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def work(name: str, depth: int) -> None:
        for turn in range(chance.randrange(4)):
            done.append(f"{name} {turn}")
            await asyncio.sleep(0)
        if depth:
            children = [asyncio.create_task(work(f"{name}.{n}", depth - 1)) for n in range(2)]
            await asyncio.wait(children, return_when=asyncio.FIRST_COMPLETED)
            children[-1].cancel()
            await asyncio.gather(*children, return_exceptions=True)
        queue.put_nowait(depth)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(work(str(number), 2))
        done += [f"taken {await queue.get()}" for _ in range(3)]
    return done


@pytest.mark.parametrize("seed", range(20))
def test_turns_are_taken_as_on_asyncios_own_loop(seed: int) -> None:
    assert run_virtually(bustle(seed)) == asyncio.run(bustle(seed))


def test_it_is_quiet_when_nobody_can_go_on_and_not_before() -> None:
    done = []

    async def work(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        done.append(turns)
        await asyncio.get_running_loop().create_future()  # for ever

    async def run() -> None:
        tasks = [asyncio.create_task(work(turns)) for turns in (7, 2)]
        await loop().quiet()
        assert done == [2, 7]
        await loop().quiet()  # still is
        for task in tasks:
            task.cancel()

    run_virtually(run())


def test_who_waits_for_what_can_never_come_is_told() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="what can never come"):
        run_virtually(wait())


def test_the_machines_time_does_not_pass() -> None:
    async def run() -> list[str]:
        done: list[str] = []
        asyncio.get_running_loop().call_later(0.0, done.append, "later")
        async with asyncio.timeout(1e-9):
            await loop().quiet()
        return done

    assert run_virtually(run()) == []


def test_what_fails_without_a_task_fails_the_run() -> None:
    def fail() -> None:
        raise ValueError("by itself")

    async def run() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await loop().quiet()

    with pytest.raises(ValueError, match="by itself"):
        run_virtually(run())


def test_a_failure_and_a_cancelled_call_are_what_they_are_elsewhere() -> None:
    async def fail() -> None:
        raise LookupError("of a task")

    async def run() -> list[str]:
        done: list[str] = []
        asyncio.get_running_loop().call_soon(done.append, "cancelled").cancel()
        asyncio.get_running_loop().call_soon(done.append, "called")
        with pytest.raises(LookupError, match="of a task"):
            await asyncio.create_task(fail())
        return done

    assert run_virtually(run()) == ["called"]
