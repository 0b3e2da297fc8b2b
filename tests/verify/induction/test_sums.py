"""The normal form of sums: what is the same, what is not, and never the one for the other."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
import sympy
from sympy import Expr, IndexedBase, KroneckerDelta, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.indexed import i, j, k, l, m, n
from derive.verify.induction.sums import NotReadable, Space, normal, same

A, B, W = (IndexedBase(v, real=True) for v in "ABW")
Q = Symbol("q", integer=True)
U, S = ix.UNITS, ix.SIGNALS
SPACE = Space({U: ("U",), S: ("U", "I")}, frozenset({"U", "I"}), {k: "U", i: "U", j: "I"})

EQUAL = {
    "a bound index by another letter": (Sum(A[l], (l, *U)), Sum(A[Q], (Q, *U))),
    "order of summation": (
        Sum(Sum(W[l, Q] * A[l], (l, *U)), (Q, *U)),
        Sum(W[Q, l] * A[Q], (l, *U), (Q, *U)),
    ),
    "a factor in front": (A[k] * Sum(B[l], (l, *U)), Sum(B[l] * A[k], (l, *U))),
    "over the terms": (Sum(A[l] + B[l], (l, *U)), Sum(A[l], (l, *U)) + Sum(B[l], (l, *U))),
    "a delta": (Sum(KroneckerDelta(l, k) * A[l], (l, *S)), A[k]),
    "a delta of two bound indices": (
        Sum(KroneckerDelta(l, Q) * A[l] * B[Q], (l, *U), (Q, *S)),
        Sum(A[l] * B[l], (l, *U)),
    ),
    "a delta of two free indices": (KroneckerDelta(i, k) * A[i], KroneckerDelta(i, k) * A[k]),
    "a delta out of range": (Sum(KroneckerDelta(l, j) * A[l], (l, *U)), sympy.S.Zero),
    "a square": (
        Sum(A[l], (l, *U)) ** 2,
        Sum(A[l] * A[Q], (l, *U), (Q, *U)),
    ),
    "only the algebra before a sum": (
        Sum(A[l], (l, *U)) / (1 + B[k]),
        Sum(A[l], (l, *U)) * (1 - B[k] / (1 + B[k])),
    ),
}  # fmt: skip

DIFFERENT = {
    "another range": (Sum(A[l], (l, *U)), Sum(A[l], (l, *S))),
    "a transposed weight": (Sum(W[k, l] * A[l], (l, *U)), Sum(W[l, k] * A[l], (l, *U))),
    "a square is no sum of squares": (Sum(A[l], (l, *U)) ** 2, Sum(A[l] ** 2, (l, *U))),
    "a product of sums": (
        Sum(A[l], (l, *U)) * Sum(B[l], (l, *U)), Sum(A[l] * B[l], (l, *U))),
    "a sum of nothing but ones": (Sum(1, (l, *U)), sympy.S.One),
    "a sign": (Sum(A[l], (l, *U)), -Sum(A[l], (l, *U))),
    "a free index": (A[k], A[i]),
    "a delta that is not known": (KroneckerDelta(i, k) * A[k], A[k]),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
def test_what_is_the_same_for_every_number_of_units_is_found_to_be(case: str) -> None:
    assert same(*EQUAL[case], SPACE)


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_not_the_same_is_told_apart(case: str) -> None:
    assert not same(*DIFFERENT[case], SPACE)


def test_a_range_that_is_not_known_fixes_nothing() -> None:
    total = Sum(KroneckerDelta(l, k) * A[l], (l, 3, n))
    assert not same(total, A[k], SPACE)


def test_a_sum_within_a_function_is_not_read() -> None:
    with pytest.raises(NotReadable, match="a sum within tanh"):
        normal(sympy.tanh(Sum(A[l], (l, *U))), SPACE)


# --- against numbers ---------------------------------------------------------------------------


def value(expr: Expr, at: dict[Symbol, int], data: dict[Any, Fraction]) -> Fraction:
    """An expression written out, in whole and rational numbers."""
    if isinstance(expr, Sum):
        *limits, (index, low, high) = expr.limits
        inner = Sum(expr.function, *limits) if limits else expr.function
        span = range(int(low.subs(at)), int(high.subs(at)) + 1)
        return sum((value(inner, {**at, index: q}, data) for q in span), Fraction(0))
    if isinstance(expr, KroneckerDelta):
        a, b = (int(v.subs(at)) for v in expr.args)
        return Fraction(a == b)
    if isinstance(expr, sympy.Indexed):
        key = (str(expr.base), *(int(v.subs(at)) for v in expr.indices))
        return data.setdefault(key, Fraction(random.Random(str(key)).randint(-9, 9) or 7, 4))
    if expr.is_Rational:
        return Fraction(int(expr.p), int(expr.q))
    parts = [value(v, at, data) for v in expr.args]
    if expr.is_Add:
        return sum(parts, Fraction(0))
    if expr.is_Pow:
        return parts[0] ** int(parts[1])
    found = Fraction(1)
    for v in parts:
        found *= v
    return found


def drawn(draw: random.Random, free: list[Symbol], depth: int) -> Expr:
    """An expression at random, in some indices."""
    pick = draw.randint(0, 5 if depth else 1)
    a, b = draw.choice(free), draw.choice(free)
    if pick == 0:
        return draw.choice([A[a], B[a], W[a, b], sympy.Integer(draw.randint(-2, 2))])
    if pick == 1:
        return draw.choice([A[a] * W[a, b], B[b], KroneckerDelta(a, b) * A[a]])
    if pick == 2:
        return drawn(draw, free, depth - 1) + drawn(draw, free, depth - 1)
    if pick == 3:
        return drawn(draw, free, depth - 1) * drawn(draw, free, depth - 1)
    index = Symbol(f"q{depth}", integer=True)
    body = drawn(draw, [*free, index, index], depth - 1)
    return Sum(body, (index, *draw.choice([U, S])))


def written_otherwise(draw: random.Random, expr: Expr) -> Expr:
    """The same with other letters, orders and brackets."""
    if isinstance(expr, Sum):
        letters = {v[0]: sympy.Dummy(integer=True) for v in expr.limits}
        body = written_otherwise(draw, expr.function).xreplace(letters)
        limits = [(letters[v[0]], *v[1:]) for v in expr.limits]
        draw.shuffle(limits)
        if draw.random() < 0.5:
            body = sympy.expand(body)
        if body.is_Add and draw.random() < 0.5:
            return sympy.Add(*(Sum(v, *limits) for v in body.args))
        return Sum(body, *limits)
    if isinstance(expr, (sympy.Indexed, KroneckerDelta)) or not expr.args:
        return expr
    found = expr.func(*(written_otherwise(draw, v) for v in expr.args))
    return sympy.expand(found) if draw.random() < 0.3 else found


SIZES = [(1, 1), (2, 1), (3, 2)]


def numbers(expr: Expr) -> list[Fraction]:
    found = []
    for units, inputs in SIZES:
        at = {n: units, m: inputs, k: 0, i: units - 1, j: units}
        found.append(value(expr, at, {}))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_otherwise_is_the_same(seed: int) -> None:
    draw = random.Random(seed)
    expr = drawn(draw, [k, i, j], 4)
    other = written_otherwise(draw, expr)
    assert numbers(expr) == numbers(other)
    assert same(expr, other, SPACE)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_said_to_be_the_same_that_numbers_tell_apart(seed: int) -> None:
    draw = random.Random(seed)
    expr = drawn(draw, [k, i, j], 3)
    for _ in range(5):
        atoms = sorted(expr.atoms(sympy.Indexed), key=str)
        if not atoms:
            return
        gone = draw.choice(atoms)
        to = draw.choice([A[gone.indices[-1]], -gone, sympy.S.One, gone, 2 * gone])
        other = expr.xreplace({gone: to})
        if same(expr, other, SPACE):
            assert numbers(expr) == numbers(other)
        if numbers(expr) != numbers(other):
            assert not same(expr, other, SPACE)
