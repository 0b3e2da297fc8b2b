"""Run a Program on any arithmetic: SymPy symbols, fractions, mpmath numbers, NumPy vectors.

This is the reference reader. What it does with symbols is what a proof speaks of, and where there
is no compiler it is what computes, slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Symbol
from sympy.core.relational import Relational

from derive.errors import ProgramError
from derive.functions import greatest, logistic, relu, softplus, step
from derive.program.ir import (
    THREAD,
    THREADS,
    Assign,
    Least,
    Lookup,
    Loop,
    Meet,
    Modulo,
    Most,
    Plus,
    Program,
    Quotient,
    Ref,
    Root,
    Statement,
    Times,
    Var,
    evaluate,
    square_root,
    walk,
)

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Arithmetic:
    """What numbers are: how constants enter, what functions there are, how to choose."""

    name: str
    number: Callable[[Expr], Any]
    functions: Mapping[type, Callable[..., Any]]
    select: Callable[[Any, Any, Any], Any]
    dtype: Any = object


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


def _max(a: Any, b: Any) -> Any:
    return a if a >= b else b


def _min(a: Any, b: Any) -> Any:
    return a if a <= b else b


EXACT = Arithmetic(
    "fractions",
    lambda c: Fraction(int(c.p), int(c.q)) if c.is_Rational else Fraction(str(c)),
    {
        relu: lambda x: x if x > 0 else x * 0,
        step: lambda x: Fraction(int(x > 0)),
        sympy.Abs: abs,
        sympy.Max: lambda *a: reduce(_max, a),
        greatest: _max,
        sympy.Min: lambda *a: reduce(_min, a),
    },
    _choose,
)


def _mp_softplus(x: Any) -> Any:
    return mpmath.log1p(mpmath.exp(-abs(x))) + (x if x > 0 else 0)


MULTIPRECISION = Arithmetic(
    "mpmath",
    lambda c: mpmath.mpf(int(c.p)) / int(c.q) if c.is_Rational else mpmath.mpmathify(c.evalf(60)),
    {
        **{
            getattr(sympy, f): getattr(mpmath, f)
            for f in ("exp", "log", "tanh", "sinh", "cosh", "sin", "cos", "tan", "asin", "acos",
                      "atan", "asinh", "acosh", "atanh", "erf")
        },
        logistic: lambda x: 1 / (1 + mpmath.exp(-x)),
        softplus: _mp_softplus,
        relu: lambda x: x if x > 0 else x * 0,
        step: lambda x: mpmath.mpf(int(x > 0)),
        sympy.Abs: abs,
        sympy.sign: mpmath.sign,
        sympy.Max: lambda *a: reduce(_max, a),
        greatest: _max,
        sympy.Min: lambda *a: reduce(_min, a),
    },
    _choose,
)  # fmt: skip


def _np_logistic(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _np_softplus(x: Any) -> Any:
    if np.iscomplexobj(x):
        return np.log(1 + np.exp(x))
    return np.logaddexp(x, 0)


def _np_erf(x: Any) -> Any:
    import math

    return np.vectorize(math.erf, otypes=[float])(x)


def numpy_arithmetic(dtype: Any = np.float64) -> Arithmetic:
    """NumPy numbers or vectors over a batch; complex for the complex-step rule."""
    return Arithmetic(
        "numpy",
        lambda c: np.dtype(dtype).type(c),
        {
            **{
                getattr(sympy, f): getattr(np, n)
                for f, n in (
                    ("exp", "exp"), ("log", "log"), ("tanh", "tanh"), ("sinh", "sinh"),
                    ("cosh", "cosh"), ("sin", "sin"), ("cos", "cos"), ("tan", "tan"),
                    ("asin", "arcsin"), ("acos", "arccos"), ("atan", "arctan"),
                    ("asinh", "arcsinh"), ("acosh", "arccosh"), ("atanh", "arctanh"),
                )
            },
            sympy.erf: _np_erf,
            logistic: _np_logistic,
            softplus: _np_softplus,
            relu: lambda x: np.where(np.real(x) <= 0, 0, x),
            step: lambda x: np.where(np.real(x) > 0, 1.0, 0.0),
            sympy.Abs: lambda x: np.where(np.real(x) < 0, -x, x),
            sympy.sign: np.sign,
            sympy.Max: lambda *a: reduce(np.maximum, a),
            greatest: np.maximum,
            sympy.Min: lambda *a: reduce(np.minimum, a),
        },
        np.where,
        dtype,
    )  # fmt: skip


SYMBOLIC = Arithmetic("sympy", lambda c: c, {}, lambda c, a, b: sympy.Piecewise((a, c), (b, True)))


def compiled(
    expr: Expr, symbols: tuple[Symbol, ...], arithmetic: Arithmetic
) -> Callable[[Values], Any]:
    """``expr`` as a function of the values of ``symbols``."""
    if arithmetic is SYMBOLIC:
        return lambda v: expr.xreplace(dict(zip(symbols, v, strict=True)))
    place = {s: i for i, s in enumerate(symbols)}

    def build(e: Any) -> Callable[[Values], Any]:
        if e.is_Symbol:
            i = place[e]
            return lambda v: v[i]
        if e.is_number and (e.is_Number or e.is_NumberSymbol):
            constant = arithmetic.number(e)
            return lambda v: constant
        if e in (sympy.true, sympy.false):
            truth = bool(e)
            return lambda v: truth
        if isinstance(e, sympy.Pow) and e.exp.is_Integer:
            base, n = build(e.base), int(e.exp)
            if n > 0:
                return lambda v: base(v) ** n
            return lambda v: 1 / base(v) ** -n
        if isinstance(e, sympy.Pow):
            base, exponent = build(e.base), build(e.exp)
            return lambda v: base(v) ** exponent(v)
        if isinstance(e, sympy.Piecewise):
            (value, condition), rest = e.args[0], e.args[1:]
            if condition == sympy.true:
                return build(value)
            test, yes = build(condition), build(value)
            no = build(sympy.Piecewise(*rest))
            if arithmetic.select is _choose:
                return lambda v: yes(v) if test(v) else no(v)
            return lambda v: arithmetic.select(test(v), yes(v), no(v))
        args = [build(a) for a in e.args]
        if isinstance(e, sympy.Add):
            return lambda v: reduce(lambda a, b: a + b, [f(v) for f in args])
        if isinstance(e, sympy.Mul):
            return lambda v: reduce(lambda a, b: a * b, [f(v) for f in args])
        if isinstance(e, Relational):
            left, right = args
            compare = _COMPARE[type(e)]
            return lambda v: compare(left(v), right(v))
        try:
            function = arithmetic.functions[type(e)]
        except KeyError:
            raise ProgramError(
                f"{type(e).__name__} has no value in {arithmetic.name} arithmetic"
            ) from None
        return lambda v: function(*(f(v) for f in args))

    return build(expr)


_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    sympy.Ne: lambda a, b: a != b,
    sympy.Eq: lambda a, b: a == b,
    sympy.Gt: lambda a, b: a > b,
    sympy.Ge: lambda a, b: a >= b,
    sympy.Lt: lambda a, b: a < b,
    sympy.Le: lambda a, b: a <= b,
}


def run(
    program: Program,
    arithmetic: Arithmetic,
    inputs: Mapping[str, Any],
    sizes: Mapping[str, int],
    lanes: tuple[int, ...] = (),
    state: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Execute ``program`` and return its ``out`` arrays.

    Parameters
    ----------
    inputs : mapping of str to array
        For each ``in`` array its values, of the array's shape (plus ``lanes`` where it is batched);
        a history that is not given is zero.
    sizes : mapping of str to int
        T and its kind.
    lanes : tuple of int
        ``(B,)`` to let every element be a vector over a batch (NumPy arithmetic only).
    state : dict of str to array, optional
        The ``state`` arrays, which are changed in place; those missing are added as zeros.
    """
    env = program.known(sizes)
    memory = _memory(program, arithmetic, inputs, env, lanes, {} if state is None else state)
    _Machine(program, arithmetic, memory, env).execute(program.body)
    return {a.name: memory[a.name] for a in program.arrays.values() if a.role == "out"}


def run_together(
    program: Program,
    arithmetic: Arithmetic,
    inputs: Mapping[str, Any],
    sizes: Mapping[str, int],
    threads: int,
    last_first: bool = False,
) -> dict[str, Any]:
    """Execute a program for several threads, one after another between the places where they meet.

    Parameters
    ----------
    threads : int
        How many do it together; at most ``program.grains``.
    last_first : bool
        Whether the last thread is the first to go on from such a place.

    Raises
    ------
    ProgramError
        If what one thread writes another reads or writes before they meet again, so that it would
        matter who is first; or if they do not meet in the same places.
    """
    known = program.known({**sizes, THREADS: threads})
    memory = _memory(program, arithmetic, inputs, known, (), {})
    local = {a.name for a in program.arrays.values() if a.role == "scalar"}
    seen = [_Seen() for _ in range(threads)]
    running = []
    for thread in range(threads):
        env = program.known({**sizes, THREAD: thread, THREADS: threads})
        own = {n: a.copy() if n in local else seen[thread].in_array(n, a)
               for n, a in memory.items()}  # fmt: skip
        running.append(_Machine(program, arithmetic, own, env).until_meetings(program.body))
    while True:
        order = reversed(running) if last_first else running
        ended = [next(thread, None) is None for thread in order]
        _check_apart(seen)
        if any(ended):
            break
    if not all(ended):
        raise ProgramError(f"program {program.name!r}: not all threads meet in the same places")
    return {a.name: memory[a.name] for a in program.arrays.values() if a.role == "out"}


class _Seen:
    """The elements that a thread has read and written since it last met the others."""

    def __init__(self) -> None:
        self.read: set[Any] = set()
        self.written: set[Any] = set()

    def in_array(self, name: str, array: Any) -> Any:
        """An array that tells of what is done to it."""
        return array if isinstance(array, list) else _Told(self, name, array)


class _Told:
    def __init__(self, seen: _Seen, name: str, array: Any) -> None:
        self.seen, self.name, self.array = seen, name, array

    def __getitem__(self, index: Any) -> Any:
        self.seen.read.add((self.name, index))
        return self.array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.seen.written.add((self.name, index))
        self.array[index] = value


def _check_apart(seen: list[_Seen]) -> None:
    for one in seen:
        for other in seen:
            both = one.written & (other.read | other.written) if one is not other else set()
            if both:
                name, index = min(both)
                raise ProgramError(
                    f"{name}{list(index)}: written by thread {seen.index(one)}, and thread "
                    f"{seen.index(other)} has to do with it before they meet"
                )
    for thread in seen:
        thread.read.clear()
        thread.written.clear()


def _memory(
    program: Program,
    arithmetic: Arithmetic,
    inputs: Mapping[str, Any],
    env: Mapping[str, int],
    lanes: tuple[int, ...],
    state: dict[str, Any],
) -> dict[str, Any]:
    """All arrays before a program begins; states that are not there yet are added."""
    zero = arithmetic.number(sympy.Integer(0))
    memory: dict[str, Any] = {}
    for a in program.arrays.values():
        if a.role == "in" and (a.name in inputs or a.name != "history"):
            memory[a.name] = inputs[a.name]
        elif a.role == "state" and a.name in state:
            memory[a.name] = state[a.name]
        elif a.role == "const":
            memory[a.name] = [_exactly(v, arithmetic) for v in a.values]
        else:
            shape = tuple(evaluate(e, env, program.tables) for e in a.shape)
            extra = lanes if a.batched else ()
            dtype = np.float64 if a.wide and arithmetic.dtype == np.float32 else arithmetic.dtype
            memory[a.name] = np.full(shape + extra, zero, dtype=dtype)
            if a.role == "state":
                state[a.name] = memory[a.name]
    return memory


def _exactly(value: float, arithmetic: Arithmetic) -> Any:
    return arithmetic.number(sympy.Rational(float(value)))


class _Machine:
    """Closures for each statement, made once, so that a loop costs only its work."""

    def __init__(self, program: Program, arithmetic: Arithmetic, memory: Any, env: Any) -> None:
        self.tables = {k: v.tolist() for k, v in program.tables.items()}
        self.arithmetic = arithmetic
        self.memory = memory
        self.env = env
        self.expressions: dict[Any, Callable[[Values], Any]] = {}
        self.actions: dict[int, Callable[[], None]] = {}

    def execute(self, body: tuple[Statement, ...]) -> None:
        for action in [self.statement(s) for s in body]:
            action()

    def until_meetings(self, body: tuple[Statement, ...]) -> Iterator[Meet]:
        """Go through statements, and stop wherever threads meet."""
        for s in body:
            if isinstance(s, Meet):
                yield s
            elif isinstance(s, Loop) and any(isinstance(t, Meet) for t in walk(s.body)):
                steps = range(self.index(s.start)(), self.index(s.stop)())
                for i in reversed(steps) if s.backward else steps:
                    self.env[s.var] = i
                    yield from self.until_meetings(s.body)
            else:
                if id(s) not in self.actions:
                    self.actions[id(s)] = self.statement(s)
                self.actions[id(s)]()

    def statement(self, s: Statement) -> Callable[[], None]:
        match s:
            case Assign():
                return self.assignment(s)
            case Loop():
                actions = [self.statement(inner) for inner in s.body]
                start, stop = self.index(s.start), self.index(s.stop)
                env, var, backward = self.env, s.var, s.backward

                def loop() -> None:
                    steps = range(start(), stop())
                    for i in reversed(steps) if backward else steps:
                        env[var] = i
                        for action in actions:
                            action()

                return loop
        return lambda: None

    def assignment(self, s: Assign) -> Callable[[], None]:
        symbols = tuple(v for v, _ in s.reads)
        key = (s.expr, symbols)
        if key not in self.expressions:
            self.expressions[key] = compiled(s.expr, symbols, self.arithmetic)
        value = self.expressions[key]
        reads = [self.operand(r) for _, r in s.reads]
        array = self.memory[s.target.array]
        at = self.place(s.target)
        if s.accumulate:

            def accumulate() -> None:
                i = at()
                array[i] = array[i] + value(tuple(r() for r in reads))

            return accumulate

        def assign() -> None:
            array[at()] = value(tuple(r() for r in reads))

        return assign

    def operand(self, r: Ref | float) -> Callable[[], Any]:
        if not isinstance(r, Ref):
            constant = _exactly(r, self.arithmetic)
            return lambda: constant
        array, at = self.memory[r.array], self.place(r)
        if isinstance(array, list):
            return lambda: array[at()[0]]
        return lambda: array[at()]

    def place(self, r: Ref) -> Callable[[], tuple[int, ...]]:
        parts = [self.index(i) for i in r.index]
        if not parts:
            return lambda: ()
        if len(parts) == 1:
            (only,) = parts
            return lambda: (only(),)
        return lambda: tuple([p() for p in parts])

    def index(self, i: Any) -> Callable[[], int]:
        env = self.env
        match i:
            case int():
                return lambda: i
            case Var(name):
                return lambda: env[name]
            case Lookup(table, at):
                values, where = self.tables[table], self.index(at)
                return lambda: values[where()]
            case Plus(left, right):
                a, b = self.index(left), self.index(right)
                return lambda: a() + b()
            case Times(left, right):
                a, b = self.index(left), self.index(right)
                return lambda: a() * b()
            case Modulo(left, size):
                a = self.index(left)
                return lambda: a() % size
            case Quotient(left, right):
                a, b = self.index(left), self.index(right)
                return lambda: a() // b()
            case Root(left):
                a = self.index(left)
                return lambda: square_root(a())
            case Least(left, right):
                a, b = self.index(left), self.index(right)
                return lambda: min(a(), b())
            case Most(left, right):
                a, b = self.index(left), self.index(right)
                return lambda: max(a(), b())
        raise ProgramError(f"not an index: {i!r}")
