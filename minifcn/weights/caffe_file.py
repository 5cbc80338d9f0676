"""Caffe's .caffemodel: a protocol buffer, read without Caffe and without protobuf.

A protocol buffer is a list of fields. Each begins with a number, 8 times the field's number plus its kind, and the
kind says what follows. Numbers are "varints": seven bits in a byte, the lowest first, and an eighth that says
whether more follow. A message within a message is a byte string that holds fields again. Of a network only these
are looked at:

    NetParameter      100 layer, or in old files 2 layers
    layer             1 name, 2 type, 7 blobs          (in old files 4 name, 5 type, 6 blobs)
    blob              7 shape, 5 data, 8 double_data   (in old files 1-4 num, channels, height, width)

Sources: the description of the protocol buffer encoding, and Caffe's caffe.proto.
"""

import os
from collections import defaultdict
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.weights.faults import naming

KIND = "Caffe"
INNER_PRODUCT = ("InnerProduct", 14)  # the type of fully connected layers, and its number in old files
Message = dict[int, list]


class _Form(NamedTuple):
    """The numbers of the fields of a layer."""

    layer: int
    name: int
    type: int
    blobs: int


FORMS = (_Form(layer=100, name=1, type=2, blobs=7), _Form(layer=2, name=4, type=5, blobs=6))


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The blobs as "conv1_1.weight" and "conv1_1.bias", in Caffe's layout.

    A third blob of a layer would be "conv1_1.2". InputError if the file is damaged, cut off or has no blobs.
    """
    with naming(path, KIND):
        net = parse(memoryview(Path(path).read_bytes()))
        tensors: dict[str, np.ndarray] = {}
        for form in FORMS:
            for layer in _messages(net, form.layer):
                for k, blob in enumerate(_messages(layer, form.blobs)):
                    name = f"{_text(layer, form.name)}.{('weight', 'bias')[k] if k < 2 else k}"
                    if name in tensors:
                        raise ValueError(f"two layers have the blob {name}")
                    connected = _text(layer, form.type) in INNER_PRODUCT
                    tensors[name] = _array(blob, name, rank=1 if k else 2 if connected else 4)
        if not tensors:
            raise ValueError("no layer in it has weights")
        return tensors


def _array(blob: Message, name: str, rank: int) -> np.ndarray:
    """The numbers of a blob in their shape. Old blobs have four axes, the first being 1, of which `rank` count."""
    data = np.frombuffer(b"".join(_strings(blob, 5)), "<f4")
    if not data.size:
        data = np.frombuffer(b"".join(_strings(blob, 8)), "<f8")
    if 7 in blob:
        shape = _numbers(_messages(blob, 7)[-1], 1)
    else:
        shape = [(_numbers(blob, field) or [1])[-1] for field in (1, 2, 3, 4)][-rank:]
    if prod(shape) != data.size:
        raise ValueError(f"{name} has {data.size} numbers, expected {' x '.join(map(str, shape))}")
    return data.reshape(shape)


# ---------------------------------------------------------------- protocol buffers


def parse(message: memoryview) -> Message:
    """The values of every field, by field number: whole numbers, or the bytes of anything else.

    >>> parse(memoryview(bytes([0x08, 0x96, 0x01])))        # field 1, a varint: 0x16 + 128 * 1
    {1: [150]}
    """
    fields: Message = defaultdict(list)
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        match tag & 7:
            case 0:
                value, place = _varint(message, place)
                fields[tag >> 3].append(value)
                continue
            case 1:
                length = 8
            case 2:
                length, place = _varint(message, place)
            case 5:
                length = 4
            case kind:
                raise ValueError(f"there is no field of kind {kind}")
        if length > len(message) - place:
            raise ValueError(f"{length} bytes should follow, there are {len(message) - place}")
        fields[tag >> 3].append(message[place : place + length])
        place += length
    return dict(fields)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """The number that begins at `place`, and where the next thing begins."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("it ends within a number")
        byte, place = message[place], place + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number has more than 64 bits")


def _strings(message: Message, field: int) -> list[memoryview]:
    """The values of a field that is not a number."""
    values = message.get(field, [])
    if any(isinstance(value, int) for value in values):
        raise ValueError(f"field {field} is a number, expected bytes")
    return values


def _messages(message: Message, field: int) -> list[Message]:
    return [parse(value) for value in _strings(message, field)]


def _text(message: Message, field: int) -> str | int:
    """A text, or the number that stands for one."""
    value = message.get(field, [b""])[-1]
    return value if isinstance(value, int) else str(value, "utf-8")


def _numbers(message: Message, field: int) -> list[int]:
    """A list of whole numbers: a field for each, or one after the other in one string ("packed")."""
    numbers = []
    for value in message.get(field, []):
        place = 0
        if isinstance(value, int):
            numbers.append(value)
            continue
        while place < len(value):
            number, place = _varint(value, place)
            numbers.append(number)
    return numbers
