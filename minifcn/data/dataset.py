"""What a dataset is, and the statistics of its colours."""

from typing import Protocol

import numpy as np


class Dataset(Protocol):
    """Numbered pairs of an image (H, W, 3) uint8 RGB and its labels (H, W) uint8, 255 = ignore.

    Anything with these four members can be trained on. Pairs may differ in size, an image and its labels may
    not. An index beyond the end raises IndexError.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...

    def name(self, index: int) -> str:
        """What to call image `index` in messages and file names."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of labels 0, 1, ..., K - 1."""
        ...


def channel_statistics(dataset: Dataset, most: int = 500) -> tuple[np.ndarray, float]:
    """The mean colour, and the standard deviation of all values about it; both in 0..255.

    mean[c] = average of x[c] over pixels;  std = sqrt(average of (x[c] - mean[c])^2 over pixels and channels)

    Taken over at most `most` images, evenly spaced through the dataset. Returns mean (3,) float32, and std
    rounded to float32 too; std is 0 if every pixel has one colour.
    """
    if most < 1:
        raise ValueError(f"most = {most}, expected at least 1 image")
    pixels = 0
    sums = np.zeros(3)
    squares = np.zeros(3)
    for index in np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int):
        image, _ = dataset[int(index)]
        pixels += image.shape[0] * image.shape[1]
        # Sums of integers below 2^53 are exact in float64, in any order. Row upon row NumPy is fastest.
        sums += image.sum(axis=0, dtype=np.float64).sum(axis=0)
        squares += np.einsum("hwc,hwc->wc", image, image, dtype=np.float64).sum(axis=0)
    mean = sums / pixels
    variance = float(np.mean(squares / pixels - mean**2))
    return mean.astype(np.float32), float(np.float32(np.sqrt(max(variance, 0.0))))
