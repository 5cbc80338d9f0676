"""From a function that tries a case to the answer: not attempted, wrong and why, or right."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minifcn.check.answer import Answer, not_attempted, right, wrong
from minifcn.check.diagnosis import Mistake, diagnose
from minifcn.check.guard import same
from minifcn.check.search import SECONDS, Case
from minifcn.check.trial import Trial, smallest

Attempt = Callable[[Case], Trial]


def run(attempt: Callable[..., Trial], cases: Iterable[tuple]) -> list[Trial]:
    """Try all cases; fewer, if one does not end or all together take too long."""
    trials: list[Trial] = []
    began = time.perf_counter()
    for case in cases:
        trials.append(attempt(*case))
        if trials[-1].call.timed_out or time.perf_counter() - began > SECONDS:
            break
    return trials


def judge(
    name: str,
    trials: Sequence[Trial],
    attempt: Attempt,
    strategy: Any = None,
    mistakes: Sequence[Mistake] = (),
    help: str = "",
) -> Answer:
    """Look through the trials. If any is wrong, find out why, and the smallest case that `strategy` can draw."""
    if all(trial.nothing for trial in trials):
        return not_attempted(name, _nothing(trials[0]), help)
    failing = [trial for trial in trials if trial.problems]
    if not failing:
        return right(name, trials)
    causes = diagnose(trials, mistakes)
    least = smallest(strategy, attempt, failing, causes[0].output if causes else None)
    causes = [cause for cause in causes if cause.test(least) is not False]
    remark = (
        ""
        if causes or _steady(attempt, least)
        else "Called twice with the same arguments, it gives two results."
    )
    return wrong(name, trials, least, causes, remark, help)


def _nothing(trial):
    if trial.call.raised is not None:
        return "It raises NotImplementedError: write your own lines in place of that one."
    return "It returned nothing: write it, and return the result at the end."


def _steady(attempt, trial):
    """Whether a second call gives the same."""
    if trial.call.timed_out:
        return True
    again = attempt(trial.case).found
    return again.keys() == trial.found.keys() and all(map(same, again.values(), trial.found.values()))
