"""Spec files: TOML and JSON to a Network and back. A spec is data; nothing in it is evaluated."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from derive.errors import NetworkError
from derive.files import write_whole
from derive.network import objectives, topology
from derive.network.bounds import LARGEST_BITS
from derive.network.cell import PLAIN, Cell, NetInputDeclaration, ParameterDeclaration, plain
from derive.network.continuous import ContinuousCell, discretize
from derive.network.fixed import Fixed, fixed_weights
from derive.network.identifiers import validate_identifier
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError

VERSION = "derive/1"
LARGEST = 64 * 1024 * 1024

TOP = (
    "spec", "name", "cell", "cells", "populations", "inputs", "network", "connections",
    "objective", "algorithm", "data", "training",
)  # fmt: skip
CELL = (
    "library", "equations", "intermediates", "net_inputs", "parameters", "output", "name", "units",
    "rates", "readouts", "dt", "scheme",
)  # fmt: skip
NETWORK = ("units", "inputs", "connections", "parameters")
ALGORITHM = (
    "name", "h", "h_prime", "groups", "capacity", "memory", "tol", "max_steps",
    "teacher_forcing", "accumulate",
)  # fmt: skip


def load(source: str | Path | Mapping[str, Any]) -> Network:
    """Read a network from a spec file or a dict of its shape.

    Raises
    ------
    NetworkError
        With the file, the key at fault and what would be right.
    """
    if isinstance(source, Mapping):
        _check_integers(source, "spec", LARGEST_BITS)
        return from_dict(source)
    data = read(source)
    try:
        return from_dict(data, Path(source).parent)
    except NetworkError as error:
        raise NetworkError(f"{source}: {error}") from None


def read(path: str | Path) -> dict[str, Any]:
    """The tables of a spec file as a dict, checked for nothing but being TOML or JSON."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise NetworkError(f"{path}: larger than {LARGEST // 2**20} MiB; no spec is")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise NetworkError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start})"
        ) from None
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        if path.suffix.lower() == ".json":
            data = json.loads(text, object_pairs_hook=_once)
        else:
            data = tomllib.loads(text)
    except ValueError as error:  # a syntax error of either kind, or a number too long to read
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise NetworkError(f"{path}: not {kind}: {error}") from None
    except RecursionError:
        raise NetworkError(f"{path}: nested too deeply to be a spec") from None
    if not isinstance(data, dict):
        raise NetworkError(f"{path}: a spec is a table, got {type(data).__name__}")
    _check_integers(data, path, 64)
    return data


def _check_integers(data: Any, where: str | Path, bits: int) -> None:
    """Refuse a whole number too long for any use, before a message has to print it."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, int) and not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise NetworkError(
                f"{where}: a whole number of {value.bit_length()} bits; {bits} are most"
            )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice; json itself would keep the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [k for k, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} stands twice")
    return found


def from_dict(data: Mapping[str, Any], base: Path | None = None) -> Network:
    """A network from the tables of a spec; files it names are relative to ``base``."""
    from derive.network import populationfile

    check_keys(data, TOP, "spec")
    if data.get("spec") != VERSION:
        raise NetworkError(
            f"spec: expected {VERSION!r} as the format's version, got {data.get('spec')!r}"
        )
    if "populations" in data:
        return populationfile.network_from(data, base)
    populationfile.refuse_without_populations(data)
    network = table(data, "network")
    check_keys(network, NETWORK, "network")
    units = topology.whole(
        required(network, "units", "network"), "network.units", 1, topology.MOST_UNITS
    )
    return Network(
        cell=_cells(data, units),
        units=units,
        inputs=network.get("inputs", 0),
        connections=_connections(required(network, "connections", "network"), base),
        objective=_objective(table(data, "objective")),
        name=data.get("name", "network"),
        parameters=table(network, "parameters", {}),
        algorithm=_algorithm(table(data, "algorithm", {})),
    )


def _cells(data: Mapping[str, Any], units: int) -> Cell | list[Cell]:
    if ("cell" in data) == ("cells" in data):
        raise NetworkError("spec: give either [cell], or [cells.NAME] tables with their units")
    if "cell" in data:
        stated = table(data, "cell")
        if "units" in stated:
            raise NetworkError(
                "cell.units: only for [cells.NAME] tables; one cell is for all units"
            )
        return cell_from_dict(stated, "cell")
    chosen: list[Cell | None] = [None] * units
    for name, stated in table(data, "cells").items():
        where = f"cells.{name}"
        if not isinstance(stated, Mapping):
            raise NetworkError(f"{where}: expected a table, got {stated!r}")
        cell = cell_from_dict(stated, where)
        cell.name = validate_identifier(name, where)
        listed = required(stated, "units", where)
        if not isinstance(listed, list):
            raise NetworkError(f"{where}.units: expected a list of units, got {listed!r}")
        for k in listed:
            k = topology.whole(k, f"{where}.units: a unit", 0)
            if k >= units:
                raise NetworkError(f"{where}.units: {k} is out of range; units are 0…{units - 1}")
            if chosen[k] is not None:
                raise NetworkError(f"{where}.units: unit {k} already has a cell")
            chosen[k] = cell
    without = [k for k, c in enumerate(chosen) if c is None]
    if without:
        raise NetworkError(f"cells: unit {without[0]} has no cell; list it in some cell's units")
    return [c for c in chosen if c is not None]


def cell_from_dict(stated: Mapping[str, Any], where: str) -> Cell:
    """A cell from its ``[cell]`` table: from the library by name, or spelled out."""
    if "library" in stated:
        return _from_library(stated, where)
    check_keys(stated, CELL, where)
    if ("equations" in stated) == ("rates" in stated):
        raise NetworkError(
            f"{where}: give library = …, or a table of equations, or a table of rates with dt"
        )
    intermediates = texts(table(stated, "intermediates", {}), f"{where}.intermediates")
    declared: dict[str, Any] = {
        "intermediates": intermediates,
        "net_inputs": _net_inputs(stated.get("net_inputs", ["s"]), f"{where}.net_inputs"),
        "parameters": tuple(
            _parameter(k, v, f"{where}.parameters.{k}")
            for k, v in table(stated, "parameters", {}).items()
        ),
        "output": stated.get("output"),
        "name": stated.get("name", "cell"),
    }
    spec = {k: v for k, v in stated.items() if k != "units"}
    if "rates" in stated:
        return _from_rates(stated, declared, spec, where)
    for key in ("readouts", "dt", "scheme"):
        if key in stated:
            raise NetworkError(f"{where}.{key}: only beside rates; equations say the next value")
    states: dict[str, str] = texts(table(stated, "equations"), f"{where}.equations")
    return Cell.from_text(states, **declared, where=f"{where}.equations", spec=spec)


def _from_library(stated: Mapping[str, Any], where: str) -> Cell:
    """A cell from the library, by name."""
    import inspect

    name = stated["library"]
    if not isinstance(name, str) or name not in LIBRARY:
        raise NetworkError(f"{where}.library: no cell {name!r}; {near(name, LIBRARY)}")
    declared = inspect.signature(LIBRARY[name]).parameters
    check_keys(stated, ("library", "units", *declared), where)
    arguments = {k: v for k, v in stated.items() if k in declared}
    # What is stated in Python as text or as SymPy can only be text here. Numbers are the
    # cell's own to check.
    kinds = {"bool": bool, "str": str, "Any": str}
    for key, value in arguments.items():
        kind = kinds.get(str(declared[key].annotation), object)
        if not isinstance(value, kind):
            raise NetworkError(f"{where}.{key}: expected {kind.__name__}, got {value!r}")
    return LIBRARY[name](**arguments)


def _from_rates(
    stated: Mapping[str, Any], declared: dict[str, Any], spec: dict[str, Any], where: str
) -> Cell:
    """A cell in continuous time, discretised."""
    unit = ContinuousCell.from_text(
        texts(table(stated, "rates"), f"{where}.rates"),
        readouts=texts(table(stated, "readouts", {}), f"{where}.readouts"),
        **declared,
        where=f"{where}.rates",
    )
    dt = required(stated, "dt", where)
    try:
        return discretize(unit, dt, stated.get("scheme", "euler"), spec=spec)
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from None


def _net_inputs(stated: Any, where: str) -> tuple[NetInputDeclaration, ...]:
    """A list of names, or a table of what each hears and what its connections add."""
    if isinstance(stated, list) and all(isinstance(s, str) for s in stated):
        return tuple(plain(s) for s in stated)
    if not isinstance(stated, Mapping):
        raise NetworkError(f"{where}: expected a list of names or a table, got {stated!r}")
    found = []
    for name, told in stated.items():
        here = f"{where}.{name}"
        if not isinstance(told, Mapping):
            raise NetworkError(f"{here}: expected a table, got {told!r}")
        check_keys(told, ("hears", "delay", "synapse", "parameters"), here)
        for key in ("hears", "synapse"):
            if not isinstance(told.get(key, ""), str):
                raise NetworkError(f"{here}.{key}: expected text, got {told[key]!r}")
        parameters = tuple(
            _parameter(k, v, f"{here}.parameters.{k}")
            for k, v in table(told, "parameters", {}).items()
        )
        synapse = told.get("synapse", PLAIN)
        delay = topology.whole(told.get("delay", 1), f"{here}.delay", 0, 1)
        found.append(NetInputDeclaration(name, told.get("hears"), delay, synapse, parameters))
    return tuple(found)


def _parameter(name: str, value: Any, where: str) -> ParameterDeclaration:
    if isinstance(value, Mapping):
        check_keys(value, ("initial", "trainable", "shared"), where)
        for key in ("trainable", "shared"):
            if not isinstance(value.get(key, True), bool):
                raise NetworkError(f"{where}.{key}: expected true or false, got {value[key]!r}")
        initial, rest = value.get("initial", 0.0), value
    else:
        initial, rest = value, {}
    return ParameterDeclaration(
        name,
        topology.finite(initial, where),
        rest.get("trainable", True),
        rest.get("shared", False),
    )


PATTERNS = {
    "full": ("full", "delay"),
    "random": ("random", "seed", "delay"),
    "ring": ("ring", "delay"),
    "layers": ("layers", "recurrent", "delay"),
    "one_to_one": ("one_to_one", "delay"),
    "pairs": ("pairs", "delay"),
    "csv": ("csv", "delay"),
}


def _connections(stated: Any, base: Path | None = None) -> Any:
    where = "network.connections"
    if isinstance(stated, Mapping) and "fixed" in stated:
        rest = {k: v for k, v in stated.items() if k != "fixed"}
        return Fixed(_connections(rest, base), fixed_weights(stated["fixed"], f"{where}.fixed"))
    if _names_pairs(stated):
        from derive.network.populationfile import pattern_from

        try:
            return pattern_from(stated, base)
        except NetworkError as error:
            raise NetworkError(f"{where}: {error}") from None
    if isinstance(stated, str):
        if stated in ("full", "ring"):
            return topology.full() if stated == "full" else topology.ring()
        raise NetworkError(f"{where}: no pattern {stated!r}; {near(stated, PATTERNS)}")
    if isinstance(stated, list):
        return stated
    if not isinstance(stated, Mapping):
        raise NetworkError(f"{where}: expected a pattern's name, a table or a list, got {stated!r}")
    kinds = [k for k in PATTERNS if k in stated]
    if len(kinds) != 1:
        first = next(iter(stated), "")
        raise NetworkError(f"{where}: {near(first, PATTERNS)}; got keys {', '.join(stated)}")
    (kind,) = kinds
    check_keys(stated, PATTERNS[kind], where)
    delay = stated.get("delay", 1)
    if kind == "full":
        return topology.full(delay)
    if kind == "ring":
        return topology.ring(delay)
    if kind == "random":
        return topology.random(stated["random"], required(stated, "seed", where), delay)
    sizes = stated["layers"]
    if not isinstance(sizes, list):
        raise NetworkError(f"{where}.layers: expected a list of sizes, got {sizes!r}")
    recurrent = stated.get("recurrent", True)
    if not isinstance(recurrent, bool):
        raise NetworkError(f"{where}.recurrent: expected true or false, got {recurrent!r}")
    return topology.layers(*sizes, recurrent=recurrent, delay=delay)


def _names_pairs(stated: Any) -> bool:
    kinds = ("one_to_one", "pairs", "csv")
    if isinstance(stated, str):
        return stated in kinds
    return (
        isinstance(stated, Mapping)
        and sum(k in stated for k in PATTERNS) == 1
        and any(k in stated for k in kinds)
    )


TERM = (
    "J", "library", "targets", "units", "parameters", "pools", "constants", "at",
)  # fmt: skip


def _objective(stated: Mapping[str, Any]) -> Objective:
    if "terms" not in stated:
        return _term(stated, "objective")
    check_keys(stated, ("terms",), "objective")
    listed = stated["terms"]
    if not isinstance(listed, list) or not listed:
        raise NetworkError(f"objective.terms: expected a list of tables, got {listed!r}")
    terms: list[Any] = []
    for i, one in enumerate(listed):
        where = f"objective.terms[{i}]"
        if not isinstance(one, Mapping):
            raise NetworkError(f"{where}: expected a table, got {one!r}")
        terms += _term(one, where).terms
    return Objective.of(terms)


def _term(stated: Mapping[str, Any], where: str) -> Objective:
    """A term from its table: from the library by name, or spelled out."""
    if "library" in stated:
        return _library_objective(stated, where)
    check_keys(stated, TERM if where != "objective" else (*TERM, "terms"), where)
    over = [k for k in ("targets", "units", "parameters") if k in stated]
    if not over:
        required(stated, "targets", where)
    for key in over:
        is_all = key == "units" and stated[key] == "all"
        if not isinstance(stated[key], list) and not is_all:
            what = "names" if key == "parameters" else "units"
            raise NetworkError(f"{where}.{key}: expected a list of {what}, got {stated[key]!r}")
    if "J" not in stated and set(stated) == {"targets"}:
        return SquaredError(stated["targets"])
    if not isinstance(required(stated, "J", where), str):
        raise NetworkError(f"{where}.J: expected an expression as text, got {stated['J']!r}")
    for name, pool in table(stated, "pools", {}).items():
        if not (isinstance(pool, list) and all(isinstance(v, str) for v in pool)):
            raise NetworkError(
                f'{where}.pools.{name}: expected [kind, expression], e.g. ["sum", "exp(y)"], '
                f"got {pool!r}"
            )
    given = {k: stated[k] for k in (*over, "pools", "constants", "at") if k in stated}
    return Objective(stated["J"], where=where, **given)


def _library_objective(stated: Mapping[str, Any], where: str) -> Objective:
    import inspect

    name = stated["library"]
    if not isinstance(name, str) or name not in objectives.LIBRARY:
        raise NetworkError(
            f"{where}.library: no objective {name!r}; {near(name, objectives.LIBRARY)}"
        )
    taken = inspect.signature(objectives.LIBRARY[name]).parameters
    check_keys(stated, ("library", *taken), where)
    for key, parameter in taken.items():
        if parameter.default is inspect.Parameter.empty:
            required(stated, key, where)
    try:
        return objectives.LIBRARY[name](**{k: v for k, v in stated.items() if k != "library"})
    except NetworkError as error:
        raise NetworkError(f"{where}.library = {name!r}: {error}") from None


def _algorithm(stated: Mapping[str, Any]) -> dict[str, Any]:
    check_keys(stated, ALGORITHM, "algorithm")
    if not isinstance(stated.get("name", ""), str):
        raise NetworkError(f"algorithm.name: expected a name, got {stated['name']!r}")
    return {"name": "epochwise", **stated}


def to_spec(net: Network) -> dict[str, Any]:
    """The network as a dict of the spec file's shape."""
    from derive.network import populationfile

    spec: dict[str, Any] = {"spec": VERSION, "name": net.name}
    connections = _listed(net) if net._pattern is None else net._pattern.to_spec()
    if net.populations:
        spec.update(populationfile.to_tables(net, connections))
    else:
        if len(net.cells) == 1:
            spec["cell"] = net.cells[0].to_spec()
        else:
            spec["cells"] = {
                name: {**cell.to_spec(), "units": np.flatnonzero(net.cell_index == i).tolist()}
                for i, (name, cell) in enumerate(zip(net.cell_names, net.cells, strict=True))
            }
        spec["network"] = {
            "units": net.units,
            "inputs": net.inputs,
            "connections": connections,
        }
    if net._stated_values:
        spec.setdefault("network", {})["parameters"] = {
            k: np.asarray(v, dtype=float).tolist() for k, v in net._stated_values.items()
        }
    spec["objective"] = populationfile.named(net.objective.to_spec(), net.populations)
    spec["algorithm"] = dict(net.algorithm)
    return spec


def _listed(net: Network) -> list[Any]:
    listed: list[Any] = []
    for c in net.connections:
        ports = net.cells[net.cell_index[c.target]].net_inputs
        if len(ports) == 1 and c.weight is None and c.fixed is None:
            listed.append([c.target, c.source] + ([c.delay] if c.delay != 1 else []))
            continue
        item: dict[str, Any] = {"target": c.target, "source": c.source, "delay": c.delay}
        if len(ports) > 1:
            item["net_input"] = c.net_input
        if c.weight is not None:
            item["weight"] = c.weight
        if c.fixed is not None:
            item["fixed"] = c.fixed
        listed.append(item)
    return listed


def dumps(spec: Mapping[str, Any], suffix: str = ".toml") -> str:
    """A spec as TOML (default) or JSON text."""
    if suffix == ".json":
        return json.dumps(spec, indent=1, ensure_ascii=False) + "\n"
    import tomli_w

    return tomli_w.dumps(dict(spec))


def save(net: Network, path: str | Path) -> None:
    """Write a network's spec to ``path``, whole or not at all."""
    path = Path(path)
    if path.suffix.lower() not in (".toml", ".json"):
        raise NetworkError(f"{path}: a spec file ends in .toml or .json")
    text = dumps(to_spec(net), path.suffix.lower())
    try:
        write_whole(path, text)
    except OSError as error:
        raise NetworkError(f"{path}: cannot be written: {error.strerror}") from None


# --- what every table of a spec goes through ------------------------------------------------


def check_keys(stated: Mapping[str, Any], known: Any, where: str) -> None:
    """Refuse a key that is not known, naming the nearest that is."""
    for key in stated:
        if key not in known:
            raise NetworkError(f"{where}: unknown key {key!r}; {near(key, known)}")


def near(key: Any, known: Any) -> str:
    """What the writer of a misspelt key may have meant."""
    close = difflib.get_close_matches(str(key), [str(k) for k in known], n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(map(str, known))}"


def table(data: Mapping[str, Any], key: str, default: Any = None) -> Mapping[str, Any]:
    """The table under ``key``, or one clear error."""
    if key not in data:
        if default is None:
            raise NetworkError(f"spec: [{key}] is missing")
        return dict(default)
    if not isinstance(data[key], Mapping):
        raise NetworkError(f"{key}: expected a table, got {data[key]!r}")
    return data[key]


def required(stated: Mapping[str, Any], key: str, where: str) -> Any:
    """The value under ``key``, or one clear error."""
    if key not in stated:
        raise NetworkError(f"{where}: {key} is missing")
    return stated[key]


def texts(stated: Mapping[str, Any], where: str) -> dict[str, str]:
    """A table of name = "expression"."""
    for key, value in stated.items():
        if not isinstance(value, str):
            raise NetworkError(f"{where}.{key}: expected an expression as text, got {value!r}")
    return dict(stated)
