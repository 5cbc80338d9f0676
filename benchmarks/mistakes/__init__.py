"""Mistakes planted in right functions, as learners make them: is each caught, and named rightly?

A file for each lesson lists its own, PLANTED and RIGHT. They are written without a look at the checker's own
wrong implementations, so that finding them proves something.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Planted:
    """A learner's function with one mistake. The diagnosis must contain `word`."""

    exercise: str
    mistake: str
    function: Callable[..., Any]
    word: str


@dataclass(frozen=True)
class Right:
    """A right function, written in another way than the library's: it must never be called wrong."""

    exercise: str
    way: str
    function: Callable[..., Any]
