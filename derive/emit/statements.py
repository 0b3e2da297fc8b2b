"""A Program's body as Cython: loops, assignments, and where each element stands in memory."""

from __future__ import annotations

from functools import lru_cache
from itertools import takewhile

from derive.blocks import BYTES
from derive.emit.expressions import expression
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Least,
    Lookup,
    Loop,
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
    affine,
    parts,
    plus,
    rebuilt,
    references,
    times,
    walk,
)
from derive.program.passes.jam import HELD, mentions
from derive.program.schedules.lanes import COUNT


def core(program: Program, name: str) -> list[str]:
    """The function that computes: pointers and sizes in, nothing allocated, no Python."""
    arguments = [
        *(f"{pointer_type(program, a)} {a.name}" for a in passed(program)),
        *(f"Py_ssize_t {s}" for s in program.sizes),
    ]
    lines = [f"cdef void {name}("]
    lines += [f"    {a}," for a in arguments[:-1]] + [f"    {arguments[-1]}", ") noexcept nogil:"]
    for derived, index in program.derived.items():
        lines.append(f"    cdef Py_ssize_t {derived} = {index_text(index)}")
    counters = sorted({s.var for s in walk(program.body) if isinstance(s, Loop)})
    counters += [VECTOR] * bool(_private(program)[0] or _in_columns(program)[0])
    if counters:
        lines.append(f"    cdef Py_ssize_t {', '.join(counters)}")
    for kind, names in _locals(program).items():
        for i in range(0, len(names), 8):
            lines.append(f"    cdef {kind} {', '.join(names[i : i + 8])}")
    return lines + _body(program, program.body, 1)


def passed(program: Program) -> list[Array]:
    """The arrays a core function takes, in order."""
    return [a for a in program.arrays.values() if a.role in ("in", "out", "state", "work")]


def pointer_type(program: Program, a: Array) -> str:
    """The Cython type of an array argument."""
    element = element_type(program, a)
    return f"{element}_in" if a.role == "in" else f"{element}_out"


def element_type(program: Program, a: Array) -> str:
    """``lane`` for a vector over sequences, ``real`` for one number; ``wide`` where float64 is."""
    wide = a.wide and program.itemsize < WIDE
    if a.name in _in_columns(program)[1]:
        return "columns"
    if program.lane_width > 1 and a.batched:
        return "wide_lane" if wide else "lane"
    return "wide" if wide else "real"


WIDE = 8
"""Bytes of a number that is float64 whatever the others are."""


def is_vector(element: str) -> bool:
    """Whether a type of elements is a vector over sequences."""
    return element.endswith("lane")


def _locals(program: Program) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    once = _private(program)[1]
    for a in program.arrays.values():
        if a.role == "scalar":
            names = found.setdefault(element_type(program, a), [])
            columns = _in_columns(program)[1].get(a.name, 1)
            several = _copies(program, a) > 1 and a.name not in once
            copies = program.vectors if several else columns
            names += [f"{a.name}_of{v}" for v in range(copies)] if copies > 1 else [a.name]
    return found


def _copies(program: Program, a: Array) -> int:
    """Vectors that stand for a number of an array; 1 where it is a single number."""
    return program.vectors if is_vector(element_type(program, a)) else 1


FEWEST = 6
"""Statements from which on a loop does one vector after another in a loop of its own: less text to
compile. Shorter ones have room for both."""

VECTOR = "vector"
"""The counter of that loop."""


@lru_cache(maxsize=16)
def _private(program: Program) -> tuple[frozenset[int], frozenset[str]]:
    """Loops that do one vector after another, by identity, and the local variables of these."""
    if program.vectors == 1:
        return frozenset(), frozenset()
    loops = [s for s in walk(program.body) if isinstance(s, Loop) and _may_take_turns(program, s)]
    within = {id(s): id(loop) for loop in loops for s in loop.body}
    users: dict[str, set[int]] = {}
    for s in walk(program.body):
        for name in _vector_locals(program, s):
            users.setdefault(name, set()).add(within.get(id(s), 0))
    good, before = {id(loop) for loop in loops}, set[int]()
    while good != before:
        before = good
        shared = {name for name, where in users.items() if not where <= good}
        good = {id(loop) for loop in loops if id(loop) in good
                and not any(_vector_locals(program, s) & shared for s in loop.body)}  # fmt: skip
    return frozenset(good), frozenset(n for n, where in users.items() if where <= good)


def _vector_locals(program: Program, s: Statement) -> set[str]:
    """The local variables of several vectors that an assignment sets or reads."""
    if not isinstance(s, Assign):
        return set()
    names = {r.array for r in references(s) if not r.index}
    arrays = [program.arrays[name] for name in names]
    return {a.name for a in arrays if a.role == "scalar" and _copies(program, a) > 1}


def _may_take_turns(program: Program, loop: Loop) -> bool:
    """Whether a loop has only statements of vectors, and sets its local variables before use."""
    assigns = [s for s in loop.body if isinstance(s, Assign)]
    if len(assigns) < FEWEST or any(isinstance(s, Loop) for s in loop.body):
        return False
    known: set[str] = set()
    for s in assigns:
        read = {r.array for _, r in s.reads if isinstance(r, Ref) and not r.index}
        read = (read | {s.target.array} if s.accumulate else read) & _vector_locals(program, s)
        if _copies(program, program.arrays[s.target.array]) == 1 or not read <= known:
            return False
        known.add(s.target.array)
    return True


def _body(program: Program, body: tuple[Statement, ...], depth: int, vector: str = "") -> list[str]:
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
        if together := _together(program, s, waiting):
            taken, line = together
            del waiting[: taken - 1]
            lines.append(indent + line)
            continue
        match s:
            case Note(text):
                lines.append(f"{indent}# {text}")
            case Assign():
                lines += [indent + line for line in _assignments(program, s, vector)]
            case Loop() if id(s) in _in_columns(program)[0]:
                lines += _columns(program, s, indent)
            case Loop():
                lines.append(f"{indent}for {s.var} in {_range(s)}:")
                if id(s) in _private(program)[0]:
                    lines.append(f"{indent}    for {VECTOR} in range({program.vectors}):")
                    lines += _body(program, s.body, depth + 2, VECTOR)
                else:
                    lines += _body(program, s.body, depth + 1) or [f"{indent}    pass"]
                    sums = _one_by_one(program, s)
                    lines += [f"{indent}    k_one_by_one({name})" for name in sums]
    return lines or [f"{indent}pass"]


@lru_cache(maxsize=16)
def _in_columns(program: Program) -> tuple[frozenset[int], dict[str, int]]:
    """Loops over columns with a loop inside, by identity, and the local variables they set.

    These with how many vectors each is of.

    A vector of columns at a time, what they sum stays in registers. Compilers vectorise a loop
    that has none inside by themselves.
    """
    if program.lane_width > 1:
        return frozenset(), {}
    loops = [
        s for s in walk(program.body)
        if isinstance(s, Loop) and s.role == "columns" and any(isinstance(t, Loop) for t in s.body)
    ]  # fmt: skip
    names: dict[str, int] = {}
    for loop in loops:
        for s in walk(loop.body):
            if isinstance(s, Assign) and not s.target.index:
                vectors = _vectors_of_columns(program, loop)
                names[s.target.array] = max(vectors, names.get(s.target.array, 1))
    return frozenset(map(id, loops)), names


def _columns(program: Program, loop: Loop, indent: str) -> list[str]:
    """A loop over columns by vectors of them, of which there is a whole number.

    Where there are few sums, they are of several vectors at once: a sum waits for its last term.
    """
    local = _in_columns(program)[1]
    vectors = _vectors_of_columns(program, loop)

    def read(r: Ref, v: int) -> tuple[str, bool]:
        """An element or vector, and whether it is the latter."""
        if not r.index:
            return (f"{r.array}{_numbered(program, r.array, v)}", r.array in local)
        if not any(mentions(i, loop.var) for i in r.index):
            return element(program, r), False
        here = plus(Var(loop.var), times(Var("COLUMNS"), v)) if v else Var(loop.var)
        index = tuple(rebuilt(i, lambda p: here if p == Var(loop.var) else None) for i in r.index)
        return f"(<columns_in>&{element(program, Ref(r.array, index))})[0]", True

    def assignment(s: Assign, v: int) -> str:
        names, across = {}, False
        for symbol, r in s.reads:
            names[symbol], is_vector_here = read(r, v) if isinstance(r, Ref) else (repr(r), False)
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
                out.append(f"{indent}for {s.var} in {_range(s)}:")
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


SUMS_OF_COLUMNS = 4
"""Vectors of sums at once, where these are few."""


def _vectors_of_columns(program: Program, loop: Loop) -> int:
    """How many vectors of columns each statement of such a loop is done for."""
    sums = {s.target.array for s in walk(loop.body) if isinstance(s, Assign) and s.accumulate}
    wanted = max(1, SUMS_OF_COLUMNS // max(1, len(sums)))
    # Whole numbers of so many vectors, as wide as any processor has them.
    widest = BYTES // program.itemsize
    assert isinstance(loop.stop, int)
    return next(v for v in range(wanted, 0, -1) if v == 1 or loop.stop % (v * widest) == 0)


def _numbered(program: Program, name: str, v: int) -> str:
    """What tells a local variable's vectors of columns apart."""
    return f"_of{v}" if _in_columns(program)[1].get(name, 1) > 1 else ""


def _range(loop: Loop) -> str:
    start, stop = index_text(loop.start), index_text(loop.stop)
    if loop.backward:
        first, end = plus(loop.stop, -1), plus(loop.start, -1)
        return f"range({index_text(first)}, {index_text(end)}, -1)"
    return f"range({start}, {stop})" if start != "0" else f"range({stop})"


def _is_total(program: Program, s: Statement) -> bool:
    """Whether a statement adds to a number in memory what a vector sums to."""
    if not isinstance(s, Assign) or not s.accumulate or not s.target.index:
        return False
    read = [
        element_type(program, program.arrays[r.array]) for _, r in s.reads if isinstance(r, Ref)
    ]
    return _kind(program, s) == "real" and "lane" in read and "wide_lane" not in read


def _together(program: Program, first: Statement, rest: list[Statement]) -> tuple[int, str] | None:
    """How many totals are added at once, ``first`` and those that follow, and how; or none."""
    if not _is_total(program, first):
        return None
    every = [first, *rest[: ROWS * ROWS - 1]]
    totals = [s for s in takewhile(lambda s: _is_total(program, s), every) if isinstance(s, Assign)]
    if program.vectors == 1 and (rows := _rows(program, totals)):
        places = [f"&{element(program, s.target)}" for s in rows[::ROWS]]
        return len(rows), _call(program, "k_total_of_rows", rows, places)
    four = totals[:ROWS]
    if len(four) < ROWS:
        return None
    of_two = "_of_two" if program.vectors > 1 else ""
    places = [f"&{element(program, s.target)}" for s in four]
    return ROWS, _call(program, f"k_total_of_four{of_two}", four, places)


ROWS = 4
"""Totals that are added at once, or rows of as many neighbours."""


def _rows(program: Program, totals: list[Assign]) -> list[Assign]:
    """Totals of four rows of four neighbours, row by row, if that is what they are."""
    if len(totals) < ROWS * ROWS or len({s.target.array for s in totals}) > 1:
        return []
    at = [offset(program.arrays[s.target.array], s.target.index) for s in totals]
    apart = [affine(plus(i, times(at[0], -1))) for i in at]
    steps = [form[1] for form in apart if form is not None and not any(form[0].values())]
    if len(steps) < len(totals):
        return []
    order = sorted(range(len(totals)), key=steps.__getitem__)
    rows = [order[i : i + ROWS] for i in range(0, len(order), ROWS)]
    neighbours = all(steps[row[i]] == steps[row[0]] + i for row in rows for i in range(ROWS))
    return [totals[i] for i in order] if neighbours else []


def _call(program: Program, name: str, totals: list[Assign], places: list[str]) -> str:
    values = [_value(program, s, v) for s in totals for v in range(program.vectors)]
    return f"{name}({', '.join([*values, COUNT, *places])})"


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
    if _copies(program, program.arrays[s.target.array]) == 1:
        return [0]
    return [vector] if vector else list(range(program.vectors))


def _assignments(program: Program, s: Assign, vector: str) -> list[str]:
    arrays = [program.arrays[r.array] for _, r in s.reads if isinstance(r, Ref)]
    single = not any(is_vector(element_type(program, a)) for a in arrays)
    if s.accumulate and not single and not is_vector(_kind(program, s)):
        values = [_value(program, s, v) for v in range(program.vectors)]
        total = "k_total" if program.vectors == 1 else "k_total_of_two"
        return [f"{element(program, s.target)} += {total}({', '.join(values)}, {COUNT})"]
    return [_assignment(program, s, v, single) for v in _vectors(program, s, vector)]


def _assignment(program: Program, s: Assign, vector: int | str, single: bool) -> str:
    target = element(program, s.target, vector)
    value = _value(program, s, vector)
    kind = _kind(program, s)
    lanes = is_vector(kind)
    if s.accumulate:
        return f"{target} = {target} + {value}" if lanes else f"{target} += {value}"
    if kind == "lane" and program.arrays[s.target.array].meaning == HELD:
        return f"{target} = k_hold({value})"
    # A vector cannot be assigned a single number.
    if lanes and single:
        value = f"k_widen(k_lane({value}))" if kind == "wide_lane" else f"k_lane({value})"
    return f"{target} = {value}"


def _kind(program: Program, s: Assign) -> str:
    return element_type(program, program.arrays[s.target.array])


CONVERT = {("wide_lane", "lane"): "k_widen", ("lane", "wide_lane"): "k_narrow"}
"""From the types of what is assigned to and of what is read; single numbers C converts itself."""


def _value(program: Program, s: Assign, vector: int | str) -> str:
    kind = _kind(program, s)

    def read(r: Ref) -> str:
        how = CONVERT.get((kind, element_type(program, program.arrays[r.array])))
        here = element(program, r, vector)
        return f"{how}({here})" if how else here

    names = {symbol: read(r) if isinstance(r, Ref) else f"<real>{r!r}" for symbol, r in s.reads}
    return expression(s.expr, names, program.lane_width > 1, program.itemsize)


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
        text = _value(program, s, vector)
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


def element(program: Program, r: Ref, vector: int | str = 0) -> str:
    """One element: a local variable, or pointer[offset]; of several vectors one."""
    a = program.arrays[r.array]
    several = _copies(program, a) > 1
    if a.role == "scalar":
        once = vector == VECTOR or not several or a.name in _private(program)[1]
        return a.name if once else f"{a.name}_of{vector}"
    if a.role == "const":
        return f"table_{a.name}[{index_text(r.index[0])}]"
    at = offset(a, r.index)
    if several:
        at = plus(times(at, program.vectors), Var(vector) if isinstance(vector, str) else vector)
    return f"{a.name}[{index_text(at)}]"


def offset(a: Array, index: tuple[Index, ...]) -> Index:
    """The place of an element in row-major order."""
    at: Index = 0
    for i, extent in zip(index, a.shape, strict=True):
        at = plus(times(at, extent), i)
    return at


def index_text(index: Index) -> str:
    """An index as C and Cython."""
    match index:
        case int():
            return str(index)
        case Var(name):
            return name
        case Lookup(table, at):
            return f"table_{table}[{index_text(at)}]"
        case Plus(left, int(right)) if right < 0:
            return f"{index_text(left)} - {-right}"
        case Plus(left, Times(inner, -1)):
            return f"{index_text(left)} - {_tight(inner)}"
        case Plus(left, right):
            return f"{index_text(left)} + {index_text(right)}"
        case Times(left, right):
            return f"{_tight(left)}*{_tight(right)}"
        case Modulo(left, size):
            return f"({index_text(left)}) % {size}"
        case Quotient(left, size):
            return f"({index_text(left)}) // {_tight(size)}"
        case Root(left):
            return f"k_root({index_text(left)})"
        case Least(left, right):
            return f"k_least({index_text(left)}, {index_text(right)})"
        case Most(left, right):
            return f"k_most({index_text(left)}, {index_text(right)})"
    raise TypeError(index)


def _tight(index: Index) -> str:
    text = index_text(index)
    return f"({text})" if isinstance(index, Plus | Modulo | Quotient) else text
