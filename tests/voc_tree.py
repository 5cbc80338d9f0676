"""Make a folder in PASCAL VOC layout from real photographs and textures: `python tests/voc_tree.py FOLDER`.

Blobs of brick, grass and gravel lie on photographs. As in VOC the images differ in size, are JPEGs, and a ribbon of
255 runs around every object.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from minifcn.data import write_label_png

CLASS_NAMES = ("background", "brick", "grass", "gravel")
RIBBON = 0.06  # of an object's radius


def make(folder: Path, count: int = 60, seed: int = 0) -> None:
    """`count` images, every fifth one for validation."""
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    grounds = [data.astronaut(), data.coffee(), data.chelsea()]
    textures = [
        np.repeat(texture[..., None], 3, axis=2) for texture in (data.brick(), data.grass(), data.gravel())
    ]
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        size = rng.integers(90, 161, 2)
        image, labels = _piece(rng, grounds[rng.integers(3)], size), np.zeros(size, np.uint8)
        for _ in range(rng.integers(1, 4)):
            label = int(rng.integers(1, 4))
            distance = _blob(rng, size)
            image[distance < 1] = _piece(rng, textures[label - 1], size)[distance < 1]
            labels[distance < 1 + RIBBON] = 255
            labels[distance < 1 - RIBBON] = label
        stem = f"texture_{i:04d}"
        Image.fromarray(image).save(folder / "JPEGImages" / f"{stem}.jpg", quality=92)
        write_label_png(folder / "SegmentationClass" / f"{stem}.png", labels)
        splits["val" if i % 5 == 4 else "train"].append(stem)
    for split, stems in splits.items():
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(stems) + "\n")
    (folder / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n")


def _piece(rng: np.random.Generator, picture: np.ndarray, size: np.ndarray) -> np.ndarray:
    top, left = rng.integers(0, np.array(picture.shape[:2]) - size + 1)
    return picture[top : top + size[0], left : left + size[1]].copy()


def _blob(rng: np.random.Generator, size: np.ndarray) -> np.ndarray:
    """At every pixel the distance to a random centre over the radius of a wavy outline in that direction."""
    radius = size.min() * rng.uniform(0.2, 0.35)
    y, x = np.indices(size) - rng.uniform(0.2, 0.8, 2)[:, None, None] * size[:, None, None]
    angle, outline = np.arctan2(y, x), 1.0
    for waves in (2, 3, 5):
        outline = outline + rng.uniform(0, 0.15) * np.sin(waves * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(y, x) / (radius * outline)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    print(f"60 images in VOC layout are in {sys.argv[1]}")
