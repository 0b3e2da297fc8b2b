"""Mistakes on the way forward, which a gradient may rightly follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import Assign, Index, Lookup, Loop, Program, Statement, plus
from derive.verify.faults.finding import Around, Body, advances, changed, indexed
from derive.verify.faults.sweeps import is_delay


def forward_term(s: Statement, around: Around) -> Body | None:
    """Leave the last connection out of each net input."""
    if isinstance(s, Loop) and s.role == "connections" and any(map(advances, s.body)):
        return (replace(s, stop=plus(s.stop, -1)),)
    return None


def forward_delay(p: Program, net: Any) -> Program:
    """Read every source as it was one step before, whatever its delay."""
    delays = [v for name, v in p.tables.items() if name.startswith("delay")]
    if all((v == 1).all() for v in delays):
        return p
    return changed(p, _undelayed)


def _undelayed(s: Statement, around: Around) -> Body | None:
    return (indexed(s, _one),) if isinstance(s, Assign) and advances(s) else None


def _one(i: Index) -> Index | None:
    return 1 if isinstance(i, Lookup) and i.table.startswith("delay") else None


def consistent_delay(p: Program, net: Any) -> Program:
    """Another network, rightly differentiated: every delay 1, forward and in learning."""
    ones = {k: np.ones_like(v) for k, v in p.tables.items() if is_delay(k)}
    return replace(p, tables={**p.tables, **ones})
