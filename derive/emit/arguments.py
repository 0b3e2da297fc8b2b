"""How an emitted module checks what it is given, in C beside NumPy's own headers.

In C because a step of a small net takes a tenth of a microsecond: a check is then a few
comparisons, and words are made only when something is refused. It is also a quarter of what the
C compiler would have to read and translate if Cython handled these objects. Only public parts of
NumPy's C API are used, so one binary serves every NumPy from the oldest that its headers allow.
"""

from __future__ import annotations

from string import Template

INCLUDES = """\
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>
#include <stdio.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
"""

ARRAYS = Template("""\
#define K_TYPE $type
#define K_DTYPE "$dtype"
/* Names of axes and their sizes (-1: any) as people write them: (T, m=2). */
static void k_symbols(char *text, size_t room, const char *names, int axes, const npy_intp *sizes)
{
    size_t at = 0;
    for (int d = 0; d < axes && at < room; d++) {
        int length = (int)strcspn(names, " ");
        at += snprintf(text + at, room - at, "%s%.*s", d ? ", " : "(", length, names);
        if (sizes[d] >= 0 && at < room)
            at += snprintf(text + at, room - at, "=%lld", (long long)sizes[d]);
        names += length + (names[length] == ' ');
    }
    if (at < room) snprintf(text + at, room - at, axes == 1 ? ",)" : ")");
}
static int k_refuse_shape(const char *name, PyObject *value, const char *expected)
{
    PyObject *shape = PyObject_GetAttrString(value, "shape");
    if (shape) PyErr_Format(PyExc_ValueError, "%s: expected %s, got %S", name, expected, shape);
    Py_XDECREF(shape);
    return -1;
}
static int k_has_shape(PyArrayObject *array, int axes, const npy_intp *sizes)
{
    if (PyArray_NDIM(array) != axes) return 0;
    for (int d = 0; d < axes; d++)
        if (sizes[d] >= 0 && sizes[d] != PyArray_DIM(array, d)) return 0;
    return 1;
}
static int k_has_type(PyArrayObject *array)
{
    return PyArray_TYPE(array) == K_TYPE && PyArray_ISNOTSWAPPED(array);
}
static PyObject *k_converted(PyObject *value)
{
    return PyArray_FromAny(value, PyArray_DescrFromType(K_TYPE), 0, 0,
                           NPY_ARRAY_IN_ARRAY | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST, NULL);
}
static PyObject *k_refuse_value(const char *name, PyObject *value)
{
    PyObject *type, *error, *trace, *given;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError))
        return NULL;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    given = PyObject_GetAttrString((PyObject *)Py_TYPE(value), "__name__");
    if (given) PyErr_Format(PyExc_TypeError, "%s: expected an array of %s, got %S (%S)",
                            name, K_DTYPE, given, error);
    Py_XDECREF(given); Py_XDECREF(type); Py_XDECREF(error); Py_XDECREF(trace);
    return NULL;
}
/* A value as an array of this module's type and a shape, aligned and in C order; a new reference,
   nearly always to the value itself. */
static PyObject *k_array(const char *name, PyObject *value, const char *names, int axes,
                         npy_intp a, npy_intp b, npy_intp c)
{
    const npy_intp sizes[] = {a, b, c};
    PyObject *array = value, *ready;
    char expected[200];
    if (PyArray_Check(value)) {
        Py_INCREF(array);
    } else {
        array = k_converted(value);
        if (!array) return k_refuse_value(name, value);
    }
    if (!k_has_type((PyArrayObject *)array)
        && (strcmp(name, "mask") || !(PyArray_ISINTEGER((PyArrayObject *)array)
                                      || PyArray_ISBOOL((PyArrayObject *)array)))) {
        PyErr_Format(PyExc_TypeError, "%s: expected %s, got %S", name, K_DTYPE,
                     (PyObject *)PyArray_DESCR((PyArrayObject *)array));
        Py_DECREF(array);
        return NULL;
    }
    if (!k_has_shape((PyArrayObject *)array, axes, sizes)) {
        k_symbols(expected, sizeof expected, names, axes, sizes);
        k_refuse_shape(name, array, expected);
        Py_DECREF(array);
        return NULL;
    }
    if (k_has_type((PyArrayObject *)array) && PyArray_ISCARRAY_RO((PyArrayObject *)array))
        return array;
    ready = k_converted(array);
    Py_DECREF(array);
    return ready;
}
static PyObject *k_new(int axes, npy_intp a, npy_intp b, npy_intp c)
{
    const npy_intp sizes[] = {a, b, c};
    return PyArray_SimpleNew(axes, sizes, K_TYPE);
}
static PyObject *k_filled(real value, int axes, npy_intp a, npy_intp b, npy_intp c)
{
    PyObject *array = k_new(axes, a, b, c);
    if (array) {
        real *to = (real *)PyArray_DATA((PyArrayObject *)array);
        for (npy_intp i = PyArray_SIZE((PyArrayObject *)array); i > 0; i--) *to++ = value;
    }
    return array;
}
static Py_ssize_t k_size(PyObject *array, int axis)
{
    return PyArray_DIM((PyArrayObject *)array, axis);
}
/* Where an array's numbers are; the array must outlive the use. */
static real *k_data(PyObject *array) { return (real *)PyArray_DATA((PyArrayObject *)array); }
enum { K_LARGE_PAGE = 1 << 21, K_LARGE = 2*K_LARGE_PAGE };
/* Ask for large pages, where the system has them; it may do without. */
static void k_large_pages(char *from, size_t bytes)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    (void)madvise(from, bytes, MADV_HUGEPAGE);
#else
    (void)from, (void)bytes;
#endif
}
/* Little scratch is kept for the next call: the system would give and clear its pages anew. */
#if defined(__GNUC__)
static char *k_kept;
#define K_KEEP(raw) __atomic_exchange_n(&k_kept, (raw), __ATOMIC_ACQ_REL)
#else
#define K_KEEP(raw) (raw)
#endif
/* Scratch for one call, aligned to 64 bytes. It begins with its size, and before the numbers stands
   where it begins. Large scratch has whole large pages: few page faults, and addresses that the
   processor finds at once. */
static real *k_workspace(size_t count)
{
    size_t bytes = count*sizeof(real), there = 0;
    char *raw = bytes < K_LARGE ? K_KEEP((char *)NULL) : NULL, *aligned;
    if (raw) memcpy(&there, raw, sizeof there);
    if (there < bytes || !raw) {
        free(raw);
        raw = (char *)malloc(bytes + 2*(bytes < K_LARGE ? 64 : K_LARGE_PAGE));
        if (!raw) {
            PyErr_Format(PyExc_MemoryError, "no memory for %zu numbers of scratch", count);
            return NULL;
        }
        memcpy(raw, &bytes, sizeof bytes);
        there = bytes;
    }
    const size_t page = there < K_LARGE ? 64 : K_LARGE_PAGE;
    aligned = raw + (2*page - (size_t)raw % page);
    if (page > 64) k_large_pages(aligned, bytes);
    memcpy(aligned - sizeof raw, &raw, sizeof raw);
    return (real *)aligned;
}
static void k_release(real *workspace)
{
    char *raw;
    size_t there;
    memcpy(&raw, (char *)workspace - sizeof raw, sizeof raw);
    memcpy(&there, raw, sizeof there);
    free(there < K_LARGE ? K_KEEP(raw) : raw);
}
""")

ARRAYS_DECLARED = """\
int import_array "_import_array"() except -1
int k_refuse_shape(const char *, object, const char *) except -1
object k_array(const char *, object, const char *, int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
object k_new(int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
object k_filled(real, int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
Py_ssize_t k_size(object, int)
real *k_data(object)
real *k_workspace(size_t) except NULL
void k_release(real *) noexcept nogil
"""

REFUSAL = """\
static PyObject *k_refuse_type(const char *name, PyObject *given)
{
    PyObject *type = PyObject_GetAttrString(given, "dtype");
    if (!type) {
        PyErr_Clear();
        type = (PyObject *)Py_TYPE(given);
        Py_INCREF(type);
    }
    PyErr_Format(PyExc_TypeError, "%s: expected an array of %s, got %S", name, K_DTYPE, type);
    Py_DECREF(type);
    return NULL;
}
"""

RESULTS = """\
/* A new array for a result, or the caller's, checked to be apart from what is read. */
static PyObject *k_result(const char *name, PyObject *out, PyObject *read, int axes,
                          npy_intp a, npy_intp b, npy_intp c)
{
    const npy_intp sizes[] = {a, b, c};
    PyArrayObject *array = (PyArrayObject *)out;
    char called[40];
    if (!out || out == Py_None) return PyArray_SimpleNew(axes, sizes, K_TYPE);
    snprintf(called, sizeof called, "out (%s)", name);
    if (!PyArray_Check(out) || !k_has_type(array)) return k_refuse_type(called, out);
    if (!k_has_shape(array, axes, sizes)) {
        PyObject *shape = PyArray_IntTupleFromIntp(axes, sizes);
        PyObject *text = shape ? PyObject_Str(shape) : NULL;
        const char *expected = text ? PyUnicode_AsUTF8(text) : NULL;
        if (expected) k_refuse_shape(called, out, expected);
        Py_XDECREF(shape); Py_XDECREF(text);
        return NULL;
    }
    if (!PyArray_ISCARRAY(array)) {
        PyErr_Format(PyExc_ValueError, "%s: must be C-contiguous, aligned and writeable", called);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(read); i++) {
        PyArrayObject *other = (PyArrayObject *)PyTuple_GET_ITEM(read, i);
        char *here = PyArray_BYTES(array), *there = PyArray_BYTES(other);
        size_t size = PyArray_NBYTES(array), size_there = PyArray_NBYTES(other);
        if (size && size_there && here < there + size_there && there < here + size) {
            PyErr_Format(PyExc_ValueError, "%s: shares memory with another argument", called);
            return NULL;
        }
    }
    Py_INCREF(out);
    return out;
}
/* What to differentiate by, as the sum of 1 for theta, 2 for x and 4 for y0; and where each result
   goes, or NULL. An algorithm that is named gives the gradient by theta only. */
static int k_wanted(PyObject *wrt, PyObject *out, const char *algorithm, PyObject **places)
{
    static const char *const known[] = {"theta", "x", "y0"};
    static const char list[] = "('theta', 'x', 'y0')";
    int order[3], wanted = 0;
    Py_ssize_t count, given;
    PyObject *names;
    places[0] = places[1] = places[2] = NULL;
    if (wrt == Py_None && out == Py_None) return 1;
    if (wrt == Py_None) names = Py_BuildValue("(s)", "theta");
    else names = PyUnicode_Check(wrt) ? PyTuple_Pack(1, wrt) : PySequence_Tuple(wrt);
    if (!names) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "wrt: expected some of %s, got %R", list, wrt);
        return -1;
    }
    count = PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int which = 0;
        while (which < 3 && !(PyUnicode_Check(name)
                              && PyUnicode_CompareWithASCIIString(name, known[which]) == 0))
            which++;
        if (which == 3 || wanted & 1 << which) goto refused;
        wanted |= 1 << which;
        order[i] = which;
    }
    if (!count) goto refused;
    given = PyTuple_Check(out) ? PyTuple_GET_SIZE(out) : 1;
    if (out != Py_None && given != count) {
        PyErr_Format(PyExc_ValueError, "out: expected an array for each of %S, got %zd",
                     names, given);
        wanted = -1;
    } else if (algorithm && wanted != 1) {
        PyErr_Format(PyExc_ValueError, "wrt: algorithm %s gives the gradient by theta only, "
                     "got %S; epochwise gives x and y0", algorithm, names);
        wanted = -1;
    } else if (out != Py_None) {
        for (Py_ssize_t i = 0; i < count; i++)
            places[order[i]] = PyTuple_Check(out) ? PyTuple_GET_ITEM(out, i) : out;
    }
    Py_DECREF(names);
    return wanted;
refused:
    PyErr_Format(PyExc_ValueError, "wrt: expected some of %s, each once, got %S", list, names);
    Py_DECREF(names);
    return -1;
}
static inline void k_clear(PyObject *array)
{
    memset(PyArray_DATA((PyArrayObject *)array), 0, PyArray_NBYTES((PyArrayObject *)array));
}
"""

RESULTS_DECLARED = """\
ctypedef struct PyObject
object k_result(const char *, PyObject *, tuple, int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
int k_wanted(object, object, const char *, PyObject **) except -1
void k_clear(object)
"""

STATE = """\
/* What an online run remembers, checked: this module's type, one axis, its size. */
static int k_state(PyObject *state, npy_intp size, int lanes)
{
    PyArrayObject *array = (PyArrayObject *)state;
    if (!PyArray_Check(state) || !k_has_type(array)) {
        k_refuse_type("state", state);
        return -1;
    }
    if (!k_has_shape(array, 1, &size)) {
        char expected[40];
        snprintf(expected, sizeof expected, "(%lld,)", (long long)size);
        return k_refuse_shape("state", state, expected);
    }
    if (!PyArray_ISCARRAY(array) || (lanes && (size_t)PyArray_DATA(array) % 64)) {
        PyErr_Format(PyExc_ValueError, "state: must be C-contiguous, writeable%s",
                     lanes ? " and aligned to 64 bytes" : " and aligned");
        return -1;
    }
    return 0;
}
"""

STATE_DECLARED = "int k_state(object, Py_ssize_t, bint) except -1\n"

THREADS = """\
/* How many threads are asked for, or more than any can be of use. */
static size_t k_threads(PyObject *threads)
{
    const long long most = 1 << 16;
    long long wanted = 0;
    int beyond = 0;
    PyObject *number = PyBool_Check(threads) ? NULL : PyNumber_Index(threads);
    if (!number) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError)) return 0;
        PyErr_Format(PyExc_TypeError, "threads: expected a whole number of at least 1, got %R",
                     threads);
        return 0;
    }
    wanted = PyLong_AsLongLongAndOverflow(number, &beyond);
    Py_DECREF(number);
    if (beyond < 0 || (!beyond && wanted < 1)) {
        PyErr_Format(PyExc_ValueError, "threads: expected a whole number of at least 1, got %R",
                     threads);
        return 0;
    }
    return (size_t)(beyond || wanted > most ? most : wanted);
}
"""

THREADS_DECLARED = "size_t k_threads(object) except 0\n"

NUMPY_TYPES = {"float64": "NPY_DOUBLE", "float32": "NPY_FLOAT"}


def checks(dtype: str, sequences: bool, stateful: bool, shared: bool) -> tuple[str, list[str]]:
    """The C text for a module, and its declarations.

    Parameters
    ----------
    dtype : {"float64", "float32"}
    sequences : bool
        Whether the module has ``forward`` and ``gradient``, which write to ``out``.
    stateful : bool
        Whether it works on the state of a run.
    shared : bool
        Whether threads may share the work.
    """
    text = ARRAYS.substitute(type=NUMPY_TYPES[dtype], dtype=dtype)
    declared = ARRAYS_DECLARED
    if sequences or stateful:
        text += REFUSAL
    if sequences:
        text, declared = text + RESULTS, declared + RESULTS_DECLARED
    if stateful:
        text, declared = text + STATE, declared + STATE_DECLARED
    if shared:
        text, declared = text + THREADS, declared + THREADS_DECLARED
    return text, declared.splitlines()
