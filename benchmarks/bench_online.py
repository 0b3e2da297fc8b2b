"""What a call of ``online.step`` costs, and how RTRL and the hybrid grow with a full net.

    python benchmarks/bench_online.py [--quick]

Steps within one call, beside JAX, are in the grid. Prints tables and writes results/online.json
(not with --quick).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from derive.bench.pinning import pin

pin(1)  # before NumPy starts its threads

import numpy as np  # noqa: E402
from keep import keep  # noqa: E402

import derive  # noqa: E402
from derive.bench.case import ONLINE, Case  # noqa: E402
from derive.bench.measuring import interleaved, spread  # noqa: E402
from derive.bench.problem import problem_of  # noqa: E402

STEPS = 400
NETS = ((3, 1), (16, 1), (32, 0.1), (64, 0.1), (32, 1))
SCALING = (4, 8, 16, 32, 64)


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, and keep nothing")
    quick = parser.parse_args().quick
    rounds = 3 if quick else 7
    steps = [row for n, density in NETS for row in online_steps(n, density, rounds)]
    grown = scaling(rounds)
    for text in (steps_table(steps), scaling_table(grown)):
        print(text, end="\n\n")
    if not quick:
        path = keep("online", {"steps": steps, "scaling": grown})
        print(f"wrote {path.parent.name}/{path.name}", file=sys.stderr)


def online_steps(n: int, density: float, rounds: int) -> list[dict[str, Any]]:
    """Seconds per call of ``step``, its checks and its new arrays included."""
    cases = [Case("plain", n, density, 1, "float64", what) for what in ONLINE]
    runs = [stepper(case) for case in cases]
    times = interleaved(runs, [1] * len(runs), rounds)
    return [
        {
            "network": f"n = {n}, {100 * density:g} %",
            "algorithm": case.what,
            "seconds": {k: v / STEPS for k, v in asdict(spread(t.wall)).items()},
        }
        for case, t in zip(cases, times, strict=True)
    ]


def stepper(case: Case) -> Callable[[], None]:
    """A run over a sequence, one call of ``step`` each."""
    problem = problem_of(case)
    x, target = (a[np.arange(STEPS) % len(a), :, 0] for a in (problem.x, problem.target))
    online = derive.compile(problem.net, **case.algorithm).start(problem.theta)

    def run() -> None:
        online.reset()
        for t in range(STEPS):
            online.step(x[t], target[t])

    return run


def scaling(rounds: int) -> list[dict[str, Any]]:
    """RTRL and the hybrid of fully connected nets, as they grow; checked against one another."""
    found = []
    for n in SCALING:
        problem = problem_of(Case("plain", n, 1, 1, "float64", "rtrl"))
        x, target = (a[np.arange(4 * n) % len(a), :, 0] for a in (problem.x, problem.target))
        kernels = [
            derive.compile(problem.net, "rtrl"),
            derive.compile(problem.net, "hybrid", h=2 * n),
        ]
        answers = [k.gradient(problem.theta, x, target)[1] for k in kernels]
        if not np.allclose(*answers, rtol=1e-8, atol=1e-10 * np.abs(answers[0]).max()):
            raise SystemExit(f"n = {n}: the hybrid differs from RTRL")
        runs = [partial(k.gradient, problem.theta, x, target) for k in kernels]
        times = interleaved(runs, [3] * len(runs), rounds)
        seconds = [spread(t.wall).median / (4 * n) for t in times]
        states = [int(k.module.STATE) for k in kernels]
        found.append({"n": n, "rtrl": seconds[0], "hybrid": seconds[1], "kept": states})
    return found


def steps_table(rows: list[dict[str, Any]]) -> str:
    """Per call of ``online.step``, checks and all."""
    lines = ["| network | algorithm | µs per `online.step` |", "|---|---|---|"]
    for r in rows:
        median, lower, upper = (1e6 * r["seconds"][k] for k in ("median", "lower", "upper"))
        lines.append(
            f"| {r['network']} | {r['algorithm']} | {median:.2f} ({lower:.2f}–{upper:.2f}) |"
        )
    return "\n".join(lines)


def scaling_table(found: list[dict[str, Any]]) -> str:
    """How RTRL and the hybrid grow with n."""
    lines = ["| n | RTRL, µs per step | hybrid, µs per step | RTRL / hybrid | numbers kept |",
             "|---|---|---|---|---|"]  # fmt: skip
    for r in found:
        rtrl, hybrid = r["rtrl"], r["hybrid"]
        lines.append(
            f"| {r['n']} | {1e6 * rtrl:.2f} | {1e6 * hybrid:.2f} | {rtrl / hybrid:.2f} "
            f"| {r['kept'][0]:,} and {r['kept'][1]:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
