"""Compile the kernels of a run by two processes, before its first step.

The first step on a machine compiles some thirty kernels. One Python process compiles them one by one, however
many processors there are. So two processes do: one goes through the layers from the first to the last, the other
from the last to the first. What one has compiled the other finds on the disk. In the middle they meet.

Then both end. That matters too: where the compiler has been at work, arrays lie scattered between what it has left
behind, and every later step in that process takes a fifth longer.
"""

import gc
import os
import subprocess
import sys

import numpy as np

from minifcn.geometry import IMAGE
from minifcn.kernels import jit
from minifcn.kernels.finite import all_finite
from minifcn.kernels.recording import fill_in
from minifcn.kernels.team import run_again
from minifcn.network import Run
from minifcn.training import Training

FORWARDS, BACKWARDS = "forwards", "backwards"


def precompile(run: Training) -> None:
    """Compile what `run` needs, unless it has no folder or kernels have been compiled on this machine before.

    Neither the run nor its folder changes. If a process fails, the run itself compiles what is missing, or says
    what is wrong.
    """
    if run.out is None or jit.CHECKED or jit.get_threads() == 1 or jit.compiled_before():
        return
    jit.say_compiling()
    command = [sys.executable, "-m", "minifcn.precompile", os.fspath(run.out)]
    workers = [
        subprocess.Popen([*command, way], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for way in (FORWARDS, BACKWARDS)
    ]
    try:
        for worker in workers:
            worker.wait()
    finally:
        for worker in workers:
            worker.kill()  # if we were interrupted


def work(run: Training, way: str) -> None:
    """What a step and an evaluation call, on made-up numbers of the right shapes."""
    images, labels = run.batch()
    shapes = run.net.shapes(images.shape)
    runs = run.net.runs
    if way == FORWARDS:
        for layer in runs:
            _forward_and_backward(layer, shapes)
        all_finite(images)
        run.segmenter.labels(run.validation[0][0])
    else:
        grads = {name: np.zeros_like(array) for name, array in run.net.trainable.items()}
        run.optimizer.step(grads, lr=0)
        run_again(np.empty((0, 2), np.int64), threads=1)
        fill_in(images, images.copy(), "the images")
        run.training_step.loss(np.zeros(shapes[run.net.output], np.float32), labels)
        for layer in reversed(runs):
            _forward_and_backward(layer, shapes)


def _forward_and_backward(layer: Run, shapes: dict[str, tuple[int, ...]]) -> None:
    inputs = [np.zeros(shapes[name], np.float32) for name in layer.reads]
    y, cache = layer.forward(*inputs, train=True, rng=np.random.default_rng(0))
    layer.backward(y, y, cache, ("parameters",) if IMAGE in layer.reads else ("input", "parameters"))


if __name__ == "__main__":
    folder, way = sys.argv[1:]
    gc.disable()  # it would go through the compiler's objects, millions of them, again and again
    jit.set_threads(1)  # the other processor is the other process's
    work(Training.resume(folder), way)
