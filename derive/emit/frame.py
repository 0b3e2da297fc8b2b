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
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < count; b++)
            to[r] += from[r*LANES + b];
}
""")

C_THREADS = """\
#include <pthread.h>
#include <time.h>
/* Threads share the blocks of a batch: each takes the next that nobody has. What is summed over
   the batch is added in the blocks' order, whoever is done first, so results are the same to the
   last bit however many threads there are. */
typedef struct k_crew k_crew;
typedef void (*k_work)(void *arguments, k_crew *crew, real *scratch, size_t b0);
struct k_crew {
    k_work work;
    void *arguments;
    real *scratch;
    size_t each, blocks, next, turn, done, members, seats, present;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};
static void k_count(k_crew *crew, size_t *count)
{
    if (crew->members == 1) return;
    pthread_mutex_lock(&crew->lock);
    __atomic_store_n(count, *count + 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}
/* Sleeping is not worth it at once: to be woken takes as long as most waits. */
static void k_until(k_crew *crew, size_t *count, size_t reached)
{
    struct timespec began, now;
    if (crew->members == 1) return;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do {
        if (__atomic_load_n(count, __ATOMIC_ACQUIRE) == reached) return;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - began.tv_sec)*1000000000LL + now.tv_nsec - began.tv_nsec < 50000);
    pthread_mutex_lock(&crew->lock);
    while (*count != reached) pthread_cond_wait(&crew->changed, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
}
/* Around the adding of a block's results. Who waits has a block, and of the blocks that somebody
   has the first never waits. */
static void k_wait(k_crew *crew, size_t b0) { k_until(crew, &crew->turn, b0/LANES); }
static void k_pass(k_crew *crew) { k_count(crew, &crew->turn); }
static void k_blocks(k_crew *crew)
{
    size_t seat = __atomic_fetch_add(&crew->seats, 1, __ATOMIC_RELAXED), block;
    while ((block = __atomic_fetch_add(&crew->next, 1, __ATOMIC_RELAXED)) < crew->blocks) {
        crew->work(crew->arguments, crew, crew->scratch + seat*crew->each, block*LANES);
        k_count(crew, &crew->done);
    }
}
static void k_leave(k_crew *crew, size_t members)
{
    if (__atomic_sub_fetch(&crew->present, members, __ATOMIC_ACQ_REL)) return;
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}
static void *k_help(void *crew)
{
    k_blocks(crew);
    k_leave(crew, 1);
    return NULL;
}
/* The caller works too, and leaves when all blocks are done. A helper that comes too late for any
   ends by itself, and looks at nothing but the crew; where the system refuses a thread, those
   there are do its blocks. */
static void k_share(k_work work, void *arguments, size_t B, real *scratch, size_t each,
                    size_t threads)
{
    k_crew own = {work, arguments, scratch, each, (B + LANES - 1)/LANES, .members = 1};
    k_crew *crew = threads > 1 ? malloc(sizeof(k_crew)) : NULL;
    if (crew == NULL) {
        k_blocks(&own);
        return;
    }
    *crew = own;
    crew->members = crew->present = threads;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, NULL);
    pthread_attr_t apart;
    pthread_attr_init(&apart);
    pthread_attr_setdetachstate(&apart, PTHREAD_CREATE_DETACHED);
    /* More than straight-line code needs, which some systems' threads do not have. */
    pthread_attr_setstacksize(&apart, 1 << 20);
    size_t helpers = 0;
    pthread_t thread;
    while (helpers < threads - 1 && !pthread_create(&thread, &apart, k_help, crew)) helpers++;
    pthread_attr_destroy(&apart);
    k_blocks(crew);
    k_until(crew, &crew->done, crew->blocks);
    k_leave(crew, threads - helpers);
}
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

THREADS_ARGUMENT = """\
cdef size_t _threads(object threads, Py_ssize_t B) except 0:
    \"\"\"How many threads share a batch: as many as are asked for, at most one for a block.\"\"\"
    try:
        if isinstance(threads, bool):
            raise TypeError
        wanted = PyNumber_Index(threads)
    except TypeError:
        raise TypeError("threads: expected a whole number of at least 1, got %r"
                        % (threads,)) from None
    if wanted < 1:
        raise ValueError("threads: expected a whole number of at least 1, got %r" % (threads,))
    return min(wanted, (B + LANES - 1)//LANES)
"""
