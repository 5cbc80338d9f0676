"""Cases are drawn again alike, shrink as far as they go, and leave no traces."""

import os
import random

import numpy as np
from hypothesis import strategies as st

from minifcn.check.search import CASES, Stop, draw, shrink

pairs = st.tuples(st.integers(0, 1000), st.lists(st.integers(-5, 5), max_size=5)).map(
    lambda drawn: {"a": drawn[0], "b": drawn[1]}
)


def test_the_same_cases_each_time():
    first = draw(pairs)
    assert len(first) == CASES
    assert len({str(case) for case in first}) > CASES / 2
    assert draw(pairs) == first


def test_drawing_ends_when_the_time_is_over():
    assert len(draw(pairs, seconds=0.0)) == 1


def test_the_last_case_that_holds_is_the_smallest():
    held = []

    def holds(case):
        if case["a"] > 7 and sum(case["b"]) > 1:
            held.append(case)
            return True
        return False

    shrink(pairs, holds)
    assert held[-1] == {"a": 8, "b": [2]}


def test_looking_goes_through_the_cases_of_drawing():
    seen = []
    shrink(pairs, seen.append)
    assert seen == draw(pairs)


def test_it_can_be_stopped_and_its_time_is_limited():
    seen = []

    def stop(case):
        seen.append(case)
        raise Stop

    shrink(pairs, stop)
    assert len(seen) == 1
    shrink(pairs, lambda case: seen.append(case) or True, seconds=0.0)
    assert len(seen) == 1


def test_what_holds_only_sometimes_is_no_error():
    answers = iter([True] + [False] * 10_000)
    shrink(pairs, lambda case: next(answers))


def test_no_files_and_no_disturbed_random_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = np.random.get_state()[1].tolist(), random.getstate()
    shrink(pairs, lambda case: np.random.random() + random.random() > 0.5 and case["a"] > 3)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
    assert os.listdir() == []
