"""Units in parts, kinds of connections, and what is left out where nothing is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import derive
from derive.network.topology import Connection
from derive.program import layout
from derive.program.algorithms import epochwise, programs
from derive.program.interpret import numpy_arithmetic, run
from derive.program.ir import Assign, Loop, walk
from tests.strategies import as_inputs, conductance, data, listening, reset_gated, simulate

FULL = derive.connect.full()


def net_of(cell: Any, connections: Any = FULL, units: int = 3, inputs: int = 2) -> derive.Network:
    return derive.Network(cell, units, inputs, connections, derive.SquaredError([units - 1]))


def reservoir(learnt_input: bool = False) -> derive.Network:
    """Twelve fixed units and a read-out of the same step that is learnt."""
    fixed = {"scale": 0.3, "seed": 4}
    return derive.Network(
        populations={
            "hidden": (derive.cells.reservoir(), 12),
            "out": (derive.cells.semilinear("identity"), 1),
        },
        inputs=1,
        connections=[
            derive.connect.between("inputs", "hidden", fixed=None if learnt_input else fixed),
            derive.connect.between("hidden", "hidden", fixed=fixed),
            derive.connect.between("hidden", "out", delay=0),
        ],
        objective=derive.SquaredError([12]),
    )


def test_a_unit_that_waits_for_others_has_two_groups() -> None:
    laid = layout.lay_out(net_of(reset_gated()))
    assert [g.stage for g in laid.groups] == [0, 1] and laid.in_parts
    first, second = laid.groups
    (handed,) = second.local.links
    assert handed in first.local.computed and handed.name == "u"
    assert not layout.lay_out(net_of(conductance())).in_parts


def test_connections_that_add_alike_are_one_kind() -> None:
    links = [(0, 1), (1, 0), Connection(2, 1, 0), Connection(2, 0, fixed=0.5), (0, 3)]
    cells = [conductance(), derive.cells.leaky(), derive.cells.leaky()]
    kinds = layout.lay_out(net_of(cells, links, inputs=1)).kinds
    told = [(k.now, k.learnt, bool(k.synapse.looked_at), k.members.size) for k in kinds]
    assert told == [
        (False, True, True, 2), (False, True, False, 1), (False, False, False, 1),
        (True, True, False, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("cell", [reset_gated, conductance])
def test_what_a_part_hands_on_and_a_gain_must_be_passed_back(cell: Any) -> None:
    """The gradient is that of the naive simulation, and is not without the statement for it."""
    net = net_of(cell())
    d = data(net, 5)
    program = epochwise.gradient(net)

    def error(of: Any) -> float:
        got = run(of, numpy_arithmetic(), as_inputs(d), {"T": 5, "mask_step": 1, "mask_rows": 5})
        along, h = np.random.default_rng(0).normal(size=net.size), 1e-5
        ends = [simulate(net, d._replace(theta=d.theta + s * h * along))[1] for s in (1, -1)]
        return abs(float((ends[0] - ends[1]) / (2 * h) - along @ got["grad_theta"]))

    assert error(program) < 1e-7

    def without(body: Any) -> Any:
        from dataclasses import replace

        out = []
        for s in body:
            if isinstance(s, Loop):
                out.append(replace(s, body=without(s.body)))
            elif not (isinstance(s, Assign) and _tells(s)):
                out.append(s)
        return tuple(out)

    def _tells(s: Assign) -> bool:
        if cell is conductance:  # the sum of ∂s/∂y over connections
            return s.accumulate and s.target.array.startswith("d1_s__")
        into = s.target.array == "eps" and s.accumulate and bool(s.reads)
        return into and s.reads[0][1].array == "bar_u"  # type: ignore[union-attr]

    assert error(program.with_body(without(program.body))) > 1e-4


def test_nothing_flows_back_to_units_that_nothing_learnt_reaches() -> None:
    fixed, learnt = (reservoir(), reservoir(learnt_input=True))

    def turns(net: derive.Network) -> int:
        """Units that a step back goes through."""
        body = epochwise.gradient(net).body
        loops = [s for s in walk(body) if isinstance(s, Loop) and s.role == "time" and s.backward]
        inside = (s for loop in loops for s in loop.body if isinstance(s, Loop))
        return sum(int(s.stop) for s in inside if s.role == "units")  # type: ignore[arg-type]

    assert fixed.size == 12 and turns(fixed) == 2 < turns(learnt)
    for net in (fixed, learnt):
        d = data(net, 6)
        sizes = {"T": 6, "mask_step": 1, "mask_rows": 6}
        part = run(epochwise.gradient(net), numpy_arithmetic(), as_inputs(d), sizes)
        wrt = ("theta", "x", "y0")
        whole = run(epochwise.gradient(net, wrt), numpy_arithmetic(), as_inputs(d), sizes)
        np.testing.assert_array_equal(part["grad_theta"], whole["grad_theta"])
        assert np.abs(whole["grad_x"]).max() > 0
        for name, options in (("rtrl", {}), ("hybrid", {"h": 2}), ("truncated", {"h": 6})):
            made = programs(net, {"name": name, **options})
            got = run(made["gradient"], numpy_arithmetic(), as_inputs(d), sizes)
            np.testing.assert_allclose(got["grad_theta"], part["grad_theta"], rtol=1e-10)


def test_what_is_heard_by_name_is_learnt_through() -> None:
    net = net_of([conductance(), listening(), listening()])
    d = data(net, 6)
    sizes = {"T": 6, "mask_step": 1, "mask_rows": 6}
    got = run(epochwise.gradient(net), numpy_arithmetic(), as_inputs(d), sizes)["grad_theta"]
    places = {p.name: p.start for p in net.parameters if p.unit == 0}
    h, at = 1e-5, places["tau"]  # reaches the target through v, which alone is heard of unit 0 here
    step = np.eye(net.size)[at] * h
    ends = [simulate(net, d._replace(theta=d.theta + s * step))[1] for s in (1, -1)]
    assert got[at] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5)
