"""What each algorithm writes on its sheet, in which order, and what it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sympy import Expr

from derive.calculus.boundary import at_the_boundary, sweeps
from derive.calculus.equilibrium import (
    at_rest,
    eliminate,
    implicit_derivatives,
    relax,
    resting,
    state_fixed_point,
)
from derive.calculus.forcing import differentiate_forcing
from derive.calculus.gradients import gradients, shared_weights, updates
from derive.calculus.horizon import EPOCHWISE, REALTIME, SETTLING, WINDOW, Horizon, truncated
from derive.calculus.indexed import h, t, tau
from derive.calculus.learned import learned
from derive.calculus.options import Options
from derive.calculus.recursion import define, through_connections, through_unit
from derive.calculus.remarks import kept_for_the_way_back, sensitivities_kept
from derive.calculus.sensitivities import (
    define_sensitivities,
    gradient_by_sensitivities,
    sensitivities,
)
from derive.calculus.stated import state_errors, state_forward, state_objective
from derive.calculus.steps import Sheet
from derive.errors import DerivationError

BACK = "Kept for the way back"

Kept = tuple[Expr, ...]


def _backpropagation(sheet: Sheet, options: Options) -> Kept:
    """ε and δ backward over the steps of the horizon."""
    sheet.part = "forward"
    state_forward(sheet)
    sheet.part = "objective"
    state_objective(sheet)
    state_errors(sheet)
    sheet.part = "definitions"
    define(sheet)
    _go_back(sheet)
    sheet.part = "gradient"
    gradients(sheet)
    sheet.part = "update"
    updates(sheet)
    return kept_for_the_way_back(sheet)


def _go_back(sheet: Sheet) -> None:
    sheet.part = "connections"
    through_connections(sheet)
    differentiate_forcing(sheet)
    sheet.part = "backward"
    for unit in sheet.form.units:
        through_unit(sheet, unit)


def _recurrent_learning(sheet: Sheet, options: Options) -> Kept:
    """p forward, and no way back."""
    grouped = options.groups is not None
    sheet.part = "forward"
    state_forward(sheet, "its slope needs")
    sheet.part = "objective"
    state_objective(sheet)
    sheet.part = "definitions"
    define_sensitivities(sheet)
    sheet.part = "connections"
    through_connections(sheet)
    differentiate_forcing(sheet)
    sheet.part = "sensitivities"
    sensitivities(sheet, grouped)
    sheet.part = "gradient"
    gradient_by_sensitivities(sheet, grouped)
    shared_weights(sheet)
    sheet.part = "update"
    updates(sheet)
    return sensitivities_kept(sheet, tau)


def _hybrid(sheet: Sheet, options: Options) -> Kept:
    """ε and δ backward within a window, p from one window to the next."""
    sheet.part = "forward"
    state_forward(sheet)
    sheet.part = "objective"
    state_objective(sheet)
    sheet.part = "definitions"
    define(sheet)
    define_sensitivities(sheet, of_net_inputs=False)
    _go_back(sheet)
    sheet.part = "boundary"
    before = at_the_boundary(sheet)
    sheet.part = "gradient"
    gradients(sheet, before)
    sheet.part = "sweeps"
    sweeps(sheet, before)
    sheet.part = "update"
    updates(sheet)
    return (*kept_for_the_way_back(sheet), *sensitivities_kept(sheet, t - h))


def _settling(sheet: Sheet, options: Options) -> Kept:
    """p at the fixed point, and the ε that makes it needless."""
    if not learned(sheet.form):
        raise DerivationError(
            "settling: nothing of this network is learnt, so that there is no sensitivity whose "
            "equation could be solved; leave some weight free"
        )
    sheet.part = "forward"
    state_forward(sheet, "its slope needs")
    sheet.part = "fixed point"
    state_fixed_point(sheet)
    sheet.part = "objective"
    state_objective(resting(sheet))
    sheet.part = "definitions"
    define_sensitivities(sheet)
    sheet.part = "connections"
    through_connections(sheet)
    differentiate_forcing(sheet)
    sheet.part = "implicit"
    balances = implicit_derivatives(sheet)
    sheet.part = "sensed gradient"
    gradient_by_sensitivities(resting(sheet))
    sheet.part = "elimination"
    eliminate(sheet, balances)
    sheet.part = "relaxation"
    relax(sheet)
    shared_weights(sheet)
    sheet.part = "update"
    updates(sheet)
    return tuple(at_rest(v) for v in kept_for_the_way_back(sheet))


@dataclass(frozen=True)
class Recipe:
    """How one algorithm is derived.

    Attributes
    ----------
    write : callable
        Writes its equations on a sheet, and says what it must keep.
    horizon : callable
        What it differentiates, for some options.
    title : callable
        What it is called, for some options.
    options : frozenset of str
        Those it has, besides teacher forcing.
    letters : str
        Those that it uses besides epochwise's.
    keeping : str
        What it keeps things for.
    """

    write: Callable[[Sheet, Options], Kept]
    horizon: Callable[[Options], Horizon]
    title: Callable[[Options], str]
    options: frozenset[str] = frozenset()
    letters: str = ""
    keeping: str = BACK


def _truncated_title(options: Options) -> str:
    steps = "h" if options.h is None else str(options.h)
    if options.h_prime != 1:
        steps += f";{options.h_prime}"
    return f"truncated backpropagation through time, BPTT({steps})"


def _learning_title(options: Options) -> str:
    if options.groups is None:
        return "real-time recurrent learning"
    return f"subgrouped real-time recurrent learning, {len(options.groups)} groups"


def _hybrid_title(options: Options) -> str:
    steps = "h" if options.h is None else str(options.h)
    return (
        f"FP/BPTT({steps}) hybrid of real-time recurrent learning and backpropagation through time"
    )


RECIPES = {
    "epochwise": Recipe(
        _backpropagation,
        lambda _: EPOCHWISE,
        lambda _: "epochwise backpropagation through time",
        frozenset({"memory"}),
    ),
    "realtime": Recipe(
        _backpropagation,
        lambda _: REALTIME,
        lambda _: "real-time backpropagation through time, BPTT(∞)",
        frozenset({"capacity"}),
    ),
    "truncated": Recipe(
        _backpropagation,
        lambda options: truncated(options.h_prime != 1),
        _truncated_title,
        frozenset({"h", "h_prime"}),
        letters="h",
    ),
    "rtrl": Recipe(
        _recurrent_learning,
        lambda _: REALTIME,
        _learning_title,
        frozenset({"groups"}),
        letters="pG",
        keeping="Carried from step to step",
    ),
    "hybrid": Recipe(
        _hybrid,
        lambda _: WINDOW,
        _hybrid_title,
        frozenset({"h"}),
        letters="phqr",
        keeping="Kept for the way back, and for the next window",
    ),
    "settling": Recipe(
        _settling,
        lambda _: SETTLING,
        lambda _: "recurrent backpropagation at a fixed point",
        frozenset({"tol", "max_steps"}),
        letters="p",
        keeping="Needed of the fixed point",
    ),
}
