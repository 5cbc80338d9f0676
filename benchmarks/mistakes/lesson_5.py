"""Lesson 5, as learners write it: layers and losses with one mistake in each, and some that are right."""

import math

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- linear_backward


def linear_by_loops(dy, x, w):
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[1])
    for n in range(x.shape[0]):
        for k in range(w.shape[1]):
            db[k] += dy[n, k]
            for i in range(w.shape[0]):
                dx[n, i] += dy[n, k] * w[i, k]
                dw[i, k] += dy[n, k] * x[n, i]
    return dx, dw, db


def linear_overwritten(dy, x, w):
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[1])
    for n in range(x.shape[0]):
        dx[n] = w @ dy[n]
        dw = x[n][:, None] * dy[n][None]
        db = 1.0 * dy[n]
    return dx, dw, db


def linear_batch_mean(dy, x, w):
    dx, dw, _ = linear_by_loops(dy, x, w)
    return dx, dw / x.shape[0], np.average(dy, axis=0)


def linear_bias_per_row(dy, x, w):
    dx, dw, _ = linear_by_loops(dy, x, w)
    return dx, dw, 1 * dy


def linear_bias_wrong_axis(dy, x, w):
    dx, dw, _ = linear_by_loops(dy, x, w)
    return dx, dw, np.array([sum(row) for row in dy])


def linear_bias_total(dy, x, w):
    dx, dw, _ = linear_by_loops(dy, x, w)
    return dx, dw, sum(dy.ravel())


def linear_bias_missing(dy, x, w):
    dx, dw, db = linear_by_loops(dy, x, w)
    return dx, dw, 0 * db


def linear_weight_transposed(dy, x, w):
    dx, _, db = linear_by_loops(dy, x, w)
    return dx, np.einsum("nk,ni->ki", dy, x), db


def linear_not_transposed(dy, x, w):
    _, dw, db = linear_by_loops(dy, x, w)
    return np.dot(dy, w), dw, db


def linear_sums_multiplied(dy, x, w):
    dx, _, db = linear_by_loops(dy, x, w)
    return dx, x.sum(0)[:, None] * dy.sum(0)[None], db


def linear_negative(dy, x, w):
    dx, dw, db = linear_by_loops(dy, x, w)
    return -dx, dw, db


def linear_swapped(dy, x, w):
    dx, dw, db = linear_by_loops(dy, x, w)
    return dw, dx, db


# ---------------------------------------------------------------- softmax


def softmax_by_loops(scores):
    rows = []
    for row in scores:
        top = max(row)
        powers = [math.exp(s - top) for s in row]
        rows.append([power / sum(powers) for power in powers])
    return rows


def softmax_by_pairs(scores):
    """p_k = 1 / sum_j exp(s_j - s_k)"""
    with np.errstate(over="ignore"):
        return 1 / np.exp(scores[:, None, :] - scores[:, :, None]).sum(axis=2)


def softmax_over_batch(scores):
    powers = np.exp(scores - scores.max(axis=0))
    return powers / powers.sum(axis=0)


def softmax_over_all(scores):
    powers = np.exp(scores - np.amax(scores))
    return powers / np.sum(powers)


def softmax_plain(scores):
    powers = math.e**scores
    return (powers.T / powers.sum(1)).T


def softmax_one_maximum(scores):
    powers = np.exp(scores - max(scores.ravel()))
    return powers / powers.sum(-1)[:, None]


def softmax_mean_subtracted(scores):
    powers = np.exp(scores - np.average(scores, axis=-1)[:, None])
    return powers / powers.sum(-1)[:, None]


def softmax_not_normalised(scores):
    return np.stack([np.exp(row - max(row)) for row in scores])


def softmax_without_exp(scores):
    return np.stack([row / sum(row) for row in scores])


def softmax_of_minus(scores):
    powers = np.exp(np.min(scores, axis=1)[:, None] - scores)
    return powers / powers.sum(1)[:, None]


def log_softmax(scores):
    shifted = scores - scores.max(1)[:, None]
    return shifted - np.log(np.exp(shifted).sum(1))[:, None]


# ---------------------------------------------------------------- cross_entropy


def loss_by_loops(
    scores,
    labels,
    ignore_label,
    *,
    subtract=True,
    skip=True,
    mean="counting",
    shift=True,
    log=None,
    gradient=1,
):
    """Row by row, and some things that can go wrong on the way."""
    M, K = scores.shape
    value, count = 0.0, 0
    dscores = np.zeros((M, K))
    for m in range(M):
        ignored = labels[m] == ignore_label
        if ignored and skip is True:
            continue
        y = 0 if ignored else int(labels[m])
        s = scores[m] - (scores[m].max() if shift else 0)
        p = np.exp(s) / np.exp(s).sum()
        dscores[m] = p
        if subtract:
            dscores[m, y] -= 1
        if ignored and skip == "in the value":
            continue
        count += 1
        value += (np.log(np.exp(s).sum()) - s[y]) if log is None else -log(p[y])
    by = {"counting": max(count, 1), "all": M, "numbers": M * K, "none": 1, "unguarded": count}[mean]
    return np.float64(value) / by, gradient * dscores / by


def planted_loss(**options):
    return lambda scores, labels, ignore_label: loss_by_loops(scores, labels, ignore_label, **options)


def loss_from_the_library_of_others(scores, labels, ignore_label):
    """All at once, float64 all the way, as a view that is not contiguous."""
    keep = np.nonzero(labels != ignore_label)[0]
    logp = log_softmax(scores[keep])
    target = np.eye(scores.shape[1])[labels[keep]]
    n = keep.size or 1
    dscores = np.zeros(scores.shape[::-1]).T
    dscores[keep] = (np.exp(logp) - target) / n
    return float(-(logp * target).sum() / n), dscores


def loss_in_single(scores, labels, ignore_label):
    """Exact but for the sum."""
    _, dscores = loss_by_loops(scores, labels, ignore_label)
    total, count = np.float32(0), np.float32(0)
    for row, y in zip(log_softmax(scores), labels):
        if y != ignore_label:
            total -= np.float32(row[y])
            count += np.float32(1)
    return total / max(count, np.float32(1)), dscores


def loss_gradient_of_p(scores, labels, ignore_label):
    value, dscores = loss_by_loops(scores, labels, ignore_label)
    keep = np.nonzero(labels != ignore_label)[0]
    dp = np.zeros(dscores.shape)
    for m in keep:
        dp[m, labels[m]] = -1 / np.exp(log_softmax(scores)[m, labels[m]]) / len(keep)
    return value, dp


def loss_255_only(scores, labels, ignore_label):
    """It looks for 255, whatever is to be ignored."""
    return loss_by_loops(scores, labels, 255)


# ---------------------------------------------------------------- global_avg_pool_backward


def pool_by_loops(dy, input_shape):
    N, H, W, C = input_shape
    dx = np.empty(input_shape)
    for n in range(N):
        for c in range(C):
            dx[n, :, :, c] = dy[n, c] / H / W
    return dx


def pool_not_divided(dy, input_shape):
    return np.ones(input_shape) * dy[:, np.newaxis, np.newaxis, :]


def pool_divided_by_channels(dy, input_shape):
    return pool_not_divided(dy, input_shape) / (input_shape[1] * input_shape[2] * input_shape[3])


def pool_divided_by_batch(dy, input_shape):
    return pool_by_loops(dy, input_shape) / len(dy)


def pool_divided_by_rows(dy, input_shape):
    return pool_not_divided(dy, input_shape) / input_shape[1]


def pool_to_one_pixel(dy, input_shape):
    return np.pad(dy[:, None, None], ((0, 0), (0, input_shape[1] - 1), (0, input_shape[2] - 1), (0, 0)))


def pool_negative(dy, input_shape):
    return 0 - pool_by_loops(dy, input_shape)


# ---------------------------------------------------------------- class_activation_map


def maps_by_loops(features, weight):
    maps = np.zeros((*features.shape[:2], weight.shape[1]))
    for k in range(features.shape[2]):
        for c in range(weight.shape[1]):
            maps[:, :, c] += features[:, :, k] * weight[k, c]
    return maps


def maps_averaged(features, weight):
    return np.average(maps_by_loops(features, weight), axis=(0, 1))


def maps_divided(features, weight):
    return maps_by_loops(features, weight) / features.shape[0] / features.shape[1]


def maps_transposed(features, weight):
    return np.dot(features, weight.T)


def maps_rectified(features, weight):
    maps = maps_by_loops(features, weight)
    maps[maps < 0] = 0
    return maps


def maps_for_display(features, weight):
    maps = maps_by_loops(features, weight)
    for c in range(maps.shape[2]):
        maps[..., c] -= maps[..., c].min()
        maps[..., c] /= maps[..., c].max() or 1
    return maps


def maps_sums_multiplied(features, weight):
    return np.stack([features.sum(2) * sum(column) for column in weight.T], axis=2)


def maps_classes_first(features, weight):
    return np.einsum("hwk,kc->chw", features, weight)


PLANTED = [
    Planted(
        "linear_backward", "a bias gradient for every row", linear_bias_per_row, "sum of dy over the rows"
    ),
    Planted("linear_backward", "bias summed over the wrong axis", linear_bias_wrong_axis, "wrong axis"),
    Planted("linear_backward", "bias summed over all", linear_bias_total, "All of dy is summed"),
    Planted("linear_backward", "bias gradient missing", linear_bias_missing, "zeros"),
    Planted(
        "linear_backward", "mean over the batch instead of the sum", linear_batch_mean, "divided by the batch"
    ),
    Planted(
        "linear_backward", "batch overwritten instead of added", linear_overwritten, "one row of the batch"
    ),
    Planted("linear_backward", "weight axes swapped", linear_weight_transposed, "swapped"),
    Planted("linear_backward", "weight not transposed", linear_not_transposed, "not transposed"),
    Planted("linear_backward", "sums multiplied", linear_sums_multiplied, "sums of x and dy"),
    Planted("linear_backward", "sign", linear_negative, "sign"),
    Planted("linear_backward", "outputs swapped", linear_swapped, "swapped"),
    Planted("softmax", "over the batch", softmax_over_batch, "wrong axis"),
    Planted("softmax", "over all numbers", softmax_over_all, "wrong axis"),
    Planted("softmax", "overflow", softmax_plain, "overflow"),
    Planted("softmax", "mean subtracted instead of the maximum", softmax_mean_subtracted, "overflow"),
    Planted("softmax", "one maximum for all rows", softmax_one_maximum, "whole array"),
    Planted("softmax", "not divided by the sum", softmax_not_normalised, "not divided"),
    Planted("softmax", "exp forgotten", softmax_without_exp, "exp is missing"),
    Planted("softmax", "sign", softmax_of_minus, "sign"),
    Planted("softmax", "logarithm of it", log_softmax, "logarithm"),
    Planted("cross_entropy", "not divided by the count", planted_loss(mean="none"), "sum where the mean"),
    Planted("cross_entropy", "ignored rows in the count", planted_loss(mean="all"), "ignored ones too"),
    Planted(
        "cross_entropy", "divided by the classes, too", planted_loss(mean="numbers"), "divided by the classes"
    ),
    Planted(
        "cross_entropy", "ignored rows count as class 0", planted_loss(skip=False), "does not count at all"
    ),
    Planted(
        "cross_entropy", "ignored rows have a gradient", planted_loss(skip="in the value"), "has a gradient"
    ),
    Planted("cross_entropy", "one-hot not subtracted", planted_loss(subtract=False), "one-hot"),
    Planted("cross_entropy", "sign of the gradient", planted_loss(gradient=-1), "sign"),
    Planted("cross_entropy", "gradient of the probabilities", loss_gradient_of_p, "probabilities"),
    Planted("cross_entropy", "overflow", planted_loss(shift=False), "overflow"),
    Planted("cross_entropy", "logarithm of 0", planted_loss(log=np.log), "log(0)"),
    Planted("cross_entropy", "tiny number added", planted_loss(log=lambda p: np.log(p + 1e-8)), "tiny"),
    Planted("cross_entropy", "logarithm forgotten", planted_loss(log=lambda p: p), "logarithm is missing"),
    Planted("cross_entropy", "nothing counts: 0 / 0", planted_loss(mean="unguarded"), "no row counts"),
    Planted("cross_entropy", "summed in float32", loss_in_single, "float32"),
    Planted("cross_entropy", "255 instead of ignore_label", loss_255_only, "built in"),
    Planted("global_avg_pool_backward", "not divided", pool_not_divided, "not divided"),
    Planted(
        "global_avg_pool_backward", "divided by the channels, too", pool_divided_by_channels, "divide by H W"
    ),
    Planted("global_avg_pool_backward", "divided by the batch, too", pool_divided_by_batch, "divide by H W"),
    Planted("global_avg_pool_backward", "divided by rows alone", pool_divided_by_rows, "divide by H W"),
    Planted("global_avg_pool_backward", "all to one pixel", pool_to_one_pixel, "one pixel"),
    Planted("global_avg_pool_backward", "sign", pool_negative, "sign"),
    Planted("class_activation_map", "averaged", maps_averaged, "do not take the mean"),
    Planted("class_activation_map", "divided by the pixels", maps_divided, "divided by H W"),
    Planted("class_activation_map", "weight transposed", maps_transposed, "transposed"),
    Planted("class_activation_map", "negative numbers cut off", maps_rectified, "negative"),
    Planted("class_activation_map", "stretched for display", maps_for_display, "stretched"),
    Planted("class_activation_map", "sums multiplied", maps_sums_multiplied, "sums are multiplied"),
    Planted("class_activation_map", "classes first", maps_classes_first, "axes"),
]

RIGHT = [
    Right("linear_backward", "loops", linear_by_loops),
    Right(
        "linear_backward",
        "einsum, float32, a dictionary",
        lambda dy, x, w: {
            "dx": np.einsum("nk,ik->ni", np.float32(dy), np.float32(w)),
            "dw": np.einsum("nk,ni->ik", np.float32(dy), np.float32(x)),
            "db": np.ones(len(dy), np.float32) @ dy,
        },
    ),
    Right("linear_backward", "transposed views", lambda dy, x, w: ((w @ dy.T).T, (dy.T @ x).T, sum(dy))),
    Right("softmax", "loops and lists", softmax_by_loops),
    Right("softmax", "pairs of scores", softmax_by_pairs),
    Right("softmax", "float32", lambda scores: np.exp(log_softmax(scores.astype(np.float32)))),
    Right("cross_entropy", "loops", loss_by_loops),
    Right("cross_entropy", "all at once, not contiguous", loss_from_the_library_of_others),
    Right("global_avg_pool_backward", "loops", pool_by_loops),
    Right(
        "global_avg_pool_backward",
        "a view that repeats",
        lambda dy, shape: np.broadcast_to(
            (dy.astype(np.float32) / (shape[1] * shape[2]))[:, None, None], shape
        ),
    ),
    Right("class_activation_map", "loops", maps_by_loops),
    Right(
        "class_activation_map",
        "tensordot, moved axes",
        lambda f, w: np.moveaxis(np.tensordot(w.T, f, (1, 2)), 0, 2),
    ),
]
