"""The part of a rate that is linear in the states, and functions of its matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import mpmath
import sympy
from sympy import Expr, Matrix, Symbol

from derive.errors import NetworkError

Naming = Callable[[str, Expr], Symbol]

LARGEST = 4
"""Up to so many coupled states a linear system with symbols is solved."""
LONG = 2**53
DEGREE = 14
NEAR = sympy.Rational(1, 2)
"""For |z| below this, φ(z) is its Taylor polynomial of that degree. What is left out is less than
2·NEAR^(DEGREE+1)/(DEGREE+2)! ≈ 3e−18, and of its derivative less than 1e−16; beyond, the quotient
loses at most two bits."""


@dataclass(frozen=True)
class Linear:
    """ẏ = A·y + b over a step Δt; A is free of the states."""

    matrix: Matrix
    rest: tuple[Expr, ...]
    states: tuple[Symbol, ...]
    dt: Expr

    def times(self, v: Sequence[Expr]) -> list[Expr]:
        """A·v."""
        size = range(len(v))
        return [sympy.Add(*(self.matrix[i, j] * v[j] for j in size)) for i in size]

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """The states in groups that do not enter one another's linear parts."""
        groups: list[set[int]] = []
        for i in range(self.matrix.rows):
            near = {j for j in range(self.matrix.rows)
                    if self.matrix[i, j] != 0 or self.matrix[j, i] != 0} | {i}  # fmt: skip
            apart = [g for g in groups if not g & near]
            groups = [*apart, near.union(*(g for g in groups if g & near))]
        return tuple(tuple(sorted(g)) for g in sorted(groups, key=min))

    def exp(self, v: Sequence[Expr], name: Naming) -> list[Expr]:
        """exp(Δt·A)·v: by entry where A is diagonal, as numbers where it is not."""
        return self._function(v, lambda a: _exp(a, self.dt, name), lambda top: top[0])

    def phi(self, v: Sequence[Expr], name: Naming) -> list[Expr]:
        """φ(Δt·A)·v with φ(z) = (exp(z) − 1)/z, which is 1 at 0."""
        return self._function(v, lambda a: _phi(a, self.dt, name), lambda top: top[1])

    def _function(
        self,
        v: Sequence[Expr],
        alone: Callable[[Expr], Expr],
        coupled: Callable[[tuple[Matrix, Matrix]], Matrix],
    ) -> list[Expr]:
        found: dict[int, Expr] = {}
        for block in self.blocks:
            if len(block) == 1:
                (i,) = block
                found[i] = alone(self.matrix[i, i]) * v[i]
                continue
            part = self.matrix.extract(block, block)
            if not (part.is_symbolic() or self.dt.free_symbols):
                whole = coupled(_exponentials(part * self.dt))
                for row, i in enumerate(block):
                    found[i] = sympy.Add(*(whole[row, c] * v[j] for c, j in enumerate(block)))
                continue
            symbols = sorted(map(str, part.free_symbols | self.dt.free_symbols))
            raise NetworkError(
                f"scheme 'exponential': states {self._named(block)} are coupled by "
                f"{', '.join(symbols)}; a matrix exponential is found for numbers only, and for "
                "symbols where the linear part is diagonal; write the numbers, or take 'bilinear'"
            )
        return [found[i] for i in range(len(v))]

    def solve(self, h: Expr, v: Sequence[Expr], name: Naming) -> list[Expr]:
        """The u with u − h·A·u = v."""
        found: dict[int, Expr] = {}
        for block in self.blocks:
            if len(block) == 1:
                (i,) = block
                found[i] = _divided(v[i], 1 - h * self.matrix[i, i], self._named(block))
                continue
            part = sympy.eye(len(block)) - h * self.matrix.extract(block, block)
            symbolic = bool(part.free_symbols)
            if symbolic and len(block) > LARGEST:
                raise NetworkError(
                    f"states {self._named(block)} are coupled by symbols; an implicit scheme "
                    f"solves for at most {LARGEST} such states: write numbers, or take 'rk4'"
                )
            determinant = part.det(method="berkowitz")
            _divided(sympy.S.One, determinant, self._named(block))
            if symbolic:
                below = name("det", determinant)
                inverse = part.adjugate() / below
            else:
                inverse = part.inv().applyfunc(_shortened)
            for row, i in enumerate(block):
                found[i] = sympy.Add(*(inverse[row, c] * v[j] for c, j in enumerate(block)))
        return [found[i] for i in range(len(v))]

    def _named(self, block: Iterable[int]) -> str:
        return ", ".join(self.states[i].name for i in block)


def split(rates: Sequence[Expr], states: Sequence[Symbol], dt: Expr) -> Linear:
    """Sort the terms of each rate: those linear in a state, and the rest."""
    size = len(states)
    matrix, rest = sympy.zeros(size, size), []
    for i, rate in enumerate(rates):
        other = []
        for term in sympy.Add.make_args(_terms(rate)):
            coefficient, factor = term.as_independent(*states, as_Add=False)
            if factor in states:
                matrix[i, states.index(factor)] += coefficient
            else:
                other.append(term)
        rest.append(sympy.Add(*other))
    return Linear(matrix, tuple(rest), tuple(states), dt)


def _terms(rate: Expr) -> Expr:
    """A rate multiplied out, with what stands in functions and denominators left alone."""
    masks: dict[Expr, Symbol] = {}

    def masked(e: Expr) -> Expr:
        if e.is_Atom:
            return e
        if e.is_Add or e.is_Mul or (e.is_Pow and e.exp.is_Integer and e.exp > 0):
            return e.func(*map(masked, e.args))
        return masks.setdefault(e, sympy.Dummy(real=True))

    found = sympy.expand(masked(rate), power_base=False, power_exp=False, log=False)
    return found.xreplace({mask: e for e, mask in masks.items()})


def _exp(a: Expr, dt: Expr, name: Naming) -> Expr:
    if not (a.free_symbols | dt.free_symbols):
        return number(sympy.exp(a * dt))
    return sympy.exp(a * dt if _never_zero(a) else name("z", a * dt))


def _phi(a: Expr, dt: Expr, name: Naming) -> Expr:
    """φ(aΔt), in a form that is safe where a passes through zero, unless it cannot."""
    if a == 0:
        return sympy.S.One
    if not (a.free_symbols | dt.free_symbols):
        with mpmath.workdps(60):
            z = _precise(a * dt)
            return _rounded(mpmath.expm1(z) / z)
    if _never_zero(a):
        return (1 - sympy.exp(a * dt)) / (-a * dt)
    z = name("z", a * dt)
    series: Expr = sympy.S.Zero
    for n in range(DEGREE, -1, -1):
        series = sympy.Rational(1, sympy.factorial(n + 1)) + z * series
    return name("phi", sympy.Piecewise((series, sympy.Abs(z) < NEAR),
                                       ((sympy.exp(z) - 1) / z, True)))  # fmt: skip


def _never_zero(a: Expr) -> bool:
    """Whether a is a number over something, so that no finite value of a parameter makes it 0."""
    numerator = sympy.fraction(sympy.together(a))[0]
    return bool(numerator.is_number and numerator != 0)


def _divided(v: Expr, by: Expr, states: str) -> Expr:
    if by == 0:
        raise NetworkError(
            f"the linear part of {states} at this dt has no implicit step (1 − hA is singular); "
            "take another dt"
        )
    return v / by


def _exponentials(z: Matrix) -> tuple[Matrix, Matrix]:
    """exp(Z) and φ(Z) as numbers, from the exponential of ((Z, 1), (0, 0)); Z may be singular."""
    size = z.rows
    with mpmath.workdps(60):
        both = mpmath.zeros(2 * size)
        for i in range(size):
            both[i, size + i] = 1
            for j in range(size):
                both[i, j] = _precise(z[i, j])
        found = mpmath.expm(both, method="taylor")
        entries = [[_rounded(found[i, j]) for j in range(2 * size)] for i in range(size)]
    whole = Matrix(entries)
    return whole[:, :size], whole[:, size:]


def number(expr: Expr) -> Expr:
    """A constant as a fraction: the shortest decimal of its float64."""
    return _rounded(_precise(expr))


def _precise(expr: Expr) -> mpmath.mpf:
    """A constant with 60 digits."""
    return sympy.N(expr, 60)._to_mpmath(200)


def _rounded(value: mpmath.mpf) -> Expr:
    return sympy.Rational(repr(float(value)))


def _shortened(value: Expr) -> Expr:
    """A fraction as it is, or rounded to float64 where its parts are no numbers of float64."""
    if value.is_Rational and max(abs(value.p), value.q) < LONG:
        return value
    return number(value)
