"""What the process that trades cannot do, asked of a process of its own."""

import json
import subprocess
import sys

import pytest

PROBE = r"""
import ctypes, io, json, pickle, tempfile
from collections import OrderedDict

PR_GET_DUMPABLE = 3

early = pickle.loads
data = pickle.dumps(OrderedDict(a=1))

from rl_trader.live.hardening import harden_process

harden_process()

import _pickle, importlib, multiprocessing.reduction, pathlib, resource, sys
import numpy as np
import numba.cloudpickle
import pandas as pd

path = pathlib.Path(tempfile.mkdtemp()) / "objects.npy"
np.save(path, np.array([{}], dtype=object), allow_pickle=True)

class Sly(pickle.Unpickler):
    def find_class(self, module, name):
        return super().find_class(module, name)

class Deep(pickle._Unpickler):
    pass

tries = {
    "pickle.loads": lambda: pickle.loads(data),
    "pickle.load": lambda: pickle.load(io.BytesIO(data)),
    "pickle.Unpickler": lambda: pickle.Unpickler(io.BytesIO(data)).load(),
    "pickle._loads": lambda: pickle._loads(data),
    "pickle._Unpickler": lambda: pickle._Unpickler(io.BytesIO(data)).load(),
    "_pickle.loads": lambda: _pickle.loads(data),
    "_pickle.Unpickler": lambda: _pickle.Unpickler(io.BytesIO(data)).load(),
    "a subclass": lambda: Sly(io.BytesIO(data)).load(),
    "a subclass in Python": lambda: Deep(io.BytesIO(data)).load(),
    "a name that was kept": lambda: early(data),
    "numpy": lambda: np.load(path, allow_pickle=True),
    "pandas": lambda: pd.read_pickle(io.BytesIO(data)),
    "multiprocessing": lambda: multiprocessing.reduction.ForkingPickler.loads(data),
    "numba's cloudpickle from elsewhere": lambda: numba.cloudpickle.loads(data),
    **{name: lambda name=name: importlib.import_module(name) for name in
       ("torch", "stable_baselines3", "sb3_contrib.qrdqn", "joblib", "cloudpickle", "dill")},
}
said = {}
for name, attempt in tries.items():
    try:
        said[name] = f"returned {attempt()!r}"
    except BaseException as error:
        said[name] = f"{type(error).__name__}: {error}"
said["cores"] = resource.getrlimit(resource.RLIMIT_CORE)
said["dumpable"] = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) if sys.platform == "linux" else 0
said["torch is here"] = "torch" in sys.modules

from rl_trader.embedded import embedded_market
embedded_market(300, 0)
from rl_trader.local_exchange.assembly import Setup, assemble_lock_step
assemble_lock_step(Setup(symbols=("EMBEDDED",)))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, object]:
    result = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_nothing_is_unpickled(said: dict[str, object]) -> None:
    refusals = {name: text for name, text in said.items() if name not in ("cores", "dumpable", "torch is here")}
    assert len(refusals) == 20
    assert {str(text).partition(":")[0] for text in refusals.values()} == {"UnpicklingError", "ModuleNotFoundError"}
    modules = [name for name, text in refusals.items() if "is not for the process that trades" in str(text)]
    assert len(modules) == 6


def test_no_framework_is_there_and_no_core_is_left(said: dict[str, object]) -> None:
    assert said["torch is here"] is False
    assert said["cores"] == [0, 0]
    assert said["dumpable"] == 0  # nor may anybody look into it, whatever the limit


def test_a_process_that_has_a_framework_already_does_not_trade() -> None:
    code = "import cloudpickle\nfrom rl_trader.live.hardening import harden_process\nharden_process()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "['cloudpickle'] must not be imported before" in result.stderr
