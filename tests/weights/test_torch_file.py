"""Reading .pth without PyTorch: both layouts, every view of a storage, and pickles that want to be run."""

import io
import math
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.errors import InputError
from minifcn.weights import torch_file

KINDS = {
    "Float": np.float32,
    "Double": np.float64,
    "Half": np.float16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}

# ---------------------------------------------------------------- a writer of our own, one instruction at a time


class Code(bytes):
    """Instructions that leave one value on the stack."""


class Storage:
    def __init__(self, key, array, kind="Float"):
        self.key, self.array, self.kind = key, array, kind


def pickled(value, view_metadata=()):
    """The instructions of protocol 2 for a value; `view_metadata` ends the identity of a storage."""
    match value:
        case Code():
            return value
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(pickled(item, view_metadata) for item in value) + b"t"
        case list():
            return b"](" + b"".join(pickled(item, view_metadata) for item in value) + b"e"
        case dict():
            pairs = (pickled(item, view_metadata) for pair in value.items() for item in pair)
            return b"}(" + b"".join(pairs) + b"u"
        case Storage():
            kind = look_up(f"torch.{value.kind}Storage")
            identity = ("storage", kind, value.key, "cpu", value.array.size, *view_metadata)
            return pickled(identity) + b"Q"
    raise AssertionError(value)


def look_up(name):
    module, _, name = name.rpartition(".")
    return Code(f"c{module}\n{name}\n".encode())


def call(name, *arguments, view_metadata=()):
    return Code(look_up(name) + pickled(arguments, view_metadata) + b"R")


def tensor(storage, size, stride, offset=0, version="_v2", view_metadata=()):
    more = (False, call("collections.OrderedDict")) if version else ()
    return call(
        f"torch._utils._rebuild_tensor{version}",
        storage,
        offset,
        size,
        stride,
        *more,
        view_metadata=view_metadata,
    )


def whole(array, key="0", kind="Float", **options):
    strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
    return tensor(Storage(key, array, kind), array.shape, strides, **options)


def program(value, view_metadata=()):
    return b"\x80\x02" + pickled(value, view_metadata) + b"."


def write_zip(path, value, storages=(), big=False, compression=zipfile.ZIP_STORED):
    """`value` may be a whole program."""
    code = value if isinstance(value, bytes) and not isinstance(value, Code) else program(value)
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", code)
        file.writestr("archive/byteorder", "big" if big else "little")
        for storage in storages:
            array = storage.array.astype(storage.array.dtype.newbyteorder(">" if big else "<"))
            file.writestr(f"archive/data/{storage.key}", array.tobytes())
        file.writestr("archive/version", "3\n")
    return path


def write_stream(path, value, storages=(), big=False):
    code = value if isinstance(value, bytes) and not isinstance(value, Code) else program(value)
    parts = [program(0x1950A86A20F9469CFC6C), program(1001)]
    parts += [program({"protocol_version": 1001, "little_endian": not big}), code]
    parts.append(program([storage.key for storage in storages]))
    for storage in storages:
        array = storage.array.astype(storage.array.dtype.newbyteorder(">" if big else "<"))
        parts += [struct.pack("<q", array.size), array.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


WRITERS = {"zip": write_zip, "stream": write_stream}
layouts = pytest.mark.parametrize("layout", WRITERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch")


# ---------------------------------------------------------------- what is written is read


@st.composite
def views(draw):
    """A row of numbers, and a view of it: a block, with axes in any order and steps along them."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    shape = draw(st.lists(st.integers(1, 5), max_size=4))
    margin = draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    numbers = rng.integers(0, 100, margin + math.prod(shape) + 2).astype(KINDS[kind])
    view = numbers[margin : margin + math.prod(shape)].reshape(shape)
    view = view.transpose(draw(st.permutations(range(len(shape)))))
    for axis, n in enumerate(view.shape):
        start, step = draw(st.integers(0, n)), draw(st.integers(1, 3))
        view = view[(slice(None),) * axis + (slice(start, None, step),)]
    if draw(st.booleans()):
        view = np.broadcast_to(view, (3, *view.shape))
    return kind, numbers, view


@given(views(), st.sampled_from(sorted(WRITERS)), st.booleans(), st.sampled_from(["_v2", ""]))
def test_any_view_of_a_storage(folder, drawn, layout, big, version):
    kind, numbers, view = drawn
    storage = Storage("94321", numbers, kind)
    offset = (
        view.__array_interface__["data"][0] - numbers.__array_interface__["data"][0]
    ) // numbers.itemsize
    stride = tuple(step // numbers.itemsize for step in view.strides)
    metadata = (None,) if layout == "stream" else ()
    code = call("collections.OrderedDict") + b"(" + pickled("x.weight")
    code += tensor(storage, view.shape, stride, offset, version, metadata) + b"u"
    code += pickled({"_metadata": {"": {"version": 1}}}) + b"b"  # as every state dict has
    found = torch_file.read(WRITERS[layout](folder / "x.pth", Code(code), [storage], big))
    assert list(found) == ["x.weight"]
    assert found["x.weight"].dtype.newbyteorder("=") == numbers.dtype
    assert found["x.weight"].shape == view.shape
    assert np.array_equal(found["x.weight"], view)


@layouts
def test_tensors_share_storages(folder, layout):
    first, second = np.arange(6, dtype=np.float32), np.arange(4, dtype=np.float64)
    a, b = Storage("a", first), Storage("b", second, "Double")
    content = {
        "rows": tensor(a, (2, 3), (3, 1)),
        "columns": tensor(a, (3, 2), (1, 3)),
        "other": tensor(b, (2,), (2,), 1),
        "scalar": tensor(a, (), (), 5),
    }
    found = torch_file.read(WRITERS[layout](folder / "x.pth", content, [a, b]))
    assert {name: array.tolist() for name, array in found.items()} == {
        "rows": [[0, 1, 2], [3, 4, 5]],
        "columns": [[0, 3], [1, 4], [2, 5]],
        "other": [1, 3],
        "scalar": 5,
    }


@layouts
def test_bfloat16_is_the_upper_half(folder, layout):
    exact = np.array([1.0, -2.5, 0.0, 3.0e38, 1e-30], np.float32)
    bits = (exact.view(np.uint32) >> 16).astype(np.uint16)
    storage = Storage("0", bits, "BFloat16")
    found = torch_file.read(
        WRITERS[layout](folder / "x.pth", {"w": tensor(storage, (5,), (1,))}, [storage], True)
    )
    assert found["w"].dtype == np.float32
    np.testing.assert_array_equal(found["w"].view(np.uint32), bits.astype(np.uint32) << 16)
    np.testing.assert_allclose(found["w"], exact, rtol=2**-7)


@layouts
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
def test_the_state_dict_in_a_checkpoint(folder, layout, key):
    w, other = np.float32([[1, 2]]), np.float32([7])
    content = {
        "epoch": 7,
        "arch": "vgg16",
        "best": 0.5,
        "history": [1, None, True, (2.5, -(10**12))],
        "optimizer": {"state": {0: {"momentum": whole(other, "1")}}},
        key: {"fc.weight": whole(w), "note": "not a tensor"},
    }
    storages = [Storage("1", other), Storage("0", w)]
    found = torch_file.read(WRITERS[layout](folder / "x.pth", content, storages))
    assert list(found) == ["fc.weight"]
    assert found["fc.weight"].tolist() == [[1, 2]]


def test_forms_of_other_years(folder):
    """Parameters instead of tensors, and an ordered dict with its pairs as an argument (Python 2)."""
    w = np.float32([1, 2, 3])
    parameter = call("torch._utils._rebuild_parameter", whole(w), True, call("collections.OrderedDict"))
    content = call("collections.OrderedDict", [["w", parameter], ["b", whole(w)]])
    found = torch_file.read(write_zip(folder / "x.pth", content, [Storage("0", w)]))
    assert list(found) == ["w", "b"]
    assert found["w"].tolist() == found["b"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_the_machine_makes_what_pickle_makes(protocol):
    shared = ["x", "y" * 300]
    value = {
        "a": [1, -1, 255, 65535, 2**31, -(2**40), 10**30, 1.5, None, True, False],
        "b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), []),
        "c": {"only": shared, "again": shared},
        7: {str(k): k for k in range(2000)},
    }
    made, storages = torch_file.unpickle(io.BytesIO(pickle.dumps(value, protocol)))
    assert made == value
    assert made["c"]["only"] is made["c"]["again"]
    assert storages == []


# ---------------------------------------------------------------- pickles that want to be run


def executes(tmp_path, name):
    """A call that would leave a file behind."""
    return call(name, f"touch {tmp_path}/executed")


class Exploit:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        torch_file.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@layouts
@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "__builtin__.eval",
        "builtins.exec",
        "builtins.getattr",
        "subprocess.Popen",
        "torch.load",
        "torch.FloatStorage.__class__",
        "torch._utils._rebuild_tensor_v2.__globals__",
        "collections.OrderedDict.__init__.__globals__.os.system",
        "numpy.core.multiarray.scalar",
        "minifcn.weights.torch_file.unpickle",
    ],
)
def test_other_functions_are_refused_by_name(tmp_path, layout, name):
    refused(WRITERS[layout](tmp_path / "x.pth", {"w": executes(tmp_path, name)}), f"asks for {name}")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_exploits_are_refused(tmp_path, protocol):
    for exploit in (
        Exploit(os.system, f"touch {tmp_path}/executed"),
        Exploit(eval, f"open('{tmp_path}/executed', 'w')"),
        Exploit(getattr, "os", "system"),
    ):
        code = pickle.dumps({"state_dict": exploit}, protocol)
        for write in WRITERS.values():
            refused(write(tmp_path / "x.pth", code), "posix.system|builtins|__builtin__|weights do not need")
    (tmp_path / "x.pth").write_bytes(pickle.dumps(Exploit(os.system, f"touch {tmp_path}/executed"), protocol))
    refused(tmp_path / "x.pth", "weights do not need")  # in place of the magic number
    assert not (tmp_path / "executed").exists()


SYSTEM = b"\x8c\x02os\x8c\x06system\x93"


@pytest.mark.parametrize(
    ("code", "match"),
    [
        (b"\x80\x04" + SYSTEM + b"\x8c\x02ls\x85R.", "asks for os.system"),
        (b"(S'ls'\nios\nsystem\n.", "weights do not need"),
        (b"(ios\nsystem\n.", "INST os system"),
        (b"(cos\nsystem\nX\x02\x00\x00\x00lso.", "asks for os.system"),
        (b"ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (b"\x82\x01.", "EXT1"),
        (b"(cbuiltins\neval\n", "asks for builtins.eval"),
        (b"\x93.", "pop"),
        (b"NN\x93.", "asks for something nameless"),
        (b"NNR.", "calls what is no function"),
        (pickled("os.system") + pickled(("ls",)) + b"R.", "calls what is no function"),
        (call("torch.FloatStorage", 3) + b".", "calls torch.FloatStorage with what does not fit"),
        (call("collections.OrderedDict", "ab") + b".", "calls collections.OrderedDict with"),
        (call("collections.OrderedDict", [1]) + b".", "unpack"),
        (call("collections.OrderedDict", [[(1, 2), 3]]) + b".", "has a tuple for a key"),
        (call("torch._utils._rebuild_tensor_v2") + b".", "_rebuild_tensor_v2 with what does not fit"),
        (call("torch._utils._rebuild_tensor_v2", 1, 0, (1,), (1,)) + b".", "with what does not fit"),
        (call("torch._utils._rebuild_tensor_v2", (1, 2, 3), 0, (1,), (1,)) + b".", "with what does not fit"),
        (call("torch._utils._rebuild_parameter", 3) + b".", "_rebuild_parameter with what does not fit"),
        (look_up("collections.OrderedDict") + b"}b.", "attributes to something that is no dict"),
        (look_up("collections.OrderedDict") + pickled("a") + b"Ns.", "pair into what is no dict"),
        (b"}NNs.", "has a NoneType for a key"),
        (b"}N" + b"\x85" * 100_000 + b"Ns.", "has a tuple for a key"),  # to hash it would overflow the stack
        (b"Nr\xff\xff\xff\xff.", "holds a NoneType"),  # the pickle module would make room for 2^33 values
        (pickled(("storage", 1, "0", "cpu", 3)) + b"Q.", "not known"),
        (pickled(("storage", look_up("torch.FloatStorage"), "0", "cpu", -1)) + b"Q.", "not known"),
        (pickled(("storage", look_up("collections.OrderedDict"), "0", "cpu", 1)) + b"Q.", "not known"),
        (
            pickled(("storage", look_up("torch.FloatStorage"), "0", "cpu", 1, ("v", 0, 1))) + b"Q.",
            "not known",
        ),
        (b"h\x07.", "7"),
        (b"t.", "pop"),
        (b"}", "exhausted"),
        (b"", "exhausted"),
        (b"\xff.", "opcode"),
        (b"}.", "no tensors in it, but nothing"),
        (pickled({"a": 1, "b": []}) + b".", "no tensors in it, but a, b"),
        (pickled([1, 2]) + b".", "holds a list, expected a state dict"),
    ],
)
def test_strange_programs_are_refused(tmp_path, code, match):
    for write in WRITERS.values():
        refused(write(tmp_path / "x.pth", bytes(code)), match)


@pytest.mark.parametrize(
    ("size", "stride", "offset", "match"),
    [
        ((7,), (1,), 0, "reaches number 6 of a storage of 6"),
        ((2, 3), (4, 1), 0, "reaches number 6"),
        ((1,), (1,), 6, "reaches number 6"),
        ((3,), (1,), 4, "reaches number 6"),
        ((10**12, 10**12), (10**6, 1), 0, "reaches number"),
        ((10**12, 10**12), (0, 0), 0, "x.pth cannot be read"),
        ((1,), (2**70,), 0, "x.pth cannot be read"),
        ((1,) * 200, (1,) * 200, 0, "x.pth cannot be read"),
        ((-1,), (1,), 0, "no proper size"),
        ((1,), (-1,), 1, "no proper size"),
        ((1,), (1,), -1, "no proper size"),
        ((1, 1), (1,), 0, "no proper size"),
        ((1.0,), (1,), 0, "no proper size"),
        ((True,), (1,), 0, "no proper size"),
        (("a",), (1,), 0, "no proper size"),
        (((1,),), (1,), 0, "no proper size"),
    ],
)
@layouts
def test_views_outside_their_storage_are_refused(tmp_path, layout, size, stride, offset, match):
    storage = Storage("0", np.arange(6, dtype=np.float32))
    refused(
        WRITERS[layout](tmp_path / "x.pth", {"w": tensor(storage, size, stride, offset)}, [storage]), match
    )


@layouts
@pytest.mark.parametrize("claimed", [3, 7, 2**40, 2**62])
def test_a_storage_of_another_size_is_refused(tmp_path, layout, claimed):
    class Claim:
        size = claimed

    there = Storage("0", np.arange(5, dtype=np.float32))
    path = WRITERS[layout](tmp_path / "x.pth", {"w": tensor(Storage("0", Claim), (2,), (1,))}, [there])
    refused(path, "storage 0")


# ---------------------------------------------------------------- damaged files


def sample(layout, path):
    w, b = np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.arange(4.0)
    content = {"w": whole(w, "0"), "b": whole(b, "1", "Double")}
    return WRITERS[layout](path, content, [Storage("0", w), Storage("1", b, "Double")])


@given(st.sampled_from(sorted(WRITERS)), st.floats(0, 1, exclude_max=True))
def test_a_cut_off_file_is_refused(folder, layout, cut):
    data = sample(layout, folder / "whole.pth").read_bytes()
    path = folder / "cut.pth"
    path.write_bytes(data[: int(cut * len(data))])
    refused(path, "cut.pth")


@given(st.sampled_from(sorted(WRITERS)), st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_refused_or_read(folder, layout, seed):
    data = bytearray(sample(layout, folder / "whole.pth").read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(data), rng.integers(1, 4)):
        data[place] = rng.integers(256)
    (folder / "damaged.pth").write_bytes(data)
    try:
        found = torch_file.read(folder / "damaged.pth")
    except InputError as error:
        assert "damaged.pth" in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in found.values())


@given(st.binary(max_size=60))
def test_garbage_is_refused(folder, data):
    (folder / "x.pth").write_bytes(data)
    refused(folder / "x.pth", "x.pth cannot be read as PyTorch weights")


def test_other_files_are_refused(tmp_path):
    refused(tmp_path / "none.pth", "no such file")
    (tmp_path / "folder.pth").mkdir()
    refused(tmp_path / "folder.pth", "cannot be read")
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as file:
        file.writestr("word/document.xml", "x")
    refused(tmp_path / "x.pth", "0 members data.pkl")
    w = np.zeros(10**6, np.float32)
    path = write_zip(tmp_path / "x.pth", {"w": whole(w)}, [Storage("0", w)], compression=zipfile.ZIP_DEFLATED)
    refused(path, "compressed")
    refused(write_zip(tmp_path / "x.pth", {"w": whole(w)}), "data/0")
    refused(write_stream(tmp_path / "x.pth", {"w": whole(w)}), "x.pth cannot be read")
