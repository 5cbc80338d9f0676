"""The soft Dice loss, right, and the wrong ones that learners write.

All are one formula with changed parts. p are the probabilities and g the one-hot labels, (pixels, K); sums over the
pixels that count give I = sum of p g and B = sum of p + sum of g for each class, and L = 1 - mean of 2 I / B.
"""

import numpy as np

from minifcn import losses
from minifcn.check.diagnosis import Mistake

RARE = 'lesson 8, "Dice, when classes are rare"'
QUOTIENT = 'lesson 8, "The gradient of a quotient"'


def dice_float64(scores, labels):
    return losses.dice(scores.astype(np.float64), labels)


def _parts(scores, labels, ignored=False):
    """p and g as (pixels, K), and which pixels count; the others are zero in g, and in p unless `ignored`."""
    K = scores.shape[-1]
    valid = (labels != 255).ravel()
    p = losses.softmax(scores.reshape(-1, K).astype(np.float64))
    g = (labels.reshape(-1, 1) == np.arange(K)).astype(np.float64)
    return p if ignored else p * valid[:, None], g, valid


def _through_softmax(p, dp):
    return p * (dp - (p * dp).sum(axis=-1, keepdims=True))


def _dice(
    scores,
    labels,
    two=2.0,
    size=lambda p, g: (p + g).sum(axis=0),
    dsize=lambda p, g: np.ones_like(p),
    second=1.0,
    smooth=(0.0, 0.0),
    classes="present",
    ignored=False,
    softmax=_through_softmax,
    dtype=np.float64,
):
    """Dice with its parts to be changed: B = `size`, of which `dsize` is the derivative; `second` times the second
    term of the quotient rule; `smooth` is added to numerator and denominator."""
    p, g, valid = _parts(scores, labels, ignored)
    p, g = p.astype(dtype), g.astype(dtype)
    overlap, B = (p * g).sum(axis=0, dtype=dtype), size(p, g)
    above, below = two * overlap + smooth[0], B + smooth[1]
    there = g.sum(axis=0) > 0 if classes == "present" else np.ones(g.shape[1], bool)
    M = np.count_nonzero(there)
    with np.errstate(all="ignore"):
        D = np.where(there, above / below, 0)
        dD = two * g / below - second * above * dsize(p, g) / below**2
    dp = np.where(there, -dD / M, 0)
    dscores = softmax(p, dp) * (1 if ignored else valid[:, None])
    return 1 - D.sum() / M, dscores.reshape(scores.shape)


def _changed(**parts):
    return lambda scores, labels: _dice(scores, labels, **parts)


def _of_each_image(count_empty, **parts):
    """The mean over the images, or over those in which some pixel counts; L is 0 for the others."""

    def wrong(scores, labels):
        there = (labels != 255).any(axis=(1, 2))
        number = len(there) if count_empty else there.sum()
        value, dscores = 0.0, np.zeros(scores.shape)
        for n in np.flatnonzero(there):
            one, dscores[n : n + 1] = _dice(scores[n : n + 1], labels[n : n + 1], **parts)
            value += one / number
        return value, dscores / number

    return wrong


def _all_classes_together(scores, labels):
    """One overlap for everything: sums over pixels and classes."""
    p, g, _ = _parts(scores, labels)
    overlap, B = (p * g).sum(), (p + g).sum()
    dp = -(2 * g * B - 2 * overlap) / B**2
    return 1 - 2 * overlap / B, _through_softmax(p, dp).reshape(scores.shape)


def _not_divided(scores, labels):
    """The sum over the classes, not the mean: the value, or only its gradient."""
    value, dscores = dice_float64(scores, labels)
    M = len(np.unique(labels[labels != 255]))
    return M * value, M * dscores


def _one_minus_sum(scores, labels):
    value, dscores = dice_float64(scores, labels)
    M = len(np.unique(labels[labels != 255]))
    return 1 - M * (1 - value), M * dscores


def _divided_by_all(scores, labels):
    value, dscores = dice_float64(scores, labels)
    share = len(np.unique(labels[labels != 255])) / scores.shape[-1]
    return 1 - share * (1 - value), share * dscores


def _absent_is_perfect(scores, labels):
    """A class that does not occur counts with D = 1."""
    value, dscores = dice_float64(scores, labels)
    share = len(np.unique(labels[labels != 255])) / scores.shape[-1]
    return share * value, share * dscores


def _overlap_itself(scores, labels):
    value, dscores = dice_float64(scores, labels)
    return 1 - value, dscores


def _float32(scores, labels):
    value, dscores = losses.dice(scores.astype(np.float32), labels)
    return value, dscores


def _union(p, g):
    return (p + g - p * g).sum(axis=0)


DENOMINATOR = "The denominator is wrong: B is the sum of p plus the sum of g, over all pixels that count."
SOFTMAX = (
    "The way through the softmax is wrong: each score moves all probabilities, so ds = p * (dp - (p *"
    " dp).sum(axis=-1, keepdims=True))."
)
SMOOTH = (
    "A smoothing term is added. Classes that do not occur are left out here, so no denominator is 0, and"
    " nothing is to be added."
)

DICE_MISTAKES = (
    Mistake(
        "The second term of the quotient rule is missing: B grows with p, too. dD/dp = 2 (g B - I) / B².",
        QUOTIENT,
        _changed(second=0.0),
    ),
    Mistake(
        "The second term of the quotient rule has the wrong sign: dD/dp = 2 (g B - I) / B².",
        QUOTIENT,
        _changed(second=-1.0),
    ),
    Mistake(
        "The second term of the quotient rule is half of what it is: the numerator is 2 I. dD/dp = 2 (g B -"
        " I) / B².",
        QUOTIENT,
        _changed(second=0.5),
    ),
    Mistake(
        "All classes are thrown together in one overlap, so the frequent ones decide. One D per class, then"
        " the mean.",
        RARE,
        _all_classes_together,
    ),
    *(
        Mistake(
            "One D for each image, and then the mean. The sums run over the pixels of the whole batch, so"
            " that a class has one D.",
            RARE,
            _of_each_image(count_empty, classes=classes),
        )
        for count_empty in (True, False)
        for classes in ("present", "all")
    ),
    Mistake(
        "The denominator has squares, as in V-Net. Here B is the sum of p plus the sum of g.",
        RARE,
        _changed(size=lambda p, g: (p * p + g * g).sum(axis=0), dsize=lambda p, g: 2 * p),
    ),
    Mistake(
        "The denominator is the union, p + g - p g: that is the IU. B is the sum of p plus the sum of g.",
        RARE,
        _changed(size=_union, dsize=lambda p, g: 1 - g),
    ),
    Mistake(
        "This is the IU, I over the union. Dice is 2 I / B, and B is the sum of p plus the sum of g.",
        RARE,
        _changed(two=1.0, size=_union, dsize=lambda p, g: 1 - g),
    ),
    Mistake(DENOMINATOR, RARE, _changed(size=lambda p, g: g.sum(axis=0), dsize=lambda p, g: 0 * p)),
    Mistake(DENOMINATOR, RARE, _changed(size=lambda p, g: p.sum(axis=0))),
    Mistake(
        DENOMINATOR,
        RARE,
        _changed(two=1.0, size=lambda p, g: g.sum(axis=0), dsize=lambda p, g: 0 * p),
    ),
    Mistake("The 2 is missing: D = 2 I / B, so that it is 1 where p = g.", RARE, _changed(two=1.0)),
    *(
        Mistake(
            "A class that does not occur counts. Its D would be 0 however small p is: take the mean over"
            " the M classes that occur.",
            RARE,
            wrong,
        )
        for wrong in (_changed(classes="all"), _divided_by_all, _absent_is_perfect)
    ),
    *(
        Mistake("It is a sum over the classes where the mean is asked: divide by M.", RARE, wrong)
        for wrong in (_not_divided, _one_minus_sum)
    ),
    Mistake("This is the overlap, which is to be large. The loss is 1 minus it.", RARE, _overlap_itself),
    Mistake(
        "Ignored pixels are counted: where the label is 255, p is in no sum, and the gradient is 0.",
        RARE,
        _changed(ignored=True),
    ),
    Mistake(
        "This is the gradient with respect to p; what is asked is that of the scores, in front of the softmax.",
        QUOTIENT,
        _changed(softmax=lambda p, dp: dp),
    ),
    *(
        Mistake(SOFTMAX, QUOTIENT, _changed(softmax=wrong))
        for wrong in (
            lambda p, dp: p * dp,
            lambda p, dp: p * (1 - p) * dp,
            lambda p, dp: dp - (p * dp).sum(axis=-1, keepdims=True),
            lambda p, dp: p * (dp - dp.sum(axis=-1, keepdims=True)),
            lambda p, dp: p * (dp - dp.mean(axis=-1, keepdims=True)),
        )
    ),
    *(
        Mistake(SMOOTH, RARE, _changed(smooth=smooth, classes=classes))
        for amount in (1.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
        for smooth in ((amount, amount), (0.0, amount))
        for classes in ("present", "all")
    ),
    Mistake(
        "It is computed in float32. Sums over many pixels lose digits there: take the sums in float64.",
        RARE,
        _float32,
    ),
)
