"""Networks: gradients against slopes on random graphs, what is run and kept, and parameters by name."""

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.geometry import IMAGE
from minifcn.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Crop,
    Dropout,
    Linear,
    MaxPool2d,
    ReLU,
    Tanh,
)
from minifcn.layers.base import Layer
from minifcn.network import Network, fuse

STEP = 1e-8  # so small that, in float64, no ReLU or max-pool changes sides between two losses

seeds = st.integers(0, 2**32 - 1)


def random_conv(inputs, outputs, kernel_size, stride, rng, dtype):
    """A convolution with random biases too: behind a zero bias a ReLU could stand exactly on its kink."""
    padding = tuple(k // 2 for k in kernel_size)
    layer = Conv2d(inputs, outputs, kernel_size, stride, padding, rng=rng, dtype=dtype)
    layer.params["bias"][...] = rng.standard_normal(outputs)
    return layer


@st.composite
def networks(draw, dtype=np.float64, dead_ends=False):
    """A chain in which earlier activations, the image among them, come back: the network, images, a generator.

    Sizes never grow along the chain, so that whatever comes back can be cropped to fit. With `dead_ends`,
    branches named dead… leave the chain and lead nowhere.
    """
    rng = np.random.default_rng(draw(seeds, label="seed"))
    shape = tuple(draw(st.integers(low, high)) for low, high in [(1, 2), (3, 7), (3, 7), (1, 3)])
    steps = st.sampled_from(["conv", "conv", "relu", "tanh", "max", "mean", "twice", "add", "concat"])
    chain = [*draw(st.lists(steps, max_size=5)), draw(st.sampled_from(["add", "concat"])), "conv"]
    net, passed = Network(shape), [IMAGE]
    for k, step in enumerate(chain):
        here, name, shapes = passed[-1], f"{step}{k}", net.shapes(shape)
        channels, reads = shapes[here][3], (here,)
        if dead_ends and draw(st.booleans()):
            net.add(f"dead{k}", random_conv(channels, 2, (1, 1), 1, rng, dtype), here)
            net.add(f"dead_end{k}", ReLU(), f"dead{k}")
        if step == "conv":
            kernel_size = draw(st.tuples(*[st.sampled_from([1, 3])] * 2))
            outputs, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
            layer = random_conv(channels, outputs, kernel_size, stride, rng, dtype)
        elif step in ("relu", "tanh"):
            layer = {"relu": ReLU, "tanh": Tanh}[step]()
        elif step in ("max", "mean"):
            options = draw(st.sampled_from([(2, 2, 0, 1, True), (3, 2, 1, 1, False)]))
            layer = {"max": MaxPool2d, "mean": AvgPool2d}[step](*options)
        elif step == "twice":
            layer, reads = Add(), (here, here)
        else:
            back = draw(st.sampled_from(passed))
            slack = [a - b for a, b in zip(shapes[back][1:3], shapes[here][1:3], strict=True)]
            offset = tuple(draw(st.integers(0, most)) for most in slack)
            net.add(f"crop{k}", Crop(offset), back, here)
            layer, reads = Concat(), (f"crop{k}", here)
            if step == "add":
                net.add(f"fit{k}", random_conv(shapes[back][3], channels, (1, 1), 1, rng, dtype), f"crop{k}")
                layer, reads = Add(), (here, f"fit{k}")
        net.add(name, layer, *reads)
        passed.append(name)
    return net, rng.standard_normal(shape).astype(dtype), rng


def slope(net, images, array, direction, dy):
    """How fast the loss, the sum of dy times the output, grows when `array` moves in `direction`."""
    before, losses = array.copy(), []
    for step in (STEP, -STEP):
        array[...] = before + step * direction
        losses.append(np.sum(dy * net.forward(images)[0]))
    array[...] = before
    return (losses[0] - losses[1]) / (2 * STEP)


def assert_same(found, expected):
    """The same names in the same order, and the same bits."""
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name, strict=True)


def tiny(rng=0):
    net = Network(image_shape=(1, 8, 6, 3))
    net.add("conv", Conv2d(3, 4, kernel_size=3, padding=1, rng=rng), IMAGE)
    net.add("relu", ReLU())
    net.add("pool", MaxPool2d(2))
    net.add("score", Conv2d(4, 2, kernel_size=(1, 3), padding=(0, 1), rng=rng))
    return net


@pytest.fixture
def images():
    return np.random.default_rng(1).standard_normal((2, 8, 6, 3)).astype(np.float32)


# ---------------------------------------------------------------- gradients


@given(networks())
def test_gradients_are_the_slopes_of_the_loss(case):
    net, images, rng = case
    y, tape = net.forward(images)
    dy = rng.standard_normal(y.shape)
    grads = net.backward(dy, tape, image_gradient=True)
    variables = {**net.params, IMAGE: images}
    assert list(grads) == list(variables)
    scale = np.abs(dy * y).sum()
    for name, array in variables.items():
        direction = rng.standard_normal(array.shape)
        direction /= np.linalg.norm(direction)
        expected = slope(net, images, array, direction, dy)
        assert np.sum(grads[name] * direction) == pytest.approx(expected, rel=1e-5, abs=1e-6 * scale), name


@given(networks(), st.data())
def test_frozen_layers_pass_gradients_on_and_get_none(case, data):
    net, images, rng = case
    y, tape = net.forward(images)
    dy = rng.standard_normal(y.shape)
    everything = net.backward(dy, tape, image_gradient=True)
    convolutions = [name for name, node in net.nodes.items() if node.layer.params]
    frozen = data.draw(st.sets(st.sampled_from(convolutions), min_size=1), label="frozen")
    for name in frozen:
        net.nodes[name].layer.frozen = True
    expected = {name: g for name, g in everything.items() if name.split(".")[0] not in frozen}
    assert_same(net.backward(dy, tape, image_gradient=True), expected)
    del expected[IMAGE]
    assert_same(net.backward(dy, tape), expected)
    assert_same(net.trainable, {name: net.params[name] for name in expected})


class Asked(Conv2d):
    """A 1x1 convolution that notes what gradients it is asked for."""

    def __init__(self, name, asked):
        super().__init__(3, 3, kernel_size=1)
        self.name, self.asked = name, asked

    def backward(self, dy, cache, needs=None):
        self.asked[self.name] = needs
        return super().backward(dy, cache, needs)


def test_no_gradient_is_computed_that_nobody_reads(images):
    asked, net = {}, Network()
    for name in ("below", "first", "between", "last"):
        net.add(name, Asked(name, asked))
        net.nodes[name].layer.frozen = name in ("below", "between")
    y, tape = net.forward(images)
    net.backward(y, tape)
    both = ("input", "parameters")
    assert asked == {"last": both, "between": ("input",), "first": ("parameters",)}
    net.backward(y, tape, image_gradient=True)
    assert asked == {"last": both, "between": ("input",), "first": both, "below": ("input",)}


@given(networks(dead_ends=True))
def test_a_branch_that_leads_nowhere_gets_zeros_and_changes_nothing(case):
    net, images, rng = case
    y, tape = net.forward(images)
    dy = rng.standard_normal(y.shape)
    grads = net.backward(dy, tape, image_gradient=True)
    alone = Network()
    for name, (layer, reads) in net.nodes.items():
        if not name.startswith("dead"):
            alone.add(name, layer, *reads)
    y_alone, tape_alone = alone.forward(images)
    zeros = {name: np.zeros_like(array) for name, array in net.params.items()}
    np.testing.assert_array_equal(y, y_alone)
    expected = {**zeros, **alone.backward(dy, tape_alone, image_gradient=True)}
    assert_same(grads, expected)


@given(networks(), seeds)
def test_passes_are_independent(case, seed):
    """Two forward passes, then their backward passes in the other order and again: nothing is left behind."""
    net, images, rng = case
    others = np.random.default_rng(seed).standard_normal(images.shape)
    (y1, tape1), (y2, tape2) = net.forward(images), net.forward(others)
    dy1, dy2 = rng.standard_normal(y1.shape), rng.standard_normal(y2.shape)
    second, first, again = net.backward(dy2, tape2), net.backward(dy1, tape1), net.backward(dy2, tape2)
    assert_same(again, second)
    assert_same(first, net.backward(dy1, net.forward(images)[1]))
    assert_same(second, net.backward(dy2, net.forward(others)[1]))


def test_one_layer_under_two_names_has_two_gradients_that_add_up():
    rng = np.random.default_rng(0)
    shared = Conv2d(2, 2, kernel_size=3, padding=1, rng=rng, dtype=np.float64)
    net = Network()
    net.add("once", shared, IMAGE)
    net.add("bent", Tanh())
    net.add("again", shared)
    x, dy = rng.standard_normal((2, 1, 5, 4, 2))
    grads = net.backward(dy, net.forward(x)[1])
    assert list(grads) == ["once.weight", "once.bias", "again.weight", "again.bias"]
    direction = rng.standard_normal(shared.params["weight"].shape)
    both = grads["once.weight"] + grads["again.weight"]
    expected = slope(net, x, shared.params["weight"], direction, dy)
    assert np.sum(both * direction) == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------- rectifiers that run inside their neighbours


@st.composite
def rectified_networks(draw):
    """Networks of convolutions, normalisations, rectifiers and max-pools in all orders, with branches and dead
    ends."""
    rng, dtype = (
        np.random.default_rng(draw(seeds, label="seed")),
        draw(st.sampled_from([np.float32, np.float64])),
    )
    C = draw(st.sampled_from([1, 2, 2, 9]))
    shape = (draw(st.integers(1, 2)), draw(st.integers(2, 9)), draw(st.integers(2, 9)), C)
    steps = st.sampled_from(["conv", "conv", "norm", "relu", "relu", "relu", "max", "add"])
    net = Network(shape)
    for k, step in enumerate(draw(st.lists(steps, min_size=1, max_size=8))):
        passed = [IMAGE, *net.nodes]
        source = draw(st.sampled_from([passed[-1], passed[-1], *passed[-3:]]))
        reads = (source,)
        if step == "conv":
            algorithm = draw(st.sampled_from(["auto", "im2col", "direct", "winograd", "small_map"]))
            layer = Conv2d(C, C, 3, padding=1, algorithm=algorithm, rng=rng, dtype=dtype)
            if algorithm not in (
                "auto",
                "winograd",
            ):  # see test_a_rectifier_and_a_pooling_inside_are_two_beside
                layer.params["bias"][...] = rng.standard_normal(C)
            layer.frozen = draw(st.integers(0, 5)) == 0
        elif step == "norm":
            layer = BatchNorm2d(C, batch_statistics=draw(st.booleans()), dtype=dtype)
            for array in (*layer.params.values(), layer.state["running_mean"]):
                array[...] = rng.standard_normal(C)
            layer.frozen = draw(st.integers(0, 5)) == 0
        elif step == "max":
            options = [(2, 2, 0, 1, True), (2, 2, 0, 1, True), (3, 1, 1), (3, 2, 1)]
            options += [(2,)] * 2 * (min(net.shapes(shape)[source][1:3]) > 1)
            layer = MaxPool2d(*draw(st.sampled_from(options)))
        elif step == "add":
            shapes = net.shapes(shape)
            layer = Add()
            reads = source, draw(st.sampled_from([name for name in passed if shapes[name] == shapes[source]]))
        else:
            layer = ReLU()
        net.add(f"{step}{k}", layer, *reads)
    return net, rng.standard_normal(shape).astype(dtype), rng


def one_by_one(net, images, dy):
    """Every activation, the gradient of every parameter and that of the image, each layer run alone."""
    activations, caches, upstream, grads = {IMAGE: images}, {}, {}, {}
    for name, (layer, reads) in net.nodes.items():
        activations[name], caches[name] = layer.forward(*(activations[source] for source in reads))
    upstream[net.output] = dy(activations[net.output])
    for name, (layer, reads) in reversed(net.nodes.items()):
        if name in upstream:
            dx, grads[name] = layer.backward(upstream.pop(name), caches[name])
            for source, dx_source in zip(reads, dx if isinstance(dx, tuple) else (dx,), strict=True):
                upstream[source] = upstream[source] + dx_source if source in upstream else dx_source
        else:
            grads[name] = {key: np.zeros_like(array) for key, array in layer.params.items()}
    named = {f"{name}.{key}": grads[name][key] for name in net.nodes for key in grads[name]}
    return activations, named, upstream.get(IMAGE)


@given(rectified_networks(), st.data())
def test_rectifiers_inside_their_neighbours_compute_what_they_do_alone(case, data):
    """The same bits, forward and back, whatever reads what."""
    net, images, rng = case
    dys = {}

    def dy(y):
        dys[IMAGE] = rng.standard_normal(y.shape).astype(y.dtype)
        return dys[IMAGE]

    activations, expected, image_gradient = one_by_one(net, images, dy)
    y, tape = net.forward(images)
    np.testing.assert_array_equal(y, activations[net.output], strict=True)
    grads = net.backward(dys[IMAGE], tape)
    assert_same(grads, {name: expected[name] for name in net.trainable})
    if image_gradient is not None:
        found = net.backward(dys[IMAGE], tape, image_gradient=True)
        assert_same(found, {name: expected[name] for name in net.trainable} | {IMAGE: image_gradient})

    np.testing.assert_array_equal(net(images), y)
    for name, activation in activations.items():
        np.testing.assert_array_equal(tape[name], activation, err_msg=name, strict=True)
    names = data.draw(st.lists(st.sampled_from(list(activations)), unique=True), label="names")
    assert_same(net.activations(images, names), {name: activations[name] for name in names})


def test_what_a_normalisation_gave_its_rectifier_in_training():
    """The tape computes it again, with the statistics of the batch."""
    net, images = Network(), np.random.default_rng(0).standard_normal((2, 3, 4, 2)).astype(np.float32)
    net.add("norm", BatchNorm2d(2))
    net.add("relu", ReLU())
    _, tape = net.forward(images, train=True)
    expected, _ = BatchNorm2d(2).forward(images, train=True)
    np.testing.assert_array_equal(tape["norm"], expected)
    np.testing.assert_array_equal(tape["relu"], np.maximum(expected, 0))


def conv():
    return Conv2d(2, 2, 3, padding=1)


def runs(*layers, keep=()):
    """What runs as one in a network of these (name, layer, *reads), as text: what runs, and what else it does."""
    net = Network()
    for name, layer, *reads in layers:
        net.add(name, layer, *reads)
    lines = []
    for run in fuse(net.nodes, keep):
        assert run.layer is net.nodes[run.node].layer and run.reads == net.nodes[run.node].reads
        words = [run.name, f"of {run.node}"] if run.name != run.node else [run.name]
        words += ["rectified"] * run.rectified + ["pooled"] * (run.pool is not None)
        lines.append(" ".join(words + ["through"] * run.through_relu + ["passed"] * run.passed))
    return lines


CHAIN = [("a", conv()), ("ra", ReLU()), ("b", conv()), ("rb", ReLU()), ("pool", MaxPool2d(2)), ("c", conv())]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ([], ["ra of a rectified passed", "pool of b rectified pooled through", "c"]),
        (["b"], ["ra of a rectified passed", "b through", "rb passed", "pool through", "c"]),
        (["rb"], ["ra of a rectified passed", "rb of b rectified through passed", "pool through", "c"]),
        (["ra", "pool"], ["ra of a rectified passed", "pool of b rectified pooled through", "c"]),
        (["a"], ["a", "ra passed", "pool of b rectified pooled through", "c"]),
    ],
)
def test_what_runs_as_one_unless_it_is_wanted(keep, expected):
    assert runs(*CHAIN, keep=keep) == expected


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([("a", conv())], ["a"]),
        ([("a", conv()), ("r", ReLU())], ["r of a rectified"]),  # it is the output: nobody reads it
        ([("r", ReLU()), ("a", conv()), ("b", conv(), "r")], ["r", "a", "b"]),  # two read the rectifier
        ([("a", conv()), ("r", ReLU()), ("add", Add(), "a", "r")], ["a", "r", "add"]),  # or the convolution
        ([("a", conv()), ("r", ReLU()), ("add", Add(), "r", "r")], ["r of a rectified", "add"]),
        ([("a", conv()), ("r", ReLU()), ("mean", AvgPool2d(2))], ["r of a rectified", "mean"]),
        (
            [("a", conv()), ("r", ReLU()), ("max", MaxPool2d(3, 2))],
            ["r of a rectified passed", "max through"],
        ),
        ([("a", conv()), ("r", ReLU()), ("again", ReLU())], ["r of a rectified", "again"]),
        ([("n", BatchNorm2d(2)), ("r", ReLU()), ("a", conv())], ["r of n rectified passed", "a through"]),
        (
            [("n", BatchNorm2d(2)), ("r", ReLU()), ("max", MaxPool2d(2))],
            ["r of n rectified passed", "max through"],
        ),
        ([("a", conv()), ("other", Tanh(), IMAGE), ("r", ReLU(), "a")], ["r of a rectified", "other"]),
        (
            [("a", conv()), ("r", ReLU()), ("p", MaxPool2d(2)), ("q", MaxPool2d(2), "r")],
            ["r of a rectified", "p", "q"],
        ),
        ([("a", conv()), ("max", MaxPool2d(2))], ["a", "max"]),
        ([("t", Tanh()), ("r", ReLU()), ("max", MaxPool2d(2))], ["t", "r passed", "max through"]),
        ([("r", ReLU()), ("a", conv())], ["r passed", "a through"]),
    ],
)
def test_which_layers_run_inside_their_neighbours(layers, expected):
    assert runs(*layers) == expected


def test_the_tape_computes_what_others_have_swallowed(images):
    net = tiny()
    _, tape = net.forward(images)
    assert list(tape) == [IMAGE, "pool", "score"]
    expected, _ = net.nodes["conv"].layer.forward(images)
    for _ in range(2):
        np.testing.assert_array_equal(tape["conv"], expected, strict=True)
        np.testing.assert_array_equal(tape["relu"], np.maximum(expected, 0), strict=True)
    np.testing.assert_array_equal(tape["pool"], MaxPool2d(2).forward(tape["relu"])[0], strict=True)
    for name in ("conv1", "", "conv.weight"):
        with pytest.raises(KeyError, match=repr(name)):
            tape[name]


# ---------------------------------------------------------------- what is run, and what is kept


@given(st.one_of(networks(), networks(dtype=np.float32)), st.data())
def test_activations_are_those_of_the_tape(case, data):
    net, images, _ = case
    y, tape = net.forward(images)
    assert tape[IMAGE] is images
    assert [name for name in (IMAGE, *net.nodes) if name in tape] == list(tape)
    np.testing.assert_array_equal(net(images), y, strict=True)
    np.testing.assert_array_equal(tape[net.output], y, strict=True)
    names = data.draw(st.lists(st.sampled_from([IMAGE, *net.nodes]), unique=True), label="names")
    assert_same(net.activations(images, names), {name: tape[name] for name in names})


class Spy(Layer):
    """y = 1 + the sum of the inputs. `log` tells which outputs of all spies were alive when it was called."""

    def __init__(self, name, alive, log):
        super().__init__()
        self.name, self.alive, self.log = name, alive, log

    def forward(self, *inputs, train=False, rng=None):
        self.log.append((self.name, set(self.alive)))
        y = 1 + sum(inputs)
        self.alive.add(self.name)
        weakref.finalize(y, self.alive.discard, self.name)
        return y, inputs


@given(st.data())
def test_only_what_is_needed_is_run_and_kept(data):
    alive, log = set(), []
    net = Network()
    for k in range(data.draw(st.integers(1, 9), label="layers")):
        before = st.sampled_from([IMAGE, *net.nodes])
        reads = data.draw(st.lists(before, min_size=1, max_size=3), label=f"layer {k} reads")
        net.add(str(k), Spy(str(k), alive, log), *reads)
    keep = data.draw(st.sets(st.sampled_from(list(net.nodes)), min_size=1), label="keep")

    needed = set(keep)
    for name in reversed(net.nodes):
        needed.update(net.nodes[name].reads if name in needed else ())
    order = [name for name in net.nodes if name in needed]
    expected = []
    for k, name in enumerate(order):
        still_read = {source for later in order[k:] for source in net.nodes[later].reads}
        expected.append((name, {past for past in order[:k] if past in keep or past in still_read}))

    found = net.activations(np.zeros((1, 1, 1, 1)), keep)
    assert log == expected
    assert alive == keep == set(found)


def test_a_call_keeps_two_activations_of_a_chain():
    alive, log = set(), []
    net = Network()
    for k in range(6):
        net.add(str(k), Spy(str(k), alive, log))
    scores = net(np.zeros((1, 1, 1, 1)))
    assert scores.item() == 6
    assert log == [(str(k), {str(k - 1)} - {"-1"}) for k in range(6)]
    assert alive == {"5"}


def test_train_and_rng_reach_the_layers(images):
    net = Network()
    net.add("drop", Dropout(0.5), IMAGE)
    dropped, tape = net.forward(images, train=True, rng=np.random.default_rng(3))
    expected, cache = Dropout(0.5).forward(images, train=True, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(dropped, expected)
    assert (dropped == 0).any()
    np.testing.assert_array_equal(net(images), images)
    np.testing.assert_array_equal(net.forward(images)[0], images)
    dy = np.ones_like(images)
    np.testing.assert_array_equal(net.backward(dy, tape, image_gradient=True)[IMAGE], dy * cache)


def test_activations_names_what_there_is(images):
    with pytest.raises(ValueError, match=r"no layer 'pool9'; there are conv, relu, pool, score"):
        tiny().activations(images, ["pool", "pool9"])


# ---------------------------------------------------------------- parameters by name


def test_params_are_the_live_arrays_in_layer_order(images):
    net = tiny()
    assert list(net.params) == ["conv.weight", "conv.bias", "score.weight", "score.bias"]
    before = net(images)
    net.params["score.bias"][...] = [1, -2]
    np.testing.assert_allclose(net(images) - before, np.broadcast_to([1, -2], before.shape), atol=1e-6)
    assert net.params["conv.weight"] is net.nodes["conv"].layer.params["weight"]


@given(seeds)
def test_load_params_copies_everything(seed):
    net, rng = tiny(), np.random.default_rng(seed)
    own = net.params
    arrays = {name: rng.standard_normal(own[name].shape) for name in reversed(own)}
    net.load_params(arrays)
    for name, array in net.params.items():
        assert array is own[name] and array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays[name].astype(np.float32))
    arrays["conv.bias"] += 1
    assert not np.allclose(net.params["conv.bias"], arrays["conv.bias"])


@given(st.data())
def test_load_params_is_all_or_nothing_and_lists_what_differs(data):
    net = tiny()
    before = {name: array.copy() for name, array in net.params.items()}
    names = list(before)
    missing = data.draw(st.sets(st.sampled_from(names)), label="missing")
    misshapen = data.draw(st.sets(st.sampled_from(names)), label="misshapen") - missing
    unknown = data.draw(st.sets(st.sampled_from(["fc8.weight", "conv", "score.weights"])), label="unknown")
    arrays = {name: np.ones((*array.shape, 1) if name in misshapen else array.shape) for name, array in
              before.items() if name not in missing}  # fmt: skip
    arrays |= {name: np.ones(3) for name in unknown}
    lines = {f"{name} is missing" for name in missing}
    lines |= {f"{name} is not a parameter of this network" for name in unknown}
    lines |= {f"{name} has shape {arrays[name].shape}, expected {before[name].shape}" for name in misshapen}
    if lines:
        with pytest.raises(ValueError, match="do not fit the network") as error:
            net.load_params(arrays)
        assert sorted(line.strip() for line in str(error.value).splitlines()[1:]) == sorted(lines)
        assert_same(net.params, before)
    else:
        net.load_params(arrays)
        assert all((array == 1).all() for array in net.params.values())


def test_astype_turns_every_parameter_and_keeps_its_value(images):
    net = tiny()
    before, scores = net.params, net(images)
    assert net.astype(np.float64) is net
    for name, array in net.params.items():
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, before[name])
    again = net(images.astype(np.float64))
    assert again.dtype == np.float64
    np.testing.assert_allclose(again, scores, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- building and looking


def test_add_reads_the_layer_before_unless_told():
    net = Network()
    net.add("a", ReLU())
    net.add("b", ReLU())
    net.add("c", Add(), "a", "b", IMAGE)
    assert [node.reads for node in net.nodes.values()] == [(IMAGE,), ("a",), ("a", "b", IMAGE)]
    assert net.output == "c"


@pytest.mark.parametrize("name", ["conv", IMAGE, "", "conv.1"])
def test_add_wants_a_name_that_is_free_and_without_dots(name):
    net = tiny()
    before = dict(net.nodes)
    with pytest.raises(ValueError, match=f"cannot be named '{name}'"):
        net.add(name, ReLU())
    assert net.nodes == before


@pytest.mark.parametrize("source", ["later", "conv.weight", ""])
def test_add_wants_sources_that_exist(source):
    net = tiny()
    with pytest.raises(
        ValueError, match=rf"later reads '{source}', .*\['image', 'conv', 'relu', 'pool', 'score'\]"
    ):
        net.add("later", Add(), "conv", source)
    assert "later" not in net.nodes


def test_an_empty_network_says_so(images):
    with pytest.raises(ValueError, match="no layers"):
        Network()(images)
    with pytest.raises(ValueError, match="no layers"):
        Network().forward(images)


@given(networks())
def test_shapes_are_those_of_the_activations(case):
    net, images, _ = case
    _, tape = net.forward(images)
    assert net.shapes(images.shape) == {name: tape[name].shape for name in ("image", *net.nodes)}


def test_shapes_names_the_layer_that_does_not_fit():
    net = tiny()
    net.add("classifier", Linear(7, 2))
    with pytest.raises(ValueError, match=r"layer classifier: Linear\(7, 2\).*\(1, 4, 3, 2\)"):
        net.shapes((1, 8, 6, 3))
    with pytest.raises(ValueError, match=r"layer conv: .*\(2, 8, 6, 4\)"):
        net.shapes((2, 8, 6, 4))
    with pytest.raises(ValueError, match=r"layer pool: .*1x6"):
        net.shapes((1, 1, 6, 3))


def test_printing_gives_the_table():
    net = tiny()
    net.nodes["conv"].layer.frozen = True
    net.add("crop", Crop(), "score", "pool")
    assert str(net).splitlines() == [
        "name   layer                                             reads        output   parameters  stride  field",
        "image                                                                 1x8x6x3                   1      1",
        "conv   Conv2d(3, 4, kernel_size=3, padding=1) frozen     image        1x8x6x4         112       1      3",
        "relu   ReLU()                                            conv         1x8x6x4                   1      3",
        "pool   MaxPool2d(2)                                      relu         1x4x3x4                   2      4",
        "score  Conv2d(4, 2, kernel_size=(1, 3), padding=(0, 1))  pool         1x4x3x2          26       2  4 x 8",
        "crop   Crop(0)                                           score, pool  1x4x3x2                   2  4 x 8",
        "138 parameters, 26 of them trainable",
    ]


def test_printing_a_network_that_is_trained_whole_just_counts():
    net = tiny()
    net.image_shape = (5, 32, 31, 3)
    lines = str(net).splitlines()
    assert lines[-1] == "138 parameters"
    assert "5x16x15x4" in lines[4].split()


def test_printing_where_branches_of_different_strides_meet():
    net = Network(image_shape=(1, 8, 8, 3))
    net.add("pool", MaxPool2d(2), IMAGE)
    net.add("crop", Crop(), IMAGE, "pool")
    net.add("sum", Add(), "pool", "crop")
    net.add("behind", Conv2d(3, 1, 3))
    for line in str(net).splitlines()[-3:-1]:
        assert line.split()[-2:] == ["mixed", "mixed"]


# ---------------------------------------------------------------- what layers remember


def normalized(rng=0):
    net = Network()
    net.add("bn1", BatchNorm2d(3), IMAGE)
    net.add("conv", Conv2d(3, 2, 3, rng=rng))
    net.add("bn2", BatchNorm2d(2))
    return net


def test_only_training_is_remembered(images):
    net = normalized()
    before = {name: array.copy() for name, array in net.state.items()}
    assert list(before) == ["bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"]
    net.forward(images)
    net(images)
    assert_same(net.state, before)
    _, tape = net.forward(images, train=True)
    mean = images.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(net.state["bn1.running_mean"], 0.1 * mean, rtol=1e-5, atol=1e-7)
    mean = tape["conv"].mean(axis=(0, 1, 2))
    np.testing.assert_allclose(net.state["bn2.running_mean"], 0.1 * mean, rtol=1e-5, atol=1e-7)


def test_state_is_loaded_by_name_and_counts(images):
    net, other = normalized(), normalized(rng=1)
    net.forward(images, train=True)
    other.load_params(net.params)
    assert not np.array_equal(other(images), net(images))
    other.load_state(net.state)
    np.testing.assert_array_equal(other(images), net(images))
    assert not np.shares_memory(other.state["bn1.running_mean"], net.state["bn1.running_mean"])
    assert net.arrays == net.params | net.state
    state = net.state
    state["bn3.running_mean"] = state.pop("bn1.running_mean")
    with pytest.raises(ValueError) as error:
        other.load_state(state)
    assert str(error.value).splitlines() == [
        "these states do not fit the network:",
        "  bn1.running_mean is missing",
        "  bn3.running_mean is not a state of this network",
    ]


def test_state_is_no_parameter(images):
    net = normalized()
    y, tape = net.forward(images, train=True)
    names = ["bn1.weight", "bn1.bias", "conv.weight", "conv.bias", "bn2.weight", "bn2.bias"]
    assert list(net.params) == list(net.trainable) == list(net.backward(y, tape)) == names
    assert str(net).splitlines()[-1] == "66 parameters"
    net.astype(np.float64)
    assert {array.dtype for array in net.arrays.values()} == {np.dtype(np.float64)}
    assert net(images.astype(np.float64)).dtype == np.float64
