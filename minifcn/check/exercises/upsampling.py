"""Lesson 7: transposed convolution and its gradients, the kernel of bilinear interpolation, and coverage."""

import numpy as np
from hypothesis import strategies as st

from minifcn import initialize
from minifcn.check.cases import arguments, simple
from minifcn.check.exercise import Exercise
from minifcn.check.exercises.painting import GATHERING_MISTAKES, PAINTING_MISTAKES, backward, paint
from minifcn.check.exercises.tents import COVERAGE_MISTAKES, TENT_MISTAKES, count, tent
from minifcn.layers.conv import ConvTranspose2d

__all__ = ["bilinear_kernel", "conv_transpose2d", "conv_transpose2d_backward", "coverage"]


@st.composite
def paintings(draw):
    """x, w and dy that belong together, and the options: kernels up to 3x3, at most 3 x 3 pixels."""
    kernel_size, size = [draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2)]
    stride = draw(st.integers(1, 3))
    painted = [(n - 1) * stride + k for n, k in zip(size, kernel_size)]
    padding = draw(st.integers(0, min(2, (min(painted) - 1) // 2)))
    N, C_in, C_out = (draw(st.integers(1, 2)) for _ in range(3))
    return {
        "dy": draw(simple((N, *(n - 2 * padding for n in painted), C_out))),
        "x": draw(simple((N, *size, C_in))),
        "w": draw(simple((*kernel_size, C_out, C_in))),
        "stride": stride,
        "padding": padding,
    }


def _forward_case(case):
    return {name: case[name] for name in ("x", "w", "stride", "padding")}


def _sample():
    rng = np.random.default_rng(0)
    shapes = {"dy": (4, 32, 32, 8), "x": (4, 16, 16, 16), "w": (4, 4, 8, 16)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()} | {
        "stride": 2,
        "padding": 1,
    }


SAMPLE = _sample()


conv_transpose2d = Exercise(
    name="conv_transpose2d",
    lesson=7,
    reference=paint,
    cases=paintings().map(_forward_case),
    returns=("y",),
    mistakes=PAINTING_MISTAKES,
    hints=(
        "Look at the picture of the four pixels: what does pixel i put where, and what happens where two meet?",
        "Start with zeros of (H - 1) * stride + kh by (W - 1) * stride + kw pixels, go through all pixels"
        " and add. At the end, cut `padding` pixels off on each side.",
        "y[:, i * stride : i * stride + kh, j * stride : j * stride + kw] += np.einsum('nc,uvoc->nuvo',"
        " x[:, i, j], w) for all i and j, then y[:, padding : height - padding, padding : width - padding].",
    ),
    source=ConvTranspose2d.forward,
    sample=_forward_case(SAMPLE),
)

conv_transpose2d_backward = Exercise(
    name="conv_transpose2d_backward",
    lesson=7,
    reference=backward,
    cases=paintings(),
    returns=("dx", "dw"),
    mistakes=GATHERING_MISTAKES,
    hints=(
        "Pixel x[n, i, j] has painted a window of y. Which one, and with which weight at (u, v)?",
        "First pad dy with zeros: what was cut off has no gradient. Then dy[:, i * stride + u, j * stride +"
        " v] is what x[:, i, j] gets back through w[u, v].",
        "With read = dy[:, i * stride + u, j * stride + v]: dx[:, i, j] += read @ w[u, v], and dw[u, v] +="
        " read.T @ x[:, i, j], for all i, j, u and v.",
    ),
    source=ConvTranspose2d.backward,
    sample=SAMPLE,
)

bilinear_kernel = Exercise(
    name="bilinear_kernel",
    lesson=7,
    reference=tent,
    cases=arguments(size=st.integers(2, 16)),
    returns=("kernel",),
    mistakes=TENT_MISTAKES,
    hints=(
        "Draw the tents of size 3 and 4 on paper. Where is the top, and how much is lost from number to"
        " number?",
        "Begin with one direction: i = np.arange(size), c = (size - 1) / 2, f = (size + 1) // 2.",
        "t = 1 - abs(i - c) / f has `size` numbers; np.outer(t, t) has size x size.",
    ),
    source=initialize.bilinear_1d,
    rtol=1e-6,
)

coverage = Exercise(
    name="coverage",
    lesson=7,
    reference=count,
    cases=arguments(size=st.integers(1, 5), kernel=st.integers(1, 6), stride=st.integers(1, 4)),
    returns=("counts",),
    mistakes=COVERAGE_MISTAKES,
    hints=(
        "How long is the result? Pixel i paints from i * stride on.",
        "Start with zeros, (size - 1) * stride + kernel of them, and let each pixel add 1 to all that it"
        " paints.",
        "for i in range(size): counts[i * stride : i * stride + kernel] += 1",
    ),
    source=count,
)
