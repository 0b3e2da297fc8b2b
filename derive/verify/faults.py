"""Rung 6: mistakes planted in a Program, each of which must be caught.

A check that cannot fail is a defect, so every rung is shown programs that are wrong. A fault
rewrites statements it finds by the arrays they write and read; it knows no cell and no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy

from derive.errors import ProgramError
from derive.program.ir import (
    Assign,
    Index,
    Lookup,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    evaluate,
    plus,
    rebuilt,
    references,
    reindexed,
    substituted,
    walk,
)
from derive.program.sweep import MASK

Body = tuple[Statement, ...]
Change = Callable[[Statement, tuple[Loop, ...]], Body | None]
"""What replaces a statement, given the loops around it; None leaves it."""


@dataclass(frozen=True)
class Fault:
    """A mistake someone could make.

    ``rungs`` names those that must catch it: ``proof`` compares with the equations as stated,
    ``quotients`` compares the gradient with the program's own forward pass.
    """

    name: str
    what: str
    rungs: tuple[str, ...]
    rewrite: Callable[[Program], Program | None]


def plant(program: Program, name: str) -> Program | None:
    """``program`` with a fault in it, or None where it has no place for it.

    Parameters
    ----------
    program : Program
        As an algorithm makes it, before a schedule lays it out.
    name : str
        One of :data:`FAULTS`.

    Raises
    ------
    ProgramError
        For an unknown name.
    """
    if name not in FAULTS:
        raise ProgramError(f"plant: unknown fault {name!r}; there are {', '.join(FAULTS)}")
    changed = FAULTS[name].rewrite(program)
    if changed is None:
        return None
    return replace(changed, notes=(*changed.notes, f"planted: {name}"))


def plant_all(programs: Mapping[str, Program], name: str) -> dict[str, Program] | None:
    """Every program with the fault where it has a place for it; None if none has."""
    planted = {k: plant(p, name) for k, p in programs.items()}
    if all(p is None for p in planted.values()):
        return None
    return {k: planted[k] or p for k, p in programs.items()}


# --- finding and replacing ----------------------------------------------------------------------


def _rewritten(body: Body, change: Change, around: tuple[Loop, ...] = ()) -> Body:
    out: list[Statement] = []
    for s in body:
        new = change(s, around)
        if new is not None:
            out += new
        elif isinstance(s, Loop):
            out.append(replace(s, body=_rewritten(s.body, change, (*around, s))))
        else:
            out.append(s)
    return tuple(out)


def _everywhere(program: Program, change: Change) -> Program | None:
    body = _rewritten(program.body, change)
    return None if body == program.body else replace(program, body=body)


def _reads(s: Statement, *arrays: str) -> bool:
    """Whether an assignment reads each of some arrays."""
    if not isinstance(s, Assign):
        return False
    read = {r.array for _, r in s.reads if isinstance(r, Ref)}
    return all(a in read for a in arrays)


def _writes(s: Statement, array: str, accumulate: bool) -> bool:
    return isinstance(s, Assign) and s.target.array == array and s.accumulate == accumulate


def _backward(around: tuple[Loop, ...]) -> bool:
    return any(loop.role == "time" and loop.backward for loop in around)


def _among_connections(around: tuple[Loop, ...]) -> bool:
    return bool(around) and around[-1].role == "connections"


def _across(s: Statement) -> bool:
    """+= δ·w, over the connections out of a source, wherever it is gathered."""
    return isinstance(s, Assign) and s.accumulate and _reads(s, "delta", "theta")


def _collects(loop: Loop) -> bool:
    """Whether a loop over sources gathers what flows back to them."""
    return any(isinstance(s, Loop) and any(map(_across, s.body)) for s in loop.body)


def _injects(s: Statement) -> bool:
    """ε += e."""
    return _writes(s, "eps", True) and _reads(s, "mask")


def _gathers(s: Statement, around: tuple[Loop, ...]) -> bool:
    """∂J/∂w += δ·x."""
    return _writes(s, "grad_theta", True) and _among_connections(around)


def _assign(s: Statement, **changes: Any) -> Assign:
    assert isinstance(s, Assign)
    return replace(s, **changes)


# --- the faults ----------------------------------------------------------------------------------


def _drop_term(p: Program) -> Program | None:
    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if isinstance(s, Loop) and s.role == "connections" and any(map(_across, s.body)):
            return (replace(s, stop=plus(s.stop, -1)),)
        return None

    return _everywhere(p, change)


def _transpose_weight(p: Program) -> Program | None:
    """Read w_kl where w_lk belongs; a connection without its opposite keeps its own."""
    table = _transposed(p)
    if table is None:
        return None
    name = "transposed_weight"

    def other(i: Index) -> Index | None:
        return Lookup(name, i.at) if isinstance(i, Lookup) and i.table == "out_weight" else None

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if _across(s):
            return (reindexed(_assign(s), lambda i: rebuilt(i, other)),)
        return None

    changed = _everywhere(p, change)
    return changed and replace(changed, tables={**p.tables, name: table})


def _transposed(p: Program) -> Any:
    """The table out_weight with the weights of opposite connections exchanged."""
    if "out_weight" not in p.tables:
        return None
    rows, weights = p.tables["out_row"], p.tables["out_weight"]
    place: dict[tuple[int, int], int] = {}
    for source, c in _places(p.body, p.tables):
        place.setdefault((source, int(rows[c])), c)
    table = weights.copy()
    for (source, row), c in place.items():
        opposite = place.get((row, source))
        if opposite is not None:
            table[c] = weights[opposite]
    return None if np.array_equal(table, weights) else table


def _places(body: Body, tables: Any) -> Iterator[tuple[int, int]]:
    """(source, entry of the outgoing tables) of each term of the first sweep across connections."""
    for loop in (s for s in walk(body) if isinstance(s, Loop) and s.role == "units"):
        for inner in loop.body:
            if not isinstance(inner, Loop) or not any(map(_across, inner.body)):
                continue
            (term,) = (s for s in inner.body if isinstance(s, Assign))
            at = next(
                i.at for r in references(term) for i in r.index
                if isinstance(i, Lookup) and i.table == "out_weight"
            )  # fmt: skip
            for source in range(*(evaluate(e, {}, tables) for e in (loop.start, loop.stop))):
                env = {loop.var: source}
                ends = (evaluate(e, env, tables) for e in (inner.start, inner.stop))
                for c in range(*ends):
                    yield source, evaluate(at, {**env, inner.var: c}, tables)
            return


def _shift_time(p: Program) -> Program | None:
    """Pair δ(τ) with x(τ) instead of x(τ−1) in the gradient."""

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if not _gathers(s, around) or not _reads(s, "z"):
            return None
        reads = tuple(
            (v, Ref("z", (plus(r.index[0], 1), *r.index[1:])))
            if isinstance(r, Ref) and r.array == "z"
            else (v, r)
            for v, r in _assign(s).reads
        )
        return (_assign(s, reads=reads),)

    return _everywhere(p, change)


def _flip_sign(p: Program) -> Program | None:
    return _everywhere(
        p, lambda s, _: (_assign(s, expr=-_assign(s).expr),) if _injects(s) else None
    )


def _flip_partial(p: Program) -> Program | None:
    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if _backward(around) and _writes(s, "delta", False) and _assign(s).reads:
            return (_assign(s, expr=-_assign(s).expr),)
        return None

    return _everywhere(p, change)


def _forget_delay(p: Program) -> Program | None:
    if not any((p.tables[t] != 1).any() for t in ("delay", "out_delay") if t in p.tables):
        return None

    def one(i: Index) -> Index | None:
        return 1 if isinstance(i, Lookup) and i.table in ("delay", "out_delay") else None

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if isinstance(s, Assign) and _backward(around):
            return (reindexed(s, lambda i: rebuilt(i, one)),)
        return None

    return _everywhere(p, change)


def _ignore_mask(p: Program) -> Program | None:
    return _everywhere(p, lambda s, _: (_unmasked(s),) if _injects(s) else None)


def _unmasked(s: Statement) -> Assign:
    kept = tuple((v, r) for v, r in _assign(s).reads if v != MASK)
    return _assign(s, expr=_assign(s).expr.subs(MASK, 1), reads=kept)


def _ignore_last_mask(p: Program) -> Program | None:
    """Inject the error of the last step whether or not it has a target."""
    (sweep,) = [s for s in p.body if isinstance(s, Loop) and s.role == "time" and s.backward] or (
        None,
    )
    if sweep is None:
        return None
    last: list[Statement] = []
    for loop in sweep.body:
        if isinstance(loop, Loop) and any(map(_injects, loop.body)):
            extra = []
            for s in filter(_injects, loop.body):
                once, as_it_is = _unmasked(s), _assign(s)
                extra.append(replace(as_it_is, expr=once.expr - as_it_is.expr))
            last += substituted((replace(loop, body=tuple(extra)),), {sweep.var: Var("T")})
    if not last:
        return None
    at = p.body.index(sweep)
    return replace(p, body=(*p.body[:at], *last, *p.body[at:]))


def _drop_parameter_gradient(p: Program) -> Program | None:
    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        own = _writes(s, "grad_theta", True) and not _among_connections(around)
        return () if own else None

    return _everywhere(p, change)


def _drop_carry(p: Program) -> Program | None:
    """Forget what a unit's own state passes back to the step before."""

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        carry = _backward(around) and _writes(s, "eps", False) and not _collects(around[-1])
        if carry and _assign(s).reads:
            return (_assign(s, expr=sympy.S.Zero, reads=()),)
        return None

    return _everywhere(p, change)


def _stale_eps(p: Program) -> Program | None:
    """Let ε of the step after stand when ε of the step before is summed."""

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        stale = _backward(around) and _writes(s, "eps", False) and not _assign(s).reads
        return () if stale else None

    return _everywhere(p, change)


def _double_count(p: Program) -> Program | None:
    return _everywhere(p, lambda s, around: (s, s) if _gathers(s, around) else None)


def _forward_order(p: Program) -> Program | None:
    """Multiply the step Jacobians from the first step to the last."""

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if isinstance(s, Loop) and s.role == "time" and s.backward:
            return (replace(s, backward=False),)
        return None

    return _everywhere(p, change)


def _forward_term(p: Program) -> Program | None:
    """Leave the last connection out of each net input, forward."""

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if not isinstance(s, Loop) or s.role != "connections" or _backward(around):
            return None
        if not any(_reads(a, "theta", "z") for a in s.body):
            return None
        return (replace(s, stop=plus(s.stop, -1)),)

    return _everywhere(p, change)


def _forward_delay(p: Program) -> Program | None:
    """Read every source as it was one step before, whatever its delay."""

    def one(i: Index) -> Index | None:
        return 1 if isinstance(i, Lookup) and i.table == "delay" else None

    def change(s: Statement, around: tuple[Loop, ...]) -> Body | None:
        if not isinstance(s, Assign) or _backward(around) or not _among_connections(around):
            return None
        return (reindexed(s, lambda i: rebuilt(i, one)),)

    if "delay" not in p.tables or (p.tables["delay"] == 1).all():
        return None
    return _everywhere(p, change)


def _consistent_delay(p: Program) -> Program | None:
    """Another network, rightly differentiated: every delay 1, forward and back."""
    ones = {k: np.ones_like(p.tables[k]) for k in ("delay", "out_delay") if k in p.tables}
    if all(np.array_equal(p.tables[k], v) for k, v in ones.items()):
        return None
    return replace(p, tables={**p.tables, **ones})


BOTH, PROOF = ("proof", "quotients"), ("proof",)

FAULTS: dict[str, Fault] = {
    f.name: f
    for f in (
        Fault("drop_term", "one connection's term left out of the sum for ε", BOTH, _drop_term),
        Fault("transpose_weight", "w_kl for w_lk in the sum for ε", BOTH, _transpose_weight),
        Fault("shift_time", "δ(τ) paired with the signal one step late", BOTH, _shift_time),
        Fault("flip_sign", "y − d for d − y in the injected error", BOTH, _flip_sign),
        Fault("flip_partial", "the sign of ∂y/∂s", BOTH, _flip_partial),
        Fault("forget_delay", "every delay read as 1 on the way back", BOTH, _forget_delay),
        Fault("ignore_mask", "the error injected where there is no target", BOTH, _ignore_mask),
        Fault("ignore_last_mask", "the mask ignored at t₁ only", BOTH, _ignore_last_mask),
        Fault("drop_parameter_gradient", "no gradient for cell parameters", BOTH,
              _drop_parameter_gradient),
        Fault("drop_carry", "nothing flows back through a unit's own state", BOTH, _drop_carry),
        Fault("stale_eps", "ε not cleared between steps", BOTH, _stale_eps),
        Fault("double_count", "each gradient term added twice", BOTH, _double_count),
        Fault("forward_order", "step Jacobians multiplied in forward order", BOTH, _forward_order),
        Fault("forward_term", "a connection left out of the forward pass", BOTH, _forward_term),
        Fault("forward_delay", "every delay read as 1 in the forward pass", BOTH, _forward_delay),
        Fault("consistent_delay", "every delay read as 1, forward and back alike", PROOF,
              _consistent_delay),
    )
}  # fmt: skip
