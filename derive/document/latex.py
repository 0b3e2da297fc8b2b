"""A document for LaTeX: stands alone, and needs article, amsmath and inputenc only.

A long equation is broken between the terms of its sum, by an estimate of its width; one whose
terms are themselves too long is set in smaller type.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from textwrap import TextWrapper

from sympy import Expr

from derive.calculus.steps import range_in_latex
from derive.calculus.typeset import DOT, Latex, as_latex
from derive.document.blocks import Block, Code, Equation, Figure, Items, Paragraph, Section, Table
from derive.document.inline import plain, text_in_latex, to_latex

LINE = 74
"""How many signs of an equation go into a line."""
CODE = 100
"""How many signs of a program go into one."""
SIZES = ((1.0, ""), (1.12, r"\small"), (1.3, r"\footnotesize"), (1.6, r"\scriptsize"))

SIGNS = {
    "∎": r"\rule{1ex}{1ex}",
    "ε": r"\varepsilon", "δ": r"\delta", "ζ": r"\zeta", "η": r"\eta", "θ": r"\theta",
    "τ": r"\tau", "ρ": r"\rho", "λ": r"\lambda", "µ": r"\mu", "μ": r"\mu", "σ": r"\sigma",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "φ": r"\phi", "κ": r"\kappa", "ω": r"\omega",
    "Δ": r"\Delta", "Σ": r"\sum", "Θ": r"\Theta", "Π": r"\prod", "∂": r"\partial", "∈": r"\in",
    "∪": r"\cup", "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "∞": r"\infty",
    "−": "-", "·": r"\cdot", "×": r"\times", "…": r"\dots", "′": "{}'", "⁺": "{}^{+}",
    "°": r"{}^{\circ}", "⁻": "{}^{-}", "⌊": r"\lfloor", "⌋": r"\rfloor", "→": r"\to",
    "√": r"\surd", "𝒟": r"\mathcal{D}", "½": r"\tfrac12", "∫": r"\int", "⤷": r"\hookrightarrow",
    "ŷ": r"\hat{y}", "̇": r"\cdot", "±": r"\pm",
    **{c: f"{{}}^{{{i}}}" for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{c: f"{{}}_{{{i}}}" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}  # fmt: skip
WRITTEN = {"–": "--", "—": "---", "’": "'", "“": "``", "”": "''", "─": "-", "═": "="}
PREAMBLE = r"""\documentclass[10pt,a4paper]{article}
\usepackage[utf8]{inputenc}
\usepackage{amsmath}
%(signs)s\setlength{\oddsidemargin}{-5mm}
\setlength{\textwidth}{169mm}
\setlength{\topmargin}{-12mm}
\setlength{\textheight}{245mm}
\setlength{\parindent}{0pt}
\setlength{\parskip}{5pt plus 2pt}
\emergencystretch=3em
\allowdisplaybreaks
\newcommand{\reason}[1]{\par{\small\itshape #1\par}\nopagebreak\vspace{-3pt}}
"""


def as_latex_document(title: str, subtitle: str, sections: tuple[Section, ...]) -> str:
    """The whole file."""
    body = as_latex_body(title, subtitle, sections)
    signs = "".join(_declared(c) for c in sorted(set(body)) if ord(c) > 127)
    preamble = PREAMBLE.replace("%(signs)s", signs)
    return f"{preamble}\\begin{{document}}\n{body}\n\\end{{document}}\n"


def as_latex_body(title: str, subtitle: str, sections: tuple[Section, ...]) -> str:
    """What stands between begin and end of the document."""
    head = rf"\begin{{center}}{{\Large\bfseries {text_in_latex(title)}\par}}"
    lines = [rf"{head}\smallskip {to_latex(subtitle)}\end{{center}}"]
    for section in sections:
        lines += _section(section, 0)
    return "\n".join(lines)


def _declared(sign: str) -> str:
    """What a sign beyond ASCII is set as; one that is not known, as its number."""
    meaning = WRITTEN.get(sign)
    if sign in SIGNS:
        meaning = rf"\ensuremath{{{SIGNS[sign]}}}"
    elif (base := undotted(sign)) is not None:
        meaning = rf"\ensuremath{{\dot {base}}}"
    elif meaning is None and ord(sign) < 0x180:
        return ""  # an accented letter: inputenc has it
    return f"\\DeclareUnicodeCharacter{{{ord(sign):04X}}}{{{meaning or f'[U+{ord(sign):04X}]'}}}\n"


def undotted(sign: str) -> str | None:
    """The letter below a dot: y of ẏ."""
    parts = unicodedata.normalize("NFD", sign)
    return parts[0] if parts[1:] == DOT else None


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"\\{'sub' * level}section{{{to_latex(section.title)}}}"
    for block in section.blocks:
        yield from _block(block)
    for inner in section.sections:
        yield from _section(inner, min(level + 1, 2))


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield to_latex(text) + "\n"
        case Items(entries):
            yield r"\begin{itemize}\setlength{\itemsep}{0pt}"
            yield from (rf"\item {to_latex(v)}" for v in entries)
            yield r"\end{itemize}"
        case Equation():
            yield from equation(block)
        case Table():
            yield from _table(block)
        case Code(text, caption):
            yield to_latex(caption) + r"\par" if caption else ""
            yield r"{\scriptsize\begin{verbatim}"
            yield from (part for line in text.splitlines() for part in _folded(line))
            yield r"\end{verbatim}}"
        case Figure(_, title, description):
            yield rf"\emph{{Picture:}} {text_in_latex(title)}. {text_in_latex(description)}" + "\n"


def _folded(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    wrapper = TextWrapper(
        CODE, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False
    )
    return wrapper.wrap(line) or [""]


# --- equations -------------------------------------------------------------------------------


def equation(one: Equation) -> Iterator[str]:
    """An equation below its rule, with its number as the tag."""
    if one.rule:
        yield rf"\reason{{{to_latex(one.rule)}}}"
    lines, widest = lines_of(one)
    size = next((s for scale, s in SIZES if widest <= LINE * scale), SIZES[-1][1])
    tag = "" if one.number is None else rf"\tag{{{one.number}}}"
    rows = " \\\\\n".join(lines)
    yield rf"{{{size}" if size else "{"
    yield rf"\begin{{equation*}}\begin{{aligned}}{rows}\end{{aligned}}{tag}\end{{equation*}}}}"


def lines_of(one: Equation) -> tuple[list[str], float]:
    """The lines of an equation, and the estimated width of the widest."""
    sign = {"≈": r"\approx"}.get(one.sign, one.sign)
    (first, width), *more = _terms(one.right)
    left = as_latex(one.left)
    start = signs_wide(left) + 3
    above: tuple[list[str], list[float]] = [], []
    if start > LINE / 2:  # the left side has lines of its own
        (over, w), *rest = _terms(one.left)
        above = _wrapped([(f"&{over}", w), *((" " + t, w + 2) for t, w in rest)], 0)
        left, start = "", 5
    pieces = [(f"{left} &{sign} {first}", start + width), *((" " + t, w + 2) for t, w in more)]
    pieces += [(rf",\quad {range_in_latex(r)}", signs_wide(range_in_latex(r)) + 3)
               for r in one.ranges]  # fmt: skip
    lines, widths = _wrapped(pieces, start)
    return above[0] + lines, max(above[1] + widths)


def _wrapped(pieces: list[tuple[str, float]], start: float) -> tuple[list[str], list[float]]:
    """Pieces with their widths in lines; those after the first begin where the right side does."""
    lines, widths = [pieces[0][0]], [pieces[0][1]]
    for text, w in pieces[1:]:
        if widths[-1] + w > LINE:
            if text.startswith(r",\quad"):
                lines[-1] += ","
                text = text.removeprefix(",")
            lines.append(rf"&\quad {text}")
            widths.append(start + 2 + w)
        else:
            lines[-1] += text
            widths[-1] += w
    return lines, widths


def _terms(expr: Expr) -> list[tuple[str, float]]:
    """The terms of a sum with their signs, and how wide each is."""
    printer = Latex()
    if not expr.is_Add:
        return _within(as_latex(expr))
    found = []
    for place, (negative, term) in enumerate(printer.terms(expr)):
        text = ("-" if negative else "+" * bool(place)) + " " + printer._print(term)
        found += _within(text)
    return found


def _within(text: str) -> list[tuple[str, float]]:
    """A term that is too long for a line, in pieces between the terms within its parentheses."""
    width = signs_wide(text)
    if width <= LINE - 12 or r"\begin" in text:
        return [(text, width)]
    # Parentheses that grow cannot be open at the end of a line.
    text = text.replace(r"\left(", r"\bigl(").replace(r"\right)", r"\bigr)")
    pieces, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if not depth and at > start + 2 and text[at : at + 3] in (" + ", " - "):
            pieces.append(text[start:at])
            start = at
    return [(v, signs_wide(v)) for v in [*pieces, text[start:]]]


BRACED = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
FRACTION = re.compile(r"\\frac" + BRACED + BRACED)
CASES = re.compile(r"\\begin\{cases\}(.*?)\\end\{cases\}")


def signs_wide(latex: str) -> float:
    """About how many signs wide a formula is; what is set small counts two thirds."""
    latex = CASES.sub(lambda m: max(m[1].split(r"\\"), key=len) + "nn", latex)
    while True:
        shorter = FRACTION.sub(lambda m: max(m[1], m[2], key=len), latex)
        if shorter == latex:
            break
        latex = shorter
    latex = re.sub(r"\\sum_\{(.*?)\}(\^\{[^}]*\})? ", lambda m: "n" * _sum_wide(m[1]), latex)
    latex = re.sub(r"\\(?:mathrm|operatorname|text|mathbf)\{", "{", latex)
    latex = re.sub(r"\\(?:left|right|quad|,)", "", latex)
    latex = re.sub(r"\\(tanh|exp|log|sin|cos|max|min)\b", "nnn", latex)
    latex = re.sub(r"\\[A-Za-z]+ ?", "n", latex)
    scripts = re.findall(r"[_^]\{((?:[^{}]|\{[^{}]*\})*)\}", latex)
    small = sum(len(v.replace("{", "").replace("}", "")) for v in scripts)
    return len(re.sub(r"[\s{}_^&]", "", latex)) - small / 3


def _sum_wide(below: str) -> int:
    return max(2, round(len(re.sub(r"\\[A-Za-z]+ ?|[{}\s_]", "n", below)) * 0.6))


# --- tables ----------------------------------------------------------------------------------

MOST = 92
"""How many signs a line of a table has room for."""


def _table(table: Table) -> Iterator[str]:
    rows = (table.head, *table.rows)
    texts = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(table.head))]
    heads = [max(map(len, cell.split() or [""])) for cell in texts[0]]
    if table.caption:
        yield to_latex(table.caption) + r"\par\nopagebreak"
    yield r"\begin{center}\small"
    yield rf"\begin{{tabular}}{{{_columns(table, widths, heads)}}}\hline"
    for place, row in enumerate(rows):
        cells = [_cell(c, bold=not place) for c in row]
        yield " & ".join(cells) + (r" \tabularnewline\hline" if not place else r" \tabularnewline")
    yield r"\hline\end{tabular}\end{center}"


def _cell(text: str, bold: bool) -> str:
    inner = rf"\raggedright {to_latex(text)}" if len(text) > 24 else to_latex(text)
    return rf"\textbf{{{inner}}}" if bold and inner else inner


def _columns(table: Table, widths: list[int], heads: list[int]) -> str:
    """Columns as wide as their text where all fit; else the long ones are broken into lines."""
    if sum(widths) + 3 * len(widths) <= MOST:
        return "".join("r" if i in table.numbers else "l" for i in range(len(widths)))
    least = [max(h, min(w, 9)) for h, w in zip(heads, widths, strict=True)]
    room = MOST - 3 * len(widths) - sum(least)
    wanted = [w - v for w, v in zip(widths, least, strict=True)]
    total = max(sum(wanted), 1)
    parts = [v + max(0, room) * x / total for v, x in zip(least, wanted, strict=True)]
    share = 0.96 / (sum(parts) + 3 * len(parts))
    return "".join(rf"p{{{p * share:.3f}\textwidth}}" for p in parts)
