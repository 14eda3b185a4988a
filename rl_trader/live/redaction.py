"""What must not be seen is taken out of every text in one place: logs, tracebacks, reports.

A secret is known by its value, once it is added, and by what stands before it, so that one that nobody has added does
not get through either.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final
from urllib.parse import quote_plus

HIDDEN: Final = "<hidden>"

_LEAST_LINE: Final = 16  # letters of a line of a secret of several lines that is hidden by itself

_NAMES: Final = r"signature|listen_?key|api_?key|api_?secret|secret(?:_?key)?|x-mbx-apikey|password"
_PATTERNS: Final = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?i)authorization\\?['\"]?\s*[,:=]\s*\\?['\"]?(?P<value>[^\r\n'\"]+)"),
    # name=value, name: value, "name": "value", ('name', 'value'), name%3Dvalue
    re.compile(
        rf"(?i)(?:{_NAMES})(?:\\?['\"]\s*[,:]\s*|\s*[=:]\s*|%3D)(?:b?\\?['\"])?"
        r"(?P<value>[^\s'\"&,;)}\]\\<>]+)"
    ),
    # a listen key within an address
    re.compile(r"/private/(?:ws|stream)/(?P<value>[^\s'\"/?&,;)]+)"),
    re.compile(r"/(?:ws/|stream\?streams=)(?P<value>[A-Za-z0-9]{40,})"),
)


class Redactor:
    """Knows what must not be seen.

    Args:
        values: That are known from the beginning.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        for value in values:
            self.add(value)

    def __repr__(self) -> str:
        return f"Redactor of {len(self._values)} values"

    def add(self, value: str) -> None:
        """Hide a text from now on, as it is, as addresses write it, and each line of several."""
        lines = [line for line in value.splitlines() if len(line) >= _LEAST_LINE]
        self._values |= {form for form in (value, value.strip(), quote_plus(value), *lines) if form}

    def text(self, text: str) -> str:
        """Return a text in which nothing is to be seen that must not."""
        if not text:
            return text
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(_without_value, text)
        return text

    def traceback(self, error: BaseException) -> str:
        """Return the traceback of an error, with its causes."""
        return self.text("".join(traceback.format_exception(error)))


def _without_value(match: re.Match[str]) -> str:
    if "value" not in match.re.groupindex:
        return HIDDEN
    start, end = match.span("value")
    whole = match.group()
    return whole[: start - match.start()] + HIDDEN + whole[end - match.start() :]


class RedactionFilter(logging.Filter):
    """Takes out of every record of a handler what must not be seen; it lets every record pass.

    Args:
        redactor: Knows it.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass, changed."""
        try:
            record.msg = record.getMessage()
        except Exception:  # a record that cannot be written must not be printed with its arguments
            record.msg = f"a record that cannot be written: {record.msg!r}"
        record.args = None
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = self._redactor.traceback(record.exc_info[1]).rstrip("\n")
            record.exc_info = None
        for name, value in list(vars(record).items()):
            if isinstance(value, str):
                setattr(record, name, self._redactor.text(value))
        return True


@contextmanager
def redacting(redactor: Redactor, handlers: Iterable[logging.Handler] = ()) -> Iterator[None]:
    """Let nothing be written within it that must not be seen: by these handlers, the root's, or at a crash.

    Args:
        redactor: Knows what.
        handlers: Further ones.
    """
    last = [logging.lastResort] if logging.lastResort is not None else []
    covered = [*handlers, *logging.getLogger().handlers, *last]
    added = RedactionFilter(redactor)
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook

    def on_crash(_kind: type[BaseException], error: BaseException, _place: TracebackType | None) -> None:
        sys.stderr.write(redactor.traceback(error))

    def on_thread_crash(crash: threading.ExceptHookArgs) -> None:
        if crash.exc_value is not None:
            sys.stderr.write(redactor.traceback(crash.exc_value))

    def on_unraisable(crash: "sys.UnraisableHookArgs") -> None:
        if crash.exc_value is not None:
            sys.stderr.write(redactor.traceback(crash.exc_value))

    for handler in covered:
        handler.addFilter(added)
    sys.excepthook, threading.excepthook, sys.unraisablehook = on_crash, on_thread_crash, on_unraisable
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
        for handler in covered:
            handler.removeFilter(added)
