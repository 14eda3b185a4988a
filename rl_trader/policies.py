"""The kinds of policies that a checkpoint can hold, each as named arrays and a few words of its manifest."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_trader.decision import ActionMap
from rl_trader.ensemble import EnsemblePolicy, MemberPolicy
from rl_trader.errors import CheckpointError
from rl_trader.forest import ForestPolicy
from rl_trader.network import NetworkPolicy, layers_from_arrays
from rl_trader.recurrent import RecurrentNetworkPolicy, lstm_arrays, lstm_from_arrays

DeployablePolicy: TypeAlias = MemberPolicy | EnsemblePolicy
Arrays: TypeAlias = dict[str, NDArray[np.generic]]

NETWORK: Final = "network"
FOREST: Final = "forest"
RECURRENT: Final = "recurrent"
ENSEMBLE: Final = "ensemble"
KINDS: Final = (NETWORK, FOREST, RECURRENT, ENSEMBLE)
KIND: Final = "kind"


def policy_arrays(policy: DeployablePolicy) -> Arrays:
    """Return all numbers of a policy, by name."""
    if isinstance(policy, ForestPolicy):
        return dict(policy.arrays)
    if isinstance(policy, RecurrentNetworkPolicy):
        return lstm_arrays(policy.lstm) | policy_arrays(policy.network)
    arrays: Arrays = {}
    if isinstance(policy, EnsemblePolicy):
        for i, member in enumerate(policy.members):
            arrays |= {f"{_prefix(i)}{name}": array for name, array in policy_arrays(member).items()}
        return arrays
    for i, layer in enumerate(policy.layers):
        arrays |= {f"layer_{i}.weight": layer.weight, f"layer_{i}.bias": layer.bias}
    return arrays


def policy_words(policy: DeployablePolicy) -> dict[str, Any]:
    """Return what the manifest says of a policy."""
    if isinstance(policy, ForestPolicy):
        return {KIND: FOREST, "hurdle": policy.hurdle}
    if isinstance(policy, EnsemblePolicy):
        members = [policy_words(member) for member in policy.members]
        return {KIND: ENSEMBLE, "shrink": policy.shrink, "members": members}
    if isinstance(policy, RecurrentNetworkPolicy):
        return {**policy_words(policy.network), KIND: RECURRENT}
    return {KIND: NETWORK, "activation": policy.activation, "head": policy.head}


def policy_of(
    arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any], observation_size: int, action_map: ActionMap
) -> DeployablePolicy:
    """Return the policy of arrays and words; a manifest that names no kind is a network's.

    Raises:
        CheckpointError: If they do not make a policy, or there are more of them than it has.
    """
    policy: DeployablePolicy
    if words.get(KIND) == ENSEMBLE:
        policy = _ensemble(arrays, words, observation_size, action_map)
    else:
        policy = _member(arrays, words, observation_size, action_map)
    strange = {*words} - {KIND, *policy_words(policy)} | {*arrays} - {*policy_arrays(policy)}
    if strange:
        names = ", ".join(sorted(strange))
        raise CheckpointError(f"a policy of its kind has no {names}; it is damaged or made by another version")
    return policy


def _member(
    arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any], observation_size: int, action_map: ActionMap
) -> MemberPolicy:
    kind = words.get(KIND, NETWORK)
    if kind == FOREST:
        return ForestPolicy(arrays, observation_size, words["hurdle"], action_map)
    if kind not in (NETWORK, RECURRENT):
        raise CheckpointError(
            f"a policy must be one of {', '.join(KINDS)}, found {kind!r}; use the version that made it"
        )
    network = NetworkPolicy(layers_from_arrays(arrays), words["activation"], words["head"], action_map)
    return network if kind == NETWORK else RecurrentNetworkPolicy(lstm_from_arrays(arrays), network)


def _ensemble(
    arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any], observation_size: int, action_map: ActionMap
) -> EnsemblePolicy:
    members = []
    for i, own_words in enumerate(words["members"]):
        prefix = _prefix(i)
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        member = policy_of(own, own_words, observation_size, action_map)
        if isinstance(member, EnsemblePolicy):
            raise CheckpointError("an ensemble's member must be no ensemble and is one; name its members instead")
        if member.observation_size != observation_size:
            raise CheckpointError(
                f"member {i} of the ensemble takes {member.observation_size} numbers and {observation_size} are"
                " observed; the checkpoint is damaged"
            )
        members.append(member)
    return EnsemblePolicy(members, words["shrink"], action_map)


def _prefix(number: int) -> str:
    return f"member_{number}."


def observation_sizes(policy: DeployablePolicy) -> set[int]:
    """Return how many numbers a policy observes, which is one number unless it is damaged."""
    members = policy.members if isinstance(policy, EnsemblePolicy) else (policy,)
    return {member.observation_size for member in members}


def is_exact(policy: DeployablePolicy) -> bool:
    """Return whether its targets are the same numbers on every machine: those that choose among a few are."""
    if isinstance(policy, EnsemblePolicy):
        return all(is_exact(member) for member in policy.members)
    if isinstance(policy, RecurrentNetworkPolicy):
        return is_exact(policy.network)
    return isinstance(policy, ForestPolicy) or policy.head == "argmax"
