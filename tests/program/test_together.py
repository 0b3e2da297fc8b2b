"""Programs that several threads do together: which loops they divide, and where they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.blocks import MANY, WIDE
from derive.errors import ProgramError
from derive.network.network import Network
from derive.program.algorithms import programs, settle
from derive.program.interpret import numpy_arithmetic, run, run_together
from derive.program.ir import (
    THREADS,
    Array,
    Assign,
    Loop,
    Meet,
    Program,
    Ref,
    Statement,
    Var,
    evaluate,
    parts,
    walk,
)
from derive.program.once import added_once, cleared
from derive.program.passes.leaves import Along
from derive.program.passes.share_units import FIRST, share_units, undivided
from derive.program.schedules.tables import tables
from tests.program.test_passes import as_inputs, data, dense, folded, in_blocks, in_strips, sparse
from tests.strategies import networks

Layout = Callable[[Program], Program]

LAYOUTS: dict[str, Layout] = {
    "one": lambda p: tables(p, shared=True),
    "by page": lambda p: tables(p, block=MANY, page=3, shared=True),
    "lanes": lambda p: tables(p, lanes=True, shared=True),
    "there and back": lambda p: share_units(folded(in_blocks)(p), 1 / 8, always=True),
    "strips": lambda p: share_units(folded(in_strips)(p), 1 / 8, always=True),
    "groups": lambda p: tables(p, lanes=True, block=replace(WIDE, groups=2), shared=True),
}

ALGORITHMS: dict[str, dict[str, Any]] = {
    "epochwise": {}, "rtrl": {}, "hybrid": {"h": 3}, "truncated": {"h": 4, "h_prime": 2},
}  # fmt: skip


def sizes(T: int) -> dict[str, int]:
    return {"T": T, "mask_step": 1, "mask_rows": T}


def together(
    program: Program, net: Network, T: int, threads: int, last_first: bool = False
) -> dict[str, Any]:
    values = as_inputs(data(net, T, seed=0))
    return run_together(program, numpy_arithmetic(), values, sizes(T), threads, last_first)


def alone(program: Program, net: Network, T: int) -> dict[str, Any]:
    return run(program, numpy_arithmetic(), as_inputs(data(net, T, seed=0)), sizes(T))


@settings(max_examples=20, deadline=None)
@given(
    networks(max_units=5, corners=True), st.integers(1, 5), st.sampled_from(list(ALGORITHMS)),
    st.sampled_from(list(LAYOUTS)), st.sampled_from(["", "sqrt"]),
)  # fmt: skip
def test_any_threads_in_any_order_give_every_bit_and_nothing_depends_on_who_is_first(
    net: Network, T: int, algorithm: str, layout: str, memory: str
) -> None:
    cut = {"memory": memory} if memory and algorithm == "epochwise" else {}
    found = programs(net, settle(net, algorithm, {**ALGORITHMS[algorithm], **cut}))
    for name in ("forward", "gradient", "gradient_all"):
        if name not in found:
            continue
        program = LAYOUTS[layout](found[name])
        wanted = alone(program, net, T)
        for threads in {1, min(2, program.grains), min(3, program.grains)}:
            for last_first in (False, True):
                got = together(program, net, T, threads, last_first)
                for array, value in got.items():
                    np.testing.assert_array_equal(value, wanted[array], f"{name} {array}")


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("net", [dense(9), sparse(90)], ids=["dense", "sparse"])
def test_nets_of_some_units_are_divided(net: Network, layout: str) -> None:
    program = LAYOUTS[layout](programs(net, settle(net, "epochwise", {}))["gradient"])
    assert program.grains > 1 and str(program).count("# threads meet") >= 3
    divided = [s for s in walk(program.body) if isinstance(s, Loop) and undivided(s) is not s]
    assert len(divided) > 5


def meetings(body: tuple[Statement, ...], in_time: bool = False) -> Iterator[tuple[Meet, bool]]:
    for s in body:
        if isinstance(s, Meet):
            yield s, in_time
        elif isinstance(s, Loop):
            yield from meetings(s.body, in_time or s.role == "time")


def without(body: tuple[Statement, ...], number: list[int]) -> tuple[Statement, ...]:
    """A body without the meeting of that number."""
    out: list[Statement] = []
    for s in body:
        if isinstance(s, Meet):
            number[0] -= 1
            if number[0] == -1:
                continue
        out.append(replace(s, body=without(s.body, number)) if isinstance(s, Loop) else s)
    return tuple(out)


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("name", ["forward", "gradient"])
@pytest.mark.parametrize("inputs", [0, 2])
def test_blocks_of_units_there_and_back_stay_with_their_threads(
    inputs: int, name: str, threads: int
) -> None:
    """Four blocks of two units in four grains: no meeting is between a sum and its function.

    Without inputs nothing is copied in between either.
    """
    net = dense(8, inputs)
    program = programs(net, settle(net, "epochwise", {}))[name]
    shared = share_units(folded(in_blocks)(program), always=True, grains=(4,))
    assert shared.grains == 4 and "_block" in str(shared)
    assert sum(inside for _, inside in meetings(shared.body)) == (1 if name == "forward" else 3)
    for last_first in (False, True):
        found = together(shared, net, 5, threads, last_first)
        for array, wanted in alone(program, net, 5).items():
            np.testing.assert_array_equal(found[array], wanted)


def test_scratch_that_brings_something_from_turn_to_turn_is_no_threads_own() -> None:
    a, x = sympy.symbols("a x", real=True)
    k, i = Var("k"), Var("i")

    def program(*body: Statement, turns: int = 6) -> Program:
        arrays = {
            "x": Array("x", (6, 3), "in"), "y": Array("y", (6, 3), "out"),
            "a": Array("a", (3,), "work"),
        }  # fmt: skip
        every = Loop("k", 0, turns, body, "units")
        return Program("brings", (), arrays, {}, (every,))

    def row(*body: Statement, stop: int = 3) -> Loop:
        return Loop("i", 0, stop, body, "copy")

    read = Assign(Ref("y", (k, i)), a, ((a, Ref("a", (i,))),))
    fill = Assign(Ref("a", (i,)), x, ((x, Ref("x", (k, i))),))
    add = replace(fill, accumulate=True)
    filled = share_units(program(row(fill), row(read)), always=True)
    assert filled.grains > 1 and filled.arrays["a"].shape == (filled.grains, 3)
    for body in (
        (row(read), row(fill)), (row(add), row(read)), (row(fill, stop=2), row(read)),
        (row(read, fill),),
    ):  # fmt: skip
        kept = program(*body)
        shared = share_units(kept, always=True)
        assert shared.arrays["a"].shape == (3,)
        given = {"x": np.arange(18.0).reshape(6, 3)}
        wanted = run(kept, numpy_arithmetic(), given, {})["y"]
        for threads in range(1, min(4, shared.grains + 1)):
            found = run_together(shared, numpy_arithmetic(), given, {}, threads)["y"]
            np.testing.assert_array_equal(found, wanted)


def test_places_that_counters_move_are_apart_where_they_never_meet() -> None:
    t = (("t", 1),)
    assert Along(t, 0).apart(Along(t, 2)) and not Along(t, 1).apart(Along(t, 1))
    assert Along(t, 0, 2).apart(Along(t, 1, 2)) and not Along(t, 0, 2).apart(Along(t, 2, 2))
    assert not Along(t, 0).apart(Along((), 1)) and not Along(t, 0, 2).apart(Along(t, 1, 3))


def test_what_each_thread_reads_for_itself_is_there_before_any_does() -> None:
    """A local variable for the loop after it, also where the first thread wrote what it is from."""
    first, x = sympy.symbols("first x", real=True)
    k, kept = Var("k"), Ref("kept")
    arrays = {
        "x": Array("x", (8,), "in"), "a": Array("a", (8,), "work"),
        "kept": Array("kept", (), "scalar"), "y": Array("y", (8,), "out"),
    }  # fmt: skip
    body = (
        Loop("k", 0, 8, (Assign(Ref("a", (k,)), x, ((x, Ref("x", (k,))),)),), "units"),
        Assign(kept, first, ((first, Ref("a", (0,))),)),
        Loop("k", 0, 8, (Assign(Ref("y", (k,)), first * x,
                                ((first, kept), (x, Ref("x", (k,))))),), "units"),
    )  # fmt: skip
    shared = share_units(Program("reads", (), arrays, {}, body), always=True)
    assert shared.grains > 1 and len(list(meetings(shared.body))) == 1
    given = {"x": np.arange(2.0, 10.0)}
    for last_first in (False, True):
        found = run_together(shared, numpy_arithmetic(), given, {}, 3, last_first)
        np.testing.assert_array_equal(found["y"], 2 * given["x"])


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_without_any_one_of_the_meetings_in_a_step_somebody_would_be_too_early(
    algorithm: str, layout: str
) -> None:
    net = dense(9)
    program = LAYOUTS[layout](
        programs(net, settle(net, algorithm, ALGORITHMS[algorithm]))["gradient"]
    )
    found = list(meetings(program.body))
    assert sum(in_time for _, in_time in found) >= 3
    missed = 0
    for number, (_, in_time) in enumerate(found):
        changed = replace(program, body=without(program.body, [number]))
        assert sum(1 for _ in meetings(changed.body)) == len(found) - 1
        try:
            together(changed, net, 7, 3)
        except ProgramError as error:
            assert "before they meet" in str(error)
        else:
            missed += in_time
    # Some are for what is only in larger nets, or in longer runs.
    assert missed <= len(found) // 2


def test_threads_that_do_not_all_meet_are_told_so() -> None:
    net = dense(9)
    program = LAYOUTS["one"](programs(net, settle(net, "epochwise", {}))["forward"])
    only_first = Loop("some", Var("thread"), 1, (Meet(),), "blocks", span=(0, 1))
    changed = replace(program, body=(*program.body, only_first))
    with pytest.raises(ProgramError, match="not all threads meet"):
        together(changed, net, 2, 2)


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 7, 16])
def test_each_turn_of_a_divided_loop_is_one_threads(threads: int) -> None:
    net = sparse(170)
    program = LAYOUTS["by page"](programs(net, settle(net, "epochwise", {}))["gradient"])
    checked = 0
    for s in walk(program.body):
        if not isinstance(s, Loop) or undivided(s) is s:
            continue
        turns: list[int] = []
        for thread in range(threads):
            env = program.known({**sizes(3), "thread": thread, THREADS: threads})
            turns += range(*(evaluate(i, env, program.tables) for i in (s.start, s.stop)))
        whole = undivided(s)
        assert isinstance(whole.start, int) and isinstance(whole.stop, int)
        assert turns == list(range(whole.start, whole.stop))
        checked += 1
    assert checked > 5


def test_small_nets_and_straight_lines_are_left_to_one_thread() -> None:
    net = dense(16)
    for program in programs(net, settle(net, "epochwise", {})).values():
        laid_out = tables(program)
        assert laid_out.grains == 1 and not list(meetings(laid_out.body))
        assert share_units(laid_out) is laid_out


def test_large_nets_are_shared_and_a_step_has_few_meetings() -> None:
    net = dense(512)
    found = programs(net, settle(net, "epochwise", {}))
    forward, gradient = (tables(replace(found[n], itemsize=4)) for n in ("forward", "gradient"))
    assert forward.grains >= 8 and gradient.grains >= 8
    in_time = [sum(inside for _, inside in meetings(p.body)) for p in (forward, gradient)]
    assert in_time[0] == 1 and in_time[1] <= 5


def test_what_is_cleared_and_added_to_once_is_so_for_each_thread_too() -> None:
    net = dense(48)
    program = programs(net, settle(net, "epochwise", {}))["gradient"]
    for lanes in (False, True):
        one = tables(program, lanes=lanes)
        several = tables(program, lanes=lanes, shared=True)
        assert one.grains == 1 and several.grains > 1
        assert (cleared(one, "grad_theta") is None) == (cleared(several, "grad_theta") is None)
        assert added_once(one, "grad_theta") == added_once(several, "grad_theta")


@pytest.mark.parametrize("n", [30, 31])
def test_each_thread_has_scratch_of_its_own_for_strips_of_sensitivities(n: int) -> None:
    """The last strip of 31 units has columns of the one before, and is not another thread's."""
    net = dense(n)
    program = tables(programs(net, settle(net, "rtrl", {}))["gradient"], shared=True)
    own = [a for a in program.arrays.values() if a.role == "work" and len(a.shape) == 3]
    assert own and all(a.shape[0] == program.grains for a in own)
    strips = [s for s in walk(program.body) if isinstance(s, Loop) and s.var == "strip"]
    assert Var(FIRST) in set(parts(strips[0].start)) and len(strips) == (1 if n == 30 else 2)
    found, wanted = together(program, net, 2, 3), alone(program, net, 2)
    np.testing.assert_array_equal(found["grad_theta"], wanted["grad_theta"])
