"""CamVid: label 11 does not count."""

import pytest


@pytest.fixture
def tree(tmp_path, picture, mask):
    for split in ("train", "val", "test"):
        for i in range(2):
            picture(tmp_path / split / f"{split}_{i}.png", i)
            mask(tmp_path / f"{split}annot" / f"{split}_{i}.png", 0, 10, 11)
    return tmp_path


def test_reads_training_and_validation(tree, open_tree):
    names, held_out, training, _ = open_tree(tree)
    assert (names, held_out) == (["train_0", "train_1"], ["val_0", "val_1"])
    assert training[0][1].ravel()[:3].tolist() == [0, 10, 255]
    assert training.class_names[0] == "sky" and training.class_names[10] == "bicyclist"
    assert len(training.class_names) == 11


def test_what_is_missing_or_no_class_is_named(tree, mask, picture, refusal):
    bad = tree / "trainannot" / "train_0.png"
    mask(bad, 0, 12)
    mask(tree / "valannot" / "val_0.png", 1, size=(6, 4))
    message = refusal(tree)
    assert f"{bad}: labels 12, expected 0 to 11" in message
    assert "val_0.png: 6 x 4 pixels" in message
    bad.unlink()
    assert "1 images without a mask" in refusal(tree) and "train_0.png" in refusal(tree)
