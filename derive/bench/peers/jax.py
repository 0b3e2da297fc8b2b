"""JAX: ``jit(value_and_grad(scan))``, with several unrolls; exact online learning by forward mode.

Inputs are multiplied with their weights before the scan, as its users are told to. A batch stands
in rows. Where few connections exist, there is also a form that gathers the sources of each unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from derive.bench.problem import Array, Contender, Maker, Problem

UNROLLS = (1, 4, 16)
# jacfwd carries a tangent of all weights for each of them.
MOST_TANGENTS = 20_000_000
# Below this part of all connections a gather may be less work than a dense product.
SPARSE = 0.25


def makers(problem: Problem, threads: int, quick: bool) -> Mapping[str, Maker]:
    """Scans of each unroll, or of an online algorithm sensitivities and ``jacfwd``."""
    jax.config.update("jax_enable_x64", True)  # float32 arrays stay what they are
    # Otherwise a call returns to Python first, and waits for a thread that has no processor.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    case = problem.case
    if not case.online:
        unrolls = UNROLLS if problem.alone or not quick else UNROLLS[:-1]
        found = {f"JAX scan, unroll {u}": _scan(problem, u, False) for u in unrolls}
        if case.density <= SPARSE:
            found["JAX scan of gathers"] = _scan(problem, 1, True)
        return found
    if case.what in ("bptt", "chunks"):
        h, h_prime = (case.units, 1) if case.what == "bptt" else (2 * case.units, case.units)
        return {f"JAX BPTT({h}; {h_prime})": lambda: windows(problem, h, h_prime)}
    found = {"JAX RTRL scan": lambda: sensitivities(problem)}
    if not quick and len(problem.theta) * problem.weights.size <= MOST_TANGENTS:
        found["JAX jacfwd"] = lambda: forward_mode(problem)
    return found


def _scan(problem: Problem, unroll: int, gathers: bool) -> Maker:
    return lambda: scan(problem, unroll, gathers)


def rows(problem: Problem, array: Array) -> Any:
    """(T, ·, B) as (T, B, ·), or (T, ·) where B is 1."""
    return jnp.asarray(array[..., 0] if problem.alone else array.swapaxes(1, 2).copy())


def parameters(problem: Problem) -> dict[str, Any]:
    """Dense weights (gates·n, n+m), biases (gates·n,) and time constants."""
    weights = problem.weights
    found: dict[str, Array] = {"W": weights.reshape(-1, weights.shape[2])}
    if problem.biases.size:
        found["b"] = problem.biases.ravel()
    if problem.tau.size:
        found["tau"] = problem.tau
    return {name: jnp.asarray(a) for name, a in found.items()}


def step_of(cell: str) -> Callable[[Any, Any, Any], Any]:
    """Next state of a cell: from parameters, state (y, or h and c) and net input."""

    def plain(p: Any, state: Any, s: Any) -> Any:
        return (jnp.tanh(s),)

    def leaky(p: Any, state: Any, s: Any) -> Any:
        return (state[0] + (jnp.tanh(s) - state[0]) / p["tau"],)

    def lstm(p: Any, state: Any, s: Any) -> Any:
        i, f, g, o = jnp.split(s, 4, axis=-1)
        c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    return {"plain": plain, "leaky": leaky, "lstm": lstm}[cell]


def hearing(blocks: tuple[tuple[int, int], ...]) -> Callable[[Any], Any]:
    """What units hear of the last outputs y(t), y(t−1), …: each block from as far back as it is."""

    def hear(past: Any) -> Any:
        if len(blocks) == 1:
            return past[0]
        parts = [y[..., a:b] for y, (a, b) in zip(past, blocks, strict=True)]
        return jnp.concatenate(parts, axis=-1)

    return hear


def recurrent_product(problem: Problem, gathers: bool) -> Callable[[Any, Any], Any]:
    """The product of recurrent weights and what is heard."""
    n = problem.case.units
    dense = problem.weights.reshape(-1, n + problem.case.inputs)[:, :n]
    if gathers:
        width = max(int((dense != 0).sum(axis=1).max()), 1)
        # Each row's sources, and some that are not connected where it has fewer.
        sources = np.argsort(dense == 0, axis=1, kind="stable")[:, :width]
        at = jnp.asarray(sources)
        row = jnp.arange(len(dense))[:, None]

        def gathered(W: Any, y: Any) -> Any:
            return jnp.sum(W[row, at] * y[..., at], axis=-1)

        return gathered

    def product(W: Any, y: Any) -> Any:
        return W[:, :n] @ y if problem.alone else y @ W[:, :n].T

    return product


def trajectory(problem: Problem, unroll: int, gathers: bool = False) -> Callable[[Any, Any], Any]:
    """Outputs of all steps from parameters and inputs."""
    n, cell = problem.case.units, problem.case.cell
    step, hear = step_of(cell), hearing(problem.heard)
    longest = len(problem.heard)
    product = recurrent_product(problem, gathers)

    def outputs(p: Any, x: Any) -> Any:
        driven = x @ p["W"][:, n:].T + p.get("b", jnp.zeros((), x.dtype))

        def body(carry: Any, drive: Any) -> Any:
            past, state = carry
            state = step(p, state, product(p["W"], hear(past)) + drive)
            return ((state[0], *past[:-1]), state), state[0]

        zero = jnp.zeros((*driven.shape[1:-1], n), driven.dtype)
        first = ((zero,) * longest, (zero,) * (2 if cell == "lstm" else 1))
        return jax.lax.scan(body, first, driven, unroll=unroll)[1]

    return outputs


def objective(problem: Problem, outputs: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """J of parameters, inputs and targets."""
    chosen = np.array(problem.targets)

    def J(p: Any, x: Any, target: Any) -> Any:
        return -0.5 * jnp.sum((target - outputs(p, x)[..., chosen]) ** 2)

    return J


def scan(problem: Problem, unroll: int, gathers: bool = False) -> Contender:
    """Forward, or forward and back, through ``lax.scan``."""
    name = "JAX scan of gathers" if gathers else f"JAX scan, unroll {unroll}"
    p, x, target = parameters(problem), rows(problem, problem.x), rows(problem, problem.target)
    outputs = trajectory(problem, unroll, gathers)
    if problem.case.what == "forward":
        forward = jax.jit(outputs)

        def y(answer: Any) -> Any:
            found = np.asarray(answer)
            return found[..., None] if problem.alone else found.swapaxes(1, 2)

        return Contender(name, lambda: jax.block_until_ready(forward(p, x)), y)
    function = jax.jit(jax.value_and_grad(objective(problem, outputs)))

    def read(answer: Any) -> Any:
        J, slopes = answer
        n = problem.case.units
        biases = np.asarray(slopes["b"]).reshape(-1, n) if "b" in slopes else None
        return float(J), problem.flat(slopes["W"], biases, slopes.get("tau"))

    return Contender(name, lambda: jax.block_until_ready(function(p, x, target)), read)


# --- online ----------------------------------------------------------------------------------


def sensitivities(problem: Problem) -> Contender:
    """Real-time recurrent learning of a plain net: sensitivities carried in a ``scan``.

    They have a column for each connection there is, as a user would write it; the product with the
    weights is one dense matrix product a step.
    """
    units, dtype = problem.case.units, problem.theta.dtype
    weights = problem.weights[0]
    targets = np.array(problem.targets)
    wiring = problem.net.wiring
    own = jnp.asarray((np.arange(units)[:, None] == wiring.target).astype(dtype))
    columns = jnp.asarray(wiring.source)

    def sweep(weights: Any, x: Any, target: Any) -> Any:
        recurrent, driven = weights[:, :units], x @ weights[:, units:].T

        def step(carry: Any, given: Any) -> Any:
            y, p, J, gradient = carry
            drive, x_t, target_t = given
            carried = jnp.concatenate([y, x_t])[columns]
            new = jnp.tanh(recurrent @ y + drive)
            p = (1 - new * new)[:, None] * (recurrent @ p + own * carried)
            error = target_t - new[targets]
            return (new, p, J - 0.5 * error @ error, gradient + error @ p[targets]), None

        zero = jnp.zeros((), dtype)
        first = (jnp.zeros(units, dtype), jnp.zeros(own.shape, dtype), zero,
                 jnp.zeros(wiring.size, dtype))  # fmt: skip
        (_, _, J, gradient), _ = jax.lax.scan(step, first, (driven, x, target))
        return J, gradient

    function = jax.jit(sweep)
    given = (jnp.asarray(weights), rows(problem, problem.x), rows(problem, problem.target))

    def read(answer: Any) -> Any:
        found = np.zeros(len(problem.theta), dtype)
        found[wiring.weight] = np.asarray(answer[1])
        return float(answer[0]), found

    return Contender("JAX RTRL scan", lambda: jax.block_until_ready(function(*given)), read)


def forward_mode(problem: Problem) -> Contender:
    """``jacfwd`` of the scan by the weights there are: RTRL as one word of JAX."""
    J = objective(problem, trajectory(problem, unroll=1))
    wiring, shape = problem.net.wiring, problem.weights[0].shape

    def by_connections(w: Any, x: Any, target: Any) -> Any:
        value = J({"W": jnp.zeros(shape, w.dtype).at[wiring.target, wiring.source].set(w)},
                  x, target)  # fmt: skip
        return value, value

    function = jax.jit(jax.jacfwd(by_connections, has_aux=True))
    w = jnp.asarray(problem.theta[wiring.weight])
    x, target = rows(problem, problem.x), rows(problem, problem.target)

    def read(answer: Any) -> Any:
        found = np.zeros(len(problem.theta), problem.theta.dtype)
        found[wiring.weight] = np.asarray(answer[0])
        return float(answer[1]), found

    return Contender("JAX jacfwd", lambda: jax.block_until_ready(function(w, x, target)), read)


def windows(problem: Problem, h: int, h_prime: int) -> Contender:
    """BPTT(h; h′): a scan over windows, each a sweep back over the last h steps.

    Carried from window to window are the last h heard vectors and outputs, as an online run has
    no others. A last part of a sequence that fills no window is swept in the same way.
    """
    units, dtype = problem.case.units, problem.theta.dtype
    targets = np.array(problem.targets)
    T, width = problem.steps, problem.weights.shape[2]

    def advance(weights: Any, carry: Any, given: Any) -> Any:
        y, seen, outputs, J, gradient = carry
        x, target = given
        count = len(x)

        def step(y: Any, x_t: Any) -> Any:
            z = jnp.concatenate([y, x_t])
            y = jnp.tanh(weights @ z)
            return y, (z, y)

        y, (z, new) = jax.lax.scan(step, y, x)
        seen = jnp.concatenate([seen, z])[-h:]
        outputs = jnp.concatenate([outputs, new])[-h:]
        error = target - new[:, targets]
        injected = jnp.zeros((max(h, count), units), dtype)
        injected = injected.at[-count:, targets].set(error)[-h:]
        recurrent = weights[:, :units].T

        def back(eps: Any, given: Any) -> Any:
            e, y_t = given
            delta = (eps + e) * (1 - y_t * y_t)
            return recurrent @ delta, delta

        _, delta = jax.lax.scan(back, jnp.zeros(units, dtype), (injected, outputs), reverse=True)
        return y, seen, outputs, J - 0.5 * jnp.sum(error**2), gradient + delta.T @ seen

    def sweep(weights: Any, x: Any, target: Any) -> Any:
        carry = (jnp.zeros(units, dtype), jnp.zeros((h, width), dtype),
                 jnp.zeros((h, units), dtype), jnp.zeros((), dtype),
                 jnp.zeros(weights.shape, dtype))  # fmt: skip
        whole = T // h_prime * h_prime
        cut = tuple(a[:whole].reshape(-1, h_prime, a.shape[1]) for a in (x, target))
        if whole:
            carry, _ = jax.lax.scan(lambda c, g: (advance(weights, c, g), None), carry, cut)
        if whole < T:
            carry = advance(weights, carry, (x[whole:], target[whole:]))
        return carry[3], carry[4]

    function = jax.jit(sweep)
    given = (jnp.asarray(problem.weights[0]), rows(problem, problem.x),
             rows(problem, problem.target))  # fmt: skip

    def read(answer: Any) -> Any:
        return float(answer[0]), problem.flat(answer[1])

    name = f"JAX BPTT({h}; {h_prime})"
    return Contender(name, lambda: jax.block_until_ready(function(*given)), read)
