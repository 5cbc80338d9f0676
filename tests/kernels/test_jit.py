"""How kernels are compiled: cached, announced, and with as many threads as asked."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minifcn.kernels import jit
from minifcn.kernels.jit import get_threads, kernel, prange, set_threads


@kernel
def twice(x, y):
    for i in range(x.size):
        y[i] = 2 * x[i]


@kernel(parallel=True)
def thrice(x, y):
    for i in prange(x.size):
        y[i] = 3 * x[i]


def test_a_kernel_computes_what_it_says():
    x, y = np.arange(1000.0), np.zeros(1000)
    twice(x, y)
    np.testing.assert_array_equal(y, 2 * x)
    thrice(x, y)
    np.testing.assert_array_equal(y, 3 * x)


def test_division_by_zero_is_numpys():
    @kernel
    def divide(a, b):
        return a / b

    assert divide(1.0, 0.0) == np.inf and np.isnan(divide(0.0, 0.0))


def test_threads():
    most, before = jit.numba.config.NUMBA_NUM_THREADS, get_threads()
    try:
        for threads in (1, most):
            set_threads(threads)
            assert get_threads() == threads
        for threads in (0, -1, most + 1):
            with pytest.raises(ValueError, match=f"threads is {threads}; expected 1 to {most}"):
                set_threads(threads)
        assert get_threads() == most
    finally:
        set_threads(before)


# ---------------------------------------------------------------- the cache


def test_the_cache_folder_follows_the_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    (tmp_path / "jit.py").write_text("a = 1")
    (tmp_path / "helper.py").write_text("b = 2")
    first = jit._cache_folder()
    assert os.path.isdir(first) and first.startswith(str(tmp_path / "cache"))
    assert jit._cache_folder() == first
    (tmp_path / "helper.py").write_text("b = 3")
    second = jit._cache_folder()
    monkeypatch.setattr(jit, "CHECKED", not jit.CHECKED)
    third = jit._cache_folder()
    assert len({first, second, third}) == 3


def test_without_a_home_the_cache_is_a_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file, so no folder can be made in it")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "home"))
    monkeypatch.setattr(jit.tempfile, "tempdir", str(tmp_path / "temporary"))
    folder = jit._cache_folder()
    assert os.path.isdir(folder) and folder.startswith(str(tmp_path / "temporary"))


def test_other_peoples_cache_stays_where_it_is(monkeypatch):
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", "theirs")
    dispatcher = kernel(lambda x: x)
    assert jit.numba.config.CACHE_DIR == "theirs"
    assert "minifcn" in dispatcher.stats.cache_path and "theirs" not in dispatcher.stats.cache_path


SCRIPT = """
import numpy as np
from minifcn.kernels.jit import announce_compilation, kernel

announce_compilation()
announce_compilation()

@kernel
def first(x):
    return x + 1

@kernel
def second(x):
    return x + 2

print(first(1.0) + second(2.0))
"""


def test_compilation_is_announced_once_and_only_where_it_happens(tmp_path):
    script = tmp_path / "compiles.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    runs = [
        subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)
        for _ in range(2)
    ]
    assert [run.stdout for run in runs] == ["6.0\n", "6.0\n"]
    assert runs[0].stderr == "compiling the kernels (once; the next run starts at once) …\n"
    assert runs[1].stderr == ""
