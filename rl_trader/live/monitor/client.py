"""Asks a trader that runs on this machine, as the commands do."""

import json
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.live.monitor.contact import HOST, Contact, read_contact
from rl_trader.live.monitor.view import View, from_json

TIMEOUT_S: Final = 5.0
JOURNALS: Final = "*.journal"

_OK: Final = 200
_UNAUTHORIZED: Final = 401


class NoTraderError(RlTraderError):
    """No trader runs there."""


def journal_of(run: Path, journal: Path | None) -> Path:
    """Return the journal that is meant.

    Args:
        run: The folder of a run.
        journal: Which of its journals, or another; None where it has one.

    Raises:
        ConfigError: If there is none, or it is not clear which.
    """
    if journal is not None:
        return journal
    if not run.is_dir():
        raise ConfigError(f"{run} must be the folder of a run and is none; name one")
    found = sorted(run.glob(JOURNALS))
    if not found:
        raise ConfigError(
            f"{run} must have a journal, and nothing was ever deployed from it; name another, or start it"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ConfigError(f"{run} has the journals {names}; say which by --journal")
    return found[0]


class Client:
    """Asks the trader of a journal.

    Args:
        journal: Which.

    Raises:
        NoTraderError: If none runs.
        ConfigError: If its contact file cannot be used.
    """

    def __init__(self, journal: Path) -> None:
        contact = read_contact(journal)
        if contact is None:
            raise NoTraderError(_no_trader(journal))
        self._journal = journal
        self.contact: Contact = contact

    def status(self) -> dict[str, Any]:
        """Return what is to be seen, as JSON."""
        return self._ask("GET", "/api/status")

    def view(self) -> View:
        """Return what is to be seen."""
        return from_json(self.status())

    def kill(self, reason: str, by: str) -> None:
        """Have everything closed."""
        self._ask("POST", "/api/kill", {"reason": reason, "by": by})

    def resume(self, reason: str, by: str) -> None:
        """Let it enter again."""
        self._ask("POST", "/api/resume", {"reason": reason, "by": by})

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        """Ask once.

        Raises:
            NoTraderError: If nobody answers, or somebody who knows another token.
            ConfigError: If the trader refuses.
        """
        connection = HTTPConnection(HOST, self.contact.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.contact.token.reveal()}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            status, data = answer.status, json.loads(answer.read())
        except TimeoutError as error:
            raise NoTraderError(
                f"the trader of {self._journal} does not answer within {TIMEOUT_S:g} s; look at its process, and kill"
                " it by file if need be"
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            raise NoTraderError(_no_trader(self._journal)) from error
        finally:
            connection.close()
        if status == _UNAUTHORIZED or not isinstance(data, dict):
            raise NoTraderError(_no_trader(self._journal))
        if status != _OK:
            raise ConfigError(str(data.get("error", f"the trader answers with status {status}; look at its messages")))
        return data


def _no_trader(journal: Path) -> str:
    return f"a trader must run on {journal} and none does; start one, see `python -m scripts.deploy --help`"
