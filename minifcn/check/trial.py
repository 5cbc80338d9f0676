"""One case tried: what was expected, what came, what is wrong with it. And the smallest case that goes wrong."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minifcn.check.compare import Outputs, Problem, Unusable, compare, outputs
from minifcn.check.guard import Call, call
from minifcn.check.search import Case, Stop, shrink

NUMBERS = ("shape", "not finite", "numbers")  # kinds of problems with an array of numbers


@dataclass(frozen=True, eq=False)
class Trial:
    case: Case
    expected: dict[str, np.ndarray]
    tolerance: dict[str, Any]  # absolute, a number or an array for each output
    call: Call
    problems: tuple[Problem, ...]

    @property
    def found(self) -> Outputs:
        """The outputs by name, as far as there are any."""
        return self.call.result if isinstance(self.call.result, dict) else {}

    def is_wrong(self, output: str) -> bool:
        """Whether real numbers came for this output that are not the right ones."""
        return any(problem.output == output and problem.kind in NUMBERS for problem in self.problems)

    @property
    def nothing(self) -> bool:
        """Not written yet: it raised NotImplementedError, or returned None or `...`."""
        raised, result = self.call.raised, self.call.result
        if raised is not None:
            return raised.type == "NotImplementedError"
        if isinstance(result, dict):
            return all(isinstance(part, Unusable) and part.nothing for part in result.values())
        return isinstance(result, Unusable) and result.nothing

    @property
    def size(self) -> int:
        """How many numbers its arguments have."""
        return sum(np.size(value) for value in self.case.values() if isinstance(value, np.ndarray))


def tried(
    function: Callable[..., Any], case: Case, expected: dict[str, np.ndarray], tolerance: dict[str, Any]
) -> Trial:
    """Call the function with the case and compare."""
    names = tuple(expected)
    done = call(function, case, lambda value: outputs(value, names))
    return Trial(case, expected, tolerance, done, tuple(problems(done, expected, tolerance)))


def problems(
    done: Call, expected: dict[str, np.ndarray], tolerance: dict[str, Any], who: str = "It"
) -> list[Problem]:
    """All that is wrong: with the call, with each output, with what it did to its arguments."""
    if done.result is None:
        return failure(done, who)
    if isinstance(done.result, Unusable):
        what = f"({', '.join(expected)})" if len(expected) > 1 else ", ".join(expected)
        return [Problem("", "type", f"{who} returns {done.result.says}; {what} is expected.")]
    compared = (compare(name, done.result[name], expected[name], tolerance[name]) for name in expected)
    return [*(problem for problem in compared if problem is not None), *changed(done, who)]


def failure(done: Call, who: str) -> list[Problem]:
    """That nothing came, because of an exception or an endless loop."""
    if done.timed_out:
        says = f"{who} had not returned after {done.seconds:.0f} seconds. Is there a loop that does not end?"
        return [Problem("", "slow", says)]
    if done.raised is None:
        return []
    raised = done.raised
    says = f"{who} raises {raised.type}{': ' if raised.message else ''}{raised.message}"
    if raised.line is not None:
        says += f"\n    in line {raised.line}{': ' if raised.code else ''}{raised.code}"
    return [Problem("", "raised", says)]


def changed(done: Call, who: str) -> list[Problem]:
    """That arguments are not what they were."""
    if not done.changed:
        return []
    names, copy = " and ".join(done.changed), f"{done.changed[0]} = {done.changed[0]}.copy()"
    says = f"{who} changes {names}, which the caller may still need. Work on a copy: {copy}."
    return [Problem("", "changed", says)]


def smallest(
    strategy: Any, attempt: Callable[[Case], Trial], failing: list[Trial], output: str | None
) -> Trial:
    """The smallest case in which `output` is wrong; without one, in which the most common problem shows."""
    counts = Counter((problem.output, problem.kind) for trial in failing for problem in trial.problems)
    wanted = next(key for key, _ in counts.most_common() if output in (None, key[0]))

    def shows(trial):
        return any((problem.output, problem.kind) == wanted for problem in trial.problems)

    best = min(filter(shows, failing), key=lambda trial: trial.size)

    def holds(case):
        nonlocal best
        trial = attempt(case)
        if trial.call.timed_out:
            raise Stop
        if shows(trial):
            best = trial
        return shows(trial)

    if strategy is not None and wanted[1] != "slow":
        shrink(strategy, holds)
    return best
