"""The second table: time per pixel. It must not depend on how many pixels there are, nor on even or odd sizes."""

import gc
from typing import Any

from benchmarks.versus_torch.measure import fastest, measured
from benchmarks.versus_torch.networks import NetworkRow, small_fcn8s
from benchmarks.versus_torch.rows import OURS
from benchmarks.versus_torch.timing import Effort

# (batch, size)
SIZES = ((1, 64), (1, 128), (1, 256), (1, 512), (1, 1024), (1, 2048))
BATCHES = ((1, 64), (4, 64), (16, 64), (64, 64))
ODD = ((1, 64), (1, 65), (1, 224), (1, 225), (1, 512), (1, 513))
CHECKED = 512**2  # pixels; beyond, the copies to compare would be gigabytes
# Here PyTorch in channels_last needs minutes a step: for the weights' gradient of the last upsampling oneDNN takes
# its reference implementation, plain loops (`ref:any` with ONEDNN_VERBOSE=all; at 1536x1536 it is still a GEMM).
TOO_SLOW = 2048**2
EFFORT = Effort(block=0.1, rounds=5, budget=8.0, least=2)


class ScalingRow(NetworkRow):
    """Ours, and PyTorch's in its two layouts, eager and with the fused optimiser."""

    def contestants(self):
        N, H, W, _ = self.image_shape
        left_out = ["foreach"] + ["channels_last"] * (self.train and N * H * W >= TOO_SLOW)
        return [c for c in super().contestants() if not any(word in c.variant for word in left_out)]


def shapes(largest: int) -> list[tuple[int, int]]:
    """All of them, each once, up to `largest` pixels in a batch; the small ones first."""
    found = {*SIZES, *BATCHES, *ODD}
    return sorted((s for s in found if s[0] * s[1] ** 2 <= largest), key=lambda s: (s[0] * s[1] ** 2, s))


def scaling_point(N: int, size: int, train: bool, threads: int, effort: Effort = EFFORT) -> dict[str, Any]:
    """Nanoseconds a pixel on `threads` threads: ours, and those of PyTorch (eager) in its better layout."""
    import torch

    from minifcn.kernels.jit import get_threads, set_threads

    before = get_threads(), torch.get_num_threads()
    set_threads(threads)
    torch.set_num_threads(threads)
    try:
        row = ScalingRow("", small_fcn8s, (N, size, size, 3), train)
        times = measured(row, (OURS, "torch"), effort, check=N * size * size <= CHECKED)["times"]
    finally:
        set_threads(before[0])
        torch.set_num_threads(before[1])
        gc.collect()
    pixel = 1e9 / (N * size * size)
    peer, peer_time = fastest(times)
    return {
        "batch": N,
        "size": size,
        "train": train,
        "threads": threads,
        "ours": times[OURS]["median"] * pixel,
        "torch": peer_time.median * pixel,
        "peer": peer,
        "times": times,
    }
