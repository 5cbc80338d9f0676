"""Recoding gives each label its number, and names the labels that have none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minifcn.data.recode import recoded
from minifcn.errors import InputError


@given(new=st.dictionaries(st.integers(0, 255), st.integers(0, 255), min_size=1), seed=st.integers(0, 99))
def test_each_label_gets_its_number(tmp_path_factory, new, seed):
    path = tmp_path_factory.mktemp("recode") / "a.png"
    labels = np.random.default_rng(seed).choice(list(new), (3, 4)).astype(np.uint8)
    Image.fromarray(labels).save(path)
    found = recoded(new, "these")(path)
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == [new[int(label)] for label in labels.ravel()]


def test_strange_labels_are_named(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.uint8([[0, 7, 9, 9]])).save(path)
    with pytest.raises(InputError, match=r"a\.png: labels 7, 9, expected 0 or 1"):
        recoded({0: 0, 1: 1}, "0 or 1")(path)
