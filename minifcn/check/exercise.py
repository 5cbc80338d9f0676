"""An exercise: a right answer, cases to try, and the mistakes that learners are known to make in it."""

import inspect
import statistics
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minifcn.check.answer import Answer, Note, not_attempted
from minifcn.check.compare import is_nothing, largest, named, outputs
from minifcn.check.diagnosis import Mistake
from minifcn.check.guard import call, copied
from minifcn.check.judge import judge, run
from minifcn.check.search import Case, draw
from minifcn.check.trial import Trial, tried

__all__ = ["Exercise", "Mistake"]

REPEATS = 5  # timings, of which the median counts
PATIENCE = 1.0  # seconds after which no further one begins


@dataclass
class Exercise:
    """Call it with your own function, and it answers. `hint()` and `solution()` help.

    `reference` gives the right answer. `cases` is a hypothesis strategy of its arguments by name, in the order in
    which they are passed. `returns` names what is returned: one name is one array or number, several are a tuple.
    An output is right within `rtol` times the largest expected number. `sample` is a larger case, to see how long
    it takes. `source` is what solution() shows.
    """

    name: str
    lesson: int
    reference: Callable[..., Any]
    cases: Any
    returns: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    hints: tuple[str, ...] = ()
    source: Any = None
    rtol: float = 1e-4
    sample: Case | None = None
    _hints_given: int = field(default=0, init=False, repr=False)
    _drawn: list[tuple[Case, dict]] = field(default_factory=list, init=False, repr=False)

    def __call__(self, attempt: Any = None) -> Answer:
        """Try `attempt` on a hundred cases, or on as many as it does in some seconds."""
        if not self._drawn:
            self._drawn += [(case, self._expected(case)) for case in draw(self.cases)]
        unfit = self._unfit(attempt)
        if unfit is not None:
            return unfit
        one = partial(self._tried, attempt)
        trials = run(one, self._drawn)
        sampled = None
        if self.sample is not None and not any(trial.problems for trial in trials):
            sampled = one(self.sample)
            if not sampled.call.timed_out:  # a slow function may be right
                trials.append(sampled)
        answer = judge(self.name, trials, one, self.cases, self.mistakes, self._help)
        if answer.right and sampled is not None:
            return Answer("right", f"{answer.text}\n{self._speed(attempt, sampled)}")
        return answer

    def hint(self) -> Note:
        """The next hint; the last one again when there are no more."""
        self._hints_given = min(self._hints_given + 1, len(self.hints))
        count = f"Hint {self._hints_given} of {len(self.hints)}"
        hint = self.hints[self._hints_given - 1]
        return Note(f"{count}: {hint}", f"**{count}.** {hint}")

    def solution(self) -> Note:
        """The library's own source."""
        function = getattr(self.source, "py_func", self.source)  # what Numba compiled
        text = textwrap.dedent(inspect.getsource(function)).rstrip()
        path = Path(inspect.getsourcefile(function) or "")
        place = f"{path.parent.name}/{path.name}"
        return Note(f"# {place}\n\n{text}", f"`{place}`\n\n```python\n{text}\n```")

    @property
    def _help(self) -> str:
        return f"For a hint: check.{self.name}.hint()"

    def _unfit(self, attempt: Any) -> Answer | None:
        """The answer to what is no function of these arguments and so need not be tried."""
        arguments = tuple(self._drawn[0][0])
        if is_nothing(attempt):
            return not_attempted(
                self.name, f"Pass your function: check.{self.name}({self.name}).", self._help
            )
        if not callable(attempt):
            says = f"Pass the function itself, check.{self.name}({self.name}); this is {named(attempt)}."
            return Answer("wrong", f"{self.name}: {says}")
        try:
            signature = inspect.signature(attempt)
        except Exception:  # not every function can say what it takes
            return None
        try:
            signature.bind(*arguments)
        except TypeError:
            takes = f"({', '.join(signature.parameters)})"
            says = f"It is called with the arguments ({', '.join(arguments)}); yours takes {takes}."
            return Answer("wrong", f"{self.name}: {says}")
        return None

    def _expected(self, case: Case) -> dict[str, np.ndarray]:
        value = outputs(self.reference(*(copied(value) for value in case.values())), self.returns)
        assert isinstance(value, dict), f"the reference of {self.name} returns {value.says}"
        return {name: array for name, array in value.items() if isinstance(array, np.ndarray)}

    def _tried(self, attempt: Callable[..., Any], case: Case, expected: dict | None = None) -> Trial:
        expected = self._expected(case) if expected is None else expected
        tolerance = {name: self.rtol * largest(array) for name, array in expected.items()}
        return tried(attempt, case, expected, tolerance)

    def _speed(self, attempt: Callable[..., Any], sampled: Trial) -> str:
        """How long the attempt takes on the sample, and the reference."""
        sample = sampled.case
        arrays = [f"{name} {value.shape}" for name, value in sample.items() if isinstance(value, np.ndarray)]
        slow = f"more than {sampled.call.seconds:.2g} s" if sampled.call.timed_out else ""
        yours, ours = slow or _time(attempt, sample), _time(self.reference, sample)
        return f"On {' and '.join(arrays[:2]) or 'the sample'}, yours takes {yours}, the library's {ours}."


def _time(function: Callable[..., Any], sample: Case) -> str:
    """The median of some calls, or of fewer if it is slow."""
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < PATIENCE:
        seconds.append(call(function, sample).seconds)
    median = statistics.median(seconds)
    return f"{median:.2g} s" if median >= 1 else f"{1e3 * median:.2g} ms"
