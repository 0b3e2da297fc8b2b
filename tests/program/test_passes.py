"""Claims about each pass and schedule: bits are kept, and each does what its name says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.blocks import MANY, SHORT, SINGLE, Block
from derive.errors import ProgramError
from derive.network import connect
from derive.network.library import LIBRARY, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import epochwise, programs, settle
from derive.program.interpret import EXACT, numpy_arithmetic, run
from derive.program.ir import (
    Array,
    Assign,
    Least,
    Lookup,
    Loop,
    Modulo,
    Plus,
    Program,
    Ref,
    Statement,
    Times,
    Var,
    affine,
    all_placed,
    evaluate,
    parts,
    placed,
    plus,
    references,
    times,
    walk,
)
from derive.program.passes.defer_sums import defer_sums
from derive.program.passes.fold_rows import fold_rows
from derive.program.passes.fold_tables import fold_tables
from derive.program.passes.fuse_columns import fuse_columns
from derive.program.passes.group_rows import GROUPS, LONGEST, VECTOR, group_rows
from derive.program.passes.jam import independent, jam_rows, jam_sums
from derive.program.passes.jam_columns import TERMS, jam_columns
from derive.program.passes.jam_ragged import jam_ragged
from derive.program.passes.look_up_totals import look_up_totals
from derive.program.passes.near_sums import near_sums
from derive.program.passes.promote import promote
from derive.program.passes.read_in_order import read_in_order
from derive.program.passes.split_runs import MOST, split_runs
from derive.program.passes.split_units import split_units
from derive.program.passes.strip_columns import strip_columns, strip_of
from derive.program.passes.sum_by_columns import sum_by_columns
from derive.program.passes.tile_sums import Tile, tile_sums
from derive.program.passes.unroll import unroll
from derive.program.schedules.choose import Choice, choose, scheduled
from derive.program.schedules.tables import TILES, tables
from derive.program.schedules.unrolled import unrolled
from tests.strategies import as_inputs, data, fractions, networks

Pass = Callable[[Program], Program]


def folded(change: Pass) -> Pass:
    """A pass after those it expects."""

    def both(program: Program) -> Program:
        return change(fold_tables(split_units(program)))

    both.__name__ = change.__name__
    return both


def ragged(program: Program) -> Program:
    """Sums by length, two at a time, however short."""
    return jam_ragged(program, 2, 0)


def rows(program: Program) -> Program:
    """Three rows of columns at a time."""
    return jam_rows(jam_columns(program), 3)


def grouped(program: Program) -> Program:
    """Rows of equally many terms together."""
    return jam_columns(group_rows(program))


def grouped_of_lanes(program: Program) -> Program:
    """The same, rows as long as they are."""
    return group_rows(program, lanes=True)


def by_columns(program: Program) -> Program:
    """Source by source, from two units on, and rows of what comes of it."""
    return rows(sum_by_columns(program, 2))


def in_blocks(program: Program) -> Program:
    """The same in blocks of two units, there and back."""
    return rows(sum_by_columns(program, 2, block=2, far=1))


def in_strips(program: Program) -> Program:
    """Rows of sensitivities in strips of one vector, from one source on."""
    return rows(strip_columns(program, 8, 1, far=0))


def side_by_side(program: Program) -> Program:
    """Two units side by side."""
    return jam_sums(program, 2)


def deferred(program: Program) -> Program:
    """Stretches of three steps, runs from two elements on, tiles two by two."""
    return rows(tile_sums(defer_sums(program, stretch=3, fewest=2), Tile(2, 2, 4)))


def deferred_by_parts(program: Program) -> Program:
    """The same, three signals and then the next three."""
    return tile_sums(defer_sums(program, stretch=3, fewest=1000), Tile(2, 1, 4), 9)


def near(program: Program) -> Program:
    """Two units side by side, from copies of their weights, for two connections at a time."""
    return near_sums(jam_sums(split_runs(program), 2), 2, far=0)


def deferred_one_by_one(program: Program) -> Program:
    """Stretches of two steps, each element for itself."""
    return tile_sums(defer_sums(program, stretch=2, fewest=1000), TILES[SINGLE])


def deferred_by_column(program: Program) -> Program:
    """The same, on copies of signals by column."""
    return tile_sums(defer_sums(program, stretch=3, fewest=1000, several=0), TILES[SINGLE])


def deferred_by_page(program: Program) -> Program:
    """The same, in pages of three numbers, whatever that takes."""
    return look_up_totals(defer_sums(program, stretch=3, fewest=1000, several=0), 3, 2, 1000, 1)


def deferred_by_page_in_place(program: Program) -> Program:
    """The same, the pages filled from where signals are."""
    return look_up_totals(
        defer_sums(program, stretch=2, fewest=1000, several=1000), 3, 2, 1000, 1, 2
    )


PASSES: tuple[Pass, ...] = (
    fold_tables, unroll, promote, jam_columns, fuse_columns, tables, unrolled,
    folded(ragged), folded(rows), folded(by_columns), folded(in_blocks),
    folded(in_strips), folded(side_by_side), folded(near), folded(deferred_by_parts),
    folded(deferred), folded(deferred_one_by_one), folded(deferred_by_column),
    folded(deferred_by_page), folded(deferred_by_page_in_place),
    folded(grouped), folded(grouped_of_lanes),
    folded(split_runs), folded(read_in_order), folded(fold_rows),
)  # fmt: skip
X = sympy.Symbol("x", real=True)


def dense(n: int, m: int = 2) -> Network:
    """A fully connected tanh net."""
    return Network(semilinear("tanh"), n, m, connect.full(), SquaredError([n - 1]), name="dense")


def sparse(connections: int) -> Network:
    """A random net with about that many connections, ten into each unit."""
    n = connections // 10
    pattern = connect.random(10 / (n + 2), 1)
    return Network(semilinear("tanh"), n, 2, pattern, SquaredError([n - 1, 0, 3]), name="sparse")


def outputs(program: Program, net: Network, T: int, seed: int = 0) -> dict[str, Any]:
    """What the program computes in doubles."""
    sizes = {"T": T, "mask_step": 1, "mask_rows": T}
    return run(program, numpy_arithmetic(), as_inputs(data(net, T, seed=seed)), sizes)


@settings(max_examples=40)
@given(networks(corners=True), st.integers(1, 6), st.integers(0, 9))
def test_every_pass_and_schedule_keeps_every_bit(net: Network, T: int, seed: int) -> None:
    everything = ("theta", "x", "y0")
    for program in (epochwise.forward(net), epochwise.gradient(net, everything)):
        reference = outputs(program, net, T, seed)
        for change in PASSES:
            for name, array in outputs(change(program), net, T, seed).items():
                np.testing.assert_array_equal(array, reference[name], change.__name__)


@settings(max_examples=40)
@given(networks(corners=True), st.integers(1, 7), st.integers(0, 9))
def test_passes_for_lanes_keep_all_but_the_order_of_sums_over_stretches(
    net: Network, T: int, seed: int
) -> None:
    program = epochwise.gradient(net, ("theta", "x", "y0"))
    reference = outputs(program, net, T, seed)
    laid_out = fold_tables(split_units(program))
    small = jam_sums(tile_sums(defer_sums(laid_out, True, 3), Tile(2, 2, 4)), 2)
    for changed in (small, tables(program, lanes=True)):
        for name, array in outputs(changed, net, T, seed).items():
            scale = np.abs(reference[name]).max(initial=1e-300)
            np.testing.assert_allclose(array, reference[name], rtol=1e-9, atol=1e-12 * scale)


@settings(max_examples=25)
@given(networks(max_units=4), st.integers(1, 6), st.booleans(), st.integers(1, 4))
def test_every_pass_keeps_every_bit_of_the_online_algorithms(
    net: Network, T: int, forced: bool, h: int
) -> None:
    windows = {"h": 4, "h_prime": h}
    for name, options in (("rtrl", {}), ("hybrid", {"h": h}), ("truncated", windows)):
        stated = settle(net, name, {**options, "teacher_forcing": forced})
        program = programs(net, stated)["gradient"]
        reference = outputs(program, net, T)
        for change in PASSES:
            for array, values in outputs(change(program), net, T).items():
                np.testing.assert_array_equal(values, reference[array], change.__name__)


CUTS: list[dict[str, Any]] = [
    {"memory": "sqrt"}, {"memory": 2}, {"accumulate": "float64"},
    {"memory": 4, "accumulate": "float64"},
]  # fmt: skip


@settings(max_examples=8)
@given(networks(max_units=3), st.integers(1, 9), st.sampled_from(CUTS))
def test_every_pass_keeps_every_bit_of_sweeps_in_segments(
    net: Network, T: int, cut: dict[str, Any]
) -> None:
    program = programs(net, settle(net, "epochwise", cut))["gradient_all"]
    reference = outputs(program, net, T)
    for change in PASSES:
        for name, array in outputs(change(program), net, T).items():
            np.testing.assert_array_equal(array, reference[name], err_msg=change.__name__)


@settings(max_examples=20)
@given(networks(max_units=3, rational=True), st.integers(1, 7), st.sampled_from([{}, *CUTS]))
def test_sums_deferred_for_lanes_are_the_same_sums(
    net: Network, T: int, cut: dict[str, Any]
) -> None:
    given, sizes = fractions(data(net, T))._asdict(), {"T": T, "mask_step": 1, "mask_rows": T}
    program = programs(net, settle(net, "epochwise", cut))["gradient"]
    summed = defer_sums(folded(lambda p: p)(program), lanes=True, stretch=3)
    deferred = tile_sums(summed, TILES[SINGLE])
    wanted = run(program, EXACT, given, sizes)
    for name, value in run(deferred, EXACT, given, sizes).items():
        np.testing.assert_array_equal(value, wanted[name])


def paged(program: Program) -> Program:
    """Sums by pages of three numbers and for three units at a time, whatever that takes."""
    return tables(program, block=MANY, page=3)


@settings(max_examples=40)
@given(networks(rational=True), st.integers(1, 6), st.sampled_from([{}, *CUTS]))
def test_sums_by_pages_are_the_same_sums(net: Network, T: int, cut: dict[str, Any]) -> None:
    given, sizes = fractions(data(net, T))._asdict(), {"T": T, "mask_step": 1, "mask_rows": T}
    for name in ("forward", "gradient_all"):
        program = programs(net, settle(net, "epochwise", cut))[name]
        wanted = run(program, EXACT, given, sizes)
        for array, value in run(paged(program), EXACT, given, sizes).items():
            np.testing.assert_array_equal(value, wanted[array])


@settings(max_examples=25)
@given(networks(max_units=5, rational=True), st.integers(1, 6), st.booleans(), st.integers(1, 12))
def test_sums_by_pages_are_the_same_sums_online(net: Network, T: int, forced: bool, h: int) -> None:
    given, sizes = fractions(data(net, T))._asdict(), {"T": T, "mask_step": 1, "mask_rows": T}
    for name, options in (("rtrl", {}), ("hybrid", {"h": h}), ("truncated", {"h": h})):
        stated = settle(net, name, {**options, "teacher_forcing": forced})
        program = programs(net, stated)["gradient"]
        wanted = run(program, EXACT, given, sizes)
        for array, value in run(paged(program), EXACT, given, sizes).items():
            np.testing.assert_array_equal(value, wanted[array])


def wide_net(cell: str = "semilinear", units: int = 70) -> Network:
    """A third of a net that fills several pages and groups; delays where units have one sum."""
    rng, pattern = np.random.default_rng(3), connect.random(0.3, seed=3)
    if cell != "lstm":
        there = np.argwhere(rng.random((units, units + 3)) < 0.3)
        pattern = [(int(k), int(j), int(rng.choice([1, 2, 4]))) for k, j in there]
    return Network(LIBRARY[cell](), units, 3, pattern, SquaredError([0, 5]), name="wide")


@pytest.mark.parametrize(("itemsize", "block"), [(4, MANY), (8, MANY), (4, SHORT)])
@pytest.mark.parametrize("cell", ["semilinear", "lstm", "ctrnn"])
def test_every_sum_of_a_sparse_net_is_by_pages(cell: str, itemsize: int, block: Block) -> None:
    net = wide_net(cell)
    for program in (epochwise.forward(net), epochwise.gradient(net, ())):
        laid_out = tables(replace(program, itemsize=itemsize), block=block)
        assert laid_out.schedule == ("pages, tables" if block == MANY else "short pages, tables")
        assert tables(replace(program, itemsize=itemsize)).schedule == "tables"
        sums = [s for s in walk(laid_out.body) if isinstance(s, Assign)
                and s.accumulate and s.target == Ref("sum_by_page")]  # fmt: skip
        ports = 4 if cell == "lstm" else 1
        assert len(sums) == (ports if program.name == "forward" else ports + 1)
        within = [v for name, v in laid_out.tables.items() if name.startswith("within")]
        assert within and all(
            v.dtype == np.uint8 and v.max() < block.page // itemsize for v in within
        )
        totals = [s for s in walk(laid_out.body) if isinstance(s, Assign)
                  and s.accumulate and s.target.array.startswith("total_by_page")]  # fmt: skip
        assert len(totals) == (
            0 if program.name == "forward" else ports * (2 ** (4 if block == MANY else 3) - 1)
        )
        reference = outputs(program, net, 5)
        for name, array in outputs(laid_out, net, 5).items():
            scale = np.abs(reference[name]).max(initial=1e-300)
            np.testing.assert_allclose(array, reference[name], rtol=1e-9, atol=1e-12 * scale)


def test_a_unit_without_a_source_in_a_page_hears_nothing_of_it() -> None:
    net = wide_net()
    laid_out = tables(replace(epochwise.forward(net), itemsize=8), block=MANY)
    given = as_inputs(data(net, 3))
    given["y0"][0] = np.inf
    sizes = {"T": 3, "mask_step": 1, "mask_rows": 3}
    for program in (epochwise.forward(net), laid_out):
        with np.errstate(invalid="ignore"):
            y = run(program, numpy_arithmetic(), given, sizes)["y"]
        assert np.isfinite(y[1]).sum() > 40


def test_weights_are_not_copied_for_a_few_steps() -> None:
    net = wide_net()
    for h, copied in ((3, False), (30, True)):
        step = programs(net, settle(net, "truncated", {"h": h}))["step"]
        laid_out = tables(replace(step, itemsize=4), block=MANY)
        assert (laid_out.schedule == "pages, tables") == copied
        sums = [s for s in walk(laid_out.body) if isinstance(s, Assign)
                and s.accumulate and s.target == Ref("sum_by_page")]  # fmt: skip
        assert len(sums) == copied  # that of the window, but not of the newest step


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("cut", [{}, *CUTS])
def test_no_step_of_a_sweep_touches_the_gradient(cut: dict[str, Any], lanes: bool) -> None:
    net = dense(12)
    laid_out = tables(programs(net, settle(net, "epochwise", cut))["gradient"], lanes)
    sweeps = [
        s for s in walk(laid_out.body)
        if isinstance(s, Loop) and s.role == "time"
        and not any(isinstance(t, Loop) and t.role == "time" for t in s.body)
    ]  # fmt: skip
    touched = {r.array for sweep in sweeps for s in walk(sweep.body) if isinstance(s, Assign)
               for r in references(s)}  # fmt: skip
    assert "eps" in touched and not touched & {"grad_theta", "wide_grad_theta"}
    if lanes:
        sums = [a for a in laid_out.arrays.values() if a.name.endswith("grad_theta")]
        assert sums and not any(a.batched for a in sums)
        totals = [s for s in walk(laid_out.body) if isinstance(s, Assign) and s.accumulate
                  and s.target.array.startswith("total")]  # fmt: skip
        assert totals and all(r.array != "z" for s in totals for r in references(s))


def sums_over_columns(terms: int) -> Program:
    """a[i] += w[q]·p[q, i] for so many terms q and ten columns i."""
    w, p = sympy.symbols("w p", real=True)
    add = Assign(
        Ref("a", (Var("i"),)), w * p,
        ((w, Ref("w", (Var("q"),))), (p, Ref("p", (Var("q"), Var("i"))))), True,
    )  # fmt: skip
    columns = Loop("i", 0, 10, (add,), "columns")
    arrays = {
        "w": Array("w", (terms,), "in"), "p": Array("p", (terms, 10), "in"),
        "a": Array("a", (10,), "out"),
    }  # fmt: skip
    return Program("sums", (), arrays, {}, (Loop("q", 0, terms, (columns,), "connections"),))


@pytest.mark.parametrize("terms", [1, 3, 4, 9])
def test_jamming_takes_terms_together_and_the_rest_alone(terms: int) -> None:
    jammed = jam_columns(sums_over_columns(terms))
    generator = np.random.default_rng(terms)
    inputs = {"w": generator.normal(size=terms), "p": generator.normal(size=(terms, 10))}
    a, b = (run(p, numpy_arithmetic(), inputs, {})["a"] for p in (sums_over_columns(terms), jammed))
    np.testing.assert_array_equal(a, b)
    together = [s for s in walk(jammed.body) if isinstance(s, Loop) and s.var == "qs"]
    left = terms % TERMS
    groups = [terms // TERMS, left // (TERMS // 2)]
    assert [s.stop for s in together] == [g for g in groups if g]


def sensitivities() -> tuple[Program, Network]:
    """Exact online learning of a net with three connections into each unit, more or less."""
    pattern = connect.random(0.12, 1)
    net = Network(semilinear("tanh"), 30, 2, pattern, SquaredError([29, 0, 3]), name="sparse")
    return programs(net, settle(net, "rtrl", {}))["gradient"], net


@pytest.mark.parametrize("lanes", [False, True])
def test_rows_of_few_terms_are_written_out_and_end_with_a_vector(lanes: bool) -> None:
    program, net = sensitivities()
    assert any(mentions_rows(s) for s in walk(program.body))
    found = group_rows(program, lanes)
    kinds = [s for s in walk(found.body) if isinstance(s, Loop) and s.var == "rs"]
    assert 1 < len(kinds) <= GROUPS and not any(mentions_rows(s) for s in walk(found.body))
    assert sum(s.stop for s in kinds) == len(program.tables["row_start"])
    passes = [s for k in kinds for s in k.body if isinstance(s, Loop) and s.role == "columns"]
    terms = [len(s.body) - 2 for s in passes if Ref("part") in {t.target for t in s.body}]
    assert terms and max(terms) <= LONGEST
    whole = [isinstance(s.stop, int) and s.stop % VECTOR == 0 for s in passes]
    assert all(whole) != lanes
    for array, values in outputs(found, net, 5).items():
        np.testing.assert_array_equal(values, outputs(program, net, 5)[array])


def mentions_rows(s: Any) -> bool:
    """Whether a loop goes over the rows of a unit."""
    return isinstance(s, Loop) and s.var == "r" and s.role == "units"


def test_rows_are_left_in_order_where_one_needs_another() -> None:
    """Whether rows share a place, or one reads what another wrote, or what is not there."""
    program, _ = sensitivities()
    assert group_rows(program) is not program

    def left_alone(changed: Program) -> bool:
        return group_rows(changed) is changed

    start = program.tables["row_start"].copy()
    start[3] = start[4]
    assert left_alone(replace(program, tables={**program.tables, "row_start": start}))

    def now(r: Ref) -> Ref:
        here = Modulo(Var("t"), 2)
        return Ref(r.array, (here, *r.index[1:])) if r.array == "p" else r

    assert left_alone(program.with_body(all_placed(program.body, now)))
    p = program.arrays["p"]
    short = replace(p, shape=(p.shape[0], int(p.shape[1]) - 2 * VECTOR))
    assert left_alone(replace(program, arrays={**program.arrays, "p": short}))


def test_states_of_a_row_do_not_run_into_each_other() -> None:
    """Entries of a short row's states stand close together: one cannot be done beyond its end."""
    generator = np.random.default_rng(3)
    pattern = [(k, s) for k in range(5) for s in range(6) if generator.random() < 0.6]
    net = Network(derive.cells.adaptive(), 5, 1, pattern, SquaredError([0, 4]), name="adapting")
    program = programs(net, settle(net, "rtrl", {}))["gradient"]
    found = group_rows(program)
    assert found is not program
    for array, values in outputs(found, net, 6).items():
        np.testing.assert_array_equal(values, outputs(program, net, 6)[array])


def test_rows_keep_their_length_where_there_is_no_room() -> None:
    program, _ = sensitivities()
    p = program.arrays["p"]
    tight = replace(p, shape=(p.shape[0], int(p.shape[1]) - 1))
    found = group_rows(replace(program, arrays={**program.arrays, "p": tight}))
    ends = [s.stop for s in walk(found.body) if isinstance(s, Loop) and s.role == "columns"]
    assert any(mentions_table(end, "row_width") for end in ends)


def mentions_table(index: Any, table: str) -> bool:
    """Whether an index looks something up in a table."""
    return any(isinstance(part, Lookup) and part.table == table for part in parts(index))


def test_loops_over_the_same_columns_fuse_unless_one_turn_meets_another() -> None:
    x = sympy.Symbol("x", real=True)

    def columns(target: Any, source: Any) -> Loop:
        return Loop("i", 0, 4, (Assign(Ref("a", (target,)), x, ((x, Ref(*source)),)),), "columns")

    here, next_one = Var("i"), Plus(Var("i"), 1)
    arrays = {"a": Array("a", (6,), "out"), "b": Array("b", (6,), "in")}
    apart = columns(here, ("b", (here,))), columns(here, ("b", (next_one,)))
    meeting = columns(here, ("b", (here,))), columns(here, ("a", (next_one,)))
    for pair, count in ((apart, 1), (meeting, 2)):
        assert len(fuse_columns(Program("p", (), arrays, {}, pair)).body) == count


@given(networks(), st.sampled_from([("theta",), ("theta", "x"), ("theta", "y0")]))
def test_asking_for_less_changes_no_bit_of_the_rest(net: Network, wrt: tuple[str, ...]) -> None:
    whole = outputs(epochwise.gradient(net, ("theta", "x", "y0")), net, 4)
    part = outputs(epochwise.gradient(net, wrt), net, 4)
    assert set(part) == {"J", *(f"grad_{name}" for name in wrt)}
    for name, array in part.items():
        np.testing.assert_array_equal(array, whole[name])


# --- fold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [1, 3])
def test_fold_leaves_a_dense_net_no_table(delay: int) -> None:
    net = Network(semilinear("tanh"), 7, 3, connect.full(delay), SquaredError([6]), name="dense")
    for program in (epochwise.forward(net), epochwise.gradient(net, ("theta", "x", "y0"))):
        assert program.tables and not fold_tables(program).tables


def test_fold_keeps_a_table_that_follows_no_rule() -> None:
    net = Network(semilinear("tanh"), 3, 0, [(0, 2), (1, 0), (2, 0)], SquaredError([0]), name="n")
    assert set(fold_tables(epochwise.forward(net)).tables) == {"source"}


def test_no_step_looks_up_where_a_parameter_is() -> None:
    net = sparse(160)
    program = fold_tables(split_units(epochwise.gradient(net)))

    def looked_up(p: Program) -> list[bool]:
        timed = [s for s in p.body if isinstance(s, Loop) and s.role == "time"]
        read = [r for s in walk(tuple(timed)) if isinstance(s, Assign) for r in references(s)]
        return [isinstance(r.index[0], Lookup) for r in read if r.array == "theta"]

    found = read_in_order(program)
    assert any(looked_up(program)) and not any(looked_up(found))
    added = {a.name: a.shape for a in found.arrays.values() if a.name not in program.arrays}
    assert added == {"theta_by_out_weight": (len(program.tables["out_weight"]),)}
    assert read_in_order(fold_tables(epochwise.gradient(dense(9)))).arrays.keys() == (
        fold_tables(epochwise.gradient(dense(9))).arrays.keys()
    )


def delayed(delay: Callable[[int, int], int], n: int = 24) -> Network:
    """A full net in which unit k hears what j was so many steps before."""
    heard = [(k, j, delay(k, j) if j < n else 1) for k in range(n) for j in range(n + 2)]
    return Network(semilinear("tanh"), n, 2, heard, SquaredError([n - 1]), name="delayed")


@pytest.mark.parametrize(
    ("delay", "left"),
    [
        (lambda k, j: 1 + j // 8, False),  # by sources, as in the benchmarks
        (lambda k, j: 1 + k // 12, False),  # by targets
        (lambda k, j: 1 + j // 12 + k // 12, False),
        (lambda k, j: 1 + (j + k) % 3, True),
    ],
)
def test_loops_are_split_where_delays_begin_to_differ(
    delay: Callable[[int, int], int], left: bool
) -> None:
    net = delayed(delay)
    program = fold_tables(split_units(epochwise.gradient(net)))
    found = split_runs(program)
    assert bool(found.tables) == left and program.tables
    loops = [len([s for s in walk(p.body) if isinstance(s, Loop)]) for p in (program, found)]
    assert loops[1] == loops[0] if left else loops[0] < loops[1] <= loops[0] * MOST
    expected = outputs(program, net, 7)
    for laid_out in (found, tables(epochwise.gradient(net))):
        for name, array in outputs(laid_out, net, 7).items():
            np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(("fan_in", "copied"), [(3, False), (12, True)])
@pytest.mark.parametrize(
    ("algorithm", "options"), [("epochwise", {}), ("truncated", {"h": 80, "h_prime": 40})]
)
def test_signals_of_one_sequence_are_copied_where_many_sums_read_them(
    fan_in: int, copied: bool, algorithm: str, options: dict[str, int]
) -> None:
    pattern = connect.random(fan_in / 62, 1)
    net = Network(semilinear("tanh"), 60, 2, pattern, SquaredError([59]), name="sparse")
    stated = programs(net, settle(net, algorithm, options))["gradient"]
    found = defer_sums(fold_tables(split_units(stated)), fewest=1000)
    assert any(name.startswith("kept") and name.endswith("_z") for name in found.arrays) == copied
    expected = outputs(stated, net, 130)
    for name, array in outputs(found, net, 130).items():
        np.testing.assert_array_equal(array, expected[name])


def test_large_weights_are_read_in_blocks_there_and_back() -> None:
    net = dense(150)
    program = fold_tables(split_units(epochwise.gradient(net)))
    found = sum_by_columns(program, far=150 * 150 * 8)
    blocks = [s for s in walk(found.body) if isinstance(s, Loop) and s.role == "blocks"]
    assert [(s.start, s.stop) for s in blocks] == [(0, 2)] * 2  # forward and back
    copies = {a.name: a.shape for a in found.arrays.values() if a.name.startswith("beside")}
    assert set(copies.values()) == {(2, 152, 64), (1, 152, 32), (2, 150, 64), (1, 150, 32)}
    order = next(
        r.index[0] for b in blocks for s in walk(b.body) if isinstance(s, Assign)
        for r in references(s) if r.array in copies
    )  # fmt: skip
    taken = [[evaluate(order, {"t": t, "k_block": k}, {}) for k in (0, 1)] for t in (1, 2)]
    assert taken == [[1, 0], [0, 1]]
    expected = outputs(program, net, 5)
    for laid_out in (found, tables(epochwise.gradient(net))):
        for name, array in outputs(laid_out, net, 5).items():
            np.testing.assert_array_equal(array, expected[name])
    small = sum_by_columns(program, far=150 * 152 * 8 + 1)
    assert not [s for s in walk(small.body) if isinstance(s, Loop) and s.role == "blocks"]


@pytest.mark.parametrize("cell", ["semilinear", "elman", "leaky", "lstm", "gru", "adaptive"])
@pytest.mark.parametrize("itemsize", [8, 4])
def test_rows_of_full_nets_are_taken_in_strips(cell: str, itemsize: int) -> None:
    net = Network(LIBRARY[cell](), 5, 2, connect.full(), SquaredError([4, 1]), name="full")
    for options in ({}, {"teacher_forcing": True}):
        stated = programs(net, settle(net, "rtrl", options))["gradient"]
        stated = fold_tables(split_units(replace(stated, itemsize=itemsize)))
        found = strip_columns(stated, 16, 1, far=10**9)
        (strips,) = (s for s in walk(found.body) if isinstance(s, Loop) and s.role == "blocks")
        columns = [s for s in walk(strips.body) if isinstance(s, Loop) and s.role == "columns"]
        assert {s.stop for s in columns} == {16}
        for T in (1, 4):
            expected = outputs(stated, net, T)
            for name, array in outputs(found, net, T).items():
                np.testing.assert_array_equal(array, expected[name], f"{cell} {name}")


@pytest.mark.parametrize("first", ["leaky", "elman"])
def test_strips_of_one_kind_of_units_leave_those_of_another_alone(first: str) -> None:
    kinds = [LIBRARY[name]() for name in (first, "elman" if first == "leaky" else "leaky")]
    net = Network([*kinds[:1] * 5, *kinds[1:] * 3], 8, 2, connect.full(), SquaredError([7, 0]),
                  name="mixed")  # fmt: skip
    stated = fold_tables(split_units(programs(net, settle(net, "rtrl", {}))["gradient"]))
    found = strip_columns(stated, 16, far=0)
    assert len([s for s in walk(found.body) if isinstance(s, Loop) and s.role == "blocks"]) == 2
    kept = [a.shape for a in found.arrays.values() if a.name.startswith("each_")]
    assert {(5,), (3,)} == set(kept)
    expected = outputs(stated, net, 4)
    for name, array in outputs(found, net, 4).items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("far", [0, 10**9])
def test_rows_of_units_with_sources_of_their_own_are_taken_in_strips_where_they_are_large(
    far: int,
) -> None:
    net = sparse(100)
    stated = fold_tables(split_units(programs(net, settle(net, "rtrl", {}))["gradient"]))
    found = strip_columns(stated, 16, far=far)
    blocks = [s for s in walk(found.body) if isinstance(s, Loop) and s.role == "blocks"]
    assert len(blocks) == (far == 0)
    expected = outputs(stated, net, 4)
    for name, array in outputs(found, net, 4).items():
        np.testing.assert_array_equal(array, expected[name])


@given(st.integers(16, 700), st.sampled_from([16, 48, 64]), st.sampled_from([4, 8]))
def test_strips_are_of_one_width_and_leave_no_column_out(
    columns: int, most: int, itemsize: int
) -> None:
    strip = strip_of(max(columns, most), most, itemsize)
    covered = {c for s in strip.starts.tolist() for c in range(s, s + strip.width)}
    assert covered == set(range(max(columns, most)))
    assert strip.width <= most and strip.width % (64 // itemsize) == 0
    begins = [evaluate(strip.begins, {strip.number.name: b}, {}) for b in range(len(strip.starts))]
    assert begins == strip.starts.tolist()


def test_rows_that_are_changed_where_they_stand_are_not_taken_in_strips() -> None:
    net = Network(LIBRARY["leaky"](), 5, 2, connect.full(), SquaredError([4]), name="leaky")
    stated = fold_tables(split_units(programs(net, settle(net, "rtrl", {}))["gradient"]))

    def in_place(body: tuple[Statement, ...]) -> Iterator[Statement]:
        """Each row a function of itself instead of what it was before: twice is not once."""
        for s in body:
            if isinstance(s, Loop):
                yield replace(s, body=tuple(in_place(s.body)))
            elif isinstance(s, Assign) and s.target.array == "p" and s.reads:
                yield placed(s, lambda r, s=s: s.target if r.array == "p" else r)
            else:
                yield s

    for body, strips in ((stated.body, 1), (tuple(in_place(stated.body)), 0)):
        found = strip_columns(stated.with_body(body), 8, 1)
        assert len([s for s in walk(found.body) if isinstance(s, Loop) and s.role == "blocks"]
                   ) == strips  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(-2, 6), st.integers(0, 2), st.integers(0, 4)), min_size=1,
             max_size=3),
    st.integers(0, 4), st.integers(1, 4), st.integers(1, 3),
)  # fmt: skip
def test_turns_are_apart_only_where_no_two_meet(
    forms: list[tuple[int, int, int]], start: int, turns: int, inside: int
) -> None:
    arrays = {"a": Array("a", (100,), "work")}
    body = tuple(
        Assign(Ref("a", (plus(times(Var("k"), c), times(Var("i"), d), e),)), X, ((X, 1.0),))
        for c, d, e in forms
    )
    loop = Loop("k", start, start + turns, (Loop("i", 0, inside, body, "copy"),), "units")
    met = [{c * k + d * i + e for c, d, e in forms for i in range(inside)}
           for k in range(start, start + turns)]  # fmt: skip
    if independent(loop, arrays):
        assert len(set.union(*met)) == sum(map(len, met))


def test_a_units_own_parameter_is_apart_from_the_rows_of_others() -> None:
    arrays = {"a": Array("a", (100,), "work")}

    def loop(units: int) -> Loop:
        at = (plus(times(Var("k"), 15), Var("i")), plus(times(Var("k"), 16), 12))
        body = (Loop("i", 0, 15, (Assign(Ref("a", (at[0],)), X, ((X, 1.0),)),), "columns"),
                Assign(Ref("a", (at[1],)), X, ((X, 1.0),), True))  # fmt: skip
        return Loop("k", 0, units, body, "units")

    assert independent(loop(3), arrays) and not independent(loop(4), arrays)


@pytest.mark.parametrize("laid_out", [False, True])
def test_a_place_with_a_delay_is_looked_up_once(laid_out: bool) -> None:
    net = delayed(lambda k, j: 1 + (j + k) % 3)
    stated = epochwise.gradient(net)
    program = fold_tables(split_units(stated))
    found = tables(stated) if laid_out else fold_rows(program)
    assigns = [s for s in walk(found.body) if isinstance(s, Assign)]
    entries = [
        [p for p in parts(i) if isinstance(p, Lookup)]
        for s in assigns for r in references(s) for i in r.index
    ]  # fmt: skip
    assert max(map(len, entries)) == 1 and any(entries)
    divided = [
        p for s in assigns for r in references(s) for i in r.index for p in parts(i)
        if isinstance(p, Modulo)
    ]  # fmt: skip
    assert divided and not [p for d in divided for p in parts(d) if isinstance(p, Lookup)]
    assert found.arrays["z"].shape == (times(program.arrays["z"].shape[0], 26),)
    assert program.arrays["delta"].shape == (3, 24)
    assert found.arrays["delta"].shape == (2 * 3 * 24,)
    expected = outputs(program, net, 7)
    for name, array in outputs(found, net, 7).items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    ("row", "column", "folds"),
    [
        (plus(Var("t"), Lookup("near", Var("c"))), Var("c"), True),
        (plus(Var("t"), times(Lookup("near", Var("c")), 2)), Lookup("far", Var("c")), True),
        (Modulo(plus(Var("t"), Lookup("near", Var("c"))), 3), Lookup("far", Var("c")), True),
        (Modulo(plus(Var("t"), times(Lookup("near", Var("c")), -1), 2), 3), Var("c"), True),
        (Modulo(plus(Var("t"), Lookup("far", Var("c"))), 3), Var("c"), False),  # over a turn
        (Modulo(plus(Var("t"), Lookup("near", Var("c"))), 2), Var("c"), False),  # another ring
        (plus(1, Modulo(plus(Var("t"), Lookup("near", Var("c"))), 2)), Var("c"), False),
        (Var("t"), Lookup("far", Var("c")), False),  # rows are not looked up
    ],
)
def test_rows_are_folded_where_all_are_found_so(row: Any, column: Any, folds: bool) -> None:
    fill = Assign(Ref("ring", (Var("t"), Var("c"))), X, ((X, Ref("x", (Var("t"), Var("c")))),))
    add = Assign(Ref("out"), X, ((X, Ref("ring", (row, column))),), accumulate=True)
    rows = 3 if isinstance(row, Modulo) else 9
    body = (
        Loop("t", 0, min(rows, 5), (Loop("c", 0, 4, (fill,), "units"),), "time"),
        Loop("t", 0, 3, (Loop("c", 0, 4, (add,), "units"),), "time"),
    )
    arrays = {
        "x": Array("x", (5, 4), "in"), "out": Array("out", (), "out"),
        "ring": Array("ring", (rows, 4), "work"),
    }  # fmt: skip
    entries = {"near": np.array([0, 2, 1, 0]), "far": np.array([3, 0, 1, 2])}
    program = Program("small", (), arrays, entries, body)
    found = fold_rows(program)
    assert (len(found.arrays["ring"].shape) == 1) == folds
    given = {"x": np.arange(20.0).reshape(5, 4)}
    results = [run(p, numpy_arithmetic(), given, {})["out"] for p in (program, found)]
    assert results[0] == results[1] and results[0] > 0


@pytest.mark.parametrize(
    ("row", "stop", "folds"),
    [
        (Modulo(plus(Var("u"), 3), 5), 6, True),
        (Modulo(plus(Var("u"), 3), 5), Least(Var("T"), 6), True),
        (Modulo(plus(Var("u"), 3), 5), 7, True),  # one more than rows, the last of them twice
        (Modulo(plus(Var("u"), 3), 5), 8, False),
        (Modulo(plus(Var("u"), 3), 5), Var("T"), False),  # who knows how many
        (Modulo(plus(times(Var("u"), -1), 9), 5), Least(Var("T"), 6), True),
        (Modulo(plus(times(Var("u"), 2), 9), 5), 3, False),
        (Modulo(plus(Var("u"), Lookup("near", Var("c"))), 5), 4, True),
        (Modulo(plus(Var("u"), Lookup("far", Var("c"))), 5), 6, True),  # divided for each
        (Var("u"), 5, False),  # no ring
    ],
)
@pytest.mark.parametrize("T", [1, 3, 7])
def test_steps_of_an_innermost_loop_divide_once(row: Any, stop: Any, folds: bool, T: int) -> None:
    fill = Assign(Ref("ring", (Modulo(Var("t"), 5), Var("c"))), X,
                  ((X, Ref("x", (Modulo(Var("t"), 5), Var("c")))),))  # fmt: skip
    add = Assign(Ref("out", (Var("c"),)), X, ((X, Ref("ring", (row, Var("c")))),), accumulate=True)
    body = (
        Loop("t", 0, 5, (Loop("c", 0, 4, (fill,), "units"),), "time"),
        Loop("c", 0, 4, (Loop("u", 1, stop, (add,), "time", backward=True),), "units"),
    )
    arrays = {
        "x": Array("x", (5, 4), "in"), "out": Array("out", (4,), "out"),
        "ring": Array("ring", (5, 4), "work"),
    }  # fmt: skip
    entries = {"near": np.array([0, 2, 1, 0]), "far": np.array([3, 0, 1, 2])}
    program = Program("small", ("T",), arrays, entries, body)
    found = fold_rows(program)
    assert (len(found.arrays["ring"].shape) == 1) == folds
    given = {"x": np.arange(20.0).reshape(5, 4)}
    results = [run(p, numpy_arithmetic(), given, {"T": T})["out"] for p in (program, found)]
    np.testing.assert_array_equal(*results)


def test_what_is_written_where_a_table_says_is_not_kept_twice() -> None:
    row = Modulo(plus(Var("t"), Lookup("near", Var("c"))), 3)
    add = Assign(Ref("ring", (row, Var("c"))), X, ((X, Ref("x", (Var("c"),))),))
    loop = Loop("t", 0, 3, (Loop("c", 0, 4, (add,), "units"),), "time")
    arrays = {"x": Array("x", (4,), "in"), "ring": Array("ring", (3, 4), "work")}
    program = Program("small", (), arrays, {"near": np.array([0, 2, 1, 0])}, (loop,))
    assert fold_rows(program) is program


def small(index: Any, loops: tuple[tuple[str, int, int], ...], table: list[int]) -> Program:
    """out[i] = x[index], accumulated over the given loops."""
    body: Any = Assign(Ref("out"), X, ((X, Ref("x", (index,))),), accumulate=True)
    for var, start, stop in reversed(loops):
        body = Loop(var, start, stop, (body,), "units")
    arrays = {"x": Array("x", (99,), "in"), "out": Array("out", (), "out")}
    return Program("small", (), arrays, {"table": np.array(table)}, (body,))


@pytest.mark.parametrize(
    ("table", "loops", "at", "folded"),
    [
        ([3, 4, 5, 6], (("k", 0, 4),), Var("k"), "x[k+3]"),
        ([9, 7, 5, 3], (("k", 0, 4),), Var("k"), "x[k·-2+9]"),
        ([5, 5, 5, 5], (("k", 0, 4),), Var("k"), "x[5]"),
        ([0, 9, 2, 9], (("k", 0, 4),), Var("k"), "x[table[k]]"),
        ([7, 1, 2, 3], (("k", 1, 4),), Var("k"), "x[k]"),
        ([0, 1, 2, 9], (("k", 0, 3),), Var("k"), "x[k]"),
        ([0, 1, 10, 11], (("k", 0, 2), ("c", 0, 2)), Plus(Times(Var("k"), 2), Var("c")),
         "x[k·10+c]"),
        ([0, 1, 10, 12], (("k", 0, 2), ("c", 0, 2)), Plus(Times(Var("k"), 2), Var("c")),
         "x[table[k·2+c]]"),
        ([1, 2, 3, 0], (("k", 0, 3),), Lookup("table", Var("k")), "x[table[k+1]]"),
    ],
)  # fmt: skip
def test_fold_writes_a_rule_only_where_it_holds_at_every_entry(
    table: list[int], loops: Any, at: Any, folded: str
) -> None:
    program = small(Lookup("table", at), loops, table)
    after = fold_tables(program)
    assert f"out += {folded}" in str(after)
    x = np.random.default_rng(0).normal(size=99)
    results = [run(p, numpy_arithmetic(), {"x": x}, {})["out"] for p in (program, after)]
    assert results[0] == results[1] != 0


def test_fold_of_a_counter_reused_by_a_later_loop_keeps_to_its_own_bounds() -> None:
    first = small(Lookup("table", Var("k")), (("k", 0, 2),), [0, 1, 5, 9])
    second = small(Lookup("table", Var("k")), (("k", 2, 4),), [0, 1, 5, 9])
    both = fold_tables(first.with_body(first.body + second.body))
    assert "x[k]" in str(both) and "x[k·4−3]" in str(both)


# --- unroll and promote --------------------------------------------------------------------------


@settings(max_examples=25)
@given(networks())
def test_unroll_leaves_only_loops_over_time_and_no_table(net: Network) -> None:
    for program in (epochwise.forward(net), epochwise.gradient(net)):
        after = unroll(program)
        assert {s.role for s in walk(after.body) if isinstance(s, Loop)} == {"time"}
        assert not after.tables


def test_unroll_runs_a_backward_loop_backward() -> None:
    v = sympy.Symbol("v", real=True)
    body = Assign(Ref("out"), 2 * X + v, ((X, Ref("out")), (v, Ref("x", (Var("k"),)))))
    loop = Loop("k", 0, 3, (body,), "units", backward=True)
    arrays = {"x": Array("x", (3,), "in"), "out": Array("out", (), "out")}
    program = Program("p", (), arrays, {}, (loop,))
    x = np.array([1.0, 10.0, 100.0])
    results = [run(p, numpy_arithmetic(), {"x": x}, {})["out"] for p in (program, unroll(program))]
    assert results[0] == results[1] == 4 * 100 + 2 * 10 + 1


def test_promote_of_an_unrolled_net_keeps_its_accumulators_in_locals() -> None:
    program = promote(unroll(fold_tables(epochwise.gradient(dense(3)))))
    backward = [s for s in program.body if isinstance(s, Loop) and s.role == "time"][-1]
    touched = {
        r.array
        for s in walk(backward.body)
        if isinstance(s, Assign)
        for r in (s.target, *(o for _, o in s.reads if isinstance(o, Ref)))
    }
    kept = {a for a in touched if program.arrays[a].role != "scalar"}
    assert kept == {"z", "target", "mask"}
    assert "eps" not in program.arrays and "delta" not in program.arrays
    assert program.arrays["grad_theta"].role == "out"


def test_promote_leaves_what_is_reached_by_a_counter() -> None:
    program = epochwise.gradient(sparse(100))
    assert {"eps", "delta"} <= set(promote(program).arrays)


# --- schedules -----------------------------------------------------------------------------------


def without_numbers(text: str) -> str:
    """Text in which all whole numbers are the same."""
    return re.sub(r"\d+", "#", text)


def text_without_tables(program: Program) -> str:
    """The printed program without its tables and with all whole numbers the same."""
    lines = [line for line in str(program).splitlines() if not line.startswith("  table ")]
    return without_numbers("\n".join(lines))


def test_the_text_of_tables_does_not_grow_with_the_net() -> None:
    nets = [sparse(160), sparse(1_600), sparse(16_000)]
    for make in (epochwise.forward, epochwise.gradient):
        programs = [tables(make(net)) for net in nets]
        # Names of tables say which part of another they are of.
        assert len({tuple(map(without_numbers, p.tables)) for p in programs}) == 1
        # Only the digits of the bounds get longer.
        assert len({text_without_tables(p) for p in programs}) == 1


def test_tables_of_a_random_net_grow_linearly_with_it() -> None:
    for net in (sparse(10**3), sparse(10**4)):
        entries = sum(len(t) for t in tables(epochwise.gradient(net)).tables.values())
        assert entries <= 3 * net.wiring.size + 10 * (net.units + net.inputs + 2)


def test_statements_of_unrolled_grow_linearly() -> None:
    counts = [sum(1 for _ in walk(unrolled(epochwise.gradient(dense(n))).body)) for n in (4, 8)]
    assert counts[1] < 4.5 * counts[0]


def test_auto_takes_straight_line_code_only_where_it_is_small() -> None:
    small, large = dense(3), dense(40)
    assert choose(small, epochwise.programs(small), False).name == "unrolled"
    chosen = choose(large, epochwise.programs(large), True)
    assert chosen.name == "tables"
    assert f"{large.wiring.size} connections" in chosen.reason and "compiler" in chosen.reason


def test_a_schedule_that_is_none_or_hopeless_is_refused() -> None:
    with pytest.raises(ProgramError, match="expected one of auto, unrolled, tables, got 'fast'"):
        choose(dense(3), {}, False, "fast")
    net = dense(80)
    with pytest.raises(ProgramError, match=r"\d+ statements would take .* use 'tables'"):
        choose(net, epochwise.programs(net), False, "unrolled")


@pytest.mark.parametrize(("itemsize", "width"), [(8, 8), (4, 16)])
def test_lanes_fill_a_vector_and_leave_the_program_alone(itemsize: int, width: int) -> None:
    program = epochwise.gradient(dense(3))
    single = scheduled(program, Choice("unrolled", False, "test"), itemsize)
    batch = scheduled(program, Choice("unrolled", True, "test"), itemsize)
    assert (single.lane_width, batch.lane_width) == (1, width)
    assert [str(s) for s in batch.body] == [str(s) for s in single.body]


# --- whole numbers -------------------------------------------------------------------------------

INDICES = st.recursive(
    st.one_of(st.integers(-9, 9), st.sampled_from([Var("a"), Var("b")])),
    lambda inner: st.one_of(
        st.builds(Plus, inner, inner), st.builds(Times, inner, st.integers(-3, 3))
    ),
    max_leaves=8,
)


@given(INDICES, INDICES, st.integers(0, 5), st.integers(0, 5))
def test_index_arithmetic_keeps_values(left: Any, right: Any, a: int, b: int) -> None:
    env = {"a": a, "b": b}
    value = evaluate(left, env, {})
    assert evaluate(plus(left, right), env, {}) == value + evaluate(right, env, {})
    form = affine(left)
    assert form is not None
    assert sum(c * env[v] for v, c in form[0].items()) + form[1] == value


def test_a_size_without_value_is_named() -> None:
    with pytest.raises(ProgramError, match="'T' has no value"):
        evaluate(Plus(Var("T"), 1), {}, {})


@given(networks(), st.integers(0, 99))
def test_split_units_changes_no_bit(net: Network, seed: int) -> None:
    given_data = data(net, seed=seed)
    arithmetic, inputs = numpy_arithmetic(), as_inputs(given_data)
    sizes = {"T": len(given_data.x), "mask_step": 1, "mask_rows": len(given_data.x)}
    program = epochwise.gradient(net)
    with np.errstate(all="ignore"):
        before = run(program, arithmetic, inputs, sizes)
        after = run(split_units(program), arithmetic, inputs, sizes)
    for name in before:
        assert np.array_equal(before[name], after[name], equal_nan=True)


def test_split_units_leaves_functions_of_all_units_in_one_plain_loop() -> None:
    net = Network(semilinear("tanh"), 5, 2, connect.full(), SquaredError([0]), name="five")
    program = split_units(epochwise.forward(net))
    time = next(s for s in program.body if isinstance(s, Loop) and s.role == "time")
    sums, functions = [s for s in time.body if isinstance(s, Loop) and s.role == "units"]
    assert any(isinstance(s, Loop) for s in sums.body)
    assert not any(isinstance(s, Loop) for s in functions.body)
    assert "tanh" in str([s.expr for s in functions.body if isinstance(s, Assign)])


def test_runs_of_different_sums_never_share_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derive.program.passes.jam_ragged._called", lambda loop, sums: "runs")
    with pytest.raises(ProgramError, match="'runs_by_length_unit' would have two contents"):
        jam_ragged(fold_tables(split_units(epochwise.gradient(sparse(160)))))
