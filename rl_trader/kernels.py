"""The decorator of every compiled kernel, and its disk cache.

Numba's own disk cache watches only the file of the function it caches: an edit in a callee of another file leaves the
caller with the old code. Therefore the cache folder is named after a hash of all sources of this package together, so
that any edit starts a fresh cache.

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
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

CACHE_LINE: Final = 64  # bytes


def _source_hash() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
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


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch_line(_typing: object, array: types.Array, row: types.Integer, offset: types.Integer) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own
        table = context.make_array(array)(context, builder, arguments[0])
        stride = builder.extract_value(table.strides, 0)
        step = builder.add(builder.mul(arguments[1], stride), arguments[2])
        byte = ir.IntType(8)
        address = builder.gep(builder.bitcast(table.data, byte.as_pointer()), [step], source_etype=byte)
        flag = ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag]),
            "llvm.prefetch.p0",
        )
        builder.call(prefetch, [address, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def copy_rows(
    _typing: object,
    source: types.Array,
    first: types.Integer,
    num_rows: types.Integer,
    target: types.Array,
    row: types.Integer,
) -> tuple[Any, Any]:
    """Copy ``num_rows`` rows of ``source`` from ``first`` on, one after the other, to the begin of a row of ``target``.

    Both are C-contiguous matrices of one type.
    """

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own
        begin, end = (
            context.make_array(array)(context, builder, arguments[i]) for i, array in ((0, source), (3, target))
        )
        byte = ir.IntType(8)
        width = builder.extract_value(begin.strides, 0)
        read, write = (
            builder.gep(
                builder.bitcast(table.data, byte.as_pointer()),
                [builder.mul(arguments[i], builder.extract_value(table.strides, 0))],
                source_etype=byte,
            )
            for i, table in ((1, begin), (4, end))
        )
        cgutils.raw_memcpy(builder, write, read, builder.mul(arguments[2], width), 1)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64), codegen


def _copy_plainly(source: NDArray[Any], first: int, num_rows: int, target: NDArray[Any], row: int) -> None:
    """Do as ``copy_rows`` does, in plain Python."""
    target[row, : num_rows * source.shape[1]] = source[first : first + num_rows].reshape(-1)


def _ask_nothing(_array: NDArray[Any], _row: int, _offset: int) -> None:
    """Stand in for the prefetch in plain Python, which cannot ask and need not."""


if numba.config.DISABLE_JIT:
    _prefetch_line = _ask_nothing
    copy_rows = _copy_plainly


@inlined
def prefetch_row(array: NDArray[Any], row: int, num_bytes: int) -> None:
    """Ask the processor for the cache lines of a row before it is read."""
    for offset in range(0, num_bytes, CACHE_LINE):
        _prefetch_line(array, row, offset)


def records(array: NDArray[np.void]) -> NDArray[np.void]:
    """Return a structured array in the form whose records have attributes where it is going to be read.

    Compiled code reads ``bars[t].close`` from a plain structured array; plain Python (``NUMBA_DISABLE_JIT=1``) needs a
    record array for it. No data is copied.
    """
    if numba.config.DISABLE_JIT:
        return array.view(np.recarray)
    return array
