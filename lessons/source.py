"""A lesson's source: a Python file in jupytext's percent format, from which its notebook is made.

    # %% [markdown]             prose
    # %%                        code
    # %% tags=["exercise"]      the stub that learners fill in
    # %% tags=["solution"]      the same, solved: it takes the stub's place where a lesson is tried out
    # %% tags=["widget"]        a slider: run, but its output is dropped; a still picture of it stands before it
    # %% tags=["timing"]        its output changes with every run: the notebook keeps the one it has
    # %% tags=["thumbnail"]     its picture stands for the lesson in README.md

Jupytext itself gives cells random names; here they are numbered, so that the same source gives the same notebook.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

SOURCES = Path(__file__).parent / "sources"
WORDS_A_MINUTE, MINUTES_AN_EXERCISE = 150, 6


@dataclass(frozen=True)
class Lesson:
    """What a source says about itself, without running it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        """Two digits, as in 03_backward."""
        return self.name[:2]

    @cached_property
    def cells(self) -> list[NotebookNode]:
        return jupytext.read(self.path, fmt="py:percent").cells

    def notebook(self, solved: bool = False) -> NotebookNode:
        """The notebook, not run: with stubs, or with the solutions in their place."""
        left_out = "exercise" if solved else "solution"
        cells = []
        for cell in self.cells:
            if left_out in tags(cell):
                continue
            new = new_markdown_cell if cell.cell_type == "markdown" else new_code_cell
            metadata = {"tags": tags(cell)} if tags(cell) else {}
            name = f"lesson-{self.number}-cell-{len(cells) + 1:02d}"
            cells.append(new(cell.source.strip("\n"), id=name, metadata=metadata))
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})

    @cached_property
    def prose(self) -> str:
        return "\n\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")

    @property
    def headings(self) -> list[str]:
        return re.findall(r"^#+ +(.+?) *$", self.prose, re.MULTILINE)

    @property
    def words(self) -> int:
        """The words of the prose: formulas, code and addresses do not count."""
        text = re.sub(
            r"```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`|\]\([^)]*\)|<[^>\n]+>", " ", self.prose, flags=re.S
        )
        return len(re.findall(r"[^\W\d_][\w'’-]*", text))

    @property
    def question(self) -> str:
        """The first sentence of the first cell that asks something; empty if it asks nothing."""
        lines = [line for line in self.cells[0].source.splitlines() if not line.startswith("#")]
        found = re.search(r"[^.!?]*\?", " ".join(lines).replace("*", "").replace("> ", ""))
        return found[0].strip() if found else ""

    @property
    def exercises(self) -> list[str]:
        """The names of the functions that the stubs leave to the learner."""
        stubs = [cell.source for cell in self.cells if "exercise" in tags(cell)]
        return [name for stub in stubs for name in re.findall(r"^def (\w+)", stub, re.MULTILINE)]

    @property
    def minutes(self) -> int:
        """How long it takes, to the next five minutes."""
        minutes = self.words / WORDS_A_MINUTE + len(self.exercises) * MINUTES_AN_EXERCISE
        return 5 * math.ceil(minutes / 5)


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def lessons(folder: Path = SOURCES) -> list[Lesson]:
    """All lessons, in order."""
    return [Lesson(path) for path in sorted(folder.glob("[0-9][0-9]_*.py"))]
