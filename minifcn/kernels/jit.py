"""How kernels are compiled: one decorator, one cache, one pool of threads.

`@kernel` compiles a function with Numba the first time it is called and keeps the machine code on disk, so
that only the first run on a machine waits. `@team` (team.py) makes one of them run on all threads.

One pool: whatever Python thread calls, one parallel kernel runs at a time, on `get_threads()` threads, and gives
the same bits everywhere. The pool does not survive a fork: in a process forked after the first parallel kernel,
the next one raises RuntimeError. A process that was spawned, or forked before, has a pool of its own.

Environment variables, read when this file is imported:

    MINIFCN_CHECKED=1 (or NUMBA_BOUNDSCHECK=1)   every access is checked, nothing runs in parallel: for tests
    NUMBA_CPU_NAME=haswell                       compile for that processor, with AVX2; nehalem has only SSE
    NUMBA_THREADING_LAYER=workqueue              Numba's own threads, as where there is no OpenMP: slower
"""

import contextlib
import functools
import gc
import getpass
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numba
from numba import types
from numba.core import event
from numba.core.registry import CPUDispatcher

from minifcn.errors import InputError

__all__ = ["CHECKED", "announce_compilation", "entry", "get_threads", "kernel", "on_the_pool", "set_threads"]

# The checked mode raises on every access outside an array, also of the vector instructions.
if os.environ.get("MINIFCN_CHECKED", "") not in ("", "0"):
    numba.config.BOUNDSCHECK = 1
CHECKED = bool(numba.config.BOUNDSCHECK)

# To the name of another processor Numba would add the features of this one, and so emulate neither.
if numba.config.CPU_NAME is not None and numba.config.CPU_FEATURES is None:
    numba.config.CPU_FEATURES = ""

# A thread that has nothing to do spins for a moment, some 100 µs, and then sleeps. OpenMP's own moment is ten times
# as long: where other programs want the processors too, it spins on the very one that the thread it waits for
# needs. OpenMP reads this when it is loaded, with the first parallel kernel.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

# Launching the OpenMP pool takes a microsecond; Numba's own `workqueue` takes 46 and is not safe to call from
# two Python threads. An explicit wish of the user (NUMBA_THREADING_LAYER) is kept.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


def _cache_folder() -> str:
    """A folder for machine code that belongs to exactly these sources.

    Numba looks only at the file of the function itself and misses a change in a helper from another file.
    The digest of all kernel files in the folder's name makes every such change a fresh start.
    """
    made_for = (numba.__version__, CHECKED, numba.config.CPU_NAME, numba.config.CPU_FEATURES)
    digest = hashlib.sha256(repr(made_for).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    home = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for parent in (Path(home) / "minifcn", Path(tempfile.gettempdir()) / f"minifcn-{getpass.getuser()}"):
        folder = parent / digest.hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            break
    return str(folder)


_CACHE_FOLDER = _cache_folder()


def compiled_before() -> bool:
    """Whether the machine code of any of these kernels is on the disk."""
    return any(Path(_CACHE_FOLDER).glob("*/*.nbi"))


@contextlib.contextmanager
def caching_here():
    """Numba reads its cache folder when it decorates; other people's functions keep theirs.

    What compiles within does so without the garbage collector, which would go through Numba's objects, millions
    of them, again and again.
    """
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _CACHE_FOLDER
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
        if collecting:
            gc.enable()


def kernel(function: Callable) -> Callable:
    """Compile `function`, for other kernels to call.

    What Python needs to call it takes as long to compile as many a kernel. So that is done only when Python does.
    And it counts no references to its arrays: who calls it keeps them. So it cannot make new ones.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    compiled = _compiled(function, cache=True, **options)
    compiled.__class__ = _Kernel
    return compiled


def entry(function: Callable) -> Callable:
    """Compile `function`, for Python to call."""
    return _compiled(function, cache=True, no_cfunc_wrapper=True)


def _compiled(function, **options):
    with caching_here():
        return numba.njit(nogil=True, error_model="numpy", **options)(function)


class _Kernel(CPUDispatcher):
    @functools.cached_property
    def _entry(self):
        """Not kept on disk, where it would be taken for the kernel itself."""
        return _compiled(self.py_func, cache=False)

    def __call__(self, *arguments):
        return self._entry(*arguments)

    def compile(self, signature):
        """With few optimisations: the kernels that call it compile it again, inlined, with all of them."""
        before = numba.config.OPT
        numba.config.OPT = type(before)(1)
        try:
            return super().compile(signature)
        finally:
            numba.config.OPT = before

    def get_call_template(self, arguments, keywords):
        """Numba would compile a kernel anew for each constant that another kernel calls it with. Here a constant
        is a number."""
        return super().get_call_template(tuple(map(types.unliteral, arguments)), keywords)


# ---------------------------------------------------------------- the pool of threads

_threads = numba.config.NUMBA_NUM_THREADS
_one_at_a_time = threading.RLock()
_lost = False  # the pool stayed behind in the process that this one was forked from


class _Here(threading.local):
    """Numba keeps a number of threads for each Python thread. This is what it keeps for the present one."""

    threads = 0


_here = _Here()


def set_threads(threads: int) -> None:
    """Use this many threads in every kernel, whatever Python thread calls it.

    Results are the same bits for the same number of threads. Raises InputError if `threads` is not between 1
    and the number of processors.
    """
    global _threads
    most = numba.config.NUMBA_NUM_THREADS
    if not 1 <= threads <= most:
        raise InputError(f"threads is {threads}; expected 1 to {most}, the processors of this machine")
    _threads = int(threads)


def get_threads() -> int:
    """The number of threads that kernels use."""
    return _threads


def on_the_pool(compiled: Callable) -> Callable:
    """`compiled`, which launches threads, alone: Numba's workqueue aborts the process if two Python threads launch
    at once, and under OpenMP each of them has a team of its own, which would fight over the processors."""

    @functools.wraps(compiled, updated=())
    def launch(*arguments):
        with _one_at_a_time:
            if _here.threads != _threads:
                _enter_pool()
            return compiled(*arguments)

    return launch


def _enter_pool() -> None:
    """Make Numba use our number of threads for what this Python thread launches."""
    if _lost:
        raise RuntimeError(
            "this process was forked from one whose kernels had already run, and threads do not survive a fork: "
            'start it with multiprocessing.get_context("spawn"), or fork before the first kernel'
        )
    numba.set_num_threads(_threads)
    if numba.threading_layer() == "workqueue":
        _say_workqueue()
    _here.threads = _threads


@functools.cache
def _say_workqueue() -> None:
    print(
        "threads: Numba uses its workqueue here; results are right, but every kernel takes longer to start. "
        "With OpenMP (libgomp1 on Debian and Ubuntu) or TBB (pip install tbb) it is faster.",
        file=sys.stderr,
        flush=True,
    )


def _forked() -> None:
    """In the child: GNU OpenMP would end it at its next launch, so `_enter_pool` raises an error before that."""
    global _here, _lost
    _one_at_a_time.release()
    _here = _Here()  # every launch comes by `_enter_pool` again
    with contextlib.suppress(ValueError):  # the parent had no pool, nor had another user of Numba in it
        _lost = bool(numba.threading_layer())


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    # Forking waits for the kernel that runs, so that the child never finds one half done.
    os.register_at_fork(
        before=_one_at_a_time.acquire, after_in_parent=_one_at_a_time.release, after_in_child=_forked
    )


# ---------------------------------------------------------------- the announcement


class _Announcer(event.Listener):
    def on_start(self, event):
        say_compiling()

    def on_end(self, event):
        pass


@functools.cache
def say_compiling() -> None:
    print("compiling the kernels (once; the next run starts at once) …", file=sys.stderr, flush=True)


@functools.cache
def announce_compilation() -> None:
    """From now on, say so when a kernel has to be compiled: it takes seconds, and only the first time."""
    event.register("numba:compile", _Announcer())
