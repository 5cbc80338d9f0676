"""python -m benchmarks.skips: FCN-32s, 16s and 8s on the toy data, beside the paper's table.

Same data, budget and seeds for the three. The runs are in runs/skips; started again, it goes on where it was. It
prints the table as Markdown and puts it into README.md, between the marks; the pictures of FCN-8s go to docs/.
"""

import shutil
import statistics
from pathlib import Path

from benchmarks import pages
from benchmarks.trained import trained
from minifcn import metrics
from minifcn.settings import Settings

SEEDS = (0, 1, 2)
# In percent, as FOUR below: Long, Shelhamer & Darrell (2015), table 2
PAPER = {
    "fcn32s": (89.1, 73.3, 59.4, 81.4),
    "fcn16s": (90.0, 75.7, 62.4, 83.0),
    "fcn8s": (90.3, 75.9, 62.7, 83.2),
}
FOUR = (metrics.pixel_accuracy, metrics.mean_accuracy, metrics.mean_iou, metrics.frequency_weighted_iou)


def measure(model: str, seed: int, out: Path) -> list[float]:
    """Train once, or take up a run that was begun: the four metrics in percent."""
    settings = Settings(toy="shapes", model=model, seed=seed, steps=1500, batch_size=16, out=str(out))
    _, hist = trained(settings)
    return [100 * metric(hist) for metric in FOUR]


def table(results: dict[str, list[list[float]]]) -> str:
    """Medians over the seeds, the mean IU of each, and the paper's numbers in the same order."""
    titles = ["", "pixel acc.", "mean acc.", "mean IU", "f.w. IU", "mean IU of each seed"]
    rows = []
    for model, runs in results.items():
        cells = [model.upper().replace("FCN", "FCN-").replace("S", "s")]
        cells += [f"{statistics.median(values):.1f}" for values in zip(*runs)]
        cells.append(", ".join(f"{values[2]:.1f}" for values in runs))
        rows.append([*cells, ", ".join(map(str, PAPER[model]))])
    return pages.table([*titles, "the paper's four, on PASCAL VOC"], rows)


def main() -> None:
    runs, docs = Path("runs/skips"), Path("docs")
    results = {model: [measure(model, seed, runs / f"{model}-{seed}") for seed in SEEDS] for model in PAPER}
    for picture in ("predictions.png", "curves.png"):
        shutil.copy(runs / "fcn8s-0" / picture, docs / picture)
    pages.put(Path("README.md"), "python -m benchmarks.skips", table(results))
    print(table(results))


if __name__ == "__main__":
    main()
