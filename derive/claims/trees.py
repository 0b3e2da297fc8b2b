"""Equations changed in one place, put in order, and written as the terminal shows them."""

from __future__ import annotations

from fractions import Fraction

from derive.claims.syntax import (
    Add,
    Compare,
    Div,
    Group,
    Indicator,
    Member,
    Mul,
    Node,
    Num,
    Pow,
    Ref,
    Slope,
    Total,
)

ZERO, ONE = Num(Fraction(0)), Num(Fraction(1))


def shifted(time: Node, by: int) -> Node:
    """A time some steps later."""
    terms = time.terms if isinstance(time, Add) else (time,)
    number = sum((v.value for v in terms if isinstance(v, Num)), Fraction(by))
    rest = tuple(v for v in terms if not isinstance(v, Num))
    if number or not rest:
        return Add((*rest, Num(number))) if rest else Num(number)
    return rest[0] if len(rest) == 1 else Add(rest)


def delayed(time: Node, delay: str) -> Node:
    """A time without the whole steps in it, so many steps before."""
    terms = time.terms if isinstance(time, Add) else (time,)
    rest = tuple(v for v in terms if not isinstance(v, Num))
    return Add((*rest, Mul((Num(Fraction(-1)), Ref(delay)))))


def swap(node: Node, old: Node, new: Node) -> Node:
    """The same with one part in another's place, wherever it stands."""
    return new if node == old else node.mapped(lambda part: swap(part, old, new))


def tidy(node: Node) -> Node:
    """Without factors of 1, and with no sum or product of one thing."""
    node = node.mapped(tidy)
    match node:
        case Add((one,)) | Mul((one,)):
            return one
        case Mul():
            rest = tuple(v for v in node.factors if v != ONE)
            return node if len(rest) == len(node.factors) else tidy(Mul(rest or (ONE,)))
        case Add():
            rest = tuple(v for v in node.terms if v != ZERO)
            return node if len(rest) == len(node.terms) else tidy(Add(rest or (ZERO,)))
    return node


def written(node: Node) -> str:
    """A part of an equation as the terminal shows it."""
    match node:
        case Num():
            return str(node.value).replace("-", "−")
        case Add():
            return "+".join(written(v) for v in node.terms).replace("+−", "−")
        case Mul():
            text = "·".join(f"({written(v)})" if isinstance(v, Add) else written(v)
                            for v in node.factors)  # fmt: skip
            return "−" + text.removeprefix("−1·") if text.startswith("−1·") else text
        case Pow():
            return f"{_inside(node.base)}^{_inside(node.exponent)}"
        case Div():
            return f"{_inside(node.over)}/{_inside(node.under)}"
        case Ref():
            return _letter(node)
        case Slope():
            return f"∂{node.kind}{written(node.over)}/∂{written(node.under)}"
        case Total():
            over = "" if node.domain is None else _domain(node.domain)
            return f"Σ_{{{node.letter}{over}}} {written(node.body)}"
        case Group():
            if node.kind in ("∪", "∖"):
                return node.kind.join(map(written, node.of))
            return "T" + f"({written(node.of[0])})" if node.kind == "T" else node.kind
        case Member():
            return f"{written(node.index)}∈{written(node.group)}"
        case Compare():
            return f"{written(node.left)} {node.sign} {written(node.right)}"
        case Indicator():
            return f"1{{{written(node.condition)}}}".replace(" ", "")
    return "…"


def _inside(node: Node) -> str:
    return f"({written(node)})" if isinstance(node, Add | Mul) else written(node)


def _letter(node: Ref) -> str:
    above = "".join(map(written, node.upper))
    mark = f"^{node.mark}" if node.mark else ""
    upper = f"^{above}" if above else ""
    lower = "_" + "".join(map(written, node.lower)) if node.lower else ""
    args = f"({', '.join(map(written, node.args))})" if node.args else ""
    name = {"t0": "t₀", "t1": "t₁"}.get(node.name, node.name)
    return name + "'" * node.primes + mark + upper + lower + args


def _domain(domain: Group) -> str:
    if domain.kind == "range":
        first, last = map(written, domain.of)
        return f"={first}…{last}"
    return f"∈{written(domain)}"
