"""A disk that is full after any number of bytes, under the trader's real process."""

from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

import pytest

from rl_trader.rehearsal.crashes.exchange import DiedError
from rl_trader.rehearsal.crashes.flows import until_next_close
from rl_trader.rehearsal.crashes.run import Crash, Play
from rl_trader.rehearsal.invariants import check
from rl_trader.rehearsal.tally import Tally

TARGET = Decimal("0.1")
ROOMS = (0, 31, 100, 4_100, 4_200, 8_300, 12_400, 16_500, 24_700, 33_000)  # bytes: within pages and between them


def fill(folder: Path, room: int, *, reserve_helps: bool) -> list[str]:
    """Let a disk be full while the position is turned; return what is broken then and after the next start."""
    play = Play(Crash(flow="flipping", point="", seed=room), folder)
    side = play.side
    side.venue.advance(side.now_ms + 1_000)
    side.start()
    side.target = TARGET
    until_next_close(side)
    side.fill_disk(room, reserve_helps=reserve_helps)
    side.target = -TARGET
    try:
        for _ in range(3):
            until_next_close(side)
        side.stop()
        broken = [] if reserve_helps else ["the trader lives on, though nothing can be written"]
    except DiedError as error:
        broken = [str(error)] if reserve_helps or "JournalError" not in str(error) else []
    finally:
        side.end()
    side.start()
    play.restarted_ms = side.now_ms
    was_stopped = side.is_stopped
    for _ in range(3):
        until_next_close(side)
    side.stop()
    record = play.record()
    broken += [] if was_stopped is reserve_helps else [f"the next start is stopped: {was_stopped}"]
    broken += [] if record.amount == (0 if reserve_helps else -TARGET) else [f"the position is {record.amount}"]
    return [f"{room}: {sentence}" for sentence in [*broken, *map(str, check(record, Tally()))]]


def fill_all(folder: Path, reserve_helps: bool) -> list[str]:
    """Fill the disk after every number of bytes; in a process of its own."""
    broken: list[str] = []
    for room in ROOMS:
        (inside := folder / str(room)).mkdir()
        broken += fill(inside, room, reserve_helps=reserve_helps)
    return broken


@pytest.mark.parametrize("reserve_helps", [True, False])
def test_wherever_the_disk_is_full_nothing_unwritten_is_sent_and_the_next_start_goes_on(
    tmp_path: Path, reserve_helps: bool
) -> None:
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(fill_all, (tmp_path, reserve_helps)) == []
