"""Cross-entropy: against the definition in float64, for any number of classes and for scores not finite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.cross_entropy import PIXELS, cross_entropy, cross_entropy_definition
from minifcn.kernels.jit import get_threads, set_threads

IGNORED = 255
pixel_counts = st.integers(1, 40) | st.sampled_from([k * PIXELS + d for k in (1, 2, 5) for d in (-1, 0, 1)])
class_counts = st.integers(1, 40) | st.sampled_from([128, 255, 300])


@st.composite
def problems(draw):
    """float32 scores (pixels, K), labels of which some are ignored, shares of 0 there and that sum to about 1."""
    pixels, K = draw(pixel_counts, label="pixels"), draw(class_counts, label="K")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    scores = draw(st.sampled_from([0.0, 0.5, 10.0, 1e4, 1e30]), label="scale") * rng.standard_normal(
        (pixels, K)
    )
    labels = rng.integers(0, K, pixels)
    shares = rng.uniform(0.1, 2, pixels) / pixels
    ignored = rng.random(pixels) < draw(st.sampled_from([0.0, 0.3, 1.0]), label="ignored")
    labels[ignored], shares[ignored] = IGNORED, 0
    labels = labels.astype(np.uint8 if K <= IGNORED and draw(st.booleans(), label="uint8") else np.intp)
    return scores.astype(np.float32), labels, shares.astype(np.float32)


def run(scores, labels, shares, compute=cross_entropy, dtype=np.float32):
    """Value and gradient, which must not have been written beside."""
    memory = np.full(scores.size + 64, 77, dtype)
    dscores = memory[32:-32].reshape(scores.shape)
    before = scores.copy()
    with np.errstate(all="ignore"):
        value = compute(scores.astype(dtype, copy=False), labels, shares.astype(dtype, copy=False), dscores)
    assert (memory[:32] == 77).all() and (memory[-32:] == 77).all()
    np.testing.assert_array_equal(scores, before)
    return value, dscores


def exactly(scores, labels, shares):
    return run(scores, labels, shares, cross_entropy_definition, np.float64)


@given(problems())
def test_value_and_gradient(problem):
    shares = problem[-1]
    value, dscores = run(*problem)
    exact, dexact = exactly(*problem)
    assert type(value) is float
    assert value == pytest.approx(exact, rel=1e-6, abs=1e-12)
    assert (np.abs(dscores - dexact) <= 1e-6 * shares[:, None]).all()
    assert not dscores[shares == 0].any()


@given(problems())
def test_the_bits_do_not_depend_on_the_threads(problem):
    threads, results = get_threads(), []
    for count in {1, threads}:
        set_threads(count)
        results.append(run(*problem))
    set_threads(threads)
    assert len({value for value, _ in results}) == 1
    assert len({dscores.tobytes() for _, dscores in results}) == 1


@given(problems(), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(1, 5))
def test_what_is_not_finite_is_seen_as_in_the_definition(problem, strange, count):
    scores, labels, shares = problem
    rng = np.random.default_rng(0)
    scores.flat[rng.integers(0, scores.size, count)] = strange
    value, dscores = run(scores, labels, shares)
    exact, dexact = exactly(scores, labels, shares)
    np.testing.assert_array_equal(np.isnan(dscores), np.isnan(dexact))
    assert value == pytest.approx(exact, rel=1e-6, abs=1e-12, nan_ok=True)
