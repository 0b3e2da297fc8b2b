"""Whether a claim says something: known letters, right indices, and each of them bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from derive.calculus.form import Form
from derive.claims.context import Context, letter_of
from derive.claims.letters import (
    CONSTANTS,
    DELAY,
    KINDS,
    LINE,
    SIZES,
    SOURCE,
    TIME,
    UNIT,
    VALUE,
    Letters,
    Shape,
    is_function,
)
from derive.claims.syntax import (
    Compare,
    Condition,
    Gradient,
    Group,
    IllFormed,
    Member,
    Node,
    Num,
    Ref,
    Slope,
    Span,
    Total,
    Unbound,
)

ANY = "any"
NO_QUANTITY = ("J", "Δw", "η", "Δt")
TIME_ITSELF = Ref("t")
"""What a rate is by, as in dy/dt."""
BY_TARGET, BY_SOURCE = "∇i", "∇j"
"""The indices of the weight that ∇ is by."""
OF_INDEX = (UNIT, SOURCE, LINE)


@dataclass
class Letter:
    """How one letter is used: as what, and where first."""

    kinds: dict[str, Span] = field(default_factory=dict)
    span: Span = (0, 0)

    @property
    def kind(self) -> str:
        """What it is, from all its uses."""
        for kind in (TIME, DELAY, UNIT, LINE, SOURCE):
            if kind in self.kinds:
                return kind
        return ANY


Uses = dict[str, Letter]


def used(node: Node, letters: Letters) -> Uses:
    """The free letters of an expression, each with what it is used as.

    Raises
    ------
    IllFormed
        For a letter that is not known, has too many or too few indices or times, or is a time in
        one place and an index in another.
    """
    scan = _Scan(letters)
    scan.expression(node, frozenset())
    return scan.uses


def check_chain(
    sides: Sequence[Node | IllFormed],
    where: Iterable[Condition],
    context: Context,
    letters: Letters,
) -> tuple[list[Uses | IllFormed], Uses]:
    """The letters of each side, and those the whole binds.

    A letter is bound by the first side, by what is said after "for", or by what ε and δ are of;
    one that stands only further on says nothing.
    """
    found: list[Uses | IllFormed] = []
    for side in sides:
        try:
            found.append(side if isinstance(side, IllFormed) else used(side, letters))
        except IllFormed as error:
            found.append(error)
    scan = _Scan(letters)
    for condition in where:
        scan.condition(condition, frozenset())
    bound = set(scan.uses) | set(context.letters_of_objective) | (CONSTANTS - SIZES)
    bound |= set(context.values)
    first, *others = found
    if isinstance(first, dict) and not isinstance(sides[0], Num):
        bound |= set(first)
        for i, uses in enumerate(others, 1):
            free = (
                next((v for v in uses if v not in bound), None) if isinstance(uses, dict) else None
            )
            if isinstance(uses, dict) and free is not None:
                found[i] = Unbound(_unbound(free, uses[free]), free, uses[free].span)
    return found, scan.uses


def letters_for(context: Context, form: Form) -> Letters:
    """The letters of a network, and the defined ones as what their definitions say they carry."""
    shapes = {d.name: Shape((ANY,) * len(d.lower), (), (ANY,) * len(d.args), d.name)
              for d in context.definitions.values()}  # fmt: skip
    letters = Letters(form, shapes)
    for d in context.definitions.values():
        scan = _Scan(letters)
        scan.expression(d.body, frozenset())
        free = next((v for v in scan.uses if v not in (*d.lower, *d.args)), None)
        if free is not None and free not in context.values:
            raise IllFormed(
                f"{d.name} is defined with {free} on the right, which is no index of it on the "
                "left",
                scan.uses[free].span,
            )
        kinds = {v: found.kind for v, found in scan.uses.items()}
        shapes[d.name] = Shape(
            tuple(kinds.get(v, UNIT) for v in d.lower),
            (),
            tuple(kinds.get(v, TIME) for v in d.args),
            d.name,
        )
    return letters


def _unbound(letter: str, use: Letter) -> str:
    kind = KINDS.get(use.kind, "an index")
    return (
        f"{letter} is bound by nothing: it is {kind} on this side, stands on no side before, no "
        "sum runs over it, and nothing says for which it should hold"
    )


class _Scan:
    def __init__(self, letters: Letters) -> None:
        self.letters = letters
        self.uses: Uses = {}
        self.of_range = False

    def use(self, letter: str, kind: str, span: Span, bound: frozenset[str]) -> None:
        is_index = letter in SIZES and kind in OF_INDEX and not self.of_range
        if letter in bound or letter in CONSTANTS and not is_index:
            return
        found = self.uses.setdefault(letter, Letter(span=span))
        found.kinds.setdefault(kind, span)
        self._consistent(letter, found)

    def _consistent(self, letter: str, found: Letter) -> None:
        of_index = [v for v in OF_INDEX if v in found.kinds]
        for kind in (TIME, DELAY):
            if kind in found.kinds and of_index:
                span = max(found.kinds[kind], found.kinds[of_index[0]])
                raise IllFormed(
                    f"{letter} is {KINDS[of_index[0]]} in one place and {KINDS[kind]} in another",
                    span,
                )

    def expression(self, node: Node, bound: frozenset[str]) -> None:
        match node:
            case Ref():
                self.reference(node, bound)
            case Total():
                self.total(node, bound)
            case Slope():
                self.expression(node.over, bound)
                if node.under == TIME_ITSELF:
                    self.use("t", TIME, node.under.span, bound)
                else:
                    self.expression(node.under, bound)
                    self.by(node.under)
            case Gradient():
                self.use(BY_TARGET, UNIT, node.span, bound)
                self.use(BY_SOURCE, SOURCE, node.span, bound)
                self.expression(node.of, bound)
            case Member() | Compare():
                self.condition(node, bound)
            case _:
                for part in node.parts():
                    self.expression(part, bound)

    def by(self, under: Node) -> None:
        """What can be differentiated by."""
        if not isinstance(under, Ref) or under.name in NO_QUANTITY or is_function(under):
            raise IllFormed(
                "a derivative is by one quantity of the network: a weight, a parameter, or a "
                "signal at a time",
                under.span,
            )

    def reference(self, ref: Ref, bound: frozenset[str]) -> None:
        if (
            ref.args is None
            and not ref.lower
            and not ref.upper
            and (letter_of(ref) in bound or letter_of(ref) in CONSTANTS)
        ):
            return  # an index or a time as a number
        shape = self.letters.shape(ref)
        self.places(ref, "index below", ref.lower, shape.lower, shape, bound)
        self.places(ref, "index above", ref.upper, shape.upper, shape, bound)
        self.places(ref, _arguments(shape), ref.args or (), shape.args, shape, bound)

    def places(
        self,
        ref: Ref,
        what: str,
        given: tuple[Node, ...],
        kinds: tuple[str, ...],
        shape: Shape,
        bound: frozenset[str],
    ) -> None:
        if len(given) != len(kinds):
            plural = {"index below": "indices below", "index above": "indices above"}
            said = what if len(kinds) == 1 else plural.get(what, what + "s")
            raise IllFormed(
                f"{ref.name} has {len(kinds) or 'no'} {said}, not {len(given) or 'none'}: "
                f"it is written {shape.like}",
                ref.span,
            )
        for place, kind in zip(given, kinds, strict=True):
            self.place(place, kind, bound)

    def place(self, node: Node, kind: str, bound: frozenset[str]) -> None:
        """An index, a time, or what a function is of."""
        if kind == VALUE:
            self.expression(node, bound)
            return
        if kind in OF_INDEX and not self.of_range and not isinstance(node, Ref | Num):
            raise IllFormed("an index is a letter or a number", node.span)
        for part in node.walk():
            if isinstance(part, Ref):
                if part.lower or part.args is not None or part.upper:
                    raise IllFormed("an index or a time is made of letters and numbers", part.span)
                self.use(letter_of(part), kind, part.span, bound)

    def total(self, node: Total, bound: frozenset[str]) -> None:
        inner = _Scan(self.letters)
        inner.expression(node.body, bound - {node.letter})
        own = inner.uses.pop(node.letter, None)
        if node.domain is not None and own is not None:
            self.runs_over(node, node.domain, own)
        for letter, found in inner.uses.items():
            for kind, span in found.kinds.items():
                self.use(letter, kind, span, bound)
        if node.domain is None:
            if own is None or own.kind in (TIME, DELAY, ANY):
                raise IllFormed(f"Σ over {node.letter} needs to say over which", node.span)
        else:
            self.group(node.domain, bound, own.kind if own else ANY)

    def runs_over(self, node: Total, domain: Group, own: Letter) -> None:
        """A sum over units is over no times."""
        if domain.kind in ("range", "𝒟"):
            return
        if TIME in own.kinds or DELAY in own.kinds:
            raise IllFormed(
                f"the sum runs over {node.letter} ∈ {_said(domain)}, an index, and "
                f"{node.letter} is a time in what is summed",
                own.kinds.get(TIME, own.span),
            )

    def group(self, group: Group, bound: frozenset[str], kind: str) -> None:
        if group.kind == "T":
            self.place(group.of[0], TIME, bound)
        elif group.kind == "range":
            self.of_range = True
            for end in group.of:
                self.place(end, TIME if kind in (TIME, ANY) else kind, bound)
            self.of_range = False
        elif group.kind != "cell":
            for part in group.of:
                assert isinstance(part, Group)
                self.group(part, bound, kind)

    def condition(self, condition: Condition, bound: frozenset[str]) -> None:
        if isinstance(condition, Member):
            kind = SOURCE if condition.group.kind != "range" else ANY
            kind = DELAY if condition.group.kind == "𝒟" else kind
            for part in condition.index.walk():
                if isinstance(part, Ref):
                    self.use(letter_of(part), kind, part.span, bound)
            self.group(condition.group, bound, ANY if kind == ANY else kind)
            return
        for side in (condition.left, condition.right):
            for part in side.walk():
                if isinstance(part, Ref):
                    self.use(letter_of(part), ANY, part.span, bound)


def _arguments(shape: Shape) -> str:
    return "time" if shape.args[:1] != (VALUE,) else "argument"


def _said(group: Group) -> str:
    if group.kind in ("∪", "∖"):
        return f" {group.kind} ".join(_said(v) for v in group.of if isinstance(v, Group))
    return group.kind if group.kind != "T" else "T(t)"
