"""The three products of a convolution, by every algorithm that fits, against plain sums over the kernel's places.

Images and weights of small whole numbers have exact convolutions in float32 too: nothing is only close. But for
Winograd's, which multiplies by √½ and thirds on the way.

Whatever a kernel reads lies in memory full of NaNs and what it writes is full of NaNs before: a number that is read
from outside, or is not written, would be seen. (tests/kernels/test_winograd.py says how accurate Winograd's is.)
"""

import contextlib
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels import im2col, jit, winograd
from minifcn.kernels.convolution import (
    ALGORITHMS,
    choose,
    convolve,
    fits,
    input_gradient,
    weight_gradient,
)
from minifcn.kernels.im2col import im2col_definition
from minifcn.kernels.window import Window

NAMED = ALGORITHMS[1:]  # all but "auto"
MARGIN = 37  # numbers in front of and behind an array: not a multiple of a vector
ROUNDING = 4e-6  # of Winograd's, times the largest sum that there could be; by far less than 1

seeds = st.integers(0, 2**32 - 1)
channels = st.integers(1, 12) | st.sampled_from([15, 16, 17, 31, 32, 33, 40]) | st.sampled_from([3, 64, 130])


# ---------------------------------------------------------------- the definitions


def without_groups(w, groups):
    """The weights of one big group that compute the same: zero between channels of different groups."""
    kh, kw, C_in, C_out = w.shape
    whole = np.zeros((kh, kw, C_in * groups, C_out))
    for group in range(groups):
        inputs = slice(group * C_in, (group + 1) * C_in)
        outputs = slice(group * C_out // groups, (group + 1) * C_out // groups)
        whole[:, :, inputs, outputs] = w[..., outputs]
    return whole


def patches(x, window, Ho, Wo):
    """im2col of the first Ho x Wo places: a transposed convolution with output padding leaves out the last."""
    x = x.astype(np.float64)
    cols = im2col_definition(x, window.kernel_size, window.stride, window.padding, window.dilation)
    return cols[:, :Ho, :Wo]


def convolve_definition(x, w, window, shape):
    """y[n, i, j, o] = sum over u, v, c of the patch at i, j times w."""
    whole = without_groups(w, window.groups)
    return np.einsum("nijuvc,uvco->nijo", patches(x, window, *shape[1:3]), whole, optimize=True)


def weight_gradient_definition(x, dy, window):
    """dw[u, v, c, o] = sum over n, i, j of the patch at i, j times dy; of each output only its own group's c."""
    whole = np.einsum("nijuvc,nijo->uvco", patches(x, window, *dy.shape[1:3]), dy, optimize=True)
    inputs, outputs = (np.split(np.arange(n.shape[3]), window.groups) for n in (x, dy))
    return np.concatenate([whole[:, :, c][..., o] for c, o in zip(inputs, outputs)], axis=3)


def input_gradient_definition(dy, w, window, shape):
    """Every output pixel paints its kernel, times dy, on the padded image."""
    (sh, sw), (ph, pw), (dh, dw) = window.stride, window.padding, window.dilation
    w = without_groups(w, window.groups)
    (N, H, W, C), (_, Ho, Wo, _) = shape, dy.shape
    padded = np.zeros((N, H + 2 * ph, W + 2 * pw, C))
    for u, v in np.ndindex(*window.kernel_size):
        rows = slice(u * dh, u * dh + sh * (Ho - 1) + 1, sh)
        columns = slice(v * dw, v * dw + sw * (Wo - 1) + 1, sw)
        padded[:, rows, columns] += dy @ w[u, v].T
    return padded[:, ph : ph + H, pw : pw + W]


# ---------------------------------------------------------------- what is drawn


class Case:
    """All that the products read, of whole numbers. `gate` is like what comes out of a ReLU; db is not read."""

    def __init__(self, window, shape, C_out, seed=0, output_size=None, dtype=np.float32):
        rng = np.random.default_rng(seed)
        self.window, self.shape = window, shape
        self.output_shape = shape[0], *(output_size or window.output_size(shape[1:3])), C_out
        self.x = rng.integers(-9, 10, shape).astype(dtype)
        self.w = rng.integers(-9, 10, (*window.kernel_size, shape[3] // window.groups, C_out)).astype(dtype)
        self.dy = rng.integers(-9, 10, self.output_shape).astype(dtype)
        self.bias = rng.integers(-99, 100, C_out).astype(dtype)
        self.gate = np.maximum(rng.integers(-2, 3, shape), 0).astype(dtype)

    def __repr__(self):
        return f"Case({self.window}, {self.shape}, {self.output_shape}, dtype={self.x.dtype})"

    def algorithms(self):
        return [algorithm for algorithm in NAMED if fits(algorithm, self.window)]


def pairs(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


@st.composite
def windows(draw):
    """Windows of all kinds, half of them such as Winograd and small maps want."""
    kernel_size = draw(st.sampled_from([(1, 1), (3, 3), (3, 3), (7, 7)]) | pairs(1, 5))
    padding = tuple(draw(st.sampled_from([0, k // 2]) | st.integers(0, k + 2)) for k in kernel_size)
    if draw(st.booleans()):
        return Window(kernel_size, padding=padding)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return Window(kernel_size, draw(pairs(1, 3)), padding, draw(pairs(1, 3)), groups)


@st.composite
def cases(draw, dtypes=(np.float32, np.float32, np.float32, np.float64)):
    """A window, images in which it has a place, and channels: many of them only for few pixels."""
    window = draw(windows())
    least = [
        max(1, d * (k - 1) + 1 - 2 * p)
        for k, p, d in zip(window.kernel_size, window.padding, window.dilation)
    ]
    drawn = channels if window.groups == 1 else st.integers(1, 12)
    N, C_in, C_out = draw(st.sampled_from([1, 1, 2, 3, 8, 9])), draw(drawn), draw(drawn)
    most = 2 if max(C_in, C_out) > 40 else 4 if N > 3 else 13
    H, W = (n + draw(st.integers(0, most)) for n in least)
    output_size = [  # not all places, if a transposed convolution has output padding
        max(1, n - draw(st.integers(0, (max(s, d) - 1) // s)))
        for n, s, d in zip(window.output_size((H, W)), window.stride, window.dilation)
    ]
    shape, C_out = (N, H, W, C_in * window.groups), C_out * window.groups
    return Case(window, shape, C_out, draw(seeds), output_size, draw(st.sampled_from(dtypes)))


@st.composite
def sizes_of_work(draw):
    """How much is done at a time: bands of rows, and of tiles; and whether Winograd's threads each work alone."""
    usual = im2col.BAND, im2col.PIXELS, None
    bands = st.sampled_from([usual[:2], (1, 1), (500, 1), (1, 20)])
    blocks = st.sampled_from([None, (16, True), (16, False), (winograd.MOST, True), (winograd.MOST, False)])
    return draw(st.just(usual) | st.builds(lambda band, block: (*band, block), bands, blocks))


@contextlib.contextmanager
def working(band, pixels, block=None):
    """`block` is what winograd._blocks says: the tiles at a time, and whether each thread takes its own."""
    with mock.patch.multiple(im2col, BAND=band, PIXELS=pixels), contextlib.ExitStack() as stack:
        if block is not None:
            stack.enter_context(
                mock.patch.object(
                    winograd,
                    "_blocks",
                    lambda shape, i, o, pieces, **_: (tiles(shape), block[0], block[1] or pieces > 1),
                )
            )
        yield


def tiles(shape):
    """How many of Winograd's tiles an output of this shape has."""
    return shape[0] * -(-shape[1] // 4) * -(-shape[2] // 4)


# ---------------------------------------------------------------- how products are run


@contextlib.contextmanager
def reading(*arrays):
    """Copies of the arrays, each with NaNs in front of it and behind, which nothing may be written to."""
    copies = []
    for array in arrays:
        memory = np.full(array.size + 2 * MARGIN, np.nan, array.dtype)
        copies.append(memory[MARGIN:-MARGIN].reshape(array.shape))
        copies[-1][...] = array
    yield copies
    for copy, array in zip(copies, arrays):
        np.testing.assert_array_equal(copy, array, err_msg="an input was written to")


@contextlib.contextmanager
def writing(shape, dtype):
    """An array, full of NaNs, which is to be written to the last number and not beyond."""
    memory = np.full(int(np.prod(shape)) + 2 * MARGIN, 77, dtype)
    array = memory[MARGIN:-MARGIN].reshape(shape)
    array[...] = np.nan
    yield array
    assert not np.isnan(array).any(), "a number was not written"
    assert np.all(memory[:MARGIN] == 77) and np.all(memory[-MARGIN:] == 77), "written beyond the array"


def value(case, algorithm, with_bias=True, relu=False):
    with reading(case.x, case.w, case.bias) as (x, w, bias), writing(case.output_shape, x.dtype) as y:
        convolve(x, w, bias if with_bias else None, case.window, y, relu, algorithm)
    return y


def image_gradient(case, algorithm, gated=False):
    with reading(case.dy, case.w, case.gate) as (dy, w, gate), writing(case.shape, dy.dtype) as dx:
        input_gradient(dy, w, case.window, dx, gate if gated else None, algorithm)
    return dx


def parameter_gradients(case, algorithm):
    """dw and db."""
    kind = case.x.dtype
    inputs, dw, db = reading(case.x, case.dy), writing(case.w.shape, kind), writing(case.bias.shape, kind)
    with inputs as (x, dy), dw as dw, db as db:
        weight_gradient(x, dy, case.window, dw, db, algorithm)
    return dw, db


def assert_agrees(found, expected, algorithm, largest):
    """Equal; for Winograd equal but for rounding."""
    if algorithm == "winograd" and found.dtype == np.float32:
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * largest, err_msg=algorithm)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=algorithm)


# ---------------------------------------------------------------- what they compute


def assert_value(case, with_bias, relu):
    expected = convolve_definition(case.x, case.w, case.window, case.output_shape)
    expected += case.bias if with_bias else 0
    expected = np.maximum(expected, 0) if relu else expected
    for algorithm in case.algorithms():
        found = value(case, algorithm, with_bias, relu)
        assert_agrees(found, expected, algorithm, 9 * np.abs(case.w).sum(axis=(0, 1, 2)).max())


def assert_input_gradient(case, gated):
    expected = input_gradient_definition(case.dy, case.w, case.window, case.shape)
    expected = np.where(case.gate > 0, expected, 0) if gated else expected
    for algorithm in case.algorithms():
        found = image_gradient(case, algorithm, gated)
        assert_agrees(found, expected, algorithm, 9 * np.abs(case.w).sum(axis=(0, 1, 3)).max())


def assert_weight_gradient(case):
    expected = weight_gradient_definition(case.x, case.dy, case.window)
    for algorithm in case.algorithms():
        dw, db = parameter_gradients(case, algorithm)
        assert_agrees(dw, expected, algorithm, 9 * np.abs(case.dy).sum(axis=(0, 1, 2)).max())
        np.testing.assert_array_equal(db, case.dy.sum(axis=(0, 1, 2)), err_msg=algorithm)
        alone = np.empty_like(dw)
        weight_gradient(case.x, case.dy, case.window, alone, None, algorithm)
        np.testing.assert_array_equal(alone, dw, err_msg=algorithm)


@given(case=cases(), sizes=sizes_of_work(), with_bias=st.booleans(), relu=st.booleans())
def test_convolve(case, sizes, with_bias, relu):
    with working(*sizes):
        assert_value(case, with_bias, relu)


@given(case=cases(), sizes=sizes_of_work(), gated=st.booleans())
def test_input_gradient(case, sizes, gated):
    with working(*sizes):
        assert_input_gradient(case, gated)


@given(case=cases(), sizes=sizes_of_work())
def test_weight_gradient(case, sizes):
    with working(*sizes):
        assert_weight_gradient(case)


THREE, SAME = (3, 3), (1, 1)  # a 3x3 kernel, and the padding that keeps its maps' size


@pytest.mark.parametrize(
    "case",
    [
        Case(Window(THREE, padding=SAME), (1, 4, 4096, 3), 16),
        Case(Window(THREE, padding=SAME), (1, 4096, 3, 16), 5),
        Case(Window((1, 1)), (1, 2, 4096, 20), 33),
        Case(
            Window((1, 1), dilation=(2, 2)), (2, 5, 7, 3), 4, output_size=(4, 6)
        ),  # pixels that no output reads
        Case(Window((1, 5), (1, 2), (0, 3)), (1, 1, 4096, 2), 8),
        Case(Window((4096, 1)), (2, 4099, 1, 2), 3),
        Case(Window(THREE, padding=SAME), (2, 9, 10, 130), 70),  # Winograd's threads share the positions
        Case(Window(THREE, padding=SAME), (1, 6, 5, 300), 24),  # several panels deep
        Case(Window((1, 1)), (1, 3, 3, 600), 17),
        Case(Window((7, 7), padding=(3, 3)), (9, 2, 2, 300), 20),
        Case(Window((9, 9), (8, 8), (4, 4)), (3, 33, 41, 2), 4),
    ],
    ids=repr,
)
def test_large_ones(case):
    assert_value(case, with_bias=True, relu=True)
    assert_input_gradient(case, gated=True)
    assert_weight_gradient(case)


@pytest.mark.parametrize("alone", [True, False])
def test_both_ways_to_share_the_work_of_winograd(alone):
    case = Case(Window(THREE, padding=(0, 2)), (3, 33, 30, 70), 130, seed=1)
    with working(im2col.BAND, im2col.PIXELS, (64, alone)):
        assert_value(case, with_bias=True, relu=False)
        assert_input_gradient(case, gated=False)
        assert_weight_gradient(case)


@given(case=cases(dtypes=[np.float32]), at=st.integers(0, 2**16), relu=st.booleans())
def test_a_nan_is_seen_in_every_output_that_reads_it(case, at, relu):
    """And in no other; but the outputs of a tile of Winograd's all read its inputs."""
    case.x.reshape(-1)[at % case.x.size] = np.nan
    reads = convolve_definition(np.isnan(case.x), np.ones_like(case.w), case.window, case.output_shape)
    for algorithm in case.algorithms():
        y = np.empty(case.output_shape, np.float32)
        convolve(case.x, case.w, case.bias, case.window, y, relu, algorithm)
        if algorithm == "winograd":
            assert np.isnan(y[reads > 0]).all()
        else:
            np.testing.assert_array_equal(np.isnan(y), reads > 0, err_msg=algorithm)


# ---------------------------------------------------------------- the same bits


@given(case=cases(dtypes=[np.float32]), sizes=sizes_of_work(), seed=seeds)
def test_the_same_bits_in_every_run(case, sizes, seed):
    """For any number of threads, and however much is done at a time; but the weights' gradient sums up parts."""
    rng = np.random.default_rng(seed)
    for name in ("x", "w", "dy"):
        setattr(case, name, rng.standard_normal(getattr(case, name).shape, np.float32))
    before, most = jit.get_threads(), min(2, jit.numba.config.NUMBA_NUM_THREADS)
    usual = im2col.BAND, im2col.PIXELS
    for algorithm in case.algorithms():
        outputs, weight_gradients = set(), {1: set(), most: set()}
        try:
            for threads, work in ((most, usual), (1, usual), (most, usual), (1, sizes)):
                jit.set_threads(threads)
                with working(*work):
                    outputs.add(value(case, algorithm).tobytes() + image_gradient(case, algorithm).tobytes())
                if work is usual:
                    dw, db = parameter_gradients(case, algorithm)
                    weight_gradients[threads].add(dw.tobytes() + db.tobytes())
        finally:
            jit.set_threads(before)
        assert len(outputs) == 1, algorithm
        assert all(len(results) == 1 for results in weight_gradients.values()), algorithm


# ---------------------------------------------------------------- which algorithm


@given(case=cases())
def test_what_is_chosen_fits(case):
    kind = case.x.dtype
    forward = choose(case.window, case.shape, case.output_shape, kind)
    backward = choose(case.window, case.shape, case.output_shape, kind, channels=case.output_shape[3])
    for chosen in (forward, backward):
        assert chosen in NAMED and fits(chosen, case.window)
    np.testing.assert_array_equal(value(case, "auto"), value(case, forward))
    np.testing.assert_array_equal(image_gradient(case, "auto"), image_gradient(case, backward))
    np.testing.assert_array_equal(parameter_gradients(case, "auto")[0], parameter_gradients(case, forward)[0])


@pytest.mark.parametrize(
    ("chosen", "window", "shape", "C_out"),
    [
        ("direct", Window(THREE, padding=SAME), (8, 64, 64, 3), 16),
        ("direct", Window((16, 16), (8, 8), (4, 4)), (2, 64, 64, 5), 5),
        ("winograd", Window(THREE, padding=SAME), (8, 32, 32, 64), 64),
        ("small_map", Window((7, 7), padding=(3, 3)), (8, 2, 2, 64), 128),
        ("direct", Window((1, 1)), (8, 32, 32, 64), 64),
        ("direct", Window((1, 1)), (8, 2, 2, 256), 256),
        ("im2col", Window((1, 1)), (1, 8, 8, 1024), 1024),
        ("direct", Window(THREE, padding=(2, 2), dilation=(2, 2)), (8, 9, 9, 128), 128),
        ("winograd", Window((7, 7), padding=(3, 3)), (8, 64, 64, 16), 16),
        ("direct", Window((7, 7), padding=(3, 3)), (8, 64, 64, 3), 16),
        ("im2col", Window(THREE, padding=SAME, groups=2), (8, 32, 32, 64), 64),
        ("interlaced", Window(THREE, padding=(2, 2), dilation=(2, 2)), (8, 32, 32, 64), 64),
    ],
)
def test_what_is_chosen(chosen, window, shape, C_out):
    output_shape = shape[0], *window.output_size(shape[1:3]), C_out
    assert choose(window, shape, output_shape) == chosen
    assert choose(window, shape, output_shape, np.float64) == "im2col"


def test_what_fits():
    def fitting(*arguments, **options):
        names = (*NAMED, "subpixel")
        return {name for name in names if fits(name, Window(*arguments, **options))} - {"im2col"}

    assert fitting(THREE, padding=(1, 0)) == {"direct", "winograd", "small_map", "subpixel"}
    assert fitting((3, 5)) == {"direct", "winograd", "small_map", "subpixel"}
    assert fitting((2, 5)) == {"direct", "small_map", "subpixel"}
    assert fitting(THREE, stride=(1, 2)) == {"direct", "subpixel"}
    assert fitting(THREE, dilation=(2, 1)) == {"direct", "interlaced"}
    assert fitting(THREE, padding=(2, 1), dilation=(2, 2)) == {"direct"}
    assert fitting(THREE, padding=(4, 2), dilation=(2, 2)) == {"direct", "interlaced"}
    assert fitting(THREE, groups=2) == set()


# ---------------------------------------------------------------- windows, and memory


@given(case=cases())
def test_output_size_is_the_number_of_patches(case):
    size = case.window.output_size(case.shape[1:3])
    assert size == patches(case.x, case.window, None, None).shape[1:3]


def test_a_pixel_wise_convolution_copies_nothing():
    assert not Window((1, 1)).copies and not Window((1, 1), groups=2).copies
    for options in ({"stride": (1, 2)}, {"padding": (1, 0)}, {"dilation": (1, 2)}):
        assert Window((1, 1), **options).copies
    assert Window((1, 2)).copies


def test_memory_does_not_grow_with_the_image():
    sizes = []

    def note(x, cols, *options):
        sizes.append(cols.nbytes)

    x, w = np.ones((2, 50, 30, 3), np.float32), np.ones((3, 3, 3, 2), np.float32)
    with mock.patch.multiple(im2col, BAND=40_000, PIXELS=1, im2col=note):
        convolve(x, w, None, Window(THREE), np.empty((2, 48, 28, 2), np.float32), algorithm="im2col")
    row = 28 * 27 * 4
    assert sum(sizes) == 96 * row and 40_000 - row < max(sizes) <= 40_000
    sizes.clear()
    with mock.patch.multiple(im2col, BAND=1, PIXELS=100, im2col=note):  # but at least 100 pixels
        convolve(x, w, None, Window(THREE), np.empty((2, 48, 28, 2), np.float32), algorithm="im2col")
    assert max(sizes) == 3 * row
