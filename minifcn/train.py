"""python -m minifcn.train: train a network on toy data or your own.

python -m minifcn.train --toy
python -m minifcn.train --toy cells --loss binary --border-weights
python -m minifcn.train --data FOLDER --crop 256
python -m minifcn.train --resume runs/toy-fcn8s
"""

import argparse
import signal
import sys

from minifcn import metrics
from minifcn.errors import InputError, says_errors
from minifcn.kernels.jit import announce_compilation
from minifcn.precompile import precompile
from minifcn.progress import StatusLine, duration
from minifcn.settings import Settings, add_options
from minifcn.training import Training


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m minifcn.train", description="Train a network.")
    add_options(parser)
    parser.add_argument("--resume", metavar="RUN", help="go on with the run in this folder")
    parser.add_argument(
        "--config", metavar="FILE", help="read settings from a TOML file; options override it"
    )
    return parser.parse_args(arguments)


def begin(arguments: argparse.Namespace) -> Training:
    """The run that the command line asks for."""
    options = vars(arguments)
    resume, config = options.pop("resume"), options.pop("config")
    if resume:
        if options or config:
            raise InputError("--resume takes all settings from its run; give it no other options")
        return Training.resume(resume)
    return Training.start(Settings.from_toml(config, **options) if config else Settings(**options))


@says_errors
def main(arguments: list[str] | None = None) -> None:
    options = read_arguments(arguments)
    announce_compilation()
    run = begin(options)
    size = sum(array.size for array in run.net.params.values())
    print(
        f"{run.settings.model} ({run.settings.backbone}), {size:,} parameters, "
        f"{len(run.training):,} images to learn from, {len(run.validation):,} held out",
        file=sys.stderr,
    )
    if run.source:
        print(f"{run.settings.weights}: {run.source}", file=sys.stderr)

    precompile(run)

    stop = False

    def interrupted(signal_number, frame):
        nonlocal stop
        stop = True  # between two steps everything is consistent: stop there
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait

    before = signal.signal(signal.SIGINT, interrupted)
    line, iou = StatusLine(), "–"
    for step in run:
        if step.hist is not None:
            iou = f"{metrics.mean_iou(step.hist):.3f}"
        left = duration((run.settings.steps - step.number) * run.seconds / step.number)
        line.show(
            f"step {step.number}/{run.settings.steps}  loss {step.loss:.3f}  mean IU {iou}  "
            f"{run.images_per_second:.0f} images/s  {left} left",
            final=step.number == run.settings.steps,
        )
        if stop:
            break
    line.close()
    signal.signal(signal.SIGINT, before)

    if stop:
        run.save()
        print(f"stopped at step {run.number}; go on with: python -m minifcn.train --resume {run.out}")
        return
    hist = run.finish()
    print(metrics.table(hist, run.segmenter.class_names))
    print(f"trained for {duration(run.seconds)}; the weights, curves and predictions are in {run.out}")


if __name__ == "__main__":
    main()
