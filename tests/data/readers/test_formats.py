"""Layouts are found out by looking, or asked for by name."""

import pytest

from minifcn.data.readers import FORMATS


def test_all_layouts_are_named_when_none_is_found(tmp_path, refusal):
    (tmp_path / "labels.csv").touch()
    message = refusal(tmp_path)
    assert "found labels.csv" in message
    assert all(reader.LAYOUT in message for reader in FORMATS.values())


@pytest.mark.parametrize("format", FORMATS)
def test_a_layout_that_is_asked_for_is_the_only_one_looked_for(tmp_path, refusal, format):
    (tmp_path / "pictures").mkdir()
    message = refusal(tmp_path, format)
    assert "found pictures/" in message and FORMATS[format].LAYOUT in message
    assert sum(reader.LAYOUT in message for reader in FORMATS.values()) == 1


def test_a_format_that_is_none(tmp_path, refusal):
    assert "format is 'coco'; expected one of plain, voc" in refusal(tmp_path, "coco")


def test_every_layout_is_told_from_the_others(tmp_path):
    folders = {
        "plain": ["images", "masks"],
        "voc": ["JPEGImages", "SegmentationClass"],
        "sbd": ["img", "cls"],
        "cityscapes": ["leftImg8bit", "gtFine"],
        "camvid": ["train", "trainannot", "val", "valannot"],
        "ade20k": ["images/training", "annotations/training"],
        "pet": ["images", "annotations/trimaps"],
        "dsb2018": ["stage1_train/a/images", "stage1_train/a/masks"],
        "tianchi": ["train", "test_a"],
    }
    assert folders.keys() == FORMATS.keys()
    for name, parts in folders.items():
        for part in parts:
            (tmp_path / name / part).mkdir(parents=True)
    (tmp_path / "tianchi" / "train_mask.csv").touch()
    for name in folders:
        assert [other for other in FORMATS if FORMATS[other].recognises(tmp_path / name)] == [name]


def test_images_in_one_layout_and_the_other(tmp_path, open_tree, picture, mask):
    """A folder in two layouts at once: the name decides."""
    for folder, ending in (("images", "png"), ("JPEGImages", "jpg")):
        for i, stem in enumerate("ab"):
            picture(tmp_path / folder / f"{stem}.{ending}", i)
    for folder, label in (("masks", 1), ("SegmentationClass", 2)):
        for stem in "ab":
            mask(tmp_path / folder / f"{stem}.png", 0, label)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b")
    (lists / "val.txt").write_text("a")
    assert open_tree(tmp_path)[:2] == open_tree(tmp_path, "plain")[:2] == (["a"], ["b"])
    assert open_tree(tmp_path, "voc")[:2] == (["b"], ["a"])
