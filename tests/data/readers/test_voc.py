"""PASCAL VOC, with what SBD adds to it (the rest is in test_folder.py)."""

import pytest


@pytest.fixture
def tree(tmp_path, picture, mask):
    for i, stem in enumerate(("2007_1", "2008_1", "2009_1")):
        picture(tmp_path / "JPEGImages" / f"{stem}.jpg", i)
    for stem in ("2007_1", "2009_1"):
        mask(tmp_path / "SegmentationClass" / f"{stem}.png", 0, 15, 255)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_1\n")
    (lists / "val.txt").write_text("2009_1\n")
    return tmp_path


def test_the_images_of_sbd_are_learned_from_if_they_are_there(tree, mask, open_tree, refusal):
    assert open_tree(tree)[:2] == (["2007_1"], ["2009_1"])
    lists = tree / "ImageSets" / "Segmentation"
    (lists / "trainaug.txt").write_text("2007_1\n2008_1\n")
    assert open_tree(tree)[:2] == (["2007_1"], ["2009_1"]), "a list without its masks does not count"
    for stem in ("2007_1", "2008_1"):
        mask(tree / "SegmentationClassAug" / f"{stem}.png", 0, 7)
    names, held_out, training, validation = open_tree(tree)
    assert (names, held_out) == (["2007_1", "2008_1"], ["2009_1"])
    assert set(training[0][1].ravel()) == {0, 7} and set(validation[0][1].ravel()) == {0, 15, 255}
    (tree / "SegmentationClassAug" / "2008_1.png").unlink()
    assert "trainaug.txt" in refusal(tree) and "line 2: 2008_1 has no mask" in refusal(tree)
