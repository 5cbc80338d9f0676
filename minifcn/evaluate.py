"""python -m minifcn.evaluate: how good a trained network is on held-out images.

python -m minifcn.evaluate --checkpoint runs/toy-fcn8s/best.npz --toy
python -m minifcn.evaluate --checkpoint best.npz --data FOLDER
"""

import argparse

from minifcn import metrics
from minifcn.data import FORMATS, TOYS, Dataset, open_folder
from minifcn.errors import InputError, says_errors
from minifcn.kernels.jit import announce_compilation, set_threads
from minifcn.progress import progress
from minifcn.segmenter import Segmenter


@says_errors
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minifcn.evaluate", description="Measure a trained network."
    )
    parser.add_argument("--checkpoint", metavar="FILE", required=True, help="a best.npz or last.npz")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--toy", nargs="?", const="shapes", choices=TOYS, help="on the held-out toy images; default: shapes"
    )
    where.add_argument("--data", metavar="FOLDER", default="", help="on the validation images of this folder")
    parser.add_argument(
        "--format", choices=FORMATS, default="", help="the layout of FOLDER; by default found out by looking"
    )
    parser.add_argument("--threads", metavar="N", type=int, default=0, help="processors to use; 0 means all")
    options = parser.parse_args(arguments)

    if options.threads:
        set_threads(options.threads)
    announce_compilation()
    segmenter = Segmenter.load(options.checkpoint)
    validation: Dataset = (
        TOYS[options.toy].validation() if options.toy else open_folder(options.data, options.format)[1]
    )
    if validation.class_names != segmenter.class_names:
        raise InputError(
            f"{options.checkpoint} knows the classes {', '.join(segmenter.class_names)}; "
            f"the data has {', '.join(validation.class_names)}"
        )
    hist = segmenter.evaluate(validation, progress(range(len(validation)), "evaluating"))
    print(metrics.table(hist, segmenter.class_names))


if __name__ == "__main__":
    main()
