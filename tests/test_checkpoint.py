import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.checkpoint import Checkpoint
from minifcn.errors import InputError
from minifcn.layers import BatchNorm2d
from minifcn.models import fcn8s, fcn32s
from minifcn.network import Network
from minifcn.segmenter import Segmenter

SMALL = {"widths": (2, 2, 3, 3, 4), "convs": 1, "fc": 5}


def checkpoint(net, **more):
    return Checkpoint(net.recipe, net.params, ("ground", "thing"), (1.5, 2.25, 3.0), 60.5, **more)


@pytest.fixture(scope="module")
def net():
    return fcn8s(2, rng=0, **SMALL)


def test_round_trip_is_exact(tmp_path, net):
    moments = {"step": np.array(7), "fc6.weight.momentum": np.arange(3, dtype=np.float32)}
    saved = checkpoint(net, optimizer=moments, progress={"step": 7, "history": [{"loss": 0.1}]})
    saved.save(tmp_path / "c.npz")
    found = Checkpoint.load(tmp_path / "c.npz")
    assert found.params.keys() == net.params.keys()
    assert all(np.array_equal(found.params[name], net.params[name]) for name in net.params)
    assert found.optimizer["fc6.weight.momentum"].tolist() == [0, 1, 2]
    assert found.progress == saved.progress
    assert (found.class_names, found.mean, found.std) == (("ground", "thing"), (1.5, 2.25, 3.0), 60.5)


def test_state_is_kept_and_put_back(tmp_path):
    nets = [Network() for _ in range(2)]
    for net in nets:
        net.add("bn", BatchNorm2d(3))
        net.recipe = {"model": "mine", "classes": 2}
    nets[0].state["bn.running_mean"][:] = (1.5, -2, 3)
    checkpoint(nets[0], state=nets[0].state).save(tmp_path / "c.npz")
    found = Checkpoint.load(tmp_path / "c.npz")
    found.restore(nets[1], "c.npz")
    assert nets[1].state["bn.running_mean"].tolist() == [1.5, -2, 3]
    del found.state["bn.running_var"]
    with pytest.raises(InputError, match=r"c\.npz: (?s:.)*bn\.running_var is missing"):
        found.restore(nets[1], "c.npz")


def test_the_checkpoint_alone_makes_the_network(tmp_path, net):
    net.params["score_fr.bias"][:] = (0.5, -0.5)
    checkpoint(net).save(tmp_path / "c.npz")
    segmenter = Segmenter.load(tmp_path / "c.npz")
    image = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    expected = net((image[None].astype(np.float32) - np.float32([1.5, 2.25, 3.0])) / np.float32(60.5))
    assert np.array_equal(segmenter.activations(image, ["score"])["score"], expected[0])
    assert segmenter.class_names == ("ground", "thing")


@given(cut=st.floats(0, 0.999))
def test_a_cut_off_file_is_refused(tmp_path_factory, net, cut):
    path = tmp_path_factory.mktemp("cut") / "c.npz"
    checkpoint(net).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(InputError, match=str(path)):
        Segmenter.load(path)


@given(seed=st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_refused_or_read_as_it_was(tmp_path_factory, net, seed):
    path = tmp_path_factory.mktemp("damaged") / "c.npz"
    checkpoint(net).save(path)
    damaged = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    damaged[rng.integers(len(damaged))] ^= int(rng.integers(1, 256))
    path.write_bytes(damaged)
    try:
        found = Segmenter.load(path)
    except InputError:
        return
    assert all(np.array_equal(found.net.params[name], net.params[name]) for name in net.params)


def test_a_checkpoint_of_another_network_says_what_differs(tmp_path, net):
    checkpoint(net).save(tmp_path / "c.npz")
    saved = Checkpoint.load(tmp_path / "c.npz")
    other = fcn32s(2, rng=0, **{**SMALL, "fc": 6})
    before = {name: array.copy() for name, array in other.params.items()}
    with pytest.raises(InputError) as caught:
        saved.restore(other, "c.npz")
    message = str(caught.value)
    assert "score_pool4.weight is not a parameter" in message
    assert "upscore.weight is missing" in message
    assert "fc7.weight has shape (1, 1, 5, 5), expected (1, 1, 6, 6)" in message
    assert all(np.array_equal(array, before[name]) for name, array in other.params.items())


class Exploit:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickled_objects_are_refused(tmp_path):
    member = io.BytesIO()
    np.save(member, np.array([Exploit()], object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as file:
        file.writestr("meta.npy", member.getvalue())
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Exploit()))
    for name in ("c.npz", "raw.npz"):
        with pytest.raises(InputError, match=name):
            Checkpoint.load(tmp_path / name)


@pytest.mark.parametrize(
    "recipe", [{"model": "fcn9s", "classes": 2}, {"model": "fcn8s", "classes": 2, "depth": 3}, {"classes": 2}]
)
def test_an_unknown_network_is_refused(tmp_path, net, recipe):
    saved = checkpoint(net)
    saved.recipe = recipe
    saved.save(tmp_path / "c.npz")
    with pytest.raises(InputError, match="cannot be built"):
        Segmenter.load(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mean": (1.0, float("nan"), 2.0)}, "mean is"),
        ({"mean": (1.0,)}, "expected three numbers"),
        ({"std": 0.0}, r"std is 0\.0; expected one or three positive numbers"),
        ({"channels": "XYZ"}, "channels is 'XYZ'"),
        ({"class_names": ("a", "b", "c")}, "2 classes have the names a, b, c"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, net, wrong, message):
    saved = checkpoint(net)
    for name, value in wrong.items():
        setattr(saved, name, value)
    saved.save(tmp_path / "c.npz")
    with pytest.raises(InputError, match=message):
        Checkpoint.load(tmp_path / "c.npz")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such checkpoint"):
        Checkpoint.load(tmp_path / "missing.npz")
    with pytest.raises(InputError, match=str(tmp_path)):
        Checkpoint.load(tmp_path)
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="no 'meta': it is not a checkpoint"):
        Checkpoint.load(tmp_path / "arrays.npz")
