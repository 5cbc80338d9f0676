"""Toy cells that touch, as under a fluorescence microscope: two classes, and which pixel belongs to which cell.

They grow in clumps. Between two touching cells runs a gap of ground, one to three pixels wide, that is hardly
darker than they are. A network that sees every cell but not the gaps has few wrong pixels, and far too few cells.
"""

import math
from typing import NamedTuple

import numpy as np

from minifcn.data.bicubic import bicubic_surface
from minifcn.data.border_weights import separated
from minifcn.data.drawn import Drawn, to_bytes

SMALLEST, LARGEST = 7.0, 12.0  # mean radius, in pixels
WAVES = (2, 3, 5)  # of an outline, which are together up to
WAVINESS = 0.25  # of the radius
CLUMPS = 1 / 2500  # in a pixel of the image
MOST_IN_CLUMP = 8
REACH = 1.5  # of a radius: so far a cell is looked for, to find the gap
OVERLAP = 0.75  # of the sum of two radii is their distance in a clump
GAP = 0.2  # of a radius, about, between two cells that would overlap
GAP_LIGHT = 0.8  # of the light of the cells around it
NOISE = 0.04  # standard deviation; light runs from 0 to 1


class Cell(NamedTuple):
    """Where one cell is, and how its outline goes. Lengths in pixels; pixel (0, 0) has its centre at (0, 0)."""

    y: float
    x: float
    radius: float
    waves: tuple[tuple[int, float, float], ...]  # (periods, part of the radius, phase)


class Cells(Drawn):
    """`count` images of clumps of cells, with labels 0 = ground, 1 = cell: a dataset with instances.

    See Drawn for the arguments.

    >>> cells = Cells(10)
    >>> image, labels = cells[3]
    >>> (labels == (cells.instances(3) > 0)).all()
    np.True_
    """

    class_names = ("ground", "cell")

    def __init__(self, count: int, size: int | tuple[int, int] = 128, seed: int = 0) -> None:
        super().__init__(count, size, seed)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        first, second, number = self._grow(rng)
        instances = _instances(first, second, number)
        return _photograph(rng, first, second, number), (instances > 0).astype(np.uint8)

    def instances(self, index: int) -> np.ndarray:
        """(H, W) int32: 0 is ground, each other number one cell."""
        return _instances(*self._grow(self.generator(range(self.count)[index])))

    def _grow(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """At each pixel the distance to the nearest and to the second nearest cell, and the nearest's number."""
        H, W = self.size
        first, second = np.full((2, H, W), 2 * REACH)
        number = np.zeros((H, W), np.int32)
        y, x = np.arange(H)[:, None], np.arange(W)[None, :]
        for k, cell in enumerate(_place(rng, H, W), 1):
            reach = REACH * (1 + WAVINESS) * cell.radius
            box = tuple(
                slice(max(0, int(at - reach)), max(0, int(at + reach) + 2)) for at in (cell.y, cell.x)
            )
            distance = _distance(cell, y[box[0]], x[:, box[1]])
            nearer = distance < first[box]
            second[box] = np.where(nearer, first[box], np.minimum(second[box], distance))
            first[box][nearer], number[box][nearer] = distance[nearer], k
        return first, second, number


def _place(rng: np.random.Generator, height: int, width: int) -> list[Cell]:
    """Clumps anywhere; in each, a cell grows beside one that is already there, as far from it as from no other."""
    cells: list[Cell] = []
    for _ in range(max(1, rng.poisson(CLUMPS * height * width))):
        clump: list[Cell] = []
        for _ in range(rng.integers(2, MOST_IN_CLUMP, endpoint=True)):
            radius = rng.uniform(SMALLEST, LARGEST)
            waves = tuple(
                (periods, rng.uniform(0, WAVINESS / len(WAVES)), rng.uniform(0, 2 * math.pi))
                for periods in WAVES
            )
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            if clump:
                mother, angle = clump[rng.integers(len(clump))], rng.uniform(0, 2 * math.pi)
                distance = OVERLAP * (radius + mother.radius)
                y, x = mother.y + distance * math.sin(angle), mother.x + distance * math.cos(angle)
            if all(math.hypot(y - o.y, x - o.x) > 0.7 * (radius + o.radius) for o in cells + clump):
                clump.append(Cell(y, x, radius, waves))
        cells += clump
    return cells


def _distance(cell: Cell, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """From the centre of the cell, in units of its radius in that direction: 1 on the outline."""
    down, right = y - cell.y, x - cell.x
    angle, outline = np.arctan2(down, right), np.full(1, cell.radius)
    for periods, part, phase in cell.waves:
        outline = outline + cell.radius * part * np.sin(periods * angle + phase)
    return np.hypot(down, right) / outline


def _instances(first: np.ndarray, second: np.ndarray, number: np.ndarray) -> np.ndarray:
    """A pixel is of the nearest cell if it lies in it, and not as near to another."""
    return separated(np.where((first < 1) & (second - first > GAP), number, 0).astype(np.int32))


def _photograph(
    rng: np.random.Generator, first: np.ndarray, second: np.ndarray, number: np.ndarray
) -> np.ndarray:
    """Cells shine, each in its own strength, less towards the outline; the ground glimmers; (H, W, 3) uint8."""
    H, W = first.shape
    strength = rng.uniform(0.4, 0.75, number.max() + 1)[number]
    light = strength * (0.45 + 0.55 * np.sqrt(1 - first.clip(0, 1) ** 2))
    light *= 1 - (1 - GAP_LIGHT) * np.clip(2 - (second - first) / GAP, 0, 1)
    # Across the outline the light falls within a tenth of the radius, about a pixel.
    light *= np.clip((1.05 - first) / 0.1, 0, 1)
    ground = 0.1 + 0.05 * bicubic_surface(rng.standard_normal((4, 4)), H, W)
    grain = 0.05 * bicubic_surface(rng.standard_normal((H // 3 + 2, W // 3 + 2)), H, W)
    light = (ground + light * (1 + 2 * grain))[..., None] * np.array([0.55, 1.0, 0.75])
    return to_bytes(light + NOISE * rng.standard_normal(light.shape))
