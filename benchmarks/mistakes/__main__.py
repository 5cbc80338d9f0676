"""python -m benchmarks.mistakes: which mistakes does the checker catch, and which does it name?

Prints a row for each planted mistake, and for each right function that is written in another way; and puts the
table into docs/mistakes.md. Ends with an error if a mistake is not caught, or a right function is called wrong.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import benchmarks.mistakes
from benchmarks.mistakes import Planted, Right
from minifcn import check
from minifcn.progress import progress

DOCUMENT = Path("docs/mistakes.md")


class Row(NamedTuple):
    exercise: str
    mistake: str
    caught: bool
    named: bool
    diagnosis: str


def planted() -> list[Planted]:
    return [one for lesson in _lessons() for one in lesson.PLANTED]


def right() -> list[Right]:
    return [one for lesson in _lessons() for one in lesson.RIGHT]


def tried(one: Planted) -> Row:
    """Caught: the answer is wrong. Named: what it says is the matter contains the word."""
    answer = getattr(check, one.exercise)(one.function)
    said = " ".join(answer.diagnosis)
    return Row(one.exercise, one.mistake, answer.state == "wrong", one.word.lower() in said.lower(), said)


def table(rows: Iterable[Row]) -> str:
    lines = ["| exercise | mistake | caught | named |", "|---|---|---|---|"]
    yes = {True: "yes", False: "**no**"}
    return "\n".join(
        [*lines, *(f"| {r.exercise} | {r.mistake} | {yes[r.caught]} | {yes[r.named]} |" for r in rows)]
    )


def summary(rows: list[Row], refused: list[Right], ways: int) -> str:
    caught, named = (sum(column) for column in zip(*((row.caught, row.named) for row in rows)))
    return (
        f"{len(rows)} mistakes: {caught} caught ({caught / len(rows):.0%}), {named} named rightly"
        f" ({named / len(rows):.0%}). {ways} right functions, written in other ways: {len(refused)} called wrong."
    )


def main() -> None:
    rows = [tried(one) for one in progress(planted(), "mistakes")]
    ways = right()
    refused = [
        one for one in progress(ways, "right ones") if not getattr(check, one.exercise)(one.function).right
    ]
    text = f"{summary(rows, refused, len(ways))}\n\n{table(rows)}\n"
    DOCUMENT.write_text(INTRODUCTION + text, encoding="utf-8")
    print(text)
    for row in rows:
        if not row.named:
            print(f"not named: {row.exercise}, {row.mistake}: {row.diagnosis or 'no diagnosis'}")
    for one in refused:
        print(f"called wrong: {one.exercise}, {one.way}")
    if refused or not all(row.caught for row in rows):
        raise SystemExit(1)


def _lessons():
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.mistakes.__path__))
    return [
        importlib.import_module(f"benchmarks.mistakes.{name}") for name in names if name.startswith("lesson")
    ]


INTRODUCTION = """# Mistakes, planted

Written by `python -m benchmarks.mistakes`. Each row is a function as a learner might write it, with one mistake in
it, handed to the checker of its exercise. *Caught*: the checker says that it is wrong. *Named*: it says what is
wrong, rightly. The functions are in `benchmarks/mistakes/`; the checker does not know them. It knows mistakes as
wrong implementations of its own, and names one only if that gives the same wrong numbers in every case.

"""


if __name__ == "__main__":
    main()
