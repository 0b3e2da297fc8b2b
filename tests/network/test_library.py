"""Claims about ready-made cells: their forward equations, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import sympy

import derive
from derive.errors import NetworkError
from derive.functions import logistic, relu, softplus
from derive.interpreted import Interpreted
from derive.network.cell import Cell
from derive.network.continuous import forward_euler
from derive.network.library import (
    LIBRARY,
    adaptive,
    ctrnn,
    elman,
    gru,
    leaky,
    lru,
    lstm,
    ltc,
    mgu,
    reservoir,
    ring,
    s4d,
    second_order,
    semilinear,
    split_connections,
)
from derive.network.specfile import cell_from_dict
from derive.program.algorithms import programs

y, s, b, tau = sympy.symbols("y s b tau", real=True)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("tanh", sympy.tanh(s)),
        ("logistic", logistic(s)),
        ("softplus", softplus(s)),
        ("relu", relu(s)),
        ("identity", s),
        ("s - s**3/3", s - s**3 / 3),
        ("where(s > 0, s, s/10)", sympy.Piecewise((s, s > 0), (s / 10, True))),
        (sympy.erf(sympy.Symbol("s")), sympy.erf(s)),
        (sympy.tanh, sympy.tanh(s)),
    ],
)
def test_semilinear_is_the_activation_of_the_net_input(activation: Any, expected: Any) -> None:
    assert semilinear(activation).equations.states == {y: expected}
    assert semilinear(activation, bias=True).equations.states == {y: expected.subs(s, s + b)}


def test_leaky_is_the_euler_net_of_its_differential_equation() -> None:
    (value,) = leaky("tanh").equations.states.values()
    assert sympy.expand(value - (y + (-y + sympy.tanh(s)) / tau)) == 0
    (half,) = leaky("tanh", dt=0.5).equations.states.values()
    assert sympy.expand(half - (y + (-y + sympy.tanh(s)) / (2 * tau))) == 0
    assert leaky("tanh", bias=True).equations.parameters == (tau, b)


def test_a_decimal_step_is_exact() -> None:
    assert forward_euler({y: -y}, 0.1) == {y: y - y / 10}


def test_time_constants_may_be_learnt_or_fixed() -> None:
    assert [p.name for p in leaky().trainable] == ["tau"]
    assert [p.name for p in leaky(trainable=False).fixed] == ["tau"]


def test_a_leaky_unit_with_tau_one_is_semilinear() -> None:
    (value,) = leaky("tanh", tau=1.0).equations.states.values()
    assert sympy.expand(value.subs(tau, 1)) == sympy.tanh(s)


def test_the_public_cells_are_these() -> None:
    assert derive.cells.semilinear is semilinear and derive.cells.leaky is leaky


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: semilinear("tahn"), "cell.activation: column 1: undefined symbol 'tahn'"),
        (lambda: semilinear("tanh(y)"), "undefined symbol 'y'"),
        (lambda: semilinear(sympy.Symbol("q")), "undefined symbol 'q'"),
        (lambda: semilinear(3), "activation: expected one of tanh, logistic"),
        (lambda: semilinear(sympy.gamma), "gamma cannot be written"),
        (lambda: leaky(tau=0.0), "tau must be a positive number, got 0.0"),
        (lambda: leaky(tau="5"), "leaky: tau must be a finite number, got '5'"),
        (lambda: leaky(tau=10**400), "leaky: tau must be a finite number, got a huge number"),
        (lambda: leaky(dt=-1.0), "dt must be a positive number, got -1.0"),
        (lambda: leaky(dt=float("nan")), "dt must be a finite number, got nan"),
        (lambda: leaky(tau=1.0, dt=2.0), "dt = 2.0 exceeds tau = 1.0"),
    ],
)
def test_a_bad_argument_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


# --- the equations of the literature, each once more in NumPy ----------------------------------

Step = Any


def sigma(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_step(u: Any, s: Any, p: Any) -> Any:
    """Gers, Schmidhuber & Cummins (2000); with peepholes, Gers & Schmidhuber (2000)."""
    i = sigma(s["s_i"] + p["b_i"] + p.get("p_i", 0) * u["c"])
    f = sigma(s["s_f"] + p["b_f"] + p.get("p_f", 0) * u["c"]) if "s_f" in s else 1
    c = f * u["c"] + i * np.tanh(s["s_g"] + p["b_g"])
    o = sigma(s["s_o"] + p["b_o"] + p.get("p_o", 0) * c)
    return {"h": o * np.tanh(c), "c": c}


def gru_step(u: Any, s: Any, p: Any) -> Any:
    """The documentation of torch.nn.GRU."""
    r, z = sigma(s["s_r"] + p["b_r"]), sigma(s["s_z"] + p["b_z"])
    n = np.tanh(s["s_g"] + p["b_g"] + r * (s["s_h"] + p["b_h"]))
    return {"h": (1 - z) * n + z * u["h"]}


def mgu_step(u: Any, s: Any, p: Any) -> Any:
    """Zhou et al. (2016), the gate on the sum."""
    f = sigma(s["s_f"] + p["b_f"])
    candidate = np.tanh(s["s_g"] + p["b_g"] + f * (s["s_h"] + p["b_h"]))
    return {"h": (1 - f) * u["h"] + f * candidate}


def ctrnn_step(u: Any, s: Any, p: Any) -> Any:
    """Beer (1995), eq. 1, by Euler's rule with step 0.5."""
    v = u["v"] + 0.5 * (-u["v"] + s["s"]) / p["tau"]
    return {"y": sigma(v + p["b"]), "v": v}


def adaptive_step(u: Any, s: Any, p: Any) -> Any:
    y, a = u["y"], u["a"]
    rate = np.tanh(s["s"] + p["b"] - p["k"] * a)
    return {"y": y + 0.25 * (rate - y) / p["tau"], "a": a + 0.25 * (y - a) / p["tau_a"]}


def second_order_step(u: Any, s: Any, p: Any) -> Any:
    return {"y": sigma(s["s"] * s["g"] + p["b"])}


def reservoir_step(u: Any, s: Any, p: Any) -> Any:
    return {"y": 0.75 * u["y"] + 0.25 * np.tanh(s["s"])}


def complex_step(lam: Any, gain: Any, u: Any, s: Any, p: Any) -> Any:
    z = lam * (u["re"] + 1j * u["im"]) + gain * (s["s_re"] + 1j * s["s_im"])
    y = ((p["c_re"] + 1j * p["c_im"]) * z).real + s.get("s_y", 0)
    return {"y": y, "re": z.real, "im": z.imag}


def lru_step(u: Any, s: Any, p: Any) -> Any:
    """Orvieto et al. (2023), eq. 5 and the normalisation of its section 3.4."""
    lam = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["phi"]))
    gamma = np.exp(p["gamma_log"]) if "gamma_log" in p else np.sqrt(1 - abs(lam) ** 2)
    return complex_step(lam, gamma, u, s, p)


def s4d_step(u: Any, s: Any, p: Any) -> Any:
    """Gu et al. (2022): zero-order hold of a diagonal system."""
    A = -np.exp(p["nu"]) + 1j * p["omega"]
    lam = np.exp(np.exp(p["log_step"]) * A)
    return complex_step(lam, (lam - 1) / A, u, s, p)


PUBLISHED: dict[str, tuple[Cell, Step]] = {
    "lstm": (lstm(), lstm_step),
    "lstm 1997": (lstm(forget=False), lstm_step),
    "lstm with peepholes": (lstm(peepholes=True), lstm_step),
    "gru": (gru(), gru_step),
    "mgu": (mgu(), mgu_step),
    "ctrnn": (ctrnn(dt=0.5), ctrnn_step),
    "adaptive": (adaptive(dt=0.25, bias=True), adaptive_step),
    "second_order": (second_order(), second_order_step),
    "reservoir": (reservoir(0.25), reservoir_step),
    "lru": (lru(), lru_step),
    "lru, tied": (lru(tied=True, skip=True), lru_step),
    "s4d": (s4d(skip=True), s4d_step),
}


def forward_of(net: derive.Network, theta: Any, x: Any, y0: Any) -> Any:
    made = programs(net, {"name": "epochwise"})
    return Interpreted(net, made, "float64", False).forward(theta, x, y0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_fully_connected_net_runs_by_the_published_equations(name: str) -> None:
    cell, step = PUBLISHED[name]
    n, m, T = 3, 2, 6
    net = derive.Network(cell, n, m, derive.connect.full(), derive.SquaredError([0]))
    generator = np.random.default_rng(5)
    theta = net.init(3) + generator.normal(size=net.size) / 4
    x, y0 = generator.normal(size=(T, m)), generator.normal(size=len(net.states)) / 2
    got = forward_of(net, theta, x, y0)

    named = net.unpack(theta)
    parameters = {k: v for k, v in named.items() if k != "w"}
    parameters |= {p.name: p.initial for p in cell.fixed}
    weights = named["w"].reshape(n, len(cell.net_inputs), n + m)
    state = dict(zip(cell.states, y0.reshape(n, -1).T, strict=True))
    for t in range(T):
        heard = np.concatenate([state[cell.output], x[t]])
        sums = dict(zip(cell.net_inputs, (weights @ heard).T, strict=True))
        state = step(state, sums, parameters)
        np.testing.assert_allclose(
            got[t + 1].reshape(n, -1).T, [state[k] for k in cell.states], rtol=1e-12, atol=1e-13
        )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [gru, mgu])
def test_a_reset_before_the_sum_scales_each_source(make: Any, bias: bool) -> None:
    """Cho et al. (2014), and Zhou et al. (2016), with matrices W for x and U for h."""
    n, m, T = 3, 2, 6
    cell = make(reset="before", bias=bias)
    net = derive.Network(cell, n, m, derive.connect.full(), derive.SquaredError([0]))
    generator = np.random.default_rng(6)
    theta = net.init(1) + generator.normal(size=net.size) / 4
    x, y0 = generator.normal(size=(T, m)), generator.normal(size=len(net.states)) / 2
    got = forward_of(net, theta, x, y0)

    named = net.unpack(theta)
    weights = dict(zip(cell.net_inputs, named["w"].reshape(n, -1, n + m).swapaxes(0, 1),
                       strict=True))  # fmt: skip
    h = y0[::2]

    def gate(k: str) -> Any:
        return sigma(weights[f"s_{k}"] @ np.concatenate([h, x[t]]) + named.get(f"b_{k}", 0))

    for t in range(T):
        r = gate("r" if make is gru else "f")
        keep = gate("z") if make is gru else 1 - r
        g = np.tanh(weights["s_g"] @ np.concatenate([r * h, x[t]]) + named.get("b_g", 0))
        offered, h = r * h, keep * h + (1 - keep) * g
        np.testing.assert_allclose(got[t + 1], np.stack([h, offered]).T.ravel(), rtol=1e-12)


def test_liquid_time_constants_are_the_published_equation() -> None:
    """Hasani et al. (2021), eq. 1 and 3, a step of Euler; each connection by itself."""
    n, m, T, dt = 3, 2, 6, 0.5
    net = derive.Network(ltc(dt=dt), n, m, derive.connect.full(), derive.SquaredError([0]))
    generator = np.random.default_rng(7)
    theta = net.init(1) + generator.normal(size=net.size) / 4
    x, v = generator.normal(size=(T, m)), generator.normal(size=n)
    got = forward_of(net, theta, x, v)
    p = {k: a if k == "tau" else a.reshape(n, n + m) for k, a in net.unpack(theta).items()}
    for t in range(T):
        f = p["w"] * sigma(p["gamma"] * (np.concatenate([v, x[t]]) - p["mu"]))
        v = v + dt * (-(1 / p["tau"] + f.sum(axis=1)) * v + (f * p["A"]).sum(axis=1))
        np.testing.assert_allclose(got[t + 1], v, rtol=1e-12)


def test_the_output_gate_looks_at_the_new_cell_state() -> None:
    eq = lstm(peepholes=True).equations
    i, f, o = (eq.intermediates[sympy.Symbol(k, real=True)] for k in "ifo")
    c, m = sympy.symbols("c m", real=True)
    assert i.has(c) and f.has(c) and not o.has(c) and o.has(m)
    assert eq.states[c] == m


def test_a_gate_starts_open_to_memory() -> None:
    first = {p.name: p.initial for p in lstm().parameters}
    assert first == {"b_i": 0, "b_f": 1, "b_g": 0, "b_o": 0}
    assert {p.initial for p in lstm(forget_bias=-1.0).parameters} == {0, -1}
    assert not lstm(bias=False).parameters


def test_the_golden_example_of_a_linear_recurrence() -> None:
    """λ = 1/2, B = 2+2i, C = 2+i, γ = 1, inputs 1, 2, 3, target 1: outputs and ∂J/∂γ, by hand.

    From the tests of github.com/NicolasZucchet/Online-learning-LRU; its loss is −J here.
    """
    net = derive.Network(
        lru(),
        1,
        1,
        [derive.Connection(0, 1, net_input=s) for s in ("s_re", "s_im")],
        derive.SquaredError([0]),
    )
    named = {"w": [2, 2], "nu": [np.log(np.log(2))], "phi": [-40], "gamma_log": [0]}
    theta = net.pack({**named, "c_re": [2], "c_im": [1]})
    x = np.array([[1.0], [2.0], [3.0]])
    kernel = Interpreted(net, programs(net, {"name": "epochwise"}), "float64", False)
    y = kernel.forward(theta, x)
    np.testing.assert_allclose(y[1:], [[2, 2, 2], [5, 5, 5], [8.5, 8.5, 8.5]], rtol=1e-14)
    _, g = kernel.gradient(theta, x, np.ones((3, 1)))
    slopes = net.unpack(g)
    np.testing.assert_allclose(slopes["gamma_log"], [-85.75], rtol=1e-14)
    # ∂/∂Re B and −∂/∂Im B: the loss's complex gradient is 85.75 − 42.875i.
    np.testing.assert_allclose(slopes["w"], [-85.75, 42.875], rtol=1e-14)


def test_ring_draws_eigenvalues_uniformly_between_two_radii() -> None:
    drawn = ring(4000, r_min=0.6, r_max=0.9, max_phase=1.0, seed=2)
    radius, phase = np.exp(-np.exp(drawn["nu"])), np.exp(drawn["phi"])
    assert 0.6 < radius.min() < 0.61 and 0.89 < radius.max() < 0.9
    assert abs(np.mean(radius**2) - (0.6**2 + 0.9**2) / 2) < 0.01  # uniform in area
    assert 0 < phase.min() and phase.max() < 1 and abs(phase.mean() - 0.5) < 0.02
    np.testing.assert_allclose(np.exp(drawn["gamma_log"]), np.sqrt(1 - radius**2))
    net = derive.Network(lru(), 4, 1, [], derive.SquaredError([0]), parameters=ring(4, seed=1))
    assert net.unpack(net.init())["nu"].tolist() == ring(4, seed=1)["nu"]
    assert set(ring(2, tied=True)) == {"nu", "phi"}
    assert ring(3, seed=1) != ring(3, seed=2)


def test_the_defaults_of_diagonal_units_are_the_eigenvalues_they_name() -> None:
    first = {p.name: p.initial for p in lru(radius=0.8, phase=0.3).parameters}
    assert np.isclose(np.exp(-np.exp(first["nu"])), 0.8) and np.isclose(np.exp(first["phi"]), 0.3)
    assert np.isclose(np.exp(first["gamma_log"]), 0.6)
    first = {p.name: p.initial for p in s4d(decay=0.25, step=0.01).parameters}
    assert np.isclose(np.exp(first["nu"]), 0.25) and np.isclose(np.exp(first["log_step"]), 0.01)


def test_split_connections_keep_lines_and_units_apart() -> None:
    listed = split_connections(gru(), 2, 3)
    assert len(listed) == 2 * (5 + 5 + 3 + 2)
    assert {c.source for c in listed if c.net_input == "s_g"} == {2, 3, 4}
    assert {c.source for c in listed if c.net_input == "s_h"} == {0, 1}
    assert {c.source for c in listed if c.net_input == "s_z"} == {0, 1, 2, 3, 4}
    assert len(split_connections(mgu(), 2, 3)) == 2 * (5 + 3 + 2)
    assert {c.delay for c in split_connections(mgu(), 2, 3, delay=2)} == {2}


VARIANTS = (
    elman("tanh"),
    reservoir(0.5, "logistic"),
    lstm(forget=False, bias=False),
    lstm(peepholes=True, forget_bias=0.5),
    gru(bias=False),
    mgu(bias=False),
    ctrnn("tanh", tau=3.0, dt=0.1, trainable=False, bias=False),
    adaptive("logistic", tau=3.0, tau_a=9.0, strength=0.5, dt=0.5, trainable=False, bias=True),
    second_order("tanh", bias=False),
    lru("tanh", radius=0.5, phase=1.0, tied=True, skip=True),
    s4d("tanh", decay=0.25, frequency=2.0, step=0.5, skip=True),
    *(make() for make in LIBRARY.values()),
)


@pytest.mark.parametrize("cell", VARIANTS, ids=lambda c: c.name)
def test_a_cell_of_the_library_is_saved_by_name_and_read_back(cell: Cell) -> None:
    spec = cell.to_spec()
    assert spec["library"] in LIBRARY
    again = cell_from_dict(spec, "cell")
    assert again.to_spec() == spec
    assert again.equations == cell.equations and again.parameters == cell.parameters


@pytest.mark.parametrize("name", LIBRARY)
def test_a_spec_and_the_public_face_name_every_cell(name: str) -> None:
    spec = {
        "spec": "derive/1",
        "cell": {"library": name},
        "network": {"units": 2, "inputs": 1, "connections": "full"},
        "objective": {"targets": [1]},
    }
    net = derive.Network.load(spec)
    assert getattr(derive.cells, name)().to_spec() == net.cells[0].to_spec()
    assert {c.net_input for c in net.connections} == set(net.cells[0].net_inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reservoir(0), "reservoir: leak must lie in 0 < a ≤ 1, got 0.0"),
        (lambda: reservoir(1.5), "reservoir: leak must lie in 0 < a ≤ 1, got 1.5"),
        (lambda: lstm(forget=False, forget_bias=2.0), "it needs forget=True and bias=True"),
        (lambda: lstm(forget_bias="1"), "lstm: forget_bias must be a finite number, got '1'"),
        (lambda: gru(reset="beside"), 'gru: reset must be "after" or "before", got \'beside\''),
        (lambda: ctrnn(dt=0), "dt: must be a positive finite number, got 0"),
        (lambda: ctrnn(scheme="eulr"), "eulr"),
        (lambda: ctrnn(tau=-1), "ctrnn: tau must be a positive number, got -1.0"),
        (lambda: ctrnn(tau=1, dt=2), "state v of cell 'ctrnn': Δt/τ = 2 exceeds 1"),
        (lambda: ltc(tau=0), "ltc: tau must be a positive number, got 0.0"),
        (lambda: ltc(gamma="1"), "ltc: gamma must be a finite number, got '1'"),
        (lambda: ltc(tau=1, dt=3), "state v of cell 'ltc': Δt/τ = 3 exceeds 1"),
        (lambda: adaptive(tau=1, tau_a=9, dt=2), "states y, a of cell 'adaptive': Δt/τ ="),
        (lambda: second_order("q"), "undefined symbol 'q'"),
        (lambda: lru(radius=1), "lru: radius must lie in 0 < r < 1, got 1.0"),
        (lambda: lru(phase=0), "lru: phase must be a positive number, got 0.0"),
        (lambda: s4d(decay=0), "s4d: decay must be a positive number, got 0.0"),
        (lambda: s4d(step=-1), "s4d: step must be a positive number, got -1.0"),
        (lambda: ring(3, 0.9, 0.5), "ring: need 0 ≤ r_min < r_max ≤ 1, got 0.9 and 0.5"),
        (lambda: split_connections(lstm(), 2, 1), "cell 'lstm' has net inputs s_i, s_f, s_g, s_o"),
        (lambda: cell_from_dict({"library": "lstm", "forget": 1}, "cell"),
         "cell.forget: expected bool, got 1"),
        (lambda: cell_from_dict({"library": "gru", "reset": 1}, "cell"),
         "cell.reset: expected str, got 1"),
        (lambda: cell_from_dict({"library": "ctrnn", "activation": 1}, "cell"),
         "cell.activation: expected str, got 1"),
        (lambda: cell_from_dict({"library": "lru", "radius": "big"}, "cell"),
         "lru: radius must be a finite number, got 'big'"),
        (lambda: cell_from_dict({"library": "lstn"}, "cell"), "did you mean 'lstm'"),
    ],
)  # fmt: skip
def test_a_bad_argument_of_a_further_cell_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=re.escape(message)):
        make()
