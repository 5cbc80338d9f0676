"""The three commands as their users meet them: what they print, what they write, and what they refuse."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minifcn import evaluate, predict, train
from minifcn.checkpoint import Checkpoint
from minifcn.data import TOYS, voc_palette
from minifcn.kernels import jit
from minifcn.models import fcn8s, unet
from minifcn.segmenter import Segmenter

NAMES = ("background", "circle", "square", "triangle")


def checkpoint(path, names=NAMES):
    net = fcn8s(len(names), rng=0, widths=(4, 4, 4, 4, 4), convs=1, fc=4)
    rng = np.random.default_rng(1)
    for name in ("score_fr.weight", "score_pool4.weight", "score_pool3.weight"):
        net.params[name][...] = rng.standard_normal(net.params[name].shape)
    Checkpoint(net.recipe, net.params, names, (128.0, 128.0, 128.0), 64.0).save(path)
    return path


def photo(path, size=(21, 34), seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)
    return str(path)


def fails(capsys, command, *arguments):
    """Run a command that must fail; its one message."""
    with pytest.raises(SystemExit) as caught:
        command(list(arguments))
    assert caught.value.code == 2
    return capsys.readouterr().err


# ---------------------------------------------------------------- predict


def test_predict_writes_labels_and_overlays(tmp_path, capsys):
    saved = checkpoint(tmp_path / "c.npz")
    images = [photo(tmp_path / "a.png"), photo(tmp_path / "b.jpg", (40, 9))]
    predict.main([*images, "--checkpoint", str(saved), "--out", str(tmp_path / "out"), "--heatmaps"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{name}{kind}.png" for name in "ab" for kind in ("", "-overlay", "-heatmaps")
    )
    labels = Image.open(tmp_path / "out" / "a.png")
    assert labels.mode == "P"
    image = np.asarray(Image.open(images[0]))
    expected = Segmenter.load(saved).labels(image)
    assert np.array_equal(np.asarray(labels), expected)
    assert np.array_equal(np.asarray(labels.convert("RGB")), voc_palette()[expected])
    overlay = np.asarray(Image.open(tmp_path / "out" / "a-overlay.png"))
    assert np.array_equal(overlay[expected == 0], image[expected == 0])
    assert overlay.shape == image.shape
    assert "2 images are in" in capsys.readouterr().out


def test_predict_in_tiles_is_the_same_and_goes_on_after_a_stop(tmp_path, capsys, monkeypatch):
    saved, image = checkpoint(tmp_path / "c.npz"), photo(tmp_path / "a.png", (500, 460))
    arguments = [image, "--checkpoint", str(saved), "--out", str(tmp_path / "out")]
    predict.main(arguments)
    whole = [(tmp_path / "out" / name).read_bytes() for name in ("a.png", "a-overlay.png")]
    labels, runs = Segmenter.inner_labels, []

    def stopping(self, images):
        runs.append(images.shape)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return labels(self, images)

    monkeypatch.setattr(Segmenter, "inner_labels", stopping)
    with pytest.raises(SystemExit):
        predict.main([*arguments, "--tile", "384"])
    predict.main([*arguments, "--tile", "384"])
    assert len(runs) == 2 + 1 + 4 - 2, "four tiles; the two that were done are not done again"
    assert [(tmp_path / "out" / name).read_bytes() for name in ("a.png", "a-overlay.png")] == whole
    assert len(list((tmp_path / "out").iterdir())) == 2, "nothing is left behind"
    assert "--tile: a tile of 50 pixels is too small" in fails(
        capsys, predict.main, *arguments, "--tile", "50"
    )


@pytest.mark.parametrize("size", [(90, 77), (1, 30)])
def test_predict_labels_every_pixel_with_valid_convolutions_too(tmp_path, size):
    """Whole or in tiles, and with the score maps as large as the image."""
    net = unet(4, padding="valid", widths=(4, 5), rng=0)
    saved, image = tmp_path / "c.npz", photo(tmp_path / "a.png", size)
    Checkpoint(net.recipe, net.params, NAMES, (128.0, 128.0, 128.0), 64.0).save(saved)
    found = []
    for options in (["--heatmaps"], ["--tile", "50"]):
        predict.main([image, "--checkpoint", str(saved), "--out", str(tmp_path / "out"), *options])
        found.append(np.asarray(Image.open(tmp_path / "out" / "a.png")))
    assert found[0].shape == size and np.ptp(found[0]) > 0
    assert np.array_equal(*found)
    segmenter, pixels = Segmenter.load(saved), np.asarray(Image.open(image))
    scores = segmenter.activations(pixels, ["score"])["score"]
    assert np.array_equal(scores.argmax(-1), found[0])
    batch = np.stack([pixels, pixels[::-1]])
    assert np.array_equal(segmenter.labels(batch), [segmenter.labels(image) for image in batch])


def test_predict_refuses(tmp_path, capsys):
    saved = str(checkpoint(tmp_path / "c.npz"))
    (tmp_path / "d").mkdir()
    same = [photo(tmp_path / "a.png"), photo(tmp_path / "d" / "a.jpg")]
    assert "would overwrite that of" in fails(capsys, predict.main, *same, "--checkpoint", saved)
    pair = [same[0], photo(tmp_path / "a-overlay.png")]
    assert "would overwrite that of" in fails(capsys, predict.main, *pair, "--checkpoint", saved)
    here = fails(capsys, predict.main, same[0], "--checkpoint", saved, "--out", str(tmp_path))
    assert "would overwrite an image" in here
    assert "leave out --tile" in fails(
        capsys, predict.main, same[1], "--checkpoint", saved, "--tile", "999", "--heatmaps"
    )
    assert "a.png is a file, expected a folder" in fails(
        capsys, predict.main, same[1], "--checkpoint", saved, "--out", same[0]
    )
    assert "a.png is not a whole .npz file" in fails(capsys, predict.main, same[1], "--checkpoint", same[0])
    (tmp_path / "text.png").write_text("not an image")
    message = fails(
        capsys, predict.main, str(tmp_path / "text.png"), "--checkpoint", saved, "--out", str(tmp_path / "d")
    )
    assert message.startswith(f"error: {tmp_path}/text.png")
    assert "Traceback" not in message
    missing = fails(capsys, predict.main, same[0], "--checkpoint", str(tmp_path / "none.npz"))
    assert "none.npz: no such checkpoint" in missing
    many = fails(capsys, predict.main, same[1], "--checkpoint", saved, "--threads", "4096")
    assert "threads is 4096" in many


# ---------------------------------------------------------------- evaluate


def test_evaluate_prints_the_table(tmp_path, capsys):
    evaluate.main(["--checkpoint", str(checkpoint(tmp_path / "c.npz")), "--toy"])
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1:5]] == list(NAMES)
    assert "mean IU" in printed
    pixels = sum(int(line.split()[3]) for line in printed.splitlines()[1:5])
    assert pixels == 200 * 64 * 64


def test_evaluate_on_another_toy_with_one_score_map(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(TOYS, "cells", TOYS["cells"]._replace(held_out=3))
    net = fcn8s(1, rng=0, widths=(4, 4, 4, 4, 4), convs=1, fc=4)
    net.params["score_fr.bias"][...] = 1.0  # all is a cell
    Checkpoint(net.recipe, net.params, ("ground", "cell"), (9.0, 9.0, 9.0), 64.0).save(tmp_path / "c.npz")
    evaluate.main(["--checkpoint", str(tmp_path / "c.npz"), "--toy", "cells"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:3]]
    assert [row[0] for row in rows] == ["ground", "cell"]
    assert (float(rows[0][2]), float(rows[1][2])) == (0.0, 100.0), "the accuracy of either class"
    assert "the data has background, circle" in fails(
        capsys, evaluate.main, "--checkpoint", str(tmp_path / "c.npz"), "--toy"
    )


def test_evaluate_with_a_number_of_threads(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jit, "_threads", 4096)
    evaluate.main(["--checkpoint", str(checkpoint(tmp_path / "c.npz")), "--toy", "--threads", "1"])
    assert jit.get_threads() == 1
    assert "mean IU" in capsys.readouterr().out
    few = fails(capsys, evaluate.main, "--checkpoint", str(tmp_path / "c.npz"), "--toy", "--threads", "-1")
    assert "threads is -1; expected 1 to" in few


def test_evaluate_wants_the_classes_of_the_checkpoint(tmp_path, capsys):
    saved = checkpoint(tmp_path / "c.npz", ("ground", "circle"))
    message = fails(capsys, evaluate.main, "--checkpoint", str(saved), "--toy")
    assert "knows the classes ground, circle" in message
    assert "the data has background, circle, square, triangle" in message


# ---------------------------------------------------------------- train


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --toy or --data"),
        (["--toy", "--data", "x"], "either --toy or --data"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", ".", "--format", "voc"], "found an empty folder, looked for\n  JPEGImages/"),
        (["--toy", "--loss", "binary"], "the data has background, circle, square, triangle"),
        (["--toy", "--border-weights"], "this data has no instances"),
        (["--toy", "--threads", "4096"], "threads is 4096"),
        (["--toy", "--backbone", "alexnet"], "fcn8s needs pool3, which AlexNet has not"),
        (["--resume", "nowhere"], "nowhere holds no run to resume"),
        (["--resume", "nowhere", "--toy"], "no other options"),
        (["--config", "nowhere.toml"], "nowhere.toml: no such file"),
    ],
)
def test_train_refuses(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, train.main, *arguments)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def write_folder(folder, count=6, size=(32, 32)):
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        labels = np.zeros(size, np.uint8)
        labels[:, i:20] = 1
        image = np.where(labels[..., None] == 1, 200, 50).astype(np.uint8).repeat(3, axis=2)
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
        Image.fromarray(labels).save(folder / "masks" / f"{i}.png")
    (folder / "classes.txt").write_text("ground\nbar\n")
    return folder


def run(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_train_evaluate_predict_by_command(tmp_path):
    write_folder(tmp_path / "data")
    process = run("minifcn.train", "--data", "data", "--steps", "40", "--lr", "0.002", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.splitlines()[-1].endswith("are in runs/data-fcn8s")
    assert "ground" in out and "bar" in out
    assert "5 images to learn from, 1 held out" in err
    assert "step 40/40" in err and "\r" not in err
    names = {path.name for path in (tmp_path / "runs" / "data-fcn8s").iterdir()}
    assert names == {"config.toml", "metrics.csv", "last.npz", "best.npz", "curves.png", "predictions.png"}
    process = run(
        "minifcn.evaluate", "--checkpoint", "runs/data-fcn8s/best.npz", "--data", "data", cwd=tmp_path
    )
    table, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert table.strip() in out, "the table is the one that training ended with"


@pytest.mark.slow
def test_photographs_in_voc_layout(tmp_path):
    """Textures on photographs of different sizes, with VOC's ribbons of 255: train, evaluate, predict."""
    pytest.importorskip("skimage", reason="its bundled photographs are not installed")
    make = [sys.executable, str(Path(__file__).with_name("voc_tree.py")), str(tmp_path / "voc")]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    options = ("--crop", "96", "--steps", "300", "--lr", "0.003", "--out", "run")
    process = run("minifcn.train", "--data", "voc", *options, cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    process = run("minifcn.evaluate", "--checkpoint", "run/best.npz", "--data", "voc", cwd=tmp_path)
    table, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert table.strip() in out
    assert float(table.split("mean IU")[1].split()[0]) > 40, "a guess of background alone is 18"
    photograph = "voc/JPEGImages/texture_0004.jpg"
    process = run("minifcn.predict", photograph, "--checkpoint", "run/best.npz", "--heatmaps", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    labels = Image.open(tmp_path / "predictions" / "texture_0004.png")
    assert labels.size == Image.open(tmp_path / photograph).size


def test_control_c_saves_and_resume_goes_on(tmp_path):
    write_folder(tmp_path / "data")
    process = run("minifcn.train", "--data", "data", "--steps", "3000", "--out", "out", cwd=tmp_path)
    while not (tmp_path / "out" / "metrics.csv").exists():
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    step = json.loads(str(np.load(tmp_path / "out" / "last.npz")["meta"]))["progress"]["step"]
    assert out.strip() == f"stopped at step {step}; go on with: python -m minifcn.train --resume out"
    assert 0 < step < 3000
    assert "Traceback" not in err
