"""Two small exercises, to test the checker with: gradients of a convolution, and a map from images to images."""

import numpy as np
from hypothesis import strategies as st

from minifcn.check.cases import arguments, distinct, simple
from minifcn.check.exercise import Exercise, Mistake

VALUES = np.array([1.0, 2, -1, 3, -2])


def backward(dy, x, stride):
    """dw[u, v, c, o] and db[o] of a convolution with a kernel of 2x2, with plain loops."""
    dw = np.zeros((2, 2, x.shape[3], dy.shape[3]))
    for n, i, j in np.ndindex(dy.shape[:3]):
        for u, v in np.ndindex(2, 2):
            dw[u, v] += np.outer(x[n, i * stride + u, j * stride + v], dy[n, i, j])
    return dw, dy.sum(axis=(0, 1, 2))


def flipped(dy, x, stride):
    dw, db = backward(dy, x, stride)
    return dw[::-1, ::-1], db


def stride_ignored(dy, x, stride):
    return backward(dy, x, 1)


def one_image(dy, x, stride):
    return backward(dy[:1], x[:1], stride)


@st.composite
def cases(draw):
    n, c_in, c_out, stride, h, w = (draw(st.integers(1, most)) for most in (2, 2, 2, 2, 3, 3))
    x = simple((n, (h - 1) * stride + 2, (w - 1) * stride + 2, c_in), VALUES)
    return {"dy": draw(simple((n, h, w, c_out), VALUES)), "x": draw(x), "stride": stride}


def large():
    rng = np.random.default_rng(0)
    return {"dy": rng.standard_normal((2, 6, 6, 3)), "x": rng.standard_normal((2, 7, 7, 2)), "stride": 1}


toy = Exercise(
    name="toy",
    lesson=3,
    reference=backward,
    cases=cases(),
    returns=("dw", "db"),
    mistakes=(
        Mistake(
            "The kernel is flipped: nothing is flipped in deep learning.", 'lesson 2, "No flip"', flipped
        ),
        Mistake("The stride is ignored.", 'lesson 3, "Strides"', stride_ignored),
        Mistake("Only the first image counts.", 'lesson 3, "Batches"', one_image),
    ),
    hints=("Write the forward pass as a sum.", "Which products does dw[u, v] take part in?"),
    source=backward,
    sample=large(),
)


def of_dw(change):
    """The right function, but for dw: change(dw, dy, x)."""

    def function(dy, x, stride):
        dw, db = backward(dy, x, stride)
        return change(dw, dy, x), db

    return function


def images():
    return arguments(x=distinct((2, 4, 5, 2)))


def smooth(x):
    return np.cumsum(np.cumsum(x, axis=1), axis=2) / 3


places = Exercise(name="places", lesson=1, reference=smooth, cases=images(), returns=("y",), rtol=1e-9)
