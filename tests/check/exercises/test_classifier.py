"""The exercises of lesson 5: their answers are the library's and those of the definitions; mistakes are named."""

import warnings

import numpy as np
import pytest
from hypothesis import given

from minifcn import losses, models, surgery
from minifcn.check import check_gradients
from minifcn.check.exercises import classifier
from minifcn.check.exercises.classifier import layers, pooled, trunks
from minifcn.check.exercises.softmax_loss import labelled_rows, score_rows
from minifcn.layers import GlobalAvgPool2d, Linear

EXERCISES = [getattr(classifier, name) for name in classifier.__all__]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


@given(layers())
def test_the_gradients_are_those_of_the_layer(case):
    dy, x, w = case.values()
    layer = Linear(*w.shape, dtype=np.float64)
    layer.params["weight"] = w
    dx, grads = layer.backward(dy, x)
    for found, expected in zip(
        classifier.linear_backward.reference(dy, x, w), (dx, grads["weight"], grads["bias"])
    ):
        np.testing.assert_allclose(found, expected)


@given(score_rows())
def test_softmax_is_a_distribution_that_no_shift_changes(case):
    p = classifier.softmax.reference(case["scores"])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p, classifier.softmax.reference(case["scores"] + 1e4), atol=1e-9)


@given(labelled_rows())
def test_the_loss_is_the_mean_over_the_rows_that_count(case):
    scores, labels, ignore_label = case.values()
    value, dscores = classifier.cross_entropy.reference(scores, labels, ignore_label)
    counts = labels != ignore_label
    rows = [np.logaddexp.reduce(row) - row[y] for row, y in zip(scores[counts], labels[counts])]
    assert np.isclose(value, np.mean(rows) if rows else 0, rtol=1e-12, atol=1e-12)
    assert not dscores[~counts].any()
    if np.abs(scores).max() < 10:

        def loss(s):
            return np.asarray(classifier.cross_entropy.reference(s, labels, ignore_label)[0]), None

        check_gradients(loss, lambda dy, _: dy * dscores, {"scores": scores})


@given(pooled())
def test_pooling_hands_back_what_the_layer_does(case):
    dx, _ = GlobalAvgPool2d().backward(case["dy"], case["input_shape"])
    assert np.array_equal(classifier.global_avg_pool_backward.reference(**case), dx)


@given(trunks())
def test_the_mean_of_a_map_is_the_score(case):
    features, weight = case.values()
    maps = classifier.class_activation_map.reference(features, weight)
    np.testing.assert_allclose(maps.mean(axis=(0, 1)), features.mean(axis=(0, 1)) @ weight, atol=1e-12)


def test_the_maps_are_those_of_the_network():
    net = models.gap_net(3, width=4, rng=0).astype(np.float64)
    image = np.random.default_rng(0).standard_normal((1, 40, 48, 3))
    features = net.activations(image, ["relu3"])["relu3"][0]
    maps = classifier.class_activation_map.reference(features, net.params["fc.weight"])
    np.testing.assert_allclose(maps, surgery.class_activation_maps(net)(image)[0], atol=1e-12)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_right_answer_is_right(exercise):
    assert exercise(exercise.reference).right
    assert exercise.solution().text and exercise.hints


@pytest.mark.slow
@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda one: getattr(one, "name", ""))
def test_who_makes_a_mistake_is_told_so(exercise, mistake):
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error"
        )  # overflow is the learner's to hear about from the checker, not from NumPy
        answer = exercise(mistake.wrong)
    assert answer.state == "wrong"
    assert any(mistake.says in sentence and mistake.see in sentence for sentence in answer.diagnosis)


def test_a_loss_summed_in_float32_is_told_so():
    def single(scores, labels, ignore_label):
        value, dscores = classifier.cross_entropy.reference(scores, labels, ignore_label)
        return np.float32(value), dscores

    (sentence,) = classifier.cross_entropy(single).diagnosis
    assert "float32" in sentence


def test_softmax_in_float32_is_good_enough():
    assert classifier.softmax(lambda scores: losses.softmax(scores.astype(np.float32))).right
