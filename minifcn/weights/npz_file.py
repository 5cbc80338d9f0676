"""NumPy's .npz: minifcn's own checkpoints, and plain files of arrays that are named and lie as ours do."""

import json
import os
import zipfile
from typing import Any

import numpy as np

from minifcn.checkpoint import Checkpoint
from minifcn.errors import InputError
from minifcn.weights.faults import naming

KIND = ".npz"


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays by name: of a checkpoint the parameters, of another file all of them. InputError if damaged."""
    if os.path.isfile(path) and not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a whole .npz file")
    with naming(path, KIND):
        with np.load(path, allow_pickle=False) as file:
            if "meta" not in file.files:
                return {name: file[name] for name in file.files}
        return Checkpoint.load(path).params


def preprocessing(path: str | os.PathLike) -> dict[str, Any] | None:
    """The arguments of data.Preprocessing that a checkpoint keeps; None for any other file."""
    with naming(path, KIND), np.load(path, allow_pickle=False) as file:
        if "meta" not in file.files:
            return None
        meta = json.loads(str(file["meta"]))
        stated = {name: meta[name] for name in ("mean", "std", "channels")}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()}
