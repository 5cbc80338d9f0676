"""Recordings of kernels: that a run again computes what the first one would have, and what they do not see."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels import jit, memory, recording
from minifcn.kernels.merge import add, multiply
from minifcn.kernels.recording import Recording, outside, unrecorded
from minifcn.kernels.team import share, team, two

pytestmark = pytest.mark.skipif(jit.CHECKED, reason="in the checked mode nothing is recorded")

LARGE = 30_000  # numbers: such arrays are not NumPy's but memory's


def summed(a, b):
    y = memory.empty(a.shape)
    add(a, b, y)
    return y


def drawn(*seeds, size=LARGE):
    return [np.random.default_rng(seed).standard_normal(size, np.float32) for seed in seeds]


@given(
    size=st.sampled_from([1, 100, LARGE]),
    program=st.lists(
        st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=12
    ),
)
def test_any_program_of_kernels(size, program):
    """Arrays come and go: what lies where another one lay before must not be in anyone's way."""
    inputs, constant = drawn(0, 1, size=size), drawn(2, size=size)[0]

    def run():
        alive = [*inputs, constant]
        for is_sum, a, b, forget in program:
            y = memory.empty(size)
            (add if is_sum else multiply)(alive[a % len(alive)], alive[b % len(alive)], y)
            alive.append(y)
            if forget and len(alive) > 4:
                del alive[3]
        return alive[3:]

    with Recording() as made:
        results = run()
    assert not made.obstacle
    for seeds in ((3, 4), (5, 6)):
        for array, other in zip((*inputs, constant), drawn(*seeds, 7, size=size)):
            array[...] = other
        made.run()
        for found, expected in zip(results, run(), strict=True):
            np.testing.assert_array_equal(found, expected)


@team
def describe(thread, threads, x, matrix, shape, number, fraction, flag, out):
    if thread == 0:
        rows, columns = two(shape)
        out[0], out[1], out[2], out[3], out[4] = rows, columns, number, fraction, 1 if flag else 0
        out[5], out[6], out[7] = x.size, matrix.shape[0], matrix[1, 2]


def test_all_kinds_of_arguments():
    x, matrix, out = np.zeros(5, np.float32), np.arange(12.0).reshape(3, 4)[:, ::-1], np.zeros(8)
    with Recording() as made:
        describe(x, matrix, (3, 10**12), -7, 2.5, True, out)
    expected = [3, 10**12, -7, 2.5, 1, 5, 3, 5]
    assert out.tolist() == expected
    out[:] = 0
    gc.collect()
    made.run()
    assert out.tolist() == expected


@team
def count_up(thread, threads, counts):
    begin, end = share(counts.size, thread, threads)
    for k in range(begin, end):
        counts[k] += 1


def test_so_many_launches_that_their_arguments_fill_pages():
    counts = np.zeros(10)
    with Recording() as made:
        for _ in range(5000):
            count_up(counts)
    made.run()
    assert (counts == 10_000).all()


def test_what_is_outside_is_called_in_every_run():
    """The kernels behind it read the array that it has returned then."""
    (x,), seen, given_back = drawn(0), [], []

    def look():
        seen.append(float(doubled[0]))
        given_back.append(np.full(LARGE, 10 * (1 + len(given_back)), np.float32))
        return given_back[-1]

    with Recording() as made:
        doubled = summed(x, x)
        y = summed(doubled, outside(look))
        outside(lambda: seen.append(float(y[1])))
    assert not made.obstacle
    for times in (2, 3):
        x[...] = drawn(times)[0]
        made.run()
        np.testing.assert_array_equal(y, x + x + np.float32(10 * times))
        assert seen[-2:] == [x[0] + x[0], y[1]]
    assert len(seen) == 6


@pytest.mark.parametrize(
    "other", [np.zeros(LARGE), np.zeros(LARGE - 1, np.float32), np.zeros(LARGE, np.int32)]
)
def test_what_is_outside_has_one_shape_and_type(other):
    (x,) = drawn(0)
    returned = [x]
    with Recording() as made:
        summed(x, outside(lambda: returned[0]))
    returned[0] = x[::-1]  # this one may be
    made.run()
    returned[0] = other
    with pytest.raises(ValueError, match="what is computed outside must be float32 of shape"):
        made.run()


def test_outside_without_a_recording_is_a_call():
    assert outside(lambda: 7) == 7
    unrecorded("nothing is")


def test_an_error_outside_ends_the_run_and_the_next_one_is_as_ever():
    (x,), fails = drawn(0), []

    def maybe():
        if fails:
            raise KeyError

    with Recording() as made:
        y = summed(x, x)
        outside(maybe)
        z = summed(y, y)
    fails.append(1)
    with pytest.raises(KeyError):
        made.run()
    fails.clear()
    x[...] = drawn(5)[0]
    made.run()
    np.testing.assert_array_equal(z, 4 * x)


def test_kernels_outside_and_after_it_are_not_recorded():
    counts, others = np.zeros(3), np.zeros(3)
    with Recording() as made:
        count_up(counts)
        outside(lambda: count_up(others))
    count_up(others)
    made.run()
    assert counts.tolist() == [2] * 3 and others.tolist() == [3] * 3


def test_its_memory_is_nobody_elses():
    (x,) = drawn(0)
    with Recording() as made:
        y = summed(summed(x, x), x)  # the sum in the middle is let go, but the recording writes to it
    others = [memory.empty(LARGE) for _ in range(20)]
    for other in others:
        other[...] = 77
    made.run()
    assert all((other == 77).all() for other in others)
    del made
    gc.collect()
    np.testing.assert_array_equal(y, 3 * x)  # its arrays stay


def test_what_cannot_be_recorded_says_so(monkeypatch):
    (x,) = drawn(0)
    with Recording() as made:
        unrecorded("NumPy")
        unrecorded("later")
    assert made.obstacle == "NumPy"
    monkeypatch.setattr(recording, "MOST", memory.Reserve.CHUNK)
    with Recording() as made:
        large = memory.empty(memory.Reserve.CHUNK)
        y = summed(summed(x, x), x)
    assert made.obstacle == "it needs more than 64 MB" and not made._kept
    np.testing.assert_array_equal(y, x + x + x)
    assert large.size == memory.Reserve.CHUNK


def test_after_an_error_nothing_is_recorded():
    counts = np.zeros(3)
    with pytest.raises(KeyError), Recording():
        raise KeyError
    count_up(counts)
    assert counts.tolist() == [1] * 3 and memory.empty(LARGE).size == LARGE


@pytest.mark.skipif(jit.numba.config.NUMBA_NUM_THREADS < 2, reason="there is one processor")
def test_the_number_of_threads_may_not_change_on_the_way():
    counts, threads = np.zeros(3), jit.get_threads()
    try:
        with Recording() as made:
            count_up(counts)
            jit.set_threads(1 + threads % 2)
            count_up(counts)
    finally:
        jit.set_threads(threads)
    assert made.obstacle == "the number of threads changes" and counts.tolist() == [2] * 3
