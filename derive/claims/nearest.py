"""A true statement near a false one: one usual mistake undone, or two, tried on every network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

from derive.claims.context import Budget, OutOfTime
from derive.claims.edits import Edit, edits
from derive.claims.evaluate import Evaluator
from derive.claims.judge import Court, Refutation, Relation, differ, is_meant
from derive.claims.syntax import IllFormed, Node, Ref, Total, Unbound
from derive.claims.trees import swap

PART = 0.5
"""Of the time allowed for a claim, that is then spent looking for a true one near it."""
FIRST_OF_TWO = 60
"""Edits that a second one is tried after."""
PLACES, UNITS = 24, 2
"""How much of a network, and how large ones, an edit is tried on."""
KEPT = 6
"""Refutations that further edits are first held against."""


def nearest(relation: Relation, refuted: Refutation, court: Court, budget: Budget) -> str:
    """What would make a relation true; empty where nothing tried does."""
    own = Budget(PART * budget.seconds)
    seen: list[Relation] = []
    where = [refuted]
    try:
        for words, changed in edits(relation):
            seen.append(changed)
            if _is_true(changed, where, court, own):
                return f"true {words}"
        for words, changed in _twice(relation):
            if changed not in seen and _is_true(changed, where, court, own):
                return f"true {words}"
    except OutOfTime:
        pass
    return ""


def _twice(relation: Relation) -> Iterator[Edit]:
    for first, once in itertools.islice(edits(relation), FIRST_OF_TWO):
        for second, changed in itertools.islice(edits(once), FIRST_OF_TWO):
            if first.split()[0] == second.split()[0] == "for":
                continue
            yield f"{first}, and {second}", changed


def _is_true(relation: Relation, where: list[Refutation], court: Court, budget: Budget) -> bool:
    """Whether a relation holds on every network; first where others were refuted."""
    budget.check()
    try:
        for known in where:
            evaluator = Evaluator(known.model, relation.context, budget)
            if is_meant(relation, evaluator, known.env):
                still, compared = differ(relation, evaluator, known.env)
                if still is not None or not compared:
                    return False
        found = court.tried(relation, budget, PLACES, UNITS)
    except (IllFormed, ArithmeticError, KeyError):
        return False
    if found.refuted is not None:
        where.append(found.refuted)
        del where[1:-KEPT]
        return False
    return found.compared > 0


def bound_to_the_end(
    sides: tuple[Node, Node],
    fault: Unbound,
    make: Callable[[Node, Node], Relation],
    court: Court,
    budget: Budget,
) -> str:
    """Whether two sides are equal with t₁ where a sum ends at a time that nothing binds."""
    changed: list[Node] = list(sides)
    for i, side in enumerate(sides):
        for total in (v for v in side.walk() if isinstance(v, Total)):
            domain = total.domain
            if domain and domain.kind == "range" and domain.of[1] == Ref(fault.letter):
                to_the_end = replace(domain, of=(domain.of[0], Ref("t1")))
                changed[i] = swap(changed[i], total, replace(total, domain=to_the_end))
    if changed == list(sides):
        return ""
    try:
        found = court.tried(make(*changed), Budget(PART * budget.seconds), PLACES, UNITS)
    except (IllFormed, ArithmeticError, OutOfTime):
        return ""
    return "true with t₁ as the end of the sum" if found.compared and not found.refuted else ""
