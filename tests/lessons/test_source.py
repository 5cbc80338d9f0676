"""What every lesson promises, read off its source: length, exercises, question, end; nothing runs."""

import re

import pytest

from lessons.build import FOLDER, differences, with_table
from lessons.source import Lesson, lessons, tags
from minifcn import check
from minifcn.check.exercises import LESSONS

EXAMPLE = '''\
# %% [markdown]
# # 7. An example
#
# See it first. **How many *words* has this?** Not `code` nor $x^2 + y$, but
# [one link](https://example.org/of_words) and "it's".

# %% tags=["exercise"]


def twice(x):
    """2x."""
    raise NotImplementedError


# %% tags=["solution"]
def twice(x):
    """2x."""
    return 2 * x


# %% [markdown]
# ## No flip
'''

every_lesson = pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "07_example.py"
    path.write_text(EXAMPLE)
    return Lesson(path)


def test_a_source_says_what_is_in_it(example):
    assert example.number == "07"
    assert example.question == "How many words has this?"
    assert example.headings == ["7. An example", "No flip"]
    assert example.exercises == ["twice"]
    assert example.words == 2 + 3 + 5 + 7 + 2  # "Not nor but one link and it's" ...
    assert example.minutes == 10  # 6 for the exercise and a bit


@pytest.mark.parametrize(("solved", "body"), [(False, "raise NotImplementedError"), (True, "return 2 * x")])
def test_a_notebook_has_the_stub_or_the_solution(example, solved, body):
    cells = example.notebook(solved).cells
    assert [cell.id for cell in cells] == [f"lesson-07-cell-{k:02d}" for k in (1, 2, 3)]
    assert cells[1].source.startswith("def twice(x):\n") and cells[1].source.endswith(body)
    assert tags(cells[1]) == ["solution" if solved else "exercise"]


def test_a_notebook_that_was_edited_is_noticed(example, tmp_path):
    import nbformat

    notebook, target = example.notebook(), tmp_path / "07_example.ipynb"
    assert differences(example, target) == ["07_example.ipynb is missing"]
    nbformat.write(notebook, target)
    assert differences(example, target) == []
    notebook.cells[1].source += "  # mine"
    nbformat.write(notebook, target)
    assert differences(example, target) == ["07_example.ipynb: lesson-07-cell-02 differs"]
    del notebook.cells[1]
    nbformat.write(notebook, target)
    assert differences(example, target) == ["07_example.ipynb has 2 cells, its source 3"]


@every_lesson
def test_the_notebook_is_what_the_source_builds(lesson):
    assert differences(lesson, FOLDER / f"{lesson.name}.ipynb") == []


def test_the_road_map_is_up_to_date():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert with_table(text, lessons()) == text


@every_lesson
def test_a_lesson_is_short_and_asks_and_answers(lesson):
    assert lesson.words < 1200
    assert 3 <= len(lesson.exercises) <= 6
    assert lesson.question
    assert lesson.headings[-1] == "What you now know"


@every_lesson
def test_every_exercise_is_solved_and_checked(lesson):
    solutions = [cell.source for cell in lesson.cells if "solution" in tags(cell)]
    solved = [name for text in solutions for name in re.findall(r"^def (\w+)", text, re.MULTILINE)]
    assert set(lesson.exercises) <= set(solved)
    checks = [cell.source for cell in lesson.cells if cell.source.startswith("check.")]
    assert all(any(re.search(rf"\b{name}\)", text) for text in checks) for name in lesson.exercises)
    assert set(LESSONS[lesson.name[3:]]) <= set(lesson.exercises)


@every_lesson
def test_mistakes_point_to_headings_of_their_lesson(lesson):
    for name in LESSONS[lesson.name[3:]]:
        exercise = getattr(check, name)
        assert exercise.lesson == int(lesson.number)
        for mistake in exercise.mistakes:
            number, heading = re.fullmatch(r'lesson (\d), "(.+)"', mistake.see).groups()
            (target,) = (other for other in lessons() if int(other.number) == int(number))
            assert heading in target.headings, f"{name}: {mistake.see}"
