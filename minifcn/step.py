"""One step of training, from a batch of images to parameters that have moved a little."""

import math
from collections.abc import Sequence

import numpy as np

from minifcn.errors import NonFiniteError
from minifcn.geometry import IMAGE
from minifcn.kernels.finite import all_finite, are_finite, finite_marks
from minifcn.kernels.recording import outside
from minifcn.losses import Loss
from minifcn.network import Network, Tape
from minifcn.optim import Optimizer
from minifcn.recorded import Recorded


class TrainingStep:
    """Forward, the loss, backward and the update, recorded for batches of one size (recorded.py).

    After a step `scores`, `tape`, `value` and `grads` are what it computed, until the next one.

    >>> from minifcn import losses, models, optim
    >>> net = models.fcn8s(2, rng=0)
    >>> step = TrainingStep(net, losses.cross_entropy, optim.SGD(net.trainable, lr=0.01))
    >>> images, labels = np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 32, 32), np.uint8)
    >>> values = [step(images, labels) for _ in range(5)]
    >>> values == sorted(values, reverse=True)
    True
    """

    def __init__(self, net: Network, loss: Loss, optimizer: Optimizer):
        self.net, self.loss, self.optimizer = net, loss, optimizer
        self.rng = np.random.default_rng()  # of all steps: a recording knows this one
        self.value = math.nan
        self.scores: np.ndarray
        self.tape: Tape
        self.grads: dict[str, np.ndarray] = {}
        self._recorded = Recorded(self._compute)

    def __call__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        lr: float | None = None,
        seed: Sequence[int] | int | None = None,
    ) -> float:
        """The loss on this batch, after which the parameters are moved; `lr` is the learning rate of this step.

        With a `seed` all that is random in it, such as dropout, follows from that.
        Raises NonFiniteError, and moves nothing, if any number is not finite.
        """
        if seed is not None:
            self.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        self._labels, self._lr = labels, lr
        self.scores, self.tape, self.grads = self._recorded(images)
        return self.value

    def _compute(self, images):
        scores, tape = self.net.forward(images, train=True, rng=self.rng)

        def compute_loss():
            self.value, dscores = self.loss(scores, self._labels)
            return dscores

        def begin_update():
            if not (math.isfinite(self.value) and are_finite(marks)):
                _say_what_is_not_finite(self.optimizer.steps + 1, self.value, tape, grads)
            self.optimizer.begin_step(self._lr)

        grads = self.net.backward(outside(compute_loss), tape)
        marks = finite_marks(grads.values())
        outside(begin_update)
        self.optimizer.update(grads)
        return scores, tape, grads


def _say_what_is_not_finite(step: int, value: float, tape: Tape, grads: dict[str, np.ndarray]) -> None:
    for name in (IMAGE, *tape.nodes):
        if not all_finite(tape[name]):
            raise NonFiniteError(
                f"step {step}: {name} has a value that is not finite (the loss is {value}). "
                "A smaller --lr may help; the last checkpoint is as it was"
            )
    for name in reversed(grads):  # backward runs from the end, so the last one is where it began
        if not all_finite(grads[name]):
            raise NonFiniteError(
                f"step {step}: the gradient of {name} is not finite (the loss is {value}). "
                "A smaller --lr may help; the last checkpoint is as it was"
            )
    raise NonFiniteError(f"step {step}: the loss is {value}, though every activation is finite")
