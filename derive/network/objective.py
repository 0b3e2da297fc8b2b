"""The objective J(t): what a network's outputs are judged by, as a sum of terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from derive.errors import NetworkError
from derive.network.expressions import Expression, parse, to_text
from derive.network.identifiers import validate_identifier
from derive.network.topology import finite, whole

if TYPE_CHECKING:
    import sympy

Value = float | tuple[float, ...]
"""A constant: one number, or one for each unit of its term."""

KINDS = ("sum", "max")
LETTERS = ("d", "y", "w", "m")
"""Target, output, learned parameter, mask: no constant or pool is called so."""

WHENS = ("every", "end")


@dataclass(frozen=True)
class Pool:
    """A quantity over all units of a term: the sum, or the largest, of an expression in y."""

    name: str
    kind: str
    read: Expression

    @cached_property
    def symbol(self) -> sympy.Symbol:
        """Its letter in the expressions after it."""
        import sympy

        return sympy.Symbol(self.name, real=True)


@dataclass(frozen=True, eq=False)
class Term:
    """One expression, summed over units (or learned parameters) at each time.

    Attributes
    ----------
    over : str
        ``targets``: units with a target d, where the mask says there is one; ``units``: units
        without regard to targets, at every time; ``parameters``: entries of theta, at every time.
    units : tuple of int, optional
        The units, in order; None for all of them.
    names : tuple of str
        The learned parameters: ``w`` for the weights, else cell parameters by name.
    at : str
        ``every`` time, or the ``end`` of a sequence: where targets are when no mask is given.
    """

    read: Expression
    over: str
    units: tuple[int, ...] | None = None
    names: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    constants: Mapping[str, Value] = field(default_factory=dict)
    at: str = "every"

    @property
    def letters(self) -> dict[str, sympy.Symbol]:
        """Every name that may stand in the expression, as a real symbol."""
        import sympy

        names = ("d", "y", "w", *self.constants, *(p.name for p in self.pools))
        return {n: sympy.Symbol(n, real=True) for n in names}

    @cached_property
    def expression(self) -> sympy.Expr:
        """The summand, in ``d`` and ``y`` (or ``w``), constants and pools."""
        return self.read.to_sympy(self.letters)

    def pooled(self, pool: Pool) -> sympy.Expr:
        """What a pool is the sum or the largest of."""
        return pool.read.to_sympy(self.letters)

    def units_of(self, n: int) -> tuple[int, ...]:
        """The units, in a network of n."""
        return tuple(range(n)) if self.units is None else self.units

    def entries(self, net: Any) -> tuple[int, ...]:
        """The places in theta of the learned parameters it is over."""
        return tuple(
            i for p in net.parameters if p.name in self.names for i in range(p.start, p.stop)
        )

    def values(self, name: str, count: int) -> tuple[float, ...]:
        """A constant's value for each of ``count`` units."""
        value = self.constants[name]
        return value if isinstance(value, tuple) else (value,) * count

    def to_spec(self) -> dict[str, Any]:
        """The term as a table of a spec file."""
        spec: dict[str, Any] = {"J": self.read.text}
        if self.over != "parameters":
            spec[self.over] = "all" if self.units is None else list(self.units)
        if self.names:
            spec["parameters"] = list(self.names)
        if self.pools:
            spec["pools"] = {p.name: [p.kind, p.read.text] for p in self.pools}
        if self.constants:
            spec["constants"] = {
                k: list(v) if isinstance(v, tuple) else v for k, v in self.constants.items()
            }
        if self.at != "every":
            spec["at"] = self.at
        return spec

    def __repr__(self) -> str:
        given = [repr(self.read.text)]
        given += [f"{k}={v!r}" for k, v in self.to_spec().items() if k != "J"]
        return f"Objective({', '.join(given)})"


class Objective:
    """J(t), a sum of terms. One term is Σ over k ∈ T(t) of an expression in d_k(t) and y_k(t).

    J is **maximised**: a loss enters with a minus sign. Objectives add up: ``a + b`` has the terms
    of both, and a column of ``target`` and ``mask`` for each unit that has a target in one of
    them, in order of first mention.

    Parameters
    ----------
    expression : str or sympy.Expr
        In ``d`` (target) and ``y`` (output of the unit), constants and pools; a term over learned
        parameters is in ``w``, the parameter, and constants.
    targets : sequence of int
        The units that have targets, in the order of the columns of ``target`` and ``mask``.
    units : sequence of int or "all", optional
        For a term without targets, in every J(t) whatever the mask: the units it is over.
    parameters : sequence of str, optional
        For a term over learned parameters, in every J(t): ``w`` for all learned weights, else
        cell parameters by name. A weight or parameter that is shared counts once.
    pools : mapping of str to (kind, expression), optional
        Quantities over all units of the term, whatever the mask: the ``sum`` or the ``max`` of an
        expression in y, constants and the pools before. A ``max`` may only shift, as it does in a
        sum of exponentials that must not overflow: that J does not depend on it is proved when
        the network is differentiated.
    constants : mapping of str to number or sequence, optional
        Fixed numbers by name: one, or one for each unit of the term.
    at : str
        ``"every"`` time (default), or ``"end"``: without a mask there are targets at the last
        step of a sequence only, and none in an online step. A mask that is given is used as it is.

    Raises
    ------
    NetworkError
        For an empty or repeated set of units, or an expression in other symbols.
    """

    terms: tuple[Term, ...]

    def __init__(
        self,
        expression: Any,
        targets: Sequence[int] | None = None,
        *,
        units: Any = None,
        parameters: Sequence[str] | None = None,
        pools: Mapping[str, Any] | None = None,
        constants: Mapping[str, Any] | None = None,
        at: str = "every",
        where: str = "objective",
    ) -> None:
        over = {"targets": targets, "units": units, "parameters": parameters}
        given = [name for name, value in over.items() if value is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise NetworkError(f"{where}: give one of targets, units and parameters, got {got}")
        (kind,) = given
        chosen: tuple[int, ...] | None = None
        names: tuple[str, ...] = ()
        if kind == "parameters":
            names = _names(over[kind], where)
        elif not (kind == "units" and isinstance(units, str) and units == "all"):
            chosen = _units(over[kind], kind, where)
        if at not in WHENS:
            raise NetworkError(f"{where}.at: expected 'every' or 'end', got {at!r}")
        if at == "end" and kind != "targets":
            raise NetworkError(f"{where}.at: 'end' is for terms with targets; this has {kind}")
        if kind == "parameters" and pools:
            raise NetworkError(f"{where}.pools: a term over parameters has none")
        fixed = _constants(constants, chosen, where)
        inner = ["y", *fixed]
        found: list[Pool] = []
        for name, stated in _table(pools, f"{where}.pools").items():
            found.append(_pool(name, stated, inner, f"{where}.pools.{name}"))
            inner.append(name)
        letters = {"targets": ["d"], "units": [], "parameters": ["w", *fixed]}[kind]
        letters += [] if kind == "parameters" else inner
        read = parse(_as_text(expression, where), letters, f"{where}.J")
        self.terms = (Term(read, kind, chosen, names, tuple(found), fixed, at),)

    @classmethod
    def of(cls, terms: Iterable[Term]) -> Objective:
        """The sum of some terms."""
        self = Objective.__new__(Objective)
        self.terms = tuple(terms)
        ends: dict[int, str] = {}
        for term in self.terms:
            for k in term.units_of(0) if term.over == "targets" else ():
                if ends.setdefault(k, term.at) != term.at:
                    raise NetworkError(
                        f"objective: unit {k} has a target at the end in one term and at every "
                        "time in another; they share a column of the mask, so give both the same"
                    )
        return self

    def __add__(self, other: Any) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return Objective.of((*self.terms, *other.terms))

    # --- what is judged -------------------------------------------------------------------

    @cached_property
    def targets(self) -> tuple[int, ...]:
        """The units with targets, in the order of the columns of ``target`` and ``mask``."""
        found = (k for term in self.terms if term.over == "targets" for k in term.units_of(0))
        return tuple(dict.fromkeys(found))

    @cached_property
    def ends(self) -> tuple[bool, ...]:
        """For each column whether its targets are at the end of a sequence if no mask is given."""
        late = {
            k for t in self.terms if t.over == "targets" and t.at == "end" for k in t.units_of(0)
        }
        return tuple(k in late for k in self.targets)

    def judged(self, n: int) -> tuple[int, ...]:
        """The units J depends on, in a network of n: those with targets, then the others."""
        others = (k for term in self.terms if term.over == "units" for k in term.units_of(n))
        return tuple(dict.fromkeys((*self.targets, *others)))

    def default_mask(self, steps: int, dtype: Any = np.float64) -> Any:
        """The mask (T, n_T) that is used where none is given."""
        mask = np.ones((steps, len(self.targets)), dtype=dtype)
        mask[:-1, np.array(self.ends, dtype=bool)] = 0
        return mask

    def check(self, units: int, learned: Iterable[str]) -> None:
        """Hold every term against a network's units and learned parameters.

        Raises
        ------
        NetworkError
            For what does not fit.
        """
        learned = tuple(learned)
        for k in self.judged(units):
            if k >= units:
                what = "target" if k in self.targets else "unit"
                raise NetworkError(
                    f"objective: {what} {k} is out of range; units are 0…{units - 1}"
                )
        if not self.targets:
            raise NetworkError(
                "objective: no term has targets; add one, e.g. derive.SquaredError(targets=[0])"
            )
        for term in self.terms:
            for name, value in term.constants.items():
                if isinstance(value, tuple) and len(value) != len(term.units_of(units)):
                    raise NetworkError(
                        f"objective.constants.{name}: expected one number or "
                        f"{len(term.units_of(units))} (one per unit), got {len(value)}"
                    )
            for name in term.names:
                if name not in learned:
                    raise NetworkError(
                        f"objective.parameters: no learned parameter {name!r}; "
                        f"there is {', '.join(learned) or 'none'}"
                    )

    # --- the only term, where there is one ------------------------------------------------

    @property
    def only(self) -> Term:
        """The term of an objective that has one.

        Raises
        ------
        NetworkError
            Where there are several.
        """
        if len(self.terms) != 1:
            raise NetworkError(f"objective: it has {len(self.terms)} terms; see its terms")
        return self.terms[0]

    @property
    def text(self) -> str:
        """The only term's expression as text."""
        return self.only.read.text

    @property
    def expression(self) -> sympy.Expr:
        """The only term's expression, in the real symbols ``d`` and ``y``."""
        return self.only.expression

    def to_spec(self) -> dict[str, Any]:
        """The ``[objective]`` table of a spec file."""
        if len(self.terms) == 1:
            return self.terms[0].to_spec()
        return {"terms": [term.to_spec() for term in self.terms]}

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


class SquaredError(Objective):
    """J(t) = −½ Σ over k ∈ T(t) of (d_k(t) − y_k(t))² (Williams & Zipser 1995).

    Parameters
    ----------
    targets : sequence of int
        The units that have targets.
    weights : number or sequence of number, optional
        What each square counts, one number or one per target; 1 if not given.
    at : str
        See :class:`Objective`.
    """

    def __init__(self, targets: Sequence[int], weights: Any = None, at: str = "every") -> None:
        if weights is None:
            super().__init__("-(d - y)**2/2", targets, at=at)
        else:
            super().__init__("-c*(d - y)**2/2", targets, constants={"c": weights}, at=at)


# --- reading what is stated ------------------------------------------------------------------


def _units(stated: Any, kind: str, where: str) -> tuple[int, ...]:
    one = "a target" if kind == "targets" else "a unit"
    if isinstance(stated, (str, bytes)) or not isinstance(stated, Sequence):
        raise NetworkError(f"{where}: {kind} must be a list of units, got {stated!r}")
    if not len(stated):
        raise NetworkError(f"{where}: {kind} is empty; name at least one unit")
    units = tuple(whole(k, f"{where}: {one}", 0) for k in stated)
    twice = sorted({k for k in units if units.count(k) > 1})
    if twice:
        raise NetworkError(f"{where}: unit {twice[0]} is listed twice in {kind}")
    return units


def _names(stated: Any, where: str) -> tuple[str, ...]:
    if isinstance(stated, (str, bytes)) or not isinstance(stated, Sequence) or not len(stated):
        raise NetworkError(
            f"{where}.parameters: expected a list of names such as ['w'], got {stated!r}"
        )
    for name in stated:
        validate_identifier(name, f"{where}.parameters: name")
    return tuple(dict.fromkeys(stated))


def _table(stated: Any, where: str) -> Mapping[str, Any]:
    if stated is None:
        return {}
    if not isinstance(stated, Mapping):
        raise NetworkError(f"{where}: expected a table, got {stated!r}")
    for name in stated:
        validate_identifier(name, f"{where}: name")
        if name in LETTERS:
            raise NetworkError(f"{where}: the name {name!r} is taken; choose another")
    return stated


def _constants(stated: Any, units: tuple[int, ...] | None, where: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in _table(stated, f"{where}.constants").items():
        key = f"{where}.constants.{name}"
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            numbers = tuple(finite(v, key) for v in value)
            if units is not None and len(numbers) != len(units):
                raise NetworkError(
                    f"{key}: expected one number or {len(units)} (one per unit), got {len(numbers)}"
                )
            found[name] = numbers
        else:
            found[name] = finite(value, key)
    return found


def _pool(name: str, stated: Any, names: Sequence[str], where: str) -> Pool:
    if name in names:
        raise NetworkError(f"{where}: the name {name!r} is declared twice")
    if isinstance(stated, (str, bytes)) or not isinstance(stated, Sequence) or len(stated) != 2:
        raise NetworkError(f'{where}: expected (kind, expression), e.g. ("sum", "exp(y)")')
    kind, expression = stated
    if kind not in KINDS:
        raise NetworkError(f"{where}: expected the kind {' or '.join(KINDS)}, got {kind!r}")
    read = parse(_as_text(expression, where), [*names, "d"], where)
    if "d" in read.names:
        raise NetworkError(
            f"{where}: a pool is over all units whatever the mask, so it cannot read targets d"
        )
    return Pool(name, kind, read)


def _as_text(expression: Any, where: str) -> Any:
    if isinstance(expression, str):
        return expression
    import sympy

    try:
        expression = sympy.sympify(expression, strict=True)
    except sympy.SympifyError as error:
        raise NetworkError(f"{where}: expected an expression, got {expression!r}") from error
    names = {s: sympy.Symbol(s.name, real=True) for s in expression.free_symbols}
    return to_text(expression.xreplace(names))


def moved(term: Term, units: Sequence[int], places: Sequence[int]) -> Term:
    """A term on other units: ``units[i]``, one of its own, becomes unit ``places[i]``."""
    own = term.units or ()
    at = [own.index(k) for k in units]
    constants = {
        name: tuple(value[i] for i in at) if isinstance(value, tuple) else value
        for name, value in term.constants.items()
    }
    return replace(term, units=tuple(places), constants=constants)
