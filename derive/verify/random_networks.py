"""Networks nobody chose, each with an algorithm: drawn from a seed, and verified.

What one would not think of stating together is drawn together: cells of the library beside one
another, delays, connections that share a weight or have a fixed one, input lines that reach
nothing, units without a target, terms that pool, penalties, short windows. Network number k of
``--random N --seed S`` is that of seed S + k, so that each can be had alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from derive.errors import DerivationError, NetworkError
from derive.network.cell import Cell
from derive.network.library import ACTIVATIONS, LIBRARY
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.objectives import (
    Activity,
    LogisticCrossEntropy,
    SoftmaxCrossEntropy,
    WeightDecay,
)
from derive.network.topology import Connection
from derive.program.algorithms import ALGORITHMS, NEEDED, settle

UNITS, INPUTS, DELAY = 3, 2, 4
"""The most that are drawn."""

WRITTEN = 7
"""Net inputs and states of all units, at most: a proof writes each of them out at every step."""

EXPRESSIONS = ("-(d - y)**2/2", "-(d - y)**4/4", "-log(cosh(d - y))", "d*y - softplus(y)")

LONGEST, CAPACITY = 3, 32
"""Steps of a window, and steps a history has room for."""


def draw_network(seed: int) -> Network:
    """The network of a seed: 1 … 3 units, up to 2 input lines, delays up to 4.

    Parameters
    ----------
    seed : int
        Not negative; the same seed gives the same network.

    Returns
    -------
    Network
        Named ``drawn_SEED``, and saved by that name it is the same again.
    """
    generator = np.random.Generator(np.random.PCG64([seed, 1]))
    n, m = int(generator.integers(1, UNITS + 1)), int(generator.integers(INPUTS + 1))
    mixed = n > 1 and generator.random() < 0.4
    cells = [_lighter(generator) for _ in range(n if mixed else 1)]
    cells = cells if mixed else cells * n
    while n > 1 and sum(len(c.net_inputs) + len(c.states) for c in cells[:n]) > WRITTEN:
        n -= 1
    cells = cells[:n]
    connections = _connections(generator, cells, m)
    objective = _objective(generator, n)
    name = f"drawn_{seed}"
    net = Network(cells, n, m, connections, objective, name=name)
    if net.wiring.weights and generator.random() < 0.25:
        penalised = objective + WeightDecay(0.125, ["w"])
        net = Network(cells, n, m, connections, penalised, name=name)
    return net


def _lighter(generator: Any) -> Cell:
    """Of two cells the one with fewer net inputs: the heavy ones take most of the time."""
    return min((_cell(generator) for _ in range(2)), key=lambda c: len(c.net_inputs))


def _cell(generator: Any) -> Cell:
    """A cell of the library; what can be true or false is drawn, and its activation."""
    names = sorted(LIBRARY)
    make = LIBRARY[names[generator.integers(len(names))]]
    arguments: dict[str, Any] = {}
    for name, parameter in inspect.signature(make).parameters.items():
        if isinstance(parameter.default, bool):
            arguments[name] = bool(generator.integers(2))
        elif name == "activation":
            activations = sorted(ACTIVATIONS)
            arguments[name] = activations[generator.integers(len(activations))]
    try:
        return make(**arguments)
    except NetworkError:  # not all of these go together
        return make()


def possible(cells: list[Cell], m: int, longest_delay: int) -> list[tuple[int, int, int, str]]:
    """Every target, source, delay and net input that a connection could have.

    Of the same step a unit hears only those before it, so that none waits for itself.
    """
    n = len(cells)
    return [
        (k, source, delay, s.name)
        for k, c in enumerate(cells)
        for s in c.ports
        for source in range(n + m)
        for delay in range(0 if source < k else 1, longest_delay + 1)
        if source >= n or s.hears is None or s.hears in cells[source].states
    ]


def _connections(generator: Any, cells: list[Cell], m: int) -> list[Connection]:
    """Some of all that could be."""
    n = len(cells)
    places = possible(cells, m, DELAY)
    if not places:
        return []
    count = min(len(places), int(generator.integers(1, 3 * n + 3)))
    shared = generator.random() < 0.4
    drawn = []
    for i in sorted(generator.choice(len(places), count, replace=False).tolist()):
        target, source, delay, s = places[i]
        label = "tied" if shared and generator.random() < 0.4 else None
        fixed = None
        if label is None and generator.random() < 0.1:
            fixed = float(generator.integers(-8, 9)) / 8
        drawn.append(Connection(target, source, delay, s, label, fixed))
    return drawn


def _objective(generator: Any, n: int) -> Objective:
    def some() -> list[int]:
        return sorted(generator.permutation(n)[: generator.integers(1, n + 1)].tolist())

    kind = generator.random()
    if kind < 0.4:
        return SquaredError(some())
    if kind < 0.7:
        return Objective(EXPRESSIONS[generator.integers(len(EXPRESSIONS))], some())
    if kind < 0.8:
        return SoftmaxCrossEntropy(some())
    if kind < 0.9:
        return LogisticCrossEntropy(some())
    return SquaredError(some()) + Activity("-lam*y**2/2", some(), {"lam": 0.25})


def draw_algorithm(
    net: Network, seed: int, name: str | None = None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """An algorithm for a drawn network, settled.

    Settling is drawn only by name: not every network has a fixed point.

    Parameters
    ----------
    name : str, optional
        The algorithm, drawn if not given; its options are drawn where they are not given.

    Raises
    ------
    DerivationError
        For options that ``name`` does not take.
    """
    generator = np.random.Generator(np.random.PCG64([seed, 2]))
    given = dict(options or {})
    names = sorted(set(ALGORITHMS) - {"settling"})
    drawn = names[generator.integers(len(names))]
    name = drawn if name is None else name
    if name not in ALGORITHMS:
        return settle(net, name, given)  # which says what there is
    chosen = {k: v for k, v in _options(generator, name, net).items() if k not in given}
    try:
        return settle(net, name, {**chosen, **given})
    except DerivationError:  # a group without a target, a window wider than another
        least = {k: o for k, o in chosen.items() if ALGORITHMS[name].options[k].default is NEEDED}
        return settle(net, name, {**least, **given})


def _options(generator: Any, name: str, net: Network) -> dict[str, Any]:
    """Short windows, now and then in groups or with teacher forcing."""
    known = ALGORITHMS[name].options
    h = int(generator.integers(1, LONGEST + 1))
    h_prime = int(generator.integers(1, h + 1))
    grouped, forced = generator.random() < 0.8, generator.random() < 0.25
    drawn: dict[str, Any] = {"h": h, "h_prime": h_prime, "capacity": CAPACITY}
    if grouped and net.units > 1:
        drawn["groups"] = 2
    if forced:
        drawn["teacher_forcing"] = True
    return {k: v for k, v in drawn.items() if k in known}
