"""Several runs as one: a checkpoint whose policy is the members' mean, smaller where they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agents.config import TrainConfig
from agents.markets import load_market, parse_period
from agents.run_folder import RunFolder, check_folder_name
from rl_trader.backtest import backtest_policy
from rl_trader.checkpoint import Checkpoint
from rl_trader.decision import ActionMap
from rl_trader.ensemble import FEWEST_MEMBERS, SHRINK, EnsemblePolicy
from rl_trader.errors import ConfigError
from rl_trader.metrics import Metrics, measure
from rl_trader.numeric import is_number
from rl_trader.observed_market import observe_market
from rl_trader.remembering import decide_in_turn

ENSEMBLE: Final = "ensemble"


@dataclass(frozen=True, slots=True)
class _Member:
    """A run with the checkpoint that takes part."""

    run: RunFolder
    config: TrainConfig
    checkpoint: Checkpoint

    def to_json(self) -> dict[str, Any]:
        """Return what the ensemble's manifest says of it."""
        facts = self.checkpoint.facts
        return {
            "run": self.run.name,
            "algorithm": str(facts.get("algorithm", self.config.algo)),
            "seed": self.config.seed,
            "timesteps": int(facts["timesteps"]),
        }


def make_ensemble(
    paths: Sequence[Path], name: str, *, runs: Path | None = None, which: str = "best", shrink: float = SHRINK
) -> RunFolder:
    """Write the folder of a run whose policy decides as others do together.

    Args:
        paths: Folders of the runs that take part: of one market, observation, account and scaling.
        name: Of the new run's folder.
        runs: Folder that it is made in; None is that of the first run.
        which: The members' ``best`` or ``last`` checkpoints.
        shrink: Part of the position that the largest disagreement takes, from 0 to 1.

    Raises:
        ConfigError: If the runs cannot decide together, or the folder exists or cannot be made.
        RlTraderError: If a run is damaged, or its data are not there.
    """
    check_folder_name(name)
    if not (is_number(shrink) and 0.0 <= shrink <= 1.0):
        raise ConfigError(f"--shrink must be a fraction from 0 to 1, was {shrink}; change it")
    members = _members(paths, which)
    first = members[0]
    config = replace(first.config, name=name, runs=runs or first.run.path.absolute().parent)
    checkpoint = _checkpoint(members, shrink, which)
    metrics = _validation(checkpoint, config)
    checkpoint = replace(checkpoint, facts={**checkpoint.facts, "validation": metrics.to_json()})
    folder = RunFolder.create(config.runs / name, config, {"members": [member.to_json() for member in members]})
    folder.save(checkpoint, checkpoint.facts["timesteps"], is_best=True)
    return folder


def _members(paths: Sequence[Path], which: str) -> list[_Member]:
    if len(paths) < FEWEST_MEMBERS:
        raise ConfigError(f"an ensemble needs {FEWEST_MEMBERS} runs or more, found {len(paths)}; name more of them")
    if len({path.resolve() for path in paths}) != len(paths):
        raise ConfigError("an ensemble's runs must differ, and one is named twice; name each once")
    members = []
    for path in paths:
        run = RunFolder.open(path)
        members.append(_Member(run, run.config(), run.checkpoint(which)))
    for member in members:
        if isinstance(member.checkpoint.policy, EnsemblePolicy):
            raise ConfigError(f"{member.run.path} is an ensemble itself; name its members instead")
        differing = _differences(members[0], member)
        if differing:
            raise ConfigError(
                f"{member.run.path} differs from {members[0].run.path} in its {', '.join(differing)}, and they cannot"
                " decide together; name runs that differ in algorithm, seed and hyperparameters alone"
            )
    return members


def _differences(one: _Member, other: _Member) -> list[str]:
    """Return in what two runs differ that must be the same where they decide together."""
    return [name for name, value in _common(one).items() if _common(other)[name] != value]


def _common(member: _Member) -> dict[str, object]:
    checkpoint, market = member.checkpoint, member.config.market
    return {
        "symbols": checkpoint.symbols,
        "interval": checkpoint.interval,
        "contract terms": checkpoint.terms,
        "observation": checkpoint.schema,
        "account and actions": checkpoint.env.trading,
        "scaling": checkpoint.scaling.to_json(),
        "recorded series": checkpoint.facts.get("series"),
        "periods": (market.train, market.validation, market.test),
        "assumptions": market.assumptions,
    }


def _checkpoint(members: Sequence[_Member], shrink: float, which: str) -> Checkpoint:
    first = members[0].checkpoint
    parts = [member.checkpoint.policy for member in members]
    policies = [policy for policy in parts if not isinstance(policy, EnsemblePolicy)]
    policy = EnsemblePolicy(policies, shrink, ActionMap(levels=first.env.trading.levels))
    own = [member.to_json() for member in members]
    facts = {
        "algorithm": ENSEMBLE,
        "learner": {"shrink": shrink, "checkpoint": which, "members": own},
        "seed": members[0].config.seed,
        "timesteps": sum(member["timesteps"] for member in own),
    }
    return replace(
        first,
        policy=policy,
        golden_targets=decide_in_turn(policy, first.golden_observations),
        facts={**first.facts, **facts},
    )


def _validation(checkpoint: Checkpoint, config: TrainConfig) -> Metrics:
    market = replace(config.market, train=config.market.validation, test=config.market.validation)
    bars = load_market(market, checkpoint.schema, config.data)
    observed = observe_market(bars, checkpoint.schema, scaling=checkpoint.scaling)
    period = parse_period(config.market.validation)
    return measure(backtest_policy(ENSEMBLE, checkpoint.policy, observed, checkpoint.env.trading, period))
