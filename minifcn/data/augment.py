"""Random changes to an image and its labels, both by the same transform.

An augmentation is a function (image, labels, rng, fill) -> (image, labels). `fill` colours the pixels that
a shift uncovers; best is the dataset's mean. Their label is 255 = ignore. Where nothing is uncovered, `fill`
is not used. What comes back may be a view of what went in.
"""

from collections.abc import Callable, Sequence

import numpy as np

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
    new_labels = np.full((height, width), IGNORE, np.uint8)
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


AUGMENTATIONS: dict[str, Augmentation] = {
    "mirror": mirror,
    "flip": flip,
    "transpose": transpose,
    "jitter": jitter,
}
