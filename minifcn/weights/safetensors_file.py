"""Safetensors: a length, a table of contents in JSON, and the numbers one after the other.

    8 bytes      the length of the table, little-endian
    the table    {"conv1_1.weight": {"dtype": "F32", "shape": [64, 3, 3, 3], "data_offsets": [0, 6912]}, …}
    the rest     every tensor row by row, little-endian; offsets count from here

Under "__metadata__" the table may hold texts by name. Source: the format's description at
https://github.com/huggingface/safetensors.
"""

import json
import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from minifcn.files import replacing
from minifcn.weights.faults import naming
from minifcn.weights.layouts import bfloat16

KIND = "safetensors"
DTYPES = {
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    **{f"I{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    "BOOL": np.dtype(bool),
    "BF16": np.dtype("<u2"),  # its bits
}


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors by name, as they lie in the file (read-only). InputError if it is damaged or cut off."""
    with naming(path, KIND):
        table, data = _table(Path(path).read_bytes())
        table.pop("__metadata__", None)
        tensors, end = {}, 0
        for name, entry in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
            dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
            if not all(type(n) is int and n >= 0 for n in shape):
                raise ValueError(f"{name} has the shape {shape}")
            start, end = end, end + prod(shape) * dtype.itemsize
            if entry["data_offsets"] != [start, end] or end > len(data):
                raise ValueError(f"{name} lies at {entry['data_offsets']}, expected {[start, end]}")
            array = np.frombuffer(data[start:end], dtype).reshape(shape)
            tensors[name] = bfloat16(array) if entry["dtype"] == "BF16" else array
        if end != len(data):
            raise ValueError(f"it holds {len(data)} bytes of numbers, expected {end}")
        return {name: tensors[name] for name in table}


def preprocessing(path: str | os.PathLike) -> dict[str, Any] | None:
    """The arguments of data.Preprocessing that `write` was given as metadata, or None."""
    with naming(path, KIND), open(path, "rb") as file:
        start = file.read(8)
        text = _table(start + file.read(int.from_bytes(start, "little")))[0].get("__metadata__", {})
        if "preprocessing" not in text:
            return None
        stated = json.loads(text["preprocessing"])
        mean, std, channels = tuple(map(float, stated["mean"])), stated["std"], stated.get("channels", "RGB")
        std = tuple(map(float, std)) if isinstance(std, list) else float(std)
        if len(mean) != 3 or channels not in ("RGB", "BGR") or np.shape(std) not in ((), (3,)):
            raise ValueError(f"its preprocessing is {stated}")
        return {"mean": mean, "std": std, "channels": channels}


def _table(contents: bytes) -> tuple[dict[str, Any], memoryview]:
    """The table of contents, and the numbers behind it."""
    length = int.from_bytes(contents[:8], "little")
    if len(contents) < 8 or length > len(contents) - 8:
        raise ValueError(f"its table should have {length} bytes, the file has {len(contents)}")
    table = json.loads(contents[8 : 8 + length])
    if not isinstance(table, dict):
        raise ValueError("its table is no list of names")
    return table, memoryview(contents)[8 + length :]


def write(path: str | os.PathLike, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write float tensors in this order; at no moment is there half a file. OSError if it cannot be written."""
    table: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in tensors.items():
        start, end = end, end + array.nbytes
        dtype, shape = f"F{8 * array.itemsize}", list(array.shape)
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)  # so that the numbers are aligned
    with replacing(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
