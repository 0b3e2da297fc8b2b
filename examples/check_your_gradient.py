"""A gradient written by hand, with a mistake in it, and what `derive.gradcheck` says of it.

    python examples/check_your_gradient.py

The net is that of Williams & Zipser's figure 1 (`wz3x5.toml`). The function below is
backpropagation through time as one writes it in an afternoon. In its first form it carries δ back
with W where Wᵀ belongs; it returns a loss that is minimised, and a mean over steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import derive

SPEC = Path(__file__).with_name("wz3x5.toml")
N, M, OUTPUT = 3, 2, 2


def loss_and_gradient(theta: Any, x: Any, target: Any, right: bool = True) -> tuple[float, Any]:
    """The mean of ½e² over steps, and its gradient by the weights."""
    W, T = theta.reshape(N, N + M), len(x)
    heard, y = [], [np.zeros(N)]
    for t in range(T):
        heard.append(np.concatenate([y[-1], x[t]]))
        y.append(np.tanh(W @ heard[-1]))
    loss, gradient, back = 0.0, np.zeros_like(W), np.zeros(N)
    for t in range(T, 0, -1):
        error = y[t][OUTPUT] - target[t - 1, 0]
        loss += error**2 / 2
        back[OUTPUT] += error
        delta = (1 - y[t] ** 2) * back
        gradient += np.outer(delta, heard[t - 1])
        back = (W[:, :N].T if right else W[:, :N]) @ delta
    return loss / T, gradient.ravel() / T


def transposed(theta: Any, x: Any, target: Any) -> tuple[float, Any]:
    """The same with the mistake."""
    return loss_and_gradient(theta, x, target, right=False)


def main() -> None:
    """Check both forms, with the network and without."""
    net = derive.Network.load(SPEC)
    generator = np.random.default_rng(0)
    theta = generator.normal(0, 0.8, net.size)
    x, target = generator.normal(size=(6, M)), generator.normal(size=(6, 1))
    print("— with the mistake, against the network —\n")
    print(derive.gradcheck(transposed, theta, x, target, net=net))
    print("\n— with the mistake, against its own loss alone —\n")
    print(derive.gradcheck(transposed, theta, x, target))
    print("\n— mended —\n")
    print(derive.gradcheck(loss_and_gradient, theta, x, target, net=net))


if __name__ == "__main__":
    main()
