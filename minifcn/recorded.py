"""Functions that run kernels, recorded: what is computed again and again on images of one size, without Python.

    scores = Recorded(net)            # as net, but twice as fast on small images
    scores(images), scores(others)    # the first two calls are as usual, and recorded; further ones run the recording

How that works, and what can be recorded, stands in kernels/recording.py. Whatever cannot be is called as it is.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minifcn.kernels import jit
from minifcn.kernels.recording import Recording


class Recorded:
    """`function` of arrays, recorded when it is called a second time in a row with arrays of the same shapes.

    The result is the same object then at every call, and the numbers in its arrays are overwritten by the next one.
    `function` has to compute with the same arrays each time, but for its arguments: their numbers may change (as
    parameters do), not where they lie. Make a new `Recorded` when they do, or when layers are changed.

    >>> from minifcn.models import fcn8s
    >>> net, images = fcn8s(2, rng=0), np.zeros((1, 32, 32, 3), np.float32)
    >>> recorded = Recorded(net)
    >>> all((recorded(image) == net(image)).all() for image in (images, images + 1, images + 2))
    True
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.obstacle = ""  # why the last one that was tried could not be recorded
        self._recording: Recording | None = None
        self._result: Any = None
        self._known: tuple = ()  # what it was last called with
        self._lock = threading.Lock()

    def __call__(self, *inputs: np.ndarray) -> Any:
        if not self._lock.acquire(blocking=False):  # another Python thread is using the recording
            return self.function(*inputs)
        try:
            inputs = tuple(np.ascontiguousarray(x) for x in inputs)
            known = jit.get_threads(), *((x.shape, x.dtype) for x in inputs)
            if known != self._known:
                self._forget()
                self._known = known
                return self.function(*inputs)
            if self._recording is not None:
                self._recording.run(inputs)
                return self._result
            return self.function(*inputs) if self.obstacle else self._record(inputs)
        finally:
            self._lock.release()

    @property
    def is_recorded(self) -> bool:
        """Whether the next call with such arrays will run a recording."""
        return self._recording is not None

    def _record(self, inputs):
        recording = Recording(inputs)
        try:
            with recording:
                result = self.function(*inputs)
        except BaseException:
            recording.release()
            raise
        if isinstance(result, np.ndarray) and any(np.may_share_memory(result, x) for x in inputs):
            recording.obstacle = "the result is an input"
        self.obstacle = recording.obstacle
        if self.obstacle:
            recording.release()
        else:
            self._recording, self._result = recording, result
        return result

    def _forget(self):
        if self._recording is not None:
            self._recording.release()
        self._recording, self._result, self.obstacle = None, None, ""
