"""Reading at the maxima of a pooling."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.pooling import max_pool, max_pool_2x2
from minifcn.kernels.unpool import gather, gather_2x2


@given(size=st.tuples(*[st.integers(1, 9)] * 2), N=st.integers(1, 3), C=st.sampled_from([1, 3, 16, 17]),
       ceil_mode=st.booleans(), dtype=st.sampled_from([np.float32, np.float64]),
       seed=st.integers(0, 2**32 - 1))  # fmt: skip
def test_gather(size, N, C, ceil_mode, dtype, seed):
    """Both kernels read the maximum itself in the image that was pooled, and its place in any other."""
    rng = np.random.default_rng(seed)
    pooled, other = (rng.integers(-2, 3, (N, *size, C)).astype(dtype) for _ in range(2))
    Ho, Wo = (-(-n // 2) if ceil_mode else max(1, n // 2) for n in size)
    largest, argmax = np.empty((N, Ho, Wo, C), dtype), np.empty((N, Ho, Wo, C), np.int32)
    max_pool(pooled, largest, argmax, (2, 2), (2, 2), (0, 0), (1, 1))
    where = np.empty(argmax.shape, np.uint8)
    max_pool_2x2(pooled, np.empty_like(largest), where)
    for image in (pooled, other):
        flat = image.reshape(N, -1, C)
        expected = np.take_along_axis(flat, argmax.reshape(N, -1, C), axis=1).reshape(argmax.shape)
        for kernel, places in ((gather, argmax), (gather_2x2, where)):
            y = np.full_like(largest, 77)
            kernel(image, places, y)
            np.testing.assert_array_equal(y, expected)


def test_no_place_no_number():
    y = np.full((1, 1, 1, 1), 77.0)
    gather(np.ones((1, 1, 1, 1)), np.full(y.shape, -1, np.int32), y)
    assert y.item() == 0
