# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False, auto_pickle=False

"""leaky: 4 units, 1 input lines, 20 connections.

Algorithm epochwise; schedule tables; float64; derive 0.1.0.
Derived from the forward equations, not written by hand:

    [leaky]
    s(t) = sum over connections of w*x(t - delay)
    f(t) = tanh(b + s(t))
    y(t) = y(t-1) + (f(t) - y(t-1))/tau
    eps_f(t) = eps(t)/tau
    delta(t) = eps_f(t)*(1 - f(t)**2)
    dy = eps(t)*(1 - 1/tau)
    dtau = -eps(t)*(f(t) - y(t-1))/tau**2
    db = eps_f(t)*(1 - f(t)**2)
    eps(t-1) = e(t-1) + dy + sum over connections c out of it of w*delta(t-1 + delay)
    e(t) = d - y   (units with a target, where there is one)
    dJ/dw(c) = sum over t of delta(t)*x(t - delay), c from x to s

forward(theta, x, y0=None, out=None) -> y (T+1, N=4)
gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None)
    -> (J, dJ/dtheta (P=28,)), or with wrt a named tuple (J, theta, x, y0)

x (T, m=1); target and mask (T, n_T=2) for units 0, 1; y0 (N=4).
J is maximised: ascend along the gradient. target[t] is for y[t+1], computed from x[t].
theta: w(0, 0), w(0, 1), w(0, 2), w(0, 3), w(0, 4), w(1, 0), w(1, 1), w(1, 2), w(1, 3), w(1, 4),
w(2, 0), w(2, 1), w(2, 2), w(2, 3), w(2, 4), w(3, 0), w(3, 1), w(3, 2), w(3, 3), w(3, 4), tau(0),
b(0), tau(1), b(1), tau(2), b(2), tau(3), b(3); w(target, source[, delay]).
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
    #define k_least(a, b) ((a) < (b) ? (a) : (b))
    #define k_most(a, b) ((a) > (b) ? (a) : (b))
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
    /* tanh(x) = ((s - 1)A + (s + 1)B)/((s + 1)A + (s - 1)B), |x| = n*ln(2)/2 + r, s = 2^n, tanh(r) = B/A. */
    static K_IN_LINE real k_tanh(real x)
    {
        real y = M(fabs)(x), k = y*0x1.71547652b82fep+1 + K_ROUND, n = k - K_ROUND, s = k_power(k);
        real r = y - n*0x1.62e42fefa39efp-2, u = r*r, B = r + r*u*(0x1.c710257e0ec91p-4 + u*0x1.15323cbc5fac5p-10), A = 1 + u*(0x1.c7195eb4d9012p-2 + u*0x1.03fc945d9b3dep-6);
        real a = s - 1, b = s + 1, N = a*A + b*B, D = b*A + a*B;
        N = N > D ? D : N; /* rounding must not lead beyond 1 */
        real t = N/D;
        return M(copysign)(y > 20.0 ? 1 : t, x);
    }
    #else
    static inline real k_tanh(real x) { return M(tanh)(x); }
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
    Py_ssize_t k_least(Py_ssize_t, Py_ssize_t) noexcept nogil
    Py_ssize_t k_most(Py_ssize_t, Py_ssize_t) noexcept nogil
    void k_one_by_one(real) noexcept nogil
    real k_where(bint, real, real) noexcept nogil
    real k_tanh(real) noexcept nogil

import_array()

DTYPE = np.dtype("float64")
Gradient = namedtuple("Gradient", ["J", "theta", "x", "y0"])
RECORD = '{"algorithm": {"name": "epochwise"}, "batch": false, "derive": "0.1.0", "digest": "4deb43031010cdcfe1d8bf4677931163c1fa4be291fa7330647e09b2ea2e4c5f", "dtype": "float64", "schedule": "tables", "spec": {"algorithm": {"name": "epochwise"}, "cell": {"activation": "tanh", "bias": true, "library": "leaky", "tau": 5.0}, "name": "leaky", "network": {"connections": "full", "inputs": 1, "parameters": {"tau": [2.0, 4.0, 8.0, 16.0]}, "units": 4}, "objective": {"J": "(-(d - y)**2)/2", "targets": [0, 1]}, "spec": "derive/1"}}'

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
    cdef real u_s, u_f, new_y
    for r in range(1):
        for l in range(5):
            z[r*5 + l] = 0
    for l in range(4):
        z[l] = y0[l]
    for t in range(1, T + 1):
        for l in range(1):
            z[(t - 1)*5 + l + 4] = x[t + l - 1]
        for k in range(4):
            u_s = 0
            for c in range(5):
                u_s += theta[k*5 + c]*z[(t - 1)*5 + c]
            all_0_u_s[k] = u_s
        for k in range(4):
            u_s = all_0_u_s[k]
            u_f = k_tanh(theta[k*2 + 21] + u_s)
            new_y = z[(t - 1)*5 + k] + (u_f - z[(t - 1)*5 + k])/theta[k*2 + 20]
            z[t*5 + k] = new_y
    for t in range(T + 1):
        for l in range(4):
            y[t*4 + l] = z[t*5 + l]

cdef void gradient_core(
    real_in theta,
    real_in x,
    real_in target,
    real_in mask,
    real_in y0,
    real_out J,
    real_out grad_theta,
    real_out z,
    real_out tape,
    real_out eps,
    real_out delta,
    real_out all_0_u_s,
    real_out kept_22_bar_tau,
    real_out kept_23_bar_b,
    real_out kept_24_z,
    Py_ssize_t T,
    Py_ssize_t mask_step
) noexcept nogil:
    cdef Py_ssize_t c, cs, i0, i1, j, k, ks, l, r, t, t_stretch
    cdef real v_J, sum, u_s, u_f, new_y, eps_y, bar_f, bar_s
    cdef real bar_y, bar_tau, bar_b, total_0, total_1, total_2, total_3, total_0_0
    cdef real total_1_0, total_2_0, total_0_1, total_1_1, total_2_1, total_0_2, total_1_2, total_2_2
    cdef real total_0_3, total_1_3, total_2_3, here_lane_0, here_lane_1, here_lane_2, here_lane_3, here_lane_4
    cdef real here_lane_5, here_lane_6
    for r in range(1):
        for l in range(5):
            z[r*5 + l] = 0
    for l in range(4):
        z[l] = y0[l]
    for t in range(1, T + 1):
        for l in range(1):
            z[(t - 1)*5 + l + 4] = x[t + l - 1]
        for k in range(4):
            u_s = 0
            for c in range(5):
                u_s += theta[k*5 + c]*z[(t - 1)*5 + c]
            all_0_u_s[k] = u_s
        for k in range(4):
            u_s = all_0_u_s[k]
            u_f = k_tanh(theta[k*2 + 21] + u_s)
            new_y = z[(t - 1)*5 + k] + (u_f - z[(t - 1)*5 + k])/theta[k*2 + 20]
            z[t*5 + k] = new_y
            tape[(t - 1)*4 + k] = u_f
    for i0 in range(28):
        grad_theta[i0] = 0
    for i0 in range(5):
        eps[i0] = 0
    for i0 in range(1):
        for i1 in range(4):
            delta[i0*4 + i1] = 0
    v_J = 0
    for t_stretch in range((T + 63) // 64 - 1, -1, -1):
        for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
            # ε(t) += e(t), the error of this step
            for j in range(2):
                v_J += k_where(mask[(t - 1)*mask_step*2 + j] != 0, -<real>0.5*mask[(t - 1)*mask_step*2 + j]*((target[(t - 1)*2 + j] - z[t*5 + j])*(target[(t - 1)*2 + j] - z[t*5 + j])), 0)
                eps[j] += k_where(mask[(t - 1)*mask_step*2 + j] != 0, mask[(t - 1)*mask_step*2 + j]*(target[(t - 1)*2 + j] - z[t*5 + j]), 0)
            # δ(t), and this step's terms of the gradient
            for k in range(4):
                eps_y = eps[k]
                bar_f = eps_y/theta[k*2 + 20]
                bar_s = bar_f*(1 - tape[(t - 1)*4 + k]*tape[(t - 1)*4 + k])
                bar_y = eps_y*(1 - <real>1/theta[k*2 + 20])
                bar_tau = -eps_y*(tape[(t - 1)*4 + k] - z[(t - 1)*5 + k])/(theta[k*2 + 20]*theta[k*2 + 20])
                bar_b = bar_f*(1 - tape[(t - 1)*4 + k]*tape[(t - 1)*4 + k])
                eps[k] = bar_y
                delta[k] = bar_s
                kept_22_bar_tau[k*65 + t - (t_stretch*64 + 1)] = bar_tau
                kept_23_bar_b[k*65 + t - (t_stretch*64 + 1)] = bar_b
            # ε(t−1): what reaches the step before along the connections
            for l in range(4):
                sum = eps[l]
                for c in range(4):
                    sum += theta[l + c*5]*delta[c]
                eps[l] = sum
        # the gradient's terms of these steps
        for r in range(k_least(t_stretch*64 + 65, T + 1) - (t_stretch*64 + 1)):
            for l in range(5):
                kept_24_z[l*65 + r] = z[(t_stretch*64 + r)*5 + l]
        for ks in range(1):
            total_0 = grad_theta[ks*4*2 + 20]
            total_1 = grad_theta[(ks*4 + 1)*2 + 20]
            total_2 = grad_theta[(ks*4 + 2)*2 + 20]
            total_3 = grad_theta[(ks*4 + 3)*2 + 20]
            for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                total_0 += kept_22_bar_tau[ks*4*65 + t - (t_stretch*64 + 1)]
                total_1 += kept_22_bar_tau[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                total_2 += kept_22_bar_tau[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                total_3 += kept_22_bar_tau[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
            grad_theta[ks*4*2 + 20] = total_0
            grad_theta[(ks*4 + 1)*2 + 20] = total_1
            grad_theta[(ks*4 + 2)*2 + 20] = total_2
            grad_theta[(ks*4 + 3)*2 + 20] = total_3
        for ks in range(1):
            total_0 = grad_theta[ks*4*2 + 21]
            total_1 = grad_theta[(ks*4 + 1)*2 + 21]
            total_2 = grad_theta[(ks*4 + 2)*2 + 21]
            total_3 = grad_theta[(ks*4 + 3)*2 + 21]
            for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                total_0 += kept_23_bar_b[ks*4*65 + t - (t_stretch*64 + 1)]
                total_1 += kept_23_bar_b[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                total_2 += kept_23_bar_b[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                total_3 += kept_23_bar_b[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
            grad_theta[ks*4*2 + 21] = total_0
            grad_theta[(ks*4 + 1)*2 + 21] = total_1
            grad_theta[(ks*4 + 2)*2 + 21] = total_2
            grad_theta[(ks*4 + 3)*2 + 21] = total_3
        for ks in range(1):
            for cs in range(1):
                total_0_0 = grad_theta[ks*4*5 + cs*3]
                total_0_1 = grad_theta[(ks*4 + 1)*5 + cs*3]
                total_0_2 = grad_theta[(ks*4 + 2)*5 + cs*3]
                total_0_3 = grad_theta[(ks*4 + 3)*5 + cs*3]
                total_1_0 = grad_theta[ks*4*5 + cs*3 + 1]
                total_1_1 = grad_theta[(ks*4 + 1)*5 + cs*3 + 1]
                total_1_2 = grad_theta[(ks*4 + 2)*5 + cs*3 + 1]
                total_1_3 = grad_theta[(ks*4 + 3)*5 + cs*3 + 1]
                total_2_0 = grad_theta[ks*4*5 + cs*3 + 2]
                total_2_1 = grad_theta[(ks*4 + 1)*5 + cs*3 + 2]
                total_2_2 = grad_theta[(ks*4 + 2)*5 + cs*3 + 2]
                total_2_3 = grad_theta[(ks*4 + 3)*5 + cs*3 + 2]
                for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                    here_lane_0 = kept_24_z[cs*3*65 + t - (t_stretch*64 + 1)]
                    here_lane_1 = kept_23_bar_b[ks*4*65 + t - (t_stretch*64 + 1)]
                    total_0_0 += here_lane_0*here_lane_1
                    here_lane_2 = kept_23_bar_b[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                    total_0_1 += here_lane_0*here_lane_2
                    here_lane_3 = kept_23_bar_b[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                    total_0_2 += here_lane_0*here_lane_3
                    here_lane_4 = kept_23_bar_b[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
                    total_0_3 += here_lane_0*here_lane_4
                    here_lane_5 = kept_24_z[(cs*3 + 1)*65 + t - (t_stretch*64 + 1)]
                    total_1_0 += here_lane_5*here_lane_1
                    total_1_1 += here_lane_5*here_lane_2
                    total_1_2 += here_lane_5*here_lane_3
                    total_1_3 += here_lane_5*here_lane_4
                    here_lane_6 = kept_24_z[(cs*3 + 2)*65 + t - (t_stretch*64 + 1)]
                    total_2_0 += here_lane_6*here_lane_1
                    total_2_1 += here_lane_6*here_lane_2
                    total_2_2 += here_lane_6*here_lane_3
                    total_2_3 += here_lane_6*here_lane_4
                grad_theta[ks*4*5 + cs*3] = total_0_0
                grad_theta[(ks*4 + 1)*5 + cs*3] = total_0_1
                grad_theta[(ks*4 + 2)*5 + cs*3] = total_0_2
                grad_theta[(ks*4 + 3)*5 + cs*3] = total_0_3
                grad_theta[ks*4*5 + cs*3 + 1] = total_1_0
                grad_theta[(ks*4 + 1)*5 + cs*3 + 1] = total_1_1
                grad_theta[(ks*4 + 2)*5 + cs*3 + 1] = total_1_2
                grad_theta[(ks*4 + 3)*5 + cs*3 + 1] = total_1_3
                grad_theta[ks*4*5 + cs*3 + 2] = total_2_0
                grad_theta[(ks*4 + 1)*5 + cs*3 + 2] = total_2_1
                grad_theta[(ks*4 + 2)*5 + cs*3 + 2] = total_2_2
                grad_theta[(ks*4 + 3)*5 + cs*3 + 2] = total_2_3
            for cs in range(1):
                total_0_0 = grad_theta[ks*4*5 + 3]
                total_0_1 = grad_theta[(ks*4 + 1)*5 + 3]
                total_0_2 = grad_theta[(ks*4 + 2)*5 + 3]
                total_0_3 = grad_theta[(ks*4 + 3)*5 + 3]
                total_1_0 = grad_theta[ks*4*5 + 4]
                total_1_1 = grad_theta[(ks*4 + 1)*5 + 4]
                total_1_2 = grad_theta[(ks*4 + 2)*5 + 4]
                total_1_3 = grad_theta[(ks*4 + 3)*5 + 4]
                for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                    here_lane_0 = kept_24_z[t - (t_stretch*64 + 1) + 195]
                    here_lane_1 = kept_23_bar_b[ks*4*65 + t - (t_stretch*64 + 1)]
                    total_0_0 += here_lane_0*here_lane_1
                    here_lane_2 = kept_23_bar_b[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                    total_0_1 += here_lane_0*here_lane_2
                    here_lane_3 = kept_23_bar_b[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                    total_0_2 += here_lane_0*here_lane_3
                    here_lane_4 = kept_23_bar_b[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
                    total_0_3 += here_lane_0*here_lane_4
                    here_lane_5 = kept_24_z[t - (t_stretch*64 + 1) + 260]
                    total_1_0 += here_lane_5*here_lane_1
                    total_1_1 += here_lane_5*here_lane_2
                    total_1_2 += here_lane_5*here_lane_3
                    total_1_3 += here_lane_5*here_lane_4
                grad_theta[ks*4*5 + 3] = total_0_0
                grad_theta[(ks*4 + 1)*5 + 3] = total_0_1
                grad_theta[(ks*4 + 2)*5 + 3] = total_0_2
                grad_theta[(ks*4 + 3)*5 + 3] = total_0_3
                grad_theta[ks*4*5 + 4] = total_1_0
                grad_theta[(ks*4 + 1)*5 + 4] = total_1_1
                grad_theta[(ks*4 + 2)*5 + 4] = total_1_2
                grad_theta[(ks*4 + 3)*5 + 4] = total_1_3
    J[0] = v_J

cdef void gradient_all_core(
    real_in theta,
    real_in x,
    real_in target,
    real_in mask,
    real_in y0,
    real_out J,
    real_out grad_theta,
    real_out grad_x,
    real_out grad_y0,
    real_out z,
    real_out tape,
    real_out eps,
    real_out delta,
    real_out all_0_u_s,
    real_out kept_24_bar_tau,
    real_out kept_25_bar_b,
    real_out kept_26_z,
    Py_ssize_t T,
    Py_ssize_t mask_step
) noexcept nogil:
    cdef Py_ssize_t c, cs, i0, i1, j, k, ks, l, r, t, t_stretch
    cdef real v_J, sum, u_s, u_f, new_y, eps_y, bar_f, bar_s
    cdef real bar_y, bar_tau, bar_b, total_0, total_1, total_2, total_3, total_0_0
    cdef real total_1_0, total_2_0, total_0_1, total_1_1, total_2_1, total_0_2, total_1_2, total_2_2
    cdef real total_0_3, total_1_3, total_2_3, here_lane_0, here_lane_1, here_lane_2, here_lane_3, here_lane_4
    cdef real here_lane_5, here_lane_6
    for r in range(1):
        for l in range(5):
            z[r*5 + l] = 0
    for l in range(4):
        z[l] = y0[l]
    for t in range(1, T + 1):
        for l in range(1):
            z[(t - 1)*5 + l + 4] = x[t + l - 1]
        for k in range(4):
            u_s = 0
            for c in range(5):
                u_s += theta[k*5 + c]*z[(t - 1)*5 + c]
            all_0_u_s[k] = u_s
        for k in range(4):
            u_s = all_0_u_s[k]
            u_f = k_tanh(theta[k*2 + 21] + u_s)
            new_y = z[(t - 1)*5 + k] + (u_f - z[(t - 1)*5 + k])/theta[k*2 + 20]
            z[t*5 + k] = new_y
            tape[(t - 1)*4 + k] = u_f
    for i0 in range(28):
        grad_theta[i0] = 0
    for i0 in range(5):
        eps[i0] = 0
    for i0 in range(1):
        for i1 in range(4):
            delta[i0*4 + i1] = 0
    v_J = 0
    for t in range(T):
        for l in range(1):
            grad_x[t + l] = 0
    for t_stretch in range((T + 63) // 64 - 1, -1, -1):
        for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
            # ε(t) += e(t), the error of this step
            for j in range(2):
                v_J += k_where(mask[(t - 1)*mask_step*2 + j] != 0, -<real>0.5*mask[(t - 1)*mask_step*2 + j]*((target[(t - 1)*2 + j] - z[t*5 + j])*(target[(t - 1)*2 + j] - z[t*5 + j])), 0)
                eps[j] += k_where(mask[(t - 1)*mask_step*2 + j] != 0, mask[(t - 1)*mask_step*2 + j]*(target[(t - 1)*2 + j] - z[t*5 + j]), 0)
            # δ(t), and this step's terms of the gradient
            for k in range(4):
                eps_y = eps[k]
                bar_f = eps_y/theta[k*2 + 20]
                bar_s = bar_f*(1 - tape[(t - 1)*4 + k]*tape[(t - 1)*4 + k])
                bar_y = eps_y*(1 - <real>1/theta[k*2 + 20])
                bar_tau = -eps_y*(tape[(t - 1)*4 + k] - z[(t - 1)*5 + k])/(theta[k*2 + 20]*theta[k*2 + 20])
                bar_b = bar_f*(1 - tape[(t - 1)*4 + k]*tape[(t - 1)*4 + k])
                eps[k] = bar_y
                delta[k] = bar_s
                kept_24_bar_tau[k*65 + t - (t_stretch*64 + 1)] = bar_tau
                kept_25_bar_b[k*65 + t - (t_stretch*64 + 1)] = bar_b
            # ε(t−1): what reaches the step before along the connections
            for l in range(4):
                sum = eps[l]
                for c in range(4):
                    sum += theta[l + c*5]*delta[c]
                eps[l] = sum
            for l in range(1):
                sum = grad_x[t + l - 1]
                for c in range(4):
                    sum += theta[c*5 + 4]*delta[c]
                grad_x[t + l - 1] = sum
        # the gradient's terms of these steps
        for r in range(k_least(t_stretch*64 + 65, T + 1) - (t_stretch*64 + 1)):
            for l in range(5):
                kept_26_z[l*65 + r] = z[(t_stretch*64 + r)*5 + l]
        for ks in range(1):
            total_0 = grad_theta[ks*4*2 + 20]
            total_1 = grad_theta[(ks*4 + 1)*2 + 20]
            total_2 = grad_theta[(ks*4 + 2)*2 + 20]
            total_3 = grad_theta[(ks*4 + 3)*2 + 20]
            for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                total_0 += kept_24_bar_tau[ks*4*65 + t - (t_stretch*64 + 1)]
                total_1 += kept_24_bar_tau[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                total_2 += kept_24_bar_tau[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                total_3 += kept_24_bar_tau[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
            grad_theta[ks*4*2 + 20] = total_0
            grad_theta[(ks*4 + 1)*2 + 20] = total_1
            grad_theta[(ks*4 + 2)*2 + 20] = total_2
            grad_theta[(ks*4 + 3)*2 + 20] = total_3
        for ks in range(1):
            total_0 = grad_theta[ks*4*2 + 21]
            total_1 = grad_theta[(ks*4 + 1)*2 + 21]
            total_2 = grad_theta[(ks*4 + 2)*2 + 21]
            total_3 = grad_theta[(ks*4 + 3)*2 + 21]
            for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                total_0 += kept_25_bar_b[ks*4*65 + t - (t_stretch*64 + 1)]
                total_1 += kept_25_bar_b[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                total_2 += kept_25_bar_b[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                total_3 += kept_25_bar_b[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
            grad_theta[ks*4*2 + 21] = total_0
            grad_theta[(ks*4 + 1)*2 + 21] = total_1
            grad_theta[(ks*4 + 2)*2 + 21] = total_2
            grad_theta[(ks*4 + 3)*2 + 21] = total_3
        for ks in range(1):
            for cs in range(1):
                total_0_0 = grad_theta[ks*4*5 + cs*3]
                total_0_1 = grad_theta[(ks*4 + 1)*5 + cs*3]
                total_0_2 = grad_theta[(ks*4 + 2)*5 + cs*3]
                total_0_3 = grad_theta[(ks*4 + 3)*5 + cs*3]
                total_1_0 = grad_theta[ks*4*5 + cs*3 + 1]
                total_1_1 = grad_theta[(ks*4 + 1)*5 + cs*3 + 1]
                total_1_2 = grad_theta[(ks*4 + 2)*5 + cs*3 + 1]
                total_1_3 = grad_theta[(ks*4 + 3)*5 + cs*3 + 1]
                total_2_0 = grad_theta[ks*4*5 + cs*3 + 2]
                total_2_1 = grad_theta[(ks*4 + 1)*5 + cs*3 + 2]
                total_2_2 = grad_theta[(ks*4 + 2)*5 + cs*3 + 2]
                total_2_3 = grad_theta[(ks*4 + 3)*5 + cs*3 + 2]
                for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                    here_lane_0 = kept_26_z[cs*3*65 + t - (t_stretch*64 + 1)]
                    here_lane_1 = kept_25_bar_b[ks*4*65 + t - (t_stretch*64 + 1)]
                    total_0_0 += here_lane_0*here_lane_1
                    here_lane_2 = kept_25_bar_b[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                    total_0_1 += here_lane_0*here_lane_2
                    here_lane_3 = kept_25_bar_b[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                    total_0_2 += here_lane_0*here_lane_3
                    here_lane_4 = kept_25_bar_b[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
                    total_0_3 += here_lane_0*here_lane_4
                    here_lane_5 = kept_26_z[(cs*3 + 1)*65 + t - (t_stretch*64 + 1)]
                    total_1_0 += here_lane_5*here_lane_1
                    total_1_1 += here_lane_5*here_lane_2
                    total_1_2 += here_lane_5*here_lane_3
                    total_1_3 += here_lane_5*here_lane_4
                    here_lane_6 = kept_26_z[(cs*3 + 2)*65 + t - (t_stretch*64 + 1)]
                    total_2_0 += here_lane_6*here_lane_1
                    total_2_1 += here_lane_6*here_lane_2
                    total_2_2 += here_lane_6*here_lane_3
                    total_2_3 += here_lane_6*here_lane_4
                grad_theta[ks*4*5 + cs*3] = total_0_0
                grad_theta[(ks*4 + 1)*5 + cs*3] = total_0_1
                grad_theta[(ks*4 + 2)*5 + cs*3] = total_0_2
                grad_theta[(ks*4 + 3)*5 + cs*3] = total_0_3
                grad_theta[ks*4*5 + cs*3 + 1] = total_1_0
                grad_theta[(ks*4 + 1)*5 + cs*3 + 1] = total_1_1
                grad_theta[(ks*4 + 2)*5 + cs*3 + 1] = total_1_2
                grad_theta[(ks*4 + 3)*5 + cs*3 + 1] = total_1_3
                grad_theta[ks*4*5 + cs*3 + 2] = total_2_0
                grad_theta[(ks*4 + 1)*5 + cs*3 + 2] = total_2_1
                grad_theta[(ks*4 + 2)*5 + cs*3 + 2] = total_2_2
                grad_theta[(ks*4 + 3)*5 + cs*3 + 2] = total_2_3
            for cs in range(1):
                total_0_0 = grad_theta[ks*4*5 + 3]
                total_0_1 = grad_theta[(ks*4 + 1)*5 + 3]
                total_0_2 = grad_theta[(ks*4 + 2)*5 + 3]
                total_0_3 = grad_theta[(ks*4 + 3)*5 + 3]
                total_1_0 = grad_theta[ks*4*5 + 4]
                total_1_1 = grad_theta[(ks*4 + 1)*5 + 4]
                total_1_2 = grad_theta[(ks*4 + 2)*5 + 4]
                total_1_3 = grad_theta[(ks*4 + 3)*5 + 4]
                for t in range(k_least(t_stretch*64 + 65, T + 1) - 1, t_stretch*64, -1):
                    here_lane_0 = kept_26_z[t - (t_stretch*64 + 1) + 195]
                    here_lane_1 = kept_25_bar_b[ks*4*65 + t - (t_stretch*64 + 1)]
                    total_0_0 += here_lane_0*here_lane_1
                    here_lane_2 = kept_25_bar_b[(ks*4 + 1)*65 + t - (t_stretch*64 + 1)]
                    total_0_1 += here_lane_0*here_lane_2
                    here_lane_3 = kept_25_bar_b[(ks*4 + 2)*65 + t - (t_stretch*64 + 1)]
                    total_0_2 += here_lane_0*here_lane_3
                    here_lane_4 = kept_25_bar_b[(ks*4 + 3)*65 + t - (t_stretch*64 + 1)]
                    total_0_3 += here_lane_0*here_lane_4
                    here_lane_5 = kept_26_z[t - (t_stretch*64 + 1) + 260]
                    total_1_0 += here_lane_5*here_lane_1
                    total_1_1 += here_lane_5*here_lane_2
                    total_1_2 += here_lane_5*here_lane_3
                    total_1_3 += here_lane_5*here_lane_4
                grad_theta[ks*4*5 + 3] = total_0_0
                grad_theta[(ks*4 + 1)*5 + 3] = total_0_1
                grad_theta[(ks*4 + 2)*5 + 3] = total_0_2
                grad_theta[(ks*4 + 3)*5 + 3] = total_0_3
                grad_theta[ks*4*5 + 4] = total_1_0
                grad_theta[(ks*4 + 1)*5 + 4] = total_1_1
                grad_theta[(ks*4 + 2)*5 + 4] = total_1_2
                grad_theta[(ks*4 + 3)*5 + 4] = total_1_3
    for l in range(4):
        grad_y0[l] = eps[l]
    J[0] = v_J

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
    x = k_array("x", x, "T m", 2, -1, 1, 0)
    cdef Py_ssize_t T = k_size(x, 0)
    if T < 1:
        k_refuse_shape("x", x, b'(T, m=1) with T \xe2\x89\xa5 1')
    if y0 is None:
        y0 = k_filled(0, 1, 4, 0, 0)
    else:
        y0 = k_array("y0", y0, "N", 1, 4, 0, 0)
    y = k_result("y", <PyObject *>out, (theta, x, y0), 2, T + 1, 4, 0)
    p_theta = k_data(theta)
    p_x = k_data(x)
    p_y0 = k_data(y0)
    p_y = k_data(y)
    work = k_workspace((((T + 1)*5 + 15)//16*16) + ((4 + 15)//16*16))
    free_here = work
    w_z = free_here
    free_here += (((T + 1)*5 + 15)//16*16)
    w_all_0_u_s = free_here
    with nogil:
        forward_core(p_theta, p_x, p_y0, p_y, w_z, w_all_0_u_s, T)
        k_release(work)
    return y

def gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None):
    """J^total and its gradient; J is maximised.

    (J, dJ/dtheta), or with wrt=("theta", "x", "y0") a named tuple (J, theta, x, y0).
    """
    cdef real *free_here
    cdef real *p_grad_theta
    cdef real *p_grad_x
    cdef real *p_grad_y0
    cdef real *p_mask
    cdef real *p_target
    cdef real *p_theta
    cdef real *p_x
    cdef real *p_y0
    cdef real *w_all_0_u_s
    cdef real *w_delta
    cdef real *w_eps
    cdef real *w_kept_22_bar_tau
    cdef real *w_kept_23_bar_b
    cdef real *w_kept_24_bar_tau
    cdef real *w_kept_24_z
    cdef real *w_kept_25_bar_b
    cdef real *w_kept_26_z
    cdef real *w_tape
    cdef real *w_z
    cdef real *work
    theta = k_array("theta", theta, "P", 1, 28, 0, 0)
    x = k_array("x", x, "T m", 2, -1, 1, 0)
    cdef Py_ssize_t T = k_size(x, 0)
    if T < 1:
        k_refuse_shape("x", x, b'(T, m=1) with T \xe2\x89\xa5 1')
    if y0 is None:
        y0 = k_filled(0, 1, 4, 0, 0)
    else:
        y0 = k_array("y0", y0, "N", 1, 4, 0, 0)
    target = k_array("target", target, "T n_T", 2, T, 2, 0)
    cdef Py_ssize_t mask_step = 0 if mask is None else 1
    if mask is None:
        mask = k_filled(1, 2, 1, 2, 0)
    else:
        mask = k_array("mask", mask, "T n_T", 2, T, 2, 0)
    cdef Py_ssize_t mask_rows = k_size(mask, 0)
    cdef PyObject *outs[3]
    cdef int wanted = k_wanted(wrt, out, NULL, outs)
    cdef tuple read = (theta, x, target, mask, y0)
    cdef real J = 0
    grad_theta = k_result("theta", outs[0], read, 1, 28, 0, 0)
    if wanted == 1:
        p_theta = k_data(theta)
        p_x = k_data(x)
        p_target = k_data(target)
        p_mask = k_data(mask)
        p_y0 = k_data(y0)
        p_grad_theta = k_data(grad_theta)
        work = k_workspace((((T + 1)*5 + 15)//16*16) + (((T)*4 + 15)//16*16) + ((5 + 15)//16*16) + ((4 + 15)//16*16) + ((4 + 15)//16*16) + ((260 + 15)//16*16) + ((260 + 15)//16*16) + ((325 + 15)//16*16))
        free_here = work
        w_z = free_here
        free_here += (((T + 1)*5 + 15)//16*16)
        w_tape = free_here
        free_here += (((T)*4 + 15)//16*16)
        w_eps = free_here
        free_here += ((5 + 15)//16*16)
        w_delta = free_here
        free_here += ((4 + 15)//16*16)
        w_all_0_u_s = free_here
        free_here += ((4 + 15)//16*16)
        w_kept_22_bar_tau = free_here
        free_here += ((260 + 15)//16*16)
        w_kept_23_bar_b = free_here
        free_here += ((260 + 15)//16*16)
        w_kept_24_z = free_here
        with nogil:
            gradient_core(p_theta, p_x, p_target, p_mask, p_y0, &J, p_grad_theta, w_z, w_tape, w_eps, w_delta, w_all_0_u_s, w_kept_22_bar_tau, w_kept_23_bar_b, w_kept_24_z, T, mask_step)
            k_release(work)
        if wrt is None:
            return J, grad_theta
        return Gradient(J, grad_theta, None, None)
    read += (grad_theta,)
    grad_x = k_result("x", outs[1], read, 2, T, 1, 0)
    read += (grad_x,)
    grad_y0 = k_result("y0", outs[2], read, 1, 4, 0, 0)
    p_theta = k_data(theta)
    p_x = k_data(x)
    p_target = k_data(target)
    p_mask = k_data(mask)
    p_y0 = k_data(y0)
    p_grad_theta = k_data(grad_theta)
    p_grad_x = k_data(grad_x)
    p_grad_y0 = k_data(grad_y0)
    work = k_workspace((((T + 1)*5 + 15)//16*16) + (((T)*4 + 15)//16*16) + ((5 + 15)//16*16) + ((4 + 15)//16*16) + ((4 + 15)//16*16) + ((260 + 15)//16*16) + ((260 + 15)//16*16) + ((325 + 15)//16*16))
    free_here = work
    w_z = free_here
    free_here += (((T + 1)*5 + 15)//16*16)
    w_tape = free_here
    free_here += (((T)*4 + 15)//16*16)
    w_eps = free_here
    free_here += ((5 + 15)//16*16)
    w_delta = free_here
    free_here += ((4 + 15)//16*16)
    w_all_0_u_s = free_here
    free_here += ((4 + 15)//16*16)
    w_kept_24_bar_tau = free_here
    free_here += ((260 + 15)//16*16)
    w_kept_25_bar_b = free_here
    free_here += ((260 + 15)//16*16)
    w_kept_26_z = free_here
    with nogil:
        gradient_all_core(p_theta, p_x, p_target, p_mask, p_y0, &J, p_grad_theta, p_grad_x, p_grad_y0, w_z, w_tape, w_eps, w_delta, w_all_0_u_s, w_kept_24_bar_tau, w_kept_25_bar_b, w_kept_26_z, T, mask_step)
        k_release(work)
    return Gradient(J, grad_theta if wanted & 1 else None, grad_x if wanted & 2 else None,
                    grad_y0 if wanted & 4 else None)
