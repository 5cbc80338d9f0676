"""Caffe files: written here field by field, in the new form and the old, and cut and damaged."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.errors import InputError
from minifcn.weights import caffe_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("caffe")


# ---------------------------------------------------------------- a writer of our own


def varint(value):
    value %= 1 << 64
    digits = []
    while value >= 0x80:
        digits.append(value % 0x80 | 0x80)
        value //= 0x80
    return bytes([*digits, value])


def field(number, value):
    """A field of a protocol buffer: a number, a text or bytes."""
    if isinstance(value, int):
        return varint(8 * number) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(8 * number + 2) + varint(len(value)) + value


def numbers(array, packed=True):
    array = np.asarray(array)
    number = {"f": 5, "d": 8}[array.dtype.char]
    if packed:
        return field(number, array.astype(array.dtype.newbyteorder("<")).tobytes())
    kind = {"f": 5, "d": 1}[array.dtype.char]
    return b"".join(varint(8 * number + kind) + struct.pack("<" + array.dtype.char, n) for n in array.ravel())


def blob(array, packed=True, diff=False):
    dims = b"".join(map(varint, array.shape)) if packed else None
    shape = field(1, dims) if packed else b"".join(field(1, n) for n in array.shape)
    return field(7, shape) + numbers(array, packed) + (field(6, array.tobytes()) if diff else b"")


def old_blob(array):
    axes = (1,) * (4 - array.ndim) + array.shape
    return b"".join(field(k, n) for k, n in enumerate(axes, start=1)) + numbers(array)


def layer(name, kind, *blobs):
    """With what else a layer has: bottoms, tops, its own parameters."""
    rest = field(3, "data") + field(4, "x") + field(106, field(1, 96) + varint(8 * 30 + 5) + b"\0\0\x80\x3f")
    return field(100, field(1, name) + field(2, kind) + rest + b"".join(field(7, b) for b in blobs))


OLD = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39, "ReLU": 18}


def old_layer(name, kind, *blobs):
    rest = field(2, "data") + field(3, "x")
    return field(2, rest + field(4, name) + field(5, OLD[kind]) + b"".join(field(6, b) for b in blobs))


def write(path, *layers):
    path.write_bytes(field(1, "VGG_ILSVRC_16") + field(3, "data") + b"".join(layers))
    return path


# ---------------------------------------------------------------- what is written is read

shapes4 = st.tuples(*[st.integers(1, 4)] * 4)


def random(*shape, dtype=np.float32):
    return np.random.default_rng(math.prod(shape)).standard_normal(shape).astype(dtype)


@given(shapes4, st.integers(1, 5), st.booleans(), st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_new_files(folder, shape, features, packed, diff, dtype):
    conv, bias = random(*shape, dtype=dtype), random(shape[0], dtype=dtype)
    fc = random(features, shape[0], dtype=dtype)
    path = write(
        folder / "x.caffemodel",
        layer("conv1_1", "Convolution", blob(conv, packed, diff), blob(bias, packed)),
        layer("relu1_1", "ReLU"),
        layer("fc6", "InnerProduct", blob(fc, packed)),
        layer("bn", "BatchNorm", *[blob(bias)] * 3),
    )
    found = caffe_file.read(path)
    expected = {"conv1_1.weight": conv, "conv1_1.bias": bias, "fc6.weight": fc}
    expected |= {"bn.weight": bias, "bn.bias": bias, "bn.2": bias}
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


@given(shapes4, st.integers(1, 5))
def test_old_files(folder, shape, features):
    """Four axes for everything: (1, 1, 1, n) for a bias, (1, 1, O, I) for a fully connected layer."""
    conv, deconv, bias = random(*shape), random(*shape[::-1]), random(shape[0])
    fc, fc_bias = random(features, shape[0]), random(features)
    path = write(
        folder / "x.caffemodel",
        old_layer("conv1_1", "Convolution", old_blob(conv), old_blob(bias)),
        old_layer("relu1_1", "ReLU"),
        old_layer("upscore2", "Deconvolution", old_blob(deconv)),
        old_layer("fc6", "InnerProduct", old_blob(fc), old_blob(fc_bias)),
    )
    found = caffe_file.read(path)
    expected = {"conv1_1.weight": conv, "conv1_1.bias": bias, "upscore2.weight": deconv}
    expected |= {"fc6.weight": fc, "fc6.bias": fc_bias}
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_a_new_file_may_have_old_blobs(folder):
    fc, bias = random(3, 8), random(3)
    found = caffe_file.read(
        write(folder / "x.caffemodel", layer("fc6", "InnerProduct", old_blob(fc), old_blob(bias)))
    )
    assert np.array_equal(found["fc6.weight"], fc)
    assert np.array_equal(found["fc6.bias"], bias)


@given(st.lists(st.integers(0, 2**64 - 1)), st.dictionaries(st.integers(1, 2**29 - 1), st.binary(max_size=5)))
def test_parse(values, texts):
    message = b"".join(field(536, value) for value in values) + b"".join(
        field(*item) for item in texts.items()
    )
    expected = {number: [text] for number, text in texts.items()}
    if values:
        expected[536] = values + expected.get(536, [])
    found = caffe_file.parse(memoryview(message))
    assert {n: [v if isinstance(v, int) else bytes(v) for v in vs] for n, vs in found.items()} == expected


# ---------------------------------------------------------------- what is refused


def sample(path):
    conv, bias, fc = random(4, 3, 2, 2), random(4), random(3, 5)
    return write(
        path,
        layer("conv1_1", "Convolution", blob(conv), blob(bias)),
        old_layer("fc6", "InnerProduct", old_blob(fc), old_blob(random(3))),
    )


@given(st.floats(0, 1, exclude_max=True))
def test_a_cut_off_file_is_refused(folder, cut):
    """Only between two layers does the format not tell; then the layers are missing, and nothing else is wrong."""
    path = sample(folder / "whole.caffemodel")
    whole, data = caffe_file.read(path), path.read_bytes()
    path = folder / "cut.caffemodel"
    path.write_bytes(data[: int(cut * len(data))])
    try:
        found = caffe_file.read(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert list(found) == ["conv1_1.weight", "conv1_1.bias"]
        assert all(np.array_equal(array, whole[name]) for name, array in found.items())


@given(st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_refused_or_read(folder, seed):
    path = sample(folder / "damaged.caffemodel")
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(0, len(data), rng.integers(1, 4)):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    try:
        found = caffe_file.read(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in found.values())


@given(st.binary(max_size=60))
def test_garbage_is_refused(folder, data):
    (folder / "x.caffemodel").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.caffemodel cannot be read as Caffe weights"):
        caffe_file.read(folder / "x.caffemodel")


SHAPE_6 = field(7, field(1, varint(6)))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no layer in it has weights"),
        (layer("relu", "ReLU"), "no layer in it has weights"),
        (layer("a", "Convolution", SHAPE_6 + numbers(random(5))), "a.weight has 5 numbers, expected 6"),
        (layer("a", "Convolution", SHAPE_6), "a.weight has 0 numbers, expected 6"),
        (layer("a", "Convolution", SHAPE_6 + field(5, b"12345")), "x.caffemodel"),
        (
            layer("a", "Convolution", field(7, field(1, varint(2**40) * 2)) + numbers(random(6))),
            "has 6 numbers",
        ),
        (
            layer("a", "Convolution", field(7, field(1, varint(-1) + varint(-6))) + numbers(random(6))),
            "6 num",
        ),
        (layer("a", "Convolution", blob(random(6))) * 2, "two layers have the blob a.weight"),
        (field(100, 7), "field 100 is a number"),
        (field(100, field(1, "a") + field(7, 7)), "field 7 is a number"),
        (layer("a", "Convolution", SHAPE_6 + field(5, 3)), "field 5 is a number"),
        (field(100, field(1, b"\xff") + field(7, blob(random(6)))), "utf-8"),
        (varint(8 * 100 + 3), "no field of kind 3"),
        (varint(8 * 100 + 2) + varint(2**50) + b"abc", "bytes should follow, there are 3"),
        (b"\x08" + b"\xff" * 11, "more than 64 bits"),
        (b"\x08\xff", "ends within a number"),
    ],
)
def test_strange_files_are_refused(tmp_path, content, match):
    (tmp_path / "x.caffemodel").write_bytes(content)
    with pytest.raises(InputError, match=match):
        caffe_file.read(tmp_path / "x.caffemodel")


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        caffe_file.read(tmp_path / "x.caffemodel")
