"""Four algorithms on the pipelined XOR: steps, updates and work until it is learnt.

All have η = 1, the same first weights and the same bits. They differ in how often they move the
weights (RTRL and BPTT(h) at every step, BPTT(h; h′) every h′, the hybrid every h steps, by the
gradient of all errors since) and in what a step costs. Work is the time of the compiled kernel
alone; a loop in Python adds some microseconds a step, the same for all.

    python examples/compare_algorithms.py [--seeds 50] [--plot FILE.png] [--quick]
"""

from __future__ import annotations

import time
from pathlib import Path

import experiments as lab
import numpy as np
from pipelined_xor import run, streams

import derive

UNITS, TAU, STEPS = 4, 2, 40_000

# Title, algorithm, its options, steps between updates.
ALGORITHMS = (
    ("RTRL", "rtrl", {}, 1),
    ("BPTT(9)", "truncated", {"h": 9}, 1),
    ("BPTT(16; 8)", "truncated", {"h": 16, "h_prime": 8}, 8),
    ("hybrid, h = 16", "hybrid", {"h": 16}, 16),
)


def seconds_per_step(kernel: derive.Kernel, steps: int = 8000, calls: int = 15) -> float:
    """Time of the compiled kernel, without Python: the fastest of some long calls.

    ``gradient`` of an online algorithm does for a sequence what its steps do.
    """
    rng = np.random.default_rng(0)
    x, target = streams(rng, steps, TAU)
    theta = rng.uniform(-0.5, 0.5, kernel.net.size)
    taken = []
    for _ in range(calls):
        started = time.perf_counter()
        kernel.gradient(theta, x, target)
        taken.append(time.perf_counter() - started)
    return min(taken) / steps


@lab.options
def main(seeds: int, plot: Path | None, quick: bool) -> None:
    """RTRL, BPTT(9), BPTT(16; 8) and the hybrid on the pipelined XOR, at equal work."""
    seeds = 3 if quick else seeds
    net = lab.network("pipelined_xor.toml", UNITS)
    rows, curves, milliseconds = [], {}, {}
    for title, algorithm, given, every in ALGORITHMS:
        kernel = derive.compile(net, algorithm=algorithm, **given)
        runs = [run(kernel, seed, TAU, STEPS) for seed in lab.each_seed(title, seeds)]
        work = seconds_per_step(kernel)
        looped = sum(r.seconds for r in runs) / seeds / STEPS
        reached = np.array([f for r in runs if (f := r.first_error_free) is not None])
        rows.append((
            title,
            f"{sum(r.solved for r in runs)}/{seeds}",
            lab.spread(reached),
            lab.spread(reached / every),
            f"{work * 1e9:.0f} ns",
            lab.spread(reached * work * 1e3, ".2f"),
            lab.spread(reached * looped * 1e3, ".0f"),
        ))  # fmt: skip
        curves[title] = [lab.wrong(r) for r in runs]
        milliseconds[title] = reached * work * 1e3
    header = (
        "algorithm", "solved", "steps to criterion", "updates to criterion", "kernel, a step",
        "kernel, ms to criterion", "with the loop in Python, ms",
    )  # fmt: skip
    lab.show(f"pipelined XOR, {UNITS} units, τ = {TAU}, η = 1", header, rows)
    if plot is not None:
        draw(plot, curves, milliseconds, seeds)


def draw(plot: Path, curves: dict, milliseconds: dict, seeds: int) -> None:
    """Errors by steps on the left, seeds that have learnt by work on the right."""
    picture = lab.figure(10, 4)
    by_step, by_work = picture.subplots(1, 2)
    lab.learning_curves(by_step, curves, 8000)
    lab.tidy(by_work, "time of the compiled kernel, ms", "share of seeds that have learnt")
    for (title, spent), colour in zip(milliseconds.items(), lab.COLOURS, strict=False):
        share = np.arange(len(spent) + 1) / seeds
        at = np.concatenate([[0], np.sort(spent)])
        by_work.step(at, share, where="post", color=colour, label=title)
    by_work.set_ylim(0, 1.02)
    by_work.set_xlim(0)
    by_work.legend(frameon=False, loc="lower right")
    picture.savefig(plot)


if __name__ == "__main__":
    main()
