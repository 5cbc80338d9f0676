"""Objects: connected pixels of one kind, and which of the true ones a prediction has found.

Where cells touch, a prediction may be right at nearly every pixel and yet take ten cells for one. Measures of
pixels do not see that; counting objects does.
"""

import numpy as np


def components(mask: np.ndarray) -> np.ndarray:
    """The connected parts of a mask (H, W): int32, 0 outside the mask, and 1, 2, … for each part.

    Pixels are connected by their sides, not by their corners. Parts are numbered by their first pixels, row by row.

    >>> components(np.array([[1, 1, 0, 1], [0, 0, 1, 0], [0, 1, 1, 0]], bool))
    array([[1, 1, 0, 2],
           [0, 0, 3, 0],
           [0, 3, 3, 0]], dtype=int32)
    """
    if mask.ndim != 2:
        raise ValueError(f"mask must be (H, W), found {mask.shape}")
    outside = mask.size
    first = np.where(mask, np.arange(mask.size).reshape(mask.shape), outside)
    while True:  # each pixel takes the first pixel that its neighbours know of, until nobody learns anything
        around = np.pad(first, 1, constant_values=outside)
        sides = around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]
        lower = np.where(mask, np.minimum.reduce([first, *sides]), outside)
        if np.array_equal(lower, first):
            break
        first = lower
    numbers = np.unique(first[mask])
    return np.where(mask, np.searchsorted(numbers, first) + 1, 0).astype(np.int32)


def found(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Which objects of `truth` are found: (objects,) bool, in the order of their numbers.

    Both are instance maps, (H, W) integers: 0 is the ground, each other number one object. An object is found if
    a predicted one has an intersection over union of more than 1/2 with it. There is at most one such, and it finds
    no other: two cells that are taken for one are not found, or only the one that is much larger.

    Raises ValueError if the shapes differ.

    >>> found(np.array([[1, 1, 1, 0, 2, 2]]), np.array([[7, 7, 7, 7, 7, 0]]))
    array([ True, False])
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} must have one shape")
    (T, rows), (P, columns) = (_numbered(instances) for instances in (truth, prediction))
    both = np.bincount((rows * P + columns).ravel(), minlength=T * P).reshape(T, P)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
    return (2 * both > either)[1:, 1:].any(axis=1)


def _numbered(instances):
    """How many numbers there are, that of the ground included, and the map in numbers 0, 1, 2, …"""
    numbers = np.unique(np.append(instances, 0))
    return len(numbers), np.searchsorted(numbers, instances)
