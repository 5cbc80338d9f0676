"""PyTorch's .pth files, read without PyTorch and without trusting them.

torch.save writes a pickle, and the numbers of the tensors apart from it. A pickle is a program for a machine with
a stack: push a text, push a number, make a tuple of the two, look up a function and call it with the tuple. It may
look up any function there is, so to load it is to run whatever its author liked. Here is a machine that knows the
few instructions that weights need, and can call four functions; at anything else it stops.

The numbers come in one of two ways. A zip archive (since PyTorch 1.6) has NAME/data.pkl and a member NAME/data/KEY
for each storage. The older form is a stream: four pickles (a magic number, a version, what machine wrote it, the
object), a fifth with the keys of the storages, and for each its length and its numbers.
"""

import io
import os
import pickletools
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minifcn.weights.faults import naming
from minifcn.weights.layouts import bfloat16

KIND = "PyTorch"
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
DTYPES = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "u2",  # its bits
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
FUNCTIONS = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",  # files of 2017, torchvision's VGG16 among them
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
)


class _Global(NamedTuple):
    """A name that the pickle looks up, of a function or of a kind of storage. It stays a name."""

    name: str


class _Storage(NamedTuple):
    """A row of `size` numbers outside the pickle. `kind` is a name in DTYPES."""

    kind: str
    key: str
    size: int


class _Tensor(NamedTuple):
    """A view of a storage: element (i, j, …) is number offset + i stride[0] + j stride[1] + …."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, in PyTorch's layout (read-only).

    The state dict may be the whole file, or lie in a dict under "state_dict" or "model_state_dict"; whatever else
    is in that dict is left alone. InputError if the file is damaged or cut off, holds no state dict, or asks for
    a function that is not in FUNCTIONS: its name is in the message, and nothing has been called.
    """
    with naming(path, KIND):
        with open(path, "rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
        content, arrays = _read_zip(path) if zipped else _read_stream(path)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, expected a state dict")
        for key in ("state_dict", "model_state_dict"):
            if isinstance(content.get(key), dict):
                content = content[key]
        tensors = {name: value for name, value in content.items() if isinstance(value, _Tensor)}
        if not tensors:
            raise ValueError(f"there are no tensors in it, but {', '.join(map(str, content)) or 'nothing'}")
        return {str(name): _array(name, tensor, arrays) for name, tensor in tensors.items()}


def _array(name: str, tensor: _Tensor, arrays: dict[_Storage, np.ndarray]) -> np.ndarray:
    """The numbers of a tensor: a view of its storage, once every element is known to lie inside it."""
    storage, offset, size, stride = tensor
    if not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
        raise ValueError(f"{name} has no proper size, strides and offset")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    numbers = arrays[storage]
    if 0 not in size and last >= len(numbers):
        raise ValueError(f"{name} reaches number {last} of a storage of {len(numbers)}")
    strides = [step * numbers.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(numbers[offset:], size, strides, writeable=False)


# ---------------------------------------------------------------- the two kinds of files


def _read_zip(path: str | os.PathLike) -> tuple[Any, dict[_Storage, np.ndarray]]:
    """What the pickle holds, and the numbers of every storage that it mentions."""
    with zipfile.ZipFile(path) as file:
        names = {member.filename: member.compress_type for member in file.infolist()}
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"there are {len(pickles)} members data.pkl in the archive, expected one")
        if set(names.values()) != {zipfile.ZIP_STORED}:
            raise ValueError("members of the archive are compressed, which PyTorch never does")
        root = pickles[0].removesuffix("data.pkl")
        order = ">" if f"{root}byteorder" in names and file.read(f"{root}byteorder") == b"big" else "<"
        content, storages = unpickle(io.BytesIO(file.read(pickles[0])))
        members = {storage: file.read(f"{root}data/{storage.key}") for storage in storages}
        return content, {storage: _numbers(storage, member, order) for storage, member in members.items()}


def _read_stream(path: str | os.PathLike) -> tuple[Any, dict[_Storage, np.ndarray]]:
    """The same for the older form."""
    contents = Path(path).read_bytes()
    file, view = io.BytesIO(contents), memoryview(contents)
    if [unpickle(file)[0], unpickle(file)[0]] != [MAGIC, VERSION]:
        raise ValueError("it does not begin as PyTorch's files begin")
    order = "<" if unpickle(file)[0]["little_endian"] else ">"
    content, storages = unpickle(file)
    by_key = {storage.key: storage for storage in storages}
    keys, arrays = unpickle(file)[0], {}
    place = file.tell()
    for key in keys:
        storage = by_key[key]
        size, start = int.from_bytes(view[place : place + 8], "little"), place + 8
        place = start + size * np.dtype(DTYPES[storage.kind]).itemsize
        arrays[storage] = _numbers(storage, view[start:place], order)
    return content, arrays


def _numbers(storage: _Storage, data: bytes | memoryview, order: str) -> np.ndarray:
    """The bytes as numbers. ValueError if they are not as many as they should be."""
    dtype = np.dtype(order + DTYPES[storage.kind])
    if len(data) != storage.size * dtype.itemsize:
        raise ValueError(f"storage {storage.key} has {len(data)} bytes, expected {storage.size} numbers")
    numbers = np.frombuffer(data, dtype)
    return bfloat16(numbers) if storage.kind == "torch.BFloat16Storage" else numbers


# ---------------------------------------------------------------- the machine


def unpickle(file: BinaryIO) -> tuple[Any, list[_Storage]]:
    """Run the pickle that begins here: what it makes, and the storages that it mentions, in that order.

    ValueError at any instruction, name or call that weights do not need.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    storages: dict[_Storage, None] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    argument: Any
    for instruction, argument, _ in pickletools.genops(file):
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(instruction.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(instruction.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                key, value = stack.pop(-2), stack.pop()
                _set(stack[-1], [(key, value)])
            case "SETITEMS":
                items = since_mark()
                _set(stack[-1], zip(items[::2], items[1::2]))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_look_up(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                module, name = stack.pop(-2), stack.pop()
                stack.append(_look_up(module, name))
            case "REDUCE":
                function, arguments = stack.pop(-2), stack.pop()
                stack.append(_call(function, arguments))
            case "BUILD":  # the attributes of an object: a state dict has its _metadata there
                stack.pop()
                if not isinstance(stack[-1], dict):
                    raise ValueError("it gives attributes to something that is no dict")
            case "BINPERSID":
                storage = _storage(stack.pop())
                storages[storage] = None
                stack.append(storage)
            case "STOP":
                return stack.pop(), list(storages)
            case other:
                raise ValueError(f"it uses {other} {str(argument or '')[:80]}, which weights do not need")
    raise ValueError("the pickle has no end")


def _look_up(module: Any, name: Any) -> _Global:
    found = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "something nameless"
    if found not in FUNCTIONS and found not in DTYPES:
        raise ValueError(f"it asks for {found[:80]}, which weights do not need; refused")
    return _Global(found)


def _call(function: Any, arguments: Any) -> Any:
    """The four functions. A tensor stays what its arguments say; that is checked when its numbers are there."""
    match function, arguments:
        case _Global("collections.OrderedDict"), ():
            return {}
        case _Global("collections.OrderedDict"), ([*pairs],):  # as Python 2 wrote it
            return _set({}, pairs)
        case (
            _Global("torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2"),
            (_Storage() as storage, offset, tuple(size), tuple(stride), *_),
        ):
            return _Tensor(storage, offset, size, stride)
        case _Global("torch._utils._rebuild_parameter"), (_Tensor() as tensor, *_):
            return tensor
        case _Global(name), _:
            raise ValueError(f"it calls {name} with what does not fit")
    raise ValueError("it calls what is no function")


def _storage(identity: Any) -> _Storage:
    """What stands in the pickle for a storage."""
    match identity:
        case ("storage", _Global(kind), str(key), _, int(size)) if kind in DTYPES and size >= 0:
            return _Storage(kind, key, size)
        case ("storage", _Global(kind), str(key), _, int(size), None) if kind in DTYPES and size >= 0:
            return _Storage(kind, key, size)  # the older form; None: not a part of another storage
    raise ValueError("it mentions a storage in a way that is not known")


def _set(target: Any, pairs: Any) -> dict[str | int, Any]:
    """Put the pairs into a dict. Names and numbers are the only keys: to hash anything else can overflow."""
    if not isinstance(target, dict):
        raise ValueError("it puts a pair into what is no dict")
    for key, value in pairs:
        if not isinstance(key, (str, int)):
            raise ValueError(f"it has a {type(key).__name__} for a key")
        target[key] = value
    return target
