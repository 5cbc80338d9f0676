"""Winograd's transforms against their matrices, what they make of a convolution, and how much is lost by rounding.

That the whole agrees with other convolutions, for all shapes, is in tests/kernels/test_convolution.py.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.convolution import convolve, input_gradient, weight_gradient
from minifcn.kernels.jit import kernel
from minifcn.kernels.vector import LANES, load, store
from minifcn.kernels.window import Window
from minifcn.kernels.winograd_tiles import (
    A_TRANSPOSED,
    B_TRANSPOSED,
    G,
    gradient_line,
    input_line,
    kernel_gradient_line,
    kernel_line,
    output_line,
)

seeds = st.integers(0, 2**32 - 1)


# ---------------------------------------------------------------- the matrices


@given(seed=seeds)
def test_the_identity_in_one_dimension(seed):
    """Six pixels, three taps: four outputs of six multiplications."""
    d, w = np.split(np.random.default_rng(seed).standard_normal(9), [6])
    expected = np.correlate(d, w)
    np.testing.assert_allclose(A_TRANSPOSED @ ((G @ w) * (B_TRANSPOSED @ d)), expected, rtol=0, atol=1e-13)


@given(seed=seeds)
def test_the_identity_in_two_dimensions(seed):
    rng = np.random.default_rng(seed)
    d, w = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
    expected = [[np.sum(d[i : i + 3, j : j + 3] * w) for j in range(4)] for i in range(4)]
    products = (G @ w @ G.T) * (B_TRANSPOSED @ d @ B_TRANSPOSED.T)
    np.testing.assert_allclose(A_TRANSPOSED @ products @ A_TRANSPOSED.T, expected, rtol=0, atol=1e-12)


@given(seed=seeds)
def test_the_gradient_is_made_of_the_same_matrices(seed):
    """dw = Gᵀ [(Bᵀ d B) · (A dy Aᵀ)] G: the sum over a tile's outputs of dy times what they saw."""
    rng = np.random.default_rng(seed)
    d, dy = rng.standard_normal((6, 6)), rng.standard_normal((4, 4))
    expected = [[np.sum(d[u : u + 4, v : v + 4] * dy) for v in range(3)] for u in range(3)]
    products = (B_TRANSPOSED @ d @ B_TRANSPOSED.T) * (A_TRANSPOSED.T @ dy @ A_TRANSPOSED)
    np.testing.assert_allclose(G.T @ products @ G, expected, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- lines


@kernel
def three(x):
    return load(x, 0), load(x, LANES), load(x, 2 * LANES)


@kernel
def store_all(vectors, out):
    for k, vector in enumerate(vectors):
        store(out, k * LANES, vector)


@kernel
def input_lines(x, out):
    store_all(input_line(*(three(x) + three(x[3 * LANES :]))), out)


@kernel
def output_lines(x, out):
    store_all(output_line(*(three(x) + three(x[3 * LANES :]))), out)


@kernel
def gradient_lines(x, out):
    store_all(gradient_line(*three(x), load(x, 3 * LANES)), out)


@kernel
def kernel_lines(x, out):
    store_all(kernel_line(*three(x)), out)


@kernel
def kernel_gradient_lines(x, out):
    store_all(kernel_gradient_line(*(three(x) + three(x[3 * LANES :]))), out)


LINES = {
    "input": (input_lines, B_TRANSPOSED),
    "output": (output_lines, A_TRANSPOSED),
    "gradient": (gradient_lines, A_TRANSPOSED.T),
    "kernel": (kernel_lines, G),
    "kernel_gradient": (kernel_gradient_lines, G.T),
}


@given(name=st.sampled_from(list(LINES)), seed=seeds)
def test_a_line_is_its_matrix_in_every_lane(name, seed):
    line, matrix = LINES[name]
    x = np.random.default_rng(seed).standard_normal((matrix.shape[1], LANES), np.float32)
    out = np.full((matrix.shape[0], LANES), np.nan, np.float32)
    line(x.reshape(-1), out.reshape(-1))
    rounding = 4e-7 * (np.abs(matrix) @ np.abs(x))
    assert np.all(np.abs(out - matrix @ x.astype(np.float64)) <= rounding)


@pytest.mark.parametrize("name", LINES)
def test_a_line_of_unit_vectors_is_the_matrix_itself(name):
    line, matrix = LINES[name]
    for k in range(matrix.shape[1]):
        out, x = (np.zeros((n, LANES), np.float32) for n in matrix.shape)
        x[k] = 1
        line(x.reshape(-1), out.reshape(-1))
        np.testing.assert_array_equal(out, np.repeat(np.float32(matrix[:, k : k + 1]), LANES, axis=1))


# ---------------------------------------------------------------- rounding


def products(x, w, dy, window, algorithm):
    """y, dx and dw."""
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    convolve(x, w, None, window, y, algorithm=algorithm)
    input_gradient(dy, w, window, dx, algorithm=algorithm)
    weight_gradient(x, dy, window, dw, algorithm=algorithm)
    return y, dx, dw


def relative_errors(N, H, W, C_in, C_out, seed=0, kernel=3):
    """Of y, dx and dw, for normal numbers: the largest error as a part of the largest number."""
    rng, window = np.random.default_rng(seed), Window((kernel,) * 2, padding=(kernel // 2,) * 2)
    shapes = (N, H, W, C_in), (kernel, kernel, C_in, C_out), (N, H, W, C_out)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    exact = products(*(array.astype(np.float64) for array in arrays), window, "im2col")
    found = products(*arrays, window, "winograd")
    return [np.abs(f - e).max() / np.abs(e).max() for f, e in zip(found, exact)]


shapes = [(1, 12, 12, 512, 16), (1, 12, 12, 16, 512), (2, 64, 64, 16, 16), (1, 4, 4, 1, 1), (8, 8, 8, 3, 1)]


@pytest.mark.parametrize("shape", shapes)
def test_rounding(shape):
    y, dx, dw = relative_errors(*shape)
    assert y < 1e-5 and dx < 1e-4 and dw < 1e-4


@pytest.mark.parametrize("kernel", [5, 7, 9])
def test_rounding_of_larger_kernels(kernel):
    y, dx, dw = relative_errors(1, 12, 13, 40, 24, kernel=kernel)
    assert y < 1e-5 and dx < 1e-4 and dw < 1e-4


@given(shape=st.tuples(*[st.integers(3, 9)] * 3, *[st.integers(4, 20)] * 2), seed=seeds)
def test_rounding_is_a_few_units_in_the_last_place(shape, seed):
    """A unit is 6e-8 of a number."""
    assert max(relative_errors(*shape, seed)) < 1e-5


def test_constants_come_through():
    """An image and kernels of ones: every output counts the pixels that it sees."""
    x, w = np.ones((1, 9, 10, 4), np.float32), np.ones((3, 3, 4, 5), np.float32)
    y, _, dw = products(x, w, np.ones((1, 9, 10, 5), np.float32), Window((3, 3), padding=(1, 1)), "winograd")
    rows, columns = (np.convolve(np.ones(n), np.ones(3), "same") for n in (9, 10))
    np.testing.assert_allclose(y[0, :, :, 2], 4 * np.outer(rows, columns), rtol=1e-5)
    np.testing.assert_allclose(dw[:, :, 3, 1], np.outer([8, 9, 8], [9, 10, 9]), rtol=1e-5)
