"""Kernels that every thread runs: who gets what, and how arguments arrive."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minifcn.kernels import jit
from minifcn.kernels.team import four, share, team, two

MOST = min(4, jit.numba.config.NUMBA_NUM_THREADS)

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(params=range(1, MOST + 1))
def threads(request):
    """As many threads, and then as before."""
    before = jit.get_threads()
    jit.set_threads(request.param)
    yield request.param
    jit.set_threads(before)


# ---------------------------------------------------------------- shares


@given(jobs=st.integers(0, 10**12) | st.integers(0, 70), threads=st.integers(1, 64))
def test_shares_cover_all_jobs_once_and_are_equal(jobs, threads):
    shares = [share(jobs, thread, threads) for thread in range(threads)]
    ends = [0, *(end for _, end in shares)]
    assert [begin for begin, _ in shares] == ends[:-1] and ends[-1] == jobs
    sizes = [end - begin for begin, end in shares]
    assert max(sizes) - min(sizes) <= 1


@intrinsic
def counter(typing, array):
    """The address of the array's count of references, 0 if it has none."""

    def generate(context, builder, signature, args):
        found = context.make_array(signature.args[0])(context, builder, args[0]).meminfo
        return builder.ptrtoint(found, ir.IntType(64))

    return types.int64(array), generate


@team
def note_counters(thread, threads, x, sizes, counters):
    counters[thread, 0], counters[thread, 1], counters[thread, 2] = (
        counter(x),
        counter(sizes),
        counter(counters),
    )


@pytest.mark.skipif(jit.CHECKED, reason="checked kernels run one after the other, as Numba calls them")
def test_threads_count_no_references(threads):
    """Their counters would lie in one cache line, which the processors would take from each other."""
    counters = np.full((threads, 3), -1)
    note_counters(np.zeros(3), (1, 2), counters)
    assert not counters.any()


@team
def mark(thread, threads, jobs, counts, who):
    begin, end = share(jobs, thread, threads)
    for job in range(begin, end):
        counts[job] += 1
        who[job] = thread
    counts[jobs + thread] = threads


@pytest.mark.parametrize("jobs", [0, 1, 2, 3, 7, 1000])
def test_each_thread_is_called_once_and_does_its_share(threads, jobs):
    counts, who = np.zeros(jobs + MOST, np.int64), np.full(jobs, -1)
    mark(jobs, counts, who)
    assert np.all(counts[:jobs] == 1)
    np.testing.assert_array_equal(counts[jobs:], [threads] * threads + [0] * (MOST - threads))
    for thread in range(threads):
        begin, end = share(jobs, thread, threads)
        assert np.all(who[begin:end] == thread)


def test_a_change_of_threads_holds_from_the_next_launch_on():
    before = jit.get_threads()
    try:
        for threads in (1, MOST, 1, MOST):
            jit.set_threads(threads)
            counts = np.zeros(MOST, np.int64)
            mark(0, counts, np.zeros(0, np.int64))
            assert counts.max() == threads and (counts > 0).sum() == threads
    finally:
        jit.set_threads(before)


# ---------------------------------------------------------------- arguments


@team
def unpack(thread, threads, pair, quadruple, out):
    a, b = two(pair)
    c, d, e, f = four(quadruple)
    if thread == 0:
        out[0], out[1], out[2], out[3], out[4], out[5] = a, b, c, d, e, f
        out[6], out[7] = pair.size, quadruple.size


numbers = st.integers(-(2**62), 2**62)


@given(pair=st.tuples(*[numbers] * 2), quadruple=st.tuples(*[numbers] * 4))
def test_tuples_arrive_as_arrays(pair, quadruple):
    out = np.zeros(8, np.int64)
    unpack(pair, quadruple, out)
    np.testing.assert_array_equal(out, [*pair, *quadruple, 2, 4])


@team
def scale(thread, threads, factor, x, y):
    begin, end = share(x.size, thread, threads)
    for i in range(begin, end):
        y[i] = factor * x[i]


kinds = st.sampled_from([np.float32, np.float64, np.uint8])
factors = st.sampled_from([2, 2.5, True])


@given(factor=factors, x_kind=kinds, y_kind=st.sampled_from([np.float32, float]), length=st.integers(0, 99))
def test_each_kind_of_arguments_is_compiled_for(factor, x_kind, y_kind, length):
    x = np.arange(length).astype(x_kind)
    y = np.full(length, -1, y_kind)
    scale(factor, x, y)
    np.testing.assert_array_equal(y, factor * np.arange(length))


@team
def bend(thread, threads, x, y):
    begin, end = share(x.size, thread, threads)
    for i in range(begin, end):
        y[i] = x[i] * x[i]


@pytest.mark.parametrize(("dtype", "order"), [(np.float32, (True, False)), (np.float64, (False, True))])
def test_an_array_that_is_only_read_may_be_read_only(dtype, order):
    """Whether it is or is not the first one, for which the kernel is compiled."""
    x, y = np.arange(9).astype(dtype), np.empty(9, dtype)
    for writeable in (*order, *order):
        x.flags.writeable = writeable
        y[:] = -1
        bend(x, y)
        np.testing.assert_array_equal(y, x * x)


@team
def total(thread, threads, x, sums):
    sums[thread] = 0
    begin, end = share(x.shape[0], thread, threads)
    for i in range(begin, end):
        for j in range(x.shape[1]):
            sums[thread] += x[i, j]


def test_an_array_need_not_be_contiguous():
    """Nor be as the first one was, for which the kernel is compiled."""
    plain = np.arange(35, dtype=np.float32).reshape(5, 7)
    strided = np.repeat(np.repeat(plain, 2, axis=0), 3, axis=1)[::2, ::3]
    for x in (plain, strided, plain.T):
        sums = np.zeros(MOST, np.float32)
        total(x, sums)
        assert sums.sum() == plain.sum()


# ---------------------------------------------------------------- several Python threads, other processes


def test_several_python_threads_may_call_at_once():
    def work(seed):
        x, y = np.random.default_rng(seed).standard_normal((2, 999))
        for _ in range(20):
            y[:] = np.nan
            scale(3.0, x, y)
            if not np.array_equal(y, 3 * x):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(40)))


SCRIPT = """
import sys
import numpy as np
from minifcn.kernels.jit import CHECKED, get_threads
from minifcn.kernels.team import share, team, two

@team
def copy(thread, threads, shift, x, y):
    up, _ = two(shift)
    begin, end = share(y.size, thread, threads)
    for i in range(begin, end):
        y[i] = x[i + up]

print("checked" if CHECKED else "unchecked", get_threads())
x, y = np.arange(10.0), np.zeros(9)
copy((1, 0), x, y)
assert np.array_equal(y, x[1:])
if CHECKED:
    for shift in (2, 100):
        try:
            copy((shift, 0), x, y)
        except IndexError as error:
            print(type(error).__name__)
"""


def run(folder, **environment):
    """The lines that SCRIPT prints, and whether it compiled anything that was not in `folder` yet."""
    (folder / "script.py").write_text(SCRIPT)
    cache = folder / "cache"
    before = set(cache.rglob("*.nbc"))
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": "2"} | environment
    done = subprocess.run(
        [sys.executable, folder / "script.py"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), set(cache.rglob("*.nbc")) != before


def test_the_checked_mode_raises_what_a_thread_would_lose(tmp_path):
    """An index outside an array in the share of the second thread too."""
    assert run(tmp_path, MINIFCN_CHECKED="1")[0] == ["checked 2", "IndexError", "IndexError"]


def test_what_was_compiled_is_kept_on_disk(tmp_path):
    environment = {"MINIFCN_CHECKED": "0", "NUMBA_BOUNDSCHECK": "0"}
    assert run(tmp_path, **environment) == (["unchecked 2"], True)
    assert run(tmp_path, **environment) == (["unchecked 2"], False)
