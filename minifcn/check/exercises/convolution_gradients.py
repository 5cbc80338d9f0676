"""The gradients of a convolution, right ones and the wrong ones that learners get.

x (N, H, W, C_in), w (kh, kw, C_in / groups, C_out), dy (N, Ho, Wo, C_out); stride, padding and dilation are whole
numbers. What is right is the library's. A mistake is mostly the right function with arguments that are not.
"""

from itertools import combinations, product

import numpy as np

from minifcn.check.diagnosis import Mistake
from minifcn.kernels.im2col import im2col_definition, input_gradient, weight_gradient
from minifcn.kernels.window import Window

SUMS = 'lesson 3, "Sums, not means"'
PLACES = 'lesson 3, "A weight is used at every place"'
OVERLAP = 'lesson 3, "Where windows overlap, gradients add"'
PADDING = 'lesson 3, "The padding gets nothing"'
PRODUCT = 'lesson 3, "One matrix product"'
FLIP = 'lesson 3, "The flip comes by itself"'
GROUPS = 'lesson 3, "Groups"'
OPTIONS = 'lesson 2, "Stride, padding, dilation"'

FLIPPED = "The kernel is flipped: w[u, v] goes with the pixel that it met in forward; do not turn it round."
STRIDE = "The stride is ignored: the window of output pixel i starts at pixel i * stride."
DILATION = "The dilation is ignored: w[u, v] lies u * dilation rows and v * dilation columns into the window."


# ---------------------------------------------------------------- the right answers


def bias_backward(dy):
    return dy.sum(axis=(0, 1, 2))


def weight_backward(dy, x, kernel_size, stride, padding, dilation, groups=1):
    dw = np.empty((*kernel_size, x.shape[3] // groups, dy.shape[3]))
    weight_gradient(_floats(x), _floats(dy), window_of(kernel_size, stride, padding, dilation, groups), dw)
    return dw


def input_backward(dy, w, input_shape, stride, padding, dilation, groups=1):
    dx = np.empty(input_shape)
    input_gradient(_floats(dy), _floats(w), window_of(w.shape[:2], stride, padding, dilation, groups), dx)
    return dx


def backward(dy, x, w, stride, padding, dilation, groups):
    options = stride, padding, dilation, groups
    dx, dw = input_backward(dy, w, x.shape, *options), weight_backward(dy, x, w.shape[:2], *options)
    return dx, dw, bias_backward(dy)


def _floats(array):
    return np.ascontiguousarray(array, np.float64)


def window_of(kernel_size, stride, padding, dilation, groups=1):
    return Window(tuple(kernel_size), (stride, stride), (padding, padding), (dilation, dilation), groups)


# ---------------------------------------------------------------- mistakes of the bias


BIAS_MISTAKES = (
    Mistake(
        "The sum over the batch is forgotten: all images use the same bias, so add up axis 0 as well.",
        SUMS,
        lambda dy: dy.sum(axis=(1, 2)),
    ),
    Mistake("Only the first image counts: add up all of them.", SUMS, lambda dy: dy[0].sum(axis=(0, 1))),
    Mistake(
        "It is a mean where a sum is asked: each pixel is a path of its own, and paths add.",
        SUMS,
        lambda dy: dy.mean(axis=(0, 1, 2)),
    ),
    Mistake(
        "It is a mean over the batch where a sum is asked: if the loss is a mean, dy has its 1/N already.",
        SUMS,
        lambda dy: dy.sum(axis=(0, 1, 2)) / len(dy),
    ),
    Mistake(
        "It is a mean over the pixels where a sum is asked: each pixel is a path of its own, and paths add.",
        SUMS,
        lambda dy: dy.mean(axis=(1, 2)).sum(axis=0),
    ),
    *(
        Mistake(
            "It is summed over the wrong axes: one number for each output channel is to be left, so add up all axes"
            " but the last.",
            SUMS,
            lambda dy, axes=axes: dy.sum(axis=axes),
        )
        for count in range(5)
        for axes in combinations(range(4), count)
        if axes not in ((0, 1, 2), (1, 2))
    ),
)


# ---------------------------------------------------------------- mistakes of the weights


def _patches(x, kernel_size, stride, padding, dilation):
    return im2col_definition(x, kernel_size, (stride,) * 2, (padding,) * 2, (dilation,) * 2)


def _from_patches(dy, patches):
    return np.einsum("nijuvc,nijo->uvco", patches, dy)


def _first_patches(dy, x, kernel_size, stride, padding, dilation):
    """With other options than the right ones: as many places as dy has, zeros where they lie outside."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    reach = [s + stride * n + dilation * k for s, n, k in zip(padded.shape[1:3], dy.shape[1:3], kernel_size)]
    wide = np.pad(padded, ((0, 0), (0, reach[0]), (0, reach[1]), (0, 0)))
    patches = _patches(wide, kernel_size, stride, 0, dilation)
    return _from_patches(dy, patches[:, : dy.shape[1], : dy.shape[2]])


def _last_place(dy, x, kernel_size, stride, padding, dilation):
    patches = _patches(x, kernel_size, stride, padding, dilation)
    return _from_patches(dy[:, -1:, -1:], patches[:, -1:, -1:])


def _places(rows, columns):
    """Some places of the window are left out."""

    def wrong(dy, x, kernel_size, stride, padding, dilation):
        patches = _patches(x, kernel_size, stride, padding, dilation)
        return _from_patches(dy[:, rows, columns], patches[:, rows, columns])

    return wrong


def _common_places(dy, x, kernel_size, stride, padding, dilation):
    """Without padding there are fewer places: the first so many."""
    patches = _patches(x, kernel_size, stride, 0, dilation)
    return _from_patches(dy[:, : patches.shape[1], : patches.shape[2]], patches)


def _reshaped(order):
    """The right numbers, laid out with the axes of dw in another order, under its shape."""

    def wrong(dy, x, kernel_size, *options):
        dw = weight_backward(dy, x, kernel_size, *options)
        return dw.transpose(order).reshape(dw.shape)

    return wrong


def _mean(axes):
    def wrong(dy, *arguments):
        return weight_backward(dy, *arguments) / np.prod([dy.shape[axis] for axis in axes])

    return wrong


BUT_LAST, BUT_FIRST = slice(None, -1), slice(1, None)
ALL = slice(None)
LEFT_OUT = (
    "A first or last row or column of places is left out: dy has Ho rows and Wo columns, and all count."
)
MIXED = (
    "The axes of dw are mixed up: colsᵀ @ dy is (kh kw C_in, C_out), in this order, and only then reshaped."
)

WEIGHT_MISTAKES = (
    Mistake(FLIPPED, FLIP, lambda *arguments: weight_backward(*arguments)[::-1, ::-1]),
    Mistake(
        "Only the first image counts: each image gives a gradient, and they add.",
        PLACES,
        lambda dy, x, *rest: weight_backward(dy[:1], x[:1], *rest),
    ),
    Mistake(
        "Only the last image is left: add (+=) what each image gives, do not overwrite it (=).",
        PLACES,
        lambda dy, x, *rest: weight_backward(dy[-1:], x[-1:], *rest),
    ),
    Mistake(
        "It is a mean over the batch where a sum is asked: if the loss is a mean, dy has its 1/N already.",
        SUMS,
        _mean((0,)),
    ),
    Mistake(
        "It is a mean over all places where a sum is asked: each place is a path of its own.",
        SUMS,
        _mean((0, 1, 2)),
    ),
    Mistake(
        "It is a mean over the pixels where a sum is asked: each place is a path of its own.",
        SUMS,
        _mean((1, 2)),
    ),
    Mistake(
        "Only the last place is left: add (+=) what each window gives, do not overwrite it (=).",
        PLACES,
        _last_place,
    ),
    Mistake(
        "Only the last place of the last image is left: add (+=) what each window gives, do not overwrite it (=).",
        PLACES,
        lambda dy, x, *rest: _last_place(dy[-1:], x[-1:], *rest),
    ),
    Mistake(STRIDE, OPTIONS, lambda dy, x, k, s, p, d: _first_patches(dy, x, k, 1, p, d)),
    Mistake(DILATION, OPTIONS, lambda dy, x, k, s, p, d: _first_patches(dy, x, k, s, p, 1)),
    *(
        Mistake(
            "The padding is ignored: pad x with zeros as forward does, then take the patches.", OPTIONS, wrong
        )
        for wrong in (lambda dy, x, k, s, p, d: _first_patches(dy, x, k, s, 0, d), _common_places)
    ),
    *(
        Mistake(LEFT_OUT, PLACES, _places(*left))
        for left in list(product((ALL, BUT_LAST, BUT_FIRST), repeat=2))[1:]
    ),
    Mistake(
        "The kernel's rows and columns are swapped: u goes down, v to the right.",
        PRODUCT,
        lambda *arguments: weight_backward(*arguments).swapaxes(0, 1),
    ),
    Mistake(
        "Input and output channels are swapped: dw is (kh, kw, C_in, C_out), the shape of w.",
        PRODUCT,
        lambda *arguments: weight_backward(*arguments).swapaxes(2, 3),
    ),
    *(
        Mistake(MIXED, PRODUCT, _reshaped(order))
        for order in ((3, 0, 1, 2), (2, 0, 1, 3), (3, 2, 0, 1), (0, 1, 3, 2))
    ),
)


# ---------------------------------------------------------------- mistakes of the input


def _scatter(dy, w, size, stride, dilation, add=True, by_place=True):
    """dcols added to (or, for a mistake, put over) an image of `size` pixels, place by place or tap by tap.

    What lies outside is left out.
    """
    N, Ho, Wo, _ = dy.shape
    dx = np.zeros((N, *size, w.shape[2]))
    places, taps = list(np.ndindex(Ho, Wo)), list(np.ndindex(*w.shape[:2]))
    pairs = [(p, t) for p in places for t in taps] if by_place else [(p, t) for t in taps for p in places]
    for (i, j), (u, v) in pairs:
        row, column = i * stride + u * dilation, j * stride + v * dilation
        if row < size[0] and column < size[1]:
            part = dy[:, i, j] @ w[u, v].T
            dx[:, row, column] = part + add * dx[:, row, column]
    return dx


def _with_border(input_shape, padding):
    return tuple(n + 2 * padding for n in input_shape[1:3])


def _cropped(dx, input_shape, padding):
    return dx[:, padding : padding + input_shape[1], padding : padding + input_shape[2]]


def _scattered(**changed):
    """col2im with some arguments changed, cropped rightly."""

    def wrong(dy, w, input_shape, stride, padding, dilation):
        arguments = {"stride": stride, "dilation": dilation} | changed
        return _cropped(
            _scatter(dy, w, _with_border(input_shape, padding), **arguments), input_shape, padding
        )

    return wrong


def _last_channel(dy, w, *rest):
    """The sum over the output channels is overwritten as well."""
    return _scattered(add=False)(dy[..., -1:], w[..., -1:], *rest)


def _border_kept(dy, w, input_shape, stride, padding, dilation):
    return _scatter(dy, w, _with_border(input_shape, padding), stride, dilation)


def _cut_at_the_end(dy, w, input_shape, stride, padding, dilation):
    return _scatter(dy, w, input_shape[1:3], stride, dilation)


def _cut_with_minus_zero(dy, w, input_shape, stride, padding, dilation):
    return _border_kept(dy, w, input_shape, stride, padding, dilation)[:, padding:-padding, padding:-padding]


def _wrapped(dy, w, input_shape, stride, padding, dilation):
    """A negative index counts from the end; one beyond the end is left out."""
    (_, H, W, _), right = input_shape, _border_kept(dy, w, input_shape, stride, padding, dilation)
    dx = np.zeros(input_shape)
    for row, column in np.ndindex(H + padding, W + padding):
        dx[:, row - padding, column - padding] += right[:, row, column]
    return dx


def _reached(dy, w, input_shape, stride, padding, dilation):
    """As large as the windows reach, which is less than the image where a stride leaves a rest."""
    size = [(n - 1) * stride + dilation * (k - 1) + 1 for n, k in zip(dy.shape[1:3], w.shape[:2])]
    dx = _scatter(dy, w, size, stride, dilation)
    return dx[:, padding : size[0] - padding, padding : size[1] - padding]


def _mean_of_windows(dy, w, input_shape, *options):
    ones = np.ones((*w.shape[:2], 1, 1))
    windows = input_backward(np.ones((len(dy), *dy.shape[1:3], 1)), ones, (*input_shape[:3], 1), *options)
    return input_backward(dy, w, input_shape, *options) / np.maximum(windows, 1)


def _without(rows, columns):
    def wrong(dy, *rest):
        kept = np.zeros_like(dy)
        kept[:, rows, columns] = dy[:, rows, columns]
        return input_backward(kept, *rest)

    return wrong


OVERWRITTEN = (
    "Overlapping windows are overwritten (=) where they should be added (+=): a pixel gets a gradient from each"
    " window that has read it."
)
WRONG_END = (
    "The border is cut off at the wrong end: pixel 0 of x is pixel `padding` of the padded image, so dx is"
    " [padding : padding + H]."
)

INPUT_MISTAKES = (
    Mistake(FLIPPED, FLIP, lambda dy, w, *rest: input_backward(dy, w[::-1, ::-1], *rest)),
    Mistake(OVERWRITTEN, OVERLAP, _scattered(add=False)),
    Mistake(OVERWRITTEN, OVERLAP, _scattered(add=False, by_place=False)),
    Mistake(OVERWRITTEN, OVERLAP, _last_channel),
    Mistake(
        "It is a mean over the windows that have read a pixel; their gradients add.",
        OVERLAP,
        _mean_of_windows,
    ),
    Mistake(
        "The padding is not cropped: dx has the shape of x, so cut the border off at the end.",
        PADDING,
        _border_kept,
    ),
    Mistake(WRONG_END, PADDING, _cut_at_the_end),
    Mistake(
        "The slice [padding:-padding] is empty for padding 0: write [padding : padding + H].",
        PADDING,
        _cut_with_minus_zero,
    ),
    Mistake(
        "Negative indices wrap round: what belongs to the padding above and to the left is added at the other end."
        " Leave it out, or work on a padded image and cut its border off.",
        PADDING,
        _wrapped,
    ),
    Mistake(
        "dx is too small: a stride can leave a rest of pixels that no window reaches. They are part of x, and their"
        " gradient is 0.",
        PADDING,
        _reached,
    ),
    Mistake(STRIDE, OPTIONS, _scattered(stride=1)),
    Mistake(DILATION, OPTIONS, _scattered(dilation=1)),
    Mistake(
        "The kernel's rows and columns are swapped: u goes down, v to the right.",
        PRODUCT,
        lambda dy, w, *rest: input_backward(dy, w.swapaxes(0, 1), *rest),
    ),
    Mistake(
        "Input and output channels of w are swapped: dy @ w[u, v].T takes C_out to C_in.",
        PRODUCT,
        lambda dy, w, *rest: input_backward(dy, w.swapaxes(2, 3), *rest),
    ),
    *(
        Mistake(LEFT_OUT, OVERLAP, _without(*left))
        for left in list(product((ALL, BUT_LAST, BUT_FIRST), repeat=2))[1:]
    ),
)


# ---------------------------------------------------------------- mistakes of all three, and of groups


def _grouped(bias=bias_backward, weight=weight_backward, inputs=input_backward):
    """All three gradients, group by group, of which one may be wrong."""

    def wrong(dy, x, w, stride, padding, dilation, groups):
        options = stride, padding, dilation
        parts = list(zip(*(np.split(array, groups, axis=-1) for array in (dy, x, w))))
        dx = [inputs(dy_k, w_k, x_k.shape, *options) for dy_k, x_k, w_k in parts]
        dw = [weight(dy_k, x_k, w_k.shape[:2], *options) for dy_k, x_k, w_k in parts]
        return np.concatenate(dx, axis=-1), np.concatenate(dw, axis=-1), bias(dy)

    return wrong


def _interleaved(array, groups):
    """Channels k, k + groups, k + 2 groups … where part k should be."""
    return np.concatenate([array[..., k::groups] for k in range(groups)], axis=-1)


def _returned(array, groups):
    """The inverse of `_interleaved`."""
    return _interleaved(array, array.shape[-1] // groups)


def _channels_interleaved(outputs_too):
    def wrong(dy, x, w, stride, padding, dilation, groups):
        if outputs_too:
            dy, w = _interleaved(dy, groups), _interleaved(w, groups)
        dx, dw, db = backward(dy, _interleaved(x, groups), w, stride, padding, dilation, groups)
        return _returned(dx, groups), _returned(dw, groups) if outputs_too else dw, db

    return wrong


def _one_group(which):
    """The others are left at zero."""

    def wrong(dy, x, w, stride, padding, dilation, groups):
        size = dy.shape[3] // groups
        part = slice(which % groups * size, (which % groups + 1) * size)
        kept = np.zeros_like(dy)
        kept[..., part] = dy[..., part]
        return backward(kept, x, w, stride, padding, dilation, groups)

    return wrong


def _no_groups(dy, x, w, stride, padding, dilation, groups):
    options = stride, padding, dilation
    dx = input_backward(dy, w, (*x.shape[:3], w.shape[2]), *options)
    return dx, weight_backward(dy, x, w.shape[:2], *options), bias_backward(dy)


MIXED_GROUPS = (
    "The groups are mixed up: part k are the C / groups channels from k * C // groups on, side by side, and part k"
    " of y has to do with part k of x only."
)

BACKWARD_MISTAKES = (
    *(Mistake(one.says, one.see, _grouped(bias=one.wrong)) for one in BIAS_MISTAKES),
    *(Mistake(one.says, one.see, _grouped(weight=one.wrong)) for one in WEIGHT_MISTAKES),
    *(Mistake(one.says, one.see, _grouped(inputs=one.wrong)) for one in INPUT_MISTAKES),
    *(Mistake(MIXED_GROUPS, GROUPS, _channels_interleaved(both)) for both in (True, False)),
    *(
        Mistake("Only one of the groups gets a gradient; each goes its own way back.", GROUPS, _one_group(k))
        for k in (0, -1)
    ),
    Mistake(
        "The groups are ignored: part k of y has to do with part k of x only, and w has C_in / groups channels.",
        GROUPS,
        _no_groups,
    ),
)
