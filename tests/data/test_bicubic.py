"""Bicubic surfaces go through their knots and are smooth in between."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.bicubic import bicubic_surface, bicubic_weights


@given(size=st.integers(2, 50), knots=st.integers(2, 6))
def test_bicubic_interpolation(size, knots):
    weights = bicubic_weights(size, knots)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    dense = bicubic_weights((knots - 1) * size + 1, knots)
    np.testing.assert_allclose(dense[::size], np.eye(knots), atol=1e-12)  # through the knots
    inner = slice(size, (knots - 2) * size + 1)  # where no knot is missing: parabolas are met exactly
    places = np.linspace(0, knots - 1, len(dense))
    np.testing.assert_allclose((dense @ np.arange(knots) ** 2)[inner], places[inner] ** 2, atol=1e-9)


def test_known_values():
    np.testing.assert_allclose(bicubic_weights(7, 4)[3], np.array([-1, 9, 9, -1]) / 16)


@given(rows=st.integers(2, 5), columns=st.integers(2, 5), fine=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_surface_goes_through_its_grid(rows, columns, fine, seed):
    grid = np.random.default_rng(seed).standard_normal((rows, columns))
    surface = bicubic_surface(grid, (rows - 1) * fine + 1, (columns - 1) * fine + 1)
    np.testing.assert_allclose(surface[::fine, ::fine], grid, atol=1e-12)
    np.testing.assert_allclose(surface.T, bicubic_surface(grid.T, *surface.T.shape), atol=1e-12)
