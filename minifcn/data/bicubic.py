"""Smooth surfaces through a few numbers on a grid: displacements, shades, clouds."""

import math

import numpy as np


def bicubic_surface(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """The grid (rows, columns) spread over `height` x `width` pixels, from corner to corner, bicubic in between."""
    down, right = bicubic_weights(height, grid.shape[0]), bicubic_weights(width, grid.shape[1])
    return np.einsum("yj,xj->yx", np.einsum("yi,ij->yj", down, grid), right)


def bicubic_weights(size: int, knots: int) -> np.ndarray:
    """(size, knots): how much each knot counts at each pixel, from the first knot to the last.

    Keys' cubic convolution with a = -1/2 (1981, equation 8). Beyond the ends the last knot is repeated.
    """
    weights = np.zeros((size, knots))
    for pixel, place in enumerate(np.linspace(0, knots - 1, size)):
        for knot in range(math.floor(place) - 1, math.floor(place) + 3):
            t = abs(place - knot)
            near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
            weights[pixel, min(max(knot, 0), knots - 1)] += near if t <= 1 else far if t < 2 else 0
    return weights
