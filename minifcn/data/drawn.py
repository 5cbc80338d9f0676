"""What all toy data have in common: images that are drawn when they are asked for, from the seed alone."""

from functools import cached_property

import numpy as np


class Drawn:
    """`count` images drawn by a subclass's `draw`, and kept: a dataset.

    Image i depends on (seed, i) and the size alone, so that a longer set starts with the shorter one. `size` is the
    side of a square or (H, W). `images` and `labels` are those of all images at once.
    """

    class_names: tuple[str, ...]

    def __init__(self, count: int, size: int | tuple[int, int], seed: int = 0) -> None:
        height, width = (size, size) if isinstance(size, int | np.integer) else size
        if count < 1:
            raise ValueError(f"count = {count}, expected at least 1 image")
        if min(height, width) < 1:
            raise ValueError(f"size = {size}, expected at least 1 pixel a side")
        if seed < 0:
            raise ValueError(f"seed = {seed}, expected 0 or more")
        self.count, self.size, self.seed = count, (height, width), seed
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One image (H, W, 3) uint8 and its labels (H, W) uint8."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        index = range(self.count)[index]
        if index not in self._drawn:
            image, labels = self.draw(self.generator(index))
            image.flags.writeable = labels.flags.writeable = False  # they are handed out again
            self._drawn[index] = image, labels
        return self._drawn[index]

    def generator(self, index: int) -> np.random.Generator:
        """The random numbers of image `index`, from their beginning."""
        return np.random.default_rng((self.seed, index))

    def name(self, index: int) -> str:
        return f"{type(self).__name__.lower()}{index:05d}"

    @cached_property
    def images(self) -> np.ndarray:
        return np.stack([self[i][0] for i in range(self.count)])

    @cached_property
    def labels(self) -> np.ndarray:
        return np.stack([self[i][1] for i in range(self.count)])


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Colours from 0 to 1, and what lies beyond cut off, as uint8."""
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)
