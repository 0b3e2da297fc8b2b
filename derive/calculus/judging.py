"""An objective of several terms, or one that pools, in index form.

Each term has the units it is over: T₁(t) where the mask says that there is a target, U₁ whatever it
says, Θ₁ the learned parameters. A pool is a sum, or the largest, over U₁; errors pass through the
sums in the reverse of the order they are stated in, as through the intermediates of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Expr, IndexedBase, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.form import BARE, OWN, Form
from derive.calculus.indexed import J, Largest, Pool, Slope, Total, a, collapse, k, l, t, tau
from derive.calculus.learned import Learned
from derive.calculus.partials import DESIRED, OUTPUT, PARAMETER, Injection, injected, penalty
from derive.calculus.steps import Sheet
from derive.network.objective import Term

TAKEN = OWN | BARE | frozenset("pGhqrz")
"""Letters that stand for something else: a constant or a pool of that name gets a prime."""


@dataclass(frozen=True, eq=False)
class Judged:
    """One term, its number, and what marks its letters: nothing where it is alone."""

    term: Term
    number: str
    mark: str

    def member(self, unit: Expr) -> Expr:
        """1 for the units that the term counts at time t, else 0."""
        if self.term.over == "targets":
            return self.there[unit, t]
        return self.among(unit)

    @property
    def there(self) -> IndexedBase:
        """The units that have a target, by time."""
        return IndexedBase(f"T{self.number}", integer=True)

    def among(self, unit: Expr) -> Expr:
        """1 for all units of the term; for a term over all units of the network 1 anyway."""
        if self.term.units is None and self.term.over == "units":
            return sympy.S.One
        letter = "Θ" if self.term.over == "parameters" else "U"
        return IndexedBase(f"{letter}{self.number}", integer=True)[unit]

    def letter(self, name: str) -> str:
        """How a constant or a pool is written; that of a later term is told from an earlier's."""
        return (name + "′" if name in TAKEN else name) + self.mark

    def pool(self, symbol: Symbol) -> Expr:
        """A pool at time t."""
        return Pool(Symbol(self.letter(symbol.name), real=True), t)

    def at(self, expr: Expr, form: Form, unit: Symbol) -> Expr:
        """An expression of the term, for a unit at time t."""
        places = {DESIRED: ix.d[unit, t], OUTPUT: form.output[unit, t]}
        places |= {p.symbol: self.pool(p.symbol) for p in self.term.pools}
        return expr.xreplace({**places, **self.constants(unit)})

    def of(self, expr: Expr, parameter: Expr) -> Expr:
        """An expression of a term over parameters, for one of them."""
        return expr.xreplace({PARAMETER: parameter, **self.constants(a)})

    def constants(self, unit: Symbol) -> dict[Symbol, Expr]:
        """Its constants: a letter, with an index where they differ between units."""
        found = {}
        for name, value in self.term.constants.items():
            written = self.letter(name)
            differ = isinstance(value, tuple)
            found[Symbol(name, real=True)] = (
                ix.signal(written)[unit] if differ else Symbol(written, real=True)
            )
        return found


def judged(form: Form) -> list[Judged]:
    """The terms of a network's objective."""
    terms = form.net.objective.terms
    numbers = "₀₁₂₃₄₅₆₇₈₉"
    marks = ["".join(numbers[int(c)] for c in str(i + 1)) for i in range(len(terms))]
    alone = len(terms) == 1
    return [Judged(v, m, "" if alone else m) for v, m in zip(terms, marks, strict=True)]


def is_plain(form: Form) -> bool:
    """Whether the objective is one term with targets and nothing else to say."""
    terms = form.net.objective.terms
    return len(terms) == 1 and not terms[0].pools and not terms[0].constants


def state_terms(sheet: Sheet) -> None:
    """Pools, J, what is summed of it, and e as its derivative."""
    form = sheet.form
    terms = [(v, injected(v.term)) for v in judged(form) if v.term.over != "parameters"]
    for v, found in terms:
        _state_pools(sheet, v, found)
    total = [_summed(v, v.at(found.expr, form, k)) for v, found in terms]
    total += [_over_parameters(v) for v in judged(form) if v.term.over == "parameters"]
    stated = sheet.add("J", J(t), sympy.Add(*total), "stated; J is maximised")
    sheet.numbers["judged"] = stated
    if isinstance(sheet.horizon.of, Total):
        of_steps = Sum(J(tau), (tau, *sheet.horizon.errors))
        sheet.numbers["judged"] = sheet.add("J_total", sheet.horizon.of, of_steps, "definition")
    sheet.part = "error"
    for v, found in terms:
        _through_pools(sheet, v, found, stated)
    by = form.output[k, t]
    sheet.add("e", ix.e[k, t], Slope(J(t), by), "definition: the error of unit k", "k∈U")
    error = sympy.Add(*(part for v, found in terms for part in _errors(form, v, found)))
    rule = f"derivative of ({stated}); the Kronecker delta collapses its sums"
    through = [sheet.numbers[name] for v, found in terms for name in _pooled(v, found)]
    rule += f", and through ({'), ('.join(map(str, through))})" if through else ""
    sheet.add("e", ix.e[k, t], error, rule, "k∈U")


def _summed(v: Judged, term: Expr) -> Expr:
    scale, rest = term.as_coeff_Mul()
    return scale * Sum(v.member(k) * rest, (k, *ix.UNITS))


def _over_parameters(v: Judged) -> Expr:
    scale, rest = v.of(penalty(v.term).expr, THETA[a]).as_coeff_Mul()
    return scale * Sum(v.among(a) * rest, (a, 0, ix.n - 1))


THETA = ix.signal("θ")


def _state_pools(sheet: Sheet, v: Judged, found: Injection) -> None:
    form = sheet.form
    for p in found.pools:
        share = v.at(p.expr, form, l)
        name = f"pool_{v.letter(p.symbol.name)}"
        if p.shifts:
            rule = "stated: of all units of the term, whatever the mask; it only shifts, J does "
            rule += "not depend on it"
            right = Largest(share, v.among(l), l)
        else:
            rule = "stated: over all units of the term, whatever the mask"
            right = Sum(v.among(l) * share, (l, *ix.UNITS))
        sheet.add(name, v.pool(p.symbol), right, rule)


def _pooled(v: Judged, found: Injection) -> list[str]:
    """The names of the steps that give J's derivative by each sum."""
    return [f"by_pool_{v.letter(p.symbol.name)}" for p in found.pools if not p.shifts]


def _through_pools(sheet: Sheet, v: Judged, found: Injection, stated: int) -> None:
    """J's derivative by each sum, last first: through the terms, and through later sums."""
    form = sheet.form
    sums = [p for p in found.pools if not p.shifts]
    for p in reversed(sums):
        right = sympy.S.Zero
        if p.symbol in found.by_pool:
            right += _summed(v, v.at(found.by_pool[p.symbol], form, k))
        used = [stated]
        for later in sums:
            if p.symbol in later.by_pool:
                share = v.at(later.by_pool[p.symbol], form, l)
                slope = Slope(J(t), v.pool(later.symbol))
                right += slope * Sum(v.among(l) * share, (l, *ix.UNITS))
                used.append(sheet.numbers[f"pool_{v.letter(later.symbol.name)}"])
        rule = f"chain rule over everything it enters: ({'), ('.join(map(str, used))})"
        name = f"by_pool_{v.letter(p.symbol.name)}"
        sheet.add(name, Slope(J(t), v.pool(p.symbol)), right, rule)


ASIDE = IndexedBase("aside")


def _errors(form: Form, v: Judged, found: Injection) -> list[Expr]:
    """What a term adds to e_k(t): of itself where it counts, and through its sums."""
    slope = form.output[l, t].diff(form.output[k, t])
    parts = [(v.member, v.at(found.error, form, k))]
    for p in found.pools:
        if p.by_output is not None:
            parts.append((v.among, Slope(J(t), v.pool(p.symbol)) * v.at(p.by_output, form, k)))
    out = []
    for member, error in parts:
        if error == 0:
            continue
        one = member(k)
        # A sum would take the cases of an error apart, so it stands aside while the sum collapses.
        direct = collapse(Sum(member(l) * ASIDE[l] * slope, (l, *ix.UNITS)), l)
        direct = direct.xreplace({one: sympy.S.One, ASIDE[k]: error})
        # Where it counts the membership is 1, elsewhere 0 takes the whole expression away.
        cases = ((direct, sympy.Eq(one, 1)), (0, True))
        out.append(direct if one == 1 else sympy.Piecewise(*cases, evaluate=False))
    return out


# --- terms in what is learned --------------------------------------------------------------------


def by_itself(sheet: Sheet, theta: Learned) -> Expr:
    """What terms of J in θ add to the gradient by it: once for each step whose errors count.

    For weights that several connections share see :func:`by_itself_shared`.
    """
    if theta.net_input is not None and _shares(sheet):
        return sympy.S.Zero
    name = "w" if theta.symbol is None else theta.symbol.name
    return _each_step(sheet, name, theta.by)


def by_itself_shared(sheet: Sheet) -> Expr:
    """The same for a weight that several connections share: it counts once."""
    return _each_step(sheet, "w", THETA[a]) if _shares(sheet) else sympy.S.Zero


def _each_step(sheet: Sheet, name: str, parameter: Expr) -> Expr:
    slopes = sympy.Add(
        *(
            v.of(penalty(v.term).slope, parameter)
            for v in judged(sheet.form)
            if name in v.term.names
        )
    )
    since, until = sheet.horizon.errors
    if slopes == 0 or since == until:
        return slopes
    return Sum(slopes, (tau, since, until))


def _shares(sheet: Sheet) -> bool:
    wiring = sheet.form.net.wiring
    return bool(wiring.weights + len(wiring.fixed) != wiring.size)


def said_of_terms(form: Form) -> list[str]:
    """What the letters of the objective mean."""
    if is_plain(form):
        return []
    said = []
    for v in judged(form):
        units, number = v.term.units, v.number
        if v.term.over == "parameters":
            said.append(f"Θ{number}: the learned {', '.join(v.term.names)}.")
        elif units is not None:
            listed = ", ".join(map(str, units[:8])) + ", …" * (len(units) > 8)
            one = f"U{number}: the units {listed}"
            if v.term.over == "targets":
                one += f"; T{number}(t): those of them with a target at t"
            said.append(one + ".")
        for name, value in v.term.constants.items():
            if not isinstance(value, tuple):
                said.append(f"{v.letter(name)} = {value!r}.")
    return said
