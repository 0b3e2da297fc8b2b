"""Equations as tokens: SymPy-like text, the terminal's own Unicode, and LaTeX, all to one kind.

Nothing is evaluated, nothing looked up: a command that is not listed here is an error at its place.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from derive.claims.syntax import IllFormed, Span

LONGEST = 4_000
"""Characters of one equation."""

GREEK = {
    **{unicodedata.name(c).split()[-1].lower(): c for c in "αβγζηθικλμνξπρστφχψω"},
    "lambda": "λ", "epsilon": "ε", "varepsilon": "ε", "eps": "ε", "delta": "δ", "phi": "φ",
    "varphi": "φ", "vartheta": "θ", "Delta": "Δ", "omega": "ω", "sigma": "σ",
}  # fmt: skip
FUNCTIONS = frozenset("tanh sinh cosh exp log sqrt sin cos atan erf logistic softplus relu".split())
WORDS = {
    "sum": "Σ", "Sum": "Σ", "in": "∈", "union": "∪", "partial": "∂", "nabla": "∇", "dot": "dot",
    "infty": "∞", "frac": "frac",
    "cdot": "*", "times": "*", "ast": "*", "neq": "≠", "ne": "≠", "approx": "≈", "leq": "≤",
    "le": "≤", "geq": "≥", "ge": "≥", "lt": "<", "gt": ">", "cup": "∪", "setminus": "∖",
    "backslash": "∖", "prime": "'", "dots": "…", "ldots": "…", "cdots": "…", "colon": ":",
    "mid": "|", "vert": "|", "lbrack": "[", "rbrack": "]", "lbrace": r"\{", "rbrace": r"\}",
}  # fmt: skip
"""What commands, and in text some words, stand for."""
SAID = frozenset({"if", "for", "otherwise", "else", "where", "with", "cell", "or"})
RUNS = SAID | FUNCTIONS | {"net", "total", "tot", "diff", "min", "max"}
"""Letters that belong together where LaTeX would take each for itself."""
STYLES = frozenset(
    "bold boldsymbol mathbf mathbb bm mathrm mathit mathcal mathsf rm bf it operatorname text "
    "textrm textbf textit left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr limits "
    "nolimits displaystyle textstyle quad qquad notag nonumber , ; : ! > ".split()
) | {" "}
"""Commands that change how it looks and not what it says."""
LOOKS = str.maketrans({
    "−": "-", "–": "-", "·": "*", "⋅": "*", "×": "*", "∗": "*", "′": "'", "’": "'", "∑": "Σ",
    "ϵ": "ε", "∖": "∖", "∆": "Δ", "⁄": "/", "\u00a0": " ", "\u2009": " ", "\u202f": " ",
    "＝": "=", "（": "(", "）": ")", "，": ",",
})  # fmt: skip
SUBSCRIPTS = {c: str(i) for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")}
SUPERSCRIPTS = {c: str(i) for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
DOTTED = {unicodedata.normalize("NFC", c + "\u0307"): c for c in "abcdefghmnoprstwxyz"}
OPERATORS = ("...", "..", "!=", ":=", "<=", ">=", "==", "**", r"\\")
SAME = {"...": "…", "..": "…", "!=": "≠", "<=": "≤", ">=": "≥", "==": "=", ":=": "=", "**": "^"}
SINGLE = frozenset("+-*/^_()[]{}=,;:<>≤≥≠≈∈∪∖∂Σ∇∞…'|&°⁺!")


@dataclass(frozen=True)
class Token:
    """A name, a number, a word of a sentence, or a sign; and where it stands."""

    kind: str
    text: str
    span: Span

    def __str__(self) -> str:
        return {r"\{": "{", r"\}": "}"}.get(self.text, self.text)


def rate_of(name: str) -> str:
    """The letter of a rate: ẏ of y."""
    return unicodedata.normalize("NFC", name + "\u0307")


def undotted(name: str) -> str | None:
    """What a letter with a dot is the rate of; None for one without."""
    base = unicodedata.normalize("NFD", name)
    return base[:-1] if base.endswith("\u0307") else None


def tokens(text: str) -> list[Token]:
    """Read an equation.

    Raises
    ------
    IllFormed
        At a character or command that has no meaning in an equation, or where it is too long.
    """
    if len(text) > LONGEST:
        raise IllFormed(
            f"the equation has {len(text)} characters; an equation has at most {LONGEST}",
            (LONGEST, len(text)),
        )
    found = list(_raw(text.translate(LOOKS), "\\" in text))
    return [t for t in found if t.kind != "space"]


def _raw(text: str, latex: bool) -> Iterator[Token]:
    at = 0
    while at < len(text):
        c = text[at]
        if c.isspace() or c == "~" or c == "$":
            at += 1
        elif c == "\\" and text[at : at + 2] != r"\\":
            token, at = _command(text, at)
            if token is not None:
                yield token
        elif (sign := next((s for s in OPERATORS if text.startswith(s, at)), None)) is not None:
            yield Token("sign", SAME.get(sign, sign), (at, at + len(sign)))
            at += len(sign)
        elif c in SUBSCRIPTS or c in SUPERSCRIPTS:
            table, sign = (SUBSCRIPTS, "_") if c in SUBSCRIPTS else (SUPERSCRIPTS, "^")
            end = at
            while end < len(text) and text[end] in table:
                end += 1
            yield Token("sign", sign, (at, at))
            yield Token("number", "".join(table[v] for v in text[at:end]), (at, end))
            at = end
        elif c in SINGLE:
            yield Token("sign", c, (at, at + 1))
            at += 1
        elif c.isdecimal() and c.isascii():
            number = re.compile(r"\d+(?:\.(?!\.)\d*)?").match(text, at)
            assert number is not None
            if number.end() - at > 30:
                raise IllFormed("a number of more than 30 digits", (at, number.end()))
            # After _ or ^ in LaTeX, and in w_12, each digit is for itself.
            yield Token("number", number[0], (at, number.end()))
            at = number.end()
        elif c.isalpha():
            yield from _letters(text, at, latex)
            at = _run(text, at)
        else:
            what = unicodedata.name(c, "a character without a name").lower()
            raise IllFormed(f"{c!r} ({what}) has no meaning in an equation", (at, at + 1))


def _run(text: str, at: int) -> int:
    """Where the letters that begin here end; a letter that is not Latin stands for itself."""
    if not (text[at].isascii() and text[at].isalpha()):
        return at + 1
    while at < len(text) and text[at].isascii() and text[at].isalpha():
        at += 1
    return at


def _letters(text: str, at: int, latex: bool) -> Iterator[Token]:
    """The names that a run of letters is."""
    end = _run(text, at)
    run = text[at:end]
    if not run.isascii() and run in DOTTED:
        yield Token("sign", "dot", (at, at))
        yield Token("name", DOTTED[run], (at, end))
    elif run in SAID:
        yield Token("word", run, (at, end))
    elif latex and run not in RUNS:
        yield from (Token("name", v, (at + i, at + i + 1)) for i, v in enumerate(run))
    elif not latex and run in ("in", "union", "sum", "Sum"):
        yield Token("sign", WORDS[run], (at, end))
    else:
        yield Token("name", GREEK.get(run, run) if not latex else run, (at, end))


def _command(text: str, at: int) -> tuple[Token | None, int]:
    """One command of LaTeX, from its backslash; None where it only looks."""
    word = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL).match(text, at)
    if word is None:
        raise IllFormed("a backslash without a command", (at, at + 1))
    name, end = word[1], word.end()
    span = (at, end)
    if name in STYLES:
        if name in ("left", "right"):  # \right . closes nothing
            nothing = re.compile(r"\s*\.").match(text, end)
            end = nothing.end() if nothing else end
        return None, end
    if name in ("begin", "end"):
        environment = re.compile(r"\s*\{([a-z]+)\*?\}").match(text, end)
        if environment is None or environment[1] not in ENVIRONMENTS:
            raise IllFormed(
                rf"\{name} of something other than {', '.join(sorted(ENVIRONMENTS))}", span
            )
        return Token(name, environment[1], (at, environment.end())), environment.end()
    if name in ("{", "}"):
        return Token("sign", "\\" + name, span), end
    if name in GREEK:
        return Token("name", GREEK[name], span), end
    if name in FUNCTIONS:
        return Token("name", name, span), end
    if name in WORDS:
        return Token("sign", WORDS[name], span), end
    raise IllFormed(rf"\{name} has no meaning in an equation", span)


ENVIRONMENTS = frozenset({"aligned", "align", "cases", "gathered", "equation", "array"})
