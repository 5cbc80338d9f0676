"""Exercises of lesson 4: the gradients of max and average pooling."""

from functools import partial
from math import prod

import numpy as np
from hypothesis import strategies as st

from minifcn.check.cases import simple
from minifcn.check.exercise import Exercise, Mistake
from minifcn.layers import AvgPool2d, MaxPool2d

WINNER = 'lesson 4, "The winner takes it all"'
MEAN = 'lesson 4, "The mean shares"'


def middling(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@st.composite
def pooled(draw, gradient):
    """Windows that touch, overlap, leave gaps, or leave a rest at the border; equal numbers are frequent."""
    k, s = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    N, Ho, Wo, C = (draw(st.integers(1, most)) for most in (2, 3, 3, 2))
    H, W = ((n - 1) * s + k + draw(st.integers(0, s - 1)) for n in (Ho, Wo))
    x = draw(simple((N, H, W, C), np.array([1.0, -1.0, 2.0, 0.0, -3.0, 4.0])))
    options = {"kernel_size": k, "stride": s}
    if gradient is None:
        return {"x": x} | options
    dy = draw(simple((N, Ho, Wo, C)))
    return {"dy": dy, **({"x": x} if gradient == "max" else {"input_shape": x.shape}), **options}


def hand_back(dy, shape, k, s, share, add=True):
    """dx, where share(n, i, j) says how dy[n, i, j] is divided among the k x k pixels of its window."""
    dx = np.zeros(shape)
    for n, i, j in np.ndindex(dy.shape[:3]):
        place = (n, slice(i * s, i * s + k), slice(j * s, j * s + k))
        part = share(n, i, j) * dy[n, i, j]
        dx[place] = dx[place] + part if add else part
    return dx


def to_winner(dy, x, kernel_size, stride):
    layer = MaxPool2d(kernel_size, stride)
    return layer.backward(dy, layer.forward(x)[1])[0]


def _winners(x, k, s, which):
    """The share of each pixel of a window, by `which`(window (k, k, C)) -> (k, k, C)."""
    return lambda n, i, j: which(x[n, i * s : i * s + k, j * s : j * s + k])


def _first(window, last=False):
    flat = window.reshape(-1, window.shape[-1])
    order = flat[::-1] if last else flat
    index = order.argmax(axis=0)
    index = len(flat) - 1 - index if last else index
    return (np.arange(len(flat))[:, None] == index).reshape(window.shape).astype(float)


def _ties(window):
    return 1.0 * (window == window.max(axis=(0, 1)))


def _fair(window):
    return _ties(window) / _ties(window).sum(axis=(0, 1))


def _transposed(window):
    return _first(window).transpose(1, 0, 2)


def _wrong_winner(which, add=True, stride=None):
    def backward(dy, x, kernel_size, stride_asked):
        s = stride_asked if stride is None else stride(kernel_size)
        share = _winners(x, kernel_size, stride_asked, which)
        if s == stride_asked:
            return hand_back(dy, x.shape, kernel_size, s, share, add)
        rows = [(n - 1) * s + kernel_size for n in dy.shape[1:3]]  # it may reach out of the image
        shape = (x.shape[0], *map(max, rows, x.shape[1:3]), x.shape[3])
        return hand_back(dy, shape, kernel_size, s, share, add)[:, : x.shape[1], : x.shape[2]]

    return backward


def _last_gradient(dy, x, kernel_size, stride):
    """A pixel that wins in several windows keeps the gradient of the last one."""
    dx, share = np.zeros(x.shape), _winners(x, kernel_size, stride, _first)
    for n, i, j in np.ndindex(dy.shape[:3]):
        window = dx[n, i * stride : i * stride + kernel_size, j * stride : j * stride + kernel_size]
        won = share(n, i, j) > 0
        window[won] = np.broadcast_to(dy[n, i, j], window.shape)[won]
    return dx


def _without_the_last(dy, x, kernel_size, stride):
    inner = dy.copy()
    inner[:, -1], inner[:, :, -1] = 0, 0
    return to_winner(inner, x, kernel_size, stride)


def _own_channel_lost(dy, x, kernel_size, stride):
    """The winner is looked for among all channels at once."""

    def share(n, i, j):
        window = x[n, i * stride : i * stride + kernel_size, j * stride : j * stride + kernel_size]
        return 1.0 * (np.arange(window.size) == window.argmax()).reshape(window.shape)

    return hand_back(dy, x.shape, kernel_size, stride, share)


OVERLAP = "Where windows overlap, gradients are overwritten: a pixel that wins twice gets both, so add (+=)."

max_pool2d_backward = Exercise(
    name="max_pool2d_backward",
    lesson=4,
    reference=to_winner,
    cases=pooled("max"),
    returns=("dx",),
    mistakes=(
        Mistake(
            "The gradient goes to every pixel that equals the maximum. One of them gets it: the first, row by row.",
            WINNER,
            _wrong_winner(_ties),
        ),
        Mistake(
            "Equal pixels share the gradient. One of them gets all of it: the first, row by row.",
            WINNER,
            _wrong_winner(_fair),
        ),
        Mistake(
            "Of equal pixels the last one gets the gradient. Here it is the first, row by row.",
            WINNER,
            _wrong_winner(partial(_first, last=True)),
        ),
        Mistake(
            "The gradient is spread evenly over the window, as average pooling does. The maximum gets all of it.",
            WINNER,
            _wrong_winner(lambda window: np.full(window.shape, 1 / prod(window.shape[:2]))),
        ),
        Mistake(
            "Every pixel of the window gets the gradient. Only the maximum does: y does not depend on the others.",
            WINNER,
            _wrong_winner(np.ones_like),
        ),
        Mistake(OVERLAP, WINNER, _wrong_winner(_first, add=False)),
        Mistake(OVERLAP, WINNER, _last_gradient),
        Mistake(
            "It goes to the first pixel of the window, wherever the maximum stands.",
            WINNER,
            _wrong_winner(lambda window: _first(np.zeros_like(window))),
        ),
        Mistake(
            "Row and column of the maximum are swapped inside the window: argmax = row * kernel_size + column.",
            WINNER,
            _wrong_winner(_transposed),
        ),
        Mistake(
            "The windows are laid side by side: window i begins at i * stride, not at i * kernel_size.",
            WINNER,
            _wrong_winner(_first, stride=lambda kernel_size: kernel_size),
        ),
        Mistake(
            "The stride is ignored: window i begins at i * stride, not at i.",
            WINNER,
            _wrong_winner(_first, stride=lambda kernel_size: 1),
        ),
        Mistake(
            "One winner is looked for among all channels. Each channel has its own.",
            WINNER,
            _own_channel_lost,
        ),
        Mistake(
            "The last row and column of windows get nothing: loop over all of dy.",
            WINNER,
            _without_the_last,
        ),
    ),
    hints=(
        "y[i, j] equals one pixel of its window. If another pixel moves a bit, y does not. So who gets dy[i, j]?",
        "For each window and channel: np.argmax of the flattened window gives the first maximum, and divmod its row"
        " and column.",
        "dx starts as zeros; a pixel may win in several windows, so add.",
    ),
    source=MaxPool2d.backward,
    sample={
        "dy": middling(1, 16, 16, 8),
        "x": middling(1, 32, 32, 8),
        "kernel_size": 2,
        "stride": 2,
    },
)


def shared_out(dy, input_shape, kernel_size, stride):
    return AvgPool2d(kernel_size, stride).backward(dy, input_shape)[0]


def _even(divisor, add=True):
    def backward(dy, input_shape, kernel_size, stride):
        share = 1 / divisor(kernel_size)
        return hand_back(dy, input_shape, kernel_size, stride, lambda n, i, j: share, add)

    return backward


def _per_pixel(dy, input_shape, kernel_size, stride):
    """Divided by how many windows a pixel lies in."""
    once = hand_back(dy, input_shape, kernel_size, stride, lambda n, i, j: 1)
    count = hand_back(np.ones(dy.shape), input_shape, kernel_size, stride, lambda n, i, j: 1)
    return once / np.maximum(count, 1)


def _averaged_to_first(dy, input_shape, kernel_size, stride):
    corner = np.zeros((kernel_size, kernel_size, 1))
    corner[0, 0] = 1
    return hand_back(dy, input_shape, kernel_size, stride, lambda n, i, j: corner)


avg_pool2d_backward = Exercise(
    name="avg_pool2d_backward",
    lesson=4,
    reference=shared_out,
    cases=pooled("mean"),
    returns=("dx",),
    mistakes=(
        Mistake(
            "It is not divided: a pixel is 1 / kernel_size² of the mean, and that is its share of the gradient.",
            MEAN,
            _even(lambda k: 1),
        ),
        Mistake(
            "It is divided by kernel_size. A window has kernel_size² pixels.",
            MEAN,
            _even(lambda k: k),
        ),
        Mistake(
            "Where windows overlap, gradients are overwritten: a pixel has a share in each of them, so add (+=).",
            MEAN,
            _even(lambda k: k * k, add=False),
        ),
        Mistake(
            "It is divided by the number of windows that a pixel lies in. What counts is how many pixels one has.",
            MEAN,
            _per_pixel,
        ),
        Mistake(
            "All of it goes to the first pixel of the window. In a mean, all pixels count alike.",
            MEAN,
            _averaged_to_first,
        ),
        Mistake(
            "The last row and column of windows get nothing: loop over all of dy.",
            MEAN,
            lambda dy, input_shape, kernel_size, stride: shared_out(
                np.pad(dy[:, :-1, :-1], ((0, 0), (0, 1), (0, 1), (0, 0))), input_shape, kernel_size, stride
            ),
        ),
    ),
    hints=(
        "y[i, j] is a sum of kernel_size² pixels, each times the same number. Which?",
        "Go through the windows and add dy[i, j] times that number to every pixel of window (i, j).",
    ),
    source=AvgPool2d.backward,
    sample={"dy": middling(4, 32, 32, 16), "input_shape": (4, 64, 64, 16), "kernel_size": 2, "stride": 2},
)
