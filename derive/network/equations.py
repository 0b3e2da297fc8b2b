"""Equations given as SymPy expressions: who plays which role, and what may not stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from derive.errors import NetworkError
from derive.network.cell import (
    PLAIN,
    Equations,
    NetInputDeclaration,
    ParameterDeclaration,
    in_order,
    read_synapses,
    to_synapse,
)
from derive.network.expressions import to_text
from derive.network.symbols import Intermediate, NetInput, Parameter, State


@dataclass(frozen=True)
class Stated:
    """What a person's SymPy equations amount to."""

    equations: Equations
    parameters: tuple[ParameterDeclaration, ...]
    ports: tuple[NetInputDeclaration, ...]


def from_sympy(states: Mapping[Any, Any], intermediates: Mapping[Any, Any]) -> Stated:
    """Sort the symbols of a cell's equations into their roles.

    Raises
    ------
    NetworkError
        For a key that is no State or Intermediate, an undefined symbol, a function SymPy does
        not define, or an equation that mentions a later time.
    """
    for key in states:
        if not isinstance(key, State):
            raise NetworkError(
                f"states: {key!r} is not a state; make it with derive.state({str(key)!r})"
            )
    for key in intermediates:
        if not isinstance(key, Intermediate):
            raise NetworkError(
                f"intermediates: {key!r} is not one; make it with derive.intermediate({str(key)!r})"
            )
    bodies = {}
    for key, value in {**intermediates, **states}.items():
        try:
            bodies[key] = sympy.sympify(value, strict=True)
        except sympy.SympifyError as error:
            raise NetworkError(
                f"equation of {key}: expected a SymPy expression, got {value!r}"
            ) from error
        if not isinstance(bodies[key], sympy.Expr):
            raise NetworkError(f"equation of {key}: expected an expression, got {value!r}")

    net_inputs: dict[str, Any] = {}
    parameters: dict[str, Parameter] = {}
    for key, body in bodies.items():
        later = sorted(body.atoms(AppliedUndef), key=str)
        if later:
            raise NetworkError(
                f"equation of {key}: {later[0]} is an unknown function or mentions a time; write "
                "the bare symbol: a state is its value at this step, a net input that of the step "
                "being computed"
            )
        if body.has(sympy.nan, sympy.zoo, sympy.oo, sympy.I):
            raise NetworkError(f"equation of {key}: {body} is not a finite real expression")
        for symbol in sorted(body.free_symbols, key=lambda s: s.name):
            if isinstance(symbol, NetInput):
                if net_inputs.setdefault(symbol.name, symbol) != symbol:
                    raise NetworkError(f"net input {symbol.name!r} is declared twice, differently")
            elif isinstance(symbol, Parameter):
                if parameters.setdefault(symbol.name, symbol) != symbol:
                    raise NetworkError(
                        f"parameter {symbol.name!r} is declared twice with different values"
                    )
            elif symbol not in bodies:
                raise NetworkError(
                    f"equation of {key}: undefined symbol {symbol}; known are "
                    f"{', '.join(sorted(str(k) for k in bodies))}; new ones are made with "
                    "derive.state, derive.net_input, derive.intermediate or derive.parameter"
                )

    # From here on a symbol is its name: text and SymPy statements of one cell are the same cell.
    everything = {s for body in bodies.values() for s in body.free_symbols} | set(bodies)
    plain = {s: sympy.Symbol(s.name, real=True) for s in everything}
    if len({s.name for s in everything}) != len(everything):
        names = [s.name for s in everything]
        twice = sorted({n for n in names if names.count(n) > 1})
        raise NetworkError(f"{twice[0]!r} names two different things in one cell")
    free = {k.name: {s.name for s in b.free_symbols} for k, b in bodies.items()}
    order = in_order(tuple(k.name for k in intermediates), free, "cell")
    by_name = {k.name: k for k in intermediates}
    ports = tuple(declared(net_inputs[n]) for n in sorted(net_inputs))
    synapses = read_synapses(ports, tuple(k.name for k in states), "cell")
    return Stated(
        Equations(
            {plain[k]: bodies[k].xreplace(plain) for k in states},
            {plain[by_name[n]]: bodies[by_name[n]].xreplace(plain) for n in order},
            tuple(plain[net_inputs[n]] for n in sorted(net_inputs)),
            tuple(plain[parameters[n]] for n in sorted(parameters)),
            {plain[net_inputs[n]]: to_synapse(e) for n, e in synapses.items()},
        ),
        tuple(
            ParameterDeclaration(p.name, p.initial, p.trainable, p.shared)
            for _, p in sorted(parameters.items())
        ),
        ports,
    )


def declared(s: NetInput) -> NetInputDeclaration:
    """A net input as data.

    Raises
    ------
    NetworkError
        For a synapse that is no expression.
    """
    if s.synapse is None:
        return NetInputDeclaration(s.name, s.hears, s.delay)
    if isinstance(s.synapse, str):
        known = {}
        text = s.synapse
    else:
        try:
            stated = sympy.sympify(s.synapse, strict=True)
        except sympy.SympifyError as error:
            raise NetworkError(
                f"net input {s.name!r}: its synapse is no expression: {s.synapse!r}"
            ) from error
        known = {p.name: p for p in stated.free_symbols if isinstance(p, Parameter)}
        names = {v: sympy.Symbol(v.name, real=True) for v in stated.free_symbols}
        text = to_text(stated.xreplace(names))
    parameters = tuple(
        ParameterDeclaration(p.name, p.initial, p.trainable, p.shared)
        for _, p in sorted(known.items())
    )
    return NetInputDeclaration(s.name, s.hears, s.delay, PLAIN if text == "x*w" else text,
                               parameters)  # fmt: skip
