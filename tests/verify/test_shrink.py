"""Random networks, and the smallest one on which a fault still shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from derive.cli import commands
from derive.errors import NetworkError, ProgramError, RecordError
from derive.network.network import Network
from derive.program.algorithms import settle
from derive.verify import searching
from derive.verify.random_networks import draw_algorithm, draw_network
from derive.verify.shrink import Asking, case_of, measure, shrink
from tests.verify.examples import NETS

SEEDS = range(40)


def test_a_seed_gives_one_network_that_its_spec_gives_again() -> None:
    for seed in SEEDS:
        net = draw_network(seed)
        algorithm = draw_algorithm(net, seed)
        assert net.digest == draw_network(seed).digest == Network.load(net.to_spec()).digest
        assert algorithm == draw_algorithm(net, seed)


def test_what_is_drawn_is_of_every_kind() -> None:
    """Else a search would look where nothing is."""
    nets = [draw_network(seed) for seed in range(150)]
    wirings = [net.wiring for net in nets]
    algorithms = [draw_algorithm(net, seed) for seed, net in enumerate(nets)]
    assert {a["name"] for a in algorithms} == {
        "epochwise", "realtime", "truncated", "rtrl", "hybrid",
    }  # fmt: skip
    assert {"groups", "h", "h_prime", "teacher_forcing"} <= {k for a in algorithms for k in a}
    assert len({tuple(net.cells[0].to_spec().items().__iter__().__next__()) for net in nets}) >= 8
    assert {net.units for net in nets} == {1, 2, 3} and {net.inputs for net in nets} == {0, 1, 2}
    assert any(len(net.cells) > 1 for net in nets)
    assert any(w.longest_delay > 2 for w in wirings) and any((w.delay == 0).any() for w in wirings)
    assert any(w.labels is not None and w.weights < w.size for w in wirings)
    assert any(len(w.fixed) for w in wirings)
    assert any(len(net.objective.terms) > 1 for net in nets)


def test_a_case_is_its_network() -> None:
    for name, net in NETS.items():
        algorithm = settle(net, "epochwise", {})
        made = case_of(net, algorithm).settled()
        assert made is not None and made[1] == algorithm
        assert made[0].digest == net.digest or len(net.cells) > 1 or net.values, name


def test_shrinking_leaves_what_fails_and_nothing_more() -> None:
    """Whatever the reason to fail: here a loop of delay 3 at some unit."""
    net = next(
        n for n in map(draw_network, range(200))
        if n.units == 3 and ((n.wiring.delay == 3) & (n.wiring.target == n.wiring.source)).any()
    )  # fmt: skip
    asked: list[str] = []

    def fails(net: Network, algorithm: Mapping[str, Any]) -> bool:
        asked.append(net.digest)
        return any(c.delay == 3 and c.target == c.source for c in net.connections)

    found = shrink(net, settle(net, "truncated", {"h": 3, "h_prime": 2}), fails)
    assert (found.net.units, found.net.inputs) == (1, 0)
    assert [c.delay for c in found.net.connections] == [3]
    assert found.algorithm == {"name": "truncated", "h": 1}
    assert found.net.size == 1 and found.net.cells[0].to_spec()["equations"] == {"y": "s"}
    assert found.tries == len(asked) < 60


def test_shrinking_is_bounded_and_ends_where_nothing_can_go() -> None:
    net = next(n for n in map(draw_network, SEEDS) if n.units == 3)
    algorithm = settle(net, "epochwise", {})
    assert shrink(net, algorithm, lambda *_: False).net is net
    found = shrink(net, algorithm, lambda *_: True, most=3)
    assert found.tries == 3
    smallest = shrink(net, algorithm, lambda *_: True)
    assert smallest.net.units == 1 and smallest.net.wiring.size == 0
    again = shrink(smallest.net, algorithm, lambda *_: True)
    assert measure(case_of(again.net, algorithm)) == measure(case_of(smallest.net, algorithm))

    def ends(net: Network, algorithm: Mapping[str, Any]) -> bool:
        raise NetworkError("an error of derive is no failure of what is looked for")

    assert shrink(net, algorithm, ends).net is net


def verify(*arguments: Any) -> Any:
    return CliRunner().invoke(commands, ["verify", *map(str, arguments)], standalone_mode=False)


@pytest.mark.parametrize("fault", ["flip_sign", "forget_delay"])
def test_a_fault_in_a_random_network_ends_as_a_minimal_spec(fault: str, tmp_path: Path) -> None:
    result = verify("--random", 1, "--seed", 20, "--plant", fault, "--only", "quotients",
                    "--shrink", tmp_path)  # fmt: skip
    assert result.return_value == 1, result.output
    (path,) = tmp_path.glob(f"drawn_*_{fault}.toml")
    net = Network.load(path)
    assert net.units <= 2 and net.wiring.size <= 2
    (command,) = {
        line.removeprefix("  reproduce: ")
        for line in result.output.splitlines()
        if line.startswith("  reproduce: ") and str(path) in line and "--only quotients" in line
    }
    assert "--plant" in command and "--algorithm" in command and "--seed" in command
    again = verify(*shlex.split(command)[2:])
    assert again.return_value == 1 and "FAILS" in again.output


def test_a_spec_that_fails_is_shrunk_when_that_is_asked(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    NETS["sharing"].save(spec)
    asked = (spec, "--plant", "flip_sign", "--only", "quotients")
    assert verify(*asked).return_value == 1
    assert not list(tmp_path.glob("*.toml"))
    assert verify(*asked, "--shrink", tmp_path).return_value == 1
    (path,) = tmp_path.glob("*_epochwise_flip_sign.toml")
    assert Network.load(path).units == 1


def test_random_networks_without_a_fault_hold(tmp_path: Path) -> None:
    result = verify("--random", 2, "--seed", 8, "--only", "proof", "--shrink", tmp_path)
    assert result.return_value == 0, result.output
    assert result.output.count("claims hold") == 2
    assert not list(tmp_path.iterdir())


def test_an_error_where_there_should_be_none_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and shrunk like any other: here every network with an input line has one."""
    report = Asking.report

    def broken(self: Asking, net: Any, *more: Any, **options: Any) -> Any:
        if net.inputs:
            raise IndexError("out of range")
        return report(self, net, *more, **options)

    monkeypatch.setattr(Asking, "report", broken)
    seed = next(s for s in SEEDS if draw_network(s).inputs)
    asked = searching.Search(Asking(seed=seed), None, {}, ("proof",), tmp_path)
    first, smallest = searching.search(asked, 1, lambda text: None)
    assert [c.detail for c in first.failed] == ["IndexError: out of range"]
    assert first.command.startswith(f"derive verify --random 1 --seed {seed}")
    (path,) = tmp_path.glob("*.toml")
    net = Network.load(path)
    assert (net.units, net.inputs, net.wiring.size) == (1, 1, 0)
    assert "out of range" in str(smallest)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    spec = Path(__file__).parents[2] / "examples" / "wz3x5.toml"
    module = Path(__file__).parents[2] / "generated" / "wz3x5.pyx"
    for arguments, error, said in (
        ((), RecordError, "give a spec"),
        ((spec, "--random", 1), RecordError, "give a spec"),
        ((spec, "--trust"), RecordError, "--trust is for emitted modules"),
        ((spec, "--shrink", tmp_path / "none"), RecordError, "there is no folder"),
        ((spec, "--only", "proofs"), ProgramError, "no rung 'proofs'"),
        ((spec, "--only", "relaxing"), ProgramError, "claims nothing of epochwise"),
        ((spec, "--out", tmp_path / "report.pdf"), RecordError, "ends in .txt, .json, .html"),
        ((spec, "--out", tmp_path / "none" / "report.txt"), RecordError, "there is no folder"),
        ((module, "--algorithm", "rtrl"), RecordError, "leave --algorithm out"),
        ((module, "--plant", "flip_sign"), RecordError, "leave --plant out"),
        (("--random", 1, "--plant", "flip"), ProgramError, "unknown fault 'flip'"),
    ):
        found = verify(*arguments).exception
        assert isinstance(found, error) and said in str(found), (arguments, found)
