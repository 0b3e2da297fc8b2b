"""One cell of the grid: a network, what is computed of it, on how many sequences of what length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CELLS = ("plain", "leaky", "lstm")
DTYPES = ("float64", "float32")
WHOLE = ("gradient", "forward")
ONLINE = ("rtrl", "hybrid", "bptt", "chunks")
"""RTRL; the hybrid with h = 2n; BPTT(n); BPTT(2n; n)."""

WINDOWED = ("hybrid", "bptt", "chunks")

# What the slowest contender needs for a step: calls from Python, then arithmetic in small products.
CALLS = {"plain": 40e-6, "leaky": 120e-6, "lstm": 150e-6}
FLOPS = 15e9
SLOWEST = 0.15
LENGTHS = (1000, 500, 200, 100, 50, 20, 10, 5)


@dataclass(frozen=True)
class Case:
    """A cell of the grid.

    Attributes
    ----------
    cell : str
        ``plain``: tanh of the net input. ``leaky``: with a learnt time constant, and delays of 1,
        2 and 3 steps, by thirds of the units that are heard. ``lstm``: with a forget gate.
    units : int
    density : float
        The part of all connections that is there.
    batch : int
        Sequences. Where there is one, arrays have no axis of sequences.
    dtype : str
    what : str
        ``gradient`` (epochwise), ``forward``, or an online algorithm, of which too the gradient of
        a whole sequence is timed.
    """

    cell: str
    units: int
    density: float
    batch: int
    dtype: str
    what: str

    @property
    def key(self) -> str:
        """``plain-n64-d1-B32-float32-gradient``."""
        return f"{self.cell}-n{self.units}-d{self.density:g}-B{self.batch}-{self.dtype}-{self.what}"

    @property
    def inputs(self) -> int:
        """m."""
        return 2 if self.units <= 8 else 4

    @property
    def targets(self) -> tuple[int, ...]:
        """The units with targets, the last ones."""
        return (self.units - 1,) if self.units <= 3 else (self.units - 2, self.units - 1)

    @property
    def online(self) -> bool:
        """Whether this is about an online algorithm."""
        return self.what in ONLINE

    @property
    def algorithm(self) -> dict[str, Any]:
        """What ``derive.compile`` is told."""
        n = self.units
        online: dict[str, dict[str, Any]] = {
            "rtrl": {"algorithm": "rtrl"},
            "hybrid": {"algorithm": "hybrid", "h": 2 * n},
            "bptt": {"algorithm": "truncated", "h": n},
            "chunks": {"algorithm": "truncated", "h": 2 * n, "h_prime": n},
        }
        return online.get(self.what, {"algorithm": "epochwise"})

    @property
    def connections(self) -> float:
        """About how many there are."""
        gates = 4 if self.cell == "lstm" else 1
        return gates * self.density * self.units * (self.units + self.inputs)

    @property
    def slowest_step(self) -> float:
        """Seconds a step of the slowest contender takes, roughly.

        Of a whole sequence that is a dense one, called from Python. Of exact online algorithms it
        is a product of weights and sensitivities, (n, n) by (n, connections); of truncated ones
        the sweeps back, n of them a step or two.
        """
        n = self.units
        if self.what in ("rtrl", "hybrid"):
            return 5e-6 + 2 * n**2 * self.connections / FLOPS
        if self.online:
            return 5e-6 + (n if self.what == "bptt" else 2) * (1e-6 + 2 * n**2 / FLOPS)
        dense = self.connections / self.density * 6 * self.batch
        return CALLS[self.cell] + dense / FLOPS

    @property
    def steps(self) -> int:
        """T: so that the slowest contender takes 10 to 200 ms. No clock decides it.

        Algorithms with windows get two whole ones of 2n steps at least, and may take longer.
        """
        lengths = (5000, *LENGTHS) if self.online else LENGTHS
        steps = next((T for T in lengths if T * self.slowest_step <= SLOWEST), lengths[-1])
        return max(steps, 4 * self.units) if self.what in WINDOWED else steps

    def network(self) -> Any:
        """The network, as a user states it."""
        from derive.network import connect
        from derive.network.library import LIBRARY
        from derive.network.network import Network
        from derive.network.objective import SquaredError

        cell = LIBRARY["semilinear" if self.cell == "plain" else self.cell]()
        pattern: Any = connect.full()
        if self.density < 1:
            pattern = connect.random(self.density, seed=0)
        objective = SquaredError(list(self.targets))
        net = Network(cell, self.units, self.inputs, pattern, objective, name=self.cell)
        if self.cell != "leaky":
            return net
        heard = [(c.target, c.source, self.delay(c.source)) for c in net.connections]
        return Network(cell, self.units, self.inputs, heard, objective, name=self.cell)

    def delay(self, source: int) -> int:
        """Steps until a source is heard."""
        if self.cell != "leaky" or source >= self.units:
            return 1
        return 1 + 3 * source // self.units
