"""A contestant in a process of its own, where no other library's threads and caches disturb it.

`times` and `peak_memory` start such processes; `main` is what they run. A process of PyTorch imports it before
minifcn, so that its threads are as PyTorch sets them, and runs none of our kernels.
"""

import contextlib
import dataclasses
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.versus_torch import ENVIRONMENT

SMALL = (1, 64, 64, 3)  # images to warm up with: kernels compiled and loaded, threads started


def times(side: str, names: list[str], threads: int, effort: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each of the rows named, the times of all contestants of that side, as they are measured."""
    yield from _answers({"side": side, "rows": names, "threads": threads, "effort": list(effort)})


def peak_memory(name: str, contestant: str, threads: int) -> int:
    """The bytes by which two calls raise the high-water mark of the process's memory."""
    side = contestant.split(" ")[0]
    ((_, answer),) = _answers({"side": side, "rows": [name], "threads": threads, "contestant": contestant})
    return answer


def _answers(job):
    command = [sys.executable, "-m", "benchmarks.versus_torch.alone", json.dumps(job)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{job['side']} in a process of its own failed: {' '.join(command)}")


def main() -> None:
    """Do the job on the command line; print an answer, [row, result], a line."""
    job = json.loads(sys.argv[1])
    if job["side"] == "torch":
        import torch

        torch.set_num_threads(job["threads"])

    from benchmarks.versus_torch.catalogue import all_rows
    from benchmarks.versus_torch.timing import Effort
    from minifcn.kernels.jit import set_threads

    set_threads(job["threads"])
    rows = {row.name: row for row in all_rows()}
    for name in job["rows"]:
        if "contestant" in job:
            answer = _measured_memory(rows[name], job["contestant"])
        else:
            answer = _measured_times(rows[name], job["side"], Effort(*job["effort"]))
        print(json.dumps([name, answer]), flush=True)


def _measured_times(row, side, effort):
    from benchmarks.versus_torch.timing import contest

    calls = {c.name: c.prepare().call for c in row.contestants() if c.side == side}
    return {name: timing._asdict() for name, timing in contest(calls, effort).items()}


def _measured_memory(row, name):
    def ready(row):
        (contestant,) = (c for c in row.contestants() if c.name == name)
        return contestant.prepare()

    ready(dataclasses.replace(row, image_shape=SMALL)).call()
    gc.collect()
    big = ready(row)
    before = _status("VmRSS")
    with contextlib.suppress(
        OSError
    ):  # where Linux permits, set the high-water mark back to what is used now
        Path("/proc/self/clear_refs").write_text("5")
    big.call()
    big.call()
    return _status("VmHWM") - before


def _status(field):
    """VmRSS, the memory that the process has now, or VmHWM, the most that it had, in bytes.

    Not getrusage: its ru_maxrss begins with that of the parent, which is large here.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()
