"""Claims about populations: they are the network their units and connections make, by name."""

from __future__ import annotations

import copy
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.errors import NetworkError
from derive.network import connect
from derive.network.between import PER, Between
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.pairs import LARGEST
from derive.network.populationfile import named, resolved
from derive.network.populations import Populations
from derive.network.specfile import dumps
from derive.network.topology import LEAST_DELAY, Connection, Places, wire
from tests.strategies import deaf, gated

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "populations.toml"


def spec() -> dict[str, Any]:
    """A valid spec: a gated layer of four, a relay of four, a read-out of two."""
    return {
        "spec": "derive/1",
        "name": "valid",
        "cells": {
            "memory": {
                "equations": {"y": "g*y + (1 - g)*tanh(s)"},
                "intermediates": {"g": "logistic(gate)"},
                "net_inputs": ["s", "gate"],
            },
        },
        "populations": {
            "hidden": {"cell": "memory", "size": 4},
            "relay": {"cell": {"library": "leaky", "tau": 3.0}, "size": 4},
            "out": {"cell": {"library": "semilinear", "activation": "identity"}, "size": 2},
        },
        "inputs": {"sound": 4, "light": 1},
        "connections": [
            {"from": "sound", "to": "hidden", "pattern": "one_to_one", "net_inputs": ["s"]},
            {"from": ["light", "hidden"], "to": "hidden", "net_inputs": ["gate"]},
            {"from": "hidden", "to": "relay", "pattern": {"random": 0.5, "seed": 3}, "delay": 2},
            {"from": "relay", "to": "relay", "pattern": "ring", "weight": "step"},
            {"from": "relay", "to": "out", "pattern": {"pairs": [[0, 3], [1, 0, 3], [1, 2]]}},
        ],
        "objective": {"targets": "out"},
    }


def load(**changes: Any) -> Network:
    return Network.load({**spec(), **changes})


def stated(net: Network) -> list[Connection]:
    return list(net.connections)


# --- the same network, stated in other ways -----------------------------------------------------


def test_populations_are_the_network_of_numbered_units() -> None:
    """By hand: units in the order of the populations, then the groups of input lines."""
    net = load()
    memory, relay, out = (net.cells[net.cell_index[k]] for k in (0, 4, 8))
    links = [
        *(Connection(k, 10 + k, 1, "s") for k in range(4)),
        *(Connection(k, s, 1, "gate") for k in range(4) for s in (14, 0, 1, 2, 3)),
        *(Connection(k, (k - 5) % 4 + 4, 1, "s", "step") for k in range(4, 8)),
        Connection(8, 7), Connection(9, 4, 3), Connection(9, 6),
    ]  # fmt: skip
    generator = np.random.Generator(np.random.PCG64(3))
    drawn = [np.flatnonzero(generator.random(4) < 0.5) for _ in range(4)]
    links += [Connection(4 + k, int(s), 2) for k, row in enumerate(drawn) for s in row]
    by_hand = Network(
        [memory] * 4 + [relay] * 4 + [out] * 2, 10, 5, links, SquaredError([8, 9]), name="valid"
    )
    assert net.connections == by_hand.connections
    assert net.digest == by_hand.digest
    np.testing.assert_array_equal(net.init(2), by_hand.init(2))


def test_python_says_the_same_as_the_spec() -> None:
    net = load()
    memory, relay, out = (net.cells[net.cell_index[k]] for k in (0, 4, 8))
    b = derive.connect.between
    built = derive.Network(
        populations={"hidden": (memory, 4), "relay": (relay, 4), "out": (out, 2)},
        inputs={"sound": 4, "light": 1},
        connections=[
            b("sound", "hidden", derive.connect.one_to_one(), net_inputs=["s"]),
            b(["light", "hidden"], "hidden", net_inputs=["gate"]),
            b("hidden", "relay", derive.connect.random(0.5, seed=3), delay=2),
            b("relay", "relay", derive.connect.ring(), weight="step"),
            b("relay", "out", derive.connect.pairs([(0, 3), (1, 0, 3), (1, 2)])),
        ],
        objective=derive.SquaredError(targets=range(8, 10)),
        name="valid",
    )
    assert built.digest == net.digest and built.to_spec() == net.to_spec()


def test_ranges_of_units_and_columns_of_y_and_x() -> None:
    populations = Populations(hidden=(gated(), 2), out=(semilinear(), 3))
    assert populations["out"] == range(2, 5) and populations.units == 5
    net = Network(
        populations=populations,
        inputs={"a": 2, "b": 1},
        connections=[connect.between("inputs", "out")],
        objective=SquaredError(populations["out"]),
    )
    assert dict(net.populations) == {"hidden": range(2), "out": range(2, 5)}
    assert net.input_groups == {"a": range(2), "b": range(2, 3)} and net.inputs == 3
    assert net.columns("out") == (2, 3, 4)
    with pytest.raises(NetworkError, match="columns: no population 'uot'; did you mean 'out'"):
        net.columns("uot")


def test_columns_are_those_of_the_output_where_a_unit_has_several_states() -> None:
    pair = derive.Cell.from_text({"v": "v/2 + s", "y": "v*s"}, output="y")
    net = Network(
        populations={"pair": (pair, 2), "out": (semilinear(), 1)},
        connections=[connect.between("pair", "out")],
        objective=SquaredError([2]),
    )
    assert net.states == ((0, "v"), (0, "y"), (1, "v"), (1, "y"), (2, "y"))
    assert net.columns("pair") == (1, 3) and net.columns("out") == (4,)


def test_populations_may_have_no_connection() -> None:
    net = load(connections=[])
    assert net.wiring.size == 0
    assert Network.load(net.to_spec()).to_spec() == net.to_spec()


def test_a_network_without_populations_has_none() -> None:
    net = Network(semilinear(), 2, 1, connect.full(), SquaredError([0]))
    assert not net.populations and not net.input_groups
    assert set(net.to_spec()) == {"spec", "name", "cell", "network", "objective", "algorithm"}


def test_a_pattern_of_the_whole_network_goes_with_populations() -> None:
    changed = spec()
    del changed["connections"]
    changed["network"] = {"connections": "full"}
    net = Network.load(changed)
    assert net.wiring.size == (4 * 2 + 4 + 2) * 15
    assert Network.load(net.to_spec()).to_spec() == net.to_spec()
    assert net.to_spec()["network"]["connections"] == "full"


def test_the_example_is_what_its_comments_say() -> None:
    net = Network.load(EXAMPLE)
    assert dict(net.populations) == {"hidden": range(8), "out": range(8, 10)}
    assert net.input_groups == {"sound": range(8), "light": range(8, 9)}
    by_source = {s: [c for c in net.connections if c.source == s] for s in range(19)}
    assert all([c.target for c in by_source[10 + k]] == [k] for k in range(8))
    assert [(c.target, c.weight) for c in by_source[18]] == [(k, "light") for k in range(8)]
    assert not any(c.target == c.source for c in net.connections)
    assert {c.delay for c in net.connections if c.target >= 8} == {2}
    assert net.objective.targets == (8, 9)


def test_the_example_learns_what_differences_say() -> None:
    net = Network.load(EXAMPLE)
    kernel = derive.compile(net)
    generator = np.random.default_rng(0)
    theta, x = net.init(0), generator.normal(size=(6, net.inputs))
    target = generator.normal(size=(6, 2))
    J, g = kernel.gradient(theta, x, target)
    light = net.wiring.weight[[c.weight == "light" for c in net.connections]]
    assert len(set(light.tolist())) == 1
    for i in (int(light[0]), net.size - 1):
        step = np.zeros(net.size)
        step[i] = 1e-6
        up, down = (kernel.gradient(theta + s, x, target)[0] for s in (step, -step))
        assert g[i] == pytest.approx((up - down) / 2e-6, rel=1e-6)


# --- patterns between, each against a naive statement of it -------------------------------------

CELLS: dict[str, Callable[[], Any]] = {"plain": semilinear, "leaky": leaky, "gated": gated}


@st.composite
def entries(draw: st.DrawFn) -> tuple[dict[str, tuple[Any, int]], int, list[Between]]:
    """Populations, input lines, and entries of which no two can make one connection."""
    sizes = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(1, 3)))]
    stated = {
        f"p{i}": (CELLS[draw(st.sampled_from(sorted(CELLS)))](), size)
        for i, size in enumerate(sizes)
    }
    inputs = draw(st.integers(1, 3))
    made = []
    for delay in range(1, draw(st.integers(1, 4)) + 1):
        names = [*stated, "inputs"]
        to = draw(st.lists(st.sampled_from(list(stated)), min_size=1, max_size=2, unique=True))
        origin = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        n_to = sum(stated[n][1] for n in to)
        n_from = sum(inputs if n == "inputs" else stated[n][1] for n in origin)
        listed = draw(
            st.lists(
                st.tuples(st.integers(0, n_to - 1), st.integers(0, n_from - 1)),
                max_size=4, unique=True,
            )
        )  # fmt: skip
        choices: list[Any] = [connect.full(), connect.random(0.5, delay), connect.pairs(listed)]
        choices += [connect.one_to_one()] if n_to == n_from else []
        choices += [connect.ring()] if to == origin else []
        weight = draw(st.sampled_from([None, "a", 7]))
        per = draw(st.lists(st.sampled_from(PER), max_size=2, unique=True)) if weight else []
        made.append(
            connect.between(
                origin, to, draw(st.sampled_from(choices)), delay=delay, weight=weight,
                weight_per=per, self_loops=draw(st.booleans()),
            )
        )  # fmt: skip
    return stated, inputs, made


def naively(
    stated: dict[str, tuple[Any, int]], inputs: int, made: list[Between]
) -> list[Connection]:
    """The connections, one at a time."""
    starts: dict[str, tuple[int, int]] = {}
    n = 0
    for name, (_, size) in stated.items():
        starts[name] = n, size
        n += size
    starts["inputs"] = n, inputs
    found = []
    for b in made:
        units = {
            side: [
                (name, start + i)
                for name in getattr(b, side)
                for start, size in [starts[name]]
                for i in range(size)
            ]
            for side in ("target", "source")
        }
        rows = [
            (i, k, port)
            for i, (name, k) in enumerate(units["target"])
            for port in stated[name][0].net_inputs
        ]
        generator = np.random.Generator(np.random.PCG64(getattr(b.pattern, "seed", 0)))
        listed = set()
        if isinstance(b.pattern, connect.Pairs):
            listed = set(zip(b.pattern.target.tolist(), b.pattern.source.tolist(), strict=True))
        for i, k, port in rows:
            drawn = generator.random(len(units["source"]))
            for j, (_, s) in enumerate(units["source"]):
                match b.pattern:
                    case connect.Full():
                        there = True
                    case connect.Random():
                        there = bool(drawn[j] < b.pattern.density)
                    case connect.OneToOne():
                        there = i == j
                    case connect.Ring():
                        there = j == (i - 1) % len(units["target"])
                    case _:
                        there = (i, j) in listed
                if not there or (k == s and not b.self_loops):
                    continue
                by = {"net_input": port, "target": i, "source": j, "offset": j - i}
                label: Any = b.weight
                if b.weight_per:
                    label = f"{b.weight}:" + ",".join(str(by[p]) for p in b.weight_per)
                found.append(Connection(k, s, b.delay, port, label))
    return found


@settings(max_examples=150)
@given(entries())
def test_patterns_between_are_what_a_naive_reading_gives(drawn: Any) -> None:
    stated, inputs, made = drawn
    net = Network(populations=stated, inputs=inputs, connections=made, objective=SquaredError([0]))
    cells = [cell for cell, size in stated.values() for _ in range(size)]
    by_hand = Network(cells, len(cells), inputs, naively(*drawn), SquaredError([0]))
    assert net.connections == by_hand.connections
    np.testing.assert_array_equal(net.wiring.weight, by_hand.wiring.weight)
    assert net.digest == by_hand.digest


@settings(max_examples=60)
@given(entries())
def test_what_is_written_is_read_back(drawn: Any) -> None:
    stated, inputs, made = drawn
    net = Network(populations=stated, inputs=inputs, connections=made, objective=SquaredError([0]))
    written = net.to_spec()
    assert "populations" in written and "units" not in written.get("network", {})
    for again in (written, tomllib.loads(dumps(written)), json.loads(dumps(written, ".json"))):
        read = Network.load(again)
        assert read.digest == net.digest and read.to_spec() == written
        assert dict(read.populations) == dict(net.populations)
        assert read.connections == net.connections


def test_a_saved_file_has_the_population_as_target_and_lists_what_a_csv_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "wiring.csv").write_text("target,source,delay,weight\n0,3,,a\n1,0,4,\n1,2,,a\n")
    changed = spec()
    changed["connections"][4]["pattern"] = {"csv": "wiring.csv"}
    changed["connections"][4]["delay"] = 2
    (tmp_path / "net.toml").write_text(dumps(changed))
    net = Network.load(tmp_path / "net.toml")
    ends = [(c.target, c.source, c.delay, c.weight) for c in net.connections if c.target >= 8]
    assert ends == [(8, 7, 2, "a"), (9, 4, 4, None), (9, 6, 2, "a")]
    net.save(tmp_path / "again.toml")
    kept = tomllib.loads((tmp_path / "again.toml").read_text())
    assert kept["objective"]["targets"] == "out"
    assert kept["connections"][4]["pattern"] == {
        "pairs": [[0, 3, 2, "a"], [1, 0, 4], [1, 2, 2, "a"]]
    }
    assert Network.load(tmp_path / "again.toml").digest == net.digest


def test_cells_whose_names_cannot_stand_in_a_file_are_written_under_the_populations() -> None:
    cell = derive.Cell.from_text({"y": "tanh(s)"}, name="my cell")
    net = Network(
        populations={"a": (cell, 1), "b": (semilinear(), 1)},
        connections=[connect.between("a", "b")],
        objective=SquaredError([1]),
    )
    assert list(net.to_spec()["cells"]) == ["a", "b"]
    assert Network.load(net.to_spec()).to_spec() == net.to_spec()


@pytest.mark.parametrize(
    ("targets", "units"),
    [
        ("hidden", [0, 1, 2, 3]),
        ({"population": "out", "units": [1]}, [9]),
        ({"population": "out"}, [8, 9]),
        ([9, 2], [9, 2]),
        (["out", 0], [8, 9, 0]),
        (["out", {"population": "relay", "units": [3, 0]}], [8, 9, 7, 4]),
    ],
)
def test_targets_by_the_name_of_a_population(targets: Any, units: list[int]) -> None:
    assert list(load(objective={"targets": targets}).objective.targets) == units


def test_the_units_of_every_term_may_be_named() -> None:
    """A constant may have any name, that of a key too."""
    populations = load().populations
    stated = {
        "terms": [
            {"J": "-(d - y)**2/2", "targets": "out"},
            {"J": "-a*y**2", "units": {"population": "hidden", "units": [2]}},
            {"J": "-units*y**2", "units": "all", "constants": {"units": 3.0}},
        ]
    }
    plain = resolved(stated, populations, "objective")
    assert [t.get("targets", t.get("units")) for t in plain["terms"]] == [[8, 9], [2], "all"]
    assert plain["terms"][2]["constants"] == {"units": 3.0}
    back = named(plain, populations)
    assert [t.get("targets", t.get("units")) for t in back["terms"]] == ["out", [2], "all"]
    with pytest.raises(NetworkError, match=r"objective.terms\[0\].targets: no population 'uot'"):
        resolved({"terms": [{"targets": "uot"}]}, populations, "objective")


# --- the whole network by pairs -----------------------------------------------------------------

TWO = Places(2, 2, (("g", "s"), ("s",)))


def rows(pattern: Any, places: Places = TWO) -> list[tuple[int, ...]]:
    w = wire(pattern, places)
    return list(zip(*(c.tolist() for c in (w.target, w.port, w.source, w.delay)), strict=True))


def test_patterns_of_pairs_serve_the_whole_network(tmp_path: Path) -> None:
    assert rows(connect.one_to_one(3)) == [(0, 0, 2, 3), (0, 1, 2, 3), (1, 0, 3, 3)]
    expected = [(0, 0, 1, 2), (0, 1, 1, 2), (1, 0, 3, 5)]
    listed = connect.pairs([(0, 1), (1, 3, 5)], delay=2)
    assert rows(listed) == rows(connect.pairs(np.array([[0, 1, 2], [1, 3, 5]]))) == expected
    (tmp_path / "w.csv").write_text("0, 1\n\n1,3,5\n")
    assert rows(connect.from_csv(tmp_path / "w.csv", delay=2)) == expected
    with pytest.raises(NetworkError, match="as many sources as targets; there are 2 and 3"):
        rows(connect.one_to_one(), Places(3, 2, (("s",),) * 3))


@pytest.mark.parametrize(
    "stated",
    ["one_to_one", {"one_to_one": True, "delay": 2}, {"pairs": [[0, 1], [1, 2, 3]]},
     {"pairs": [[0, 1, 1, "a"], [1, 2, 1, "a"]], "delay": 2}],
)  # fmt: skip
def test_a_spec_without_populations_takes_them_too(stated: Any) -> None:
    changed = {
        "spec": "derive/1",
        "cell": {"library": "semilinear"},
        "network": {"units": 2, "inputs": 2, "connections": stated},
        "objective": {"targets": [1]},
    }
    net = Network.load(changed)
    assert net.wiring.size == 2
    again = Network.load(net.to_spec())
    assert again.to_spec() == net.to_spec() and again.digest == net.digest


def test_a_file_of_pairs_is_beside_the_spec(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "w.csv").write_text("0,1\n")
    text = dumps(
        {
            "spec": "derive/1",
            "cell": {"library": "semilinear"},
            "network": {"units": 2, "connections": {"csv": "w.csv"}},
            "objective": {"targets": [0]},
        }
    )
    (tmp_path / "folder" / "net.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert Network.load("folder/net.toml").wiring.source.tolist() == [1]
    with pytest.raises(NetworkError, match="w.csv: cannot be read: No such file"):
        Network.load(tomllib.loads(text))


# --- weights shared ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per", "weights"),
    [([], 1), (["net_input"], 2), (["source"], 3), (["target"], 3), (["offset"], 5),
     (["net_input", "offset"], 10), (["target", "source", "net_input"], 18)],
)  # fmt: skip
def test_one_weight_for_all_or_for_each(per: list[str], weights: int) -> None:
    net = Network(
        populations={"p": (gated(), 3)},
        connections=[connect.between("p", "p", weight="k", weight_per=per)],
        objective=SquaredError([0]),
    )
    assert net.wiring.size == 18 and net.wiring.weights == weights


def test_an_id_is_shared_between_entries_and_a_number_in_a_file_is_the_number(
    tmp_path: Path,
) -> None:
    (tmp_path / "w.csv").write_text("0,0,1,7\n1,1,1,kernel\n")
    net = Network(
        populations={"p": (semilinear(), 2)},
        inputs=1,
        connections=[
            connect.between("p", "p", connect.from_csv(tmp_path / "w.csv")),
            connect.between("inputs", "p", weight=7),
        ],
        objective=SquaredError([0]),
    )
    assert net.wiring.size == 4 and net.wiring.weights == 2


# --- mistakes ------------------------------------------------------------------------------------


def at(*path: Any) -> Callable[[Any], Callable[[dict[str, Any]], None]]:
    """A change of the value at ``path``."""

    def to(value: Any) -> Callable[[dict[str, Any]], None]:
        def change(stated: dict[str, Any]) -> None:
            inner: Any = stated
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value

        return change

    return to


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change that removes the key at ``path``."""

    def change(stated: dict[str, Any]) -> None:
        inner: Any = stated
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def entry(i: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    """A change of keys of one of the connections; ``origin`` stands for ``from``."""

    def change(stated: dict[str, Any]) -> None:
        renamed = {"origin": "from", "loops": "self"}
        stated["connections"][i] |= {renamed.get(k, k): v for k, v in values.items()}

    return change


out, hidden = ("populations", "out"), ("populations", "hidden")
targets = at("objective", "targets")
HUGE = 10**1000
UNPRINTABLE = 10**6000

BAD: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    # tables that do not go together
    ("cell", at("cell")({"library": "leaky"}), r"^cell: in a spec with \[populations\] each has"),
    ("units", at("network")({"units": 10}), r"^network.units: the sizes of \[populations\] say"),
    ("network key", at("network")({"input": 1}), "^network: unknown key 'input'; did you mean 'in"),
    ("inputs twice", at("network")({"inputs": 5}), r"^inputs: stated twice, in \[inputs\] and as"),
    ("connections twice", at("network")({"connections": "full"}), "^connections: stated twice, as"),
    ("no connections", drop("connections"), "^spec: connections is missing"),
    ("no populations", drop("populations"), r"^inputs: belongs to a spec with \[populations\]"),
    ("populations", at("populations")([1]), r"^populations: expected a table, got \[1\]"),
    ("none", at("populations")({}), "^cells.memory: no population has this cell"),
    ("cells' units", at("cells", "memory", "units")([0]), "^cells.memory.units: a population says"),
    ("a cell", at("cells", "memory")(3), "^cells.memory: expected a table, got 3"),
    ("idle", at("cells", "idle")({"library": "leaky"}), "^cells.idle: no population has this cell"),
    # populations
    ("population", at(*out)(3), "^populations.out: expected a table, got 3"),
    ("key", at(*out, "sise")(3), "^populations.out: unknown key 'sise'; did you mean 'size'"),
    ("no size", drop(*out, "size"), "^populations.out: size is missing"),
    ("no cell", drop(*out, "cell"), "^populations.out: cell is missing"),
    ("size 0", at(*out, "size")(0), "^populations.out.size must be at least 1, got 0"),
    ("half", at(*out, "size")(1.5), "^populations.out.size must be a whole number, got 1.5"),
    ("nan", at(*out, "size")(float("nan")), "^populations.out.size must be a whole number, got n"),
    ("true", at(*out, "size")(True), "^populations.out.size must be a whole number, got True"),
    ("huge", at(*out, "size")(HUGE), "^populations.out.size must be at most 1000000, got a huge"),
    ("in all", at(*out, "size")(10**6), "^populations.out.size: 1000008 units in all, more than"),
    ("cell's name", at(*hidden, "cell")("memroy"), "hidden.cell: no cell 'memroy'; did you mean '"),
    ("cell's type", at(*hidden, "cell")(4), r"hidden.cell: expected the name of a \[cells.NAME\]"),
    ("inline", at(*out, "cell")({"library": "semilinaer"}), "out.cell.library: no cell 'semilinae"),
    ("inline units", at(*out, "cell", "units")([0]), "^populations.out.cell.units: a population"),
    ("equations", at(*out, "cell")({"equations": {"y": "z"}}), "out.cell.equations.y: column 1: u"),
    ("inputs' name", at("populations", "inputs")({"cell": "memory", "size": 1}),
     "^population 'inputs': the name stands for the input lines"),
    ("all", at("populations", "all")({"cell": "memory", "size": 1}), "^population 'all': the na"),
    ("empty name", at("populations", "")({"cell": "memory", "size": 1}), "^population '': use ASC"),
    ("path", at("populations", "../x")({"cell": "memory", "size": 1}), "^population '../x': use A"),
    ("keyword", at("populations", "class")({"cell": "memory", "size": 1}), "is a keyword of Pytho"),
    ("case", at("populations", "OUT")({"cell": "memory", "size": 1}), "'out' and 'OUT' differ onl"),
    ("long name", at("populations", "p" * 99)({"cell": "memory", "size": 1}), "longer than 64"),
    # input lines
    ("inputs", at("inputs")(3), "^inputs: expected a table, got 3"),
    ("no lines", at("inputs", "light")(0), "^inputs.light must be at least 1, got 0"),
    ("huge lines", at("inputs", "light")(10**9), "^inputs.light must be at most 1000000"),
    ("lines in all", at("inputs", "light")(10**6), "^inputs: 1000004 input lines in all, more th"),
    ("group's name", at("inputs", "inputs")(1), "^inputs.inputs: the name stands for all input"),
    ("hostile group", at("inputs", "a\nb")(1), r"^group of input lines 'a\\nb': use ASCII"),
    ("both", at("inputs", "hidden")(1), "^inputs.hidden: a population has this name"),
    # connections
    ("connections", at("connections")("full"), r"^connections: expected \[\[connections\]\] table"),
    ("rows", at("connections")([[0, 1]]), r"^connections: expected \[\[connections\]\] tables, go"),
    ("many", at("connections")([{"from": "out", "to": "out"}] * 10_001), "^connections: 10001 ent"),
    ("entry's key", entry(1, dealy=2), r"^connections\[1\]: unknown key 'dealy'; did you mean 'de"),
    ("no from", drop("connections", 0, "from"), r"^connections\[0\]: from is missing"),
    ("no to", drop("connections", 0, "to"), r"^connections\[0\]: to is missing"),
    ("from", entry(2, origin="hiden"), r"^connections\[2\].from: no population 'hiden'; did you m"),
    ("to", entry(2, to="realy"), r"^connections\[2\].to: no population 'realy'; did you mean 'rel"),
    ("strange", entry(2, to="zzzz"), r"connections\[2\].to: no population 'zzzz'; there are hidde"),
    ("to inputs", entry(2, to="inputs"), r"connections\[2\].to: 'inputs' are input lines; nothing"),
    ("to a group", entry(2, to="sound"), r"connections\[2\].to: 'sound' are input lines; nothing"),
    ("from's type", entry(2, origin=3), r"^connections\[2\].from: expected a name or a list of na"),
    ("from numbers", entry(2, origin=[0, 1]), r"^connections\[2\].from: expected a name or a list"),
    ("from nothing", entry(2, origin=[]), r"^connections\[2\].from: the list is empty"),
    ("from twice", entry(2, origin=["out", "out"]), r"^connections\[2\].from: 'out' stands twice"),
    ("a line twice", entry(1, origin=["inputs", "light"]), r"\[1\].from: inputs, light name some "),
    ("hostile from", entry(2, origin="x" * 10**5), r"^connections\[2\].from: no population 'xxx"),
    ("delay", entry(2, delay=LEAST_DELAY - 1), rf"2\].delay must be at least {LEAST_DELAY}"),
    ("half delay", entry(2, delay=1.5), r"^connections\[2\].delay must be a whole number, got 1.5"),
    ("nan delay", entry(2, delay=float("nan")), r"^connections\[2\].delay must be a whole number"),
    ("long delay", entry(2, delay=2**20), r"^connections\[2\].delay must be at most 1048575"),
    ("huge delay", entry(2, delay=HUGE), r"^connections\[2\].delay must be at most .* a huge numb"),
    ("two delays", entry(2, pattern={"full": True, "delay": 3}), r"\[2\].delay: 2 here and 3 in t"),
    ("net input", entry(0, net_inputs=["gaet"]), r"\[0\].net_inputs: hidden has no net input 'gae"),
    ("net inputs", entry(0, net_inputs=[1]), r"^connections\[0\].net_inputs: expected a name or a"),
    ("no net inputs", entry(0, net_inputs=[]), r"^connections\[0\].net_inputs: the list is empty"),
    ("weight", entry(0, weight="a b"), r"^connections\[0\].weight: a weight id is a whole number "),
    ("long weight", entry(0, weight="a" * 10**4), r"^connections\[0\].weight: a weight id is a wh"),
    ("weight's type", entry(0, weight=0.5), r"^connections\[0\].weight: a weight id is a whole nu"),
    ("huge weight", entry(0, weight=HUGE), r"^connections\[0\].weight: a weight id must be at mos"),
    ("per", entry(0, weight="a", weight_per="row"), r"\[0\].weight_per: no 'row'; there are net_i"),
    ("per alone", entry(0, weight_per="source"), r"\[0\].weight_per: give the weight's id too"),
    ("self", entry(0, loops="no"), r"^connections\[0\].self: expected true or false, got 'no'"),
    ("again", lambda stated: stated["connections"].append(
        {"from": "inputs", "to": "hidden", "net_inputs": "s"}),
     r"^connections\[5\]: source 10 to net input 's' of unit 0 with delay 1 is already in"),
    # patterns
    ("pattern", entry(0, pattern="one_to_on"), r"\[0\].pattern: no pattern 'one_to_on'; did you m"),
    ("pattern's type", entry(0, pattern=1), r"\[0\].pattern: expected a pattern's name or a table"),
    ("pattern's list", entry(0, pattern=[[0, 0]]), r"\[0\].pattern: expected a pattern's name or"),
    ("no pattern", entry(0, pattern={}), r"\[0\].pattern: known are full, one_to_one, ring"),
    ("two patterns", entry(0, pattern={"full": True, "ring": True}), "got keys 'full, ring'"),
    ("pattern's key", entry(0, pattern={"random": 0.1, "sede": 1}), "unknown key 'sede'; did you"),
    ("seed", entry(0, pattern={"random": 0.1}), r"\[0\].pattern: seed is missing"),
    ("huge seed", entry(0, pattern={"random": 0.1, "seed": -1}), "seed must be at least 0"),
    ("density", entry(0, pattern={"random": 2, "seed": 0}), r"\[0\].pattern: .*must lie in 0…1"),
    ("false", entry(0, pattern={"full": False}), r"\[0\].pattern: full: expected true, got False"),
    ("layers", entry(0, pattern={"layers": [2, 2]}), r"\[0\].pattern: "),
    ("one to one", entry(0, origin="inputs"), r"^connections\[0\]: one_to_one needs as many sourc"),
    ("ring", entry(3, origin="hidden"), r"^connections\[3\]: a ring is within one population"),
    ("pair", entry(4, pattern={"pairs": [[0, 0], [2, 0]]}),
     r"^connections\[4\]: pairs\[1\]: target 2 is out of range; they are 0…1"),
    ("pair's source", entry(4, pattern={"pairs": [[0, 4]]}), r"pairs\[0\]: source 4 is out of ran"),
    ("negative", entry(4, pattern={"pairs": [[0, -1]]}), r"pairs\[0\]: source must be at least 0"),
    ("no pair", entry(4, pattern={"pairs": [[0]]}), r"\[4\].pattern: pairs\[0\]: expected \[targe"),
    ("pairs", entry(4, pattern={"pairs": "all"}), r"\[4\].pattern: pairs: expected rows of target"),
    ("text pair", entry(4, pattern={"pairs": ["00"]}), r"pairs\[0\]: expected \[target, source\]"),
    ("half pair", entry(4, pattern={"pairs": [[0, 0.5]]}), r"pairs\[0\]: source must be a whole n"),
    ("pair's delay", entry(4, pattern={"pairs": [[0, 0, LEAST_DELAY - 1]]}),
     rf"pairs\[0\]: delay must be at least {LEAST_DELAY}"),
    ("pair's weight", entry(4, pattern={"pairs": [[0, 0, 1, "a:b"]]}), "pairs.0.: weight: a weigh"),
    ("pair twice", entry(4, pattern={"pairs": [[0, 0], [1, 1], [0, 0, 1]]}),
     r"connections\[4\]: pairs\[2\]: target 0, source 0 and delay 1 already stand in pair 0"),
    ("file", entry(4, pattern={"csv": "no.csv"}), r"\[4\].pattern: no.csv: cannot be read: No suc"),
    ("folder", entry(4, pattern={"csv": "/"}), r"\[4\].pattern: /: cannot be read: not a regular"),
    ("device", entry(4, pattern={"csv": "/dev/zero"}), "/dev/zero: cannot be read: not a regular"),
    ("hostile path", entry(4, pattern={"csv": "a\0b"}), "cannot be read: not the path of a file"),
    ("no path", entry(4, pattern={"csv": ""}), r"\[4\].pattern: csv: expected the name of a file"),
    ("path's type", entry(4, pattern={"csv": 3}), r"\[4\].pattern: csv: expected the name of a fi"),
    # targets
    ("target", targets("uot"), "^objective.targets: no population 'uot'; did you mean 'out'"),
    ("a target", targets([0, "uot"]), r"^objective.targets\[1\]: no population 'uot'; did you mea"),
    ("target's key", targets({"populatoin": "out"}), "^objective.targets: unknown key 'populatoin"),
    ("no population", targets({"units": [0]}), "^objective.targets: population is missing"),
    ("target's units", targets({"population": "out", "units": [2]}), "units: a unit must be at mo"),
    ("units' type", targets({"population": "out", "units": 2}), "targets.units: expected a list o"),
    ("twice", targets(["out", 9]), "unit 9 is listed twice in targets"),
    ("far", targets([10]), "target 10 is out of range; units are 0…9"),
    ("no targets", targets([]), "targets is empty"),
    ("a table", targets({"population": ["out"]}), "^objective.targets: no population .'out'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_a_bad_spec_is_one_clear_error(
    change: Callable[[dict[str, Any]], None], message: str
) -> None:
    stated = copy.deepcopy(spec())
    change(stated)
    with pytest.raises(NetworkError, match=message) as caught:
        Network.load(stated)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def places(stated: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a spec."""
    items: list[tuple[Any, Any]] = []
    if isinstance(stated, dict):
        items = list(stated.items())
    elif isinstance(stated, list):
        items = list(enumerate(stated))
    return [path, *(p for k, v in items for p in places(v, (*path, k)))]


HOSTILE = [
    None, True, 0, -1, 2, 10**9, HUGE, -HUGE, UNPRINTABLE, 0.5, float("nan"), float("inf"), "", "y",
    "hidden", "\0", "a\nb", "é", "__import__('os')", "x" * 10**5, b"out", [], [[]], [None], [0],
    ["out"],
    [HUGE], [["out"]], [[0, 0]], {}, {"": 1}, {"a": {}}, {"csv": "x"},
    {"pairs": [[0, UNPRINTABLE]]},
    {"population": HUGE}, {"units": [HUGE]}, {1: 2}, (0, 1), {0},
]  # fmt: skip


@pytest.mark.parametrize("path", places(spec())[1:], ids=lambda p: ".".join(map(str, p)))
def test_a_hostile_value_anywhere_is_refused_or_read(path: tuple[Any, ...]) -> None:
    refused = 0
    for value in HOSTILE:
        stated = copy.deepcopy(spec())
        at(*path)(value)(stated)
        try:
            net = Network.load(stated)
        except NetworkError as error:
            refused += 1
            assert "\n" not in str(error), value
        else:
            assert net.digest
    assert refused > len(HOSTILE) / 2


def test_a_population_stated_twice_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "twice.toml"
    path.write_text(dumps(spec()) + '\n[populations.out]\nsize = 3\ncell = "memory"\n')
    with pytest.raises(NetworkError, match="twice.toml: not TOML: .*twice"):
        Network.load(path)


def test_a_number_too_long_to_print_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(f"spec = 0x{'f' * 10_000}\n")
    with pytest.raises(NetworkError, match="long.toml: a whole number of 40000 bits; 64 are most"):
        Network.load(path)


def test_a_population_without_net_inputs_cannot_be_reached() -> None:
    with pytest.raises(NetworkError, match=r"connections\[0\].to: the cell of p has no net input"):
        Network(
            populations={"p": (deaf(), 2)},
            connections=[connect.between("p", "p")],
            objective=SquaredError([0]),
        )


def test_wiring_that_would_fill_all_memory_is_refused() -> None:
    big = {"p": (semilinear(), 10**4)}
    for pattern in (connect.full(), connect.random(0.9, 0)):
        with pytest.raises(NetworkError, match=r"connections\[0\]: .* more than 33554432"):
            Network(
                populations=big,
                connections=[connect.between("p", "p", pattern)],
                objective=SquaredError([0]),
            )
    few = [connect.between("p", "p", connect.random(1e-6, 0), delay=d) for d in range(1, 103)]
    with pytest.raises(NetworkError, match=r"connections\[100\]: random among 10100000000 possibl"):
        # Refused before anything is drawn for the entry that is too many.
        Network(populations=big, connections=few, objective=SquaredError([0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": semilinear()}, "populations: they state cell and units; leave these out"),
        ({"units": 2}, "populations: they state cell and units; leave these out"),
        ({"populations": {}}, "populations: none is given; name at least one"),
        ({"populations": [1]}, "populations: expected name: "),
        ({"populations": {"p": semilinear()}}, "population 'p': expected .cell, size."),
        ({"populations": {"p": (3, 2)}}, "population 'p': expected a derive.Cell, got 3"),
        ({"populations": {"p": (semilinear(), 0)}}, "populations.p.size must be at least 1, got 0"),
        ({"inputs": {"a": 1.5}}, "inputs.a must be a whole number"),
        ({"connections": [connect.between("p", "p"), (0, 0)]},
         r"connections\[1\]: connections between populations and numbered ones do not mix"),
        ({"connections": [connect.between("inputs", "p")]},
         r"connections\[0\].from: the network has no input lines"),
    ],
)  # fmt: skip
def test_a_bad_network_in_python_is_one_clear_error(
    arguments: dict[str, Any], message: str
) -> None:
    good: dict[str, Any] = {
        "populations": {"p": (semilinear(), 2)},
        "connections": connect.between("p", "p"),
        "objective": SquaredError([0]),
    }
    assert Network(**good).wiring.size == 4
    with pytest.raises(NetworkError, match=message):
        Network(**{**good, **arguments})


def test_between_needs_populations() -> None:
    with pytest.raises(NetworkError, match="between.. leads from and to populations; none is stat"):
        Network(semilinear(), 2, 0, [connect.between("p", "p")], SquaredError([0]))


@pytest.mark.parametrize("pattern", [connect.layers(1, 1), [(0, 0)], "full"])
def test_between_takes_no_other_pattern(pattern: Any) -> None:
    with pytest.raises(NetworkError, match="pattern: between populations it is full, random"):
        connect.between("p", "p", pattern)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0,0\n0,x\n", "line 2, column 'source': expected a whole number of at least 0, got '"),
        (b"0,0\n-1,0\n", "line 2, column 'target': expected a whole number of at least 0, got '-"),
        (b"0,1.0\n", "line 1, column 'source': expected a whole number"),
        (b"0,nan\n", "line 1, column 'source': expected a whole number"),
        (b"\n\n0\n", "line 3: 1 cell; expected target, source"),
        (b"0,0,1,a,b\n", "line 1: 5 cells; expected target, source"),
        (b"0,0\n0,\n", "line 2, column 'source': expected a whole number of at least 0, got ''"),
        (b"0,0,one\n", "line 1, column 'delay': expected a whole number"),
        (b"0,0,1,a b\n", "line 1, column 'weight': a weight id is a whole number or a name"),
        (b"target,source\n0," + b"9" * 5000, "line 2, column 'source': expected a whole number"),
        (b"0,0\ntarget,source\n", "line 2, column 'target': expected a whole number"),
        (b"source,target\n0,0\n", "line 1, column 'target': expected a whole number"),
        ("0,0\n0,١\n".encode(), "line 2, column 'source': expected a whole number"),
        (b"\xff\xfe0,0\n", "not UTF-8 text"),
        (b'0,"1\n', "not CSV: unexpected end of data"),
        (b"0,\0\n", "not CSV: line contains NUL|column 'source': expected a whole number"),
        (b"0,0\n9,0\n", "line 2, column 'target': target 9 is out of range; they are 0…3"),
        (b"0,0\n0,9\n", "line 2, column 'source': source 9 is out of range; they are 0…3"),
        (b"0,1\n2,3\n\n0,1,1\n", "line 4, column 'target': target 0, source 1 and delay 1 already "
         "stand in line 1"),
        (b"0,0,2000000\n", "line 1: delay must be at most 1048575, got 2000000"),
    ],
)  # fmt: skip
def test_a_bad_line_of_a_file_of_pairs_is_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "wiring.csv").write_bytes(content)
    changed = spec()
    changed["connections"][3] = {
        "from": "relay", "to": "relay", "pattern": {"csv": str(tmp_path / "wiring.csv")},
    }  # fmt: skip
    with pytest.raises(NetworkError, match=message) as caught:
        Network.load(changed)
    assert "connections[3]" in str(caught.value) and "wiring.csv" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_file_with_a_byte_order_mark_and_a_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_bytes(b"\xef\xbb\xbfTarget, Source\r\n0,1\r\n")
    assert rows(connect.from_csv(path)) == [(0, 0, 1, 1), (0, 1, 1, 1)]
    path.write_text("")
    assert rows(connect.from_csv(path)) == []


def test_a_file_too_large_or_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    with open(path, "wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(NetworkError, match="w.csv: larger than 16 MiB"):
        connect.from_csv(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NetworkError, match="pipe: cannot be read: not a regular file"):
        connect.from_csv(tmp_path / "pipe")
