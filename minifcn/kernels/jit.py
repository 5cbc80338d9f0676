"""How kernels are compiled: one decorator, one cache, one pool of threads.

`@kernel` compiles a function with Numba the first time it is called and keeps the machine code on disk, so
that only the first run on a machine waits. `prange` splits a loop over the threads.
"""

import contextlib
import functools
import getpass
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba
from numba import prange
from numba.core import event

from minifcn.errors import InputError

__all__ = ["CHECKED", "announce_compilation", "get_threads", "kernel", "prange", "set_threads"]

# The checked mode raises on every access outside an array, also of the vector instructions. It is for tests.
CHECKED = bool(numba.config.BOUNDSCHECK)

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
    digest = hashlib.sha256(repr((numba.__version__, CHECKED)).encode())
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


@contextlib.contextmanager
def _caching_here():
    """Numba reads its cache folder when it decorates; other people's functions keep theirs."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _CACHE_FOLDER
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def kernel(function: Callable | None = None, *, parallel: bool = False) -> Callable:
    """Compile `function`. With `parallel=True` its `prange` loops are shared out to the threads.

    In checked mode nothing runs in parallel: an exception raised in a worker thread would be lost.
    """
    if function is None:
        return lambda function: kernel(function, parallel=parallel)
    with _caching_here():
        return numba.njit(cache=True, nogil=True, error_model="numpy", parallel=parallel and not CHECKED)(
            function
        )


class _Announcer(event.Listener):
    said = False

    def on_start(self, event):
        if not self.said:
            print("compiling the kernels (once; the next run starts at once) …", file=sys.stderr, flush=True)
            self.said = True

    def on_end(self, event):
        pass


@functools.cache
def announce_compilation() -> None:
    """From now on, say so when a kernel has to be compiled: it takes seconds, and only the first time."""
    event.register("numba:compile", _Announcer())


def set_threads(threads: int) -> None:
    """Use this many threads in every kernel; results are the same bits for the same number of threads.

    Raises InputError if `threads` is not between 1 and the number of processors.
    """
    most = numba.config.NUMBA_NUM_THREADS
    if not 1 <= threads <= most:
        raise InputError(f"threads is {threads}; expected 1 to {most}, the processors of this machine")
    numba.set_num_threads(threads)


def get_threads() -> int:
    """The number of threads that kernels use."""
    return numba.get_num_threads()
