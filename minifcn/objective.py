"""What a run makes small: the losses by name, with the weights of classes and pixels that it wants.

The binary losses read one score map that tells two classes apart; the others one for each class.
"""

from functools import partial

import numpy as np

from minifcn import losses
from minifcn.losses import Loss

# Each name stands for a sum: the cross-entropy, which takes weights, and the overlap, which does not.
LOSSES: dict[str, tuple[Loss | None, Loss | None]] = {
    "cross-entropy": (losses.cross_entropy, None),
    "dice": (None, losses.dice),
    "squared-dice": (None, partial(losses.dice, squared=True)),
    "both": (losses.cross_entropy, losses.dice),
    "binary": (losses.binary_cross_entropy, None),
    "binary-dice": (None, losses.binary_dice),
    "binary-both": (losses.binary_cross_entropy, losses.binary_dice),
}


def is_binary(name: str) -> bool:
    """Whether the loss of that name reads one score map for two classes."""
    return name.startswith("binary")


def takes_weights(name: str) -> bool:
    """Whether the loss of that name has a cross-entropy in it."""
    return LOSSES[name][0] is not None


def build_loss(name: str, class_weights: np.ndarray | None = None) -> Loss:
    """The loss of that name: (scores, labels) -> (value, dscores).

    Labels may carry the weights of their pixels (data.WEIGHTED_LABELS). Weights of pixels and of classes change
    the cross-entropy alone.

    >>> value, _ = build_loss("both")(np.zeros((1, 1, 2, 2)), np.array([[[0, 1]]]))   # ln 2 + 1/2
    >>> print(f"{value:.4f}")
    1.1931
    """
    entropy, overlap = LOSSES[name]

    def loss(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        weights: dict[str, np.ndarray] = {}
        if class_weights is not None:
            weights["class_weights"] = class_weights
        if labels.dtype.names:
            weights["pixel_weights"], labels = labels["weight"], np.ascontiguousarray(labels["label"])
        if entropy is None:
            assert overlap is not None
            return overlap(scores, labels)
        if overlap is None:
            return entropy(scores, labels, **weights)
        return losses.weighted_sum((1.0, partial(entropy, **weights)), (1.0, overlap))(scores, labels)

    return loss
