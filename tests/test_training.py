"""The loop as a library: it learns, keeps the best, resumes to the bit, and stops on what is not finite."""

import csv
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minifcn import metrics, models, training
from minifcn.checkpoint import Checkpoint
from minifcn.data import AUGMENTATIONS, Preprocessing, Shapes, write_label_png
from minifcn.errors import InputError, NonFiniteError
from minifcn.segmenter import Segmenter
from minifcn.settings import Settings
from minifcn.training import Training

TINY = {"widths": (4, 4, 8, 8, 8), "convs": 1, "fc": 8, "dropout": 0.5}


def make_folder(path, count=10, size=24):
    """Toy shapes as files."""
    (path / "images").mkdir(parents=True)
    (path / "masks").mkdir()
    shapes = Shapes(count, size)
    for i in range(count):
        image, labels = shapes[i]
        Image.fromarray(image).save(path / "images" / f"{i}.png")
        write_label_png(path / "masks" / f"{i}.png", labels)
    return path


@pytest.fixture
def tiny(monkeypatch):
    """Runs with a network of a few hundred weights, with dropout so that its random numbers matter too."""
    build = models.build
    monkeypatch.setattr(training.models, "build", lambda *a, **k: build(*a, **{**TINY, **k}))


def settings(tmp_path, **more):
    common = {"steps": 12, "batch_size": 3, "augment": ("mirror", "jitter"), "out": str(tmp_path / "run")}
    return Settings(**{"data": str(tmp_path / "data"), **common, **more})


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "data")


def final(out):
    saved = Checkpoint.load(out / "last.npz")
    return {**saved.params, **saved.optimizer}


def same_bits(a, b):
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.mark.usefixtures("tiny", "folder")
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("stop", [1, 5, 11])
def test_resume_goes_on_bit_for_bit(tmp_path, optimizer, stop):
    whole = Training.start(settings(tmp_path, optimizer=optimizer, out=str(tmp_path / "whole")))
    assert [step.number for step in whole] == list(range(1, 13))
    run = Training.start(settings(tmp_path, optimizer=optimizer))
    for step in run:
        if step.number == stop:
            run.save()
            break
    resumed = Training.resume(tmp_path / "run")
    assert resumed.number == stop
    assert [step.number for step in resumed] == list(range(stop + 1, 13))
    assert same_bits(final(tmp_path / "whole"), final(tmp_path / "run"))
    untimed = [{key: row[key] for key in row if key != "seconds"} for row in whole.history]
    assert untimed == [{key: row[key] for key in row if key != "seconds"} for row in resumed.history]


@pytest.mark.usefixtures("tiny", "folder")
def test_resume_goes_on_bit_for_bit_with_every_augmentation(tmp_path):
    every = settings(tmp_path, augment=tuple(AUGMENTATIONS), crop=20, out=str(tmp_path / "whole"))
    list(Training.start(every))
    for step in Training.start(replace(every, out=str(tmp_path / "run"))):
        if step.number == 5:
            break
    list(Training.resume(tmp_path / "run"))  # from the last evaluation
    assert same_bits(final(tmp_path / "whole"), final(tmp_path / "run"))


@pytest.mark.usefixtures("tiny", "folder")
def test_the_seed_decides_everything(tmp_path):
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        list(Training.start(settings(tmp_path, seed=seed, out=str(tmp_path / name))))
        runs.append(final(tmp_path / name))
    assert same_bits(runs[0], runs[1])
    assert not same_bits(runs[0], runs[2])


@pytest.mark.usefixtures("tiny", "folder")
def test_the_best_weights_are_kept_and_put_back(tmp_path, monkeypatch):
    run = Training.start(settings(tmp_path, steps=30))
    seen = {}
    for step in run:
        if step.hist is not None:
            seen[metrics.mean_iou(step.hist)] = {name: array.copy() for name, array in run.net.params.items()}
    hist = run.finish()
    assert metrics.mean_iou(hist) == max(seen)
    best = Segmenter.load(tmp_path / "run" / "best.npz")
    assert metrics.mean_iou(best.evaluate(run.validation)) == max(seen)
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert max(float(row["mean_iou"]) for row in rows) == pytest.approx(max(seen))
    assert [int(row["step"]) for row in rows] == list(range(2, 31, 2))
    for picture in ("curves.png", "predictions.png"):
        assert Image.open(tmp_path / "run" / picture).size[0] > 300


class Discs(Shapes):
    """Objects or none: the shapes, as two classes with instances."""

    class_names = ("ground", "object")

    def __getitem__(self, index):
        image, labels = super().__getitem__(index)
        return image, (labels > 0).astype(np.uint8)

    def instances(self, index):
        return Shapes(self.count, self.size, self.seed)[index][1].astype(np.int32)


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        ("binary", {}),
        ("binary-both", {}),
        ("binary", {"class_weights": "median-frequency"}),
        ("binary", {"class_weights": "inverse-frequency", "border_weights": True}),
        ("both", {"border_weights": True}),
    ],
)
def test_binary_and_weighted_losses_overfit_one_batch_and_are_kept(tmp_path, loss, weights):
    discs = Discs(4, 32, seed=3)
    maps = 1 if loss.startswith("binary") else 2
    net = models.build("fcn8s", maps, rng=1, widths=(8, 8, 16, 16, 32), convs=1, fc=32)
    options = Settings(
        toy=True, steps=150, batch_size=4, lr=1e-2, loss=loss, augment=("none",), **weights
    ).resolved()
    run = Training(net, discs, discs, Preprocessing((128, 128, 128), 64), options, tmp_path)
    for _ in range(150):
        run.step()
    run.evaluate()
    run.save()
    assert metrics.mean_iou(run.segmenter.evaluate(discs)) > 0.7, "a guess of ground alone has 0.39"
    kept = Segmenter.load(tmp_path / "best.npz")
    np.testing.assert_array_equal(kept.labels(discs[0][0]), run.segmenter.labels(discs[0][0]))


@pytest.mark.usefixtures("tiny", "folder")
def test_losses_that_the_data_does_not_allow(tmp_path):
    with pytest.raises(InputError, match=r"loss is 'binary', .* the data has class 0, class 1, class 2"):
        Training.start(settings(tmp_path, loss="binary"))
    with pytest.raises(InputError, match=r"border_weights .* this data has no instances"):
        Training.start(settings(tmp_path, border_weights=True))


@pytest.mark.parametrize("loss", ["cross-entropy", "dice", "both"])
@pytest.mark.parametrize("model", ["fcn32s", "fcn16s", "fcn8s"])
def test_every_network_overfits_one_batch(loss, model):
    shapes = Shapes(4, 32, seed=3)
    net = models.build(model, 4, rng=1, widths=(8, 8, 16, 16, 32), convs=1, fc=32)
    options = Settings(toy=True, steps=80, batch_size=4, lr=1e-2, loss=loss, augment=("none",)).resolved()
    run = Training(net, shapes, shapes, Preprocessing((128, 128, 128), 64), options)
    losses = [run.step().loss for _ in range(80)]
    assert losses[-1] < 0.8 * losses[0]
    # A stride of 32 on an image of 32 pixels is one cell, which cannot find objects. And Dice alone can lose a
    # class for good: where its probabilities are near 0, so is the gradient.
    if model == "fcn8s" and loss != "dice":
        assert metrics.mean_iou(run.segmenter.evaluate(shapes)) > 0.8, "all four classes are found"


@pytest.mark.usefixtures("tiny", "folder")
@pytest.mark.parametrize(("where", "named"), [("fc6.weight", "fc6"), ("conv1_1.bias", "conv1_1")])
def test_a_number_that_is_not_finite_stops_the_training(tmp_path, where, named):
    run = Training.start(settings(tmp_path))
    for step in run:
        if step.number == 4:
            break
    run.save()
    before = final(tmp_path / "run")
    run.net.params[where][...] = np.nan
    with pytest.raises(NonFiniteError, match=rf"step 5: {named} has a value that is not finite"):
        list(run)
    assert same_bits(before, final(tmp_path / "run"))


@pytest.mark.usefixtures("tiny", "folder")
def test_a_gradient_that_is_not_finite_stops_the_training(tmp_path):
    run = Training.start(settings(tmp_path))

    def overflowing(scores, labels):
        return 1.0, np.full_like(scores, 3e38)

    run.training_step.loss = overflowing
    with pytest.raises(NonFiniteError, match=r"step 1: the gradient of \S+ is not finite"):
        run.step()


@pytest.mark.usefixtures("tiny", "folder")
def test_runs_are_not_overwritten(tmp_path, monkeypatch):
    Training.start(settings(tmp_path))
    with pytest.raises(InputError, match="already holds a run"):
        Training.start(settings(tmp_path))
    monkeypatch.chdir(tmp_path)
    folders = [Training.start(settings(tmp_path, out="")).out for _ in range(2)]
    assert [str(out) for out in folders] == ["runs/data-fcn8s", "runs/data-fcn8s-2"]


@pytest.mark.usefixtures("tiny", "folder")
def test_resume_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"expected a folder with last\.npz"):
        Training.resume(tmp_path)
    Training.start(settings(tmp_path))
    (tmp_path / "run" / "config.toml").unlink()
    with pytest.raises(InputError, match=r"config\.toml: no such file"):
        Training.resume(tmp_path / "run")


@pytest.mark.usefixtures("tiny", "folder")
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    run = Training.start(settings(tmp_path))
    before = final(tmp_path / "run")
    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        list(run)
    assert same_bits(before, final(tmp_path / "run"))
    assert not [name for name in os.listdir(tmp_path / "run") if name.startswith(".")]


def full_disk(file, **arrays):
    file.write(b"x" * 1000)
    raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path):
    """SIGKILL, resume, SIGKILL, …: in the end the parameters are those of the run that was left in peace."""
    folder = make_folder(tmp_path / "data", count=40, size=64)
    options = ["--data", str(folder), "--steps", "600", "--batch-size", "2"]

    def start(out):
        command = [sys.executable, "-m", "minifcn.train"]
        begun = (out / "last.npz").exists() and (out / "config.toml").exists()
        command += ["--resume", str(out)] if begun else [*options, "--out", str(out)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start(tmp_path / "whole").wait() == 0
    rng = np.random.default_rng(0)
    for _ in range(20):
        process = start(tmp_path / "killed")
        time.sleep(rng.uniform(0.5, 6))
        process.kill()
        process.wait()
    while start(tmp_path / "killed").wait() != 0:
        raise AssertionError("a killed run could not be resumed")
    assert same_bits(final(tmp_path / "whole"), final(tmp_path / "killed"))
    assert not [name for name in os.listdir(tmp_path / "whole") if name.startswith(".")]
