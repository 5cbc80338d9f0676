"""Toy pictures from above: buildings among fields, roads, trees and car parks. Two classes, one of them rare.

A roof may have the colour of a car park or of a field. What tells it apart is its relief: the two sides of its
ridge are lit differently, and it throws a shadow. The sun stands elsewhere in each picture.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minifcn.data.bicubic import bicubic_surface
from minifcn.data.drawn import Drawn, to_bytes

DENSITY = 1 / 16000  # buildings in a pixel of the image, at most; in some pictures there are few
LENGTHS, WIDTHS = (18, 46), (14, 30)  # of the sides of a roof, in pixels
ROOFS = np.array(
    [[0.55, 0.53, 0.52], [0.58, 0.35, 0.28], [0.72, 0.7, 0.66], [0.42, 0.33, 0.27], [0.4, 0.42, 0.46]]
)
FIELDS = np.array([[0.33, 0.43, 0.25], [0.46, 0.46, 0.29], [0.52, 0.43, 0.32], [0.26, 0.37, 0.22]])
ASPHALT, TREE = np.array([0.47, 0.46, 0.45]), np.array([0.16, 0.26, 0.14])
RELIEF = 0.13  # how much lighter the sunny side is, and darker the other
SHADOW = 0.45  # of the light is left in it
NOISE = 0.03  # standard deviation; colours run from 0 to 1


class Buildings(Drawn):
    """`count` pictures from above, with labels 0 = ground, 1 = building: a dataset.

    See Drawn for the arguments. One takes about a tenth of a second at 512 x 512.
    """

    class_names = ("ground", "building")

    def __init__(self, count: int, size: int | tuple[int, int] = 512, seed: int = 0) -> None:
        super().__init__(count, size, seed)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        H, W = self.size
        image = _ground(rng, H, W)
        labels = np.zeros((H, W), np.uint8)
        sun = rng.uniform(0, 2 * math.pi)
        most = max(2, round(DENSITY * H * W))
        for _ in range(rng.integers(0, most // 2, endpoint=True)):
            _car_park(rng, image)
        roofs = [_somewhere(rng, H, W) for _ in range(rng.integers(1, most, endpoint=True))]
        heights = rng.uniform(5, 12, len(roofs))
        for roof, height in zip(roofs, heights):
            shadow = roof._replace(y=roof.y - height * math.sin(sun), x=roof.x - height * math.cos(sun))
            shadow.paint(image, lambda u, v, under: under * SHADOW)
        for roof in roofs:
            _paint_roof(rng, image, roof, sun)
            roof.mark(labels)
        for _ in range(rng.poisson(H * W / 9000)):
            _tree(rng, image, labels, sun)
        image += NOISE * rng.standard_normal((H, W, 1)) + 0.4 * NOISE * rng.standard_normal((H, W, 3))
        return to_bytes(image), labels


class _Rectangle(NamedTuple):
    """A turned rectangle. Lengths in pixels; pixel (0, 0) has its centre at (0, 0)."""

    y: float
    x: float
    angle: float
    long: float  # half of its length
    wide: float  # half of its width

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """The part of the picture where it lies."""
        reach = math.hypot(self.long, self.wide) + 1
        return (
            slice(*np.clip((int(self.y - reach), int(self.y + reach) + 2), 0, height)),
            slice(*np.clip((int(self.x - reach), int(self.x + reach) + 2), 0, width)),
        )

    def along(self, box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """In the box: the coordinates along and across it from its middle, and the distance into it."""
        y, x = np.mgrid[box].astype(float)
        down, right = y - self.y, x - self.x
        u = right * math.cos(self.angle) + down * math.sin(self.angle)
        v = -right * math.sin(self.angle) + down * math.cos(self.angle)
        return u, v, np.minimum(self.long - np.abs(u), self.wide - np.abs(v))

    def paint(
        self, image: np.ndarray, colour: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    ) -> None:
        """Put `colour(u, v, what is there)` on the picture; pixels on the edge are mixed."""
        box = self.box(*image.shape[:2])
        u, v, inside = self.along(box)
        part = np.clip(inside + 0.5, 0, 1)[..., None]
        image[box] = part * colour(u, v, image[box]) + (1 - part) * image[box]

    def mark(self, labels: np.ndarray) -> None:
        """Label what it covers as a building."""
        box = self.box(*labels.shape)
        labels[box][self.along(box)[2] >= 0] = 1


def _somewhere(rng: np.random.Generator, height: int, width: int) -> _Rectangle:
    y, x, angle = rng.uniform(0, (height, width, math.pi))
    return _Rectangle(y, x, angle, rng.uniform(*LENGTHS) / 2, rng.uniform(*WIDTHS) / 2)


def _ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Fields, each with its colour and its furrows, and a road or two across."""
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    corners = rng.uniform(0, 1, (rng.integers(3, 8), 2)) * (height, width)
    field = np.argmin([(y - b) ** 2 + (x - a) ** 2 for b, a in corners], axis=0)
    colours = FIELDS[rng.integers(len(FIELDS), size=len(corners))] + rng.normal(0, 0.03, (len(corners), 3))
    image = colours[field]
    direction, period = rng.uniform(0, math.pi, len(corners)), rng.uniform(5, 14, len(corners))
    wave = (x * np.cos(direction)[field] + y * np.sin(direction)[field]) * (2 * math.pi / period)[field]
    image += (rng.uniform(0, 0.03, len(corners))[field] * np.sin(wave))[..., None]
    image += 0.05 * bicubic_surface(rng.standard_normal((9, 9)), height, width)[..., None]
    for _ in range(rng.integers(1, 3)):
        angle, half = rng.uniform(0, math.pi), rng.uniform(3, 8)
        distance = (x - rng.uniform(0, width)) * math.cos(angle) + (y - rng.uniform(0, height)) * math.sin(
            angle
        )
        distance = distance + 12 * bicubic_surface(rng.standard_normal((3, 3)), height, width)
        part = np.clip(half - np.abs(distance) + 0.5, 0, 1)[..., None]
        image = part * ASPHALT + (1 - part) * image
    return image


def _car_park(rng: np.random.Generator, image: np.ndarray) -> None:
    """Flat, with lines and no shadow: of the colour of a roof, and not one."""
    park = _somewhere(rng, *image.shape[:2])
    colour = ROOFS[rng.integers(len(ROOFS))] if rng.random() < 0.5 else ASPHALT
    lines = rng.uniform(5, 9)
    park.paint(image, lambda u, v, under: colour + 0.12 * (np.abs(u % lines - 1) < 0.5)[..., None])


def _paint_roof(rng: np.random.Generator, image: np.ndarray, roof: _Rectangle, sun: float) -> None:
    """Two sides that meet at a ridge; the one that faces the sun is lighter."""
    colour = ROOFS[rng.integers(len(ROOFS))] + rng.normal(0, 0.025, 3)
    relief = RELIEF * math.sin(sun - roof.angle)  # across the ridge, as the sun sees it
    tiles = rng.uniform(0, 0.03)

    def shade(u: np.ndarray, v: np.ndarray, under: np.ndarray) -> np.ndarray:
        light = 1 + relief * np.tanh(2 * v) + tiles * np.sin(2 * v) + 0.04 * np.sign(relief) * (np.abs(v) < 1)
        return colour * light[..., None]

    roof.paint(image, shade)


def _tree(rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, sun: float) -> None:
    """A round crown, lit from one side, where no roof is."""
    height, width = labels.shape
    y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 8)
    box = (
        slice(max(0, int(y - radius)), int(y + radius) + 2),
        slice(max(0, int(x - radius)), int(x + radius) + 2),
    )
    down, right = np.mgrid[box[0], box[1]][:, : height - box[0].start, : width - box[1].start]
    down, right = down - y, right - x
    part = np.clip(radius - np.hypot(down, right) + 0.5, 0, 1) * (labels[box] == 0)
    light = 1 + 0.5 * (down * math.sin(sun) + right * math.cos(sun)) / radius
    image[box] = part[..., None] * TREE * light[..., None] + (1 - part[..., None]) * image[box]
