"""Features that a run takes from a module of its user's: to load them is to run that module.

A checkpoint may come from anywhere, and the module that it names may lie beside it. So the operator says which modules
may be imported, before anything is.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from rl_trader.checkpoint import read_manifest
from rl_trader.errors import ConfigError
from rl_trader.features import SIGNAL_PREFIX
from rl_trader.live.policy.deployment import checkpoint_folder


def check_own_features(path: Path, which: str, allowed: Collection[str]) -> None:
    """Refuse a run with features of a module that nobody has allowed.

    Args:
        path: A run's folder, or one of its checkpoints.
        which: The ``best`` or the ``last`` checkpoint of a run's folder.
        allowed: Names of modules.

    Raises:
        CheckpointError: If there is no manifest.
        ConfigError: If a feature is of another module.
    """
    env = read_manifest(checkpoint_folder(path, which)).get("env")
    features = env.get("features") if isinstance(env, Mapping) else None
    for name in features if isinstance(features, list) else []:
        if not isinstance(name, str) or ":" not in name or name.startswith(SIGNAL_PREFIX):
            continue
        module = name.partition(":")[0]
        if module not in allowed:
            raise ConfigError(
                f"the run takes {name!r} from a module, which would be run; read it, and allow it by --allow {module}"
            )
