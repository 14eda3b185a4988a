"""The decorator of every compiled kernel, and its disk cache.

Numba's own disk cache watches only the file of the function it caches: an edit in a callee of another file leaves the
caller with the old code. Therefore the cache folder is named after a hash of all sources of this package together, but
for the folders that no kernel is made of, so that any edit of the others starts a fresh cache.

``error_model="numpy"`` makes a division by zero yield inf or nan instead of raising; every division in a kernel is
guarded where it is written. ``fastmath`` is never used: compiled and plain results are equal to the bit.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")


WITHOUT_KERNELS: Final = ("live", "local_exchange", "rehearsal", "statistics")  # folders


def _source_hash() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in WITHOUT_KERNELS:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_dir() -> Path:
    """Return the folder of compiled kernels: ``$RL_TRADER_CACHE`` or the user's cache folder, by source hash."""
    root = os.environ.get("RL_TRADER_CACHE")
    base = Path(root) if root else Path.home() / ".cache" / "rl_trader"
    return base / "kernels" / _SOURCE_HASH


_SOURCE_HASH = _source_hash()


def _compile(function: Callable[P, R], **options: object) -> Callable[P, R]:
    # Numba's cache tells functions apart by name and signature only: one source compiled with different options needs
    # a folder for each.
    folder = cache_dir() / "-".join(sorted(options))
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        return cast(Callable[P, R], numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))
    finally:
        numba.config.CACHE_DIR = previous


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function for one thread."""
    return _compile(function)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that is inlined where it is called."""
    return _compile(function, forceinline=True)


def parallel_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function whose ``numba.prange`` loop runs on all threads; the bits do not depend on their number."""
    return _compile(function, parallel=True)


def closure_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that refers to another one chosen at run time; it is compiled anew in every process."""
    return cast(Callable[P, R], numba.njit(nogil=True)(function))


def without_lookup(function: Callable[P, R], *arguments: object) -> Callable[P, R]:
    """Return a kernel as it is compiled for the types of some arguments, called without looking types up again.

    Numba finds out the types of all arguments in every call, which for arrays of records takes longer than an account's
    step. Whoever calls hands over the same types, contiguous arrays included: nothing checks it.
    """
    if numba.config.DISABLE_JIT:
        return function
    dispatcher: Any = function
    types = tuple(numba.typeof(argument) for argument in arguments)
    dispatcher.compile(types)
    return cast(Callable[P, R], dispatcher.overloads[types].entry_point)


def records(array: NDArray[np.void]) -> NDArray[np.void]:
    """Return a structured array in the form whose records have attributes where it is going to be read.

    Compiled code reads ``bars[t].close`` from a plain structured array; plain Python (``NUMBA_DISABLE_JIT=1``) needs a
    record array for it. No data is copied.
    """
    if numba.config.DISABLE_JIT:
        return array.view(np.recarray)
    return array
