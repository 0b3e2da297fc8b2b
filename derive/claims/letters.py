"""The letters a claim may use for a network, and what stands on each: indices, times, arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from derive.calculus.form import Form
from derive.claims.lexer import FUNCTIONS, GREEK, undotted
from derive.claims.syntax import IllFormed, Ref

UNIT, SOURCE, LINE, TIME, DELAY, VALUE = "unit", "source", "input line", "time", "delay", "value"
KINDS = {UNIT: "a unit", SOURCE: "a unit or input line", LINE: "an input line", TIME: "a time",
         DELAY: "a delay"}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What a letter carries: kinds of its lower and upper indices and of its arguments."""

    lower: tuple[str, ...] = ()
    upper: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    like: str = ""


OF_UNIT = (UNIT,)
AT = (TIME,)
KNOWN: Mapping[tuple[str, str], Shape] = {
    ("x", ""): Shape((SOURCE,), (), AT, "x_l(t)"),
    ("x", "net"): Shape((LINE,), (), AT, "x^net_l(t)"),
    ("d", ""): Shape(OF_UNIT, (), AT, "d_k(t)"),
    ("e", ""): Shape(OF_UNIT, (), AT, "e_k(t)"),
    ("J", ""): Shape((), (), AT, "J(t)"),
    ("J", "total"): Shape((), (), (TIME, TIME), "J^total(t₀, t₁)"),
    ("η", ""): Shape((), (), (), "η"),
    ("Δt", ""): Shape((), (), (), "Δt"),
}
CONSTANTS = frozenset({"t0", "t1", "n", "m", "h", "h'"})
"""Letters for whole numbers that a claim need not bind."""
SIZES = frozenset({"n", "m"})
"""Those of them that are indices like any other where they stand as one: y_m(t)."""


def plain(name: str) -> str:
    """A network's own name as a claim may write it: ``tau`` is τ, ``d′`` is d'."""
    primes = name.count("′")
    base = name.rstrip("′")
    return GREEK.get(base, base) + "'" * primes


def is_function(ref: Ref) -> bool:
    """Whether f is the function of the net input, f_k(s_k(t)), and not a signal f_k(t)."""
    return ref.name == "f" and any(
        isinstance(part, Ref) and (part.lower or part.args is not None)
        for arg in ref.args or ()
        for part in arg.walk()
    )


@dataclass(frozen=True)
class Letters:
    """The letters of one network, and those a claims file defines.

    Attributes
    ----------
    form : Form
    defined : mapping of str to Shape
        By their letter.
    """

    form: Form
    defined: Mapping[str, Shape]

    @property
    def of_time(self) -> frozenset[str]:
        """The network's own letters that take a time."""
        own = {plain(v) for u in self.form.units for s, v in u.names.items()
               if s not in (*u.local.parameters, *u.local.fixed)}  # fmt: skip
        return frozenset(own | {k for k, shape in self.defined.items() if shape.args})

    @property
    def long(self) -> frozenset[str]:
        """The network's own names that are more than one letter: s_i, v_next, f1."""
        own = {plain(v) for u in self.form.units for v in u.names.values()}
        return frozenset(v for v in own | set(self.form.net_inputs) if len(v.rstrip("'")) > 1)

    def shape(self, ref: Ref) -> Shape:
        """What a letter should carry.

        Raises
        ------
        IllFormed
            For one that is not known.
        """
        name = ref.name + "'" * (ref.primes if ref.name != "f" else 0)
        if name in self.defined:
            return self.defined[name]
        if name in FUNCTIONS and not ref.lower:
            return Shape((), (), (VALUE,), f"{name}(…)")
        if is_function(ref):
            return Shape(OF_UNIT, (), (VALUE,), "f_k(s_k(t))")
        if (own := self._own(name)) is not None:
            return own
        if name == "y":
            return Shape(OF_UNIT, (), AT, "y_k(t)")
        if name in ("w", "Δw"):
            self._check_net_input(ref)
            delay = (DELAY,) if ref.upper else ()
            return Shape((UNIT, SOURCE), delay, (), f"{name}_kl")
        if name in ("ε", "δ"):
            if ref.mark:
                self._check_mark(ref)
            elif name == "δ" and len(self.form.net_inputs) > 1:
                raise IllFormed(
                    "δ needs its net input, as in "
                    + ", ".join(f"δ^({s})_k(τ)" for s in self.form.net_inputs),
                    ref.span,
                )
            return Shape(OF_UNIT, (), AT, f"{name}_k(τ)")
        if name == "p":
            return Shape((UNIT, SOURCE), OF_UNIT, AT, "p^k_ij(t)")
        if (base := undotted(name)) is not None:
            return replace(self.shape(replace(ref, name=base)), like=f"{name}_k(t)")
        if (name, ref.mark) in KNOWN:
            return KNOWN[name, ref.mark]
        raise IllFormed(f"{name} is not known; {self.words}", ref.span)

    def _own(self, name: str) -> Shape | None:
        """A state, intermediate, net input or parameter of some cell."""
        for u in self.form.units:
            for v, written in u.names.items():
                if plain(written) != name:
                    continue
                if v in (*u.local.parameters, *u.local.fixed):
                    if v in u.shared:
                        return Shape((), (), (), name)
                    return Shape(OF_UNIT, (), (), f"{name}_k")
                return Shape(OF_UNIT, (), AT, f"{name}_k(t)")
        return None

    def _check_mark(self, ref: Ref) -> None:
        known = {plain(v) for u in self.form.units for v in u.names.values()}
        known |= set(self.form.net_inputs)
        if ref.mark not in known:
            raise IllFormed(
                f"{ref.name}^({ref.mark}): {ref.mark} is no state, intermediate or net input; "
                f"there are {', '.join(sorted(known))}",
                ref.span,
            )

    def _check_net_input(self, ref: Ref) -> None:
        if ref.mark and ref.mark not in self.form.net_inputs:
            raise IllFormed(
                f"w^({ref.mark}): there is no net input {ref.mark}; there are "
                f"{', '.join(self.form.net_inputs)}",
                ref.span,
            )
        if not ref.mark and len(self.form.net_inputs) > 1:
            raise IllFormed(
                "w needs its net input, as in "
                + ", ".join(f"w^({s})_kl" for s in self.form.net_inputs),
                ref.span,
            )

    @property
    def words(self) -> str:
        """Which letters there are, in words."""
        own = sorted({plain(v) for u in self.form.units for v in u.names.values()} | {"y"})
        return (
            f"this network has {', '.join(own)}; besides there are w, x, x^net, d, e, J, J^total, "
            "ε, δ, p, f, η and Δw"
            + (f", and the file defines {', '.join(self.defined)}" if self.defined else "")
        )
