"""What this processor can do at most: multiply and add, matrix products, sums by table, memory.

A loop that stays in registers gives the peak, with as many independent sums as hide the time an
instruction takes. Sums whose terms a table names load a place, a weight and a signal for each; a
loop that does nothing else, on what the nearest cache holds, gives what sums of a sparse net may
reach. All are the best of many short tries, since a ceiling is a maximum and others may use the
processor too.
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
UNITS, TERMS, AGAIN = 64, 16, 4000
"""Of sums by table, within the nearest cache; and how often they are made in one try."""
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
    #define TABLE_SUM(kind, real)                                                          \\
    static double kind##_##real(long turns, const real *w, const void *signals,            \\
                                const int *place) {                                        \\
        const kind##_of_##real *z = signals;                                               \\
        double total = 0;                                                                  \\
        for (long t = 0; t < turns; t++)                                                   \\
            for (long i = 0; i < UNITS*TERMS; i += 4*TERMS) {                              \\
                kind##_of_##real s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};                   \\
                for (long c = i; c < i + TERMS; c++) {                                     \\
                    s0 += w[c] * z[place[c]];                                              \\
                    s1 += w[c + TERMS] * z[place[c + TERMS]];                              \\
                    s2 += w[c + 2*TERMS] * z[place[c + 2*TERMS]];                          \\
                    s3 += w[c + 3*TERMS] * z[place[c + 3*TERMS]];                          \\
                    HOLD(s0); HOLD(s1); HOLD(s2); HOLD(s3);                                \\
                }                                                                          \\
                s0 += s1 + (s2 + s3);                                                      \\
                total += ((real *)&s0)[0];                                                 \\
            }                                                                              \\
        return total;                                                                      \\
    }
    #if defined(__x86_64__)
    #define HOLD(sum) __asm__("" : "+v"(sum))
    #elif defined(__aarch64__)
    #define HOLD(sum) __asm__("" : "+w"(sum))
    #else
    #define HOLD(sum)
    #endif
    typedef double one_of_double;
    typedef float one_of_float;
    #define lanes_of_double vector_double
    #define lanes_of_float vector_float
    #define SUMS @SUMS@
    #define UNITS @UNITS@
    #define TERMS @TERMS@
    OF(double)
    OF(float)
    TABLE_SUM(one, double)
    TABLE_SUM(one, float)
    TABLE_SUM(lanes, double)
    TABLE_SUM(lanes, float)
    enum { WIDTH = BYTES };
    '''
    double fma_double(long turns, double start) nogil
    double fma_float(long turns, double start) nogil
    void triad_double(double *a, const double *b, const double *c, long n, long turns) nogil
    double one_double(long turns, const double *w, const void *z, const int *place) nogil
    double one_float(long turns, const float *w, const void *z, const int *place) nogil
    double lanes_double(long turns, const double *w, const void *z, const int *place) nogil
    double lanes_float(long turns, const float *w, const void *z, const int *place) nogil
    enum: WIDTH

BYTES = WIDTH

def multiply_add(bint double, long turns, double start):
    cdef double total
    with nogil:
        total = fma_double(turns, start) if double else fma_float(turns, start)
    return total

def by_table(bint double, bint lanes, long turns, size_t w, size_t z, size_t place):
    cdef double total
    with nogil:
        if double and lanes:
            total = lanes_double(turns, <double *>w, <void *>z, <int *>place)
        elif double:
            total = one_double(turns, <double *>w, <void *>z, <int *>place)
        elif lanes:
            total = lanes_float(turns, <float *>w, <void *>z, <int *>place)
        else:
            total = one_float(turns, <float *>w, <void *>z, <int *>place)
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
        ``fma``, ``gemm`` and, for batches and for one sequence, ``sparse`` of each type in
        operations a second, a multiplication and an addition being two; ``cached`` and ``memory``
        in bytes a second.

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
        for name, wide in (("sparse", lanes), ("sparse, one", 1)):
            taken = _least(_by_table(loops, dtype, wide), threads)
            found[f"{name} {dtype}"] = 2 * UNITS * TERMS * wide * AGAIN * threads / taken
    for name, size in (("cached", CACHED), ("memory", LARGE)):
        n = size // 24
        turns = max(LARGE // size // 16, 1)
        found[name] = 24 * n * turns * threads / _least(_triad(loops, n, turns), threads)
    return found


def _by_table(loops: Any, dtype: str, lanes: int) -> Callable[[], None]:
    """Sums of a sparse net's units, for as many sequences at once as a vector has."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=UNITS * TERMS).astype(dtype)
    place = rng.integers(UNITS, size=UNITS * TERMS).astype(np.int32)
    room = np.zeros(UNITS * lanes + loops.BYTES, dtype)
    signals = room[-room.ctypes.data % loops.BYTES // room.itemsize :]

    def run() -> None:
        given = (a.ctypes.data for a in (weights, signals, place))
        loops.by_table(dtype == "float64", lanes > 1, AGAIN, *given)

    return run


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
        source = LOOPS
        for name in ("SUMS", "UNITS", "TERMS"):
            source = source.replace(f"@{name}@", str(globals()[name]))
        built = compile_module(source, "ceilings", Path(folder), profile("local"), toolchain)
        return load_extension(built.path, "ceilings")
