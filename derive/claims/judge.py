"""Judge one equation: it holds, is false, says nothing, or it is not known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
from sympy import Symbol

from derive.calculus.form import Form, form_of
from derive.claims.context import Budget, Context, OutOfTime
from derive.claims.derived import Key, derived, key_of
from derive.claims.evaluate import Evaluator, of_objective
from derive.claims.letters import DELAY, LINE, SOURCE, TIME, Letters
from derive.claims.model import Model, Undefined
from derive.claims.models import MOST_UNITS, models, proving
from derive.claims.places import Env
from derive.claims.symbols import DIGITS
from derive.claims.syntax import (
    Condition,
    Member,
    Node,
    Ref,
    Slope,
)
from derive.claims.wellformed import BY_SOURCE, Letter
from derive.network.network import Network
from derive.verify.polynomials import Algebra, TooManyTerms

HOLDS, FALSE, ILL_FORMED, UNDECIDED = "holds", "false", "ill-formed", "undecided"
MOST_PLACES = 400
"""Indices and times at which one network is looked at; beyond it so many are drawn."""
MOST_PROVED = 60
NEAR = 1e-18


@dataclass(frozen=True)
class Relation:
    """left = right, for which indices and times, and how its letters are meant."""

    left: Node
    sign: str
    right: Node
    where: tuple[Condition, ...]
    uses: Mapping[str, Letter]
    context: Context

    @property
    def sides(self) -> tuple[Node, Node]:
        """Both."""
        return self.left, self.right

    @property
    def ambiguous(self) -> bool:
        """Whether a plain ∂ of something else than the objective stands in it."""
        return any(
            isinstance(v, Slope) and not v.kind and not of_objective(v)
            for side in self.sides
            for v in side.walk()
        )


@dataclass(frozen=True)
class Refutation:
    """A network and numbers for which the two sides differ.

    Attributes
    ----------
    model : Model
    env : mapping of str to int
        The indices and times.
    left, right : number or None
        The values; None where a side has none there.
    missing : str
        Which side has no value, and why.
    used : frozenset of Symbol
        What the values were computed from.
    """

    model: Model
    env: Mapping[str, int]
    left: Any
    right: Any
    missing: str = ""
    used: frozenset[Symbol] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """What came of comparing two sides."""

    refuted: Refutation | None
    compared: int
    proved: Model | None = None
    networks: int = 0
    because: str = ""


@dataclass(eq=False)
class Court:
    """Where claims about one network are judged: the networks they are tried on are made once."""

    net: Network

    @cached_property
    def models(self) -> list[Model]:
        """From the smallest up."""
        return list(models(self.net))

    @cached_property
    def proving(self) -> list[list[Model]]:
        """Those that a proof is for, and smaller ones for claims that are too long."""
        return proving(self.net)

    @cached_property
    def form(self) -> Form:
        """The letters of the network."""
        return form_of(self.net)

    @cached_property
    def _derived(self) -> dict[str, Mapping[Key, str]]:
        return {}

    def equation(self, algorithm: str, left: Node, right: Node, letters: Letters) -> str:
        """Which equation of an algorithm's derivation two sides are; empty for none."""
        if algorithm not in self._derived:
            self._derived[algorithm] = derived(self.net, algorithm, letters)
        return self._derived[algorithm].get(key_of(left, right), "")

    def compare(self, relation: Relation, budget: Budget) -> Outcome:
        """Try a relation on every network, and prove it where it is nowhere false."""
        found = self.tried(relation, budget)
        if found.refuted is not None or not found.compared:
            return found
        because = ""
        for i, level in enumerate(self.proving):
            allowed = budget if i == len(self.proving) - 1 else budget.share(0.5)
            try:
                if all(self.proved(relation, model, allowed) for model in level):
                    return replace(found, proved=level[0])
                return found
            except TooManyTerms:
                because = "what is to be proved is too large"
            except OutOfTime:
                because = "the time allowed for the proof is over"
        return replace(found, because=because)

    def tried(
        self, relation: Relation, budget: Budget, most: int = MOST_PLACES, units: int = MOST_UNITS
    ) -> Outcome:
        """Compare the two sides as numbers, on networks of so many units at most."""
        compared = networks = 0
        most_units = max(units, len(self.net.cells))
        for model in (m for m in self.models if m.net.units <= most_units):
            here = 0
            evaluator = Evaluator(model, relation.context, budget)
            for env in places(relation, evaluator, most):
                refuted, counts = differ(relation, evaluator, env)
                if refuted is not None:
                    refuted = replace(refuted, used=symbols_of(relation, model, env, budget))
                    return Outcome(refuted, compared + 1, networks=networks + 1)
                here += counts
            compared, networks = compared + here, networks + (here > 0)
        return Outcome(None, compared, networks=networks)

    def proved(self, relation: Relation, model: Model, budget: Budget) -> bool:
        """Whether the difference of the two sides is exactly zero, whatever the numbers."""
        evaluator = Evaluator(model, relation.context, budget, exact=True)
        for env in places(relation, evaluator, MOST_PROVED):
            try:
                left = evaluator.value(relation.left, env)
                right = evaluator.value(relation.right, env)
            except Undefined:
                continue
            if left == right:
                continue
            algebra = Algebra()
            algebra.meanings.append(model.meaning.get)
            budget.check()
            if not algebra.is_zero(algebra.read(left), algebra.read(right)):
                return False
        return True


def differ(relation: Relation, evaluator: Evaluator, env: Env) -> tuple[Refutation | None, bool]:
    """Whether the two sides differ at one place, and whether they could be compared there."""
    values: list[Any] = []
    missing = ""
    for side in relation.sides:
        try:
            with mpmath.workdps(DIGITS):
                values.append(evaluator.value(side, env))
        except Undefined as nothing:
            if nothing.of == "weight" or nothing.of == "time" and not _is_stated(relation, nothing):
                return None, False
            values.append(None)
            missing = missing or str(nothing)
    left, right = values
    if left is None and right is None:
        return None, False
    if left is None or right is None:
        return Refutation(evaluator.model, dict(env), left, right, missing), True
    with mpmath.workdps(DIGITS):
        if abs(left - right) <= NEAR * (1 + abs(left) + abs(right)):
            return None, True
    return Refutation(evaluator.model, dict(env), left, right), True


def symbols_of(relation: Relation, model: Model, env: Env, budget: Budget) -> frozenset[Symbol]:
    """The symbols of both sides, where they have a value."""
    evaluator = Evaluator(model, relation.context, budget, exact=True)
    found: set[Symbol] = set()
    for side in relation.sides:
        try:
            found |= evaluator.value(side, env).free_symbols
        except (Undefined, OutOfTime):
            continue
    return frozenset(found)


def _is_stated(relation: Relation, nothing: Undefined) -> bool:
    """Whether the claim itself says for which times it is."""
    return any(
        relation.uses[letter].kind == TIME
        for condition in relation.where
        for part in condition.walk()
        if isinstance(part, Ref) and (letter := part.name + "'" * part.primes) in relation.uses
    )


# --- for which indices and times --------------------------------------------------------------


def places(relation: Relation, evaluator: Evaluator, most: int) -> Iterator[Env]:
    """The indices and times a relation is claimed for, so many at most."""
    letters = sorted(relation.uses, key=lambda v: (relation.uses[v].kind != TIME, v))
    domains = [_domain(v, relation.uses[v], relation, evaluator) for v in letters]
    for letter in relation.context.letters_of_objective:
        if (
            letter not in letters
            and letter not in ("t0", "t1")
            and (letter not in relation.context.values)
        ):
            letters.append(letter)
            domains.append(list(range(1, evaluator.model.steps + 1)))
    count = int(np.prod([len(d) for d in domains], dtype=object)) if domains else 1
    found: Iterator[tuple[int, ...]] = itertools.product(*domains)
    if count > most:
        generator = np.random.Generator(np.random.PCG64(count))
        chosen = sorted(int(v) for v in generator.choice(count, most, replace=False))
        found = (_nth(domains, at) for at in chosen)
    for values in found:
        env = dict(zip(letters, values, strict=True))
        if is_meant(relation, evaluator, env):
            yield env


def _nth(domains: list[list[int]], at: int) -> tuple[int, ...]:
    found = []
    for domain in reversed(domains):
        at, place = divmod(at, len(domain))
        found.append(domain[place])
    return tuple(reversed(found))


def _domain(letter: str, use: Letter, relation: Relation, evaluator: Evaluator) -> list[int]:
    """All values a letter may have, before conditions are looked at."""
    model = evaluator.model
    n, m = model.net.units, model.net.inputs
    if use.kind == TIME:
        if letter in relation.context.letters_of_objective:
            return list(range(1, model.steps + 1))
        longest = max(model.form.delays, default=1)
        return list(range(-1, model.steps + longest))
    if use.kind == DELAY:
        return list(model.form.delays)
    explicit = any(
        isinstance(c, Member) and isinstance(c.index, Ref) and c.index.name == letter
        for c in relation.where
    )
    if explicit:
        return list(range(n + m))
    if use.kind == LINE:
        return list(range(n, n + m))
    if use.kind == SOURCE or letter == BY_SOURCE:
        return list(range(n + m))
    return list(range(n))


def is_meant(relation: Relation, evaluator: Evaluator, env: Env) -> bool:
    """Whether a relation is claimed for these indices and times."""
    said = {p.name + "'" * p.primes for c in relation.where for p in c.walk()
            if isinstance(p, Ref)}  # fmt: skip
    if "τ" in env and "τ" not in said:
        # As the algorithms go: from the last time that is judged back to the first step.
        of = relation.context.letters_of_objective
        last = next((env[v] for v in reversed(of) if v in env), evaluator.model.steps)
        if not 0 < env["τ"] <= last:
            return False
    return all(evaluator.holds(c, env) for c in relation.where)
