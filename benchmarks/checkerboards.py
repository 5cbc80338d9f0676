"""python -m benchmarks.checkerboards: what ways of upsampling draw by themselves, before anything is learned.

A DeconvNet with random weights sees a toy image. A pattern that repeats with the strides of the decoder is not in
the image: the upsampling has drawn it. Its share of the map is printed as a table in Markdown and put into
docs/checkerboards.md; docs/checkerboards.png shows maps and patterns. It takes seconds.

Source: Odena, Dumoulin & Olah, Deconvolution and checkerboard artifacts (2016).
"""

import statistics
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import pages
from minifcn.data.shapes import Shapes
from minifcn.files import replacing
from minifcn.layers import ConvTranspose2d
from minifcn.models import deconvnet
from minifcn.network import Network, Node

SEEDS = (0, 1, 2, 3, 4)
SIZE, PERIOD = 384, 32  # of the image, and of what five upsamplings can repeat: the largest stride
INSIDE = slice(64, 320)  # away from the zeros around the image
SHOWN = 1  # of the networks: its shares are near the medians
PART = slice(96, 160)  # of the pixels inside
COMMAND = "python -m benchmarks.checkerboards"


class Way(NamedTuple):
    """`upsampling` as in deconvnet, and the kernel if it is not that of the model."""

    title: str
    upsampling: str
    kernel_size: int | None = None


WAYS = (
    Way("resize + convolution", "resize"),
    Way("unpooling", "unpool"),
    Way("transposed 2x2", "transposed", 2),
    Way("transposed 4x4", "transposed", 4),
    Way("transposed 3x3", "transposed", 3),
)


def network(way: Way, seed: int) -> Network:
    """With random weights and one score map."""
    net = deconvnet(1, upsampling=way.upsampling, rng=seed)
    if way.kernel_size is not None:
        rng = np.random.default_rng(seed)
        for stage in range(1, 6):
            layer, reads = net.nodes[f"up{stage}"]
            net.nodes[f"up{stage}"] = Node(doubling(layer.in_channels, way.kernel_size, rng), reads)
    return net


def doubling(channels: int, kernel_size: int, rng: np.random.Generator | None = None) -> ConvTranspose2d:
    """A transposed convolution of stride 2 that makes a map twice as large, whatever its kernel."""
    padding, extra = (kernel_size - 1) // 2, kernel_size % 2
    return ConvTranspose2d(channels, channels, kernel_size, 2, padding, extra, rng=rng)


def painted(kernel_size: int) -> list[int]:
    """By how many kernels of stride 2 a pixel of a line is painted, and its neighbour; then it repeats."""
    layer = ConvTranspose2d(1, 1, (1, kernel_size), stride=(1, 2))
    layer.params["weight"][...] = 1
    line, _ = layer.forward(np.ones((1, 1, 9, 1), np.float32))
    return line[0, 0, 8:10, 0].astype(int).tolist()


def score(way: Way, seed: int, image: np.ndarray) -> np.ndarray:
    """The score map (H, W) of an image (H, W, 3). Activations are normalised with their own statistics."""
    x = (image[None].astype(np.float32) - 128) / 64
    scores, _ = network(way, seed).forward(x, train=True)
    return scores[0, ..., 0]


def pattern(scores: np.ndarray, period: int = PERIOD) -> np.ndarray:
    """What repeats every `period` pixels: the mean of the tiles of that size, whose number must be whole."""
    rows, columns = (n // period for n in scores.shape)
    return scores.reshape(rows, period, columns, period).mean(axis=(0, 2), dtype=np.float64)


def share(scores: np.ndarray, period: int = PERIOD) -> float:
    """How much of the variance is that of the pattern.

    In other words, how much of the spectrum's energy lies at multiples of the frequency 1 / period.
    """
    return float(pattern(scores, period).var() / scores.var(dtype=np.float64))


def table(shares: dict[Way, list[float]]) -> str:
    rows = []
    for way, values in shares.items():
        kernels = "" if way.kernel_size is None else ", ".join(map(str, painted(way.kernel_size)))
        of_seeds = ", ".join(f"{100 * value:.1f}" for value in values)
        rows.append([way.title, kernels, f"{100 * statistics.median(values):.1f}", of_seeds])
    titles = ["upsampling", "kernels on a pixel and the next", "in what repeats", "of each seed"]
    return pages.table(titles, rows)


def picture(image: np.ndarray, scores: dict[Way, np.ndarray], path: Path) -> None:
    """A column for the image, and for each way: a part of the map, and below it the pattern of all of it."""
    from matplotlib.figure import Figure

    columns = {"image": image.mean(axis=2)[INSIDE, INSIDE]}
    columns |= {way.title: scores[way] for way in scores}
    figure = Figure(figsize=(2.2 * len(columns), 5), layout="constrained")
    for (above, below), (title, shown) in zip(figure.subplots(2, len(columns)).T, columns.items()):
        for axes, part in ((above, shown[PART, PART]), (below, pattern(shown))):
            deviations = (part - shown.mean()) / shown.std()
            axes.imshow(deviations, cmap="gray", vmin=-2, vmax=2, interpolation="nearest")
            axes.set_axis_off()
        above.set_title(title, fontsize=11)
        below.set_title(f"what repeats: {100 * share(shown):.1f} %", fontsize=11)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=100)


def main() -> None:
    image, _ = Shapes(1, SIZE, seed=3)[0]
    maps = {way: [score(way, seed, image)[INSIDE, INSIDE] for seed in SEEDS] for way in WAYS}
    shares = {way: [share(one) for one in of_way] for way, of_way in maps.items()}
    inside = INSIDE.stop - INSIDE.start
    even = (PERIOD**2 - 1) / (inside**2 - 1)
    caption = (
        f"Percent of the variance, in the middle {inside}x{inside} pixels of the score map; medians of "
        f"{len(SEEDS)} networks. White noise would have {100 * even:.1f}."
    )
    picture(image, {way: of_way[SHOWN] for way, of_way in maps.items()}, Path("docs/checkerboards.png"))
    text = f"{table(shares)}\n\n{caption}"
    pages.put(Path("docs/checkerboards.md"), COMMAND, text)
    print(text)


if __name__ == "__main__":
    main()
