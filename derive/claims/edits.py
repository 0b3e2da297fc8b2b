"""The usual mistakes, undone: what an equation would be with one of them mended."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from derive.claims.judge import Relation
from derive.claims.letters import DELAY, TIME, UNIT
from derive.claims.syntax import (
    Add,
    Compare,
    Condition,
    Group,
    Indicator,
    Member,
    Mul,
    Node,
    Num,
    Ref,
    Slope,
    Total,
)
from derive.claims.trees import delayed, shifted, swap, tidy, written

Kind = TypeVar("Kind", bound=Node)
Edit = tuple[str, Relation]
Changed = Iterator[tuple[str, Node]]
OnASide = Callable[[Node, Relation], Changed]
SIGNALS = ("s", "y", "x", "e", "ε", "δ", "d", "p")
OTHERS = {"ε": "δ", "δ": "ε", "y": "x", "x": "y"}
T0 = Ref("t0")


def edits(relation: Relation) -> Iterator[Edit]:
    """One mistake undone at a time, in words; the likeliest first."""
    for words, changed in _all(relation):
        tidied = replace(changed, left=tidy(changed.left), right=tidy(changed.right))
        if tidied != relation and tidied.left != tidied.right:
            yield words, tidied


def _all(relation: Relation) -> Iterator[Edit]:
    yield from _on_sides(LIKELY, relation)
    yield from _missing(relation)
    yield from _on_sides(LESS_LIKELY, relation)
    yield from _fewer_places(relation)
    for factor in (Fraction(-1), Fraction(2), Fraction(1, 2)):
        words = "the other sign" if factor < 0 else f"a factor {factor}"
        yield f"with {words}", _with(relation, "right", Mul((Num(factor), relation.right)))


def _on_sides(kinds: tuple[OnASide, ...], relation: Relation) -> Iterator[Edit]:
    for edit in kinds:
        for which in ("right", "left"):
            for words, new in edit(getattr(relation, which), relation):
                yield words, _with(relation, which, new)


def _with(relation: Relation, which: str, new: Node) -> Relation:
    return replace(relation, left=new) if which == "left" else replace(relation, right=new)


# --- in one side ----------------------------------------------------------------------------------


def _objective(side: Node, relation: Relation) -> Changed:
    """J(t), J^total and J(τ) taken for one another."""
    of = relation.context.of
    for old in _found(side, Ref):
        if old.name == "J":
            yield _in_place(of, old), swap(side, old, of)


def _differentiated_by(side: Node, _: Relation) -> Changed:
    """∂s for ∂y, and the other way round."""
    for slope in _found(side, Slope):
        under = slope.under
        if isinstance(under, Ref) and under.name in ("s", "y"):
            other = replace(under, name="y" if under.name == "s" else "s")
            words = f"with ∂{written(other)} in place of ∂{written(under)}"
            yield words, swap(side, slope, replace(slope, under=other))


def _transposed(side: Node, _: Relation) -> Changed:
    for w in _found(side, Ref):
        if w.name == "w" and len(w.lower) == 2:
            turned = replace(w, lower=w.lower[::-1])
            yield _in_place(turned, w), swap(side, w, turned)


def _kind_of_derivative(side: Node, _: Relation) -> Changed:
    """The direct partial taken for the ordered derivative, and the other way round."""
    for slope in _found(side, Slope):
        if not any(isinstance(v, Ref) and v.name == "J" for v in slope.over.walk()):
            for kind, words in (("°", "the direct partial"), ("⁺", "the ordered derivative")):
                yield (
                    f"with {words} {written(replace(slope, kind=kind))}",
                    swap(side, slope, replace(slope, kind=kind)),
                )


def _set_of_a_sum(side: Node, _: Relation) -> Changed:
    """Over U where T(t) is meant, or I, or both."""
    for total in _found(side, Total):
        if total.domain is None or total.domain.kind not in ("U", "I", "T", "∪"):
            continue
        times = dict.fromkeys(
            v.args[0] for v in total.body.walk()
            if isinstance(v, Ref) and v.name in ("d", "y", "e") and v.args
        )  # fmt: skip
        both = Group("∪", (Group("U"), Group("I")))
        for domain in (*(Group("T", (time,)) for time in times), Group("U"), both):
            words = f"with the sum over {written(domain)}"
            yield words, swap(side, total, replace(total, domain=domain))


def _ends_of_a_sum(side: Node, relation: Relation) -> Changed:
    """A step too few or too many, and another last time."""
    for total in _found(side, Total):
        domain = total.domain
        if domain is None or domain.kind != "range":
            continue
        first, last = domain.of
        times = [Ref(v) for v in relation.context.letters_of_objective]
        ends = [(first, v) for v in (*times, shifted(last, 1), shifted(last, -1))]
        ends += [(shifted(first, by), last) for by in (1, -1)]
        ends += [(shifted(first, -1), shifted(last, -1))]  # counted from 1
        for of in ends:
            new = replace(total, domain=Group("range", of))
            words = f"with the sum from {written(of[0])} to {written(of[1])}"
            yield words, swap(side, total, new)


def _step(side: Node, relation: Relation) -> Changed:
    """A signal one step early or late, or with a delay forgotten."""
    delays = [v for v, use in relation.uses.items() if use.kind == DELAY]
    for signal in _found(side, Ref):
        if signal.name in SIGNALS and signal.args and len(signal.args) == 1:
            for delay in delays:
                time = delayed(signal.args[0], delay)
                moved = replace(signal, args=(time,))
                yield _in_place(moved, signal), swap(side, signal, moved)
            for by in (1, -1):
                moved = replace(signal, args=(shifted(signal.args[0], by),))
                yield _in_place(moved, signal), swap(side, signal, moved)


def _other_signal(side: Node, _: Relation) -> Changed:
    """ε for δ, y for x."""
    for signal in _found(side, Ref):
        if signal.name in OTHERS and signal.args and not signal.mark:
            other = replace(signal, name=OTHERS[signal.name])
            yield _in_place(other, signal), swap(side, signal, other)


def _one_less(side: Node, _: Relation) -> Changed:
    """Without a term, or without a factor."""
    for total in _found(side, Add):
        for v in total.terms:
            rest = tuple(u for u in total.terms if u is not v)
            yield f"without {written(v)}", swap(side, total, rest[0] if len(rest) == 1
                                                else Add(rest))  # fmt: skip
    for product in _found(side, Mul):
        for v in product.factors:
            if not isinstance(v, Num):
                rest = tuple(u for u in product.factors if u is not v)
                yield f"without the factor {written(v)}", swap(side, product, Mul(rest))


def _only_for_one_unit(side: Node, relation: Relation) -> Changed:
    """The direct term for every unit, where it is of the one that the weight leads to."""
    units = [v for v, use in relation.uses.items() if use.kind == UNIT]
    for signal in _found(side, Ref):
        if signal.name in ("x", "y"):
            for i, k in itertools.combinations(sorted(units), 2):
                one = Indicator(Compare(Ref(i), "=", Ref(k)))
                words = f"with the factor {written(one)} before {written(signal)}"
                yield words, swap(side, signal, Mul((one, signal)))


LIKELY: tuple[OnASide, ...] = (
    _objective,
    _differentiated_by,
    _transposed,
    _set_of_a_sum,
    _step,
    _ends_of_a_sum,
)
LESS_LIKELY: tuple[OnASide, ...] = (
    _kind_of_derivative,
    _other_signal,
    _only_for_one_unit,
    _one_less,
)


# --- of the whole -----------------------------------------------------------------------------


def _fewer_places(relation: Relation) -> Iterator[Edit]:
    """Claimed for too many indices or times."""
    of = relation.context.letters_of_objective
    for letter, use in relation.uses.items():
        if use.kind == TIME and letter not in of:
            for first in (1, 2):
                condition = Compare(Ref(letter), "≥", Add((T0, Num(Fraction(first)))))
                yield f"for {written(condition)}", _where(relation, condition)
    for letter, use in relation.uses.items():
        if use.kind == UNIT:
            for time in _times(relation):
                inside = Member(Ref(letter), Group("T", (time,)))
                outside = Member(Ref(letter), Group("∖", (Group("U"), Group("T", (time,)))))
                yield f"for {written(inside)}", _where(relation, inside)
                yield f"for {letter}∉{written(inside.group)}", _where(relation, outside)


def _where(relation: Relation, condition: Condition) -> Relation:
    return replace(relation, where=(*relation.where, condition))


def _times(relation: Relation) -> list[Node]:
    """The times at which a side has a signal of a unit."""
    found = [v.args[0] for side in relation.sides for v in side.walk()
             if isinstance(v, Ref) and v.args and v.lower]  # fmt: skip
    return list(dict.fromkeys(found))[:4]


def _missing(relation: Relation) -> Iterator[Edit]:
    """A term or a factor that was forgotten: the error, the slope, the direct term."""
    left, right = relation.left, relation.right
    if isinstance(left, Ref) and left.args and len(left.args) == 1:
        if len(left.lower) == 1:
            error = Ref("e", lower=left.lower, args=left.args)
            yield f"with {written(error)} added", _with(relation, "right", Add((error, right)))
        if left.name == "p" and len(left.lower) == 2 and len(left.upper) == 1:
            (k,), (i, j) = left.upper, left.lower
            heard = Ref("x", lower=(j,), args=(shifted(left.args[0], -1),))
            direct = Mul((Indicator(Compare(i, "=", k)), heard))
            for total in (right, *_found(right, Add)):
                more = swap(right, total, Add((total, direct)))
                yield f"with {written(direct)} added", _with(relation, "right", more)
    for signal in dict.fromkeys(v for side in relation.sides for v in side.walk()):
        if isinstance(signal, Ref) and signal.name in ("ε", "δ", "y", "s") and signal.args:
            s = Ref("s", lower=signal.lower, args=signal.args)
            slope = Ref("f", lower=signal.lower, args=(s,), primes=1)
            words = f"with the factor {written(slope)}"
            yield words, _with(relation, "right", Mul((slope, right)))


# --- parts of a tree ------------------------------------------------------------------------------


def _found(side: Node, kind: type[Kind]) -> list[Kind]:
    return list(dict.fromkeys(v for v in side.walk() if isinstance(v, kind)))


def _in_place(new: Node, old: Node) -> str:
    return f"with {written(new)} in place of {written(old)}"
