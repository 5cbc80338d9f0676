"""The published colours, and label PNGs that read back as they were written."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minifcn.data.images import read_labels
from minifcn.data.palette import VOC_CLASS_NAMES, voc_palette, write_label_png
from minifcn.errors import InputError

# The colours of the 21 classes as the PASCAL VOC development kit documents them.
PUBLISHED = [
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128),
    (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128),
    (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
]  # fmt: skip


def test_the_palette_is_the_published_one():
    palette = voc_palette()
    assert palette.dtype == np.uint8 and palette.shape == (256, 3)
    assert [tuple(colour) for colour in palette[:21].tolist()] == PUBLISHED
    assert palette[255].tolist() == [224, 224, 192]


def test_all_colours_differ():
    assert len(np.unique(voc_palette(), axis=0)) == 256


def test_class_names():
    assert len(VOC_CLASS_NAMES) == len(set(VOC_CLASS_NAMES)) == 21
    assert VOC_CLASS_NAMES[0] == "background"
    assert VOC_CLASS_NAMES[15] == "person"
    assert VOC_CLASS_NAMES[20] == "tvmonitor"


@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_labels_come_back_and_show_their_colours(tmp_path_factory, height, width, seed):
    labels = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    path = tmp_path_factory.mktemp("png") / "labels.png"
    write_label_png(path, labels)
    assert (read_labels(path) == labels).all()
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert (np.array(picture.convert("RGB")) == voc_palette()[labels]).all()


def test_a_view_is_written_like_its_copy(tmp_path):
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    write_label_png(tmp_path / "a.png", labels.T[::-1])
    assert (read_labels(tmp_path / "a.png") == labels.T[::-1]).all()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    old = np.full((2, 2), 7, np.uint8)
    write_label_png(tmp_path / "a.png", old)
    assert os.listdir(tmp_path) == ["a.png"]

    def full(self, file, format):
        file.write(b"half a pic")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match=r"a\.png: cannot write: No space left"):
        write_label_png(tmp_path / "a.png", old + 1)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a.png"]
    assert (read_labels(tmp_path / "a.png") == old).all()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.a\.png: cannot write: No such file"):
        write_label_png(tmp_path / "nowhere" / "a.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_label_png(tmp_path / "file" / "a.png", np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (np.zeros((2, 2), int), TypeError, "int64, expected uint8"),
        (np.zeros((2, 2, 3), np.uint8), ValueError, r"\(2, 2, 3\)"),
        (np.zeros((0, 2), np.uint8), ValueError, r"\(0, 2\)"),
    ],
)
def test_what_is_not_a_label_map_is_refused(tmp_path, labels, error, match):
    with pytest.raises(error, match=match):
        write_label_png(tmp_path / "a.png", labels)
