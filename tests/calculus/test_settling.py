"""Recurrent backpropagation: its printed equations, followed at a true fixed point."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy

from derive.calculus import indexed as ix
from derive.calculus.derivation import derivation
from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from tests.calculus import connected
from tests.calculus.following import Follower, planted
from tests.calculus.oracle import STEP, relative, run
from tests.strategies import Data, adaptive, chained, data, gated

STEPS, SWEEPS = 200, 180
SPARSE = [(0, 1, 2), (0, 0), (1, 0, 3), (1, 3), (2, 1, 2), (2, 2, 1), (2, 4, 2), (0, 3, 3)]


def net_of(cell, connections=None) -> Network:
    """Three units, two inputs, targets on two of the units."""
    pattern = connect.full() if connections is None else connections
    return Network(cell, 3, 2, pattern, SquaredError([0, 2]), name="net")


NETS = {
    "linear": net_of(semilinear("identity", bias=True)),
    "tanh": net_of(semilinear("tanh")),
    "delayed": net_of(semilinear("logistic", bias=True), SPARSE),
    "leaky": net_of(leaky("tanh", bias=True)),
    "two states": net_of(adaptive()),
    "two net inputs": net_of(gated()),
    "chained": net_of(chained()),
    "mixed": net_of([leaky("tanh"), adaptive(), semilinear("softplus")]),
}
NETS |= {name: net for name, net in connected.NETS.items() if name != "gru"}
NETS["gru"] = Network(connected.gru(), 2, 1, connect.full(), SquaredError([0, 1]), name="gru")
every_case = connected.every_case(NETS)
forcing = pytest.mark.parametrize("forced", [False, True], ids=["free", "forced"])


def constant(net: Network) -> Data:
    """Weak weights, so that the net settles; constant inputs; a target on one of the two units."""
    theta, x, target, _, y0 = data(net, STEPS, seed=5)
    theta = theta.copy()
    theta[: net.wiring.weights] *= 0.25
    for name in ("a", "k"):  # else a unit's loop through its second state does not settle
        places = net.unit_parameters.get(name, np.array([], dtype=int))
        theta[places[places >= 0]] = 0.2
    x, target = np.tile(x[0], (STEPS, 1)), np.tile(target[0], (STEPS, 1))
    there = np.arange(len(net.objective.targets)) % 2 == 0
    return Data(theta, x, target, np.tile(there.astype(float), (STEPS, 1)), y0)


class Settled(Follower):
    """The equations at the fixed point that a simulation has reached."""

    def __init__(self, net: Network, values: Data, d, forced: bool) -> None:
        super().__init__(net, values, d)
        y, _ = run(net, values, lambda _: values.theta, forced)
        self.settled = y[-1].real
        assert np.abs(y[-1] - y[-2]).max() < 1e-13
        for place, k in enumerate(net.objective.targets):
            self.value["d", k], self.value["T", k] = (
                values.target[-1, place],
                values.mask[-1, place],
            )
        for (k, name), v in zip(net.states, self.settled, strict=True):
            self.value[self.written(name, k) + "*", k] = v
        for m in range(net.inputs):
            for signal in self.form.heard:
                label = f"x*{str(signal.base.label)[1:]}"
                self.value[label, net.units + m] = values.x[-1, m]
        at_rest = [q for q in self.steps if q.name.endswith("*") and not is_p(q)]
        states = {self.written(name, k) + "*" for k, name in net.states}
        others = [q for q in at_rest if has_slope(q.left) or str(q.left.base.label) not in states]
        self.take_all((step, {}) for step in others)
        self.fixed = [q for q in at_rest if q not in others]
        self.take(self.results["e"])

    def read(self, key, at):
        if key[0] == "T" and key not in self.value:
            return 0
        return super().read(key, at)

    def residual(self, name: str) -> float:
        """How far an equation is from holding, with what is stored."""
        step, worst = self.results[name], 0.0
        for given in self.ranges(step, {}):
            off = self(step.right, given) - self.value[self.key(step.left, given)]
            worst = max(worst, abs(off))
        return worst

    def relax(self) -> None:
        """ε and δ, relaxed to."""
        steps = [q for q in self.steps if q.name.startswith("relaxed_")]
        for rho in range(1, SWEEPS + 1):
            self.take_all((step, {"rho": rho}) for step in steps)
        for key in [v for v in self.value if v[0][0] in "εδ" and v[-1] == SWEEPS]:
            self.value[key[:-1]] = self.value[key]


def is_p(step) -> bool:
    return isinstance(step.left, sympy.Indexed) and str(step.left.base.label).startswith("p")


def differences(net: Network, values: Data, forced: bool) -> tuple[np.ndarray, np.ndarray]:
    """∂y*/∂theta (N, size) and ∂J/∂theta of the settled net, by complex steps."""
    of_y, of_J = np.zeros((len(net.states), net.size)), np.zeros(net.size)
    for place in range(net.size):
        moved = values.theta.astype(complex)
        moved[place] += 1j * STEP
        y, J = run(net, values, lambda _, moved=moved: moved, forced)
        of_y[:, place], of_J[place] = y[-1].imag / STEP, J[-1].imag / STEP
    return of_y, of_J


@cache
def relaxed(net: Network, forced: bool) -> tuple[Settled, Data]:
    """A settled net with ε and δ relaxed to."""
    f, values = settled(net, forced)
    f.relax()
    return f, values


def settled(net: Network, forced: bool = False, fault: tuple = ()) -> tuple[Settled, Data]:
    values = constant(net)
    d = derivation(net, "settling", {"teacher_forcing": forced})
    return Settled(net, values, planted(d, *fault) if fault else d, forced), values


@every_case
def test_the_simulation_has_reached_the_stated_fixed_point(net: Network, forced: bool) -> None:
    f, _ = settled(net, forced)
    for step in f.fixed:
        for given in f.ranges(step, {}):
            assert abs(f(step.right, given) - f.value[f.key(step.left, given)]) < 1e-12, str(step)


@every_case
def test_relaxed_recurrent_backpropagation_gives_the_gradient(net: Network, forced: bool) -> None:
    f, values = relaxed(net, forced)
    assert relative(f.gradient(), differences(net, values, forced)[1]) < 1e-10


@every_case
def test_what_is_relaxed_to_solves_the_equations_of_epsilon_and_delta(net, forced) -> None:
    f, _ = relaxed(net, forced)
    names = [v for v in f.results if v.startswith(("eps", "delta")) and "definition" not in v]
    assert {v.partition("(")[0].partition("/")[0] for v in names} == {"eps", "delta"}
    for name in names:
        assert f.residual(name) < 1e-12, name


def test_linear_net_has_the_gradient_of_the_solved_linear_system() -> None:
    """y* = W y* + V x + b, so ε = (1 − Wᵀ)⁻¹ e: by NumPy's solver, without any relaxation."""
    net = NETS["linear"]
    f, values = settled(net)
    f.relax()
    W = net.weight_matrix(values.theta)
    x = values.x[-1]
    b = values.theta[net.unit_parameters["b"]]
    y = np.linalg.solve(np.eye(3) - W[:, :3], W[:, 3:] @ x + b)
    e = np.array([values.target[-1, 0] - y[0], 0, 0])
    eps = np.linalg.solve(np.eye(3) - W[:, :3].T, e)
    assert np.abs(f.settled - y).max() < 1e-12
    assert np.abs([f.value["ε", k] - eps[k] for k in range(3)]).max() < 1e-12
    true = net.pack({"w": np.outer(eps, [*y, *x]).ravel(), "b": eps})
    assert relative(f.gradient(), true) < 1e-10


@pytest.mark.parametrize("name", ["tanh", "delayed", "leaky", "two states", "two net inputs"])
@forcing
def test_implicit_derivatives_hold_at_the_fixed_point(name: str, forced: bool) -> None:
    """p*, measured, satisfies the fixed point differentiated; and both sums give ∂J."""
    net = NETS[name]
    f, values = settled(net, forced)
    of_y, of_J = differences(net, values, forced)
    output = net.cells[0].output
    columns = {place: row for row, place in enumerate(net.states)}
    for c, place in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        by = c.net_input if len(f.ports) > 1 else ""
        at = (c.target, c.source, c.delay) if f.delayed else (c.target, c.source)
        for (k, state), row in columns.items():
            of = "" if state == output else state
            label = f"p*|{of}|{by}" if of or by else "p*"
            f.value[
                label,
                k,
                *at,
            ] = of_y[row, place]
        letters = {ix.i: c.target, ix.j: c.source, ix.D: c.delay}
        mark = f"({by})" if by else ""
        for step in [f.results[f"p({s})_w{mark}*"] for s in f.ports]:
            for k in range(3):
                here = {**letters, ix.k: k}
                f.value[f.key(step.left, here)] = f(step.right, here)
        for state in net.cells[0].states:
            step = f.results[f"p{'' if state == output else f'({state})'}_w{mark}*"]
            for k in range(3):
                here = {**letters, ix.k: k}
                assert abs(f(step.right, here) - f.value[f.key(step.left, here)]) < 1e-11
        sums = [q for q in f.d if q.name == f"gradient_w{mark}" and not has_slope(q.right)]
        assert len(sums) == 3
        f.value |= {("ε", k): 0.3 * k - 1 for k in range(3)}  # whatever its factors
        f.value |= {(f"ε^({s})", k): 0.7 - k for k in range(3) for s in net.cells[0].states}
        f.value |= {(f"δ^({s})" if by else "δ", k): 0.2 + k for k in range(3) for s in f.ports}
        for q in sums[:2]:
            assert abs(f(q.right, letters) - of_J[place]) < 1e-10


def has_slope(expr) -> bool:
    return expr.has(ix.Slope, ix.Within)


def transposed(expr):
    return expr.xreplace(
        {v: v.base[(v.indices[1], v.indices[0], *v.indices[2:])]
         for v in expr.atoms(sympy.Indexed) if str(v.base.label) == "w"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "step", "fault"),
    [
        ("tanh", "relaxed_eps", transposed),
        ("tanh", "relaxed_eps", lambda v: v - sympy.Add(*(a for a in v.args if a.has(sympy.Sum)))),
        ("leaky", "relaxed_eps", lambda v: sympy.Add(
            *(a for a in v.args if a.has(sympy.Sum) or a.has(ix.e)))),
        ("tanh", "gradient_w", lambda v: -v),
        ("two states", "relaxed_eps(v)", lambda v: sympy.S.Zero),
        ("gru", "relaxed_eps(rh)", lambda v: sympy.S.Zero),
        ("ltc", "relaxed_eps", lambda v: v.xreplace(
            {a: sympy.S.Zero for a in v.atoms(ix.Slope)})),
        ("ltc", "gradient_mu", lambda v: 2 * v),
    ],
    ids=["transposed", "no way back", "no carry", "sign", "second state", "a state that is heard",
         "what connections look at", "what connections have"],
)  # fmt: skip
def test_a_fault_is_seen(name: str, step: str, fault) -> None:
    f, values = settled(NETS[name], fault=(step, fault))
    f.relax()
    assert relative(f.gradient(), differences(NETS[name], values, False)[1]) > 1e-3
