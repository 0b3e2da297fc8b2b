"""Both schedules on a series of networks: what the cost model that chooses is fitted to.

    python benchmarks/bench_schedules.py            # measure, keep and fit
    python benchmarks/bench_schedules.py --fit      # only fit again to what was kept

Each network is compiled in both schedules, sparse ones for one sequence also with signals in pages
where this processor has such registers. They are timed in one process, in turn; times are the
least of many rounds. Writes results/schedules.json, and from it alone
derive/program/schedules/coefficients.py: the same results give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from fit_schedules import fitted
from keep import RESULTS, keep

import derive
import derive.kernel
from derive.bench.case import Case
from derive.blocks import MANY, SINGLE, block_for
from derive.build.toolchain import register_bytes
from derive.files import write_whole
from derive.program.algorithms import programs
from derive.program.schedules import model

COEFFICIENTS = Path(model.__file__).with_name("coefficients.py")
SCHEDULES = ("unrolled", "tables", "pages")
NETWORKS = {
    ("plain", 1): (2, 3, 4, 6, 8, 11, 16, 32),
    ("plain", 0.3): (8, 16, 24, 48),
    ("plain", 0.1): (16, 32, 48),
    ("leaky", 1): (2, 5, 11),
    ("leaky", 0.3): (16,),
    ("leaky", 0.1): (8, 16, 32, 48),
    ("lstm", 1): (1, 3, 6),
    ("lstm", 0.3): (8,),
    ("lstm", 0.1): (8, 16),
}
"""Units of each series, from where a straight line is best to where it no longer compiles."""

LONGEST = 400
"""Connections up to which a straight line is compiled, somewhat more than is let through."""

STEPS, ROUNDS = 400, 60


def main() -> None:
    """Measure if asked to, then fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="fit to the kept results")
    if not parser.parse_args().fit:
        with tempfile.TemporaryDirectory(prefix="derive-schedules-") as folder:
            os.environ["DERIVE_CACHE_DIR"] = folder
            print(f"wrote {keep('schedules', {'cases': measured()}).name}", file=sys.stderr)
    found = json.loads((RESULTS / "schedules.json").read_text(encoding="utf-8"))
    write_whole(COEFFICIENTS, fitted(found["cases"]))
    print(f"wrote {COEFFICIENTS.name}", file=sys.stderr)


def measured() -> list[dict[str, Any]]:
    """All networks, each for one sequence and for lanes, in both types."""
    rows = [
        row_of(Case(cell, n, density, batch, dtype, "gradient"))
        for (cell, density), sizes in NETWORKS.items()
        for n in sizes
        for dtype in ("float64", "float32")
        for batch in (1, 64 // np.dtype(dtype).itemsize)
    ]
    asked = [(row["case"], name) for row in rows for name in row["compile"]]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (case, name), seconds in zip(asked, pool.map(built, asked), strict=True):
            next(r for r in rows if r["case"] is case)["compile"][name] = round(seconds, 2)
    for row in rows:
        row["step"] = timed(Case(**row["case"]), tuple(row["compile"]))
        print(json.dumps(row), file=sys.stderr, flush=True)
    return rows


def row_of(case: Case) -> dict[str, Any]:
    """A case, what is counted of it, and the schedules that will be measured."""
    net = case.network()
    fields = ("cell", "units", "density", "batch", "dtype", "what")
    counted = model.counted(net)
    paged = case.batch == 1 and counted["ragged"] and block_for(register_bytes(), 8, False) == MANY
    there = {"unrolled": net.wiring.size <= LONGEST, "tables": True, "pages": paged}
    return {
        "case": {f: getattr(case, f) for f in fields},
        "counted": counted,
        "lines": model.straight_lines(programs(net, {"name": "epochwise"})),
        "compile": {name: 0.0 for name in SCHEDULES if there[name]},
    }


def kernel_of(case: Case, schedule: str) -> derive.Kernel:
    """The kernel of a case in one schedule, compiled or from the cache."""
    batch, asked = case.batch > 1, "tables" if schedule == "pages" else schedule
    narrow = {"block_for": lambda *given: SINGLE} if schedule == "tables" and not batch else {}
    with patch.multiple(derive.kernel, **narrow) if narrow else nullcontext():
        return derive.compile(
            case.network(), dtype=case.dtype, batch=batch, schedule=asked, threads=1
        )


def built(asked: tuple[dict[str, Any], str]) -> float:
    """Seconds of processor time to make a kernel, the compiler's included."""
    case, schedule = asked
    before = sum(os.times()[:4])
    kernel_of(Case(**case), schedule)
    return sum(os.times()[:4]) - before


def timed(case: Case, schedules: tuple[str, ...]) -> dict[str, float]:
    """Nanoseconds a step of each schedule: the least of many rounds, in turn."""
    net = case.network()
    generator = np.random.default_rng(7)
    tail = (case.batch,) if case.batch > 1 else ()
    x = generator.normal(size=(STEPS, net.inputs, *tail)).astype(case.dtype)
    target = np.tanh(generator.normal(size=(STEPS, len(case.targets), *tail))).astype(case.dtype)
    theta = net.init(seed=1).astype(case.dtype)
    kernels = {name: kernel_of(case, name) for name in schedules}
    least = dict.fromkeys(schedules, float("inf"))
    for _ in range(ROUNDS):
        for name, kernel in kernels.items():
            for _ in range(3):  # the first of the three finds the caches as the other left them
                began = time.perf_counter()
                kernel.gradient(theta, x, target)
                least[name] = min(least[name], time.perf_counter() - began)
    return {name: round(seconds / STEPS * 1e9, 1) for name, seconds in least.items()}


if __name__ == "__main__":
    main()
