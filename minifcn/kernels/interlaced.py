"""Dilated convolution as plain ones: pixels that are d apart make d² images that know nothing of each other.

The taps of a kernel dilated by d reach from pixel i to i ± d, i ± 2d …, which all leave the same remainder when
divided by d. So the image is dealt out, like cards, into the d² images of one remainder each, these are convolved
with the kernel as it is, by whatever algorithm is fastest, and the results are interlaced again. It is
shift-and-stitch the other way round.

Stride 1, one group, a padding that d divides. Source: Long, Shelhamer & Darrell (2015), section 3.2.
"""

from minifcn.kernels import memory
from minifcn.kernels.rectify import rectify_backward
from minifcn.kernels.team import share, team, two
from minifcn.kernels.window import Window


def plain(window: Window) -> Window:
    """What becomes of the window: no dilation, and padding in pixels of the small images."""
    padding = tuple(p // d for p, d in zip(window.padding, window.dilation))
    return Window(window.kernel_size, padding=padding)


def small_shapes(window, shape, C_out):
    """The shapes of the small images, which round up, and of what becomes of them."""
    (N, H, W, C), (dh, dw) = shape, window.dilation
    images, size = N * dh * dw, (-(-H // dh), -(-W // dw))
    return (images, *size, C), (images, *plain(window).output_size(size), C_out)


# ---------------------------------------------------------------- the three products, `by` those of convolution.py


def convolve(x, w, bias, window, y, relu, by):
    """y = x convolved with w, plus bias; of that max(0, y) with `relu`."""
    small_shape, result_shape = small_shapes(window, x.shape, y.shape[3])
    small, result = deal(x, window.dilation, small_shape), memory.empty(result_shape, y.dtype)
    by(small, w, bias, plain(window), result, relu)
    interlace(result, y, window.dilation)


def input_gradient(dy, w, window, dx, gate, by):
    """dx of `convolve`, given dy; 0 where the array `gate` is not positive."""
    small_shape, upstream_shape = small_shapes(window, dx.shape, dy.shape[3])
    small, upstream = memory.empty(small_shape, dx.dtype), deal(dy, window.dilation, upstream_shape)
    by(upstream, w, plain(window), small)
    interlace(small, dx, window.dilation)
    if gate is not None:
        rectify_backward(dx.reshape(-1), gate.reshape(-1), dx.reshape(-1))


def weight_gradient(x, dy, window, dw, db, by):
    """dw and, if it is given, db of `convolve`, given dy."""
    small_shape, upstream_shape = small_shapes(window, x.shape, dy.shape[3])
    small, upstream = (deal(a, window.dilation, to) for a, to in ((x, small_shape), (dy, upstream_shape)))
    by(small, upstream, plain(window), dw, db)


# ---------------------------------------------------------------- dealing and interlacing


def deal(x, dilation, shape):
    """Image n of x as the images n dh dw + a dw + b, whose pixel (i, j) is x[n, i dh + a, j dw + b], or 0 beyond
    the border. `shape` is that of the result."""
    dealt = memory.empty(shape, x.dtype)
    _deal(x, dealt, dilation)
    return dealt


@team
def _deal(thread, threads, x, dealt, dilation):
    (_, H, W, C), (dh, dw) = x.shape, two(dilation)
    images, rows, columns, _ = dealt.shape
    begin, end = share(images * rows, thread, threads)
    for job in range(begin, end):
        image, i = divmod(job, rows)
        n, remainder = divmod(image, dh * dw)
        a, b = divmod(remainder, dw)
        h = i * dh + a
        for j in range(columns):
            w, out = j * dw + b, dealt[image, i, j]
            if h < H and w < W:
                pixel = x[n, h, w]
                for c in range(C):
                    out[c] = pixel[c]
            else:
                for c in range(C):
                    out[c] = 0


@team
def interlace(thread, threads, dealt, x, dilation):
    """Fill x from the images that `deal` would make of it. What they have beyond its border is left out."""
    (N, H, W, C), (dh, dw) = x.shape, two(dilation)
    begin, end = share(N * H, thread, threads)
    for job in range(begin, end):
        n, h = divmod(job, H)
        i, a = divmod(h, dh)
        for w in range(W):
            j, b = divmod(w, dw)
            pixel, out = dealt[n * dh * dw + a * dw + b, i, j], x[n, h, w]
            for c in range(C):
                out[c] = pixel[c]
