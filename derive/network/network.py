"""A network: units with their cells, input lines, connections, and an objective."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from derive.errors import NetworkError
from derive.network.between import joined
from derive.network.cell import Cell
from derive.network.identifiers import validate_identifier
from derive.network.objective import Objective
from derive.network.order import stages_of
from derive.network.populations import Populations, input_groups, nearest
from derive.network.topology import (
    MOST_UNITS,
    Connection,
    Hearing,
    Integers,
    Places,
    Wiring,
    whole,
    wire,
)

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class ParameterSlice:
    """A named stretch of theta: the weights, or one trainable parameter of one unit."""

    name: str
    start: int
    stop: int
    unit: int | None = None

    @property
    def slice(self) -> slice:
        """The stretch as a Python slice."""
        return slice(self.start, self.stop)


class Network:
    """What a person states: n units, m input lines, connections, an objective.

    Parameters
    ----------
    cell : Cell or sequence of Cell
        One cell for all units, or a list with one per unit.
    units, inputs : int
        n ≥ 1 and m ≥ 0. A *source* is an index into U ∪ I: 0…n−1 are units, n…n+m−1 input lines.
        Input lines may also be given as named groups, ``{"sound": 12, "light": 2}``.
    connections : pattern or list
        ``derive.connect.full()`` and its kind, a list of ``(target, source)``,
        ``(target, source, delay)`` and :class:`~derive.Connection`, or a list of
        ``derive.connect.between(…)``.
    objective : Objective
        What the outputs are judged by, e.g. ``derive.SquaredError(targets=[2])``.
    name : str
        An identifier; the emitted module is called by it.
    parameters : mapping of str to number or list, optional
        First values of cell parameters: one number for all, or one per unit.
    algorithm : mapping, optional
        The algorithm a spec file names, with its options; a default for the functions that take
        one.
    populations : mapping of str to (Cell, int), optional
        Named populations instead of ``cell`` and ``units``; see :class:`~derive.Populations`.

    Raises
    ------
    NetworkError
        One clear sentence naming the culprit and what would be right.
    """

    def __init__(
        self,
        cell: Cell | Sequence[Cell] | None = None,
        units: int | None = None,
        inputs: int | Mapping[str, int] = 0,
        connections: Any = (),
        objective: Objective | None = None,
        name: str = "network",
        parameters: Mapping[str, Any] | None = None,
        algorithm: Mapping[str, Any] | None = None,
        populations: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = validate_identifier(name, "network name")
        self.populations: Mapping[str, range] = {}
        if populations is not None:
            if cell is not None or units is not None:
                raise NetworkError("populations: they state cell and units; leave these out")
            if not isinstance(populations, Populations):
                populations = Populations(populations)
            self.populations = populations
            cell, units = populations.by_unit(), populations.units
        inputs, self.input_groups = input_groups(inputs)
        connections = joined(connections, self.populations, self.input_groups)
        self.units = whole(units, "units", 1, MOST_UNITS)
        self.inputs = whole(inputs, "inputs", 0, MOST_UNITS)
        self.cells, self.cell_index = _distinct(cell, self.units)
        if not isinstance(objective, Objective):
            raise NetworkError(
                f"objective: expected e.g. derive.SquaredError(targets=[0]), got {objective!r}"
            )
        self.objective = objective
        self._pattern = connections if hasattr(connections, "arrays") else None
        self.wiring: Wiring = wire(connections, self._places())
        self.stages = stages_of(self.cells, self.cell_index, self.inputs, self.wiring)
        self._check_names()
        self.values = _values(parameters or {}, self.cells, self.cell_index)
        _check_steps(self.cells, self.cell_index, self.values)
        self._stated_values = {k: v for k, v in (parameters or {}).items()}
        self.algorithm = dict(algorithm or {"name": "epochwise"})
        objective.check(self.units, dict.fromkeys(p.name for p in self.parameters))

    # --- reading and writing -------------------------------------------------------------

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any]) -> Network:
        """Read a network from a TOML or JSON spec file, or from a dict of the same shape."""
        from derive.network.specfile import load

        return load(source)

    def to_spec(self) -> dict[str, Any]:
        """The network as a dict of the spec file's shape; :meth:`load` reads it back."""
        from derive.network.specfile import to_spec

        return to_spec(self)

    def save(self, path: str | Path) -> None:
        """Write the spec as ``.toml`` or ``.json``, by the name's ending."""
        from derive.network.specfile import save

        save(self, path)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything stated: equal for two statements of one network."""
        h = hashlib.sha256()
        plain = {
            "name": self.name,
            "units": self.units,
            "inputs": self.inputs,
            "cells": [c.to_spec() for c in self.cells],
            "objective": self.objective.to_spec(),
            "labels": None if self.wiring.labels is None else [str(v) for v in self.wiring.labels],
        }
        h.update(json.dumps(plain, sort_keys=True).encode())
        w = self.wiring
        for array in (self.cell_index, w.target, w.port, w.source, w.delay, w.weight):
            h.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        if len(w.fixed):
            h.update(b"fixed" + w.fixed.astype("<f8").tobytes())
        for name in sorted(self.values):
            h.update(name.encode() + self.values[name].astype("<f8").tobytes())
        return h.hexdigest()

    # --- the shape of things -------------------------------------------------------------

    @cached_property
    def connections(self) -> tuple[Connection, ...]:
        """All connections in canonical order (target, net input, source, delay)."""
        w = self.wiring
        columns = (w.target, w.port, w.source, w.delay, w.weight)
        trained = w.weights
        return tuple(
            Connection(
                k,
                source,
                delay,
                self.cells[self.cell_index[k]].net_inputs[port],
                None if w.labels is None else w.labels[weight],
                None if weight < trained else float(w.fixed[weight - trained]),
            )
            for k, port, source, delay, weight in zip(*(c.tolist() for c in columns), strict=True)
        )

    @cached_property
    def states(self) -> tuple[tuple[int, str], ...]:
        """(unit, name) of every state column of ``y``, unit by unit."""
        return tuple(
            (k, s) for k in range(self.units) for s in self.cells[self.cell_index[k]].states
        )

    @property
    def lookback(self) -> int:
        """Steps before time 0 that delays reach to: rows of a history."""
        return self.wiring.longest_delay - 1

    def columns(self, population: str) -> tuple[int, ...]:
        """The columns of ``y`` that hold the outputs of a population."""
        if population not in self.populations:
            raise NetworkError(
                f"columns: no population {population!r}; {nearest(population, self.populations)}"
            )
        units = self.populations[population]
        return tuple(
            i
            for i, (k, s) in enumerate(self.states)
            if k in units and s == self.cells[self.cell_index[k]].output
        )

    @property
    def cell_names(self) -> tuple[str, ...]:
        """A name for each distinct cell: its own, numbered where two share one."""
        own = [c.name for c in self.cells]
        return tuple(n if own.count(n) == 1 else f"{n}_{i}" for i, n in enumerate(own))

    @cached_property
    def connection_parameters(self) -> dict[str, Integers]:
        """For each parameter of connections its place in theta, per learnt distinct weight.

        −1 where a weight's connections have no such parameter. Connections that share a weight
        share these too.
        """
        w, places = self.wiring, {}
        following = w.weights
        for name in self._of_connections:
            has = np.zeros(w.weights, dtype=bool)
            for weights, _ in self._having(name):
                has[weights] = True
            at = np.full(w.weights, -1, dtype=np.int64)
            at[has] = following + np.arange(int(has.sum()))
            following += int(has.sum())
            places[name] = at
        return places

    @cached_property
    def _of_connections(self) -> tuple[str, ...]:
        """Names of the parameters that connections have besides weights, sorted."""
        return tuple(sorted({q.name for c in self.cells for s in c.ports for q in s.parameters}))

    def _places(self) -> Places:
        ports = tuple(self.cells[c].net_inputs for c in self.cell_index)
        if all(s.hears is None and s.delay == 1 for c in self.cells for s in c.ports):
            return Places(self.units, self.inputs, ports)
        return Places(
            self.units,
            self.inputs,
            ports,
            self.cell_index,
            tuple(tuple(Hearing(s.hears, s.delay) for s in c.ports) for c in self.cells),
            tuple(c.states for c in self.cells),
        )

    def _check_names(self) -> None:
        """A parameter of connections and one of cells may not share a name: theta has one of it."""
        of_cells = {p.name for c in self.cells for p in c.parameters}
        for name in self._of_connections:
            if name in of_cells:
                raise NetworkError(
                    f"parameter {name!r} belongs to a cell and to connections; rename one"
                )

    @cached_property
    def unit_parameters(self) -> dict[str, Integers]:
        """For each trainable cell parameter its place in theta, per unit (−1: unit has none)."""
        places: dict[str, Integers] = {}
        shared: dict[tuple[int, str], int] = {}
        following = self.wiring.weights + sum(
            int((at >= 0).sum()) for at in self.connection_parameters.values()
        )
        for k in range(self.units):
            c = int(self.cell_index[k])
            for p in self.cells[c].trainable:
                at = places.setdefault(p.name, np.full(self.units, -1, dtype=np.int64))
                if p.shared and (c, p.name) in shared:
                    at[k] = shared[c, p.name]
                    continue
                at[k] = shared[c, p.name] = following
                following += 1
        return places

    @cached_property
    def size(self) -> int:
        """The length of theta."""
        both = (*self.unit_parameters.values(), *self.connection_parameters.values())
        return max([self.wiring.weights - 1, *(int(v.max(initial=-1)) for v in both)]) + 1

    @cached_property
    def parameters(self) -> tuple[ParameterSlice, ...]:
        """The named slices of theta: the weights ``w``, then cell parameters unit by unit."""
        slices = [ParameterSlice("w", 0, self.wiring.weights)] if self.wiring.weights else []
        for name, at in self.connection_parameters.items():
            here = at[at >= 0]
            if here.size:
                slices.append(ParameterSlice(name, int(here[0]), int(here[-1]) + 1))
        own = {
            int(i): ParameterSlice(name, int(i), int(i) + 1, k)
            for name, at in self.unit_parameters.items()
            for k, i in reversed(list(enumerate(at)))
            if i >= 0
        }
        return (*slices, *(own[i] for i in sorted(own)))

    def init(self, seed: int = 0) -> Floats:
        """A first theta, shape (P,): weights uniform in ±1/√(fan-in), parameters as declared."""
        generator = np.random.Generator(np.random.PCG64(whole(seed, "seed", 0)))
        w = self.wiring
        fan_in = np.ones(w.weights)
        here = w.learnt
        entering = np.bincount(w.target, minlength=self.units)[w.target]
        np.maximum.at(fan_in, w.weight[here], entering[here])
        theta = np.zeros(self.size)
        theta[: w.weights] = generator.uniform(-1, 1, w.weights) / np.sqrt(fan_in)
        for name, at in self.connection_parameters.items():
            theta[at[at >= 0]] = self._first_of_connections(name)[at >= 0]
        for name, at in self.unit_parameters.items():
            here = at >= 0
            theta[at[here]] = self.values[name][here]
        return theta

    def _first_of_connections(self, name: str) -> Floats:
        """A connection parameter's declared first value, per learnt distinct weight."""
        first = np.zeros(self.wiring.weights)
        for weights, initial in self._having(name):
            first[weights] = initial
        return first

    def _having(self, name: str) -> Iterator[tuple[Integers, float]]:
        """The learnt weights whose connections have a parameter, with its declared first value."""
        w = self.wiring
        for c, cell in enumerate(self.cells):
            for p, port in enumerate(cell.ports):
                for q in port.parameters:
                    if q.name == name:
                        here = (self.cell_index[w.target] == c) & (w.port == p) & w.learnt
                        yield w.weight[here], q.initial

    def unpack(self, theta: Any) -> dict[str, Floats]:
        """Named arrays of theta: ``w`` (one per distinct weight), and each cell parameter.

        A parameter per unit has one entry for each unit that has it, in unit order; a shared one
        has one entry per cell. A parameter of connections has one for each distinct weight that
        has it.
        """
        theta = self._check_theta(theta)
        named = {"w": theta[: self.wiring.weights].copy()}
        named.update({name: theta[at].copy() for name, at in self._entries().items()})
        return named

    def pack(self, named: Mapping[str, Any]) -> Floats:
        """Theta from the dict that :meth:`unpack` gives; every name must be there."""
        entries = {"w": np.arange(self.wiring.weights), **self._entries()}
        for name in named:
            if name not in entries:
                raise NetworkError(f"pack: unknown name {name!r}; expected {', '.join(entries)}")
        theta = np.empty(self.size)
        for name, at in entries.items():
            if name not in named:
                raise NetworkError(f"pack: {name!r} is missing; expected {', '.join(entries)}")
            value = np.asarray(named[name], dtype=np.float64)
            if value.shape != at.shape:
                raise NetworkError(f"pack: {name}: expected shape {at.shape}, got {value.shape}")
            theta[at] = value
        return theta

    def weight_matrix(self, theta: Any) -> Floats:
        """The weights as (n, n+m): row = target unit, column = source; zero where unconnected.

        Raises
        ------
        NetworkError
            When two connections join the same pair (several delays or net inputs): then one
            matrix cannot hold them.
        """
        theta = self._check_theta(theta)
        w = self.wiring
        flat = w.target * (self.units + self.inputs) + w.source
        if np.unique(flat).size != flat.size:
            raise NetworkError(
                "weight_matrix: some unit and source are joined by more than one connection; "
                "use net.connections with net.unpack(theta)['w'] instead"
            )
        matrix = np.zeros((self.units, self.units + self.inputs))
        matrix.ravel()[flat] = w.all_weights(theta)[w.weight]
        return matrix

    def _entries(self) -> dict[str, Integers]:
        found = {name: at[at >= 0] for name, at in self.connection_parameters.items()}
        for name, at in self.unit_parameters.items():
            here = at[at >= 0]
            found[name] = here[np.sort(np.unique(here, return_index=True)[1])]
        return found

    def _check_theta(self, theta: Any) -> Floats:
        theta = np.asarray(theta, dtype=np.float64)
        if theta.shape != (self.size,):
            raise ValueError(f"theta: expected (P={self.size},), got {theta.shape}")
        return theta

    def __repr__(self) -> str:
        return (
            f"Network({self.name!r}, units={self.units}, inputs={self.inputs}, "
            f"connections={self.wiring.size}, parameters={self.size})"
        )


def _distinct(cell: Any, units: int) -> tuple[tuple[Cell, ...], Integers]:
    if isinstance(cell, Cell):
        return (cell,), np.zeros(units, dtype=np.int64)
    if not isinstance(cell, Sequence) or not all(isinstance(c, Cell) for c in cell):
        raise NetworkError(f"cell: expected a derive.Cell or a list of them, got {cell!r}")
    if len(cell) != units:
        raise NetworkError(f"cell: expected one Cell or {units} (one per unit), got {len(cell)}")
    by_object: dict[int, int] = {}
    by_spec: dict[str, int] = {}
    cells: list[Cell] = []
    index = []
    for c in cell:
        if id(c) not in by_object:
            spec = json.dumps(c.to_spec(), sort_keys=True)
            by_object[id(c)] = by_spec.setdefault(spec, len(cells))
            if by_object[id(c)] == len(cells):
                cells.append(c)
        index.append(by_object[id(c)])
    return tuple(cells), np.array(index, dtype=np.int64)


def _values(
    stated: Mapping[str, Any], cells: tuple[Cell, ...], cell_index: Integers
) -> dict[str, Floats]:
    """Each cell parameter's first (or fixed) value per unit; NaN for units that lack it."""
    declared = sorted({p.name for c in cells for p in c.parameters})
    values = {name: np.full(cell_index.size, np.nan) for name in declared}
    for i, c in enumerate(cells):
        for p in c.parameters:
            values[p.name][cell_index == i] = p.initial
    for name, given in stated.items():
        if name not in values:
            raise NetworkError(
                f"parameters: no cell has a parameter {name!r}"
                + (f"; there are {', '.join(declared)}" if declared else "")
            )
        try:
            numbers = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise NetworkError(f"parameters.{name}: expected numbers, got {given!r}") from None
        if numbers.shape not in ((), (cell_index.size,)):
            raise NetworkError(
                f"parameters.{name}: expected one number or {cell_index.size} (one per unit), "
                f"got shape {numbers.shape}"
            )
        if not np.isfinite(numbers).all():
            raise NetworkError(f"parameters.{name}: every value must be finite")
        here = ~np.isnan(values[name])
        values[name][here] = np.broadcast_to(numbers, here.shape)[here]
    return values


def _check_steps(
    cells: tuple[Cell, ...], cell_index: Integers, values: Mapping[str, Floats]
) -> None:
    """Whether Δt suits the values that units have, where these are not the declared ones."""
    for i, c in enumerate(cells):
        if c.discretized is None:
            continue
        units = np.flatnonzero(cell_index == i)
        own = {p.name: values[p.name][units] for p in c.parameters}
        if any((own[p.name] != p.initial).any() for p in c.parameters):
            c.discretized.check(own, units)
