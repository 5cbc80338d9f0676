"""Images that hold their own coordinates show where every pixel went, and that its label went along."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.augment import (
    AUGMENTATIONS,
    _sample,
    elastic,
    flip,
    jitter,
    mirror,
    random_crop,
    scale,
    transpose,
    turn,
)
from minifcn.data.border_weights import WEIGHTED_LABELS

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


def test_turns_by_every_quarter_alike():
    image, labels = located(5, 8)
    counts = [0] * 4
    for seed in range(400):
        new_image, new_labels = turn(image, labels, np.random.default_rng(seed))
        quarters = [k for k in range(4) if np.array_equal(np.rot90(image, k), new_image)]
        assert len(quarters) == 1 and (new_labels == np.rot90(labels, quarters[0])).all()
        counts[quarters[0]] += 1
    assert min(counts) > 70


@given(height=sides, width=sides, rows=sides, columns=sides, spread=st.floats(0, 20), seed=seeds)
def test_sampling_is_bilinear_for_colours_and_nearest_for_labels(height, width, rows, columns, spread, seed):
    """Pixel by pixel, with loops."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    labels = rng.integers(0, 200, (height, width), np.uint8)
    y, x = rng.uniform(-spread, [[height + spread], [width + spread]], (2, rows * columns)).reshape(
        2, rows, -1
    )
    y.flat[0], x.flat[0] = height - 0.75, -0.25  # beyond the middle of the last pixel, but on it
    new_image, new_labels = _sample(image, labels, y, x, FILL)
    for at in np.ndindex(y.shape):
        i, j = round(y[at]), round(x[at])
        if not (0 <= i < height and 0 <= j < width):
            assert new_labels[at] == 255 and new_image[at].tolist() == FILLED
            continue
        assert new_labels[at] == labels[i, j]
        v, u = min(max(y[at], 0), height - 1), min(max(x[at], 0), width - 1)
        colour = sum(
            max(0, 1 - abs(v - p)) * max(0, 1 - abs(u - q)) * image[p, q].astype(float)
            for p in range(max(0, i - 1), min(height, i + 2))
            for q in range(max(0, j - 1), min(width, j + 2))
        )
        np.testing.assert_allclose(new_image[at], colour, atol=0.51)


def check_near(before, after):
    """The image shows where each pixel comes from; its label comes from there, too. Returns those places."""
    (image, labels), (new_image, new_labels) = before, after
    assert new_image.shape == image.shape and new_labels.shape == labels.shape
    assert new_image.dtype == new_labels.dtype == np.uint8
    filled = new_labels == 255
    assert (new_image[filled] == FILLED).all()
    padded = np.pad(labels, 1, mode="edge")
    y, x = new_image[~filled, 0].astype(int), new_image[~filled, 1].astype(int)
    around = [padded[y + down, x + right] for down in range(3) for right in range(3)]
    assert (np.array(around) == new_labels[~filled]).any(axis=0).all()
    return new_image[..., :2].astype(float), filled


@pytest.mark.parametrize("function", [scale, elastic])
@given(height=sides, width=sides, seed=seeds)
def test_labels_go_with_their_colours(function, height, width, seed):
    before = located(height, width)
    kept = before[0].copy(), before[1].copy()
    check_near(before, function(*before, np.random.default_rng(seed), FILL))
    assert (before[0] == kept[0]).all() and (before[1] == kept[1]).all()


@given(height=sides, width=sides, seed=seeds)
def test_by_nothing_is_the_image_itself(height, width, seed):
    before = located(height, width)
    for after in (
        scale(*before, np.random.default_rng(seed), FILL, most=1.0),
        elastic(*before, np.random.default_rng(seed), FILL, sigma=0.0),
    ):
        assert (after[0] == before[0]).all() and (after[1] == before[1]).all()


def test_scales_between_half_and_double_as_often_up_as_down():
    before = located(60, 80)
    factors = []
    for seed in range(200):
        places, filled = check_near(before, scale(*before, np.random.default_rng(seed), FILL))
        rows, columns = (~filled).any(axis=1), (~filled).any(axis=0)
        y, x = places[rows][:, columns].transpose(2, 0, 1)
        steps = (y[-1, 0] - y[0, 0]) / (rows.sum() - 1), (x[0, -1] - x[0, 0]) / (columns.sum() - 1)
        assert abs(steps[0] - steps[1]) < 0.1, "both axes by the same factor"
        factors.append(1 / steps[1])
        assert filled.any() == (factors[-1] < 1) or abs(factors[-1] - 1) < 0.05
    assert 0.48 < min(factors) < 0.53 and 1.9 < max(factors) < 2.1
    assert 70 < sum(factor > 1 for factor in factors) < 130


def test_elastic_moves_the_centre_by_sigma():
    """At the knot in the middle: of zero mean, and down independent of right."""
    before = located(101, 101)
    moves = []
    for seed in range(200):
        places, filled = check_near(before, elastic(*before, np.random.default_rng(seed), FILL, sigma=10.0))
        if not filled[50, 50]:
            moves.append(places[50, 50] - 50)
    assert len(moves) == 200
    np.testing.assert_allclose(np.mean(moves, axis=0), 0, atol=2.5)
    np.testing.assert_allclose(np.std(moves, axis=0), 10, atol=1.7)
    assert abs(np.corrcoef(np.transpose(moves))[0, 1]) < 0.25


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_fields_of_labels_go_the_same_way(name):
    image, labels = located(40, 40)
    weighted = np.empty(labels.shape, WEIGHTED_LABELS)
    weighted["label"], weighted["weight"] = labels, labels / 2
    for seed in range(10):
        expected = AUGMENTATIONS[name](image, labels, np.random.default_rng(seed), FILL)
        found = AUGMENTATIONS[name](image, weighted, np.random.default_rng(seed), FILL)
        assert (found[0] == expected[0]).all() and (found[1]["label"] == expected[1]).all()
        inside = expected[1] != 255
        assert (found[1]["weight"][inside] == expected[1][inside] / 2).all()


@pytest.mark.parametrize("name", ["mirror", "flip", "transpose", "turn", "jitter", "scale", "elastic"])
def test_by_name_and_alike_for_the_same_generator(name):
    function = AUGMENTATIONS[name]
    assert function.__name__ == name
    before = located(9, 12)
    results = [function(*before, np.random.default_rng(seed), FILL) for seed in (3, 3)]
    assert (results[0][0] == results[1][0]).all() and (results[0][1] == results[1][1]).all()
    assert len(AUGMENTATIONS) == 7
