"""The training step: the bits of forward, loss, backward and update one by one, for every model."""

import copy

import numpy as np
import pytest

from minifcn import losses, optim
from minifcn.errors import NonFiniteError
from minifcn.kernels import jit
from minifcn.layers import Conv2d, Dropout, ReLU
from minifcn.models import MODELS, build, fcn8s
from minifcn.network import Network
from minifcn.objective import LOSSES, build_loss
from minifcn.step import TrainingStep

RECORDED = not jit.CHECKED


def batch(seed, classes, size=32):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((2, size, size, 3), np.float32)
    return images, rng.integers(0, classes, (2, size, size)).astype(np.uint8)


def one_by_one(net, loss, optimizer, images, labels, lr, seed):
    scores, tape = net.forward(images, train=True, rng=np.random.default_rng(seed))
    value, dscores = loss(scores, labels)
    optimizer.step(net.backward(dscores, tape), lr)
    return value


def check(net, twin, loss, optimizers, size=32, steps=4, classes=3):
    step = TrainingStep(net, loss, optimizers[0])
    for k in range(steps):
        images, labels = batch(k, classes, size)
        expected = one_by_one(twin, loss, optimizers[1], images, labels, 0.01 / (k + 1), (7, k))
        assert step(images, labels, 0.01 / (k + 1), (7, k)) == expected
        for name, array in twin.arrays.items():
            np.testing.assert_array_equal(net.arrays[name], array, err_msg=f"{name}, step {k}")
    return step


@pytest.mark.parametrize("model", MODELS)
def test_every_model(model):
    nets = [build(model, 3, rng=0) for _ in range(2)]
    step = check(*nets, losses.cross_entropy, [optim.SGD(n.trainable, lr=1, momentum=0.9) for n in nets], 64)
    assert step._recorded.is_recorded == RECORDED, step._recorded.obstacle


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name):
    classes = 1 if name.startswith("binary") else 3
    nets = [fcn8s(classes, rng=0) for _ in range(2)]
    check(*nets, build_loss(name), [optim.Adam(net.trainable) for net in nets], classes=max(2, classes))


@pytest.mark.parametrize(
    "make",
    [
        lambda params: optim.SGD(params, 1, weight_decay=0.1, rates={"*.bias": 2}, decays={"*.bias": 0}),
        lambda params: optim.SGD(params, 1, momentum=0.9),
        lambda params: optim.Adam(params, weight_decay=0.1),
    ],
)
def test_every_optimizer(make):
    nets = [fcn8s(3, rng=0) for _ in range(2)]
    check(*nets, losses.cross_entropy, [make(net.trainable) for net in nets], steps=6)


def test_frozen_layers_stay():
    nets = [fcn8s(3, rng=0) for _ in range(2)]
    for net in nets:
        for name in ("conv1_1", "conv3_1"):
            net.nodes[name].layer.frozen = True
    check(*nets, losses.cross_entropy, [optim.SGD(net.trainable, lr=1) for net in nets])


def test_dropout_follows_from_the_seed():
    nets = [Network() for _ in range(2)]
    for net in nets:
        net.add("conv1", Conv2d(3, 8, 3, padding=1, rng=0), "image")
        net.add("relu1", ReLU())
        net.add("drop1", Dropout(0.4))
        net.add("conv2", Conv2d(8, 3, 3, padding=1, rng=1))
    check(*nets, losses.cross_entropy, [optim.SGD(net.trainable, lr=1) for net in nets])


def test_labels_that_do_not_count_at_all():
    """Nothing is recorded of the labels: neither that there were none, nor that there were some."""
    nets = [fcn8s(3, rng=0) for _ in range(2)]
    optimizers = [optim.SGD(net.trainable, lr=0.1) for net in nets]
    step = TrainingStep(nets[0], losses.cross_entropy, optimizers[0])
    for k in range(6):
        images, labels = batch(k, 3)
        if k in (1, 4):
            labels[...] = 255
        expected = one_by_one(nets[1], losses.cross_entropy, optimizers[1], images, labels, None, k)
        assert step(images, labels, seed=k) == expected
    for name, array in nets[1].params.items():
        np.testing.assert_array_equal(nets[0].params[name], array)


@pytest.mark.parametrize("when", [0, 1, 3])
@pytest.mark.parametrize("what", ["image", "conv2_1"])
def test_what_is_not_finite_is_found_before_anything_moves(when, what):
    net = fcn8s(3, rng=0)
    step = TrainingStep(net, losses.cross_entropy, optim.SGD(net.trainable, lr=0.1))
    for k in range(when):
        step(*batch(k, 3))
    images, labels = batch(9, 3)
    if what == "image":
        images[0, 3, 4, 1] = np.nan
    else:
        net.params["conv2_1.weight"][0, 0, 0, 0] = np.inf
    before = {name: array.copy() for name, array in net.params.items()}
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match=f"step {when + 1}: {what} has a value"),
    ):
        step(images, labels)
    for name, array in before.items():
        np.testing.assert_array_equal(net.params[name], array)


def test_sizes_may_alternate():
    nets = [fcn8s(3, rng=0) for _ in range(2)]
    optimizers = [optim.SGD(net.trainable, lr=0.1) for net in nets]
    step = TrainingStep(nets[0], losses.cross_entropy, optimizers[0])
    for k, size in enumerate((32, 32, 40, 32, 32, 40, 40, 40, 32, 40, 32, 32)):
        images, labels = batch(k, 3, size)
        expected = one_by_one(nets[1], losses.cross_entropy, optimizers[1], images, labels, None, k)
        assert step(images, labels, seed=k) == expected


def test_copies_train_on_by_themselves():
    net = fcn8s(3, rng=0)
    step = TrainingStep(net, losses.cross_entropy, optim.Adam(net.trainable))
    for k in range(3):
        step(*batch(k, 3))
    other = copy.deepcopy(step)
    for k in range(3, 7):
        assert step(*batch(k, 3), seed=k) == other(*batch(k, 3), seed=k)
    for name, array in step.net.params.items():
        np.testing.assert_array_equal(other.net.params[name], array)
        assert not np.may_share_memory(other.net.params[name], array)


def test_after_a_step_there_is_what_it_computed():
    net = fcn8s(3, rng=0)
    step = TrainingStep(net, losses.cross_entropy, optim.SGD(net.trainable, lr=0))
    for k in range(4):
        images, labels = batch(k, 3)
        value = step(images, labels)
        scores, tape = net.forward(images, train=True)
        expected, dscores = losses.cross_entropy(scores, labels)
        assert value == step.value == expected
        np.testing.assert_array_equal(step.scores, scores)
        for name in ("image", "conv1_1", "pool3", "score"):
            np.testing.assert_array_equal(step.tape[name], tape[name])
        for name, gradient in net.backward(dscores, tape).items():
            np.testing.assert_array_equal(step.grads[name], gradient)


@pytest.mark.skipif(not RECORDED, reason="in the checked mode nothing is recorded")
def test_a_loss_that_changes_its_type_is_found():
    def loss(scores, labels):
        value, dscores = losses.cross_entropy(scores, labels)
        return value, dscores.astype(np.float64) if labels[0, 0, 0] == 9 else dscores

    net = fcn8s(10, rng=0)
    step = TrainingStep(net, loss, optim.SGD(net.trainable, lr=0.1))
    images, labels = batch(0, 9)
    for _ in range(3):
        step(images, labels)
    labels[0, 0, 0] = 9
    with pytest.raises(ValueError, match=r"outside must be float32 of shape .* found float64"):
        step(images, labels)
