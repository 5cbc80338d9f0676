"""Toy data that a small network learns in a minute: circles, squares and triangles on a plain ground.

The colour of an object says nothing about its class, nor does its texture: only the outline does.
"""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minifcn.data.drawn import Drawn, to_bytes

CLASS_NAMES = ("background", "circle", "square", "triangle")
CORNERS = {2: 4, 3: 3}  # of the labels that are regular polygons

SMALLEST, LARGEST = 0.18, 0.32  # radius, as a part of the image's shorter side
MOST_OBJECTS = 3
GAP = 2  # pixels between two objects, so that not even corners touch
TRIES = 25  # places looked at for an object before all are laid out anew
LAYOUTS = 25  # of them before fewer objects will do
CONTRAST = 0.35  # of an object to the background, in at least one channel; colours run from 0 to 1
TEXTURE = 0.1  # amplitude of a sinusoidal brightness wave
NOISE = 0.05  # standard deviation


class Object(NamedTuple):
    """Where one object is. Lengths in pixels; pixel (0, 0) is the unit square whose centre is (0.5, 0.5)."""

    label: int  # 1 circle, 2 square, 3 triangle
    y: float
    x: float
    radius: float  # of the circle through the corners
    angle: float  # of one corner, in radians


class Shapes(Drawn):
    """`count` images of 1 to 3 objects that do not overlap, with their labels: a dataset.

    See Drawn for the arguments. An image takes less than half a millisecond at 64 x 64. `objects` is what is in
    each image.

    >>> image, labels = Shapes(10, size=64)[3]
    >>> image.shape, labels.shape
    ((64, 64, 3), (64, 64))
    """

    class_names = CLASS_NAMES

    def __init__(self, count: int, size: int | tuple[int, int] = 64, seed: int = 0) -> None:
        super().__init__(count, size, seed)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return draw(rng, place(rng, *self.size), *self.size)

    @cached_property
    def objects(self) -> list[list[Object]]:
        return [place(self.generator(i), *self.size) for i in range(self.count)]


def place(rng: np.random.Generator, height: int, width: int) -> list[Object]:
    """Choose 1 to 3 objects, wholly inside the image; fewer than chosen only if no room is found for them."""
    count = rng.integers(1, MOST_OBJECTS + 1)
    for _ in range(LAYOUTS):
        objects: list[Object] = []
        while len(objects) < count and (found := _free_place(rng, objects, height, width)):
            objects.append(found)
        if len(objects) == count:
            break
    return objects


def _free_place(rng: np.random.Generator, objects: list[Object], height: int, width: int) -> Object | None:
    """A random object that keeps away from the others, or None if none is found in TRIES tries."""
    side = min(height, width)
    label = int(rng.integers(1, len(CLASS_NAMES)))
    angle = 2 * math.pi * rng.random()
    for size, down, right in rng.random((TRIES, 3)).tolist():
        radius = side * (SMALLEST + (LARGEST - SMALLEST) * size)
        y = radius + (height - 2 * radius) * down
        x = radius + (width - 2 * radius) * right
        for o in objects:
            if math.hypot(y - o.y, x - o.x) < radius + o.radius + GAP:
                break
        else:
            return Object(label, y, x, radius, angle)
    return None


def draw(
    rng: np.random.Generator, objects: list[Object], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the objects: image (H, W, 3) uint8 and labels (H, W) uint8."""
    rows = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    columns = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5)
    period = min(height, width)

    ground = _colour(rng)
    image = _painted(ground, _texture(rng, rows, columns, period))
    labels = np.zeros((height, width), np.uint8)
    for o in objects:
        box = (
            slice(int(o.y - o.radius), math.ceil(o.y + o.radius)),
            slice(int(o.x - o.radius), math.ceil(o.x + o.radius)),
        )
        y, x = rows[box[0]], columns[:, box[1]]
        inside = _inside(o, y - np.float32(o.y), x - np.float32(o.x))
        colour = _colour(rng)
        while np.abs(colour - ground).max() < CONTRAST:
            colour = _colour(rng)
        painted = _painted(colour, _texture(rng, y, x, period))
        np.copyto(image[box], painted, where=inside[:, :, None])
        labels[box][inside] = o.label
    image += np.float32(NOISE) * rng.standard_normal(image.shape, np.float32)
    return to_bytes(image), labels


def _inside(o: Object, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Which of the points (y, x), measured from the centre, belong to the object.

    A regular polygon is where no side's normal is exceeded: x cos(t) + y sin(t) <= r cos(pi / n) for the n
    directions t halfway between two corners.
    """
    if o.label not in CORNERS:
        return y**2 + x**2 <= o.radius**2
    n = CORNERS[o.label]
    to_side = o.radius * math.cos(math.pi / n)
    inside = np.ones(np.broadcast_shapes(y.shape, x.shape), bool)
    for side in range(n):
        t = o.angle + 2 * math.pi * (side + 0.5) / n
        inside &= x * np.float32(math.cos(t)) + y * np.float32(math.sin(t)) <= to_side
    return inside


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour that the texture cannot push out of 0..1."""
    return rng.uniform(TEXTURE, 1 - TEXTURE, 3).astype(np.float32)


def _texture(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, period: int) -> np.ndarray:
    """A plane wave of 2 to 8 cycles across `period` pixels, in a random direction: (H, W)."""
    cycles, direction, phase = rng.random(3) * (6, 2 * np.pi, 2 * np.pi) + (2, 0, 0)
    frequency = 2 * np.pi * cycles / period
    down, right = np.float32(frequency * np.sin(direction)), np.float32(frequency * np.cos(direction))
    return np.float32(TEXTURE) * np.sin(down * y + right * x + np.float32(phase))


def _painted(colour: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """colour + brightness at every pixel: (H, W, 3). Channel by channel: NumPy is slow along an axis of three."""
    image = np.empty((*brightness.shape, 3), np.float32)
    for c in range(3):
        np.add(brightness, colour[c], out=image[:, :, c])
    return image
