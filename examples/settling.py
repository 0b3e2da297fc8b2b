"""Recurrent backpropagation beside backpropagation through time, for a net that settles.

    python examples/settling.py [--plot settling.png]

Two statements, each with its figures:

1. With one error at the end, epochwise BPTT over L steps tends to the gradient that recurrent
   backpropagation gives at the fixed point, at the rate of the spectral radius of a step's
   Jacobian.
2. A net that begins near its fixed point settles in a few steps. Going back only as many steps
   gives a wrong gradient, however well the net has settled: what is missing is not the way there
   but the terms of the sum over levels.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import derive

SPEC = Path(__file__).with_name("settling.toml")
SEED, RADIUS = 5, 0.507
LEVELS = (1, 2, 3, 5, 10, 20, 40)


def problem() -> tuple[derive.Network, Any, Any, Any, Any]:
    """The net with weights of spectral radius RADIUS at its fixed point, input and targets."""
    net = derive.Network.load(SPEC)
    generator = np.random.default_rng(SEED)
    direction, x = generator.normal(size=net.size), generator.normal(size=net.inputs)
    target = generator.normal(size=2)
    kernel = derive.compile(net)
    low, high = 0.0, 1.0
    for _ in range(60):  # the radius grows with the weights
        middle = (low + high) / 2
        y = kernel.settle(middle * direction, x, target).y
        low, high = (middle, high) if radius(net, middle * direction, y) < RADIUS else (low, middle)
    return net, kernel, low * direction, x, target


def radius(net: derive.Network, theta: Any, y: Any) -> float:
    """The spectral radius of a step's Jacobian at y, by differences of one step."""
    step = derive.compile(net, "epochwise")
    x = np.zeros((1, net.inputs))

    def after(state: Any) -> Any:
        # What the inputs add is the same on both sides: net inputs are linear in them.
        return np.arctanh(np.clip(step.forward(theta, x, state)[1], -1 + 1e-15, 1 - 1e-15))

    n = net.units
    W = np.stack([(after(v) - after(-v)) / 2e-3 for v in 1e-3 * np.eye(n)], axis=1)
    return float(np.abs(np.linalg.eigvals((1 - y**2)[:, None] * W)).max())


def main() -> None:
    """Print both statements' tables, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, default=Path("settling.png"), help="the picture")
    plot = parser.parse_args().plot
    net, kernel, theta, x, target = problem()
    settled = kernel.settle(theta, x, target)
    print(
        f"seed {SEED}; spectral radius {RADIUS}; from 0 the net settles in {settled.steps} steps, "
        f"ε in {settled.steps_back} (changes of {settled.change:.0e} and {settled.change_back:.0e})"
    )
    epochwise = derive.compile(net, "epochwise")

    def error(L: int, start: Any, every_step: bool = False) -> float:
        """How far BPTT over L steps is from the gradient at the fixed point, relative."""
        mask = np.zeros((L, 2))
        mask[:: 1 if every_step else -1] = 1
        mask[:-1] = 1 if every_step else 0
        g = epochwise.gradient(
            theta, np.repeat(x[None], L, 0), np.repeat(target[None], L, 0), mask, start
        )[1]
        return distance(g / L if every_step else g, settled.gradient)

    rows = [(L, error(L, settled.y), error(L, 0 * settled.y)) for L in LEVELS]
    print("\nOne error at the end: relative distance from recurrent backpropagation")
    print(f"{'levels back':>12} {'begun at the fixed point':>26} {'begun at 0':>12}")
    for L, at, zero in rows:
        print(f"{L:>12} {at:>26.1e} {zero:>12.1e}")
    held = {L: error(L, settled.y, every_step=True) for L in (10, 50, 200)}
    print(
        "targets held at every step, gradient/L: "
        + ", ".join(f"L = {L}: {e:.1e}" for L, e in held.items())
    )

    print("\nAs many steps back as the net took to settle (tolerance 1e-3), begun near its rest")
    print(f"{'begun at a distance of':>24} {'steps to settle':>16} {'error of the gradient':>22}")
    near = []
    quick = derive.compile(net, tol=1e-3)
    away = np.random.default_rng(SEED + 1).normal(size=net.units)
    away /= np.abs(away).max()
    for apart in (3e-4, 1e-3, 3e-3, 1e-2, 1e-1):
        begun = settled.y + apart * away
        steps = quick.settle(theta, x, target, y0=begun).steps
        near.append((apart, steps, error(steps, begun)))
        print(f"{apart:>24g} {steps:>16} {near[-1][2]:>22.2f}")
    draw(rows, near, plot)
    print(f"\ndrawn in {plot}")


def distance(a: Any, b: Any) -> float:
    """|a − b|/|b|."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def draw(rows: Any, near: Any, path: Path) -> None:
    """Both statements in one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    levels, at, zero = zip(*rows, strict=True)
    left.semilogy(levels, at, "o-", color="#c8401f", label="begun at the fixed point")
    left.semilogy(levels, zero, "s--", color="#22577a", label="begun at 0")
    left.semilogy(levels, [RADIUS**L for L in levels], ":", color="#888888", label="radiusᴸ")
    left.set(xlabel="levels back, L", ylabel="distance from recurrent backpropagation, relative")
    left.set_title("many levels: the same gradient", fontsize=11)
    right.bar([f"{a:g}" for a, _, _ in near], [e for _, _, e in near], color="#c8401f")
    for i, (_, steps, value) in enumerate(near):
        right.text(
            i, value, f"{steps} step{'s' * (steps > 1)}", ha="center", va="bottom", fontsize=9
        )
    right.set(xlabel="begun at this distance from the fixed point", ylabel="error of the gradient")
    right.set_title("as many levels as steps to settle: a wrong one", fontsize=11)
    left.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")


if __name__ == "__main__":
    main()
