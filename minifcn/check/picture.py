"""Expected, got and difference as heat maps, for a notebook, in colours that everyone can tell apart."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from minifcn.check.compare import wrong_numbers
from minifcn.check.show import grids
from minifcn.check.trial import Trial

ROWS = 3  # grids that are drawn, of an array that has many; those with wrong numbers first
WRITTEN = 10  # rows and columns up to which the numbers are written into the cells
TONES = 128  # colours of the picture: it stays small
COLOURS = ("#e0803f", "white", "#3f93c5")  # less than zero, zero, more; black text can be read on all
NO_NUMBER = "#d9d9d9"


def picture(trial: Trial) -> str:
    """An <img> of the first output that is wrong and has more than one number; or nothing."""
    for output, expected in trial.expected.items():
        found = trial.found.get(output)
        if trial.is_wrong(output) and isinstance(found, np.ndarray) and min(expected.size, found.size) > 1:
            found, expected = found.real.astype(np.float64), expected.astype(np.float64)
            if found.shape != expected.shape:
                return _image(output, {"expected": expected, "got": found}, np.zeros(found.shape, bool))
            wrong = wrong_numbers(found, expected, trial.tolerance[output])
            with np.errstate(all="ignore"):
                panels = {"expected": expected, "got": found, "got - expected": found - expected}
            return _image(output, panels, wrong)
    return ""


def _image(output: str, panels: dict[str, np.ndarray], wrong: np.ndarray) -> str:
    """A panel in each column, a piece of the array in each row. Expected and got share their colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    marks = [mark for _, mark in grids(output, wrong)]
    order = sorted(range(len(marks)), key=lambda k: not marks[k].any())[:ROWS]
    pieces = {title: grids(output, array) for title, array in panels.items()}
    height, width = np.max([np.atleast_2d(piece[0][1]).shape for piece in pieces.values()], axis=0)
    cell = min(0.5, 3.6 / max(height, width))
    size = (len(panels) * (max(cell * width, 0.9) + 0.3), len(order) * (cell * height + 0.45) + 0.3)
    figure = Figure(figsize=size, dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    shared = max(_largest(panels["expected"]), _largest(panels["got"]))
    for column, (title, array) in zip(
        figure.subplots(len(order), len(panels), squeeze=False).T, panels.items()
    ):
        limit = shared if title in ("expected", "got") else _largest(array)
        for ax, k in zip(column, order):
            if k >= len(pieces[title]):
                ax.set_axis_off()
            else:
                index, piece = pieces[title][k]
                _heat_map(figure, ax, np.atleast_2d(piece), limit or 1.0)
                ax.set_title(f"{title}\n[{index}]" if index else title, fontsize=9)
                if title == "got":
                    _frames(ax, np.atleast_2d(marks[k]))
    figure.suptitle(output, fontsize=10, x=0.01, ha="left", fontweight="bold")
    canvas.draw()
    file = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(TONES).save(file, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _heat_map(figure: Any, ax: Any, grid: np.ndarray, limit: float) -> None:
    """With the numbers, if there is room; otherwise with a bar that says which colour is which."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("signed", COLOURS).with_extremes(bad=NO_NUMBER)
    finite = np.where(np.isfinite(grid), grid, np.nan)
    image = ax.imshow(finite, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color(NO_NUMBER)
    if max(grid.shape) > WRITTEN:
        figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
        return
    for (row, column), value in np.ndenumerate(grid):
        ax.text(column, row, f"{value + 0.0:.3g}", ha="center", va="center", fontsize=8)
    lines = {"color": NO_NUMBER, "linewidth": 0.8}
    ax.hlines(np.arange(1, len(grid)) - 0.5, -0.5, grid.shape[1] - 0.5, **lines)
    ax.vlines(np.arange(1, grid.shape[1]) - 0.5, -0.5, len(grid) - 0.5, **lines)


def _frames(ax: Any, marks: np.ndarray) -> None:
    """Around wrong numbers."""
    from matplotlib.patches import Rectangle

    if max(marks.shape) <= WRITTEN:
        for row, column in np.argwhere(marks):
            ax.add_patch(Rectangle((column - 0.44, row - 0.44), 0.88, 0.88, fill=False, linewidth=1.4))


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0, where=np.isfinite(array)))
