"""The names and colours of the PASCAL VOC classes, and label maps as palette pictures."""

import os

import numpy as np
from PIL import Image

from minifcn.errors import InputError
from minifcn.files import replacing

VOC_CLASS_NAMES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc_palette() -> np.ndarray:
    """The colour of every label: (256, 3) uint8 RGB.

    The bits of a label go round the three channels: bit 0 to red, 1 to green, 2 to blue, 3 to red again, each
    round one place lower, starting at the highest bit of the colour. So neighbouring labels get very
    different colours, and the ignore label 255 gets a pale (224, 224, 192). The rule is that of the PASCAL
    VOC development kit (Everingham et al.).

    >>> voc_palette()[[0, 1, 2, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        channel, place = bit % 3, 7 - bit // 3
        palette[:, channel] |= ((labels >> bit & 1) << place).astype(np.uint8)
    return palette


def write_label_png(path: str | os.PathLike, labels: np.ndarray) -> None:
    """Write labels (H, W) uint8 as a palette PNG: each pixel is the label itself, shown in its VOC colour.

    The file appears whole or not at all: it is written beside its place, then moved there. Raises InputError
    if it cannot be written.
    """
    if labels.dtype != np.uint8:
        raise TypeError(f"labels are {labels.dtype}, expected uint8")
    if labels.ndim != 2 or labels.size == 0:
        raise ValueError(f"labels have shape {labels.shape}, expected (H, W) of at least one pixel")
    picture = Image.fromarray(labels)
    picture.putpalette(voc_palette().tobytes())
    try:
        with replacing(path) as file:
            picture.save(file, format="PNG")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
