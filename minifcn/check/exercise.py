"""An exercise: a right answer, cases to try, and the mistakes that learners are known to make in it."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np

from minifcn.check.answer import Answer, Note


@dataclass(frozen=True)
class Mistake:
    """A known mistake is a wrong implementation: who gets its numbers has made it."""

    says: str
    see: str
    wrong: Callable[..., Any]


@dataclass
class Exercise:
    """Call it with your function. See `minifcn.check`."""

    name: str
    lesson: int
    reference: Callable[..., Any]
    cases: Any
    returns: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    hints: tuple[str, ...] = ()
    source: Any = None
    rtol: float = 1e-4
    sample: dict[str, Any] | None = None
    _hints_given: int = field(default=0, init=False, repr=False)

    def __call__(self, attempt: Any = None) -> Answer:
        failing: list[tuple] = []

        def wrong(case):
            expected = self._arrays(self.reference(*_copies(case)))
            found = self._arrays(attempt(*_copies(case)))
            if self._equal(found, expected):
                return False
            failing.append((case, found, expected))
            return True

        settings = hypothesis.settings(database=None, derandomize=True, max_examples=100, deadline=None)
        try:
            hypothesis.find(self.cases, wrong, settings=settings)
        except hypothesis.errors.NoSuchExample:
            return Answer("right", f"{self.name}: right.")
        except NotImplementedError:
            return Answer("not attempted", f"{self.name}: not attempted. Stuck? check.{self.name}.hint()")
        case, found, expected = failing[-1]
        lines = [f"{self.name}: wrong."]
        for mistake in self.mistakes:
            for k, name in enumerate(self.returns):
                if all(self._reproduces(mistake, *trial, k) for trial in failing):
                    lines.append(f"{name}: {mistake.says} ({mistake.see})")
        lines += [f"{name} = {value}" for name, value in case.items()]
        for name, a, b in zip(self.returns, expected, found):
            lines += [f"{name} expected", str(a), f"{name} got", str(b)]
        return Answer("wrong", "\n".join(lines))

    def hint(self) -> Note:
        """The next hint; the last one again when there are no more."""
        self._hints_given = min(self._hints_given + 1, len(self.hints))
        return Note(f"Hint {self._hints_given} of {len(self.hints)}: {self.hints[self._hints_given - 1]}")

    def solution(self) -> Note:
        """The library's own source."""
        function = getattr(self.source, "py_func", self.source)
        text = textwrap.dedent(inspect.getsource(function))
        file = Path(inspect.getsourcefile(function) or "").name
        return Note(f"From {file}:\n\n{text}", f"From `{file}`:\n\n```python\n{text}```")

    def _arrays(self, value):
        return [np.asarray(part) for part in (value if len(self.returns) > 1 else (value,))]

    def _equal(self, found, expected):
        return len(found) == len(expected) and all(map(self._close, found, expected))

    def _close(self, a, b):
        scale = np.abs(b).max(initial=0.01)
        return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=self.rtol * scale, equal_nan=True)

    def _reproduces(self, mistake, case, found, expected, k):
        if self._close(found[k], expected[k]):
            return False
        try:
            return self._close(found[k], self._arrays(mistake.wrong(*_copies(case)))[k])
        except Exception:
            return False


def _copies(case):
    return [value.copy() if isinstance(value, np.ndarray) else value for value in case.values()]
