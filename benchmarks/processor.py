"""One processor for everyone. Imports nothing that starts threads of its own."""

from __future__ import annotations

import os


def one_processor() -> None:
    """Keep this process, and all threads it will start, on one processor, where that can be.

    XLA's own thread pools are told so by an environment variable, which must be set before JAX
    is imported.
    """
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 "
        + os.environ.get("XLA_FLAGS", "")
    ).strip()
    os.environ["JAX_PLATFORMS"] = "cpu"
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
