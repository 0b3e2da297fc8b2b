"""derive's own contender: the kernel a user gets without asking for anything special."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from derive.bench.problem import Contender, Problem
from derive.errors import BenchError
from derive.kernel import Kernel
from derive.kernel import compile as compile_kernel


def kernel_of(problem: Problem) -> Kernel:
    """The compiled kernel of a case.

    Raises
    ------
    BenchError
        Where there is no compiler: the Program run on NumPy is not what is to be measured.
    """
    case = problem.case
    kernel = compile_kernel(
        problem.net, dtype=case.dtype, batch=not problem.alone and case.batch, **case.algorithm
    )
    if not kernel.compiled:
        raise BenchError("bench: no C compiler was found, so there is no kernel to measure")
    return kernel


def contender(problem: Problem, kernel: Kernel, threads: int) -> Contender:
    """The kernel's function. It too gets its arrays before the clock starts."""
    theta = np.ascontiguousarray(problem.theta)
    x, target = (
        np.ascontiguousarray(a[..., 0] if problem.alone else a) for a in (problem.x, problem.target)
    )
    if problem.case.what == "forward":
        given, call = (theta, x), kernel.forward
    else:
        given, call = (theta, x, target), kernel.gradient  # type: ignore[assignment]
    more: dict[str, Any] = {}
    if threads > 1 and "threads" in inspect.signature(call).parameters:
        more = {"threads": threads}
    outputs = [i for i, (_, name) in enumerate(problem.net.states) if name in ("y", "h")]

    def read(answer: Any) -> Any:
        if problem.case.what != "forward":
            return answer
        return answer[1:, outputs].reshape(problem.steps, len(outputs), problem.sequences)

    return Contender(f"derive ({kernel.schedule})", lambda: call(*given, **more), read)
