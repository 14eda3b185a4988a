"""For how long a checkpoint has traded on paper with this very program: what is armed should have been seen at work.

The record is a small file in the run's folder. It guards against haste and not against a forger, who could as well
change the program.
"""

import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.live.core.events import Event
from rl_trader.live.core.state import State

FILE: Final = "paper-time.json"
_MS_PER_HOUR: Final = 3_600_000
_LONGEST_SILENCE_MS: Final = 60_000  # that counts as time at work
_WRITE_EVERY_MS: Final = 60_000
_PACKAGE: Final = Path(__file__).parents[2]
_DIGITS: Final = 64  # of a SHA-256


@cache
def build_sha256() -> str:
    """Return a digest of the package's sources."""
    digest = hashlib.sha256()
    for path in sorted(path for end in ("py", "json") for path in _PACKAGE.rglob(f"*.{end}")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


class PaperTime:
    """The record of one run.

    Args:
        folder: Of the run.
        checkpoint_sha256: Identity of the checkpoint: weights, stop, exposure, and all else that it says.
        build: Digest of the program.

    Raises:
        ConfigError: If the record is there and is none.
    """

    def __init__(self, folder: Path, checkpoint_sha256: str, build: str) -> None:
        self.path = folder / FILE
        self._key = f"{build} {checkpoint_sha256}"
        self._all = self._read()

    @property
    def hours(self) -> float:
        """For how long this checkpoint has traded on paper with this program."""
        return self._all.get(self._key, 0) / _MS_PER_HOUR

    def add(self, duration_ms: int) -> None:
        """Count more, and write it down.

        Raises:
            ConfigError: If it cannot be written.
        """
        self._all[self._key] = self._all.get(self._key, 0) + duration_ms
        beside = self.path.with_name(f"{FILE}.part")
        try:
            beside.write_text(json.dumps(self._all, indent=1) + "\n")
            os.replace(beside, self.path)
        except OSError as error:
            raise ConfigError(f"{self.path} must be written and cannot be ({error.strerror}); make room") from error

    def _read(self) -> dict[str, int]:
        try:
            data = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path} cannot be read ({error}); remove it, and trade on paper again") from None
        if not isinstance(data, dict) or not all(_is_entry(key, value) for key, value in data.items()):
            raise ConfigError(f"{self.path} must be a record of paper trading and is not; remove it")
        return dict(data)


class PaperKeeper:
    """A watcher that counts the time in which a session is at work: its account is reconciled and prices come.

    Args:
        paper: Counts.
        now_ms: A clock that goes on evenly.
    """

    def __init__(self, paper: PaperTime, now_ms: Callable[[], int]) -> None:
        self._paper = paper
        self._now_ms = now_ms
        self._last_ms: int | None = None  # of the last event at which it was at work
        self._unwritten_ms = 0

    def __call__(self, _event: Event, state: State) -> None:
        """Count the time since the last event."""
        now = self._now_ms()
        if self._last_ms is not None:
            self._unwritten_ms += min(now - self._last_ms, _LONGEST_SILENCE_MS)
        self._last_ms = now if state.is_reconciled and state.is_market_alive else None
        if self._unwritten_ms >= _WRITE_EVERY_MS:
            self._paper.add(self._unwritten_ms)
            self._unwritten_ms = 0


def _is_entry(key: str, value: object) -> bool:
    digests = key.split(" ")
    are_digests = [len(digest) for digest in digests] == [_DIGITS, _DIGITS]
    return are_digests and isinstance(value, int) and not isinstance(value, bool) and value >= 0
