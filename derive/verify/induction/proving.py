"""The induction for a network and an algorithm: which lemmas, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derive.calculus.form import form_of
from derive.calculus.judging import is_plain
from derive.calculus.learned import learned
from derive.calculus.options import options_of
from derive.calculus.recipes import RECIPES
from derive.calculus.sensitivities import minded
from derive.calculus.steps import Sheet
from derive.errors import DerivationError
from derive.network.network import Network
from derive.verify.induction.backward import errors_lemma, ordered_lemma
from derive.verify.induction.forward import forward
from derive.verify.induction.learning import boundary_lemma, by_sensitivities, by_steps
from derive.verify.induction.network import Stated
from derive.verify.induction.parts import Lemma, Page, Proof
from derive.verify.induction.scope import reason_not, scope_of
from derive.verify.induction.sums import NotReadable
from derive.verify.induction.sweeps import sweep_lemma


def prove(net_or_spec: Any, algorithm: str | None = None, **options: Any) -> Proof:
    """Prove by induction that the derived equations of an algorithm give the derivative.

    Parameters
    ----------
    net_or_spec : Network, dict or path of a spec
    algorithm : str, optional
        As for :func:`derive.differentiate`; the one the spec names if none is given.
    **options
        The algorithm's own: ``h``, ``h_prime``, ``teacher_forcing``.

    Returns
    -------
    Proof
        ``proof.holds``, ``proof.lemmas``, ``proof.scope``, ``print(proof)``, ``proof.latex()``.
        Where the induction is not carried out (settling, subgroups, what is not read as a sum)
        ``proof.attempted`` is False, and ``proof.reason`` says why.

    Raises
    ------
    NetworkError, DerivationError
        As :func:`derive.differentiate` does.

    Examples
    --------
    >>> proof = derive.prove(net, algorithm="hybrid", h=16)
    >>> proof.holds
    True
    """
    from derive.kernel import as_network
    from derive.program.algorithms import settle

    net = as_network(net_or_spec)
    settled = dict(settle(net, algorithm, options))
    return induction(net, settled)


def induction(net: Network, algorithm: Mapping[str, Any]) -> Proof:
    """The proof for a network and a settled algorithm, ``name`` and options."""
    options = {key: v for key, v in algorithm.items() if key != "name"}
    name = algorithm["name"]
    chosen = options_of(name, options, RECIPES[name].options, net.units)
    title = RECIPES[name].title(chosen) + ", with teacher forcing" * chosen.forced
    if reason := reason_not(net, name, options):
        return Proof(net.name, title, (), "", reason)
    try:
        sheet = sheet_of(net, name, options)
        lemmas = lemmas_of(sheet, name)
    except NotReadable as error:
        return Proof(net.name, title, (), "", f"the equations have {error}")
    except DerivationError as error:
        return Proof(net.name, title, (), "", str(error))
    return Proof(net.name, title, lemmas, scope_of(Stated(sheet), title))


def sheet_of(net: Network, name: str, options: Mapping[str, Any]) -> Sheet:
    """The sheet on which an algorithm's equations are derived."""
    recipe = RECIPES[name]
    chosen = options_of(name, options, recipe.options, net.units)
    form = form_of(net, chosen.forced, frozenset(recipe.letters))
    sheet = Sheet(form, recipe.horizon(chosen))
    recipe.write(sheet, chosen)
    return sheet


def lemmas_of(sheet: Sheet, name: str) -> tuple[Lemma, ...]:
    """Every lemma about the equations on a sheet, each judged from what stands there."""
    stated, page, found = Stated(sheet), Page(), []
    everything = learned(sheet.form)
    if is_plain(sheet.form):
        found.append(errors_lemma(stated, page))
    if name == "rtrl":
        found += [forward(stated, theta, page) for theta in everything]
        found += [by_sensitivities(stated, theta, page) for theta in everything]
        return tuple(found)
    found.append(ordered_lemma(stated, page))
    if name == "hybrid":
        found.append(boundary_lemma(stated, page))
    found += [by_steps(stated, theta, page) for theta in everything]
    if name == "hybrid" and everything:
        found += [sweep_lemma(sheet, state, page) for state in minded(sheet.form)]
    return tuple(found)
