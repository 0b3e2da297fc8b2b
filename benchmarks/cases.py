"""The networks that are measured, and derive's own contender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import Answer, Contender, Problem

import derive


@dataclass(frozen=True)
class Case:
    """A network with the lengths and the type of what it is given; ``batch`` None: no B axis."""

    name: str
    units: int
    inputs: int
    density: float
    steps: int
    batch: int | None
    dtype: str
    targets: tuple[int, ...]

    @property
    def network(self) -> derive.Network:
        """The semilinear tanh network, with all connections or with a random part of them."""
        return derive.Network(
            cell=derive.cells.semilinear("tanh"),
            units=self.units,
            inputs=self.inputs,
            connections=derive.connect.full()
            if self.density == 1
            else derive.connect.random(self.density, seed=0),
            objective=derive.SquaredError(targets=list(self.targets)),
            name=self.name,
        )


CASES = (
    Case("wz3x5", 3, 2, 1, 1000, None, "float64", (2,)),
    Case("dense8", 8, 2, 1, 1000, None, "float64", (6, 7)),
    Case("sparse32", 32, 4, 0.1, 1000, None, "float64", (30, 31)),
    Case("wz3x5", 3, 2, 1, 1000, 8, "float64", (2,)),
    Case("dense16", 16, 4, 1, 1000, 16, "float64", (14, 15)),
    Case("dense64", 64, 4, 1, 200, 32, "float32", (62, 63)),
)


def problem_of(case: Case, net: derive.Network) -> Problem:
    """Random numbers of the case's shapes; weights at twice their usual size, so tanh bends."""
    generator = np.random.default_rng(7)
    sequences = case.batch or 1
    theta = 2 * net.init(seed=1)
    x = generator.normal(size=(case.steps, case.inputs, sequences))
    target = np.tanh(generator.normal(size=(case.steps, len(case.targets), sequences)))
    return Problem(
        net.weight_matrix(theta).astype(case.dtype),
        x.astype(case.dtype),
        target.astype(case.dtype),
        case.targets,
    )


def derive_kernel(case: Case, net: derive.Network, problem: Problem) -> Contender:
    """The compiled kernel. It too gets its arrays before the clock starts."""
    kernel = derive.compile(net, dtype=case.dtype, batch=case.batch is not None)
    if not kernel.compiled:
        raise SystemExit("no C compiler was found: there is nothing to measure")
    wiring = net.wiring
    theta = np.ascontiguousarray(problem.weights[wiring.target, wiring.source])
    squeeze = case.batch is None
    x, target = (
        np.ascontiguousarray(a[..., 0] if squeeze else a) for a in (problem.x, problem.target)
    )

    def run() -> Any:
        return kernel.gradient(theta, x, target)

    def read(answer: Any) -> Answer:
        dense = np.zeros_like(problem.weights)
        dense[wiring.target, wiring.source] = answer[1]
        return float(answer[0]), dense

    return Contender(f"derive ({kernel.schedule})", run, read)
