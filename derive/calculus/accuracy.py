"""How accurate a scheme is: one step against the Taylor series of the exact solution.

A scheme is run on a generic smooth ẏ = f(y) in any number of dimensions. By Taylor's theorem

    f(y + Δ) = Σ_m f⁽ᵐ⁾(Δ, …, Δ)/m!,

so that every vector on the way is a sum of *elementary differentials* f, f′f, f″(f, f), f′f′f, …
(Butcher 1963) times powers of Δt. The exact solution is y + ∫ f along itself, which the same rule
expands. Where the two first differ is the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import factorial
from typing import Any

import sympy
from sympy import Expr, Rational, Symbol

from derive.calculus.notation import in_terminal
from derive.errors import DerivationError
from derive.network.continuous.schemes import SCHEMES, Rule, find
from derive.network.continuous.stability import LinearStep

DT = Symbol("Δt", positive=True)
HIGHEST = 6
"""Powers of Δt up to this are looked at."""

Differential = tuple[Any, ...]
"""("y",), ("A", d) for A·d, or ("f", d1, …, dm) for the m-th derivative of f applied to d1 … dm."""
STATE: Differential = ("y",)


@dataclass(frozen=True)
class Expansion:
    """A vector as Σ of coefficient · Δtⁿ · (elementary differential), by (n, differential)."""

    terms: Mapping[tuple[int, Differential], Expr]

    def __add__(self, other: Expansion) -> Expansion:
        found = dict(self.terms)
        for key, value in other.terms.items():
            found[key] = found.get(key, sympy.S.Zero) + value
        return Expansion({k: v for k, v in found.items() if v != 0})

    def __sub__(self, other: Expansion) -> Expansion:
        return self + (-1) * other

    def __rmul__(self, factor: Any) -> Expansion:
        """Times a number and a power of Δt."""
        number, power = sympy.sympify(factor).as_independent(DT)
        shift = sympy.degree(power, DT) if power.has(DT) else 0
        moved = {(n + int(shift), d): number * v for (n, d), v in self.terms.items()}
        return Expansion({k: v for k, v in moved.items() if k[0] <= HIGHEST})

    def under(self, operator: str) -> Expansion:
        """A·v."""
        return Expansion({(n, (operator, d)): v for (n, d), v in self.terms.items()})


START = Expansion({(0, STATE): sympy.S.One})


@dataclass(frozen=True)
class GenericStep:
    """A step of ẏ = f(y) with any smooth f, or with f(y) = A·y + b where ``linear``.

    For a scheme that treats a linear part A on its own, A is any matrix: it need not be f′.
    """

    affine: bool = False
    y: Expansion = START
    dt: Expr = DT

    def rate(self, y: Expansion) -> Expansion:
        """f at y + Δ, by Taylor's theorem; of f(y) = A·y + b only f + A·Δ is there."""
        shift = y - START
        if self.affine:
            return Expansion({(0, ("f",)): sympy.S.One}) + shift.under("A")
        return Expansion(
            {(n, ("f", *arguments)): value for n, arguments, value in _multilinear(shift)}
        )

    @property
    def rest(self) -> Expansion:
        """b = f(y) − A·y."""
        return self.rate(START) - START.under("A")

    def linear(self, v: Expansion) -> Expansion:
        """A·v."""
        return v.under("A")

    def exp(self, v: Expansion) -> Expansion:
        """Σ (ΔtA)ⁿ/n! · v."""
        return _power_series(v, self.dt, lambda n: Rational(1, factorial(n)))

    def phi(self, v: Expansion) -> Expansion:
        """Σ (ΔtA)ⁿ/(n+1)! · v."""
        return _power_series(v, self.dt, lambda n: Rational(1, factorial(n + 1)))

    def solve(self, h: Expr, v: Expansion) -> Expansion:
        """Σ (hA)ⁿ · v."""
        return _power_series(v, h, lambda n: sympy.S.One)


def _power_series(v: Expansion, h: Expr, coefficient: Any) -> Expansion:
    total, power = Expansion({}), v
    for n in range(HIGHEST + 1):
        total = total + coefficient(n) * power
        power = h * power.under("A")
    return total


def _multilinear(
    shift: Expansion,
) -> Iterator[tuple[int, tuple[Differential, ...], Expr]]:
    """The terms of Σ_m f⁽ᵐ⁾(Δ, …, Δ)/m!: each choice of distinct terms of Δ, how often each."""
    parts = sorted(shift.terms.items(), key=lambda part: (part[0][0], _written(part[0][1])))

    def choose(first: int, left: int) -> Iterator[tuple[int, tuple[Differential, ...], Expr]]:
        yield 0, (), sympy.S.One
        for place in range(first, len(parts)):
            (n, d), value = parts[place]
            for often in range(1, left // n + 1):
                for more, rest, product in choose(place + 1, left - often * n):
                    factor = value**often / factorial(often)
                    yield often * n + more, (d,) * often + rest, factor * product

    merged: dict[tuple[int, tuple[Differential, ...]], Expr] = {}
    for n, arguments, value in choose(0, HIGHEST):
        key = n, tuple(sorted(arguments, key=_written))
        merged[key] = merged.get(key, sympy.S.Zero) + value
    return ((n, arguments, value) for (n, arguments), value in merged.items())


def exact(affine: bool = False) -> Expansion:
    """The exact solution after Δt: y = y(0) + ∫ f(y) dt, one more power of Δt each time around."""
    step, y = GenericStep(affine), START
    for _ in range(HIGHEST):
        rate = step.rate(y)
        y = START + Expansion(
            {(n + 1, d): v / (n + 1) for (n, d), v in rate.terms.items() if n < HIGHEST}
        )
    return y


@dataclass(frozen=True)
class Accuracy:
    """What the order of a scheme is, and how that is seen.

    Attributes
    ----------
    scheme, problem : str
    order : int or None
        The largest p for which a step is right up to Δtᵖ; None where it is exact.
    leading : sympy.Expr
        The first term in which a step and the exact solution differ, step minus solution; 0
        where there is none.
    step, solution : Expansion
    """

    scheme: str
    problem: str
    order: int | None
    leading: Expr
    step: Expansion
    solution: Expansion

    def __str__(self) -> str:
        highest = HIGHEST - 1 if self.order is None else self.order + 1
        shown = min(highest, 4)
        lines = [
            f"{self.scheme}, {self.problem}",
            f"a step   {_series(self.step, shown)}",
            f"solution {_series(self.solution, shown)}",
        ]
        if self.order is None:
            return "\n".join([*lines, "equal to all orders: the step solves the equation"])
        return "\n".join(
            [*lines, f"order {self.order}; first difference: {in_terminal(self.leading)}"]
        )


PROBLEMS = {
    "smooth": "ẏ = f(y), f smooth",
    "linear": "ẏ = A·y + b",
}


def order(scheme: str | Rule, problem: str = "smooth") -> Accuracy:
    """The order of accuracy of a scheme.

    Parameters
    ----------
    scheme : str or function of a Step
        The name of a scheme, or a rule.
    problem : {"smooth", "linear"}
        A generic smooth f, for which the linear part A is any matrix; or f(y) = A·y + b.

    Returns
    -------
    Accuracy
        Prints as the two series and where they part.

    Raises
    ------
    NetworkError
        For an unknown scheme.
    DerivationError
        For an unknown problem, or a rule that is not even consistent (order 0).

    Examples
    --------
    >>> order("heun").order
    2
    """
    rule = find(scheme).rule if isinstance(scheme, str) else scheme
    name = next((s.name for s in SCHEMES.values() if s.rule is rule), getattr(rule, "__name__", ""))
    if problem not in PROBLEMS:
        raise DerivationError(
            f"order: no problem {problem!r}; there are {', '.join(map(repr, PROBLEMS))}"
        )
    affine = problem == "linear"
    step, solution = rule(GenericStep(affine)), exact(affine)
    difference = step - solution
    powers = sorted({n for n, _ in difference.terms})
    if not powers:
        if not (affine and solves(rule)):
            raise DerivationError(
                f"order of {name}: no difference up to Δt^{HIGHEST}, which is as far as is looked"
            )
        return Accuracy(name, PROBLEMS[problem], None, sympy.S.Zero, step, solution)
    first = powers[0]
    if first < 2:
        raise DerivationError(
            f"order of {name}: a step differs from the solution in Δt^{first} already"
        )
    return Accuracy(
        name, PROBLEMS[problem], first - 1, _at_power(difference, first), step, solution
    )


def solves(rule: Rule) -> bool:
    """Whether a step of ẏ = a·y + b, as a function of Δt, satisfies that equation exactly."""
    a, y, b = Symbol("a", nonzero=True), Symbol("y"), Symbol("b")
    step = LinearStep(a, sympy.exp, y, DT, b)
    reached = rule(step)
    left = sympy.diff(reached, DT) - step.rate(reached)
    return bool(sympy.expand(left) == 0 and sympy.limit(reached, DT, 0) == y)


# --- how it is written -----------------------------------------------------------------------


def _series(v: Expansion, highest: int) -> str:
    powers = [_at_power(v, n) for n in range(highest + 1)]
    return " + ".join(in_terminal(p) for p in powers if p != 0) + " + …"


def _at_power(v: Expansion, n: int) -> Expr:
    """The terms of one power of Δt."""
    inside = sympy.Add(
        *(value * Symbol(_written(d)) for (m, d), value in v.terms.items() if m == n)
    )
    return DT**n * sympy.factor_terms(inside)


def _written(d: Differential) -> str:
    """An elementary differential as it is written: f′f, f″(f, f), A·f."""
    kind, *arguments = d
    if kind == "y":
        return "y"
    inside = [_written(a) for a in arguments]
    if kind == "A":
        return f"A{inside[0]}"
    mark = "′" * len(arguments)
    if len(inside) < 2:
        return f"f{mark}{''.join(inside)}"
    return f"f{mark}({', '.join(inside)})"
