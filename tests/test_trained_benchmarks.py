"""The benchmarks that train: they go on where they were stopped, and their tables get to their places."""

import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from benchmarks import leaderboard, pages, rare_class, touching_cells
from benchmarks.trained import Budget, asked, trained
from benchmarks.versus_torch.timing import summary
from minifcn import models
from minifcn.data import TOYS
from minifcn.errors import InputError
from minifcn.settings import Settings
from minifcn.training import Step, Training

PAGE = "a\n<!-- table: python -m b -->\n{}<!-- end -->\nc\n<!-- table: python -m d -->\nd\n<!-- end -->\n"


@pytest.fixture(autouse=True)
def few_images(monkeypatch, tmp_path):
    for name, toy in list(TOYS.items()):
        small = {"make": partial(toy.make, size=64), "images": 8, "held_out": 3, "batch_size": 2}
        monkeypatch.setitem(TOYS, name, toy._replace(**small, crop=toy.crop and 64))
    monkeypatch.chdir(tmp_path)


def table_rows(text):
    """The cells of the rows below the titles."""
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")
    ][2:]


# ---------------------------------------------------------------- pages


def test_a_text_gets_between_its_marks_again_and_again(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.format(""))
    for text in ("| 1 | \\2 |\n\nb", "e"):
        pages.put(page, "python -m b", text)
        assert page.read_text() == PAGE.format(text + "\n")


@pytest.mark.parametrize("text", ["", PAGE + PAGE])
def test_a_page_without_the_place_or_with_two_is_refused(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md has [02] places for python -m b; expected 1"):
        pages.put(page, "python -m b", "e")
    assert page.read_text() == text


# ---------------------------------------------------------------- runs


def test_a_trial_is_short_and_leaves_the_documents(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["leaderboard"])
    whole = asked("leaderboard", "what", 600, (3, 4))
    monkeypatch.setattr(sys, "argv", ["leaderboard", "--quick"])
    quick = asked("leaderboard", "what", 600, (3, 4))
    assert (whole.steps, whole.seeds, whole.documented) == (600, (3, 4), True)
    assert (quick.steps, quick.seeds, quick.documented) == (1, (3,), False)
    assert whole.folder != quick.folder


def test_a_run_is_begun_gone_on_with_and_measured_again(monkeypatch):
    settings = Settings(toy="shapes", model="fcn32s", steps=16, batch_size=2, out="run")
    whole, expected = trained(Settings(**{**vars(settings), "out": "whole"}))
    for step in Training.start(settings):
        if step.number == 5:  # the last evaluation, which is what is kept, was after the fourth
            break
    run, hist = trained(settings)
    assert run.number == 16 and [row["step"] for row in run.history] == [row["step"] for row in whole.history]
    np.testing.assert_array_equal(hist, expected)

    monkeypatch.setattr(Training, "step", None)
    np.testing.assert_array_equal(trained(settings)[1], expected)


def test_a_run_of_another_budget_is_not_taken_for_this_one():
    trained(Settings(toy="shapes", model="fcn32s", steps=1, batch_size=2, out="run"))
    with pytest.raises(InputError, match="run holds a run with other settings; remove it"):
        trained(Settings(toy="shapes", model="fcn32s", steps=2, batch_size=2, out="run"))


# ---------------------------------------------------------------- the commands


def test_the_leaderboard_has_every_model_and_a_picture(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(leaderboard, "MODELS", {name: models.MODELS[name] for name in ("fcn32s", "unet")})
    monkeypatch.setattr(leaderboard, "contest", lambda calls: _called(calls, 4e-3))
    monkeypatch.setattr(leaderboard, "asked", lambda *_: Budget(2, (0, 1), tmp_path / "runs"))
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "leaderboard.md"
    page.write_text("<!-- table: python -m benchmarks.leaderboard -->\n<!-- end -->\n")
    leaderboard.main()
    rows = table_rows(page.read_text())
    assert table_rows(capsys.readouterr().out) == rows
    sizes = {name: sum(a.size for a in models.build(name, 4).params.values()) for name in ("fcn32s", "unet")}
    assert {row[0]: row[1] for row in rows} == {name: f"{size:,}" for name, size in sizes.items()}
    assert float(rows[0][2]) >= float(rows[1][2])
    for row in rows:
        of_seeds = [float(iu) for iu in row[3].split(", ")]
        assert len(of_seeds) == 2 and float(row[2]) == pytest.approx(np.mean(of_seeds), abs=0.11)
        assert row[5] == "1.33", "milliseconds for each of three images"
        assert row[6] == "4.0"
    assert Image.open(tmp_path / "docs" / "leaderboard.png").size[0] > 1000


class _called(dict):
    """Every call is made once, and said to take so many seconds."""

    def __init__(self, calls, seconds):
        results = [call() for call in calls.values()]
        assert all(isinstance(result, Step) or result.shape == (3, 64, 64, 4) for result in results)
        super().__init__({name: summary([seconds]) for name in calls})


def test_cells_are_counted(monkeypatch, tmp_path):
    """A network that is right everywhere tells all of them apart; one that sees one cell everywhere, none."""
    budget, validation = Budget(1, (0, 1), tmp_path), TOYS["cells"].validation()
    counts = [len(np.unique(validation.instances(i))) - 1 for i in range(len(validation))]
    truth = {validation[i][0].tobytes(): validation[i][1] for i in range(len(validation))}

    class Right:
        def labels(self, image):
            return truth[image.tobytes()]

    class Blind(Right):
        def labels(self, image):
            return np.ones_like(super().labels(image))

    for network, found, predicted in ((Right(), sum(counts), sum(counts)), (Blind(), 0, len(counts))):
        asked_for = []

        def fake(settings, network=network, asked_for=asked_for):
            asked_for.append(settings)
            return type("Run", (), {"segmenter": network}), np.array([[3, 1], [0, 2]])

        monkeypatch.setattr(touching_cells, "trained", fake)
        row = touching_cells.measured("unet", True, budget, validation)
        assert row == ("U-Net", True, [found] * 2, [predicted] * 2, [pytest.approx(2 / 3)] * 2)
        assert {s.out: (s.border_weights, s.seed) for s in asked_for} == {
            str(tmp_path / f"unet-weighted-{seed}"): (True, seed) for seed in (0, 1)
        }
    assert table_rows(touching_cells.table([row], sum(counts))) == [
        ["U-Net", "yes", "0.0", "0.0, 0.0", str(len(counts)), "66.7"]
    ]


def test_the_commands_of_the_losses_print_their_tables(monkeypatch, tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "losses.md"
    names = ("touching_cells", "rare_class")
    page.write_text("".join(f"<!-- table: python -m benchmarks.{name} -->\n<!-- end -->\n" for name in names))
    for command, rows in ((touching_cells, 4), (rare_class, 5)):
        monkeypatch.setattr(command, "asked", lambda name, *_: Budget(1, (0,), tmp_path / name))
        command.main()
        printed = capsys.readouterr().out
        assert len(table_rows(printed)) == rows
        assert printed.strip() in page.read_text()
    assert len(list((tmp_path / "rare_class").iterdir())) == 5
