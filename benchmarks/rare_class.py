"""python -m benchmarks.rare_class [--quick]: the losses on a class that few pixels have, buildings from above.

The runs are in runs/rare_class; started again, it goes on where it was. It prints the table as Markdown and puts
it into docs/losses.md.
"""

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pages
from benchmarks.trained import Budget, asked, trained
from minifcn import metrics
from minifcn.data import TOYS
from minifcn.settings import Settings

LOSSES: dict[str, dict[str, Any]] = {
    "cross-entropy": {"loss": "cross-entropy"},
    "cross-entropy, classes weighted by median frequency": {
        "loss": "cross-entropy",
        "class_weights": "median-frequency",
    },
    "Dice, over Σ p + Σ g": {"loss": "dice"},
    "Dice, over Σ p² + Σ g²": {"loss": "squared-dice"},
    "cross-entropy + Dice": {"loss": "both"},
}
SEEDS, STEPS = (0, 1), 300
MEASURES = (metrics.iou, metrics.precision, metrics.recall)


def measured(options: dict[str, Any], budget: Budget) -> list[list[float]]:
    """For each seed IU, precision and recall of the buildings, in percent."""
    found = []
    for seed in budget.seeds:
        out = budget.folder / "-".join([*options.values(), str(seed)])
        _, hist = trained(Settings(toy="buildings", seed=seed, steps=budget.steps, out=str(out), **options))
        found.append([100 * float(measure(hist)[1]) for measure in MEASURES])
    return found


def table(results: dict[str, list[list[float]]]) -> str:
    """Medians over the seeds, and the IU of each."""
    rows = []
    for loss, runs in results.items():
        iu, precision, recall = (_percent(statistics.median(values)) for values in zip(*runs))
        rows.append([loss, iu, ", ".join(f"{values[0]:.1f}" for values in runs), precision, recall])
    return pages.table(["loss", "IU of buildings", "of each seed", "precision", "recall"], rows)


def _percent(value: float) -> str:
    """Where nothing is found, nothing found is right or wrong."""
    return "–" if math.isnan(value) else f"{value:.1f}"


def main() -> None:
    budget = asked("rare_class", "the losses on buildings from above, a rare class", STEPS, SEEDS)
    results = {loss: measured(options, budget) for loss, options in LOSSES.items()}
    toy = TOYS["buildings"]
    share = 100 * np.mean(toy.validation().labels)
    caption = (
        f"Percent, on {toy.held_out} held-out images, of whose pixels {share:.1f} % are of a building; FCN-8s "
        f"after {budget.steps} steps of {toy.batch_size} pieces of {toy.crop}x{toy.crop} pixels; medians of "
        f"{len(budget.seeds)} seeds."
    )
    if budget.documented:
        pages.put(Path("docs/losses.md"), "python -m benchmarks.rare_class", f"{table(results)}\n\n{caption}")
    print(f"{table(results)}\n\n{caption}")


if __name__ == "__main__":
    main()
