"""Products with matrices of few numbers against the matrices written out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.resample import dense, resample, resample_definition, resample_images, sparse


@st.composite
def matrices(draw, columns, dtype):
    """Each row a run of numbers anywhere, with zeros in it, or nothing at all."""
    rows, rng = draw(st.integers(1, 9)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = np.zeros((rows, columns), dtype)
    for row in whole:
        first, end = sorted(rng.integers(0, columns + 1, 2))
        row[first:end] = rng.integers(-3, 4, end - first)
    return whole


dtypes = st.sampled_from([np.float32, np.float64])


@given(data=st.data(), columns=st.integers(1, 9), dtype=dtypes)
def test_a_matrix_without_its_zeros_is_the_matrix(data, columns, dtype):
    whole = data.draw(matrices(columns, dtype))
    np.testing.assert_array_equal(dense(sparse(whole), columns), whole)


@given(data=st.data(), N=st.integers(1, 3), columns=st.integers(1, 9), L=st.integers(1, 40), dtype=dtypes)
def test_resample(data, N, columns, L, dtype):
    matrix = sparse(data.draw(matrices(columns, dtype)))
    x = np.random.default_rng(0).integers(-9, 10, (N, columns, L)).astype(dtype)
    y = np.full((N, len(matrix[0]), L), 77, dtype)
    resample(x, *matrix, y)
    np.testing.assert_array_equal(y, resample_definition(x, matrix))


@given(data=st.data(), H=st.integers(1, 6), W=st.integers(1, 6), C=st.integers(1, 20), dtype=dtypes)
def test_images_are_resampled_along_both_axes(data, H, W, C, dtype):
    vertical, horizontal = (data.draw(matrices(n, dtype)) for n in (H, W))
    x = np.random.default_rng(0).integers(-9, 10, (2, H, W, C)).astype(dtype)
    found = resample_images(x, sparse(vertical), sparse(horizontal))
    np.testing.assert_array_equal(found, np.einsum("ih,jw,nhwc->nijc", vertical, horizontal, x))


def test_what_has_no_weight_is_not_read():
    x = np.array([np.nan, 2.0, np.inf]).reshape(1, 3, 1)
    y = np.empty((1, 1, 1))
    resample(x, *sparse(np.array([[0.0, 3.0, 0.0]])), y)
    assert y.item() == 6
