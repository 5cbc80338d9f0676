"""Recorded functions: the same bits as without, whatever comes in between."""

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import losses
from minifcn.kernels import jit
from minifcn.kernels.finite import all_finite
from minifcn.kernels.jit import get_threads, set_threads
from minifcn.layers import Conv2d, Dropout, MaxPool2d, Pad2d, ReLU, Sigmoid
from minifcn.layers.merge import summed
from minifcn.models import fcn8s
from minifcn.network import Network
from minifcn.recorded import Recorded

recorded_here = pytest.mark.skipif(jit.CHECKED, reason="in the checked mode nothing is recorded")


def small_net(*last):
    net = Network()
    net.add("conv1", Conv2d(3, 20, 3, padding=1, rng=0), "image")
    net.add("relu1", ReLU())
    net.add("pool1", MaxPool2d(2))
    net.add("conv2", Conv2d(20, 20, 3, padding=1, rng=1))
    for number, layer in enumerate(last):
        net.add(f"last{number}", layer)
    return net


def images(seed, shape=(1, 12, 14, 3)):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def in_threads(work):
    """work(0) to work(3), each in a Python thread of its own."""
    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@given(sizes=st.lists(st.sampled_from([8, 9, 70]), max_size=12), seed=st.integers(0, 99))
def test_images_of_any_sizes_in_any_order(sizes, seed):
    net = small_net()
    recorded = Recorded(net)
    for k, size in enumerate(sizes):
        x = images(seed + k, (1, size, size, 3))
        np.testing.assert_array_equal(recorded(x), net(x))


@recorded_here
def test_the_second_call_in_a_row_is_recorded():
    """And kept until another size is."""
    calls, net = [], small_net()
    recorded = Recorded(lambda x: calls.append(x.shape[1]) or net(x))
    for size in (8, 9, 8, 8, 8, 9, 8, 9, 9, 9, 8):
        recorded(images(0, (1, size, size, 3)))
    assert calls == [8, 9, 8, 8, 9, 9, 9, 8] and recorded.is_recorded


def test_parameters_may_change():
    net = small_net()
    recorded = Recorded(net)
    for k in range(5):
        np.testing.assert_array_equal(recorded(images(k)), net(images(k)))
        for array in net.params.values():
            array += 0.1


def test_images_need_not_lie_side_by_side():
    net = small_net()
    recorded = Recorded(net)
    for k in range(5):
        x = images(k).transpose(0, 2, 1, 3)
        np.testing.assert_array_equal(recorded(x), net(x))


@recorded_here
def test_the_number_of_threads_may_change():
    net, threads = small_net(), get_threads()
    recorded = Recorded(net)
    try:
        for k, count in enumerate((1, 1, 1, 2, 2, 2, 1)):
            if count <= jit.numba.config.NUMBA_NUM_THREADS:
                set_threads(count)
            np.testing.assert_array_equal(recorded(images(k)), net(images(k)))
    finally:
        set_threads(threads)


@recorded_here
@pytest.mark.parametrize(
    ("net", "obstacle"),
    [
        (small_net(Sigmoid()), "Sigmoid()"),
        (small_net().astype(np.float64), "float64, or numbers that do not lie side by side"),
    ],
)
def test_what_cannot_be_recorded_is_computed_as_ever(net, obstacle):
    recorded = Recorded(net)
    for k in range(4):
        x = images(k).astype(net.params["conv1.weight"].dtype)
        np.testing.assert_array_equal(recorded(x), net(x))
    assert recorded.obstacle == obstacle and not recorded.is_recorded


def test_a_result_that_is_an_input():
    net = Network()
    net.add("drop", Dropout(0.5), "image")
    recorded = Recorded(net)
    for k in range(4):
        np.testing.assert_array_equal(recorded(images(k)), images(k))


def test_an_input_that_is_the_last_result():
    net = Network()
    for k in range(3):
        net.add(f"conv{k}", Conv2d(20, 20, 3, padding=1, rng=k), *["image"] * (k == 0))
    recorded, x = Recorded(net), images(0, (1, 40, 40, 20))
    y = x
    for _ in range(6):
        y, x = net(y), recorded(x)
        np.testing.assert_array_equal(x, y)


def test_one_array_as_two_inputs():
    recorded = Recorded(lambda a, b: summed(a, b))
    for k in range(3):
        x = images(k)
        np.testing.assert_array_equal(recorded(x, x), x + x)
    np.testing.assert_array_equal(recorded(images(5), images(6)), images(5) + images(6))


def test_activations_and_tapes_are_those_of_the_last_call():
    net = small_net()
    recorded = Recorded(lambda x: net.forward(x)[1])
    for k in range(5):
        tape, (_, expected) = recorded(images(k)), net.forward(images(k))
        for name in ("image", "conv1", "relu1", "pool1", "conv2"):
            np.testing.assert_array_equal(tape[name], expected[name])
        dy = images(9, expected["conv2"].shape)
        grads, wanted = net.backward(dy, tape), net.backward(dy, expected)
        for name, gradient in wanted.items():
            np.testing.assert_array_equal(grads[name], gradient)


@recorded_here
@pytest.mark.parametrize(
    ("function", "obstacle"),
    [
        (lambda x: Sigmoid().forward(x)[0], "Sigmoid()"),
        (lambda x: Pad2d(1, mode="reflect").forward(x)[0], "Pad2d(1, mode='reflect')"),
        (lambda x: Pad2d(1, mode="reflect").backward(x, (1, 10, 12, 3))[0], "Pad2d(1, mode='reflect')"),
        (lambda x: losses.cross_entropy(x, np.zeros(x.shape[:3], np.uint8))[1], "a loss"),
        (lambda x: np.array(all_finite(x)), "a question whether all is finite"),
    ],
)
def test_functions_that_cannot_be_recorded_say_so(function, obstacle):
    recorded = Recorded(function)
    for k in range(4):
        np.testing.assert_array_equal(recorded(images(k)), function(images(k)))
    assert recorded.obstacle == obstacle and not recorded.is_recorded


def test_an_error_is_the_functions_and_leaves_nothing_behind():
    net = small_net()
    recorded = Recorded(net)
    for _ in range(3):
        with pytest.raises(ValueError, match="expects an input of shape"):
            recorded(images(0, (1, 8, 8, 2)))
    for k in range(4):
        np.testing.assert_array_equal(recorded(images(k)), net(images(k)))


def test_from_several_python_threads_at_once():
    net = fcn8s(3, rng=0)
    recorded, wrong = Recorded(net), []
    inputs = [images(k, (1, 32, 32, 3)) for k in range(4)]
    expected = [net(x) for x in inputs]

    def work(k):
        for _ in range(20):
            found = recorded(inputs[k])  # the next call of any thread may overwrite it
            if not np.isfinite(found).all():
                wrong.append(k)

    for _ in range(2):
        recorded(inputs[0])
    in_threads(work)
    assert not wrong
    for x, scores in zip(inputs, expected):
        np.testing.assert_array_equal(recorded(x), scores)


def test_what_is_made_of_the_result_is_safe_from_other_threads():
    net = fcn8s(3, rng=0)
    recorded, wrong = Recorded(net, then=np.copy), []
    inputs = [images(k, (1, 32, 32, 3)) for k in range(4)]
    expected = [net(x) for x in inputs]

    def work(k):
        for _ in range(30):
            if not np.array_equal(recorded(inputs[k]), expected[k]):
                wrong.append(k)

    in_threads(work)
    assert not wrong


def test_copies_begin_anew():
    recorded = Recorded(small_net(), then=np.copy)
    for k in range(3):
        recorded(images(k))
    for other in (copy.deepcopy(recorded), pickle.loads(pickle.dumps(recorded))):
        assert not other.is_recorded
        for k in range(4):
            np.testing.assert_array_equal(other(images(k)), recorded(images(k)))


@recorded_here
def test_a_recording_within_a_recording():
    """The outer one would not see what the inner one runs."""
    net = small_net()
    inner = Recorded(net)
    outer = Recorded(lambda x: inner(x))
    for k in range(5):
        np.testing.assert_array_equal(outer(images(k)), net(images(k)))
    assert inner.is_recorded and not outer.is_recorded and outer.obstacle == "a recording within it"
