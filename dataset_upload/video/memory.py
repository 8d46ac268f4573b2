"""Raw access to arrays in compiled functions, by LLVM instructions that no processor lacks.

Numba's own indexing wraps negative indices and tests each one; these loads and stores do neither, and the vector
kernels built on them move 8 or 16 samples at a time. What keeps them inside their arrays is argued where they are
used (`mpeg4/__init__.py`), and tested: in checked mode (see `kernels`) every access verifies its span first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dataset_upload.video.kernels import CHECKED, inlined, kernel

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


# For the bodies of intrinsics ------------------------------------------------------------------------------


def pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Address of an element of an array, or of one that is borrowed."""
    if isinstance(array_type, types.Array):
        array = context.make_array(array_type)(context, builder, array).data
    return builder.gep(array, [offset])


def load_vector(builder: Any, address: Any, lanes: int, element: Any = I8) -> Any:
    """`lanes` neighbouring elements, from any address."""
    vector = ir.VectorType(element, lanes)
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=1)


def store_vector(builder: Any, address: Any, vector: Any) -> None:
    builder.store(vector, builder.bitcast(address, vector.type.as_pointer()), align=1)


def splat(vector_type: Any, value: int) -> Any:
    """A constant in every lane."""
    return ir.Constant(vector_type, [value] * vector_type.count)


def shuffle(builder: Any, first: Any, second: Any, lanes: list[int]) -> Any:
    """Lanes chosen from two vectors of equal type, numbered through."""
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def clip(builder: Any, vector: Any, lowest: int, highest: int) -> Any:
    """Every lane within signed limits."""
    low, high = splat(vector.type, lowest), splat(vector.type, highest)
    vector = builder.select(builder.icmp_signed(">", vector, low), vector, low)
    return builder.select(builder.icmp_signed("<", vector, high), vector, high)


# Borrowing -------------------------------------------------------------------------------------------------


@intrinsic
def _borrow(typing_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@inlined
def _as_it_is(array: Any) -> Any:
    return array


# An array for use in this module's functions only, as long as something else keeps it alive. Numba counts references to
# arrays, which in an inner loop costs more than what the loop does; nobody counts those to a borrowed one.
borrow: Callable[[Any], Any] = _as_it_is if CHECKED else _borrow  # type: ignore[assignment]


# Spans -----------------------------------------------------------------------------------------------------


@kernel
def require(array: Any, first: int, length: int) -> None:
    """Raise unless `length` elements from `first` on lie in the array."""
    if first < 0 or first + length > array.size:
        raise IndexError("access outside an array")


def guarded(access: Any, spans: Callable[..., Any]) -> Any:
    """An intrinsic as it is; in checked mode, after `spans` has verified what it will touch."""
    if not CHECKED:
        return access
    verify = kernel(spans)

    @kernel
    def verified(*arguments: Any) -> Any:
        verify(*arguments)
        return access(*arguments)

    return verified


# Single elements -------------------------------------------------------------------------------------------


@intrinsic
def _load(typing_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(pointer(context, builder, signature.args[0], *arguments))
        if value.type.width == 64:
            return value
        return (builder.sext if signature.args[0].dtype.signed else builder.zext)(value, I64)

    return types.int64(array, types.int64), generate


@intrinsic
def _store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = pointer(context, builder, signature.args[0], *arguments[:2])
        bits = signature.args[0].dtype.bitwidth
        value = arguments[2] if bits == 64 else builder.trunc(arguments[2], ir.IntType(bits))
        builder.store(value, address)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@intrinsic
def _load_bits(typing_context: Any, data: Any, position: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, position = arguments
        address = pointer(context, builder, signature.args[0], data, builder.lshr(position, I64(3)))
        value = builder.bswap(builder.load(builder.bitcast(address, I64.as_pointer()), align=1))
        return builder.shl(value, builder.and_(position, I64(7)))

    return types.int64(data, types.int64), generate


@intrinsic
def _shift_right(typing_context: Any, value: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.lshr(*arguments)

    return types.int64(types.int64, types.int64), generate


# An element, as int64.
load: Callable[[Any, int], int] = guarded(_load, lambda array, index: require(array, index, 1))

# Set an element to the low bits of a value.
store: Callable[[Any, int, int], None] = guarded(_store, lambda array, index, value: require(array, index, 1))

# 64 bits of a bit stream, the one at a position on top; up to 7 of the last ones are missing.
load_bits: Callable[[Any, int], int] = guarded(_load_bits, lambda data, position: require(data, position >> 3, 8))

# value >> bits of a 64-bit integer taken as unsigned.
shift_right: Callable[[int, int], int] = _shift_right  # type: ignore[assignment]
