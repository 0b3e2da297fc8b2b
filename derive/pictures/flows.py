"""What flows in one step of learning, for the connections there are: quantities, and arrows.

Backward (BPTT, hybrid, settling): ε_k(τ) → δ_k(τ) through a unit, δ_l(τ) → ε_k(τ−D) along a
connection, ε_k(τ) → ε_k(τ−1) where the unit's own state enters its next. Forward (RTRL):
p^k(τ−D) → the net input → p^k(τ). Which of these there are is read off the calculus: through a
unit from its ordered derivatives (``adjoint``) or slopes (``tangent``), between units from the
network's connections. No cell is known by name, and no derivative is stated here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Integer, Symbol

from derive.calculus import indexed as ix
from derive.calculus.adjoint import bar
from derive.calculus.form import Unit
from derive.calculus.indexed import rho, tau
from derive.calculus.learned import learned
from derive.calculus.notation import in_terminal
from derive.calculus.synapses import WEIGHT
from derive.calculus.tangent import slope_symbol
from derive.network.network import Network
from derive.pictures.names import Names


@dataclass(frozen=True, order=True)
class Quantity:
    """What flows: of a unit, by the name of its state or net input, so many steps from τ.

    Attributes
    ----------
    stage : int
        0: a state at τ; 1: a net input at τ; 2: a state at another time.
    """

    unit: int
    stage: int
    name: str
    shift: int = 0


@dataclass(frozen=True)
class Arrow:
    """One thing that is passed on.

    Attributes
    ----------
    start, end : Quantity
    kind : str
        ``through`` a unit, along a ``connection``, or by a unit's ``own`` state.
    place : int
        Of the connection, in canonical order; −1 where it is none.
    cut : bool
        Whether nothing flows where the unit is forced to its target.
    """

    start: Quantity
    end: Quantity
    kind: str
    place: int = -1
    cut: bool = False


@dataclass(frozen=True)
class Flow:
    """All that flows in one step.

    Attributes
    ----------
    forward : bool
        Whether sensitivities flow on, and not errors back.
    arrows : tuple of Arrow
    letters : dict
        How each quantity is written.
    injected : dict
        Where errors (backward) or outputs and inputs (forward) come in, as written.
    gathered : dict
        What is a term of a gradient, as written: backward at each δ, forward at each judged p.
    """

    forward: bool
    arrows: tuple[Arrow, ...]
    letters: dict[Quantity, str]
    injected: dict[Quantity, str]
    gathered: dict[Quantity, str]
    settling: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Everything that an arrow touches, or that comes in or is gathered."""
        ends = {q for a in self.arrows for q in (a.start, a.end)}
        return tuple(sorted({*ends, *self.injected, *self.gathered}))


def _state_heard(names: Names, place: int) -> tuple[int, Symbol | None]:
    """The unit a connection comes from, and which of its states is carried."""
    source = int(names.net.wiring.source[place])
    return source, names.port(place).heard.state_of(names.unit(source))


def _net_input(names: Names, place: int) -> Quantity:
    w = names.net.wiring
    k = int(w.target[place])
    return Quantity(k, 1, names.unit(k).local.net_inputs[int(w.port[place])].name)


def _learnt_into(names: Names) -> dict[Quantity, list[int]]:
    """The learnt connections into each net input."""
    w = names.net.wiring
    found: dict[Quantity, list[int]] = {}
    for place in range(w.size):
        if w.learnt[place]:
            found.setdefault(_net_input(names, place), []).append(place)
    return found


# --- backward ----------------------------------------------------------------------------------


def reaching(u: Unit, v: Symbol) -> list[Symbol]:
    """Which ε of next states, and which δ, the ordered derivative of ``v`` is made of.

    Through the bars of intermediates, which are not shown; it stops at ε and δ.
    """
    made_of = {q.symbol: q.expr.free_symbols for q in u.adjoint.equations}
    ends = {*u.adjoint.eps, *u.adjoint.delta.values()}
    found: set[Symbol] = set()
    seen, waiting = {bar(v)}, [bar(v)]
    while waiting:
        for symbol in made_of.get(waiting.pop(), set()) - seen:
            seen.add(symbol)
            if symbol in ends:
                found.add(symbol)
            else:
                waiting.append(symbol)
    return sorted(found, key=lambda s: s.name)


def backward(names: Names, settling: bool = False, newest_only: bool = False) -> Flow:
    """One step of the way back; of a settling net one sweep of its relaxation.

    With ``newest_only`` no error comes in but at the last step.
    """
    net = names.net
    arrows: list[Arrow] = []
    for k in range(net.units):
        arrows += _through(names.unit(k), k, net, names.form.forced)
    w = net.wiring
    for place in range(w.size):
        if w.source[place] < net.units:
            source, state = _state_heard(names, place)
            delay = 1 if settling else int(w.delay[place])
            if state is not None:
                end = Quantity(source, 2 if delay else 0, state.name, delay)
                cut = names.form.forced and _is_output(names, end) and _has_target(net, source)
                arrows.append(Arrow(_net_input(names, place), end, "connection", place, cut))
    letters = {q: _error_letter(names, q, settling) for a in arrows for q in (a.start, a.end)}
    injected = {}
    for k in net.objective.judged(net.units):
        u = names.unit(k)
        here = Quantity(k, 0, u.output.name)
        at_last = f"{in_terminal(ix.e[Integer(k), ix.t])}, if τ = t"
        always = f"e_{k}" if settling else in_terminal(ix.e[Integer(k), tau])
        injected[here] = at_last if newest_only else always
        letters.setdefault(here, _error_letter(names, here, settling))
    gathered = {q: _by_weight(names, places[0]) for q, places in _learnt_into(names).items()}
    for q in gathered:
        letters.setdefault(q, _error_letter(names, q, settling))
    return Flow(False, tuple(arrows), letters, injected, gathered, settling)


def _through(u: Unit, k: int, net: Network, forced: bool) -> list[Arrow]:
    """From each ε to the δ it has a part in, and to the ε of the states before."""
    ends: dict[Symbol, Quantity] = {}
    for y, eps in zip(u.local.old, u.adjoint.eps, strict=True):
        ends[eps] = Quantity(k, 0, y.name)
    for s, delta in u.adjoint.delta.items():
        ends[delta] = Quantity(k, 1, s.name)
    found = [
        Arrow(ends[eps], Quantity(k, 1, s.name), "through")
        for s in u.adjoint.delta
        for eps in reaching(u, s)
    ]
    for y in u.adjoint.carry:
        cut = forced and y == u.output and _has_target(net, k)
        before = Quantity(k, 2, y.name, 1)
        found += [Arrow(ends[v], before, "own", cut=cut) for v in reaching(u, y)]
    return found


def _is_output(names: Names, q: Quantity) -> bool:
    return q.name == names.unit(q.unit).output.name


def _has_target(net: Network, k: int) -> bool:
    return k in net.objective.targets


def _error_letter(names: Names, q: Quantity, settling: bool) -> str:
    """ε_k(τ−D), ε^(c)_k(τ), δ_k(τ); of a settling net ε_k(ρ)."""
    u, k = names.unit(q.unit), Integer(q.unit)
    time = rho + int(q.shift > 0) if settling else tau - q.shift
    if q.stage == 1:
        s = next(s for s in u.local.net_inputs if s.name == q.name)
        return in_terminal(u.of_net_input[s].delta[k, time])
    y = next(y for y in u.local.old if y.name == q.name)
    return in_terminal(u.eps(y)[k, time])


def _by_weight(names: Names, place: int) -> str:
    """``∂J/∂w_2j``: the gradient by the weights into one net input."""
    k = int(names.net.wiring.target[place])
    return f"∂J/∂{in_terminal(names.port(place).w[Integer(k), ix.j])}"


# --- forward -----------------------------------------------------------------------------------


def forward(names: Names) -> Flow:
    """One step of the way of sensitivities, from the states before to the next ones."""
    net, w = names.net, names.net.wiring
    arrows: list[Arrow] = []
    if not learned(names.form):
        return Flow(True, (), {}, {}, {})
    for k in range(net.units):
        arrows += _slopes(names.unit(k), k, net, names.form.forced)
    for place in range(w.size):
        if w.source[place] < net.units:
            source, state = _state_heard(names, place)
            if state is not None and state in names.unit(source).tangent.carried:
                delay = int(w.delay[place])
                start = Quantity(source, 2 if delay else 0, state.name, delay)
                cut = names.form.forced and _is_output(names, start) and _has_target(net, source)
                arrows.append(Arrow(start, _net_input(names, place), "connection", place, cut))
    letters = {q: _tangent_letter(names, q) for a in arrows for q in (a.start, a.end)}
    # Only the net input that a weight leads into has a part of its own in that weight's p.
    theta = learned(names.form)[0]
    injected = {
        q: _entering(names, places)
        for q, places in _learnt_into(names).items()
        if theta.symbol == WEIGHT and names.port(places[0]).name == theta.net_input
    }
    gathered = {}
    for k in net.objective.judged(net.units):
        u = names.unit(k)
        if u.output in u.tangent.carried:
            here = Quantity(k, 0, u.output.name)
            gathered[here] = f"e_{k} → ∂J/∂{in_terminal(theta.by)}"
    for q in (*injected, *gathered):
        letters.setdefault(q, _tangent_letter(names, q))
    found = learned(names.form)
    also = ", ".join(in_terminal(theta.by) for theta in found[1:4]) + ", …" * (len(found) > 4)
    by = f"Those by {in_terminal(found[0].by)} are shown; those by {also} flow alike."
    return Flow(True, tuple(arrows), letters, injected, gathered, remarks=(by,) * (len(found) > 1))


def _slopes(u: Unit, k: int, net: Network, forced: bool) -> list[Arrow]:
    """From each net input, and each state before, to the next states they have a slope on."""
    found: list[Arrow] = []
    carried = u.tangent.carried
    for y, z in zip(u.local.old, u.local.new, strict=True):
        if y not in carried:
            continue
        end = Quantity(k, 0, y.name)
        for s in u.local.net_inputs:
            if u.tangent.slope(z, s) == slope_symbol(z, s):
                found.append(Arrow(Quantity(k, 1, s.name), end, "through"))
        for before in carried:
            if u.tangent.slope(z, before) == slope_symbol(z, before):
                cut = forced and before == u.output and _has_target(net, k)
                found.append(Arrow(Quantity(k, 2, before.name, 1), end, "own", cut=cut))
    for q in u.local.partials:  # a net input whose connections look at their own unit's state
        if q.of in u.local.net_inputs and q.by in carried:
            start = Quantity(k, 2, q.by.name, 1)
            found.append(Arrow(start, Quantity(k, 1, q.of.name), "own"))
    return found


def _tangent_letter(names: Names, q: Quantity) -> str:
    """p^k_ij(τ−D), and of a net input p^(s)k_ij(τ)."""
    u, k = names.unit(q.unit), Integer(q.unit)
    theta = learned(names.form)[0]
    if q.stage == 1:
        s = next(s for s in u.local.net_inputs if s.name == q.name)
        of = str(u.of_net_input[s].s.label)
    else:
        of = u.mark(next(y for y in u.local.old if y.name == q.name))
    return in_terminal(theta.p(of, k, tau - q.shift))


def _entering(names: Names, places: list[int]) -> str:
    """``x_j(τ−1)``: what the weights into a net input multiply, where i is this unit."""
    delays = sorted({int(names.net.wiring.delay[p]) for p in places})
    heard = names.port(places[0]).heard.base
    time = tau - delays[0] if len(delays) == 1 else tau - ix.D
    return in_terminal(heard[ix.j, time])
