"""An exercise of lesson 2: the convolution as one large matrix, most of it zeros."""

import numpy as np
from hypothesis import strategies as st

from minifcn import surgery
from minifcn.check.exercise import Exercise, Mistake
from minifcn.check.exercises.convolution import FLIPPED, NO_FLIP, SLIDES, SWAPPED, Wrong
from minifcn.layers import Conv2d

MATRIX = 'lesson 2, "As one large matrix"'


@st.composite
def small_pictures(draw):
    """A kernel of distinct numbers, and the size of a picture that has room for it."""
    kh, kw = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    H, W = kh + draw(st.integers(0, 3)), kw + draw(st.integers(0, 3))
    return {"w": np.arange(1.0, kh * kw + 1).reshape(kh, kw), "height": H, "width": W}


def matrix_of(w, height, width):
    layer = Conv2d(1, 1, w.shape, bias=False, dtype=np.float64)
    layer.params["weight"][:, :, 0, 0] = w
    return surgery.to_matrix(layer, (height, width, 1))


def _placed(column: Wrong, rows: Wrong = lambda H, W, Ho, Wo: (Ho, Wo)) -> Wrong:
    """The matrix with w[u, v] of place (i, j) in the column that `column` says, modulo the pixels there are."""

    def wrong(w, height, width):
        (kh, kw), Ho, Wo = w.shape, height - w.shape[0] + 1, width - w.shape[1] + 1
        places = rows(height, width, Ho, Wo)
        M = np.zeros((*places, height * width))
        for i, j in np.ndindex(places):
            for u, v in np.ndindex(kh, kw):
                M[i, j, column(i, j, u, v, width, Wo, kw) % (height * width)] += w[u, v]
        return M.reshape(-1, height * width)

    return wrong


def _column_by_column(w, height, width):
    """The matrix for a picture whose columns follow each other."""
    M = matrix_of(w, height, width).reshape(-1, height, width)
    return M.swapaxes(1, 2).reshape(len(M), -1)


conv_matrix = Exercise(
    name="conv_matrix",
    lesson=2,
    reference=matrix_of,
    cases=small_pictures(),
    returns=("M",),
    mistakes=(
        Mistake(
            "It is the transpose: M has a row for each pixel of y and a column for each pixel of x.",
            MATRIX,
            lambda *case: matrix_of(*case).T,
        ),
        Mistake(FLIPPED, NO_FLIP, lambda w, *size: matrix_of(w[::-1, ::-1], *size)),
        Mistake(SWAPPED, SLIDES, lambda w, *size: matrix_of(w.T, *size)),
        Mistake(
            "The column is counted in rows of y where it should be in rows of x: (i + u) * width + j + v.",
            MATRIX,
            _placed(lambda i, j, u, v, W, Wo, kw: (i + u) * Wo + j + v),
        ),
        Mistake(
            "The kernel's rows follow each other without a gap: one row down in x is `width` columns on in M.",
            MATRIX,
            _placed(lambda i, j, u, v, W, Wo, kw: i * W + j + u * kw + v),
        ),
        Mistake(
            "The kernel moves on by one column at each row of M: at the end of a row of y it must skip to the start"
            " of the next row of x.",
            MATRIX,
            _placed(lambda i, j, u, v, W, Wo, kw: i * Wo + j + u * W + v),
        ),
        *(
            Mistake(
                "There are rows for places where the kernel sticks out: y has (height - kh + 1) * (width - kw + 1)"
                " pixels.",
                MATRIX,
                _placed(column, rows=lambda H, W, Ho, Wo: (H, W)),
            )
            for column in (
                lambda i, j, u, v, W, Wo, kw: (i + u) * W + j + v,
                lambda i, j, u, v, W, Wo, kw: (i + u) * W + (j + v) % W,
            )
        ),
        *(
            Mistake(
                "Height and width are swapped: x.ravel() goes through x row by row, `width` pixels each.",
                MATRIX,
                wrong,
            )
            for wrong in (lambda w, height, width: matrix_of(w, width, height), _column_by_column)
        ),
    ),
    hints=(
        "Each row of M, read as a picture of `height` by `width`, is zero but for the kernel, at one place.",
        "Make M with np.zeros((Ho, Wo, height, width)): M[i, j] is the picture for y[i, j]. Reshape at the end.",
        "M[i, j, i : i + kh, j : j + kw] = w",
    ),
    source=surgery._conv_matrix,
    sample={"w": np.arange(9.0).reshape(3, 3), "height": 16, "width": 16},
)
