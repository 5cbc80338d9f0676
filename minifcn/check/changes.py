"""General mistakes: what was returned is the right array with something done to it.

Each is a sentence and a test of a trial: true if the change makes exactly the numbers that came, false if it does
not, None if nothing came.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from minifcn.check.compare import largest, wrong_numbers
from minifcn.check.trial import Trial

EXPLAINED = 1e-5  # of the largest number: float32, and another order of summation, differ by less
OF_THE_ERROR = 0.1  # and what explains an error must be much nearer than the right numbers are

Make = Callable[[Trial], Any]  # the array that a mistake gives, or None
Test = Callable[[Trial], bool | None]


def agrees(make: Make, output: str) -> Test:
    """Whether the mistake gives the numbers that came."""

    def test(trial):
        found = trial.found.get(output)
        if not isinstance(found, np.ndarray):
            return None
        made = make(trial)
        return isinstance(made, np.ndarray) and equal(found, made, _nearness(trial, output))

    return test


def _made(base: Make, change: Callable[[np.ndarray], Any], output: str) -> Test:
    """Whether `base`, changed, is what came."""

    def make(trial):
        array = base(trial)
        try:
            return None if array is None else np.asarray(change(array.astype(np.float64)))
        except ValueError:  # it needs more axes than this case has
            return None

    return agrees(make, output)


def equal(a: np.ndarray, b: np.ndarray, tolerance: Any) -> bool:
    return a.shape == b.shape and not wrong_numbers(a, b, tolerance).any()


def changes(output: str, wrong: Sequence[Trial]) -> Iterator[tuple[str, Test]]:
    """All of them for an output, the simplest first; `wrong` has the trials in which it is wrong."""

    right = partial(_expected, output=output)
    yield f"{output} is all zeros.", _made(right, np.zeros_like, output)
    yield from factors(right, output, wrong)
    yield from _exchanged(output, wrong)
    whole = f"{output} is cut to whole numbers: an array of integers cannot hold fractions."
    yield whole, _made(right, np.trunc, output)
    yield from _rearranged(right, output, wrong)
    yield from _summed(right, output, wrong)
    yield from _moved(output, wrong)
    yield f"{output} has the precision of float32: compute in float64 all the way.", _single(output)


def factors(base: Make, output: str, wrong: Sequence[Trial]) -> Iterator[tuple[str, Test]]:
    """`base` times something: minus one, a constant, or a count that depends on the case. Or plus a constant."""

    yield f"The sign of {output} is wrong.", _made(base, np.negative, output)
    factor, offset = _constants(base, output, wrong)
    if factor:
        says = f"{output} is {_multiple(factor)} what it should be."
        yield says, _made(base, partial(np.multiply, factor), output)
    if offset:
        says = f"{output} is {abs(offset):.4g} too {'large' if offset > 0 else 'small'}, everywhere."
        yield says, _made(base, partial(np.add, offset), output)
    for name, value in wrong[0].case.items():
        for what, count in _counts(name, value):

            def times(trial, power, name=name, count=count):
                array = base(trial)
                try:
                    number = float(max(count(trial.case[name]), 1))
                except (IndexError, TypeError):  # it counts along an axis that this case does not have
                    return None
                return None if array is None else np.asarray(array * number**power)

            mean = f"{output} is divided by {what}, and should not be: a mean where the sum is asked."
            yield mean, agrees(partial(times, power=-1), output)
            total = f"{output} is {what} times too large: a sum where the mean is asked."
            yield total, agrees(partial(times, power=1), output)


def _constants(base, output, wrong):
    """The factor and the offset that lead from `base` to what came, if these are the change; or None."""
    for trial in wrong:
        found, array = trial.found[output].astype(np.float64), base(trial)
        if array is None or array.shape != found.shape or not np.abs(array).max(initial=0) > 0:
            continue
        index = np.unravel_index(np.abs(array).argmax(), array.shape)
        factor, offset = float(found[index] / array[index]), float(found[index] - array[index])
        if not np.isfinite(factor):
            return None, None
        simple = Fraction(factor).limit_denominator(100)
        return (float(simple) if abs(simple - factor) < EXPLAINED * abs(factor) else factor), offset
    return None, None


def _multiple(factor):
    """
    >>> _multiple(2.0), _multiple(1 / 9), _multiple(-0.3)
    ('2 times', '1/9 of', '-3/10 of')
    """
    simple = Fraction(factor).limit_denominator(100)
    if abs(simple - factor) > EXPLAINED * abs(factor):
        return f"{factor:.5g} times"
    return f"{simple} times" if simple.denominator == 1 else f"{simple} of"


def _counts(name, value):
    """What a sum may be divided by: the numbers of things in an argument, and options."""
    if isinstance(value, np.ndarray):
        if value.ndim:
            yield f"len({name})", len
        if value.ndim > 2:
            area = f"{name}.shape[1] * {name}.shape[2]"
            yield area, lambda array: array.shape[1] * array.shape[2]
            yield f"len({name}) * {area}", lambda array: array.shape[0] * array.shape[1] * array.shape[2]
        if value.ndim > 1:
            yield f"{name}.shape[-1]", lambda array: array.shape[-1]
            yield f"{name}.size", lambda array: array.size
    elif isinstance(value, (int, tuple)) and np.asarray(value).dtype.kind in "iu":
        yield name, lambda option: int(np.prod(option))
        if isinstance(value, int):
            yield f"{name} * {name}", lambda option: option * option


def _exchanged(output, wrong):
    """Another output, or an argument."""
    for other in wrong[0].expected:
        if other != output:
            says = f"{output} is what {other} should be. Are they swapped?"
            yield says, agrees(partial(_expected, output=other), output)
    for name, value in wrong[0].case.items():
        if isinstance(value, np.ndarray):
            yield f"{output} is {name} itself, unchanged.", agrees(partial(_argument, name=name), output)


def _expected(trial, output):
    return trial.expected[output]


def _argument(trial, name):
    return trial.case[name]


def _rearranged(right, output, wrong):
    """All the right numbers, in other places or in another shape."""
    ndim = right(wrong[0]).ndim
    for axes in list(itertools.permutations(range(ndim)))[1:]:
        moved = [axis for axis in range(ndim) if axes[axis] != axis]
        how = "swapped" if len(moved) == 2 else "in another order"
        says = f"{output} has its axes {_listed(moved)} {how}."
        yield says, _made(right, partial(np.transpose, axes=axes), output)
    for axes in _subsets(ndim, 2):
        yield f"{output} is flipped along {_axes(axes)}.", _made(right, partial(np.flip, axis=axes), output)

    def reshaped(trial):
        shape = trial.found[output].shape
        return right(trial).reshape(shape) if np.prod(shape) == right(trial).size else None

    yield f"{output} has the right numbers, in another shape.", agrees(reshaped, output)


def _summed(right, output, wrong):
    """A sum too many, or one too few."""
    ndim, found = right(wrong[0]).ndim, wrong[0].found[output].ndim
    for axes in _subsets(ndim, ndim):
        for keep in (False, True):
            says = f"{output} is summed over {_axes(axes)}, and should not be."
            yield says, _made(right, partial(np.sum, axis=axes, keepdims=keep), output)
    for axes in _subsets(found, found - ndim):
        if len(axes) == found - ndim:

            def test(trial, axes=axes):
                array = trial.found.get(output)
                if not isinstance(array, np.ndarray) or array.ndim != found:
                    return None
                return equal(array.sum(axes), right(trial), _nearness(trial, output))

            yield f"{output} should be summed over {_axes(axes)}.", test


def _moved(output, wrong):
    """The right numbers, shifted by one place; or cut out of something larger, or only a part of them."""
    ndim = wrong[0].expected[output].ndim
    for step in sorted(itertools.product((0, 1, -1), repeat=ndim), key=lambda step: sum(map(abs, step))):
        if 0 < sum(map(abs, step)) <= 2:
            by = [
                f"by {'one' if s > 0 else 'minus one'} along axis {axis}" for axis, s in enumerate(step) if s
            ]
            yield f"{output} is shifted {' and '.join(by)}.", _shifted(output, step)
    yield f"{output} is too large: the right numbers are inside it, with others around.", _inside(output, 0)
    yield f"{output} is too small: a part of the right numbers is missing, at the border.", _inside(output, 1)


def _shifted(output, step):
    """Compares what the two have in common; None if that does not differ from the right numbers."""
    later = tuple(slice(max(s, 0), min(s, 0) or None) for s in step)
    earlier = tuple(slice(max(-s, 0), min(-s, 0) or None) for s in step)

    def test(trial):
        found = trial.found.get(output)
        if not isinstance(found, np.ndarray):
            return None
        expected = trial.expected[output]
        if found.shape != expected.shape or found.ndim != len(step):
            return False
        nearness = np.broadcast_to(_nearness(trial, output), found.shape)[later]
        if equal(expected[later], expected[earlier], nearness):
            return None
        return equal(found[later], expected[earlier], nearness)

    return test


def _inside(output, which):
    """Whether one of (what came, what was expected) lies somewhere inside the other."""

    def test(trial):
        found = trial.found.get(output)
        if not isinstance(found, np.ndarray):
            return None
        expected = trial.expected[output]
        if found.shape == expected.shape:
            return None if equal(found, expected, _nearness(trial, output)) else False
        outer, inner = (found, expected) if which == 0 else (expected, found)
        if outer.ndim != inner.ndim or any(a < b for a, b in zip(outer.shape, inner.shape)):
            return False
        nearness = np.max(_nearness(trial, output))
        starts = itertools.product(*(range(a - b + 1) for a, b in zip(outer.shape, inner.shape)))
        parts = (tuple(slice(i, i + n) for i, n in zip(start, inner.shape)) for start in starts)
        found_inside = any(equal(outer[part], inner, nearness) for part in parts)
        return None if found_inside and not inner.any() else found_inside

    return test


def _single(output):
    """Whether every number is one of float32, and as near to the right one as float32 can be expected to be."""

    def test(trial):
        found = trial.found.get(output)
        if not isinstance(found, np.ndarray):
            return None
        expected = trial.expected[output]
        near = equal(found, expected, EXPLAINED * largest(expected))
        return near and bool(np.array_equal(found, found.astype(np.float32)))

    return test


def _nearness(trial, output):
    """How near an explanation must come: as near as a right answer, and much nearer than the right numbers."""
    found, expected, tolerance = trial.found[output], trial.expected[output], trial.tolerance[output]
    if not trial.is_wrong(output):
        return 2 * tolerance
    near = EXPLAINED * max(largest(found), largest(expected))
    if found.shape != expected.shape:
        return max(near, np.min(tolerance))
    error = np.abs(found.astype(np.float64) - expected)
    nearest = OF_THE_ERROR * error.max(initial=0, where=np.isfinite(error))
    nearness = np.minimum(np.maximum(tolerance, near), nearest or np.inf)
    return np.where(np.isinf(tolerance), np.inf, nearness)  # any number will do there


def _subsets(ndim, most):
    return [axes for n in range(1, most + 1) for axes in itertools.combinations(range(ndim), n)]


def _axes(axes):
    return f"ax{'is' if len(axes) == 1 else 'es'} {_listed(axes)}"


def _listed(items):
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last
