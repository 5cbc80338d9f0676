"""Cityscapes: label ids become train ids."""

import numpy as np
import pytest

from minifcn.data.readers.cityscapes import LABEL_IDS, TRAIN_IDS

FRAMES = {"train": ("aachen_000000_000019", "bochum_000000_000313"), "val": ("lindau_000000_000019",)}


@pytest.fixture
def tree(tmp_path, picture, mask):
    for split, frames in FRAMES.items():
        for frame in frames:
            city = frame.split("_")[0]
            picture(tmp_path / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png")
            fine = tmp_path / "gtFine" / split / city
            mask(fine / f"{frame}_gtFine_labelIds.png", 7, 33, 0, 24)
            picture(fine / f"{frame}_gtFine_color.png")
            (fine / f"{frame}_gtFine_polygons.json").touch()
    return tmp_path


def test_nineteen_classes():
    assert sorted(set(TRAIN_IDS.values())) == [*range(19), 255]
    known = {"road": (7, 0), "traffic light": (19, 6), "sky": (23, 10), "bus": (28, 15), "train": (31, 16)}
    assert {name: (LABEL_IDS[name], TRAIN_IDS[LABEL_IDS[name]]) for name in known} == known
    assert TRAIN_IDS[29] == TRAIN_IDS[30] == TRAIN_IDS[3] == TRAIN_IDS[255] == 255


def test_reads_frames_of_all_cities(tree, open_tree):
    names, held_out, training, _ = open_tree(tree)
    assert names == [f"{frame}_leftImg8bit" for frame in FRAMES["train"]]
    assert held_out == [f"{frame}_leftImg8bit" for frame in FRAMES["val"]]
    assert training[1][1].ravel()[:4].tolist() == [0, 18, 255, 11]
    assert training.class_names[18] == "bicycle"
    np.testing.assert_array_equal(np.flatnonzero(training.class_pixels), [0, 11, 18])


def test_what_is_missing_or_no_label_id_is_named(tree, mask, refusal):
    lindau = tree / "gtFine" / "val" / "lindau" / "lindau_000000_000019_gtFine_labelIds.png"
    mask(lindau, 7, 34, 200)
    assert f"{lindau}: labels 34, 200, expected label ids 0 to 33" in refusal(tree)
    lindau.unlink()
    assert "1 images without a mask" in refusal(tree) and "lindau_000000_000019_leftImg8bit" in refusal(tree)
