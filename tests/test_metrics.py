"""Metrics: against counting pixel by pixel and sets of pixels, worked values, and how they hang together."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import metrics

MEASURES = [
    metrics.pixel_accuracy,
    metrics.mean_accuracy,
    metrics.mean_iou,
    metrics.frequency_weighted_iou,
]
PER_CLASS = [metrics.iou, metrics.accuracy, metrics.precision, metrics.recall, metrics.dice]

ABSENT = np.array([[50, 10, 0], [5, 30, 0], [0, 0, 0]])  # class 2 is neither present nor predicted
PREDICTED = np.array([[50, 10, 5], [5, 30, 0], [0, 0, 0]])  # class 2 is absent but predicted


@st.composite
def segmentations(draw):
    """Labels with 255 and 200 among them, predictions of the same shape, and K; some classes may be missing."""
    K = draw(st.integers(1, 6), label="K")
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3), label="shape")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    present, predicted = (rng.permutation(K)[: draw(st.integers(1, K))] for _ in range(2))
    labels = rng.choice(np.append(present, [255, 200]), shape).astype(np.uint8)
    return labels, rng.choice(predicted, shape).astype(np.uint8), K


def plain_confusion(labels, predictions, K):
    hist = [[0] * K for _ in range(K)]
    for truth, guess in zip(labels.ravel().tolist(), predictions.ravel().tolist(), strict=True):
        if truth < K:
            hist[truth][guess] += 1
    return hist


def nan_or_ratio(part, whole):
    return part / whole if whole else math.nan


@given(segmentations())
def test_confusion_counts_pixels_by_truth_and_prediction(case):
    labels, predictions, K = case
    hist = metrics.confusion(labels, predictions, K)
    assert (hist.dtype, hist.shape) == (np.int64, (K, K))
    np.testing.assert_array_equal(hist, plain_confusion(labels, predictions, K))


@given(segmentations())
def test_measures_per_class_by_sets_of_pixels(case):
    labels, predictions, K = case
    hist = metrics.confusion(labels, predictions, K)
    valid = labels < K
    for c in range(K):
        truth = set(np.flatnonzero(valid & (labels == c)).tolist())
        guess = set(np.flatnonzero(valid & (predictions == c)).tolist())
        both = len(truth & guess)
        expected = {
            metrics.iou: nan_or_ratio(both, len(truth | guess)),
            metrics.accuracy: nan_or_ratio(both, len(truth)),
            metrics.recall: nan_or_ratio(both, len(truth)),
            metrics.precision: nan_or_ratio(both, len(guess)),
            metrics.dice: nan_or_ratio(2 * both, len(truth) + len(guess)),
        }
        for measure, value in expected.items():
            np.testing.assert_allclose(measure(hist)[c], value, rtol=1e-15)


@given(segmentations())
def test_means_of_the_classes_that_have_a_value(case):
    labels, predictions, K = case
    hist = metrics.confusion(labels, predictions, K)
    valid = labels < K
    expected = {
        metrics.pixel_accuracy: nan_or_ratio(np.sum((labels == predictions)[valid]), np.sum(valid)),
        metrics.mean_accuracy: mean_if_any(metrics.accuracy(hist)),
        metrics.mean_iou: mean_if_any(metrics.iou(hist)),
        metrics.frequency_weighted_iou: mean_if_any(metrics.iou(hist)[labels[valid]]),  # a mean over pixels
    }
    for measure, value in expected.items():
        assert type(measure(hist)) is float
        np.testing.assert_allclose(measure(hist), value, rtol=1e-12)


def mean_if_any(values):
    values = [value for value in values if not math.isnan(value)]
    return nan_or_ratio(sum(values), len(values))


@given(segmentations(), segmentations())
def test_matrices_add_up_over_a_set(first, second):
    K = max(first[2], second[2])
    parts = [(labels.ravel(), predictions.ravel()) for labels, predictions, _ in (first, second)]
    joined = metrics.confusion(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)), K)
    np.testing.assert_array_equal(joined, sum(metrics.confusion(*part, K) for part in parts))


@given(segmentations(), st.randoms())
def test_the_order_of_classes_does_not_matter(case, random):
    hist = metrics.confusion(*case)
    order = random.sample(range(len(hist)), len(hist))
    moved = hist[np.ix_(order, order)]
    for measure in PER_CLASS:
        np.testing.assert_array_equal(measure(moved), measure(hist)[order])
    for measure in MEASURES:
        np.testing.assert_allclose(measure(moved), measure(hist), rtol=1e-12)


@given(segmentations())
def test_truth_and_prediction_swapped(case):
    hist = metrics.confusion(*case)
    np.testing.assert_array_equal(metrics.precision(hist), metrics.recall(hist.T))
    np.testing.assert_array_equal(metrics.iou(hist), metrics.iou(hist.T))
    np.testing.assert_array_equal(metrics.dice(hist), metrics.dice(hist.T))


@given(segmentations())
def test_dice_of_iou_and_of_precision_and_recall(case):
    hist = metrics.confusion(*case)
    D, J = metrics.dice(hist), metrics.iou(hist)
    np.testing.assert_allclose(D, 2 * J / (1 + J), rtol=1e-12)
    found = np.diag(hist) > 0
    P, R = metrics.precision(hist)[found], metrics.recall(hist)[found]
    np.testing.assert_allclose(D[found], 2 / (1 / P + 1 / R), rtol=1e-12)


@given(segmentations())
def test_a_perfect_prediction_has_1_everywhere(case):
    labels, _, K = case
    hist = metrics.confusion(labels, np.where(labels < K, labels, 0), K)
    for measure in MEASURES:
        assert measure(hist) == 1 if (labels < K).any() else math.isnan(measure(hist))


# The band along boundaries.


@st.composite
def label_maps(draw):
    """Small maps of few labels, so that there are boundaries; 255 among them."""
    shape = draw(st.lists(st.integers(1, 7), min_size=2, max_size=3), label="shape")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    coarse = rng.choice(np.array([0, 1, 255], np.uint8), [-(-n // 3) for n in shape])
    return np.kron(coarse, np.ones([3] * len(shape), np.uint8))[tuple(slice(n) for n in shape)]


@given(label_maps(), st.integers(1, 4))
def test_trimap_keeps_what_is_near_another_label(labels, width):
    expected = np.full_like(labels, 200)
    for *image, y, x in np.ndindex(labels.shape):
        others = np.argwhere(labels[tuple(image)] != labels[(*image, y, x)])
        if len(others) and np.hypot(*(others - (y, x)).T).min() <= width:
            expected[(*image, y, x)] = labels[(*image, y, x)]
    found = metrics.trimap(labels, width, ignore_label=200)
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found, expected)


def test_trimap_of_one_class_is_nothing():
    assert (metrics.trimap(np.full((4, 5), 3, np.uint8), 2) == 255).all()


def test_trimap_refuses_a_width_of_no_pixel():
    with pytest.raises(ValueError, match="width is 0; expected at least 1 pixel"):
        metrics.trimap(np.zeros((2, 2), np.uint8), 0)


# Worked values.


def test_worked_values():
    values = [measure(ABSENT) for measure in MEASURES]
    np.testing.assert_allclose(values, [0.84211, 0.84524, 0.71795, 0.73144], atol=5e-6)


def test_a_class_that_is_absent_and_not_predicted_is_nan():
    for measure in PER_CLASS:
        values = measure(ABSENT)
        assert np.isnan(values).tolist() == [False, False, True]
        assert values[0] > 0.7


def test_a_class_that_is_absent_but_predicted_counts_0_in_iou_and_not_in_accuracy():
    np.testing.assert_allclose(metrics.iou(PREDICTED), [0.71429, 0.66667, 0], atol=5e-6)
    assert metrics.mean_iou(PREDICTED) == pytest.approx(0.46032, abs=5e-6)
    np.testing.assert_allclose(metrics.accuracy(PREDICTED), [50 / 65, 30 / 35, np.nan])
    assert metrics.mean_accuracy(PREDICTED) == pytest.approx((50 / 65 + 30 / 35) / 2)
    assert metrics.dice(PREDICTED)[2] == metrics.precision(PREDICTED)[2] == 0


def test_an_empty_matrix_is_nan_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for measure in MEASURES:
            assert math.isnan(measure(np.zeros((3, 3), int)))
        for measure in PER_CLASS:
            assert np.isnan(measure(np.zeros((3, 3), int))).all()
        assert metrics.table(np.zeros((1, 1), int), ["sky"]).count("–") == 7


def test_many_classes_do_not_overflow_the_labels_type():
    labels = np.array([199, 0, 150], np.uint8)
    hist = metrics.confusion(labels, labels[::-1], classes=200)
    assert np.argwhere(hist).tolist() == [[0, 0], [150, 199], [199, 150]]


def test_signed_labels_below_0_do_not_count():
    hist = metrics.confusion(np.array([-1, 1, 1]), np.array([0, 1, 0]), classes=2)
    assert hist.tolist() == [[0, 0], [1, 1]]


def test_predictions_at_pixels_that_do_not_count_may_be_anything():
    hist = metrics.confusion(np.array([255, 1]), np.array([77, 1]), classes=2)
    assert hist.tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("labels", "predictions", "classes", "error", "message"),
    [
        (np.zeros(3), np.zeros(3, int), 2, TypeError, "labels must be integers, found float64"),
        (np.zeros(3, int), np.zeros(3), 2, TypeError, "predictions must be integers, found float64"),
        (np.zeros((2, 3), int), np.zeros((3, 2), int), 2, ValueError, r"labels \(2, 3\) .* \(3, 2\)"),
        (np.zeros(3, int), np.zeros(3, int), 0, ValueError, "classes must be positive, found 0"),
        (np.zeros(3, int), np.array([0, 7, 2]), 2, ValueError, r"0\.\.1, found 2, 7$"),
        (np.zeros(3, int), np.array([0, -1, 1]), 2, ValueError, r"0\.\.1, found -1$"),
    ],
)
def test_confusion_refuses(labels, predictions, classes, error, message):
    with pytest.raises(error, match=message):
        metrics.confusion(labels, predictions, classes)


@pytest.mark.parametrize("measure", MEASURES + PER_CLASS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 2)])
def test_only_square_matrices(measure, shape):
    with pytest.raises(ValueError, match=r"must be \(K, K\), found"):
        measure(np.ones(shape, int))


# The table.


def test_table():
    lines = metrics.table(PREDICTED, ["sky", "tree", "a bicycle leaning on a wall"]).splitlines()
    cells = [line.replace(" %", "").rsplit(maxsplit=4) for line in lines[:4]]
    assert cells == [
        ["class", "IU", "accuracy", "pixels", "share"],
        ["sky", "71.4", "76.9", "65", "65.0"],
        ["tree", "66.7", "85.7", "35", "35.0"],
        ["a bicycle leaning on a wall", "0.0", "–", "0", "0.0"],
    ]
    assert lines[4] == ""
    assert [tuple(line.rsplit(maxsplit=1)) for line in lines[5:]] == [
        ("pixel accuracy", "80.0"),
        ("mean accuracy", "81.3"),
        ("mean IU", "46.0"),
        ("frequency weighted IU", "69.8"),
    ]


@given(segmentations())
def test_table_is_aligned(case):
    hist = metrics.confusion(*case)
    lines = metrics.table(hist, [f"{'c' * 5 * k}{k}" for k in range(len(hist))]).splitlines()
    per_class, four = lines[: len(hist) + 1], lines[len(hist) + 2 :]
    assert len({len(line) for line in per_class}) == 1
    assert len({len(line) for line in four}) == 1
    assert per_class[0].index("IU %") + len("IU %") == len(four[0])  # one column of IUs


def test_table_needs_a_name_per_class():
    with pytest.raises(ValueError, match=r"3 classes need as many names, found \['sky', 'tree'\]"):
        metrics.table(ABSENT, ["sky", "tree"])
