"""One epochwise gradient, against JAX, PyTorch and a NumPy loop, on one processor.

    python benchmarks/bench_gradient.py [--quick]

Each contender's J and dJ/dW are checked against derive's before anything is timed. Prints a table
and writes results/gradient.json (not with --quick).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from processor import one_processor

one_processor()  # before NumPy, JAX and PyTorch start their threads

import numpy as np  # noqa: E402
from cases import CASES, Case, derive_kernel, problem_of  # noqa: E402
from machine import keep, machine  # noqa: E402
from measure import Times, interleaved, spread  # noqa: E402
from peers import Answer, Contender, Problem, jax_scan, numpy_loop, torch_rnn  # noqa: E402

# Relative to the largest entry: float32 sums of some thousand terms differ by their order.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds, and keep nothing")
    quick = parser.parse_args().quick
    print("| network | T | B | type | derive | best peer | peer / derive | of processor time |")
    print("|---|---|---|---|---|---|---|---|")
    results = []
    for case in CASES:
        results.append(measure(case, rounds=5 if quick else 21))
        print(row(results[-1]), flush=True)
    print("\nall medians, in µs:\n")
    for result in results:
        print(f"{title(result)}: {others(result)}")
    if not quick:
        path = keep("gradient", {"machine": machine(), "cases": results})
        print(f"\nwrote {path.parent.name}/{path.name}", file=sys.stderr)


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Check, then time all contenders of a case."""
    net = case.network
    problem = problem_of(case, net)
    contenders = [derive_kernel(case, net, problem), *peers_of(problem)]
    worst = check(contenders, problem)
    times = interleaved([c.run for c in contenders], rounds)
    own, *theirs = times
    best = min(range(len(theirs)), key=lambda i: spread(theirs[i].wall).median)
    return {
        "network": asdict(case),
        "connections": net.wiring.size,
        "rounds": rounds,
        "worst_difference": worst,
        "seconds": {c.name: asdict(spread(t.wall)) for c, t in zip(contenders, times, strict=True)},
        "processor_seconds": {
            c.name: asdict(spread(t.processor)) for c, t in zip(contenders, times, strict=True)
        },
        "derive": contenders[0].name,
        "best_peer": contenders[1 + best].name,
        "ratio": asdict(spread(ratios(theirs[best], own, "wall"))),
        "processor_ratio": asdict(spread(ratios(theirs[best], own, "processor"))),
    }


def peers_of(problem: Problem) -> list[Contender]:
    """All that derive is compared with."""
    return [
        jax_scan(problem, unroll=1),
        jax_scan(problem, unroll=8),
        torch_rnn(problem),
        numpy_loop(problem),
    ]


def check(contenders: list[Contender], problem: Problem) -> float:
    """The worst relative difference from derive's J and gradient, where connections are.

    Raises
    ------
    SystemExit
        When one computes something else: then its time means nothing.
    """
    connected = problem.weights != 0
    answers = [contender.read(contender.run()) for contender in contenders]
    differences = [_difference(answer, answers[0], connected) for answer in answers]
    tolerance = TOLERANCE[problem.weights.dtype.name]
    for contender, difference in zip(contenders, differences, strict=True):
        if not difference <= tolerance:
            raise SystemExit(
                f"{contender.name}: differs from derive by {difference:.1e}, "
                f"more than {tolerance:.0e}"
            )
    return max(differences)


def _difference(answer: Answer, other: Answer, connected: Any) -> float:
    J, gradient = answer
    J0, gradient0 = other
    worst = np.abs(gradient - gradient0)[connected].max() / np.abs(gradient0).max()
    return float(max(worst, abs(J / J0 - 1)))


def ratios(peer: Times, own: Times, clock: str) -> list[float]:
    """Peer over derive, round by round: both saw the same machine."""
    pairs = zip(getattr(peer, clock), getattr(own, clock), strict=True)
    return [a / b for a, b in pairs]


def title(result: dict[str, Any]) -> str:
    """``wz3x5, T = 1000, B = 8, float64``."""
    net = result["network"]
    return f"{net['name']}, T = {net['steps']}, B = {net['batch'] or 1}, {net['dtype']}"


def row(result: dict[str, Any]) -> str:
    """A line of the table."""
    net, seconds = result["network"], result["seconds"]
    own, best = seconds[result["derive"]], seconds[result["best_peer"]]
    wall, processor = result["ratio"], result["processor_ratio"]
    kind = f"{net['name']}: n = {net['units']}, {result['connections']} connections"
    return (
        f"| {kind} | {net['steps']} | {net['batch'] or 1} | {net['dtype']} "
        f"| {micro(own)} | {result['best_peer']}: {micro(best)} "
        f"| **{wall['median']:.2f}** ({wall['lower']:.2f}–{wall['upper']:.2f}) "
        f"| {processor['median']:.2f} |"
    )


def micro(spread_: dict[str, float]) -> str:
    """A median in µs, with its quartiles."""
    median, lower, upper = (1e6 * spread_[k] for k in ("median", "lower", "upper"))
    return f"{median:,.0f} µs ({lower:,.0f}–{upper:,.0f})"


def others(result: dict[str, Any]) -> str:
    """The medians of all contenders."""
    return ", ".join(f"{k} {1e6 * v['median']:,.0f}" for k, v in result["seconds"].items())


if __name__ == "__main__":
    main()
