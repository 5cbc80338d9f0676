"""Every model by its name: it trains on the toys, goes into a checkpoint whole, and comes out to predict."""

import numpy as np
import pytest

from minifcn.data import TOYS
from minifcn.models import MODELS, SIZES, build
from minifcn.segmenter import Segmenter
from minifcn.settings import Settings
from minifcn.training import Training


@pytest.mark.parametrize("model", MODELS)
def test_from_training_to_prediction(model, tmp_path, monkeypatch):
    monkeypatch.setitem(TOYS, "shapes", TOYS["shapes"]._replace(images=8, held_out=2, batch_size=2))
    run = Training.start(Settings(toy="shapes", model=model, steps=3, out=str(tmp_path / "run")))
    first, *_ = (step.loss for step in run)
    assert np.isfinite(first)
    image = np.random.default_rng(0).integers(0, 256, (47, 70, 3), np.uint8)
    again = Segmenter.load(tmp_path / "run" / "last.npz")
    assert again.net.arrays.keys() == run.net.arrays.keys()
    expected = run.segmenter.activations(image, [run.net.output])[run.net.output]
    np.testing.assert_array_equal(again.activations(image, [run.net.output])[run.net.output], expected)
    assert expected.shape == (47, 70, 4) and np.ptp(expected) > 0
    assert again.labels(image).shape == (47, 70)


@pytest.mark.parametrize("model", MODELS)
def test_a_stopped_run_goes_on_bit_for_bit(model, tmp_path, monkeypatch):
    """What layers remember counts for that as well."""
    monkeypatch.setitem(TOYS, "shapes", TOYS["shapes"]._replace(images=8, held_out=2, batch_size=2))
    nets = []
    for out, stop in (("whole", 0), ("stopped", 1)):
        run = Training.start(Settings(toy="shapes", model=model, steps=2, out=str(tmp_path / out)))
        for step in run:
            if step.number == stop:
                run = Training.resume(tmp_path / out)
                list(run)
                break
        nets.append(run.net)
    whole, stopped = (net.arrays for net in nets)
    assert all(np.array_equal(array, stopped[name]) for name, array in whole.items())


@pytest.mark.parametrize("model", MODELS)
def test_every_model_prints_and_says_which_sizes_it_comes_in(model):
    assert "parameters" in str(build(model, 3)).splitlines()[-1]
    with pytest.raises(ValueError, match="backbone is 'huge'; expected one of small") as error:
        build(model, 3, backbone="huge")
    assert set(str(error.value).split("one of ")[1].split(", ")) <= set(SIZES)
