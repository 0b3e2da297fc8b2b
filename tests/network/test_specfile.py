"""Claims about spec files: what is written is read back, and a mistake is one clear error."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.errors import NetworkError
from derive.network import connect
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.specfile import dumps
from tests.strategies import spec_networks

ROOT = Path(__file__).parents[2]


def spec() -> dict[str, Any]:
    """A valid spec: two hidden cells of one kind and a readout of another."""
    return {
        "spec": "derive/1",
        "name": "valid",
        "cells": {
            "hidden": {"library": "semilinear", "activation": "tanh", "units": [0, 1]},
            "readout": {
                "equations": {"y": "y + (g*s - y)/tau"},
                "intermediates": {"g": "logistic(s + b)"},
                "parameters": {"tau": 5.0, "b": {"initial": 0.1, "trainable": False}},
                "units": [2],
            },
        },
        "network": {
            "units": 3,
            "inputs": 2,
            "connections": [[0, 3], [1, 4, 2], {"target": 2, "source": 0, "weight": "a"}],
        },
        "objective": {"J": "-(d - y)**2/2", "targets": [2]},
        "algorithm": {"name": "epochwise"},
    }


def test_the_valid_spec_is_valid() -> None:
    net = Network.load(spec())
    assert (net.units, net.inputs, net.size, len(net.cells)) == (3, 2, 4, 2)


@given(spec_networks())
def test_toml_json_and_dict_keep_the_digest(net: Network) -> None:
    written = net.to_spec()
    read = (written, tomllib.loads(dumps(written)), json.loads(dumps(written, ".json")))
    for again in map(Network.load, read):
        assert again.digest == net.digest
        assert again.to_spec() == written
        assert again.connections == net.connections and again.parameters == net.parameters
        np.testing.assert_array_equal(again.init(3), net.init(3))


@settings(max_examples=30)
@given(spec_networks(), st.sampled_from([".toml", ".json"]))
def test_a_saved_file_loads_as_the_same_network(
    tmp_path_factory: pytest.TempPathFactory, net: Network, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("spec") / f"net{suffix}"
    net.save(path)
    assert Network.load(path).digest == Network.load(str(path)).digest == net.digest
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_example_of_the_format_loads(tmp_path: Path) -> None:
    path = tmp_path / "wz3x5.toml"
    path.write_text(
        """
spec = "derive/1"
name = "wz3x5"
[cell]
library = "semilinear"
activation = "tanh"
[network]
units = 3
inputs = 2
connections = "full"
[objective]
J = "-(d - y)**2/2"
targets = [2]
[algorithm]
name = "epochwise"
"""
    )
    built = Network(semilinear("tanh"), 3, 2, connect.full(), SquaredError([2]), name="wz3x5")
    assert Network.load(path).digest == built.digest


@pytest.mark.parametrize(
    ("stated", "pattern"),
    [
        ("full", connect.full()),
        ("ring", connect.ring()),
        ({"full": True, "delay": 3}, connect.full(3)),
        ({"ring": True, "delay": 2}, connect.ring(2)),
        ({"random": 0.4, "seed": 5}, connect.random(0.4, 5)),
        ({"random": 0.4, "seed": 5, "delay": 2}, connect.random(0.4, 5, 2)),
        ({"layers": [2, 1]}, connect.layers(2, 1)),
        ({"layers": [1, 2], "recurrent": False}, connect.layers(1, 2, recurrent=False)),
    ],
)
def test_a_pattern_is_kept_as_a_pattern(stated: Any, pattern: Any) -> None:
    changed = spec()
    changed["network"]["connections"] = stated
    net = Network.load(changed)
    assert net.to_spec()["network"]["connections"] == stated
    hand = Network(list(net.cells[i] for i in net.cell_index), 3, 2, pattern, net.objective,
                   name="valid")  # fmt: skip
    assert net.connections == hand.connections


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


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    """A change that removes the key at ``path``."""

    def change(stated: dict[str, Any]) -> None:
        inner: Any = stated
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


links = at("network", "connections")
readout = ("cells", "readout")
equation = at(*readout, "equations", "y")
J, targets = at("objective", "J"), at("objective", "targets")
deep = "(" * 10_000 + "s" + ")" * 10_000

BAD: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    # keys
    ("top key", at("netwrok")({}), "spec: unknown key 'netwrok'; did you mean 'network'"),
    ("network key", at("network", "unit")(3), "network: unknown key 'unit'; did you mean 'units'"),
    ("cell key", at(*readout, "equation")({}), "cells.readout: unknown key 'equation'; did you"),
    ("library key", at("cells", "hidden", "activaton")("tanh"), "did you mean 'activation'"),
    ("objective key", at("objective", "target")([1]), "objective: .*did you mean 'targets'"),
    ("algorithm key", at("algorithm", "nmae")("x"), "algorithm: unknown key 'nmae'; did you mean"),
    ("parameter key", at(*readout, "parameters", "b", "trainabel")(True), "mean 'trainable'"),
    ("connection key", links([{"target": 0, "source": 0, "dealy": 2}]),
     r"connections\[0\]: unknown key 'dealy'; a connection has target, source, delay"),
    ("strange key", at("zzzz")(1), "unknown key 'zzzz'; known are spec, name, cell"),
    # versions and missing tables
    ("no version", drop("spec"), "spec: expected 'derive/1' as the format's version, got None"),
    ("version", at("spec")("derive/2"), "got 'derive/2'"),
    ("no network", drop("network"), r"spec: \[network\] is missing"),
    ("no units", drop("network", "units"), "network: units is missing"),
    ("no connections", drop("network", "connections"), "network: connections is missing"),
    ("no objective", drop("objective"), r"\[objective\] is missing"),
    ("no targets", drop("objective", "targets"), "objective: targets is missing"),
    ("no cell", drop("cells"), r"give either \[cell\], or \[cells.NAME\]"),
    ("two cells", at("cell")({}), r"give either \[cell\], or \[cells.NAME\]"),
    ("no equations", drop(*readout, "equations"), "cells.readout: unknown|give library = "),
    ("table", at("network")(3), "network: expected a table, got 3"),
    ("algorithm's name", at("algorithm", "name")(3), "algorithm.name: expected a name, got 3"),
    # numbers
    ("zero units", at("network", "units")(0), "network.units must be at least 1, got 0"),
    ("half a unit", at("network", "units")(2.5), "network.units must be a whole number, got 2.5"),
    ("true units", at("network", "units")(True), "network.units must be a whole number, got True"),
    ("huge", at("network", "units")(10**15), "network.units must be at most 1000000"),
    ("inputs", at("network", "inputs")(-1), "inputs must be at least 0, got -1"),
    ("huge inputs", at("network", "inputs")(10**18), "inputs must be at most 1000000"),
    # connections
    ("target", links([[3, 0]]), r"connections\[0\]: target 3 is out of range; units are 0…2"),
    ("source", links([[0, 1], [0, 5]]),
     r"connections\[1\]: source 5 is out of range; units are 0…2, input lines 3…4"),
    ("negative", links([[0, -1]]), r"connections\[0\]: source must be at least 0, got -1"),
    ("delay 0 in a circle", links([[0, 1, 0], [1, 0, 0]]),
     "connections of delay 0 lead in a circle: net input 's' of unit 0 → y of unit 0 → "),
    ("delay 0 of an input", links([[0, 3, 0]]), "an input line has delay 1 at least"),
    ("delay -1", links([[0, 1, -1]]), r"connections\[0\]: delay must be at least 0, got -1"),
    ("delay 1.5", links([[0, 1, 1.5]]), "delay must be a whole number, got 1.5"),
    ("huge delay", links([[0, 1, 10**9]]), "delay 1000000000 is not below 1048576"),
    ("duplicate", links([[0, 1], [0, 1]]),
     "two lead from source 1 to net input 's' of unit 0 with delay 1; keep one"),
    ("three and one", links([[0, 1, 1, 1]]), r"connections\[0\]: expected \(target, source\)"),
    ("a number", links(7), "network.connections: expected a pattern's name, a table or a list"),
    ("pattern", links("ful"), "no pattern 'ful'; did you mean 'full'"),
    ("pattern's key", links({"random": 0.1, "sede": 3}), "unknown key 'sede'; did you mean 'seed'"),
    ("no seed", links({"random": 0.1}), "seed is missing"),
    ("density", links({"random": 1.5, "seed": 0}), "density must lie in 0…1, got 1.5"),
    ("no pattern", links({"rnig": True}), "did you mean 'ring'"),
    ("layers", links({"layers": [2, 2]}), r"sizes \[2, 2\] add up to 4, but the network has 3"),
    ("recurrent", links({"layers": [3], "recurrent": "no"}), "recurrent: expected true or false"),
    ("net input", links([{"target": 0, "source": 0, "net_input": "g"}]),
     "unit 0 has no net input 'g'; it has s"),
    ("weight", links([{"target": 0, "source": 0, "weight": [1]}]), "weight id .* is not a name"),
    ("half weight", links([{"target": 0, "source": 0, "weight": 0.5}]), "weight id 0.5 is not"),
    # cells
    ("library", at("cells", "hidden", "library")("semilinaer"), "did you mean 'semilinear'"),
    ("library list", at("cells", "hidden", "library")(["leaky"]), "cells.hidden.library: no cell"),
    ("activation", at("cells", "hidden", "activation")("tnah"), "undefined symbol 'tnah'"),
    ("bias", at("cells", "hidden", "bias")("yes"), "cells.hidden.bias: expected bool, got 'yes'"),
    ("cell units", at("cells", "hidden", "units")([0, 3]), "cells.hidden.units: 3 is out of range"),
    ("twice", at("cells", "hidden", "units")([0, 1, 2]), "unit 2 already has a cell"),
    ("orphan", at("cells", "hidden", "units")([0]), "cells: unit 1 has no cell; list it in some"),
    ("undefined", equation("tanh(s) + z"), "cells.readout.equations.y: column 11: undefined symb"),
    ("later", equation("y(t + 1)"), "y at a time of its own, perhaps a later one"),
    ("unknown function", equation("gamma(s)"), "unknown function 'gamma'"),
    ("import", equation("__import__('os').system('touch /tmp/x')"), "only a function's name"),
    ("eval", equation("eval('1')"), "unknown function 'eval'"),
    ("dunder", equation("s.__class__.__mro__"), "Attribute is not allowed"),
    ("walrus", equation("(y := s)"), "NamedExpr is not allowed"),
    ("format", equation("f'{s}'"), "JoinedStr is not allowed"),
    ("deep", equation(deep), "nested more than|longer than"),
    ("tower", equation("s**9**9**9**9"), "exponent must be a number of at most 1000"),
    ("no text", equation(3), "cells.readout.equations.y: expected an expression as text, got 3"),
    ("keyword", at(*readout, "equations")({"class": "s"}), "'class' is a keyword of Python"),
    ("C keyword", at(*readout, "equations")({"int": "s"}), "'int' is a keyword of C or Cython"),
    ("collision", at(*readout, "equations")({"y": "s", "Y": "s"}), "differ only by case"),
    ("parameter", at(*readout, "parameters", "tau")("5"), "parameters.tau must be a finite number"),
    ("huge parameter", at(*readout, "parameters", "tau")(10**400), "got a huge number"),
    ("nan parameter", at(*readout, "parameters", "tau")(float("nan")), "got nan"),
    ("net inputs", at(*readout, "net_inputs")("s"), "net_inputs: expected a list of names"),
    ("output", at(*readout, "output")("z"), "output 'z' is not one of its states y"),
    ("values", at("network", "parameters")({"tua": 1.0}), "no cell has a parameter 'tua'"),
    ("count", at("network", "parameters")({"tau": [1.0]}), "expected one number or 3"),
    ("huge value", at("network", "parameters")({"tau": 10**400}), "parameters.tau: expected numb"),
    # objective and name
    ("no target", targets([]), "targets is empty; name at least one unit"),
    ("far target", targets([3]), "objective: target 3 is out of range; units are 0…2"),
    ("double target", targets([1, 1]), "unit 1 is listed twice in targets"),
    ("text target", targets("2"), "objective.targets: expected a list of units, got '2'"),
    ("J", J("-(d - z)**2"), "objective.J: column 7: undefined symbol 'z'; "),
    ("J's type", J(2), "objective.J: expected an expression as text, got 2"),
    ("name", at("name")("my net"), "network name 'my net': use ASCII letters"),
    ("path name", at("name")("../../etc/passwd"), "use ASCII letters"),
    ("keyword name", at("name")("import"), "'import' is a keyword of Python"),
    ("name's type", at("name")(["a"]), r"network name: expected a name, got \['a'\]"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_a_bad_spec_is_one_clear_error(
    change: Callable[[dict[str, Any]], None], message: str
) -> None:
    stated = copy.deepcopy(spec())
    change(stated)
    with pytest.raises(NetworkError, match=message) as caught:
        Network.load(stated)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_pattern_that_would_fill_all_memory_is_refused() -> None:
    for pattern in ("full", {"random": 0.5, "seed": 0}, {"layers": [10**4]}):
        stated = spec() | {"cell": {"library": "semilinear"}}
        del stated["cells"]
        stated["network"] = {"units": 10**4, "connections": pattern}
        with pytest.raises(NetworkError, match="more than 33554432"):
            Network.load(stated)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"spec = ", "a.toml: not TOML: Invalid value"),
        ("a.json", b"{", "a.json: not JSON: Expecting property name"),
        ("a.json", b"[]", "a spec is a table, got list"),
        ("a.json", b'{"name": "a", "name": "b"}', "not JSON: key 'name' stands twice"),
        ("a.toml", b'name = "a"\nname = "b"', "not TOML: Cannot overwrite a value"),
        ("a.toml", b"\xff\xfe", "not UTF-8 text"),
        ("a.json", b"9" * 5000, "not JSON: Exceeds the limit"),
        ("a.toml", b"a = " + b"9" * 5000, "not TOML: Exceeds the limit"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.toml", b"a = " + b"[" * 100_000, "nested too deeply|not TOML"),
    ],
)
def test_a_file_that_is_no_spec_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NetworkError, match=message):
        Network.load(tmp_path / name)


def test_a_missing_file_and_an_unwritable_place_are_one_clear_error(tmp_path: Path) -> None:
    net = Network.load(spec())
    with pytest.raises(NetworkError, match="none.toml: cannot be read: No such file"):
        Network.load(tmp_path / "none.toml")
    with pytest.raises(NetworkError, match="n.toml: cannot be written: No such file"):
        net.save(tmp_path / "nowhere" / "n.toml")
    with pytest.raises(NetworkError, match="ends in .toml or .json"):
        net.save(tmp_path / "n.yaml")


def test_an_error_in_a_file_names_the_file_and_the_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(dumps(spec()).replace("targets", "tragets"))
    with pytest.raises(NetworkError, match="mine.toml: objective: .*'tragets'; did you mean 'targ"):
        Network.load(path)


def test_loading_and_asking_about_a_spec_does_not_import_sympy(tmp_path: Path) -> None:
    path = tmp_path / "valid.toml"
    path.write_text(dumps(spec()))
    program = (
        "import sys, derive\n"
        "net = derive.Network.load(sys.argv[1])\n"
        "net.digest, net.connections, net.parameters, net.init(0), net.to_spec()\n"
        "sys.exit('sympy was imported' if 'sympy' in sys.modules else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_hostile_spec_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attempts = [
        f"__import__('pathlib').Path({str(mark)!r}).touch()",
        f"open({str(mark)!r}, 'w')",
        f"exec('open({str(mark)!r}, \"w\")')",
        f"(lambda: open({str(mark)!r}, 'w'))()",
        f"[open(p, 'w') for p in [{str(mark)!r}]]",
    ]
    for attempt in attempts:
        for change in (equation, J, at("cells", "hidden", "activation")):
            stated = copy.deepcopy(spec())
            change(attempt)(stated)
            with pytest.raises(NetworkError):
                net = Network.load(stated)
                assert [c.equations for c in net.cells], net.objective.expression
    assert not mark.exists()
