"""Three ways to run a network over an image that is larger than what it sees at once, and they agree.

    sliding_window       a classifier at every window: the plain way, which computes everything again and again
    shift_and_stitch     a fully convolutional network at a finer stride than its own, by shifting the image
    tiled                a fully convolutional network over any image, in bounded memory

For a network without padding, with pooling that rounds down, `sliding_window` at the network's own stride equals
one pass of the convolutionized network, and at a finer stride it equals `shift_and_stitch`. With padding they
differ: a window is padded at its border, where the large image has pixels. `tiled` equals one pass for every
network: its tiles overlap by what the network sees.

Valid convolutions lose the border of the image. The overlap-tile strategy of U-Net goes on beyond it with the
mirror image: `mirrored` adds as much of it as the network loses, and `tiled(..., mirror=True)` equals one pass over
that.

Sources: Sermanet et al., OverFeat (2014), section 3; Long, Shelhamer & Darrell (2015), section 3; Ronneberger,
Fischer & Brox, U-Net (2015), figure 2.
"""

import os
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, lcm
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.geometry import view, views
from minifcn.layers import padding
from minifcn.layers.base import Shape, pair
from minifcn.network import Network
from minifcn.progress import progress

WINDOWS_AT_ONCE = 64


def sliding_window(
    classifier: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    window: int | tuple[int, int],
    stride: int | tuple[int, int],
) -> np.ndarray:
    """Classify every window of the image (H, W, C): maps (rows, columns, K).

    Window (i, j) starts at pixel (i stride, j stride); there are (H - window) // stride + 1 rows of them.
    `classifier` takes (N, window, window, C) and gives (N, K). Raises ValueError if the window is larger than
    the image or the stride is less than 1.
    """
    (h, w), (down, right) = pair(window, "window", 1), pair(stride, "stride", 1)
    H, W, _ = image.shape
    if h > H or w > W:
        raise ValueError(f"a window of {h}x{w} does not fit into an image of {H}x{W}")
    windows = np.lib.stride_tricks.sliding_window_view(image, (h, w), axis=(0, 1))[::down, ::right]
    rows, columns = windows.shape[:2]
    scores = []
    for first in range(0, rows * columns, WINDOWS_AT_ONCE):
        i, j = np.divmod(np.arange(first, min(first + WINDOWS_AT_ONCE, rows * columns)), columns)
        scores.append(classifier(np.ascontiguousarray(windows[i, j].transpose(0, 2, 3, 1))))
    return np.concatenate(scores).reshape(rows, columns, -1)


def shift_and_stitch(net: Network, image: np.ndarray, stride: int) -> np.ndarray:
    """The map of `net` at a finer stride than its own: shifted passes, interlaced. image (H, W, C) -> maps.

    A network of stride f sees every f-th place. Moving the image left and up by `stride`, 2 `stride`, … pixels
    brings it to the places between; (f / stride)² passes fill the map. Each pass costs as much as the first.
    Raises ValueError unless `stride` divides the network's stride.
    """
    down, right = (_shifts(net, stride, axis) for axis in (0, 1))
    H, W, C = image.shape
    shape = net.shapes((1, H, W, C))[net.output]
    columns = [_length(net, (H, W - b * stride, C), 1) for b in right]
    rows = [_length(net, (H - a * stride, W, C), 0) for a in down]
    maps = None
    for a in down:
        for b in right:
            if rows[a] and columns[b]:  # otherwise no window fits into what is left of the image
                passed = net(np.ascontiguousarray(image[None, a * stride :, b * stride :]))[0]
                if maps is None:
                    maps = np.empty((sum(rows), sum(columns), shape[3]), passed.dtype)
                maps[a :: len(down), b :: len(right)] = passed
    assert maps is not None
    return maps


def _shifts(net, stride, axis):
    """How often the image is moved along an axis to come from the network's stride to `stride`."""
    total = view(net, net.output, axis=axis).stride
    if total == 0:
        raise ValueError("the network gives one output for the whole image: surgery.convolutionize it first")
    if total.denominator != 1 or stride < 1 or total % stride:
        raise ValueError(f"stride is {stride}; expected a divisor of the network's stride, {total}")
    return range(int(total) // stride)


def _length(net, image_shape, axis):
    """How long the map of an image of this shape is along `axis`; 0 if the image is too small."""
    try:
        return net.shapes((1, *image_shape))[net.output][1 + axis]
    except ValueError:
        return 0


def mirrored(net: Network, images: np.ndarray) -> np.ndarray:
    """images (N, H, W, C) with as much of their mirror image around them as `net` needs to score every pixel.

    Pixel (i, j) of the output is then centred on pixel (i, j) of the image. At the far side the output may go on
    beyond the image. A network with an output as large as its image gets it as it is. Raises ValueError for a
    network whose output does not have a pixel for every one of the image, side by side.

    >>> from minifcn.models import unet
    >>> mirrored(unet(2, padding="valid"), np.zeros((1, 100, 116, 3), np.float32)).shape   # 44 pixels on each side
    (1, 188, 204, 3)
    """
    rows, columns = (_mirrored_pixels(net, images.shape[1:], axis) for axis in (0, 1))
    if images.shape[1:3] == (len(rows), len(columns)):
        return images
    return images.take(rows, axis=1).take(columns, axis=2)


def _mirrored_pixels(net, image_shape, axis):
    """Which pixel of the image stands at each place of the mirrored one, along an axis."""
    size = image_shape[axis]
    if _length(net, image_shape, axis) == size:
        return np.arange(size)
    seen = view(net, net.output, axis=axis)
    before = seen.offset
    if seen.stride != 1 or before != before // 1 or before < 0:
        raise ValueError(
            f"the network has a stride of {seen.stride} and its first output is centred on pixel {before}; "
            "mirrored borders need a stride of 1, and a pixel of the image"
        )
    # What the last output sees ends before that, and so does what the strided layers may leave over behind it.
    enough = size + ceil(seen.field) + _alignment(net, axis)
    total = bisect_left(range(enough), size, key=lambda n: _length(net, (n, n, image_shape[2]), axis))
    return padding.mirrored(size, int(before), total - size - int(before))


class Tile(NamedTuple):
    """Along one axis: which pixels of the image to read, which of the resulting ones to keep, and their place."""

    read: slice
    keep: slice
    place: slice


def tiles(net: Network, image_shape: Shape, tile: int, axis: int = 0, mirror: bool = False) -> list[Tile]:
    """How to cut one axis of an image (H, W, C) into tiles of at most `tile` pixels, without a trace in the map.

    An output pixel is right if all it sees lies in its tile, or beyond the image, where one pass sees the
    same padding. And the tile has to start where the strided layers of one pass would also have stopped: at a
    multiple of all strides of the network. With `mirror` the pixels to read are those of the mirrored image, and
    there is one to keep for each pixel of the image. Raises ValueError if `tile` leaves nothing to keep, or if the
    network's outputs depend on the whole image.
    """
    seen = view(net, net.output, axis=axis)
    if seen.stride.denominator != 1 or seen.stride == 0:
        raise ValueError(f"the network has a stride of {seen.stride}; tiles need a whole one, at least 1")
    if seen.field == float("inf"):
        raise ValueError("an output of the network depends on the whole image: it cannot be cut into tiles")
    stride = int(seen.stride)
    alignment = _alignment(net, axis)
    if mirror:
        size, total = len(_mirrored_pixels(net, image_shape, axis)), image_shape[axis]
    else:
        size, total = image_shape[axis], net.shapes((1, *image_shape))[net.output][1 + axis]
    found, done = [], 0
    while done < total:
        start = min(max(0, ceil(stride * done + seen.first)), size - 1) // alignment * alignment
        stop = min(size, start + tile)
        last = total if stop == size else min(total, floor(Fraction(stop - 1 - seen.last) / stride) + 1)
        if last <= done:
            least = _least(seen, stride, alignment)
            raise ValueError(
                f"a tile of {tile} pixels is too small: the network needs {least} for one output"
            )
        offset = start // stride
        found.append(Tile(slice(start, stop), slice(done - offset, last - offset), slice(done, last)))
        done = last
    return found


def tiled(
    net: Network,
    image: np.ndarray,
    tile: int,
    out: np.ndarray | None = None,
    function: Callable[[np.ndarray], np.ndarray] | None = None,
    journal: str | os.PathLike | None = None,
    mirror: bool = False,
) -> np.ndarray:
    """One pass over the image (H, W, C), in memory that depends on the tile and not on the image.

    Equal to `net(image[None])[0]` everywhere. With `mirror`, to the scores of all pixels in one pass over the
    mirrored image, `net(mirrored(net, image[None]))[0, :H, :W]`, of which only tiles are ever made. `image`
    and `out` may be numpy.memmaps. `function` is what is run on a tile (1, h, w, C) to give (1, h', w', …), the
    network itself by default; with one that takes the argmax, or normalises, the result has its type and shape.
    With a `journal`, a file that lists the finished tiles, a run that was stopped goes on where it was, given the
    same `out`; the file goes when all is done.

    Raises ValueError, with the number that would do, if `tile` is smaller than what one output pixel sees.
    """
    function = net if function is None else function
    rows, columns = (tiles(net, image.shape, tile, axis, mirror) for axis in (0, 1))
    down, right = (
        _mirrored_pixels(net, image.shape, axis) if mirror else np.arange(image.shape[axis])
        for axis in (0, 1)
    )
    finished = _read_journal(journal, image.shape, tile)
    pairs = [(r, c) for r in range(len(rows)) for c in range(len(columns))]
    for r, c in progress(pairs, "tiles"):
        if (r, c) in finished and out is not None:
            continue
        row, column = rows[r], columns[c]
        pixels = np.ascontiguousarray(image[np.ix_(down[row.read], right[column.read])])
        part = function(pixels[None])[0, row.keep, column.keep]
        if out is None:
            out = np.empty((rows[-1].place.stop, columns[-1].place.stop, *part.shape[2:]), part.dtype)
        out[row.place, column.place] = part
        if journal is not None:
            if isinstance(out, np.memmap):
                out.flush()
            with open(journal, "a", encoding="ascii") as file:
                file.write(f"{r} {c}\n")
    if journal is not None:
        Path(journal).unlink(missing_ok=True)
    assert out is not None
    return out


def _read_journal(journal, shape, tile) -> set[tuple[int, int]]:
    """The finished tiles; a new journal starts with what the tiles were cut from."""
    if journal is None:
        return set()
    heading = f"tiles of {tile} in {shape}"
    path, lines = Path(journal), []
    if path.exists():
        # What stands behind the last newline was cut off.
        lines = path.read_text(encoding="ascii").split("\n")[:-1]
        if lines and lines[0] != heading:
            raise ValueError(f"{journal} is of another job: it says {lines[0]!r}, expected {heading!r}")
    path.write_text("\n".join(lines or [heading]) + "\n", encoding="ascii")
    return {(int(r), int(c)) for r, c in (line.split() for line in lines[1:])}


def _alignment(net, axis):
    """The least common multiple of all strides of the network."""
    return lcm(*(v.stride.numerator for v in views(net, axis=axis).values() if v.stride))


def _least(seen, stride, alignment):
    """The smallest tile that always yields an output pixel: what one sees, and up to an alignment before it."""
    return ceil(seen.last - seen.first) + alignment
