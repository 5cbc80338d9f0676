"""ADE20K: label 0 does not count, 1 to 150 are the classes."""

import pytest


@pytest.fixture
def tree(tmp_path, picture, mask):
    for split, short in (("training", "train"), ("validation", "val")):
        picture(tmp_path / "images" / split / f"ADE_{short}_00000001.jpg")
        mask(tmp_path / "annotations" / split / f"ADE_{short}_00000001.png", 0, 1, 150)
    return tmp_path


def test_reads_labels(tree, open_tree):
    names, held_out, training, _ = open_tree(tree)
    assert (names, held_out) == (["ADE_train_00000001"], ["ADE_val_00000001"])
    assert training[0][1].ravel()[:3].tolist() == [255, 0, 149]
    assert training.class_names[0] == "class 1" and len(training.class_names) == 150


def test_reads_names(tree, open_tree, refusal):
    rows = [f"{k}\t0.1\t10\t2\tthing{k}, other name" for k in range(1, 151)]
    table = tree / "objectInfo150.txt"
    table.write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows, ""]))
    assert open_tree(tree)[2].class_names[::149] == ("thing1", "thing150")
    table.write_text("\n".join(rows))
    assert f"{table}: 149 lines after the first, expected 150" in refusal(tree)


def test_labels_that_are_no_class(tree, mask, refusal):
    bad = tree / "annotations" / "validation" / "ADE_val_00000001.png"
    mask(bad, 0, 151)
    assert f"{bad}: labels 151, expected 0 (other) to 150" in refusal(tree)
