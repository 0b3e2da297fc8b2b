"""Loops over the columns of a row as vectors of columns, for sums that stay in registers."""

from __future__ import annotations

from derive.emit.elements import (
    VECTOR,
    element,
    in_columns,
    index_text,
    range_text,
    vectors_of_columns,
)
from derive.emit.expressions import expression
from derive.program.ir import (
    Assign,
    Index,
    Lookup,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    plus,
    rebuilt,
    summands,
    times,
)
from derive.program.passes.jam import HELD, mentions


def columns_loop(program: Program, loop: Loop, indent: str) -> list[str]:
    """A loop over columns by vectors of them, of which there is a whole number.

    Where there are few sums, they are of several vectors at once: a sum waits for its last term.
    """
    local = in_columns(program)[1]
    vectors = vectors_of_columns(program, loop)

    def read(r: Ref, v: int) -> tuple[str, bool]:
        """An element or vector, and whether it is the latter."""
        if not r.index:
            return (f"{r.array}{_numbered(program, r.array, v)}", r.array in local)
        if not any(mentions(i, loop.var) for i in r.index):
            return element(program, r), False
        here = plus(Var(loop.var), times(Var("COLUMNS"), v)) if v else Var(loop.var)
        index = tuple(rebuilt(i, lambda p: here if p == Var(loop.var) else None) for i in r.index)
        if page := _looked_up(index, loop.var):
            begin, places = page
            at = f"&table_{places.table}[{index_text(places.at)}]"
            return f"k_looked_up(&{element(program, Ref(r.array, (begin,)))}, {at})", True
        return f"(<columns_in>&{element(program, Ref(r.array, index))})[0]", True

    def assignment(s: Assign, v: int) -> str:
        names, across = {}, False
        for symbol, r in s.reads:
            names[symbol], is_vector_here = (
                read(r, v) if isinstance(r, Ref) else (f"<real>{r!r}", False)
            )
            across |= is_vector_here
        value = expression(s.expr, names, False, program.itemsize)
        if not across:
            value = f"k_columns({value})"
        if program.arrays[s.target.array].meaning == HELD:
            value = f"k_columns_held({value})"
        target = read(s.target, v)[0].replace("columns_in", "columns_out")
        return f"{target} {'+=' if s.accumulate else '='} {value}"

    def lines(body: tuple[Statement, ...], indent: str) -> list[str]:
        out: list[str] = []
        for s in body:
            if isinstance(s, Loop):
                out.append(f"{indent}for {s.var} in {range_text(s)}:")
                out += lines(s.body, indent + "    ")
            elif isinstance(s, Assign):
                out += [indent + assignment(s, v) for v in range(vectors)]
        return out

    size = "COLUMNS" if vectors == 1 else f"({vectors}*COLUMNS)"
    first = [
        f"{indent}for {VECTOR} in range({index_text(loop.stop)}//{size}):",
        f"{indent}    {loop.var} = {VECTOR}*{size}",
        f"{indent}    k_columns_begin()",
    ]
    return first + lines(loop.body, indent + "    ")


def _looked_up(index: tuple[Index, ...], var: str) -> tuple[Index, Lookup] | None:
    """Where a page begins and by what table a column's number is found, if a place is that."""
    inside = [p for i in index for p in summands(i)]
    tables = [p for p in inside if isinstance(p, Lookup) and mentions(p, var)]
    if len(index) > 1 or len(tables) != 1:
        return None
    return plus(*(p for p in inside if p is not tables[0])), tables[0]


def _numbered(program: Program, name: str, v: int) -> str:
    """What tells a local variable's vectors of columns apart."""
    return f"_of{v}" if in_columns(program)[1].get(name, 1) > 1 else ""
