"""One picture file, read as an image or as a label map; every fault of the file is an InputError."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from minifcn.errors import InputError

MOST_PIXELS = 178_956_970  # half a gigabyte as RGB; a small file can declare far more than memory holds

_pillow_limit = threading.Lock()  # Pillow's limit is one variable for the whole process


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture: (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    Any kind of picture becomes RGB: grey is repeated, transparency is dropped, 16-bit grey is scaled from
    0..65535 to 0..255. Of an animation, the first frame. Raises InputError if the file cannot be read.
    """
    with _opened(path) as picture:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):
            grey = _eight_bits(path, np.asarray(picture))
            return np.repeat(grey[:, :, None], 3, axis=2)
        if picture.mode == "F":
            raise InputError(
                f"{path}: floating-point pixels have no fixed range, expected 8- or 16-bit integers"
            )
        if "transparency" in picture.info:
            picture = picture.convert("RGBA")
        return np.array(picture.convert("RGB"))


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """Read a label map: (H, W) uint8, the number of each pixel's class, 255 = ignore.

    In a palette picture (as of PASCAL VOC) the numbers are the indices, whatever their colours; in a grey one
    the values; in a 1-bit one, 0 and 1. EXIF orientation counts, as for images. Raises InputError for colour
    pictures, labels above 255 and files that cannot be read.
    """
    with _opened(path) as picture:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode not in ("P", "L", "1") and not picture.mode.startswith("I"):
            raise InputError(
                f"{path}: colour pictures are not label maps (found mode {picture.mode}); expected a "
                "palette or grey picture whose pixels are the class numbers"
            )
        labels = np.array(picture)
        if labels.min() < 0 or labels.max() > 255:
            raise InputError(f"{path}: labels from {labels.min()} to {labels.max()}, expected 0 to 255")
        return labels.astype(np.uint8)


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """The (H, W) that `read_image` would return, from the file's header alone."""
    with _opened(path) as picture:
        width, height = picture.size
        # Image.Image.getexif looks at what has been read so far; PNG's own getexif decodes the pixels.
        orientation = Image.Image.getexif(picture).get(ExifTags.Base.Orientation)
        lying = orientation in (5, 6, 7, 8) and picture.format != "TIFF"  # Pillow turns TIFF by itself
        return (width, height) if lying else (height, width)


def _eight_bits(path: str | os.PathLike, grey: np.ndarray) -> np.ndarray:
    """16-bit grey scaled to 8 bits: round(value * 255 / 65535)."""
    if grey.min() < 0 or grey.max() > 65535:
        raise InputError(f"{path}: grey values from {grey.min()} to {grey.max()}, expected 0 to 65535")
    return ((grey.astype(np.int32) + 128) // 257).astype(np.uint8)


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """The file as a Pillow picture, not decoded yet. What Pillow raises, then or later, is an InputError."""
    try:
        if os.path.isdir(path):
            raise InputError(f"{path}: is a folder, expected a picture")
        if os.path.getsize(path) == 0:
            raise InputError(f"{path}: the file is empty, expected a picture")
        with _size_limit(path) as picture:
            yield picture
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not a picture, or its first bytes are damaged") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # on damaged files the decoders raise almost anything
        raise InputError(f"{path}: cannot be read: {error or type(error).__name__}") from error


@contextmanager
def _size_limit(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Open the picture under our own limit on its size, in place of Pillow's.

    Pillow warns from half of that limit on, and its error does not tell the picture's sides.
    """
    with _pillow_limit:
        limit = Image.MAX_IMAGE_PIXELS
        try:
            Image.MAX_IMAGE_PIXELS = None
            with Image.open(path) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise InputError(
                        f"{path}: declares {picture.width} x {picture.height} = "
                        f"{picture.width * picture.height:,} pixels, at most {MOST_PIXELS:,} are read"
                    )
                Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # for what a decoder finds inside
                yield picture
        finally:
            Image.MAX_IMAGE_PIXELS = limit
