"""Oxford-IIIT Pet: trimaps, and lists with numbers behind the names."""

import pytest


@pytest.fixture
def tree(tmp_path, picture, mask):
    for name in ("Abyssinian_1", "great_pyrenees_2", "pug_3"):
        picture(tmp_path / "images" / f"{name}.jpg")
        mask(tmp_path / "annotations" / "trimaps" / f"{name}.png", 1, 2, 3)
        (tmp_path / "annotations" / "trimaps" / f"._{name}.png").write_text("of macOS")
    (tmp_path / "images" / "Abyssinian_1.mat").touch()
    (tmp_path / "annotations" / "trainval.txt").write_text("# a comment\nAbyssinian_1 1 1 1\npug_3 30 2 21\n")
    (tmp_path / "annotations" / "test.txt").write_text("great_pyrenees_2 16 2 10\n")
    return tmp_path


def test_reads_trimaps(tree, open_tree):
    names, held_out, training, _ = open_tree(tree)
    assert (names, held_out) == (["Abyssinian_1", "pug_3"], ["great_pyrenees_2"])
    assert training[0][1].ravel()[:3].tolist() == [1, 0, 255]
    assert training.class_names == ("background", "pet")


def test_what_is_missing_or_no_trimap_is_named(tree, mask, refusal):
    mask(tree / "annotations" / "trimaps" / "pug_3.png", 0, 1)
    assert "pug_3.png: labels 0, expected 1 pet, 2 background" in refusal(tree)
    (tree / "annotations" / "trimaps" / "pug_3.png").unlink()
    assert "trainval.txt" in refusal(tree) and "line 3: pug_3 has no mask" in refusal(tree)
    (tree / "annotations" / "test.txt").unlink()
    (tree / "annotations" / "trainval.txt").write_text("Abyssinian_1 1 1 1\n")
    assert "test.txt: no such file" in refusal(tree)
