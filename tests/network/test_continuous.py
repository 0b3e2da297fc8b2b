"""Claims about cells in continuous time: what a scheme makes of rates, and what is refused."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from scipy.signal import cont2discrete

import derive
from derive.errors import DeriveWarning, NetworkError
from derive.network.cell import Cell
from derive.network.continuous import SCHEMES, ContinuousCell, discretize, state_space
from derive.network.continuous.stability import evaluations, slopes, stability_function
from derive.network.network import Network

ROOT = Path(__file__).parents[2]
y, v, s = derive.state("y"), derive.state("v"), derive.net_input("s")
o = derive.state("o")
tau = derive.parameter("tau", initial=5.0)
a = derive.parameter("a", initial=-0.5)
z = sympy.Symbol("z")
Y, S, TAU, A = sympy.symbols("y s tau a", real=True)
LEAK = {y: (-y + sympy.tanh(s)) / tau}


def inlined(cell: Cell) -> list[sympy.Expr]:
    """The next values with every intermediate put in."""
    eq = cell.equations
    bodies = list(eq.states.values())
    for name, body in reversed(list(eq.intermediates.items())):
        bodies = [b.xreplace({name: body}) for b in bodies]
    return bodies


def number(cell: Cell, **values: float) -> list[float]:
    """The next values at numbers, with 30 digits on the way."""
    at = {sympy.Symbol(k, real=True): sympy.Rational(repr(v)) for k, v in values.items()}
    return [float(b.xreplace(at).evalf(30)) for b in inlined(cell)]


def same(found: sympy.Expr, expected: sympy.Expr) -> bool:
    return bool(sympy.simplify(found - expected) == 0)


def network(cell: Any, units: int = 1, **more: Any) -> Network:
    return Network(cell, units, 0, (), derive.SquaredError([0]), **more)


# --- what the schemes give -------------------------------------------------------------------

q = 1 / (2 * TAU)  # Δt/τ at Δt = ½


@pytest.mark.parametrize(
    ("scheme", "update"),
    [
        ("euler", Y + q * (sympy.tanh(S) - Y)),
        ("exponential", sympy.exp(-q) * Y + (1 - sympy.exp(-q)) * sympy.tanh(S)),
        ("bilinear", ((1 - q / 2) * Y + q * sympy.tanh(S)) / (1 + q / 2)),
        ("backward_euler", (Y + q * sympy.tanh(S)) / (1 + q)),
        ("heun", Y + (q - q**2 / 2) * (sympy.tanh(S) - Y)),
        ("rk4", Y + (q - q**2 / 2 + q**3 / 6 - q**4 / 24) * (sympy.tanh(S) - Y)),
    ],
)
def test_a_leaky_unit_by_each_scheme(scheme: str, update: sympy.Expr) -> None:
    (found,) = inlined(discretize(LEAK, 0.5, scheme))
    assert same(found, update)


def test_the_schemes_are_these() -> None:
    assert list(SCHEMES) == [
        "euler", "exponential", "bilinear", "backward_euler", "heun", "rk4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "R"),
    [
        ("euler", 1 + z),
        ("exponential", sympy.exp(z)),
        ("bilinear", (1 + z / 2) / (1 - z / 2)),
        ("backward_euler", 1 / (1 - z)),
        ("heun", 1 + z + z**2 / 2),
        ("rk4", 1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24),
    ],
)
def test_the_stability_function_is_the_scheme_on_a_linear_equation(
    scheme: str, R: sympy.Expr
) -> None:
    assert same(stability_function(scheme), R)
    (update,) = inlined(discretize({y: a * y}, 1, scheme))
    assert same(update.subs(A, sympy.Rational(-1, 3)), R.subs(z, sympy.Rational(-1, 3)) * Y)


def test_stages_are_intermediates() -> None:
    assert [evaluations(SCHEMES[n]) for n in ("euler", "heun", "rk4", "exponential")] == [
        1, 2, 4, 0,
    ]  # fmt: skip
    cell = discretize(LEAK, 0.5, "rk4")
    assert [str(u) for u in cell.equations.intermediates] == ["k1", "k2", "k3", "k4"]
    assert cell.intermediates == ("k1", "k2", "k3", "k4")
    assert not discretize(LEAK, 0.5).equations.intermediates


def test_names_of_stages_do_not_collide_with_a_users() -> None:
    k1, K2 = derive.intermediate("k1"), derive.parameter("K2", initial=1.0)
    own = discretize(
        ContinuousCell({y: k1 - K2 * y}, intermediates={k1: sympy.tanh(s)}), 0.5, "heun"
    )
    plain = discretize({y: sympy.tanh(s) - K2 * y}, 0.5, "heun")
    names = [str(u) for u in own.equations.intermediates]
    assert len({n.lower() for n in [*names, "K2"]}) == len(names) + 1 and "k1" in names
    assert same(inlined(own)[0], inlined(plain)[0])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_intermediates_that_depend_on_states_are_computed_anew(scheme: str) -> None:
    g, h = derive.intermediate("g"), derive.intermediate("h")
    named = ContinuousCell({y: h - y, v: g * y - v / tau}, {g: sympy.tanh(s + y), h: g * v})
    bare = {y: sympy.tanh(s + y) * v - y, v: sympy.tanh(s + y) * y - v / tau}
    at = {"y": 0.3, "v": -0.7, "s": 0.9, "tau": 2.0}
    found, expected = (number(discretize(c, 0.5, scheme), **at) for c in (named, bare))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_readout_follows_from_the_states_after_the_step(scheme: str) -> None:
    theta = derive.parameter("theta0", initial=0.3)
    cell = discretize(
        ContinuousCell({y: (-y + s) / tau}, readouts={o: derive.logistic(y + theta)}, output=o),
        0.5,
        scheme,
    )
    after, read = number(cell, y=0.4, o=77.0, s=0.9, tau=2.0, theta0=0.3)
    assert cell.output == "o" and cell.states == ("y", "o")
    assert read == pytest.approx(1 / (1 + math.exp(-after - 0.3)), rel=1e-14)


# --- linear parts ----------------------------------------------------------------------------


def gated(y_: Any, s_: Any, tau_: Any) -> Any:
    """A unit whose decay depends on its net input (a liquid time constant)."""
    return -(1 / tau_ + derive.logistic(s_)) * y_ + derive.logistic(s_)


def test_the_decay_may_depend_on_the_net_input() -> None:
    (found,) = number(discretize({y: gated(y, s, tau)}, 0.5, "exponential"), y=0.4, s=0.7, tau=2.0)
    f = 1 / (1 + math.exp(-0.7))
    rate, rest = 0.5 + f, f / (0.5 + f)
    assert found == pytest.approx(rest + (0.4 - rest) * math.exp(-rate * 0.5), rel=1e-14)


def test_a_nonlinear_rest_is_held_at_the_start() -> None:
    (found,) = inlined(discretize({y: -y / tau + sympy.sin(y) - y**2}, 0.5, "exponential"))
    rest = sympy.sin(Y) - Y**2
    assert same(found, sympy.exp(-q) * Y + (1 - sympy.exp(-q)) * TAU * rest)


def test_a_linear_part_is_found_within_a_product() -> None:
    (found,) = inlined(discretize({y: (1 + y) ** 2 - y * (y + 3)}, 1, "backward_euler"))
    assert same(found, (Y + 1) / 2)  # the rate is 1 − y


@pytest.mark.parametrize("value", [0.0, 1e-9, -1e-4, 0.24, -0.26, 1.9, -2.1])
def test_a_rate_that_may_vanish_has_a_safe_form(value: float) -> None:
    cell = discretize({y: a * y + s}, 2, "exponential")
    with mpmath.workdps(60):
        zz = mpmath.mpf(value) * 2
        phi = mpmath.expm1(zz) / zz if value else mpmath.mpf(1)
        slope = (zz * mpmath.exp(zz) - mpmath.expm1(zz)) / zz**2 if value else mpmath.mpf("0.5")
        update, by_a = mpmath.exp(zz) * 3 + 2 * phi, 6 * mpmath.exp(zz) + 4 * slope
    (body,) = inlined(cell)
    at = {Y: 3.0, S: 1.0, A: value}
    in_double = sympy.lambdify([Y, S, A], [body, body.diff(A)], "math")
    found, found_slope = in_double(*at.values())
    assert found == pytest.approx(float(update), rel=1e-14)
    assert found_slope == pytest.approx(float(by_a), rel=2e-14)


MATRICES = {
    "coupled": [[-1.0, 2.0], [-0.5, -0.3]],
    "singular": [[0.0, 1.0], [0.0, 0.0]],
    "three": [[-0.5, 0.2, 0.0], [0.1, -1.5, 0.7], [0.3, 0.0, -2.0]],
    "apart": [[-0.5, 0.0, 0.0], [0.0, -1.5, 0.7], [0.0, 0.3, 0.0]],
    "five": (np.diag([-1.0] * 5) + np.diag([0.5] * 4, 1)).tolist(),
}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(
    ("scheme", "theirs"),
    [("exponential", "zoh"), ("bilinear", "bilinear"), ("backward_euler", "backward_diff"),
     ("euler", "euler")],
)  # fmt: skip
def test_a_state_space_block_is_that_of_scipy(matrix: str, scheme: str, theirs: str) -> None:
    A_, size = np.array(MATRICES[matrix]), len(MATRICES[matrix])
    B_ = np.arange(1.0, 2 * size + 1).reshape(size, 2)
    C_ = np.linspace(1, 2, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeriveWarning)
        cell = state_space(A_.tolist(), B_.tolist(), C_.tolist(), dt=0.2, scheme=scheme)
    Ad, Bd, *_ = cont2discrete((A_, B_, C_[None], np.zeros((1, 2))), 0.2, theirs)
    x0, u = np.linspace(-1, 1, size), np.array([0.7, -0.2])
    at = {f"x{i + 1}": float(x0[i]) for i in range(size)} | {"s1": 0.7, "s2": -0.2, "y": 9.0}
    expected = Ad @ x0 + Bd @ u
    np.testing.assert_allclose(number(cell, **at), [*expected, C_ @ expected], rtol=1e-13)
    assert cell.output == "y"


@pytest.mark.parametrize("scheme", ["exponential", "bilinear", "backward_euler", "rk4"])
def test_trainable_diagonal_blocks_are_found_by_entry(scheme: str) -> None:
    a1, a2 = derive.parameter("a1", initial=-1.0), derive.parameter("a2", initial=-2.0)
    learnt = state_space([[a1, 0], [0, a2]], [1, 2], dt=0.25, scheme=scheme)
    fixed = state_space([[-1, 0], [0, -2]], [1, 2], dt=0.25, scheme=scheme)
    at = {"x1": 0.3, "x2": -0.8, "s": 0.6}
    np.testing.assert_allclose(
        number(learnt, **at, a1=-1.0, a2=-2.0), number(fixed, **at), rtol=1e-14
    )
    assert [p.name for p in learnt.trainable] == ["a1", "a2"]


@pytest.mark.parametrize("scheme", ["bilinear", "backward_euler"])
def test_implicit_schemes_solve_for_states_coupled_by_symbols(scheme: str) -> None:
    om = derive.parameter("omega", initial=0.9)
    learnt = state_space([[-1, om], [-om, -1]], [1, 2], dt=0.25, scheme=scheme)
    fixed = state_space([[-1, 0.9], [-0.9, -1]], [1, 2], dt=0.25, scheme=scheme)
    at = {"x1": 0.3, "x2": -0.8, "s": 0.6}
    np.testing.assert_allclose(number(learnt, **at, omega=0.9), number(fixed, **at), rtol=1e-14)


def test_a_matrix_exponential_of_symbols_is_refused() -> None:
    om = derive.parameter("omega", initial=0.9)
    cell = state_space([[-1, om], [-om, -1]], [1, 2], dt=0.25)
    with pytest.raises(NetworkError, match="x1, x2 are coupled by omega.*'bilinear'"):
        _ = cell.equations


# --- Δt --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dt", [0.1, Fraction(1, 10), sympy.Rational(1, 10), "0.1", "1/10", np.float64(0.1)]
)
def test_a_decimal_step_is_exact(dt: Any) -> None:
    assert inlined(discretize({y: -y}, dt)) == [Y - Y / 10]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_step_may_be_a_fixed_parameter(scheme: str) -> None:
    dt = derive.parameter("dt", initial=0.5, trainable=False)
    found = discretize(LEAK, dt, scheme)
    assert [p.name for p in found.fixed] == ["dt"] and [p.name for p in found.trainable] == ["tau"]
    at = {"y": 0.3, "s": 0.9, "tau": 2.0}
    assert number(found, **at, dt=0.5) == pytest.approx(number(discretize(LEAK, 0.5, scheme), **at))
    assert Network.load(network(found).to_spec()).digest == network(found).digest


@pytest.mark.parametrize(
    ("dt", "message"),
    [
        (0, "dt: must be a positive finite number, got 0.0"),
        (-0.1, "dt: must be a positive finite number"),
        (math.nan, "dt: must be a positive finite number"),
        (math.inf, "dt: must be a positive finite number"),
        (sympy.oo, "dt: must be a positive finite number"),
        (True, "dt: expected a number"),
        (None, "dt: expected a number or a fixed derive.parameter"),
        (sympy.Symbol("q"), "dt: expected a number or a fixed derive.parameter"),
        ("q", "dt: column 1: undefined symbol 'q'"),
        (derive.parameter("dt", initial=0.1), "'dt' is trainable.*trainable=False"),
        (derive.parameter("dt", trainable=False), "dt: must be a positive finite number, got 0.0"),
    ],
)
def test_a_bad_step_is_one_clear_error(dt: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        discretize(LEAK, dt)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: discretize(LEAK, 0.1, "eular"), "no scheme 'eular'; did you mean 'euler'"),
        (lambda: discretize(LEAK, 0.1, "xyz"), "no scheme 'xyz'; there are euler, exponential"),
        (lambda: discretize("y", 0.1), "expected rates"),
        (lambda: discretize({y: -v}, 0.1), "undefined symbol v"),
        (lambda: discretize({"y": -y}, 0.1), "'y' is not a state"),
        (lambda: discretize({}, 0.1), "has no state"),
        (lambda: ContinuousCell({}, readouts={o: s}), "has no rate"),
        (lambda: ContinuousCell({y: -y}, readouts={y: y}), "'y' has both a rate and a readout"),
        (lambda: ContinuousCell({y: -o}, readouts={o: y}), "mentions the readout 'o'"),
        (lambda: ContinuousCell.from_text({"y": "-o"}, readouts={"o": "y"}), "readout 'o'"),
        (lambda: ContinuousCell.from_text({}), "there is no rate"),
        (lambda: ContinuousCell.from_text({"y": "-q"}), "undefined symbol 'q'"),
        (lambda: state_space([[1, 2]], [1], dt=0.1), "A: expected a square matrix"),
        (lambda: state_space([[-1]], [1, 2], dt=0.1), "B: expected 1 rows"),
        (lambda: state_space([[-1]], [1], [1, 2], dt=0.1), "C: expected 1 entries, got 2"),
        (lambda: state_space([["q"]], [1], dt=0.1), "expected numbers, parameters"),
        (lambda: discretize({y: 2 * y}, 0.5, "backward_euler").equations, "of y.*no implicit step"),
    ],
)
def test_a_bad_statement_is_one_clear_error(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


# --- stability -------------------------------------------------------------------------------


def test_slopes_are_those_of_the_rates() -> None:
    g = derive.intermediate("g")
    cell = ContinuousCell({y: (-y + sympy.tanh(3 * v)) / tau, v: g - y * a},
                          {g: sympy.exp(-2 * v)})  # fmt: skip
    found = slopes(cell, {"tau": np.array([2.0, 4.0]), "a": -0.5})
    expected = [[[-0.5, 1.5], [0.5, -2]], [[-0.25, 0.75], [0.5, -2]]]
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_euler_refuses_a_step_that_overshoots() -> None:
    with pytest.raises(NetworkError, match="state y of cell 'cell': Δt/τ = 1.2 exceeds 1"):
        discretize(LEAK, 6.0)
    discretize(LEAK, 5.0)  # β = 1 is the discrete net
    discretize(LEAK, 6.0, "exponential")


@pytest.mark.parametrize("made", ["discretized", "library", "spec"])
def test_a_time_constant_of_one_unit_is_checked(made: str) -> None:
    cell = {
        "discretized": lambda: discretize(LEAK, 2.0),
        "library": lambda: derive.cells.leaky(dt=2.0),
        "spec": lambda: Network.load(network(discretize(LEAK, 2.0)).to_spec()).cells[0],
    }[made]()
    network(cell, 3, parameters={"tau": [2.0, 3.0, 4.0]})
    with pytest.raises(NetworkError, match="unit 1, state y.*Δt/τ = 2 exceeds 1"):
        network(cell, 3, parameters={"tau": [2.0, 1.0, 4.0]})


def test_the_unit_at_fault_is_named_among_several_cells() -> None:
    cells = [derive.cells.semilinear(), discretize(LEAK, 2.0), discretize(LEAK, 2.0)]
    with pytest.raises(NetworkError, match="unit 2, state y"):
        network(cells, 3, parameters={"tau": [9.0, 4.0, 0.5]})


@pytest.mark.parametrize(
    ("scheme", "dt"), [("heun", 10.5), ("rk4", 14.0)]
)  # |R| = 1 at z = −2 and −2.785
def test_an_unstable_step_is_warned_of(scheme: str, dt: float) -> None:
    with pytest.warns(DeriveWarning, match=f"scheme '{scheme}' is unstable"):
        cell = discretize(LEAK, dt, scheme)
    with pytest.warns(DeriveWarning, match="unit 1, state y"):
        network(cell, 2, parameters={"tau": [6.0, 4.9]})


@pytest.mark.parametrize(
    ("scheme", "dt"),
    [("heun", 9.9), ("rk4", 13.8), ("bilinear", 1e3), ("backward_euler", 1e3),
     ("exponential", 1e3)],
)  # fmt: skip
def test_a_stable_step_is_not(scheme: str, dt: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(discretize(LEAK, dt, scheme), 2, parameters={"tau": [5.0, 6.0]})


def test_euler_is_unstable_on_an_oscillator_and_growth_is_no_complaint() -> None:
    with pytest.warns(DeriveWarning, match="states x1, x2.*multiplies a deviation by 1.005"):
        state_space([[0, 1], [-1, 0]], [0, 1], dt=0.1, scheme="euler")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state_space([[0, 1], [-1, 0]], [0, 1], dt=0.1, scheme="bilinear")
        discretize({y: 3 * y + s}, 0.1)
        discretize({y: sympy.log(y) + s}, 0.1)  # has no slope at 0: nothing is known


# --- spec files ------------------------------------------------------------------------------

SPEC: dict[str, Any] = {
    "spec": "derive/1",
    "name": "rates",
    "cell": {
        "rates": {"y": "(-y + g)/tau"},
        "readouts": {"o": "logistic(y + b)"},
        "intermediates": {"g": "tanh(s)"},
        "parameters": {"tau": 2.0, "b": {"initial": 0.1, "trainable": False}},
        "output": "o",
        "dt": 0.1,
        "scheme": "exponential",
    },
    "network": {"units": 2, "inputs": 1, "connections": "full"},
    "objective": {"targets": [1]},
}


def changed(**changes: Any) -> dict[str, Any]:
    """The spec with keys of its cell set, or left out where they are None."""
    cell = {k: v for k, v in {**SPEC["cell"], **changes}.items() if v is not None}
    return {**SPEC, "cell": cell}


def test_a_spec_states_rates() -> None:
    net = Network.load(SPEC)
    assert net.to_spec()["cell"] == SPEC["cell"]
    assert Network.load(net.to_spec()).digest == net.digest
    (cell,) = net.cells
    assert cell.discretized is not None and cell.discretized.scheme.name == "exponential"
    g, b = derive.intermediate("g"), derive.parameter("b", initial=0.1, trainable=False)
    two = derive.parameter("tau", initial=2.0)
    built = discretize(
        ContinuousCell({y: (-y + g) / two}, {g: sympy.tanh(s)}, {o: derive.logistic(y + b)}, o),
        0.1,
        "exponential",
    )
    assert built.equations.states == cell.equations.states
    assert built.equations.intermediates == cell.equations.intermediates


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cell_of_python_is_written_and_read_back(scheme: str) -> None:
    net = network(discretize(LEAK, 0.1, scheme, name="mine"))
    again = Network.load(net.to_spec())
    assert again.digest == net.digest and again.to_spec() == net.to_spec()
    assert again.cells[0].equations == net.cells[0].equations
    assert again.cells[0].name == "mine"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (changed(equations={"y": "y"}), "cell: give library = …, or a table of equations, or"),
        (changed(rates=None), "cell: give library = …"),
        (changed(rates=None, equations={"y": "y"}, readouts=None, output=None, scheme=None),
         "cell.dt: only beside rates"),
        (changed(dt=None), "cell: dt is missing"),
        (changed(dt=-1), "cell: dt: must be a positive"),
        (changed(dt=[1]), "cell: dt: expected a number"),
        (changed(scheme="rk5"), "cell: scheme: no scheme 'rk5'; did you mean 'rk4'"),
        (changed(scheme=["euler"]), "cell: scheme: no scheme"),
        (changed(rates={"y": "q"}), "cell.rates.y: column 1: undefined symbol 'q'"),
        (changed(rates={"y": 3}), "cell.rates.y: expected an expression"),
        (changed(scheme="euler", dt=3), "cell: state y of cell 'cell': Δt/τ = 1.5 exceeds 1"),
        (changed(shceme="euler"), "unknown key 'shceme'; did you mean 'scheme'"),
    ],
)  # fmt: skip
def test_a_bad_spec_is_one_clear_error(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message.replace("(", r"\(")):
        Network.load(stated)


def test_rates_are_read_and_checked_without_importing_sympy() -> None:
    spec = {**SPEC, "network": {**SPEC["network"], "parameters": {"tau": [1.0, 0.5]}}}
    program = (
        f"import sys, derive\nderive.Network.load({spec!r}).digest\n"
        f"spec = {changed(scheme='euler', dt=0.4)!r}\n"
        "spec['network'] = {**spec['network'], 'parameters': {'tau': [1.0, 0.2]}}\n"
        "try:\n    derive.Network.load(spec)\n"
        "except derive.NetworkError as error:\n    print(error)\n"
        "assert 'sympy' not in sys.modules, 'sympy'"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "unit 1, states y" in run.stdout or "unit 1, state y" in run.stdout


def test_equations_are_the_same_under_every_hash_seed() -> None:
    program = (
        "import derive\nfrom derive.network.continuous import SCHEMES, state_space\n"
        "from derive.network.continuous import ContinuousCell, discretize\n"
        "unit = ContinuousCell.from_text({'y': 'a*y + u*v + s', 'v': '-v/tau + b*y'},\n"
        "    intermediates={'u': 'tanh(y + s)'}, parameters=tuple(\n"
        "    derive.network.cell.ParameterDeclaration(n, -1.0) for n in ('a', 'b', 'tau')))\n"
        "for name in SCHEMES:\n"
        "    if name != 'exponential':\n"
        "        print(discretize(unit, 0.1, name).equations)\n"
        "print(state_space([[-1, 2], [-3, -1]], [0, 1], C=[1, 1], dt=0.1).equations)\n"
        "net = derive.Network(discretize(unit, 0.01), 2, 1, derive.connect.full(),\n"
        "    derive.SquaredError([0]))\n"
        "print(derive.continuous_adjoint(net))\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "42")
    }
    assert len(said) == 1 and "k4_v" in next(iter(said))
