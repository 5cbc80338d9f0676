"""Interpolation and averaging along one axis: a matrix with few numbers in each row.

    y[n, i] = sum over t of weight[i, t] x[n, first[i] + t]

Its transpose, in the same form, gives the gradient (`transposed`). An image is resampled along its rows and then
along its columns: upsampling and pooling into bins are both products of this kind.
"""

import numpy as np

from minifcn.kernels import memory
from minifcn.kernels.team import share, team

Matrix = tuple[np.ndarray, np.ndarray]  # first (rows,) int64, weight (rows, taps)


def resample_definition(x, matrix):
    """The product with the matrix written out."""
    return np.einsum("ij,njl->nil", dense(matrix, x.shape[1]), x)


def dense(matrix: Matrix, columns: int) -> np.ndarray:
    """The matrix (rows, columns) with all its zeros."""
    first, weight = matrix
    whole = np.zeros((len(first), columns), weight.dtype)
    for row, start in enumerate(first):
        taps = weight[row, : columns - start]
        whole[row, start : start + len(taps)] = taps
    return whole


def sparse(whole: np.ndarray) -> Matrix:
    """A matrix without its zeros: of each row the numbers from the first to the last that is not 0."""
    rows, columns = whole.shape
    first = (whole != 0).argmax(axis=1)
    last = columns - 1 - (whole[:, ::-1] != 0).argmax(axis=1)
    weight = np.zeros((rows, int((last - first).max()) + 1), whole.dtype)
    for row in range(rows):
        taps = whole[row, first[row] : last[row] + 1]
        weight[row, : len(taps)] = taps
    return first, weight


def transposed(matrix: Matrix, columns: int) -> Matrix:
    """The transpose of a matrix with this many columns."""
    return sparse(dense(matrix, columns).T)


@team
def resample(thread, threads, x, first, weight, y):
    """Fill y (N, rows, L) from x (N, columns, L). A weight of 0 leaves its number out, were it NaN."""
    rows, taps = weight.shape
    begin, end = share(x.shape[0] * rows, thread, threads)
    for job in range(begin, end):
        n, i = divmod(job, rows)
        out, w, row = y[n, i], weight[i, 0], x[n, first[i]]
        for k in range(row.size):
            out[k] = w * row[k] if w != 0 else 0
        for t in range(1, taps):
            w = weight[i, t]
            if w != 0:
                row = x[n, first[i] + t]
                for k in range(row.size):
                    out[k] += w * row[k]


def resample_images(x: np.ndarray, vertical: Matrix, horizontal: Matrix) -> np.ndarray:
    """Images (N, H, W, C) multiplied along their columns by one matrix and along their rows by another."""
    N, H, W, C = x.shape
    Ho, Wo = len(vertical[0]), len(horizontal[0])
    y = memory.empty((N, Ho, Wo, C), x.dtype)
    if Wo > W:  # so that what lies between is small
        between = memory.empty((N, H, Wo, C), x.dtype)
        resample(x.reshape(N * H, W, C), *horizontal, between.reshape(N * H, Wo, C))
        resample(between.reshape(N, H, Wo * C), *vertical, y.reshape(N, Ho, Wo * C))
    else:
        between = memory.empty((N, Ho, W, C), x.dtype)
        resample(x.reshape(N, H, W * C), *vertical, between.reshape(N, Ho, W * C))
        resample(between.reshape(N * Ho, W, C), *horizontal, y.reshape(N * Ho, Wo, C))
    return y
