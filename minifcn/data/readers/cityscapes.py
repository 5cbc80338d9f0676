"""Cityscapes (Cordts et al., 2016): streets of 50 cities, 1024 x 2048 pixels, 19 classes that count.

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png
    the same for val/

The pictures hold label ids, 0 to 33; of these 19 get train ids, 0 to 18, and the others do not count.
"""

from pathlib import Path

from minifcn.data.folder import Folder, checked
from minifcn.data.listing import entries, matched, pictures
from minifcn.data.recode import recoded

LAYOUT = "leftImg8bit/ and gtFine/ (Cityscapes)"

# Label id by class, in the order of the train ids.
LABEL_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
# A licence plate is -1, which a picture of bytes holds as 255.
TRAIN_IDS = dict.fromkeys([*range(34), 255], 255) | {
    label: train for train, label in enumerate(LABEL_IDS.values())
}


def recognises(root: Path) -> bool:
    return (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()


def read(root: Path) -> tuple[Folder, Folder]:
    training, validation = (
        matched(
            root,
            _by_frame(root / "leftImg8bit" / split, "_leftImg8bit"),
            _by_frame(root / "gtFine" / split, "_gtFine_labelIds"),
        )
        for split in ("train", "val")
    )
    return checked(
        root, training, validation, tuple(LABEL_IDS), recoded(TRAIN_IDS, "label ids 0 to 33, or 255")
    )


def _by_frame(folder: Path, ending: str) -> dict[str, Path]:
    """The pictures of all cities whose name has this ending, by what comes before it."""
    return {
        stem.removesuffix(ending): path
        for city in entries(folder)
        if city.is_dir()
        for stem, path in pictures(city).items()
        if stem.endswith(ending)
    }
