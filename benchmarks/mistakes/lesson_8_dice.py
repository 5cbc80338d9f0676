"""Lesson 8, as learners write it: the Dice loss with one mistake in each, and some that are right."""

import numpy as np

from benchmarks.mistakes import Planted, Right


def overlap(
    scores,
    labels,
    *,
    second=True,
    sign=1,
    denominator="sum",
    through="right",
    absent=False,
    use_255=False,
    divide=True,
    eps=0.0,
    precision=np.float64,
):
    """Class by class, pixel by pixel, and what can go wrong in it."""
    shape, K = scores.shape, scores.shape[-1]
    z = scores.reshape(-1, K).astype(precision)
    y = labels.reshape(-1)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    count = np.ones(len(y), bool) if use_255 else y != 255
    total, dp, classes = precision(0), np.zeros_like(p), 0
    for k in range(K):
        g = (y == k).astype(precision)
        if g.sum() == 0 and not absent:
            continue
        classes += 1
        pk = p[:, k] * count
        inner = precision(2) * (pk * g).sum(dtype=precision) + precision(eps)
        if denominator == "sum":
            outer, douter = pk.sum(dtype=precision) + g.sum(dtype=precision), 1.0
        elif denominator == "squares":
            outer, douter = (pk**2).sum() + (g**2).sum(), 2 * pk
        elif denominator == "union":
            outer, douter = pk.sum() + g.sum() - (pk * g).sum(), 1 - g
        elif denominator == "truth":
            outer, douter = g.sum(), 0.0
        elif denominator == "prediction":
            outer, douter = pk.sum(), 1.0
        outer = outer + precision(eps)
        if outer == 0:
            continue
        total += inner / outer
        dp[:, k] = -2 * g / outer
        if second:
            dp[:, k] += sign * inner * douter / outer**2
    if not divide:
        classes = 1
    dp = dp / classes * count[:, None]
    if through == "right":
        ds = p * (dp - (p * dp).sum(axis=1)[:, None])
    elif through == "none":
        ds = dp
    elif through == "diagonal":
        ds = p * (1 - p) * dp
    elif through == "p":
        ds = p * dp
    return (1 - total / classes if divide else 1 - total), ds.reshape(shape)


def dice_one_term(scores, labels):
    return overlap(scores, labels, second=False)


def dice_plus(scores, labels):
    return overlap(scores, labels, sign=-1)


def dice_squares(scores, labels):
    return overlap(scores, labels, denominator="squares")


def dice_union(scores, labels):
    return overlap(scores, labels, denominator="union")


def dice_truth(scores, labels):
    return overlap(scores, labels, denominator="truth")


def dice_prediction(scores, labels):
    return overlap(scores, labels, denominator="prediction")


def dice_no_softmax(scores, labels):
    return overlap(scores, labels, through="none")


def dice_diagonal(scores, labels):
    return overlap(scores, labels, through="diagonal")


def dice_times_p(scores, labels):
    return overlap(scores, labels, through="p")


def dice_absent(scores, labels):
    return overlap(scores, labels, absent=True)


def dice_counts_255(scores, labels):
    return overlap(scores, labels, use_255=True)


def dice_sum(scores, labels):
    return overlap(scores, labels, divide=False)


def dice_smooth(scores, labels):
    return overlap(scores, labels, eps=1.0)


def dice_epsilon(scores, labels):
    return overlap(scores, labels, eps=1e-6)


def dice_single(scores, labels):
    value, dscores = overlap(scores, labels, precision=np.float32)
    return np.float32(value), dscores.astype(np.float32)


def dice_per_image(scores, labels):
    results = [
        overlap(scores[n : n + 1], labels[n : n + 1]) for n in range(len(scores)) if (labels[n] != 255).any()
    ]
    value = sum(value for value, _ in results) / len(results)
    whole = np.zeros(scores.shape)
    k = 0
    for n in range(len(scores)):
        if (labels[n] != 255).any():
            whole[n] = results[k][1][0] / len(results)
            k += 1
    return value, whole


def dice_all_together(scores, labels):
    K = scores.shape[-1]
    valid = labels.ravel() != 255
    e = np.exp(scores.reshape(-1, K))
    p = (e / e.sum(1, keepdims=True))[valid]
    g = np.eye(K)[labels.ravel()[valid]]
    inner, outer = 2 * np.sum(p * g), np.sum(p) + np.sum(g)
    dp = (inner - 2 * g * outer) / outer**2
    ds = np.zeros((len(valid), K))
    ds[valid] = p * (dp - (p * dp).sum(1, keepdims=True))
    return 1 - inner / outer, ds.reshape(scores.shape)


def dice_not_minus(scores, labels):
    value, dscores = overlap(scores, labels)
    return 1 - value, -dscores


def dice_sign(scores, labels):
    value, dscores = overlap(scores, labels)
    return value, -dscores


def dice_vectors(scores, labels):
    """Right: all classes at once, by einsum."""
    g = labels[..., None] == np.arange(scores.shape[3])
    e = np.exp(scores) * (labels != 255)[..., None]
    p = e / np.exp(scores).sum(axis=3, keepdims=True)
    size = np.einsum("nhwk->k", p) + np.einsum("nhwk->k", g.astype(float))
    inner = np.einsum("nhwk,nhwk->k", p, g)
    here = g.any(axis=(0, 1, 2))
    M = np.sum(here)
    weight = np.where(here, 2 / (M * np.where(here, size, 1)), 0)
    dp = weight * (inner / np.where(here, size, 1) - g)
    return 1 - np.sum(inner * weight), p * (dp - np.sum(p * dp, axis=3, keepdims=True))


PLANTED = [
    Planted("dice", "quotient rule without its second term", dice_one_term, "second term"),
    Planted("dice", "sign of the second term", dice_plus, "wrong sign"),
    Planted("dice", "squares in the denominator", dice_squares, "squares"),
    Planted("dice", "union in the denominator", dice_union, "union"),
    Planted("dice", "only g in the denominator", dice_truth, "denominator"),
    Planted("dice", "only p in the denominator", dice_prediction, "denominator"),
    Planted("dice", "all classes together", dice_all_together, "thrown together"),
    Planted("dice", "per image", dice_per_image, "each image"),
    Planted("dice", "gradient of the probabilities", dice_no_softmax, "respect to p"),
    Planted("dice", "softmax: p (1 - p)", dice_diagonal, "softmax"),
    Planted("dice", "softmax: p only", dice_times_p, "softmax"),
    Planted("dice", "absent classes count", dice_absent, "does not occur"),
    Planted("dice", "ignored pixels count", dice_counts_255, "Ignored"),
    Planted("dice", "sum over the classes", dice_sum, "sum over the classes"),
    Planted("dice", "smoothed by 1", dice_smooth, "smoothing"),
    Planted("dice", "smoothed by 1e-6", dice_epsilon, "smoothing"),
    Planted("dice", "float32", dice_single, "float32"),
    Planted("dice", "the overlap itself", dice_not_minus, "1 minus"),
    Planted("dice", "sign of dscores", dice_sign, "sign"),
]

RIGHT = [
    Right("dice", "class by class", overlap),
    Right("dice", "einsum", dice_vectors),
]
