"""What the benchmarks that train have in common: the budget, and runs that can be stopped at any time."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.errors import InputError
from minifcn.progress import StatusLine
from minifcn.settings import Settings
from minifcn.training import Training


class Budget(NamedTuple):
    """Steps of each run, the seeds, where the runs are kept, and whether the documents get the result."""

    steps: int
    seeds: tuple[int, ...]
    folder: Path
    documented: bool = True


def asked(name: str, what: str, steps: int, seeds: tuple[int, ...]) -> Budget:
    """The budget of `python -m benchmarks.NAME`; with --quick, one step and one seed, printed only."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=what)
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a trial: one step in place of {steps}, one seed, and the documents stay as they are",
    )
    if parser.parse_args().quick:
        return Budget(1, seeds[:1], Path("runs") / f"{name}-quick", documented=False)
    return Budget(steps, seeds, Path("runs") / name)


def trained(settings: Settings) -> tuple[Training, np.ndarray]:
    """The run in the folder settings.out, with its best weights, and the confusion matrix of these.

    It is begun, gone on with or only measured, as far as it is. InputError if a run with other settings is there.
    """
    out = Path(settings.out)
    run = Training.resume(out) if (out / "last.npz").exists() else Training.start(settings)
    if run.settings != settings.resolved():
        raise InputError(f"{out} holds a run with other settings; remove it")
    line = StatusLine()
    for step in run:
        line.show(f"{out.name}: step {step.number}/{run.settings.steps}")
    line.close()
    return run, run.finish()
