"""Rung 5: gradients equal those of JAX's float64 autodiff of the stated equations."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import derive
from derive.interpreted import Interpreted
from derive.network.cell import Cell
from derive.network.library import (
    LIBRARY,
    adaptive,
    ctrnn,
    elman,
    gru,
    lru,
    lstm,
    mgu,
    s4d,
)
from derive.network.topology import Connection
from derive.program.algorithms import programs
from derive.verify.faults import FAULTS, plant
from tests.bridges.unrolled import autodiff
from tests.strategies import conductance, data, networks, reset_gated

CELLS: dict[str, Cell] = {
    **{name: make() for name, make in LIBRARY.items()},
    "elman, tanh": elman("tanh"),
    "lstm, 1997": lstm(forget=False),
    "lstm, peepholes": lstm(peepholes=True),
    "lru, tied, skip": lru("tanh", tied=True, skip=True),
    "s4d, skip": s4d("tanh", skip=True),
    "gru, before": gru(reset="before"),
    "mgu, before": mgu(reset="before"),
    "ctrnn, exponential": ctrnn(scheme="exponential"),
    "adaptive, rk4": adaptive(dt=0.5, scheme="rk4"),
    "heard in the same step": reset_gated(),
    "synapses": conductance(),
}
WRT = ("theta", "x", "y0")
EPOCHWISE = {"name": "epochwise"}
EXACT: tuple[dict[str, Any], ...] = (
    {"name": "rtrl"},
    {"name": "hybrid", "h": 2},
    {"name": "realtime", "capacity": 6},
    {"name": "truncated", "h": 6},
)


def one_net(cell: Cell | list[Cell], seed: int) -> derive.Network:
    """Delays of up to 3, each connection there or not, some weights shared, three units or so."""
    generator = np.random.default_rng(seed)
    cells = cell if isinstance(cell, list) else [cell] * (2 + seed % 2)
    n, m = len(cells), 2
    connections = [
        Connection(k, source, delay, s.name, "shared" if generator.random() < 0.2 else None)
        for k, c in enumerate(cells)
        for s in c.ports
        for source in range(n + m)
        for delay in range(0 if source < k else 1, 4)
        if source >= n or s.hears is None or s.hears in cells[source].states
        if generator.random() < 1.5 / (n + m)
    ]
    targets = sorted({n - 1, int(generator.integers(n))})
    objective = derive.Objective("-(d - y)**2*(1 + y**2)/2", targets)
    return derive.Network(cells, n, m, connections, objective, name="net")


def worst(found: Any, expected: tuple[float, dict[str, Any]]) -> float:
    """The largest difference in J and any gradient, in units of its largest entry."""
    J, slopes = expected
    differences = [abs(found.J - J) / abs(J)]
    for name, wanted in slopes.items():
        got = getattr(found, name)
        if got is not None and got.size:
            differences.append(np.abs(got - wanted).max() / (np.abs(wanted).max() or 1.0))
    return float(max(differences))


def interpreted(net: derive.Network, batch: bool, algorithm: Any = EPOCHWISE) -> Interpreted:
    return Interpreted(net, programs(net, algorithm), "float64", batch, algorithm["name"])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_has_the_gradient_of_autodiff(name: str, seed: int) -> None:
    net = one_net(CELLS[name], seed)
    batch = 3 if seed else 0
    values = data(net, T=6, batch=batch, seed=seed)
    found = interpreted(net, bool(batch)).gradient(*values, wrt=WRT)
    assert worst(found, autodiff(net, values)) < 1e-12


@pytest.mark.parametrize("name", ["gru, before", "mgu, before", "ltc", "lstm", "lru"])
def test_a_fully_connected_net_has_the_gradient_of_autodiff(name: str) -> None:
    net = derive.Network(CELLS[name], 3, 2, derive.connect.full(), derive.SquaredError([0, 2]))
    values = data(net, T=5, seed=2)
    found = interpreted(net, False).gradient(*values, wrt=WRT)
    assert worst(found, autodiff(net, values)) < 1e-12


@pytest.fixture(scope="module")
def zoo() -> derive.Network:
    """A unit of each kind: gates, potentials, complex memories, parts within a step."""
    kinds = ("lstm, peepholes", "gru", "ctrnn", "lru", "heard in the same step")
    return one_net([CELLS[k] for k in kinds], 4)


@pytest.mark.parametrize(("schedule", "batch"), [("tables", 5), ("unrolled", 0)])
def test_the_compiled_kernel_has_the_gradient_of_autodiff(
    zoo: derive.Network, schedule: str, batch: int
) -> None:
    kernel = derive.compile(zoo, batch=bool(batch), schedule=schedule)
    assert kernel.compiled
    values = data(zoo, T=7, batch=batch, seed=3)
    found = kernel.gradient(*values, wrt=WRT)
    assert worst(found, autodiff(zoo, values)) < 1e-12


@pytest.mark.parametrize("forced", [False, True], ids=["free", "forced"])
def test_every_exact_algorithm_has_the_gradient_of_autodiff(forced: bool) -> None:
    net = one_net([CELLS[k] for k in ("lstm, peepholes", "gru", "synapses", "lru", "adaptive")], 4)
    values = data(net, T=6, seed=5)
    expected = autodiff(net, values, forced)
    for algorithm in EXACT:
        chosen = {**algorithm, "teacher_forcing": forced}
        found = interpreted(net, False, chosen).gradient(*values, wrt=("theta",))
        assert worst(found, expected) < 1e-12, algorithm


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.integers(0, 99), st.sampled_from([0, 2]))
def test_a_random_network_has_the_gradient_of_autodiff(
    net: derive.Network, seed: int, batch: int
) -> None:
    values = data(net, T=5, batch=batch, seed=seed)
    found = interpreted(net, bool(batch)).gradient(*values, wrt=WRT)
    assert worst(found, autodiff(net, values)) < 1e-12


def test_every_planted_fault_is_seen() -> None:
    """Those that ``derive verify`` plants, where they have a place in this network."""
    net = one_net([CELLS["lstm"], CELLS["gru"], CELLS["lru"]], 1)
    values = data(net, T=6, seed=3)  # the targets of the last step are missing
    expected = autodiff(net, values)

    def distance(of: Any) -> float:
        kernel = Interpreted(net, of, "float64", False)
        try:
            return worst(kernel.gradient(*values, wrt=WRT), expected)
        except IndexError:  # a shifted index may leave its array
            return float("inf")

    right = programs(net, EPOCHWISE)
    planted = {fault: plant(right, fault, net) for fault in FAULTS}
    distances = {fault: distance(wrong) for fault, wrong in planted.items() if wrong is not None}
    assert distance(right) < 1e-12
    unseen = {fault for fault, far in distances.items() if far < 1e-6}
    assert len(distances) > 8 and not unseen


def test_float64_ends_with_the_test() -> None:
    """The fixture of this folder gives JAX back as it was."""
    program = "import jax, tests.bridges.unrolled; print(jax.config.jax_enable_x64)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
