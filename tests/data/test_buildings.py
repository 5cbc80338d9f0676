"""Toy buildings are rare, and their relief tells them, not their colour."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.buildings import LENGTHS, WIDTHS, Buildings, _Rectangle


@pytest.fixture(scope="module")
def buildings():
    return Buildings(12, seed=3)


def test_buildings_are_rare_but_in_every_picture(buildings):
    parts = [labels.mean() for labels in buildings.labels]
    assert buildings[0][0].shape == (512, 512, 3)
    assert min(parts) > 0
    assert 0.005 < np.mean(parts) < 0.05


def test_colour_does_not_tell_a_building(buildings):
    """The nearest of the two classes' mean colours is a bad guess: most of what it calls a building is none."""
    pixels, labels = buildings.images.reshape(-1, 3) / 255, buildings.labels.ravel()
    means = [pixels[labels == k].mean(axis=0) for k in (0, 1)]
    guess = np.linalg.norm(pixels - means[1], axis=1) < np.linalg.norm(pixels - means[0], axis=1)
    assert labels[guess].mean() < 0.3


def test_roofs_have_a_dark_side_or_a_shadow_beside_them(buildings):
    """Within fifteen pixels of a roof there is shadow; elsewhere there is little."""
    dark = (buildings.images.mean(axis=3) < 55).astype(float)
    near, far = [], []
    for i, labels in enumerate(buildings.labels):
        for y, x in np.random.default_rng(i).integers(20, 492, (400, 2)):
            around = slice(y - 15, y + 16), slice(x - 15, x + 16)
            (near if labels[y, x] else far).append(dark[i][around][buildings.labels[i][around] == 0].mean())
    assert np.mean(near) > 2.5 * np.mean(far)


@given(
    place=st.tuples(st.floats(-10, 50), st.floats(-10, 50)),
    angle=st.floats(0, math.pi),
    sides=st.tuples(st.floats(1, LENGTHS[1]), st.floats(1, WIDTHS[1])),
)
def test_a_rectangle_covers_what_lies_in_it(place, angle, sides):
    rectangle = _Rectangle(*place, angle, *sides)
    labels, image = np.zeros((40, 45), np.uint8), np.zeros((40, 45, 3))
    rectangle.mark(labels)
    rectangle.paint(image, lambda u, v, under: under + 1)
    y, x = np.mgrid[:40, :45]
    turned = ((x - place[1]) + 1j * (y - place[0])) * np.exp(-1j * angle)
    depth = np.minimum(sides[0] - abs(turned.real), sides[1] - abs(turned.imag))
    assert (labels[depth > 1e-9] == 1).all() and not labels[depth < -1e-9].any()
    np.testing.assert_allclose(image[..., 0], np.clip(depth + 0.5, 0, 1), atol=1e-9)
