"""Exact and truncated online gradients, per time step, against sensitivities in a JAX scan.

    python benchmarks/bench_online.py [--quick]

Every gradient that is exact is checked against JAX's before anything is timed. Prints tables and
writes results/online.json (not with --quick).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from processor import one_processor

one_processor()  # before NumPy and JAX start their threads

import numpy as np  # noqa: E402
from bench_gradient import ratios  # noqa: E402
from cases import Case, problem_of  # noqa: E402
from machine import keep, machine  # noqa: E402
from measure import interleaved, spread  # noqa: E402
from peers import Contender, Problem, jax_sensitivities  # noqa: E402

import derive  # noqa: E402

CASES = (
    Case("wz3x5", 3, 2, 1, 1000, None, "float64", (2,)),
    Case("dense16", 16, 4, 1, 400, None, "float64", (14, 15)),
    Case("sparse32", 32, 4, 0.1, 400, None, "float64", (30, 31)),
    Case("sparse64", 64, 4, 0.05, 400, None, "float64", (62, 63)),
    Case("dense32", 32, 4, 1, 200, None, "float64", (30, 31)),
)
EXACT = ("rtrl", "hybrid", "realtime")
TOLERANCE = 1e-9
SCALING = (4, 8, 16, 32, 64)


def algorithms(n: int) -> dict[str, dict[str, Any]]:
    """What is timed: windows in proportion to n, as the hybrid's order of growth supposes."""
    return {
        "rtrl": {"algorithm": "rtrl"},
        f"hybrid, h = {2 * n}": {"algorithm": "hybrid", "h": 2 * n},
        f"BPTT({n})": {"algorithm": "truncated", "h": n},
        f"BPTT({2 * n}; {n})": {"algorithm": "truncated", "h": 2 * n, "h_prime": n},
    }


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds, and keep nothing")
    quick = parser.parse_args().quick
    rounds = 5 if quick else 21
    results = [measure(case, rounds) for case in CASES]
    for text in (table(results), steps_table(results), scaling_table(scaling(rounds))):
        print(text, end="\n\n")
    if not quick:
        path = keep("online", {"machine": machine(), "cases": results})
        print(f"wrote {path.parent.name}/{path.name}", file=sys.stderr)


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Check, then time all algorithms of a case beside JAX."""
    net, problem = case.network, problem_of(case, case.network)
    theta, x, target = given(net, problem)
    peer = jax_sensitivities(problem)
    wanted = peer.read(peer.run())
    contenders, kept, per_step = {}, {}, {}
    for name, options in algorithms(case.units).items():
        kernel = derive.compile(net, **options)
        if options["algorithm"] in EXACT:
            check(name, kernel.gradient(theta, x, target), wanted, net)
        contenders[name] = caller(kernel.gradient, theta, x, target)
        kept[name] = int(kernel.module.STATE)
        online = kernel.start(theta)
        per_step[name] = stepper(online, x, target)
    times = interleaved([*contenders.values(), peer.run], rounds)
    *own, jax = times
    steps = interleaved(list(per_step.values()), max(rounds // 4, 3))
    return {
        "network": asdict(case),
        "connections": net.wiring.size,
        "seconds_per_step": {
            name: {k: v / case.steps for k, v in asdict(spread(t.wall)).items()}
            for name, t in zip([*contenders, peer.name], times, strict=True)
        },
        "ratio": {
            name: asdict(spread(ratios(jax, t, "wall")))
            for name, t in zip(contenders, own, strict=True)
        },
        "numbers_kept": kept,
        "seconds_per_online_step": {
            name: {k: v / case.steps for k, v in asdict(spread(t.wall)).items()}
            for name, t in zip(per_step, steps, strict=True)
        },
    }


def given(net: derive.Network, problem: Problem) -> tuple[Any, Any, Any]:
    """theta, x and target of one sequence."""
    w = net.wiring
    theta = np.ascontiguousarray(problem.weights[w.target, w.source])
    return theta, *(np.ascontiguousarray(a[..., 0]) for a in (problem.x, problem.target))


def caller(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call without arguments."""
    return lambda: function(*arguments)


def stepper(online: Any, x: Any, target: Any) -> Callable[[], None]:
    """A run over the sequence, one call of ``step`` each."""

    def run() -> None:
        online.reset()
        for t in range(len(x)):
            online.step(x[t], target[t])

    return run


def check(name: str, answer: Any, wanted: Any, net: derive.Network) -> None:
    """Stop when a gradient is not JAX's."""
    w = net.wiring
    difference = np.abs(answer[1] - wanted[1][w.target, w.source]).max() / np.abs(wanted[1]).max()
    difference = max(difference, abs(answer[0] / wanted[0] - 1))
    if not difference <= TOLERANCE:
        raise SystemExit(f"{name} of {net.name} differs from JAX by {difference:.1e}")


def scaling(rounds: int) -> list[dict[str, Any]]:
    """RTRL and the hybrid of fully connected nets, as they grow."""
    found = []
    for n in SCALING:
        case = Case(f"dense{n}", n, 2, 1, 4 * n, None, "float64", (n - 1,))
        net = case.network
        arguments = given(net, problem_of(case, net))
        kernels = [derive.compile(net, "rtrl"), derive.compile(net, "hybrid", h=2 * n)]
        answers = [k.gradient(*arguments)[1] for k in kernels]
        if not np.allclose(*answers, rtol=1e-8, atol=1e-10 * np.abs(answers[0]).max()):
            raise SystemExit(f"the hybrid of {net.name} differs from RTRL")
        times = interleaved([caller(k.gradient, *arguments) for k in kernels], max(rounds // 3, 3))
        seconds = [spread(t.wall).median / case.steps for t in times]
        states = [int(k.module.STATE) for k in kernels]
        found.append({"n": n, "rtrl": seconds[0], "hybrid": seconds[1], "kept": states})
    return found


def table(results: list[dict[str, Any]]) -> str:
    """Per step within one call over the sequence, and how much longer JAX takes."""
    lines = ["| network | algorithm | µs per step | JAX RTRL | JAX / derive | numbers kept |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for r in results:
        name, seconds = r["network"]["name"], r["seconds_per_step"]
        jax = next(v for k, v in seconds.items() if k.startswith("JAX"))
        for algorithm, ratio in r["ratio"].items():
            lines.append(
                f"| {name}, {r['connections']} connections | {algorithm} "
                f"| {micro(seconds[algorithm])} | {micro(jax)} | **{ratio['median']:.2f}** "
                f"({ratio['lower']:.2f}–{ratio['upper']:.2f}) "
                f"| {r['numbers_kept'][algorithm]:,} |"
            )
    return "\n".join(lines)


def steps_table(results: list[dict[str, Any]]) -> str:
    """Per call of ``online.step``, checks and all."""
    lines = ["| network | algorithm | µs per `online.step` |", "|---|---|---|"]
    for r in results:
        for algorithm, seconds in r["seconds_per_online_step"].items():
            lines.append(f"| {r['network']['name']} | {algorithm} | {micro(seconds)} |")
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


def micro(seconds: dict[str, float]) -> str:
    """A median in µs, with its quartiles."""
    median, lower, upper = (1e6 * seconds[k] for k in ("median", "lower", "upper"))
    return f"{median:.2f} ({lower:.2f}–{upper:.2f})"


__all__ = ["Contender", "measure"]


if __name__ == "__main__":
    main()
