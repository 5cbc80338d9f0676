"""Expected, got and difference as heat maps, for a notebook, in colours that everyone can tell apart."""

import base64
import io
from typing import Any

import numpy as np

from minifcn.check.compare import wrong_numbers
from minifcn.check.show import grids
from minifcn.check.trial import Trial

ROWS = 3  # grids that are drawn, of an array that has many; those with wrong numbers first
WRITTEN = 8  # rows and columns up to which the numbers are written into the cells
CELL = 0.42  # inches
COLOURS = "PuOr"
FRAME = "black"


def picture(trial: Trial) -> str:
    """An <img> of the first output that is wrong and has more than one number; or nothing."""
    for output, expected in trial.expected.items():
        found = trial.found.get(output)
        if trial.is_wrong(output) and isinstance(found, np.ndarray) and min(expected.size, found.size) > 1:
            return _drawn(
                output, expected.astype(np.float64), found.real.astype(np.float64), trial.tolerance[output]
            )
    return ""


def _drawn(output: str, expected: np.ndarray, found: np.ndarray, tolerance: Any) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    limit = max(_most(expected), _most(found)) or 1.0
    panels = [("expected", expected, limit), ("got", found, limit)]
    wrong = np.zeros(found.shape, bool)
    if found.shape == expected.shape:
        with np.errstate(all="ignore"):
            difference = found - expected
        wrong = wrong_numbers(found, expected, tolerance)
        panels.append(("got - expected", difference, _most(difference) or 1.0))
    marks = grids(output, wrong)
    order = sorted(range(len(marks)), key=lambda k: not marks[k][1].any())[:ROWS]
    pieces = [grids(output, array) for _, array, _ in panels]
    rows = min(ROWS, max(map(len, pieces)))
    height, width = _grid(pieces[0][0][1]).shape
    size = (len(panels) * (max(width * CELL, 1.6) + 0.9), rows * (max(height * CELL, 0.5) + 0.7))
    figure = Figure(figsize=(min(size[0], 12), min(size[1], 12)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, len(panels), squeeze=False)
    for column, (title, _, most) in enumerate(panels):
        for row in range(rows):
            ax = axes[row, column]
            k = order[row] if row < len(order) else row
            if k >= len(pieces[column]):
                ax.set_axis_off()
                continue
            index, piece = pieces[column][k]
            framed = _grid(marks[k][1]) if title == "got" else None
            _heat_map(figure, ax, _grid(piece), most, framed)
            ax.set_title(f"{title}{f' [{index}]' if index else ''}", fontsize=9)
    figure.suptitle(output, fontsize=10, x=0.01, ha="left", fontweight="bold")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _heat_map(figure: Any, ax: Any, grid: np.ndarray, limit: float, framed: np.ndarray | None) -> None:
    """Zero is white. Numbers are written if there is room, otherwise a bar shows the scale."""
    image = ax.imshow(grid, cmap=COLOURS, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    if max(grid.shape) > WRITTEN:
        figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
        return
    for (i, j), value in np.ndenumerate(grid):
        dark = np.isfinite(value) and abs(value) > 0.6 * limit
        ax.text(
            j, i, f"{value:.3g}", ha="center", va="center", fontsize=8, color="white" if dark else "black"
        )
        if framed is not None and framed[i, j]:
            ax.add_patch(_frame(j, i))


def _frame(j, i):
    from matplotlib.patches import Rectangle

    return Rectangle((j - 0.45, i - 0.45), 0.9, 0.9, fill=False, edgecolor=FRAME, linewidth=1.5)


def _most(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0, where=np.isfinite(array)))


def _grid(piece: np.ndarray) -> np.ndarray:
    return piece.reshape(1, -1) if piece.ndim < 2 else piece
