"""Softmax cross-entropy and its gradient, in one pass over the scores and over all threads.

The definition reads or writes arrays as large as the scores nine times. The kernel takes a block of pixels at
a time, so few that all of it stays in the first cache, and turns it on its side: with pixels along the rows,
the maximum, exp and the sum over the classes are operations on whole vectors, for 4 classes as for 300.
"""

import numpy as np

from minifcn.kernels.elementary import exp, log
from minifcn.kernels.jit import get_threads, kernel
from minifcn.kernels.team import share, team
from minifcn.kernels.transpose import transpose

PIXELS = 128  # in a block; whatever the threads, so that they do not change the order of the sum


def cross_entropy_definition(
    scores: np.ndarray, labels: np.ndarray, shares: np.ndarray, dscores: np.ndarray
) -> float:
    """Σ_p share_p · (-log softmax(s_p)[y_p]), and dscores = share_p · (softmax(s_p) - onehot(y_p)).

    `scores` and `dscores` are (pixels, K), `labels` and `shares` (pixels,). A pixel of share 0 does not count,
    whatever its label. The largest score of a pixel is subtracted first: that cancels in the softmax and keeps
    exp from overflowing. Where NaN or infinity makes a softmax undefined, the results are NaN, so that it is
    seen, also in a pixel that does not count.
    """
    at = np.arange(len(labels)), np.where(shares > 0, labels, 0).astype(np.intp)  # where the true classes are
    np.subtract(scores, scores.max(axis=1, keepdims=True), out=dscores)
    true = dscores[at]
    np.exp(dscores, out=dscores)
    sums = dscores.sum(axis=1)
    value = float(np.sum(shares * (np.log(sums) - true), dtype=np.float64))
    dscores *= (shares / sums)[:, None]
    dscores[at] -= shares
    return value


def cross_entropy(scores: np.ndarray, labels: np.ndarray, shares: np.ndarray, dscores: np.ndarray) -> float:
    """The same for contiguous arrays. The bits of the result do not depend on the number of threads.

    float32 takes the kernel of this file, compiled once for each type of labels; float64, which is for checking,
    takes the definition.
    """
    if scores.dtype != np.float32:
        return cross_entropy_definition(scores, labels, shares, dscores)
    pixels, K = scores.shape
    parts = np.empty(-(-pixels // PIXELS))
    room, sums = np.empty((get_threads(), K + 2, PIXELS), np.float32), np.empty((get_threads(), PIXELS))
    flat = scores.reshape(-1), labels, shares, dscores.reshape(-1)
    _cross_entropy(*flat, K, parts, room.reshape(-1), room, sums)
    return float(parts.sum())


@team
def _cross_entropy(thread, threads, scores, labels, shares, dscores, K, parts, flat_room, room, sums):
    """parts[i] is what block i adds to the value; `room`, also as a flat array, and `sums` are for each thread to
    work in."""
    begin, end = share(len(parts), thread, threads)
    for i in range(begin, end):
        first, last = i * PIXELS, min(i * PIXELS + PIXELS, labels.size)
        at, place = first * K, thread * room[0].size
        transpose(last - first, K, scores, at, K, flat_room, place, PIXELS)
        block = scores[at : last * K], labels[first:last], shares[first:last]
        parts[i] = _block(*block, K, room[thread], sums[thread])
        transpose(K, last - first, flat_room, place, PIXELS, dscores, at, K)


@kernel
def _block(scores, labels, shares, K, room, sums):
    """The definition on one block, whose scores lie turned in `room` and become their gradient there; returns what
    the block adds to the value.

    Where the softmax of the true class is nearly 1, the loss is the little by which the sum exceeds 1: hence the
    sums in float64.
    """
    pixels = labels.size
    turned, largest, scale = room[:K], room[K], room[K + 1]
    for p in range(pixels):
        largest[p] = turned[0, p]
        sums[p] = 0
    for k in range(K):
        for p in range(pixels):
            largest[p] = turned[k, p] if turned[k, p] > largest[p] else largest[p]
    for k in range(K):
        for p in range(pixels):
            turned[k, p] = exp(turned[k, p] - largest[p])
        for p in range(pixels):
            sums[p] += turned[k, p]
    value = 0.0
    for p in range(pixels):
        y = labels[p] if shares[p] > 0 else 0
        value -= shares[p] * np.float64(scores[p * K + y] - largest[p])
        turned[y, p] -= sums[p]  # times the scale, that will be softmax - 1
    for p in range(pixels):
        scale[p] = shares[p] / np.float32(sums[p])
        sums[p] = shares[p] * log(sums[p])
    for p in range(pixels):
        value += sums[p]
    for k in range(K):
        for p in range(pixels):
            turned[k, p] *= scale[p]
    return value
