"""Tianchi's buildings from above (after Inria's): 512 x 512 pixels; the masks are lines of a table.

    train/*.jpg
    train_mask.csv            name, a tab, and the mask as run lengths (run_lengths.py); no heading

A line with a name and nothing else is an image without a building. Every fifth image is for validation.
A submission is such a table, too: `write_masks`.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.data.folder import Folder, checked
from minifcn.data.images import image_size
from minifcn.data.listing import every_fifth, pictures, raise_any, read_lines
from minifcn.data.run_lengths import decode, encode
from minifcn.errors import InputError
from minifcn.files import replacing

LAYOUT = "train/ and train_mask.csv (Tianchi buildings)"


class Line(NamedTuple):
    """The mask of one image, as the table has it."""

    table: Path
    number: int
    runs: str
    image: Path

    def __str__(self) -> str:
        return f"{self.table}, line {self.number}"


def recognises(root: Path) -> bool:
    return (root / "train").is_dir() and (root / "train_mask.csv").is_file()


def read(root: Path) -> tuple[Folder, Folder]:
    table = root / "train_mask.csv"
    images = pictures(root / "train")
    lines: dict[str, Line] = {}
    faults = []
    for number, text in enumerate(read_lines(table), 1):
        name, tab, runs = text.partition("\t")
        stem = Path(name).stem
        if not name.strip():
            faults.append(f"line {number}: no name before the run lengths")
        elif "\t" in runs or (not tab and " " in name):
            faults.append(f"line {number}: expected a name, one tab and run lengths, found {text[:40]!r}")
        elif stem not in images:
            faults.append(f"line {number}: {name} is not in {root / 'train'}")
        elif stem in lines:
            faults.append(f"line {number}: {name} is in line {lines[stem].number} already")
        else:
            lines[stem] = Line(table, number, runs, images[stem])
    faults += [f"{path.name} has no line" for stem, path in images.items() if stem not in lines]
    raise_any(f"{table}: expected one line for each image of {root / 'train'}", faults)
    training, validation = (
        {stem: (images[stem], lines[stem]) for stem in stems} for stems in every_fifth(root, images)
    )
    return checked(root, training, validation, ("ground", "building"), read_line)


def read_line(line: Line) -> np.ndarray:
    """Labels (H, W) uint8, 1 in the runs. InputError, with the line, for runs that are none."""
    try:
        return decode(line.runs, *image_size(line.image))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{line}: {error}") from None


def write_masks(path: str | os.PathLike, masks: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write a table of (name, mask (H, W)); the file appears whole or not at all. OSError if it cannot."""
    with replacing(path) as file:
        for name, mask in masks:
            file.write(f"{name}\t{encode(mask)}\n".encode())
