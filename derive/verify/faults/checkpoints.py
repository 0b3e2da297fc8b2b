"""Mistakes in what is kept of a segment of steps before it is computed again."""

from __future__ import annotations

from dataclasses import replace

from derive.program.checkpoints import SAVED
from derive.program.ir import Assign, Loop, Ref, Statement, most, plus
from derive.verify.faults.finding import Around, Body, read_elsewhere, reads, sets


def early_checkpoint(s: Statement, around: Around) -> Body | None:
    """Save the signals one step early: a segment begins where it was one step before."""
    if not isinstance(s, Assign) or not sets(s, SAVED) or s.target.index[0] == 0:
        return None

    def before(r: Ref) -> Ref:
        return Ref(r.array, (plus(r.index[0], -1), *r.index[1:]))

    return (read_elsewhere(s, "z", before),)


def swap_checkpoints(s: Statement, around: Around) -> Body | None:
    """Restore the checkpoint of the segment before the one that is swept back."""
    if not isinstance(s, Assign) or not _restores(s):
        return None

    def before(r: Ref) -> Ref:
        return Ref(r.array, (most(plus(r.index[0], -1), 0), *r.index[1:]))

    return (read_elsewhere(s, SAVED, before),)


def short_checkpoint(s: Statement, around: Around) -> Body | None:
    """Restore the newest step of a checkpoint alone, though delays reach back further."""
    if not isinstance(s, Loop) or not any(_holds_restores(inner) for inner in s.body):
        return None
    newest = plus(s.stop, -1)
    return None if s.start == newest else (replace(s, start=newest),)


def drop_later(s: Statement, around: Around) -> Body | None:
    """Do not keep what came after a segment for what looks at later signals there."""
    within = any(loop.role == "copy" and loop.backward for loop in around)
    return () if within and sets(s, "z") and reads(s, "z") else None


def _restores(s: Statement) -> bool:
    return sets(s, "z") and reads(s, SAVED)


def _holds_restores(s: Statement) -> bool:
    return isinstance(s, Loop) and any(_restores(inner) for inner in s.body)
