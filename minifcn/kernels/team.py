"""Kernels that every thread runs, each on its own share of the work.

    @team
    def double(thread, threads, x, y):
        begin, end = share(x.size, thread, threads)
        for i in range(begin, end):
            y[i] = 2 * x[i]

    double(x, y)        # each thread calls it, with its number from 0 and how many there are

Numba's own way, `prange`, compiles the body of a loop three times over. Here each body is compiled once, and so is
the only loop over the threads, which calls them all at their addresses.

Arguments are arrays, numbers and tuples of whole numbers; these arrive as arrays, `four` makes tuples of them.

The threads count no references to these arrays. Counters would stand in one cache line, which the processors
would take from each other at every call within the kernels: two threads would gain a third, not twice the speed.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from minifcn.kernels import jit
from minifcn.kernels.jit import kernel

_WORD = ir.IntType(64)
_NUMBERS = types.Array(types.int64, 1, "C")  # what a tuple becomes

__all__ = ["four", "here", "own", "run_again", "share", "team", "two"]


def team(function: Callable) -> Callable:
    """`function(thread, threads, ...)`, run by all threads when it is called with the other arguments."""
    if jit.CHECKED:  # an exception that is raised in a thread would be lost: one share after the other
        checked = jit.entry(function)

        def in_turn(*arguments: Any) -> None:
            threads = jit.get_threads()
            for thread in range(threads):
                checked(thread, threads, *(_array(a) if type(a) is tuple else a for a in arguments))

        return in_turn

    compiled: dict[tuple, tuple] = {}

    def launch(*arguments: Any) -> None:
        kinds = _kinds(arguments)
        found = compiled.get(kinds)
        if found is None:
            work = _compile(function, (types.int64, types.int64, *map(_type, arguments)))
            # The function itself is kept: it lives as long as its address is called.
            found = compiled[kinds] = _loop().address, work.address, work
        loop, address, _ = found
        recorder = here.recorder
        if recorder is None:
            _run(loop, address, jit.get_threads(), arguments, 0)
        else:
            room = recorder.room()
            recorder.ran(room, arguments, *_run(loop, address, jit.get_threads(), arguments, room))

    return launch


class _Here(threading.local):
    """Each Python thread has its own."""

    recorder: Any = None  # what is told of every launch: see recording.py


here = _Here()


def _compile(function, kinds, parallel=False):
    with jit.caching_here():
        options = {"cache": True, "nopython": True, "error_model": "numpy", "parallel": parallel}
        return numba.cfunc(types.void(*kinds), **options)(function)


@functools.cache
def _loop():
    """The one loop over the threads. It calls `meet(thread, arguments)`; both are addresses."""

    def loop(meet, arguments, threads):
        for thread in prange(threads):
            _call(meet, (np.int64(thread), arguments))

    return _compile(loop, (types.int64,) * 3, parallel=True)


@jit.on_the_pool
@jit.entry
def _run(loop, work, threads, arguments, room):
    return _launch(loop, work, threads, arguments, room)


@jit.on_the_pool
@jit.entry
def _run_again(loop, launches, threads):
    for k in range(len(launches)):
        _call(loop, (launches[k, 0], launches[k, 1], threads))


def run_again(launches: np.ndarray, threads: int) -> None:
    """Run kernels once more, one after the other: of each the address of `meet` and that of its arguments."""
    _run_again(_loop().address, launches, threads)


@intrinsic
def _call(typing, address, numbers):
    """Call the function at the address with these whole numbers."""

    def generate(context, builder, signature, args):
        numbers = cgutils.unpack_tuple(builder, args[1])
        function = ir.FunctionType(ir.VoidType(), [_WORD] * len(numbers)).as_pointer()
        builder.call(builder.inttoptr(args[0], function), numbers)
        return context.get_dummy_value()

    return types.none(types.int64, numbers), generate


@intrinsic
def _launch(typing, loop, work, threads, arguments, room):
    """Lay the arguments down in memory, where the loop's threads take them up again to call the function at `work`.

    The memory is that at the address `room`, or on the stack if this is 0. Returned are the address of the function
    that takes the arguments up, and their bytes.

    (Numba can call a function that is an argument, but looks up its address in Python each time, which takes
    longer than many a kernel.)
    """

    def generate(context, builder, signature, args):
        loop, work, threads, arguments, room = args
        kinds, values = signature.args[3].types, cgutils.unpack_tuple(builder, arguments)
        laid = [work, threads]
        for kind, value in zip(kinds, values):
            if isinstance(kind, types.BaseTuple):
                value = _words(builder, cgutils.unpack_tuple(builder, value))
            laid.append(value)
        layout = ir.LiteralStructType([value.type for value in laid])
        memory = cgutils.alloca_once(builder, layout)
        given = builder.icmp_unsigned("!=", room, _WORD(0))
        memory = builder.select(given, builder.inttoptr(room, memory.type), memory)
        for k, value in enumerate(laid):
            builder.store(value, cgutils.gep_inbounds(builder, memory, 0, k))

        kind = ir.FunctionType(ir.VoidType(), [_WORD, _WORD])
        meet = ir.Function(builder.module, kind, builder.module.get_unique_name("meet"))
        meet.linkage = "internal"
        within = ir.IRBuilder(meet.append_basic_block())
        there = within.inttoptr(meet.args[1], memory.type)
        work, threads = (within.load(cgutils.gep_inbounds(within, there, 0, k)) for k in range(2))
        taken = [meet.args[0], threads]
        for k, kind in enumerate(kinds, start=2):
            place = cgutils.gep_inbounds(within, there, 0, k)
            if isinstance(kind, types.BaseTuple):
                taken.append(_array_of(context, within, place, len(kind)))
            elif isinstance(kind, types.Array):
                array = context.make_array(kind)(context, within, within.load(place))
                array.meminfo = cgutils.get_null_value(array.meminfo.type)  # its counter: there is none
                taken.append(array._getvalue())
            else:
                taken.append(within.load(place))
        kind = ir.FunctionType(context.get_value_type(types.none), [value.type for value in taken])
        within.call(within.inttoptr(work, kind.as_pointer()), taken)
        within.ret_void()

        kind = ir.FunctionType(context.get_value_type(types.none), [_WORD] * 3).as_pointer()
        addresses = [builder.ptrtoint(there, _WORD) for there in (meet, memory)]
        builder.call(builder.inttoptr(loop, kind), [*addresses, args[2]])
        size = _WORD(context.get_abi_sizeof(layout))
        return context.make_tuple(builder, signature.return_type, [addresses[0], size])

    result = types.UniTuple(types.int64, 2)
    return result(types.int64, types.int64, types.int64, arguments, types.int64), generate


def _words(builder, words):
    """The words side by side."""
    together = cgutils.get_null_value(ir.ArrayType(_WORD, len(words)))
    for k, word in enumerate(words):
        together = builder.insert_value(together, word, k)
    return together


def _array_of(context, builder, place, count):
    """A NumPy array of the `count` numbers that lie there."""
    array = context.make_array(_NUMBERS)(context, builder)
    data, size = builder.bitcast(place, array.data.type), _WORD(8)
    populate_array(array, data=data, shape=[_WORD(count)], strides=[size], itemsize=size, meminfo=None)
    return array._getvalue()


def _kinds(arguments):
    """What the machine code depends on. One loop without a function call: this runs at every launch."""
    kinds: list[Any] = []
    for argument in arguments:
        kind = type(argument)
        if kind is np.ndarray:
            kinds.append(argument.dtype)
            kinds.append(argument.ndim if argument.flags.c_contiguous else -argument.ndim)
        else:
            kinds.append(kind)
    return tuple(kinds)


def _type(argument):
    return _NUMBERS if type(argument) is tuple else numba.typeof(argument)


def _array(numbers):
    return np.array(numbers, np.int64)


@kernel
def share(jobs, thread, threads):
    """From which job to which this thread works."""
    return jobs * thread // threads, jobs * (thread + 1) // threads


@numba.njit(inline="always")  # as if it stood in the kernel that calls it: a `kernel` cannot return an array
def own(work, thread, threads):
    """The thread's part of a flat array that holds as much for each of them."""
    size = work.size // threads
    return work[thread * size : (thread + 1) * size]


@kernel
def two(numbers):
    """The two numbers of an array as a tuple."""
    return numbers[0], numbers[1]


@kernel
def four(numbers):
    """The four numbers of an array as a tuple."""
    return numbers[0], numbers[1], numbers[2], numbers[3]
