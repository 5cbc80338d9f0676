"""An exercise of lesson 2: the size of what a convolution leaves."""

from hypothesis import strategies as st

from minifcn.check.exercise import Exercise, Mistake
from minifcn.check.exercises.convolution import OPTIONS, window
from minifcn.kernels.window import Window


def size_left(size, kernel, stride, padding, dilation):
    return window((kernel, kernel), stride, padding, dilation).output_size((size, size))[0]


@st.composite
def sizes(draw):
    kernel, stride, dilation = (draw(st.integers(1, most)) for most in (5, 4, 3))
    padding = draw(st.integers(0, 3))
    size = max(1, dilation * (kernel - 1) + 1 - 2 * padding) + draw(st.integers(0, 12))
    return {"size": size, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


output_size = Exercise(
    name="output_size",
    lesson=2,
    reference=size_left,
    cases=sizes(),
    returns=("places",),
    mistakes=(
        Mistake(
            "One is missing: before the window has moved at all, it has one place. Add 1.",
            OPTIONS,
            lambda n, k, s, p, d: size_left(n, k, s, p, d) - 1,
        ),
        Mistake(
            "The padding counts twice: it is on both sides.",
            OPTIONS,
            lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
        ),
        Mistake(
            "The padding is forgotten: it adds 2 * padding pixels.",
            OPTIONS,
            lambda n, k, s, p, d: size_left(n, k, s, 0, d),
        ),
        Mistake(
            "The stride is forgotten: the window moves on by stride pixels, so divide by it.",
            OPTIONS,
            lambda n, k, s, p, d: size_left(n, k, 1, p, d),
        ),
        Mistake(
            "The dilation is forgotten: a kernel reaches over dilation * (kernel - 1) + 1 pixels.",
            OPTIONS,
            lambda n, k, s, p, d: size_left(n, k, s, p, 1),
        ),
        Mistake(
            "A dilated kernel reaches over dilation * (kernel - 1) + 1 pixels, not dilation * kernel: behind its"
            " last number is no gap.",
            OPTIONS,
            lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1,
        ),
        Mistake(
            "A dilation of 1 is no gap at all: the kernel's numbers lie `dilation` pixels apart.",
            OPTIONS,
            lambda n, k, s, p, d: size_left(n, k, s, p, d + 1),
        ),
        Mistake(
            "A kernel reaches over dilation * (kernel - 1) + 1 pixels; the 1 is missing.",
            OPTIONS,
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1,
        ),
        *(
            Mistake(
                "It is rounded up: a window that would stick out has no place, so round down, with //.",
                OPTIONS,
                wrong,
            )
            for wrong in (
                lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1,
                lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s) + 1,
            )
        ),
        Mistake(
            "It is a fraction where a number of places is asked: round down, with // in place of /.",
            OPTIONS,
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1,
        ),
        Mistake(
            "The division comes too late: first the places at stride 1, less one; then //; then plus 1.",
            OPTIONS,
            lambda n, k, s, p, d: size_left(n, k, 1, p, d) // s,
        ),
    ),
    hints=(
        "How many pixels are there with the padding? Over how many does the kernel reach? How far can it move?",
        "The kernel reaches over dilation * (kernel - 1) + 1 pixels. The rest of size + 2 * padding is its way.",
        "On a way of m pixels it stops m // stride times, and it also stands at the start.",
    ),
    source=Window.output_size,
)
