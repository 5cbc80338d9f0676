"""Two processes compile a run's kernels: all of them, into the cache, once, without touching the run."""

import os
import subprocess
import sys

import pytest

from minifcn import precompile
from minifcn.kernels import jit
from minifcn.settings import Settings
from minifcn.training import Training

FIRST_STEP = """
import sys
from numba.core import event
from minifcn.precompile import precompile
from minifcn.settings import Settings
from minifcn.training import Training

run = Training.start(Settings(toy="shapes", out=sys.argv[1]))
before = {file: file.read_bytes() for file in run.out.iterdir()}
precompile(run)
assert {file: file.read_bytes() for file in run.out.iterdir()} == before
with event.install_recorder("numba:compile") as compiled:
    for _ in range(3):  # as it is, recorded, and from the recording
        run.step()
    run.evaluate()
print([event.data["dispatcher"].py_func.__name__ for _, event in compiled.buffer])
"""


@pytest.mark.slow  # compiles every kernel of a step
@pytest.mark.skipif(jit.CHECKED or (os.cpu_count() or 1) < 2, reason="nothing is compiled ahead")
def test_after_it_the_first_step_compiles_nothing(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", FIRST_STEP, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert done.stderr.count("compiling the kernels") == 1


@pytest.mark.parametrize("reason", ["compiled before", "one thread"])
def test_nothing_is_started_where_nothing_is_to_be_gained(reason, monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "CHECKED", False)
    monkeypatch.setattr(jit, "compiled_before", lambda: reason == "compiled before")
    monkeypatch.setattr(jit, "get_threads", lambda: 1 if reason == "one thread" else 2)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("started a process"))
    precompile.precompile(Training.start(Settings(toy="shapes", out=str(tmp_path / "run"))))


@pytest.mark.parametrize("way", [precompile.FORWARDS, precompile.BACKWARDS])
def test_both_ways_run_every_layer_and_leave_the_run_as_it_was(way, tmp_path):
    run = Training.start(Settings(toy="shapes", out=str(tmp_path / "run")))
    before = {name: array.copy() for name, array in run.net.params.items()}
    called = set()
    for name, (layer, _) in run.net.nodes.items():
        monitor(layer, name, called)
    precompile.work(run, way)
    assert called >= {(name, way) for name in run.net.nodes if runs_alone(run.net, name) for way in "fb"}
    assert run.number == 0
    assert all((run.net.params[name] == before[name]).all() for name in before)


def monitor(layer, name, called):
    def noted(method, letter):
        def call(*arguments, **options):
            called.add((name, letter))
            return method(*arguments, **options)

        return call

    layer.forward, layer.backward = noted(layer.forward, "f"), noted(layer.backward, "b")


def runs_alone(net, name):
    """Rectifiers and poolings of the small FCN-8s run inside the convolutions before them."""
    return type(net.nodes[name].layer).__name__ not in ("ReLU", "MaxPool2d")
