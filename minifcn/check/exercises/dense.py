"""Exercises of lesson 6: fully connected weights as kernels, the size of a heat map, shifted passes interlaced."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minifcn import inference, surgery
from minifcn.check.exercise import Exercise, Mistake
from minifcn.weights.layouts import to_ours

RESHAPE = 'lesson 6, "The reshape"'
ORDER = 'lesson 6, "In which order was it flattened?"'
HEAT = 'lesson 6, "One pass, every window"'
SHIFTS = 'lesson 6, "A finer stride, by shifts"'

SIZES = st.integers(1, 3)


def numbered(*shape: int) -> np.ndarray:
    """1, 2, 3 ... in this shape: each number tells where it comes from."""
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


@st.composite
def connected(draw):
    """The weight of a fully connected layer, and the shape of what was flattened before it."""
    H, W, C, outputs = draw(SIZES), draw(SIZES), draw(SIZES), draw(st.integers(1, 2))
    return {"weight": numbered(H * W * C, outputs), "input_shape": (H, W, C)}


def large_layer() -> dict[str, Any]:
    return {"weight": numbered(7 * 7 * 64, 100), "input_shape": (7, 7, 64)}


# ---------------------------------------------------------------- the reshape


def as_kernel(weight, input_shape):
    return weight.reshape(*input_shape, -1)


def _as_chw(weight, input_shape):
    H, W, C = input_shape
    return weight.reshape(C, H, W, -1).transpose(1, 2, 0, 3)


to_conv = Exercise(
    name="to_conv",
    lesson=6,
    reference=as_kernel,
    cases=connected(),
    returns=("kernel",),
    mistakes=(
        Mistake(
            "The inputs are read as if they had been flattened C, H, W: here channels are last, and vary fastest.",
            ORDER,
            _as_chw,
        ),
        Mistake(
            "This is a 1x1 kernel: it would look at one place with H W C channels. The kernel is as large as the"
            " input, H x W; it is the output that is 1x1.",
            RESHAPE,
            lambda weight, input_shape: weight[None, None],
        ),
        Mistake(
            "The outputs come first: in a kernel (H, W, C, outputs) they are last.",
            RESHAPE,
            lambda weight, input_shape: weight.T.reshape(-1, *input_shape),
        ),
        Mistake(
            "The weight is read as if it were (outputs, inputs): it is (inputs, outputs), so reshape it as it is.",
            RESHAPE,
            lambda weight, input_shape: weight.reshape(-1, *input_shape).transpose(1, 2, 3, 0),
        ),
        Mistake(
            "Rows and columns of the kernel are swapped: rows come first.",
            RESHAPE,
            lambda weight, input_shape: as_kernel(weight, input_shape).swapaxes(0, 1),
        ),
        Mistake(
            "Rows and columns are swapped before the reshape: the inputs were flattened row by row.",
            RESHAPE,
            lambda weight, input_shape: weight.reshape(
                input_shape[1], input_shape[0], input_shape[2], -1
            ).swapaxes(0, 1),
        ),
        Mistake(
            "The kernel is flipped: convolution in deep learning does not flip, so nothing is to be undone.",
            RESHAPE,
            lambda weight, input_shape: as_kernel(weight, input_shape)[::-1, ::-1],
        ),
    ),
    hints=(
        "Input number (i W + j) C + c is pixel (i, j), channel c. Where is its weight to be?",
        "Not one number moves: kernel[i, j, c, o] = weight[(i W + j) C + c, o], which is how NumPy counts anyway.",
        "weight.reshape(H, W, C, -1)",
    ),
    source=surgery.to_conv,
    sample=large_layer(),
)


# ---------------------------------------------------------------- the order


def reordered(weight, input_shape):
    """By the library, whose foreign weights are (outputs, inputs)."""
    return to_ours(weight.T, weight.shape, input_shape[:2])


def _through(order):
    """Read as axes in another order, then brought to H, W, C."""

    def wrong(weight, input_shape):
        sizes = dict(zip("HWC", input_shape))
        array = weight.reshape(*(sizes[axis] for axis in order), -1)
        return array.transpose(*(order.index(axis) for axis in "HWC"), 3).reshape(weight.shape)

    return wrong


def _backwards(weight, input_shape):
    return weight.reshape(*input_shape, -1).transpose(2, 0, 1, 3).reshape(weight.shape)


def _misread(weight, input_shape):
    """The right shape in the first step, the wrong axes in the second."""
    H, W, C = input_shape
    return weight.reshape(C, H, W, -1).transpose(2, 1, 0, 3).reshape(weight.shape)


from_chw = Exercise(
    name="from_chw",
    lesson=6,
    reference=reordered,
    cases=connected(),
    returns=("reordered",),
    mistakes=(
        Mistake(
            "It is the other way round: this takes weights from H, W, C to C, H, W. First reshape to (C, H, W,"
            " outputs), then move C behind W.",
            ORDER,
            _backwards,
        ),
        Mistake(
            "The order is unchanged: a reshape alone moves no number. The axis of the channels has to move.",
            ORDER,
            lambda weight, input_shape: weight,
        ),
        *(
            Mistake("Rows and columns are swapped: only the channels move, H stays before W.", ORDER, wrong)
            for wrong in (_through("CWH"), _misread)
        ),
        Mistake("It was flattened channels first: C, H, W, not W, H, C.", ORDER, _through("WHC")),
        Mistake(
            "All rows are reversed: the channels move behind the columns, and nothing else changes.",
            ORDER,
            lambda weight, input_shape: weight[::-1],
        ),
    ),
    hints=(
        "In weight, pixel (i, j) of channel c is row (c H + i) W + j. In the result it is row (i W + j) C + c.",
        "Give the rows three axes: weight.reshape(C, H, W, -1). Which axis goes where?",
        "weight.reshape(C, H, W, -1).transpose(1, 2, 0, 3), and back to two axes.",
    ),
    source=to_ours,
    sample=large_layer(),
)


# ---------------------------------------------------------------- the size of the map


def windows_along(size, window, stride):
    return (size - window) // stride + 1


@st.composite
def lengths(draw):
    window, stride = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    return {"size": window + draw(st.integers(0, 16)), "window": window, "stride": stride}


MISSED = "One is missing: the first window needs no step, so there is one window more than steps."

heat_map_size = Exercise(
    name="heat_map_size",
    lesson=6,
    reference=windows_along,
    cases=lengths(),
    returns=("count",),
    mistakes=(
        Mistake(MISSED, HEAT, lambda size, window, stride: (size - window) // stride),
        Mistake(
            "A window that fits exactly at the end is missing: the last start is size - window, and it counts.",
            HEAT,
            lambda size, window, stride: -(-(size - window) // stride),
        ),
        *(
            Mistake("A window that sticks out is counted: round down.", HEAT, wrong)
            for wrong in (
                lambda size, window, stride: -(-(size - window) // stride) + 1,
                lambda size, window, stride: round((size - window) / stride) + 1,
            )
        ),
        Mistake(
            "It is not rounded: there is no half window. Round down.",
            HEAT,
            lambda size, window, stride: (size - window) / stride + 1,
        ),
        *(
            Mistake("The window is forgotten: its last start is at size - window, not at size.", HEAT, wrong)
            for wrong in (
                lambda size, window, stride: size // stride,
                lambda size, window, stride: size // stride + 1,
                lambda size, window, stride: -(-size // stride),
            )
        ),
        Mistake(
            "The stride is ignored: the next window starts stride pixels further.",
            HEAT,
            lambda size, window, stride: size - window + 1,
        ),
        Mistake(
            "These are windows side by side: the next one starts stride pixels further, they may overlap.",
            HEAT,
            lambda size, window, stride: size // window,
        ),
        Mistake(
            "The 1 is added too early: it is the first window, so it is not divided by the stride.",
            HEAT,
            lambda size, window, stride: (size - window + 1) // stride,
        ),
        Mistake(
            "The window is divided apart from the size: subtract first, then divide and round down.",
            HEAT,
            lambda size, window, stride: size // stride - window // stride + 1,
        ),
    ),
    hints=(
        "Window k starts at k * stride. Which start is the last one that fits?",
        "It has to start at size - window or before. So k * stride <= size - window; and k counts from 0.",
    ),
    source=inference.sliding_window,
)


# ---------------------------------------------------------------- shifted passes


def interlaced(maps):
    """dense[a::f, b::f] = maps[a][b]"""
    f = len(maps)
    rows, columns = sum(len(row[0]) for row in maps), sum(part.shape[1] for part in maps[0])
    dense = np.empty((rows, columns, maps[0][0].shape[2]))
    for a in range(f):
        for b in range(f):
            dense[a::f, b::f] = maps[a][b]
    return dense


@st.composite
def passes(draw):
    """The passes that a dense map falls into. Where its size is no multiple of f, later passes are smaller."""
    f, K = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    H, W = f + draw(st.integers(0, 4)), f + draw(st.integers(0, 4))
    dense = numbered(H, W, K)
    return {"maps": [[dense[a::f, b::f].copy() for b in range(f)] for a in range(f)]}


def _swapped(maps):
    return interlaced([list(column) for column in zip(*maps)])


def _side_by_side(maps):
    return np.concatenate([np.concatenate(row, axis=1) for row in maps], axis=0)


def _one_way(axis):
    """Interlaced along one axis, side by side along the other."""

    def wrong(maps):
        f, blocks = len(maps), _side_by_side(maps)
        dense = np.empty_like(blocks)
        start = 0
        for k in range(f):
            part = maps[k][0].shape[0] if axis == 0 else maps[0][k].shape[1]
            if axis == 0:
                dense[k::f] = blocks[start : start + part]
            else:
                dense[:, k::f] = blocks[:, start : start + part]
            start += part
        return dense

    return wrong


def _reversed(maps):
    return interlaced([row[::-1] for row in maps[::-1]])


interlace = Exercise(
    name="interlace",
    lesson=6,
    reference=interlaced,
    cases=passes(),
    returns=("dense",),
    mistakes=(
        Mistake(
            "Down and right are swapped: maps[a][b] was moved up by a and left by b, so it fills rows a, a + f ..."
            " and columns b, b + f ...",
            SHIFTS,
            _swapped,
        ),
        Mistake(
            "The maps are put side by side: the next place belongs to the next shift, so they are interlaced.",
            SHIFTS,
            _side_by_side,
        ),
        *(
            Mistake(
                "Only one axis is interlaced: along the other the maps are side by side.",
                SHIFTS,
                _one_way(axis),
            )
            for axis in (0, 1)
        ),
        Mistake(
            "The shifts are in reverse: moving the picture up by a shows what was a pixels further down, so it"
            " belongs after, not before.",
            SHIFTS,
            _reversed,
        ),
        Mistake(
            "Each map is enlarged, and they are averaged: every place has its own pass, so nothing is mixed.",
            SHIFTS,
            lambda maps: np.mean(
                [np.kron(part, np.ones((len(maps), len(maps), 1))) for row in maps for part in row], 0
            ),
        ),
        Mistake(
            "Only the pass without a shift is there, repeated: the places between belong to the shifted ones.",
            SHIFTS,
            lambda maps: np.kron(maps[0][0], np.ones((len(maps), len(maps), 1)))[
                : sum(len(row[0]) for row in maps), : sum(part.shape[1] for part in maps[0])
            ],
        ),
    ),
    hints=(
        "Which rows of the dense map come from maps[a]? With f passes along each axis: a, a + f, a + 2 f ...",
        "Slices do it: dense[a::f, b::f] = maps[a][b], for all a and b. How many rows has dense? As many as all"
        " maps[a][0] together.",
    ),
    source=inference.shift_and_stitch,
    sample={"maps": [[numbered(20, 20, 4) for _ in range(4)] for _ in range(4)]},
)
