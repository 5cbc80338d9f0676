"""Datasets as they lie on disk. Each layout is a file with LAYOUT, `recognises(root)` and `read(root)`."""

import os
from pathlib import Path
from types import ModuleType

from minifcn.data.folder import Folder
from minifcn.data.listing import entries, listed
from minifcn.data.readers import ade20k, camvid, cityscapes, dsb2018, pet, plain, sbd, tianchi, voc
from minifcn.errors import InputError

FORMATS: dict[str, ModuleType] = {
    "plain": plain,
    "voc": voc,
    "sbd": sbd,
    "cityscapes": cityscapes,
    "camvid": camvid,
    "ade20k": ade20k,
    "pet": pet,
    "dsb2018": dsb2018,
    "tianchi": tianchi,
}


def open_folder(path: str | os.PathLike, format: str = "") -> tuple[Folder, Folder]:
    """The training and validation sets in a folder, after a look at every mask.

    Without a `format`, one of FORMATS, the layout is found out by looking. Raises InputError, naming files and
    what is wrong with them: no known layout, missing partners, unreadable files, sizes that differ between
    image and mask, labels that are neither a class nor 255.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root}: is a file, expected a folder")
    if format and format not in FORMATS:
        raise InputError(f"format is {format!r}; expected one of {', '.join(FORMATS)}")
    looked_for = [FORMATS[format]] if format else list(FORMATS.values())
    for reader in looked_for:
        if reader.recognises(root):
            return reader.read(root)
    found = [path.name + "/" * path.is_dir() for path in entries(root)]
    raise InputError(
        f"{root}: found {listed(found, ', ') if found else 'an empty folder'}, looked for\n  "
        + "\n  ".join(reader.LAYOUT for reader in looked_for)
    )
