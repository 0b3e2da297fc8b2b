"""Numba: the loops written out, ``fastmath`` on, as its performance tips have it.

Three ways to do the sums over connections: nested loops over dense weights, loops over a list of
the connections there are, and ``np.dot``. All arrays of a step are flat, (rows·B,), so that one
sequence needs no axis of its own. With several threads, blocks of sequences run in parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np

from derive.bench.problem import Array, Contender, Maker, Problem

LARGE = 64
"""Units of full nets from which ``np.dot`` is likely to be better."""

compiled = numba.njit(fastmath=True, nogil=True, error_model="numpy")


def makers(problem: Problem, threads: int, quick: bool) -> Mapping[str, Maker]:
    """Loops over connections where some are missing, over dense weights else; and ``np.dot``."""
    case = problem.case
    if case.online:
        return {}
    written_out = "loops" if case.density == 1 else "connections"
    sums: tuple[str, ...] = (written_out, "dot")
    if quick:
        sums = ("dot",) if case.units >= LARGE and case.density == 1 else (written_out,)
    return {f"Numba, {s}": _maker(problem, s, threads) for s in sums}


def _maker(problem: Problem, sums: str, threads: int) -> Maker:
    return lambda: contender(problem, sums, threads)


# --- sums over connections -------------------------------------------------------------------
# W is dense (rows, columns); first and column list the connections of each row and w their
# weights. s += W z, then e += Wᵀ δ for the columns that are units, then G += Σ δ zᵀ over time.


@dataclass(frozen=True)
class Sums:
    """How sums over connections are done: forward, back, and over time."""

    forward: Callable[..., None]
    back: Callable[..., None]
    outer: Callable[..., None]


@compiled
def loops_forward(W, w, first, column, z, s, B):  # type: ignore[no-untyped-def]
    rows, columns = W.shape
    if B == 1:
        for r in range(rows):
            total = s[r]
            for j in range(columns):
                total += W[r, j] * z[j]
            s[r] = total
    else:
        for r in range(rows):
            for j in range(columns):
                weight = W[r, j]
                for b in range(B):
                    s[r * B + b] += weight * z[j * B + b]


@compiled
def loops_back(W, w, first, column, delta, e, n, B):  # type: ignore[no-untyped-def]
    for r in range(W.shape[0]):
        if B == 1:
            d = delta[r]
            for j in range(n):
                e[j] += W[r, j] * d
        else:
            for j in range(n):
                weight = W[r, j]
                for b in range(B):
                    e[j * B + b] += weight * delta[r * B + b]


@compiled
def loops_outer(first, column, delta, z, G, g, B):  # type: ignore[no-untyped-def]
    rows, columns = G.shape
    for t in range(len(delta)):
        for r in range(rows):
            if B == 1:
                d = delta[t, r]
                for j in range(columns):
                    G[r, j] += d * z[t, j]
            else:
                for j in range(columns):
                    total = G[r, j]
                    for b in range(B):
                        total += delta[t, r * B + b] * z[t, j * B + b]
                    G[r, j] = total


@compiled
def connections_forward(W, w, first, column, z, s, B):  # type: ignore[no-untyped-def]
    for r in range(len(first) - 1):
        if B == 1:
            total = s[r]
            for c in range(first[r], first[r + 1]):
                total += w[c] * z[column[c]]
            s[r] = total
        else:
            for c in range(first[r], first[r + 1]):
                j = column[c] * B
                for b in range(B):
                    s[r * B + b] += w[c] * z[j + b]


@compiled
def connections_back(W, w, first, column, delta, e, n, B):  # type: ignore[no-untyped-def]
    for r in range(len(first) - 1):
        for c in range(first[r], first[r + 1]):
            j = column[c] * B
            if j < n * B:
                for b in range(B):
                    e[j + b] += w[c] * delta[r * B + b]


@compiled
def connections_outer(first, column, delta, z, G, g, B):  # type: ignore[no-untyped-def]
    for t in range(len(delta)):
        for r in range(len(first) - 1):
            for c in range(first[r], first[r + 1]):
                j = column[c] * B
                total = g[c]
                for b in range(B):
                    total += delta[t, r * B + b] * z[t, j + b]
                g[c] = total


@compiled
def dot_forward(W, w, first, column, z, s, B):  # type: ignore[no-untyped-def]
    rows, columns = W.shape
    if B == 1:
        s += np.dot(W, z)
    else:
        product = np.dot(W, z.reshape((columns, B)))
        s += product.reshape(rows * B)


@compiled
def dot_back(W, w, first, column, delta, e, n, B):  # type: ignore[no-untyped-def]
    if B == 1:
        e += np.dot(delta, W)[:n]
    else:
        product = np.dot(W.T, delta.reshape((W.shape[0], B)))
        e += product.reshape(W.shape[1] * B)[: n * B]


@compiled
def dot_outer(first, column, delta, z, G, g, B):  # type: ignore[no-untyped-def]
    rows, columns = G.shape
    if B == 1:
        G += np.dot(delta.T, z)
    else:
        for t in range(len(delta)):
            G += np.dot(delta[t].reshape((rows, B)), z[t].reshape((columns, B)).T)


WAYS = {
    "loops": Sums(loops_forward, loops_back, loops_outer),
    "connections": Sums(connections_forward, connections_back, connections_outer),
    "dot": Sums(dot_forward, dot_back, dot_outer),
}


# --- cells -----------------------------------------------------------------------------------
# kept holds what the way back needs: rows·B numbers a step, as many rows as a cell says.


@compiled
def plain_step(s, y, new, kept, state, bias, tau):  # type: ignore[no-untyped-def]
    for k in range(len(new)):
        new[k] = np.tanh(s[k])


@compiled
def plain_back(eps, before, delta, y, new, kept, state, tau):  # type: ignore[no-untyped-def]
    for k in range(len(eps)):
        delta[k] = eps[k] * (1 - new[k] * new[k])


@compiled
def leaky_step(s, y, new, kept, state, bias, tau):  # type: ignore[no-untyped-def]
    for k in range(len(new)):
        f = np.tanh(s[k])
        kept[k] = f
        new[k] = y[k] + (f - y[k]) / tau[k]


@compiled
def leaky_back(eps, before, delta, y, new, kept, state, tau):  # type: ignore[no-untyped-def]
    for k in range(len(eps)):
        f = kept[k]
        flow = eps[k] / tau[k]
        delta[k] = flow * (1 - f * f)
        before[k] += eps[k] - flow
        state[k] += flow * (y[k] - f) / tau[k]  # the slope by τ


@compiled
def lstm_step(s, y, new, kept, state, bias, tau):  # type: ignore[no-untyped-def]
    N = len(new)
    for k in range(N):
        i = 1 / (1 + np.exp(-(s[k] + bias[k])))
        f = 1 / (1 + np.exp(-(s[N + k] + bias[N + k])))
        g = np.tanh(s[2 * N + k] + bias[2 * N + k])
        o = 1 / (1 + np.exp(-(s[3 * N + k] + bias[3 * N + k])))
        kept[4 * N + k] = state[k]
        c = f * state[k] + i * g
        read = np.tanh(c)
        kept[k], kept[N + k], kept[2 * N + k], kept[3 * N + k] = i, f, g, o
        kept[5 * N + k] = read
        state[k] = c
        new[k] = o * read


@compiled
def lstm_back(eps, before, delta, y, new, kept, state, tau):  # type: ignore[no-untyped-def]
    N = len(eps)
    for k in range(N):
        i, f, g, o = kept[k], kept[N + k], kept[2 * N + k], kept[3 * N + k]
        c, read = kept[4 * N + k], kept[5 * N + k]
        by_c = state[k] + eps[k] * o * (1 - read * read)
        delta[k] = by_c * g * i * (1 - i)
        delta[N + k] = by_c * c * f * (1 - f)
        delta[2 * N + k] = by_c * i * (1 - g * g)
        delta[3 * N + k] = eps[k] * read * o * (1 - o)
        state[k] = by_c * f


CELLS = {
    "plain": (plain_step, plain_back, 0),
    "leaky": (leaky_step, leaky_back, 1),
    "lstm": (lstm_step, lstm_back, 6),
}


# --- a sequence, or a block of them ----------------------------------------------------------


@cache
def functions(cell: str, sums: str, parallel: bool) -> tuple[Any, Any]:
    """Forward and gradient over blocks of sequences, (blocks, T, rows·B) arrays."""
    step, step_back, rows_kept = CELLS[cell]
    ways = WAYS[sums]
    into, back, outer = ways.forward, ways.back, ways.outer

    @compiled
    def forward(W, w, first, column, bias, tau, x, delays, n, B, y, z, kept):  # type: ignore[no-untyped-def]
        N, longest = n * B, len(y) - len(x)
        s = np.empty(W.shape[0] * B, W.dtype)
        state = np.zeros(N, W.dtype)
        for t in range(len(x)):
            now = t + longest - 1
            for j in range(n):
                row = now + 1 - delays[j]
                for k in range(j * B, (j + 1) * B):
                    z[t, k] = y[row, k]
            z[t, N:] = x[t]
            s[:] = 0
            into(W, w, first, column, z[t], s, B)
            step(s, y[now], y[now + 1], kept[t], state, bias, tau)

    @compiled
    def gradient(W, w, first, column, bias, tau, x, target, targets, delays, n, B, G, g):  # type: ignore[no-untyped-def]
        N, T, longest = n * B, len(x), delays.max()
        y = np.zeros((T + longest, N), W.dtype)
        z = np.empty((T, W.shape[1] * B), W.dtype)
        kept = np.empty((T, rows_kept * N), W.dtype)
        forward(W, w, first, column, bias, tau, x, delays, n, B, y, z, kept)
        delta = np.empty((T, W.shape[0] * B), W.dtype)
        eps = np.zeros((T + longest, N), W.dtype)
        state = np.zeros(N, W.dtype)
        flow = np.empty(N, W.dtype)
        J = 0.0
        for t in range(T - 1, -1, -1):
            now = t + longest - 1
            for i in range(len(targets)):
                for b in range(B):
                    k = targets[i] * B + b
                    error = target[t, i * B + b] - y[now + 1, k]
                    J -= 0.5 * error * error
                    eps[now + 1, k] += error
            step_back(eps[now + 1], eps[now], delta[t], y[now], y[now + 1], kept[t], state, tau)
            flow[:] = 0
            back(W, w, first, column, delta[t], flow, n, B)
            for j in range(n):
                row = now + 1 - delays[j]
                for k in range(j * B, (j + 1) * B):
                    eps[row, k] += flow[k]
        outer(first, column, delta, z, G, g, B)
        return J, delta, state

    in_blocks = numba.njit(parallel=parallel, fastmath=True, nogil=True)

    @in_blocks
    def all_forward(W, w, first, column, bias, tau, x, delays, n, B, longest):  # type: ignore[no-untyped-def]
        T = x.shape[1]
        y = np.zeros((len(x), T + longest, n * B), W.dtype)
        for i in numba.prange(len(x)):
            z = np.empty((T, W.shape[1] * B), W.dtype)
            kept = np.empty((T, rows_kept * n * B), W.dtype)
            forward(W, w, first, column, bias, tau, x[i], delays, n, B, y[i], z, kept)
        return y[:, longest:]

    @in_blocks
    def all_gradients(W, w, first, column, bias, tau, x, target, targets, delays, n, B):  # type: ignore[no-untyped-def]
        blocks, rows = len(x), W.shape[0]
        J = np.zeros(blocks)
        G = np.zeros((blocks, W.shape[0], W.shape[1]), W.dtype)
        g = np.zeros((blocks, len(w)), W.dtype)
        by_bias = np.zeros((blocks, rows), W.dtype)
        by_tau = np.zeros((blocks, n), W.dtype)
        for i in numba.prange(blocks):
            J[i], delta, state = gradient(
                W, w, first, column, bias, tau, x[i], target[i], targets, delays, n, B, G[i], g[i]
            )
            for t in range(len(delta)):
                for r in range(rows):
                    for b in range(B):
                        by_bias[i, r] += delta[t, r * B + b]
            for k in range(n):
                for b in range(B):
                    by_tau[i, k] += state[k * B + b]
        return J.sum(), G.sum(axis=0), g.sum(axis=0), by_bias.sum(axis=0), by_tau.sum(axis=0)

    return all_forward, all_gradients


def contender(problem: Problem, sums: str, threads: int) -> Contender:
    """A compiled loop over all steps."""
    case = problem.case
    numba.set_num_threads(threads)
    weights = problem.weights
    W = np.ascontiguousarray(weights.reshape(-1, weights.shape[2]))
    row, column = np.nonzero(W)
    first = np.searchsorted(row, np.arange(len(W) + 1))
    # np.dot has threads of its own, in BLAS.
    blocks = threads if threads > 1 and problem.sequences % threads == 0 and sums != "dot" else 1
    B = problem.sequences // blocks
    bias = np.repeat(problem.biases.ravel(), B).astype(W.dtype)
    tau = np.repeat(problem.tau, B)
    x, target = (_in_blocks(a, blocks) for a in (problem.x, problem.target))
    targets, delays, n = np.array(problem.targets), problem.delays, case.units
    forward, gradient = functions(case.cell, sums, blocks > 1)
    shared = (W, W[row, column], first, column, bias, tau, x)
    name = f"Numba, {sums}"
    if case.what == "forward":
        longest = int(delays.max())

        def outputs(y: Array) -> Array:
            apart = y.reshape(blocks, problem.steps, n, B)
            return apart.transpose(1, 2, 0, 3).reshape(problem.steps, n, -1)

        return Contender(name, lambda: forward(*shared, delays, n, B, longest), outputs)

    def read(answer: Any) -> Any:
        J, G, g, by_bias, by_tau = answer
        if sums == "connections":
            G[row, column] = g
        biases = by_bias.reshape(-1, n) if problem.biases.size else None
        by_tau = by_tau if problem.tau.size else None
        return J, problem.flat(G, biases, by_tau)

    return Contender(name, lambda: gradient(*shared, target, targets, delays, n, B), read)


def _in_blocks(array: Array, blocks: int) -> Array:
    """(T, ·, B) as (blocks, T, ·B/blocks)."""
    T, rows, B = array.shape
    apart = array.reshape(T, rows, blocks, B // blocks).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(apart.reshape(blocks, T, -1))
