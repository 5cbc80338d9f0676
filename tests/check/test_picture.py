"""The picture beside a wrong answer: there is one where it helps, of a bearable size, drawn without pyplot."""

import base64
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image
from toy import backward, flipped, toy

from minifcn.check.exercise import Exercise
from minifcn.check.picture import COLOURS


def pictures(answer):
    data = re.findall(r'<img src="data:image/png;base64,([^"]+)">', answer._repr_html_())
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in data]


def of(x, wrong):
    from minifcn.check.cases import arguments, st

    doubled = Exercise(
        name="doubled", lesson=1, reference=lambda x: 2 * x, cases=arguments(x=st.just(x)), returns=("y",)
    )
    return doubled(wrong)


def has(picture, colour):
    rgb = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return bool(np.any(np.all(np.abs(picture.astype(int) - rgb) < 3, axis=2)))


def test_a_wrong_array_is_drawn():
    (picture,) = pictures(toy(flipped))
    less, _, more = COLOURS
    assert has(picture, less) and has(picture, more)


@pytest.mark.parametrize(
    "answer", [toy(backward), toy(), toy(lambda dy, x, stride: 3)], ids=lambda a: a.state
)
def test_nothing_to_draw(answer):
    assert pictures(answer) == []


@pytest.mark.parametrize(
    "shape", [(1, 2, 2, 1), (2, 3, 3, 4), (40,), (1, 60, 7, 1), (5, 6, 3), (2, 2, 2, 2, 2), (30, 2)]
)
def test_arrays_of_all_shapes_are_drawn_in_a_bearable_size(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    (picture,) = pictures(of(x, lambda x: 2 * x + (x > x.mean())))
    assert 30 < picture.shape[0] < 1200 and 100 < picture.shape[1] < 1200
    assert len(of(x, lambda x: x)._repr_html_()) < 100_000


@pytest.mark.parametrize(
    "wrong",
    [lambda x: x * np.nan, lambda x: x / 0, lambda x: 2 * x[:, :1], lambda x: x.ravel(), lambda x: x > 0],
)
def test_strange_numbers_and_other_shapes_are_drawn(wrong):
    assert len(pictures(of(np.array([[1.0, 2.0], [-3.0, 4.0]]), wrong))) == 1


def test_pyplot_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert pictures(toy(flipped))
