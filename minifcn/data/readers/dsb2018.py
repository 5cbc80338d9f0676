"""Data Science Bowl 2018: cells under many microscopes; each cell's mask is a file of its own.

    <id>/images/<id>.png
    <id>/masks/*.png            one cell each, white on black

in stage1_train/ or the folder itself. Every fifth image is for validation. Labels are 0 = ground and 1 = cell, with
a ridge of ground between cells that touch.
"""

from pathlib import Path

import numpy as np

from minifcn.data.border_weights import separated
from minifcn.data.folder import Folder, checked
from minifcn.data.images import read_labels
from minifcn.data.listing import entries, every_fifth, pictures
from minifcn.errors import InputError

LAYOUT = "stage1_train/<id>/images/ and masks/ (DSB2018)"


class CellFolder(Folder):
    """A dataset of cells with instances, for border weights."""

    def instances(self, index: int) -> np.ndarray:
        """(H, W) int32: 0 is ground, each other number one cell."""
        return read_instances(self.files[index][1])


def recognises(root: Path) -> bool:
    return any(_is_sample(path) for path in entries(_samples(root)))


def read(root: Path) -> tuple[Folder, Folder]:
    samples = [path for path in entries(_samples(root)) if path.is_dir()]
    files = {}
    for sample in samples:
        found = pictures(sample / "images")
        if sample.name not in found:
            raise InputError(f"{sample / 'images'}: expected {sample.name}.png, found {', '.join(found)}")
        files[sample.name] = found[sample.name], sample / "masks"
    training, validation = (
        {stem: files[stem] for stem in stems} for stems in every_fifth(_samples(root), files)
    )
    return checked(root, training, validation, ("ground", "cell"), read_cells, CellFolder)


def read_cells(masks: Path) -> np.ndarray:
    """Labels (H, W) uint8 from a folder of masks: 1 where a cell is."""
    return (read_instances(masks) > 0).astype(np.uint8)


def read_instances(masks: Path) -> np.ndarray:
    """(H, W) int32 from a folder of masks: cell k is that of the k-th file; cells that touch are separated.

    InputError, naming the files, for masks of different sizes, without a cell, and for cells that overlap.
    """
    paths = list(pictures(masks).values())
    instances = np.zeros(read_labels(paths[0]).shape, np.int32)
    for number, path in enumerate(paths, 1):
        cell = read_labels(path) > 0
        if cell.shape != instances.shape:
            raise InputError(
                f"{path}: {cell.shape} pixels, but {paths[0]}: {instances.shape} (height, width)"
            )
        if not cell.any():
            raise InputError(f"{path}: no pixel is a cell's, expected one cell, white on black")
        if instances[cell].any():
            other = paths[instances[cell].max() - 1]
            raise InputError(f"{path}: {np.count_nonzero(instances[cell])} pixels are also in {other}")
        instances[cell] = number
    return separated(instances)


def _samples(root: Path) -> Path:
    """The folder of samples."""
    return root / "stage1_train" if (root / "stage1_train").is_dir() else root


def _is_sample(path: Path) -> bool:
    return (path / "images").is_dir() and (path / "masks").is_dir()
