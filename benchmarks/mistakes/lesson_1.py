"""Lesson 1, as learners write it: labels, counts and measures with one mistake in each, and some that are right."""

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- one_hot


def one_hot_by_loops(labels, classes):
    maps = np.zeros((*labels.shape, classes))
    for place in np.ndindex(labels.shape):
        if labels[place] < classes:
            maps[(*place, labels[place])] = 1
    return maps


def one_hot_first(labels, classes):
    return np.stack([labels == k for k in range(classes)]).astype(float)


def one_hot_ignored_counts(labels, classes):
    return np.eye(classes)[np.minimum(labels, classes - 1)]


def one_hot_from_one(labels, classes):
    return np.stack([labels == k + 1 for k in range(classes)], axis=-1) * 1.0


def one_hot_numbers(labels, classes):
    return one_hot_by_loops(labels, classes) * np.arange(classes)


def one_hot_inverted(labels, classes):
    return 1 - one_hot_by_loops(labels, classes)


# ---------------------------------------------------------------- confusion


def count(labels, predictions, classes):
    hist = np.zeros((classes, classes), int)
    for truth, guess in zip(labels.ravel(), predictions.ravel()):
        if truth != 255:
            hist[truth, guess] += 1
    return hist


def count_swapped(labels, predictions, classes):
    hist = np.zeros((classes, classes), int)
    for truth, guess in zip(labels.ravel(), predictions.ravel()):
        if truth < classes:
            hist[guess, truth] += 1
    return hist


def count_once(labels, predictions, classes):
    hist = np.zeros((classes, classes), int)
    valid = labels != 255
    hist[labels[valid], predictions[valid]] += 1
    return hist


def count_overflowing(labels, predictions, classes):
    """The number of each pair, in the eight bits of the labels."""
    valid = labels != 255
    pairs = labels[valid] * classes + predictions[valid]
    hist = np.zeros(classes**2, int)
    for pair in pairs:
        hist[pair] += 1
    return hist.reshape(classes, classes)


def count_ignored(labels, predictions, classes):
    return count(np.where(labels == 255, 0, labels), predictions, classes)


def count_shares(labels, predictions, classes):
    hist = count(labels, predictions, classes)
    return hist / max(hist.sum(), 1)


def count_right_only(labels, predictions, classes):
    return np.diag(np.diag(count(labels, predictions, classes)))


def count_right(labels, predictions, classes):
    valid = labels != 255
    pairs = labels[valid].astype(int) * classes + predictions[valid]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


# ---------------------------------------------------------------- pixel_accuracy, mean_iou


def accuracy_of_classes(hist):
    totals = hist.sum(1)
    return float(np.mean([hist[k, k] / totals[k] for k in range(len(hist)) if totals[k]]))


def accuracy_wrong_share(hist):
    return 1 - hist.trace() / hist.sum()


def accuracy_count(hist):
    return float(sum(hist[k, k] for k in range(len(hist))))


def accuracy_right(hist):
    return sum(hist[k, k] for k in range(len(hist))) / sum(map(sum, hist.tolist()))


def ious(hist, union):
    values = []
    for k in range(len(hist)):
        inside, total = hist[k, k], union(hist[k].sum(), hist[:, k].sum(), hist[k, k])
        if hist[k].sum() + hist[:, k].sum():
            values.append(inside / total if total else 0.0)
    return float(np.mean(values))


def iou_twice(hist):
    return ious(hist, lambda truth, guess, both: truth + guess)


def iou_dice(hist):
    return ious(hist, lambda truth, guess, both: (truth + guess) / 2)


def iou_accuracy(hist):
    with np.errstate(all="ignore"):
        return float(np.nanmean(np.diag(hist) / hist.sum(1)))


def iou_nan(hist):
    with np.errstate(all="ignore"):
        return float((np.diag(hist) / (hist.sum(0) + hist.sum(1) - np.diag(hist))).mean())


def iou_absent_is_zero(hist):
    union = hist.sum(0) + hist.sum(1) - np.diag(hist)
    return float(np.mean(np.diag(hist) / np.maximum(union, 1)))


def iou_at_once(hist):
    return hist.trace() / (2 * hist.sum() - hist.trace())


def iou_without_background(hist):
    union = (hist.sum(0) + hist.sum(1) - np.diag(hist))[1:]
    there = union > 0
    return float(np.mean(np.diag(hist)[1:][there] / union[there])) if there.any() else 0.0


def iou_right(hist):
    return ious(hist, lambda truth, guess, both: truth + guess - both)


PLANTED = [
    Planted("one_hot", "classes first", one_hot_first, "last"),
    Planted("one_hot", "ignored pixels are a class", one_hot_ignored_counts, "255"),
    Planted("one_hot", "classes from 1", one_hot_from_one, "from 0"),
    Planted("one_hot", "numbers of classes", one_hot_numbers, "number of the class"),
    Planted("one_hot", "inverted", one_hot_inverted, "exchanged"),
    Planted("confusion", "rows and columns swapped", count_swapped, "swapped"),
    Planted("confusion", "equal pairs counted once", count_once, "counted once"),
    Planted("confusion", "overflow of uint8", count_overflowing, "overflow"),
    Planted("confusion", "ignored pixels counted", count_ignored, "255"),
    Planted("confusion", "shares", count_shares, "shares"),
    Planted("confusion", "right pixels only", count_right_only, "Only pixels that are right"),
    Planted("pixel_accuracy", "mean over classes", accuracy_of_classes, "mean over the classes"),
    Planted("pixel_accuracy", "share of wrong ones", accuracy_wrong_share, "wrong"),
    Planted("pixel_accuracy", "not divided", accuracy_count, "divide"),
    Planted("mean_iou", "intersection counted twice", iou_twice, "twice"),
    Planted("mean_iou", "Dice", iou_dice, "Dice"),
    Planted("mean_iou", "accuracy of classes", iou_accuracy, "accuracy"),
    Planted("mean_iou", "0 / 0", iou_nan, "NaN"),
    Planted("mean_iou", "absent classes count as 0", iou_absent_is_zero, "counts as 0"),
    Planted("mean_iou", "all classes in one ratio", iou_at_once, "one ratio"),
    Planted("mean_iou", "without the background", iou_without_background, "background"),
]

RIGHT = [
    Right("one_hot", "loops", one_hot_by_loops),
    Right(
        "one_hot",
        "booleans stacked",
        lambda y, K: np.stack([y == k for k in range(K)], -1).astype(np.float32),
    ),
    Right("confusion", "loops", count),
    Right("confusion", "bincount", count_right),
    Right("pixel_accuracy", "loops", accuracy_right),
    Right("mean_iou", "loops", iou_right),
]
