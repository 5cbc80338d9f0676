"""The training loop, as something to iterate over: every step yields where it stands.

    run = Training.start(Settings(toy=True, steps=200))
    for step in run:
        print(step.number, step.loss)

Leaving the loop stops the training; iterating again goes on. Everything that is random in step n follows from
the seed and n, so a run that was stopped and resumed makes the same steps, bit for bit, as one that was not.
"""

import csv
import io
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minifcn import metrics, models, optim, plots, weights
from minifcn.checkpoint import Checkpoint
from minifcn.data import (
    AUGMENTATIONS,
    CLASS_WEIGHTS,
    TOYS,
    BorderWeighted,
    Dataset,
    Preprocessing,
    WithInstances,
    batch,
    channel_statistics,
    open_folder,
)
from minifcn.errors import InputError
from minifcn.files import make_folder, replacing
from minifcn.kernels.jit import set_threads
from minifcn.network import Network
from minifcn.objective import build_loss, is_binary
from minifcn.segmenter import Segmenter
from minifcn.settings import Settings
from minifcn.step import TrainingStep

EVALUATIONS = 15  # in a run, evenly spread

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    # A run of a thousand steps is short: the mean of squares should forget its first, large gradients in a hundred.
    "adam": partial(optim.Adam, betas=(0.9, 0.99)),
    # The rule of the papers: biases learn twice as fast and do not decay.
    "sgd": partial(optim.SGD, momentum=0.9, weight_decay=5e-4, rates={"*.bias": 2}, decays={"*.bias": 0}),
}


@dataclass
class Step:
    """What a step reports. `hist` is the confusion matrix on held-out images after the steps that evaluate."""

    number: int
    loss: float
    lr: float
    hist: np.ndarray | None = None


class Training:
    """A network on its way: data, loss, optimiser, schedule, the step it is at and what was measured so far.

    With a folder `out` it keeps there config.toml, metrics.csv, last.npz, best.npz (the weights with the best mean
    IU so far), curves.png and predictions.png. Without one it writes nothing. `settings` are the resolved ones.
    Iterate to train; see the top of this file.
    """

    def __init__(
        self,
        net: Network,
        training: Dataset,
        validation: Dataset,
        preprocessing: Preprocessing,
        settings: Settings,
        out: Path | None = None,
    ):
        self.net, self.training, self.validation = net, training, validation
        self.segmenter = Segmenter(net, preprocessing, training.class_names)
        self.settings, self.out = settings, out
        class_weights = None
        if settings.class_weights != "none":
            class_weights = CLASS_WEIGHTS[settings.class_weights](training)
        if settings.border_weights:  # they have the weights of the classes in them
            self.training, class_weights = _with_border_weights(training, class_weights), None
        self.schedule = optim.SCHEDULES[settings.schedule](settings.lr, settings.steps)
        self.optimizer = OPTIMIZERS[settings.optimizer](net.trainable, lr=settings.lr)
        self.training_step = TrainingStep(net, build_loss(settings.loss, class_weights), self.optimizer)
        self.evaluate_every = max(1, math.ceil(settings.steps / EVALUATIONS))
        self.number = 0
        self.history: list[dict[str, float]] = []
        self.losses_since: list[float] = []  # of the steps since the last evaluation
        self.seconds = 0.0  # spent training, without evaluations, over all sittings
        self.source: weights.Source | None = None  # what a new run found in settings.weights

    # ---------------------------------------------------------------- beginnings

    @classmethod
    def start(cls, settings: Settings) -> "Training":
        """A new run: opens the data, builds the network, makes the folder. InputError if any cannot be used."""
        settings = settings.resolved()
        out = _new_folder(settings)
        run = cls._build(settings, out)
        with replacing(make_folder(out) / "config.toml") as file:
            file.write(settings.to_toml().encode())
        run.save()
        return run

    @classmethod
    def resume(cls, out: str | Path) -> "Training":
        """The run in folder `out`, at the step where its last.npz was written."""
        out = Path(out)
        if not (out / "last.npz").is_file():
            raise InputError(f"{out} holds no run to resume: expected a folder with last.npz in it")
        saved = Checkpoint.load(out / "last.npz")
        run = cls._build(Settings.from_toml(out / "config.toml"), out, saved)
        saved.restore(run.net, out / "last.npz")
        try:
            run.optimizer.load_state(saved.optimizer)
        except ValueError:
            raise InputError(
                f"{out / 'last.npz'} does not hold what {run.settings.optimizer} remembers of its steps"
            ) from None
        try:
            run.number, run.history = int(saved.progress["step"]), list(saved.progress["history"])
            run.losses_since, run.seconds = list(saved.progress["losses"]), float(saved.progress["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{out / 'last.npz'} does not say how far it is: {error}") from None
        if run.history and not (out / "best.npz").is_file():
            raise InputError(f"{out} has no best.npz, the best weights so far")
        return run

    @classmethod
    def _build(cls, settings: Settings, out: Path, saved: Checkpoint | None = None) -> "Training":
        if settings.threads:
            set_threads(settings.threads)
        training, validation = open_data(settings)
        if saved is None:
            recipe: dict[str, Any] = {
                "model": settings.model,
                "classes": _score_maps(settings.loss, training.class_names),
                "backbone": settings.backbone,
            }
        else:
            recipe = saved.recipe
            if saved.class_names != training.class_names:
                before, now = ", ".join(saved.class_names), ", ".join(training.class_names)
                raise InputError(f"{out} was trained on the classes {before}; the data has {now}")
        try:
            net = models.build(**recipe, rng=settings.seed)
        except (TypeError, ValueError) as error:
            raise InputError(f"this network cannot be built: {error}") from None
        source = weights.load(net, settings.weights) if settings.weights and saved is None else None
        if saved is not None:
            preprocessing = Preprocessing(saved.mean, saved.std, saved.channels)
        elif source is not None and source.preprocessing is not None:
            preprocessing = Preprocessing(**source.preprocessing)
        else:
            preprocessing = Preprocessing(*_as_numbers(channel_statistics(training)))
        if settings.batch_size > len(training):
            raise InputError(
                f"batch_size is {settings.batch_size}; expected at most {len(training)}, the images to learn from"
            )
        run = cls(net, training, validation, preprocessing, settings, out)
        run.source = source
        return run

    # ---------------------------------------------------------------- the loop

    def __iter__(self) -> Iterator[Step]:
        while self.number < self.settings.steps:
            began = time.perf_counter()
            step = self.step()
            self.seconds += time.perf_counter() - began
            if self.number % self.evaluate_every == 0 or self.number == self.settings.steps:
                step.hist = self.evaluate()
                self.save()
            yield step

    def step(self) -> Step:
        """One step: a batch forward, the loss, backward, and the parameters moved."""
        n = self.number
        x, labels = self.batch()
        lr = self.schedule(n)
        with np.errstate(all="ignore"):  # whatever is not finite is looked for, and said, before the update
            value = self.training_step(x, labels, lr, seed=(self.settings.seed, n, 2))
        self.number += 1
        self.losses_since.append(value)
        return Step(self.number, value, lr)

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """The images of the next step, preprocessed, and their labels."""
        settings, preprocessing = self.settings, self.segmenter.preprocessing
        images, labels = batch(
            self.training,
            self.number,
            settings.batch_size,
            settings.seed,
            augment=[AUGMENTATIONS[name] for name in settings.augment if name != "none"],
            crop=settings.crop or None,
            fill=preprocessing.fill,
        )
        return preprocessing(images), labels

    def evaluate(self) -> np.ndarray:
        """Measure on the held-out images and add a row to the history."""
        hist = self.segmenter.evaluate(self.validation)
        self.history.append(
            {
                "step": self.number,
                "lr": self.schedule(self.number - 1),
                "loss": float(np.mean(self.losses_since)),
                "pixel_accuracy": metrics.pixel_accuracy(hist),
                "mean_accuracy": metrics.mean_accuracy(hist),
                "mean_iou": metrics.mean_iou(hist),
                "frequency_weighted_iou": metrics.frequency_weighted_iou(hist),
                "seconds": round(self.seconds, 3),
            }
        )
        self.losses_since = []
        return hist

    @property
    def images_per_second(self) -> float:
        return self.number * self.settings.batch_size / max(self.seconds, 1e-9)

    @property
    def best_iou(self) -> float:
        """The best mean IU so far, or 0."""
        return max((row["mean_iou"] for row in self.history), default=0.0)

    # ---------------------------------------------------------------- what is kept

    def save(self) -> None:
        """Write last.npz, metrics.csv and, right after the best evaluation so far, best.npz; each is whole at
        every moment. OSError if the disk is full: the files of the last save are then still there."""
        if self.out is None:
            return
        progress = {
            "step": self.number,
            "history": self.history,
            "losses": self.losses_since,
            "seconds": self.seconds,
        }
        evaluated = bool(self.history) and self.history[-1]["step"] == self.number
        if evaluated and self.history[-1]["mean_iou"] >= self.best_iou:
            self._checkpoint().save(self.out / "best.npz")
        self._checkpoint(self.optimizer.state(), progress).save(self.out / "last.npz")
        if self.history:
            text = io.StringIO()
            writer = csv.DictWriter(text, self.history[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.history)
            with replacing(self.out / "metrics.csv") as file:
                file.write(text.getvalue().encode())

    def _checkpoint(self, optimizer: dict[str, np.ndarray] | None = None, progress: Any = None) -> Checkpoint:
        segmenter = self.segmenter
        return Checkpoint(
            self.net.recipe or {},
            self.net.params,
            segmenter.class_names,
            segmenter.preprocessing.mean,
            segmenter.preprocessing.std,
            segmenter.preprocessing.channels,
            optimizer or {},
            progress or {},
            self.net.state,
        )

    def finish(self) -> np.ndarray:
        """Put the best weights back, draw curves.png and predictions.png, return the best confusion matrix."""
        if self.out is None:
            raise ValueError("this run has no folder to finish in")
        best = self.out / "best.npz"
        Checkpoint.load(best).restore(self.net, best)
        plots.curves(self.history, self.out / "curves.png")
        shown = (self.validation[i] for i in range(min(6, len(self.validation))))
        rows = [(image, truth, self.segmenter.labels(image)) for image, truth in shown]
        plots.predictions(rows, self.segmenter.class_names, self.out / "predictions.png")
        return self.segmenter.evaluate(self.validation)


def open_data(settings: Settings) -> tuple[Dataset, Dataset]:
    """The images to learn from and the held-out ones."""
    if settings.toy:
        return TOYS[settings.toy].training(settings.seed), TOYS[settings.toy].validation()
    return open_folder(settings.data, settings.format)


def _score_maps(loss: str, class_names: tuple[str, ...]) -> int:
    """How many the network is to have: one for each class, or a single one for two."""
    if not is_binary(loss):
        return len(class_names)
    if len(class_names) != 2:
        raise InputError(
            f"loss is {loss!r}, which tells two classes apart; the data has {', '.join(class_names)}"
        )
    return 1


def _with_border_weights(training: Dataset, class_weights: np.ndarray | None) -> BorderWeighted:
    if not isinstance(training, WithInstances):
        raise InputError("border_weights needs to know one cell from another; this data has no instances")
    return BorderWeighted(training, (1.0, 1.0) if class_weights is None else class_weights)


def _as_numbers(statistics: tuple[np.ndarray, float]) -> tuple[tuple[float, ...], float]:
    """Mean and deviation as plain numbers; images of one colour only would have no deviation to divide by."""
    mean, std = statistics
    return tuple(float(m) for m in mean), float(std) or 1.0


def _new_folder(settings: Settings) -> Path:
    """Where a new run goes: the folder asked for if no run is in it, or the first free name in runs/."""
    if settings.out:
        out = Path(settings.out)
        if (out / "last.npz").exists():
            raise InputError(f"{out} already holds a run; choose another --out, or go on with --resume {out}")
        return out
    what = settings.toy or Path(settings.data).resolve().name
    what = "toy" if settings.toy == "shapes" else what
    name, k = f"{what}-{settings.model}", 1
    while (out := Path("runs") / (name if k == 1 else f"{name}-{k}")).exists():
        k += 1
    return out
