"""The same threads for everyone. Imports nothing that starts threads of its own."""

from __future__ import annotations

import os


def environment(threads: int) -> dict[str, str]:
    """What libraries read when they are loaded, and so must be set before a process starts."""
    eigen = "true" if threads > 1 else "false"
    counts = {f"{k}_NUM_THREADS": str(threads) for k in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    flags = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}"
    return {**os.environ, **counts, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def cores() -> list[int]:
    """The cores this process may use, those that are taken first in front."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0), reverse=True)
    return list(range(os.cpu_count() or 1))


def pin(threads: int) -> None:
    """Keep this process, and all threads it will start, on so many cores, where that can be.

    XLA sizes its pools by the cores it is allowed, whatever its flags say.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(cores()[:threads]))
