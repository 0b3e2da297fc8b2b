"""A network with the user's numbers: its right gradient there, and what a faulty Program gives.

No equation stands here. A faulty gradient is that of a Program in which a mistake is planted
(:mod:`derive.verify.faults`), or of another algorithm, or of other arguments; each is run on the
numbers at hand, every sequence of a batch in a lane of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from derive.errors import DeriveError
from derive.gradient_check.asked import GradientCheckError, floats
from derive.interpreted import Interpreted
from derive.network.network import Network
from derive.program.algorithms import ALGORITHMS, programs, settle
from derive.program.interpret import run
from derive.program.ir import Program
from derive.verify.faults import plant

Floats = Any
Algorithm = Mapping[str, Any]

INTERPRETED = 200_000
"""Statements up to which the right gradient is interpreted; beyond it is compiled."""

_KNOWN: WeakKeyDictionary[Network, dict[str, dict[str, Program]]] = WeakKeyDictionary()
"""Programs by network and algorithm, for as long as the network is there."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Arguments in double precision, with sequences along a last axis B.

    Attributes
    ----------
    net : Network
    algorithm : dict
        Whose gradient is asked for, with its options.
    theta, x, target, mask, y0 : (P,), (T, m, B), (T, n_T, B), (T, n_T, B), (N, B) arrays
    masked : bool
        Whether a mask was given.
    """

    net: Network
    algorithm: Algorithm
    theta: Floats
    x: Floats
    target: Floats
    mask: Floats
    y0: Floats
    masked: bool

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[0])

    @property
    def sequences(self) -> int:
        """B."""
        return int(self.x.shape[2])

    def asking(self, name: str, **options: Any) -> dict[str, Any]:
        """Another algorithm, forced as the one asked for is unless told otherwise."""
        options.setdefault("teacher_forcing", bool(self.algorithm.get("teacher_forcing", False)))
        return settle(self.net, name, options)

    def programs(self, algorithm: Algorithm) -> dict[str, Program]:
        """The Programs of an algorithm; made once."""
        key = repr(sorted(algorithm.items()))
        known = _KNOWN.setdefault(self.net, {})
        if key not in known:
            found = programs(self.net, algorithm)
            known[key] = {name: found[name] for name in ("forward", "gradient")}
        return known[key]

    def lanes(
        self, algorithm: Algorithm | None = None, fault: str | None = None
    ) -> tuple[Floats, Floats] | None:
        """J (B,) and its gradient (P, B) of each sequence; None where a fault has no place."""
        algorithm = self.algorithm if algorithm is None else algorithm
        of = self.programs(algorithm)
        if fault is not None:
            wrong = plant(of, fault, self.net)
            if wrong is None or wrong["gradient"] is of["gradient"]:
                return None
            of = wrong
        kernel = Interpreted(self.net, of, "float64", True, algorithm["name"])
        inputs, T, lanes = kernel.read(self.theta, self.x, self.y0)
        inputs |= kernel.past(None, lanes) | kernel.targets(self.target, self.mask, T, lanes)
        sizes = {"T": T, "mask_step": 1, "mask_rows": T}
        with np.errstate(all="ignore"):
            found = run(of["gradient"], kernel.arithmetic, inputs, sizes, lanes)
        return np.broadcast_to(found["J"], lanes), found["grad_theta"]

    def gradient(self, algorithm: Algorithm | None = None, fault: str | None = None) -> Floats:
        """The gradient (P,) of J summed over the sequences; None where a fault has no place."""
        found = self.lanes(algorithm, fault)
        return None if found is None else found[1].sum(axis=-1)

    def at(self, theta: Floats) -> Problem:
        """The same with another theta."""
        return replace(self, theta=np.ascontiguousarray(theta, dtype=np.float64))

    @cached_property
    def right(self) -> tuple[Floats, Floats]:
        """J (B,) and gradient (P, B) of the algorithm asked for; for a large net, both summed."""
        if cost(self, self.algorithm) > INTERPRETED:
            return self._compiled()
        found = self.lanes()
        assert found is not None
        return found

    def _compiled(self) -> tuple[Floats, Floats]:
        from derive.kernel import compile

        options = {k: v for k, v in self.algorithm.items() if k != "name"}
        kernel = compile(self.net, self.algorithm["name"], batch=True, **options)
        J, gradient = kernel.gradient(self.theta, self.x, self.target, self.mask, self.y0)
        return np.array([J]), gradient[:, None]

    @property
    def J(self) -> float:
        """J of all sequences."""
        return float(self.right[0].sum())


def cost(problem: Problem, algorithm: Algorithm) -> int:
    """About how many statements a run takes."""
    w, T = problem.net.wiring.size + problem.net.units, problem.steps
    match algorithm["name"]:
        case "truncated":
            h, newest = min(algorithm["h"], T), min(algorithm.get("h_prime", 1), T)
            return w * T * (2 + 3 * h // newest)
        case "realtime":
            return 2 * w * T * T
        case "rtrl" | "hybrid":
            return w * T * (4 + problem.net.size)
    return 5 * w * T


def problem(
    net: Any,
    algorithm: Any,
    theta: Any,
    x: Any,
    target: Any,
    mask: Any = None,
    y0: Any = None,
) -> Problem:
    """The network's arguments, checked.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the shape or type expected and that given.
    GradientCheckError
        For an algorithm that gives no gradient of a sequence.
    """
    from derive.kernel import as_network

    net = as_network(net)
    settled = _settled(net, algorithm)
    flat = _theta(net, floats("theta", theta))
    x, target = floats("x", x), floats("target", target)
    if x.ndim not in (2, 3):
        raise ValueError(f"x: expected (T, m={net.inputs}) or (T, m, B), got {x.shape}")
    batch = x.ndim == 3
    lanes = x.shape[2:]
    kernel = Interpreted(net, {}, "float64", batch, settled["name"])
    given, T, _ = kernel.read(flat, x, None if y0 is None else floats("y0", y0))
    judged = kernel.targets(
        target, None if mask is None else floats("mask", mask, "biuf"), T, lanes
    )
    effective = np.broadcast_to(judged["mask"], judged["target"].shape)
    wide = {k: v if batch else v[..., None] for k, v in {**given, **judged}.items() if k != "theta"}
    effective = np.array(effective if batch else effective[..., None])
    return Problem(
        net, settled, flat, wide["x"], wide["target"], effective, wide["y0"], mask is not None
    )


def _settled(net: Network, algorithm: Any) -> dict[str, Any]:
    if algorithm is None:
        algorithm = "epochwise"
    if isinstance(algorithm, str):
        algorithm = {"name": algorithm}
    if not isinstance(algorithm, Mapping) or "name" not in algorithm:
        raise TypeError(
            f"algorithm: expected a name ({', '.join(ALGORITHMS)}) or a dict with name and "
            f"options, as {{'name': 'truncated', 'h': 3}}, got {algorithm!r}"
        )
    options = {k: v for k, v in algorithm.items() if k != "name"}
    settled = settle(net, algorithm["name"], options)
    if settled["name"] == "settling":
        raise GradientCheckError(
            "gradcheck: settling has no gradient of a sequence; derive.verify checks it"
        )
    return settled


def _theta(net: Network, theta: Floats) -> Floats:
    """Theta flat; a weight matrix (n, n+m) will do where that is all of theta."""
    if theta.shape == (net.units, net.units + net.inputs) and theta.size == net.size:
        flat = theta.ravel()
        try:
            same = np.array_equal(net.weight_matrix(flat), theta)
        except DeriveError:
            same = False
        if same:
            return flat
    if theta.shape != (net.size,):
        raise ValueError(f"theta: expected (P={net.size},), got {theta.shape}")
    return theta
