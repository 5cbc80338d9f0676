"""Memory that is used again: never while an array or a view of it lives, and never more than was once needed."""

import contextlib
import gc
import importlib.util
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels import memory
from minifcn.kernels.memory import ALIGNMENT, LARGE, empty

FLOATS = LARGE // 4  # the least float32 numbers whose memory is kept

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(FLOATS - 2, 6 * FLOATS)


def new_memory():
    """The module as in a new process: nothing in use, nothing kept, nobody else that uses it."""
    spec = importlib.util.spec_from_file_location("new_memory", memory.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fresh():
    return new_memory()


def address(array):
    return array.ctypes.data


def assert_counts_are_right(module=memory):
    assert module._kept == sum(block.size for blocks in module._idle.values() for block in blocks)
    assert module._in_use + module._kept <= module._most


# ---------------------------------------------------------------- arrays


@given(
    shape=st.lists(st.integers(0, 40), max_size=4).map(tuple) | st.integers(0, 10**6),
    dtype=st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_, "float32", np.dtype(">f4")]),
)
def test_it_is_as_numpys(shape, dtype):
    array, expected = empty(shape, dtype), np.empty(shape, dtype)
    assert type(array) is np.ndarray
    assert (array.shape, array.dtype, array.strides) == (expected.shape, expected.dtype, expected.strides)
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
    array[...] = 1
    assert np.all(array == 1)
    assert_counts_are_right()


def test_numbers_are_float32_unless_told():
    assert empty(3).dtype == empty(10**6).dtype == np.float32


@given(size=sizes, dtype=st.sampled_from([np.float32, np.float64, np.uint8]))
def test_large_arrays_start_with_a_cache_line(size, dtype):
    array = empty((size,), dtype)
    assert array.nbytes < LARGE or address(array) % ALIGNMENT == 0


# ---------------------------------------------------------------- used again


def test_memory_is_used_again(fresh):
    array = fresh.empty((100, 1000))
    first = address(array)
    del array
    array = fresh.empty((100, 1000))
    assert address(array) == first
    del array
    assert address(fresh.empty((99, 1001))) == first  # about the same size
    assert address(fresh.empty((50, 1000), np.float64)) == first  # of another type


def test_not_while_the_array_lives(fresh):
    array = fresh.empty(FLOATS)
    array[...] = 5
    others = [fresh.empty(FLOATS) for _ in range(3)]
    for other in others:
        other[...] = 7
    assert len({address(a) for a in [array, *others]}) == 4
    assert np.all(array == 5)


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[3:5],
        lambda array: array.reshape(-1, 2).T,
        lambda array: array.view(np.int32)[::7],
        lambda array: np.broadcast_to(array[:1], (3, 5)),
        lambda array: memoryview(array),
        lambda array: np.asarray(memoryview(array)),
    ],
)
def test_not_while_a_view_lives(view, fresh):
    array = fresh.empty(FLOATS)
    first = address(array)
    kept_view = view(array)
    del array
    assert address(fresh.empty(FLOATS)) != first
    del kept_view
    assert first in {address(a) for a in [fresh.empty(FLOATS), fresh.empty(FLOATS)]}


def test_an_array_in_a_circle_gives_its_memory_back_too(fresh):
    circle = [fresh.empty(FLOATS)]
    circle.append(circle)
    assert fresh._in_use > 0
    del circle
    gc.collect()
    assert fresh._in_use == 0
    assert_counts_are_right(fresh)


@given(steps=st.lists(st.tuples(st.booleans(), sizes, seeds), max_size=30))
def test_arrays_keep_their_numbers_whatever_comes_and_goes(steps):
    """Arrays are made, and in between some are let go, or all of them but a view."""
    alive = []
    for token, (make, size, choice) in enumerate(steps):
        if make or not alive:
            array = empty(size)
            array[...] = token
            alive.append((array, token))
        elif choice % 2:
            alive.pop(choice % len(alive))
        else:
            array, token = alive[choice % len(alive)]
            alive[choice % len(alive)] = array[size % (array.size // 2) :][::2], token
            del array
        for array, token in alive:
            assert np.all(array == token)
        assert_counts_are_right()


# ---------------------------------------------------------------- what is kept


@given(rounds=st.lists(st.lists(sizes, min_size=1, max_size=5), min_size=1, max_size=8))
def test_no_more_is_held_than_was_needed_at_one_time(rounds):
    """In use and kept, together: the most that one round needed, whatever sizes the others had."""
    fresh, needed = new_memory(), 0
    for round in rounds:
        arrays = [fresh.empty(size) for size in round]
        needed = max(needed, fresh._in_use)
        assert fresh._most == needed
        assert_counts_are_right(fresh)
        del arrays
        assert fresh._in_use == 0
        assert_counts_are_right(fresh)


@given(size=st.integers(FLOATS, 10**9))
def test_rounding_up_costs_a_quarter_at_most(size):
    rounded = memory._rounded(size)
    assert size <= rounded <= 1.25 * size
    assert memory._rounded(rounded) == rounded


def test_what_was_of_no_use_for_longest_goes_first(fresh):
    old, new = fresh.empty(3 * FLOATS), fresh.empty(FLOATS)
    addresses = address(old), address(new)
    del old
    del new
    other = fresh.empty(2 * FLOATS)  # of a new size, and four in all is the most
    assert fresh._kept < 3 * FLOATS * 4
    assert address(fresh.empty(FLOATS)) == addresses[1]
    assert_counts_are_right(fresh)
    del other


def test_a_training_step_allocates_nothing_the_second_time(fresh):
    def step():
        a, b = fresh.empty((64, 1024)), fresh.empty((32, 2048), np.float64)
        c = fresh.empty(a.shape)
        del a
        return {address(array) for array in (b, c, fresh.empty((64, 1024)))}

    assert step() == step() == step()


def test_what_could_not_be_had_is_not_counted(fresh):
    array = fresh.empty(FLOATS)
    before = fresh._in_use, fresh._most
    with pytest.raises(MemoryError):
        fresh.empty(1 << 50)
    assert (fresh._in_use, fresh._most) == before
    del array


# ---------------------------------------------------------------- scratch

lengths = st.lists(st.integers(1, 5) | st.integers(1, 3 * FLOATS), max_size=4)


def test_scratch_is_always_the_same_memory(fresh):
    with fresh.scratch(1000, 2000) as arrays:
        assert [array.size for array in arrays] == [1000, 2000]
        assert all(array.dtype == np.float32 and array.ndim == 1 for array in arrays)
        first = address(arrays[0])
    in_use = fresh._in_use
    for size in (1, 1000, 3000):
        with fresh.scratch(size) as (array,):
            assert address(array) == first
    assert fresh._in_use == in_use


@given(nested=st.lists(lengths, max_size=5), data=st.data())
def test_scratch_within_scratch_is_other_memory(nested, data):
    """Also where it grows in between, or an error ends it. Every array starts with a cache line."""
    fresh, token = new_memory(), 0
    for _ in range(2):
        alive, stack = [], contextlib.ExitStack()
        with contextlib.suppress(KeyError), stack:
            for sizes in nested:
                arrays = stack.enter_context(fresh.scratch(*sizes))
                assert [array.size for array in arrays] == sizes
                for array in arrays:
                    assert address(array) % ALIGNMENT == 0
                    token += 1
                    array[...] = token
                    alive.append((array, token))
            assert all(np.all(array == number) for array, number in alive)
            if data.draw(st.booleans()):
                raise KeyError
        assert fresh._here.used == 0


def test_scratch_of_every_python_thread_is_its_own(fresh):
    def work(number):
        for _ in range(50):
            with fresh.scratch(1000, FLOATS) as (a, b):
                a[...] = b[...] = number
                if not (np.all(a == number) and np.all(b == number)):
                    return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(20)))


# ---------------------------------------------------------------- threads


def test_threads_do_not_get_each_others_arrays():
    wrong = []

    def work(number):
        rng = np.random.default_rng(number)
        alive = []
        for step in range(300):
            array = empty(int(rng.integers(FLOATS, 2 * FLOATS)))
            token = 1000 * number + step
            array[:50] = array[-50:] = token
            alive.append((array, token))
            if len(alive) > 4:
                array, token = alive.pop(int(rng.integers(len(alive))))
                if not (np.all(array[:50] == token) and np.all(array[-50:] == token)):
                    wrong.append(token)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert_counts_are_right()


def test_arrays_at_the_end_of_the_program():
    """They are let go when half of Python is gone already."""
    script = """
import numpy as np
from minifcn.kernels import memory

array = memory.empty(10**6)
circle = [memory.empty(10**6)]
circle.append(circle)
memory.mine = memory.empty(10**6)
np.mine = memory.empty(10**6)
print(array.size)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "1000000\n", "")


# ---------------------------------------------------------------- reserves


@given(
    steps=st.lists(st.tuples(st.integers(LARGE, 3 * LARGE), st.booleans(), st.integers(0, 9)), max_size=30)
)
def test_arrays_in_a_reserve_are_each_others_only_after_they_are_let_go(steps):
    fresh = new_memory()
    reserve, alive = fresh.Reserve(1 << 30), []
    for token, (size, forget, which) in enumerate(steps):
        with reserve:
            array = fresh.empty(size, np.uint8)
        assert reserve.owns(array) and reserve.owns(array[3:]) and address(array) % ALIGNMENT == 0
        array[...] = token
        alive.append((array, token))
        if forget:
            del alive[which % len(alive)]
        del array
        assert all(np.all(array == number) for array, number in alive)
    alive.clear()
    reserve._merge()
    ((begin, end),) = reserve._free or [(0, reserve.CHUNK)]
    assert end - begin == reserve.CHUNK


def test_a_reserve_ends_somewhere():
    fresh = new_memory()
    reserve = fresh.Reserve(fresh.Reserve.CHUNK)
    with reserve:
        first, second = (fresh.empty(fresh.Reserve.CHUNK // 4 * 3, np.uint8) for _ in range(2))
        small = fresh.empty(LARGE, np.uint8)
    outside = fresh.empty(LARGE, np.uint8)
    assert reserve.exceeded
    assert [reserve.owns(array) for array in (first, second, small, outside)] == [True, False, True, False]
    assert not reserve.owns(np.zeros(3))


def test_scratch_is_not_in_the_reserve():
    fresh = new_memory()
    reserve = fresh.Reserve(1 << 30)
    with reserve, fresh.scratch(LARGE) as (small,), fresh.scratch(9 * LARGE) as (large,):
        assert not reserve.owns(small) and not reserve.owns(large)
        assert reserve.owns(fresh.empty(LARGE))


def test_what_is_kept_can_be_let_go():
    fresh = new_memory()
    fresh.empty(4 * LARGE, np.uint8)
    assert fresh._kept > 0
    fresh.let_go()
    assert_counts_are_right(fresh)
    assert fresh._kept == 0
