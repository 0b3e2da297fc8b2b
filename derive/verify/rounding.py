"""Rung 2: a kernel against the same Programs in 50 digits, in units of last place.

Both run on the network itself, on the functions a user calls: a whole sequence, and step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from derive.network.network import Network
from derive.program.interpret import MULTIPRECISION, run
from derive.program.ir import Program
from derive.program.occurrences import occurrences
from derive.verify.forms import WHOLE, Form
from derive.verify.kernels import run_steps
from derive.verify.online_runs import run_online
from derive.verify.report import Claim
from derive.verify.samples import Sample
from derive.verify.stated import Stated, depth
from derive.verify.worst import place

WRT = ("theta", "x", "y0")
LABEL = {"y": "forward y", "J": "J^total", "theta": "∂J/∂theta", "x": "∂J/∂x", "y0": "∂J/∂y0"}

DIGITS = 50

STATEMENTS = 400_000
"""Assignments a run in 50 digits may take: a few seconds."""


def wrt_of(form: Form) -> tuple[str, ...]:
    """By what an algorithm differentiates: online ones by theta alone."""
    return WRT if form.period is None else WRT[:1]


def rounding(
    net: Network,
    kernel: Any,
    programs: Mapping[str, Program],
    sample: Sample,
    dtype: str,
    form: Form = WHOLE,
) -> tuple[Claim, ...]:
    """The kernel against the same Programs in 50 digits.

    The error of each output is that of its worst component, in units of last place of its largest
    one. The limit is the counted depth: twice T·(fan-in + fan-out + operations of a cell), one
    rounding for each on the way forward and one on the way back.
    """
    steps = affordable(programs, sample.steps)
    sample = sample.of_steps(steps)
    limit = float(2 * steps * depth(net))
    exactly = _multiprecision(programs, sample)
    y = kernel.forward(**sample.arguments("forward"))
    g = kernel.gradient(**sample.arguments("gradient"), wrt=wrt_of(form))
    J, plain = kernel.gradient(**sample.arguments("gradient"))
    method = f"rounding: {dtype} against {DIGITS} digits, in ulp"

    def claim(name: str, what: str, values: list[Any], wanted: Any) -> Claim:
        errors = [ulps(v, wanted, dtype) for v in values]
        worst = max(errors)
        with mpmath.workdps(DIGITS):
            at = place(what, net, values[errors.index(worst)], wanted)
        return Claim(name, method, worst, limit, bool(worst <= limit), f"{steps} steps", at=at)

    claims = [
        claim(LABEL["y"], "y", [y], exactly["y"]),
        claim(LABEL["J"], "J", [g.J, J], exactly["J"]),
        claim(LABEL["theta"], "theta", [g.theta, plain], exactly["theta"]),
    ]
    claims += [claim(LABEL[n], n, [getattr(g, n)], exactly[n]) for n in wrt_of(form)[1:]]
    sample = sample.of_steps(min(steps, form.room or steps))
    if form.period is None:
        return tuple(claims)
    with mpmath.workdps(DIGITS):
        before, inputs = mpmath.mpf(1), _inputs(sample)
        wanted = run_online(programs, form, MULTIPRECISION, inputs, sample.steps, before)
    found = run_steps(kernel, sample, sample.steps)
    claims.append(claim("y(t), each step", "steps y", [np.array(found.y)], np.array(wanted.y)))
    claims.append(claim("J(t), each step", "steps J", [np.array(found.J)], np.array(wanted.J)))
    if wanted.gradients:
        pair = [np.array(found.gradients)], np.array(wanted.gradients)
        claims.append(claim(form.written, "steps theta", *pair))
    return tuple(claims)


def affordable(programs: Mapping[str, Program], steps: int) -> int:
    """The most steps, at least two, that a run of the gradient in 50 digits has time for."""

    def statements(T: int) -> int:
        sizes = {"T": T, "mask_step": 1, "mask_rows": T}
        return sum(o.times for o in occurrences(programs["gradient"], sizes))

    while steps > 2 and statements(steps) > STATEMENTS:
        steps = max(2, min(steps - 1, steps * 2 // 3))
    return steps


def _multiprecision(programs: Mapping[str, Program], sample: Sample) -> dict[str, Any]:
    with mpmath.workdps(DIGITS):
        inputs = _inputs(sample)
        sizes = {"T": sample.steps, "mask_step": 1, "mask_rows": sample.steps}
        found = run(programs["forward"], MULTIPRECISION, inputs, {"T": sample.steps})
        most = programs.get("gradient_all", programs["gradient"])
        found |= run(most, MULTIPRECISION, inputs, sizes)
        return {k.removeprefix("grad_"): v for k, v in found.items()}


def _inputs(sample: Sample) -> dict[str, Any]:
    number = np.frompyfunc(lambda v: mpmath.mpf(float(v)), 1, 1)
    return {k: _objects(number, v) for k, v in sample.arguments("gradient").items()}


def _objects(number: Any, values: Any) -> Any:
    out = np.empty(values.shape, dtype=object)
    out[...] = number(values)
    return out


def ulps(value: Any, exactly: Any, dtype: str) -> float:
    """The largest error in units of last place of the largest component."""
    value, exactly = np.asarray(value).reshape(-1), np.asarray(exactly).reshape(-1)
    if not value.size:
        return 0.0
    if not np.isfinite(value.astype(np.float64)).all():
        return float("inf")
    with mpmath.workdps(DIGITS):
        largest = max(abs(v) for v in exactly)
        unit = np.spacing(np.dtype(dtype).type(float(largest)))
        worst = max(abs(mpmath.mpf(float(v)) - e) for v, e in zip(value, exactly, strict=True))
        return float(worst / mpmath.mpf(float(unit)))


def stated_claim(net: Network, kernel: Any, sample: Sample, dtype: str) -> Claim:
    """The kernel's states against the equations and connections as stated."""
    y = kernel.forward(**sample.arguments("forward"))
    wanted = Stated(net).forward(sample.theta, sample.x, sample.y0)
    scale = max(1e-300, float(np.abs(wanted).max()))
    worst = float(np.abs(y.astype(np.float64) - wanted).max()) / scale
    limit = float(2 * sample.steps * depth(net) * np.finfo(dtype).eps)
    method = "equations as stated, in NumPy"
    ok = bool(worst <= limit)
    at = place("y", net, y, wanted)
    return Claim(LABEL["y"], method, worst, limit, ok, f"{sample.steps} steps, relative", at=at)
