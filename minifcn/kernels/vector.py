"""A vector of float32 numbers for Numba, as wide as the registers of this machine.

Plain loops are vectorised by the compiler, but it does not keep a block of sums in registers. With this type
a kernel says what it means: `load` sixteen numbers, `fma` them, `store` them.

    s = fma(splat(a[i]), load(b, j), s)          # s + a[i] * b[j : j + LANES]
"""

import operator

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from minifcn.kernels.jit import CHECKED


def _lanes() -> int:
    """How many float32 fit in a register: 16 with AVX-512, 8 with AVX2, otherwise 4."""
    features = dict(llvm.get_host_cpu_features())
    if numba.config.CPU_FEATURES is not None:  # a narrower machine can be emulated: NUMBA_CPU_FEATURES=+avx2
        names = numba.config.CPU_FEATURES.split(",")
        features = {name[1:]: name.startswith("+") for name in names if name}
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


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


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _LLVM_VECTOR.as_pointer())


@intrinsic
def _load(typing, array, index):
    def generate(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], *args), align=4)

    return _vector(array, types.intp), generate


@intrinsic
def _store(typing, array, index, value):
    def generate(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector), generate


@njit(inline="always")
def load(array, index):
    """The LANES numbers of the flat float32 array from `index` on."""
    if CHECKED and (index < 0 or index + LANES > array.size):
        raise IndexError("a vector load reaches outside its array")
    return _load(array, index)


@njit(inline="always")
def store(array, index, value):
    """Write the vector to the flat float32 array from `index` on."""
    if CHECKED and (index < 0 or index + LANES > array.size):
        raise IndexError("a vector store reaches outside its array")
    _store(array, index, value)


@intrinsic
def splat(typing, scalar):
    """The same number in every lane."""

    def generate(context, builder, signature, args):
        lane = ir.IntType(32)
        one = builder.insert_element(ir.Constant(_LLVM_VECTOR, ir.Undefined), args[0], ir.Constant(lane, 0))
        return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, LANES), [0] * LANES))

    return _vector(types.float32), generate


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, rounded once."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(_LLVM_VECTOR, [_LLVM_VECTOR] * 3)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), args
        )

    return _vector(_vector, _vector, _vector), generate


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
