"""Lesson 5: softmax and cross-entropy. Their mistakes are wrong axes, wrong divisors, and numbers that overflow."""

import numpy as np
from hypothesis import strategies as st

from minifcn import losses
from minifcn.check.cases import simple
from minifcn.check.exercise import Exercise, Mistake
from minifcn.kernels.cross_entropy import cross_entropy_definition

SOFTMAX = 'lesson 5, "From scores to probabilities"'
STABLE = 'lesson 5, "Large scores"'
LOSS = 'lesson 5, "Cross-entropy"'
GRADIENT = 'lesson 5, "Its gradient"'
IGNORED = 'lesson 5, "What does not count"'

SCALES = st.sampled_from([1, 1, 1000])  # of scores: exp(1000) is more than a float64 can hold
ROWS, CLASSES = st.integers(1, 3), st.integers(2, 4)


# ---------------------------------------------------------------- softmax


def large_scores():
    return np.random.default_rng(0).standard_normal((1000, 21))


@st.composite
def score_rows(draw):
    return {"scores": draw(simple((draw(ROWS), draw(CLASSES)))) * draw(SCALES)}


def _exponentials(shift, axis=1):
    """exp(scores - shift), divided by the sums over an axis."""

    def wrong(scores):
        e = np.exp(scores - shift(scores))
        return e / e.sum(axis=axis, keepdims=axis is not None)

    return wrong


def _row_maximum(scores):
    return scores.max(axis=1, keepdims=True)


def _logarithm(scores):
    shifted = scores - _row_maximum(scores)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


softmax = Exercise(
    name="softmax",
    lesson=5,
    reference=losses.softmax,
    cases=score_rows(),
    returns=("probabilities",),
    mistakes=(
        *(
            Mistake(
                "It is summed over the wrong axis: the classes are the last one, and each row has to add up to 1.",
                SOFTMAX,
                _exponentials(shift, axis),
            )
            for shift in (
                lambda scores: 0,
                _row_maximum,
                lambda scores: scores.max(axis=0),
                np.max,
            )
            for axis in (0, None)
        ),
        *(
            Mistake(
                "exp overflows on large scores: infinity divided by infinity is NaN. Subtract the largest score of"
                " each row before exp.",
                STABLE,
                _exponentials(shift),
            )
            for shift in (lambda scores: 0, lambda scores: scores.mean(axis=1, keepdims=True), np.mean)
        ),
        Mistake(
            "The largest score of the whole array is subtracted: a row far below it becomes 0 / 0. Take that of"
            " each row.",
            STABLE,
            _exponentials(np.max),
        ),
        Mistake(
            "The maximum is taken over the wrong axis: a row may only be shifted as a whole. Take the largest score"
            " of each row.",
            STABLE,
            _exponentials(lambda scores: scores.max(axis=0)),
        ),
        Mistake(
            "It is not divided by the sum: each row has to add up to 1.",
            SOFTMAX,
            lambda scores: np.exp(scores - _row_maximum(scores)),
        ),
        Mistake(
            "It is not divided by the sum: each row has to add up to 1.",
            SOFTMAX,
            lambda scores: np.exp(scores),
        ),
        Mistake(
            "exp is missing: scores may be negative, so they cannot be divided by their sum as they are.",
            SOFTMAX,
            lambda scores: scores / scores.sum(axis=1, keepdims=True),
        ),
        Mistake(
            "It is the logarithm of the probabilities: give the probabilities.",
            SOFTMAX,
            _logarithm,
        ),
        Mistake(
            "The sign of the scores is wrong: the largest score has the largest probability.",
            SOFTMAX,
            lambda scores: losses.softmax(-scores),
        ),
    ),
    hints=(
        "First exp of all scores; then divide each row by its sum. keepdims=True keeps the axis of the sums.",
        "If only cases with scores of 1000 go wrong: what is np.exp(1000)? And what changes if the same number is"
        " subtracted from all scores of a row?",
        "e = np.exp(scores - scores.max(axis=-1, keepdims=True)); now no exp is larger than 1.",
    ),
    source=losses.softmax,
    sample={"scores": large_scores()},
)


# ---------------------------------------------------------------- cross-entropy


def mean_loss(scores, labels, ignore_label):
    """The library's loss, for rows instead of pixels."""
    value, dscores = losses.cross_entropy(scores[None, None], labels[None, None], ignore_label)
    return value, dscores[0, 0]


@st.composite
def labelled_rows(draw):
    """Rows of scores, and their labels, of which some are ignored, at times all: 255, or the background, 0."""
    M, K, ignore_label = draw(ROWS), draw(CLASSES), draw(st.sampled_from([255, 0]))
    known = np.append(np.arange(K, dtype=np.uint8), np.uint8(ignore_label))
    return {
        "scores": draw(simple((M, K))) * draw(SCALES),
        "labels": draw(simple((M,), known)),
        "ignore_label": ignore_label,
    }


def _parts(scores, labels, ignore_label):
    """Softmax, one-hot, which rows count, and how many."""
    counts = labels != ignore_label
    one_hot = (labels[:, None] == np.arange(scores.shape[1])) & counts[:, None]
    return losses.softmax(scores), one_hot, counts, max(counts.sum(), 1)


def _rescaled(factor):
    """Divided by another number than the count of rows that count."""

    def wrong(scores, labels, ignore_label):
        value, dscores = mean_loss(scores, labels, ignore_label)
        by = factor(scores, np.count_nonzero(labels != ignore_label))
        return value * by, dscores * by

    return wrong


def _counted_as(fill):
    """Ignored rows count, as if they had another label."""

    def wrong(scores, labels, ignore_label):
        filled = np.where(labels == ignore_label, fill(labels, scores.shape[1]), labels)
        return mean_loss(scores, filled.astype(np.uint8), 255)

    return wrong


def _with_gradient(target):
    """Ignored rows do not count in the value, but their gradient is not set to 0."""

    def wrong(scores, labels, ignore_label):
        p, _, counts, count = _parts(scores, labels, ignore_label)
        value, dscores = mean_loss(scores, labels, ignore_label)
        as_class = np.arange(scores.shape[1]) == target(labels, scores.shape[1])[:, None]
        return value, np.where(counts[:, None], dscores, (p - as_class) / count)

    return wrong


def _no_one_hot(scores, labels, ignore_label):
    p, _, counts, count = _parts(scores, labels, ignore_label)
    value, _ = mean_loss(scores, labels, ignore_label)
    return value, p * counts[:, None] / count


def _of_probabilities(scores, labels, ignore_label):
    """dL/dp instead of dL/ds."""
    p, one_hot, _, count = _parts(scores, labels, ignore_label)
    value, _ = mean_loss(scores, labels, ignore_label)
    return value, -(one_hot / (np.where(one_hot, p, 1) * count))


def _no_logarithm(scores, labels, ignore_label):
    p, one_hot, _, count = _parts(scores, labels, ignore_label)
    _, dscores = mean_loss(scores, labels, ignore_label)
    return -p[one_hot].sum() / count, dscores


def _overflowing(scores, labels, ignore_label):
    """exp without subtracting the maximum."""
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    _, one_hot, counts, count = _parts(scores, labels, ignore_label)
    return -np.log(p[one_hot]).sum() / count, np.where(counts[:, None], p - one_hot, 0) / count


def _overflowing_sum(scores, labels, ignore_label):
    _, one_hot, counts, count = _parts(scores, labels, ignore_label)
    value = (np.log(np.exp(scores).sum(axis=1))[counts] - scores[one_hot]).sum() / count
    return value, _overflowing(scores, labels, ignore_label)[1]


def _logarithm_of_softmax(tiny):
    """Of a probability that has become 0, or of one that a tiny number was added to."""

    def wrong(scores, labels, ignore_label):
        p, one_hot, _, count = _parts(scores, labels, ignore_label)
        return -np.log(p[one_hot] + tiny).sum() / count, mean_loss(scores, labels, ignore_label)[1]

    return wrong


def _unguarded(scores, labels, ignore_label):
    value, dscores = mean_loss(scores, labels, ignore_label)
    return (value, dscores) if np.any(labels != ignore_label) else (np.nan, dscores)


def _unguarded_gradient(scores, labels, ignore_label):
    value, dscores = _unguarded(scores, labels, ignore_label)
    return value, dscores + np.where(np.isnan(value), value, 0)


SUM = "It is the sum where the mean is asked: divide by the number of rows that count, the gradient too."
ALL = "It is divided by all rows, ignored ones too: divide by the number of those that count."
FILLED = "An ignored row does not count at all: leave it out of the sum and out of the number of rows."
SILENT = "An ignored row has a gradient, and should have none: its row of dscores is 0."
NONE = "When no row counts, 0 / 0 is NaN: then value and gradient are 0."

cross_entropy = Exercise(
    name="cross_entropy",
    lesson=5,
    reference=mean_loss,
    cases=labelled_rows(),
    returns=("value", "dscores"),
    mistakes=(
        Mistake(SUM, LOSS, _rescaled(lambda scores, count: count)),
        Mistake(ALL, IGNORED, _rescaled(lambda scores, count: count / len(scores))),
        Mistake(
            "It is divided by the classes, too: divide by the number of rows that count, and by nothing else.",
            LOSS,
            _rescaled(lambda scores, count: count / scores.size),
        ),
        Mistake(
            "The one-hot label is not subtracted: the gradient is softmax - onehot.", GRADIENT, _no_one_hot
        ),
        Mistake(
            "It is the gradient with respect to the probabilities, -1/p: go on through softmax to the scores.",
            GRADIENT,
            _of_probabilities,
        ),
        *(
            Mistake(FILLED, IGNORED, _counted_as(fill))
            for fill in (
                lambda labels, K: 0 * labels,
                lambda labels, K: labels % K,
                lambda labels, K: np.full_like(labels, K - 1),
            )
        ),
        Mistake(
            "255 is built in: the label to ignore is `ignore_label`, whatever it is.",
            IGNORED,
            lambda scores, labels, ignore_label: mean_loss(scores, labels, 255),
        ),
        *(
            Mistake(SILENT, IGNORED, _with_gradient(target))
            for target in (
                lambda labels, K: labels,
                lambda labels, K: 0 * labels,
                lambda labels, K: np.full_like(labels, K - 1),
                lambda labels, K: labels % K,
            )
        ),
        Mistake(
            "The logarithm is missing: the loss of a row is -log of the true class's probability.",
            LOSS,
            _no_logarithm,
        ),
        *(
            Mistake(
                "exp overflows on large scores: subtract the largest score of each row before exp.",
                STABLE,
                wrong,
            )
            for wrong in (_overflowing, _overflowing_sum)
        ),
        Mistake(
            "A probability can become 0, and log(0) is minus infinity: take the logarithm apart before you compute."
            " -log softmax(s)[y] = log(sum of exp(s)) - s[y].",
            STABLE,
            _logarithm_of_softmax(0),
        ),
        *(
            Mistake(
                "A tiny number is added to the probability: then no loss is larger than its logarithm says. Compute"
                " log(sum of exp(s)) - s[y] instead.",
                STABLE,
                _logarithm_of_softmax(tiny),
            )
            for tiny in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)
        ),
        Mistake(NONE, IGNORED, _unguarded),
        Mistake(NONE, IGNORED, _unguarded_gradient),
    ),
    hints=(
        "Which rows count? counts = labels != ignore_label. How many? count = max(counts.sum(), 1).",
        "Subtract each row's largest score. What is left, s, gives log p = s - log(sum of exp(s)); of each row that"
        " counts, take the number of its true class. The value is minus their sum, divided by count.",
        "dscores starts as softmax. In each row that counts, take 1 from the true class. Set the other rows to 0."
        " Divide by count.",
    ),
    source=cross_entropy_definition,
    rtol=1e-9,
    sample={"scores": large_scores(), "labels": np.arange(1000) % 21, "ignore_label": 255},
)
