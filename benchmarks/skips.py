"""python -m benchmarks.skips: FCN-32s, 16s and 8s on the toy data, beside the paper's table.

Same data, budget and seeds for the three. The runs are in runs/skips; started again, it goes on where it was. It
prints the table as Markdown and puts it into README.md, between the marks; the pictures of FCN-8s go to docs/.
"""

import re
import shutil
import statistics
from pathlib import Path

from minifcn import metrics
from minifcn.progress import StatusLine
from minifcn.settings import Settings
from minifcn.training import Training

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
    begun = (out / "last.npz").exists()
    settings = Settings(toy=True, model=model, seed=seed, steps=1500, batch_size=16, out=str(out))
    run, line = Training.resume(out) if begun else Training.start(settings), StatusLine()
    for step in run:
        line.show(f"{model}, seed {seed}: step {step.number}/{run.settings.steps}")
    line.close()
    hist = run.finish()
    return [100 * metric(hist) for metric in FOUR]


def table(results: dict[str, list[list[float]]]) -> str:
    """Medians over the seeds, the mean IU of each, and the paper's numbers in the same order."""
    lines = [
        "| | pixel acc. | mean acc. | mean IU | f.w. IU | mean IU of each seed | the paper's four, on PASCAL VOC |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, runs in results.items():
        cells = [model.upper().replace("FCN", "FCN-").replace("S", "s")]
        cells += [f"{statistics.median(values):.1f}" for values in zip(*runs)]
        cells.append(", ".join(f"{values[2]:.1f}" for values in runs))
        cells.append(", ".join(map(str, PAPER[model])))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    runs, docs = Path("runs/skips"), Path("docs")
    results = {model: [measure(model, seed, runs / f"{model}-{seed}") for seed in SEEDS] for model in PAPER}
    docs.mkdir(exist_ok=True)
    for picture in ("predictions.png", "curves.png"):
        shutil.copy(runs / "fcn8s-0" / picture, docs / picture)
    readme = Path("README.md")
    text = re.sub(
        r"(<!-- table: python -m benchmarks.skips -->\n).*?(<!-- end -->)",
        lambda marks: marks[1] + table(results) + "\n" + marks[2],
        readme.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    readme.write_text(text, encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
