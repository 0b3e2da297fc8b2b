"""A Program as indented pseudo-code, in the paper's letters."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr

from derive.program.ir import (
    Assign,
    Index,
    Least,
    Lookup,
    Loop,
    Meet,
    Modulo,
    Most,
    Note,
    Plus,
    Program,
    Quotient,
    Ref,
    Root,
    Statement,
    Times,
    Var,
)

PAPER = {"eps": "ε", "delta": "δ", "grad_theta": "∂J/∂θ", "grad_x": "∂J/∂x", "grad_y0": "∂J/∂y0",
         "theta": "θ"}  # fmt: skip


def pretty(program: Program, most: int = 400) -> str:
    """The program as text; at most ``most`` lines."""
    sizes = ", ".join(program.sizes)
    lines = [f"{program.name}({sizes})  — schedule: {program.schedule}"]
    for a in program.arrays.values():
        if a.role != "scalar":
            shape = ", ".join(index_text(e) for e in a.shape)
            lines.append(f"  {a.role:5} {PAPER.get(a.name, a.name)}[{shape}]  {a.meaning}".rstrip())
    lines += [f"  {name} = {index_text(index)}" for name, index in program.derived.items()]
    for name, values in program.tables.items():
        lines.append(f"  table {name}[{len(values)}]")
    lines += _body(program.body, 1)
    if len(lines) > most:
        lines[most:] = [f"  … {len(lines) - most} more lines"]
    return "\n".join(lines)


def _body(body: tuple[Statement, ...], depth: int) -> list[str]:
    indent = "  " * depth
    lines = []
    for s in body:
        match s:
            case Note(text):
                lines.append(f"{indent}# {text}")
            case Meet():
                lines.append(f"{indent}# threads meet")
            case Loop():
                start, stop = index_text(s.start), index_text(s.stop)
                span = f"{stop}−1 … {start}" if s.backward else f"{start} … {stop}−1"
                lines.append(f"{indent}for {s.var} = {span}:")
                lines += _body(s.body, depth + 1)
            case Assign():
                sign = "+=" if s.accumulate else "="
                lines.append(f"{indent}{_ref(s.target)} {sign} {_expr(s.expr, s.reads)}")
    return lines


def _expr(expr: Expr, reads: Any) -> str:
    names = {v: sympy.Symbol(_ref(r) if isinstance(r, Ref) else repr(r)) for v, r in reads}
    return str(expr.xreplace(names)).replace("**2", "²")


def _ref(r: Ref) -> str:
    name = PAPER.get(r.array, r.array)
    for prefix in ("u_", "v_"):
        name = name.removeprefix(prefix)
    return f"{name}[{', '.join(index_text(i) for i in r.index)}]" if r.index else name


def index_text(index: Index) -> str:
    """An index as text."""
    match index:
        case int():
            return str(index)
        case Var(name):
            return name
        case Lookup(table, at):
            return f"{table}[{index_text(at)}]"
        case Plus(left, int(right)) if right < 0:
            return f"{index_text(left)}−{-right}"
        case Plus(left, Times(inner, -1)):
            return f"{index_text(left)}−{_bracket(inner)}"
        case Plus(left, right):
            return f"{index_text(left)}+{index_text(right)}"
        case Times(left, right):
            return f"{_bracket(left)}·{_bracket(right)}"
        case Modulo(left, size):
            return f"({index_text(left)}) mod {size}"
        case Quotient(left, size):
            return f"⌊({index_text(left)})/{index_text(size)}⌋"
        case Root(left):
            return f"⌈√{_bracket(left)}⌉"
        case Least(left, right):
            return f"min({index_text(left)}, {index_text(right)})"
        case Most(left, right):
            return f"max({index_text(left)}, {index_text(right)})"
    raise TypeError(index)


def _bracket(index: Index) -> str:
    return f"({index_text(index)})" if isinstance(index, Plus) else index_text(index)
