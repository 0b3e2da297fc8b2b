"""A network unrolled in JAX from its stated equations: autodiff's word on gradients.

It shares nothing with the calculus or with Programs: the cells' equations go through SymPy's
``lambdify``, the connections become one dense matrix for each delay and net input, and JAX
differentiates the scan over time. Any cell, delay, shared weight, mask and batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from derive.network.network import Network
from tests.strategies import Data

JAX = [{"logistic": jax.nn.sigmoid, "softplus": jax.nn.softplus, "relu": jax.nn.relu}, "jax"]
# Each network is compiled for one call: what XLA would gain in it, it would lose in making it.
QUICK = {"xla_backend_optimization_level": 0}
WITH_RESPECT_TO = ("theta", "x", "y0")


def autodiff(net: Network, values: Data, forced: bool = False) -> tuple[float, dict[str, Any]]:
    """J^total and its gradient by theta, x and y0; a batch is summed."""
    objective = unrolled(net, forced)
    slopes = jax.jit(jax.value_and_grad(objective, argnums=(0, 1, 4)), compiler_options=QUICK)
    J, found = slopes(*(jnp.asarray(a) for a in values))
    return float(J), {k: np.asarray(v) for k, v in zip(WITH_RESPECT_TO, found, strict=True)}


def unrolled(net: Network, forced: bool = False) -> Callable[..., Any]:
    """J^total as a function of theta, x, target, mask and y0.

    Parameters
    ----------
    forced : bool
        Teacher forcing: after J(t) a target stands where the output did, for all that follows.
    """
    columns = {place: i for i, place in enumerate(net.states)}
    output = np.array(
        [columns[k, net.cells[c].output] for k, c in enumerate(net.cell_index.tolist())]
    )
    advance = [_cell_step(net, c) for c in range(len(net.cells))]
    d, y = sympy.symbols("d y", real=True)
    term = sympy.lambdify([d, y], net.objective.expression, JAX)
    targets = output[list(net.objective.targets)]

    def objective(theta: Any, x: Any, target: Any, mask: Any, y0: Any) -> Any:
        weights = _matrices(net, theta)
        nothing = jnp.zeros((net.units + net.inputs, *x.shape[2:]))

        def step(carried: Any, given: Any) -> Any:
            state, past = carried  # past[D] is what was heard D steps ago, zero before time 0
            x_t, wanted, there = given
            past = [None, jnp.concatenate([state[output], x_t]), *past[1:]]
            sums = sum(
                (jnp.einsum("pks,s...->pk...", matrix, past[delay])
                 for delay, matrix in weights.items()),
                start=jnp.zeros((most_ports(net), net.units, *x.shape[2:])),
            )  # fmt: skip
            new = jnp.zeros_like(state)
            for advanced in advance:
                new = advanced(theta, state, sums, new)
            wanted = jnp.where(there != 0, wanted, 0.0)
            J = jnp.sum(jnp.where(there != 0, there * term(wanted, new[targets]), 0.0))
            if forced:
                new = new.at[targets].set(jnp.where(there != 0, wanted, new[targets]))
            return (new, past[:-1]), J

        first = (y0, [None] + [nothing] * net.wiring.longest_delay)
        return jnp.sum(jax.lax.scan(step, first, (x, target, mask))[1])

    return objective


def most_ports(net: Network) -> int:
    """The largest number of net inputs of any cell, and at least 1."""
    return max([1, *(len(c.net_inputs) for c in net.cells)])


def _matrices(net: Network, theta: Any) -> dict[int, Any]:
    """For each delay the weights as (net input, target, source)."""
    w = net.wiring
    shape = (most_ports(net), net.units, net.units + net.inputs)
    found = {}
    for delay in np.unique(w.delay).tolist():
        of = w.delay == delay
        places = (w.port[of], w.target[of], w.source[of])
        found[delay] = jnp.zeros(shape).at[places].set(theta[w.weight[of]])
    return found


def _cell_step(net: Network, c: int) -> Callable[..., Any]:
    """All units of one cell at once: their columns of the new states."""
    cell, units = net.cells[c], np.flatnonzero(net.cell_index == c)
    places = {place: i for i, place in enumerate(net.states)}
    columns = {s: np.array([places[k, s] for k in units.tolist()]) for s in cell.states}
    trainable = {p.name: net.unit_parameters[p.name][units] for p in cell.trainable}
    fixed = {p.name: net.values[p.name][units] for p in cell.fixed}
    eq = cell.equations
    equations = []
    for symbol, body in (*eq.intermediates.items(), *eq.states.items()):
        names = sorted(v.name for v in body.free_symbols)
        arguments = [sympy.Symbol(name, real=True) for name in names]
        equations.append((symbol.name, names, sympy.lambdify(arguments, body, JAX)))

    def step(theta: Any, state: Any, sums: Any, new: Any) -> Any:
        def spread(values: Any) -> Any:  # one number a unit, the same for every sequence
            return jnp.reshape(values, (-1,) + (1,) * (state.ndim - 1))

        known = {s: state[at] for s, at in columns.items()}
        known |= {s: sums[i, units] for i, s in enumerate(cell.net_inputs)}
        known |= {name: spread(theta[at]) for name, at in trainable.items()}
        known |= {name: spread(jnp.asarray(values)) for name, values in fixed.items()}
        after = {}
        for name, names, function in equations:
            value = function(*(known[v] for v in names))
            # A state's equation reads the old states, also after a new one is known.
            (after if name in columns else known)[name] = value
        for name, at in columns.items():
            new = new.at[at].set(jnp.broadcast_to(after[name], new[at].shape))
        return new

    return step
