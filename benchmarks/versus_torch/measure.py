"""Measuring rows: everyone made ready, all results checked equal, then the contest."""

from collections.abc import Iterable
from typing import Any

from benchmarks.versus_torch.rows import OURS, Contestant, Ready, Row, check_equal
from benchmarks.versus_torch.timing import Effort, Timing, contest

Record = dict[str, Any]  # what is known of a row, as it goes into the JSON file


def measured(row: Row, sides: Iterable[str], effort: Effort, check: bool = True) -> Record:
    """The row's work, the times of the contestants of these sides, and who could not take part.

    Raises UnequalError, before anything is timed, if one does not compute what we compute. torch.compile may
    fail: it needs a C++ compiler, and luck.
    """
    multiply_adds, moved = row.work()
    failures: dict[str, str] = {}
    ready = made_ready([c for c in row.contestants() if c.side in sides], failures, check)
    times = contest({name: contestant.call for name, contestant in ready.items()}, effort)
    return {
        "name": row.name,
        "must": row.must,
        "aim": row.aim,
        "multiply_adds": multiply_adds,
        "bytes": moved,
        "times": {name: timing._asdict() for name, timing in times.items()},
        "failures": failures,
    }


def made_ready(
    contestants: list[Contestant], failures: dict[str, str], check: bool = True
) -> dict[str, Ready]:
    """By name, and checked against the first; those that cannot compile are put into `failures`."""
    ready: dict[str, Ready] = {}
    expected = None
    for contestant in contestants:
        try:
            made = contestant.prepare()
            found = made.results() if check else None
        except Exception as error:
            if contestant.side != "torch.compile":
                raise
            failures[contestant.name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        if check and expected is not None:
            check_equal(contestant.name, found, expected)
        expected = found if expected is None else expected
        ready[contestant.name] = made
    return ready


def fastest(times: dict[str, Record], *sides: str) -> tuple[str, Timing] | None:
    """The contestant of these sides with the lowest median, and its time; of all peers if none is named."""
    found = {
        name: Timing(**timing)
        for name, timing in times.items()
        if (name.split(" ")[0] in sides if sides else name != OURS)
    }
    if not found:
        return None
    name = min(found, key=lambda name: found[name].median)
    return name, found[name]
