"""Labels on disk that are not yet 0, 1, ..., K - 1 and 255 = ignore."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from minifcn.data.images import read_labels
from minifcn.errors import InputError


def recoded(new: Mapping[int, int], known: str) -> Callable[[Path], np.ndarray]:
    """A function that reads a label map and gives each label l the number new[l].

    It raises InputError, naming the file, for a label that is not in `new`; `known` says in words what is.
    """
    table, allowed = np.zeros(256, np.uint8), np.zeros(256, bool)
    table[list(new)], allowed[list(new)] = list(new.values()), True

    def read(path: Path) -> np.ndarray:
        labels = read_labels(path)
        strange = np.flatnonzero(np.bincount(labels.ravel(), minlength=256) * ~allowed)
        if len(strange):
            found = ", ".join(str(label) for label in strange[:10])
            raise InputError(f"{path}: labels {found}, expected {known}")
        return table[labels]

    return read
