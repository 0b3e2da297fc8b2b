"""Every contender computes the same: peers beside the NumPy reference, and that beside derive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.bench.case import CELLS, ONLINE, Case
from derive.bench.judging import difference, wrong
from derive.bench.own import contender, kernel_of
from derive.bench.peers import makers
from derive.bench.peers.numpy import reference
from derive.bench.problem import Problem, problem_of

STEPS = 11


def short(case: Case, steps: int = STEPS) -> Problem:
    """A case's problem, cut after a few steps."""
    problem = problem_of(case)
    return replace(problem, x=problem.x[:steps], target=problem.target[:steps])


def answer(made: Any) -> Any:
    return made.read(made.run())


@settings(max_examples=12)
@given(
    cell=st.sampled_from(CELLS),
    units=st.integers(3, 9),
    density=st.sampled_from([1, 0.5]),
    batch=st.sampled_from([1, 3]),
    what=st.sampled_from(["gradient", "forward"]),
)
def test_the_reference_is_what_derive_interprets(
    cell: str, units: int, density: float, batch: int, what: str
) -> None:
    """By the Program run on NumPy arrays, so that no compiler is waited for."""
    problem = short(Case(cell, units, density, batch, "float64", what))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVE_NO_COMPILER", "1")
        with pytest.warns(UserWarning, match="no C compiler"):
            kernel = derive.compile(problem.net, batch=batch > 1)
    found = answer(contender(problem, kernel, threads=1))
    assert difference(found, reference(problem)) < 1e-12


@pytest.mark.parametrize("what", ONLINE)
def test_the_reference_of_online_algorithms_is_what_derive_interprets(what: str) -> None:
    """Truncated ones over a length that no window divides."""
    case = Case("plain", 4, 1, 1, "float64", what)
    problem = short(case, steps=19)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVE_NO_COMPILER", "1")
        with pytest.warns(UserWarning, match="no C compiler"):
            kernel = derive.compile(problem.net, **case.algorithm)
    assert difference(kernel.gradient(problem.theta, problem.x[..., 0], problem.target[..., 0]),
                      reference(problem)) < 1e-12  # fmt: skip


@pytest.mark.parametrize("what", ["gradient", "forward"])
@pytest.mark.parametrize("cell", CELLS)
def test_jax_and_pytorch_compute_the_reference(cell: str, what: str) -> None:
    problem = short(Case(cell, 6, 0.25, 3, "float64", what), steps=5)
    expected = reference(problem)
    found = {**makers("jax", problem, 1), **makers("torch", problem, 1)}
    assert {"JAX scan, unroll 1", "JAX scan of gathers", "PyTorch loop"} <= set(found)
    for name, make in found.items():
        if name not in ("JAX scan, unroll 4", "JAX scan, unroll 16"):  # compiled for long
            assert difference(answer(make()), expected) < 1e-12, name


@pytest.mark.parametrize("what", ONLINE)
def test_jax_computes_the_reference_online(what: str) -> None:
    problem = short(Case("plain", 4, 1, 1, "float64", what), steps=19)
    expected = reference(problem)
    for name, make in makers("jax", problem, 1).items():
        assert difference(answer(make()), expected) < 1e-12, name


NUMBA = """
import json, sys
from itertools import product
from dataclasses import replace
from derive.bench.case import CELLS, Case
from derive.bench.judging import difference
from derive.bench.peers import makers
from derive.bench.peers.numpy import reference
from derive.bench.problem import problem_of
found = {}
for cell, density, batch, what, threads in product(
    CELLS, (1, 0.5), (1, 4), ("gradient", "forward"), (1, 2)
):
    case = Case(cell, 5, density, batch, "float64", what)
    problem = problem_of(case)
    problem = replace(problem, x=problem.x[:6], target=problem.target[:6])
    for name, make in makers("numba", problem, threads).items():
        made = make()
        found[f"{case.key}, {name}, {threads}"] = difference(
            made.read(made.run()), reference(problem)
        )
print(json.dumps(found))
"""


def test_numba_computes_the_reference() -> None:
    """Its loops run as Python: what they compute is looked at here, not how fast."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "NUMBA_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", NUMBA], env=environment, capture_output=True,
                         text=True)  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert len(found) == 3 * 2 * 2 * 2 * 2 * 2
    assert not {name: d for name, d in found.items() if not d < 1e-12}


def test_a_kernel_stands_beside_the_reference_in_both_types() -> None:
    for dtype in ("float64", "float32"):
        problem = short(Case("plain", 3, 1, 1, dtype, "gradient"))
        kernel = kernel_of(problem)
        made = contender(problem, kernel, threads=1)
        assert not wrong(difference(answer(made), reference(problem)), dtype)


def test_a_gradient_in_dense_form_comes_back_in_thetas_layout() -> None:
    for cell in CELLS:
        problem = short(Case(cell, 5, 0.6, 1, "float64", "gradient"))
        biases = problem.biases if problem.biases.size else None
        tau = problem.tau if problem.tau.size else None
        np.testing.assert_array_equal(problem.flat(problem.weights, biases, tau), problem.theta)
