"""Signs and scales: a loss that is minimised, a mean for a sum, a factor of two.

J is −½Σe² here, summed over steps, targets and sequences, and is maximised. Other conventions are
recognised by the value of J itself and are no mistakes, as long as J and its gradient agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from derive.gradient_check.asked import GradientCheckError

Floats = Any
Factor = tuple[float, str]


def factors(steps: int, sequences: int = 1, outputs: int = 1, there: float = 0.0) -> list[Factor]:
    """Constants between conventions, with the words for each; 1 is the first.

    Parameters
    ----------
    steps, sequences, outputs : int
        T, B, n_T.
    there : float
        How many targets the mask leaves; 0 where it does not matter.
    """
    means = [
        (steps, f"1/T = 1/{steps}"),
        (sequences, f"1/B = 1/{sequences}"),
        (outputs, f"1/n_T = 1/{outputs}"),
        (steps * outputs, f"1/(T·n_T) = 1/{steps * outputs}"),
        (steps * sequences, f"1/(T·B) = 1/{steps * sequences}"),
        (steps * sequences * outputs, f"1/(T·n_T·B) = 1/{steps * sequences * outputs}"),
        (there, f"1/(number of targets) = 1/{there:g}"),
    ]
    sizes: list[Factor] = [(1.0, ""), (2.0, "× 2"), (0.5, "× ½")]
    sizes += [(1.0 / n, f"× {words}") for n, words in means if n > 0]
    sizes += [(2.0 / n, f"× 2·{words}") for n, words in means if n > 0]
    sizes += [(float(n), f"× {n:g}, a sum taken again") for n, _ in means[:2]]
    found: dict[float, str] = {}
    for value, words in sizes:
        found.setdefault(value, words)
        found.setdefault(-value, f"× −1 {words}".rstrip())
    return list(found.items())


def relation(
    mine: Callable[[Floats], float],
    nets: Callable[[Floats], float],
    theta: Floats,
    usual: Sequence[Factor],
    eps: float,
    seed: int = 0,
) -> tuple[float | None, str]:
    """The constant c with which the user's J is c times that of the net, and its words.

    None where there is none: the two are compared at theta and at two places near it.

    Raises
    ------
    GradientCheckError
        When the user's J is not a number.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    places = [theta] + [theta + generator.normal(0, 0.1, theta.size) for _ in range(2)]
    a, b = (np.array([f(v) for v in places]) for f in (mine, nets))
    if not np.isfinite(a).all():
        raise GradientCheckError(
            f"J is {a[~np.isfinite(a)][0]} at theta or near it: draw smaller weights, or look for "
            "a division by zero or a logarithm of zero"
        )
    limit = max(1e-9, 256 * eps)
    at = int(np.abs(b).argmax())
    c = float(a[at] / b[at]) if b[at] else 1.0
    if not (np.abs(a - c * b) <= limit * np.abs(a).max()).all():
        return None, f"{a[0]:.8g}, that of the net {b[0]:.8g}"
    for value, words in usual:
        if abs(c - value) <= limit * abs(value):
            return value, words
    return c, f"× {c:.8g}"


def told(c: float, words: str) -> tuple[str, ...]:
    """What a report says of a convention that is not the one here."""
    if c == 1:
        return ()
    if c == -1:
        return ("your loss is −J: it is minimised, J is maximised; compared as such",)
    loss = "your loss is −J with another scale" if c < 0 else "your J has another scale"
    return (f"{loss} ({words}); the gradient is expected with the same scale",)
