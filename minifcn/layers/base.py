"""What every layer promises, and the checks that they share."""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from minifcn.kernels.recording import unrecorded

Shape = tuple[int, ...]
Pair = tuple[int, int]


class Footprint(NamedTuple):
    """Along one axis, output pixel i depends on the input pixels from stride i + first to stride i + last.

    The middle of the two is where the pixel is centred. For a transposed convolution they are fractions.
    """

    stride: Fraction | int
    first: Fraction | int | float
    last: Fraction | int | float


POINTWISE = (Footprint(1, 0, 0), Footprint(1, 0, 0))
WHOLE = (Footprint(0, -float("inf"), float("inf")),) * 2


class Layer:
    """A function with parameters, and its gradient.

    `forward(*inputs)` returns the output and a cache, which is all that `backward` needs: the layer itself
    remembers nothing, so one layer can be used twice. `backward(dy, cache)` returns the gradient of the inputs
    (an array, or a tuple for a layer of several inputs; None where only the size of an input matters) and a
    dictionary with the gradient of every parameter. A layer with parameters takes a third argument, `needs`: which
    of ("input", "parameters") are wanted, both by default.

    `params` are the arrays that are learned, by name. A `frozen` layer keeps its parameters as they are: a
    network does not ask for their gradients. `state` are arrays that a network is saved with as well, but that no
    gradient moves: `remember(cache)` does, after a forward pass in training.
    """

    frozen = False
    recordable = False  # whether it runs kernels alone, or says where it does not: kernels/recording.py
    rectifies = False  # whether forward can take `relu`, and
    fuses_relu = False  # whether backward can take `through_relu`: see network.py

    def __init__(self) -> None:
        self.params: dict[str, np.ndarray] = {}
        self.state: dict[str, np.ndarray] = {}

    def forward(
        self, *inputs: np.ndarray, train: bool = False, rng: np.random.Generator | None = None
    ) -> Any:
        raise NotImplementedError

    def backward(self, dy: np.ndarray, cache: Any) -> Any:
        raise NotImplementedError

    def remember(self, cache: Any) -> None:
        """Update `state` with what the forward pass that the cache is from has seen."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the output for inputs of these shapes; ValueError if they do not fit the layer."""
        return shapes[0]

    def footprint(self, which: int = 0) -> tuple[Footprint, Footprint] | None:
        """What an output pixel sees of input number `which`, per axis; None if only the input's size."""
        return POINTWISE

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _images(self, shape: Shape, channels: int | None = None) -> Shape:
        """Check that `shape` is (N, H, W, C) with at least one of each, and C = `channels` if given."""
        if len(shape) != 4 or min(shape) < 1 or channels not in (None, shape[3]):
            wanted = f"(N, H, W, {'C' if channels is None else channels})"
            raise ValueError(f"{self!r} expects an input of shape {wanted}, got {tuple(shape)}")
        return shape

    def _floats(self, x: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
        """Check that x is a float array, of the same type as `like` if given, and make it contiguous."""
        if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
            found = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise TypeError(f"{self!r} expects a float32 or float64 array, got {found}")
        if like is not None and x.dtype != like.dtype:
            raise TypeError(f"{self!r} works in {like.dtype} here, got an input of {x.dtype}")
        if like is not None and not like.flags.c_contiguous:
            unrecorded("parameters that do not lie side by side")
        return self._contiguous(x)

    def _upstream(self, dy: np.ndarray, shape: Shape, dtype: np.dtype) -> np.ndarray:
        """Check that dy has the shape and type of the output, and make it contiguous."""
        if not isinstance(dy, np.ndarray) or dy.shape != tuple(shape):
            found = dy.shape if isinstance(dy, np.ndarray) else type(dy).__name__
            raise ValueError(f"{self!r} expects dy of its output's shape {tuple(shape)}, got {found}")
        if dy.dtype != dtype:
            raise TypeError(f"{self!r} computed in {dtype}, got dy of {dy.dtype}")
        return self._contiguous(dy)

    def _contiguous(self, x: np.ndarray) -> np.ndarray:
        """Itself, or a copy. float64 is computed by NumPy in many places."""
        if not self.recordable:
            unrecorded(repr(self))
        if x.dtype != np.float32 or not x.flags.c_contiguous:
            unrecorded("float64, or numbers that do not lie side by side")
        return np.ascontiguousarray(x)


def pair(value: int | Pair, name: str, least: int) -> Pair:
    """(vertical, horizontal) from one number or two; ValueError below `least`, TypeError if not whole."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(isinstance(n, (int, np.integer)) for n in both):
        raise TypeError(f"{name} is {value!r}; expected a whole number or a pair of them")
    if min(both) < least:
        raise ValueError(f"{name} is {value!r}; expected at least {least}")
    return int(both[0]), int(both[1])


def positive(value: int, name: str) -> int:
    """`value` as an int; TypeError if it is not whole, ValueError if it is less than 1."""
    if not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; expected a whole number")
    if value < 1:
        raise ValueError(f"{name} is {value}; expected at least 1")
    return int(value)


def short(value: Pair) -> int | Pair:
    """A pair of equal numbers as one, for printing."""
    return value[0] if value[0] == value[1] else value
