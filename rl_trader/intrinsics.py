"""What kernels ask of the processor and numba has no word for: prefetching, block copies, memory shared by threads.

Each has a stand-in for plain Python (``NUMBA_DISABLE_JIT=1``). LLVM's instructions: https://llvm.org/docs/LangRef.html.
"""

from typing import Any, Final

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from rl_trader.kernels import inlined

CACHE_LINE: Final = 64  # bytes
WORD: Final = 8  # bytes of an int64


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
def borrowed(_typing: object, array: types.Array) -> tuple[Any, Any]:
    """Return an array without an owner, for the time that the caller holds it.

    Functions that are handed an array count its references, atomically, for every account: on one thread that costs
    time, and several threads wait for each other. What has no owner is not counted.
    """

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own
        table = context.make_array(array)(context, builder, arguments[0])
        table.meminfo = table.meminfo.type(None)
        return table._getvalue()

    return array(array), codegen


@intrinsic  # type: ignore[untyped-decorator]
def copy_rows(
    _typing: object,
    source: types.Array,
    first: types.Integer,
    num_rows: types.Integer,
    target: types.Array,
    row: types.Integer,
    column: types.Integer,
) -> tuple[Any, Any]:
    """Copy ``num_rows`` rows of ``source`` from ``first`` on, one after the other, into a row of ``target``.

    They begin there at ``column``. Both are C-contiguous matrices of one type.
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
        into = builder.mul(arguments[5], builder.extract_value(end.strides, 1))
        write = builder.gep(write, [into], source_etype=byte)
        cgutils.raw_memcpy(builder, write, read, builder.mul(arguments[2], width), 1)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64, types.int64), codegen


def _copy_plainly(source: NDArray[Any], first: int, num_rows: int, target: NDArray[Any], row: int, column: int) -> None:
    """Do as ``copy_rows`` does, in plain Python."""
    target[row, column : column + num_rows * source.shape[1]] = source[first : first + num_rows].reshape(-1)


@intrinsic  # type: ignore[untyped-decorator]
def load(_typing: object, array: types.Array, entry: types.Integer) -> tuple[Any, Any]:
    """Return an entry (int64) that another thread may write; what was written before it is seen after it."""

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own
        return builder.load_atomic(_entry(context, builder, array, arguments), "acquire", WORD)

    return types.int64(array, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store(_typing: object, array: types.Array, entry: types.Integer, value: types.Integer) -> tuple[Any, Any]:
    """Write an entry (int64) that another thread may read."""

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own
        builder.store_atomic(arguments[2], _entry(context, builder, array, arguments), "release", WORD)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


def _entry(context: Any, builder: Any, array: types.Array, arguments: Any) -> Any:  # noqa: ANN401 - numba's own
    table = context.make_array(array)(context, builder, arguments[0])
    return builder.gep(table.data, [arguments[1]])


def _ask_nothing(_array: NDArray[Any], _row: int, _offset: int) -> None:
    """Stand in for the prefetch in plain Python, which cannot ask and need not."""


def _borrow_plainly(array: NDArray[Any]) -> NDArray[Any]:
    """Do as ``borrowed`` does, in plain Python, which counts anyway."""
    return array


def _load_plainly(counters: NDArray[Any], entry: int) -> int:
    """Do as ``load`` does, in plain Python, whose lock orders the memory."""
    return int(counters[entry])


def _store_plainly(counters: NDArray[Any], entry: int, value: int) -> None:
    """Do as ``store`` does, in plain Python."""
    counters[entry] = value


if numba.config.DISABLE_JIT:
    _prefetch_line = _ask_nothing
    borrowed = _borrow_plainly
    copy_rows = _copy_plainly
    load = _load_plainly
    store = _store_plainly


@inlined
def prefetch_row(array: NDArray[Any], row: int, begin: int, end: int) -> None:
    """Ask the processor for the cache lines of a row, from byte to byte, before it is read or written."""
    for offset in range(begin, end, CACHE_LINE):
        _prefetch_line(array, row, offset)
