"""The matrix product against its definition: all shapes, layouts and thread counts.

Matrices of small whole numbers have exact products in float32, so most comparisons are exact.
"""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from minifcn.kernels import jit
from minifcn.kernels.matmul import COLUMNS, DEPTH, ROWS, matmul, matmul_definition

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])
near_blocks = [
    n + d for n in (ROWS, 2 * ROWS, 4 * ROWS, COLUMNS, 2 * COLUMNS, 3 * COLUMNS) for d in (-1, 0, 1)
]
sizes = st.integers(1, 70) | st.sampled_from(near_blocks) | st.integers(1, 4).map(lambda n: 100 * n)
depths = sizes | st.sampled_from([DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH, 2 * DEPTH + 3])


def whole(rng, shape, dtype):
    return rng.integers(-9, 10, shape).astype(dtype)


@given(sizes=st.tuples(*[st.integers(1, 6)] * 3), seed=seeds)
def test_the_definition_is_the_matrix_product(sizes, seed):
    rng, (M, K, N) = np.random.default_rng(seed), sizes
    a, b, out = rng.standard_normal((M, K)), rng.standard_normal((K, N)), rng.standard_normal((M, N))
    expected = out + a @ b
    matmul_definition(a, b, out)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


@given(sizes=st.tuples(*[st.integers(1, 12) | st.sampled_from([17, 33])] * 3), dtype=dtypes, seed=seeds)
def test_it_is_the_definition(sizes, dtype, seed):
    rng, (M, K, N) = np.random.default_rng(seed), sizes
    a, b, out = whole(rng, (M, K), dtype), whole(rng, (K, N), dtype), whole(rng, (M, N), dtype)
    expected = out.copy()
    matmul_definition(a, b, expected)
    matmul(a, b, out)
    np.testing.assert_array_equal(out, expected)


def case_of_any_shape(M, K, N, seed):
    rng = np.random.default_rng(seed)
    return whole(rng, (M, K), np.float32), whole(rng, (K, N), np.float32), whole(rng, (M, N), np.float32)


@given(M=sizes, K=depths, N=sizes, seed=seeds)
@example(M=2000, K=3, N=2, seed=0)
@example(M=2, K=3, N=2000, seed=0)
@example(M=1, K=2000, N=1, seed=0)
@example(M=9, K=27, N=65, seed=0)
def test_all_shapes(M, K, N, seed):
    a, b, out = case_of_any_shape(M, K, N, seed)
    expected = out + a.astype(np.float64) @ b
    matmul(a, b, out)
    np.testing.assert_array_equal(out, expected)


@given(M=sizes, K=depths, N=sizes, dtype=dtypes, seed=seeds)
def test_all_layouts(M, K, N, dtype, seed):
    """A transpose of a contiguous matrix is read where it lies; anything else is copied first."""
    a, b, start = (array.astype(dtype) for array in case_of_any_shape(M, K, N, seed))
    expected = start + a.astype(np.float64) @ b
    columns_first = np.ascontiguousarray(a.T).T
    with_gaps = np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3]
    b_columns_first = np.ascontiguousarray(b.T).T
    for left in (a, columns_first, with_gaps, with_gaps[::-1][::-1]):
        for right in (b, b_columns_first):
            out = start.copy()
            matmul(left, right, out)
            np.testing.assert_array_equal(out, expected)


@given(M=sizes, K=sizes, N=sizes, seed=seeds)
def test_nothing_is_written_beyond_the_product(M, K, N, seed):
    a, b, start = case_of_any_shape(M, K, N, seed)
    memory = np.full(M * N + 200, 77, np.float32)
    out = memory[100:-100].reshape(M, N)
    out[:] = start
    matmul(a, b, out)
    np.testing.assert_array_equal(out, start + a @ b)
    assert np.all(memory[:100] == 77) and np.all(memory[-100:] == 77)


@given(M=sizes, K=depths, N=sizes, seed=seeds)
def test_rounding_is_that_of_float32(M, K, N, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((M, K)), rng.standard_normal((K, N))
    out = np.zeros((M, N), np.float32)
    matmul(a.astype(np.float32), b.astype(np.float32), out)
    assert np.all(np.abs(out - a @ b) <= 1e-6 * (np.abs(a) @ np.abs(b)))


@given(M=sizes, K=depths, N=sizes, transposed=st.booleans(), seed=seeds)
@example(M=1, K=100, N=333, transposed=False, seed=0)
@example(M=333, K=100, N=1, transposed=True, seed=0)
@example(M=27, K=4000, N=129, transposed=True, seed=0)
def test_the_same_bits_in_every_run_and_for_every_number_of_threads(M, K, N, transposed, seed):
    rng, before = np.random.default_rng(seed), jit.get_threads()
    a = rng.standard_normal((M, K), np.float32)
    a = np.ascontiguousarray(a.T).T if transposed else a
    b, start = rng.standard_normal((K, N), np.float32), rng.standard_normal((M, N), np.float32)
    results = []
    try:
        for count in (1, 1, *range(2, min(4, jit.numba.config.NUMBA_NUM_THREADS) + 1)):
            jit.set_threads(count)
            out = start.copy()
            matmul(a, b, out)
            results.append(out.tobytes())
    finally:
        jit.set_threads(before)
    assert len(set(results)) == 1


def test_a_nan_stays_in_its_row():
    a, b, out = np.ones((20, 5), np.float32), np.ones((5, 40), np.float32), np.zeros((20, 40), np.float32)
    a[17, 3] = np.nan  # in the last, incomplete block of rows, which is computed with a row repeated
    matmul(a, b, out)
    assert np.isnan(out[17]).all() and not np.isnan(np.delete(out, 17, axis=0)).any()
