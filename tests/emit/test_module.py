"""Claims about an emitted module: the same bytes every time, no name collides, it stays small."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings

import derive
from derive import kernel as made
from derive.kernel import emit
from derive.network import connect
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.topology import Connection
from derive.program.algorithms import settle
from derive.program.interpret import numpy_arithmetic, run
from derive.program.ir import Assign, references, walk
from tests.strategies import adaptive, as_inputs, chained, data, gated, networks, simulate

ROOT = Path(__file__).parents[2]
EPOCHWISE = {"name": "epochwise"}


def varied() -> Network:
    """Most of what a network can have, in five units."""
    cells = [gated(), adaptive(), chained(), leaky("max(s, s/10)", trainable=False), gated()]
    connections = [
        Connection(0, 5, 1, "s"), Connection(0, 1, 2, "gate", "a"), Connection(1, 1, 3),
        Connection(1, 6, weight="a"), Connection(2, 0), Connection(2, 3, 2), Connection(3, 2),
        Connection(3, 6, 4), Connection(4, 2, 1, "s"), Connection(4, 0, 2, "gate"),
    ]  # fmt: skip
    objective = Objective("-log(cosh(d - y))", [4, 1])
    values = {"tau": [1, 1, 1, 3.5, 1], "b": [0, 0.3, 0, 0, 0]}
    return Network(cells, 5, 2, connections, objective, name="varied", parameters=values)


def large(connections: int) -> Network:
    """A random net with about that many connections."""
    n = connections // 10
    pattern = connect.random(10 / (n + 2), 1)
    return Network(semilinear("tanh"), n, 2, pattern, SquaredError([n - 1, 0, 3]), name="large")


# --- determinism ---------------------------------------------------------------------------------


def test_emission_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    program = (
        "import sys\n"
        "from derive.kernel import emit\n"
        "from tests.emit.test_module import EPOCHWISE, large, varied\n"
        "for net in (varied(), large(500)):\n"
        "    for batch in (False, True):\n"
        "        for schedule in ('unrolled', 'tables'):\n"
        "            text = emit(net, EPOCHWISE, 'float32', batch, schedule).text\n"
        "            sys.stdout.buffer.write(text.encode())\n"
    )
    texts = []
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for seed in ("0", "1", "4242")
    ]
    for process in running:
        out, error = process.communicate()
        assert process.returncode == 0, error.decode()
        texts.append(out)
    assert len(texts[0]) > 10_000
    assert texts[0] == texts[1] == texts[2]


@settings(max_examples=15)
@given(networks())
def test_a_network_and_its_reloaded_spec_emit_the_same_text(net: Network) -> None:
    again = Network.load(net.to_spec())
    assert emit(again, EPOCHWISE).text == emit(net, EPOCHWISE).text


def test_no_path_time_or_host_is_in_the_text() -> None:
    import socket

    text = emit(varied(), EPOCHWISE).text
    assert str(ROOT) not in text and socket.gethostname() not in text
    assert not re.search(r"\b20[2-9]\d-\d\d", text)


# --- size ----------------------------------------------------------------------------------------


def split(text: str) -> tuple[str, str]:
    """A module without its static tables, and the tables."""
    table = re.compile(r"static const \w+ table_\w+\[\] = \{[^}]*\};")
    return table.sub("", text), "".join(table.findall(text))


@pytest.mark.parametrize("batch", [False, True])
def test_only_tables_grow_with_the_net(batch: bool) -> None:
    # From where on threads may do it together, and loops that are alike are functions.
    sizes = [80_000, 96_000, 112_000]
    parts = [split(emit(large(size), EPOCHWISE, batch=batch).text) for size in sizes]
    frames = [re.sub('"digest": "[0-9a-f]+"', "", frame) for frame, _ in parts]
    # Only the digits of the bounds get longer.
    assert len({re.sub(r"\d+", "#", frame) for frame in frames}) == 1
    entries = [tables.count(",") for _, tables in parts]
    for size, count in zip(sizes, entries, strict=True):
        assert 2 * size < count < 6 * size


def test_dense_nets_need_no_tables_at_all() -> None:
    net = Network(semilinear("tanh"), 60, 5, connect.full(), SquaredError([0]), name="dense")
    assert split(emit(net, EPOCHWISE).text)[1] == ""


def test_gathered_sums_are_kept_from_being_gathered_in_vectors() -> None:
    """For one sequence, where a table says what is added; of full nets nothing is looked up."""
    objective = SquaredError([0])
    sparse = Network(semilinear("tanh"), 90, 5, connect.random(0.1, seed=0), objective, name="s")
    full = Network(semilinear("tanh"), 60, 5, connect.full(), objective, name="f")
    calls = [
        emit(net, EPOCHWISE, batch=batch).text.count("    k_one_by_one(")
        for net, batch in ((sparse, False), (sparse, True), (full, False))
    ]
    assert calls[0] > 0 and calls[1:] == [0, 0]
    text = emit(sparse, EPOCHWISE).text
    assert "k_one_by_one(sum" in text and "k_one_by_one(total" in text  # of connections, of steps


# --- names ---------------------------------------------------------------------------------------

LOCALS = ("f", "y_new", "s_bar", "y_new_bar", "new_y", "bar_s", "eps_y", "v_eps_0", "np")
OTHERS = ("u_y", "z", "eps", "t", "real_in", "f1", "y_bar", "new_s", "k", "delta", "tape", "J",
          "table_source", "p_theta", "work",
          "LANES", "BLOCK", "M", "b0", "DTYPE", "Gradient", "fixed_0_k", "k_tanh")  # fmt: skip


def hostile() -> Network:
    """A cell whose names are those the emitter or the calculus might want for itself."""
    intermediates = {}
    before = "s"
    for i, name in enumerate(LOCALS):
        intermediates[name] = f"tanh({before})*{i + 2}/{i + 1} + y/{i + 3}"
        before = name
    states = {"y": f"tanh({before} + y_new) + f*s_bar/7"}
    parameters = [
        ParameterDeclaration(name, 0.1 + i / 97, trainable=i % 3 != 0)
        for i, name in enumerate(OTHERS)
    ]
    sum_of = " + ".join(p.name for p in parameters)
    states["memory"] = f"({sum_of})/40 + memory/2 + y*s/5"
    states["y"] += " + memory/9"
    cell = Cell.from_text(states, intermediates=intermediates, parameters=tuple(parameters))
    connections = [(0, 1), (1, 0, 2), (1, 2), (0, 0)]
    return Network(cell, 2, 1, connections, SquaredError([0, 1]), name="hostile")


def test_names_that_the_emitter_uses_itself_do_not_collide() -> None:
    from derive.program.algorithms import epochwise

    net = hostile()
    values = data(net, 4, seed=3)
    sizes = {"T": 4, "mask_step": 1, "mask_rows": 4}
    program = epochwise.gradient(net, ("theta", "x", "y0"))
    found = run(program, numpy_arithmetic(), as_inputs(values), sizes)
    np.testing.assert_allclose(found["J"], simulate(net, values)[1], rtol=1e-12)
    # Along a random direction: every component of the gradient is in it.
    direction = np.random.default_rng(0).normal(size=net.size)
    moved = values._replace(theta=values.theta + 1e-30j * direction)
    slope = simulate(net, moved)[1].imag / 1e-30
    assert found["grad_theta"] @ direction == pytest.approx(slope, rel=1e-10)


@settings(max_examples=30)
@given(networks())
@example(hostile())
def test_each_local_variable_stands_for_one_symbol_of_a_cell(net: Network) -> None:
    from derive.program.algorithms import epochwise
    from derive.program.layout import lay_out
    from derive.program.storage import local_name

    for group in lay_out(net).groups:
        local, adjoint = group.local, group.adjoint
        symbols = {*local.net_inputs, *(e.symbol for e in local.equations), *adjoint.eps}
        symbols |= {e.symbol for e in adjoint.equations}
        assert len({local_name(s) for s in symbols}) == len(symbols)
    program = epochwise.gradient(net)
    used = {r.array for s in walk(program.body) if isinstance(s, Assign) for r in references(s)}
    assert used <= set(program.arrays)


def test_every_name_of_a_user_is_prefixed_in_the_text() -> None:
    frame, _ = split(emit(hostile(), EPOCHWISE, schedule="tables").text)
    cores = frame[frame.index("cdef void") :]
    cores = cores[: cores.index("def forward")]
    bare = {"y_new", "s_bar", "np", "v_eps_0", "memory", "p_theta", "LANES", "Gradient", "varied"}
    assert not bare & set(re.findall(r"(?<!\w)[A-Za-z_]\w*", cores))


def test_a_cells_name_cannot_end_the_docstring() -> None:
    cell = Cell.from_text({"y": "tanh(s)"}, name='x"""\nimport os\nos.abort()\n"""\\')
    net = Network(cell, 1, 0, [(0, 0)], SquaredError([0]), name="quoted")
    text = emit(net, EPOCHWISE).text
    assert "\nimport os" not in text.split('"""')[0] + text.split('"""')[2]
    assert not re.search(r"^os\.abort", text, re.MULTILINE)


# --- compiled ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_reproducible_kernels_are_bit_equal_across_schedules(dtype: str) -> None:
    net = varied()
    kernels = [
        derive.compile(net, profile="reproducible", schedule=schedule, dtype=dtype)
        for schedule in ("unrolled", "tables")
    ]
    assert all(k.compiled for k in kernels)
    for seed in range(5):
        values = [a.astype(dtype) for a in data(net, 40, seed=seed)]
        first, second = (k.gradient(*values, wrt=("theta", "x", "y0")) for k in kernels)
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(
            *(k.forward(values[0], values[1], values[4]) for k in kernels)
        )
        assert np.isfinite(first.theta).all() and np.abs(first.theta).max() > 0


def test_a_compiled_net_of_hostile_names_computes_what_was_stated() -> None:
    net = hostile()
    kernel = derive.compile(net)
    values = data(net, 6, seed=1)
    y, J = simulate(net, values)
    np.testing.assert_allclose(kernel.forward(values.theta, values.x, values.y0), y, rtol=1e-12)
    assert kernel.gradient(*values)[0] == pytest.approx(J, rel=1e-12)


def test_a_compiled_net_equals_the_program_it_was_printed_from() -> None:
    net = varied()
    kernel = derive.compile(net, profile="reproducible", schedule="tables")
    values = data(net, 12, seed=4)
    sizes: dict[str, Any] = {"T": 12, "mask_step": 1, "mask_rows": 12}
    everything = kernel.programs["gradient_all"]
    expected = run(everything, numpy_arithmetic(), as_inputs(values), sizes)
    found = kernel.gradient(*values, wrt=("theta", "x", "y0"))
    assert found.J == pytest.approx(expected["J"], rel=1e-13)
    for name in ("theta", "x", "y0"):
        got = getattr(found, name)
        np.testing.assert_allclose(got, expected[f"grad_{name}"], rtol=1e-11, atol=1e-14)


def test_a_table_that_differs_from_program_to_program_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = derive.Network(
        derive.cells.semilinear("tanh"), 16, 2, derive.connect.random(0.5, seed=0),
        derive.SquaredError([0]), name="two",
    )  # fmt: skip
    right = made._scheduled

    def wrong(*given: Any) -> dict[str, Any]:
        programs = right(*given)
        p = programs["forward"]
        tables = {**p.tables, "source": p.tables["source"][::-1]}
        return {**programs, "forward": replace(p, tables=tables)}

    monkeypatch.setattr(made, "_scheduled", wrong)
    with pytest.raises(derive.EmitError, match="table 'source' differs from Program to Program"):
        emit(net, settle(net, "epochwise", {}), schedule="tables")


def test_functions_of_a_vector_are_not_called_for_each_number_of_it() -> None:
    # So many that a compiler, left to itself, keeps the function of one number out of line.
    net = Network(semilinear("tanh"), 64, 2, connect.random(0.02, 0), SquaredError([0]), name="far")
    kernel = derive.compile(net, batch=True, schedule="unrolled")
    binary = Path(kernel.module.__file__).read_bytes()
    assert b"k_pack" in binary and b"s_tanh" not in binary
