"""Kernels that every thread runs, each on its own share of the work.

    @team
    def double(thread, threads, x, y):
        begin, end = share(x.size, thread, threads)
        for i in range(begin, end):
            y[i] = 2 * x[i]

    double(x, y)        # each thread calls it, with its number from 0 and how many there are

Numba's own way, `prange`, compiles the body of the loop three times over. Here the body is compiled once, and a
loop of one line (`_run`), which calls it at its address, is compiled for each kind of arguments.

Arguments are arrays, numbers and tuples of whole numbers; these arrive as arrays, `four` makes tuples of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minifcn.kernels import jit
from minifcn.kernels.jit import kernel, prange

__all__ = ["four", "own", "share", "team", "two"]


def team(function: Callable) -> Callable:
    """`function(thread, threads, ...)`, run by all threads when it is called with the other arguments."""
    if jit.CHECKED:  # an exception that is raised in a thread would be lost: one share after the other
        checked = kernel(function)

        def in_turn(*arguments: Any) -> None:
            threads = jit.get_threads()
            for thread in range(threads):
                checked(thread, threads, *_plain(arguments)[0])

        return in_turn

    compiled: dict[tuple, Any] = {}

    def launch(*arguments: Any) -> None:
        arguments, kinds = _plain(arguments)
        work = compiled.get(kinds)
        if work is None:
            work = compiled[kinds] = _compile(function, arguments)
        _run(work.address, jit.get_threads(), arguments)

    return launch


def _compile(function, arguments):
    signature = types.void(types.int64, types.int64, *map(numba.typeof, arguments))
    with jit.caching_here():
        return numba.cfunc(signature, cache=True, nopython=True, error_model="numpy")(function)


@kernel(parallel=True)
def _run(address, threads, arguments):
    for thread in prange(threads):
        _call(address, np.int64(thread), threads, *arguments)


@intrinsic
def _call(typing, address, *arguments):
    """Call the function at `address`. (Numba can call a function that is an argument, but looks up its address
    in Python each time, which takes longer than many a kernel.)"""

    def generate(context, builder, signature, args):
        kinds = [context.get_value_type(kind) for kind in signature.args[1].types]
        function = ir.FunctionType(context.get_value_type(types.none), kinds).as_pointer()
        builder.call(builder.inttoptr(args[0], function), cgutils.unpack_tuple(builder, args[1]))
        return context.get_dummy_value()

    return types.none(address, types.StarArgTuple(arguments)), generate


def _plain(arguments):
    """The arguments with arrays for tuples, and what kinds they are. In a loop of its own: this runs at every
    launch."""
    plain: list[Any] = []
    kinds: list[Any] = []
    for argument in arguments:
        kind = type(argument)
        if kind is np.ndarray:
            kinds += (argument.dtype, argument.ndim, argument.flags.c_contiguous)
        elif kind is tuple:
            argument = _array(argument)
        else:
            kinds.append(kind)
        plain.append(argument)
    return tuple(plain), tuple(kinds)


@functools.lru_cache(1 << 12)
def _array(numbers: tuple[int, ...]) -> np.ndarray:
    """Shapes and options come again and again. Kernels only read them."""
    return np.array(numbers, np.int64)


@kernel
def share(jobs, thread, threads):
    """From which job to which this thread works."""
    return jobs * thread // threads, jobs * (thread + 1) // threads


@kernel
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
