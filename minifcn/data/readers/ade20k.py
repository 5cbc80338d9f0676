"""ADE20K as of the Scene Parsing Challenge (Zhou et al., 2017): 150 classes; 20,210 and 2,000 images.

    images/training/*.jpg  annotations/training/*.png       same stems
    images/validation/…    annotations/validation/…
    objectInfo150.txt                                       names of the classes, if it is there

Label 0 is everything else and does not count; labels 1 to 150 become 0 to 149.
"""

from pathlib import Path

from minifcn.data.folder import Folder, checked
from minifcn.data.listing import matched, pictures, read_lines
from minifcn.data.recode import recoded
from minifcn.errors import InputError

LAYOUT = "images/training/ and annotations/training/ (ADE20K)"
CLASSES = 150


def recognises(root: Path) -> bool:
    return (root / "images" / "training").is_dir() and (root / "annotations" / "training").is_dir()


def read(root: Path) -> tuple[Folder, Folder]:
    training, validation = (
        matched(root, pictures(root / "images" / split), pictures(root / "annotations" / split))
        for split in ("training", "validation")
    )
    labels = recoded({0: 255} | {k + 1: k for k in range(CLASSES)}, "0 (other) to 150")
    return checked(root, training, validation, _class_names(root / "objectInfo150.txt"), labels)


def _class_names(path: Path) -> tuple[str, ...]:
    """The first name in the last column of the table; "class 1" to "class 150" without it."""
    if not path.exists():
        return tuple(f"class {k}" for k in range(1, CLASSES + 1))
    rows = [line.split("\t") for line in read_lines(path)[1:] if line.strip()]
    if len(rows) != CLASSES:
        raise InputError(f"{path}: {len(rows)} lines after the first, expected {CLASSES}, one a class")
    return tuple(row[-1].split(",")[0].strip() for row in rows)
