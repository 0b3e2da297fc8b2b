"""Whether an expression is exactly zero: transcendental subterms become atoms, the rest expands.

An expression is read bottom up into a polynomial with rational coefficients. tanh(S), exp(S), … is
one indeterminate per value of S, where S is itself such a polynomial, so that two ways to write S
are one atom. Divisions and roots are atoms with a relation (v·b = 1, r^q = b), conditions are atoms
with c² = c. A difference that reduces to the empty polynomial is zero as a function; a difference
that does not may still be zero, and is then for numbers to decide. SymPy's own ``expand`` does the
same on trees, in which a value that is used twice stands twice; here it is read once.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import sympy
from sympy import Expr
from sympy.core.relational import Relational

from derive.functions import Defined, greatest, relu, step

Number = int | Fraction
Polynomial = dict[int, Number]
"""Monomial to coefficient. A monomial is a whole number: BITS bits of exponent for each atom."""

BITS = 12
LOW = (1 << BITS) - 1

MOST = 20_000
"""Terms of one polynomial beyond which numbers decide instead."""

LONGEST_NAMED = 60
"""Terms of a polynomial beyond which it gets no name."""

WORK = 2_000_000
"""Products of terms one algebra may spend; what is left then is for numbers to decide."""

ODD = (sympy.tanh, sympy.sinh, sympy.sin, sympy.tan, sympy.asin, sympy.atan, sympy.asinh,
       sympy.atanh, sympy.erf, sympy.sign)  # fmt: skip
EVEN = (sympy.cosh, sympy.cos, sympy.Abs)


def add(a: Polynomial, b: Polynomial, factor: Number = 1) -> Polynomial:
    """a + factor·b."""
    return accumulate(dict(a), b, factor)


def accumulate(total: Polynomial, b: Polynomial, factor: Number = 1) -> Polynomial:
    """total += factor·b, in place."""
    for m, c in b.items():
        new = total.get(m, 0) + factor * c
        if new:
            total[m] = new
        else:
            total.pop(m, None)
    return total


class TooManyTerms(ArithmeticError):
    """A polynomial grew beyond MOST terms; whoever asked must decide by numbers."""


class Algebra:
    """The atoms met so far, and the expressions read in them."""

    def __init__(self) -> None:
        self.atoms: dict[Any, int] = {}
        self.inverses: dict[int, tuple[int, Polynomial]] = {}  # v → L of b, what v·L is
        self.abbreviated: dict[int, Polynomial] = {}  # v → the name of what v·L is
        self.roots: dict[int, tuple[int, Polynomial]] = {}  # r → q, b
        self.crossed: dict[int, tuple[int, Polynomial]] = {}  # v → 1/E, what v/E is
        self.gates: dict[int, int] = {}  # max(p, 0) → its flag [p > 0], which it absorbs
        self.binary: set[int] = set()
        self.nonzero: set[int] = set()
        self.special = 0  # the bits of a monomial by which some relation may apply to it
        self.positive: dict[Any, Polynomial] = {}  # max(p, 0) → whether p > 0
        self.seen: dict[Expr, Polynomial] = {}
        self.large: set[Expr] = set()
        self.work = 0
        self.shifts: set[int] = set()  # the largest of several, as a monomial
        self.logarithms: dict[int, Polynomial] = {}  # exp(c), 1/exp(c) for these → ±c
        self.meanings: list[Callable[[Expr], Expr | None]] = []  # what a symbol stands for
        self.names: dict[Any, Polynomial] = {}  # key of a polynomial, in full → its name, an atom
        self.definitions: dict[int, Polynomial] = {}  # name → the polynomial, in full
        self.abbreviations: set[int] = set()  # names that are not used inside of functions
        self.longest = 0  # terms of a polynomial that may have a name
        self.called: dict[Any, Polynomial] = {}  # key of a short polynomial → it by its name
        self.naming = False  # whether factors get names as they are read

    # --- reading ------------------------------------------------------------------------------

    def read(self, e: Any) -> Polynomial:
        """The polynomial an expression stands for."""
        found = self.seen.get(e)
        if found is None:
            if e in self.large:
                raise TooManyTerms
            try:
                found = self._read(e)
            except TooManyTerms:
                self.large.add(e)
                raise
            found = self.seen[e] = self.known(found)
            if len(found) > MOST:
                self.large.add(e)
                raise TooManyTerms
        return found

    def _read(self, e: Any) -> Polynomial:
        if e.is_Rational:
            value = Fraction(int(e.p), int(e.q))
            return _constant(int(value) if value.denominator == 1 else value)
        if e.is_Float:
            return _constant(Fraction(float(e)))
        if e.is_Symbol:
            stands_for = next((v for m in self.meanings if (v := m(e)) is not None), None)
            if stands_for is not None:
                return self.read(stands_for)
        if e.is_Symbol or e.is_NumberSymbol:
            return self.atom(("symbol", e))
        if isinstance(e, sympy.Add):
            total: Polynomial = {}
            for a in e.args:
                accumulate(total, self.read(a))
            self.work += len(total)
            return total
        if isinstance(e, sympy.Mul):
            product: Polynomial = {0: 1}
            for a in e.args:
                product = self.multiply(product, self._factor(a))
            return self.reduced(product)
        if isinstance(e, sympy.Pow):
            if e.exp.is_Rational:
                return self.rational_power(self._factor(e.base), int(e.exp.p), int(e.exp.q))
            return self.any_power(self.read(e.base), self.read(e.exp))
        if isinstance(e, sympy.Piecewise):
            return self._piecewise(e)
        if isinstance(e, sympy.DiracDelta):
            return {}  # the slope of a step, by the convention at corners
        if isinstance(e, Defined) and not isinstance(e, (step, relu)):
            return self.read(e.definition(e.args[0]))
        return self.applied(type(e), [self.read(a) for a in e.args])

    def applied(self, function: type, args: list[Polynomial]) -> Polynomial:
        """A function's value; the function is none that is given by a definition in others."""
        args = [self.written_out(a) for a in args]
        if all(a.keys() <= {0} for a in args):
            value = function(*(sympy.Rational(a.get(0, 0)) for a in args))
            if not isinstance(value, function):  # tanh(0) = 0
                return self.read(value)
        if function is sympy.exp:
            return self._exponential(args[0])
        if function is sympy.log:
            return self._logarithm(args[0])
        if function in (step, sympy.Heaviside):
            return self.is_positive(args[0])
        if function is relu:
            return self._gated(args[0])
        if function in (*ODD, *EVEN) and args[0] and args[0][max(args[0])] < 0:
            flipped = self.atom((function.__name__, _key(_times(args[0], -1))))
            return _times(flipped, -1) if function in ODD else flipped
        keys = [_key(a) for a in args]
        if function in (sympy.Max, sympy.Min):
            keys.sort(key=repr)
        found = self.atom((function.__name__, *keys))
        if function is greatest:
            self.shifts |= found.keys()
        return found

    def _factor(self, e: Expr) -> Polynomial:
        p = self.read(e)
        return self.name(e, p, short=True) if self.naming and isinstance(e, sympy.Add) else p

    # --- names --------------------------------------------------------------------------------

    def call(self, symbol: Expr, short: bool = False) -> None:
        """Give what a symbol stands for its name, and the sums that are factors in it theirs."""
        self.naming = True
        try:
            self.seen[symbol] = self.name(symbol, self.read(symbol), short)
        except TooManyTerms:
            pass
        finally:
            self.naming = False

    def name(self, what: Expr, p: Polynomial, short: bool = False) -> Polynomial:
        """Give p a name, by which it is called wherever it comes up again.

        Parameters
        ----------
        short : bool
            Whether it is only an abbreviation, written out again inside of functions: their
            arguments may be computed with it or without it.
        """
        if len(p) < 2 or len(p) > LONGEST_NAMED:
            return p
        full, _ = _primitive(self.written_out(p))
        key = _key(full)
        if key not in self.names:
            name = self.names[key] = self.atom(("name", what))
            self.definitions[_number(name)] = full
            self.longest = max(self.longest, len(full))
            self.called.clear()
            if short:
                self.abbreviations.add(_number(name))
        return self.known(p)

    def known(self, p: Polynomial) -> Polynomial:
        """The name of p times a number, where it has one, else p."""
        if not self.longest or len(p) > self.longest:
            return p
        key = _key(p)
        if key not in self.called:
            full, scale = _primitive(self.written_out(p))
            name = self.names.get(_key(full))
            found = p if name is None else _times(name, scale)
            self.called[key] = found
        return self.called[key]

    def checked(self, p: Polynomial) -> Polynomial:
        """p by its name where it has one; with more than MOST terms it is too large."""
        if len(p) > MOST:
            raise TooManyTerms
        return self.known(p)

    def written_out(self, p: Polynomial) -> Polynomial:
        """p without abbreviations."""
        if self.abbreviations:
            for number in sorted(self.abbreviations & self._in(p), reverse=True):
                p = self.without_name(p, number)
        return p

    def without_name(self, p: Polynomial, number: int) -> Polynomial:
        """p with the definition of one name in its place."""
        by_degree: dict[int, Polynomial] = {}
        for m, c in p.items():
            degree = (m >> (BITS * number)) & LOW
            by_degree.setdefault(degree, {})[m - (degree << (BITS * number))] = c
        total = by_degree.pop(0, {})
        for degree, part in by_degree.items():
            meant = self.power(self.definitions[number], degree)
            accumulate(total, self.multiply(part, meant))
        return self._reduced(total, {})

    def _in(self, p: Polynomial) -> set[int]:
        """The atoms of p that are names."""
        union = 0
        for m in p:
            union |= m
        return {number for number, _ in _factors(union)} & self.definitions.keys()

    def _depends(self, p: Polynomial, fields: int) -> bool:
        """Whether p has some atoms, in itself or in what names in it stand for."""
        return any(m & fields for m in p) or any(
            self._depends(self.definitions[n], fields) for n in self._in(p)
        )

    # --- arithmetic ---------------------------------------------------------------------------

    def multiply(self, a: Polynomial, b: Polynomial) -> Polynomial:
        """a·b.

        Raises
        ------
        TooManyTerms
            When the work allowed is used up.
        """
        self.work += len(a) * len(b)
        if self.work > WORK:
            raise TooManyTerms
        if len(a) > len(b):
            a, b = b, a
        total: Polynomial = {}
        for m, c in a.items():
            for n, d in b.items():
                total[m + n] = total.get(m + n, 0) + c * d
        return {m: c for m, c in total.items() if c}

    def power(self, a: Polynomial, n: int) -> Polynomial:
        """a to the n ≥ 0."""
        total: Polynomial = {0: 1}
        for _ in range(n):
            total = self.multiply(total, a)
        return total

    def atom(self, key: Any) -> Polynomial:
        """The indeterminate of a key, made when it is first asked for."""
        number = self.atoms.setdefault(key, len(self.atoms))
        if key[0] == "symbol" and key[1].is_nonzero:
            self.nonzero.add(number)
        return {1 << (BITS * number): 1}

    def rational_power(self, base: Polynomial, p: int, q: int) -> Polynomial:
        """A base to the p/q."""
        if q > 1 and base.keys() <= {0}:
            value = sympy.Rational(base.get(0, 0)) ** sympy.Rational(p, q)
            if not isinstance(value, sympy.Pow):  # √4 = 2
                return self.read(value)
        if q > 1:
            base = self._root(self.written_out(base), q)
        return self.reduced(self.power(base if p > 0 else self.inverse(base), abs(p)))

    def any_power(self, base: Polynomial, exponent: Polynomial) -> Polynomial:
        """A base to an exponent that is no number."""
        base, exponent = self.written_out(base), self.written_out(exponent)
        whole: Polynomial = {m: c for m, c in exponent.items() if m == 0 and isinstance(c, int)}
        rest = add(exponent, whole, -1)
        sign = -1 if rest[max(rest)] < 0 else 1
        part = self.atom(("power", _key(base), _key(_times(rest, sign))))
        part = part if sign > 0 else self.inverse(part)
        n = int(whole.get(0, 0))
        outer = self.power(base if n > 0 else self.inverse(base), abs(n))
        return self.reduced(self.multiply(part, outer))

    def _root(self, base: Polynomial, q: int) -> Polynomial:
        root = self.atom(("root", q, _key(base)))
        self.roots.setdefault(_number(root), (q, base))
        self.special |= LOW << (BITS * _number(root))
        return root

    def _exponential(self, p: Polynomial) -> Polynomial:
        if not p:
            return {0: 1}
        apart = {m: c for m, c in p.items() if m in self.shifts}
        if apart and len(p) > 1:
            # exp(y − c) = exp(y)·exp(−c): c is in every exponential, and goes out of their ratio.
            product = self._exponential(add(p, apart, -1))
            for m, c in apart.items():
                product = self.multiply(product, self._exponential({m: c}))
            return self.reduced(product)
        # Of exp(u) and exp(−u) whichever comes first is the atom: 1/(1 + exp(−u)) is one term.
        content = _content(p)
        part = _times(p, 1 / content)
        if ("exp", content.denominator, _key(_times(part, -1))) in self.atoms:
            content, part = -content, _times(part, -1)
        atom = self.atom(("exp", content.denominator, _key(part)))
        if apart:
            exponent = _times(part, Fraction(1, content.denominator))
            self.logarithms[_number(atom)] = exponent
            self.logarithms[_number(self.inverse(atom))] = _times(exponent, -1)
        n = content.numerator
        return self.power(atom if n > 0 else self.inverse(atom), abs(n))

    def _logarithm(self, p: Polynomial) -> Polynomial:
        """log(p), with what shifts taken out: log(q·exp(−c)) = log(q) − c."""
        shift: Polynomial = {}
        for number, value in self.logarithms.items():
            least = min(((m >> (BITS * number)) & LOW for m in p), default=0)
            if least:
                p = {m - (least << (BITS * number)): c for m, c in p.items()}
                accumulate(shift, value, least)
        return add(self.atom(("log", _key(p))), shift)

    def _gated(self, p: Polynomial) -> Polynomial:
        """max(p, 0): an atom, positive where p is."""
        if p.keys() <= {0}:
            return p if p.get(0, 0) > 0 else {}
        where = self.is_positive(p)
        value = self.atom(("gated", _key(p)))
        self.positive[_key(value)] = where
        if len(where) == 1 and 0 not in where:
            self.gates[_number(value)] = _number(where)
            self.special |= LOW << (BITS * _number(value))
        return value

    def _piecewise(self, e: sympy.Piecewise) -> Polynomial:
        if len(e.args) == 2 and e.args[1] == (sympy.S.Zero, sympy.true):
            value, condition = e.args[0]
            if isinstance(condition, sympy.StrictGreaterThan) and condition.args == (value, 0):
                return self._gated(self.read(value))
        total: Polynomial = {}
        left: Polynomial = {0: 1}
        for value, condition in e.args:
            here = self.multiply(left, self.truth(condition))
            accumulate(total, self.multiply(here, self.read(value)))
            left = self.reduced(add(left, here, -1))
        return self.reduced(total)

    def truth(self, condition: Any) -> Polynomial:
        """1 where a condition holds, else 0."""
        if condition in (sympy.true, sympy.false):
            return _constant(int(bool(condition)))
        if isinstance(condition, sympy.Not):
            return add({0: 1}, self.truth(condition.args[0]), -1)
        if isinstance(condition, (sympy.And, sympy.Or)):
            either = isinstance(condition, sympy.Or)
            product: Polynomial = {0: 1}
            for a in condition.args:
                one = self.truth(a)
                product = self.multiply(product, add({0: 1}, one, -1) if either else one)
            return add({0: 1}, product, -1) if either else product
        if not isinstance(condition, Relational):
            return self._flag(("truth", condition))
        p = add(self.read(condition.lhs), self.read(condition.rhs), -1)
        return self.holds(type(condition), p)

    def holds(self, relation: type, p: Polynomial) -> Polynomial:
        """1 where p stands in a relation to 0, else 0."""
        p = self.written_out(p)
        if relation is sympy.StrictGreaterThan:
            return self.is_positive(p)
        if relation is sympy.StrictLessThan:
            return self.is_positive(_times(p, -1))
        if relation is sympy.LessThan:
            return add({0: 1}, self.is_positive(p), -1)
        if relation is sympy.GreaterThan:
            return add({0: 1}, self.is_positive(_times(p, -1)), -1)
        if p and p[max(p)] < 0:
            p = _times(p, -1)
        known = p.keys() <= {0} or self._is_product_of_nonzero(p)
        equal = _constant(int(not p)) if known else self._flag(("zero", _key(p)))
        return equal if relation is sympy.Eq else add({0: 1}, equal, -1)

    def _is_product_of_nonzero(self, p: Polynomial) -> bool:
        return len(p) == 1 and all(n in self.nonzero for n, _ in _factors(next(iter(p))))

    def is_positive(self, p: Polynomial) -> Polynomial:
        """1 where p > 0, else 0."""
        if p.keys() <= {0}:
            return _constant(int(p.get(0, 0) > 0))
        known = self.positive.get(_key(p))
        if known is not None:
            return known
        # The sign does not change with a positive factor.
        return self._flag(("positive", _key(_times(p, 1 / _content(p)))))

    def _flag(self, key: Any) -> Polynomial:
        flag = self.atom(key)
        self.binary.add(_number(flag))
        self.special |= (LOW - 1) << (BITS * _number(flag))
        return flag

    def inverse(self, b: Polynomial) -> Polynomial:
        """1/b: for a single term factor by factor, else an atom with its relation."""
        if not b:
            raise ZeroDivisionError("an expression divides by zero")
        b = self.written_out(b)
        if len(b) == 1:
            ((m, c),) = b.items()
            value: Polynomial = {0: Fraction(1) / c}
            for number, exponent in _factors(m):
                value = self.multiply(value, self.power(self._inverse_of_atom(number), exponent))
            return value
        # Inverses inside b are cleared first, so that 1/(1 + 1/E) and E/(E + 1) are one.
        outer: Polynomial = {0: 1}
        for number, (leading, rest) in list(self.inverses.items()):
            degree = max((m >> (BITS * number)) & LOW for m in b)
            if degree and rest == {0: 1}:
                outer = {m + degree * leading: c for m, c in outer.items()}
                b = self.reduced({m + degree * leading: c for m, c in b.items()})
        content = _content(b) * (-1 if b[max(b)] < 0 else 1)
        b = _times(b, 1 / content)
        v = self.atom(("inverse", _key(b)))
        if _number(v) not in self.inverses:
            leading = max(b, key=lambda m: (sum(e for _, e in _factors(m)), m))
            rest = {m: c for m, c in b.items() if m != leading}
            scale = Fraction(1) / b[leading]
            relation = add({0: scale}, self.multiply(v, rest), -scale)
            self.inverses[_number(v)] = (leading, relation)
            if self.naming and set(rest) == {0}:
                of = sympy.Symbol(f"complement of {_number(v)}")
                self.abbreviated[_number(v)] = self.name(of, relation, short=True)
            self.special |= _last(leading)
            if set(rest) == {0} and len(_factors(leading)) == 1:
                self._cross(v, leading, b)
        return self.reduced(_times(self.multiply(outer, v), 1 / content))

    def _cross(self, v: Polynomial, leading: int, b: Polynomial) -> None:
        """For b = β + c·E what v/E is, (1/E − c·v)/β: with it both ways to reduce v agree."""
        ((number, exponent),) = _factors(leading)
        if exponent > 1:
            return
        X = self._inverse_of_atom(number)
        value = _times(add(X, v, -b[leading]), Fraction(1) / b[0])
        if len(X) == 1 and next(iter(X)) != leading:
            self.crossed[_number(v)] = (next(iter(X)), value)
            self.special |= _last(next(iter(X)))

    def _inverse_of_atom(self, number: int) -> Polynomial:
        for v, (leading, rest) in self.inverses.items():
            if v == number and rest == {0: 1}:
                return {leading: 1}
        monomial = 1 << (BITS * number)
        v_ = self.atom(("inverse", frozenset({(monomial, 1)})))
        self.inverses.setdefault(_number(v_), (monomial, {0: 1}))
        self.special |= _last(monomial)
        return v_

    def without(self, p: Polynomial, symbols: list[Expr]) -> Polynomial:
        """p with some symbols set to 0."""
        fields = sum(LOW << (BITS * _number(self.read(s))) for s in symbols)
        for number in sorted(self._in(p), reverse=True):
            if self._depends(self.definitions[number], fields):
                p = self.without_name(p, number)
        return {m: c for m, c in p.items() if not m & fields}

    # --- reducing -----------------------------------------------------------------------------

    def reduced(self, p: Polynomial) -> Polynomial:
        """p with every relation between its atoms used: it equals p wherever p has a value."""
        return self._reduced(p, self.abbreviated)

    def _reduced(self, p: Polynomial, relations: dict[int, Polynomial]) -> Polynomial:
        special = self.special
        if not any(m & special for m in p):
            return p
        done: Polynomial = {}
        waiting = p
        while waiting:
            self.work += len(waiting)
            following: Polynomial = {}
            for m, c in waiting.items():
                rewritten = self._rewritten(m, relations) if m & special else None
                if rewritten is None:
                    done = _put(done, m, c)
                else:
                    for n, d in rewritten.items():
                        following = _put(following, n, c * d)
            waiting = following
            if len(waiting) + len(done) > MOST or self.work > WORK:
                raise TooManyTerms
        return done

    def _rewritten(self, m: int, relations: dict[int, Polynomial]) -> Polynomial | None:
        for number, exponent in _factors(m):
            unit = 1 << (BITS * number)
            if exponent > 1 and number in self.binary:
                return {m - (exponent - 1) * unit: 1}
            if number in self.roots and exponent >= self.roots[number][0]:
                q, b = self.roots[number]
                return {m - q * unit + n: c for n, c in b.items()}
            if number in self.inverses:
                leading, relation = self.inverses[number]
                relation = relations.get(number, relation)
                if _divides(leading, m - unit):
                    return {m - unit - leading + n: c for n, c in relation.items()}
                if number in self.crossed:
                    X, value = self.crossed[number]
                    if _divides(X, m - unit):
                        return {m - unit - X + n: c for n, c in value.items()}
            if number in self.gates:
                flag = 1 << (BITS * self.gates[number])
                if _divides(flag, m):
                    return {m - flag: 1}
        return None

    def is_zero(self, a: Polynomial, b: Polynomial) -> bool:
        """Whether a − b is certainly zero.

        What has a name is equal if it is so by name; where that is not seen names are replaced by
        what they stand for. The relations alone need not settle it (1/E and 1/(1 + E) are related
        through E), so what is left is multiplied by the denominators, those of single atoms first.
        """
        a, b = _unlike(a, b)
        while a or b:
            # Names on one side alone first, then all; of what was named last before what it holds.
            in_a, in_b = self._in(a), self._in(b)
            names = (in_a ^ in_b) or (in_a | in_b)
            if not names:
                break
            a, b = _unlike(*(self.without_name(p, max(names)) for p in (a, b)))
        p = self._reduced(add(a, b, -1), {})
        simple = [(v, L, r) for v, (L, r) in self.inverses.items() if r == {0: 1}]
        others = [(v, L, r) for v, (L, r) in self.inverses.items() if r != {0: 1}]
        for v, leading, relation in (*simple, *reversed(others)):
            if p:
                p = self._cleared(p, v, self._denominator(v, leading, relation))
        return not p

    def _denominator(self, v: int, leading: int, relation: Polynomial) -> Polynomial:
        """b, from v·L = scale − scale·v·(b − L)."""
        unit, scale = 1 << (BITS * v), relation[0]
        rest: Polynomial = {m - unit: -c / Fraction(scale) for m, c in relation.items() if m}
        return add({leading: 1}, rest)

    def _cleared(self, p: Polynomial, v: int, b: Polynomial) -> Polynomial:
        """p times the power of b that removes v."""
        degrees = {m: (m >> (BITS * v)) & LOW for m in p}
        most = max(degrees.values())
        if not most:
            return p
        powers = [self.power(b, n) for n in range(most + 1)]
        total: Polynomial = {}
        for m, c in p.items():
            plain = {m - (degrees[m] << (BITS * v)): c}
            accumulate(total, self.multiply(plain, powers[most - degrees[m]]))
        return self._reduced(total, {})


def _unlike(a: Polynomial, b: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Two polynomials without the terms they have in common."""
    return (
        {m: c for m, c in a.items() if b.get(m) != c},
        {m: c for m, c in b.items() if a.get(m) != c},
    )


def _put(p: Polynomial, m: int, c: Number) -> Polynomial:
    new = p.get(m, 0) + c
    if new:
        p[m] = new
    else:
        p.pop(m, None)
    return p


def _constant(value: Number) -> Polynomial:
    return {0: value} if value else {}


def _times(p: Polynomial, factor: Number) -> Polynomial:
    out: Polynomial = {}
    for m, c in p.items():
        product = c * factor
        if isinstance(product, Fraction) and product.denominator == 1:
            product = int(product)
        out[m] = product
    return out


def _key(p: Polynomial) -> Any:
    return frozenset(p.items())


def _number(atom: Polynomial) -> int:
    (m,) = atom
    return (m.bit_length() - 1) // BITS


def _factors(m: int) -> list[tuple[int, int]]:
    """(atom, exponent) of a monomial."""
    found = []
    while m:
        number = ((m & -m).bit_length() - 1) // BITS
        exponent = (m >> (BITS * number)) & LOW
        found.append((number, exponent))
        m -= exponent << (BITS * number)
    return found


def _last(m: int) -> int:
    """The bits of the last atom of a monomial: where they are not, the monomial is not."""
    return LOW << (BITS * ((m.bit_length() - 1) // BITS))


def _divides(a: int, b: int) -> bool:
    return all(((b >> (BITS * n)) & LOW) >= e for n, e in _factors(a))


def _primitive(p: Polynomial) -> tuple[Polynomial, Number]:
    """A polynomial with whole coefficients without a common factor, and the number to p."""
    if not p:
        return p, 1
    scale = _content(p) * (-1 if p[max(p)] < 0 else 1)
    if scale == 1:
        return p, 1
    return _times(p, 1 / scale), scale


def _content(p: Polynomial) -> Fraction:
    """The positive number whose quotient leaves whole coefficients without a common factor."""
    values = [Fraction(c) for c in p.values()]
    return Fraction(gcd(*(v.numerator for v in values)), lcm(*(v.denominator for v in values)))
