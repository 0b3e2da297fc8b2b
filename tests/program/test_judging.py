"""What Programs make of an objective's terms, on the network itself and in compiled kernels."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import derive
from derive.errors import DerivationError
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.objectives import (
    AbsoluteError,
    Activity,
    Huber,
    LogisticCrossEntropy,
    SoftmaxCrossEntropy,
    WeightDecay,
)
from derive.program.algorithms import programs, settle
from derive.verify.kernels import on_numpy
from tests.strategies import data, simulate

TANH = derive.cells.semilinear("tanh", bias=True)


def net_of(objective: Objective, cell: Any = TANH, connections: Any = None) -> Network:
    wiring = derive.connect.full() if connections is None else connections
    return Network(cell, 3, 2, wiring, objective, name="net")


def kernel_of(net: Network, algorithm: str = "epochwise", **options: Any) -> Any:
    settled = settle(net, algorithm, options)
    return on_numpy(net, programs(net, settled), settled, "float64")


def complex_steps(net: Network, values: Any) -> Any:
    """∂J^total/∂theta of the simulation."""
    found = np.zeros(net.size)
    for i in range(net.size):
        theta = values.theta.astype(complex)
        theta[i] += 1e-30j
        found[i] = np.imag(simulate(net, values._replace(theta=theta))[1]) / 1e-30
    return found


SMOOTH = {
    "softmax": SoftmaxCrossEntropy([2, 0]),
    "two groups and a square": SoftmaxCrossEntropy([2, 0])
    + SoftmaxCrossEntropy([1])
    + SquaredError([0], 0.5),
    "logistic": LogisticCrossEntropy([1, 2]),
    "activity": SquaredError([2]) + Activity("-lam*y**2/2", [0, 2], {"lam": [0.1, 0.2]}),
    "decay": SquaredError([2]) + WeightDecay(0.3, ["w", "b"]),
}
ALGORITHMS = [
    ("epochwise", {}), ("realtime", {"capacity": 9}), ("rtrl", {}), ("hybrid", {"h": 3}),
    ("truncated", {"h": 9, "h_prime": 4}),
]  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(("algorithm", "options"), ALGORITHMS)
def test_every_exact_gradient_is_a_complex_step_of_the_simulation(
    name: str, algorithm: str, options: dict[str, Any]
) -> None:
    net = net_of(SMOOTH[name])
    values = data(net, 7, seed=1)
    J, gradient = kernel_of(net, algorithm, **options).gradient(*values)
    assert J == pytest.approx(simulate(net, values)[1], rel=1e-12)
    assert gradient == pytest.approx(complex_steps(net, values), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("objective", [Huber([0, 2], [0.5, 1.0]), AbsoluteError([1])])
def test_where_there_is_a_corner_the_gradient_is_a_difference_of_the_simulation(
    objective: Objective,
) -> None:
    net = net_of(objective)
    values = data(net, 5, seed=2)
    _, gradient = kernel_of(net).gradient(*values)
    for i in range(net.size):
        e = np.eye(net.size)[i] * 1e-6
        up, down = (simulate(net, values._replace(theta=values.theta + s * e))[1] for s in (1, -1))
        assert gradient[i] == pytest.approx((up - down) / 2e-6, abs=1e-7)


# --- conventions at corners -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "distance", "error"),
    [(AbsoluteError([0]), 0.0, 0.0), (AbsoluteError([0]), 0.25, 1.0), (Huber([0], 0.5), 0.5, 0.5),
     (Huber([0], 0.5), 0.75, 0.5), (Huber([0], 0.5), -0.75, -0.5), (Huber([0], 0.5), 0.25, 0.25)],
)  # fmt: skip
def test_the_error_at_a_corner_is_by_convention(
    objective: Objective, distance: float, error: float
) -> None:
    net = Network(derive.cells.semilinear("identity", bias=True), 1, 0, [], objective, name="one")
    _, gradient = kernel_of(net).gradient(np.array([0.125]), np.zeros((1, 0)), [[0.125 + distance]])
    assert gradient == pytest.approx([error])


# --- what is pooled -------------------------------------------------------------------------------


def outputs_of(y: Any, objective: Objective) -> Any:
    """A kernel of units whose outputs are given numbers, by their biases."""
    cell = derive.cells.semilinear("identity", bias=True)
    net = Network(cell, len(y), 0, [], objective, name="given")
    return kernel_of(net), np.array(y, dtype=float)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("at", [0.0, 1e4, -1e4])
def test_softmax_overflows_for_no_output(scale: float, at: float) -> None:
    y = np.clip(np.array([1.0, -0.5, 0.25]) * scale + at, -1e4, 1e4)
    kernel, theta = outputs_of(y, SoftmaxCrossEntropy([0, 1, 2]))
    target = np.array([[0.2, 0.3, 0.5]])
    J, gradient = kernel.gradient(theta, np.zeros((1, 0)), target)
    with mpmath.workdps(60):
        exps = [mpmath.exp(mpmath.mpf(v)) for v in y]
        total = sum(exps)
        wanted = sum(t * mpmath.log(e / total) for t, e in zip(target[0], exps, strict=True))
        slopes = [float(t - e / total) for t, e in zip(target[0], exps, strict=True)]
    assert J == pytest.approx(float(wanted), rel=1e-12, abs=1e-12)
    assert gradient == pytest.approx(slopes, abs=1e-12)


def test_the_pool_is_over_all_units_and_the_mask_says_whose_terms_count() -> None:
    y = np.array([0.5, -1.0, 2.0])
    kernel, theta = outputs_of(y, SoftmaxCrossEntropy([2, 0, 1]))
    target = np.array([[np.nan, 1.0, np.nan]])  # columns are units 2, 0, 1
    J, gradient = kernel.gradient(theta, np.zeros((1, 0)), target, np.array([[0.0, 0.5, 0.0]]))
    p = np.exp(y) / np.exp(y).sum()
    assert J == pytest.approx(0.5 * np.log(p[0]))
    assert gradient == pytest.approx(0.5 * (np.array([1.0, 0, 0]) - p))


def test_a_target_that_is_missing_does_not_leak_under_forcing() -> None:
    net = net_of(SoftmaxCrossEntropy([2, 0]) + SquaredError([2]) + WeightDecay(0.5))
    values = data(net, 6, seed=4)
    hidden = values._replace(target=np.where(values.mask == 0, np.nan, values.target))
    for algorithm, options in ALGORITHMS:
        kernel = kernel_of(net, algorithm, teacher_forcing=True, **options)
        for a, b in zip(kernel.gradient(*values), kernel.gradient(*hidden), strict=True):
            assert np.array_equal(a, b) and np.isfinite(a).all()


# --- how often what J says of parameters counts ---------------------------------------------------


@pytest.mark.parametrize(("algorithm", "options"), ALGORITHMS)
@pytest.mark.parametrize("batch", [0, 3])
def test_decay_counts_once_a_step_and_once_a_sequence(
    algorithm: str, options: dict[str, Any], batch: int
) -> None:
    lam, T = 0.25, 7
    judged = SquaredError([2]) + Activity("-y**2/4")
    bare, decayed = net_of(judged), net_of(judged + WeightDecay(lam, ["w", "b"]))
    found = []
    for net in (bare, decayed):
        if batch:
            kernel = derive.compile(net, algorithm, batch=True, **options)
        else:
            kernel = kernel_of(net, algorithm, **options)
        found.append(kernel.gradient(*data(net, T, batch, seed=5)))
    theta = data(bare, T, batch, seed=5).theta
    count = T * max(batch, 1)
    assert found[1][0] - found[0][0] == pytest.approx(-count * lam / 2 * theta @ theta)
    assert found[1][1] - found[0][1] == pytest.approx(-count * lam * theta)


def test_decay_counts_once_a_pattern_where_a_net_settles() -> None:
    cell = derive.cells.semilinear("tanh", bias=True)
    values = None
    found = []
    for objective in (SquaredError([2]), SquaredError([2]) + WeightDecay(0.5)):
        net = net_of(objective, cell)
        values = data(net, 2, seed=6)
        kernel = derive.compile(net, "settling")
        found.append(kernel.gradient(0.3 * values.theta, values.x, values.target, values.mask))
    w = np.where(np.arange(net.size) < net.wiring.weights, 0.3 * values.theta, 0)
    assert found[1][0] - found[0][0] == pytest.approx(-2 * 0.25 * w @ w)
    assert found[1][1] - found[0][1] == pytest.approx(-2 * 0.5 * w)


def test_parameters_that_lead_to_no_target_decay_all_the_same() -> None:
    lonely = [(0, 0), (1, 1), (0, 3)]
    net = net_of(SquaredError([0]) + WeightDecay(0.5, ["w", "b"]), connections=lonely)
    values = data(net, 4, seed=7)
    wanted = kernel_of(net).gradient(*values)[1]
    for algorithm, options in ALGORITHMS:
        assert kernel_of(net, algorithm, **options).gradient(*values)[1] == pytest.approx(wanted)


def test_a_window_counts_the_steps_whose_errors_it_counts() -> None:
    net = net_of(SquaredError([2]) + WeightDecay(0.5))
    plain = net_of(SquaredError([2]))
    values = data(net, 7, seed=8)
    steps = {}
    for of in (net, plain):
        online = derive.compile(of, "truncated", h=4, h_prime=3).start(values.theta, values.y0)
        given = zip(values.x, values.target, values.mask, strict=True)
        steps[of] = [online.step(*row).gradient for row in given]
    w = np.where(np.arange(net.size) < net.wiring.weights, values.theta, 0)
    for a, b in zip(steps[net], steps[plain], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a - b == pytest.approx(-3 * 0.5 * w)


# --- targets at the end of a sequence -------------------------------------------------------------


@pytest.mark.parametrize("make", [derive.compile, kernel_of])
@pytest.mark.parametrize("batch", [0, 2])
def test_without_a_mask_targets_are_where_the_objective_says(make: Any, batch: int) -> None:
    if make is kernel_of and batch:
        return
    net = net_of(SquaredError([1, 0], at="end") + LogisticCrossEntropy([2]))
    values = data(net, 5, batch, seed=9)
    options = {"batch": True} if batch else {}
    kernel = make(net, "epochwise", **options)
    assumed = kernel.gradient(values.theta, values.x, values.target, None, values.y0)
    mask = np.ones_like(values.target)
    mask[:-1, :2] = 0
    given = kernel.gradient(values.theta, values.x, values.target, mask, values.y0)
    assert assumed[0] == given[0] and np.array_equal(assumed[1], given[1])
    everywhere = kernel.gradient(
        values.theta, values.x, values.target, np.ones_like(mask), values.y0
    )
    assert everywhere[0] != given[0]


def test_an_online_step_without_a_mask_has_no_target_that_is_at_the_end() -> None:
    net = net_of(SquaredError([1], at="end") + SquaredError([2]))
    values = data(net, 1, seed=10)
    for kernel in (derive.compile(net, "rtrl"), kernel_of(net, "rtrl")):
        steps = [
            kernel.start(values.theta, values.y0).step(values.x[0], values.target[0], mask)
            for mask in (None, np.array([0.0, 1.0]), np.ones(2))
        ]
        assert steps[0].J == steps[1].J != steps[2].J


def test_a_net_that_settles_has_no_end() -> None:
    with pytest.raises(DerivationError, match="'settling' takes each row as a pattern"):
        derive.compile(net_of(SquaredError([1], at="end")), "settling")


# --- compiled -------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["unrolled", "tables"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_kernels_compute_what_their_programs_say(schedule: str, dtype: str) -> None:
    objective = (SoftmaxCrossEntropy([2, 0]) + SoftmaxCrossEntropy([1]) + Huber([0], 0.5)
                 + Activity("-lam*abs(y)", constants={"lam": [0.1, 0.2, 0.3]})
                 + WeightDecay(0.25))  # fmt: skip
    net = net_of(objective)
    values = data(net, 6, 3, seed=11)
    kernel = derive.compile(net, "epochwise", dtype=dtype, batch=True, schedule=schedule)
    cast = [v.astype(dtype) for v in values]
    J, gradient = kernel.gradient(*cast)
    alone = [kernel_of(net).gradient(values.theta, *(v[..., b] for v in values[1:]))
             for b in range(3)]  # fmt: skip
    near = 1e-12 if dtype == "float64" else 2e-5
    assert J == pytest.approx(sum(one[0] for one in alone), rel=near)
    assert gradient == pytest.approx(sum(one[1] for one in alone), rel=near, abs=near)
