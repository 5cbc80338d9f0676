"""From the bytes of a photograph to the numbers a network reads."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """(image - mean) / std: each channel centred, and brought to scale.

    `mean` is per channel, `std` one number for all or one for each, in the units of the image, 0 to 255.
    `channels` is the order in which the network reads the channels, "RGB" or "BGR" (as Caffe's do), and mean and
    std are in this order. A network only works with the ones it was trained with, so its checkpoint keeps them.
    Raises ValueError for another order.
    """

    mean: tuple[float, ...]
    std: float | tuple[float, ...]
    channels: str = "RGB"

    def __post_init__(self) -> None:
        if self.channels not in ("RGB", "BGR"):
            raise ValueError(f"channels is {self.channels!r}; expected RGB or BGR")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(…, 3) uint8 RGB -> (…, 3) float32 in the network's order."""
        normalized = self._reordered(images).astype(np.float32, order="C")
        row = images.shape[-2:]  # NumPy is slow along an axis of three, so a whole row of pixels at a time
        rows = normalized.reshape(*images.shape[:-2], math.prod(row))
        rows -= np.broadcast_to(np.asarray(self.mean, np.float32), row).reshape(-1)
        rows /= np.broadcast_to(np.asarray(self.std, np.float32), row).reshape(-1)
        return normalized

    @property
    def fill(self) -> np.ndarray:
        """The RGB colour that becomes (almost) zero: what to put where there is no image. uint8."""
        return self._reordered(np.clip(np.rint(self.mean), 0, 255).astype(np.uint8))

    def _reordered(self, colours: np.ndarray) -> np.ndarray:
        """From RGB to the network's order, which is also the way back."""
        return colours[..., ::-1] if self.channels == "BGR" else colours
