"""A Program's body as Cython: loops and assignments."""

from __future__ import annotations

from collections.abc import Iterable

from derive.emit.columns import columns_loop
from derive.emit.elements import (
    GROUP,
    HERE,
    STRIDE,
    VECTOR,
    by_vector,
    carried,
    copies,
    element,
    element_type,
    in_columns,
    in_groups,
    index_text,
    is_vector,
    kind_of,
    range_text,
    value_of,
)
from derive.emit.groups import (
    IN_GROUP,
    IN_PART,
    ONE,
    PART,
    by_group,
    locals_of_sums,
    places,
    segments,
    sum_of_vectors,
)
from derive.emit.totals import ROWS, in_order, together
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Meet,
    Note,
    Program,
    Ref,
    Statement,
    Var,
    parts,
    plus,
    times,
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
    parameters = list(parameters)
    arguments = [f"{kind} {name}".replace("* ", "*") for name, kind in parameters]
    lines = [f"cdef void {name}("]
    lines += [f"    {a}," for a in arguments[:-1]] + [f"    {arguments[-1]}", ") noexcept nogil:"]
    given = [name for name, _ in parameters]
    for derived, index in {**program.derived, **strides(program)}.items():
        if derived not in given:
            lines.append(f"    cdef Py_ssize_t {derived} = {index_text(index)}")
    for kind, names in locals_of(program).items():
        several = len(names) if kind == "Py_ssize_t" else 8
        for i in range(0, len(names), several):
            lines.append(f"    cdef {kind} {', '.join(names[i : i + several])}")
    return lines + body_of(program, calls)


def strides(program: Program) -> dict[str, Index]:
    """How many vectors there are from the numbers of one group to those of the next."""
    found: dict[str, Index] = {}
    for a in passed(program):
        if in_groups(program, a):
            stride: Index = program.vectors
            for extent in a.shape:
                stride = times(stride, MASK_ROWS if extent == Var("mask_rows") else extent)
            found[STRIDE.format(a.name)] = stride
    return found


MASK_ROWS = plus(times(plus(Var("T"), -1), Var("mask_step")), 1)
"""A mask has one row if all its rows are alike."""


CREW = "crew"
"""The threads that do a Program together."""


def parameters_of(program: Program) -> list[tuple[str, str]]:
    """Names and types of what a Program's function takes."""
    arrays = [(a.name, pointer_type(program, a)) for a in passed(program)]
    crew = [(CREW, "k_crew *")] if program.grains > 1 else []
    return [*arrays, *((size, "Py_ssize_t") for size in program.sizes), *crew]


def body_of(program: Program, calls: Calls) -> list[str]:
    """What such a function does; some loops by ``calls``."""
    return _body(program, program.body, 1, calls, COUNT if program.groups == 1 else "")


def counters(program: Program) -> list[str]:
    """The names of all counters."""
    names = sorted({s.var for s in walk(program.body) if isinstance(s, Loop)})
    sums = bool(locals_of_sums(program)[0])
    names += [VECTOR] * bool(sums or by_vector(program)[0] or in_columns(program)[0])
    return names + [GROUP, ONE] * (program.groups > 1) + [PART] * sums


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
    in_sums, others = locals_of_sums(program)
    for a in program.arrays.values():
        if a.role == "scalar":
            names = found.setdefault(element_type(program, a), [])
            columns = in_columns(program)[1].get(a.name, 1)
            several = copies(program, a) > 1 and a.name not in once
            count = program.vectors if several else columns
            if a.name in in_sums and several:
                names.append(a.name)
                if a.name not in others:
                    continue
            if a.name in carried(program):
                names.append(f"{a.name}[{program.groups * copies(program, a)}]")
            else:
                names += [f"{a.name}_of{v}" for v in range(count)] if count > 1 else [a.name]
    for name in places(program, program.body):
        a = program.arrays[name]
        kind = "const " * (a.role == "in") + element_type(program, a)
        found.setdefault(kind, []).append(f"*{HERE.format(name)}")
    return found


def _body(
    program: Program, body: tuple[Statement, ...], depth: int, calls: Calls, count: str
) -> list[str]:
    """Statements for the vectors of one group, of which ``count`` sequences are; for all if not."""
    if program.vectors * program.groups == 1:
        return _statements(program, body, depth, calls, count)
    lines: list[str] = []
    of_group = program.groups > 1 and bool(count)
    for segment in segments(program, body):
        sums = None if of_group else sum_of_vectors(program, segment)
        if sums is not None:
            lines += _sum(program, *sums, depth)
        elif count:
            lines += _statements(program, segment, depth, calls, count)
        else:
            lines += _for_all_groups(program, segment, depth, calls)
    return lines or [f"{'    ' * depth}pass"]


def _statements(
    program: Program,
    body: tuple[Statement, ...],
    depth: int,
    calls: Calls,
    count: str,
    vector: int | str | None = None,
) -> list[str]:
    """Statements one after another, for one vector or all of a group."""
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
        if totals := together(program, s, waiting, count, vector):
            taken, line = totals
            del waiting[: taken - 1]
            lines.append(indent + line)
            continue
        match s:
            case Note(text):
                lines.append(f"{indent}# {text}")
            case Meet():
                lines.append(f"{indent}k_meet({CREW})")
            case Assign():
                lines += [indent + line for line in _assignments(program, s, count, vector)]
            case Loop():
                lines += _loop(program, s, depth, calls, count)
    return lines or [f"{indent}pass"]


def _loop(program: Program, s: Loop, depth: int, calls: Calls, count: str) -> list[str]:
    indent = "    " * depth
    if (id(program), id(s)) in calls:
        return [indent + calls[id(program), id(s)]]
    if id(s) in in_columns(program)[0]:
        return columns_loop(program, s, indent)
    lines = [f"{indent}for {s.var} in {range_text(s)}:"]
    if id(s) in by_vector(program)[0]:
        lines.append(f"{indent}    for {VECTOR} in range({program.vectors}):")
        return lines + _statements(program, s.body, depth + 2, calls, count, VECTOR)
    lines += _body(program, s.body, depth + 1, calls, count)
    return lines + [f"{indent}    k_one_by_one({name})" for name in _one_by_one(program, s)]


def _sum(
    program: Program,
    before: tuple[Statement, ...],
    loop: Loop,
    after: tuple[Statement, ...],
    depth: int,
) -> list[str]:
    """Sums over steps, and over vectors of a block: of those that are whole, then of the last."""
    indent = "    " * depth
    one = VECTOR if program.groups == 1 else ONE
    totals = in_order(program, after)
    soon = [f"{indent}k_soon(&{element(program, s.target)})" for s in totals[::ROWS]]
    where = [f"{indent}        {VECTOR} = {ONE} % {program.vectors}"] * (program.groups > 1)
    return [
        *soon,
        f"{indent}for {PART} in range(k_parts({COUNT})):",
        *_statements(program, before, depth + 1, {}, IN_PART, VECTOR),
        f"{indent}    for {one} in range(k_first({PART}, {COUNT}), k_last({PART}, {COUNT})):",
        *where,
        *_places(program, (loop,), depth + 2, f"{ONE}//{program.vectors}"),
        f"{indent}        for {loop.var} in {range_text(loop)}:",
        *_statements(program, loop.body, depth + 3, {}, IN_PART, VECTOR),
        *_statements(program, tuple(totals), depth + 1, {}, IN_PART, VECTOR),
    ]


def _for_all_groups(
    program: Program, segment: tuple[Statement, ...], depth: int, calls: Calls
) -> list[str]:
    """A lot of statements for one group of vectors after another, where they are of vectors."""
    indent = "    " * depth
    known = len(segment) == 1 and (id(program), id(segment[0])) in calls
    if not known and by_group(program, segment):
        over = f"{indent}for {GROUP} in range(k_groups({COUNT})):"
        here = _places(program, segment, depth + 1, GROUP)
        return [over, *here, *_statements(program, segment, depth + 1, calls, IN_GROUP)]
    (s,) = segment
    if isinstance(s, Loop):
        return _loop(program, s, depth, calls, "")
    return _statements(program, segment, depth, calls, IN_GROUP)


def _places(program: Program, segment: tuple[Statement, ...], depth: int, group: str) -> list[str]:
    """Where the numbers of a group are."""
    return [
        f"{'    ' * depth}{HERE.format(n)} = {n} + {group}*{STRIDE.format(n)}"
        for n in places(program, segment)
    ]


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


def _vectors(program: Program, s: Assign, vector: int | str | None) -> list[int | str]:
    """The vectors to which an assignment is done, one after another; ``vector`` if that is one."""
    if copies(program, program.arrays[s.target.array]) == 1:
        return [0]
    return list(range(program.vectors)) if vector is None else [vector]


def _assignments(program: Program, s: Assign, count: str, vector: int | str | None) -> list[str]:
    arrays = [program.arrays[r.array] for _, r in s.reads if isinstance(r, Ref)]
    single = not any(is_vector(element_type(program, a)) for a in arrays)
    if s.accumulate and not single and not is_vector(kind_of(program, s)):
        several = range(program.vectors) if vector is None else [vector]
        values = [value_of(program, s, v) for v in several]
        total = "k_total" if len(values) == 1 else "k_total_of_two"
        return [f"{element(program, s.target)} += {total}({', '.join(values)}, {count})"]
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
