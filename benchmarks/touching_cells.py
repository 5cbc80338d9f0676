"""python -m benchmarks.touching_cells [--quick]: how many cells are told apart, with and without border weights.

The runs are in runs/touching_cells; started again, it goes on where it was. It prints the table as Markdown and
puts it into docs/losses.md.
"""

import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks import pages
from benchmarks.trained import Budget, asked, trained
from minifcn import metrics, objects
from minifcn.data import TOYS
from minifcn.data.cells import Cells
from minifcn.settings import Settings

MODELS = {"fcn8s": "FCN-8s", "unet": "U-Net"}
SEEDS, STEPS = (0, 1), 600


class Row(NamedTuple):
    model: str
    border_weights: bool
    found: list[int]  # true cells that the prediction has, of each seed
    predicted: list[int]  # cells that it has in all
    iu: list[float]  # of the class


def measured(model: str, border_weights: bool, budget: Budget, validation: Cells) -> Row:
    row = Row(MODELS[model], border_weights, [], [], [])
    for seed in budget.seeds:
        out = budget.folder / f"{model}{'-weighted' * border_weights}-{seed}"
        settings = Settings(
            toy="cells",
            model=model,
            border_weights=border_weights,
            seed=seed,
            steps=budget.steps,
            out=str(out),
        )
        run, hist = trained(settings)
        found = predicted = 0
        for i in range(len(validation)):
            cells = objects.components(run.segmenter.labels(validation[i][0]) == 1)
            found += int(objects.found(validation.instances(i), cells).sum())
            predicted += int(cells.max())
        row.found.append(found)
        row.predicted.append(predicted)
        row.iu.append(float(metrics.iou(hist)[1]))
    return row


def table(rows: list[Row], cells: int) -> str:
    titles = [
        "network",
        "border weights",
        "cells told apart",
        "of each seed",
        "cells predicted",
        "IU of cells",
    ]
    return pages.table(
        titles,
        [
            [
                row.model,
                "yes" if row.border_weights else "no",
                f"{100 * statistics.median(row.found) / cells:.1f}",
                ", ".join(f"{100 * found / cells:.1f}" for found in row.found),
                f"{statistics.median(row.predicted):.0f}",
                f"{100 * statistics.median(row.iu):.1f}",
            ]
            for row in rows
        ],
    )


def main() -> None:
    budget = asked("touching_cells", "cells told apart, with and without border weights", STEPS, SEEDS)
    toy = TOYS["cells"]
    validation = toy.validation()
    cells = sum(len(objects.found(validation.instances(i), validation[i][1])) for i in range(len(validation)))
    rows = [measured(model, weighted, budget, validation) for model in MODELS for weighted in (False, True)]
    caption = (
        f"Percent, on {len(validation)} held-out images with {cells} cells, after {budget.steps} steps of "
        f"{toy.batch_size} images; medians of {len(budget.seeds)} seeds."
    )
    if budget.documented:
        text = f"{table(rows, cells)}\n\n{caption}"
        pages.put(Path("docs/losses.md"), "python -m benchmarks.touching_cells", text)
    print(f"{table(rows, cells)}\n\n{caption}")


if __name__ == "__main__":
    main()
