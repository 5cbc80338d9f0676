"""Where it goes wrong: true sentences for a mistake that has no name, to look at the right place."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minifcn.check.compare import largest, wrong_numbers
from minifcn.check.trial import Trial

ENOUGH = 3  # cases that go right, to say that they do
SMALL = 1e-5  # of the largest number


def where(trials: Sequence[Trial], output: str) -> list[str]:
    """What the cases with a wrong `output` have in common, and the others have not; and which numbers are wrong."""
    wrong = [trial for trial in trials if trial.is_wrong(output)]
    right = [trial for trial in trials if not trial.problems]
    return [*_options(wrong, right), *_positions(wrong, output), *_sizes(wrong, right, output)]


def _options(wrong, right):
    """Options and numbers of things that are right at their smallest value."""
    for name, value in wrong[0].case.items():
        if len({_kind(trial.case[name]) for trial in (*wrong, *right)}) > 1:
            continue
        for what, of in _choices(name, value):
            seen = [of(trial.case[name]) for trial in (*wrong, *right)]
            least = min(seen)
            if least in seen[: len(wrong)] or least == max(seen):
                continue
            count = seen.count(least)
            if count >= ENOUGH:
                yield f"It is right in all {count} cases with {what} = {least}."


def _kind(value):
    return (np.ndarray, value.ndim) if isinstance(value, np.ndarray) else type(value)


def _choices(name, value):
    if isinstance(value, np.ndarray):
        if value.ndim == 4:
            yield f"len({name})", len
            yield f"{name}.shape[-1]", lambda array: array.shape[-1]
    elif isinstance(value, (bool, int)) or (
        isinstance(value, tuple) and all(isinstance(v, int) for v in value)
    ):
        yield name, lambda option: option


def _positions(wrong, output):
    """Only the border, only what is behind the first image, the first channel."""
    masks = [
        wrong_numbers(trial.found[output], trial.expected[output], trial.tolerance[output])
        for trial in wrong
        if trial.found[output].shape == trial.expected[output].shape
    ]
    if len(masks) < len(wrong) or {mask.ndim for mask in masks} - {masks[0].ndim} or not masks[0].ndim:
        return
    if all(len(mask) and not mask[0].any() for mask in masks):
        yield f"{output}[0] is always right; what comes after it is not."
    if masks[0].ndim > 1 and all(mask.size and not mask[..., 0].any() for mask in masks):
        yield f"{output}[..., 0] is always right; what comes after it is not."
    axes = (1, 2) if masks[0].ndim == 4 else tuple(range(min(masks[0].ndim, 2)))
    inner = tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(masks[0].ndim))
    if all(not mask[inner].any() for mask in masks) and any(mask[inner].size for mask in masks):
        yield f"Only the border of {output} is wrong; inside it is right."


def _sizes(wrong, right, output):
    """Small errors, and numbers that are not finite where the arguments are large."""
    broken = [trial for trial in wrong if not np.isfinite(trial.found[output].astype(np.float64)).all()]
    if broken and len(broken) == len(wrong):
        limit, most = min(map(_most, broken)), max(map(_most, right), default=0.0)
        if limit > max(most, 10):
            yield f"That happens only with large arguments, from {limit:.4g} on: is it an overflow?"
        return
    errors = [_error(trial, output) for trial in wrong]
    if max(errors) < SMALL:
        yield f"The error is small, at most {max(errors):.0e} of the largest number: too coarse an approximation?"


def _most(trial):
    arrays = [value for value in trial.case.values() if isinstance(value, np.ndarray)]
    return max((float(np.abs(a.astype(np.float64)).max(initial=0)) for a in arrays), default=0.0)


def _error(trial, output) -> Any:
    found, expected = trial.found[output], trial.expected[output]
    if found.shape != expected.shape:
        return np.inf
    return float(np.abs(found.astype(np.float64) - expected).max(initial=0)) / largest(expected)
