"""The three tables in Markdown, from what was measured."""

from typing import Any

from benchmarks import pages
from benchmarks.versus_torch.measure import Record, fastest
from benchmarks.versus_torch.rows import OURS
from benchmarks.versus_torch.timing import Timing

NONE = "–"


def summary(record: Record, machine: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of a row, as numbers: the ratio is the fastest peer's time over ours."""
    ours = Timing(**record["times"][OURS])
    peer, peer_time = fastest(record["times"])
    flops = 2 * record["multiply_adds"] / ours.median
    bandwidth = max(machine["copy_bandwidth"], machine["copy_bandwidth_1"])  # one thread may do it all
    return {
        "ours_ms": 1e3 * ours.median,
        "peer": peer,
        "peer_ms": 1e3 * peer_time.median,
        "ratio": peer_time.median / ours.median,
        "gflops": flops / 1e9,
        "share_of_peak": flops / machine["fma_peak"],
        "share_of_bandwidth": record["bytes"] / ours.median / bandwidth,
    }


def main_table(records: list[Record], machine: dict[str, Any]) -> str:
    """A line a row. A row that failed says why instead."""
    titles = (
        "row", "ours, ms", "PyTorch, ms", "its best", "other peers, ms", "ratio", "must", "aim",
        "alone: ours, PyTorch, ms", "GFLOP/s", "of FMA peak", "of copying", "peak MB: ours, peers",
    )  # fmt: skip
    rows = []
    for record in records:
        if "error" in record:
            rows.append([record["name"], f"**FAILED**: {record['error']}", *[""] * 11])
            continue
        s, times, wishes = summary(record, machine), record["times"], (record["must"], record["aim"])
        torch = fastest(times, "torch", "torch.compile")
        others = [f"{name} {milliseconds(Timing(**times[name]))}" for name in _other_peers(times)]
        rows.append(
            [
                record["name"],
                milliseconds(Timing(**times[OURS])),
                milliseconds(torch[1]) if torch else NONE,
                torch[0] if torch else NONE,
                ", ".join(others) or NONE,
                _judged(s["ratio"], *wishes),
                *(NONE if wish is None else f"{wish}" for wish in wishes),
                _alone(record.get("alone", {})),
                f"{s['gflops']:.0f}" if record["multiply_adds"] else NONE,
                f"{100 * s['share_of_peak']:.0f} %" if record["multiply_adds"] else NONE,
                f"{100 * s['share_of_bandwidth']:.0f} %",
                _memory(record.get("memory", {})),
            ]
        )
    return pages.table(titles, rows)


def short_table(records: list[Record], machine: dict[str, Any]) -> str:
    """The rows of whole networks, for the README."""
    rows = []
    for record in records:
        if "error" not in record and record["name"].startswith(("train", "inference", "VGG16", "U-Net")):
            s = summary(record, machine)
            cells = _short(s["ours_ms"]), _short(s["peer_ms"]), s["peer"], f"{s['ratio']:.2f}"
            rows.append([record["name"], *cells])
    return pages.table(["", "ours, ms", "the fastest peer, ms", "", "ratio"], rows)


def all_contestants(records: list[Record]) -> str:
    """Every contestant's median of every row, the fastest first."""
    rows = []
    for record in records:
        if "error" not in record:
            medians = sorted((timing["median"], name) for name, timing in record["times"].items())
            cells = [f"{name} {_short(1e3 * median)}" for median, name in medians]
            cells += [f"{name}: {reason}" for name, reason in record["failures"].items()]
            rows.append([record["name"], ", ".join(cells)])
    return pages.table(["row", "milliseconds"], rows)


def verdict(records: list[Record], machine: dict[str, Any]) -> str:
    """How many of the rows with a wish reach it, and which do not."""
    judged = [(r, r["must"], r["aim"]) for r in records if r.get("must") is not None]
    ratios = [0.0 if "error" in r else summary(r, machine)["ratio"] for r, _, _ in judged]
    reached = sum(ratio >= must for ratio, (_, must, _) in zip(ratios, judged))
    aims = sum(ratio >= aim for ratio, (_, _, aim) in zip(ratios, judged))
    missed = [
        f"{r['name']} ({ratio:.2f} of {must})" for ratio, (r, must, _) in zip(ratios, judged) if ratio < must
    ]
    text = f"Must reached in {reached} of {len(judged)} rows, aim in {aims}."
    return text + (f" Below must: {', '.join(missed)}." if missed else "")


def scaling_table(points: list[Record]) -> str:
    """Nanoseconds a pixel, ours and PyTorch's, one column for each kind and number of threads."""
    columns = sorted({(not p["train"], -p["threads"]) for p in points})
    titles = [f"{'inference' if i else 'train'}, {-t} thread{'s' * (t != -1)}" for i, t in columns]
    rows = []
    at = {(p["batch"], p["size"], not p["train"], -p["threads"]): p for p in points}
    for N, size in dict.fromkeys((p["batch"], p["size"]) for p in points):
        cells = [at.get((N, size, *column)) for column in columns]
        texts = [
            f"{c['ours']:.0f}, {c['torch']:.0f} ({c['torch'] / c['ours']:.2f})" if c else NONE for c in cells
        ]
        rows.append([N, f"{size}²", *texts])
    return pages.table(["batch", "size", *titles], rows)


def growth(points: list[Record], first: tuple[int, int], last: tuple[int, int]) -> str:
    """How many times as long `last`, a batch and a size, takes as `first`; nothing if either was not measured."""
    most = max(p["threads"] for p in points)
    at = {(p["batch"], p["size"]): p for p in points if p["train"] and p["threads"] == most}
    if not {first, last} <= at.keys():
        return ""
    pixels = [N * size**2 for N, size in (first, last)]
    ours, torch = (pixels[1] * at[last][side] / (pixels[0] * at[first][side]) for side in ("ours", "torch"))
    names = [f"{N}x{size}x{size}" for N, size in (first, last)]
    return (
        f"Training on {names[1]} has {pixels[1] // pixels[0]} times the pixels of {names[0]} and takes "
        f"{ours:.1f} times as long; PyTorch {torch:.1f} times."
    )


def history_table(record: Record) -> str:
    """The eras, the slowest first, and how many times as long as today they take."""
    today, torch = record["times"][OURS]["median"], fastest(record["times"], "torch")
    eras = {
        name.removeprefix("history "): t for name, t in record["times"].items() if name.startswith("history")
    }
    rows = []
    for name, timing in [*eras.items(), ("today", record["times"][OURS]), (torch[0], torch[1]._asdict())]:
        median = timing["median"]
        gflops = 2 * record["multiply_adds"] / median / 1e9
        rows.append([name, milliseconds(Timing(**timing)), f"{median / today:.1f}", f"{gflops:.1f}"])
    return pages.table(["convolutions", "ms a step", "times today's", "GFLOP/s"], rows)


def milliseconds(timing: Timing) -> str:
    """The median and the quartiles around it."""
    return f"{_short(1e3 * timing.median)} ({_short(1e3 * timing.low)}–{_short(1e3 * timing.high)})"


def _short(number):
    """Three digits."""
    digits = 3 if number < 1 else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{digits}f}"


def _judged(ratio, must, aim):
    """In bold where the aim is reached, with a mark where it is less than it must be."""
    if must is not None and ratio < must:
        return f"{ratio:.2f} ↓"
    return f"**{ratio:.2f}**" if aim is not None and ratio >= aim else f"{ratio:.2f}"


def _other_peers(times):
    return [name for name in times if name.split(" ")[0] not in (OURS, "torch", "torch.compile")]


def _alone(times):
    found = fastest(times, OURS), fastest(times, "torch")
    return ", ".join(_short(1e3 * f[1].median) if f else NONE for f in found) if times else NONE


def _memory(peaks):
    """Of each side's variants the smallest."""
    sides: dict[str, int] = {}
    for name, peak in peaks.items():
        side = name.split(" ")[0]
        sides[side] = min(peak, sides.get(side, peak))
    return ", ".join(f"{side} {peak / 2**20:.0f}" for side, peak in sides.items()) or NONE


def document(result: dict[str, Any]) -> str:
    """All that was measured, as a page."""
    machine, records = result["machine"], result["rows"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    parts = [INTRODUCTION.format(**machine, packages=versions)]
    parts[0] += (
        f"FMA peak {machine['fma_peak'] / 1e9:.0f} GFLOP/s (one thread {machine['fma_peak_1'] / 1e9:.0f}), "
        f"copying {machine['copy_bandwidth'] / 1e9:.0f} GB/s read and written (one thread "
        f"{machine['copy_bandwidth_1'] / 1e9:.0f})."
    )
    if records:
        parts += [main_table(records, machine), CAPTION, verdict(records, machine)]
        parts += ["## Everyone", all_contestants(records)]
    if result["scaling"]:
        parts += ["## Time per pixel", SCALING, scaling_table(result["scaling"])]
        parts += [
            growth(result["scaling"], (1, 512), (1, 2048)),
            growth(result["scaling"], (1, 64), (64, 64)),
        ]
    if result["history"]:
        parts += ["## The same step, once and today", HISTORY, history_table(result["history"])]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


INTRODUCTION = """# minifcn beside PyTorch, onnxruntime and numpy-ml

Written by `python -m benchmarks.versus_torch` on {date}: float32, {threads} threads, the load of the machine
{load:.1f} just before. {cpu}, {processors} processors, {lanes} float32 in a register. Python {python}, {packages}.

"""

CAPTION = """The contestants of a row take turns in one process: medians, quartiles in brackets. All computed the
same before they were timed: values to 1e-4, gradients to 1e-3 of the largest. *Ratio*: the fastest peer's time over
ours; bold where it reaches the aim, ↓ where it is below what it must be. *Alone*: the medians of processes in which
nothing else runs. *GFLOP/s* counts two for each multiplication of the direct algorithm, whatever is really done:
Winograd needs as little as a quarter of them and may exceed the peak. *Of copying*: the bytes that the layers read
and write if each array goes to memory and back once, over the bandwidth of copying large arrays; what stays in
caches may exceed it. *Peak MB*: by how much a call raises the memory of a process of its own. f: forward; f+b:
forward and all gradients; `train`: forward, loss, backward and optimiser."""

SCALING = """Small FCN-8s, nanoseconds a pixel: ours, PyTorch's (eager, the better layout; for training on 2048²
only NCHW, as channels_last would take minutes a step), and their ratio in brackets. Equal numbers in a column mean
that the cost grows with the pixels and nothing else."""

HISTORY = """A training step of the small FCN-8s on 8 images of 64x64, with the convolutions of three eras. Plain
loops are the definition, compiled by Numba, on one thread."""
