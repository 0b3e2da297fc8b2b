"""What a kernel says of its schedule, its counted work and what bounds it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import derive
from derive.cli import commands
from derive.errors import DeriveError
from derive.explain import explanation
from derive.explain.bounds import step_of
from derive.explain.processor import Processor
from derive.network import connect
from derive.network.library import LIBRARY, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import programs, settle
from derive.program.cost import cost
from derive.program.schedules.choose import Choice, scheduled

ROOT = Path(__file__).resolve().parent.parent
WZ3X5 = ROOT / "examples" / "wz3x5.toml"
MACHINE = Processor(64, 1, 2.0, (32 * 1024, 1024**2, 32 * 1024**2), ("a machine of the test",))


def net(units: int) -> Network:
    """A full tanh net."""
    return Network(semilinear("tanh"), units, 2, connect.full(), SquaredError([units - 1]))


def bounds(units: int, batch: bool = False, dtype: str = "float64") -> dict[str, float]:
    """Cycles of a gradient's step, by what bounds it."""
    program = programs(net(units), {"name": "epochwise"})["gradient"]
    laid_out = scheduled(program, Choice("tables", batch, ""), 8 if dtype == "float64" else 4)
    step = step_of("gradient", program, laid_out, {"name": "epochwise"}, dtype, MACHINE)
    return {b.name: b.cycles for b in step.bounds}


def test_a_small_net_is_bound_by_its_chain_and_a_large_one_by_what_it_moves_and_computes() -> None:
    small, large = bounds(3), bounds(300)
    assert max(small, key=small.__getitem__) == "chain"
    assert "chain" not in large and "weights" in large and "weights" not in small


def test_lanes_do_the_work_of_each_sequence_and_wait_once() -> None:
    alone, lanes = bounds(8), bounds(8, batch=True)
    assert lanes["arithmetic"] == pytest.approx(8 * alone["arithmetic"])
    assert lanes["chain"] == alone["chain"]


def test_smaller_numbers_need_half_the_vectors() -> None:
    assert bounds(8)["arithmetic"] == pytest.approx(2 * bounds(8, dtype="float32")["arithmetic"])


def test_what_is_counted_of_a_step_is_what_the_program_counts() -> None:
    program = programs(net(4), {"name": "epochwise"})["gradient"]
    laid_out = scheduled(program, Choice("tables", False, ""), 8)
    step = step_of("gradient", program, laid_out, {"name": "epochwise"}, "float64", MACHINE)
    right = cost(program)
    for name in ("multiplications", "additions", "divisions"):
        assert step.counted[name] == getattr(right, name)
    assert step.counted["tanh"] == 4


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [("epochwise", {}), ("realtime", {}), ("truncated", {"h": 4, "h_prime": 2}), ("rtrl", {}),
     ("hybrid", {"h": 4}), ("settling", {})],
)  # fmt: skip
def test_every_algorithm_is_explained(algorithm: str, options: dict[str, int]) -> None:
    settled = settle(net(3), algorithm, options)
    said = explanation(net(3), settled, "float64", False, "tables", "of the test")
    assert said.startswith("schedule tables: of the test\n  defer_sums: Sum the gradient's terms")
    assert len(re.findall(r"^  bound by: \w+$", said, re.MULTILINE)) == 2
    assert "nan" not in said and "inf" not in said and "-" not in re.sub(r"\w-\w", "", said)


def test_it_says_how_many_threads_can_do_a_step_together() -> None:
    said = [explanation(net(n), {"name": "epochwise"}, "float64", False, "tables", "because")
            for n in (8, 400)]  # fmt: skip
    assert "do it together" not in said[0]
    assert said[1].count("threads: up to ") == 2


@pytest.mark.parametrize("cell", sorted(LIBRARY))
def test_every_cell_is_explained(cell: str) -> None:
    one = Network(LIBRARY[cell](), 2, 1, connect.full(), SquaredError([0]))
    assert "chain" in explanation(one, {"name": "epochwise"}, "float32", True, "unrolled", "asked")


def test_measured_ceilings_set_the_clock(tmp_path: Path) -> None:
    path = tmp_path / "grid.json"
    path.write_text(json.dumps({"ceilings": {"1": {"fma float64": 64e9}}}))
    said = explanation(net(3), {"name": "epochwise"}, "float64", False, "tables", "", path)
    assert "from 64 GFLOP/s measured by derive bench" in said
    assert "measured" not in explanation(net(3), {"name": "epochwise"}, "float64", False, "tables",
                                         "")  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", '{"ceilings": {}}'])
def test_a_file_that_holds_no_ceilings_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DeriveError, match=r"other\.json is no result of `derive bench`"):
        explanation(net(3), {"name": "epochwise"}, "float64", False, "tables", "", path)


def test_the_command_compiles_and_explains() -> None:
    run = CliRunner().invoke(commands, ["compile", str(WZ3X5), "--explain"])
    assert run.exit_code == 0, run.output
    kernel = derive.compile(WZ3X5)
    assert run.output.startswith(repr(kernel)) and kernel.explain().splitlines()[0] in run.output
    assert "15 connections" in run.output and "bound by: chain" in run.output


def test_the_command_refuses_ceilings_that_nothing_is_computed_from() -> None:
    run = CliRunner().invoke(commands, ["compile", str(WZ3X5), "--ceilings", "x.json"])
    assert run.exit_code == 2 and "add --explain" in run.output
