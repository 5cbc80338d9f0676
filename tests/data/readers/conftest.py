"""What the trees of these tests are made of."""

import numpy as np
import pytest
from PIL import Image

from minifcn.data import open_folder
from minifcn.errors import InputError


def write_picture(path, value=0, size=(4, 6)):
    """A grey photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def write_mask(path, *values, size=(4, 6)):
    """A grey picture whose pixels are the values in turn, or the array given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = values[0] if np.ndim(values[0]) else np.resize(np.array(values, np.uint8), size)
    Image.fromarray(array.astype(np.uint8)).save(path)


def opened(root, format=""):
    """The names in both sets, and the sets."""
    sets = open_folder(root, format)
    return *([part.name(i) for i in range(len(part))] for part in sets), *sets


def refused(root, format=""):
    with pytest.raises(InputError) as error:
        open_folder(root, format)
    return str(error.value)


@pytest.fixture
def picture():
    return write_picture


@pytest.fixture
def mask():
    return write_mask


@pytest.fixture
def open_tree():
    return opened


@pytest.fixture
def refusal():
    return refused
