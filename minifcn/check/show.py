"""Arrays as text that can be read: plain grids of numbers, with shapes, and wrong numbers marked."""

import inspect
import itertools
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from minifcn.check.compare import first, place

MOST = 64  # numbers that are printed of one array
WIDEST = 90  # characters of a line
MARK = "*"
WEIGHTS = ("w", "dw", "weight", "dweight", "kernel")  # height and width come first in these


def argument(name: str, value: Any) -> list[str]:
    """An argument as lines: an option in one, an array as its shape and its numbers.

    >>> print("\\n".join(argument("x", np.eye(2))))
    x, shape (2, 2):
        1  0
        0  1
    >>> argument("stride", 2)
    ['stride = 2']
    """
    if isinstance(value, np.ndarray):
        return (
            [_heading(name, value), *_indented(array(name, value))] if value.ndim else [f"{name} = {value}"]
        )
    if isinstance(value, (list, tuple)) and any(isinstance(part, (np.ndarray, list)) for part in value):
        return [line for k, part in enumerate(value) for line in argument(f"{name}[{k}]", part)]
    if type(value) is dict:
        return [line for key, part in value.items() for line in argument(f"{name}[{key!r}]", part)]
    if inspect.isroutine(value):
        return [f"{name} = {value.__name__}"]
    return [f"{name} = {_short.repr(value)}"]


def beside(name: str, expected: np.ndarray, found: np.ndarray, wrong: np.ndarray | None) -> list[str]:
    """Expected and found side by side, if they fit, wrong numbers marked. Of large ones the first wrong number."""
    digits = _digits(expected, found, wrong)
    if max(expected.size, found.size) > MOST:
        if wrong is None:
            return []
        index = first(wrong)
        pair = _number(expected[index], digits), _number(found[index], digits)
        return [f"The first is {place(name, index)}: expected {pair[0]}, got {pair[1]}."]
    left = ["expected", *array(name, expected, digits=digits, width=WIDEST // 2)]
    right = [f"got{f'  ({MARK} = wrong)' if wrong is not None else ''}"]
    right += array(name, found, wrong, digits, WIDEST // 2)
    return side_by_side([left, right], gap=6)


def array(
    name: str,
    values: np.ndarray,
    wrong: np.ndarray | None = None,
    digits: int = 4,
    width: int = WIDEST,
) -> list[str]:
    """The rows of an array; of more than two dimensions, a grid for each image and channel."""
    if values.size > MOST or not values.size:
        return [_summary(values)]
    texts = np.array([_number(value, digits) for value in values.ravel()], dtype=object).reshape(values.shape)
    if wrong is not None:
        texts = np.asarray(texts + np.where(wrong, MARK, " ").astype(object), object)  # of one number, too
    longest = max(map(len, texts.ravel()))
    blocks = []
    for index, grid in grids(name, texts):
        rows = ["  ".join(text.rjust(longest) for text in row).rstrip() for row in np.atleast_2d(grid)]
        blocks.append([f"{name}[{index}]", *rows] if index else rows)
    return side_by_side(blocks, width=width)


def grids(name: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The two-dimensional pieces of an array and their indices as text; height and width stay together.

    >>> [index for index, _ in grids("x", np.zeros((1, 4, 5, 2)))]
    ['0, :, :, 0', '0, :, :, 1']
    """
    if values.ndim < 3:
        return [("", values)]
    if values.ndim == 3 and name not in ("labels", "predictions"):
        space = (0, 1)
    else:
        space = (0, 1) if name in WEIGHTS else (1, 2)
    pieces = []
    others = [axis for axis in range(values.ndim) if axis not in space]
    for index in np.ndindex(*(values.shape[axis] for axis in others)):
        key: list[Any] = [slice(None)] * values.ndim
        for axis, k in zip(others, index):
            key[axis] = k
        text = ", ".join(":" if isinstance(part, slice) else str(part) for part in key)
        pieces.append((text, values[tuple(key)]))
    return pieces if len(pieces) > 1 else [("", pieces[0][1])]


def side_by_side(blocks: Sequence[Sequence[str]], gap: int = 3, width: int = WIDEST) -> list[str]:
    """Blocks of lines next to each other if they fit, otherwise one below the other.

    >>> side_by_side([["a", "bb"], ["c"]])
    ['a    c', 'bb']
    """
    widths = [max(map(len, block)) for block in blocks]
    if sum(widths) + gap * (len(blocks) - 1) > width:
        return [line for block in blocks for line in block]
    rows = itertools.zip_longest(*blocks, fillvalue="")
    return ["".join(text.ljust(n + gap) for text, n in zip(row, widths)).rstrip() for row in rows]


def _heading(name, values):
    kind = "" if values.dtype == np.float64 else f", {values.dtype}"
    return f"{name}, shape {values.shape}{kind}:"


def _summary(values):
    if not values.size:
        return "(no numbers)"
    numbers = values.astype(np.float64)
    with np.errstate(all="ignore"):
        return f"{values.size:,} numbers between {np.nanmin(numbers):.4g} and {np.nanmax(numbers):.4g}"


def _number(value, digits):
    value = np.asarray(value).item()
    if isinstance(value, bool):
        return str(value)
    return f"{value + 0.0:.{digits}g}" if isinstance(value, float) else str(value)  # + 0.0: no minus zero


def _digits(expected, found, wrong):
    """So many that no wrong number looks like the right one."""
    if wrong is None or not wrong.any():
        return 4
    for digits in (4, 6, 9, 12):
        pairs = zip(expected[wrong], found[wrong])
        if all(_number(a, digits) != _number(b, digits) for a, b in pairs):
            return digits
    return 17


def _indented(lines):
    return [f"    {line}" for line in lines]


_short = reprlib.Repr()
_short.maxlist = _short.maxtuple = 12
_short.maxother = _short.maxstring = 200
