"""SBD, the Semantic Boundaries Dataset (Hariharan et al., 2011): VOC's classes for 11,355 images of VOC 2011.

    img/*.jpg
    cls/*.mat                 MATLAB files; GTcls.Segmentation are the labels
    train.txt, val.txt        stems, one a line

MATLAB files are read with SciPy, which is not installed with minifcn.
"""

import importlib
from pathlib import Path

import numpy as np

from minifcn.data.folder import Folder, checked
from minifcn.data.listing import files, pictures, read_split
from minifcn.data.palette import VOC_CLASS_NAMES
from minifcn.errors import InputError

LAYOUT = "img/ and cls/ (SBD)"


def recognises(root: Path) -> bool:
    return (root / "img").is_dir() and (root / "cls").is_dir()


def read(root: Path) -> tuple[Folder, Folder]:
    images, masks = pictures(root / "img"), files(root / "cls", ".mat")
    training, validation = (
        {stem: (images[stem], masks[stem]) for stem in read_split(root / name, images, masks)}
        for name in ("train.txt", "val.txt")
    )
    return checked(root, training, validation, VOC_CLASS_NAMES, read_mat)


def read_mat(path: Path) -> np.ndarray:
    """The labels (H, W) uint8 in a .mat file. InputError if there are none, or SciPy is not installed."""
    try:
        loadmat = importlib.import_module("scipy.io").loadmat
    except ImportError:
        raise InputError(f"{path}: MATLAB files are read with SciPy: pip install scipy") from None
    try:
        labels = loadmat(path)["GTcls"][0]["Segmentation"][0]
    except Exception as error:  # on damaged files SciPy raises almost anything
        raise InputError(f"{path}: has no GTcls.Segmentation that can be read: {error!r}") from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"{path}: labels are {labels.shape} of {labels.dtype}, expected (H, W) of uint8")
    return labels
