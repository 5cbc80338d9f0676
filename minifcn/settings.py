"""The settings of a training run: one dataclass, from which the command line and config.toml both follow."""

import argparse
import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from minifcn.data import AUGMENTATIONS, CLASS_WEIGHTS, FORMATS, TOYS
from minifcn.errors import InputError
from minifcn.models import MODELS, SIZES
from minifcn.objective import LOSSES, takes_weights
from minifcn.optim import SCHEDULES

OPTIMIZERS = ("adam", "sgd")


def _option(default: Any, help: str, choices: Sequence[str] | None = None, alone: str | None = None) -> Any:
    """A setting. `alone` is what its option means without a value."""
    return field(default=default, metadata={"help": help, "choices": choices, "alone": alone})


@dataclass
class Settings:
    """What to train, on what, and how. The defaults are right for the toy data.

    Raises InputError for a value that is not among the choices or out of range.
    """

    toy: str = _option("", "train on toy data, made on the spot; by default shapes", tuple(TOYS), "shapes")
    data: str = _option("", "train on a folder of images/ and masks/, or in a layout of docs/data.md")
    format: str = _option("", "the layout of that folder; by default found out by looking", tuple(FORMATS))
    model: str = _option("fcn8s", "the network", tuple(MODELS))
    backbone: str = _option("small", "its backbone, the layers before the scores, or its size", SIZES)
    weights: str = _option("", "start from the weights in this .pth, .safetensors, .caffemodel or .npz file")
    loss: str = _option("cross-entropy", "loss function; binary ones need two classes", tuple(LOSSES))
    class_weights: str = _option(
        "none", "weigh the classes in the cross-entropy, rare ones more", ("none", *CLASS_WEIGHTS)
    )
    border_weights: bool = _option(
        False, "weigh the ground between two cells more, as U-Net does; for data with instances"
    )
    optimizer: str = _option("adam", "optimiser", OPTIMIZERS)
    lr: float = _option(0.0, "learning rate, at its highest; 0 means 0.004 for adam and 0.02 for sgd")
    schedule: str = _option("one-cycle", "the learning rate over time", tuple(SCHEDULES))
    steps: int = _option(1400, "how many batches to learn from")
    batch_size: int = _option(0, "images in a batch; 0 means 8 on small toys, otherwise 4")
    crop: int = _option(
        0, "train on random square pieces of this many pixels; 0 means whole images, but for buildings 256"
    )
    augment: tuple[str, ...] = _option(
        (),
        f"random changes of the images: {', '.join(AUGMENTATIONS)}, or none; default: mirror,jitter, and "
        "on toy data mirror with transpose or turn",
    )
    seed: int = _option(0, "seed of the initial weights, the order of the images and their random changes")
    threads: int = _option(0, "processors to use; 0 means all")
    out: str = _option("", "folder for the results; by default a new one in runs/")

    def __post_init__(self) -> None:
        if isinstance(self.toy, bool):  # there was only one once
            self.toy = "shapes" if self.toy else ""
        self.augment = (self.augment,) if isinstance(self.augment, str) else tuple(self.augment)
        for option in fields(self):
            value, choices = getattr(self, option.name), option.metadata["choices"]
            if choices and value not in (*choices, option.default):
                raise InputError(f"{option.name} is {value!r}; expected one of {', '.join(choices)}")
        for name in self.augment:
            if name not in AUGMENTATIONS and self.augment != ("none",):
                raise InputError(
                    f"augment has {name!r}; expected some of {', '.join(AUGMENTATIONS)}, or none alone"
                )
        for name, least in (
            ("steps", 1),
            ("batch_size", 0),
            ("crop", 0),
            ("seed", 0),
            ("threads", 0),
            ("lr", 0),
        ):
            if not least <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least {least}")
        if (self.class_weights != "none" or self.border_weights) and not takes_weights(self.loss):
            raise InputError(f"loss is {self.loss!r}, which takes no weights; cross-entropies do, and both")

    def resolved(self) -> "Settings":
        """The same with every "0 means …" written out. InputError unless exactly one of toy and data is set."""
        if bool(self.toy) == bool(self.data):
            raise InputError("say what to learn from: either --toy or --data FOLDER")
        chosen = asdict(self)
        # A run can be resumed from another folder than it was started in.
        chosen["data"] = str(Path(self.data).resolve()) if self.data else ""
        chosen["lr"] = self.lr or {"adam": 4e-3, "sgd": 2e-2}[self.optimizer]
        toy = TOYS[self.toy] if self.toy else None
        chosen["batch_size"] = self.batch_size or (toy.batch_size if toy else 4)
        chosen["crop"] = self.crop or (toy.crop if toy else 0)
        chosen["augment"] = self.augment or (toy.augment if toy else ("mirror", "jitter"))
        return Settings(**chosen)

    def to_toml(self) -> str:
        """As a TOML document, one line a setting. What JSON writes is TOML, but for one forbidden character."""
        lines = (
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in asdict(self).items()
        )
        return "".join(lines).replace("\x7f", "\\u007f")

    @classmethod
    def from_toml(cls, path: str | Path, **overrides: Any) -> "Settings":
        """Read a file that `to_toml` wrote, or a part of one. InputError for what it cannot contain."""
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not TOML: {error}") from None
        kinds = {option.name: type(option.default) for option in fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                raise InputError(f"{path}: {name} is not a setting; there are {', '.join(kinds)}")
            kind: Any = {tuple: list, float: (int, float)}.get(kinds[name], kinds[name])
            right = isinstance(value, kind) and isinstance(value, bool) == (kinds[name] is bool)
            right |= name == "toy" and isinstance(value, bool)
            if not right or (kind is list and not all(isinstance(item, str) for item in value)):
                expected = "a list of names" if kind is list else kinds[name].__name__
                raise InputError(f"{path}: {name} is {value!r}; expected {expected}")
        try:
            return cls(**{**values, **overrides})
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def add_options(parser: argparse.ArgumentParser) -> None:
    """One command-line option a setting. Options that are not given leave no trace in the parsed result."""
    for option in fields(Settings):
        name, kind = "--" + option.name.replace("_", "-"), type(option.default)
        shown = f"; default: {option.default}" if option.default else ""
        common = {"default": argparse.SUPPRESS, "help": option.metadata["help"] + shown}
        if kind is bool:
            parser.add_argument(name, action="store_true", **common)
        elif kind is tuple:
            parser.add_argument(name, type=_names, metavar="NAME,NAME", **common)
        else:
            if option.metadata["alone"]:
                common |= {"nargs": "?", "const": option.metadata["alone"]}
            metavar = None if option.metadata["choices"] else {str: "PATH", int: "N", float: "X"}[kind]
            parser.add_argument(
                name, type=kind, choices=option.metadata["choices"], metavar=metavar, **common
            )
