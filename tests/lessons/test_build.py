"""The builder, on a lesson of its own: what is kept, what is dropped, and what it says when something fails."""

import base64
import io
import re

import nbformat
import pytest
from PIL import Image

from lessons.build import LessonError, answers, build, thumbnail
from lessons.source import Lesson

EXAMPLE = '''\
# %% [markdown]
# # 7. An example

# %%
import sys
import time


class check:
    """A stand-in for minifcn.check, which would take seconds to import."""

    def twice(attempt):
        try:
            return "twice: right." if attempt(2) == 4 else "twice: wrong."
        except NotImplementedError:
            return "twice: not attempted."


print("one")
print("a warning", file=sys.stderr)
print("two")

# %% tags=["thumbnail"]
import figures

figures.matrix(figures.panels(1, height=4), [[1, 2], [3, -4]], "a matrix")

# %% tags=["exercise"]
def twice(x):
    """2x."""
    raise NotImplementedError


# %% tags=["solution"]
def twice(x):
    """2x."""
    return 2 * x


# %%
check.twice(twice)

# %% tags=["widget"]
import ipywidgets

power = 2


@ipywidgets.interact(x=(0, 3))
def show(x=1):
    print(x**power)


# %% tags=["timing"]
print(time.perf_counter_ns())
'''


def lesson(folder, text=EXAMPLE):
    path = folder / "07_example.py"
    path.write_text(text)
    return Lesson(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lesson")


@pytest.fixture(scope="module")
def built(folder):
    return build(lesson(folder), folder / "07_example.ipynb").notebook


def cell(notebook, number):
    return notebook.cells[number - 1]


def test_building_again_gives_the_same_bytes(folder, built):
    target = folder / "07_example.ipynb"
    first = target.read_bytes()
    again = build(lesson(folder), target)
    assert target.read_bytes() == first
    assert nbformat.reads(first.decode(), as_version=4) == built == again.notebook
    assert again.seconds.keys() == {f"lesson-07-cell-{k:02d}" for k in range(2, 8)}


def test_what_is_printed_is_one_piece_without_warnings(built):
    assert [dict(output) for output in cell(built, 2).outputs] == [
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"}
    ]


def test_nothing_but_cells_is_in_the_notebook(built):
    nbformat.validate(built)
    assert set(built.metadata) == {"kernelspec", "language_info"}
    assert [one.metadata for one in built.cells if one.metadata.get("tags") is None] == [{}, {}, {}]
    assert [one.execution_count for one in built.cells[1:]] == [1, 2, 3, 4, 5, 6]


def test_a_slider_leaves_no_output(built):
    assert cell(built, 6).metadata.tags == ["widget"] and cell(built, 6).outputs == []


def test_pictures_have_few_colours(folder, built):
    (output,) = cell(built, 3).outputs
    picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert picture.mode == "P" and len(picture.getcolors()) <= 256
    small = Image.open(io.BytesIO(thumbnail(lesson(folder), built)))
    assert max(small.size) == 320 and abs(small.width / small.height - picture.width / picture.height) < 0.01


def test_a_timing_is_measured_anew_when_its_source_changes(folder, built):
    target = folder / "changed.ipynb"
    nbformat.write(built, target)
    changed = build(lesson(folder, EXAMPLE + "print('ns')\n"), target).notebook
    old, new = (cell(notebook, 7).outputs[0].text for notebook in (built, changed))
    assert new != old and re.fullmatch(r"\d+\nns\n", new)


def test_solved_exercises_are_right(folder, tmp_path):
    example = lesson(folder)
    notebook = build(example, tmp_path / "solved.ipynb", solved=True).notebook
    assert [(one.id, state) for one, state in answers(example, notebook)] == [("lesson-07-cell-05", "right")]


FAILURES = {
    "an error": ("1 / 0", r"07_example, lesson-07-cell-02:(?s:.*)ZeroDivisionError"),
    "an address": ("object()", r"07_example, lesson-07-cell-02 shows an address in memory"),
    "a dead kernel": ("import os\nos._exit(1)", r"07_example, lesson-07-cell-02:(?s:.*)died"),
    "a slider that broke": (
        "import ipywidgets\n@ipywidgets.interact(x=(0, 3))\ndef show(x=1): print(x**power)\npower = None",
        r"07_example, lesson-07-cell-02-again:(?s:.*)TypeError",
    ),
    "too much": ("print('x' * 1_000_000)", "07_example: 1000[0-9]+ bytes, at most 1000000"),
}


@pytest.mark.parametrize(("line", "message"), FAILURES.values(), ids=FAILURES)
def test_failures_name_the_lesson_and_the_cell(tmp_path, line, message):
    text = f"# %% [markdown]\n# # 7. An example\n\n# %%\n{line}\n"
    with pytest.raises(LessonError, match=message):
        build(lesson(tmp_path, text), tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


def test_a_check_that_should_be_right_but_is_not(tmp_path):
    with pytest.raises(
        LessonError, match=r"07_example, lesson-07-cell-05: expected right(?s:.*)twice: wrong"
    ):
        build(lesson(tmp_path, EXAMPLE.replace("2 * x", "3 * x")), tmp_path / "out.ipynb", solved=True)


def test_a_lesson_without_a_thumbnail(tmp_path):
    example = lesson(tmp_path, EXAMPLE.replace('tags=["thumbnail"]', ""))
    with pytest.raises(LessonError, match="07_example: no cell tagged"):
        thumbnail(example, example.notebook())
