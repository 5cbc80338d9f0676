"""The update rules of the optimisers, each in one pass over the parameters and over all threads.

Flat arrays of one float type, changed in place. An update computes little; what takes time is to bring w, the
gradient and the buffers from memory, and NumPy brings them anew for each operation. The kernels round after the
same operations as the definitions, in the same order, so the bits are the same for any number of threads.

What changes from step to step, such as the learning rate, they read from an array, so that a recording of them
(recording.py) finds the new numbers there.
"""

import math

import numpy as np

from minifcn.kernels.team import share, team


def sgd_definition(
    w: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, momentum: float, decay: float
) -> None:
    """v ← momentum · v + g + decay · w, then w ← w - lr · v; an empty `v` stands for no momentum."""
    step = decay * w + g
    if v.size:
        v[...] = momentum * v + step
        step = v
    w -= lr * step


@team
def sgd(thread, threads, w, g, v, numbers):
    """The same, to the bit, with numbers = [lr, momentum, decay] of the same type."""
    begin, end = share(w.size, thread, threads)
    w, g, v = w[begin:end], g[begin:end], v[begin:end]
    lr, momentum, decay = numbers[0], numbers[1], numbers[2]
    for i in range(w.size):
        step = decay * w[i] + g[i]
        if v.size:
            step = momentum * v[i] + step
            v[i] = step
        w[i] -= lr * step


def adam_definition(
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    step: int,
) -> None:
    """Step 1, 2, ... of Adam:

    g ← g + decay · w        m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
    w ← w - lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + eps)        t = step
    """
    (beta1, beta2), unbiased1, unbiased2 = betas, 1 - betas[0] ** step, math.sqrt(1 - betas[1] ** step)
    g = decay * w + g
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * (g * g)
    w -= lr / unbiased1 * (m / (np.sqrt(v) / unbiased2 + eps))


@team
def adam(thread, threads, w, g, m, v, numbers):
    """The same, to the bit, with the `adam_numbers` of the same type."""
    begin, end = share(w.size, thread, threads)
    w, g, m, v = w[begin:end], g[begin:end], m[begin:end], v[begin:end]
    beta1, rest1, beta2, rest2 = numbers[0], numbers[1], numbers[2], numbers[3]
    rate, unbiased2, eps, decay = numbers[4], numbers[5], numbers[6], numbers[7]
    for i in range(w.size):
        gradient = decay * w[i] + g[i]
        m[i] = beta1 * m[i] + rest1 * gradient
        v[i] = beta2 * v[i] + rest2 * (gradient * gradient)
        w[i] -= rate * (m[i] / (np.sqrt(v[i]) / unbiased2 + eps))


def adam_numbers(lr, betas, eps, decay, step):
    """What `adam` computes with at that step; `lr` and `decay` may be arrays."""
    (beta1, beta2), unbiased1, unbiased2 = betas, 1 - betas[0] ** step, math.sqrt(1 - betas[1] ** step)
    return beta1, 1 - beta1, beta2, 1 - beta2, lr / unbiased1, unbiased2, eps, decay
