"""The machine: what it is, and its ceilings, which no program can break through.

Arithmetic: the most multiply-adds a second, from chains of them that need nothing but registers. Memory: the
most bytes a second, from copying arrays that no cache can hold.
"""

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from minifcn.kernels.jit import get_threads, set_threads
from minifcn.kernels.team import team
from minifcn.kernels.vector import LANES, fma, load, store

CHAINS = 12  # independent ones: an fma takes 4 cycles and 2 can start in each
COPIED = 256 << 20  # bytes


@team
def _chains(thread, threads, values, steps, sums):
    """s ← s a + b in every lane of CHAINS vectors, `steps` times.

    Nothing of it is known at compile time, and no two chains are equal: the compiler would leave out the work.
    """
    V = LANES
    a, b = load(values, 0), load(values, V)
    s0, s1, s2 = load(values, 2 * V), load(values, 3 * V), load(values, 4 * V)
    s3, s4, s5 = load(values, 5 * V), load(values, 6 * V), load(values, 7 * V)
    s6, s7, s8 = load(values, 8 * V), load(values, 9 * V), load(values, 10 * V)
    s9, s10, s11 = load(values, 11 * V), load(values, 12 * V), load(values, 13 * V)
    for _ in range(steps):
        s0, s1, s2 = fma(s0, a, b), fma(s1, a, b), fma(s2, a, b)
        s3, s4, s5 = fma(s3, a, b), fma(s4, a, b), fma(s5, a, b)
        s6, s7, s8 = fma(s6, a, b), fma(s7, a, b), fma(s8, a, b)
        s9, s10, s11 = fma(s9, a, b), fma(s10, a, b), fma(s11, a, b)
    total = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11
    store(sums, thread * LANES, total)


def fma_peak(threads: int, steps: int = 400_000, repeats: int = 300) -> float:
    """The most float32 operations a second; a multiply-add is two.

    The best of many millisecond-long runs: in one of them nothing else wants the processors.
    """
    values = np.random.default_rng(0).uniform(0.4, 0.6, (2 + CHAINS) * LANES).astype(np.float32)
    sums = np.empty(threads * LANES, np.float32)
    before = get_threads()
    set_threads(threads)
    try:
        seconds = _best(lambda: _chains(values, steps, sums), repeats)
    finally:
        set_threads(before)
    return 2 * LANES * CHAINS * steps * threads / seconds


def copy_bandwidth(threads: int, size: int = COPIED, repeats: int = 20) -> float:
    """The most bytes a second, those read and those written together. NumPy's copying is the system's own."""
    source, target = np.ones(size // 8), np.ones(size // 8)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads)))
    with ThreadPoolExecutor(threads) as pool:
        return 2 * size / _best(lambda: list(pool.map(lambda pair: np.copyto(*pair), parts)), repeats)


def _best(call, repeats):
    call()  # compiles, or wakes the threads
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def description() -> dict[str, object]:
    """What a reader must know to judge the numbers."""
    versions = {}
    for package in ("minifcn", "numpy", "numba", "torch", "onnxruntime", "numpy-ml"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "cpu": _cpu_model(),
        "processors": os.cpu_count(),
        "lanes": LANES,
        "python": platform.python_version(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "load": os.getloadavg()[0],  # programs that ran beside, just before
    }


def _cpu_model():
    """Its name and, as virtual machines hide that, its family and model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    facts = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    return f"{facts.get('model name')} (family {facts.get('cpu family')}, model {facts.get('model')})"
