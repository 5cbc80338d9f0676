"""Pictures: training curves, predictions beside the truth, overlays, score maps and activations.

matplotlib is imported when the first picture is drawn; it takes a second, and training need not wait for it.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from minifcn.data import AUGMENTATIONS, Dataset, voc_palette
from minifcn.files import replacing

WRONG = (230, 60, 40)


def curves(history: Sequence[dict[str, float]], path: str | os.PathLike) -> None:
    """Loss, and mean IU with pixel accuracy, over the steps of a run."""
    figure, (left, right) = _figure(1, 2, (10, 3.8))
    steps = [row["step"] for row in history]
    left.plot(steps, [row["loss"] for row in history], marker="o", markersize=3, color="#0072b2")
    left.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    right.plot(
        steps,
        [row["mean_iou"] for row in history],
        marker="o",
        markersize=3,
        label="mean IU",
        color="#d55e00",
    )
    right.plot(
        steps,
        [row["pixel_accuracy"] for row in history],
        marker="s",
        markersize=3,
        label="pixel accuracy",
        color="#009e73",
    )
    right.set(xlabel="step", ylabel="on held-out images", ylim=(0, 1))
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    _save(figure, path)


def predictions(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    class_names: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """A row a picture: image, truth, prediction, errors; and which colour is which class.

    Each of `rows` is (image (H, W, 3) uint8, truth (H, W), prediction (H, W)). In the last column right pixels
    are the image in grey, wrong ones are red, and pixels that do not count are white.
    """
    figure, grid = _figure(len(rows), 4, (8.4, 2.15 * len(rows) + 0.6))
    seen: set[int] = set()
    for axes, (image, truth, prediction) in zip(np.atleast_2d(grid), rows):
        columns = (image, voc_palette()[truth], voc_palette()[prediction], errors(image, truth, prediction))
        for ax, picture in zip(axes, columns):
            ax.imshow(picture, interpolation="nearest")
            ax.set_axis_off()
        seen |= set(np.unique(truth).tolist()) | set(np.unique(prediction).tolist())
    for ax, title in zip(np.atleast_2d(grid)[0], ("image", "truth", "prediction", "errors in red")):
        ax.set_title(title, fontsize=10)
    _legend(figure, seen, class_names)
    _save(figure, path)


def comparison(
    image: np.ndarray, truth: np.ndarray, predictions: dict[str, np.ndarray], path: str | os.PathLike
) -> None:
    """One image and its truth, and what several networks make of it, by their titles; eight to a line."""
    shown = {"image": image, "truth": voc_palette()[truth]}
    shown |= {title: voc_palette()[prediction] for title, prediction in predictions.items()}
    lines = -(-len(shown) // 8)
    figure, grid = _figure(lines, 8, (12, 1.8 * lines))
    for ax in grid.flat:
        ax.set_axis_off()
    for ax, (title, picture) in zip(grid.flat, shown.items()):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(title, fontsize=9)
    _save(figure, path)


def samples(datasets: Sequence[Dataset], path: str | os.PathLike, count: int = 6) -> None:
    """A contact sheet: the first images of each dataset, and below them their labels as colours on top."""
    figure, grid = _figure(2 * len(datasets), count, (1.6 * count, 3.3 * len(datasets)))
    for k, dataset in enumerate(datasets):
        for i in range(count):
            image, labels = dataset[i]
            for ax, picture in zip(grid[2 * k : 2 * k + 2, i], (image, _marked(image, labels))):
                ax.imshow(picture, interpolation="antialiased")
                ax.set_axis_off()
        grid[2 * k, 0].set_title(", ".join(dataset.class_names), fontsize=10, loc="left")
    _save(figure, path)


def augmentations(
    image: np.ndarray, labels: np.ndarray, path: str | os.PathLike, draws: int = 6, seed: int = 0
) -> None:
    """A contact sheet: what each of the random changes makes of an image and its labels, a row each.

    The first column is the image as it is. Labels lie on top as colours; where they are ignored, it is white.
    """
    figure, grid = _figure(len(AUGMENTATIONS), draws + 1, (1.3 * (draws + 1), 1.4 * len(AUGMENTATIONS)))
    for row, (name, function) in zip(grid, AUGMENTATIONS.items()):
        rng = np.random.default_rng(seed)
        pairs = [
            (image, labels),
            *(function(image, labels, rng, image.mean(axis=(0, 1))) for _ in range(draws)),
        ]
        for ax, (picture, truth) in zip(row, pairs):
            ax.imshow(_marked(picture, truth), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
        row[0].set_title(name, fontsize=10, loc="left")
    _save(figure, path)


def errors(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The image in pale grey, with wrong pixels red and ignored ones white. (H, W, 3) uint8."""
    grey = 128 + image.mean(axis=-1, keepdims=True) / 2
    picture = np.repeat(grey, 3, axis=-1).astype(np.uint8)
    picture[truth != prediction] = WRONG
    picture[truth == 255] = 255
    return picture


def overlay(image: np.ndarray, labels: np.ndarray, strength: float = 0.55) -> np.ndarray:
    """The image with its labels as colours on top; class 0, the background, stays clear. (H, W, 3) uint8."""
    colours = strength * voc_palette().astype(np.float32)
    clear = np.full(256, 1 - strength, np.float32)
    colours[0], clear[0] = 0, 1
    mixed = np.empty_like(image)
    for row, (pixels, classes) in enumerate(zip(image, labels)):  # row by row: no second image in float
        mixed[row] = np.rint(clear[classes][:, None] * pixels + colours[classes])
    return mixed


def heatmaps(
    image: np.ndarray,
    scores: np.ndarray,
    activations: dict[str, np.ndarray],
    class_names: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """The score map of every class, and the strongest channels of some activations.

    `scores` is (H, W, K), each activation (h, w, C). Score maps share one scale, so they can be compared;
    channels of activations have each their own.
    """
    columns = 5
    shown: list[tuple[str, np.ndarray | None, float | None]] = [("image", image, None)]
    limit = float(np.abs(scores).max()) or 1.0
    shown += [(f"score: {name}", scores[..., k], limit) for k, name in enumerate(class_names)]
    shown += [("", None, None)] * (-len(shown) % columns)
    for name, maps in activations.items():
        strongest = np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:columns]
        shown += [(f"{name}, channel {c}", maps[..., c], None) for c in strongest]
        shown += [("", None, None)] * (-len(shown) % columns)
    rows = len(shown) // columns
    figure, grid = _figure(rows, columns, (2.2 * columns, 2.4 * rows))
    for ax, (title, picture, scale) in zip(np.ravel(grid), shown):
        ax.set_axis_off()
        if picture is None:
            continue
        if scale is None:
            ax.imshow(picture, cmap="viridis", interpolation="nearest")
        else:
            last = ax.imshow(picture, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
            figure.colorbar(last, ax=ax, fraction=0.046, pad=0.03)
        ax.set_title(title, fontsize=8)
    _save(figure, path)


def _marked(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The image with its labels on top, white where they are ignored."""
    picture = overlay(image, labels)
    picture[labels == 255] = 255
    return picture


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def _legend(figure: Any, classes: set[int], class_names: Sequence[str]) -> None:
    """The classes that can be seen, with their colours."""
    from matplotlib.patches import Patch

    names = dict(enumerate(class_names)) | {255: "ignored"}
    colours = voc_palette() / 255
    handles = [Patch(facecolor=colours[c], edgecolor="grey", label=names[c]) for c in sorted(classes)]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9, frameon=False)


def _save(figure: Any, path: str | os.PathLike) -> None:
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=100)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """A (H, W, 3) uint8 picture as PNG."""
    with replacing(path) as file:
        Image.fromarray(image).save(file, format="PNG")
