"""Files from elsewhere, read with care: no link is followed, nothing is larger than expected, and JSON is strict."""

import json
import os
import stat
from pathlib import Path
from typing import Any


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return what a file holds.

    The file is looked at after it is opened, so that it cannot be exchanged in between.

    Raises:
        OSError: If it cannot be read, or is a link.
        ValueError: If it is no file, or larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        if status.st_size > most_bytes:
            raise ValueError(f"it has {status.st_size} bytes, and {most_bytes} are the most")
        return file.read(most_bytes)


def read_json(path: Path, most_bytes: int) -> object:
    """Return the JSON of a file; an object with one name twice is none.

    Raises:
        OSError: If it cannot be read, or is a link.
        ValueError: If it is no file, larger, or no JSON.
    """
    content = read_plain(path, most_bytes)
    try:
        data: object = json.loads(content, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name in data:
            raise ValueError(f"it has {name!r} twice in one object")
        data[name] = value
    return data
