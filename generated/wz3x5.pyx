# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False, auto_pickle=False

"""wz3x5: 3 units, 2 input lines, 15 connections.

Algorithm epochwise; schedule unrolled; float64; derive 0.1.0.
Derived from the forward equations, not written by hand:

    [semilinear]
    s(t) = sum over connections of w*x(t - delay)
    y(t) = tanh(s(t))
    delta(t) = eps(t)*(1 - y(t)**2)
    eps(t-1) = e(t-1) + sum over connections c out of it of w*delta(t-1 + delay)
    e(t) = d - y   (units with a target, where there is one)
    dJ/dw(c) = sum over t of delta(t)*x(t - delay), c from x to s

forward(theta, x, y0=None, out=None) -> y (T+1, N=3)
gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None)
    -> (J, dJ/dtheta (P=15,)), or with wrt a named tuple (J, theta, x, y0)

x (T, m=2); target and mask (T, n_T=1) for units 2; y0 (N=3).
J is maximised: ascend along the gradient. target[t] is for y[t+1], computed from x[t].
theta: w(0, 0), w(0, 1), w(0, 2), w(0, 3), w(0, 4), w(1, 0), w(1, 1), w(1, 2), w(1, 3), w(1, 4),
w(2, 0), w(2, 1), w(2, 2), w(2, 3), w(2, 4); w(target, source[, delay]).
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
    /* tanh(x) = ((s - 1)A + (s + 1)B)/((s + 1)A + (s - 1)B), |x| = n*ln(2)/2 + r, s = 2^n, tanh(r) = B/A. */
    static inline real k_tanh(real x)
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
    real k_where(bint, real, real) noexcept nogil
    real k_tanh(real) noexcept nogil

DTYPE = np.dtype("float64")
Gradient = namedtuple("Gradient", ["J", "theta", "x", "y0"])
RECORD = '{"algorithm": {"name": "epochwise"}, "batch": false, "derive": "0.1.0", "digest": "167f2e34b9752e632a5ac0884d360bcabc97a35e09bac3404d9706cd373627eb", "dtype": "float64", "schedule": "unrolled", "spec": {"algorithm": {"name": "epochwise"}, "cell": {"activation": "tanh", "library": "semilinear"}, "name": "wz3x5", "network": {"connections": "full", "inputs": 2, "units": 3}, "objective": {"J": "(-(d - y)**2)/2", "targets": [2]}, "spec": "derive/1"}}'

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

cdef void forward_core(
    real_in theta,
    real_in x,
    real_in y0,
    real_out y,
    real_out z,
    Py_ssize_t T
) noexcept nogil:
    cdef Py_ssize_t t
    cdef real v_w_0_0, v_w_0_1, v_w_0_2, v_w_0_3, v_w_0_4, v_w_1_0, v_w_1_1, v_w_1_2
    cdef real v_w_1_3, v_w_1_4, v_w_2_0, v_w_2_1, v_w_2_2, v_w_2_3, v_w_2_4, u_s
    cdef real new_y
    v_w_0_0 = theta[0]
    v_w_0_1 = theta[1]
    v_w_0_2 = theta[2]
    v_w_0_3 = theta[3]
    v_w_0_4 = theta[4]
    v_w_1_0 = theta[5]
    v_w_1_1 = theta[6]
    v_w_1_2 = theta[7]
    v_w_1_3 = theta[8]
    v_w_1_4 = theta[9]
    v_w_2_0 = theta[10]
    v_w_2_1 = theta[11]
    v_w_2_2 = theta[12]
    v_w_2_3 = theta[13]
    v_w_2_4 = theta[14]
    z[0] = 0
    z[1] = 0
    z[2] = 0
    z[3] = 0
    z[4] = 0
    z[0] = y0[0]
    z[1] = y0[1]
    z[2] = y0[2]
    for t in range(1, T + 1):
        z[(t - 1)*5 + 3] = x[(t - 1)*2]
        z[(t - 1)*5 + 4] = x[(t - 1)*2 + 1]
        u_s = (0 + v_w_0_0*z[(t - 1)*5] + v_w_0_1*z[(t - 1)*5 + 1] + v_w_0_2*z[(t - 1)*5 + 2]
            + v_w_0_3*z[(t - 1)*5 + 3] + v_w_0_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5] = new_y
        u_s = (0 + v_w_1_0*z[(t - 1)*5] + v_w_1_1*z[(t - 1)*5 + 1] + v_w_1_2*z[(t - 1)*5 + 2]
            + v_w_1_3*z[(t - 1)*5 + 3] + v_w_1_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5 + 1] = new_y
        u_s = (0 + v_w_2_0*z[(t - 1)*5] + v_w_2_1*z[(t - 1)*5 + 1] + v_w_2_2*z[(t - 1)*5 + 2]
            + v_w_2_3*z[(t - 1)*5 + 3] + v_w_2_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5 + 2] = new_y
    for t in range(T + 1):
        y[t*3] = z[t*5]
        y[t*3 + 1] = z[t*5 + 1]
        y[t*3 + 2] = z[t*5 + 2]

cdef void gradient_core(
    real_in theta,
    real_in x,
    real_in target,
    real_in mask,
    real_in y0,
    real_out J,
    real_out grad_theta,
    real_out z,
    Py_ssize_t T,
    Py_ssize_t mask_step
) noexcept nogil:
    cdef Py_ssize_t t
    cdef real v_w_0_0, v_w_0_1, v_w_0_2, v_w_0_3, v_w_0_4, v_w_1_0, v_w_1_1, v_w_1_2
    cdef real v_w_1_3, v_w_1_4, v_w_2_0, v_w_2_1, v_w_2_2, v_w_2_3, v_w_2_4, v_J
    cdef real v_grad_w_0_0, v_grad_w_0_1, v_grad_w_0_2, v_grad_w_0_3, v_grad_w_0_4, v_grad_w_1_0, v_grad_w_1_1, v_grad_w_1_2
    cdef real v_grad_w_1_3, v_grad_w_1_4, v_grad_w_2_0, v_grad_w_2_1, v_grad_w_2_2, v_grad_w_2_3, v_grad_w_2_4, v_eps_0
    cdef real v_eps_1, v_eps_2, v_eps_3, v_eps_4, v_delta_0_0, v_delta_0_1, v_delta_0_2, sum
    cdef real u_s, new_y, eps_y, bar_s
    v_w_0_0 = theta[0]
    v_w_0_1 = theta[1]
    v_w_0_2 = theta[2]
    v_w_0_3 = theta[3]
    v_w_0_4 = theta[4]
    v_w_1_0 = theta[5]
    v_w_1_1 = theta[6]
    v_w_1_2 = theta[7]
    v_w_1_3 = theta[8]
    v_w_1_4 = theta[9]
    v_w_2_0 = theta[10]
    v_w_2_1 = theta[11]
    v_w_2_2 = theta[12]
    v_w_2_3 = theta[13]
    v_w_2_4 = theta[14]
    z[0] = 0
    z[1] = 0
    z[2] = 0
    z[3] = 0
    z[4] = 0
    z[0] = y0[0]
    z[1] = y0[1]
    z[2] = y0[2]
    for t in range(1, T + 1):
        z[(t - 1)*5 + 3] = x[(t - 1)*2]
        z[(t - 1)*5 + 4] = x[(t - 1)*2 + 1]
        u_s = (0 + v_w_0_0*z[(t - 1)*5] + v_w_0_1*z[(t - 1)*5 + 1] + v_w_0_2*z[(t - 1)*5 + 2]
            + v_w_0_3*z[(t - 1)*5 + 3] + v_w_0_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5] = new_y
        u_s = (0 + v_w_1_0*z[(t - 1)*5] + v_w_1_1*z[(t - 1)*5 + 1] + v_w_1_2*z[(t - 1)*5 + 2]
            + v_w_1_3*z[(t - 1)*5 + 3] + v_w_1_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5 + 1] = new_y
        u_s = (0 + v_w_2_0*z[(t - 1)*5] + v_w_2_1*z[(t - 1)*5 + 1] + v_w_2_2*z[(t - 1)*5 + 2]
            + v_w_2_3*z[(t - 1)*5 + 3] + v_w_2_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5 + 2] = new_y
    v_grad_w_0_0 = 0
    v_grad_w_0_1 = 0
    v_grad_w_0_2 = 0
    v_grad_w_0_3 = 0
    v_grad_w_0_4 = 0
    v_grad_w_1_0 = 0
    v_grad_w_1_1 = 0
    v_grad_w_1_2 = 0
    v_grad_w_1_3 = 0
    v_grad_w_1_4 = 0
    v_grad_w_2_0 = 0
    v_grad_w_2_1 = 0
    v_grad_w_2_2 = 0
    v_grad_w_2_3 = 0
    v_grad_w_2_4 = 0
    v_eps_0 = 0
    v_eps_1 = 0
    v_eps_2 = 0
    v_eps_3 = 0
    v_eps_4 = 0
    v_delta_0_0 = 0
    v_delta_0_1 = 0
    v_delta_0_2 = 0
    v_J = 0
    for t in range(T, 0, -1):
        # ε(t) += e(t), the error of this step
        v_J += k_where(mask[(t - 1)*mask_step] != 0, -<real>0.5*mask[(t - 1)*mask_step]*((target[t - 1] - z[t*5 + 2])*(target[t - 1] - z[t*5 + 2])), 0)
        v_eps_2 += k_where(mask[(t - 1)*mask_step] != 0, mask[(t - 1)*mask_step]*(target[t - 1] - z[t*5 + 2]), 0)
        # δ(t), and this step's terms of the gradient
        eps_y = v_eps_0
        bar_s = eps_y*(1 - z[t*5]*z[t*5])
        v_eps_0 = 0
        v_delta_0_0 = bar_s
        v_grad_w_0_0 += z[(t - 1)*5]*bar_s
        v_grad_w_0_1 += z[(t - 1)*5 + 1]*bar_s
        v_grad_w_0_2 += z[(t - 1)*5 + 2]*bar_s
        v_grad_w_0_3 += z[(t - 1)*5 + 3]*bar_s
        v_grad_w_0_4 += z[(t - 1)*5 + 4]*bar_s
        eps_y = v_eps_1
        bar_s = eps_y*(1 - z[t*5 + 1]*z[t*5 + 1])
        v_eps_1 = 0
        v_delta_0_1 = bar_s
        v_grad_w_1_0 += z[(t - 1)*5]*bar_s
        v_grad_w_1_1 += z[(t - 1)*5 + 1]*bar_s
        v_grad_w_1_2 += z[(t - 1)*5 + 2]*bar_s
        v_grad_w_1_3 += z[(t - 1)*5 + 3]*bar_s
        v_grad_w_1_4 += z[(t - 1)*5 + 4]*bar_s
        eps_y = v_eps_2
        bar_s = eps_y*(1 - z[t*5 + 2]*z[t*5 + 2])
        v_eps_2 = 0
        v_delta_0_2 = bar_s
        v_grad_w_2_0 += z[(t - 1)*5]*bar_s
        v_grad_w_2_1 += z[(t - 1)*5 + 1]*bar_s
        v_grad_w_2_2 += z[(t - 1)*5 + 2]*bar_s
        v_grad_w_2_3 += z[(t - 1)*5 + 3]*bar_s
        v_grad_w_2_4 += z[(t - 1)*5 + 4]*bar_s
        # ε(t−1): what reaches the step before along the connections
        sum = ((v_eps_0) + v_w_0_0*v_delta_0_0 + v_w_1_0*v_delta_0_1 + v_w_2_0*v_delta_0_2)
        v_eps_0 = sum
        sum = ((v_eps_1) + v_w_0_1*v_delta_0_0 + v_w_1_1*v_delta_0_1 + v_w_2_1*v_delta_0_2)
        v_eps_1 = sum
        sum = ((v_eps_2) + v_w_0_2*v_delta_0_0 + v_w_1_2*v_delta_0_1 + v_w_2_2*v_delta_0_2)
        v_eps_2 = sum
    J[0] = v_J
    grad_theta[0] = v_grad_w_0_0
    grad_theta[1] = v_grad_w_0_1
    grad_theta[2] = v_grad_w_0_2
    grad_theta[3] = v_grad_w_0_3
    grad_theta[4] = v_grad_w_0_4
    grad_theta[5] = v_grad_w_1_0
    grad_theta[6] = v_grad_w_1_1
    grad_theta[7] = v_grad_w_1_2
    grad_theta[8] = v_grad_w_1_3
    grad_theta[9] = v_grad_w_1_4
    grad_theta[10] = v_grad_w_2_0
    grad_theta[11] = v_grad_w_2_1
    grad_theta[12] = v_grad_w_2_2
    grad_theta[13] = v_grad_w_2_3
    grad_theta[14] = v_grad_w_2_4

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
    Py_ssize_t T,
    Py_ssize_t mask_step
) noexcept nogil:
    cdef Py_ssize_t t
    cdef real v_w_0_0, v_w_0_1, v_w_0_2, v_w_0_3, v_w_0_4, v_w_1_0, v_w_1_1, v_w_1_2
    cdef real v_w_1_3, v_w_1_4, v_w_2_0, v_w_2_1, v_w_2_2, v_w_2_3, v_w_2_4, v_J
    cdef real v_grad_w_0_0, v_grad_w_0_1, v_grad_w_0_2, v_grad_w_0_3, v_grad_w_0_4, v_grad_w_1_0, v_grad_w_1_1, v_grad_w_1_2
    cdef real v_grad_w_1_3, v_grad_w_1_4, v_grad_w_2_0, v_grad_w_2_1, v_grad_w_2_2, v_grad_w_2_3, v_grad_w_2_4, v_eps_0
    cdef real v_eps_1, v_eps_2, v_eps_3, v_eps_4, v_delta_0_0, v_delta_0_1, v_delta_0_2, sum
    cdef real u_s, new_y, eps_y, bar_s
    v_w_0_0 = theta[0]
    v_w_0_1 = theta[1]
    v_w_0_2 = theta[2]
    v_w_0_3 = theta[3]
    v_w_0_4 = theta[4]
    v_w_1_0 = theta[5]
    v_w_1_1 = theta[6]
    v_w_1_2 = theta[7]
    v_w_1_3 = theta[8]
    v_w_1_4 = theta[9]
    v_w_2_0 = theta[10]
    v_w_2_1 = theta[11]
    v_w_2_2 = theta[12]
    v_w_2_3 = theta[13]
    v_w_2_4 = theta[14]
    z[0] = 0
    z[1] = 0
    z[2] = 0
    z[3] = 0
    z[4] = 0
    z[0] = y0[0]
    z[1] = y0[1]
    z[2] = y0[2]
    for t in range(1, T + 1):
        z[(t - 1)*5 + 3] = x[(t - 1)*2]
        z[(t - 1)*5 + 4] = x[(t - 1)*2 + 1]
        u_s = (0 + v_w_0_0*z[(t - 1)*5] + v_w_0_1*z[(t - 1)*5 + 1] + v_w_0_2*z[(t - 1)*5 + 2]
            + v_w_0_3*z[(t - 1)*5 + 3] + v_w_0_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5] = new_y
        u_s = (0 + v_w_1_0*z[(t - 1)*5] + v_w_1_1*z[(t - 1)*5 + 1] + v_w_1_2*z[(t - 1)*5 + 2]
            + v_w_1_3*z[(t - 1)*5 + 3] + v_w_1_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5 + 1] = new_y
        u_s = (0 + v_w_2_0*z[(t - 1)*5] + v_w_2_1*z[(t - 1)*5 + 1] + v_w_2_2*z[(t - 1)*5 + 2]
            + v_w_2_3*z[(t - 1)*5 + 3] + v_w_2_4*z[(t - 1)*5 + 4])
        new_y = k_tanh(u_s)
        z[t*5 + 2] = new_y
    v_grad_w_0_0 = 0
    v_grad_w_0_1 = 0
    v_grad_w_0_2 = 0
    v_grad_w_0_3 = 0
    v_grad_w_0_4 = 0
    v_grad_w_1_0 = 0
    v_grad_w_1_1 = 0
    v_grad_w_1_2 = 0
    v_grad_w_1_3 = 0
    v_grad_w_1_4 = 0
    v_grad_w_2_0 = 0
    v_grad_w_2_1 = 0
    v_grad_w_2_2 = 0
    v_grad_w_2_3 = 0
    v_grad_w_2_4 = 0
    v_eps_0 = 0
    v_eps_1 = 0
    v_eps_2 = 0
    v_eps_3 = 0
    v_eps_4 = 0
    v_delta_0_0 = 0
    v_delta_0_1 = 0
    v_delta_0_2 = 0
    v_J = 0
    for t in range(T):
        grad_x[t*2] = 0
        grad_x[t*2 + 1] = 0
    for t in range(T, 0, -1):
        # ε(t) += e(t), the error of this step
        v_J += k_where(mask[(t - 1)*mask_step] != 0, -<real>0.5*mask[(t - 1)*mask_step]*((target[t - 1] - z[t*5 + 2])*(target[t - 1] - z[t*5 + 2])), 0)
        v_eps_2 += k_where(mask[(t - 1)*mask_step] != 0, mask[(t - 1)*mask_step]*(target[t - 1] - z[t*5 + 2]), 0)
        # δ(t), and this step's terms of the gradient
        eps_y = v_eps_0
        bar_s = eps_y*(1 - z[t*5]*z[t*5])
        v_eps_0 = 0
        v_delta_0_0 = bar_s
        v_grad_w_0_0 += z[(t - 1)*5]*bar_s
        v_grad_w_0_1 += z[(t - 1)*5 + 1]*bar_s
        v_grad_w_0_2 += z[(t - 1)*5 + 2]*bar_s
        v_grad_w_0_3 += z[(t - 1)*5 + 3]*bar_s
        v_grad_w_0_4 += z[(t - 1)*5 + 4]*bar_s
        eps_y = v_eps_1
        bar_s = eps_y*(1 - z[t*5 + 1]*z[t*5 + 1])
        v_eps_1 = 0
        v_delta_0_1 = bar_s
        v_grad_w_1_0 += z[(t - 1)*5]*bar_s
        v_grad_w_1_1 += z[(t - 1)*5 + 1]*bar_s
        v_grad_w_1_2 += z[(t - 1)*5 + 2]*bar_s
        v_grad_w_1_3 += z[(t - 1)*5 + 3]*bar_s
        v_grad_w_1_4 += z[(t - 1)*5 + 4]*bar_s
        eps_y = v_eps_2
        bar_s = eps_y*(1 - z[t*5 + 2]*z[t*5 + 2])
        v_eps_2 = 0
        v_delta_0_2 = bar_s
        v_grad_w_2_0 += z[(t - 1)*5]*bar_s
        v_grad_w_2_1 += z[(t - 1)*5 + 1]*bar_s
        v_grad_w_2_2 += z[(t - 1)*5 + 2]*bar_s
        v_grad_w_2_3 += z[(t - 1)*5 + 3]*bar_s
        v_grad_w_2_4 += z[(t - 1)*5 + 4]*bar_s
        # ε(t−1): what reaches the step before along the connections
        sum = ((v_eps_0) + v_w_0_0*v_delta_0_0 + v_w_1_0*v_delta_0_1 + v_w_2_0*v_delta_0_2)
        v_eps_0 = sum
        sum = ((v_eps_1) + v_w_0_1*v_delta_0_0 + v_w_1_1*v_delta_0_1 + v_w_2_1*v_delta_0_2)
        v_eps_1 = sum
        sum = ((v_eps_2) + v_w_0_2*v_delta_0_0 + v_w_1_2*v_delta_0_1 + v_w_2_2*v_delta_0_2)
        v_eps_2 = sum
        sum = ((grad_x[(t - 1)*2]) + v_w_0_3*v_delta_0_0 + v_w_1_3*v_delta_0_1
            + v_w_2_3*v_delta_0_2)
        grad_x[(t - 1)*2] = sum
        sum = ((grad_x[(t - 1)*2 + 1]) + v_w_0_4*v_delta_0_0 + v_w_1_4*v_delta_0_1
            + v_w_2_4*v_delta_0_2)
        grad_x[(t - 1)*2 + 1] = sum
    grad_y0[0] = v_eps_0
    grad_y0[1] = v_eps_1
    grad_y0[2] = v_eps_2
    J[0] = v_J
    grad_theta[0] = v_grad_w_0_0
    grad_theta[1] = v_grad_w_0_1
    grad_theta[2] = v_grad_w_0_2
    grad_theta[3] = v_grad_w_0_3
    grad_theta[4] = v_grad_w_0_4
    grad_theta[5] = v_grad_w_1_0
    grad_theta[6] = v_grad_w_1_1
    grad_theta[7] = v_grad_w_1_2
    grad_theta[8] = v_grad_w_1_3
    grad_theta[9] = v_grad_w_1_4
    grad_theta[10] = v_grad_w_2_0
    grad_theta[11] = v_grad_w_2_1
    grad_theta[12] = v_grad_w_2_2
    grad_theta[13] = v_grad_w_2_3
    grad_theta[14] = v_grad_w_2_4

def forward(theta, x, y0=None, out=None):
    """States of every step: y (T+1, N), y[0] the initial state, y[t+1] from x[t]."""
    cdef real *free_here
    cdef real *p_theta
    cdef real *p_x
    cdef real *p_y
    cdef real *p_y0
    cdef real *w_z
    cdef real *work
    theta = _array("theta", theta, (15,), "(P=15,)")
    x = _array("x", x, (-1, 2), "(T, m=2)")
    cdef Py_ssize_t T = x.shape[0]
    if T < 1:
        raise ValueError(f"x: expected (T, m=2) with T ≥ 1, got {x.shape}")
    if y0 is None:
        y0 = np.zeros((3,), dtype=DTYPE)
    else:
        y0 = _array("y0", y0, (3,), "(N=3,)")
    y = _result("y", out, (T + 1, 3), (theta, x, y0))
    p_theta = _data(theta)
    p_x = _data(x)
    p_y0 = _data(y0)
    p_y = _data(y)
    work = _workspace((T + 1)*5)
    free_here = work
    w_z = free_here
    with nogil:
        forward_core(p_theta, p_x, p_y0, p_y, w_z, T)
        _release(work)
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
    cdef real *w_z
    cdef real *work
    theta = _array("theta", theta, (15,), "(P=15,)")
    x = _array("x", x, (-1, 2), "(T, m=2)")
    cdef Py_ssize_t T = x.shape[0]
    if T < 1:
        raise ValueError(f"x: expected (T, m=2) with T ≥ 1, got {x.shape}")
    if y0 is None:
        y0 = np.zeros((3,), dtype=DTYPE)
    else:
        y0 = _array("y0", y0, (3,), "(N=3,)")
    target = _array("target", target, (T, 1), f"(T={T}, n_T=1)")
    cdef Py_ssize_t mask_step = 0 if mask is None else 1
    if mask is None:
        mask = np.ones((1, 1), dtype=DTYPE)
    else:
        mask = _array("mask", mask, (T, 1), f"(T={T}, n_T=1)")
    cdef Py_ssize_t mask_rows = mask.shape[0]
    names, outs = _wanted(wrt, out)
    read = (theta, x, target, mask, y0)
    cdef real J = 0
    grad_theta = _result("theta", outs.get("theta"), (15,), read)
    if names == ("theta",):
        p_theta = _data(theta)
        p_x = _data(x)
        p_target = _data(target)
        p_mask = _data(mask)
        p_y0 = _data(y0)
        p_grad_theta = _data(grad_theta)
        work = _workspace((T + 1)*5)
        free_here = work
        w_z = free_here
        with nogil:
            gradient_core(p_theta, p_x, p_target, p_mask, p_y0, &J, p_grad_theta, w_z, T, mask_step)
            _release(work)
        if wrt is None:
            return J, grad_theta
        return Gradient(J, grad_theta, None, None)
    read += (grad_theta,)
    grad_x = _result("x", outs.get("x"), (T, 2), read)
    read += (grad_x,)
    grad_y0 = _result("y0", outs.get("y0"), (3,), read)
    p_theta = _data(theta)
    p_x = _data(x)
    p_target = _data(target)
    p_mask = _data(mask)
    p_y0 = _data(y0)
    p_grad_theta = _data(grad_theta)
    p_grad_x = _data(grad_x)
    p_grad_y0 = _data(grad_y0)
    work = _workspace((T + 1)*5)
    free_here = work
    w_z = free_here
    with nogil:
        gradient_all_core(p_theta, p_x, p_target, p_mask, p_y0, &J, p_grad_theta, p_grad_x, p_grad_y0, w_z, T, mask_step)
        _release(work)
    return _only(names, Gradient(J, grad_theta, grad_x, grad_y0))
