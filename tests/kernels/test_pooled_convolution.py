"""A convolution that keeps only the largest of each 2x2 pixels, and its gradients, against one pooled afterwards.

Two pixels that are equal but for rounding are equally good as the largest. So first it is tested that the one that
`where` names is as large as any; and then that the gradients are those that go through the ones named.
"""

import contextlib
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels import im2col, jit, winograd
from minifcn.kernels.convolution import (
    convolve,
    convolve_and_pool,
    pooled_input_gradient,
    pooled_weight_gradient,
    pools,
)
from minifcn.kernels.window import Window

MARGIN = 37  # numbers in front of and behind an array
NOWHERE = 4  # in `where`: no pixel is positive
ROUNDING = 4e-6  # times the largest sum that there could be

seeds = st.integers(0, 2**32 - 1)
channels = st.integers(1, 12) | st.sampled_from([15, 16, 17, 32, 33, 48, 70])


class Case:
    """x, w, bias and the pooled dy, of normal numbers; `gate` as it comes out of a ReLU."""

    def __init__(self, shape, C_out, padding, ceil_mode, seed=0):
        rng = np.random.default_rng(seed)
        self.window = Window((3, 3), padding=padding)
        N, H, W, C_in = shape
        self.size = self.window.output_size((H, W))
        self.full_shape = N, *self.size, C_out
        self.pooled_shape = N, *(-(-n // 2) if ceil_mode else n // 2 for n in self.size), C_out
        self.x, self.w = (rng.standard_normal(s, np.float32) for s in (shape, (3, 3, C_in, C_out)))
        self.bias, self.dy = (rng.standard_normal(s, np.float32) for s in (C_out, self.pooled_shape))
        self.gate = np.maximum(rng.standard_normal(shape, np.float32), 0)

    def __repr__(self):
        return f"Case({self.window}, {self.x.shape}, {self.full_shape}, {self.pooled_shape})"


@st.composite
def cases(draw):
    ceil_mode = draw(st.booleans())
    padding = draw(st.sampled_from([(1, 1), (0, 0)]) | st.tuples(*[st.integers(0, 4)] * 2))
    least = [max(1, (3 if ceil_mode else 4) - 2 * p) for p in padding]
    N, H, W = draw(st.integers(1, 3)), *(n + draw(st.integers(0, 12)) for n in least)
    return Case((N, H, W, draw(channels)), draw(channels), padding, ceil_mode, draw(seeds))


sizes_of_work = st.sampled_from(
    [None, (16, True), (16, False), (winograd.MOST, True), (winograd.MOST, False)]
)


def working(block):
    """`block` is what winograd._blocks says: the tiles at a time, and whether each thread takes its own."""
    if block is None:
        return contextlib.nullcontext()
    return mock.patch.object(winograd, "_blocks", lambda shape, *_, **__: (tiles(shape), *block))


def tiles(shape):
    """How many of Winograd's tiles an output of this shape has."""
    return shape[0] * -(-shape[1] // 4) * -(-shape[2] // 4)


# ---------------------------------------------------------------- how it is run


def among(array, value):
    """A copy of the array, and the memory that it lies in, full of `value`."""
    memory = np.full(array.size + 2 * MARGIN, value, array.dtype)
    copy = memory[MARGIN:-MARGIN].reshape(array.shape)
    copy[...] = array
    return copy, memory


def hollow(shape, dtype=np.float32):
    """An array of what must not survive, and the memory that it lies in, full of 77."""
    return among(np.full(shape, np.nan if dtype == np.float32 else 99, dtype), 77)


def assert_written(*outputs):
    """All of the array, and nothing beyond."""
    for array, memory in outputs:
        assert not np.any(np.isnan(array) | (array == 99))
        assert np.all(memory[:MARGIN] == 77) and np.all(memory[-MARGIN:] == 77)


def value(case, with_bias=True):
    (y, y_memory), (where, where_memory) = hollow(case.pooled_shape), hollow(case.pooled_shape, np.uint8)
    x, w, bias = (among(array, np.nan)[0] for array in (case.x, case.w, case.bias))
    convolve_and_pool(x, w, bias if with_bias else None, case.window, y, where)
    assert_written((y, y_memory), (where, where_memory))
    for copy, array in zip((x, w, bias), (case.x, case.w, case.bias)):
        np.testing.assert_array_equal(copy, array)
    return y, where


def gradients(case, where, gated=False):
    """dx, dw and db."""
    outputs = [hollow(array.shape) for array in (case.x, case.w, case.bias)]
    dx, dw, db = (array for array, _ in outputs)
    dy, x, w, gate = (among(array, np.nan)[0] for array in (case.dy, case.x, case.w, case.gate))
    which = among(where, 1)[0]
    pooled_input_gradient(dy, which, w, case.window, dx, gate if gated else None)
    pooled_weight_gradient(x, dy, which, case.window, dw, db)
    assert_written(*outputs)
    for copy, array in zip((dy, x, w, gate, which), (case.dy, case.x, case.w, case.gate, where)):
        np.testing.assert_array_equal(copy, array)
    alone = np.empty_like(dw)
    pooled_weight_gradient(x, dy, which, case.window, alone)
    np.testing.assert_array_equal(alone, dw)
    return dx, dw, db


# ---------------------------------------------------------------- the definitions, in float64


def four_of_each(full, case):
    """The 2x2 pixels that each pooled one is made of, (N, Hp, Wp, C, 4); -inf outside."""
    _, Hp, Wp, _ = case.pooled_shape
    N, H, W, C = full.shape
    rest = (0, 0), (0, max(0, 2 * Hp - H)), (0, max(0, 2 * Wp - W)), (0, 0)
    framed = np.pad(full, rest, constant_values=-np.inf)[:, : 2 * Hp, : 2 * Wp]
    return framed.reshape(N, Hp, 2, Wp, 2, C).transpose(0, 1, 3, 5, 2, 4).reshape(N, Hp, Wp, C, 4)


def unpooled(dy, where, case):
    """dy of the whole map: each number at the pixel that `where` names, in its column of four."""
    _, Hp, Wp, _ = case.pooled_shape
    N, H, W, C = case.full_shape
    four = np.where(where[..., None] == np.arange(4), dy[..., None], 0.0)
    whole = np.zeros((N, max(H, 2 * Hp), max(W, 2 * Wp), C))
    columns = four.reshape(N, Hp, Wp, C, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    whole[:, : 2 * Hp, : 2 * Wp] = columns.reshape(N, 2 * Hp, 2 * Wp, C)
    assert not whole[:, H:].any() and not whole[:, :, W:].any(), "a pixel outside the map was named"
    return whole[:, :H, :W]


def assert_value(case, with_bias=True):
    y, where = value(case, with_bias)
    full = np.empty(case.full_shape)
    x, w, bias = (array.astype(np.float64) for array in (case.x, case.w, case.bias))
    im2col.convolve(x, w, bias if with_bias else None, case.window, full)
    four = four_of_each(full, case)
    rounding = ROUNDING * (np.abs(x).max() * np.abs(w).sum(axis=(0, 1, 2)).max() + 1)
    np.testing.assert_allclose(y, np.maximum(four.max(axis=-1), 0), rtol=0, atol=rounding)
    assert np.all((where == NOWHERE) == (y == 0)) and where.max() <= NOWHERE
    named = np.take_along_axis(np.pad(four, ((0, 0),) * 4 + ((0, 1),)), where[..., None].astype(int), axis=-1)
    assert np.all(np.abs(named[..., 0] - y) <= rounding)
    return where


def assert_gradients(case, where, gated):
    dx, dw, db = gradients(case, where, gated)
    dy, x, w = unpooled(case.dy, where, case), case.x.astype(np.float64), case.w.astype(np.float64)
    dx_expected, dw_expected, db_expected = np.empty(x.shape), np.empty(w.shape), np.empty(len(case.bias))
    im2col.input_gradient(dy, w, case.window, dx_expected, case.gate if gated else None)
    im2col.weight_gradient(x, dy, case.window, dw_expected, db_expected)
    largest = np.abs(dy).max() * np.abs(w).sum(axis=(0, 1, 3)).max() + 1e-9
    np.testing.assert_allclose(dx, dx_expected, rtol=0, atol=ROUNDING * largest)
    assert not gated or not dx[case.gate == 0].any()
    largest = np.abs(x).max() * np.abs(dy).sum(axis=(0, 1, 2)).max() + 1e-9
    np.testing.assert_allclose(dw, dw_expected, rtol=0, atol=ROUNDING * largest)
    np.testing.assert_allclose(db, db_expected, rtol=0, atol=ROUNDING * np.abs(dy).sum())


# ---------------------------------------------------------------- the tests


@given(case=cases(), sizes=sizes_of_work, with_bias=st.booleans())
def test_value(case, sizes, with_bias):
    with working(sizes):
        assert_value(case, with_bias)


@given(case=cases(), sizes=sizes_of_work, gated=st.booleans(), seed=seeds)
def test_gradients_go_where_they_are_sent(case, sizes, gated, seed):
    """Whatever `where` names, of the pixels that there are."""
    rng = np.random.default_rng(seed)
    drawn = rng.random((*case.pooled_shape, 4)) + np.isfinite(four_of_each(np.zeros(case.full_shape), case))
    where = np.where(rng.random(case.pooled_shape) < 0.3, NOWHERE, drawn.argmax(axis=-1)).astype(np.uint8)
    with working(sizes):
        assert_gradients(case, where, gated)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    "case",
    [
        Case((2, 31, 34, 48), 64, (1, 1), ceil_mode=True),
        Case((1, 6, 1030, 16), 16, (1, 1), ceil_mode=False),
        Case((1, 7, 6, 300), 130, (1, 1), ceil_mode=False),
        Case((3, 1, 1, 20), 33, (2, 1), ceil_mode=True),
    ],
    ids=repr,
)
def test_large_ones(case, alone):
    with working((64, alone)):
        assert_gradients(case, assert_value(case), gated=True)


@given(case=cases(), sizes=sizes_of_work)
def test_it_is_the_convolution_pooled(case, sizes):
    """The same bits: the sums are those of the same algorithm, however much is done at a time."""
    full = np.empty(case.full_shape, np.float32)
    convolve(case.x, case.w, case.bias, case.window, full, relu=True, algorithm="winograd")
    expected = np.maximum(four_of_each(full, case).max(axis=-1), 0)
    with working(sizes):
        np.testing.assert_array_equal(value(case)[0], expected)


@given(case=cases(), gated=st.booleans())
def test_the_same_bits_in_every_run(case, gated):
    """For every number of threads, but that each thread sums up a part of the weights' gradient."""
    before, most = jit.get_threads(), min(2, jit.numba.config.NUMBA_NUM_THREADS)
    outputs, weight_gradients = set(), {1: set(), most: set()}
    try:
        for threads in (most, 1, most, 1):
            jit.set_threads(threads)
            y, where = value(case)
            dx, dw, db = gradients(case, where, gated)
            outputs.add(y.tobytes() + where.tobytes() + dx.tobytes())
            weight_gradients[threads].add(dw.tobytes() + db.tobytes())
    finally:
        jit.set_threads(before)
    assert len(outputs) == 1 and all(len(results) == 1 for results in weight_gradients.values())


@given(case=cases(), at=st.integers(0, 2**16))
def test_a_nan_is_seen_in_every_output_that_reads_it(case, at):
    assert_nan_is_seen(case, at)


def test_a_nan_in_the_last_column_of_a_tile_is_seen():
    assert_nan_is_seen(Case((1, 4, 5, 1), 16, (1, 1), ceil_mode=False), at=4)


def assert_nan_is_seen(case, at):
    case.x.reshape(-1)[at % case.x.size] = np.nan
    full = np.empty(case.full_shape)
    im2col.convolve(np.isnan(case.x).astype(np.float64), np.ones(case.w.shape), None, case.window, full)
    y, where = np.empty(case.pooled_shape, np.float32), np.empty(case.pooled_shape, np.uint8)
    convolve_and_pool(case.x, case.w, case.bias, case.window, y, where)
    assert np.isnan(y[four_of_each(full, case).max(axis=-1) > 0]).all()


def test_which_convolutions_pool():
    same = Window((3, 3), padding=(1, 1))
    shape, output_shape = (8, 32, 32, 64), (8, 32, 32, 64)
    assert pools(same, shape, output_shape, np.float32)
    assert pools(same, (8, 32, 32, 3), output_shape, np.float32, "winograd")
    assert not pools(same, (8, 32, 32, 3), output_shape, np.float32)  # direct
    assert not pools(same, shape, output_shape, np.float32, "im2col")
    assert not pools(same, shape, output_shape, np.float64, "winograd")
