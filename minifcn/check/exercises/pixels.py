"""Exercises of lesson 1: one-hot maps, the confusion matrix, pixel accuracy and mean IU."""

import numpy as np
from hypothesis import strategies as st

from minifcn import metrics
from minifcn.check.cases import simple
from minifcn.check.exercise import Exercise, Mistake

IGNORED = 255
LABELS = 'lesson 1, "A label for every pixel"'
ONE_HOT = 'lesson 1, "One map per class"'
PAIRS = 'lesson 1, "Counting pairs"'
OVERLAP = 'lesson 1, "Intersection over union"'
MEAN = 'lesson 1, "Mean IU"'
FOUR = 'lesson 1, "The paper\'s four"'


@st.composite
def label_maps(draw, classes: st.SearchStrategy[int], predicted: bool = False):
    """labels (H, W) or (N, H, W), of which some are 255; predictions, if they are asked for; and the classes."""
    K = draw(classes)
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=2, max_size=3)))
    numbers = np.arange(K, dtype=np.uint8)
    case = {"labels": draw(simple(shape, np.append(numbers, np.uint8(IGNORED))))}
    if predicted:
        case["predictions"] = draw(simple(shape, numbers))
    return case | {"classes": K}


@st.composite
def matrices(draw):
    """Confusion matrices with a pixel or more; some classes are absent, some of these are predicted."""
    K = draw(st.integers(1, 4))
    hist = draw(simple((K, K), np.array([0, 1, 2, 3, 5, 8])))
    for k in draw(st.sets(st.integers(0, K - 1))):
        hist[k] = 0
        if draw(st.booleans()):
            hist[:, k] = 0
    hist[draw(st.integers(0, K - 1)), draw(st.integers(0, K - 1))] += 1
    return {"hist": hist}


def large_maps() -> dict[str, np.ndarray]:
    """Labels and predictions of 21 classes, as in PASCAL VOC, some of them ignored."""
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 21, (2, 100, 100), np.uint8)
    labels[rng.random(labels.shape) < 0.05] = IGNORED
    return {"labels": labels, "predictions": predictions}


# ---------------------------------------------------------------- one-hot


def one_hot_maps(labels, classes):
    """maps[..., k] is 1 where the label is k, else 0. A label that is no class, such as 255, has no 1."""
    return (labels[..., None] == np.arange(classes)).astype(np.float32)


def _ignored_as(label):
    """The maps, if the pixels that do not count were of this class; -1 is the last."""
    return lambda labels, classes: one_hot_maps(np.where(labels == IGNORED, label % classes, labels), classes)


one_hot = Exercise(
    name="one_hot",
    lesson=1,
    reference=one_hot_maps,
    cases=label_maps(st.integers(1, 4)),
    returns=("maps",),
    mistakes=(
        *(
            Mistake(
                "The classes must come last: maps[..., k] is the map of class k.",
                ONE_HOT,
                lambda labels, classes, axis=axis: np.moveaxis(one_hot_maps(labels, classes), -1, axis),
            )
            for axis in (0, 1)
        ),
        *(
            Mistake(
                "A pixel with label 255 does not count: all its maps are 0. You put it into a class.",
                LABELS,
                wrong,
            )
            for wrong in (
                _ignored_as(0),
                _ignored_as(-1),
                lambda labels, classes: one_hot_maps(labels % classes, classes),
                lambda labels, classes: np.where(
                    (labels == IGNORED)[..., None], 1, one_hot_maps(labels, classes)
                ),
            )
        ),
        Mistake(
            "Classes are counted from 0: maps[..., 0] belongs to label 0.",
            ONE_HOT,
            lambda labels, classes: one_hot_maps(labels.astype(int) - 1, classes),
        ),
        Mistake(
            "The maps hold the number of the class where they should hold a 1.",
            ONE_HOT,
            lambda labels, classes: one_hot_maps(labels, classes) * np.arange(classes),
        ),
        Mistake(
            "0 and 1 are exchanged: 1 belongs where the label is k.",
            ONE_HOT,
            lambda labels, classes: 1 - one_hot_maps(labels, classes),
        ),
        Mistake(
            "Class 0 has no map: the background is a class like any other.",
            ONE_HOT,
            lambda labels, classes: one_hot_maps(labels, classes) * (np.arange(classes) > 0),
        ),
    ),
    hints=(
        "For one class k the map is labels == k. There are as many maps as classes.",
        "A loop does it: maps = np.zeros((*labels.shape, classes)), then maps[..., k] = labels == k for each k.",
        "Without a loop: compare labels[..., None] with np.arange(classes). A label of 255 equals none of them.",
    ),
    source=one_hot_maps,
    sample={"labels": large_maps()["labels"], "classes": 21},
)


# ---------------------------------------------------------------- the confusion matrix


def _counted_once(labels, predictions, classes):
    hist, counts = np.zeros((classes, classes), int), labels != IGNORED
    hist[labels[counts], predictions[counts]] += 1
    return hist


def _overflowing(labels, predictions, classes):
    """labels * classes + predictions in eight bits, where 17 * 17 - 1 is 32."""
    counts = labels != IGNORED
    pairs = labels[counts] * np.uint8(classes) + predictions[counts]
    return np.bincount(pairs, minlength=classes**2)[: classes**2].reshape(classes, classes)


def _shares(axis):
    def wrong(labels, predictions, classes):
        hist = metrics.confusion(labels, predictions, classes)
        return hist / np.maximum(hist.sum(axis=axis, keepdims=True), 1)

    return wrong


def _all_counted(as_class):
    def wrong(labels, predictions, classes):
        return metrics.confusion(as_class(labels, classes), predictions, classes)

    return wrong


confusion = Exercise(
    name="confusion",
    lesson=1,
    reference=metrics.confusion,
    cases=label_maps(st.integers(1, 4) | st.integers(17, 21), predicted=True),
    returns=("hist",),
    mistakes=(
        Mistake(
            "Rows and columns are swapped: a row for each true class, a column for each prediction.",
            PAIRS,
            lambda labels, predictions, classes: metrics.confusion(labels, predictions, classes).T,
        ),
        Mistake(
            "A pair that comes up often is counted once: hist[rows, columns] += 1 with arrays of indices adds only"
            " one for each place. Use a loop, np.add.at or np.bincount.",
            PAIRS,
            _counted_once,
        ),
        Mistake(
            "An overflow: labels are uint8, so labels * classes + predictions starts again from 0 beyond 255. Make"
            " them integers first: labels.astype(int).",
            PAIRS,
            _overflowing,
        ),
        *(
            Mistake(
                "A pixel with label 255 does not count, whatever is predicted there. You count it.",
                LABELS,
                wrong,
            )
            for wrong in (
                _all_counted(lambda labels, classes: np.where(labels == IGNORED, 0, labels)),
                _all_counted(lambda labels, classes: np.minimum(labels, classes - 1)),
                _all_counted(lambda labels, classes: labels % classes),
                lambda labels, predictions, classes: metrics.confusion(
                    np.asarray(np.where(labels == IGNORED, predictions, labels)), predictions, classes
                ),
            )
        ),
        Mistake(
            "Class 0 is left out: the background is a class like any other.",
            PAIRS,
            lambda labels, predictions, classes: metrics.confusion(
                np.where(labels == 0, IGNORED, labels), predictions, classes
            ),
        ),
        *(
            Mistake("It holds shares where counts are asked: do not divide.", PAIRS, _shares(axis))
            for axis in (1, 0, None)
        ),
        Mistake(
            "Only pixels that are right are counted: wrong ones belong beside the diagonal.",
            PAIRS,
            lambda labels, predictions, classes: np.diag(
                np.diag(metrics.confusion(labels, predictions, classes))
            ),
        ),
        Mistake(
            "Only the first picture counts: go through all axes of labels.",
            PAIRS,
            lambda labels, predictions, classes: metrics.confusion(labels[0], predictions[0], classes),
        ),
    ),
    hints=(
        "Each pixel is one pair (label, prediction) and adds 1 to one place of the matrix. Which pixels do not?",
        "Start with np.zeros((classes, classes), int). labels.ravel() and predictions.ravel() list the pixels.",
        "for i, j in zip(labels.ravel(), predictions.ravel()): add 1 to hist[i, j], unless i is 255. Faster:"
        " np.bincount counts whole numbers; which number stands for the pair (i, j)?",
    ),
    source=metrics.confusion,
    sample=large_maps() | {"classes": 21},
)


# ---------------------------------------------------------------- the two measures


def _parts(hist):
    """Pixels that are right, of each class, and predicted as it."""
    return np.diag(hist), hist.sum(axis=1), hist.sum(axis=0)


def _accuracies(hist):
    right, truth, _ = _parts(hist)
    return right / truth


def _precisions(hist):
    right, _, predicted = _parts(hist)
    return right / predicted


pixel_accuracy = Exercise(
    name="pixel_accuracy",
    lesson=1,
    reference=metrics.pixel_accuracy,
    cases=matrices(),
    returns=("accuracy",),
    mistakes=(
        *(
            Mistake(
                "It is the mean over the classes: here every pixel counts alike, so add up first, then divide.",
                FOUR,
                measure,
            )
            for measure in (
                metrics.mean_accuracy,
                lambda hist: np.mean(_accuracies(hist)),
                lambda hist: np.nan_to_num(_accuracies(hist)).mean(),
                lambda hist: np.nanmean(_precisions(hist)),
            )
        ),
        *(
            Mistake(
                "It is divided by something else than the number of pixels, which is hist.sum().",
                OVERLAP,
                wrong,
            )
            for wrong in (
                lambda hist: np.trace(hist) / hist.size,
                lambda hist: np.trace(hist) / len(hist),
                lambda hist: np.trace(hist) / (hist.sum() - np.trace(hist)),
            )
        ),
        Mistake(
            "It is the share of the pixels that are wrong: those on the diagonal are right.",
            OVERLAP,
            lambda hist: 1 - np.trace(hist) / hist.sum(),
        ),
        Mistake("It is the number of pixels that are right: divide by the number of all.", OVERLAP, np.trace),
        Mistake(
            "Class 0 is left out: the background is a class like any other.",
            OVERLAP,
            lambda hist: metrics.pixel_accuracy(hist[1:, 1:]),
        ),
        Mistake(
            "It is a mean of IU: for the share of right pixels, no union is needed.", FOUR, metrics.mean_iou
        ),
    ),
    hints=(
        "Where in the confusion matrix are the pixels that are right? And how many are there in all?",
        "The right ones are on the diagonal: np.trace(hist) adds them up.",
    ),
    source=metrics.pixel_accuracy,
    sample={"hist": metrics.confusion(**large_maps(), classes=21)},
)


def _in_all(hist):
    right, truth, predicted = _parts(hist)
    return right.sum() / (truth + predicted - right).sum()


def _plain(hist):
    """IU with 0 / 0 left to NumPy."""
    right, truth, predicted = _parts(hist)
    return right / (truth + predicted - right)


mean_iou = Exercise(
    name="mean_iou",
    lesson=1,
    reference=metrics.mean_iou,
    cases=matrices(),
    returns=("mean_iou",),
    mistakes=(
        *(
            Mistake(
                "The intersection is counted twice in the union: t + p has it two times, so take it off once.",
                OVERLAP,
                wrong,
            )
            for wrong in (
                lambda hist: np.nanmean(metrics.dice(hist) / 2),
                lambda hist: np.mean([n / (t + p) for n, t, p in zip(*_parts(hist))]),
            )
        ),
        Mistake(
            "It is the mean of Dice, 2 n / (t + p). IU is n / (t + p - n).",
            OVERLAP,
            lambda hist: np.nanmean(metrics.dice(hist)),
        ),
        Mistake(
            "A class that is neither there nor predicted gives 0 / 0, which is NaN: leave it out of the mean.",
            MEAN,
            lambda hist: np.mean(_plain(hist)),
        ),
        *(
            Mistake(
                f"A class that is neither there nor predicted counts as {value}: leave it out of the mean.",
                MEAN,
                lambda hist, value=value: np.nan_to_num(metrics.iou(hist), nan=value).mean(),
            )
            for value in (0, 1)
        ),
        Mistake(
            "A class that is not there but predicted has IU 0, and counts: you leave it out.",
            MEAN,
            lambda hist: metrics.iou(hist)[hist.sum(axis=1) > 0].mean(),
        ),
        Mistake(
            "All classes are put into one ratio: take the IU of each class, then the mean.", MEAN, _in_all
        ),
        *(
            Mistake(
                "It divides by the pixels of the class alone, which is accuracy: the union also has those that were"
                " wrongly predicted as it.",
                OVERLAP,
                wrong,
            )
            for wrong in (metrics.mean_accuracy, lambda hist: np.mean(_accuracies(hist)))
        ),
        *(
            Mistake(
                "It divides by the pixels predicted as the class alone: the union also has those that were missed.",
                OVERLAP,
                wrong,
            )
            for wrong in (
                lambda hist: np.nanmean(metrics.precision(hist)),
                lambda hist: np.mean(_precisions(hist)),
            )
        ),
        Mistake(
            "Each class is weighted with its pixels: in mean IU all classes count alike.",
            FOUR,
            metrics.frequency_weighted_iou,
        ),
        *(
            Mistake("Class 0 is left out: the background is a class like any other.", MEAN, wrong)
            for wrong in (
                lambda hist: np.nanmean(metrics.iou(hist)[1:]),
                lambda hist: np.nan_to_num(np.nanmean(metrics.iou(hist)[1:])),
            )
        ),
        Mistake("It is pixel accuracy: no union is in it.", OVERLAP, metrics.pixel_accuracy),
    ),
    hints=(
        "Three numbers for each class: right (on the diagonal), in truth (its row), predicted (its column).",
        "union = row sums + column sums - diagonal. IU is diagonal / union, for each class.",
        "Where union is 0 the class is neither there nor predicted. Of the others, the mean: iu[union > 0].mean().",
    ),
    source=metrics.iou,
    sample={"hist": metrics.confusion(**large_maps(), classes=21)},
)
