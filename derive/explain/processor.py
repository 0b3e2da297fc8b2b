"""What a processor can do at most: per cycle and from cache to cache, assumed or measured.

Latencies and rates are the best of x86-64 cores of the 2020s (AMD Zen 4, Intel Golden Cove), so
that a bound stays one on others. ``derive bench`` measures rates; its results can be given.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from derive.build.toolchain import REGISTERS, cpu_features, register_bytes
from derive.errors import DeriveError
from derive.program.chain import Latencies

NAMED = (*REGISTERS, "sse2", "asimd")
"""Sets of instructions; the first that is there has the widest vectors."""

FUSED_PER_CYCLE = {64: 1, 32: 2, 16: 2}
"""Vectors multiplied and added in a cycle; the wider ones take both units."""

LOADED = 2
"""Vectors loaded in a cycle from the first cache; half as many are stored."""

CACHES = (32 * 1024, 1024 * 1024, 32 * 1024 * 1024)
"""Bytes of the first, second and third cache where the system does not say."""

BYTES_PER_CYCLE = (64, 32, 16, 8)
"""From the first, second and third cache, and from memory."""

CYCLES = {"addition": 3, "multiplication": 3, "fused": 4, "selection": 1}
DIVISION = {"float64": 13, "float32": 10}

FUNCTIONS = {
    "float64": {"tanh": 43, "logistic": 50, "exp": 20, "softplus": 75, "sqrt": 13},
    "float32": {"tanh": 36, "logistic": 43, "exp": 15, "softplus": 60, "sqrt": 10},
}
"""Cycles of a function: the longest path through its C text, at the latencies above; of exp the
C library's."""

SIMPLE = ("Abs", "sign", "relu", "step", "Max", "Min", "greatest")
LIBRARY = 20
"""Cycles of any other function of the C library, at least."""

ARITHMETIC = {"tanh": 22, "logistic": 22, "exp": 25, "softplus": 55, "sqrt": 5}
"""Operations in a function, each taking the room of one; a division counts as five."""
DIVIDED = 5

NOMINAL = 3.0
"""GHz, where the system does not say."""


@dataclass(frozen=True)
class Processor:
    """What bounds are computed from.

    Attributes
    ----------
    width : int
        Bytes of a vector.
    fused : float
        Vectors multiplied and added in a cycle.
    clock : float
        GHz.
    caches : tuple of int
        Bytes of the first, second and third cache.
    assumed : tuple of str
        Where the figures come from, a sentence each.
    """

    width: int
    fused: float
    clock: float
    caches: tuple[int, ...]
    assumed: tuple[str, ...]

    def lanes(self, dtype: str) -> int:
        """Numbers in a vector."""
        return self.width // (8 if dtype == "float64" else 4)


def processor(ceilings: Any = None, dtype: str = "float64") -> Processor:
    """This machine's processor, as far as the system tells.

    Parameters
    ----------
    ceilings : path, optional
        Results of ``derive bench``, whose measured peak of one thread replaces the assumed one.

    Raises
    ------
    DeriveError
        If that file holds no ceilings.
    """
    features = cpu_features()
    name = next((f for f in NAMED if f in features), "")
    width = register_bytes()
    fused = FUSED_PER_CYCLE[width]
    clock, said = _clock()
    caches = _caches()
    found = Processor(
        width,
        fused,
        clock,
        caches or CACHES,
        (
            f"clock {clock:.1f} GHz, {said}",
            f"{fused} fused operation(s) a cycle, {8 * width} bits wide ({name or 'any'})",
            "caches "
            + ", ".join(_size(c) for c in caches or CACHES)
            + ("" if caches else " (assumed)"),
        ),
    )
    return found if ceilings is None else _measured(found, Path(ceilings), dtype)


def latencies(dtype: str) -> Latencies:
    """Cycles of each operation."""
    functions = {**FUNCTIONS[dtype], **dict.fromkeys(SIMPLE, CYCLES["selection"])}
    return Latencies(**CYCLES, division=DIVISION[dtype], other=LIBRARY, functions=functions)


def arithmetic(function: str) -> int:
    """Operations that a call of a function counts as."""
    return 1 if function in SIMPLE else ARITHMETIC.get(function, LIBRARY)


def _measured(found: Processor, path: Path, dtype: str) -> Processor:
    try:
        of_one = json.loads(path.read_text(encoding="utf-8"))["ceilings"]["1"]
        peak = float(of_one[f"fma {dtype}"]) / 1e9
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeriveError(
            f"ceilings: {path} is no result of `derive bench` with ceilings of one thread "
            f"({type(error).__name__}: {error})"
        ) from None
    clock = peak / (2 * found.lanes(dtype) * found.fused)
    said = f"clock {clock:.1f} GHz, from {peak:.0f} GFLOP/s measured by derive bench"
    return replace(found, clock=clock, assumed=(said, *found.assumed[1:]))


def _clock() -> tuple[float, str]:
    most = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    if text := _read(most):
        return int(text) / 1e6, "the most the system allows"
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("cpu MHz"):
            return float(line.partition(":")[2]) / 1e3, "as the system says; it may run faster"
    return NOMINAL, "assumed"


def _caches() -> tuple[int, ...]:
    found: dict[int, int] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(folder / name) for name in ("level", "type", "size"))
        if kind in ("Data", "Unified") and size.endswith("K"):
            found[int(level)] = 1024 * int(size[:-1])
    return tuple(found[level] for level in sorted(found))


def _read(path: Path) -> str:
    reader: Callable[..., str] = path.read_text
    try:
        return reader(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
