"""The checks themselves: mistakes planted in right gradients are found and named, right ones never blamed."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import GradientError, check_adjoint, check_gradients, check_layer, check_loss
from minifcn.check.cases import distinct
from minifcn.layers import Add, Concat, Conv2d, Crop, Dropout, Linear, ReLU, Softmax
from minifcn.losses import cross_entropy, dice

seeds = st.integers(0, 2**32 - 1)
SHAPES = {"x": (4, 3), "w": (3, 3), "b": (3,)}


def forward(x, w, b):
    """One fully connected layer with tanh: y = tanh(x w + b)."""
    y = np.tanh(x @ w + b)
    return y, (x, w, y)


def backward(dy, cache):
    x, w, y = cache
    dz = dy * (1 - y * y)
    return {"x": dz @ w.T, "w": x.T @ dz, "b": dz.sum(axis=0)}


def drawn(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}


def planted(name, mistake):
    """The right backward, but for the gradient of one argument: mistake(gradient, dz)."""

    def wrong(dy, cache):
        gradients = backward(dy, cache)
        _, _, y = cache
        gradients[name] = mistake(gradients[name], dy * (1 - y * y))
        return gradients

    return wrong


WHOLE_ARRAY = {
    "zero": lambda gradient, dz: np.zeros_like(gradient),
    "left out": lambda gradient, dz: None,
    "sign": lambda gradient, dz: -gradient,
    "factor": lambda gradient, dz: gradient / len(dz),
    "a little off": lambda gradient, dz: gradient * 1.0001,
    "rolled": lambda gradient, dz: np.roll(gradient, 1, axis=-1),
}


# ---------------------------------------------------------------- mistakes are found


@pytest.mark.parametrize("check", [check_gradients, check_adjoint])
def test_dy_is_not_what_others_draw_with_a_common_seed(check):
    """Otherwise a backward that takes x for dy would be right."""
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((3, 4))
        with pytest.raises(GradientError):
            check(lambda x: (x * 1, x), lambda dy, x: x, {"x": x})


@pytest.mark.parametrize("check", [check_gradients, check_adjoint])
@pytest.mark.parametrize("name", ["x", "w", "b"])
@pytest.mark.parametrize("mistake", WHOLE_ARRAY.values(), ids=WHOLE_ARRAY.keys())
@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_array_is_found(check, name, mistake, seed):
    with pytest.raises(GradientError) as error:
        check(forward, planted(name, mistake), drawn(seed), rng=seed)
    if check is check_gradients:
        assert error.value.argument == name
        assert repr(name) in str(error.value)
    else:
        assert error.value.argument == "x, w, b"


@given(seed=seeds)
def test_a_missing_sum_over_the_batch_is_found(seed):
    with pytest.raises(GradientError) as error:
        check_gradients(forward, planted("b", lambda db, dz: dz[0]), drawn(seed), rng=seed)
    assert error.value.argument == "b"


@given(seed=seeds)
def test_a_transposed_gradient_is_found(seed):
    with pytest.raises(GradientError) as error:
        check_gradients(forward, planted("w", lambda dw, dz: dw.T), drawn(seed), rng=seed)
    assert error.value.argument == "w"
    row, column = error.value.index
    assert row != column  # the diagonal is right


@given(name=st.sampled_from(list(SHAPES)), data=st.data(), seed=seeds)
def test_one_wrong_number_is_found_and_shown(name, data, seed):
    index = tuple(data.draw(st.integers(0, n - 1)) for n in SHAPES[name])
    numbers = {}

    def off(gradient, dz):
        numbers["right"] = gradient[index]
        gradient[index] += data.draw(st.sampled_from([-1e-4, 1e-4])) * np.abs(gradient).max()
        numbers["wrong"] = gradient[index]
        return gradient

    with pytest.raises(GradientError) as caught:
        check_gradients(forward, planted(name, off), drawn(seed), rng=seed)
    error = caught.value
    assert (error.argument, error.index) == (name, index)
    assert error.got == numbers["wrong"]
    assert error.expected == pytest.approx(numbers["right"], rel=1e-5, abs=1e-8)
    message = str(error)
    assert f"the gradient of {name!r} is wrong at {list(index)}" in message
    assert f"got {error.got:.10g}, expected {error.expected:.10g}" in message
    assert f"1 of the {np.prod(SHAPES[name])} numbers of shape {SHAPES[name]}" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_found(value):
    def spoil(gradient, dz):
        gradient[2, 1] = value
        return gradient

    with pytest.raises(GradientError, match=rf"'x' is wrong at \[2, 1\]: got {value}, expected") as error:
        check_gradients(forward, planted("x", spoil), drawn(0))
    assert error.value.index == (2, 1) and not np.isfinite(error.value.got)
    with pytest.raises(GradientError):
        check_adjoint(forward, planted("x", spoil), drawn(0))


def test_the_worst_of_several_is_shown():
    def off(gradient, dz):
        gradient[0, 0] += 1
        gradient[1, 2] -= 3
        gradient[2, 1] += 2
        return gradient

    with pytest.raises(GradientError, match=r"'w' is wrong at \[1, 2\].*3 of the 9 numbers"):
        check_gradients(forward, planted("w", off), drawn(0))


@pytest.mark.parametrize("check", [check_gradients, check_adjoint])
@pytest.mark.parametrize(
    ("mistake", "argument", "message"),
    [
        (planted("b", lambda db, dz: dz), "b", "'b' has shape (4, 3), expected (3,)"),
        (planted("x", lambda dx, dz: dx.T), "x", "'x' has shape (3, 4), expected (4, 3)"),
        (planted("b", lambda db, dz: db.sum()), "b", "'b' has shape (), expected (3,)"),
        (
            lambda dy, cache: {"x": None, "w": None},
            "b",
            "returned no gradient of 'b'; the inputs are x, w, b",
        ),
        (lambda dy, cache: backward(dy, cache) | {"c": 0}, "c", "a gradient of an unknown 'c'"),
        (lambda dy, cache: (None, None), "x, w, b", "2 gradient(s), expected 3, for the inputs x, w, b"),
        (lambda dy, cache: dy, "x, w, b", "1 gradient(s), expected 3, for the inputs x, w, b"),
    ],
)
def test_gradients_of_the_wrong_form(check, mistake, argument, message):
    with pytest.raises(GradientError, match=re.escape(message)) as error:
        check(forward, mistake, drawn(0))
    assert error.value.argument == argument and error.value.index is None


def test_all_ones_hide_what_a_drawn_dy_finds():
    def softmax(x):
        return Softmax().forward(x)

    def zero(dy, cache):
        return np.zeros_like(dy)

    x = {"x": np.random.default_rng(0).standard_normal((3, 4))}
    check_gradients(softmax, zero, x, dy=np.ones((3, 4)))
    with pytest.raises(GradientError):
        check_gradients(softmax, zero, x)


# ---------------------------------------------------------------- what is right is not blamed


@given(seed=seeds)
def test_a_right_gradient_passes(seed):
    for check in (check_gradients, check_adjoint):
        check(forward, backward, drawn(seed), rng=seed)
        check(forward, lambda dy, cache: tuple(backward(dy, cache).values()), drawn(seed), rng=seed)


SMOOTH = {
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "root": (lambda x: np.sqrt(5 + x), lambda x: 0.5 / np.sqrt(5 + x)),
    "flat": (lambda x: 1e3 + 0 * x, lambda x: 0 * x),
}


@given(
    function=st.sampled_from(list(SMOOTH)),
    shape=st.lists(st.integers(1, 4), max_size=3),
    data=st.data(),
    exponent=st.integers(-6, 6),
    seed=seeds,
)
def test_functions_of_all_sizes_pass(function, shape, data, exponent, seed):
    """The tolerance follows the size of the gradient and, where that is near zero, of y."""
    (f, df), factor = SMOOTH[function], 10.0**exponent
    x = {"x": data.draw(distinct(tuple(shape)))}
    for check in (check_gradients, check_adjoint):
        check(lambda x: (factor * f(x), x), lambda dy, x: factor * dy * df(x), x, rng=seed)


def rescaled(x, w):
    return x * w + x, (x, w)


def rescaled_backward(dy, cache, mistake=0.0):
    x, w = cache
    return dy * (w + 1 + mistake * np.abs(w + 1).max()), dy * x


@given(shape=st.tuples(*[st.integers(1, 4)] * 2), data=st.data(), exponent=st.integers(-6, 6), seed=seeds)
def test_inputs_of_all_sizes_pass(shape, data, exponent, seed):
    """The step follows the size of x: a fixed one of 1e-6 would drown in x = 1e6."""
    inputs = {"x": data.draw(distinct(shape)) * 10.0**exponent, "w": data.draw(distinct(shape))}
    for check in (check_gradients, check_adjoint):
        check(rescaled, rescaled_backward, inputs, rng=seed)


@given(shape=st.tuples(*[st.integers(1, 4)] * 2), data=st.data(), exponent=st.integers(-6, 6), seed=seeds)
def test_mistakes_of_all_sizes_are_found(shape, data, exponent, seed):
    inputs = {"x": data.draw(distinct(shape)) * 10.0**exponent, "w": data.draw(distinct(shape))}
    with pytest.raises(GradientError, match="'x' is wrong"):
        check_gradients(rescaled, lambda dy, cache: rescaled_backward(dy, cache, 1e-4), inputs, rng=seed)


@given(exponent=st.integers(-6, 6), data=st.data(), seed=seeds)
def test_mistakes_in_functions_of_all_sizes_are_found(exponent, data, seed):
    x, factor = {"x": data.draw(distinct((2, 3)))}, 10.0**exponent

    def exponential(x):
        return factor * np.exp(x), x

    with pytest.raises(GradientError):
        check_gradients(exponential, lambda dy, x: 1.001 * factor * dy * np.exp(x), x, rng=seed)
    with pytest.raises(GradientError):
        check_adjoint(exponential, lambda dy, x: 2.0 * factor * dy * np.exp(x), x, rng=seed)


def test_a_scalar_function_passes_and_an_empty_input_too():
    inputs = {"x": np.arange(3.0), "nothing": np.empty((0, 2))}
    check_gradients(lambda x, n: ((x**2).sum(), x), lambda dy, x: (2 * dy * x, None), inputs)


def test_what_forward_and_backward_do_to_their_arguments_does_not_spoil_the_check():
    def in_place(x):
        x *= x
        return x, np.sqrt(x)

    def spoil(dy, root):
        dy *= 2 * root
        return dy

    x = np.array([1.0, 2.0, 3.0])
    check_gradients(in_place, spoil, {"x": x})
    np.testing.assert_array_equal(x, [1, 2, 3])


def test_a_given_dy_is_used():
    seen = []

    def watch(dy, cache):
        seen.append(dy)
        return backward(dy, cache)

    dy = np.random.default_rng(7).standard_normal((4, 3))
    check_gradients(forward, watch, drawn(0), dy)
    check_adjoint(forward, watch, drawn(0), dy)
    check_gradients(forward, watch, drawn(0), rng=1)
    check_gradients(forward, watch, drawn(0), rng=1)
    np.testing.assert_array_equal(seen[0], dy)
    np.testing.assert_array_equal(seen[1], dy)
    np.testing.assert_array_equal(seen[2], seen[3])
    assert np.unique(seen[2]).size == seen[2].size


@pytest.mark.parametrize("check", [check_gradients, check_adjoint])
def test_what_cannot_be_checked(check):
    with pytest.raises(TypeError, match="w must be a float64 array, found float32"):
        check(forward, backward, drawn(0) | {"w": np.ones((3, 3), np.float32)})
    with pytest.raises(TypeError, match="b must be a float64 array, found list"):
        check(forward, backward, drawn(0) | {"b": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"dy must have the shape \(4, 3\) of y, found \(3,\)"):
        check(forward, backward, drawn(0), dy=np.ones(3))
    with pytest.raises(ValueError, match="forward returned nan"):
        check(forward, backward, drawn(0) | {"b": np.array([0, np.nan, 0])})


# ---------------------------------------------------------------- layers and losses


@pytest.mark.parametrize("adjoint", [False, True])
def test_a_layer_is_left_as_it_was(adjoint):
    layer = Conv2d(2, 3, 2, rng=0)
    before = dict(layer.params)
    check_layer(layer, np.random.default_rng(0).standard_normal((2, 3, 4, 2)), adjoint=adjoint)
    with pytest.raises(ValueError):
        check_layer(layer, np.ones((2, 3, 4, 5)), adjoint=adjoint)
    assert layer.params.keys() == before.keys()
    assert all(layer.params[name] is array and array.dtype == np.float32 for name, array in before.items())


@pytest.mark.parametrize(
    ("argument", "shape"), [("x", (1, 3, 4, 2)), ("weight", (2, 2, 2, 3)), ("bias", (3,))]
)
def test_every_argument_of_a_layer_is_checked(argument, shape):
    class Wrong(Conv2d):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            ({"x": dx} | grads)[argument][...] *= 2
            return dx, grads

    x = np.random.default_rng(0).standard_normal((1, 3, 4, 2))
    with pytest.raises(GradientError) as error:
        check_layer(Wrong(2, 3, 2, rng=0), x)
    assert error.value.argument == argument and len(error.value.index) == len(shape)
    assert error.value.got == pytest.approx(2 * error.value.expected)
    with pytest.raises(GradientError):
        check_layer(Wrong(2, 3, 2, rng=0), x, adjoint=True)


def test_inputs_of_a_layer_are_numbered():
    class Wrong(Add):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return (dx[0], -dx[1], dx[2]), grads

    x = np.ones((1, 2, 2, 1))
    with pytest.raises(GradientError, match="'x1' is wrong"):
        check_layer(Wrong(), x, 2 * x, 3 * x)
    check_layer(Concat(), x, 2 * x, 3 * x)


def test_a_gradient_of_none_counts_as_zeros():
    class Wrong(Crop):
        def backward(self, dy, cache):
            (_, dlike), grads = super().backward(dy, cache)
            return (dlike, None), grads

    x = np.arange(9.0).reshape(1, 3, 3, 1)
    check_layer(Crop(1), x, x[:, :2, :2])
    with pytest.raises(GradientError, match=r"'x0' is wrong.* got 0, expected"):
        check_layer(Wrong(1), x, x[:, :2, :2])


def test_a_gradient_that_a_layer_forgets():
    class Forgetful(Linear):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return dx, {"weight": grads["weight"]}

    with pytest.raises(GradientError, match="returned no gradient of 'bias'"):
        check_layer(Forgetful(2, 3), np.ones((1, 2)))


@given(seed=seeds)
def test_a_layer_draws_the_same_random_numbers_in_every_evaluation(seed):
    x = np.random.default_rng(seed).standard_normal((2, 3, 3, 2))
    check_layer(Dropout(0.5), x, train=True, rng=seed)

    class Wrong(Dropout):
        def backward(self, dy, cache):
            return dy, {}

    with pytest.raises(GradientError):
        check_layer(Wrong(0.5), x, train=True, rng=seed)
    check_layer(Wrong(0.5), x, rng=seed)  # outside training that is right


def test_the_given_dy_of_a_layer():
    x = np.array([[-1.0, 2.0]])

    class Wrong(ReLU):
        def backward(self, dy, cache):
            return dy, {}

    check_layer(Wrong(), x, dy=np.array([[0.0, 1.0]]))
    with pytest.raises(GradientError, match=r"'x' is wrong at \[0, 0\]: got 3, expected 0"):
        check_layer(Wrong(), x, dy=np.array([[3.0, 1.0]]))


@given(data=st.data(), shape=st.tuples(*[st.integers(1, 3)] * 3), classes=st.integers(2, 4), seed=seeds)
def test_losses(data, shape, classes, seed):
    scores = data.draw(distinct((*shape, classes)))
    labels = np.random.default_rng(seed).integers(0, classes, shape).astype(np.uint8)
    check_loss(cross_entropy, scores, labels)
    check_loss(dice, scores, labels, squared=True)


def test_a_wrong_loss_and_its_options():
    scores = np.random.default_rng(0).standard_normal((1, 2, 2, 3))
    labels = np.array([[[0, 1], [2, 0]]], np.uint8)

    def wrong(scores, labels, reduction="mean", **options):
        value, dscores = cross_entropy(scores, labels, **options)
        return value, dscores * (labels.size if reduction == "sum" else 1)

    check_loss(wrong, scores, labels, reduction="mean")
    with pytest.raises(GradientError, match=r"'scores' is wrong at .*12 of the 12 numbers") as error:
        check_loss(wrong, scores, labels, reduction="sum")
    assert error.value.got == pytest.approx(4 * error.value.expected)
    with pytest.raises(GradientError, match=r"9 of the 12 numbers"):
        check_loss(wrong, scores, labels, reduction="sum", ignore_label=1)


# ---------------------------------------------------------------- without hypothesis


def test_only_the_cases_need_hypothesis():
    script = """
import sys
sys.modules["hypothesis"] = None
import minifcn.check
try:
    import minifcn.check.cases
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install hypothesis" in run.stdout
