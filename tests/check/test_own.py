"""check.gradients: the same three answers for a forward and a backward of one's own."""

import numpy as np
import pytest
from hypothesis import strategies as st

from minifcn import check
from minifcn.check.cases import arguments, distinct

X = np.random.default_rng(0).standard_normal((3, 4))
W = np.random.default_rng(1).standard_normal((4, 2))


def forward(x, w):
    y = np.tanh(x @ w)
    return y, (x, w, y)


def backward(dy, cache):
    x, w, y = cache
    dz = dy * (1 - y * y)
    return dz @ w.T, x.T @ dz


def checked(forward=forward, backward=backward, inputs=None):
    return check.gradients(forward, backward, {"x": X, "w": W} if inputs is None else inputs)


@pytest.mark.parametrize("box", [tuple, list, lambda parts: {"w": parts[1], "x": parts[0]}])
def test_right_gradients_are_right(box):
    answer = checked(backward=lambda dy, cache: box(backward(dy, cache)))
    assert answer.text == "gradients: right, in the one case tried, up to x (3, 4)."


def test_none_stands_for_zeros():
    assert checked(lambda x, w: (x.copy(), None), lambda dy, cache: (dy, None)).right
    assert checked(backward=lambda dy, cache: (backward(dy, cache)[0], None)).diagnosis == (
        "dw is all zeros.",
    )


@pytest.mark.parametrize("inputs", [{"x": X.astype(np.float32)}, {"x": X.tolist()}, {"x": [1, 2]}, {"x": 3}])
def test_inputs_may_be_any_numbers(inputs):
    assert checked(lambda x: (x * x, x), lambda dy, x: 2 * dy * x, inputs).right


def test_the_edge_of_a_rectifier_does_not_count():
    inputs = {"x": np.array([0.0, 1.0, -1.0, 0.0])}

    def rectified(x):
        return np.maximum(x, 0), x

    assert checked(rectified, lambda dy, x: dy * (x > 0), inputs).right
    assert checked(rectified, lambda dy, x: dy * (x >= 0), inputs).right
    assert checked(rectified, lambda dy, x: -dy * (x > 0), inputs).diagnosis == ("The sign of dx is wrong.",)


def test_dy_is_no_random_numbers_that_others_draw_with_a_common_seed():
    """Otherwise a backward that takes x for dy would be right."""
    for seed in range(100):
        x = np.random.default_rng(seed).standard_normal((3, 4))
        assert not checked(lambda x: (x * 1, x), lambda dy, x: x, {"x": x}).right


MISTAKES = {
    "The sign of dx is wrong.": lambda dx, dw: (-dx, dw),
    "dw is divided by len(x), and should not be: a mean where the sum is asked.": None,
    "dx is what dw should be. Are they swapped?": None,
    "dw has the right numbers, in another shape.": lambda dx, dw: (dx, dw.ravel()),
    "dx is 2 times what it should be.": lambda dx, dw: (2 * dx, dw),
}


@pytest.mark.parametrize("says", [says for says, change in MISTAKES.items() if change])
def test_general_mistakes_are_named(says):
    assert checked(backward=lambda dy, cache: MISTAKES[says](*backward(dy, cache))).diagnosis == (says,)


def test_a_mean_is_named_when_the_batch_varies():
    inputs = st.integers(1, 3).flatmap(lambda n: arguments(x=distinct((n, 4)), w=distinct((4, 2))))

    def mean(dy, cache):
        dx, dw = backward(dy, cache)
        return dx, dw / len(dx)

    answer = checked(backward=mean, inputs=inputs)
    assert answer.diagnosis == ("dw is divided by len(x), and should not be: a mean where the sum is asked.",)
    assert answer.trial.case["x"].shape == (2, 4)


def test_the_smallest_case_of_a_strategy_is_shown():
    inputs = st.integers(1, 5).flatmap(lambda n: arguments(x=distinct((n,))))
    answer = checked(lambda x: (x**3, x), lambda dy, x: 3 * dy * x * x * (len(x) < 3), inputs)
    assert "The smallest case:\n    x, shape (3,):" in answer.text
    assert "    dy, shape (3,):" in answer.text


def stub(*arguments):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("forward", "backward"),
    [(None, backward), (forward, ...), (stub, backward), (forward, stub), (forward, lambda dy, cache: None)],
)
def test_what_is_not_there_is_not_attempted(forward, backward):
    answer = checked(forward, backward)
    assert answer.state == "not attempted"


def changing(x, w):
    x += 1
    return x @ w, None


def raising(*arguments):
    raise ValueError("no")


def endless(*arguments):
    while True:
        pass


FAULTS = {
    "forward is an int; a function is expected.": (3, backward),
    "forward returns an ndarray; a tuple (y, cache) is expected.": (lambda x, w: x @ w, backward),
    "forward returns a tuple of 3; a tuple (y, cache) is expected.": (lambda x, w: (x, w, x), backward),
    "forward returns a str as y; an array is expected.": (lambda x, w: ("y", None), backward),
    "forward returns y in float32.": (lambda x, w: ((x @ w).astype(np.float32), None), backward),
    "forward returns a y that is not finite": (lambda x, w: (x @ w / 0, None), backward),
    "forward raises ValueError: no": (raising, backward),
    "forward changes x, which the caller may still need.": (changing, backward),
    "backward raises TypeError": (forward, lambda dy: dy),
    "backward returns an int; (dx, dw) is expected.": (forward, lambda dy, cache: 3),
    "backward returns a dict; (dx, dw) is expected.": (forward, lambda dy, cache: {"z": 1, "w": 2}),
    "dx is a str": (forward, lambda dy, cache: ("text", "text")),
    "dw[0, 0] is NaN": (forward, lambda dy, cache: (backward(dy, cache)[0], np.full((4, 2), np.nan))),
    "backward changes dy,": (forward, lambda dy, cache: (backward(dy, cache), dy.fill(0))[0]),
}


@pytest.mark.parametrize("says", FAULTS)
def test_whatever_goes_wrong_is_said(says):
    forward, backward = FAULTS[says]
    answer = check.gradients(forward, backward, {"x": X, "w": W})
    assert answer.state == "wrong"
    assert says in answer.text
    assert answer._repr_html_()


def test_endless_loops_end(monkeypatch):
    monkeypatch.setattr(check.guard, "LIMIT", 0.2)
    assert "forward had not returned" in checked(forward=endless).text
    assert "backward had not returned" in checked(backward=endless).text


@pytest.mark.parametrize(
    "inputs", [3, None, {}, {"x": "text"}, {"x": None}, {3: X}, [X], st.just(3)], ids=repr
)
def test_inputs_that_are_none(inputs):
    answer = check.gradients(forward, backward, inputs)
    assert answer.state == "wrong" and "inputs are arrays of numbers by name" in answer.text
