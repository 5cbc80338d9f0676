"""The exercises of lesson 8: their right answers are the library's or numerical ones; mistakes are recognised."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given

from minifcn.check.diagnosis import diagnose
from minifcn.check.differences import check_loss
from minifcn.check.exercises.graph import graphs
from minifcn.check.exercises.skips import (
    crop,
    crop_backward,
    crop_offset,
    crops,
    dice,
    network_backward,
    paths,
    segmentations,
)
from minifcn.check.search import draw
from minifcn.geometry import IMAGE
from minifcn.geometry import crop_offset as offset_by_geometry
from minifcn.layers import Conv2d, ConvTranspose2d, MaxPool2d
from minifcn.network import Network

EXERCISES = crop, crop_backward, crop_offset, dice, network_backward
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


@given(case=crops())
def test_a_crop_is_where_the_offset_says_and_its_gradient_goes_back_there(case):
    x, height, width, (top, left) = case.values()
    y = crop.reference(*case.values())
    assert y.shape[1:3] == (height, width)
    for i, j in np.ndindex(height, width):
        assert np.array_equal(y[:, i, j], x[:, top + i, left + j])
    dx = crop_backward.reference(y, x.shape, (top, left))
    assert np.isclose(np.vdot(dx, x), np.vdot(y, y)) and np.isclose(np.vdot(dx, dx), np.vdot(y, y))


def grown(layers):
    """The layers as a network; also what it ends with."""
    net, node = Network(), IMAGE
    make = {
        "conv": lambda k, s, p: Conv2d(1, 1, k, s, p),
        "pool": lambda k, s, p: MaxPool2d(k, s, p),
        "up": lambda k, s, p: ConvTranspose2d(1, 1, k, s, p),
    }
    for number, (kind, *options) in enumerate(layers):
        net.add(f"{kind}{number}", make[kind](*options), node)
        node = f"{kind}{number}"
    return net, node


@given(case=paths())
def test_the_offset_is_that_of_geometry(case):
    """As two branches of one network, which geometry walks."""
    layers, reference = case.values()
    net, node = grown(layers)
    other, onto = grown(reference)
    for name, (layer, reads) in other.nodes.items():
        net.add(f"reference_{name}", layer, *(r if r == IMAGE else f"reference_{r}" for r in reads))
    onto = onto if onto == IMAGE else f"reference_{onto}"
    expected = 0 if node == onto else offset_by_geometry(net, node, onto)[0]
    assert crop_offset.reference(layers, reference) == expected


def test_the_cases_of_offsets_are_not_all_easy():
    """Upsampled ones, two branches, halves that cancel: without them a mistake could hide."""
    pairs = draw(paths(), cases=60)
    kinds = [{kind for path in pair.values() for kind, *_ in path} for pair in pairs]
    assert sum("up" in one for one in kinds) > 10
    assert sum(bool(pair["layers"] and pair["reference"]) for pair in pairs) > 10
    assert sum(crop_offset.reference(**pair) > 0 for pair in pairs) > 20
    assert all(isinstance(crop_offset.reference(**pair), int) for pair in pairs)
    assert all(
        Fraction(n).denominator == 1
        for pair in pairs
        for path in pair.values()
        for _, *n3 in path
        for n in n3
    )


@given(case=graphs())
def test_the_loop_in_reverse_is_the_networks_own(case):
    nodes, dscores, caches = case.values()
    net = Network()
    for name, (layer, reads) in nodes.items():
        net.add(name, layer, *reads)
    image = caches["conv1"][0]
    scores, tape = net.forward(image)
    assert scores.shape == dscores.shape
    found, expected = network_backward.reference(nodes, dscores, caches), net.backward(dscores, tape)
    assert found.keys() == expected.keys() == set(network_backward.returns)
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, atol=1e-12)


@given(case=segmentations())
def test_dice_is_one_minus_the_mean_overlap(case):
    scores, labels = case.values()
    value, _ = dice.reference(scores, labels)
    p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    overlaps = [
        2 * p[labels == k, k].sum() / (p[labels != 255, k].sum() + (labels == k).sum())
        for k in range(scores.shape[-1])
        if (labels == k).any()
    ]
    assert np.isclose(value, 1 - np.mean(overlaps))
    check_loss(dice.reference, scores, labels)


@cache
def cases_of(exercise_name):
    (exercise,) = (one for one in EXERCISES if one.name == exercise_name)
    return [(case, exercise._expected(case)) for case in draw(exercise.cases, cases=25)]


@pytest.mark.slow
@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda one: getattr(one, "name", ""))
def test_who_makes_a_known_mistake_is_told_so(exercise, mistake):
    trials = [exercise._tried(mistake.wrong, *case) for case in cases_of(exercise.name)]
    assert any(trial.problems for trial in trials)
    assert mistake.says in [cause.says for cause in diagnose(trials, exercise.mistakes)]
