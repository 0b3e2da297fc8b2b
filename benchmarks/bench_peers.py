"""The same comparison under pytest-benchmark: `pytest benchmarks`.

Its rounds are not interleaved: on a machine with other work, believe bench_gradient.py's ratios.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from bench_gradient import check, peers_of
from cases import CASES, Case, derive_kernel, problem_of
from peers import Contender

NAMES = ("derive", "JAX unroll 1", "JAX unroll 8", "PyTorch", "NumPy")


@cache
def contenders(case: Case) -> tuple[Contender, ...]:
    """All of a case, in the order of NAMES; made once, and checked against each other."""
    net = case.network
    problem = problem_of(case, net)
    made = [derive_kernel(case, net, problem), *peers_of(problem)]
    check(made, problem)
    return tuple(made)


@pytest.mark.parametrize("which", range(len(NAMES)), ids=NAMES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}-B{c.batch or 1}")
def test_gradient(benchmark: Any, case: Case, which: int) -> None:
    """One contender's gradient, after all contenders were seen to give the same one."""
    benchmark.group = f"{case.name}, T = {case.steps}, B = {case.batch or 1}, {case.dtype}"
    benchmark.pedantic(contenders(case)[which].run, rounds=15, warmup_rounds=1)
