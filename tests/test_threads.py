"""Threads that share the work: the same bits for any number of them, from anywhere, refused or not.

Blocks must take long enough here for a helper to get one: a thread is there after 20 to 50 µs.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pickle
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.build.toolchain import find_toolchain
from derive.emit import frame, vectors_c
from derive.interpreted import Interpreted
from derive.network import connect
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import programs
from derive.program.passes import share_units
from derive.threads import VARIABLE, default_threads
from tests.strategies import Data, data, networks

ROOT = Path(__file__).parents[1]
WZ3X5 = ROOT / "examples" / "wz3x5.toml"
EVERYTHING = ("theta", "x", "y0")
NUMBERS_OF_THREADS = (2, 3, 7)
LANES = {"float64": 8, "float32": 16}


@functools.cache
def kernel(dtype: str = "float64", algorithm: str = "epochwise", **options: Any) -> derive.Kernel:
    return derive.compile(WZ3X5, algorithm, dtype=dtype, batch=True, **options)


def batch(net: Network, B: int, T: int = 300, dtype: str = "float64", seed: int = 0) -> Data:
    return Data(*(np.asarray(a, dtype=dtype) for a in data(net, T, B, seed)))


def same(a: Any, b: Any) -> bool:
    """Whether two results have the same bits."""
    a, b = (r if isinstance(r, tuple) else (r,) for r in (a, b))
    return [np.asarray(v).tobytes() for v in a] == [np.asarray(v).tobytes() for v in b]


# --- the same bits ----------------------------------------------------------------------------


@settings(max_examples=3, deadline=None)
@given(networks(max_units=4), st.sampled_from(["float64", "float32"]), st.integers(0, 99))
def test_results_have_the_same_bits_for_any_number_of_threads(
    net: Network, dtype: str, seed: int
) -> None:
    k, lanes = derive.compile(net, dtype=dtype, batch=True), LANES[dtype]
    for B in (1, lanes - 1, lanes, lanes + 1, 5 * lanes + 3):
        values = batch(net, B, 150, dtype, seed)
        theta, x, target, mask, y0 = values
        y = k.forward(theta, x, y0)
        for wrt in (None, "x", EVERYTHING):
            alone = k.gradient(*values, wrt=wrt, threads=1)
            for threads in NUMBERS_OF_THREADS:
                assert same(alone, k.gradient(*values, wrt=wrt, threads=threads))
        for threads in NUMBERS_OF_THREADS:
            out, g = np.full_like(y, 7), np.full_like(theta, 7)
            assert k.forward(theta, x, y0, out=out, threads=threads) is out and same(out, y)
            J, got = k.gradient(theta, x, target, mask, y0, out=g, threads=threads)
            assert got is g and same((J, g), k.gradient(*values))


@functools.cache
def several(cell: str, density: float, dtype: str) -> derive.Kernel:
    """A kernel that sums over steps, a stretch of them at a time."""
    pattern = connect.full() if density == 1 else connect.random(density, seed=1)
    net = Network(LIBRARY[cell](), 12, 3, pattern, SquaredError([11, 0]), name="several")
    return derive.compile(net, dtype=dtype, batch=True, schedule="tables")


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("cell, density", [("lstm", 1), ("semilinear", 1), ("leaky", 0.5)])
@pytest.mark.parametrize("T", [1, 32, 33, 64, 65, 130])
def test_one_thread_that_adds_block_upon_block_gives_the_same_bits(
    cell: str, density: float, dtype: str, T: int
) -> None:
    k = several(cell, density, dtype)
    assert "k_alone(crew) and (T + " in k.source
    theta, x, target, _, y0 = batch(k.net, 3 * LANES[dtype] + 5, T, dtype)
    for wrt in (None, EVERYTHING):
        found = [
            k.gradient(theta, x, target, y0=y0, wrt=wrt, threads=threads) for threads in (1, 2, 3)
        ]
        assert same(found[0], found[1]) and same(found[0], found[2])
    out = np.full_like(theta, np.nan)
    assert same(k.gradient(theta, x, target, y0=y0), k.gradient(theta, x, target, y0=y0, out=out))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("schedule, adds", [("unrolled", "k_sum"), ("tables", "k_add")])
def test_sums_in_which_the_order_shows_have_the_same_bits(
    schedule: str, adds: str, dtype: str
) -> None:
    """Whether a block's gradient is summed over its sequences by the core or afterwards."""
    # float32 sums over 40 blocks of numbers of all sizes: another order is another last bit.
    k = kernel(dtype, schedule=schedule)
    assert f"{adds}(given.p_grad_theta" in k.source
    values = batch(k.net, 40 * LANES[dtype] - 5, dtype=dtype)
    values.target[...] *= 10.0 ** (np.arange(values.x.shape[-1]) % 7 - 3)
    alone = k.gradient(*values, wrt=EVERYTHING)
    backwards = Data(values.theta, *(np.ascontiguousarray(a[..., ::-1]) for a in values[1:]))
    assert not same(alone.theta, k.gradient(*backwards)[1])
    for threads in NUMBERS_OF_THREADS * 5:
        assert same(alone, k.gradient(*values, wrt=EVERYTHING, threads=threads))


@pytest.mark.parametrize(
    "algorithm, options", [("rtrl", {}), ("hybrid", {"h": 4}), ("truncated", {"h": 6})]
)
def test_online_runs_have_the_same_bits(algorithm: str, options: dict[str, int]) -> None:
    k, B = kernel(algorithm=algorithm, **options), 43
    values = batch(k.net, B, 40)
    theta, x, target, mask, y0 = values
    runs = [k.start(theta, y0, threads=n) for n in (1, 2, 7)]
    for t in range(len(x)):
        first, *others = (run.step(x[t], target[t], mask[t]) for run in runs)
        for step in others:
            assert same(first.y, step.y) and first.J == step.J
            assert (first.gradient is None) == (step.gradient is None)
            assert first.gradient is None or same(first.gradient, step.gradient)
    alone = k.gradient(*values)
    assert all(same(alone, k.gradient(*values, threads=n)) for n in NUMBERS_OF_THREADS)


def test_a_batch_run_on_numpy_takes_the_argument_and_gives_the_same() -> None:
    net = derive.Network.load(WZ3X5)
    k = Interpreted(net, programs(net, {"name": "epochwise"}), "float64", True)
    values = batch(net, 5, 20)
    assert same(k.gradient(*values), k.gradient(*values, threads=7))
    assert same(k.forward(*values[:2]), k.forward(*values[:2], threads=7))


# --- together -----------------------------------------------------------------------------------

DIVIDED: dict[str, dict[str, Any]] = {
    "epochwise": {}, "rtrl": {}, "hybrid": {"h": 4}, "truncated": {"h": 6, "h_prime": 3},
}  # fmt: skip


@pytest.fixture
def always_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads divide small nets too, whether it pays or not."""
    monkeypatch.setattr(share_units, "WORK", 0)
    monkeypatch.setattr(share_units, "CALL", 0)
    monkeypatch.setattr(share_units, "MEETING", 0)
    monkeypatch.setattr(share_units, "ALONE", float("inf"))


def divided(cell: str, density: float, **options: Any) -> derive.Kernel:
    pattern = connect.full() if density == 1 else connect.random(density, seed=1)
    net = Network(LIBRARY[cell](), 37, 3, pattern, SquaredError([36, 0]), name="divided")
    k = derive.compile(net, schedule="tables", cache=False, **options)
    assert "k_meet(crew)" in k.source and k.module.SHARED
    return k


@pytest.mark.usefixtures("always_divided")
@pytest.mark.parametrize(
    "cell, density, dtype, algorithm",
    [
        ("semilinear", 1, "float64", "epochwise"), ("leaky", 0.4, "float32", "epochwise"),
        ("lstm", 1, "float64", "epochwise"), ("lstm", 1, "float32", "epochwise"),
        ("gru", 1, "float64", "epochwise"), ("ltc", 0.4, "float64", "epochwise"),
        ("semilinear", 1, "float64", "rtrl"), ("leaky", 0.4, "float32", "rtrl"),
        ("semilinear", 1, "float32", "hybrid"), ("leaky", 0.4, "float64", "truncated"),
    ],
)  # fmt: skip
def test_threads_that_divide_one_sequence_give_the_same_bits(
    cell: str, density: float, dtype: str, algorithm: str
) -> None:
    """Also where sums of products may be rounded in two ways, and compilers choose in each loop."""
    k = divided(cell, density, dtype=dtype, algorithm=algorithm, **DIVIDED[algorithm])
    theta, x, target, mask, y0 = batch(k.net, 1, 50, dtype)
    x, target, mask, y0 = (np.ascontiguousarray(a[..., 0]) for a in (x, target, mask, y0))
    wrts = (None, EVERYTHING) if algorithm == "epochwise" else (None,)
    y, alone = k.forward(theta, x, y0), [k.gradient(theta, x, target, mask, y0, w) for w in wrts]
    for threads in (*NUMBERS_OF_THREADS, 16, 99):
        assert same(y, k.forward(theta, x, y0, threads=threads))
        for wrt, one in zip(wrts, alone, strict=True):
            for _ in range(5):
                assert same(one, k.gradient(theta, x, target, mask, y0, wrt, threads=threads))
    if algorithm != "epochwise":
        runs = [k.start(theta, y0, threads=n) for n in (1, 2, 3)]
        for t in range(12):
            first, *others = (run.step(x[t], target[t], mask[t]) for run in runs)
            for step in others:
                assert same(first.y, step.y) and first.J == step.J
                assert first.gradient is None or same(first.gradient, step.gradient)


@pytest.mark.usefixtures("always_divided")
@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("cell, density", [("semilinear", 1), ("leaky", 0.4)])
@pytest.mark.parametrize("heavy", [False, True])
def test_threads_that_divide_blocks_of_a_batch_give_the_same_bits(
    cell: str, density: float, dtype: str, heavy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are fewer blocks than threads; of heavy nets, all blocks."""
    if heavy:
        monkeypatch.setattr("derive.blocks.HEAVY", 0)
    k = divided(cell, density, dtype=dtype, batch=True)
    lanes = k.module.BLOCK
    for B in (1, lanes - 1, lanes, 2 * lanes + 3):
        values = batch(k.net, B, 40, dtype)
        theta, x, target, mask, y0 = values
        y = k.forward(theta, x, y0)
        for wrt in (None, EVERYTHING):
            alone = k.gradient(*values, wrt=wrt)
            for threads in NUMBERS_OF_THREADS:
                assert same(alone, k.gradient(*values, wrt=wrt, threads=threads))
                assert same(y, k.forward(theta, x, y0, threads=threads))


@pytest.mark.usefixtures("always_divided")
def test_more_threads_than_processors_and_callers_at_once_still_meet() -> None:
    k = divided("semilinear", 1)
    theta, x, target, mask, y0 = batch(k.net, 1, 60)
    given = (theta, *(np.ascontiguousarray(a[..., 0]) for a in (x, target, mask, y0)))
    alone = k.gradient(*given)

    def repeated(threads: int) -> bool:
        return all(same(alone, k.gradient(*given, threads=threads)) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(repeated, [2, 3, 8, 16]))
    out = np.full_like(theta, np.nan)
    assert same(alone, k.gradient(*given, out=out, threads=16))


def test_large_nets_of_one_sequence_are_shared_without_being_asked_to() -> None:
    net = Network(LIBRARY["semilinear"](), 400, 3, connect.full(), SquaredError([399]), name="wide")
    k = derive.compile(net, dtype="float32")
    theta, x, target, mask, y0 = batch(net, 1, 80, "float32")
    given = (theta, *(np.ascontiguousarray(a[..., 0]) for a in (x, target, mask, y0)))
    alone = k.gradient(*given)
    others = own = 0.0
    for _ in range(300):
        everybody, caller = time.process_time(), time.thread_time()
        assert same(alone, k.gradient(*given, threads=2))
        mine = time.thread_time() - caller
        others, own = others + time.process_time() - everybody - mine, own + mine
        if others > own / 2:
            return
    pytest.fail(f"the caller was on a processor for {own:.3f} s, its helper for {others:.3f} s")


# --- who works --------------------------------------------------------------------------------


def test_helpers_take_part() -> None:
    """That any number gives the same bits says nothing of one thread that does it all."""
    values = batch(kernel().net, 128, 3000)
    others = own = 0.0
    for _ in range(300):
        everybody, caller = time.process_time(), time.thread_time()
        kernel().gradient(*values, threads=2)
        mine = time.thread_time() - caller
        others, own = others + time.process_time() - everybody - mine, own + mine
        if others > own / 5:
            return
    pytest.fail(f"the caller was on a processor for {own:.3f} s, its helpers for {others:.3f} s")


def test_many_python_threads_may_each_have_threads() -> None:
    k = kernel()
    problems = [batch(k.net, 30 + i, seed=i) for i in range(6)]
    alone = [k.gradient(*values, wrt=EVERYTHING) for values in problems]

    def repeated(i: int) -> bool:
        results = [k.gradient(*problems[i], wrt=EVERYTHING, threads=1 + i % 3) for _ in range(20)]
        return all(same(alone[i], r) for r in results)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(repeated, range(6)))


@contextmanager
def rounding_upward() -> Iterator[None]:
    mode = {"x86_64": 0x800, "aarch64": 0x400000, "arm64": 0x400000}[platform.machine()]
    libm = ctypes.CDLL(None)
    before = libm.fegetround()
    assert libm.fesetround(mode) == 0
    try:
        yield
    finally:
        libm.fesetround(before)


def test_helpers_round_as_their_caller_does() -> None:
    values = batch(kernel().net, 64)
    nearest = kernel().gradient(*values)
    with rounding_upward():
        alone = kernel().gradient(*values)
        shared = [kernel().gradient(*values, threads=n) for n in NUMBERS_OF_THREADS]
    assert not same(nearest, alone)
    assert all(same(alone, r) for r in shared)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_forks_after_a_shared_call_can_make_another() -> None:
    program = (
        "import os, sys\n"
        "from tests.test_threads import batch, kernel, same\n"
        "k, values = kernel(), batch(kernel().net, 64)\n"
        "before = k.gradient(*values, threads=3)\n"
        "child = os.fork()\n"
        "after = k.gradient(*values, threads=3)\n"
        "if not child:\n"
        "    os._exit(0 if same(before, after) else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not same(before, after))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=120)
    assert ran.returncode == 0


def test_calls_leave_no_thread_and_no_memory_behind() -> None:
    values, alive = batch(kernel().net, 64, 20), Path("/proc/self/task")
    before = set(alive.iterdir()) if alive.exists() else set()
    import resource

    kernel().gradient(*values, threads=7)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(500):
        kernel().gradient(*values, threads=7)
        with pytest.raises(ValueError, match="out"):
            kernel().gradient(*values, threads=7, out=np.zeros(3))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + 60_000  # kB; 500 are 300 MB
    for _ in range(200):  # one that came too late may still be on its way out
        left = set(alive.iterdir()) - before if alive.exists() else set()
        if not left:
            return
        time.sleep(0.05)
    pytest.fail(f"threads that did not end: {left}")


# --- the crew itself, in C --------------------------------------------------------------------


def test_blocks_are_added_in_order_and_who_works_together_waits_for_the_others(
    tmp_path: Path,
) -> None:
    """Also where the system gives no thread, or no memory to keep a crew in."""
    toolchain = find_toolchain()
    assert toolchain is not None
    text = frame.C_TYPES.substitute(real="double") + vectors_c.c_lanes(8, 8)
    head, _, crew = frame.C_THREADS.partition("/*")
    (tmp_path / "frame.h").write_text("/*" + crew)
    (tmp_path / "crew.c").write_text(
        text + head + (ROOT / "tests" / "emit" / "crew.c").read_text(encoding="utf-8")
    )
    command = [*toolchain.compiler, "-O1", "-w", "crew.c", "-o", "crew", "-pthread"]
    subprocess.run(command, cwd=tmp_path, check=True)
    ran = subprocess.run([tmp_path / "crew"], capture_output=True, text=True, timeout=60)
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0 and len(lines) == 21, ran.stdout
    in_order = " ".join(map(str, range(12)))
    for line in lines[:15]:
        assert line.endswith(f"threads: {in_order}"), line
    assert [line.rpartition("together: ")[2] for line in lines[15:]] == list("123411")


# --- how many ---------------------------------------------------------------------------------

BAD = [(0, ValueError), (-1, ValueError), (-(10**30), ValueError), (2.5, TypeError),
       (2.0, TypeError), ("two", TypeError), ("2", TypeError), (True, TypeError), ([2], TypeError),
       (np.ones(2, int), TypeError), (np.float64(2), TypeError)]  # fmt: skip


@pytest.mark.parametrize("threads, error", BAD)
def test_what_is_no_number_of_threads_is_refused_wherever_it_is_given(
    threads: Any, error: type[Exception]
) -> None:
    said = "threads: expected a whole number of at least 1, got "
    values, alone = batch(kernel().net, 3, 4), single()
    one = Data(values.theta, *(np.ascontiguousarray(a[..., 0]) for a in values[1:]))
    kept = values.theta.copy()
    for call in (
        lambda: kernel().gradient(*values, threads=threads, out=kept),
        lambda: kernel().forward(*values[:2], threads=threads),
        lambda: kernel().module.gradient(*values, threads=threads),
        lambda: alone.gradient(*one, threads=threads),
        lambda: alone.forward(*one[:2], threads=threads),
        lambda: kernel(algorithm="rtrl").start(values.theta, B=3, threads=threads),
        lambda: derive.compile(WZ3X5, batch=True, threads=threads),
    ):
        with pytest.raises(error) as raised:
            call()
        assert str(raised.value) == f"{said}{threads!r}"
    assert same(kept, values.theta)


@functools.cache
def single() -> derive.Kernel:
    return derive.compile(WZ3X5)


@pytest.mark.parametrize("threads", [1, 2, 10**30, np.int32(2), np.array(2), None])
def test_any_whole_number_is_taken_and_more_than_there_are_blocks_are_no_more(threads: Any) -> None:
    values = batch(kernel().net, 20, 10)
    assert same(kernel().gradient(*values), kernel().gradient(*values, threads=threads))
    one = Data(values.theta, *(np.ascontiguousarray(a[..., 0]) for a in values[1:]))
    assert same(single().gradient(*one), single().gradient(*one, threads=threads))


def test_a_settling_batch_takes_the_argument_and_relaxes_in_lockstep() -> None:
    net = derive.Network(
        derive.cells.semilinear("tanh"), 2, 1, [(0, 2), (1, 0)], derive.SquaredError([1]),
        name="settles",
    )  # fmt: skip
    k = derive.compile(net, "settling", batch=True, threads=2)
    values = batch(net, 10, 2)
    args = (values.theta, values.x, values.target)
    assert same(k.gradient(*args), k.gradient(*args, threads=3))
    with pytest.raises(ValueError, match="threads: expected a whole number of at least 1, got 0"):
        k.gradient(*args, threads=0)


def test_the_kernel_says_how_many_where_a_call_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert derive.compile(WZ3X5, batch=True).threads == 1
    k = derive.compile(WZ3X5, batch=True, threads=3)
    assert k.threads == 3 and k.path == kernel().path  # one binary serves any number
    assert pickle.loads(pickle.dumps(k)).threads == 3
    seen = []

    class Module:
        SHARED = True

        def gradient(self, *args: Any, **more: Any) -> None:
            seen.append(more)

    k.module = Module()
    values = batch(k.net, 3, 4)
    k.gradient(*values)
    k.gradient(*values, threads=2)
    assert seen == [{"threads": 3}, {"threads": 2}]


def test_the_environment_says_how_many_where_compile_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, " 4 ")
    assert derive.compile(WZ3X5, batch=True).threads == 4
    assert derive.compile(WZ3X5, batch=True, threads=2).threads == 2
    monkeypatch.setenv(VARIABLE, "")
    assert default_threads() == 1
    for bad in ("0", "-1", "2.5", "two", "²", "0x2", "1 2"):
        monkeypatch.setenv(VARIABLE, bad)
        with pytest.raises(derive.DeriveError) as raised:
            derive.compile(WZ3X5, batch=True)
        assert str(raised.value) == (
            f"{VARIABLE}: expected a whole number of at least 1, got {bad!r}"
        )


def test_an_online_run_keeps_its_number_when_copied_and_pickled() -> None:
    k = kernel(algorithm="rtrl")
    run = k.start(k.net.init(0), B=20, threads=2)
    for other in (run.copy(), pickle.loads(pickle.dumps(run))):
        assert other._sharing == {"threads": 2}
