"""Convolution and transposed convolution: each is the other's gradient.

The three products of kernels/convolution.py are all there is. With the same weights w,

    Conv2d            y = convolve(x, w)          dx = input_gradient(dy, w)    dw = weight_gradient(x, dy)
    ConvTranspose2d   y = input_gradient(x, w)    dx = convolve(dy, w)          dw = weight_gradient(dy, x)

Which algorithm computes them is chosen by shape, or by hand: `algorithm="im2col"`. In float64 it is always im2col.
"""

from fractions import Fraction

import numpy as np

from minifcn import initialize
from minifcn.kernels import memory
from minifcn.kernels.bias import bias_gradient
from minifcn.kernels.convolution import (
    ALGORITHMS,
    TRANSPOSED_ALGORITHMS,
    convolve,
    convolve_and_pool,
    fits,
    input_gradient,
    pooled_input_gradient,
    pooled_weight_gradient,
    pools,
    transposed_convolve,
    transposed_input_gradient,
    transposed_weight_gradient,
    weight_gradient,
)
from minifcn.kernels.window import Window
from minifcn.layers.base import Footprint, Layer, Pair, Shape, pair, positive, short

ALL = ("input", "parameters")


class _Convolution(Layer):
    """What the two have in common: their options, their parameters, and how they print."""

    algorithms: tuple[str, ...] = ALGORITHMS
    recordable = True

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
        output_padding=0,
    ):
        super().__init__()
        self.window = window = Window(
            pair(kernel_size, "kernel_size", 1),
            pair(stride, "stride", 1),
            pair(padding, "padding", 0),
            pair(dilation, "dilation", 1),
            positive(groups, "groups"),
        )
        self.output_padding = pair(output_padding, "output_padding", 0)
        self.in_channels = positive(in_channels, "in_channels")
        self.out_channels = positive(out_channels, "out_channels")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % window.groups:
                raise ValueError(f"{name} (={channels}) must be divisible by groups (={window.groups})")
        self.algorithm = algorithm
        if algorithm not in self.algorithms:
            raise ValueError(f"algorithm is {algorithm!r}; expected one of {', '.join(self.algorithms)}")
        if not fits(algorithm, window):
            raise ValueError(f"algorithm {algorithm!r} cannot do this window: {window}")

    def _initialize(self, shape, fan_in, bias, rng, dtype):
        self.params["weight"] = initialize.he(shape, fan_in, np.random.default_rng(rng), dtype)
        if bias:
            self.params["bias"] = np.zeros(self.out_channels, dtype)

    def _gradient_buffers(self, dtype):
        return {name: memory.empty(array.shape, dtype) for name, array in self.params.items()}

    def __repr__(self):
        window = self.window
        options = [f"{self.in_channels}, {self.out_channels}, kernel_size={short(window.kernel_size)}"]
        for name, value, default in (
            ("stride", window.stride, (1, 1)),
            ("padding", window.padding, (0, 0)),
            ("output_padding", self.output_padding, (0, 0)),
            ("dilation", window.dilation, (1, 1)),
        ):
            if value != default:
                options.append(f"{name}={short(value)}")
        if window.groups > 1:
            options.append(f"groups={window.groups}")
        if self.params and "bias" not in self.params:
            options.append("bias=False")
        if self.algorithm != "auto":
            options.append(f"algorithm={self.algorithm!r}")
        return f"{type(self).__name__}({', '.join(options)})"


class Conv2d(_Convolution):
    """y[n, i, j, o] = b[o] + sum over u, v, c of w[u, v, c, o] x[n, i s + u d - p, j s + v d - p, c].

    x is (N, H, W, in_channels) with zeros outside, y is (N, Ho, Wo, out_channels) with
    Ho = floor((H + 2p - d(k - 1) - 1) / s) + 1. The kernel is not flipped (cross-correlation, as everywhere in
    deep learning). `weight` is (kh, kw, in_channels / groups, out_channels), drawn by He's rule from `rng`;
    `bias` is (out_channels,), zero.

    Raises ValueError for options and shapes that do not fit, TypeError for other types than the parameters'.

    >>> layer = Conv2d(3, 16, kernel_size=3, padding=1)
    >>> layer.output_shape((1, 64, 48, 3))
    (1, 64, 48, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        algorithm: str = "auto",
        rng: np.random.Generator | int | None = None,
        dtype: type = np.float32,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, algorithm)
        kh, kw = self.window.kernel_size
        shape = (kh, kw, in_channels // groups, out_channels)
        self._initialize(shape, kh * kw * in_channels // groups, bias, rng, dtype)

    rectifies = fuses_relu = True

    def forward(self, x, *, train=False, rng=None, relu=False, pool=None):
        """With `relu`, y is max(0, y); and with `pool`, a MaxPool2d of 2x2 pixels, what that makes of it.
        Rectifier and pooling behind the layer then cost next to nothing, and the maps between them are not
        stored."""
        x = self._floats(x, self.params["weight"])
        shape = self.output_shape(x.shape)
        weight, bias = self.params["weight"], self.params.get("bias")
        if pool is not None and pools(self.window, x.shape, shape, x.dtype, self.algorithm):
            y = memory.empty(pool.output_shape(shape), x.dtype)
            where = memory.empty(y.shape, np.uint8)
            convolve_and_pool(x, weight, bias, self.window, y, where)
            return y, (x, y.shape, where, None)
        y = memory.empty(shape, x.dtype)
        convolve(x, weight, bias, self.window, y, relu, self.algorithm)
        if pool is not None:
            y, pool_cache = pool.forward(y)
            return y, (x, y.shape, None, pool_cache)
        return y, (x, shape, None, None)

    def backward(self, dy, cache, needs=ALL, *, through_relu=False, pool=None):
        """`through_relu` says that x came out of a rectifier: dx is then the gradient of what went into it.
        `pool` as in forward."""
        (x, shape, where, pool_cache), dx, grads = cache, None, {}
        dy = self._upstream(dy, shape, x.dtype)
        weight, gate = self.params["weight"], x if through_relu else None
        if pool_cache is not None:
            dy, _ = pool.backward(dy, pool_cache, through_relu=True)
        if "input" in needs:
            dx = memory.empty(x.shape, x.dtype)
            if where is None:
                input_gradient(dy, weight, self.window, dx, gate, self.algorithm)
            else:
                pooled_input_gradient(dy, where, weight, self.window, dx, gate)
        if "parameters" in needs:
            grads = self._gradient_buffers(x.dtype)
            dw, db = grads["weight"], grads.get("bias")
            if where is None:
                weight_gradient(x, dy, self.window, dw, db, self.algorithm)
            else:
                pooled_weight_gradient(x, dy, where, self.window, dw, db)
        return dx, grads

    def output_shape(self, *shapes: Shape) -> Shape:
        N, H, W, _ = self._images(shapes[0], self.in_channels)
        Ho, Wo = self.window.output_size((H, W))
        if min(Ho, Wo) < 1:
            raise ValueError(f"{self!r}: the kernel does not fit into an image of {H}x{W} and its padding")
        return N, Ho, Wo, self.out_channels

    def footprint(self, which=0):
        """Pixel i sees i s - p up to i s - p + d (k - 1)."""
        w = self.window
        return tuple(
            Footprint(s, -p, d * (k - 1) - p)
            for k, s, p, d in zip(w.kernel_size, w.stride, w.padding, w.dilation)
        )


class ConvTranspose2d(_Convolution):
    """y[n, i s + u d - p, j s + v d - p, o] += w[u, v, o, c] x[n, i, j, c]: each pixel paints a scaled kernel.

    It is the gradient of the convolution that goes from y's shape to x's, so `weight` has that convolution's
    layout, (kh, kw, out_channels / groups, in_channels). H grows to (H - 1) s - 2p + d (k - 1) + 1 +
    output_padding; the output padding says which of the sizes that convolution would have shrunk to H is meant.
    Also called deconvolution (it is not an inverse) or fractionally strided convolution: Long, Shelhamer &
    Darrell, Fully convolutional networks for semantic segmentation (2015), section 3.3.

    Raises ValueError for options and shapes that do not fit, TypeError for other types than the parameters'.

    >>> layer = ConvTranspose2d(21, 21, kernel_size=4, stride=2, bias=False)
    >>> layer.output_shape((1, 16, 16, 21))
    (1, 34, 34, 21)
    """

    algorithms = TRANSPOSED_ALGORITHMS

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Pair = 1,
        *,
        algorithm: str = "auto",
        rng: np.random.Generator | int | None = None,
        dtype: type = np.float32,
    ):
        options = kernel_size, stride, padding, dilation, groups, algorithm, output_padding
        super().__init__(in_channels, out_channels, *options)
        for extra, s, d in zip(self.output_padding, self.window.stride, self.window.dilation):
            if extra >= max(s, d):
                raise ValueError(
                    f"output_padding (={extra}) must be less than the larger of stride and dilation (={max(s, d)})"
                )
        (kh, kw), (sh, sw) = self.window.kernel_size, self.window.stride
        shape = (kh, kw, out_channels // groups, in_channels)
        fan_in = max(1, kh * kw * in_channels // (groups * sh * sw))  # kernels that meet at an output pixel
        self._initialize(shape, fan_in, bias, rng, dtype)

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x, self.params["weight"])
        y = memory.empty(self.output_shape(x.shape), x.dtype)
        transposed_convolve(x, self.params["weight"], self.params.get("bias"), self.window, y, self.algorithm)
        return y, x

    def backward(self, dy, cache, needs=ALL):
        x, dx, grads = cache, None, {}
        dy = self._upstream(dy, self.output_shape(x.shape), x.dtype)
        if "input" in needs:
            dx = memory.empty(x.shape, x.dtype)
            transposed_input_gradient(dy, self.params["weight"], self.window, dx, self.algorithm)
        if "parameters" in needs:
            grads = self._gradient_buffers(x.dtype)
            transposed_weight_gradient(dy, x, self.window, grads["weight"], self.algorithm)
            if "bias" in grads:
                bias_gradient(dy, grads["bias"])
        return dx, grads

    def output_shape(self, *shapes: Shape) -> Shape:
        N, H, W, _ = self._images(shapes[0], self.in_channels)
        w = self.window
        Ho, Wo = (
            (n - 1) * s - 2 * p + d * (k - 1) + 1 + extra
            for n, k, s, p, d, extra in zip(
                (H, W), w.kernel_size, w.stride, w.padding, w.dilation, self.output_padding
            )
        )
        if min(Ho, Wo) < 1:
            raise ValueError(f"{self!r}: the padding leaves nothing of an image of {H}x{W}")
        return N, Ho, Wo, self.out_channels

    def footprint(self, which=0):
        """Pixel i is painted by the inputs from (i + p - d (k - 1)) / s up to (i + p) / s."""
        w = self.window
        return tuple(
            Footprint(Fraction(1, s), Fraction(p - d * (k - 1), s), Fraction(p, s))
            for k, s, p, d in zip(w.kernel_size, w.stride, w.padding, w.dilation)
        )
