"""What a function returned, beside what it should have: its type, its length, its shape, and its numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

FLOOR = (
    0.01  # where all expected numbers are smaller, this counts as the largest: sums that cancel are not exact
)
LARGE = 1_000_000  # numbers; an array of more is not looked into
NUMBERS = "buifc"  # kinds of dtype
OTHERS = {"U": "text", "S": "bytes", "M": "dates", "m": "times", "V": "records"}


@dataclass(frozen=True)
class Unusable:
    """Something that is no array of numbers. `says` is what it is: "a str"."""

    says: str
    nothing: bool = False  # None, ..., or NotImplemented


@dataclass(frozen=True)
class Problem:
    """What is wrong with one output, or with all of it (`output` is ""), in a sentence."""

    output: str
    kind: str  # "raised", "slow", "changed", "missing", "type", "complex", "shape", "not finite" or "numbers"
    says: str


Outputs = dict[str, np.ndarray | Unusable]


def outputs(value: Any, names: tuple[str, ...]) -> Outputs | Unusable:
    """The returned value as arrays by name: one name, one array; several, a tuple, a list or a dictionary.

    >>> outputs(([1, 2], None), ("dx", "dw"))
    {'dx': array([1, 2]), 'dw': Unusable(says='None', nothing=True)}
    """
    if is_nothing(value):
        return Unusable(named(value), nothing=True)
    if len(names) == 1:
        return {names[0]: _array(value)}
    if isinstance(value, dict) and set(value) == set(names):
        return {name: _array(value[name]) for name in names}
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = list(value)  # of two numbers, say
    if not isinstance(value, (tuple, list)):
        return Unusable(named(value))
    if len(value) != len(names):
        return Unusable(f"a {type(value).__name__} of {len(value)}")
    return {name: _array(part) for name, part in zip(names, value)}


def compare(
    name: str, found: np.ndarray | Unusable, expected: np.ndarray, tolerance: float | np.ndarray
) -> Problem | None:
    """The first thing that is wrong with an output, or None. `tolerance` is absolute."""
    if isinstance(found, Unusable) and found.nothing:
        return Problem(name, "missing", f"{name} is missing: it is {found.says}.")
    if isinstance(found, Unusable):
        return Problem(name, "type", f"{name} is {found.says}; {described(expected)} is expected.")
    if found.dtype.kind == "c":
        return Problem(name, "complex", f"{name} is complex ({found.dtype}); real numbers are expected.")
    if found.shape != expected.shape:
        right = f"a number, shape {expected.shape}" if expected.ndim == 0 else f"{expected.shape}"
        return Problem(name, "shape", f"{name} has shape {found.shape}, expected is {right}.")
    wrong = wrong_numbers(found, expected, tolerance)
    if not wrong.any():
        return None
    broken = wrong & ~np.isfinite(found.astype(np.float64)) & np.isfinite(expected.astype(np.float64))
    if broken.any():
        index = first(broken)
        what = "NaN, not a number" if np.isnan(found[index]) else f"{found[index]:g}"
        return Problem(name, "not finite", f"{place(name, index)} is {what}.")
    if found.size == 1:
        return Problem(name, "numbers", f"{name} is wrong.")
    many = f"{wrong.sum()} of {wrong.size} numbers {'is' if wrong.sum() == 1 else 'are'} wrong"
    if wrong.all():
        many = "all numbers are wrong"
    return Problem(name, "numbers", f"{name}: {many}.")


def wrong_numbers(found: np.ndarray, expected: np.ndarray, tolerance: float | np.ndarray) -> np.ndarray:
    """Where two arrays of one shape differ by more than the tolerance. NaN equals NaN, infinity itself."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        near = np.abs(found - expected) <= tolerance
    return np.asarray(~(near | (found == expected) | (np.isnan(found) & np.isnan(expected))))


def largest(array: np.ndarray) -> float:
    """The largest absolute value, and at least FLOOR. What is not finite does not count."""
    values = np.abs(array.astype(np.float64))
    return float(values.max(initial=FLOOR, where=np.isfinite(values)))


def described(expected: np.ndarray) -> str:
    return "a number" if expected.ndim == 0 else f"an array of shape {expected.shape}"


def first(mask: np.ndarray) -> tuple[int, ...]:
    """The index of the first True."""
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


def place(name: str, index: tuple[int, ...]) -> str:
    """
    >>> place("dx", (0, 2))
    'dx[0, 2]'
    """
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _array(value):
    if is_nothing(value):
        return Unusable(named(value), nothing=True)
    try:
        array = np.asarray(value)
    except Exception:
        ragged = isinstance(value, (list, tuple))
        reason = "whose parts differ in length" if ragged else "which NumPy cannot turn into an array"
        return Unusable(f"{named(value)} {reason}")
    if array.dtype.kind == "O" and array.size <= LARGE:
        try:
            array = array.astype(np.float64) if array.ndim else np.asarray(float(value))
        except Exception:
            return Unusable(f"{named(value)}{' of other things than numbers' if array.ndim else ''}")
    if array.dtype.kind not in NUMBERS:
        return Unusable(f"{named(value)}{f' of {OTHERS[array.dtype.kind]}' if array.ndim else ''}")
    if array.size > LARGE:
        return Unusable(f"an array of shape {array.shape}")
    return np.array(array)


def is_nothing(value: Any) -> bool:
    """Whether it is what a stub returns."""
    return value is None or value is ... or value is NotImplemented


def named(value: Any) -> str:
    """
    >>> named("text")
    'a str'
    """
    if is_nothing(value):
        return "..." if value is ... else repr(value)
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' or name == 'ndarray' else 'a'} {name}"
