"""From an image to its label map, with a trained network."""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from minifcn import metrics, models, weights
from minifcn.checkpoint import Checkpoint
from minifcn.data import Dataset, Preprocessing
from minifcn.data.palette import VOC_CLASS_NAMES
from minifcn.errors import InputError
from minifcn.inference import mirrored
from minifcn.network import Network
from minifcn.recorded import Recorded

BATCH_PIXELS = 1 << 18  # evaluate images of one size together, up to this many pixels


class Segmenter:
    """A network with all that belongs to it: how its images are normalised, and the names of its classes."""

    def __init__(self, net: Network, preprocessing: Preprocessing, class_names: tuple[str, ...]):
        self.net, self.preprocessing, self.class_names = net, preprocessing, class_names
        self._labels_of = Recorded(net, then=_labels)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Segmenter":
        """From a checkpoint file, which alone says everything. InputError if it cannot be used."""
        saved = Checkpoint.load(path)
        try:
            net = models.build(**saved.recipe)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} holds a network that cannot be built: {error}") from None
        saved.restore(net, path)
        return cls(net, Preprocessing(saved.mean, saved.std, saved.channels), saved.class_names)

    @classmethod
    def from_weights(
        cls, path: str | os.PathLike, model: str = "fcn8s", backbone: str = "vgg16", classes: int = 21
    ) -> "Segmenter":
        """From weights that others trained (weights.load); 21 classes are those of PASCAL VOC.

        InputError if they do not make this network whole, or do not say how its images are normalised.
        """
        try:
            net = models.build(model, classes, backbone=backbone)
        except (TypeError, ValueError) as error:
            raise InputError(f"this network cannot be built: {error}") from None
        source = weights.load(net, path)
        untrained = [name for name in source.kept if name in net.trainable]
        if untrained:
            raise InputError(f"{path} has no {', '.join(untrained)}: train the network from it first")
        if source.preprocessing is None:
            raise InputError(f"{path} does not say how its images are normalised")
        names = VOC_CLASS_NAMES if classes == 21 else tuple(f"class {k}" for k in range(classes))
        return cls(net, Preprocessing(**source.preprocessing), names)

    def labels(self, image: np.ndarray) -> np.ndarray:
        """(…, H, W, 3) uint8 -> (…, H, W) uint8: the class with the highest score at every pixel.

        Valid convolutions see the image mirrored at its borders (inference.mirrored).
        """
        H, W = image.shape[-3:-1]
        found = self.inner_labels(mirrored(self.net, self._stacked(image)))
        return found[:, :H, :W].reshape(image.shape[:-1])

    def inner_labels(self, images: np.ndarray) -> np.ndarray:
        """The same for images (N, H, W, 3) as they are: after valid convolutions some at the borders have none."""
        return self._labels_of(self.preprocessing(images))

    def activations(self, image: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
        """The named activations for one image (H, W, 3), each (h, w, C); the output has the size of the image."""
        H, W = image.shape[:2]
        batch = self.preprocessing(mirrored(self.net, self._stacked(image)))
        found = {name: maps[0] for name, maps in self.net.activations(batch, names).items()}
        return found | {name: maps[:H, :W] for name, maps in found.items() if name == self.net.output}

    def evaluate(self, dataset: Dataset, indices: Iterable[int] | None = None) -> np.ndarray:
        """The confusion matrix over a dataset: one matrix for all pixels, not a mean over images."""
        K = len(self.class_names)
        hist = np.zeros((K, K), np.int64)
        for images, labels in _batches(dataset, range(len(dataset)) if indices is None else indices):
            hist += metrics.confusion(labels, self.labels(images), K)
        return hist

    def _stacked(self, image):
        """Images of any leading shape as (N, H, W, 3)."""
        if image.dtype != np.uint8 or image.ndim < 3 or image.shape[-1] != 3:
            raise ValueError(f"expected images (…, H, W, 3) of uint8, got {image.shape} of {image.dtype}")
        return image.reshape(-1, *image.shape[-3:])


def _labels(scores: np.ndarray) -> np.ndarray:
    """argmax over the classes; of equal scores the lower class. A single score s counts as the two (0, s)."""
    if scores.shape[-1] == 1:
        return (scores[..., 0] > 0).astype(np.uint8)
    return scores.argmax(axis=-1).astype(np.uint8)


def _batches(dataset: Dataset, indices: Iterable[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Consecutive images of one size, stacked."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for i in indices:
        image, label = dataset[i]
        if images and (image.shape != images[0].shape or len(images) * label.size >= BATCH_PIXELS):
            yield np.stack(images), np.stack(labels)
            images, labels = [], []
        images.append(image)
        labels.append(label)
    if images:
        yield np.stack(images), np.stack(labels)
