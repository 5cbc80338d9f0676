"""How kernels are compiled and launched: cached, announced, and on one pool of as many threads as asked."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from minifcn.kernels import jit
from minifcn.kernels.jit import entry, get_threads, kernel, set_threads
from minifcn.kernels.team import share, team


@kernel
def twice(x, y):
    for i in range(x.size):
        y[i] = 2 * x[i]


@team
def thrice(thread, threads, x, y):
    begin, end = share(x.size, thread, threads)
    for i in range(begin, end):
        y[i] = 3 * x[i]


def test_a_kernel_computes_what_it_says():
    x, y = np.arange(1000.0), np.zeros(1000)
    twice(x, y)
    np.testing.assert_array_equal(y, 2 * x)
    thrice(x, y)
    np.testing.assert_array_equal(y, 3 * x)


def test_a_kernel_is_called_by_kernels_and_by_python():
    @kernel
    def half(x):
        return x / 2

    @entry
    def quarter(x):
        return half(half(x))

    assert quarter(8.0) == 2 and half(8.0) == 4 and quarter(4.0) == 1


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
    monkeypatch.setattr(jit.numba.config, "CPU_NAME", "another")
    fourth = jit._cache_folder()
    monkeypatch.setattr(jit.numba.config, "CPU_FEATURES", "+another")
    assert len({first, second, third, fourth, jit._cache_folder()}) == 5


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
from minifcn.kernels.jit import announce_compilation, entry

announce_compilation()
announce_compilation()

@entry
def first(x):
    return x + 1

@entry
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


# ---------------------------------------------------------------- the pool

WORK = """
import numpy as np
from minifcn.kernels.team import share, team

@team
def sums(thread, threads, x, out):
    begin, end = share(len(out), thread, threads)
    for i in range(begin, end):
        s = 0.0
        for j in range(x.shape[1]):
            s += x[i, j]
        out[i] = s

def work():
    x, out = np.random.default_rng(0).standard_normal((100, 1000)), np.empty(100)
    sums(x, out)
    return out.tobytes()
"""


@pytest.fixture(scope="module")
def run_script(tmp_path_factory):
    """Run a script that can import WORK, compiled once for all of them: (return code, stdout, stderr).

    Of what Numba is asked for by the environment, only what the test gives reaches it.
    """
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "work.py").write_text(WORK)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "MINIFCN_"))}
    clean["NUMBA_CACHE_DIR"] = str(folder / "cache")

    def run(text, **environment):
        script = folder / "script.py"
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, env=clean | environment, timeout=300
        )
        return done.returncode, done.stdout, done.stderr

    return run


PYTHON_THREADS = """
from concurrent.futures import ThreadPoolExecutor
import numba
from minifcn import get_threads, set_threads
from work import work

expected = work()
for threads in (2, 1, 2):
    set_threads(threads)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(200)]:
            assert done.result() == expected
        # Numba's own number, in a thread that has launched a kernel
        assert pool.submit(lambda: (work(), numba.get_num_threads())[1]).result() == threads
    assert get_threads() == threads
print("the same bits")
"""

two_processors = pytest.mark.skipif(jit.numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")


@two_processors
def test_several_python_threads_get_the_same_bits_and_our_number_of_threads(run_script):
    assert run_script(PYTHON_THREADS)[:2] == (0, "the same bits\n")


@two_processors
def test_workqueue_is_right_from_several_python_threads_and_said_once(run_script):
    code, out, err = run_script(PYTHON_THREADS, NUMBA_THREADING_LAYER="workqueue")
    assert (code, out) == (0, "the same bits\n")
    assert err.startswith("threads: Numba uses its workqueue here; ") and err.count("\n") == 1


def test_a_spawned_process_has_a_pool_of_its_own(run_script):
    script = """
from multiprocessing import get_context
from work import work

if __name__ == "__main__":
    expected = work()
    with get_context("spawn").Pool(2) as pool:
        assert pool.starmap(work, [()] * 4) == [expected] * 4
    print("the same bits")
"""
    assert run_script(script)[:2] == (0, "the same bits\n")


FORK = """
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from minifcn import set_threads
from work import work

warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, for a fork while other threads run

def in_child():
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        try:
            return pool.submit(work).result()
        except RuntimeError as error:
            return type(error).__name__ + ": " + str(error)
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


@needs_fork
def test_a_process_forked_before_the_first_kernel_has_a_pool_of_its_own(run_script):
    script = FORK + "set_threads(1)\nassert in_child() == work()\nprint('the same bits')"
    assert run_script(script)[:2] == (0, "the same bits\n")


@needs_fork
@pytest.mark.parametrize("layer", ["default", "workqueue"])
@pytest.mark.parametrize("first", ["work()", "import numba; numba.get_num_threads()"])
def test_a_process_forked_after_the_first_kernel_says_so(first, layer, run_script):
    script = FORK + first + "\nfor _ in range(2):\n    print(in_child())\nwork()"
    code, out, err = run_script(script, NUMBA_THREADING_LAYER=layer)
    assert code == 0 and "Terminating" not in err
    for line in out.splitlines():
        assert line.startswith("RuntimeError: this process was forked from one whose kernels had already run")
    assert len(out.splitlines()) == 2


@needs_fork
def test_a_fork_while_another_thread_runs_kernels(run_script):
    script = """
import os, threading
from minifcn.kernels.jit import get_threads
from work import work

expected, go_on = work(), True

def keep_working():
    while go_on:
        assert work() == expected

thread = threading.Thread(target=keep_working)
thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        try:
            work()
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
go_on = False
thread.join()
print("twenty errors")
"""
    code, out, _ = run_script(script)
    assert (code, out) == (0, "twenty errors\n")


# ---------------------------------------------------------------- other processors, and the checked mode


@pytest.mark.parametrize(("variable", "value"), [("MINIFCN_CHECKED", "1"), ("NUMBA_BOUNDSCHECK", "1")])
def test_the_checked_mode_finds_an_index_outside_an_array(variable, value, run_script):
    script = """
import numpy as np
from work import sums

sums(np.zeros((3, 2)), np.zeros(3))
try:
    sums(np.zeros((2, 2)), np.zeros(3))
except IndexError as error:
    print(error)
"""
    assert run_script(script, **{variable: value})[:2] == (0, "index is out of bounds\n")


@pytest.mark.parametrize("off", ["", "0"])
def test_the_checked_mode_is_off_unless_asked_for(off, run_script):
    script = "from minifcn.kernels.jit import CHECKED\nprint(CHECKED)"
    assert run_script(script, MINIFCN_CHECKED=off, NUMBA_BOUNDSCHECK="0")[:2] == (0, "False\n")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")
@pytest.mark.parametrize(
    ("environment", "lanes"),
    [
        ({"NUMBA_CPU_NAME": "nehalem"}, 4),
        ({"NUMBA_CPU_NAME": "generic"}, 4),
        ({"NUMBA_CPU_NAME": "haswell"}, 8),
        ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx2,+fma"}, 8),
        ({"NUMBA_CPU_NAME": "skylake-avx512"}, 16),
        ({"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": "-avx512f"}, 8),
    ],
)
def test_the_width_of_a_vector_follows_the_processor_that_is_emulated(environment, lanes, run_script):
    script = "from minifcn.kernels.vector import LANES\nprint(LANES)"
    assert run_script(script, **environment)[:2] == (0, f"{lanes}\n")
