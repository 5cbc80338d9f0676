"""Tianchi's table of run lengths: read, checked line by line, and written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minifcn.data import open_folder, read_labels
from minifcn.data.readers.tianchi import write_masks
from minifcn.data.run_lengths import decode


@pytest.fixture
def tree(tmp_path, picture):
    for i, stem in enumerate(("AA1", "BB2", "CC3")):
        picture(tmp_path / "train" / f"{stem}.jpg", i)
    table(tmp_path, "BB2.jpg\t5 3", "AA1.jpg\t1 2 9 4", "CC3.jpg\t")
    return tmp_path


def table(tree, *lines):
    (tree / "train_mask.csv").write_text("\n".join(lines) + "\n")


def test_reads_masks(tree, open_tree):
    names, held_out, training, validation = open_tree(tree)
    assert (names, held_out) == (["AA1", "BB2"], ["CC3"])
    assert training[1][1].ravel(order="F").tolist() == [0] * 4 + [1] * 3 + [0] * 17
    assert not validation[0][1].any() and validation[0][1].shape == (4, 6)
    assert training.class_pixels.tolist() == [2 * 24 - 9, 9]
    assert training.class_names == ("ground", "building")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AA1.jpg\t1 2 9", "line 2: 3 numbers, expected pairs"),
        ("AA1.jpg\t1 2 x 4", "line 2: 'x', expected positive whole numbers"),
        ("AA1.jpg\t-1 2", "line 2: '-1', expected positive whole numbers"),
        ("AA1.jpg\t0 2", "line 2: run '0 2', expected a start"),
        ("AA1.jpg\t3 0", "line 2: run '3 0', expected a start"),
        ("AA1.jpg\t20 6", "line 2: run '20 6' ends at pixel 25, but 4 x 6 are 24"),
        ("AA1.jpg\t1 4 3 2", "line 2: run '3 2' starts before the run before it ends, at pixel 4"),
        ("AA1.jpg\t9 2 1 2", "line 2: run '1 2' starts before"),
        ("AA1.jpg 1 2", "line 2: expected a name, one tab"),
        ("AA1.jpg\t1 2\t", "line 2: expected a name, one tab"),
        ("\t1 2", "line 2: no name"),
        ("", "line 2: no name"),
        ("DD4.jpg\t1 2", "line 2: DD4.jpg is not in"),
        ("BB2.jpg\t1 2", "line 2: BB2.jpg is in line 1 already"),
    ],
)
def test_bad_lines_are_named(tree, refusal, line, message):
    table(tree, "BB2.jpg\t5 3", line, "CC3.jpg\t")
    found = refusal(tree)
    assert str(tree / "train_mask.csv") in found and message in found


def test_images_without_a_line_and_lines_of_broken_images(tree, refusal):
    table(tree, "BB2.jpg\t5 3")
    assert "AA1.jpg has no line" in refusal(tree) and "CC3.jpg has no line" in refusal(tree)
    table(tree, "BB2.jpg\t5 3", "AA1.jpg\t1 2", "CC3.jpg\t")
    (tree / "train" / "AA1.jpg").write_text("no picture")
    assert "AA1.jpg: is not a picture" in refusal(tree)


@given(seed=st.integers(0, 2**32 - 1), part=st.floats(0, 1))
def test_what_is_written_is_read_again(tmp_path_factory, seed, part):
    root = tmp_path_factory.mktemp("tianchi")
    (root / "train").mkdir()
    rng = np.random.default_rng(seed)
    masks = {stem: (rng.random((3, 5)) < part).astype(np.uint8) for stem in "abc"}
    for stem in masks:
        Image.new("RGB", (5, 3)).save(root / "train" / f"{stem}.jpg")
    write_masks(root / "train_mask.csv", ((f"{stem}.jpg", mask) for stem, mask in masks.items()))
    training, validation = open_folder(root)
    read = [*(training[i][1] for i in range(2)), validation[0][1]]
    for found, expected in zip(read, masks.values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_submission_from_label_pictures(tmp_path, mask):
    """As predict leaves them: a folder of label maps."""
    mask(tmp_path / "a.png", 0, 1, 1)
    paths = sorted(tmp_path.glob("*.png"))
    write_masks(tmp_path / "submission.csv", ((f"{p.stem}.jpg", read_labels(p) == 1) for p in paths))
    name, runs = (tmp_path / "submission.csv").read_text().rstrip("\n").split("\t")
    assert name == "a.jpg"
    np.testing.assert_array_equal(decode(runs, 4, 6), read_labels(paths[0]))
