"""Which numbers the indices and times of a claim are, and which sets of them, on a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from derive.claims.context import Context, letter_of
from derive.claims.model import Model, Undefined
from derive.claims.syntax import Add, Condition, Group, IllFormed, Member, Mul, Node, Num, Ref

Env = Mapping[str, int]
LONGEST = 10_000
"""Values of one range; the networks that claims are tried on have a handful of units and steps."""


@dataclass(eq=False)
class Places:
    """Indices, times and conditions on one model.

    Attributes
    ----------
    model : Model
    context : Context
    """

    model: Model
    context: Context

    def whole(self, node: Node, env: Env) -> int:
        """An index or a time."""
        match node:
            case Num():
                if node.value.denominator != 1:
                    raise IllFormed("an index or a time is a whole number", node.span)
                return int(node.value)
            case Ref():
                return self.letter(node, env)
            case Add():
                return sum(self.whole(v, env) for v in node.terms)
            case Mul():
                found = 1
                for v in node.factors:
                    found *= self.whole(v, env)
                return found
        raise IllFormed("an index or a time is made of letters, numbers, + and −", node.span)

    def letter(self, ref: Ref, env: Env) -> int:
        name = letter_of(ref)
        if name in env:
            return env[name]
        net = self.model.net
        fixed = {"t0": 0, "t1": self.model.steps, "n": net.units, "m": net.inputs}
        if name in fixed:
            return fixed[name]
        if name in self.context.values:
            return self.context.values[name]
        raise IllFormed(f"{name} is bound by nothing", ref.span)

    def members(self, group: Group, env: Env) -> list[int]:
        """The indices or times of a set."""
        net = self.model.net
        units, lines = range(net.units), range(net.units, net.units + net.inputs)
        if self.context.swapped:
            units, lines = lines, units
        match group.kind:
            case "U":
                return list(units)
            case "I":
                return list(lines)
            case "𝒟":
                return list(self.model.form.delays)
            case "T":
                time = self.whole(group.of[0], env)
                return [k for k in range(net.units) if self.model.has_target(k, time)]
            case "range":
                return self.range(group, env)
            case "cell":
                names = {v.name for v in group.of if isinstance(v, Ref)}
                labels = {u.label.replace(" ", "") for u in self.model.form.units}
                if not names <= labels:
                    raise IllFormed(
                        f"there is no cell {', '.join(sorted(names - labels))}; there are "
                        f"{', '.join(sorted(labels))}", group.span)  # fmt: skip
                return [k for k in range(net.units)
                        if self.model.unit(k).label.replace(" ", "") in names]  # fmt: skip
            case "∪" | "∖":
                a, b = (self.members(v, env) for v in group.of if isinstance(v, Group))
                if group.kind == "∖":
                    return [v for v in a if v not in b]
                return sorted({*a, *b})
        raise IllFormed(f"{group.kind} is no set", group.span)

    def range(self, group: Group, env: Env) -> list[int]:
        """First to last; downwards where that is how it is written for long runs."""
        first, last = (self.whole(v, env) for v in group.of)
        long = Places(_Long(self.model), self.context)  # type: ignore[arg-type]
        ends = [long.whole(v, {k: 500 for k in env}) for v in group.of]
        if ends[0] > ends[1] and any("t1" == letter_of(v) for v in group.of[0].walk()
                                     if isinstance(v, Ref)):  # fmt: skip
            first, last = last, first
        if last - first >= LONGEST:
            raise IllFormed(f"a range of more than {LONGEST} values", group.span)
        return list(range(first, last + 1))

    def holds(self, condition: Condition, env: Env) -> bool:
        """Whether a condition on indices or times does."""
        if isinstance(condition, Member):
            return self.whole(condition.index, env) in self.members(condition.group, env)
        a, b = self.whole(condition.left, env), self.whole(condition.right, env)
        return {"=": a == b, "≠": a != b, "<": a < b, "≤": a <= b, ">": a > b,
                "≥": a >= b}[condition.sign]  # fmt: skip

    def unit(self, node: Node, env: Env) -> int:
        """An index that has to be a unit's."""
        k = self.whole(node, env)
        if not 0 <= k < self.model.net.units:
            raise Undefined(f"there is no unit {k}", "index")
        return k


class _Long:
    """Stands for a model of many steps where only the order of two times is asked."""

    def __init__(self, model: Model) -> None:
        self.net = model.net
        self.steps = 1000
        self.form = model.form
