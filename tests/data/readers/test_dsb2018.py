"""DSB2018: one file a cell becomes labels and instances."""

import numpy as np
import pytest

from minifcn.data import BorderWeighted
from minifcn.data.border_weights import WithInstances


def cell(*columns, size=(4, 9)):
    """White columns on black."""
    array = np.zeros(size, np.uint8)
    array[:, list(columns)] = 255
    return array


@pytest.fixture
def tree(tmp_path, picture, mask):
    for sample in ("a1", "b2", "c3"):
        folder = tmp_path / "stage1_train" / sample
        picture(folder / "images" / f"{sample}.png", size=(4, 9))
        for name, columns in (("0f", (0, 1)), ("1e", (2, 3)), ("9d", (6, 7))):
            mask(folder / "masks" / f"{name}.png", cell(*columns))
    (tmp_path / "stage1_train_labels.csv").touch()
    return tmp_path


@pytest.mark.parametrize("inner", ["", "stage1_train"])
def test_reads_cells(tree, open_tree, inner):
    names, held_out, training, _ = open_tree(tree / inner)
    assert (names, held_out) == (["a1", "b2"], ["c3"])
    assert isinstance(training, WithInstances) and training.class_names == ("ground", "cell")
    assert training.instances(0).tolist() == [[1, 1, 0, 2, 0, 0, 3, 3, 0]] * 4, (
        "cells that touch are separated"
    )
    np.testing.assert_array_equal(training[0][1], training.instances(0) > 0)
    weighted = BorderWeighted(training)[0][1]["weight"]
    assert weighted[0, 2] > 10 and weighted[0, 8] < weighted[0, 5]


def test_bad_masks_are_named(tree, mask, refusal):
    masks = tree / "stage1_train" / "b2" / "masks"
    mask(masks / "5a.png", cell(1, 5))
    assert f"{masks / '5a.png'}: 4 pixels are also in {masks / '0f.png'}" in refusal(tree)
    mask(masks / "5a.png", cell(5, size=(4, 8)))
    assert f"{masks / '5a.png'}: (4, 8) pixels, but {masks / '0f.png'}: (4, 9)" in refusal(tree)
    mask(masks / "5a.png", cell())
    assert f"{masks / '5a.png'}: no pixel is a cell's" in refusal(tree)
    (masks / "5a.png").write_text("no picture")
    assert "5a.png: is not a picture" in refusal(tree)


def test_what_is_missing_is_named(tree, refusal):
    sample = tree / "stage1_train" / "c3"
    for path in (sample / "masks").iterdir():
        path.unlink()
    assert f"{sample / 'masks'}: no pictures" in refusal(tree)
    (sample / "images" / "c3.png").rename(sample / "images" / "d4.png")
    assert f"{sample / 'images'}: expected c3.png, found d4" in refusal(tree)
