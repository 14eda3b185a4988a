"""The keys of an account: where they come from, and how they are held so that nobody sees them.

Each venue has names of its own, so that a key for the real exchange cannot be loaded for the demo: in the environment
``RL_TRADER_DEMO_API_KEY`` and ``RL_TRADER_DEMO_API_SECRET``; in the system's keyring ``rl_trader/demo`` with
``api_key`` and ``api_secret``; or a TOML file with ``venue``, ``api_key`` and ``api_secret`` that belongs to the user
and that nobody else can read. The first that has them is taken: environment, file, keyring.
"""

import hmac
import importlib
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from rl_trader.errors import ConfigError
from rl_trader.live.exchange.venue import VenueName

_KEY: Final = "api_key"
_SECRET: Final = "api_secret"
_SHOWN: Final = "<secret>"
_LARGEST_FILE: Final = 65_536  # bytes
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

AskKeyring = Callable[[str, str], str | None]
"""Returns what a keyring has for a service and a name; None if nothing."""


class Secret:
    """A text that is not shown, written, copied or compared by accident.

    Args:
        value: The text.

    Raises:
        ConfigError: If it is empty.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value.strip():
            raise ConfigError("a secret must have letters and has none; correct where it comes from")
        self._value = value

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __repr__(self) -> str:
        return _SHOWN

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return _SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash that is kept or shown says something

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down; load it again where it is needed")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What requests are signed with."""

    key: Secret
    secret: Secret


def load_credentials(
    venue: VenueName,
    environment: Mapping[str, str],
    file: Path | None = None,
    ask_keyring: AskKeyring | None = None,
) -> Credentials:
    """Return the keys for a venue, as :func:`find_credentials` does.

    Raises:
        ConfigError: If there are none, only half of them, or others could read the file.
    """
    found = find_credentials(venue, environment, file, ask_keyring)
    if found is None:
        names = variables_of(venue)
        raise ConfigError(
            f"keys for venue {venue} must be given and are not; set {names[0]} and {names[1]}, or write "
            f"{file or 'a file of keys'} with venue, {_KEY} and {_SECRET}"
        )
    return found


def find_credentials(
    venue: VenueName,
    environment: Mapping[str, str],
    file: Path | None = None,
    ask_keyring: AskKeyring | None = None,
) -> Credentials | None:
    """Return the keys for a venue; None if nobody has given any.

    Args:
        venue: Which.
        environment: The process's.
        file: Where the user keeps them; it need not be there.
        ask_keyring: The system's; see :func:`system_keyring`.

    Raises:
        ConfigError: If there is only half of them, or others could read the file.
    """
    names = variables_of(venue)
    found = _pair(environment.get(names[0]), environment.get(names[1]), " and ".join(names))
    if found is None and file is not None:
        found = _read_file(venue, file)
    if found is None and ask_keyring is not None:
        service = f"rl_trader/{venue}"
        found = _pair(ask_keyring(service, _KEY), ask_keyring(service, _SECRET), f"keyring {service}")
    return found


def system_keyring() -> AskKeyring | None:
    """Return the system's keyring; None where the package ``keyring`` is not installed."""
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None

    def ask(service: str, name: str) -> str | None:
        value = keyring.get_password(service, name)
        return value if isinstance(value, str) else None

    return ask


def variables_of(venue: VenueName) -> tuple[str, str]:
    """Return the names of the environment's variables with the key and the secret of a venue."""
    prefix = f"RL_TRADER_{venue.upper()}_"
    return prefix + _KEY.upper(), prefix + _SECRET.upper()


def _pair(key: str | None, secret: str | None, where: str) -> Credentials | None:
    if not key and not secret:
        return None
    if not key or not secret:
        raise ConfigError(f"{where} must hold a key and its secret and hold only one of them; give both")
    return Credentials(Secret(key.strip()), Secret(secret.strip()))


def _read_file(venue: VenueName, file: Path) -> Credentials | None:
    text = private_text(file)
    if text is None:
        return None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        data = {}
    values = [data.get(name) for name in ("venue", _KEY, _SECRET)]
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):  # what is there is not shown: it may be a secret
        raise ConfigError(f"{file} must have venue, {_KEY} and {_SECRET} as TOML texts and has not; correct it")
    if texts[0] != venue:
        raise ConfigError(
            f"{file} must have keys for venue {venue} and says that it is of another; name the right file"
        )
    return _pair(texts[1], texts[2], str(file))


def private_text(file: Path) -> str | None:
    """Return the text of a file that only the user can read; None if there is no file.

    The file is asked about after it is opened, so that it cannot be exchanged in between.

    Raises:
        ConfigError: If it cannot be read, or others could read it.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"{file} must be a file that can be read, and no link, and is not ({error.strerror})"
        ) from None
    try:
        _check_private(file, os.fstat(descriptor))
        content = os.read(descriptor, _LARGEST_FILE)
    finally:
        os.close(descriptor)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{file} must be text in UTF-8 and is not; write it again") from None


def _check_private(file: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{file} must be a file and is none; name another")
    if status.st_uid != os.geteuid() or mode & _OTHERS:
        raise ConfigError(
            f"{file} must belong to you and be closed to everybody else (mode 600) and has mode {mode:03o} and "
            f"owner {status.st_uid}; run: chmod 600 {file}"
        )
