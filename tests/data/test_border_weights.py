"""The border weights against their plain definition over all pairs of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.border_weights import BorderWeighted, border_weights, separated


@st.composite
def instance_maps(draw, most=12):
    """Random rectangles, each a cell that covers what was there before; the numbers have gaps."""
    H, W = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    instances = np.zeros((H, W), draw(st.sampled_from([np.int32, np.uint8, np.uint16])))
    for number in rng.permutation(200)[: draw(st.integers(0, 5))]:
        top, left = rng.integers(0, (H, W))
        instances[top : top + rng.integers(1, 5), left : left + rng.integers(1, 5)] = number + 1
    return instances


def plain_weights(instances, class_weights, w0, sigma):
    weights = np.zeros(instances.shape)
    for at in np.ndindex(instances.shape):
        weights[at] = class_weights[int(instances[at] > 0)]
        cells = set(instances[instances > 0].tolist())
        distances = sorted(
            np.sqrt(((np.argwhere(instances == cell) - at) ** 2).sum(axis=1)).min() for cell in cells
        )
        if instances[at] == 0 and len(distances) > 1:
            weights[at] += w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return weights


@given(instance_maps(), st.tuples(st.floats(0, 3), st.floats(0, 3)), st.floats(0, 20), st.floats(0.3, 6))
def test_is_the_definition(instances, class_weights, w0, sigma):
    weights = border_weights(instances, class_weights, w0, sigma)
    assert weights.dtype == np.float32
    expected = plain_weights(instances, class_weights, w0, sigma)
    np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-9 * w0 + 1e-30)


@pytest.mark.parametrize(("gap", "term"), [(1, 9.231), (4, 6.065), (9, 1.353), (14, 0.111)])
def test_known_values(gap, term):
    """In the gap of n pixels between two long cells d1 + d2 is n + 1 everywhere."""
    instances = np.zeros((3, gap + 4), int)
    instances[:, :2], instances[:, -2:] = 1, 2
    weights = border_weights(instances)
    np.testing.assert_allclose(weights[:, 2:-2], 1 + term, atol=6e-4)
    assert (weights[:, [0, 1, -2, -1]] == 1).all()


@given(instance_maps(), st.integers(0, 2**32 - 1))
def test_the_numbers_of_the_cells_do_not_matter(instances, seed):
    numbers = np.random.default_rng(seed).permutation(np.arange(1, 500))
    renamed = np.where(instances > 0, numbers[instances], 0)
    np.testing.assert_array_equal(border_weights(renamed), border_weights(instances))


@given(instance_maps(), st.integers(0, 7))
def test_turning_the_map_turns_the_weights(instances, symmetry):
    def turned(a):
        return np.rot90(a.T if symmetry > 3 else a, symmetry % 4)

    np.testing.assert_array_equal(border_weights(turned(instances)), turned(border_weights(instances)))


@given(instance_maps())
def test_one_more_cell_makes_no_ground_weigh_less(instances):
    fewer = np.where(instances == instances.max(), 0, instances)
    ground = instances == 0
    assert (border_weights(instances)[ground] >= border_weights(fewer)[ground]).all()


def test_cells_too_far_to_matter_add_nothing_that_float32_sees():
    instances = np.zeros((1, 100), int)
    instances[0, [0, 80]] = 1, 2
    assert (border_weights(instances) == plain_weights(instances, (1, 1), 10, 5).astype(np.float32)).all()


@given(instance_maps())
def test_separated_cells_do_not_touch_and_lose_only_their_rim(instances):
    apart = separated(instances)
    assert apart.dtype == instances.dtype
    lost = apart != instances
    assert not apart[lost].any()
    for y, x in np.ndindex(instances.shape):
        window = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)
        if apart[y, x]:
            assert set(apart[window].ravel().tolist()) <= {0, int(apart[y, x])}
        if lost[y, x]:
            assert len(set(instances[window].ravel().tolist()) - {0}) > 1
    np.testing.assert_array_equal(separated(apart), apart)


@pytest.mark.parametrize(
    ("instances", "options", "error", "message"),
    [
        (np.zeros((2, 2, 1), int), {}, ValueError, r"\(H, W\).*found \(2, 2, 1\)"),
        (np.zeros((0, 2), int), {}, ValueError, r"found \(0, 2\)"),
        (np.zeros((2, 2)), {}, TypeError, "found float64"),
        (np.full((2, 2), -3), {}, TypeError, "found int64 from -3"),
        (np.zeros((2, 2), int), {"sigma": 0}, ValueError, r"sigma = 0"),
        (np.zeros((2, 2), int), {"w0": -1}, ValueError, r"w0 = -1"),
    ],
)
def test_bad_input(instances, options, error, message):
    with pytest.raises(error, match=message):
        border_weights(instances, **options)


class TwoCells:
    """Image i has cells i pixels apart."""

    class_names = ("ground", "cell")

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return np.full((2, 9, 3), index, np.uint8), (TwoCells.instances(self, index) > 0).astype(np.uint8)

    def name(self, index):
        return f"cells{index}"

    def instances(self, index):
        self.asked.append(index)
        return np.int32([[1, 1] + [0] * index + [2] * (7 - index)] * 2)


def test_a_dataset_with_weights_computes_each_image_once():
    cells = TwoCells()
    weighted = BorderWeighted(cells, (0.5, 2.0))
    assert len(weighted) == 3 and weighted.name(2) == "cells2" and weighted.class_names == cells.class_names
    for index in (2, 0, 2):
        image, labels = weighted[index]
        assert (image == index).all()
        np.testing.assert_array_equal(labels["label"], cells[index][1])
        expected = border_weights(TwoCells().instances(index), (0.5, 2.0))
        np.testing.assert_array_equal(labels["weight"], expected)
    cells.asked.clear()
    for index in (0, 2):
        weighted[index]
    assert cells.asked == [0, 2], "asked for the labels, no more for the weights"
