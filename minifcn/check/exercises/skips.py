"""Lesson 8: crops and where they start, backward through a whole network, and the Dice loss."""

import numpy as np
from hypothesis import strategies as st

from minifcn import losses
from minifcn.check.cases import simple
from minifcn.check.exercise import Exercise
from minifcn.check.exercises.cropping import (
    BACKWARD_MISTAKES,
    CROP_MISTAKES,
    OFFSET_MISTAKES,
    cut,
    cut_backward,
    offset_between,
)
from minifcn.check.exercises.graph import GRAPH_MISTAKES, NAMES, graphs, walk_back
from minifcn.check.exercises.overlap import DICE_MISTAKES, dice_float64
from minifcn.geometry import crop_offset as geometry_crop_offset
from minifcn.layers.merge import Crop
from minifcn.network import Network

__all__ = ["crop", "crop_backward", "crop_offset", "dice", "network_backward"]


@st.composite
def crops(draw):
    """A map with more around what is wanted than one can see from its middle."""
    size, offset, rest = (draw(st.tuples(*[st.integers(least, 3)] * 2)) for least in (1, 0, 0))
    shape = draw(st.integers(1, 2)), *map(sum, zip(size, offset, rest)), draw(st.integers(1, 2))
    return {"x": draw(simple(shape)), "height": size[0], "width": size[1], "offset": offset}


def _backward_case(case):
    height, width, offset = case["height"], case["width"], case["offset"]
    return {
        "dy": case["x"][:, :height, :width].copy(),
        "input_shape": case["x"].shape,
        "offset": offset,
    }


@st.composite
def paths(draw):
    """Two stacks of layers whose pixels are equally far apart, and some whole number of pixels from each other."""
    odd = st.sampled_from([1, 3, 5])
    trunk = []
    pools = draw(st.integers(0, 3))
    for stage in range(pools + 1):
        trunk += [("conv", draw(odd), 1, draw(st.integers(0, 3))) for _ in range(draw(st.integers(0, 2)))]
        if stage < pools:
            trunk.append(("pool", 2, 2, 0))
    # The finer one branches off before the last `up` pools, or is the image itself.
    up = draw(st.integers(0, pools))
    ends = [0, *(k + 1 for k, layer in enumerate(trunk) if layer[0] == "pool")]
    finer = trunk[: ends[pools - up]]
    factor = 2**up
    coarser = [*trunk, ("up", 2 * factor, factor, draw(st.integers(0, factor)))] if up else trunk
    pair = {"layers": coarser, "reference": finer}
    if _offset(pair) < 0:
        pair = {"layers": finer, "reference": coarser}
    return pair


def _offset(pair):
    return offset_between(**pair)


@st.composite
def segmentations(draw):
    """Scores and labels of a few pixels, at least one of which counts."""
    N, H, W, K = (draw(st.integers(1, most)) for most in (2, 2, 3, 3))
    labels = draw(simple((N, H, W), np.array([0, 1, 255, 2], np.uint8)))
    labels[(labels >= K) & (labels != 255)] = 0
    labels[0, 0, 0] = draw(st.integers(0, K - 1))
    return {"scores": draw(simple((N, H, W, K))), "labels": labels}


def _segmentation_sample():
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((4, 64, 64, 4)), rng.integers(0, 4, (4, 64, 64))
    return {"scores": scores, "labels": labels.astype(np.uint8)}


crop = Exercise(
    name="crop",
    lesson=8,
    reference=cut,
    cases=crops(),
    returns=("y",),
    mistakes=CROP_MISTAKES,
    hints=(
        "Not the middle: pixel 0 of y is pixel offset[0], offset[1] of x.",
        "A slice ends before its end: offset[0] : offset[0] + height.",
        "x[:, offset[0] : offset[0] + height, offset[1] : offset[1] + width]",
    ),
    source=Crop.forward,
)

crop_backward = Exercise(
    name="crop_backward",
    lesson=8,
    reference=cut_backward,
    cases=crops().map(_backward_case),
    returns=("dx",),
    mistakes=BACKWARD_MISTAKES,
    hints=(
        "What has been cut off has no path to the loss. What is its gradient?",
        "Start with zeros of input_shape, and put dy where it was cut out.",
        "dx[:, offset[0] : offset[0] + height, offset[1] : offset[1] + width] = dy, with dy's height and"
        " width.",
    ),
    source=Crop.backward,
)

crop_offset = Exercise(
    name="crop_offset",
    lesson=8,
    reference=offset_between,
    cases=paths(),
    returns=("offset",),
    mistakes=OFFSET_MISTAKES,
    hints=(
        "Write a function that says where pixel i of a stack of layers lies in the image: at a * i + b."
        " Begin with the image itself: a = 1, b = 0.",
        "Behind a convolution or a pooling: b += a * ((kernel - 1) / 2 - padding), then a *= stride. Behind"
        " an upsampling: a /= stride, then b -= a * ((kernel - 1) / 2 - padding).",
        "Pixel j + offset of the one lies where pixel j of the other does: a (j + offset) + b = a j +"
        " b_reference.",
    ),
    source=geometry_crop_offset,
    rtol=1e-9,
)

network_backward = Exercise(
    name="network_backward",
    lesson=8,
    reference=walk_back,
    cases=graphs(),
    returns=NAMES,
    mistakes=GRAPH_MISTAKES,
    hints=(
        "Keep a dictionary with the gradient of each activation, by name. What is in it at the start?",
        "Go through reversed(nodes). layer.backward(upstream[name], caches[name]) returns dx and a"
        " dictionary of the parameters' gradients; dx belongs to what the layer reads, and is a tuple if it"
        " reads several.",
        "For source, d in zip(reads, dx): skip d if it is None; otherwise upstream[source] ="
        " upstream[source] + d if source in upstream else d.",
    ),
    source=Network.backward,
)

dice = Exercise(
    name="dice",
    lesson=8,
    reference=dice_float64,
    cases=segmentations(),
    returns=("value", "dscores"),
    mistakes=DICE_MISTAKES,
    hints=(
        "Flatten: p = softmax(scores) as (pixels, K), g = one-hot labels, and only the pixels whose label"
        " is not 255. Then I and B are sums over axis 0.",
        "D = 2 I / B is a quotient, and both I and B grow with p: dD/dp = 2 (g B - I) / B². Only classes"
        " that occur count, M of them: dp = -dD/dp / M for these, 0 for the others.",
        "Through the softmax: ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True)). Put ds where the pixels"
        " came from, 0 elsewhere.",
    ),
    source=losses.dice,
    rtol=1e-9,
    sample=_segmentation_sample(),
)
