"""Rung 4: what must agree with what, and what must differ.

Steps with the sequence, a run begun anew with the first, exact algorithms with epochwise
backpropagation, and that from checkpoints with that which keeps all steps; and an approximation
must be seen to be one, or the check that it equals the exact gradient where its window covers the
history could not fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from derive.network.network import Network
from derive.program.algorithms import programs, settle
from derive.verify import samples
from derive.verify.forms import Form, form_of
from derive.verify.kernels import on_numpy, run_steps
from derive.verify.paths import is_approximate
from derive.verify.report import Claim
from derive.verify.samples import LONG, Sample
from derive.verify.stated import depth
from derive.verify.worst import place

SHORT = 8
"""Steps of a window up to which what it cuts off is still large enough to see."""

DRAWS = 5
"""Samples on which an approximation may happen to be exact."""

ENTRIES = 60_000
"""Steps times connections up to which epochwise's Programs run on NumPy; beyond, a kernel."""


def limit(net: Network, steps: int, dtype: str) -> float:
    """The relative difference that rounding may make."""
    return float(8 * steps * depth(net) * np.finfo(dtype).eps)


def distance(a: Any, b: Any, summed: Any = 0.0) -> float:
    """The largest difference, relative to the largest entry of b, or of what was summed to it."""
    a, b, summed = (np.asarray(v, dtype=np.float64) for v in (a, b, summed))
    if not b.size:
        return 0.0
    scale = max(float(np.abs(b).max()), float(np.abs(summed).max(initial=0.0)), 1e-8)
    return float(np.abs(a - b).max()) / scale


# --- steps -----------------------------------------------------------------------------------


def steps_agree(
    net: Network, kernel: Any, sample: Sample, dtype: str, form: Form
) -> tuple[Claim, ...]:
    """The steps of an online run sum to the sequence; begun anew, it is the same bit for bit."""
    whole = sample.of_steps(form.online(sample.steps))
    if not whole.steps:
        return ()
    online = kernel.start(sample.theta, sample.y0)
    first = run_steps(kernel, whole, whole.steps, online)
    J, gradient = kernel.gradient(**whole.arguments("gradient"))
    most = limit(net, whole.steps, dtype)
    each = "steps" if form.period == 1 else "windows"
    told = f"{len(first.gradients)} {each}, relative"

    def claim(name: str, method: str, worst: float, allowed: float, detail: str) -> Claim:
        return Claim(name, method, worst, allowed, bool(worst <= allowed), detail)

    method = "agreement: steps with the sequence"
    summed = distance(np.sum(first.gradients, axis=0), gradient, first.gradients)
    total = distance(np.sum(first.J), J, first.J)
    again = run_steps(kernel, whole, whole.steps, online)
    apart = max(
        _apart(a, b)
        for a, b in ((first.y, again.y), (first.J, again.J), (first.gradients, again.gradients))
    )
    return (
        claim(f"Σ of the {each}' gradients = ∂J^total/∂theta", method, summed, most, told),
        claim("Σ J(t) = J^total", method, total, most, told),
        claim("a run begun anew gives the same", "agreement: a run with itself", apart, 0.0,
              f"{whole.steps} steps, bit for bit"),
    )  # fmt: skip


def _apart(a: Any, b: Any) -> float:
    a, b = np.array(a), np.array(b)
    return 0.0 if np.array_equal(a, b) else float(np.nan_to_num(np.abs(a - b), nan=np.inf).max())


# --- with epochwise --------------------------------------------------------------------------


def with_epochwise(
    net: Network, kernel: Any, algorithm: Mapping[str, Any], sample: Sample, dtype: str, seed: int
) -> tuple[Claim, ...]:
    """Exact gradients equal epochwise's; approximate ones differ from them."""
    form = form_of(algorithm)
    exactly = Epochwise(net, form, kernel, sample, dtype)
    if form.period is None:
        return _computed_again(net, kernel, algorithm, exactly, sample)
    claims: list[Claim] = []
    if form.is_exact(sample.steps):
        claims.append(_equal("∂J/∂theta = epochwise's", kernel, exactly, sample))
        claims += _windows_equal(kernel, exactly, sample, form)
    else:
        few = sample.of_steps(min(sample.steps, LONG))
        claims.append(_equal(*_without_limits(net, algorithm, few, dtype), exactly, few))
    if form.back is not None or not form.is_exact(sample.steps):
        claims.append(_differs(net, kernel, algorithm, exactly, sample, seed))
    return tuple(claims)


class Epochwise:
    """Epochwise backpropagation of the same network and forcing, and how near to it is equal."""

    def __init__(self, net: Network, form: Form, kernel: Any, sample: Sample, dtype: str) -> None:
        options: dict[str, Any] = {"teacher_forcing": True} if form.forced else {}
        algorithm = settle(net, "epochwise", options)
        if net.wiring.size * sample.steps <= ENTRIES or not getattr(kernel, "compiled", False):
            self.kernel = on_numpy(net, programs(net, algorithm), algorithm, dtype)
        else:
            from derive.kernel import compile

            self.kernel = compile(net, "epochwise", dtype=dtype, **options)
        self.net, self.dtype = net, dtype

    def gradient(self, sample: Sample) -> Any:
        """∂J^total/∂θ."""
        return self.kernel.gradient(**sample.arguments("gradient"))[1]

    def limit(self, steps: int) -> float:
        """The relative difference that rounding may make."""
        return limit(self.net, steps, self.dtype)


METHOD = "agreement: with epochwise BPTT"


def _equal(name: str, kernel: Any, exactly: Epochwise, sample: Sample) -> Claim:
    found = kernel.gradient(**sample.arguments("gradient"))[1]
    wanted, most = exactly.gradient(sample), exactly.limit(sample.steps)
    worst = distance(found, wanted)
    at, detail = place("theta", exactly.net, found, wanted), f"{sample.steps} steps, relative"
    return Claim(name, METHOD, worst, most, bool(worst <= most), detail, at=at)


def _computed_again(
    net: Network,
    kernel: Any,
    algorithm: Mapping[str, Any],
    exactly: Epochwise,
    sample: Sample,
) -> tuple[Claim, ...]:
    """Where signals are computed again from checkpoints: the same as if all had been kept."""
    memory = algorithm.get("memory", "full")
    if memory == "full":
        return ()
    name = "∂J/∂theta = epochwise's that keeps all steps"
    if isinstance(memory, int) and memory >= sample.steps:
        # A single segment: nothing would be computed again.
        settled = settle(net, "epochwise", {**_options(algorithm), "memory": "sqrt"})
        kernel = on_numpy(net, programs(net, settled), settled, exactly.dtype)
        name += ", in segments of √T steps"
    return (_equal(name, kernel, exactly, sample),)


def _options(algorithm: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in algorithm.items() if k != "name"}


def _windows_equal(
    kernel: Any, exactly: Epochwise, sample: Sample, form: Form
) -> tuple[Claim, ...]:
    """Each window's gradient is epochwise's up to its end less that up to its beginning."""
    steps = form.online(sample.steps)
    if not steps:
        return ()
    windows = form.windows(steps)
    found = run_steps(kernel, sample, steps).gradients
    until = {0: np.zeros(exactly.net.size)}
    for _, last in windows:
        until[last] = exactly.gradient(sample.of_steps(last)).astype(np.float64)
    wanted = [until[last] - until[first] for first, last in windows]
    worst = distance(found, wanted, list(until.values()))
    most = exactly.limit(sample.steps)
    ok = bool(worst <= most)
    detail = f"{len(windows)} of them, differences of two sequences, relative"
    at = place("steps theta", exactly.net, found, wanted)
    return (Claim(f"{form.written} = epochwise's", METHOD, worst, most, ok, detail, at=at),)


def _without_limits(
    net: Network, algorithm: Mapping[str, Any], sample: Sample, dtype: str
) -> tuple[str, Any]:
    """The same algorithm where its limits limit nothing, and what that is called."""
    options = _options(algorithm)
    if "h" in options:
        T = sample.steps
        free = {**options, "h": T, "h_prime": min(options.get("h_prime", 1), T)}
        name = "BPTT(T; h′) = epochwise's"
    else:
        free = {**options, "groups": 1}
        name = "with one group = epochwise's"
    settled = settle(net, algorithm["name"], free)
    return name, on_numpy(net, programs(net, settled), settled, dtype)


def _differs(
    net: Network,
    kernel: Any,
    algorithm: Mapping[str, Any],
    exactly: Epochwise,
    sample: Sample,
    seed: int,
) -> Claim:
    """That an approximation is one, unless no path leads through what it leaves out."""
    form, dtype = form_of(algorithm), exactly.dtype
    told = f"{sample.steps} steps, relative"
    if form.back is not None and form.back > SHORT:
        # What a long window leaves out may be less than rounding: cut shorter, it is not.
        options = {k: v for k, v in algorithm.items() if k not in ("name", "h", "h_prime")}
        settled = settle(net, "truncated", {**options, "h": 3, "h_prime": 1})
        kernel = on_numpy(net, programs(net, settled), settled, dtype)
        form = form_of(settled)
        told = f"cut after 3 steps for h = {algorithm['h']}; {told}"
        sample = sample.of_steps(min(sample.steps, max(12, net.wiring.longest_delay + 4)))
    if not is_approximate(net, form, sample.mask):
        claim = _equal("∂J/∂theta = epochwise's: no path is left out", kernel, exactly, sample)
        return claim
    least = 100 * exactly.limit(sample.steps)
    worst = 0.0
    for draw in range(DRAWS):
        found = kernel.gradient(**sample.arguments("gradient"))[1]
        worst = max(worst, distance(found, exactly.gradient(sample)))
        if worst > least:
            break
        steps = sample.steps
        sample = samples.draw(net, seed + draw + 1, dtype, form).of_steps(steps)
    name = "∂J/∂theta differs from epochwise's"
    return Claim(name, METHOD, worst, least, bool(worst > least), f"at least the limit; {told}")
