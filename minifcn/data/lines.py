"""Toy pictures of thin lines that branch, as vessels, cracks or roads from far above: two classes.

A line is one to three pixels wide and hardly darker than the ground. Broad bands, just as dark, are ground: the
width tells, not the colour.
"""

import math

import numpy as np

from minifcn.data.bicubic import bicubic_surface
from minifcn.data.drawn import Drawn, to_bytes

MOST_TREES = 3
WIDTHS = (1.2, 3.0)  # of a trunk, in pixels; a branch is thinner than what it branches from
THINNER = 0.75
THINNEST = 1.0
STEP = 0.5  # pixels from point to point
BEND = 0.06  # standard deviation of the turn at a step, in radians
BRANCHES = 1 / 60  # at a step
CONTRAST = (0.12, 0.25)  # by which a line or a band is darker; colours run from 0 to 1
NOISE = 0.03  # standard deviation


class Lines(Drawn):
    """`count` pictures of 1 to 3 branching lines, with labels 0 = ground, 1 = line: a dataset.

    See Drawn for the arguments.
    """

    class_names = ("ground", "line")

    def __init__(self, count: int, size: int | tuple[int, int] = 128, seed: int = 0) -> None:
        super().__init__(count, size, seed)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        H, W = self.size
        ground = rng.uniform(0.45, 0.85, 3)
        light = 0.06 * bicubic_surface(rng.standard_normal((5, 5)), H, W)
        light += 0.02 * bicubic_surface(rng.standard_normal((H // 2 + 2, W // 2 + 2)), H, W)
        for _ in range(rng.integers(1, 3)):
            light -= rng.uniform(*CONTRAST) * _band(rng, H, W)
        inside = np.full((H, W), -1.0)
        for _ in range(rng.integers(1, MOST_TREES, endpoint=True)):
            _grow(rng, inside)
        # The eye of a camera is round: light runs over by half a pixel. A label is where the middle lies inside.
        light -= rng.uniform(*CONTRAST) * np.clip(inside + 0.5, 0, 1)
        image = ground + light[..., None] + NOISE * rng.standard_normal((H, W, 3))
        return to_bytes(image), (inside > 0).astype(np.uint8)


def _grow(rng: np.random.Generator, inside: np.ndarray) -> None:
    """A trunk from one side of the picture, and its branches: `inside` becomes the depth in a line, in pixels."""
    H, W = inside.shape
    side, along = rng.integers(4), rng.uniform(0.1, 0.9)
    y, x, angle = (
        (0.0, along * W, math.pi / 2),
        (along * H, 0.0, 0.0),
        (H - 1.0, along * W, -math.pi / 2),
        (along * H, W - 1.0, math.pi),
    )[side]
    buds = [(y, x, angle + rng.uniform(-0.5, 0.5), rng.uniform(*WIDTHS))]
    while buds:
        y, x, angle, width = buds.pop()
        for _ in range(int(rng.uniform(0.5, 2.0) * math.hypot(H, W) * width / WIDTHS[1] / STEP)):
            if not (-width <= y < H + width and -width <= x < W + width):
                break
            _stamp(inside, y, x, width / 2)
            angle += rng.normal(0, BEND)
            y, x = y + STEP * math.sin(angle), x + STEP * math.cos(angle)
            if rng.random() < BRANCHES and width * THINNER >= THINNEST:
                turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.1)
                buds.append((y, x, angle + turn, width * THINNER))


def _stamp(inside: np.ndarray, y: float, x: float, radius: float) -> None:
    """A round spot."""
    rows = slice(max(0, int(y - radius - 1)), max(0, int(y + radius + 2)))
    columns = slice(max(0, int(x - radius - 1)), max(0, int(x + radius + 2)))
    part = inside[rows, columns]
    down = np.arange(rows.start, rows.start + part.shape[0])[:, None] - y
    right = np.arange(columns.start, columns.start + part.shape[1])[None, :] - x
    np.maximum(part, radius - np.hypot(down, right), out=part)


def _band(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A broad, wavy band across the picture, with sharp edges: 1 in it, 0 outside."""
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    angle, half = rng.uniform(0, math.pi), rng.uniform(0.05, 0.1) * min(height, width)
    distance = (x - rng.uniform(0, width)) * math.cos(angle) + (y - rng.uniform(0, height)) * math.sin(angle)
    distance = distance + 6 * bicubic_surface(rng.standard_normal((4, 4)), height, width)
    return np.clip(half - np.abs(distance) + 0.5, 0, 1)
