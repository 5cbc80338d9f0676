"""Hypothesis strategies that draw layers, shapes and data for the gradient checks.

Whatever they draw is valid: sizes are built up from the options, not drawn and thrown away. They go to the
corners on purpose: images of one pixel, kernels larger than the image (its padding makes up for it), strides
larger than the kernel, sizes that leave a rest.

    @given(case=conv2d(), data=st.data())
    def test_gradient(case, data):
        layer, shape = case
        check_layer(layer, data.draw(distinct(shape)))
"""

import numpy as np

from minifcn.layers import AvgPool2d, Conv2d, ConvTranspose2d, MaxPool2d
from minifcn.layers.base import Layer, Shape

try:
    from hypothesis import strategies as st
except ImportError as error:
    message = "minifcn.check.cases draws its cases with hypothesis: pip install hypothesis"
    raise ImportError(message, name=error.name) from error

SPREAD = 2.0  # drawn numbers lie between -SPREAD and SPREAD
SIMPLE = np.array([1, 2, -1, 3, -2, 0.5])
Case = tuple[Layer, Shape]  # a float64 layer and a shape of input that it accepts

_seeds = st.integers(0, 2**32 - 1)


def distinct(shape: Shape) -> st.SearchStrategy[np.ndarray]:
    """Float64 arrays of numbers between -2 and 2, of which no two are equal and none is 0, in random order.

    An array of n numbers is an even grid, shuffled: neighbours are 4 / n apart and 0 is 2 / n away. A check
    that moves a number by a millionth of that never meets the kink of a ReLU or a tie in a max-pool, whatever
    is drawn.
    """
    return _seeds.map(lambda seed: _shuffled_grid(shape, seed))


def _shuffled_grid(shape, seed):
    rng, size = np.random.default_rng(seed), int(np.prod(shape))
    grid = (np.arange(size) - size // 2 + 0.5) * (2 * SPREAD / max(size, 1))
    return np.asarray(rng.choice([-1.0, 1.0]) * rng.permutation(grid).reshape(shape))


def simple(shape: Shape, values: np.ndarray = SIMPLE) -> st.SearchStrategy[np.ndarray]:
    """Arrays of a few numbers that one can calculate with in the head. They shrink to the first of them."""
    size = int(np.prod(shape))
    numbers = st.binary(min_size=size, max_size=size)  # one draw for all of them, so it is quick
    return numbers.map(lambda drawn: values[np.frombuffer(drawn, np.uint8) % len(values)].reshape(shape))


def arguments(**strategies: st.SearchStrategy) -> st.SearchStrategy[dict]:
    """Dictionaries with these keys, always in this order (`st.fixed_dictionaries` shuffles them)."""
    return st.tuples(*strategies.values()).map(lambda drawn: dict(zip(strategies, drawn)))


@st.composite
def images(draw, largest: int = 6, channels: int = 4) -> np.ndarray:
    """`distinct` images (N, H, W, C): N up to 2, H and W up to `largest`, C up to `channels`."""
    return draw(distinct((*draw(_sizes((1, 1), largest - 1)), draw(st.integers(1, channels)))))


@st.composite
def conv2d(draw, more: int = 4, channels: int = 4) -> Case:
    """A Conv2d with all its options and up to `channels` channels, and a shape for it.

    The image is at most `more` pixels larger than the smallest that the kernel fits.
    """
    kernel, stride, padding, dilation = (draw(_pairs(*limits)) for limits in ((1, 4), (1, 3), (0, 2), (1, 2)))
    groups, C_in, C_out = draw(_channels(channels))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation)]
    bias, seed = draw(st.booleans()), draw(_seeds)
    layer = Conv2d(C_in, C_out, kernel, stride, padding, dilation, groups, bias, rng=seed, dtype=np.float64)
    return _with_drawn_bias(layer, seed), (*draw(_sizes(least, more)), C_in)


@st.composite
def conv_transpose2d(draw, more: int = 4, channels: int = 4) -> Case:
    """A ConvTranspose2d with all its options and up to `channels` channels, and a shape for it.

    The image is at most `more` pixels larger than the smallest of which the padding leaves something.
    """
    kernel, stride, padding, dilation = (draw(_pairs(*limits)) for limits in ((1, 4), (1, 3), (0, 2), (1, 2)))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
    groups, C_in, C_out = draw(_channels(channels))
    least = [
        max(1, 1 - (d * (k - 1) + e - 2 * p) // s)
        for k, s, p, d, e in zip(kernel, stride, padding, dilation, extra)
    ]
    bias, seed = draw(st.booleans()), draw(_seeds)
    layer = ConvTranspose2d(
        C_in, C_out, kernel, stride, padding, extra, groups, bias, dilation, rng=seed, dtype=np.float64
    )
    return _with_drawn_bias(layer, seed), (*draw(_sizes(least, more)), C_in)


@st.composite
def pooling(
    draw, layer: type[MaxPool2d] | type[AvgPool2d], more: int = 4, channels: int = 4, dilation: int = 2
) -> Case:
    """A MaxPool2d or AvgPool2d with all its options, dilated up to `dilation`, and a shape for it.

    The image is at most `more` pixels larger than the smallest that has a window. No window is without a pixel.
    """
    kernel, dilated = draw(_pairs(1, 4)), draw(_pairs(1, dilation))
    stride = draw(st.none() | _pairs(1, 3))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilated)]
    padding = tuple(draw(st.integers(0, n // 2)) for n in extent)
    ceil_mode = draw(st.booleans())
    rest = [s - 1 if ceil_mode else 0 for s in stride or kernel]  # how far a window may stick out
    least = [max(d, n - 2 * p - r) for n, p, r, d in zip(extent, padding, rest, dilated)]
    shape = (*draw(_sizes(least, more)), draw(st.integers(1, channels)))
    return layer(kernel, stride, padding, dilated, ceil_mode), shape


def _pairs(least, most):
    """(vertical, horizontal). A third are the least of both, where special cases are, such as 1x1 kernels."""
    pairs = st.tuples(st.integers(least, most), st.integers(least, most))
    return st.one_of(st.just((least, least)), pairs, pairs)


def _sizes(least, more):
    """(N, H, W) with (H, W) from `least` on, up to `more` pixels larger."""
    return st.tuples(st.integers(1, 2), *(st.integers(n, n + more) for n in least))


@st.composite
def _channels(draw, most):
    """The groups and the channels that go in and out: multiples of the groups, up to `most`."""
    groups = draw(st.integers(1, min(4, most)))
    return groups, *(groups * draw(st.integers(1, most // groups)) for _ in range(2))


def _with_drawn_bias(layer, seed):
    """A bias that starts at zero would hide that it is added to the wrong channel."""
    if "bias" in layer.params:
        layer.params["bias"][:] = np.random.default_rng(seed).uniform(-SPREAD, SPREAD, layer.out_channels)
    return layer
