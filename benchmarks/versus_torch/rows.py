"""A row of the table: who takes part, that all compute the same, and how much work it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minifcn.geometry import IMAGE
from minifcn.layers import Conv2d, ConvTranspose2d, Linear
from minifcn.network import Network

OURS = "ours"
LAYOUTS = ("channels_last", "NCHW")  # how PyTorch may lay its images
GRADIENT, OWN = "gradient of ", "own "  # how names begin: of gradients, and of what hangs on own decisions
OWN_GRADIENT = OWN + GRADIENT
TOLERANCE = 1e-4  # of the largest number
GRADIENT_TOLERANCE = 1e-3
OWN_TOLERANCE = 0.05
FLOOR = 1e-2  # of the largest of all gradients

Results = dict[str, np.ndarray]


class Ready(NamedTuple):
    """A contestant with everything in place: what is timed, and what it computes, by name and in our layout.

    `results` is called before the first `call`: a training step changes the weights.
    """

    call: Callable[[], Any]
    results: Callable[[], Results]


class Contestant(NamedTuple):
    """Who takes part: the library, which variant of it, and how to make it ready."""

    side: str  # "ours", "torch", "torch.compile", "onnxruntime" or "numpy-ml"
    variant: str
    prepare: Callable[[], Ready]

    @property
    def name(self) -> str:
        return f"{self.side} {self.variant}".strip()


class Work(NamedTuple):
    """Of one call: the multiplications of the direct algorithm (each with an addition), and the bytes that every
    layer reads and writes if it reads and writes each array once."""

    multiply_adds: int
    bytes: int


@dataclass
class Row:
    """One line. `must` and `aim` are how many times faster than the fastest peer we want to be."""

    name: str
    must: float | None = field(default=None, kw_only=True)
    aim: float | None = field(default=None, kw_only=True)
    memory: bool = field(default=False, kw_only=True)  # measure the peak memory, too

    def contestants(self) -> list[Contestant]:
        raise NotImplementedError

    def work(self) -> Work:
        raise NotImplementedError


class UnequalError(Exception):
    """Two contestants do not compute the same."""


def check_equal(name: str, found: Results, expected: Results) -> None:
    """Raise UnequalError if `found`, of the contestant `name`, is not what is expected.

    A difference is relative to the largest number of its array. Only with a network's own gradients it is the
    norm of the differences relative to the norm: where two numbers in a window of a max-pool are almost equal,
    or one before a ReLU is almost 0, a rounding decides where the gradient goes, and single numbers differ a lot.
    So do the scores, too, where an unpooling puts numbers back to the maxima.

    A gradient counts as at least FLOOR times as large as the largest: that of a bias before a batch normalisation,
    which takes every mean away, is 0, and what is computed for it is nothing but rounding.
    """
    if not found or not found.keys() <= expected.keys():
        raise UnequalError(f"{name} computes {sorted(found)}, we compute {sorted(expected)}")
    for key, array in found.items():
        wanted = expected[key]
        if array.shape != wanted.shape:
            raise UnequalError(f"{name}: {key} has shape {array.shape}, ours {wanted.shape}")
        size, tolerance, least = _judged(key, expected)
        scale = max(size(wanted.ravel()), least)
        error = size((array - wanted).ravel()) / scale if scale else np.inf
        if not error <= tolerance:  # so that NaN fails
            raise UnequalError(f"{name}: {key} differs by {error:.1e}, allowed is {tolerance}")


def _judged(key, expected):
    """How large an array is, what part of that may differ, and how large it counts at least."""
    own = key.startswith(OWN)
    size, tolerance = (np.linalg.norm, OWN_TOLERANCE) if own else (_largest, TOLERANCE)
    start = OWN_GRADIENT if own else GRADIENT
    if not key.startswith(start):
        return size, tolerance, 0.0
    largest = max(size(array.ravel()) for name, array in expected.items() if name.startswith(start))
    return size, OWN_TOLERANCE if own else GRADIENT_TOLERANCE, FLOOR * largest


def _largest(numbers):
    return np.abs(numbers).max()


def of_gradients(grads: Mapping[str, np.ndarray], start: str = GRADIENT) -> Results:
    """Gradients as results."""
    return {start + name: array for name, array in grads.items()}


def network_work(net: Network, image_shape, backward: bool = False, image_gradient: bool = False) -> Work:
    """The work of a forward pass, and of a backward pass if wanted."""
    shapes = net.shapes(image_shape)
    multiply_adds = moved = 0
    for name, (layer, reads) in net.nodes.items():
        products = 1
        if backward:  # the input's gradient and the weights' are a product each, as large as the value
            products += (image_gradient or set(reads) != {IMAGE}) + (not layer.frozen)
        multiply_adds += products * _forward_products(layer, shapes[reads[0]], shapes[name])
        arrays = prod(shapes[name]) + sum(array.size for array in layer.params.values())
        arrays += sum(
            prod(shapes[source]) for k, source in enumerate(reads) if layer.footprint(k) is not None
        )
        moved += (
            4 * arrays * (3 if backward else 1)
        )  # backward moves the gradients, and reads the arrays again
    return Work(multiply_adds, moved)


def _forward_products(layer, input_shape, output_shape):
    if isinstance(layer, ConvTranspose2d):
        dense = prod(input_shape[:-1]) * layer.params["weight"].size
        return dense // layer.out_channels if is_channelwise(layer) else dense
    if isinstance(layer, (Conv2d, Linear)):
        return prod(output_shape[:-1]) * layer.params["weight"].size
    return 0


def is_channelwise(layer: ConvTranspose2d) -> bool:
    """Whether it is fixed and treats each channel by itself, as bilinear upsampling does."""
    weight = layer.params["weight"]
    if not layer.frozen or weight.shape[2] != weight.shape[3] or layer.window.groups > 1:
        return False
    return not weight[:, :, ~np.eye(weight.shape[2], dtype=bool)].any()
