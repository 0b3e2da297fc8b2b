"""What flows in a step is what the equations say: held against derivatives taken otherwise."""

from __future__ import annotations

from typing import Any

import pytest
import sympy
from hypothesis import given, settings

import derive
from derive.calculus.form import form_of
from derive.network import connect
from derive.network.cell import Cell
from derive.network.library import gru, leaky, lstm, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.topology import Connection
from derive.pictures import draw
from derive.pictures.equations import wrapped
from derive.pictures.flows import Flow, Quantity, backward, forward
from derive.pictures.names import Names
from tests.pictures.reading import arrows, data, groups, texts, through
from tests.strategies import networks

Pairs = set[tuple[str, str]]


def flow_of(net: Network, way: str, forced: bool = False) -> Flow:
    """What flows back, or on."""
    names = Names(net, form_of(net, forced))
    return backward(names) if way == "back" else forward(names)


def alone(cell: Cell) -> Network:
    """One unit that hears itself by every net input."""
    return Network(cell, 1, 1, connect.full(), SquaredError([0]), name="alone")


def slopes(cell: Cell) -> tuple[Pairs, Pairs]:
    """(next state, net input) and (next state, old state) with a derivative that is not zero.

    Intermediates are put in and SymPy differentiates the whole: no chain rule is used. A point
    where nothing cancels by chance tells what is zero.
    """
    eq = cell.equations
    put_in: dict[Any, Any] = {}
    for symbol, expr in eq.intermediates.items():
        put_in[symbol] = expr.xreplace(put_in)
    symbols = sorted(
        {v for e in (*eq.states.values(), *put_in.values()) for v in e.free_symbols}, key=str
    )
    point = {v: sympy.Rational(3 + 2 * i, 17 + 5 * i) for i, v in enumerate(symbols)}
    next_of = {y: expr.xreplace(put_in) for y, expr in eq.states.items()}

    def not_zero(by: tuple[sympy.Symbol, ...]) -> Pairs:
        return {
            (y.name, v.name)
            for y, expr in next_of.items()
            for v in by
            if abs(sympy.N(sympy.diff(expr, v).xreplace(point))) > 1e-9
        }

    return not_zero(eq.net_inputs), not_zero(tuple(eq.states))


def kinds(flow: Flow, kind: str, back: bool) -> Pairs:
    """(state after, what it depends on) of the arrows of one kind."""
    chosen = [a for a in flow.arrows if a.kind == kind]
    return {(a.start.name, a.end.name) if back else (a.end.name, a.start.name) for a in chosen}


CELLS = {
    "semilinear": semilinear("tanh"),
    "leaky": leaky("tanh"),
    "lstm": lstm(),
    "gru": gru(),
    "two states": Cell.from_text({"y": "tanh(s - v)", "v": "v/2 + y/4"}),
    "forgotten": Cell.from_text({"y": "tanh(s)", "v": "v/2 + y"}),
}


@pytest.mark.parametrize("name", CELLS)
def test_errors_flow_where_a_state_depends_on_what_is_before(name: str) -> None:
    flow = flow_of(alone(CELLS[name]), "back")
    by_net_input, by_state = slopes(CELLS[name])
    assert kinds(flow, "through", True) == by_net_input
    assert kinds(flow, "own", True) == by_state


@pytest.mark.parametrize("name", sorted(set(CELLS) - {"forgotten"}))
def test_sensitivities_flow_the_same_way_in_the_other_direction(name: str) -> None:
    flow = flow_of(alone(CELLS[name]), "on")
    by_net_input, by_state = slopes(CELLS[name])
    assert kinds(flow, "through", False) == by_net_input
    assert kinds(flow, "own", False) == by_state


def test_no_sensitivity_is_carried_that_nothing_asks_for() -> None:
    flow = flow_of(alone(CELLS["forgotten"]), "on")
    assert {q.name for q in flow.quantities} == {"y", "s"}


def test_a_leak_taken_away_takes_its_arrow_away() -> None:
    """The check above can fail: a cell whose own state does not enter has none of the arrows."""
    assert kinds(flow_of(alone(leaky("tanh")), "back"), "own", True) == {("y", "y")}
    assert kinds(flow_of(alone(semilinear("tanh")), "back"), "own", True) == set()


@settings(max_examples=20)
@given(networks())
def test_every_connection_between_units_brings_back_what_it_carried(net: Network) -> None:
    flow = flow_of(net, "back")
    along = [a for a in flow.arrows if a.kind == "connection"]
    places = [p for p, c in enumerate(net.connections) if c.source < net.units]
    assert [a.place for a in along] == places
    for a in along:
        c = net.connections[a.place]
        cell = net.cells[net.cell_index[c.target]]
        heard = next(s.hears for s in cell.ports if s.name == c.net_input)
        state = heard or net.cells[net.cell_index[c.source]].output
        assert a.start == Quantity(c.target, 1, str(c.net_input))
        assert a.end == Quantity(c.source, 2 if c.delay else 0, state, c.delay)


@settings(max_examples=12)
@given(networks(max_units=3))
def test_the_picture_has_these_arrows_and_none_runs_through_a_box(net: Network) -> None:
    svg = draw(net, "flow", algorithm="epochwise").svg
    flow = flow_of(net, "back")
    classes = {"connection": "dp-edge", "through": "dp-through", "own": "dp-memory"}
    found = {kind: len(arrows(svg, name)) for kind, name in classes.items()}
    assert found == {k: sum(a.kind == k for a in flow.arrows) for k in found}
    assert through(svg, "dp-edge", "dp-through", "dp-memory") == []


def test_labels_are_the_letters_of_the_derivation() -> None:
    net = Network(lstm(), 2, 1, connect.full(), SquaredError([0]), name="two")
    derived = derive.differentiate(net)
    flow = flow_of(net, "back")
    assert {"ε_0(τ)", "ε^(c)_1(τ−1)", "δ^(s_f)_0(τ)"} <= set(flow.letters.values())
    written = {str(s.left.base.label) for s in derived if hasattr(s.left, "base")}
    assert {v.partition("_0")[0].partition("_1")[0] for v in flow.letters.values()} <= written
    said = " ".join(texts(draw(net, "flow").svg))
    assert f"({derived['delta(s_o)'].number})" in said


def test_the_gradient_is_gathered_where_weights_are_learnt() -> None:
    net = Network(
        semilinear("tanh"), 3, 1,
        [Connection(0, 3), Connection(1, 0), Connection(2, 1, fixed=1.0)], SquaredError([2]),
        name="some",
    )  # fmt: skip
    svg = draw(net, "flow").svg
    assert [data(g)["unit"] for g in groups(svg, "dp-gradient")] == ["0", "1"]
    assert [data(g)["unit"] for g in groups(svg, "dp-error")] == ["2"]
    onward = draw(net, "flow", algorithm="rtrl").svg
    assert [data(g)["unit"] for g in groups(onward, "dp-error")] == ["0", "1"]
    assert [data(g)["unit"] for g in groups(onward, "dp-gradient")] == ["2"]


def test_errors_of_real_time_learning_come_in_at_the_newest_step_only() -> None:
    net = Network(semilinear("tanh"), 2, 0, connect.full(), SquaredError([1]), name="two")
    assert "e1(τ)" in texts(draw(net, "flow", algorithm="epochwise").svg)
    newest = texts(draw(net, "flow", algorithm="realtime").svg)
    assert "e1(t), if τ = t" in newest and "e1(τ)" not in newest


def test_nothing_flows_through_a_forced_output() -> None:
    net = Network(leaky("tanh"), 2, 0, connect.full(), SquaredError([0]), name="forced")
    for way in ("back", "on"):
        free, forced = flow_of(net, way), flow_of(net, way, forced=True)
        assert not any(a.cut for a in free.arrows)
        ends = [(a.end if way == "back" else a.start).unit for a in forced.arrows if a.cut]
        assert sorted(ends) == [0, 0, 0]  # two connections and the leak
    picture = draw(net, "flow", algorithm="rtrl", teacher_forcing=True)
    assert "forced to its target" in picture.description


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [("realtime", {}), ("truncated", {"h": 4, "h_prime": 2}), ("hybrid", {"h": 3}),
     ("settling", {}), ("rtrl", {"groups": [[0, 1]]})],
)  # fmt: skip
def test_every_algorithm_has_a_flow(algorithm: str, options: dict[str, Any]) -> None:
    net = Network(semilinear("tanh"), 2, 1, connect.full(), SquaredError([1]), name="two")
    picture = draw(net, "flow", algorithm=algorithm, **options)
    title = derive.differentiate(net, algorithm, **options).title
    assert picture.title == f"two: one step of {title}"
    assert len(arrows(picture.svg)) == 4


def test_a_weight_comes_into_its_own_net_input_only() -> None:
    """p of another net input by it has no x_j of its own, as the derivation says."""
    net = Network(lstm(), 2, 1, connect.full(), SquaredError([0]), name="two")
    derived = derive.differentiate(net, "rtrl")
    flow = flow_of(net, "on")
    assert {q.name for q in flow.injected} == {"s_i"}
    for name in net.cells[0].net_inputs:
        has_own = "x_j" in str(derived[f"p({name})_w(s_i)"])
        assert has_own == any(q.name == name for q in flow.injected)


def test_long_equations_break_between_terms() -> None:
    text = "(1)  a = b + (c − d)·(e + f) + g"
    assert wrapped(text, 12) == ["(1)  a = b", "        + (c − d)·(e + f)", "        + g"]
    assert wrapped(text) == [text]
