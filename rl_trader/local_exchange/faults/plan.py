"""Plans: which faults happen, as a JSON file has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.faults.actions import CallAction, Deed, FrameAction
from rl_trader.local_exchange.faults.call_actions import CALL_ACTIONS
from rl_trader.local_exchange.faults.deeds import DEEDS
from rl_trader.local_exchange.faults.frame_actions import FRAME_ACTIONS
from rl_trader.local_exchange.faults.other_hand import CHANGES
from rl_trader.local_exchange.faults.reading import read
from rl_trader.local_exchange.faults.triggers import Trigger
from rl_trader.local_exchange.protocol.json_text import JsonError, load_json
from rl_trader.numeric import shown

OTHER_HAND: Final = "other_hand"

Action = CallAction | FrameAction | Deed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault."""

    name: str
    trigger: Trigger
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """All faults; where several happen to one call, the first one is nearest to the caller."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0  # of faults with a probability

    @classmethod
    def load(cls, path: Path) -> "FaultPlan":
        """Return the plan in a JSON file.

        Raises:
            ConfigError: If it cannot be read, or is no plan.
        """
        try:
            data = load_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, JsonError) as error:
            raise ConfigError(f"a plan of faults must be a JSON file and {path} is not ({error}); correct it") from None
        return cls.of(data)

    @classmethod
    def of(cls, data: object) -> "FaultPlan":
        """Return the plan that a JSON object is.

        Raises:
            ConfigError: In one sentence, if it is none.
        """
        fields = _fields(data, "a plan of faults", ("faults", "seed"), ("faults",))
        faults, seed = fields["faults"], fields.get("seed", 0)
        if not isinstance(faults, list):
            raise ConfigError(f"faults of a plan must be a list and are {shown(faults)}; write one")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ConfigError(f"seed of a plan must be a whole number and is {shown(seed)}; choose one")
        plan = cls(faults=tuple(_fault(number, fault) for number, fault in enumerate(faults, start=1)), seed=seed)
        names = [fault.name for fault in plan.faults]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"faults must have different names and {shown(name)} is there twice; change one")
        return plan


def _fault(number: int, data: object) -> Fault:
    where = f"fault {number}"
    fields = _fields(data, where, ("name", "on", "do"), ("on", "do"))
    trigger = read(Trigger, fields["on"], f"the trigger of {where}")
    action = dict(_fields(fields["do"], f"the action of {where}", None, ("action",)))
    word = action.pop("action")
    table: Mapping[str, type[Action]] = _table(trigger)
    if word == OTHER_HAND and trigger.stream is None and trigger.event is None:
        word, table = action.pop("change", None), CHANGES
    if not isinstance(word, str) or word not in table:
        field, more = ("change", ()) if table is CHANGES else ("action", (OTHER_HAND,) if "halt" in table else ())
        wanted = ", ".join([*table, *more])
        raise ConfigError(
            f"{field} of {where} must, by its trigger, be one of {wanted} and is {shown(word)}; choose one"
        )
    kind = table[word]
    if trigger.moment == "after" and not issubclass(kind, Deed):
        raise ConfigError(f"the trigger of {where} must have no moment for the action {word} and has; leave it out")
    name = fields.get("name", f"{number} {word}")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"name of {where} must be text and is {shown(name)}; write some")
    return Fault(name=name, trigger=trigger, action=read(kind, action, f"the action of {where}"))


def _table(trigger: Trigger) -> Mapping[str, type[Action]]:
    if trigger.endpoint is not None:
        return {**DEEDS, **CALL_ACTIONS}
    return DEEDS if trigger.time is not None else FRAME_ACTIONS


def _fields(data: object, where: str, known: tuple[str, ...] | None, required: tuple[str, ...]) -> Mapping[str, object]:
    """Return the fields of an object, of which all are known, if any are said to be, and some are there."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} must be an object and is {shown(data)}; write one")
    for name in data:
        if known is not None and name not in known:
            raise ConfigError(f"{where} must have fields of {', '.join(known)} and has {shown(name)}; leave it out")
    for name in required:
        if name not in data:
            raise ConfigError(f"{where} must have {name} and has {', '.join(map(str, data)) or 'nothing'}; add it")
    return data
