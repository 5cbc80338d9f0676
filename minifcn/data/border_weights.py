"""The weights of U-Net: the narrow ground between two cells counts more than all else.

A network that joins two touching cells is wrong at a few pixels only, so the mean over all pixels hardly notices.
These weights make it notice. An instance map says which pixel belongs to which cell: 0 is the ground, each other
number one cell.
"""

import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from minifcn.data.dataset import Dataset

FAR = 7  # sigmas: a cell further away adds less than 3e-11 w0, which float32 does not see

# Labels and weights in one array, so that every augmentation moves them together.
WEIGHTED_LABELS = np.dtype([("label", np.uint8), ("weight", np.float32)])


@runtime_checkable
class WithInstances(Dataset, Protocol):
    """A dataset that also knows the instances, (H, W) integers, of each image."""

    def instances(self, index: int) -> np.ndarray: ...


def border_weights(
    instances: np.ndarray,
    class_weights: tuple[float, float] | np.ndarray = (1.0, 1.0),
    w0: float = 10.0,
    sigma: float = 5.0,
) -> np.ndarray:
    """The weight of each pixel, from an instance map (H, W): (H, W) float32.

        w = w_c + w0 exp(-(d1 + d2)² / (2 sigma²))

    w_c is class_weights[0] on the ground and class_weights[1] on cells. d1 and d2 are the distances, in pixels,
    to the nearest pixel of the nearest and of the second nearest cell. The second term is for the ground alone:
    inside a cell d1 is 0, and the term would weigh the cell's border instead of the gap. It is 0 where there are
    fewer than two cells. Raises TypeError and ValueError for what is not an instance map.

    Source: Ronneberger, Fischer and Brox, "U-Net", 2015, equation 2, with w0 = 10 and sigma of about 5 pixels.

    >>> border_weights(np.array([[1, 1, 0, 2, 2, 0]])).round(2)  # d1 + d2 is 2, on the right 5
    array([[ 1.  ,  1.  , 10.23,  1.  ,  1.  ,  7.07]], dtype=float32)
    """
    if instances.ndim != 2 or instances.size == 0:
        raise ValueError(f"instances must be (H, W) of at least one pixel, found {instances.shape}")
    if not np.issubdtype(instances.dtype, np.integer) or instances.min() < 0:
        raise TypeError(f"instances must be integers from 0, found {instances.dtype} from {instances.min()}")
    if not (sigma > 0 and w0 >= 0):
        raise ValueError(f"w0 = {w0}, sigma = {sigma}; expected at least 0 and more than 0")
    nearest, second = (np.full(instances.shape, np.inf) for _ in range(2))
    for window, cell in _cells(instances, math.ceil(FAR * sigma)):
        distance = np.sqrt(_squared_distance(cell))
        second[window] = np.minimum(second[window], np.maximum(nearest[window], distance))
        nearest[window] = np.minimum(nearest[window], distance)
    ground = instances == 0
    weights = np.where(ground, *class_weights)
    weights = weights + ground * w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return weights.astype(np.float32)


def separated(instances: np.ndarray) -> np.ndarray:
    """The instance map with a ridge of ground between touching cells, one pixel wide.

    A pixel becomes ground if one of its eight neighbours belongs to a cell of a lower number. Then no two cells
    touch, not even at corners.

    >>> separated(np.array([[1, 1, 2, 2, 0, 3]]))
    array([[1, 1, 0, 2, 0, 3]])
    """
    padded = np.pad(instances, 1)
    H, W = instances.shape
    touches = np.zeros(instances.shape, bool)
    for down in range(3):
        for right in range(3):
            neighbour = padded[down : down + H, right : right + W]
            touches |= (neighbour > 0) & (neighbour < instances)
    return np.where(touches, 0, instances).astype(instances.dtype)


class BorderWeighted:
    """A dataset of cells whose labels carry their weights: arrays of WEIGHTED_LABELS.

    The weights of an image are computed when it is first asked for, and kept.
    """

    def __init__(
        self, dataset: WithInstances, class_weights: tuple[float, float] | np.ndarray = (1.0, 1.0)
    ) -> None:
        self.dataset, self.class_weights, self.class_names = dataset, class_weights, dataset.class_names
        self._weights: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = self.dataset[index]
        if index not in self._weights:
            self._weights[index] = border_weights(self.dataset.instances(index), self.class_weights)
        weighted = np.empty(labels.shape, WEIGHTED_LABELS)
        weighted["label"], weighted["weight"] = labels, self._weights[index]
        return image, weighted

    def name(self, index: int) -> str:
        return self.dataset.name(index)


def _cells(instances: np.ndarray, margin: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """For each cell: a window `margin` pixels larger than it on all sides, and which of its pixels are the cell."""
    for number in np.unique(instances[instances > 0]):
        rows, columns = np.nonzero(instances == number)
        window = (
            slice(max(rows.min() - margin, 0), rows.max() + margin + 1),
            slice(max(columns.min() - margin, 0), columns.max() + margin + 1),
        )
        yield window, instances[window] == number


def _squared_distance(cell: np.ndarray) -> np.ndarray:
    """From each pixel the squared distance to the nearest one that is True: along the columns, then the rows.

    The nearest pixel lies in some column; there it is the one nearest to the own row.
    """
    H, W = cell.shape
    rows, columns = np.arange(H)[:, None], np.arange(W)
    none = 2 * (H + W)  # further away than all that is in the window
    above = np.maximum.accumulate(np.where(cell, rows, -none), axis=0)
    below = np.minimum.accumulate(np.where(cell, rows, H + none)[::-1], axis=0)[::-1]
    vertical = np.minimum(rows - above, below - rows) ** 2
    nearest = np.full((H, W), 2 * none**2)
    for column in np.flatnonzero(cell.any(axis=0)):
        np.minimum(nearest, vertical[:, column, None] + (columns - column) ** 2, out=nearest)
    return nearest
