"""python -m benchmarks.equivalences: the equalities of the fully convolutional idea, measured.

One table: the case, the two ways, the largest difference relative to the largest score, how many times as long and
as many multiply-adds the plain way takes, and how many times the memory. Put into docs/equivalences.md.
"""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn import inference, models, surgery
from minifcn.kernels.jit import get_threads
from minifcn.layers import Conv2d, Flatten, Linear, ReLU
from minifcn.network import Network
from minifcn.progress import StatusLine


class Row(NamedTuple):
    case: str
    ways: str
    difference: float
    time_ratio: float
    work_ratio: float
    memory_ratio: float


def measured(function: Callable[[], np.ndarray], repeats: int) -> tuple[np.ndarray, float, int]:
    """The result, the median seconds, and the bytes that NumPy held at most."""
    result = function()  # compiles
    tracemalloc.start()
    function()
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return result, float(np.median(seconds)), memory


def compare(case: str, ways: str, plain, fast, work: float, repeats: int = 3) -> Row:
    """`plain` and `fast` are two ways to the same maps; `work` is the ratio of their multiply-adds."""
    (a, seconds_a, memory_a), (b, seconds_b, memory_b) = measured(plain, repeats), measured(fast, repeats)
    difference = float(np.abs(a - b).max() / np.abs(b).max())
    return Row(case, ways, difference, seconds_a / seconds_b, work, memory_a / memory_b)


def image_of(height: int, width: int | None = None, channels: int = 3) -> np.ndarray:
    shape = (height, width or height, channels)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def fully_connected() -> Row:
    linear = Linear(7 * 7 * 512, 4096, rng=0)
    conv = surgery.to_conv(linear, (7, 7, 512))
    x = image_of(7, 7, 512)[None]
    return compare(
        "fc6 of VGG16, one image",
        "Linear / Conv2d 7x7",
        lambda: linear.forward(x.reshape(1, -1))[0],
        lambda: conv.forward(x)[0].reshape(1, -1),
        1.0,
    )


def matrix() -> Row:
    conv = Conv2d(4, 4, 3, padding=1, bias=False, rng=0)
    x = image_of(24, 24, 4)
    dense = surgery.to_matrix(conv, x.shape)
    row = compare(
        "3x3 convolution of 24x24x4",
        "matrix of zeros / convolution",
        lambda: (dense @ x.ravel()).reshape(24, 24, 4),
        lambda: conv.forward(x[None])[0][0],
        dense.size / (24 * 24 * conv.params["weight"].size),
    )
    return row._replace(memory_ratio=dense.nbytes / conv.params["weight"].nbytes)


def windows(stride: int) -> Row:
    net = models.window_net(4, rng=0)
    fcn, image = surgery.convolutionize(net, (32, 32, 3)), image_of(128)
    places = ((128 - 32) // stride + 1) ** 2
    passes = (4 // stride) ** 2
    work = (
        places
        * surgery.multiply_adds(net, (1, 32, 32, 3))
        / (passes * surgery.multiply_adds(fcn, (1, 128, 128, 3)))
    )
    return compare(
        f"window_net at stride {stride} over 128x128",
        f"{places:,} windows / {passes} pass{'es' if passes > 1 else ''}",
        lambda: inference.sliding_window(net, image, 32, stride),
        lambda: inference.shift_and_stitch(fcn, image, stride),
        work,
    )


def dense() -> Row:
    fcn, image = surgery.convolutionize(models.window_net(4, rng=0), (32, 32, 3)), image_of(128)
    dilated = surgery.densify(fcn, 1)
    work = (
        16 * surgery.multiply_adds(fcn, (1, 128, 128, 3)) / surgery.multiply_adds(dilated, (1, 128, 128, 3))
    )
    return compare(
        "window_net at stride 1 over 128x128",
        "16 shifted passes / dilated network",
        lambda: inference.shift_and_stitch(fcn, image, 1),
        lambda: dilated(image[None])[0],
        work,
    )


def patches(size: int) -> Row:
    """A 15x15 patch for every pixel, all in memory, as a training set of patches would be."""
    rng, net = np.random.default_rng(0), Network((1, 15, 15, 3))
    net.add("conv1", Conv2d(3, 16, 7, rng=rng))
    net.add("relu1", ReLU())
    net.add("flatten", Flatten())
    net.add("fc", Linear(9 * 9 * 16, 4, rng=rng))
    fcn = surgery.convolutionize(net, (15, 15, 3))
    image = np.pad(image_of(size), ((7, 7), (7, 7), (0, 0)), mode="reflect")

    def classify_patches():
        views = np.lib.stride_tricks.sliding_window_view(image, (15, 15), axis=(0, 1))
        stack = np.ascontiguousarray(views.transpose(0, 1, 3, 4, 2).reshape(-1, 15, 15, 3))
        return np.concatenate([net(stack[k : k + 256]) for k in range(0, len(stack), 256)]).reshape(
            size, size, 4
        )

    work = (
        size
        * size
        * surgery.multiply_adds(net, (1, 15, 15, 3))
        / surgery.multiply_adds(fcn, (1, *image.shape))
    )
    return compare(
        f"15x15 patches of {size}x{size}",
        f"{size * size:,} patches / one pass",
        classify_patches,
        lambda: fcn(image[None])[0],
        work,
        repeats=1,
    )


def tiles() -> Row:
    net, image = models.fcn8s(4, rng=0), image_of(1024)
    for name, array in net.params.items():
        if name.startswith("score"):
            array[...] = np.random.default_rng(1).standard_normal(array.shape)
    cut = [inference.tiles(net, image.shape, 576, axis) for axis in (0, 1)]
    pixels = sum((r.read.stop - r.read.start) * (c.read.stop - c.read.start) for r in cut[0] for c in cut[1])
    return compare(
        "small FCN-8s over 1024x1024",
        f"{len(cut[0]) * len(cut[1])} tiles of 576 / one pass",
        lambda: inference.tiled(net, image, 576),
        lambda: net(image[None])[0],
        pixels / 1024**2,
        repeats=1,
    )


def skip_upgrade() -> Row:
    """FCN-16s as it starts from FCN-32s. Its skip adds zero; but 2 times and then 16 times is not 32 times."""
    coarse, rng = models.fcn32s(4, rng=0), np.random.default_rng(1)
    coarse.params["score_fr.weight"][...] = rng.standard_normal(coarse.params["score_fr.weight"].shape)
    fine = models.fcn16s(4, start=coarse, rng=0)
    # Photographs are smooth, so the image is noise on a coarse grid, enlarged.
    image = np.kron(image_of(20), np.ones((16, 16, 1), np.float32))
    work = surgery.multiply_adds(coarse, (1, 320, 320, 3)) / surgery.multiply_adds(fine, (1, 320, 320, 3))
    return compare(
        "FCN-16s started from FCN-32s, 320x320",
        "FCN-32s / FCN-16s",
        lambda: coarse(image[None])[0],
        lambda: fine(image[None])[0],
        work,
    )


def vgg16() -> tuple[Row, str]:
    """The famous case: 224 windows at stride 32 over 384x384. VGG16 pads, so the two ways are not equal."""
    net = models.vgg16(rng=0)
    fcn, image = surgery.convolutionize(net, (224, 224, 3)), image_of(384)
    shapes = fcn.shapes((1, 384, 384, 3))
    assert (shapes["pool5"], shapes["fc8"]) == ((1, 12, 12, 512), (1, 6, 6, 1000))
    work = 36 * surgery.multiply_adds(net, (1, 224, 224, 3)) / surgery.multiply_adds(fcn, (1, 384, 384, 3))
    row = compare(
        "VGG16 at stride 32 over 384x384",
        "36 windows / one pass",
        lambda: np.stack(
            [
                net(image[None, i : i + 224, j : j + 224])[0]
                for i in range(0, 161, 32)
                for j in range(0, 161, 32)
            ]
        ).reshape(6, 6, 1000),
        lambda: fcn(image[None])[0],
        work,
        repeats=1,
    )
    return row, padding_reach(fcn, image)


def padding_reach(fcn: Network, image: np.ndarray) -> str:
    """How far from the border of a window its zeros are felt: pool5 of one window, and of the whole image."""
    crop = fcn.activations(image[None, 64:288, 64:288], ["pool5"])["pool5"][0]
    whole = fcn.activations(image[None], ["pool5"])["pool5"][0, 2:9, 2:9]
    difference = np.abs(crop - whole).max(axis=2) / np.abs(whole).max()
    rings = [max(difference[k, k : -k or None].max(), difference[k : -k or None, k].max()) for k in range(4)]
    lines = [
        "The window that starts at (64, 64) and the same place inside the image, compared at pool5 (7x7 cells of",
        "32 pixels), ring by ring from the border; relative to the largest activation:",
        "",
        "| cells from the border | largest difference |",
        "|---|---|",
        *(f"| {k} | {ring:.1e} |" for k, ring in enumerate(rings)),
    ]
    return "\n".join(lines)


def table(rows: list[Row]) -> str:
    lines = [
        "| case | first way / second way | largest difference | time | multiply-adds | memory |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        ratios = " | ".join(f"{ratio:.1f}" for ratio in (r.time_ratio, r.work_ratio, r.memory_ratio))
        lines.append(f"| {r.case} | {r.ways} | {r.difference:.0e} | {ratios} |")
    return "\n".join(lines)


def main() -> None:
    cases = [fully_connected, matrix, *(lambda s=s: windows(s) for s in (4, 2, 1)), dense]
    cases += [*(lambda s=s: patches(s) for s in (32, 64, 128)), tiles, skip_upgrade]
    line, rows = StatusLine(), []
    for k, case in enumerate(cases):
        line.show(f"case {k + 1} of {len(cases) + 1}")
        rows.append(case())
    line.show("VGG16, 36 windows of 224x224")
    row, reach = vgg16()
    line.close()
    text = table([*rows, row]) + "\n\n" + reach
    Path("docs").mkdir(exist_ok=True)
    Path("docs/equivalences.md").write_text(
        INTRODUCTION.format(threads=get_threads()) + text + "\n", encoding="utf-8"
    )
    print(text)


INTRODUCTION = """# The equalities, measured

Written by `python -m benchmarks.equivalences`, in float32 on {threads} threads: two ways to the same maps. A ratio
is the first way over the second: 3.0 means that it takes three times as long, as many multiply-adds, or as much
memory. The difference is relative to the largest score.

In all rows but the last two the ways agree. `window_net` is a small classifier of 32x32 windows without padding
(`minifcn/models/classifiers.py`).

An FCN-16s that starts from a trained FCN-32s is said to begin with the same output. Its skip indeed adds zero at
first, but interpolating 2 times and then 16 times is smoother than interpolating 32 times: no kernels of 4 and of
32 taps make the one of 64. VGG16, in the last row, pads its convolutions: a window sees zeros at its border where
the large image has pixels, so the famous "identical to 36 crops" is not true for it.

"""


if __name__ == "__main__":
    main()
