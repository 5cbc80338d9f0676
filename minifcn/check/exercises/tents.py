"""The kernel of bilinear interpolation and the coverage of a kernel: right, and in the wrong ways learners find."""

import numpy as np

from minifcn import initialize
from minifcn.check.diagnosis import Mistake

PAINTS = 'lesson 7, "Each pixel paints"'
TENTS = 'lesson 7, "Odd and even tents"'
INTERPOLATES = 'lesson 7, "A tent interpolates"'
CHECKERS = 'lesson 7, "Checkerboards"'


# ---------------------------------------------------------------- the right answers


def tent(size):
    return initialize.bilinear(size, channels=1, dtype=np.float64)[:, :, 0, 0]


def count(size, kernel, stride):
    """How many kernels meet at each pixel: each of them adds 1 to the pixels that it paints."""
    counts = np.zeros((size - 1) * stride + kernel, int)
    for i in range(size):
        counts[i * stride : i * stride + kernel] += 1
    return counts


# ---------------------------------------------------------------- mistakes of the kernel


def _tent(centre, factor):
    """Products of 1 - |i - centre| / factor, of which both follow from the size."""

    def wrong(size):
        with np.errstate(all="ignore"):
            line = 1 - np.abs(np.arange(size) - centre(size)) / np.float64(factor(size))
        return np.outer(line, line)

    return wrong


def _middle(size):
    return (size - 1) / 2


def _ceil(size):
    return (size + 1) // 2


def _line(size):
    return initialize.bilinear_1d(size)


EVEN_FOR_ODD = (
    "The kernel for even sizes is used for odd ones: an odd tent has its top on a number, at c = (size - 1)"
    " / 2."
)
ODD_FOR_EVEN = (
    "The kernel for odd sizes is used for even ones: an even tent has its top between two numbers, at c ="
    " (size - 1) / 2, a half."
)

TENT_MISTAKES = (
    Mistake(EVEN_FOR_ODD, TENTS, _tent(lambda n: _ceil(n) - 0.5, _ceil)),
    Mistake(EVEN_FOR_ODD, TENTS, _tent(lambda n: n // 2 - 0.5, lambda n: n // 2)),
    Mistake(EVEN_FOR_ODD, TENTS, _tent(lambda n: n / 2 - 0.5, lambda n: n / 2)),
    Mistake(ODD_FOR_EVEN, TENTS, _tent(lambda n: _ceil(n) - 1, _ceil)),
    Mistake(ODD_FOR_EVEN, TENTS, _tent(lambda n: n // 2, _ceil)),
    Mistake(ODD_FOR_EVEN, TENTS, _tent(_middle, lambda n: (n + 1) / 2)),
    Mistake(
        "The factor is rounded down: f is size / 2 rounded up, (size + 1) // 2.",
        TENTS,
        _tent(_middle, lambda n: n // 2),
    ),
    Mistake(
        "The tent falls to 0 at its ends: it reaches 0 one step beyond them, f = (size + 1) // 2 from the top.",
        INTERPOLATES,
        _tent(_middle, _middle),
    ),
    Mistake(
        "The tent is half a number too far to the right: numbers 0 to size - 1 have their middle at (size -"
        " 1) / 2.",
        TENTS,
        _tent(lambda n: n / 2, _ceil),
    ),
    Mistake(
        "This is the tent of one direction. Two directions are a product, np.outer(t, t).",
        INTERPOLATES,
        _line,
    ),
    Mistake(
        "This is a sum of two tents; bilinear is their product, np.outer(t, t).",
        INTERPOLATES,
        lambda n: np.add.outer(_line(n), _line(n)),
    ),
    Mistake(
        "This is a mean of two tents; bilinear is their product, np.outer(t, t).",
        INTERPOLATES,
        lambda n: np.add.outer(_line(n), _line(n)) / 2,
    ),
    Mistake(
        "This is a pyramid, the smaller of two tents; bilinear is their product, np.outer(t, t).",
        INTERPOLATES,
        lambda n: np.minimum.outer(_line(n), _line(n)),
    ),
    Mistake(
        "It is divided by its sum. Neighbouring kernels overlap, and it is their sum that has to be 1.",
        INTERPOLATES,
        lambda n: tent(n) / tent(n).sum(),
    ),
)


# ---------------------------------------------------------------- mistakes of coverage


def _of_length(length):
    """The right counts, cut or filled with zeros to another length."""

    def wrong(size, kernel, stride):
        n = max(length(size, kernel, stride), 0)
        return np.pad(count(size, kernel, stride), (0, n))[:n]

    return wrong


def _gathering(size, kernel, stride):
    """How many windows of a convolution read each pixel."""
    if size < kernel:
        return np.zeros(size, int)
    places = (size - kernel) // stride + 1
    return np.pad(count(places, kernel, stride), (0, (size - kernel) % stride))


def _same_canvas(painting):
    """Strokes that are wrong, on zeros of the right length."""

    def wrong(size, kernel, stride):
        n = (size - 1) * stride + kernel
        return np.pad(painting(size, kernel, stride), (0, n))[:n]

    return wrong


COVERAGE_MISTAKES = (
    Mistake(
        "Where kernels meet, 1 is put over 1 (=): add (+=), so that they are counted.",
        PAINTS,
        lambda *arguments: np.minimum(count(*arguments), 1),
    ),
    *(
        Mistake("The stride is ignored: pixel i paints from i * stride on.", CHECKERS, wrong)
        for wrong in (
            lambda size, kernel, stride: count(size, kernel, 1),
            _same_canvas(lambda size, kernel, stride: count(size, kernel, 1)),
        )
    ),
    Mistake(
        "These are the windows of a convolution that read each pixel of a line of `size`. Here each of"
        " `size` pixels paints, and the result is (size - 1) * stride + kernel long.",
        PAINTS,
        _gathering,
    ),
    *(
        Mistake(
            "The result has the wrong length: it is (size - 1) * stride + kernel.", PAINTS, _of_length(length)
        )
        for length in (
            lambda n, k, s: n * s,
            lambda n, k, s: n * s + k,
            lambda n, k, s: n * s + k - 1,
            lambda n, k, s: n + k - 1,
            lambda n, k, s: (n - 1) * s + 1,
            lambda n, k, s: n,
        )
    ),
    *(
        Mistake("Kernel and stride are swapped.", CHECKERS, wrong)
        for wrong in (
            lambda size, kernel, stride: count(size, stride, kernel),
            _same_canvas(lambda size, kernel, stride: count(size, stride, kernel)),
        )
    ),
    Mistake(
        "The last number of each kernel is left out: range(kernel) and a slice of i * stride + kernel both"
        " end before their end.",
        PAINTS,
        _same_canvas(lambda size, kernel, stride: count(size, kernel - 1, stride)),
    ),
    Mistake(
        "The last pixel paints nothing: there are `size` of them.",
        PAINTS,
        _same_canvas(lambda size, kernel, stride: count(size - 1, kernel, stride)),
    ),
)
