"""Images that hold their own coordinates show where every pixel went, and that its label went along."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.augment import AUGMENTATIONS, flip, jitter, mirror, random_crop, transpose

FILL = (250.4, 251.6, 252)
FILLED = [250, 252, 252]

sides = st.integers(1, 30)
seeds = st.integers(0, 2**31)


def located(height, width):
    """Pixel (y, x) is (y, x, y ^ x), its label a number of its own kind; none is 255 or the fill."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, y ^ x], axis=2).astype(np.uint8), ((7 * y + 3 * x) % 200).astype(np.uint8)


def check_shifted(before, after, height, width):
    """Every pixel is moved by one offset; what comes from outside is filled. Returns the offset, if any."""
    image, labels = after
    assert image.shape == (height, width, 3) and labels.shape == (height, width)
    assert image.dtype == labels.dtype == np.uint8
    filled = labels == 255
    assert (image[filled] == FILLED).all()
    y, x = np.nonzero(~filled)
    if not len(y):
        return None
    offsets = np.unique(image[y, x, :2].astype(int) - np.stack([y, x], 1), axis=0)
    assert len(offsets) == 1
    top, left = offsets[0].tolist()
    for y, x in np.ndindex(height, width):
        source = (y + top, x + left)
        inside = 0 <= source[0] < before[1].shape[0] and 0 <= source[1] < before[1].shape[1]
        assert filled[y, x] == (not inside)
        if inside:
            assert labels[y, x] == before[1][source] and (image[y, x] == before[0][source]).all()
    return top, left


@pytest.mark.parametrize(
    ("function", "change"),
    [
        (mirror, lambda a: a[:, ::-1]),
        (flip, lambda a: a[::-1]),
        (transpose, lambda a: a.swapaxes(0, 1)),
    ],
)
def test_half_of_the_images_are_changed_and_their_labels_alike(function, change):
    image, labels = located(5, 8)
    changed = 0
    for seed in range(400):
        new_image, new_labels = function(image, labels, np.random.default_rng(seed))
        if new_image.shape == image.shape and (new_image == image).all():
            assert (new_labels == labels).all()
        else:
            changed += 1
            assert (new_image == change(image)).all() and (new_labels == change(labels)).all()
    assert 160 < changed < 240


@given(height=sides, width=sides, pixels=st.integers(0, 40), seed=seeds)
def test_jitter_shifts_and_fills(height, width, pixels, seed):
    before = located(height, width)
    kept = before[0].copy(), before[1].copy()
    after = jitter(*before, np.random.default_rng(seed), FILL, pixels)
    offset = check_shifted(before, after, height, width)
    assert offset is None or max(map(abs, offset)) <= pixels
    assert (before[0] == kept[0]).all() and (before[1] == kept[1]).all()


def test_jitter_takes_every_shift_alike():
    before = located(6, 9)
    offsets = [
        check_shifted(before, jitter(*before, np.random.default_rng(seed), FILL, pixels=2), 6, 9)
        for seed in range(1000)
    ]
    found, counts = np.unique(offsets, axis=0, return_counts=True)
    assert len(found) == 25 and np.abs(found).max() == 2
    assert counts.min() > 15


def test_jitter_goes_up_to_32_pixels():
    before = located(80, 70)
    offsets = [jitter(*before, np.random.default_rng(seed), FILL)[1] for seed in range(300)]
    uncovered_rows = [int((labels == 255).all(axis=1).sum()) for labels in offsets]
    assert max(uncovered_rows) == 32


@given(height=sides, width=sides, size=sides, seed=seeds)
def test_crop_lies_in_the_image_or_the_image_in_the_crop(height, width, size, seed):
    before = located(height, width)
    after = random_crop(*before, size, np.random.default_rng(seed), FILL)
    check_shifted(before, after, size, size)
    assert (after[1] != 255).sum() == min(height, size) * min(width, size)


@pytest.mark.parametrize(("height", "width", "size"), [(6, 5, 4), (3, 2, 4), (4, 7, 5)])
def test_crop_takes_every_place(height, width, size):
    before = located(height, width)
    found = {
        check_shifted(before, random_crop(*before, size, np.random.default_rng(seed), FILL), size, size)
        for seed in range(300)
    }
    rows = range(min(0, height - size), max(0, height - size) + 1)
    columns = range(min(0, width - size), max(0, width - size) + 1)
    assert found == {(top, left) for top in rows for left in columns}


@pytest.mark.parametrize("name", ["mirror", "flip", "transpose", "jitter"])
def test_by_name_and_alike_for_the_same_generator(name):
    function = AUGMENTATIONS[name]
    assert function.__name__ == name
    before = located(9, 12)
    results = [function(*before, np.random.default_rng(seed), FILL) for seed in (3, 3)]
    assert (results[0][0] == results[1][0]).all() and (results[0][1] == results[1][1]).all()
    assert len(AUGMENTATIONS) == 4
