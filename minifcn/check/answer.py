"""What the checker says: not attempted, wrong and why, or right and how fast."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minifcn.check.compare import Problem, wrong_numbers
from minifcn.check.diagnosis import Cause
from minifcn.check.place import where
from minifcn.check.show import argument, beside
from minifcn.check.trial import Trial

FACTS = ("changed", "missing")  # kinds of problems that say all there is to say, whatever the case
COLOURS = {"not attempted": "#0072b2", "wrong": "#d55e00", "right": "#009e73"}


@dataclass(frozen=True)
class Answer:
    """`state` is "not attempted", "wrong" or "right"; printed, it is the text. A notebook adds a picture.

    `diagnosis` has a sentence for each mistake that is known by now, `trial` the smallest case that is wrong.
    """

    state: str
    text: str
    diagnosis: tuple[str, ...] = ()
    trial: Trial | None = None

    @property
    def right(self) -> bool:
        return self.state == "right"

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        from minifcn.check.picture import picture

        style = f"border-left: 4px solid {COLOURS[self.state]}; padding-left: 1em; white-space: pre-wrap"
        style += "; word-break: normal"  # JupyterLab would break lines within words
        image = picture(self.trial) if self.trial else ""
        return f'<pre style="{style}">{html.escape(self.text)}</pre>{image}'


@dataclass(frozen=True)
class Note:
    """A text, and how a notebook shows it: a hint, or a piece of source."""

    text: str
    markdown: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown


def not_attempted(name: str, reason: str, help: str = "") -> Answer:
    """`reason` says what is missing."""
    return Answer("not attempted", _joined([f"{name}: not attempted yet.", reason, "", help]))


def right(name: str, trials: Sequence[Trial]) -> Answer:
    """In how many cases, up to which size."""
    count = f"in all {len(trials)} cases" if len(trials) > 1 else "in the one case tried"
    arguments = [pair for trial in trials for pair in trial.case.items()]
    shaped = [(key, value.shape) for key, value in arguments if isinstance(value, np.ndarray) and value.ndim]
    largest = max(shaped, key=lambda pair: np.prod(pair[1]), default=None)
    return Answer(
        "right", f"{name}: right, {count}{f', up to {largest[0]} {largest[1]}' if largest else ''}."
    )


def wrong(
    name: str, trials: Sequence[Trial], least: Trial, causes: Sequence[Cause], remark: str, help: str
) -> Answer:
    """What is wrong, as far as it is known; then the smallest case, with expected and got side by side."""
    failing = sum(bool(trial.problems) for trial in trials)
    if len(trials) == 1:
        count = ""
    else:
        count = f" in {f'all {failing}' if failing == len(trials) else f'{failing} of {len(trials)}'} cases"
    facts = dict.fromkeys(
        problem.says for trial in (least, *trials) for problem in trial.problems if problem.kind in FACTS
    )
    diagnosis = (*_explained(causes), *facts)
    lines = [
        f"{name}: wrong{count}.",
        *(line for sentence in diagnosis for line in ("", sentence)),
        "",
        remark,
    ]
    for output in least.expected:
        if least.is_wrong(output) and output not in [cause.output for cause in causes]:
            lines += where(trials, output)
    lines += ["", "The smallest case:" if len(trials) > 1 else "The case:"]
    for key, value in least.case.items():
        lines += [f"    {line}" for line in argument(key, value)]
    for problem in least.problems:
        if problem.says in facts:
            continue
        lines += ["", problem.says, *(f"    {line}" for line in _numbers(least, problem))]
    if least.call.printed.strip():
        lines += ["", "It printed:", *(f"    {line}" for line in least.call.printed.rstrip().splitlines())]
    return Answer("wrong", _joined([*lines, "", help]), diagnosis, least)


def _explained(causes: Sequence[Cause]) -> tuple[str, ...]:
    """Each cause once, with all outputs that it explains."""
    outputs: dict[tuple[str, str], list[str]] = {}
    for cause in causes:
        outputs.setdefault((cause.says, cause.see), []).append(cause.output)
    return tuple(
        f"{' and '.join(names)}: {says} See {see}." if see else says for (says, see), names in outputs.items()
    )


def _numbers(trial: Trial, problem: Problem) -> list[str]:
    found, expected = trial.found.get(problem.output), trial.expected.get(problem.output)
    if not isinstance(found, np.ndarray) or expected is None or problem.kind == "complex":
        return []
    mask = None
    if problem.kind != "shape":
        mask = wrong_numbers(found, expected, trial.tolerance[problem.output])
    return beside(problem.output, expected, found, mask)


def _joined(lines: Sequence[str]) -> str:
    """One empty line where there are several."""
    kept = [line for k, line in enumerate(lines) if line or (k and lines[k - 1])]
    return "\n".join(kept).rstrip()
