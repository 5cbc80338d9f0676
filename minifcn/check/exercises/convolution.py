"""Exercises of lesson 2: the convolution by loops, and its patches."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minifcn.check.cases import simple
from minifcn.check.exercise import Exercise, Mistake
from minifcn.kernels.convolution import convolve
from minifcn.kernels.im2col import im2col_definition
from minifcn.kernels.window import Window

SLIDES = 'lesson 2, "A window slides"'
NO_FLIP = 'lesson 2, "No flip"'
OPTIONS = 'lesson 2, "Stride, padding, dilation"'
LOOPS = 'lesson 2, "By loops"'
PATCHES = 'lesson 2, "As patches times a matrix"'

FLIPPED = (
    "The kernel is flipped: in deep learning w[u, v] meets the pixel u rows down and v to the right. No flip."
)
SWAPPED = "The kernel's rows and columns are swapped: in w[u, v], u counts downwards and v to the right."


@st.composite
def convolutions(draw):
    """x (N, H, W, C_in) and w (kh, kw, C_in, C_out), with all options, and room for a window."""
    N, C_in, C_out, stride, dilation = (draw(st.integers(1, most)) for most in (2, 2, 2, 3, 2))
    kh, kw = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2))
    least = [max(1, dilation * (k - 1) + 1 - 2 * padding) for k in (kh, kw)]
    H, W = (n + draw(st.integers(0, 3)) for n in least)
    return {
        "x": draw(simple((N, H, W, C_in))),
        "w": draw(simple((kh, kw, C_in, C_out))),
        "b": draw(simple((C_out,))),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
    }


def with_kernel_size(case: dict[str, Any]) -> dict[str, Any]:
    """The case of a convolution as one of im2col."""
    return {
        "x": case["x"],
        "kernel_size": case["w"].shape[:2],
        **{name: case[name] for name in ("stride", "padding", "dilation")},
    }


def middling() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {"x": (1, 18, 18, 4), "w": (3, 3, 4, 8), "b": (8,)}
    drawn = {name: rng.standard_normal(shape, np.float32) for name, shape in arrays.items()}
    return drawn | {"stride": 1, "padding": 0, "dilation": 1}


def window(kernel_size, stride, padding, dilation) -> Window:
    return Window(tuple(kernel_size), (stride, stride), (padding, padding), (dilation, dilation))


def patches_of(x, kernel_size, stride, padding, dilation):
    """The patches of lesson 2; none where wrong options leave no room for a window, as loops would find none."""
    Ho, Wo = window(kernel_size, stride, padding, dilation).output_size(x.shape[1:3])
    if min(Ho, Wo) < 1:
        return np.empty((len(x), max(Ho, 0), max(Wo, 0), *kernel_size, x.shape[3]))
    return im2col_definition(x, kernel_size, (stride, stride), (padding, padding), (dilation, dilation))


# ---------------------------------------------------------------- loops


def convolution(x, w, b, stride, padding, dilation):
    """Patches times a matrix: y[n, i, j, o] = b[o] + the sum of patches[n, i, j, u, v, c] w[u, v, c, o]."""
    patches = patches_of(x, w.shape[:2], stride, padding, dilation)
    return np.tensordot(patches, w, axes=3) + b


def convolution_of_the_library(x, w, b, stride, padding, dilation):
    where = window(w.shape[:2], stride, padding, dilation)
    y = np.empty((len(x), *where.output_size(x.shape[1:3]), w.shape[3]), x.dtype)
    convolve(x, w, b, where, y)
    return y


Wrong = Callable[..., Any]


def _other_options(right: Wrong, change: Wrong, cut: bool = False) -> Wrong:
    """`right`, with what `change` makes of (x, stride, padding, dilation); cut to the right size, if asked."""

    def wrong(x, kernel, *rest):
        *bias, stride, padding, dilation = rest
        changed, *options = change(x, stride, padding, dilation)
        y = right(changed, kernel, *bias, *options)
        if not cut:
            return y
        kernel_size = getattr(kernel, "shape", kernel)[:2]
        Ho, Wo = window(kernel_size, stride, padding, dilation).output_size(x.shape[1:3])
        return y[:, :Ho, :Wo]

    return wrong


def _padded(x, before, after, **options):
    return np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), **options)


def _negative_indices(x, s, p, d):
    """x[-1] is the last row, not the padding above the first."""
    return _padded(_padded(x, p, 0, mode="wrap"), 0, p), s, 0, d


def _of_options(right: Wrong) -> Iterator[Mistake]:
    """What goes wrong with stride, padding and dilation, in loops and in patches alike."""
    for says, change in (
        (
            "The stride is ignored: the window of output i starts at i * stride.",
            lambda x, s, p, d: (x, 1, p, d),
        ),
        (
            "The dilation is ignored: the kernel's numbers lie `dilation` pixels apart, so u * dilation.",
            lambda x, s, p, d: (x, s, p, 1),
        ),
    ):
        yield Mistake(says, OPTIONS, _other_options(right, change))
        yield Mistake(says, OPTIONS, _other_options(right, change, cut=True))
    for says, see, change in (
        (
            "The padding is ignored: put `padding` zeros around x first.",
            OPTIONS,
            lambda x, s, p, d: (x, s, 0, d),
        ),
        (
            "The padding belongs on both sides: `padding` zeros before and as many behind.",
            OPTIONS,
            lambda x, s, p, d: (_padded(x, p, 0), s, 0, d),
        ),
        (
            "The padding belongs on both sides: `padding` zeros before and as many behind.",
            OPTIONS,
            lambda x, s, p, d: (_padded(x, 2 * p, 0), s, 0, d),
        ),
        (
            "The padding belongs on both sides: `padding` zeros before and as many behind.",
            OPTIONS,
            lambda x, s, p, d: (_padded(x, 0, 2 * p), s, 0, d),
        ),
        (
            "The padding is halved: `padding` zeros go on each side, not on both together.",
            OPTIONS,
            lambda x, s, p, d: (x, s, p // 2, d),
        ),
        (
            "The padding is the border repeated; it should be zeros.",
            OPTIONS,
            lambda x, s, p, d: (_padded(x, p, p, mode="edge"), s, 0, d),
        ),
        (
            "A negative index wraps round: x[-1] is the last row, not the padding. Skip what lies outside.",
            LOOPS,
            _negative_indices,
        ),
        (
            "Stride and dilation are exchanged: i * stride + u * dilation.",
            OPTIONS,
            lambda x, s, p, d: (x, d, p, s),
        ),
        (
            "A dilation of 1 is no gap at all: the kernel's numbers lie `dilation` pixels apart.",
            OPTIONS,
            lambda x, s, p, d: (x, s, p, d + 1),
        ),
    ):
        yield Mistake(says, see, _other_options(right, change))


def _of_the_kernel(change: Wrong) -> Wrong:
    return lambda x, w, b, *options: convolution(x, change(w), b, *options)


def _of_the_last_product(start: Wrong, channels: slice) -> Wrong:
    """What is left if each product replaces the one before it."""

    def wrong(x, w, b, stride, padding, dilation):
        patches = patches_of(x, w.shape[:2], stride, padding, dilation)
        return start(b) + patches[:, :, :, -1, -1, channels] @ w[-1, -1, channels]

    return wrong


def _last_missing(left: Wrong) -> Wrong:
    """The last row and the last column hold what was there before: zeros, or the bias."""

    def wrong(x, w, b, *options):
        y = convolution(x, w, b, *options)
        y[:, -1:] = y[:, :, -1:] = left(b)
        return y

    return wrong


def _first_image_for_all(x, w, b, *options):
    return convolution(np.repeat(x[:1], len(x), axis=0), w, b, *options)


conv2d = Exercise(
    name="conv2d",
    lesson=2,
    reference=convolution_of_the_library,
    cases=convolutions(),
    returns=("y",),
    mistakes=(
        Mistake(FLIPPED, NO_FLIP, _of_the_kernel(lambda w: w[::-1, ::-1])),
        Mistake(SWAPPED, SLIDES, _of_the_kernel(lambda w: w.swapaxes(0, 1))),
        *(
            Mistake(
                "Input and output channels are swapped: it is w[u, v, c, o], c of x and o of y.", LOOPS, wrong
            )
            for wrong in (
                _of_the_kernel(lambda w: w.swapaxes(2, 3)),
                _of_the_kernel(lambda w: w.swapaxes(2, 3).reshape(w.shape)),
            )
        ),
        Mistake(
            "The bias is forgotten: add b[o] to each pixel of channel o.",
            LOOPS,
            lambda x, w, b, *options: convolution(x, w, 0 * b, *options),
        ),
        *(
            Mistake(
                "The bias is added with every product: once for each pixel of y is enough.",
                LOOPS,
                lambda x, w, b, *options, axes=axes: convolution(x, w, b * np.prod(w.shape[:axes]), *options),
            )
            for axes in (2, 3)
        ),
        *_of_options(convolution),
        Mistake(
            "Only the first channel of x counts: the sum runs over all of them.",
            LOOPS,
            lambda x, w, b, *options: convolution(x[..., :1], w[:, :, :1], b, *options),
        ),
        *(
            Mistake("Each product replaces the one before: add them up, with +=.", LOOPS, wrong)
            for wrong in (
                _of_the_last_product(lambda b: b, slice(None)),
                _of_the_last_product(lambda b: b, slice(-1, None)),
                _of_the_last_product(lambda b: 0, slice(None)),
                _of_the_last_product(lambda b: 0, slice(-1, None)),
            )
        ),
        *(
            Mistake(
                "It is a mean over the window where the sum is asked.",
                SLIDES,
                lambda x, w, b, *options, axes=axes: convolution(x, w / np.prod(w.shape[:axes]), b, *options),
            )
            for axes in (2, 3)
        ),
        *(
            Mistake(
                "The last row and the last column are missing: range(n) ends at n - 1.",
                LOOPS,
                _last_missing(left),
            )
            for left in (lambda b: 0, lambda b: b)
        ),
        *(
            Mistake("Only the first image counts: go through all N.", LOOPS, wrong)
            for wrong in (
                _first_image_for_all,
                lambda x, *rest: convolution(x[:1], *rest),
                lambda x, *rest: convolution(x, *rest) * (np.arange(len(x)) == 0)[:, None, None, None],
            )
        ),
    ),
    hints=(
        "How large is y? Make it with np.zeros((N, Ho, Wo, C_out)), and write one loop for each of n, i, j.",
        "np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0))) puts zeros around all images at once.",
        "In the loops over i, j, u, v, the pixel is padded[:, i * stride + u * dilation, j * stride + v * dilation]"
        ", of shape (N, C_in). Times w[u, v], of shape (C_in, C_out), it is what to add to y[:, i, j].",
    ),
    source=convolution,
    sample=middling(),
)


# ---------------------------------------------------------------- patches


def _rearranged(change: Wrong) -> Wrong:
    return lambda *case: change(patches_of(*case))


im2col = Exercise(
    name="im2col",
    lesson=2,
    reference=patches_of,
    cases=convolutions().map(with_kernel_size),
    returns=("patches",),
    mistakes=(
        Mistake(
            "The patches are flipped: [u, v] is the pixel u rows down and v to the right. No flip.",
            NO_FLIP,
            _rearranged(lambda patches: patches[:, :, :, ::-1, ::-1]),
        ),
        *(
            Mistake(
                "The rows and columns of the window are swapped: in [u, v], u counts downwards and v to the right.",
                PATCHES,
                wrong,
            )
            for wrong in (
                _rearranged(lambda patches: patches.swapaxes(3, 4)),
                lambda x, kernel_size, *options: patches_of(x, kernel_size[::-1], *options),
            )
        ),
        Mistake(
            "The places are swapped: in [n, i, j], i counts the rows and j the columns.",
            PATCHES,
            _rearranged(lambda patches: patches.swapaxes(1, 2)),
        ),
        *(
            Mistake(
                "The channels come last, behind u and v: (N, Ho, Wo, kh, kw, C). Else the weights do not fit.",
                PATCHES,
                wrong,
            )
            for wrong in (
                _rearranged(lambda patches: np.moveaxis(patches, 5, 3)),
                _rearranged(lambda patches: np.moveaxis(patches, 5, 3).reshape(patches.shape)),
            )
        ),
        *(
            Mistake(
                "The places come first, then the window: (N, Ho, Wo, kh, kw, C).",
                PATCHES,
                wrong,
            )
            for wrong in (
                _rearranged(lambda patches: patches.transpose(0, 3, 4, 1, 2, 5)),
                _rearranged(lambda patches: patches.transpose(0, 3, 4, 1, 2, 5).reshape(patches.shape)),
                _rearranged(lambda patches: patches.transpose(3, 4, 0, 1, 2, 5)),
            )
        ),
        *_of_options(patches_of),
        Mistake(
            "np.pad(x, padding) pads all axes: it is ((0, 0), (padding, padding), (padding, padding), (0, 0)).",
            OPTIONS,
            lambda x, kernel_size, s, p, d: patches_of(np.pad(x, p), kernel_size, s, 0, d),
        ),
        Mistake(
            "The last row and the last column of places are missing: range(n) ends at n - 1.",
            PATCHES,
            _rearranged(
                lambda patches: (
                    patches
                    * (np.arange(patches.shape[1]) < patches.shape[1] - 1)[:, None, None, None, None]
                    * (np.arange(patches.shape[2]) < patches.shape[2] - 1)[:, None, None, None]
                )
            ),
        ),
        Mistake(
            "Only the first image counts: go through all N.",
            PATCHES,
            lambda x, *rest: patches_of(x[:1], *rest),
        ),
    ),
    hints=(
        "Pad first. Then the patch at the place i, j is a slice of the padded picture, with steps of `dilation`.",
        "Make the result with np.empty((N, Ho, Wo, kh, kw, C)), and fill [:, i, j] in two loops.",
        "The rows of the patch at i are slice(i * stride, i * stride + dilation * (kh - 1) + 1, dilation).",
    ),
    source=im2col_definition,
    sample=with_kernel_size(middling()),
)
