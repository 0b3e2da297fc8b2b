"""Pipelined XOR, learnt online by RTRL (Williams & Zipser 1989, section 3).

Two random bits come in at every step; unit 0 is to give their exclusive or τ steps later. Nothing
says when a pair belongs together: the net must find its own pipeline of τ stages.

    python examples/pipelined_xor.py [--seeds 50] [--plot FILE.png] [--quick]
"""

from __future__ import annotations

from pathlib import Path

import experiments as lab
import numpy as np

import derive

# Units, τ, steps, and what an independent implementation reports: solved of 50 seeds, and the
# median step at which the net is first without error.
CASES = (
    (3, 2, 40_000, "44/50"),
    (4, 2, 40_000, "50/50, 5,000"),
    (6, 3, 60_000, "50/50"),
)


def streams(rng: np.random.Generator, steps: int, tau: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits x (steps, 2) and the target (steps, 1) of unit 0.

    ``target[t]`` is for the output of time t + 1, the one computed from ``x[t]``, so it is the
    exclusive or of the bits of time t + 1 − τ. A unit hears the bits with one step of delay and
    two layers are needed, so τ = 2 is the shortest there can be. Bits before time 0 are zero.
    """
    x = rng.integers(0, 2, (steps, 2)).astype(float)
    target = np.zeros((steps, 1))
    heard = x[: steps + 1 - tau]
    target[tau - 1 :, 0] = heard[:, 0] != heard[:, 1]
    return x, target


def run(kernel: derive.Kernel, seed: int, tau: int, steps: int) -> lab.Run:
    """One seed: first weights and bits are drawn from it."""
    rng = np.random.default_rng(seed)
    theta = lab.random_weights(kernel.net, rng)
    return lab.learn(kernel, theta, *streams(rng, steps, tau))


@lab.options
def main(seeds: int, plot: Path | None, quick: bool) -> None:
    """Pipelined XOR by RTRL: how many seeds learn it, and how soon."""
    seeds = 3 if quick else seeds
    rows, curves = [], {}
    for n, tau, steps, independent in CASES:
        title = f"{n} units, τ = {tau}"
        kernel = derive.compile(lab.network("pipelined_xor.toml", n), algorithm="rtrl")
        runs = [run(kernel, seed, tau, steps) for seed in lab.each_seed(title, seeds)]
        left = [lab.wrong(r)[-lab.STRETCH :].mean() for r in runs if not r.solved]
        rows.append((
            f"{title}, {steps:,} steps",
            f"{sum(r.solved for r in runs)}/{seeds}",
            independent,
            lab.spread(r.first_error_free for r in runs),
            f"{np.median(left):.0%}" if left else "–",
            f"{sum(r.seconds for r in runs):.0f} s",
        ))  # fmt: skip
        curves[title] = [lab.wrong(r) for r in runs]
    header = ("task", "solved", "independent", "error-free at", "wrong if unsolved", "time")
    lab.show("pipelined XOR, RTRL, η = 1, an update at every step", header, rows)
    if plot is not None:
        picture = lab.figure(8, 4)
        lab.learning_curves(picture.subplots(), curves, 12_000)
        picture.savefig(plot)


if __name__ == "__main__":
    main()
