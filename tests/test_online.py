"""Online runs of compiled kernels: what a step gives, how a run is kept, and what is refused."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import numpy as np
import pytest

import derive
from derive.program.algorithms import programs, settle
from tests.strategies import adaptive, data, gated

T = 12
ALGORITHMS: dict[str, dict[str, Any]] = {
    "realtime": {"capacity": 40},
    "rtrl": {},
    "truncated": {"h": 4},
    "chunks": {"h": 6, "h_prime": 3},
    "hybrid": {"h": 4},
    "forced": {"h": 3, "teacher_forcing": True},
}
NAMES = {"chunks": "truncated", "forced": "hybrid"}
WINDOW = {"chunks": 3, "hybrid": 4, "forced": 3}


@functools.cache
def rich() -> derive.Network:
    """Mixed cells, two states in one, delays, shared weights, a self-loop, parameters."""
    cells = derive.cells
    return derive.Network(
        [cells.semilinear("logistic", bias=True), cells.leaky("tanh", tau=3.0), adaptive(),
         gated()],
        4,
        2,
        [
            (0, 4), (0, 1, 2), (0, 0, 3), (1, 0), (1, 5, 2), (2, 1), (2, 3, 4),
            derive.Connection(3, 3, net_input="s"), derive.Connection(3, 4, 2, "gate"),
            derive.Connection(3, 2, 1, "s", weight="a"), derive.Connection(2, 2, 2, weight="a"),
            derive.Connection(1, 4, 1, weight="a"),
        ],
        derive.SquaredError([1, 2]),
        name="rich_online",
    )  # fmt: skip


@functools.cache
def kernel(which: str, batch: bool = False, schedule: str = "auto") -> derive.Kernel:
    name = NAMES.get(which, which)
    return derive.compile(rich(), name, batch=batch, schedule=schedule, **ALGORITHMS[which])


def close(a: Any, b: Any) -> bool:
    scale = 1 + float(np.abs(b).max(initial=0))
    return bool(np.allclose(a, b, rtol=1e-11, atol=1e-12 * scale))


# --- what a step gives -------------------------------------------------------------------------


@pytest.mark.parametrize("which", ALGORITHMS)
@pytest.mark.parametrize("schedule", ["unrolled", "tables"])
def test_steps_add_up_to_the_gradient_of_the_sequence(which: str, schedule: str) -> None:
    values = data(rich(), T, seed=5)
    k = kernel(which, schedule=schedule)
    wanted = k.gradient(values.theta, values.x, values.target, values.mask, values.y0)
    online = k.start(values.theta, values.y0)
    J, g = 0.0, np.zeros(rich().size)
    for t in range(T):
        step = online.step(values.x[t], values.target[t], values.mask[t])
        assert (step.gradient is not None) == ((t + 1) % WINDOW.get(which, 1) == 0)
        J += step.J
        g += 0 if step.gradient is None else step.gradient
    assert J == pytest.approx(wanted[0], rel=1e-12)
    assert close(g, wanted[1])


@pytest.mark.parametrize("which", ["realtime", "rtrl", "hybrid", "forced"])
def test_exact_ones_equal_the_epochwise_kernel(which: str) -> None:
    values = data(rich(), 11, seed=2)
    forced = ALGORITHMS[which].get("teacher_forcing", False)
    epochwise = derive.compile(rich(), "epochwise", teacher_forcing=forced)
    assert close(kernel(which).gradient(*values)[1], epochwise.gradient(*values)[1])


@pytest.mark.parametrize("which", ALGORITHMS)
@pytest.mark.parametrize("B", [1, 8, 11])
def test_a_batch_sums_what_its_sequences_give(which: str, B: int) -> None:
    values = data(rich(), T, batch=B, seed=3)
    batched = kernel(which, batch=True).start(values.theta, values.y0)
    singles = [
        kernel(which).start(values.theta, np.ascontiguousarray(values.y0[:, b])) for b in range(B)
    ]
    for t in range(T):
        step = batched.step(values.x[t], values.target[t], values.mask[t])
        alone = [
            s.step(
                *(np.ascontiguousarray(a[t, :, b]) for a in (values.x, values.target, values.mask))
            )
            for b, s in enumerate(singles)
        ]
        assert close(step.y, np.stack([s.y for s in alone], axis=-1))
        assert step.J == pytest.approx(sum(s.J for s in alone), rel=1e-11)
        if step.gradient is not None:
            assert close(step.gradient, sum(s.gradient for s in alone))


@pytest.mark.parametrize("which", ALGORITHMS)
def test_the_same_steps_without_a_compiler(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVE_NO_COMPILER", "1")
    values = data(rich(), T, seed=5)
    name = NAMES.get(which, which)
    with pytest.warns(UserWarning, match="no C compiler"):
        slow = derive.compile(rich(), name, **ALGORITHMS[which]).start(values.theta, values.y0)
    fast = kernel(which).start(values.theta, values.y0)
    for t in range(T):
        a, b = (o.step(values.x[t], values.target[t], values.mask[t]) for o in (slow, fast))
        assert close(a.y, b.y) and a.J == pytest.approx(b.J, rel=1e-11)
        assert (a.gradient is None) == (b.gradient is None)
        assert a.gradient is None or close(a.gradient, b.gradient)


def test_a_step_without_target_has_no_error() -> None:
    values = data(rich(), 3, seed=1)
    online = kernel("rtrl").start(values.theta)
    step = online.step(values.x[0])
    assert step.J == 0 and not step.gradient.any()


def test_nan_behind_the_mask_is_not_seen_and_nan_in_the_input_is() -> None:
    values = data(rich(), 3, seed=1)
    online = kernel("rtrl").start(values.theta)
    step = online.step(values.x[0], values.target[0] * np.nan, np.zeros(2))
    assert np.isfinite(step.gradient).all()
    assert np.isnan(online.step(values.x[1] * np.nan, values.target[1]).y).any()


# --- weights move between steps -----------------------------------------------------------------


def test_learning_climbs_j() -> None:
    net = derive.Network(
        derive.cells.semilinear("tanh"), 3, 1, derive.connect.full(), derive.SquaredError([2]),
        name="climber",
    )  # fmt: skip
    k = derive.compile(net, "rtrl")
    online = k.start(net.init(seed=0))
    x = np.sin(0.3 * np.arange(3000))[:, None]
    target = np.roll(x, -1)
    J = [online.step(x[t], target[t]).J for t in range(3000) if online.learn(0.05) is None or True]
    assert np.mean(J[-300:]) > 0.3 * np.mean(J[:300])


def test_learn_moves_theta_once_by_eta_times_the_gradient() -> None:
    values = data(rich(), 3, seed=1)
    online = kernel("rtrl").start(values.theta)
    assert online.learn(0.5) is None
    step = online.step(values.x[0], values.target[0])
    change = online.learn(0.5)
    assert np.array_equal(change, 0.5 * step.gradient)
    assert np.array_equal(online.theta, values.theta + change)
    assert online.learn(0.5) is None
    with pytest.raises(ValueError, match="eta: expected a finite number"):
        online.learn(float("nan"))


def test_theta_is_the_runs_own_and_live() -> None:
    values = data(rich(), 3, seed=1)
    online = kernel("rtrl").start(values.theta)
    mine = values.theta.copy()
    online.theta += 1.0
    assert np.array_equal(values.theta, mine), "the caller's array moved"
    assert np.array_equal(online.theta, mine + 1.0)
    online.theta[0] = 7.0
    other = kernel("rtrl").start(online.theta)
    a, b = (o.step(values.x[0], values.target[0]) for o in (online, other))
    assert np.array_equal(a.y, b.y)
    online.theta = mine
    assert np.array_equal(online.theta, mine)


# --- keeping a run ------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ALGORITHMS)
@pytest.mark.parametrize("B", [None, 3])
@pytest.mark.parametrize(
    "again",
    [lambda o: pickle.loads(pickle.dumps(o)), copy.copy, copy.deepcopy, lambda o: o.copy()],
    ids=["pickle", "copy", "deepcopy", "method"],
)
def test_a_kept_run_goes_on_bit_for_bit(which: str, B: int | None, again: Any) -> None:
    values = data(rich(), T, batch=B or 0, seed=7)
    online = kernel(which, batch=B is not None).start(values.theta, values.y0)
    for t in range(5):
        online.step(values.x[t], values.target[t], values.mask[t])
    kept, other = online.state, again(online)
    first = [online.step(values.x[t], values.target[t], values.mask[t]) for t in range(5, T)]
    online.state = pickle.loads(pickle.dumps(kept))
    for run in (other, online):
        assert run.t == 5
        for t, wanted in zip(range(5, T), first, strict=True):
            step = run.step(values.x[t], values.target[t], values.mask[t])
            assert np.array_equal(step.y, wanted.y) and step.J == wanted.J
            assert (
                np.array_equal(step.gradient, wanted.gradient) or step.gradient is wanted.gradient
            )


@pytest.mark.parametrize("which", ALGORITHMS)
def test_reset_forgets_everything_but_the_weights(which: str) -> None:
    values = data(rich(), T, seed=7)
    online = kernel(which).start(values.theta, values.y0)
    fresh = kernel(which).start(values.theta, values.y0)
    for t in range(7):
        online.step(10 * values.x[t], values.target[t])
    online.reset(values.y0)
    for t in range(T):
        a, b = (o.step(values.x[t], values.target[t], values.mask[t]) for o in (online, fresh))
        assert np.array_equal(a.y, b.y) and a.J == b.J
        assert np.array_equal(a.gradient, b.gradient) or a.gradient is b.gradient


def test_a_state_of_another_kernel_is_refused_and_nothing_is_lost() -> None:
    values = data(rich(), T, seed=7)
    online = kernel("rtrl").start(values.theta)
    online.step(values.x[0], values.target[0])
    before = online.state
    other = kernel("truncated").start(values.theta).state
    with pytest.raises(derive.StateError, match="belongs to another kernel or version"):
        online.state = other
    with pytest.raises(derive.StateError, match="expected one that online.state gave"):
        online.state = {"t": 3}
    assert np.array_equal(online.state.memory, before.memory) and online.t == 1
    two = kernel("rtrl", batch=True).start(values.theta, B=2)
    three = kernel("rtrl", batch=True).start(values.theta, B=3)
    with pytest.raises(derive.StateError, match="B = 3 sequences, this run has 2"):
        two.state = three.state


def test_a_state_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    online = kernel("rtrl").start(data(rich(), 1).theta)
    kept = online.state
    monkeypatch.setattr("derive.online.__version__", "0.0.0")
    with pytest.raises(derive.StateError, match="derive 0.0.0"):
        online.state = kept


def test_no_history_grows() -> None:
    """What a run remembers is of one size from beginning to end."""
    for which in ALGORITHMS:
        online = kernel(which).start(data(rich(), 1).theta)
        before = online.state.memory.size
        for _ in range(20):
            online.step(np.zeros(2))
        assert online.state.memory.size == before


# --- what is refused ------------------------------------------------------------------------------


BAD_STEPS: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("x missing", (None, np.zeros(2)), ValueError, r"x_t: expected \(m=2,\), got \(\)"),
    ("x long", (np.zeros(3), np.zeros(2)), ValueError, r"x_t: expected \(m=2,\), got \(3,\)"),
    ("x a row of rows", (np.zeros((1, 2)), np.zeros(2)), ValueError, r"x_t: expected \(m=2,\)"),
    ("x single", (np.zeros(2, "f4"), np.zeros(2)), TypeError, "x_t: expected float64, got float32"),
    ("target long", (np.zeros(2), np.zeros(3)), ValueError,
     r"target_t: expected \(n_T=2,\), got \(3,\)"),
    ("target words", (np.zeros(2), ["a", "b"]), TypeError, "target_t: expected an array of"),
    ("mask long", (np.zeros(2), np.zeros(2), np.zeros(1)), ValueError,
     r"mask_t: expected \(n_T=2,\), got \(1,\)"),
    ("mask alone", (np.zeros(2), None, np.zeros(2)), ValueError, "mask_t: given without target_t"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "arguments", "error", "message"), BAD_STEPS)
def test_a_refused_step_has_not_happened(
    case: str, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    values = data(rich(), T, seed=4)
    online, other = (kernel("hybrid").start(values.theta, values.y0) for _ in range(2))
    for t in range(T):
        with pytest.raises(error, match=message):
            online.step(*arguments)
        a, b = (o.step(values.x[t], values.target[t]) for o in (online, other))
        assert np.array_equal(a.y, b.y)
        assert np.array_equal(a.gradient, b.gradient) or a.gradient is b.gradient


def test_realtime_says_when_its_history_is_full() -> None:
    small = derive.compile(rich(), "realtime", capacity=3)
    online = small.start(data(rich(), 1).theta)
    for _ in range(3):
        online.step(np.zeros(2))
    with pytest.raises(derive.CapacityError, match="capacity=3 steps"):
        online.step(np.zeros(2))
    assert online.t == 3
    online.reset()
    online.step(np.zeros(2))


def test_starts_that_are_refused() -> None:
    theta = data(rich(), 1).theta
    k, batched = kernel("rtrl"), kernel("rtrl", batch=True)
    with pytest.raises(ValueError, match=rf"theta: expected \(P={rich().size},\), got \(3,\)"):
        k.start(np.zeros(3))
    with pytest.raises(TypeError, match="theta: expected float64, got float32"):
        k.start(theta.astype("f4"))
    with pytest.raises(ValueError, match=r"y0: expected \(N=5,\), got \(4,\)"):
        k.start(theta, np.zeros(4))
    with pytest.raises(TypeError, match="y0: expected float64"):
        k.start(theta, np.zeros(5, "f4"))
    with pytest.raises(ValueError, match="B: this kernel has no batch axis"):
        k.start(theta, B=3)
    with pytest.raises(ValueError, match="B: say how many sequences"):
        batched.start(theta)
    with pytest.raises(ValueError, match="B: expected a whole number of sequences"):
        batched.start(theta, B=0)
    online = batched.start(theta, B=3)
    with pytest.raises(ValueError, match=r"x_t: expected \(m=2, B=3\), got \(2, 4\)"):
        online.step(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="theta: expected"):
        online.theta = np.zeros(2)


def test_epochwise_has_no_steps() -> None:
    with pytest.raises(derive.DerivationError, match="'epochwise' has no online form"):
        derive.compile(rich()).start(data(rich(), 1).theta)


def test_gradients_by_x_and_y0_are_those_of_epochwise_only() -> None:
    values = data(rich(), 3)
    with pytest.raises(ValueError, match="wrt: algorithm rtrl gives the gradient by theta only"):
        kernel("rtrl").gradient(*values, wrt=("theta", "x"))


BAD_OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("truncated", {}, "algorithm 'truncated' needs h: steps back"),
    ("truncated", {"h": 0}, "h: expected 1 … 16777216 steps, got 0"),
    ("truncated", {"h": -3}, "h: expected 1 …"),
    ("truncated", {"h": 2.5}, "h: expected a whole number of steps, got 2.5"),
    ("truncated", {"h": True}, "h: expected a whole number of steps, got True"),
    ("truncated", {"h": 10**9}, "h: expected 1 … 16777216 steps"),
    ("truncated", {"h": 3, "h_prime": 4}, "h_prime: 4 is more than h = 3"),
    ("truncated", {"h": 3, "hprime": 2}, "takes no option 'hprime'; did you mean 'h_prime'"),
    ("hybrid", {"h": 0}, "h: expected 1 …"),
    ("hybrid", {"h": 4, "teacher_forcing": 1}, "teacher_forcing: expected True or False, got 1"),
    ("realtime", {"capacity": 0}, "capacity: expected 1 …"),
    ("rtrl", {"groups": 5}, "groups: expected 1 … 4 groups, got 5"),
    ("rtrl", {"groups": [[0, 1], [2]]}, "groups: unit 3 is in no group"),
    ("rtrl", {"groups": [[0, 1], [1, 2, 3]]}, r"groups\[1\]: unit 1 is there in group 0 too"),
    ("rtrl", {"groups": [[0, 0, 1], [2, 3]]}, r"groups\[0\]: unit 0 is there twice"),
    ("rtrl", {"groups": [[0, 1], [2, 9]]}, r"groups\[1\]: 9 is no unit; units are 0…3"),
    ("rtrl", {"groups": [[0, 3], [1, 2]]}, r"groups\[0\]: none of its units has a target"),
    ("rtrl", {"groups": [[], [0, 1, 2, 3]]}, r"groups\[0\]: expected a list of units"),
    ("rtrl", {"groups": "all"}, "groups: expected a number of groups or a list"),
    ("rtrl", {"h": 3}, "algorithm 'rtrl' takes no option 'h'"),
    ("rtlr", {}, "no 'rtlr' in this version; did you mean 'rtrl'"),
    ("settling", {"tol": -1}, "tol: expected a number that is not negative"),
    ("settling", {"tol": "x"}, "tol: expected a number, got 'x'"),
    ("settling", {"max_steps": 0}, "max_steps: expected 1 …"),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD_OPTIONS)
def test_options_that_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(derive.DerivationError, match=message):
        derive.compile(rich(), name, **options)


def test_an_option_left_at_its_default_makes_no_other_kernel() -> None:
    assert settle(rich(), "rtrl", {"groups": None}) == settle(rich(), "rtrl", {})
    assert settle(rich(), "truncated", {"h": 3, "h_prime": 1}) == settle(
        rich(), "truncated", {"h": np.int64(3)}
    )


def test_the_state_arrays_of_start_step_and_update_are_the_same() -> None:
    from derive.program.state import state_arrays

    for which, options in ALGORITHMS.items():
        found = programs(rich(), settle(rich(), NAMES.get(which, which), options))
        places = [
            state_arrays(found[name]) for name in ("start", "step", "update") if name in found
        ]
        assert all(p == places[0] for p in places)
