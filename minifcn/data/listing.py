"""What lies in a folder: pictures by stem, the lines of text files, splits; all faults of a kind in one error."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from PIL import Image

from minifcn.errors import InputError

MOST_LISTED = 10  # faults that one error message lists
EVERY = 5  # without split files every fifth image is for validation


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files such as .DS_Store."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error


def pictures(folder: Path) -> dict[str, Path]:
    """The picture files in a folder, by stem. InputError if there is none, or a stem is there twice."""
    readable = {extension for extension, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return _by_stem(folder, readable, "pictures")


def files(folder: Path, extension: str) -> dict[str, Path]:
    """The files of one kind in a folder, by stem. InputError if there is none."""
    return _by_stem(folder, {extension}, f"{extension} files")


def _by_stem(folder: Path, extensions: set[str], what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    duplicates = []
    for path in entries(folder):
        if path.suffix.lower() not in extensions or not path.is_file():
            continue
        if path.stem in found:
            duplicates.append(f"{found[path.stem].name} and {path.name}")
        found.setdefault(path.stem, path)
    raise_any(f"{folder}: files of equal stem, so that it is not clear which one is meant", duplicates)
    if not found:
        raise InputError(f"{folder}: no {what} in this folder")
    return found


def matched(
    root: Path, images: Mapping[str, Path], masks: Mapping[str, Path]
) -> dict[str, tuple[Path, Path]]:
    """Image and mask by stem, sorted. InputError if one is without the other."""
    images_alone = [str(images[stem].relative_to(root)) for stem in images if stem not in masks]
    masks_alone = [str(masks[stem].relative_to(root)) for stem in masks if stem not in images]
    faults = []
    if images_alone:
        faults.append(f"{len(images_alone)} images without a mask of equal stem:\n  {listed(images_alone)}")
    if masks_alone:
        faults.append(f"{len(masks_alone)} masks without an image of equal stem:\n  {listed(masks_alone)}")
    if faults:
        raise InputError(f"{root}: " + "\n".join(faults))
    return {stem: (images[stem], masks[stem]) for stem in sorted(images)}


def every_fifth(root: Path, stems: Iterable[str]) -> tuple[list[str], list[str]]:
    """Every fifth of the sorted stems for validation; the last one if there are fewer than five."""
    stems = sorted(stems)
    if len(stems) == 1:
        raise InputError(
            f"{root}: one image cannot be split in two sets; to train and validate on the same image, write "
            f"{stems[0]} into both train.txt and val.txt"
        )
    validation = stems[EVERY - 1 :: EVERY] or stems[-1:]
    return sorted(set(stems) - set(validation)), validation


def read_split(
    path: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    stem_of: Callable[[str], str] = str.strip,
) -> list[str]:
    """The stems that a split file names, one a line; lines in which `stem_of` finds none do not count.

    InputError, with the lines, for names that have no image or mask and for names that come twice.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file, but a split needs both its training and its validation file")
    lines_of: dict[str, int] = {}
    faults = []
    for number, line in enumerate(read_lines(path), 1):
        stem = stem_of(line)
        if not stem:
            continue
        if stem in lines_of:
            faults.append(f"line {number}: {stem} is named in line {lines_of[stem]} already")
        elif stem not in images and stem not in masks:
            faults.append(f"line {number}: {stem} does not exist")
        elif stem not in images or stem not in masks:
            faults.append(f"line {number}: {stem} has no {'mask' if stem in images else 'image'}")
        lines_of.setdefault(stem, number)
    raise_any(f"{path}: expected the stem of an image and its mask in each line", faults)
    if not lines_of:
        raise InputError(f"{path}: names no images")
    return list(lines_of)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def raise_any(heading: str, faults: list[str]) -> None:
    """Raise one error for all faults, if there are any."""
    if faults:
        raise InputError(f"{heading}:\n  {listed(faults)}")


def listed(items: Iterable[str], separator: str = "\n  ") -> str:
    """The first ten, and how many more there are."""
    items = list(items)
    more = [f"and {len(items) - MOST_LISTED} more"] if len(items) > MOST_LISTED else []
    return separator.join(items[:MOST_LISTED] + more)
