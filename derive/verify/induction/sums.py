"""Whether two expressions over indexed sums are the same for every number of units and steps.

An expression is read into terms Σ over bound indices of a coefficient times a product of factors:

    products of sums become one sum          (Σ_k a_k)·(Σ_l b_l) = Σ_k Σ_l a_k·b_l
    a range is split into disjoint parts     Σ_{l∈U∪I} = Σ_{l∈U} + Σ_{l∈I}
    a Kronecker delta fixes a bound index    Σ_{l∈U} 1{l=k}·a_l = a_k for k∈U, and 0 for k∈I
    bound indices get names by their range, and of all orders of them the first in order is taken

Two sides are the same if nothing is left of their difference. What is left may still be zero: then
the algebra of the witness proofs has the last word on what stands before each sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import Any

import sympy
from sympy import Dummy, Expr, Indexed, KroneckerDelta, Sum, Symbol

from derive.verify.polynomials import Algebra

Env = dict[Symbol, str]
"""What part each index runs over, or is of."""
Limits = tuple[Any, Any]
Rewrite = Callable[[Expr, Env], Expr | None]

MOST_BOUND = 6
"""Bound indices of one term beyond which their orders are not tried."""


class NotReadable(ValueError):
    """An expression that has no place here, with what in it."""


@dataclass(frozen=True)
class Space:
    """What indices run over.

    ``ranges`` leads from the limits of a sum to the disjoint parts they are made of, each a name or
    one value; a range that is not known is a part of its own. No two parts in ``disjoint`` have an
    index in common. ``free`` has the part of each free index. ``rewrite`` gives what stands for an
    expression by the equations that are stated or derived, or None.
    """

    ranges: Mapping[Limits, tuple[str | int, ...]] = field(default_factory=dict)
    disjoint: frozenset[str] = frozenset()
    free: Mapping[Symbol, str] = field(default_factory=dict)
    rewrite: Rewrite = lambda expr, env: None

    def parts(self, low: Any, high: Any) -> tuple[str | int, ...]:
        """The parts of a range."""
        return self.ranges.get((low, high), (f"{low}…{high}",))


@dataclass
class Term:
    """coefficient · Σ over bound indices of Π factor^exponent."""

    coefficient: Expr
    bound: Env
    factors: dict[Expr, Expr]


Key = tuple[tuple[str, ...], frozenset[tuple[Expr, Expr]]]
Normal = dict[Key, Expr]


def normal(expr: Expr, space: Space) -> Normal:
    """The normal form of an expression: equal for two that differ in what the module names."""
    found: Normal = {}
    for term in _read(sympy.sympify(expr), dict(space.free), space):
        if not _settle(term, space):
            continue
        key = _named(term)
        total = found.get(key, sympy.S.Zero) + term.coefficient
        if total == 0:
            found.pop(key, None)
        else:
            found[key] = total
    return found


def left_over(left: Expr, right: Expr, space: Space) -> Normal:
    """What is left of a difference; nothing where the two sides are the same."""
    rest = normal(left - right, space)
    if not rest:
        return rest
    groups: dict[tuple[Any, ...], list[tuple[Key, Expr]]] = {}
    for key, coefficient in rest.items():
        bound, factors = key
        inside = frozenset(f for f in factors if f[0].has(*_letters(bound))) if bound else None
        groups.setdefault((bound, inside), []).append((key, coefficient))
    kept: Normal = {}
    for (_, inside), terms in groups.items():
        before = sympy.Add(*(
            c * sympy.Mul(*(g**n for g, n in key[1] if inside is None or (g, n) not in inside))
            for key, c in terms
        ))  # fmt: skip
        if not _is_zero(before):
            kept |= dict(terms)
    return kept


def same(left: Expr, right: Expr, space: Space) -> bool:
    """Whether two sides are equal for every number of units, steps and delays."""
    return not left_over(left, right, space)


def _is_zero(expr: Expr) -> bool:
    """Whether a factor without sums is zero, for all values of what is indexed."""
    symbols = {v: Dummy(real=True) for v in expr.atoms(Indexed)}
    deltas = {v: Dummy(real=True) for v in expr.atoms(KroneckerDelta)}
    algebra = Algebra()
    try:
        whole = algebra.read(expr.xreplace(deltas).xreplace(symbols))
        return bool(algebra.is_zero(whole, algebra.read(sympy.S.Zero)))
    except (ArithmeticError, TypeError, ValueError, AttributeError, KeyError):
        return False


# --- reading -----------------------------------------------------------------------------------


def _read(expr: Expr, env: Env, space: Space) -> Iterator[Term]:
    instead = space.rewrite(expr, env)
    if instead is not None:
        yield from _read(sympy.sympify(instead), env, space)
    elif expr.is_Number:
        if expr != 0:
            yield Term(sympy.Rational(expr) if expr.is_Float else expr, {}, {})
    elif expr.is_Add:
        for part in expr.args:
            yield from _read(part, env, space)
    elif expr.is_Mul:
        yield from _product([(a, env) for a in expr.args], space)
    elif isinstance(expr, Sum):
        yield from _sum(expr, env, space)
    elif expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        # Read anew each time, so that every copy of a sum has indices of its own.
        yield from _product([(expr.base, env)] * int(expr.exp), space)
    elif expr.is_Pow:
        yield from _power(expr, env, space)
    else:
        yield Term(sympy.S.One, {}, {_inside(expr, env, space): sympy.S.One})


def _product(parts: list[tuple[Expr, Env]], space: Space) -> Iterator[Term]:
    found = [Term(sympy.S.One, {}, {})]
    for part, env in parts:
        found = [_times(a, b) for b in list(_read(part, env, space)) for a in found]
    yield from found


def _times(a: Term, b: Term) -> Term:
    factors = dict(a.factors)
    for g, n in b.factors.items():
        factors[g] = factors.get(g, sympy.S.Zero) + n
        if factors[g] == 0:
            del factors[g]
    return Term(a.coefficient * b.coefficient, {**a.bound, **b.bound}, factors)


def _sum(expr: Sum, env: Env, space: Space) -> Iterator[Term]:
    for choice in product(*(space.parts(low, high) for _, low, high in expr.limits)):
        body, bound = expr.function, {}
        for (index, *_), part in zip(expr.limits, choice, strict=True):
            if isinstance(part, int):
                body = body.xreplace({index: sympy.Integer(part)})
                continue
            fresh = Dummy(index.name, integer=True)
            bound[fresh] = part
            body = body.xreplace({index: fresh})
        for term in _read(body, {**env, **bound}, space):
            yield Term(term.coefficient, {**term.bound, **bound}, term.factors)


def _power(expr: Expr, env: Env, space: Space) -> Iterator[Term]:
    terms = list(_read(expr.base, env, space))
    if len(terms) == 1 and not terms[0].bound and expr.exp.is_Integer:
        (one,) = terms
        yield Term(one.coefficient**expr.exp, {}, {g: n * expr.exp for g, n in one.factors.items()})
        return
    yield Term(sympy.S.One, {}, {_inside(expr.base, env, space): expr.exp})


def _inside(expr: Expr, env: Env, space: Space) -> Expr:
    """An expression that is one factor, with what stands in it written out and expanded."""
    if isinstance(expr, (Indexed, KroneckerDelta)) or not expr.args:
        return expr
    if expr.has(Sum):
        raise NotReadable(f"a sum within {type(expr).__name__}")

    def out(e: Expr) -> Expr:
        while (instead := space.rewrite(e, env)) is not None:
            e = sympy.sympify(instead)
        if e.has(Sum):
            raise NotReadable(f"a sum within {type(expr).__name__}")
        if isinstance(e, Indexed) or not e.args:
            return e
        return e.func(*(out(v) for v in e.args))

    whole = expr.func(*(out(v) for v in expr.args))
    if isinstance(whole, sympy.Function) and whole.args:
        plain = [sympy.expand(v) if v.is_Add or v.is_Mul else v for v in whole.args]
        return whole.func(*plain)
    return sympy.expand(whole) if whole.is_Add else whole


# --- one term ----------------------------------------------------------------------------------


def _settle(term: Term, space: Space) -> bool:
    """Let Kronecker deltas fix indices, in place; False where the term is zero."""
    done: set[Expr] = set()
    while True:
        deltas = [f for f in term.factors if isinstance(f, KroneckerDelta) and f not in done]
        if not deltas:
            return True
        delta = min(deltas, key=str)
        term.factors[delta] = sympy.S.One
        a, b = delta.args
        parts = {**space.free, **term.bound}
        if _never(a, b, parts, space):
            return False
        instead = _fixed(a, b, term.bound, parts)
        if instead is None:
            done.add(delta)
            continue
        gone, kept = instead
        if gone in term.bound:
            del term.bound[gone], term.factors[delta]
        else:
            done.add(delta)
        if not _put(term, gone, kept, delta):
            return False


def _never(a: Expr, b: Expr, parts: Env, space: Space) -> bool:
    """Whether two indices are never the same, since they are of disjoint parts."""
    of = [str(int(v)) if v.is_Integer else parts.get(v, "") for v in (a, b)]
    if "later" in of and "0" in of:  # delays of one step and more
        return True
    return of[0] != of[1] and all(v in space.disjoint for v in of)


def _fixed(a: Expr, b: Expr, bound: Env, parts: Env) -> tuple[Symbol, Expr] | None:
    """Which index a delta fixes, and at what; None where that is not for sure within its range."""
    if not (a.is_Symbol and b.is_Symbol) or parts.get(a) is None or parts.get(a) != parts.get(b):
        return None
    if a in bound:
        return a, b
    if b in bound:
        return b, a
    first, second = sorted((a, b), key=lambda v: v.name)
    return second, first


def _put(term: Term, gone: Symbol, kept: Expr, but: Expr) -> bool:
    """Write one index for another in all factors but the delta that says so."""
    factors: dict[Expr, Expr] = {}
    for g, n in term.factors.items():
        new = g if g == but else g.xreplace({gone: kept})
        if new == 0:
            return False
        if new != 1:
            factors[new] = factors.get(new, sympy.S.Zero) + n
    term.factors = {g: n for g, n in factors.items() if n != 0}
    return True


def _letters(bound: tuple[str, ...]) -> list[Symbol]:
    return [_letter(part, place) for place, part in enumerate(bound)]


def _letter(part: str, place: int) -> Symbol:
    return Symbol(f"{part}·{place}", integer=True)


def _named(term: Term) -> Key:
    """The term with its bound indices named by their ranges, in the order that comes first."""
    if len(term.bound) > MOST_BOUND:
        raise NotReadable(f"{len(term.bound)} sums in one another")
    by_part: dict[str, list[Symbol]] = {}
    for index, part in term.bound.items():
        by_part.setdefault(part, []).append(index)
    parts = tuple(part for part in sorted(by_part) for _ in by_part[part])
    best: tuple[str, Key] | None = None
    for order in product(*(permutations(by_part[part]) for part in sorted(by_part))):
        flat = [index for group in order for index in group]
        names = {v: _letter(p, n) for n, (v, p) in enumerate(zip(flat, parts, strict=True))}
        factors = frozenset((g.xreplace(names), n) for g, n in term.factors.items())
        written = "" if len(term.bound) < 2 else str(sorted(map(str, factors)))
        if best is None or written < best[0]:
            best = (written, (parts, factors))
    assert best is not None
    return best[1]
