"""Weights of others where they are used: to start a training, and to predict."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from minifcn import models, predict, train, weights
from minifcn.checkpoint import Checkpoint
from minifcn.data import TOYS, Preprocessing, channel_statistics
from minifcn.data.palette import VOC_CLASS_NAMES
from minifcn.errors import InputError
from minifcn.models import BACKBONES, backbones
from minifcn.segmenter import Segmenter
from minifcn.settings import Settings
from minifcn.training import Training, open_data


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setitem(TOYS, "shapes", TOYS["shapes"]._replace(images=20, held_out=4))


STATED = Preprocessing((104.5, 116.5, 122.5), (1.0, 2.0, 3.0), "BGR")


def saved(path, preprocessing=STATED, classes=4, **options):
    """An FCN-8s with scores that are not zero, as others would publish it."""
    net = models.fcn8s(classes, rng=7, **options)
    rng = np.random.default_rng(8)
    for name, array in net.params.items():
        if name.startswith("score"):
            array[...] = rng.standard_normal(array.shape)
    weights.save(net, path, dataclasses.asdict(preprocessing) if preprocessing else None)
    return net


def same(net, other):
    return all(np.array_equal(array, other.params[name]) for name, array in net.params.items())


# ---------------------------------------------------------------- training


def test_training_starts_from_them(tmp_path):
    net = saved(tmp_path / "a.safetensors")
    settings = Settings(toy=True, steps=1, weights=str(tmp_path / "a.safetensors"), out=str(tmp_path / "run"))
    run = Training.start(settings)
    assert same(run.net, net)
    assert run.segmenter.preprocessing == STATED
    assert run.source is not None and run.source.loaded == tuple(net.params)
    kept = Checkpoint.load(tmp_path / "run" / "last.npz")
    assert Preprocessing(kept.mean, kept.std, kept.channels) == STATED
    assert Segmenter.load(tmp_path / "run" / "last.npz").preprocessing == STATED


def test_a_run_goes_on_without_them(tmp_path):
    """Resuming takes the run's own weights and normalisation; the file may be gone."""
    saved(tmp_path / "a.safetensors")
    settings = Settings(toy=True, steps=2, weights=str(tmp_path / "a.safetensors"), out=str(tmp_path / "run"))
    run = Training.start(settings)
    run.step()
    run.save()
    (tmp_path / "a.safetensors").unlink()
    resumed = Training.resume(tmp_path / "run")
    assert resumed.source is None and resumed.number == 1
    assert same(resumed.net, run.net)
    assert resumed.segmenter.preprocessing == STATED


def test_a_file_that_states_nothing_leaves_the_data_to_tell(tmp_path):
    saved(tmp_path / "a.safetensors", preprocessing=None)
    settings = Settings(toy=True, steps=1, weights=str(tmp_path / "a.safetensors"), out=str(tmp_path / "run"))
    found = Training.start(settings).segmenter.preprocessing
    mean, std = channel_statistics(open_data(settings.resolved())[0])
    assert found == Preprocessing(tuple(map(float, mean)), float(std), "RGB")


def test_train_refuses_weights_that_do_not_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a.safetensors", classes=3)
    for name, message in (
        ("a.safetensors", "score_fr.weight, for score_fr.weight"),
        ("none.pth", "none.pth: no such"),
    ):
        with pytest.raises(SystemExit) as caught:
            train.main(["--toy", "--steps", "1", "--weights", name])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_train_says_what_it_found(tmp_path, monkeypatch, capsys):
    saved(tmp_path / "a.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Training, "__iter__", lambda run: iter(()))
    monkeypatch.setattr(Training, "finish", lambda run: np.ones((4, 4), int))
    train.main(["--toy", "--weights", "a.safetensors"])
    assert "a.safetensors: safetensors, the network's own names; " in capsys.readouterr().err


# ---------------------------------------------------------------- prediction


def thin_trunk(net, rng):
    channels = backbones.vgg_stages(net, rng, (2, 3, 4, 5, 6), (2, 2, 3, 3, 3), first_padding=100)
    return backbones._classifier(net, rng, channels, 8, kernel_size=7, padding=0, dropout=0.5)


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setitem(BACKBONES, "vgg16", thin_trunk)


def photo(path):
    image = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)
    Image.fromarray(image).save(path)
    return image


def test_predict_with_the_weights_of_others(thin, tmp_path):
    net = saved(tmp_path / "a.safetensors", classes=21, backbone="vgg16")
    image = photo(tmp_path / "p.png")
    predict.main(
        [
            str(tmp_path / "p.png"),
            "--weights",
            str(tmp_path / "a.safetensors"),
            "--out",
            str(tmp_path / "out"),
        ]
    )
    x = (image[..., ::-1] - np.float32(STATED.mean)) / np.float32(STATED.std)
    expected = net(x[None].astype(np.float32))[0].argmax(axis=-1)
    assert len(np.unique(expected)) > 1
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "p.png")), expected)


def test_class_names(thin, tmp_path):
    saved(tmp_path / "a.safetensors", classes=21, backbone="vgg16")
    assert Segmenter.from_weights(tmp_path / "a.safetensors").class_names == VOC_CLASS_NAMES
    saved(tmp_path / "b.safetensors", classes=3)
    found = Segmenter.from_weights(tmp_path / "b.safetensors", "fcn8s", "small", 3)
    assert found.class_names == ("class 0", "class 1", "class 2")


def test_predict_refuses(thin, tmp_path, capsys):
    photo(tmp_path / "p.png")
    saved(tmp_path / "unstated.safetensors", None, 21, backbone="vgg16")
    saved(tmp_path / "small.safetensors")
    headless = models.fcn8s(21, backbone="vgg16")
    np.savez(
        tmp_path / "headless.npz", **{n: a for n, a in headless.params.items() if not n.startswith("score_p")}
    )

    def fails(*arguments):
        with pytest.raises(SystemExit) as caught:
            predict.main([str(tmp_path / "p.png"), "--out", str(tmp_path / "out"), *map(str, arguments)])
        assert caught.value.code == 2
        return capsys.readouterr().err

    assert "does not say how its images are normalised" in fails(
        "--weights", tmp_path / "unstated.safetensors"
    )
    assert "does not fit the network" in fails("--weights", tmp_path / "small.safetensors")
    message = fails("--weights", tmp_path / "headless.npz")
    assert (
        "has no score_pool4.weight, score_pool4.bias, score_pool3.weight, score_pool3.bias: train" in message
    )
    assert "none.pth: no such file" in fails("--weights", tmp_path / "none.pth")
    weights_file = ("--weights", tmp_path / "small.safetensors")
    assert "invalid choice: 'fcn9s'" in fails(*weights_file, "--model", "fcn9s")
    assert "invalid choice: 'resnet'" in fails(*weights_file, "--backbone", "resnet")
    assert "classes is 0" in fails(*weights_file, "--classes", 0)
    assert "fcn8s needs pool3" in fails(*weights_file, "--backbone", "alexnet")
    assert "not allowed with" in fails(*weights_file, "--checkpoint", "c.npz")
    assert "required" in fails()
    assert "--model, --classes: only for --weights" in fails(
        "--checkpoint", "c.npz", "--model", "fcn8s", "--classes", 3
    )
    assert not (tmp_path / "out").exists()


def test_from_weights_is_a_function_too(thin, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Segmenter.from_weights(tmp_path / "none.caffemodel")
