"""A plain NumPy loop, by hand: one matrix product a step, the sums over time in one product.

In float64 it is also the reference that all others are held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from derive.bench.problem import Array, Contender, Maker, Problem


def makers(problem: Problem, threads: int, quick: bool) -> Mapping[str, Maker]:
    """The loop; of online algorithms it is only the reference."""
    if problem.case.online:
        return {}
    return {"NumPy loop": lambda: loop(problem)}


def loop(problem: Problem) -> Contender:
    """The loop over a whole sequence, forward or forward and back."""
    net = LOOPS[problem.case.cell](problem)
    if problem.case.what == "forward":
        return Contender("NumPy loop", net.forward, lambda y: y)
    return Contender("NumPy loop", net.gradient, lambda answer: answer)


def reference(problem: Problem) -> Any:
    """The answer in float64, to be compared with.

    Truncated gradients have a reference of their own: sweeps back from all times at once.
    """
    exact = problem.in_float64()
    net = LOOPS[exact.case.cell](exact)
    if exact.case.what == "forward":
        return net.forward()
    if exact.case.what == "bptt":
        return truncated(exact, exact.case.units, 1)
    if exact.case.what == "chunks":
        return truncated(exact, 2 * exact.case.units, exact.case.units)
    return net.gradient()


class Plain:
    """y(t+1) = tanh(W z(t)), where z(t) is what units hear: outputs, delayed, and inputs."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        n, B, dtype = problem.case.units, problem.sequences, problem.theta.dtype
        self.n, self.steps, self.shape = n, problem.steps, (n, B)
        weights = problem.weights
        self.W = weights.reshape(-1, weights.shape[2])
        self.back = np.ascontiguousarray(self.W[:, :n].T)
        self.targets = list(problem.targets)
        self.delays = problem.delays
        self.delayed = bool((self.delays > 1).any())
        self.longest = int(self.delays.max())
        self.units = np.arange(n)
        self.z = np.zeros((problem.steps + 1, self.W.shape[1], B), dtype)
        self.z[:-1, n:] = problem.x
        self.y = np.zeros((problem.steps + self.longest, n, B), dtype)  # from time −(longest − 1)

    def forward(self) -> Array:
        """Outputs y(1) … y(T)."""
        first = self.longest - 1
        self.begin()
        for t in range(self.steps):
            if self.delayed:
                self.z[t, : self.n] = self.y[first + t + 1 - self.delays, self.units]
            self.y[first + t + 1] = self.step(t, self.W @ self.z[t], self.y[first + t])
            if not self.delayed:
                self.z[t + 1, : self.n] = self.y[first + t + 1]
        return self.y[first + 1 :]

    def gradient(self) -> tuple[float, Array]:
        """J and its gradient."""
        y = self.forward()
        error = self.problem.target - y[:, self.targets]
        delta = np.empty((self.steps, len(self.W), self.shape[1]), y.dtype)
        first = self.longest - 1
        eps = np.zeros((self.steps + self.longest, *self.shape), y.dtype)
        eps[first + 1 :, self.targets] = error
        self.end()
        for t in reversed(range(self.steps)):
            self.step_back(t, eps[first + t + 1], delta[t], eps[first + t])
            flow = self.back @ delta[t]
            if self.delayed:
                eps[first + t + 1 - self.delays, self.units] += flow
            else:
                eps[first + t] += flow
        slopes = np.tensordot(delta, self.z[:-1], ((0, 2), (0, 2)))
        return -0.5 * float((error**2).sum()), self.problem.flat(slopes, **self.others(delta))

    def begin(self) -> None:
        """Before the first step."""

    def end(self) -> None:
        """Before the first step back."""

    def step(self, t: int, s: Array, y: Array) -> Array:
        """The next outputs."""
        return np.tanh(s)

    def step_back(self, t: int, eps: Array, delta: Array, before: Array) -> None:
        """Fill delta from eps, and add to that of the step before what is not through W."""
        np.multiply(eps, 1 - self.y[t + self.longest] ** 2, out=delta)

    def others(self, delta: Array) -> dict[str, Array]:
        """Slopes of what is not in W."""
        return {}


class Leaky(Plain):
    """y(t+1) = y(t) + (tanh(W z(t)) − y(t))/τ."""

    def begin(self) -> None:
        self.tau = self.problem.tau[:, None]
        self.f = np.empty((self.steps, *self.shape), self.y.dtype)

    def step(self, t: int, s: Array, y: Array) -> Array:
        np.tanh(s, out=self.f[t])
        return y + (self.f[t] - y) / self.tau

    def end(self) -> None:
        self.by_tau = np.zeros(self.n, self.y.dtype)

    def step_back(self, t: int, eps: Array, delta: Array, before: Array) -> None:
        f, y = self.f[t], self.y[t + self.longest - 1]
        flow = eps / self.tau
        np.multiply(flow, 1 - f**2, out=delta)
        before += eps - flow
        self.by_tau += (flow * (y - f) / self.tau).sum(axis=1)

    def others(self, delta: Array) -> dict[str, Array]:
        return {"tau": self.by_tau}


class Lstm(Plain):
    """Gates i, f, g, o; c(t+1) = f c(t) + i g; the output is o tanh(c(t+1))."""

    def begin(self) -> None:
        self.b = self.problem.biases.reshape(-1, 1)
        self.gates = np.empty((self.steps, 4, *self.shape), self.y.dtype)
        self.c = np.zeros((self.steps + 1, *self.shape), self.y.dtype)
        self.read = np.empty((self.steps, *self.shape), self.y.dtype)

    def step(self, t: int, s: Array, y: Array) -> Array:
        s = (s + self.b).reshape(4, *self.shape)
        i, f, g, o = self.gates[t]
        for gate, of in ((i, s[0]), (f, s[1]), (o, s[3])):
            np.divide(1, 1 + np.exp(-of), out=gate)
        np.tanh(s[2], out=g)
        self.c[t + 1] = f * self.c[t] + i * g
        np.tanh(self.c[t + 1], out=self.read[t])
        return o * self.read[t]

    def end(self) -> None:
        self.by_c = np.zeros(self.shape, self.y.dtype)

    def step_back(self, t: int, eps: Array, delta: Array, before: Array) -> None:
        i, f, g, o = self.gates[t]
        by_c = self.by_c + eps * o * (1 - self.read[t] ** 2)
        into = delta.reshape(4, *self.shape)
        into[0] = by_c * g * i * (1 - i)
        into[1] = by_c * self.c[t] * f * (1 - f)
        into[2] = by_c * i * (1 - g**2)
        into[3] = eps * self.read[t] * o * (1 - o)
        self.by_c = by_c * f

    def others(self, delta: Array) -> dict[str, Array]:
        return {"biases": delta.sum(axis=(0, 2)).reshape(4, self.n)}


LOOPS: dict[str, type[Plain]] = {"plain": Plain, "leaky": Leaky, "lstm": Lstm}


def truncated(problem: Problem, h: int, h_prime: int) -> tuple[float, Array]:
    """BPTT(h; h′) of a plain net with weights held: one sweep back from the end of each window.

    A window ends every h′ steps, and where the sequence does. The sweep takes the errors of the
    steps since the last end, and goes back over h steps.
    """
    net = Plain(problem)
    y = net.forward()
    error = problem.target - y[:, net.targets]
    slope = 1 - y**2
    delta = np.zeros((net.steps, *net.shape))
    for end in sorted({*range(h_prime - 1, net.steps, h_prime), net.steps - 1}):
        since = end - end % h_prime
        eps = np.zeros(net.shape)
        for t in range(end, max(end - h, -1), -1):
            if t >= since:
                eps[net.targets] += error[t]
            one = eps * slope[t]
            delta[t] += one
            eps = net.back @ one
    slopes = np.tensordot(delta, net.z[:-1], ((0, 2), (0, 2)))
    return -0.5 * float((error**2).sum()), problem.flat(slopes)
