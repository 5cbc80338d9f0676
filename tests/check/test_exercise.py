"""An exercise answers in three states, whatever it is handed."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
toy, backward, flipped = _module.toy, _module.backward, _module.flipped


class Hostile:
    def __array__(self, *args, **options):
        raise RuntimeError("no array")

    def __repr__(self):
        raise RuntimeError("no text")


def stub(dy, x, stride):
    raise NotImplementedError


@pytest.mark.parametrize("attempt", [stub, lambda dy, x, stride: None, lambda dy, x, stride: ..., None, ...])
def test_not_attempted(attempt):
    answer = toy(attempt)
    assert answer.state == "not attempted" and not answer.right
    assert "check.toy.hint()" in str(answer)


STRANGE = {
    "text": "dw",
    "a number": 3,
    "one output": np.zeros((2, 2, 1, 1)),
    "three outputs": (1, 2, 3),
    "a set": {1, 2},
    "hostile": Hostile(),
    "hostile parts": (Hostile(), Hostile()),
    "a generator": (i for i in range(2)),
    "ragged": ([[1], [2, 3]], [1]),
    "objects": (np.array([object()]), np.array([None])),
    "complex": (np.full((2, 2, 1, 1), 1j), np.full(1, 1j)),
    "strings": (np.array(["a"]), np.array(["b"])),
    "NaN": (np.full((2, 2, 1, 1), np.nan), np.full(1, np.inf)),
}


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
def test_whatever_is_returned_is_answered(value):
    answer = toy(lambda dy, x, stride: value)
    assert answer.state == "wrong"
    assert str(answer) and answer._repr_html_()


@pytest.mark.parametrize("attempt", [3, "text", np.zeros(3), Hostile(), lambda dy: dy, lambda: None])
def test_what_is_no_function_of_these_arguments_is_wrong(attempt):
    assert toy(attempt).state == "wrong"


def test_right_ones_in_any_type_and_layout():
    def other(dy, x, stride):
        dw, db = backward(dy, x, stride)
        return [np.asfortranarray(dw.astype(np.float32)), np.repeat(db, 2)[::2]]

    answer = toy(other)
    assert answer.right and re.search(r"all \d+ cases", str(answer)) and "yours takes" in str(answer)


def test_a_known_mistake_is_named_with_the_smallest_case():
    answer = toy(flipped)
    assert answer.state == "wrong"
    assert any("The kernel is flipped" in line for line in answer.diagnosis)
    assert "<img" in answer._repr_html_()


def test_changed_arguments_are_named():
    def careless(dy, x, stride):
        result = backward(dy, x, stride)
        x += 1
        return result

    answer = toy(careless)
    assert answer.state == "wrong" and "changes x" in str(answer)


def test_hints_say_more_each_time_and_the_solution_is_source():
    first, second, third = (str(toy.hint()) for _ in range(3))
    assert first != second == third
    assert "def backward(dy, x, stride):" in str(toy.solution())
