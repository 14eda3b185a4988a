"""How the commands find a trader that runs: its port and its token, in a file beside the journal for its user alone.

The file is made at each start with another token, and removed at the end. One that a crash has left behind leads
nowhere: nobody listens at its port, or somebody who knows another token.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from rl_trader.errors import ConfigError
from rl_trader.live.exchange.secrets import Secret, private_text

HOST: Final = "127.0.0.1"

_MODE: Final = 0o600
_MOST_PORT: Final = 65_535


class Contact(NamedTuple):
    """Where a trader listens, and what it must be told."""

    port: int  # of loopback
    token: Secret

    @property
    def page(self) -> str:
        """Address of its page with the token, which a browser keeps to itself; it is a secret like the token."""
        return f"http://{HOST}:{self.port}/#{self.token.reveal()}"


def contact_path(journal: Path) -> Path:
    """Return the file of a journal's trader."""
    return journal.with_name(f"{journal.name}.control")


def write_contact(journal: Path, contact: Contact) -> None:
    """Write the file; it appears whole, and closed to others from its beginning.

    Raises:
        ConfigError: If it cannot be written.
    """
    path = contact_path(journal)
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"port": contact.port, "token": contact.token.reveal()}, file)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(
            f"the file {path} must be written for `status` and `kill` and cannot be ({error.strerror}); see to its"
            " folder"
        ) from error


def remove_contact(journal: Path) -> None:
    """Remove the file; harmless where there is none."""
    with suppress(OSError):  # what stays leads nowhere
        contact_path(journal).unlink(missing_ok=True)


def read_contact(journal: Path) -> Contact | None:
    """Return what the file says; None if there is none.

    Raises:
        ConfigError: If it is damaged, or others could read it.
    """
    path = contact_path(journal)
    text = private_text(path)
    if text is None:
        return None
    try:
        data = json.loads(text)
        port, token = data["port"], data["token"]
        if isinstance(port, int) and 0 < port <= _MOST_PORT and isinstance(token, str) and token:
            return Contact(port, Secret(token))
    except (ValueError, TypeError, KeyError):
        pass
    raise ConfigError(f"{path} must have a port and a token and has not; remove it, and kill by file if need be")
