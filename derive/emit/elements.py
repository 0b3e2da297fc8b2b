"""Of what type each number of a Program is, and how it is written: places, indices, values."""

from __future__ import annotations

from functools import lru_cache

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
    Plus,
    Program,
    Quotient,
    Ref,
    Root,
    Statement,
    Times,
    Var,
    needed,
    offset,
    plus,
    references,
    times,
    walk,
)


def element_type(program: Program, a: Array) -> str:
    """``lane`` for a vector over sequences, ``real`` for one number; ``wide`` where float64 is."""
    wide = a.wide and program.itemsize < WIDE
    if a.name in in_columns(program)[1]:
        return "columns"
    if program.lane_width > 1 and a.batched:
        return "wide_lane" if wide else "lane"
    return "wide" if wide else "real"


WIDE = 8
"""Bytes of a number that is float64 whatever the others are."""


def is_vector(element: str) -> bool:
    """Whether a type of elements is a vector over sequences."""
    return element.endswith("lane")


def copies(program: Program, a: Array) -> int:
    """Vectors that stand for a number of an array in a group; 1 where it is a single number."""
    return program.vectors if is_vector(element_type(program, a)) else 1


def in_groups(program: Program, a: Array) -> bool:
    """Whether an array in memory has numbers of several groups, those of a group together."""
    vectors = is_vector(element_type(program, a))
    return vectors and program.groups > 1 and a.role not in ("scalar", "const")


def kind_of(program: Program, s: Assign) -> str:
    """The type of what an assignment sets."""
    return element_type(program, program.arrays[s.target.array])


CONVERT = {("wide_lane", "lane"): "k_widen", ("lane", "wide_lane"): "k_narrow"}
"""From the types of what is assigned to and of what is read; single numbers C converts itself."""


def value_of(program: Program, s: Assign, vector: int | str) -> str:
    """The right-hand side of an assignment, for one of several vectors, in the target's type."""
    kind = kind_of(program, s)

    def read(r: Ref) -> str:
        how = CONVERT.get((kind, element_type(program, program.arrays[r.array])))
        here = element(program, r, vector)
        return f"{how}({here})" if how else here

    names = {symbol: read(r) if isinstance(r, Ref) else f"<real>{r!r}" for symbol, r in s.reads}
    return expression(s.expr, names, program.lane_width > 1, program.itemsize)


def element(program: Program, r: Ref, vector: int | str = 0) -> str:
    """One element: a local variable, or pointer[offset]; of several vectors one."""
    a = program.arrays[r.array]
    several = copies(program, a) > 1
    if a.role == "scalar" and a.name not in carried(program):
        once = vector == VECTOR or not several or a.name in by_vector(program)[1]
        return a.name if once else f"{a.name}_of{vector}"
    if a.role == "const":
        return f"table_{a.name}[{index_text(r.index[0])}]"
    name, at = a.name, offset(a, r.index)
    if a.name in carried(program):
        at = Var(GROUP)
    elif in_groups(program, a):
        name = HERE.format(a.name)
    if several:
        one = Var(vector) if isinstance(vector, str) else vector
        at = plus(times(at, program.vectors), one)
    return f"{name}[{index_text(at)}]"


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


def range_text(loop: Loop) -> str:
    """What a loop's counter runs over, in Cython."""
    start, stop = index_text(loop.start), index_text(loop.stop)
    if loop.backward:
        first, end = plus(loop.stop, -1), plus(loop.start, -1)
        return f"range({index_text(first)}, {index_text(end)}, -1)"
    return f"range({start}, {stop})" if start != "0" else f"range({stop})"


FEWEST = 6
"""Statements from which on a loop does one vector after another in a loop of its own: less text to
compile. Shorter ones have room for both."""


VECTOR = "vector"
"""The counter of that loop."""

GROUP = "group_of_lanes"
"""The counter of loops that do one group of vectors after another."""

HERE, STRIDE = "{}_of_group", "{}_stride"
"""Where an array's numbers of a group begin, and how many vectors further those of the next."""


@lru_cache(maxsize=16)
def carried(program: Program) -> frozenset[str]:
    """Local variables that bring vectors from step to step, and so those of all groups."""
    if program.groups == 1:
        return frozenset()
    found: set[str] = set()
    for s in walk(program.body):
        if isinstance(s, Loop) and s.role == "time" and any(isinstance(t, Loop) for t in s.body):
            found |= needed((s,), set())
    return frozenset(n for n in found if is_vector(element_type(program, program.arrays[n])))


@lru_cache(maxsize=16)
def by_vector(program: Program) -> tuple[frozenset[int], frozenset[str]]:
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
    several = {a.name for a in arrays if a.role == "scalar" and copies(program, a) > 1}
    return several - carried(program)


def _may_take_turns(program: Program, loop: Loop) -> bool:
    """Whether a loop has only statements of vectors, and sets its local variables before use."""
    assigns = [s for s in loop.body if isinstance(s, Assign)]
    if len(assigns) < FEWEST or any(isinstance(s, Loop) for s in loop.body):
        return False
    known: set[str] = set()
    for s in assigns:
        read = {r.array for _, r in s.reads if isinstance(r, Ref) and not r.index}
        read = (read | {s.target.array} if s.accumulate else read) & _vector_locals(program, s)
        if copies(program, program.arrays[s.target.array]) == 1 or not read <= known:
            return False
        known.add(s.target.array)
    return True


@lru_cache(maxsize=16)
def in_columns(program: Program) -> tuple[frozenset[int], dict[str, int]]:
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
                vectors = vectors_of_columns(program, loop)
                names[s.target.array] = max(vectors, names.get(s.target.array, 1))
    return frozenset(map(id, loops)), names


def widest_columns(program: Program) -> int:
    """Bytes of a vector of columns at most: no more than a page that numbers are found in has."""
    return min(BYTES, program.page * program.itemsize or BYTES)


SUMS_OF_COLUMNS = 4
"""Vectors of sums at once, where these are few."""


def vectors_of_columns(program: Program, loop: Loop) -> int:
    """How many vectors of columns each statement of such a loop is done for."""
    sums = {s.target.array for s in walk(loop.body) if isinstance(s, Assign) and s.accumulate}
    wanted = max(1, SUMS_OF_COLUMNS // max(1, len(sums)))
    # Whole numbers of so many vectors, as wide as any processor has them.
    widest = widest_columns(program) // program.itemsize
    assert isinstance(loop.stop, int)
    return next(v for v in range(wanted, 0, -1) if v == 1 or loop.stop % (v * widest) == 0)
