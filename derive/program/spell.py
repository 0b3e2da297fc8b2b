"""What the algorithms of a network cost, as text: formulas in one line, and rows of tables.

A formula looks like ``w_A + 4·n_T + (h/h′)·(w_U + w_A + 2·n)``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy

from derive.program.census import MEANINGS
from derive.program.complexity import AlgorithmCost, Complexity

TIME = ("h", "h′", "L", "K", "C")
POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def spelled(formula: Any) -> str:
    """The formula, its terms gathered by the steps they are multiplied with."""
    groups: dict[str, list[tuple[Any, Any]]] = {}
    for term in sympy.Add.make_args(sympy.expand(formula)):
        coefficient, product = term.as_coeff_Mul()
        powers = product.as_powers_dict()
        steps = [(s.name, e) for s, e in powers.items() if s.is_Symbol and s.name in TIME]
        rest = [(s.name, e) for s, e in powers.items() if s.is_Symbol and s.name not in TIME]
        groups.setdefault(_quotient(steps), []).append((coefficient, sorted(rest, key=_place)))
    lines = [_group(steps, rest) for steps, rest in sorted(groups.items())]
    return " + ".join(lines).replace("+ −", "− ") or "0"


def _group(steps: str, rest: list[tuple[Any, Any]]) -> str:
    text = _sum(rest)
    if not steps or text == "1":
        return steps or text
    several = len(rest) > 1
    if steps.startswith("1/"):
        return (f"({text})" if several else text) + steps[1:]
    if several:
        return f"({steps})·({text})" if "/" in steps else f"{steps}·({text})"
    return f"{text}·{steps}"


def _sum(terms: list[tuple[Any, Any]]) -> str:
    # The longest products first, and the plain number last.
    ordered = sorted(terms, key=lambda t: (-sum(e for _, e in t[1]), [_place(f) for f in t[1]]))
    text = ""
    for coefficient, factors in ordered:
        sign = " − " if coefficient < 0 else " + "
        number, product = abs(coefficient), "·".join(map(_power, factors))
        term = product if product and number == 1 else f"{number}·{product}".rstrip("·")
        text += (sign if text else sign.strip().replace("+", "")) + term
    return text


def _place(factor: Any) -> tuple[int, str]:
    name = factor[0]
    base = name.partition("[")[0]
    order = list(MEANINGS)
    return (order.index(base) if base in order else len(order), name)


def _power(factor: tuple[str, Any]) -> str:
    name, exponent = factor
    return name if exponent == 1 else name + str(exponent).translate(POWERS)


def _quotient(steps: list[tuple[str, Any]]) -> str:
    over = "·".join(_power(f) for f in sorted(steps) if f[1] > 0)
    under = "·".join(_power((n, -e)) for n, e in sorted(steps) if e < 0)
    if not under:
        return over
    return f"{over or '1'}/{under}"


# --- rows of tables ----------------------------------------------------------------------------


def number(value: Fraction | int) -> str:
    """A count; an average that is not whole to one decimal."""
    return f"{int(value):,}" if value == int(value) else f"{float(value):,.1f}"


def cost_table(found: Complexity) -> list[list[str]]:
    """A header and a row for each algorithm: operations per time step, and numbers kept."""
    divides = any(row.divisions for row in found.rows)
    header = ["algorithm", "multiplications", "additions", *(["divisions"] if divides else []),
              "function calls", "numbers kept", "of them between steps"]  # fmt: skip
    table = [header]
    for row in found.rows:
        calls = ", ".join(f"{number(n)} {name}" for name, n in row.functions.items())
        counts = [row.multiplications, row.additions, *([row.divisions] if divides else [])]
        table.append([row.title, *map(number, counts), calls, number(row.kept),
                      number(row.between) if row.between else "–"])  # fmt: skip
    return table


SHOWN = {"multiplications": "multiplications", "additions": "additions", "divisions": "divisions",
         "kept": "numbers kept"}  # fmt: skip


def formula_table(found: Complexity) -> list[list[str]]:
    """A header and, for each algorithm, a row for each of what has a formula."""
    table = [["algorithm", "what", "formula"]]
    for row in found.rows:
        shown = {what: called for what, called in SHOWN.items() if row.formulas[what] != 0}
        for i, (what, called) in enumerate(shown.items()):
            table.append(["" if i else row.title, called, spelled(row.formulas[what])])
    return table


def remarks(found: Complexity) -> list[str]:
    """What the letters are, what structure saves, and what could not be counted or named."""
    uses: dict[str, dict[int, AlgorithmCost]] = {}
    for row in found.rows:
        for name, value in _letters(row).items():
            uses.setdefault(name, {}).setdefault(value, row)
    shared = [(name, *rows.popitem()) for name, rows in uses.items() if len(rows) == 1]
    shared.sort(key=lambda use: _place((use[0], 1)))
    lines = ["where " + "; ".join(_valued(*use) for use in shared)]
    for row in found.rows:
        own = [_valued(n, v, row) for n, v in _letters(row).items() if len(uses[n]) > 1]
        lines += [f"in {row.title} {'; '.join(own)}"] if own else []
    lines += [_structure(row) for row in found.rows if "q" in _letters(row)]
    for row in found.rows:
        if row.apart is not None:
            more = row.apart.multiplications, row.apart.additions
            said = "and once a pattern {:,} multiplications and {:,} additions"
            lines.append(f"{row.title}: {said.format(*more)}")
    lines += found.notes
    lines += [f"{row.title}: {text}" for row in found.rows for text in row.complaints]
    return lines


def _letters(row: AlgorithmCost) -> dict[str, int]:
    """The names in a row's formulas, in their usual order, with their numbers."""
    used = {s.name for what in SHOWN for s in row.formulas[what].free_symbols}
    used |= {name for name in ("g",) if name in row.names.values and row.algorithm.get("groups")}
    return {name: row.names.values[name] for name in sorted(used, key=lambda n: _place((n, 1)))}


def _valued(name: str, value: int, row: AlgorithmCost) -> str:
    """The number, what is counted, and for p and q the product of a net where all is connected."""
    text = f"{name} = {value:,}"
    g = row.names.values.get("g", 1) if row.algorithm.get("groups") else 1
    for of, power, (a, b) in (("p", 1, ("n", "w_A")), ("q", 2, ("w_U", "w_A"))):
        product = row.names.values[a] * row.names.values[b]
        if name == of and value * g**power == product:
            over = "" if g == 1 else "/g" if power == 1 else "/g²"
            return f"{text} = {a}·{b}{over}"
    return f"{text} {MEANINGS[name]}" if name in MEANINGS else text


def _structure(row: AlgorithmCost) -> str:
    """How many sensitivities and products there are, of all that there could be."""
    values, full = row.names.values, row.full or 0
    products = values["w_U"] * values["θ"]
    return (
        f"{row.title} keeps {values['p']:,} of {full:,} sensitivities of a state by a parameter, "
        f"and takes {values['q']:,} of {products:,} products w·p a step"
    )
