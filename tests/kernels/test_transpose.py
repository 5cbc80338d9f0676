"""Matrices turned on their side, whole and within larger ones."""

import os
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minifcn.kernels.transpose import transpose
from minifcn.kernels.vector import LANES

places = st.integers(0, 20)
sizes = st.integers(0, 2 * LANES + 3)


@given(rows=sizes, columns=sizes, gap=places, i=places, j=places)
def test_transpose(rows, columns, gap, i, j):
    """So many rows and columns, which may lie further apart than they are long; nothing else is written."""
    matrix = np.arange(rows * (columns + gap), dtype=np.float32).reshape(rows, columns + gap)
    x = np.concatenate([np.full(i, -2, np.float32), matrix.ravel()])
    y = np.full(j + columns * (rows + gap), -1, np.float32)
    expected = y.copy()
    expected[j:].reshape(columns, rows + gap)[:, :rows] = matrix[:, :columns].T
    transpose(rows, columns, x, i, columns + gap, y, j, rows + gap)
    np.testing.assert_array_equal(y, expected)


SCRIPT = """
import numpy as np
from minifcn.kernels.transpose import transpose
from minifcn.kernels.vector import LANES

x, y = np.zeros(3 * LANES, np.float32), np.zeros(3 * LANES, np.float32)
transpose(LANES, 3, x, 0, 3, y, 0, LANES)
for at, to in ((1, 0), (-1, 0), (0, 1), (0, -1)):
    try:
        transpose(LANES, 3, x, at, 3, y, to, LANES)
    except IndexError as error:
        print(at, to, error)
"""


def test_the_checked_mode_finds_a_square_outside_its_array(tmp_path):
    script = tmp_path / "outside.py"
    script.write_text(SCRIPT)
    command, environment = [sys.executable, script], os.environ | {"MINIFCN_CHECKED": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    places = [f"{at} {to}" for at, to in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert run.stdout.splitlines() == [
        f"{p} a square that is turned reaches outside its array" for p in places
    ]
