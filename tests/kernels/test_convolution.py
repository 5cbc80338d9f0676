"""The three products of a convolution against plain sums over the kernel's places.

Images and weights of small whole numbers have exact convolutions in float32 too: nothing is only close.
"""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check.cases import conv2d
from minifcn.kernels import convolution, jit
from minifcn.kernels.convolution import Window, convolve, input_gradient, weight_gradient
from minifcn.kernels.im2col import im2col_definition

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])
bands = st.sampled_from(
    [convolution.BAND, 1, 500]
)  # of the usual size, of one row of the output, of some rows


@st.composite
def cases(draw):
    """x, w, dy and the window: everything that a convolution and its gradients read."""
    layer, shape = draw(conv2d(channels=draw(st.sampled_from([4, 12]))))
    rng, dtype = np.random.default_rng(draw(seeds)), draw(dtypes)
    arrays = (shape, layer.params["weight"].shape, layer.output_shape(shape))
    x, w, dy = (rng.integers(-9, 10, shape).astype(dtype) for shape in arrays)
    return x, w, dy, layer.window


def without_groups(w, groups):
    """The weights of one big group that compute the same: zero between channels of different groups."""
    kh, kw, C_in, C_out = w.shape
    whole = np.zeros((kh, kw, C_in * groups, C_out), w.dtype)
    for group in range(groups):
        inputs = slice(group * C_in, (group + 1) * C_in)
        outputs = slice(group * C_out // groups, (group + 1) * C_out // groups)
        whole[:, :, inputs, outputs] = w[..., outputs]
    return whole


def patches(x, window):
    return im2col_definition(x, window.kernel_size, window.stride, window.padding, window.dilation)


def convolve_definition(x, w, window):
    """y[n, i, j, o] = sum over u, v, c of the patch at i, j times w."""
    return np.einsum("nijuvc,uvco->nijo", patches(x, window), without_groups(w, window.groups))


def weight_gradient_definition(x, dy, window):
    """dw[u, v, c, o] = sum over n, i, j of the patch at i, j times dy; of each output only its own group's c."""
    whole = np.einsum("nijuvc,nijo->uvco", patches(x, window), dy)
    inputs, outputs = (np.split(np.arange(n.shape[3]), window.groups) for n in (x, dy))
    return np.concatenate([whole[:, :, c][..., o] for c, o in zip(inputs, outputs)], axis=3)


def input_gradient_definition(dy, w, window, shape):
    """Every output pixel paints its kernel, times dy, on the padded image."""
    (sh, sw), (ph, pw), (dh, dw) = window.stride, window.padding, window.dilation
    w = without_groups(w, window.groups)
    N, H, W, C = shape
    padded = np.zeros((N, H + 2 * ph, W + 2 * pw, C), dy.dtype)
    for i, j, u, v in np.ndindex(*dy.shape[1:3], *window.kernel_size):
        padded[:, i * sh + u * dh, j * sw + v * dw] += dy[:, i, j] @ w[u, v].T
    return padded[:, ph : ph + H, pw : pw + W]


@given(case=cases(), band=bands)
def test_convolve(case, band):
    x, w, dy, window = case
    y = dy.copy()
    with mock.patch.object(convolution, "BAND", band):
        convolve(x, w, window, y)
    np.testing.assert_array_equal(y, dy + convolve_definition(x, w, window))


@given(case=cases(), band=bands)
def test_weight_gradient(case, band):
    x, w, dy, window = case
    dw = w.copy()
    with mock.patch.object(convolution, "BAND", band):
        weight_gradient(x, dy, window, dw)
    np.testing.assert_array_equal(dw, w + weight_gradient_definition(x, dy, window))


@given(case=cases(), band=bands)
def test_input_gradient(case, band):
    x, w, dy, window = case
    dx = x.copy()
    with mock.patch.object(convolution, "BAND", band):
        input_gradient(dy, w, window, dx)
    np.testing.assert_array_equal(dx, x + input_gradient_definition(dy, w, window, x.shape))


@given(case=cases())
def test_only_the_output_is_written(case):
    x, w, dy, window = case
    before = [array.copy() for array in (x, w, dy)]
    convolve(x, w, window, dy.copy())
    weight_gradient(x, dy, window, w.copy())
    input_gradient(dy, w, window, x.copy())
    for array, expected in zip((x, w, dy), before):
        np.testing.assert_array_equal(array, expected)


@given(case=cases())
def test_output_size_is_the_number_of_patches(case):
    x, _, dy, window = case
    assert window.output_size(x.shape[1:3]) == dy.shape[1:3] == patches(x, window).shape[1:3]


@given(
    kernel_size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 1, 2]),
    seed=seeds,
)
def test_the_same_bits_in_every_run(kernel_size, channels, size, stride, groups, seed):
    """For every number of threads; and for every band, but that the weights' gradient is a sum over bands."""
    rng, before = np.random.default_rng(seed), jit.get_threads()
    window = Window(kernel_size, stride, groups=groups)
    C_in, C_out = (groups * n for n in channels)
    x = rng.standard_normal((2, *size, C_in), np.float32)
    w = rng.standard_normal((*kernel_size, C_in // groups, C_out), np.float32)
    dy = rng.standard_normal((2, *window.output_size(size), C_out), np.float32)
    outputs, weight_gradients = set(), set()
    try:
        for threads, band in ((before, convolution.BAND), (1, convolution.BAND), (1, 1), (1, 10_000)):
            jit.set_threads(threads)
            y, dx, dw = np.ones_like(dy), np.ones_like(x), np.zeros_like(w)
            with mock.patch.object(convolution, "BAND", band):
                convolve(x, w, window, y)
                input_gradient(dy, w, window, dx)
            outputs.add(y.tobytes() + dx.tobytes())
            weight_gradient(x, dy, window, dw)
            weight_gradients.add(dw.tobytes())
    finally:
        jit.set_threads(before)
    assert len(outputs) == len(weight_gradients) == 1


def test_a_pixel_wise_convolution_copies_nothing():
    assert not Window((1, 1)).copies and not Window((1, 1), groups=2).copies
    for options in ({"stride": (1, 2)}, {"padding": (1, 0)}, {"dilation": (1, 2)}):
        assert Window((1, 1), **options).copies
    assert Window((1, 2)).copies


def test_memory_does_not_grow_with_the_image():
    sizes = []

    def im2col(x, cols, *options):
        sizes.append(cols.nbytes)

    x, w = np.ones((2, 50, 30, 3), np.float32), np.ones((3, 3, 3, 2), np.float32)
    with mock.patch.multiple(convolution, BAND=40_000, im2col=im2col):
        convolve(x, w, Window((3, 3)), np.zeros((2, 48, 28, 2), np.float32))
    row = 28 * 27 * 4
    assert sum(sizes) == 96 * row and 40_000 - row < max(sizes) <= 40_000
