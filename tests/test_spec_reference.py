"""Claims about docs/spec.md: its examples are read as they stand, and no key is left out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import derive
from derive.network import populationfile, specfile
from derive.network.between import PER
from derive.network.library import LIBRARY
from derive.network.specfile import cell_from_dict, dumps
from derive.timeseries import DATA_KEYS, TRAINING_KEYS

TEXT = (Path(__file__).parents[1] / "docs" / "spec.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced examples in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def quoted() -> str:
    """What stands between backquotes outside the examples."""
    return " ".join(re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S)))


def complete() -> list[str]:
    return [b for b in blocks("toml") if b.startswith("spec = ")]


def test_both_forms_have_a_complete_example() -> None:
    nets = [derive.Network.load(tomllib.loads(b)) for b in complete()]
    assert [net.name for net in nets] == ["by_number", "by_population"]
    assert nets[0].wiring.size == 15 and not nets[0].populations
    assert dict(nets[1].populations) == {"hidden": range(16), "out": range(16, 19)}
    assert nets[1].objective.targets == (16, 17, 18)
    assert not any(c.target == c.source for c in nets[1].connections)
    for net in nets:
        assert derive.Network.load(net.to_spec()).digest == net.digest


def test_the_cells_shown_are_cells() -> None:
    parts = [tomllib.loads(b) for b in blocks("toml") if b not in complete()]
    shown = [p["cell"] for p in parts if "cell" in p]
    shown += [c for p in parts for c in p.get("cells", {}).values()]
    assert len(shown) == 3
    for table in shown:
        assert cell_from_dict(table, "cell").states


def test_the_kernel_over_a_line_shares_its_weights(tmp_path: Path) -> None:
    (stated,) = (p for b in blocks("toml") if "csv" in b for p in [tomllib.loads(b)])
    (pairs,) = blocks("csv")
    (tmp_path / "neighbours.csv").write_text(pairs, encoding="utf-8")
    spec = {
        "spec": "derive/1",
        "populations": {"edges": {"cell": {"library": "semilinear"}, "size": 3}},
        "inputs": {"pixels": 2},
        **stated,
        "objective": {"targets": "edges"},
    }
    (tmp_path / "net.toml").write_text(dumps(spec), encoding="utf-8")
    net = derive.Network.load(tmp_path / "net.toml")
    found = [(c.target, c.source - 3, c.delay, c.weight) for c in net.connections]
    assert found == [(0, 1, 1, "kernel:1"), (2, 0, 3, "kernel:-2"), (2, 1, 1, "kernel")]


def test_the_python_shown_makes_a_network() -> None:
    (source,) = blocks("python")
    made: dict[str, derive.Network] = {}
    exec(source, made)  # the text of this repository, not a stranger's
    assert (made["net"].units, made["net"].inputs) == (19, 14)


@pytest.mark.parametrize(
    "keys",
    [
        specfile.TOP, specfile.CELL, specfile.NETWORK, specfile.ALGORITHM, specfile.PATTERNS,
        populationfile.POPULATION, populationfile.NETWORK, populationfile.CONNECTIONS,
        populationfile.PATTERNS, DATA_KEYS, TRAINING_KEYS, PER,
    ],
)  # fmt: skip
def test_no_key_is_left_out(keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if not re.search(rf"\b{key}\b", quoted())]
    assert not missing


def test_every_function_of_expressions_is_named() -> None:
    from derive.network.expressions import ARITY

    assert not [name for name in ARITY if not re.search(rf"\b{name}\b", quoted())]


def test_the_library_cell_shown_is_in_the_library() -> None:
    assert set(re.findall(r'library = "(\w+)"', TEXT)) <= set(LIBRARY)
