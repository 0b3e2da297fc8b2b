"""What every contender is given, and the layout of what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.bench.case import Case

Array = np.ndarray[Any, Any]
BIASES = ("b_i", "b_f", "b_g", "b_o")


@dataclass(frozen=True)
class Problem:
    """Arrays of a case, in derive's layout: time first, sequences last.

    Attributes
    ----------
    case : Case
    net : Network
    theta : (P,) array
    x : (T, m, B) array
    target : (T, n_T, B) array
    """

    case: Case
    net: Any
    theta: Array
    x: Array
    target: Array

    @property
    def steps(self) -> int:
        """T."""
        return len(self.x)

    @property
    def sequences(self) -> int:
        """B."""
        return int(self.x.shape[2])

    @property
    def targets(self) -> tuple[int, ...]:
        """The units that have targets."""
        return tuple(self.net.objective.targets)

    @property
    def alone(self) -> bool:
        """Whether there is one sequence, so that arrays need no axis of sequences."""
        return self.sequences == 1

    @property
    def weights(self) -> Array:
        """Dense weights (gates, n, n+m), zero where there is no connection."""
        w, n = self.net.wiring, self.case.units
        gates = len(BIASES) if self.case.cell == "lstm" else 1
        dense = np.zeros((gates, n, n + self.x.shape[1]), self.theta.dtype)
        dense[w.port, w.target, w.source] = self.theta[w.weight]
        return dense

    @property
    def biases(self) -> Array:
        """Biases of the gates (gates, n); empty where units have none."""
        at = [self.net.unit_parameters[b] for b in BIASES if b in self.net.unit_parameters]
        return np.array([self.theta[i] for i in at], self.theta.dtype)

    @property
    def tau(self) -> Array:
        """Time constants (n,); empty where units have none."""
        at = self.net.unit_parameters.get("tau", np.zeros(0, int))
        return np.ascontiguousarray(self.theta[at])

    @property
    def delays(self) -> Array:
        """Steps until each unit is heard (n,)."""
        return np.array([self.case.delay(j) for j in range(self.case.units)])

    @property
    def heard(self) -> tuple[tuple[int, int], ...]:
        """Which block of units is heard after 1, 2, … steps, as first and last + 1."""
        delays = self.delays
        edges = np.searchsorted(delays, np.arange(1, int(delays.max()) + 2))
        return tuple((int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True))

    def flat(self, weights: Any, biases: Any = None, tau: Any = None) -> Array:
        """A gradient by dense weights, biases and time constants, in theta's layout."""
        w, at = self.net.wiring, self.net.unit_parameters
        found = np.zeros(len(self.theta), np.asarray(weights).dtype)
        dense = np.asarray(weights).reshape(self.weights.shape)
        found[w.weight] = dense[w.port, w.target, w.source]
        for name, slope in zip(BIASES, () if biases is None else np.asarray(biases), strict=False):
            found[at[name]] = slope
        if tau is not None:
            found[at["tau"]] = np.asarray(tau)
        return found

    def in_float64(self) -> Problem:
        """The same numbers, to compute with more digits."""
        arrays = (self.theta, self.x, self.target)
        theta, x, target = (a.astype(np.float64) for a in arrays)
        return replace(self, theta=theta, x=x, target=target)


def problem_of(case: Case) -> Problem:
    """Random numbers of a case's shapes."""
    net = case.network()
    generator = np.random.default_rng(7)
    x = generator.normal(size=(case.steps, case.inputs, case.batch))
    target = np.tanh(generator.normal(size=(case.steps, len(case.targets), case.batch)))
    given = (a.astype(case.dtype) for a in (net.init(seed=1), x, target))
    return Problem(case, net, *given)


@dataclass(frozen=True)
class Contender:
    """One way to compute a case.

    Attributes
    ----------
    name : str
    run : callable
        Computes it, and returns when it is there. This is what is timed.
    read : callable
        The answer from what ``run`` returned: (J, gradient in theta's layout), or of ``forward``
        the units' outputs y(1) … y(T), shape (T, n, B).
    """

    name: str
    run: Callable[[], Any]
    read: Callable[[Any], Any]


Maker = Callable[[], Contender]
"""Makes a contender; what it raises is said of that contender alone."""
