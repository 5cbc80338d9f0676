"""A folder of your own images and masks, checked whole before the first training step.

Two layouts are known:

    JPEGImages/ SegmentationClass/ ImageSets/Segmentation/{train,val}.txt      PASCAL VOC
    images/ masks/ and, if you like, train.txt, val.txt, classes.txt           anything else

An image and its mask have the same stem: images/cat.jpg, masks/cat.png.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from minifcn.data.images import image_size, read_image, read_labels
from minifcn.data.palette import VOC_CLASS_NAMES
from minifcn.errors import InputError
from minifcn.progress import progress

IGNORE = 255
MOST_LISTED = 10  # faults that one error message lists
EVERY = 5  # without split files every fifth image is for validation


class Folder:
    """Pairs of an image file and a mask file: a dataset. Files are read each time they are asked for.

    `class_pixels` (K,) int64 is the number of pixels of each class in all masks; ignored ones do not count.
    """

    def __init__(
        self, files: Sequence[tuple[Path, Path]], class_names: tuple[str, ...], class_pixels: np.ndarray
    ) -> None:
        self.files = tuple(files)
        self.class_names = class_names
        self.class_pixels = class_pixels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self.files[index]
        return read_image(image), read_labels(mask)

    def name(self, index: int) -> str:
        return self.files[index][0].stem


def open_folder(path: str | os.PathLike) -> tuple[Folder, Folder]:
    """The training and validation sets in a folder, after a look at every mask.

    The split is in train.txt and val.txt, one stem a line. Without these files (not for VOC) every fifth
    image in sorted order is for validation, or the last of 2 to 4. The class names are the lines of
    classes.txt; without it VOC's, or "class 0" to the largest label.

    Raises InputError, naming files and what is wrong with them: missing partners, unreadable files, sizes
    that differ between image and mask, labels that are neither a class nor 255.
    """
    root = Path(path)
    is_voc = _is_voc(root)
    images = _pictures(root / ("JPEGImages" if is_voc else "images"))
    masks = _pictures(root / ("SegmentationClass" if is_voc else "masks"))
    if is_voc:
        training, validation = _read_splits(root / "ImageSets" / "Segmentation", images, masks)
    else:
        _check_partners(root, images, masks)
        if (root / "train.txt").exists() or (root / "val.txt").exists():
            training, validation = _read_splits(root, images, masks)
        else:
            training, validation = _split(root, sorted(images))

    class_names = _read_class_names(root / "classes.txt")
    if class_names is None and is_voc:
        class_names = VOC_CLASS_NAMES
    files = {stem: (images[stem], masks[stem]) for stem in sorted({*training, *validation})}
    counts = _scan(root, files, class_names)
    total = np.sum(list(counts.values()), axis=0)
    _check_labels(root, total)
    if class_names is None:
        class_names = tuple(f"class {k}" for k in range(np.flatnonzero(total[:IGNORE]).max() + 1))

    def dataset(stems: list[str]) -> Folder:
        class_pixels = np.sum([counts[stem] for stem in stems], axis=0)[: len(class_names)]
        return Folder([files[stem] for stem in stems], class_names, class_pixels)

    return dataset(training), dataset(validation)


def _is_voc(root: Path) -> bool:
    """Which of the two layouts the folder has."""
    if not root.exists():
        raise InputError(f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root}: is a file, expected a folder")
    if (root / "JPEGImages").is_dir() and (root / "SegmentationClass").is_dir():
        return True
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return False
    found = [p.name + "/" * p.is_dir() for p in _entries(root)]
    raise InputError(
        f"{root}: looked for images/ and masks/, or for JPEGImages/ and SegmentationClass/ (PASCAL VOC), "
        + (f"found {_listed(found, ', ')}" if found else "found an empty folder")
    )


def _pictures(folder: Path) -> dict[str, Path]:
    """The picture files in a folder, by stem."""
    readable = {extension for extension, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    pictures: dict[str, Path] = {}
    duplicates = []
    for path in _entries(folder):
        if path.suffix.lower() not in readable or not path.is_file():
            continue
        if path.stem in pictures:
            duplicates.append(f"{pictures[path.stem].name} and {path.name}")
        pictures.setdefault(path.stem, path)
    _raise_any(f"{folder}: files of equal stem, so that it is not clear which one is meant", duplicates)
    if not pictures:
        raise InputError(f"{folder}: no pictures in this folder")
    return pictures


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files such as .DS_Store."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error


def _check_partners(root: Path, images: dict[str, Path], masks: dict[str, Path]) -> None:
    images_alone = [str(images[stem].relative_to(root)) for stem in images if stem not in masks]
    masks_alone = [str(masks[stem].relative_to(root)) for stem in masks if stem not in images]
    faults = []
    if images_alone:
        faults.append(f"{len(images_alone)} images without a mask of equal stem:\n  {_listed(images_alone)}")
    if masks_alone:
        faults.append(f"{len(masks_alone)} masks without an image of equal stem:\n  {_listed(masks_alone)}")
    if faults:
        raise InputError(f"{root}: " + "\n".join(faults))


def _split(root: Path, stems: list[str]) -> tuple[list[str], list[str]]:
    """Every fifth image for validation; the last one if there are fewer than five."""
    if len(stems) == 1:
        raise InputError(
            f"{root}: one image cannot be split in two sets; to train and validate on the same image, write "
            f"{stems[0]} into both train.txt and val.txt"
        )
    validation = stems[EVERY - 1 :: EVERY] or stems[-1:]
    return sorted(set(stems) - set(validation)), validation


def _read_splits(
    folder: Path, images: dict[str, Path], masks: dict[str, Path]
) -> tuple[list[str], list[str]]:
    return (
        _read_split(folder / "train.txt", images, masks),
        _read_split(folder / "val.txt", images, masks),
    )


def _read_split(path: Path, images: dict[str, Path], masks: dict[str, Path]) -> list[str]:
    """The stems that a split file names, one a line; empty lines do not count."""
    if not path.exists():
        raise InputError(f"{path}: no such file, but a split needs both train.txt and val.txt")
    lines_of: dict[str, int] = {}
    faults = []
    for number, line in enumerate(_read_lines(path), 1):
        stem = line.strip()
        if not stem:
            continue
        if stem in lines_of:
            faults.append(f"line {number}: {stem} is named in line {lines_of[stem]} already")
        elif stem not in images and stem not in masks:
            faults.append(f"line {number}: {stem} does not exist")
        elif stem not in images or stem not in masks:
            faults.append(f"line {number}: {stem} has no {'mask' if stem in images else 'image'}")
        lines_of.setdefault(stem, number)
    _raise_any(f"{path}: expected the stem of an image and its mask in each line", faults)
    if not lines_of:
        raise InputError(f"{path}: names no images")
    return list(lines_of)


def _read_class_names(path: Path) -> tuple[str, ...] | None:
    """The lines of classes.txt; None if there is no such file."""
    if not path.exists():
        return None
    names = [line.strip() for line in _read_lines(path)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError(f"{path}: names no classes")
    if "" in names:
        raise InputError(f"{path}: line {names.index('') + 1} is empty, expected the name of a class")
    if len(names) > IGNORE:
        raise InputError(f"{path}: names {len(names)} classes, expected at most {IGNORE}")
    return tuple(names)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _scan(
    root: Path, files: dict[str, tuple[Path, Path]], class_names: tuple[str, ...] | None
) -> dict[str, np.ndarray]:
    """The number of pixels of each label 0..255 in each mask; every fault found on the way in one error."""
    counts = {}
    faults = []
    for stem, (image, mask) in progress(files.items(), "checking masks"):
        try:
            size = image_size(image)
            labels = read_labels(mask)
        except InputError as error:
            faults.append(str(error))
            continue
        counts[stem] = np.bincount(labels.ravel(), minlength=256)
        if labels.shape != size:
            faults.append(
                f"{mask}: {labels.shape[0]} x {labels.shape[1]} pixels, but {image}: {size[0]} x {size[1]} "
                "(height x width)"
            )
        if class_names is not None:
            strange = np.flatnonzero(counts[stem][:IGNORE])
            strange = strange[strange >= len(class_names)]
            if len(strange):
                found = _listed([f"{label} ({counts[stem][label]} pixels)" for label in strange], ", ")
                allowed = f"0 to {len(class_names) - 1}, or 255 = ignore"
                faults.append(f"{mask}: labels {found}, expected {allowed}")
    _raise_any(f"{root}: some images and masks cannot be used as they are", faults)
    return counts


def _check_labels(root: Path, total: np.ndarray) -> None:
    found = np.flatnonzero(total).tolist()
    if found == [0, IGNORE]:
        raise InputError(
            f"{root}: the masks hold only the labels 0 and 255, and 255 means ignore, so there is nothing to "
            "tell apart; write 1 instead of 255 for the pixels of the object"
        )
    if found == [IGNORE]:
        raise InputError(f"{root}: all pixels of all masks are 255 = ignore, so there is nothing to learn")


def _raise_any(heading: str, faults: list[str]) -> None:
    """Raise one error for all faults, if there are any."""
    if faults:
        raise InputError(f"{heading}:\n  {_listed(faults)}")


def _listed(items: Iterable[str], separator: str = "\n  ") -> str:
    """The first ten, and how many more there are."""
    items = list(items)
    more = [f"and {len(items) - MOST_LISTED} more"] if len(items) > MOST_LISTED else []
    return separator.join(items[:MOST_LISTED] + more)
