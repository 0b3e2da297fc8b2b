# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False, auto_pickle=False

"""pipelined_xor: 4 units, 2 input lines, 24 connections.

Algorithm rtrl; schedule tables; float64; derive 0.1.0.
Derived from the forward equations, not written by hand:

    [semilinear]
    s(t) = sum over connections of w*x(t - delay)
    y(t) = logistic(b + s(t))
    p_s(t) = sum over connections of w*p(t - delay), + x(t - delay) for its own weight
    dy(t)/ds(t) = y(t)*(1 - y(t))
    dy(t)/db = y(t)*(1 - y(t))
    p_y(t) = dy(t)/ds(t)*p_s(t), + dy(t)/db for its own b
    e(t) = d - y   (units with a target, where there is one)
    dJ/dtheta = sum over units of e(t)*p(t)

forward(theta, x, y0=None, out=None) -> y (T+1, N=4)
gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None)
    -> (J, dJ/dtheta (P=28,)), or with wrt a named tuple (J, theta, x, y0); by theta only, summed over steps
start(state, y0): state is an array of STATE numbers
step(state, t, theta, x, target, mask) -> (y, J(t), dJ/dtheta (P=28,)); t = 1, 2, …; one row of each
112 of 112 sensitivities are kept and computed.

x (T, m=2); target and mask (T, n_T=1) for units 0; y0 (N=4).
J is maximised: ascend along the gradient. target[t] is for y[t+1], computed from x[t].
theta: w(0, 0), w(0, 1), w(0, 2), w(0, 3), w(0, 4), w(0, 5), w(1, 0), w(1, 1), w(1, 2), w(1, 3),
w(1, 4), w(1, 5), w(2, 0), w(2, 1), w(2, 2), w(2, 3), w(2, 4), w(2, 5), w(3, 0), w(3, 1), w(3, 2),
w(3, 3), w(3, 4), w(3, 5), b(0), b(1), b(2), b(3); w(target, source[, delay]).
"""

from libc.stdint cimport int32_t, int64_t

from collections import namedtuple

import numpy as np

cdef extern from *:
    """
    #define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
    #include <numpy/arrayobject.h>
    #include <stdio.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif
    #include <float.h>
    #include <math.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #if defined(_MSC_VER)
    #define K_RESTRICT __restrict
    #else
    #define K_RESTRICT restrict
    #endif
    typedef double real;
    typedef const real *K_RESTRICT real_in;
    typedef real *K_RESTRICT real_out;
    #define k_where(c, a, b) ((c) ? (a) : (b))
    /* Keeps a sum from being computed several terms at a time: gathered numbers are dearer than each by
       itself, and terms are added in their order anyway. */
    #if defined(__GNUC__) && defined(__x86_64__)
    #define k_one_by_one(sum) __asm__("" : "+x"(sum))
    #else
    #define k_one_by_one(sum)
    #endif
    #define K_TYPE NPY_DOUBLE
    #define K_DTYPE "float64"
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
    #define M(g) g
    #define K_IN_LINE inline
    #if defined(__GNUC__) && FLT_EVAL_METHOD == 0
    /* Adding K_ROUND leaves a whole number, and its exponent's bits as the last ones. */
    #define K_ROUND 0x1.80000000003ffp+52
    static inline real k_power(real k) /* 2^n of k = n + K_ROUND */
    {
        uint64_t i;
        memcpy(&i, &k, sizeof i);
        i <<= 52;
        memcpy(&k, &i, sizeof k);
        return k;
    }
    /* 1/(1 + exp(-x)) = sP/(sP + Q), x = n*ln(2) + 2r, s = 2^n, exp(2r) = P/Q = (A + B)/(A - B). */
    static K_IN_LINE real k_logistic(real x)
    {
        real n = (x*0x1.71547652b82fep+0 + K_ROUND) - K_ROUND, r = (x*0x1p-1 - n*0x1.62e42fefa3p-2) - n*0x1.3de6af278ece6p-43;
        real u = r*r, B = r + r*u*(0x1.c710257e0ec91p-4 + u*0x1.15323cbc5fac5p-10), A = 1 + u*(0x1.c7195eb4d9012p-2 + u*0x1.03fc945d9b3dep-6);
        real k = n*0x1p-1 + K_ROUND, s = k_power(k)*k_power(n - (k - K_ROUND) + K_ROUND);
        real p = s*(A + B), y = p/(p + (A - B));
        return x > 38.0 ? 1 : (x < -746.0 ? 0 : y);
    }
    #else
    static inline real k_logistic(real x) { return 1/(1 + M(exp)(-x)); }
    #endif
    """
    ctypedef double real
    ctypedef const real *real_in
    ctypedef real *real_out
    int import_array "_import_array"() except -1
    int k_refuse_shape(const char *, object, const char *) except -1
    object k_array(const char *, object, const char *, int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
    object k_new(int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
    object k_filled(real, int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
    Py_ssize_t k_size(object, int)
    real *k_data(object)
    real *k_workspace(size_t) except NULL
    void k_release(real *) noexcept nogil
    ctypedef struct PyObject
    object k_result(const char *, PyObject *, tuple, int, Py_ssize_t, Py_ssize_t, Py_ssize_t)
    int k_wanted(object, object, const char *, PyObject **) except -1
    void k_clear(object)
    int k_state(object, Py_ssize_t, bint) except -1
    void k_one_by_one(real) noexcept nogil
    real k_where(bint, real, real) noexcept nogil
    real k_logistic(real) noexcept nogil

import_array()

DTYPE = np.dtype("float64")
Gradient = namedtuple("Gradient", ["J", "theta", "x", "y0"])
RECORD = '{"algorithm": {"name": "rtrl"}, "batch": false, "derive": "0.1.0", "digest": "f8224486d9e895d2690701ec660cec9ee755cb49073acd49966ce8e8a190a1cb", "dtype": "float64", "schedule": "tables", "spec": {"algorithm": {"name": "rtrl"}, "cell": {"activation": "logistic", "bias": true, "library": "semilinear"}, "name": "pipelined_xor", "network": {"connections": "full", "inputs": 2, "units": 4}, "objective": {"J": "(-(d - y)**2)/2", "targets": [0]}, "spec": "derive/1"}}'

cdef Py_ssize_t STATE_SIZE = 248
STATE = STATE_SIZE

cdef void forward_core(
    real_in theta,
    real_in x,
    real_in y0,
    real_out y,
    real_out z,
    real_out all_0_u_s,
    Py_ssize_t T
) noexcept nogil:
    cdef Py_ssize_t c, k, l, r, t
    cdef real u_s, new_y
    for r in range(1):
        for l in range(6):
            z[r*6 + l] = 0
    for l in range(4):
        z[l] = y0[l]
    for t in range(1, T + 1):
        for l in range(2):
            z[(t - 1)*6 + l + 4] = x[(t - 1)*2 + l]
        for k in range(4):
            u_s = 0
            for c in range(6):
                u_s += theta[k*6 + c]*z[(t - 1)*6 + c]
            all_0_u_s[k] = u_s
        for k in range(4):
            u_s = all_0_u_s[k]
            new_y = k_logistic(theta[k + 24] + u_s)
            z[t*6 + k] = new_y
    for t in range(T + 1):
        for l in range(4):
            y[t*4 + l] = z[t*6 + l]

cdef void gradient_core(
    real_in theta,
    real_in x,
    real_in target,
    real_in mask,
    real_in y0,
    real_out J,
    real_out grad_theta,
    real_out z,
    real_out error,
    real_out p,
    real_out all_0_u_s,
    real_out p_0_s_0,
    real_out p_0_s_1,
    real_out p_0_s_2,
    real_out p_0_s_3,
    Py_ssize_t T,
    Py_ssize_t mask_step
) noexcept nogil:
    cdef Py_ssize_t c, i, i0, i1, j, k, ks, l, q, qs, r, t
    cdef real v_J, error_j, u_s, new_y, d2_y_new__b_0, d2_y_new__s_0, part_0, d2_y_new__b_1
    cdef real d2_y_new__s_1, part_1, d2_y_new__b_2, d2_y_new__s_2, part_2, d2_y_new__b_3, d2_y_new__s_3, part_3
    for r in range(1):
        for l in range(6):
            z[((r) % 2)*6 + l] = 0
    for l in range(4):
        z[l] = y0[l]
    for i0 in range(2):
        for i1 in range(112):
            p[i0*112 + i1] = 0
    for i0 in range(28):
        grad_theta[i0] = 0
    v_J = 0
    for t in range(1, T + 1):
        for l in range(2):
            z[((t - 1) % 2)*6 + l + 4] = x[(t - 1)*2 + l]
        for k in range(4):
            u_s = 0
            for c in range(6):
                u_s += theta[k*6 + c]*z[((t - 1) % 2)*6 + c]
            all_0_u_s[k] = u_s
        for k in range(4):
            u_s = all_0_u_s[k]
            new_y = k_logistic(theta[k + 24] + u_s)
            z[((t) % 2)*6 + k] = new_y
        # J(t), and e(t)
        for j in range(1):
            v_J += k_where(mask[(t - 1)*mask_step + j] != 0, -<real>0.5*mask[(t - 1)*mask_step + j]*((target[t + j - 1] - z[((t) % 2)*6])*(target[t + j - 1] - z[((t) % 2)*6])), 0)
            error[j] = k_where(mask[(t - 1)*mask_step + j] != 0, mask[(t - 1)*mask_step + j]*(target[t + j - 1] - z[((t) % 2)*6]), 0)
        # p(t): sensitivities carried one step further
        for ks in range(1):
            d2_y_new__s_0 = z[((t) % 2)*6 + ks*4]*(1 - z[((t) % 2)*6 + ks*4])
            d2_y_new__s_1 = z[((t) % 2)*6 + ks*4 + 1]*(1 - z[((t) % 2)*6 + ks*4 + 1])
            d2_y_new__s_2 = z[((t) % 2)*6 + ks*4 + 2]*(1 - z[((t) % 2)*6 + ks*4 + 2])
            d2_y_new__s_3 = z[((t) % 2)*6 + ks*4 + 3]*(1 - z[((t) % 2)*6 + ks*4 + 3])
            d2_y_new__b_0 = z[((t) % 2)*6 + ks*4]*(1 - z[((t) % 2)*6 + ks*4])
            d2_y_new__b_1 = z[((t) % 2)*6 + ks*4 + 1]*(1 - z[((t) % 2)*6 + ks*4 + 1])
            d2_y_new__b_2 = z[((t) % 2)*6 + ks*4 + 2]*(1 - z[((t) % 2)*6 + ks*4 + 2])
            d2_y_new__b_3 = z[((t) % 2)*6 + ks*4 + 3]*(1 - z[((t) % 2)*6 + ks*4 + 3])
            for r in range(1):
                for i in range(28):
                    p_0_s_0[i] = 0
                    p_0_s_1[i] = 0
                    p_0_s_2[i] = 0
                    p_0_s_3[i] = 0
                for qs in range(1):
                    for i in range(28):
                        part_0 = p_0_s_0[i]
                        part_1 = p_0_s_1[i]
                        part_2 = p_0_s_2[i]
                        part_3 = p_0_s_3[i]
                        part_0 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[ks*4*6 + qs*4]
                        part_1 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[(ks*4 + 1)*6 + qs*4]
                        part_2 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[(ks*4 + 2)*6 + qs*4]
                        part_3 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[(ks*4 + 3)*6 + qs*4]
                        part_0 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[ks*4*6 + qs*4 + 1]
                        part_1 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[(ks*4 + 1)*6 + qs*4 + 1]
                        part_2 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[(ks*4 + 2)*6 + qs*4 + 1]
                        part_3 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[(ks*4 + 3)*6 + qs*4 + 1]
                        part_0 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[ks*4*6 + qs*4 + 2]
                        part_1 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[(ks*4 + 1)*6 + qs*4 + 2]
                        part_2 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[(ks*4 + 2)*6 + qs*4 + 2]
                        part_3 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[(ks*4 + 3)*6 + qs*4 + 2]
                        part_0 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[ks*4*6 + qs*4 + 3]
                        part_1 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[(ks*4 + 1)*6 + qs*4 + 3]
                        part_2 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[(ks*4 + 2)*6 + qs*4 + 3]
                        part_3 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[(ks*4 + 3)*6 + qs*4 + 3]
                        p_0_s_0[i] = part_0
                        p_0_s_1[i] = part_1
                        p_0_s_2[i] = part_2
                        p_0_s_3[i] = part_3
                for q in range(6):
                    p_0_s_0[ks*4*6 + q] += z[((t - 1) % 2)*6 + q]
                    p_0_s_1[(ks*4 + 1)*6 + q] += z[((t - 1) % 2)*6 + q]
                    p_0_s_2[(ks*4 + 2)*6 + q] += z[((t - 1) % 2)*6 + q]
                    p_0_s_3[(ks*4 + 3)*6 + q] += z[((t - 1) % 2)*6 + q]
                for i in range(28):
                    p[((t) % 2)*112 + ks*4*28 + i] = d2_y_new__s_0*p_0_s_0[i]
                    p[((t) % 2)*112 + (ks*4 + 1)*28 + i] = d2_y_new__s_1*p_0_s_1[i]
                    p[((t) % 2)*112 + (ks*4 + 2)*28 + i] = d2_y_new__s_2*p_0_s_2[i]
                    p[((t) % 2)*112 + (ks*4 + 3)*28 + i] = d2_y_new__s_3*p_0_s_3[i]
                for q in range(1):
                    p[((t) % 2)*112 + ks*4*28 + ks*4 + 24] += d2_y_new__b_0
                    p[((t) % 2)*112 + (ks*4 + 1)*28 + ks*4 + 25] += d2_y_new__b_1
                    p[((t) % 2)*112 + (ks*4 + 2)*28 + ks*4 + 26] += d2_y_new__b_2
                    p[((t) % 2)*112 + (ks*4 + 3)*28 + ks*4 + 27] += d2_y_new__b_3
        # ∂J(t)/∂θ += Σ e·p
        for j in range(1):
            error_j = error[j]
            for q in range(1):
                for i in range(28):
                    grad_theta[i] += p[((t) % 2)*112 + i]*error_j
    J[0] = v_J

cdef void start_core(
    real_in y0,
    real_out z,
    real_out error,
    real_out p
) noexcept nogil:
    cdef Py_ssize_t i0, i1, l, r
    for r in range(1):
        for l in range(6):
            z[((r) % 2)*6 + l] = 0
    for l in range(4):
        z[l] = y0[l]
    for i0 in range(2):
        for i1 in range(112):
            p[i0*112 + i1] = 0

cdef void step_core(
    real_in theta,
    real_in x,
    real_in target,
    real_in mask,
    real_out y,
    real_out J,
    real_out grad_theta,
    real_out z,
    real_out error,
    real_out p,
    real_out all_0_u_s,
    real_out p_0_s_0,
    real_out p_0_s_1,
    real_out p_0_s_2,
    real_out p_0_s_3,
    Py_ssize_t t
) noexcept nogil:
    cdef Py_ssize_t c, i, i0, j, k, ks, l, q, qs, r
    cdef real error_j, u_s, new_y, d2_y_new__b_0, d2_y_new__s_0, part_0, d2_y_new__b_1, d2_y_new__s_1
    cdef real part_1, d2_y_new__b_2, d2_y_new__s_2, part_2, d2_y_new__b_3, d2_y_new__s_3, part_3
    J[0] = 0
    for l in range(2):
        z[((t - 1) % 2)*6 + l + 4] = x[l]
    for k in range(4):
        u_s = 0
        for c in range(6):
            u_s += theta[k*6 + c]*z[((t - 1) % 2)*6 + c]
        all_0_u_s[k] = u_s
    for k in range(4):
        u_s = all_0_u_s[k]
        new_y = k_logistic(theta[k + 24] + u_s)
        z[((t) % 2)*6 + k] = new_y
    # J(t), and e(t)
    for j in range(1):
        J[0] += k_where(mask[j] != 0, -<real>0.5*mask[j]*((target[j] - z[((t) % 2)*6])*(target[j] - z[((t) % 2)*6])), 0)
        error[j] = k_where(mask[j] != 0, mask[j]*(target[j] - z[((t) % 2)*6]), 0)
    # p(t): sensitivities carried one step further
    for ks in range(1):
        d2_y_new__s_0 = z[((t) % 2)*6 + ks*4]*(1 - z[((t) % 2)*6 + ks*4])
        d2_y_new__s_1 = z[((t) % 2)*6 + ks*4 + 1]*(1 - z[((t) % 2)*6 + ks*4 + 1])
        d2_y_new__s_2 = z[((t) % 2)*6 + ks*4 + 2]*(1 - z[((t) % 2)*6 + ks*4 + 2])
        d2_y_new__s_3 = z[((t) % 2)*6 + ks*4 + 3]*(1 - z[((t) % 2)*6 + ks*4 + 3])
        d2_y_new__b_0 = z[((t) % 2)*6 + ks*4]*(1 - z[((t) % 2)*6 + ks*4])
        d2_y_new__b_1 = z[((t) % 2)*6 + ks*4 + 1]*(1 - z[((t) % 2)*6 + ks*4 + 1])
        d2_y_new__b_2 = z[((t) % 2)*6 + ks*4 + 2]*(1 - z[((t) % 2)*6 + ks*4 + 2])
        d2_y_new__b_3 = z[((t) % 2)*6 + ks*4 + 3]*(1 - z[((t) % 2)*6 + ks*4 + 3])
        for r in range(1):
            for i in range(28):
                p_0_s_0[i] = 0
                p_0_s_1[i] = 0
                p_0_s_2[i] = 0
                p_0_s_3[i] = 0
            for qs in range(1):
                for i in range(28):
                    part_0 = p_0_s_0[i]
                    part_1 = p_0_s_1[i]
                    part_2 = p_0_s_2[i]
                    part_3 = p_0_s_3[i]
                    part_0 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[ks*4*6 + qs*4]
                    part_1 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[(ks*4 + 1)*6 + qs*4]
                    part_2 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[(ks*4 + 2)*6 + qs*4]
                    part_3 += p[((t + 1) % 2)*112 + qs*4*28 + i]*theta[(ks*4 + 3)*6 + qs*4]
                    part_0 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[ks*4*6 + qs*4 + 1]
                    part_1 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[(ks*4 + 1)*6 + qs*4 + 1]
                    part_2 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[(ks*4 + 2)*6 + qs*4 + 1]
                    part_3 += p[((t + 1) % 2)*112 + (qs*4 + 1)*28 + i]*theta[(ks*4 + 3)*6 + qs*4 + 1]
                    part_0 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[ks*4*6 + qs*4 + 2]
                    part_1 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[(ks*4 + 1)*6 + qs*4 + 2]
                    part_2 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[(ks*4 + 2)*6 + qs*4 + 2]
                    part_3 += p[((t + 1) % 2)*112 + (qs*4 + 2)*28 + i]*theta[(ks*4 + 3)*6 + qs*4 + 2]
                    part_0 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[ks*4*6 + qs*4 + 3]
                    part_1 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[(ks*4 + 1)*6 + qs*4 + 3]
                    part_2 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[(ks*4 + 2)*6 + qs*4 + 3]
                    part_3 += p[((t + 1) % 2)*112 + (qs*4 + 3)*28 + i]*theta[(ks*4 + 3)*6 + qs*4 + 3]
                    p_0_s_0[i] = part_0
                    p_0_s_1[i] = part_1
                    p_0_s_2[i] = part_2
                    p_0_s_3[i] = part_3
            for q in range(6):
                p_0_s_0[ks*4*6 + q] += z[((t - 1) % 2)*6 + q]
                p_0_s_1[(ks*4 + 1)*6 + q] += z[((t - 1) % 2)*6 + q]
                p_0_s_2[(ks*4 + 2)*6 + q] += z[((t - 1) % 2)*6 + q]
                p_0_s_3[(ks*4 + 3)*6 + q] += z[((t - 1) % 2)*6 + q]
            for i in range(28):
                p[((t) % 2)*112 + ks*4*28 + i] = d2_y_new__s_0*p_0_s_0[i]
                p[((t) % 2)*112 + (ks*4 + 1)*28 + i] = d2_y_new__s_1*p_0_s_1[i]
                p[((t) % 2)*112 + (ks*4 + 2)*28 + i] = d2_y_new__s_2*p_0_s_2[i]
                p[((t) % 2)*112 + (ks*4 + 3)*28 + i] = d2_y_new__s_3*p_0_s_3[i]
            for q in range(1):
                p[((t) % 2)*112 + ks*4*28 + ks*4 + 24] += d2_y_new__b_0
                p[((t) % 2)*112 + (ks*4 + 1)*28 + ks*4 + 25] += d2_y_new__b_1
                p[((t) % 2)*112 + (ks*4 + 2)*28 + ks*4 + 26] += d2_y_new__b_2
                p[((t) % 2)*112 + (ks*4 + 3)*28 + ks*4 + 27] += d2_y_new__b_3
    for l in range(4):
        y[l] = z[((t) % 2)*6 + l]
    for i0 in range(28):
        grad_theta[i0] = 0
    # ∂J(t)/∂θ += Σ e·p
    for j in range(1):
        error_j = error[j]
        for q in range(1):
            for i in range(28):
                grad_theta[i] += p[((t) % 2)*112 + i]*error_j

def forward(theta, x, y0=None, out=None):
    """States of every step: y (T+1, N), y[0] the initial state, y[t+1] from x[t]."""
    cdef real *free_here
    cdef real *p_theta
    cdef real *p_x
    cdef real *p_y
    cdef real *p_y0
    cdef real *w_all_0_u_s
    cdef real *w_z
    cdef real *work
    theta = k_array("theta", theta, "P", 1, 28, 0, 0)
    x = k_array("x", x, "T m", 2, -1, 2, 0)
    cdef Py_ssize_t T = k_size(x, 0)
    if T < 1:
        k_refuse_shape("x", x, b'(T, m=2) with T \xe2\x89\xa5 1')
    if y0 is None:
        y0 = k_filled(0, 1, 4, 0, 0)
    else:
        y0 = k_array("y0", y0, "N", 1, 4, 0, 0)
    y = k_result("y", <PyObject *>out, (theta, x, y0), 2, T + 1, 4, 0)
    p_theta = k_data(theta)
    p_x = k_data(x)
    p_y0 = k_data(y0)
    p_y = k_data(y)
    work = k_workspace((((T + 1)*6 + 15)//16*16) + ((4 + 15)//16*16))
    free_here = work
    w_z = free_here
    free_here += (((T + 1)*6 + 15)//16*16)
    w_all_0_u_s = free_here
    with nogil:
        forward_core(p_theta, p_x, p_y0, p_y, w_z, w_all_0_u_s, T)
        k_release(work)
    return y

def gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None):
    """J^total and the sum of the gradients by theta that the steps give."""
    cdef real *free_here
    cdef real *p_grad_theta
    cdef real *p_mask
    cdef real *p_target
    cdef real *p_theta
    cdef real *p_x
    cdef real *p_y0
    cdef real *w_all_0_u_s
    cdef real *w_error
    cdef real *w_p
    cdef real *w_p_0_s_0
    cdef real *w_p_0_s_1
    cdef real *w_p_0_s_2
    cdef real *w_p_0_s_3
    cdef real *w_z
    cdef real *work
    theta = k_array("theta", theta, "P", 1, 28, 0, 0)
    x = k_array("x", x, "T m", 2, -1, 2, 0)
    cdef Py_ssize_t T = k_size(x, 0)
    if T < 1:
        k_refuse_shape("x", x, b'(T, m=2) with T \xe2\x89\xa5 1')
    if y0 is None:
        y0 = k_filled(0, 1, 4, 0, 0)
    else:
        y0 = k_array("y0", y0, "N", 1, 4, 0, 0)
    target = k_array("target", target, "T n_T", 2, T, 1, 0)
    cdef Py_ssize_t mask_step = 0 if mask is None else 1
    if mask is None:
        mask = k_filled(1, 2, 1, 1, 0)
    else:
        mask = k_array("mask", mask, "T n_T", 2, T, 1, 0)
    cdef Py_ssize_t mask_rows = k_size(mask, 0)
    cdef PyObject *outs[3]
    cdef int wanted = k_wanted(wrt, out, "rtrl", outs)
    cdef tuple read = (theta, x, target, mask, y0)
    cdef real J = 0
    grad_theta = k_result("theta", outs[0], read, 1, 28, 0, 0)
    p_theta = k_data(theta)
    p_x = k_data(x)
    p_target = k_data(target)
    p_mask = k_data(mask)
    p_y0 = k_data(y0)
    p_grad_theta = k_data(grad_theta)
    work = k_workspace(((12 + 15)//16*16) + ((1 + 15)//16*16) + ((224 + 15)//16*16) + ((4 + 15)//16*16) + ((28 + 15)//16*16) + ((28 + 15)//16*16) + ((28 + 15)//16*16) + ((28 + 15)//16*16))
    free_here = work
    w_z = free_here
    free_here += ((12 + 15)//16*16)
    w_error = free_here
    free_here += ((1 + 15)//16*16)
    w_p = free_here
    free_here += ((224 + 15)//16*16)
    w_all_0_u_s = free_here
    free_here += ((4 + 15)//16*16)
    w_p_0_s_0 = free_here
    free_here += ((28 + 15)//16*16)
    w_p_0_s_1 = free_here
    free_here += ((28 + 15)//16*16)
    w_p_0_s_2 = free_here
    free_here += ((28 + 15)//16*16)
    w_p_0_s_3 = free_here
    with nogil:
        gradient_core(p_theta, p_x, p_target, p_mask, p_y0, &J, p_grad_theta, w_z, w_error, w_p, w_all_0_u_s, w_p_0_s_0, w_p_0_s_1, w_p_0_s_2, w_p_0_s_3, T, mask_step)
        k_release(work)
    if wrt is None:
        return J, grad_theta
    return Gradient(J, grad_theta, None, None)

def start(state, y0):
    """Set the state to that before the first step."""
    cdef real *free_here
    cdef real *p_state
    cdef real *p_y0
    cdef real *work
    y0 = k_array("y0", y0, "N", 1, 4, 0, 0)
    k_state(state, STATE_SIZE*1, False)
    p_y0 = k_data(y0)
    p_state = k_data(state)
    work = k_workspace(1)
    free_here = work
    with nogil:
        start_core(p_y0, p_state + 0, p_state + 16, p_state + 24)
        k_release(work)

def step(state, Py_ssize_t t, theta, x, target, mask):
    """Step number t: outputs, J(t), and the gradient where each step has one."""
    cdef real *free_here
    cdef real *p_grad_theta
    cdef real *p_mask
    cdef real *p_state
    cdef real *p_target
    cdef real *p_theta
    cdef real *p_x
    cdef real *p_y
    cdef real *w_all_0_u_s
    cdef real *w_p_0_s_0
    cdef real *w_p_0_s_1
    cdef real *w_p_0_s_2
    cdef real *w_p_0_s_3
    cdef real *work
    theta = k_array("theta", theta, "P", 1, 28, 0, 0)
    x = k_array("x_t", x, "m", 1, 2, 0, 0)
    target = k_array("target_t", target, "n_T", 1, 1, 0, 0)
    if mask is None:
        mask = k_filled(1, 1, 1, 0, 0)
    else:
        mask = k_array("mask_t", mask, "n_T", 1, 1, 0, 0)
    k_state(state, STATE_SIZE*1, False)
    y = k_new(1, 4, 0, 0)
    cdef real J = 0
    grad_theta = k_new(1, 28, 0, 0)
    p_theta = k_data(theta)
    p_x = k_data(x)
    p_target = k_data(target)
    p_mask = k_data(mask)
    p_y = k_data(y)
    p_grad_theta = k_data(grad_theta)
    p_state = k_data(state)
    work = k_workspace(((4 + 15)//16*16) + ((28 + 15)//16*16) + ((28 + 15)//16*16) + ((28 + 15)//16*16) + ((28 + 15)//16*16))
    free_here = work
    w_all_0_u_s = free_here
    free_here += ((4 + 15)//16*16)
    w_p_0_s_0 = free_here
    free_here += ((28 + 15)//16*16)
    w_p_0_s_1 = free_here
    free_here += ((28 + 15)//16*16)
    w_p_0_s_2 = free_here
    free_here += ((28 + 15)//16*16)
    w_p_0_s_3 = free_here
    with nogil:
        step_core(p_theta, p_x, p_target, p_mask, p_y, &J, p_grad_theta, p_state + 0, p_state + 16, p_state + 24, w_all_0_u_s, w_p_0_s_0, w_p_0_s_1, w_p_0_s_2, w_p_0_s_3, t)
        k_release(work)
    return y, J, grad_theta
