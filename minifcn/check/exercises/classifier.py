"""Exercises of lesson 5: a fully connected layer, softmax and its loss, global average pooling, activation maps."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minifcn import losses, surgery
from minifcn.check.cases import simple
from minifcn.check.exercise import Exercise, Mistake
from minifcn.check.exercises.softmax_loss import cross_entropy, softmax
from minifcn.layers import GlobalAvgPool2d, Linear

__all__ = ["class_activation_map", "cross_entropy", "global_avg_pool_backward", "linear_backward", "softmax"]

BACK = 'lesson 5, "The way back"'
POOL = 'lesson 5, "Global average pooling"'
MAPS = 'lesson 5, "Class activation maps"'

SIZES = st.integers(1, 3)


def middling(**shapes: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


# ---------------------------------------------------------------- a fully connected layer


def products(dy, x, w):
    """Of y = x w + b."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


@st.composite
def layers(draw):
    N, C_in, C_out = draw(SIZES), draw(SIZES), draw(SIZES)
    shapes = {"dy": (N, C_out), "x": (N, C_in), "w": (C_in, C_out)}
    return {name: draw(simple(shape)) for name, shape in shapes.items()}


BATCH = "It is divided by the batch, and should not be: gradients are sums. The loss has put its 1/N into dy."

linear_backward = Exercise(
    name="linear_backward",
    lesson=5,
    reference=products,
    cases=layers(),
    returns=("dx", "dw", "db"),
    mistakes=(
        Mistake(
            "The bias is added to every row of the batch, so its gradient is the sum of dy over the rows.",
            BACK,
            lambda dy, x, w: (dy @ w.T, x.T @ dy, dy),
        ),
        Mistake(
            "Summed over the wrong axis: db has a number for each output, so the batch goes, which is axis 0.",
            BACK,
            lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum(axis=1)),
        ),
        Mistake(
            "All of dy is summed: each output has a bias of its own, so only the batch goes, which is axis 0.",
            BACK,
            lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum()),
        ),
        Mistake(
            BATCH,
            BACK,
            lambda dy, x, w: tuple(part / len(x) for part in (dy @ w.T, x.T @ dy, dy.sum(axis=0))),
        ),
        *(
            Mistake(
                "Only one row of the batch counts: add over all of them. Is there an = where += is meant?",
                BACK,
                lambda dy, x, w, n=n: (dy @ w.T, np.outer(x[n], dy[n]), dy[n]),
            )
            for n in (0, -1)
        ),
        Mistake(
            "Rows and columns of the weight are swapped: dw has the shape of w, (inputs, outputs). That is xᵀ dy.",
            BACK,
            lambda dy, x, w: (dy @ w.T, dy.T @ x, dy.sum(axis=0)),
        ),
        Mistake(
            "The weight is not transposed: on the way back, input i collects w[i, k] from every output k.",
            BACK,
            lambda dy, x, w: (dy @ w, x.T @ dy, dy.sum(axis=0)),
        ),
        Mistake(
            "The sums of x and dy are multiplied: multiply row by row first, then add.",
            BACK,
            lambda dy, x, w: (dy @ w.T, np.outer(x.sum(axis=0), dy.sum(axis=0)), dy.sum(axis=0)),
        ),
    ),
    hints=(
        "Write one output as a sum: y[n, k] = sum over i of x[n, i] w[i, k], plus b[k]. Who reads x[n, i]? Who"
        " reads w[i, k]?",
        "x[n, i] is read by every output k: dx[n, i] is a sum over k. w[i, k] is used in every row n: dw[i, k] is a"
        " sum over n. b[k] too.",
        "Two matrix products and a sum. There is only one way to multiply dy and w that gives the shape of x.",
    ),
    source=Linear.backward,
    sample=middling(dy=(64, 100), x=(64, 400), w=(400, 100)),
)


# ---------------------------------------------------------------- global average pooling, activation maps


def shared_out(dy, input_shape):
    dx, _ = GlobalAvgPool2d().backward(dy, input_shape)
    return dx


@st.composite
def pooled(draw):
    shape = tuple(draw(st.integers(1, most)) for most in (2, 3, 3, 2))
    return {"dy": draw(simple((shape[0], shape[3]))), "input_shape": shape}


def _divided(number):
    return lambda dy, input_shape: np.broadcast_to(dy[:, None, None] / number(*input_shape), input_shape)


def _at_first(dy, input_shape):
    dx = np.zeros(input_shape)
    dx[:, 0, 0] = dy
    return dx


global_avg_pool_backward = Exercise(
    name="global_avg_pool_backward",
    lesson=5,
    reference=shared_out,
    cases=pooled(),
    returns=("dx",),
    mistakes=(
        Mistake(
            "It is not divided: each pixel has a share of 1 / (H W) in the mean.",
            POOL,
            _divided(lambda N, H, W, C: 1),
        ),
        *(
            Mistake(
                "The mean is over H W pixels: divide by H W, no more and no less.", POOL, _divided(number)
            )
            for number in (
                lambda N, H, W, C: H * W * C,
                lambda N, H, W, C: N * H * W,
                lambda N, H, W, C: N * H * W * C,
                lambda N, H, W, C: H,
                lambda N, H, W, C: W,
                lambda N, H, W, C: H + W,
            )
        ),
        Mistake("All of it goes to one pixel: every pixel has the same share.", POOL, _at_first),
    ),
    hints=(
        "y[n, c] is the sum of all x[n, i, j, c], divided by how many there are. What is dy/dx?",
        "Every pixel of image n and channel c gets the same number: dy[n, c] / (H * W).",
    ),
    source=GlobalAvgPool2d.backward,
    sample=middling(dy=(8, 64)) | {"input_shape": (8, 14, 14, 64)},
)


def weighted_maps(features, weight):
    return features @ weight


@st.composite
def trunks(draw):
    H, W, C, K = draw(SIZES), draw(SIZES), draw(SIZES), draw(SIZES)
    return {"features": draw(simple((H, W, C))), "weight": draw(simple((C, K)))}


def _stretched(axes):
    def wrong(features, weight):
        maps = features @ weight
        low, high = maps.min(axis=axes, keepdims=True), maps.max(axis=axes, keepdims=True)
        return (maps - low) / np.where(high > low, high - low, 1)

    return wrong


class_activation_map = Exercise(
    name="class_activation_map",
    lesson=5,
    reference=weighted_maps,
    cases=trunks(),
    returns=("maps",),
    mistakes=(
        Mistake(
            "These are the scores: do not take the mean over the image, the places are what the map is for.",
            MAPS,
            lambda features, weight: features.mean(axis=(0, 1)) @ weight,
        ),
        Mistake(
            "It is divided by H W: the mean of the map is to be the score, so the map itself is not divided.",
            MAPS,
            lambda features, weight: features @ weight / features[..., 0].size,
        ),
        Mistake(
            "The weight is transposed: weight[k, c] says how much feature k speaks for class c.",
            MAPS,
            lambda features, weight: features @ weight.T,
        ),
        Mistake(
            "Sums are multiplied: multiply each feature with its own weight first, then add over the features.",
            MAPS,
            lambda features, weight: features.sum(axis=2, keepdims=True) * weight.sum(axis=0),
        ),
        Mistake(
            "Negative numbers are cut off: they speak against the class, and the mean needs them.",
            MAPS,
            lambda features, weight: np.maximum(features @ weight, 0),
        ),
        *(
            Mistake(
                "It is stretched to run from 0 to 1, as for a picture: then its mean is no score any more.",
                MAPS,
                _stretched(axes),
            )
            for axes in ((0, 1), None)
        ),
        Mistake(
            "A softmax is in it: the map is made of scores, which may be any number.",
            MAPS,
            lambda features, weight: losses.softmax(features @ weight),
        ),
    ),
    hints=(
        "The score of class c is the mean over the image of a weighted sum of features. Leave out the mean.",
        "At one place it is features[i, j] @ weight, which has K numbers. And at all places at once?",
    ),
    source=surgery.class_activation_maps,
    sample=middling(features=(14, 14, 64), weight=(64, 20)),
)
