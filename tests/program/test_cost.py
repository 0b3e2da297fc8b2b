"""Claims about counted work: exact numbers, the published order of growth, and no dependence on T.

Williams & Zipser count w_U + w_A + n multiplications a step for the backward sweep of epochwise
BPTT, where f′ and e are given. Ours counts those too: n more for f′ = 1 − y² of tanh, and four per
target for J and e = m·(d − y), each with its mask.
"""

from __future__ import annotations

from typing import Any

import pytest
import sympy
from hypothesis import given, settings

from derive.errors import ProgramError
from derive.functions import logistic
from derive.network import connect
from derive.network.library import leaky
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import epochwise
from derive.program.cost import Tally, cost, operations
from derive.program.interpret import numpy_arithmetic, run
from derive.program.ir import Array, Assign, Loop, Plus, Program, Ref, Var
from derive.program.schedules.tables import tables
from derive.program.schedules.unrolled import unrolled
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
def test_schedules_move_loads_but_not_arithmetic(net: Network) -> None:
    reference = cost(epochwise.gradient(net, ("theta", "x", "y0")))
    for schedule in (tables, unrolled):
        counted = cost(schedule(epochwise.gradient(net, ("theta", "x", "y0"))))
        for T in (1, 7):
            assert counted.work(T) == reference.work(T)
        assert counted.multiplications == reference.multiplications
        assert counted.functions == reference.functions
        # The tables keep the sums of all units until the functions of all units are called.
        sums = sum(len(net.cells[c].net_inputs) for c in net.cell_index)
        assert counted.loads <= reference.loads + sums


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


def test_counted_products_are_those_that_happen_when_it_runs() -> None:
    from dataclasses import replace

    import numpy as np

    net, T = sparse(100), 5
    base = numpy_arithmetic()
    arithmetic = replace(
        base,
        number=lambda v: Counted(float(v)),
        functions={sympy.tanh: lambda x: Counted(np.tanh(float(x)))},
        select=lambda test, yes, no: yes if test else no,
        dtype=object,
    )
    boxed = np.vectorize(Counted, otypes=[object])
    inputs = {k: boxed(v) if v.size else v for k, v in as_inputs(data(net, T)).items()}
    Counted.products = 0
    run(epochwise.forward(net), arithmetic, {k: inputs[k] for k in ("theta", "x", "y0")}, {"T": T})
    assert Counted.products == cost(epochwise.forward(net)).multiplications * T


def test_work_and_storage_grow_linearly_with_connections_and_steps() -> None:
    nets = [sparse(10**e) for e in (3, 4, 5)]
    counts = [cost(tables(epochwise.gradient(net))) for net in nets]
    for net, counted in zip(nets, counts, strict=True):
        w_U, w_A, n = weights_from_units(net), net.wiring.size, net.units
        assert counted.multiplications == w_U + 2 * w_A + 2 * n + 12
        # z, ε, δ and the sums of all units, then the four locals of a unit, the sum and J.
        assert counted.storage(100) == 101 * (n + 2) + (n + 2) + 2 * n + 5 + 1
        assert counted.work(200) == 2 * counted.work(100)
        assert counted.tables <= 4 * w_A


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
