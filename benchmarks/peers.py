"""The same gradient in JAX, PyTorch and NumPy, written as their users would write it for speed.

    s(t+1) = W [y(t), x(t)]      y(t+1) = tanh(s(t+1))      J = -1/2 sum over t, T of (d - y)^2

What is fair to the peers: W is a dense (n, n+m) matrix in which absent connections are zero, so
that none of them pays for a mask, a scatter or a gather; arrays are in each one's own layout and
memory before the clock starts; compilation is not timed. A sparse network costs them a dense
one's work, because that is what their recurrent layers offer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Answer = tuple[float, Array]


@dataclass(frozen=True)
class Problem:
    """One gradient to compute, in derive's layout: time first, sequences last.

    Attributes
    ----------
    weights : (n, n+m) array
        Row: target unit; column: source, units first; zero where there is no connection.
    x : (T, m, B) array
    target : (T, n_T, B) array
    targets : tuple of int
        The units that have targets.
    """

    weights: Array
    x: Array
    target: Array
    targets: tuple[int, ...]

    @property
    def sequences(self) -> int:
        """B."""
        return int(self.x.shape[2])


@dataclass(frozen=True)
class Contender:
    """A way to compute a gradient.

    Attributes
    ----------
    name : str
    run : callable
        Computes it, and returns when it is there. This is what is timed.
    read : callable
        J and dJ/dW, shape (n, n+m), as NumPy numbers, from what ``run`` returned.
    """

    name: str
    run: Callable[[], Any]
    read: Callable[[Any], Answer]


def numpy_loop(problem: Problem) -> Contender:
    """Epochwise backpropagation through time by hand, one matrix product a step."""
    weights, targets = problem.weights, list(problem.targets)
    steps, units = len(problem.x), len(weights)
    shape = (units, problem.sequences)
    # Columns of all steps at once: the sums over time become one product after the loop.
    z = np.zeros((steps + 1, weights.shape[1], problem.sequences), weights.dtype)
    z[:-1, units:] = problem.x
    back = np.ascontiguousarray(weights[:, :units].T)

    def run() -> Answer:
        for t in range(steps):
            np.tanh(weights @ z[t], out=z[t + 1, :units])
        error = problem.target - z[1:, targets]
        delta = np.empty((steps, *shape), weights.dtype)
        eps = np.zeros(shape, weights.dtype)
        for t in reversed(range(steps)):
            eps[targets] += error[t]
            np.multiply(eps, 1 - z[t + 1, :units] ** 2, out=delta[t])
            eps = back @ delta[t]
        return -0.5 * float((error**2).sum()), np.tensordot(delta, z[:-1], ((0, 2), (0, 2)))

    return Contender("NumPy loop", run, lambda answer: answer)


def jax_scan(problem: Problem, unroll: int) -> Contender:
    """``jit(value_and_grad(scan))``; inputs are multiplied with their weights before the scan."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # float32 arrays stay what they are
    # Otherwise a call returns to Python first, and waits for a thread that has no processor.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    units, dtype = len(problem.weights), problem.weights.dtype
    alone = problem.sequences == 1
    targets = np.array(problem.targets)

    def rows(array: Array) -> Any:  # (T, ·, B) -> (T, B, ·), or (T, ·) where B is 1
        return jnp.asarray(array[..., 0] if alone else array.swapaxes(1, 2).copy())

    def objective(weights: Any, x: Any, target: Any) -> Any:
        driven = x @ weights[:, units:].T
        recurrent = weights[:, :units]

        def step(y: Any, drive: Any) -> Any:
            y = jnp.tanh((recurrent @ y if alone else y @ recurrent.T) + drive)
            return y, y

        first = jnp.zeros(driven.shape[1:], dtype)
        _, y = jax.lax.scan(step, first, driven, unroll=unroll)
        return -0.5 * jnp.sum((target - y[..., targets]) ** 2)

    function = jax.jit(jax.value_and_grad(objective))
    given = (jnp.asarray(problem.weights), rows(problem.x), rows(problem.target))

    def run() -> Any:
        return jax.block_until_ready(function(*given))

    return Contender(
        f"JAX unroll {unroll}", run, lambda answer: (float(answer[0]), np.asarray(answer[1]))
    )


def jax_sensitivities(problem: Problem) -> Contender:
    """Real-time recurrent learning: sensitivities carried in a ``scan``, one sequence.

    They have a column for each connection there is, as a user would write it; the product with the
    weights is one dense matrix product a step.
    """
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    units, dtype = len(problem.weights), problem.weights.dtype
    targets = np.array(problem.targets)
    into, source = np.nonzero(problem.weights)
    own = jnp.asarray((np.arange(units)[:, None] == into).astype(dtype))
    columns = jnp.asarray(source)

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
                 jnp.zeros(len(into), dtype))  # fmt: skip
        (_, _, J, gradient), _ = jax.lax.scan(step, first, (driven, x, target))
        return J, gradient

    function = jax.jit(sweep)
    given = tuple(
        jnp.asarray(a) for a in (problem.weights, problem.x[..., 0], problem.target[..., 0])
    )

    def run() -> Any:
        return jax.block_until_ready(function(*given))

    def read(answer: Any) -> Answer:
        dense = np.zeros_like(problem.weights)
        dense[into, source] = np.asarray(answer[1])
        return float(answer[0]), dense

    return Contender("JAX RTRL scan", run, read)


def torch_rnn(problem: Problem) -> Contender:
    """``torch.nn.RNN`` without bias, in eager mode, and ``backward``."""
    import torch

    torch.set_num_threads(1)
    weights = problem.weights
    units, columns = weights.shape
    numbers = torch.from_numpy(weights).dtype
    net = torch.nn.RNN(columns - units, units, bias=False, nonlinearity="tanh", dtype=numbers)
    with torch.no_grad():
        net.weight_hh_l0.copy_(torch.from_numpy(weights[:, :units].copy()))
        net.weight_ih_l0.copy_(torch.from_numpy(weights[:, units:].copy()))
    x, target = (torch.from_numpy(a.swapaxes(1, 2).copy()) for a in (problem.x, problem.target))
    chosen = torch.tensor(problem.targets)

    def run() -> Any:
        net.zero_grad(set_to_none=True)
        y, _ = net(x)
        total = -0.5 * ((target - y.index_select(2, chosen)) ** 2).sum()
        total.backward()
        return total

    def read(total: Any) -> Answer:
        gradient = torch.cat([net.weight_hh_l0.grad, net.weight_ih_l0.grad], dim=1)
        return total.item(), gradient.numpy()

    return Contender("PyTorch nn.RNN", run, read)
