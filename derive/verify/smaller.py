"""A network taken apart, and every way to leave one thing out of it.

Each change is a generator of smaller cases, the boldest first. What it gives need not be a network:
that is found out when one is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.errors import DeriveError
from derive.network.cell import Cell
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError, Term, moved
from derive.network.topology import Connection
from derive.program.algorithms import settle

SIMPLEST = ("s", "tanh(s)", "y/2 + s", "y/2 + tanh(s)")
"""What a unit may compute instead, the simplest first; the last ones remember."""


@dataclass(frozen=True)
class Case:
    """A network in parts that can be left out, with its algorithm."""

    name: str
    cells: tuple[Cell, ...]
    inputs: int
    connections: tuple[Connection, ...]
    terms: tuple[Term, ...]
    parameters: Mapping[str, tuple[float | None, ...]]
    algorithm: Mapping[str, Any]

    @property
    def units(self) -> int:
        """n."""
        return len(self.cells)

    def settled(self) -> tuple[Network, dict[str, Any]] | None:
        """The network and its algorithm; None where there is no such network."""
        try:
            options = {k: v for k, v in self.algorithm.items() if k != "name"}
            net = self._network(None)
            settled = settle(net, self.algorithm["name"], options)
            return self._network(settled), settled
        except DeriveError:
            return None

    def _network(self, algorithm: Mapping[str, Any] | None) -> Network:
        one = all(c is self.cells[0] for c in self.cells)
        return Network(
            self.cells[0] if one else list(self.cells),
            self.units,
            self.inputs,
            list(self.connections),
            Objective.of(self._terms()),
            name=self.name,
            parameters={name: _stated(values) for name, values in self.parameters.items()},
            algorithm=algorithm,
        )

    def _terms(self) -> Iterator[Term]:
        """The terms, without the names of parameters that are gone."""
        learned = {p.name for c in self.cells for p in c.trainable}
        learned |= {p.name for c in self.cells for port in c.ports for p in port.parameters}
        learned |= {"w"} if any(c.fixed is None for c in self.connections) else set()
        for term in self.terms:
            if term.over != "parameters":
                yield term
            elif names := tuple(n for n in term.names if n in learned):
                yield replace(term, names=names)


def _stated(values: Sequence[float | None]) -> Any:
    """One number where all are equal; a unit without the parameter takes any."""
    there = [v for v in values if v is not None]
    return there[0] if len(set(there)) == 1 else [there[0] if v is None else v for v in values]


def case_of(net: Network, algorithm: Mapping[str, Any]) -> Case:
    """A network taken apart."""
    return Case(
        net.name,
        tuple(net.cells[i] for i in net.cell_index.tolist()),
        net.inputs,
        net.connections,
        tuple(net.objective.terms),
        {
            name: tuple(None if np.isnan(v) else float(v) for v in values)
            for name, values in sorted(net.values.items())
            if not np.isnan(values).all()
        },
        algorithm,
    )


# --- what may be left out ------------------------------------------------------------------------


def without_units(case: Case) -> Iterator[Case]:
    """Half of the units, then each by itself, the last first."""
    if case.units > 3:
        for kept in (range(case.units // 2), range(case.units // 2, case.units)):
            yield of_units(case, list(kept))
    if case.units > 1:
        for k in reversed(range(case.units)):
            yield of_units(case, [i for i in range(case.units) if i != k])


def of_units(case: Case, kept: list[int]) -> Case:
    """Some of the units, with what is between them."""
    place = {k: i for i, k in enumerate(kept)}
    n = len(kept)
    place |= {case.units + line: n + line for line in range(case.inputs)}
    groups = case.algorithm.get("groups")
    algorithm = dict(case.algorithm)
    # Where all that was judged is gone, what is left has to be judged by something.
    terms = tuple(t for term in case.terms if (t := _of_units(term, place, case.units)))
    if groups is not None:
        left = [[place[k] for k in group if k in place] for group in groups]
        algorithm["groups"] = [group for group in left if group]
    return replace(
        case,
        cells=tuple(case.cells[k] for k in kept),
        connections=tuple(
            replace(c, target=place[c.target], source=place[c.source])
            for c in case.connections
            if c.target in place and c.source in place
        ),
        terms=terms if any(t.over == "targets" for t in terms) else _squared_error(0),
        parameters={
            name: tuple(values[k] for k in kept)
            for name, values in case.parameters.items()
            if any(values[k] is not None for k in kept)
        },
        algorithm=algorithm,
    )


def _squared_error(k: int) -> tuple[Term, ...]:
    return tuple(SquaredError([k]).terms)


def _of_units(term: Term, place: Mapping[int, int], n: int) -> Term | None:
    if term.over == "parameters" or term.units is None:
        return term
    own = [k for k in term.units_of(n) if k in place]
    return moved(term, own, [place[k] for k in own]) if own else None


def without_inputs(case: Case) -> Iterator[Case]:
    """Each input line by itself, the last first."""
    for line in reversed(range(case.inputs)):
        at = case.units + line
        yield replace(
            case,
            inputs=case.inputs - 1,
            connections=tuple(
                replace(c, source=c.source - (c.source > at))
                for c in case.connections
                if c.source != at
            ),
        )


def without_connections(case: Case) -> Iterator[Case]:
    """All, halves, quarters, …, single connections."""
    every = case.connections
    width = len(every)
    while width >= 1:
        for first in range(0, len(every), width):
            yield replace(case, connections=every[:first] + every[first + width :])
        width //= 2


def without_delays(case: Case) -> Iterator[Case]:
    """Every delay 1, then each by itself, then each by one step."""
    yield from _each(case, lambda c: replace(c, delay=1) if c.delay != 1 else None)
    yield from _each(case, lambda c: replace(c, delay=c.delay - 1) if c.delay > 2 else None)


def with_plain_weights(case: Case) -> Iterator[Case]:
    """Weights that are not shared, and none that is fixed."""
    yield from _each(case, lambda c: None if c.weight is None else replace(c, weight=None))
    yield from _each(case, lambda c: None if c.fixed is None else replace(c, fixed=None))


def _each(case: Case, change: Callable[[Connection], Connection | None]) -> Iterator[Case]:
    """A change of all connections that it changes, then of one at a time."""
    changed = [change(c) for c in case.connections]
    places = [i for i, c in enumerate(changed) if c is not None]
    for chosen in [places, *([i] for i in places if len(places) > 1)]:
        if chosen:
            of = set(chosen)
            yield _with(
                case,
                [
                    changed[i] if i in of else c  # type: ignore[misc]
                    for i, c in enumerate(case.connections)
                ],
            )


def _with(case: Case, connections: Sequence[Connection]) -> Case:
    """With other connections, each place taken once."""
    places = {(c.target, c.net_input, c.source, c.delay): c for c in reversed(connections)}
    return replace(case, connections=tuple(reversed(places.values())))


def with_simpler_cells(case: Case) -> Iterator[Case]:
    """A simpler cell for all units, then for one of them, then one cell for all."""
    rank = [rank_of(cell) for cell in case.cells]
    for i, text in enumerate(SIMPLEST):
        for units in ([*range(case.units)], *([k] for k in range(case.units) if case.units > 1)):
            if any(rank[k] > i for k in units):
                yield _with_cell(case, units, Cell.from_text({"y": text}, name="simplest"))
    distinct = list({id(c): c for c in case.cells}.values())
    if len(distinct) > 1:
        for cell in distinct:
            yield _with_cell(case, [*range(case.units)], cell)


def rank_of(cell: Cell) -> int:
    """The place of a cell among the simplest ones; beyond them all for any other."""
    stated = cell.to_spec().get("equations", {})
    text = stated.get("y") if list(stated) == ["y"] and not cell.parameters else None
    return SIMPLEST.index(text) if text in SIMPLEST else len(SIMPLEST)


def _with_cell(case: Case, units: list[int], cell: Cell) -> Case:
    """Another cell in some units, whose connections go to its first net input."""
    cells = tuple(cell if k in units else c for k, c in enumerate(case.cells))
    known = {p.name for p in cell.parameters}
    connections = [
        replace(c, net_input=cell.net_inputs[0])
        if c.target in units and c.net_input not in cell.net_inputs
        else c
        for c in case.connections
        if c.target not in units or cell.net_inputs
    ]
    parameters = {}
    for name, values in case.parameters.items():
        kept = tuple(v if k not in units or name in known else None for k, v in enumerate(values))
        if any(v is not None for v in kept):
            parameters[name] = kept
    return _with(replace(case, cells=cells, parameters=parameters), connections)


def with_simpler_objective(case: Case) -> Iterator[Case]:
    """The squared error of one unit; fewer terms; fewer units in a term."""
    judged = sorted({k for t in case.terms if t.over == "targets" for k in t.units_of(case.units)})
    for k in judged or range(case.units):
        yield replace(case, terms=_squared_error(k))
    if len(case.terms) > 1:
        for i in range(len(case.terms)):
            yield replace(case, terms=case.terms[:i] + case.terms[i + 1 :])
    for i, term in enumerate(case.terms):
        own = list(term.units or ())
        for k in own if len(own) > 1 else []:
            rest = [u for u in own if u != k]
            yield replace(
                case, terms=(*case.terms[:i], moved(term, rest, rest), *case.terms[i + 1 :])
            )


def with_simpler_options(case: Case) -> Iterator[Case]:
    """Shorter windows, no groups, no teacher forcing."""
    algorithm = dict(case.algorithm)
    for key in sorted(set(algorithm) - {"name", "h", "h_prime"}):
        yield replace(case, algorithm={k: v for k, v in algorithm.items() if k != key})
    for key in ("h_prime", "h"):
        for value in sorted({1, algorithm.get(key, 1) - 1} - {0}):
            if value < algorithm.get(key, 1):
                yield replace(case, algorithm={**algorithm, key: value})


def without_values(case: Case) -> Iterator[Case]:
    """First values of parameters as the cell states them."""
    for name in case.parameters:
        yield replace(case, parameters={k: v for k, v in case.parameters.items() if k != name})


CHANGES: tuple[Callable[[Case], Iterator[Case]], ...] = (
    without_units,
    with_simpler_cells,
    with_simpler_objective,
    without_inputs,
    without_connections,
    without_delays,
    with_plain_weights,
    with_simpler_options,
    without_values,
)
"""In the order they are tried: what makes the rest quicker comes first."""
