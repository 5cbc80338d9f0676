"""Every lesson runs from top to bottom: as shipped, nothing is attempted; with its solutions, all is right."""

import pytest

from lessons.build import answers, build
from lessons.source import lessons

pytestmark = pytest.mark.lessons
every_lesson = pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)


@every_lesson
def test_a_lesson_as_it_is_shipped(lesson, tmp_path):
    """`build` raises if a cell fails or an exercise is not "not attempted"; twice, the bytes are the same."""
    target = tmp_path / "lesson.ipynb"
    notebook = build(lesson, target).notebook
    assert len(list(answers(lesson, notebook))) >= len(lesson.exercises)
    first = target.read_bytes()
    build(lesson, target)
    assert target.read_bytes() == first


@every_lesson
def test_a_lesson_with_its_exercises_solved(lesson, tmp_path):
    notebook = build(lesson, tmp_path / "lesson.ipynb", solved=True).notebook
    assert len(list(answers(lesson, notebook))) >= len(lesson.exercises)
