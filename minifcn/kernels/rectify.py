"""max(x, 0) and its gradient, over all threads. Flat arrays in, flat arrays out."""

import numpy as np

from minifcn.kernels.jit import kernel, prange


def rectify_definition(x):
    """y = max(x, 0)."""
    return np.maximum(x, 0)


@kernel(parallel=True)
def rectify(x, y):
    """y = max(x, 0). A NaN stays a NaN."""
    for i in prange(x.size):
        y[i] = 0 if x[i] < 0 else x[i]


@kernel(parallel=True)
def rectify_backward(dy, y, dx):
    """dx = dy where y > 0, else 0."""
    for i in prange(y.size):
        dx[i] = dy[i] if y[i] > 0 else 0
