"""Weights that make a loss care for rare classes as for frequent ones, counted in a dataset."""

from collections.abc import Callable

import numpy as np

from minifcn.data.dataset import Dataset
from minifcn.progress import progress

IGNORE = 255


def median_frequency(dataset: Dataset) -> np.ndarray:
    """w_c = median(f) / f_c, with f_c the part of class c in the images where it occurs: (K,) float64.

    f_c = pixels of class c / pixels of all images in which c occurs. Ignored pixels count nowhere. The median is
    over the classes that occur; a class that does not gets the weight 0. Source: Eigen and Fergus, "Predicting
    depth, surface normals and semantic labels with a common multi-scale convolutional architecture", 2015,
    section 4.3.2; SegNet has its weights from there.
    """
    pixels, around = _count(dataset)
    occurs = pixels > 0
    frequency = pixels[occurs] / around[occurs]
    weights = np.zeros(len(pixels))
    weights[occurs] = np.median(frequency) / frequency
    return weights


def inverse_frequency(dataset: Dataset) -> np.ndarray:
    """w_c = P / (M P_c): P_c of the P valid pixels are of class c, and M classes occur. (K,) float64.

    So each class has the same part, 1 / M, in the sum of the weights of all pixels, which is P as without
    weights. A class that does not occur gets the weight 0.
    """
    pixels, _ = _count(dataset)
    occurs = pixels > 0
    weights = np.zeros(len(pixels))
    weights[occurs] = pixels.sum() / (np.count_nonzero(occurs) * pixels[occurs])
    return weights


CLASS_WEIGHTS: dict[str, Callable[[Dataset], np.ndarray]] = {
    "median-frequency": median_frequency,
    "inverse-frequency": inverse_frequency,
}


def _count(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """For each class: its pixels, and the valid pixels of the images in which it occurs. Both (K,) int64."""
    K = len(dataset.class_names)
    pixels, around = np.zeros(K, np.int64), np.zeros(K, np.int64)
    for index in progress(range(len(dataset)), "counting classes"):
        _, labels = dataset[index]
        found = np.bincount(labels.ravel(), minlength=IGNORE + 1)[:IGNORE]
        if found[K:].any():
            label = K + int(np.flatnonzero(found[K:])[0])
            raise ValueError(f"{dataset.name(index)} has the label {label}, expected 0..{K - 1} or {IGNORE}")
        pixels += found[:K]
        around += (found[:K] > 0) * found.sum()
    return pixels, around
