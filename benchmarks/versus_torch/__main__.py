"""python -m benchmarks.versus_torch [--json FILE] [--markdown FILE] [--only NAME ...] [--quick] [--no-compile]"""

import argparse
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

try:
    import torch  # before minifcn, which asks OpenMP for something else than PyTorch is used to
except ImportError:
    sys.exit("PyTorch is missing; get it and the other peers with: pip install -e '.[bench]'")

from benchmarks import pages
from benchmarks.versus_torch import alone, catalogue, machine, report
from benchmarks.versus_torch.history import HistoryRow
from benchmarks.versus_torch.measure import measured
from benchmarks.versus_torch.networks import small_fcn8s
from benchmarks.versus_torch.rows import OURS, Row
from benchmarks.versus_torch.scaling import EFFORT as SCALING_EFFORT
from benchmarks.versus_torch.scaling import scaling_point, shapes
from benchmarks.versus_torch.timing import FULL, QUICK, Effort
from minifcn.files import replacing
from minifcn.kernels.jit import set_threads

THREADS = 2
SECTIONS = ("scaling", "history")


def main() -> None:
    options = arguments()
    set_threads(THREADS)
    torch.set_num_threads(THREADS)
    effort = QUICK if options.quick else FULL
    rows = [row for row in catalogue.all_rows() if wanted(row.name, options)]
    facts = measured_machine(options.quick)
    result: dict[str, Any] = {"machine": facts, "rows": [], "scaling": [], "history": None}
    began = time.perf_counter()

    for row in rows:
        result["rows"].append(measured_row(row, options, effort, facts))
        write(result, options)
    failed = [record["name"] for record in result["rows"] if "error" in record]
    whole = [record for record in result["rows"] if "error" not in record]
    for section, needed, measure in (
        (
            "alone",
            not options.quick,
            lambda: in_own_processes(whole, {row.name: row for row in rows}, effort),
        ),
        ("scaling", wanted("scaling", options), lambda: measured_scaling(result["scaling"], options)),
        ("history", wanted("history", options), lambda: result.update(history=measured_history(effort))),
    ):
        if needed:
            try:
                measure()
            except Exception as error:  # the rest is still worth measuring
                say(f"FAILED {section}: {type(error).__name__}: {error}")
                failed.append(section)
            write(result, options)

    if options.readme:
        table = report.short_table(result["rows"], facts)
        pages.put(Path("README.md"), "python -m benchmarks.versus_torch", table)
    print("\n" + report.document(result))
    places = [str(path) for path in (options.json, options.markdown) if path]
    print(
        f"{(time.perf_counter() - began) / 60:.1f} minutes; results in: {', '.join(places) or 'this text only'}"
    )
    if failed:
        sys.exit(f"FAILED: {', '.join(failed)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.versus_torch", description="minifcn beside its peers"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--readme", action="store_true", help="put the short table into README.md")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help=f"only the rows with one of these texts in their names, and of the tables {', '.join(SECTIONS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="rough numbers in minutes; without VGG16 and compile"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()
    names = [*(row.name for row in catalogue.all_rows()), *SECTIONS]
    for text in options.only or []:
        if not any(text.lower() in name.lower() for name in names):
            parser.error(f"no row has {text!r} in its name; there are: {', '.join(names)}")
    return options


def wanted(name: str, options: argparse.Namespace) -> bool:
    if options.only:
        return any(text.lower() in name.lower() for text in options.only)
    return not (options.quick and name.startswith("VGG16"))


def measured_machine(quick: bool) -> dict[str, Any]:
    facts = machine.description() | {"threads": THREADS}
    for suffix, threads in (("", THREADS), ("_1", 1)):
        facts["fma_peak" + suffix] = machine.fma_peak(threads, repeats=50 if quick else 300)
        facts["copy_bandwidth" + suffix] = machine.copy_bandwidth(threads, repeats=3 if quick else 20)
    say(f"{facts['cpu']}: {facts['fma_peak'] / 1e9:.0f} GFLOP/s, {facts['copy_bandwidth'] / 1e9:.0f} GB/s")
    return facts


def measured_row(row: Row, options, effort: Effort, facts: dict[str, Any]) -> dict[str, Any]:
    """The record of a row; of one that fails, loudly, the error."""
    sides = {OURS, "torch", "onnxruntime", "numpy-ml"}
    if not (options.quick or options.no_compile):
        sides.add("torch.compile")
    try:
        record = measured(row, sides, effort)
    except Exception as error:  # the other rows are still worth measuring
        say(f"FAILED {row.name}: {type(error).__name__}: {error}")
        return {
            "name": row.name,
            "must": row.must,
            "aim": row.aim,
            "error": f"{type(error).__name__}: {error}",
        }
    finally:
        torch._dynamo.reset()  # what was compiled for this row
        gc.collect()
    s = record["summary"] = report.summary(record, facts)
    wish = "" if row.must is None else f", must {row.must}, aim {row.aim}"
    say(
        f"{row.name}: ours {s['ours_ms']:.3f} ms, {s['peer']} {s['peer_ms']:.3f}, ratio {s['ratio']:.2f}{wish}"
    )
    for name, reason in record["failures"].items():
        say(f"  {name} does not work: {reason}")
    return record


def in_own_processes(records: list[dict[str, Any]], rows: dict[str, Row], effort: Effort) -> None:
    """Add to the records the times of PyTorch and of ours alone, and the peaks of memory."""
    by_name = {record["name"]: record for record in records}
    for side in ("torch", OURS):
        for name, times in alone.times(side, list(by_name), THREADS, effort):
            by_name[name].setdefault("alone", {}).update(times)
            say(f"{name}: {side} alone " + ", ".join(f"{1e3 * t['median']:.3f} ms" for t in times.values()))
    for name, record in by_name.items():
        if rows[name].memory:
            record["memory"] = {}
            for contestant in record["times"]:
                if not contestant.startswith("torch.compile"):
                    record["memory"][contestant] = alone.peak_memory(name, contestant, THREADS)
                    say(f"{name}: {contestant} {record['memory'][contestant] / 2**20:.0f} MB")


def measured_scaling(points: list[dict[str, Any]], options) -> None:
    largest, effort = (256**2, QUICK) if options.quick else (2048**2, SCALING_EFFORT)
    for N, size in shapes(largest):
        for train in (True, False):
            for threads in (THREADS, 1):
                p = scaling_point(N, size, train, threads, effort)
                points.append(p)
                kind = "train" if train else "inference"
                say(
                    f"{kind} {N}x{size}x{size}, threads {threads}: ours {p['ours']:.0f} ns a pixel, "
                    f"{p['peer']} {p['torch']:.0f}"
                )


def measured_history(effort: Effort) -> dict[str, Any]:
    row = HistoryRow("history", small_fcn8s, (8, 64, 64, 3), train=True)
    record = measured(row, (OURS, "torch", "history"), effort)
    say(", ".join(f"{name} {1e3 * t['median']:.1f} ms" for name, t in record["times"].items()))
    return record


def write(result: dict[str, Any], options) -> None:
    """After every row: a long run that is cut short leaves what it has."""
    for path, text in (
        (options.json, lambda: json.dumps(result, indent=1, ensure_ascii=False) + "\n"),
        (options.markdown, lambda: report.document(result)),
    ):
        if path:
            with replacing(path) as file:
                file.write(text().encode())


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
