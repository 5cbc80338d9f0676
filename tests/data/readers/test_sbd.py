"""SBD's MATLAB files."""

import sys

import numpy as np
import pytest

LABELS = np.resize(np.array([0, 20, 3], np.uint8), (4, 6))


@pytest.fixture
def tree(tmp_path, picture):
    io = pytest.importorskip("scipy.io", reason="it writes the .mat files")
    (tmp_path / "cls").mkdir()
    for i, stem in enumerate(("2008_1", "2008_2")):
        picture(tmp_path / "img" / f"{stem}.jpg", i)
        boundaries = np.zeros((20, 1), object)
        content = {"Boundaries": boundaries, "Segmentation": LABELS, "CategoriesPresent": np.uint8([3, 20])}
        io.savemat(tmp_path / "cls" / f"{stem}.mat", {"GTcls": content}, do_compression=True)
    (tmp_path / "train.txt").write_text("2008_1\n")
    (tmp_path / "val.txt").write_text("2008_2\n")
    return tmp_path


def test_reads_labels(tree, open_tree):
    names, held_out, training, _ = open_tree(tree)
    assert (names, held_out) == (["2008_1"], ["2008_2"])
    np.testing.assert_array_equal(training[0][1], LABELS)
    assert training.class_names[20] == "tvmonitor" and len(training.class_names) == 21


def test_files_that_are_no_labels(tree, refusal):
    (tree / "cls" / "2008_1.mat").write_text("no labels")
    assert f"{tree / 'cls' / '2008_1.mat'}: has no GTcls.Segmentation" in refusal(tree)
    (tree / "cls" / "2008_1.mat").unlink()
    assert "line 1: 2008_1 has no mask" in refusal(tree)


def test_without_scipy_it_says_what_to_install(tree, refusal, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    assert "pip install scipy" in refusal(tree)
