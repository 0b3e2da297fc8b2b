"""Claims about counted work: exact numbers, the published order of growth, and no dependence on T.

Williams & Zipser count w_U + w_A + n multiplications a step for the backward sweep of epochwise
BPTT, where f′ and e are given. Ours counts those too: n more for f′ = 1 − y² of tanh, and four per
target for J and e = m·(d − y), each with its mask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.errors import ProgramError
from derive.functions import logistic
from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import epochwise, programs, settle, structure_of
from derive.program.cost import Tally, cost, cost_at, held_at, operations
from derive.program.interpret import Arithmetic, numpy_arithmetic, run
from derive.program.ir import (
    Array,
    Assign,
    Least,
    Loop,
    Most,
    Plus,
    Program,
    Quotient,
    Ref,
    Var,
    plus,
)
from derive.program.schedules.tables import tables
from derive.program.schedules.unrolled import unrolled
from derive.program.state import ALIGNED, state_size
from tests.program.test_passes import dense, sparse
from tests.strategies import as_inputs, data, networks

a, b, c, d = sympy.symbols("a b c d", real=True)


def weights_from_units(net: Network) -> int:
    """w_U: connections whose source is a unit."""
    return int((net.wiring.source < net.units).sum())


@pytest.mark.parametrize(
    ("net", "n_T"),
    [(dense(3), 1), (dense(6, 0), 1), (sparse(1000), 3)],
    ids=["wz3x5", "no inputs", "sparse"],
)
def test_epochwise_multiplies_as_often_as_published(net: Network, n_T: int) -> None:
    w_U, w_A, n = weights_from_units(net), net.wiring.size, net.units
    forward, backward = cost(epochwise.gradient(net)).sweeps
    assert forward.multiplications == w_A
    assert forward.functions == {"tanh": n}
    published, slopes, errors = w_U + w_A + n, n, 4 * n_T
    assert backward.multiplications == published + slopes + errors


def test_every_count_of_the_three_by_five_net() -> None:
    counted = cost(epochwise.gradient(dense(3)))
    forward, backward = counted.sweeps
    assert (forward.multiplications, forward.additions, forward.divisions) == (15, 15, 0)
    assert (backward.multiplications, backward.divisions) == (9 + 15 + 3 + 3 + 4, 0)
    # 9 into ε, 15 into the gradient, 3 in 1 − y², and for the target d − y twice, J += and ε +=.
    assert backward.additions == 9 + 15 + 3 + 4
    assert not backward.functions
    assert (counted.multiplications, counted.additions, counted.divisions) == (49, 46, 0)
    assert counted.functions == {"tanh": 3}
    assert counted.work(1000) == 1000 * (49 + 46 + 3)
    # z (T+1, 5), ε 5, δ 3 and five locals.
    assert counted.storage(1000) == 1001 * 5 + 5 + 3 + 5


def test_a_leaky_net_divides_and_keeps_a_tape() -> None:
    net = Network(leaky("tanh"), 4, 1, connect.full(), SquaredError([0]), name="leaky")
    counted = cost(epochwise.gradient(net))
    assert counted.divisions >= 4
    assert counted.storage(11) - counted.storage(10) == 5 + 4


@settings(max_examples=30)
@given(networks())
def test_schedules_do_the_same_arithmetic(net: Network) -> None:
    for T in (1, 7):
        sizes = {"T": T, "mask_step": 1}
        reference = cost_at(epochwise.gradient(net, ("theta", "x", "y0")), sizes)
        for schedule in (tables, unrolled):
            counted = cost_at(schedule(epochwise.gradient(net, ("theta", "x", "y0"))), sizes)
            assert counted.operations == reference.operations
            assert counted.multiplications == reference.multiplications
            assert counted.functions == reference.functions


class Counted(float):
    """A double that tells how often it was multiplied."""

    products = 0

    def __mul__(self, other: Any) -> Counted:
        Counted.products += 1
        return Counted(float(self) * float(other))

    def __add__(self, other: Any) -> Counted:
        return Counted(float(self) + float(other))

    def __pow__(self, other: Any, mod: None = None) -> Counted:
        Counted.products += int(other) - 1
        return Counted(float(self) ** other)

    __rmul__, __radd__ = __mul__, __add__


class Constant(Counted):
    """A number that stands in the expression; to multiply by −1 is to change a sign."""

    def __mul__(self, other: Any) -> Counted:
        return Counted(-float(other)) if self == -1 else Counted.__mul__(self, other)

    __rmul__ = __mul__


def counting() -> Arithmetic:
    """Doubles that tell how often they were multiplied."""
    return replace(
        numpy_arithmetic(),
        number=lambda v: Constant(float(v)),
        functions={sympy.tanh: lambda x: Counted(np.tanh(float(x)))},
        select=lambda test, yes, no: yes if test else no,
        dtype=object,
    )


def test_counted_products_are_those_that_happen_when_it_runs() -> None:
    net, T = sparse(100), 5
    boxed = np.vectorize(Counted, otypes=[object])
    inputs = {k: boxed(v) if v.size else v for k, v in as_inputs(data(net, T)).items()}
    Counted.products = 0
    run(epochwise.forward(net), counting(), {k: inputs[k] for k in ("theta", "x", "y0")}, {"T": T})
    assert Counted.products == cost(epochwise.forward(net)).multiplications * T


def test_work_and_storage_grow_linearly_with_connections_and_steps() -> None:
    nets = [sparse(10**e) for e in (3, 4, 5)]
    counts = [cost(epochwise.gradient(net)) for net in nets]
    for net, counted in zip(nets, counts, strict=True):
        w_U, w_A, n = weights_from_units(net), net.wiring.size, net.units
        assert counted.multiplications == w_U + 2 * w_A + 2 * n + 12
        # z, ε and δ, then the four locals of a unit, the sum and J.
        assert counted.storage(100) == 101 * (n + 2) + (n + 2) + n + 5
        assert counted.work(200) == 2 * counted.work(100)
        entries = sum(len(t) for t in tables(epochwise.gradient(net)).tables.values())
        assert entries <= 3 * w_A + 10 * (n + 4)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (a * b * c, Tally(multiplications=2)),
        (a + b - c, Tally(additions=2)),
        (-a, Tally()),
        (-a * b, Tally(multiplications=1)),
        (a / b, Tally(divisions=1)),
        (a / (b * c), Tally(multiplications=1, divisions=1)),
        (1 / a, Tally(divisions=1)),
        (a**4, Tally(multiplications=3)),
        (a**-2, Tally(multiplications=1, divisions=1)),
        (a**5, Tally(functions={"pow": 1})),
        (sympy.sqrt(a), Tally(functions={"sqrt": 1})),
        (a / 2, Tally(multiplications=1)),
        (3 / (2 * a), Tally(multiplications=1, divisions=1)),
        (3 * a, Tally(multiplications=1)),
        (a * (1 - b**2), Tally(multiplications=2, additions=1)),
        (sympy.tanh(a) * logistic(a + b), Tally(1, 1, functions={"tanh": 1, "logistic": 1})),
        (sympy.Piecewise((a * b, c > 0), (a + d, True)), Tally(1, 1)),
    ],
)
def test_operations_of_an_expression(expr: Any, expected: Tally) -> None:
    assert operations(expr) == expected


def test_a_bound_that_depends_on_time_is_refused() -> None:
    inner = Loop("k", 0, Var("t"), (Assign(Ref("out"), a, ((a, Ref("out")),)),), "units")
    loop = Loop("t", 0, Plus(Var("T"), 1), (inner,), "time")
    program = Program("p", ("T",), {"out": Array("out", (), "out")}, {}, (loop,))
    with pytest.raises(ProgramError, match="depends on 't'"):
        cost(program)


def test_a_triangular_loop_is_counted_turn_by_turn() -> None:
    add = Assign(Ref("out"), a * b, ((a, Ref("x", (Var("k"),))), (b, Ref("x", (0,)))), True)
    inner = Loop("c", Var("k"), 4, (add,), "connections")
    arrays = {"x": Array("x", (4,), "in"), "out": Array("out", (), "out")}
    program = Program("p", (), arrays, {}, (Loop("k", 0, 4, (inner,), "units"),))
    counted = cost(program)
    assert counted.call.multiplications == 4 + 3 + 2 + 1
    assert counted.sweeps == () and counted.multiplications == 0


# --- one call, at given sizes -------------------------------------------------------------------


@settings(max_examples=20)
@given(networks())
def test_a_call_counts_as_its_steps_together(net: Network) -> None:
    program = epochwise.gradient(net)
    for T in (1, 6):
        assert cost_at(program, {"T": T}).operations == cost(program).work(T)
        assert sum(held_at(program, {"T": T}).values()) == cost(program).storage(T)


ONLINE: list[dict[str, Any]] = [
    {"name": "realtime"}, {"name": "truncated", "h": 3}, {"name": "rtrl"},
    {"name": "truncated", "h": 5, "h_prime": 2},
]  # fmt: skip


def found(net: Network, name: str, **options: Any) -> dict[str, Program]:
    return programs(net, settle(net, name, options))


@settings(max_examples=20)
@given(networks(), st.sampled_from(ONLINE))
def test_a_sequence_counts_as_the_calls_of_its_steps(net: Network, asked: dict[str, Any]) -> None:
    functions, period, T = found(net, **asked), asked.get("h_prime", 1), 8
    calls = [cost_at(functions["step"], {"t": t}) for t in range(1, T + 1)]
    if "update" in functions:
        ends = range(period, T + 1, period)
        calls += [cost_at(functions["update"], {"b": t // period - 1, "t": t}) for t in ends]
    whole = cost_at(functions["gradient"], {"T": T})
    if asked["name"] == "rtrl" and any(t.over == "parameters" for t in net.objective.terms):
        # What is gathered in another order than theta's is added to what J says of parameters.
        found_of = structure_of(net, settle(net, "rtrl", {}))
        assert found_of is not None
        once = 0 if found_of.is_identity else int(found_of.order.size)
        whole = whole + Tally(additions=(T - 1) * once)
    for what in ("multiplications", "additions", "divisions", "functions"):
        assert getattr(whole, what) == getattr(sum(calls, Tally()), what)


def test_a_window_counts_as_much_as_every_later_one() -> None:
    for asked in ({"name": "truncated", "h": 6, "h_prime": 3}, {"name": "hybrid", "h": 3}):
        update = found(dense(4), **asked)["update"]
        first, second, third, hundredth = (
            cost_at(update, {"b": b, "t": 3 * (b + 1)}) for b in (0, 1, 2, 99)
        )
        assert second == third == hundredth
        # The first window of BPTT(6; 3) has only half of its history behind it.
        assert first.multiplications <= second.multiplications
        assert (first == second) == (asked["name"] == "hybrid")


@pytest.mark.parametrize("asked", [*ONLINE, {"name": "hybrid", "h": 4}], ids=str)
def test_counted_products_of_online_steps_are_those_that_happen(asked: dict[str, Any]) -> None:
    net = Network(semilinear("tanh"), 5, 2, connect.random(0.5, 3), SquaredError([0, 3]), name="n")
    functions = found(net, **asked)
    period = asked.get("h_prime", asked.get("h", 1)) if "update" in functions else 1
    arithmetic = counting()
    x, target = np.full((2,), 0.3), np.full((2,), 0.7)
    given = {"theta": net.init(1) + 0.1, "x": x, "target": target, "mask": target, "y0": np.ones(5)}
    inputs = {k: np.vectorize(Counted, otypes=[object])(v) for k, v in given.items()}
    state: dict[str, Any] = {}
    run(functions["start"], arithmetic, inputs, {}, (), state)
    for t in range(1, 13):
        happens = [("step", {"t": t})]
        if "update" in functions and t % period == 0:
            happens.append(("update", {"b": t // period - 1, "t": t}))
        for name, sizes in happens:
            Counted.products = 0
            run(functions[name], arithmetic, inputs, sizes, (), state)
            assert Counted.products == cost_at(functions[name], sizes).multiplications


def test_bounds_that_depend_on_the_time_are_followed() -> None:
    add = Assign(Ref("out"), a * b, ((a, Ref("x", (0,))), (b, Ref("x", (0,)))), True)
    window = Loop("u", Most(plus(Var("t"), -3), 0), Least(Var("t"), 5), (add,), "time")
    halves = Loop("k", 0, Quotient(plus(Var("t"), 1), 2), (window,), "time")
    arrays = {"x": Array("x", (1,), "in"), "out": Array("out", (), "out")}
    program = Program("p", ("t",), arrays, {}, (halves,))
    counts = [cost_at(program, {"t": t}).multiplications for t in (1, 2, 4, 6, 9)]
    assert counts == [1 * 1, 1 * 2, 2 * 3, 3 * 2, 5 * 0]
    with pytest.raises(ProgramError, match="depends on 't'"):
        cost_at(program, {"T": 4})


def test_what_is_kept_between_steps_is_what_a_kernel_keeps() -> None:
    for asked in ({"name": "rtrl"}, {"name": "hybrid", "h": 5}, {"name": "truncated", "h": 5}):
        functions = found(dense(4), **asked)
        kept = held_at(functions["step"], {"t": 9})["state"]
        assert kept <= state_size(functions) < kept + ALIGNED * len(functions["step"].arrays)
