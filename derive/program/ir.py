"""Programs: loops over time, units and connections around SymPy right-hand sides.

Supported: loops with bounds that are whole numbers, sizes known at run time (T) or entries of
static tables; assignment and accumulation into array elements; right-hand sides in SymPy.
Not supported, on purpose: conditions on data (a right-hand side may be Piecewise), recursion,
allocation, calls. That is what lets one Program be printed, proved, run, counted and typeset.

A right-hand side is written in a cell's own symbols and ``reads`` says where each one lives.
Schedules move the reads and leave the expression alone, so the order of operations, and with it
every bit of the result, is the same in each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from sympy import Expr, Symbol

from derive.errors import ProgramError

# --- whole numbers that index arrays and bound loops ------------------------------------------


@dataclass(frozen=True, slots=True)
class Var:
    """A loop's counter, or a size known at run time."""

    name: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """An entry of a static table."""

    table: str
    at: Index


@dataclass(frozen=True, slots=True)
class Plus:
    """A sum of two indices."""

    left: Index
    right: Index


@dataclass(frozen=True, slots=True)
class Times:
    """An index times a whole number or a size."""

    left: Index
    right: Index


@dataclass(frozen=True, slots=True)
class Modulo:
    """A place in a ring of ``size`` slots."""

    left: Index
    size: int


@dataclass(frozen=True, slots=True)
class Quotient:
    """An index, not negative, divided by a positive one and rounded down."""

    left: Index
    size: Index


@dataclass(frozen=True, slots=True)
class Root:
    """The square root of an index that is not negative, rounded up."""

    left: Index


@dataclass(frozen=True, slots=True)
class Least:
    """The smaller of two indices: the end of a last window that is not whole."""

    left: Index
    right: Index


@dataclass(frozen=True, slots=True)
class Most:
    """The larger of two indices: the start of a window that would begin before time 0."""

    left: Index
    right: Index


Index = int | Var | Lookup | Plus | Times | Modulo | Quotient | Root | Least | Most


def plus(*terms: Index) -> Index:
    """A sum, with its constants gathered at the end."""
    constant = 0
    total: Index | None = None
    waiting = list(terms)
    while waiting:
        term = waiting.pop(0)
        if isinstance(term, int):
            constant += term
        elif isinstance(term, Plus):
            waiting[:0] = [term.left, term.right]
        else:
            total = term if total is None else Plus(total, term)
    if total is None:
        return constant
    return Plus(total, constant) if constant else total


def times(left: Index, right: Index) -> Index:
    """A product, folded where it can be."""
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    if isinstance(left, int):
        left, right = right, left
    if right == 0:
        return 0
    if right == 1:
        return left
    return Times(left, right)


def modulo(left: Index, size: int) -> Index:
    """A place in a ring, folded where it can be."""
    if size == 1:
        return 0
    return left % size if isinstance(left, int) else Modulo(left, size)


def quotient(left: Index, size: Index) -> Index:
    """A quotient rounded down, folded where it can be."""
    if size == 1:
        return left
    if isinstance(left, int) and isinstance(size, int):
        return left // size
    return Quotient(left, size)


def root(left: Index) -> Index:
    """A square root rounded up, folded where it can be."""
    return square_root(left) if isinstance(left, int) else Root(left)


def square_root(number: int) -> int:
    """The least whole number whose square is not less than a number."""
    return math.isqrt(number - 1) + 1 if number > 0 else 0


def least(left: Index, right: Index) -> Index:
    """The smaller of two, folded where it can be."""
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    return left if left == right else Least(left, right)


def most(left: Index, right: Index) -> Index:
    """The larger of two, folded where it can be."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    return left if left == right else Most(left, right)


def rebuilt(index: Index, change: Callable[[Index], Index | None]) -> Index:
    """``index`` with every part for which ``change`` gives a replacement replaced."""
    changed = change(index)
    if changed is not None:
        return changed
    match index:
        case Lookup(table, at):
            again = Lookup(table, rebuilt(at, change))
            changed = change(again) if again != index else None
            return again if changed is None else changed
        case Plus(left, right):
            return plus(rebuilt(left, change), rebuilt(right, change))
        case Times(left, right):
            return times(rebuilt(left, change), rebuilt(right, change))
        case Modulo(left, size):
            return modulo(rebuilt(left, change), size)
        case Quotient(left, size):
            return quotient(rebuilt(left, change), rebuilt(size, change))
        case Root(left):
            return root(rebuilt(left, change))
        case Least(left, right):
            return least(rebuilt(left, change), rebuilt(right, change))
        case Most(left, right):
            return most(rebuilt(left, change), rebuilt(right, change))
    return index


def parts(index: Index) -> Iterator[Index]:
    """An index and everything in it, each before what is in it, left before right."""
    left_over = [index]
    while left_over:
        part = left_over.pop()
        yield part
        match part:
            case int() | Var():
                pass
            case Lookup(_, at):
                left_over.append(at)
            case Modulo(inside, _) | Root(inside):
                left_over.append(inside)
            case (
                Plus(left, right)
                | Times(left, right)
                | Least(left, right)
                | Most(left, right)
                | Quotient(left, right)
            ):
                left_over += (right, left)


def summands(index: Index) -> list[Index]:
    """What an index is the sum of."""
    return [*summands(index.left), *summands(index.right)] if isinstance(index, Plus) else [index]


def unturned(index: Index) -> Index:
    """What a place in a ring is the remainder of; any other index itself."""
    return index.left if isinstance(index, Modulo) else index


# --- storage and statements -------------------------------------------------------------------

Role = Literal["in", "out", "state", "work", "scalar", "const"]


@dataclass(frozen=True, eq=False)
class Array:
    """A place for numbers.

    ``in`` and ``out`` arrays are the caller's, ``state`` lasts from one call to the next (what an
    online algorithm remembers), ``work`` is scratch that lasts a call, ``scalar`` a local variable,
    ``const`` holds ``values`` known when the code is made. ``batched`` arrays have
    one set of elements per sequence of a batch; in a schedule over lanes each of their elements is
    a vector over a few sequences.
    """

    name: str
    shape: tuple[Index, ...]
    role: Role
    batched: bool = False
    meaning: str = ""
    values: Any = None
    labels: tuple[str, ...] = ()
    """Names of the elements, for readers of small nets; none where there are many."""
    wide: bool = False
    """Whether its numbers are float64 whatever the others are."""


def offset(a: Array, index: tuple[Index, ...]) -> Index:
    """The place of an element in row-major order."""
    at: Index = 0
    for i, extent in zip(index, a.shape, strict=True):
        at = plus(times(at, extent), i)
    return at


@dataclass(frozen=True, slots=True)
class Ref:
    """One element of an array."""

    array: str
    index: tuple[Index, ...] = ()


Operand = Ref | float


@dataclass(frozen=True, slots=True)
class Assign:
    """target = expr, or target += expr, where ``reads`` gives the symbols of expr their places."""

    target: Ref
    expr: Expr
    reads: tuple[tuple[Symbol, Operand], ...] = ()
    accumulate: bool = False


LoopRole = Literal["time", "units", "connections", "targets", "copy", "columns", "blocks"]
"""``time`` loops and ``columns`` (long runs of neighbouring elements, treated alike) are never
written out; ``blocks`` are runs of units, one after another."""


@dataclass(frozen=True, slots=True)
class Loop:
    """for var in start…stop−1, or from stop−1 down to start when ``backward``.

    ``span`` bounds the counter where start and stop depend on outer loops. ``turns`` names, for
    formulas of cost, how often the body runs in one turn of the enclosing loop over time: ``w_U``
    for the connections out of units, however many each has.
    """

    var: str
    start: Index
    stop: Index
    body: tuple[Statement, ...]
    role: LoopRole
    backward: bool = False
    span: tuple[int, int] | None = None
    turns: str = ""

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Whole numbers between which the counter stays, if they are known."""
        if isinstance(self.start, int) and isinstance(self.stop, int):
            return (self.start, self.stop)
        return self.span


@dataclass(frozen=True, slots=True)
class Note:
    """A remark for whoever reads the program."""

    text: str


@dataclass(frozen=True, slots=True)
class Meet:
    """A place where threads that do a program together wait until all of them are there."""


Statement = Assign | Loop | Note | Meet


THREAD, THREADS = "thread", "threads"
"""The sizes that say, of a program for several threads, which of how many does it."""


@dataclass(frozen=True, eq=False)
class Program:
    """One function: what it takes, what it keeps, what it does.

    Attributes
    ----------
    name : str
        ``forward``, ``gradient``, …
    sizes : tuple of str
        Whole numbers known only when it is called (T, mask_step).
    derived : mapping of str to index
        Further ones that follow from these, each from those before it.
    arrays : dict of str to Array
        All storage, in the order of the call.
    tables : dict of str to integer ndarray
        Static facts of the topology.
    body : tuple of Statement
    lane_width : int
        Sequences in one vector at most, where processors have such vectors; 1 where numbers are
        single.
    vectors : int
        Vectors that stand for one number of a batch, side by side.
    groups : int
        Groups of so many vectors in a block, for which statements are done one after another.
    itemsize : int
        Bytes of a number.
    page : int
        Numbers that registers hold and others are looked up in; 0 where none are.
    grains : int
        Parts that threads can share, of a program for several; 1 where it is for one.
    """

    name: str
    sizes: tuple[str, ...]
    arrays: Mapping[str, Array]
    tables: Mapping[str, Any]
    body: tuple[Statement, ...]
    lane_width: int = 1
    vectors: int = 1
    groups: int = 1
    itemsize: int = 8
    page: int = 0
    grains: int = 1
    schedule: str = "reference"
    notes: tuple[str, ...] = field(default=())
    derived: Mapping[str, Index] = field(default_factory=dict)

    def with_body(self, body: tuple[Statement, ...]) -> Program:
        """The program with another body, and only the tables and constants that it uses."""
        used = {p.table for s in walk(body) for i in indices(s) for p in parts(i)
                if isinstance(p, Lookup)}  # fmt: skip
        refs = touched(body)
        return replace(
            self,
            body=body,
            tables={k: v for k, v in self.tables.items() if k in used},
            arrays={
                k: a
                for k, a in self.arrays.items()
                if a.role in ("in", "out", "state") or k in refs
            },
        )

    def known(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """``sizes`` with those that follow from them; one thread, if not said otherwise."""
        found = {**({THREAD: 0, THREADS: 1} if self.grains > 1 else {}), **sizes}
        for name, index in self.derived.items():
            found[name] = evaluate(index, found, self.tables)
        return found

    def __str__(self) -> str:
        from derive.program.pretty import pretty

        return pretty(self)


def walk(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every statement, outer ones first."""
    for s in body:
        yield s
        if isinstance(s, Loop):
            yield from walk(s.body)


def assigned(
    body: tuple[Statement, ...], around: tuple[Loop, ...] = ()
) -> Iterator[tuple[Assign, tuple[Loop, ...]]]:
    """Every assignment, with the loops around it, outer ones first."""
    for s in body:
        if isinstance(s, Loop):
            yield from assigned(s.body, (*around, s))
        elif isinstance(s, Assign):
            yield s, around


def references(s: Assign) -> Iterator[Ref]:
    """The elements an assignment writes and reads."""
    yield s.target
    for _, operand in s.reads:
        if isinstance(operand, Ref):
            yield operand


def touched(body: tuple[Statement, ...]) -> set[str]:
    """The names of all that some statements write or read."""
    return {r.array for s in walk(body) if isinstance(s, Assign) for r in references(s)}


def needed(body: tuple[Statement, ...], known: set[str]) -> set[str]:
    """Local variables that some statements, one after another, read before they set them."""
    found: set[str] = set()
    for s in body:
        if isinstance(s, Assign):
            read = {r.array for _, r in s.reads if isinstance(r, Ref) and not r.index}
            local = set() if s.target.index else {s.target.array}
            found |= (read | local if s.accumulate else read) - known
            known |= local
        elif isinstance(s, Loop):
            found |= needed(s.body, set(known))
    return found


def lots(
    body: tuple[Statement, ...],
    handed: Callable[[Statement], set[str]],
    alike: Callable[[Statement, Statement], bool] = lambda before, after: False,
) -> list[tuple[Statement, ...]]:
    """Statements one after another, in as many lots as local variables allow.

    What is ``handed`` to a statement in them keeps it with who set it, and statements that are
    ``alike`` stay together.
    """
    starts: list[int] = []
    set_at: dict[str, int] = {}
    for i, s in enumerate(body):
        first = min((set_at.get(name, i) for name in handed(s)), default=i)
        while starts and starts[-1] > first:
            starts.pop()
        if first == i and not (i and alike(body[i - 1], s)):
            starts.append(i)
        set_at |= {t.target.array: i for t, _ in assigned((s,)) if not t.target.index}
    ends = [*starts[1:], len(body)] if body else []
    return [body[i:j] for i, j in zip(starts, ends, strict=True)]


def in_registers(program: Program, r: Ref) -> bool:
    """Whether an element is one of a page that registers hold: tables of such places have bytes."""
    entries = (p for i in r.index for p in parts(i) if isinstance(p, Lookup))
    return any(program.tables[p.table].dtype == np.uint8 for p in entries)


def indices(s: Statement) -> Iterator[Index]:
    """Every index expression that stands directly in a statement."""
    match s:
        case Assign():
            for r in references(s):
                yield from r.index
        case Loop():
            yield s.start
            yield s.stop


def placed(s: Assign, place: Callable[[Ref], Ref]) -> Assign:
    """An assignment with every element it writes or reads in another place."""
    reads = tuple((v, place(r) if isinstance(r, Ref) else r) for v, r in s.reads)
    return Assign(place(s.target), s.expr, reads, s.accumulate)


def all_placed(body: tuple[Statement, ...], place: Callable[[Ref], Ref]) -> tuple[Statement, ...]:
    """``body`` with every element that is written or read in another place."""
    out: list[Statement] = []
    for s in body:
        match s:
            case Assign():
                out.append(placed(s, place))
            case Loop():
                out.append(replace(s, body=all_placed(s.body, place)))
            case _:
                out.append(s)
    return tuple(out)


def reindexed(s: Assign, change: Callable[[Index], Index]) -> Assign:
    """An assignment with every index expression changed."""
    return placed(s, lambda r: Ref(r.array, tuple(change(i) for i in r.index)))


def substituted(body: tuple[Statement, ...], values: Mapping[str, Index]) -> tuple[Statement, ...]:
    """``body`` with counters replaced by values."""

    def change(part: Index) -> Index | None:
        return values.get(part.name) if isinstance(part, Var) else None

    return mapped(body, lambda i: rebuilt(i, change))


def mapped(body: tuple[Statement, ...], change: Callable[[Index], Index]) -> tuple[Statement, ...]:
    """``body`` with every index expression changed."""
    out: list[Statement] = []
    for s in body:
        match s:
            case Assign():
                out.append(reindexed(s, change))
            case Loop():
                out.append(
                    replace(
                        s,
                        start=change(s.start),
                        stop=change(s.stop),
                        body=mapped(s.body, change),
                    )
                )
            case _:
                out.append(s)
    return tuple(out)


def evaluate(index: Index, env: Mapping[str, int], tables: Mapping[str, Any]) -> int:
    """The whole number an index stands for."""
    match index:
        case int():
            return index
        case Var(name):
            try:
                return env[name]
            except KeyError:
                raise ProgramError(f"size or counter {name!r} has no value here") from None
        case Lookup(table, at):
            return int(tables[table][evaluate(at, env, tables)])
        case Plus(left, right):
            return evaluate(left, env, tables) + evaluate(right, env, tables)
        case Times(left, right):
            return evaluate(left, env, tables) * evaluate(right, env, tables)
        case Modulo(left, size):
            return evaluate(left, env, tables) % size
        case Quotient(left, size):
            return evaluate(left, env, tables) // evaluate(size, env, tables)
        case Root(left):
            return square_root(evaluate(left, env, tables))
        case Least(left, right):
            return min(evaluate(left, env, tables), evaluate(right, env, tables))
        case Most(left, right):
            return max(evaluate(left, env, tables), evaluate(right, env, tables))
    raise ProgramError(f"not an index: {index!r}")


def affine(index: Index) -> tuple[dict[str, int], int] | None:
    """``index`` as Σ coefficient·variable + constant with known coefficients, if it is one."""
    match index:
        case int():
            return {}, index
        case Var(name):
            return {name: 1}, 0
        case Plus(left, right):
            a, b = affine(left), affine(right)
            if a is None or b is None:
                return None
            names = [*a[0], *(n for n in b[0] if n not in a[0])]
            return {n: a[0].get(n, 0) + b[0].get(n, 0) for n in names}, a[1] + b[1]
        case Times(left, int(factor)):
            a = affine(left)
            if a is None:
                return None
            return {n: c * factor for n, c in a[0].items()}, a[1] * factor
    return None


def linear(coefficients: Mapping[str, int], constant: int) -> Index:
    """The index Σ coefficient·variable + constant."""
    terms = [times(Var(n), c) for n, c in coefficients.items()]
    return plus(*terms, constant)


def simplified(index: Index) -> Index:
    """An index with what cancels left out, of a place in a ring that within it."""
    if isinstance(index, Modulo):
        return modulo(simplified(index.left), index.size)
    names: dict[Index, Var] = {}

    def named(part: Index) -> Index | None:
        if isinstance(part, int | Var | Plus) or (
            isinstance(part, Times) and isinstance(part.right, int)
        ):
            return None
        return names.setdefault(part, Var(f"<{len(names)}>"))

    form = affine(rebuilt(index, named))
    if form is None:
        return index
    again = {name.name: part for part, name in names.items()}
    kept = linear({name: c for name, c in form[0].items() if c}, form[1])
    return rebuilt(kept, lambda p: again.get(p.name) if isinstance(p, Var) else None)


def as_table(values: Any) -> Any:
    """A static table: 32-bit integers where they fit."""
    values = np.asarray(values, dtype=np.int64)
    if values.size == 0 or (values.max() < 2**31 and values.min() >= -(2**31)):
        return values.astype(np.int32)
    return values
