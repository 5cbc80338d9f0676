"""python -m lessons.build: run the lessons and write them as notebooks, pictures included.

Each source in lessons/sources becomes lessons/NAME.ipynb and a thumbnail; the table in lessons/README.md follows.
The same source gives the same bytes, on the same machine. With --solutions the exercises are solved instead, and
the notebooks go to a temporary folder. With --check nothing runs: are the notebooks those of the sources?
"""

import argparse
import base64
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from PIL import Image

from lessons.source import Lesson, lessons, tags
from minifcn.files import replacing
from minifcn.progress import StatusLine

FOLDER = Path(__file__).parent
PATIENCE = 120  # seconds for a cell; the first one may compile kernels
WITHOUT_SLIDERS = "import ipywidgets\nipywidgets.interact = lambda **sliders: lambda draw: draw"
COLOURS = 256  # of a picture in a notebook: a third of the bytes, and hardly seen
THUMBNAIL = 320  # pixels wide, or high
MOST_BYTES = 1_000_000  # of a notebook


class LessonError(Exception):
    """A lesson cannot be built; the message says where and why."""


class Built(NamedTuple):
    """`seconds` are those of each code cell, by its id."""

    notebook: NotebookNode
    seconds: dict[str, float]


def build(lesson: Lesson, target: Path, solved: bool = False, line: StatusLine | None = None) -> Built:
    """Run the lesson and write its notebook, whose outputs of `timing` cells stay if their source is the same.

    Raises LessonError if a cell fails or the check of an exercise does not say "not attempted"; solved, "right".
    """
    notebook = lesson.notebook(solved)
    seconds = _run(notebook, lesson, line or StatusLine())
    kept = _timings(target)
    for number, cell in enumerate(_code(notebook), 1):
        cell.execution_count = number
        cell.outputs = kept.get(cell.source) or list(_clean(cell, lesson.name))
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
    expected = "right" if solved else "not attempted"
    for cell, state in answers(lesson, notebook):
        if state != expected:
            text = "\n".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)
            raise LessonError(f"{lesson.name}, {cell.id}: expected {expected}, the check says\n{text}")
    text = nbformat.writes(notebook) + "\n"
    if len(text) > MOST_BYTES:
        raise LessonError(
            f"{lesson.name}: {len(text)} bytes, at most {MOST_BYTES}: smaller pictures, or fewer"
        )
    _write(target, text.encode())
    return Built(notebook, seconds)


def answers(lesson: Lesson, notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str]]:
    """The cells that check an exercise, and what the check says: a state of minifcn.check, or nothing."""
    for cell in _code(notebook):
        call = re.match(r"check\.\w+\((.*)\)", cell.source.splitlines()[-1])
        if call and set(re.findall(r"\w+", call[1])) & set(lesson.exercises):
            text = "".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)
            state = re.search(r"not attempted|wrong|right", text)
            yield cell, state[0] if state else ""


def thumbnail(lesson: Lesson, notebook: NotebookNode) -> bytes:
    """The last picture of the cell tagged `thumbnail`, made small, as PNG."""
    for cell in _code(notebook):
        pictures = [
            output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})
        ]
        if "thumbnail" in tags(cell) and pictures:
            picture = _decoded(pictures[-1])
            picture.thumbnail((THUMBNAIL, THUMBNAIL))
            return _png(picture)
    raise LessonError(f'{lesson.name}: no cell tagged "thumbnail" draws a picture')


def differences(lesson: Lesson, target: Path) -> list[str]:
    """What of the notebook is not what the source says; outputs aside."""
    if not target.exists():
        return [f"{target.name} is missing"]
    expected, found = lesson.notebook(), nbformat.read(target, as_version=4)
    if len(expected.cells) != len(found.cells):
        return [f"{target.name} has {len(found.cells)} cells, its source {len(expected.cells)}"]
    keys = ("id", "cell_type", "source", "metadata")
    pairs = zip(found.cells, expected.cells)
    return [f"{target.name}: {a.id} differs" for a, b in pairs if any(a[key] != b[key] for key in keys)]


def table(all_lessons: list[Lesson]) -> str:
    """The road map: a row a lesson."""
    rows = ["| | lesson | exercises | words | minutes |", "|---|---|---|---|---|"]
    for lesson in all_lessons:
        file, picture = f"{lesson.name}.ipynb", f"thumbnails/{lesson.number}.png"
        image = f'<a href="{file}"><img src="{picture}" width="200" alt=""></a>'
        text = f"[{lesson.headings[0]}]({file})<br>{lesson.question}"
        rows.append(f"| {image} | {text} | {len(lesson.exercises)} | {lesson.words} | {lesson.minutes} |")
    return "\n".join(rows)


def with_table(text: str, all_lessons: list[Lesson]) -> str:
    """README.md with its table brought up to date."""
    marks = r"(<!-- table: python -m lessons.build -->\n).*?(<!-- end -->)"
    return re.sub(marks, lambda mark: mark[1] + table(all_lessons) + "\n" + mark[2], text, flags=re.DOTALL)


def _run(notebook: NotebookNode, lesson: Lesson, line: StatusLine) -> dict[str, float]:
    """Run every cell in a kernel of its own, beside figures.py; the seconds of each code cell, by its id.

    Nobody moves the sliders here, so there are none: about once in ten times, a kernel waited for their messages
    for minutes. What they draw is drawn once, at the end: a later cell may have given a name that they use to
    something else.
    """
    without_sliders = new_code_cell(WITHOUT_SLIDERS, id="without-sliders")
    again = [
        new_code_cell(f"{name}()", id=f"{cell.id}-again")
        for cell in notebook.cells
        for name in re.findall(r"^@ipywidgets\.interact[\s\S]*?^def (\w+)", cell.source, re.MULTILINE)
    ]
    began: dict[str, float] = {}
    seconds: dict[str, float] = {}

    def before(cell, cell_index):
        line.show(f"{lesson.name}: cell {cell_index} of {len(notebook.cells)}")
        began[cell.id] = time.perf_counter()

    def after(cell, cell_index, execute_reply):
        seconds[cell.id] = time.perf_counter() - began[cell.id]

    client = NotebookClient(
        NotebookNode(notebook, cells=[without_sliders, *notebook.cells, *again], metadata=NotebookNode()),
        timeout=PATIENCE,
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # no warnings about a connection within this machine
        on_cell_execute=before,
        on_cell_executed=after,
    )
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    try:
        client.execute(env=os.environ | inline | {"PYTHONHASHSEED": "0"})
    except (CellControlSignal, DeadKernelError) as error:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        raise LessonError(f"{lesson.name}, {list(began)[-1]}:\n{plain}") from None
    return {cell.id: seconds[cell.id] for cell in _code(notebook)}


def _clean(cell: NotebookNode, where: str) -> Iterator[NotebookNode]:
    """The outputs as they are kept: no stderr, printed text in one piece, small pictures, none of a slider."""
    if "widget" in tags(cell):
        return
    printed = None
    for output in cell.outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            if printed is not None:
                printed.text += output.text
                continue
            printed = output
        else:
            printed = None
            address = re.search(r" at 0x[0-9a-f]+", output.get("data", {}).get("text/plain", ""))
            if address:
                raise LessonError(
                    f'{where}, {cell.id} shows an address in memory: end its last line with ";"'
                )
            if "image/png" in output.get("data", {}):
                picture = _decoded(output.data["image/png"])
                output.data["image/png"] = base64.b64encode(_png(picture)).decode()
        yield output


def _decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


def _png(picture: Image.Image) -> bytes:
    """With fewer colours. Pillow's other methods take the colour of a small thing from a larger one beside it."""
    file = io.BytesIO()
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    few.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _timings(target: Path) -> dict[str, list[NotebookNode]]:
    """The outputs of the `timing` cells of the notebook that is there, by their source."""
    if not target.exists():
        return {}
    cells = _code(nbformat.read(target, as_version=4))
    return {cell.source: cell.outputs for cell in cells if "timing" in tags(cell)}


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lessons.build", description=__doc__.split("\n\n")[0].split(": ")[1]
    )
    parser.add_argument("names", nargs="*", help="such as 03 or 03_backward; all of them if none is given")
    parser.add_argument(
        "--solutions", action="store_true", help="solve the exercises; write to a temporary folder"
    )
    parser.add_argument(
        "--check", action="store_true", help="run nothing: compare the notebooks with the sources"
    )
    options = parser.parse_args()
    chosen = [lesson for lesson in lessons() if _named(lesson, options.names)]
    try:
        if options.check:
            problems = [
                text for lesson in chosen for text in differences(lesson, FOLDER / f"{lesson.name}.ipynb")
            ]
            if problems:
                raise LessonError("\n".join([*problems, "python -m lessons.build writes them anew"]))
            print(f"{len(chosen)} notebooks are those of their sources")
        else:
            print(f"the notebooks are in {_build_all(chosen, options.solutions)}")
    except LessonError as error:
        sys.exit(str(error))


def _build_all(chosen: list[Lesson], solved: bool) -> Path:
    """Build, print the times as a table, and return the folder where the notebooks are."""
    folder = Path(tempfile.mkdtemp(prefix="lessons-")) if solved else FOLDER
    print("| lesson | cells | seconds | slowest cell | its seconds |\n|---|---|---|---|---|", flush=True)
    line = StatusLine()
    for lesson in chosen:
        began = time.perf_counter()
        try:
            notebook, seconds = build(lesson, folder / f"{lesson.name}.ipynb", solved, line)
        finally:
            line.close()
        slowest = max(seconds, key=seconds.__getitem__)
        row = (
            lesson.name,
            len(notebook.cells),
            f"{time.perf_counter() - began:.1f}",
            slowest,
            f"{seconds[slowest]:.1f}",
        )
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        if not solved:
            (folder / "thumbnails").mkdir(exist_ok=True)
            _write(folder / "thumbnails" / f"{lesson.number}.png", thumbnail(lesson, notebook))
    if not solved:
        readme = FOLDER / "README.md"
        _write(readme, with_table(readme.read_text(encoding="utf-8"), lessons()).encode())
    return folder


def _named(lesson: Lesson, names: list[str]) -> bool:
    return not names or any(lesson.name.startswith(name.zfill(2)) for name in names)


if __name__ == "__main__":
    main()
