"""The three products of a convolution, by the algorithm that fits: its value and the gradients of input and
weights.

All algorithms compute the same sums, in different orders:

    im2col      anything; float64 too                                    im2col.py
    direct      one group; for few channels or large kernels             direct.py
    winograd    3x3 and more at stride 1: fewer multiplications          winograd.py
    small_map   stride 1, maps hardly larger than the kernel             small_map.py
    interlaced  dilated: as plain ones of the pixels that meet           interlaced.py
    subpixel    transposed convolutions: their stride cuts the kernel into phases      subpixel.py

Shapes: x (N, H, W, C_in), w (kh, kw, C_in / groups, C_out), y (N, Ho, Wo, C_out). `relu` makes y = max(0, y) at
once; `gate`, an array of dx's shape that came out of a ReLU, makes dx the gradient of what went into it.
"""

import functools
import math

import numpy as np

from minifcn.kernels import direct, im2col, interlaced, small_map, subpixel, winograd
from minifcn.kernels.bias import add_bias
from minifcn.kernels.window import Window

ALGORITHMS = ("auto", "im2col", "direct", "winograd", "small_map", "interlaced")
TRANSPOSED_ALGORITHMS = ("auto", "im2col", "subpixel")
COPYING = 1.45  # what the time for a product becomes if patches are copied for it
SMALL = 1 << 20  # bytes of weights that stay in the cache;
PIECES = 3 << 20  # and of those of a kernel in pieces of 3x3, of which more come from further away
SMALL_MAP = 10 * 10  # pixels of a map whose sums stay there
TRANSFORMING = 2.2  # what the time for the products of tiles becomes, transforms included,
WEIGHTS = 200  # and so many multiplications take as long as to transform the kernel of two channels


def fits(algorithm: str, window: Window) -> bool:
    """Whether the algorithm can do convolutions (for subpixel, transposed ones) with this window."""
    plain = window.groups == 1 and window.dilation == (1, 1)
    return {
        "direct": window.groups == 1,
        "winograd": plain and min(window.kernel_size) >= 3 and window.stride == (1, 1),
        "small_map": plain and window.stride == (1, 1),
        "interlaced": _deals(window),
        "subpixel": plain,
    }.get(algorithm, True)


@functools.cache
def choose(window: Window, shape, output_shape, dtype=np.float32, channels: int | None = None) -> str:
    """The algorithm for a convolution between these shapes: the one with the fewest multiplications, but for
    layers of so few channels that copying patches or transforming tiles would take longer than multiplying."""
    if dtype != np.float32 or window.groups > 1:
        return "im2col"
    if (channels or shape[3]) < 8:
        return "direct"
    cost = _costs(window, shape, output_shape)
    if _deals(window):
        small, result = interlaced.small_shapes(window, shape, output_shape[3])
        cost["interlaced"] = COPYING * min(_costs(interlaced.plain(window), small, result).values())
    return min(cost, key=cost.__getitem__)


def _costs(window, shape, output_shape) -> dict[str, float]:
    """About how long each algorithm takes, in multiplications for each pair of an input and an output channel."""
    N, Ho, Wo, C_out = output_shape
    taps, copies = math.prod(window.kernel_size), window.copies
    cost: dict[str, float] = {}
    if taps * shape[3] * C_out * 4 <= (
        SMALL if copies else SMALL // 4
    ):  # read once for each row of the output
        rows = direct.rows_at_a_time(N * Ho, Wo)
        cost["direct"] = taps * N * Ho / rows * _blocks(rows * Wo)
    cost["im2col"] = (COPYING if copies else 1) * taps * _blocks(N * Ho * Wo)
    if copies and fits("small_map", window) and Ho * Wo <= SMALL_MAP:
        cost["small_map"] = small_map.products(shape, output_shape, window.kernel_size, window.padding)
    pieces = math.prod(-(-k // 3) for k in window.kernel_size)
    if fits("winograd", window) and (pieces == 1 or pieces * 36 * shape[3] * C_out * 4 <= PIECES):
        tiles = _blocks(N * -(-Ho // 4) * -(-Wo // 4))
        cost["winograd"] = TRANSFORMING * 36 * tiles * (3 * pieces + 1) / 4 + pieces * WEIGHTS
    return cost


def _deals(window):
    """Whether pixels that are the dilation apart meet only each other."""
    dilated = window.groups == 1 and window.stride == (1, 1) and window.dilation != (1, 1)
    return dilated and all(p % d == 0 for p, d in zip(window.padding, window.dilation))


def _blocks(rows):
    """Rows of a matrix, counted in whole blocks."""
    return -(-rows // 8) * 8


def convolve(x, w, bias, window, y, relu=False, algorithm="auto"):
    """y = the convolution of x with w, plus bias (None: zero)."""
    algorithm = _algorithm(algorithm, window, x.shape, y.shape, x.dtype)
    if algorithm == "winograd":
        winograd.convolve(x, w, bias, window.padding, y, relu)
    elif algorithm == "small_map":
        small_map.convolve(x, w, bias, window.padding, y, relu)
    elif algorithm == "direct":
        direct.convolve(x, w, bias, window, y, relu)
    elif algorithm == "interlaced":
        interlaced.convolve(x, w, bias, window, y, relu, by=convolve)
    else:
        im2col.convolve(x, w, bias, window, y, relu)


def pools(window, shape, output_shape, dtype, algorithm="auto") -> bool:
    """Whether the algorithm that is chosen can pool before it writes: then `convolve_and_pool` and its
    gradients do."""
    return _algorithm(algorithm, window, shape, output_shape, dtype) == "winograd"


def convolve_and_pool(x, w, bias, window, y, where):
    """y = the largest of each 2x2 pixels of max(0, convolution), and where (uint8) which of the four it was."""
    size = window.output_size(x.shape[1:3])
    winograd.convolve_and_pool(x, w, bias, window.padding, size, y, where)


def pooled_input_gradient(dy, where, w, window, dx, gate=None):
    """dx of `convolve_and_pool`, given dy."""
    winograd.input_gradient(dy, w, window.padding, dx, gate, where)


def pooled_weight_gradient(x, dy, where, window, dw, db=None):
    """dw and, if it is given, db of `convolve_and_pool`, given dy."""
    winograd.weight_gradient(x, dy, window.padding, dw, db, where, window.output_size(x.shape[1:3]))


def input_gradient(dy, w, window, dx, gate=None, algorithm="auto"):
    """dx, given dy; also the value of the transposed convolution with these weights."""
    algorithm = _algorithm(algorithm, window, dx.shape, dy.shape, dy.dtype, channels=dy.shape[3])
    if algorithm == "winograd":
        winograd.input_gradient(dy, w, window.padding, dx, gate)
    elif algorithm == "small_map":
        small_map.input_gradient(dy, w, window.padding, dx, gate)
    elif algorithm == "direct" and window.stride == (1, 1):
        direct.input_gradient(dy, w, window, dx, gate)
    elif algorithm == "interlaced":
        interlaced.input_gradient(dy, w, window, dx, gate, by=input_gradient)
    else:
        im2col.input_gradient(dy, w, window, dx, gate)


def weight_gradient(x, dy, window, dw, db=None, algorithm="auto"):
    """dw and, if it is given, db, given dy."""
    algorithm = _algorithm(algorithm, window, x.shape, dy.shape, x.dtype)
    if algorithm == "winograd":
        winograd.weight_gradient(x, dy, window.padding, dw, db)
    elif algorithm == "small_map":
        small_map.weight_gradient(x, dy, window.padding, dw, db)
    elif algorithm == "direct":
        direct.weight_gradient(x, dy, window, dw, db)
    elif algorithm == "interlaced":
        interlaced.weight_gradient(x, dy, window, dw, db, by=weight_gradient)
    else:
        im2col.weight_gradient(x, dy, window, dw, db)


def transposed_convolve(x, w, bias, window, y, algorithm="auto"):
    """y = x painted with w (kh, kw, C_out / groups, C_in), the layout of the convolution whose input gradient
    it is, plus bias (None: zero)."""
    if _subpixel(algorithm, window, x.dtype):
        subpixel.transposed_convolve(x, w, bias, window.stride, window.padding, y)
    else:
        input_gradient(x, w, window, y, algorithm=algorithm)
        if bias is not None:
            add_bias(y.reshape(-1, y.shape[3]), bias)


def transposed_input_gradient(dy, w, window, dx, algorithm="auto"):
    """dx of `transposed_convolve`, given dy: a convolution of dy."""
    if _subpixel(algorithm, window, dy.dtype):
        subpixel.input_gradient(dy, w, window.stride, window.padding, dx)
    else:
        convolve(dy, w, None, window, dx, algorithm=algorithm)


def transposed_weight_gradient(dy, x, window, dw, algorithm="auto"):
    """dw of `transposed_convolve`, given dy."""
    if _subpixel(algorithm, window, x.dtype):
        subpixel.weight_gradient(dy, x, window.stride, window.padding, dw)
    else:
        weight_gradient(dy, x, window, dw, algorithm=algorithm)


def _subpixel(asked, window, dtype):
    cut = fits("subpixel", window) and window.stride != (1, 1)
    return dtype == np.float32 and (asked == "subpixel" or (asked == "auto" and cut))


def _algorithm(asked, window, shape, output_shape, dtype, channels=None):
    if dtype != np.float32:
        return "im2col"
    return choose(window, shape, output_shape, channels=channels) if asked == "auto" else asked
