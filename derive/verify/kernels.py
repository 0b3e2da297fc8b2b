"""Kernels as the numeric rungs use them: through what a user calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derive.interpreted import Interpreted
from derive.kernel import Kernel
from derive.network.network import Network
from derive.program.ir import Program
from derive.verify.online_runs import Run
from derive.verify.samples import Sample


def on_numpy(
    net: Network, programs: Mapping[str, Program], algorithm: Mapping[str, Any], dtype: str
) -> Kernel:
    """A kernel of Programs as they are, planted faults included, run on NumPy."""
    return Kernel(
        net,
        Interpreted(net, programs, dtype, False, algorithm["name"]),
        algorithm=algorithm,
        dtype=dtype,
        batch=False,
        schedule="tables",
        reason="run as they are",
        source="",
    )


def run_steps(kernel: Any, sample: Sample, steps: int, online: Any = None) -> Run:
    """An online run of a kernel, with theta as it is; ``online`` is one to begin anew."""
    if online is None:
        online = kernel.start(sample.theta, sample.y0)
    else:
        online.reset(sample.y0)
    found = Run([], [], [])
    for t in range(steps):
        step = online.step(sample.x[t], sample.target[t], sample.mask[t])
        found.y.append(step.y)
        found.J.append(step.J)
        if step.gradient is not None:
            found.gradients.append(step.gradient)
    return found
