"""What can reach what over time, decided from the equations alone: true or false, no numbers.

An approximate algorithm takes some quantities as constant. It differs from an exact one just where
one of them depends on a parameter and some error depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from derive.network.cell import Cell
from derive.network.network import Network
from derive.network.topology import Connection
from derive.verify.forms import WHOLE, Form
from derive.verify.unrolling import output_columns, step_equations, synapses, unit_places

Rows = list[list[bool]]


def is_approximate(net: Network, form: Form, mask: Any) -> bool:
    """Whether a gradient of this form can differ from the exact one on a sequence.

    Parameters
    ----------
    mask : (T, n_T) array
        Which targets are there; under teacher forcing they also say what is constant anyway.
    """
    steps = len(mask)
    _, seen = _reached(net, form, mask, steps, learnt=True)
    return any(
        _errs(net, mask, first, last, _constants(net, form, mask, last, seen))
        for first, last in form.windows(steps)
    )


def learns(net: Network, steps: int) -> bool:
    """Whether some target depends on some parameter at all."""
    mask = [[1] * len(net.objective.targets)] * steps
    rows, _ = _reached(net, WHOLE, mask, steps, learnt=True)
    return _errs(net, mask, 0, steps, rows)


def _constants(net: Network, form: Form, mask: Any, last: int, depends: Rows) -> Rows:
    """Which states depend on a quantity that is taken as constant though a parameter moves it."""
    if form.back is not None:
        past = depends[: max(last - form.back, 0) + 1]
        return _reached(net, form, mask, last, past=past)[0]
    if form.groups is None:
        return [[False] * len(net.states)] * (last + 1)
    member = {k: i for i, group in enumerate(form.groups) for k in group}
    outputs = output_columns(net)

    def heard(k: int, source: int, time: int) -> bool:
        return member[k] != member[source] and depends[time][outputs[source]]

    return _reached(net, form, mask, last, heard=heard)[0]


def _errs(net: Network, mask: Any, first: int, last: int, rows: Rows) -> bool:
    outputs = output_columns(net)
    return any(
        rows[t][outputs[k]]
        for t in range(first + 1, last + 1)
        for j, k in enumerate(net.objective.targets)
        if mask[t - 1][j]
    )


def _reached(
    net: Network,
    form: Form,
    mask: Any,
    steps: int,
    *,
    learnt: bool = False,
    past: Sequence[list[bool]] = (),
    heard: Callable[[int, int, int], bool] = lambda k, source, time: False,
) -> tuple[Rows, Rows]:
    """For each time and state whether it is reached, as computed and as seen afterwards.

    From parameters if ``learnt``; from states of the ``past`` that are marked; from signals that
    are marked where they are ``heard``.
    """
    column = {place: i for i, place in enumerate(net.states)}
    outputs = output_columns(net)
    symbols = [
        {name: {v.name for v in e.free_symbols} for name, e in step_equations(net, k).items()}
        for k in range(net.units)
    ]
    moved = [
        {name for name, place in unit_places(net, k).items() if isinstance(place, int) and learnt}
        for k in range(net.units)
    ]

    def as_seen(row: list[bool], t: int) -> list[bool]:
        kept = list(row)
        for j, k in enumerate(net.objective.targets):
            if form.forced and t and mask[t - 1][j]:
                kept[outputs[k]] = False
        return kept

    rows: Rows = [list(row) for row in past] or [[False] * len(net.states)]
    seen = [as_seen(row, t) for t, row in enumerate(rows)]
    ports = [{s.name: s for s in cell.ports} for cell in net.cells]
    looks = [_looks(cell) for cell in net.cells]

    def carries(c: Connection, t: int, row: list[bool]) -> bool:
        """Whether what a connection brings to time t is reached; the row of t is being found."""
        time = t - c.delay
        if time < 0 or c.source >= net.units:
            return False
        state = ports[net.cell_index[c.target]][c.net_input or ""].hears
        at = outputs[c.source] if state is None else column[c.source, state]
        return (row[at] if time == t else seen[time][at]) or heard(c.target, c.source, time)

    for t in range(len(rows), steps + 1):
        row = [False] * len(net.states)
        while True:  # until what is heard in the same step has come round
            entered: set[tuple[int, str]] = set()
            for c in net.connections:
                learns = learnt and c.fixed is None and t - c.delay >= 0
                own = looks[net.cell_index[c.target]].get(c.net_input or "", ())
                looked = any(seen[t - 1][column[c.target, y]] for y in own)
                if learns or looked or carries(c, t, row):
                    entered.add((c.target, c.net_input or ""))
            found = [False] * len(net.states)
            for k in range(net.units):
                known = {name for port, name in entered if port == k} | moved[k]
                states = net.cells[net.cell_index[k]].states
                known |= {v for v in states if seen[t - 1][column[k, v]]}
                for name, needs in symbols[k].items():
                    found[column[k, name]] = bool(needs & known)
            if found == row:
                break
            row = found
        rows.append(row)
        seen.append(as_seen(row, t))
    return rows, seen


def _looks(cell: Cell) -> dict[str, tuple[str, ...]]:
    """For each net input the old states that its connections look at."""
    return {
        name: tuple(y for y in cell.states if y in {v.name for v in expr.free_symbols})
        for name, expr in synapses(cell).items()
    }
