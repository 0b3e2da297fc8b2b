"""A network unrolled in JAX from its stated equations: autodiff's word on gradients.

It shares nothing with the calculus or with Programs: the cells' equations go through SymPy's
``lambdify``, connections are gathered and scattered by their indices, and JAX differentiates the
scan over time. Any cell, synapse, delay, shared or fixed weight, mask and batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from derive.network.network import Network
from derive.network.objective import Term
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
    terms = [_judged(net, term) for term in net.objective.terms]
    targets = output[list(net.objective.targets)]
    added = _connections(net, output)
    parts = 1 + max((stage for stages in net.stages.values() for stage in stages), default=0)

    def objective(theta: Any, x: Any, target: Any, mask: Any, y0: Any) -> Any:
        nothing = jnp.zeros((len(net.states) + net.inputs, *x.shape[2:]))

        def step(carried: Any, given: Any) -> Any:
            state, past = carried  # past[D] is what was there D steps ago, zero before time 0
            x_t, wanted, there = given
            past = [None, jnp.concatenate([state, x_t]), *past[1:]]
            new = jnp.zeros_like(state)
            for _ in range(parts):  # until what is heard in the same step has come round
                past[0] = jnp.concatenate([new, jnp.zeros_like(x_t)])
                sums = jnp.zeros((most_ports(net), net.units, *x.shape[2:]))
                for add in added:
                    sums = add(theta, state, past, sums)
                for advanced in advance:
                    new = advanced(theta, state, sums, new)
            wanted = jnp.where(there != 0, wanted, 0.0)
            lanes = jnp.zeros(x.shape[2:])
            J = sum(jnp.sum(lanes + term(new[output], wanted, there, theta)) for term in terms)
            if forced:
                new = new.at[targets].set(jnp.where(there != 0, wanted, new[targets]))
            return (new, [None, *past[1:-1]]), J

        first = (y0, [None] + [nothing] * net.wiring.longest_delay)
        return jnp.sum(jax.lax.scan(step, first, (x, target, mask))[1])

    return objective


def _judged(net: Network, term: Term) -> Callable[..., Any]:
    """What one term says of one time, for outputs, targets, mask and theta."""
    column = {k: j for j, k in enumerate(net.objective.targets)}
    units = term.units if term.units is not None else range(net.units)
    letters = ("d", "y", "w", *term.constants, *(p.name for p in term.pools))

    def function(expr: Any) -> Any:
        body = sympy.lambdify([sympy.Symbol(v, real=True) for v in letters], expr, JAX)
        return lambda **known: body(*(known.get(name, 0.0) for name in letters))

    summand = function(term.expression)
    pooled = [(p, function(term.pooled(p))) for p in term.pools]
    places = [
        i for p in net.parameters if p.name in (term.names or ()) for i in range(p.start, p.stop)
    ]

    def value(y: Any, wanted: Any, there: Any, theta: Any) -> Any:
        if term.over == "parameters":
            return sum(summand(w=theta[i], **term.constants) for i in places)
        each = [
            {c: v[i] if isinstance(v, tuple) else v for c, v in term.constants.items()}
            | {"y": y[k]}
            for i, k in enumerate(units)
        ]
        pools: dict[str, Any] = {}
        for pool, share in pooled:
            shares = jnp.stack([jnp.asarray(share(**known, **pools)) for known in each])
            pools[pool.name] = shares.max(axis=0) if pool.kind == "max" else shares.sum(axis=0)
        if term.over == "units":
            return sum(summand(**known, **pools) for known in each)
        of_targets = ((known, column[k]) for known, k in zip(each, units, strict=True))
        return sum(
            jnp.where(there[j] != 0, there[j] * summand(**known, **pools, d=wanted[j]), 0.0)
            for known, j in of_targets
        )

    return value


def most_ports(net: Network) -> int:
    """The largest number of net inputs of any cell, and at least 1."""
    return max([1, *(len(c.net_inputs) for c in net.cells)])


def _connections(net: Network, output: Any) -> list[Callable[..., Any]]:
    """For each cell, net input and delay, what its connections add: w·x, or what is stated."""
    w, places = net.wiring, {place: i for i, place in enumerate(net.states)}
    found = []
    for c, cell in enumerate(net.cells):
        stated = {s.name: e for s, e in cell.equations.synapses.items()}
        for p, port in enumerate(cell.ports):
            names = ["w", "x", *cell.states, *(q.name for q in port.parameters)]
            symbols = {name: sympy.Symbol(name, real=True) for name in names}
            expr = stated.get(port.name, symbols["w"] * symbols["x"])
            function = sympy.lambdify(list(symbols.values()), expr, JAX)
            for delay in np.unique(w.delay).tolist():
                of = np.flatnonzero(
                    (net.cell_index[w.target] == c) & (w.port == p) & (w.delay == delay)
                )
                if of.size:
                    sources = [
                        len(net.states) + source - net.units
                        if source >= net.units
                        else places[source, port.hears]
                        if port.hears
                        else output[source]
                        for source in w.source[of].tolist()
                    ]
                    found.append(_adding(net, cell, p, delay, of, np.array(sources), function))
    return found


def _adding(
    net: Network, cell: Any, p: int, delay: int, of: Any, sources: Any, function: Any
) -> Callable[..., Any]:
    """The connections ``of`` the wiring, which lead into net input p of units of one cell."""
    w, places = net.wiring, {place: i for i, place in enumerate(net.states)}
    into, weight, learnt = w.target[of], w.weight[of], w.learnt[of]
    own = [np.array([places[k, s] for k in into.tolist()]) for s in cell.states]
    at = [
        np.where(learnt, net.connection_parameters[q.name][np.where(learnt, weight, 0)], 0)
        for q in cell.ports[p].parameters
    ]
    first = [q.initial for q in cell.ports[p].parameters]

    def add(theta: Any, state: Any, past: Any, sums: Any) -> Any:
        def spread(values: Any) -> Any:
            return jnp.reshape(values, (-1,) + (1,) * (state.ndim - 1))

        weights = jnp.concatenate([theta[: w.weights], jnp.asarray(w.fixed, dtype=float)])
        further = [
            spread(jnp.where(learnt, theta[i], initial))
            for i, initial in zip(at, first, strict=True)
        ]
        values = function(
            spread(weights[weight]), past[delay][sources], *(state[i] for i in own), *further
        )
        return sums.at[p, into].add(values)

    return add


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
