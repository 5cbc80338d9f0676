"""Lesson 3: the numerical gradient. Its mistakes are steps that are too large, too small, or to one side only."""

import numpy as np
from hypothesis import strategies as st

from minifcn.check.cases import arguments, simple
from minifcn.check.differences import differences
from minifcn.check.exercise import Exercise, Mistake

STEP = 'lesson 3, "How large a step?"'
WITNESS = 'lesson 3, "A witness who knows no formula"'


def exact(f, x):
    """The functions of the cases are analytic: f(x + i h).imag / h is exact, for a tiny h."""
    return _for_each(x, lambda step: f(x + 1e-20j * step).imag / 1e-20)


def _for_each(x, slope):
    """The array of slope(unit vector)."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        unit = np.zeros(x.shape)
        unit[index] = 1
        gradient[index] = slope(unit)
    return gradient


def _central(h):
    return lambda f, x: _for_each(x, lambda unit: (f(x + h * unit) - f(x - h * unit)) / (2 * h))


def _one_side(h):
    return lambda f, x: _for_each(x, lambda unit: (f(x + h * unit) - f(x)) / h)


def _single(h):
    def slope(f, x, step):
        up, down = (x + step).astype(np.float32), (x - step).astype(np.float32)
        return (f(up) - f(down)) / np.float32(2 * h)

    return lambda f, x: _for_each(x, lambda unit: slope(f, x, h * unit))


SMALL_STEPS = [10.0**-k for k in range(8, 17)]
LARGE_STEPS = [0.5, *(10.0**-k for k in range(1, 4))]

MISTAKES = (
    Mistake(
        "All differences are 0: is it the same array that is moved up and down? y = x is no copy; x.copy() is.",
        WITNESS,
        lambda f, x: np.zeros(x.shape),
    ),
    Mistake(
        "It is twice what it should be: from x - h to x + h the way is 2h long.",
        WITNESS,
        lambda f, x: 2 * exact(f, x),
    ),
    *(
        Mistake(
            "You step to one side only, (f(x + h) - f(x)) / h: its error is as large as h. Step to both sides.",
            STEP,
            _one_side(sign * h),
        )
        for h in (*LARGE_STEPS, 1e-5, 1e-6, *SMALL_STEPS)
        for sign in (1, -1)
    ),
    *(
        Mistake(f"The step h = {h:g} is too large: the function bends on the way.", STEP, _central(h))
        for h in LARGE_STEPS
    ),
    *(
        Mistake(
            f"The step h = {h:g} is too small: the difference of two numbers of 16 digits has few digits left.",
            STEP,
            _central(h),
        )
        for h in SMALL_STEPS
    ),
    *(
        Mistake(
            "It is computed in float32, in which differences keep only a few digits: use float64.",
            STEP,
            _single(h),
        )
        for h in (*LARGE_STEPS, 1e-5, 1e-6)
    ),
)


def sum_of_cubes(x):
    return (x**3).sum()


def sum_of_sines(x):
    return np.sin(x).sum()


def product_of_neighbours(x):
    """With sines, so that no difference is exact."""
    return (np.sin(x.ravel()[1:]) * x.ravel()[:-1]).sum() + np.exp(x.ravel()[0])


numerical_gradient = Exercise(
    name="numerical_gradient",
    lesson=3,
    reference=exact,
    cases=arguments(
        f=st.sampled_from((sum_of_cubes, sum_of_sines, product_of_neighbours)),
        x=st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple).flatmap(simple),
    ),
    returns=("gradient",),
    mistakes=MISTAKES,
    hints=(
        "For each index of x (np.ndindex(x.shape)): copy x, add h there; copy x, take h away there.",
        "gradient[index] = (f(up) - f(down)) / (2 * h), and h between 1e-6 and 1e-4.",
    ),
    source=differences,
    rtol=1e-8,
)
