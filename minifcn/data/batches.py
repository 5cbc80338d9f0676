"""Which images make up a training step: a pure function of the seed and the step.

No state means nothing to save: training that stops and resumes at a step sees what it would have seen.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from minifcn.data.augment import BLACK, Augmentation, Colour, random_crop
from minifcn.data.dataset import Dataset
from minifcn.errors import InputError


def batch(
    dataset: Dataset,
    step: int,
    batch_size: int,
    seed: int,
    augment: Sequence[Augmentation] = (),
    crop: int | None = None,
    fill: Colour = BLACK,
) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, H, W, 3) uint8 and labels (N, H, W) uint8 of training step `step`, N = batch_size.

    Sample j of the step is the i-th since the start, i = step * batch_size + j. It belongs to epoch
    i // len(dataset), and each epoch goes through all images once, in a new random order. The sample goes
    through the functions of `augment` in turn, then is cropped at random to `crop` x `crop` pixels, if given;
    uncovered pixels get the colour `fill`. Raises InputError if the images differ in size then.
    """
    if batch_size < 1 or step < 0:
        raise ValueError(f"batch_size = {batch_size}, step = {step}, expected at least 1 and 0")
    if crop is not None and crop < 1:
        raise ValueError(f"crop = {crop}, expected at least 1 pixel")
    rng = np.random.default_rng((seed, step, 1))
    indices = [_sample(len(dataset), i, seed) for i in range(step * batch_size, (step + 1) * batch_size)]
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for index in indices:
        image, labels = dataset[index]
        for function in augment:
            image, labels = function(image, labels, rng, fill)
        if crop is not None:
            image, labels = random_crop(image, labels, crop, rng, fill)
        if pairs and labels.shape != pairs[0][1].shape:
            raise InputError(
                f"images of one batch differ in size{' after augmentation' if augment else ''}: "
                f"{_name_and_size(dataset, indices[0], pairs[0][1])}, "
                f"{_name_and_size(dataset, index, labels)}; "
                "cut them to one size with --crop SIZE, or take them one at a time with --batch-size 1"
            )
        pairs.append((image, labels))
    images, label_maps = zip(*pairs, strict=True)
    return _stack_pixels(images), np.stack(label_maps)


def _stack_pixels(images: Sequence[np.ndarray]) -> np.ndarray:
    """np.stack for images, by whole pixels: three times as fast where they are mirrored or transposed."""
    pixel = np.dtype((np.void, 3 * images[0].itemsize))
    pixels = [
        (image if image.strides[-1] == image.itemsize else image.copy()).view(pixel) for image in images
    ]
    return np.stack(pixels).view(images[0].dtype)


def _sample(n: int, i: int, seed: int) -> int:
    """The index in the dataset of the i-th sample since the start."""
    return int(_order(n, seed, i // n)[i % n])


@lru_cache(maxsize=2)  # a step may reach over the end of an epoch
def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 0)).permutation(n)


def _name_and_size(dataset: Dataset, index: int, labels: np.ndarray) -> str:
    height, width = labels.shape
    return f"{dataset.name(index)} has {height} rows and {width} columns"
