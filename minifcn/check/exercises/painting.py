"""Transposed convolution and its gradients: right ones, and the wrong ones that learners get.

x (N, H, W, C_in), w (kh, kw, C_out, C_in), y (N, Ho, Wo, C_out). What is right is the library's. A mistake is
mostly a plain painting in which one thing is done in another way.
"""

import numpy as np

from minifcn.check.diagnosis import Mistake
from minifcn.layers.conv import ConvTranspose2d

PAINTS = 'lesson 7, "Each pixel paints"'
GRADIENT = 'lesson 7, "The gradient of one is the other"'
FLIP = 'lesson 2, "No flip"'
SUMS = 'lesson 3, "Sums, not means"'


# ---------------------------------------------------------------- the right answers


def paint(x, w, stride, padding):
    y, _ = _layer(w, stride, padding).forward(np.ascontiguousarray(x))
    return y


def backward(dy, x, w, stride, padding):
    dx, grads = _layer(w, stride, padding).backward(np.ascontiguousarray(dy), np.ascontiguousarray(x))
    return dx, grads["weight"]


def _layer(w, stride, padding):
    kh, kw, C_out, C_in = w.shape
    layer = ConvTranspose2d(C_in, C_out, (kh, kw), stride, padding, bias=False)
    layer.params["weight"] = np.ascontiguousarray(w)
    return layer


# ---------------------------------------------------------------- mistakes of painting


def _strokes(x, w, stride, add=True, by_pixel=True):
    """The whole painting, padding included, pixel by pixel or tap by tap; added or put over what is there."""
    (N, H, W, _), (kh, kw, C_out, _) = x.shape, w.shape
    y = np.zeros((N, (H - 1) * stride + kh, (W - 1) * stride + kw, C_out))
    pixels, taps = list(np.ndindex(H, W)), list(np.ndindex(kh, kw))
    pairs = [(p, t) for p in pixels for t in taps] if by_pixel else [(p, t) for t in taps for p in pixels]
    for (i, j), (u, v) in pairs:
        row, column = i * stride + u, j * stride + v
        y[:, row, column] = x[:, i, j] @ w[u, v].T + add * y[:, row, column]
    return y


def _cropped(y, padding):
    return y[:, padding : y.shape[1] - padding, padding : y.shape[2] - padding]


def _painted(**changed):
    """Painted in another way, cropped rightly."""

    def wrong(x, w, stride, padding):
        return _cropped(_strokes(x, w, **({"stride": stride} | changed)), padding)

    return wrong


def _on_the_right_canvas(x, w, stride, padding):
    """Painted without the stride, on zeros of the right size."""
    y, close = np.zeros_like(paint(x, w, stride, 0)), _strokes(x, w, 1)
    y[:, : close.shape[1], : close.shape[2]] = close
    return _cropped(y, padding)


def _last_channel(x, w, stride, padding):
    """The sum over the input channels is overwritten, too."""
    return paint(x[..., -1:], w[..., -1:], stride, padding)


def _cut(start, stop):
    """What is left of a side of n pixels, `padding` of which are cut off somewhere."""

    def wrong(x, w, stride, padding):
        y = _strokes(x, w, stride)
        rows, columns = (slice(start(padding), stop(n, padding)) for n in y.shape[1:3])
        return y[:, rows, columns]

    return wrong


def _first_image(x, *rest):
    y = paint(x, *rest)
    y[1:] = 0
    return y


def _padded_first(x, w, stride, padding):
    return _strokes(_with_border(x, padding), w, stride)


def _with_border(x, padding):
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _mean_of_kernels(x, w, stride, padding):
    kh, kw = w.shape[:2]
    ones = np.ones((1, *x.shape[1:3], 1))
    kernels = _cropped(_strokes(ones, np.ones((kh, kw, 1, 1)), stride), padding)
    return paint(x, w, stride, padding) / np.maximum(kernels, 1)


OVERWRITTEN = "Where kernels overlap, the last one is put over the others (=); their paint adds up (+=)."
STRIDE = "The stride is ignored: pixel i paints from i * stride on, and the result grows accordingly."
WRONG_END = (
    "The padding is cut off at the wrong end: `padding` pixels go on each side, so pixel 0 of y is pixel"
    " `padding` of the painting."
)

PAINTING_MISTAKES = (
    Mistake(OVERWRITTEN, PAINTS, _painted(add=False)),
    Mistake(OVERWRITTEN, PAINTS, _painted(add=False, by_pixel=False)),
    Mistake("Only the first image is painted: do all of them.", PAINTS, _first_image),
    Mistake("Only the last input channel counts: the channels of x add up (+=).", PAINTS, _last_channel),
    Mistake(
        "The kernel is flipped: w[0, 0] is painted at the top left of its window. Turn nothing round, and"
        " nothing turns by itself if zeros are put between the pixels and a convolution follows.",
        FLIP,
        lambda x, w, *options: paint(x, w[::-1, ::-1], *options),
    ),
    Mistake(STRIDE, PAINTS, _painted(stride=1)),
    Mistake(STRIDE, PAINTS, _on_the_right_canvas),
    Mistake(
        "The padding is not cropped: here it makes the result smaller, by `padding` pixels on each side.",
        PAINTS,
        lambda x, w, stride, padding: _strokes(x, w, stride),
    ),
    Mistake(
        "The padding is put around x before the painting, as for a convolution. Here it is cut off afterwards.",
        PAINTS,
        _padded_first,
    ),
    Mistake(WRONG_END, PAINTS, _cut(lambda p: 0, lambda n, p: n - 2 * p)),
    Mistake(WRONG_END, PAINTS, _cut(lambda p: 2 * p, lambda n, p: n)),
    *(
        Mistake("The padding is cut off on one side only; it goes on each side.", PAINTS, _cut(start, stop))
        for start, stop in (
            (lambda p: p, lambda n, p: n),
            (lambda p: 0, lambda n, p: n - p),
        )
    ),
    Mistake(
        "The slice [padding:-padding] is empty for padding 0: write [padding : height - padding].",
        PAINTS,
        lambda x, w, stride, padding: _strokes(x, w, stride)[:, padding:-padding, padding:-padding],
    ),
    Mistake(
        "It is a mean over the kernels that meet at a pixel; their paint adds up.", PAINTS, _mean_of_kernels
    ),
    Mistake(
        "The kernel's rows and columns are swapped: u goes down, v to the right.",
        PAINTS,
        lambda x, w, stride, padding: _cropped(_strokes(x, w.swapaxes(0, 1), stride), padding),
    ),
    Mistake(
        "Input and output channels of w are swapped: w is (kh, kw, C_out, C_in), so x @ w[u, v].T.",
        GRADIENT,
        lambda x, w, *options: paint(x, w.swapaxes(2, 3), *options),
    ),
)


# ---------------------------------------------------------------- mistakes of its gradients


def _gathered(dy, x, w, stride, place=lambda i, j: (i, j)):
    """dx and dw from a dy that has its border again; zeros lie beyond it. `place` may look at another pixel."""
    (_, H, W, _), (kh, kw) = x.shape, w.shape[:2]
    dy = np.pad(dy, ((0, 0), (0, H * stride + kh), (0, W * stride + kw), (0, 0)))
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for (i, j), (u, v) in ((p, t) for p in np.ndindex(H, W) for t in np.ndindex(kh, kw)):
        row, column = place(i * stride + u, j * stride + v)
        dx[:, i, j] += dy[:, row, column] @ w[u, v]
        dw[u, v] += dy[:, row, column].T @ x[:, i, j]
    return dx, dw


def _no_stride(dy, x, w, stride, padding):
    return _gathered(_with_border(dy, padding), x, w, 1)


def _no_padding(dy, x, w, stride, padding):
    return _gathered(dy, x, w, stride)


def _cut_again(dy, x, w, stride, padding):
    """dy is cropped as y was: what is beyond it counts as zero."""
    return _gathered(_cropped(dy, padding), x, w, stride)


def _border_kept(dy, x, w, stride, padding):
    """dx of an x with a border, as a convolution's backward would have it."""
    dx, dw = backward(dy, x, w, stride, padding)
    return _with_border(dx, padding), dw


def _last_tap(dy, x, w, stride, padding):
    """Both sums overwritten: over the taps for dx, over the places for dw."""
    dy = _with_border(dy, padding)
    (_, H, W, _), (kh, kw) = x.shape, w.shape[:2]
    read = dy[:, kh - 1 :: stride, kw - 1 :: stride][:, :H, :W]
    last = dy[:, (H - 1) * stride :, (W - 1) * stride :]
    return read @ w[-1, -1], np.einsum("nuvo,nc->uvoc", last, x[:, -1, -1])


def _flipped(dy, x, w, *options):
    dx, _ = backward(dy, x, w[::-1, ::-1], *options)
    _, dw = backward(dy, x, w, *options)
    return dx, dw[::-1, ::-1]


def _swapped(axes, which):
    """Two axes of w swapped in the sum for dx, or of dw when it is done. The other gradient is right."""

    def wrong(dy, x, w, *options):
        dx, dw = backward(dy, x, w, *options)
        if which == "dx":
            return backward(dy, x, w.swapaxes(*axes), *options)[0], dw
        return dx, dw.swapaxes(*axes)

    return wrong


def _some_images(which):
    def wrong(dy, x, w, *options):
        dx, _ = backward(dy, x, w, *options)
        kept = np.zeros_like(dx)
        kept[which] = dx[which]
        return kept, backward(dy[which], x[which], w, *options)[1]

    return wrong


def _mean_over(axes):
    def wrong(dy, x, w, *options):
        dx, dw = backward(dy, x, w, *options)
        return dx / np.prod(w.shape[:2]), dw / np.prod([x.shape[axis] for axis in axes])

    return wrong


def _painted_again(dy, x, w, stride, padding):
    """Forward on dy; the channels have to fit."""
    return paint(dy, w, stride, padding), backward(dy, x, w, stride, padding)[1]


GATHERING_MISTAKES = (
    Mistake(
        "The kernel is flipped: w[u, v] goes with the pixel that it has painted, (i * stride + u, j *"
        " stride + v).",
        GRADIENT,
        _flipped,
    ),
    Mistake("The stride is ignored: pixel i has painted from i * stride on.", GRADIENT, _no_stride),
    Mistake(
        "The padding is ignored: pixel 0 of dy is pixel `padding` of the painting. Put a border of zeros"
        " around dy.",
        GRADIENT,
        _no_padding,
    ),
    Mistake(
        "dy is cropped once more: forward has cut the padding off, so backward puts a border of zeros"
        " around dy.",
        GRADIENT,
        _cut_again,
    ),
    Mistake(
        "dx has a border that x has not: it is dy that gets the border, since the painting was cropped.",
        GRADIENT,
        _border_kept,
    ),
    Mistake(
        "Only the last product is left: add (+=) what each tap and each pixel give, do not overwrite it (=).",
        GRADIENT,
        _last_tap,
    ),
    Mistake(
        "Only the first image counts: each gives a gradient, and they add.", SUMS, _some_images(slice(1))
    ),
    Mistake(
        "Only the last image is left: each gives a gradient, and they add.",
        SUMS,
        _some_images(slice(-1, None)),
    ),
    *(
        Mistake(f"It is a mean over {what} where a sum is asked.", SUMS, _mean_over(axes))
        for what, axes in (("the batch", (0,)), ("the pixels", (1, 2)), ("all pixels and images", (0, 1, 2)))
    ),
    *(
        Mistake(says, GRADIENT, _swapped(axes, which))
        for says, axes in (
            ("The kernel's rows and columns are swapped: u goes down, v to the right.", (0, 1)),
            ("Input and output channels are swapped: w and dw are (kh, kw, C_out, C_in).", (2, 3)),
        )
        for which in ("dx", "dw")
    ),
    Mistake(
        "dy is painted once more. The way back is the other one: dx gathers, it is a convolution of dy.",
        GRADIENT,
        _painted_again,
    ),
)
