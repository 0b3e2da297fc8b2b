"""Claims about what each algorithm costs: formulas are counts, and agree with what is published."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from derive import cli
from derive.errors import DerivationError
from derive.network import connect
from derive.network.library import gru, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.topology import Connection
from derive.program import complexity as counting
from derive.program import seeds, window
from derive.program.algorithms import ALGORITHMS, Algorithm
from derive.program.census import census
from derive.program.complexity import AlgorithmCost, Complexity, complexity
from derive.program.ir import Loop, Program, Statement, walk
from derive.program.layout import Layout
from derive.program.spell import cost_table, formula_table, remarks, spelled
from tests.strategies import networks

ROOT = Path(__file__).parents[1]
COUNTED = ("multiplications", "additions", "divisions")


@cache
def docs(name: str) -> Any:
    """A script of the documents' folder, as a module; they import one another by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        return importlib.import_module(name)


def tanh_net(n: int, m: int, connections: Any, targets: Any = None) -> Network:
    """Tanh units, with a target on each if not said otherwise."""
    chosen = range(n) if targets is None else targets
    return Network(semilinear("tanh"), n, m, connections, SquaredError(chosen), name="net")


def full(n: int, m: int = 2, targets: Any = None) -> Network:
    return tanh_net(n, m, connect.full(), targets)


def strongly_connected() -> list[Network]:
    """Random sparse nets in which every unit reaches every other."""
    drawn = [tanh_net(7, 3, connect.random(0.35, seed)) for seed in range(24)]
    return [net for net in drawn if all_reach(complexity(net)["RTRL"])]


def all_reach(row: AlgorithmCost) -> bool:
    values = row.names.values
    return values["p"] == values["n"] * values["w_A"]


# --- formulas are counts ------------------------------------------------------------------------


@settings(max_examples=40)
@given(networks(corners=True), st.integers(1, 5), st.integers(1, 5), st.integers(1, 7))
def test_a_formula_at_the_networks_numbers_is_the_count(
    net: Network, h: int, h_prime: int, steps: int
) -> None:
    found = complexity(net, h, min(h, h_prime), steps=steps)
    assert {row.algorithm["name"] for row in found.rows} == set(ALGORITHMS) and not found.notes
    for row in found.rows:
        for what in COUNTED:
            assert row.evaluated(what) == getattr(row, what)
        for function, calls in row.functions.items():
            assert row.evaluated(function) == calls
        assert row.evaluated("kept") == row.kept
        assert row.complaints == ()


@pytest.mark.parametrize("read_out", [False, True])
def test_parts_and_kinds_have_names_of_their_own(read_out: bool) -> None:
    """A unit in two parts, connections of the same step, and cells that wait at other times."""
    cell = gru(reset="before")
    cells = [cell, cell, semilinear("identity")] if read_out else cell
    connections: Any = connect.full()
    if read_out:
        links = [
            Connection(k, source, 0 if s.delay == 0 and source < 2 else 1, s.name)
            for k in range(2) for s in cell.ports for source in (0, 1, 3)
        ]  # fmt: skip
        connections = [*links, Connection(2, 0, 0), Connection(2, 1, 0)]
    net = Network(cells, 3, 1, connections, SquaredError([2]), name="parts")
    found = complexity(net, 3, 2, steps=5)
    for row in found.rows:
        for what in COUNTED:
            assert row.evaluated(what) == getattr(row, what)
        assert row.evaluated("kept") == row.kept and row.complaints == ()
    assert any(name.startswith("n[gru.1") for name in census(net))


def annotations(net: Network, name: str, options: dict[str, Any]) -> set[str]:
    functions = counting.programs(net, counting.settle(net, name, options))
    chosen = ("step", "update") if "step" in functions else ("gradient",)
    bodies = [functions[part].body for part in chosen if part in functions]
    return {s.turns for body in bodies for s in walk(body) if isinstance(s, Loop) and s.turns}


def relabelled(body: tuple[Statement, ...], old: str, new: str) -> tuple[Statement, ...]:
    return tuple(
        replace(s, body=relabelled(s.body, old, new), turns=new if s.turns == old else s.turns)
        if isinstance(s, Loop)
        else s
        for s in body
    )


@pytest.mark.parametrize(
    ("title", "name", "options"),
    [
        ("epochwise BPTT", "epochwise", {}),
        ("BPTT(h; h′)", "truncated", {"h": 7, "h_prime": 3}),
        ("RTRL", "rtrl", {}),
        ("FP/BPTT(h)", "hybrid", {"h": 7}),
    ],
)
def test_every_false_annotation_is_caught_and_the_number_stands_instead(
    monkeypatch: pytest.MonkeyPatch, title: str, name: str, options: dict[str, Any]
) -> None:
    net = tanh_net(6, 2, connect.random(0.6, 2), [0, 3])
    right = complexity(net, 7, 3, steps=9973)[title]
    stated = annotations(net, name, options)
    assert len(stated) >= 4
    made = counting.programs
    for old in sorted(stated):

        def planted(net: Network, algorithm: Any, old: str = old) -> dict[str, Program]:
            found = made(net, algorithm)
            # A prime that divides no count.
            return {n: p.with_body(relabelled(p.body, old, "L")) for n, p in found.items()}

        with monkeypatch.context() as patch:
            patch.setattr(counting, "programs", planted)
            wrong = complexity(net, 7, 3, steps=9973)[title]
        assert any("said to run L times" in text for text in wrong.complaints), old
        assert wrong.evaluated("multiplications") == right.multiplications
        assert any("said to run L times" in line for line in remarks(Complexity("n", (wrong,), ())))


@pytest.mark.parametrize(
    ("where", "what", "planted", "title"),
    [
        (Layout, "count_of", lambda layout, g: "m", "epochwise BPTT"),
        (Layout, "into",
         lambda layout, kind, row, body: layout.over("first", row, body, turns="w_U"), "BPTT(h)"),
        (seeds, "_alive", lambda layout, g: "n_T", "FP/BPTT(h)"),
        (window, "back_over", lambda layout, start, begun, end, made=window.back_over:
         relabelled(made(layout, start, begun, end), "older", "newest"), "BPTT(h; h′)"),
    ],
)  # fmt: skip
def test_a_piece_that_names_its_loops_wrongly_is_caught(
    monkeypatch: pytest.MonkeyPatch, where: Any, what: str, planted: Any, title: str
) -> None:
    net = tanh_net(6, 4, connect.random(0.6, 2), range(4))
    assert complexity(net, 7, 3)[title].complaints == ()
    monkeypatch.setattr(where, what, planted)
    monkeypatch.setattr("derive.program.window.back_over", window.back_over)
    assert complexity(net, 7, 3)[title].complaints


def test_parts_of_a_mixed_net_are_put_together_where_they_cost_the_same() -> None:
    cells = [semilinear("tanh"), semilinear("tanh", bias=True), semilinear("tanh", bias=True)]
    net = Network(cells, 3, 1, connect.full(), SquaredError([0]), name="mixed")
    found = complexity(net)
    assert spelled(found["RTRL"].formulas["tanh"]) == "n"
    additions = {s.name for s in found["RTRL"].formulas["additions"].free_symbols}
    assert {"n[semilinear_0]", "n[semilinear_1]"} & additions


# --- agreement with what is published ------------------------------------------------------------


def everything_reached(formula: Any) -> Any:
    """The formula where every unit reaches every other and has a target, in g equal groups."""
    n, w_U, w_A, p, q, n_T = sympy.symbols("n w_U w_A p q n_T", positive=True)
    return sympy.expand(formula.xreplace({p: n * w_A, q: w_U * w_A}).xreplace({n_T: n}))


def test_multiplications_are_those_of_straightforward_code_and_what_is_said() -> None:
    nets = [full(1, 0), full(2, 3), full(5, 0), full(6, 6), *strongly_connected()]
    assert len(nets) > 10
    for net in nets:
        found = complexity(net, h=4, h_prime=2, steps=9)
        for exact in docs("published").EXACT:
            if "groups" in exact.title:
                continue
            row = found[exact.title]
            assert row.multiplications == docs("published").straightforward(row, exact)
            # And not only at these numbers: the formulas are one.
            said = everything_reached(exact.straightforward + exact.besides)
            assert everything_reached(row.formulas["multiplications"]) - said == 0


def test_the_published_comparison_can_fail() -> None:
    row = complexity(full(4))["RTRL"]
    (exact,) = (e for e in docs("published").EXACT if e.title == "RTRL")
    assert row.multiplications != docs("published").straightforward(row, replace(exact, slopes=2))


@settings(max_examples=25)
@given(st.integers(2, 12), st.floats(0.05, 0.6), st.integers(0, 99), st.integers(1, 12))
def test_structure_never_costs_and_saves_what_it_leaves_out(
    n: int, density: float, seed: int, n_T: int
) -> None:
    net = tanh_net(n, 2, connect.random(density, seed), range(min(n, n_T)))
    found = complexity(net, h=n)
    (exact,) = (e for e in docs("published").EXACT if e.title == "RTRL")
    row, values = found["RTRL"], found["RTRL"].names.values
    left_out = (
        (values["w_U"] * values["w_A"] - values["q"])
        + (values["n"] * values["w_A"] - values["p"])
        + (values["n_T"] * values["w_A"] - values["p_T"])
    )
    assert row.multiplications + left_out == docs("published").straightforward(row, exact)
    assert min(values["p"], left_out) >= 0
    (hybrid,) = (e for e in docs("published").EXACT if e.title == "FP/BPTT(h)")
    most = docs("published").straightforward(found["FP/BPTT(h)"], hybrid)
    assert found["FP/BPTT(h)"].multiplications <= most


def test_self_loops_alone_keep_one_sensitivity_a_weight() -> None:
    loops = [(k, k) for k in range(9)] + [(k, 9) for k in range(9)]
    found = complexity(tanh_net(9, 1, loops))
    values = found["RTRL"].names.values
    assert (values["p"], values["q"]) == (18, 18)
    assert "RTRL keeps 18 of 162 sensitivities" in "\n".join(remarks(found))


@pytest.mark.parametrize("g", [2, 4])
def test_equal_groups_divide_space_by_g_and_products_by_its_square(g: int) -> None:
    found = complexity(full(8, 3), groups=g)
    whole, grouped = found["RTRL"].names.values, found["RTRL in g groups"].names.values
    assert grouped["p"] * g == whole["p"]
    assert grouped["q"] * g**2 == whole["q"]
    difference = found["RTRL"].multiplications - found["RTRL in g groups"].multiplications
    n_T_by_w = whole["p_T"] - grouped["p_T"]
    assert difference == (whole["q"] - grouped["q"]) + (whole["p"] - grouped["p"]) + n_T_by_w
    kept = [r.names.value(2 * sympy.Symbol("p", positive=True)) for r in found.rows[-4:-2]]
    assert found["RTRL"].between - found["RTRL in g groups"].between == kept[0] - kept[1]


def test_counted_work_grows_with_n_as_the_orders_say() -> None:
    page = docs("complexity")
    for make, of in ((page.full_net, "full"), (page.sparse_net, "sparse")):
        for order in docs("published").ORDERS:
            for i, expected in enumerate(getattr(order, of) or ()):
                big, small = (page.counted(make, n)[order.title] for n in (64, 32))
                what = ("multiplications", "kept")[i]
                grown = getattr(big, what) / getattr(small, what)
                assert abs(math.log2(grown) - expected) < 0.15


# --- monotone ------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(2, 6), st.integers(0, 3), st.integers(0, 2**16))
def test_a_further_connection_never_makes_anything_cheaper(n: int, m: int, seed: int) -> None:
    places = sorted(((k, s) for k in range(n) for s in range(n + m)), key=lambda c: hash((seed, c)))
    before: dict[str, AlgorithmCost] = {}
    for count in (1, 2, n, 2 * n, n * (n + m)):
        found = complexity(tanh_net(n, m, places[:count]), h=3, h_prime=2, steps=5)
        for row in found.rows:
            if row.title in before:
                assert row.multiplications >= before[row.title].multiplications
                assert row.kept >= before[row.title].kept
            before[row.title] = row


def test_longer_windows_cost_more_and_rarer_updates_less() -> None:
    net = full(5)
    cheaper = [complexity(net, h=12, h_prime=h_prime)["BPTT(h; h′)"] for h_prime in (2, 3, 6, 12)]
    work = [row.multiplications for row in cheaper]
    assert work == sorted(work, reverse=True) and len(set(work)) == 4
    for title in ("BPTT(h)", "FP/BPTT(h)"):
        rows = [complexity(net, h=h)[title] for h in (1, 2, 5, 20)]
        assert [r.kept for r in rows] == sorted(r.kept for r in rows)
        work = [r.multiplications for r in rows]
        assert work == sorted(work, reverse=title == "FP/BPTT(h)")
    short, long = (complexity(net, steps=steps) for steps in (10, 100))
    assert short["epochwise BPTT"].multiplications == long["epochwise BPTT"].multiplications
    assert long["epochwise BPTT"].kept - short["epochwise BPTT"].kept == 90 * (5 + 2)
    assert short["real-time BPTT at step L"].multiplications * 9 < (
        long["real-time BPTT at step L"].multiplications
    )
    assert short["RTRL"].multiplications == long["RTRL"].multiplications


# --- the family ----------------------------------------------------------------------------------


def test_defaults_are_n_steps_back_and_half_as_many_between_updates() -> None:
    found = complexity(full(6))
    assert found["BPTT(h; h′)"].algorithm == {"name": "truncated", "h": 6, "h_prime": 3}
    # With h′ = 1 the two forms of BPTT are one.
    assert [r.title for r in complexity(full(3)).rows].count("BPTT(h)") == 1
    assert "BPTT(h; h′)" not in {r.title for r in complexity(full(3)).rows}


def test_an_algorithm_that_cannot_be_counted_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "novel", Algorithm("a novel algorithm"))
    made = counting.programs

    def with_novel(net: Network, algorithm: Any) -> Any:
        if algorithm["name"] == "novel":
            return {"dream": made(net, {"name": "epochwise"})["forward"]}
        return made(net, algorithm)

    monkeypatch.setattr(counting, "programs", with_novel)
    monkeypatch.setattr(counting, "structure_of", lambda net, algorithm, of=counting.structure_of:
                        None if algorithm["name"] == "novel" else of(net, algorithm))  # fmt: skip
    (note,) = complexity(full(3)).notes
    assert note.startswith("a novel algorithm is not counted") and "dream" in note


def test_a_settling_net_is_counted_by_steps_of_relaxing() -> None:
    row = complexity(full(4, 2))["settling, each step"]
    w_U, w_A, n = 16, 24, 4
    assert row.multiplications == w_A + w_U + 2 * n  # forward; back, f′ and its product
    assert row.apart is not None and row.apart.multiplications == 4 * n + 2 * n + w_A


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"h": 0}, "h: expected 1"),
        ({"h": 3, "h_prime": 4}, "h_prime: 4 is more than h = 3"),
        ({"steps": 0}, "steps: expected 1"),
        ({"groups": 9}, "groups: expected 1"),
        ({"groups": [[0], [1]]}, "unit 2 is in no group"),
    ],
)
def test_a_wrong_option_is_named(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(DerivationError, match=message):
        complexity(full(4), **asked)


# --- as text -------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``derive cost ARGUMENTS``: exit status, standard output, standard error."""

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["derive", "cost", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_the_command_prints_counts_formulas_and_structure(run: Run) -> None:
    code, out, _ = run(ROOT / "examples" / "wz3x5.toml")
    assert code == 0
    for text in ("epochwise", "49", "RTRL", "217", "3 tanh", "n + 4·n_T + w_A + p + q + p_T",
                 "p = 45 = n·w_A", "q = 135 = w_U·w_A",
                 "RTRL keeps 45 of 45 sensitivities of a state by a parameter"):  # fmt: skip
        assert text in out, text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nowhere.toml",), "nowhere.toml"),
        ((ROOT / "examples" / "wz3x5.toml", "--h", 0), "h: expected 1"),
        ((ROOT / "examples" / "wz3x5.toml", "--h-prime", 4), "h_prime: 4 is more than h = 3"),
        ((ROOT / "examples" / "wz3x5.toml", "--groups", 3), "none of its units has a target"),
        ((ROOT / "examples" / "wz3x5.toml", "--steps", -1), "steps: expected 1"),
    ],
)
def test_bad_input_is_one_paragraph_and_status_2(run: Run, arguments: Any, named: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and named in " ".join(err.split())
    assert "Traceback" not in err and "\n\n" not in err.strip()


def test_formulas_are_spelled_by_their_steps() -> None:
    n, w, h, h_prime, p = sympy.symbols("n w_A h h′ p", positive=True)
    assert spelled(sympy.S.Zero) == "0"
    assert spelled(3 * n * h) == "3·n·h"
    assert spelled(h * (n + w) / h_prime + 4 * n + 1) == "4·n + 1 + (h/h′)·(n + w_A)"
    assert spelled((n * p + p) / h - 2 * n) == "−2·n + (n·p + p)/h"
    assert spelled(n**2 - n) == "n² − n"


def test_tables_have_a_row_for_each_algorithm_and_division_only_where_there_is_some() -> None:
    found = complexity(full(4))
    header, *rows = cost_table(found)
    assert "divisions" not in header and len(rows) == len(found.rows)
    assert all(len(row) == len(header) for row in rows)
    assert len(formula_table(found)) == 1 + 3 * len(found.rows)


def test_the_page_of_costs_is_up_to_date() -> None:
    committed = (ROOT / "docs" / "complexity.md").read_text(encoding="utf-8")
    assert docs("complexity").page() == committed, (
        "docs/complexity.md is stale: python docs/complexity.py > docs/complexity.md"
    )
