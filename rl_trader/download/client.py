"""Fetching files of the archive: bounded connections, retries with back-off, verified before they count.

A file that is fetched and verified lies in a hidden folder of the store until its series is written; a
download that was killed goes on from there.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Final, Self, TypeVar

import aiohttp

from rl_trader.download import archive
from rl_trader.download.provenance import write_whole
from rl_trader.errors import DownloadError

NUM_CONNECTIONS: Final = 8
NUM_ATTEMPTS: Final = 4
BACKOFF_S: Final = 0.5  # before the second attempt, twice as long before each further one
CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0

_OK: Final = 200
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = 500

_log = logging.getLogger(__name__)
T = TypeVar("T")


class ArchiveClient:
    """Reads files below the archive's address; an async context manager."""

    def __init__(self, base_url: str, backoff_s: float = BACKOFF_S) -> None:
        self.base_url = base_url.rstrip("/")
        self._backoff_s = backoff_s
        self._slots = asyncio.Semaphore(NUM_CONNECTIONS)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch_verified(self, path: str, kept: Path) -> bytes | None:
        """Return a file whose hash is the one stated beside it, or None if the archive does not have it.

        A file without a ``.CHECKSUM`` counts as not there. A mismatch is fetched once more, since the file
        may just have been replaced.

        Args:
            path: The file's path below the archive's address.
            kept: Where the verified file is kept; it is not fetched if it is there.
        """
        if kept.exists():
            return kept.read_bytes()
        found = ""
        for _ in range(2):
            checksum = await self._get(f"{path}.CHECKSUM")
            content = None if checksum is None else await self._get(path)
            if checksum is None or content is None:
                return None
            expected, found = archive.expected_sha256(checksum, path), archive.sha256(content)
            if found == expected:
                write_whole(kept, content)
                return content
            _log.warning("the checksum of %s does not match", path)
        raise DownloadError(
            f"expected sha256 {expected} of {self.base_url}/{path}, found {found} twice; "
            "run the same command again later, what was fetched is kept"
        )

    async def _get(self, path: str) -> bytes | None:
        url = f"{self.base_url}/{path}"
        reason = ""
        async with self._slots:
            for attempt in range(NUM_ATTEMPTS):
                if attempt:
                    await asyncio.sleep(self._backoff_s * 2 ** (attempt - 1))
                try:
                    async with self._session.get(url) as answer:
                        if answer.status == _OK:
                            return await answer.read()
                        reason = f"it answered {answer.status} {answer.reason}"
                        status = answer.status
                except aiohttp.InvalidURL as error:
                    raise DownloadError(f"{self.base_url!r} is no address; pass --archive-url https://...") from error
                except (aiohttp.ClientError, TimeoutError) as error:
                    reason = str(error) or type(error).__name__
                    continue
                if status == _NOT_FOUND:
                    return None
                if status < _SERVER_ERRORS and status != _TOO_MANY:
                    break
        raise DownloadError(
            f"cannot fetch {url} ({reason}); check the network or pass --archive-url, "
            "then run the same command again, what was fetched is kept"
        )


async def all_of(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Return the results of coroutines run side by side; the first error cancels the others and is raised.

    Who is cancelled while the others end after an error is cancelled, where a task group of Python before 3.13 would
    raise the error: somebody who goes on after errors would never end.
    """
    tasks = [asyncio.ensure_future(one) for one in work]
    if not tasks:
        return []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if errors := [error for task in tasks if task in done and (error := task.exception()) is not None]:
        raise errors[0]
    return [task.result() for task in tasks]
