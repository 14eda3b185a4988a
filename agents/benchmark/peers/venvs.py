"""The peers' virtual environments: where they are, and how they are made.

Every peer has one file of requirements and one environment, so that their pins disturb neither this project nor each
other. The environments lie in ``$RL_TRADER_PEERS``, or in ``.peers`` of the working directory.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError, RlTraderError

VARIABLE: Final = "RL_TRADER_PEERS"
REQUIREMENTS: Final = Path(__file__).parent / "requirements"
READY: Final = "ready"  # file of an environment that was filled to the end: the requirements it was filled with


class AbsentPeerError(RlTraderError):
    """What a line is measured beside is not at hand."""


def peer_names() -> tuple[str, ...]:
    """Return the names of all peers."""
    return tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))


def peers_folder() -> Path:
    """Return the folder of the environments."""
    return Path(os.environ.get(VARIABLE) or ".peers").absolute()


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment.

    Raises:
        AbsentPeerError: If it is not installed, or with other requirements.
    """
    if not is_ready(peer):
        raise AbsentPeerError(
            f"{peer} is not installed in {peers_folder()}; type `python -m scripts.bench peers --install {peer}`"
        )
    return _python(peer)


def is_ready(peer: str) -> bool:
    """Return whether a peer is installed with the requirements of today."""
    ready = peers_folder() / peer / READY
    return ready.exists() and ready.read_text() == requirements_of(peer).read_text()


def requirements_of(peer: str) -> Path:
    """Return the file of a peer's requirements.

    Raises:
        ConfigError: If there is no such peer.
    """
    if peer not in peer_names():
        raise ConfigError(f"unknown peer {peer!r}; choose from {', '.join(peer_names())}")
    return REQUIREMENTS / f"{peer}.txt"


def install(peers: Sequence[str], report: Callable[[str], None]) -> None:
    """Make the environments of some peers, and leave those that are ready.

    Args:
        peers: Names.
        report: Called with the name of each one that is about to be installed.

    Raises:
        ConfigError: If there is no such peer, or an installation fails.
    """
    files = {peer: requirements_of(peer) for peer in peers}
    for peer, requirements in files.items():
        if is_ready(peer):
            continue
        report(peer)
        folder = peers_folder() / peer
        _call(peer, [sys.executable, "-m", "venv", "--clear", str(folder)])
        _call(peer, [str(_python(peer)), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)])
        (folder / READY).write_text(requirements.read_text())


def _python(peer: str) -> Path:
    return peers_folder() / peer / "bin" / "python"


def _call(peer: str, command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no word"])[-1]
        raise ConfigError(
            f"{peer} cannot be installed into {peers_folder()}: {last}; look whether the package index answers"
        )
