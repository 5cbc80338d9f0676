"""A vector of float32 numbers for Numba, as wide as the registers of this machine.

Plain loops are vectorised by the compiler, but it does not keep a block of sums in registers. With this type
a kernel says what it means: `load` sixteen numbers, `fma` them, `store` them.

    s = fma(broadcast(a, i), load(b, j), s)      # s + a[i] * b[j : j + LANES]
"""

import operator

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from minifcn.kernels.jit import CHECKED, kernel


def _lanes() -> int:
    """How many float32 fit in a register: 16 with AVX-512, 8 with AVX, otherwise 4.

    We ask LLVM how it would add sixteen of them, because it knows every processor by name (NUMBA_CPU_NAME): in a
    register called zmm, in two called ymm, or in more of another name.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name() if name is None else name,
        features=llvm.get_host_cpu_features().flatten() if features is None else features,
    )
    sixteen, module = ir.VectorType(ir.FloatType(), 16), ir.Module()
    function = ir.Function(module, ir.FunctionType(sixteen, [sixteen] * 2), "add")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(builder.fadd(*function.args))
    assembly = machine.emit_assembly(llvm.parse_assembly(str(module)))
    return 16 if "zmm" in assembly else 8 if "ymm" in assembly else 4


LANES = _lanes()
_LLVM_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class _Vector(types.Type):
    def __init__(self):
        super().__init__(name=f"float32x{LANES}")


_vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector_type):
        super().__init__(manager, vector_type, _LLVM_VECTOR)


def _address(context, builder, array_type, array, index, kind=_LLVM_VECTOR):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def load_lanes(context, builder, array_type, array, index, count=None):
    """Generate the instruction of `load` or, with a count, of `load_part`."""
    address = _address(context, builder, array_type, array, index)
    if count is None:
        return builder.load(address, align=4)
    arguments = [address, ir.IntType(32)(4), _first(builder, count), ir.Constant(_LLVM_VECTOR, [0.0] * LANES)]
    kind = ir.FunctionType(_LLVM_VECTOR, [argument.type for argument in arguments])
    name = f"llvm.masked.load.v{LANES}f32.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def store_lanes(context, builder, array_type, array, index, value, count=None):
    """Generate the instruction of `store` or `store_part`."""
    address = _address(context, builder, array_type, array, index)
    if count is None:
        builder.store(value, address, align=4)
        return
    arguments = [value, address, ir.IntType(32)(4), _first(builder, count)]
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    name = f"llvm.masked.store.v{LANES}f32.p0"
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _first(builder, count):
    """For every lane whether it is one of the first `count`."""
    lanes = ir.Constant(ir.VectorType(count.type, LANES), list(range(LANES)))
    return builder.icmp_signed("<", lanes, _in_every_lane(builder, count))


@intrinsic
def load(typing, array, index):
    """The LANES numbers of the flat float32 array from `index` on."""

    def generate(context, builder, signature, args):
        return load_lanes(context, builder, signature.args[0], *args)

    return _vector(array, types.intp), generate


@intrinsic
def load_part(typing, array, index, count):
    """The first `count` of them, and zeros."""

    def generate(context, builder, signature, args):
        return load_lanes(context, builder, signature.args[0], *args)

    return _vector(array, types.intp, types.intp), generate


@intrinsic
def store(typing, array, index, value):
    """Write the vector to the flat float32 array from `index` on."""

    def generate(context, builder, signature, args):
        store_lanes(context, builder, signature.args[0], *args)
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector), generate


@intrinsic
def store_part(typing, array, index, value, count):
    """Write its first `count` numbers, and leave alone what lies behind them."""

    def generate(context, builder, signature, args):
        store_lanes(context, builder, signature.args[0], *args)
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector, types.intp), generate


def _fetching(write):
    @intrinsic
    def fetch(typing, array, index):
        """Ask the memory for the cache line of number `index` of the flat float32 array, to have it there soon."""

        def generate(context, builder, signature, args):
            kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *[ir.IntType(32)] * 3])
            prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            address = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
            builder.call(prefetch, [address, *map(ir.IntType(32), (write, 3, 1))])
            return context.get_dummy_value()

        return types.void(array, types.intp), generate

    return fetch


fetch, fetch_to_write = _fetching(0), _fetching(1)
LINE = 16  # float32 numbers in a cache line


def _in_every_lane(builder, number):
    kind, lane = ir.VectorType(number.type, LANES), ir.IntType(32)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(lane, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, LANES), [0] * LANES))


@intrinsic
def splat(typing, scalar):
    """The same number in every lane."""

    def generate(context, builder, signature, args):
        return _in_every_lane(builder, args[0])

    return _vector(types.float32), generate


@intrinsic
def broadcast(typing, array, index):
    """The number at `index` of the flat float32 array in every lane.

    As splat(array[index]), without the question whether the index is negative and counts from the end: in the
    innermost loop that question takes as long as the arithmetic.
    """

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return _in_every_lane(builder, builder.load(builder.gep(data, [args[1]])))

    return _vector(array, types.intp), generate


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, rounded once."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(_LLVM_VECTOR, [_LLVM_VECTOR] * 3)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), args
        )

    return _vector(_vector, _vector, _vector), generate


@intrinsic
def maximum(typing, a, b):
    """The larger number, lane by lane; NaN where either is."""

    def generate(context, builder, signature, args):
        a, b = args
        greater, nan = builder.fcmp_ordered(">", a, b), builder.fcmp_unordered("uno", a, a)
        return builder.select(builder.or_(greater, nan), a, b)

    return _vector(_vector, _vector), generate


@intrinsic
def where_positive(typing, y, dy):
    """dy where y > 0, else 0: the gradient of max(x, 0), whose value is y."""

    def generate(context, builder, signature, args):
        y, dy = args
        zero = ir.Constant(_LLVM_VECTOR, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered(">", y, zero), dy, zero)

    return _vector(_vector, _vector), generate


@intrinsic
def where_greater(typing, a, b, x, y):
    """x where a > b, else y, lane by lane."""

    def generate(context, builder, signature, args):
        a, b, x, y = args
        return builder.select(builder.fcmp_ordered(">", a, b), x, y)

    return _vector(_vector, _vector, _vector, _vector), generate


@intrinsic
def where_equal(typing, a, b, x, y):
    """x where a == b, else y, lane by lane."""

    def generate(context, builder, signature, args):
        a, b, x, y = args
        return builder.select(builder.fcmp_ordered("==", a, b), x, y)

    return _vector(_vector, _vector, _vector, _vector), generate


_BYTES = ir.VectorType(ir.IntType(8), LANES)


@intrinsic
def load_bytes(typing, array, index):
    """LANES small whole numbers of a flat uint8 array."""

    def generate(context, builder, signature, args):
        small = builder.load(_address(context, builder, signature.args[0], *args, _BYTES), align=1)
        return builder.uitofp(small, _LLVM_VECTOR)

    return _vector(array, types.intp), generate


@intrinsic
def store_bytes(typing, array, index, value):
    """Write a vector of whole numbers from 0 to 255 to a flat uint8 array."""

    def generate(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args[:2], _BYTES)
        builder.store(builder.fptoui(args[2], _BYTES), address, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector), generate


def _elementwise(operation, instruction):
    @intrinsic
    def apply(typing, a, b):
        def generate(context, builder, signature, args):
            return getattr(builder, instruction)(*args)

        return _vector(_vector, _vector), generate

    @overload(operation)
    def overloaded(a, b):
        if a is _vector and b is _vector:
            return lambda a, b: apply(a, b)


for _operation, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _elementwise(_operation, _instruction)


def _inside(access, lanes):
    """`access`, but with a question before it: do all its lanes lie inside the array?"""

    @njit
    def load_inside(array, index):
        if index < 0 or index + lanes > array.size:
            raise IndexError("a vector load reaches outside its array")
        return access(array, index)

    @njit
    def store_inside(array, index, value):
        if index < 0 or index + lanes > array.size:
            raise IndexError("a vector store reaches outside its array")
        access(array, index, value)

    return store_inside if access in (store, store_bytes) else load_inside


def _part_inside(access):
    @njit
    def load_inside(array, index, count):
        if index < 0 or index + count > array.size:
            raise IndexError("a part of a vector that is loaded reaches outside its array")
        return access(array, index, count)

    @njit
    def store_inside(array, index, value, count):
        if index < 0 or index + count > array.size:
            raise IndexError("a part of a vector that is stored reaches outside its array")
        access(array, index, value, count)

    return store_inside if access is store_part else load_inside


if CHECKED:
    load, store, broadcast = _inside(load, LANES), _inside(store, LANES), _inside(broadcast, 1)
    load_bytes, store_bytes = _inside(load_bytes, LANES), _inside(store_bytes, LANES)
    load_part, store_part = _part_inside(load_part), _part_inside(store_part)


# ---------------------------------------------------------------- runs of numbers


@kernel
def copy(count, a, at, b, to):
    """b[to:] = `count` numbers of a[at:]. (A loop over a[at + k] stays a loop over single numbers: at + k might be
    negative and mean the end of the array.)"""
    whole = count // LANES * LANES
    for k in range(0, whole, LANES):
        store(b, to + k, load(a, at + k))
    if whole < count:
        store_part(b, to + whole, load_part(a, at + whole, count - whole), count - whole)


@kernel
def fetch_run(count, a, at):
    """Have `count` numbers of a[at:] brought near, while something else is computed."""
    for k in range(0, count, LINE):
        fetch(a, at + k)


@kernel
def fetch_run_to_write(count, b, to):
    """The same where they will be written."""
    for k in range(0, count, LINE):
        fetch_to_write(b, to + k)


@kernel
def clear(count, b, to):
    """`count` zeros to b[to:]."""
    whole, zero = count // LANES * LANES, splat(np.float32(0))
    for k in range(0, whole, LANES):
        store(b, to + k, zero)
    if whole < count:
        store_part(b, to + whole, zero, count - whole)
