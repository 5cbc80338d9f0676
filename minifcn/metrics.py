"""How good a segmentation is: every measure from one confusion matrix.

Let n_ij be the pixels of true class i predicted as j, t_i = Σ_j n_ij those of class i, and p_i = Σ_j n_ji
those predicted as i. Then

    pixel accuracy           Σ_i n_ii / Σ_i t_i
    mean accuracy            mean over i of n_ii / t_i
    mean IU                  mean over i of IU_i = n_ii / (t_i + p_i - n_ii)
    frequency weighted IU    Σ_i t_i IU_i / Σ_i t_i

(Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015, section 5). Add
up the matrices of a whole set and measure once: the mean of per-image values is another number.

A class that is neither present nor predicted has no value: it is NaN, and the means skip it. A class that is
absent but was predicted has IU 0, which counts, and no accuracy. The measures of an empty matrix are NaN.
Every measure raises ValueError for a matrix that is not square.
"""

from collections.abc import Sequence

import numpy as np


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """The (K, K) int64 matrix of pixel counts, rows = truth, columns = prediction.

    Both are integer arrays of one shape. Pixels whose label is not in 0..K-1, such as 255, do not count.
    Raises TypeError if one is not of integers, ValueError if the shapes differ, `classes` is not positive or
    a pixel that counts has a prediction outside 0..K-1.

    >>> confusion(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]), classes=2)
    array([[1, 1],
           [0, 1]])
    """
    for name, array in (("labels", labels), ("predictions", predictions)):
        if not np.issubdtype(array.dtype, np.integer):
            raise TypeError(f"{name} must be integers, found {array.dtype}")
    if labels.shape != predictions.shape:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must have one shape")
    if classes < 1:
        raise ValueError(f"classes must be positive, found {classes}")
    counted = (labels >= 0) & (labels < classes)
    truth, guess = labels[counted], predictions[counted]
    wrong = (guess < 0) | (guess >= classes)
    if wrong.any():
        found = ", ".join(str(value) for value in np.unique(guess[wrong])[:10])
        raise ValueError(f"predictions must be 0..{classes - 1}, found {found}")
    pairs = truth.astype(np.int64) * classes + guess.astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64, copy=False)


def trimap(labels: np.ndarray, width: int, ignore_label: int = 255) -> np.ndarray:
    """The labels in a band along the boundaries; whatever is further away becomes `ignore_label`.

    A pixel is in the band if one with another label lies at most `width` pixels from it, centre to centre: `width`
    rows on either side of a straight boundary. Ignored pixels are another label, too, so that there is a band
    around the void of PASCAL VOC. `labels` is (..., H, W). The confusion matrix of what is left tells how well
    boundaries are found, which a mean over all pixels hardly shows. Raises ValueError for a width below 1.

    Source: Kohli, Ladicky and Torr, "Robust higher order potentials for enforcing label consistency", 2009; Chen et
    al., DeepLab, 2015, use it in the same way.

    >>> trimap(np.array([[0, 0, 0, 0, 1, 1, 1]]), width=2)
    array([[255, 255,   0,   0,   1,   1, 255]])
    """
    if width < 1:
        raise ValueError(f"width is {width}; expected at least 1 pixel")
    H, W = labels.shape[-2:]
    # Beyond the border its pixels go on: they are no nearer than the border, so nothing is added to the band.
    around = np.pad(labels, [(0, 0)] * (labels.ndim - 2) + [(width, width)] * 2, mode="edge")
    band = np.zeros(labels.shape, bool)
    for down, right in np.ndindex(2 * width + 1, 2 * width + 1):
        if (down - width) ** 2 + (right - width) ** 2 <= width**2:
            band |= around[..., down : down + H, right : right + W] != labels
    return np.where(band, labels, np.array(ignore_label, labels.dtype))


def pixel_accuracy(hist: np.ndarray) -> float:
    """The share of pixels that are right, Σ n_ii / Σ t_i."""
    right, truth, _ = _counts(hist)
    return float(_ratio(right.sum(), truth.sum()))


def mean_accuracy(hist: np.ndarray) -> float:
    """The mean of `accuracy` over the classes that are present."""
    return _mean(accuracy(hist))


def mean_iou(hist: np.ndarray) -> float:
    """The mean of `iou` over the classes that are present or predicted.

    >>> mean_iou(np.array([[2, 1, 0], [0, 1, 0], [0, 0, 0]]))   # (2/3 + 1/2) / 2; class 2 does not occur
    0.5833333333333333
    """
    return _mean(iou(hist))


def frequency_weighted_iou(hist: np.ndarray) -> float:
    """The mean of `iou` weighted with each class's pixels, Σ t_i IU_i / Σ t_i, over the classes present."""
    _, truth, _ = _counts(hist)
    return float(_ratio(np.nansum(truth * iou(hist)), truth.sum()))


def iou(hist: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, n_ii / (t_i + p_i - n_ii), (K,) in [0, 1] or NaN."""
    right, truth, predicted = _counts(hist)
    return _ratio(right, truth + predicted - right)


def accuracy(hist: np.ndarray) -> np.ndarray:
    """The share of each class's pixels that are right, n_ii / t_i, (K,) in [0, 1] or NaN; also: recall."""
    right, truth, _ = _counts(hist)
    return _ratio(right, truth)


recall = accuracy


def precision(hist: np.ndarray) -> np.ndarray:
    """The share of the pixels predicted as a class that are of it, n_ii / p_i, (K,) in [0, 1] or NaN."""
    right, _, predicted = _counts(hist)
    return _ratio(right, predicted)


def dice(hist: np.ndarray) -> np.ndarray:
    """The Dice coefficient of each class, 2 n_ii / (t_i + p_i), (K,) in [0, 1] or NaN; also called F1.

    It is the harmonic mean of precision and recall, and 2 IU / (1 + IU).
    """
    right, truth, predicted = _counts(hist)
    return _ratio(2 * right, truth + predicted)


def table(hist: np.ndarray, class_names: Sequence[str]) -> str:
    """The measures as plain text: a row per class, and under it the paper's four. "–" stands for NaN.

    A class's share is its pixels out of all that count. Raises ValueError unless there is one name per class.

    >>> print(table(np.array([[50, 10], [5, 30]]), ["sky", "tree"]))
    class                   IU %  accuracy %      pixels  share %
    sky                     76.9        83.3          60     63.2
    tree                    66.7        85.7          35     36.8
    <BLANKLINE>
    pixel accuracy          84.2
    mean accuracy           84.5
    mean IU                 71.8
    frequency weighted IU   73.1
    """
    _, truth, _ = _counts(hist)
    if len(class_names) != len(truth):
        raise ValueError(f"{len(truth)} classes need as many names, found {list(class_names)}")
    four = {
        "pixel accuracy": pixel_accuracy(hist),
        "mean accuracy": mean_accuracy(hist),
        "mean IU": mean_iou(hist),
        "frequency weighted IU": frequency_weighted_iou(hist),
    }
    width = max(map(len, [*four, *class_names]))
    lines = [f"{'class':{width}}  {'IU %':>5}  {'accuracy %':>10}  {'pixels':>10}  {'share %':>7}"]
    per_class = zip(class_names, iou(hist), accuracy(hist), truth, _ratio(truth, truth.sum()), strict=True)
    for name, iu, right, pixels, share in per_class:
        row = f"{_percent(iu):>5}  {_percent(right):>10}  {pixels:>10}  {_percent(share):>7}"
        lines.append(f"{name:{width}}  {row}")
    lines += ["", *(f"{name:{width}}  {_percent(value):>5}" for name, value in four.items())]
    return "\n".join(lines)


def _counts(hist: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: pixels that are right, n_ii; pixels of the class, t_i; pixels predicted as it, p_i."""
    if hist.ndim != 2 or hist.shape[0] != hist.shape[1]:
        raise ValueError(f"a confusion matrix must be (K, K), found {hist.shape}")
    return np.diag(hist), hist.sum(axis=1), hist.sum(axis=0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}"
