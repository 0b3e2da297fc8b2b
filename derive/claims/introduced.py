"""Letters that a claim introduces: on what their value depends."""

from __future__ import annotations

from typing import Any

import mpmath

from derive.claims.context import Budget, Context, Definition
from derive.claims.evaluate import Evaluator
from derive.claims.judge import NEAR, Court, Relation, places
from derive.claims.model import Undefined
from derive.claims.symbols import DIGITS
from derive.claims.wellformed import letters_for, used


def introduced(
    d: Definition, context: Context, court: Court, budget: Budget
) -> tuple[str, tuple[str, str] | None]:
    """The index that the right side has and the left side has not, and two values for it.

    Returns
    -------
    missing : str
        Empty where the left side shows all there is.
    values : tuple of str or None
        Two different ones for the same left side; None where there are no such.
    """
    uses = used(d.body, letters_for(context, court.form))
    missing = [v for v in uses if v not in (*d.lower, *d.args)]
    if not missing:
        return "", None
    relation = Relation(d.body, "=", d.body, (), uses, context)
    with mpmath.workdps(DIGITS):
        for model in court.models:
            evaluator = Evaluator(model, context, budget)
            seen: dict[tuple[int, ...], Any] = {}
            for env in places(relation, evaluator, 100):
                shown = tuple(env[v] for v in (*d.lower, *d.args))
                try:
                    value = evaluator.value(d.body, env)
                except Undefined:
                    continue
                first = seen.setdefault(shown, value)
                if abs(first - value) > NEAR:
                    return ", ".join(missing), (mpmath.nstr(first, 6), mpmath.nstr(value, 6))
    return ", ".join(missing), None
