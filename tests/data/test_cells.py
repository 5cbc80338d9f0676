"""Toy cells touch, and are told apart by narrow gaps alone."""

import numpy as np
import pytest

from minifcn.data.border_weights import WithInstances, border_weights
from minifcn.data.cells import LARGEST, WAVINESS, Cells


@pytest.fixture(scope="module")
def cells():
    return Cells(30, seed=3)


def shifted(a, down, right):
    """a[y + down, x + right], and 0 beyond the border."""
    H, W = a.shape
    return np.pad(a, 2)[2 + down : 2 + down + H, 2 + right : 2 + right + W]


AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def test_labels_are_the_instances_and_no_two_touch(cells):
    assert isinstance(cells, WithInstances)
    for i in range(len(cells)):
        instances, labels = cells.instances(i), cells[i][1]
        assert instances.dtype == np.int32
        np.testing.assert_array_equal(labels, instances > 0)
        for down, right in AROUND:
            other = shifted(instances, down, right)
            assert not ((instances > 0) & (other > 0) & (other != instances)).any()


def test_instances_are_of_the_size_of_cells(cells):
    areas = np.concatenate([np.bincount(cells.instances(i).ravel())[1:] for i in range(len(cells))])
    areas = areas[areas > 0]
    assert len(areas) > 10 * len(cells)
    assert areas.max() < np.pi * ((1 + WAVINESS) * LARGEST) ** 2
    assert 60 < np.median(areas) < 350


def test_most_cells_have_a_close_neighbour(cells):
    """Two steps from their outline another cell begins; there the border weights are high, at few pixels."""
    close = total = 0
    for i in range(len(cells)):
        instances = cells.instances(i)
        near = {
            int(k)
            for down in range(-2, 3)
            for right in range(-2, 3)
            for k in np.unique(
                instances[
                    (shifted(instances, down, right) > 0) & (shifted(instances, down, right) != instances)
                ]
            )
        } - {0}
        close, total = close + len(near), total + len(np.unique(instances)) - 1
        if near:
            assert border_weights(instances).max() > 9
    assert close / total > 0.7
    heavy = np.mean([(border_weights(cells.instances(i)) > 8).mean() for i in range(len(cells))])
    assert 0.005 < heavy < 0.05, "the gaps are a few of a hundred pixels"


def test_gaps_look_much_more_like_cells_than_like_ground(cells):
    light = {"cell": [], "gap": [], "ground": []}
    for i in range(len(cells)):
        image, labels = cells[i]
        gap = (labels == 0) & (border_weights(cells.instances(i)) > 9)
        far = (labels == 0) & (border_weights(cells.instances(i)) < 1.5)
        for name, mask in (("cell", labels == 1), ("gap", gap), ("ground", far)):
            light[name] += image[mask, 1].tolist()
    cell, gap, ground = (np.mean(light[name]) for name in ("cell", "gap", "ground"))
    assert ground < 0.5 * gap < gap < 0.9 * cell
