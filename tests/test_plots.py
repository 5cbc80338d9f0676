"""Pictures show what they are to show."""

import numpy as np
from PIL import Image

from minifcn import plots
from minifcn.data import AUGMENTATIONS, Lines, Shapes


def test_the_contact_sheet_has_a_row_for_each_augmentation_and_white_where_nothing_is(tmp_path):
    image, labels = Shapes(1, 32)[0]
    plots.augmentations(image, labels, tmp_path / "a.png", draws=3)
    plots.augmentations(image, labels, tmp_path / "b.png", draws=3, seed=1)
    sheet, other = (np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("a.png", "b.png"))
    rows, columns = len(AUGMENTATIONS), 4
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    coloured = (np.ptp(sheet, axis=2) > 20)[: height * rows, : width * columns]
    parts = coloured.reshape(rows, height, columns, width).mean(axis=(1, 3))
    assert (parts[:, 0] > 0.5).all(), "the image itself begins each row"
    jittered = list(AUGMENTATIONS).index("jitter")
    assert (parts[jittered, 1:] < parts[jittered, 0]).all()
    assert (sheet != other).any(), "another seed shows other draws"


def test_the_sheet_of_samples_shows_images_and_labels(tmp_path):
    plots.samples([Shapes(3, 32), Lines(3, 32)], tmp_path / "a.png", count=3)
    plots.samples([Shapes(3, 32), Lines(3, 32, seed=1)], tmp_path / "b.png", count=3)
    sheet, other = (np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("a.png", "b.png"))
    changed = (sheet != other).any(axis=2)
    half = len(changed) // 2
    assert not changed[: half - 20].any() and changed[half + 20 :].mean() > 0.4


def test_the_comparison_shows_every_prediction(tmp_path):
    image, truth = Shapes(1, 32)[0]
    for count, wrong in ((7, None), (7, 6), (3, None)):
        guesses = {f"network {k}": truth * (k != wrong) for k in range(count)}
        plots.comparison(image, truth, guesses, tmp_path / f"{count}-{wrong}.png")
    whole, other, short = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        for name in ("7-None", "7-6", "3-None")
    )
    rows, columns = np.nonzero((whole != other).any(axis=2))
    assert rows.min() > len(whole) // 2 and columns.max() < whole.shape[1] // 8, "the ninth begins a line"
    assert len(short) < len(whole)
