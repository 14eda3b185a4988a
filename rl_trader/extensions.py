"""What a user adds without touching the package: anything named by its import path ``package.module:attribute``."""

import importlib
from typing import Any

from rl_trader.errors import ConfigError


def import_object(path: str, what: str) -> Any:  # noqa: ANN401 - whatever the user wrote
    """Return the attribute of an import path.

    Args:
        path: ``package.module:attribute``.
        what: What is wanted, for messages.

    Raises:
        ConfigError: If the path has no colon, or the module or the attribute cannot be imported.
    """
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{what} {path!r} must be an import path package.module:attribute")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{what} {path!r} cannot be imported: {error}; check the path and where you start") from error
