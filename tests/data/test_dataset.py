"""Colour statistics against the plain definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.dataset import channel_statistics


class Images:
    """A dataset of given images."""

    class_names = ("background",)

    def __init__(self, images):
        self.images = images
        self.asked = []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.images[index], np.zeros(self.images[index].shape[:2], np.uint8)

    def name(self, index):
        return str(index)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_is_the_plain_definition_over_all_pixels(sizes, seed):
    rng = np.random.default_rng(seed)
    highest = rng.integers(1, 256, 3)
    images = [rng.integers(0, highest, (*size, 3)).astype(np.uint8) for size in sizes]
    mean, std = channel_statistics(Images(images))
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
    assert mean.dtype == np.float32 and isinstance(std, float) and std == np.float32(std)
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(((pixels - pixels.mean(0)) ** 2).mean()), rtol=1e-6, atol=1e-5)


def test_known_values():
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 0] = (255, 10, 0)
    mean, std = channel_statistics(Images([image]))
    assert mean.tolist() == [127.5, 5, 0]
    assert std == pytest.approx(np.sqrt((127.5**2 + 5**2 + 0) / 3))


def test_one_colour_has_no_deviation():
    mean, std = channel_statistics(Images([np.full((30, 31, 3), (7, 100, 251), np.uint8)] * 3))
    assert mean.tolist() == [7, 100, 251]
    assert std == 0


@given(n=st.integers(1, 60), most=st.integers(1, 60))
def test_looks_at_evenly_spaced_images_and_no_more_than_asked(n, most):
    dataset = Images([np.full((1, 1, 3), i, np.uint8) for i in range(n)])
    channel_statistics(dataset, most)
    assert len(dataset.asked) == len(set(dataset.asked)) == min(n, most)
    gaps = np.diff(dataset.asked)
    if len(gaps):
        assert dataset.asked[0] == 0 and dataset.asked[-1] == n - 1
        assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_most_must_leave_an_image():
    with pytest.raises(ValueError, match="most = 0"):
        channel_statistics(Images([np.zeros((1, 1, 3), np.uint8)]), 0)
