"""Do a few turns of a loop side by side, in one body: unroll and jam.

``for k: s = 0; for c: s += w[k, c]*z[c]`` waits for each sum before it adds the next term. Eight
units at a time keep eight sums in registers, read each z[c] once for all of them, and no sum waits
for another. Each sum is still added in its own order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from derive.program.ir import (
    Array,
    Assign,
    Index,
    Loop,
    Modulo,
    Program,
    Ref,
    Statement,
    Var,
    affine,
    all_placed,
    parts,
    placed,
    plus,
    references,
    substituted,
    times,
    walk,
)
from derive.program.storage import copy

Arrays = dict[str, Array]

ROWS = 8
"""Rows of columns at a time: each of four terms is then loaded once for eight products."""

HELD = "held in a register"
"""The meaning of a local variable that is to stay in a register: compilers load it anew else."""


def jam_sums(program: Program, most: int) -> Program:
    """The program with up to ``most`` turns at a time of each loop around loops of sums."""
    arrays = dict(program.arrays)
    body = _jammed(program.body, arrays, most)
    return replace(program, arrays=arrays).with_body(body)


def jam_rows(program: Program, most: int = ROWS) -> Program:
    """The program with up to ``most`` turns at a time of loops around sums over columns.

    Four rows that add scaled runs of the same numbers load these once. Scratch that each turn
    fills anew is had once for each of the turns side by side.
    """
    arrays = dict(program.arrays)
    body = _rows_jammed(program, program.body, arrays, most)
    return replace(program, arrays=arrays).with_body(body)


def _rows_jammed(
    program: Program, body: tuple[Statement, ...], arrays: Arrays, most: int
) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif s.role == "units" and any(_is_sum_of_columns(t) for t in walk(s.body)):
            own = frozenset(filled_anew(program, s))
            out += jam(s, arrays, most, own) if may_jam(s, arrays, own) else [s]
        else:
            out.append(replace(s, body=_rows_jammed(program, s.body, arrays, most)))
    return tuple(out)


def _is_sum_of_columns(s: Statement) -> bool:
    """Whether ``s`` is a loop around one over columns, and nothing else."""
    return (
        isinstance(s, Loop)
        and s.role in ("units", "connections")
        and all(isinstance(t, Loop) and t.role == "columns" for t in s.body)
    )


def filled_anew(program: Program, loop: Loop) -> Iterator[str]:
    """Scratch that only this loop touches, and each of its turns writes whole before reading."""
    inside = [s for s in walk(loop.body) if isinstance(s, Assign)]
    mine = {id(s) for s in inside}
    others = {
        r.array
        for s in walk(program.body)
        if isinstance(s, Assign) and id(s) not in mine
        for r in references(s)
    }
    for name in dict.fromkeys(s.target.array for s in inside):
        a = program.arrays[name]
        if a.role == "work" and name not in others and len(a.shape) == 1:
            first = next(s for s in inside if any(r.array == name for r in references(s)))
            around = [s for s in walk(loop.body) if isinstance(s, Loop) and first in s.body]
            if (
                not first.accumulate
                and not first.reads
                and any(
                    first.target.index == (Var(i.var),) and i.bounds == (0, a.shape[0])
                    for i in around
                )
            ):
                yield name


def _jammed(body: tuple[Statement, ...], arrays: Arrays, most: int) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif s.role == "units" and any(_is_sum(inner) for inner in s.body):
            out += jam(s, arrays, most) if may_jam(s, arrays) else [s]
        else:
            out.append(replace(s, body=_jammed(s.body, arrays, most)))
    return tuple(out)


def _is_sum(s: Statement) -> bool:
    """Whether ``s`` only adds to local variables, connection by connection."""
    return isinstance(s, Loop) and s.role == "connections" and only_adds(s)


def only_adds(loop: Loop) -> bool:
    """Whether a loop does nothing but add to local variables."""
    return all(isinstance(t, Assign) and t.accumulate and not t.target.index for t in loop.body)


def may_jam(loop: Loop, arrays: Mapping[str, Array], own: frozenset[str] = frozenset()) -> bool:
    """Whether turns of a loop can be done side by side: known, alike, and apart.

    Bounds inside must be those of every turn; each turn has its ``own`` of some arrays.
    """
    if loop.bounds is None or not isinstance(loop.start, int) or not isinstance(loop.stop, int):
        return False
    inner = [s for s in walk(loop.body) if isinstance(s, Loop)]
    if any(mentions(i, loop.var) for s in inner for i in (s.start, s.stop)):
        return False
    return independent(loop, arrays, own)


def independent(loop: Loop, arrays: Mapping[str, Array], own: frozenset[str] = frozenset()) -> bool:
    """Whether no turn of a loop needs or changes what another writes."""
    inner = [s for s in walk(loop.body) if isinstance(s, Loop)]
    spans = {s.var: s.bounds for s in (*inner, loop)}
    assigns = [s for s in walk(loop.body) if isinstance(s, Assign)]
    written = {s.target.array for s in assigns}
    shared = {name for name in written if arrays[name].role != "scalar"} - own
    places = {r for s in assigns for r in references(s) if r.array in shared}
    targets = {s.target for s in assigns}
    met = [
        r
        for r in places
        if r in targets or not all(elsewhere(r, w) for w in targets if w.array == r.array)
    ]
    return set_first(loop.body, arrays) and all(
        _apart([r.index for r in met if r.array == name], loop.var, spans) for name in shared
    )


def elsewhere(a: Ref, b: Ref) -> bool:
    """Whether two elements are never the same: other rows of a ring, or of an array."""
    return any(_never(i, j) for i, j in zip(a.index, b.index, strict=True))


def _never(i: Index, j: Index) -> bool:
    if isinstance(i, Modulo) and isinstance(j, Modulo) and i.size == j.size:
        between = affine(plus(i.left, times(j.left, -1)))
        return between is not None and not any(between[0].values()) and between[1] % i.size != 0
    between = affine(plus(i, times(j, -1)))
    return between is not None and not any(between[0].values()) and between[1] != 0


def mentions(index: Index, var: str) -> bool:
    """Whether an index depends on a counter."""
    return any(part == Var(var) for part in parts(index))


def _apart(
    indices: list[tuple[Index, ...]], var: str, spans: Mapping[str, tuple[int, int] | None]
) -> bool:
    """Whether turns with different ``var`` are at different elements, whatever is inside.

    They are if along some axis a turn's elements lie closer together than the turns do.
    """
    return any(_apart_along(list(axis), var, spans) for axis in zip(*indices, strict=True))


def _apart_along(axis: list[Index], var: str, spans: Mapping[str, tuple[int, int] | None]) -> bool:
    forms = [affine(index) for index in axis]
    known = [form for form in forms if form is not None]
    steps = {coefficients.get(var, 0) for coefficients, _ in known}
    return len(known) == len(forms) and any(_apart_by(s, known, var, spans) for s in steps)


def _apart_by(
    step: int,
    forms: list[tuple[dict[str, int], int]],
    var: str,
    spans: Mapping[str, tuple[int, int] | None],
) -> bool:
    """Whether a turn's elements, seen from one place that moves by ``step``, lie closer."""
    least, most = [], []
    names = {name for coefficients, _ in forms for name in coefficients}
    # A counter further out has one value for all turns, and may move all alike.
    fixed = {n for n in names - {*spans} if len({c.get(n, 0) for c, _ in forms}) == 1}
    for coefficients, low in forms:
        high = low
        for name, c in {**coefficients, var: coefficients.get(var, 0) - step}.items():
            if c == 0 or name in fixed:
                continue
            span = spans.get(name)
            if span is None:
                return False
            ends = (c * span[0], c * (span[1] - 1))
            low, high = low + min(ends), high + max(ends)
        least.append(low)
        most.append(high)
    return abs(step) > max(most) - min(least)


def set_first(body: tuple[Statement, ...], arrays: Mapping[str, Array]) -> bool:
    known: set[str] = set()
    mine = _scalars(body, arrays)
    for s in walk(body):
        if not isinstance(s, Assign):
            continue
        read = [r for _, r in s.reads if isinstance(r, Ref)] + ([s.target] if s.accumulate else [])
        local = {r.array for r in read if arrays[r.array].role == "scalar"}
        if not local <= known and local & mine:
            return False
        known.add(s.target.array)
    return True


def _scalars(body: Iterable[Statement], arrays: Mapping[str, Array]) -> set[str]:
    """The local variables that a body sets."""
    targets = {s.target.array for s in walk(tuple(body)) if isinstance(s, Assign)}
    return {name for name in targets if arrays[name].role == "scalar"}


def jam(
    loop: Loop, arrays: Arrays, most: int, own: frozenset[str] = frozenset()
) -> list[Statement]:
    """``loop`` as one over groups of about equally many turns, and one of what is left."""
    assert isinstance(loop.start, int) and isinstance(loop.stop, int)
    turns = loop.stop - loop.start
    if turns < 2:
        return [loop]
    groups = -(-turns // most)
    size = -(-turns // groups)
    whole = turns // size
    var = Var(f"{loop.var}s")
    first = plus(times(var, size), loop.start)
    body = beside(loop, [plus(first, j) for j in range(size)], arrays, own)
    together = Loop(var.name, 0, whole, body, loop.role)
    if turns == whole * size:
        return [together]
    left = [loop.start + i for i in range(whole * size, turns)]
    rest = Loop(var.name, 0, 1, beside(loop, list(left), arrays, own), loop.role)
    return [together, rest]


def beside(
    loop: Loop, at: list[Index], arrays: Arrays, own: frozenset[str] = frozenset()
) -> tuple[Statement, ...]:
    """The turns of ``loop`` at some values of its counter, statement by statement together."""
    names = copies_of(loop.body, len(at), arrays, own)
    return interleaved(
        [
            renamed(substituted(loop.body, {loop.var: value}), theirs)
            for value, theirs in zip(at, names, strict=True)
        ]
    )


def copies_of(
    body: tuple[Statement, ...], count: int, arrays: Arrays, own: frozenset[str] = frozenset()
) -> list[dict[str, str]]:
    """Names for so many copies of local variables that a body sets, and of arrays, declared."""
    mine = sorted(_scalars(body, arrays) | own)
    copies = [{name: f"{name}_{j}" for name in mine} for j in range(count)]
    for names in copies:
        for name, copied in names.items():
            arrays[copied] = replace(arrays[name], name=copied)
    return copies


def interleaved(copies: list[tuple[Statement, ...]]) -> tuple[Statement, ...]:
    """Copies of one body as one, statement by statement; their loops become one loop."""
    out: list[Statement] = []
    for turn in zip(*copies, strict=True):
        first = turn[0]
        if isinstance(first, Loop):
            out.append(replace(first, body=interleaved([s.body for s in turn])))
        elif isinstance(first, Assign):
            out += turn
        else:
            out.append(first)
    return tuple(out)


def renamed(body: tuple[Statement, ...], names: Mapping[str, str]) -> tuple[Statement, ...]:
    """``body`` with local variables under other names."""
    return all_placed(body, lambda r: Ref(names.get(r.array, r.array), r.index))


def read_once(
    body: tuple[Statement, ...], arrays: Arrays, begin: str = "here"
) -> tuple[Statement, ...]:
    """Innermost loops with what several of their sums read put in local variables first.

    Compilers see that it is the same number, and yet load it anew for each product. ``begin`` is
    what the names of these variables begin with.
    """
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif any(isinstance(t, Loop) for t in s.body):
            out.append(replace(s, body=read_once(s.body, arrays, begin)))
        else:
            out.append(replace(s, body=_loaded(s.body, arrays, begin)))
    return tuple(out)


def _loaded(body: tuple[Statement, ...], arrays: Arrays, begin: str) -> tuple[Statement, ...]:
    assigns = [s for s in body if isinstance(s, Assign)]
    if any(s.target.index for s in assigns):
        return body
    reads = [r for s in assigns for _, r in s.reads if isinstance(r, Ref) and r.index]
    names: dict[Ref, Ref] = {}
    for r in dict.fromkeys(reads):
        if reads.count(r) > 1:
            a = arrays[r.array]
            # Loops share these names, so a name tells of what kind of number it is.
            kind = ("lane" if a.batched else "one") + ("_wide" if a.wide else "")
            name = f"{begin}_{kind}_{len(names)}"
            arrays[name] = Array(name, (), "scalar", a.batched, HELD, wide=a.wide)
            names[r] = Ref(name)
    waiting = dict(names)
    out: list[Statement] = []
    for s in assigns:
        # Each before it is first needed: so few are in registers at once.
        first = [r for _, r in s.reads if isinstance(r, Ref) and r in waiting]
        out += [copy(waiting.pop(r), r) for r in dict.fromkeys(first)]
        out.append(placed(s, lambda r: names.get(r, r)))
    return tuple(out)
