"""A batch shared by two threads against the same batch done by one: how much sooner it is done.

    python benchmarks/bench_threads.py [--quick]

J and dJ/dW must have the same bits, or the run stops. Both run in one process, in turn; times are
the least of all rounds, since two threads show nothing while others have a processor. Prints a
table and writes results/threads.json (not with --quick).
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
from cases import Case
from machine import keep, machine
from measure import interleaved, spread

import derive

UNITS, DENSITIES, DTYPES, BATCHES = (16, 64, 128), (1, 0.1), ("float64", "float32"), (32, 128)
STEPS, SMALL_STEPS = 200, 1000
SMALL = 16  # units up to which sequences are long: a short call ends before a thread is there


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and keep nothing")
    quick = parser.parse_args().quick
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("this machine has one processor: there is nothing to share")
    print("| units | density | T | B | type | 1 thread | 2 threads | ratio |")
    print("|---" * 8 + "|")
    measured = []
    for n in UNITS:
        for density in DENSITIES:
            for dtype in DTYPES:
                for B in BATCHES:
                    steps = SMALL_STEPS if n <= SMALL else STEPS
                    case = Case(f"n{n}", n, 2, density, steps, B, dtype, (n - 1,))
                    measured.append(measure(case, rounds=3 if quick else 21))
                    show(measured[-1])
    if not quick:
        path = keep("threads", {"machine": machine(), "cases": measured})
        print(f"\nwrote {path.parent.name}/{path.name}", file=sys.stderr)


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Both, checked against one another."""
    kernel = derive.compile(case.network, dtype=case.dtype, batch=True)
    generator = np.random.default_rng(0)
    theta = kernel.net.init(0).astype(case.dtype)
    x = generator.normal(size=(case.steps, case.inputs, case.batch)).astype(case.dtype)
    target = generator.normal(size=(case.steps, 1, case.batch)).astype(case.dtype)
    runs = [lambda n=n: kernel.gradient(theta, x, target, threads=n) for n in (1, 2)]
    (J, g), (J2, g2) = (run() for run in runs)
    if J != J2 or g.tobytes() != g2.tobytes():
        raise SystemExit(f"{case}: two threads gave other bits than one")
    alone, shared = (spread(times.wall) for times in interleaved(runs, rounds))
    return {"case": asdict(case), "alone": asdict(alone), "shared": asdict(shared)}


def show(row: dict[str, Any]) -> None:
    """One line of the table."""
    case, alone, shared = row["case"], row["alone"]["least"], row["shared"]["least"]
    density = "full" if case["density"] == 1 else f"{case['density']:.0%}"
    print(
        f"| {case['units']} | {density} | {case['steps']} | {case['batch']} | {case['dtype']} "
        f"| {alone * 1e6:,.0f} µs | {shared * 1e6:,.0f} µs | **{alone / shared:.2f}** |",
        flush=True,
    )


if __name__ == "__main__":
    main()
