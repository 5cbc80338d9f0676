"""The exercises of lesson 7: their right answers are those of the definitions, and every mistake is recognised."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given

from minifcn.check.diagnosis import diagnose
from minifcn.check.exercises.upsampling import (
    bilinear_kernel,
    conv_transpose2d,
    conv_transpose2d_backward,
    coverage,
    paintings,
)
from minifcn.check.search import draw

EXERCISES = bilinear_kernel, conv_transpose2d, conv_transpose2d_backward, coverage
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


def matrix(w, size, stride, padding):
    """The transposed convolution as a tensor: y[i, j, o] = sum over h, k, c of M[i, j, o, h, k, c] x[h, k, c]."""
    kh, kw, C_out, C_in = w.shape
    Ho, Wo = ((n - 1) * stride + k - 2 * padding for n, k in zip(size, (kh, kw)))
    M = np.zeros((Ho, Wo, C_out, *size, C_in))
    for h, k, u, v in np.ndindex(*size, kh, kw):
        i, j = h * stride + u - padding, k * stride + v - padding
        if 0 <= i < Ho and 0 <= j < Wo:
            M[i, j, :, h, k] += w[u, v]
    return M


@given(case=paintings())
def test_painting_is_the_product_with_its_matrix(case):
    x, w, options = case["x"], case["w"], (case["stride"], case["padding"])
    y = conv_transpose2d.reference(x, w, *options)
    assert y.shape == case["dy"].shape
    np.testing.assert_allclose(y, np.einsum("ijohkc,nhkc->nijo", matrix(w, x.shape[1:3], *options), x))


@given(case=paintings())
def test_its_gradients_are_the_transposed_products(case):
    """<dy, y> is linear in x and in w, so each gradient makes the same number of its argument."""
    dy, x, w = case["dy"], case["x"], case["w"]
    dx, dw = conv_transpose2d_backward.reference(*case.values())
    M = matrix(w, x.shape[1:3], case["stride"], case["padding"])
    np.testing.assert_allclose(dx, np.einsum("ijohkc,nijo->nhkc", M, dy), atol=1e-12)
    for index in np.ndindex(w.shape):
        unit = np.zeros(w.shape)
        unit[index] = 1
        painted = conv_transpose2d.reference(x, unit, case["stride"], case["padding"])
        assert np.isclose(dw[index], np.vdot(dy, painted))


@pytest.mark.parametrize("factor", range(1, 9))
def test_even_tents_that_overlap_add_up_to_one(factor):
    """What interpolates leaves a constant alone. At stride f, four kernels of size 2 f meet at each pixel."""
    kernel = bilinear_kernel.reference(2 * factor)
    quarters = (kernel[u : u + factor, v : v + factor] for u in (0, factor) for v in (0, factor))
    np.testing.assert_allclose(sum(quarters), 1)


@pytest.mark.parametrize("size", range(1, 17))
def test_a_tent_has_its_top_in_the_middle(size):
    kernel, f = bilinear_kernel.reference(size), (size + 1) // 2
    assert kernel.max() == (1 if size % 2 else (1 - 0.5 / f) ** 2)
    assert np.array_equal(kernel, kernel.T) and np.array_equal(kernel, kernel[::-1])


@pytest.mark.parametrize(("size", "kernel", "stride"), [(5, 3, 2), (4, 4, 2), (3, 2, 3), (1, 5, 2)])
def test_coverage_is_what_kernels_of_ones_paint(size, kernel, stride):
    ones = np.ones((1, size, 1, 1)), np.ones((kernel, 1, 1, 1))
    painted = conv_transpose2d.reference(*ones, stride, 0)
    assert np.array_equal(coverage.reference(size, kernel, stride), painted[0, :, 0, 0])


@cache
def cases_of(exercise_name):
    (exercise,) = (one for one in EXERCISES if one.name == exercise_name)
    return [(case, exercise._expected(case)) for case in draw(exercise.cases, cases=40)]


@pytest.mark.slow
@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda one: getattr(one, "name", ""))
def test_who_makes_a_known_mistake_is_told_so(exercise, mistake):
    trials = [exercise._tried(mistake.wrong, *case) for case in cases_of(exercise.name)]
    assert any(trial.problems for trial in trials)
    assert mistake.says in [cause.says for cause in diagnose(trials, exercise.mistakes)]
