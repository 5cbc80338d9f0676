"""Pooling: a window slides, and the largest or the mean value under it is kept."""

import numpy as np

from minifcn.kernels import memory, pooling
from minifcn.kernels.crop import fill
from minifcn.kernels.window import Window
from minifcn.layers.activation import ReLU
from minifcn.layers.base import WHOLE, Footprint, Layer, Pair, Shape, pair, short


class _Pool2d(Layer):
    """The sizes that both poolings share; stride None means the kernel's size: windows side by side."""

    recordable = True

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.window = Window(
            pair(kernel_size, "kernel_size", 1),
            pair(kernel_size if stride is None else stride, "stride", 1),
            pair(padding, "padding", 0),
            pair(dilation, "dilation", 1),
        )
        self.ceil_mode = bool(ceil_mode)
        if any(2 * p > d * k for k, _, p, d in self._axes):
            raise ValueError(
                f"padding (={padding}) must be at most half of kernel_size (={kernel_size}) times dilation"
            )

    @property
    def _axes(self):
        """(kernel_size, stride, padding, dilation) per axis."""
        w = self.window
        return tuple(zip(w.kernel_size, w.stride, w.padding, w.dilation))

    @property
    def _options(self):
        w = self.window
        return w.kernel_size, w.stride, w.padding, w.dilation

    @property
    def _overlapping(self):
        return any(s < d * (k - 1) + 1 for k, s, _, d in self._axes)

    def output_shape(self, *shapes: Shape) -> Shape:
        """ceil_mode rounds up, but never to a window that would start outside the image and its padding."""
        N, H, W, C = self._images(shapes[0])
        sizes = []
        for n, (k, s, p, d) in zip((H, W), self._axes):
            span = n + 2 * p - d * (k - 1) - 1
            out = (-(-span // s) if self.ceil_mode else span // s) + 1
            if self.ceil_mode and (out - 1) * s >= n + p:
                out -= 1
            sizes.append(out)
        if min(sizes) < 1:
            raise ValueError(f"{self!r}: the window does not fit into an image of {H}x{W} and its padding")
        return N, sizes[0], sizes[1], C

    def footprint(self, which=0):
        """Pixel i sees i s - p up to i s - p + d (k - 1)."""
        return tuple(Footprint(s, -p, d * (k - 1) - p) for k, s, p, d in self._axes)

    def __repr__(self):
        kernel_size, stride, padding, dilation = self._options
        options = [f"{short(kernel_size)}"]
        if stride != kernel_size:
            options.append(f"stride={short(stride)}")
        if padding != (0, 0):
            options.append(f"padding={short(padding)}")
        if dilation != (1, 1):
            options.append(f"dilation={short(dilation)}")
        if self.ceil_mode:
            options.append("ceil_mode=True")
        return f"{type(self).__name__}({', '.join(options)})"


class MaxPool2d(_Pool2d):
    """y = the largest pixel of each window, channel by channel. Padding is -inf: it never wins.

    Ho = floor((H + 2p - d(k - 1) - 1) / s) + 1, or rounded up with ceil_mode (the original FCN's rule). All of dy
    goes to the maximum; of equal ones to the first, row by row.

    Raises ValueError for a padding of more than half the kernel, or an image that no window fits.

    >>> MaxPool2d(2, ceil_mode=True).output_shape((1, 5, 5, 8))
    (1, 3, 3, 8)
    """

    fuses_relu = True

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        y = memory.empty(self.output_shape(x.shape), x.dtype)
        if self.side_by_side:
            where = memory.empty(y.shape, np.uint8)
            pooling.max_pool_2x2(x, y, where)
        else:
            where = memory.empty(y.shape, np.int32)
            pooling.max_pool(x, y, where, *self._options)
        return y, (where, y, x.shape)

    def backward(self, dy, cache, *, through_relu=False):
        """`through_relu` says that x came out of a rectifier: dx is then the gradient of what went into it."""
        where, y, shape = cache
        dy = self._upstream(dy, y.shape, y.dtype)
        dx = memory.empty(shape, y.dtype)
        if self.side_by_side:
            pooling.max_pool_2x2_backward(dy, where, y, through_relu, dx)
        else:
            fill(dx.reshape(-1), 0)
            if through_relu:
                dy, _ = ReLU().backward(dy, y)
            pooling.max_pool_backward(dy, where, dx, self._overlapping)
        return dx, {}

    @property
    def side_by_side(self) -> bool:
        """Whether it is the usual pooling, of 2x2 pixels."""
        return self.window == Window((2, 2), (2, 2))


class AvgPool2d(_Pool2d):
    """y = the mean of each window, channel by channel. Zero padding counts as pixels (PyTorch's default).

    Ho as for MaxPool2d; where ceil_mode lets a window stick out beyond the padding, only the rest counts.
    dy is shared out evenly over the window. (PyTorch has no dilation here; surgery.densify needs it.)

    Raises ValueError for a padding of more than half the kernel, or an image that no window fits.
    """

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        y = memory.empty(self.output_shape(x.shape), x.dtype)
        pooling.avg_pool(x, y, *self._options)
        return y, x.shape

    def backward(self, dy, cache):
        dy = self._upstream(dy, self.output_shape(cache), dy.dtype)
        dx = memory.empty(cache, dy.dtype)
        fill(dx.reshape(-1), 0)
        pooling.avg_pool_backward(dy, dx, *self._options, self._overlapping)
        return dx, {}


class GlobalAvgPool2d(Layer):
    """y[n, c] = the mean of channel c over the whole image: (N, H, W, C) -> (N, C), for every size.

    dx = dy / (H W) at every pixel. Source: Lin, Chen & Yan, Network in network (2014), section 3.2.
    """

    def forward(self, x, *, train=False, rng=None):
        x = self._floats(x)
        _, H, W, _ = self._images(x.shape)
        return x.sum(axis=1).sum(axis=1) / x.dtype.type(H * W), x.shape

    def backward(self, dy, cache):
        N, H, W, C = cache
        dy = self._upstream(dy, (N, C), dy.dtype)
        return np.broadcast_to(dy[:, None, None] / dy.dtype.type(H * W), cache).copy(), {}

    def output_shape(self, *shapes: Shape) -> Shape:
        N, _, _, C = self._images(shapes[0])
        return N, C

    def footprint(self, which=0):
        return WHOLE
