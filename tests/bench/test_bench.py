"""The harness of the grid, without a clock: cells, refusals, ratios, files, table, picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derive.bench import ceilings, comparing, measuring, running
from derive.bench.case import LENGTHS, SLOWEST, WINDOWED, Case
from derive.bench.comparing import judged
from derive.bench.grid import LONGEST_CALL, QUICK, chosen, grid
from derive.bench.heatmap import colour, heatmap
from derive.bench.judging import difference, wrong
from derive.bench.measuring import Effort, measure
from derive.bench.peers import PEERS, checked, makers
from derive.bench.peers.numpy import loop, reference
from derive.bench.pinning import environment
from derive.bench.problem import Contender, Problem, problem_of
from derive.bench.results import Results
from derive.bench.table import page, share
from derive.errors import BenchError

CASE = Case("plain", 3, 1, 1, "float64", "gradient")


# --- the grid --------------------------------------------------------------------------------


def test_names_are_unique_and_the_quick_cells_are_of_the_grid() -> None:
    keys = [c.key for c in grid()]
    assert len(set(keys)) == len(keys) > 1000
    assert set(QUICK) <= set(keys) and len(set(QUICK)) == len(QUICK)


def test_the_slowest_contender_is_given_10_to_200_ms() -> None:
    """As far as it can be foreseen; large products are quicker than is supposed."""
    for case in grid():
        slowest = case.steps * case.slowest_step
        assert 0.01 <= slowest or case.steps == 5 * LENGTHS[0], case
        if case.online:
            assert slowest <= LONGEST_CALL, case
            assert case.what not in WINDOWED or case.steps >= 4 * case.units, case
        else:
            assert slowest <= (SLOWEST if case.steps > LENGTHS[-1] else 0.3), case


def test_a_longer_step_never_gets_a_longer_sequence() -> None:
    for few, many in ((8, 64), (64, 512)):
        a, b = (Case("plain", n, 1, 32, "float64", "gradient") for n in (few, many))
        assert a.slowest_step < b.slowest_step and a.steps >= b.steps


def test_patterns_choose_by_shell_rules_or_by_a_part_of_the_name() -> None:
    assert [c.key for c in chosen([CASE.key])] == [CASE.key]
    some = chosen(["lstm-n64-*-forward"])
    assert some and all(c.cell == "lstm" and c.what == "forward" for c in some)
    assert {c.what for c in chosen(["rtrl", "hybrid"])} == {"rtrl", "hybrid"}
    assert [c.key for c in chosen(quick=True)].sort() == [*QUICK].sort()
    assert {c.cell for c in chosen(cells=["leaky"])} == {"leaky"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"only": ["plian"]}, "no cell of the grid is named 'plian'; a key reads plain-n3"),
        ({"cells": ["gru"]}, "cells: expected some of plain, leaky, lstm, got 'gru'"),
    ],
)
def test_what_names_no_cell_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        chosen(**asked)


def test_peers_are_checked() -> None:
    assert checked(None, quick=False) == tuple(PEERS)
    assert "torch.compile" not in checked(None, quick=True)
    assert checked("jax,numpy", quick=True) == ("jax", "numpy")
    with pytest.raises(BenchError, match="against: expected some of jax, .* got 'tensorflow'"):
        checked("tensorflow", quick=False)


def test_threads_are_checked_and_set_for_every_library() -> None:
    assert running.counts("1") == (1,)
    for text in ("0", "1000", "two", "1,,2"):
        with pytest.raises(BenchError, match="threads: expected numbers from 1 to"):
            running.counts(text)
    one, two = environment(1), environment(2)
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        assert (one[f"{name}_NUM_THREADS"], two[f"{name}_NUM_THREADS"]) == ("1", "2")
    assert "eigen=false" in one["XLA_FLAGS"] and "eigen=true" in two["XLA_FLAGS"]


# --- judging ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_of(CASE)


def renamed(made: Contender, name: str, spoil: Callable[[Any], Any]) -> Contender:
    return Contender(name, made.run, lambda raw: spoil(made.read(raw)))


def test_a_peer_with_a_wrong_gradient_is_refused_and_said(problem: Problem) -> None:
    right, expected = loop(problem), reference(problem)

    def one_entry(answer: Any) -> Any:
        gradient = answer[1].copy()
        gradient[4] *= 1 + 1e-3
        return answer[0], gradient

    def sign(answer: Any) -> Any:
        return answer[0], -answer[1]

    def other_J(answer: Any) -> Any:
        return answer[0] * 1.001, answer[1]

    def nothing(answer: Any) -> Any:
        return answer[0], np.full_like(answer[1], np.nan)

    def raises(answer: Any) -> Any:
        raise ZeroDivisionError("of its own\nand more")

    spoils = (one_entry, sign, other_J, nothing, raises)
    peers = {s.__name__: lambda s=s: renamed(right, s.__name__, s) for s in spoils}
    peers["right"] = lambda: right
    refused: dict[str, str] = {}
    kept, differences = judged(problem, expected, right, peers, refused)
    assert [c.name for c in kept] == [right.name]
    assert set(refused) == {s.__name__ for s in spoils}
    assert all("differs from the float64 reference" in refused[s.__name__] for s in spoils[:-1])
    assert refused["raises"] == "ZeroDivisionError: of its own"
    assert differences["right"] == 0


def test_a_wrong_kernel_ends_the_case(problem: Problem) -> None:
    mine = renamed(loop(problem), "derive", lambda answer: (answer[0], answer[1] + 1e-3))
    with pytest.raises(BenchError, match=f"{CASE.key}: derive differs from the float64 reference"):
        judged(problem, reference(problem), mine, {}, {})


def test_float32_may_differ_by_its_own_rounding_and_no_more() -> None:
    assert not wrong(1e-6, "float32") and wrong(1e-6, "float64") and wrong(1e-2, "float32")
    assert difference(np.ones(3), np.ones(4)) == np.inf


def test_a_missing_library_is_said_and_no_more(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PEERS, "absent", ("absent", "makers"))
    with pytest.raises(BenchError, match=r"pip install 'derive\[bench\]'"):
        makers("absent", problem, 1)
    monkeypatch.setattr(comparing, "measure", lambda own, runs, effort: {"timed": [*runs]})
    found = comparing.compare(CASE, 1, ["absent", "numpy"], quick=True)
    assert found["refused"]["absent"] and found["timed"][1:] == ["NumPy loop"]


def test_operations_are_those_of_all_steps_and_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "measure", lambda own, runs, effort: {})
    found = {B: comparing.compare(Case("plain", 3, 1, B, "float64", "gradient"), 1, [], True)
             for B in (1, 8)}  # fmt: skip
    # Forward, back and outer product: two operations each for all connections.
    per_step = found[1]["operations"] / found[1]["steps"]
    assert 6 * 15 - 2 * 6 - 3 <= per_step <= 6 * 15 + 10 * 3
    assert found[8]["operations"] == 8 * found[1]["operations"]


# --- measuring, on a clock that stands still ---------------------------------------------------


class Clock:
    """Advances by what a call is said to take; processor time by half of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(measuring.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(measuring.time, "process_time", lambda: self.now / 2)

    def call(self, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds

        return run


def test_ratios_are_those_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    runs = {name: clock.call(s) for name, s in
            {"derive": 0.002, "near": 0.006, "nearer": 0.004, "far": 0.1}.items()}  # fmt: skip
    found = measure("derive", runs, Effort(rounds=4, far_rounds=2, seconds=0.01))
    assert found["best_peer"] == "nearer"
    for key in ("ratio", "processor_ratio"):
        assert found[key]["median"] == pytest.approx(2)
    assert found["least_ratio"] == pytest.approx(2)
    assert found["ratios"]["far"]["median"] == pytest.approx(50)
    assert found["seconds"]["near"]["upper"] == pytest.approx(0.006)
    assert "derive" not in found["ratios"]


def test_ratios_are_taken_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides slow down together, from round to round: the ratio does not move."""
    clock = Clock(monkeypatch)
    slow = iter(np.repeat(np.linspace(1, 9, 100), 2).tolist())

    def both(seconds: float) -> Callable[[], None]:
        def run() -> None:
            clock.now += seconds * next(slow)

        return run

    found = measure("derive", {"derive": both(1), "peer": both(2)}, Effort(20, 1, 0.1))
    assert found["seconds"]["derive"]["upper"] > 1.2 * found["seconds"]["derive"]["lower"]
    assert found["ratio"]["upper"] / found["ratio"]["lower"] < 1.1


def test_alone_there_is_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    found = measure("derive", {"derive": clock.call(0.001)}, Effort(2, 1, 0.01))
    assert found["best_peer"] is None and found["ratio"] is None


# --- what is kept ------------------------------------------------------------------------------


def result(case: Case, ratio: float, threads: int = 1) -> dict[str, Any]:
    """What a worker says of a case, with made-up times."""
    spread = {"median": 1e-3, "lower": 0.9e-3, "upper": 1.1e-3, "least": 0.8e-3}
    peer = {k: ratio * v for k, v in spread.items()}
    about = {"median": ratio, "lower": ratio, "upper": ratio, "least": ratio}
    return {
        "case": vars(case), "key": case.key, "threads": threads, "steps": case.steps,
        "derive": "derive (tables)", "operations": 8e6, "bytes": 4e6,
        "refused": {"numba": "not installed"},
        "seconds": {"derive (tables)": spread, "JAX <scan>": peer}, "best_peer": "JAX <scan>",
        "ratio": about, "processor_ratio": about, "least_ratio": ratio,
    }  # fmt: skip


def test_results_are_written_case_by_case_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = chosen(["plain-n8-d1-B1-"])
    asked: list[str] = []

    def worker(some: Any, threads: int, against: Any, quick: bool) -> Any:
        if some is None:
            yield {"fma float64": 1e10}
            return
        for case in some:
            asked.append(case.key)
            if len(asked) == 3:
                raise KeyboardInterrupt
            yield result(case, 2.0)

    monkeypatch.setattr(running, "worker", worker)
    with pytest.raises(KeyboardInterrupt):
        list(running.run(cases, [1], [], True, Results(tmp_path, "grid")))
    assert len(json.loads((tmp_path / "grid.json").read_text())["cases"]) == 2
    done = list(running.run(cases, [1], [], True, Results(tmp_path, "grid")))
    assert [d["key"] for d in done] == [c.key for c in cases[2:]]
    assert list(running.run(cases, [1], [], True, Results(tmp_path, "grid"))) == []
    again = running.run(cases, [1], [], True, Results(tmp_path, "grid"), again=True)
    assert len(list(again)) == len(cases)


def test_a_failed_case_is_measured_anew(tmp_path: Path) -> None:
    results = Results(tmp_path, "grid")
    results.keep({"key": CASE.key, "threads": 1, "failed": "differs"})
    assert not Results(tmp_path, "grid").has(CASE.key, 1)
    results.keep(result(CASE, 2.0))
    assert Results(tmp_path, "grid").has(CASE.key, 1)
    assert not Results(tmp_path, "grid").has(CASE.key, 2)


def test_results_of_another_machine_are_not_mixed(tmp_path: Path) -> None:
    results = Results(tmp_path, "grid")
    results.found["machine"]["processor"] = "another"
    results.keep(result(CASE, 2.0))
    with pytest.raises(BenchError, match="measured with another processor; measure anew"):
        Results(tmp_path, "grid")
    assert Results(tmp_path, "grid", again=True).found["cases"] == {}


@pytest.mark.parametrize("text", ["no json", "[]", '{"machine": {}}'])
def test_another_file_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "grid.json").write_text(text)
    with pytest.raises(BenchError, match="is no file of results"):
        Results(tmp_path, "grid")
    assert (tmp_path / "grid.json").read_text() == text


def test_a_worker_that_dies_is_an_error_with_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.sys, "executable", "/bin/false")
    with pytest.raises(BenchError, match="the process that measured ended with exit status 1"):
        list(running.worker([CASE], 1, [], True))


def test_a_case_that_ends_its_process_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = chosen(["plain-n8-d1-B1-"])

    def worker(some: Any, threads: int, against: Any, quick: bool) -> Any:
        for case in some:
            if case == cases[1]:
                raise BenchError("bench: the process that measured ended with exit status -9")
            yield result(case, 2.0)

    monkeypatch.setattr(running, "worker", worker)
    found = list(running.measured(cases, 1, [], True))
    assert [f["key"] for f in found] == [c.key for c in cases]
    assert ["failed" in f for f in found] == [c == cases[1] for c in cases]


# --- the table and the picture -------------------------------------------------------------------


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    results = Results(tmp_path, "grid")
    results.keep_ceilings(
        1, {"fma float64": 40e9, "gemm float64": 20e9, "cached": 10e9, "memory": 5e9}
    )
    for case, ratio in zip(
        chosen(["plain-n8-d1-B1-", "rtrl"]), (0.5, 2.0, 30.0, 1.0), strict=False
    ):
        results.keep(result(case, ratio))
    return results.found


@pytest.mark.parametrize(("batch", "share"), [(1, "80 %"), (8, "40 %")])
def test_sparse_nets_are_held_against_sums_by_table(tmp_path: Path, batch: int, share: str) -> None:
    results = Results(tmp_path, "grid")
    results.keep_ceilings(1, {"sparse float64": 25e9, "sparse, one float64": 12.5e9})
    for case in chosen([f"plain-n8-*-B{batch}-float64-forward"]):
        results.keep(result(case, 2.0))
    full, sparse = (line for line in page(results.found).splitlines() if "| plain-n8-" in line)
    assert f"| {share} |" in sparse and share not in full


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lanes", [False, True])
def test_the_loop_of_sums_by_table_makes_all_of_them(dtype: str, lanes: bool) -> None:
    loops = ceilings._compiled()
    wide = loops.BYTES // np.dtype(dtype).itemsize if lanes else 1
    weights = np.ones(ceilings.UNITS * ceilings.TERMS, dtype)
    room = np.ones(ceilings.UNITS * wide + loops.BYTES, dtype)
    signals = room.ctypes.data + -room.ctypes.data % loops.BYTES
    place = np.arange(weights.size, dtype=np.int32) % ceilings.UNITS
    given = (weights.ctypes.data, signals, place.ctypes.data)
    total = loops.by_table(dtype == "float64", lanes, 3, *given)
    assert total == 3 * weights.size
    assert ceilings._by_table(loops, dtype, wide)() is None


def test_the_table_has_a_line_for_each_case_with_its_fractions(found: dict[str, Any]) -> None:
    text = page(found)
    for case in found["cases"].values():
        assert f"| {case['key']} | 1 |" in text
    # 8 million operations in 0.8 ms are 10 GFLOP/s, a quarter of one ceiling, half of the other;
    # 4 million bytes are 5 GB/s.
    assert "| 10.0 | 25 % | 50 % |  | 50 % |" in text
    assert "ahead of the best peer in 2 of 4 cases: from 0.50" in text
    assert "not numba: not installed" in text and "memory 5 GB/s" in text
    assert share(1.0, None) == ""


def test_a_failed_case_is_in_the_table(found: dict[str, Any]) -> None:
    found["cases"]["x"] = {"key": "x", "threads": 1, "failed": "differs"}
    assert "- x: differs" in page(found)
    heatmap(found)


def test_the_picture_is_xml_with_every_ratio_in_a_box(found: dict[str, Any]) -> None:
    tree = ET.fromstring(heatmap(found))
    name = "{http://www.w3.org/2000/svg}"
    said = [t.text for t in tree.iter(f"{name}title")][1:]
    assert len(said) == len(found["cases"])
    assert any("30.00 times as fast as JAX <scan>" in str(s) for s in said)
    boxes = {(r.get("x"), r.get("y")) for r in tree.iter(f"{name}rect")}
    assert len(boxes) == len(found["cases"]) + 1
    assert heatmap(found) == heatmap(found)


def test_colours_say_ahead_and_behind() -> None:
    assert colour(1) == "#ffffff"
    assert colour(16) == colour(100) == "#2166ac" and colour(1 / 16) == "#b2182b"
    red, blue = colour(0.5), colour(2)
    assert red[1:3] > red[5:7] and blue[5:7] > blue[1:3]
