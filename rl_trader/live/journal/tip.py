"""How far the journal has come, in a small file beside it.

A chain shows what was changed, but not that its end is missing: a damaged or deleted write-ahead log takes the newest
events with it, and SQLite goes on with what is left. So each commit is noted here after it is durable. The journal may
be ahead of its tip, when the process ended between the two; it can never be behind it.

The file has two places, written in turn, so that one always holds a whole tip. It is not synced: a power loss can only
make it older, which is harmless.
"""

import hashlib
import os
from pathlib import Path
from typing import Final, NamedTuple

from rl_trader.live.journal.chain import DamagedJournalError

_PLACE_BYTES: Final = 256
_MODE: Final = 0o600


class Tip(NamedTuple):
    """The newest event that is known to be durable."""

    epoch: int
    seq: int  # 0 where there is none
    digest: bytes


class TipFile:
    """The tip's file, opened for writing.

    Raises:
        OSError: If it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        self._place = 1 - _newest_place(os.pread(self._descriptor, 2 * _PLACE_BYTES, 0))

    def begin(self, tip: Tip) -> None:
        """Note the first tip of a session, and make the file itself survive a power loss."""
        os.ftruncate(self._descriptor, 2 * _PLACE_BYTES)
        self.write(tip)
        os.fsync(self._descriptor)

    def write(self, tip: Tip) -> None:
        """Note a tip over the older of the two."""
        os.pwrite(self._descriptor, _text(tip), self._place * _PLACE_BYTES)
        self._place = 1 - self._place

    def close(self) -> None:
        """Sync and close it."""
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


def tip_path(journal: Path) -> Path:
    """Return the tip's file of a journal."""
    return journal.with_name(f"{journal.name}.tip")


def read_tip(journal: Path) -> Tip | None:
    """Return the tip of a journal; None if it has none.

    Raises:
        DamagedJournalError: If neither place holds a tip.
        OSError: If the file cannot be read.
    """
    path = tip_path(journal)
    if not path.exists():
        return None
    content = path.read_bytes()
    tips = [tip for tip in _tips(content) if tip is not None]
    if not tips and content:
        raise DamagedJournalError(f"{path} must hold the newest event of the journal and is damaged; restore a copy")
    return max(tips, key=_age) if tips else None


def _age(tip: Tip) -> tuple[int, int]:
    return tip.seq, tip.epoch


def _tips(content: bytes) -> list[Tip | None]:
    return [_tip(content[start : start + _PLACE_BYTES]) for start in (0, _PLACE_BYTES)]


def _newest_place(content: bytes) -> int:
    first, second = _tips(content)
    return 1 if first is None or (second is not None and _age(second) > _age(first)) else 0


def _text(tip: Tip) -> bytes:
    text = f"{tip.epoch} {tip.seq} {tip.digest.hex()}"
    return f"{text} {_check(text)}".encode().ljust(_PLACE_BYTES - 1) + b"\n"


def _tip(place: bytes) -> Tip | None:
    text, _, check = place.decode("ascii", "replace").strip().rpartition(" ")
    if not text or check != _check(text):
        return None
    epoch, seq, digest = text.split(" ")
    return Tip(int(epoch), int(seq), bytes.fromhex(digest))


def _check(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
