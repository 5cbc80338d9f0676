"""check.gradients: an exercise of one's own, whose right answer are the differences of one's own forward."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minifcn.check.answer import Answer, not_attempted
from minifcn.check.compare import Outputs, Problem, Unusable, is_nothing, named, outputs
from minifcn.check.differences import SEED, differences
from minifcn.check.guard import Call, call
from minifcn.check.judge import judge, run
from minifcn.check.search import Case, draw
from minifcn.check.trial import Trial, changed, failure, problems

RTOL = 1e-6
DY = "dy"  # is shown among the arguments of a case


def gradients(forward: Callable[..., Any], backward: Callable[..., Any], inputs: Any) -> Answer:
    """Compare what `backward` returns with differences of `forward`, and say what is wrong.

    `forward(*arrays)` returns (y, cache), `backward(dy, cache)` the gradients: an array, a tuple in the order of
    the inputs, or a dictionary by their names; None stands for zeros. `inputs` are arrays by name, or a hypothesis
    strategy that draws such dictionaries: then the smallest case that goes wrong is looked for. `dy` is drawn.
    Where `forward` has a kink, as a rectifier at zero, there is no gradient, and any number will do.

    >>> def forward(x): return x * x, x
    >>> gradients(forward, lambda dy, x: 2 * dy * x, {"x": np.arange(6.0)})
    gradients: right, in the one case tried, up to x (6,).
    """
    for name, function in (("forward", forward), ("backward", backward)):
        if is_nothing(function):
            return not_attempted("gradients", f"{name} is {named(function)}.")
        if not callable(function):
            return Answer("wrong", f"gradients: {name} is {named(function)}; a function is expected.")
    strategy = inputs if _draws(inputs) else None
    cases = draw(inputs) if strategy is not None else [inputs]
    for case in cases:
        if not _usable(case):
            says = 'inputs are arrays of numbers by name, such as {"x": x}, or a strategy that draws them.'
            return Answer("wrong", f"gradients: {says}")
    one = partial(_tried, forward, backward)
    return judge("gradients", run(one, [(case,) for case in cases]), one, strategy)


def _draws(inputs):
    hypothesis = sys.modules.get("hypothesis")  # who has a strategy has imported it
    return hypothesis is not None and isinstance(inputs, hypothesis.strategies.SearchStrategy)


def _usable(case):
    if not isinstance(case, dict) or not case or not all(isinstance(name, str) for name in case):
        return False
    arrays = (
        outputs(dict(case), tuple(case)) if len(case) > 1 else outputs(next(iter(case.values())), tuple(case))
    )
    return isinstance(arrays, dict) and all(isinstance(array, np.ndarray) for array in arrays.values())


def _tried(forward: Callable[..., Any], backward: Callable[..., Any], case: Case) -> Trial:
    """One case: forward, its differences, backward. The first that fails is the trial's call."""
    inputs = {name: np.array(value, np.float64) for name, value in case.items() if name != DY}
    done = call(forward, inputs, _y_and_cache)
    trouble = _with_forward(done)
    if trouble:
        return Trial(inputs, {}, {}, done, tuple(trouble))
    y, cache = done.result
    dy = np.random.default_rng(SEED).standard_normal(y.shape)
    measured = call(lambda *arrays: list(differences(forward, dict(zip(inputs, arrays)), y, dy)), inputs)
    if not isinstance(measured.result, list):
        return Trial(inputs, {}, {}, measured, tuple(failure(measured, "forward, called again and again,")))
    expected = {f"d{name}": gradient for name, gradient, _, _ in measured.result}
    tolerance = {
        f"d{name}": np.where(kinks, np.inf, RTOL * scale) for name, _, scale, kinks in measured.result
    }
    done = call(backward, {"dy": dy, "cache": cache}, lambda value: _by_name(value, inputs))
    return Trial(
        {**inputs, DY: dy}, expected, tolerance, done, tuple(problems(done, expected, tolerance, "backward"))
    )


def _y_and_cache(value):
    if is_nothing(value):
        return Unusable(named(value), nothing=True)
    if not isinstance(value, tuple) or len(value) != 2:
        return Unusable(f"{named(value)}{f' of {len(value)}' if isinstance(value, tuple) else ''}")
    y, cache = value
    y = outputs(y, ("y",))
    return y if isinstance(y, Unusable) else (y["y"], cache)


def _with_forward(done: Call) -> list[Problem]:
    """What is wrong with forward itself: then there is nothing to compare with."""
    if done.result is None:
        return failure(done, "forward")
    if isinstance(done.result, Unusable):
        return [Problem("", "type", f"forward returns {done.result.says}; a tuple (y, cache) is expected.")]
    y, _ = done.result
    if isinstance(y, Unusable):
        return [Problem("", "type", f"forward returns {y.says} as y; an array is expected.")]
    if y.dtype != np.float64:
        says = f"forward returns y in {y.dtype}. Differences need float64 from beginning to end."
        return [Problem("", "type", says)]
    if not np.isfinite(y).all():
        return [
            Problem(
                "", "not finite", "forward returns a y that is not finite: there is no gradient to check."
            )
        ]
    return changed(done, "forward")


def _by_name(value: Any, inputs: Case) -> Outputs | Unusable:
    """The gradients as outputs; None among others stands for zeros."""
    if isinstance(value, dict):
        value = {f"d{name}": gradient for name, gradient in value.items()}
        if len(inputs) == 1 and len(value) == 1:
            (value,) = value.values()
    found = outputs(value, tuple(f"d{name}" for name in inputs))
    if isinstance(found, Unusable):
        return found
    parts = dict(zip(found, inputs.values()))
    if all(isinstance(part, Unusable) and part.nothing for part in found.values()):
        return found
    zeros = {name: np.zeros_like(x) for name, x in parts.items()}
    return {
        name: zeros[name] if isinstance(part, Unusable) and part.nothing else part
        for name, part in found.items()
    }
