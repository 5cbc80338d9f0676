"""Random changes to an image and its labels, both by the same transform.

An augmentation is a function (image, labels, rng, fill) -> (image, labels). `fill` colours the pixels that
a shift uncovers; best is the dataset's mean. Their label is 255 = ignore. Where nothing is uncovered, `fill`
is not used. What comes back may be a view of what went in. Colours between pixels are interpolated, labels never:
a pixel takes the label of the nearest one. Labels may have fields, of which all go the same way.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minifcn.data.bicubic import bicubic_surface

Colour = Sequence[float] | np.ndarray
Pair = tuple[np.ndarray, np.ndarray]
Augmentation = Callable[[np.ndarray, np.ndarray, np.random.Generator, Colour], Pair]

BLACK = (0, 0, 0)
IGNORE = 255


def mirror(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator, fill: Colour = BLACK) -> Pair:
    """Swap left and right, every second time."""
    if rng.random() < 0.5:
        return image[:, ::-1], labels[:, ::-1]
    return image, labels


def flip(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator, fill: Colour = BLACK) -> Pair:
    """Swap top and bottom, every second time. For things that have no upright, as in pictures from above."""
    if rng.random() < 0.5:
        return image[::-1], labels[::-1]
    return image, labels


def transpose(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator, fill: Colour = BLACK) -> Pair:
    """Swap rows and columns, every second time. With `mirror` and `flip`: all 8 symmetries of the square."""
    if rng.random() < 0.5:
        return image.swapaxes(0, 1), labels.swapaxes(0, 1)
    return image, labels


def turn(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator, fill: Colour = BLACK) -> Pair:
    """Turn by 0, 1, 2 or 3 quarters, counterclockwise. For things that have no upright."""
    quarters = int(rng.integers(4))
    return np.rot90(image, quarters), np.rot90(labels, quarters)


def jitter(
    image: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    fill: Colour = BLACK,
    pixels: int = 32,
) -> Pair:
    """Shift by up to `pixels` along each axis, uniformly.

    Shelhamer, Long & Darrell (2017), section 4.3: translations up to 32 pixels, the scale of the coarsest
    prediction; with mirroring they brought no noticeable improvement.
    """
    top, left = rng.integers(-pixels, pixels, 2, endpoint=True).tolist()
    height, width = labels.shape
    return _window(image, labels, top, left, height, width, fill)


def scale(
    image: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    fill: Colour = BLACK,
    most: float = 2.0,
) -> Pair:
    """Enlarge or shrink, by up to `most` times, and cut a piece of the size of the image at random.

    The logarithm of the factor is uniform, so that both are equally frequent. A shrunk image lies at random in
    what it leaves free. DeepLab and PSPNet learn from pictures scaled by 0.5 to 1.5 or 2.
    """
    factor = most ** rng.uniform(-1, 1)
    coordinates = []
    for side in labels.shape:
        free = round(factor * side) - side
        start = int(rng.integers(min(0, free), max(0, free), endpoint=True))
        coordinates.append((np.arange(start, start + side) + 0.5) / factor - 0.5)
    y, x = coordinates
    return _sample(image, labels, y[:, None], x[None, :], fill)


def elastic(
    image: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    fill: Colour = BLACK,
    sigma: float = 10.0,
    knots: int = 3,
) -> Pair:
    """Bend: displacements drawn on a coarse grid, each component N(0, sigma) pixels, bicubic in between.

    The grid of `knots` x `knots` points spans the image from corner to corner. Source: Ronneberger, Fischer and
    Brox, "U-Net", 2015, section 3.1: 3 x 3 points and 10 pixels, for images of 512 x 512.
    """
    H, W = labels.shape
    grid = rng.normal(0, sigma, (2, knots, knots))
    down, right = (bicubic_surface(displacements, H, W) for displacements in grid)
    return _sample(image, labels, np.arange(H)[:, None] + down, np.arange(W)[None, :] + right, fill)


def random_crop(
    image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator, fill: Colour = BLACK
) -> Pair:
    """A square of `size` pixels cut at random. An image smaller than that lies at random in the square."""
    top, left = (
        int(rng.integers(min(0, side - size), max(0, side - size), endpoint=True)) for side in labels.shape
    )
    return _window(image, labels, top, left, size, size, fill)


def _window(
    image: np.ndarray, labels: np.ndarray, top: int, left: int, height: int, width: int, fill: Colour
) -> Pair:
    """The window whose corner is pixel (top, left), which may lie outside: what no pixel covers is filled."""
    new_image = np.empty((height, width, 3), np.uint8)
    new_image[:] = np.rint(fill)
    new_labels = np.full((height, width), IGNORE, labels.dtype)
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    part = labels[rows, columns]
    here = (
        slice(max(-top, 0), max(-top, 0) + part.shape[0]),
        slice(max(-left, 0), max(-left, 0) + part.shape[1]),
    )
    new_image[here] = image[rows, columns]
    new_labels[here] = part
    return new_image, new_labels


def _sample(image: np.ndarray, labels: np.ndarray, y: np.ndarray, x: np.ndarray, fill: Colour) -> Pair:
    """The image at the points (y, x), bilinear, and the labels there, nearest; (0, 0) is the middle of a pixel.

    A point whose nearest pixel would lie outside is filled and ignored.
    """
    H, W = labels.shape
    i, j = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
    outside = (i < 0) | (i >= H) | (j < 0) | (j >= W)
    new_labels = labels[i.clip(0, H - 1), j.clip(0, W - 1)]
    new_labels[outside] = IGNORE
    y, x = y.clip(0, H - 1), x.clip(0, W - 1)
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    bottom, right = np.minimum(top + 1, H - 1), np.minimum(left + 1, W - 1)
    v, u = ((a - np.floor(a)).astype(np.float32)[..., None] for a in (y, x))
    upper = (1 - u) * image[top, left] + u * image[top, right]
    lower = (1 - u) * image[bottom, left] + u * image[bottom, right]
    new_image = np.rint((1 - v) * upper + v * lower).astype(np.uint8)
    new_image[outside] = np.rint(fill)
    return new_image, new_labels


AUGMENTATIONS: dict[str, Augmentation] = {
    "mirror": mirror,
    "flip": flip,
    "transpose": transpose,
    "turn": turn,
    "jitter": jitter,
    "scale": scale,
    "elastic": elastic,
}
