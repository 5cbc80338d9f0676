"""Losses over pixels: cross-entropy, soft Dice, both for one score map, and weighted sums of losses.

A loss is one function, `(scores, labels, ...) -> (value, dscores)`: the number to make small and its
gradient with respect to the scores. Scores are (N, H, W, K), before the softmax. Labels are (N, H, W)
integers: a class 0..K-1, or `ignore_label` where a pixel is not to count. The binary losses tell two classes
apart by one score, K = 1, before the sigmoid; their labels are 0 and 1.

Every loss raises TypeError for scores that are not floating or labels that are not integers, and ValueError
for shapes that do not fit and for labels that are neither a class nor `ignore_label`.
"""

import math
from collections.abc import Callable

import numpy as np

from minifcn.kernels import cross_entropy as kernel
from minifcn.kernels import memory
from minifcn.kernels.recording import unrecorded

Loss = Callable[..., tuple[float, np.ndarray]]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Class probabilities, p_k = exp(s_k) / Σ_j exp(s_j), over the last axis.

    The largest score is subtracted first. That cancels in the ratio and keeps exp from overflowing.

    >>> softmax(np.array([0.0, 1000.0]))
    array([0., 1.])
    """
    p = np.subtract(scores, _over_classes(np.maximum, scores)[..., None], order="C")
    np.exp(p, out=p)
    p /= _over_classes(np.add, p)[..., None]
    return p


def cross_entropy(
    scores: np.ndarray,
    labels: np.ndarray,
    ignore_label: int = 255,
    class_weights: np.ndarray | None = None,
    pixel_weights: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """Softmax cross-entropy, the weighted mean over the pixels that count.

        L = Σ_p w_p · (-log softmax(s_p)[y_p]) / Σ_p w_p        w_p = class_weights[y_p] · pixel_weights[p]
        dL/ds_p = w_p (softmax(s_p) - onehot(y_p)) / Σ_p w_p    zero at ignored pixels

    Weights that are not given are 1. `class_weights` is (K,), `pixel_weights` has the shape of the labels;
    all must be finite and not negative, else ValueError. As it is a mean, L does not grow with the image.
    Scaling all weights changes nothing, and a weight of 0 is the same as `ignore_label`. This is PyTorch's
    convention for class weights; Caffe divides by the number of valid pixels instead. If no pixel counts, or
    all weights are 0, L and its gradient are 0.

    The value is summed in float64; dscores has the dtype of the scores. Source: Long, Shelhamer and Darrell,
    "Fully convolutional networks for semantic segmentation", 2015, section 4; weights per pixel:
    Ronneberger, Fischer and Brox, "U-Net", 2015, section 3.

    >>> value, dscores = cross_entropy(np.zeros((1, 1, 1, 4)), np.array([[[2]]]))
    >>> print(f"{value:.4f}", dscores.ravel())
    1.3863 [ 0.25  0.25 -0.75  0.25]
    """
    valid = _check(scores, labels, ignore_label)
    K = scores.shape[-1]
    shares = _shares(valid, labels, scores, K, class_weights, pixel_weights)
    if not shares.any():
        return 0.0, np.zeros(scores.shape, scores.dtype)
    if labels.dtype != np.uint8:
        labels = _target(labels, valid)
    dscores = memory.empty(scores.shape, scores.dtype)
    value = kernel.cross_entropy(
        np.ascontiguousarray(scores).reshape(-1, K),
        labels.ravel(),
        shares.ravel(),
        dscores.reshape(-1, K),
    )
    return value, dscores


def dice(
    scores: np.ndarray, labels: np.ndarray, squared: bool = False, ignore_label: int = 255
) -> tuple[float, np.ndarray]:
    """Soft Dice loss: 1 minus the mean over classes of the overlap D_c, from 0 (perfect) to 1.

    With p = softmax(scores), g = onehot(labels), sums over all valid pixels of the batch:

        I_c = Σ p g     B_c = Σ p + Σ g, or Σ p² + Σ g² if `squared`     D_c = 2 I_c / B_c
        L = 1 - (1/M) Σ_c D_c    over the M classes that occur among the valid labels

    A class that does not occur does not count: its D_c would be 0 however small p is. For the others Σ g > 0,
    so no smoothing term is needed. If no pixel is valid, L and its gradient are 0. The gradient is the
    quotient rule, then the softmax:

        dL/dp_c = -(2/M) (g B_c - I_c) / B_c²     with 2 p I_c for I_c if `squared`; 0 if c does not occur
        dL/ds_k = p_k (dL/dp_k - Σ_j p_j dL/dp_j)

    The sums are in float64; dscores has the dtype of the scores and is 0 at ignored pixels. Source, with
    squares: Milletari, Navab and Ahmadi, "V-Net", 2016, section 3; without: Drozdzal et al., "The importance
    of skip connections in biomedical image segmentation", 2016.

    >>> value, _ = dice(np.zeros((1, 1, 2, 2)), np.array([[[0, 1]]]))   # p = 1/2: I = 1/2 and B = 2
    >>> value
    0.5
    """
    valid = _check(scores, labels, ignore_label)
    if not valid.any():
        return 0.0, np.zeros(scores.shape, scores.dtype)
    K = scores.shape[-1]
    p = softmax(scores)
    p[~valid] = 0.0  # an ignored pixel is in no sum, and the softmax rule then gives it no gradient
    target = _target(labels, valid)
    at = np.arange(0, target.size * K, K).reshape(target.shape) + target  # in the flattened scores

    pixels = np.bincount(target.ravel(), weights=valid.ravel(), minlength=K)
    overlap = np.bincount(target.ravel(), weights=p.reshape(-1)[at].ravel(), minlength=K)
    mass = np.sum(p * p if squared else p, axis=(0, 1, 2), dtype=np.float64)
    occurs = pixels > 0
    M = np.count_nonzero(occurs)
    both = np.where(occurs, mass + pixels, 1.0)
    value = 1.0 - float(np.sum(2.0 * overlap / both) / M)

    from_overlap = (-2.0 / M * occurs / both).astype(scores.dtype)
    from_size = (2.0 / M * overlap / both**2).astype(scores.dtype)
    dp = 2.0 * p * from_size if squared else np.full(p.shape, from_size)
    dp.reshape(-1)[at] += from_overlap[target]
    dp -= _over_classes(np.add, p * dp)[..., None]
    dp *= p
    return value, dp


def binary_cross_entropy(
    scores: np.ndarray,
    labels: np.ndarray,
    ignore_label: int = 255,
    class_weights: np.ndarray | None = None,
    pixel_weights: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """Sigmoid cross-entropy of one score map (N, H, W, 1), the weighted mean over the pixels that count.

        L = Σ_p w_p (log(1 + exp(s_p)) - y_p s_p) / Σ_p w_p     w_p = class_weights[y_p] · pixel_weights[p]
        dL/ds_p = w_p (sigmoid(s_p) - y_p) / Σ_p w_p            zero at ignored pixels

    It is `cross_entropy` of the two scores (0, s_p), as softmax(0, s) = (1 - sigmoid(s), sigmoid(s)); all that is
    said there of weights, (2,) and (N, H, W), and of types holds here.

    >>> value, dscores = binary_cross_entropy(np.zeros((1, 1, 2, 1)), np.array([[[0, 1]]]))
    >>> print(f"{value:.4f}", dscores.ravel())
    0.6931 [ 0.25 -0.25]
    """
    valid = _check_binary(scores, labels, ignore_label)
    shares = _shares(valid, labels, scores, 2, class_weights, pixel_weights)
    s = scores[..., 0]
    y = _target(labels, valid)
    value = float(np.sum(shares * (np.logaddexp(0, s) - y * s), dtype=np.float64, where=shares > 0))
    return value, (shares * (_sigmoid(s) - y).astype(s.dtype))[..., None]


def binary_dice(
    scores: np.ndarray, labels: np.ndarray, squared: bool = False, ignore_label: int = 255
) -> tuple[float, np.ndarray]:
    """Soft Dice loss of one score map (N, H, W, 1): 1 minus the overlap of class 1, from 0 (perfect) to 1.

    With p = sigmoid(scores), g = labels, sums over all valid pixels of the batch:

        I = Σ p g     B = Σ p + Σ g, or Σ p² + Σ g² if `squared`     L = 1 - 2 I / B
        dL/dp = -2 (g B - I) / B²     with 2 p I for I if `squared`     dL/ds = p (1 - p) dL/dp

    Class 0 does not count: what is many is not to outweigh what is rare. If class 1 does not occur among the
    valid labels, L and its gradient are 0. Sources and types are those of `dice`.

    >>> value, _ = binary_dice(np.zeros((1, 1, 2, 1)), np.array([[[0, 1]]]))
    >>> value   # p = 1/2: I = 1/2 and B = 2
    0.5
    """
    valid = _check_binary(scores, labels, ignore_label)
    g = _target(labels, valid)
    pixels = int(np.count_nonzero(g))
    if pixels == 0:
        return 0.0, np.zeros(scores.shape, scores.dtype)
    p = _sigmoid(scores[..., 0])
    p[~valid] = 0.0  # an ignored pixel is in no sum, and the factor p of dL/ds then gives it no gradient
    overlap = float(np.sum(p * g, dtype=np.float64))
    both = float(np.sum(p * p if squared else p, dtype=np.float64)) + pixels
    dp = (2.0 / both**2) * ((2.0 * p if squared else 1.0) * overlap - g * both)
    return 1.0 - 2.0 * overlap / both, (p * (1.0 - p) * dp).astype(scores.dtype)[..., None]


def weighted_sum(*terms: tuple[float, Loss]) -> Loss:
    """The loss Σ weight · loss over the terms (weight, loss); its gradient is the same sum of gradients.

    Options of the sum, such as `ignore_label`, are handed to every term. An option of one term is fixed
    beforehand, with functools.partial. Raises ValueError if there is no term or a weight is not finite.

    >>> loss = weighted_sum((1.0, cross_entropy), (0.5, dice))
    >>> value, dscores = loss(np.zeros((1, 1, 2, 2)), np.array([[[0, 1]]]))   # ln 2 + 0.5 · 0.5
    >>> print(f"{value:.4f}")
    0.9431
    """
    if not terms or not all(math.isfinite(weight) for weight, _ in terms):
        raise ValueError(f"weighted_sum needs terms (finite weight, loss), found {terms}")

    def loss(scores: np.ndarray, labels: np.ndarray, **options) -> tuple[float, np.ndarray]:
        total, dtotal = 0.0, np.zeros(scores.shape, scores.dtype)
        for weight, term in terms:
            value, dscores = term(scores, labels, **options)
            total += weight * value
            dtotal += weight * dscores
        return total, dtotal

    return loss


def _sigmoid(s: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-s)); exp is taken of what is not positive, so that it cannot overflow."""
    e = np.exp(-np.abs(s))
    return np.where(s >= 0, 1.0, e) / (1.0 + e)


def _over_classes(ufunc: np.ufunc, scores: np.ndarray) -> np.ndarray:
    """`ufunc.reduce(scores, axis=-1)`, class by class.

    Each call runs over all pixels at once. NumPy's own reduction starts anew at each pixel, which for a few
    classes takes several times as long.
    """
    result = scores[..., 0].copy()
    for k in range(1, scores.shape[-1]):
        ufunc(result, scores[..., k], out=result)
    return result


def _shares(
    valid: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    classes: int,
    class_weights: np.ndarray | None,
    pixel_weights: np.ndarray | None,
) -> np.ndarray:
    """w_p / Σ w_p in the shape of the labels and the dtype of the scores; zeros if all weights are 0."""
    if class_weights is None and pixel_weights is None:
        return valid * scores.dtype.type(1 / (np.count_nonzero(valid) or 1))
    weights = valid.astype(np.float64)
    if class_weights is not None:
        of_class = _check_weights("class_weights", class_weights, (classes,))
        weights *= of_class[_target(labels, valid)]
    if pixel_weights is not None:
        weights *= _check_weights("pixel_weights", pixel_weights, labels.shape)
    return (weights / (weights.sum() or 1)).astype(scores.dtype)


def _check(
    scores: np.ndarray, labels: np.ndarray, ignore_label: int, classes: int | None = None
) -> np.ndarray:
    """Which pixels are valid, if everything is as it must be."""
    unrecorded("a loss")
    if not np.issubdtype(scores.dtype, np.floating):
        raise TypeError(f"scores must be floating, found {scores.dtype}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, found {labels.dtype}")
    if scores.ndim != 4 or scores.shape[-1] == 0:
        raise ValueError(f"scores must be (N, H, W, K) with K > 0, found {scores.shape}")
    if labels.shape != scores.shape[:-1]:
        raise ValueError(f"labels must be (N, H, W) of scores {scores.shape}, found {labels.shape}")
    K = scores.shape[-1] if classes is None else classes
    valid = labels != ignore_label
    wrong = valid & ((labels < 0) | (labels >= K))
    if wrong.any():
        found = ", ".join(str(value) for value in np.unique(labels[wrong])[:10])
        raise ValueError(f"labels must be 0..{K - 1} or {ignore_label} (ignored), found {found}")
    return valid


def _check_binary(scores: np.ndarray, labels: np.ndarray, ignore_label: int) -> np.ndarray:
    """The same for one score map that tells two classes apart."""
    if scores.ndim == 4 and scores.shape[-1] != 1:
        raise ValueError(f"scores must be (N, H, W, 1), found {scores.shape}")
    return _check(scores, labels, ignore_label, classes=2)


def _target(labels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The class of each pixel as an index, 0 where it is not valid."""
    return np.where(valid, labels, 0).astype(np.intp)


def _check_weights(name: str, weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    weights = np.asarray(weights)
    if weights.dtype.kind not in "buif":
        raise TypeError(f"{name} must be real numbers, found {weights.dtype}")
    if weights.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, found {weights.shape}")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise ValueError(f"{name} must be finite and not negative, found {weights[wrong].flat[0]}")
    return weights
