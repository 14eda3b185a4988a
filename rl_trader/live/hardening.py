"""What the process that trades cannot do: unpickle, load a training framework, or leave its memory in a file.

A pickle is a program. A checkpoint has none; what would read one all the same, by whatever library, raises. The one
exception is numba, which keeps its own compiled code in the user's cache folder as pickles: its modules may read them.
Nothing of this can be taken back, so it is for a process that does nothing but trade, before it imports anything else.
"""

import _pickle
import ctypes
import pickle
import resource
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from threading import local
from types import ModuleType
from typing import Final, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FORBIDDEN: Final = ("torch", "stable_baselines3", "sb3_contrib", "joblib", "cloudpickle", "dill")
"""Never imported: each would read pickles of its own."""

_MAY_UNPICKLE: Final = "numba."
_PR_SET_DUMPABLE: Final = 4
_HERE: Final = local()  # whether this thread is reading what it may


class UnpicklingError(Exception):
    """Something wanted to unpickle in the process that trades."""


class _Refusing(pickle._Unpickler):
    """Takes the place of both of Python's unpicklers, whose subclasses come here as well."""

    def __init__(self, *_: object, **__: object) -> None:
        _refuse()


class _NoFramework:
    """Finds none of the modules that are forbidden, and says so."""

    @staticmethod
    def find_spec(
        name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse a forbidden module; of any other nothing is known here."""
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{name} is not for the process that trades", name=name)
        return None


def harden_process() -> None:
    """Take from this process, for good, what a process that trades does not need."""
    loaded = [name for name in FORBIDDEN if name in sys.modules]
    assert not loaded, f"{loaded} must not be imported before"
    sys.meta_path.insert(0, _NoFramework)
    _forbid_unpickling()
    _leave_no_core()


def _forbid_unpickling() -> None:
    for module in (pickle, _pickle):
        for name in ("load", "loads", "_load", "_loads"):  # the latter two are Python's, and not of both
            if hasattr(module, name):
                setattr(module, name, _guarded(getattr(module, name)))
        for name in ("Unpickler", "_Unpickler"):
            setattr(module, name, _Refusing)
    sys.addaudithook(_audit)


def _guarded(read: Callable[P, R]) -> Callable[P, R]:
    def reading(*arguments: P.args, **options: P.kwargs) -> R:
        if not str(sys._getframe(1).f_globals.get("__name__")).startswith(_MAY_UNPICKLE):
            _refuse()
        before, _HERE.may = getattr(_HERE, "may", False), True
        try:
            return read(*arguments, **options)
        finally:
            _HERE.may = before

    return reading


def _audit(event: str, _arguments: tuple[object, ...]) -> None:
    """Refuse what any unpickler does before it calls anything, even one that was at hand before."""
    if event == "pickle.find_class" and not getattr(_HERE, "may", False):
        _refuse()


def _refuse() -> NoReturn:
    raise UnpicklingError("nothing is unpickled in the process that trades; give it what is no pickle")


def _leave_no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # there a core may go to a program, whatever the limit
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
