"""Files of weights into networks, and networks into files."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from minifcn.errors import InputError
from minifcn.network import Network
from minifcn.weights import caffe_file, npz_file, safetensors_file, torch_file
from minifcn.weights.layouts import thinned, to_ours, to_theirs, window
from minifcn.weights.names import NameMap, recognize

FORMATS: dict[str, ModuleType] = {
    ".pth": torch_file,
    ".pt": torch_file,
    ".pth.tar": torch_file,  # what many call it; it is no tar
    ".safetensors": safetensors_file,
    ".caffemodel": caffe_file,
    ".npz": npz_file,
}
Mapped = Mapping[str, str | None] | Callable[[str], str | None]


@dataclass(frozen=True)
class Source:
    """What was found in a file, and what became of it.

    `format` is "PyTorch", "safetensors", "Caffe" or ".npz", `names` says whose names its tensors have.
    `preprocessing` are the arguments of data.Preprocessing for its images, or None if the file does not tell.
    `loaded` are the parameters of the network that it filled, `kept` those that it does not have, which stay as
    they were; `skipped` are the tensors of the file that the network has no place for.
    """

    format: str
    names: str
    preprocessing: dict[str, Any] | None
    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.format}, {self.names}", f"{len(self.loaded)} parameters loaded"]
        if self.kept:
            parts.append(f"new: {', '.join(self.kept)}")
        if self.skipped:
            parts.append(f"not used: {', '.join(self.skipped)}")
        return "; ".join(parts)


def load(net: Network, path: str | os.PathLike, mapping: Mapped | None = None) -> Source:
    """Put the weights in a .pth, .safetensors, .caffemodel or .npz file into `net`, by name.

    The names in the file say which map of names.py is right. A `mapping` says it instead: a dict from names of ours
    to names in the file changes that map where it has an entry, a function from one to the other replaces it, and
    None stands for a parameter that is to stay as it is. To leave out a head for other classes:

        weights.load(net, path, lambda name: None if name.startswith(("score", "upscore")) else name)

    Nothing is loaded in part: every parameter of the network must be in the file, with its shape, and every tensor
    of the file in the network, but for those that the map of names makes an exception of (the head of an FCN may
    be new, fc8 may be left over, DeepLab's fc6 and fc7 are thinned). With a mapping any tensor may be left over.
    Otherwise an InputError lists what is missing, left over and misshapen, and the network is as it was.
    """
    reader = _reader(path)
    tensors = reader.read(path)
    stated = reader.preprocessing(path) if hasattr(reader, "preprocessing") else None
    names = recognize(tensors, reader.KIND)
    pairs = _pairs(net, tensors, names, mapping)
    skipped = tuple(name for name in tensors if name not in pairs.values())
    found, problems = _convert(net, pairs, tensors, names, as_is=reader is npz_file)
    if mapping is None:
        problems += [
            f"{name} {tensors[name].shape} has no place in the network"
            for name in skipped
            if not names.may_be_left_over(name)
        ]
    if problems:
        listed = "\n  ".join(problems)
        raise InputError(f"{path} ({names.title}) does not fit the network; nothing was loaded:\n  {listed}")
    own = net.arrays
    for name, array in found.items():
        own[name][...] = array
    return Source(
        format=reader.KIND,
        names=names.title if mapping is None else "a mapping",
        preprocessing=stated or names.preprocessing,
        loaded=tuple(found),
        kept=tuple(name for name in own if name not in found),
        skipped=skipped,
    )


def save(net: Network, path: str | os.PathLike, preprocessing: dict[str, Any] | None = None) -> None:
    """Write the parameters of `net` as .safetensors, in PyTorch's layout under our names.

    A PyTorch module whose layers have our names takes them with load_state_dict. `load` gives them back bit for
    bit, and `preprocessing`, the arguments of data.Preprocessing. The network's recipe is in the metadata. At no
    moment is there half a file. ValueError for another ending, OSError if it cannot be written.
    """
    if not str(path).endswith(".safetensors"):
        raise ValueError(f"path is {path}; expected a name that ends in .safetensors")
    tensors = {
        name: array if array.ndim == 1 else to_theirs(array, window(net, name))
        for name, array in net.arrays.items()
    }
    metadata = {"format": "pt"}  # that the layout is PyTorch's
    for name, value in (("recipe", net.recipe), ("preprocessing", preprocessing)):
        if value is not None:
            metadata[name] = json.dumps(value)
    safetensors_file.write(path, tensors, metadata)


def _reader(path: str | os.PathLike) -> ModuleType:
    for ending, reader in FORMATS.items():
        if str(path).endswith(ending):
            return reader
    raise InputError(f"{path}: expected a file of weights, which ends in one of {', '.join(FORMATS)}")


def _pairs(
    net: Network, tensors: dict[str, np.ndarray], names: NameMap, mapping: Mapped | None
) -> dict[str, str | None]:
    """Their name of each parameter of ours; None for what the file need not have and does not."""
    if callable(mapping):
        return {name: mapping(name) for name in net.arrays}
    pairs: dict[str, str | None] = {}
    for name in net.arrays:
        theirs, whole = names.theirs(name), names.thinned(name)
        if theirs not in tensors and whole in tensors:
            theirs = whole
        new = theirs not in tensors and names.may_be_missing(name)
        pairs[name] = None if new else theirs
    return pairs | dict(mapping or {})


def _convert(
    net: Network, pairs: dict[str, str | None], tensors: dict[str, np.ndarray], names: NameMap, as_is: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays for our parameters in our layout, and what does not fit."""
    own, found, problems = net.arrays, {}, []
    for name, theirs in pairs.items():
        if name not in own:
            problems.append(f"{name} is not a parameter of the network")
        elif theirs is None:
            pass
        elif theirs not in tensors:
            problems.append(f"{theirs}, for {name} {own[name].shape}, is missing")
        elif tensors[theirs].dtype.kind != "f":
            problems.append(f"{theirs} has numbers of type {tensors[theirs].dtype}, expected float")
        else:
            try:
                found[name] = _fit(net, name, tensors[theirs], as_is, thin=theirs == names.thinned(name))
            except ValueError as error:
                problems.append(f"{theirs}, for {name} {own[name].shape}, has {error}")
    return found, problems


def _fit(net: Network, name: str, theirs: np.ndarray, as_is: bool, thin: bool) -> np.ndarray:
    """A tensor of theirs in the layout of our parameter. ValueError if it has not the shape for it."""
    shape = net.arrays[name].shape
    if thin:
        return thinned(theirs, shape)
    if len(shape) > 1 and not as_is:
        return to_ours(theirs, shape, window(net, name))
    if theirs.shape != shape:
        raise ValueError(f"shape {theirs.shape}, expected {shape}")
    return theirs
