"""Is it right? Gradients are compared with numbers that do not know the formula, exercises with the right answer.

    check.conv2d_backward(my_function)             # wrong, and why; or right, and how fast
    check.conv2d_backward.hint()                   # a nudge; the next call says more
    check.conv2d_backward.solution()               # how the library does it
    check.gradients(forward, backward, {"x": x})   # for a layer of one's own

The exercises of the lessons are in `exercises/`; dir(check) lists them. They draw their cases with hypothesis,
which `pip install "minifcn[lessons]"` brings along.
"""

import importlib
import importlib.util
from typing import Any

from minifcn.check.differences import GradientError, check_adjoint, check_gradients, check_layer, check_loss
from minifcn.check.exercises import MODULE_OF
from minifcn.check.own import gradients

__all__ = ["GradientError", "check_adjoint", "check_gradients", "check_layer", "check_loss", "gradients"]


def __getattr__(name: str) -> Any:
    """An exercise: its file is imported when it is first asked for."""
    if name not in MODULE_OF:
        raise AttributeError(f"minifcn.check has no exercise {name!r}; it has {', '.join(MODULE_OF)}")
    if importlib.util.find_spec("hypothesis") is None:
        raise ImportError('The exercises draw their cases with hypothesis: pip install "minifcn[lessons]"')
    module = importlib.import_module(f"minifcn.check.exercises.{MODULE_OF[name]}")
    return next(value for value in vars(module).values() if getattr(value, "name", None) == name)


def __dir__() -> list[str]:
    return sorted([*globals(), *MODULE_OF])
