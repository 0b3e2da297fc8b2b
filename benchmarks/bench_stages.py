"""From a spec to a kernel: how long each stage takes, how it grows, and what a call needs.

    python benchmarks/bench_stages.py [--quick]

Every figure comes from fresh processes with a cache directory of their own. Prints tables and
writes results/stages.json (not with --quick).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keep import keep

from derive.bench.measuring import spread

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "examples" / "wz3x5.toml"
ONE_PROCESS = Path(__file__).with_name("one_process.py")

CONNECTIONS = (100, 1_000, 10_000, 100_000)


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs, and keep nothing")
    quick = parser.parse_args().quick
    starts = cold_and_warm(runs=2 if quick else 5)
    print_starts(starts)
    growth = [fresh("growth", size) for size in CONNECTIONS[: 3 if quick else 4]]
    print_growth(growth)
    memory = peak_memory(units=64, steps=20_000)
    print_memory(memory)
    if not quick:
        result = {"starts": starts, "growth": growth, "memory": memory}
        path = keep("stages", result)
        print(f"\nwrote {path.parent.name}/{path.name}", file=sys.stderr)


def fresh(what: str, *arguments: Any, cache: str | None = None) -> dict[str, Any]:
    """What ``one_process.py`` measures in a process of its own, with an empty cache if none given.

    Raises
    ------
    SystemExit
        With the process's own words, when it fails: also when its kernel computes something wrong.
    """
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "DERIVE_CACHE_DIR": cache or empty}
        # As after an installation, which compiles modules of Python; the first process may have to.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, str(ONE_PROCESS), what, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cold_and_warm(runs: int) -> dict[str, Any]:
    """wz3x5 from its spec: with nothing in the cache, and from the cache."""
    cold, warm = [], []
    fresh("start", SPEC, "cold")
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(fresh("start", SPEC, "cold", cache=cache))
            warm.append(fresh("start", SPEC, "warm", cache=cache))
    stages = {k: spread([c["stages"][k] for c in cold]).median for k in cold[0]["stages"]}
    measured = {
        f"{name}_{what}": asdict(spread([run[what] for run in found]))
        for name, found in (("cold", cold), ("warm", warm))
        for what in ("import", "compile", "processor")
    }
    return {"runs": runs, **measured, "cold_stages": stages}


def peak_memory(units: int, steps: int) -> dict[str, Any]:
    """What one call of gradient adds to the memory of a process, against 8·N·(T+1) bytes."""
    with tempfile.TemporaryDirectory() as cache:
        fresh("fill", units, cache=cache)  # a compiler's own memory would hide the call's
        grown = fresh("memory", units, steps, cache=cache)
    return {**grown, "units": units, "steps": steps, "trajectory": 8 * units * (steps + 1)}


def print_starts(starts: dict[str, Any]) -> None:
    """Cold and warm."""
    print(f"wz3x5, medians of {starts['runs']} fresh processes (quartiles):\n")
    print("| | import derive, numpy | derive.compile | of processor time | least |")
    print("|---|---|---|---|---|")
    for name in ("cold", "warm"):
        print(
            f"| {name} | {milliseconds(starts[f'{name}_import'])} "
            f"| {milliseconds(starts[f'{name}_compile'])} "
            f"| {1e3 * starts[f'{name}_processor']['median']:,.0f} ms "
            f"| {1e3 * starts[f'{name}_compile']['least']:,.0f} ms |"
        )
    shown = ", ".join(f"{k} {1e3 * v:,.0f} ms" for k, v in starts["cold_stages"].items())
    print(f"\ncold stages: {shown}\n")


def print_growth(rows: list[dict[str, Any]]) -> None:
    """How stages and source grow with connections."""
    print(
        "| connections | units | schedule | differentiate | derive + emit | Cython | C compiler "
        "| compile in all | source | of it tables |"
    )
    print("|---" * 10 + "|")
    for r in rows:
        stages = r["stages"]
        seconds = (r["differentiate"], r["emit"], stages["cython"], stages["cc"], r["compile"])
        times = " | ".join(f"{s:.2f} s" for s in seconds)
        print(
            f"| {r['connections']:,} | {r['units']:,} | {r['schedule']} | {times} "
            f"| {r['source'] / 1e3:,.0f} kB | {r['tables'] / 1e3:,.0f} kB |"
        )


def print_memory(m: dict[str, Any]) -> None:
    """Peak memory."""
    print(
        f"\none gradient, n = {m['units']}, m = {m['inputs']}, T = {m['steps']:,}: "
        f"peak {m['grown'] / 1e6:.1f} MB; 8·N·(T+1) = {m['trajectory'] / 1e6:.1f} MB; "
        f"ratio {m['grown'] / m['trajectory']:.2f}"
    )


def milliseconds(s: dict[str, float]) -> str:
    """Median and quartiles in ms."""
    median, lower, upper = (1e3 * s[k] for k in ("median", "lower", "upper"))
    return f"{median:,.0f} ms ({lower:,.0f}–{upper:,.0f})"


if __name__ == "__main__":
    main()
