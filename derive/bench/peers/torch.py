"""PyTorch: the recurrent layers in eager mode, a loop over cells, and that loop compiled.

A batch stands in the middle axis, as the layers have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from derive.bench.problem import Array, Contender, Maker, Problem

# torch.compile writes out every step of a loop it is given; so it is given this many at a time.
STEPS_COMPILED = 10


def makers(problem: Problem, threads: int, quick: bool) -> Mapping[str, Maker]:
    """In eager mode: the layer where there is one, and the loop."""
    torch.set_num_threads(threads)
    case = problem.case
    if case.online:
        return {}
    found: dict[str, Maker] = {}
    if case.cell in LAYERS:
        found[f"PyTorch {LAYERS[case.cell]}"] = lambda: layer(problem)
    found["PyTorch loop"] = lambda: loop(problem, compiled=False)
    return found


def compiled_makers(problem: Problem, threads: int, quick: bool) -> Mapping[str, Maker]:
    """The loop under ``torch.compile``."""
    torch.set_num_threads(threads)
    torch._dynamo.reset()  # it gives up on a function that it has compiled for eight others
    if problem.case.online:
        return {}
    return {"PyTorch loop, compiled": lambda: loop(problem, compiled=True)}


LAYERS = {"plain": "nn.RNN", "lstm": "nn.LSTM"}


def of(array: Array) -> Any:
    """(T, ·, B) as a (T, B, ·) tensor."""
    return torch.from_numpy(array.swapaxes(1, 2).copy())


def contender(
    problem: Problem,
    name: str,
    outputs: Callable[[Any], Any],
    leaves: list[Any],
    slopes: Callable[[], Array],
) -> Contender:
    """Forward, or forward and ``backward``, of a function that gives outputs (T, B, n)."""
    x, target = of(problem.x), of(problem.target)
    chosen = torch.tensor(problem.targets)
    if problem.case.what == "forward":

        def forward() -> Any:
            with torch.inference_mode():
                return outputs(x)

        return Contender(name, forward, lambda y: y.numpy().swapaxes(1, 2))

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        total = -0.5 * ((target - outputs(x).index_select(2, chosen)) ** 2).sum()
        total.backward()
        return total

    return Contender(name, run, lambda total: (total.item(), slopes()))


def layer(problem: Problem) -> Contender:
    """``torch.nn.RNN`` without bias, or ``torch.nn.LSTM``."""
    case = problem.case
    name = LAYERS[case.cell]
    n, dtype = case.units, torch.from_numpy(problem.theta).dtype
    kind = torch.nn.RNN if case.cell == "plain" else torch.nn.LSTM
    net: Any = kind(case.inputs, n, bias=case.cell == "lstm", dtype=dtype)
    weights = torch.from_numpy(problem.weights.reshape(-1, n + case.inputs))
    with torch.no_grad():
        net.weight_hh_l0.copy_(weights[:, :n])
        net.weight_ih_l0.copy_(weights[:, n:])
        if case.cell == "lstm":
            net.bias_ih_l0.copy_(torch.from_numpy(problem.biases.ravel()))
            net.bias_hh_l0.zero_()

    def slopes() -> Array:
        joined = torch.cat([net.weight_hh_l0.grad, net.weight_ih_l0.grad], dim=1).numpy()
        biases = net.bias_ih_l0.grad.numpy().reshape(-1, n) if case.cell == "lstm" else None
        return problem.flat(joined, biases)

    return contender(
        problem, f"PyTorch {name}", lambda x: net(x)[0], list(net.parameters()), slopes
    )


def loop(problem: Problem, compiled: bool) -> Contender:
    """A Python loop over steps; ``torch.compile`` takes some steps at a time."""
    case = problem.case
    n = case.units
    named = {"W": problem.weights.reshape(-1, n + case.inputs), "tau": problem.tau}
    if problem.biases.size:
        named["b"] = problem.biases.ravel()
    p: dict[str, Any] = {
        k: torch.from_numpy(v.copy()).requires_grad_(True) for k, v in named.items() if v.size
    }
    step, blocks = step_of(case.cell), problem.heard
    longest = len(blocks)

    def some(past: Any, state: Any, drives: Any) -> Any:
        recurrent = p["W"][:, :n].T
        found = []
        for drive in drives:
            joined = past[0]
            if longest > 1:
                joined = torch.cat([y[:, a:b] for y, (a, b) in zip(past, blocks, strict=True)], 1)
            state = step(p, state, torch.addmm(drive, joined, recurrent))
            past = (state[0], *past[:-1])
            found.append(state[0])
        return past, state, torch.stack(found)

    advance = torch.compile(some, dynamic=False) if compiled else some
    at_a_time = STEPS_COMPILED if compiled else problem.steps

    def outputs(x: Any) -> Any:
        drives = x @ p["W"][:, n:].T
        if "b" in p:
            drives = drives + p["b"]
        zero = x.new_zeros(x.shape[1], n)
        past, state = (zero,) * longest, (zero,) * (2 if case.cell == "lstm" else 1)
        found = []
        for t in range(0, len(x), at_a_time):
            past, state, y = advance(past, state, drives[t : t + at_a_time].unbind(0))
            found.append(y)
        return torch.cat(found)

    def slopes() -> Array:
        biases = p["b"].grad.numpy().reshape(-1, n) if "b" in p else None
        tau = p["tau"].grad.numpy() if "tau" in p else None
        return problem.flat(p["W"].grad.numpy(), biases, tau)

    name = "PyTorch loop, compiled" if compiled else "PyTorch loop"
    return contender(problem, name, outputs, list(p.values()), slopes)


def step_of(cell: str) -> Callable[[Any, Any, Any], Any]:
    """Next state of a cell: from parameters, state (y, or h and c) and net input."""

    def plain(p: Any, state: Any, s: Any) -> Any:
        return (torch.tanh(s),)

    def leaky(p: Any, state: Any, s: Any) -> Any:
        return (state[0] + (torch.tanh(s) - state[0]) / p["tau"],)

    def lstm(p: Any, state: Any, s: Any) -> Any:
        i, f, g, o = s.chunk(4, dim=-1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    return {"plain": plain, "leaky": leaky, "lstm": lstm}[cell]
