"""What all toys promise: datasets that follow from the seed, of any size, with every class in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn.data.toys import TOYS

toys = st.sampled_from(sorted(TOYS))
sizes = st.integers(1, 60) | st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(name=toys, more=st.integers(0, 3), size=sizes, seed=st.integers(0, 2**31))
def test_a_longer_set_starts_with_the_shorter_one(name, more, size, seed):
    make = TOYS[name].make
    short, long = make(2, size, seed), make(2 + more, size, seed)
    shape = (size, size) if isinstance(size, int) else size
    assert (len(short), len(long)) == (2, 2 + more)
    for i in range(2):
        image, labels = short[i]
        assert image.shape == (*shape, 3) and labels.shape == shape
        assert image.dtype == labels.dtype == np.uint8
        assert labels.max() < len(make.class_names)
        assert (long[i][0] == image).all() and (long[i][1] == labels).all()


@pytest.mark.parametrize("name", TOYS)
def test_is_a_dataset(name):
    data = TOYS[name].make(6, 96, seed=1)
    assert len({data.name(i) for i in range(6)}) == 6
    assert len({image.tobytes() for image in data.images}) == 6
    assert (data[-1][0] == data[5][0]).all() and (data.labels[5] == data[5][1]).all()
    assert set(np.unique(data.labels)) == set(range(len(data.class_names)))
    with pytest.raises(IndexError):
        data[6]
    with pytest.raises(ValueError, match="read-only"):
        data[0][0][0, 0] = 0


@pytest.mark.parametrize("name", TOYS)
def test_no_held_out_image_is_learned_from(name):
    training, validation = TOYS[name].training(seed=0), TOYS[name].validation()
    assert (len(training), len(validation)) == (TOYS[name].images, TOYS[name].held_out)
    assert not {training[i][0].tobytes() for i in range(4)} & {validation[i][0].tobytes() for i in range(4)}
    assert (TOYS[name].validation()[0][0] == validation[0][0]).all()


@settings(max_examples=10)
@given(name=toys, arguments=st.sampled_from([(0, 8), (1, 0), (1, (3, 0)), (1, 8, -1)]))
def test_bad_arguments_are_named(name, arguments):
    with pytest.raises(ValueError, match=r"(count|size|seed) = .*, expected"):
        TOYS[name].make(*arguments)
