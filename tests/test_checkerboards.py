"""Checkerboards: what is measured is what repeats, and the command puts it into its page."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import checkerboards
from benchmarks.checkerboards import WAYS, network, painted, pattern, share, table
from minifcn.layers import ConvTranspose2d


@given(tiles=st.tuples(*[st.integers(1, 4)] * 2), period=st.integers(2, 9), seed=st.integers(0, 2**32 - 1))
def test_the_share_is_that_of_the_spectrum_at_the_frequencies_of_the_period(tiles, period, seed):
    scores = np.random.default_rng(seed).standard_normal((tiles[0] * period, tiles[1] * period))
    energy = np.abs(np.fft.fft2(scores - scores.mean())) ** 2
    expected = energy[:: tiles[0], :: tiles[1]].sum() / energy.sum()
    assert share(scores, period) == pytest.approx(expected)


@given(period=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
def test_a_pattern_alone_is_all_there_is(period, seed):
    tile = np.random.default_rng(seed).standard_normal((period, period))
    scores = np.tile(tile, (3, 4))
    np.testing.assert_allclose(pattern(scores, period), tile)
    assert share(scores, period) == pytest.approx(1)


def test_a_ramp_is_no_pattern():
    assert share(np.arange(64.0)[:, None] + np.zeros(64), 2) < 1e-3


@pytest.mark.parametrize(("kernel_size", "expected"), [(1, [1, 0]), (2, [1, 1]), (3, [2, 1]), (4, [2, 2])])
def test_even_kernels_overlap_evenly(kernel_size, expected):
    assert painted(kernel_size) == expected


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
def test_the_networks_differ_in_how_they_upsample(way):
    net = network(way, 0)
    assert net.shapes((1, 96, 64, 3))["seg_score"] == (1, 96, 64, 1)
    kernels = [
        node.layer.window.kernel_size
        for node in net.nodes.values()
        if isinstance(node.layer, ConvTranspose2d) and node.layer.window.stride == (2, 2)
    ]
    assert kernels == [(way.kernel_size,) * 2] * (5 if way.kernel_size else 0)


def test_medians_are_those_of_the_seeds():
    cells = table({WAYS[4]: [0.3, 0.1, 0.25]}).splitlines()[-1]
    assert cells == "| transposed 3x3 | 2, 1 | 25.0 | 30.0, 10.0, 25.0 |"


def test_transposed_convolutions_repeat_and_repeated_pixels_do_not(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkerboards, "SEEDS", (0, 1))
    page = tmp_path / "docs" / "checkerboards.md"
    page.parent.mkdir()
    page.write_text(f"<!-- table: {checkerboards.COMMAND} -->\n<!-- end -->\n")
    checkerboards.main()
    printed = capsys.readouterr().out
    assert printed in page.read_text()
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")][1:]
    shares = {row[0].removeprefix("| "): float(row[2]) for row in rows}
    assert shares["resize + convolution"] < shares["unpooling"] < 5
    assert min(value for title, value in shares.items() if title.startswith("transposed")) > 10
    assert Image.open(tmp_path / "docs" / "checkerboards.png").size[0] > 1000
