"""Batches follow from the seed and the step alone, and every epoch sees every image once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data.augment import AUGMENTATIONS, transpose
from minifcn.data.batches import batch
from minifcn.errors import InputError


class Numbered:
    """Image i is all i, its labels all i + 100; of the sizes given in turn."""

    class_names = ("background",)

    def __init__(self, n, *sizes):
        self.n, self.sizes = n, sizes or ((2, 3),)

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        size = self.sizes[index % len(self.sizes)]
        return np.full((*size, 3), index, np.uint8), np.full(size, index + 100, np.uint8)

    def name(self, index):
        return f"picture{index}"


def order(n, steps, batch_size, seed):
    """The numbers of the images of the first steps."""
    batches = [batch(Numbered(n), step, batch_size, seed)[0] for step in range(steps)]
    return np.concatenate(batches)[:, 0, 0, 0].tolist()


@given(n=st.integers(1, 20), batch_size=st.integers(1, 25), epochs=st.integers(1, 3), seed=st.integers(0, 99))
def test_every_epoch_sees_every_image_once(n, batch_size, epochs, seed):
    seen = order(n, -(-n * epochs // batch_size), batch_size, seed)
    for e in range(epochs):
        assert sorted(seen[e * n : (e + 1) * n]) == list(range(n))


@given(n=st.integers(1, 20), sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 99))
def test_the_order_does_not_depend_on_the_batch_size(n, sizes, seed):
    one, other = (order(n, -(-60 // size), size, seed)[:60] for size in sizes)
    assert one == other


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = order(30, 2, 30, seed=1)[:30], order(30, 2, 30, seed=1)[30:]
    other = order(30, 1, 30, seed=2)
    assert first != second and first != other and first != sorted(first)


@given(
    batch_size=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    steps=st.lists(st.integers(0, 30), min_size=1, max_size=6),
)
def test_a_step_is_the_same_whatever_came_before(batch_size, seed, steps):
    dataset = Numbered(7, (6, 6))

    def take(step):
        return batch(dataset, step, batch_size, seed, AUGMENTATIONS.values(), crop=5, fill=(9, 9, 9))

    expected = {step: take(step) for step in range(31)}
    for step in steps:
        images, labels = take(step)
        assert (images == expected[step][0]).all() and (labels == expected[step][1]).all()


def test_shapes_and_partners():
    images, labels = batch(Numbered(5, (4, 7)), step=3, batch_size=6, seed=0)
    assert images.shape == (6, 4, 7, 3) and labels.shape == (6, 4, 7)
    assert images.dtype == labels.dtype == np.uint8
    assert images.flags.c_contiguous and labels.flags.c_contiguous
    assert (images[..., 0] + 100 == labels).all()


def test_augmentations_go_in_turn_and_get_the_fill():
    calls = []

    def spy(name):
        def function(image, labels, rng, fill):
            calls.append((name, int(image[0, 0, 0]), fill, rng.random()))
            return image + 50, labels

        return function

    images, labels = batch(Numbered(3), 0, 3, 0, [spy("a"), spy("b")], fill=(1, 2, 3))
    indices = (labels[:, 0, 0] - 100).tolist()
    assert [call[:2] for call in calls] == [pair for i in indices for pair in (("a", i), ("b", i + 50))]
    assert (images[:, 0, 0, 0] == np.array(indices) + 100).all()
    assert all(call[2] == (1, 2, 3) for call in calls)
    assert len({call[3] for call in calls}) == 6  # every call draws anew


def test_augmentation_differs_from_step_to_step_and_by_seed():
    def draw(step, seed):
        numbers = []

        def note(image, labels, rng, fill):
            numbers.append(rng.random())
            return image, labels

        batch(Numbered(1), step, 1, seed, [note])
        return numbers[0]

    assert len({draw(step, seed) for step in range(10) for seed in range(10)}) == 100


def test_crop_makes_one_size_of_many_and_fills():
    images, labels = batch(Numbered(4, (3, 9), (8, 2)), 0, 4, 0, crop=5, fill=(200, 201, 202))
    assert images.shape == (4, 5, 5, 3) and labels.shape == (4, 5, 5)
    assert (images[labels == 255] == (200, 201, 202)).all()
    assert sorted((labels != 255).sum(axis=(1, 2)).tolist()) == [10, 10, 15, 15]


def test_images_of_two_sizes_are_named_with_what_to_do():
    dataset = Numbered(2, (3, 9), (8, 2))
    with pytest.raises(InputError) as error:
        batch(dataset, 0, 2, 0)
    message = str(error.value)
    assert "picture0 has 3 rows and 9 columns" in message and "picture1 has 8 rows and 2 columns" in message
    assert "--crop SIZE" in message and "--batch-size 1" in message and "augmentation" not in message
    assert {batch(dataset, step, 1, 0)[0].shape for step in (0, 1)} == {(1, 3, 9, 3), (1, 8, 2, 3)}


def test_transposed_oblongs_do_not_stack():
    with pytest.raises(InputError, match="size after augmentation"):
        batch(Numbered(30), 0, 30, 0, [transpose])
    assert batch(Numbered(30, (4, 4)), 0, 30, 0, [transpose])[0].shape == (30, 4, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch_size": 0}, "batch_size = 0"),
        ({"step": -1}, "step = -1"),
        ({"crop": 0}, "crop = 0"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        batch(Numbered(3), **{"step": 0, "batch_size": 2, "seed": 0, **arguments})
