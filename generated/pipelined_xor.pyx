# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False, auto_pickle=False

"""pipelined_xor: 4 units, 2 input lines, 24 connections.

Algorithm rtrl; schedule unrolled; float64; derive 0.1.0.
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

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from collections import namedtuple

import numpy as np

cdef extern from *:
    """
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
    #define M(g) g
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
    static inline real k_logistic(real x)
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
    real k_where(bint, real, real) noexcept nogil
    real k_logistic(real) noexcept nogil

DTYPE = np.dtype("float64")
Gradient = namedtuple("Gradient", ["J", "theta", "x", "y0"])
RECORD = '{"algorithm": {"name": "rtrl"}, "batch": false, "derive": "0.1.0", "digest": "f8224486d9e895d2690701ec660cec9ee755cb49073acd49966ce8e8a190a1cb", "dtype": "float64", "schedule": "unrolled", "spec": {"algorithm": {"name": "rtrl"}, "cell": {"activation": "logistic", "bias": true, "library": "semilinear"}, "name": "pipelined_xor", "network": {"connections": "full", "inputs": 2, "units": 4}, "objective": {"J": "(-(d - y)**2)/2", "targets": [0]}, "spec": "derive/1"}}'

cdef Py_ssize_t STATE_SIZE = 248
STATE = STATE_SIZE

WRT = ("theta", "x", "y0")


cdef object _array(str name, object value, tuple shape, str symbols):
    """``value`` as a C-contiguous array of this module's type and a shape (-1: any)."""
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
    """A new array for a result, or the caller's, checked to be apart from what is read."""
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
    """What to differentiate by, and for each the array to write to, if one is given."""
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
    """The gradient with None for what was not asked."""
    cdef list kept = [gradient[0]]
    for name, value in zip(WRT, gradient[1:]):
        kept.append(value if name in names else None)
    return Gradient(*kept)


cdef real *_data(object array) except? NULL:
    """Where an array's numbers are; the array must outlive the use."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef real *data = <real *>view.buf
    PyBuffer_Release(&view)
    return data


cdef real *_workspace(size_t count) except NULL:
    """Scratch for one call, aligned to 64 bytes; the pointer to free stands before it."""
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

cdef object _state(object state, Py_ssize_t size, bint lanes):
    """What an online run remembers, checked: this module's type, one axis, its size."""
    if not isinstance(state, np.ndarray) or state.dtype != DTYPE:
        raise TypeError("state: expected an array of %s, got %s"
                        % (DTYPE, getattr(state, "dtype", type(state).__name__)))
    if state.shape != (size,):
        raise ValueError("state: expected (%d,), got %s" % (size, state.shape))
    if not state.flags.carray or (lanes and state.ctypes.data % 64):
        raise ValueError("state: must be C-contiguous, writeable%s"
                         % (" and aligned to 64 bytes" if lanes else " and aligned"))
    return state

cdef void forward_core(
    real_in theta,
    real_in x,
    real_in y0,
    real_out y,
    real_out z,
    Py_ssize_t T
) noexcept nogil:
    cdef Py_ssize_t t
    cdef real v_w_0_0, v_w_0_1, v_w_0_2, v_w_0_3, v_w_0_4, v_w_0_5, v_w_1_0, v_w_1_1
    cdef real v_w_1_2, v_w_1_3, v_w_1_4, v_w_1_5, v_w_2_0, v_w_2_1, v_w_2_2, v_w_2_3
    cdef real v_w_2_4, v_w_2_5, v_w_3_0, v_w_3_1, v_w_3_2, v_w_3_3, v_w_3_4, v_w_3_5
    cdef real v_b__0, v_b__1, v_b__2, v_b__3, u_s, new_y
    v_w_0_0 = theta[0]
    v_w_0_1 = theta[1]
    v_w_0_2 = theta[2]
    v_w_0_3 = theta[3]
    v_w_0_4 = theta[4]
    v_w_0_5 = theta[5]
    v_w_1_0 = theta[6]
    v_w_1_1 = theta[7]
    v_w_1_2 = theta[8]
    v_w_1_3 = theta[9]
    v_w_1_4 = theta[10]
    v_w_1_5 = theta[11]
    v_w_2_0 = theta[12]
    v_w_2_1 = theta[13]
    v_w_2_2 = theta[14]
    v_w_2_3 = theta[15]
    v_w_2_4 = theta[16]
    v_w_2_5 = theta[17]
    v_w_3_0 = theta[18]
    v_w_3_1 = theta[19]
    v_w_3_2 = theta[20]
    v_w_3_3 = theta[21]
    v_w_3_4 = theta[22]
    v_w_3_5 = theta[23]
    v_b__0 = theta[24]
    v_b__1 = theta[25]
    v_b__2 = theta[26]
    v_b__3 = theta[27]
    z[0] = 0
    z[1] = 0
    z[2] = 0
    z[3] = 0
    z[4] = 0
    z[5] = 0
    z[0] = y0[0]
    z[1] = y0[1]
    z[2] = y0[2]
    z[3] = y0[3]
    for t in range(1, T + 1):
        z[(t - 1)*6 + 4] = x[(t - 1)*2]
        z[(t - 1)*6 + 5] = x[(t - 1)*2 + 1]
        u_s = (0 + v_w_0_0*z[(t - 1)*6] + v_w_0_1*z[(t - 1)*6 + 1] + v_w_0_2*z[(t - 1)*6 + 2]
            + v_w_0_3*z[(t - 1)*6 + 3] + v_w_0_4*z[(t - 1)*6 + 4] + v_w_0_5*z[(t - 1)*6 + 5])
        new_y = k_logistic(v_b__0 + u_s)
        z[t*6] = new_y
        u_s = (0 + v_w_1_0*z[(t - 1)*6] + v_w_1_1*z[(t - 1)*6 + 1] + v_w_1_2*z[(t - 1)*6 + 2]
            + v_w_1_3*z[(t - 1)*6 + 3] + v_w_1_4*z[(t - 1)*6 + 4] + v_w_1_5*z[(t - 1)*6 + 5])
        new_y = k_logistic(v_b__1 + u_s)
        z[t*6 + 1] = new_y
        u_s = (0 + v_w_2_0*z[(t - 1)*6] + v_w_2_1*z[(t - 1)*6 + 1] + v_w_2_2*z[(t - 1)*6 + 2]
            + v_w_2_3*z[(t - 1)*6 + 3] + v_w_2_4*z[(t - 1)*6 + 4] + v_w_2_5*z[(t - 1)*6 + 5])
        new_y = k_logistic(v_b__2 + u_s)
        z[t*6 + 2] = new_y
        u_s = (0 + v_w_3_0*z[(t - 1)*6] + v_w_3_1*z[(t - 1)*6 + 1] + v_w_3_2*z[(t - 1)*6 + 2]
            + v_w_3_3*z[(t - 1)*6 + 3] + v_w_3_4*z[(t - 1)*6 + 4] + v_w_3_5*z[(t - 1)*6 + 5])
        new_y = k_logistic(v_b__3 + u_s)
        z[t*6 + 3] = new_y
    for t in range(T + 1):
        y[t*4] = z[t*6]
        y[t*4 + 1] = z[t*6 + 1]
        y[t*4 + 2] = z[t*6 + 2]
        y[t*4 + 3] = z[t*6 + 3]

cdef void gradient_core(
    real_in theta,
    real_in x,
    real_in target,
    real_in mask,
    real_in y0,
    real_out J,
    real_out grad_theta,
    real_out z,
    real_out p,
    real_out p_0_s,
    Py_ssize_t T,
    Py_ssize_t mask_step
) noexcept nogil:
    cdef Py_ssize_t i, i1, t
    cdef real v_w_0_0, v_w_0_1, v_w_0_2, v_w_0_3, v_w_0_4, v_w_0_5, v_w_1_0, v_w_1_1
    cdef real v_w_1_2, v_w_1_3, v_w_1_4, v_w_1_5, v_w_2_0, v_w_2_1, v_w_2_2, v_w_2_3
    cdef real v_w_2_4, v_w_2_5, v_w_3_0, v_w_3_1, v_w_3_2, v_w_3_3, v_w_3_4, v_w_3_5
    cdef real v_b__0, v_b__1, v_b__2, v_b__3, v_J, v_error_0_0, d2_y_new__s, d2_y_new__b
    cdef real error_j, u_s, new_y
    v_w_0_0 = theta[0]
    v_w_0_1 = theta[1]
    v_w_0_2 = theta[2]
    v_w_0_3 = theta[3]
    v_w_0_4 = theta[4]
    v_w_0_5 = theta[5]
    v_w_1_0 = theta[6]
    v_w_1_1 = theta[7]
    v_w_1_2 = theta[8]
    v_w_1_3 = theta[9]
    v_w_1_4 = theta[10]
    v_w_1_5 = theta[11]
    v_w_2_0 = theta[12]
    v_w_2_1 = theta[13]
    v_w_2_2 = theta[14]
    v_w_2_3 = theta[15]
    v_w_2_4 = theta[16]
    v_w_2_5 = theta[17]
    v_w_3_0 = theta[18]
    v_w_3_1 = theta[19]
    v_w_3_2 = theta[20]
    v_w_3_3 = theta[21]
    v_w_3_4 = theta[22]
    v_w_3_5 = theta[23]
    v_b__0 = theta[24]
    v_b__1 = theta[25]
    v_b__2 = theta[26]
    v_b__3 = theta[27]
    z[0] = 0
    z[1] = 0
    z[2] = 0
    z[3] = 0
    z[4] = 0
    z[5] = 0
    z[0] = y0[0]
    z[1] = y0[1]
    z[2] = y0[2]
    z[3] = y0[3]
    for i1 in range(112):
        p[i1] = 0
    for i1 in range(112):
        p[i1 + 112] = 0
    grad_theta[0] = 0
    grad_theta[1] = 0
    grad_theta[2] = 0
    grad_theta[3] = 0
    grad_theta[4] = 0
    grad_theta[5] = 0
    grad_theta[6] = 0
    grad_theta[7] = 0
    grad_theta[8] = 0
    grad_theta[9] = 0
    grad_theta[10] = 0
    grad_theta[11] = 0
    grad_theta[12] = 0
    grad_theta[13] = 0
    grad_theta[14] = 0
    grad_theta[15] = 0
    grad_theta[16] = 0
    grad_theta[17] = 0
    grad_theta[18] = 0
    grad_theta[19] = 0
    grad_theta[20] = 0
    grad_theta[21] = 0
    grad_theta[22] = 0
    grad_theta[23] = 0
    grad_theta[24] = 0
    grad_theta[25] = 0
    grad_theta[26] = 0
    grad_theta[27] = 0
    v_J = 0
    for t in range(1, T + 1):
        z[((t - 1) % 2)*6 + 4] = x[(t - 1)*2]
        z[((t - 1) % 2)*6 + 5] = x[(t - 1)*2 + 1]
        u_s = (0 + v_w_0_0*z[((t - 1) % 2)*6] + v_w_0_1*z[((t - 1) % 2)*6 + 1]
            + v_w_0_2*z[((t - 1) % 2)*6 + 2] + v_w_0_3*z[((t - 1) % 2)*6 + 3]
            + v_w_0_4*z[((t - 1) % 2)*6 + 4] + v_w_0_5*z[((t - 1) % 2)*6 + 5])
        new_y = k_logistic(v_b__0 + u_s)
        z[((t) % 2)*6] = new_y
        u_s = (0 + v_w_1_0*z[((t - 1) % 2)*6] + v_w_1_1*z[((t - 1) % 2)*6 + 1]
            + v_w_1_2*z[((t - 1) % 2)*6 + 2] + v_w_1_3*z[((t - 1) % 2)*6 + 3]
            + v_w_1_4*z[((t - 1) % 2)*6 + 4] + v_w_1_5*z[((t - 1) % 2)*6 + 5])
        new_y = k_logistic(v_b__1 + u_s)
        z[((t) % 2)*6 + 1] = new_y
        u_s = (0 + v_w_2_0*z[((t - 1) % 2)*6] + v_w_2_1*z[((t - 1) % 2)*6 + 1]
            + v_w_2_2*z[((t - 1) % 2)*6 + 2] + v_w_2_3*z[((t - 1) % 2)*6 + 3]
            + v_w_2_4*z[((t - 1) % 2)*6 + 4] + v_w_2_5*z[((t - 1) % 2)*6 + 5])
        new_y = k_logistic(v_b__2 + u_s)
        z[((t) % 2)*6 + 2] = new_y
        u_s = (0 + v_w_3_0*z[((t - 1) % 2)*6] + v_w_3_1*z[((t - 1) % 2)*6 + 1]
            + v_w_3_2*z[((t - 1) % 2)*6 + 2] + v_w_3_3*z[((t - 1) % 2)*6 + 3]
            + v_w_3_4*z[((t - 1) % 2)*6 + 4] + v_w_3_5*z[((t - 1) % 2)*6 + 5])
        new_y = k_logistic(v_b__3 + u_s)
        z[((t) % 2)*6 + 3] = new_y
        # J(t), and e(t)
        v_J += k_where(mask[(t - 1)*mask_step] != 0, -<real>0.5*mask[(t - 1)*mask_step]*((target[t - 1] - z[((t) % 2)*6])*(target[t - 1] - z[((t) % 2)*6])), 0)
        v_error_0_0 = k_where(mask[(t - 1)*mask_step] != 0, mask[(t - 1)*mask_step]*(target[t - 1] - z[((t) % 2)*6]), 0)
        # p(t): sensitivities carried one step further
        d2_y_new__s = z[((t) % 2)*6]*(1 - z[((t) % 2)*6])
        d2_y_new__b = z[((t) % 2)*6]*(1 - z[((t) % 2)*6])
        for i in range(28):
            p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*v_w_0_0
                + p[((t + 1) % 2)*112 + i + 28]*v_w_0_1 + p[((t + 1) % 2)*112 + i + 56]*v_w_0_2
                + p[((t + 1) % 2)*112 + i + 84]*v_w_0_3)
        p_0_s[0] += z[((t - 1) % 2)*6]
        p_0_s[1] += z[((t - 1) % 2)*6 + 1]
        p_0_s[2] += z[((t - 1) % 2)*6 + 2]
        p_0_s[3] += z[((t - 1) % 2)*6 + 3]
        p_0_s[4] += z[((t - 1) % 2)*6 + 4]
        p_0_s[5] += z[((t - 1) % 2)*6 + 5]
        for i in range(28):
            p[((t) % 2)*112 + i] = d2_y_new__s*p_0_s[i]
        p[((t) % 2)*112 + 24] += d2_y_new__b
        d2_y_new__s = z[((t) % 2)*6 + 1]*(1 - z[((t) % 2)*6 + 1])
        d2_y_new__b = z[((t) % 2)*6 + 1]*(1 - z[((t) % 2)*6 + 1])
        for i in range(28):
            p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*v_w_1_0
                + p[((t + 1) % 2)*112 + i + 28]*v_w_1_1 + p[((t + 1) % 2)*112 + i + 56]*v_w_1_2
                + p[((t + 1) % 2)*112 + i + 84]*v_w_1_3)
        p_0_s[6] += z[((t - 1) % 2)*6]
        p_0_s[7] += z[((t - 1) % 2)*6 + 1]
        p_0_s[8] += z[((t - 1) % 2)*6 + 2]
        p_0_s[9] += z[((t - 1) % 2)*6 + 3]
        p_0_s[10] += z[((t - 1) % 2)*6 + 4]
        p_0_s[11] += z[((t - 1) % 2)*6 + 5]
        for i in range(28):
            p[((t) % 2)*112 + i + 28] = d2_y_new__s*p_0_s[i]
        p[((t) % 2)*112 + 53] += d2_y_new__b
        d2_y_new__s = z[((t) % 2)*6 + 2]*(1 - z[((t) % 2)*6 + 2])
        d2_y_new__b = z[((t) % 2)*6 + 2]*(1 - z[((t) % 2)*6 + 2])
        for i in range(28):
            p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*v_w_2_0
                + p[((t + 1) % 2)*112 + i + 28]*v_w_2_1 + p[((t + 1) % 2)*112 + i + 56]*v_w_2_2
                + p[((t + 1) % 2)*112 + i + 84]*v_w_2_3)
        p_0_s[12] += z[((t - 1) % 2)*6]
        p_0_s[13] += z[((t - 1) % 2)*6 + 1]
        p_0_s[14] += z[((t - 1) % 2)*6 + 2]
        p_0_s[15] += z[((t - 1) % 2)*6 + 3]
        p_0_s[16] += z[((t - 1) % 2)*6 + 4]
        p_0_s[17] += z[((t - 1) % 2)*6 + 5]
        for i in range(28):
            p[((t) % 2)*112 + i + 56] = d2_y_new__s*p_0_s[i]
        p[((t) % 2)*112 + 82] += d2_y_new__b
        d2_y_new__s = z[((t) % 2)*6 + 3]*(1 - z[((t) % 2)*6 + 3])
        d2_y_new__b = z[((t) % 2)*6 + 3]*(1 - z[((t) % 2)*6 + 3])
        for i in range(28):
            p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*v_w_3_0
                + p[((t + 1) % 2)*112 + i + 28]*v_w_3_1 + p[((t + 1) % 2)*112 + i + 56]*v_w_3_2
                + p[((t + 1) % 2)*112 + i + 84]*v_w_3_3)
        p_0_s[18] += z[((t - 1) % 2)*6]
        p_0_s[19] += z[((t - 1) % 2)*6 + 1]
        p_0_s[20] += z[((t - 1) % 2)*6 + 2]
        p_0_s[21] += z[((t - 1) % 2)*6 + 3]
        p_0_s[22] += z[((t - 1) % 2)*6 + 4]
        p_0_s[23] += z[((t - 1) % 2)*6 + 5]
        for i in range(28):
            p[((t) % 2)*112 + i + 84] = d2_y_new__s*p_0_s[i]
        p[((t) % 2)*112 + 111] += d2_y_new__b
        # ∂J(t)/∂θ += Σ e·p
        error_j = v_error_0_0
        for i in range(28):
            grad_theta[i] += p[((t) % 2)*112 + i]*error_j
    J[0] = v_J

cdef void start_core(
    real_in y0,
    real_out z,
    real_out error,
    real_out p
) noexcept nogil:
    cdef Py_ssize_t i1
    z[0] = 0
    z[1] = 0
    z[2] = 0
    z[3] = 0
    z[4] = 0
    z[5] = 0
    z[0] = y0[0]
    z[1] = y0[1]
    z[2] = y0[2]
    z[3] = y0[3]
    for i1 in range(112):
        p[i1] = 0
    for i1 in range(112):
        p[i1 + 112] = 0

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
    real_out p_0_s,
    Py_ssize_t t
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d2_y_new__s, d2_y_new__b, error_j, u_s, new_y
    J[0] = 0
    z[((t - 1) % 2)*6 + 4] = x[0]
    z[((t - 1) % 2)*6 + 5] = x[1]
    u_s = (0 + theta[0]*z[((t - 1) % 2)*6] + theta[1]*z[((t - 1) % 2)*6 + 1]
        + theta[2]*z[((t - 1) % 2)*6 + 2] + theta[3]*z[((t - 1) % 2)*6 + 3]
        + theta[4]*z[((t - 1) % 2)*6 + 4] + theta[5]*z[((t - 1) % 2)*6 + 5])
    new_y = k_logistic(theta[24] + u_s)
    z[((t) % 2)*6] = new_y
    u_s = (0 + theta[6]*z[((t - 1) % 2)*6] + theta[7]*z[((t - 1) % 2)*6 + 1]
        + theta[8]*z[((t - 1) % 2)*6 + 2] + theta[9]*z[((t - 1) % 2)*6 + 3]
        + theta[10]*z[((t - 1) % 2)*6 + 4] + theta[11]*z[((t - 1) % 2)*6 + 5])
    new_y = k_logistic(theta[25] + u_s)
    z[((t) % 2)*6 + 1] = new_y
    u_s = (0 + theta[12]*z[((t - 1) % 2)*6] + theta[13]*z[((t - 1) % 2)*6 + 1]
        + theta[14]*z[((t - 1) % 2)*6 + 2] + theta[15]*z[((t - 1) % 2)*6 + 3]
        + theta[16]*z[((t - 1) % 2)*6 + 4] + theta[17]*z[((t - 1) % 2)*6 + 5])
    new_y = k_logistic(theta[26] + u_s)
    z[((t) % 2)*6 + 2] = new_y
    u_s = (0 + theta[18]*z[((t - 1) % 2)*6] + theta[19]*z[((t - 1) % 2)*6 + 1]
        + theta[20]*z[((t - 1) % 2)*6 + 2] + theta[21]*z[((t - 1) % 2)*6 + 3]
        + theta[22]*z[((t - 1) % 2)*6 + 4] + theta[23]*z[((t - 1) % 2)*6 + 5])
    new_y = k_logistic(theta[27] + u_s)
    z[((t) % 2)*6 + 3] = new_y
    # J(t), and e(t)
    J[0] += k_where(mask[0] != 0, -<real>0.5*mask[0]*((target[0] - z[((t) % 2)*6])*(target[0] - z[((t) % 2)*6])), 0)
    error[0] = k_where(mask[0] != 0, mask[0]*(target[0] - z[((t) % 2)*6]), 0)
    # p(t): sensitivities carried one step further
    d2_y_new__s = z[((t) % 2)*6]*(1 - z[((t) % 2)*6])
    d2_y_new__b = z[((t) % 2)*6]*(1 - z[((t) % 2)*6])
    for i in range(28):
        p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*theta[0] + p[((t + 1) % 2)*112 + i + 28]*theta[1]
            + p[((t + 1) % 2)*112 + i + 56]*theta[2] + p[((t + 1) % 2)*112 + i + 84]*theta[3])
    p_0_s[0] += z[((t - 1) % 2)*6]
    p_0_s[1] += z[((t - 1) % 2)*6 + 1]
    p_0_s[2] += z[((t - 1) % 2)*6 + 2]
    p_0_s[3] += z[((t - 1) % 2)*6 + 3]
    p_0_s[4] += z[((t - 1) % 2)*6 + 4]
    p_0_s[5] += z[((t - 1) % 2)*6 + 5]
    for i in range(28):
        p[((t) % 2)*112 + i] = d2_y_new__s*p_0_s[i]
    p[((t) % 2)*112 + 24] += d2_y_new__b
    d2_y_new__s = z[((t) % 2)*6 + 1]*(1 - z[((t) % 2)*6 + 1])
    d2_y_new__b = z[((t) % 2)*6 + 1]*(1 - z[((t) % 2)*6 + 1])
    for i in range(28):
        p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*theta[6] + p[((t + 1) % 2)*112 + i + 28]*theta[7]
            + p[((t + 1) % 2)*112 + i + 56]*theta[8] + p[((t + 1) % 2)*112 + i + 84]*theta[9])
    p_0_s[6] += z[((t - 1) % 2)*6]
    p_0_s[7] += z[((t - 1) % 2)*6 + 1]
    p_0_s[8] += z[((t - 1) % 2)*6 + 2]
    p_0_s[9] += z[((t - 1) % 2)*6 + 3]
    p_0_s[10] += z[((t - 1) % 2)*6 + 4]
    p_0_s[11] += z[((t - 1) % 2)*6 + 5]
    for i in range(28):
        p[((t) % 2)*112 + i + 28] = d2_y_new__s*p_0_s[i]
    p[((t) % 2)*112 + 53] += d2_y_new__b
    d2_y_new__s = z[((t) % 2)*6 + 2]*(1 - z[((t) % 2)*6 + 2])
    d2_y_new__b = z[((t) % 2)*6 + 2]*(1 - z[((t) % 2)*6 + 2])
    for i in range(28):
        p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*theta[12]
            + p[((t + 1) % 2)*112 + i + 28]*theta[13] + p[((t + 1) % 2)*112 + i + 56]*theta[14]
            + p[((t + 1) % 2)*112 + i + 84]*theta[15])
    p_0_s[12] += z[((t - 1) % 2)*6]
    p_0_s[13] += z[((t - 1) % 2)*6 + 1]
    p_0_s[14] += z[((t - 1) % 2)*6 + 2]
    p_0_s[15] += z[((t - 1) % 2)*6 + 3]
    p_0_s[16] += z[((t - 1) % 2)*6 + 4]
    p_0_s[17] += z[((t - 1) % 2)*6 + 5]
    for i in range(28):
        p[((t) % 2)*112 + i + 56] = d2_y_new__s*p_0_s[i]
    p[((t) % 2)*112 + 82] += d2_y_new__b
    d2_y_new__s = z[((t) % 2)*6 + 3]*(1 - z[((t) % 2)*6 + 3])
    d2_y_new__b = z[((t) % 2)*6 + 3]*(1 - z[((t) % 2)*6 + 3])
    for i in range(28):
        p_0_s[i] = (0 + p[((t + 1) % 2)*112 + i]*theta[18]
            + p[((t + 1) % 2)*112 + i + 28]*theta[19] + p[((t + 1) % 2)*112 + i + 56]*theta[20]
            + p[((t + 1) % 2)*112 + i + 84]*theta[21])
    p_0_s[18] += z[((t - 1) % 2)*6]
    p_0_s[19] += z[((t - 1) % 2)*6 + 1]
    p_0_s[20] += z[((t - 1) % 2)*6 + 2]
    p_0_s[21] += z[((t - 1) % 2)*6 + 3]
    p_0_s[22] += z[((t - 1) % 2)*6 + 4]
    p_0_s[23] += z[((t - 1) % 2)*6 + 5]
    for i in range(28):
        p[((t) % 2)*112 + i + 84] = d2_y_new__s*p_0_s[i]
    p[((t) % 2)*112 + 111] += d2_y_new__b
    y[0] = z[((t) % 2)*6]
    y[1] = z[((t) % 2)*6 + 1]
    y[2] = z[((t) % 2)*6 + 2]
    y[3] = z[((t) % 2)*6 + 3]
    grad_theta[0] = 0
    grad_theta[1] = 0
    grad_theta[2] = 0
    grad_theta[3] = 0
    grad_theta[4] = 0
    grad_theta[5] = 0
    grad_theta[6] = 0
    grad_theta[7] = 0
    grad_theta[8] = 0
    grad_theta[9] = 0
    grad_theta[10] = 0
    grad_theta[11] = 0
    grad_theta[12] = 0
    grad_theta[13] = 0
    grad_theta[14] = 0
    grad_theta[15] = 0
    grad_theta[16] = 0
    grad_theta[17] = 0
    grad_theta[18] = 0
    grad_theta[19] = 0
    grad_theta[20] = 0
    grad_theta[21] = 0
    grad_theta[22] = 0
    grad_theta[23] = 0
    grad_theta[24] = 0
    grad_theta[25] = 0
    grad_theta[26] = 0
    grad_theta[27] = 0
    # ∂J(t)/∂θ += Σ e·p
    error_j = error[0]
    for i in range(28):
        grad_theta[i] += p[((t) % 2)*112 + i]*error_j

def forward(theta, x, y0=None, out=None):
    """States of every step: y (T+1, N), y[0] the initial state, y[t+1] from x[t]."""
    cdef real *free_here
    cdef real *p_theta
    cdef real *p_x
    cdef real *p_y
    cdef real *p_y0
    cdef real *w_z
    cdef real *work
    theta = _array("theta", theta, (28,), "(P=28,)")
    x = _array("x", x, (-1, 2), "(T, m=2)")
    cdef Py_ssize_t T = x.shape[0]
    if T < 1:
        raise ValueError(f"x: expected (T, m=2) with T ≥ 1, got {x.shape}")
    if y0 is None:
        y0 = np.zeros((4,), dtype=DTYPE)
    else:
        y0 = _array("y0", y0, (4,), "(N=4,)")
    y = _result("y", out, (T + 1, 4), (theta, x, y0))
    p_theta = _data(theta)
    p_x = _data(x)
    p_y0 = _data(y0)
    p_y = _data(y)
    work = _workspace((T + 1)*6)
    free_here = work
    w_z = free_here
    with nogil:
        forward_core(p_theta, p_x, p_y0, p_y, w_z, T)
        _release(work)
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
    cdef real *w_p
    cdef real *w_p_0_s
    cdef real *w_z
    cdef real *work
    theta = _array("theta", theta, (28,), "(P=28,)")
    x = _array("x", x, (-1, 2), "(T, m=2)")
    cdef Py_ssize_t T = x.shape[0]
    if T < 1:
        raise ValueError(f"x: expected (T, m=2) with T ≥ 1, got {x.shape}")
    if y0 is None:
        y0 = np.zeros((4,), dtype=DTYPE)
    else:
        y0 = _array("y0", y0, (4,), "(N=4,)")
    target = _array("target", target, (T, 1), f"(T={T}, n_T=1)")
    cdef Py_ssize_t mask_step = 0 if mask is None else 1
    if mask is None:
        mask = np.ones((1, 1), dtype=DTYPE)
    else:
        mask = _array("mask", mask, (T, 1), f"(T={T}, n_T=1)")
    cdef Py_ssize_t mask_rows = mask.shape[0]
    names, outs = _wanted(wrt, out)
    if names != ("theta",):
        raise ValueError("wrt: algorithm rtrl gives the gradient by theta only, got %s; epochwise gives x and y0" % (names,))
    read = (theta, x, target, mask, y0)
    cdef real J = 0
    grad_theta = _result("theta", outs.get("theta"), (28,), read)
    p_theta = _data(theta)
    p_x = _data(x)
    p_target = _data(target)
    p_mask = _data(mask)
    p_y0 = _data(y0)
    p_grad_theta = _data(grad_theta)
    work = _workspace(12 + 224 + 28)
    free_here = work
    w_z = free_here
    free_here += 12
    w_p = free_here
    free_here += 224
    w_p_0_s = free_here
    with nogil:
        gradient_core(p_theta, p_x, p_target, p_mask, p_y0, &J, p_grad_theta, w_z, w_p, w_p_0_s, T, mask_step)
        _release(work)
    if wrt is None:
        return J, grad_theta
    return Gradient(J, grad_theta, None, None)

def start(state, y0):
    """Set the state to that before the first step."""
    cdef real *free_here
    cdef real *p_state
    cdef real *p_y0
    cdef real *work
    y0 = _array("y0", y0, (4,), "(N=4,)")
    state = _state(state, STATE*1, False)
    p_y0 = _data(y0)
    p_state = _data(state)
    work = _workspace(1)
    free_here = work
    with nogil:
        start_core(p_y0, p_state + 0, p_state + 16, p_state + 24)
        _release(work)

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
    cdef real *w_p_0_s
    cdef real *work
    theta = _array("theta", theta, (28,), "(P=28,)")
    x = _array("x_t", x, (2,), "(m=2,)")
    target = _array("target_t", target, (1,), "(n_T=1,)")
    if mask is None:
        mask = np.ones((1,), dtype=DTYPE)
    else:
        mask = _array("mask_t", mask, (1,), f"(n_T=1,)")
    state = _state(state, STATE*1, False)
    y = np.empty((4,), dtype=DTYPE)
    cdef real J = 0
    grad_theta = np.empty(28, dtype=DTYPE)
    p_theta = _data(theta)
    p_x = _data(x)
    p_target = _data(target)
    p_mask = _data(mask)
    p_y = _data(y)
    p_grad_theta = _data(grad_theta)
    p_state = _data(state)
    work = _workspace(28)
    free_here = work
    w_p_0_s = free_here
    with nogil:
        step_core(p_theta, p_x, p_target, p_mask, p_y, &J, p_grad_theta, p_state + 0, p_state + 16, p_state + 24, w_p_0_s, t)
        _release(work)
    return y, J, grad_theta
