"""The library's cells: how long each takes to derive; and an LSTM against PyTorch and JAX.

    python benchmarks/bench_cells.py [--quick]

The LSTM's J and dJ/dtheta are checked against both peers before anything is timed. Prints tables
and writes results/cells.json (not with --quick).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import Any

from processor import one_processor

one_processor()  # before NumPy, JAX and PyTorch start their threads

import numpy as np  # noqa: E402
from bench_gradient import micro, ratios  # noqa: E402
from machine import keep, machine  # noqa: E402
from measure import interleaved, spread  # noqa: E402
from peers import Contender  # noqa: E402

import derive  # noqa: E402
from derive.bridges.torch import from_torch, gradient_from_torch  # noqa: E402
from derive.kernel import emit  # noqa: E402
from derive.program.algorithms import settle  # noqa: E402

SIZES = (8, 512)
UNITS, INPUTS, STEPS = 32, 4, 200
BATCHES = (1, 16)
TOLERANCE = 1e-9  # relative to the largest entry


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and keep nothing")
    quick = parser.parse_args().quick
    derived = [derivation(name, runs=2 if quick else 5) for name in derive.cells.LIBRARY]
    print_derivations(derived)
    print("\n| LSTM, n = 32, T = 200 | derive | PyTorch | JAX | PyTorch / derive | JAX / derive |")
    print("|---" * 6 + "|")
    layers = []
    for batch in BATCHES:
        layers.append(layer(batch, rounds=5 if quick else 21))
        print_layer(layers[-1])
    if not quick:
        path = keep("cells", {"machine": machine(), "derivations": derived, "lstm": layers})
        print(f"\nwrote {path.parent.name}/{path.name}", file=sys.stderr)


# --- derivation ----------------------------------------------------------------------------------


def derivation(name: str, runs: int) -> dict[str, Any]:
    """Processor time from a new cell to its equations, and to the text of a module, at each size.

    SymPy's own cache is emptied before each run, so that no cell lives on what another left.
    """
    import sympy.core.cache

    found: dict[str, Any] = {"cell": name}
    for units in SIZES:
        equations, text = [], []
        for _ in range(runs):
            net = derive.Network(
                derive.cells.LIBRARY[name](), units, 2, derive.connect.full(),
                derive.SquaredError([0]), name="net",
            )  # fmt: skip
            sympy.core.cache.clear_cache()
            began = time.process_time()
            str(derive.differentiate(net))
            differentiated = time.process_time()
            emitted = emit(net, settle(net, None, {}))
            text.append(time.process_time() - differentiated)
            equations.append(differentiated - began)
        found[str(units)] = {
            "connections": net.wiring.size,
            "differentiate": asdict(spread(equations)),
            "emit": asdict(spread(text)),
            "source": len(emitted.text.encode()),
            "schedule": emitted.schedule,
        }
    return found


def print_derivations(rows: list[dict[str, Any]]) -> None:
    """A line for each cell."""
    print("processor time, medians; full connections, two input lines:\n")
    heads = [f"equations, n = {n} | module, n = {n} | source" for n in SIZES]
    print(f"| cell | {' | '.join(heads)} |")
    print("|---" * (1 + 3 * len(SIZES)) + "|")
    for r in rows:
        cells = [
            f"{r[str(n)]['differentiate']['median']:.2f} s | {r[str(n)]['emit']['median']:.2f} s "
            f"| {r[str(n)]['source'] / 1e3:,.0f} kB"
            for n in SIZES
        ]
        print(f"| {r['cell']} | {' | '.join(cells)} |")


# --- an LSTM beside its peers --------------------------------------------------------------------


def layer(batch: int, rounds: int) -> dict[str, Any]:
    """Check and time one gradient of a ``torch.nn.LSTM``, its network, and a JAX scan."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = torch.nn.LSTM(INPUTS, UNITS).double()
    net, theta = from_torch(module, targets=[UNITS - 2, UNITS - 1], name="lstm32")
    generator = np.random.default_rng(7)
    x = generator.normal(size=(STEPS, INPUTS, batch))
    target = np.tanh(generator.normal(size=(STEPS, 2, batch)))
    contenders = [
        of_derive(net, theta, x, target),
        of_torch(net, module, x, target),
        of_jax(net, module, x, target),
    ]
    worst = check(contenders)
    times = interleaved([c.run for c in contenders], rounds)
    own, *theirs = times
    named = list(zip(contenders, times, strict=True))
    return {
        "batch": batch,
        "rounds": rounds,
        "worst_difference": worst,
        "derive": contenders[0].name,
        "seconds": {c.name: asdict(spread(t.wall)) for c, t in named},
        "processor_seconds": {c.name: asdict(spread(t.processor)) for c, t in named},
        "ratios": {
            c.name: {k: asdict(spread(ratios(t, own, k))) for k in ("wall", "processor")}
            for c, t in zip(contenders[1:], theirs, strict=True)
        },
    }


def of_derive(net: derive.Network, theta: Any, x: Any, target: Any) -> Contender:
    """The compiled kernel."""
    batch = x.shape[2] > 1
    kernel = derive.compile(net, batch=batch)
    if not kernel.compiled:
        raise SystemExit("no C compiler was found: there is nothing to measure")
    if not batch:
        x, target = (np.ascontiguousarray(a[..., 0]) for a in (x, target))
    return Contender(
        f"derive ({kernel.schedule})", lambda: kernel.gradient(theta, x, target), lambda r: r
    )


def of_torch(net: derive.Network, module: Any, x: Any, target: Any) -> Contender:
    """``torch.nn.LSTM`` in eager mode, and ``backward``."""
    import torch

    given, wanted = (torch.from_numpy(a.swapaxes(1, 2).copy()) for a in (x, target))

    def run() -> Any:
        module.zero_grad(set_to_none=True)
        h, _ = module(given)
        total = -0.5 * ((wanted - h[..., -2:]) ** 2).sum()
        total.backward()
        return total

    return Contender(
        "PyTorch nn.LSTM", run, lambda total: (total.item(), gradient_from_torch(net, module))
    )


def of_jax(net: derive.Network, module: Any, x: Any, target: Any) -> Contender:
    """``jit(value_and_grad(scan))``; inputs are multiplied with their weights before the scan."""
    import jax
    import jax.numpy as jnp
    import torch

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    weights = {k: jnp.asarray(v.detach().numpy()) for k, v in module.named_parameters()}
    alone = x.shape[2] == 1
    given, wanted = (
        jnp.asarray(a[..., 0] if alone else a.swapaxes(1, 2).copy()) for a in (x, target)
    )

    def objective(p: Any) -> Any:
        driven = given @ p["weight_ih_l0"].T + (p["bias_ih_l0"] + p["bias_hh_l0"])
        recurrent = p["weight_hh_l0"].T

        def step(carried: Any, drive: Any) -> Any:
            h, c = carried
            i, f, g, o = jnp.split(h @ recurrent + drive, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h[..., -2:]

        zero = jnp.zeros((*driven.shape[1:-1], UNITS))
        _, h = jax.lax.scan(step, (zero, zero), driven)
        return -0.5 * jnp.sum((wanted - h) ** 2)

    function = jax.jit(jax.value_and_grad(objective))

    def read(answer: Any) -> Any:
        other = torch.nn.LSTM(INPUTS, UNITS).double()
        for name, slope in answer[1].items():
            getattr(other, name).grad = torch.from_numpy(np.array(slope))
        return float(answer[0]), gradient_from_torch(net, other)

    return Contender("JAX scan", lambda: jax.block_until_ready(function(weights)), read)


def check(contenders: list[Contender]) -> float:
    """The worst relative difference from derive's J and gradient.

    Raises
    ------
    SystemExit
        When one computes something else: then its time means nothing.
    """
    (J0, g0), *answers = [c.read(c.run()) for c in contenders]
    worst = 0.0
    for contender, (J, g) in zip(contenders[1:], answers, strict=True):
        difference = max(abs(J / J0 - 1), np.abs(g - g0).max() / np.abs(g0).max())
        if not difference <= TOLERANCE:
            raise SystemExit(f"{contender.name}: differs from derive by {difference:.1e}")
        worst = max(worst, float(difference))
    return worst


def print_layer(result: dict[str, Any]) -> None:
    """A line of the table."""
    seconds = " | ".join(micro(s) for s in result["seconds"].values())
    shown = " | ".join(
        f"**{r['wall']['median']:.2f}** ({r['wall']['lower']:.2f}–{r['wall']['upper']:.2f}), "
        f"processor {r['processor']['median']:.2f}"
        for r in result["ratios"].values()
    )
    print(f"| B = {result['batch']} ({result['derive']}) | {seconds} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
