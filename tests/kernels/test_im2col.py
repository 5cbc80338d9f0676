"""im2col against its formula, and col2im as its exact transpose: whole numbers make every sum exact."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check.cases import conv2d
from minifcn.kernels.im2col import col2im, im2col, im2col_definition

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])


@st.composite
def windows(draw):
    """Images of whole numbers; where the kernel stops; and the size of the output."""
    layer, shape = draw(conv2d())
    x = np.random.default_rng(draw(seeds)).integers(-99, 100, shape).astype(draw(dtypes))
    w = layer.window
    return x, (w.kernel_size, w.stride, w.padding, w.dilation), w.output_size(shape[1:3])


@st.composite
def bands(draw):
    """A window, some consecutive rows of its output, and some consecutive channels of its image."""
    x, options, (Ho, Wo) = draw(windows())
    first_row = draw(st.integers(0, len(x) * Ho - 1))
    rows = draw(st.integers(1, len(x) * Ho - first_row))
    first_channel = draw(st.integers(0, x.shape[3] - 1))
    channels = draw(st.integers(1, x.shape[3] - first_channel))
    return x, options, (Ho, Wo), (first_row, rows), (first_channel, channels)


def empty_patches(x, options, Wo, rows, channels):
    """Patches filled with a number that must not survive."""
    return np.full((rows, Wo, *options[0], channels), 12345, x.dtype)


@given(window=windows())
def test_the_definition_is_the_formula(window):
    x, options, (Ho, Wo) = window
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = options
    cols = im2col_definition(x, *options)
    N, H, W, C = x.shape
    assert cols.shape == (N, Ho, Wo, kh, kw, C)
    for i, j, u, v in np.ndindex(Ho, Wo, kh, kw):
        h, w = i * sh + u * dh - ph, j * sw + v * dw - pw
        pixel = x[:, h, w] if 0 <= h < H and 0 <= w < W else np.zeros((N, C))
        np.testing.assert_array_equal(cols[:, i, j, u, v], pixel)


@given(band=bands())
def test_im2col_is_its_definition(band):
    x, options, (Ho, Wo), (first_row, rows), (first_channel, channels) = band
    whole = im2col_definition(x, *options).reshape(-1, Wo, *options[0], x.shape[3])
    cols = empty_patches(x, options, Wo, rows, channels)
    im2col(x, cols, first_row, Ho, first_channel, *options[1:])
    expected = whole[first_row : first_row + rows, ..., first_channel : first_channel + channels]
    np.testing.assert_array_equal(cols, expected)


@given(band=bands(), seed=seeds)
def test_col2im_is_its_transpose(band, seed):
    """<im2col x, c> = <x, col2im c> for all x and c: what is copied there is added here."""
    x, options, (Ho, Wo), (first_row, rows), (first_channel, channels) = band
    cols = empty_patches(x, options, Wo, rows, channels)
    im2col(x, cols, first_row, Ho, first_channel, *options[1:])
    c = np.random.default_rng(seed).integers(-9, 10, cols.shape).astype(x.dtype)
    dx = np.zeros_like(x)
    col2im(c, dx, first_row, Ho, first_channel, *options[1:])
    assert np.vdot(cols.astype(int), c.astype(int)) == np.vdot(x.astype(int), dx.astype(int))


@given(window=windows())
def test_col2im_of_ones_counts_how_often_a_pixel_is_seen(window):
    x, options, (Ho, Wo) = window
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = options
    seen = np.zeros(x.shape)
    for i, j, u, v in np.ndindex(Ho, Wo, kh, kw):
        h, w = i * sh + u * dh - ph, j * sw + v * dw - pw
        if 0 <= h < x.shape[1] and 0 <= w < x.shape[2]:
            seen[:, h, w] += 1
    dx = x.copy()
    ones = np.ones((len(x) * Ho, Wo, kh, kw, x.shape[3]), x.dtype)
    col2im(ones, dx, 0, Ho, 0, *options[1:])
    np.testing.assert_array_equal(dx - x, seen)


@given(window=windows(), data=st.data(), seed=seeds)
def test_bands_add_up(window, data, seed):
    x, options, (Ho, Wo) = window
    rows = len(x) * Ho
    c = np.random.default_rng(seed).integers(-9, 10, (rows, Wo, *options[0], x.shape[3])).astype(x.dtype)
    whole, parts = np.zeros_like(x), np.zeros_like(x)
    col2im(c, whole, 0, Ho, 0, *options[1:])
    cut = data.draw(st.integers(0, rows))
    for first, last in ((0, cut), (cut, rows)):
        if first < last:
            col2im(c[first:last], parts, first, Ho, 0, *options[1:])
    np.testing.assert_array_equal(parts, whole)
