"""python -m benchmarks.leaderboard [--quick]: every model on the toy shapes, in its small form.

Same data, budget and seeds for all. The runs are in runs/leaderboard; started again, it goes on where it was. It
prints the table as Markdown and puts it into docs/leaderboard.md; docs/leaderboard.png shows one image as all of
them see it.
"""

import statistics
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import pages
from benchmarks.trained import Budget, asked, trained
from benchmarks.versus_torch.timing import contest
from minifcn import metrics, plots
from minifcn.data import TOYS, Dataset
from minifcn.models import MODELS
from minifcn.segmenter import Segmenter
from minifcn.settings import Settings
from minifcn.training import Training

SEEDS, STEPS, BATCH = (0, 1), 600, 8
BAND = 3  # pixels on either side of a boundary
SHOWN = 13  # of the held-out images: one with a shape of every class


class Run(NamedTuple):
    """A run that is through, with the best weights, and its measures on the held-out images."""

    training: Training
    iu: float
    near: float  # mean IU in the band along the boundaries


class Row(NamedTuple):
    model: str
    parameters: int
    iu: list[float]  # of each seed, as `near`
    near: list[float]
    image: float  # seconds an image, in inference
    step: float


def measured(model: str, seed: int, budget: Budget, validation: Dataset) -> Run:
    out = budget.folder / f"{model}-{seed}"
    settings = Settings(
        toy="shapes", model=model, seed=seed, steps=budget.steps, batch_size=BATCH, out=str(out)
    )
    run, hist = trained(settings)
    near = np.zeros_like(hist)
    for image, labels in (validation[i] for i in range(len(validation))):
        near += metrics.confusion(metrics.trimap(labels, BAND), run.segmenter.labels(image), len(hist))
    return Run(run, metrics.mean_iou(hist), metrics.mean_iou(near))


def seconds_an_image(segmenters: dict[str, Segmenter], validation: Dataset) -> dict[str, float]:
    """Inference in batches as large as those of the training; the networks take turns."""
    images = np.stack([validation[i][0] for i in range(min(BATCH, len(validation)))])
    calls = {model: partial(s.net, s.preprocessing(images)) for model, s in segmenters.items()}
    return {model: timing.median / len(images) for model, timing in contest(calls).items()}


def seconds_a_step(runs: dict[str, Training]) -> dict[str, float]:
    """Training steps beyond the last one, which nobody keeps; the networks take turns."""
    calls = {model: run.step for model, run in runs.items()}
    return {model: timing.median for model, timing in contest(calls).items()}


def table(rows: list[Row]) -> str:
    titles = ["model", "parameters", "mean IU", "of each seed", f"within {BAND} pixels of a boundary"]
    cells = [
        [
            row.model,
            f"{row.parameters:,}",
            f"{100 * statistics.median(row.iu):.1f}",
            ", ".join(f"{100 * iu:.1f}" for iu in row.iu),
            f"{100 * statistics.median(row.near):.1f}",
            f"{1000 * row.image:.2f}",
            f"{1000 * row.step:.1f}",
        ]
        for row in rows
    ]
    return pages.table([*titles, "ms an image", "ms a training step"], cells)


def main() -> None:
    budget = asked("leaderboard", "every model on the toy shapes, in its small form", STEPS, SEEDS)
    validation = TOYS["shapes"].validation()
    runs = {model: [measured(model, seed, budget, validation) for seed in budget.seeds] for model in MODELS}
    firsts = {model: first.training for model, (first, *_) in runs.items()}
    segmenters = {model: training.segmenter for model, training in firsts.items()}
    image, truth = validation[min(SHOWN, len(validation) - 1)]
    seen = {model: segmenter.labels(image) for model, segmenter in segmenters.items()}
    times, steps = seconds_an_image(segmenters, validation), seconds_a_step(firsts)
    rows = [
        Row(
            model,
            sum(array.size for array in segmenters[model].net.params.values()),
            [run.iu for run in of_model],
            [run.near for run in of_model],
            times[model],
            steps[model],
        )
        for model, of_model in runs.items()
    ]
    rows.sort(key=lambda row: -statistics.median(row.iu))
    caption = (
        f"Percent, on {len(validation)} held-out images, after {budget.steps} steps of {BATCH} images; medians of "
        f"{len(budget.seeds)} seeds."
    )
    docs = Path("docs") if budget.documented else budget.folder
    plots.comparison(
        image,
        truth,
        {row.model: seen[row.model] for row in rows},
        docs / "leaderboard.png",
    )
    if budget.documented:
        pages.put(docs / "leaderboard.md", "python -m benchmarks.leaderboard", f"{table(rows)}\n\n{caption}")
    print(f"{table(rows)}\n\n{caption}")


if __name__ == "__main__":
    main()
