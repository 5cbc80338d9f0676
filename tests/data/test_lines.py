"""Toy lines are thin and dark; broad bands, as dark, are ground."""

import numpy as np
import pytest

from minifcn.data.lines import Lines


@pytest.fixture(scope="module")
def lines():
    return Lines(30, seed=3)


def full_windows(mask, side):
    """Where a window of side x side pixels is all True."""
    windows = np.lib.stride_tricks.sliding_window_view(mask, (side, side))
    return windows.all(axis=(2, 3))


def test_lines_are_thin_and_long(lines):
    labels = lines.labels == 1
    assert 0.02 < labels.mean() < 0.15 and labels.any(axis=(1, 2)).all()
    thick = np.mean([full_windows(picture, 5).mean() for picture in labels])
    assert thick < 0.05 * labels.mean(), "only where they meet"
    for picture in labels:
        rows, columns = np.nonzero(picture)
        assert max(np.ptp(rows), np.ptp(columns)) > 20


def test_lines_are_darker_than_what_lies_beside_them(lines):
    for image, labels in (lines[i] for i in range(len(lines))):
        light = image.mean(axis=2)
        y, x = np.nonzero(labels[3:-3, 3:-3])
        beside = np.array([light[y + 3 + d, x + 3 + r] for d in (-3, 0, 3) for r in (-3, 0, 3) if d or r])
        assert (light[y + 3, x + 3] < beside.mean(axis=0)).mean() > 0.8


def test_darkness_alone_does_not_tell_a_line(lines):
    """The best threshold on the light of a picture calls more ground a line than there are lines."""
    best = []
    for image, labels in (lines[i] for i in range(len(lines))):
        order = np.argsort(image.mean(axis=2), axis=None)
        right = np.cumsum(labels.ravel()[order])
        called = np.arange(1, labels.size + 1)
        best.append(np.max(right / (called + labels.sum() - right)))
    assert np.median(best) < 0.5
