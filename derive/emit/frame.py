"""The fixed frame of an emitted module: types, functions, and how arguments are checked.

Only these texts are templates; everything that depends on a network is built from its Program.
"""

from __future__ import annotations

from string import Template

DIRECTIVES = (
    "# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True\n"
    "# cython: initializedcheck=False, binding=False, auto_pickle=False\n"
)

C_TYPES = Template("""\
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(_MSC_VER)
#define K_RESTRICT __restrict
#else
#define K_RESTRICT restrict
#endif
typedef $real real;
typedef const real *K_RESTRICT real_in;
typedef real *K_RESTRICT real_out;
""")

C_LANES = Template("""\
/* One vector holds the same quantity of LANES sequences of a batch. */
#define LANES $lanes
typedef real lane __attribute__((vector_size(LANES*sizeof(real)), aligned(LANES*sizeof(real))));
typedef const lane *K_RESTRICT lane_in;
typedef lane *K_RESTRICT lane_out;
#define k_lane(a) ((a) + (lane){0})
#define k_div(a, b) ((a)/(b))
typedef __typeof__((lane){0} == (lane){0}) lane_mask;
#define k_where(c, a, b) ((lane)(((lane_mask)(c) & (lane_mask)k_lane(a)) \\
    | (~(lane_mask)(c) & (lane_mask)k_lane(b))))
/* (rows, count of B from b0) <-> (rows, LANES); lanes beyond the batch are zero. */
static void k_pack(real *to, const real *from, size_t rows, size_t B, size_t b0)
{
    size_t count = B - b0 < LANES ? B - b0 : LANES;
    if (count < LANES) memset(to, 0, rows*LANES*sizeof(real));
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r*LANES, from + r*B + b0, count*sizeof(real));
}
static void k_unpack(real *to, const real *from, size_t rows, size_t B, size_t b0)
{
    size_t count = B - b0 < LANES ? B - b0 : LANES;
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r*B + b0, from + r*LANES, count*sizeof(real));
}
static void k_sum(real *to, const real *from, size_t rows, size_t B, size_t b0)
{
    size_t count = B - b0 < LANES ? B - b0 : LANES;
    for (size_t r = 0; r < rows; r++) {
        double sum = to[r];
        for (size_t b = 0; b < count; b++)
            sum += from[r*LANES + b];
        to[r] = (real)sum;
    }
}
""")

C_WIDE = """\
typedef double wide;
typedef wide *K_RESTRICT wide_out;
"""

C_WIDE_LANES = """\
typedef wide wide_lane
    __attribute__((vector_size(LANES*sizeof(wide)), aligned(LANES*sizeof(real))));
typedef wide_lane *K_RESTRICT wide_lane_out;
#define k_widen(a) __builtin_convertvector(a, wide_lane)
#define k_narrow(a) __builtin_convertvector(a, lane)
"""

C_SINGLE = "#define k_where(c, a, b) ((c) ? (a) : (b))\n"

C_LARGEST = """\
/* The largest over the sequences of a block, and of what was there; NaN stays. */
static void k_largest(real *to, const real *from, size_t rows, size_t B, size_t b0)
{
    size_t count = B - b0 < LANES ? B - b0 : LANES;
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < count; b++)
            if (!(from[r*LANES + b] <= to[r])) to[r] = from[r*LANES + b];
}
"""

C_WINDOWS = """\
#define k_least(a, b) ((a) < (b) ? (a) : (b))
#define k_most(a, b) ((a) > (b) ? (a) : (b))
"""

C_ROOT = """\
static inline Py_ssize_t k_root(Py_ssize_t n) {
    Py_ssize_t r = 0;
    while (r*r < n) ++r;
    return r;
}
"""

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


CALLS = {"logistic": ("exp",), "softplus": ("exp", "log1p"), "relu": (), "step": (), "sign": (),
         "larger": (), "smaller": (), "pow": (), "sqrt": (), "fabs": ()}  # fmt: skip
"""The library functions behind ours that have vector forms, where not the one of that name."""


def _vector_forms(names: set[str], double: bool) -> str:
    """Declarations that let the compiler call a function on several lanes or units at once.

    glibc has these since 2.35, with errors of at most 4 units in the last place. The build says
    whether they are there; without them a loop calls the function once for each number.
    """
    called = sorted({c for name in names for c in CALLS.get(name, (name,))})
    if not called:
        return ""
    real, suffix = ("double", "") if double else ("float", "f")
    declared = "".join(
        f'__attribute__((simd("notinbranch"))) extern {real} {c}{suffix}({real});\n' for c in called
    )
    return f"#if defined(K_VECTOR_MATH)\n{declared}#endif\n"


def c_functions(names: set[str], double: bool, lanes: bool) -> str:
    """Definitions of the functions a module calls, each as ``k_NAME``."""
    suffix = "" if double else "f"
    lines = ["#define M(g) g##f\n" if suffix else "#define M(g) g\n"] if names else []
    lines.append(_vector_forms(names, double))
    for name in sorted(names):
        pair = name in PAIRED_FUNCTIONS
        body = (PAIRED_FUNCTIONS if pair else SCALAR_FUNCTIONS).get(name, f"M({name})(x)")
        takes = "real x, real z" if pair else "real x"
        single = f"s_{name}" if lanes else f"k_{name}"
        lines.append(f"static inline real {single}({takes}) {{ return {body}; }}\n")
        if lanes:
            takes = "lane x, lane z" if pair else "lane x"
            call = f"s_{name}(x[b], z[b])" if pair else f"s_{name}(x[b])"
            lines.append(
                f"static inline lane k_{name}_lanes({takes}) "
                f"{{ lane r; for (int b = 0; b < LANES; b++) r[b] = {call}; return r; }}\n"
            )
            shown = "(x, z)" if pair else "(x)"
            passed = "k_lane(x), k_lane(z)" if pair else "k_lane(x)"
            lines.append(f"#define k_{name}{shown} k_{name}_lanes({passed})\n")
    return "".join(lines)


ARGUMENTS = """\
WRT = ("theta", "x", "y0")


cdef object _array(str name, object value, tuple shape, str symbols):
    \"\"\"``value`` as a C-contiguous array of this module's type and a shape (-1: any).\"\"\"
    if not isinstance(value, np.ndarray):
        try:
            value = np.asarray(value, dtype=DTYPE)
        except (TypeError, ValueError) as error:
            raise TypeError("%s: expected an array of %s, got %s (%s)"
                            % (name, DTYPE, type(value).__name__, error)) from None
    if value.dtype != DTYPE and (name != "mask" or value.dtype.kind not in "biu"):
        raise TypeError("%s: expected %s, got %s" % (name, DTYPE, value.dtype))
    cdef tuple given = value.shape
    cdef bint fits = len(given) == len(shape)
    cdef Py_ssize_t d
    if fits:
        for d in range(len(shape)):
            fits = fits and (shape[d] == -1 or shape[d] == given[d])
    if not fits:
        raise ValueError("%s: expected %s, got %s" % (name, symbols, given))
    if value.dtype is DTYPE and value.flags.carray:
        return value  # as nearly all are; the rest costs a call of a step half its time
    value = np.ascontiguousarray(value, dtype=DTYPE)
    return value if value.flags.aligned else value.copy()


cdef object _result(str name, object out, tuple shape, tuple read):
    \"\"\"A new array for a result, or the caller's, checked to be apart from what is read.\"\"\"
    if out is None:
        return np.empty(shape, dtype=DTYPE)
    if not isinstance(out, np.ndarray) or out.dtype != DTYPE:
        raise TypeError("out (%s): expected an array of %s, got %s"
                        % (name, DTYPE, getattr(out, "dtype", type(out))))
    if out.shape != shape:
        raise ValueError("out (%s): expected %s, got %s" % (name, shape, out.shape))
    if not out.flags.carray:
        raise ValueError("out (%s): must be C-contiguous, aligned and writeable" % name)
    for other in read:
        if np.may_share_memory(out, other):
            raise ValueError("out (%s): shares memory with another argument" % name)
    return out


cdef tuple _wanted(object wrt, object out):
    \"\"\"What to differentiate by, and for each the array to write to, if one is given.\"\"\"
    cdef tuple names
    try:
        names = ("theta",) if wrt is None else (wrt,) if isinstance(wrt, str) else tuple(wrt)
    except TypeError:
        raise TypeError("wrt: expected some of %s, got %r" % (WRT, wrt)) from None
    cdef tuple outs = () if out is None else out if isinstance(out, tuple) else (out,)
    cdef dict given = {}
    for name in names:
        if not isinstance(name, str) or name not in WRT or name in given:
            raise ValueError("wrt: expected some of %s, each once, got %s" % (WRT, names))
        given[name] = None
    if not names:
        raise ValueError("wrt: expected some of %s, each once, got %s" % (WRT, names))
    if out is not None and len(outs) != len(names):
        raise ValueError("out: expected an array for each of %s, got %d" % (names, len(outs)))
    if outs:
        given.update(zip(names, outs))
    return names, given


cdef object _only(tuple names, object gradient):
    \"\"\"The gradient with None for what was not asked.\"\"\"
    cdef list kept = [gradient[0]]
    for name, value in zip(WRT, gradient[1:]):
        kept.append(value if name in names else None)
    return Gradient(*kept)


cdef real *_data(object array) except? NULL:
    \"\"\"Where an array's numbers are; the array must outlive the use.\"\"\"
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef real *data = <real *>view.buf
    PyBuffer_Release(&view)
    return data


cdef real *_workspace(size_t count) except NULL:
    \"\"\"Scratch for one call, aligned to 64 bytes; the pointer to free stands before it.\"\"\"
    cdef char *raw = <char *>malloc(count*sizeof(real) + 128)
    if raw == NULL:
        raise MemoryError("no memory for %d numbers of scratch" % count)
    cdef char *aligned = raw + (128 - <size_t>raw % 64)
    memcpy(aligned - sizeof(void *), &raw, sizeof(void *))
    return <real *>aligned


cdef void _release(real *workspace) noexcept nogil:
    cdef void *raw
    memcpy(&raw, <char *>workspace - sizeof(void *), sizeof(void *))
    free(raw)
"""

STATE_SIZE = Template("""\
cdef Py_ssize_t STATE_SIZE = $size
STATE = STATE_SIZE
""")

STATE_ARGUMENT = """\
cdef object _state(object state, Py_ssize_t size, bint lanes):
    \"\"\"What an online run remembers, checked: this module's type, one axis, its size.\"\"\"
    if not isinstance(state, np.ndarray) or state.dtype != DTYPE:
        raise TypeError("state: expected an array of %s, got %s"
                        % (DTYPE, getattr(state, "dtype", type(state).__name__)))
    if state.shape != (size,):
        raise ValueError("state: expected (%d,), got %s" % (size, state.shape))
    if not state.flags.carray or (lanes and state.ctypes.data % 64):
        raise ValueError("state: must be C-contiguous, writeable%s"
                         % (" and aligned to 64 bytes" if lanes else " and aligned"))
    return state
"""
