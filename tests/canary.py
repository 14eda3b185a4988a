"""Secrets that must be seen nowhere, whatever fails."""

import os
from collections.abc import Iterable
from pathlib import Path

KEY = "CanaryInTheSessionKey" + "k" * 43
SECRET = "CanaryInTheSessionSecret" + "s" * 40
MARK = b"CanaryInTheSession"
RESERVE = ".ballast"  # files of nothing
LARGEST = 2**26  # bytes; larger files are holes of tests about sizes


def files_that_show_it(folders: Iterable[Path], *further: bytes) -> list[Path]:
    """Return the files below folders in which a canary is to be seen.

    Args:
        folders: That are searched.
        *further: What else must not be seen.
    """
    marks = (MARK, *further)
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if _is_searched(path) and any(mark in path.read_bytes() for mark in marks)
    ]


def _is_searched(path: Path) -> bool:
    is_ordinary = path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
    return is_ordinary and path.suffix != RESERVE and path.stat().st_size <= LARGEST
