"""What the lessons draw with: matrices with their numbers, windows, images and label maps, in one style.

Colours are those of Okabe and Ito, which people with any kind of colour blindness can tell apart. Blue is more,
vermillion is less than zero, white is zero. Notebooks run beside this file:

    import figures

    left, right = figures.panels(2)
    figures.matrix(left, x, title="x")
    figures.window(left, row=0, column=1, height=3, width=3)
    figures.matrix(right, x @ w, title="x w")
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Patch, Rectangle

# Okabe & Ito (2002), "Color universal design"
BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, VERMILLION, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
PALE, GREY = "#d9d9d9", "#767676"  # background pixels; zeros and lines that should stay behind

CLASS_COLOURS = (PALE, BLUE, VERMILLION, GREEN, YELLOW, PURPLE, SKY, ORANGE, BLACK)  # of labels 0, 1, 2 ...
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#e0803f", "white", "#3f93c5"]
)  # both let black text be read

plt.rcParams["axes.prop_cycle"] = cycler(color=(BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK))  # lines

DPI = 90
MOST_NUMBERS = 150  # cells of a matrix beyond which their numbers would be too small to read


def panels(
    columns: int,
    rows: int = 1,
    *,
    height: float = 2.4,
    width: float | None = None,
    ratios: Sequence[float] | None = None,
) -> Any:
    """A new figure of `rows` by `columns` panels: one Axes, a row of them, or a grid, as plt.subplots gives.

    `height` and `width` are those of one panel, in inches; a panel is square unless told otherwise. Nine inches
    in all fill a notebook. `ratios` are the widths of the columns, the largest of which is `width`: of matrices of
    6, 3 and 4 columns, ratios=(6, 3, 4) makes all cells one size.
    """
    width = height if width is None else width
    total = columns * width if ratios is None else width * sum(ratios) / max(ratios)
    figure = plt.figure(figsize=(total, rows * (height + 0.2)), dpi=DPI, layout="constrained")
    return figure.subplots(rows, columns, width_ratios=ratios)


def matrix(
    ax: Axes,
    array: np.ndarray,
    title: str = "",
    *,
    numbers: bool | None = None,
    limit: float | None = None,
    size: float = 8,
) -> None:
    """An array (H, W) as coloured cells; a vector is a row of them.

    The numbers stand in the cells if there are at most 150, or as `numbers` says, in letters of `size` points.
    Colours go from -`limit` to `limit`, the largest number unless given: panels that are compared need the same
    one. NaN is a grey cell, for "nothing here".
    """
    array = np.atleast_2d(np.asarray(array, dtype=np.float64))
    if limit is None:
        limit = float(np.nanmax(np.abs(array), initial=0.0)) or 1.0
    shown = ax.imshow(
        array, cmap=SIGNED.with_extremes(bad=PALE), vmin=-limit, vmax=limit, interpolation="nearest"
    )
    _frame(ax, title)
    if not (array.size <= MOST_NUMBERS if numbers is None else numbers):
        return
    for (row, column), value in np.ndenumerate(array):
        if np.isfinite(value):
            text = _short(value)
            colour = GREY if text == "0" else _readable(shown.cmap(shown.norm(value)))
            ax.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    lines = {"color": PALE, "linewidth": 0.6, "zorder": 1}
    ax.vlines(np.arange(0.5, array.shape[1] - 1), -0.5, array.shape[0] - 0.5, **lines)
    ax.hlines(np.arange(0.5, array.shape[0] - 1), -0.5, array.shape[1] - 0.5, **lines)


def window(
    ax: Axes, row: float, column: float, height: float, width: float, colour: str = ORANGE, **options: Any
) -> None:
    """The outline of `height` by `width` cells, from (row, column) on. `options` as of a Rectangle."""
    options = {"facecolor": "none", "edgecolor": colour, "linewidth": 2.5, "zorder": 3} | options
    ax.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, clip_on=False, **options))


def image(ax: Axes, picture: np.ndarray, title: str = "") -> None:
    """A picture: (H, W, 3), uint8 or numbers from 0 to 1; or (H, W), grey from its least number to its largest."""
    ax.imshow(picture, cmap="gray", interpolation="nearest")
    _frame(ax, title)


def heat(ax: Axes, scores: np.ndarray, title: str = "", limit: float | None = None) -> None:
    """A map (H, W) of many numbers, without them: dark is least, yellow is most; its colour bar stands beside it.

    It starts at 0 if no number is negative. `limit` is what the brightest yellow stands for.
    """
    least = min(0.0, float(scores.min()))
    shown = ax.imshow(scores, cmap="cividis", vmin=least, vmax=limit, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.03).ax.tick_params(labelsize=8)
    _frame(ax, title)


def coloured(labels: np.ndarray) -> np.ndarray:
    """The picture (..., 3) uint8 of labels: their colours, and white where they are ignored, that is 255."""
    table = np.full((256, 3), 255, np.uint8)
    table[: len(CLASS_COLOURS)] = [[round(255 * part) for part in to_rgb(c)] for c in CLASS_COLOURS]
    return table[labels]


def labels(ax: Axes, map: np.ndarray, title: str = "") -> None:
    """A label map (H, W): each class in its colour, ignored pixels white. `legend` says which is which."""
    ax.imshow(coloured(map), interpolation="nearest")
    _frame(ax, title)


def legend(ax: Axes, names: Sequence[str]) -> None:
    """The colours of the classes `names`, in a line below the figure of `ax`."""
    handles = [Patch(facecolor=c, edgecolor=GREY, label=name) for c, name in zip(CLASS_COLOURS, names)]
    ax.figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=9, frameon=False)


def _frame(ax: Axes, title: str) -> None:
    """A thin frame, no ticks, and the title."""
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
    ax.spines[:].set(color=GREY, linewidth=0.8)


def _short(value: float) -> str:
    """Two digits behind the point at most, none where there need not be: 3, 0.5, -1.25."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _readable(colour: Sequence[float]) -> str:
    """Black or white, whichever stands out from `colour`."""
    red, green, blue = colour[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
