"""Functions that run kernels, recorded: what is computed again and again on images of one size, without Python.

    scores = Recorded(net)   # as net, but faster on small images
    scores(images)           # twice as usual, and recorded; from the third time on the recording is run

How that works, and what can be recorded, stands in kernels/recording.py. Whatever cannot be is called as it is.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minifcn.kernels import jit
from minifcn.kernels.recording import Recording, fill_in, unrecorded


def _itself(result):
    return result


class Recorded:
    """`function` of arrays, recorded when it is called a second time in a row with arrays of the same shapes.

    The recording is kept until that happens with other shapes. Only one is, since it keeps all arrays in between.
    It is for the Python thread that made it; in others `function` is called as it is.

    The result is the same object then at every call, and the numbers in its arrays are overwritten by the next.
    `then` makes of it what is returned, before another Python thread can call.

    `function` is a network, or made of layers: what NumPy computes in it is not seen. It has to compute with the
    same arrays each time, but for its arguments: their numbers may change (as parameters do), not where they lie.
    Make a new `Recorded` when they do, or when layers are changed.

    >>> from minifcn.models import fcn8s
    >>> net, images = fcn8s(2, rng=0), np.zeros((1, 32, 32, 3), np.float32)
    >>> recorded = Recorded(net)
    >>> all((recorded(image) == net(image)).all() for image in (images, images + 1, images + 2))
    True
    """

    def __init__(self, function: Callable[..., Any], then: Callable[[Any], Any] = _itself):
        self.function, self.then = function, then
        self.obstacle = ""  # why the last one that was tried could not be recorded
        self._recording: Recording | None = None
        self._inputs: list[np.ndarray] = []  # where it reads them
        self._result: Any = None
        self._recorded: tuple = ()  # the threads, shapes and types that were tried
        self._last: tuple = ()  # and those of the last call
        self._thread = 0  # the Python thread that recorded, whose scratch memory the kernels use
        self._lock = threading.Lock()

    def __call__(self, *inputs: np.ndarray) -> Any:
        unrecorded("a recording within it")
        if not self._lock.acquire(blocking=False):  # another Python thread is using the recording
            return self.then(self.function(*inputs))
        try:
            known = jit.get_threads(), *((x.shape, x.dtype) for x in inputs)
            again, self._last = known == self._last, known
            here = threading.get_ident() == self._thread
            if self._recording is not None and known == self._recorded and here:
                for place, x in zip(self._inputs, inputs):
                    fill_in(place, x, "an input")
                self._recording.run()
                result = self._result
            elif again and known != self._recorded:
                result = self._record(inputs, known)
            else:
                result = self.function(*inputs)
            return self.then(result)
        finally:
            self._lock.release()

    def __reduce__(self) -> tuple:
        """A copy has no recording yet."""
        return Recorded, (self.function, self.then)

    @property
    def is_recorded(self) -> bool:
        """Whether there is a recording."""
        return self._recording is not None

    def _record(self, inputs, known):
        self._recording, self._result, self._recorded = None, None, ()
        self._inputs, recording = [x.copy() for x in inputs], Recording()
        with recording:
            result = self.function(*self._inputs)
        self._recorded, self._thread, self.obstacle = known, threading.get_ident(), recording.obstacle
        if not self.obstacle:
            self._recording, self._result = recording, result
        return result
