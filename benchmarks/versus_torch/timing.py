"""Timing: the contestants take turns in short blocks, so that whatever the machine does, it does to all of them."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Timing(NamedTuple):
    """Seconds a call: the median, the quartiles around it, and how many calls they are of."""

    median: float
    low: float
    high: float
    calls: int


class Effort(NamedTuple):
    """How long to measure: blocks of `block` seconds, `rounds` of them for each contestant.

    After `budget` seconds no further round begins, but there are always `least`.
    """

    block: float = 0.15
    rounds: int = 7
    budget: float = 60.0
    least: int = 3


FULL = Effort()
QUICK = Effort(block=0.03, rounds=3, budget=2.0, least=1)


def contest(calls: Mapping[str, Callable[[], object]], effort: Effort = FULL) -> dict[str, Timing]:
    """Time every call, in turns. Each round begins with another contestant."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    gc.collect()
    gc.freeze()  # collections during the measurement then look at new objects only, not at all that was imported
    began = time.perf_counter()
    try:
        for turn in range(effort.rounds):
            if turn >= effort.least and time.perf_counter() - began > effort.budget:
                break
            first = turn % len(order)
            for name in order[first:] + order[:first]:
                settle()
                seconds[name] += _block(calls[name], effort.block, warm_up=not _slow(seconds[name], effort))
    finally:
        gc.unfreeze()
    return {name: summary(samples) for name, samples in seconds.items()}


def summary(samples: list[float]) -> Timing:
    low, median, high = np.percentile(samples, (25, 50, 75))
    return Timing(float(median), float(low), float(high), len(samples))


def settle(patience: float = 0.5) -> None:
    """Wait until no thread of this process is busy.

    Threads that have nothing to do spin for a while in the hope of work: some milliseconds in OpenMP, fifty in
    onnxruntime. The next contestant must not have to share the processors with them.
    """
    until, used = time.perf_counter() + patience, time.process_time()
    while time.perf_counter() < until:
        time.sleep(0.004)
        before, used = used, time.process_time()
        if used - before < 0.0005:
            return


def _block(call, length, warm_up):
    """Call again and again for `length` seconds, at least once. The first call wakes threads and fills caches."""
    if warm_up:
        call()
    samples = []
    now = time.perf_counter()
    end = now + length
    while now < end:
        before = now
        call()
        now = time.perf_counter()
        samples.append(now - before)
    return samples


def _slow(samples, effort):
    """A call that is longer than a block needs no second one to be warm."""
    return bool(samples) and samples[-1] > effort.block
