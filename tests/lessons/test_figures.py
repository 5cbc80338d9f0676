"""What the lessons draw with: colours that everyone can tell apart, numbers that can be read."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

matplotlib.use("Agg")

from lessons import figures

# Machado, Oliveira & Fernandes (2009), severity 1: what an eye without one kind of cone sees, in linear RGB
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def seen(colours, eye):
    """The colours in CIE Lab, where a distance of 2 can just be seen, as `eye` sees them."""
    skimage_color = pytest.importorskip("skimage.color")
    colours = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.transpose(EYES[eye])).clip(0, 1)
    return skimage_color.rgb2lab(
        np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


@pytest.mark.parametrize("eye", EYES)
def test_every_eye_can_tell_the_classes_apart(eye):
    colours = [*figures.CLASS_COLOURS, "white"]
    distances = {
        pair: np.linalg.norm(np.subtract(*seen(pair, eye))) for pair in itertools.combinations(colours, 2)
    }
    assert min(distances.values()) > 10


@pytest.mark.parametrize("eye", EYES)
def test_every_eye_can_tell_plus_from_minus(eye):
    minus, plus = seen([figures.SIGNED(0.0), figures.SIGNED(1.0)], eye)
    assert np.linalg.norm(minus - plus) > 40


def test_labels_have_their_colours_and_ignored_ones_are_white():
    picture = figures.coloured(np.array([[0, 2], [255, 1]], np.uint8))
    assert picture.dtype == np.uint8 and picture.shape == (2, 2, 3)
    assert [list(np.rint(255 * np.array(to_rgb(c)))) for c in figures.CLASS_COLOURS[:3]] == [
        picture[0, 0].tolist(), picture[1, 1].tolist(), picture[0, 1].tolist()
    ]  # fmt: skip
    assert picture[1, 0].tolist() == [255, 255, 255]


def test_a_matrix_shows_its_numbers_where_they_are():
    ax = figures.panels(1)
    figures.matrix(ax, [[0, -0.001, 2], [1.5, np.nan, -3.14159]])
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "0", (1, 0): "0", (2, 0): "2", (0, 1): "1.5", (2, 1): "-3.14"}
    assert {text.get_text() for text in ax.texts if text.get_color() == figures.GREY} == {"0"}


def test_a_large_matrix_is_colours_only_and_compared_ones_share_a_scale():
    left, right = figures.panels(2, ratios=(13, 1))
    figures.matrix(left, np.ones((12, 13)), limit=4)
    figures.matrix(right, [[4.0]])
    assert not left.texts and right.texts
    assert left.images[0].get_clim() == right.images[0].get_clim() == (-4, 4)
