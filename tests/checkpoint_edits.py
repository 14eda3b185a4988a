"""Manifests of checkpoints, changed on the disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl_trader.checkpoint import MANIFEST_FILE, sealed


def edit_unsealed(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the manifest of a checkpoint in place, and leave its hash as it is."""
    path = folder / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def edit_sealed(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the manifest of a checkpoint in place, and make its hash fit, as somebody who alters it would."""
    path = folder / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(sealed(manifest)))
