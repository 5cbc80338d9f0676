import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.data import TOYS
from minifcn.errors import InputError
from minifcn.objective import LOSSES
from minifcn.settings import OPTIMIZERS, Settings, add_options

settings = st.builds(
    Settings,
    toy=st.sampled_from(["", *TOYS]),
    data=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    loss=st.sampled_from(sorted(LOSSES)),
    optimizer=st.sampled_from(OPTIMIZERS),
    lr=st.floats(0, 10),
    steps=st.integers(1, 10**9),
    augment=st.just(("none",)) | st.lists(st.sampled_from(["mirror", "flip"]), max_size=3),
    seed=st.integers(0, 2**40),
)


@given(settings)
def test_toml_round_trip(tmp_path_factory, given_settings):
    path = tmp_path_factory.mktemp("toml") / "config.toml"
    path.write_text(given_settings.to_toml(), encoding="utf-8")
    assert Settings.from_toml(path) == given_settings


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return vars(parser.parse_args(arguments))


def test_the_command_line_has_an_option_for_every_setting():
    assert parse() == {}
    given = parse(
        "--toy", "--lr", "0.5", "--batch-size", "3", "--augment", "flip, mirror", "--model", "fcn16s"
    )
    assert given == {
        "toy": "shapes",
        "lr": 0.5,
        "batch_size": 3,
        "augment": ("flip", "mirror"),
        "model": "fcn16s",
    }
    assert Settings(**given).batch_size == 3


def test_toys_by_name_by_default_and_as_they_were_written_once(tmp_path):
    assert parse("--toy", "--steps", "3") == {"toy": "shapes", "steps": 3}
    assert parse("--toy", "cells") == {"toy": "cells"}
    path = tmp_path / "c.toml"
    for text, toy in (("true", "shapes"), ("false", ""), ('"lines"', "lines")):
        path.write_text(f"toy = {text}\n")
        assert Settings.from_toml(path).toy == toy
    assert Settings(toy=True) == Settings(toy="shapes") != Settings(toy=False) == Settings()


def test_options_override_a_file(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('toy = true\nsteps = 7\naugment = ["flip"]\nlr = 1\n')
    assert Settings.from_toml(path, steps=9) == Settings(toy=True, steps=9, augment=("flip",), lr=1)


def test_resolved_writes_the_defaults_out():
    toy = Settings(toy=True).resolved()
    assert (toy.lr, toy.batch_size, toy.augment) == (4e-3, 8, ("mirror", "transpose"))
    above = Settings(toy="buildings").resolved()
    assert (above.batch_size, above.crop, above.augment) == (4, 256, ("mirror", "turn"))
    own = Settings(data="x", optimizer="sgd", augment=("none",)).resolved()
    assert Path(own.data).is_absolute()
    assert (own.lr, own.batch_size, own.augment) == (2e-2, 4, ("none",))
    assert own.resolved() == own


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "fcn9s"}, "model is 'fcn9s'; expected one of fcn32s, fcn16s, fcn8s"),
        ({"toy": "cats"}, "toy is 'cats'; expected one of shapes, cells, buildings, lines"),
        ({"steps": 0}, "steps is 0; expected at least 1"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"loss": "dice", "class_weights": "median-frequency"}, "loss is 'dice', which takes no weights"),
        ({"loss": "binary-dice", "border_weights": True}, "loss is 'binary-dice', which takes no weights"),
        ({"class_weights": "log"}, "class_weights is 'log'; expected one of none, median-frequency"),
        ({"augment": ("blur",)}, "augment has 'blur'"),
        ({"augment": ("none", "mirror")}, "augment has 'none'"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(InputError, match=message):
        Settings(**values)


@pytest.mark.parametrize("values", [{}, {"toy": True, "data": "x"}])
def test_exactly_one_source_of_images(values):
    with pytest.raises(InputError, match="either --toy or --data"):
        Settings(**values).resolved()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", "is not TOML"),
        ("speed = 3", "speed is not a setting"),
        ('steps = "7"', "steps is '7'; expected int"),
        ("steps = true", "steps is True; expected int"),
        ("toy = 1", "toy is 1; expected str"),
        ("border_weights = 1", "border_weights is 1; expected bool"),
        ("augment = [[1]]", r"augment is \[\[1\]\]; expected a list of names"),
        ('augment = "mirror"', "augment is 'mirror'; expected a list of names"),
        ("model = 'fcn9s'", r"c\.toml: model is 'fcn9s'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        Settings.from_toml(tmp_path / "c.toml")
    with pytest.raises(InputError, match="no such file"):
        Settings.from_toml(tmp_path / "other.toml")
