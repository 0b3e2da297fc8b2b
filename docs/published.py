"""What is known of the algorithms' cost without counting: orders, and exact counts of plain code.

The orders are re-derived from the equations of Williams and Zipser (1995), whose own printed table
could not be seen. The exact counts are those of straightforward sparse code, found by counting.
Only the page and the tests read this; nothing in the package does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy

from derive.program.complexity import AlgorithmCost

n, n_T, w_U, w_A, h, h_prime, L, g = sympy.symbols("n n_T w_U w_A h h′ L g", positive=True)


@dataclass(frozen=True)
class Order:
    """Θ of an algorithm's time per step and of its space, and their exponents of n.

    The exponents are those of a full net with m = n, and of a net of fixed fan-in; h and h′ grow
    with n, groups keep their size, L does not change.
    """

    title: str
    time: str
    space: str
    full: tuple[int, int]
    sparse: tuple[int, int] | None


ORDERS = (
    Order("epochwise BPTT", "w_U + w_A", "(m + n)L", (2, 1), (1, 1)),
    Order("real-time BPTT at step L", "(w_U + w_A)L", "(m + n)L", (2, 1), (1, 1)),
    Order("BPTT(h)", "(w_U + w_A)h", "(m + n)h", (3, 2), (2, 2)),
    Order("BPTT(h; h′)", "(w_U + w_A)h/h′", "(m + n)h", (2, 2), (1, 2)),
    Order("RTRL", "w_U·w_A", "n·w_A", (4, 3), (2, 2)),
    Order("RTRL in g groups", "w_U·w_A/g²", "n·w_A/g", (2, 2), None),
    Order("FP/BPTT(h)", "n·w_U + n·w_A + n²w_A/h", "n·w_A + (m + n)h", (3, 3), (2, 2)),
    Order("settling, each step", "w_U", "m + n", (2, 1), (1, 1)),
)


once = w_U + w_A + n
"""A step back of straightforward sparse code: f′ times ε, and a product for each weight twice."""


@dataclass(frozen=True)
class Exact:
    """Multiplications per step of straightforward sparse code, and what ours has besides.

    Straightforward code takes f′ and e as given and leaves the forward pass out. ``slopes`` says
    how often a step finds f′ of all units.
    """

    title: str
    straightforward: Any
    slopes: Any

    @property
    def besides(self) -> Any:
        """The forward pass, J and e with the mask, and f′."""
        return w_A + 4 * n_T + self.slopes * n


EXACT = (
    Exact("epochwise BPTT", once, 1),
    Exact("real-time BPTT at step L", L * once, L),
    Exact("BPTT(h)", h * once, h),
    Exact("BPTT(h; h′)", h / h_prime * once, h / h_prime),
    Exact("RTRL", w_U * w_A + n * w_A + n_T * w_A, 1),
    Exact("RTRL in g groups", w_U * w_A / g**2 + (n + n_T) * w_A / g, 1),
    Exact("FP/BPTT(h)", (n + 1) * once + (n**2 + n) * w_A / h, 2),
)


def straightforward(row: AlgorithmCost, exact: Exact) -> Any:
    """The multiplications of straightforward code with ours' additions, as a number."""
    names = {s.name: s for s in (n, n_T, w_U, w_A, h, h_prime, L, g)}
    values = {names[k]: v for k, v in row.names.values.items() if k in names}
    return sympy.sympify(exact.straightforward + exact.besides).xreplace(values)
