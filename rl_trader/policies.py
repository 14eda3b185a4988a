"""The kinds of policies that a checkpoint can hold, each as named arrays and a few words of its manifest."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.decision import ActionMap
from rl_trader.errors import CheckpointError
from rl_trader.forest import ForestPolicy
from rl_trader.network import NetworkPolicy, layers_from_arrays

DeployablePolicy = NetworkPolicy | ForestPolicy

NETWORK: Final = "network"
FOREST: Final = "forest"


def policy_arrays(policy: DeployablePolicy) -> dict[str, NDArray[np.generic]]:
    """Return all numbers of a policy, by name."""
    if isinstance(policy, ForestPolicy):
        return dict(policy.arrays)
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, layer in enumerate(policy.layers):
        arrays |= {f"layer_{i}.weight": layer.weight, f"layer_{i}.bias": layer.bias}
    return arrays


def policy_words(policy: DeployablePolicy) -> dict[str, Any]:
    """Return what the manifest says of a policy."""
    if isinstance(policy, ForestPolicy):
        return {"kind": FOREST, "hurdle": policy.hurdle}
    return {"kind": NETWORK, "activation": policy.activation, "head": policy.head}


def policy_of(
    arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any], observation_size: int, action_map: ActionMap
) -> DeployablePolicy:
    """Return the policy of arrays and words; a manifest that names no kind is a network's.

    Raises:
        CheckpointError: If they do not make a policy.
    """
    kind = words.get("kind", NETWORK)
    if kind == FOREST:
        return ForestPolicy(arrays, observation_size, words["hurdle"], action_map)
    if kind == NETWORK:
        return NetworkPolicy(layers_from_arrays(arrays), words["activation"], words["head"], action_map)
    raise CheckpointError(f"a policy must be a {NETWORK} or a {FOREST}, found {kind!r}; use the version that made it")


def is_exact(policy: DeployablePolicy) -> bool:
    """Return whether its targets are the same numbers on every machine: those that choose among a few are."""
    return isinstance(policy, ForestPolicy) or policy.head == "argmax"
