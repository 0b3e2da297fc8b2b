"""The public face: every name, shape, order and sign that a user is promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

import derive

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def net() -> derive.Network:
    return derive.Network.load(ROOT / "examples" / "wz3x5.toml")


@pytest.fixture(scope="module")
def kernel(net: derive.Network) -> derive.Kernel:
    return derive.compile(net, algorithm="epochwise", dtype="float64", batch=False)


@pytest.fixture(scope="module")
def own() -> derive.Network:
    """A cell of one's own, a time constant per unit, and a weight that two connections share."""
    y, s, tau = derive.state("y"), derive.net_input("s"), derive.parameter("tau", initial=5.0)
    leaky = derive.Cell(states={y: y + (sympy.tanh(s) - y) / tau})
    return derive.Network(
        cell=leaky,
        units=2,
        inputs=1,
        connections=[
            (1, 0),
            derive.Connection(1, 1, delay=1, net_input="s", weight="tied"),
            derive.Connection(0, 1, delay=2, weight="tied"),
            (0, 2, 3),
        ],
        objective=derive.Objective("-(d - y)**2/2", targets=[1]),
        parameters={"tau": [2.0, 4.0]},
        name="own",
    )


@pytest.fixture(scope="module")
def own_kernel(own: derive.Network) -> derive.Kernel:
    return derive.compile(own)


def calls(net: derive.Network, T: int = 7, seed: int = 0) -> tuple[Any, Any, Any]:
    """theta, x and target for a single sequence."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(T, net.inputs))
    target = generator.normal(size=(T, len(net.objective.targets)))
    return net.init(seed), x, target


def test_every_public_name_is_there() -> None:
    offered = {
        "Network",
        "Cell",
        "Connection",
        "Populations",
        "Objective",
        "SquaredError",
        "state",
        "net_input",
        "parameter",
        "compile",
        "differentiate",
        "verify",
        "cells",
        "connect",
        "Kernel",
    }
    assert offered <= set(derive.__all__)
    assert offered <= set(dir(derive))


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'derive' has no attribute 'compyle'"):
        derive.compyle  # noqa: B018


def test_network_built_in_python_equals_the_one_loaded(net: derive.Network) -> None:
    built = derive.Network(
        cell=derive.cells.semilinear("tanh"),
        units=3,
        inputs=2,
        connections=derive.connect.full(),
        objective=derive.SquaredError(targets=[2]),
        name="wz3x5",
    )
    assert built.digest == net.digest
    assert built.connections == net.connections


def test_network_loads_from_a_relative_path_and_from_a_dict(
    net: derive.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert derive.Network.load("examples/wz3x5.toml").digest == net.digest
    assert derive.Network.load(net.to_spec()).digest == net.digest


@pytest.mark.parametrize(
    "pattern, count",
    [
        (derive.connect.full(), 20),
        (derive.connect.ring(), None),
        (derive.connect.random(0.5, 1), None),
        (derive.connect.layers(2, 2), None),
        ([(2, 0), (2, 3, 4), derive.Connection(0, 4)], 3),
        ([], 0),
    ],
)
def test_connections_are_a_tuple_in_canonical_order(pattern: Any, count: int | None) -> None:
    objective = derive.SquaredError(targets=[0])
    net = derive.Network(derive.cells.semilinear("tanh"), 4, 1, pattern, objective)
    assert isinstance(net.connections, tuple)
    keys = [(c.target, c.net_input, c.source, c.delay) for c in net.connections]
    assert keys == sorted(keys)
    assert count is None or len(keys) == count


def test_shapes_are_time_major(net: derive.Network, kernel: derive.Kernel) -> None:
    theta, x, target = calls(net)
    assert kernel.forward(theta, x).shape == (8, 3)
    J, g = kernel.gradient(theta, x, target)
    assert isinstance(J, float)
    assert g.shape == theta.shape == (15,)
    r = kernel.gradient(theta, x, target, wrt=("theta", "x", "y0"))
    assert r._fields == ("J", "theta", "x", "y0")
    assert (r.theta.shape, r.x.shape, r.y0.shape) == ((15,), (7, 2), (3,))
    assert r.J == J and np.array_equal(r.theta, g)


def test_batch_sums_j_and_the_gradient_by_theta_over_the_last_axis(
    net: derive.Network, kernel: derive.Kernel
) -> None:
    batched = derive.compile(net, batch=True)
    theta, _, _ = calls(net)
    generator = np.random.default_rng(3)
    x, target = generator.normal(size=(4, 2, 5)), generator.normal(size=(4, 1, 5))
    y0 = generator.normal(size=(3, 5))
    assert batched.forward(theta, x, y0).shape == (5, 3, 5)
    r = batched.gradient(theta, x, target, y0=y0, wrt=("theta", "x", "y0"))
    assert (r.theta.shape, r.x.shape, r.y0.shape) == ((15,), (4, 2, 5), (3, 5))
    single = [kernel.gradient(theta, x[..., b], target[..., b], y0=y0[:, b]) for b in range(5)]
    assert r.J == pytest.approx(sum(J for J, _ in single), rel=1e-12)
    np.testing.assert_allclose(r.theta, sum(g for _, g in single), rtol=1e-10, atol=1e-12)


def test_wrt_names_what_is_returned_and_the_rest_is_none(
    net: derive.Network, kernel: derive.Kernel
) -> None:
    args = calls(net)
    everything = kernel.gradient(*args, wrt=("theta", "x", "y0"))
    for wrt in [("x",), ("y0", "theta"), "y0", ("theta",), ["x", "y0"]]:
        r = kernel.gradient(*args, wrt=wrt)
        wanted = (wrt,) if isinstance(wrt, str) else wrt
        for name in ("theta", "x", "y0"):
            if name in wanted:
                assert np.array_equal(getattr(r, name), getattr(everything, name))
            else:
                assert getattr(r, name) is None
        assert r.J == everything.J


def test_y_begins_with_y0_or_zero(net: derive.Network, kernel: derive.Kernel) -> None:
    theta, x, _ = calls(net)
    y0 = np.array([0.3, -0.2, 0.9])
    assert np.array_equal(kernel.forward(theta, x, y0)[0], y0)
    assert np.array_equal(kernel.forward(theta, x)[0], np.zeros(3))


def test_y_of_the_next_step_comes_from_this_steps_x_and_y(
    net: derive.Network, kernel: derive.Kernel
) -> None:
    theta, x, _ = calls(net)
    y = kernel.forward(theta, x)
    W = net.weight_matrix(theta)
    assert W.shape == (3, 5)
    for t in range(7):
        np.testing.assert_allclose(
            y[t + 1], np.tanh(W @ np.concatenate([y[t], x[t]])), rtol=1e-13, atol=1e-15
        )


def test_j_is_minus_half_the_squared_error_of_the_next_output(
    net: derive.Network, kernel: derive.Kernel
) -> None:
    theta, x, target = calls(net)
    y = kernel.forward(theta, x)
    J, _ = kernel.gradient(theta, x, target)
    assert J < 0
    assert J == pytest.approx(-0.5 * ((target[:, 0] - y[1:, 2]) ** 2).sum(), rel=1e-13)


def test_gradient_points_to_where_j_grows(net: derive.Network, kernel: derive.Kernel) -> None:
    theta, x, target = calls(net)
    J, g = kernel.gradient(theta, x, target)
    better, _ = kernel.gradient(theta + 1e-4 * g, x, target)
    assert better - J == pytest.approx(1e-4 * g @ g, rel=1e-2)


def test_theta_lists_weights_in_canonical_order(net: derive.Network) -> None:
    (weights,) = net.parameters
    assert (weights.name, weights.slice) == ("w", slice(0, 15))
    theta = np.arange(15.0)
    assert np.array_equal(net.weight_matrix(theta), theta.reshape(3, 5))
    assert net.states == ((0, "y"), (1, "y"), (2, "y"))


def test_theta_holds_one_entry_per_distinct_weight_then_parameters_unit_by_unit(
    own: derive.Network,
) -> None:
    # Canonical order: (0, s, 1, 2) tied, (0, s, 2, 3), (1, s, 0, 1), (1, s, 1, 1) tied.
    assert [(c.target, c.source, c.delay) for c in own.connections] == [
        (0, 1, 2), (0, 2, 3), (1, 0, 1), (1, 1, 1),
    ]  # fmt: skip
    assert [(p.name, p.start, p.stop, p.unit) for p in own.parameters] == [
        ("w", 0, 3, None), ("tau", 3, 4, 0), ("tau", 4, 5, 1),
    ]  # fmt: skip
    theta = own.init(seed=0)
    assert theta.shape == (5,) and np.array_equal(theta[3:], [2.0, 4.0])
    named = own.unpack(theta)
    assert set(named) == {"w", "tau"}
    assert np.array_equal(own.pack(named), theta)
    assert np.array_equal(own.init(seed=0), theta)
    assert not np.array_equal(own.init(seed=1)[:3], theta[:3])


def test_own_cell_with_shared_weights_delays_and_parameters_runs_as_stated(
    own: derive.Network, own_kernel: derive.Kernel
) -> None:
    theta, x, _ = calls(own)
    tied, fed, crossed, tau0, tau1 = theta
    y0 = np.array([0.4, -0.6])
    y = own_kernel.forward(theta, x, y0)

    def past(array: Any, t: int) -> Any:
        return array[t] if t >= 0 else np.zeros(array.shape[1])

    for t in range(7):
        # A connection of delay D adds w·x(t+1−D) to s(t+1); before time 0 there is zero.
        s0 = tied * past(y, t - 1)[1] + fed * past(x, t - 2)[0]
        s1 = crossed * y[t][0] + tied * y[t][1]
        after = [y[t][0] + (np.tanh(s0) - y[t][0]) / tau0, y[t][1] + (np.tanh(s1) - y[t][1]) / tau1]
        np.testing.assert_allclose(y[t + 1], after, rtol=1e-13, atol=1e-15)


def test_gradients_of_own_cell_equal_difference_quotients(
    own: derive.Network, own_kernel: derive.Kernel
) -> None:
    theta, x, target = calls(own)
    y0 = np.array([0.4, -0.6])
    r = own_kernel.gradient(theta, x, target, y0=y0, wrt=("theta", "x", "y0"))

    def J(theta: Any, x: Any, y0: Any) -> float:
        y = own_kernel.forward(theta, x, y0)
        return float(-0.5 * ((target[:, 0] - y[1:, 1]) ** 2).sum())

    at = (theta, x, y0)
    for which, got in enumerate((r.theta, r.x, r.y0)):
        for place in np.ndindex(got.shape):
            up, down = [a.copy() for a in at], [a.copy() for a in at]
            up[which][place] += 1e-5
            down[which][place] -= 1e-5
            quotient = (J(*up) - J(*down)) / 2e-5
            assert got[place] == pytest.approx(quotient, rel=1e-6, abs=1e-8), (which, place)


def test_differentiate_prints_equations_and_latex(net: derive.Network) -> None:
    d = derive.differentiate(net, algorithm="epochwise")
    assert "δ" in str(d) and "ε" in str(d)
    assert r"\delta" in d.latex() and r"\varepsilon" in d.latex()
    assert d._repr_latex_()
    assert len(d.equations) > 3


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(algorithm="epochwize"), "epochwise"),
        (dict(dtype="float16"), "dtype: expected float64 or float32, got 'float16'"),
        (dict(batch=0), "batch: expected True, False or a number of sequences, got 0"),
        (dict(batch=2.0), "batch: expected True, False or a number of sequences, got 2.0"),
        (dict(schedule="fast"), "schedule: expected one of auto, unrolled, tables, got 'fast'"),
        (dict(profile="quick"), "quick"),
        (dict(h=3), "h"),
    ],
)
def test_bad_argument_of_compile_is_one_error_that_names_it(
    net: derive.Network, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(derive.DeriveError) as raised:
        derive.compile(net, **arguments)
    assert words in str(raised.value)


def test_compile_takes_a_path_or_a_dict_as_well(net: derive.Network, kernel: derive.Kernel) -> None:
    args = calls(net)
    for stated in (str(ROOT / "examples" / "wz3x5.toml"), net.to_spec()):
        assert derive.compile(stated).gradient(*args)[0] == kernel.gradient(*args)[0]


def test_what_is_no_network_is_refused_by_name() -> None:
    with pytest.raises(derive.DeriveError, match="net: expected a Network"):
        derive.compile(3)
