"""From the bytes of a photograph to the numbers a network reads."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """(image - mean) / std: each channel centred, all channels on one scale.

    `mean` is per channel and `std` one number, in the units of the image, 0 to 255. A network only works with
    the ones it was trained with, so its checkpoint keeps them.
    """

    mean: tuple[float, ...]
    std: float

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(…, 3) uint8 -> (…, 3) float32."""
        normalized = images.astype(np.float32)
        normalized -= np.asarray(self.mean, np.float32)
        normalized /= np.float32(self.std)
        return normalized

    @property
    def fill(self) -> np.ndarray:
        """The colour that becomes (almost) zero: what to put where there is no image. uint8."""
        return np.clip(np.rint(self.mean), 0, 255).astype(np.uint8)
