"""A mask as a line of text: where each run of its pixels starts, and how long it is.

Pixels are counted from 1, down the first column, then down the second. That is the rule of Tianchi and of the Data
Science Bowl 2018; Carvana counts along the rows.
"""

import numpy as np


def encode(mask: np.ndarray) -> str:
    """The runs "start length start length …" of the pixels of a mask (H, W) that are not 0.

    >>> encode(np.array([[0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]]))
    '5 3'
    """
    pixels = np.concatenate([[False], np.asarray(mask, bool).ravel(order="F"), [False]])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    starts, ends = changes[::2], changes[1::2]
    return " ".join(f"{start + 1} {end - start}" for start, end in zip(starts, ends))


def decode(text: str, height: int, width: int) -> np.ndarray:
    """The mask (height, width) uint8, 1 in the runs; an empty text has none.

    Raises ValueError, saying which run, for what is not pairs of whole numbers, for runs without a pixel, beyond
    the image, and for runs that overlap or are not in order.
    """
    numbers = []
    for word in text.split():
        if not word.isascii() or not word.isdigit():
            raise ValueError(f"{word!r}, expected positive whole numbers")
        numbers.append(int(word))
    if len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers, expected pairs of a start and a length")
    mask, after = np.zeros(height * width, np.uint8), 1
    for start, length in zip(numbers[::2], numbers[1::2]):
        if start < 1 or length < 1:
            raise ValueError(f"run '{start} {length}', expected a start and a length of at least 1")
        if start + length - 1 > mask.size:
            raise ValueError(
                f"run '{start} {length}' ends at pixel {start + length - 1}, but {height} x {width} are {mask.size}"
            )
        if start < after:
            raise ValueError(
                f"run '{start} {length}' starts before the run before it ends, at pixel {after - 1}"
            )
        mask[start - 1 : start + length - 1], after = 1, start + length
    return mask.reshape((height, width), order="F")
