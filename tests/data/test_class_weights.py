"""Class weights against the plain definitions, and what they bring about."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.class_weights import CLASS_WEIGHTS, inverse_frequency, median_frequency


class Labels:
    """A dataset of given labels."""

    def __init__(self, K, labels):
        self.class_names, self.labels = tuple("abcdefgh"[:K]), labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return np.zeros((*self.labels[index].shape, 3), np.uint8), self.labels[index]

    def name(self, index):
        return f"picture{index}"


@st.composite
def datasets(draw):
    K, count = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    known = [*rng.permutation(K)[: rng.integers(1, K + 1)], 255]
    labels = [rng.choice(known, (draw(st.integers(1, 5)), 4)).astype(np.uint8) for _ in range(count)]
    labels[0][0, 0] = known[0]
    return Labels(K, labels)


@given(datasets())
def test_median_frequency_is_the_definition(dataset):
    frequency = {}
    for c in range(len(dataset.class_names)):
        images = [labels[labels != 255] for labels in dataset.labels if (labels == c).any()]
        if images:
            frequency[c] = np.mean(np.concatenate(images) == c)
    median = np.median(list(frequency.values()))
    expected = [median / frequency[c] if c in frequency else 0 for c in range(len(dataset.class_names))]
    np.testing.assert_allclose(median_frequency(dataset), expected, rtol=1e-12)


@given(datasets())
def test_inverse_frequency_gives_each_class_the_same_part(dataset):
    weights = inverse_frequency(dataset)
    labels = np.concatenate([labels[labels != 255] for labels in dataset.labels])
    assert weights[labels].sum() == pytest.approx(len(labels), rel=1e-12)
    parts = [weights[labels[labels == c]].sum() for c in np.unique(labels)]
    np.testing.assert_allclose(parts, len(labels) / len(parts), rtol=1e-12)
    assert not weights[np.setdiff1d(range(len(weights)), labels)].any()


@pytest.mark.parametrize("name", CLASS_WEIGHTS)
def test_rarer_classes_weigh_more(name):
    weights = CLASS_WEIGHTS[name](Labels(3, [np.uint8([[0] * 12 + [1] * 3 + [2] + [255] * 9])]))
    assert weights[0] < weights[1] < weights[2]
    np.testing.assert_allclose(weights / weights[1], [3 / 12, 1, 3], rtol=1e-12)


def test_median_frequency_looks_only_at_images_with_the_class():
    one, both = np.uint8([[0, 0, 0, 0]]), np.uint8([[0, 0, 0, 1]])
    few, many = (median_frequency(Labels(2, [both] + [one] * n)) for n in (1, 9))
    assert few[1] == pytest.approx((7 / 8 + 1 / 4) / 2 / (1 / 4))  # f_1 is 1/4 however many images lack it
    assert many[1] == pytest.approx((39 / 40 + 1 / 4) / 2 / (1 / 4))


@pytest.mark.parametrize("name", CLASS_WEIGHTS)
def test_strange_labels_are_named(name):
    with pytest.raises(ValueError, match=r"picture1 has the label 7, expected 0\.\.2 or 255"):
        CLASS_WEIGHTS[name](Labels(3, [np.uint8([[0, 1]]), np.uint8([[0, 7]])]))
