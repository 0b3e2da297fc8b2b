"""Mistakes at the edges of windows: which errors count, how far back, what came before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from derive.program.ir import (
    Assign,
    Index,
    Loop,
    Most,
    Plus,
    Program,
    Quotient,
    Ref,
    Statement,
    Var,
    modulo,
    parts,
    plus,
    quotient,
    rebuilt,
    substituted,
    times,
    walk,
)
from derive.verify.faults.finding import (
    Around,
    Body,
    Programs,
    adds,
    changed,
    holds,
    if_other,
    injects,
    reads,
)

Pair = Callable[[Loop, Loop | None], Body]
"""From a sweep over the newest steps, and the one further back if there is one."""


def edge_error_twice(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Inject the error at a window's beginning, e(t₀), which the window before has counted."""

    def twice(newest: Loop, further: Loop | None) -> Body:
        at_edge = tuple(s for s in newest.body if isinstance(s, Loop) and holds(s, injects))
        again = substituted(at_edge, {newest.var: plus(newest.start, -1)})
        return (newest, *again, *_there(further))

    if if_other(programs, _swept(programs, twice)) is None:
        return None
    # One error more must be kept for it.
    return _swept(_with_errors(programs, lambda rows: rows + 1), twice)


def edge_error_lost(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Inject the errors of a window but for that at its end."""

    def lost(newest: Loop, further: Loop | None) -> Body:
        end = plus(newest.stop, -1)
        if not holds(newest, injects):
            return (newest, *_there(further))
        silent = tuple(s for s in newest.body if not (isinstance(s, Loop) and holds(s, injects)))
        return (
            replace(newest, start=end, body=silent),
            replace(newest, stop=end),
            *_there(further),
        )

    return if_other(programs, _swept(programs, lost))


def swap_windows(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Take h for h′: all errors of the sweep count, at every update, and not the newest alone."""
    h = _depth(programs)

    def all_errors(newest: Loop, further: Loop | None) -> Body:
        return (newest,) if further is None else (replace(newest, start=further.start),)

    wrong = if_other(programs, _swept(programs, all_errors, True))
    if h is None or wrong is None:
        return None
    return _with_errors(wrong, lambda rows: h)


def chunked(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Sweep back to the beginning of a chunk of h steps instead of over the last h."""
    h = _depth(programs)

    def by_chunks(newest: Loop, further: Loop | None) -> Body:
        if further is None or h is None:
            return (newest, *_there(further))
        return newest, replace(further, start=rebuilt(further.start, chunk))

    def chunk(i: Index) -> Index | None:
        match i:
            case Most(Plus(end, int()), 0):
                return times(quotient(plus(end, -1), h or 1), h or 1)
        return None

    return if_other(programs, _swept(programs, by_chunks, True))


def cut_early(programs: Programs, net: Any) -> dict[str, Program] | None:
    """End each sweep back one step early."""

    def shorter(newest: Loop, further: Loop | None) -> Body:
        if further is None:
            return (replace(newest, start=plus(newest.start, 1)),)
        return newest, replace(further, start=plus(further.start, 1))

    return if_other(programs, _swept(programs, shorter, True))


def lost_remainder(s: Statement, around: Around) -> Body | None:
    """Forget a last window that is not whole."""
    match s:
        case Loop(stop=Quotient(Plus(total, int()), size)):
            return (replace(s, stop=quotient(total, size)),)
    return None


def drop_boundary(s: Statement, around: Around) -> Body | None:
    """Leave out what came before the window, Σ ε_l(t₀)·p^l(t₀): BPTT(h; h) as the hybrid."""
    return () if isinstance(s, Assign) and s.accumulate and reads(s, "p", "eps") else None


def drop_seed_boundary(s: Statement, around: Around) -> Body | None:
    """Begin the sensitivities anew in each window."""
    return () if adds(s, "gathered") and reads(s, "p", "zeta") else None


# --- sweeps and what they are of -----------------------------------------------------------------


def _there(loop: Loop | None) -> Body:
    return () if loop is None else (loop,)


def _swept(programs: Programs, pair: Pair, single: bool = False) -> dict[str, Program]:
    """Every sweep back of ε replaced; those that inject one error alone only if ``single``."""

    def in_body(body: Body) -> Body:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Loop) and not _sweeps(s):
                s = replace(s, body=in_body(s.body))
            out.append(s)
        newest = next((i for i, s in enumerate(out) if isinstance(s, Loop) and _sweeps(s)), None)
        if newest is None:
            return tuple(out)
        first, second = out[newest], None
        stop = newest + 1
        for later in range(stop, len(out)):
            following = out[later]
            if isinstance(following, Loop):
                if _sweeps(following):
                    second, stop = following, later + 1
                break
        assert isinstance(first, Loop)
        alone = plus(first.start, 1) == first.stop
        if alone and not single:
            return tuple(out)
        return (*out[:newest], *pair(first, second), *out[stop:])

    return {k: replace(p, body=in_body(p.body)) for k, p in programs.items()}


def _sweeps(loop: Loop) -> bool:
    """Whether a loop carries ε and δ back in time."""
    back = loop.role == "time" and loop.backward
    return back and holds(loop, lambda s: adds(s, "grad_theta"))


def _depth(programs: Programs) -> int | None:
    """h, where sweeps end at max(t − h, 0)."""
    for p in programs.values():
        for s in walk(p.body):
            for part in parts(s.start) if isinstance(s, Loop) else ():
                match part:
                    case Most(Plus(_, int(back)), 0):
                        return -back
    return None


def _with_errors(programs: Programs, rows: Callable[[int], int]) -> dict[str, Program]:
    """Programs whose ring of kept errors has another number of rows."""
    found: dict[str, Program] = {}
    for name, p in programs.items():
        kept = p.arrays.get("error")
        count = kept.shape[0] if kept is not None else None
        if kept is None or not isinstance(count, int):
            found[name] = p
            continue
        size = rows(count)

        def ring(s: Statement, around: Around, size: int = size) -> Body | None:
            if not isinstance(s, Assign):
                return None
            row = modulo(plus(_time(around), -1), size)

            def place(r: Any) -> Any:
                is_error = isinstance(r, Ref) and r.array == "error"
                return Ref("error", (row, *r.index[1:])) if is_error else r

            reads = tuple((v, place(r)) for v, r in s.reads)
            return (replace(s, target=place(s.target), reads=reads),)

        arrays = {**p.arrays, "error": replace(kept, shape=(size, *kept.shape[1:]))}
        found[name] = replace(changed(p, ring), arrays=arrays)
    return found


def _time(around: Around) -> Index:
    """The time of a statement: the counter of the sweep around it, or the step's t."""
    back = [loop for loop in around if loop.role == "time" and loop.backward]
    return Var(back[-1].var if back else "t")
