"""max(x, 0) and its gradient. Flat arrays in, flat arrays out; the output may be the input."""

import numpy as np

from minifcn.kernels.team import share, team


def rectify_definition(x):
    """y = max(x, 0)."""
    return np.maximum(x, 0)


@team
def rectify(thread, threads, x, y):
    """y = max(x, 0). A NaN stays a NaN."""
    begin, end = share(x.size, thread, threads)
    x, y = x[begin:end], y[begin:end]
    for i in range(x.size):
        y[i] = 0 if x[i] < 0 else x[i]


@team
def rectify_backward(thread, threads, dy, y, dx):
    """dx = dy where y > 0, else 0."""
    begin, end = share(y.size, thread, threads)
    dy, y, dx = dy[begin:end], y[begin:end], dx[begin:end]
    for i in range(y.size):
        dx[i] = dy[i] if y[i] > 0 else 0
