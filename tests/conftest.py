"""Hypothesis profiles: `quick` at every save; `ci` draws the cases that the acceptance asks for."""

import os

from hypothesis import HealthCheck, settings

# The first example of a test may compile a kernel, so no example has a deadline.
slow_start = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", deadline=None, max_examples=25, suppress_health_check=slow_start)
settings.register_profile(
    "ci", deadline=None, max_examples=100, derandomize=True, print_blob=True, suppress_health_check=slow_start
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "quick"))
