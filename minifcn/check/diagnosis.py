"""Which mistake is it? The one that gives the learner's numbers, in every case that was tried.

A mistake is a way to make wrong numbers: a known wrong implementation, or one of the changes of right numbers in
changes.py, such as a sign. It is named for an output only if it gives what the learner's function returned, in the
cases that are wrong and in those that are right. So nothing is guessed.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minifcn.check.changes import Test, agrees, changes, factors
from minifcn.check.compare import Outputs, outputs
from minifcn.check.guard import copied
from minifcn.check.trial import Trial


@dataclass(frozen=True)
class Mistake:
    """A known mistake is a wrong implementation. Whoever gets its numbers has made it.

    `says` tells the learner in one sentence, `see` names the paragraph: 'lesson 2, "No flip"'. `wrong` takes the
    exercise's arguments and returns the same kind of result.
    """

    says: str
    see: str
    wrong: Callable[..., Any]


@dataclass(frozen=True)
class Cause:
    """What explains an output. `test` is true for a trial that it explains, None for one that tells nothing."""

    output: str
    says: str
    see: str
    test: Test


def diagnose(trials: Sequence[Trial], mistakes: Sequence[Mistake] = ()) -> list[Cause]:
    """The cause of each output that is wrong somewhere, as far as one explains all that came.

    Known mistakes come first, then the general changes, then both together.
    """
    names = tuple({name: None for trial in trials for name in trial.expected})
    known = [_Known(mistake, names) for mistake in mistakes]
    causes: list[Cause] = []
    for output in names:
        wrong = [trial for trial in trials if trial.is_wrong(output)]
        wrong.sort(key=lambda trial: -trial.size)  # large cases tell mistakes apart, so few have to be tried
        right = [trial for trial in trials if not trial.is_wrong(output)]
        candidates = _candidates(output, wrong, known) if wrong else iter(())
        with np.errstate(all="ignore"):  # what came may be NaN or infinite
            explaining = (cause for cause in candidates if _explains(cause.test, wrong, right))
            causes += itertools.islice(explaining, 1)
    return causes


def _explains(test, wrong, right):
    return _never_false(test, wrong) and any(map(test, wrong)) and _never_false(test, right)


def _never_false(test, trials):
    return all(test(trial) is not False for trial in trials)


def _candidates(output: str, wrong: Sequence[Trial], known: Sequence["_Known"]) -> Iterator[Cause]:
    for one in known:
        yield Cause(output, one.mistake.says, one.mistake.see, agrees(one.of(output), output))
    for says, test in changes(output, wrong):
        yield Cause(output, says, "", test)
    for one in known:
        for says, test in factors(one.of(output), output, wrong):
            both = f"Two things. {one.mistake.says} And: {says}"
            yield Cause(output, both, one.mistake.see, test)


class _Known:
    """A mistake, and what it gave: it is run once for each trial, when first asked."""

    def __init__(self, mistake: Mistake, names: tuple[str, ...]) -> None:
        self.mistake, self.names, self.given = mistake, names, dict[int, Outputs]()

    def of(self, output: str) -> Callable[[Trial], Any]:
        """A function that gives its numbers for a trial, or None."""

        def make(trial):
            given = self._outputs(trial).get(output)
            return given if isinstance(given, np.ndarray) else None

        return make

    def _outputs(self, trial: Trial) -> Outputs:
        if id(trial) not in self.given:
            try:
                values = [copied(value) for value in trial.case.values()]
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    given = outputs(self.mistake.wrong(*values), self.names)
            except Exception:  # a wrong implementation may not fit every case
                given = {}
            self.given[id(trial)] = given if isinstance(given, dict) else {}
        return self.given[id(trial)]
