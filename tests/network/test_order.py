"""What is heard in the same step: stages, circles, named states, synapses and fixed weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

import derive
from derive.errors import NetworkError
from derive.network import connect
from derive.network.cell import Cell, NetInputDeclaration, ParameterDeclaration
from derive.network.fixed import fixed_weights
from derive.network.topology import Connection
from tests.strategies import conductance, listening, reset_gated

TANH = derive.cells.semilinear("tanh")


def network(cell: Any, connections: Any, units: int = 3, inputs: int = 1) -> derive.Network:
    return derive.Network(cell, units, inputs, connections, derive.SquaredError([units - 1]))


def test_layers_of_the_same_step_come_one_after_the_other() -> None:
    net = network(TANH, connect.layers(2, 2, 1, delay=0), 5)
    assert net.stages == {2: (1,), 3: (1,), 4: (2,)}
    delays = {(c.target, c.source): c.delay for c in net.connections}
    assert delays[2, 0] == delays[4, 3] == 0 and delays[2, 2] == delays[0, 5] == 1


def test_a_net_input_waits_where_the_other_of_its_unit_does_not() -> None:
    net = network(reset_gated(), connect.full())
    assert net.stages == {k: (1, 0) for k in range(3)}
    assert {c.delay for c in net.connections if c.net_input == "a" and c.source < 3} == {0}
    assert {c.delay for c in net.connections if c.source == 3} == {1}


def test_a_unit_that_waits_for_one_that_waits_comes_third() -> None:
    links = [Connection(0, 0, 0, "a"), Connection(0, 1, 1, "r"), Connection(1, 0, 0, "r"),
             Connection(1, 0, 0, "a")]  # fmt: skip
    net = network(reset_gated(), links, 2, 0)
    assert net.stages[0] == (1, 0) and net.stages[1] == (1, 2)


@pytest.mark.parametrize(
    ("cell", "links", "message"),
    [
        (TANH, [(0, 0, 0)], "circle: net input 's' of unit 0 → y of unit 0 → net input 's' of"),
        (TANH, [(0, 1, 0), (1, 2, 0), (2, 0, 0)], "circle: .*unit 2.*unit 1.*give one of them del"),
        (reset_gated(), [Connection(0, 0, 0, "r")], None),
        (reset_gated(), [Connection(0, 1, 0, "a"), Connection(1, 0, 0, "r")],
         "circle: .*net input 'a' of unit 0 → .*h of unit 0"),
        (TANH, [(0, 3, 0)], "an input line has delay 1 at least"),
        (listening(), [Connection(0, 1, 1, "i")], "unit 1 has no state 'v', which net input 'i'"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_in_any_order_is_refused(
    cell: Cell, links: Any, message: str | None
) -> None:
    if message is None:  # h of a unit needs r of the same step, which hears h of the step itself
        message = "circle: "
    with pytest.raises(NetworkError, match=message):
        network(cell, links)


def test_a_pattern_reaches_a_named_state_where_there_is_one() -> None:
    net = derive.Network(
        [conductance(), TANH, listening()], 3, 1, connect.full(), derive.SquaredError([2])
    )
    heard = [c.source for c in net.connections if c.target == 2 and c.net_input == "i"]
    assert heard == [0, 3]


# --- net inputs and synapses as they are stated ---------------------------------------------------


def test_sympy_and_text_state_the_same_synapse() -> None:
    v, w, x = derive.state("v"), derive.weight(), derive.source()
    g, tau = derive.parameter("g", initial=1.5), derive.parameter("tau", initial=3.0)
    s = derive.net_input("s", synapse=w * derive.logistic(g * x) * (1 - v))
    stated = Cell(states={v: v + (s - v) / tau}, name="c")
    text = Cell.from_text(
        {"v": "v + (s - v)/tau"},
        net_inputs=(
            NetInputDeclaration(
                "s", None, 1, stated.ports[0].synapse, (ParameterDeclaration("g", 1.5),)
            ),
        ),
        parameters=(ParameterDeclaration("tau", 3.0),),
        name="c",
    )
    assert text.ports == stated.ports
    assert text.equations.synapses == stated.equations.synapses
    net = network(stated, connect.full())
    assert derive.Network.load(net.to_spec()).digest == net.digest


def test_theta_has_weights_then_connection_parameters_then_those_of_cells() -> None:
    net = network(conductance(), [(0, 1), (0, 3), Connection(1, 0, fixed=0.5), (2, 1)])
    assert net.wiring.weights == 3 and net.size == 3 + 3 * 3 + 3
    assert [p.name for p in net.parameters[:4]] == ["w", "A", "g", "m"]
    theta = net.init(0)
    assert (theta[3:6] == 0.8).all() and (theta[6:9] == 1.2).all()
    named = net.unpack(theta)
    assert np.array_equal(net.pack(named), theta) and named["g"].shape == (3,)
    assert net.weight_matrix(theta)[1, 0] == 0.5


def test_shared_weights_share_their_further_parameters() -> None:
    links = [Connection(0, 1, weight="a"), Connection(1, 0, weight="a"), (2, 1)]
    net = network(conductance(), links)
    assert net.wiring.weights == 2 and all(v.size == 2 for v in net.connection_parameters.values())


@pytest.mark.parametrize(
    ("synapse", "parameters", "message"),
    [
        ("g*x", ("g",), "does not mention w"),
        ("w*g", ("g",), "does not mention x"),
        ("w*x", ("g",), "no synapse that mentions it"),
        ("w*x*g", (), "undefined symbol 'g'"),
        ("w*x + x*y", (), "with w = 0 a connection adds x\\*y, and must add nothing"),
        ("w*s*x", (), "undefined symbol 's'"),
        ("w*__import__('os')", (), "only|not allowed|undefined|unknown"),
    ],
)  # fmt: skip
def test_a_bad_synapse_is_one_clear_error(
    synapse: str, parameters: tuple[str, ...], message: str
) -> None:
    own = tuple(ParameterDeclaration(p, 1.0) for p in parameters)

    def made() -> Any:  # the equations are made when they are asked for
        declared = NetInputDeclaration("s", None, 1, synapse, own)
        return Cell.from_text({"y": "tanh(s)"}, net_inputs=(declared,)).equations

    with pytest.raises(NetworkError, match=message):
        made()


def test_a_parameter_of_cells_and_connections_cannot_share_its_name() -> None:
    other = Cell.from_text({"y": "tanh(g*s)"}, parameters=(ParameterDeclaration("g"),))
    with pytest.raises(NetworkError, match="'g' belongs to a cell and to connections"):
        network([conductance(), other, other], connect.full())


def test_a_net_input_declared_twice_differently_is_refused() -> None:
    y, first, second = derive.state("y"), derive.net_input("s"), derive.net_input("s", hears="y")
    with pytest.raises(NetworkError, match="'s' is declared twice"):
        Cell(states={y: sympy.tanh(first) + second})


# --- weights that are not learnt ------------------------------------------------------------------


def test_a_reservoir_has_the_spectral_radius_that_is_asked_for() -> None:
    pattern = connect.fixed(connect.random(0.3, 1), {"spectral_radius": 0.9, "seed": 3})
    net = network(TANH, pattern, 30, 0)
    matrix = net.weight_matrix(net.init(0))
    assert net.size == 0 and np.abs(np.linalg.eigvals(matrix)).max() == pytest.approx(0.9)
    again = derive.Network.load(net.to_spec())
    assert again.digest == net.digest
    other = network(TANH, connect.fixed(connect.random(0.3, 1), {"scale": 0.9, "seed": 3}), 30, 0)
    assert other.digest != net.digest


def test_fixed_weights_listed_one_by_one_are_kept() -> None:
    net = network(TANH, [(0, 1), Connection(1, 0, fixed=-0.25), Connection(2, 1, 0)])
    again = derive.Network.load(net.to_spec())
    assert again.digest == net.digest and again.connections == net.connections
    assert again.connections[1].fixed == -0.25 and net.wiring.weights == 2


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"scale": 1.0, "spectral_radius": 0.9}, "give one of value, scale and spectral_radius"),
        ({"scal": 1.0}, "unknown key 'scal'"),
        ({"scale": -1.0}, "must be positive"),
        (float("nan"), "must be a finite number"),
        ("all", "must be a finite number"),
        ({"scale": 1.0, "seed": -1}, "seed must be at least 0"),
    ],
)
def test_bad_fixed_weights_are_one_clear_error(stated: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        fixed_weights(stated)


def test_a_spectral_radius_needs_connections_between_units_that_have_one() -> None:
    pattern = connect.fixed(connect.full(), {"spectral_radius": 0.9})
    with pytest.raises(NetworkError, match="fix those from input lines with a scale"):
        network(TANH, pattern)
    chain = connect.fixed(connect.pairs([[1, 0]]), {"spectral_radius": 0.9})
    with pytest.raises(NetworkError, match="spectral radius 0"):
        network(TANH, chain, 2, 0)


def test_one_weight_id_cannot_be_learnt_and_fixed() -> None:
    links = [Connection(0, 1, weight="a"), Connection(1, 0, weight="a", fixed=1.0)]
    with pytest.raises(NetworkError, match="'a' is learnt in one place and fixed in another"):
        network(TANH, links)
