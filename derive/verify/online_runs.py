"""An online algorithm's Programs run step after step, on any arithmetic.

The memory of the first step is *not* zero but whatever is given: what an earlier run left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.program.interpret import Arithmetic, run
from derive.program.ir import Program, evaluate
from derive.verify.forms import Form

ONLINE = ("start", "step", "update")
"""The Programs of an online run; ``update`` only where gradients come at the end of windows."""


@dataclass(frozen=True)
class Run:
    """What the steps of a run gave.

    Attributes
    ----------
    y : list of (N,) arrays, one for each step
    J : list of numbers, one for each step
    gradients : list of (P,) arrays, one for each window that was completed
    """

    y: list[Any]
    J: list[Any]
    gradients: list[Any]


def run_online(
    programs: Mapping[str, Program],
    form: Form,
    arithmetic: Arithmetic,
    data: Mapping[str, Any],
    steps: int,
    left_behind: Any,
) -> Run:
    """Start, then so many steps with theta as it is, and an update at each window's end.

    Parameters
    ----------
    data : mapping
        theta (P,), x (T, m), target and mask (T, n_T), y0 (N,).
    left_behind : number or symbol
        What every element of the memory is before ``start``.
    """
    state: dict[str, Any] = {}
    tables = programs["step"].tables
    for a in programs["step"].arrays.values():
        if a.role == "state":
            shape = tuple(evaluate(e, {}, tables) for e in a.shape)
            state[a.name] = np.full(shape, left_behind, dtype=arithmetic.dtype)
    run(programs["start"], arithmetic, {"y0": data["y0"]}, {}, state=state)
    found = Run([], [], [])
    for t in range(1, steps + 1):
        given = {name: data[name][t - 1] for name in ("x", "target", "mask")}
        given["theta"] = data["theta"]
        out = run(programs["step"], arithmetic, given, {"t": t}, state=state)
        found.y.append(out["y"])
        found.J.append(out["J"][()])
        if "grad_theta" in out:
            found.gradients.append(out["grad_theta"])
        elif form.period is not None and t % form.period == 0:
            sizes = {"b": t // form.period - 1, "t": t}
            of = run(programs["update"], arithmetic, {"theta": data["theta"]}, sizes, state=state)
            found.gradients.append(of["grad_theta"])
    return found
