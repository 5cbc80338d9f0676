"""Your own data.

images/cat.jpg  dog.png …     any kind of picture
masks/cat.png   dog.png …     same stem and size; each pixel a class number from 0, or 255 = ignore
train.txt, val.txt            stems, one a line; without them every fifth image is for validation
classes.txt                   names of the classes, one a line; without it "class 0", …
"""

from pathlib import Path

from minifcn.data.folder import IGNORE, Folder, checked
from minifcn.data.listing import every_fifth, matched, pictures, read_lines, read_split
from minifcn.errors import InputError

LAYOUT = "images/ and masks/ (your own)"


def recognises(root: Path) -> bool:
    return (root / "images").is_dir() and (root / "masks").is_dir()


def read(root: Path) -> tuple[Folder, Folder]:
    images, masks = pictures(root / "images"), pictures(root / "masks")
    files = matched(root, images, masks)
    if (root / "train.txt").exists() or (root / "val.txt").exists():
        splits = [read_split(root / name, images, masks) for name in ("train.txt", "val.txt")]
    else:
        splits = list(every_fifth(root, images))
    training, validation = ({stem: files[stem] for stem in stems} for stems in splits)
    return checked(root, training, validation, read_class_names(root / "classes.txt"))


def read_class_names(path: Path) -> tuple[str, ...] | None:
    """The lines of classes.txt; None if there is no such file."""
    if not path.exists():
        return None
    names = [line.strip() for line in read_lines(path)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError(f"{path}: names no classes")
    if "" in names:
        raise InputError(f"{path}: line {names.index('') + 1} is empty, expected the name of a class")
    if len(names) > IGNORE:
        raise InputError(f"{path}: names {len(names)} classes, expected at most {IGNORE}")
    return tuple(names)
