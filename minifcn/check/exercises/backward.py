"""Lesson 3: the gradients of a convolution by hand, and the numerical gradient that they are checked with."""

import numpy as np
from hypothesis import strategies as st

from minifcn.check.cases import simple
from minifcn.check.exercise import Exercise
from minifcn.check.exercises.convolution_gradients import (
    BACKWARD_MISTAKES,
    BIAS_MISTAKES,
    INPUT_MISTAKES,
    WEIGHT_MISTAKES,
    backward,
    bias_backward,
    input_backward,
    weight_backward,
    window_of,
)
from minifcn.check.exercises.numerical import numerical_gradient
from minifcn.kernels.im2col import input_gradient, weight_gradient
from minifcn.layers.conv import Conv2d

__all__ = [
    "conv2d_backward",
    "conv2d_bias_backward",
    "conv2d_input_backward",
    "conv2d_weight_backward",
    "numerical_gradient",
]


@st.composite
def convolutions(draw, most_groups=1):
    """x, w and dy that belong together, and the options: kernels up to 3x3, at most 3 x 3 places or so."""
    kernel_size, place = [draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2)]
    stride, padding, dilation = (draw(st.integers(*limits)) for limits in ((1, 3), (0, 2), (1, 2)))
    groups = draw(st.integers(1, most_groups))
    N, C_in, C_out = (draw(st.integers(1, 2)) for _ in range(3))
    rest = draw(st.integers(0, stride - 1))
    reach = [(n - 1) * stride + dilation * (k - 1) + 1 + rest for n, k in zip(place, kernel_size)]
    H, W = (max(1, n - 2 * padding) for n in reach)
    Ho, Wo = window_of(kernel_size, stride, padding, dilation).output_size((H, W))
    return {
        "dy": draw(simple((N, Ho, Wo, C_out * groups))),
        "x": draw(simple((N, H, W, C_in * groups))),
        "w": draw(simple((*kernel_size, C_in, C_out * groups))),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }


def _weight_case(case):
    return {"dy": case["dy"], "x": case["x"], "kernel_size": case["w"].shape[:2], **_options(case)}


def _input_case(case):
    return {"dy": case["dy"], "w": case["w"], "input_shape": case["x"].shape, **_options(case)}


def _options(case):
    return {name: case[name] for name in ("stride", "padding", "dilation")}


def _sample(groups):
    rng = np.random.default_rng(0)
    shapes = {"dy": (4, 16, 16, 16), "x": (4, 32, 32, 8), "w": (3, 3, 8 // groups, 16)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return {**arrays, "stride": 2, "padding": 1, "dilation": 1, "groups": groups}


SAMPLE = _sample(groups=1)


conv2d_bias_backward = Exercise(
    name="conv2d_bias_backward",
    lesson=3,
    reference=bias_backward,
    cases=convolutions().map(lambda case: {"dy": case["dy"]}),
    returns=("db",),
    mistakes=BIAS_MISTAKES,
    hints=(
        "Through how many numbers of y does one number of the bias reach the loss?",
        "y[n, i, j, o] = … + b[o]: so db[o] is the sum of dy[n, i, j, o] over n, i and j.",
        "dy.sum(axis=…) takes several axes at once: (0, 1, 2).",
    ),
    source=bias_backward,
    sample={"dy": SAMPLE["dy"]},
)

conv2d_weight_backward = Exercise(
    name="conv2d_weight_backward",
    lesson=3,
    reference=weight_backward,
    cases=convolutions().map(_weight_case),
    returns=("dw",),
    mistakes=WEIGHT_MISTAKES,
    hints=(
        "Look at the picture of the matrix product: which two matrices give dW, and what are their shapes?",
        "Make matrices: the patches as (N Ho Wo, kh kw C_in), dy as (N Ho Wo, C_out).",
        "dw = patches.T @ dy, reshaped to (kh, kw, C_in, C_out). By loops: dw[u, v] += the outer product of"
        " x[n, i * stride + u * dilation - padding, …] and dy[n, i, j], for all n, i, j.",
    ),
    source=weight_gradient,
    sample=_weight_case(SAMPLE),
)

conv2d_input_backward = Exercise(
    name="conv2d_input_backward",
    lesson=3,
    reference=input_backward,
    cases=convolutions().map(_input_case),
    returns=("dx",),
    mistakes=INPUT_MISTAKES,
    hints=(
        "In forward, w[u, v] met pixel i * stride + u * dilation of the padded image. Where does dy[i] go then?",
        "Start with zeros as large as the padded image, go through all places and taps, and add. At the end, cut"
        " the border off.",
        "padded[:, i * stride + u * dilation, j * stride + v * dilation] += dy[:, i, j] @ w[u, v].T, then"
        " padded[:, padding : padding + H, padding : padding + W].",
    ),
    source=input_gradient,
    sample=_input_case(SAMPLE),
)

conv2d_backward = Exercise(
    name="conv2d_backward",
    lesson=3,
    reference=backward,
    cases=convolutions(most_groups=2),
    returns=("dx", "dw", "db"),
    mistakes=BACKWARD_MISTAKES,
    hints=(
        "With one group you are done: call your three functions. First see that this is right.",
        "With groups, cut x, dy and w into parts along their last axis (np.split), and go through the parts.",
        "dx and dw are the parts side by side again, np.concatenate(parts, axis=-1); db needs no parts.",
    ),
    source=Conv2d.backward,
    sample=_sample(groups=2),
)
