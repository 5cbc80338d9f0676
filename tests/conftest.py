"""Hypothesis profiles: `quick` at every save, `ci` before landing, `full` for the equalities of the field.

And one thread for all tests but the kernels' own: the arrays are tiny, the threads would only wait for each other.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from minifcn.kernels.jit import get_threads, set_threads

# The first example of a test may compile a kernel, so no example has a deadline.
slow_start = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", deadline=None, max_examples=25, suppress_health_check=slow_start)
for name, cases in (("ci", 100), ("full", 200)):
    settings.register_profile(
        name,
        deadline=None,
        max_examples=cases,
        derandomize=True,
        print_blob=True,
        suppress_health_check=slow_start,
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "quick"))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    threads = get_threads()
    set_threads(1)
    yield
    set_threads(threads)
