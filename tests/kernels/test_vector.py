"""The vector type: each operation on all lanes, at any place in an array."""

import os
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.jit import kernel
from minifcn.kernels.vector import (
    LANES,
    clear,
    copy,
    fma,
    load,
    load_part,
    splat,
    store,
    store_part,
)

seeds = st.integers(0, 2**32 - 1)
offsets = st.integers(0, 20)


@kernel
def move(x, i, y, j):
    store(y, j, load(x, i))


@kernel
def combine(a, b, c, total, difference, product, fused, scaled):
    x, y, z = load(a, 0), load(b, 0), load(c, 0)
    store(total, 0, x + y)
    store(difference, 0, x - y)
    store(product, 0, x * y)
    store(fused, 0, fma(x, y, z))
    store(scaled, 0, splat(a[1]) * y)


def test_a_register_holds_a_power_of_two():
    assert LANES in (4, 8, 16)


@given(i=offsets, j=offsets)
def test_load_and_store_move_lanes_to_any_place(i, j):
    x, y = np.arange(LANES + 20, dtype=np.float32), np.full(LANES + 20, -1, np.float32)
    move(x, i, y, j)
    expected = np.full(LANES + 20, -1)
    expected[j : j + LANES] = np.arange(i, i + LANES)
    np.testing.assert_array_equal(y, expected)


@given(seed=seeds)
def test_arithmetic(seed):
    a, b, c = np.random.default_rng(seed).standard_normal((3, LANES), np.float32)
    total, difference, product, fused, scaled = out = np.full((5, LANES), 77, np.float32)
    combine(a, b, c, *out)
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(difference, a - b)
    np.testing.assert_array_equal(product, a * b)
    np.testing.assert_array_equal(scaled, a[1] * b)
    exact = a.astype(np.float64) * b + c  # a float64 holds the product of two float32
    np.testing.assert_allclose(fused, exact, rtol=1e-7, atol=1e-12)


def test_fma_rounds_once():
    """(1 + e)² - (1 + 2 e) = e²: lost if the product is rounded before the sum."""
    e = np.float32(2.0**-12)
    a = np.full(LANES, 1 + e)
    out = np.empty((5, LANES), np.float32)
    combine(a, a, -(1 + 2 * e) * np.ones(LANES, np.float32), *out)
    assert np.all(a * a - (1 + 2 * e) == 0)
    np.testing.assert_array_equal(out[3], np.full(LANES, e * e))


@given(count=st.integers(0, 3 * LANES + 1), i=offsets, j=offsets)
def test_copy_and_clear_change_so_many_numbers(count, i, j):
    x = np.arange(count + 20, dtype=np.float32)
    for run, written in ((copy, x[i : i + count]), (clear, 0)):
        y = np.full(count + 20, -1, np.float32)
        run(count, *((x, i) if run is copy else ()), y, j)
        expected = np.full(count + 20, -1, np.float32)
        expected[j : j + count] = written
        np.testing.assert_array_equal(y, expected)


@kernel
def move_part(x, i, y, j, count):
    store_part(y, j, load_part(x, i, count), count)


@given(count=st.integers(0, LANES), i=offsets, j=offsets)
def test_a_part_of_a_vector_leaves_alone_what_lies_behind_it(count, i, j):
    x, y = np.arange(i + count, dtype=np.float32), np.full(j + LANES + 3, -1, np.float32)
    expected = y.copy()
    expected[j : j + count] = x[i:]
    move_part(x, i, y, j, count)
    np.testing.assert_array_equal(y, expected)


SCRIPT = """
import sys
import numpy as np
from minifcn.kernels.jit import CHECKED, kernel
from minifcn.kernels.vector import LANES, load, load_part, store, store_part

@kernel
def copy(x, i, y, j):
    store(y, j, load(x, i))

@kernel
def copy_three(x, i, y, j):
    store_part(y, j, load_part(x, i, 3), 3)

assert CHECKED
x, y = np.zeros(LANES + 4, np.float32), np.zeros(LANES + 8, np.float32)
copy(x, 0, y, 0)
copy(x, 4, y, 8)
for i, j in ((5, 0), (-1, 0), (0, 9), (0, -1)):
    try:
        copy(x, i, y, j)
    except IndexError as error:
        print(i, j, error)
copy_three(x, LANES + 1, y, LANES + 5)
for i, j in ((LANES + 2, 0), (0, LANES + 6)):
    try:
        copy_three(x, i, y, j)
    except IndexError as error:
        print(error)
"""


def test_the_checked_mode_finds_an_access_outside_an_array(tmp_path):
    script = tmp_path / "outside.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "5 0 a vector load reaches outside its array",
        "-1 0 a vector load reaches outside its array",
        "0 9 a vector store reaches outside its array",
        "0 -1 a vector store reaches outside its array",
        "a part of a vector that is loaded reaches outside its array",
        "a part of a vector that is stored reaches outside its array",
    ]
