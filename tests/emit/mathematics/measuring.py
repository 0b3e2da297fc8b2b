"""The functions of emitted modules, compiled alone, and their errors.

``python -m tests.emit.mathematics.measuring`` measures them on every float32, which takes some
minutes.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

from derive.blocks import width
from derive.build import toolchain
from derive.emit import frame, functions_c, vectors_c
from derive.emit.mathematics.text import FUNCTIONS

REAL = {"float64": "double", "float32": "float"}
LONG = np.finfo(np.longdouble).nmant >= 63
"""Whether NumPy's longest type has enough places to be the truth for float64."""

LOOP = """
void {name}_each(const real *x, real *y, size_t count)
{{
    for (size_t i = 0; i < count; i++) y[i] = s_{name}(x[i]);
}}
void {name}_one(const real *x, real *y, size_t count)
{{
    for (size_t i = 0; i < count; i++) {{
        y[i] = s_{name}(x[i]);
        __asm__ volatile("" ::: "memory");
    }}
}}
void {name}_lane(const real *x, real *y, size_t count)
{{
    for (size_t i = 0; i + LANES <= count; i += LANES) {{
        lane v;
        memcpy(&v, x + i, sizeof v);
        v = k_{name}(v);
        memcpy(y + i, &v, sizeof v);
    }}
}}
"""


@dataclass(frozen=True)
class Compiled:
    """The functions of one type, compiled with the flags of one profile."""

    dtype: str
    library: ctypes.CDLL

    def __call__(self, name: str, x: Any, form: str = "each") -> Any:
        """A function of an array: ``each`` in a loop, ``one`` by one, or ``lane`` by lane."""
        x = np.ascontiguousarray(x, dtype=self.dtype)
        y = np.empty_like(x)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]
        getattr(self.library, f"{name}_{form}")(*pointers, ctypes.c_size_t(x.size))
        return y


def text_of(dtype: str) -> str:
    """A C file with all functions of a type."""
    itemsize = np.dtype(dtype).itemsize
    parts = [
        frame.C_TYPES.substitute(real=REAL[dtype]),
        vectors_c.c_lanes(width(itemsize), itemsize),
    ]
    parts.append(functions_c.c_functions(set(FUNCTIONS), dtype == "float64", True))
    return "".join([*parts, *(LOOP.format(name=name) for name in sorted(FUNCTIONS))])


def compile_functions(
    dtype: str, profile: str, folder: Path, change: Callable[[str], str] = lambda text: text
) -> Compiled:
    """The functions of a type as a library; ``change`` may plant a fault in the text."""
    found = toolchain.find_toolchain()
    assert found is not None, toolchain.toolchain_problem()
    # exp is the module's own only where the library has no vector form of it.
    flags = [f for f in toolchain.profile(profile).compile if f != "-DK_VECTOR_MATH"]
    source, library = folder / f"{dtype}_{profile}.c", folder / f"{dtype}_{profile}.so"
    source.write_text(change(text_of(dtype)), encoding="utf-8")
    command = [*found.compiler, "-shared", "-fPIC", *flags, str(source), "-o", str(library), "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    return Compiled(dtype, ctypes.CDLL(str(library)))


def exact(name: str, x: Any) -> Any:
    """The function in a type with at least eleven places more."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        x = x.astype(wide)
        e = np.exp(-np.abs(x))
        match name:
            case "tanh":
                return np.tanh(x)
            case "exp":
                return np.exp(x)
            case "logistic":
                return np.where(x < 0, e, 1) / (1 + e)
        return np.where(x > 0, x, 0) + np.log1p(e)


def exactly(name: str, x: float) -> Any:
    """The function in 60 digits."""
    with mpmath.workdps(60):
        v = mpmath.mpf(x)
        match name:
            case "tanh":
                return mpmath.tanh(v)
            case "exp":
                return mpmath.exp(v)
            case "logistic":
                return 1 / (1 + mpmath.exp(-v))
        return mpmath.log1p(mpmath.exp(v))


def ulps(y: Any, truth: Any) -> Any:
    """|y − truth| in units in the last place of the truth, as the type of y has it."""
    kind = np.finfo(y.dtype)
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.where(np.isfinite(truth), truth, 1))
        least = kind.minexp - kind.nmant
        unit = np.where(truth == 0, least, np.maximum(exponent - kind.nmant - 1, least))
        error = np.abs(np.ldexp(y.astype(truth.dtype) - truth, -unit))
        # Beyond the largest number, infinity is the nearest.
        half = truth.dtype.type(0.5) * truth.dtype.type(kind.eps)
        over = np.isinf(y) & (truth / truth.dtype.type(kind.max) >= 1 + half / 2)
    right = (np.isnan(y) & np.isnan(truth)) | (y == truth) | over
    return np.where(right, 0, np.where(np.isnan(error), np.inf, error))


def every_exponent(dtype: str, count: int, seed: int) -> Any:
    """Numbers of every size and sign, more where functions bend, and where n changes."""
    rng = np.random.default_rng(seed)
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    anything = rng.integers(0, np.iinfo(bits).max, count, dtype=bits).view(dtype)
    bent = 10 ** rng.uniform(-4, 3, count) * rng.choice([-1, 1], count)
    edges = np.arange(-4300, 4300) * (np.log(2) / 4)
    beside = [edges * (1 + k * np.finfo(dtype).eps) for k in range(-4, 5)]
    return np.concatenate([anything, bent.astype(dtype), *(b.astype(dtype) for b in beside)])


def worst(functions: Compiled, name: str, x: Any) -> tuple[float, float]:
    """The largest error over some numbers, and where it is."""
    errors = ulps(functions(name, x), exact(name, x))
    at = int(np.argmax(errors))
    return float(errors[at]), float(x[at])


# What is done for every float32 is done in C: the truth in double, by vectors where there are any.
EVERY = """
#if defined(K_VECTOR_MATH)
__attribute__((simd("notinbranch"))) extern double exp(double);
__attribute__((simd("notinbranch"))) extern double log1p(double);
__attribute__((simd("notinbranch"))) extern double tanh(double);
#endif
static inline double t_exp(double x) { return exp(x); }
static inline double t_tanh(double x) { return tanh(x); }
static inline double t_logistic(double x) { return 1/(1 + exp(-x)); }
static inline double t_softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
"""
EVERY_ONE = """
double {name}_worst(uint32_t start, size_t count, float *at)
{{
    static float x[4096], y[4096];
    static double t[4096], e[4096];
    double worst = 0;
    for (size_t done = 0; done < count; done += 4096) {{
        for (uint32_t i = 0; i < 4096; i++) {{
            uint32_t bits = start + (uint32_t)done + i;
            memcpy(x + i, &bits, sizeof bits);
        }}
        for (int i = 0; i < 4096; i++) y[i] = s_{name}(x[i]);
        for (int i = 0; i < 4096; i++) t[i] = t_{name}(x[i]);
        for (int i = 0; i < 4096; i++) {{
            uint64_t bits, least = 1023 - 149;
            memcpy(&bits, t + i, sizeof bits);
            uint64_t unit = ((bits >> 52) & 0x7ff) - 23;
            unit = (int64_t)unit < (int64_t)least ? least : unit;
            bits = (2046 - unit) << 52;
            double d = y[i], scale;
            memcpy(&scale, &bits, sizeof scale);
            double error = fabs(d - t[i])*scale;
            error = error == error ? error : INFINITY;
            int right = (d == t[i]) | ((d != d) & (t[i] != t[i]));
            right |= (d == INFINITY) & (t[i] >= 0x1.ffffffp127);
            e[i] = right ? 0 : error;
        }}
        int more = 0;
        for (int i = 0; i < 4096; i++) more |= e[i] > worst;
        for (int i = 0; more && i < 4096; i++)
            if (e[i] > worst) worst = e[i], *at = x[i];
    }}
    return worst;
}}
"""


def worst_of_every_float32(profile: str, name: str, folder: Path, first: int, count: int) -> Any:
    """The largest error over numbers with those bits, and where it is."""

    def more(text: str) -> str:
        return text + EVERY + EVERY_ONE.format(name=name)

    library = compile_functions("float32", profile, folder, more).library
    function = getattr(library, f"{name}_worst")
    function.restype, at = ctypes.c_double, ctypes.c_float()
    error = function(ctypes.c_uint32(first), ctypes.c_size_t(count), ctypes.byref(at))
    return error, at.value


if __name__ == "__main__":
    import tempfile

    for profile in ("local", "reproducible"):
        for name in sorted(FUNCTIONS):
            with tempfile.TemporaryDirectory() as folder:
                error, at = worst_of_every_float32(profile, name, Path(folder), 0, 2**32)
            print(f"{profile:12} float32 {name:8} {error:.3f} ulp at {at!r}", flush=True)
