"""tanh, exp, logistic and softplus in C, without a branch and without a call.

A processor works on several of them at once, and a compiler does as many as a vector has places,
since nothing in them depends on the size of x. A number is reduced to a short interval by taking
out a whole power of 2; what is left is given by the approximations of ``approximations.py``.

How far they may be off is stated in :data:`BOUNDS`. Subnormal results are no exception; NaN gives
NaN, ±∞ the limit, tanh(−x) is −tanh(x) with the sign of zero, and no tanh or logistic is beyond 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from derive.emit.mathematics.approximations import MANTISSA
from derive.emit.mathematics.coefficients import COEFFICIENTS, CONSTANTS

LEAST_EXPONENT = {"float64": -1074, "float32": -149}
"""Of 2 in the smallest positive number."""

BOUNDS = {"tanh": (3.0, 4.5), "exp": (1.5, 1.5), "logistic": (3.0, 3.0), "softplus": (3.0, 3.0)}
"""Largest errors in units in the last place of the result: where the compiler fuses multiplication
and addition, and where not. See ``docs/functions.md`` for how they were found."""

CONDITION = "defined(__GNUC__) && FLT_EVAL_METHOD == 0"
"""Compilers that put these in line, and compute in the type that is written."""

_POWER = Template("""\
/* Adding K_ROUND leaves a whole number, and its exponent's bits as the last ones. */
#define K_ROUND $round
static inline real k_power(real k) /* 2^n of k = n + K_ROUND */
{
    $bits i;
    memcpy(&i, &k, sizeof i);
    i <<= $mantissa;
    memcpy(&k, &i, sizeof k);
    return k;
}
""")

_EXP_PART = Template("""\
/* exp(x) = 2^n*exp(r), x = n*ln(2) + r; 2^n in two factors, since it may have no exponent. */
static K_IN_LINE real k_exp_part(real x)
{
    real n = (x*$per_ln2 + K_ROUND) - K_ROUND, r = (x - n*$ln2_first) - n*$ln2_rest;
    real $powers;
    real q = r + r2*$exp;
    real k = n*$half + K_ROUND, a = k_power(k), b = k_power(n - (k - K_ROUND) + K_ROUND);
    return (a + a*q)*b;
}
""")

_BODIES = {
    # At 0 the numerator is 2·B, so that it is exact to its last places where tanh is small.
    "tanh": Template("""\
/* tanh(x) = ((s - 1)A + (s + 1)B)/((s + 1)A + (s - 1)B), |x| = n*ln(2)/2 + r, s = 2^n, \
tanh(r) = B/A. */
static K_IN_LINE real $name(real x)
{
    real y = M(fabs)(x), k = y*$two_per_ln2 + K_ROUND, n = k - K_ROUND, s = k_power(k);
    real r = y - n*$half_ln2, u = r*r, B = r + r*u*$tanh_top, A = 1 + u*$tanh_bottom;
    real a = s - 1, b = s + 1, N = a*A + b*B, D = b*A + a*B;
    N = N > D ? D : N; /* rounding must not lead beyond 1 */
    real t = N/D;
    return M(copysign)(y > $one ? 1 : t, x);
}
"""),
    "exp": Template("""\
static K_IN_LINE real $name(real x)
{
    real y = k_exp_part(x);
    return x > $infinite ? INFINITY : (x < $zero ? 0 : y);
}
"""),
    "logistic": Template("""\
/* 1/(1 + exp(-x)) = sP/(sP + Q), x = n*ln(2) + 2r, s = 2^n, exp(2r) = P/Q = (A + B)/(A - B). */
static K_IN_LINE real $name(real x)
{
    real n = (x*$per_ln2 + K_ROUND) - K_ROUND, r = (x*$half - n*$half_first) - n*$half_rest;
    real u = r*r, B = r + r*u*$tanh_top, A = 1 + u*$tanh_bottom;
    real k = n*$half + K_ROUND, s = k_power(k)*k_power(n - (k - K_ROUND) + K_ROUND);
    real p = s*(A + B), y = p/(p + (A - B));
    return x > $certain ? 1 : (x < $zero ? 0 : y);
}
"""),
    "softplus": Template("""\
/* log(1 + exp(x)) = max(x, 0) + log(1 + e), e = exp(-|x|); log(1 + e) = e - e^2*N/D. */
static K_IN_LINE real $name(real x)
{
    real a = M(fabs)(x), e = k_exp_part(-a), $powers_of_e;
    real y = e - e2*$log1p_top/$log1p_bottom, m = x > 0 ? x : 0;
    return m + (a > -($zero) ? 0 : y);
}
"""),
}

FUNCTIONS = frozenset(_BODIES)
"""Those there are."""
LESS_THAN_LIBRARY = frozenset({"exp"})
"""Those that a library with vector forms does faster, one number at a time (by a table) or many."""


def shared(names: set[str], double: bool) -> str:
    """What the functions of those names need defined before them."""
    numbers = _numbers("float64" if double else "float32")
    text = _POWER.substitute(numbers) if names & FUNCTIONS else ""
    return text + (_EXP_PART.substitute(numbers) if names & {"exp", "softplus"} else "")


def definition(function: str, name: str, double: bool) -> str:
    """The C function of that name."""
    return _BODIES[function].substitute(_numbers("float64" if double else "float32"), name=name)


def _numbers(dtype: str) -> dict[str, str]:
    suffix = "f" if dtype == "float32" else ""
    bits, least = MANTISSA[dtype], LEAST_EXPONENT[dtype]
    bias = 2 - least - bits
    found = {name: float.fromhex(value) for name, value in CONSTANTS[dtype].items()}

    def number(value: float) -> str:
        return hexadecimal(value) + suffix

    def polynomial(name: str, x: str, skipped: int = 0) -> str:
        values = [hexadecimal(float.fromhex(v)) + suffix for v in COEFFICIENTS[dtype][name]]
        return horner(values[skipped:], x) if skipped else estrin(values, x)

    ln2 = found["ln2"]
    return {
        "bits": f"uint{32 if suffix else 64}_t",
        "mantissa": str(bits - 1),
        "round": number(1.5 * 2 ** (bits - 1) + bias),
        "half": number(0.5),
        "per_ln2": number(found["per_ln2"]),
        "two_per_ln2": number(2 * found["per_ln2"]),
        "half_ln2": number(ln2 / 2),
        "ln2_first": number(found["ln2_first"]),
        "ln2_rest": number(found["ln2_rest"]),
        "half_first": number(found["ln2_first"] / 2),
        "half_rest": number(found["ln2_rest"] / 2),
        "tanh_top": polynomial("tanh_top", "u", 1),
        "tanh_bottom": polynomial("tanh_bottom", "u", 1),
        "exp": polynomial("exp_top", "r"),
        "powers": powers("r", len(COEFFICIENTS[dtype]["exp_top"])),
        "log1p_top": polynomial("log1p_top", "e"),
        "log1p_bottom": polynomial("log1p_bottom", "e"),
        "powers_of_e": powers("e", len(COEFFICIENTS[dtype]["log1p_bottom"])),
        # Whole numbers beyond which the limit is the nearest number.
        "one": number(float(int((bits + 2) * ln2 / 2) + 1)),
        "certain": number(float(int((bits + 1) * ln2) + 1)),
        "infinite": number(float(int((bias + 1) * ln2) + 1)),
        "zero": number(float(-int((1 - least) * ln2) - 1)),
    }


def hexadecimal(value: float) -> str:
    """Exactly that number, as C reads it; short where it is short."""
    if value == int(value) and abs(value) < 10**6:
        return f"{value:.1f}"
    mantissa, exponent = value.hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}"


def horner(coefficients: Sequence[str], x: str) -> str:
    """A polynomial one coefficient after another: the fewest operations."""
    first, *rest = coefficients
    return f"({first} + {x}*{horner(rest, x)})" if rest else first


def estrin(coefficients: Sequence[str], x: str) -> str:
    """A polynomial by pairs, pairs of pairs, …: operations that need not wait for one another.

    It uses x², x⁴, … under the names x2, x4, …; see :func:`powers`.
    """
    terms, power = list(coefficients), 1
    while len(terms) > 1:
        by = x if power == 1 else f"{x}{power}"
        pairs = [f"({a} + {by}*{b})" for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        power *= 2
    return terms[0]


def powers(x: str, count: int) -> str:
    """Declarators of the powers :func:`estrin` uses for that many coefficients."""
    text, power = [], 1
    while 2 * power < count:
        before = x if power == 1 else f"{x}{power}"
        text.append(f"{x}{2 * power} = {before}*{before}")
        power *= 2
    return ", ".join(text)
