"""Text with letters and references in it, taken apart: ``(4)``, ``ε_k(τ)``, and what is between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from derive.calculus.mathml import marked
from derive.calculus.typeset import Latex, in_latex


@dataclass(frozen=True)
class Span:
    """A piece of text: ``kind`` is ``text``, ``math``, ``code`` or ``ref``."""

    kind: str
    text: str


NAME = r"[^\W\d_](?:̇)?(?:[^\W\d_])*[₀-₉]*[′*]?"
SCRIPTS = (
    r"(?P<above>\^(?:\([^)\s]*\))?[^\W_]*\*?)?"
    r"(?P<below>(?:_(?:\([^)\s]*\))?[^\W_]*(?:,[^\W_]+)*)+)?"
    r"(?P<delay>\^\([^)\s]*\))?"
)
LETTER = re.compile(rf"(?P<name>{NAME}){SCRIPTS}")
TIME = r"\((?:[τtρ][₀₁]?′?(?:[+−][\w′]+)*)(?:,[^()\s]*)?\)"
WORD = (
    r"(?:∂[⁺°]?[^\W\d_]+/∂[^\W\d_]+\d*(?![\w_(^])|(?:∂[⁺°]?|Δ)?(?:"
    r"[^\W\d_]+[₀-₉]*[′*]?(?:[\^_](?:\([^)\s]*\))?[^\W_]+(?:,[^\W_]+)*|\^\([^)\s]*\))+"
    r"|[α-ωΑ-ΩJ∂][⁺°]?[₀-₉]*[′*]?(?:\([^)\s]*\))?(?![\w])|[txyes][₀₁]|[𝒟]"
    rf")(?:{TIME})?)"
)
SPANS = re.compile(
    r"`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$|(?<![\w)])\((?P<ref>\d+)\)"
    rf"|(?<![\w^_`])(?P<word>{WORD}(?:/{WORD})?)"
)


def spans(text: str) -> list[Span]:
    """The pieces of a text."""
    found, at = [], 0
    for hit in SPANS.finditer(text):
        if hit.start() > at:
            found.append(Span("text", text[at : hit.start()]))
        kind = str(hit.lastgroup)
        found.append(Span("math" if kind == "word" else kind, hit[kind]))
        at = hit.end()
    return [*found, Span("text", text[at:])] if at < len(text) else found


def plain(text: str) -> str:
    """For a terminal: the marks of code and mathematics left out."""
    return "".join(s.text if s.kind != "ref" else f"({s.text})" for s in spans(text))


def to_html(text: str, linked: bool = True) -> str:
    """For HTML; a reference links to its equation, and a comma stays with its formula."""
    out, found = "", spans(text)
    for place, s in enumerate(found):
        after = found[place + 1].text if place + 1 < len(found) else ""
        before = found[place - 1].kind if place else ""
        written = _html(s, linked)
        if s.kind == "math" and after[:1] in CLOSING:
            written = f'<span class="close">{written}{after[:1]}</span>'
        elif before == "math" and s.kind == "text" and s.text[:1] in CLOSING:
            written = written[1:]
        out += written
    return out


CLOSING = (",", ".", ";", ":")


def _html(s: Span, linked: bool) -> str:
    match s.kind:
        case "ref":
            return f'<a href="#eq-{s.text}">({s.text})</a>' if linked else f"({s.text})"
        case "code":
            return f"<code>{escape(s.text)}</code>"
        case "math":
            return f"<math>{math_in_html(s.text)}</math>"
    return escape(s.text, quote=False)


def math_in_html(text: str) -> str:
    """Letters as a terminal shows them, for MathML."""

    def letter(hit: re.Match[str]) -> str:
        above, below, delay = hit["above"] or "", hit["below"] or "", hit["delay"] or ""
        name = marked(hit["name"].rstrip("*"))
        star = "*" if hit["name"].endswith("*") else ""
        high = "".join(_each(v) for v in (star, above[1:], delay[1:]))
        low = _each(below[1:])
        if high and low:
            return f"<msubsup>{name}<mrow>{low}</mrow><mrow>{high}</mrow></msubsup>"
        if high:
            return f"<msup>{name}<mrow>{high}</mrow></msup>"
        return f"<msub>{name}<mrow>{low}</mrow></msub>" if low else name

    text = escape(text, quote=False).replace("⁺", "<msup><mrow></mrow><mo>+</mo></msup>")
    pieces = re.split(r"(<[^>]*>|&\w+;)", text)
    signs = {"&lt;": "<mo>&lt;</mo>", "&gt;": "<mo>&gt;</mo>", "&amp;": "<mo>&amp;</mo>"}
    out = [signs.get(v, v if v.startswith("<") else LETTER.sub(letter, v)) for v in pieces]
    return f"<mrow>{marked(''.join(out))}</mrow>"


def _each(text: str) -> str:
    """Indices one by one; what stands in parentheses is a name."""
    out = ""
    for piece in re.findall(r"\([^)]*\)|.", text):
        if piece.startswith("(") and len(piece) > 1:
            out += f'<mo stretchy="false">(</mo><mi>{piece[1:-1]}</mi><mo stretchy="false">)</mo>'
        else:
            out += marked(piece)
    return out


# --- LaTeX -----------------------------------------------------------------------------------

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
}  # fmt: skip


def text_in_latex(text: str) -> str:
    """Plain text with LaTeX's own signs kept from it."""
    return "".join(SPECIAL.get(c, c) for c in text)


def to_latex(text: str) -> str:
    """For LaTeX."""
    return "".join(_latex(s) for s in spans(text))


def _latex(s: Span) -> str:
    match s.kind:
        case "ref":
            return f"({s.text})"
        case "code":
            return rf"\texttt{{{text_in_latex(s.text)}}}"
        case "math":
            return f"${math_in_latex(s.text)}$"
    return text_in_latex(s.text)


def math_in_latex(text: str) -> str:
    """Letters as a terminal shows them, for LaTeX."""

    def letter(hit: re.Match[str]) -> str:
        above, below, delay = hit["above"] or "", hit["below"] or "", hit["delay"] or ""
        star = "*" if hit["name"].endswith("*") else ""
        name = Latex().name(hit["name"].rstrip("*"))
        high = f"{star}{_indices(above[1:])}{_indices(delay[1:])}"
        low = _indices(below[1:])
        out = name + (f"^{{{high}}}" if high else "") + (f"_{{{low}}}" if low else "")
        return out + " "

    # What is written already must not be read as letters again.
    text = text.replace("∂⁺", "\0").replace("{", r"\{").replace("}", r"\}")
    text = LETTER.sub(letter, text)
    return in_latex(text.replace("\0", r"\partial^{+}")).strip()


def _indices(text: str) -> str:
    return text.replace("_", r"\_")
