"""The adjoint in continuous time: a costate equation backwards, gradients as integrals.

Each unit's rates stand as they were stated, ẏ_k = F(y_k, s_k, parameters), and s_k(t) = Σ_l
w_kl·x_l(t). To J^total = ∫ J(t) dt is added ∫ Σ_k ε_k·(F − ẏ_k) dt, which is zero whatever ε. With

    H(t) = J(t) + Σ_k ε_k(t)·F(y_k, s_k, parameters)

it is ∫ (H − Σ ε_k·ẏ_k) dt, and the Euler–Lagrange equation says for which ε nothing is left of the
change of y (Pontryagin; for these networks Pearlmutter 1989, whose z is ε here). What stands in H
is differentiated unit by unit as for a discrete net: ``partials`` and ``adjoint`` see the rates in
place of next values.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property

import sympy
from sympy import Expr, Function, IndexedBase, Integral, Sum, Symbol
from sympy.calculus.euler import euler_equations

from derive.calculus import indexed as ix
from derive.calculus.adjoint import bar
from derive.calculus.derivation import Derivation
from derive.calculus.form import Form, Unit, form_of
from derive.calculus.gradients import shared_weights
from derive.calculus.horizon import REALTIME
from derive.calculus.indexed import Ordered, Slope, Total, collapse, i, j, k, l, t, t0, t1
from derive.calculus.learned import Learned, learned
from derive.calculus.partials import SOURCE, LocalSystem, local_system
from derive.calculus.recursion import chain, found_in, put_in, terms_of
from derive.calculus.stated import state_objective
from derive.calculus.steps import Sheet, cited
from derive.calculus.synapses import WEIGHT, synapse
from derive.calculus.typeset import DOT
from derive.errors import DerivationError
from derive.network.cell import Cell
from derive.network.network import Network

H = Function("H")(t)
SPAN = (t, t0, t1)


@dataclass(frozen=True, eq=False)
class Flow(Unit):
    """One distinct cell in index form at time t; its first ``rates`` states have a rate."""

    rates: int = 1

    @property
    def moving(self) -> tuple[Symbol, ...]:
        """The states that have a rate."""
        return self.local.old[: self.rates]

    @cached_property
    def places(self) -> dict[Symbol, Expr]:
        """Each of the cell's symbols, and each bar symbol, at unit k and time t."""
        at = {v: p.xreplace({ix.tau: t, ix.tau - 1: t}) for v, p in super().places.items()}
        for y, z in zip(self.moving, self.local.new, strict=False):
            at[z] = dotted(at[y].base)[k, t]
        return at


def dotted(base: IndexedBase) -> IndexedBase:
    """The rate of an indexed quantity."""
    name = str(base.label)
    return ix.signal(name[0] + DOT + name[1:])


@cache
def costate_sign() -> Expr:
    """c in ε̇ = c·∂H/∂y: the Euler–Lagrange equation of H − ε·ẏ, solved for ε̇."""
    j_, f = Function("j"), Function("f")
    time = Symbol("t")
    y, z = Function("y")(time), Function("z")(time)
    hamiltonian = j_(y) + z * f(y)
    (stationary,) = euler_equations(hamiltonian - z * y.diff(time), [y], [time])
    (rate,) = sympy.solve(stationary, z.diff(time))
    return sympy.cancel(rate.doit() / hamiltonian.diff(y))


# --- the network as it was before it was discretised -----------------------------------------


def undiscretized(net: Network) -> Network:
    """The same network with each cell's rates in place of its update.

    Raises
    ------
    DerivationError
        For a cell that was not stated by rates, a delay other than 1, which is what a step of time
        becomes, or an output that is read from a net input.
    """
    cells: list[Cell] = []
    for c in net.cells:
        if c.discretized is None:
            raise DerivationError(
                f"continuous adjoint: cell {c.name!r} states its next value, not a rate; make it "
                "with derive.discretize, or with [cell.rates] in a spec"
            )
        continuous = c.discretized.continuous
        local = local_system(continuous.stated)
        for z in local.new[len(continuous.rates) :]:
            if loop := sorted(str(s) for s in _read_by(local, z) & set(local.net_inputs)):
                raise DerivationError(
                    f"continuous adjoint: readout {z.name[:-1]!r} of cell {c.name!r} depends on "
                    f"net input {loop[0]!r} at the same time; read it from the states"
                )
        stated = continuous.stated
        if stated.name != c.name:  # a network may call its cells otherwise
            stated = copy.copy(stated)
            stated.name = c.name
        cells.append(stated)
    told = [(c, s) for c in net.cells for s in c.ports if not s.is_plain]
    if told or len(net.wiring.fixed):
        culprit = "a connection's weight is fixed"
        if told:
            culprit = f"net input {told[0][1].name!r} of cell {told[0][0].name!r} is told otherwise"
        raise DerivationError(
            f"continuous adjoint: {culprit}; it takes net inputs that are sums of learnt weights "
            "times outputs"
        )
    longer = sorted({int(v) for v in net.wiring.delay if v != 1})
    if longer:
        raise DerivationError(
            f"continuous adjoint: there is a connection of delay {longer[-1]}; it takes delays of "
            "one step, which vanish with Δt"
        )
    found = copy.copy(net)
    found.cells = tuple(cells)
    return found


def _read_by(local: LocalSystem, z: Symbol) -> set[Symbol]:
    """Everything that an equation reads, directly or by what is computed for it."""
    needed = {z}
    for e in reversed(local.equations):
        if e.symbol in needed:
            needed |= e.expr.free_symbols
    return needed


def _form(net: Network) -> Form:
    form = form_of(undiscretized(net))
    flows = tuple(
        Flow(
            **{f.name: getattr(u, f.name) for f in fields(Unit)},
            rates=len(c.discretized.continuous.rates) if c.discretized else 0,
        )
        for u, c in zip(form.units, net.cells, strict=True)
    )
    return replace(form, units=flows)


# --- the derivation --------------------------------------------------------------------------


def continuous_derivation(net: Network) -> Derivation:
    """Derive the costate equation and the gradients of a network in continuous time.

    Parameters
    ----------
    net : Network
        Of cells that :func:`derive.discretize` made; Δt and the scheme play no part.

    Returns
    -------
    Derivation
        ``d["eps"]`` is the costate equation, ``d["gradient_w"]`` the gradient by a weight,
        ``d["gradient_tau"]`` that by a parameter.

    Raises
    ------
    DerivationError
        As :func:`undiscretized`.
    """
    sheet = Sheet(_form(net), REALTIME)
    _state(sheet)
    _connections(sheet)
    for u in _flows(sheet):
        _net_inputs(sheet, u)
    for u in _flows(sheet):
        _costates(sheet, u)
    for theta in learned(sheet.form):
        _gradient(sheet, theta)
    shared_weights(sheet)
    kept: dict[Expr, None] = {ix.x[l, t]: None}
    for u in _flows(sheet):
        kept |= {u.places[y]: None for y in u.moving if y != u.output}
        kept |= {u.places[v]: None for v in u.adjoint.remembered}
    return Derivation(
        net.name,
        "continuous adjoint",
        tuple(sheet.steps),
        tuple(kept),
        (
            "U: the units; I: the input lines; T(t): the units with a target at t; ∂⁺: through "
            "everything of the same time t.",
            "ε is the costate, δ what it gives a net input; a dot is a derivative by t.",
            *(f"{new} is the cell's {old}." for u in sheet.form.units
              for old, new in sorted(u.renamed.items())),
        ),
        "the adjoint in continuous time",
        "The way back reads",
    )  # fmt: skip


def _flows(sheet: Sheet) -> list[Flow]:
    return [u for u in sheet.form.units if isinstance(u, Flow)]


def _weighted(form: Form, weights: IndexedBase, unit: Symbol, over: Symbol) -> Sum:
    """Σ over sources of what each connection adds to a net input, at the same time."""
    carried = {WEIGHT: weights[unit, over], SOURCE: ix.x[over, t]}
    return Sum(synapse().expr.xreplace(carried), (over, *form.sources))


def _state(sheet: Sheet) -> None:
    """The sums, rates and readouts, the objective, and H."""
    form = sheet.form
    for name, port in form.net_inputs.items():
        s, w = port.s, port.w
        rule = "stated: the sum over the connections into k"
        right = _weighted(form, w, k, l)
        sheet.numbers["s", name] = sheet.add(name, s[k, t], right, rule, "k∈U")
    added: list[Expr] = []
    for u in _flows(sheet):
        for v in u.local.equations:
            inner = v.symbol in u.local.inner
            named = inner and v.symbol.name not in u.cell.intermediates
            rule = "stated; named, since both directions need it" if named else "stated"
            name = u.name(u.names[v.symbol])
            number = sheet.add(name, u.places[v.symbol], u.lift(v.expr), rule, u.where)
            sheet.numbers[u, v.symbol] = number
        output = u.places[u.output]
        rule = "definition: x is the outputs and the inputs"
        sheet.add(u.name("x"), ix.x[k, t], output, rule, u.where)
        rates = zip(u.moving, u.local.new, strict=False)
        added.append(
            Sum(sympy.Add(*(u.eps(y)[k, t] * u.places[z] for y, z in rates)), (k, *u.domain))
        )
    state_objective(sheet)
    total = Integral(ix.J(t), SPAN)
    sheet.numbers["judged"] = sheet.add("J_total", Total(t0, t1), total, "definition")
    sheet.horizon = replace(sheet.horizon, of=Total(t0, t1))
    rule = "definition: J(t), and each rate times its costate"
    sheet.add("H", H, ix.J(t) + sympy.Add(*added), rule)


def _connections(sheet: Sheet) -> None:
    """∂s/∂x and ∂s/∂w."""
    form = sheet.form
    for name, port in form.net_inputs.items():
        s, w = port.s, port.w
        stated = sheet.numbers["s", name]
        for key, raw, left in (
            (f"d{name}_dx", _weighted(form, w, l, j).diff(ix.x[k, t]), Slope(s[l, t], ix.x[k, t])),
            (f"d{name}_dw", _weighted(form, w, k, l).diff(w[i, j]), Slope(s[k, t], w[i, j])),
        ):
            first = sheet.add(key, left, raw, f"derivative of ({stated})")
            rule = f"the Kronecker deltas collapse the sum of ({first})"
            sheet.add(key, left, collapse(raw, j, l), rule)


def _net_inputs(sheet: Sheet, u: Flow) -> None:
    """∂⁺H by what is computed on the way to the rates, and by the net inputs: δ."""
    for v in (*reversed(u.local.inner), *u.local.net_inputs):
        is_net_input = v in u.local.net_inputs
        if bar(v) not in u.bars and not is_net_input:
            continue
        name = u.name(f"delta{sheet.form.mark(v.name)}" if is_net_input else f"eps({v.name})")
        left, terms = u.places[bar(v)], terms_of(sheet, u, v)
        sheet.add(name, left, Ordered(H, u.places[v]), "definition", u.where)
        rule = "it reaches no rate"
        if terms:
            entered = cited(*(sheet.numbers[u, p.of] for p, _ in terms))
            rule = f"chain rule over everything it enters: {entered}"
            sheet.add(name, left, chain(u, terms), rule, u.where)
            rule = put_in(terms)
        sheet.add(name, left, u.lift(u.backward(v)), rule, u.where)


def _costates(sheet: Sheet, u: Flow) -> None:
    """ε of a readout, which has no rate, then of the states, which have one."""
    if u.output not in u.moving:
        name = u.name("eps")
        sheet.add(
            name, u.eps(u.output)[k, t], Ordered(H, u.places[u.output]), "definition", u.where
        )
        _everything(sheet, u, u.output, name, u.eps(u.output)[k, t])
    for y in u.moving:
        eps, name = u.eps(y)[k, t], u.name("eps" if y == u.output else f"eps({y.name})")
        left = dotted(u.eps(y))[k, t] / costate_sign()
        rule = (
            f"Euler–Lagrange: ({sheet.numbers['judged']}) with (rate − {u.names[y]}{DOT})·ε added "
            "has nothing of the change of it left"
        )
        sheet.add(name, left, Ordered(H, u.places[y]), rule, u.where)
        _everything(sheet, u, y, name, left, "t = t₁…t₀")
        rule = "nothing follows from the last moment: ε times the change of y is left there"
        sheet.add(f"{name}_last", eps.xreplace({t: t1}), sympy.S.Zero, rule, u.where)
    for y in u.moving:
        by, start = u.places[y].xreplace({t: t0}), u.eps(y)[k, t0]
        rule = "what is left of the integration by parts at t₀"
        sheet.add(u.name(f"gradient_{y.name}0"), Slope(Total(t0, t1), by), start, rule, u.where)


def _everything(sheet: Sheet, u: Flow, y: Symbol, name: str, left: Expr, *ranges: str) -> None:
    """∂⁺H by a state or readout: through the unit, the error, and the connections."""
    terms = terms_of(sheet, u, y) if y in u.moving else []
    raw, found = chain(u, terms), u.lift(u.backward(y)) if terms else sympy.S.Zero
    entered = [sheet.numbers[u, p.of] for p, _ in terms]
    used = [number for _, number in terms]
    if y == u.output:
        brought = _brought_back(sheet)
        raw, found = raw + ix.e[k, t] + brought[0], found + ix.e[k, t] + brought[1]
        entered += [sheet.numbers["J"], *(sheet.numbers["s", s] for s in sheet.form.net_inputs)]
        used += [sheet.numbers[f"d{s}_dx"] for s in sheet.form.net_inputs]
    if entered:
        rule = f"chain rule over everything it enters: {cited(*entered)}"
        sheet.add(name, left, raw, rule, u.where)
    rule = found_in(*used) if used else "it enters nothing"
    sheet.add(name, left, found, rule, u.where, *ranges)


def _brought_back(sheet: Sheet) -> tuple[Expr, Expr]:
    """Σ over the net inputs that an output enters of δ·∂s/∂x: by name, and with the partial in."""
    raw, found = [], []
    for name, port in sheet.form.net_inputs.items():
        s, delta = port.s, port.delta
        raw.append(Sum(delta[l, t] * Slope(s[l, t], ix.x[k, t]), (l, *ix.UNITS)))
        found.append(Sum(delta[l, t] * sheet.right(f"d{name}_dx"), (l, *ix.UNITS)))
    return sympy.Add(*raw), sympy.Add(*found)


def _gradient(sheet: Sheet, theta: Learned) -> None:
    """∂J^total/∂θ = ∫ ∂⁺H/∂θ dt: through a net input, or within a unit."""
    name, left = f"gradient_{theta.name}", Slope(Total(t0, t1), theta.by)
    rule = "with these costates nothing but H depends on it"
    sheet.add(name, left, Integral(Ordered(H, theta.by), SPAN), rule, *theta.ranges)
    if theta.net_input is not None:
        port = sheet.form.net_inputs[theta.net_input]
        s, delta = port.s, port.delta
        slope = sheet.right(f"d{port.name}_dw")
        raw = Sum(delta[k, t] * Slope(s[k, t], theta.by), (k, *ix.UNITS))
        found = collapse(Sum(delta[k, t] * slope, (k, *ix.UNITS)), k)
        entered = cited(sheet.numbers["s", port.name])
        last = found_in(sheet.numbers[f"d{port.name}_dw"])
    else:
        u, p = theta.unit, theta.symbol
        assert u is not None and p is not None
        terms = terms_of(sheet, u, p)
        raw = collapse(Sum(chain(u, terms) * theta.own, (k, *u.domain)), k)
        found = collapse(Sum(u.lift(u.backward(p)) * theta.own, (k, *u.domain)), k)
        entered = cited(*(sheet.numbers[u, q.of] for q, _ in terms))
        last = put_in(terms)
    rule = f"chain rule over everything it enters: {entered}"
    sheet.add(name, left, Integral(raw, SPAN), rule, *theta.ranges)
    sheet.add(name, left, Integral(found, SPAN), last, *theta.ranges)
