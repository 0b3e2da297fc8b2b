"""Instructions of reference kernels, counted by valgrind: a regression check without a clock.

    python benchmarks/instructions.py             # compare with results/instructions.json
    python benchmarks/instructions.py --accept    # the new counts are meant: keep them

A count is the same on a busy machine as on an idle one. It is of one whole call: checks of the
arguments, the core, and what the C library computes for it. Every kernel is built for the same
processor (x86-64-v3: AVX2 and FMA, which valgrind knows and AVX-512 it does not), so counts
depend on the compiler and the C library alone, and are kept under the names of both.

Fewer instructions are not always less time: this finds what was lost, and benchmarks say what a
change is worth.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import derive
from derive.blocks import block_for
from derive.build.toolchain import Profile, compile_module, find_toolchain, profile
from derive.kernel import emit
from derive.program.algorithms import settle

KEPT = Path(__file__).with_name("results") / "instructions.json"
CHILD = Path(__file__).with_name("counted_calls.py")
MARK = "__pyx_pw_"
"""How Cython's names of the functions begin that Python calls."""

REGISTER = 32
"""Bytes of that processor's vector registers."""

TOLERANCE = 0.03
"""How much more than was accepted is a regression."""


@dataclass(frozen=True)
class Reference:
    """One call that is counted."""

    name: str
    units: int
    inputs: int
    density: float
    algorithm: str
    steps: int
    batch: int | None = None

    @property
    def network(self) -> derive.Network:
        """A semilinear tanh network with targets on its last unit."""
        full = self.density == 1
        return derive.Network(
            cell=derive.cells.semilinear("tanh"),
            units=self.units,
            inputs=self.inputs,
            connections=derive.connect.full()
            if full
            else derive.connect.random(self.density, seed=0),
            objective=derive.SquaredError(targets=[self.units - 1]),
            name=self.name,
        )

    @property
    def function(self) -> str:
        """What is called: a step of an online algorithm, or the gradient of a sequence."""
        return "gradient" if self.algorithm == "epochwise" else "step"


REFERENCES = (
    Reference("small", 3, 2, 1, "epochwise", 100),
    Reference("sparse", 32, 4, 0.1, "epochwise", 100),
    Reference("lanes", 16, 4, 1, "epochwise", 100, batch=16),
    Reference("online", 3, 2, 1, "rtrl", 1),
)


def reference_profile() -> Profile:
    """The local profile's flags, for one processor everywhere."""
    local = profile("local")
    replaced = [
        "-march=x86-64-v3" if flag == "-march=native" else flag
        for flag in local.compile
        if not flag.startswith("-mprefer-vector-width")
    ]
    return Profile("counted", tuple(replaced), local.link)


def prepare(reference: Reference, folder: Path) -> dict[str, Any]:
    """Build a kernel and write its arrays; how to call it."""
    net = reference.network
    folder.mkdir()
    batch = reference.batch is not None
    block = block_for(REGISTER, 8, batch)
    text = emit(net, settle(net, reference.algorithm, {}), batch=batch, block=block).text
    toolchain = find_toolchain()
    assert toolchain is not None
    built = compile_module(text, net.name, folder, reference_profile(), toolchain)
    generator = np.random.default_rng(7)
    lead = () if reference.function == "step" else (reference.steps,)
    tail = () if reference.batch is None else (reference.batch,)
    arrays = {
        "0": 2 * net.init(seed=1),
        "1": generator.normal(size=(*lead, reference.inputs, *tail)),
        "2": np.tanh(generator.normal(size=(*lead, 1, *tail))),
    }
    np.savez(folder / "arrays.npz", **arrays)
    return {
        "name": net.name,
        "module": str(built.path),
        "function": reference.function,
        "arrays": str(folder / "arrays.npz"),
        "states": len(net.states),
    }


def count() -> dict[str, int]:
    """Instructions of each reference call."""
    with tempfile.TemporaryDirectory(prefix="derive-instructions-") as place:
        folder = Path(place)
        calls = [prepare(r, folder / r.name) for r in REFERENCES]
        (folder / "calls.json").write_text(json.dumps(calls), encoding="utf-8")
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/counts",
            "--collect-atstart=no",
            f"--toggle-collect={MARK}*",
            sys.executable,
            str(CHILD),
            str(folder / "calls.json"),
        ]
        # What would change from run to run: Python's hashes, and when symbols are looked up.
        fixed = {**os.environ, "PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"}
        said = subprocess.run(command, env=fixed, capture_output=True, text=True, cwd=folder)
        if said.returncode:
            raise SystemExit(f"valgrind failed:\n{said.stderr}")
        found = inclusive(_text(folder / "counts"))
    counts = {
        r.name: n
        for r in REFERENCES
        for function, n in found.items()
        if re.fullmatch(rf"{MARK}\d+{r.name}_\d*{r.function}", function)
    }
    if len(counts) != len(REFERENCES):
        raise SystemExit(f"valgrind counted {', '.join(counts) or 'none'} of the calls")
    return counts


def inclusive(text: str) -> dict[str, int]:
    """Instructions of each function with all it called, from callgrind's file."""
    names: dict[str, str] = {}
    totals: dict[str, int] = {}
    current = ""
    for line in text.splitlines():
        if match := re.match(r"(c?)fn=(\(\d+\))(?: (.*))?$", line):
            called, number, name = match.groups()
            if name:
                names[number] = name
            if not called:
                current = names[number]
        elif current and (match := re.match(r"[+\-*\d]\S* (\d+)$", line)):
            totals[current] = totals.get(current, 0) + int(match[1])
    return totals


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def key() -> str:
    """What the counts depend on, besides derive."""
    toolchain = find_toolchain()
    assert toolchain is not None
    return f"{toolchain.version}; Cython {toolchain.cython}; {' '.join(platform.libc_ver())}"


def compare(counts: dict[str, int], accepted: dict[str, int]) -> list[str]:
    """One line for each reference call that needs more than was accepted."""
    return [
        f"{name}: {n} instructions, {n / accepted[name] - 1:+.1%} of the accepted {accepted[name]}"
        for name, n in counts.items()
        if name in accepted and n > (1 + TOLERANCE) * accepted[name]
    ]


def main() -> int:
    """0 if nothing needs more instructions than was accepted, or nothing can be compared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accept", action="store_true", help="keep the counts found now")
    accept = parser.parse_args().accept
    if platform.machine() != "x86_64" or not shutil.which("valgrind") or not find_toolchain():
        print("not counted: this needs an x86-64 processor, valgrind and a C compiler")
        return 0
    kept: dict[str, dict[str, int]] = json.loads(_text(KEPT) or "{}")
    counts = count()
    for name, n in counts.items():
        before = kept.get(key(), {}).get(name)
        print(f"{name:8} {n:10,}" + (f"  {n / before - 1:+.2%}" if before else ""))
    if accept:
        kept[key()] = counts
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    if key() not in kept:
        print(f"nothing to compare with for {key()}: --accept keeps these counts")
        return 0
    worse = compare(counts, kept[key()])
    if worse:
        print(
            "\n".join(["", *worse, "If this is meant: python benchmarks/instructions.py --accept"])
        )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
