"""The toy data keeps its promises: the same again, clear of each other, the class only in the outline."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.shapes import CLASS_NAMES, CONTRAST, LARGEST, SMALLEST, Shapes, draw

AREA = {1: math.pi, 2: 2.0, 3: 3 * math.sqrt(3) / 4}  # of a radius of 1
PERIMETER = {1: 2 * math.pi, 2: 4 * math.sqrt(2), 3: 3 * math.sqrt(3)}


@pytest.fixture(scope="module")
def shapes():
    return Shapes(400, seed=7)


def around(o, labels):
    """The pixels whose centre lies in the circle through the object's corners."""
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    return (y - o.y) ** 2 + (x - o.x) ** 2 <= (o.radius + 1e-3) ** 2


def components(labels):
    """The labels found in each set of object pixels that hang together by sides or corners."""
    left = set(map(tuple, np.argwhere(labels).tolist()))
    found = []
    while left:
        edge, seen = [left.pop()], set()
        while edge:
            y, x = edge.pop()
            seen.add(int(labels[y, x]))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(seen)
    return found


@given(
    count=st.integers(1, 5),
    more=st.integers(0, 5),
    size=st.one_of(st.integers(1, 40), st.tuples(st.integers(1, 40), st.integers(1, 40))),
    seed=st.integers(0, 2**31),
)
def test_a_longer_set_starts_with_the_shorter_one(count, more, size, seed):
    short, long = Shapes(count, size, seed), Shapes(count + more, size, seed)
    height, width = (size, size) if isinstance(size, int) else size
    assert (len(short), len(long)) == (count, count + more)
    for i in range(count):
        image, labels = short[i]
        assert image.shape == (height, width, 3) and labels.shape == (height, width)
        assert image.dtype == labels.dtype == np.uint8
        assert labels.max() < len(CLASS_NAMES)
        assert (long[i][0] == image).all() and (long[i][1] == labels).all()


def test_an_image_is_drawn_when_it_is_asked_for_and_kept(monkeypatch):
    drawn = []

    def noted(rng, objects, height, width):
        drawn.append(objects)
        return draw(rng, objects, height, width)

    monkeypatch.setattr("minifcn.data.shapes.draw", noted)
    shapes = Shapes(10, 16)
    assert shapes[9][0] is shapes[-1][0]
    assert drawn == [shapes.objects[9]]
    assert (shapes.images[9] == shapes[9][0]).all() and (shapes.labels[9] == shapes[9][1]).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 130), (130, 7), (2, 2)])
def test_odd_sizes(size):
    shapes = Shapes(30, size)
    assert shapes[29][0].shape == (*size, 3)
    assert len(np.unique(shapes.images)) > 20  # something is drawn
    assert shapes.labels.any()


def test_no_image_occurs_twice_under_any_seed():
    images = [image.tobytes() for seed in range(5) for image in Shapes(20, 16, seed).images]
    labels = [labels.tobytes() for seed in range(5) for labels in Shapes(20, 32, seed).labels]
    assert len(set(images)) == len(set(labels)) == 100


def test_one_to_three_objects_of_all_classes_in_equal_parts(shapes):
    objects = np.bincount([len(objects) for objects in shapes.objects], minlength=5)
    assert objects[0] == objects[4] == 0
    assert (objects[1:4] > 80).all()
    classes = np.bincount([o.label for objects in shapes.objects for o in objects])
    assert classes[0] == 0 and len(classes) == 4
    assert (np.abs(classes[1:] / classes.sum() - 1 / 3) < 0.06).all()


def test_the_labels_show_the_objects_apart_from_each_other(shapes):
    for i in range(100):
        found = components(shapes.labels[i])
        expected = sorted(o.label for o in shapes.objects[i])
        assert all(len(seen) == 1 for seen in found)
        assert sorted(label for seen in found for label in seen) == expected


def test_objects_lie_inside_the_image_and_have_the_area_of_their_kind(shapes):
    for i, objects in enumerate(shapes.objects):
        for o in objects:
            assert 64 * SMALLEST <= o.radius <= 64 * LARGEST
            assert o.radius <= o.y <= 64 - o.radius and o.radius <= o.x <= 64 - o.radius
            area = (shapes.labels[i][around(o, shapes.labels[i])] == o.label).sum()
            # A boundary through pixels rounds each of them at random.
            assert abs(area - AREA[o.label] * o.radius**2) < 2 * math.sqrt(PERIMETER[o.label] * o.radius)


def test_squares_and_triangles_are_turned_by_every_angle(shapes):
    """The pixel of an object furthest from its centre lies towards a corner: all directions occur."""
    for label, corners in ((2, 4), (3, 3)):
        directions = []
        for i, objects in enumerate(shapes.objects):
            for o in (o for o in objects if o.label == label):
                y, x = np.nonzero(around(o, shapes.labels[i]))
                inside = shapes.labels[i][y, x] == label
                y, x = y[inside] + 0.5 - o.y, x[inside] + 0.5 - o.x
                furthest = np.argmax(y**2 + x**2)
                directions.append(np.arctan2(y[furthest], x[furthest]) % (2 * np.pi / corners))
        histogram, _ = np.histogram(directions, 6, (0, 2 * np.pi / corners))
        assert (histogram > len(directions) / 6 / 2).all()


def test_objects_differ_in_colour_from_the_background(shapes):
    for i in range(len(shapes)):
        image, labels = shapes[i]
        ground = image[labels == 0].mean(0) / 255
        for o in shapes.objects[i]:
            colour = image[(labels == o.label) & around(o, labels)].mean(0) / 255
            # A wave need not be averaged over whole periods.
            assert np.abs(colour - ground).max() > CONTRAST - 0.08


def test_neither_colour_nor_contrast_nor_texture_tells_the_class(shapes):
    """A nearest-centroid classifier, fitted to one half of the objects, is near chance on the other."""
    features, classes = [], []
    for i in range(len(shapes)):
        image, labels = shapes[i]
        for o in shapes.objects[i]:
            pixels = image[(labels == o.label) & around(o, labels)] / 255
            ground = image[labels == 0].mean(0) / 255
            features.append([*pixels.mean(0), *(pixels.mean(0) - ground), *(5 * pixels.std(0))])
            classes.append(o.label)
    features, classes = np.array(features), np.array(classes)
    half = len(classes) // 2
    for part in (slice(0, 3), slice(3, 6), slice(6, 9), slice(0, 9)):
        x = features[:, part]
        centroids = np.stack([x[:half][classes[:half] == k].mean(0) for k in (1, 2, 3)])
        guesses = 1 + ((x[half:, None] - centroids) ** 2).sum(2).argmin(1)
        assert abs((guesses == classes[half:]).mean() - 1 / 3) < 0.09


def test_noise_and_texture_are_mild(shapes):
    """Per channel: noise 0.05 and a wave of amplitude 0.1 about one colour."""
    spread = [image[labels == 0].std(0) / 255 for image, labels in (shapes[i] for i in range(100))]
    assert np.mean(spread) == pytest.approx(math.hypot(0.05, 0.1 / math.sqrt(2)), rel=0.1)
    # Neighbours differ by the noise, and a little by the wave.
    steps = [np.diff(image.astype(float), axis=1).std() / 255 for image in shapes.images[:100]]
    assert np.median(steps) > 0.05


def test_is_a_dataset(shapes):
    assert shapes.class_names == ("background", "circle", "square", "triangle")
    assert len({shapes.name(i) for i in range(len(shapes))}) == len(shapes)
    assert (shapes[-1][0] == shapes[399][0]).all()
    with pytest.raises(IndexError):
        shapes[400]
    with pytest.raises(ValueError, match="read-only"):
        shapes[0][0][0, 0] = 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [((0,), "count = 0"), ((1, 0), "size = 0"), ((1, (3, 0)), r"size = \(3, 0\)"), ((1, 8, -1), "seed = -1")],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        Shapes(*arguments)
