"""Gradients written by hand, as a user would, each with one switchable mistake.

For plain tanh units, every connection there, one step of delay: y(t+1) = tanh(W (y(t), x(t))).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = Any


def states(W: Floats, x: Floats, y0: Floats) -> Floats:
    """y (T+1, n)."""
    y = [y0]
    for row in x:
        y.append(np.tanh(W @ np.concatenate([y[-1], row])))
    return np.array(y)


class ByHand:
    """BPTT, RTRL and their approximations for a net with targets on some units."""

    def __init__(
        self, n: int, m: int, targets: tuple[int, ...], slip: str = "", h: int = 0
    ) -> None:
        self.n, self.m, self.targets, self.slip, self.h = n, m, list(targets), slip, h

    def run(self, theta: Floats, x: Floats, target: Floats, mask: Floats, y0: Floats) -> Any:
        """W, signals, errors and J."""
        W = np.reshape(theta, (self.n, self.n + self.m))
        T = len(x)
        y0 = np.zeros(self.n) if y0 is None else y0
        mask = np.ones_like(target) if mask is None else mask
        y = states(W, x, y0)
        z = np.concatenate([y, np.concatenate([x, np.zeros((1, self.m))])], axis=1)
        e = np.zeros((T + 1, self.n))
        e[1:, self.targets] = mask * (target - y[1:, self.targets])
        J = -0.5 * float((mask * (target - y[1:, self.targets]) ** 2).sum())
        free = np.zeros((T + 1, self.n))
        free[1:, self.targets] = target - y[1:, self.targets]
        if self.slip == "mask ignored":
            e = free
        if self.slip == "mask ignored at t1":
            e[T] = free[T]
        if self.slip == "last error missing":
            e[T] = 0
        if self.slip == "only last error":
            e[:T] = 0
        if self.slip == "next target":
            e[1:T, self.targets] = target[1:] - y[1:T, self.targets]
            e[T] = 0
        return W, y, z, e, J

    def bptt(
        self, theta: Floats, x: Floats, target: Floats, mask: Any = None, y0: Any = None
    ) -> Any:
        """Epochwise backpropagation through time."""
        W, y, z, e, J = self.run(theta, x, target, mask, y0)
        T, n, slip = len(x), self.n, self.slip
        g = np.zeros_like(W)
        eps = np.zeros(n)
        order = range(1, T + 1) if slip == "sweep forward" else range(T, 0, -1)
        for t in order:
            at = {"error early": t + 1, "error late": t - 1}.get(slip, t)
            eps = eps + (e[at] if 1 <= at <= T else 0)
            slope = 1 - y[t - 1 if slip == "slope late" else t] ** 2
            delta = eps if slip == "slope forgotten" else eps * slope
            if not (slip == "first step missing" and t == 1):
                g += np.outer(delta, z[t] if slip == "signal late" else z[t - 1])
            eps = (W[:, :n] if slip == "W transposed" else W[:, :n].T) @ delta
        return J, self.after(g)

    def after(self, g: Floats) -> Floats:
        """What may go wrong with a right gradient."""
        n = self.n
        match self.slip:
            case "result transposed":
                g[:, :n] = g[:, :n].T.copy()
            case "column major":
                g = g.T.reshape(g.shape)
            case "inputs first":
                g = np.roll(g, self.m, axis=1)
            case "no inputs":
                g[:, n:] = 0
            case "no recurrence":
                g[:, :n] = 0
            case "sign":
                g = -g
            case "twice":
                g = 2 * g
            case "half":
                g = 0.5 * g
            case "nothing":
                g = 0 * g
        return g.ravel()

    def rtrl(
        self, theta: Floats, x: Floats, target: Floats, mask: Any = None, y0: Any = None
    ) -> Any:
        """Real-time recurrent learning."""
        W, y, z, e, J = self.run(theta, x, target, mask, y0)
        T, n = len(x), self.n
        p, g = np.zeros((n, n, n + self.m)), np.zeros_like(W)
        V = W[:, :n].T if self.slip == "W transposed" else W[:, :n]
        how = "kl,ilj->kij" if self.slip == "axes within" else "kl,lij->kij"
        for t in range(1, T + 1):
            q = np.einsum(how, V, p)
            if self.slip != "no direct term":
                for i in range(n):
                    q[i, i] += z[t - 1]
            p = (1 - y[t] ** 2)[:, None, None] * q
            g += np.einsum("k,ikj->ij" if self.slip == "axes at the end" else "k,kij->ij", e[t], p)
        return J, g.ravel()

    def each(
        self, theta: Floats, x: Floats, target: Floats, mask: Any = None, y0: Any = None
    ) -> Any:
        """∂J(t)/∂W at each t, swept back separately, over h steps or all."""
        W, y, z, e, J = self.run(theta, x, target, mask, y0)
        T, n, g = len(x), self.n, np.zeros_like(W)
        for t in range(1, T + 1):
            first = max(t - self.h, 0) if self.h else 0
            if self.slip == "chunks":
                first = (t - 1) // self.h * self.h
            for tau in range(t, first, -1):
                eps = e[t]
                between = range(t, tau, -1)
                for u in reversed(between) if self.slip == "product reversed" else between:
                    eps = W[:, :n].T @ ((1 - y[u] ** 2) * eps)
                g += np.outer((1 - y[tau] ** 2) * eps, z[tau - 1])
        return J, g.ravel()

    def hybrid(
        self, theta: Floats, x: Floats, target: Floats, mask: Any = None, y0: Any = None
    ) -> Any:
        """FP/BPTT(h): sweeps back over windows, sensitivities at their edges."""
        W, y, z, e, J = self.run(theta, x, target, mask, y0)
        T, n, g = len(x), self.n, np.zeros_like(W)
        p = np.zeros((n, n, n + self.m))
        for begin in range(0, T, self.h):
            end = min(begin + self.h, T)
            own, back = self.window(W, y, z, begin, end, e, np.zeros(n))
            if self.slip == "error at t0":
                back = back + e[begin]
            g += own
            if self.slip != "no boundary":
                g += np.einsum("l,lij->ij", back, p)
            new = np.zeros_like(p)
            for k in range(n):
                own, back = self.window(W, y, z, begin, end, 0 * e, np.eye(n)[k])
                new[k] = own
                if self.slip != "begun anew":
                    new[k] += np.einsum("l,lij->ij", back, p)
            p = new
        return J, g.ravel()

    def window(self, W: Floats, y: Floats, z: Floats, begin: int, end: int, e: Floats,
               eps: Floats) -> tuple[Floats, Floats]:  # fmt: skip
        """One sweep back: the window's terms, and ε at its beginning."""
        g = np.zeros_like(W)
        for t in range(end, begin, -1):
            delta = (eps + e[t]) * (1 - y[t] ** 2)
            g += np.outer(delta, z[t - 1])
            eps = W[:, : self.n].T @ delta
        return g, eps
