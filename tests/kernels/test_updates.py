"""The update rules: the bits of the definition, whatever the length, the type and the number of threads."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.jit import get_threads, set_threads
from minifcn.kernels.updates import adam, adam_definition, adam_numbers, sgd, sgd_definition

lengths = st.integers(1, 40) | st.integers(10_000, 10_040)
dtypes = st.sampled_from([np.float32, np.float64])
scales = st.sampled_from([1e-30, 1.0, 1e15])
seeds = st.integers(0, 2**32 - 1)
numbers = st.floats(0, 0.99)


def run(update, arrays, *options):
    """Copies of the arrays after `update`, which must not have written beside them nor into the gradient."""
    memories = [
        np.concatenate([np.full(16, 77), array, np.full(16, 77)]).astype(array.dtype) for array in arrays
    ]
    inside = [memory[16:-16] for memory in memories]
    update(*inside, *options)
    assert all((memory[:16] == 77).all() and (memory[-16:] == 77).all() for memory in memories)
    np.testing.assert_array_equal(inside[1], arrays[1])
    return [array.tobytes() for array in inside]


def check(update, numbers, definition, arrays, *options):
    """`numbers` makes of the options what the kernel reads from an array."""
    expected = run(definition, arrays, *options)
    options = (np.array(numbers(*options), arrays[0].dtype),)
    threads = get_threads()
    for count in {1, threads}:
        set_threads(count)
        assert run(update, arrays, *options) == expected
    set_threads(threads)


@given(lengths, dtypes, scales, seeds, st.booleans(), st.floats(0, 1), numbers, numbers)
def test_sgd(length, dtype, scale, seed, with_momentum, lr, momentum, decay):
    w, g, v = scale * np.random.default_rng(seed).standard_normal((3, length))
    arrays = [array.astype(dtype) for array in (w, g, v[: length * with_momentum])]
    check(sgd, lambda *options: options, sgd_definition, arrays, lr, momentum, decay)


@given(
    lengths,
    dtypes,
    scales,
    seeds,
    st.floats(0, 1),
    st.tuples(numbers, numbers),
    st.floats(1e-8, 0.5),
    numbers,
    st.integers(1, 1000),
)
def test_adam(length, dtype, scale, seed, lr, betas, eps, decay, step):
    w, g, m, v = scale * np.random.default_rng(seed).standard_normal((4, length))
    arrays = [array.astype(dtype) for array in (w, g, m, np.abs(v))]
    check(adam, adam_numbers, adam_definition, arrays, lr, betas, eps, decay, step)


def test_nan_reaches_the_weight():
    for update, buffers, numbers in (
        (sgd, 1, (0.1, 0.9, 0.1)),
        (adam, 2, adam_numbers(0.1, (0.9, 0.99), 1e-8, 0.1, 1)),
    ):
        w, g, *buffers = np.ones((2 + buffers, 10), np.float32)
        g[3] = np.nan
        update(w, g, *buffers, np.array(numbers, np.float32))
        assert np.flatnonzero(np.isnan(w)).tolist() == [3]
