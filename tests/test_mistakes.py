"""The checker and mistakes planted in right functions: all are caught, nine in ten are named, none is made up."""

import pytest

from benchmarks.mistakes.__main__ import planted, right, tried
from minifcn import check

pytestmark = pytest.mark.slow

NAMED = 0.9


def test_every_mistake_is_caught_and_most_are_named():
    rows = [tried(one) for one in planted()]
    assert [row for row in rows if not row.caught] == []
    assert sum(row.named for row in rows) >= NAMED * len(rows), [row for row in rows if not row.named]


@pytest.mark.parametrize("one", right(), ids=lambda one: f"{one.exercise}, {one.way}")
def test_no_right_function_is_called_wrong(one):
    answer = getattr(check, one.exercise)(one.function)
    assert answer.right, answer
