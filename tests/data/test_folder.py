"""Good folders open as they are meant; bad ones are refused with the names of the files and what to do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minifcn.data import open_folder
from minifcn.data.palette import VOC_CLASS_NAMES, write_label_png
from minifcn.errors import InputError


def picture(path, value, size=(4, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def mask(path, *values, size=(4, 6)):
    """A mask whose pixels are the values in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_label_png(path, np.resize(np.array(values, np.uint8), size))


def plain(root, stems, labels=(0, 1)):
    """images/ and masks/; image i shows the grey value i."""
    for i, stem in enumerate(stems):
        picture(root / "images" / f"{stem}.png", i)
        mask(root / "masks" / f"{stem}.png", *labels)
    return root


def voc(root, training, validation, labels=(0, 15, 255)):
    for i, stem in enumerate([*training, *validation]):
        picture(root / "JPEGImages" / f"{stem}.jpg", i)
        mask(root / "SegmentationClass" / f"{stem}.png", *labels)
    splits = root / "ImageSets" / "Segmentation"
    splits.mkdir(parents=True)
    (splits / "train.txt").write_text("\n".join(training) + "\n")
    (splits / "val.txt").write_text("\n".join(validation) + "\n")
    return root


def names(dataset):
    return [dataset.name(i) for i in range(len(dataset))]


def refusal(root):
    with pytest.raises(InputError) as error:
        open_folder(root)
    return str(error.value)


# Layouts and splits


def test_voc(tmp_path):
    root = voc(tmp_path, ["2007_1", "2007_0"], ["2008_5"])
    picture(root / "JPEGImages" / "unlabelled.jpg", 0)  # VOC has many of these
    mask(root / "SegmentationClass" / "unsplit.png", 99)
    training, validation = open_folder(root)
    assert (names(training), names(validation)) == (["2007_1", "2007_0"], ["2008_5"])
    assert training.class_names == validation.class_names == VOC_CLASS_NAMES
    image, labels = training[1]
    assert image.shape == (4, 6, 3) and labels.shape == (4, 6)
    assert image.dtype == labels.dtype == np.uint8
    assert image.max() == 1
    assert labels.ravel().tolist() == [0, 15, 255] * 8
    expected = np.zeros(21, np.int64)
    expected[[0, 15]] = 8
    assert (validation.class_pixels == expected).all() and (training.class_pixels == 2 * expected).all()
    assert training.class_pixels.dtype == np.int64


@given(n=st.integers(2, 30))
def test_without_split_files_every_fifth_image_is_for_validation(tmp_path_factory, n):
    stems = [f"{i:02d}" for i in range(n)]
    training, validation = open_folder(plain(tmp_path_factory.mktemp("plain"), reversed(stems)))
    expected = [i for i in range(n) if i % 5 == 4] or [n - 1]
    assert names(validation) == [stems[i] for i in expected]
    assert names(training) == [stem for i, stem in enumerate(stems) if i not in expected]


def test_split_files_in_the_root(tmp_path):
    root = plain(tmp_path, "abcd")
    (root / "train.txt").write_text("\ufeffc\r\n\r\n a \n", encoding="utf-8")
    (root / "val.txt").write_text("b\nc", encoding="utf-8")
    training, validation = open_folder(root)
    assert (names(training), names(validation)) == (["c", "a"], ["b", "c"])
    assert training[0][0].max() == 2 and validation[0][0].max() == 1


def test_one_image_for_both_sets(tmp_path):
    root = plain(tmp_path, ["only"])
    message = refusal(root)
    assert "only into both train.txt and val.txt" in message
    for name in ("train.txt", "val.txt"):
        (root / name).write_text("only")
    training, validation = open_folder(str(root))
    assert names(training) == names(validation) == ["only"]


def test_any_extension_and_only_pictures_count(tmp_path):
    for name in ("a.JPG", "b.bmp", "c.v2.Tiff"):
        picture(tmp_path / "images" / name, 50)
    for name in ("a.PNG", "b.png", "c.v2.png"):
        mask(tmp_path / "masks" / name, 0, 1)
    for name in ("images/._a.png", "masks/._b.png", "images/.DS_Store", "masks/notes.txt"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "images" / "old.png").mkdir()
    training, validation = open_folder(tmp_path)
    assert (names(training), names(validation)) == (["a", "b"], ["c.v2"])


def test_class_names(tmp_path):
    root = plain(tmp_path / "plain", "abc", [0, 0, 2, 255])
    training, validation = open_folder(root)
    assert training.class_names == validation.class_names == ("class 0", "class 1", "class 2")
    assert training.class_pixels.tolist() == [24, 0, 12] and validation.class_pixels.tolist() == [12, 0, 6]
    (root / "classes.txt").write_text("ground\nwater\nhaus am fluß\nsky\n\n", encoding="utf-8")
    training, _ = open_folder(root)
    assert training.class_names == ("ground", "water", "haus am fluß", "sky")
    assert training.class_pixels.tolist() == [24, 0, 12, 0]

    root = voc(tmp_path / "voc", "a", "b", [0, 1])
    (root / "classes.txt").write_text("cell\nwall")
    assert open_folder(root)[0].class_names == ("cell", "wall")


def test_the_largest_label_may_be_in_one_set_only(tmp_path):
    root = plain(tmp_path, "abc")
    mask(root / "masks" / "c.png", 3)
    training, validation = open_folder(root)
    assert training.class_names == validation.class_names and len(training.class_names) == 4
    assert training.class_pixels.tolist() == [24, 24, 0, 0]
    assert validation.class_pixels.tolist() == [0, 0, 0, 24]


def test_a_turned_photograph_is_compared_upright(tmp_path):
    root = plain(tmp_path, "ab")
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "images" / "a.png").unlink()
    Image.new("RGB", (4, 6)).save(root / "images" / "a.jpg", exif=exif)
    training, _ = open_folder(root)
    assert training[0][0].shape == (4, 6, 3)


def test_indices_beyond_the_end(tmp_path):
    training, _ = open_folder(plain(tmp_path, "abc"))
    with pytest.raises(IndexError):
        training[2]
    assert len(list(training)) == 2


# What is refused


def test_folders_without_a_layout(tmp_path):
    assert "no such folder" in refusal(tmp_path / "missing")
    (tmp_path / "file").touch()
    assert "is a file" in refusal(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "empty folder" in refusal(tmp_path / "empty")
    (tmp_path / "other" / "images").mkdir(parents=True)
    (tmp_path / "other" / "labels.csv").touch()
    message = refusal(tmp_path / "other")
    for name in ("images/ and masks/", "JPEGImages/ and SegmentationClass/", "found images/, labels.csv"):
        assert name in message
    (tmp_path / "other" / "masks").mkdir()
    assert "other/images: no pictures" in refusal(tmp_path / "other").replace("\\", "/")


def test_images_and_masks_without_partners_are_listed(tmp_path):
    root = plain(tmp_path, "ab")
    for i in range(13):
        picture(root / "images" / f"lonely{i:02d}.png", 0)
    mask(root / "masks" / "widow.png", 1)
    message = refusal(root)
    assert "13 images without a mask" in message and "1 masks without an image" in message
    assert all(f"lonely{i:02d}.png" in message for i in range(10))
    assert "lonely10" not in message and "and 3 more" in message
    assert "widow.png" in message and "a.png" not in message


def test_split_files_that_name_what_is_not_there(tmp_path):
    root = voc(tmp_path, ["a", "b"], ["c"])
    splits = root / "ImageSets" / "Segmentation"
    (root / "SegmentationClass" / "b.png").unlink()
    (splits / "train.txt").write_text("a\n\nb\nghost\na\n")
    message = refusal(root)
    assert str(splits / "train.txt") in message
    assert "line 3: b has no mask" in message
    assert "line 4: ghost does not exist" in message
    assert "line 5: a is named in line 1 already" in message
    (splits / "train.txt").write_text("a\n")
    (splits / "val.txt").write_text("\n \n")
    assert f"{splits / 'val.txt'}: names no images" in refusal(root)
    (splits / "val.txt").unlink()
    assert f"{splits / 'val.txt'}: no such file" in refusal(root)
    (root / "JPEGImages" / "a.jpg").unlink()
    assert "line 1: a has no image" in refusal(root)


@pytest.mark.parametrize("name", ["train.txt", "val.txt"])
def test_one_split_file_is_not_enough(tmp_path, name):
    root = plain(tmp_path, "abc")
    (root / name).write_text("a\n")
    assert "needs both its training and its validation file" in refusal(root)


def test_split_files_that_are_no_text(tmp_path):
    root = plain(tmp_path, "abc")
    (root / "train.txt").write_bytes(b"a\n\xff\xfe")
    (root / "val.txt").write_text("b")
    assert f"{root / 'train.txt'}: is not UTF-8 text" in refusal(root)
    (root / "train.txt").unlink()
    (root / "train.txt").mkdir()
    assert f"{root / 'train.txt'}: cannot be read" in refusal(root)


def test_equal_stems(tmp_path):
    root = plain(tmp_path, "abc")
    picture(root / "images" / "b.bmp", 0)
    message = refusal(root)
    assert "equal stem" in message and "b.bmp and b.png" in message and str(root / "images") in message


def test_sizes_that_differ(tmp_path):
    root = plain(tmp_path, "abc")
    mask(root / "masks" / "b.png", 1, size=(6, 4))
    message = refusal(root)
    assert f"{root / 'masks' / 'b.png'}: 6 x 4 pixels, but {root / 'images' / 'b.png'}: 4 x 6" in message
    assert "a.png" not in message and "c.png" not in message


def test_labels_that_are_no_class(tmp_path):
    root = voc(tmp_path, ["a", "b"], ["c"])
    mask(root / "SegmentationClass" / "b.png", 0, 20, 21, 21, 254, 255)
    message = refusal(root)
    assert f"{root / 'SegmentationClass' / 'b.png'}: labels 21 (8 pixels), 254 (4 pixels)" in message
    assert "expected 0 to 20, or 255" in message
    (root / "classes.txt").write_text("\n".join(f"class {k}" for k in range(255)))
    assert len(open_folder(root)[0].class_names) == 255


def test_files_that_cannot_be_read_are_collected_with_other_faults(tmp_path):
    stems = [f"{i:02d}" for i in range(16)]
    root = plain(tmp_path, stems)
    (root / "classes.txt").write_text("ground\nthing")
    for stem in stems[:12]:
        (root / "masks" / f"{stem}.png").write_text("no picture")
    assert refusal(root).count("is not a picture") == 10
    assert "and 2 more" in refusal(root)
    for stem in stems[3:12]:
        mask(root / "masks" / f"{stem}.png", 0, 1)
    (root / "masks" / "01.png").unlink()
    picture(root / "masks" / "01.png", 3)
    mask(root / "masks" / "02.png", 7)
    (root / "images" / "15.png").write_text("no picture")
    message = refusal(root)
    for fault in ("00.png: is not a", "01.png: colour pictures", "02.png: labels 7", "15.png: is not a"):
        assert fault in message
    assert "03.png" not in message and "more" not in message


def test_masks_of_0_and_255_are_explained(tmp_path):
    root = plain(tmp_path / "plain", "abc", [0, 255])
    message = refusal(root)
    assert "255 means ignore" in message and "write 1 instead of 255" in message
    mask(root / "masks" / "b.png", 0, 1, 255)
    assert len(open_folder(root)[0].class_names) == 2
    assert "write 1 instead of 255" in refusal(voc(tmp_path / "voc", "a", "b", [0, 255]))


def test_nothing_but_ignored_pixels(tmp_path):
    assert "all pixels of all masks are 255" in refusal(plain(tmp_path, "abc", [255]))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("\n\n", "names no classes"),
        ("sky\n\nsea", "line 2 is empty"),
        ("\n".join("x" * 256), "names 256 classes, expected at most 255"),
    ],
)
def test_class_files_that_name_no_classes(tmp_path, text, match):
    root = plain(tmp_path, "abc")
    (root / "classes.txt").write_text(text)
    message = refusal(root)
    assert match in message and str(root / "classes.txt") in message
