"""CamVid (Brostow et al., 2009) as SegNet has it: 360 x 480 pixels, 11 classes; 367, 101 and 233 images.

    train/*.png  trainannot/*.png    same names
    val/*.png    valannot/*.png

Label 11 is unlabelled and does not count.
"""

from pathlib import Path

from minifcn.data.folder import Folder, checked
from minifcn.data.listing import matched, pictures
from minifcn.data.recode import recoded

LAYOUT = "train/, trainannot/, val/ and valannot/ (CamVid)"
CLASS_NAMES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
UNLABELLED = 11


def recognises(root: Path) -> bool:
    return (root / "train").is_dir() and (root / "trainannot").is_dir()


def read(root: Path) -> tuple[Folder, Folder]:
    training, validation = (
        matched(root, pictures(root / split), pictures(root / f"{split}annot")) for split in ("train", "val")
    )
    classes = {label: label for label in range(len(CLASS_NAMES))}
    labels = recoded(classes | {UNLABELLED: 255}, "0 to 11, of which 11 is unlabelled")
    return checked(root, training, validation, CLASS_NAMES, labels)
