"""Compiled kernels: schedules, batches, threads, the cache, and users' own cells."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import derive
from derive.build import cache as store
from tests.strategies import Data, adaptive, chained, data, gated, simulate

ROOT = Path(__file__).parents[1]
WZ3X5 = ROOT / "examples" / "wz3x5.toml"
EVERYTHING = ("theta", "x", "y0")


@functools.cache
def rich() -> derive.Network:
    """Mixed cells, two states in one, delays, shared weights, a self-loop, parameters."""
    cells = derive.cells
    return derive.Network(
        [cells.semilinear("logistic", bias=True), cells.leaky("tanh", tau=3.0), adaptive(),
         cells.semilinear("tanh")],
        4,
        2,
        [
            (0, 4), (0, 1, 2), (0, 0, 3), (1, 0), (1, 5, 2), (2, 1), (2, 3, 4), (3, 3),
            derive.Connection(3, 2, 1, weight="a"), derive.Connection(2, 2, 2, weight="a"),
            derive.Connection(1, 4, 1, weight="a"),
        ],
        derive.SquaredError([1, 2]),
        name="rich",
    )  # fmt: skip


@functools.cache
def kernel(
    dtype: str = "float64",
    batch: bool = False,
    schedule: str = "unrolled",
    profile: str = "reproducible",
) -> derive.Kernel:
    """A kernel of ``rich``, compiled once for all tests."""
    return derive.compile(rich(), dtype=dtype, batch=batch, schedule=schedule, profile=profile)


def at(dtype: str, values: Data) -> Data:
    """The data in another precision."""
    return Data(*(np.asarray(a, dtype=dtype) for a in values))


def one_of(values: Data, b: int) -> Data:
    """Sequence ``b`` of a batch."""
    return Data(values.theta, *(np.ascontiguousarray(a[..., b]) for a in values[1:]))


# --- what it computes -------------------------------------------------------------------------


def test_forward_equals_a_naive_simulation() -> None:
    values = data(rich(), T=9, seed=3)
    y, _ = simulate(rich(), values)
    got = kernel().forward(values.theta, values.x, values.y0)
    np.testing.assert_allclose(got, y, rtol=1e-13, atol=1e-14)


def test_gradient_j_equals_a_naive_simulation() -> None:
    values = data(rich(), T=9, seed=3)
    J, _ = kernel().gradient(*values)
    assert J == pytest.approx(simulate(rich(), values)[1], rel=1e-13)


def test_reproducible_kernels_of_two_schedules_agree_to_the_last_bit() -> None:
    straight, looped = kernel(schedule="unrolled"), kernel(schedule="tables")
    assert straight.schedule != looped.schedule and straight.source != looped.source
    for seed in range(5):
        values = data(rich(), T=20, seed=seed)
        a, b = (k.gradient(*values, wrt=EVERYTHING) for k in (straight, looped))
        assert a.J == b.J
        for name in EVERYTHING:
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
        theta, x, y0 = values.theta, values.x, values.y0
        assert np.array_equal(straight.forward(theta, x, y0), looped.forward(theta, x, y0))


def test_float32_kernel_is_float32_throughout_and_close_to_float64() -> None:
    values = data(rich(), T=12, seed=1)
    r = kernel("float32").gradient(*at("float32", values), wrt=EVERYTHING)
    exact = kernel().gradient(*values, wrt=EVERYTHING)
    for name in EVERYTHING:
        got, want = getattr(r, name), getattr(exact, name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())
        assert not np.array_equal(got, want)


@pytest.mark.parametrize("T", [1, 2, 3, 4])
def test_sequences_shorter_than_the_longest_delay_are_right(T: int) -> None:
    values = data(rich(), T=T, seed=2)
    y, J = simulate(rich(), values)
    theta, x, target, mask, y0 = values
    np.testing.assert_allclose(kernel().forward(theta, x, y0), y, rtol=1e-13, atol=1e-14)
    r = kernel().gradient(*values, wrt=EVERYTHING)
    assert r.J == pytest.approx(J, rel=1e-13)
    for i in range(theta.size):
        step = np.zeros(theta.size)
        step[i] = 1e-5
        up, down = (simulate(rich(), values._replace(theta=theta + s))[1] for s in (step, -step))
        assert r.theta[i] == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-8)


# --- batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("B", [1, 3, 8, 9, 17])
@pytest.mark.parametrize("schedule", ["unrolled", "tables"])
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-12), ("float32", 2e-5)])
def test_batch_equals_its_sequences_one_by_one(
    dtype: str, rtol: float, schedule: str, B: int
) -> None:
    values = at(dtype, data(rich(), T=6, batch=B, seed=B))
    theta, x, _, _, y0 = values
    batched = kernel(dtype, True, schedule, "local")
    y = batched.forward(theta, x, y0)
    r = batched.gradient(*values, wrt=EVERYTHING)
    singles = [kernel(dtype).gradient(*one_of(values, b), wrt=EVERYTHING) for b in range(B)]

    def close(got: Any, want: Any) -> None:
        scale = float(np.abs(want).max())
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * scale)

    assert y.dtype == r.theta.dtype == r.x.dtype == r.y0.dtype == np.dtype(dtype)
    close(r.J, sum(s.J for s in singles))
    close(r.theta, np.sum([s.theta for s in singles], axis=0, dtype=np.float64))
    for b, s in enumerate(singles):
        one = one_of(values, b)
        close(y[..., b], kernel(dtype).forward(one.theta, one.x, one.y0))
        close(r.x[..., b], s.x)
        close(r.y0[..., b], s.y0)
    J, g = batched.gradient(*values)
    close(J, r.J)
    close(g, r.theta)


@pytest.mark.parametrize("schedule", ["unrolled", "tables"])
def test_nan_in_one_sequence_stays_in_it(schedule: str) -> None:
    values = data(rich(), T=6, batch=9, seed=4)
    batched = kernel("float64", True, schedule, "local")
    clean = batched.gradient(*values, wrt=EVERYTHING)
    for sick in (0, 7, 8):
        x = values.x.copy()
        x[..., sick] = np.nan
        r = batched.gradient(*values._replace(x=x), wrt=EVERYTHING)
        others = [b for b in range(9) if b != sick]
        assert np.array_equal(r.x[..., others], clean.x[..., others])
        assert np.array_equal(r.y0[..., others], clean.y0[..., others])
        assert np.isnan(r.y0[..., sick]).any()
        assert np.isnan(r.J) and np.isnan(r.theta).any()


@pytest.mark.parametrize("B", [1, 3, 5, 9])
def test_padded_lanes_never_leak_where_zero_input_gives_nan(B: int) -> None:
    # s·log(s²) is NaN at s = 0, which is what lanes beyond the batch compute.
    net = derive.Network(
        derive.cells.semilinear("s*log(s**2)"), 1, 1, [(0, 0), (0, 1)], derive.SquaredError([0]),
        name="singular",
    )  # fmt: skip
    batched = derive.compile(net, batch=True)
    generator = np.random.default_rng(B)
    theta, x = np.array([0.3, 0.7]), generator.uniform(0.5, 1, size=(4, 1, B))
    target = generator.normal(size=(4, 1, B))
    y0 = generator.uniform(0.5, 1, size=(1, B))
    r = batched.gradient(theta, x, target, y0=y0, wrt=EVERYTHING)
    assert np.isfinite(r.J) and all(np.isfinite(getattr(r, name)).all() for name in EVERYTHING)
    J = sum(
        simulate(net, Data(theta, x[..., b], target[..., b], np.ones((4, 1)), y0[..., b]))[1]
        for b in range(B)
    )
    assert r.J == pytest.approx(J, rel=1e-12)


@pytest.mark.parametrize(("said", "width"), [(1, 4), (3, 4), (5, 8), (8, 8), (99, 16)])
def test_vectors_are_no_wider_than_a_said_number_of_sequences_needs(said: int, width: int) -> None:
    net = derive.Network(
        derive.cells.semilinear("tanh"), 12, 2, derive.connect.full(), derive.SquaredError([0]),
        name="narrow",
    )  # fmt: skip
    narrow = derive.compile(net, dtype="float32", batch=said)
    whole = derive.compile(net, dtype="float32", batch=True)
    defined = re.findall(r"#define LANES (\d+)", narrow.source)
    assert max(map(int, defined)) == width and "#define LANES 16" in whole.source
    assert set(re.findall(r"#define LANES (\d+)", whole.source)) == {"16", "8", "4"}
    generator = np.random.default_rng(said)
    theta = net.init(0).astype("float32")
    for B in (1, 5, 17):  # any other number of sequences still fits
        x = generator.normal(size=(40, 2, B)).astype("float32")
        target = generator.normal(size=(40, 1, B)).astype("float32")
        (J, G), (K, H) = (k.gradient(theta, x, target) for k in (narrow, whole))
        assert pytest.approx(K, rel=1e-5) == J
        np.testing.assert_allclose(G, H, rtol=1e-4, atol=1e-5 * np.abs(H).max())


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
def test_eight_threads_may_share_a_kernel(batch: bool) -> None:
    k = kernel("float64", True, "unrolled", "local") if batch else kernel()
    # Long enough that two calls are in the middle of it at once.
    jobs = [data(rich(), T=(200 if batch else 2000) + i, batch=9 if batch else 0, seed=i)
            for i in range(8)]  # fmt: skip
    alone = [k.gradient(*values, wrt=EVERYTHING) for values in jobs]
    begin = threading.Barrier(8)

    def work(i: int) -> list[Any]:
        begin.wait()
        return [k.gradient(*jobs[i], wrt=EVERYTHING) for _ in range(30)]

    with ThreadPoolExecutor(8) as pool:
        for i, results in enumerate(pool.map(work, range(8))):
            for r in results:
                assert r.J == alone[i].J
                assert all(
                    np.array_equal(getattr(r, name), getattr(alone[i], name)) for name in EVERYTHING
                )


@pytest.mark.parametrize("function", ["forward", "gradient"])
def test_other_threads_run_during_a_call(function: str) -> None:
    T = 400_000
    theta, x = rich().init(0), np.ones((T, 2))
    target = np.zeros((T, 2))
    args = (theta, x) if function == "forward" else (theta, x, target)
    call = getattr(kernel(), function)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    other = threading.Thread(target=tick)
    other.start()
    try:
        start = time.perf_counter()
        call(*args)
        end = time.perf_counter()
    finally:
        done.set()
        other.join()
    # The ends of a call check arguments with the GIL; its middle third is all computation.
    third = (end - start) / 3
    assert sum(start + third < t < end - third for t in ticks) >= 2


# --- users' own cells ---------------------------------------------------------------------------


def test_own_cells_with_states_intermediates_and_two_net_inputs_learn_exactly() -> None:
    C = derive.Connection
    net = derive.Network(
        [adaptive(), gated(), chained()],
        3,
        1,
        [(0, 1), (0, 3), C(1, 0, net_input="s"), C(1, 3, net_input="gate"),
         C(1, 2, 2, net_input="gate"), (2, 2), (2, 1, 3), (2, 3)],
        derive.Objective("-(d - y)**4/4", [0, 2]),
        name="owncells",
    )  # fmt: skip
    assert [name for _, name in net.states] == ["y", "v", "y", "h", "y"]
    k = derive.compile(net)
    values = data(net, T=6, seed=5)
    theta, x, target, mask, y0 = values
    y, J = simulate(net, values)
    np.testing.assert_allclose(k.forward(theta, x, y0), y, rtol=1e-13, atol=1e-14)
    r = k.gradient(*values, wrt=EVERYTHING)
    assert r.J == pytest.approx(J, rel=1e-13)
    # Outputs of the target units: unit 0 shows its first state, unit 2 its second.
    columns = [net.states.index((0, "y")), net.states.index((2, "y"))]

    def J_of(theta: Any, x: Any, y0: Any) -> float:
        d = target - k.forward(theta, x, y0)[1:, columns]
        return float(-(mask * d**4).sum() / 4)

    at = (theta, x, y0)
    for which, got in enumerate((r.theta, r.x, r.y0)):
        for place in np.ndindex(got.shape):
            up, down = [a.copy() for a in at], [a.copy() for a in at]
            up[which][place] += 1e-5
            down[which][place] -= 1e-5
            quotient = (J_of(*up) - J_of(*down)) / 2e-5
            assert got[place] == pytest.approx(quotient, rel=1e-6, abs=1e-8), (which, place)


# --- what one can look at -----------------------------------------------------------------------


def test_kernel_fresh_from_the_compiler_shows_every_stage() -> None:
    before = [e.digest for e in store.entries()]
    net = derive.Network(
        derive.cells.semilinear("tanh"), 1, 1, [(0, 0), (0, 1)], derive.SquaredError([0]),
        name="uncached",
    )  # fmt: skip
    k = derive.compile(net, cache=False)
    assert [e.digest for e in store.entries()] == before
    assert {"derive and emit", "cython", "cc"} <= set(k.timings)
    assert all(seconds >= 0 for seconds in k.timings.values())
    assert "uncached.c" in k.build_log
    assert k.compiled and k.path is not None and k.path.exists()
    assert k.forward([0.5, 1.0], [[1.0]]) == pytest.approx(np.array([[0.0], [np.tanh(1.0)]]))


def test_kernel_shows_its_program_source_and_derivation() -> None:
    k = derive.compile(derive.Network.load(WZ3X5))
    shown = str(k.program)
    assert "for t" in shown and "delta" in shown and "eps" in shown
    assert "cdef void gradient_core(" in k.source and k.source.startswith("# cython:")
    assert json.loads(k.module.RECORD)["digest"] == k.net.digest
    assert "δ" in str(k.derivation)
    assert set(k.programs) == {"forward", "gradient", "gradient_all"}
    assert "unrolled" in k.explain() and "15 connections" in k.explain()
    assert repr(k) == "Kernel('wz3x5', 'epochwise', float64, batch=False, unrolled)"
    assert "wz3x5.c" in k.build_log


def test_program_of_a_batch_kernel_has_its_lanes() -> None:
    assert kernel("float64", True, "unrolled", "local").program.lane_width > 1
    assert kernel().program.lane_width == 1


def test_emitted_module_opens_with_what_it_is() -> None:
    text = kernel().module.__doc__
    for words in (
        "rich: 4 units, 2 input lines, 11 connections",
        "epochwise",
        "J is maximised",
        "x (T, m=2)",
        "logistic",
    ):
        assert words in text


# --- the cache ----------------------------------------------------------------------------------

CACHED = """
import json, sys
import derive
kernel = derive.compile(derive.Network.load(sys.argv[1]))
J, g = kernel.gradient([0.1*i for i in range(15)], [[1.0, -1.0]]*4, [[0.5]]*4)
r = kernel.gradient([0.0]*15, [[1.0, -1.0]], [[0.5]], wrt=("x", "y0"))
print(json.dumps({"sympy": "sympy" in sys.modules, "J": J, "g": g.tolist(),
                  "timings": kernel.timings, "repr": repr(kernel), "why": kernel.explain()}))
"""


def test_cached_kernel_loads_without_importing_sympy() -> None:
    here = derive.compile(derive.Network.load(WZ3X5))
    ran = subprocess.run(
        [sys.executable, "-c", CACHED, str(WZ3X5)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    J, g = here.gradient([0.1 * i for i in range(15)], [[1.0, -1.0]] * 4, [[0.5]] * 4)
    assert not said["sympy"]
    assert (said["J"], said["g"]) == (J, g.tolist())
    assert said["timings"] == {}  # nothing was built
    assert (
        said["repr"] == repr(here)
        and said["why"].partition("forward, a step")[0]
        == here.explain().partition("forward, a step")[0]
    )


class Looked(Exception):
    """Carries the digest that was looked for."""


def digest_of(net: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    def lookup(digest: str) -> None:
        raise Looked(digest)

    with monkeypatch.context() as patch:
        patch.setattr(store, "lookup", lookup)
        with pytest.raises(Looked) as found:
            derive.compile(net, **options)
    return str(found.value)


def test_everything_that_shapes_a_kernel_gives_another_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = derive.Network.load(WZ3X5).to_spec()

    def changed(**sections: Any) -> dict[str, Any]:
        return {k: {**v, **sections[k]} if k in sections and isinstance(v, dict)
                else sections.get(k, v) for k, v in spec.items()}  # fmt: skip

    variations: list[tuple[Any, dict[str, Any]]] = [
        (spec, {}),
        (spec, {"dtype": "float32"}),
        (spec, {"batch": True}),
        (spec, {"schedule": "tables"}),
        (spec, {"profile": "portable"}),
        (spec, {"profile": "reproducible"}),
        (changed(name="other"), {}),
        (changed(objective={"targets": [1]}), {}),
        (changed(objective={"J": "-(d - y)**4"}), {}),
        (changed(cell={"activation": "logistic"}), {}),
        (changed(network={"connections": [[0, 1]]}), {}),
    ]
    found = [digest_of(net, monkeypatch, **options) for net, options in variations]
    assert len(set(found)) == len(found)
    assert digest_of(derive.Network.load(WZ3X5), monkeypatch, algorithm="epochwise") == found[0]


def test_second_compile_takes_the_first_ones_entry() -> None:
    net = derive.Network.load(WZ3X5)
    first = derive.compile(net)
    before = [e.digest for e in store.entries()]
    again = derive.compile(net)
    assert again.timings == {}
    assert again.digest == first.digest and again.path == first.path
    assert [e.digest for e in store.entries()] == before


# --- no compiler --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
def test_without_a_compiler_one_warning_and_the_same_numbers(
    batch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = kernel("float64", batch, "unrolled", "local" if batch else "reproducible")
    monkeypatch.setenv("DERIVE_NO_COMPILER", "1")
    with pytest.warns(UserWarning, match="no C compiler") as caught:
        slow = derive.compile(rich(), batch=batch)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert caught[0].filename == __file__
    assert not slow.compiled and slow.path is None
    assert "run on NumPy" in repr(slow)
    assert "cdef" in slow.source and str(slow.program)
    values = data(rich(), T=7, batch=3 if batch else 0, seed=6)
    a, b = (k.gradient(*values, wrt=EVERYTHING) for k in (compiled, slow))
    assert b.J == pytest.approx(a.J, rel=1e-12)
    for name in EVERYTHING:
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), rtol=1e-12, atol=1e-12)
    y = slow.forward(values.theta, values.x, values.y0)
    np.testing.assert_allclose(
        y, compiled.forward(values.theta, values.x, values.y0), rtol=1e-12, atol=1e-14
    )


def test_scratch_of_many_megabytes_holds_what_little_scratch_does() -> None:
    T = 60_000
    net = derive.Network(derive.cells.semilinear("tanh"), 8, 1, derive.connect.full(),
                         derive.SquaredError([7]), name="lasting")  # fmt: skip
    given = data(net, T)[:4]
    whole = derive.compile(net, profile="reproducible").gradient(*given)
    by_segments = derive.compile(net, memory="sqrt", profile="reproducible").gradient(*given)
    assert whole[0] == pytest.approx(by_segments[0], rel=1e-12)
    np.testing.assert_allclose(whole[1], by_segments[1], rtol=1e-9)


def test_scratch_that_is_kept_from_call_to_call_changes_nothing() -> None:
    net = derive.Network(derive.cells.semilinear("tanh"), 8, 1, derive.connect.full(),
                         derive.SquaredError([7]), name="kept")  # fmt: skip
    kernel = derive.compile(net, profile="reproducible")
    assert "__atomic_exchange_n(&k_kept" in kernel.source
    lengths = (3, 4_000, 50, 20_000, 1, 50, 4_000)  # within four megabytes and beyond
    given = {T: data(net, T)[:4] for T in set(lengths)}
    expected = {T: derive.compile(net, profile="reproducible", cache=False).gradient(*given[T])
                for T in given}  # fmt: skip

    def calls(first: int) -> list[bool]:
        order = lengths[first:] + lengths[:first]
        found = [(T, kernel.gradient(*given[T])) for T in order for _ in range(3)]
        return [f[0] == expected[T][0] and np.array_equal(f[1], expected[T][1]) for T, f in found]

    assert all(calls(0))
    with ThreadPoolExecutor(4) as several:
        assert all(all(same) for same in several.map(calls, range(len(lengths))))
