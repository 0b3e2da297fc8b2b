"""A true statement near a false one: one usual mistake undone, tried on every network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from derive.claims.context import Budget, OutOfTime
from derive.claims.judge import Court, Relation
from derive.claims.syntax import Add, Group, IllFormed, Mul, Node, Num, Ref, Slope, Total

MOST = 30
SECONDS = 6.0


def nearest(relation: Relation, court: Court, budget: Budget) -> str:
    """What would make a relation true; empty where nothing tried does."""
    own = Budget(min(SECONDS, budget.seconds))
    tried = 0
    for words, changed in changes(relation):
        tried += 1
        if tried > MOST:
            break
        try:
            found = court.tried(changed, own, 60)
        except OutOfTime:
            break
        except (IllFormed, ArithmeticError):
            continue
        if found.refuted is None and found.compared:
            return f"true {words}"
    return ""


def changes(relation: Relation) -> Iterator[tuple[str, Relation]]:
    """One mistake undone at a time, in words."""
    of = relation.context.of
    for which in ("right", "left"):
        side: Node = getattr(relation, which)

        def put(new: Node, which: str = which) -> Relation:
            return replace(relation, left=new) if which == "left" else replace(relation, right=new)

        for old in dict.fromkeys(v for v in side.walk() if isinstance(v, Ref) and v.name == "J"):
            if old != of:
                yield f"with {_words(of)} in place of {_words(old)}", put(swap(side, old, of))
        for slope in dict.fromkeys(v for v in side.walk() if isinstance(v, Slope)):
            under = slope.under
            if isinstance(under, Ref) and under.name in ("s", "y"):
                other = replace(under, name="y" if under.name == "s" else "s")
                yield (
                    f"with ∂{_words(other)} in place of ∂{_words(under)}",
                    put(swap(side, slope, replace(slope, under=other))),
                )
        for w in dict.fromkeys(v for v in side.walk() if isinstance(v, Ref) and v.name == "w"):
            if len(w.lower) == 2:
                turned = replace(w, lower=w.lower[::-1])
                yield f"with {_words(turned)} in place of {_words(w)}", put(swap(side, w, turned))
        for total in dict.fromkeys(v for v in side.walk() if isinstance(v, Total)):
            if total.domain is not None and total.domain.kind == "U":
                times = [
                    v.args[0]
                    for v in total.body.walk()
                    if isinstance(v, Ref) and v.name in ("d", "y", "e") and v.args
                ]
                for time in dict.fromkeys(times):
                    fewer = replace(total, domain=Group("T", (time,)))
                    yield "with the sum over T(t)", put(swap(side, total, fewer))
        for signal in dict.fromkeys(
            v for v in side.walk() if isinstance(v, Ref) and v.args and len(v.args) == 1
            and v.name in ("s", "y", "x", "e", "ε", "δ", "d")
        ):  # fmt: skip
            for by in (1, -1):
                moved = replace(signal, args=(shifted((signal.args or ())[0], by),))
                yield (
                    f"with {_words(moved)} in place of {_words(signal)}",
                    put(swap(side, signal, moved)),
                )
        yield "with the other sign", put(Mul((Num(Fraction(-1)), side)))
        for factor in (Fraction(2), Fraction(1, 2)):
            yield f"with a factor {factor}", put(Mul((Num(factor), side)))


def shifted(time: Node, by: int) -> Node:
    """A time some steps later."""
    terms = time.terms if isinstance(time, Add) else (time,)
    number = sum((v.value for v in terms if isinstance(v, Num)), Fraction(by))
    rest = tuple(v for v in terms if not isinstance(v, Num))
    return Add((*rest, Num(number))) if number or not rest else Add(rest)


def swap(node: Node, old: Node, new: Node) -> Node:
    """The same with one part in another's place, wherever it stands."""
    return new if node == old else node.mapped(lambda part: swap(part, old, new))


def _words(node: Node) -> str:
    match node:
        case Num():
            return str(node.value).replace("-", "−")
        case Add():
            text = "+".join(_words(v) for v in node.terms)
            return text.replace("+−", "−")
        case Mul():
            return "·".join(_words(v) for v in node.factors)
        case Ref():
            mark = f"^{node.mark}" if node.mark else ""
            lower = "_" + "".join(_words(v) for v in node.lower) if node.lower else ""
            args = f"({', '.join(_words(v) for v in node.args)})" if node.args else ""
            return node.name + "'" * node.primes + mark + lower + args
    return "…"
