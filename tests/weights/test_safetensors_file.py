"""Safetensors: against the format's description, written out in the test, and files that do not keep to it."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.errors import InputError
from minifcn.weights import safetensors_file

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "?",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("safetensors")


def assemble(path, table, data, length=None):
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def tensors(draw):
    """Float arrays by name, of which some are transposed or every other element of larger ones."""
    found = {}
    for name in draw(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=4)):
        array = (
            np.random.default_rng(len(found))
            .standard_normal(draw(shapes))
            .astype(draw(st.sampled_from("fde")))
        )
        if draw(st.booleans()):
            array = array.T
        if array.ndim and draw(st.booleans()):
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        found[name] = array
    return found


@given(tensors(), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
def test_written_as_the_format_says(folder, arrays, metadata):
    arrays = {name: array for name, array in arrays.items() if name != "__metadata__"}
    path = folder / "x.safetensors"
    safetensors_file.write(path, arrays, metadata)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert (8 + length) % 8 == 0 and data[8:9] == b"{"
    table, numbers = json.loads(data[8 : 8 + length]), data[8 + length :]
    assert table.pop("__metadata__") == metadata
    assert list(table) == list(arrays)
    for name, entry in table.items():
        start, end = entry["data_offsets"]
        array = np.frombuffer(numbers[start:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        assert array.dtype == arrays[name].dtype
        assert np.array_equal(array, arrays[name])
    assert sum(array.nbytes for array in arrays.values()) == len(numbers)
    found = safetensors_file.read(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


@given(
    st.lists(st.tuples(st.sampled_from([*DTYPES, "BF16"]), shapes), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
    st.integers(0, 9),
)
def test_any_file_is_read(folder, drawn, random, padding):
    """Every type; the table need not be in the order of the numbers."""
    table, data, expected = {"__metadata__": {"format": "pt"}}, b"", {}
    for k, (dtype, shape) in enumerate(drawn):
        array = np.random.default_rng(k).integers(0, 100, shape)
        if dtype == "BF16":
            bits = (array.astype(np.float32).view(np.uint32) >> 16).astype("<u2")
            encoded, array = bits.tobytes(), (bits.astype(np.uint32) << 16).view(np.float32)
        else:
            array = array.astype(DTYPES[dtype])
            encoded = array.tobytes()
        offsets = [len(data), len(data) + len(encoded)]
        table[f"t{k}"] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        expected[f"t{k}"] = array
        data += encoded
    entries = list(table.items())
    random.shuffle(entries)
    found = safetensors_file.read(
        assemble(folder / "x.safetensors", json.dumps(dict(entries)).encode() + b" " * padding, data)
    )
    assert list(found) == [name for name, _ in entries if name != "__metadata__"]
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("table", "data", "match"),
    [
        ({"a": entry([2], 0, 8)}, b"1234567", "lies at"),
        ({"a": entry([2], 0, 8)}, b"123456789", "9 bytes of numbers, expected 8"),
        ({"a": entry([2], 0, 4)}, b"12345678", "lies at"),
        ({"a": entry([1], 4, 8)}, b"12345678", "lies at"),
        ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"12345678", "b lies at"),
        ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, b"123456789012", "b lies at"),
        ({"a": entry([-1], 0, -4)}, b"", "shape"),
        ({"a": entry([1.0], 0, 4)}, b"1234", "shape"),
        ({"a": entry(["1"], 0, 4)}, b"1234", "shape"),
        ({"a": entry([10**30, 10**30], 0, 8)}, b"12345678", "lies at"),
        ({"a": entry([1] * 100, 0, 4)}, b"1234", "x.safetensors"),
        ({"a": entry([0, 2**62, 2**62], 0, 0)}, b"", "x.safetensors"),
        ({"a": entry([1], 0, 4, "F4")}, b"1234", "F4"),
        ({"a": entry([1], 0, 4, ["F32"])}, b"1234", "x.safetensors"),
        ({"a": {"dtype": "F32"}}, b"", "data_offsets"),
        ({"a": entry(3, 0, 4)}, b"1234", "x.safetensors"),
        ({"a": 3}, b"", "x.safetensors"),
        ([1, 2], b"", "no list of names"),
        (b"{", b"", "x.safetensors"),
        (b"\xff\xff", b"", "x.safetensors"),
        (b"[" * 100_000, b"", "x.safetensors"),
    ],
)
def test_files_that_are_refused(tmp_path, table, data, match):
    path = assemble(tmp_path / "x.safetensors", table, data)
    with pytest.raises(InputError, match=match) as caught:
        safetensors_file.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("length", [0, 3, 1000, 2**63, 2**64 - 1])
def test_a_wrong_length_is_refused(tmp_path, length):
    path = assemble(tmp_path / "x.safetensors", {"a": entry([1], 0, 4)}, b"1234", length)
    for read in (safetensors_file.read, safetensors_file.preprocessing):
        with pytest.raises(InputError, match=r"x\.safetensors"):
            read(path)


@given(st.floats(0, 1, exclude_max=True))
def test_a_cut_off_file_is_refused(folder, cut):
    path = folder / "cut.safetensors"
    safetensors_file.write(path, {"a": np.ones((3, 4), np.float32), "b": np.ones(5)}, {"format": "pt"})
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(InputError, match=r"cut\.safetensors"):
        safetensors_file.read(path)


@given(st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_refused_or_read(folder, seed):
    path = folder / "damaged.safetensors"
    metadata = {"preprocessing": json.dumps({"mean": [1, 2, 3], "std": 4.0, "channels": "RGB"})}
    safetensors_file.write(path, {"a": np.ones((3, 4), np.float32), "b": np.ones(5)}, metadata)
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(0, len(data) // 2, rng.integers(1, 4)):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    for read in (safetensors_file.read, safetensors_file.preprocessing):
        try:
            read(path)
        except InputError as error:
            assert "damaged.safetensors" in str(error)


@pytest.mark.parametrize("std", [57.5, (58.0, 57.0, 56.5)])
def test_preprocessing(tmp_path, std):
    stated = {"mean": (1.5, 2.0, 3.25), "std": std, "channels": "BGR"}
    safetensors_file.write(tmp_path / "a.safetensors", {}, {"preprocessing": json.dumps(stated)})
    assert safetensors_file.preprocessing(tmp_path / "a.safetensors") == stated
    safetensors_file.write(tmp_path / "b.safetensors", {}, {"format": "pt"})
    assert safetensors_file.preprocessing(tmp_path / "b.safetensors") is None
    assemble(tmp_path / "c.safetensors", {}, b"")
    assert safetensors_file.preprocessing(tmp_path / "c.safetensors") is None


GOOD = {"mean": [1, 2, 3], "std": 4, "channels": "RGB"}


@pytest.mark.parametrize(
    "stated",
    [
        {**GOOD, "mean": [1, 2]},
        {**GOOD, "mean": ["a", 2, 3]},
        {**GOOD, "std": [1, 2]},
        {**GOOD, "std": "x"},
        {**GOOD, "std": None},
        {**GOOD, "channels": "RBG"},
        {"mean": [1, 2, 3]},
        7,
    ],
)
def test_preprocessing_that_is_refused(tmp_path, stated):
    safetensors_file.write(tmp_path / "a.safetensors", {}, {"preprocessing": json.dumps(stated)})
    with pytest.raises(InputError, match=r"a\.safetensors"):
        safetensors_file.preprocessing(tmp_path / "a.safetensors")


def test_missing_and_unwritable(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        safetensors_file.read(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        safetensors_file.read(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        safetensors_file.write(tmp_path / "nowhere" / "a.safetensors", {}, {})


@given(tensors())
def test_the_official_reader_agrees(folder, arrays):
    numpy_reader = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = folder / "official.safetensors"
    arrays = {name: array for name, array in arrays.items() if name != "__metadata__"}
    safetensors_file.write(path, arrays, {"format": "pt"})
    found = numpy_reader.load_file(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    numpy_reader.save_file({name: array.copy("C") for name, array in arrays.items()}, path)
    again = safetensors_file.read(path)
    assert again.keys() == arrays.keys()
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
