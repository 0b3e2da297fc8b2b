"""Claims from text to verdicts: each = of a display is judged on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from derive.claims.context import DIRECT, TOTAL, Budget, Context, OutOfTime, definition
from derive.claims.continuous import is_continuous
from derive.claims.grammar.parser import conditions, parsed, sides_of
from derive.claims.judge import FALSE, HOLDS, ILL_FORMED, UNDECIDED, Court, Relation
from derive.claims.letters import Letters
from derive.claims.nearest import bound_to_the_end, nearest
from derive.claims.steps import continuous_verdict, defines_a_step
from derive.claims.syntax import Condition, IllFormed, Node, Unbound
from derive.claims.verdict import Verdict, Verdicts, as_float, proved, refuted
from derive.claims.wellformed import Letter, Uses, check_chain, letters_for, used
from derive.errors import ClaimError

SECONDS = 20.0
"""For one equation, unless a file or a caller allows more."""


def check(
    claim: str,
    net: Any,
    algorithm: str | None = None,
    *,
    of: str | None = None,
    where: str = "",
    define: Iterable[str] = (),
    reading: str | None = None,
    swapped: bool = False,
    definition: bool = False,
    seconds: float = SECONDS,
) -> Verdicts:
    """Judge an equation about how a network learns.

    Parameters
    ----------
    claim : str
        SymPy-like text, the terminal's notation, or LaTeX: ``eps_k(tau-1) = Sum(w_lk*delta_l(tau),
        l in U)``. With several = each is judged on its own.
    net : Network, dict or path of a spec
    algorithm : str, optional
        Whose objective ε and δ are of: J(t) for ``realtime``, ``truncated`` and ``rtrl``,
        J^total(t₀, t₁) for the others; that of the network if not given.
    of : str, optional
        That objective itself, as in ``"J^total(t', t)"``.
    where : str
        For which indices and times: ``"k in T(t), tau = t1..t0+2"``.
    define : iterable of str
        Letters that the claim's author defines, as in ``"beta_k = 1/tau_k"``.
    reading : {"total", "direct"}, optional
        How ∂ of a quantity other than the objective is read. If not given it holds when it holds
        in one reading, and says in which.
    swapped : bool
        Whether the author calls the input lines U and the units I.
    definition : bool
        Whether the left side is a letter that the claim itself introduces.
    seconds : float
        When they are over the verdict is ``undecided``.

    Returns
    -------
    Verdicts
        One for each =; ``.ok`` where all hold.

    Raises
    ------
    ClaimError
        For a wrong option; what is wrong with the claim itself is the verdict ``ill-formed``.
    """
    from derive.kernel import as_network

    found = as_network(net)
    return judge(
        claim, Court(found), algorithm or found.algorithm["name"], of=of, where=where,
        define=define, reading=reading, swapped=swapped, introduces=definition, seconds=seconds,
    )  # fmt: skip


OF_ONE_TIME = frozenset({"realtime", "truncated", "rtrl"})


def judge(
    claim: str,
    court: Court,
    algorithm: str,
    *,
    of: str | None = None,
    where: str = "",
    define: Iterable[str] = (),
    reading: str | None = None,
    swapped: bool = False,
    introduces: bool = False,
    seconds: float = SECONDS,
) -> Verdicts:
    """The same before a court that may have judged others."""
    if not isinstance(claim, str):
        raise ClaimError(f"a claim is a text, not {type(claim).__name__}")
    if reading not in (None, TOTAL, DIRECT):
        raise ClaimError(f"reading: expected 'total' or 'direct', got {reading!r}")
    stated = of or ("J(t)" if algorithm in OF_ONE_TIME else "J^total(t0, t1)")
    try:
        objective = parsed(f"{stated} = 0").sides[0]
        context = Context(objective, _definitions(define), swapped, reading or TOTAL)
        letters = letters_for(context, court.form)
        further = conditions(where) if where else ()
    except IllFormed as error:
        raise ClaimError(f"of, define or where: {error}") from None
    try:
        sides, signs, own = sides_of(claim, letters.of_time, letters.long)
    except IllFormed as error:
        return Verdicts((Verdict(claim, ILL_FORMED, str(error), place=error.span),))
    where_ = (*own, *further)
    if introduces:
        return Verdicts((_introduced(claim, sides, context, court, seconds),))
    try:
        uses, meant = check_chain(sides, where_, context, letters)
    except IllFormed as error:
        return Verdicts((Verdict(claim, ILL_FORMED, str(error), place=error.span),))
    display = _Display(claim, sides, uses, where_, meant, context, letters, court, algorithm)
    return Verdicts(tuple(display.link(i, s, reading, seconds) for i, s in enumerate(signs)))


@dataclass(frozen=True, eq=False)
class _Display:
    """Sides with signs between them, each with its letters, or with what is wrong with it."""

    claim: str
    sides: list[Node | IllFormed]
    uses: list[Uses | IllFormed]
    where: tuple[Condition, ...]
    meant: Uses
    context: Context
    letters: Letters
    court: Court
    algorithm: str

    def link(self, i: int, sign: str, reading: str | None, seconds: float) -> Verdict:
        """The verdict on one sign."""
        text = _between(self.claim, self.sides, i)
        fault = next((u for u in self.uses[i : i + 2] if isinstance(u, IllFormed)), None)
        left, right = self.sides[i], self.sides[i + 1]
        if fault is not None:
            near = ""
            if isinstance(fault, Unbound) and isinstance(left, Node) and isinstance(right, Node):
                near = bound_to_the_end(
                    (left, right), fault, lambda a, b: self.relation(a, sign, b, reading),
                    self.court, Budget(seconds))  # fmt: skip
            return Verdict(text, ILL_FORMED, str(fault), nearest=near, place=fault.span)
        assert isinstance(left, Node) and isinstance(right, Node)
        if is_continuous(left) or is_continuous(right):
            return continuous_verdict(text, left, right, self.context, self.court)
        relation = self.relation(left, sign, right, None)
        found = _judged(text, relation, self.court, reading, seconds)
        if found.verdict != HOLDS:
            return found
        return replace(
            found,
            equation=self.court.equation(self.algorithm, left, right, self.letters),
        )

    def relation(self, left: Node, sign: str, right: Node, reading: str | None) -> Relation:
        """Two sides with the letters of both, and of what the claim is said to be for."""
        together = _together(used(left, self.letters), used(right, self.letters), self.meant)
        context = replace(self.context, reading=reading or self.context.reading)
        return Relation(left, sign, right, self.where, together, context)


def _definitions(define: Iterable[str]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for text in define:
        left, right = parsed(text).sides[:2]
        d = definition(left, right)
        if d.name in found and found[d.name] != d:
            raise IllFormed(f"{d.name} is defined twice, and not alike", left.span)
        found[d.name] = d
    return found


def _between(claim: str, sides: list[Node | IllFormed], i: int) -> str:
    """The text of two sides that stand next to each other."""
    spans = [s.span or (0, len(claim)) for s in sides[i : i + 2]]
    if any(isinstance(s, IllFormed) for s in sides[i : i + 2]):
        return claim
    return claim[spans[0][0] : spans[1][1]]


def _together(*uses: Uses) -> Uses:
    found: Uses = {}
    for each in uses:
        for letter, use in each.items():
            kept = found.setdefault(letter, Letter(span=use.span))
            kept.kinds = {**use.kinds, **kept.kinds}
    return found


def _judged(
    text: str, relation: Relation, court: Court, reading: str | None, seconds: float
) -> Verdict:
    """The verdict on one =, in the reading asked for or in both."""
    readings = [reading] if reading else [TOTAL, DIRECT] if relation.ambiguous else [TOTAL]
    verdicts = []
    for read in readings:
        how = replace(relation, context=replace(relation.context, reading=read))
        verdicts.append(_verdict(text, how, court, seconds))
    if len(verdicts) == 1:
        return replace(verdicts[0], reading=reading or "")
    total, direct = verdicts
    if total.verdict == direct.verdict:
        return total
    if total.verdict == HOLDS:
        return replace(total, reading=TOTAL, because=total.because + ", with ∂ read as the total "
                       f"derivative; as the direct partial: {direct.verdict}")  # fmt: skip
    if direct.verdict == HOLDS:
        return replace(direct, reading=DIRECT, because=direct.because + ", with ∂ read as the "
                       f"direct partial; as the total derivative: {total.verdict}, "
                       f"{total.because}")  # fmt: skip
    return total


def _verdict(text: str, relation: Relation, court: Court, seconds: float) -> Verdict:
    budget = Budget(seconds)
    try:
        outcome = court.compare(relation, budget)
    except IllFormed as error:
        return Verdict(text, ILL_FORMED, str(error), place=error.span)
    except OutOfTime:
        return Verdict(text, UNDECIDED, f"the {seconds:g} seconds allowed are over")
    except (ArithmeticError, RecursionError) as error:
        return Verdict(text, UNDECIDED, f"it cannot be computed: {type(error).__name__}")
    if relation.sign == "≈":
        how = "differ" if outcome.refuted else "are equal"
        return Verdict(text, UNDECIDED, f"≈ does not say how near; the two sides {how}")
    if not outcome.compared:
        return Verdict(text, ILL_FORMED, "it is claimed for no index and time at which both sides "
                       "have a value")  # fmt: skip
    if outcome.refuted is not None:
        if relation.sign == "≠":
            return Verdict(text, HOLDS, refuted(outcome.refuted))
        near = nearest(relation, outcome.refuted, court, budget)
        values = as_float(outcome.refuted.left), as_float(outcome.refuted.right)
        return Verdict(text, FALSE, refuted(outcome.refuted), "", near, *values)
    if outcome.proved:
        verdict = FALSE if relation.sign == "≠" else HOLDS
        return Verdict(text, verdict, proved(outcome, court))
    return Verdict(text, UNDECIDED, f"equal as numbers on {outcome.networks} networks, and not "
                   f"proved{': ' + outcome.because if outcome.because else ''}")  # fmt: skip


def _introduced(
    claim: str, sides: list[Node | IllFormed], context: Context, court: Court, seconds: float
) -> Verdict:
    """Whether what a claim introduces depends on no more than it shows."""
    fault = next((s for s in sides if isinstance(s, IllFormed)), None)
    if fault is not None:
        return Verdict(claim, ILL_FORMED, str(fault), place=fault.span)
    left, right = sides[0], sides[1]
    assert isinstance(left, Node) and isinstance(right, Node)
    if is_continuous(left):
        return defines_a_step(claim, left, right, context, court)
    from derive.claims.introduced import introduced

    try:
        d = definition(left, right)
        missing, refuted = introduced(d, context, court, Budget(seconds))
    except IllFormed as error:
        return Verdict(claim, ILL_FORMED, str(error), place=error.span)
    if not missing:
        return Verdict(claim, HOLDS, f"a definition of {d.name}")
    if refuted is None:
        return Verdict(claim, HOLDS, f"a definition of {d.name}: the right side is the same for "
                       f"every {missing}")  # fmt: skip
    return Verdict(
        claim, FALSE, f"{d.name} would have to be both {refuted[0]} and {refuted[1]}: the right "
        f"side depends on {missing}", nearest=f"true for a {d.name}_{missing}, and where the right "
        f"side is the same for every {missing}")  # fmt: skip
