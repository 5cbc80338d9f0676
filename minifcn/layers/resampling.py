"""Images of another size: upsampling, resizing, and means over bins.

All work along the rows and along the columns by themselves, y = V x Hᵀ for each channel, with matrices V and H of
few numbers a row. So dx = Vᵀ dy H: the same kernel with the transposed matrices.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np

from minifcn.kernels.resample import Matrix, resample_images, sparse
from minifcn.layers.base import WHOLE, Footprint, Layer, Pair, Shape, pair, short


def nearest(size: int, factor: int) -> np.ndarray:
    """(factor size, size): output pixel i is pixel ⌊i / factor⌋.

    >>> nearest(2, 2).T
    array([[1., 1., 0., 0.],
           [0., 0., 1., 1.]])
    """
    return np.repeat(np.eye(size), factor, axis=0)


def bilinear(size: int, factor: int) -> np.ndarray:
    """(factor size, size): output pixel i lies at (i + 1/2) / factor - 1/2, between two pixels that share it.

    Before the first pixel and behind the last there is only one. (PyTorch's align_corners=False.)

    >>> bilinear(2, 2).T
    array([[1.  , 0.75, 0.25, 0.  ],
           [0.  , 0.25, 0.75, 1.  ]])
    """
    place = np.clip((np.arange(factor * size) + 0.5) / factor - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size)))


def aligned(size: int, count: int) -> np.ndarray:
    """(count, size): output pixel i lies at i (size - 1) / (count - 1), so that the outermost pixels stay such.

    A single output pixel is the first one. (PyTorch's align_corners=True.)

    >>> aligned(2, 3).T
    array([[1. , 0.5, 0. ],
           [0. , 0.5, 1. ]])
    """
    place = np.arange(count) * ((size - 1) / max(1, count - 1))
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size)))


def bins(size: int, count: int) -> np.ndarray:
    """(count, size): bin i is the mean of the pixels from ⌊i size / count⌋ to, without it, ⌈(i + 1) size / count⌉.

    Bins overlap where `count` does not divide `size`.

    >>> bins(3, 2)
    array([[0.5, 0.5, 0. ],
           [0. , 0.5, 0.5]])
    """
    matrix = np.zeros((count, size))
    for i in range(count):
        first, end = i * size // count, -(-(i + 1) * size // count)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


class _Resampling(Layer):
    """What the layers share: `make(size, number)` is the matrix of an axis, `numbers` has a number for each."""

    make: Callable[[int, int], np.ndarray]
    numbers: Pair
    recordable = True

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        self._images(x.shape)
        return resample_images(x, *self._matrices(x.shape, x.dtype)), x.shape

    def backward(self, dy, cache):
        dy = self._upstream(dy, self.output_shape(cache), dy.dtype)
        return resample_images(dy, *self._matrices(cache, dy.dtype, transposed=True)), {}

    def _matrices(self, shape, dtype, transposed=False):
        sizes = shape[1:3]
        return (
            _matrix(self.make, size, number, dtype, transposed) for size, number in zip(sizes, self.numbers)
        )


@lru_cache(256)
def _matrix(
    make: Callable[[int, int], np.ndarray], size: int, number: int, dtype: np.dtype, transposed: bool
) -> Matrix:
    matrix = make(size, number).astype(dtype)
    return sparse(matrix.T if transposed else matrix)


class Upsample2d(_Resampling):
    """y is x, `scale_factor` times as large: (N, H, W, C) -> (N, H sh, W sw, C).

    mode="nearest" repeats each pixel, "bilinear" interpolates between pixel centres (PyTorch's default,
    align_corners=False). There is nothing to learn; dx adds up what came of each pixel. Odena, Dumoulin & Olah,
    Deconvolution and checkerboard artifacts (2016), put it before a convolution, in place of a transposed one.

    Raises ValueError for another mode, or a factor of less than 1.
    """

    def __init__(self, scale_factor: int | Pair, mode: str = "nearest"):
        super().__init__()
        self.numbers = pair(scale_factor, "scale_factor", 1)
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f"mode is {mode!r}; expected nearest or bilinear")
        self.mode = mode
        self.make = nearest if mode == "nearest" else bilinear

    def output_shape(self, *shapes: Shape) -> Shape:
        N, H, W, C = self._images(shapes[0])
        return N, H * self.numbers[0], W * self.numbers[1], C

    def footprint(self, which=0):
        """Nearest: pixel i sees ⌊i / s⌋. Bilinear: the two pixels around (i + 1/2) / s - 1/2."""
        return tuple(self._along(s) for s in self.numbers)

    def _along(self, s):
        if self.mode == "nearest":
            return Footprint(Fraction(1, s), Fraction(1 - s, s), 0)
        place = Fraction(1, 2 * s) - Fraction(1, 2)
        reach = 1 - Fraction(
            1, s if s % 2 else 2 * s
        )  # of all places, the furthest from one of its two pixels
        return Footprint(Fraction(1, s), place - reach, place + reach)

    def __repr__(self):
        return f"Upsample2d({short(self.numbers)}, mode={self.mode!r})"


class ResizeLike(Layer):
    """y is x interpolated to the size of a second input: (N, h, w, C) and (N, H, W, …) -> (N, H, W, C).

    Bilinear, corner pixels on corner pixels (PyTorch's interpolate with align_corners=True). The second input lends
    only its size, so its gradient is None. Source: Zhao et al., Pyramid scene parsing network (2017), section 3.2,
    and its released code.
    """

    recordable = True

    def forward(self, x, like, *, train=False, rng=None):
        x = self._floats(x)
        _, H, W, _ = self.output_shape(x.shape, like.shape)
        return resample_images(x, *self._matrices(x.shape, (H, W), x.dtype)), (x.shape, (H, W))

    def backward(self, dy, cache):
        shape, size = cache
        dy = self._upstream(dy, (shape[0], *size, shape[3]), dy.dtype)
        return (resample_images(dy, *self._matrices(shape, size, dy.dtype, transposed=True)), None), {}

    def _matrices(self, shape, size, dtype, transposed=False):
        return (_matrix(aligned, n, number, dtype, transposed) for n, number in zip(shape[1:3], size))

    def output_shape(self, *shapes: Shape) -> Shape:
        (N, _, _, C), (_, H, W, _) = map(self._images, shapes)
        return N, H, W, C

    def footprint(self, which=0):
        """What lies where depends on both sizes: counted as if each pixel saw all of x."""
        return None if which else WHOLE


class AdaptiveAvgPool2d(_Resampling):
    """y[n, i, j, c] = the mean of channel c over bin (i, j) of `bins` x `bins`: (N, H, W, C) -> (N, bins, bins, C).

    Bin i of n goes from ⌊i H / n⌋ up to, without it, ⌈(i + 1) H / n⌉: any image has n of them, which overlap where
    n does not divide H. dy is shared out evenly over its bin. Source of the pyramid of bins: Zhao et al., Pyramid
    scene parsing network (2017), section 3.2.

    Raises ValueError if there is less than one bin.
    """

    make = staticmethod(bins)

    def __init__(self, bins: int | Pair):
        super().__init__()
        self.numbers = pair(bins, "bins", 1)

    def output_shape(self, *shapes: Shape) -> Shape:
        N, _, _, C = self._images(shapes[0])
        return N, *self.numbers, C

    def footprint(self, which=0):
        """Where a bin lies depends on the size of the image: counted as if it saw all of it."""
        return WHOLE

    def __repr__(self):
        return f"AdaptiveAvgPool2d({short(self.numbers)})"
