"""The functions a module calls, each as ``k_NAME``, in C.

A few are computed by the module itself (``mathematics/``), with bounds of their error and the same
bits everywhere; the others are those of the C library. Each has a form for one number, which loops
over units turn into one for several, and where a batch is in lanes one for a vector.
"""

from __future__ import annotations

from derive.emit.mathematics import text as own

SCALAR_FUNCTIONS = {
    "logistic": "1/(1 + M(exp)(-x))",
    # max(x, 0) + log1p(exp(-|x|)): exp never overflows; NaN passes through both terms.
    "softplus": "(x <= 0 ? 0 : x) + M(log1p)(M(exp)(-M(fabs)(x)))",
    "relu": "x <= 0 ? 0 : x",
    "step": "x > 0 ? 1 : (x <= 0 ? 0 : x)",
    "sign": "x > 0 ? 1 : (x < 0 ? -1 : x)",
}
PAIRED_FUNCTIONS = {
    "pow": "M(pow)(x, z)",
    # fmax would drop a NaN.
    "larger": "x >= z ? x : (x < z ? z : x + z)",
    "smaller": "x <= z ? x : (x > z ? z : x + z)",
}


WITHOUT_VECTOR_FORM = {*SCALAR_FUNCTIONS, *PAIRED_FUNCTIONS, *own.FUNCTIONS, "sqrt", "fabs"} - {
    *own.LESS_THAN_LIBRARY
}
"""No function of the C library of that name is called on vectors."""

# Short loops are written out before the compiler looks for vectors, and then it finds none.
LANE_LOOP = """\
#if defined(__AVX512F__) && !defined(__clang__)
#define K_AT_ONCE _Pragma("GCC unroll 1")
#else
#define K_AT_ONCE
#endif
"""


def c_functions(names: set[str], double: bool, lanes: bool) -> str:
    """Definitions of the functions a module calls, each as ``k_NAME``.

    Parameters
    ----------
    names : set of str
        As in :data:`derive.emit.expressions.LIBRARY`.
    double : bool
        Whether ``real`` is double, else float.
    lanes : bool
        Whether a ``k_NAME`` takes vectors.
    """
    if not names:
        return ""
    prefix = "s_" if lanes else "k_"
    parts = [
        "#define M(g) g\n" if double else "#define M(g) g##f\n",
        _in_line(lanes) if names & own.FUNCTIONS else "",
        _vector_forms(names, double),
        _by_module(names & own.FUNCTIONS, prefix, double),
        *(_single(name, prefix + name) for name in sorted(names - own.FUNCTIONS)),
    ]
    if lanes:
        parts += [LANE_LOOP, *map(_in_lanes, sorted(names))]
    return "".join(parts)


def _in_line(lanes: bool) -> str:
    """How the module's own functions are put in line.

    One that a loop over lanes calls must be, or it is called once for each lane. A straight line
    for one sequence calls it so often that the compiler should be free to choose.
    """
    always = " __attribute__((always_inline))" if lanes else ""
    return f"#define K_IN_LINE inline{always}\n"


def _vector_forms(names: set[str], double: bool) -> str:
    """Declarations that let the compiler call a function on several lanes or units at once.

    glibc has these since 2.35, with errors of at most 4 units in the last place. The build says
    whether they are there; without them a loop calls the function once for each number.
    """
    called = sorted(names - WITHOUT_VECTOR_FORM)
    if not called:
        return ""
    real, suffix = ("double", "") if double else ("float", "f")
    declared = "".join(
        f'__attribute__((simd("notinbranch"))) extern {real} {c}{suffix}({real});\n' for c in called
    )
    return f"#if defined(K_VECTOR_MATH)\n{declared}#endif\n"


def _by_module(names: set[str], prefix: str, double: bool) -> str:
    """The module's own functions, and the library's for compilers that would call them anyway."""
    always, otherwise = sorted(names - own.LESS_THAN_LIBRARY), sorted(names & own.LESS_THAN_LIBRARY)
    text = ""
    if always:
        text += f"#if {own.CONDITION}\n{own.shared(set(names), double)}"
        text += "".join(own.definition(name, prefix + name, double) for name in always)
        text += "#else\n" + "".join(_single(name, prefix + name) for name in always) + "#endif\n"
    if otherwise:
        text += f"#if {own.CONDITION} && !defined(K_VECTOR_MATH)\n"
        text += "" if always else own.shared(set(names), double)
        text += "".join(own.definition(name, prefix + name, double) for name in otherwise)
        text += "#else\n" + "".join(_single(name, prefix + name) for name in otherwise)
        text += "#endif\n"
    return text


def _single(name: str, defined: str) -> str:
    pair = name in PAIRED_FUNCTIONS
    body = (PAIRED_FUNCTIONS if pair else SCALAR_FUNCTIONS).get(name, f"M({name})(x)")
    takes = "real x, real z" if pair else "real x"
    return f"static inline real {defined}({takes}) {{ return {body}; }}\n"


def _in_lanes(name: str) -> str:
    pair = name in PAIRED_FUNCTIONS
    takes, shown = ("lane x, lane z", "(x, z)") if pair else ("lane x", "(x)")
    call = f"s_{name}(x[b], z[b])" if pair else f"s_{name}(x[b])"
    passed = "k_lane(x), k_lane(z)" if pair else "k_lane(x)"
    return (
        f"static inline lane k_{name}_lanes({takes})\n"
        "{\n    lane r;\n    K_AT_ONCE\n"
        f"    for (int b = 0; b < LANES; b++) r[b] = {call};\n    return r;\n}}\n"
        f"#define k_{name}{shown} k_{name}_lanes({passed})\n"
    )
