"""What every layer promises, for one layer of each kind and drawn inputs; and the shared checks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import layers
from minifcn.check import check_layer
from minifcn.check.cases import conv2d, conv_transpose2d, distinct, images, pooling
from minifcn.kernels.recording import Recording
from minifcn.layers import AvgPool2d, Concat, Crop, Layer, Linear, MaxPool2d
from minifcn.layers.base import pair, positive, short

seeds = st.integers(0, 2**32 - 1)


def one_input(layer):
    return images().map(lambda x: (layer, [x.shape]))


@st.composite
def linear(draw):
    shape = draw(images()).shape
    return Linear(shape[3], draw(st.integers(1, 4)), rng=draw(seeds), dtype=np.float64), [shape]


@st.composite
def concat(draw):
    N, H, W, _ = draw(images()).shape
    return Concat(), [(N, H, W, C) for C in draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))]


@st.composite
def crop(draw):
    like = N, H, W, C = draw(images(largest=4)).shape
    top, left, bottom, right = draw(st.tuples(*[st.integers(0, 2)] * 4))
    return Crop((top, left)), [(N, top + H + bottom, left + W + right, C + 1), like]


@st.composite
def padding(draw):
    layer = layers.Pad2d(
        draw(st.tuples(*[st.integers(0, 2)] * 2)), draw(st.sampled_from(["zeros", "reflect"]))
    )
    N, H, W, C = draw(images()).shape
    return layer, [(N, H + layer.padding[0], W + layer.padding[1], C)]


@st.composite
def unpooling(draw):
    pool, shape = draw(pooling(MaxPool2d))
    w = pool.window
    reach = [d * (k - 1) + 1 for k, d in zip(w.kernel_size, w.dilation)]
    stride = tuple(max(pair) for pair in zip(w.stride, reach))
    layer = layers.MaxUnpool2d(w.kernel_size, stride, w.padding, w.dilation)
    N, H, W, C = shape
    shape = (N, *(max(n, r - 2 * p) for n, r, p in zip((H, W), reach, w.padding)), C)
    return layer, [layer.pool.output_shape(shape), shape]


@st.composite
def upsampling(draw):
    factors, mode = draw(st.tuples(*[st.integers(1, 4)] * 2)), draw(st.sampled_from(["nearest", "bilinear"]))
    return layers.Upsample2d(factors, mode), [draw(images()).shape]


@st.composite
def batch_norm(draw):
    """In every image another number, so that no variance is 0; and statistics that are not those of the start."""
    shape, rng = draw(images()).shape, np.random.default_rng(draw(seeds))
    layer = layers.BatchNorm2d(shape[3], batch_statistics=draw(st.booleans()), dtype=np.float64)
    layer.params = {name: rng.uniform(0.5, 2, shape[3]) for name in layer.params}
    layer.state = {name: rng.uniform(0.5, 2, shape[3]) for name in layer.state}
    return layer, [shape]


def windowed(strategy):
    return strategy.map(lambda case: (case[0], [case[1]]))


# For every layer of the package: the layer, in float64, and the shapes of inputs for it.
CASES = {
    layers.Add: st.tuples(images(), st.integers(1, 3)).map(lambda t: (layers.Add(), [t[0].shape] * t[1])),
    layers.AdaptiveAvgPool2d: st.tuples(st.integers(1, 4), st.integers(1, 4), images()).map(
        lambda t: (layers.AdaptiveAvgPool2d(t[:2]), [t[2].shape])
    ),
    layers.AvgPool2d: windowed(pooling(AvgPool2d)),
    layers.BatchNorm2d: batch_norm(),
    layers.Concat: concat(),
    layers.Conv2d: windowed(conv2d()),
    layers.ConvTranspose2d: windowed(conv_transpose2d()),
    layers.Crop: crop(),
    layers.Dropout: one_input(layers.Dropout(0.3)),
    layers.Flatten: one_input(layers.Flatten()),
    layers.GlobalAvgPool2d: one_input(layers.GlobalAvgPool2d()),
    layers.Linear: linear(),
    layers.LocalResponseNorm: one_input(layers.LocalResponseNorm(3, alpha=2.0)),
    layers.MaxPool2d: windowed(pooling(MaxPool2d)),
    layers.MaxUnpool2d: unpooling(),
    layers.Pad2d: padding(),
    layers.ReLU: one_input(layers.ReLU()),
    layers.ResizeLike: st.tuples(images(), images()).map(
        lambda t: (layers.ResizeLike(), [t[0].shape, (t[0].shape[0], *t[1].shape[1:])])
    ),
    layers.Sigmoid: one_input(layers.Sigmoid()),
    layers.Softmax: one_input(layers.Softmax()),
    layers.Tanh: one_input(layers.Tanh()),
    layers.Upsample2d: upsampling(),
}
cases = st.one_of(*CASES.values())


def test_no_layer_is_forgotten():
    public = (getattr(layers, name) for name in layers.__all__)
    assert CASES.keys() == {kind for kind in public if issubclass(kind, Layer)} - {Layer}


def forward(layer, inputs):
    return layer.forward(*inputs, train=True, rng=np.random.default_rng(0))


def backward(layer, dy, cache):
    """All gradients, by name."""
    dx, grads = layer.backward(dy, cache)
    return dict(enumerate(dx if isinstance(dx, tuple) else (dx,))) | grads


def same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


# ---------------------------------------------------------------- what every layer promises


@given(case=cases, data=st.data(), seed=seeds)
def test_gradients(case, data, seed):
    layer, shapes = case
    check_layer(layer, *(data.draw(distinct(shape)) for shape in shapes), train=True, rng=seed)


@given(case=cases, data=st.data())
def test_shapes_types_and_names(case, data):
    layer, shapes = case
    y, cache = forward(layer, [data.draw(distinct(shape)) for shape in shapes])
    assert y.shape == layer.output_shape(*shapes) and y.dtype == np.float64
    dx, grads = layer.backward(np.ones_like(y), cache)
    several = (layers.Add, Concat, Crop, layers.MaxUnpool2d, layers.ResizeLike)
    assert isinstance(dx, tuple) == isinstance(layer, several)
    assert grads.keys() == layer.params.keys()
    for gradient, shape in zip(dx if isinstance(dx, tuple) else (dx,), shapes, strict=True):
        assert gradient is None or (gradient.shape == shape and gradient.dtype == np.float64)
    for name, gradient in grads.items():
        assert gradient.shape == layer.params[name].shape


@given(case=cases, data=st.data(), seed=seeds)
def test_neither_pass_changes_what_it_is_given(case, data, seed):
    layer, shapes = case
    inputs = [data.draw(distinct(shape)) for shape in shapes]
    params = {name: array.copy() for name, array in layer.params.items()}
    before = [x.copy() for x in inputs]
    y, cache = forward(layer, inputs)
    value = y.copy()
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    upstream = dy.copy()
    first = backward(layer, dy, cache)
    same(dict(enumerate(inputs)), dict(enumerate(before)))
    np.testing.assert_array_equal(y, value)
    np.testing.assert_array_equal(dy, upstream)
    same(layer.params, params)
    same(backward(layer, dy, cache), first)  # the cache is as it was, too
    np.testing.assert_array_equal(forward(layer, inputs)[0], y)


@given(case=cases, data=st.data(), seed=seeds)
def test_a_layer_can_be_used_twice(case, data, seed):
    """Everything that backward needs is in the cache: two forwards, then two backwards in either order."""
    layer, shapes = case
    rng = np.random.default_rng(seed)
    both = [[data.draw(distinct(shape)) for shape in shapes] for _ in range(2)]
    dys = [rng.standard_normal(layer.output_shape(*shapes)) for _ in range(2)]
    expected = [backward(layer, dy, forward(layer, inputs)[1]) for inputs, dy in zip(both, dys)]
    caches = [forward(layer, inputs)[1] for inputs in both]
    for k in data.draw(st.permutations([0, 1])):
        same(backward(layer, dys[k], caches[k]), expected[k])


@given(case=cases, data=st.data(), seed=seeds)
def test_arrays_need_not_be_contiguous(case, data, seed):
    layer, shapes = case
    inputs = [data.draw(distinct(shape)) for shape in shapes]
    y, cache = forward(layer, inputs)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    expected = backward(layer, dy, cache)
    z, cache = forward(layer, [scattered(x) for x in inputs])
    np.testing.assert_array_equal(z, y)
    same(backward(layer, scattered(dy), cache), expected)


def scattered(x):
    """The same numbers, lying in memory in another order and with gaps between them."""
    memory = np.full((*x.shape[::-1], 2), np.nan)
    memory[..., 1] = x.T
    return memory[..., 1].T


@given(case=cases, seed=seeds)
def test_a_recording_computes_what_the_layer_does(case, seed):
    """To the bit, on other numbers in other memory, with other parameters, and with dropout of another seed."""
    layer, shapes = case
    rng, own = np.random.default_rng(seed), (layer.params, layer.state)
    layer.params, layer.state = ({k: a.astype(np.float32) for k, a in arrays.items()} for arrays in own)
    random = np.random.default_rng(0)

    def everything(*arrays):
        *inputs, dy = arrays
        y, cache = layer.forward(*inputs, train=True, rng=random)
        layer.remember(cache)
        return {"y": y} | backward(layer, dy, cache)

    def drawn():
        return [rng.standard_normal(s).astype(np.float32) for s in (*shapes, layer.output_shape(*shapes))]

    arrays = drawn()
    with Recording() as recording:
        found = {name: array for name, array in everything(*arrays).items() if array is not None}
    if layer.recordable and not recording.obstacle:
        for array in layer.params.values():
            array += 1
        for array, other in zip(arrays, drawn()):
            array[...] = other
        before = {name: array.copy() for name, array in layer.state.items()}
        random.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        recording.run()
        after = {name: array.copy() for name, array in layer.state.items()}
        for name, array in before.items():
            layer.state[name][...] = array
        random.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        expected = everything(*arrays)
        same(found, {name: expected[name] for name in found})
        same(after, layer.state)
    layer.params, layer.state = own


@pytest.mark.parametrize("kind", CASES)
def test_most_layers_can_be_recorded(kind):
    by_numpy = (layers.GlobalAvgPool2d, layers.Sigmoid, layers.Softmax, layers.Tanh)
    assert kind.recordable == (kind not in by_numpy)


@given(case=cases, data=st.data(), seed=seeds)
def test_float32_agrees_with_float64(case, data, seed):
    layer, shapes = case
    inputs = [data.draw(distinct(shape)) for shape in shapes]
    y, cache = forward(layer, inputs)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    expected = {"y": y} | backward(layer, dy, cache)

    own = layer.params
    layer.params = {name: array.astype(np.float32) for name, array in own.items()}
    y, cache = forward(layer, [x.astype(np.float32) for x in inputs])
    found = {"y": y} | backward(layer, dy.astype(np.float32), cache)
    layer.params = own
    for name, array in expected.items():
        if array is not None:
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5 * max(1, np.abs(array).max()))


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_pixel_is_seen_from_its_footprint_and_from_nowhere_else(kind, data):
    """A NaN in one input pixel spreads to the outputs that depend on the pixel: none outside the footprint.

    Outputs with the pixel at an edge of their footprint do depend on it; between the edges, a dilated kernel has
    holes. A NaN is the maximum of its window, so an unpooling shows it at one pixel only, or not at all; a
    mirror shows it beyond the border, where the footprint means its image; and an interpolation to fewer pixels
    passes over some.
    """
    layer, shapes = data.draw(CASES[kind])
    inputs = [data.draw(distinct(shape)) for shape in shapes]
    which = data.draw(st.integers(0, len(inputs) - 1))
    pixel = [data.draw(st.integers(0, n - 1)) for n in shapes[which][1:3]]
    inputs[which][0, pixel[0], pixel[1]] = np.nan
    y, _ = layer.forward(*inputs)
    footprint = layer.footprint(which)
    if footprint is None:
        assert not np.isnan(y).any()
    elif footprint[0].stride == 0:
        assert np.isnan(y).any() or kind is layers.ResizeLike
    else:
        reached = np.isnan(y[0]).any(axis=-1)
        within, at_the_edge = [], []
        for f, p, size in zip(footprint, pixel, reached.shape):
            sees = [(f.stride * i + f.first, f.stride * i + f.last) for i in range(size)]
            within.append([first <= p <= last for first, last in sees])
            at_the_edge.append([p in edges for edges in sees])
        assert not reached[~np.outer(*within)].any() or getattr(layer, "mode", None) == "reflect"
        assert reached[np.outer(*at_the_edge)].all() or kind is layers.MaxUnpool2d


@pytest.mark.parametrize(
    "layer",
    [layers.Conv2d(3, 2, 1), layers.ConvTranspose2d(3, 2, 1), Linear(3, 2), layers.ReLU(), layers.Tanh()],
)
def test_upstream_gradients_that_do_not_fit(layer):
    y, cache = layer.forward(np.ones((2, 4, 5, 3), np.float32))
    found, expected = str(y.shape[1:]), str(y.shape)
    for wrong, name in ((y[0], found), ([1.0], "list")):
        with pytest.raises(ValueError) as error:
            layer.backward(wrong, cache)
        assert f"expects dy of its output's shape {expected}, got {name}" in str(error.value)
    with pytest.raises(TypeError, match="computed in float32, got dy of float64"):
        layer.backward(y.astype(np.float64), cache)


@pytest.mark.parametrize("layer", [MaxPool2d(2), AvgPool2d(2), layers.GlobalAvgPool2d(), layers.Softmax()])
def test_upstream_gradients_of_the_wrong_shape(layer):
    y, cache = layer.forward(np.ones((2, 4, 6, 3)))
    with pytest.raises(ValueError, match="expects dy of its output's shape"):
        layer.backward(y[:1], cache)


# ---------------------------------------------------------------- the shared checks


def test_pair():
    assert pair(3, "stride", 1) == (3, 3)
    assert pair((3, 4), "stride", 1) == pair([np.int64(3), 4], "stride", 1) == (3, 4)
    for value in (3.0, (3, 4.0), "33", None, (1, 2, 3), ()):
        with pytest.raises(TypeError, match=r"stride is .*; expected a whole number or a pair of them"):
            pair(value, "stride", 1)
    for value in (0, (1, 0), (-1, 5)):
        with pytest.raises(ValueError, match=r"stride is .*; expected at least 1"):
            pair(value, "stride", 1)


def test_positive():
    assert positive(np.int32(3), "channels") == 3
    with pytest.raises(TypeError, match=r"channels is 3.0; expected a whole number"):
        positive(3.0, "channels")
    with pytest.raises(ValueError, match="channels is 0; expected at least 1"):
        positive(0, "channels")


def test_short():
    assert short((3, 3)) == 3 and short((3, 4)) == (3, 4)


def test_a_bare_layer_promises_only():
    with pytest.raises(NotImplementedError):
        Layer().forward(np.ones(1))
    with pytest.raises(NotImplementedError):
        Layer().backward(np.ones(1), None)
    assert Layer().params == {} and not Layer().frozen
