"""One measurement in this process, as JSON on standard output; bench_stages.py starts it.

Nothing but the standard library is imported before the clock of a measurement starts.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

TABLE = re.compile(r"static const int\d+_t \w+\[\] = \{[^}]*\};")
INPUTS = 2


def main() -> None:
    """``start SPEC cold|warm``, ``growth CONNECTIONS``, ``fill UNITS``, ``memory UNITS STEPS``."""
    what, *arguments = sys.argv[1:]
    measure = {"start": start, "growth": growth, "fill": fill, "memory": memory}[what]
    print(json.dumps(measure(*arguments)))


def start(spec: str, state: str) -> dict[str, Any]:
    """Import, then a spec to a kernel; a cold one must build, a warm one must not need SymPy."""
    began = time.perf_counter()
    import numpy  # noqa: F401

    import derive

    imported, processor = time.perf_counter(), sum(os.times()[:4])
    kernel = derive.compile(spec)
    compiled = time.perf_counter()
    processor = sum(os.times()[:4]) - processor  # with that of the compiler
    if (state == "cold") != bool(kernel.timings):
        raise SystemExit(f"{state}: the cache was not as it should be")
    if state == "warm" and "sympy" in sys.modules:
        raise SystemExit("warm: SymPy was imported")
    check(kernel)
    return {
        "import": imported - began,
        "compile": compiled - imported,
        "processor": processor,
        "stages": kernel.timings,
    }


def growth(connections: str) -> dict[str, Any]:
    """Derive, emit and compile a random net with some ten connections a unit."""
    import sympy  # noqa: F401  (its import does not grow)

    import derive
    from derive.kernel import emit
    from derive.program.algorithms import settle

    units = int(connections) // 10
    net = derive.Network(
        cell=derive.cells.semilinear("tanh"),
        units=units,
        inputs=INPUTS,
        connections=derive.connect.random(10 / (units + INPUTS), seed=0),
        objective=derive.SquaredError(targets=[units - 1]),
        name="growth",
    )
    began = time.perf_counter()
    str(derive.differentiate(net))
    differentiated = time.perf_counter()
    emitted = emit(net, settle(net, None, {}))
    written = time.perf_counter()
    kernel = derive.compile(net, cache=False)
    compiled = time.perf_counter()
    if units <= 1000:  # a dense matrix of 10⁴ units would need 0.8 GB
        check(kernel)
    return {
        "connections": net.wiring.size,
        "units": units,
        "schedule": emitted.schedule,
        "differentiate": differentiated - began,
        "emit": written - differentiated,
        "compile": compiled - written,
        "stages": kernel.timings,
        "source": len(emitted.text.encode()),
        "tables": sum(len(t) for t in TABLE.findall(emitted.text)),
    }


def dense(units: str) -> Any:
    """A dense net, compiled or from the cache."""
    import derive

    return derive.compile(
        derive.Network(
            cell=derive.cells.semilinear("tanh"),
            units=int(units),
            inputs=INPUTS,
            connections=derive.connect.full(),
            objective=derive.SquaredError(targets=[0]),
            name="dense",
        )
    )


def fill(units: str) -> dict[str, Any]:
    """Put the dense net's kernel into the cache, and check it."""
    check(dense(units))
    return {}


def memory(units: str, steps: str) -> dict[str, Any]:
    """By how many bytes one call of gradient raises this process's peak."""
    import numpy as np

    kernel = dense(units)
    theta = kernel.net.init(seed=0)
    x, target = np.ones((int(steps), INPUTS)), np.ones((int(steps), 1))
    kernel.gradient(theta, x[:10], target[:10])
    before = resident_peak(reset=True)
    kernel.gradient(theta, x, target)
    return {"inputs": INPUTS, "grown": resident_peak() - before}


def resident_peak(reset: bool = False) -> int:
    """The most bytes of memory this process has had, since the start or the last reset.

    Only Linux can reset it; elsewhere an earlier peak may hide part of a later one.
    """
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])
    except (OSError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check(kernel: Any, steps: int = 20) -> None:
    """The kernel's gradient is that of a NumPy loop; its time would mean nothing otherwise."""
    import numpy as np

    from derive.bench.case import Case
    from derive.bench.judging import difference
    from derive.bench.peers.numpy import reference
    from derive.bench.problem import Problem

    net = kernel.net
    generator = np.random.default_rng(3)
    x = generator.normal(size=(steps, net.inputs, 1))
    target = generator.normal(size=(steps, len(net.objective.targets), 1))
    theta = net.init(seed=1)
    case = Case("plain", net.units, 1, 1, "float64", "gradient")
    answer = kernel.gradient(theta, x[..., 0].copy(), target[..., 0].copy())
    found = difference(answer, reference(Problem(case, net, theta, x, target)))
    if not found <= 1e-9:
        raise SystemExit(f"{net.name}: differs from a NumPy loop by {found:.1e}")


if __name__ == "__main__":
    main()
