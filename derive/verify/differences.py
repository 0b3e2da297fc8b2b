"""Rung 3: a kernel's gradient of a sequence against differences of the forward pass.

It runs on the network itself, on the functions a user calls, and needs no derivative of anything:
J is evaluated from the states that ``forward`` gives. Under teacher forcing ``forward`` is another
run than the one that is learnt from, so that one is computed from the equations as stated. Only
for what gives the gradient of J^total exactly: an approximation is not a difference quotient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from derive.network.network import Network
from derive.program.interpret import numpy_arithmetic, run
from derive.program.ir import Program
from derive.verify.forms import WHOLE, Form
from derive.verify.report import Claim
from derive.verify.rounding import LABEL, wrt_of
from derive.verify.samples import Sample, is_analytic
from derive.verify.stated import Stated, depth, objective_value
from derive.verify.worst import direction

COMPONENTS = 40
"""Components of each argument differenced one by one; beyond, drawn ones and directions."""

Forward = Callable[..., Any]
"""From theta, x and y0 to the states of the run that is learnt from."""


def learnt_run(net: Network, kernel: Any, sample: Sample, form: Form) -> Forward:
    """The run whose J is differentiated: the kernel's own, or the forced one as stated."""
    forced = sample.forced(form)
    if forced is None:
        return kernel.forward
    stated = Stated(net)
    return lambda theta, x, y0: stated.forward(theta, x, y0, forced)


@dataclass(frozen=True, eq=False)
class Slopes:
    """Slopes of J along directions; what was computed once is remembered."""

    net: Network
    forward: Forward
    sample: Sample
    dtype: str
    seed: int = 0

    @cached_property
    def known(self) -> dict[tuple[str, int, float], float]:
        """By argument, direction and step."""
        return {}

    @cached_property
    def h(self) -> float:
        """The step: a power of two, small against the distance to the nearest corner."""
        h = 2.0**-6 if self.dtype == "float64" else 2.0**-3
        margin = self.sample.margin
        if np.isfinite(margin):
            h = min(h, 2.0 ** np.floor(np.log2(max(margin, 2.0**-16) / 64)))
        return float(h)

    def ways(self, name: str) -> list[Any]:
        """The directions of an argument."""
        return directions(getattr(self.sample, name).shape, self.seed)

    def J(self, arguments: Mapping[str, Any]) -> Any:
        """J^total of the run with some theta, x and y0."""
        y = self.forward(**arguments)
        return objective_value(
            self.net, y, self.sample.target, self.sample.mask, arguments["theta"]
        )

    def along(self, name: str, i: int, way: Any, h: float) -> float:
        """dJ/dh along direction i, extrapolated from three central differences."""
        key = (name, i, h)
        if key not in self.known:
            self.known[key] = self._along(name, way, h)
        return self.known[key]

    def _along(self, name: str, way: Any, h: float) -> float:
        sample = self.sample
        at = getattr(sample, name)

        def J(step: float) -> Any:
            moved = (at + step * way).astype(at.dtype)
            return self.J({**sample.arguments("forward"), name: moved})

        row = [float((J(h / 2**i) - J(-h / 2**i)) * 2**i / (2 * h)) for i in range(3)]
        power = 4.0
        while len(row) > 1:
            row = [(power * b - a) / (power - 1) for a, b in zip(row, row[1:], strict=False)]
            power *= 4
        return row[0]


def quotients(
    net: Network,
    kernel: Any,
    sample: Sample,
    dtype: str,
    form: Form = WHOLE,
    slopes: Slopes | None = None,
) -> tuple[Claim, ...]:
    """The kernel's gradient against central differences of J computed from the forward pass.

    Three steps h, h/2, h/4 are extrapolated to h = 0 (Richardson; the error is of order h⁶).
    Arguments of up to 40 components are differenced one by one, larger ones at 30 components and
    along 10 directions.
    """
    if slopes is None:
        slopes = Slopes(net, learnt_run(net, kernel, sample, form), sample, dtype)
    g = kernel.gradient(**sample.arguments("gradient"), wrt=wrt_of(form))
    _, plain = kernel.gradient(**sample.arguments("gradient"))
    double, h = dtype == "float64", slopes.h
    limit = max(1e-9 if double else 1e-3, 256 * float(np.finfo(dtype).eps) / h)
    claims = [_objective(net, slopes, g.J, dtype, form)]
    for name in wrt_of(form):
        at = getattr(sample, name)
        gradient = np.asarray(getattr(g, name), dtype=np.float64)
        scale = max(1e-8, float(np.abs(gradient).max())) if gradient.size else 1.0
        # What gives theta alone is another function than what gives all.
        answers = [gradient, np.asarray(plain, np.float64)] if name == "theta" else [gradient]
        worst, at_worst = 0.0, ""
        ways = slopes.ways(name)
        for i, way in enumerate(ways):
            slope = slopes.along(name, i, way, h)
            wanted = [float((answer * way).sum()) for answer in answers]
            error = max(abs(slope - w) / scale for w in wanted)
            if error > limit and double:
                # Where J bends sharply h was too long; a wrong gradient fails at any.
                slope = slopes.along(name, i, way, h / 8)
                error = max(abs(slope - w) / scale for w in wanted)
            if not error <= worst:  # NaN stays
                worst, at_worst = error, direction(name, net, way)
        detail = f"{len(ways)} of {at.size} directions, h = {h:.2g}, relative"
        if at.size and not ways:
            detail = "nothing to differentiate by"
        method = f"differences of {_run(form)}, extrapolated"
        ok = bool(worst <= limit)
        claims.append(Claim(LABEL[name], method, worst, limit, ok, detail, at=at_worst))
    return tuple(claims)


def _run(form: Form) -> str:
    return "the forced run as stated" if form.forced else "the forward pass"


def _objective(net: Network, slopes: Slopes, J: float, dtype: str, form: Form) -> Claim:
    sample = slopes.sample
    wanted = slopes.J(sample.arguments("forward"))
    worst = abs(float(J) - float(wanted)) / max(1e-8, abs(float(wanted)))
    limit = float(2 * sample.steps * depth(net) * np.finfo(dtype).eps)
    detail = f"{sample.steps} steps, relative"
    return Claim(
        LABEL["J"], f"evaluated on {_run(form)}", worst, limit, bool(worst <= limit), detail
    )


def directions(shape: tuple[int, ...], seed: int) -> list[Any]:
    """Unit vectors where there are few components, else 30 of them and 10 random directions."""
    size = int(np.prod(shape))
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = np.arange(size)
    if size > COMPONENTS:
        chosen = np.sort(generator.choice(size, 30, replace=False))
    ways = []
    for i in chosen:
        e = np.zeros(size)
        e[i] = 1.0
        ways.append(e.reshape(shape))
    if size > COMPONENTS:
        for _ in range(10):
            v = generator.normal(size=size)
            ways.append((v / np.linalg.norm(v)).reshape(shape))
    return ways


def complex_step(
    net: Network,
    forward: Program,
    kernel: Any,
    sample: Sample,
    dtype: str,
    form: Form = WHOLE,
) -> tuple[Claim, ...]:
    """The kernel's gradient against Im J(v + ih)/h of the forward pass on complex numbers.

    There is no difference, so no cancellation: it is exact to rounding. Only for analytic cells.
    The forward pass is the forward Program; under teacher forcing the forced run as stated.
    """
    if not is_analytic(net):
        return ()
    g = kernel.gradient(**sample.arguments("gradient"), wrt=wrt_of(form))
    h = 1e-30
    limit = float(8 * sample.steps * depth(net) * np.finfo(dtype).eps)
    claims = []
    for name in wrt_of(form):
        at = getattr(sample, name)
        ways = directions(at.shape, 1)
        if not ways:
            continue
        stack = np.moveaxis(np.array(ways), 0, -1)
        inputs: dict[str, Any] = {}
        for n, v in sample.arguments("forward").items():
            wide = v.astype(np.complex128)[..., None] + np.zeros(len(ways))
            inputs[n] = wide + 1j * h * stack if n == name else wide
        y = _complex_states(net, forward, inputs, sample.forced(form), sample.steps, len(ways))
        J = objective_value(net, y, sample.target, sample.mask, inputs["theta"])
        slopes = J.imag / h
        gradient = np.asarray(getattr(g, name), dtype=np.float64)
        along = (gradient[..., None] * stack).reshape(-1, len(ways)).sum(axis=0)
        scale = max(1e-8, float(np.abs(gradient).max()))
        apart = np.abs(slopes - along)
        worst, way = float(apart.max()) / scale, ways[int(apart.argmax())]
        ok = bool(worst <= limit)
        detail = f"{len(ways)} of {at.size} directions, relative"
        at_worst = direction(name, net, way)
        claims.append(Claim(LABEL[name], "complex step", worst, limit, ok, detail, at=at_worst))
    return tuple(claims)


def _complex_states(
    net: Network, forward: Program, inputs: dict[str, Any], forced: Any, T: int, lanes: int
) -> Any:
    """The states (T+1, N, lanes)."""
    if forced is None:
        return run(forward, numpy_arithmetic(np.complex128), inputs, {"T": T}, (lanes,))["y"]
    stated = Stated(net)
    theta, x, y0 = (inputs[name] for name in ("theta", "x", "y0"))
    runs = [stated.forward(theta[..., i], x[..., i], y0[..., i], forced) for i in range(lanes)]
    return np.stack(runs, axis=-1)
