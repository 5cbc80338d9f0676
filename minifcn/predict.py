"""python -m minifcn.predict: label maps of your images.

    python -m minifcn.predict photo.jpg --checkpoint runs/toy-fcn8s/best.npz --out predictions
    python -m minifcn.predict photo.jpg --weights fcn8s-heavy-pascal.caffemodel
    python -m minifcn.predict satellite.tif --checkpoint best.npz --tile 1024

For every image it writes NAME.png, the label map as a palette PNG, and NAME-overlay.png; with --heatmaps also
NAME-heatmaps.png, the score map of every class and the strongest channels inside the network. With --tile the
network sees one tile after the other: its memory does not grow with the image, the labels are the same, and a run
that was stopped goes on where it was.
"""

import argparse
from pathlib import Path
from zlib import crc32

import numpy as np

from minifcn import plots
from minifcn.data import read_image, write_label_png
from minifcn.errors import InputError, says_errors
from minifcn.files import make_folder
from minifcn.inference import tiled, tiles
from minifcn.kernels.jit import announce_compilation, set_threads
from minifcn.models import MODELS, SIZES
from minifcn.progress import progress
from minifcn.segmenter import Segmenter

INSIDE = ("pool3", "pool4", "relu7")  # fc7 after its rectifier


def predict(segmenter: Segmenter, path: Path, out: Path, heatmaps: bool, tile: int = 0) -> None:
    """Write the pictures of one image."""
    image = read_image(path)
    labels = tiled_labels(segmenter, image, tile, out / path.stem) if tile else segmenter.labels(image)
    write_label_png(out / f"{path.stem}.png", labels)
    plots.write_image(out / f"{path.stem}-overlay.png", plots.overlay(image, labels))
    if heatmaps:
        inside = [name for name in INSIDE if name in segmenter.net.nodes]
        maps = segmenter.activations(image, [segmenter.net.output, *inside])
        scores = maps.pop(segmenter.net.output)
        names = segmenter.class_names[-scores.shape[-1] :]  # a single score is that of the second class
        plots.heatmaps(image, scores, maps, names, out / f"{path.stem}-heatmaps.png")


def check_outputs(images: list[Path], out: Path) -> None:
    """InputError if a result would overwrite an image or another result."""
    taken = {path.resolve(): "an image" for path in images}
    for path in images:
        for kind in ("", "-overlay", "-heatmaps"):
            result = (out / f"{path.stem}{kind}.png").resolve()
            if result in taken:
                raise InputError(f"{path}: its result {result.name} would overwrite {taken[result]} in {out}")
            taken[result] = f"that of {path}"


def tiled_labels(segmenter: Segmenter, image: np.ndarray, tile: int, out: Path) -> np.ndarray:
    """The label map of an image of any size, tile by tile, kept in files until it is whole.

    The files are named after this image and this network, so what an earlier, stopped run has done is taken up
    and what another one left is not.
    """
    try:
        for axis in (0, 1):
            tiles(segmenter.net, image.shape, tile, axis, mirror=True)
    except ValueError as error:
        raise InputError(f"--tile: {error}") from None
    job = crc32(np.ascontiguousarray(image).data)
    for array in segmenter.net.arrays.values():
        job = crc32(np.ascontiguousarray(array).data, job)
    partial, journal = (out.with_name(f".{out.name}-{job:08x}.{end}") for end in ("npy", "tiles"))
    known = partial.exists() and journal.exists()
    if not known:
        journal.unlink(missing_ok=True)
    found = np.lib.format.open_memmap(
        partial, mode="r+" if known else "w+", dtype=np.uint8, shape=image.shape[:2]
    )
    function = segmenter.inner_labels
    labels = np.array(tiled(segmenter.net, image, tile, found, function, journal, mirror=True))
    partial.unlink()
    return labels


@says_errors
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minifcn.predict", description="Label the pixels of images."
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--checkpoint", metavar="FILE", help="a best.npz or last.npz")
    what.add_argument("--weights", metavar="FILE", help="weights of others: .pth, .safetensors, .caffemodel")
    parser.add_argument("--model", choices=MODELS, help="what --weights are for; default: fcn8s")
    parser.add_argument("--backbone", choices=SIZES, help="what --weights are for; default: vgg16")
    parser.add_argument("--classes", type=int, metavar="K", help="what --weights are for; default: 21")
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path("predictions"), help="default: predictions"
    )
    parser.add_argument(
        "--tile",
        metavar="N",
        type=int,
        default=0,
        help="run over tiles of N pixels: less memory, same labels",
    )
    parser.add_argument("--heatmaps", action="store_true", help="also draw score maps and activations")
    parser.add_argument("--threads", metavar="N", type=int, default=0, help="processors to use; 0 means all")
    options = parser.parse_args(arguments)

    if options.threads:
        set_threads(options.threads)
    check_outputs(options.images, options.out)
    if options.tile and options.heatmaps:
        raise InputError("--heatmaps shows the whole image at once; leave out --tile")
    shape = {name: vars(options)[name] for name in ("model", "backbone", "classes")}
    shape = {name: value for name, value in shape.items() if value is not None}
    if options.checkpoint and shape:
        raise InputError(
            f"--{', --'.join(shape)}: only for --weights; a checkpoint says which network it holds"
        )
    announce_compilation()
    if options.checkpoint:
        segmenter = Segmenter.load(options.checkpoint)
    else:
        segmenter = Segmenter.from_weights(options.weights, **shape)
    make_folder(options.out)
    for path in progress(options.images, "predicting"):
        predict(segmenter, path, options.out, options.heatmaps, options.tile)
    count = len(options.images)
    print(f"label maps and overlays of {count} image{'s' * (count != 1)} are in {options.out}")


if __name__ == "__main__":
    main()
