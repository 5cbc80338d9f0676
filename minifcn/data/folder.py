"""A dataset on disk: images, and what their labels are read from; checked whole before the first training step."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minifcn.data.images import image_size, read_image, read_labels
from minifcn.data.listing import listed, raise_any
from minifcn.errors import InputError
from minifcn.progress import progress

IGNORE = 255

Source = Any  # what labels are read from: mostly a path; its str names it in messages
Files = Mapping[str, tuple[Path, Source]]  # by stem: the image, and where its labels are


class Folder:
    """Pairs of an image file and what its labels are read from: a dataset. Files are read when asked for.

    `read` makes labels (H, W) uint8 of the second. `class_pixels` (K,) int64 is the number of pixels of each class
    in all labels; ignored ones do not count.
    """

    def __init__(
        self,
        files: Sequence[tuple[Path, Source]],
        class_names: tuple[str, ...],
        class_pixels: np.ndarray,
        read: Callable[[Source], np.ndarray] = read_labels,
    ) -> None:
        self.files = tuple(files)
        self.class_names = class_names
        self.class_pixels = class_pixels
        self.read = read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, source = self.files[index]
        return read_image(image), self.read(source)

    def name(self, index: int) -> str:
        return self.files[index][0].stem


def checked(
    root: Path,
    training: Files,
    validation: Files,
    class_names: tuple[str, ...] | None = None,
    read: Callable[[Source], np.ndarray] = read_labels,
    kind: type[Folder] = Folder,
) -> tuple[Folder, Folder]:
    """The two sets, after a look at all their labels. Without names the classes are "class 0" to the largest label.

    Raises InputError, naming files and what is wrong with them: unreadable files, sizes that differ between image
    and labels, labels that are neither a class nor 255, no images, nothing but 255.
    """
    for files, purpose in ((training, "to learn from"), (validation, "to validate on")):
        if not files:
            raise InputError(f"{root}: no images {purpose}")
    counts = _scan(root, {**training, **validation}, class_names, read)
    total = np.sum(list(counts.values()), axis=0)
    _check_labels(root, total)
    if class_names is None:
        class_names = tuple(f"class {k}" for k in range(np.flatnonzero(total[:IGNORE]).max() + 1))

    def dataset(files: Files) -> Folder:
        class_pixels = np.sum([counts[stem] for stem in files], axis=0)[: len(class_names)]
        return kind(list(files.values()), class_names, class_pixels, read)

    return dataset(training), dataset(validation)


def _scan(
    root: Path, files: Files, class_names: tuple[str, ...] | None, read: Callable[[Source], np.ndarray]
) -> dict[str, np.ndarray]:
    """The number of pixels of each label 0..255 of each image; every fault found on the way in one error."""
    counts = {}
    faults = []
    for stem, (image, mask) in progress(files.items(), "checking masks"):
        try:
            size = image_size(image)
            labels = read(mask)
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
                found = listed([f"{label} ({counts[stem][label]} pixels)" for label in strange], ", ")
                allowed = f"0 to {len(class_names) - 1}, or 255 = ignore"
                faults.append(f"{mask}: labels {found}, expected {allowed}")
    raise_any(f"{root}: some images and masks cannot be used as they are", faults)
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
