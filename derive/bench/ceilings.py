"""What this processor can do at most: multiply and add, matrix products, memory.

A loop that stays in registers gives the peak, with as many independent sums as hide the time an
instruction takes. All are the best of many short tries, since a ceiling is a maximum and
others may use the processor too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from derive.build.loader import load_extension
from derive.build.toolchain import compile_module, find_toolchain, profile
from derive.errors import BenchError

SUMS = 12
TRIES = 60
TURNS = 300_000
GEMM = 384
CACHED, LARGE = 512 * 1024, 192 * 1024 * 1024
"""Bytes of a triad's three arrays: within the second-level cache, and well outside all caches."""

LOOPS = """\
# cython: language_level=3
cdef extern from *:
    '''
    #if defined(__AVX512F__)
    #define BYTES 64
    #elif defined(__AVX__)
    #define BYTES 32
    #else
    #define BYTES 16
    #endif
    #define OF(real)                                                                       \\
    typedef real vector_##real __attribute__((vector_size(BYTES)));                        \\
    static double fma_##real(long turns, double start) {                                   \\
        vector_##real s[SUMS], a = {0}, b = {0};                                           \\
        double total = 0;                                                                  \\
        a += (real)start; b += (real)(1 - start);                                          \\
        for (int i = 0; i < SUMS; i++) s[i] = a + (real)i;                                 \\
        for (long t = 0; t < turns; t++)                                                   \\
            for (int i = 0; i < SUMS; i++) s[i] = s[i] * a + b;                            \\
        for (int i = 0; i < SUMS; i++)                                                     \\
            for (int k = 0; k < (int)(BYTES / sizeof(real)); k++) total += s[i][k];        \\
        return total;                                                                      \\
    }                                                                                      \\
    static void triad_##real(real *a, const real *b, const real *c, long n, long turns) {  \\
        for (long t = 0; t < turns; t++) {                                                 \\
            for (long i = 0; i < n; i++) a[i] = b[i] + (real)3 * c[i];                     \\
            __asm__ volatile("" : : "r"(a) : "memory");                                    \\
        }                                                                                  \\
    }
    #define SUMS @SUMS@
    OF(double)
    OF(float)
    enum { WIDTH = BYTES };
    '''
    double fma_double(long turns, double start) nogil
    double fma_float(long turns, double start) nogil
    void triad_double(double *a, const double *b, const double *c, long n, long turns) nogil
    enum: WIDTH

BYTES = WIDTH

def multiply_add(bint double, long turns, double start):
    cdef double total
    with nogil:
        total = fma_double(turns, start) if double else fma_float(turns, start)
    return total

def triad(size_t a, size_t b, size_t c, long n, long turns):
    with nogil:
        triad_double(<double *>a, <const double *>b, <const double *>c, n, turns)
"""


def ceilings(threads: int) -> dict[str, float]:
    """Measure, with so many threads at once.

    Returns
    -------
    dict
        ``fma`` and ``gemm`` of each type in operations a second, a multiplication and an addition
        being two; ``cached`` and ``memory`` in bytes a second.

    Raises
    ------
    BenchError
        Without a compiler.
    """
    loops = _compiled()
    found: dict[str, float] = {}
    for dtype, double, size in (("float64", True, 8), ("float32", False, 4)):
        lanes = loops.BYTES // size
        work = 2 * SUMS * lanes * TURNS * threads
        taken = _least(partial(loops.multiply_add, double, TURNS, 0.5), threads)
        found[f"fma {dtype}"] = work / taken
        a = np.ones((GEMM, GEMM), dtype)
        out = np.empty_like(a)
        # One call: BLAS uses the threads it was given by itself.
        found[f"gemm {dtype}"] = 2 * GEMM**3 / _least(partial(np.matmul, a, a, out=out), 1)
    for name, size in (("cached", CACHED), ("memory", LARGE)):
        n = size // 24
        turns = max(LARGE // size // 16, 1)
        found[name] = 24 * n * turns * threads / _least(_triad(loops, n, turns), threads)
    return found


def _triad(loops: Any, n: int, turns: int) -> Callable[[], None]:
    """A triad on arrays of each thread's own."""
    import threading

    local = threading.local()

    def run() -> None:
        if not hasattr(local, "arrays"):
            local.arrays = [np.ones(n) for _ in range(3)]
        loops.triad(*(a.ctypes.data for a in local.arrays), n, turns)

    return run


def _least(run: Callable[[], Any], threads: int) -> float:
    """The least time in which all threads have run once."""
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIES):
            started = time.perf_counter()
            for waiting in [pool.submit(run) for _ in range(threads)]:
                waiting.result()
            times.append(time.perf_counter() - started)
    return min(times)


def _compiled() -> Any:
    toolchain = find_toolchain()
    if toolchain is None:
        raise BenchError("bench: no C compiler was found, so no ceiling can be measured")
    with tempfile.TemporaryDirectory() as folder:
        source = LOOPS.replace("@SUMS@", str(SUMS))
        built = compile_module(source, "ceilings", Path(folder), profile("local"), toolchain)
        return load_extension(built.path, "ceilings")
