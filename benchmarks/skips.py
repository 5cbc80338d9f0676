"""python -m benchmarks.skips: FCN-32s, 16s and 8s on the toy data, beside the paper's table.

Same data, budget and seeds for the three. Prints the table as Markdown and puts it into README.md, between the
marks; the pictures of FCN-8s go to docs/.
"""

import re
import shutil
import statistics
import tempfile
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


def measure(model: str, seed: int, out: Path) -> tuple[list[float], float]:
    """Train once: the four metrics in percent, and the seconds."""
    run, line = Training.start(Settings(toy=True, model=model, seed=seed, out=str(out))), StatusLine()
    for step in run:
        line.show(f"{model}, seed {seed}: step {step.number}/{run.settings.steps}")
    line.close()
    hist = run.finish()
    return [100 * metric(hist) for metric in FOUR], run.seconds


def table(results: dict[str, list[tuple[list[float], float]]]) -> str:
    """Medians over the seeds, with the range of the mean IU."""
    lines = [
        "| | pixel acc. | mean acc. | mean IU | f.w. IU | mean IU, all seeds | training | mean IU in the paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model, runs in results.items():
        medians = [statistics.median(values[k] for values, _ in runs) for k in range(4)]
        ious = ", ".join(f"{values[2]:.1f}" for values, _ in runs)
        seconds = statistics.median(seconds for _, seconds in runs)
        cells = [
            model.upper().replace("FCN", "FCN-").replace("S", "s"),
            *(f"{value:.1f}" for value in medians),
        ]
        lines.append("| " + " | ".join([*cells, ious, f"{seconds:.0f} s", f"{PAPER[model]}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in PAPER:
            results[model] = [measure(model, seed, Path(folder) / f"{model}-{seed}") for seed in SEEDS]
        docs = Path("docs")
        docs.mkdir(exist_ok=True)
        for picture in ("predictions.png", "curves.png"):
            shutil.copy(Path(folder) / "fcn8s-0" / picture, docs / picture)
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
