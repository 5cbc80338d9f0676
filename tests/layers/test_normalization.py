"""Local response normalisation: gradient, plain definition, PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import images
from minifcn.layers import LocalResponseNorm

seeds = st.integers(0, 2**32 - 1)
layers = st.builds(
    LocalResponseNorm,
    size=st.sampled_from([1, 3, 5, 9]),
    alpha=st.floats(1e-4, 2.0),
    beta=st.floats(0.3, 1.5),
    k=st.floats(0.5, 2.0),
)


@given(layers, images(largest=3, channels=8), seeds)
def test_gradient(layer, x, seed):
    check_layer(layer, x, rng=seed)


@given(layers, images(channels=12))
def test_definition(layer, x):
    expected = np.empty_like(x)
    for c in range(x.shape[3]):
        around = x[..., max(0, c - layer.size // 2) : c + layer.size // 2 + 1]
        s = layer.k + layer.alpha / layer.size * (around**2).sum(axis=3)
        expected[..., c] = x[..., c] / s**layer.beta
    np.testing.assert_allclose(layer.forward(x)[0], expected, rtol=1e-12)


@pytest.mark.oracle
@given(layers, images(channels=12), seeds)
def test_against_pytorch(layer, x, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    dy = np.random.default_rng(seed).standard_normal(x.shape)
    tx = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    ty = torch.nn.functional.local_response_norm(tx, layer.size, layer.alpha, layer.beta, layer.k)
    ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    y, cache = layer.forward(x)
    np.testing.assert_allclose(y, ty.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        layer.backward(dy, cache)[0], tx.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-10, atol=1e-10
    )


@given(layers, images(channels=40), seeds)
def test_the_kernels_compute_the_same(layer, x, seed):
    """In float32, and for more pixels than one block has."""
    x = np.concatenate([x] * 70, axis=2)
    dy = np.random.default_rng(seed).standard_normal(x.shape)
    y, cache = layer.forward(x)
    found, float32_cache = layer.forward(x.astype(np.float32))
    np.testing.assert_allclose(found, y, rtol=0, atol=1e-5 * np.abs(y).max())
    dx, _ = layer.backward(dy, cache)
    found, _ = layer.backward(dy.astype(np.float32), float32_cache)
    np.testing.assert_allclose(found, dx, rtol=0, atol=1e-4 * np.abs(dx).max())


@pytest.mark.parametrize("k", [0, -1.0, np.nan])
def test_k_is_positive(k):
    with pytest.raises(ValueError, match=f"k is {k}; expected a positive number"):
        LocalResponseNorm(k=k)


@pytest.mark.parametrize("size", [0, 2, -1])
def test_the_window_is_odd(size):
    with pytest.raises(ValueError, match=f"size is {size}"):
        LocalResponseNorm(size)
