"""Copy parameters into the order in which loops over time read them, once a call.

``for c: s += δ[target[c]]*θ[weight[c]]`` looks two places up for each product, and jumps about in
θ. The copy is read from beginning to end; it costs one step's reading of θ a call.
"""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import (
    Array,
    Lookup,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    all_placed,
)
from derive.program.storage import copy


def read_in_order(program: Program) -> Program:
    """The program, its tables folded, with a copy for each table that says where a parameter is."""
    arrays, copies = dict(program.arrays), dict[str, Statement]()
    tables = {name: len(values) for name, values in program.tables.items()}

    def place(r: Ref) -> Ref:
        if not _is_looked_up(r, arrays):
            return r
        (entry,) = r.index
        assert isinstance(entry, Lookup)
        name = f"{r.array}_by_{entry.table}"
        if name not in copies:
            size, i = tables[entry.table], Var("i")
            meaning = f"{arrays[r.array].meaning}, in the order of {entry.table}"
            arrays[name] = Array(name, (size,), "work", meaning=meaning)
            read = copy(Ref(name, (i,)), Ref(r.array, (Lookup(entry.table, i),)))
            copies[name] = Loop(i.name, 0, size, (read,), "copy")
        return Ref(name, (entry.at,))

    body: list[Statement] = []
    for s in program.body:
        timed = isinstance(s, Loop) and s.role == "time"
        body += all_placed((s,), place) if timed else (s,)
    if not copies:
        return program
    return replace(program, arrays=arrays).with_body((*copies.values(), *body))


def _is_looked_up(r: Ref, arrays: dict[str, Array]) -> bool:
    a = arrays[r.array]
    return a.role == "in" and not a.batched and len(r.index) == 1 and isinstance(r.index[0], Lookup)
