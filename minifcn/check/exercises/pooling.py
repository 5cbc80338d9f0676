"""Exercises of lesson 4: the rectifier, the two poolings and their gradients, the receptive field of a stack."""

from math import prod

import numpy as np
from hypothesis import strategies as st

from minifcn import geometry
from minifcn.check.cases import arguments, simple
from minifcn.check.exercise import Exercise, Mistake
from minifcn.check.exercises.pooling_gradients import (
    avg_pool2d_backward,
    max_pool2d_backward,
    middling,
    pooled,
)
from minifcn.layers import MaxPool2d, ReLU

__all__ = ["avg_pool2d_backward", "max_pool2d", "max_pool2d_backward", "receptive_field", "relu_backward"]

RELU = 'lesson 4, "A gate"'
LARGEST = 'lesson 4, "The largest"'
FIELD = 'lesson 4, "How far a pixel sees"'


# ---------------------------------------------------------------- the rectifier


def gated(dy, x):
    return ReLU().backward(dy, np.maximum(x, 0))[0]


@st.composite
def signals(draw):
    shape = tuple(draw(st.integers(1, most)) for most in (2, 3))
    values = np.array([1.0, -1.0, 2.0, -2.0, 0.0, 3.0])
    return {name: draw(simple(shape, values)) for name in ("dy", "x")}


relu_backward = Exercise(
    name="relu_backward",
    lesson=4,
    reference=gated,
    cases=signals(),
    returns=("dx",),
    mistakes=(
        Mistake(
            "The gate is missing: where x was negative, y did not change with x, and nothing comes back.",
            RELU,
            lambda dy, x: dy,
        ),
        Mistake(
            "The gate is taken from dy: whether a path is open was decided in forward, by the sign of x.",
            RELU,
            lambda dy, x: dy * (dy > 0),
        ),
        Mistake(
            "The gate is upside down: what passes is the gradient where x was positive.",
            RELU,
            lambda dy, x: dy * (x <= 0),
        ),
        Mistake(
            "The gate is upside down: what passes is the gradient where x was positive.",
            RELU,
            lambda dy, x: dy * (x < 0),
        ),
        Mistake(
            "Where x is exactly 0 the gate is closed here, as in all libraries: x > 0, not x >= 0.",
            RELU,
            lambda dy, x: dy * (x >= 0),
        ),
        Mistake(
            "It is the slope of the rectifier alone. The chain rule multiplies it by dy.",
            RELU,
            lambda dy, x: 1.0 * (x > 0),
        ),
        Mistake(
            "dy is multiplied by the value max(0, x). The slope is 1 where x is positive, whatever x is.",
            RELU,
            lambda dy, x: dy * np.maximum(x, 0),
        ),
    ),
    hints=(
        "How much does max(0, x) grow, if x grows a little? For x = 3? For x = -3?",
        "Make an array of true and false from x, and multiply dy by it.",
    ),
    source=ReLU.backward,
    sample={"dy": middling(8, 64, 64, 16), "x": middling(8, 64, 64, 16)[::-1].copy()},
)


# ---------------------------------------------------------------- pooling, forward


def windows(x, kernel_size, stride):
    """All windows of x (N, H, W, C), without a copy: (N, Ho, Wo, C, k, k)."""
    sliding = np.lib.stride_tricks.sliding_window_view(x, (kernel_size, kernel_size), axis=(1, 2))
    return sliding[:, ::stride, ::stride]


def largest(x, kernel_size, stride):
    return MaxPool2d(kernel_size, stride).forward(x)[0]


max_pool2d = Exercise(
    name="max_pool2d",
    lesson=4,
    reference=largest,
    cases=pooled(None),
    returns=("y",),
    mistakes=(
        Mistake(
            "The stride is ignored: window i begins at row i * stride.",
            LARGEST,
            lambda x, kernel_size, stride: largest(x, kernel_size, 1),
        ),
        Mistake(
            "The stride is taken to be the kernel size. Often it is, but windows may overlap or leave gaps.",
            LARGEST,
            lambda x, kernel_size, stride: largest(x, kernel_size, kernel_size),
        ),
        Mistake(
            "The search begins with 0, so a window of negative numbers gives 0. Begin with -inf, or with a pixel.",
            LARGEST,
            lambda x, kernel_size, stride: np.maximum(largest(x, kernel_size, stride), 0),
        ),
        Mistake(
            "It is the mean of each window, not its largest number.",
            LARGEST,
            lambda x, kernel_size, stride: windows(x, kernel_size, stride).mean(axis=(4, 5)),
        ),
        Mistake(
            "It is the smallest number of each window, not the largest.",
            LARGEST,
            lambda x, kernel_size, stride: windows(x, kernel_size, stride).min(axis=(4, 5)),
        ),
        Mistake(
            "The largest over all channels is taken. Pooling treats each channel on its own.",
            LARGEST,
            lambda x, kernel_size, stride: np.repeat(
                largest(x, kernel_size, stride).max(axis=3, keepdims=True), x.shape[3], axis=3
            ),
        ),
        Mistake(
            "A window that sticks out of the image counts. It does not, here: round the number of windows down.",
            LARGEST,
            lambda x, kernel_size, stride: MaxPool2d(kernel_size, stride, ceil_mode=True).forward(x)[0],
        ),
    ),
    hints=(
        "How many windows fit into H rows? The last one begins at (Ho - 1) * stride and needs kernel_size rows.",
        "x[:, i * stride : i * stride + kernel_size, j * stride : j * stride + kernel_size] is window (i, j) of all"
        " images and channels. Over which axes is its maximum?",
    ),
    source=MaxPool2d.forward,
    sample={"x": middling(4, 64, 64, 16), "kernel_size": 2, "stride": 2},
)


# ---------------------------------------------------------------- the receptive field


def field_and_stride(layers):
    """Layer by layer: what lies between two pixels here, and how many pixels of the image are seen."""
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride *= step
    return size, stride


def _late(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        stride *= step
        size += (kernel - 1) * stride
    return size, stride


def _added(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride += step
    return size, stride


def _strides(layers):
    return prod(step for _, step in layers)


receptive_field = Exercise(
    name="receptive_field",
    lesson=4,
    reference=field_and_stride,
    cases=arguments(layers=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=5)),
    returns=("size", "stride"),
    mistakes=(
        Mistake(
            "The strides are left out: a step of a later layer is as many pixels of the image as the product of all"
            " strides before it.",
            FIELD,
            lambda layers: (1 + sum(kernel - 1 for kernel, _ in layers), _strides(layers)),
        ),
        Mistake(
            "The layer's own stride is counted too early: its kernel reaches over pixels of the layer before, which"
            " lie as far apart as the strides before it say.",
            FIELD,
            _late,
        ),
        Mistake(
            "The kernels are added up as they are. Each but the first widens the view by its size less one.",
            FIELD,
            lambda layers: (sum(kernel for kernel, _ in layers), _strides(layers)),
        ),
        Mistake(
            "The pixel itself is missing: begin with a field of 1.",
            FIELD,
            lambda layers: (field_and_stride(layers)[0] - 1, _strides(layers)),
        ),
        Mistake(
            "The kernels are multiplied. The view of two layers of 3 is 5 wide, not 9.",
            FIELD,
            lambda layers: (prod(kernel for kernel, _ in layers), _strides(layers)),
        ),
        Mistake("Strides are added; they multiply: half of a half is a quarter.", FIELD, _added),
        Mistake(
            "The layers are taken from the last to the first, with the rule for first to last.",
            FIELD,
            lambda layers: field_and_stride(layers[::-1]),
        ),
    ),
    hints=(
        "Begin with one layer of kernel k: its pixel sees k pixels. Put a layer of 3 on top: two more pixels of"
        " the first layer. How far apart are these in the image?",
        "Keep two numbers, size = 1 and stride = 1, and go from the first layer to the last.",
        "size grows by (kernel - 1) times the stride so far; then the stride is multiplied.",
    ),
    source=geometry._compose,
    rtol=1e-9,
)
