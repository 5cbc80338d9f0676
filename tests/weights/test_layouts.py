"""The order of axes: against loops, and against what a layer computes."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.layers import Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from minifcn.network import Network
from minifcn.weights.layouts import bfloat16, thinned, to_ours, to_theirs, window

sizes = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(st.tuples(sizes, sizes, sizes, sizes))
def test_convolutions(shape):
    """Theirs is (O, C, H, W), ours (H, W, C, O); a fully connected layer is (O, C H W)."""
    O, C, H, W = shape  # noqa: E741
    theirs = numbers(*shape)
    ours = to_ours(theirs, (H, W, C, O), (H, W))
    assert ours.shape == (H, W, C, O)
    for o, c, y, x in product(*map(range, shape)):
        assert ours[y, x, c, o] == theirs[o, c, y, x]
    assert np.array_equal(to_ours(theirs.reshape(O, C * H * W), (H, W, C, O), (H, W)), ours)
    assert np.array_equal(to_theirs(ours, (H, W)), theirs)


@given(st.tuples(sizes, sizes, sizes, sizes), st.booleans())
def test_linear_layers(shape, dropout):
    """On maps flattened in their order, their weight gives what ours gives on maps flattened in our order."""
    O, C, H, W = shape  # noqa: E741
    net = Network((1, H, W, C))
    net.add("flatten", Flatten())
    if dropout:
        net.add("drop", Dropout())
        net.add("relu", ReLU())
    net.add("fc", Linear(H * W * C, O, bias=False))
    theirs = numbers(O, C * H * W)
    net.params["fc.weight"][...] = to_ours(theirs, net.params["fc.weight"].shape, window(net, "fc.weight"))
    images = np.abs(numbers(2, H, W, C, seed=1))
    expected = images.transpose(0, 3, 1, 2).reshape(2, -1) @ theirs.T
    np.testing.assert_allclose(net(images), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(to_theirs(net.params["fc.weight"], window(net, "fc.weight")), theirs)


@given(
    kept=st.tuples(sizes, sizes),
    factors=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    taps=st.sampled_from([(1, 1), (3, 1), (7, 3), (5, 3), (4, 4)]),
)
def test_thinned_layers(kept, factors, taps):
    """Every so-maniest channel, and taps from the first to the last, of a convolution or a connected layer."""
    (c, o), (h, k) = kept, taps
    C, O = c * factors[0], o * factors[1]  # noqa: E741
    theirs = numbers(O, C, h, h)
    found = thinned(theirs, (k, k, c, o))
    places = [round(i * (h - 1) / max(1, k - 1)) for i in range(k)]
    for y, x, i, j in product(range(k), range(k), range(c), range(o)):
        assert found[y, x, i, j] == theirs[j * factors[1], i * factors[0], places[y], places[x]]
    if k == 1 < h:
        return  # one tap of a connected layer is its only one
    if k == 1 or factors[0] == 1:
        assert np.array_equal(thinned(theirs.reshape(O, -1), (k, k, c, o)), found)
    assert np.array_equal(thinned(theirs[:, 0, 0, 0], (o,)), theirs[:: factors[1], 0, 0, 0])


def test_thinned_of_too_little():
    with pytest.raises(ValueError, match="3 channels, expected at least 4"):
        thinned(numbers(3, 4, 3, 3), (3, 3, 4, 4))
    with pytest.raises(ValueError, match="a kernel of 3, expected at least 5"):
        thinned(numbers(3, 4, 3, 3), (5, 5, 4, 3))


def test_window():
    net = Network((1, 12, 20, 3))
    net.add("conv", Conv2d(3, 4, kernel_size=(3, 5), padding=(1, 2)))
    net.add("pool", MaxPool2d((4, 2)))
    net.add("flatten", Flatten())
    net.add("fc1", Linear(3 * 10 * 4, 6))
    net.add("relu", ReLU())
    net.add("fc2", Linear(6, 2))
    net.add("gap", GlobalAvgPool2d(), "pool")
    net.add("fc3", Linear(4, 2))
    expected = {"conv": (3, 5), "fc1": (3, 10), "fc2": (1, 1), "fc3": (1, 1)}
    assert {name: window(net, f"{name}.weight") for name in expected} == expected
    net.image_shape = (1, 12, 22, 3)
    with pytest.raises(ValueError, match="fc1"):
        window(net, "fc1.weight")


@given(st.tuples(sizes, sizes, sizes, sizes), st.permutations(range(4)), seeds)
def test_other_shapes_are_refused(shape, order, seed):
    O, C, H, W = shape  # noqa: E741
    theirs = numbers(*shape).transpose(order)
    if theirs.shape == shape:
        assert np.array_equal(to_ours(theirs, (H, W, C, O), (H, W)), theirs.transpose(2, 3, 1, 0))
    else:
        with pytest.raises(ValueError, match=r"shape \(.*\), expected \("):
            to_ours(theirs, (H, W, C, O), (H, W))
    with pytest.raises(ValueError, match=rf"expected \({O}, {C * H * W}\)"):
        to_ours(numbers(O, C * H * W + 1), (H * W * C, O), (H, W))


def test_bfloat16_has_every_kind_of_number():
    bits = np.arange(1 << 16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        wide = bfloat16(bits)
    sign, exponent, fraction = bits >> 15, (bits >> 7 & 0xFF).astype(int), (bits & 0x7F) / 128
    normal = (exponent > 0) & (exponent < 255)
    expected = (-1.0) ** sign[normal] * 2.0 ** (exponent[normal] - 127) * (1 + fraction[normal])
    assert np.array_equal(wide[normal], expected.astype(np.float32))
    subnormal = exponent == 0
    assert np.array_equal(
        wide[subnormal], ((-1.0) ** sign * fraction * 2.0**-126)[subnormal].astype(np.float32)
    )
    assert np.array_equal(np.isnan(wide), (exponent == 255) & (fraction > 0))
    assert np.isinf(wide[0x7F80]) and wide[0xFF80] == -np.inf
