"""Networks as their papers draw them. Each is a function that returns a Network."""

from collections.abc import Callable
from typing import Any

from minifcn.models.backbones import BACKBONES
from minifcn.models.fcn import fcn8s, fcn16s, fcn32s
from minifcn.network import Network

MODELS: dict[str, Callable[..., Network]] = {"fcn32s": fcn32s, "fcn16s": fcn16s, "fcn8s": fcn8s}

__all__ = ["BACKBONES", "MODELS", "build", "fcn8s", "fcn16s", "fcn32s"]


def build(model: str, classes: int, **arguments: Any) -> Network:
    """The model of that name, as `net.recipe` and the checkpoints have it. ValueError for an unknown name."""
    if model not in MODELS:
        raise ValueError(f"model is {model!r}; expected one of {', '.join(MODELS)}")
    return MODELS[model](classes, **arguments)
