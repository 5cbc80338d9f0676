"""Drawing cases with hypothesis, and the smallest of them for which something holds.

The same cases each time, and nothing left behind: hypothesis keeps its files in a folder that is deleted, and a
strategy that uses NumPy's global random numbers does not disturb anybody else's.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

CASES = 100
SECONDS = 5.0

Case = dict[str, Any]


class Stop(BaseException):
    """Ends a search. hypothesis takes an Exception for a failing test and would look for a smaller case."""


def draw(strategy: Any, cases: int = CASES, seconds: float = SECONDS) -> list[Case]:
    """So many cases, or as many as can be drawn in this time, simple ones among the first. At least one."""
    drawn: list[Case] = []
    end = time.perf_counter() + seconds

    def take(case):
        drawn.append(case)
        if time.perf_counter() > end:
            raise Stop
        return False

    _find(strategy, take, cases)
    return drawn


def shrink(strategy: Any, holds: Callable[[Case], bool], seconds: float = SECONDS) -> None:
    """Call `holds` with the cases of `draw` until it is true, then with ever smaller ones.

    The last case for which it was true is the smallest that was found. `holds` may raise Stop.
    """
    end = time.perf_counter() + seconds

    def look(case):
        if time.perf_counter() > end:
            raise Stop
        return holds(case)

    _find(strategy, look, CASES)


def _find(strategy, condition, cases):
    import hypothesis  # takes a moment, and `minifcn.check` is there for those who do not have it

    settings = hypothesis.settings(
        database=None,
        deadline=None,
        derandomize=True,
        max_examples=cases,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    nothing_found = (hypothesis.errors.NoSuchExample, hypothesis.errors.Flaky)
    with _no_files(), contextlib.suppress(Stop, *nothing_found):
        hypothesis.find(strategy, condition, settings=settings)


@contextlib.contextmanager
def _no_files() -> Iterator[None]:
    from hypothesis import configuration

    before = vars(configuration)["__hypothesis_home_directory"]
    with tempfile.TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(before)
