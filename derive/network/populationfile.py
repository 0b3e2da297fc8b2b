"""The part of a spec file that states populations and the connections between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from derive.errors import NetworkError
from derive.network import specfile
from derive.network.between import Between, Joined, between
from derive.network.cell import Cell
from derive.network.identifiers import validate_identifier
from derive.network.network import Network
from derive.network.pairs import from_csv, one_to_one, pairs
from derive.network.populations import Populations, nearest, shown
from derive.network.topology import whole

POPULATION = ("cell", "size")
NETWORK = ("inputs", "connections", "parameters")
CONNECTIONS = (
    "from", "to", "pattern", "delay", "net_inputs", "weight", "weight_per", "self", "fixed",
)  # fmt: skip
TARGETS = ("population", "units")
UNITS = ("targets", "units")
"""The keys of an objective, or of a term of one, that list units."""
ALL = "all"
PATTERNS = {
    "full": ("full", "delay"),
    "one_to_one": ("one_to_one", "delay"),
    "ring": ("ring", "delay"),
    "random": ("random", "seed", "delay"),
    "pairs": ("pairs", "delay"),
    "csv": ("csv", "delay"),
}


def network_from(data: Mapping[str, Any], base: Path | None) -> Network:
    """The network of a spec with ``[populations]``.

    Parameters
    ----------
    data : mapping
        The tables of the spec.
    base : Path or None
        The folder that files named in it are relative to: the one the spec file is in.
    """
    if "cell" in data:
        raise NetworkError(
            "cell: in a spec with [populations] each has its own; write populations.NAME.cell, or "
            "state [cells.NAME] tables to refer to"
        )
    network = specfile.table(data, "network", {})
    if "units" in network:
        raise NetworkError("network.units: the sizes of [populations] say how many there are")
    specfile.check_keys(network, NETWORK, "network")
    populations = _populations(data)
    return Network(
        populations=populations,
        inputs=_inputs(data, network),
        connections=_connections(data, network, base),
        objective=specfile._objective(
            resolved(specfile.table(data, "objective"), populations, "objective")
        ),
        name=data.get("name", "network"),
        parameters=specfile.table(network, "parameters", {}),
        algorithm=specfile._algorithm(specfile.table(data, "algorithm", {})),
    )


def refuse_without_populations(data: Mapping[str, Any]) -> None:
    """Say where a table belongs that means something only beside ``[populations]``."""
    for key, instead in (("inputs", "network.inputs"), ("connections", "network.connections")):
        if key in data:
            raise NetworkError(
                f"{key}: belongs to a spec with [populations]; without, write {instead}"
            )


def _populations(data: Mapping[str, Any]) -> Populations:
    cells = _cells(specfile.table(data, "cells", {}))
    stated: dict[str, tuple[Cell, int]] = {}
    used = set()
    for name, value in specfile.table(data, "populations").items():
        where = f"populations.{name}"
        validate_identifier(name, "population")
        if not isinstance(value, Mapping):
            raise NetworkError(f"{where}: expected a table, got {shown(value)}")
        specfile.check_keys(value, POPULATION, where)
        size = whole(specfile.required(value, "size", where), f"{where}.size", 1)
        cell = specfile.required(value, "cell", where)
        if isinstance(cell, str):
            if cell not in cells:
                raise NetworkError(_no_cell(cell, cells, f"{where}.cell"))
            used.add(cell)
            stated[name] = cells[cell], size
            continue
        if not isinstance(cell, Mapping):
            raise NetworkError(
                f"{where}.cell: expected the name of a [cells.NAME] table, or a table, "
                f"got {shown(cell)}"
            )
        _refuse_units(cell, f"{where}.cell")
        own = specfile.cell_from_dict(cell, f"{where}.cell")
        own.name = name
        stated[name] = own, size
    idle = [name for name in cells if name not in used]
    if idle:
        raise NetworkError(f"cells.{idle[0]}: no population has this cell; remove it or use it")
    return Populations(stated)


def _cells(stated: Mapping[str, Any]) -> dict[str, Cell]:
    cells = {}
    for name, value in stated.items():
        where = f"cells.{name}"
        if not isinstance(value, Mapping):
            raise NetworkError(f"{where}: expected a table, got {shown(value)}")
        _refuse_units(value, where)
        cells[name] = specfile.cell_from_dict(value, where)
        cells[name].name = validate_identifier(name, where)
    return cells


def _no_cell(name: str, cells: Mapping[str, Cell], where: str) -> str:
    if cells:
        return f"{where}: no cell {shown(name)}; {nearest(name, cells)}"
    return (
        f"{where}: no table [cells.{name[:40]}]; state it, or write cell = {{ library = … }} "
        "for one from the library"
    )


def _refuse_units(cell: Mapping[str, Any], where: str) -> None:
    if "units" in cell:
        raise NetworkError(f"{where}.units: a population says how many units have a cell")


def _inputs(data: Mapping[str, Any], network: Mapping[str, Any]) -> Any:
    if "inputs" in data:
        if "inputs" in network:
            raise NetworkError("inputs: stated twice, in [inputs] and as network.inputs; keep one")
        return specfile.table(data, "inputs")
    return network.get("inputs", 0)


def _connections(data: Mapping[str, Any], network: Mapping[str, Any], base: Path | None) -> Any:
    if "connections" in network:
        if "connections" in data:
            raise NetworkError(
                "connections: stated twice, as [[connections]] and as network.connections; keep one"
            )
        return specfile._connections(network["connections"], base)
    stated = specfile.required(data, "connections", "spec")
    if not isinstance(stated, list) or not all(isinstance(c, Mapping) for c in stated):
        raise NetworkError(
            f"connections: expected [[connections]] tables, got {shown(stated)}; a pattern of the "
            "whole network is network.connections"
        )
    return [_between(c, f"connections[{i}]", base) for i, c in enumerate(stated)]


def _between(stated: Mapping[str, Any], where: str, base: Path | None) -> Between:
    specfile.check_keys(stated, CONNECTIONS, where)
    try:
        pattern = pattern_from(stated.get("pattern", "full"), base)
    except NetworkError as error:
        raise NetworkError(f"{where}.pattern: {error}") from None
    source = specfile.required(stated, "from", where)
    target = specfile.required(stated, "to", where)
    given = {
        k: stated[k]
        for k in ("delay", "net_inputs", "weight", "weight_per", "fixed")
        if k in stated
    }
    try:
        return between(source, target, pattern, self_loops=stated.get("self", True), **given)
    except NetworkError as error:
        raise NetworkError(f"{where}.{error}") from None


def pattern_from(stated: Any, base: Path | None) -> Any:
    """A pattern from its name or table; errors leave it to the caller to say where."""
    from derive.network import topology

    if isinstance(stated, str):
        simple = {"full": topology.full, "one_to_one": one_to_one, "ring": topology.ring}
        if stated not in simple:
            raise NetworkError(f"no pattern {shown(stated)}; {specfile.near(stated, PATTERNS)}")
        return simple[stated]()
    if not isinstance(stated, Mapping):
        raise NetworkError(f"expected a pattern's name or a table, got {shown(stated)}")
    kinds = [k for k in PATTERNS if k in stated]
    if len(kinds) != 1:
        keys = list(map(str, stated))
        meant = specfile.near(keys[0] if keys else "", PATTERNS)
        raise NetworkError(f"{meant}; got keys {shown(', '.join(keys))}")
    (kind,) = kinds
    known = PATTERNS[kind]
    for key in stated:
        if key not in known:
            raise NetworkError(f"unknown key {shown(key)}; {specfile.near(key, known)}")
    return _PATTERN[kind](stated, base)


def _simple(kind: str, make: Any) -> Any:
    def read(stated: Mapping[str, Any], _: Path | None) -> Any:
        if stated[kind] is not True:
            raise NetworkError(f"{kind}: expected true, got {shown(stated[kind])}")
        return make(stated.get("delay", 1))

    return read


def _random(stated: Mapping[str, Any], _: Path | None) -> Any:
    from derive.network.topology import random

    if "seed" not in stated:
        raise NetworkError("seed is missing")
    return random(stated["random"], stated["seed"], stated.get("delay", 1))


def _listed(stated: Mapping[str, Any], _: Path | None) -> Any:
    return pairs(stated["pairs"], stated.get("delay", 1))


def _csv(stated: Mapping[str, Any], base: Path | None) -> Any:
    name = stated["csv"]
    if not isinstance(name, str) or not name:
        raise NetworkError(f"csv: expected the name of a file, got {shown(name)}")
    return from_csv((base or Path()) / name, stated.get("delay", 1))


def _patterns() -> dict[str, Any]:
    from derive.network import topology

    return {
        "full": _simple("full", topology.full),
        "one_to_one": _simple("one_to_one", one_to_one),
        "ring": _simple("ring", topology.ring),
        "random": _random,
        "pairs": _listed,
        "csv": _csv,
    }


_PATTERN = _patterns()


# --- targets by name ---------------------------------------------------------------------------


def resolved(
    stated: Mapping[str, Any], populations: Mapping[str, range], where: str
) -> dict[str, Any]:
    """An objective's table, and those of its terms, with numbers of units in place of names."""
    found = dict(stated)
    for key in UNITS:
        if key in stated and stated[key] != ALL:
            found[key] = unit_numbers(stated[key], populations, f"{where}.{key}")
    if isinstance(stated.get("terms"), list):
        found["terms"] = [
            resolved(term, populations, f"{where}.terms[{i}]")
            if isinstance(term, Mapping)
            else term
            for i, term in enumerate(stated["terms"])
        ]
    return found


def unit_numbers(value: Any, populations: Mapping[str, range], where: str) -> Any:
    """Units in the order stated; what names no population is left for the objective to judge."""
    if isinstance(value, str):
        return list(_population(value, populations, where))
    if isinstance(value, Mapping):
        specfile.check_keys(value, TARGETS, where)
        units = _population(specfile.required(value, "population", where), populations, where)
        listed = value.get("units", list(range(len(units))))
        if not isinstance(listed, list):
            raise NetworkError(f"{where}.units: expected a list of units, got {shown(listed)}")
        return [units[whole(k, f"{where}.units: a unit", 0, len(units) - 1)] for k in listed]
    if not isinstance(value, list):
        return value
    found: list[Any] = []
    for i, item in enumerate(value):
        named = isinstance(item, (str, Mapping))
        found += unit_numbers(item, populations, f"{where}[{i}]") if named else [item]
    return found


def _population(name: Any, populations: Mapping[str, range], where: str) -> range:
    if not isinstance(name, str) or name not in populations:
        raise NetworkError(f"{where}: no population {shown(name)}; {nearest(name, populations)}")
    return populations[name]


# --- back to a file ----------------------------------------------------------------------------


def to_tables(net: Network, connections: Any) -> dict[str, Any]:
    """The tables of a network that was stated with populations.

    Parameters
    ----------
    net : Network
    connections
        What ``network.connections`` is where they are not stated between populations.
    """
    names = _cell_names(net)
    spec: dict[str, Any] = {
        "cells": {name: cell.to_spec() for name, cell in zip(names, net.cells, strict=True)},
        "populations": {
            name: {"cell": names[net.cell_index[units[0]]], "size": len(units)}
            for name, units in net.populations.items()
        },
    }
    network: dict[str, Any] = {}
    if net.input_groups:
        spec["inputs"] = {name: len(lines) for name, lines in net.input_groups.items()}
    else:
        network["inputs"] = net.inputs
    if not isinstance(net._pattern, Joined):
        network["connections"] = connections
    if network:
        spec["network"] = network
    if isinstance(net._pattern, Joined):
        spec["connections"] = net._pattern.to_spec()
    return spec


def _cell_names(net: Network) -> tuple[str, ...]:
    """The cells' own names, or those of populations where one's own cannot stand in a file."""
    try:
        for name in net.cell_names:
            validate_identifier(name, "cell")
    except NetworkError:
        first = {int(net.cell_index[u[0]]): n for n, u in reversed(list(net.populations.items()))}
        return tuple(first[i] for i in range(len(net.cells)))
    return net.cell_names


def named(objective: Mapping[str, Any], populations: Mapping[str, range]) -> dict[str, Any]:
    """An objective's table with the name of a population in place of all its units."""
    whole_ones = {tuple(units): name for name, units in populations.items()}
    found = dict(objective)
    for key in UNITS:
        listed = objective.get(key)
        if isinstance(listed, list) and tuple(listed) in whole_ones:
            found[key] = whole_ones[tuple(listed)]
    if "terms" in objective:
        found["terms"] = [named(term, populations) for term in objective["terms"]]
    return found
