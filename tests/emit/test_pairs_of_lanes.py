"""Claims about blocks of two vectors: the same sums, for any number of sequences."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import derive
from derive import blocks
from derive.blocks import HEAVIEST, HEAVY, MANY, PAIRS, SHORT, SINGLE, WIDE, Block, block_for
from derive.build import toolchain
from derive.emit import frame, vectors_c
from derive.errors import RecordError
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.program.schedules.lanes import laid_out
from derive.verify.record import read_record
from tests.strategies import data, networks

ROOT = Path(__file__).parents[2]
EVERYTHING = ("theta", "x", "y0")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with the narrowest registers; its binaries run on every other."""
    monkeypatch.setattr(toolchain, "register_bytes", lambda: 16)


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with the widest registers, and every net is a large one for it."""
    monkeypatch.setattr(toolchain, "register_bytes", lambda: 64)
    monkeypatch.setattr(blocks, "HEAVY", 0)


@pytest.fixture(params=["narrow", "grouped"])
def processor(request: pytest.FixtureRequest) -> str:
    """Either of them, by its name."""
    request.getfixturevalue(request.param)
    return str(request.param)


def alone(net: Network, values: Any, dtype: str, **options: Any) -> Any:
    """The sum over the sequences of a batch, each computed by itself."""
    k = derive.compile(net, dtype=dtype, **options)
    theta, x, target, mask, y0 = values
    each = [
        k.gradient(theta, x[..., b], target[..., b], mask[..., b], y0[..., b], wrt=EVERYTHING)
        for b in range(x.shape[-1])
    ]
    return sum(r.J for r in each), *(
        sum(r.theta for r in each),
        np.stack([r.x for r in each], axis=-1),
        np.stack([r.y0 for r in each], axis=-1),
    )


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(networks(max_units=4), st.sampled_from(["unrolled", "tables"]), st.integers(0, 99))
def test_pairs_of_lanes_compute_what_single_sequences_do(
    narrow: None, net: Network, schedule: str, seed: int
) -> None:
    k = derive.compile(net, batch=True, schedule=schedule)
    block = k.module.BLOCK
    assert k.schedule == f"pairs of lanes, {schedule}" and block >= 4
    for B in (1, block // 2, block // 2 + 1, block, block + 1, 2 * block + 1):
        values = data(net, 40, B, seed)
        expected = alone(net, values, "float64", schedule=schedule)
        theta, x, target, mask, y0 = values
        found = k.gradient(theta, x, target, mask, y0, wrt=EVERYTHING)
        for got, right in zip((found.J, found.theta, found.x, found.y0), expected, strict=True):
            scale = np.abs(right).max(initial=1e-12)
            np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-11 * scale)
        y = k.forward(theta, x, y0)
        assert all(np.isfinite(y[..., b]).all() for b in range(B))


@pytest.mark.parametrize("options", [{"memory": 7}, {"accumulate": "float64"}])
@pytest.mark.parametrize("schedule", ["unrolled", "tables"])
def test_options_of_the_sweep_hold_for_pairs(
    narrow: None, schedule: str, options: dict[str, Any]
) -> None:
    net = derive.Network(
        derive.cells.leaky("tanh"), 9, 2, derive.connect.random(0.5, seed=1),
        derive.SquaredError([0, 8]), name="swept",
    )  # fmt: skip
    k = derive.compile(net, dtype="float32", batch=True, schedule=schedule, **options)
    values = [np.asarray(a, "float32") for a in data(net, 40, k.module.BLOCK + 3, 4)]
    found = k.gradient(*values, wrt=EVERYTHING)
    expected = alone(net, values, "float32", schedule=schedule, **options)
    for got, right in zip((found.J, found.theta, found.x, found.y0), expected, strict=True):
        scale = np.abs(right).max(initial=1e-6)
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_sequence_of_nan_spoils_no_other(processor: str, dtype: str) -> None:
    net = derive.Network(
        derive.cells.lstm(), 6, 2, derive.connect.random(0.5, seed=1), derive.SquaredError([0]),
        name="spoilt",
    )  # fmt: skip
    laid_out = {"narrow": {"batch": True}, "grouped": {"batch": 128, "schedule": "tables"}}
    k = derive.compile(net, dtype=dtype, **laid_out[processor])
    B = k.module.BLOCK + 3
    theta, x, target, mask, y0 = (np.asarray(a, dtype) for a in data(net, 30, B, 3))
    before = k.gradient(theta, x, target, mask, y0, wrt=("x", "y0"))
    x[4, 0, B // 2] = np.nan
    after = k.gradient(theta, x, target, mask, y0, wrt=("x", "y0"))
    others = np.arange(B) != B // 2
    assert np.isnan(after.x[..., ~others]).any()
    np.testing.assert_array_equal(after.x[..., others], before.x[..., others])
    np.testing.assert_array_equal(after.y0[..., others], before.y0[..., others])


@pytest.mark.parametrize("algorithm", ["rtrl", "hybrid", "truncated", "settling"])
def test_online_runs_keep_their_state_in_such_blocks(processor: str, algorithm: str) -> None:
    options = {"hybrid": {"h": 3}, "truncated": {"h": 4, "h_prime": 2}}.get(algorithm, {})
    net = derive.Network(
        derive.cells.semilinear("tanh"), 5, 2, derive.connect.random(0.4, seed=2),
        derive.SquaredError([0, 4]), name="blocks",
    )  # fmt: skip
    batch, words, more = {"narrow": (True, "pairs of lanes", 1), "grouped": (64, "2 groups of", 9)}[
        processor
    ]
    k = derive.compile(net, algorithm, batch=batch, **options)
    assert k.schedule.startswith(words)
    theta, x, target, mask, y0 = data(net, 12, k.module.BLOCK + more, 5)
    theta = theta / 4
    J, g = k.gradient(theta, x, target, mask, y0)
    one = derive.compile(net, algorithm, **options)
    each = [
        one.gradient(theta, x[..., b], target[..., b], mask[..., b], y0[..., b])
        for b in range(x.shape[-1])
    ]
    assert pytest.approx(sum(r[0] for r in each), rel=1e-6) == J
    np.testing.assert_allclose(g, sum(r[1] for r in each), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("register", "itemsize", "batch", "block"),
    [
        (64, 8, True, MANY), (64, 4, 8, MANY), (64, 8, False, MANY), (32, 4, False, SHORT),
        (32, 8, True, PAIRS),
        (16, 8, True, PAIRS), (32, 4, True, PAIRS), (32, 4, 8, SINGLE), (32, 8, 8, PAIRS),
        (16, 4, 3, SINGLE), (32, 8, 1, SINGLE), (32, 8, False, SINGLE),
    ],
)  # fmt: skip
def test_two_vectors_are_taken_where_there_are_sequences_for_them(
    register: int, itemsize: int, batch: bool | int, block: Block
) -> None:
    assert block_for(register, itemsize, batch) == block


@pytest.mark.parametrize(("itemsize", "sequences"), [(8, 16), (4, 32)])
def test_large_nets_have_groups_of_two_of_the_widest_vectors(itemsize: int, sequences: int) -> None:
    most = HEAVY // itemsize
    for batch, groups in ((True, 1), (2 * sequences, 1), (3 * sequences, 1), (4 * sequences, 2),
                          (8 * sequences, 4), (500 * sequences, 4)):  # fmt: skip
        assert block_for(64, itemsize, batch, most) == replace(WIDE, groups=groups)
        assert block_for(64, itemsize, batch, most - 1) == MANY
        assert block_for(32, itemsize, batch, most) == PAIRS
    for alone in (False, 1, 2 * sequences - 1):
        assert block_for(64, itemsize, alone, most) == MANY
    assert block_for(64, itemsize, sequences, HEAVIEST // itemsize) == WIDE
    assert block_for(64, itemsize, sequences - 1, HEAVIEST // itemsize) == MANY


@pytest.mark.parametrize(
    "cell, density, batch, groups, dtype",
    [
        ("lstm", 1, 64, 1, "float32"), ("lstm", 1, 64, 2, "float64"),
        ("leaky", 0.6, True, 1, "float64"), ("leaky", 0.6, 256, 4, "float32"),
    ],
)  # fmt: skip
def test_pairs_of_the_widest_vectors_are_the_same_gradient(
    monkeypatch: pytest.MonkeyPatch,
    cell: str,
    density: float,
    batch: bool | int,
    groups: int,
    dtype: str,
) -> None:
    monkeypatch.setattr(toolchain, "register_bytes", lambda: 64)
    monkeypatch.setattr(blocks, "HEAVY", 0)
    pattern = derive.connect.full() if density == 1 else derive.connect.random(density, seed=1)
    net = derive.Network(
        LIBRARY[cell](), 17, 2, pattern, derive.SquaredError([0, 16]), name="heavy"
    )
    k = derive.compile(net, dtype=dtype, batch=batch, schedule="tables")
    words = f"{groups} groups of " * (groups > 1)
    assert k.schedule == f"{words}pairs of lanes in 32 registers, tables"
    assert {p.schedule for p in k.programs.values()} == {k.schedule}
    block = k.module.BLOCK
    one = block // (2 * groups)
    sequences = (1, one, one + 1, block // 2 + 1, block, block + one + 1, 2 * block + 3)
    for B, T in ((B, T) for B in sequences for T in (5, 70)):
        values = [np.asarray(a, dtype) for a in data(net, T, B, 4)]
        found = k.gradient(*values, wrt=EVERYTHING)
        close = 1e-9 if dtype == "float64" else 1e-4
        for got, right in zip(found, alone(net, values, dtype), strict=True):
            scale = np.abs(right).max(initial=1e-6)
            np.testing.assert_allclose(got, right, rtol=close, atol=close * scale)
        shared = k.gradient(*values, wrt=EVERYTHING, threads=2)
        for got, again in zip(found, shared, strict=True):
            np.testing.assert_array_equal(got, again)


@pytest.mark.parametrize("register", [16, 64])
def test_sums_of_all_vectors_have_nothing_of_what_stands_beside_the_last_sequence(
    monkeypatch: pytest.MonkeyPatch, register: int
) -> None:
    monkeypatch.setattr(toolchain, "register_bytes", lambda: register)
    monkeypatch.setattr(blocks, "HEAVY", 0)
    s, y = derive.net_input("s"), derive.state("y")
    # NaN at s = 0, which is what is computed where there is no sequence.
    cell = derive.Cell(states={y: s * sympy.log(s**2)}, name="spoiling")
    net = derive.Network(
        cell, 9, 2, derive.connect.full(), derive.SquaredError([0, 8]), name="spoiling"
    )
    k = derive.compile(net, batch=True, schedule="tables")
    block = k.module.BLOCK
    for B in (1, block // 2 + 1, block, block + 1, 3 * block // 2 + 1):
        values = data(net, 2, B, 4)
        for got, right in zip(
            k.gradient(*values, wrt=EVERYTHING), alone(net, values, "float64"), strict=True
        ):
            assert np.isfinite(got).all()
            np.testing.assert_allclose(got, right, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [True, 2, 8])
def test_many_registers_hold_more_sums_of_the_same_kernel(
    monkeypatch: pytest.MonkeyPatch, dtype: str, batch: bool | int
) -> None:
    monkeypatch.setattr(toolchain, "register_bytes", lambda: 64)
    net = derive.Network(
        derive.cells.lstm(), 18, 2, derive.connect.full(), derive.SquaredError([0, 17]),
        name="many",
    )  # fmt: skip
    k = derive.compile(net, dtype=dtype, batch=batch)
    assert k.schedule == "lanes in 32 registers, tables"
    assert "k_total_of_rows(total_0_0" in k.source
    assert {p.schedule for p in k.programs.values()} == {k.schedule}
    values = [np.asarray(a, dtype) for a in data(net, 5, k.module.BLOCK + 3, 4)]
    found = k.gradient(*values, wrt=EVERYTHING)
    close = 1e-9 if dtype == "float64" else 1e-4
    for got, right in zip(found, alone(net, values, dtype), strict=True):
        scale = np.abs(right).max(initial=1e-6)
        np.testing.assert_allclose(got, right, rtol=close, atol=close * scale)


FLAGS = [(), ("-mavx",), ("-mavx512f",)]


@pytest.mark.parametrize("itemsize", [8, 4])
@pytest.mark.parametrize("width", [2, 4, 8, 16])
@pytest.mark.parametrize("vectors", [1, 2])
def test_totals_added_at_once_are_each_to_the_last_bit(
    tmp_path: Path, itemsize: int, width: int, vectors: int
) -> None:
    """For every number of sequences, on what this processor has."""
    tools = toolchain.find_toolchain()
    assert tools is not None
    real = "double" if itemsize == 8 else "float"
    text = frame.C_TYPES.substitute(real=real) + vectors_c.c_lanes(width, itemsize, vectors)
    (tmp_path / "totals.c").write_text(
        text + (ROOT / "tests" / "emit" / "totals.c").read_text(encoding="utf-8")
    )
    for flags in FLAGS:
        if flags and flags[0][2:] not in toolchain.cpu_features():
            continue
        command = [*tools.compiler, "-O2", "-w", *flags, "totals.c", "-o", "totals", "-lm"]
        command += [f"-DVECTORS={vectors}"]
        subprocess.run(command, cwd=tmp_path, check=True)
        ran = subprocess.run([tmp_path / "totals"], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0 and ran.stdout.strip() == "the same", ran.stdout


def test_a_text_of_pairs_is_known_by_its_record(narrow: None, tmp_path: Any) -> None:
    net = derive.Network(
        derive.cells.semilinear("tanh"), 3, 1, derive.connect.full(), derive.SquaredError([0]),
        name="paired",
    )  # fmt: skip
    for batch in (True, 12):
        k = derive.compile(net, batch=batch)
        path = tmp_path / "paired.pyx"
        path.write_text(k.source, encoding="utf-8")
        record = read_record(path)
        assert (record.block, record.batch) == (PAIRS, batch)
        assert record.schedule == laid_out(k.schedule)[0]
    path.write_text(k.source.replace("pairs of lanes, ", "triples of lanes, "), encoding="utf-8")
    with pytest.raises(RecordError, match="schedule"):
        read_record(path)


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(networks(max_units=4), st.sampled_from(["unrolled", "tables"]), st.integers(0, 99))
def test_groups_compute_what_single_sequences_do(
    grouped: None, net: Network, schedule: str, seed: int
) -> None:
    k = derive.compile(net, batch=64, schedule=schedule)
    assert k.schedule == f"2 groups of pairs of lanes in 32 registers, {schedule}"
    block = k.module.BLOCK
    for B in (1, block // 2, block // 2 + 1, block, block + 1):
        values = data(net, 37, B, seed)
        expected = alone(net, values, "float64", schedule=schedule)
        for got, right in zip(k.gradient(*values, wrt=EVERYTHING), expected, strict=True):
            scale = np.abs(right).max(initial=1e-12)
            np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-11 * scale)
        theta, x, target, _, y0 = values
        for got, right in zip(
            k.gradient(theta, x, target, None, y0),
            alone(net, (theta, x, target, np.ones_like(target), y0), "float64", schedule=schedule),
            strict=False,
        ):
            scale = np.abs(right).max(initial=1e-12)
            np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-11 * scale)
        assert np.isfinite(k.forward(theta, x, y0)).all()


@pytest.mark.parametrize(
    "cell, options",
    [("lstm", {"memory": 7}), ("leaky", {"memory": "sqrt"}), ("leaky", {"accumulate": "float64"})],
)
def test_options_of_the_sweep_hold_for_groups(
    grouped: None, cell: str, options: dict[str, Any]
) -> None:
    net = derive.Network(
        LIBRARY[cell](), 9, 2, derive.connect.full(), derive.SquaredError([0, 8]), name="swept"
    )
    k = derive.compile(net, dtype="float32", batch=128, schedule="tables", **options)
    values = [np.asarray(a, "float32") for a in data(net, 40, k.module.BLOCK + 19, 4)]
    found = k.gradient(*values, wrt=EVERYTHING)
    expected = alone(net, values, "float32", schedule="tables", **options)
    for got, right in zip(found, expected, strict=True):
        scale = np.abs(right).max(initial=1e-6)
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5 * scale)
