"""A Program's body as Cython: loops and assignments."""

from __future__ import annotations

from collections.abc import Iterable

from derive.emit.columns import columns_loop
from derive.emit.elements import (
    VECTOR,
    by_vector,
    copies,
    element,
    element_type,
    in_columns,
    index_text,
    is_vector,
    kind_of,
    range_text,
    value_of,
)
from derive.emit.totals import together
from derive.program.ir import (
    Array,
    Assign,
    Lookup,
    Loop,
    Note,
    Program,
    Ref,
    Statement,
    Var,
    parts,
    walk,
)
from derive.program.passes.jam import HELD
from derive.program.schedules.lanes import COUNT

Calls = dict[tuple[int, int], str]
"""The call of a function that does a loop, by the identities of a Program and the loop."""


def core(
    program: Program, name: str, parameters: Iterable[tuple[str, str]], calls: Calls
) -> list[str]:
    """A function that computes: pointers and sizes in, nothing allocated, no Python.

    ``parameters`` are names and types.
    """
    arguments = [f"{kind} {name}" for name, kind in parameters]
    lines = [f"cdef void {name}("]
    lines += [f"    {a}," for a in arguments[:-1]] + [f"    {arguments[-1]}", ") noexcept nogil:"]
    for derived, index in program.derived.items():
        lines.append(f"    cdef Py_ssize_t {derived} = {index_text(index)}")
    for kind, names in locals_of(program).items():
        several = len(names) if kind == "Py_ssize_t" else 8
        for i in range(0, len(names), several):
            lines.append(f"    cdef {kind} {', '.join(names[i : i + several])}")
    return lines + body_of(program, calls)


def parameters_of(program: Program) -> list[tuple[str, str]]:
    """Names and types of what a Program's function takes."""
    arrays = [(a.name, pointer_type(program, a)) for a in passed(program)]
    return [*arrays, *((size, "Py_ssize_t") for size in program.sizes)]


def body_of(program: Program, calls: Calls) -> list[str]:
    """What such a function does; some loops by ``calls``."""
    return _body(program, program.body, 1, calls)


def counters(program: Program) -> list[str]:
    """The names of all counters."""
    names = sorted({s.var for s in walk(program.body) if isinstance(s, Loop)})
    return names + [VECTOR] * bool(by_vector(program)[0] or in_columns(program)[0])


def passed(program: Program) -> list[Array]:
    """The arrays a core function takes, in order."""
    return [a for a in program.arrays.values() if a.role in ("in", "out", "state", "work")]


def pointer_type(program: Program, a: Array) -> str:
    """The Cython type of an array argument."""
    element = element_type(program, a)
    return f"{element}_in" if a.role == "in" else f"{element}_out"


def locals_of(program: Program) -> dict[str, list[str]]:
    """Names of the local variables of each type."""
    found: dict[str, list[str]] = {"Py_ssize_t": names} if (names := counters(program)) else {}
    once = by_vector(program)[1]
    for a in program.arrays.values():
        if a.role == "scalar":
            names = found.setdefault(element_type(program, a), [])
            columns = in_columns(program)[1].get(a.name, 1)
            several = copies(program, a) > 1 and a.name not in once
            count = program.vectors if several else columns
            names += [f"{a.name}_of{v}" for v in range(count)] if count > 1 else [a.name]
    return found


def _body(
    program: Program, body: tuple[Statement, ...], depth: int, calls: Calls, vector: str = ""
) -> list[str]:
    indent = "    " * depth
    lines: list[str] = []
    waiting = list(body)
    while waiting:
        s = waiting.pop(0)
        if isinstance(s, Assign) and (run := _sum_after(s, waiting)):
            del waiting[: len(run)]
            for v in _vectors(program, s, vector):
                lines += _long_sum(program, s, run, indent, v)
            continue
        if totals := together(program, s, waiting):
            taken, line = totals
            del waiting[: taken - 1]
            lines.append(indent + line)
            continue
        match s:
            case Note(text):
                lines.append(f"{indent}# {text}")
            case Assign():
                lines += [indent + line for line in _assignments(program, s, vector)]
            case Loop() if (id(program), id(s)) in calls:
                lines.append(indent + calls[id(program), id(s)])
            case Loop() if id(s) in in_columns(program)[0]:
                lines += columns_loop(program, s, indent)
            case Loop():
                lines.append(f"{indent}for {s.var} in {range_text(s)}:")
                if id(s) in by_vector(program)[0]:
                    lines.append(f"{indent}    for {VECTOR} in range({program.vectors}):")
                    lines += _body(program, s.body, depth + 2, calls, VECTOR)
                else:
                    lines += _body(program, s.body, depth + 1, calls) or [f"{indent}    pass"]
                    sums = _one_by_one(program, s)
                    lines += [f"{indent}    k_one_by_one({name})" for name in sums]
    return lines or [f"{indent}pass"]


def _one_by_one(program: Program, loop: Loop) -> list[str]:
    """The sums of single numbers in a loop that finds what they are made of by a table.

    Neighbours in such a sum are no neighbours in memory, be they of other connections or of other
    steps. Compilers would gather them for a product of vectors, and take that apart again, as
    sums are made in order.
    """
    assigns = [s for s in loop.body if isinstance(s, Assign)]
    alone = all(not s.target.index for s in assigns) and len(assigns) == len(loop.body)
    if program.lane_width > 1 or not alone or loop.role not in ("connections", "time"):
        return []
    read = [i for s in assigns for _, r in s.reads if isinstance(r, Ref) for i in r.index]
    entries = [p for i in read for p in parts(i) if isinstance(p, Lookup)]
    if loop.role == "connections":
        entries = [p for p in entries if Var(loop.var) in set(parts(p.at))]
    names = {s.target.array for s in assigns if s.accumulate} if entries else set()
    return sorted(n for n in names if element_type(program, program.arrays[n]) == "real")


def _vectors(program: Program, s: Assign, vector: str) -> list[int | str]:
    """The vectors to which an assignment is done, one after another; ``vector`` if that is one."""
    if copies(program, program.arrays[s.target.array]) == 1:
        return [0]
    return [vector] if vector else list(range(program.vectors))


def _assignments(program: Program, s: Assign, vector: str) -> list[str]:
    arrays = [program.arrays[r.array] for _, r in s.reads if isinstance(r, Ref)]
    single = not any(is_vector(element_type(program, a)) for a in arrays)
    if s.accumulate and not single and not is_vector(kind_of(program, s)):
        values = [value_of(program, s, v) for v in range(program.vectors)]
        total = "k_total" if program.vectors == 1 else "k_total_of_two"
        return [f"{element(program, s.target)} += {total}({', '.join(values)}, {COUNT})"]
    return [_assignment(program, s, v, single) for v in _vectors(program, s, vector)]


def _assignment(program: Program, s: Assign, vector: int | str, single: bool) -> str:
    target = element(program, s.target, vector)
    value = value_of(program, s, vector)
    kind = kind_of(program, s)
    lanes = is_vector(kind)
    if s.accumulate:
        return f"{target} = {target} + {value}" if lanes else f"{target} += {value}"
    if kind == "lane" and program.arrays[s.target.array].meaning == HELD:
        return f"{target} = k_hold({value})"
    # A vector cannot be assigned a single number.
    if lanes and single:
        value = f"k_widen(k_lane({value}))" if kind == "wide_lane" else f"k_lane({value})"
    return f"{target} = {value}"


def _sum_after(first: Assign, rest: list[Statement]) -> list[Assign]:
    """The accumulations that directly follow an assignment to the same local variable or element.

    Written as one sum they are computed in the same order: a + b + c is (a + b) + c.
    """
    run: list[Assign] = []
    for s in rest[:MOST_TERMS]:
        if not (isinstance(s, Assign) and s.accumulate and s.target == first.target):
            break
        if any(r == first.target for _, r in s.reads):
            break
        run.append(s)
    return run


MOST_TERMS = 400
"""Terms in one sum: Cython's parser nests them."""


def _long_sum(
    program: Program, first: Assign, run: list[Assign], indent: str, vector: int | str
) -> list[str]:
    target = element(program, first.target, vector)
    lanes = program.lane_width > 1

    def term(s: Assign) -> str:
        text = value_of(program, s, vector)
        return text if s.expr.is_Mul and not text.startswith("-") else f"({text})"

    start = [target, term(first)] if first.accumulate else [term(first)]
    terms = start + [term(s) for s in run]
    if terms[0] in ("(0)", "(<real>0)"):
        terms[0] = "k_lane(0)" if lanes else "<real>0"
    lines, line = [], f"{indent}{target} = ({terms[0]}"
    for t in terms[1:]:
        if len(line) + len(t) > 96:
            lines.append(line)
            line = f"{indent}    + {t}"
        else:
            line += f" + {t}"
    return [*lines, line + ")"]
