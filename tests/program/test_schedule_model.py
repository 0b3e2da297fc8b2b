"""The cost model chooses well on what was measured, and stands on what was measured."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derive.network import connect
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import programs, settle
from derive.program.ir import Assign, walk
from derive.program.schedules import choose as choosing
from derive.program.schedules import coefficients, model
from derive.program.schedules.unrolled import unrolled

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CASES = json.loads((BENCHMARKS / "results" / "schedules.json").read_text(encoding="utf-8"))["cases"]

WORST, ALL = 1.30, 1.012
"""How much slower than the better schedule a choice may be, at most and on the whole."""


WIDE, NARROW = ("pages", "tables"), ("tables",)
"""Processors that have pages, and others: by what loops are measured, the first that is there."""


def by_tables(case: dict[str, Any], among: tuple[str, ...]) -> str:
    """What loops around tables were measured as."""
    return next(name for name in among if name in case["step"])


def chosen(case: dict[str, Any], among: tuple[str, ...] = NARROW) -> str:
    """What the model takes for a recorded case."""
    batch, dtype = case["case"]["batch"] > 1, case["case"]["dtype"]
    seconds = model.compile_seconds(case["lines"])
    times = {"tables": model.predicted(case["counted"], by_tables(case, among), batch, dtype)}
    if "unrolled" in case["step"] and seconds <= choosing.COMPILED:
        times["unrolled"] = model.predicted(case["counted"], "unrolled", batch, dtype)
    return choosing.least(times)


def complaints(among: tuple[str, ...] = NARROW) -> list[str]:
    """Cases in which the choice is too slow, and whether all together are."""
    lost = {}
    for case in CASES:
        times = {"tables": case["step"][by_tables(case, among)]}
        if "unrolled" in case["step"]:
            times["unrolled"] = case["step"]["unrolled"]
        taken = times[chosen(case, among)]
        if case["compile"].get("unrolled", np.inf) > choosing.COMPILED:
            times.pop("unrolled", None)
        lost[json.dumps(case["case"])] = taken / min(*times.values(), taken)
    found = [f"{name}: {ratio:.2f}" for name, ratio in lost.items() if ratio > WORST]
    whole = float(np.exp(np.mean(np.log(list(lost.values())))))
    return found + ([f"on the whole {whole:.3f}"] if whole > ALL else [])


@pytest.mark.parametrize("among", [NARROW, WIDE])
def test_no_choice_is_much_slower_than_the_better_schedule(among: tuple[str, ...]) -> None:
    assert complaints(among) == []
    assert len({chosen(case, among) for case in CASES}) == 2


def test_where_there_are_pages_more_nets_are_loops() -> None:
    sparse = [case for case in CASES if "pages" in case["step"]]
    loops = [sum(chosen(c, among) == "tables" for c in sparse) for among in (NARROW, WIDE)]
    assert loops[0] < loops[1]


def test_a_wrong_coefficient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {k: tuple(v * (3 if k[0] != "unrolled" else 1) for v in values)
             for k, values in coefficients.STEP.items()}  # fmt: skip
    monkeypatch.setattr(model, "STEP", wrong)
    assert complaints() != [] and complaints(WIDE) != []


def fitting() -> Any:
    """The script that fits."""
    path = BENCHMARKS / "fit_schedules.py"
    spec = spec_from_file_location("fit_schedules", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_coefficients_are_those_of_the_recorded_results() -> None:
    text = Path(coefficients.__file__).read_text(encoding="utf-8")
    assert fitting().fitted(CASES) == text
    slower = [{**c, "step": {k: 2 * v for k, v in c["step"].items()}} for c in CASES]
    assert fitting().fitted(slower) != text


def test_the_fit_finds_coefficients_that_are_not_negative() -> None:
    generator = np.random.default_rng(0)
    rows, right = generator.uniform(1, 9, (30, 4)), np.array([2.0, 0.0, 0.5, 3.0])
    assert fitting().least_squares(rows, rows @ right) == pytest.approx(right, abs=1e-9)
    noisy = rows @ right * generator.uniform(0.8, 1.2, 30)
    assert (fitting().least_squares(rows, noisy) >= 0).all()


def test_what_is_counted_of_a_recorded_network_is_what_was_fitted_to() -> None:
    net = Network(semilinear("tanh"), 6, 2, connect.full(), SquaredError([4, 5]))
    (recorded,) = {
        json.dumps(c["counted"])
        for c in CASES
        if (c["case"]["cell"], c["case"]["units"], c["case"]["density"]) == ("plain", 6, 1)
    }
    assert model.counted(net) == json.loads(recorded)


@pytest.mark.parametrize("algorithm", [("epochwise", {}), ("truncated", {"h": 4})])
def test_statements_are_about_as_many_as_a_straight_line_has(
    algorithm: tuple[str, dict[str, int]],
) -> None:
    net = Network(semilinear("tanh"), 8, 2, connect.full(), SquaredError([7]))
    found = programs(net, settle(net, *algorithm))
    for counted, program in zip(model.straight_lines(found), found.values(), strict=True):
        written = sum(isinstance(s, Assign) for s in walk(unrolled(program).body))
        assert 0.5 * written <= counted <= 1.5 * written


def test_a_straight_line_that_compiles_too_long_is_not_taken() -> None:
    """Its sweeps back are one for each unit: the compiler would take minutes."""
    net = Network(semilinear("tanh"), 32, 2, connect.random(0.1, 0), SquaredError([0]))
    found = programs(net, settle(net, "hybrid", {"h": 4}))
    assert model.compile_seconds(model.straight_lines(found)) > choosing.COMPILED
    assert choosing.choose(net, found, False).name == "tables"
