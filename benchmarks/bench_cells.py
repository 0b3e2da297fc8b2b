"""The library's cells: how long each takes to derive, and to become the text of a module.

    python benchmarks/bench_cells.py [--quick]

Prints a table and writes results/cells.json (not with --quick).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import Any

from keep import keep

import derive
from derive.bench.measuring import spread
from derive.kernel import emit
from derive.program.algorithms import settle

SIZES = (8, 512)


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs, and keep nothing")
    quick = parser.parse_args().quick
    derived = [derivation(name, runs=2 if quick else 5) for name in derive.cells.LIBRARY]
    print_derivations(derived)
    if not quick:
        path = keep("cells", {"derivations": derived})
        print(f"\nwrote {path.parent.name}/{path.name}", file=sys.stderr)


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


if __name__ == "__main__":
    main()
