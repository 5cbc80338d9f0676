"""Losses: against plain definitions, central differences, invariances, worked values and PyTorch."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_loss
from minifcn.losses import binary_cross_entropy, binary_dice, cross_entropy, dice, softmax, weighted_sum

IGNORE = 255
LOSSES = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "dice squared": functools.partial(dice, squared=True),
    "sum": weighted_sum((0.7, cross_entropy), (1.9, dice)),
}
losses = st.sampled_from(list(LOSSES.values()))


@st.composite
def problems(draw, ignored=0.3):
    """Scores (N, H, W, K) in float64 and uint8 labels of which some are ignored, at least one is not."""
    N, H, W, K = (
        draw(st.integers(1, high), label=axis) for axis, high in zip("NHWK", (2, 3, 4, 5), strict=True)
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    scores = draw(st.sampled_from([0.5, 3.0]), label="scale") * rng.standard_normal((N, H, W, K))
    labels = rng.integers(0, K, (N, H, W)).astype(np.uint8)
    drop = rng.random((N, H, W)) < ignored
    drop.flat[rng.integers(drop.size)] = False
    labels[drop] = IGNORE
    return scores, labels, rng


def random_weights(scores, labels, rng):
    """Class and pixel weights, not all equal, about a fifth of the pixels' 0 but never all."""
    pixel_weights = rng.uniform(0.1, 2.0, labels.shape) * (rng.random(labels.shape) > 0.2)
    pixel_weights.flat[np.argmax(labels != IGNORE)] = 1.0
    return {"class_weights": rng.uniform(0.1, 3.0, scores.shape[-1]), "pixel_weights": pixel_weights}


def plain_cross_entropy(scores, labels, class_weights=None, pixel_weights=None):
    total = mass = 0.0
    for pixel in np.ndindex(labels.shape):
        y = int(labels[pixel])
        if y == IGNORE:
            continue
        weight = 1.0 if class_weights is None else class_weights[y]
        weight *= 1.0 if pixel_weights is None else pixel_weights[pixel]
        total += weight * (math.log(sum(math.exp(s) for s in scores[pixel])) - scores[pixel][y])
        mass += weight
    return total / mass


def plain_dice(scores, labels, squared=False):
    overlaps = []
    for c in set(labels[labels != IGNORE].tolist()):
        both = overlap = 0.0
        for pixel in np.ndindex(labels.shape):
            if labels[pixel] != IGNORE:
                p = math.exp(scores[pixel][c]) / sum(math.exp(s) for s in scores[pixel])
                g = float(labels[pixel] == c)
                overlap += p * g
                both += p**2 + g**2 if squared else p + g
        overlaps.append(2 * overlap / both)
    return 1 - sum(overlaps) / len(overlaps)


def central_differences(loss, scores, step=1e-5):
    gradient = np.zeros_like(scores)
    for at in np.ndindex(scores.shape):
        ends = []
        for side in (step, -step):
            moved = scores.copy()
            moved[at] += side
            ends.append(loss(moved)[0])
        gradient[at] = (ends[0] - ends[1]) / (2 * step)
    return gradient


@given(problems(), st.booleans(), st.booleans())
def test_cross_entropy_is_the_weighted_mean(problem, by_class, by_pixel):
    scores, labels, rng = problem
    weights = random_weights(scores, labels, rng)
    if not by_class:
        del weights["class_weights"]
    if not by_pixel:
        del weights["pixel_weights"]
    value, dscores = cross_entropy(scores, labels, **weights)
    assert type(value) is float
    assert value == pytest.approx(plain_cross_entropy(scores, labels, **weights), rel=1e-12)
    expected = central_differences(lambda s: cross_entropy(s, labels, **weights), scores)
    np.testing.assert_allclose(dscores, expected, rtol=1e-6, atol=1e-9)


@given(problems(), st.booleans())
def test_dice_is_one_minus_the_mean_overlap(problem, squared):
    scores, labels, _ = problem
    value, dscores = dice(scores, labels, squared=squared)
    assert type(value) is float
    assert -1e-12 <= value <= 1
    assert value == pytest.approx(plain_dice(scores, labels, squared), rel=1e-12, abs=1e-12)
    expected = central_differences(lambda s: dice(s, labels, squared=squared), scores)
    np.testing.assert_allclose(dscores, expected, rtol=1e-6, atol=1e-9)


@given(problems(), st.lists(st.tuples(st.floats(-2, 2), losses), min_size=1, max_size=3))
def test_weighted_sum_adds_values_and_gradients(problem, terms):
    scores, labels, _ = problem
    value, dscores = weighted_sum(*terms)(scores, labels)
    parts = [(weight, *term(scores, labels)) for weight, term in terms]
    assert value == pytest.approx(sum(weight * part for weight, part, _ in parts), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(dscores, sum(weight * d for weight, _, d in parts), rtol=1e-12, atol=1e-15)


@given(problems())
def test_weighted_sum_hands_its_options_to_every_term(problem):
    scores, labels, _ = problem
    marked = np.where(labels == IGNORE, -1, labels.astype(int))
    loss = weighted_sum((0.7, cross_entropy), (1.9, dice))
    value, dscores = loss(scores, marked, ignore_label=-1)
    assert value == loss(scores, labels)[0]
    np.testing.assert_array_equal(dscores, loss(scores, labels)[1])


# What must not matter, and what must.


@given(problems(), losses, st.floats(-50, 50))
def test_a_constant_added_to_a_pixels_scores_changes_nothing(problem, loss, constant):
    scores, labels, rng = problem
    shift = constant * rng.standard_normal(labels.shape)[..., None]
    value, dscores = loss(scores, labels)
    shifted, dshifted = loss(scores + shift, labels)
    assert shifted == pytest.approx(value, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(dshifted, dscores, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dscores.sum(axis=-1), 0, atol=1e-14)


@given(problems(), losses)
def test_the_order_of_pixels_does_not_matter(problem, loss):
    scores, labels, rng = problem
    order = rng.permutation(labels.size)
    value, dscores = loss(scores, labels)
    K = scores.shape[-1]
    moved = scores.reshape(-1, K)[order].reshape(scores.shape)
    value_moved, dmoved = loss(moved, labels.ravel()[order].reshape(labels.shape))
    assert value_moved == pytest.approx(value, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(dmoved.reshape(-1, K), dscores.reshape(-1, K)[order], rtol=1e-10, atol=1e-14)


@given(problems(), losses)
def test_the_order_of_classes_does_not_matter(problem, loss):
    scores, labels, rng = problem
    order = rng.permutation(scores.shape[-1])
    renamed = np.where(labels == IGNORE, IGNORE, np.argsort(order)[np.where(labels == IGNORE, 0, labels)])
    value, dscores = loss(scores, labels)
    value_moved, dmoved = loss(scores[..., order], renamed)
    assert value_moved == pytest.approx(value, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(dmoved, dscores[..., order], rtol=1e-10, atol=1e-14)


@given(problems(ignored=0.5), losses)
def test_ignored_pixels_are_as_if_cut_out(problem, loss):
    scores, labels, rng = problem
    valid = labels != IGNORE
    value, dscores = loss(scores, labels)
    cut_value, dcut = loss(scores[valid][None, None], labels[valid][None, None])
    assert cut_value == pytest.approx(value, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(dscores[valid], dcut[0, 0], rtol=1e-10, atol=1e-14)
    assert not dscores[~valid].any()
    other = scores + 9 * rng.standard_normal(scores.shape) * ~valid[..., None]
    assert loss(other, labels)[0] == value


@given(problems())
def test_weight_zero_is_the_same_as_ignored(problem):
    scores, labels, rng = problem
    full = rng.integers(0, scores.shape[-1], labels.shape)
    valid = labels != IGNORE
    marked = np.where(valid, full, IGNORE)
    value, dscores = cross_entropy(scores, full, pixel_weights=valid)
    expected, dexpected = cross_entropy(scores, marked)
    assert value == expected
    np.testing.assert_array_equal(dscores, dexpected)

    c = full[valid][0]
    keep = np.arange(scores.shape[-1]) != c
    value, dscores = cross_entropy(scores, full, class_weights=keep)
    expected, dexpected = cross_entropy(scores, np.where(full == c, IGNORE, full))
    assert value == expected
    np.testing.assert_array_equal(dscores, dexpected)


@given(problems(), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_only_ratios_of_weights_matter(problem, a, b):
    scores, labels, rng = problem
    weights = random_weights(scores, labels, rng)
    scaled = {"class_weights": a * weights["class_weights"], "pixel_weights": b * weights["pixel_weights"]}
    value, dscores = cross_entropy(scores, labels, **weights)
    value_scaled, dscaled = cross_entropy(scores, labels, **scaled)
    assert value_scaled == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(dscaled, dscores, rtol=1e-10, atol=1e-15)


@given(problems(), st.integers(2, 4))
def test_losses_do_not_grow_with_the_image(problem, times):
    scores, labels, _ = problem
    for loss in LOSSES.values():
        value, dscores = loss(scores, labels)
        tiled, dtiled = loss(np.tile(scores, (1, 1, times, 1)), np.tile(labels, (1, 1, times)))
        assert tiled == pytest.approx(value, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(times * dtiled, np.tile(dscores, (1, 1, times, 1)), rtol=1e-9, atol=1e-14)


@given(problems(), problems())
def test_cross_entropy_of_a_batch_is_the_mean_weighted_with_valid_pixels(first, second):
    K = min(first[0].shape[-1], second[0].shape[-1])
    parts = []
    for scores, labels, _ in (first, second):
        scores, labels = scores[..., :K].reshape(1, 1, -1, K), labels.reshape(1, 1, -1)
        parts.append((scores, np.where(labels == IGNORE, IGNORE, labels % K)))
    counts = [np.count_nonzero(labels != IGNORE) for _, labels in parts]
    values = [cross_entropy(scores, labels)[0] for scores, labels in parts]
    joined = cross_entropy(*(np.concatenate(arrays, axis=2) for arrays in zip(*parts, strict=True)))[0]
    assert joined == pytest.approx(np.average(values, weights=counts), rel=1e-12, abs=1e-14)


@given(problems(), losses)
def test_the_memory_layout_does_not_matter_and_the_input_is_not_touched(problem, loss):
    scores, labels, _ = problem
    planar = np.ascontiguousarray(scores.transpose(3, 0, 2, 1)).transpose(1, 3, 2, 0)
    before, labels_before = scores.copy(), labels.copy()
    value, dscores = loss(scores, labels)
    value_planar, dplanar = loss(planar, labels)
    assert value_planar == value
    np.testing.assert_array_equal(dplanar, dscores)
    np.testing.assert_array_equal(scores, before)
    np.testing.assert_array_equal(planar, before)
    np.testing.assert_array_equal(labels, labels_before)


@given(problems(), losses)
def test_float32_agrees_with_float64(problem, loss):
    scores, labels, _ = problem
    scores = scores.astype(np.float32)
    value, dscores = loss(scores, labels)
    exact, dexact = loss(scores.astype(np.float64), labels)
    assert (dscores.dtype, dexact.dtype) == (np.float32, np.float64)
    assert value == pytest.approx(exact, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(dscores, dexact, rtol=1e-4, atol=1e-6)


@given(problems(), st.sampled_from([np.uint8, np.int8, np.int16, np.uint32, np.int64, np.uint64]))
def test_labels_of_any_integer_type(problem, dtype):
    scores, labels, _ = problem
    marked = np.where(labels == IGNORE, 100, labels)
    for loss in LOSSES.values():
        value, dscores = loss(scores, marked.astype(dtype), ignore_label=100)
        assert value == loss(scores, labels)[0]
        np.testing.assert_array_equal(dscores, loss(scores, labels)[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_huge_scores(name, dtype):
    loss = LOSSES[name]
    scores = np.array([[[[1e4, -1e4, 0], [-1e4, 1e4, 1e4]]]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        right, dright = loss(scores[:, :, :1], np.array([[[0]]]))
        wrong, dwrong = loss(scores, np.array([[[1, 0]]]))
    assert right == pytest.approx(0, abs=1e-12)
    assert not dright.any()
    expected = {"cross_entropy": 2e4 + math.log(2) / 2, "dice": 1.0, "dice squared": 1.0}
    expected["sum"] = 0.7 * expected["cross_entropy"] + 1.9 * expected["dice"]
    assert wrong == pytest.approx(expected[name], rel=1e-6)
    assert np.isfinite(dwrong).all()


@given(problems())
def test_softmax_is_a_distribution_proportional_to_the_exponentials(problem):
    scores, _, _ = problem
    p = softmax(scores)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(np.log(p) - np.log(p[..., :1]), scores - scores[..., :1], atol=1e-12)
    for dtype in (np.float32, np.float64):
        assert softmax(scores.astype(dtype)).dtype == dtype


def test_the_value_of_many_pixels_is_summed_in_float64():
    scores = np.tile(np.float32([0.1, 0.7]), (1, 1024, 1024, 1))
    value, _ = cross_entropy(scores, np.zeros((1, 1024, 1024), np.uint8))
    assert value == pytest.approx(math.log(1 + math.exp(0.6)), rel=2e-7)
    value, _ = dice(scores, np.zeros((1, 1024, 1024), np.uint8))
    p = 1 / (1 + math.exp(0.6))
    assert value == pytest.approx(1 - 2 * p / (p + 1), rel=1e-6)


# Worked values.


def test_zero_scores_of_21_classes():
    scores, labels = np.zeros((1, 2, 3, 21), np.float32), np.full((1, 2, 3), 7, np.uint8)
    value, dscores = cross_entropy(scores, labels)
    assert value == pytest.approx(3.04452, abs=1e-5)
    expected = np.full(21, 1 / 21)
    expected[7] = -20 / 21
    np.testing.assert_allclose(6 * dscores, np.broadcast_to(expected, dscores.shape), rtol=1e-6)


@pytest.mark.parametrize(("squared", "foreground"), [(False, 0.93679), (True, 0.99375)])
def test_dice_of_a_foreground_in_the_lower_half(squared, foreground):
    p = [
        [0.01, 0.03, 0.02, 0.02],
        [0.05, 0.12, 0.09, 0.07],
        [0.89, 0.85, 0.88, 0.91],
        [0.99, 0.97, 0.95, 0.97],
    ]
    p, labels = np.array([p]), np.array([[[0] * 4, [0] * 4, [1] * 4, [1] * 4]])
    scores = np.log(np.stack([1 - p, p], axis=-1))
    # Sums: p over the lower half 7.41, in all 7.82, of squares 6.9132; the same of the background's 1 - p.
    background = 2 * 7.59 / (7.2732 + 8 if squared else 8.18 + 8)
    assert 1 - dice(scores, labels, squared)[0] == pytest.approx((foreground + background) / 2, abs=1e-5)
    # Without background pixels only the foreground counts, over half of the image: 2 · 7.41 / (7.41 + 8).
    lower = np.where(labels == 1, 1, IGNORE)
    mass = 6.8815 if squared else 7.41
    assert 1 - dice(scores, lower, squared)[0] == pytest.approx(2 * 7.41 / (mass + 8), abs=1e-9)


@pytest.mark.parametrize("loss", list(LOSSES.values()), ids=LOSSES)
def test_no_valid_pixel_gives_zero(loss):
    value, dscores = loss(np.ones((1, 2, 3, 4), np.float32), np.full((1, 2, 3), IGNORE, np.uint8))
    assert value == 0.0
    np.testing.assert_array_equal(dscores, np.zeros((1, 2, 3, 4)))
    assert dscores.dtype == np.float32


def test_total_weight_zero_gives_zero():
    scores, labels = np.arange(3.0).reshape(1, 1, 1, 3), np.array([[[0]]])
    assert cross_entropy(scores, labels)[0] > 1
    value, dscores = cross_entropy(scores, labels, class_weights=np.array([0, 1, 1]))
    assert value == 0.0
    np.testing.assert_array_equal(dscores, np.zeros((1, 1, 1, 3)))


# Errors.

SCORES, LABELS = np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2), np.uint8)


@pytest.mark.parametrize("loss", list(LOSSES.values()), ids=LOSSES)
@pytest.mark.parametrize(
    ("scores", "labels", "error", "message"),
    [
        (SCORES.astype(int), LABELS, TypeError, "scores must be floating, found int64"),
        (SCORES, LABELS.astype(float), TypeError, "labels must be integers, found float64"),
        (SCORES[0], LABELS[0], ValueError, r"\(N, H, W, K\).*found \(2, 2, 3\)"),
        (SCORES[..., :0], LABELS, ValueError, r"K > 0, found \(1, 2, 2, 0\)"),
        (SCORES, LABELS[:, :1], ValueError, r"\(1, 2, 2, 3\), found \(1, 1, 2\)"),
        (SCORES, LABELS + np.uint8([3, 0]), ValueError, r"0..2 or 255 \(ignored\), found 3$"),
        (SCORES, np.array([[[-1, 0], [255, 9]]]), ValueError, "found -1, 9$"),
    ],
)
def test_bad_input(loss, scores, labels, error, message):
    with pytest.raises(error, match=message):
        loss(scores, labels)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            {"class_weights": np.ones(4)},
            ValueError,
            r"class_weights must have the shape \(3,\), found \(4,\)",
        ),
        ({"class_weights": np.array([1, -0.5, 1])}, ValueError, "class_weights .* found -0.5"),
        ({"class_weights": np.array([1, np.nan, 1])}, ValueError, "class_weights .* found nan"),
        ({"class_weights": np.array([1, 1j, 1])}, TypeError, "class_weights .* found complex128"),
        ({"pixel_weights": np.ones((2, 2))}, ValueError, r"pixel_weights .* \(1, 2, 2\), found \(2, 2\)"),
        ({"pixel_weights": np.full((1, 2, 2), -2.0)}, ValueError, "pixel_weights .* found -2.0"),
        ({"pixel_weights": np.full((1, 2, 2), np.inf)}, ValueError, "pixel_weights .* found inf"),
        ({"pixel_weights": np.full((1, 2, 2), "1")}, TypeError, "pixel_weights .* found <U1"),
    ],
)
def test_bad_weights(weights, error, message):
    with pytest.raises(error, match=message):
        cross_entropy(SCORES, LABELS, **weights)


@pytest.mark.parametrize("terms", [(), ((math.nan, dice),), ((1.0, dice), (math.inf, cross_entropy))])
def test_bad_terms(terms):
    with pytest.raises(ValueError, match="weighted_sum needs terms"):
        weighted_sum(*terms)


# One score map.

BINARY = {
    "cross-entropy": binary_cross_entropy,
    "dice": binary_dice,
    "dice squared": functools.partial(binary_dice, squared=True),
    "both": weighted_sum((1.0, binary_cross_entropy), (1.0, binary_dice)),
}
binary_losses = st.sampled_from(list(BINARY.values()))


@st.composite
def binary_problems(draw):
    """Scores (N, H, W, 1) in float64 and labels 0, 1 and 255; not all are ignored."""
    scores, labels, rng = draw(problems())
    return scores[..., :1], np.where(labels == IGNORE, labels, labels % 2), rng


def with_background(scores):
    """The two scores (0, s) whose softmax is the sigmoid of s."""
    return np.concatenate([np.zeros_like(scores), scores], axis=-1)


@given(binary_problems(), binary_losses)
def test_binary_gradients_are_the_differences(problem, loss):
    scores, labels, _ = problem
    check_loss(loss, scores, labels)


@given(binary_problems(), st.booleans())
def test_binary_cross_entropy_is_that_of_the_scores_zero_and_s(problem, weighted):
    scores, labels, rng = problem
    weights = random_weights(with_background(scores), labels, rng) if weighted else {}
    value, dscores = binary_cross_entropy(scores, labels, **weights)
    expected, dexpected = cross_entropy(with_background(scores), labels, **weights)
    assert type(value) is float
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(dscores, dexpected[..., 1:], rtol=1e-10, atol=1e-15)


@given(binary_problems(), st.booleans())
def test_binary_dice_is_that_of_class_one_alone(problem, squared):
    scores, labels, _ = problem
    value, dscores = binary_dice(scores, labels, squared=squared)
    g = labels[labels != IGNORE]
    p = [1 / (1 + math.exp(-s)) for s in scores[..., 0][labels != IGNORE]]
    both = sum(a**2 + b**2 if squared else a + b for a, b in zip(p, g.tolist(), strict=True))
    expected = 1 - 2 * sum(a * b for a, b in zip(p, g.tolist(), strict=True)) / both if g.any() else 0.0
    assert type(value) is float
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert dscores.any() == g.any()


@given(binary_problems(), st.integers(1, 40))
def test_binary_dice_does_not_care_how_much_background_is_right(problem, more):
    """Cross-entropy does: right background makes the mean smaller, however wrong the objects are."""
    scores, labels, _ = problem
    labels.flat[0], scores.flat[0] = 1, 0.0
    wide = np.concatenate([scores, np.full((*scores.shape[:2], more, 1), -800.0)], axis=2)
    wide_labels = np.concatenate([labels, np.zeros((*labels.shape[:2], more), np.uint8)], axis=2)
    assert binary_dice(wide, wide_labels)[0] == pytest.approx(binary_dice(scores, labels)[0], rel=1e-12)
    assert binary_cross_entropy(wide, wide_labels)[0] < binary_cross_entropy(scores, labels)[0]


@given(binary_problems(), binary_losses)
def test_binary_losses_leave_out_ignored_pixels_and_work_in_float32(problem, loss):
    scores, labels, _ = problem
    valid = labels != IGNORE
    value, dscores = loss(scores, labels)
    cut, dcut = loss(scores[valid][None, None], labels[valid][None, None])
    assert value == pytest.approx(cut, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(dscores[valid], dcut[0, 0], rtol=1e-10, atol=1e-14)
    assert not dscores[~valid].any()
    single, dsingle = loss(scores.astype(np.float32), labels)
    assert dsingle.dtype == np.float32
    assert single == pytest.approx(value, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(dsingle, dscores, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_losses_of_huge_scores(dtype):
    scores = np.array([1e4, -1e4], dtype).reshape(1, 1, 2, 1)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for name, loss in BINARY.items():
            right, dright = loss(scores, np.array([[[1, 0]]]))
            wrong, _ = loss(scores, np.array([[[0, 1]]]))
            assert right == 0 and not dright.any()
            assert wrong == {"cross-entropy": 1e4, "both": 1e4 + 1}.get(name, 1)


@pytest.mark.parametrize("name", BINARY)
def test_binary_losses_where_nothing_counts(name):
    value, dscores = BINARY[name](np.ones((1, 2, 3, 1), np.float32), np.full((1, 2, 3), IGNORE, np.uint8))
    assert value == 0.0 and dscores.dtype == np.float32 and not dscores.any()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((1, 2, 2, 2)), np.zeros((1, 2, 2), int), r"\(N, H, W, 1\), found \(1, 2, 2, 2\)"),
        (np.zeros((2, 2, 1)), np.zeros((2, 2), int), r"\(N, H, W, K\)"),
        (np.zeros((1, 2, 2, 1)), np.full((1, 2, 2), 2), r"0..1 or 255 \(ignored\), found 2"),
    ],
)
def test_bad_input_of_binary_losses(name, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        BINARY[name](scores, labels)


# PyTorch.


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle")


@pytest.mark.oracle
@given(problem=problems(), weighted=st.booleans())
def test_cross_entropy_is_pytorchs(torch, problem, weighted):
    scores, labels, rng = problem
    weights = rng.uniform(0.1, 3.0, scores.shape[-1]) if weighted else None
    value, dscores = cross_entropy(scores, labels, class_weights=weights)
    x = torch.tensor(scores, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        x.permute(0, 3, 1, 2),
        torch.tensor(labels.astype(np.int64)),
        weight=None if weights is None else torch.tensor(weights),
        ignore_index=IGNORE,
    )
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(dscores, x.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.oracle
@given(problem=problems(), squared=st.booleans())
def test_dice_gradient_is_pytorchs(torch, problem, squared):
    scores, labels, _ = problem
    value, dscores = dice(scores, labels, squared=squared)
    x = torch.tensor(scores, requires_grad=True)
    valid = torch.tensor(labels != IGNORE)
    p = torch.softmax(x, dim=-1)[valid]
    g = torch.nn.functional.one_hot(torch.tensor(labels.astype(np.int64))[valid], scores.shape[-1])
    both = (p**2 + g).sum(0) if squared else (p + g).sum(0)
    expected = 1 - (2 * (p * g).sum(0) / both)[g.sum(0) > 0].mean()
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(dscores, x.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.oracle
@given(problem=binary_problems())
def test_binary_cross_entropy_is_pytorchs(torch, problem):
    scores, labels, rng = problem
    weights = rng.uniform(0.1, 2.0, labels.shape)
    value, dscores = binary_cross_entropy(scores, labels, pixel_weights=weights)
    x, valid = torch.tensor(scores, requires_grad=True), labels != IGNORE
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        x[..., 0][torch.tensor(valid)],
        torch.tensor(labels[valid].astype(float)),
        weight=torch.tensor(weights[valid] / weights[valid].mean()),
    )
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(dscores, x.grad.numpy(), rtol=1e-10, atol=1e-12)
