"""Kernels are tested with two threads, where the machine has them."""

import numba
import pytest

from minifcn.kernels.jit import get_threads, set_threads


@pytest.fixture(scope="module", autouse=True)
def two_threads():
    threads = get_threads()
    set_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    yield
    set_threads(threads)
